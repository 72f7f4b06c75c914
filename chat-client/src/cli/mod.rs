//! The command line, as typed. No work happens here; `config` makes sense of it.

mod lab;
mod proxy;

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::ValueHint};
use clap_complete::Shell;
use protocol::ids::{DeviceId, Fingerprint, Seq};

pub use self::{
    lab::{Lab, LabPeer, LabRun, LabTheory, LabWatch},
    proxy::LabProxy,
};
use crate::{net::Transport, node::call::Target};

/// Records that `tail` and `history` show unless told otherwise.
const RECORDS_DEFAULT: u32 = 20;

/// Chat in the terminal. Without a command: the full-screen client.
#[derive(Debug, Parser)]
#[command(
    name = "chat-client",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = EXIT_CODES,
    after_long_help = EXAMPLES
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub common: Common,
    /// What the client looks like.
    #[command(flatten)]
    pub look: Look,
    /// What to do; nothing opens the full-screen client.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 failed, 2 usage, 3 nothing matched, 4 not allowed, 5 relay unreachable,
  6 queued but not yet sent, 7 key changed or not trusted, 8 limit, 124 timeout, 130 and 143 signals";

const EXAMPLES: &str = "\
Examples:
  chat-client send '#build' 'done'              returns when the message is on the relay's disk
  make 2>&1 | chat-client send '#build' -       one message from standard input
  chat-client tail '#build' --json | jq -r .text
  chat-client export '#build' --format md > build.md

Exit codes:
  0 ok           1 failed         2 usage or configuration   3 nothing matched
  4 not allowed  5 unreachable    6 queued, not yet sent     7 key changed or not trusted
  8 limit hit    124 timeout      130 SIGINT                 143 SIGTERM";

/// Flags of every command.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// The relay: HOST, HOST:PORT, or an invitation chat://HOST:PORT/#v1.KEY
    #[arg(
        long,
        global = true,
        value_name = "URL|HOST[:PORT]",
        env = "CHAT_RELAY",
        hide_env_values = true
    )]
    pub relay: Option<String>,
    /// Where everything is kept: keys, history, outbox [default: the data directory of XDG]
    #[arg(long, global = true, value_name = "DIR", env = "CHAT_HOME", hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub home: Option<PathBuf>,
    /// The name to register at a relay that does not know this device yet [default: the login name]
    #[arg(long, global = true, value_name = "NAME", env = "CHAT_NAME", hide_env_values = true)]
    pub name: Option<String>,
    /// What carries the session
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "CHAT_TRANSPORT",
        hide_env_values = true
    )]
    pub transport: Transport,
    /// Writes what the transport does into this directory, as qlog and pcapng: headers, sizes, times
    #[arg(long, global = true, value_name = "DIR", env = "CHAT_TRACE", hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub trace: Option<PathBuf>,
    /// Puts what messages say into the trace as well
    #[arg(long, global = true, requires = "trace")]
    pub with_secrets: bool,
    /// Trusts the relay whose key has this fingerprint
    #[arg(long, global = true, value_name = "FINGERPRINT")]
    pub trust: Option<Fingerprint>,
    /// Reads settings from this file [default: config.toml in the config directory of XDG]
    #[arg(long, global = true, value_name = "FILE", env = "CHAT_CONFIG", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Gives a setting this value for now; `chat-client config` lists them
    #[arg(long = "set", global = true, value_name = "NAME=VALUE")]
    pub settings: Vec<String>,
    /// Prints JSON, one object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Gives up after this long
    #[arg(long, global = true, value_name = "SECS", value_parser = seconds)]
    pub timeout: Option<Duration>,
}

/// Flags of the client itself, without a command: settings in short.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Options without a command")]
pub struct Look {
    /// Lines and marks in plain ASCII: --set ui.ascii=on
    #[arg(long)]
    pub ascii: bool,
    /// Lines that are printed once, for screen readers and pipes: --set ui.linear=on
    #[arg(long)]
    pub linear: bool,
}

impl Look {
    /// What they stand for.
    pub fn settings(self) -> impl Iterator<Item = String> {
        let set = [(self.ascii, "ui.ascii=on"), (self.linear, "ui.linear=on")];
        set.into_iter().filter(|(is_set, _)| *is_set).map(|(_, setting)| setting.to_owned())
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sends a message and returns when it is on the relay's disk
    Send(Send),
    /// Prints new messages as they come
    Tail(Tail),
    /// Prints earlier messages
    History(History),
    /// Finds messages in everything that is stored here
    Search(Search),
    /// Lists the conversations of this account
    Rooms(Rooms),
    /// Lists who is in a conversation
    Members(OneTarget),
    /// Says who this is and which relay it uses
    Whoami,
    /// Joins a room, or founds it
    Join(Join),
    /// Leaves a room, or refuses a direct conversation
    Leave(OneTarget),
    /// Changes a room: topic, members, rights
    #[command(subcommand)]
    Room(Room),
    /// Answers or blocks people who write directly
    #[command(subcommand)]
    Dm(Dm),
    /// Lists messages that the relay has not accepted yet
    Outbox(Outbox),
    /// Computes the hash chain over the local history again and compares it with the relay's
    Audit(OneTarget),
    /// Writes a whole conversation to a file or to standard output
    Export(Export),
    /// Shows or changes which relays are trusted
    Trust(Trust),
    /// Finds out what works and what does not, and why
    Doctor,
    /// Shows the settings of the full-screen client, where they are, and what is wrong with them
    Config {
        /// What to do; nothing shows
        #[command(subcommand)]
        command: Option<ConfigCommand>,
    },
    /// Strategies against bad paths: provoke losses, watch what is sent again, and why
    #[command(subcommand)]
    Lab(Lab),
    /// Prints a completion script
    Completions {
        /// For which shell
        shell: Shell,
    },
    /// Prints the manual page
    Man {
        /// The page of this command alone
        verb: Option<String>,
    },
}

impl Command {
    /// Whether it says something last when it is told to end, and so minds signals itself.
    pub const fn minds_signals(&self) -> bool {
        matches!(self, Self::Lab(Lab::Proxy(_) | Lab::Peer(_)))
    }
}

/// `send`.
#[derive(Args, Debug)]
pub struct Send {
    /// #room or @name
    pub target: Target,
    /// The message; - reads standard input, as does leaving it out
    #[arg(allow_hyphen_values = true)]
    pub text: Option<String>,
    /// Leaves the message in the outbox and exits with 6
    #[arg(long)]
    pub no_wait: bool,
    /// Sends every line of standard input as a message of its own; a line of only ## ends it
    #[arg(long)]
    pub lines: bool,
    /// Says it in the third person, like /me
    #[arg(long)]
    pub action: bool,
}

/// `tail`.
#[derive(Args, Debug)]
pub struct Tail {
    /// #room or @name; nothing means every conversation
    pub targets: Vec<Target>,
    /// First prints this many earlier messages
    #[arg(short = 'n', value_name = "N", default_value_t = 0)]
    pub count: u32,
    /// First prints everything after this place
    #[arg(long, value_name = "SEQ", value_parser = seq, conflicts_with = "count")]
    pub since: Option<Seq>,
    /// Ends by itself after this long
    #[arg(long = "for", value_name = "SECS", value_parser = seconds)]
    pub duration: Option<Duration>,
}

/// `history`.
#[derive(Args, Debug)]
pub struct History {
    /// #room or @name
    pub target: Target,
    /// How many messages
    #[arg(short = 'n', value_name = "N", default_value_t = NonZeroU32::new(RECORDS_DEFAULT).expect("not zero"))]
    pub count: NonZeroU32,
    /// Only messages before this place
    #[arg(long, value_name = "SEQ", value_parser = seq)]
    pub before: Option<Seq>,
}

/// `search`.
#[derive(Args, Debug)]
pub struct Search {
    /// Parts of words, "exact words", from:NAME, in:#room, after:DATE, before:DATE
    ///
    /// All of them have to fit. A DATE is 2026-11-20, 2026-11-20T14:30, 14:30, today or yesterday.
    #[arg(required = true)]
    pub query: Vec<String>,
    /// At most how many messages, the newest
    #[arg(short = 'n', value_name = "N", default_value_t = NonZeroU32::new(RECORDS_DEFAULT).expect("not zero"))]
    pub count: NonZeroU32,
}

/// `rooms`.
#[derive(Args, Debug)]
pub struct Rooms {
    /// Also rooms of the relay that this account is not in
    #[arg(long)]
    pub all: bool,
}

/// A command on one conversation.
#[derive(Args, Debug)]
pub struct OneTarget {
    /// #room or @name
    pub target: Target,
}

/// `join`.
#[derive(Args, Debug)]
pub struct Join {
    /// #room
    pub target: Target,
    /// Founds the room if there is none
    #[arg(long)]
    pub create: bool,
    /// Its topic, when it is founded
    #[arg(long, requires = "create", default_value = "")]
    pub topic: String,
    /// Who may join, when it is founded
    #[arg(long, requires = "create", value_enum, default_value_t = Admission::Anyone)]
    pub access: Admission,
}

/// Who may join a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Admission {
    /// Whoever asks
    Anyone,
    /// Whom a moderator admits
    Approved,
    /// Whom a member has invited
    Invited,
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rank {
    /// Speaks
    Member,
    /// Also admits, mutes, kicks, bans, deletes and sets the topic
    Moderator,
    /// Also appoints, and changes who may join
    Owner,
}

/// `room …`.
#[derive(Debug, Subcommand)]
pub enum Room {
    /// Shows the topic, or sets it
    Topic {
        /// #room
        target: Target,
        /// The new topic; an empty one takes it away
        topic: Option<String>,
    },
    /// Removes a member
    Kick {
        /// #room
        target: Target,
        /// @name
        who: Target,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Removes somebody and keeps them out
    Ban {
        /// #room
        target: Target,
        /// @name, an address such as 192.0.2.7 or 192.0.2.0/24, or a device id
        who: Ban,
        /// For how long; for good if not given
        #[arg(long = "for", value_name = "SECS", value_parser = seconds)]
        duration: Option<Duration>,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        /// Only says whom it would hit
        #[arg(long)]
        dry_run: bool,
    },
    /// Lifts a ban
    Unban {
        /// #room
        target: Target,
        /// As it was banned
        who: Ban,
    },
    /// Lists the bans in force
    Bans {
        /// #room
        target: Target,
    },
    /// Takes somebody's voice
    Mute {
        /// #room
        target: Target,
        /// @name
        who: Target,
        /// For how long
        #[arg(long = "for", value_name = "SECS", value_parser = seconds, default_value = "3600")]
        duration: Duration,
    },
    /// Gives somebody their voice back
    Unmute {
        /// #room
        target: Target,
        /// @name
        who: Target,
    },
    /// Gives a member a role
    Role {
        /// #room
        target: Target,
        /// @name
        who: Target,
        /// Which
        role: Rank,
    },
    /// Asks somebody in
    Invite {
        /// #room
        target: Target,
        /// @name
        who: Target,
    },
    /// Admits somebody who asked to join
    Admit {
        /// #room
        target: Target,
        /// @name
        who: Target,
        /// Turns them away instead
        #[arg(long)]
        refuse: bool,
    },
    /// Changes who may join
    Access {
        /// #room
        target: Target,
        /// Who
        access: Admission,
    },
}

/// Whom a ban hits, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ban {
    /// A person by name.
    Person(String),
    /// A device.
    Device(DeviceId),
    /// Addresses whose first `bits` equal those of `address`, which is written as IPv6.
    Address {
        /// An address inside the range.
        address: [u8; 16],
        /// Length of the prefix.
        bits: u8,
    },
}

impl std::str::FromStr for Ban {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix('@').filter(|name| !name.is_empty()) {
            return Ok(Self::Person(name.to_owned()));
        }
        if let Ok(device) = text.parse() {
            return Ok(Self::Device(device));
        }
        let error =
            || "expected @name, an address with or without /BITS, or a device id".to_owned();
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| error())?)),
            None => (text, None),
        };
        // IPv4 is banned as IPv6-mapped, where its prefix begins after 96 bits.
        let (address, bits, shift) = match address.parse().map_err(|_| error())? {
            std::net::IpAddr::V4(v4) => (v4.to_ipv6_mapped(), bits.unwrap_or(32), 96),
            std::net::IpAddr::V6(v6) => (v6, bits.unwrap_or(128), 0),
        };
        match bits.checked_add(shift) {
            Some(bits) if bits <= 128 => Ok(Self::Address { address: address.octets(), bits }),
            Some(_) | None => Err(error()),
        }
    }
}

/// `dm …`.
#[derive(Debug, Subcommand)]
pub enum Dm {
    /// Accepts somebody's first message
    Accept {
        /// @name
        who: Target,
    },
    /// Refuses it
    Refuse {
        /// @name
        who: Target,
    },
    /// Stops taking direct messages from somebody
    Block {
        /// @name
        who: Target,
    },
    /// Takes them again
    Unblock {
        /// @name
        who: Target,
    },
    /// Lists whom this account blocks
    Blocked,
}

/// `outbox`.
#[derive(Args, Debug)]
pub struct Outbox {
    /// What to do; nothing lists
    #[command(subcommand)]
    pub command: Option<OutboxCommand>,
}

/// `outbox …`.
#[derive(Debug, Subcommand)]
pub enum OutboxCommand {
    /// Takes a message back that was not transmitted, or dismisses a failed one
    Cancel {
        /// As `outbox` lists it
        id: u64,
    },
}

/// `export`.
#[derive(Args, Debug)]
pub struct Export {
    /// #room or @name
    pub target: Target,
    /// How
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Writes one file for each speaker into this directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub split_by_speaker: Option<PathBuf>,
    /// Overwrites files that exist
    #[arg(long, requires = "split_by_speaker")]
    pub force: bool,
}

/// The layout of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line for each message
    Text,
    /// A JSON object a line
    Json,
    /// Markdown
    Md,
}

/// `trust`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Trust {
    /// Trusts the relay at --relay if its key has this fingerprint
    pub fingerprint: Option<Fingerprint>,
    /// Nothing lists
    #[command(subcommand)]
    pub command: Option<TrustCommand>,
}

/// `trust …`.
#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// Lists the relays this profile trusts
    List,
    /// Forgets a relay
    Forget {
        /// Its fingerprint
        fingerprint: Fingerprint,
    },
    /// Believes that a name which changed hands means its new owner from now on
    Name {
        /// @name
        who: Target,
    },
}

/// `config …`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Prints what is in force, as TOML, and where it came from
    Show,
    /// Prints where the file is
    Path,
    /// Says what is wrong with it
    Check,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn seq(text: &str) -> Result<Seq, String> {
    text.parse().map(Seq).map_err(|_| "expected a place in the log (a number)".to_owned())
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
    fn bans_parse_as_people_write_them() {
        assert_eq!("@eve".parse(), Ok(Ban::Person("eve".into())));
        let Ok(Ban::Address { address, bits }) = "192.0.2.0/24".parse() else {
            panic!("an IPv4 prefix");
        };
        assert_eq!((&address[10..], bits), (&[255, 255, 192, 0, 2, 0][..], 120));
        assert!(matches!("2001:db8::/32".parse(), Ok(Ban::Address { bits: 32, .. })));
        for wrong in ["192.0.2.0/33", "::/129", "eve", "@"] {
            assert!(wrong.parse::<Ban>().is_err(), "{wrong}");
        }
    }
}
