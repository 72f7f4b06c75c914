//! Did every member get every message once and in order? Checked while the load runs.
//!
//! A run says where it begins and how many records it holds, so an [`OrderChecker`] needs one
//! comparison per run and not one per message. What it cannot see, whether the right messages stand
//! at those places, a sampled member checks by decoding everything: one checker per sender over the
//! numbers that the sender wrote into its messages.

use std::ops::{AddAssign, Range};

/// What went wrong, counted in messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Never came.
    pub(crate) lost: u64,
    /// Came again.
    pub(crate) doubled: u64,
    /// Came after a later one.
    pub(crate) reordered: u64,
    /// Came altered, from somebody else, or into another conversation.
    pub(crate) foreign: u64,
}

impl Faults {
    /// All of them.
    pub(crate) const fn total(self) -> u64 {
        self.lost + self.doubled + self.reordered + self.foreign
    }
}

impl AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
        self.foreign += other.foreign;
    }
}

/// Follows numbers that have to come one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct OrderChecker {
    // Everything below was expected already.
    next: u64,
    // What was skipped, ascending and disjoint. Empty unless something is wrong.
    missing: Vec<Range<u64>>,
    doubled: u64,
    reordered: u64,
}

impl OrderChecker {
    /// Expects `next` first.
    pub(crate) const fn starting_at(next: u64) -> Self {
        Self { next, missing: Vec::new(), doubled: 0, reordered: 0 }
    }

    /// The number expected next.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Takes the numbers from `first` on; says how many of them had not come before.
    pub(crate) fn handle_run(&mut self, first: u64, count: u64) -> u64 {
        let end = first + count;
        if first == self.next {
            self.next = end;
            return count;
        }
        let late = self.take_late(first..end.min(self.next));
        let fresh = end.saturating_sub(first.max(self.next));
        if first > self.next && count > 0 {
            self.missing.push(self.next..first);
        }
        self.next = self.next.max(end);
        self.reordered += late;
        self.doubled += count - late - fresh;
        late + fresh
    }

    /// What is wrong if `end` is the first number that was never sent.
    pub(crate) fn faults(&self, end: u64) -> Faults {
        let skipped: u64 = self.missing.iter().map(|range| range.end - range.start).sum();
        Faults {
            lost: skipped + end.saturating_sub(self.next),
            doubled: self.doubled,
            reordered: self.reordered,
            foreign: self.next.saturating_sub(end),
        }
    }

    /// Takes from what is missing all that lies in `came`; says how many.
    fn take_late(&mut self, came: Range<u64>) -> u64 {
        let mut taken = 0;
        let mut left = Vec::new();
        for range in self.missing.drain(..) {
            let start = range.start.max(came.start);
            let end = range.end.min(came.end);
            if start >= end {
                left.push(range);
                continue;
            }
            taken += end - start;
            left.extend([range.start..start, end..range.end].into_iter().filter(|r| !r.is_empty()));
        }
        self.missing = left;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds runs to a checker that starts at 1 and expects everything below `end`.
    fn faults_of(runs: &[(u64, u64)], end: u64) -> Faults {
        let mut checker = OrderChecker::starting_at(1);
        for (first, count) in runs {
            checker.handle_run(*first, *count);
        }
        checker.faults(end)
    }

    #[test]
    fn a_perfect_stream_has_no_faults() {
        let mut checker = OrderChecker::starting_at(1);
        assert_eq!(checker.handle_run(1, 3), 3);
        assert_eq!(checker.handle_run(4, 1), 1);
        assert_eq!((checker.next(), checker.faults(5)), (5, Faults::default()));
    }

    #[test]
    fn a_lost_run_is_found() {
        assert_eq!(faults_of(&[(1, 3), (6, 2)], 8), Faults { lost: 2, ..Faults::default() });
    }

    #[test]
    fn a_lost_end_is_found() {
        assert_eq!(faults_of(&[(1, 3)], 6), Faults { lost: 2, ..Faults::default() });
    }

    #[test]
    fn a_doubled_run_is_found() {
        assert_eq!(faults_of(&[(1, 3), (1, 3)], 4), Faults { doubled: 3, ..Faults::default() });
    }

    #[test]
    fn an_overlap_counts_only_what_came_again() {
        let mut checker = OrderChecker::starting_at(1);
        checker.handle_run(1, 3);
        assert_eq!(checker.handle_run(3, 2), 1);
        assert_eq!(checker.faults(5), Faults { doubled: 1, ..Faults::default() });
    }

    #[test]
    fn swapped_runs_are_reordered_and_not_lost() {
        let faults = faults_of(&[(1, 1), (4, 2), (2, 2)], 6);
        assert_eq!(faults, Faults { reordered: 2, ..Faults::default() });
    }

    #[test]
    fn a_late_run_that_comes_twice_is_reordered_once_and_doubled_once() {
        let faults = faults_of(&[(4, 1), (2, 1), (2, 1)], 5);
        assert_eq!(faults, Faults { lost: 2, doubled: 1, reordered: 1, foreign: 0 });
    }

    #[test]
    fn more_than_was_ever_sent_is_foreign() {
        assert_eq!(faults_of(&[(1, 3)], 3), Faults { foreign: 1, ..Faults::default() });
    }
}
