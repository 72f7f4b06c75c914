//! Exactly once, in order (P1), and no failure that is none (P2).

use protocol::{
    ids::{ConversationId, Counter, DeviceId, MessageId, Seq},
    limits::{BODY_BYTES_MAX, UNSETTLED_MAX},
    message::{
        RelayMessage,
        ext::Ext,
        record::{Class, Envelope, Target, chain_start},
        refusal::RefusalCode,
        session::Follow,
    },
};

use serde_bytes::ByteBuf;

use crate::hub::{
    Input, Rate, ToSession,
    fixture::{Person, Relay, Said, envelope, text},
};

#[test]
fn a_message_gets_the_next_place_and_is_published_before_it_is_accepted() {
    let mut relay = Relay::new();
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    let head = relay.info(&ada, lobby).head;
    assert_eq!(relay.send(&ada, lobby, 1, "hello"), Ok(head.next()));
    let kinds: Vec<_> = relay
        .said
        .iter()
        .map(|said| match said {
            Said::Published(publication) => {
                assert_eq!(publication.runs[0].first, head.next());
                "published"
            }
            Said::To(..) => "told",
            Said::Operator(_) => "operator",
        })
        .collect();
    assert_eq!(kinds, ["published", "told"]);
}

#[test]
fn nothing_is_said_before_the_commit_is_done() {
    let mut relay = Relay::new();
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    relay.said.clear();
    relay.offer(&ada, lobby, 1, "hello");
    assert!(relay.start_commit());
    relay.offer(&ada, lobby, 2, "again");
    assert!(!relay.start_commit_is_possible());
    assert!(relay.said.is_empty());
    relay.settle();
    assert_eq!(relay.decisions(&ada).len(), 2);
}

#[test]
fn a_retry_gets_the_same_place_before_and_after_the_commit() {
    let mut relay = Relay::new();
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    relay.said.clear();
    relay.offer(&ada, lobby, 1, "hello");
    relay.offer(&ada, lobby, 1, "hello");
    relay.settle();
    relay.offer(&ada, lobby, 1, "hello");
    relay.settle();
    let places: Vec<_> = relay.decisions(&ada).into_iter().map(|(_, place)| place).collect();
    assert_eq!(places, [Ok(Seq(2)); 3]);
    assert_eq!(relay.info(&ada, lobby).head, Seq(2));
}

#[test]
fn what_an_envelope_says_must_be_understood_is_refused_by_its_number() {
    let mut relay = Relay::new();
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    let with = |tag| Ext(vec![(tag, ByteBuf::new())]);
    let later = Envelope { ext: with(7), ..envelope(ada.device, 1, Class::CONTENT, None) };
    relay.offer_envelope(&ada, lobby, 0, &later, &text("hello"));
    relay.settle();
    assert_eq!(relay.decision(&ada, 1), Err(RefusalCode::UNSUPPORTED));
    let detail = relay.messages(ada.session).find_map(|message| match message {
        RelayMessage::Rejected(rejected) => Some(rejected.refusal.detail.clone()),
        _ => None,
    });
    assert_eq!(detail.as_deref(), Some("extension 7 of the envelope"));
    let known = Envelope { ext: with(6), ..envelope(ada.device, 2, Class::CONTENT, None) };
    relay.offer_envelope(&ada, lobby, 0, &known, &text("hello"));
    relay.settle();
    assert!(relay.decision(&ada, 2).is_ok());
}

#[test]
fn a_counter_used_for_another_message_is_refused_with_the_highest() {
    let mut relay = Relay::new();
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    assert!(relay.send(&ada, lobby, 7, "hello").is_ok());
    assert_eq!(relay.send(&ada, lobby, 7, "other words"), Err(RefusalCode::COUNTER_REUSED));
    let highest = relay.messages(ada.session).find_map(|message| match message {
        RelayMessage::Rejected(rejected) => Some(rejected.highest),
        _ => None,
    });
    assert_eq!(highest, Some(Counter(7)));
}

#[test]
fn what_was_settled_and_forgotten_is_not_taken_again() {
    let mut relay = Relay::new();
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    relay.offer(&ada, lobby, 1, "one");
    relay.offer_with_floor(&ada, lobby, 5, 5, "five");
    relay.settle();
    assert_eq!(relay.send(&ada, lobby, 1, "one"), Err(RefusalCode::ALREADY_DECIDED));
    assert_eq!(relay.send(&ada, lobby, 3, "skipped"), Err(RefusalCode::ALREADY_DECIDED));
}

#[test]
fn the_window_of_unsettled_messages_is_exactly_as_wide_as_said() {
    let mut relay = Relay::with(|config| Relay::unlimited(&mut config.limits));
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    let window = UNSETTLED_MAX as u64;
    for counter in 1..=window {
        relay.offer(&ada, lobby, counter, "x");
    }
    relay.settle();
    assert!(relay.decision(&ada, window).is_ok());
    assert_eq!(relay.send(&ada, lobby, window + 1, "x"), Err(RefusalCode::UNSETTLED));
    relay.offer_with_floor(&ada, lobby, window + 1, 2, "x");
    relay.settle();
    assert!(relay.decision(&ada, window + 1).is_ok());
}

#[test]
fn a_message_refused_for_now_holds_back_what_follows_until_it_comes_again() {
    let mut relay = Relay::with(|config| {
        config.limits.messages = Rate { per_second: 1, burst: 1 };
    });
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    assert!(relay.send(&ada, lobby, 1, "one").is_ok());
    assert_eq!(relay.send(&ada, lobby, 2, "two"), Err(RefusalCode::RATE));
    relay.wait(std::time::Duration::from_secs(2));
    assert_eq!(relay.send(&ada, lobby, 3, "three"), Err(RefusalCode::WAITING));
    assert_eq!(relay.send(&ada, lobby, 2, "two"), Ok(Seq(3)));
    relay.wait(std::time::Duration::from_secs(2));
    assert_eq!(relay.send(&ada, lobby, 3, "three"), Ok(Seq(4)));
}

#[test]
fn a_body_at_the_limit_passes_and_one_above_is_refused_for_good() {
    let mut relay = Relay::new();
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    let mut offer = |counter, bytes| {
        let envelope = envelope(ada.device, counter, Class::CONTENT, None);
        relay.offer_envelope(&ada, lobby, 0, &envelope, &vec![7; bytes]);
        relay.settle();
        relay.decision(&ada, counter)
    };
    assert!(offer(1, BODY_BYTES_MAX).is_ok());
    assert_eq!(offer(2, BODY_BYTES_MAX + 1), Err(RefusalCode::TOO_LARGE));
}

#[test]
fn strangers_and_muted_members_do_not_speak() {
    let mut relay = Relay::new();
    let (ada, bob) = (relay.join("ada", 1), relay.join("bob", 2));
    let room = relay.room(&ada, "tea", protocol::message::room::Access::ANYONE);
    assert_eq!(relay.send(&bob, room, 1, "hi"), Err(RefusalCode::NOT_A_MEMBER));
    let nowhere = ConversationId([9; 16]);
    assert_eq!(relay.send(&bob, nowhere, 2, "hi"), Err(RefusalCode::NO_SUCH_CONVERSATION));
}

#[test]
fn a_message_in_the_name_of_another_device_ends_the_session() {
    let mut relay = Relay::new();
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    let forged = envelope(DeviceId([9; 16]), 1, Class::CONTENT, None);
    relay.offer_envelope(&ada, lobby, 0, &forged, &text("hi"));
    relay.settle();
    assert_eq!(relay.closed(ada.session).map(|r| r.code), Some(RefusalCode::MALFORMED));
}

#[test]
fn control_messages_and_signatures_wait_for_sealed_rooms() {
    let mut relay = Relay::new();
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    let mut offer = |counter, change: &dyn Fn(&mut Envelope)| {
        let mut envelope = envelope(ada.device, counter, Class::CONTENT, None);
        change(&mut envelope);
        relay.offer_envelope(&ada, lobby, 0, &envelope, &text("hi"));
        relay.settle();
        relay.decision(&ada, counter)
    };
    assert_eq!(offer(1, &|e| e.class = Class::CONTROL), Err(RefusalCode::NOT_ALLOWED));
    assert_eq!(offer(2, &|e| e.epoch = 1), Err(RefusalCode::UNSUPPORTED));
    assert!(offer(3, &|e| e.class = Class(9)).is_ok(), "a class of a later version is carried");
}

fn amend(
    relay: &mut Relay,
    by: &Person,
    counter: u64,
    class: Class,
    (seq, id): (u64, MessageId),
) -> Result<Seq, RefusalCode> {
    let lobby = relay.lobby();
    let target = Some(Target { seq: Seq(seq), id });
    let envelope = envelope(by.device, counter, class, target);
    relay.offer_envelope(by, lobby, 0, &envelope, &text("amended"));
    relay.settle();
    relay.decision(by, counter)
}

fn id(of: &Person, counter: u64) -> MessageId {
    MessageId { device: of.device, counter: Counter(counter) }
}

#[test]
fn amends_count_from_the_author_and_deletes_also_from_above() {
    let mut relay = Relay::new();
    let (ada, bob) = (relay.join("ada", 1), relay.join("bob", 2));
    let lobby = relay.lobby();
    let seq = relay.send(&ada, lobby, 1, "hello").expect("taken").0;
    let hello = (seq, id(&ada, 1));
    assert!(amend(&mut relay, &ada, 2, Class::EDIT, hello).is_ok());
    assert_eq!(amend(&mut relay, &bob, 1, Class::EDIT, hello), Err(RefusalCode::NOT_ALLOWED));
    assert_eq!(amend(&mut relay, &bob, 2, Class::DELETE, hello), Err(RefusalCode::NOT_ALLOWED));
    assert!(amend(&mut relay, &bob, 3, Class::REACT, hello).is_ok());
    let beyond = (seq + 100, id(&ada, 1));
    assert_eq!(amend(&mut relay, &ada, 3, Class::EDIT, beyond), Err(RefusalCode::NO_SUCH_TARGET));
    assert!(amend(&mut relay, &ada, 4, Class::DELETE, hello).is_ok());
    relay.input(Input::Operator {
        id: 1,
        call: crate::hub::OperatorCall::AdminAdd { name: "bob".into() },
    });
    relay.settle();
    let seq = relay.send(&ada, lobby, 5, "rude").expect("taken").0;
    assert!(amend(&mut relay, &bob, 4, Class::DELETE, (seq, id(&ada, 5))).is_ok());
    let relays_own = MessageId { device: DeviceId::RELAY, counter: Counter(1) };
    let refused = amend(&mut relay, &bob, 5, Class::DELETE, (1, relays_own));
    assert_eq!(refused, Err(RefusalCode::NOT_ALLOWED));
}

#[test]
fn a_delete_that_names_its_own_message_at_somebody_elses_place_erases_nothing() {
    let mut relay = Relay::new();
    let (ada, bob) = (relay.join("ada", 1), relay.join("bob", 2));
    let lobby = relay.lobby();
    let seq = relay.send(&ada, lobby, 1, "hello").expect("taken").0;
    assert!(relay.send(&bob, lobby, 1, "mine").is_ok());
    // Bob owns the id he names, but not what stands at the place.
    assert!(amend(&mut relay, &bob, 2, Class::DELETE, (seq, id(&bob, 1))).is_ok());
    let mut reader = crate::store::Store::reader(&relay.store).expect("opens");
    let runs = reader.runs(lobby, Seq(seq), Seq(seq), 10_000).expect("reads");
    let (_, record) = runs[0].records().next().expect("one").expect("valid");
    assert_eq!(record.content, protocol::message::record::Content::Body(text("hello").into()));
}

#[test]
fn a_follow_is_told_the_head_that_was_published_before_it() {
    let mut relay = Relay::new();
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    relay.said.clear();
    relay.offer(&ada, lobby, 1, "one");
    let follow = Follow { conversation: lobby, after: Seq::ZERO, chain: [0; 8], newest: 10 };
    relay.input(Input::Follow { session: ada.session, follow });
    assert!(relay.start_commit());
    relay.offer(&ada, lobby, 2, "two");
    relay.finish_commit();
    let (head, visible) = relay
        .said
        .iter()
        .find_map(|said| match said {
            Said::To(_, ToSession::Follow { head, visible, chain, .. }) => {
                assert_ne!(*chain, chain_start(lobby));
                Some((*head, *visible))
            }
            _ => None,
        })
        .expect("the follow was let go");
    assert_eq!(head, Seq(2), "the second message is not durable yet");
    assert_eq!(visible, (Seq::FIRST, None));
}

#[test]
fn input_waits_while_the_batch_is_full() {
    let mut relay = Relay::with(|config| {
        Relay::unlimited(&mut config.limits);
        config.limits.batch_messages_max = 3;
    });
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    for counter in 1..=2 {
        relay.offer(&ada, lobby, counter, "x");
        assert!(relay.hub.wants_input());
    }
    relay.offer(&ada, lobby, 3, "x");
    assert!(!relay.hub.wants_input());
    relay.settle();
    assert!(relay.hub.wants_input());
}
