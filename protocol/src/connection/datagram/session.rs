//! One session over datagrams after its handshake, the same on both sides: packets in, messages out,
//! and back.

use std::{fmt, time::Duration};

use super::header::{To, expand_number, split};
use crate::{
    channel::{established::TAG_BYTES, handshake::Peer, numbered::NumberedChannel},
    limits::CONTENT_BYTES_MAX,
    message::{
        MessageReader,
        encoding::read_varint,
        order::{self, Order},
    },
    time::Timestamp,
    transport::datagram::{
        Algorithm, Codepoint, Handled, NAME_BYTES, Rtt, Stats, StreamKey, Transport, Trust,
        Violation,
        trace::{self, Payloads},
    },
    transport::packet::{ConnectionId, ResetToken},
};

/// The stream of the session itself: it begins with `Attach`, or with `Welcome`.
const SESSION_STREAM: u8 = 0;

/// Keys, transport and messages of one session.
pub struct Session {
    channel: NumberedChannel,
    transport: Transport,
    peer: Peer,
    to: To,
    /// Whether the session's first message was given out: no other comes before it.
    has_begun: bool,
}

/// What came of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It was the peer's. The newest so far, if so: where it came from, the peer is.
    Taken {
        /// No packet of the peer with a larger number came before.
        is_newest: bool,
    },
    /// It was not the peer's, or came before: nothing was changed.
    Ignored,
    /// The peer has ended the session.
    Closed,
}

/// Why a session cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The peer broke the rules of the transport.
    #[error(transparent)]
    Transport(#[from] Violation),
    /// A message longer than any is.
    #[error("message of {0} bytes")]
    MessageTooLarge(u64),
    /// A length that is none.
    #[error("malformed message length")]
    MalformedLength,
}

impl Session {
    pub(super) fn new(
        now: Timestamp,
        channel: NumberedChannel,
        peer: Peer,
        to: To,
        round_trip: Option<Duration>,
    ) -> Self {
        let trust = match to {
            // The relay has proved who it is; a device has not even shown that it is there.
            To::Relay(_) => Trust::Known,
            To::Client => Trust::Stranger,
        };
        let overhead = to.header_bytes() + TAG_BYTES;
        let transport = Transport::new(now, Algorithm::default(), round_trip, trust, overhead);
        Self { channel, transport, peer, to, has_begun: false }
    }

    /// Who the peer is.
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Takes a sealed packet of the peer and the codepoint that it came with, and decrypts it in
    /// place.
    ///
    /// # Errors
    ///
    /// The peer is broken. Nobody else can cause one.
    pub fn handle_packet(
        &mut self,
        now: Timestamp,
        codepoint: Codepoint,
        packet: &mut [u8],
    ) -> Result<Received, SessionError> {
        let Some((header, phase, low, sealed)) = split(packet, self.to.peer_header_bytes()) else {
            return Ok(Received::Ignored);
        };
        let largest = self.transport.largest_received();
        let number = expand_number(low, largest);
        if self.transport.is_known(number) {
            self.transport.note_duplicate();
            return Ok(Received::Ignored);
        }
        let Ok(content) = self.channel.open(number, phase, header, sealed) else {
            return Ok(Received::Ignored);
        };
        let handled = self.transport.handle_packet(now, number, codepoint, content)?;
        if let Some(acked) = self.transport.largest_acked() {
            self.channel.on_acked(acked);
        }
        Ok(match handled {
            Handled::Taken => Received::Taken { is_newest: largest.is_none_or(|l| number > l) },
            Handled::Duplicate => Received::Ignored,
            Handled::Closed => Received::Closed,
        })
    }

    /// Time has come to what [`Self::poll_timeout`] said.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.transport.handle_timeout(now);
    }

    /// Sends a run of messages, each with its length, as a stream connection would seal it.
    pub fn write(&mut self, content: &[u8]) {
        let mut rest = content;
        let mut messages = MessageReader::new(content);
        while let Some(Ok(message)) = messages.next() {
            let whole = &rest[..rest.len() - messages.rest().len()];
            rest = messages.rest();
            let order = match self.to {
                To::Relay(_) => order::of_client(message),
                To::Client => order::of_relay(message),
            };
            self.transport.write(stream_key(order), whole);
        }
    }

    /// Whether more should be written.
    pub fn has_room(&self) -> bool {
        self.transport.has_room()
    }

    /// Whether the peer has everything that was written.
    pub const fn is_flushed(&self) -> bool {
        self.transport.is_flushed()
    }

    /// Appends a run of messages that have arrived whole to `out`, each with its length. False if
    /// there are none.
    ///
    /// # Errors
    ///
    /// The peer is broken.
    pub fn read(&mut self, out: &mut Vec<u8>) -> Result<bool, SessionError> {
        loop {
            let stream = if self.has_begun {
                match self.transport.readable() {
                    Some(stream) => stream,
                    None => return Ok(false),
                }
            } else {
                SESSION_STREAM
            };
            let bytes = self.transport.peek(stream);
            let whole = whole_messages(bytes)?;
            out.extend(&bytes[..whole]);
            if whole > 0 || self.has_begun {
                self.transport.consume(stream, whole);
            }
            if whole > 0 {
                self.has_begun = true;
                return Ok(true);
            }
            if !self.has_begun {
                return Ok(false);
            }
        }
    }

    /// From now on the peer may use as much memory as its reader lets it.
    pub fn trust(&mut self) {
        self.transport.trust();
    }

    /// Appends the next packet to `out`. False if nothing has to leave now.
    pub fn poll_packet(&mut self, now: Timestamp, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        out.resize(start + self.to.header_bytes(), 0);
        let Some(number) = self.transport.poll_packet(now, out) else {
            out.truncate(start);
            return false;
        };
        self.seal(start, number, out)
    }

    /// Appends a packet that asks whoever gets it to send `challenge` back.
    pub(super) fn challenge(
        &mut self,
        now: Timestamp,
        challenge: [u8; 8],
        out: &mut Vec<u8>,
    ) -> bool {
        let start = out.len();
        out.resize(start + self.to.header_bytes(), 0);
        let number = self.transport.put_challenge(now, challenge, out);
        self.seal(start, number, out)
    }

    fn seal(&mut self, start: usize, number: u64, out: &mut Vec<u8>) -> bool {
        let header_bytes = self.to.header_bytes();
        let (header, content) = out[start..].split_at_mut(header_bytes);
        self.to.write_header(header, self.channel.phase(), number);
        match self.channel.seal(number, header, content) {
            Ok(tag) => out.extend(tag),
            Err(_) => out.truncate(start),
        }
        out.len() > start
    }

    /// Tells the device by which name the relay knows this session from now on, and the token of a
    /// reset under that name.
    pub(super) fn rename(&mut self, name: ConnectionId, token: ResetToken) {
        let mut bytes = [0; NAME_BYTES];
        bytes[..8].copy_from_slice(&name.0);
        bytes[8..].copy_from_slice(&token.0);
        self.transport.rename(bytes);
    }

    /// Uses the name that the relay has told, if it has: the token that goes with it.
    pub(super) fn take_name(&mut self) -> Option<ResetToken> {
        let bytes = self.transport.take_name()?;
        let (name, token) = bytes.split_first_chunk::<8>()?;
        let To::Relay(current) = &mut self.to else { return None };
        *current = ConnectionId(*name);
        token.try_into().ok().map(ResetToken)
    }

    /// What the peer sent back of challenges.
    pub(super) fn take_proof(&mut self) -> Option<[u8; 8]> {
        self.transport.take_proof()
    }

    /// The peer is somewhere else: what was known of the path counts no more.
    pub(super) fn change_path(&mut self, now: Timestamp) {
        self.transport.change_path(now);
    }

    /// Nobody has measured a round trip, and it may be about so long.
    pub(super) fn guess_round_trip(&mut self, guess: Duration) {
        self.transport.guess_round_trip(guess);
    }

    /// Ends the session: the next packet tells the peer.
    pub fn close(&mut self) {
        self.transport.close();
    }

    /// The codepoint that its datagrams carry.
    pub const fn codepoint(&self) -> Codepoint {
        self.transport.codepoint()
    }

    /// When time alone changes something.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.transport.poll_timeout()
    }

    /// From now on our direction goes to its next key after so many packets. Who needs less at stake
    /// under one key than [`KEY_UPDATE_PACKETS`](crate::channel::established::KEY_UPDATE_PACKETS),
    /// which is the most and the default, sets it; the peer follows whatever it is.
    pub fn set_packets_per_key(&mut self, packets: u64) {
        self.channel.set_packets_per_key(packets);
    }

    /// How often our direction has gone to its next key.
    pub const fn key_updates(&self) -> u64 {
        self.channel.updates()
    }

    /// Bytes of streams that are kept: written and not acknowledged, received and not read.
    pub fn kept_bytes(&self) -> (usize, usize) {
        self.transport.kept_bytes()
    }

    /// The round trip.
    pub const fn rtt(&self) -> &Rtt {
        self.transport.rtt()
    }

    /// What was seen so far.
    pub const fn stats(&self) -> &Stats {
        self.transport.stats()
    }

    /// Bytes that are under way, and that may be.
    pub fn window(&self) -> (u64, u64) {
        self.transport.window()
    }

    /// Bytes of a datagram, as large as the path is known to carry.
    pub const fn datagram_bytes(&self) -> usize {
        self.transport.datagram_bytes()
    }

    /// From now on what the transport does is recorded, or not any more.
    pub fn record(&mut self, payloads: Option<Payloads>) {
        self.transport.record(payloads);
    }

    /// What it did since this was asked last.
    pub fn take_trace(&mut self) -> Vec<trace::Event> {
        self.transport.take_trace()
    }

    /// Drops what can be computed again, and memory that was needed and is not any more.
    pub fn rest(&mut self) {
        self.channel.rest();
        self.transport.rest();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("channel", &self.channel)
            .field("stats", self.transport.stats())
            .finish_non_exhaustive()
    }
}

const fn stream_key(order: Order) -> StreamKey {
    match order {
        Order::Session => StreamKey::Session,
        Order::Live(id) => StreamKey::Live(id.0),
        Order::History(id) => StreamKey::History(id.0),
    }
}

/// How many bytes at the front are whole messages.
fn whole_messages(bytes: &[u8]) -> Result<usize, SessionError> {
    let mut whole = 0;
    loop {
        let rest = &bytes[whole..];
        let Some(first) = rest.first() else { return Ok(whole) };
        // A length is in the byte, or in two, four or eight behind it.
        let needed = match first {
            0..=250 => 1,
            251 => 3,
            252 => 5,
            _ => return Err(SessionError::MalformedLength),
        };
        if rest.len() < needed {
            return Ok(whole);
        }
        let (length, used) = read_varint(rest).map_err(|_| SessionError::MalformedLength)?;
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= CONTENT_BYTES_MAX)
            .ok_or(SessionError::MessageTooLarge(length))?;
        if rest.len() < used + length {
            return Ok(whole);
        }
        whole += used + length;
    }
}
