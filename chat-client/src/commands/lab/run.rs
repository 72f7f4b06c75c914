//! `lab run`: what strategies came to, as a table, as lines of JSON, as a page, as
//! verdicts for continuous integration. In virtual time, or live.

use protocol::{
    lab::{
        expect::Expect,
        experiment::{Experiment, Run},
        remote::LASTS_MAX,
        scenario::{Recorded, Scenario, Strategy},
        words::time_text,
    },
    time::Timestamp,
    transport::datagram::trace::Payloads,
};

use super::{json::print_events, progress::Progress, resolve_all};
use crate::{
    cli::LabRun,
    config::Config,
    lab::{
        self,
        file::{self, Overwrite},
        junit::{self, Suite},
        outcome::Outcome,
        remote::sender::Remote,
        report::{self, Origin},
        table,
        trace::Traces,
    },
    output::{Output, Style, tell},
    report::Failure,
    untrusted::Untrusted,
};

pub(super) async fn run(
    asked: &LabRun,
    config: &Config,
    output: &mut Output,
) -> Result<(), Failure> {
    let shipped = || lab::SCENARIOS.iter().map(|(name, _)| (*name).to_owned());
    let names = if asked.all { shipped().collect() } else { asked.scenarios.clone() };
    if names.len() > 1 && (asked.report.is_some() || config.trace.is_some()) {
        let what = "--report and --trace take one scenario at a time".to_owned();
        return Err(Failure::Usage(what));
    }
    let mut remote = match &asked.live {
        Some(name) => {
            let name = name.strip_prefix("udp:").unwrap_or(name);
            let (first, others) = resolve_all("--live", name).await?;
            Some(Remote::open(first, others)?)
        }
        None => None,
    };
    let mut suites = Vec::new();
    let mut unmet = 0;
    for name in &names {
        let (suite, lines) = run_one(asked, remote.as_mut(), config, name, output).await?;
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
async fn run_one(
    asked: &LabRun,
    mut remote: Option<&mut Remote>,
    config: &Config,
    name: &str,
    output: &mut Output,
) -> Result<(Suite, Vec<String>), Failure> {
    let text = lab::text(name)?;
    let mut scenario = lab::parse(name, &text)?;
    scenario.experiment.seed = asked.seed.unwrap_or(scenario.experiment.seed);
    if !asked.strategy.is_empty() {
        let is_asked_for = |strategy: &Strategy| asked.strategy.contains(strategy);
        scenario.strategies = Strategy::ALL.into_iter().filter(is_asked_for).collect();
    }
    let seed = scenario.experiment.seed;
    let traces = config.trace.clone().map(|(it, how)| Traces::new(it, &scenario.title, how));
    let traces = traces.transpose()?;
    let mut outcomes = Vec::new();
    for strategy in &scenario.strategies {
        let run =
            run_strategy(*strategy, &scenario, remote.as_deref_mut(), traces.as_ref()).await?;
        outcomes.push(Outcome::new(strategy.name(), run, &scenario));
    }
    let live = remote.map(|remote| remote.address());
    match output.style() {
        Style::Plain => {
            let title = Untrusted::new(&scenario.title).for_line();
            let how = live.map(|it| format!(", live: receiver at {it}, real times"));
            output.line(&format!("{title} (seed {seed}{})", how.unwrap_or_default()))?;
            output.line(&table::heading())?;
            for Outcome { strategy, measures, .. } in &outcomes {
                output.line(&table::row(strategy, measures))?;
            }
        }
        Style::Json => {
            outcomes.iter().try_for_each(|outcome| print_events(outcome, live, output))?;
        }
    }
    if let Some(path) = &asked.report {
        let is_shipped = lab::SCENARIOS.iter().any(|(shipped, _)| *shipped == name);
        let command = again(asked, name, seed);
        let source = (!is_shipped).then_some(&*text);
        let origin = Origin { command: &command, source, live };
        let page = report::of_run(origin, &scenario, &outcomes);
        file::save(path, report::MARK, &page, overwrite(asked.force))?;
    }
    let unmet = outcomes.iter().flat_map(Outcome::unmet).collect();
    let is_left_out =
        |it: &&Expect| it.strategy().is_some_and(|it| !scenario.strategies.contains(&it));
    let left_out = scenario.expect.iter().filter(is_left_out).map(Expect::to_string);
    Ok((Suite::new(name, seed, &outcomes, left_out.collect()), unmet))
}

/// What `--force` says.
pub(super) const fn overwrite(force: bool) -> Overwrite {
    if force { Overwrite::Any } else { Overwrite::Ours }
}

/// Runs one strategy, here or with its receiver elsewhere, and writes its trace.
async fn run_strategy(
    strategy: Strategy,
    scenario: &Scenario,
    remote: Option<&mut Remote>,
    traces: Option<&Traces>,
) -> Result<Run, Failure> {
    let experiment = &scenario.experiment;
    let payloads = traces.map(Traces::payloads);
    let recorded = if let Some(remote) = remote {
        run_live(strategy, experiment, remote, payloads).await?
    } else {
        let recorded = match payloads {
            Some(payloads) => strategy.run_recorded(experiment, payloads),
            None => strategy.run(experiment).map(Recorded::from),
        };
        recorded.map_err(|broken| Failure::Usage(format!("{strategy}: {broken}")))?
    };
    if let Some(traces) = traces {
        traces.write(strategy, &recorded, &experiment.traffic)?;
    }
    Ok(recorded.run)
}

/// Runs one strategy with its receiver elsewhere, and says how far it is.
async fn run_live(
    strategy: Strategy,
    experiment: &Experiment,
    remote: &mut Remote,
    payloads: Option<Payloads>,
) -> Result<Recorded, Failure> {
    let lasts = experiment.lasts_max;
    if lasts > LASTS_MAX {
        let [lasts, most] = [lasts, LASTS_MAX].map(time_text);
        let why = format!("it may last {lasts}, and no peer receives for longer than {most}");
        return Err(Failure::Usage(format!("--live takes real time: {why}")));
    }
    let mut progress = Progress::new();
    let mut watch = |run: &Run, now: Timestamp| {
        progress.show(|| {
            let (here, all) = (run.delivered(), experiment.traffic.messages);
            let seconds = now.since(Timestamp::ZERO).as_secs();
            format!(
                "{strategy}: {here} of {all} messages, {seconds} s of {} at most",
                time_text(lasts)
            )
        });
    };
    remote.run(strategy, experiment, payloads, &mut watch).await
}

/// The command that makes the same run.
fn again(asked: &LabRun, scenario: &str, seed: u64) -> String {
    let strategies = asked.strategy.iter().map(|strategy| format!(" --strategy {strategy}"));
    let live = asked.live.iter().map(|address| format!(" --live {}", quoted(address)));
    let options: String = strategies.chain(live).collect();
    format!("chat-client lab run {} --seed {seed}{options}", quoted(scenario))
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
