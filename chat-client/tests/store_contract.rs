//! One suite for every store: what the engine and the views may rely on.

use std::borrow::Cow;

use chat_client::search::Query as SearchQuery;
use chat_client::store::{
    Change, Found, History, Loaded, Query, Store,
    memory::MemoryStore,
    row::{
        CHAIN_STRIDE, Destination, Draft, Encoded, Interval, LocalId, OutboxRow, Payload, Pin,
        Said, Stage, StoredRecord,
    },
    search::{Search, Senders},
    sqlite::SqliteStore,
};
use protocol::{
    ids::{AccountId, ConversationId, Counter, DeviceId, Digest, LogId, MessageId, Seq},
    message::{
        event::Body,
        ext::Ext,
        record::{
            Class, Content, ENVELOPE_VERSION, Envelope, Target, chain_next, chain_start,
            envelope_hash,
        },
        room::{Access, AccountInfo, ConversationInfo, DeviceInfo, Kind, Role, Standing},
    },
    time::WallTime,
};

const ROOM: ConversationId = ConversationId([1; 16]);
const OTHER: ConversationId = ConversationId([2; 16]);
const ME: DeviceId = DeviceId([3; 16]);
const THEM: DeviceId = DeviceId([4; 16]);

trait Subject: Store + History {}
impl<T: Store + History> Subject for T {}

/// Runs a test against every store.
fn each(test: impl Fn(&mut dyn Subject)) {
    test(&mut MemoryStore::new());
    let folder = tempfile::tempdir().expect("a folder");
    test(&mut SqliteStore::open(&folder.path().join("chat.db")).expect("it opens"));
}

fn info(id: ConversationId) -> ConversationInfo {
    ConversationInfo {
        id,
        kind: Kind::OPEN_ROOM,
        name: "lobby".into(),
        topic: String::new(),
        access: Access::ANYONE,
        standing: Standing::JOINED,
        role: Role::MEMBER,
        muted_until: WallTime::default(),
        peer: None,
        first: Seq::FIRST,
        head: Seq(9),
        read: Seq(2),
        members: 3,
        genesis: Vec::new().into(),
        ext: Ext::none(),
    }
}

fn room(id: ConversationId) -> Change {
    Change::Conversation(Box::new(info(id)))
}

/// A log: its records from 1 on, and the chain after each (at 0: before the first).
fn log(id: ConversationId, count: u64) -> (Vec<StoredRecord>, Vec<Digest>) {
    let mut chains = vec![chain_start(id)];
    let mut records = Vec::new();
    for number in 1..=count {
        let seq = Seq(number);
        let device = if number % 3 == 0 { ME } else { THEM };
        let envelope = Envelope {
            version: ENVELOPE_VERSION,
            device,
            counter: Counter(number),
            class: Class::CONTENT,
            target: None,
            epoch: 0,
            seen: (Seq::ZERO, [0; 8]),
            ext: Ext::none(),
        };
        let body = Draft::text(format!("message {number}")).body(WallTime::default()).encode();
        let content = Content::Body(Cow::Owned(body));
        let bytes = envelope.encode();
        let hash = envelope_hash(id, &bytes, &content.digest());
        let chain = chain_next(&chains[chains.len() - 1], seq, &hash);
        chains.push(chain);
        records.push(StoredRecord {
            seq,
            time: WallTime::from_millis(1_000 + number),
            id: Some(envelope.id()),
            target: None,
            envelope: bytes,
            signature: Vec::new(),
            content,
            chain: number.is_multiple_of(CHAIN_STRIDE).then_some(chain),
        });
    }
    (records, chains)
}

fn stretch(chains: &[Digest], low: usize, high: usize) -> Interval {
    Interval {
        low: Seq(low as u64),
        high: Seq(high as u64),
        before: chains[low - 1],
        chain: chains[high],
    }
}

fn outbox_row(local: u64, counter: u64) -> OutboxRow {
    let payload = Payload::Encoded(Encoded {
        conversation: ROOM,
        counter: Counter(counter),
        envelope: vec![1; 40],
        signature: Vec::new(),
        body: vec![2; 20],
    });
    let composed_at = WallTime::from_millis(5);
    OutboxRow { local: LocalId(local), composed_at, payload, stage: Stage::Queued }
}

fn seqs(rows: &[chat_client::store::row::HistoryRow]) -> Vec<u64> {
    rows.iter().map(|row| row.seq.0).collect()
}

#[test]
fn an_empty_store_loads_as_nothing() {
    each(|store| {
        let loaded = store.load().unwrap();
        let next_local = loaded.next_local;
        assert_eq!(loaded, Loaded { next_local, ..Loaded::default() });
    });
}

#[test]
fn what_was_applied_is_loaded_again() {
    each(|store| {
        let (records, chains) = log(ROOM, 9);
        let account =
            AccountInfo { account: AccountId([5; 16]), name: "ann".into(), ext: Ext::none() };
        let device = DeviceInfo {
            device: THEM,
            account: account.clone(),
            signing_key: [6; 32],
            ext: Ext::none(),
        };
        let pin = Pin { name: "ann".into(), account: account.account };
        let unresolved = OutboxRow {
            local: LocalId(8),
            payload: Payload::Unresolved {
                to: Destination::Person("ann".into()),
                draft: Draft::text("hi"),
            },
            ..outbox_row(8, 0)
        };
        let intervals = vec![stretch(&chains, 1, 3), stretch(&chains, 6, 9)];
        store
            .apply(&[
                Change::Account(account.clone()),
                Change::LogId(LogId([7; 16])),
                Change::NextCounter(Counter(12)),
                Change::NextCounter(Counter(10)),
                room(ROOM),
                room(OTHER),
                Change::Records(ROOM, records),
                Change::Intervals(ROOM, vec![stretch(&chains, 1, 2)]),
                Change::Intervals(ROOM, intervals.clone()),
                Change::Read(ROOM, Seq(7)),
                Change::Draft(ROOM, "half a sen".into()),
                Change::Outbox(outbox_row(7, 11)),
                Change::Outbox(unresolved.clone()),
                Change::Person(account.clone()),
                Change::Device(device.clone()),
                Change::Pin(pin.clone()),
            ])
            .unwrap();
        let loaded = store.load().unwrap();
        assert_eq!(loaded.account, Some(account.clone()));
        assert_eq!(loaded.log_id, Some(LogId([7; 16])));
        assert_eq!(loaded.next_counter, Counter(12), "a number never falls");
        assert_eq!(loaded.next_local, LocalId(9));
        assert_eq!(loaded.outbox, [outbox_row(7, 11), unresolved]);
        assert_eq!((loaded.people, loaded.devices), (vec![account], vec![device]));
        assert_eq!(loaded.pins, [pin]);
        let [first, second] = &loaded.conversations[..] else { panic!("two conversations") };
        assert_eq!(first.info, info(ROOM));
        assert_eq!(first.intervals, intervals);
        assert_eq!((first.read, first.draft.as_str()), (Seq(7), "half a sen"));
        assert_eq!((second.info.id, second.read), (OTHER, Seq(2)));
    });
}

#[test]
fn the_name_of_an_outbox_row_is_never_given_twice() {
    each(|store| {
        store.apply(&[Change::Outbox(outbox_row(7, 11))]).unwrap();
        store.apply(&[Change::OutboxGone(LocalId(7))]).unwrap();
        let loaded = store.load().unwrap();
        assert_eq!((loaded.outbox.len(), loaded.next_local), (0, LocalId(8)));
    });
}

#[test]
fn pages_end_at_gaps() {
    each(|store| {
        let (mut records, _) = log(ROOM, 20);
        records.retain(|record| !(8..=12).contains(&record.seq.0));
        store.apply(&[room(ROOM), Change::Records(ROOM, records)]).unwrap();
        assert_eq!(seqs(&store.newest(ROOM, 4).unwrap()), [17, 18, 19, 20]);
        assert_eq!(seqs(&store.newest(ROOM, 100).unwrap()), [13, 14, 15, 16, 17, 18, 19, 20]);
        assert_eq!(seqs(&store.before(ROOM, Seq(13), 2).unwrap()), [6, 7]);
        assert_eq!(seqs(&store.before(ROOM, Seq(1), 2).unwrap()), [0; 0]);
        assert_eq!(seqs(&store.after(ROOM, Seq(5), 9).unwrap()), [6, 7]);
        assert_eq!(seqs(&store.after(ROOM, Seq(7), 2).unwrap()), [13, 14]);
        assert_eq!(seqs(&store.newest(OTHER, 4).unwrap()), [0; 0]);
        assert!(store.record(ROOM, Seq(9)).unwrap().is_none());
        let row = store.record(ROOM, Seq(6)).unwrap().unwrap();
        assert_eq!(row.envelope.unwrap().device, ME);
        assert!(matches!(row.said, Said::Body(Body::Text(text)) if text.text == "message 6"));
    });
}

#[test]
fn a_record_that_is_stored_already_stays_as_it_is() {
    each(|store| {
        let (records, _) = log(ROOM, 1);
        let mut other = records.clone();
        other[0].time = WallTime::from_millis(99);
        let first = Change::Records(ROOM, records);
        store.apply(&[room(ROOM), first, Change::Records(ROOM, other)]).unwrap();
        let row = store.record(ROOM, Seq(1)).unwrap().unwrap();
        assert_eq!(row.time, WallTime::from_millis(1_001));
    });
}

#[test]
fn erasing_takes_the_words_keeps_the_chain_and_needs_the_right_name() {
    each(|store| {
        let (records, chains) = log(ROOM, 3);
        let name = |counter| MessageId { device: THEM, counter: Counter(counter) };
        store
            .apply(&[
                room(ROOM),
                Change::Records(ROOM, records),
                Change::Intervals(ROOM, vec![stretch(&chains, 1, 3)]),
                Change::Erase(ROOM, Seq(1), name(2)),
                Change::Erase(ROOM, Seq(2), name(2)),
                Change::Erase(ROOM, Seq(2), name(2)),
            ])
            .unwrap();
        assert_ne!(store.record(ROOM, Seq(1)).unwrap().unwrap().said, Said::Erased);
        assert_eq!(store.record(ROOM, Seq(2)).unwrap().unwrap().said, Said::Erased);
        let rehash = Query::Rehash(ROOM, stretch(&chains, 1, 3));
        assert_eq!(store.find(&rehash).unwrap(), Found::Chain(Some(chains[3])));
    });
}

#[test]
fn the_chain_is_known_at_every_stored_place_and_just_before() {
    each(|store| {
        let (mut records, chains) = log(ROOM, 300);
        records.retain(|record| !(91..100).contains(&record.seq.0));
        let intervals = vec![stretch(&chains, 1, 90), stretch(&chains, 100, 300)];
        store
            .apply(&[
                room(ROOM),
                Change::Records(ROOM, records),
                Change::Intervals(ROOM, intervals),
            ])
            .unwrap();
        let mut chain_at = |seq: usize| {
            let query = Query::ChainAt(ROOM, Seq(seq as u64));
            match store.find(&query).unwrap() {
                Found::Chain(chain) => chain,
                Found::Own { .. } => panic!("asked for a chain"),
            }
        };
        for seq in (0..=90).chain(99..=300) {
            assert_eq!(chain_at(seq), Some(chains[seq]), "at {seq}");
        }
        assert_eq!((chain_at(95), chain_at(301)), (None, None));
    });
}

#[test]
fn a_fork_moves_what_is_above_aside_and_nothing_else() {
    each(|store| {
        let (records, _) = log(ROOM, 9);
        let (others, _) = log(OTHER, 9);
        store
            .apply(&[
                room(ROOM),
                room(OTHER),
                Change::Records(ROOM, records.clone()),
                Change::Records(OTHER, others),
            ])
            .unwrap();
        let found = store.find(&Query::OwnAbove(ROOM, Seq(4), ME)).unwrap();
        let Found::Own { above, records: own } = found else { panic!("asked for records") };
        assert_eq!(above, 5);
        let bare = |record: &StoredRecord| StoredRecord { chain: None, ..record.clone() };
        assert_eq!(own, [bare(&records[5]), bare(&records[8])]);
        store.apply(&[Change::Fork(ROOM, Seq(4))]).unwrap();
        assert_eq!(seqs(&store.newest(ROOM, 9).unwrap()), [1, 2, 3, 4]);
        assert_eq!(store.newest(OTHER, 9).unwrap().len(), 9);
        // The place is free for what the other history has there.
        store.apply(&[Change::Records(ROOM, vec![records[4].clone()])]).unwrap();
        assert_eq!(seqs(&store.newest(ROOM, 1).unwrap()), [5]);
    });
}

#[test]
fn amends_are_found_by_what_they_act_on() {
    each(|store| {
        let (mut records, _) = log(ROOM, 9);
        records[6].target = Some(Seq(2));
        records[8].target = Some(Seq(4));
        store.apply(&[room(ROOM), Change::Records(ROOM, records)]).unwrap();
        assert_eq!(seqs(&store.amends(ROOM, Seq(1), Seq(9)).unwrap()), [7, 9]);
        assert_eq!(seqs(&store.amends(ROOM, Seq(3), Seq(5)).unwrap()), [9]);
    });
}

#[test]
fn an_envelope_of_a_later_version_is_kept_and_shown_as_such() {
    each(|store| {
        let (mut records, _) = log(ROOM, 1);
        records[0].envelope = vec![255; 50];
        records[0].id = None;
        store.apply(&[room(ROOM), Change::Records(ROOM, records)]).unwrap();
        assert_eq!(store.record(ROOM, Seq(1)).unwrap().unwrap().envelope, None);
    });
}

mod sqlite {
    use chat_client::store::{StoreFailure, sqlite::SCHEMA};

    use super::*;

    #[test]
    fn everything_survives_closing_and_opening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.db");
        let (records, _) = log(ROOM, 9);
        let mut store = SqliteStore::open(&path).unwrap();
        store.apply(&[room(ROOM), Change::Records(ROOM, records)]).unwrap();
        store.apply(&[Change::Outbox(outbox_row(7, 11))]).unwrap();
        drop(store);
        let mut store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.newest(ROOM, 100).unwrap().len(), 9);
        assert_eq!(store.load().unwrap().outbox, [outbox_row(7, 11)]);
    }

    #[test]
    fn a_failed_batch_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::open(&folder.path().join("chat.db")).unwrap();
        store.apply(&[Change::Outbox(outbox_row(1, 5))]).unwrap();
        // Two messages with one number: the schema refuses what must never be.
        let batch = [Change::Outbox(outbox_row(2, 6)), Change::Outbox(outbox_row(3, 5))];
        assert!(matches!(store.apply(&batch), Err(StoreFailure::Unusable(_))));
        assert_eq!(store.load().unwrap().outbox, [outbox_row(1, 5)]);
    }

    #[test]
    fn a_newer_schema_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.db");
        drop(SqliteStore::open(&path).unwrap());
        let newer = SCHEMA + 1;
        let file = rusqlite::Connection::open(&path).unwrap();
        file.pragma_update(None, "user_version", newer).unwrap();
        drop(file);
        let refused = SqliteStore::open(&path).unwrap_err();
        assert_eq!(refused, StoreFailure::Newer { found: newer, known: SCHEMA });
    }

    #[test]
    fn something_else_than_a_store_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.db");
        std::fs::write(&path, [7; 5_000]).unwrap();
        assert!(matches!(SqliteStore::open(&path), Err(StoreFailure::Damaged(_))));
    }
}

/// A message or an amend of somebody, `time` milliseconds after the beginning.
fn say(
    seq: u64,
    device: DeviceId,
    target: Option<Target>,
    draft: &Draft,
    time: u64,
) -> StoredRecord {
    let envelope = Envelope {
        version: ENVELOPE_VERSION,
        device,
        counter: Counter(seq),
        class: draft.class(),
        target,
        epoch: 0,
        seen: (Seq::ZERO, [0; 8]),
        ext: Ext::none(),
    };
    StoredRecord {
        seq: Seq(seq),
        time: WallTime::from_millis(time),
        id: Some(envelope.id()),
        target: target.map(|target| target.seq),
        envelope: envelope.encode(),
        signature: Vec::new(),
        content: Content::Body(Cow::Owned(draft.body(WallTime::default()).encode())),
        chain: None,
    }
}

fn of(seq: u64, device: DeviceId) -> Target {
    Target { seq: Seq(seq), id: MessageId { device, counter: Counter(seq) } }
}

fn search_for(query: &str) -> Search {
    let zone = jiff::tz::TimeZone::UTC;
    let query = SearchQuery::parse(query, WallTime::default(), &zone).expect("a search");
    Search {
        terms: query.terms,
        conversation: None,
        senders: Senders::Anybody,
        after: query.after,
        before: query.before,
        count: 100,
        own: (ME, Some(AccountId([3; 16]))),
    }
}

fn found(store: &mut dyn Subject, search: &Search) -> Vec<(ConversationId, u64)> {
    let findings = store.search(search).expect("it searches");
    assert_eq!((findings.back_to, findings.unindexed), (None, 0));
    findings.hits.iter().map(|hit| (hit.conversation, hit.row.seq.0)).collect()
}

fn talk() -> Vec<Change> {
    let text = Draft::text;
    let device = |device, account: u8| {
        Change::Device(DeviceInfo {
            device,
            account: AccountInfo {
                account: AccountId([account; 16]),
                name: format!("p{account}"),
                ext: Ext::none(),
            },
            signing_key: [6; 32],
            ext: Ext::none(),
        })
    };
    let edit = |target, words: &str| Draft::Edit { target, text: words.into() };
    vec![
        room(ROOM),
        room(OTHER),
        device(THEM, 4),
        device(DeviceId([5; 16]), 4),
        Change::Records(
            ROOM,
            vec![
                say(1, THEM, None, &text("The Report on packets"), 1_000),
                say(2, ME, None, &text("日本語も書けます"), 2_000),
                say(3, THEM, None, &text("a thing with a typpo"), 3_000),
                // From another device of the same person, and from somebody else.
                say(
                    4,
                    DeviceId([5; 16]),
                    Some(of(3, THEM)),
                    &edit(of(3, THEM), "without errors"),
                    9_000,
                ),
                say(5, ME, Some(of(1, THEM)), &edit(of(1, THEM), "forged words"), 9_001),
                say(6, THEM, None, &text("a secret word"), 4_000),
            ],
        ),
        Change::Records(
            OTHER,
            vec![say(1, ME, None, &Draft::Action { text: "reports".into() }, 2_500)],
        ),
    ]
}

#[test]
fn parts_of_words_are_found_in_any_case_and_script_newest_first() {
    each(|store| {
        store.apply(&talk()).unwrap();
        assert_eq!(found(store, &search_for("rEPORT")), [(OTHER, 1), (ROOM, 1)]);
        assert_eq!(found(store, &search_for("packets \"the rep\"")), [(ROOM, 1)]);
        assert_eq!(found(store, &search_for("日本語")), [(ROOM, 2)]);
        assert_eq!(found(store, &search_for("書け")), [(ROOM, 2)], "shorter than the index knows");
        assert_eq!(found(store, &search_for("port on")), [(ROOM, 1)]);
        assert_eq!(found(store, &search_for("packet\" OR x")), []);
    });
}

#[test]
fn the_newest_words_of_the_author_are_found_and_nothing_else() {
    each(|store| {
        store.apply(&talk()).unwrap();
        assert_eq!(found(store, &search_for("without errors")), [(ROOM, 3)]);
        assert_eq!(found(store, &search_for("typpo")), []);
        assert_eq!(found(store, &search_for("forged")), []);
        let findings = store.search(&search_for("errors")).unwrap();
        assert!(findings.hits[0].is_edited);
    });
}

#[test]
fn searches_are_narrowed_by_place_person_and_time() {
    each(|store| {
        store.apply(&talk()).unwrap();
        let report = || search_for("report");
        let here = Search { conversation: Some(ROOM), ..report() };
        assert_eq!(found(store, &here), [(ROOM, 1)]);
        let mine = Search { senders: Senders::Only(vec![AccountId([3; 16])]), ..report() };
        assert_eq!(found(store, &mine), [(OTHER, 1)]);
        let theirs = Search { senders: Senders::Others, ..report() };
        assert_eq!(found(store, &theirs), [(ROOM, 1)]);
        let late = Search { after: Some(WallTime::from_millis(2_500)), ..report() };
        assert_eq!(found(store, &late), [(OTHER, 1)]);
        let early = Search { before: Some(WallTime::from_millis(2_500)), ..report() };
        assert_eq!(found(store, &early), [(ROOM, 1)]);
        let one = Search { count: 1, ..report() };
        assert_eq!(found(store, &one), [(OTHER, 1)]);
        // Said then, edited later.
        let then = Search { before: Some(WallTime::from_millis(3_001)), ..search_for("errors") };
        assert_eq!(found(store, &then), [(ROOM, 3)]);
        let all = Search { terms: Vec::new(), ..search_for("x") };
        assert_eq!(found(store, &all).len(), 5);
    });
}

#[test]
fn what_was_deleted_or_moved_aside_is_not_found() {
    each(|store| {
        store.apply(&talk()).unwrap();
        // Once before the index has seen the record, once after.
        store.apply(&[Change::Erase(ROOM, Seq(6), of(6, THEM).id)]).unwrap();
        assert_eq!(found(store, &search_for("secret")), []);
        assert_eq!(found(store, &search_for("errors")), [(ROOM, 3)]);
        store.apply(&[Change::Erase(ROOM, Seq(3), of(3, THEM).id)]).unwrap();
        assert_eq!(found(store, &search_for("errors")), []);
        assert_eq!(found(store, &search_for("typpo")), []);
        store.apply(&[Change::Fork(ROOM, Seq(1))]).unwrap();
        assert_eq!(found(store, &search_for("日本語")), []);
        let again = say(2, THEM, None, &Draft::text("another history"), 2_000);
        store.apply(&[Change::Records(ROOM, vec![again])]).unwrap();
        assert_eq!(found(store, &search_for("another")), [(ROOM, 2)]);
    });
}
