//! What a person or a bot asks of the engine, and what comes of it.

use protocol::{
    ids::{AccountId, ConversationId, Seq},
    message::{
        refusal::Refusal,
        request::{Reply, Request},
        room::{Access, AccountInfo, ConversationInfo},
    },
};

use crate::store::{
    StoreFailure,
    row::{Draft, LocalId},
};

/// Names a command until its `Done` event. Unique within one run of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// Where a message is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// This conversation.
    Conversation(ConversationId),
    /// The room of this name, without `#`; joined if necessary.
    Room(String),
    /// The direct conversation with the person of this name, without `@`.
    Person(String),
}

/// Something a person wants. Each is answered by one `Done` event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Say something. Done when it is durable in the outbox; what the relay makes of it follows in
    /// `Outbox` events.
    Send {
        /// Where.
        target: Target,
        /// What.
        draft: Draft,
    },
    /// Take a message back that was never transmitted, or dismiss one that failed.
    CancelQueued {
        /// Which.
        local: LocalId,
    },
    /// Join a room by name, accept an invitation, or ask to be admitted.
    Join {
        /// Without `#`.
        room: String,
    },
    /// Found an open room.
    CreateRoom {
        /// Without `#`.
        name: String,
        /// May be empty.
        topic: String,
        /// Who may join.
        access: Access,
        /// Random: makes two rooms of one creator differ.
        nonce: [u8; 16],
    },
    /// Leave a room or refuse a direct conversation.
    Leave {
        /// Which.
        conversation: ConversationId,
    },
    /// Open the direct conversation with somebody, without saying anything yet.
    OpenDirect {
        /// Without `@`.
        name: String,
    },
    /// Believe that a name which changed hands means its new owner from now on.
    AcceptName {
        /// Without `@`.
        name: String,
        /// The new owner, as the refusal or notice named it.
        account: AccountId,
    },
    /// Before there is an account: ask for this name and, where one is needed, show this ticket.
    Register {
        /// Without `@`.
        name: String,
        /// From an invitation; empty without one.
        ticket: Vec<u8>,
    },
    /// Any other question to the relay; the reply comes back as it is.
    Ask(Request),
    /// The person has read up to here.
    Read {
        /// Which.
        conversation: ConversationId,
        /// Up to where.
        seq: Seq,
    },
    /// These conversations are on screen now; at most four count.
    Show {
        /// Which.
        conversations: Vec<ConversationId>,
    },
    /// These people's presence is on screen now.
    Watch {
        /// Who.
        accounts: Vec<AccountId>,
    },
    /// The person is writing.
    Typing {
        /// Where.
        conversation: ConversationId,
    },
    /// Fetch a page of history below what is here.
    Older {
        /// Which.
        conversation: ConversationId,
    },
    /// Keep what the person is writing over a restart.
    SaveDraft {
        /// Where.
        conversation: ConversationId,
        /// Empty to forget it.
        text: String,
    },
    /// Recompute the chain over everything stored and compare it with the relay's.
    Audit {
        /// Which.
        conversation: ConversationId,
    },
    /// Nothing but to know when everything decided so far is durable. Done then.
    Flush,
    /// Try to connect now, also after having stopped.
    Reconnect,
    /// End the session cleanly and stay offline.
    GoOffline,
}

/// What a command brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing to tell.
    Done,
    /// The message is durable in the outbox under this name.
    Queued(LocalId),
    /// The conversation that was joined, founded or opened. Its standing may still say that others
    /// have to agree.
    Conversation(Box<ConversationInfo>),
    /// The relay's reply to an `Ask`.
    Reply(Box<Reply>),
    /// Older records are stored from here on; `end` if there are none older.
    Older {
        /// The oldest record of the newest stretch.
        low: Seq,
        /// Nothing older can be had.
        end: bool,
    },
    /// What an audit found.
    Audited(AuditReport),
}

/// What an audit of one conversation found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// How many records were hashed again.
    pub records: u64,
    /// The first stretch of the local history whose stored records do not give its chain, or whose
    /// chain is not the relay's: its last record.
    pub differs_at: Option<Seq>,
}

/// Why a command brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The relay said no.
    #[error("{0}")]
    Refused(Refusal),
    /// The name meant somebody else at first contact. Nothing was sent.
    #[error("@{name} was account {pinned} and is account {} now", now.account)]
    NameChanged {
        /// The name.
        name: String,
        /// Whom it meant at first contact.
        pinned: AccountId,
        /// Whom it means now.
        now: Box<AccountInfo>,
    },
    /// The question needs a relay, and there is none.
    #[error("not connected")]
    Offline,
    /// The connection broke after the question was asked: it may or may not have taken effect.
    #[error("the connection broke before the answer came")]
    Disconnected,
    /// Larger than the protocol or this relay allows.
    #[error("{bytes} bytes, at most {bytes_max} are allowed")]
    TooLarge {
        /// How large.
        bytes: usize,
        /// How large it may be.
        bytes_max: usize,
    },
    /// Too many messages wait.
    #[error("{0} messages wait in the outbox already")]
    OutboxFull(usize),
    /// Too many questions wait for an answer.
    #[error("{0} questions wait for an answer already")]
    TooManyQuestions(usize),
    /// Nothing here has that identifier.
    #[error("not known here")]
    Unknown,
    /// It may have reached the relay already, so it cannot be taken back.
    #[error("it may have been sent already")]
    MaybeSent,
    /// The local store does not take writes now.
    #[error("{0}")]
    Store(#[from] StoreFailure),
    /// The relay answered with something that this build cannot read.
    #[error("the relay's answer needs a newer version")]
    NeedsNewer,
}
