//! The two clocks of a running relay. Everything pure gets the time as an argument from here.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use protocol::time::{Timestamp, WallTime};

/// The clocks; all threads share one epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    /// The epoch of [`Timestamp`] is now.
    pub(crate) fn start() -> Self {
        Self { epoch: Instant::now() }
    }

    /// Never goes back.
    pub(crate) fn now(self) -> Timestamp {
        let micros = self.epoch.elapsed().as_micros();
        Timestamp::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// What people call the time. May go back; the hub sees to it that logs do not.
    #[expect(
        clippy::unused_self,
        reason = "who asks has a clock, and need not know that one is global"
    )]
    pub(crate) fn wall(self) -> WallTime {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        WallTime::from_millis(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
    }

    /// The moment as the operating system's waits take it.
    pub(crate) fn instant(self, at: Timestamp) -> Instant {
        self.epoch + Duration::from_micros(at.as_micros())
    }
}
