//! Arguments of `lab`.

use std::path::PathBuf;

use clap::{Args, Subcommand, builder::ValueHint};
use protocol::lab::scenario::Strategy;

/// `lab`.
#[derive(Subcommand, Debug)]
pub enum Lab {
    /// Names the scenarios that come with the program
    List,
    /// Tells what a scenario shows and what to look for
    Explain {
        /// Its name, or a file that ends in .toml
        scenario: String,
    },
    /// Runs a scenario in virtual time and compares strategies on the same losses
    Run(LabRun),
    /// Plays a run packet by packet on the whole screen: what is lost, what is sent again, and why
    Watch(LabWatch),
    /// Prints Wireshark's dissector of our packets, in Lua
    Dissector,
}

/// `lab run`.
#[derive(Args, Debug)]
pub struct LabRun {
    /// Its name, or a file that ends in .toml
    pub scenario: String,
    /// Decides everything that is left to chance; the scenario's, if not given
    #[arg(long)]
    pub seed: Option<u64>,
    /// Only this strategy; again for more
    #[arg(long, value_name = "STRATEGY", value_parser = strategy)]
    pub strategy: Vec<Strategy>,
    /// Writes what happened into this directory: qlog of each strategy, and pcapng of ours
    #[arg(long, value_name = "DIR")]
    pub trace: Option<PathBuf>,
    /// Puts what messages say into the trace as well
    #[arg(long, requires = "trace")]
    pub with_secrets: bool,
    /// Exits with 1 if anything is not as the scenario expects
    #[arg(long)]
    pub assert: bool,
    /// Writes a page with diagrams for a browser, which needs no network
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub report: Option<PathBuf>,
    /// Overwrites a file that is no report
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

fn strategy(name: &str) -> Result<Strategy, String> {
    Strategy::named(name).ok_or_else(|| {
        let names = Strategy::ALL.map(Strategy::name).join(", ");
        format!("there are {names}")
    })
}
