//! Two ends of a connection without a network in between.

#![expect(unreachable_pub, reason = "shared by several test binaries")]
#![expect(clippy::unwrap_used, reason = "test code, but outside of test functions")]
#![allow(dead_code, reason = "no test binary uses all of it")]

use std::sync::Arc;

use protocol::{
    channel::keys::StaticKey,
    connection::{Connection, ConnectionError, InitiatorConfig, ReceivedKind, ResponderConfig},
    entropy::Entropy,
    offer::{Choice, Offer, Suite, Suites, Version, Versions},
    transport::packet::Beacon,
};

pub const SUITES: [Suite; 2] = [Suite::AES_256_GCM, Suite::CHACHA20_POLY1305];

/// A relay, a device that knows it, and where their randomness comes from.
pub struct World {
    pub entropy: Entropy,
    pub relay: Arc<ResponderConfig>,
    pub device: InitiatorConfig,
}

impl World {
    /// Both ends like `suite` best, whatever this machine's processor likes.
    pub fn new(seed: u64, suite: Suite) -> Self {
        let mut entropy = Entropy::seeded_for_simulation(seed);
        let relay_key = Arc::new(StaticKey::generate(&mut entropy));
        let device_key = Arc::new(StaticKey::generate(&mut entropy));
        let other = if suite == SUITES[0] { SUITES[1] } else { SUITES[0] };
        let offer =
            Offer { versions: Versions::new([Version::V1]), suites: Suites::new([suite, other]) };
        let device = InitiatorConfig {
            offer,
            choice: Choice { version: Version::V1, suite },
            ..InitiatorConfig::new(relay_key.relay_key(), device_key)
        };
        let relay =
            ResponderConfig { offer, ..ResponderConfig::new(relay_key, "test relay".to_owned()) };
        Self { entropy, relay: Arc::new(relay), device }
    }

    pub fn initiator(&mut self) -> Connection {
        Connection::initiator(&self.device, &mut self.entropy).unwrap()
    }

    pub fn responder(&mut self) -> Connection {
        Connection::responder(Arc::clone(&self.relay), &mut self.entropy)
    }

    /// Both ends after the handshake, full packets allowed.
    pub fn established(&mut self) -> (Connection, Connection) {
        let (mut device, mut relay) = (self.initiator(), self.responder());
        handshake(&mut device, &mut relay);
        relay.allow_full_packets();
        (device, relay)
    }
}

pub fn handshake(device: &mut Connection, relay: &mut Connection) {
    let init = device.poll_transmit().unwrap();
    assert_eq!(receive_one(relay, &init), Ok(Said::Handshake));
    let reply = relay.poll_transmit().unwrap();
    assert_eq!(receive_one(device, &reply), Ok(Said::Established));
}

/// [`ReceivedKind`], owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Handshake,
    Established,
    Content(Vec<u8>),
    Beacon(Beacon),
    Probe,
}

impl From<ReceivedKind<'_>> for Said {
    fn from(kind: ReceivedKind<'_>) -> Self {
        match kind {
            ReceivedKind::Handshake => Self::Handshake,
            ReceivedKind::Established => Self::Established,
            ReceivedKind::Content(content) => Self::Content(content.to_vec()),
            ReceivedKind::Beacon(beacon) => Self::Beacon(beacon),
            ReceivedKind::Probe => Self::Probe,
        }
    }
}

/// Feeds stream bytes that hold exactly one packet.
pub fn receive_one(connection: &mut Connection, packet: &[u8]) -> Result<Said, ConnectionError> {
    let mut buffer = packet.to_vec();
    let received = connection.receive(&mut buffer)?.expect("a whole packet");
    assert_eq!(received.consumed, packet.len());
    Ok(received.kind.into())
}

/// `content` as one packet of the stream.
pub fn sealed(connection: &mut Connection, content: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    connection.seal(&mut stream, |out| out.extend(content)).unwrap();
    stream
}
