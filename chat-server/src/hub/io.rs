//! What goes into the hub and what comes out of it.

use std::{fmt, net::IpAddr, ops::Range, sync::Arc, time::Duration};

use protocol::{
    ids::{AccountId, ConversationId, DeviceId, Digest, MessageId, Seq},
    message::{
        RelayMessage,
        refusal::Refusal,
        request::Request,
        session::{Attach, Follow, Mark, Show, Typing, Watch},
    },
};

use super::{log::PublishedRun, retention::AgeLook};

/// One authenticated connection: which shard owns it, and its number there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl SessionId {
    const NUMBER_BITS: u32 = 48;

    /// The session with this number on this shard. Numbers are not reused while the relay runs.
    pub const fn new(shard: u16, number: u64) -> Self {
        assert!(number >> Self::NUMBER_BITS == 0, "48 bits last for years of connections");
        Self((shard as u64) << Self::NUMBER_BITS | number)
    }

    /// The shard that owns the connection.
    pub const fn shard(self) -> u16 {
        (self.0 >> Self::NUMBER_BITS) as u16
    }

    /// Its number there.
    pub const fn number(self) -> u64 {
        self.0 & ((1 << Self::NUMBER_BITS) - 1)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.shard(), self.number())
    }
}

/// Something happened.
#[derive(Debug)]
pub enum Input {
    /// A connection's first message. The channel key is the one its handshake proved.
    Attach {
        /// The connection.
        session: SessionId,
        /// Its static key.
        channel_key: [u8; 32],
        /// Where it comes from.
        address: IpAddr,
        /// The message.
        attach: Attach,
    },
    /// The bodies of the `Send` messages of one shard's turn, in the order they arrived: one
    /// buffer and ranges into it, so that a message costs no allocation on its way here.
    Sends {
        /// All bodies.
        bytes: Vec<u8>,
        /// Whose each is and where.
        items: Vec<(SessionId, Range<u32>)>,
    },
    /// A question.
    Request {
        /// Whose.
        session: SessionId,
        /// Comes back in the reply.
        id: u32,
        /// What.
        request: Request,
    },
    /// A session wants a conversation's stream.
    Follow {
        /// Whose.
        session: SessionId,
        /// Which.
        follow: Follow,
    },
    /// A device has got further.
    Mark {
        /// Whose.
        session: SessionId,
        /// How far.
        mark: Mark,
    },
    /// What is on a session's screen.
    Show {
        /// Whose.
        session: SessionId,
        /// What.
        show: Show,
    },
    /// Whose presence is on a session's screen.
    Watch {
        /// Whose.
        session: SessionId,
        /// Whom.
        watch: Watch,
    },
    /// A person writes.
    Typing {
        /// Whose session.
        session: SessionId,
        /// Where.
        typing: Typing,
    },
    /// The connection is gone.
    Detached {
        /// Which.
        session: SessionId,
    },
    /// The answer to [`Output::LookAtAges`]: logs with records that are too old, each with its first
    /// record that is young enough.
    Aged {
        /// Which, and from where on it may stay.
        aged: Vec<(ConversationId, Seq)>,
    },
    /// Somebody on the machine itself asks.
    Operator {
        /// Comes back in the answer.
        id: u64,
        /// What.
        call: OperatorCall,
    },
}

/// What the operator can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorCall {
    /// Makes an account an administrator: it owns `#lobby`.
    AdminAdd {
        /// Whose name.
        name: String,
    },
    /// Takes that back.
    AdminRemove {
        /// Whose name.
        name: String,
    },
    /// Who administers.
    AdminList,
    /// Frees a name; its account goes on without one.
    NameRelease {
        /// Which.
        name: String,
    },
    /// Who is connected.
    Sessions,
    /// An invitation's ticket that lets people register for this long.
    Ticket {
        /// How long.
        lifetime: Duration,
    },
}

/// The answer to an [`OperatorCall`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorAnswer {
    /// Done.
    Done,
    /// Names of administrators.
    Administrators(Vec<(AccountId, String)>),
    /// Who is connected.
    Sessions(Vec<SessionReport>),
    /// A ticket.
    Ticket(Vec<u8>),
}

/// One connected session, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionReport {
    /// Which.
    pub session: SessionId,
    /// Who.
    pub account: AccountId,
    /// Their label.
    pub name: String,
    /// Which device.
    pub device: DeviceId,
    /// From where.
    pub address: IpAddr,
    /// Program and version, as the client says: foreign text.
    pub client: String,
}

/// Why an operator's call was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// Nobody has the name.
    #[error("nobody is called {0:?}")]
    NoSuchName(String),
    /// The store takes no writes just now.
    #[error("the store takes no writes for now")]
    StoreFull,
}

/// Something has to be done.
#[derive(Debug)]
pub enum Output {
    /// For every shard: a commit is durable.
    Publish(Arc<Publication>),
    /// For one session.
    ToSession(SessionId, ToSession),
    /// For whoever asked on the machine.
    ToOperator(u64, Result<OperatorAnswer, OperatorError>),
    /// For a reader of the store, which answers [`Input::Aged`], whatever it finds. One is out at a
    /// time.
    LookAtAges(AgeLook),
}

/// What a commit changed in the logs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// New records. Of one conversation there may be several runs, in order.
    pub runs: Vec<PublishedRun>,
    /// Bodies to blank, if the record in the place is that message.
    pub erased: Vec<(ConversationId, Seq, MessageId)>,
    /// First record still kept.
    pub trimmed: Vec<(ConversationId, Seq)>,
    /// Logs that grew up to a head with a chain, without the records being at hand: they turned
    /// out to be durable after a commit of unknown outcome. Tails forget what they have; sessions
    /// read them from the store.
    pub advanced: Vec<(ConversationId, Seq, Digest)>,
}

/// What a session has to do.
#[derive(Debug)]
pub enum ToSession {
    /// Send this.
    Message(RelayMessage<'static>),
    /// It is live; precedes `Welcome`.
    Attached {
        /// Whose.
        account: AccountId,
        /// Which device.
        device: DeviceId,
    },
    /// It may follow the conversation.
    Follow {
        /// What it asked for.
        follow: Follow,
        /// What it may read: from here, and up to here if its membership has an end.
        visible: (Seq, Option<Seq>),
        /// First record still kept.
        first: Seq,
        /// The published head at this moment: everything up to it was put out before this.
        head: Seq,
        /// The chain there.
        chain: Digest,
    },
    /// It may ask for the chain after a record; the answer is the reply to this request.
    ChainAt {
        /// The request's.
        id: u32,
        /// Which.
        conversation: ConversationId,
        /// After which record.
        seq: Seq,
    },
    /// It may read the conversation up to `last` and no further.
    Revoke {
        /// Which.
        conversation: ConversationId,
        /// The last record it may read.
        last: Seq,
    },
    /// Say goodbye with this refusal, then close.
    Close {
        /// Why.
        refusal: Refusal,
    },
}
