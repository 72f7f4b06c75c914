//! A window of packets under way, each with a timer of its own: only what is lost is sent again.
//!
//! The receiver keeps what came early and acknowledges each packet by its number. With a window that
//! covers a timeout, the throughput is the share that comes through.

use std::collections::{BTreeMap, VecDeque};

use super::{
    Cause, Gauges, Label, Outgoing, Receiver, Sender, Timer,
    wire::{self, Packet},
};
use crate::time::Timestamp;

/// The sender.
#[derive(Clone, Debug)]
pub struct SelectiveRepeat {
    timer: Timer,
    window: u64,
    /// Messages from number `base` on, as long as not all from there on have arrived.
    messages: VecDeque<Under>,
    base: u64,
    /// The next number that was never sent.
    next: u64,
}

#[derive(Clone, Debug)]
struct Under {
    message: Vec<u8>,
    state: State,
    tries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has to be sent.
    Due,
    /// It was sent last then.
    Sent(Timestamp),
    Arrived,
}

impl SelectiveRepeat {
    /// A sender without messages whose packets under way are at most `window` numbers apart, and its
    /// receiver.
    pub const fn new(timer: Timer, window: u64) -> (Self, SelectiveRepeatReceiver) {
        let sender = Self { timer, window, messages: VecDeque::new(), base: 0, next: 0 };
        let receiver = SelectiveRepeatReceiver {
            window,
            next: 0,
            early: BTreeMap::new(),
            messages: VecDeque::new(),
            acks: VecDeque::new(),
        };
        (sender, receiver)
    }

    /// What was sent and not acknowledged, with when.
    fn under_way(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let sent = usize::try_from(self.next - self.base).unwrap_or(usize::MAX);
        self.messages.iter().take(sent).filter_map(|under| match under.state {
            State::Sent(at) => Some(at),
            State::Due | State::Arrived => None,
        })
    }
}

impl Sender for SelectiveRepeat {
    fn write(&mut self, _now: Timestamp, _conversation: u8, message: &[u8]) {
        let under = Under { message: message.to_vec(), state: State::Due, tries: 0 };
        self.messages.push_back(under);
    }

    fn handle_packet(&mut self, now: Timestamp, packet: &[u8]) {
        let Some(Packet::Ack { number }) = wire::read(packet) else { return };
        // What was never sent has not arrived, whoever says so.
        let at = number.checked_sub(self.base).filter(|_| number < self.next);
        let at = at.and_then(|at| usize::try_from(at).ok());
        let Some(under) = at.and_then(|at| self.messages.get_mut(at)) else { return };
        if let (State::Sent(sent_at), 1) = (under.state, under.tries) {
            self.timer.measure(now.since(sent_at));
        }
        under.state = State::Arrived;
        self.timer.calm_down();
        while self.messages.front().is_some_and(|under| under.state == State::Arrived) {
            self.messages.pop_front();
            self.base += 1;
        }
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        let timeout = self.timer.timeout();
        let sent = usize::try_from(self.next - self.base).unwrap_or(usize::MAX);
        for under in self.messages.iter_mut().take(sent) {
            if matches!(under.state, State::Sent(at) if at + timeout <= now) {
                under.state = State::Due;
            }
        }
        self.timer.back_off();
    }

    fn poll_packet(&mut self, now: Timestamp) -> Option<Outgoing> {
        let in_window = self.messages.iter_mut().zip(self.base..self.base + self.window);
        let (under, number) = in_window.into_iter().find(|(it, _)| it.state == State::Due)?;
        let cause = if under.tries == 0 { Cause::First } else { Cause::Timeout };
        (under.state, under.tries) = (State::Sent(now), under.tries + 1);
        let bytes = wire::data(number, &under.message);
        self.next = self.next.max(number + 1);
        Some(Outgoing { bytes, label: Label::Data { number, cause } })
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.under_way().min().map(|sent_at| sent_at + self.timer.timeout())
    }

    fn is_done(&self) -> bool {
        self.messages.is_empty()
    }

    fn gauges(&self) -> Gauges {
        Gauges {
            round_trip: self.timer.round_trip(),
            timeout: self.timer.timeout(),
            window: self.window,
            in_flight: self.under_way().count() as u64,
        }
    }
}

/// The receiver: keeps what came early, and gives it out when its turn has come.
#[derive(Clone, Debug)]
pub struct SelectiveRepeatReceiver {
    window: u64,
    next: u64,
    early: BTreeMap<u64, Vec<u8>>,
    messages: VecDeque<Vec<u8>>,
    acks: VecDeque<u64>,
}

impl Receiver for SelectiveRepeatReceiver {
    fn handle_packet(&mut self, _now: Timestamp, packet: &[u8]) {
        let Some(Packet::Data { number, message }) = wire::read(packet) else { return };
        if number >= self.next + self.window {
            return;
        }
        if number >= self.next {
            self.early.insert(number, message.to_vec());
        }
        while let Some(message) = self.early.remove(&self.next) {
            self.messages.push_back(message);
            self.next += 1;
        }
        self.acks.push_back(number);
    }

    fn poll_packet(&mut self, _now: Timestamp) -> Option<Outgoing> {
        let number = self.acks.pop_front()?;
        Some(Outgoing { bytes: wire::ack(number), label: Label::Ack { number } })
    }

    fn poll_message(&mut self) -> Option<Vec<u8>> {
        self.messages.pop_front()
    }
}
