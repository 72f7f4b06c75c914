//! Moves commits from the journal's tail into tables and segments, a bounded number at a time,
//! and keeps both write-ahead logs short. All of it on a thread and connections of its own.

use std::{sync::Arc, time::Duration};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{
    Shared,
    overlay::Overlay,
    schema::{self, Database, Purpose, sql},
    segments::{self, LogChanges},
    tables,
};
use crate::{
    hub::op::Op,
    store::{Indexer, Progress, StoreError, tail::TailCommit},
};

/// Commits that one step indexes at most, and bytes of records, beyond the first commit. A step
/// ends in a sync that competes with those of the commits: small steps keep that short, large ones
/// write each row less often.
const STEP_COMMITS_MAX: usize = 1024;
/// See [`STEP_COMMITS_MAX`].
const STEP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Steps between two checkpoints of the tables.
const STEPS_PER_CHECKPOINT: u32 = 8;
/// Bytes written to the journal's log between two checkpoints. The log starts over after one, and
/// to overwrite a file is faster than to let it grow: only the data have to be synced.
const JOURNAL_CHECKPOINT_BYTES: u64 = 4 * 1024 * 1024;
/// Above this, commits wait while a checkpoint catches up: only then can the log start over.
const JOURNAL_WAL_PAGES_MAX: u32 = 8 * 1024;

/// The only writer of the tables.
pub(super) struct SqliteIndexer {
    shared: Arc<Shared>,
    tables: Connection,
    journal: Connection,
    overlay: Overlay,
    indexed_upto: u64,
    steps_since_checkpoint: u32,
    /// Rows up to here hold what should not lie around: they are deleted without waiting for a
    /// later commit to do it.
    purge_upto: u64,
}

impl SqliteIndexer {
    pub(super) fn open(shared: Arc<Shared>) -> Result<Self, StoreError> {
        let durability = shared.durability;
        let tables =
            schema::open(&shared.dir.tables(), Database::Tables, Purpose::Write, durability)?;
        let journal =
            schema::open(&shared.dir.journal(), Database::Journal, Purpose::Write, durability)?;
        // What deletes here must never make a commit wait for long, and can be done later.
        journal.busy_timeout(Duration::ZERO).map_err(sql)?;
        let (indexed_upto, _) = tables::meta(&tables).map_err(sql)?;
        shared.claim_indexer()?;
        Ok(Self {
            shared,
            tables,
            journal,
            overlay: Overlay::default(),
            indexed_upto,
            steps_since_checkpoint: 0,
            purge_upto: 0,
        })
    }

    fn index(&mut self, commits: &[TailCommit], upto: u64) -> Result<(), StoreError> {
        let transaction = Transaction::new_unchecked(&self.tables, TransactionBehavior::Immediate)
            .map_err(sql)?;
        let mut logs = LogChanges::default();
        for op in commits.iter().flat_map(|commit| commit.ops.iter()) {
            self.overlay.apply(&transaction, op).map_err(sql)?;
            index_log(&mut logs, &self.overlay, &transaction, op)?;
        }
        self.overlay.write(&transaction, upto).map_err(sql)?;
        logs.write(&transaction)?;
        segments::sweep(&transaction)?;
        transaction.commit().map_err(sql)
    }

    /// Deletes journal rows of erased messages now, and empties the logs that still show them.
    fn purge(&mut self) -> Result<(), StoreError> {
        if self.purge_upto == 0 {
            return Ok(());
        }
        {
            let _no_commit = self.shared.gate();
            if self.shared.is_deletion_held() {
                return Ok(());
            }
            let upto = self.purge_upto.cast_signed();
            self.journal.execute("DELETE FROM journal WHERE number <= ?1", [upto]).map_err(sql)?;
        }
        self.purge_upto = 0;
        checkpoint(&self.tables, "TRUNCATE")?;
        let _no_commit = self.shared.gate();
        checkpoint(&self.journal, "TRUNCATE")?;
        Ok(())
    }

    fn checkpoint_tables(&mut self) -> Result<(), StoreError> {
        self.steps_since_checkpoint += 1;
        if self.steps_since_checkpoint >= STEPS_PER_CHECKPOINT {
            self.steps_since_checkpoint = 0;
            checkpoint(&self.tables, "PASSIVE")?;
        }
        Ok(())
    }

    fn checkpoint_journal(&self) -> Result<(), StoreError> {
        if !self.shared.take_journal_bytes(JOURNAL_CHECKPOINT_BYTES) {
            return Ok(());
        }
        let pages = checkpoint(&self.journal, "PASSIVE")?;
        if pages > JOURNAL_WAL_PAGES_MAX {
            // The log starts over only if no commit comes between the end of a checkpoint and the
            // next commit. What is left to write by now is what came during the first.
            let _no_commit = self.shared.gate();
            checkpoint(&self.journal, "PASSIVE")?;
        }
        Ok(())
    }
}

impl Indexer for SqliteIndexer {
    fn step(&mut self) -> Result<Progress, StoreError> {
        self.checkpoint_journal()?;
        let commits =
            self.shared.tail().oldest(self.indexed_upto, STEP_COMMITS_MAX, STEP_BYTES_MAX);
        let bytes: usize = commits.iter().map(|commit| commit.bytes).sum();
        let is_whole = commits.len() >= STEP_COMMITS_MAX || bytes >= STEP_BYTES_MAX / 2;
        let upto = commits.last().map_or(self.indexed_upto, |commit| commit.number);
        if commits.is_empty() && !segments::has_sweeps(&self.tables).map_err(sql)? {
            self.purge()?;
            return Ok(Progress::Idle);
        }
        if let Err(error) = self.index(&commits, upto) {
            // What the overlay holds never reached the tables.
            self.overlay = Overlay::default();
            return Err(error);
        }
        self.indexed_upto = upto;
        self.shared.set_indexed(upto);
        if commits.iter().any(|commit| commit.erases) {
            self.purge_upto = upto;
        }
        if self.overlay.is_large() {
            self.overlay = Overlay::default();
        }
        self.checkpoint_tables()?;
        Ok(if is_whole { Progress::More } else { Progress::CaughtUp })
    }
}

impl Drop for SqliteIndexer {
    fn drop(&mut self) {
        self.shared.release_indexer();
    }
}

fn index_log(
    logs: &mut LogChanges,
    overlay: &Overlay,
    tables: &Connection,
    op: &Op,
) -> Result<(), StoreError> {
    match op {
        Op::Appended(appended) => {
            if let Some(local) = overlay.local(appended.conversation) {
                logs.append(local, appended);
            }
        }
        Op::Erased { conversation, seq, id } => {
            if let Some(local) = overlay.local(*conversation) {
                logs.erase(tables, *conversation, local, (*seq, *id))?;
            }
        }
        Op::Trimmed { conversation, .. } => {
            if let Some(local) = overlay.local(*conversation) {
                logs.trim(local);
            }
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
    Ok(())
}

/// Writes a log's pages into its database; how many pages the log has.
fn checkpoint(connection: &Connection, mode: &str) -> Result<u32, StoreError> {
    connection
        .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get::<_, i64>(1))
        .map(|pages| u32::try_from(pages).unwrap_or(0))
        .map_err(sql)
}
