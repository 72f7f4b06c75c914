//! The textbook's strategies from no loss to a lot: what it expects, and what was measured.

use protocol::lab::{
    experiment::Broken,
    fault::Share,
    sweep::{Estimate, Textbook},
};

/// Losses that are measured, in percent of the packets towards the receiver. Those back are not lost.
pub const LOSSES_PERCENT: [u32; 9] = [0, 1, 2, 5, 10, 15, 20, 25, 30];

/// One strategy at one loss.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Which strategy.
    pub textbook: Textbook,
    /// Percent of the packets towards the receiver that are lost.
    pub lost_percent: u32,
    /// What the formula says.
    pub expected: f64,
    /// What was measured.
    pub estimate: Estimate,
}

/// Measures all of them, with the seeds from `seed` on.
///
/// # Errors
///
/// If a strategy does what none may.
pub fn measure(seed: u64) -> Result<Vec<Measured>, Broken> {
    let one = |textbook: Textbook, lost_percent| {
        let lost = lost(lost_percent);
        let estimate = textbook.measure(lost, seed)?;
        Ok(Measured { textbook, lost_percent, expected: textbook.expected(lost), estimate })
    };
    let all = Textbook::ALL.into_iter();
    all.flat_map(|it| LOSSES_PERCENT.map(|percent| (it, percent)))
        .map(|(textbook, percent)| one(textbook, percent))
        .collect()
}

/// A loss towards the receiver alone.
pub fn lost(percent: u32) -> [Share; 2] {
    [Share::percent(percent), Share::NONE]
}
