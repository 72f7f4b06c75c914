//! What happens when a commit fails: nobody is told anything wrong, and nobody has to come back.

use std::time::Duration;

use protocol::{
    ids::Seq,
    message::{
        RelayMessage,
        refusal::RefusalCode,
        request::{Reply, Request, SetTopic},
        room::Access,
    },
};

use crate::{
    hub::{
        Input, OperatorCall,
        fixture::{LOOPBACK, Relay, Said},
    },
    store::memory::Failure,
};

#[test]
fn a_commit_that_was_lost_is_done_again_and_answered_once() {
    for failure in [Failure::AmbiguousLost, Failure::AmbiguousApplied] {
        let mut relay = Relay::new();
        let ada = relay.join("ada", 1);
        let lobby = relay.lobby();
        relay.said.clear();
        relay.fail_next(failure);
        relay.offer(&ada, lobby, 1, "one");
        assert!(relay.start_commit());
        relay.offer(&ada, lobby, 2, "two");
        relay.finish_commit();
        assert!(relay.decisions(&ada).is_empty(), "nothing is known yet");
        assert!(!relay.hub.wants_input());
        relay.settle();
        assert_eq!(relay.decisions(&ada), [(1, Ok(Seq(2))), (2, Ok(Seq(3)))], "{failure:?}");
        assert_eq!(relay.closed(ada.session), None);
    }
}

#[test]
fn what_was_durable_after_all_is_published_as_a_gap() {
    let mut relay = Relay::new();
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    relay.said.clear();
    relay.fail_next(Failure::AmbiguousApplied);
    relay.offer(&ada, lobby, 1, "one");
    relay.settle();
    let advanced = relay.said.iter().find_map(|said| match said {
        Said::Published(publication) => publication.advanced.first().copied(),
        _ => None,
    });
    assert_eq!(advanced.map(|(id, head, _)| (id, head)), Some((lobby, Seq(2))));
}

#[test]
fn a_full_disk_refuses_for_now_goes_on_reading_and_recovers_by_itself() {
    let mut relay = Relay::new();
    let ada = relay.join("ada", 1);
    let room = relay.room(&ada, "tea", Access::ANYONE);
    relay.fail_next(Failure::Full);
    assert_eq!(relay.send(&ada, room, 1, "one"), Err(RefusalCode::STORE_FULL));
    assert_eq!(relay.send(&ada, room, 2, "two"), Err(RefusalCode::WAITING));
    let topic = SetTopic { conversation: room, topic: "x".into() };
    assert_eq!(relay.try_ask(&ada, topic.clone()), Err(RefusalCode::STORE_FULL));
    let resolve = protocol::message::request::Resolve { name: "ada".into() };
    assert!(relay.try_ask(&ada, resolve).is_ok());
    // Nobody comes in while nothing can be written, but whoever is known may come back.
    let (_, outcome) = relay.try_join("bob", 2, LOOPBACK);
    assert_eq!(outcome.map_err(|refusal| refusal.code), Err(RefusalCode::STORE_FULL));
    let mut ada = ada;
    relay.reconnect(&mut ada);
    relay.settle();
    assert!(relay.messages(ada.session).any(|m| matches!(m, RelayMessage::Welcome(_))));
    relay.fail_next(Failure::Full);
    relay.wait(Duration::from_millis(1_100));
    assert_eq!(relay.send(&ada, room, 1, "one"), Err(RefusalCode::STORE_FULL), "still full");
    relay.wait(Duration::from_millis(1_100));
    assert!(relay.send(&ada, room, 1, "one").is_ok());
    assert!(relay.send(&ada, room, 2, "two").is_ok());
    assert_eq!(relay.try_ask(&ada, topic), Ok(Reply::SetTopic(())));
}

#[test]
fn refusals_of_a_full_disk_keep_the_order_of_messages() {
    let mut relay = Relay::new();
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    relay.said.clear();
    relay.fail_next(Failure::Full);
    relay.offer(&ada, lobby, 1, "one");
    assert!(relay.start_commit());
    relay.offer(&ada, lobby, 2, "two");
    relay.settle();
    assert_eq!(
        relay.decisions(&ada),
        [(1, Err(RefusalCode::STORE_FULL)), (2, Err(RefusalCode::WAITING))]
    );
    relay.wait(Duration::from_millis(1_100));
    assert_eq!(relay.send(&ada, lobby, 2, "two"), Err(RefusalCode::WAITING));
    assert_eq!(relay.send(&ada, lobby, 1, "one"), Ok(Seq(2)));
    assert_eq!(relay.send(&ada, lobby, 2, "two"), Ok(Seq(3)));
}

#[test]
fn a_registration_in_a_failed_commit_succeeds_all_the_same() {
    for failure in [Failure::AmbiguousLost, Failure::AmbiguousApplied] {
        let mut relay = Relay::new();
        relay.fail_next(failure);
        let ada = relay.join("ada", 1);
        let welcomes = relay
            .messages(ada.session)
            .filter(|message| matches!(message, RelayMessage::Welcome(_)))
            .count();
        assert_eq!(welcomes, 1, "{failure:?}");
        let lobby = relay.lobby();
        assert!(relay.send(&ada, lobby, 1, "hello").is_ok());
    }
}

#[test]
fn a_session_superseded_in_a_failed_commit_is_told_and_the_newer_one_stays() {
    let mut relay = Relay::new();
    let old = relay.join("ada", 1);
    let lobby = relay.lobby();
    relay.said.clear();
    relay.fail_next(Failure::AmbiguousLost);
    relay.offer(&old, lobby, 1, "one");
    assert!(relay.start_commit());
    let (mut middle, mut new) = (old, old);
    relay.reconnect(&mut middle);
    relay.reconnect(&mut new);
    relay.offer(&new, lobby, 1, "one");
    relay.settle();
    let superseded = Some(RefusalCode::SUPERSEDED);
    assert_eq!(relay.closed(old.session).map(|refusal| refusal.code), superseded);
    assert_eq!(relay.closed(middle.session).map(|refusal| refusal.code), superseded);
    assert_eq!(relay.closed(new.session), None);
    assert_eq!(relay.decision(&new, 1), Ok(Seq(2)));
}

#[test]
fn a_request_in_a_failed_commit_is_answered() {
    for failure in [Failure::AmbiguousLost, Failure::AmbiguousApplied] {
        let mut relay = Relay::new();
        let ada = relay.join("ada", 1);
        let room = relay.room(&ada, "tea", Access::ANYONE);
        relay.fail_next(failure);
        let topic = Request::from(SetTopic { conversation: room, topic: "green".into() });
        assert_eq!(relay.try_ask(&ada, topic), Ok(Reply::SetTopic(())));
        assert_eq!(relay.info(&ada, room).topic, "green");
    }
}

#[test]
fn what_arrives_while_the_store_is_loaded_is_decided_afterwards() {
    let mut relay = Relay::new();
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    relay.said.clear();
    relay.fail_next(Failure::AmbiguousLost);
    relay.offer(&ada, lobby, 1, "one");
    assert!(relay.start_commit());
    relay.finish_commit();
    assert!(relay.hub.poll_reload());
    relay.offer(&ada, lobby, 2, "two");
    relay.input(Input::Operator { id: 1, call: OperatorCall::Sessions });
    assert!(relay.decisions(&ada).is_empty());
    relay.settle();
    assert_eq!(relay.decisions(&ada), [(1, Ok(Seq(2))), (2, Ok(Seq(3)))]);
    assert!(relay.said.iter().any(|said| matches!(said, Said::Operator(Ok(_)))));
}

#[test]
fn draining_answers_what_is_pending_and_spreads_the_return() {
    let mut relay = Relay::new();
    let people = [relay.join("ada", 1), relay.join("bob", 2)];
    let lobby = relay.lobby();
    relay.said.clear();
    relay.offer(&people[0], lobby, 1, "one");
    relay.hub.drain(relay.now, Duration::from_secs(10));
    relay.settle();
    assert!(relay.decision(&people[0], 1).is_ok());
    let returns: Vec<_> = people
        .iter()
        .map(|person| relay.closed(person.session).expect("closed").retry_after_ms)
        .collect();
    assert_eq!(returns, [5_000, 10_000]);
    let (_, outcome) = relay.try_join("eve", 3, LOOPBACK);
    assert_eq!(outcome.map_err(|refusal| refusal.code), Err(RefusalCode::DRAINING));
}
