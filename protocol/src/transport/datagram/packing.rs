//! What goes into the next packet, and whether there should be one.

use super::{
    Transport, USEFUL_BYTES_MIN,
    frame::{self, Frame},
    sent::{Content, Reason},
    tuning::{self, COPY_BYTES_INITIAL, COPY_BYTES_PER_DATA_BYTE, SPACING_MAX},
};
use crate::time::Timestamp;

impl Transport {
    pub(super) fn has_something(&mut self, now: Timestamp) -> bool {
        let is_urgent = self.credit.is_some()
            || self.is_name_due
            || !self.copies.is_empty()
            || self.outgoing.has_lost();
        is_urgent || (self.outgoing.has_new() && !self.waits_for_more(now))
    }

    /// Whether what is new should wait for more to share the packet.
    fn waits_for_more(&mut self, now: Timestamp) -> bool {
        let spacing = (self.rtt.smoothed() / 4).min(SPACING_MAX);
        let Some(until) = self.spaced_from.map(|from| from + spacing) else { return false };
        let is_full = self.outgoing.waiting() + self.overhead as u64 >= self.sizes.current() as u64;
        let waits = now < until && !is_full;
        if waits {
            self.paced_until = Some(until);
        }
        waits
    }

    /// Whether window and pace let a packet leave. A probe is never held back (RFC 9002 §7.5).
    pub(super) fn may_send(&mut self, now: Timestamp) -> bool {
        if self.probing.take_allowance() {
            return true;
        }
        let datagram_bytes = self.sizes.current() as u64;
        let next_bytes = (self.outgoing.waiting() + self.overhead as u64).min(datagram_bytes);
        if self.sent.in_flight() + next_bytes > self.controller.window_bytes() {
            return false;
        }
        let rate = self.controller.pacing_rate(self.rtt.smoothed());
        self.pacer.fill(now, rate, datagram_bytes);
        let wait = self.pacer.wait(rate);
        if wait.is_zero() {
            return true;
        }
        self.paced_until = Some(now + wait);
        false
    }

    /// Puts in what is most urgent first, as much as fits. Why the packet leaves.
    pub(super) fn fill(
        &mut self,
        now: Timestamp,
        start: usize,
        out: &mut Vec<u8>,
        contents: &mut Vec<Content>,
    ) -> Reason {
        // One byte is kept for asking for an acknowledgement.
        let end = start + self.sizes.current() - self.overhead - 1;
        let room = |out: &Vec<u8>| end.saturating_sub(out.len());
        if let Some(credit) = self.credit.take() {
            frame::put(out, &Frame::Credit(credit));
            self.incoming.allow(credit);
            contents.push(Content::Credit);
        }
        if let Some(name) = self.name.filter(|_| std::mem::take(&mut self.is_name_due)) {
            frame::put(out, &Frame::Name(name));
            contents.push(Content::Name);
        }
        let number = self.sent.next_number();
        let has_copies = self.fill_copies(number, end, out, contents);
        let mut reason = if has_copies { Reason::Copy } else { Reason::Control };
        while room(out) >= USEFUL_BYTES_MIN
            && let Some(part) = self.outgoing.put_lost(out, room(out))
        {
            self.outgoing.note_sent_again(&part, number);
            contents.push(Content::Part(part));
            self.plan_copies(part);
            reason = part.reason;
        }
        let before = out.len();
        while room(out) >= USEFUL_BYTES_MIN
            && let Some(part) = self.outgoing.put_new(out, room(out))
        {
            contents.push(Content::Part(part));
        }
        let new_bytes = (out.len() - before) as u64;
        if new_bytes > 0 && room(out) >= USEFUL_BYTES_MIN {
            self.spaced_from = Some(now);
        }
        self.copy_budget = (self.copy_budget + new_bytes * COPY_BYTES_PER_DATA_BYTE)
            .min(COPY_BYTES_INITIAL * 100 + tuning::CREDIT_BYTES * COPY_BYTES_PER_DATA_BYTE);
        if reason == Reason::Copy && contents.len() == 1 {
            self.stats.copies += 1;
        }
        if new_bytes > 0 && reason == Reason::Control {
            reason = Reason::First;
        }
        if room(out) < USEFUL_BYTES_MIN && self.outgoing.has_new() {
            self.sizes.note_full();
        }
        reason
    }

    pub(super) fn size_probe(&mut self) -> Option<usize> {
        // What was lost goes first.
        if self.outgoing.has_lost() || !self.copies.is_empty() {
            return None;
        }
        self.sizes.next_probe()
    }
}
