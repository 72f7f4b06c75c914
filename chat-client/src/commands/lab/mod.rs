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

use protocol::lab::pcapng;

use self::json::ScenarioJson;
use crate::{
    cli::Lab,
    config::Config,
    lab,
    output::{Output, Style},
    report::Failure,
    untrusted::Untrusted,
};

pub(super) async fn run(command: Lab, config: &Config, output: &mut Output) -> Result<(), Failure> {
    match command {
        Lab::List => list(output),
        Lab::Explain { scenario, source: true } => output.line(lab::text(&scenario)?.trim_end()),
        Lab::Explain { scenario, source: false } => explain(&scenario, output),
        Lab::Dissector => output.line(pcapng::DISSECTOR.trim_end()),
        Lab::Run(run) => run::run(&run, config, output).await,
        Lab::Theory(theory) => theory::run(&theory, output),
        Lab::Watch(asked) => watch::run(&asked, config).await,
        Lab::Peer(peer) => peer::run(&peer, output).await,
        Lab::Proxy(proxy) => proxy::run(&proxy, output).await,
    }
}

fn list(output: &mut Output) -> Result<(), Failure> {
    for (name, _) in lab::SCENARIOS {
        match output.style() {
            Style::Plain => output.line(name)?,
            Style::Json => output.json(&ScenarioJson::new(name, &lab::load(name)?))?,
        }
    }
    Ok(())
}

fn explain(name: &str, output: &mut Output) -> Result<(), Failure> {
    let scenario = lab::load(name)?;
    if output.style() == Style::Json {
        return output.json(&ScenarioJson::new(name, &scenario));
    }
    // Somebody else may have written it.
    let mut line = |text: &str| output.line(&Untrusted::new(text).for_line());
    line(&scenario.title)?;
    line("")?;
    scenario.explain.trim().lines().try_for_each(&mut line)?;
    line("")?;
    line("What is expected of it:")?;
    scenario.expect.iter().try_for_each(|expect| line(&format!("  {expect}")))
}

/// The first address of HOST:PORT, as it was given to `option`.
async fn resolve(option: &str, name: &str) -> Result<SocketAddr, Failure> {
    resolve_all(option, name).await.map(|(first, _)| first)
}

/// The first address and the other ones.
async fn resolve_all(
    option: &str,
    name: &str,
) -> Result<(SocketAddr, impl Iterator<Item = SocketAddr>), Failure> {
    let failed = |error| Failure::io(format!("{option} {name}: write HOST:PORT"), error);
    let mut addresses = tokio::net::lookup_host(name).await.map_err(failed)?;
    let nowhere = || Failure::NotFound { what: format!("{option} {name}") };
    let first = addresses.next().ok_or_else(nowhere)?;
    Ok((first, addresses.collect::<Vec<_>>().into_iter()))
}
