//! What is told and never stored: presence, typing, progress.

use std::time::Duration;

use protocol::{
    ids::Seq,
    message::{
        RelayMessage,
        room::{Access, Presence},
        session::{Mark, Show, Typing, Watch},
    },
};

use crate::hub::{
    Input,
    fixture::{Person, Relay},
};

fn presence(relay: &Relay, to: &Person) -> Vec<Presence> {
    relay
        .messages(to.session)
        .filter_map(|message| match message {
            RelayMessage::Presence(changed) => Some(changed.accounts.iter().map(|(_, p)| *p)),
            _ => None,
        })
        .flatten()
        .collect()
}

#[test]
fn nobody_is_offline_right_after_a_start_or_while_reconnecting() {
    let mut relay = Relay::new();
    let (ada, bob) = (relay.join("ada", 1), relay.join("bob", 2));
    let watch = Watch { accounts: vec![bob.account] };
    relay.input(Input::Watch { session: ada.session, watch });
    relay.settle();
    assert_eq!(presence(&relay, &ada), [Presence::ONLINE]);
    relay.said.clear();
    relay.input(Input::Detached { session: bob.session });
    relay.wait(Duration::from_secs(29));
    assert_eq!(presence(&relay, &ada), [Presence::ONLINE], "only that he is there");
    relay.said.clear();
    relay.wait(Duration::from_secs(2));
    assert_eq!(presence(&relay, &ada), [Presence::OFFLINE]);
    relay.said.clear();
    let mut bob = bob;
    relay.reconnect(&mut bob);
    relay.wait(Duration::from_secs(1));
    assert_eq!(presence(&relay, &ada), [Presence::ONLINE]);
    relay.said.clear();
    relay.input(Input::Detached { session: bob.session });
    relay.wait(Duration::from_secs(4));
    relay.reconnect(&mut bob);
    relay.wait(Duration::from_secs(10));
    assert_eq!(presence(&relay, &ada), [], "back in time, so never away");
}

#[test]
fn typing_reaches_the_others_of_a_small_room_at_most_once_a_second() {
    let mut relay = Relay::new();
    let (ada, bob) = (relay.join("ada", 1), relay.join("bob", 2));
    let lobby = relay.lobby();
    relay.said.clear();
    for _ in 0..3 {
        let typing = Typing { conversation: lobby };
        relay.input(Input::Typing { session: ada.session, typing });
    }
    relay.settle();
    let typed = |relay: &Relay, to: &Person| {
        relay.messages(to.session).filter(|m| matches!(m, RelayMessage::Typing(_))).count()
    };
    assert_eq!((typed(&relay, &ada), typed(&relay, &bob)), (0, 1));
    for seed in 3..=21 {
        relay.join(&format!("p{seed}x"), seed);
    }
    relay.wait(Duration::from_secs(2));
    relay.said.clear();
    let typing = Typing { conversation: lobby };
    relay.input(Input::Typing { session: ada.session, typing });
    relay.settle();
    assert_eq!(typed(&relay, &bob), 0, "21 members are too many");
}

#[test]
fn a_sender_learns_how_far_others_are_and_marks_only_rise() {
    let mut relay = Relay::new();
    let (ada, bob) = (relay.join("ada", 1), relay.join("bob", 2));
    let room = relay.room(&ada, "tea", Access::ANYONE);
    let join = protocol::message::request::Join { room: "tea".into() };
    assert!(relay.try_ask(&bob, join).is_ok());
    let seq = relay.send(&ada, room, 1, "hello").expect("taken");
    let mut mark = |received, read| {
        relay.said.clear();
        let mark = Mark { conversation: room, received: Seq(received), read: Seq(read) };
        relay.input(Input::Mark { session: bob.session, mark });
        relay.wait(Duration::from_millis(300));
        relay.messages(ada.session).find_map(|message| match message {
            RelayMessage::Progress(progress) => {
                Some((progress.members[0].received, progress.members[0].read))
            }
            _ => None,
        })
    };
    assert_eq!(mark(seq.0, 0), Some((seq, Seq::ZERO)));
    assert_eq!(mark(1, 0), None, "never down");
    assert_eq!(mark(99, 99), Some((seq, seq)), "never beyond the end");
    relay.wait(Duration::from_secs(6));
    let member = relay.hub.state().conversations[&room].members[&bob.account];
    assert_eq!((member.received, member.read), (seq, seq), "written down in the end");
}

#[test]
fn large_rooms_are_told_in_counts() {
    let mut relay = Relay::new();
    let people: Vec<_> = (1..=51).map(|seed| relay.join(&format!("p{seed}x"), seed)).collect();
    let lobby = relay.lobby();
    let seq = relay.send(&people[0], lobby, 1, "hello all").expect("taken");
    let show = Show { conversations: vec![lobby] };
    relay.input(Input::Show { session: people[0].session, show });
    for person in &people[1..11] {
        let mark = Mark { conversation: lobby, received: seq, read: Seq::ZERO };
        relay.input(Input::Mark { session: person.session, mark });
    }
    relay.said.clear();
    relay.wait(Duration::from_millis(1_100));
    let mut counts = (None, None);
    for message in relay.messages(people[0].session) {
        match message {
            RelayMessage::ProgressCount(count) => {
                counts.0 = Some((count.seq, count.received, count.read, count.of));
            }
            RelayMessage::PresenceCount(count) => counts.1 = Some(count.online),
            _ => {}
        }
    }
    assert_eq!(counts, (Some((seq, 10, 0, 51)), Some(51)));
}
