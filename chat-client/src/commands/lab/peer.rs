//! `lab peer`: a host of receivers for runs elsewhere, with a line at the start and one at the end.

use std::net::SocketAddr;

use protocol::lab::remote::host::Counts;
use serde::Serialize;

use super::{super::json::JSON_VERSION, progress::Progress};
use crate::{
    cli::LabPeer,
    lab::remote::peer::Peer,
    output::{Output, Style},
    report::Failure,
    terminal::EndSignals,
};

pub(super) async fn run(asked: &LabPeer, output: &mut Output) -> Result<(), Failure> {
    let listening = |error| Failure::io(format!("cannot listen on udp:{}", asked.listen), error);
    let mut signals = EndSignals::catch().map_err(listening)?;
    let mut peer = Peer::bind(asked.listen).await.map_err(listening)?;
    let address = peer.address().map_err(listening)?;
    match output.style() {
        Style::Plain => output.line(&format!("listening on udp:{address}"))?,
        Style::Json => {
            let event = "listening";
            output.json(&ListeningJson { v: JSON_VERSION, event, carrier: "udp", address })?;
        }
    }
    output.flush()?;
    let mut progress = Progress::new();
    let ended = loop {
        tokio::select! {
            turned = peer.turn() => turned.map_err(listening)?,
            failure = signals.next() => break failure,
            () = progress.tick() => {}
        }
        progress.show(|| {
            let (now, counts) = peer.counts();
            format!("now {now}; {}", words(counts))
        });
    };
    progress.clear();
    let (_, counts) = peer.counts();
    match output.style() {
        Style::Plain => output.line(&words(counts))?,
        Style::Json => {
            let Counts { begun, refused, packets } = counts;
            let event = "summary";
            output.json(&SummaryJson { v: JSON_VERSION, event, runs: begun, refused, packets })?;
        }
    }
    Err(ended)
}

fn words(Counts { begun, refused, packets }: Counts) -> String {
    format!("runs {begun}, packets taken {packets}, turned away {refused}")
}

/// The first line.
#[derive(Serialize)]
struct ListeningJson {
    v: u32,
    event: &'static str,
    carrier: &'static str,
    address: SocketAddr,
}

/// The last one.
#[derive(Serialize)]
struct SummaryJson {
    v: u32,
    event: &'static str,
    runs: u64,
    refused: u64,
    packets: u64,
}
