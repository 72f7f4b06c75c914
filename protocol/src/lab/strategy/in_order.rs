//! The receiver of whoever sends in order: it takes the next number and nothing else, and answers
//! whatever comes with the number that it wants next.

use std::collections::VecDeque;

use super::{
    Label, Outgoing, Receiver,
    wire::{self, Packet},
};
use crate::time::Timestamp;

/// The receiver.
#[derive(Clone, Debug)]
pub struct InOrder {
    next: u64,
    messages: VecDeque<Vec<u8>>,
    acks: VecDeque<u64>,
}

impl InOrder {
    pub(super) const fn new() -> Self {
        Self { next: 0, messages: VecDeque::new(), acks: VecDeque::new() }
    }
}

impl Receiver for InOrder {
    fn handle_packet(&mut self, _now: Timestamp, packet: &[u8]) {
        let Some(Packet::Data { number, message }) = wire::read(packet) else { return };
        if number == self.next {
            self.next += 1;
            self.messages.push_back(message.to_vec());
        }
        self.acks.push_back(self.next);
    }

    fn poll_packet(&mut self, _now: Timestamp) -> Option<Outgoing> {
        let number = self.acks.pop_front()?;
        Some(Outgoing { bytes: wire::ack(number), label: Label::Ack { number } })
    }

    fn poll_message(&mut self) -> Option<Vec<u8>> {
        self.messages.pop_front()
    }
}
