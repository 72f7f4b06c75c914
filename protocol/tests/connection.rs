//! The connection as its two drivers see it: what a handshake proves, what a beacon hints at, and
//! what no peer gets away with.

mod support;

use protocol::connection::{ConnectionError, Misbehaviour, ReceivedKind};
use support::{SUITES, World, receive_one, sealed};

#[test]
fn a_handshake_tells_each_side_who_the_other_is() {
    for suite in SUITES {
        let mut world = World::new(1, suite);
        let (device, relay) = world.established();
        let (relays_peer, devices_peer) = (relay.peer().unwrap(), device.peer().unwrap());
        assert_eq!(&relays_peer.static_key, world.device.device_key.public());
        assert_eq!(devices_peer.static_key, world.device.relay_key.0);
        assert_eq!(relays_peer.handshake_hash, devices_peer.handshake_hash);
        assert_eq!(devices_peer.relay_name.as_deref(), Some("test relay"));
        assert_eq!(devices_peer.offer, world.relay.offer);
        assert_eq!(
            (relays_peer.choice, devices_peer.choice),
            (world.device.choice, world.device.choice)
        );
    }
}

#[test]
fn content_travels_both_ways_and_after_a_rest() {
    for suite in SUITES {
        let (mut device, mut relay) = World::new(2, suite).established();
        for round in 0..3_u8 {
            let mut packet = sealed(&mut device, &[b'd', round]);
            assert_eq!(
                receive_one(&mut relay, &mut packet),
                Ok(ReceivedKind::Content(&[b'd', round]))
            );
            let mut packet = sealed(&mut relay, &[b'r', round]);
            assert_eq!(
                receive_one(&mut device, &mut packet),
                Ok(ReceivedKind::Content(&[b'r', round]))
            );
            relay.rest();
        }
    }
}

#[test]
fn two_handshakes_of_the_same_peers_share_nothing() {
    let mut world = World::new(3, SUITES[0]);
    let (mut device, _) = world.established();
    let (_, mut other_relay) = world.established();
    let mut packet = sealed(&mut device, b"for the first connection");
    let forged = Err(ConnectionError::Misbehaved(Misbehaviour::Forged));
    assert_eq!(receive_one(&mut other_relay, &mut packet), forged);
}
