//! The relay's disk, behind a narrow synchronous contract.
//!
//! A commit appends one journal row with all its ops: that sync is the promise behind *sent*. A
//! later, bounded step moves journal rows into per-conversation segments and tables. Loading reads
//! the tables and replays the journal's tail. `memory` is the twin that makes simulation cheap;
//! one contract suite (`tests/store_contract.rs`) keeps both honest.

pub mod memory;
pub mod sqlite;
mod stored_run;
mod tail;

use std::path::Path;

use protocol::{
    ids::{ConversationId, Digest, Seq},
    message::record::Run,
};

use crate::hub::{op::Op, state::State};

/// A batch of ops that becomes durable together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Contiguous from 1 over the life of the store.
    pub number: u64,
    /// What happened, in order.
    pub ops: Vec<Op>,
}

/// What start-up needs.
#[derive(Debug)]
pub struct Loaded {
    /// The state after the last commit.
    pub state: State,
    /// The number of the last commit; 0 if there is none.
    pub number: u64,
}

/// Where the durable state lives. Calls block; the committer, the indexer and the readers have
/// threads of their own, the simulation calls it directly.
pub trait Store: Send {
    /// The state after the last commit. Also the way back after a failed one.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read, or what is on it is damaged or of a newer version.
    fn load(&mut self) -> Result<Loaded, StoreError>;

    /// Makes a commit durable. When it returns `Ok`, a power cut does not undo it.
    ///
    /// # Errors
    ///
    /// [`CommitError::Full`] if certainly nothing was written, [`CommitError::Ambiguous`] if it
    /// may have been: reload before going on.
    fn commit(&mut self, commit: &Commit) -> Result<(), CommitError>;

    /// An independent way to read logs, for one reader thread.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    fn reader(&self) -> Result<Box<dyn Reader>, StoreError>;

    /// The part that moves journal rows into segments and tables, for its own thread.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    fn indexer(&self) -> Result<Box<dyn Indexer>, StoreError>;

    /// The part that copies the store while the relay runs, for a thread of its own: a copy takes
    /// as long as the history is large, and commits do not wait for it.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    fn archiver(&self) -> Result<Box<dyn Archiver>, StoreError>;
}

/// Reads committed records, indexed or not.
pub trait Reader: Send {
    /// Runs that cover `from..=to`, oldest first, cut at records: at most `bytes_max` bytes of
    /// records, but at least one record if there is one. Records that are trimmed are absent;
    /// erased ones have no body.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    fn runs(
        &mut self,
        conversation: ConversationId,
        from: Seq,
        to: Seq,
        bytes_max: usize,
    ) -> Result<Vec<Run<'static>>, StoreError>;

    /// The newest runs that end at `to`, or at the head if that is lower, oldest first: a page of
    /// history. At most `count` records and `bytes_max` bytes of records, but at least one record
    /// if there is one and `count` is not zero.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    fn page(
        &mut self,
        conversation: ConversationId,
        to: Seq,
        count: u32,
        bytes_max: usize,
    ) -> Result<Vec<Run<'static>>, StoreError>;

    /// The chain after `seq`: known from just before the first record still kept up to the head,
    /// `None` elsewhere. For `seq` zero the conversation's start, always.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    fn chain_at(
        &mut self,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<Option<Digest>, StoreError>;
}

/// Moves journal rows into segments and tables. A step costs by the conversations it touches more
/// than by the records, so its thread lets a tenth of a second pass after [`Progress::Idle`].
pub trait Indexer: Send {
    /// Moves a bounded number of rows; says whether there is more to do.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read or written; the rows stay in the journal.
    fn step(&mut self) -> Result<Progress, StoreError>;
}

/// Copies a store.
pub trait Archiver: Send {
    /// Writes a consistent copy of everything committed when it is called, and perhaps of some
    /// commits after that, to a new file.
    ///
    /// # Errors
    ///
    /// If the file exists or cannot be written; then nothing is left of it.
    fn backup(&mut self, to: &Path) -> Result<(), StoreError>;
}

/// Whether a step left anything to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The journal may have enough rows for another whole step.
    More,
    /// Everything that was there is indexed. What has come since is better left to gather: a step
    /// costs the same for one record of a conversation as for many.
    CaughtUp,
    /// There was nothing to do.
    Idle,
}

/// Why a commit did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing was written and reading goes on: disk full, quota, read-only.
    #[error("the store takes no writes: {0}")]
    Full(String),
    /// It is not known whether the commit is on the disk.
    #[error("the outcome of a commit is unknown: {0}")]
    Ambiguous(String),
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A later version wrote it.
    #[error(
        "the data directory was written by a newer version (schema {found}, this build knows {known})"
    )]
    Newer {
        /// Its schema.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Another process uses it.
    #[error("another relay uses the data directory {0}")]
    InUse(String),
    /// The operating system or the database said no.
    #[error("{0}")]
    Failed(String),
    /// The content contradicts itself.
    #[error("the data directory is damaged: {0}")]
    Damaged(String),
}
