//! Runs whose receiver is on another host: the sockets and the clocks around
//! [`protocol::lab::remote`].
//!
//! | file | holds |
//! |---|---|
//! | `sender` | one run after the other, with a host somewhere |
//! | `peer` | that host |

pub mod peer;
pub mod sender;

use std::time::Duration;

use protocol::time::Timestamp;
use tokio::time::Instant;

/// Time from the beginning of something.
#[derive(Clone, Copy, Debug)]
struct Clock(Instant);

impl Clock {
    fn new() -> Self {
        Self(Instant::now())
    }

    fn now(self) -> Timestamp {
        Timestamp::ZERO + self.0.elapsed()
    }

    /// Whoever waits for nothing looks again in a minute.
    fn instant(self, at: Option<Timestamp>) -> Instant {
        const LATER: Duration = Duration::from_secs(60);
        let left = at.map_or(LATER, |at| at.since(self.now()).min(LATER));
        Instant::now() + left
    }
}
