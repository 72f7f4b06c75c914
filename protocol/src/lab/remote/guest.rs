//! The receiver of an experiment that is on another host, as the stage meets it.

use std::{collections::VecDeque, time::Duration};

use super::{Given, RunName, wire::Said};
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

/// A receiver elsewhere, from the beginning of a run on. What it has delivered is known when the news
/// has come.
#[derive(Debug)]
pub struct Guest {
    run: RunName,
    traffic: Traffic,
    outgoing: VecDeque<Vec<u8>>,
    packets: VecDeque<Outgoing>,
    messages: VecDeque<Vec<u8>>,
    /// By conversation, messages that are known to be given out.
    given: Vec<u32>,
    /// The last look, and whether it was answered.
    look: u32,
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
            is_answered: false,
            next_look: now + LOOK_INTERVAL,
            unanswered: 0,
        }
    }

    /// Takes what came from the host.
    pub fn handle_datagram(&mut self, datagram: &[u8]) {
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
                self.is_answered |= look == self.look;
            }
            // Late, or not for a guest.
            Said::Cookie(_)
            | Said::Begun
            | Said::Refused
            | Said::Ask(_)
            | Said::Begin(..)
            | Said::Packet(_)
            | Said::Look(_)
            | Said::Leave => {}
        }
    }

    /// A datagram for the host.
    pub fn poll_datagram(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// Asks for everything that was given out by the time that the host hears it.
    pub fn look(&mut self, now: Timestamp) {
        self.look = self.look.wrapping_add(1);
        (self.is_answered, self.next_look) = (false, now + LOOK_INTERVAL);
        self.unanswered += 1;
        self.outgoing.push_back(Said::Look(self.look).encode(self.run));
    }

    /// Whether the last look was answered.
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

    fn learn(&mut self, report: &[Given]) {
        let Traffic { messages, bytes, conversations, .. } = self.traffic;
        for Given { conversation, messages: count } in report {
            let Some(given) = self.given.get_mut(usize::from(*conversation)) else { continue };
            while *given < *count {
                let number = *given * u32::from(conversations) + u32::from(*conversation);
                // A host that says more than can have been sent is not believed.
                if number >= messages {
                    break;
                }
                self.messages.push_back(message_of(number, bytes));
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
        self.messages.pop_front()
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        Some(self.next_look)
    }
}
