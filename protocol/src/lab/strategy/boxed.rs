//! Halves of a strategy that is chosen while the program runs.

use super::{Gauges, Outgoing, Receiver, Sender};
use crate::time::Timestamp;

impl<T: Sender + ?Sized> Sender for Box<T> {
    fn write(&mut self, now: Timestamp, conversation: u8, message: &[u8]) {
        (**self).write(now, conversation, message);
    }

    fn handle_packet(&mut self, now: Timestamp, packet: &[u8]) {
        (**self).handle_packet(now, packet);
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        (**self).handle_timeout(now);
    }

    fn poll_packet(&mut self, now: Timestamp) -> Option<Outgoing> {
        (**self).poll_packet(now)
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        (**self).poll_timeout()
    }

    fn is_done(&self) -> bool {
        (**self).is_done()
    }

    fn gauges(&self) -> Gauges {
        (**self).gauges()
    }
}

impl<T: Receiver + ?Sized> Receiver for Box<T> {
    fn handle_packet(&mut self, now: Timestamp, packet: &[u8]) {
        (**self).handle_packet(now, packet);
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        (**self).handle_timeout(now);
    }

    fn poll_packet(&mut self, now: Timestamp) -> Option<Outgoing> {
        (**self).poll_packet(now)
    }

    fn poll_message(&mut self) -> Option<Vec<u8>> {
        (**self).poll_message()
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        (**self).poll_timeout()
    }
}
