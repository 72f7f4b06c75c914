//! Redundancy: what was lost once is sent more than once at a time, as long as that takes nothing from
//! anybody.

use super::{
    Transport,
    sent::Content,
    streams::Part,
    tuning::{self, COPIES_MAX, RETRIED_MANY},
};

/// A part that further packets are to carry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copies {
    pub(super) part: Part,
    pub(super) left: u8,
}

impl Transport {
    /// Puts in one more copy of each part that is to have any.
    pub(super) fn fill_copies(
        &mut self,
        number: u64,
        end: usize,
        out: &mut Vec<u8>,
        contents: &mut Vec<Content>,
    ) -> bool {
        let mut is_any = false;
        for _ in 0..self.copies.len() {
            let Some(Copies { part, left }) = self.copies.pop_front() else { break };
            let room = end.saturating_sub(out.len());
            let Some(copy) = self.outgoing.put_copy(out, room, &part) else { continue };
            self.outgoing.note_sent_again(&copy, number);
            contents.push(Content::Part(copy));
            is_any = true;
            if left > 1 {
                self.copies.push_back(Copies { part, left: left - 1 });
            }
        }
        is_any
    }

    /// Decides how many further packets will carry what was just sent again: one more with each try,
    /// and one more for what others wait for.
    pub(super) fn plan_copies(&mut self, part: Part) {
        let holds_back = self.outgoing.holds_back(&part);
        let packets = match part.tries {
            2 if !holds_back && self.retried > RETRIED_MANY => 1,
            tries => tries.saturating_add(u8::from(holds_back)).min(COPIES_MAX),
        };
        let wanted = u64::from(packets - 1);
        let cost = (part.end - part.start) * 100;
        let affordable = if self.is_path_idle() { self.copy_budget / cost.max(1) } else { 0 };
        let left = wanted.min(affordable);
        self.copy_budget -= left * cost;
        self.stats.copies_withheld += wanted - left;
        if let Some(left) = u8::try_from(left).ok().filter(|left| *left > 0) {
            self.copies.push_back(Copies { part, left });
        }
    }

    /// The first try of something did what it should, or did not.
    pub(super) fn note_first_try(&mut self, is_retried: bool) {
        let share = if is_retried { 1_000 } else { 0 };
        self.retried = (self.retried * 31 + share) / 32;
    }

    /// Whether nothing says that the path is full: we use less than half of what it may carry, and
    /// no queue grows on it.
    fn is_path_idle(&self) -> bool {
        let is_using_little = self.sent.in_flight() * 2 <= self.controller.window_bytes();
        let shortest = self.rtt.minimum();
        is_using_little && self.rtt.smoothed() <= shortest + shortest / 4 + tuning::GRANULARITY * 4
    }
}
