//! What the store on disk does when something is wrong: a cut-off file, a full disk, another
//! relay, a newer version; and that a backup taken under writes is a whole one.

mod support;

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::mpsc, thread};

use chat_server::{
    hub::op::Op,
    store::{
        Commit, CommitError, Progress, Store, StoreError,
        sqlite::{self, Durability, SqliteStore},
    },
};
use protocol::{entropy::SimRng, ids::LogId};
use rusqlite::Connection;
use tempfile::TempDir;

use support::{Author, Model};

fn dir() -> TempDir {
    TempDir::new().expect("there is a temporary directory")
}

fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, Durability::Unsynced)
}

fn loaded(path: &Path) -> SqliteStore {
    let mut store = open(path).expect("opens");
    store.load().expect("loads");
    store
}

fn commit_some(store: &mut SqliteStore, author: &mut Author, count: u32) {
    for _ in 0..count {
        store.commit(&author.commit()).expect("commits");
    }
}

fn index_all(store: &SqliteStore) {
    let mut indexer = store.indexer().expect("opens");
    while indexer.step().expect("indexes") != Progress::Idle {}
}

fn assert_holds(store: &mut SqliteStore, model: &Model) {
    let loaded = store.load().expect("loads");
    assert_eq!(loaded.number, model.number);
    assert_eq!(loaded.state, model.state);
    let mut reader = store.reader().expect("opens");
    model.assert_read_by(&mut *reader, &mut SimRng::new(1));
}

fn copy_without_shared_memory(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path.file_name().expect("has a name").to_owned();
        if !name.to_string_lossy().ends_with("-shm") {
            fs::copy(&path, to.join(name)).expect("copies");
        }
    }
}

#[test]
fn a_commit_cut_off_anywhere_never_happened_and_the_others_did() {
    let live = dir();
    let mut store = loaded(live.path());
    let mut author = Author::new(11);
    commit_some(&mut store, &mut author, 25);
    index_all(&store);
    commit_some(&mut store, &mut author, 5);
    let log = live.path().join("journal.db-wal");
    let before = fs::metadata(&log).expect("there is a log").len();
    let model = author.model.clone();
    store.commit(&author.commit()).expect("commits");
    let after = fs::metadata(&log).expect("there is a log").len();
    assert!(before < after, "the last commit is at the end of the log");

    for cut in [before, before + 1, before + 30, usize_mid(before, after), after - 1] {
        let crashed = dir();
        copy_without_shared_memory(live.path(), crashed.path());
        let log = fs::OpenOptions::new().write(true).open(crashed.path().join("journal.db-wal"));
        log.and_then(|log| log.set_len(cut)).expect("cuts");
        assert_holds(&mut open(crashed.path()).expect("opens"), &model);
    }
    let crashed = dir();
    copy_without_shared_memory(live.path(), crashed.path());
    assert_holds(&mut open(crashed.path()).expect("opens"), &author.model);
}

const fn usize_mid(low: u64, high: u64) -> u64 {
    low + (high - low) / 2
}

#[test]
fn a_second_relay_is_refused_until_the_first_is_gone() {
    let place = dir();
    let first = open(place.path()).expect("opens");
    assert!(matches!(open(place.path()), Err(StoreError::InUse(_))));
    drop(first);
    open(place.path()).expect("the lock went with the store");
}

#[test]
fn the_lock_stays_while_a_reader_lives() {
    let place = dir();
    let store = loaded(place.path());
    let reader = store.reader().expect("opens");
    drop(store);
    assert!(matches!(open(place.path()), Err(StoreError::InUse(_))));
    drop(reader);
    open(place.path()).expect("nobody uses it any more");
}

#[test]
fn what_a_newer_version_wrote_is_refused() {
    for database in ["journal.db", "tables.db"] {
        let place = dir();
        drop(loaded(place.path()));
        let raw = Connection::open(place.path().join(database)).expect("opens");
        raw.pragma_update(None, "user_version", 99).expect("writes");
        drop(raw);
        let refused = open(place.path()).expect_err("is newer");
        assert!(matches!(refused, StoreError::Newer { found: 99, known: 1 }), "{refused}");
    }
}

#[test]
fn a_file_that_is_no_database_is_reported_as_damaged() {
    let place = dir();
    fs::write(place.path().join("tables.db"), [0x55; 8192]).expect("writes");
    let refused = open(place.path()).expect_err("is no database");
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused}");
}

#[test]
fn a_missing_journal_row_is_reported_as_damage_not_skipped() {
    let place = dir();
    let mut author = Author::new(3);
    commit_some(&mut loaded(place.path()), &mut author, 5);
    let raw = Connection::open(place.path().join("journal.db")).expect("opens");
    raw.execute("DELETE FROM journal WHERE number = 3", []).expect("deletes");
    drop(raw);
    let refused = open(place.path()).expect("opens").load().expect_err("a row is missing");
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused}");
}

#[test]
fn only_the_owner_may_read_what_is_written() {
    let place = dir();
    let data = place.path().join("data");
    let mut store = loaded(&data);
    commit_some(&mut store, &mut Author::new(5), 3);
    let backup = place.path().join("backup");
    store.archiver().expect("opens").backup(&backup).expect("copies");
    let mode = |path: &Path| fs::metadata(path).expect("exists").permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&backup), 0o600);
    for entry in fs::read_dir(&data).expect("readable") {
        let path = entry.expect("readable").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_full_disk_refuses_commits_reads_on_and_recovers_by_itself() {
    let place = dir();
    let mut store = loaded(place.path());
    let mut author = Author::new(8);
    commit_some(&mut store, &mut author, 20);

    store.set_journal_pages_max(1).expect("shrinks the disk");
    let mut committed = author.model.clone();
    let refused = loop {
        // What still fits into pages that are there already is committed.
        let commit = author.commit();
        match store.commit(&commit) {
            Ok(()) => committed = author.model.clone(),
            Err(error) => break (commit, error),
        }
    };
    assert!(matches!(refused.1, CommitError::Full(_)), "{}", refused.1);
    assert_holds(&mut store, &committed);
    let again = store.commit(&refused.0).expect_err("still full");
    assert!(matches!(again, CommitError::Full(_)), "{again}");

    store.set_journal_pages_max(u32::MAX - 1).expect("there is space again");
    store.commit(&refused.0).expect("the same commit now fits");
    assert_holds(&mut store, &author.model);
}

#[test]
fn indexed_rows_leave_the_journal_and_its_file_stays_small() {
    let place = dir();
    let mut store = loaded(place.path());
    let mut author = Author::new(21);
    let mut indexer = store.indexer().expect("opens");
    for _ in 0..300 {
        store.commit(&author.commit()).expect("commits");
        while indexer.step().expect("indexes") != Progress::Idle {}
    }
    drop(indexer);
    let raw = Connection::open(place.path().join("journal.db")).expect("opens");
    let rows: u32 =
        raw.query_row("SELECT count(*) FROM journal", [], |row| row.get(0)).expect("reads");
    assert!(rows <= 2, "{rows} rows are left");
    let pages: u32 = raw.pragma_query_value(None, "page_count", |row| row.get(0)).expect("reads");
    assert!(pages < 64, "the journal has {pages} pages");
    assert_holds(&mut store, &author.model);
}

#[test]
fn an_erased_body_is_nowhere_on_the_disk_once_it_is_indexed() {
    let place = dir();
    let mut store = loaded(place.path());
    let mut author = Author::new(13);
    let secret = b"the body that has to go away";
    let (appended, erased) = author.secret_and_its_erasure(secret);
    for commit in appended {
        store.commit(&commit).expect("commits");
    }
    index_all(&store);
    assert!(is_on_disk(place.path(), secret), "the test can see a body that is there");
    store.commit(&erased).expect("commits");
    index_all(&store);
    assert!(!is_on_disk(place.path(), secret));
    assert_holds(&mut store, &author.model);
}

fn is_on_disk(dir: &Path, needle: &[u8]) -> bool {
    fs::read_dir(dir).expect("readable").any(|entry| {
        let content = fs::read(entry.expect("readable").path()).expect("readable");
        content.windows(needle.len()).any(|window| window == needle)
    })
}

#[test]
fn a_backup_under_writes_is_a_whole_past_and_restores_under_a_new_log_id() {
    let place = dir();
    let data = place.path().join("data");
    let mut store = loaded(&data);
    let mut author = Author::new(34);
    commit_some(&mut store, &mut author, 40);
    let mut pasts = vec![author.model.clone()];

    let mut archiver = store.archiver().expect("opens");
    let mut indexer = store.indexer().expect("opens");
    let (stop_indexing, stopped) = mpsc::channel::<()>();
    let indexing = thread::spawn(move || {
        while matches!(stopped.try_recv(), Err(mpsc::TryRecvError::Empty)) {
            indexer.step().expect("indexes");
        }
    });
    let backup = place.path().join("backup");
    let target = backup.clone();
    let copying = thread::spawn(move || archiver.backup(&target).expect("copies"));
    while !copying.is_finished() {
        store.commit(&author.commit()).expect("commits while a copy is made");
        pasts.push(author.model.clone());
    }
    copying.join().expect("the copy ends");
    drop(stop_indexing);
    indexing.join().expect("the indexer ends");

    sqlite::add_extra(&backup, "relay key", b"key").expect("adds");
    assert_eq!(sqlite::read_extra(&backup, "relay key").expect("reads"), Some(b"key".to_vec()));
    assert_eq!(sqlite::read_extra(&backup, "other").expect("reads"), None);

    let restored = place.path().join("restored");
    let log_id = LogId([0x77; 16]);
    sqlite::restore(&backup, &restored, log_id).expect("restores");
    let mut restored_store = open(&restored).expect("opens");
    let number = restored_store.load().expect("loads").number;
    let mut past = pasts
        .into_iter()
        .find(|past| past.number + 1 == number)
        .expect("the backup is the state after some commit made before or during it");
    past.apply(&Commit { number, ops: vec![Op::Renewed { log_id }] });
    assert_holds(&mut restored_store, &past);
    index_all(&restored_store);
    assert_holds(&mut restored_store, &past);
    assert!(!is_on_disk(&restored, b"relay key"), "the key is the caller's to place");
}

#[test]
fn backups_and_restores_overwrite_nothing() {
    let place = dir();
    let data = place.path().join("data");
    let mut store = loaded(&data);
    let mut author = Author::new(2);
    commit_some(&mut store, &mut author, 5);
    let backup = place.path().join("backup");
    let mut archiver = store.archiver().expect("opens");
    archiver.backup(&backup).expect("copies");
    let first = fs::read(&backup).expect("readable");
    archiver.backup(&backup).expect_err("the file is there already");
    assert_eq!(fs::read(&backup).expect("readable"), first);

    drop((store, archiver));
    sqlite::restore(&backup, &data, LogId([1; 16])).expect_err("a store is there already");
    assert_holds(&mut open(&data).expect("opens"), &author.model);
}

#[test]
fn what_is_not_a_finished_backup_is_refused() {
    let place = dir();
    let data = place.path().join("data");
    let mut store = loaded(&data);
    commit_some(&mut store, &mut Author::new(2), 5);
    let backup = place.path().join("backup");
    store.archiver().expect("opens").backup(&backup).expect("copies");
    let raw = Connection::open(&backup).expect("opens");
    raw.execute("DROP TABLE backup", []).expect("drops the mark that comes last");
    drop(raw);
    let target = place.path().join("restored");
    let refused = sqlite::restore(&backup, &target, LogId([1; 16])).expect_err("is unfinished");
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused}");
    assert!(!target.exists(), "nothing was begun");
}
