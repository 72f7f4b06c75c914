//! Figures, the budgets they are held against, and how both are printed.

use std::io::{self, Write};

use serde::Serialize;

use crate::{
    check::Faults,
    stats::{Latencies, Usage},
};

/// What a figure has to reach.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Budget {
    /// More is better.
    AtLeast(f64),
    /// Less is better.
    AtMost(f64),
}

impl Budget {
    /// How far `value` is from the budget: 1 reaches it, 2 is twice as good, 0.5 half as good.
    pub(crate) fn ratio(self, value: f64) -> f64 {
        match self {
            Self::AtLeast(least) => value / least,
            Self::AtMost(most) => most / value,
        }
    }

    /// Whether `value` is good enough.
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

/// One measured value.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) name: String,
    /// In what unit; empty for a plain count.
    pub(crate) unit: &'static str,
    /// The value.
    pub(crate) value: f64,
    /// What it has to reach, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) budget: Option<Budget>,
    /// See [`Budget::ratio`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ratio: Option<f64>,
}

/// Everything one measurement found out.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Which measurement, with its parameters.
    pub(crate) measurement: String,
    /// What it measured, the most important first.
    pub(crate) figures: Vec<Figure>,
}

impl Report {
    /// An empty report.
    pub(crate) fn new(measurement: impl Into<String>) -> Self {
        Self { measurement: measurement.into(), figures: Vec::new() }
    }

    /// Adds a figure that has a budget.
    pub(crate) fn held_to(
        &mut self,
        name: impl Into<String>,
        unit: &'static str,
        value: f64,
        budget: Budget,
    ) {
        let ratio = Some(budget.ratio(value)).filter(|ratio| ratio.is_finite() && *ratio > 0.0);
        self.figures.push(Figure { name: name.into(), unit, value, budget: Some(budget), ratio });
    }

    /// Takes the budgets away which were set for another transport. What may not happen at all may
    /// not happen on any.
    pub(crate) fn without_budgets(mut self) -> Self {
        for figure in &mut self.figures {
            if figure.budget.is_some_and(|budget| !matches!(budget, Budget::AtMost(0.0))) {
                (figure.budget, figure.ratio) = (None, None);
            }
        }
        self
    }

    /// Adds a figure that explains others.
    pub(crate) fn add(&mut self, name: impl Into<String>, unit: &'static str, value: f64) {
        self.figures.push(Figure { name: name.into(), unit, value, budget: None, ratio: None });
    }

    /// Adds who used how much of the machine.
    pub(crate) fn add_usage(&mut self, usage: &Usage) {
        self.add("relay", "cores", usage.cores(usage.relay.total()));
        self.add("driver", "cores", usage.cores(usage.driver));
        self.add("others", "cores", usage.cores(usage.foreign));
    }

    /// Adds the usual quantiles, without budget.
    pub(crate) fn add_latencies(&mut self, latencies: &Latencies) {
        self.add("p50", "ms", latencies.quantile_ms(0.5));
        self.add("p99", "ms", latencies.quantile_ms(0.99));
        self.add("p99.9", "ms", latencies.quantile_ms(0.999));
        self.add("longest", "ms", latencies.max_ms());
    }

    /// Adds the faults, none of which may have happened.
    pub(crate) fn add_faults(&mut self, faults: Faults) {
        for (name, count) in [
            ("lost", faults.lost),
            ("doubled", faults.doubled),
            ("reordered", faults.reordered),
            ("foreign", faults.foreign),
        ] {
            self.held_to(name, "", crate::stats::number(count), Budget::AtMost(0.0));
        }
    }

    /// Adds those figures of another report that have a budget and are not mere checks that hold.
    pub(crate) fn add_budgeted(&mut self, other: &Self) {
        for figure in &other.figures {
            if figure.ratio.is_some() || figure.budget.is_some_and(|b| !b.is_met(figure.value)) {
                let name = format!("{}: {}", other.measurement, figure.name);
                self.figures.push(Figure { name, ..figure.clone() });
            }
        }
    }

    /// Writes one line of JSON.
    ///
    /// # Errors
    ///
    /// If `out` fails.
    pub(crate) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        writeln!(out)
    }

    /// Writes a table: a line per figure.
    ///
    /// # Errors
    ///
    /// If `out` fails.
    pub(crate) fn write_table(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "\n{}", self.measurement)?;
        let longest = self.figures.iter().map(|figure| figure.name.chars().count()).max();
        let width = longest.unwrap_or_default();
        for figure in &self.figures {
            let value = format_value(figure.value);
            write!(out, "  {:<width$} {value:>10} {:<5}", figure.name, figure.unit)?;
            if let Some(budget) = figure.budget {
                let (sign, limit) = match budget {
                    Budget::AtLeast(least) => ('≥', least),
                    Budget::AtMost(most) => ('≤', most),
                };
                write!(out, "  {sign} {:<10}", format_value(limit))?;
                match (figure.ratio, budget.is_met(figure.value)) {
                    (Some(ratio), _) => write!(out, " {ratio:>6.2}")?,
                    (None, true) => write!(out, "     ok")?,
                    (None, false) => write!(out, "  WRONG")?,
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

/// Four significant digits at most, with a unit prefix for what is large.
fn format_value(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        large if large >= 1e6 => format!("{:.3} M", value / 1e6),
        large if large >= 1e4 => format!("{:.1} k", value / 1e3),
        medium if medium >= 100.0 => format!("{value:.0}"),
        small if small >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_is_better_than_the_budget_in_both_directions() {
        assert!((Budget::AtLeast(100.0).ratio(200.0) - 2.0).abs() < 1e-9);
        assert!((Budget::AtMost(100.0).ratio(50.0) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn the_table_shows_value_budget_and_ratio() {
        let mut report = Report::new("fanout");
        report.held_to("deliveries", "/s", 2_500_000.0, Budget::AtLeast(5e6));
        report.add("driver", "cores", 0.5);
        report.add_faults(Faults { lost: 3, ..Faults::default() });
        let mut out = Vec::new();
        report.write_table(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<Vec<_>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[2], ["deliveries", "2.500", "M", "/s", "≥", "5.000", "M", "0.50"]);
        assert_eq!(lines[3], ["driver", "0.5000", "cores"]);
        assert_eq!(lines[4], ["lost", "3.00", "≤", "0", "WRONG"]);
        assert_eq!(lines[5], ["doubled", "0", "≤", "0", "ok"]);
    }
}
