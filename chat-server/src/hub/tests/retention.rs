//! Old records go: by number and by age.

use std::time::Duration;

use protocol::{ids::Seq, message::room::Access};

use crate::{
    hub::{
        Input,
        config::{AGE_LOOK_CONVERSATIONS_MAX, AGE_REST_MAX},
        fixture::{Person, Relay, Said},
    },
    store::memory::Failure,
};

const AGE: Duration = Duration::from_secs(3_600);
/// The longest rest after a round with that age.
const REST: Duration = Duration::from_secs(225);

fn relay_with_age(age: Duration) -> Relay {
    Relay::with(|config| {
        Relay::unlimited(&mut config.limits);
        config.retention.age_max = Some(age);
    })
}

/// Three messages now, half an age later two more; the lobby's first record is the joining.
fn two_generations(relay: &mut Relay) -> Person {
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    for counter in 1..=3 {
        assert!(relay.send(&ada, lobby, counter, "old").is_ok());
    }
    relay.wait(AGE / 2);
    for counter in 4..=5 {
        assert!(relay.send(&ada, lobby, counter, "young").is_ok());
    }
    ada
}

#[test]
fn by_number_a_log_is_trimmed_rarely_and_then_by_much() {
    let mut relay = Relay::with(|config| {
        Relay::unlimited(&mut config.limits);
        config.retention.records_max = Some(16);
    });
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    for counter in 1..=18 {
        assert!(relay.send(&ada, lobby, counter, "x").is_ok());
    }
    let info = relay.info(&ada, lobby);
    assert_eq!((info.first, info.head), (Seq(4), Seq(19)));
    assert_eq!(relay.looks, [0; 0], "without an age nobody looks");
}

#[test]
fn what_is_too_old_goes_and_what_is_not_stays() {
    let mut relay = relay_with_age(AGE);
    let ada = two_generations(&mut relay);
    let lobby = relay.lobby();
    relay.wait(AGE / 2);
    assert_eq!(relay.info(&ada, lobby).first, Seq(1), "not before its time");
    relay.wait(Duration::from_secs(1));
    relay.said.clear();
    relay.wait(REST);
    assert_eq!(relay.info(&ada, lobby).first, Seq(5), "the young ones begin here");
    let is_told = relay.said.iter().any(|said| match said {
        Said::Published(publication) => publication.trimmed == [(lobby, Seq(5))],
        Said::To(..) | Said::Operator(_) => false,
    });
    assert!(is_told, "tails let go of it as well");

    relay.wait(AGE);
    relay.wait(REST);
    let info = relay.info(&ada, lobby);
    assert_eq!((info.first, info.head), (Seq(7), Seq(6)), "nothing is left");
    assert_eq!(relay.send(&ada, lobby, 6, "and it goes on"), Ok(Seq(7)));
    assert_eq!(relay.send(&ada, lobby, 2, "old"), Ok(Seq(3)), "a retry keeps its place");
}

#[test]
fn an_answer_that_came_late_never_lowers_the_first_record() {
    let mut relay = relay_with_age(AGE);
    let ada = two_generations(&mut relay);
    let lobby = relay.lobby();
    relay.input(Input::Aged { aged: vec![(lobby, Seq(4))] });
    relay.input(Input::Aged { aged: vec![(lobby, Seq(2))] });
    relay.settle();
    assert_eq!(relay.info(&ada, lobby).first, Seq(4));
    relay.input(Input::Aged { aged: vec![(lobby, Seq(1_000))] });
    relay.settle();
    assert_eq!(relay.info(&ada, lobby).first, Seq(7), "nor lifts it beyond the log");
}

#[test]
fn a_round_covers_every_conversation_a_few_at_a_time_and_then_rests() {
    let mut relay = relay_with_age(AGE);
    let ada = relay.join("ada", 1);
    let rooms = AGE_LOOK_CONVERSATIONS_MAX + 2;
    let rooms: Vec<_> =
        (0..rooms).map(|n| relay.room(&ada, &format!("room{n}"), Access::ANYONE)).collect();
    relay.wait(AGE + Duration::from_secs(1));
    relay.looks.clear();
    relay.wait(REST);
    assert_eq!(relay.looks, [AGE_LOOK_CONVERSATIONS_MAX, 3], "one round, with the lobby");
    for room in rooms {
        let info = relay.info(&ada, room);
        assert!(info.first > info.head, "the beginning of {room:?} has aged");
    }
}

#[test]
fn nothing_goes_while_the_disk_is_full_and_it_goes_afterwards() {
    let mut relay = relay_with_age(AGE);
    let ada = two_generations(&mut relay);
    let lobby = relay.lobby();
    relay.wait(AGE / 2 + Duration::from_secs(1));
    relay.fail_next(Failure::Full);
    relay.wait(REST);
    relay.wait(REST);
    assert_eq!(relay.info(&ada, lobby).first, Seq(5));
}

#[test]
fn an_age_that_is_set_while_the_relay_runs_counts_at_once() {
    let mut relay = Relay::with(|config| Relay::unlimited(&mut config.limits));
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    assert!(relay.send(&ada, lobby, 1, "old").is_ok());
    relay.wait(AGE_REST_MAX);
    assert_eq!(relay.looks, [0; 0]);
    relay.configure(|config| config.retention.age_max = Some(AGE / 2));
    relay.wait(Duration::from_secs(1));
    assert_eq!(relay.info(&ada, lobby).first, Seq(3));
}
