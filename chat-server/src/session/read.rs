//! What a session needs from the store, and carrying it out on a reader.

use protocol::{
    ids::{ConversationId, Digest, Seq},
    limits::BATCH_BYTES_TARGET,
    message::{
        record::Run,
        session::{Follow, Pull},
    },
};

use crate::store::{Reader, StoreError};

/// Bytes of records one read fetches for a session that has fallen out of the tail: a few packets,
/// so that the store is not asked for each.
const RUNS_BYTES_MAX: usize = 4 * BATCH_BYTES_TARGET;

/// A question to the store. A session has at most one outstanding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The chains that decide where and whether a stream begins.
    Start {
        /// What the client asked for; its own chain is checked at `after`, unless that is zero.
        follow: Follow,
        /// The stream begins just above this.
        before: Seq,
    },
    /// Records past a session's cursor.
    Runs {
        /// Which.
        conversation: ConversationId,
        /// First.
        from: Seq,
        /// Last.
        to: Seq,
    },
    /// A page of history.
    Page {
        /// What the client asked for.
        pull: Pull,
        /// Its last record.
        to: Seq,
        /// At most this many, none of which the session may not see.
        count: u32,
        /// The first record the session can have at all.
        base: Seq,
    },
    /// The chain after a record.
    ChainAt {
        /// The request's.
        id: u32,
        /// Which.
        conversation: ConversationId,
        /// After which record.
        seq: Seq,
    },
}

/// The store's answer to the [`Read`] of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadAnswer {
    /// To [`Read::Start`]. `None` where the chain is no longer known.
    Start {
        /// The chain the client should have.
        at_after: Option<Digest>,
        /// The chain before the stream.
        before: Option<Digest>,
    },
    /// To [`Read::Runs`].
    Runs(Vec<Run<'static>>),
    /// To [`Read::Page`].
    Page {
        /// The records.
        runs: Vec<Run<'static>>,
        /// The chain before the first.
        chain: Option<Digest>,
    },
    /// To [`Read::ChainAt`].
    ChainAt(Option<Digest>),
}

impl Read {
    /// Carries the question out; blocks.
    ///
    /// # Errors
    ///
    /// If the store cannot be read. Give the error to the session all the same.
    pub fn perform(&self, reader: &mut dyn Reader) -> Result<ReadAnswer, StoreError> {
        match self {
            Self::Start { follow, before } => {
                let conversation = follow.conversation;
                let at_after = match follow.after {
                    Seq::ZERO => None,
                    after => reader.chain_at(conversation, after)?,
                };
                let before = reader.chain_at(conversation, *before)?;
                Ok(ReadAnswer::Start { at_after, before })
            }
            Self::Runs { conversation, from, to } => {
                reader.runs(*conversation, *from, *to, RUNS_BYTES_MAX).map(ReadAnswer::Runs)
            }
            Self::Page { pull, to, count, .. } => {
                let runs = reader.page(pull.conversation, *to, *count, BATCH_BYTES_TARGET)?;
                let chain = match runs.first() {
                    Some(run) => reader.chain_at(pull.conversation, run.first.minus(1))?,
                    None => None,
                };
                Ok(ReadAnswer::Page { runs, chain })
            }
            Self::ChainAt { conversation, seq, .. } => {
                reader.chain_at(*conversation, *seq).map(ReadAnswer::ChainAt)
            }
        }
    }
}
