//! Waiting to a fraction of a millisecond. The runtime's timers turn once in a millisecond and round
//! up: on a path of half a millisecond, that would be the delay.

use tokio::time::{Instant, sleep_until};

#[cfg(target_os = "linux")]
pub(super) use self::linux::Alarm;

/// The runtime's, where the system has no timer that can be waited for like a socket.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(super) struct Alarm;

#[cfg(not(target_os = "linux"))]
impl Alarm {
    pub(super) const fn new() -> Self {
        Self
    }

    pub(super) async fn until(&self, at: Instant) {
        sleep_until(at).await;
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{io, os::fd::OwnedFd, time::Duration};

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::{Interest, unix::AsyncFd};

    use super::{Instant, sleep_until};

    /// What is further away is left to the runtime first.
    const NEAR: Duration = Duration::from_millis(50);

    /// A timer of the system.
    #[derive(Debug)]
    pub(in super::super) struct Alarm {
        /// `None` if there was none to be had.
        timer: Option<AsyncFd<OwnedFd>>,
    }

    impl Alarm {
        #[expect(
            deprecated,
            reason = "the successor is unsafe for types that may lose their descriptor; this one owns it"
        )]
        pub(in super::super) fn new() -> Self {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags).ok();
            Self { timer: timer.and_then(|timer| AsyncFd::new(timer).ok()) }
        }

        /// Waits until then.
        ///
        /// # Cancel safety
        ///
        /// The next wait begins anew.
        pub(in super::super) async fn until(&self, at: Instant) {
            if at.saturating_duration_since(Instant::now()) > NEAR {
                sleep_until(at.checked_sub(NEAR / 2).unwrap_or(at)).await;
            }
            if !matches!(&self.timer, Some(timer) if wait(timer, at).await.is_ok()) {
                sleep_until(at).await;
            }
        }
    }

    async fn wait(timer: &AsyncFd<OwnedFd>, at: Instant) -> io::Result<()> {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let spec = |duration: Duration| Timespec::try_from(duration).map_err(io::Error::other);
        let once = Itimerspec { it_interval: spec(Duration::ZERO)?, it_value: spec(left)? };
        timerfd_settime(timer, TimerfdTimerFlags::empty(), &once)?;
        let expired = |timer: &OwnedFd| Ok(rustix::io::read(timer, &mut [0; 8])?);
        timer.async_io(Interest::READABLE, expired).await.map(drop)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[tokio::test]
        async fn it_never_goes_off_early_and_can_be_set_again_at_any_time() {
            let alarm = Alarm::new();
            assert!(alarm.timer.is_some(), "the system has timers");
            for micros in [0, 300, 2_000, 60_000] {
                let at = Instant::now() + Duration::from_micros(micros);
                alarm.until(at).await;
                assert!(Instant::now() >= at, "{micros}");
                // One that is given up does not end the next one.
                let given_up = alarm.until(Instant::now() + Duration::from_micros(100));
                let _ = tokio::time::timeout(Duration::ZERO, given_up).await;
            }
        }
    }
}
