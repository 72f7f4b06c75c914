//! The only disk of the client: history, outbox, cursors, people and drafts behind narrow traits.
//!
//! ```text
//!   engine ── StoreRequest ──▶ Store   one writer, one transaction per request
//!   views  ── pages ─────────▶ History any number of readers
//! ```
//!
//! [`sqlite`] is the real one, [`memory`] its twin for simulations; `tests/store_contract.rs` holds
//! both to the same behaviour. Keys are files of their own ([`keys`]) and never enter the database.

pub mod home;
pub mod keys;
pub mod layout;
pub mod memory;
pub mod row;
pub mod search;
pub mod sqlite;

use std::sync::Arc;

use protocol::{
    ids::{ConversationId, Counter, DeviceId, Digest, LogId, MessageId, Seq},
    message::room::{AccountInfo, ConversationInfo, DeviceInfo},
};

use self::row::{HistoryRow, Interval, LocalId, OutboxRow, Pin, StoredConversation, StoredRecord};
use self::search::{Findings, Search};

/// The engine's side: one writer.
pub trait Store {
    /// Everything but the records, as of the last applied change.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read or holds something that this build does not understand.
    fn load(&mut self) -> Result<Loaded, StoreFailure>;

    /// Applies all changes in one transaction, durable on return; on an error none of them.
    ///
    /// # Errors
    ///
    /// [`StoreFailure::Full`] can pass by itself; the others need a person.
    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreFailure>;

    /// Looks something up that the engine does not keep in memory.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    fn find(&mut self, query: &Query) -> Result<Found, StoreFailure>;

    /// Does what the engine asks for.
    ///
    /// # Errors
    ///
    /// As [`Self::apply`] and [`Self::find`].
    fn perform(&mut self, request: &StoreRequest) -> Result<Stored, StoreFailure> {
        match request {
            StoreRequest::Apply(changes) => self.apply(changes).map(|()| Stored::Applied),
            StoreRequest::Find(query) => self.find(query).map(Stored::Found),
        }
    }
}

/// The views' side: pages of records, oldest first. A page never reaches across a gap in what is
/// stored, so a view cannot show two records as neighbours that are not.
pub trait History {
    /// The newest `count` records.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    fn newest(
        &self,
        conversation: ConversationId,
        count: usize,
    ) -> Result<Vec<HistoryRow>, StoreFailure> {
        self.before(conversation, Seq(u64::MAX), count)
    }

    /// The last `count` records below `before`. With nothing stored just below it, the page ends at
    /// the next record that is.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    fn before(
        &self,
        conversation: ConversationId,
        before: Seq,
        count: usize,
    ) -> Result<Vec<HistoryRow>, StoreFailure>;

    /// The first `count` records above `after`, likewise.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    fn after(
        &self,
        conversation: ConversationId,
        after: Seq,
        count: usize,
    ) -> Result<Vec<HistoryRow>, StoreFailure>;

    /// One record.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    fn record(
        &self,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<Option<HistoryRow>, StoreFailure>;

    /// The stored edits, deletions and reactions that act on records in `from..=to`, oldest first.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    fn amends(
        &self,
        conversation: ConversationId,
        from: Seq,
        to: Seq,
    ) -> Result<Vec<HistoryRow>, StoreFailure>;

    /// The newest messages that are what is searched for. May first file what waits for the index,
    /// a bounded part of it.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read, or the index not be written.
    fn search(&mut self, search: &Search) -> Result<Findings, StoreFailure>;

    /// Files some of what waits for the index, if that is worth a transaction; `true` if it is
    /// again. Takes no longer than some page.
    ///
    /// # Errors
    ///
    /// If the index cannot be written; nothing is lost then.
    fn index_when_idle(&mut self) -> Result<bool, StoreFailure>;
}

/// What the engine asks of its store: one at a time, so that order needs no thought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreRequest {
    /// One transaction. Shared, because the engine keeps it until it is durable.
    Apply(Arc<[Change]>),
    /// A look-up.
    Find(Query),
}

/// What came of a [`StoreRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The changes are durable.
    Applied,
    /// This was found.
    Found(Found),
}

/// One change of what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The relay knows this device as a device of this account.
    Account(AccountInfo),
    /// The incarnation of the relay's store that the cursors agree with.
    LogId(LogId),
    /// No message gets a number below this any more.
    NextCounter(Counter),
    /// A conversation as the relay describes it; new or changed.
    Conversation(Box<ConversationInfo>),
    /// The person has read up to here.
    Read(ConversationId, Seq),
    /// What the person is writing; empty if nothing.
    Draft(ConversationId, String),
    /// New records. One that is stored already stays as it is.
    Records(ConversationId, Vec<StoredRecord>),
    /// What is stored without gaps; replaces what was said before.
    Intervals(ConversationId, Vec<Interval>),
    /// The body of this record goes, its digest stays, if the record has this name.
    Erase(ConversationId, Seq, MessageId),
    /// Records above this place belong to another history: they move aside, they are not lost.
    Fork(ConversationId, Seq),
    /// A message of this device, new or changed.
    Outbox(OutboxRow),
    /// Its record is in the history, or the person dismissed it.
    OutboxGone(LocalId),
    /// A person's label.
    Person(AccountInfo),
    /// Whose device it is.
    Device(DeviceInfo),
    /// First contact with a name, or the person's word that it changed hands.
    Pin(Pin),
}

/// A look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// The chain at a place, computed from the stored records.
    ChainAt(ConversationId, Seq),
    /// Records above a place that this device made and whose bodies are still there.
    OwnAbove(ConversationId, Seq, DeviceId),
    /// The chain at the end of a stretch, hashed anew from its beginning over every record.
    Rehash(ConversationId, Interval),
}

/// The answer to a [`Query`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The chain there; `None` if the place is not stored.
    Chain(Option<Digest>),
    /// How many records are above the place, and those of this device among them.
    Own {
        /// All of them, whoever made them.
        above: u64,
        /// This device's own.
        records: Vec<StoredRecord>,
    },
}

/// Everything the engine needs to start: all but the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The account, once the relay has confirmed it.
    pub account: Option<AccountInfo>,
    /// The incarnation of the relay's store that the cursors agree with.
    pub log_id: Option<LogId>,
    /// The next message's number, at least.
    pub next_counter: Counter,
    /// The next outbox row's name.
    pub next_local: LocalId,
    /// Every conversation, by id.
    pub conversations: Vec<StoredConversation>,
    /// The outbox, oldest first.
    pub outbox: Vec<OutboxRow>,
    /// People's labels, by account.
    pub people: Vec<AccountInfo>,
    /// Whose devices are whose, by device.
    pub devices: Vec<DeviceInfo>,
    /// Names met so far.
    pub pins: Vec<Pin>,
}

/// Why the store could not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreFailure {
    /// The disk is full. Passes when somebody makes room; nothing was changed.
    #[error("the disk is full")]
    Full,
    /// Another build wrote it. Install that one.
    #[error("the store has schema {found}, this build knows up to {known}")]
    Newer {
        /// What the file says.
        found: u32,
        /// What this build writes.
        known: u32,
    },
    /// A row that this program wrote cannot be read back.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The disk or the file system failed.
    #[error("the store cannot be used: {0}")]
    Unusable(String),
}
