//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use protocol::transport::TransportKind;

/// Loads a relay, checks that nothing is lost, doubled or reordered meanwhile, and holds what it
/// measures against the budgets.
///
/// Every measurement starts its own relay on a free port with an empty data directory. Relay and
/// driver share the machine; "others" is what neither of them used, and a run with much of it is
/// worth nothing. Processor time per delivery is the most stable figure.
#[derive(Debug, Parser)]
#[command(name = "load", after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// What to measure.
    #[command(subcommand)]
    pub(crate) measurement: Measurement,
    /// How to run the relay and print the result.
    #[command(flatten)]
    pub(crate) common: Common,
}

const EXAMPLES: &str = "\
Examples:
  cargo build --release -p chat-server
  cargo run --release -p e2e --bin load -- fanout --members 100 --senders 8
  cargo run --release -p e2e --bin load -- durable --store memory --json
  cargo run --release -p e2e --bin load -- pairs --transport udp
  cargo run --release -p e2e --bin load -- all";

/// What all measurements have in common.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// The relay to measure [default: the chat-server built next to this program]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) relay_binary: Option<PathBuf>,
    /// Where the relay keeps what it promised
    #[arg(long, global = true, value_enum, default_value_t = Store::Sqlite)]
    pub(crate) store: Store,
    /// How people reach the relay; the budgets are those of TCP
    #[arg(long, global = true, value_enum, default_value_t = Transport::Tcp)]
    pub(crate) transport: Transport,
    /// Where data directories are made and removed [default: the system's temporary directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) scratch: Option<PathBuf>,
    /// One more argument for the relay; may be given again
    #[arg(long, global = true, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub(crate) relay_argument: Vec<String>,
    /// Print one JSON object per line instead of tables
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The relay's stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    /// Durable.
    Sqlite,
    /// Gone when the relay stops: what the rest of the relay could do.
    Memory,
}

impl Store {
    /// As the relay and people write it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Memory => "memory",
        }
    }
}

/// How people reach the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// A connection each.
    Tcp,
    /// A socket each, and our own acknowledgements and retransmission.
    Udp,
}

impl Transport {
    /// As the protocol has it.
    pub(crate) const fn kind(self) -> TransportKind {
        match self {
            Self::Tcp => TransportKind::Stream,
            Self::Udp => TransportKind::Datagram,
        }
    }
}

/// What can be measured.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Measurement {
    /// Deliveries per second into one busy room
    Fanout(Fanout),
    /// Time from send to every member at a fixed rate
    Latency(Latency),
    /// Memory per idle session with one room joined
    Idle(Idle),
    /// Logins per second when everybody comes back at once
    Storm(Storm),
    /// Private messages per second, one in flight per pair
    Pairs(Pairs),
    /// Acknowledged, that is durable, messages per second
    Durable(Durable),
    /// Time to ready and to the first durable message after a kill with much history
    Start(Start),
    /// Memory, and what others notice, under peers that mean harm
    Hostile(Hostile),
    /// What others notice of a flood of handshakes over UDP, and who still gets in
    Flood(Flood),
    /// Time of a headless message, and to the first screen with much history
    Terminal(Terminal),
    /// Time from a key to the screen while a room is busy, and what a client costs at rest
    Typing(Typing),
    /// All of them as the budgets define them
    All,
}

/// See [`crate::fanout`].
#[derive(Clone, Debug, Args)]
pub(crate) struct Fanout {
    /// Members of the room; the first of them send
    #[arg(long, default_value_t = 100)]
    pub(crate) members: u32,
    /// How many of them send
    #[arg(long, default_value_t = 8)]
    pub(crate) senders: u16,
    /// Messages of one sender that one chosen member has not seen yet, at most
    #[arg(long, default_value_t = 32)]
    pub(crate) window: u64,
    /// Length of the measured time
    #[arg(long, default_value_t = 4)]
    pub(crate) secs: u64,
    /// Also count the relay's system calls, with `perf stat`, for two more seconds
    #[arg(long)]
    pub(crate) syscalls: bool,
}

/// See [`crate::latency`].
#[derive(Clone, Debug, Args)]
pub(crate) struct Latency {
    /// Members of the room; ten of them send in turn
    #[arg(long, default_value_t = 100)]
    pub(crate) members: u32,
    /// Messages per second, all senders together
    #[arg(long, default_value_t = 200)]
    pub(crate) rate: u32,
    /// Length of the measured time
    #[arg(long, default_value_t = 8)]
    pub(crate) secs: u64,
}

/// See [`crate::idle`].
#[derive(Clone, Debug, Args)]
pub(crate) struct Idle {
    /// Sessions
    #[arg(long, default_value_t = 5_000)]
    pub(crate) connections: u32,
}

/// See [`crate::storm`].
#[derive(Clone, Debug, Args)]
pub(crate) struct Storm {
    /// How many log in
    #[arg(long, default_value_t = 2_000)]
    pub(crate) logins: u32,
    /// How many at a time
    #[arg(long, default_value_t = 64)]
    pub(crate) parallel: usize,
}

/// See [`crate::pairs`].
#[derive(Clone, Debug, Args)]
pub(crate) struct Pairs {
    /// Pairs of people
    #[arg(long, default_value_t = 500)]
    pub(crate) pairs: u32,
    /// Length of the measured time
    #[arg(long, default_value_t = 5)]
    pub(crate) secs: u64,
}

/// See [`crate::durable`].
#[derive(Clone, Debug, Args)]
pub(crate) struct Durable {
    /// Devices that publish, each into a room of its own
    #[arg(long, default_value_t = 8)]
    pub(crate) publishers: u16,
    /// Unacknowledged messages of each, at most
    #[arg(long, default_value_t = 32)]
    pub(crate) window: usize,
    /// Length of the measured time
    #[arg(long, default_value_t = 5)]
    pub(crate) secs: u64,
}

/// See [`crate::start`].
#[derive(Clone, Debug, Args)]
pub(crate) struct Start {
    /// Messages stored before the kill
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) messages: u64,
    /// Rooms they are spread over
    #[arg(long, default_value_t = 10_000)]
    pub(crate) conversations: u32,
    /// How often to kill and start again
    #[arg(long, default_value_t = 3)]
    pub(crate) kills: u32,
}

/// See [`crate::hostile`].
#[derive(Clone, Debug, Args)]
pub(crate) struct Hostile {
    /// Messages that the reader who never reads does not read
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) messages: u64,
    /// Connections that never say anything
    #[arg(long, default_value_t = 5_000)]
    pub(crate) silent: u32,
    /// Length of each attack, and of the calm it is compared with
    #[arg(long, default_value_t = 6)]
    pub(crate) secs: u64,
    /// How often each attack comes and goes; a 99th percentile of one round is mostly the disk's mood
    #[arg(long, default_value_t = 4)]
    pub(crate) rounds: u32,
}

/// See [`crate::flood`].
#[derive(Clone, Debug, Args)]
pub(crate) struct Flood {
    /// Handshakes per second
    #[arg(long, default_value_t = 100_000)]
    pub(crate) per_second: u32,
    /// Length of each stretch
    #[arg(long, default_value_t = 6)]
    pub(crate) secs: u64,
}

/// See [`crate::typing`].
#[derive(Clone, Debug, Args)]
pub(crate) struct Typing {
    /// Keys that are pressed
    #[arg(long, default_value_t = 300)]
    pub(crate) keys: u32,
    /// Messages per second that come meanwhile
    #[arg(long, default_value_t = 500)]
    pub(crate) rate: u32,
}

/// See [`crate::terminal`].
#[derive(Clone, Debug, Args)]
pub(crate) struct Terminal {
    /// Messages in the client's history
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) messages: u64,
    /// Headless messages after the first
    #[arg(long, default_value_t = 50)]
    pub(crate) sends: u32,
    /// How often the client is started
    #[arg(long, default_value_t = 5)]
    pub(crate) starts: u32,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn common_options_may_follow_the_measurement() {
        let cli = Cli::parse_from(["load", "durable", "--window", "1", "--store", "memory"]);
        assert_eq!(cli.common.store, Store::Memory);
        assert!(matches!(cli.measurement, Measurement::Durable(Durable { window: 1, .. })));
    }
}
