//! The receiver of an experiment that is on another host, as the stage meets it.

use std::{collections::VecDeque, time::Duration};

use super::{Given, RunName, host::PACKET_BYTES_MAX, wire::Said};
use crate::{
    lab::{
        experiment::{Traffic, message_of},
        strategy::{Outgoing, Receiver},
    },
    time::Timestamp,
};

/// How often it looks what was given out, and whether the host is still there.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Looks in a row without an answer, after which the host counts as gone. They are counted, and not
/// the time: a guest that was stopped for a while has heard nothing either.
pub const UNANSWERED_MAX: u32 = 10;
/// Bytes of a datagram of the host at most: a packet with what stands in front of it. What it has to
/// say of every conversation is less.
const DATAGRAM_BYTES_MAX: usize = PACKET_BYTES_MAX + 128;

/// A receiver elsewhere, from the beginning of a run on. What it has delivered is known when the news
/// has come.
#[derive(Debug)]
pub struct Guest {
    run: RunName,
    traffic: Traffic,
    outgoing: VecDeque<Vec<u8>>,
    packets: VecDeque<Outgoing>,
    /// Messages that are known to be given out, and were not taken yet.
    messages: VecDeque<u32>,
    /// By conversation, messages that are known to be given out.
    given: Vec<u32>,
    /// The last look.
    look: u32,
    /// The first one after everything was sent, and whether it or a later one was answered.
    final_look: Option<u32>,
    is_answered: bool,
    next_look: Timestamp,
    /// Looks since the host was heard.
    unanswered: u32,
}

impl Guest {
    /// One whose run has just begun.
    pub fn new(now: Timestamp, run: RunName, traffic: Traffic) -> Self {
        Self {
            run,
            traffic,
            outgoing: VecDeque::new(),
            packets: VecDeque::new(),
            messages: VecDeque::new(),
            given: vec![0; traffic.conversations.into()],
            look: 0,
            final_look: None,
            is_answered: false,
            next_look: now + LOOK_INTERVAL,
            unanswered: 0,
        }
    }

    /// Takes what came from the host.
    pub fn handle_datagram(&mut self, datagram: &[u8]) {
        if datagram.len() > DATAGRAM_BYTES_MAX {
            return;
        }
        let Some((_, said)) = Said::decode(datagram).filter(|(run, _)| *run == self.run) else {
            return;
        };
        match said {
            Said::Answer(report, packet) => {
                self.unanswered = 0;
                self.learn(&report);
                self.packets.extend(packet);
            }
            Said::Seen(look, report) => {
                self.unanswered = 0;
                self.learn(&report);
                // On a long way, answers come when there are newer looks already.
                self.is_answered |=
                    self.final_look.is_some_and(|first| (first..=self.look).contains(&look));
            }
            // Late, or not for a guest.
            Said::Cookie(_)
            | Said::Begun
            | Said::Refused
            | Said::Ask(_)
            | Said::Begin(..)
            | Said::Packet(_)
            | Said::Look(..)
            | Said::Leave => {}
        }
    }

    /// A datagram for the host.
    pub fn poll_datagram(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// Nothing more will be sent: the answer to a look from now on says everything.
    pub fn look_finally(&mut self, now: Timestamp) {
        self.look(now);
        self.final_look = Some(self.look);
    }

    /// Whether a look was answered after everything was sent.
    pub const fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// Whether the host has not been heard for too long.
    pub const fn is_alone(&self) -> bool {
        self.unanswered > UNANSWERED_MAX
    }

    /// The host may forget it.
    pub fn leave(&mut self) {
        self.outgoing.push_back(Said::Leave.encode(self.run));
    }

    /// Asks for everything that was given out by the time that the host hears it.
    fn look(&mut self, now: Timestamp) {
        self.look += 1;
        self.next_look = now + LOOK_INTERVAL;
        self.unanswered += 1;
        let look = Said::Look(self.look, self.traffic.conversations);
        self.outgoing.push_back(look.encode(self.run));
    }

    fn learn(&mut self, report: &[Given]) {
        let Traffic { messages, conversations, .. } = self.traffic;
        for Given { conversation, messages: count } in report {
            let Some(given) = self.given.get_mut(usize::from(*conversation)) else { continue };
            while *given < *count {
                let number = *given * u32::from(conversations) + u32::from(*conversation);
                // A host that says more than can have been sent is not believed.
                if number >= messages {
                    break;
                }
                self.messages.push_back(number);
                *given += 1;
            }
        }
    }
}

impl Receiver for Guest {
    fn handle_packet(&mut self, _now: Timestamp, packet: &[u8]) {
        self.outgoing.push_back(Said::Packet(packet).encode(self.run));
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.look(now);
    }

    fn poll_packet(&mut self, _now: Timestamp) -> Option<Outgoing> {
        self.packets.pop_front()
    }

    fn poll_message(&mut self) -> Option<Vec<u8>> {
        self.messages.pop_front().map(|number| message_of(number, self.traffic.bytes))
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        Some(self.next_look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::strategy::Label;

    const RUN: RunName = [3; 8];

    fn guest() -> Guest {
        let traffic =
            Traffic { messages: 600, bytes: 100, every: Duration::ZERO, conversations: 255 };
        Guest::new(Timestamp::ZERO, RUN, traffic)
    }

    fn packet(bytes: usize) -> Outgoing {
        Outgoing { bytes: vec![0; bytes], label: Label::Ack { number: 0 } }
    }

    #[test]
    fn an_answer_that_is_too_large_is_not_taken() {
        let everything: Vec<_> =
            (0..255).map(|conversation| Given { conversation, messages: 1 }).collect();
        let mut guest = guest();
        guest.handle_datagram(&Said::Seen(1, everything.clone()).encode(RUN));
        assert_eq!(std::iter::from_fn(|| guest.poll_message()).count(), 255);
        let (few, most) = (everything[..16].to_vec(), packet(PACKET_BYTES_MAX));
        guest.handle_datagram(&Said::Answer(few, Some(most.clone())).encode(RUN));
        assert_eq!(guest.poll_packet(Timestamp::ZERO), Some(most));
        let too_large = Said::Answer(everything, Some(packet(PACKET_BYTES_MAX))).encode(RUN);
        guest.handle_datagram(&too_large);
        assert_eq!(guest.poll_packet(Timestamp::ZERO), None);
    }

    #[test]
    fn only_a_look_after_everything_was_sent_ends_it() {
        let mut guest = guest();
        let seen = |look| Said::Seen(look, Vec::new()).encode(RUN);
        guest.handle_timeout(Timestamp::ZERO);
        guest.look_finally(Timestamp::ZERO);
        guest.handle_timeout(Timestamp::ZERO);
        for earlier_or_never_asked in [1, 4] {
            guest.handle_datagram(&seen(earlier_or_never_asked));
            assert!(!guest.is_answered());
        }
        guest.handle_datagram(&seen(2));
        assert!(guest.is_answered());
        guest.handle_timeout(Timestamp::ZERO);
        assert!(guest.is_answered(), "another look takes nothing back");
    }
}
