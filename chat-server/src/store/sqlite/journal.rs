//! The journal: one row per commit, the promise behind *sent*.
//!
//! A commit is `BEGIN IMMEDIATE`, an insert, `COMMIT`: with a write-ahead log and full
//! synchronisation that is one sync of one file. Rows that are indexed are deleted one by one
//! inside later commits, where the new row takes the pages of the old one; so the file is a ring
//! that stays as small as the tail, and no deletion needs a sync of its own. Pages of a second
//! deleted row would be written just to be cleared, which doubled what a busy relay writes.

use std::path::Path;

use protocol::message::encoding::{decode_own, encode_into};
use rusqlite::{Connection, ErrorCode, params};

use super::{
    Durability,
    schema::{self, Database, Purpose, sql},
};
use crate::{
    hub::op::Op,
    store::{CommitError, StoreError},
};

/// Indexed rows that may wait to be deleted: what a busy second leaves behind. Above it commits
/// delete two each until that has caught up.
const FORGETTABLE_MAX: u64 = 4096;

/// The committer's end of the journal.
#[derive(Debug)]
pub(super) struct Journal {
    connection: Connection,
    /// Rows up to here are deleted.
    forgotten: u64,
    encoded: Vec<u8>,
}

/// Where in a commit an error happened: it decides what is known about the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Begin,
    Change,
    Commit,
}

impl Journal {
    pub(super) fn open(path: &Path, durability: Durability) -> Result<Self, StoreError> {
        let connection = schema::open(path, Database::Journal, Purpose::Write, durability)?;
        let oldest: Option<i64> = connection
            .query_row("SELECT min(number) FROM journal", [], |row| row.get(0))
            .map_err(sql)?;
        let forgotten = oldest.map_or(0, |number| number.cast_unsigned() - 1);
        Ok(Self { connection, forgotten, encoded: Vec::new() })
    }

    /// Appends a row and deletes some of those up to `indexed`; the row's size in bytes.
    pub(super) fn append(
        &mut self,
        number: u64,
        ops: &[Op],
        indexed: u64,
    ) -> Result<usize, CommitError> {
        self.encoded.clear();
        encode_into(ops, &mut self.encoded);
        let waiting = indexed.saturating_sub(self.forgotten);
        let forgotten = self.forgotten + waiting.min(if waiting > FORGETTABLE_MAX { 2 } else { 1 });
        self.write(number, forgotten)?;
        self.forgotten = self.forgotten.max(forgotten);
        Ok(self.encoded.len())
    }

    fn write(&self, number: u64, forgotten: u64) -> Result<(), CommitError> {
        self.run("BEGIN IMMEDIATE", Phase::Begin)?;
        let changed = self.change(number, forgotten);
        if let Err(error) = changed {
            return Err(self.roll_back(Phase::Change, &error));
        }
        self.run("COMMIT", Phase::Commit)
    }

    fn change(&self, number: u64, forgotten: u64) -> rusqlite::Result<()> {
        if forgotten > self.forgotten {
            self.connection
                .prepare_cached("DELETE FROM journal WHERE number <= ?1")?
                .execute([forgotten.cast_signed()])?;
        }
        self.connection
            .prepare_cached("INSERT INTO journal (number, ops) VALUES (?1, ?2)")?
            .execute(params![number.cast_signed(), self.encoded])?;
        Ok(())
    }

    fn run(&self, statement: &str, phase: Phase) -> Result<(), CommitError> {
        let result = self.connection.prepare_cached(statement).and_then(|mut s| s.execute([]));
        match result {
            Ok(_) => Ok(()),
            Err(error) => Err(self.roll_back(phase, &error)),
        }
    }

    fn roll_back(&self, phase: Phase, error: &rusqlite::Error) -> CommitError {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a commit could not be rolled back");
        }
        classify(phase, error, self.connection.is_autocommit())
    }

    /// Writes something durable behind a commit whose outcome is unknown, so that from now on it
    /// either is there for good or never was.
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        let settled = self.connection.execute("UPDATE settled SET times = times + 1", []);
        settled.map(drop).map_err(sql)
    }

    /// Begins a view of the journal that later deletions do not change.
    pub(super) fn begin_read(&self) -> Result<(), StoreError> {
        // The view begins with the first read, not with BEGIN.
        self.connection
            .execute_batch("BEGIN; SELECT count(*) FROM (SELECT 1 FROM journal LIMIT 1);")
            .map_err(sql)
    }

    pub(super) fn end_read(&self) -> Result<(), StoreError> {
        self.connection.execute_batch("COMMIT").map_err(sql)
    }

    /// The ops of every commit above `number`, in order.
    pub(super) fn commits_above(
        &self,
        number: u64,
        mut each: impl FnMut(u64, Vec<Op>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT number, ops FROM journal WHERE number > ?1 ORDER BY number")
            .map_err(sql)?;
        let mut rows = statement.query([number.cast_signed()]).map_err(sql)?;
        let mut expected = number + 1;
        while let Some(row) = rows.next().map_err(sql)? {
            let number = row.get::<_, i64>(0).map_err(sql)?.cast_unsigned();
            if number != expected {
                let problem = format!("commit {expected} is missing before commit {number}");
                return Err(StoreError::Damaged(problem));
            }
            let ops = row.get_ref(1).map_err(sql)?;
            let ops = decode_ops(ops.as_blob().unwrap_or_default())
                .ok_or_else(|| StoreError::Damaged(format!("commit {number} cannot be read")))?;
            each(number, ops)?;
            expected += 1;
        }
        Ok(())
    }

    /// Makes the journal full at this many pages: a small disk, for tests.
    pub(super) fn set_pages_max(&self, pages: u32) -> Result<(), StoreError> {
        self.connection
            .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
            .map_err(sql)
    }
}

fn decode_ops(bytes: &[u8]) -> Option<Vec<Op>> {
    decode_own(bytes).ok()
}

/// What an error says about the outcome. Until `COMMIT` nothing can have been written that a
/// recovery would take for a commit. During it only a full disk is certain: the frame that would
/// complete the commit is the last to be written, and it does not fit. The same holds for a write that the
/// file system refuses (it turned read-only, a quota). A failed sync is not such a case: the
/// frame may reach the disk later.
fn classify(phase: Phase, error: &rusqlite::Error, is_rolled_back: bool) -> CommitError {
    let nothing_written = is_rolled_back
        && match phase {
            Phase::Begin | Phase::Change => true,
            Phase::Commit => {
                let extended = error.sqlite_error().map(|error| error.extended_code);
                error.sqlite_error_code() == Some(ErrorCode::DiskFull)
                    || extended == Some(rusqlite::ffi::SQLITE_IOERR_WRITE)
            }
        };
    if nothing_written {
        CommitError::Full(error.to_string())
    } else {
        CommitError::Ambiguous(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn error(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    fn is_full(phase: Phase, code: i32) -> bool {
        matches!(classify(phase, &error(code), true), CommitError::Full(_))
    }

    #[test]
    fn only_what_certainly_wrote_nothing_is_full() {
        for phase in [Phase::Begin, Phase::Change] {
            for code in [ffi::SQLITE_FULL, ffi::SQLITE_READONLY, ffi::SQLITE_IOERR_WRITE] {
                assert!(is_full(phase, code), "{phase:?} {code}");
            }
        }
        assert!(is_full(Phase::Commit, ffi::SQLITE_FULL));
        assert!(!is_full(Phase::Commit, ffi::SQLITE_IOERR_FSYNC));
        assert!(is_full(Phase::Commit, ffi::SQLITE_IOERR_WRITE));
        assert!(!is_full(Phase::Commit, ffi::SQLITE_READONLY));
    }

    #[test]
    fn what_was_not_rolled_back_is_never_full() {
        let outcome = classify(Phase::Change, &error(ffi::SQLITE_FULL), false);
        assert!(matches!(outcome, CommitError::Ambiguous(_)));
    }
}
