//! Runs and scenarios as lines of JSON.

use std::{net::SocketAddr, time::Duration};

use protocol::{
    lab::{
        experiment::{Event, What},
        scenario::Scenario,
        strategy::Label,
    },
    time::Timestamp,
};
use serde::Serialize;

use super::super::json::JSON_VERSION;
use crate::{lab::outcome::Outcome, output::Output, report::Failure};

/// An event as a line of JSON. Times are µs from the beginning.
#[derive(Serialize)]
struct EventJson<'a> {
    v: u32,
    strategy: &'a str,
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
struct SummaryJson<'a> {
    v: u32,
    strategy: &'a str,
    event: &'static str,
    /// Where the receiver was, if it was elsewhere: times are real ones then.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<SocketAddr>,
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

/// A scenario as a line of JSON.
#[derive(Serialize)]
pub(super) struct ScenarioJson<'a> {
    v: u32,
    name: &'a str,
    title: &'a str,
    explain: &'a str,
    strategies: Vec<&'static str>,
    expect: Vec<String>,
}

impl<'a> ScenarioJson<'a> {
    pub(super) fn new(name: &'a str, scenario: &'a Scenario) -> Self {
        Self {
            v: JSON_VERSION,
            name,
            title: &scenario.title,
            explain: scenario.explain.trim(),
            strategies: scenario.strategies.iter().map(|strategy| strategy.name()).collect(),
            expect: scenario.expect.iter().map(ToString::to_string).collect(),
        }
    }
}

pub(super) fn print_events(
    outcome: &Outcome,
    live: Option<SocketAddr>,
    output: &mut Output,
) -> Result<(), Failure> {
    let Outcome { strategy, run, measures, .. } = outcome;
    for event in &run.events {
        output.json(&event_json(strategy, event))?;
    }
    output.json(&SummaryJson {
        v: JSON_VERSION,
        strategy,
        event: "summary",
        live,
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

fn event_json<'a>(strategy: &'a str, event: &Event) -> EventJson<'a> {
    let mut json = EventJson {
        v: JSON_VERSION,
        strategy,
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
