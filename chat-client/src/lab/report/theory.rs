//! The page of formulas and measurements.

use protocol::lab::sweep::{RUNS, Textbook};
use serde::Serialize;

use crate::lab::textbook::{LOSSES_PERCENT, Measured, lost};

/// What page/theory.js reads.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TheoryData<'a> {
    version: &'static str,
    command: &'a str,
    seed: String,
    runs: u32,
    strategies: Vec<TextbookData>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TextbookData {
    name: &'static str,
    /// Which colour and dash it has.
    slot: usize,
    formula: &'static str,
    source: &'static str,
    /// What the formula says: percent lost, share of the interface.
    curve: Vec<(u32, f64)>,
    /// What was measured: percent lost, expected, share, half the width of the interval.
    points: Vec<(u32, f64, f64, f64)>,
}

impl<'a> TheoryData<'a> {
    /// What a sweep from this seed came to.
    pub(super) fn new(command: &'a str, seed: u64, points: &[Measured]) -> Self {
        let of = |(slot, textbook): (usize, Textbook)| TextbookData {
            name: textbook.strategy().name(),
            slot,
            formula: textbook.formula(),
            source: textbook.source(),
            curve: (0..=LOSSES_PERCENT[LOSSES_PERCENT.len() - 1])
                .map(|percent| (percent, textbook.expected(lost(percent))))
                .collect(),
            points: points
                .iter()
                .filter(|point| point.textbook == textbook)
                .map(|Measured { lost_percent, expected, estimate, .. }| {
                    (*lost_percent, *expected, estimate.mean, estimate.half_width_95())
                })
                .collect(),
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            command,
            seed: seed.to_string(),
            runs: RUNS,
            strategies: Textbook::ALL.into_iter().enumerate().map(of).collect(),
        }
    }
}
