//! Named rare events. A schedule run that never reaches one proves nothing about it, so every mark
//! must be hit often.

use std::collections::BTreeMap;

use protocol::{
    connection::datagram::Session,
    transport::datagram::{Stats, tuning::DATAGRAM_BYTES_MIN},
};

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
    /// A session's device was somewhere else, and the relay followed.
    NewPathTaken,
    /// A client was told that the relay has forgotten its session.
    ResetReceived,
    /// A side went to its next key.
    KeyUpdated,
    /// A busy relay asked for a cookie.
    CookieAsked,
    /// A handshake-init came again and got the same reply.
    ReplyRepeated,
    /// A packet came twice and was dropped.
    DuplicateDropped,
    /// A packet was given up because later ones had arrived.
    LostByOrder,
    /// A packet was given up because a later one had arrived and time went by.
    LostByTime,
    /// What a packet held was sent again in silence.
    Probed,
    /// A packet that was given up had arrived after all.
    GivenUpTooSoon,
    /// A try was sent more than once.
    CopySent,
    /// Copies of a try were not made, because the path was not idle.
    CopyWithheld,
    /// Everything was lost for so long that the window began anew.
    PersistentCongestion,
    /// The path carried larger datagrams, and was used so.
    SizeRaised,
    /// Strangers sent what they had recorded, changed or invented.
    StrangersHeard,
}

/// How often each mark was hit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(BTreeMap<Mark, u64>);

impl Marks {
    pub(crate) fn hit(&mut self, mark: Mark) {
        *self.0.entry(mark).or_default() += 1;
    }

    fn hit_times(&mut self, mark: Mark, times: u64) {
        if times > 0 {
            *self.0.entry(mark).or_default() += times;
        }
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

/// What a session has counted, as far as it is noted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    stats: Stats,
    key_updates: u64,
    datagram_bytes: usize,
}

impl Seen {
    /// Notes what is new.
    pub(crate) fn note(&mut self, session: &Session, marks: &mut Marks) {
        let (before, now) = (self.stats, *session.stats());
        let count = |marks: &mut Marks, mark, counter: fn(&Stats) -> u64| {
            marks.hit_times(mark, counter(&now) - counter(&before));
        };
        count(marks, Mark::DuplicateDropped, |stats| stats.duplicates);
        count(marks, Mark::LostByOrder, |stats| stats.lost_by_order);
        count(marks, Mark::LostByTime, |stats| stats.lost_by_time);
        count(marks, Mark::Probed, |stats| stats.probed);
        count(marks, Mark::GivenUpTooSoon, |stats| stats.spurious);
        count(marks, Mark::CopySent, |stats| stats.copies);
        count(marks, Mark::CopyWithheld, |stats| stats.copies_withheld);
        count(marks, Mark::PersistentCongestion, |stats| stats.persistent_congestion);
        marks.hit_times(Mark::KeyUpdated, session.key_updates() - self.key_updates);
        let bytes = session.datagram_bytes();
        let is_raised = self.datagram_bytes > 0 && bytes > self.datagram_bytes;
        marks.hit_times(Mark::SizeRaised, u64::from(is_raised && bytes > DATAGRAM_BYTES_MIN));
        *self = Self { stats: now, key_updates: session.key_updates(), datagram_bytes: bytes };
    }
}
