//! The transport that carries real chat, with nothing around it: what a session over datagrams sends
//! is what this sends, less its encryption, with the same number of bytes.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{Cause, Gauges, Label, Outgoing, Receiver, Sender};
use crate::{
    time::Timestamp,
    transport::datagram::{
        Algorithm, Codepoint, StreamKey, Transport, Trust,
        trace::{Event, Frame, Frames, Payloads},
    },
};

/// Bytes around a packet's content: header and tag, towards a relay and towards a device.
const OVERHEAD_BYTES: [usize; 2] = [30, 22];
/// In front of each message: its length.
const LENGTH_BYTES: usize = 4;
/// Largest number of a packet: what an acknowledgement can name (RFC 9000 §12.3).
const NUMBER_MAX: u64 = (1 << 62) - 1;

/// Either end.
#[derive(Clone, Debug)]
pub struct Ours {
    transport: Transport,
    overhead: usize,
    messages: VecDeque<Vec<u8>>,
    /// By stream and the offset where it began: where it ended, and the packet that carried it first.
    first: BTreeMap<(u8, u64), (u64, u64)>,
    /// The other end broke the rules, as only one on another host can: nothing more is taken from it.
    is_broken: bool,
    /// What the transport did, if that is recorded.
    trace: Vec<Event>,
}

impl Ours {
    /// Both ends of a session that begins now, with the round trip that its handshake has measured.
    pub fn new(now: Timestamp, algorithm: Algorithm, round_trip: Option<Duration>) -> (Self, Self) {
        let end = |overhead| Self {
            transport: Transport::new(now, algorithm, round_trip, Trust::Known, overhead),
            overhead,
            messages: VecDeque::new(),
            first: BTreeMap::new(),
            is_broken: false,
            trace: Vec::new(),
        };
        let [sender, receiver] = OVERHEAD_BYTES.map(end);
        (sender, receiver)
    }

    /// From now on what the transport does is recorded.
    pub fn record(&mut self, payloads: Payloads) {
        self.transport.record(Some(payloads));
    }

    /// What it did.
    pub fn into_trace(self) -> Vec<Event> {
        self.trace
    }

    fn take(&mut self, now: Timestamp, packet: &[u8]) {
        let Some((number, rest)) = packet.split_first_chunk() else { return };
        let number = u64::from_be_bytes(*number);
        let Some(content) = rest.get(self.peer_padding()..) else { return };
        if number > NUMBER_MAX || self.is_broken {
            return;
        }
        if !self.transport.is_known(number) {
            let taken = self.transport.handle_packet(now, number, Codepoint::NotCapable, content);
            self.is_broken = taken.is_err();
            self.trace.extend(self.transport.take_trace());
        }
    }

    fn give(&mut self, now: Timestamp) -> Option<Outgoing> {
        let mut content = Vec::new();
        let number = self.transport.poll_packet(now, &mut content);
        self.trace.extend(self.transport.take_trace());
        let number = number?;
        let carries = self.carries(number, &content);
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.resize(self.overhead, 0);
        bytes.append(&mut content);
        let cause = Cause::of(self.transport.last_reason());
        let label = match cause {
            Some(cause) => Label::Data { number: carries, cause },
            None => Label::Ack { number },
        };
        Some(Outgoing { bytes, label })
    }

    /// The packet that carried first what this one carries, which may be this one. Of several, the
    /// earliest.
    fn carries(&mut self, number: u64, content: &[u8]) -> u64 {
        let parts = Frames::new(content).filter_map(|frame| match frame {
            Ok(Frame::Stream { stream, offset, data }) => Some((stream, offset, data.len() as u64)),
            _ => None,
        });
        let mut earliest = number;
        for (stream, offset, length) in parts {
            let before = self.first.range((stream, 0)..=(stream, offset)).next_back();
            match before {
                Some((_, (end, first))) if offset < *end => earliest = earliest.min(*first),
                _ => {
                    self.first.insert((stream, offset), (offset + length, number));
                }
            }
        }
        earliest
    }

    /// What the other end puts between the number and the content, in the place of its header and tag.
    fn peer_padding(&self) -> usize {
        OVERHEAD_BYTES.iter().sum::<usize>() - self.overhead - 8
    }

    fn time_out(&mut self, now: Timestamp) {
        self.transport.handle_timeout(now);
        self.trace.extend(self.transport.take_trace());
    }
}

impl Sender for Ours {
    fn write(&mut self, _now: Timestamp, conversation: u8, message: &[u8]) {
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        self.transport
            .write(StreamKey::Live([conversation; 16]), &[&length.to_be_bytes(), message].concat());
    }

    fn handle_packet(&mut self, now: Timestamp, packet: &[u8]) {
        self.take(now, packet);
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.time_out(now);
    }

    fn poll_packet(&mut self, now: Timestamp) -> Option<Outgoing> {
        self.give(now)
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.transport.poll_timeout()
    }

    fn is_done(&self) -> bool {
        self.transport.is_flushed()
    }

    fn gauges(&self) -> Gauges {
        let rtt = self.transport.rtt();
        let packet = self.transport.datagram_bytes() as u64;
        let (in_flight, window) = self.transport.window();
        Gauges {
            round_trip: Some(rtt.smoothed()),
            timeout: rtt.probe_interval(),
            window: window / packet,
            in_flight: in_flight.div_ceil(packet),
        }
    }
}

impl Receiver for Ours {
    fn handle_packet(&mut self, now: Timestamp, packet: &[u8]) {
        self.take(now, packet);
        while let Some(stream) = self.transport.readable() {
            let mut rest = self.transport.peek(stream);
            let whole = rest.len();
            while let Some((length, behind)) = rest.split_first_chunk::<LENGTH_BYTES>()
                && let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX)
                && let Some((message, behind)) = behind.split_at_checked(length)
            {
                self.messages.push_back(message.to_vec());
                rest = behind;
            }
            let used = whole - rest.len();
            self.transport.consume(stream, used);
        }
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.time_out(now);
    }

    fn poll_packet(&mut self, now: Timestamp) -> Option<Outgoing> {
        self.give(now)
    }

    fn poll_message(&mut self) -> Option<Vec<u8>> {
        self.messages.pop_front()
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.transport.poll_timeout()
    }
}
