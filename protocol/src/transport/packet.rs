//! What a packet is: its first byte, and the layout of those that travel in the clear (wire §3).
//!
//! Numbers are big-endian. A clear packet is parsed strictly up to the end of what version 1
//! knows; [`Beacon`] alone may carry more behind, because it has to be readable across versions.

use super::datagram::tuning::DATAGRAM_BYTES_MIN;
use crate::{
    ids::RelayKey,
    limits::COOKIE_BYTES_MAX,
    octets::{Reader, put_count, put_relay_name, put_suites, put_versions},
    offer::{Choice, Offer, Suite, Version},
};

/// The first byte of a packet, the same on every transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// "Who is there?"
    Probe,
    /// A relay's answer to a probe, or to a handshake it cannot read.
    Beacon,
    /// The first message of the handshake.
    HandshakeInit,
    /// The second and last message of the handshake.
    HandshakeReply,
    /// "Come again with this cookie": datagrams only.
    Retry,
    /// Messages, encrypted.
    Sealed,
    /// "I do not know this connection": datagrams only.
    Reset,
}

impl PacketKind {
    /// The kind this first byte means.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Probe),
            2 => Some(Self::Beacon),
            3 => Some(Self::HandshakeInit),
            4 => Some(Self::HandshakeReply),
            5 => Some(Self::Retry),
            6 => Some(Self::Sealed),
            7 => Some(Self::Reset),
            _ => None,
        }
    }

    /// The first byte of a packet of this kind.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Probe => 1,
            Self::Beacon => 2,
            Self::HandshakeInit => 3,
            Self::HandshakeReply => 4,
            Self::Retry => 5,
            Self::Sealed => 6,
            Self::Reset => 7,
        }
    }
}

/// Eight random bytes that tie an answer to what it answers: of a probe, or of an attempt to
/// connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptId(pub [u8; 8]);

/// "Who is there?" (wire §3.3)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Comes back in the beacon.
    pub attempt: AttemptId,
}

impl Probe {
    /// Reads what follows the kind byte in a stream, where nothing may follow.
    pub fn decode(rest: &[u8]) -> Option<Self> {
        Some(Self { attempt: AttemptId(rest.try_into().ok()?) })
    }

    /// Reads what follows the kind byte in a datagram, where padding follows.
    pub fn decode_padded(rest: &[u8]) -> Option<Self> {
        let is_padded = rest.len() + 1 >= DATAGRAM_BYTES_MIN;
        let attempt = rest.first_chunk().filter(|_| is_padded)?;
        Some(Self { attempt: AttemptId(*attempt) })
    }

    /// The whole packet.
    pub fn encode(&self) -> Vec<u8> {
        [&[PacketKind::Probe.byte()][..], &self.attempt.0].concat()
    }
}

/// A relay says who it is, unauthenticated: a hint where a key may be, never a truth (wire §3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// Copied from the probe or the handshake that this answers.
    pub attempt: AttemptId,
    /// What the relay speaks.
    pub offer: Offer,
    /// The key it claims to hold.
    pub relay_key: RelayKey,
    /// What its operator calls it. Foreign text.
    pub relay_name: String,
}

impl Beacon {
    /// Reads what follows the kind byte; what a later version put behind is skipped.
    pub fn decode(rest: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(rest);
        Some(Self {
            attempt: AttemptId(reader.array()?),
            offer: Offer { versions: reader.versions()?, suites: reader.suites()? },
            relay_key: RelayKey(reader.array()?),
            relay_name: reader.relay_name()?.to_owned(),
        })
    }

    /// The whole packet.
    pub fn encode(&self) -> Vec<u8> {
        let mut packet = vec![PacketKind::Beacon.byte()];
        packet.extend(self.attempt.0);
        put_versions(&mut packet, &self.offer.versions);
        put_suites(&mut packet, &self.offer.suites);
        packet.extend(self.relay_key.0);
        put_relay_name(&mut packet, &self.relay_name);
        packet
    }
}

/// The clear frame around the first Noise message (wire §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeInit<'p> {
    /// What the initiator chose.
    pub choice: Choice,
    /// Comes back in the answer.
    pub attempt: AttemptId,
    /// What a retry asked to bring along; empty on a stream.
    pub cookie: &'p [u8],
    /// Noise message 1.
    pub noise: &'p [u8],
}

impl<'p> HandshakeInit<'p> {
    /// Reads what follows the kind byte in a stream, where nothing may follow.
    pub fn decode(rest: &'p [u8]) -> Option<Self> {
        Self::decode_front(rest).filter(|(_, padding)| padding.is_empty()).map(|(init, _)| init)
    }

    /// Reads what follows the kind byte in a datagram, where padding follows: the relay's answer must
    /// not be longer than what causes it.
    pub fn decode_padded(rest: &'p [u8]) -> Option<Self> {
        let is_padded = rest.len() + 1 >= DATAGRAM_BYTES_MIN;
        Self::decode_front(rest).filter(|_| is_padded).map(|(init, _)| init)
    }

    fn decode_front(rest: &'p [u8]) -> Option<(Self, &'p [u8])> {
        let mut reader = Reader::new(rest);
        let choice = Choice { version: Version(reader.u16()?), suite: Suite(reader.u8()?) };
        let attempt = AttemptId(reader.array()?);
        let cookie_bytes = usize::from(reader.u8()?);
        if cookie_bytes > COOKIE_BYTES_MAX {
            return None;
        }
        let cookie = reader.take(cookie_bytes)?;
        let noise_bytes = usize::from(reader.u16()?);
        let noise = reader.take(noise_bytes)?;
        Some((Self { choice, attempt, cookie, noise }, reader.take_rest()))
    }

    /// The whole packet.
    ///
    /// # Panics
    ///
    /// If the cookie is larger than [`COOKIE_BYTES_MAX`], or the Noise message than any can be.
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.cookie.len() <= COOKIE_BYTES_MAX, "cookies are checked when they arrive");
        let mut packet = vec![PacketKind::HandshakeInit.byte()];
        packet.extend(self.choice.version.0.to_be_bytes());
        packet.push(self.choice.suite.0);
        packet.extend(self.attempt.0);
        put_count(&mut packet, self.cookie.len());
        packet.extend(self.cookie);
        let noise_bytes = u16::try_from(self.noise.len()).expect("a Noise message fits a u16");
        packet.extend(noise_bytes.to_be_bytes());
        packet.extend(self.noise);
        packet
    }
}

/// The clear frame around the second Noise message (wire §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeReply<'p> {
    /// Copied from the handshake-init that this answers.
    pub attempt: AttemptId,
    /// Noise message 2.
    pub noise: &'p [u8],
}

impl<'p> HandshakeReply<'p> {
    /// Reads what follows the kind byte.
    pub fn decode(rest: &'p [u8]) -> Option<Self> {
        let mut reader = Reader::new(rest);
        Some(Self { attempt: AttemptId(reader.array()?), noise: reader.take_rest() })
    }

    /// The whole packet.
    pub fn encode(&self) -> Vec<u8> {
        [&[PacketKind::HandshakeReply.byte()][..], &self.attempt.0, self.noise].concat()
    }
}

/// "Come again with this": a relay that is asked more than it can answer wants to know that whoever
/// asks is where they say (wire §10.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry<'p> {
    /// Copied from the handshake-init that this answers.
    pub attempt: AttemptId,
    /// To be brought along.
    pub cookie: &'p [u8],
}

impl<'p> Retry<'p> {
    /// Reads what follows the kind byte.
    pub fn decode(rest: &'p [u8]) -> Option<Self> {
        let (attempt, cookie) = rest.split_first_chunk()?;
        let is_cookie = (1..=COOKIE_BYTES_MAX).contains(&cookie.len());
        is_cookie.then_some(Self { attempt: AttemptId(*attempt), cookie })
    }

    /// The whole packet.
    pub fn encode(&self) -> Vec<u8> {
        [&[PacketKind::Retry.byte()][..], &self.attempt.0, self.cookie].concat()
    }
}

/// Names a session to the relay, wherever its datagrams come from (wire §10.1). The first byte says
/// which part of the relay has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub [u8; 8]);

/// Proves that the relay itself does not know a connection id (RFC 9000 §10.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetToken(pub [u8; 16]);

/// "I do not know this connection" (wire §10.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// What the client was told when the session began.
    pub token: ResetToken,
}

impl Reset {
    /// Reads what follows the kind byte.
    pub fn decode(rest: &[u8]) -> Option<Self> {
        Some(Self { token: ResetToken(rest.try_into().ok()?) })
    }

    /// The whole packet.
    pub fn encode(&self) -> Vec<u8> {
        [&[PacketKind::Reset.byte()][..], &self.token.0].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offer::{Suites, Versions};

    const ATTEMPT: AttemptId = AttemptId([1, 2, 3, 4, 5, 6, 7, 8]);

    fn init<'p>(cookie: &'p [u8], noise: &'p [u8]) -> HandshakeInit<'p> {
        let choice = Choice { version: Version(0x0102), suite: Suite(3) };
        HandshakeInit { choice, attempt: ATTEMPT, cookie, noise }
    }

    #[test]
    fn only_the_seven_known_bytes_are_kinds() {
        let known: Vec<u8> = (0..=255)
            .filter(|byte| PacketKind::from_byte(*byte).is_some_and(|kind| kind.byte() == *byte))
            .collect();
        assert_eq!(known, [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn handshake_init_is_laid_out_as_written_down() {
        let packet = init(b"ck", b"noise").encode();
        let expected = b"\x03\x01\x02\x03\x01\x02\x03\x04\x05\x06\x07\x08\x02ck\x00\x05noise";
        assert_eq!(packet, expected);
        assert_eq!(HandshakeInit::decode(&packet[1..]), Some(init(b"ck", b"noise")));
        for end in 1..packet.len() {
            assert_eq!(HandshakeInit::decode(&packet[1..end]), None);
        }
        assert_eq!(HandshakeInit::decode(&[&packet[1..], b"!"].concat()), None, "trailing byte");
    }

    #[test]
    fn a_cookie_at_the_limit_passes_and_one_above_is_refused() {
        let cookie = [9; COOKIE_BYTES_MAX];
        let mut packet = init(&cookie, b"").encode();
        assert!(HandshakeInit::decode(&packet[1..]).is_some());
        packet[12] += 1;
        packet.insert(13, 9);
        assert_eq!(HandshakeInit::decode(&packet[1..]), None);
    }

    #[test]
    fn a_beacon_of_a_later_version_is_readable() {
        let beacon = Beacon {
            attempt: ATTEMPT,
            offer: Offer {
                versions: Versions::new([Version(9), Version(8)]),
                suites: Suites::new([Suite(77)]),
            },
            relay_key: RelayKey([5; 32]),
            relay_name: "kitchen".to_owned(),
        };
        let mut packet = beacon.encode();
        assert_eq!(Beacon::decode(&packet[1..]), Some(beacon.clone()));
        for end in 1..packet.len() {
            assert_eq!(Beacon::decode(&packet[1..end]), None);
        }
        packet.extend(b"something new");
        assert_eq!(Beacon::decode(&packet[1..]), Some(beacon));
    }

    #[test]
    fn a_probe_is_its_kind_and_eight_bytes() {
        let packet = Probe { attempt: ATTEMPT }.encode();
        assert_eq!(packet, [1, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(Probe::decode(&packet[1..]), Some(Probe { attempt: ATTEMPT }));
        assert_eq!(Probe::decode(&packet[2..]), None);
    }
}
