//! The connection as its drivers see it: what a handshake proves, what a beacon hints at, and what
//! no peer gets away with.

mod support;

use std::{fmt::Write, sync::Arc};

use protocol::{
    channel::{established::KEY_UPDATE_PACKETS, keys::StaticKey},
    connection::{
        Connection, ConnectionError, InitiatorConfig, Misbehaviour, ReceivedKind, ResponderConfig,
    },
    ids::RelayKey,
    limits::{
        CONTENT_BYTES_MAX, PACKET_BYTES_BEFORE_LOGIN_MAX, PACKET_BYTES_MAX, RELAY_NAME_BYTES_MAX,
    },
    offer::{Choice, Offer, Suite, Suites, Version, Versions},
    transport::{
        packet::{AttemptId, Beacon, PacketKind, Probe},
        stream::{FramingError, put_packet},
    },
};
use support::{SUITES, Said, World, handshake, receive_one, sealed};

#[test]
fn a_handshake_tells_each_side_who_the_other_is() {
    for suite in SUITES {
        let mut world = World::new(1, suite);
        let (device, relay) = world.established();
        let (device_seen, relay_seen) = (relay.peer().unwrap(), device.peer().unwrap());
        assert_eq!(&device_seen.static_key, world.device.device_key.public());
        assert_eq!(relay_seen.static_key, world.device.relay_key.0);
        assert_eq!(device_seen.handshake_hash, relay_seen.handshake_hash);
        assert_eq!(device_seen.choice, world.device.choice);
        assert_eq!(relay_seen.choice, world.device.choice);
        assert_eq!(relay_seen.offer, world.relay.offer);
        assert_eq!(relay_seen.relay_name.as_deref(), Some("test relay"));
        assert_eq!(device_seen.relay_name, None);
    }
}

#[test]
fn content_travels_both_ways_and_after_a_rest() {
    for suite in SUITES {
        let (mut device, mut relay) = World::new(2, suite).established();
        for round in 0..3_u8 {
            let packet = sealed(&mut device, &[b'd', round]);
            let content = receive_one(&mut relay, &packet);
            assert_eq!(content, Ok(Said::Content(vec![b'd', round])));
            let packet = sealed(&mut relay, &[b'r', round]);
            let content = receive_one(&mut device, &packet);
            assert_eq!(content, Ok(Said::Content(vec![b'r', round])));
            relay.rest();
        }
    }
}

#[test]
fn content_survives_the_change_of_keys_in_both_directions() {
    let mut connections = <[_; 2]>::from(World::new(3, SUITES[0]).established());
    let mut stream = Vec::new();
    for number in 0..KEY_UPDATE_PACKETS + 2 {
        for ends in [[0, 1], [1, 0]] {
            let [from, to] = connections.get_disjoint_mut(ends).unwrap();
            stream.clear();
            let content = number.to_be_bytes();
            from.seal(&mut stream, |out| out.extend(content)).unwrap();
            assert_eq!(receive_one(to, &stream), Ok(Said::Content(content.to_vec())));
        }
    }
}

#[test]
fn sealing_appends_and_sealing_nothing_leaves_nothing() {
    let (mut device, mut relay) = World::new(4, SUITES[0]).established();
    let mut stream = b"before".to_vec();
    device.seal(&mut stream, |_| {}).unwrap();
    assert_eq!(stream, b"before");
    device.seal(&mut stream, |out| out.extend(b"1")).unwrap();
    device.seal(&mut stream, |out| out.extend(b"2")).unwrap();
    let mut rest = &mut stream[6..];
    for expected in [b"1", b"2"] {
        let received = relay.receive(rest).unwrap().unwrap();
        assert_eq!(received.kind, ReceivedKind::Content(expected));
        let consumed = received.consumed;
        rest = &mut rest[consumed..];
    }
    assert!(rest.is_empty());
}

// What somebody who is not the peer can do.

#[test]
fn two_handshakes_of_the_same_peers_share_nothing() {
    let mut world = World::new(5, SUITES[0]);
    let (mut device, _) = world.established();
    let (_, mut other_relay) = world.established();
    let packet = sealed(&mut device, b"for the first connection");
    assert_eq!(receive_one(&mut other_relay, &packet), Err(Misbehaviour::Forged.into()));
}

#[test]
fn a_replayed_init_is_answered_and_leads_nowhere() {
    let mut world = World::new(6, SUITES[0]);
    let (mut device, mut relay) = (world.initiator(), world.responder());
    let init = device.poll_transmit().unwrap();
    let captured_init = init.clone();
    receive_one(&mut relay, &init).unwrap();
    receive_one(&mut device, &relay.poll_transmit().unwrap()).unwrap();
    let captured_attach = sealed(&mut device, b"attach");

    // The replayer gets a reply it cannot read, and the captured attach does not open.
    let mut replayed = world.responder();
    let answer = receive_one(&mut replayed, &captured_init);
    assert_eq!(answer, Ok(Said::Handshake));
    assert_ne!(replayed.peer().unwrap().handshake_hash, relay.peer().unwrap().handshake_hash);
    let opened = receive_one(&mut replayed, &captured_attach);
    assert_eq!(opened, Err(Misbehaviour::Forged.into()));

    // The device's own connection is not disturbed.
    let opened = receive_one(&mut relay, &captured_attach);
    assert_eq!(opened, Ok(Said::Content(b"attach".to_vec())));
}

#[test]
fn a_reply_to_another_attempt_is_refused() {
    let mut world = World::new(7, SUITES[0]);
    let (mut first, mut second, mut relay) =
        (world.initiator(), world.initiator(), world.responder());
    receive_one(&mut relay, &first.poll_transmit().unwrap()).unwrap();
    let reply = relay.poll_transmit().unwrap();
    let error = Err(Misbehaviour::Unexpected(PacketKind::HandshakeReply).into());
    assert_eq!(receive_one(&mut second, &reply), error);
}

#[test]
fn no_flipped_bit_passes() {
    for suite in SUITES {
        let mut world = World::new(8, suite);
        let (mut device, mut relay) = (world.initiator(), world.responder());
        let init = device.poll_transmit().unwrap();
        receive_one(&mut relay, &init).unwrap();
        let reply = relay.poll_transmit().unwrap();

        // Bytes 0 and 1 are the length: wrong, it asks for more bytes or cuts the packet short.
        for bit in 0..init.len() * 8 {
            let mut flipped = init.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let received =
                world.responder().receive(&mut flipped).map(|received| received.is_none());
            assert_ne!(received, Ok(false), "bit {bit} of the init");
        }
        for byte in 0..reply.len() {
            let mut world = World::new(8, suite);
            let mut device = world.initiator();
            let mut flipped = reply.clone();
            flipped[byte] ^= 1 << (byte % 8);
            let received = device.receive(&mut flipped).map(|received| received.is_none());
            assert_ne!(received, Ok(false), "byte {byte} of the reply");
        }
        receive_one(&mut device, &reply).unwrap();
        let packet = sealed(&mut device, b"content");
        for bit in 16..packet.len() * 8 {
            let (_, mut relay) = World::new(8, suite).established();
            let mut flipped = packet.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(receive_one(&mut relay, &flipped).is_err(), "bit {bit} of the content");
        }
    }
}

#[test]
fn a_key_that_is_nobodys_is_refused_on_both_sides() {
    let mut world = World::new(9, SUITES[0]);
    let config = InitiatorConfig { relay_key: RelayKey([0; 32]), ..world.device.clone() };
    let error = Connection::initiator(&config, &mut world.entropy).unwrap_err();
    assert_eq!(error, ConnectionError::UnusableRelayKey);

    let mut init = world.initiator().poll_transmit().unwrap();
    let ephemeral = 2 + 13 + 2;
    init[ephemeral..ephemeral + 32].fill(0);
    assert_eq!(receive_one(&mut world.responder(), &init), Err(ConnectionError::NotForUs));
}

// Beacons, versions, suites.

#[test]
fn an_init_for_another_key_is_answered_with_a_hint() {
    let mut world = World::new(10, SUITES[0]);
    let stranger = StaticKey::generate(&mut world.entropy).relay_key();
    let config = InitiatorConfig { relay_key: stranger, ..world.device.clone() };
    let mut device = Connection::initiator(&config, &mut world.entropy).unwrap();
    let mut relay = world.responder();
    let error = receive_one(&mut relay, &device.poll_transmit().unwrap());
    assert_eq!(error, Err(ConnectionError::NotForUs));

    let answer = relay.poll_transmit().unwrap();
    let Err(ConnectionError::Unanswered { beacon }) = receive_one(&mut device, &answer) else {
        panic!("a beacon is a hint");
    };
    assert_eq!(beacon.relay_key, world.device.relay_key);
    assert_eq!(beacon.relay_name, "test relay");
    assert!(device.peer().is_none(), "a beacon proves nothing");
}

#[test]
fn a_version_from_the_future_is_refused_and_told_what_there_is() {
    let mut world = World::new(11, SUITES[0]);
    world.device.offer.versions = Versions::new([Version(2)]);
    world.device.choice.version = Version(2);
    let (mut device, mut relay) = (world.initiator(), world.responder());
    let error = receive_one(&mut relay, &device.poll_transmit().unwrap()).unwrap_err();
    assert!(matches!(error, ConnectionError::Incompatible { .. }), "{error}");

    let answer = relay.poll_transmit().unwrap();
    let Err(ConnectionError::Unanswered { beacon }) = receive_one(&mut device, &answer) else {
        panic!("a beacon is a hint");
    };
    assert_eq!(beacon.offer, world.relay.offer);
    let again = world.device.clone().after_beacon(&beacon).unwrap_err();
    assert!(matches!(again, ConnectionError::Incompatible { .. }), "{again}");
}

#[test]
fn after_an_honest_beacon_both_meet_at_what_they_share() {
    let mut world = World::new(12, SUITES[0]);
    let offer = Offer { suites: Suites::new([Suite(9), SUITES[1]]), ..world.relay.offer };
    world.relay = Arc::new(ResponderConfig {
        offer,
        ..ResponderConfig::new(Arc::clone(&world.relay.static_key), String::new())
    });
    let (mut device, mut relay) = (world.initiator(), world.responder());
    receive_one(&mut relay, &device.poll_transmit().unwrap()).unwrap_err();
    let answer = relay.poll_transmit().unwrap();
    let Err(ConnectionError::Unanswered { beacon }) = receive_one(&mut device, &answer) else {
        panic!("a beacon is a hint");
    };
    world.device = world.device.clone().after_beacon(&beacon).unwrap();
    let (device, _) = world.established();
    assert_eq!(device.peer().unwrap().choice.suite, SUITES[1]);
}

#[test]
fn being_talked_into_less_by_a_forged_beacon_is_noticed() {
    let both = Versions::new([Version(2), Version::V1]);
    let lesser = [
        Choice { version: Version(2), suite: SUITES[1] },
        Choice { version: Version::V1, suite: SUITES[0] },
    ];
    for used in lesser {
        let mut world = World::new(13, SUITES[0]);
        let offer = Offer { versions: both, ..world.relay.offer };
        world.relay = Arc::new(ResponderConfig {
            offer,
            ..ResponderConfig::new(Arc::clone(&world.relay.static_key), String::new())
        });
        let forged = Beacon {
            attempt: AttemptId([0; 8]),
            offer: used.into(),
            relay_key: world.device.relay_key,
            relay_name: String::new(),
        };
        world.device.offer.versions = both;
        world.device = world.device.clone().after_beacon(&forged).unwrap();

        let (mut device, mut relay) = (world.initiator(), world.responder());
        receive_one(&mut relay, &device.poll_transmit().unwrap()).unwrap();
        let error = receive_one(&mut device, &relay.poll_transmit().unwrap());
        assert_eq!(error, Err(ConnectionError::Downgraded { used, offered: offer }));
        assert!(!device.is_established());
    }
}

#[test]
fn a_probe_is_answered_once_and_does_not_hinder_the_handshake() {
    let mut world = World::new(14, SUITES[0]);
    let mut relay = world.responder();
    let mut prober = Connection::prober(&mut world.entropy);
    let probe = prober.poll_transmit().unwrap();
    assert_eq!(receive_one(&mut relay, &probe), Ok(Said::Probe));
    let answer = relay.poll_transmit().unwrap();
    let Ok(Said::Beacon(beacon)) = receive_one(&mut prober, &answer) else {
        panic!("a prober wants a beacon");
    };
    assert_eq!(beacon.relay_key, world.device.relay_key);
    assert_eq!(receive_one(&mut prober, &answer), Err(ConnectionError::Closed));

    let mut device = world.initiator();
    handshake(&mut device, &mut relay);

    let mut relay = world.responder();
    receive_one(&mut relay, &probe).unwrap();
    assert_eq!(receive_one(&mut relay, &probe), Err(Misbehaviour::ProbedAgain.into()));
}

#[test]
fn the_largest_beacon_fits_before_login() {
    let mut world = World::new(15, SUITES[0]);
    world.relay = Arc::new(ResponderConfig {
        offer: Offer {
            versions: Versions::new((1..=8).map(Version)),
            suites: Suites::new((1..=8).map(Suite)),
        },
        ..ResponderConfig::new(Arc::clone(&world.relay.static_key), "n".repeat(500))
    });
    let (mut prober, mut relay) = (Connection::prober(&mut world.entropy), world.responder());
    receive_one(&mut relay, &prober.poll_transmit().unwrap()).unwrap();
    let answer = relay.poll_transmit().unwrap();
    let Ok(Said::Beacon(beacon)) = receive_one(&mut prober, &answer) else {
        panic!("a prober wants a beacon");
    };
    assert_eq!(beacon.relay_name.len(), RELAY_NAME_BYTES_MAX);
}

// Limits.

#[test]
fn a_stranger_is_kept_short_until_the_relay_says_otherwise() {
    let mut world = World::new(16, SUITES[0]);
    let (mut device, mut relay) = (world.initiator(), world.responder());
    handshake(&mut device, &mut relay);
    let largest_first = PACKET_BYTES_BEFORE_LOGIN_MAX - 17;
    let error = device.seal(&mut Vec::new(), |out| out.extend(vec![1; largest_first + 1]));
    let too_large =
        ConnectionError::ContentTooLarge { bytes: largest_first + 1, max: largest_first };
    assert_eq!(error, Err(too_large), "the first packet is for the relay as it is before login");

    let packet = sealed(&mut device, &vec![1; largest_first]);
    assert!(receive_one(&mut relay, &packet).is_ok());
    let mut second = sealed(&mut device, &vec![1; largest_first + 1]);
    let framing = FramingError::TooLarge {
        bytes: PACKET_BYTES_BEFORE_LOGIN_MAX + 1,
        max: PACKET_BYTES_BEFORE_LOGIN_MAX,
    };
    let error = relay.receive(&mut second[..2]);
    assert_eq!(error, Err(Misbehaviour::Framing(framing).into()), "by its length alone");
}

#[test]
fn the_largest_packet_passes_both_ways_and_one_byte_more_is_not_sealed() {
    let (mut device, mut relay) = World::new(17, SUITES[0]).established();
    let attach = sealed(&mut device, b"attach");
    receive_one(&mut relay, &attach).unwrap();
    let mut connections = [device, relay];
    for ends in [[0, 1], [1, 0]] {
        let [from, to] = connections.get_disjoint_mut(ends).unwrap();
        let mut out = b"kept".to_vec();
        let error = from.seal(&mut out, |out| out.extend(vec![1; CONTENT_BYTES_MAX + 1]));
        let bytes = CONTENT_BYTES_MAX + 1;
        assert_eq!(error, Err(ConnectionError::ContentTooLarge { bytes, max: CONTENT_BYTES_MAX }));
        assert_eq!(out, b"kept");
        let content = vec![1; CONTENT_BYTES_MAX];
        let packet = sealed(from, &content);
        assert_eq!(packet.len(), 2 + PACKET_BYTES_MAX);
        assert_eq!(receive_one(to, &packet), Ok(Said::Content(content)));
    }
}

// States.

type MakeConnection = fn(&mut World) -> Connection;

#[test]
fn every_packet_is_refused_where_it_does_not_belong() {
    // Whole packets of each kind, as valid as they can be in isolation.
    let packets = |world: &mut World| {
        let (mut device, mut relay) = (world.initiator(), world.responder());
        let init = device.poll_transmit().unwrap();
        receive_one(&mut relay, &init).unwrap();
        let mut other = world.responder();
        let mut probe = Vec::new();
        put_packet(&mut probe, &Probe { attempt: AttemptId([1; 8]) }.encode());
        receive_one(&mut other, &probe).unwrap();
        [
            ("probe", probe),
            ("beacon", other.poll_transmit().unwrap()),
            ("init", init),
            ("reply", relay.poll_transmit().unwrap()),
            ("retry", vec![0, 1, 5]),
            ("sealed", [&[0, 18, 6][..], &[7; 17]].concat()),
            ("reset", vec![0, 1, 7]),
            ("kind 0", vec![0, 1, 0]),
        ]
    };
    let states: [(&str, MakeConnection); 5] = [
        ("awaiting", World::responder),
        ("probing", |world| Connection::prober(&mut world.entropy)),
        ("initiating", World::initiator),
        ("established", |world| world.established().1),
        ("closed", |world| {
            let mut relay = world.responder();
            receive_one(&mut relay, &[0, 1, 0]).unwrap_err();
            relay
        }),
    ];
    let mut table = String::new();
    for (state, connection) in states {
        let mut world = World::new(18, SUITES[0]);
        for (packet, bytes) in packets(&mut world) {
            let mut connection = connection(&mut world);
            let outcome = match receive_one(&mut connection, &bytes) {
                Ok(kind) => format!("{kind:?}"),
                Err(error) => error.to_string(),
            };
            writeln!(table, "{state:11} {packet:6} {outcome}").unwrap();
        }
    }
    let expected = "\
awaiting    probe  Probe
awaiting    beacon peer misbehaved: unexpected packet Beacon
awaiting    init   Handshake
awaiting    reply  peer misbehaved: unexpected packet HandshakeReply
awaiting    retry  peer misbehaved: unexpected packet Retry
awaiting    sealed peer misbehaved: unexpected packet Sealed
awaiting    reset  peer misbehaved: unexpected packet Reset
awaiting    kind 0 peer misbehaved: unknown packet kind 0
probing     probe  peer misbehaved: unexpected packet Probe
probing     beacon peer misbehaved: unexpected packet Beacon
probing     init   peer misbehaved: unexpected packet HandshakeInit
probing     reply  peer misbehaved: unexpected packet HandshakeReply
probing     retry  peer misbehaved: unexpected packet Retry
probing     sealed peer misbehaved: unexpected packet Sealed
probing     reset  peer misbehaved: unexpected packet Reset
probing     kind 0 peer misbehaved: unknown packet kind 0
initiating  probe  peer misbehaved: unexpected packet Probe
initiating  beacon peer misbehaved: unexpected packet Beacon
initiating  init   peer misbehaved: unexpected packet HandshakeInit
initiating  reply  peer misbehaved: unexpected packet HandshakeReply
initiating  retry  peer misbehaved: unexpected packet Retry
initiating  sealed peer misbehaved: unexpected packet Sealed
initiating  reset  peer misbehaved: unexpected packet Reset
initiating  kind 0 peer misbehaved: unknown packet kind 0
established probe  peer misbehaved: unexpected packet Probe
established beacon peer misbehaved: unexpected packet Beacon
established init   peer misbehaved: unexpected packet HandshakeInit
established reply  peer misbehaved: unexpected packet HandshakeReply
established retry  peer misbehaved: unexpected packet Retry
established sealed peer misbehaved: packet failed to open
established reset  peer misbehaved: unexpected packet Reset
established kind 0 peer misbehaved: unknown packet kind 0
closed      probe  connection is closed
closed      beacon connection is closed
closed      init   connection is closed
closed      reply  connection is closed
closed      retry  connection is closed
closed      sealed connection is closed
closed      reset  connection is closed
closed      kind 0 connection is closed
";
    assert_eq!(table, expected);
}

#[test]
fn nothing_is_sealed_before_the_handshake_or_after_an_error() {
    let mut world = World::new(19, SUITES[0]);
    let (mut device, mut relay) = (world.initiator(), world.responder());
    let mut out = Vec::new();
    let error = Err(ConnectionError::NotEstablished);
    assert_eq!(device.seal(&mut out, |out| out.push(1)), error);
    assert_eq!(relay.seal(&mut out, |out| out.push(1)), error);
    handshake(&mut device, &mut relay);
    receive_one(&mut relay, &[0, 1, 6]).unwrap_err();
    assert_eq!(relay.seal(&mut out, |out| out.push(1)), error);
    assert!(out.is_empty());
}

#[test]
fn a_web_browser_at_the_wrong_door_is_recognised_by_its_first_bytes() {
    let mut relay = World::new(20, SUITES[0]).responder();
    let mut request = *b"GE";
    let framing = FramingError::TooLarge { bytes: 0x4745, max: PACKET_BYTES_BEFORE_LOGIN_MAX };
    assert_eq!(relay.receive(&mut request), Err(Misbehaviour::Framing(framing).into()));
}
