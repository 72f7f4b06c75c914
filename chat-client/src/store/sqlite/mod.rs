//! The real store: one SQLite file, opened in a few milliseconds however much history it holds.
//!
//! Records are keyed by (conversation, seq) without a rowid, so a page is one range of one tree.
//! Conversations have small local numbers: sixteen bytes less in every record. Everything that the
//! engine loads at its start lies in tables of its own, none of which grows with the history.
//!
//! Every commit is an fsync (WAL, `synchronous=FULL`): *queued* is a promise. Deleted text is
//! overwritten (`secure_delete=FAST`) where that costs no extra writes.

mod codec;
mod index;
mod reader;
mod writer;

use std::path::Path;

use protocol::ids::{ConversationId, Seq};
use rusqlite::{Connection, ErrorCode, config::DbConfig};

use super::{
    Change, Found, History, Loaded, Query, Store, StoreFailure,
    row::HistoryRow,
    search::{Findings, Search},
};

/// The schema this build writes. Every step from one to the next stands in [`MIGRATIONS`].
pub const SCHEMA: u32 = 2;

/// What takes a file from schema `n` to `n + 1`, by `n`. Never edited once released.
const MIGRATIONS: [&str; SCHEMA as usize] =
    [include_str!("migrations/1.sql"), include_str!("migrations/2.sql")];

/// Statements kept prepared: more than there are in this module.
const STATEMENTS_MAX: usize = 64;

/// Pages in the log before it is copied into the file, which costs two syncs. A start reads the log
/// again as a whole: these 512 KiB in half a millisecond; the usual thousand pages take ten times as
/// long, in every headless command.
const CHECKPOINT_PAGES: u32 = 128;

/// How long to wait for somebody else who looks at the file, such as a backup.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// The writer.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
}

impl SqliteStore {
    /// Opens or creates the store in this file. The caller holds the home's lock: there is one
    /// writer.
    ///
    /// # Errors
    ///
    /// [`StoreFailure::Newer`] if a later build wrote it; else if the file cannot be used.
    pub fn open(path: &Path) -> Result<Self, StoreFailure> {
        let mut connection = Connection::open(path).map_err(failure)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failure)?;
        // Closing must not cost a checkpoint: a headless command would pay for it every time. The
        // log is checkpointed when it has grown, and read back at the next start.
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(failure)?;
        connection
            .execute_batch(
                "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA secure_delete=FAST;",
            )
            .map_err(failure)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES).map_err(failure)?;
        migrate(&mut connection)?;
        Ok(Self { connection })
    }
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Loaded, StoreFailure> {
        reader::load(&self.connection)
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreFailure> {
        if changes.is_empty() {
            return Ok(());
        }
        let transaction = self.connection.transaction().map_err(failure)?;
        for change in changes {
            writer::apply(&transaction, change).map_err(failure)?;
        }
        transaction.commit().map_err(failure)
    }

    fn find(&mut self, query: &Query) -> Result<Found, StoreFailure> {
        reader::find(&self.connection, query)
    }
}

impl History for SqliteStore {
    fn before(
        &self,
        conversation: ConversationId,
        before: Seq,
        count: usize,
    ) -> Result<Vec<HistoryRow>, StoreFailure> {
        reader::before(&self.connection, conversation, before, count)
    }

    fn after(
        &self,
        conversation: ConversationId,
        after: Seq,
        count: usize,
    ) -> Result<Vec<HistoryRow>, StoreFailure> {
        reader::after(&self.connection, conversation, after, count)
    }

    fn record(
        &self,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<Option<HistoryRow>, StoreFailure> {
        reader::record(&self.connection, conversation, seq)
    }

    fn amends(
        &self,
        conversation: ConversationId,
        from: Seq,
        to: Seq,
    ) -> Result<Vec<HistoryRow>, StoreFailure> {
        reader::amends(&self.connection, conversation, from, to)
    }

    fn search(&mut self, search: &Search) -> Result<Findings, StoreFailure> {
        index::search(&self.connection, search)
    }

    fn index_when_idle(&mut self) -> Result<bool, StoreFailure> {
        index::step_when_idle(&self.connection)
    }
}

fn migrate(connection: &mut Connection) -> Result<(), StoreFailure> {
    let version = |c: &Connection| c.pragma_query_value(None, "user_version", |row| row.get(0));
    let found: u32 = version(connection).map_err(failure)?;
    if found == SCHEMA {
        return Ok(());
    }
    if found > SCHEMA {
        return Err(StoreFailure::Newer { found, known: SCHEMA });
    }
    // Stays with the file; cannot be changed inside a transaction.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).map_err(failure)?;
    let transaction = connection.transaction().map_err(failure)?;
    for step in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        transaction.execute_batch(step).map_err(failure)?;
    }
    transaction.pragma_update(None, "user_version", SCHEMA).map_err(failure)?;
    transaction.commit().map_err(failure)
}

/// Sorts what SQLite says by who has to act.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn failure(error: rusqlite::Error) -> StoreFailure {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreFailure::Full,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreFailure::Damaged(error.to_string())
        }
        _ if matches!(error, rusqlite::Error::FromSqlConversionFailure(..)) => {
            StoreFailure::Damaged(error.to_string())
        }
        _ => StoreFailure::Unusable(error.to_string()),
    }
}
