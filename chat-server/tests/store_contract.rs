//! One suite for every store: whatever was committed is what is loaded and read, at any point of
//! indexing, after a restart and after a crash; and a failed commit means what it says.

mod support;

use std::{fs, ops::Range};

use chat_server::{
    hub::op::Op,
    store::{
        Commit, CommitError, Indexer, Progress, Store,
        memory::{Failure, MemoryDisk},
        sqlite::{Durability, SqliteStore},
    },
};
use protocol::{entropy::SimRng, ids::LogId};
use tempfile::TempDir;

use support::Author;

/// Somewhere a store can be opened again and again.
trait Place {
    /// Starts a store on what is there.
    fn open(&self) -> Box<dyn Store>;
    /// Where a crash at this moment would leave things, while the store stays open.
    fn crash(&self) -> Box<dyn Place>;
}

impl Place for MemoryDisk {
    fn open(&self) -> Box<dyn Store> {
        Box::new(self.open())
    }

    fn crash(&self) -> Box<dyn Place> {
        // Restoring renews the log; a crash does not, so the copy is taken as it is.
        Box::new(self.snapshot().into_disk())
    }
}

impl Place for TempDir {
    fn open(&self) -> Box<dyn Store> {
        // Synchronisation is for power cuts, which no test in one process can make.
        Box::new(SqliteStore::open(self.path(), Durability::Unsynced).expect("opens"))
    }

    fn crash(&self) -> Box<dyn Place> {
        let copy = Self::new().expect("there is a temporary directory");
        for entry in fs::read_dir(self.path()).expect("readable") {
            let from = entry.expect("readable").path();
            let name = from.file_name().expect("has a name");
            // A killed process leaves no shared memory that another could use.
            if !name.to_string_lossy().ends_with("-shm") {
                fs::copy(&from, copy.path().join(name)).expect("copies");
            }
        }
        Box::new(copy)
    }
}

/// Loads from `store` and compares with what the author committed.
fn assert_same(store: &mut dyn Store, author: &mut Author) {
    let loaded = store.load().expect("loads");
    assert_eq!(loaded.number, author.model.number);
    assert_eq!(loaded.state, author.model.state);
    let mut reader = store.reader().expect("opens");
    author.model.clone().assert_read_by(&mut *reader, &mut author.rng);
}

fn step(indexer: &mut dyn Indexer) -> Progress {
    indexer.step().expect("indexes")
}

fn random_histories_come_back(seeds: Range<u64>, place: impl Fn() -> Box<dyn Place>) {
    for seed in seeds {
        eprintln!("seed {seed}");
        let place = place();
        let mut author = Author::new(seed);
        let mut schedule = SimRng::new(seed ^ 0x5eed);
        let mut store = place.open();
        store.load().expect("loads");
        let mut reader = store.reader().expect("opens");
        let mut indexer = store.indexer().expect("opens");
        for _ in 0..schedule.between(5, 60) {
            store.commit(&author.commit()).expect("commits");
            while schedule.chance(1, 3) {
                step(&mut *indexer);
            }
            if schedule.chance(1, 8) {
                let mut rng = author.rng.clone();
                author.model.assert_read_by(&mut *reader, &mut rng);
            }
            if schedule.chance(1, 12) {
                assert_same(&mut *place.crash().open(), &mut author);
            }
            if schedule.chance(1, 12) {
                drop((store, reader, indexer));
                store = place.open();
                assert_same(&mut *store, &mut author);
                reader = store.reader().expect("opens");
                indexer = store.indexer().expect("opens");
            }
        }
        while step(&mut *indexer) != Progress::Idle {}
        assert_same(&mut *store, &mut author);
        drop((store, reader, indexer));
        assert_same(&mut *place.open(), &mut author);
    }
}

#[test]
fn random_histories_come_back_from_memory() {
    random_histories_come_back(0..40, || Box::new(MemoryDisk::new()));
}

#[test]
fn random_histories_come_back_from_sqlite() {
    random_histories_come_back(0..12, || Box::new(TempDir::new().expect("there is a directory")));
}

/// At any point of indexing, a look at ages finds what the model's times say.
fn ages_are_found(seeds: Range<u64>, place: impl Fn() -> Box<dyn Place>) {
    for seed in seeds {
        eprintln!("seed {seed}");
        let place = place();
        let mut author = Author::new(seed);
        let mut store = place.open();
        store.load().expect("loads");
        let mut reader = store.reader().expect("opens");
        let mut indexer = store.indexer().expect("opens");
        for _ in 0..60 {
            store.commit(&author.commit()).expect("commits");
            if author.rng.chance(1, 3) {
                step(&mut *indexer);
            }
            let look = author.model.look(&mut author.rng);
            let mut aged = Vec::new();
            look.perform(&mut *reader, &mut aged).expect("readable");
            assert_eq!(aged, author.model.aged(&look));
        }
    }
}

#[test]
fn ages_are_found_in_memory() {
    ages_are_found(0..20, || Box::new(MemoryDisk::new()));
}

#[test]
fn ages_are_found_in_sqlite() {
    ages_are_found(0..6, || Box::new(TempDir::new().expect("there is a directory")));
}

#[test]
fn a_full_disk_writes_nothing_and_an_ambiguous_commit_says_so() {
    let disk = MemoryDisk::new();
    let mut store = disk.open();
    store.load().expect("loads");
    let commit = |number| Commit {
        number,
        ops: vec![Op::Renewed { log_id: LogId([u8::try_from(number).expect("small"); 16]) }],
    };

    disk.fail_next(Failure::Full);
    assert!(matches!(store.commit(&commit(1)), Err(CommitError::Full(_))));
    assert_eq!(store.load().expect("loads").number, 0);
    store.commit(&commit(1)).expect("there is space again");

    disk.fail_next(Failure::AmbiguousLost);
    assert!(matches!(store.commit(&commit(2)), Err(CommitError::Ambiguous(_))));
    let again = store.commit(&commit(2));
    assert!(matches!(again, Err(CommitError::Ambiguous(_))), "not before a load");
    assert_eq!(store.load().expect("loads").number, 1);

    disk.fail_next(Failure::AmbiguousApplied);
    assert!(matches!(store.commit(&commit(2)), Err(CommitError::Ambiguous(_))));
    assert_eq!(store.load().expect("loads").number, 2);
    store.commit(&commit(3)).expect("commits");
}

#[test]
fn restoring_a_memory_disk_goes_back_and_renews_the_log() {
    let disk = MemoryDisk::new();
    let mut store = disk.open();
    store.load().expect("loads");
    let mut author = Author::new(7);
    for _ in 0..20 {
        store.commit(&author.commit()).expect("commits");
    }
    let snapshot = disk.snapshot();
    let mut expected = author.model.clone();
    for _ in 0..20 {
        store.commit(&author.commit()).expect("commits");
    }
    drop(store);
    let log_id = LogId([9; 16]);
    disk.restore(&snapshot, log_id);
    expected.apply(&Commit { number: expected.number + 1, ops: vec![Op::Renewed { log_id }] });
    author.model = expected;
    assert_same(&mut disk.open(), &mut author);
}
