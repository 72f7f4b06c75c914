//! `lab`: strategies against bad paths, in virtual time. The same seed gives the same run, down to
//! the last event, on every machine.

use std::time::Duration;

use protocol::{
    lab::{
        expect::Measures,
        experiment::{Event, Run, What},
        scenario::{Scenario, Strategy},
        strategy::{Cause, Label},
    },
    time::Timestamp,
};
use serde::Serialize;

use super::json::JSON_VERSION;
use crate::{
    cli::{Lab, LabRun},
    lab,
    output::{Output, Style, tell},
    report::Failure,
};

pub(super) fn run(command: Lab, output: &mut Output) -> Result<(), Failure> {
    match command {
        Lab::List => lab::SCENARIOS.iter().try_for_each(|(name, _)| output.line(name)),
        Lab::Explain { scenario } => explain(&lab::load(&scenario)?, output),
        Lab::Run(run) => run_scenario(&run, output),
    }
}

fn explain(scenario: &Scenario, output: &mut Output) -> Result<(), Failure> {
    output.line(&scenario.title)?;
    output.line("")?;
    output.line(scenario.explain.trim())?;
    output.line("")?;
    output.line("What is expected of it:")?;
    scenario.expect.iter().try_for_each(|expect| output.line(&format!("  {expect}")))
}

fn run_scenario(asked: &LabRun, output: &mut Output) -> Result<(), Failure> {
    let mut scenario = lab::load(&asked.scenario)?;
    scenario.experiment.seed = asked.seed.unwrap_or(scenario.experiment.seed);
    if !asked.strategy.is_empty() {
        scenario.strategies.clone_from(&asked.strategy);
    }
    let experiment = &scenario.experiment;
    if output.style() == Style::Plain {
        output.line(&format!("{} (seed {})", scenario.title, experiment.seed))?;
        output.line(&heading())?;
    }
    let mut unmet = Vec::new();
    for strategy in &scenario.strategies {
        let run = strategy
            .run(experiment)
            .map_err(|broken| Failure::Usage(format!("{strategy}: {broken}")))?;
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

/// An event as a line of JSON. Times are µs from the beginning.
#[derive(Serialize)]
struct EventJson {
    v: u32,
    strategy: &'static str,
    at_us: u64,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    way: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_flight: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_us: Option<u64>,
}

/// The last line of a strategy.
#[derive(Serialize)]
struct SummaryJson {
    v: u32,
    strategy: &'static str,
    event: &'static str,
    messages: u64,
    delivered: u64,
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
    packets: u64,
    wire_bytes: u64,
    retransmits: u64,
    timeouts: u64,
}

fn print_events(
    strategy: Strategy,
    run: &Run,
    measures: &Measures,
    output: &mut Output,
) -> Result<(), Failure> {
    for event in &run.events {
        output.json(&event_json(strategy, event))?;
    }
    output.json(&SummaryJson {
        v: JSON_VERSION,
        strategy: strategy.name(),
        event: "summary",
        messages: measures.messages,
        delivered: measures.delivered,
        p50_us: micros(measures.p50),
        p99_us: micros(measures.p99),
        max_us: micros(measures.max),
        packets: measures.packets,
        wire_bytes: measures.wire_bytes,
        retransmits: measures.retransmits(),
        timeouts: measures.timeouts,
    })
}

fn event_json(strategy: Strategy, event: &Event) -> EventJson {
    let mut json = EventJson {
        v: JSON_VERSION,
        strategy: strategy.name(),
        at_us: event.at.since(Timestamp::ZERO).as_micros().try_into().unwrap_or(u64::MAX),
        event: "",
        message: None,
        way: None,
        packet: None,
        bytes: None,
        number: None,
        why: None,
        window: None,
        in_flight: None,
        round_trip_us: None,
        timeout_us: None,
    };
    match event.what {
        What::Written { message } => (json.event, json.message) = ("written", Some(message)),
        What::Delivered { message } => (json.event, json.message) = ("delivered", Some(message)),
        What::TimedOut => json.event = "timeout",
        What::Sent { way, packet, bytes, label } => {
            (json.event, json.way, json.packet) = ("sent", Some(way.name()), Some(packet));
            json.bytes = Some(bytes);
            (json.number, json.why) = match label {
                Label::Data { number, cause } => (Some(number), Some(cause.name())),
                Label::Ack { number } => (Some(number), Some("ack")),
            };
        }
        What::Dropped { way, packet, why } => {
            (json.event, json.way, json.packet) = ("dropped", Some(way.name()), Some(packet));
            json.why = Some(why.name());
        }
        What::Arrived { way, packet, is_damaged } => {
            (json.event, json.way, json.packet) = ("arrived", Some(way.name()), Some(packet));
            json.why = is_damaged.then_some("damaged");
        }
        What::Gauges(gauges) => {
            json.event = "gauges";
            (json.window, json.in_flight) = (Some(gauges.window), Some(gauges.in_flight));
            json.round_trip_us = gauges.round_trip.map(micros);
            json.timeout_us = Some(micros(gauges.timeout));
        }
    }
    json
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
