use std::time::Duration;

use protocol::{
    ids::Counter,
    limits::{BODY_BYTES_MAX, UNSETTLED_MAX},
    message::{
        RelayMessage,
        refusal::{Refusal, RefusalCode},
        session::Rejected,
    },
};

use super::bench::{Bench, ROOM, send};
use crate::{
    engine::{
        Answer, Command, CommandError, Event, Notice, OUTBOX_ENTRIES_MAX, OutboxState, Target,
    },
    store::{StoreFailure, row::Stage},
};

fn wait(code: RefusalCode) -> Refusal {
    Refusal::for_now(code, Duration::from_secs(2), "")
}

#[test]
fn a_message_is_transmitted_only_once_it_is_durable() {
    let mut bench = Bench::online();
    bench.disk_stalls = true;
    let id = bench.command(send(Target::Conversation(ROOM), "hi"));
    bench.settle();
    assert_eq!((bench.relay.offered.len(), bench.result(id)), (0, None));
    bench.disk_stalls = false;
    bench.settle();
    assert_eq!(bench.relay.texts(ROOM), ["hi"]);
    assert!(matches!(bench.result(id), Some(Ok(Answer::Queued(_)))));
}

#[test]
fn a_flush_is_done_once_everything_taken_before_is_stored() {
    let mut bench = Bench::online();
    bench.disk_stalls = true;
    let news = bench.relay.they_say(ROOM, "theirs");
    bench.deliver(news);
    assert!(!bench.engine.is_saved());
    let id = bench.command(Command::Flush);
    bench.settle();
    assert_eq!((bench.result(id), bench.stored().len()), (None, 0));
    bench.disk_stalls = false;
    bench.settle();
    assert_eq!((bench.result(id), bench.stored().len()), (Some(Ok(Answer::Done)), 1));
    assert!(bench.engine.is_saved());
}

#[test]
fn what_is_said_offline_is_sent_in_order_after_a_restart() {
    let mut bench = Bench::online();
    bench.disconnect();
    for text in ["one", "two", "three"] {
        bench.say(text);
    }
    bench.crash();
    bench.connect();
    assert_eq!(bench.relay.texts(ROOM), ["one", "two", "three"]);
    assert_eq!(bench.engine.outbox().count(), 0, "all of it is history now");
    assert_eq!(bench.stored(), [1, 2, 3]);
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_bytes_and_nothing_doubles() {
    let mut bench = Bench::online();
    let local = match bench.call(send(Target::Conversation(ROOM), "first")) {
        Ok(Answer::Queued(local)) => local,
        other => panic!("{other:?}"),
    };
    assert!(matches!(bench.told(local), Some(OutboxState::Sent { .. })));
    // The relay takes the next one, and its answer never arrives.
    bench.command(send(Target::Conversation(ROOM), "second"));
    while let Some((ticket, request)) = bench.engine.poll_store() {
        let outcome = crate::store::Store::perform(&mut bench.store, &request);
        bench.engine.handle_stored(bench.now, ticket, outcome);
    }
    while let Some(message) = bench.engine.poll_transmit() {
        bench.relay.handle(message);
    }
    bench.crash();
    // The welcome comes alone: the log, which would settle the question too, comes later.
    bench.advance(Duration::from_secs(60));
    bench.engine.handle_connected(bench.now);
    let attach = bench.engine.poll_transmit().expect("it attaches");
    let mut answers = bench.relay.handle(attach);
    let rest = answers.split_off(1);
    bench.deliver(answers);
    bench.settle();
    bench.deliver(rest);
    bench.settle();
    assert_eq!(bench.relay.texts(ROOM), ["first", "second"]);
    let tries: Vec<_> =
        bench.relay.offered.iter().filter(|offered| offered.counter == Counter(2)).collect();
    assert_eq!(tries.len(), 2);
    assert_eq!(tries[0], tries[1]);
    assert_eq!(bench.engine.outbox().count(), 0);
}

#[test]
fn the_floor_is_the_lowest_unsettled_counter_and_passes_only_what_is_durable() {
    let mut bench = Bench::online();
    bench.say("one");
    bench.say("two");
    let floors: Vec<_> = bench.relay.offered.iter().map(|o| (o.counter.0, o.floor.0)).collect();
    assert_eq!(floors, [(1, 1), (2, 2)]);
    bench.relay.refusals.push_back(wait(RefusalCode::RATE));
    bench.say("three");
    bench.say("four");
    bench.disk_stalls = true;
    bench.advance(Duration::from_secs(5));
    let floors: Vec<_> =
        bench.relay.offered[2..].iter().map(|o| (o.counter.0, o.floor.0)).collect();
    assert_eq!(floors, [(3, 3), (3, 3), (4, 3)], "three is accepted, but not durably so here");
    bench.disk_stalls = false;
    bench.settle();
    bench.say("five");
    assert_eq!(bench.relay.offered.last().map(|o| o.floor.0), Some(5));
    assert_eq!(bench.relay.texts(ROOM), ["one", "two", "three", "four", "five"]);
}

#[test]
fn a_refusal_that_time_cures_slows_the_conversation_and_keeps_its_order() {
    let mut bench = Bench::online();
    bench.relay.refusals.extend([wait(RefusalCode::STORE_FULL), wait(RefusalCode::STORE_FULL)]);
    let first = bench.say("one");
    let second = bench.say("two");
    assert!(matches!(bench.told(first), Some(OutboxState::Slowed { .. })));
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.relay.offered.len(), 1, "nothing is offered before its time");
    bench.advance(Duration::from_secs(10));
    assert_eq!(bench.relay.texts(ROOM), ["one", "two"]);
    for local in [first, second] {
        assert!(matches!(bench.told(local), Some(OutboxState::Sent { .. })));
    }
}

#[test]
fn a_final_refusal_fails_one_message_for_good_and_later_ones_go_on() {
    let mut bench = Bench::online();
    let refusal = Refusal::last(RefusalCode::MUTED, "until noon");
    bench.relay.refusals.push_back(refusal.clone());
    let first = bench.say("one");
    bench.say("two");
    assert_eq!(bench.told(first), Some(OutboxState::Failed(refusal.clone())));
    assert_eq!(bench.relay.texts(ROOM), ["two"]);
    bench.crash();
    bench.connect();
    assert_eq!(bench.relay.texts(ROOM), ["two"], "it is not offered again");
    let states: Vec<_> = bench.engine.outbox().map(|(_, state)| state).collect();
    assert_eq!(states, [OutboxState::Failed(refusal)]);
    assert_eq!(bench.call(Command::CancelQueued { local: first }), Ok(Answer::Done));
    assert_eq!(bench.engine.outbox().count(), 0, "dismissed");
}

#[test]
fn a_decision_that_the_relay_forgot_is_never_shown_as_failed() {
    let mut bench = Bench::online();
    let refusal = Refusal::last(RefusalCode::ALREADY_DECIDED, "");
    bench.relay.refusals.push_back(refusal);
    let local = bench.say("one");
    assert_eq!(bench.told(local), Some(OutboxState::Unknown));
    let (row, _) = bench.engine.outbox().next().expect("it stays until it is seen");
    assert_eq!(row.stage, Stage::Decided);
    let encoded = row.encoded().expect("encoded").clone();
    let records = bench.relay.append(ROOM, encoded.envelope, encoded.body);
    bench.deliver(records);
    bench.settle();
    assert!(matches!(bench.told(local), Some(OutboxState::Sent { .. })), "the log has it");
    assert_eq!(bench.engine.outbox().count(), 0);
}

#[test]
fn no_more_than_the_window_is_undecided() {
    let mut bench = Bench::online();
    bench.disconnect();
    for number in 0..UNSETTLED_MAX + 3 {
        bench.say(&number.to_string());
    }
    bench.advance(Duration::from_secs(60));
    bench.dials();
    bench.engine.handle_connected(bench.now);
    let mut offered = 0;
    while let Some(message) = bench.engine.poll_transmit() {
        let is_send = matches!(message, protocol::message::ClientMessage::Send(_));
        offered += usize::from(is_send);
        if !is_send {
            let answers = bench.relay.handle(message);
            bench.deliver(answers);
        }
    }
    assert_eq!(offered, UNSETTLED_MAX);
}

#[test]
fn a_client_restored_from_a_copy_moves_past_the_numbers_it_gave_since() {
    let mut bench = Bench::online();
    bench.say("before the copy");
    let copy = bench.store.clone();
    bench.say("after the copy");
    bench.store = copy;
    bench.crash();
    bench.connect();
    bench.say("after the restore");
    assert_eq!(bench.relay.texts(ROOM), ["before the copy", "after the copy", "after the restore"]);
    let counters: Vec<_> = bench.relay.offered.iter().map(|offered| offered.counter.0).collect();
    assert_eq!(counters, [1, 2, 3], "two is not given again");
}

#[test]
fn what_a_restored_client_said_offline_gets_fresh_numbers_in_the_same_order() {
    let mut bench = Bench::online();
    bench.say("one");
    let copy = bench.store.clone();
    bench.say("two");
    bench.say("three");
    bench.store = copy;
    bench.crash();
    // Not connected: the numbers of `two` and `three` are given to others.
    let offline = [bench.say("four"), bench.say("five"), bench.say("six")];
    bench.connect();
    assert_eq!(bench.relay.texts(ROOM), ["one", "two", "three", "four", "five", "six"]);
    for local in offline {
        assert!(matches!(bench.told(local), Some(OutboxState::Sent { .. })));
    }
    assert_eq!(bench.stored(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_number_that_another_message_holds_is_given_up_after_a_restart_too() {
    let mut bench = Bench::online();
    bench.say("one");
    let copy = bench.store.clone();
    bench.say("two");
    bench.store = copy;
    bench.crash();
    let local = bench.say("other two");
    // After another restart nobody knows any more whether it was transmitted.
    bench.crash();
    bench.connect();
    assert_eq!(bench.relay.texts(ROOM), ["one", "two", "other two"]);
    assert!(bench.events.contains(&Event::Notice(Notice::Renumbered { local })));
    assert!(matches!(bench.told(local), Some(OutboxState::Sent { .. })));
}

#[test]
fn a_message_that_may_have_been_sent_cannot_be_taken_back() {
    let mut bench = Bench::online();
    bench.relay.refusals.push_back(wait(RefusalCode::RATE));
    let offered = bench.say("one");
    let not_offered = bench.say("two");
    let cancel = |local| Command::CancelQueued { local };
    assert_eq!(bench.call(cancel(offered)), Err(CommandError::MaybeSent));
    assert_eq!(bench.call(cancel(not_offered)), Ok(Answer::Done));
    bench.advance(Duration::from_secs(10));
    assert_eq!(bench.relay.texts(ROOM), ["one"]);
}

#[test]
fn an_answer_about_a_settled_or_unknown_message_changes_nothing() {
    let mut bench = Bench::online();
    bench.say("one");
    let before = bench.events.len();
    for counter in [Counter(1), Counter(99)] {
        let refusal = Refusal::last(RefusalCode::MUTED, "");
        let highest = Counter(1);
        let rejected = Rejected { conversation: ROOM, counter, refusal, highest };
        bench.deliver(vec![RelayMessage::Rejected(rejected)]);
    }
    bench.settle();
    assert_eq!(bench.events.len(), before);
}

#[test]
fn a_body_at_the_limit_is_taken_and_one_above_is_refused_before_it_is_queued() {
    let mut bench = Bench::online();
    let overhead =
        crate::store::row::Draft::text("").body(protocol::time::WallTime::default()).encode().len();
    // Lengths above 250 take three bytes, or two more than the empty text's.
    let text = |bytes: usize| "x".repeat(bytes - overhead - 2);
    bench.say(&text(BODY_BYTES_MAX));
    let refused = bench.call(send(Target::Conversation(ROOM), &text(BODY_BYTES_MAX + 1)));
    let (bytes, bytes_max) = (BODY_BYTES_MAX + 1, BODY_BYTES_MAX);
    assert_eq!(refused, Err(CommandError::TooLarge { bytes, bytes_max }));
}

#[test]
fn the_outbox_is_bounded() {
    let mut bench = Bench::online();
    bench.disconnect();
    for _ in 0..OUTBOX_ENTRIES_MAX {
        bench.command(send(Target::Conversation(ROOM), "x"));
    }
    bench.settle();
    let refused = bench.call(send(Target::Conversation(ROOM), "x"));
    assert_eq!(refused, Err(CommandError::OutboxFull(OUTBOX_ENTRIES_MAX)));
}

#[test]
fn a_full_disk_refuses_new_messages_and_recovers_by_itself() {
    let mut bench = Bench::online();
    bench.store.fail_next(StoreFailure::Full);
    let queued = bench.command(send(Target::Conversation(ROOM), "one"));
    bench.settle();
    assert_eq!(bench.result(queued), None, "no promise before the disk has it");
    let refused = bench.call(send(Target::Conversation(ROOM), "two"));
    assert_eq!(refused, Err(CommandError::Store(StoreFailure::Full)));
    bench.advance(Duration::from_secs(2));
    assert!(matches!(bench.result(queued), Some(Ok(Answer::Queued(_)))));
    assert_eq!(bench.relay.texts(ROOM), ["one"]);
    assert!(bench.events.contains(&Event::Notice(Notice::StoreRecovered)));
}
