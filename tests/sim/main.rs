//! The simulation: real engines, the real hub and sessions, the real channels over streams and over
//! datagrams; networks, disks and time of our own.
//!
//! ```text
//!   schedule   what a seed stands for: people, paths, what they do, what goes wrong
//!   world      everything in one place; each step asks the model
//!   client     an engine on a disk, and its carrier: a stream or datagrams
//!   relay      hub, sessions and store; its ends of streams, and its door for datagrams
//!   network    streams; `paths` are those of datagrams, `strangers` what is hostile on them
//!   model      what must be true; `memory` what may be kept; `marks` what must have happened
//!   bugs       what all this must find
//! ```
//!
//! `cargo sim` runs a fixed set of schedules; `SIM_SEEDS=N` runs N more, from where `SIM_FROM`
//! says; `SIM_SEED=x` replays one with its trace. A failure prints the command that replays it.

mod bugs;
mod carrier;
mod client;
mod marks;
mod memory;
mod model;
mod network;
mod paths;
mod relay;
mod schedule;
mod strangers;
mod world;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use self::{
    bugs::Bug,
    marks::{Mark, Marks},
    model::Violation,
    schedule::Plan,
    world::World,
};

/// Schedules that every run checks.
const SCHEDULES: u64 = 12_000;
/// How often those must hit each mark.
const MARK_HITS_MIN: u64 = 100;
/// Within how many schedules a planted bug has to be found.
const BUG_FOUND_WITHIN: u64 = 1_000;
/// Last lines of a failed schedule's trace that are shown.
const TRACE_LINES_SHOWN: usize = 200;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn run(seed: u64, bug: Option<Bug>) -> (Result<(), Violation>, Marks) {
    let mut world = World::new(Plan::of_seed(seed), bug);
    let outcome = world.run();
    (outcome, world.marks)
}

/// Runs a failed schedule again, with its trace.
fn replay(seed: u64) -> String {
    let mut world = World::new(Plan::of_seed(seed), None);
    world.trace = Some(Vec::new());
    let outcome = world.run();
    let trace = world.trace.unwrap_or_default();
    let shown = &trace[trace.len().saturating_sub(TRACE_LINES_SHOWN)..];
    format!("{}\n{outcome:?}\nreplay: SIM_SEED={seed} cargo sim replay", shown.join("\n"))
}

/// Runs seeds on every core until one fails; the marks of all, and the lowest failed seed.
fn run_all(seeds: std::ops::Range<u64>, bug: Option<Bug>) -> (Marks, Option<(u64, Violation)>) {
    let next = AtomicU64::new(seeds.start);
    let result = Mutex::new((Marks::default(), None::<(u64, Violation)>));
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    // Looked at before a seed is taken: every taken one is run, so the lowest that
                    // fails is found whatever the other cores do.
                    if result.lock().expect("no panic").1.is_some() {
                        return;
                    }
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let (outcome, marks) = run(seed, bug);
                    let mut result = result.lock().expect("no panic");
                    result.0.add(&marks);
                    if let Err(violation) = outcome {
                        let lowest = result.1.as_ref().is_none_or(|(lowest, _)| seed < *lowest);
                        if lowest {
                            result.1 = Some((seed, violation));
                        }
                    }
                }
            });
        }
    });
    result.into_inner().expect("no panic")
}

#[test]
fn schedules_keep_every_promise_and_hit_every_mark() {
    let from = number("SIM_FROM").unwrap_or(0);
    let seeds = from..from + SCHEDULES + number("SIM_SEEDS").unwrap_or(0);
    let (marks, failure) = run_all(seeds, None);
    for mark in Mark::ALL {
        println!("{:>8} {mark:?}", marks.count(*mark));
    }
    if let Some((seed, violation)) = failure {
        panic!("seed {seed}: {}\n{}", violation.0, replay(seed));
    }
    for mark in Mark::ALL {
        let hits = marks.count(*mark);
        assert!(hits >= MARK_HITS_MIN, "{mark:?} was hit {hits} times in {SCHEDULES} schedules");
    }
}

#[test]
fn every_planted_bug_is_found() {
    for bug in Bug::ALL {
        let (_, found) = run_all(0..BUG_FOUND_WITHIN, Some(*bug));
        let Some((seed, violation)) = found else {
            panic!("{bug:?} was not found in {BUG_FOUND_WITHIN} schedules");
        };
        println!("{bug:?}: found by seed {seed}: {}", violation.0);
    }
}

#[test]
fn a_seed_replays_exactly() {
    let trace = |seed| {
        let mut world = World::new(Plan::of_seed(seed), None);
        world.trace = Some(Vec::new());
        let outcome = world.run();
        (world.trace, world.marks, outcome)
    };
    for seed in 0..20 {
        assert!(trace(seed) == trace(seed), "seed {seed} differs from itself");
    }
}

/// `SIM_SEED=x cargo sim replay`; without the variable, the first seed.
#[test]
fn replay_one() {
    let seed = number("SIM_SEED").unwrap_or(0);
    let (outcome, _) = run(seed, None);
    assert_eq!(outcome, Ok(()), "{}", replay(seed));
}
