//! Outcomes as a table of plain text, one strategy a line.

use std::time::Duration;

use protocol::lab::{expect::Measures, strategy::Cause};

/// Names of the columns.
pub fn heading() -> String {
    format!(
        "{:<17}{:>8}{:>10}{:>10}{:>10}{:>10}{:>8}{:>9}  sent again: late, overtaken, go-back, copy",
        "", "arrived", "mean ms", "p50 ms", "p99 ms", "max ms", "bytes x", "Mbit/s"
    )
}

/// The figures of a strategy.
pub fn row(strategy: &str, measures: &Measures) -> String {
    let share = measures.delivered * 1_000 / measures.messages.max(1);
    let known = |figure: String| if measures.delivered > 0 { figure } else { "-".to_owned() };
    let cause = |cause| measures.causes.get(&cause).copied().unwrap_or(0);
    format!(
        "{strategy:<17}{:>7}%{:>10}{:>10}{:>10}{:>10}{:>8}{:>9}  {} {} {} {}",
        tenths(share),
        known(millis(measures.mean)),
        known(millis(measures.p50)),
        known(millis(measures.p99)),
        known(millis(measures.max)),
        known(format!("{}.{:02}", measures.overhead / 1_000, measures.overhead % 1_000 / 10)),
        format!("{}.{:03}", measures.goodput * 8 / 1_000_000, measures.goodput * 8 / 1_000 % 1_000),
        cause(Cause::Timeout),
        cause(Cause::Overtaken),
        cause(Cause::GoBack),
        cause(Cause::Copy),
    )
}

fn tenths(value: u64) -> String {
    format!("{}.{}", value / 10, value % 10)
}

fn millis(time: Duration) -> String {
    let micros = time.as_micros();
    format!("{}.{}", micros / 1_000, micros / 100 % 10)
}
