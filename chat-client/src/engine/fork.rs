//! Where two logs part: the search for the last record that the relay and this client both have.
//!
//! Two logs that agree on the chain at a place agree on everything before it, so the search is a
//! bisection over the stored stretches, newest first. Each step asks the disk and the relay for
//! the chain at one place.
//!
//! ```text
//!   stored    1 ────────── 40      97 ──────────── 300
//!   relay     1 ─────────────────────────── 210
//!   asked                          96        210   153 …
//! ```

use protocol::ids::{Digest, Seq};

use crate::store::row::Interval;

/// A running search.
#[derive(Debug)]
pub(super) struct ForkSearch {
    /// Stretches not looked at yet, ascending.
    below: Vec<Interval>,
    /// The last place known to be common, with its chain.
    common: (Seq, Digest),
    /// All places from here on differ.
    differs: Seq,
    probe: Probe,
    /// What the disk said: that it has this chain, or none there.
    ours: Option<Ours>,
    theirs: Option<Theirs>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    /// The last place of this stretch that the relay can have.
    Top(Interval, Seq),
    /// The place before this stretch.
    Bottom(Interval),
    /// Between `common` and `differs`.
    Middle(Seq),
}

/// What the disk has at a place: the chain there, if the place is stored.
type Ours = Option<Digest>;

/// What the relay has at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Theirs {
    Chain(Digest),
    /// Below what the relay keeps or shows: it cannot contradict us there.
    Withheld,
}

/// What a search asks for, or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The chain at this place is wanted: from the disk, and from the relay.
    Ask(Seq),
    /// An answer is still missing.
    Wait,
    /// The last common record and the chain there.
    Found(Seq, Digest),
}

impl ForkSearch {
    /// Begins a search in these stretches against a log that ends at `head`. `start` is the chain
    /// before the first record.
    pub(super) fn new(stretches: &[Interval], head: Seq, start: Digest) -> (Self, Step) {
        let mut below = stretches.to_vec();
        // What begins beyond the relay's log has nothing in common with it.
        below.retain(|interval| interval.low <= head.next());
        let mut search = Self {
            below,
            common: (Seq::ZERO, start),
            differs: head.next(),
            probe: Probe::Middle(Seq::ZERO),
            ours: None,
            theirs: None,
        };
        let step = search.next_stretch();
        (search, step)
    }

    /// The place whose chain is wanted now.
    pub(super) const fn place(&self) -> Seq {
        match self.probe {
            Probe::Top(_, at) | Probe::Middle(at) => at,
            Probe::Bottom(interval) => interval.low.minus(1),
        }
    }

    /// The disk's answer.
    pub(super) fn handle_ours(&mut self, chain: Ours) -> Step {
        self.ours = Some(chain);
        self.compare()
    }

    /// The relay's answer.
    pub(super) fn handle_theirs(&mut self, theirs: Theirs) -> Step {
        self.theirs = Some(theirs);
        self.compare()
    }

    fn compare(&mut self) -> Step {
        let (Some(ours), Some(theirs)) = (self.ours, self.theirs) else { return Step::Wait };
        let agreed = match (ours, theirs) {
            (Some(ours), Theirs::Chain(theirs)) => (ours == theirs).then_some(ours),
            (ours, Theirs::Withheld) => ours,
            (None, Theirs::Chain(_)) => None,
        };
        match (self.probe, agreed) {
            (Probe::Top(_, at), Some(chain)) => Step::Found(at, chain),
            (Probe::Top(interval, at), None) => {
                self.differs = at;
                self.probe(Probe::Bottom(interval))
            }
            (Probe::Bottom(interval), Some(chain)) => {
                self.common = (interval.low.minus(1), chain);
                self.bisect()
            }
            (Probe::Bottom(interval), None) => {
                self.differs = interval.low.minus(1);
                self.next_stretch()
            }
            (Probe::Middle(at), Some(chain)) => {
                self.common = (at, chain);
                self.bisect()
            }
            (Probe::Middle(at), None) => {
                self.differs = at;
                self.bisect()
            }
        }
    }

    fn next_stretch(&mut self) -> Step {
        let Some(interval) = self.below.pop() else {
            return Step::Found(self.common.0, self.common.1);
        };
        let top = interval.high.min(self.differs.minus(1));
        if top < interval.low {
            return self.probe(Probe::Bottom(interval));
        }
        self.probe(Probe::Top(interval, top))
    }

    fn bisect(&mut self) -> Step {
        let open = self.differs.0 - self.common.0.0;
        if open <= 1 {
            return Step::Found(self.common.0, self.common.1);
        }
        self.probe(Probe::Middle(self.common.0.plus(open / 2)))
    }

    fn probe(&mut self, probe: Probe) -> Step {
        self.probe = probe;
        (self.ours, self.theirs) = (None, None);
        if let Probe::Bottom(interval) = probe {
            self.ours = Some(Some(interval.before));
            if interval.low == Seq::FIRST {
                // Every log of this conversation begins alike.
                self.theirs = Some(Theirs::Chain(interval.before));
                return self.compare();
            }
        }
        Step::Ask(self.place())
    }

    /// True if the disk has to be asked as well: the chain before a stretch is in memory.
    pub(super) const fn asks_disk(&self) -> bool {
        self.ours.is_none()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The chain of a log that has left the common history after `fork`.
    fn chain(seq: u64, fork: u64, log: u8) -> Digest {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&seq.to_be_bytes());
        digest[31] = if seq > fork { log } else { 0 };
        digest
    }

    fn search(stretches: &[(u64, u64)], fork: u64, head: u64) -> (Seq, u32) {
        let ours = |seq: u64| chain(seq, fork, 1);
        let intervals: Vec<_> = stretches
            .iter()
            .map(|(low, high)| Interval {
                low: Seq(*low),
                high: Seq(*high),
                before: ours(low - 1),
                chain: ours(*high),
            })
            .collect();
        let (mut search, mut step) = ForkSearch::new(&intervals, Seq(head), ours(0));
        let mut questions = 0;
        loop {
            match step {
                Step::Ask(at) => {
                    questions += 1;
                    assert!(at.0 <= head, "the relay has nothing at {at}");
                    if search.asks_disk() {
                        search.handle_ours(Some(ours(at.0)));
                    }
                    step = search.handle_theirs(Theirs::Chain(chain(at.0, fork, 2)));
                }
                Step::Wait => unreachable!("both answers were given"),
                Step::Found(common, digest) => {
                    assert_eq!(digest, ours(common.0));
                    return (common, questions);
                }
            }
        }
    }

    #[test]
    fn a_shorter_log_of_the_same_history_is_common_up_to_its_end() {
        assert_eq!(search(&[(1, 300)], 300, 210).0, Seq(210));
    }

    #[test]
    fn a_fork_in_a_gap_is_common_up_to_the_stretch_below() {
        assert_eq!(search(&[(1, 40), (97, 300)], 60, 400).0, Seq(40));
    }

    #[test]
    fn logs_without_anything_in_common_are_common_at_zero() {
        assert_eq!(search(&[(1, 40)], 0, 40).0, Seq(0));
        assert_eq!(search(&[(5, 40)], 0, 0).0, Seq(0));
    }

    #[test]
    fn a_place_below_what_the_relay_keeps_counts_as_common() {
        let interval =
            Interval { low: Seq(5), high: Seq(9), before: chain(4, 6, 1), chain: chain(9, 6, 1) };
        let (mut search, step) = ForkSearch::new(&[interval], Seq(9), [0; 32]);
        assert_eq!(step, Step::Ask(Seq(9)));
        search.handle_ours(Some(chain(9, 6, 1)));
        assert_eq!(search.handle_theirs(Theirs::Chain(chain(9, 6, 2))), Step::Ask(Seq(4)));
        assert_eq!(search.handle_theirs(Theirs::Withheld), Step::Ask(Seq(6)));
    }

    proptest! {
        #[test]
        fn the_search_finds_the_last_stored_common_record(
            low in 1_u64..50, length in 0_u64..50, gap in 1_u64..20, more in 0_u64..500,
            fork in 0_u64..600, head in 0_u64..700,
        ) {
            let lower = (low, low + length);
            let upper = (low + length + gap + 1, low + length + gap + 1 + more);
            let common = fork.min(head);
            let stored = |seq: u64| {
                seq == 0 || (low..=lower.1).contains(&seq) || (upper.0..=upper.1).contains(&seq)
                    || seq + 1 == lower.0 || seq + 1 == upper.0
            };
            let expected = (0..=common).rev().find(|seq| stored(*seq)).unwrap_or(0);
            let (found, questions) = search(&[lower, upper], fork, head);
            prop_assert_eq!(found, Seq(expected));
            prop_assert!(questions <= 14, "{} questions", questions);
        }
    }
}
