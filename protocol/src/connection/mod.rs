//! Message, channel and transport stacked into the one type that a driver of a byte stream holds.
//!
//! ```text
//!   initiator   Initiating ──reply──▶ Established          prober   Probing ──beacon──▶ Closed
//!   responder   Awaiting ──handshake──▶ Established         anyone   ──any error──▶ Closed
//! ```
//!
//! # Driving it
//!
//! Keep received bytes in one buffer. After each read call [`Connection::receive`] until it gives
//! `None`, dropping [`Received::consumed`] bytes from the front each time; then write what
//! [`Connection::poll_transmit`] gives. After an error, write that once more (a responder explains
//! itself with a beacon) and close. Timeouts belong to the driver: until `Attach` nothing a peer
//! does is worth waiting for.
//!
//! ```
//! # use std::sync::Arc;
//! # use protocol::{channel::keys::StaticKey, connection::*, entropy::Entropy};
//! # fn main() -> Result<(), ConnectionError> {
//! # let entropy = &mut Entropy::system();
//! # let relay_key = Arc::new(StaticKey::generate(entropy));
//! # let device_key = Arc::new(StaticKey::generate(entropy));
//! # let config = InitiatorConfig::new(relay_key.relay_key(), device_key);
//! let mut device = Connection::initiator(&config, entropy)?;
//! # let config = Arc::new(ResponderConfig::new(relay_key, "home".to_owned()));
//! let mut relay = Connection::responder(config, entropy);
//!
//! let mut stream = device.poll_transmit().expect("the handshake begins");
//! relay.receive(&mut stream)?;
//! let mut stream = relay.poll_transmit().expect("and is answered");
//! device.receive(&mut stream)?;
//!
//! let mut stream = Vec::new();
//! device.seal(&mut stream, |out| out.extend(b"messages"))?;
//! let received = relay.receive(&mut stream)?.expect("a whole packet");
//! assert_eq!(received.kind, ReceivedKind::Content(b"messages"));
//! # Ok(())
//! # }
//! ```

mod attempt;
mod config;
pub mod datagram;
mod error;

use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

use crate::{
    channel::{
        established::{SealedChannel, TAG_BYTES},
        handshake::{self, Capabilities, EphemeralSeed, HandshakeError, Peer, Welcome},
    },
    entropy::Entropy,
    limits::{PACKET_BYTES_BEFORE_LOGIN_MAX, PACKET_BYTES_MAX},
    transport::{
        TransportKind,
        packet::{AttemptId, Beacon, HandshakeInit, HandshakeReply, PacketKind, Probe},
        stream::{self, FramingError, LENGTH_BYTES},
    },
};

use self::attempt::{Attempt, prologue};
pub use self::{
    config::{InitiatorConfig, ResponderConfig},
    error::{ConnectionError, Misbehaviour},
};

/// Probes that one connection answers. Nobody needs a second.
pub const PROBES_PER_CONNECTION_MAX: u8 = 1;

/// One packet that arrived.
#[derive(Debug, PartialEq, Eq)]
pub struct Received<'b> {
    /// Bytes to drop from the front of the buffer once `kind` is dealt with.
    pub consumed: usize,
    /// What it was.
    pub kind: ReceivedKind<'b>,
}

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum ReceivedKind<'b> {
    /// Responder: a handshake we answered; [`Connection::peer`] says whose. It may be a replay:
    /// only content proves that its owner is there. Until then act on nothing, displace nobody.
    Handshake,
    /// Initiator: the relay proved who it is. Content may be sealed.
    Established,
    /// A run of messages, to be iterated with `message::MessageReader`.
    Content(&'b [u8]),
    /// Prober: what the relay says about itself. The connection is over.
    Beacon(Beacon),
    /// Responder: somebody asked who we are; the answer waits in [`Connection::poll_transmit`].
    Probe,
}

/// One side of a connection over a byte stream. See the module for how to drive it.
pub struct Connection {
    state: State,
    // Clear packets that wait to be written, framed.
    transmit: Option<Box<[u8]>>,
    packet_bytes_max: u16,
}

enum State {
    /// Responder before the handshake: no keys, no buffers.
    Awaiting(Awaiting),
    /// Initiator that wants nothing but a beacon.
    Probing(AttemptId),
    /// Initiator before the reply.
    Initiating(Box<Attempt>),
    /// Both sides have keys.
    Established(Established),
    /// Something was wrong, or a probe was answered.
    Closed,
}

struct Awaiting {
    config: Arc<ResponderConfig>,
    ephemeral: EphemeralSeed,
    probes_left: u8,
}

struct Established {
    channel: SealedChannel,
    peer: Peer,
    role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Initiator,
    Responder,
}

impl Connection {
    /// Begins a handshake; its first packet waits in [`Self::poll_transmit`].
    ///
    /// # Errors
    ///
    /// [`ConnectionError::UnusableRelayKey`], or [`ConnectionError::Incompatible`] when the
    /// configuration chooses a suite that this build lacks.
    pub fn initiator(
        config: &InitiatorConfig,
        entropy: &mut Entropy,
    ) -> Result<Self, ConnectionError> {
        let (attempt, noise) = Attempt::begin(TransportKind::Stream, config, entropy)?;
        let (choice, id) = (attempt.choice, attempt.id);
        let mut connection = Self::new(State::Initiating(Box::new(attempt)));
        let init = HandshakeInit { choice, attempt: id, cookie: &[], noise: &noise };
        connection.queue(&init.encode());
        Ok(connection)
    }

    /// Asks whoever answers for a beacon, and nothing else.
    pub fn prober(entropy: &mut Entropy) -> Self {
        let attempt = AttemptId(entropy.bytes());
        let mut connection = Self::new(State::Probing(attempt));
        connection.queue(&Probe { attempt }.encode());
        connection
    }

    /// Waits for a handshake. Takes from `entropy` what the handshake will need.
    pub fn responder(config: Arc<ResponderConfig>, entropy: &mut Entropy) -> Self {
        Self::new(State::Awaiting(Awaiting {
            config,
            ephemeral: Zeroizing::new(entropy.bytes()),
            probes_left: PROBES_PER_CONNECTION_MAX,
        }))
    }

    const fn new(state: State) -> Self {
        Self { state, transmit: None, packet_bytes_max: bytes_u16(PACKET_BYTES_BEFORE_LOGIN_MAX) }
    }

    /// Takes the first whole packet off the front of `buffer`, which holds stream bytes with their
    /// length prefixes, and decrypts it in place. `None`: it has not arrived whole.
    ///
    /// # Errors
    ///
    /// The connection is over and says [`ConnectionError::Closed`] from now on. Write what
    /// [`Self::poll_transmit`] still gives, then close the stream.
    pub fn receive<'b>(
        &mut self,
        buffer: &'b mut [u8],
    ) -> Result<Option<Received<'b>>, ConnectionError> {
        let received = self.take_packet(buffer);
        if received.is_err() {
            self.state = State::Closed;
        }
        received
    }

    fn take_packet<'b>(
        &mut self,
        buffer: &'b mut [u8],
    ) -> Result<Option<Received<'b>>, ConnectionError> {
        if matches!(self.state, State::Closed) {
            return Err(ConnectionError::Closed);
        }
        let split = stream::split_packet(buffer, usize::from(self.packet_bytes_max));
        let Some((consumed, packet)) = split.map_err(Misbehaviour::Framing)? else {
            return Ok(None);
        };
        let (kind_byte, rest) =
            packet.split_first_mut().ok_or(Misbehaviour::Framing(FramingError::Empty))?;
        let kind =
            PacketKind::from_byte(*kind_byte).ok_or(Misbehaviour::UnknownKind(*kind_byte))?;
        let kind = self.handle_packet(kind, rest)?;
        Ok(Some(Received { consumed, kind }))
    }

    fn handle_packet<'p>(
        &mut self,
        kind: PacketKind,
        rest: &'p mut [u8],
    ) -> Result<ReceivedKind<'p>, ConnectionError> {
        match (&mut self.state, kind) {
            (State::Established(established), PacketKind::Sealed) => established.open(rest),
            (State::Awaiting(awaiting), PacketKind::HandshakeInit) => {
                let (answer, established) = awaiting.answer(rest)?;
                self.queue(&answer);
                self.state = State::Established(established?);
                Ok(ReceivedKind::Handshake)
            }
            (State::Awaiting(awaiting), PacketKind::Probe) => {
                let beacon = awaiting.answer_probe(rest)?;
                self.queue(&beacon);
                Ok(ReceivedKind::Probe)
            }
            (State::Initiating(initiating), PacketKind::HandshakeReply) => {
                let (channel, peer, _) = initiating.finish(rest)?;
                let role = Role::Initiator;
                self.state = State::Established(Established { channel, peer, role });
                // The relay proved who it is; only strangers are kept short.
                self.allow_full_packets();
                Ok(ReceivedKind::Established)
            }
            (State::Initiating(initiating), PacketKind::Beacon) => {
                let beacon = read_beacon(rest, initiating.id)?;
                Err(ConnectionError::Unanswered { beacon })
            }
            (State::Probing(attempt), PacketKind::Beacon) => {
                let beacon = read_beacon(rest, *attempt)?;
                self.state = State::Closed;
                Ok(ReceivedKind::Beacon(beacon))
            }
            (
                State::Awaiting(_)
                | State::Probing(_)
                | State::Initiating(_)
                | State::Established(_)
                | State::Closed,
                PacketKind::Probe
                | PacketKind::Beacon
                | PacketKind::HandshakeInit
                | PacketKind::HandshakeReply
                | PacketKind::Retry
                | PacketKind::Sealed
                | PacketKind::Reset,
            ) => Err(Misbehaviour::Unexpected(kind).into()),
        }
    }

    /// Seals what `fill` appends, whole messages each with its length, as one packet behind what
    /// `out` holds, and puts its length prefix before it. No packet if nothing is appended.
    ///
    /// The initiator's first packet holds `Attach` and has to fit
    /// [`PACKET_BYTES_BEFORE_LOGIN_MAX`]: the relay does not know yet whether to trust it.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::NotEstablished`], [`ConnectionError::ContentTooLarge`] or
    /// [`ConnectionError::Exhausted`]; `out` is as it was.
    ///
    /// # Panics
    ///
    /// If `fill` removes what was in `out` before.
    pub fn seal(
        &mut self,
        out: &mut Vec<u8>,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), ConnectionError> {
        let State::Established(established) = &mut self.state else {
            return Err(ConnectionError::NotEstablished);
        };
        let start = out.len();
        let sealed = established.seal(out, fill);
        if sealed.is_err() {
            out.truncate(start);
        }
        sealed
    }

    /// Bytes to write, complete with length prefixes: handshake packets and beacons.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmit.take().map(<[u8]>::into_vec)
    }

    /// From now on the peer may send packets of [`PACKET_BYTES_MAX`]. A relay calls this after
    /// `Attach`; an initiator is there as soon as it is established.
    pub const fn allow_full_packets(&mut self) {
        self.packet_bytes_max = bytes_u16(PACKET_BYTES_MAX);
    }

    /// Whether content can be sealed and opened.
    pub const fn is_established(&self) -> bool {
        matches!(self.state, State::Established(_))
    }

    /// Who the peer is, once the handshake said so.
    pub const fn peer(&self) -> Option<&Peer> {
        match &self.state {
            State::Established(established) => Some(&established.peer),
            State::Awaiting(_) | State::Probing(_) | State::Initiating(_) | State::Closed => None,
        }
    }

    /// Drops expanded keys: an idle responder then owns no heap memory. The next packet expands
    /// them again.
    pub fn rest(&mut self) {
        match &mut self.state {
            State::Established(established) => established.channel.rest(),
            State::Awaiting(_) | State::Probing(_) | State::Initiating(_) | State::Closed => {}
        }
    }

    fn queue(&mut self, packet: &[u8]) {
        let mut bytes = self.poll_transmit().unwrap_or_default();
        stream::put_packet(&mut bytes, packet);
        self.transmit = Some(bytes.into_boxed_slice());
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Awaiting(_) => "awaiting",
            State::Probing(_) => "probing",
            State::Initiating(_) => "initiating",
            State::Established(_) => "established",
            State::Closed => "closed",
        };
        write!(f, "Connection({state})")
    }
}

impl Awaiting {
    fn answer_probe(&mut self, rest: &[u8]) -> Result<Vec<u8>, Misbehaviour> {
        let probe = Probe::decode(rest).ok_or(Misbehaviour::Malformed(PacketKind::Probe))?;
        self.probes_left = self.probes_left.checked_sub(1).ok_or(Misbehaviour::ProbedAgain)?;
        Ok(self.config.beacon(probe.attempt).encode())
    }

    /// The packet to answer with, and what came of the handshake.
    fn answer(
        &self,
        rest: &[u8],
    ) -> Result<(Vec<u8>, Result<Established, ConnectionError>), Misbehaviour> {
        let init = HandshakeInit::decode(rest)
            .ok_or(Misbehaviour::Malformed(PacketKind::HandshakeInit))?;
        Ok(match self.respond(&init) {
            Ok((established, reply)) => {
                let reply = HandshakeReply { attempt: init.attempt, noise: &reply };
                (reply.encode(), Ok(established))
            }
            // The initiator cannot know what was wrong; who we are is all that may help it.
            Err(error) => (self.config.beacon(init.attempt).encode(), Err(error)),
        })
    }

    /// Cheap refusals first: public-key work only for what we can speak.
    fn respond(&self, init: &HandshakeInit<'_>) -> Result<(Established, Vec<u8>), ConnectionError> {
        let ours = self.config.offer;
        let choice = init.choice;
        if !ours.versions.contains(choice.version) || !ours.suites.contains(choice.suite) {
            return Err(ConnectionError::Incompatible { peer: choice.into(), ours });
        }
        if !init.cookie.is_empty() {
            return Err(Misbehaviour::Malformed(PacketKind::HandshakeInit).into());
        }
        let welcome = Welcome {
            offer: ours,
            capabilities: Capabilities::default(),
            relay_name: &self.config.name,
            route: None,
        };
        let (channel, peer, reply) = handshake::respond(
            &prologue(TransportKind::Stream, choice, init.attempt),
            &self.config.static_key,
            self.ephemeral.clone(),
            &welcome,
            init.noise,
        )
        .map_err(|error| match error {
            HandshakeError::Forged => ConnectionError::NotForUs,
            HandshakeError::Malformed => Misbehaviour::Malformed(PacketKind::HandshakeInit).into(),
            HandshakeError::CriticalExtension(tag) => ConnectionError::CriticalExtension(tag),
            HandshakeError::UnknownSuite(_) => {
                ConnectionError::Incompatible { peer: choice.into(), ours }
            }
        })?;
        Ok((Established { channel, peer, role: Role::Responder }, reply))
    }
}

impl Established {
    fn open<'p>(&mut self, sealed: &'p mut [u8]) -> Result<ReceivedKind<'p>, ConnectionError> {
        let content = self.channel.open(&SEALED_HEADER, sealed)?;
        if content.is_empty() {
            return Err(Misbehaviour::EmptyContent.into());
        }
        Ok(ReceivedKind::Content(content))
    }

    fn seal(
        &mut self,
        out: &mut Vec<u8>,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), ConnectionError> {
        let start = out.len();
        let content_start = start + LENGTH_BYTES + SEALED_HEADER.len();
        out.extend([0; LENGTH_BYTES]);
        out.extend(SEALED_HEADER);
        fill(out);
        let bytes = out.len().checked_sub(content_start).expect("fill appends only");
        if bytes == 0 {
            out.truncate(start);
            return Ok(());
        }
        let max = self.packet_bytes_max() - SEALED_HEADER.len() - TAG_BYTES;
        if bytes > max {
            return Err(ConnectionError::ContentTooLarge { bytes, max });
        }
        let tag = self.channel.seal(&SEALED_HEADER, &mut out[content_start..])?;
        out.extend(tag);
        let packet_bytes = bytes_u16(out.len() - start - LENGTH_BYTES);
        out[start..start + LENGTH_BYTES].copy_from_slice(&packet_bytes.to_be_bytes());
        Ok(())
    }

    /// The limit that the peer applies to our next packet.
    const fn packet_bytes_max(&self) -> usize {
        match self.role {
            Role::Initiator if self.channel.packets_sealed() == 0 => PACKET_BYTES_BEFORE_LOGIN_MAX,
            Role::Initiator | Role::Responder => PACKET_BYTES_MAX,
        }
    }
}

/// The clear beginning of a sealed packet on a stream, which is associated data of its content.
const SEALED_HEADER: [u8; 1] = [PacketKind::Sealed.byte()];

fn read_beacon(rest: &[u8], attempt: AttemptId) -> Result<Beacon, Misbehaviour> {
    let beacon = Beacon::decode(rest).ok_or(Misbehaviour::Malformed(PacketKind::Beacon))?;
    if beacon.attempt != attempt {
        return Err(Misbehaviour::Unexpected(PacketKind::Beacon));
    }
    Ok(beacon)
}

#[expect(clippy::cast_possible_truncation, reason = "asserted; there is no const TryFrom")]
const fn bytes_u16(bytes: usize) -> u16 {
    assert!(bytes <= PACKET_BYTES_MAX, "no packet is larger than what its length can say");
    bytes as u16
}

const _: () = assert!(
    size_of::<Connection>() <= 256,
    "tens of thousands of idle connections have to fit a small machine"
);

#[cfg(test)]
mod tests;
