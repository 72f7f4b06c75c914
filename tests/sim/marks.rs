//! Named rare events. A schedule run that never reaches one proves nothing about it, so every mark
//! must be hit often.

use std::collections::BTreeMap;

macro_rules! marks {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A rare event that the schedules must provoke.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Mark {
            $($(#[$doc])* $name,)*
        }

        impl Mark {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

marks! {
    /// A message was answered "accepted" whose commit survived a crash of the relay before its
    /// first answer.
    DuplicateAfterCommitCrash,
    /// A device's new session took over while the old one still had messages under way.
    SupersededWithQueuedSends,
    /// A message was refused because an earlier one of its device has to be decided first.
    StickyRefusal,
    /// A reader of the store found records older than the relay keeps them.
    AgedOut,
    /// A client followed from below what the relay still keeps.
    TrimmedCursor,
    /// A session had to read from the store what had left the tail.
    TailEviction,
    /// A client's log and a restored relay's differed, and it said so.
    ForkShown,
    /// An own message above the common point was accepted again.
    OfferedAgain,
    /// A client began a new interval at the newest page.
    NewestPageFirst,
    /// A page of older records joined two intervals.
    IntervalsJoined,
    /// The relay's disk was full, and sending went on when it was not any more.
    DiskFullRecovered,
    /// A commit's outcome was unknown and it had happened.
    AmbiguousButCommitted,
    /// A commit's outcome was unknown and it had not happened.
    AmbiguousAndLost,
    /// A client came back from a crash with messages in its outbox.
    OutboxSurvivedCrash,
    /// A client restored from a copy moved past the numbers it had used.
    CounterMovedPast,
    /// A half-open connection was given up by its silence.
    HalfOpenFound,
}

/// How often each mark was hit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(BTreeMap<Mark, u64>);

impl Marks {
    pub(crate) fn hit(&mut self, mark: Mark) {
        *self.0.entry(mark).or_default() += 1;
    }

    pub(crate) fn count(&self, mark: Mark) -> u64 {
        self.0.get(&mark).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (mark, count) in &other.0 {
            *self.0.entry(*mark).or_default() += count;
        }
    }
}
