//! When to give up waiting for an acknowledgement (RFC 6298).

use std::time::Duration;

/// Before anything was measured (RFC 6298 §2.1).
const INITIAL: Duration = Duration::from_secs(1);
/// Shortest. RFC 6298 §2.4 says one second and that less may turn out to be right; systems in use
/// have a fifth.
const SHORTEST: Duration = Duration::from_millis(200);
/// Longest (§2.5).
const LONGEST: Duration = Duration::from_secs(60);

/// A retransmission timeout: one that is set, or one that follows the measured round trips.
#[derive(Clone, Copy, Debug)]
pub enum Timer {
    /// Always the same: what formulas in textbooks assume.
    Fixed(Duration),
    /// RFC 6298.
    Adaptive {
        /// Smoothed round trip and its mean deviation.
        measured: Option<(Duration, Duration)>,
        /// Doubled for every timeout since something was acknowledged (§5.5; §5.7 waits for the next
        /// measurement, systems in use do not).
        backoff: u32,
    },
}

impl Timer {
    /// One that has measured nothing yet.
    pub const fn adaptive() -> Self {
        Self::Adaptive { measured: None, backoff: 0 }
    }

    /// An acknowledgement came for something that was sent once, so long ago. (Of what was sent again
    /// nobody knows which one was acknowledged: Karn and Partridge 1987.)
    pub fn measure(&mut self, sample: Duration) {
        let Self::Adaptive { measured, .. } = self else { return };
        *measured = Some(match *measured {
            None => (sample, sample / 2),
            Some((smoothed, variance)) => {
                let difference = smoothed.abs_diff(sample);
                (smoothed * 7 / 8 + sample / 8, variance * 3 / 4 + difference / 4)
            }
        });
    }

    /// Something new was acknowledged: the path works again.
    pub const fn calm_down(&mut self) {
        if let Self::Adaptive { backoff, .. } = self {
            *backoff = 0;
        }
    }

    /// It went off.
    pub const fn back_off(&mut self) {
        if let Self::Adaptive { backoff, .. } = self {
            *backoff = if *backoff < 6 { *backoff + 1 } else { 6 };
        }
    }

    /// How long to wait now.
    pub fn timeout(&self) -> Duration {
        match *self {
            Self::Fixed(timeout) => timeout,
            Self::Adaptive { measured, backoff } => {
                let once = measured.map_or(INITIAL, |(smoothed, variance)| smoothed + 4 * variance);
                (once.max(SHORTEST) * (1 << backoff)).min(LONGEST)
            }
        }
    }

    /// The smoothed round trip.
    pub fn round_trip(&self) -> Option<Duration> {
        self.measured().map(|(smoothed, _)| smoothed)
    }

    /// The smoothed round trip and its mean deviation.
    pub const fn measured(&self) -> Option<(Duration, Duration)> {
        match *self {
            Self::Adaptive { measured, .. } => measured,
            Self::Fixed(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_path_and_doubles_in_silence() {
        let mut timer = Timer::adaptive();
        assert_eq!(timer.timeout(), INITIAL);
        timer.measure(Duration::from_millis(100));
        assert_eq!(timer.timeout(), Duration::from_millis(300));
        timer.back_off();
        timer.back_off();
        assert_eq!(timer.timeout(), Duration::from_millis(1_200));
        timer.calm_down();
        for _ in 0..100 {
            timer.measure(Duration::from_millis(100));
        }
        assert_eq!(timer.timeout(), SHORTEST);
    }
}
