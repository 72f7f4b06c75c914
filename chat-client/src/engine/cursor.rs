//! What of a conversation is durable here: stretches without gaps, and the chain at their ends.
//!
//! ```text
//!        1 ─────────────── 40        97 ───────────── 300  ◀─ live: records extend it
//!        └── an old visit ──┘  gap   └── newest page ───┘
//!                                    ▲ pages lower it until the two meet
//! ```

use protocol::ids::{Digest, Seq};

use crate::store::row::Interval;

/// Disjoint, ascending stretches; never two that touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Intervals(Vec<Interval>);

/// Two stretches meet and the chain says that they are of different logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chain differs at {at}")]
pub(super) struct ChainMismatch {
    /// The last record of the lower stretch.
    pub(super) at: Seq,
}

impl Intervals {
    /// What the store had, in any order. Stretches that touch are joined, so that a store written
    /// by an earlier build loads too.
    pub(super) fn from_stored(mut stored: Vec<Interval>) -> Self {
        stored.sort_unstable_by_key(|interval| interval.low);
        let mut intervals = Self::default();
        for interval in stored {
            // Whatever contradicts is left out: its records are fetched again.
            let _ = intervals.insert(interval);
        }
        intervals
    }

    /// Adds a stretch that overlaps none; joins it with those it touches.
    ///
    /// # Errors
    ///
    /// If it touches one whose chain differs, or overlaps one. Nothing is changed then.
    pub(super) fn insert(&mut self, new: Interval) -> Result<(), ChainMismatch> {
        let at = self.0.partition_point(|interval| interval.low < new.low);
        let (mut low, mut before) = (new.low, new.before);
        let (mut high, mut chain) = (new.high, new.chain);
        let (mut from, mut to) = (at, at);
        if let Some(below) = at.checked_sub(1).map(|index| self.0[index]) {
            if below.high >= new.low || (below.high.next() == new.low && below.chain != new.before)
            {
                return Err(ChainMismatch { at: below.high });
            }
            if below.high.next() == new.low {
                (low, before, from) = (below.low, below.before, at - 1);
            }
        }
        if let Some(above) = self.0.get(at) {
            if new.high >= above.low || (new.high.next() == above.low && new.chain != above.before)
            {
                return Err(ChainMismatch { at: new.high });
            }
            if new.high.next() == above.low {
                (high, chain, to) = (above.high, above.chain, at + 1);
            }
        }
        self.0.splice(from..to, [Interval { low, high, before, chain }]);
        Ok(())
    }

    /// Cuts off everything above `common`, where the chain is `chain`.
    pub(super) fn truncate(&mut self, common: Seq, chain: Digest) {
        self.0.retain(|interval| interval.low <= common);
        if let Some(last) = self.0.last_mut()
            && last.high > common
        {
            last.high = common;
            last.chain = chain;
        }
    }

    /// The stretch that the stream extends.
    pub(super) fn newest(&self) -> Option<&Interval> {
        self.0.last()
    }

    /// The stretch below the newest, if there is a gap.
    pub(super) fn second_newest(&self) -> Option<&Interval> {
        self.0.len().checked_sub(2).map(|index| &self.0[index])
    }

    /// The stretch that holds `seq`.
    pub(super) fn around(&self, seq: Seq) -> Option<&Interval> {
        self.0.iter().rev().find(|interval| interval.low <= seq && seq <= interval.high)
    }

    /// The last stored place below `seq`; zero if there is none.
    pub(super) fn stored_below(&self, seq: Seq) -> Seq {
        let below = self.0.iter().rev().find(|interval| interval.low < seq);
        below.map_or(Seq::ZERO, |interval| interval.high.min(seq.minus(1)))
    }

    /// All stretches, ascending.
    pub(super) fn as_slice(&self) -> &[Interval] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// A chain value that only one log has at this place.
    fn chain(seq: Seq) -> Digest {
        let mut digest = [7; 32];
        digest[..8].copy_from_slice(&seq.0.to_be_bytes());
        digest
    }

    fn stretch(low: u64, high: u64) -> Interval {
        let (low, high) = (Seq(low), Seq(high));
        Interval { low, high, before: chain(low.minus(1)), chain: chain(high) }
    }

    #[test]
    fn a_page_that_fills_the_gap_joins_both_sides() {
        let mut intervals = Intervals::from_stored(vec![stretch(1, 4), stretch(9, 12)]);
        intervals.insert(stretch(5, 8)).expect("it fits");
        assert_eq!(intervals.as_slice(), [stretch(1, 12)]);
    }

    #[test]
    fn a_stretch_of_another_log_is_refused_and_changes_nothing() {
        let mut intervals = Intervals::from_stored(vec![stretch(1, 4), stretch(9, 12)]);
        let before = intervals.clone();
        let mut foreign = stretch(5, 8);
        foreign.before = [0; 32];
        assert_eq!(intervals.insert(foreign), Err(ChainMismatch { at: Seq(4) }));
        let mut foreign = stretch(5, 8);
        foreign.chain = [0; 32];
        assert_eq!(intervals.insert(foreign), Err(ChainMismatch { at: Seq(8) }));
        assert_eq!(intervals.insert(stretch(4, 6)), Err(ChainMismatch { at: Seq(4) }));
        assert_eq!(intervals, before);
    }

    #[test]
    fn truncating_between_two_stretches_keeps_the_lower_one_whole() {
        let mut intervals = Intervals::from_stored(vec![stretch(1, 4), stretch(9, 12)]);
        intervals.truncate(Seq(6), [0; 32]);
        assert_eq!(intervals.as_slice(), [stretch(1, 4)]);
    }

    proptest! {
        #[test]
        fn intervals_agree_with_a_set_of_places(
            steps in prop::collection::vec((1_u64..60, 0_u64..12, prop::bool::weighted(0.1)), 1..40)
        ) {
            let mut model = BTreeSet::new();
            let mut intervals = Intervals::default();
            for (low, more, cut) in steps {
                if cut {
                    intervals.truncate(Seq(low), chain(Seq(low)));
                    model.retain(|seq| *seq <= low);
                    continue;
                }
                let range = low..=low + more;
                let overlaps = range.clone().any(|seq| model.contains(&seq));
                let inserted = intervals.insert(stretch(low, low + more));
                prop_assert_eq!(inserted.is_err(), overlaps);
                if !overlaps {
                    model.extend(range);
                }
                let stored: BTreeSet<u64> = intervals
                    .as_slice()
                    .iter()
                    .flat_map(|interval| interval.low.0..=interval.high.0)
                    .collect();
                prop_assert_eq!(&stored, &model);
                for pair in intervals.as_slice().windows(2) {
                    prop_assert!(pair[0].high.next() < pair[1].low, "touching ones are joined");
                }
                for interval in intervals.as_slice() {
                    prop_assert_eq!(interval, &stretch(interval.low.0, interval.high.0));
                }
                for seq in 1..80 {
                    let below = model.range(..seq).next_back().copied().unwrap_or(0);
                    prop_assert_eq!(intervals.stored_below(Seq(seq)), Seq(below));
                    let around = intervals.around(Seq(seq)).is_some();
                    prop_assert_eq!(around, model.contains(&seq));
                }
            }
        }
    }
}
