//! The batch that is filling, and what becomes of it: a commit for the store, a publication for
//! the shards, answers that wait for the sync, and the inputs to do again if it fails.

use std::{collections::BTreeMap, sync::Arc};

use protocol::{
    ids::{AccountId, ConversationId, Digest, Seq},
    message::{
        record::{Content, Record, chain_next},
        session::{Accepted, Follow},
    },
    time::WallTime,
};

use super::{
    io::{Input, Output, Publication, SessionId},
    log::OpenRun,
    op::{Decision, Op},
    progress::PendingMark,
    state::Conversation,
};

/// What accumulates until the commit before it is done.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Facts beside records. They commute with the records of the same batch, so they go first.
    pub(super) ops: Vec<Op>,
    /// Facts about records: after them.
    late_ops: Vec<Op>,
    runs: Vec<OpenRun>,
    /// The first run of a conversation and the one that grows, as indices.
    growing: BTreeMap<ConversationId, (usize, usize)>,
    messages: u32,
    bytes: usize,
    pub(super) pledge: Pledge,
}

/// What is owed once a batch is durable, and what to do again if it is not.
#[derive(Debug, Default)]
pub(super) struct Pledge {
    /// Answers computed against state that this batch makes durable.
    pub(super) held: Vec<Held>,
    /// The inputs behind them, in order.
    pub(super) inputs: Vec<Input>,
    /// Sessions that attached meanwhile.
    pub(super) attached: Vec<SessionId>,
    /// Memberships that changed.
    pub(super) members: Vec<(ConversationId, AccountId)>,
    /// Marks that ride along.
    pub(super) marks: Vec<PendingMark>,
    /// Logs that grew, with the first new record.
    pub(super) grown: BTreeMap<ConversationId, Seq>,
}

/// An answer that waits. The frequent ones are small.
#[derive(Debug)]
pub(super) enum Held {
    /// A message is durable.
    Accepted(SessionId, Accepted),
    /// A follow: the head is filled in when it is let go.
    Follow { session: SessionId, follow: Follow, visible: (Seq, Option<Seq>) },
    /// Anything else.
    Other(Box<Output>),
}

/// A batch on its way to the disk.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) publication: Arc<Publication>,
    pub(super) pledge: Pledge,
}

impl Batch {
    /// True if there is nothing to commit.
    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.late_ops.is_empty() && self.runs.is_empty()
    }

    /// Messages in it.
    pub(super) const fn messages(&self) -> u32 {
        self.messages
    }

    /// Bytes of records in it.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a record to a conversation's log; its place and time. The conversation itself
    /// advances with it.
    pub(super) fn append(
        &mut self,
        id: ConversationId,
        conversation: &mut Conversation,
        wall: WallTime,
        record: &Record<'_>,
        envelope_hash: &Digest,
        decision: impl FnOnce(Seq) -> Option<Decision>,
    ) -> (Seq, WallTime) {
        let seq = conversation.head.next();
        let runs = &mut self.runs;
        let (_, index) = self.growing.entry(id).or_insert((runs.len(), usize::MAX));
        if runs.get(*index).is_none_or(OpenRun::is_full) {
            *index = runs.len();
            let time = wall.max(conversation.time);
            runs.push(OpenRun::new(id, seq, time, conversation.chain));
        }
        let run = &mut runs[*index];
        let chain = chain_next(&conversation.chain, seq, envelope_hash);
        let decision = decision(seq);
        let body_bytes = match &record.content {
            Content::Body(body) => body.len(),
            Content::Erased(_) => 0,
        };
        self.bytes += record.envelope.len() + body_bytes;
        self.messages += 1;
        run.push(record, chain, decision);
        conversation.advance(seq, chain, run.time());
        if let Some(decision) = &decision {
            conversation.decide(decision);
        }
        (seq, run.time())
    }

    /// A fact that has to follow the batch's records.
    pub(super) fn push_late(&mut self, op: Op) {
        self.late_ops.push(op);
    }

    /// The published head of a conversation that this batch extends, if it does.
    pub(super) fn head_before(&self, conversation: ConversationId) -> Option<(Seq, Digest)> {
        let (first, _) = self.growing.get(&conversation)?;
        let run = self.runs.get(*first)?;
        Some((run.first().minus(1), run.chain_before()))
    }

    /// Ends the batch: the ops for the journal, and what is owed after the sync.
    pub(super) fn seal(self) -> (Vec<Op>, InFlight) {
        let Self { mut ops, late_ops, runs, mut pledge, .. } = self;
        let mut publication = Publication::default();
        for run in runs {
            let (appended, published) = run.finish();
            pledge.grown.entry(published.conversation).or_insert(published.first);
            publication.runs.push(published);
            ops.push(Op::Appended(appended));
        }
        for op in &late_ops {
            match op {
                Op::Erased { conversation, seq, id } => {
                    publication.erased.push((*conversation, *seq, *id));
                }
                Op::Trimmed { conversation, first } => {
                    publication.trimmed.push((*conversation, *first));
                }
                _ => unreachable!("only facts about records are late"),
            }
        }
        ops.extend(late_ops);
        (ops, InFlight { publication: Arc::new(publication), pledge })
    }

    /// Gives up the batch, keeping what is owed.
    pub(super) fn abandon(mut self) -> Pledge {
        for run in &self.runs {
            self.pledge.grown.entry(run.conversation()).or_insert(run.first());
        }
        self.pledge
    }
}
