//! A set of numbers that is mostly runs: packet numbers, and places in a stream.

use std::{iter, ops::Range};

/// Disjoint half-open ranges, ascending, with a gap between neighbours.
///
/// Costs what it has gaps, not what it has numbers. It has no bound of its own: whoever fills it
/// from a peer's packets limits the gaps with [`Self::forget_oldest`], or the numbers by flow
/// control.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RangeSet {
    ranges: Vec<Range<u64>>,
}

impl RangeSet {
    /// Gives memory back that it does not need now.
    pub(super) fn rest(&mut self) {
        self.ranges.shrink_to_fit();
    }

    /// Adds all of `new`. True if any of it was missing.
    pub(super) fn insert(&mut self, new: Range<u64>) -> bool {
        if new.is_empty() {
            return false;
        }
        // Those from `first` up to `end` touch it, and become one with it.
        let first = self.ranges.partition_point(|range| range.end < new.start);
        let end = self.ranges.partition_point(|range| range.start <= new.end);
        let touched = self.ranges.get(first..end).unwrap_or_default();
        if let [one] = touched
            && one.start <= new.start
            && new.end <= one.end
        {
            return false;
        }
        let start = touched.first().map_or(new.start, |range| range.start.min(new.start));
        let last = touched.last().map_or(new.end, |range| range.end.max(new.end));
        self.ranges.splice(first..end, iter::once(start..last));
        true
    }

    /// Whether `number` is in it.
    pub(super) fn contains(&self, number: u64) -> bool {
        let at = self.ranges.partition_point(|range| range.end <= number);
        self.ranges.get(at).is_some_and(|range| range.start <= number)
    }

    /// The parts of `whole` that are not in it, ascending.
    pub(super) fn missing(&self, whole: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let first = self.ranges.partition_point(|range| range.end <= whole.start);
        let known = self.ranges.iter().skip(first).take_while({
            let end = whole.end;
            move |range| range.start < end
        });
        // Between what ends before and what begins after; an empty one at the end closes the last.
        let closing = whole.end..whole.end;
        known
            .cloned()
            .chain([closing])
            .scan(whole.start, |next, known| {
                let gap = *next..known.start.max(*next);
                *next = known.end.max(*next);
                Some(gap)
            })
            .filter(|gap| !gap.is_empty())
    }

    /// Takes away everything below `number`.
    pub(super) fn remove_below(&mut self, number: u64) {
        let gone = self.ranges.partition_point(|range| range.end <= number);
        self.ranges.drain(..gone);
        if let Some(first) = self.ranges.first_mut() {
            first.start = first.start.max(number);
        }
    }

    /// Takes away the lowest ranges until there are at most `ranges_max`. The end of what is gone.
    pub(super) fn forget_oldest(&mut self, ranges_max: usize) -> Option<u64> {
        let excess = self.ranges.len().checked_sub(ranges_max)?;
        self.ranges.drain(..excess).next_back().map(|range| range.end)
    }

    /// The ranges, ascending.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Range<u64>> {
        self.ranges.iter()
    }

    /// The lowest range.
    pub(super) fn first(&self) -> Option<&Range<u64>> {
        self.ranges.first()
    }

    /// The largest number.
    pub(super) fn largest(&self) -> Option<u64> {
        self.ranges.last().map(|range| range.end - 1)
    }

    /// How many ranges there are.
    pub(super) fn ranges(&self) -> usize {
        self.ranges.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Small enough that ranges meet, touch and cover one another.
    const NUMBERS: u64 = 40;

    fn set(ranges: &[Range<u64>]) -> RangeSet {
        let mut set = RangeSet::default();
        for range in ranges {
            set.insert(range.clone());
        }
        set
    }

    #[test]
    fn neighbours_become_one() {
        assert_eq!(set(&[1..2, 3..4, 2..3]), set(&[1..3, 2..4]));
        assert_eq!(set(&[5..9, 1..3, 0..20]).ranges(), 1);
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let mut set = set(&[1..2, 3..5, 7..9]);
        assert_eq!(set.forget_oldest(3), None);
        assert_eq!(set.forget_oldest(1), Some(5));
        assert_eq!((set.ranges(), set.first()), (1, Some(&(7..9))));
    }

    proptest! {
        #[test]
        fn it_is_a_set_of_numbers(
            steps in prop::collection::vec((0..NUMBERS, 0..8_u64, any::<bool>()), 0..40),
            asked in (0..NUMBERS, 0..NUMBERS),
        ) {
            let (mut set, mut model) = (RangeSet::default(), BTreeSet::new());
            for (start, length, is_insertion) in steps {
                let range = start..start + length;
                if is_insertion {
                    let is_new = range.clone().any(|number| !model.contains(&number));
                    prop_assert_eq!(set.insert(range.clone()), is_new);
                    model.extend(range);
                } else {
                    set.remove_below(start);
                    model.retain(|number| *number >= start);
                }
                let is_ordered = set.ranges.windows(2).all(|pair| pair[0].end < pair[1].start);
                prop_assert!(is_ordered && set.ranges.iter().all(|range| !range.is_empty()));
            }
            for number in 0..NUMBERS + 8 {
                prop_assert_eq!(set.contains(number), model.contains(&number));
            }
            prop_assert_eq!(set.largest(), model.last().copied());
            let whole = asked.0..asked.0.max(asked.1);
            let missing: Vec<u64> = set.missing(whole.clone()).flatten().collect();
            let expected: Vec<u64> = whole.filter(|number| !model.contains(number)).collect();
            prop_assert_eq!(missing, expected);
        }
    }
}
