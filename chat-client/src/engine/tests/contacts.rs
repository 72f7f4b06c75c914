use protocol::{
    ids::{AccountId, ConversationId},
    message::{refusal::RefusalCode, request::Request},
};

use super::bench::{Bench, identity, send};
use crate::engine::{Answer, Command, CommandError, Event, Notice, OutboxState, Target};

fn to_ann(text: &str) -> Command {
    send(Target::Person("ann".into()), text)
}

fn direct(account: u8) -> ConversationId {
    ConversationId::direct(identity().account(), AccountId([account; 16]))
}

#[test]
fn a_name_is_resolved_opened_and_written_to_in_order() {
    let mut bench = Bench::online();
    bench.relay.add_person("ann", 9);
    let ids = ["one", "two"].map(|text| bench.command(to_ann(text)));
    bench.settle();
    for id in ids {
        assert!(matches!(bench.result(id), Some(Ok(Answer::Queued(_)))));
    }
    assert_eq!(bench.relay.texts(direct(9)), ["one", "two"]);
    bench.call(to_ann("three")).expect("queued");
    assert_eq!(bench.relay.texts(direct(9)), ["one", "two", "three"]);
    let resolves = |r: &&Request| matches!(r, Request::Resolve(_));
    assert_eq!(bench.relay.requests.iter().filter(resolves).count(), 1, "once in a session");
}

#[test]
fn what_is_said_to_a_stranger_offline_waits_as_text_over_a_restart() {
    let mut bench = Bench::online();
    bench.relay.add_person("ann", 9);
    bench.disconnect();
    for text in ["one", "two"] {
        assert!(matches!(bench.call(to_ann(text)), Ok(Answer::Queued(_))));
    }
    bench.crash();
    bench.connect();
    assert_eq!(bench.relay.texts(direct(9)), ["one", "two"]);
    assert_eq!(bench.engine.outbox().count(), 0);
}

#[test]
fn a_name_that_changed_hands_gets_nothing_before_the_person_says_so() {
    let mut bench = Bench::online();
    bench.relay.add_person("ann", 9);
    bench.call(to_ann("hello")).expect("queued");
    bench.crash();
    bench.relay.add_person("ann", 8);
    bench.connect();
    let (name, pinned) = ("ann".to_owned(), AccountId([9; 16]));
    let refused = bench.call(to_ann("a secret"));
    let Err(CommandError::NameChanged { now, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(now.account, AccountId([8; 16]));
    assert_eq!(bench.engine.outbox().count(), 0, "nothing stays behind");
    let account = now.account;
    assert!(bench.events.contains(&Event::Notice(Notice::NameChanged {
        name: name.clone(),
        pinned,
        now
    })));
    bench.call(Command::AcceptName { name, account }).expect("done");
    bench.call(to_ann("for the new ann")).expect("queued");
    assert_eq!(bench.relay.texts(direct(8)), ["for the new ann"]);
    assert_eq!(bench.relay.texts(direct(9)), ["hello"]);
}

#[test]
fn what_was_queued_offline_goes_to_the_account_the_name_meant_then() {
    let mut bench = Bench::online();
    bench.relay.add_person("ann", 9);
    bench.call(to_ann("hello")).expect("queued");
    bench.disconnect();
    bench.call(to_ann("still you")).expect("queued");
    bench.relay.add_person("ann", 8);
    bench.connect();
    assert_eq!(bench.relay.texts(direct(9)), ["hello", "still you"]);
}

#[test]
fn what_is_said_offline_does_not_overtake_what_waits_for_the_same_name() {
    let mut bench = Bench::online();
    bench.relay.add_person("ann", 9);
    bench.call(to_ann("one")).expect("queued");
    bench.disconnect();
    bench.relay.mute = true;
    bench.connect();
    bench.command(to_ann("two"));
    bench.settle();
    bench.disconnect();
    bench.call(to_ann("three")).expect("queued");
    bench.relay.mute = false;
    bench.connect();
    assert_eq!(bench.relay.texts(direct(9)), ["one", "two", "three"]);
}

#[test]
fn a_message_whose_name_changed_hands_while_it_waited_is_held_until_the_person_decides() {
    let mut bench = Bench::online();
    bench.relay.add_person("ann", 9);
    // Resolved and pinned, but never opened: the conversation is not known here.
    bench.call(Command::OpenDirect { name: "ann".into() }).expect("opened");
    bench.relay.logs.remove(&direct(9));
    bench.crash();
    bench.connect();
    bench.disconnect();
    let Ok(Answer::Queued(local)) = bench.call(to_ann("wait")) else { panic!("queued") };
    bench.relay.add_person("ann", 8);
    bench.connect();
    assert!(matches!(bench.told(local), Some(OutboxState::Held { .. })));
    assert!(!bench.relay.logs.contains_key(&direct(8)));
    let account = AccountId([8; 16]);
    bench.call(Command::AcceptName { name: "ann".into(), account }).expect("done");
    assert_eq!(bench.relay.texts(direct(8)), ["wait"]);
}

#[test]
fn a_name_that_nobody_has_is_refused_at_once_or_failed_later() {
    let mut bench = Bench::online();
    let refused = bench.call(to_ann("hello"));
    let Err(CommandError::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.code, RefusalCode::NO_SUCH_NAME);
    assert_eq!(bench.engine.outbox().count(), 0);
    bench.disconnect();
    let Ok(Answer::Queued(local)) = bench.call(to_ann("hello")) else { panic!("queued") };
    bench.connect();
    assert!(matches!(bench.told(local), Some(OutboxState::Failed(_))));
}

#[test]
fn writing_to_a_room_by_name_joins_it_first() {
    let mut bench = Bench::online();
    let other = ConversationId([0x20; 16]);
    bench.relay.add_room(other, "tea");
    bench.call(send(Target::Room("tea".into()), "hi")).expect("queued");
    bench.call(send(Target::Room("lobby".into()), "hi all")).expect("queued");
    assert_eq!(bench.relay.texts(other), ["hi"]);
    assert_eq!(bench.relay.texts(super::bench::ROOM), ["hi all"]);
    let joins = |r: &&Request| matches!(r, Request::Join(_));
    assert_eq!(bench.relay.requests.iter().filter(joins).count(), 1);
}

#[test]
fn a_connection_that_breaks_while_a_name_is_resolved_leaves_the_message_queued() {
    let mut bench = Bench::online();
    bench.relay.add_person("ann", 9);
    bench.relay.mute = true;
    let id = bench.command(to_ann("hello"));
    bench.settle();
    assert_eq!(bench.result(id), None);
    bench.disconnect();
    assert!(matches!(bench.result(id), Some(Ok(Answer::Queued(_)))));
    bench.relay.mute = false;
    bench.connect();
    assert_eq!(bench.relay.texts(direct(9)), ["hello"]);
}
