//! The textbook's strategies measured, beside what the textbook says.
//!
//! Its assumptions are made true: the sender always has something to send, a packet takes 1 ms on the
//! sender's interface and 10 ms each way, losses are independent, timers and windows are fixed. What
//! is compared is the share of the interface's time that ends in a message delivered, in a span that
//! begins when the run has long begun and ends before it does: what a beginning and an end cost is in
//! no formula.

use std::time::Duration;

use super::{
    experiment::{Broken, Experiment, Traffic},
    fault::{Faults, Loss, Share},
    scenario::Strategy,
    strategy::{GoBackN, Receiver, SelectiveRepeat, Sender, StopAndWait, Timer},
    theory,
};
use crate::time::Timestamp;

/// Independent runs behind each estimate.
pub const RUNS: u32 = 12;
/// Student's t for 95 % on both sides and [`RUNS`] − 1 degrees of freedom.
const T_95: f64 = 2.201;

const MS: Duration = Duration::from_millis(1);
/// Time that a packet takes on the sender's interface.
const PACKET: Duration = MS;
const PACKET_BYTES: usize = 109;
const HEADER_BYTES: usize = 9;
const DELAY: Duration = Duration::from_millis(10);
/// There and back, and the packet itself.
const ROUND_TRIP: Duration = Duration::from_millis(21);
const STOP_AND_WAIT_TIMEOUT: Duration = Duration::from_millis(50);
/// Of the other two: so many packets leave in it.
const TIMEOUT: Duration = Duration::from_millis(40);
const TIMEOUT_PACKETS: u64 = 40;
/// Never the limit: a message would have to be lost a hundred times.
const SELECTIVE_WINDOW: u64 = 4_000;
/// Time before anything is counted.
const WARM_UP: Duration = Duration::from_millis(1_050);
/// Time in which it is: 200 round trips, so that a strategy that never fails is measured exactly.
const COUNTED: Duration = Duration::from_millis(4_200);
/// Of stop-and-wait, which delivers so much less.
const COUNTED_STOP_AND_WAIT: Duration = Duration::from_secs(42);

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
                let timer = Timer::Fixed(STOP_AND_WAIT_TIMEOUT);
                estimate(COUNTED_STOP_AND_WAIT, lost, seeds, || StopAndWait::new(timer))
            }
            // The window is what leaves in a timeout: it never stalls, and repeats all of it.
            Self::GoBackN => {
                estimate(COUNTED, lost, seeds, || GoBackN::new(fixed, TIMEOUT_PACKETS))
            }
            Self::SelectiveRepeat => {
                estimate(COUNTED, lost, seeds, || SelectiveRepeat::new(fixed, SELECTIVE_WINDOW))
            }
        }
    }
}

fn estimate<S: Sender, R: Receiver>(
    counted: Duration,
    lost: [Share; 2],
    seeds: impl Iterator<Item = u64>,
    strategy: impl Fn() -> (S, R),
) -> Result<Estimate, Broken> {
    let share = |seed| {
        let run = bulk(WARM_UP + counted, lost, seed).run(strategy())?;
        let is_counted = |at: &Timestamp| at.since(Timestamp::ZERO) > WARM_UP;
        let delivered = run.messages.iter().filter_map(|(_, delivered)| *delivered);
        let delivered = u32::try_from(delivered.filter(is_counted).count()).unwrap_or(u32::MAX);
        Ok((PACKET * delivered).as_secs_f64() / counted.as_secs_f64())
    };
    let shares = seeds.map(share).collect::<Result<Vec<f64>, Broken>>()?;
    let count = f64::from(RUNS);
    let mean = shares.iter().sum::<f64>() / count;
    let variance = shares.iter().map(|it| (it - mean) * (it - mean)).sum::<f64>() / (count - 1.0);
    Ok(Estimate { mean, error: (variance / count).sqrt() })
}

/// There is more to send than can be in the time.
fn bulk(lasts: Duration, lost: [Share; 2], seed: u64) -> Experiment {
    let path = |lost| Faults { delay: DELAY, loss: Loss::Independent(lost), ..Faults::default() };
    let packets = lasts.as_micros().div_ceil(PACKET.as_micros());
    Experiment {
        traffic: Traffic {
            messages: u32::try_from(packets).unwrap_or(u32::MAX),
            bytes: PACKET_BYTES - HEADER_BYTES,
            every: Duration::ZERO,
            conversations: 1,
        },
        interface: Some(PACKET_BYTES as u64 * 1_000),
        path: lost.map(path),
        changes: Vec::new(),
        seed,
        lasts_max: lasts,
    }
}
