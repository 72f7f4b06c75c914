//! Packets under way, and what becomes of them: acknowledged, overdue, lost (RFC 9002 §6.1).

use std::collections::VecDeque;

use super::{
    congestion::Snapshot,
    frame::AckFrame,
    rtt::Rtt,
    streams::Part,
    tuning::{
        PACKET_THRESHOLD, PACKET_THRESHOLD_MAX, TIME_THRESHOLD_EIGHTHS, TIME_THRESHOLD_EIGHTHS_MAX,
    },
};
use crate::time::Timestamp;

/// Packets sent, by number, as far back as any of them matters.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// The number of the first slot.
    first: u64,
    slots: VecDeque<Slot>,
    largest_acked: Option<u64>,
    /// Bytes and number of packets that are neither acknowledged nor lost.
    in_flight: u64,
    packets_in_flight: usize,
    /// How far numbers may be out of order before a packet is lost.
    packet_threshold: u64,
    /// Eighths of a round trip after which one is, if a later one arrived.
    time_threshold: u32,
}

#[derive(Clone, Debug)]
enum Slot {
    /// Nobody waits for its acknowledgement: it had nothing but acknowledgements in it, or has been
    /// acknowledged.
    Done,
    Flight(SentPacket),
    /// Given up. It is remembered for a while, to notice that it arrived after all.
    Lost(SentPacket),
}

/// One packet that asks for an acknowledgement.
#[derive(Clone, Debug)]
pub(super) struct SentPacket {
    pub(super) sent_at: Timestamp,
    pub(super) bytes: u64,
    /// It asked for an acknowledgement at once.
    pub(super) asks_now: bool,
    /// Its content was sent again because it was overdue.
    pub(super) is_probed: bool,
    pub(super) contents: Vec<Content>,
    pub(super) snapshot: Snapshot,
}

/// What a packet held that may have to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Part(Part),
    Credit,
    Name,
    /// A padded packet that asks whether the path carries this size.
    Size(usize),
}

/// Why a packet leaves: for the most part of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It carries no messages: acknowledgements, credit, a larger size to try.
    Control,
    /// For the first time.
    First,
    /// Packets sent later arrived (RFC 9002 §6.1.1).
    Order,
    /// One sent later arrived, and time went by (RFC 9002 §6.1.2).
    Time,
    /// Nothing was heard of it for too long.
    Overdue,
    /// One more time with the same try.
    Copy,
}

impl Reason {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::First => "first",
            Self::Order => "order",
            Self::Time => "time",
            Self::Overdue => "overdue",
            Self::Copy => "copy",
        }
    }
}

/// An acknowledgement for something that was never sent: the peer is broken, or worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("packet {0} is acknowledged and was never sent")]
pub struct NeverSent(pub u64);

/// What an acknowledgement said that was news.
#[derive(Debug, Default)]
pub(super) struct AckOutcome {
    /// Numbers and packets, ascending.
    pub(super) acked: Vec<(u64, SentPacket)>,
    /// Of these, given up before.
    pub(super) spurious: u64,
    /// The largest number that it names is news.
    pub(super) is_largest_new: bool,
}

impl Default for Sent {
    fn default() -> Self {
        Self {
            first: 0,
            slots: VecDeque::new(),
            largest_acked: None,
            in_flight: 0,
            packets_in_flight: 0,
            packet_threshold: PACKET_THRESHOLD,
            time_threshold: TIME_THRESHOLD_EIGHTHS,
        }
    }
}

impl Sent {
    /// Gives memory back that it does not need now.
    pub(super) fn rest(&mut self) {
        self.slots.shrink_to_fit();
    }

    /// The number of the next packet.
    pub(super) fn next_number(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// Bytes under way.
    pub(super) const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Packets under way.
    pub(super) const fn packets_in_flight(&self) -> usize {
        self.packets_in_flight
    }

    /// The largest number that was acknowledged.
    pub(super) const fn largest_acked(&self) -> Option<u64> {
        self.largest_acked
    }

    /// A packet left; `None` if it asks for no acknowledgement.
    pub(super) fn push(&mut self, packet: Option<SentPacket>) {
        match packet {
            Some(packet) => {
                self.in_flight += packet.bytes;
                self.packets_in_flight += 1;
                self.slots.push_back(Slot::Flight(packet));
            }
            None => self.slots.push_back(Slot::Done),
        }
        self.forget_done();
    }

    /// Takes an acknowledgement.
    pub(super) fn on_ack(&mut self, ack: &AckFrame<'_>) -> Result<AckOutcome, NeverSent> {
        if ack.largest >= self.next_number() {
            return Err(NeverSent(ack.largest));
        }
        let mut outcome = AckOutcome::default();
        for range in ack.ranges() {
            for number in (*range.start().max(&self.first)..=*range.end()).rev() {
                let Some(slot) = self.slot(number) else { continue };
                match std::mem::replace(slot, Slot::Done) {
                    Slot::Done => {}
                    Slot::Flight(packet) => {
                        self.in_flight -= packet.bytes;
                        self.packets_in_flight -= 1;
                        outcome.acked.push((number, packet));
                    }
                    Slot::Lost(packet) => {
                        outcome.spurious += 1;
                        outcome.acked.push((number, packet));
                    }
                }
            }
        }
        if outcome.spurious > 0 {
            // The path reorders more than we thought.
            self.packet_threshold = (self.packet_threshold + 1).min(PACKET_THRESHOLD_MAX);
            self.time_threshold = (self.time_threshold + 2).min(TIME_THRESHOLD_EIGHTHS_MAX);
        }
        outcome.acked.reverse();
        outcome.is_largest_new = outcome.acked.last().is_some_and(|(n, _)| *n == ack.largest);
        self.largest_acked = self.largest_acked.max(Some(ack.largest));
        self.forget_done();
        Ok(outcome)
    }

    /// Gives up what later packets have overtaken. Calls `lost` for each, the oldest first.
    pub(super) fn detect_lost(
        &mut self,
        now: Timestamp,
        rtt: &Rtt,
        mut lost: impl FnMut(u64, &SentPacket, Reason),
    ) {
        let Some(largest) = self.largest_acked else { return };
        let delay = rtt.loss_delay(self.time_threshold);
        let below = self.slots.iter_mut().enumerate();
        for (at, slot) in below {
            let number = self.first + at as u64;
            if number >= largest {
                break;
            }
            let Slot::Flight(packet) = slot else { continue };
            let reason = if number + self.packet_threshold <= largest {
                Reason::Order
            } else if packet.sent_at + delay <= now {
                Reason::Time
            } else {
                continue;
            };
            self.in_flight -= packet.bytes;
            self.packets_in_flight -= 1;
            lost(number, packet, reason);
            let Slot::Flight(packet) = std::mem::replace(slot, Slot::Done) else { continue };
            *slot = Slot::Lost(packet);
        }
    }

    /// When the next packet will be lost by time.
    pub(super) fn loss_due(&self, rtt: &Rtt) -> Option<Timestamp> {
        let largest = self.largest_acked?;
        let (number, packet) = self.flight().next()?;
        (number < largest).then(|| packet.sent_at + rtt.loss_delay(self.time_threshold))
    }

    /// The oldest packet of which nothing was heard and whose content was not sent again.
    pub(super) fn oldest_unprobed(&self) -> Option<&SentPacket> {
        self.flight().map(|(_, packet)| packet).find(|packet| !packet.is_probed)
    }

    /// Marks every packet probed for which `is_overdue`, and gives their numbers and contents,
    /// the oldest first.
    pub(super) fn probe(
        &mut self,
        is_overdue: impl Fn(&SentPacket) -> bool,
    ) -> Vec<(u64, Vec<Content>)> {
        let mut probed = Vec::new();
        for (at, slot) in self.slots.iter_mut().enumerate() {
            let Slot::Flight(packet) = slot else { continue };
            if !packet.is_probed && is_overdue(packet) {
                packet.is_probed = true;
                probed.push((self.first + at as u64, packet.contents.clone()));
            }
        }
        probed
    }

    /// Forgets what was given up before `horizon`.
    pub(super) fn forget_lost(&mut self, horizon: Timestamp) {
        for slot in &mut self.slots {
            match slot {
                Slot::Lost(packet) if packet.sent_at < horizon => *slot = Slot::Done,
                Slot::Lost(_) | Slot::Flight(_) => break,
                Slot::Done => {}
            }
        }
        self.forget_done();
    }

    fn flight(&self) -> impl Iterator<Item = (u64, &SentPacket)> {
        let numbered = self.slots.iter().zip(self.first..);
        numbered.filter_map(|(slot, number)| match slot {
            Slot::Flight(packet) => Some((number, packet)),
            Slot::Done | Slot::Lost(_) => None,
        })
    }

    fn slot(&mut self, number: u64) -> Option<&mut Slot> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.slots.get_mut(at)
    }

    fn forget_done(&mut self) {
        while matches!(self.slots.front(), Some(Slot::Done)) {
            self.slots.pop_front();
            self.first += 1;
        }
        if self.slots.is_empty() {
            // A session that rests holds nothing.
            self.slots = VecDeque::new();
        }
    }
}
