//! How much the time that a path takes varies from datagram to datagram.
//!
//! Drawn with integers alone, so that a seed means the same everywhere.

use std::time::Duration;

use crate::entropy::SimRng;

/// How many times as long as on average a datagram may take under [`Shape::Pareto`], whose variance has
/// no bound. One in ten thousand would take longer.
const PARETO_MAX: u64 = 100;

/// How far times are from the delay, each by itself; then order is kept, so that what follows a slow
/// datagram closely waits for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Jitter {
    /// How far, in the sense of the shape.
    pub by: Duration,
    /// How it is spread.
    pub shape: Shape,
}

/// How jitter is spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// Up to so much longer, each as likely.
    #[default]
    Uniform,
    /// Longer and shorter, with this standard deviation: many small causes.
    Normal,
    /// So much longer on average, most of them less: waiting in one queue.
    Exponential,
    /// So much longer on average, most of them hardly, a few many times (Lomax, α = 2): radio.
    Pareto,
}

impl Shape {
    /// All, in the order in which they are explained.
    pub const ALL: [Self; 4] = [Self::Uniform, Self::Normal, Self::Exponential, Self::Pareto];

    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Normal => "normal",
            Self::Exponential => "exponential",
            Self::Pareto => "pareto",
        }
    }
}

impl Jitter {
    /// None.
    pub const NONE: Self = Self { by: Duration::ZERO, shape: Shape::Uniform };

    /// Up to so much longer, each as likely.
    pub const fn up_to(by: Duration) -> Self {
        Self { by, shape: Shape::Uniform }
    }

    /// The time that one takes where everything takes `delay`.
    pub fn vary(self, delay: Duration, rng: &mut SimRng) -> Duration {
        let by = u64::try_from(self.by.as_micros()).unwrap_or(u64::MAX);
        let times = |factor: u64, unit: u64| {
            let micros = u128::from(by) * u128::from(factor) / u128::from(unit);
            Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
        };
        match self.shape {
            Shape::Uniform => delay + Duration::from_micros(rng.below(by.saturating_add(1))),
            // The sum of twelve uniform values has the variance of one, times twelve.
            Shape::Normal => {
                let sum = (0..12).map(|_| rng.below(by.saturating_add(1)));
                let sum = sum.fold(0, u64::saturating_add);
                (delay + Duration::from_micros(sum)).saturating_sub(self.by * 6)
            }
            Shape::Exponential => delay + times(minus_ln(rng.next_u64().max(1)), LN_UNIT),
            // The inverse of its distribution: 1/√u − 1.
            Shape::Pareto => {
                let root = (rng.next_u64() >> 32).max(1).isqrt();
                delay + times(pareto(root), root)
            }
        }
    }
}

/// 1/√u − 1 in units of 1/`root`, of √u in units of 2⁻¹⁶.
fn pareto(root: u64) -> u64 {
    ((1 << 16) - root).min(root * PARETO_MAX)
}

const LN_UNIT: u64 = 1 << 32;

/// −ln(u / 2⁶⁴) in units of 2⁻³², for u > 0: the logarithm to base 2 bit by bit, each by a squaring.
fn minus_ln(u: u64) -> u64 {
    const LN_2: u128 = 2_977_044_472;
    const BITS: u32 = 32;
    let zeros = u.leading_zeros();
    // Between 1 and 2, in units of 2⁻⁶³.
    let mut mantissa = u << zeros;
    let mut log_2 = 0_u64;
    for _ in 0..BITS {
        let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
        let is_two = square >> 64 > 0;
        log_2 = log_2 << 1 | u64::from(is_two);
        mantissa = u64::try_from(square >> u32::from(is_two)).unwrap_or(u64::MAX);
    }
    let minus_log_2 = (u64::from(zeros + 1) << BITS) - log_2;
    u64::try_from((u128::from(minus_log_2) * LN_2) >> BITS).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const DRAWS: u32 = 100_000;

    /// Milliseconds, the shortest first.
    fn draws(shape: Shape, by: Duration, delay: Duration) -> Vec<f64> {
        let mut rng = SimRng::new(1);
        let jitter = Jitter { by, shape };
        let mut all: Vec<f64> =
            (0..DRAWS).map(|_| jitter.vary(delay, &mut rng).as_secs_f64() * 1e3).collect();
        all.sort_by(f64::total_cmp);
        all
    }

    /// What share of the draws is larger.
    fn above(draws: &[f64], limit: f64) -> f64 {
        let count = draws.iter().filter(|it| **it > limit).count();
        f64::from(u32::try_from(count).expect("few")) / f64::from(DRAWS)
    }

    fn mean(draws: &[f64]) -> f64 {
        draws.iter().sum::<f64>() / f64::from(DRAWS)
    }

    /// Four standard deviations of a share.
    fn assert_share(draws: &[f64], limit: f64, expected: f64) {
        let allowed = 4.0 * (expected * (1.0 - expected) / f64::from(DRAWS)).sqrt();
        let share = above(draws, limit);
        assert!((share - expected).abs() < allowed, "above {limit}: {share}, not {expected}");
    }

    #[test]
    fn uniform_goes_up_to_its_value() {
        let draws = draws(Shape::Uniform, 10 * MS, 20 * MS);
        assert!(draws[0] >= 20.0 && draws[draws.len() - 1] <= 30.0);
        for quarter in 1..4 {
            assert_share(&draws, 20.0 + 2.5 * f64::from(quarter), 1.0 - f64::from(quarter) / 4.0);
        }
    }

    #[test]
    fn normal_has_its_standard_deviation_around_the_delay() {
        let draws = draws(Shape::Normal, 10 * MS, 100 * MS);
        assert!((mean(&draws) - 100.0).abs() < 0.13);
        // Within one, and within two deviations.
        assert_share(&draws, 110.0, 0.1587);
        assert_share(&draws, 90.0, 1.0 - 0.1587);
        assert_share(&draws, 120.0, 0.0228);
    }

    #[test]
    fn normal_never_arrives_before_it_left() {
        let draws = draws(Shape::Normal, 10 * MS, 5 * MS);
        assert!(draws[0] <= f64::EPSILON && above(&draws, 0.0) < 1.0);
    }

    #[test]
    fn exponential_has_its_mean_and_its_quantiles() {
        let draws = draws(Shape::Exponential, 10 * MS, 20 * MS);
        assert!((mean(&draws) - 30.0).abs() < 0.13);
        for after in [1.0, 10.0, 40.0] {
            assert_share(&draws, 20.0 + after, (-after / 10.0_f64).exp());
        }
    }

    #[test]
    fn pareto_has_a_heavy_tail_that_ends() {
        let draws = draws(Shape::Pareto, 10 * MS, 20 * MS);
        for after in [1.0, 10.0, 90.0, 900.0] {
            assert_share(&draws, 20.0 + after, (1.0 + after / 10.0_f64).powi(-2));
        }
        assert_eq!((pareto(1), pareto(65_535), pareto(65_536)), (PARETO_MAX, 1, 0));
    }

    #[test]
    fn the_logarithm_is_one() {
        for (u, ln) in [
            (1, 190_530_846_196_u64),
            (1_000_000, 131_193_680_172),
            (u64::MAX / 3, 4_718_503_851),
            (u64::MAX, 0),
        ] {
            assert!(minus_ln(u).abs_diff(ln) < 64, "{u}: {} is not {ln}", minus_ln(u));
        }
    }

    #[test]
    fn the_longest_times_are_no_overflow() {
        let mut rng = SimRng::new(1);
        for shape in Shape::ALL {
            let jitter = Jitter { by: Duration::from_secs(100_000_000), shape };
            assert!((0..1_000).all(|_| jitter.vary(MS, &mut rng) < Duration::MAX));
        }
    }
}
