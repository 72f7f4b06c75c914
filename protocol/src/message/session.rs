//! What an attached session says outside requests, in both directions (wire §5.1, §5.2).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{
    ext::Ext,
    record::{ChainPrefix, Run},
    refusal::Refusal,
    room::{AccountInfo, ConversationInfo, Presence},
};
use crate::{
    ids::{AccountId, ConversationId, Counter, DeviceId, Digest, LogId, RelayKey, Seq},
    time::WallTime,
};

// ---- client to relay ----

/// The first message on a connection: makes the session live and supersedes the device's older
/// one. Who the device is follows from its static key in the handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// Present when the device has no account at this relay yet.
    pub register: Option<Register>,
    /// Program and version, for the operator's log: `chat-client 0.1.0`.
    pub client: String,
    /// Later additions.
    pub ext: Ext,
}

/// Founds an account with this device as its first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// The label wanted in the directory.
    pub name: String,
    /// The encoded [`GenesisLink`](super::account::GenesisLink).
    pub genesis: ByteBuf,
    /// The device's signature over it.
    pub signature: ByteBuf,
    /// From an invitation, where the relay asks for one; else empty.
    pub ticket: ByteBuf,
}

/// Asks for a conversation's records as they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follow {
    /// Which.
    pub conversation: ConversationId,
    /// The client durably has everything from some `low` up to here; zero if nothing.
    pub after: Seq,
    /// The chain at `after`, so that a fork is noticed; zeros if `after` is zero.
    pub chain: ChainPrefix,
    /// If more than this many are missing, begin with the newest this many.
    pub newest: u32,
}

/// Asks for older records: the last `count` before `before`, as far as one page holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// Comes back in the page.
    pub id: u32,
    /// Which.
    pub conversation: ConversationId,
    /// The page ends just below.
    pub before: Seq,
    /// At most this many.
    pub count: u32,
}

/// Offers a message to a conversation's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Send<'a> {
    /// Which.
    pub conversation: ConversationId,
    /// Every message of this device in this conversation below this counter is settled: its
    /// decision is known and durable here, so the relay may forget it.
    pub floor: Counter,
    /// The encoded envelope. Every retry sends the same bytes.
    #[serde(borrow, with = "serde_bytes")]
    pub envelope: Cow<'a, [u8]>,
    /// Over the envelope hash; empty at epoch 0.
    #[serde(borrow, with = "serde_bytes")]
    pub signature: Cow<'a, [u8]>,
    /// The encoded body.
    #[serde(borrow, with = "serde_bytes")]
    pub body: Cow<'a, [u8]>,
}

impl Send<'_> {
    /// The same message, owning its bytes.
    pub fn into_owned(self) -> Send<'static> {
        Send {
            conversation: self.conversation,
            floor: self.floor,
            envelope: Cow::Owned(self.envelope.into_owned()),
            signature: Cow::Owned(self.signature.into_owned()),
            body: Cow::Owned(self.body.into_owned()),
        }
    }
}

/// Says how far the device has a conversation durably, and how far its person has read. Both only
/// rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Which.
    pub conversation: ConversationId,
    /// Durable at the device up to here.
    pub received: Seq,
    /// Read by the person up to here.
    pub read: Seq,
}

/// Which conversations are on screen: others' progress there is worth telling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Show {
    /// At most four.
    pub conversations: Vec<ConversationId>,
}

/// Whose presence is on screen; replaces the set named before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// At most [`WATCHED_ACCOUNTS_MAX`](crate::limits::WATCHED_ACCOUNTS_MAX).
    pub accounts: Vec<AccountId>,
}

/// The person is writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typing {
    /// Where.
    pub conversation: ConversationId,
}

/// Asks whether the other side is there; comes back unchanged as a pong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Whatever the sender wants to recognise.
    pub token: u64,
}

// ---- relay to client ----

/// The session is live. Followed by one `Conversation` for each the account has to do with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Who the relay takes the session for, and its label.
    pub account: AccountInfo,
    /// Which device.
    pub device: DeviceId,
    /// The relay's label for itself.
    pub relay_name: String,
    /// Which incarnation of the store this is.
    pub log_id: LogId,
    /// All keys that are valid for this relay, so that keys can rotate.
    pub keys: Vec<RelayKey>,
    /// The device's highest counter seen: a client restored from a backup must move past it.
    pub highest: Counter,
    /// The relay's clock.
    pub now: WallTime,
    /// How many `Conversation` messages follow.
    pub conversations: u32,
    /// What this relay allows, where it is less than the protocol does.
    pub body_bytes_max: u32,
    /// Later additions.
    pub ext: Ext,
}

impl Welcome {
    /// The first critical tag in it that this version does not know.
    pub fn unknown_critical(&self) -> Option<u16> {
        self.ext.unknown_critical().or_else(|| self.account.unknown_critical())
    }
}

/// Where the stream that a `Follow` asked for begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Following {
    /// Which.
    pub conversation: ConversationId,
    /// The first record that will come: `after + 1`, or later if there was too much.
    pub from: Seq,
    /// The chain before it.
    pub chain: Digest,
    /// First record still kept.
    pub first: Seq,
    /// Newest record now.
    pub head: Seq,
}

/// The client's log and the relay's differ at or below what the `Follow` named: the relay was
/// restored from an older copy, or is another one. Nothing is streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forked {
    /// Which.
    pub conversation: ConversationId,
    /// The relay's newest record.
    pub head: Seq,
}

/// New records of a followed conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records<'a> {
    /// Which.
    pub conversation: ConversationId,
    /// They.
    #[serde(borrow)]
    pub run: Run<'a>,
}

/// Older records, as a `Pull` asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<'a> {
    /// The `Pull`'s.
    pub id: u32,
    /// Which.
    pub conversation: ConversationId,
    /// First record in it; the pull's `before` if there is none.
    pub first: Seq,
    /// The chain before it.
    pub chain: Digest,
    /// Nothing older can be had: it is the beginning, or trimmed below, or not visible.
    pub end: bool,
    /// Runs, one behind the other, contiguous from `first` to the pull's `before`.
    #[serde(borrow, with = "serde_bytes")]
    pub runs: Cow<'a, [u8]>,
}

/// The message is durable on the relay, in this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Where.
    pub conversation: ConversationId,
    /// The device's number for it.
    pub counter: Counter,
    /// Its place.
    pub seq: Seq,
    /// The relay's clock.
    pub time: WallTime,
}

/// The relay does not take the message: finally, or for now (`retry_after_ms`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Where.
    pub conversation: ConversationId,
    /// The device's number for it.
    pub counter: Counter,
    /// Why.
    pub refusal: Refusal,
    /// The device's highest counter there, so that the client can move past it.
    pub highest: Counter,
}

/// The account no longer has to do with a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationGone {
    /// Which.
    pub conversation: ConversationId,
    /// The last record it may read.
    pub last: Seq,
    /// Why, if not by its own wish.
    pub refusal: Option<Refusal>,
}

/// How far one member has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberProgress {
    /// Who.
    pub account: AccountId,
    /// Durable on one of their devices up to here.
    pub received: Seq,
    /// Read up to here.
    pub read: Seq,
}

/// How far others have got, in a conversation on screen or with own messages on their way. Members
/// whose progress has risen since the last one, in small conversations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Which.
    pub conversation: ConversationId,
    /// The members.
    pub members: Vec<MemberProgress>,
}

/// How many others have got as far as the session's newest own message, in large conversations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressCount {
    /// Which.
    pub conversation: ConversationId,
    /// The newest message this device has there.
    pub seq: Seq,
    /// How many have it.
    pub received: u32,
    /// How many have read it.
    pub read: u32,
    /// How many there are.
    pub of: u32,
}

/// A member is writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypingBy {
    /// Where.
    pub conversation: ConversationId,
    /// Who.
    pub account: AccountId,
}

/// Presence of watched accounts that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceChanged {
    /// Who and how.
    pub accounts: Vec<(AccountId, Presence)>,
}

/// How many members of a large conversation on screen are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceCount {
    /// Which.
    pub conversation: ConversationId,
    /// How many.
    pub online: u32,
}

/// The relay ends the session and says why; with `retry_after_ms` the client should come back then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// Why.
    pub refusal: Refusal,
}

/// Names in the directory that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct People {
    /// They, as they are now.
    pub accounts: Vec<AccountInfo>,
}

/// Something about a conversation of the account is new or has changed.
pub type Conversation = ConversationInfo;
