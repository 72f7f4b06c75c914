//! When the next packet may leave, so that a window does not leave in one burst (RFC 9002 §7.7).

use std::time::Duration;

use super::tuning::BURST_DATAGRAMS;
use crate::time::Timestamp;

/// A bucket that fills at the pacing rate and holds one burst.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacer {
    /// Bytes that may leave now. A packet leaves if anything is in it, so it can be overdrawn by
    /// one packet; packets that nothing holds back overdraw it by a burst at most, so that they do
    /// not silence what comes after them.
    budget: i64,
    filled_at: Timestamp,
}

impl Pacer {
    pub(super) fn new(now: Timestamp, datagram_bytes: u64) -> Self {
        Self { budget: burst(datagram_bytes), filled_at: now }
    }

    /// Lets time fill it, at `rate` bytes per second.
    pub(super) fn fill(&mut self, now: Timestamp, rate: u64, datagram_bytes: u64) {
        let micros = now.since(self.filled_at).as_micros();
        let earned = u128::from(rate) * micros / 1_000_000;
        // What is less than a byte is kept for the next time.
        if earned > 0 {
            let earned = i64::try_from(earned).unwrap_or(i64::MAX);
            self.budget = self.budget.saturating_add(earned).min(burst(datagram_bytes));
            self.filled_at = now;
        }
    }

    pub(super) fn spend(&mut self, bytes: u64, datagram_bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.budget = self.budget.saturating_sub(bytes).max(-burst(datagram_bytes));
    }

    /// How long until something may leave; zero if it may now.
    pub(super) fn wait(&self, rate: u64) -> Duration {
        if self.budget > 0 {
            return Duration::ZERO;
        }
        let missing = self.budget.unsigned_abs() + 1;
        Duration::from_micros(missing.saturating_mul(1_000_000).div_ceil(rate.max(1)))
    }
}

fn burst(datagram_bytes: u64) -> i64 {
    i64::try_from(BURST_DATAGRAMS * datagram_bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_leaves_at_once_and_then_the_rate_decides() {
        let mut pacer = Pacer::new(Timestamp::ZERO, 1_000);
        let mut now = Timestamp::ZERO;
        let (mut sent, mut waited) = (0, Duration::ZERO);
        for _ in 0..110 {
            pacer.fill(now, 100_000, 1_000);
            let wait = pacer.wait(100_000);
            now = now + wait;
            waited += wait;
            pacer.fill(now, 100_000, 1_000);
            assert_eq!(pacer.wait(100_000), Duration::ZERO);
            pacer.spend(1_000, 1_000);
            sent += 1_000;
        }
        // 110 packets, ten of them for nothing, at 100 a second.
        assert_eq!(sent, 110_000);
        assert!((0.98..=1.01).contains(&waited.as_secs_f64()), "{waited:?}");
    }

    #[test]
    fn time_without_packets_earns_one_burst_and_no_more() {
        let mut pacer = Pacer::new(Timestamp::ZERO, 1_000);
        pacer.spend(10_000, 1_000);
        pacer.fill(Timestamp::from_micros(3_600_000_000), 100_000, 1_000);
        pacer.spend(10_000, 1_000);
        assert!(pacer.wait(100_000) > Duration::ZERO);
    }
}
