//! `lab run`: a table of what the strategies came to.

use std::time::Duration;

use protocol::{
    lab::{expect::Measures, scenario::Strategy, strategy::Cause},
    transport::datagram::trace::Payloads,
};

use super::json::print_events;
use crate::{
    cli::LabRun,
    lab::{self, trace::Traces},
    output::{Output, Style, tell},
    report::Failure,
};

pub(super) fn run(asked: &LabRun, output: &mut Output) -> Result<(), Failure> {
    let mut scenario = lab::load(&asked.scenario)?;
    scenario.experiment.seed = asked.seed.unwrap_or(scenario.experiment.seed);
    if !asked.strategy.is_empty() {
        scenario.strategies.clone_from(&asked.strategy);
    }
    let experiment = &scenario.experiment;
    let payloads = if asked.with_secrets { Payloads::Kept } else { Payloads::Withheld };
    let traces = asked.trace.clone().map(|it| Traces::new(it, &scenario.title, payloads));
    let traces = traces.transpose()?;
    if output.style() == Style::Plain {
        output.line(&format!("{} (seed {})", scenario.title, experiment.seed))?;
        output.line(&heading())?;
    }
    let mut unmet = Vec::new();
    for strategy in &scenario.strategies {
        let run = match &traces {
            Some(traces) => traces.record(*strategy, experiment)?,
            None => strategy.run(experiment),
        };
        let run = run.map_err(|broken| Failure::Usage(format!("{strategy}: {broken}")))?;
        let measures = Measures::of(&run, experiment.traffic.bytes);
        match output.style() {
            Style::Plain => output.line(&row(*strategy, &measures))?,
            Style::Json => print_events(*strategy, &run, &measures, output)?,
        }
        for expect in &scenario.expect {
            if expect.concerns(*strategy)
                && let Err(is) = expect.check(&run, &measures)
            {
                unmet.push(format!("{strategy}: expected {expect}, and it is {is}"));
            }
        }
    }
    for line in &unmet {
        tell(line);
    }
    match unmet.len() {
        0 => Ok(()),
        count if asked.assert => Err(Failure::Unmet(count)),
        _ => Ok(()),
    }
}

fn heading() -> String {
    format!(
        "{:<17}{:>8}{:>10}{:>10}{:>10}{:>10}{:>8}{:>9}  sent again: late, overtaken, go-back, copy",
        "", "arrived", "mean ms", "p50 ms", "p99 ms", "max ms", "bytes x", "Mbit/s"
    )
}

fn row(strategy: Strategy, measures: &Measures) -> String {
    let share = measures.delivered * 1_000 / measures.messages.max(1);
    let cause = |cause| measures.causes.get(&cause).copied().unwrap_or(0);
    format!(
        "{strategy:<17}{:>7}%{:>10}{:>10}{:>10}{:>10}{:>8}{:>9}  {} {} {} {}",
        tenths(share),
        millis(measures.mean),
        millis(measures.p50),
        millis(measures.p99),
        millis(measures.max),
        format!("{}.{:02}", measures.overhead / 1_000, measures.overhead % 1_000 / 10),
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
