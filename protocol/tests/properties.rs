//! What must hold for any bytes and any way the network cuts them.

mod support;

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*};
use protocol::{connection::Connection, transport::stream::PacketCodec};
use support::{SUITES, Said, World, sealed};
use tokio_util::codec::Decoder;

/// Feeds `stream` in pieces of the given sizes, repeated, as a socket would: what each packet said,
/// `None` for the error that ends it.
fn drive(connection: &mut Connection, stream: &[u8], pieces: &[usize]) -> Vec<Option<Said>> {
    let mut said = Vec::new();
    let mut buffer = Vec::new();
    let mut rest = stream;
    let mut sizes = pieces.iter().cycle();
    while !rest.is_empty() {
        let size = (*sizes.next().expect("a cycle has no end")).clamp(1, rest.len());
        buffer.extend(&rest[..size]);
        rest = &rest[size..];
        loop {
            match connection.receive(&mut buffer) {
                Ok(None) => break,
                Ok(Some(received)) => {
                    let consumed = received.consumed;
                    said.push(Some(received.kind.into()));
                    buffer.drain(..consumed);
                }
                Err(_) => {
                    said.push(None);
                    return said;
                }
            }
        }
    }
    said
}

/// A device's whole stream: handshake and contents. The reply does not depend on how the relay
/// receives it, so a first relay makes it.
fn stream_of(seed: u64, contents: &[Vec<u8>]) -> (Vec<u8>, Connection) {
    let suite = SUITES[usize::from(seed % 2 == 1)];
    let mut world = World::new(seed, suite);
    let mut device = world.initiator();
    let mut stream = device.poll_transmit().expect("the init");
    let mut relay = world.responder();
    support::receive_one(&mut relay, &stream).expect("a handshake");
    let reply = relay.poll_transmit().expect("the reply");
    support::receive_one(&mut device, &reply).expect("the relay proved itself");
    for content in contents {
        stream.extend(sealed(&mut device, content));
    }

    // The same draws of entropy make a relay that knows this device's handshake.
    let mut twin = World::new(seed, suite);
    twin.initiator();
    (stream, twin.responder())
}

fn contents() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 1..1_500), 0..6)
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![1..4_usize, 1..200_usize, 1..5_000_usize], 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_cut_of_the_stream_yields_the_same_packets(
        seed in 0..1_000_u64, contents in contents(), pieces in pieces(),
    ) {
        let (stream, mut relay) = stream_of(seed, &contents);
        let mut expected = vec![Some(Said::Handshake)];
        expected.extend(contents.into_iter().map(|content| Some(Said::Content(content))));
        prop_assert_eq!(drive(&mut relay, &stream, &pieces), expected);
    }

    #[test]
    fn damage_anywhere_yields_a_prefix_of_what_was_sent(
        seed in 0..1_000_u64, contents in contents(), pieces in pieces(),
        place in any::<prop::sample::Index>(), flip in 1..=255_u8,
    ) {
        let (mut stream, mut relay) = stream_of(seed, &contents);
        let place = place.index(stream.len());
        stream[place] ^= flip;
        let mut said = drive(&mut relay, &stream, &pieces);
        // A damaged length may make the relay wait for more instead.
        if said.last() == Some(&None) {
            said.pop();
        }
        prop_assert!(said.len() < 1 + contents.len(), "the damaged packet did not pass");
        let mut expected = vec![Some(Said::Handshake)];
        expected.extend(contents.into_iter().map(|content| Some(Said::Content(content))));
        prop_assert_eq!(&said[..], &expected[..said.len()]);
    }

    #[test]
    fn no_bytes_make_anyone_panic(
        bytes in vec(any::<u8>(), 0..600), kind in 0..9_u8, seed in 0..4_u64,
    ) {
        let mut world = World::new(seed, SUITES[0]);
        // Framed with a plausible kind, so that more than the length check is reached.
        let mut framed = u16::try_from(bytes.len() + 1).expect("short").to_be_bytes().to_vec();
        framed.push(kind);
        framed.extend(&bytes);
        let (device, relay) = world.established();
        let connections = [
            world.initiator(),
            world.responder(),
            Connection::prober(&mut world.entropy),
            device,
            relay,
        ];
        for (index, mut connection) in connections.into_iter().enumerate() {
            let outcome = connection.receive(&mut framed.clone()).map(|received| received.is_some());
            let is_probe_at_relay = index == 1 && kind == 1 && bytes.len() == 8;
            prop_assert_eq!(outcome.is_ok(), is_probe_at_relay, "only a probe needs no secret");
        }
        let _ = world.responder().receive(&mut bytes.clone());
        let mut codec = PacketCodec::before_login();
        let mut buffer = BytesMut::from(&bytes[..]);
        while let Ok(Some(_)) = codec.decode(&mut buffer) {}
    }

    #[test]
    fn the_codec_cuts_a_stream_like_the_connection_does(
        packets in vec(vec(any::<u8>(), 1..300), 0..8), pieces in pieces(),
    ) {
        let mut stream = BytesMut::new();
        let mut codec = PacketCodec::before_login();
        for packet in &packets {
            tokio_util::codec::Encoder::encode(&mut codec, packet, &mut stream).expect("small");
        }
        let (mut cut, mut buffer) = (Vec::new(), BytesMut::new());
        for piece in pieces.iter().cycle() {
            if stream.is_empty() {
                break;
            }
            buffer.unsplit(stream.split_to((*piece).clamp(1, stream.len())));
            while let Some(packet) = codec.decode(&mut buffer).expect("a valid stream") {
                cut.push(packet.to_vec());
            }
        }
        prop_assert_eq!(cut, packets);
    }
}
