//! What the store keeps, row by row: plain values that the engine makes and the store files away.

use protocol::{
    ids::{AccountId, ConversationId, Counter, Digest, MessageId, Seq},
    message::{
        event::{Body, Set, Text},
        ext::Ext,
        record::{Class, Content, Envelope, Target},
        refusal::Refusal,
        room::ConversationInfo,
    },
    time::WallTime,
};
use serde::{Deserialize, Serialize};

/// A message of this device before the relay has numbered it. Never reused.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct LocalId(pub u64);

impl LocalId {
    /// The one after this; saturating.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// What a person wants to say, before it has a place to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Draft {
    /// Words.
    Text {
        /// The words.
        text: String,
        /// The message they answer.
        reply_to: Option<Target>,
    },
    /// Words in the third person.
    Action {
        /// The words.
        text: String,
    },
    /// A new text for an own message.
    Edit {
        /// Which message.
        target: Target,
        /// The new words.
        text: String,
    },
    /// An own message, or for a moderator anybody's, is to be erased.
    Delete {
        /// Which message.
        target: Target,
        /// Why; may be empty.
        reason: String,
    },
    /// A reaction.
    Reaction {
        /// To which message.
        target: Target,
        /// One emoji.
        emoji: String,
        /// Added or taken back.
        set: Set,
    },
}

impl Draft {
    /// Plain words that answer nothing.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), reply_to: None }
    }

    /// How it acts on the log.
    pub const fn class(&self) -> Class {
        match self {
            Self::Text { .. } | Self::Action { .. } => Class::CONTENT,
            Self::Edit { .. } => Class::EDIT,
            Self::Delete { .. } => Class::DELETE,
            Self::Reaction { .. } => Class::REACT,
        }
    }

    /// The message it acts on, if it is an amend.
    pub const fn target(&self) -> Option<Target> {
        match self {
            Self::Text { .. } | Self::Action { .. } => None,
            Self::Edit { target, .. }
            | Self::Delete { target, .. }
            | Self::Reaction { target, .. } => Some(*target),
        }
    }

    /// The body that says it.
    pub fn body(&self, composed_at: WallTime) -> Body {
        let words = |text: &str, reply_to| Text {
            text: text.to_owned(),
            composed_at,
            reply_to,
            ext: Ext::none(),
        };
        match self {
            Self::Text { text, reply_to } => Body::Text(words(text, *reply_to)),
            Self::Action { text } => Body::Action(words(text, None)),
            Self::Edit { text, .. } => Body::Edit(words(text, None)),
            Self::Delete { reason, .. } => Body::Delete(reason.clone()),
            Self::Reaction { emoji, set, .. } => Body::Reaction(emoji.clone(), *set),
        }
    }
}

/// Where a message goes whose conversation is not known yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Destination {
    /// The room of this name, without `#`. Sending to it joins it.
    Room(String),
    /// The direct conversation with the person of this name, without `@`.
    Person(String),
}

/// A message encoded once, before its first transmission. Every retry sends these bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoded {
    /// Where it goes.
    pub conversation: ConversationId,
    /// This device's number for it.
    pub counter: Counter,
    /// The encoded envelope.
    #[serde(with = "serde_bytes")]
    pub envelope: Vec<u8>,
    /// Empty at epoch 0.
    #[serde(with = "serde_bytes")]
    pub signature: Vec<u8>,
    /// The encoded body.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

/// What an outbox row carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// Its conversation is not known yet, so it has neither a number nor bytes.
    Unresolved {
        /// Where it is to go.
        to: Destination,
        /// What it says.
        draft: Draft,
    },
    /// It has its number and its bytes for good.
    Encoded(Encoded),
}

/// How far a message of this device has got with the relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Not decided, or not known to be.
    Queued,
    /// Durable on the relay; kept here until its record is in the local history.
    Accepted {
        /// Its place.
        seq: Seq,
        /// The relay's clock.
        time: WallTime,
    },
    /// The relay decided on it earlier and no longer remembers how. If it was accepted, its record
    /// turns up in the log and the row goes.
    Decided,
    /// Definitely and finally refused.
    Failed(Refusal),
}

impl Stage {
    /// True once the relay's decision is known, or known to be past.
    pub const fn is_settled(&self) -> bool {
        match self {
            Self::Queued => false,
            Self::Accepted { .. } | Self::Decided | Self::Failed(_) => true,
        }
    }
}

/// A message of this device that is not in the local history yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// Its name on this device.
    pub local: LocalId,
    /// The device's clock when the person sent it.
    pub composed_at: WallTime,
    /// What it carries.
    pub payload: Payload,
    /// How far it has got.
    pub stage: Stage,
}

impl OutboxRow {
    /// Its bytes, once it has any.
    pub const fn encoded(&self) -> Option<&Encoded> {
        match &self.payload {
            Payload::Unresolved { .. } => None,
            Payload::Encoded(encoded) => Some(encoded),
        }
    }
}

/// A stretch of a conversation that is durable here without a gap: `low..=high`, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// First record.
    pub low: Seq,
    /// Last record.
    pub high: Seq,
    /// The chain before `low`.
    pub before: Digest,
    /// The chain at `high`.
    pub chain: Digest,
}

/// One record as it came from the relay, verbatim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its place.
    pub seq: Seq,
    /// The relay's clock.
    pub time: WallTime,
    /// Who made it under which number; `None` if its envelope is of a later version.
    pub id: Option<MessageId>,
    /// What it acts on, for an amend whose envelope is understood.
    pub target: Option<Seq>,
    /// The encoded envelope.
    pub envelope: Vec<u8>,
    /// Over the envelope hash; empty at epoch 0.
    pub signature: Vec<u8>,
    /// The body or its digest.
    pub content: Content<'static>,
    /// The chain at this record, given on every [`CHAIN_STRIDE`]th only.
    pub chain: Option<Digest>,
}

impl StoredRecord {
    /// How large what it says is.
    pub fn content_bytes(&self) -> usize {
        match &self.content {
            Content::Body(body) => body.len(),
            Content::Erased(digest) => digest.len(),
        }
    }
}

/// Every how many records the chain is stored: finding the chain at any place hashes at most this
/// many, and it costs half a byte per record.
pub const CHAIN_STRIDE: u64 = 64;

/// A record as views read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// Its place.
    pub seq: Seq,
    /// The relay's clock.
    pub time: WallTime,
    /// What the sender says about it; `None` if it is of a later version and has another form.
    pub envelope: Option<Envelope>,
    /// What it says; [`Body::Unknown`] if the envelope is not understood, whatever the body's kind.
    pub said: Said,
}

/// What is left of what a record said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// This.
    Body(Body),
    /// It was deleted.
    Erased,
    /// Malformed, although a member sent it.
    Unreadable,
}

impl HistoryRow {
    /// Decodes what was stored verbatim; never fails, because others wrote it.
    pub fn decode(seq: Seq, time: WallTime, envelope: &[u8], content: &Content<'_>) -> Self {
        let envelope = Envelope::decode(envelope).ok();
        let is_understood = envelope.as_ref().is_some_and(Envelope::is_understood);
        let read = if is_understood { Body::decode } else { Body::decode_unread };
        let said = match content {
            Content::Body(body) => read(body).map_or(Said::Unreadable, Said::Body),
            Content::Erased(_) => Said::Erased,
        };
        Self { seq, time, envelope, said }
    }
}

/// A conversation as the store has it, without its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredConversation {
    /// What the relay last said about it.
    pub info: ConversationInfo,
    /// What is durable here, ascending, with gaps between.
    pub intervals: Vec<Interval>,
    /// This person has read up to here.
    pub read: Seq,
    /// What they were writing.
    pub draft: String,
    /// When the relay took the newest record that is durable here.
    pub active: WallTime,
}

/// A name and the account it stood for at first contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The name, as the relay's directory spells it.
    pub name: String,
    /// Who had it.
    pub account: AccountId,
}
