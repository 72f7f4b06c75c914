//! Arguments of `lab`.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand, builder::ValueHint};
use protocol::lab::scenario::Strategy;

use super::LabProxy;

/// Where a peer listens unless told otherwise.
const LISTEN: &str = "udp:127.0.0.1:4546";

/// `lab`.
#[derive(Subcommand, Debug)]
pub enum Lab {
    /// Names the scenarios that come with the program
    List,
    /// Tells what a scenario shows and what to look for
    Explain {
        /// Its name, or a file that ends in .toml
        scenario: String,
        /// Prints the scenario as it is written, to begin one of your own with
        #[arg(long)]
        source: bool,
    },
    /// Runs a scenario in virtual time and compares strategies on the same losses
    Run(LabRun),
    /// Plays a run packet by packet on the whole screen: what is lost, what is sent again, and why
    Watch(LabWatch),
    /// Measures the textbook's strategies beside the textbook's formulas, from 0 to 30 % loss
    Theory(LabTheory),
    /// Prints Wireshark's dissector of our packets, in Lua
    Dissector,
    /// Receives for runs elsewhere: lab run --live
    Peer(LabPeer),
    /// Stands between any two programs and delays, loses, changes what they send
    Proxy(LabProxy),
}

/// `lab run`.
#[derive(Args, Debug)]
pub struct LabRun {
    /// Its name, or a file that ends in .toml; more are run one after another
    #[arg(value_name = "SCENARIO", required_unless_present = "all")]
    pub scenarios: Vec<String>,
    /// Every scenario that comes with the program
    #[arg(long, conflicts_with = "scenarios")]
    pub all: bool,
    /// Decides everything that is left to chance; the scenario's, if not given
    #[arg(long)]
    pub seed: Option<u64>,
    /// Has the receiver on another host, where chat-client lab peer runs, and takes real time
    ///
    /// Packets cross the real network. The faults act on this end, in both directions, and packets
    /// with the same number meet the same fate as in virtual time. Times are real ones: a message has
    /// arrived when this end hears of it. A packet counts as arrived when it got past the faults: what
    /// the real network loses after that is not seen, and the news of what was given out meets no
    /// faults.
    #[arg(long, value_name = "HOST:PORT")]
    pub live: Option<String>,
    /// Only this strategy; again for more
    #[arg(long, value_name = "STRATEGY", value_parser = strategy)]
    pub strategy: Vec<Strategy>,
    /// Exits with 1 if anything is not as the scenario expects
    #[arg(long)]
    pub assert: bool,
    /// Writes a page with diagrams for a browser, which needs no network
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub report: Option<PathBuf>,
    /// Writes what was expected, and whether it is so, as JUnit XML for continuous integration
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub junit: Option<PathBuf>,
    /// Overwrites files that are not of the laboratory
    #[arg(long)]
    pub force: bool,
}

/// `lab peer`.
#[derive(Args, Debug)]
pub struct LabPeer {
    /// Where runs elsewhere reach it; this host alone unless told otherwise; port 0 takes a free one;
    /// give the address itself where the host has several
    #[arg(long, value_name = "udp:ADDR:PORT", value_parser = listen, default_value = LISTEN)]
    pub listen: SocketAddr,
}

/// `lab theory`.
#[derive(Args, Debug)]
pub struct LabTheory {
    /// The first of the seeds that decide what is left to chance
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Writes a page with a plot for a browser, which needs no network
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub report: Option<PathBuf>,
    /// Overwrites a file that is not of the laboratory
    #[arg(long, requires = "report")]
    pub force: bool,
}

/// `lab watch`.
#[derive(Args, Debug)]
pub struct LabWatch {
    /// Its name, or a file that ends in .toml
    pub scenario: String,
    /// Decides everything that is left to chance; the scenario's, if not given
    #[arg(long)]
    pub seed: Option<u64>,
    /// Begins with this strategy; s shows the next one
    #[arg(long, value_name = "STRATEGY", value_parser = strategy)]
    pub strategy: Option<Strategy>,
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    let address = text.strip_prefix("udp:").unwrap_or(text);
    address.parse().map_err(|_| format!("write an address and a port, as {LISTEN}"))
}

fn strategy(name: &str) -> Result<Strategy, String> {
    Strategy::named(name).ok_or_else(|| {
        let names = Strategy::ALL.map(Strategy::name).join(", ");
        format!("there are {names}")
    })
}
