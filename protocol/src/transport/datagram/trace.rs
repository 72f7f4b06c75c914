//! What a session does, event by event: for people who look at it, and for files.
//!
//! Nothing is recorded unless somebody asks ([`Transport::record`](super::Transport::record)). Then
//! whoever drives the session takes the events now and then; of those that nobody takes, the newest
//! are kept.

use std::{collections::VecDeque, ops::Range, time::Duration};

pub use super::frame::{AckFrame, Frame, Frames};
use super::{NAME_BYTES, Reason};
use crate::time::Timestamp;

/// Events that wait to be taken; the oldest go first.
pub const EVENTS_MAX: usize = 4_096;

/// Whether what streams carry is recorded, or only that it was carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payloads {
    /// Zeros stand for the bytes of streams.
    Withheld,
    /// The bytes themselves.
    Kept,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Bytes were appended to a stream: as a rule a message.
    Written {
        /// Which, below 64.
        stream: u8,
        /// The bytes' offsets.
        range: Range<u64>,
    },
    /// A packet left.
    Sent {
        /// The packet.
        packet: Packet,
        /// Why it left.
        reason: Reason,
    },
    /// A packet of the peer came.
    Received(Packet),
    /// The peer has a packet.
    Acked {
        /// Its number.
        number: u64,
    },
    /// What was in a packet has to be sent again.
    Lost {
        /// Its number.
        number: u64,
        /// Why. A packet that is merely overdue is not given up.
        reason: Reason,
    },
    /// What is believed of the path has changed.
    Gauges(Gauges),
    /// So many events before this were not taken in time.
    Missed(u64),
}

/// A packet, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its number.
    pub number: u64,
    /// Bytes of the datagram that carried it.
    pub bytes: usize,
    /// Its frames ([`Packet::frames`]).
    content: Vec<u8>,
}

/// What is believed of the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Round trip, smoothed.
    pub smoothed: Duration,
    /// The one measured last.
    pub latest: Duration,
    /// The shortest.
    pub minimum: Duration,
    /// Its mean deviation.
    pub variance: Duration,
    /// How long a packet may go without acknowledgement.
    pub probe_interval: Duration,
    /// Bytes that may be under way.
    pub window_bytes: u64,
    /// Bytes that are.
    pub in_flight_bytes: u64,
}

impl Packet {
    /// A packet of `content`, with `overhead` bytes around it.
    fn new(number: u64, content: &[u8], overhead: usize, payloads: Payloads) -> Self {
        let bytes = content.len() + overhead;
        let mut content = content.to_vec();
        for secret in secrets(&content, payloads) {
            content[secret].fill(0);
        }
        Self { number, bytes, content }
    }

    /// What is in it.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        Frames::new(&self.content).filter_map(Result::ok)
    }

    /// The same as bytes (wire §10.3).
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// The parts of streams that it carries: which stream, and offsets.
    pub fn parts(&self) -> impl Iterator<Item = (u8, Range<u64>)> {
        self.frames().filter_map(|frame| match frame {
            Frame::Stream { stream, offset, data } => {
                Some((stream, offset..offset + data.len() as u64))
            }
            _ => None,
        })
    }
}

/// Where bytes are that a record does not show: of streams, and the token that ends a session.
fn secrets(content: &[u8], payloads: Payloads) -> Vec<Range<usize>> {
    const TOKEN_BYTES: usize = NAME_BYTES - 8;
    let mut frames = Frames::new(content);
    let mut secrets = Vec::new();
    while let Some(Ok(frame)) = frames.next() {
        let end = content.len() - frames.bytes_left();
        match frame {
            Frame::Stream { data, .. } if payloads == Payloads::Withheld => {
                secrets.push(end - data.len()..end);
            }
            Frame::Name(_) => secrets.push(end - TOKEN_BYTES..end),
            _ => {}
        }
    }
    secrets
}

/// Events that wait to be taken.
#[derive(Clone, Debug)]
pub(super) struct Recorder {
    payloads: Payloads,
    events: VecDeque<Event>,
    /// Written since the last event: the session's driver tells the time with its next call.
    written: Vec<(u8, Range<u64>)>,
    gauges: Gauges,
    missed: u64,
}

impl Recorder {
    pub(super) fn new(payloads: Payloads) -> Self {
        Self {
            payloads,
            events: VecDeque::new(),
            written: Vec::new(),
            gauges: Gauges::default(),
            missed: 0,
        }
    }

    pub(super) fn written(&mut self, stream: u8, range: Range<u64>) {
        self.written.push((stream, range));
    }

    /// What was written before now was written now.
    pub(super) fn settle(&mut self, now: Timestamp) {
        for (stream, range) in std::mem::take(&mut self.written) {
            self.push(now, What::Written { stream, range });
        }
    }

    pub(super) fn sent(
        &mut self,
        now: Timestamp,
        number: u64,
        content: &[u8],
        overhead: usize,
        reason: Reason,
    ) {
        let packet = Packet::new(number, content, overhead, self.payloads);
        self.push(now, What::Sent { packet, reason });
    }

    pub(super) fn received(
        &mut self,
        now: Timestamp,
        number: u64,
        content: &[u8],
        overhead: usize,
    ) {
        let packet = Packet::new(number, content, overhead, self.payloads);
        self.push(now, What::Received(packet));
    }

    pub(super) fn acked(&mut self, now: Timestamp, number: u64) {
        self.push(now, What::Acked { number });
    }

    pub(super) fn lost(&mut self, now: Timestamp, number: u64, reason: Reason) {
        self.push(now, What::Lost { number, reason });
    }

    pub(super) fn gauges(&mut self, now: Timestamp, gauges: Gauges) {
        if gauges != self.gauges {
            self.gauges = gauges;
            self.push(now, What::Gauges(gauges));
        }
    }

    pub(super) fn take(&mut self) -> Vec<Event> {
        let missed = std::mem::take(&mut self.missed);
        let first = self.events.front().filter(|_| missed > 0);
        let note = first.map(|first| Event { at: first.at, what: What::Missed(missed) });
        note.into_iter().chain(self.events.drain(..)).collect()
    }

    fn push(&mut self, at: Timestamp, what: What) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
            self.missed += 1;
        }
        self.events.push_back(Event { at, what });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::*, *};

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn end(payloads: Payloads) -> Transport {
        let trip = Some(Duration::from_millis(20));
        let mut end = Transport::new(at(0), Algorithm::default(), trip, Trust::Known, 30);
        end.record(Some(payloads));
        end
    }

    fn write(end: &mut Transport, text: &[u8]) -> (u64, Vec<u8>) {
        end.write(StreamKey::Live([1; 16]), text);
        let mut content = Vec::new();
        let number = end.poll_packet(at(1), &mut content).expect("there is something to send");
        (number, content)
    }

    #[test]
    fn a_message_can_be_followed_from_writing_to_acknowledgement() {
        let [mut here, mut there] = [(); 2].map(|()| end(Payloads::Withheld));
        let (number, content) = write(&mut here, b"hello");
        there.handle_packet(at(11), number, Codepoint::NotCapable, &content).expect("frames");
        let mut answer = Vec::new();
        let ack = there.poll_packet(at(11), &mut answer).expect("an acknowledgement");
        here.handle_packet(at(21), ack, Codepoint::NotCapable, &answer).expect("frames");
        let told = here.take_trace();
        let whats: Vec<&What> = told.iter().map(|event| &event.what).collect();
        let [
            What::Written { stream, range },
            What::Sent { packet, reason: Reason::First },
            What::Gauges(before),
            What::Received(_),
            What::Acked { number: 0 },
            What::Gauges(after),
        ] = whats.as_slice()
        else {
            panic!("{whats:?}")
        };
        assert_eq!(*range, 0..5);
        assert_eq!(packet.parts().collect::<Vec<_>>(), [(*stream, 0..5)]);
        assert_eq!(packet.bytes, content.len() + 30);
        assert!(before.in_flight_bytes > 0 && after.in_flight_bytes == 0);
        assert_eq!(after.latest, Duration::from_millis(20));
        assert_eq!(here.take_trace(), []);
    }

    #[test]
    fn what_streams_carry_is_recorded_only_if_asked_for() {
        let find = |payloads| {
            let mut end = end(payloads);
            let (_, content) = write(&mut end, b"a secret");
            assert!(content.windows(8).any(|bytes| bytes == b"a secret"));
            let told = end.take_trace();
            let packet = told.iter().find_map(|event| match &event.what {
                What::Sent { packet, .. } => Some(packet.clone()),
                _ => None,
            });
            let packet = packet.expect("it left");
            assert_eq!(packet.content().len(), content.len());
            packet.content().windows(8).any(|bytes| bytes == b"a secret")
        };
        assert!(!find(Payloads::Withheld));
        assert!(find(Payloads::Kept));
    }

    #[test]
    fn a_token_is_never_recorded() {
        let mut end = end(Payloads::Kept);
        end.rename([7; NAME_BYTES]);
        let mut content = Vec::new();
        end.poll_packet(at(1), &mut content).expect("there is something to send");
        let told = end.take_trace();
        let What::Sent { packet, .. } = &told[0].what else { panic!("{told:?}") };
        let mut name = [0; NAME_BYTES];
        name[..8].fill(7);
        assert!(packet.frames().any(|frame| frame == Frame::Name(name)));
    }

    #[test]
    fn the_newest_events_are_kept_and_the_others_counted() {
        let mut recorder = Recorder::new(Payloads::Withheld);
        for number in 0..EVENTS_MAX as u64 + 5 {
            recorder.acked(at(number), number);
        }
        let told = recorder.take();
        assert_eq!(told[0], Event { at: at(5), what: What::Missed(5) });
        assert_eq!(told[1].what, What::Acked { number: 5 });
        assert_eq!(told.len(), EVENTS_MAX + 1);
    }
}
