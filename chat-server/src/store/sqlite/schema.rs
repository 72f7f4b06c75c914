//! How the databases are opened, what is in them, and how they grow from version to version.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{Durability, files::ensure_private};
use crate::store::StoreError;

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Database {
    Journal,
    Tables,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Write,
    Read,
}

/// Most of the pages that one index step changes should still be there when the next one comes;
/// so should the journal's ring for its commits. A reader goes from page to page.
const fn cache_kib(purpose: Purpose) -> u32 {
    match purpose {
        Purpose::Write => 32 * 1024,
        Purpose::Read => 2 * 1024,
    }
}

/// A write-ahead log that once grew beyond this is cut back to it.
const WAL_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// The steps from an empty database to the current version. A step is never changed once released.
const fn migrations(database: Database) -> &'static [&'static str] {
    match database {
        Database::Journal => &[include_str!("migrations/journal_1.sql")],
        Database::Tables => &[include_str!("migrations/tables_1.sql")],
    }
}

/// Opens a database that exists, or creates it.
pub(super) fn open(
    path: &Path,
    database: Database,
    purpose: Purpose,
    durability: Durability,
) -> Result<Connection, StoreError> {
    if purpose == Purpose::Write {
        ensure_private(path)?;
    }
    // Every connection stays with one thread.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    configure(&connection, purpose, durability).map_err(sql)?;
    match purpose {
        Purpose::Write => migrate(&mut connection, database)?,
        Purpose::Read => connection.pragma_update(None, "query_only", true).map_err(sql)?,
    }
    Ok(connection)
}

fn configure(
    connection: &Connection,
    purpose: Purpose,
    durability: Durability,
) -> rusqlite::Result<()> {
    let cache_kib = cache_kib(purpose);
    let synchronous = match durability {
        Durability::Synced => "FULL",
        Durability::Unsynced => "OFF",
    };
    // Cleared pages are reused in the same transaction as a rule, so overwriting what is deleted
    // costs next to nothing.
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {synchronous};
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = {WAL_BYTES_MAX};
         PRAGMA secure_delete = ON;
         PRAGMA foreign_keys = ON;
         PRAGMA cache_size = -{cache_kib};
         PRAGMA temp_store = MEMORY;"
    ))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn migrate(connection: &mut Connection, database: Database) -> Result<(), StoreError> {
    let steps = migrations(database);
    let known = version(steps.len());
    let found =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sql)?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    if found == known {
        return Ok(());
    }
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    for step in &steps[found as usize..] {
        transaction.execute_batch(step).map_err(sql)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(sql)?;
    transaction.commit().map_err(sql)
}

/// The version this build writes.
pub(super) fn known_version(database: Database) -> u32 {
    version(migrations(database).len())
}

fn version(steps: usize) -> u32 {
    u32::try_from(steps).expect("the migrations are counted by hand")
}

/// An error of the database that is nobody's fault here.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
pub(super) fn sql(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            StoreError::Damaged(error.to_string())
        }
        Some(_) | None => StoreError::Failed(error.to_string()),
    }
}
