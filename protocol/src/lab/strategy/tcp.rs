//! What TCP does, less its bytes: segments are messages, in order; selective acknowledgements
//! (RFC 2018), loss recovery by them (RFC 6675), the window of RFC 5681 beginning with that of
//! RFC 6928, the timer of RFC 6298, and acknowledgements of every second segment (RFC 1122).

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::Duration,
};

use super::{Cause, Gauges, Label, Outgoing, Receiver, Sender, Timer};
use crate::time::Timestamp;

/// RFC 6928 §2.
const INITIAL_WINDOW: u64 = 10;
/// Segments above that were acknowledged, before one counts as lost (RFC 6675 §2).
const DUPLICATE_THRESHOLD: usize = 3;
/// Ranges in one acknowledgement (RFC 2018 §3).
const RANGES_MAX: usize = 3;
/// How long an acknowledgement is held back.
const ACK_DELAY: Duration = Duration::from_millis(40);
/// Segments from the first missing one on that the receiver keeps, and the sender therefore sends: the
/// six megabytes that Linux gives a connection at most, in full segments.
const RECEIVE_WINDOW: u64 = 4_096;

/// The sender.
#[derive(Clone, Debug)]
pub struct Tcp {
    timer: Timer,
    /// Segments from number `base` on.
    segments: VecDeque<Segment>,
    base: u64,
    /// The next number that was never sent.
    next: u64,
    window: u64,
    /// Below it the window doubles in each round trip.
    threshold: u64,
    /// Segments acknowledged towards the next one of growth.
    grown: u64,
    /// While it recovers from a loss: until so much is acknowledged.
    recovers_until: Option<u64>,
    /// When the timer was set last.
    armed_at: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Segment {
    message: Vec<u8>,
    sent_at: Timestamp,
    tries: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unsent,
    UnderWay,
    Lost(Cause),
    /// Acknowledged, with a gap below it.
    Kept,
}

impl Tcp {
    /// A sender without messages, and its receiver.
    pub fn new() -> (Self, TcpReceiver) {
        let sender = Self {
            timer: Timer::adaptive(),
            segments: VecDeque::new(),
            base: 0,
            next: 0,
            window: INITIAL_WINDOW,
            threshold: u64::MAX,
            grown: 0,
            recovers_until: None,
            armed_at: None,
        };
        (sender, TcpReceiver::default())
    }

    fn under_way(&self) -> u64 {
        self.sent().filter(|segment| segment.state == State::UnderWay).count() as u64
    }

    fn sent(&self) -> impl Iterator<Item = &Segment> {
        let sent = usize::try_from(self.next - self.base).unwrap_or(usize::MAX);
        self.segments.iter().take(sent)
    }

    fn acknowledge(&mut self, now: Timestamp, next: u64) {
        let before = self.base;
        // Nothing is measured of what was, or should have been, sent again (Karn and Partridge 1987).
        let (mut newest, mut is_clean) = (None, true);
        while self.base < next.min(self.next) {
            let Some(segment) = self.segments.pop_front() else { return };
            newest = Some(segment.sent_at);
            is_clean &= segment.tries == 1 && segment.state == State::UnderWay;
            self.base += 1;
        }
        if let Some(sent_at) = newest.filter(|_| is_clean) {
            self.timer.measure(now.since(sent_at));
        }
        let acked = self.base - before;
        if acked == 0 {
            return;
        }
        self.timer.calm_down();
        self.armed_at = (self.base < self.next).then_some(now);
        if self.recovers_until.is_some_and(|until| self.base >= until) {
            self.recovers_until = None;
        } else if self.recovers_until.is_none() {
            self.grow(acked);
        }
    }

    fn grow(&mut self, acked: u64) {
        if self.window < self.threshold {
            self.window += acked;
            return;
        }
        self.grown += acked;
        if self.grown >= self.window {
            self.grown -= self.window;
            self.window += 1;
        }
    }

    /// Marks what was acknowledged above the first gap, and what that shows to be lost.
    fn keep(&mut self, ranges: impl Iterator<Item = Range<u64>>) {
        let sent = usize::try_from(self.next - self.base).unwrap_or(usize::MAX);
        let base = self.base;
        // Whatever the receiver says, only what was sent can have arrived.
        let place = |number: u64| {
            usize::try_from(number.saturating_sub(base)).map_or(sent, |at| at.min(sent))
        };
        for range in ranges {
            let (start, end) = (place(range.start), place(range.end));
            for segment in self.segments.range_mut(start.min(end)..end) {
                segment.state = State::Kept;
            }
        }
        let mut above = self.sent().filter(|segment| segment.state == State::Kept).count();
        let mut is_any_lost = false;
        for segment in self.segments.iter_mut().take(sent) {
            match segment.state {
                State::Kept => above -= 1,
                State::UnderWay if above >= DUPLICATE_THRESHOLD && segment.tries == 1 => {
                    segment.state = State::Lost(Cause::Overtaken);
                    is_any_lost = true;
                }
                State::Unsent | State::UnderWay | State::Lost(_) => {}
            }
        }
        if is_any_lost && self.recovers_until.is_none() {
            self.threshold = (self.window / 2).max(2);
            self.window = self.threshold;
            self.recovers_until = Some(self.next);
        }
    }
}

impl Sender for Tcp {
    fn write(&mut self, now: Timestamp, _conversation: u8, message: &[u8]) {
        let message = message.to_vec();
        self.segments.push_back(Segment { message, sent_at: now, tries: 0, state: State::Unsent });
    }

    fn handle_packet(&mut self, now: Timestamp, packet: &[u8]) {
        let Some((next, ranges)) = wire::read_ack(packet) else { return };
        self.acknowledge(now, next);
        self.keep(ranges);
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.timer.back_off();
        self.threshold = (self.under_way() / 2).max(2);
        // The window doubles from one while what is lost is sent again (RFC 5681 §3.1).
        (self.window, self.grown, self.recovers_until) = (1, 0, None);
        let sent = usize::try_from(self.next - self.base).unwrap_or(usize::MAX);
        for segment in self.segments.iter_mut().take(sent) {
            if segment.state != State::Kept {
                segment.state = State::Lost(Cause::Timeout);
            }
        }
        self.armed_at = Some(now);
    }

    fn poll_packet(&mut self, now: Timestamp) -> Option<Outgoing> {
        if self.under_way() >= self.window {
            return None;
        }
        let is_due = |segment: &Segment| matches!(segment.state, State::Unsent | State::Lost(_));
        let at = self.segments.iter().position(is_due)?;
        if at as u64 >= RECEIVE_WINDOW {
            return None;
        }
        let number = self.base + at as u64;
        let segment = &mut self.segments[at];
        let cause = match segment.state {
            State::Lost(cause) => cause,
            _ => Cause::First,
        };
        (segment.state, segment.sent_at) = (State::UnderWay, now);
        segment.tries += 1;
        let bytes = wire::data(number, &segment.message);
        self.next = self.next.max(number + 1);
        self.armed_at = self.armed_at.or(Some(now));
        Some(Outgoing { bytes, label: Label::Data { number, cause } })
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.armed_at.map(|armed_at| armed_at + self.timer.timeout())
    }

    fn is_done(&self) -> bool {
        self.segments.is_empty()
    }

    fn gauges(&self) -> Gauges {
        Gauges {
            round_trip: self.timer.round_trip(),
            timeout: self.timer.timeout(),
            window: self.window,
            in_flight: self.under_way(),
        }
    }
}

/// The receiver.
#[derive(Clone, Debug, Default)]
pub struct TcpReceiver {
    next: u64,
    early: BTreeMap<u64, Vec<u8>>,
    /// The newest segment that came early: its range is told first.
    newest: u64,
    messages: VecDeque<Vec<u8>>,
    unacked: u32,
    due: Option<Timestamp>,
}

impl TcpReceiver {
    /// What came early, as ranges: the newest first, then the highest.
    fn ranges(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for number in self.early.keys() {
            match ranges.last_mut() {
                Some(last) if last.end == *number => last.end += 1,
                _ => ranges.push(*number..*number + 1),
            }
        }
        ranges.sort_by_key(|range| (!range.contains(&self.newest), u64::MAX - range.end));
        ranges.truncate(RANGES_MAX);
        ranges
    }
}

impl Receiver for TcpReceiver {
    fn handle_packet(&mut self, now: Timestamp, packet: &[u8]) {
        let Some((number, message)) = wire::read_data(packet) else { return };
        if number >= self.next + RECEIVE_WINDOW {
            return;
        }
        let is_in_order = number == self.next && self.early.is_empty();
        if number >= self.next {
            self.early.insert(number, message.to_vec());
            self.newest = number;
        }
        while let Some(message) = self.early.remove(&self.next) {
            self.messages.push_back(message);
            self.next += 1;
        }
        self.unacked += 1;
        let due = if is_in_order && self.unacked < 2 { now + ACK_DELAY } else { now };
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
    }

    fn poll_packet(&mut self, now: Timestamp) -> Option<Outgoing> {
        self.due.filter(|due| *due <= now)?;
        (self.due, self.unacked) = (None, 0);
        let bytes = wire::ack(self.next, &self.ranges());
        Some(Outgoing { bytes, label: Label::Ack { number: self.next } })
    }

    fn poll_message(&mut self) -> Option<Vec<u8>> {
        self.messages.pop_front()
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.due
    }
}

/// A number and a message; a number and ranges. Behind them, zeros: TCP's header has 20 bytes, and 12
/// of time stamps that are not used here.
mod wire {
    use std::ops::Range;

    const HEADER_BYTES: usize = 32;

    pub(super) fn data(number: u64, message: &[u8]) -> Vec<u8> {
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend(message);
        bytes
    }

    pub(super) fn read_data(packet: &[u8]) -> Option<(u64, &[u8])> {
        let (number, _) = packet.split_first_chunk()?;
        Some((u64::from_be_bytes(*number), packet.get(HEADER_BYTES..)?))
    }

    pub(super) fn ack(next: u64, ranges: &[Range<u64>]) -> Vec<u8> {
        let mut bytes = next.to_be_bytes().to_vec();
        bytes.resize(HEADER_BYTES, 0);
        for range in ranges {
            bytes.extend(range.start.to_be_bytes());
            bytes.extend(range.end.to_be_bytes());
        }
        bytes
    }

    pub(super) fn read_ack(packet: &[u8]) -> Option<(u64, impl Iterator<Item = Range<u64>>)> {
        let (next, _) = packet.split_first_chunk()?;
        let ranges = packet.get(HEADER_BYTES..)?.chunks_exact(16).map(|range| {
            let at = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
            at(&range[..8])..at(&range[8..])
        });
        Some((u64::from_be_bytes(*next), ranges))
    }
}
