//! The store on disk: two `SQLite` databases in one directory.
//!
//! ```text
//!   journal.db   one row per commit; written by commits alone, one sync each
//!   tables.db    the state's tables and the logs' segments; written by the indexer alone
//! ```
//!
//! A commit waits for nothing but its own sync: the two databases have separate locks and
//! separate write-ahead logs, and checkpoints run on the indexer's thread. What is committed and
//! not indexed yet is also in memory, in the [`Tail`], which is where readers find it. Loading
//! reads the tables and replays the journal's rows above `indexed_upto`.

mod backup;
mod files;
mod indexer;
mod journal;
mod overlay;
mod reader;
mod schema;
mod segments;
mod tables;

use std::{
    fs::File,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use self::{
    backup::SqliteArchiver, files::DataDir, indexer::SqliteIndexer, journal::Journal,
    reader::SqliteReader,
};
use super::{
    Archiver, Commit, CommitError, Indexer, Loaded, Reader, Store, StoreError, tail::Tail,
};

pub use self::backup::{add_extra, read_extra, restore};

/// Bytes of records that may wait for the indexer. Beyond it commits are refused as if the disk
/// were full: the indexer is stuck, and memory must not grow until somebody looks.
const UNINDEXED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What the write-ahead log takes for the smallest commit: the page of the new row, that of the
/// deleted one, and the first of the file.
const COMMIT_BYTES_MIN: u64 = 3 * 4096;

/// Whether a commit is on the disk when it returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It is.
    #[default]
    Synced,
    /// It is not. For the tests which prove that they would notice; a relay for people never runs
    /// like this.
    Unsynced,
}

/// A [`Store`] in a directory of its own.
#[derive(Debug)]
pub struct SqliteStore {
    shared: Arc<Shared>,
    journal: Journal,
    /// The last commit, once loaded.
    number: Option<u64>,
    /// A commit ended without anybody knowing how.
    is_uncertain: bool,
}

/// What committer, indexer and readers have in common.
#[derive(Debug)]
struct Shared {
    dir: DataDir,
    durability: Durability,
    tail: Mutex<Tail>,
    /// Commits up to here are durable in the tables, so their journal rows may go.
    indexed_upto: AtomicU64,
    /// Taken by every commit, and by the few maintenance steps that must not meet one.
    gate: Mutex<()>,
    /// Bytes written to the journal's log since its last checkpoint, about.
    journal_bytes: AtomicU64,
    /// Copies in progress, which need the journal's rows to stay.
    holds: AtomicUsize,
    has_indexer: AtomicBool,
    _lock: File,
}

impl SqliteStore {
    /// Opens the data directory, creating what is missing.
    ///
    /// # Errors
    ///
    /// If another relay uses it, a newer version wrote it, or the disk says no.
    pub fn open(dir: &Path, durability: Durability) -> Result<Self, StoreError> {
        let dir = DataDir::create(dir)?;
        let lock = dir.lock()?;
        let journal = Journal::open(&dir.journal(), durability)?;
        // Readers open the tables without creating them.
        drop(schema::open(
            &dir.tables(),
            schema::Database::Tables,
            schema::Purpose::Write,
            durability,
        )?);
        dir.sync()?;
        let shared = Shared {
            dir,
            durability,
            tail: Mutex::default(),
            indexed_upto: AtomicU64::new(0),
            gate: Mutex::default(),
            journal_bytes: AtomicU64::new(0),
            holds: AtomicUsize::new(0),
            has_indexer: AtomicBool::new(false),
            _lock: lock,
        };
        Ok(Self { shared: Arc::new(shared), journal, number: None, is_uncertain: false })
    }

    /// Makes the journal full once it has this many pages: a small disk, for tests.
    ///
    /// # Errors
    ///
    /// If the database says no.
    #[doc(hidden)]
    pub fn set_journal_pages_max(&self, pages: u32) -> Result<(), StoreError> {
        self.journal.set_pages_max(pages)
    }

    fn replay(&self) -> Result<(Loaded, Tail), StoreError> {
        // The journal is looked at first: what is deleted from it afterwards is in the tables.
        let (mut state, indexed_upto) = {
            let tables = schema::open(
                &self.shared.dir.tables(),
                schema::Database::Tables,
                schema::Purpose::Read,
                self.shared.durability,
            )?;
            let view = tables.unchecked_transaction().map_err(schema::sql)?;
            tables::load(&view)?
        };
        self.shared.indexed_upto.fetch_max(indexed_upto, Ordering::AcqRel);
        let mut number = indexed_upto;
        let mut tail = Tail::default();
        self.journal.commits_above(indexed_upto, |of, ops| {
            for op in &ops {
                state.apply(op);
            }
            tail.push(of, ops.into());
            number = of;
            Ok(())
        })?;
        Ok((Loaded { state, number }, tail))
    }
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        if self.is_uncertain {
            self.journal = Journal::open(&self.shared.dir.journal(), self.shared.durability)?;
            self.journal.settle()?;
        }
        self.journal.begin_read()?;
        let replayed = self.replay();
        self.journal.end_read()?;
        let (loaded, tail) = replayed?;
        self.shared.replace_tail(tail);
        self.is_uncertain = false;
        self.number = Some(loaded.number);
        Ok(loaded)
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), CommitError> {
        if self.is_uncertain {
            return Err(CommitError::Ambiguous("an earlier outcome is unknown".into()));
        }
        let number = self.number.expect("a store is loaded before it is written");
        assert_eq!(commit.number, number + 1, "commits are contiguous");
        if self.shared.tail().bytes() > UNINDEXED_BYTES_MAX {
            return Err(CommitError::Full("too much waits to be indexed".into()));
        }
        let appended = {
            let _no_maintenance = self.shared.gate();
            let forgettable = self.shared.forgettable();
            self.journal.append(commit.number, &commit.ops, forgettable)
        };
        match appended {
            Ok(bytes) => {
                let written = bytes as u64 + COMMIT_BYTES_MIN;
                self.shared.journal_bytes.fetch_add(written, Ordering::Relaxed);
                self.shared.tail().push(commit.number, Arc::from(commit.ops.as_slice()));
                self.number = Some(commit.number);
                Ok(())
            }
            Err(error) => {
                self.is_uncertain = matches!(error, CommitError::Ambiguous(_));
                Err(error)
            }
        }
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(SqliteReader::open(Arc::clone(&self.shared))?))
    }

    fn indexer(&self) -> Result<Box<dyn Indexer>, StoreError> {
        Ok(Box::new(SqliteIndexer::open(Arc::clone(&self.shared))?))
    }

    fn archiver(&self) -> Result<Box<dyn Archiver>, StoreError> {
        Ok(Box::new(SqliteArchiver::new(Arc::clone(&self.shared))))
    }
}

impl Shared {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        // Whoever panicked while holding it is gone, and with it the relay's promise to go on.
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gate(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a tail read from the journal in place of the one in memory.
    fn replace_tail(&self, mut replacement: Tail) {
        let mut tail = self.tail();
        // The indexer may have got on since the tables were read.
        replacement.prune(self.indexed_upto.load(Ordering::Acquire));
        *tail = replacement;
    }

    /// Notes that the tables hold every commit up to `number`, durably.
    fn set_indexed(&self, number: u64) {
        let mut tail = self.tail();
        self.indexed_upto.store(number, Ordering::Release);
        tail.prune(number);
    }

    /// Journal rows up to here are not needed any more.
    fn forgettable(&self) -> u64 {
        if self.is_deletion_held() { 0 } else { self.indexed_upto.load(Ordering::Acquire) }
    }

    fn is_deletion_held(&self) -> bool {
        self.holds.load(Ordering::SeqCst) > 0
    }

    /// Keeps every journal row until the guard is dropped.
    fn hold_deletion(&self) -> Hold<'_> {
        self.holds.fetch_add(1, Ordering::SeqCst);
        // A commit that has not seen it yet ends before this returns.
        drop(self.gate());
        Hold(self)
    }

    /// True once the journal's log has `bytes` more; starts counting again.
    fn take_journal_bytes(&self, bytes: u64) -> bool {
        let is_due = self.journal_bytes.load(Ordering::Relaxed) >= bytes;
        if is_due {
            self.journal_bytes.store(0, Ordering::Relaxed);
        }
        is_due
    }

    fn claim_indexer(&self) -> Result<(), StoreError> {
        // Two indexers would each believe their copy of a row.
        if self.has_indexer.swap(true, Ordering::SeqCst) {
            return Err(StoreError::Failed("the store has an indexer already".into()));
        }
        Ok(())
    }

    fn release_indexer(&self) {
        self.has_indexer.store(false, Ordering::SeqCst);
    }
}

/// While it lives, no journal row is deleted.
struct Hold<'a>(&'a Shared);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.holds.fetch_sub(1, Ordering::SeqCst);
    }
}
