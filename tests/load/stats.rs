//! Samples and what is computed from them.

use std::{io, time::Duration};

use harness::usage::{self, CpuTime};
use hdrhistogram::Histogram;
use tokio::time::Instant;

/// Longest latency that is told apart; longer ones count as this.
const LATENCY_MAX: Duration = Duration::from_secs(60);

/// Latencies with an error below one in a thousand.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// No samples yet.
    pub(crate) fn new() -> Self {
        let nanoseconds_max = u64::try_from(LATENCY_MAX.as_nanos()).unwrap_or(u64::MAX);
        let histogram = Histogram::new_with_bounds(1_000, nanoseconds_max, 3);
        Self(histogram.expect("the bounds are constants and in order"))
    }

    /// Adds one.
    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds those of another stretch of time.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that this share of the samples does not exceed, in milliseconds.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        millis(self.0.value_at_quantile(share))
    }

    /// The longest, in milliseconds.
    pub(crate) fn max_ms(&self) -> f64 {
        millis(self.0.max())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a latency is far below 2^52 nanoseconds")]
fn millis(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

/// A count as a number to compute with.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) const fn number(count: u64) -> f64 {
    count as f64
}

/// What everyone had used at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    at: Instant,
    relay: CpuTime,
    driver: CpuTime,
    machine: Duration,
}

impl Sample {
    /// Reads the clocks of the relay, this process and the machine.
    ///
    /// # Errors
    ///
    /// If the relay is gone.
    pub(crate) fn take(relay_pid: u32) -> io::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            relay: usage::cpu_time(relay_pid)?,
            driver: usage::cpu_time(std::process::id())?,
            machine: usage::machine_busy()?,
        })
    }

    /// What was used from this sample to a later one.
    pub(crate) fn until(&self, later: &Self) -> Usage {
        let relay = later.relay - self.relay;
        let driver = (later.driver - self.driver).total();
        let machine = later.machine.saturating_sub(self.machine);
        Usage {
            elapsed: later.at - self.at,
            relay,
            driver,
            foreign: machine.saturating_sub(relay.total() + driver),
        }
    }
}

/// What was used over a stretch of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// How long it was.
    pub(crate) elapsed: Duration,
    /// By the relay process.
    pub(crate) relay: CpuTime,
    /// By this process.
    pub(crate) driver: Duration,
    /// By everything else on the machine. Much of it makes a measurement worthless.
    pub(crate) foreign: Duration,
}

impl Usage {
    /// So many per second.
    pub(crate) fn rate(&self, count: u64) -> f64 {
        number(count) / self.elapsed.as_secs_f64()
    }

    /// A processor time as the number of cores it kept busy.
    pub(crate) fn cores(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() / self.elapsed.as_secs_f64()
    }

    /// The relay's processor time for each of `count`, in microseconds; which is also its seconds
    /// for a million.
    pub(crate) fn relay_micros_each(&self, count: u64) -> f64 {
        self.relay.total().as_secs_f64() * 1e6 / number(count.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_all_samples() {
        let mut all = Latencies::new();
        all.record(Duration::from_millis(500));
        (1..=99).for_each(|ms| all.record(Duration::from_millis(ms)));
        assert!((all.quantile_ms(0.5) - 50.0).abs() < 0.1, "{}", all.quantile_ms(0.5));
        assert!((all.quantile_ms(0.99) - 99.0).abs() < 0.1, "{}", all.quantile_ms(0.99));
        assert!((all.max_ms() - 500.0).abs() < 1.0, "{}", all.max_ms());
    }

    #[test]
    fn a_latency_beyond_the_range_still_counts() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_secs(3_600));
        assert!(latencies.max_ms() > 59_000.0);
    }

    #[test]
    fn what_neither_relay_nor_driver_used_is_foreign() {
        let at = Instant::now();
        let cpu = |millis| CpuTime { user: Duration::from_millis(millis), ..CpuTime::default() };
        let machine = Duration::from_secs(10);
        let before = Sample { at, relay: cpu(100), driver: cpu(50), machine };
        let after = Sample {
            at: at + Duration::from_secs(2),
            relay: cpu(1_100),
            driver: cpu(550),
            machine: machine + Duration::from_millis(1_750),
        };
        let usage = before.until(&after);
        assert_eq!(usage.foreign, Duration::from_millis(250));
        assert!((usage.cores(usage.relay.total()) - 0.5).abs() < 1e-9);
        assert!((usage.relay_micros_each(1_000_000) - 1.0).abs() < 1e-9);
        assert!((usage.rate(1_000) - 500.0).abs() < 1e-9);
    }
}
