//! Failures, for people: what failed, why, and the next command to type.
//!
//! Every `help:` line of the program stands here, so that they can be read and tested in one place.

use std::{io, net::SocketAddr};

use protocol::{
    ids::{RelayKey, Seq},
    message::refusal::{Refusal, RefusalCode},
};

use crate::{
    exit::Exit,
    node::call::{CallError, Target},
    untrusted::Untrusted,
};

/// Why a command ended without doing what it should.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line or the environment makes no sense.
    #[error("{0}")]
    Usage(String),
    /// No relay was given, remembered or found.
    #[error("no relay is known")]
    NoRelay,
    /// The relay did not answer.
    #[error("relay not reachable")]
    Unreachable {
        /// What happened at each address.
        why: String,
    },
    /// A relay that this profile has never met.
    #[error("the relay at {address} is not trusted yet")]
    NotTrusted {
        /// Where.
        address: String,
        /// The key it announces.
        announced: RelayKey,
        /// The name it announces.
        name: String,
    },
    /// Another key than the one of `--trust`.
    #[error("the relay at {address} has another key than the one given")]
    OtherFingerprint {
        /// Where.
        address: String,
        /// The key it announces.
        announced: RelayKey,
    },
    /// The pinned relay is nowhere, and something else is where it was.
    #[error("the relay you know did not answer; another key is announced at {address}")]
    OtherKey {
        /// The key this profile trusts.
        known: Option<RelayKey>,
        /// The key announced.
        announced: RelayKey,
        /// Where.
        address: String,
    },
    /// A name stands for another account than before.
    #[error("@{name} is another account than before")]
    NameChanged {
        /// The name.
        name: String,
        /// Both accounts.
        why: String,
    },
    /// The relay said no.
    #[error("the relay refused")]
    Refused(Refusal),
    /// The message is kept and goes out later.
    #[error("queued, not sent yet")]
    Queued {
        /// Why it has not gone.
        why: String,
    },
    /// Nothing here or there is what was asked for.
    #[error("{what}: not found")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// The local history is not what the relay has.
    #[error("the history of {target} differs from the relay's")]
    AuditMismatch {
        /// Of what.
        target: Target,
        /// The last record of the stretch that differs.
        upto: Seq,
    },
    /// `doctor` found something.
    #[error("{0} checks failed")]
    Unhealthy(usize),
    /// The settings have mistakes.
    #[error("{0} settings cannot be used")]
    BadSettings(usize),
    /// The receiver of a run in the laboratory is not there, or no longer.
    #[error("the laboratory has no receiver at {address}")]
    NoReceiver {
        /// Where it should be.
        address: SocketAddr,
        /// As far as it can be told from here.
        absence: Absence,
        /// What happened.
        why: String,
    },
    /// A run in the laboratory is not as the scenario expects.
    #[error("expectations that are not met: {0}")]
    Unmet(usize),
    /// The given time is over.
    #[error("not done within the given time")]
    Timeout,
    /// The given time is over; the message is kept and goes out later.
    #[error("not sent within the given time; it is queued, do not repeat it")]
    TimeoutQueued,
    /// SIGINT.
    #[error("interrupted")]
    Interrupted,
    /// SIGTERM.
    #[error("terminated")]
    Terminated,
    /// Nobody reads what we print: not worth a word.
    #[error("the reader of the output has gone")]
    OutputClosed,
    /// The local store failed.
    #[error("the local store cannot be used")]
    Store {
        /// How.
        why: String,
    },
    /// The full-screen client has no screen.
    #[error("there is no terminal here")]
    NoTerminal {
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// A file or directory.
    #[error("{what}")]
    Io {
        /// What was to be done, with which file.
        what: String,
        /// Why it did not work.
        #[source]
        error: io::Error,
    },
    /// A file exists that would be overwritten.
    #[error("{path} exists")]
    Exists {
        /// Which.
        path: String,
    },
    /// The process that owned the home ended, again and again.
    #[error("the program that keeps this home's connection ended before it answered")]
    OwnerGone,
    /// The home is in use with another relay.
    #[error("this home is in use with another relay")]
    HomeBusy {
        /// That relay.
        key: RelayKey,
    },
}

/// How a receiver of the laboratory is missing: what helps depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Nobody has answered.
    Nobody,
    /// It has no room.
    Full,
    /// It was there, and is not heard any more.
    Gone,
    /// It does what no receiver may.
    Broken,
}

impl Failure {
    /// A failure of the file system.
    pub fn io(what: impl Into<String>, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Io { what: what.into(), error },
        }
    }

    /// What the shell is told.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::BadSettings(_) | Self::HomeBusy { .. } => Exit::Usage,
            Self::NoRelay | Self::Unreachable { .. } | Self::NoReceiver { .. } => Exit::Unreachable,
            Self::NotTrusted { .. }
            | Self::OtherFingerprint { .. }
            | Self::OtherKey { .. }
            | Self::NameChanged { .. } => Exit::Untrusted,
            Self::Refused(refusal) => exit_of(refusal),
            Self::Queued { .. } => Exit::Queued,
            Self::NotFound { .. } => Exit::NotFound,
            Self::Timeout | Self::TimeoutQueued => Exit::Timeout,
            Self::Interrupted => Exit::Interrupted,
            Self::Terminated => Exit::Terminated,
            Self::OutputClosed => Exit::Ok,
            Self::AuditMismatch { .. }
            | Self::Unhealthy(_)
            | Self::Unmet(_)
            | Self::Store { .. }
            | Self::Io { .. }
            | Self::NoTerminal { .. }
            | Self::Exists { .. }
            | Self::OwnerGone => Exit::Failed,
        }
    }

    /// The lines for standard error; none for what needs no word.
    pub fn lines(&self) -> Vec<String> {
        if matches!(self, Self::Interrupted | Self::Terminated | Self::OutputClosed) {
            return Vec::new();
        }
        let mut lines = vec![format!("error: {}", shown(&self.to_string()))];
        lines.extend(self.causes().iter().map(|cause| format!("because: {}", shown(cause))));
        lines.extend(self.help().iter().map(|help| format!("help: {}", shown(help))));
        lines
    }

    /// What failed and why, in one line.
    pub fn reason(&self) -> String {
        let what = self.to_string();
        std::iter::once(what).chain(self.causes()).collect::<Vec<_>>().join(": ")
    }

    fn causes(&self) -> Vec<String> {
        match self {
            Self::Unreachable { why }
            | Self::NoReceiver { why, .. }
            | Self::Queued { why }
            | Self::NameChanged { why, .. }
            | Self::Store { why } => vec![why.clone()],
            Self::NotTrusted { announced, name, .. } => {
                vec![format!("it calls itself {name:?} and announces {}", announced.fingerprint())]
            }
            Self::OtherFingerprint { announced, .. } => {
                vec![format!("it announces {}", announced.fingerprint())]
            }
            Self::OtherKey { known, announced, .. } => {
                let known = known.map(|key| format!("you trust {}", key.fingerprint()));
                let announced = format!("announced is {}", announced.fingerprint());
                known.into_iter().chain([announced]).collect()
            }
            Self::Refused(refusal) => vec![refusal.to_string()],
            Self::AuditMismatch { upto, .. } => {
                vec![format!("the chains differ at or before record {upto}")]
            }
            Self::Io { error, .. } | Self::NoTerminal { error } => vec![error.to_string()],
            Self::HomeBusy { key } => {
                vec![format!("a running program of this home uses {}", key.fingerprint())]
            }
            Self::Usage(_)
            | Self::NoRelay
            | Self::NotFound { .. }
            | Self::Unhealthy(_)
            | Self::BadSettings(_)
            | Self::Unmet(_)
            | Self::Timeout
            | Self::TimeoutQueued
            | Self::Interrupted
            | Self::Terminated
            | Self::OutputClosed
            | Self::Exists { .. }
            | Self::OwnerGone => Vec::new(),
        }
    }

    /// What to do next, a line each.
    pub fn help(&self) -> Vec<String> {
        let help: &[&str] = match self {
            Self::Usage(_) => &["chat-client --help"],
            Self::NoRelay => &[
                "chat-client                       offers to host a relay right here",
                "chat-client --relay INVITATION …  uses somebody else's (chat://HOST:PORT/#v1.KEY)",
            ],
            Self::Unreachable { .. } | Self::Store { .. } => &["chat-client doctor"],
            Self::NotTrusted { address, announced, .. } => {
                return vec![
                    "compare the fingerprint with what the relay's operator tells you, then:"
                        .into(),
                    format!("chat-client trust {} --relay {address}", announced.fingerprint()),
                ];
            }
            Self::OtherFingerprint { .. } => &[
                "somebody may stand between you and the relay; ask its operator for an invitation",
            ],
            Self::OtherKey { announced, address, .. } => {
                return vec![
                    "it may be a new relay, or somebody in between; if its operator confirms it:"
                        .into(),
                    format!("chat-client trust {} --relay {address}", announced.fingerprint()),
                ];
            }
            Self::NameChanged { name, .. } => {
                return vec![
                    "ask the person, by another way, whether this is them; if so:".into(),
                    format!("chat-client trust name @{name}"),
                ];
            }
            Self::NoReceiver { address, absence: Absence::Nobody, .. } => {
                return vec![format!("on that host: chat-client lab peer --listen udp:{address}")];
            }
            Self::NoReceiver { absence: Absence::Full, .. } => {
                &["try again when another run has ended, or start a peer of your own"]
            }
            Self::NoReceiver { absence: Absence::Gone, .. } => {
                &["was the peer ended, or the network in between down? then begin the run again"]
            }
            Self::NoReceiver { absence: Absence::Broken, .. } => {
                &["are both ends the same version? chat-client --version"]
            }
            Self::Refused(refusal) => refusal_help(refusal.code),
            Self::Queued { .. } | Self::TimeoutQueued => &[
                "chat-client outbox lists it; it goes out when any command next reaches the relay",
            ],
            Self::NotFound { what } if what.starts_with('#') => &["chat-client rooms --all"],
            Self::AuditMismatch { .. } => {
                &["the relay was restored from a copy, or something is wrong: ask its operator"]
            }
            Self::Unhealthy(_) | Self::BadSettings(_) | Self::Unmet(_) => {
                &["the lines above say what to do"]
            }
            Self::NoTerminal { .. } => {
                &["chat-client --linear needs none; so do the commands in chat-client --help"]
            }
            Self::Exists { .. } => &["--force overwrites it"],
            Self::OwnerGone => &["try again"],
            Self::HomeBusy { .. } => &["--home DIR keeps another profile"],
            Self::NotFound { .. }
            | Self::Timeout
            | Self::Interrupted
            | Self::Terminated
            | Self::OutputClosed
            | Self::Io { .. } => &[],
        };
        help.iter().map(|line| (*line).to_owned()).collect()
    }
}

/// What can be done about a refusal.
const fn refusal_help(code: RefusalCode) -> &'static [&'static str] {
    match code {
        RefusalCode::NAME_TAKEN | RefusalCode::NAME_NOT_ALLOWED => {
            &["--name NAME asks for another name"]
        }
        RefusalCode::TICKET_NEEDED | RefusalCode::REGISTRATION_CLOSED => {
            &["ask the relay's operator for an invitation, then --relay INVITATION"]
        }
        RefusalCode::NOT_A_MEMBER => &["chat-client join '#room'"],
        RefusalCode::NO_SUCH_CONVERSATION => &[
            "chat-client rooms --all lists the rooms; chat-client join --create '#room' founds one",
        ],
        _ => &[],
    }
}

fn exit_of(refusal: &Refusal) -> Exit {
    match refusal.code {
        RefusalCode::NO_SUCH_TARGET
        | RefusalCode::NO_SUCH_CONVERSATION
        | RefusalCode::NO_SUCH_NAME
        | RefusalCode::TRIMMED => Exit::NotFound,
        RefusalCode::RATE
        | RefusalCode::STORE_FULL
        | RefusalCode::BUSY
        | RefusalCode::UNSETTLED
        | RefusalCode::TOO_LARGE
        | RefusalCode::LIMIT => Exit::Limit,
        RefusalCode::DRAINING => Exit::Unreachable,
        RefusalCode::NOT_A_MEMBER
        | RefusalCode::MUTED
        | RefusalCode::BANNED
        | RefusalCode::NOT_ALLOWED
        | RefusalCode::NAME_TAKEN
        | RefusalCode::NAME_NOT_ALLOWED
        | RefusalCode::NOT_REGISTERED
        | RefusalCode::REGISTRATION_CLOSED
        | RefusalCode::TICKET_NEEDED
        | RefusalCode::BLOCKED
        | RefusalCode::WAITS_FOR_ANSWER
        | RefusalCode::OPERATOR => Exit::Denied,
        _ => Exit::Failed,
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused { refusal } => Self::Refused(refusal),
            CallError::Offline { why } => Self::Unreachable { why },
            CallError::Untrusted { announced, address } => {
                Self::OtherKey { known: None, announced, address }
            }
            CallError::NameChanged { name, known, now } => Self::NameChanged {
                why: format!("it was account {known} and is account {now} now"),
                name,
            },
            CallError::NotFound { what } => Self::NotFound { what },
            CallError::Store { why } => Self::Store { why },
            CallError::Invalid { why } => Self::Usage(why),
            CallError::OwnerGone => Self::OwnerGone,
        }
    }
}

/// Reports carry names and reasons that peers chose.
fn shown(text: &str) -> String {
    Untrusted::new(text).for_line()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(failure: &Failure) -> String {
        format!("exit {}\n{}", failure.exit() as u8, failure.lines().join("\n"))
    }

    #[test]
    fn every_failure_says_what_and_why_and_what_next() {
        let key = RelayKey([7; 32]);
        let address = "relay.example.org:4545".to_owned();
        let failures = [
            Failure::NoRelay,
            Failure::Unreachable { why: "127.0.0.1:4545: connection refused".into() },
            Failure::NotTrusted {
                address: address.clone(),
                announced: key,
                name: "evil\u{1b}[2J".into(),
            },
            Failure::OtherFingerprint { address: address.clone(), announced: key },
            Failure::OtherKey { known: Some(RelayKey([8; 32])), announced: key, address },
            Failure::Refused(Refusal::last(RefusalCode::NAME_TAKEN, "ada")),
            Failure::Queued { why: "relay not reachable".into() },
            Failure::NotFound { what: "#nowhere".into() },
            no_receiver(Absence::Nobody),
            no_receiver(Absence::Full),
            no_receiver(Absence::Gone),
            no_receiver(Absence::Broken),
            Failure::Timeout,
        ];
        for failure in &failures {
            let report = report(failure);
            assert!(report.contains("\nerror: "), "{report}");
            assert!(!report.contains('\u{1b}'), "{report}");
            let is_self_evident = matches!(failure, Failure::Timeout);
            assert!(is_self_evident || report.contains("\nhelp: "), "{report}");
        }
    }

    fn no_receiver(absence: Absence) -> Failure {
        let address = SocketAddr::from(([192, 0, 2, 1], 4546));
        Failure::NoReceiver { address, absence, why: "it is not".into() }
    }

    #[test]
    fn a_peer_is_to_be_started_only_where_none_is() {
        let starts = |absence| report(&no_receiver(absence)).contains("lab peer --listen");
        assert!(starts(Absence::Nobody));
        assert!(![Absence::Full, Absence::Gone, Absence::Broken].into_iter().any(starts));
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let closed = Failure::io("standard output", io::ErrorKind::BrokenPipe.into());
        assert_eq!((closed.exit(), closed.lines()), (Exit::Ok, Vec::new()));
    }
}
