//! The hub's deadlines: each kind is armed at most once.

use std::collections::BTreeMap;

use protocol::time::Timestamp;

/// Why a deadline is armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Presence changed, or a device's grace ends.
    Presence,
    /// Somebody looks at a conversation too large for names.
    PresenceCount,
    /// Somebody has got further, and somebody wants to know.
    Progress,
    /// Marks wait for a commit and none has come.
    Marks,
    /// The store takes no writes; time to try.
    Probe,
    /// Buckets may have filled up.
    Quotas,
    /// The next conversations' ages are to be looked at.
    Ages,
}

/// Which deadlines are armed.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeMap<Timer, Timestamp>);

impl Timers {
    /// Arms a deadline, unless an earlier one of the kind is armed.
    pub(super) fn arm(&mut self, timer: Timer, at: Timestamp) {
        let armed = self.0.entry(timer).or_insert(at);
        *armed = (*armed).min(at);
    }

    pub(super) fn cancel(&mut self, timer: Timer) {
        self.0.remove(&timer);
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.0.values().copied().min()
    }

    /// Takes one that is due; what handles it may arm it again, later than `now`.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<Timer> {
        let timer = self.0.iter().find(|(_, at)| **at <= now).map(|(timer, _)| *timer)?;
        self.0.remove(&timer);
        Some(timer)
    }
}
