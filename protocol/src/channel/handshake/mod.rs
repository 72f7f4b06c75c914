//! Noise IK: the initiator knows the responder's key, and after two messages each knows the other
//! (wire §4).
//!
//! ```text
//!   initiator                                   responder
//!   Initiator::start ── e, es, s, ss, hello ──▶ respond
//!   Initiator::finish ◀── e, ee, se, welcome ── (keys)
//!   (keys)
//! ```
//!
//! `snow` runs the handshake and is left behind with it; X25519 comes from aws-lc because it costs
//! half as much there. The first message can be replayed by whoever saw it, so the responder must
//! not act on it beyond answering: only a packet that opens proves that the initiator is there.

mod payload;
mod primitives;

use std::{fmt, sync::Arc};

use snow::{Builder, HandshakeState};
use zeroize::{Zeroize, Zeroizing};

use super::{
    established::{Cipher, SealedChannel},
    keys::{PublicKey, StaticKey},
};
use crate::{
    ids::RelayKey,
    limits::HANDSHAKE_PAYLOAD_BYTES_MAX,
    offer::{Choice, Offer, Suite, Suites},
};

pub use self::payload::{Hello, Route, Welcome};
use self::primitives::Primitives;

/// Noise message 1 without its payload: `e`, `s` with tag, tag of the payload.
const MESSAGE_1_OVERHEAD: usize = 32 + 48 + 16;
/// Noise message 2 without its payload: `e`, tag of the payload.
const MESSAGE_2_OVERHEAD: usize = 32 + 16;

/// The private half of a one-time key, drawn before it is needed: the handshake itself takes no
/// randomness and replays from a seed.
pub type EphemeralSeed = Zeroizing<[u8; 32]>;

/// Optional abilities of a peer, one bit each; unknown ones are ignored. None is defined yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(pub u32);

/// What both sides must agree on for the handshake to succeed, though it travels in the clear.
#[derive(Clone, Copy, Debug)]
pub struct Prologue {
    /// What the initiator chose.
    pub choice: Choice,
    /// The number of the transport.
    pub transport: u8,
    /// The initiator's number for this attempt.
    pub attempt: [u8; 8],
}

impl Prologue {
    fn encode(&self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..2].copy_from_slice(&self.choice.version.0.to_be_bytes());
        bytes[2] = self.choice.suite.0;
        bytes[3] = self.transport;
        bytes[4..].copy_from_slice(&self.attempt);
        bytes
    }
}

/// Whom we are connected to, as the handshake proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its static key.
    pub static_key: PublicKey,
    /// The hash over both handshake messages: the same on both sides and on no other connection.
    /// What is signed at login covers it.
    pub handshake_hash: [u8; 32],
    /// What this connection speaks.
    pub choice: Choice,
    /// What the peer could speak. An initiator does not list its suites; then only the chosen one
    /// is here.
    pub offer: Offer,
    /// Its optional abilities.
    pub capabilities: Capabilities,
    /// What a relay's operator calls it; `None` when the peer is a device. Foreign text.
    pub relay_name: Option<Box<str>>,
}

/// Why a handshake did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The message is not from, or not for, the holder of the expected key.
    #[error("handshake failed to open")]
    Forged,
    /// The message is authentic and its payload is not what version 1 says.
    #[error("handshake payload is malformed")]
    Malformed,
    /// The peer insists on something this build does not know.
    #[error("peer requires unknown extension {0}")]
    CriticalExtension(u16),
    /// This build does not know the suite.
    #[error("unknown {0}")]
    UnknownSuite(Suite),
}

/// The initiator between its message and the reply.
pub struct Initiator {
    noise: HandshakeState,
    cipher: Cipher,
    choice: Choice,
}

impl Initiator {
    /// Begins a handshake with the holder of `relay_key`, and makes message 1.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::UnknownSuite`], or [`HandshakeError::Forged`] if `relay_key` is one of
    /// the few points that are nobody's key.
    pub fn start(
        prologue: &Prologue,
        device_key: &Arc<StaticKey>,
        relay_key: &RelayKey,
        ephemeral: EphemeralSeed,
        hello: &Hello,
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        Self::start_with_payload(prologue, device_key, relay_key, ephemeral, &hello.encode())
    }

    fn start_with_payload(
        prologue: &Prologue,
        device_key: &Arc<StaticKey>,
        relay_key: &RelayKey,
        ephemeral: EphemeralSeed,
        payload: &[u8],
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let choice = prologue.choice;
        let cipher = cipher_of(choice.suite)?;
        let mut noise = build(cipher, prologue, device_key, Some(relay_key), ephemeral);
        let message = write(&mut noise, payload, MESSAGE_1_OVERHEAD)?;
        Ok((Self { noise, cipher, choice }, message))
    }

    /// Ends the handshake with message 2. Over datagrams the relay says how to reach the session.
    ///
    /// # Errors
    ///
    /// Every [`HandshakeError`] but the unknown suite. After [`HandshakeError::Forged`] another
    /// message can be tried; after the others the attempt is over.
    pub fn finish(
        &mut self,
        message: &[u8],
    ) -> Result<(SealedChannel, Peer, Option<Route>), HandshakeError> {
        let payload = read(&mut self.noise, message, MESSAGE_2_OVERHEAD)?;
        let welcome = Welcome::decode(&payload)?;
        let route = welcome.route;
        let peer = Peer {
            static_key: remote_static(&self.noise),
            handshake_hash: handshake_hash(&self.noise),
            choice: self.choice,
            offer: welcome.offer,
            capabilities: welcome.capabilities,
            relay_name: Some(welcome.relay_name.into()),
        };
        Ok((split(&mut self.noise, self.cipher), peer, route))
    }
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Initiator").field("choice", &self.choice).finish_non_exhaustive()
    }
}

/// Answers message 1 with message 2; the responder's whole handshake.
///
/// # Errors
///
/// Every [`HandshakeError`]. Nothing was kept; a beacon may tell the initiator who we are.
pub fn respond(
    prologue: &Prologue,
    static_key: &Arc<StaticKey>,
    ephemeral: EphemeralSeed,
    welcome: &Welcome<'_>,
    message: &[u8],
) -> Result<(SealedChannel, Peer, Vec<u8>), HandshakeError> {
    let choice = prologue.choice;
    let cipher = cipher_of(choice.suite)?;
    let mut noise = build(cipher, prologue, static_key, None, ephemeral);
    let hello = Hello::decode(&read(&mut noise, message, MESSAGE_1_OVERHEAD)?)?;
    let reply = write(&mut noise, &welcome.encode(), MESSAGE_2_OVERHEAD)?;
    let peer = Peer {
        static_key: remote_static(&noise),
        handshake_hash: handshake_hash(&noise),
        choice,
        offer: Offer { versions: hello.versions, suites: Suites::new([choice.suite]) },
        capabilities: hello.capabilities,
        relay_name: None,
    };
    Ok((split(&mut noise, cipher), peer, reply))
}

fn cipher_of(suite: Suite) -> Result<Cipher, HandshakeError> {
    match suite {
        Suite::AES_256_GCM => Ok(Cipher::AesGcm),
        Suite::CHACHA20_POLY1305 => Ok(Cipher::ChaChaPoly),
        unknown => Err(HandshakeError::UnknownSuite(unknown)),
    }
}

fn build(
    cipher: Cipher,
    prologue: &Prologue,
    own: &Arc<StaticKey>,
    relay_key: Option<&RelayKey>,
    ephemeral: EphemeralSeed,
) -> HandshakeState {
    let pattern = match cipher {
        Cipher::AesGcm => "Noise_IK_25519_AESGCM_BLAKE2s",
        Cipher::ChaChaPoly => "Noise_IK_25519_ChaChaPoly_BLAKE2s",
    };
    let primitives = Primitives { own: Arc::clone(own), ephemeral };
    let build = || {
        let prologue = prologue.encode();
        let builder = Builder::with_resolver(pattern.parse()?, Box::new(primitives))
            .prologue(&prologue)?
            .local_private_key(own.seed())?;
        match relay_key {
            Some(relay_key) => builder.remote_public_key(&relay_key.0)?.build_initiator(),
            None => builder.build_responder(),
        }
    };
    build().expect("pattern, primitives and keys are all there")
}

fn write(
    noise: &mut HandshakeState,
    payload: &[u8],
    overhead: usize,
) -> Result<Vec<u8>, HandshakeError> {
    debug_assert!(payload.len() <= HANDSHAKE_PAYLOAD_BYTES_MAX, "v1 payloads are far smaller");
    let mut message = vec![0; payload.len() + overhead];
    let bytes = noise.write_message(payload, &mut message).map_err(|_| HandshakeError::Forged)?;
    debug_assert_eq!(bytes, message.len(), "the overhead of a message is fixed");
    Ok(message)
}

fn read(
    noise: &mut HandshakeState,
    message: &[u8],
    overhead: usize,
) -> Result<Vec<u8>, HandshakeError> {
    // Checked before any public-key work.
    let payload_bytes = message.len().checked_sub(overhead).ok_or(HandshakeError::Forged)?;
    if payload_bytes > HANDSHAKE_PAYLOAD_BYTES_MAX {
        return Err(HandshakeError::Malformed);
    }
    let mut payload = vec![0; payload_bytes];
    noise.read_message(message, &mut payload).map_err(|_| HandshakeError::Forged)?;
    Ok(payload)
}

fn remote_static(noise: &HandshakeState) -> PublicKey {
    let key = noise.get_remote_static().expect("both keys of IK are known after message 1");
    key.try_into().expect("an X25519 public key has 32 bytes")
}

fn handshake_hash(noise: &HandshakeState) -> [u8; 32] {
    noise.get_handshake_hash().try_into().expect("BLAKE2s has 32 bytes")
}

fn split(noise: &mut HandshakeState, cipher: Cipher) -> SealedChannel {
    let (mut by_initiator, mut by_responder) = noise.dangerously_get_raw_split();
    let initiators = Zeroizing::new(by_initiator);
    let responders = Zeroizing::new(by_responder);
    by_initiator.zeroize();
    by_responder.zeroize();
    if noise.is_initiator() {
        SealedChannel::new(cipher, initiators, responders)
    } else {
        SealedChannel::new(cipher, responders, initiators)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        entropy::Entropy,
        offer::{Version, Versions},
    };

    struct Pair {
        entropy: Entropy,
        device: Arc<StaticKey>,
        relay: Arc<StaticKey>,
    }

    const PROLOGUE: Prologue = Prologue {
        choice: Choice { version: Version::V1, suite: Suite::AES_256_GCM },
        transport: 1,
        attempt: [7; 8],
    };

    impl Pair {
        fn new() -> Self {
            let mut entropy = Entropy::seeded_for_simulation(1);
            let device = Arc::new(StaticKey::generate(&mut entropy));
            let relay = Arc::new(StaticKey::generate(&mut entropy));
            Self { entropy, device, relay }
        }

        fn start(&mut self, prologue: &Prologue, payload: &[u8]) -> (Initiator, Vec<u8>) {
            let ephemeral = Zeroizing::new(self.entropy.bytes());
            let relay_key = self.relay.relay_key();
            Initiator::start_with_payload(prologue, &self.device, &relay_key, ephemeral, payload)
                .unwrap()
        }

        fn respond(
            &mut self,
            prologue: &Prologue,
            message: &[u8],
        ) -> Result<(SealedChannel, Peer, Vec<u8>), HandshakeError> {
            let ephemeral = Zeroizing::new(self.entropy.bytes());
            let welcome = Welcome {
                offer: Offer::of_this_build(),
                capabilities: Capabilities::default(),
                relay_name: "relay",
                route: None,
            };
            respond(prologue, &self.relay, ephemeral, &welcome, message)
        }
    }

    fn hello() -> Vec<u8> {
        let versions = Versions::new([Version::V1]);
        Hello { versions, capabilities: Capabilities(5) }.encode()
    }

    fn extension(tag: u16, bytes: usize) -> Vec<u8> {
        let mut pair = tag.to_be_bytes().to_vec();
        pair.extend(u16::try_from(bytes).unwrap().to_be_bytes());
        pair.resize(4 + bytes, 0xee);
        pair
    }

    #[test]
    fn even_extensions_of_a_later_peer_are_skipped_and_odd_ones_refused() {
        let mut pair = Pair::new();
        let even = [hello(), extension(2, 9), extension(40, 0)].concat();
        let (_, message) = pair.start(&PROLOGUE, &even);
        let (_, peer, _) = pair.respond(&PROLOGUE, &message).unwrap();
        assert_eq!(peer.capabilities, Capabilities(5));

        let odd = [hello(), extension(2, 9), extension(41, 3)].concat();
        let (_, message) = pair.start(&PROLOGUE, &odd);
        let error = pair.respond(&PROLOGUE, &message).unwrap_err();
        assert_eq!(error, HandshakeError::CriticalExtension(41));
    }

    #[test]
    fn a_payload_at_the_limit_passes_and_one_byte_more_is_refused_before_any_work() {
        let mut pair = Pair::new();
        let room = HANDSHAKE_PAYLOAD_BYTES_MAX - hello().len() - 4;
        let largest = [hello(), extension(2, room)].concat();
        let (_, message) = pair.start(&PROLOGUE, &largest);
        assert!(pair.respond(&PROLOGUE, &message).is_ok());

        // Not even authentic: its length alone is enough.
        let too_long = vec![0; message.len() + 1];
        let error = pair.respond(&PROLOGUE, &too_long).unwrap_err();
        assert_eq!(error, HandshakeError::Malformed);
        let error = pair.respond(&PROLOGUE, &too_long[1..]).unwrap_err();
        assert_eq!(error, HandshakeError::Forged);
    }

    #[test]
    fn everything_in_the_prologue_is_bound() {
        let mut pair = Pair::new();
        let (_, message) = pair.start(&PROLOGUE, &hello());
        let altered = [
            Prologue { choice: Choice { version: Version(2), ..PROLOGUE.choice }, ..PROLOGUE },
            Prologue { transport: 2, ..PROLOGUE },
            Prologue { attempt: [8; 8], ..PROLOGUE },
            Prologue {
                choice: Choice { suite: Suite::CHACHA20_POLY1305, ..PROLOGUE.choice },
                ..PROLOGUE
            },
        ];
        for prologue in altered {
            let error = pair.respond(&prologue, &message).unwrap_err();
            assert_eq!(error, HandshakeError::Forged, "{prologue:?}");
        }
        assert!(pair.respond(&PROLOGUE, &message).is_ok());
    }

    #[test]
    fn an_unknown_suite_is_named() {
        let mut pair = Pair::new();
        let unknown =
            Prologue { choice: Choice { suite: Suite(9), ..PROLOGUE.choice }, ..PROLOGUE };
        let error = pair.respond(&unknown, &[]).unwrap_err();
        assert_eq!(error.to_string(), "unknown suite 9");
    }
}
