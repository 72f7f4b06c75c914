use std::time::Duration;

use protocol::{
    ids::DeviceId,
    message::{
        ClientMessage, RelayMessage,
        refusal::{Refusal, RefusalCode},
        request::{Bans, Reply, Request},
        session::{Goodbye, Show},
    },
};

use super::bench::{Bench, ROOM, send};
use crate::engine::{
    Answer, Command, CommandError, Dial, Disconnect, Event, LinkStatus, Notice, ProtocolViolation,
    StopReason, Target,
};

fn goodbye(refusal: Refusal) -> Vec<RelayMessage<'static>> {
    vec![RelayMessage::Goodbye(Goodbye { refusal })]
}

#[test]
fn a_new_device_registers_and_a_known_one_does_not() {
    let mut bench = Bench::online();
    bench.disconnect();
    bench.connect();
    let registers: Vec<_> = bench
        .transmitted
        .iter()
        .filter_map(|message| match message {
            ClientMessage::Attach(attach) => Some(attach.register.is_some()),
            _ => None,
        })
        .collect();
    assert_eq!(registers, [true, false]);
}

#[test]
fn a_relay_that_forgot_the_account_gets_it_registered_again() {
    let mut bench = Bench::online();
    bench.deliver(goodbye(Refusal::last(RefusalCode::NOT_REGISTERED, "")));
    bench.connect();
    let attach = bench.transmitted.iter().rev().find_map(|message| match message {
        ClientMessage::Attach(attach) => Some(attach.clone()),
        _ => None,
    });
    assert!(attach.is_some_and(|attach| attach.register.is_some()));
}

#[test]
fn a_superseded_session_stops_and_says_so() {
    let mut bench = Bench::online();
    bench.deliver(goodbye(Refusal::last(RefusalCode::SUPERSEDED, "")));
    bench.settle();
    assert_eq!(bench.engine.status().link, LinkStatus::Stopped(StopReason::Superseded));
    assert!(bench.events.contains(&Event::Notice(Notice::Superseded)));
    bench.advance(Duration::from_secs(3_600));
    assert_eq!(bench.dials(), [Dial::Disconnect], "and does not fight");
    bench.say("kept for later");
    assert_eq!(bench.call(Command::Join { room: "x".into() }), Err(CommandError::Offline));
    bench.call(Command::Reconnect).expect("done");
    assert_eq!(bench.dials(), [Dial::Connect]);
}

#[test]
fn a_draining_relay_is_come_back_to_after_the_time_it_named() {
    let mut bench = Bench::online();
    let wait = Duration::from_secs(4);
    bench.deliver(goodbye(Refusal::for_now(RefusalCode::DRAINING, wait, "")));
    bench.settle();
    let LinkStatus::Waiting { until, .. } = bench.engine.status().link else { panic!("waits") };
    assert!(until.since(bench.now) >= wait);
    bench.connect();
    bench.say("here again");
    assert_eq!(bench.relay.texts(ROOM), ["here again"]);
}

#[test]
fn a_final_goodbye_of_any_code_stops_with_its_reason() {
    let mut bench = Bench::online();
    let refusal = Refusal::last(RefusalCode(999), "from the future");
    bench.deliver(goodbye(refusal.clone()));
    assert_eq!(bench.engine.status().link, LinkStatus::Stopped(StopReason::Refused(refusal)));
}

#[test]
fn another_key_at_the_relay_stops_instead_of_trying_for_ever() {
    let mut bench = Bench::new();
    bench.dials();
    bench.engine.handle_disconnected(bench.now, Disconnect::Hopeless("wrong key".into()));
    assert!(matches!(bench.engine.status().link, LinkStatus::Stopped(StopReason::Hopeless(_))));
    assert_eq!(bench.engine.poll_timeout(), None);
}

#[test]
fn a_message_sent_by_hand_dials_at_once() {
    let mut bench = Bench::new();
    bench.dials();
    for _ in 0..12 {
        bench.engine.handle_disconnected(bench.now, Disconnect::Unreachable("no".into()));
        let until = bench.engine.poll_timeout().expect("it tries again");
        bench.now = until;
        bench.engine.handle_timeout(until);
        bench.dials();
    }
    bench.engine.handle_disconnected(bench.now, Disconnect::Unreachable("no".into()));
    bench.now = bench.now + Duration::from_millis(250);
    bench.command(send(Target::Room("lobby".into()), "now"));
    assert_eq!(bench.dials(), [Dial::Connect]);
}

#[test]
fn silence_is_asked_about_and_then_given_up() {
    let mut bench = Bench::online();
    bench.dials();
    bench.advance(Duration::from_secs(44));
    let ping = |message: &&ClientMessage<'_>| matches!(message, ClientMessage::Ping(_));
    assert_eq!(bench.transmitted.iter().filter(ping).count(), 2);
    assert_eq!(bench.dials(), []);
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.dials(), [Dial::Disconnect]);
}

#[test]
fn nothing_is_taken_before_the_welcome_and_no_second_welcome() {
    let mut bench = Bench::new();
    bench.dials();
    bench.engine.handle_connected(bench.now);
    let early = RelayMessage::Conversation(bench.relay.logs[&ROOM].info.clone());
    let refused = bench.engine.handle_message(bench.now, early);
    assert_eq!(refused, Err(ProtocolViolation::OutOfTurn));
    let attach = bench.engine.poll_transmit().expect("it attaches");
    let welcome = bench.relay.handle(attach).remove(0);
    let RelayMessage::Welcome(mut other) = welcome.clone() else { panic!("welcome") };
    other.device = DeviceId([1; 16]);
    let refused = bench.engine.handle_message(bench.now, RelayMessage::Welcome(other));
    assert_eq!(refused, Err(ProtocolViolation::OtherDevice));
    bench.engine.handle_message(bench.now, welcome.clone()).expect("the first");
    let refused = bench.engine.handle_message(bench.now, welcome);
    assert_eq!(refused, Err(ProtocolViolation::OutOfTurn));
}

#[test]
fn a_question_waits_for_the_session_and_gets_the_reply() {
    let mut bench = Bench::new();
    let id = bench.command(Command::Ask(Request::Bans(Bans { conversation: ROOM })));
    bench.settle();
    assert_eq!(bench.result(id), None);
    bench.connect();
    // The relay on the bench does not know the question: its refusal is the answer.
    assert!(matches!(bench.result(id), Some(Err(CommandError::Refused(_)))));
}

#[test]
fn a_reply_of_a_later_version_or_to_nobody_breaks_nothing() {
    let mut bench = Bench::online();
    bench.relay.mute = true;
    let id = bench.command(Command::Join { room: "tea".into() });
    bench.settle();
    let replies = (0..40).map(|id| RelayMessage::Reply(id, Ok(Reply::Unknown(999)))).collect();
    bench.deliver(replies);
    bench.settle();
    assert_eq!(bench.result(id), Some(Err(CommandError::NeedsNewer)));
}

#[test]
fn a_question_under_way_when_the_connection_breaks_is_answered_honestly() {
    let mut bench = Bench::online();
    bench.relay.mute = true;
    let id = bench.command(Command::Join { room: "tea".into() });
    bench.settle();
    bench.disconnect();
    assert_eq!(bench.result(id), Some(Err(CommandError::Disconnected)));
}

#[test]
fn what_is_on_screen_is_said_again_in_the_next_session() {
    let mut bench = Bench::online();
    bench.call(Command::Show { conversations: vec![ROOM] }).expect("done");
    bench.disconnect();
    bench.transmitted.clear();
    bench.connect();
    let show = ClientMessage::Show(Show { conversations: vec![ROOM] });
    assert!(bench.transmitted.contains(&show));
}

#[test]
fn going_offline_says_goodbye_and_stays_away() {
    let mut bench = Bench::online();
    bench.dials();
    assert_eq!(bench.call(Command::GoOffline), Ok(Answer::Done));
    assert_eq!(bench.transmitted.last(), Some(&ClientMessage::Detach(())));
    bench.advance(Duration::from_secs(600));
    assert_eq!(bench.dials(), [Dial::Disconnect]);
}
