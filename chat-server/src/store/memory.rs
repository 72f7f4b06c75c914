//! The twin without a disk: the same contract, in memory, for the simulation and for tests.
//!
//! A [`MemoryDisk`] is what would be on the disk. It outlives the [`MemoryStore`]s opened on it:
//! dropping a store is a crash of the relay, opening another is its restart. A test decides when
//! rows are indexed, which commit fails and how, and can put an older copy back.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use protocol::{
    ids::{ConversationId, Digest, LogId, MessageId, Seq},
    message::record::{Run, chain_start},
};

use super::{
    Archiver, Commit, CommitError, Indexer, Loaded, Progress, Reader, Store, StoreError,
    stored_run::{Ascending, Descending, StoredRun, damaged},
    tail::Tail,
};
use crate::hub::{
    op::{Appended, Op},
    state::State,
};

/// What survives a crash. Clones are handles to the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<Disk>>);

/// How the next commit goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// [`CommitError::Full`]; nothing is written.
    Full,
    /// [`CommitError::Ambiguous`], and it is on the disk.
    AmbiguousApplied,
    /// [`CommitError::Ambiguous`], and it is not on the disk.
    AmbiguousLost,
}

/// A copy of a disk, to be put back later.
#[derive(Clone, Debug)]
pub struct Snapshot(Disk);

/// A [`Store`] on a [`MemoryDisk`].
#[derive(Debug)]
pub struct MemoryStore {
    disk: MemoryDisk,
    /// After an ambiguous commit nothing is known until the next load.
    is_uncertain: bool,
}

/// Journal rows beyond `indexed_upto` are in the tail; the rest is in the tables.
#[derive(Clone, Debug, Default)]
struct Disk {
    indexed_upto: u64,
    tables: State,
    logs: BTreeMap<ConversationId, Log>,
    journal: VecDeque<Commit>,
    tail: Tail,
    next_failure: Option<Failure>,
}

/// A conversation's indexed records.
#[derive(Clone, Debug)]
struct Log {
    /// First record still kept.
    first: Seq,
    /// With the chain before each, by their first place.
    runs: BTreeMap<Seq, (StoredRun, Digest)>,
    /// Newest indexed record and the chain after it.
    head: (Seq, Digest),
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a relay's store on it.
    pub fn open(&self) -> MemoryStore {
        MemoryStore { disk: self.clone(), is_uncertain: false }
    }

    /// Makes the next commit fail.
    pub fn fail_next(&self, failure: Failure) {
        self.lock().next_failure = Some(failure);
    }

    /// Takes a failure back that was asked for and has not happened.
    pub fn heal(&self) {
        self.lock().next_failure = None;
    }

    /// A copy of everything durable.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.lock().clone())
    }

    /// Puts an older copy back, as restoring a backup does: the log gets a new id. Stores that
    /// were open on the disk must not be used any more.
    pub fn restore(&self, snapshot: &Snapshot, log_id: LogId) {
        let mut disk = snapshot.0.clone();
        disk.next_failure = None;
        disk.append(&Commit { number: disk.number() + 1, ops: vec![Op::Renewed { log_id }] });
        *self.lock() = disk;
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        // A panic elsewhere cannot leave a disk half changed that anybody still looks at.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot {
    /// A disk of its own with this content: what another machine would find after a crash.
    pub fn into_disk(self) -> MemoryDisk {
        MemoryDisk(Arc::new(Mutex::new(self.0)))
    }
}

impl Disk {
    fn number(&self) -> u64 {
        self.journal.back().map_or(self.indexed_upto, |commit| commit.number)
    }

    fn append(&mut self, commit: &Commit) {
        self.tail.push(commit.number, commit.ops.clone().into());
        self.journal.push_back(commit.clone());
    }

    fn index(&mut self, op: &Op) -> Result<(), StoreError> {
        self.tables.apply(op);
        match op {
            Op::Opened(opened) => {
                self.logs.insert(opened.conversation, Log::new(opened.conversation));
            }
            Op::Appended(appended) => {
                if let Some(log) = self.logs.get_mut(&appended.conversation) {
                    log.append(appended);
                }
            }
            Op::Erased { conversation, seq, id } => {
                if let Some(log) = self.logs.get_mut(conversation) {
                    log.erase(*seq, *id);
                }
            }
            Op::Trimmed { conversation, first } => {
                if let Some(log) = self.logs.get_mut(conversation) {
                    log.trim(*conversation, *first)?;
                }
            }
            Op::Registered(_)
            | Op::Renamed { .. }
            | Op::NameReleased { .. }
            | Op::Administrator { .. }
            | Op::Blocked { .. }
            | Op::Member { .. }
            | Op::Topic { .. }
            | Op::Access { .. }
            | Op::Banned { .. }
            | Op::Unbanned { .. }
            | Op::Marked { .. }
            | Op::Refused { .. }
            | Op::Renewed { .. } => {}
        }
        Ok(())
    }

    fn first(&self, conversation: ConversationId) -> Seq {
        let indexed = self.logs.get(&conversation).map_or(Seq::FIRST, |log| log.first);
        self.tail.first(conversation).map_or(indexed, |first| first.max(indexed))
    }
}

impl Log {
    fn new(conversation: ConversationId) -> Self {
        let head = (Seq::ZERO, chain_start(conversation));
        Self { first: Seq::FIRST, runs: BTreeMap::new(), head }
    }

    fn append(&mut self, appended: &Appended) {
        let run = StoredRun::of(appended);
        self.head = (run.last(), appended.chain_after);
        self.runs.insert(run.first, (run, appended.chain_before));
    }

    fn erase(&mut self, seq: Seq, id: MessageId) {
        if let Some((_, (run, _))) = self.runs.range_mut(..=seq).next_back() {
            *run = run.blanked(&[(seq, id)].into());
        }
    }

    fn trim(&mut self, conversation: ConversationId, first: Seq) -> Result<(), StoreError> {
        self.first = first;
        let kept = self.runs.split_off(&first);
        let below = std::mem::replace(&mut self.runs, kept);
        if let Some((run, before)) = below.into_values().next_back()
            && let Some(rest) = run.cut(first, run.last()).map_err(damaged(conversation))?
        {
            let chain = run
                .chain_at(conversation, before, first.minus(1))
                .map_err(damaged(conversation))?;
            self.runs.insert(first, (rest, chain));
        }
        Ok(())
    }

    /// Runs from the one that may hold `seq` on.
    fn from(&self, seq: Seq) -> impl Iterator<Item = &(StoredRun, Digest)> {
        let start = self.runs.range(..=seq).next_back().map_or(seq, |(first, _)| *first);
        self.runs.range(start..).map(|(_, run)| run)
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.is_uncertain = false;
        let disk = self.disk.lock();
        let mut state = disk.tables.clone();
        for op in disk.journal.iter().flat_map(|commit| &commit.ops) {
            state.apply(op);
        }
        Ok(Loaded { state, number: disk.number() })
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), CommitError> {
        let mut disk = self.disk.lock();
        if self.is_uncertain {
            return Err(CommitError::Ambiguous("an earlier outcome is unknown".into()));
        }
        assert_eq!(commit.number, disk.number() + 1, "commits are contiguous");
        match disk.next_failure.take() {
            None => {
                disk.append(commit);
                Ok(())
            }
            Some(Failure::Full) => Err(CommitError::Full("asked for by a test".into())),
            Some(failure @ (Failure::AmbiguousApplied | Failure::AmbiguousLost)) => {
                if failure == Failure::AmbiguousApplied {
                    disk.append(commit);
                }
                self.is_uncertain = true;
                Err(CommitError::Ambiguous("asked for by a test".into()))
            }
        }
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(MemoryReader(self.disk.clone())))
    }

    fn indexer(&self) -> Result<Box<dyn Indexer>, StoreError> {
        Ok(Box::new(MemoryIndexer(self.disk.clone())))
    }

    fn archiver(&self) -> Result<Box<dyn Archiver>, StoreError> {
        Ok(Box::new(MemoryArchiver))
    }
}

/// Indexes one commit per step.
struct MemoryIndexer(MemoryDisk);

impl Indexer for MemoryIndexer {
    fn step(&mut self) -> Result<Progress, StoreError> {
        let mut disk = self.0.lock();
        if let Some(commit) = disk.journal.pop_front() {
            for op in &commit.ops {
                disk.index(op)?;
            }
            disk.indexed_upto = commit.number;
            disk.tail.prune(commit.number);
        }
        Ok(if disk.journal.is_empty() { Progress::Idle } else { Progress::More })
    }
}

struct MemoryReader(MemoryDisk);

impl Reader for MemoryReader {
    fn runs(
        &mut self,
        conversation: ConversationId,
        from: Seq,
        to: Seq,
        bytes_max: usize,
    ) -> Result<Vec<Run<'static>>, StoreError> {
        let disk = self.0.lock();
        let from = from.max(disk.first(conversation));
        let view = disk.tail.view_up(conversation, from, to, bytes_max);
        let mut found = Ascending::new(from, to, bytes_max);
        if let Some(log) = disk.logs.get(&conversation) {
            for (run, _) in log.from(from) {
                if found.wanted().is_none() {
                    break;
                }
                let run = run.blanked(&view.erased);
                found.take(&run).map_err(damaged(conversation))?;
            }
        }
        for run in &view.runs {
            found.take(run).map_err(damaged(conversation))?;
        }
        Ok(found.into_runs())
    }

    fn page(
        &mut self,
        conversation: ConversationId,
        to: Seq,
        count: u32,
        bytes_max: usize,
    ) -> Result<Vec<Run<'static>>, StoreError> {
        let disk = self.0.lock();
        let view = disk.tail.view_down(conversation, to, count);
        let mut found = Descending::new(disk.first(conversation), to, count, bytes_max);
        for run in view.runs.iter().rev() {
            found.take(run).map_err(damaged(conversation))?;
        }
        if let Some(log) = disk.logs.get(&conversation) {
            for (run, _) in log.runs.range(..=to).rev().map(|(_, run)| run) {
                if found.wanted().is_none() {
                    break;
                }
                let run = run.blanked(&view.erased);
                found.take(&run).map_err(damaged(conversation))?;
            }
        }
        Ok(found.into_runs())
    }

    fn chain_at(
        &mut self,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<Option<Digest>, StoreError> {
        if seq == Seq::ZERO {
            return Ok(Some(chain_start(conversation)));
        }
        let disk = self.0.lock();
        if seq < disk.first(conversation).minus(1) {
            return Ok(None);
        }
        if let Some(around) = disk.tail.around(conversation, seq) {
            return around.chain_at(conversation, seq).map(Some);
        }
        let Some(log) = disk.logs.get(&conversation) else { return Ok(None) };
        if seq == log.head.0 {
            return Ok(Some(log.head.1));
        }
        let Some((run, before)) = log.from(seq).next().filter(|_| seq < log.head.0) else {
            return Ok(None);
        };
        run.chain_at(conversation, *before, seq).map(Some).map_err(damaged(conversation))
    }
}

/// There is no file to copy; [`MemoryDisk::snapshot`] is the copy.
struct MemoryArchiver;

impl Archiver for MemoryArchiver {
    fn backup(&mut self, _to: &Path) -> Result<(), StoreError> {
        Err(StoreError::Failed("a store in memory has no backup".into()))
    }
}
