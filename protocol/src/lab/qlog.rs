//! Traces as qlog 0.3 (draft-ietf-quic-qlog-main-schema-02, draft-ietf-quic-qlog-quic-events-02), the
//! version that qvis loads: JSON text sequences (RFC 7464), a record for each event.
//!
//! Our packets are told as packets of QUIC with short headers, and our frames as QUIC's where there is
//! one that means the same. What only we have stands beside `data`, where the schema lets it.

use std::{io, time::Duration};

use data_encoding::HEXLOWER;
use serde::Serialize;

use super::{
    experiment::{self, Traffic, Way},
    strategy::{Cause, Label},
};
use crate::{
    time::Timestamp,
    transport::datagram::{
        Reason,
        trace::{Event, Frame, Gauges, Packet, What},
    },
};

/// Begins each record (RFC 7464 §2.2).
const RECORD_SEPARATOR: u8 = 0x1e;

/// Whose view a trace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Vantage {
    /// The side that began the session.
    Client,
    /// The relay.
    Server,
}

/// A trace that is being written.
#[derive(Debug)]
pub struct Qlog<W> {
    out: W,
}

impl<W: io::Write> Qlog<W> {
    /// Begins a trace; nothing but words is made of `title`.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn new(out: W, title: &str, vantage: Vantage) -> io::Result<Self> {
        let mut qlog = Self { out };
        qlog.record(&Head {
            qlog_version: "0.3",
            qlog_format: "JSON-SEQ",
            title,
            trace: Trace {
                vantage_point: VantagePoint { vantage },
                common_fields: CommonFields { time_format: "relative", reference_time: 0.0 },
            },
        })?;
        Ok(qlog)
    }

    /// Appends what happened in a session.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn session(&mut self, event: &Event) -> io::Result<()> {
        let at = event.at;
        match &event.what {
            What::Written { stream, range } => {
                let length = range.end - range.start;
                let data = DataMoved {
                    stream_id: *stream,
                    offset: range.start,
                    length,
                    from: "application",
                    to: "transport",
                };
                self.event(at, "transport:data_moved", data, None)
            }
            What::Sent { packet, reason } => {
                let data = PacketMoved { trigger: trigger(*reason), ..PacketMoved::new(packet) };
                self.event(at, "transport:packet_sent", data, Some(reason.name()))
            }
            What::Received(packet) => {
                self.event(at, "transport:packet_received", PacketMoved::new(packet), None)
            }
            // The packet that acknowledges it says so.
            What::Acked { .. } => Ok(()),
            What::Lost { number, reason } => {
                let trigger = match reason {
                    Reason::Order => "reordering_threshold",
                    Reason::Time => "time_threshold",
                    _ => "pto_expired",
                };
                let data = PacketLost { header: Header::new(*number), trigger };
                self.event(at, "recovery:packet_lost", data, Some(reason.name()))
            }
            What::Gauges(gauges) => {
                self.event(at, "recovery:metrics_updated", Metrics::of(gauges), None)
            }
            What::Missed(events) => {
                let message = format!("{events} events before this were not taken in time");
                self.event(at, "simulation:marker", Marker { r#type: "missed", message }, None)
            }
        }
    }

    /// Appends what happened in an experiment, as its sender saw it, and what became of packets on
    /// their way.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn experiment(&mut self, event: &experiment::Event, traffic: &Traffic) -> io::Result<()> {
        use experiment::What;
        let at = event.at;
        match event.what {
            What::Sent { way: Way::Out, packet, bytes, label: Label::Data { number, cause } } => {
                let length = traffic.bytes as u64;
                let offset = number * length;
                let frames = vec![FrameJson::Stream { stream_id: 0, offset, length, raw: None }];
                let data = PacketMoved {
                    header: Header::new(packet),
                    frames,
                    raw: Raw { length: bytes },
                    trigger: match cause {
                        Cause::First => None,
                        Cause::Timeout | Cause::GoBack => Some("retransmit_timeout"),
                        Cause::Overtaken => Some("retransmit_reordered"),
                        Cause::Copy => Some("pto_probe"),
                    },
                };
                self.event(at, "transport:packet_sent", data, Some(cause.name()))
            }
            What::Sent { way: Way::Out, packet, bytes, .. } => {
                self.event(at, "transport:packet_sent", PacketMoved::bare(packet, bytes), None)
            }
            What::Arrived { way: Way::Back, packet, is_damaged: false } => {
                self.event(at, "transport:packet_received", PacketMoved::bare(packet, 0), None)
            }
            What::Dropped { way, packet, why } => {
                let message = format!("{} {packet}: {}", way.name(), why.name());
                self.event(at, "simulation:marker", Marker { r#type: "dropped", message }, None)
            }
            What::TimedOut => {
                let data = TimerUpdated { timer_type: "pto", event_type: "expired" };
                self.event(at, "recovery:loss_timer_updated", data, None)
            }
            What::Delivered { message } => {
                let message = format!("message {message}");
                self.event(at, "simulation:marker", Marker { r#type: "delivered", message }, None)
            }
            What::Gauges(gauges) => {
                let data = Metrics {
                    smoothed_rtt: gauges.round_trip.map(millis),
                    packets_in_flight: Some(gauges.in_flight),
                    congestion_window: Some(gauges.window * traffic.bytes as u64),
                    ..Metrics::default()
                };
                self.event(at, "recovery:metrics_updated", data, None)
            }
            What::Written { .. } | What::Sent { .. } | What::Arrived { .. } => Ok(()),
        }
    }

    /// Everything that was written reaches its file.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// What it was written to.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn event<D: Serialize>(
        &mut self,
        at: Timestamp,
        name: &'static str,
        data: D,
        cause: Option<&'static str>,
    ) -> io::Result<()> {
        let time = millis(at.since(Timestamp::ZERO));
        self.record(&EventJson { time, name, data, cause })
    }

    fn record(&mut self, record: &impl Serialize) -> io::Result<()> {
        self.out.write_all(&[RECORD_SEPARATOR])?;
        serde_json::to_writer(&mut self.out, record)?;
        self.out.write_all(b"\n")
    }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 µs are 285 years")]
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}

const fn trigger(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::Control | Reason::First => None,
        Reason::Order | Reason::Time => Some("retransmit_reordered"),
        Reason::Overdue | Reason::Copy => Some("pto_probe"),
    }
}

#[derive(Serialize)]
struct Head<'t> {
    qlog_version: &'static str,
    qlog_format: &'static str,
    title: &'t str,
    trace: Trace,
}

#[derive(Serialize)]
struct Trace {
    vantage_point: VantagePoint,
    common_fields: CommonFields,
}

#[derive(Serialize)]
struct VantagePoint {
    #[serde(rename = "type")]
    vantage: Vantage,
}

#[derive(Serialize)]
struct CommonFields {
    time_format: &'static str,
    reference_time: f64,
}

#[derive(Serialize)]
struct EventJson<D> {
    time: f64,
    name: &'static str,
    data: D,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
}

#[derive(Serialize)]
struct Header {
    packet_type: &'static str,
    packet_number: u64,
}

impl Header {
    const fn new(packet_number: u64) -> Self {
        Self { packet_type: "1RTT", packet_number }
    }
}

#[derive(Serialize)]
struct Raw {
    length: usize,
}

impl Raw {
    const fn is_unknown(&self) -> bool {
        self.length == 0
    }
}

#[derive(Serialize)]
struct PacketMoved {
    header: Header,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    frames: Vec<FrameJson>,
    #[serde(skip_serializing_if = "Raw::is_unknown")]
    raw: Raw,
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<&'static str>,
}

impl PacketMoved {
    fn new(packet: &Packet) -> Self {
        let frames = packet.frames().map(|frame| FrameJson::of(&frame)).collect();
        Self { frames, ..Self::bare(packet.number, packet.bytes) }
    }

    const fn bare(number: u64, length: usize) -> Self {
        let header = Header::new(number);
        Self { header, frames: Vec::new(), raw: Raw { length }, trigger: None }
    }
}

#[derive(Serialize)]
#[serde(tag = "frame_type", rename_all = "snake_case")]
enum FrameJson {
    Ping,
    Ack {
        ack_delay: f64,
        acked_ranges: Vec<[u64; 2]>,
    },
    Stream {
        stream_id: u8,
        offset: u64,
        length: u64,
        /// In hexadecimal.
        #[serde(skip_serializing_if = "Option::is_none")]
        raw: Option<String>,
    },
    MaxData {
        maximum: u64,
    },
    PathChallenge,
    PathResponse,
    ConnectionClose,
    NewConnectionId {
        sequence_number: u32,
        retire_prior_to: u32,
        connection_id: String,
    },
    Unknown {
        raw_frame_type: u64,
    },
}

impl FrameJson {
    fn of(frame: &Frame<'_>) -> Self {
        match frame {
            Frame::Ping => Self::Ping,
            Frame::Ack(ack) => Self::Ack {
                ack_delay: millis(ack.delay),
                acked_ranges: ack.ranges().map(|range| [*range.start(), *range.end()]).collect(),
            },
            Frame::Stream { stream, offset, data } => Self::Stream {
                stream_id: *stream,
                offset: *offset,
                length: data.len() as u64,
                raw: data.iter().any(|byte| *byte != 0).then(|| HEXLOWER.encode(data)),
            },
            Frame::Credit(maximum) => Self::MaxData { maximum: *maximum },
            Frame::Challenge(_) => Self::PathChallenge,
            Frame::Response(_) => Self::PathResponse,
            Frame::Close => Self::ConnectionClose,
            Frame::Name(name) => Self::NewConnectionId {
                sequence_number: 0,
                retire_prior_to: 0,
                connection_id: HEXLOWER.encode(&name[..8]),
            },
            // `IMMEDIATE_ACK` of draft-ietf-quic-ack-frequency.
            Frame::AckNow => Self::Unknown { raw_frame_type: 0x1f },
            // Where QUIC has it in its acknowledgements.
            Frame::Congested(_) => Self::Unknown { raw_frame_type: 9 },
        }
    }
}

#[derive(Serialize)]
struct DataMoved {
    stream_id: u8,
    offset: u64,
    length: u64,
    from: &'static str,
    to: &'static str,
}

#[derive(Serialize)]
struct PacketLost {
    header: Header,
    trigger: &'static str,
}

#[derive(Default, Serialize)]
struct Metrics {
    #[serde(skip_serializing_if = "Option::is_none")]
    min_rtt: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    smoothed_rtt: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_rtt: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt_variance: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    congestion_window: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_in_flight: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packets_in_flight: Option<u64>,
}

impl Metrics {
    fn of(gauges: &Gauges) -> Self {
        // Before anything was measured there is no shortest one.
        let is_measured = !gauges.latest.is_zero();
        let measured = |time| is_measured.then(|| millis(time));
        Self {
            min_rtt: measured(gauges.minimum),
            smoothed_rtt: Some(millis(gauges.smoothed)),
            latest_rtt: measured(gauges.latest),
            rtt_variance: measured(gauges.variance),
            congestion_window: Some(gauges.window_bytes),
            bytes_in_flight: Some(gauges.in_flight_bytes),
            packets_in_flight: None,
        }
    }
}

#[derive(Serialize)]
struct TimerUpdated {
    timer_type: &'static str,
    event_type: &'static str,
}

#[derive(Serialize)]
struct Marker {
    r#type: &'static str,
    message: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::datagram::{Algorithm, StreamKey, Transport, Trust, trace::Payloads};

    fn records(bytes: &[u8]) -> Vec<serde_json::Value> {
        let mut records = bytes.split(|byte| *byte == RECORD_SEPARATOR);
        assert_eq!(records.next(), Some(&[][..]), "each record begins with its separator");
        records.map(|record| serde_json::from_slice(record).expect("JSON")).collect()
    }

    #[test]
    fn a_session_is_told_in_words_of_quic() {
        let trip = Some(Duration::from_millis(20));
        let now = Timestamp::from_micros(1_500);
        let mut session = Transport::new(now, Algorithm::default(), trip, Trust::Known, 30);
        session.record(Some(Payloads::Withheld));
        session.write(StreamKey::Session, b"hello");
        session.poll_packet(now, &mut Vec::new()).expect("there is something to send");
        let mut qlog = Qlog::new(Vec::new(), "a \"title\"", Vantage::Client).expect("memory");
        for event in session.take_trace() {
            qlog.session(&event).expect("memory");
        }
        let [head, moved, sent, metrics] = &records(&qlog.into_inner())[..] else {
            panic!("four records")
        };
        assert_eq!(head["trace"]["vantage_point"]["type"], "client");
        assert_eq!(moved["name"], "transport:data_moved");
        assert_eq!(sent["time"], 1.5);
        assert_eq!(sent["data"]["header"]["packet_number"], 0);
        let frame = &sent["data"]["frames"][0];
        assert_eq!((&frame["frame_type"], &frame["length"]), (&"stream".into(), &5.into()));
        assert!(frame.get("raw").is_none(), "what streams carry is not in it");
        assert_eq!(metrics["name"], "recovery:metrics_updated");
    }
}
