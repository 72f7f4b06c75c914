//! Loads a relay and holds what it measures against the budgets: see `load --help`.
//!
//! ```text
//!   cli        the options          bench     relay and people      check     nothing lost, doubled,
//!   report     figures, budgets     stats     latencies, usage                reordered
//!   disk       how fast it is just now
//!   room, member, author, payload   who says what, and who reads it
//!   fanout latency idle storm pairs durable start hostile flood terminal typing   one each
//! ```
//!
//! Everything runs on one thread: the relay should have the rest of the machine, and on a small one
//! the driver must not cost more than what it measures.

mod all;
mod author;
mod bench;
mod check;
mod cli;
mod disk;
mod durable;
#[cfg(test)]
mod fake_relay;
mod fanout;
mod flood;
mod hostile;
mod idle;
mod latency;
mod member;
mod pairs;
mod payload;
mod report;
mod room;
mod start;
mod stats;
mod storm;
mod terminal;
mod typing;

use std::{io, process::ExitCode};

use clap::Parser;
use tokio::{runtime::Builder, task::LocalSet};

use crate::{
    bench::BenchError,
    cli::{Cli, Common, Measurement, Transport},
    report::Report,
};

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), BenchError> {
    harness::process::allow_many_files()?;
    let measurements = match &cli.measurement {
        Measurement::All => all::measurements(cli.common.store),
        one => vec![(one.clone(), cli.common.store)],
    };
    let mut failed = Vec::new();
    let mut summary = Report::new("all figures that have a budget");
    for (measurement, store) in measurements {
        let common = Common { store, ..cli.common.clone() };
        // A runtime each, so that no task of one measurement outlives it.
        let runtime = Builder::new_current_thread().enable_all().build()?;
        match LocalSet::new().block_on(&runtime, measure(&measurement, &common)) {
            Ok(report) => {
                let report = match common.transport {
                    Transport::Tcp => report,
                    Transport::Udp => Report {
                        measurement: format!("{}, over UDP", report.measurement),
                        ..report.without_budgets()
                    },
                };
                print(&report, &common)?;
                summary.add_budgeted(&report);
            }
            Err(error) => failed.push(format!("{measurement:?}: {error}")),
        }
    }
    if matches!(cli.measurement, Measurement::All) && !cli.common.json {
        print(&summary, &cli.common)?;
    }
    if failed.is_empty() { Ok(()) } else { Err(BenchError::Failed(failed.join("\nerror: "))) }
}

fn print(report: &Report, common: &Common) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if common.json { report.write_json(&mut out) } else { report.write_table(&mut out) }
}

async fn measure(measurement: &Measurement, common: &Common) -> Result<Report, BenchError> {
    match measurement {
        Measurement::Fanout(options) => fanout::run(options, common).await,
        Measurement::Latency(options) => latency::run(options, common).await,
        Measurement::Idle(options) => idle::run(options, common).await,
        Measurement::Storm(options) => storm::run(options, common).await,
        Measurement::Pairs(options) => pairs::run(options, common).await,
        Measurement::Durable(options) => durable::run(options, common).await,
        Measurement::Start(options) => start::run(options, common).await,
        Measurement::Hostile(options) => hostile::run(options, common).await,
        Measurement::Flood(options) => flood::run(options, common).await,
        Measurement::Terminal(options) => terminal::run(options, common),
        Measurement::Typing(options) => typing::run(options, common).await,
        Measurement::All => Err(BenchError::Failed("all is many measurements".to_owned())),
    }
}
