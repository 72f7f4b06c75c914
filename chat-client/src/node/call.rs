//! What a front end may ask of the node of its home, and what it hears back.
//!
//! The same values travel in memory, when the front end runs inside the owner, and as JSON lines
//! over `run.sock`, when it is a guest. So everything here is plain data: bodies and requests travel
//! in their wire encoding, which keeps also what a later version made.

use std::{fmt, str::FromStr};

use protocol::{
    ids::{AccountId, ConversationId, MessageId, RelayKey, Seq},
    lab::order::Order,
    message::{
        refusal::Refusal,
        request::{Members, Reply, Request},
        room::Access,
    },
    time::WallTime,
};
use serde::{Deserialize, Serialize};

use super::encoded;
pub use super::shown::{
    ConversationView, Delivery, End, Event, Fallback, FaultsView, Found, Health, Line, Link,
    OutboxView, SaidView, SentMessage, Severity, Status,
};
use crate::{
    lab::ladder::{Step, Trace},
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
    /// Makes the path to the relay worse on purpose, or good again. Taken only from the front end
    /// of the owner's own process. Answered with [`Answer::Status`].
    Impair {
        /// How.
        order: Order,
    },
    /// From now on, what happens to packets and to own messages is remembered for a while. Answered
    /// with [`Answer::Done`].
    Record,
    /// What happened to the last packets. Answered with [`Answer::Trace`].
    Trace {
        /// At most this many.
        rows: usize,
    },
    /// What became of an own message. Answered with [`Answer::Life`].
    Life {
        /// Which.
        message: MessageId,
    },
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
    /// What happened to packets.
    Trace(Box<Trace>),
    /// What became of a message; nothing if that is not remembered.
    Life {
        /// In order of time.
        steps: Vec<Step>,
    },
    /// How the node is.
    Health(Box<Health>),
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
