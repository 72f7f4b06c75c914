//! A window of packets under way and one timer: when it goes off, everything under way is sent again.
//!
//! The receiver takes packets in order only and acknowledges how far it is, so that it needs no
//! buffer, and a lost acknowledgement is made up for by the next. Every loss costs a whole timeout's
//! worth of packets: with *K* of them, a share *1 − p* that comes through gives a throughput of
//! *(1 − p) / (1 − p + K p)*.

use std::collections::VecDeque;

use super::{
    Cause, Gauges, InOrder, Label, Outgoing, Sender, Timer,
    wire::{self, Packet},
};
use crate::time::Timestamp;

/// The sender.
#[derive(Clone, Debug)]
pub struct GoBackN {
    timer: Timer,
    window: u64,
    /// Messages not known to have arrived, from number `base` on.
    messages: VecDeque<Under>,
    base: u64,
    /// The next number to leave; below it and from `base` on, packets are under way.
    next: u64,
    /// The next number that was never sent.
    fresh: u64,
}

/// A message, and when it was sent last and how often.
#[derive(Clone, Debug)]
struct Under {
    message: Vec<u8>,
    sent_at: Timestamp,
    tries: u32,
}

impl GoBackN {
    /// A sender without messages that has at most `window` packets under way, and its receiver.
    pub const fn new(timer: Timer, window: u64) -> (Self, InOrder) {
        let sender = Self { timer, window, messages: VecDeque::new(), base: 0, next: 0, fresh: 0 };
        (sender, InOrder::new())
    }

    fn under_way(&self) -> usize {
        usize::try_from(self.next - self.base).unwrap_or(usize::MAX)
    }
}

impl Sender for GoBackN {
    fn write(&mut self, now: Timestamp, _conversation: u8, message: &[u8]) {
        self.messages.push_back(Under { message: message.to_vec(), sent_at: now, tries: 0 });
    }

    fn handle_packet(&mut self, now: Timestamp, packet: &[u8]) {
        // `number` is the one that is wanted next: all below have arrived.
        let Some(Packet::Ack { number }) = wire::read(packet) else { return };
        while self.base < number.min(self.fresh) {
            let Some(under) = self.messages.pop_front() else { return };
            if under.tries == 1 && self.base + 1 == number {
                self.timer.measure(now.since(under.sent_at));
            }
            self.timer.calm_down();
            self.base += 1;
            self.next = self.next.max(self.base);
        }
    }

    fn handle_timeout(&mut self, _now: Timestamp) {
        self.timer.back_off();
        self.next = self.base;
    }

    fn poll_packet(&mut self, now: Timestamp) -> Option<Outgoing> {
        if self.next >= self.base + self.window {
            return None;
        }
        let at = self.under_way();
        let under = self.messages.get_mut(at)?;
        let cause = match (under.tries, at) {
            (0, _) => Cause::First,
            (_, 0) => Cause::Timeout,
            _ => Cause::GoBack,
        };
        (under.sent_at, under.tries) = (now, under.tries + 1);
        let number = self.next;
        let bytes = wire::data(number, &under.message);
        self.next += 1;
        self.fresh = self.fresh.max(self.next);
        Some(Outgoing { bytes, label: Label::Data { number, cause } })
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        let oldest = self.messages.front().filter(|_| self.next > self.base)?;
        Some(oldest.sent_at + self.timer.timeout())
    }

    fn is_done(&self) -> bool {
        self.messages.is_empty()
    }

    fn gauges(&self) -> Gauges {
        Gauges {
            round_trip: self.timer.round_trip(),
            timeout: self.timer.timeout(),
            window: self.window,
            in_flight: self.next - self.base,
        }
    }
}
