//! What the engine tells views, commands and bots.

use std::time::Duration;

use protocol::{
    ids::{AccountId, ConversationId, LogId, Seq},
    message::{
        refusal::Refusal,
        room::{AccountInfo, Presence},
        session::{MemberProgress, ProgressCount},
    },
    time::{Timestamp, WallTime},
};

use super::command::{Answer, CommandError, CommandId};
use crate::store::{StoreFailure, row::LocalId};

/// Something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// [`Engine::status`](super::Engine::status) says something new.
    StatusChanged,
    /// The relay has sent everything it has to say about which conversations there are.
    ConversationsListed,
    /// What is known about a conversation is new: ask the engine for it.
    ConversationChanged(ConversationId),
    /// The account has no more to do with a conversation; what was stored stays.
    ConversationGone {
        /// Which.
        conversation: ConversationId,
        /// Why, if not by its own wish.
        refusal: Option<Refusal>,
    },
    /// New records are durable in the local history and their senders are known, as far as the
    /// relay knows them.
    Appended {
        /// Where.
        conversation: ConversationId,
        /// First of them.
        from: Seq,
        /// Last of them.
        to: Seq,
    },
    /// The same for records below others that were there already.
    Backfilled {
        /// Where.
        conversation: ConversationId,
        /// First of them.
        from: Seq,
        /// Last of them.
        to: Seq,
    },
    /// A message of this device got further.
    Outbox {
        /// Which.
        local: LocalId,
        /// How far.
        state: OutboxState,
    },
    /// Others' progress rose: ask the engine for the conversation.
    Progress {
        /// Where.
        conversation: ConversationId,
        /// Who, as far as the relay names them.
        members: Vec<MemberProgress>,
    },
    /// In a large conversation: how many have the newest own message.
    ProgressCount(ProgressCount),
    /// Somebody is writing.
    Typing {
        /// Where.
        conversation: ConversationId,
        /// Who.
        account: AccountId,
    },
    /// Somebody came or went.
    Presence(Vec<(AccountId, Presence)>),
    /// How many members of a large conversation are connected.
    PresenceCount {
        /// Where.
        conversation: ConversationId,
        /// How many.
        online: u32,
    },
    /// Somebody's label is new.
    PeopleChanged(Vec<AccountId>),
    /// Something a person must be told.
    Notice(Notice),
    /// A command is done.
    Done {
        /// Which.
        id: CommandId,
        /// What it brought.
        result: Result<Answer, CommandError>,
    },
}

/// How far a message of this device has got, as a person sees it. *Delivered* and *read* follow
/// from others' progress, see [`Conversation`](super::Conversation).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboxState {
    /// Durable here, not known to be durable on the relay.
    Queued,
    /// The relay asked to wait; it goes on by itself.
    Slowed {
        /// When it is offered again.
        until: Timestamp,
        /// What the relay said.
        refusal: Refusal,
    },
    /// A person has to decide first: its addressee's name changed hands.
    Held {
        /// Whom the name meant at first contact.
        pinned: AccountId,
        /// Whom it means now.
        now: Box<AccountInfo>,
    },
    /// Durable on the relay, in this place.
    Sent {
        /// Its place.
        seq: Seq,
        /// The relay's clock.
        time: WallTime,
    },
    /// Decided earlier, and the relay no longer knows how; it is in the log or was refused.
    Unknown,
    /// Definitely and finally refused.
    Failed(Refusal),
    /// Taken back by the person, or dismissed.
    Cancelled,
}

/// Something a person must be told, not only shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The relay's store is another incarnation: it was restored from a copy.
    RelayRestored {
        /// The incarnation known until now.
        known: LogId,
        /// The one it has now.
        now: LogId,
    },
    /// The relay's log and the local one differ. What was above the last common record moved
    /// aside; this device's own messages among it are offered again.
    Forked {
        /// Where.
        conversation: ConversationId,
        /// The last record both have.
        common: Seq,
        /// How many records moved aside.
        moved: u64,
        /// How many own messages are offered again.
        offered_again: u64,
    },
    /// Another session of this device took over, so this one stopped. Two programs with one home
    /// copied would fight over the connection for ever.
    Superseded,
    /// A name means somebody else than at first contact.
    NameChanged {
        /// The name.
        name: String,
        /// Whom it meant at first contact.
        pinned: AccountId,
        /// Whom it means now.
        now: Box<AccountInfo>,
    },
    /// Another message holds the number of one of ours: this client was restored from a copy. It
    /// goes on under a new number.
    Renumbered {
        /// Which message.
        local: LocalId,
    },
    /// The relay says something critical about a conversation that this version does not know.
    /// Nothing is sent there and nothing is read from there; what was stored stays.
    NeedsNewer {
        /// Which.
        conversation: ConversationId,
    },
    /// The local store does not take writes; what arrives is not lost, the relay keeps it.
    StoreFailing(StoreFailure),
    /// The local store takes writes again.
    StoreRecovered,
}

/// How the engine stands to the relay and to its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The connection.
    pub link: LinkStatus,
    /// The account, once the relay has confirmed it.
    pub account: Option<AccountInfo>,
    /// The relay's label for itself, once it said one.
    pub relay_name: Option<String>,
    /// How long the relay took to answer, when it was last asked in this session.
    pub round_trip: Option<Duration>,
    /// Why the local store takes no writes, if it does not.
    pub store: Option<StoreFailure>,
}

/// The connection, as a person sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkStatus {
    /// Not connected; the next try is at this time.
    Waiting {
        /// When.
        until: Timestamp,
        /// Why the last one ended; `None` before the first.
        why: Option<Disconnect>,
    },
    /// Connecting, or shaking hands.
    Connecting,
    /// The channel stands, the relay has not welcomed us yet.
    Attaching,
    /// The session is live.
    Live,
    /// Not connected and not going to be by itself.
    Stopped(StopReason),
}

/// Why the engine does not try again by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Another session of this device took over.
    Superseded,
    /// The relay ended the session for good.
    Refused(Refusal),
    /// Trying again cannot help: another relay's key, no common version.
    Hopeless(String),
    /// The relay's welcome has this critical tag, which this version does not know.
    Outdated(u16),
    /// The person wished it.
    Offline,
}

/// Why a connection ended, or never began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disconnect {
    /// Nobody answered.
    Unreachable(String),
    /// It stood and broke, or the peer closed it.
    Lost(String),
    /// The relay said goodbye and asked to come back later.
    Goodbye(Refusal),
    /// Trying again cannot help: the wrong key answered, or no version is common.
    Hopeless(String),
}

/// What the driver should do about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dial {
    /// Connect; answer with `handle_connected` or `handle_disconnected`.
    Connect,
    /// Drop the connection, after flushing what was queued; no answer is expected.
    Disconnect,
}

/// The relay broke the protocol: drop the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolViolation {
    /// A session message before the welcome, or a second welcome.
    #[error("a message out of turn")]
    OutOfTurn,
    /// Records that do not continue what was streamed before.
    #[error("records of {conversation} have a gap: expected {expected}, came {came}")]
    Gap {
        /// Where.
        conversation: ConversationId,
        /// The place that should have come.
        expected: Seq,
        /// The place that came.
        came: Seq,
    },
    /// A page that does not fit what was asked, or whose chain does not meet ours.
    #[error("a page of {conversation} does not fit")]
    PageMismatch {
        /// Where.
        conversation: ConversationId,
    },
    /// Records that cannot be decoded.
    #[error("records of {conversation} are malformed")]
    Malformed {
        /// Where.
        conversation: ConversationId,
    },
    /// The relay takes us for another device.
    #[error("the welcome is for another device")]
    OtherDevice,
}
