//! What a page is given: a run as numbers, in the order and under the names that page/data.js reads.
//!
//! A run keeps every event, and a browser cannot draw millions. What there is of packets, messages and
//! timers is therefore cut after so many, which the page says; curves keep their shape with fewer
//! points, and figures are always of the whole run.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use protocol::{
    lab::{
        experiment::{Event, Experiment, Run, Way, What},
        fault::{Drop, Faults},
        scenario::Strategy,
        strategy::{Cause, Gauges, Label},
    },
    time::Timestamp,
};
use serde::Serialize;

use super::{
    thin::{Point, thin},
    words,
};
use crate::{lab::outcome::Outcome, untrusted::Untrusted};

/// Packets of one strategy in the page at most. Six strategies make about 6 MB.
pub const PACKETS_MAX: usize = 20_000;
/// Messages of one strategy in the page at most.
pub const MESSAGES_MAX: usize = 20_000;
/// Timers of one strategy in the page at most.
pub const TIMERS_MAX: usize = 20_000;
/// Points of one curve in the page, about: more than a screen has columns.
const CURVE_POINTS_MAX: usize = 4_000;
/// Of the messages slower than a point of the latency curve, the share that the next point skips.
const LATENCY_STEP: usize = 200;

/// Why packets leave: places in [`kinds`].
const ACK: usize = Cause::ALL.len();
/// Why they do not arrive: places in [`fates`], behind those that do.
const DROPS: [Drop; 4] = [Drop::Lost, Drop::Blackout, Drop::QueueFull, Drop::TooLarge];
const ARRIVED: usize = 0;
const DAMAGED: usize = 1;
const UNDER_WAY: usize = 2;
const DROPPED: usize = 3;

/// A word and its explanation.
#[derive(Serialize)]
pub(super) struct Word {
    name: &'static str,
    words: &'static str,
}

/// Kinds of packets, by the number that stands in a packet's row.
pub(super) fn kinds() -> Vec<Word> {
    let causes = Cause::ALL.map(|cause| Word { name: cause.name(), words: words::cause(cause) });
    causes.into_iter().chain([Word { name: "ack", words: words::ACK }]).collect()
}

/// Fates of packets, by the number that stands in a packet's row.
pub(super) fn fates() -> Vec<Word> {
    let mut fates = vec![
        Word { name: "arrived", words: "arrived" },
        Word { name: "damaged", words: "arrived with a bit changed, and was thrown away" },
        Word { name: "under way", words: "still under way when the run ended" },
    ];
    fates.extend(DROPS.map(|why| Word { name: why.name(), words: words::drop(why) }));
    fates
}

/// Something about the path that the diagram shows.
#[derive(Serialize)]
pub(super) struct Band {
    from: u64,
    /// `None` for a moment.
    to: Option<u64>,
    words: String,
}

/// Blackouts and changes of the path.
pub(super) fn bands(experiment: &Experiment) -> Vec<Band> {
    let blackout = |range: &Range<Duration>| Band {
        from: micros(range.start),
        to: Some(micros(range.end)),
        words: "nothing gets through".to_owned(),
    };
    let of = |[out, back]: &[Faults; 2]| {
        let mut ranges = out.blackouts.clone();
        ranges.extend(back.blackouts.iter().filter(|it| !out.blackouts.contains(it)).cloned());
        ranges
    };
    let mut bands: Vec<Band> = of(&experiment.path).iter().map(blackout).collect();
    let changes = experiment.changes.iter().filter(|change| !change.after.is_zero());
    bands.extend(changes.map(|change| Band {
        from: micros(change.after),
        to: None,
        words: "the path changes".to_owned(),
    }));
    bands
}

/// A strategy with everything that is drawn of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StrategyData {
    name: String,
    /// Which colour and dash it has.
    slot: usize,
    /// What its numbers count.
    numbers: &'static str,
    measures: MeasuresData,
    expectations: Vec<ExpectationData>,
    /// The first [`PACKETS_MAX`].
    packets: Vec<PacketRow>,
    packets_total: u64,
    /// The first [`MESSAGES_MAX`]: when written, when given out.
    messages: Vec<(u64, Option<u64>)>,
    /// The first [`TIMERS_MAX`].
    timers: Vec<u64>,
    curves: Curves,
    /// How many delivered messages were slower, and a time.
    latencies: Vec<(usize, u64)>,
    lasted: u64,
}

#[derive(Serialize)]
struct MeasuresData {
    messages: u64,
    delivered: u64,
    mean: u64,
    p50: u64,
    p99: u64,
    max: u64,
    packets: u64,
    overhead: u64,
    goodput: u64,
    /// By cause, without the first time.
    again: [u64; 4],
    timeouts: u64,
}

#[derive(Serialize)]
struct ExpectationData {
    expected: String,
    instead: Option<String>,
}

/// Way, sent, arrived, bytes, kind, number, fate, arrived again.
type PacketRow = (u8, u64, Option<u64>, usize, usize, u64, usize, Option<u64>);

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Curves {
    round_trip: Vec<Point>,
    timeout: Vec<Point>,
    window: Vec<Point>,
    in_flight: Vec<Point>,
}

impl StrategyData {
    /// What is drawn of an outcome, the `index`th of a report.
    pub(super) fn new(outcome: &Outcome, index: usize) -> Self {
        let Outcome { strategy, run, measures, verdicts } = outcome;
        let known = Strategy::ALL.into_iter().position(|known| known.name() == strategy);
        let timers = run.events.iter().filter(|event| event.what == What::TimedOut);
        let messages = run.messages.iter().take(MESSAGES_MAX);
        Self {
            name: Untrusted::new(strategy).for_line(),
            // Behind those of the strategies that everybody knows, two more for one's own.
            slot: known.unwrap_or(Strategy::ALL.len() + index % 2),
            numbers: words::numbers(strategy),
            measures: MeasuresData {
                messages: measures.messages,
                delivered: measures.delivered,
                mean: micros(measures.mean),
                p50: micros(measures.p50),
                p99: micros(measures.p99),
                max: micros(measures.max),
                packets: measures.packets,
                overhead: measures.overhead,
                goodput: measures.goodput,
                again: [Cause::Timeout, Cause::Overtaken, Cause::GoBack, Cause::Copy]
                    .map(|cause| measures.causes.get(&cause).copied().unwrap_or(0)),
                timeouts: measures.timeouts,
            },
            expectations: verdicts
                .iter()
                .map(|verdict| ExpectationData {
                    expected: Untrusted::new(&verdict.expected).for_line(),
                    instead: verdict.instead.clone(),
                })
                .collect(),
            packets: packets(&run.events),
            packets_total: measures.packets,
            messages: messages
                .map(|(at, given)| (at.as_micros(), given.map(Timestamp::as_micros)))
                .collect(),
            timers: timers.map(|event| event.at.as_micros()).take(TIMERS_MAX).collect(),
            curves: curves(run),
            latencies: latencies(run),
            lasted: micros(run.lasted),
        }
    }
}

/// The first packets, in the order of sending, with what became of them.
fn packets(events: &[Event]) -> Vec<PacketRow> {
    let mut rows: Vec<PacketRow> = Vec::new();
    let mut places: BTreeMap<(Way, u64), usize> = BTreeMap::new();
    for Event { at, what } in events {
        let at = at.as_micros();
        match *what {
            What::Sent { way, packet, bytes, label } if rows.len() < PACKETS_MAX => {
                let (kind, number) = match label {
                    Label::Data { number, cause } => {
                        (Cause::ALL.iter().position(|it| *it == cause).unwrap_or(0), number)
                    }
                    Label::Ack { number } => (ACK, number),
                };
                places.insert((way, packet), rows.len());
                rows.push((way as u8, at, None, bytes, kind, number, UNDER_WAY, None));
            }
            What::Dropped { way, packet, why } => {
                if let Some(place) = places.get(&(way, packet)) {
                    let why = DROPS.iter().position(|it| *it == why).unwrap_or(0);
                    rows[*place].6 = DROPPED + why;
                }
            }
            What::Arrived { way, packet, is_damaged } => {
                if let Some(place) = places.get(&(way, packet)) {
                    let row = &mut rows[*place];
                    if row.2.is_some() {
                        row.7 = Some(at);
                    } else {
                        row.2 = Some(at);
                        row.6 = if is_damaged { DAMAGED } else { ARRIVED };
                    }
                }
            }
            What::Sent { .. }
            | What::Written { .. }
            | What::Delivered { .. }
            | What::TimedOut
            | What::Gauges(_) => {}
        }
    }
    rows
}

fn curves(run: &Run) -> Curves {
    let mut all = Curves::default();
    let mut last = None;
    for event in &run.events {
        if let What::Gauges(gauges) = event.what {
            note(&mut all, event.at.as_micros(), &gauges);
            last = Some(gauges);
        }
    }
    // Up to the end, where nothing changed.
    let end = micros(run.lasted);
    for curve in [&mut all.round_trip, &mut all.timeout, &mut all.window, &mut all.in_flight] {
        if let (Some(_), Some((at, value))) = (last, curve.last().copied())
            && at < end
        {
            curve.push((end, value));
        }
        *curve = thin(curve, CURVE_POINTS_MAX);
    }
    all
}

fn note(all: &mut Curves, at: u64, gauges: &Gauges) {
    let add = |curve: &mut Vec<Point>, value: u64| match curve.last_mut() {
        Some((_, before)) if *before == value => {}
        Some((then, before)) if *then == at => *before = value,
        _ => curve.push((at, value)),
    };
    if let Some(round_trip) = gauges.round_trip {
        add(&mut all.round_trip, micros(round_trip));
    }
    add(&mut all.timeout, micros(gauges.timeout));
    add(&mut all.window, gauges.window);
    add(&mut all.in_flight, gauges.in_flight);
}

/// Points of the latency curve, ever closer to one another towards the slowest message.
fn latencies(run: &Run) -> Vec<(usize, u64)> {
    let sorted = run.latencies();
    let mut points = Vec::new();
    let mut index = 0;
    while let Some(latency) = sorted.get(index) {
        let slower = sorted.len() - index - 1;
        points.push((slower, micros(*latency)));
        index += (slower / LATENCY_STEP).max(1);
    }
    points
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
