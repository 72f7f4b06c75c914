//! A peer from the future, at every level where later versions may add something: what this build
//! does not know is skipped, kept as it is or refused by name, and never breaks what it does know.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

mod support;

use std::{borrow::Cow, sync::Arc};

use protocol::{
    ids::{AccountId, ConversationId, Counter, DeviceId, LogId, Seq},
    message::{
        ClientMessage, MessageReader, REQUEST_BASE, RelayMessage,
        account::GenesisLink,
        encoding::write_varint,
        event::{Body, Change, Notice, Text},
        ext::Ext,
        record::{Class, Content, ENVELOPE_VERSION, Envelope, Record, Run, Target},
        refusal::{Refusal, RefusalCode},
        request::{Ban, Reply, Request},
        room::{
            Access, AccountInfo, BanTarget, ConversationInfo, DeviceInfo, Kind, Presence, Role,
            Standing,
        },
        session::{Attach, Goodbye, Ping, PresenceChanged, Rejected, Welcome},
    },
    offer::{Offer, Suite, Suites, Version, Versions},
    time::WallTime,
};
use serde_bytes::ByteBuf;
use support::{SUITES, World, handshake};

const CONVERSATION: ConversationId = ConversationId([1; 16]);

fn pairs(tags: &[u16]) -> Ext {
    Ext(tags.iter().map(|tag| (*tag, ByteBuf::from(vec![7; 40]))).collect())
}

/// `number ‖ body` behind its length.
fn message(number: u16, body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    write_varint(number.into(), &mut content);
    content.extend(body);
    let mut framed = Vec::new();
    write_varint(content.len() as u64, &mut framed);
    framed.extend(content);
    framed
}

fn from_client(content: &[u8]) -> Vec<ClientMessage<'_>> {
    let messages = MessageReader::new(content);
    messages.map(|bytes| ClientMessage::decode(bytes.unwrap()).unwrap()).collect()
}

fn from_relay(content: &[u8]) -> Vec<RelayMessage<'_>> {
    let messages = MessageReader::new(content);
    messages.map(|bytes| RelayMessage::decode(bytes.unwrap()).unwrap()).collect()
}

fn account() -> AccountInfo {
    AccountInfo { account: AccountId([2; 16]), name: "ada".into(), ext: pairs(&[2, 4]) }
}

fn conversation() -> ConversationInfo {
    ConversationInfo {
        id: CONVERSATION,
        kind: Kind(200),
        name: "later".into(),
        topic: String::new(),
        access: Access(201),
        standing: Standing(202),
        role: Role(203),
        muted_until: WallTime::default(),
        peer: Some(account()),
        first: Seq(1),
        head: Seq(9),
        read: Seq(3),
        members: 2,
        genesis: ByteBuf::from(vec![9; 64]),
        ext: pairs(&[10]),
    }
}

fn welcome() -> Welcome {
    Welcome {
        account: account(),
        device: DeviceId([3; 16]),
        relay_name: "relay".into(),
        log_id: LogId([4; 16]),
        keys: Vec::new(),
        highest: Counter(5),
        now: WallTime::from_millis(6),
        conversations: 1,
        body_bytes_max: 32_768,
        ext: pairs(&[8, 12]),
    }
}

fn text(ext: Ext) -> Text {
    Text { text: "hi".into(), composed_at: WallTime::default(), reply_to: None, ext }
}

fn envelope(class: Class, target: Option<Target>) -> Envelope {
    Envelope {
        version: ENVELOPE_VERSION,
        device: DeviceId([3; 16]),
        counter: Counter(1),
        class,
        target,
        epoch: 0,
        seen: (Seq::ZERO, [0; 8]),
        ext: pairs(&[6]),
    }
}

// Handshake.

#[test]
fn both_sides_speak_what_they_share_however_much_the_other_lists() {
    for suite in SUITES {
        let mut world = World::new(1, suite);
        let future = Offer {
            versions: Versions::new([Version(300), Version(2), Version::V1]),
            suites: Suites::new([suite, Suite(77), Suite(200)]),
        };
        world.device.offer = future;
        let (device, relay) = world.established();
        assert_eq!(relay.peer().unwrap().offer.versions, future.versions);
        assert_eq!(device.peer().unwrap().choice, relay.peer().unwrap().choice);

        let mut world = World::new(2, suite);
        Arc::get_mut(&mut world.relay).unwrap().offer = future;
        let (mut device, mut relay) = (world.initiator(), world.responder());
        handshake(&mut device, &mut relay);
        assert_eq!(device.peer().unwrap().offer, future);
    }
}

// Messages.

#[test]
fn unknown_messages_are_skipped_by_their_length_in_both_directions() {
    let ping = Ping { token: 4 };
    let mut content = message(40, &[1; 300]);
    ClientMessage::Ping(ping).append_to(&mut content);
    content.extend(message(63, &[]));
    let expected =
        [ClientMessage::Unknown(40), ClientMessage::Ping(ping), ClientMessage::Unknown(63)];
    assert_eq!(from_client(&content), expected);

    let mut content = message(18, &[0xff; 70]);
    RelayMessage::Pong(ping).append_to(&mut content);
    assert_eq!(from_relay(&content), [RelayMessage::Unknown(18), RelayMessage::Pong(ping)]);
}

#[test]
fn unknown_requests_keep_their_id_so_that_they_can_be_refused() {
    let content = message(REQUEST_BASE + 5_000, &[17, 0xfe, 0xfe]);
    assert_eq!(from_client(&content), [ClientMessage::Request(17, Request::Unknown(5_000))]);
    let refusal = Refusal::last(RefusalCode::UNSUPPORTED, "5000");
    let mut content = Vec::new();
    RelayMessage::Reply(17, Err(refusal.clone())).append_to(&mut content);
    assert_eq!(from_relay(&content), [RelayMessage::Reply(17, Err(refusal))]);
    let content = message(REQUEST_BASE + 5_000, &[17, 1, 2, 3]);
    assert_eq!(from_relay(&content), [RelayMessage::Reply(17, Ok(Reply::Unknown(5_000)))]);
}

#[test]
fn a_known_message_that_grew_without_leave_is_malformed() {
    let grown = message(9, &[4, 0]);
    let bytes = MessageReader::new(&grown).next().unwrap().unwrap();
    assert!(ClientMessage::decode(bytes).is_err(), "growth goes through ext or a new number");
}

// Values that grow by ext.

#[test]
fn even_tags_pass_through_every_value_that_grows() {
    let attach =
        Attach { register: None, client: "chat-client 9.0.0".into(), ext: pairs(&[2, 65_534]) };
    let mut content = Vec::new();
    ClientMessage::Attach(attach.clone()).append_to(&mut content);
    assert_eq!(attach.ext.unknown_critical(), None);
    assert_eq!(from_client(&content), [ClientMessage::Attach(attach)]);

    let welcome = welcome();
    let mut content = Vec::new();
    let expected = [RelayMessage::Welcome(welcome), RelayMessage::Conversation(conversation())];
    for message in &expected {
        message.append_to(&mut content);
    }
    assert_eq!(from_relay(&content), expected);

    let envelope = envelope(Class::CONTENT, None);
    assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
    let body = Body::Text(text(pairs(&[2])));
    assert_eq!(Body::decode(&body.encode()), Ok(body));
}

#[test]
fn odd_tags_make_the_value_unreadable_and_nothing_around_it() {
    let attach = Attach { register: None, client: "chat-client 9.0.0".into(), ext: pairs(&[2, 3]) };
    assert_eq!(attach.ext.unknown_critical(), Some(3), "the relay refuses it by name");

    let welcome = Welcome { ext: pairs(&[2, 9]), ..welcome() };
    assert_eq!(welcome.unknown_critical(), Some(9), "the client ends the session");
    let info = ConversationInfo { ext: pairs(&[11]), ..conversation() };
    assert_eq!(info.unknown_critical(), Some(11));
    let device =
        |ext, account| DeviceInfo { device: DeviceId([3; 16]), account, signing_key: [1; 32], ext };
    assert_eq!(device(pairs(&[13]), account()).unknown_critical(), Some(13));

    // Whatever contains such a value is not understood either.
    let critical = AccountInfo { ext: pairs(&[15]), ..account() };
    let direct = ConversationInfo { peer: Some(critical.clone()), ..conversation() };
    assert_eq!(direct.unknown_critical(), Some(15));
    assert_eq!(Welcome { account: critical.clone(), ..welcome }.unknown_critical(), Some(9));
    assert_eq!(device(pairs(&[2]), critical).unknown_critical(), Some(15));

    let later = Envelope { ext: pairs(&[3]), ..envelope(Class::CONTENT, None) };
    let read = Envelope::decode(&later.encode()).unwrap();
    assert!(!read.is_understood() && read == later, "its name can be read, and no more");
    assert!(envelope(Class::CONTENT, None).is_understood());
    let later = Envelope { version: 2, ..envelope(Class::CONTENT, None) };
    assert!(!later.is_understood());
    let body = Body::Text(text(Ext::none())).encode();
    let unread = Body::decode_unread(&body).unwrap();
    assert!(matches!(unread, Body::Unknown(1, _)), "{unread:?}");
    assert_eq!(unread.encode(), body);

    let notice = Notice {
        actor: None,
        subject: None,
        change: Change::Joined,
        reason: String::new(),
        ext: pairs(&[5]),
    };
    for body in [
        Body::Text(text(pairs(&[3]))),
        Body::Action(text(pairs(&[3]))),
        Body::Edit(text(pairs(&[3]))),
        Body::Notice(notice),
    ] {
        let encoded = body.encode();
        let read = Body::decode(&encoded).unwrap();
        assert!(matches!(read, Body::Unknown(..)), "{body:?} was read as {read:?}");
        assert_eq!(read.encode(), encoded, "kept as it is, for a later version");
    }

    let link = GenesisLink {
        version: 1,
        signing_key: [1; 32],
        channel_key: [2; 32],
        sealing_key: [3; 32],
        created_at: WallTime::default(),
        nonce: [4; 16],
        ext: pairs(&[2]),
    };
    assert_eq!(GenesisLink::decode(&link.encode()), Ok(link.clone()));
    let critical = GenesisLink { ext: pairs(&[7]), ..link.clone() };
    assert!(GenesisLink::decode(&critical.encode()).is_err());
    let later = GenesisLink { version: 2, ..link };
    assert!(GenesisLink::decode(&later.encode()).is_err());
}

// Integers with named values.

#[test]
fn numbers_without_a_name_are_carried_as_they_are() {
    let rejected = Rejected {
        conversation: CONVERSATION,
        counter: Counter(1),
        refusal: Refusal::last(RefusalCode(60_000), "phase of the moon"),
        highest: Counter(1),
    };
    let expected = [
        RelayMessage::Conversation(conversation()),
        RelayMessage::Presence(PresenceChanged {
            accounts: vec![(AccountId([2; 16]), Presence(9))],
        }),
        RelayMessage::Rejected(rejected),
        RelayMessage::Goodbye(Goodbye { refusal: Refusal::last(RefusalCode(999), "") }),
    ];
    let mut content = Vec::new();
    for message in &expected {
        message.append_to(&mut content);
    }
    assert_eq!(from_relay(&content), expected);

    let ban = Ban {
        conversation: CONVERSATION,
        target: BanTarget::Other(12, ByteBuf::from(vec![1, 2])),
        until: WallTime::default(),
        reason: String::new(),
        dry_run: true,
    };
    let expected = ClientMessage::Request(1, ban.into());
    let mut content = Vec::new();
    expected.append_to(&mut content);
    assert_eq!(from_client(&content), [expected]);
}

#[test]
fn a_class_of_a_later_version_may_or_may_not_have_a_target() {
    let target = Target { seq: Seq(1), id: envelope(Class::CONTENT, None).id() };
    for target in [None, Some(target)] {
        let later = envelope(Class(77), target);
        assert_eq!(Envelope::decode(&later.encode()), Ok(later));
    }
}

// Records.

#[test]
fn a_body_nobody_knows_keeps_its_place_its_bytes_and_its_digest() {
    let bodies = [
        Body::Text(text(Ext::none())),
        Body::Unknown(4_711, vec![0xff; 500]),
        Body::Text(text(Ext::none())),
    ];
    let mut records = Vec::new();
    for body in &bodies {
        Record {
            envelope: Cow::Owned(envelope(Class(77), None).encode()),
            signature: Cow::Borrowed(&[]),
            content: Content::Body(Cow::Owned(body.encode())),
        }
        .append_to(&mut records);
    }
    let run =
        Run { first: Seq(5), time: WallTime::from_millis(1), count: 3, records: records.into() };
    let read: Vec<_> = run
        .records()
        .map(|item| {
            let (seq, record) = item.unwrap();
            let Content::Body(body) = record.content else { panic!("nothing was erased") };
            (seq, Body::decode(&body).unwrap())
        })
        .collect();
    let [first, unknown, last] = bodies;
    assert_eq!(read, [(Seq(5), first), (Seq(6), unknown), (Seq(7), last)]);
}
