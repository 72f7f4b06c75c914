//! `lab`: strategies against bad paths, in virtual time. The same seed gives the same run, down to
//! the last event, on every machine. Or in real time, with the receiver on another host. And a bad path
//! for other programs.

mod json;
mod peer;
mod progress;
mod proxy;
mod run;
mod theory;
mod watch;

use std::net::SocketAddr;

use protocol::lab::{pcapng, scenario::Scenario};

use crate::{cli::Lab, config::Config, lab, output::Output, report::Failure};

pub(super) async fn run(command: Lab, config: &Config, output: &mut Output) -> Result<(), Failure> {
    match command {
        Lab::List => lab::SCENARIOS.iter().try_for_each(|(name, _)| output.line(name)),
        Lab::Explain { scenario } => explain(&lab::load(&scenario)?, output),
        Lab::Dissector => output.line(pcapng::DISSECTOR.trim_end()),
        Lab::Run(run) => run::run(&run, config, output).await,
        Lab::Theory(theory) => theory::run(&theory, output),
        Lab::Watch(asked) => watch::run(&asked, config).await,
        Lab::Peer(peer) => peer::run(&peer, output).await,
        Lab::Proxy(proxy) => proxy::run(&proxy, output).await,
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

/// The first address of HOST:PORT, as it was given to `option`.
async fn resolve(option: &str, name: &str) -> Result<SocketAddr, Failure> {
    let failed = |error| Failure::io(format!("{option} {name}: write HOST:PORT"), error);
    let mut addresses = tokio::net::lookup_host(name).await.map_err(failed)?;
    addresses.next().ok_or_else(|| Failure::NotFound { what: format!("{option} {name}") })
}
