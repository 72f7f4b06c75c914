//! Accounts, names, sessions, direct conversations.

use protocol::{
    ids::{AccountId, ConversationId},
    message::{
        RelayMessage,
        refusal::RefusalCode,
        request::{Admit, Block, Leave, OpenDirect, Rename, Reply, Resolve, Verdict},
        room::Standing,
    },
};

use crate::hub::{
    Input, OperatorAnswer, OperatorCall, Registration,
    fixture::{LOOPBACK, Person, Relay, Said},
};

fn codes<T>(outcome: Result<T, protocol::message::refusal::Refusal>) -> Result<T, RefusalCode> {
    outcome.map_err(|refusal| refusal.code)
}

#[test]
fn a_new_device_founds_an_account_and_is_in_the_lobby() {
    let mut relay = Relay::new();
    let ada = relay.join("ada", 1);
    let (mut welcome, mut conversations) = (None, Vec::new());
    for message in relay.messages(ada.session) {
        match message {
            RelayMessage::Welcome(w) => welcome = Some(w.clone()),
            RelayMessage::Conversation(info) if welcome.is_some() => conversations.push(info),
            _ => {}
        }
    }
    let welcome = welcome.expect("welcomed");
    assert_eq!((welcome.account.account, welcome.account.name.as_str()), (ada.account, "ada"));
    assert_eq!(welcome.conversations, 1);
    assert_eq!(conversations.len(), 1);
    assert_eq!(
        (conversations[0].name.as_str(), conversations[0].standing),
        ("lobby", Standing::JOINED)
    );
}

#[test]
fn the_second_comer_and_the_look_alike_are_told_so() {
    let mut relay = Relay::new();
    relay.join("Ada", 1);
    let (_, outcome) = relay.try_join("ADA", 2, LOOPBACK);
    assert_eq!(codes(outcome), Err(RefusalCode::NAME_TAKEN));
    let (_, outcome) = relay.try_join("\u{410}da", 3, LOOPBACK);
    let refusal = outcome.expect_err("Cyrillic A");
    assert_eq!(
        (refusal.code, refusal.detail.as_str()),
        (RefusalCode::NAME_TAKEN, "\u{410}da reads like Ada")
    );
    let (_, outcome) = relay.try_join("root", 4, LOOPBACK);
    assert_eq!(codes(outcome), Err(RefusalCode::NAME_NOT_ALLOWED));
}

#[test]
fn registration_is_open_to_neighbours_and_to_invitations() {
    let far = "203.0.113.9".parse().expect("an address");
    let near = "192.168.1.9".parse().expect("an address");
    let mut relay = Relay::new();
    assert_eq!(codes(relay.try_join("ada", 1, near).1), Ok(()));
    assert_eq!(codes(relay.try_join("bob", 2, far).1), Err(RefusalCode::TICKET_NEEDED));
    let lifetime = std::time::Duration::from_secs(60);
    relay.input(Input::Operator { id: 1, call: OperatorCall::Ticket { lifetime } });
    relay.settle();
    let ticket = relay.said.iter().find_map(|said| match said {
        Said::Operator(Ok(OperatorAnswer::Ticket(ticket))) => Some(ticket.clone()),
        _ => None,
    });
    let ticket = ticket.expect("a ticket");
    assert_eq!(codes(relay.try_join_with("bob", 3, far, ticket.clone()).1), Ok(()));
    relay.wait(lifetime);
    assert_eq!(
        codes(relay.try_join_with("eve", 4, far, ticket).1),
        Err(RefusalCode::TICKET_NEEDED)
    );

    let mut closed = Relay::with(|config| config.registration = Registration::Closed);
    assert_eq!(codes(closed.try_join("ada", 1, near).1), Err(RefusalCode::REGISTRATION_CLOSED));
}

#[test]
fn a_genesis_link_that_somebody_else_signed_founds_nothing() {
    let mut relay = Relay::new();
    let (genesis, _, _) = crate::hub::fixture::genesis(1);
    let (_, signature, _) = crate::hub::fixture::genesis(2);
    let register = |genesis: &[u8], signature: &[u8]| protocol::message::session::Register {
        name: "ada".into(),
        genesis: serde_bytes::ByteBuf::from(genesis),
        signature: serde_bytes::ByteBuf::from(signature),
        ticket: serde_bytes::ByteBuf::new(),
    };
    let session = relay.next_session();
    relay.attach(session, 1, LOOPBACK, Some(register(&genesis, &signature)));
    relay.settle();
    assert_eq!(relay.closed(session).map(|r| r.code), Some(RefusalCode::MALFORMED));
    // The right signature, but on another channel than the link names.
    let (genesis, signature, _) = crate::hub::fixture::genesis(1);
    let session = relay.next_session();
    relay.attach(session, 9, LOOPBACK, Some(register(&genesis, &signature)));
    relay.settle();
    assert_eq!(relay.closed(session).map(|r| r.code), Some(RefusalCode::MALFORMED));
    assert!(relay.hub.state().accounts.is_empty());
}

#[test]
fn a_device_without_an_account_is_told_and_one_that_registers_twice_is_known() {
    let mut relay = Relay::new();
    let session = relay.next_session();
    relay.attach(session, 1, LOOPBACK, None);
    relay.settle();
    assert_eq!(relay.closed(session).map(|r| r.code), Some(RefusalCode::NOT_REGISTERED));
    let first = relay.join("ada", 1);
    let again = relay.join("other", 1);
    assert_eq!(first.account, again.account);
    assert_eq!(relay.hub.state().accounts[&first.account].name, "ada");
}

#[test]
fn a_newer_session_supersedes_the_device_and_the_older_one_is_deaf() {
    let mut relay = Relay::new();
    let old = relay.join("ada", 1);
    let lobby = relay.lobby();
    let mut new = old;
    relay.reconnect(&mut new);
    relay.settle();
    assert_eq!(relay.closed(old.session).map(|r| r.code), Some(RefusalCode::SUPERSEDED));
    relay.said.clear();
    relay.offer(&old, lobby, 1, "ghost");
    relay.settle();
    assert!(relay.said.is_empty());
    assert!(relay.send(&new, lobby, 1, "me").is_ok());
}

#[test]
fn names_resolve_exactly_and_change_openly() {
    let mut relay = Relay::new();
    let ada = relay.join("Ada", 1);
    let mut resolve = |name: &str| match relay.try_ask(&ada, Resolve { name: name.into() }) {
        Ok(Reply::Resolve(info)) => Ok(info.account),
        Ok(other) => panic!("{other:?}"),
        Err(code) => Err(code),
    };
    assert_eq!(resolve("ada"), Ok(ada.account));
    assert_eq!(resolve("аda"), Err(RefusalCode::NO_SUCH_NAME), "a look-alike is nobody");
    assert!(relay.try_ask(&ada, Rename { name: "ADA".into() }).is_ok(), "another spelling");
    assert!(relay.try_ask(&ada, Rename { name: "countess".into() }).is_ok());
    let told = relay.messages(ada.session).any(|m| matches!(m, RelayMessage::People(_)));
    assert!(told);
    relay.join("ada", 2);
}

#[test]
fn a_released_name_is_free_again() {
    let mut relay = Relay::new();
    let ada = relay.join("ada", 1);
    relay.input(Input::Operator { id: 1, call: OperatorCall::NameRelease { name: "ada".into() } });
    relay.settle();
    let newer = relay.join("ada", 2);
    assert_ne!(ada.account, newer.account);
}

fn direct(relay: &mut Relay, from: &Person, to: AccountId) -> ConversationId {
    match relay.try_ask(from, OpenDirect { peer: to }) {
        Ok(Reply::OpenDirect(info)) => info.id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stranger_says_one_thing_and_then_waits_for_an_answer() {
    let mut relay = Relay::new();
    let (ada, bob) = (relay.join("ada", 1), relay.join("bob", 2));
    let talk = direct(&mut relay, &ada, bob.account);
    assert_eq!(relay.info(&bob, talk).standing, Standing::INVITED);
    assert!(relay.send(&ada, talk, 1, "hello?").is_ok());
    assert_eq!(relay.send(&ada, talk, 2, "hello??"), Err(RefusalCode::WAITS_FOR_ANSWER));
    let yes = Admit { conversation: talk, account: ada.account, verdict: Verdict::Yes };
    assert!(relay.try_ask(&bob, yes).is_ok());
    assert!(relay.send(&ada, talk, 2, "hello??").is_ok());
    assert_eq!(relay.info(&ada, talk).members, 2);
}

#[test]
fn answering_accepts_and_opening_back_accepts() {
    let mut relay = Relay::new();
    let (ada, bob) = (relay.join("ada", 1), relay.join("bob", 2));
    let talk = direct(&mut relay, &ada, bob.account);
    assert!(relay.send(&bob, talk, 1, "yes?").is_ok());
    assert_eq!(relay.info(&bob, talk).standing, Standing::JOINED);
    let eve = relay.join("eve", 3);
    let other = direct(&mut relay, &eve, bob.account);
    assert_eq!(direct(&mut relay, &bob, eve.account), other);
    assert_eq!(relay.info(&bob, other).standing, Standing::JOINED);
}

#[test]
fn a_declined_or_blocked_stranger_hears_it_and_cannot_ask_again() {
    let mut relay = Relay::new();
    let (ada, bob) = (relay.join("ada", 1), relay.join("bob", 2));
    let talk = direct(&mut relay, &ada, bob.account);
    assert!(relay.try_ask(&bob, Leave { conversation: talk }).is_ok());
    assert_eq!(relay.send(&ada, talk, 1, "hello?"), Err(RefusalCode::BLOCKED));
    assert_eq!(direct(&mut relay, &ada, bob.account), talk);
    assert_eq!(relay.info(&bob, talk).standing, Standing::OUTSIDE);
    let block = Block { account: ada.account, verdict: Verdict::Yes };
    assert!(relay.try_ask(&bob, block).is_ok());
    let open = OpenDirect { peer: bob.account };
    assert_eq!(relay.try_ask(&ada, open.clone()), Err(RefusalCode::BLOCKED));
    let unblock = Block { account: ada.account, verdict: Verdict::No };
    assert!(relay.try_ask(&bob, unblock).is_ok());
    assert!(relay.try_ask(&ada, open).is_ok());
    // Who declined may change their mind.
    assert_eq!(direct(&mut relay, &bob, ada.account), talk);
    assert!(relay.send(&ada, talk, 2, "hello again").is_ok());
}

#[test]
fn notes_to_oneself_are_a_conversation_of_one() {
    let mut relay = Relay::new();
    let ada = relay.join("ada", 1);
    let notes = direct(&mut relay, &ada, ada.account);
    for counter in 1..=3 {
        assert!(relay.send(&ada, notes, counter, "remember").is_ok());
    }
    assert_eq!(relay.info(&ada, notes).peer.map(|peer| peer.account), Some(ada.account));
}
