//! What follows from acknowledgements, and from their absence (RFC 9002 §6).

use std::time::Duration;

use super::{
    Transport, Violation,
    congestion::{Acked, Lost},
    frame::AckFrame,
    rtt::Rtt,
    sent::{Content, Reason, SentPacket},
    tuning::{ACK_DELAY_MAX, PATIENT_PROBES, PERSISTENT_CONGESTION_PROBES, PROBE_INTERVAL_MAX},
};
use crate::time::Timestamp;

/// How long to wait for what is overdue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Probing {
    /// Intervals that ended without any acknowledgement, since the last one.
    silent: u32,
    /// When the current interval began.
    since: Timestamp,
    /// A packet that may leave although window and pace forbid it.
    has_allowance: bool,
}

impl Probing {
    /// A packet leaves while so many bytes are under way.
    pub(super) fn on_sent(&mut self, now: Timestamp, in_flight: u64) {
        if in_flight == 0 {
            self.since = now;
        }
    }

    pub(super) fn take_allowance(&mut self) -> bool {
        std::mem::take(&mut self.has_allowance)
    }

    fn on_acked(&mut self, now: Timestamp) {
        *self = Self { silent: 0, since: now, has_allowance: false };
    }

    /// The interval after which a packet is overdue: the same for a few, then doubled.
    fn interval(&self, first: Duration) -> Duration {
        let doublings = self.silent.saturating_sub(PATIENT_PROBES).min(16);
        (first * (1 << doublings)).min(PROBE_INTERVAL_MAX.max(first))
    }

    /// When a packet is.
    fn overdue_at(&self, rtt: &Rtt, packet: &SentPacket) -> Timestamp {
        let held_back = if packet.asks_now { Duration::ZERO } else { ACK_DELAY_MAX };
        packet.sent_at + self.interval(rtt.probe_interval() + held_back)
    }
}

impl Transport {
    pub(super) fn on_ack(&mut self, now: Timestamp, ack: &AckFrame<'_>) -> Result<(), Violation> {
        let in_flight = self.sent.in_flight();
        let outcome = self.sent.on_ack(ack)?;
        let Some((_, newest)) = outcome.acked.last() else { return Ok(()) };
        self.stats.spurious += outcome.spurious;
        self.probing.on_acked(now);
        self.ecn.on_acked(outcome.acked.len() as u64);
        self.newest_acked_at = self.newest_acked_at.max(newest.sent_at);
        if outcome.is_largest_new {
            // A peer holds nothing back for longer than the wire allows; what it says beyond is not
            // its delay but its problem.
            self.rtt.measure(now.since(newest.sent_at), ack.delay.min(ACK_DELAY_MAX));
        }
        let bytes = outcome.acked.iter().map(|(_, packet)| packet.bytes).sum();
        self.rate.on_acked(now, bytes);
        let rate = self.rate.sample(&newest.snapshot, newest.sent_at, self.rtt.minimum());
        let is_window_limited = in_flight * 2 >= self.controller.window_bytes();
        let sent_at = newest.sent_at;
        let rtt = self.rtt;
        let delivered = self.rate.delivered();
        let acked =
            Acked { now, bytes, sent_at, in_flight, is_window_limited, rate, delivered, rtt };
        self.controller.on_acked(&acked);
        for (number, packet) in &outcome.acked {
            self.note(|it| it.acked(now, *number));
            self.on_arrived(*number, packet);
        }
        let arrived: Vec<Timestamp> = outcome.acked.iter().map(|(_, p)| p.sent_at).collect();
        self.detect_lost(now, &arrived);
        self.sent.forget_lost(now - 3 * self.rtt.probe_interval());
        Ok(())
    }

    /// The peer tells how many packets came marked: less should be under way, and nothing is missing.
    pub(super) fn on_congested(&mut self, now: Timestamp, packets: u64) {
        if self.ecn.on_told(packets) {
            self.stats.marked += 1;
            let sent_at = self.newest_acked_at;
            let lost = Lost { now, bytes: 0, sent_at, is_persistent: false, is_marked: true };
            self.controller.on_lost(&lost);
        }
    }

    fn on_arrived(&mut self, number: u64, packet: &SentPacket) {
        self.sizes.on_acked(number, usize::try_from(packet.bytes).unwrap_or(usize::MAX));
        for content in &packet.contents {
            match content {
                Content::Part(part) => {
                    self.outgoing.on_acked(part);
                    if part.tries == 1 {
                        self.note_first_try(false);
                    }
                }
                Content::Size(bytes) => {
                    if self.sizes.on_probe_acked(*bytes) {
                        self.controller.set_datagram_bytes(*bytes as u64);
                    }
                }
                Content::Credit | Content::Name => {}
            }
        }
    }

    /// Gives up what later packets have overtaken; `arrived` is when those were sent that are
    /// acknowledged just now.
    pub(super) fn detect_lost(&mut self, now: Timestamp, arrived: &[Timestamp]) {
        let mut given_up = Vec::new();
        let Self { sent, rtt, stats, .. } = self;
        sent.detect_lost(now, rtt, |number, packet, reason| {
            match reason {
                Reason::Order => stats.lost_by_order += 1,
                _ => stats.lost_by_time += 1,
            }
            let contents = packet.contents.clone();
            given_up.push((number, packet.sent_at, packet.bytes, contents, reason));
        });
        let mut lost: Option<Lost> = None;
        let mut oldest = now;
        for (number, sent_at, bytes, contents, reason) in given_up {
            self.note(|it| it.lost(now, number, reason));
            // Whether a size passes says nothing about congestion (RFC 8899 §3).
            if contents.iter().any(|content| matches!(content, Content::Size(_))) {
                self.sizes.on_probe_lost();
                continue;
            }
            if self.sizes.on_lost(number, usize::try_from(bytes).unwrap_or(usize::MAX)) {
                self.controller.set_datagram_bytes(self.sizes.current() as u64);
            }
            oldest = oldest.min(sent_at);
            let before = lost.map_or(0, |lost| lost.bytes);
            lost = Some(Lost {
                now,
                bytes: before + bytes,
                sent_at,
                is_persistent: false,
                is_marked: false,
            });
            self.send_again(number, &contents, reason);
        }
        let Some(mut lost) = lost else { return };
        let span = lost.sent_at.since(oldest);
        let limit = (self.rtt.probe_interval() + ACK_DELAY_MAX) * PERSISTENT_CONGESTION_PROBES;
        let is_between = |at: &Timestamp| (oldest..=lost.sent_at).contains(at);
        lost.is_persistent = span >= limit && !arrived.iter().any(is_between);
        self.stats.persistent_congestion += u64::from(lost.is_persistent);
        self.controller.on_lost(&lost);
    }

    /// When the oldest packet of which nothing was heard is overdue.
    pub(super) fn probe_due(&self) -> Option<Timestamp> {
        let packet = self.sent.oldest_unprobed()?;
        Some(self.probing.overdue_at(&self.rtt, packet))
    }

    /// Sends again what is overdue. It is not given up: that is for acknowledgements to say.
    pub(super) fn probe(&mut self, now: Timestamp) {
        let interval = self.probing.interval(self.rtt.probe_interval());
        let (probing, rtt) = (self.probing, self.rtt);
        let overdue = |packet: &SentPacket| probing.overdue_at(&rtt, packet) <= now;
        for (number, contents) in self.sent.probe(overdue) {
            self.stats.probed += 1;
            self.note(|it| it.lost(now, number, Reason::Overdue));
            self.send_again(number, &contents, Reason::Overdue);
        }
        self.probing.has_allowance = true;
        if now.since(self.probing.since) >= interval {
            self.probing.silent = self.probing.silent.saturating_add(1);
            self.probing.since = now;
            if self.probing.silent > PATIENT_PROBES && self.sizes.on_silence() {
                self.controller.set_datagram_bytes(self.sizes.current() as u64);
            }
        }
    }

    fn send_again(&mut self, number: u64, contents: &[Content], reason: Reason) {
        for content in contents {
            match content {
                Content::Part(part) => {
                    if self.outgoing.on_lost(part, number, reason) && part.tries == 1 {
                        self.note_first_try(true);
                    }
                }
                Content::Credit => self.tell_credit_again(),
                Content::Name => self.is_name_due = true,
                // Another probe asks again.
                Content::Size(_) => {}
            }
        }
    }
}
