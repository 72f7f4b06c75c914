//! The engine's two clocks, as this process has them.

use std::time::SystemTime;

use protocol::time::{Timestamp, WallTime};
use tokio::time::Instant;

/// Counts from when the node started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    epoch: Instant,
}

impl Clock {
    /// Starts now.
    pub(super) fn start() -> Self {
        Self { epoch: Instant::now() }
    }

    /// Now, for timers.
    pub(super) fn now(self) -> Timestamp {
        let micros = self.epoch.elapsed().as_micros();
        Timestamp::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Now, for people. A clock set before 1970 counts as 1970.
    pub(super) fn wall() -> WallTime {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        WallTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// When a timer is due.
    pub(super) fn instant(self, at: Timestamp) -> Instant {
        self.epoch + at.since(Timestamp::ZERO)
    }
}
