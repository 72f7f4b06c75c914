//! The journal's tail: commits that are durable but not indexed yet, held in memory so that
//! readers see them and the indexer need not read them back.
//!
//! A conversation's records up to some place are in the segments, everything above is here. The
//! indexer makes the segments durable first and prunes the tail after; a reader looks at the tail
//! first and at the segments after. So every record is found, and the reader cuts what it finds in
//! both.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use protocol::ids::{ConversationId, Digest, MessageId, Seq};

use super::{StoreError, stored_run::StoredRun, stored_run::damaged};
use crate::hub::op::{Appended, Op};

/// Commits not indexed yet, and the logs they changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    commits: VecDeque<TailCommit>,
    logs: BTreeMap<ConversationId, TailLog>,
    bytes: usize,
}

/// One commit that waits for the indexer.
#[derive(Clone, Debug)]
pub(super) struct TailCommit {
    pub(super) number: u64,
    pub(super) ops: Arc<[Op]>,
    /// Bytes of its records.
    pub(super) bytes: usize,
    /// Whether it removes something that should not lie around in the journal.
    pub(super) erases: bool,
}

/// What the tail knows of one conversation.
#[derive(Clone, Debug, Default)]
struct TailLog {
    /// With the number of their commit, ascending.
    runs: VecDeque<(u64, TailRun)>,
    erased: VecDeque<(u64, (Seq, MessageId))>,
    trimmed: VecDeque<(u64, Seq)>,
}

/// A run with the chain around it.
#[derive(Clone, Debug)]
pub(super) struct TailRun {
    pub(super) run: StoredRun,
    pub(super) chain_before: Digest,
    pub(super) chain_after: Digest,
}

/// What a reader has to know of the tail: a copy, so that the lock is not held while it reads.
#[derive(Debug, Default)]
pub(super) struct TailView {
    /// Contiguous and blanked; empty if the tail has no records that are wanted.
    pub(super) runs: Vec<StoredRun>,
    /// Where the tail begins: the segments count only below this.
    pub(super) start: Option<Seq>,
    /// What commits not indexed yet erased, wherever it is.
    pub(super) erased: BTreeSet<(Seq, MessageId)>,
    /// The first record still kept, if a commit not indexed yet moved it.
    pub(super) first: Option<Seq>,
}

impl TailRun {
    /// The chain after `seq`, which is in the run or just before it.
    pub(super) fn chain_at(
        &self,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<Digest, StoreError> {
        if seq == self.run.last() {
            return Ok(self.chain_after);
        }
        self.run.chain_at(conversation, self.chain_before, seq).map_err(damaged(conversation))
    }
}

impl Tail {
    /// Adds a commit that has become durable.
    pub(super) fn push(&mut self, number: u64, ops: Arc<[Op]>) {
        let mut bytes = 0;
        let mut erases = false;
        for op in ops.iter() {
            match op {
                Op::Appended(appended) => {
                    bytes += appended.records.len();
                    let run = TailRun {
                        run: StoredRun::of(appended),
                        chain_before: appended.chain_before,
                        chain_after: appended.chain_after,
                    };
                    self.log(appended.conversation).runs.push_back((number, run));
                }
                Op::Erased { conversation, seq, id } => {
                    erases = true;
                    self.log(*conversation).erased.push_back((number, (*seq, *id)));
                }
                Op::Trimmed { conversation, first } => {
                    erases = true;
                    self.log(*conversation).trimmed.push_back((number, *first));
                }
                Op::Registered(_)
                | Op::Renamed { .. }
                | Op::NameReleased { .. }
                | Op::Administrator { .. }
                | Op::Blocked { .. }
                | Op::Opened(_)
                | Op::Member { .. }
                | Op::Topic { .. }
                | Op::Access { .. }
                | Op::Banned { .. }
                | Op::Unbanned { .. }
                | Op::Marked { .. }
                | Op::Refused { .. }
                | Op::Renewed { .. } => {}
            }
        }
        self.bytes += bytes;
        self.commits.push_back(TailCommit { number, ops, bytes, erases });
    }

    /// Forgets every commit up to `number`, now that it is indexed.
    pub(super) fn prune(&mut self, number: u64) {
        while self.commits.front().is_some_and(|commit| commit.number <= number) {
            let Some(commit) = self.commits.pop_front() else { break };
            self.bytes -= commit.bytes;
            for op in commit.ops.iter() {
                let (Op::Appended(Appended { conversation, .. })
                | Op::Erased { conversation, .. }
                | Op::Trimmed { conversation, .. }) = op
                else {
                    continue;
                };
                if let Some(log) = self.logs.get_mut(conversation)
                    && log.prune(number)
                {
                    self.logs.remove(conversation);
                }
            }
        }
    }

    /// The oldest commits above `number`: at least one if there is one, then more while they have
    /// at most `bytes_max` bytes and `count_max` commits together.
    pub(super) fn oldest(
        &self,
        number: u64,
        count_max: usize,
        bytes_max: usize,
    ) -> Vec<TailCommit> {
        let mut bytes = 0;
        let mut oldest = Vec::new();
        for commit in self.commits.iter().filter(|commit| commit.number > number) {
            bytes += commit.bytes;
            if !oldest.is_empty() && (bytes > bytes_max || oldest.len() >= count_max) {
                break;
            }
            oldest.push(commit.clone());
        }
        oldest
    }

    /// Bytes of the records it holds.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What a reader needs that goes up from `from` to `to`, until it has `bytes_max` bytes.
    pub(super) fn view_up(
        &self,
        conversation: ConversationId,
        from: Seq,
        to: Seq,
        bytes_max: usize,
    ) -> TailView {
        let Some(log) = self.logs.get(&conversation) else { return TailView::default() };
        log.view(from, to, bytes_max)
    }

    /// What a reader needs that goes down from `to`, for `count` records.
    pub(super) fn view_down(&self, conversation: ConversationId, to: Seq, count: u32) -> TailView {
        let Some(log) = self.logs.get(&conversation) else { return TailView::default() };
        let head = log.runs.back().map_or(Seq::ZERO, |(_, run)| run.run.last());
        let to = to.min(head);
        log.view(to.minus(u64::from(count)), to, usize::MAX)
    }

    /// The run to hash from for the chain after `seq`: it holds `seq`, or begins just above it.
    pub(super) fn around(&self, conversation: ConversationId, seq: Seq) -> Option<TailRun> {
        let runs = &self.logs.get(&conversation)?.runs;
        let index = runs.partition_point(|(_, run)| run.run.last() < seq);
        let (_, run) = runs.get(index)?;
        (run.run.first <= seq.next()).then(|| run.clone())
    }

    /// The first record still kept, if a commit not indexed yet moved it.
    pub(super) fn first(&self, conversation: ConversationId) -> Option<Seq> {
        self.logs.get(&conversation)?.first()
    }

    fn log(&mut self, conversation: ConversationId) -> &mut TailLog {
        self.logs.entry(conversation).or_default()
    }
}

impl TailLog {
    fn view(&self, from: Seq, to: Seq, bytes_max: usize) -> TailView {
        let erased: BTreeSet<_> = self.erased.iter().map(|(_, erased)| *erased).collect();
        let mut runs: Vec<StoredRun> = Vec::new();
        let mut bytes = 0;
        let skipped = self.runs.partition_point(|(_, run)| run.run.last() < from);
        for (_, run) in self.runs.range(skipped..) {
            if run.run.first > to || bytes > bytes_max {
                break;
            }
            let run = run.run.blanked(&erased);
            if run.first >= from {
                bytes += run.records.len();
            }
            runs.push(run);
        }
        let start = self.runs.front().map(|(_, run)| run.run.first);
        TailView { runs, start, erased, first: self.first() }
    }

    fn first(&self) -> Option<Seq> {
        self.trimmed.iter().map(|(_, first)| *first).max()
    }

    /// Forgets what commits up to `number` did; true if nothing is left.
    fn prune(&mut self, number: u64) -> bool {
        fn drop_front<T>(queue: &mut VecDeque<(u64, T)>, number: u64) {
            while queue.front().is_some_and(|(of, _)| *of <= number) {
                queue.pop_front();
            }
        }
        drop_front(&mut self.runs, number);
        drop_front(&mut self.erased, number);
        drop_front(&mut self.trimmed, number);
        self.runs.is_empty() && self.erased.is_empty() && self.trimmed.is_empty()
    }
}
