//! How long a round trip takes (RFC 9002 §5).

use std::time::Duration;

use super::tuning::{GRANULARITY, GUESS_MIN, INITIAL_RTT};

/// The estimate of one path.
#[derive(Clone, Copy, Debug)]
pub struct Rtt {
    latest: Duration,
    smoothed: Duration,
    variance: Duration,
    minimum: Duration,
    is_measured: bool,
}

impl Rtt {
    /// An estimate from the handshake, or none yet.
    pub fn new(handshake: Option<Duration>) -> Self {
        let first = handshake.unwrap_or(INITIAL_RTT);
        Self {
            latest: first,
            smoothed: first,
            variance: first / 2,
            minimum: first,
            is_measured: handshake.is_some(),
        }
    }

    /// Believes in this much until something is measured, within [`GUESS_MIN`] and [`INITIAL_RTT`].
    pub(super) fn guess(&mut self, guess: Duration) {
        if !self.is_measured {
            let guess = Self::new(Some(guess.clamp(GUESS_MIN, INITIAL_RTT)));
            *self = Self { is_measured: false, ..guess };
        }
    }

    /// Takes the time from sending a packet to its acknowledgement, of which the peer says that it
    /// held it back for `delay`.
    pub(super) fn measure(&mut self, sample: Duration, delay: Duration) {
        self.latest = sample;
        if !self.is_measured {
            *self = Self::new(Some(sample));
            return;
        }
        self.minimum = self.minimum.min(sample);
        // A peer that claims to have held it longer than the packet was away cannot lower it below
        // what the path has shown to need.
        let adjusted = match sample.checked_sub(delay) {
            Some(adjusted) if adjusted >= self.minimum => adjusted,
            Some(_) | None => sample,
        };
        let difference = self.smoothed.abs_diff(adjusted);
        self.variance = self.variance * 3 / 4 + difference / 4;
        self.smoothed = self.smoothed * 7 / 8 + adjusted / 8;
    }

    /// Smoothed round trip.
    pub const fn smoothed(&self) -> Duration {
        self.smoothed
    }

    /// Smallest round trip ever.
    pub const fn minimum(&self) -> Duration {
        self.minimum
    }

    /// The newest sample.
    pub const fn latest(&self) -> Duration {
        self.latest
    }

    /// Mean deviation.
    pub const fn variance(&self) -> Duration {
        self.variance
    }

    /// How long after a packet its acknowledgement is overdue, if it is not held back
    /// (RFC 9002 §6.2.1 without `max_ack_delay`).
    pub fn probe_interval(&self) -> Duration {
        self.smoothed + (self.variance * 4).max(GRANULARITY)
    }

    /// How long after a packet it is lost, if a later one arrived: so many eighths of a round trip
    /// (RFC 9002 §6.1.2).
    pub(super) fn loss_delay(&self, eighths: u32) -> Duration {
        let longest = self.smoothed.max(self.latest);
        (longest * eighths / 8).max(GRANULARITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::datagram::tuning::TIME_THRESHOLD_EIGHTHS;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_first_sample_replaces_the_guess_and_later_ones_are_averaged() {
        let mut rtt = Rtt::new(None);
        rtt.measure(ms(40), ms(0));
        assert_eq!((rtt.smoothed(), rtt.variance(), rtt.minimum()), (ms(40), ms(20), ms(40)));
        rtt.measure(ms(48), ms(0));
        assert_eq!((rtt.smoothed(), rtt.variance(), rtt.minimum()), (ms(41), ms(17), ms(40)));
        assert_eq!(rtt.probe_interval(), ms(41 + 4 * 17));
    }

    #[test]
    fn a_guess_serves_until_something_is_measured() {
        let mut rtt = Rtt::new(None);
        rtt.guess(ms(50));
        assert_eq!((rtt.smoothed(), rtt.probe_interval()), (ms(50), ms(150)));
        rtt.guess(ms(0));
        assert_eq!(rtt.smoothed(), GUESS_MIN);
        rtt.measure(ms(40), ms(0));
        rtt.guess(ms(50));
        assert_eq!((rtt.smoothed(), rtt.minimum()), (ms(40), ms(40)));
    }

    #[test]
    fn a_claimed_delay_never_goes_below_what_the_path_needs() {
        let mut rtt = Rtt::new(Some(ms(40)));
        rtt.measure(ms(56), ms(16));
        assert_eq!(rtt.smoothed(), ms(40));
        rtt.measure(ms(48), ms(1_000));
        assert_eq!(rtt.smoothed(), ms(41), "the claim is ignored");
    }

    #[test]
    fn a_steady_path_has_a_timer_just_above_its_round_trip() {
        let mut rtt = Rtt::new(Some(ms(1)));
        for _ in 0..100 {
            rtt.measure(ms(1), ms(0));
        }
        assert_eq!(rtt.probe_interval(), ms(2));
        assert_eq!(rtt.loss_delay(TIME_THRESHOLD_EIGHTHS), Duration::from_micros(1_125));
    }
}
