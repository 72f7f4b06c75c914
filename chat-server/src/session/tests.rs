//! A session between tails, a store and a client that checks everything it receives.

use protocol::{
    ids::{Counter, DeviceId},
    limits::BATCH_BYTES_TARGET,
    message::{
        MessageReader,
        ext::Ext,
        record::{
            Class, Content, ENVELOPE_VERSION, Envelope, Record, RecordReader, chain_next,
            chain_prefix,
        },
        session::Ping,
    },
};

use super::*;
use crate::{
    hub::{
        Publication,
        op::{Op, Opened},
    },
    store::{
        Commit, Store,
        memory::{MemoryDisk, MemoryStore},
    },
};

const ROOM: ConversationId = ConversationId([1; 16]);

/// A conversation whose runs are in the store and in tails.
struct Log {
    store: MemoryStore,
    tails: Tails,
    head: Seq,
    chain: Digest,
    commits: u64,
}

impl Log {
    fn new(tail_bytes_max: usize) -> Self {
        let mut log = Self {
            store: MemoryDisk::new().open(),
            tails: Tails::new(tail_bytes_max),
            head: Seq::ZERO,
            chain: chain_start(ROOM),
            commits: 0,
        };
        let opened = Opened {
            conversation: ROOM,
            kind: protocol::message::room::Kind::OPEN_ROOM,
            name: "tea".into(),
            name_key: "tea".into(),
            topic: String::new(),
            access: protocol::message::room::Access::ANYONE,
            genesis: bytes::Bytes::new(),
            creator: None,
        };
        log.commit(Op::Opened(opened));
        log
    }

    fn commit(&mut self, op: Op) {
        self.commits += 1;
        let commit = Commit { number: self.commits, ops: vec![op] };
        self.store.commit(&commit).expect("commits");
    }

    /// Commits and publishes one run of `count` records.
    fn grow(&mut self, count: u32, body_bytes: usize) -> Seq {
        let first = self.head.next();
        let mut run = crate::hub::log::OpenRun::new(ROOM, first, WallTime::default(), self.chain);
        for _ in 0..count {
            let seq = self.head.next();
            let envelope = Envelope {
                version: ENVELOPE_VERSION,
                device: DeviceId([3; 16]),
                counter: Counter(seq.0),
                class: Class::CONTENT,
                target: None,
                epoch: 0,
                seen: (Seq::ZERO, [0; 8]),
                ext: Ext::none(),
            };
            let record = Record {
                envelope: envelope.encode().into(),
                signature: vec![].into(),
                content: Content::Body(vec![7; body_bytes].into()),
            };
            self.chain = chain_next(&self.chain, seq, &record.envelope_hash(ROOM));
            run.push(&record, self.chain, None);
            self.head = seq;
        }
        let (appended, published) = run.finish();
        self.commit(Op::Appended(appended));
        self.tails.publish(&Publication { runs: vec![published], ..Publication::default() });
        self.head
    }

    fn follow(&self, after: u64, chain: [u8; 8], newest: u32) -> ToSession {
        ToSession::Follow {
            follow: Follow { conversation: ROOM, after: Seq(after), chain, newest },
            visible: (Seq::FIRST, None),
            first: Seq::FIRST,
            head: self.head,
            chain: self.chain,
        }
    }
}

/// Everything a client saw.
#[derive(Default)]
struct Seen {
    places: Vec<u64>,
    following: Vec<(u64, Digest)>,
    pages: Vec<(u64, bool, Vec<u64>)>,
    others: Vec<&'static str>,
    packets: usize,
    reads: usize,
}

/// Lets reads and packets happen until the session has nothing more to do.
fn run(session: &mut Session, log: &Log, seen: &mut Seen) {
    let mut reader = log.store.reader().expect("opens");
    loop {
        if let Some(read) = session.poll_read() {
            seen.reads += 1;
            let answer = read.perform(&mut *reader);
            session.handle_read(read, answer, &log.tails);
            continue;
        }
        if !session.has_output() {
            return;
        }
        // A packet that was sealed before it, for the same write.
        let mut out = vec![0; BATCH_BYTES_TARGET + 1];
        let start = out.len();
        session.compose(&log.tails, &mut out, BATCH_BYTES_TARGET);
        let content = &out[start..];
        assert!(content.len() <= CONTENT_BYTES_MAX);
        seen.packets += usize::from(!content.is_empty());
        for message in MessageReader::new(content) {
            match RelayMessage::decode(message.expect("whole")).expect("valid") {
                RelayMessage::Records(records) => {
                    let run = &records.run;
                    let reader = RecordReader::new(run.first, run.count, &run.records);
                    seen.places.extend(reader.map(|record| record.expect("valid").0.0));
                }
                RelayMessage::Following(f) => seen.following.push((f.from.0, f.chain)),
                RelayMessage::Page(page) => {
                    let (mut bytes, mut places) = (&page.runs[..], Vec::new());
                    while !bytes.is_empty() {
                        let (run, used) = Run::decode_front(bytes).expect("a run");
                        places.extend(run.records().map(|record| record.expect("valid").0.0));
                        bytes = &bytes[used..];
                    }
                    seen.pages.push((page.first.0, page.end, places));
                }
                RelayMessage::Forked(_) => seen.others.push("forked"),
                RelayMessage::Goodbye(_) => seen.others.push("goodbye"),
                RelayMessage::Pong(_) => seen.others.push("pong"),
                RelayMessage::Reply(_, Ok(_)) => seen.others.push("yes"),
                RelayMessage::Reply(_, Err(_)) => seen.others.push("no"),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_follower_gets_every_record_once_from_the_tail_and_then_as_they_come() {
    let mut log = Log::new(1 << 20);
    log.grow(3, 100);
    let (mut session, mut seen) = (Session::new(), Seen::default());
    let subscription = session.handle(log.follow(0, [0; 8], 100), &log.tails);
    assert_eq!(subscription, Some(Subscription::Follow(ROOM)));
    run(&mut session, &log, &mut seen);
    let head = log.grow(2, 100);
    session.advance(ROOM, head);
    run(&mut session, &log, &mut seen);
    assert_eq!(seen.places, [1, 2, 3, 4, 5]);
    assert_eq!(seen.following, [(1, chain_start(ROOM))]);
    assert_eq!(seen.reads, 0, "everything was at hand");
}

#[test]
fn a_follower_that_has_fallen_out_of_the_tail_reads_the_store() {
    let mut log = Log::new(2_000);
    for _ in 0..50 {
        log.grow(4, 1_000);
    }
    let (mut session, mut seen) = (Session::new(), Seen::default());
    session.handle(log.follow(0, [0; 8], u32::MAX), &log.tails);
    run(&mut session, &log, &mut seen);
    assert_eq!(seen.places, (1..=200).collect::<Vec<_>>());
    assert!(seen.reads >= 3, "{} reads", seen.reads);
}

#[test]
fn a_slow_reader_costs_a_place_and_misses_nothing() {
    let mut log = Log::new(5_000);
    let (mut session, mut seen) = (Session::new(), Seen::default());
    session.handle(log.follow(0, [0; 8], u32::MAX), &log.tails);
    for _ in 0..100 {
        let head = log.grow(1, 1_000);
        session.advance(ROOM, head);
    }
    assert!(session.pending.len() < 200, "records do not wait in the session");
    run(&mut session, &log, &mut seen);
    assert_eq!(seen.places, (1..=100).collect::<Vec<_>>());
}

#[test]
fn a_resumed_follower_continues_after_what_it_has() {
    let mut log = Log::new(1 << 20);
    log.grow(3, 100);
    let prefix = chain_prefix(&log.chain);
    log.grow(3, 100);
    let (mut session, mut seen) = (Session::new(), Seen::default());
    session.handle(log.follow(3, prefix, 100), &log.tails);
    run(&mut session, &log, &mut seen);
    assert_eq!(seen.places, [4, 5, 6]);
}

#[test]
fn another_chain_or_a_cursor_beyond_the_log_is_a_fork() {
    let mut log = Log::new(0);
    log.grow(5, 100);
    for (after, chain) in [(3, [9; 8]), (5, [9; 8]), (6, chain_prefix(&log.chain))] {
        let (mut session, mut seen) = (Session::new(), Seen::default());
        session.handle(log.follow(after, chain, 100), &log.tails);
        run(&mut session, &log, &mut seen);
        assert_eq!(seen.others, ["forked"], "after {after}");
        assert!(seen.places.is_empty());
    }
}

#[test]
fn after_a_long_absence_the_stream_begins_with_the_newest() {
    let mut log = Log::new(0);
    for _ in 0..10 {
        log.grow(10, 10);
    }
    let (mut session, mut seen) = (Session::new(), Seen::default());
    session.handle(log.follow(0, [0; 8], 15), &log.tails);
    run(&mut session, &log, &mut seen);
    assert_eq!(seen.places, (86..=100).collect::<Vec<_>>());
    assert_ne!(seen.following[0].1, chain_start(ROOM));
}

#[test]
fn nothing_is_sent_beyond_the_end_of_a_membership_but_history_stays() {
    let mut log = Log::new(1 << 20);
    log.grow(4, 10);
    let (mut session, mut seen) = (Session::new(), Seen::default());
    session.handle(log.follow(0, [0; 8], 100), &log.tails);
    let revoke = ToSession::Revoke { conversation: ROOM, last: Seq(3) };
    let subscription = session.handle(revoke, &log.tails);
    assert_eq!(subscription, Some(Subscription::Unfollow(ROOM)));
    log.grow(2, 10);
    session.advance(ROOM, log.head);
    run(&mut session, &log, &mut seen);
    assert_eq!(seen.places, [1, 2, 3]);
    session.pull(Pull { id: 1, conversation: ROOM, before: Seq(99), count: 100 });
    run(&mut session, &log, &mut seen);
    assert_eq!(seen.pages, [(1, true, vec![1, 2, 3])]);
}

#[test]
fn pages_end_where_nothing_older_can_be_had() {
    let mut log = Log::new(1 << 20);
    log.grow(10, 10);
    let (mut session, mut seen) = (Session::new(), Seen::default());
    let pull = |before, count| Pull { id: 1, conversation: ROOM, before: Seq(before), count };
    session.pull(pull(5, 2));
    run(&mut session, &log, &mut seen);
    assert_eq!(seen.pages, [(5, true, vec![])], "not followed, so not visible");
    session.handle(log.follow(10, chain_prefix(&log.chain), 0), &log.tails);
    for (before, count) in [(8, 3), (4, 100), (1, 5), (8, 0)] {
        session.pull(pull(before, count));
    }
    run(&mut session, &log, &mut seen);
    // Empty ones need no read, so they come first.
    assert_eq!(
        seen.pages[1..],
        [
            (1, true, vec![]),
            (8, false, vec![]),
            (5, false, vec![5, 6, 7]),
            (1, true, vec![1, 2, 3])
        ]
    );
}

#[test]
fn a_log_trimmed_under_a_slow_reader_begins_again_and_says_so() {
    let mut log = Log::new(0);
    for _ in 0..10 {
        log.grow(1, 100);
    }
    let (mut session, mut seen) = (Session::new(), Seen::default());
    session.handle(log.follow(0, [0; 8], u32::MAX), &log.tails);
    log.commit(Op::Trimmed { conversation: ROOM, first: Seq(6) });
    run(&mut session, &log, &mut seen);
    assert_eq!(seen.places, (6..=10).collect::<Vec<_>>());
    assert_eq!(seen.following.last().map(|f| f.0), Some(6));
}

#[test]
fn a_client_that_does_not_read_is_told_and_closed() {
    let log = Log::new(0);
    let (mut session, mut seen) = (Session::new(), Seen::default());
    let pong = RelayMessage::Pong(Ping { token: u64::MAX });
    for _ in 0..=PENDING_BYTES_MAX / 10 {
        session.push(&pong);
        assert!(session.pending.len() <= PENDING_BYTES_MAX);
    }
    assert!(session.is_closing());
    seen.others.clear();
    run(&mut session, &log, &mut seen);
    assert_eq!(seen.others.first(), Some(&"goodbye"));
}

#[test]
fn too_many_questions_close_the_session() {
    let mut log = Log::new(1 << 20);
    log.grow(10, 10);
    let mut session = Session::new();
    session.handle(log.follow(0, [0; 8], 0), &log.tails);
    for id in 0..=u32::try_from(READS_MAX).expect("small") {
        assert!(!session.is_closing());
        session.pull(Pull { id, conversation: ROOM, before: Seq(5), count: 1 });
    }
    assert!(session.is_closing());
}

#[test]
fn the_largest_records_fit_packets() {
    let mut log = Log::new(0);
    for _ in 0..5 {
        log.grow(2, protocol::limits::BODY_BYTES_MAX);
    }
    let (mut session, mut seen) = (Session::new(), Seen::default());
    session.handle(log.follow(0, [0; 8], u32::MAX), &log.tails);
    run(&mut session, &log, &mut seen);
    assert_eq!(seen.places, (1..=10).collect::<Vec<_>>());
}

#[test]
fn the_chain_after_a_record_answers_an_audit() {
    let mut log = Log::new(0);
    log.grow(3, 10);
    let (mut session, mut seen) = (Session::new(), Seen::default());
    for seq in [2, 99] {
        let chain_at = ToSession::ChainAt { id: 1, conversation: ROOM, seq: Seq(seq) };
        session.handle(chain_at, &log.tails);
    }
    run(&mut session, &log, &mut seen);
    assert_eq!(seen.others, ["yes", "no"]);
}
