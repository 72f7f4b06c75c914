//! One packet at a time: the next one leaves when the last one was acknowledged.
//!
//! With a round trip of *R*, a timeout of *T* and a share *s* of tries that come through in both
//! directions, a message takes *R + (1/s − 1) T* on average.

use std::collections::VecDeque;

use super::{
    Cause, Gauges, InOrder, Label, Outgoing, Sender, Timer,
    wire::{self, Packet},
};
use crate::time::Timestamp;

/// The sender.
#[derive(Clone, Debug)]
pub struct StopAndWait {
    timer: Timer,
    /// Messages not known to have arrived; the first is the one under way.
    messages: VecDeque<Vec<u8>>,
    /// The number of that one.
    number: u64,
    /// When it was sent last, and how often.
    sent_at: Option<Timestamp>,
    tries: u32,
    is_due: bool,
}

impl StopAndWait {
    /// A sender without messages, and its receiver.
    pub const fn new(timer: Timer) -> (Self, InOrder) {
        let messages = VecDeque::new();
        let sender = Self { timer, messages, number: 0, sent_at: None, tries: 0, is_due: false };
        (sender, InOrder::new())
    }
}

impl Sender for StopAndWait {
    fn write(&mut self, _now: Timestamp, _conversation: u8, message: &[u8]) {
        self.messages.push_back(message.to_vec());
        self.is_due |= self.tries == 0;
    }

    fn handle_packet(&mut self, now: Timestamp, packet: &[u8]) {
        // One that came twice or late still wants the one under way.
        let Some(Packet::Ack { number }) = wire::read(packet) else { return };
        let Some(sent_at) = self.sent_at.filter(|_| number == self.number + 1) else { return };
        if self.tries == 1 {
            self.timer.measure(now.since(sent_at));
        }
        self.timer.calm_down();
        self.messages.pop_front();
        self.number += 1;
        (self.sent_at, self.tries, self.is_due) = (None, 0, true);
    }

    fn handle_timeout(&mut self, _now: Timestamp) {
        self.timer.back_off();
        (self.sent_at, self.is_due) = (None, true);
    }

    fn poll_packet(&mut self, now: Timestamp) -> Option<Outgoing> {
        let message = self.messages.front().filter(|_| self.is_due)?;
        let cause = if self.tries == 0 { Cause::First } else { Cause::Timeout };
        self.is_due = false;
        self.sent_at = Some(now);
        self.tries += 1;
        let label = Label::Data { number: self.number, cause };
        Some(Outgoing { bytes: wire::data(self.number, message), label })
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.sent_at.map(|sent_at| sent_at + self.timer.timeout())
    }

    fn is_done(&self) -> bool {
        self.messages.is_empty()
    }

    fn gauges(&self) -> Gauges {
        Gauges {
            round_trip: self.timer.round_trip(),
            timeout: self.timer.timeout(),
            window: 1,
            in_flight: u64::from(self.sent_at.is_some()),
        }
    }
}
