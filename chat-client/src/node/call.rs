//! What a front end may ask of the node of its home, and what it hears back.
//!
//! The same values travel in memory, when the front end runs inside the owner, and as JSON lines
//! over `run.sock`, when it is a guest. So everything here is plain data: bodies and requests travel
//! in their wire encoding, which keeps also what a later version made.

use std::{fmt, str::FromStr};

use protocol::{
    ids::{AccountId, ConversationId, Counter, DeviceId, MessageId, RelayKey, Seq},
    message::{
        event::Body,
        record::{Class, Target as MessageTarget},
        refusal::Refusal,
        request::{Members, Reply, Request},
        room::{Access, AccountInfo, ConversationInfo, Kind, Presence},
        session::MemberProgress,
    },
    time::WallTime,
};
use serde::{Deserialize, Serialize};

use super::encoded;
use crate::{
    search::Query,
    store::row::{Destination, Draft, LocalId},
};

/// What is asked of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Call {
    /// Who and where we are. Answered with [`Answer::Status`].
    Status,
    /// Waits until the relay has welcomed us and told us all our conversations, or until it is
    /// clear that it will not. Answered with [`Answer::Status`].
    Online,
    /// Waits until everything that the relay has of a conversation's newest stretch is stored here,
    /// or until it is clear that the relay is away. Answered with [`Answer::Done`].
    Synced {
        /// Which.
        conversation: ConversationId,
    },
    /// Every conversation of the account. Answered with [`Answer::Conversations`].
    Conversations,
    /// One conversation, if it is known here. Answered with [`Answer::Conversation`].
    Find {
        /// Which.
        target: Target,
    },
    /// Says something. Answered with [`Answer::Queued`] once it is durable in the outbox, or with
    /// [`Answer::Sent`] once it is durable on the relay.
    Send {
        /// Where. Sending to a room by name joins it, to a person by name opens the conversation.
        to: Target,
        /// What.
        draft: Draft,
        /// When it was written; now, unless given. A message that was given a time can be
        /// recognised by it.
        #[serde(default)]
        composed_at: Option<WallTime>,
        /// When to answer.
        until: Until,
    },
    /// Waits for a message that is in the outbox. Answered as [`Call::Send`].
    Settled {
        /// Which.
        local: LocalId,
        /// When to answer.
        until: Until,
    },
    /// What has not been accepted yet. Answered with [`Answer::Outbox`].
    Outbox,
    /// Takes a message back that was not transmitted, or dismisses a failed one. Answered with
    /// [`Answer::Done`].
    Cancel {
        /// Which.
        local: LocalId,
    },
    /// Records that are stored here. Answered with [`Answer::Page`].
    Page {
        /// Of which conversation.
        conversation: ConversationId,
        /// Where it begins or ends.
        at: At,
        /// At most this many.
        count: usize,
    },
    /// The edits, deletions and reactions that act on records in a range. Answered with
    /// [`Answer::Page`].
    Amends {
        /// Of which conversation.
        conversation: ConversationId,
        /// First record acted on.
        from: Seq,
        /// Last record acted on.
        to: Seq,
    },
    /// Searches what is stored here, in all conversations. Answered with [`Answer::Found`].
    Search {
        /// For what.
        query: Query,
        /// At most this many messages, the newest.
        count: usize,
    },
    /// Fetches records that are older than all stored ones from the relay. Answered with
    /// [`Answer::Fetched`] once they are durable here.
    Older {
        /// Of which conversation.
        conversation: ConversationId,
    },
    /// Joins a room, or asks to. Answered with [`Answer::Conversation`].
    Join {
        /// Without `#`.
        room: String,
    },
    /// Founds a room. Answered with [`Answer::Conversation`].
    Create {
        /// Without `#`.
        room: String,
        /// May be empty.
        topic: String,
        /// Who may join.
        access: Access,
    },
    /// Finds or opens the direct conversation with a person. Answered with
    /// [`Answer::Conversation`].
    OpenDirect {
        /// Without `@`.
        name: String,
    },
    /// Leaves a conversation. Answered with [`Answer::Done`].
    Leave {
        /// Which.
        conversation: ConversationId,
    },
    /// Any question to the relay. Answered with [`Answer::Reply`].
    Ask {
        /// The question.
        #[serde(with = "encoded::request")]
        request: Request,
    },
    /// The person has read up to here. Answered with [`Answer::Done`].
    Read {
        /// Which conversation.
        conversation: ConversationId,
        /// How far.
        seq: Seq,
    },
    /// What is on screen now. Answered with [`Answer::Done`].
    Show {
        /// At most four.
        conversations: Vec<ConversationId>,
    },
    /// Whose presence is on screen now. Answered with [`Answer::Done`].
    Watch {
        /// They.
        accounts: Vec<AccountId>,
    },
    /// The person is writing. Answered with [`Answer::Done`].
    Typing {
        /// Where.
        conversation: ConversationId,
    },
    /// Keeps what the person is writing. Answered with [`Answer::Done`].
    SaveDraft {
        /// Where.
        conversation: ConversationId,
        /// Empty to forget it.
        text: String,
    },
    /// Recomputes the chain over what is stored and compares it with the relay's. Answered with
    /// [`Answer::Audited`].
    Audit {
        /// Of which conversation.
        conversation: ConversationId,
    },
    /// Believes that a name which changed hands means its new owner from now on. Answered with
    /// [`Answer::Done`].
    AcceptName {
        /// Without `@`.
        name: String,
        /// The new owner, as the error or notice named it.
        account: AccountId,
    },
    /// Before there is an account: asks for this name. Answered with [`Answer::Done`].
    Register {
        /// Without `@`.
        name: String,
    },
    /// Tries to connect now, also after having stopped. Answered with [`Answer::Done`].
    Reconnect,
    /// What `doctor` wants to know of a running node. Answered with [`Answer::Health`].
    Health,
}

/// Asks for the members of a conversation, beginning with this account.
pub fn members_from(conversation: ConversationId, account: AccountId) -> Members {
    // A list begins after the account it names.
    let before = u128::from_be_bytes(account.0).checked_sub(1);
    Members { conversation, after: before.map(|number| AccountId(number.to_be_bytes())) }
}

/// A conversation, as people and scripts name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// `#name`, here without the `#`.
    Room(String),
    /// `@name`, here without the `@`.
    Person(String),
    /// By identifier.
    Id(ConversationId),
}

/// A text that is no [`Target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected #room, @name, or a conversation id (32 hex digits)")]
pub struct ParseTargetError;

impl FromStr for Target {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<Self, ParseTargetError> {
        let named =
            |name: &str| (!name.is_empty()).then(|| name.to_owned()).ok_or(ParseTargetError);
        match text.split_at_checked(1) {
            Some(("#", name)) => named(name).map(Self::Room),
            Some(("@", name)) => named(name).map(Self::Person),
            Some(_) | None => text.parse().map(Self::Id).map_err(|_| ParseTargetError),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(name) => write!(f, "#{name}"),
            Self::Person(name) => write!(f, "@{name}"),
            Self::Id(id) => write!(f, "{id}"),
        }
    }
}

impl From<Destination> for Target {
    fn from(destination: Destination) -> Self {
        match destination {
            Destination::Room(name) => Self::Room(name),
            Destination::Person(name) => Self::Person(name),
        }
    }
}

/// When [`Call::Send`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// Durable in the outbox.
    Queued,
    /// Durable on the relay, or definitely refused. Fails as soon as it is clear that the relay
    /// cannot be reached now; the message stays in the outbox.
    SentUnlessOffline,
    /// Durable on the relay, or definitely refused, however long it takes.
    Sent,
}

/// Where a page lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// The newest records.
    Newest,
    /// The last ones below this place.
    Before(Seq),
    /// The first ones above this place.
    After(Seq),
}

/// What the node answers to a [`Call`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done,
    /// Who and where we are.
    Status(Box<Status>),
    /// All conversations, in order of name.
    Conversations {
        /// They.
        conversations: Vec<ConversationView>,
    },
    /// One conversation.
    Conversation(Box<ConversationView>),
    /// The message is in the outbox.
    Queued {
        /// Its name there.
        local: LocalId,
    },
    /// The message is durable on the relay.
    Sent(SentMessage),
    /// The outbox, oldest first.
    Outbox {
        /// Its rows.
        messages: Vec<OutboxView>,
    },
    /// Records, oldest first, without a gap between them.
    Page {
        /// They.
        lines: Vec<Line>,
    },
    /// What a search found, newest first.
    Found {
        /// It.
        found: Vec<Found>,
        /// What was said before this was not looked at; everything was, if absent.
        back_to: Option<WallTime>,
        /// Records that were stored so recently, or before there was an index, that no search sees
        /// them yet.
        unindexed: u64,
    },
    /// Older records are stored now.
    Fetched {
        /// The oldest record of the newest unbroken stretch.
        low: Seq,
        /// Whether there are none older.
        older: End,
    },
    /// The relay's answer.
    Reply {
        /// It.
        #[serde(with = "encoded::reply")]
        reply: Reply,
    },
    /// What an audit found.
    Audited {
        /// How many records were hashed again.
        records: u64,
        /// The last record of the first stretch whose chain is not the relay's.
        differs_at: Option<Seq>,
    },
    /// How the node is.
    Health(Box<Health>),
}

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
    /// The relay's clock minus ours when it last welcomed us, in milliseconds.
    pub clock_skew_ms: Option<i64>,
    /// The longest message that the relay takes, as it said when it last welcomed us.
    pub body_bytes_max: Option<u32>,
    /// Messages that wait.
    pub outbox: usize,
    /// Why the local store takes no writes, if it does not: nothing is said meanwhile.
    pub store: Option<String>,
    /// Socket options of the connection, as the kernel reports them.
    pub socket: Vec<(String, String)>,
    /// What the transport has measured and counted, over datagrams.
    pub datagrams: Vec<(String, String)>,
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

/// Why the node did not do it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum CallError {
    /// The relay said no.
    #[error("{refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// It needs the relay, and that cannot be reached.
    #[error("not connected: {why}")]
    Offline {
        /// Why.
        why: String,
    },
    /// Something else than the trusted relay answers.
    #[error("the relay you know did not answer; another key is announced at {address}")]
    Untrusted {
        /// The key announced there.
        announced: RelayKey,
        /// Where.
        address: String,
    },
    /// A name stands for another account than before.
    #[error("the name {name} now belongs to another account")]
    NameChanged {
        /// The name.
        name: String,
        /// Who had it.
        known: AccountId,
        /// Who has it now.
        now: AccountId,
    },
    /// It is not known here.
    #[error("{what} is not known here")]
    NotFound {
        /// What.
        what: String,
    },
    /// The local store failed.
    #[error("local store: {why}")]
    Store {
        /// How.
        why: String,
    },
    /// The call makes no sense as it stands.
    #[error("{why}")]
    Invalid {
        /// Why.
        why: String,
    },
    /// The process that owned the home ended before it answered.
    #[error("the process that owned this home ended")]
    OwnerGone,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_parse_as_people_write_them() {
        assert_eq!("#lobby".parse(), Ok(Target::Room("lobby".into())));
        assert_eq!("@ada".parse(), Ok(Target::Person("ada".into())));
        let id = ConversationId([0xab; 16]);
        assert_eq!(id.to_string().parse(), Ok(Target::Id(id)));
        for wrong in ["", "#", "@", "lobby", "äb"] {
            assert_eq!(wrong.parse::<Target>(), Err(ParseTargetError), "{wrong}");
        }
    }

    #[test]
    fn a_list_after_the_account_before_begins_with_the_account() {
        let after = |account| members_from(ConversationId([1; 16]), AccountId(account)).after;
        let (mut bytes, mut expected) = ([0; 16], [0; 16]);
        (bytes[14], expected[15]) = (1, 255);
        assert_eq!(after(bytes), Some(AccountId(expected)));
        assert_eq!(after([0; 16]), None, "nothing is before the first");
    }

    #[test]
    fn calls_and_answers_travel_as_json() {
        let call = Call::Ask {
            request: protocol::message::request::Resolve { name: "ada".into() }.into(),
        };
        let json = serde_json::to_string(&call).expect("plain data");
        assert_eq!(serde_json::from_str::<Call>(&json).expect("what we wrote"), call);
        let answer = Answer::Reply { reply: Reply::Leave(()) };
        let json = serde_json::to_string(&answer).expect("plain data");
        assert_eq!(serde_json::from_str::<Answer>(&json).expect("what we wrote"), answer);
    }
}
