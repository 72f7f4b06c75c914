//! How fast the store on disk commits while it indexes, and how fast it loads.
//!
//! `cargo bench -p chat-server --bench store [-- [--loading] DIR]`; without a directory in the system's
//! temporary one, which should be on the disk in question.

#![allow(
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "rounded figures on the standard output are what it is for"
)]

use std::{
    borrow::Cow,
    env, fs,
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chat_server::{
    hub::op::{Appended, Decision, Fate, Membership, Op, Opened, Registered},
    store::{
        Commit, Indexer, Progress, Store,
        sqlite::{Durability, SqliteStore},
    },
};
use protocol::{
    entropy::SimRng,
    ids::{AccountId, ConversationId, Counter, DeviceId, Seq, sha256},
    message::{
        ext::Ext,
        record::{Class, Content, ENVELOPE_VERSION, Envelope, Record},
        room::{Access, Kind, Role},
    },
    time::WallTime,
};
use tempfile::TempDir;

const BODY_BYTES: usize = 128;
const RUN_SECONDS: u64 = 6;
/// How long the indexer waits for more once it has caught up.
const INDEX_PAUSE: Duration = Duration::from_millis(100);

fn main() {
    let base = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let base = base.map_or_else(env::temp_dir, Into::into);
    let only_loading = env::args().any(|argument| argument == "--loading");
    if only_loading {
        return loading(&base);
    }
    syncs(&base);
    println!("commits of {BODY_BYTES}-byte messages over 500 conversations, indexing meanwhile");
    for batch in [1, 64, 256] {
        commits(&base, batch);
    }
    loading(&base);
}

fn commits(base: &Path, batch: u64) {
    let dir = TempDir::new_in(base).expect("the directory can be written");
    let mut store = SqliteStore::open(dir.path(), Durability::Synced).expect("opens");
    store.load().expect("loads");
    let mut traffic = Traffic::new(500);
    store.commit(&traffic.founding()).expect("commits");

    let stop = Arc::new(AtomicBool::new(false));
    let indexing = spawn_indexer(store.indexer().expect("opens"), Arc::clone(&stop));
    let mut taken = Vec::new();
    let mut cpu = Duration::ZERO;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(RUN_SECONDS) {
        let commit = traffic.commit(batch);
        let (before, cpu_before) = (Instant::now(), thread_cpu());
        store.commit(&commit).expect("commits");
        taken.push(before.elapsed());
        cpu += thread_cpu().saturating_sub(cpu_before);
    }
    let wall = started.elapsed();
    stop.store(true, Ordering::Relaxed);
    let (steps, longest, index_cpu) = indexing.join().expect("the indexer ends");
    let drained = started.elapsed().saturating_sub(wall);

    let busy: Duration = taken.iter().sum();
    taken.sort_unstable();
    let at = |part: usize| taken[(taken.len() - 1) * part / 1000].as_secs_f64() * 1e3;
    let commits = taken.len() as f64;
    println!(
        "batch {batch:>3}: {:>6.0} commits/s {:>8.0} msgs/s ({:>8.0} in commit alone); commit ms \
         p50 {:.2} p99 {:.2} p99.9 {:.2} worst {:.2}; {steps} index steps, longest {:.1} ms, \
         backlog drained in {:.1} s; cpu us per message: commit {:.2}, index {:.2}",
        commits / wall.as_secs_f64(),
        commits * batch as f64 / wall.as_secs_f64(),
        commits * batch as f64 / busy.as_secs_f64(),
        at(500),
        at(990),
        at(999),
        at(1000),
        longest.as_secs_f64() * 1e3,
        drained.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / (commits * batch as f64),
        index_cpu.as_secs_f64() * 1e6 / (commits * batch as f64),
    );
}

fn spawn_indexer(
    mut indexer: Box<dyn Indexer>,
    stop: Arc<AtomicBool>,
) -> thread::JoinHandle<(u32, Duration, Duration)> {
    thread::spawn(move || {
        let (mut steps, mut longest) = (0, Duration::ZERO);
        loop {
            let before = Instant::now();
            let progress = indexer.step().expect("indexes");
            match progress {
                Progress::More | Progress::CaughtUp => {
                    steps += 1;
                    longest = longest.max(before.elapsed());
                }
                Progress::Idle if stop.load(Ordering::Relaxed) => {
                    return (steps, longest, thread_cpu());
                }
                Progress::Idle => thread::park_timeout(INDEX_PAUSE),
            }
        }
    })
}

/// What the disk can do at this moment: everything else is to be read beside it.
fn syncs(base: &Path) {
    let dir = TempDir::new_in(base).expect("the directory can be written");
    let file = File::create(dir.path().join("probe")).expect("creates");
    file.write_all_at(&vec![0; 1 << 20], 0).expect("writes");
    file.sync_all().expect("syncs");
    for kib in [4, 64] {
        let mut taken: Vec<_> = (0..500)
            .map(|_| {
                let before = Instant::now();
                file.write_all_at(&vec![1; kib << 10], 0).expect("writes");
                file.sync_data().expect("syncs");
                before.elapsed()
            })
            .collect();
        taken.sort_unstable();
        println!("raw {kib} KiB write and sync: p50 {:.2?} p99 {:.2?}", taken[250], taken[495]);
    }
}

/// Time this thread has spent on a processor.
fn thread_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split_whitespace().next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

fn loading(base: &Path) {
    const MESSAGES: u64 = 1_000_000;
    const UNINDEXED: u64 = 100_000;
    const BATCH: u64 = 256;
    let dir = TempDir::new_in(base).expect("the directory can be written");
    let mut store = SqliteStore::open(dir.path(), Durability::Unsynced).expect("opens");
    store.load().expect("loads");
    let mut traffic = Traffic::new(10_000);
    store.commit(&traffic.founding()).expect("commits");
    let mut indexer = store.indexer().expect("opens");
    let mut written = 0;
    while written < MESSAGES {
        store.commit(&traffic.commit(BATCH)).expect("commits");
        written += BATCH;
        if written < MESSAGES - UNINDEXED {
            indexer.step().expect("indexes");
        }
    }
    drop((store, indexer));

    let (started, cpu) = (Instant::now(), thread_cpu());
    let mut store = SqliteStore::open(dir.path(), Durability::Synced).expect("opens");
    let opened = started.elapsed();
    let loaded = store.load().expect("loads");
    let whole = started.elapsed();
    let cpu = thread_cpu().saturating_sub(cpu);
    store.commit(&Commit { number: loaded.number + 1, ops: Vec::new() }).expect("commits");
    println!(
        "{MESSAGES} messages in 10000 conversations, {UNINDEXED} of them unindexed: open {:.1} ms, \
         load {:.1} ms ({:.1} ms on a processor), first commit after {:.1} ms",
        opened.as_secs_f64() * 1e3,
        whole.saturating_sub(opened).as_secs_f64() * 1e3,
        cpu.as_secs_f64() * 1e3,
        started.elapsed().as_secs_f64() * 1e3,
    );
}

/// Commits as the hub would make them, without the hub.
struct Traffic {
    rng: SimRng,
    number: u64,
    counter: u64,
    rooms: Vec<(ConversationId, Seq)>,
    devices: Vec<DeviceId>,
}

impl Traffic {
    fn new(rooms: u64) -> Self {
        let id = |kind: &[u8], n: u64| {
            let mut id = [0; 16];
            id.copy_from_slice(&sha256(&[kind, &n.to_be_bytes()])[..16]);
            id
        };
        Self {
            rng: SimRng::new(1),
            number: 0,
            counter: 0,
            rooms: (0..rooms).map(|n| (ConversationId(id(b"room", n)), Seq::ZERO)).collect(),
            devices: (0..1_000).map(|n| DeviceId(id(b"device", n))).collect(),
        }
    }

    /// Accounts, rooms, and two members in each.
    fn founding(&mut self) -> Commit {
        let mut ops = Vec::new();
        for (index, device) in self.devices.iter().enumerate() {
            ops.push(Op::Registered(Registered {
                account: AccountId(device.0),
                device: *device,
                name: format!("Person {index}"),
                name_key: format!("person {index}"),
                signing_key: sha256(&[b"signing", &device.0]),
                channel_key: sha256(&[b"channel", &device.0]),
                genesis: Bytes::from_static(&[0; 100]),
                signature: Bytes::from_static(&[0; 64]),
                at: WallTime::default(),
            }));
        }
        for (index, (room, _)) in self.rooms.iter().enumerate() {
            ops.push(Op::Opened(Opened {
                conversation: *room,
                kind: Kind::OPEN_ROOM,
                name: format!("Room {index}"),
                name_key: format!("room {index}"),
                topic: String::new(),
                access: Access::ANYONE,
                genesis: Bytes::from_static(&[0; 40]),
                creator: None,
            }));
            for of in 0..2 {
                ops.push(Op::Member {
                    conversation: *room,
                    account: AccountId(self.sender(index, of).0),
                    member: Membership::joined(Role::MEMBER, Seq::FIRST),
                });
            }
        }
        self.number += 1;
        Commit { number: self.number, ops }
    }

    /// One message each in `batch` conversations.
    fn commit(&mut self, batch: u64) -> Commit {
        let ops = (0..batch).map(|_| self.append()).collect();
        self.number += 1;
        Commit { number: self.number, ops }
    }

    fn append(&mut self) -> Op {
        let index = usize::try_from(self.rng.below(self.rooms.len() as u64)).expect("small");
        let of = usize::try_from(self.rng.below(2)).expect("small");
        let device = self.sender(index, of);
        self.counter += 1;
        let counter = Counter(self.counter);
        let (room, head) = &mut self.rooms[index];
        *head = head.next();
        let envelope = Envelope {
            version: ENVELOPE_VERSION,
            device,
            counter,
            class: Class::CONTENT,
            target: None,
            epoch: 0,
            seen: (*head, [0; 8]),
            ext: Ext::none(),
        };
        let mut records = Vec::with_capacity(BODY_BYTES + 64);
        Record {
            envelope: Cow::Owned(envelope.encode()),
            signature: Cow::Borrowed(&[]),
            content: Content::Body(Cow::Borrowed(&[7; BODY_BYTES])),
        }
        .append_to(&mut records);
        Op::Appended(Appended {
            conversation: *room,
            first: *head,
            time: WallTime::from_millis(1_700_000_000_000 + self.counter),
            count: 1,
            records: records.into(),
            chain_before: [1; 32],
            chain_after: [2; 32],
            decisions: vec![Decision {
                device,
                counter,
                fate: Fate::Placed(*head),
                digest: [3; 16],
                floor: counter,
            }],
        })
    }

    fn sender(&self, room: usize, of: usize) -> DeviceId {
        self.devices[(room * 2 + of) % self.devices.len()]
    }
}
