use protocol::{
    ids::{LogId, Seq},
    message::{request::Request, room::Standing},
};

use super::bench::{Bench, ROOM};
use crate::engine::{Event, Notice, OutboxState};

fn forked(bench: &Bench) -> Vec<(Seq, u64, u64)> {
    let notice = |event: &Event| match event {
        Event::Notice(Notice::Forked { common, moved, offered_again, .. }) => {
            Some((*common, *moved, *offered_again))
        }
        _ => None,
    };
    bench.events.iter().filter_map(notice).collect()
}

/// The relay is restored from a copy that ends here.
fn restore(bench: &mut Bench, to: usize) {
    bench.relay.log_id = LogId([2; 16]);
    bench.relay.logs.get_mut(&ROOM).expect("known").restore(to);
}

#[test]
fn own_messages_above_the_restored_log_are_offered_again_as_they_were() {
    let mut bench = Bench::online();
    for text in ["one", "two", "three", "four"] {
        bench.say(text);
    }
    let first_time = bench.relay.offered.clone();
    bench.disconnect();
    restore(&mut bench, 2);
    bench.say("five");
    bench.relay.offered.clear();
    bench.connect();
    assert_eq!(bench.relay.texts(ROOM), ["one", "two", "three", "four", "five"]);
    assert_eq!(forked(&bench), [(Seq(2), 2, 2)]);
    let again = &bench.relay.offered[..2];
    let bytes = |o: &super::relay::Offered| (o.counter, o.envelope.clone(), o.body.clone());
    assert!(again.iter().map(bytes).eq(first_time[2..].iter().map(bytes)), "the same bytes");
    assert_eq!(bench.store.forked().len(), 2, "nothing is destroyed");
    assert_eq!(bench.stored(), [1, 2, 3, 4, 5]);
    assert_eq!(bench.engine.outbox().count(), 0);
    let known = LogId([1; 16]);
    let restored = Notice::RelayRestored { known, now: LogId([2; 16]) };
    assert!(bench.events.contains(&Event::Notice(restored)));
}

#[test]
fn a_log_that_went_on_differently_is_found_by_bisection() {
    let mut bench = Bench::online();
    for number in 0..100 {
        let records = bench.relay.they_say(ROOM, &format!("shared {number}"));
        bench.deliver(records);
    }
    bench.settle();
    bench.disconnect();
    restore(&mut bench, 63);
    for number in 0..80 {
        bench.relay.they_say(ROOM, &format!("other {number}"));
    }
    bench.connect();
    assert_eq!(forked(&bench), [(Seq(63), 37, 0)]);
    assert_eq!(bench.store.forked().len(), 37);
    let conversation = bench.engine.conversation(ROOM).expect("known");
    let newest = conversation.intervals().last().expect("stored");
    assert_eq!((newest.low, newest.high), (Seq(1), Seq(143)), "followed again, gap filled");
    assert_eq!(newest.chain, bench.relay.logs[&ROOM].chain(ROOM, Seq(143)));
}

#[test]
fn a_fork_interrupted_by_a_crash_is_found_again_and_loses_nothing() {
    let mut bench = Bench::online();
    for text in ["one", "two", "three"] {
        bench.say(text);
    }
    bench.crash();
    restore(&mut bench, 1);
    // Up to the point where everything is decided and nothing of it is on the disk.
    bench.relay.mute = true;
    bench.connect();
    assert!(forked(&bench).is_empty());
    bench.say("four");
    assert_eq!(bench.relay.texts(ROOM), ["one"], "nothing is sent into a log in doubt");
    bench.crash();
    bench.relay.mute = false;
    bench.connect();
    assert_eq!(bench.relay.texts(ROOM), ["one", "two", "three", "four"]);
    assert_eq!(bench.engine.outbox().count(), 0);
}

#[test]
fn an_accepted_message_whose_record_never_came_is_offered_again_too() {
    let mut bench = Bench::online();
    bench.say("one");
    // Accepted, and the connection breaks before the record comes.
    let id = bench.command(super::bench::send(crate::engine::Target::Conversation(ROOM), "two"));
    while let Some((ticket, request)) = bench.engine.poll_store() {
        let outcome = crate::store::Store::perform(&mut bench.store, &request);
        bench.engine.handle_stored(bench.now, ticket, outcome);
    }
    while let Some(message) = bench.engine.poll_transmit() {
        let mut answers = bench.relay.handle(message);
        answers.truncate(1);
        bench.deliver(answers);
    }
    bench.settle();
    assert!(bench.result(id).is_some());
    let states: Vec<_> = bench.engine.outbox().map(|(_, state)| state).collect();
    assert!(matches!(states[..], [OutboxState::Sent { seq: Seq(2), .. }]));
    bench.disconnect();
    restore(&mut bench, 0);
    bench.relay.they_say(ROOM, "new one");
    bench.connect();
    assert_eq!(bench.relay.texts(ROOM), ["new one", "one", "two"]);
    assert_eq!(bench.engine.outbox().count(), 0);
}

#[test]
fn a_relay_restored_to_a_state_that_agrees_needs_no_fork() {
    let mut bench = Bench::online();
    bench.say("one");
    bench.disconnect();
    bench.relay.log_id = LogId([2; 16]);
    bench.connect();
    bench.say("two");
    assert!(forked(&bench).is_empty());
    bench.crash();
    bench.connect();
    let restored = |e: &&Event| matches!(e, Event::Notice(Notice::RelayRestored { .. }));
    assert_eq!(bench.events.iter().filter(restored).count(), 0, "said once");
}

#[test]
fn a_room_that_a_restored_relay_forgot_is_joined_again_before_anything_new_is_said_there() {
    let mut bench = Bench::online();
    bench.say("one");
    bench.disconnect();
    restore(&mut bench, 0);
    bench.relay.logs.get_mut(&ROOM).expect("known").info.standing = Standing::OUTSIDE;
    bench.say("two");
    bench.connect();
    assert_eq!(bench.relay.texts(ROOM), ["one", "two"], "a higher number would bury the lower one");
    assert_eq!(bench.engine.outbox().count(), 0);
}

#[test]
fn a_room_that_we_were_thrown_out_of_is_not_joined_again() {
    let mut bench = Bench::online();
    bench.disconnect();
    bench.relay.logs.get_mut(&ROOM).expect("known").info.standing = Standing::OUTSIDE;
    let local = bench.say("hello?");
    bench.connect();
    let joins = |request: &&Request| matches!(request, Request::Join(_));
    assert_eq!(bench.relay.requests.iter().filter(joins).count(), 0);
    assert!(matches!(bench.told(local), Some(OutboxState::Failed(_))));
}
