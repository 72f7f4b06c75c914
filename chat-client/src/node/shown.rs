//! What a front end is shown: the connection, conversations, records, the outbox, and what happens to
//! them. Plain data, as everything in [`super::call`].

use protocol::{
    ids::{AccountId, ConversationId, Counter, DeviceId, MessageId, RelayKey, Seq},
    message::{
        event::Body,
        record::{Class, Target as MessageTarget},
        refusal::Refusal,
        room::{AccountInfo, ConversationInfo, Kind, Presence},
        session::MemberProgress,
    },
    time::WallTime,
};
use serde::{Deserialize, Serialize};

use super::{call::Target, encoded};
use crate::store::row::LocalId;

/// Whether a log goes on below what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Nothing older can be had.
    Reached,
    /// There is more.
    More,
}

/// Who and where we are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The account, once a relay has confirmed it.
    pub account: Option<AccountInfo>,
    /// The name that will be asked for while there is no account.
    pub wanted_name: String,
    /// This installation.
    pub device: DeviceId,
    /// The relay's label for itself; empty before the first welcome.
    pub relay_name: String,
    /// The relay.
    pub relay_key: RelayKey,
    /// Where it is looked for.
    pub addresses: Vec<String>,
    /// How long the relay took to answer when it was last asked, in microseconds.
    #[serde(default)]
    pub round_trip_us: Option<u64>,
    /// How the connection stands.
    pub link: Link,
    /// What is made to go wrong on it.
    #[serde(default)]
    pub faults: FaultsView,
}

/// What is made to go wrong between us and the relay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultsView {
    /// All but the blackouts, as it would be written; empty if there are none.
    pub words: String,
    /// When blackouts begin and end that are not over, in milliseconds from now.
    pub blackouts_ms: Vec<(u64, u64)>,
}

/// How the connection stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Link {
    /// Not connected.
    Offline {
        /// Why the last attempt or connection ended; empty before the first.
        why: String,
        /// The next attempt, in milliseconds from now; absent if there will be none by itself.
        retry_in_ms: Option<u64>,
    },
    /// An attempt is under way.
    Connecting,
    /// Connected; not all conversations are known yet.
    Syncing,
    /// Connected and up to date.
    Online {
        /// The address that answered.
        address: String,
        /// What carries the session: `tcp` or `udp`.
        transport: String,
        /// Whether a stream stands in for datagrams.
        #[serde(default)]
        fallback: Fallback,
    },
    /// Not connected and not going to be by itself.
    Stopped {
        /// Why.
        why: String,
        /// The relay's word, if it was that.
        refusal: Option<Refusal>,
    },
    /// Something else than the trusted relay answers.
    Untrusted {
        /// The key it announced.
        announced: RelayKey,
        /// Where.
        address: String,
    },
}

/// Whether a stream stands in for datagrams, which do not get through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// No; datagrams carry the session, or nobody wanted them to.
    #[default]
    No,
    /// Yes, and the owner of the home has found it out.
    Noticed,
    /// Yes, as an earlier process found out.
    Remembered,
}

impl Fallback {
    /// What people are told, if there is anything to tell.
    pub const fn describe(self) -> Option<&'static str> {
        match self {
            Self::No => None,
            Self::Noticed | Self::Remembered => Some(
                "datagrams (udp) get no answer from the relay, so a stream carries the session; \
                 they are tried again from time to time",
            ),
        }
    }
}

/// A conversation as a front end shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationView {
    /// As the relay describes it. `info.read` counts all devices of the account.
    pub info: ConversationInfo,
    /// The newest record stored here; zero if there is none.
    pub high: Seq,
    /// The oldest record of the newest unbroken stretch stored here; zero if there is none.
    pub low: Seq,
    /// Whether there is more to fetch below `low`.
    pub older: End,
    /// This person has read up to here.
    pub read: Seq,
    /// What they were writing; empty if nothing.
    pub draft: String,
    /// When the relay took the newest record that is stored here; zero if there is none.
    #[serde(default)]
    pub active: WallTime,
}

impl ConversationView {
    /// How people write it: `#room` or `@name`.
    pub fn title(&self) -> String {
        match (&self.info.peer, self.info.kind) {
            (Some(peer), Kind::DIRECT) => format!("@{}", peer.name),
            _ => format!("#{}", self.info.name),
        }
    }

    /// How many records nobody here has read.
    pub const fn unread(&self) -> u64 {
        let head = if self.info.head.0 > self.high.0 { self.info.head.0 } else { self.high.0 };
        head.saturating_sub(self.read.0)
    }
}

/// A message that is durable on the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentMessage {
    /// Its name in the outbox, where it was.
    pub local: LocalId,
    /// Where it is.
    pub conversation: ConversationId,
    /// Who it is. On a line of `run.sock`, `id` is the call's.
    #[serde(rename = "message")]
    pub id: MessageId,
    /// Its place.
    pub seq: Seq,
    /// The relay's clock.
    pub time: WallTime,
}

/// A message of the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxView {
    /// Its name.
    pub local: LocalId,
    /// Where it goes.
    pub to: Target,
    /// Its conversation, once that is known.
    pub conversation: Option<ConversationId>,
    /// Its number, once it has one.
    pub counter: Option<Counter>,
    /// When it was composed, by this device's clock.
    pub composed_at: WallTime,
    /// What it says.
    #[serde(with = "encoded::body")]
    pub body: Body,
    /// How it stands.
    pub state: Delivery,
}

/// How a message of this device stands with the relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Delivery {
    /// Not decided, or not known to be.
    Queued,
    /// The relay asks to wait.
    Slowed {
        /// For how long, in milliseconds.
        retry_in_ms: u64,
        /// Why.
        refusal: Refusal,
    },
    /// Durable on the relay.
    Sent {
        /// Its place.
        seq: Seq,
        /// The relay's clock.
        time: WallTime,
    },
    /// A person has to decide first: its addressee's name changed hands.
    Held {
        /// Whom the name meant at first contact.
        known: AccountId,
        /// Whom it means now.
        now: AccountInfo,
    },
    /// Decided earlier, and the relay no longer knows how: it is in the log or was refused.
    Unknown,
    /// Definitely and finally refused.
    Failed {
        /// Why.
        refusal: Refusal,
    },
}

/// One record, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its place.
    pub seq: Seq,
    /// The relay's clock.
    pub time: WallTime,
    /// Who made it under which number; absent if its envelope is of a later version.
    pub id: Option<MessageId>,
    /// The person behind the device, if known; absent for the relay's own notices.
    pub sender: Option<AccountInfo>,
    /// What it does to the log.
    pub class: Class,
    /// What it acts on, for an amend.
    pub target: Option<MessageTarget>,
    /// What it says.
    pub said: SaidView,
    /// For notices: the people they name.
    pub named: Vec<AccountInfo>,
}

/// A message that a search found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Where it is.
    pub conversation: ConversationId,
    /// It, with its newest words.
    pub line: Line,
    /// Its words are not the first ones.
    pub is_edited: bool,
}

/// What is left of what a record said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaidView {
    /// This.
    Body(#[serde(with = "encoded::body")] Body),
    /// It was deleted.
    Erased,
    /// Malformed, or of a later version as a whole.
    Unreadable,
}

/// How a running node is, for `doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The process that owns the home.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// How often the relay has welcomed this process: more than once if a connection was lost.
    #[serde(default)]
    pub logins: u32,
    /// The relay's clock minus ours when it last welcomed us, in milliseconds.
    pub clock_skew_ms: Option<i64>,
    /// The longest message that the relay takes, as it said when it last welcomed us.
    pub body_bytes_max: Option<u32>,
    /// Messages that wait.
    pub outbox: usize,
    /// Why the local store takes no writes, if it does not: nothing is said meanwhile.
    pub store: Option<String>,
    /// What carries the connection, and why; empty without one.
    #[serde(default)]
    pub transport: String,
    /// Socket options of the connection, as the kernel reports them.
    pub socket: Vec<(String, String)>,
    /// What the transport has measured and counted, over datagrams.
    pub datagrams: Vec<(String, String)>,
    /// What is made to go wrong, and how often it did.
    #[serde(default)]
    pub faults: Vec<(String, String)>,
}

/// What a front end hears without asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The account, the relay or the connection changed.
    Status(Box<Status>),
    /// A conversation is new or changed.
    Conversation(Box<ConversationView>),
    /// A conversation is no longer the account's.
    Gone {
        /// Which.
        conversation: ConversationId,
        /// Why, if not by its own wish.
        refusal: Option<Refusal>,
    },
    /// New records are stored now. If `from` is not right above what was there, they begin a new
    /// stretch; if `to` is below it, they are older ones.
    Appended {
        /// Where.
        conversation: ConversationId,
        /// First of them.
        from: Seq,
        /// Last of them.
        to: Seq,
    },
    /// The relay's log and the stored one differ: what was above the last common record is not in
    /// the history any more, and other records may be in its place.
    Forked {
        /// Where.
        conversation: ConversationId,
        /// The last record both have.
        common: Seq,
    },
    /// A message of this device is new in the outbox, or stands differently.
    Outbox(Box<OutboxView>),
    /// A message was taken back, or a failed one dismissed.
    OutboxGone {
        /// Its name there.
        local: LocalId,
    },
    /// How far others have got.
    Progress {
        /// Where.
        conversation: ConversationId,
        /// Who, how far.
        members: Vec<MemberProgress>,
    },
    /// How many others have our newest message, in a large conversation.
    ProgressCount {
        /// Where.
        conversation: ConversationId,
        /// The message.
        seq: Seq,
        /// How many have it.
        received: u32,
        /// How many have read it.
        read: u32,
        /// How many there are.
        of: u32,
    },
    /// Somebody is writing.
    Typing {
        /// Where.
        conversation: ConversationId,
        /// Who.
        who: AccountInfo,
    },
    /// Somebody came or went.
    Presence {
        /// Who and how.
        accounts: Vec<(AccountId, Presence)>,
    },
    /// How many members of a large conversation are connected.
    PresenceCount {
        /// Where.
        conversation: ConversationId,
        /// How many.
        online: u32,
    },
    /// Something a person must be told: a fork, a name that changed hands, a newer session.
    Notice {
        /// In plain words; may contain foreign text.
        text: String,
        /// How loud.
        severity: Severity,
    },
    /// The front end did not keep up and events are missing: ask again for what is on screen.
    Missed,
}

/// How loud a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody has to look.
    Warning,
    /// Trust is at stake; headless commands end with exit code 7.
    Alarm,
}
