//! What can happen to the relay's durable state: one [`Op`] per fact.
//!
//! The hub turns requests into ops, a commit writes a batch of them as one journal row, and
//! [`State::apply`](super::state::State::apply) is the only place where they take effect: in the
//! hub before the commit, at start-up when the journal's tail is replayed, and in the tests that
//! compare a store's tables with the state. Ops are append only: a journal outlives an upgrade.

use bytes::Bytes;
use protocol::{
    ids::{AccountId, ConversationId, Counter, DeviceId, Digest, LogId, MessageId, Seq},
    message::{
        refusal::RefusalCode,
        room::{Access, BanTarget, Kind, Role, Standing},
    },
    time::WallTime,
};
use serde::{Deserialize, Serialize};

/// One fact about accounts, conversations or their logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// An account was founded by its first device.
    Registered(Registered),
    /// The account's label changed. `name_key` is the folded form that has to be unique.
    Renamed {
        /// Whose.
        account: AccountId,
        /// The label.
        name: String,
        /// Its folded form.
        name_key: String,
    },
    /// The label no longer belongs to anybody; the account keeps existing without one.
    NameReleased {
        /// The folded form.
        name_key: String,
    },
    /// The account administers this relay, or no longer does.
    Administrator {
        /// Whose.
        account: AccountId,
        /// Does.
        on: bool,
    },
    /// `account` takes no direct messages from `whom`, or takes them again.
    Blocked {
        /// Who blocks.
        account: AccountId,
        /// Whom.
        whom: AccountId,
        /// Blocks.
        on: bool,
    },
    /// A conversation began.
    Opened(Opened),
    /// A member's whole row, replacing what was there.
    Member {
        /// Where.
        conversation: ConversationId,
        /// Who.
        account: AccountId,
        /// The row.
        member: Membership,
    },
    /// The topic is this now.
    Topic {
        /// Where.
        conversation: ConversationId,
        /// Empty if none.
        topic: String,
    },
    /// Who may join is this now.
    Access {
        /// Where.
        conversation: ConversationId,
        /// Who.
        access: Access,
    },
    /// A ban, replacing one with the same target.
    Banned {
        /// Where.
        conversation: ConversationId,
        /// Whom.
        target: BanTarget,
        /// The rest.
        ban: Ban,
    },
    /// The ban is lifted.
    Unbanned {
        /// Where.
        conversation: ConversationId,
        /// Whom.
        target: BanTarget,
    },
    /// Records were appended.
    Appended(Appended),
    /// A message was finally refused: a retry gets the same answer, not a guess.
    Refused {
        /// Where.
        conversation: ConversationId,
        /// Whose, which, and why.
        decision: Decision,
    },
    /// The body of a record is gone; its digest stays. Takes effect only if the record at `seq`
    /// is the message `id`: the hub does not keep old records, so whoever holds the bytes compares
    /// ([`erase`](super::log::erase)), and a wrong pair erases nothing.
    Erased {
        /// Where.
        conversation: ConversationId,
        /// Which record.
        seq: Seq,
        /// Which message that record has to be.
        id: MessageId,
    },
    /// Records below `first` are gone.
    Trimmed {
        /// Where.
        conversation: ConversationId,
        /// First record still kept.
        first: Seq,
    },
    /// How far an account has got. Never goes down.
    Marked {
        /// Where.
        conversation: ConversationId,
        /// Who.
        account: AccountId,
        /// Durable on one of its devices.
        received: Seq,
        /// Read.
        read: Seq,
    },
    /// The store is another incarnation now: created, or restored from a backup.
    Renewed {
        /// Its id.
        log_id: LogId,
    },
}

/// An account and its first device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Who.
    pub account: AccountId,
    /// The device.
    pub device: DeviceId,
    /// The label.
    pub name: String,
    /// Its folded form, which has to be unique.
    pub name_key: String,
    /// Ed25519 public key.
    pub signing_key: [u8; 32],
    /// X25519 public key: the static key of the device's channel.
    pub channel_key: [u8; 32],
    /// The link, as received.
    pub genesis: Bytes,
    /// The device's signature over it.
    pub signature: Bytes,
    /// When.
    pub at: WallTime,
}

/// A conversation's beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Which.
    pub conversation: ConversationId,
    /// What sort.
    pub kind: Kind,
    /// The room's name; empty for a direct one.
    pub name: String,
    /// Its folded form, which has to be unique among rooms; empty for a direct one.
    pub name_key: String,
    /// Empty if none.
    pub topic: String,
    /// Who may join.
    pub access: Access,
    /// The genesis record as received; empty for a direct one.
    pub genesis: Bytes,
    /// Who opened it; absent if the relay did.
    pub creator: Option<AccountId>,
}

/// How an account stands to a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Joined, invited, requested or outside.
    pub standing: Standing,
    /// What it may do.
    pub role: Role,
    /// It may not speak until then; zero if it may.
    pub muted_until: WallTime,
    /// The membership interval: from here …
    pub from: Seq,
    /// … to here, once it has ended.
    pub to: Option<Seq>,
}

/// What a ban says beside whom it hits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Zero is for good.
    pub until: WallTime,
    /// Why.
    pub reason: String,
    /// By whom, if not by the operator.
    pub by: Option<AccountId>,
}

/// A run of records at the end of a conversation's log, with what dedupe has to remember of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// Where.
    pub conversation: ConversationId,
    /// Place of the first.
    pub first: Seq,
    /// The relay's clock.
    pub time: WallTime,
    /// How many.
    pub count: u32,
    /// The records as members receive them, each behind its length.
    pub records: Bytes,
    /// The chain before the first.
    pub chain_before: Digest,
    /// The chain after the last.
    pub chain_after: Digest,
    /// For every record that a device sent, in order.
    pub decisions: Vec<Decision>,
}

/// What the relay decided on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It has this place.
    Placed(Seq),
    /// It was refused for this reason.
    Refused(RefusalCode),
}

/// A device's message is decided for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Whose.
    pub device: DeviceId,
    /// Its number.
    pub counter: Counter,
    /// What was decided.
    pub fate: Fate,
    /// First half of the envelope hash: tells a retry from a number used twice.
    pub digest: [u8; 16],
    /// Everything of the device below this is settled and can be forgotten.
    pub floor: Counter,
}
