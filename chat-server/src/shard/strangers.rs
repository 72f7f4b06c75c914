//! Datagrams of those who have no session, and how much of the shard's time they get.
//!
//! Anybody can send them, from any address, as fast as the network carries. So they have a socket of
//! their own; it is read after everybody else was served, a few hundred datagrams at a time, and then
//! left alone for three times as long as that took. What comes faster fills the socket's buffer, and
//! the kernel drops the rest: a client asks again, and somebody who floods us gets no more than a
//! quarter of the shard's time.

use std::{task::Context, time::Duration};

use protocol::{time::Timestamp, transport::datagram::Codepoint};

use crate::net::udp::{DatagramSocket, ReceiveBuffer, Route};

/// Times that each socket is read before it rests: 32 datagrams each.
const RECEIVES_PER_SERVING: usize = 4;
/// How much longer than a serving took is the rest after it.
const REST_FACTOR: u32 = 3;
/// Longest rest: a serving that took longer than it costs was interrupted by another program.
const REST_MAX: Duration = Duration::from_millis(5);

/// The sockets for strangers.
pub(super) struct Strangers {
    sockets: Vec<DatagramSocket>,
    /// They are served again from here on.
    rests_until: Timestamp,
    /// Some may wait.
    is_waiting: bool,
    /// Datagrams of the serving that goes on.
    taken: usize,
}

impl Strangers {
    pub(super) const fn new(sockets: Vec<DatagramSocket>) -> Self {
        Self { sockets, rests_until: Timestamp::ZERO, is_waiting: false, taken: 0 }
    }

    /// Whether it is their turn.
    pub(super) fn are_due(&mut self, now: Timestamp) -> bool {
        // Whether anybody came meanwhile is only known when the sockets are read.
        self.is_waiting = true;
        self.rests_until <= now
    }

    /// Takes some of what has arrived. True if there may be more; else the shard is woken by it.
    pub(super) fn receive(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReceiveBuffer,
        take: &mut impl FnMut(Route, Codepoint, &mut [u8]),
    ) -> bool {
        let (mut is_more, mut taken) = (false, 0);
        let mut take = |route, codepoint, datagram: &mut [u8]| {
            taken += 1;
            take(route, codepoint, datagram);
        };
        for socket in &self.sockets {
            is_more |= socket.receive_rounds(RECEIVES_PER_SERVING, context, buffer, &mut take);
        }
        self.taken = taken;
        is_more
    }

    /// They were served for this long.
    pub(super) fn rest(&mut self, begun: Timestamp, ended: Timestamp, is_more: bool) {
        self.is_waiting = is_more;
        if self.taken > 0 || is_more {
            self.rests_until = ended + (ended.since(begun) * REST_FACTOR).min(REST_MAX);
        }
    }

    /// When they have to be looked at.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.is_waiting.then_some(self.rests_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn strangers_get_a_quarter_of_the_time_and_are_not_forgotten() {
        let mut strangers = Strangers::new(Vec::new());
        assert_eq!(strangers.next(), None, "nobody is there");
        assert!(strangers.are_due(at(1_000)));
        strangers.taken = 128;
        strangers.rest(at(1_000), at(1_500), false);
        assert_eq!(strangers.next(), None, "whoever comes wakes the shard");
        assert!(!strangers.are_due(at(2_999)));
        assert_eq!(strangers.next(), Some(at(3_000)), "somebody came while they rest");
        assert!(strangers.are_due(at(3_000)));
        strangers.rest(at(10_000), at(30_000), true);
        assert_eq!(strangers.next(), Some(at(35_000)), "not for a pause that was not theirs");
    }

    #[test]
    fn a_look_at_nobody_needs_no_rest() {
        let mut strangers = Strangers::new(Vec::new());
        assert!(strangers.are_due(at(1_000)));
        strangers.rest(at(1_000), at(1_002), false);
        assert!(strangers.are_due(at(1_003)));
    }
}
