//! `lab run`: what strategies came to, as a table, as lines of JSON, as a page, as
//! verdicts for continuous integration.

use protocol::lab::scenario::{Scenario, Strategy};

use super::json::print_events;
use crate::{
    cli::LabRun,
    config::Config,
    lab::{
        self,
        file::{self, Overwrite},
        junit::{self, Suite},
        outcome::Outcome,
        report::{self, Origin},
        table,
        trace::Traces,
    },
    output::{Output, Style, tell},
    report::Failure,
    untrusted::Untrusted,
};

pub(super) fn run(asked: &LabRun, config: &Config, output: &mut Output) -> Result<(), Failure> {
    let shipped = || lab::SCENARIOS.iter().map(|(name, _)| (*name).to_owned());
    let names = if asked.all { shipped().collect() } else { asked.scenarios.clone() };
    if names.len() > 1 && (asked.report.is_some() || config.trace.is_some()) {
        let what = "--report and --trace take one scenario at a time".to_owned();
        return Err(Failure::Usage(what));
    }
    let mut suites = Vec::new();
    let mut unmet = 0;
    for name in &names {
        let (suite, lines) = run_one(asked, config, name, output)?;
        for line in &lines {
            tell(&Untrusted::new(line).for_line());
        }
        unmet += lines.len();
        suites.push(suite);
    }
    if let Some(path) = &asked.junit {
        file::save(path, junit::MARK, &junit::document(&suites), overwrite(asked.force))?;
    }
    match unmet {
        0 => Ok(()),
        count if asked.assert => Err(Failure::Unmet(count)),
        _ => Ok(()),
    }
}

/// Runs a scenario and shows what it came to; then what was expected, and what is not so.
fn run_one(
    asked: &LabRun,
    config: &Config,
    name: &str,
    output: &mut Output,
) -> Result<(Suite, Vec<String>), Failure> {
    let text = lab::text(name)?;
    let mut scenario = lab::parse(name, &text)?;
    scenario.experiment.seed = asked.seed.unwrap_or(scenario.experiment.seed);
    if !asked.strategy.is_empty() {
        scenario.strategies.clone_from(&asked.strategy);
    }
    let seed = scenario.experiment.seed;
    let traces = config.trace.clone().map(|(it, how)| Traces::new(it, &scenario.title, how));
    let outcomes = outcomes(&scenario, traces.transpose()?.as_ref())?;
    match output.style() {
        Style::Plain => {
            let title = Untrusted::new(&scenario.title).for_line();
            output.line(&format!("{title} (seed {seed})"))?;
            output.line(&table::heading())?;
            for Outcome { strategy, measures, .. } in &outcomes {
                output.line(&table::row(strategy, measures))?;
            }
        }
        Style::Json => outcomes.iter().try_for_each(|outcome| print_events(outcome, output))?,
    }
    if let Some(path) = &asked.report {
        let is_shipped = lab::SCENARIOS.iter().any(|(shipped, _)| *shipped == name);
        let command = again(asked, name, seed);
        let origin = Origin { command: &command, source: (!is_shipped).then_some(&*text) };
        let page = report::of_run(origin, &scenario, &outcomes);
        file::save(path, report::MARK, &page, overwrite(asked.force))?;
    }
    let unmet = outcomes.iter().flat_map(Outcome::unmet).collect();
    Ok((Suite::new(name, seed, &outcomes), unmet))
}

/// What `--force` says.
pub(super) const fn overwrite(force: bool) -> Overwrite {
    if force { Overwrite::Any } else { Overwrite::Ours }
}

fn outcomes(scenario: &Scenario, traces: Option<&Traces>) -> Result<Vec<Outcome>, Failure> {
    let outcome = |strategy: &Strategy| {
        let run = match traces {
            Some(traces) => traces.record(*strategy, &scenario.experiment)?,
            None => strategy.run(&scenario.experiment),
        };
        let run = run.map_err(|broken| Failure::Usage(format!("{strategy}: {broken}")))?;
        Ok(Outcome::new(strategy.name(), run, scenario))
    };
    scenario.strategies.iter().map(outcome).collect()
}

/// The command that makes the same run.
fn again(asked: &LabRun, scenario: &str, seed: u64) -> String {
    let strategies = asked.strategy.iter().map(|strategy| format!(" --strategy {strategy}"));
    let scenario = quoted(scenario);
    format!("chat-client lab run {scenario} --seed {seed}{}", strategies.collect::<String>())
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) && !word.starts_with('-') {
        return word.to_owned();
    }
    let dashed = if word.starts_with('-') { "./" } else { "" };
    format!("'{dashed}{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        assert_eq!(quoted("lost-ack"), "lost-ack");
        assert_eq!(quoted("my runs/o'clock.toml"), r"'my runs/o'\''clock.toml'");
        assert_eq!(quoted("-x.toml"), "'./-x.toml'");
        assert_eq!(quoted("$(id).toml"), "'$(id).toml'");
    }
}
