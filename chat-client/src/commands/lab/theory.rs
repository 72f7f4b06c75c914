//! `lab theory`: what the textbook's strategies reach, beside what the textbook says.

use protocol::lab::sweep::{RUNS, Textbook};
use serde::Serialize;

use super::{super::json::JSON_VERSION, run::overwrite};
use crate::{
    cli::LabTheory,
    lab::{
        file, report,
        textbook::{self, Measured},
    },
    output::{Output, Style},
    report::Failure,
};

/// One strategy at one loss. Shares are of the time of the sender's interface.
#[derive(Serialize)]
struct PointJson {
    v: u32,
    strategy: &'static str,
    lost_percent: u32,
    expected: f64,
    measured: f64,
    half_width_95: f64,
    runs: u32,
}

pub(super) fn run(asked: &LabTheory, output: &mut Output) -> Result<(), Failure> {
    let points = textbook::measure(asked.seed)
        .map_err(|broken| Failure::Usage(format!("a strategy broke the rules: {broken}")))?;
    match output.style() {
        Style::Json => points.iter().try_for_each(|point| output.json(&json(point)))?,
        Style::Plain => Textbook::ALL.into_iter().try_for_each(|it| table(it, &points, output))?,
    }
    if let Some(path) = &asked.report {
        let command = format!("chat-client lab theory --seed {}", asked.seed);
        let page = report::of_theory(&command, asked.seed, &points);
        file::save(path, report::MARK, &page, overwrite(asked.force))?;
    }
    Ok(())
}

fn table(textbook: Textbook, points: &[Measured], output: &mut Output) -> Result<(), Failure> {
    output.line(&format!("{}: {}", textbook.strategy(), textbook.formula()))?;
    output.line(&format!("  ({})", textbook.source()))?;
    output.line(&format!(
        "  {:>6}{:>10}{:>10}{:>9}   share of the interface, {RUNS} runs each",
        "loss", "expected", "measured", "± 95 %"
    ))?;
    for Measured { lost_percent, expected, estimate, .. } in
        points.iter().filter(|point| point.textbook == textbook)
    {
        output.line(&format!(
            "  {lost_percent:>4} %{expected:>10.4}{:>10.4}{:>9.4}",
            estimate.mean,
            estimate.half_width_95()
        ))?;
    }
    output.line("")
}

fn json(point: &Measured) -> PointJson {
    PointJson {
        v: JSON_VERSION,
        strategy: point.textbook.strategy().name(),
        lost_percent: point.lost_percent,
        expected: point.expected,
        measured: point.estimate.mean,
        half_width_95: point.estimate.half_width_95(),
        runs: RUNS,
    }
}
