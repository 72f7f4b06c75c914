use std::time::Duration;

use protocol::{
    ids::{AccountId, Seq},
    message::{
        ClientMessage, RelayMessage,
        ext::Ext,
        record::{Content, Record, Run},
        request::Request,
        room::{AccountInfo, DeviceInfo},
        session::{Following, Page, Records},
    },
    time::WallTime,
};

use super::{
    bench::{Bench, ROOM},
    relay::THEM,
};
use crate::{
    engine::{Answer, Command, Conversation, Event, ProtocolViolation, UNSAVED_BYTES_MAX},
    store::{History, row::Said},
};

fn hear(bench: &mut Bench, count: usize) {
    for number in 0..count {
        let records = bench.relay.they_say(ROOM, &format!("their {number}"));
        bench.deliver(records);
    }
    bench.settle();
}

fn miss(bench: &mut Bench, count: usize) {
    for number in 0..count {
        bench.relay.they_say(ROOM, &format!("missed {number}"));
    }
}

#[test]
fn records_are_stored_before_they_are_announced_or_reported() {
    let mut bench = Bench::online();
    bench.disk_stalls = true;
    hear(&mut bench, 2);
    assert_eq!((bench.appended(), bench.relay.marks.len()), (vec![], 0));
    bench.disk_stalls = false;
    bench.settle();
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.stored(), [1, 2]);
    assert_eq!(bench.appended().last().map(|(_, to)| *to), Some(Seq(2)));
    assert_eq!(bench.relay.marks.last().map(|mark| mark.received), Some(Seq(2)));
}

#[test]
fn a_burst_is_reported_once_in_a_quarter_of_a_second() {
    let mut bench = Bench::online();
    hear(&mut bench, 20);
    assert!(bench.relay.marks.len() <= 1, "{:?}", bench.relay.marks);
    bench.advance(Duration::from_millis(250));
    assert!(bench.relay.marks.len() <= 2);
    assert_eq!(bench.relay.marks.last().map(|mark| mark.received), Some(Seq(20)));
    let told = bench.relay.marks.len();
    bench.advance(Duration::from_secs(5));
    assert_eq!(bench.relay.marks.len(), told, "nothing new, nothing said");
}

#[test]
fn a_short_absence_continues_where_it_ended() {
    let mut bench = Bench::online();
    hear(&mut bench, 3);
    bench.disconnect();
    miss(&mut bench, 5);
    bench.connect();
    assert_eq!(bench.stored(), (1..=8).collect::<Vec<_>>());
    assert_eq!(bench.engine.conversation(ROOM).map(|c| c.intervals().len()), Some(1));
}

#[test]
fn a_long_absence_begins_with_the_newest_page_and_the_gap_is_filled_from_above() {
    let mut bench = Bench::online();
    hear(&mut bench, 3);
    bench.crash();
    miss(&mut bench, 30);
    bench.connect();
    let pulls: Vec<_> = bench
        .transmitted
        .iter()
        .filter_map(|message| match message {
            ClientMessage::Pull(pull) => Some(pull.before.0),
            _ => None,
        })
        .collect();
    assert_eq!(pulls[..3], [26, 22, 18], "the newest eight came first, then pages below them");
    assert_eq!(bench.stored(), (1..=33).collect::<Vec<_>>());
    let conversation = bench.engine.conversation(ROOM).expect("known");
    let [interval] = conversation.intervals() else { panic!("one stretch") };
    assert_eq!((interval.low, interval.high), (Seq(1), Seq(33)));
    assert_eq!(interval.chain, bench.relay.logs[&ROOM].chain(ROOM, Seq(33)));
}

#[test]
fn history_from_before_the_first_visit_comes_only_when_asked_for() {
    let mut bench = Bench::new();
    miss(&mut bench, 20);
    bench.connect();
    assert_eq!(bench.stored(), (13..=20).collect::<Vec<_>>());
    let older = Command::Older { conversation: ROOM };
    assert_eq!(bench.call(older.clone()), Ok(Answer::Older { low: Seq(9), end: false }));
    assert_eq!(bench.stored(), (9..=20).collect::<Vec<_>>());
    bench.call(older.clone()).expect("a page");
    assert_eq!(bench.call(older.clone()), Ok(Answer::Older { low: Seq(1), end: true }));
    assert_eq!(bench.call(older), Ok(Answer::Older { low: Seq(1), end: true }));
    assert_eq!(bench.stored(), (1..=20).collect::<Vec<_>>());
}

#[test]
fn duplicates_are_ignored_and_a_gap_is_a_violation() {
    let mut bench = Bench::online();
    hear(&mut bench, 3);
    let again = bench.relay.logs[&ROOM].run_from(ROOM, 1, 3);
    bench.deliver(vec![again]);
    bench.settle();
    assert_eq!(bench.stored(), [1, 2, 3]);
    miss(&mut bench, 2);
    let overlapping = bench.relay.logs[&ROOM].run_from(ROOM, 2, 4);
    bench.deliver(vec![overlapping]);
    bench.settle();
    assert_eq!(bench.stored(), [1, 2, 3, 4]);
    miss(&mut bench, 2);
    let beyond = bench.relay.logs[&ROOM].run_from(ROOM, 6, 6);
    let violation = bench.engine.handle_message(bench.now, beyond);
    let (expected, came) = (Seq(5), Seq(6));
    assert_eq!(violation, Err(ProtocolViolation::Gap { conversation: ROOM, expected, came }));
}

#[test]
fn a_page_that_does_not_meet_the_chain_is_refused() {
    let mut bench = Bench::new();
    miss(&mut bench, 20);
    bench.connect();
    bench.command(Command::Older { conversation: ROOM });
    let id = loop {
        match bench.engine.poll_transmit() {
            Some(ClientMessage::Pull(pull)) => break pull.id,
            Some(_) => {}
            None => panic!("a pull is asked for"),
        }
    };
    // Records of the right places with other words.
    let mut other = bench.relay.clone();
    other.logs.get_mut(&ROOM).expect("known").restore(0);
    for number in 0..20 {
        other.they_say(ROOM, &format!("forged {number}"));
    }
    let RelayMessage::Records(forged) = other.logs[&ROOM].run_from(ROOM, 9, 12) else {
        panic!("records")
    };
    let mut runs = Vec::new();
    forged.run.append_to(&mut runs);
    let chain = bench.relay.logs[&ROOM].chain(ROOM, Seq(8));
    let (first, runs) = (Seq(9), runs.into());
    let page = Page { id, conversation: ROOM, first, chain, end: false, runs };
    let refused = bench.engine.handle_message(bench.now, RelayMessage::Page(page));
    assert_eq!(refused, Err(ProtocolViolation::PageMismatch { conversation: ROOM }));
    bench.settle();
    assert_eq!(bench.stored(), (13..=20).collect::<Vec<_>>());
}

#[test]
fn a_page_for_a_stretch_that_is_not_the_newest_any_more_is_asked_for_anew() {
    let mut bench = Bench::new();
    miss(&mut bench, 20);
    bench.connect();
    bench.command(Command::Older { conversation: ROOM });
    let pull = |bench: &mut Bench| {
        std::iter::from_fn(|| bench.engine.poll_transmit()).find_map(|message| match message {
            ClientMessage::Pull(pull) => Some((pull.id, pull.before)),
            _ => None,
        })
    };
    let (id, before) = pull(&mut bench).expect("a pull is asked for");
    assert_eq!(before, Seq(13));
    // The relay lets records go before it has sent them, and goes on behind them.
    miss(&mut bench, 20);
    let log = &bench.relay.logs[&ROOM];
    let (from, first, head) = (Seq(36), Seq(36), Seq(40));
    let following =
        Following { conversation: ROOM, from, chain: log.chain(ROOM, Seq(35)), first, head };
    let records = log.run_from(ROOM, 36, 40);
    bench.deliver(vec![RelayMessage::Following(following), records]);
    let (first, chain, runs) = (Seq(13), [0; 32], Vec::new().into());
    let page = Page { id, conversation: ROOM, first, chain, end: true, runs };
    bench.deliver(vec![RelayMessage::Page(page)]);
    assert_eq!(pull(&mut bench).map(|(_, before)| before), Some(Seq(36)));
}

#[test]
fn senders_are_known_before_their_words_are_announced() {
    let mut bench = Bench::online();
    let ann = AccountInfo { account: AccountId([9; 16]), name: "ann".into(), ext: Ext::none() };
    let account = ann.clone();
    let device = DeviceInfo { device: THEM, account, signing_key: [1; 32], ext: Ext::none() };
    bench.relay.devices.insert(THEM, device);
    hear(&mut bench, 1);
    assert_eq!(bench.appended(), [(Seq(1), Seq(1))]);
    assert_eq!(bench.engine.sender(THEM), Some(&ann));
    bench.crash();
    assert_eq!(bench.engine.sender(THEM), Some(&ann), "also without a relay");
}

#[test]
fn a_lookup_that_is_never_answered_does_not_hide_messages_for_ever() {
    let mut bench = Bench::online();
    bench.relay.mute = true;
    hear(&mut bench, 1);
    assert_eq!(bench.appended(), []);
    assert_eq!(bench.stored(), [1]);
    bench.advance(Duration::from_secs(3));
    assert_eq!(bench.appended(), [(Seq(1), Seq(1))]);
    hear(&mut bench, 1);
    assert_eq!(bench.appended().len(), 2, "and is not asked again at once");
    let lookups = |r: &&Request| matches!(r, Request::Lookup(_));
    assert_eq!(bench.relay.requests.iter().filter(lookups).count(), 1);
}

#[test]
fn a_deletion_takes_the_words_here_as_well() {
    let mut bench = Bench::online();
    bench.say("a secret");
    let row = bench.store.record(ROOM, Seq(1)).expect("readable").expect("stored");
    let target =
        protocol::message::record::Target { seq: Seq(1), id: row.envelope.expect("ours").id() };
    let draft = crate::store::row::Draft::Delete { target, reason: String::new() };
    let target = crate::engine::Target::Conversation(ROOM);
    bench.call(Command::Send { target, draft }).expect("queued");
    let row = bench.store.record(ROOM, Seq(1)).expect("readable").expect("stored");
    assert_eq!(row.said, Said::Erased);
}

#[test]
fn what_a_later_version_wrote_is_stored_and_the_stream_goes_on() {
    let mut bench = Bench::online();
    let records = bench.relay.append(ROOM, vec![0xff; 60], vec![0xfe; 3]);
    bench.deliver(records);
    hear(&mut bench, 1);
    assert_eq!(bench.stored(), [1, 2]);
    let row = bench.store.record(ROOM, Seq(1)).expect("readable").expect("stored");
    assert_eq!(row.envelope, None);
    bench.deliver(vec![RelayMessage::Unknown(63)]);
}

#[test]
fn malformed_records_are_a_violation() {
    let mut bench = Bench::online();
    let (first, time) = (Seq(1), WallTime::default());
    let run = Run { first, time, count: 1, records: vec![9; 9].into() };
    let records = RelayMessage::Records(Records { conversation: ROOM, run });
    let violation = bench.engine.handle_message(bench.now, records);
    assert_eq!(violation, Err(ProtocolViolation::Malformed { conversation: ROOM }));
}

#[test]
fn a_relay_that_is_faster_than_the_disk_is_not_read_any_more() {
    let mut bench = Bench::online();
    bench.disk_stalls = true;
    let mut bytes = 0;
    while bytes <= UNSAVED_BYTES_MAX {
        assert!(!bench.engine.is_congested());
        let records = bench.relay.append(ROOM, vec![0xff; 60], vec![0; 30_000]);
        bench.deliver(records);
        bytes += 30_000 + 60 + 128;
    }
    assert!(bench.engine.is_congested());
    bench.disk_stalls = false;
    bench.settle();
    assert!(!bench.engine.is_congested());
}

#[test]
fn reading_raises_the_marker_and_never_lowers_it() {
    let mut bench = Bench::online();
    hear(&mut bench, 5);
    let read = |seq| Command::Read { conversation: ROOM, seq: Seq(seq) };
    bench.call(read(4)).expect("done");
    bench.call(read(2)).expect("done");
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.relay.marks.last().map(|mark| mark.read), Some(Seq(4)));
    bench.call(read(99)).expect("done");
    let conversation = bench.engine.conversation(ROOM).expect("known");
    assert_eq!((conversation.read(), conversation.unread()), (Seq(5), 0));
    bench.crash();
    assert_eq!(bench.engine.conversation(ROOM).map(Conversation::read), Some(Seq(5)));
}

#[test]
fn own_words_are_read_unless_something_unread_is_before_them() {
    let mut bench = Bench::online();
    bench.say("one");
    bench.say("two");
    let unread = |bench: &Bench| bench.engine.conversation(ROOM).map(Conversation::unread);
    assert_eq!(unread(&bench), Some(0));
    hear(&mut bench, 1);
    bench.say("three");
    assert_eq!(unread(&bench), Some(2));
    let unknown = bench.relay.append(ROOM, vec![0xff; 60], vec![0xfe; 3]);
    bench.call(Command::Read { conversation: ROOM, seq: Seq(4) }).expect("done");
    bench.deliver(unknown);
    bench.settle();
    assert_eq!(unread(&bench), Some(1), "nobody knows whose that is");
    bench.crash();
    let read = bench.engine.conversation(ROOM).map(Conversation::read);
    assert_eq!(read, Some(Seq(4)));
}

#[test]
fn an_audit_hashes_everything_again_and_notices_a_changed_record() {
    let mut bench = Bench::online();
    hear(&mut bench, 5);
    let audit = Command::Audit { conversation: ROOM };
    let Ok(Answer::Audited(report)) = bench.call(audit.clone()) else { panic!("audited") };
    assert_eq!((report.records, report.differs_at), (5, None));
    let log = bench.relay.logs.get_mut(&ROOM).expect("known");
    log.records[2] = Record { content: Content::Erased([7; 32]), ..log.records[2].clone() };
    let Ok(Answer::Audited(report)) = bench.call(audit) else { panic!("audited") };
    assert_eq!(report.differs_at, Some(Seq(5)));
}

#[test]
fn records_that_wait_for_a_lookup_are_announced_when_the_connection_breaks() {
    let mut bench = Bench::online();
    bench.relay.mute = true;
    hear(&mut bench, 1);
    bench.disconnect();
    let announced = |event: &&Event| matches!(event, Event::Appended { .. });
    assert_eq!(bench.events.iter().filter(announced).count(), 1);
}
