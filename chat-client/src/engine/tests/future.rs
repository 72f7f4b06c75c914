//! A relay and people from the future: what has to be understood and is not is left alone, and
//! nothing around it breaks (wire §5.1).

use protocol::{
    ids::{AccountId, Counter, DeviceId, Seq},
    message::{
        RelayMessage,
        event::{Body, Change, Notice as RoomNotice, Text},
        ext::Ext,
        record::{Class, ENVELOPE_VERSION, Envelope, Target},
        request::Request,
        room::{AccountInfo, DeviceInfo},
        session::People,
    },
    time::WallTime,
};
use serde_bytes::ByteBuf;

use super::{
    bench::{Bench, ROOM, send},
    relay::THEM,
};
use crate::{
    engine::{
        Answer, Command, CommandError, Dial, Event, LinkStatus, Notice, OutboxState, StopReason,
        Target as To,
    },
    store::{
        History,
        row::{Draft, HistoryRow, Said},
    },
};

const TAG: u16 = 7;

fn critical() -> Ext {
    Ext(vec![(TAG, ByteBuf::from(vec![1; 9]))])
}

fn text(text: &str) -> Body {
    let text = text.to_owned();
    Body::Text(Text { text, composed_at: WallTime::default(), reply_to: None, ext: Ext::none() })
}

fn envelope(device: DeviceId, class: Class, target: Option<Target>) -> Envelope {
    Envelope {
        version: ENVELOPE_VERSION,
        device,
        counter: Counter(77),
        class,
        target,
        epoch: 0,
        seen: (Seq::ZERO, [0; 8]),
        ext: critical(),
    }
}

fn hear(bench: &mut Bench, envelope: &Envelope, body: &Body) {
    let records = bench.relay.append(ROOM, envelope.encode(), body.encode());
    bench.deliver(records);
    bench.settle();
}

fn row(bench: &Bench, seq: u64) -> HistoryRow {
    bench.store.record(ROOM, Seq(seq)).expect("readable").expect("stored")
}

/// The fake relay's description of the room from now on.
fn describe_room(bench: &mut Bench, ext: Ext) -> RelayMessage<'static> {
    let log = bench.relay.logs.get_mut(&ROOM).expect("known");
    log.info.ext = ext;
    RelayMessage::Conversation(log.info.clone())
}

#[test]
fn a_welcome_that_is_not_understood_ends_the_attempt_and_says_why() {
    let mut bench = Bench::new();
    let waiting = bench.command(Command::Join { room: "tea".into() });
    bench.dials();
    bench.engine.handle_connected(bench.now);
    let attach = bench.engine.poll_transmit().expect("it attaches");
    let RelayMessage::Welcome(mut welcome) = bench.relay.handle(attach).remove(0) else {
        panic!("a welcome")
    };
    welcome.ext = critical();
    bench.deliver(vec![RelayMessage::Welcome(welcome)]);
    bench.settle();
    assert_eq!(bench.engine.status().link, LinkStatus::Stopped(StopReason::Outdated(TAG)));
    assert_eq!(bench.dials(), [Dial::Disconnect]);
    assert_eq!(bench.result(waiting), Some(Err(CommandError::Offline)));
    assert_eq!(bench.engine.status().account, None, "nothing of it was taken");
}

#[test]
fn a_record_keeps_its_place_its_bytes_and_its_name_and_says_nothing() {
    let mut bench = Bench::online();
    let theirs = envelope(THEM, Class::CONTENT, None);
    hear(&mut bench, &theirs, &text("not to be read like this"));
    let stored = bench.store.records(ROOM).next().expect("stored").clone();
    assert_eq!(stored.envelope, theirs.encode());
    assert_eq!(stored.id, Some(theirs.id()));
    assert!(matches!(row(&bench, 1).said, Said::Body(Body::Unknown(1, _))));

    // The stream and the chain go on over it.
    bench.say("and so on");
    assert_eq!(bench.stored(), [1, 2]);
    let audit = bench.call(Command::Audit { conversation: ROOM });
    assert!(matches!(audit, Ok(Answer::Audited(report)) if report.differs_at.is_none()));
}

#[test]
fn an_envelope_of_a_later_version_is_no_more_readable_than_its_form() {
    let mut bench = Bench::online();
    let later = Envelope {
        version: ENVELOPE_VERSION + 1,
        ext: Ext::none(),
        ..envelope(THEM, Class::CONTENT, None)
    };
    hear(&mut bench, &later, &text("not to be read like this"));
    assert!(matches!(row(&bench, 1).said, Said::Body(Body::Unknown(1, _))));
}

#[test]
fn a_record_that_is_not_understood_acts_on_nothing() {
    let mut bench = Bench::online();
    bench.say("stays");
    let id = row(&bench, 1).envelope.expect("ours").id();
    let target = Some(Target { seq: Seq(1), id });
    hear(&mut bench, &envelope(THEM, Class::DELETE, target), &Body::Delete(String::new()));
    assert!(matches!(row(&bench, 1).said, Said::Body(Body::Text(_))), "it is not deleted");
    let stored = bench.store.records(ROOM).nth(1).expect("stored");
    assert_eq!(stored.target, None, "and no view takes it for an amend");
}

#[test]
fn a_notice_that_is_not_understood_changes_no_description() {
    let mut bench = Bench::online();
    let members = bench.engine.conversation(ROOM).expect("known").info().members;
    let notice = RoomNotice {
        actor: None,
        subject: None,
        change: Change::Joined,
        reason: String::new(),
        ext: Ext::none(),
    };
    let of_relay = envelope(DeviceId::RELAY, Class::CONTROL, None);
    hear(&mut bench, &of_relay, &Body::Notice(notice));
    assert_eq!(bench.engine.conversation(ROOM).expect("known").info().members, members);
}

#[test]
fn a_conversation_that_is_not_understood_is_left_alone_and_others_go_on() {
    let mut bench = Bench::online();
    let other = protocol::ids::ConversationId([0x20; 16]);
    bench.relay.add_room(other, "tea");
    bench.say("before");
    bench.disconnect();
    describe_room(&mut bench, critical());
    bench.transmitted.clear();
    bench.connect();
    assert!(bench.engine.is_listed(), "it counts as named");
    assert!(bench.events.contains(&Event::Notice(Notice::NeedsNewer { conversation: ROOM })));
    let conversation = bench.engine.conversation(ROOM).expect("still here");
    assert!(!conversation.is_understood() && !conversation.is_live());
    assert!(bench.engine.conversation(other).expect("known").is_live());
    assert_eq!(bench.stored(), [1], "what was stored stays");
    let refused = bench.call(send(To::Conversation(ROOM), "into the dark"));
    assert_eq!(refused, Err(CommandError::NeedsNewer));

    // Once it is described in known words again, or by a newer program, it goes on.
    let known = describe_room(&mut bench, Ext::none());
    bench.deliver(vec![known]);
    bench.settle();
    assert!(bench.engine.conversation(ROOM).expect("known").is_live());
    bench.say("after");
    assert_eq!(bench.relay.texts(ROOM), ["before", "after"]);
}

#[test]
fn what_waits_for_a_conversation_that_changed_under_it_keeps_waiting() {
    let mut bench = Bench::online();
    let description = describe_room(&mut bench, critical());
    bench.disk_stalls = true;
    let command = bench.command(send(To::Conversation(ROOM), "composed in time"));
    bench.deliver(vec![description]);
    bench.disk_stalls = false;
    bench.settle();
    let Some(Ok(Answer::Queued(local))) = bench.result(command) else { panic!("queued") };
    assert_eq!(bench.told(local), Some(OutboxState::Queued));
    assert_eq!(bench.relay.texts(ROOM), [""; 0]);
}

#[test]
fn a_person_or_a_device_that_is_not_understood_stays_unknown() {
    let mut bench = Bench::online();
    let account = AccountInfo { account: AccountId([5; 16]), name: "eve".into(), ext: Ext::none() };
    let known = |ext| AccountInfo { ext, ..account.clone() };
    let people = |person| RelayMessage::People(People { accounts: vec![person] });
    bench.deliver(vec![people(known(critical()))]);
    assert_eq!(bench.engine.person(account.account), None);
    bench.deliver(vec![people(account.clone())]);
    let renamed = AccountInfo { name: "mallory".into(), ..known(critical()) };
    bench.deliver(vec![people(renamed)]);
    assert_eq!(bench.engine.person(account.account), Some(&account), "what was known stays");

    let device = DeviceInfo {
        device: THEM,
        account: account.clone(),
        signing_key: [0; 32],
        ext: critical(),
    };
    bench.relay.devices.insert(THEM, device);
    let records = bench.relay.they_say(ROOM, "hello");
    bench.deliver(records);
    bench.settle();
    assert_eq!(bench.engine.sender(THEM), None);
    assert_eq!(bench.appended().len(), 1, "the message is shown all the same");
}

#[test]
fn an_answer_about_what_is_not_understood_needs_a_newer_version() {
    let mut bench = Bench::online();
    describe_room(&mut bench, critical());
    let joined = bench.call(Command::Join { room: "lobby".into() });
    assert_eq!(joined, Err(CommandError::NeedsNewer));

    bench.relay.add_person("bo", 9);
    bench.relay.people.get_mut("bo").expect("added").ext = critical();
    let sent = bench
        .call(Command::Send { target: To::Person("bo".into()), draft: Draft::text("for whom?") });
    assert!(matches!(sent, Err(CommandError::Refused(_))), "{sent:?}");
    let opened = |request: &Request| matches!(request, Request::OpenDirect(_));
    assert!(!bench.relay.requests.iter().any(opened), "nobody is written to");
}
