//! What needs a look inside. Everything that does not is in `tests/connection.rs`.

use super::*;
use crate::{
    channel::keys::StaticKey,
    offer::{Offer, Suite, Suites},
};

fn established() -> (Connection, Connection) {
    let mut entropy = Entropy::seeded_for_simulation(1);
    let relay_key = Arc::new(StaticKey::generate(&mut entropy));
    let device_key = Arc::new(StaticKey::generate(&mut entropy));
    let config = InitiatorConfig::new(relay_key.relay_key(), device_key);
    let mut device = Connection::initiator(&config, &mut entropy).unwrap();
    let config = ResponderConfig::new(relay_key, "relay".to_owned());
    let mut relay = Connection::responder(Arc::new(config), &mut entropy);
    relay.receive(&mut device.poll_transmit().unwrap()).unwrap();
    device.receive(&mut relay.poll_transmit().unwrap()).unwrap();
    (device, relay)
}

#[test]
fn a_sealed_packet_has_to_say_something() {
    let (mut device, mut relay) = established();
    let State::Established(state) = &mut device.state else { panic!("established") };
    let tag = state.channel.seal(&SEALED_HEADER, &mut []).unwrap();
    let mut stream = Vec::new();
    stream::put_packet(&mut stream, &[&SEALED_HEADER[..], &tag].concat());
    assert_eq!(relay.receive(&mut stream), Err(Misbehaviour::EmptyContent.into()));
}

#[test]
fn a_cookie_makes_no_sense_on_a_stream() {
    let (_, relay) = established();
    let config =
        Arc::new(ResponderConfig::new(Arc::new(StaticKey::from_bytes([1; 32])), String::new()));
    let choice = relay.peer().unwrap().choice;
    let attempt = AttemptId([1; 8]);
    let init = HandshakeInit { choice, attempt, cookie: b"c", noise: &[] };
    let mut stream = Vec::new();
    stream::put_packet(&mut stream, &init.encode());
    let mut entropy = Entropy::seeded_for_simulation(2);
    let mut relay = Connection::responder(config, &mut entropy);
    let malformed = Misbehaviour::Malformed(PacketKind::HandshakeInit);
    assert_eq!(relay.receive(&mut stream), Err(malformed.into()));
}

#[test]
fn a_relay_that_does_not_list_what_it_speaks_is_not_believed() {
    let mut entropy = Entropy::seeded_for_simulation(3);
    let relay_key = Arc::new(StaticKey::generate(&mut entropy));
    let device_key = Arc::new(StaticKey::generate(&mut entropy));
    let config = InitiatorConfig::new(relay_key.relay_key(), device_key);
    let mut device = Connection::initiator(&config, &mut entropy).unwrap();
    let mut init = device.poll_transmit().unwrap();
    let init = HandshakeInit::decode(&init.split_off(LENGTH_BYTES)[1..]).unwrap().noise.to_vec();
    let State::Initiating(initiating) = &device.state else { panic!("initiating") };
    let attempt = initiating.id;
    // Even if it lists something else that we share.
    let other = if config.choice.suite == Suite(1) { Suite(2) } else { Suite(1) };
    let welcome = Welcome {
        offer: Offer { suites: Suites::new([other]), ..config.offer },
        capabilities: Capabilities::default(),
        relay_name: "",
        route: None,
    };
    let prologue = prologue(TransportKind::Stream, config.choice, attempt);
    let ephemeral = Zeroizing::new(entropy.bytes());
    let (_, _, reply) =
        handshake::respond(&prologue, &relay_key, ephemeral, &welcome, &init).unwrap();
    let mut stream = Vec::new();
    stream::put_packet(&mut stream, &HandshakeReply { attempt, noise: &reply }.encode());
    assert_eq!(device.receive(&mut stream), Err(Misbehaviour::Contradiction.into()));
}

#[test]
fn a_waiting_responder_costs_no_more_than_its_own_size() {
    assert!(size_of::<Awaiting>() <= 48, "a reference, a seed and a count");
}

#[test]
fn rest_leaves_nothing_on_the_heap() {
    let (mut device, mut relay) = established();
    let mut stream = Vec::new();
    device.seal(&mut stream, |out| out.push(1)).unwrap();
    relay.receive(&mut stream).unwrap();
    relay.rest();
    assert!(relay.transmit.is_none());
    let State::Established(state) = &relay.state else { panic!("established") };
    assert!(state.channel.is_resting());
    assert!(state.peer.relay_name.is_none());
}

#[test]
fn a_connection_may_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Connection>();
}
