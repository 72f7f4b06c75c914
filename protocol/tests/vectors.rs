//! `vectors/channel.toml`: every byte of two connections, so that another implementation can check
//! itself against it, and so that nobody changes the wire without noticing.
//!
//! A deliberate change of the wire changes the file: take over what the failing test prints.

mod support;

use std::fmt::Write;

use data_encoding::HEXLOWER;
use protocol::{
    channel::established::KEY_UPDATE_PACKETS, connection::Connection, entropy::Entropy,
    offer::Suite,
};
use support::{SUITES, Said, World, receive_one, sealed};

const WRITTEN: &str = include_str!("vectors/channel.toml");
const SEED: u64 = 0x0123_4567_89ab_cdef;

const HEAD: &str = "\
# Two whole connections over a byte stream, one in each suite (protocol/README.md, §3 and §4).
# Bytes are in hexadecimal; probe, beacon, init, reply and packets include their length prefix.
# Inputs: the private keys, the attempt id and the contents. Everything else follows from them.
# Between device_1 and device_65536 the device seals 65,534 packets with the content `-`.
";

#[test]
fn both_suites_make_the_bytes_written_down() {
    let actual = HEAD.to_owned() + &SUITES.map(connection).concat();
    assert!(actual == WRITTEN, "the wire changed; it is now:\n{actual}");
}

#[test]
fn the_file_is_toml_that_others_can_read() {
    let file: toml::Table = WRITTEN.parse().expect("valid TOML");
    let connections = file["connection"].as_array().expect("an array of tables");
    let suites: Vec<_> = connections.iter().map(|table| table["suite"].as_integer()).collect();
    assert_eq!(suites, [Some(1), Some(2)]);
}

/// One connection in `suite` as a table of the file.
fn connection(suite: Suite) -> String {
    let mut world = World::new(SEED, suite);
    // The same draws once more, to write down what the connection keeps to itself.
    let mut draws = Entropy::seeded_for_simulation(SEED);
    let mut table = format!("\n[[connection]]\nsuite = {}\n", suite.0);
    put(&mut table, "relay_private", &draws.bytes::<32>());
    put(&mut table, "relay_public", &world.device.relay_key.0);
    put(&mut table, "device_private", &draws.bytes::<32>());
    put(&mut table, "device_public", world.device.device_key.public());
    let attempt = draws.bytes::<8>();
    put(&mut table, "attempt", &attempt);
    put(&mut table, "device_ephemeral_private", &draws.bytes::<32>());
    put(&mut table, "relay_ephemeral_private", &draws.bytes::<32>());

    let (mut device, mut relay) = (world.initiator(), world.responder());
    let probe = [&[0, 9, 1], &attempt[..]].concat();
    assert_eq!(receive_one(&mut relay, &probe), Ok(Said::Probe));
    put(&mut table, "probe", &probe);
    put(&mut table, "beacon", &relay.poll_transmit().expect("the beacon"));
    let init = device.poll_transmit().expect("the init");
    assert_eq!(receive_one(&mut relay, &init), Ok(Said::Handshake));
    put(&mut table, "init", &init);
    let reply = relay.poll_transmit().expect("the reply");
    assert_eq!(receive_one(&mut device, &reply), Ok(Said::Established));
    put(&mut table, "reply", &reply);
    put(&mut table, "handshake_hash", &device.peer().expect("established").handshake_hash);

    let mut packet = |name: &str, from: &mut Connection, to: &mut Connection, content: &str| {
        writeln!(table, "{name}_content = {content:?}").expect("a String grows");
        put(&mut table, &format!("{name}_packet"), &checked(from, to, content.as_bytes()));
    };
    packet("device_0", &mut device, &mut relay, "first from the device");
    packet("device_1", &mut device, &mut relay, "second from the device");
    packet("relay_0", &mut relay, &mut device, "first from the relay");
    for _ in 2..KEY_UPDATE_PACKETS {
        checked(&mut device, &mut relay, b"-");
    }
    packet("device_65536", &mut device, &mut relay, "first under the next key");
    table
}

fn put(table: &mut String, name: &str, bytes: &[u8]) {
    writeln!(table, "{name} = \"{}\"", HEXLOWER.encode(bytes)).expect("a String grows");
}

/// A packet that the other end opens to what went in.
fn checked(from: &mut Connection, to: &mut Connection, content: &[u8]) -> Vec<u8> {
    let packet = sealed(from, content);
    assert_eq!(receive_one(to, &packet), Ok(Said::Content(content.to_vec())));
    packet
}
