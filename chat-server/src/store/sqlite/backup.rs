//! Backups: one file that holds tables, segments and the journal's tail, written while the relay
//! runs; and making a data directory of one again.
//!
//! The tables are copied first, then the journal's rows above them. Deleting rows is held off
//! meanwhile, so the two meet without a gap.

use std::{fs, path::Path, sync::Arc};

use protocol::{ids::LogId, message::encoding::encode};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::{
    Durability, Shared,
    files::{DataDir, create_private, discard, failed, sync_file},
    schema::{self, Database, Purpose, known_version, sql},
};
use crate::{
    hub::op::Op,
    store::{Archiver, StoreError},
};

/// The version of the tables that make a backup of a copy.
const BACKUP_VERSION: u32 = 1;

/// Copies the store of a running relay.
pub(super) struct SqliteArchiver {
    shared: Arc<Shared>,
}

impl SqliteArchiver {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn copy(&self, to: &Path) -> Result<(), StoreError> {
        let _held = self.shared.hold_deletion();
        let tables = schema::open(
            &self.shared.dir.tables(),
            Database::Tables,
            Purpose::Write,
            self.shared.durability,
        )?;
        tables.execute("VACUUM INTO ?1", [text(to)?]).map_err(sql)?;
        let mut copy = open_backup(to)?;
        copy.execute("ATTACH ?1 AS live", [text(&self.shared.dir.journal())?]).map_err(sql)?;
        let transaction = copy.transaction().map_err(sql)?;
        transaction.execute_batch(include_str!("migrations/backup_1.sql")).map_err(sql)?;
        transaction.commit().map_err(sql)?;
        drop(copy);
        sync_file(to)
    }
}

impl Archiver for SqliteArchiver {
    fn backup(&mut self, to: &Path) -> Result<(), StoreError> {
        create_private(to)?;
        let copied = self.copy(to);
        if copied.is_err() {
            discard(to);
        }
        copied
    }
}

/// Adds something to a backup that the relay keeps beside its store, such as its key.
///
/// # Errors
///
/// If the file is not a finished backup or cannot be written.
pub fn add_extra(backup: &Path, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let connection = open_backup(backup)?;
    check(&connection)?;
    connection
        .execute(
            "INSERT INTO extra (name, bytes) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET bytes = ?2",
            params![name, bytes],
        )
        .map(drop)
        .map_err(sql)
}

/// What [`add_extra`] put into a backup under this name.
///
/// # Errors
///
/// If the file is not a finished backup or cannot be read.
pub fn read_extra(backup: &Path, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let connection = open_backup(backup)?;
    check(&connection)?;
    connection
        .query_row("SELECT bytes FROM extra WHERE name = ?1", [name], |row| row.get(0))
        .optional()
        .map_err(sql)
}

/// Makes a fresh data directory of a backup. The log becomes `log_id`, so that clients notice
/// that they know a later past.
///
/// # Errors
///
/// If `to` holds a store already, `from` is not a finished backup or one of a newer version, or
/// the disk says no. Then nothing is left in `to`.
pub fn restore(from: &Path, to: &Path, log_id: LogId) -> Result<(), StoreError> {
    {
        let backup = open_backup(from)?;
        check(&backup)?;
    }
    let dir = DataDir::create(to)?;
    let _lock = dir.lock()?;
    if dir.is_used() {
        let problem = format!("{} holds a store already; restore into another", to.display());
        return Err(StoreError::Failed(problem));
    }
    // The journal by itself is refused as damaged, because the commits before it are missing; so
    // a restore that was cut off is never taken for a whole one.
    let restored = restore_journal(from, &dir, log_id).and_then(|()| restore_tables(from, &dir));
    if restored.is_err() {
        dir.discard_store();
    }
    restored
}

fn restore_journal(from: &Path, dir: &DataDir, log_id: LogId) -> Result<(), StoreError> {
    let mut journal =
        schema::open(&dir.journal(), Database::Journal, Purpose::Write, Durability::Synced)?;
    journal.execute("ATTACH ?1 AS backup", [text(from)?]).map_err(sql)?;
    let renewed = encode([Op::Renewed { log_id }].as_slice());
    let transaction =
        journal.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    transaction
        .execute_batch(
            "INSERT INTO main.journal (number, ops) SELECT number, ops FROM backup.journal",
        )
        .map_err(sql)?;
    transaction
        .execute(
            "INSERT INTO main.journal (number, ops)
             SELECT 1 + max((SELECT indexed_upto FROM backup.meta),
                            coalesce((SELECT max(number) FROM backup.journal), 0)), ?1",
            [renewed],
        )
        .map_err(sql)?;
    transaction.commit().map_err(sql)
}

fn restore_tables(from: &Path, dir: &DataDir) -> Result<(), StoreError> {
    let partial = dir.partial();
    discard(&partial);
    create_private(&partial)?;
    fs::copy(from, &partial).map_err(failed(&partial))?;
    let tables = open_backup(&partial)?;
    tables
        .execute_batch(
            "PRAGMA secure_delete = ON;
             BEGIN; DROP TABLE journal; DROP TABLE extra; DROP TABLE backup; COMMIT;",
        )
        .map_err(sql)?;
    drop(tables);
    sync_file(&partial)?;
    fs::rename(&partial, dir.tables()).map_err(failed(&partial))?;
    dir.sync()
}

fn open_backup(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(sql)
}

/// Refuses what is not a finished backup, or one this build cannot read.
fn check(backup: &Connection) -> Result<(), StoreError> {
    let version = backup.query_row("SELECT version FROM backup", [], |row| row.get(0)).optional();
    let found: u32 = match version.map_err(sql) {
        Ok(Some(found)) => found,
        Ok(None) | Err(StoreError::Failed(_)) => {
            return Err(StoreError::Damaged("the file is not a finished backup".into()));
        }
        Err(error) => return Err(error),
    };
    if found > BACKUP_VERSION {
        return Err(StoreError::Newer { found, known: BACKUP_VERSION });
    }
    let found = backup.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sql)?;
    let known = known_version(Database::Tables);
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    Ok(())
}

fn text(path: &Path) -> Result<&str, StoreError> {
    path.to_str()
        .ok_or_else(|| StoreError::Failed(format!("{} is not a UTF-8 path", path.display())))
}
