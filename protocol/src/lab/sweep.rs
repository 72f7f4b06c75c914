//! The textbook's strategies measured, beside what the textbook says.
//!
//! Its assumptions are made true: the sender always has something to send, a packet takes 1 ms on the
//! sender's interface and 10 ms each way, losses are independent, timers and windows are fixed. What
//! is compared is the share of the interface's time that ends in a message delivered.

use std::time::Duration;

use super::{
    experiment::{Broken, Experiment, Traffic},
    fault::{Faults, Loss, Share},
    scenario::Strategy,
    strategy::{GoBackN, Receiver, SelectiveRepeat, Sender, StopAndWait, Timer},
    theory,
};

/// Independent runs behind each estimate.
pub const RUNS: u32 = 12;
/// Student's t for 95 % on both sides and [`RUNS`] − 1 degrees of freedom.
const T_95: f64 = 2.201;

const MS: Duration = Duration::from_millis(1);
/// Time that a packet takes on the sender's interface.
const PACKET: Duration = MS;
const PACKET_BYTES: usize = 1_009;
const HEADER_BYTES: usize = 9;
const DELAY: Duration = Duration::from_millis(10);
/// There and back, and the packet itself.
const ROUND_TRIP: Duration = Duration::from_millis(21);
const STOP_AND_WAIT_TIMEOUT: Duration = Duration::from_millis(50);
/// Of the other two: so many packets leave in it.
const TIMEOUT: Duration = Duration::from_millis(40);
const TIMEOUT_PACKETS: u64 = 40;
/// Never the limit: many times what can be under way.
const SELECTIVE_WINDOW: u64 = 400;
/// Longer than any of these runs.
const LASTS_MAX: Duration = Duration::from_secs(100_000);

/// A strategy that textbooks have a formula for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Textbook {
    /// One packet at a time.
    StopAndWait,
    /// After a loss, everything from there on again.
    GoBackN,
    /// After a loss, what was lost.
    SelectiveRepeat,
}

/// What runs came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Share of the interface's time that ended in a message delivered.
    pub mean: f64,
    /// Its standard error.
    pub error: f64,
}

impl Estimate {
    /// How far on either side of the mean the 95 % confidence interval goes.
    pub fn half_width_95(&self) -> f64 {
        T_95 * self.error
    }
}

impl Textbook {
    /// All.
    pub const ALL: [Self; 3] = [Self::StopAndWait, Self::GoBackN, Self::SelectiveRepeat];

    /// The strategy as scenarios name it.
    pub const fn strategy(self) -> Strategy {
        match self {
            Self::StopAndWait => Strategy::StopAndWait,
            Self::GoBackN => Strategy::GoBackN,
            Self::SelectiveRepeat => Strategy::SelectiveRepeat,
        }
    }

    /// What the textbook expects if these shares are lost, towards the receiver and back.
    pub fn expected(self, lost: [Share; 2]) -> f64 {
        let lost = lost.map(|share| f64::from(share.as_millionths()) / 1e6);
        match self {
            Self::StopAndWait => {
                let each = theory::stop_and_wait(ROUND_TRIP, STOP_AND_WAIT_TIMEOUT, lost);
                PACKET.as_secs_f64() / each
            }
            Self::GoBackN => {
                theory::go_back_n(TIMEOUT.as_secs_f64() / PACKET.as_secs_f64(), lost[0])
            }
            Self::SelectiveRepeat => theory::selective_repeat(lost),
        }
    }

    /// The formula in words, for losses towards the receiver alone.
    pub const fn formula(self) -> &'static str {
        match self {
            Self::StopAndWait => {
                "1 ms / (21 ms + 50 ms × (1 / (1 − p) − 1)): a round trip of 21 ms, and a timeout of 50 ms \
                 for each try that fails"
            }
            Self::GoBackN => {
                "(1 − p) / (1 − p + 40 p): each loss costs a timeout, in which 40 packets leave that all \
                 leave again"
            }
            Self::SelectiveRepeat => "1 − p: each loss costs one packet",
        }
    }

    /// Where the formula stands.
    pub const fn source(self) -> &'static str {
        match self {
            Self::StopAndWait => "Bertsekas and Gallager, Data Networks, §2.4.1",
            Self::GoBackN => {
                "Bertsekas and Gallager, Data Networks, §2.4.2; Leon-Garcia and Widjaja, Communication \
                 Networks, §5.2.2"
            }
            Self::SelectiveRepeat => "Leon-Garcia and Widjaja, Communication Networks, §5.2.3",
        }
    }

    /// Share of the expected value by which a run differs from it for reasons that the formula leaves
    /// out: a timeout that does not end with a packet, the round trips at the end of a run.
    pub const fn left_out(self) -> f64 {
        match self {
            Self::StopAndWait => 0.001,
            Self::GoBackN => 0.03,
            Self::SelectiveRepeat => 0.05,
        }
    }

    /// Measures it in [`RUNS`] runs, with the seeds from `seed` on.
    ///
    /// # Errors
    ///
    /// What the strategy did wrong, which it should not.
    pub fn measure(self, lost: [Share; 2], seed: u64) -> Result<Estimate, Broken> {
        let seeds = (0..u64::from(RUNS)).map(|run| seed.wrapping_add(run));
        let fixed = Timer::Fixed(TIMEOUT);
        match self {
            Self::StopAndWait => {
                estimate(500, lost, seeds, || StopAndWait::new(Timer::Fixed(STOP_AND_WAIT_TIMEOUT)))
            }
            // The window is what leaves in a timeout: it never stalls, and repeats all of it.
            Self::GoBackN => estimate(4_000, lost, seeds, || GoBackN::new(fixed, TIMEOUT_PACKETS)),
            Self::SelectiveRepeat => {
                estimate(4_000, lost, seeds, || SelectiveRepeat::new(fixed, SELECTIVE_WINDOW))
            }
        }
    }
}

fn estimate<S: Sender, R: Receiver>(
    messages: u32,
    lost: [Share; 2],
    seeds: impl Iterator<Item = u64>,
    strategy: impl Fn() -> (S, R),
) -> Result<Estimate, Broken> {
    let seconds_each = |seed| {
        let run = bulk(messages, lost, seed).run(strategy())?;
        Ok(run.lasted.as_secs_f64() / f64::from(messages))
    };
    let each = seeds.map(seconds_each).collect::<Result<Vec<f64>, Broken>>()?;
    let count = f64::from(RUNS);
    let mean = each.iter().sum::<f64>() / count;
    let variance = each.iter().map(|it| (it - mean) * (it - mean)).sum::<f64>() / (count - 1.0);
    let share = PACKET.as_secs_f64() / mean;
    // A small error of a reciprocal is, in proportion, that of the value.
    Ok(Estimate { mean: share, error: share * (variance / count).sqrt() / mean })
}

fn bulk(messages: u32, lost: [Share; 2], seed: u64) -> Experiment {
    let path = |lost| Faults { delay: DELAY, loss: Loss::Independent(lost), ..Faults::default() };
    Experiment {
        traffic: Traffic {
            messages,
            bytes: PACKET_BYTES - HEADER_BYTES,
            every: Duration::ZERO,
            conversations: 1,
        },
        interface: Some(PACKET_BYTES as u64 * 1_000),
        path: lost.map(path),
        changes: Vec::new(),
        seed,
        lasts_max: LASTS_MAX,
    }
}
