//! What KCP does when it is set to be quick: everything happens at ticks of 10 ms, each segment has a
//! timer that grows by half and not twofold, two acknowledgements of later segments send it again at
//! once, every segment is acknowledged by itself with the time it carried, and there is no congestion
//! window (its README calls this `nodelay` 1, `interval` 10, `resend` 2, `nc` 1).

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{Cause, Gauges, Label, Outgoing, Receiver, Sender, Timer};
use crate::time::Timestamp;

/// Both ends act this often, if there is anything to do.
const INTERVAL: Duration = Duration::from_millis(10);
/// Later segments acknowledged before one is sent again.
const RESEND: u32 = 2;
/// Segments under way: its default for receiving.
const WINDOW: u64 = 128;
/// Shortest and first timeout.
const TIMEOUT_MIN: Duration = Duration::from_millis(30);
const TIMEOUT_FIRST: Duration = Duration::from_millis(200);
/// Bytes of its header.
const HEADER_BYTES: usize = 24;

/// The sender.
#[derive(Clone, Debug)]
pub struct Kcp {
    /// Segments from number `base` on.
    segments: VecDeque<Segment>,
    base: u64,
    estimate: Timer,
    /// What leaves at this tick.
    outgoing: VecDeque<Outgoing>,
    next_tick: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Segment {
    message: Vec<u8>,
    tries: u32,
    timeout: Duration,
    resend_at: Timestamp,
    /// Acknowledgements of later segments since it was sent last.
    overtaken: u32,
    has_arrived: bool,
}

impl Kcp {
    /// A sender without messages, and its receiver.
    pub fn new() -> (Self, KcpReceiver) {
        let sender = Self {
            segments: VecDeque::new(),
            base: 0,
            estimate: Timer::adaptive(),
            outgoing: VecDeque::new(),
            next_tick: None,
        };
        (sender, KcpReceiver::default())
    }

    fn timeout(&self) -> Duration {
        let Some((smoothed, variance)) = self.estimate.measured() else { return TIMEOUT_FIRST };
        smoothed + (4 * variance).max(INTERVAL)
    }

    /// Sends what is due.
    fn flush(&mut self, now: Timestamp) {
        let timeout = self.timeout().max(TIMEOUT_MIN);
        for (segment, number) in self.segments.iter_mut().zip(self.base..self.base + WINDOW) {
            let cause = match segment.tries {
                _ if segment.has_arrived => continue,
                0 => Cause::First,
                _ if segment.overtaken >= RESEND => Cause::Overtaken,
                _ if segment.resend_at <= now => Cause::Timeout,
                _ => continue,
            };
            segment.timeout = match cause {
                Cause::First => timeout,
                Cause::Timeout => segment.timeout * 3 / 2,
                Cause::Overtaken | Cause::GoBack | Cause::Copy => segment.timeout,
            };
            (segment.resend_at, segment.overtaken) = (now + segment.timeout, 0);
            segment.tries += 1;
            let bytes = wire::data(number, now, &segment.message);
            self.outgoing.push_back(Outgoing { bytes, label: Label::Data { number, cause } });
        }
    }
}

impl Sender for Kcp {
    fn write(&mut self, now: Timestamp, _conversation: u8, message: &[u8]) {
        self.segments.push_back(Segment {
            message: message.to_vec(),
            tries: 0,
            timeout: TIMEOUT_FIRST,
            resend_at: now,
            overtaken: 0,
            has_arrived: false,
        });
        self.next_tick = self.next_tick.or(Some(next_tick(now)));
    }

    fn handle_packet(&mut self, now: Timestamp, packet: &[u8]) {
        let Some((unacked, acks)) = wire::read_acks(packet) else { return };
        let mut newest = None;
        for (number, sent_at) in acks {
            self.estimate.measure(now.since(sent_at));
            let at = number.checked_sub(self.base).and_then(|at| usize::try_from(at).ok());
            if let Some(segment) = at.and_then(|at| self.segments.get_mut(at)) {
                segment.has_arrived = true;
                newest = newest.max(at);
            }
        }
        for segment in self.segments.iter_mut().take(newest.unwrap_or(0)) {
            segment.overtaken += 1;
        }
        while self.base < unacked || self.segments.front().is_some_and(|it| it.has_arrived) {
            if self.segments.pop_front().is_none() {
                break;
            }
            self.base += 1;
        }
        if self.segments.is_empty() {
            self.next_tick = None;
        }
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.flush(now);
        self.next_tick = (!self.segments.is_empty()).then(|| next_tick(now));
    }

    fn poll_packet(&mut self, _now: Timestamp) -> Option<Outgoing> {
        self.outgoing.pop_front()
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.next_tick
    }

    fn is_done(&self) -> bool {
        self.segments.is_empty()
    }

    fn gauges(&self) -> Gauges {
        let in_flight = self.segments.iter().filter(|it| it.tries > 0 && !it.has_arrived).count();
        Gauges {
            round_trip: self.estimate.round_trip(),
            timeout: self.timeout(),
            window: WINDOW,
            in_flight: in_flight as u64,
        }
    }
}

/// The receiver.
#[derive(Clone, Debug, Default)]
pub struct KcpReceiver {
    next: u64,
    early: BTreeMap<u64, Vec<u8>>,
    messages: VecDeque<Vec<u8>>,
    /// Numbers, and the time stamps that came with them.
    acks: Vec<(u64, Timestamp)>,
    is_ticking: bool,
    next_tick: Option<Timestamp>,
}

impl Receiver for KcpReceiver {
    fn handle_packet(&mut self, now: Timestamp, packet: &[u8]) {
        let Some((number, sent_at, message)) = wire::read_data(packet) else { return };
        if number >= self.next + WINDOW {
            return;
        }
        if number >= self.next {
            self.early.insert(number, message.to_vec());
        }
        while let Some(message) = self.early.remove(&self.next) {
            self.messages.push_back(message);
            self.next += 1;
        }
        self.acks.push((number, sent_at));
        self.next_tick = self.next_tick.or(Some(next_tick(now)));
    }

    fn handle_timeout(&mut self, _now: Timestamp) {
        (self.next_tick, self.is_ticking) = (None, true);
    }

    fn poll_packet(&mut self, _now: Timestamp) -> Option<Outgoing> {
        if !std::mem::take(&mut self.is_ticking) {
            return None;
        }
        let acks = std::mem::take(&mut self.acks);
        let number = acks.last().map_or(0, |(number, _)| *number);
        let bytes = wire::acks(self.next, &acks);
        Some(Outgoing { bytes, label: Label::Ack { number } })
    }

    fn poll_message(&mut self) -> Option<Vec<u8>> {
        self.messages.pop_front()
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.next_tick
    }
}

/// The next multiple of the interval.
fn next_tick(now: Timestamp) -> Timestamp {
    let interval = u64::try_from(INTERVAL.as_micros()).unwrap_or(u64::MAX);
    Timestamp::from_micros((now.as_micros() / interval + 1) * interval)
}

/// Segments with a header of 24 bytes each: what is not needed here is zero.
mod wire {
    use super::HEADER_BYTES;
    use crate::time::Timestamp;

    fn header(first: u64, second: u64) -> Vec<u8> {
        let mut bytes = [first.to_be_bytes(), second.to_be_bytes()].concat();
        bytes.resize(HEADER_BYTES, 0);
        bytes
    }

    fn read_header(bytes: &[u8]) -> Option<(u64, u64)> {
        let (first, rest) = bytes.split_first_chunk()?;
        let (second, _) = rest.split_first_chunk()?;
        Some((u64::from_be_bytes(*first), u64::from_be_bytes(*second)))
    }

    pub(super) fn data(number: u64, now: Timestamp, message: &[u8]) -> Vec<u8> {
        let mut bytes = header(number, now.as_micros());
        bytes.extend(message);
        bytes
    }

    pub(super) fn read_data(packet: &[u8]) -> Option<(u64, Timestamp, &[u8])> {
        let (number, sent_at) = read_header(packet)?;
        Some((number, Timestamp::from_micros(sent_at), packet.get(HEADER_BYTES..)?))
    }

    /// A header with the first number that is missing, then one for each acknowledgement.
    pub(super) fn acks(unacked: u64, acks: &[(u64, Timestamp)]) -> Vec<u8> {
        let mut bytes = header(unacked, 0);
        for (number, sent_at) in acks {
            bytes.extend(header(*number, sent_at.as_micros()));
        }
        bytes
    }

    pub(super) fn read_acks(packet: &[u8]) -> Option<(u64, Vec<(u64, Timestamp)>)> {
        let (unacked, _) = read_header(packet)?;
        let acks = packet.get(HEADER_BYTES..)?.chunks_exact(HEADER_BYTES).filter_map(read_header);
        Some((unacked, acks.map(|(number, at)| (number, Timestamp::from_micros(at))).collect()))
    }
}
