//! The clear beginning of a sealed packet (wire §10.1): it finds the session and the key, and is
//! associated data of the content.
//!
//! ```text
//!   to the relay    6 ‖ connection id[8] ‖ flags u8 ‖ number u32
//!   to the client   6 ‖ flags u8 ‖ number u32
//! ```

use crate::{
    channel::numbered::KeyPhase,
    transport::packet::{ConnectionId, PacketKind},
};

/// Bytes of a header to the client.
const CLIENT_BYTES: usize = 1 + 1 + 4;
/// Bytes of a header to the relay.
const RELAY_BYTES: usize = CLIENT_BYTES + 8;

/// The flag of the key phase. The others are not used, and zero.
const PHASE_FLAG: u8 = 1;

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// To the relay, which knows the session by this.
    Relay(ConnectionId),
    /// To the client, which has one session on its socket.
    Client,
}

impl To {
    /// Bytes of the header.
    pub(super) const fn header_bytes(self) -> usize {
        match self {
            Self::Relay(_) => RELAY_BYTES,
            Self::Client => CLIENT_BYTES,
        }
    }

    /// Bytes of the header that the other side writes.
    pub(super) const fn peer_header_bytes(self) -> usize {
        match self {
            Self::Relay(_) => CLIENT_BYTES,
            Self::Client => RELAY_BYTES,
        }
    }

    /// Writes the header of packet `number` into `out`, which is as long as it is.
    pub(super) fn write_header(self, out: &mut [u8], phase: KeyPhase, number: u64) {
        let flags = match phase {
            KeyPhase::Even => 0,
            KeyPhase::Odd => PHASE_FLAG,
        };
        out[0] = PacketKind::Sealed.byte();
        if let Self::Relay(connection) = self {
            out[1..9].copy_from_slice(&connection.0);
        }
        let rest = out.len() - 5;
        out[rest] = flags;
        let [.., a, b, c, d] = number.to_be_bytes();
        out[rest + 1..].copy_from_slice(&[a, b, c, d]);
    }
}

/// The byte by which a relay of several parts knows whose packet this is: the first of its
/// connection id. `None` if it is no session's.
pub fn shard_of(datagram: &[u8]) -> Option<u8> {
    let (kind, _) = datagram.split_first()?;
    let is_sealed = PacketKind::from_byte(*kind) == Some(PacketKind::Sealed);
    connection_id(datagram).filter(|_| is_sealed).map(|id| id.0[0])
}

/// The connection id of a sealed packet to the relay.
pub(super) fn connection_id(packet: &[u8]) -> Option<ConnectionId> {
    packet.get(1..9)?.try_into().ok().map(ConnectionId)
}

/// A packet in its parts: header, phase, the low half of its number, what is sealed. `None` if it is
/// not laid out as it should be.
pub(super) fn split(
    packet: &mut [u8],
    header_bytes: usize,
) -> Option<(&[u8], KeyPhase, u32, &mut [u8])> {
    let (header, sealed) = packet.split_at_mut_checked(header_bytes)?;
    let [.., flags, a, b, c, d] = *header else { return None };
    let phase = match flags {
        0 => KeyPhase::Even,
        PHASE_FLAG => KeyPhase::Odd,
        _ => return None,
    };
    Some((header, phase, u32::from_be_bytes([a, b, c, d]), sealed))
}

/// The number whose low half is `low`, next to the one that is expected (RFC 9000 §A.3).
pub(super) fn expand_number(low: u32, largest: Option<u64>) -> u64 {
    const WINDOW: u64 = 1 << 32;
    let expected = largest.map_or(0, |largest| largest + 1);
    let candidate = expected & !(WINDOW - 1) | u64::from(low);
    if candidate + WINDOW / 2 <= expected && candidate < u64::MAX - WINDOW {
        candidate + WINDOW
    } else if candidate > expected + WINDOW / 2 && candidate >= WINDOW {
        candidate - WINDOW
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_laid_out_as_written_down() {
        let mut header = [0; RELAY_BYTES];
        let to = To::Relay(ConnectionId([9; 8]));
        to.write_header(&mut header, KeyPhase::Odd, 0x5_0102_0304);
        assert_eq!(header, [6, 9, 9, 9, 9, 9, 9, 9, 9, 1, 1, 2, 3, 4]);
        assert_eq!(connection_id(&header), Some(ConnectionId([9; 8])));
        assert_eq!(shard_of(&header), Some(9));
        assert_eq!(shard_of(&header[..8]), None, "too short for one");
        assert_eq!(shard_of(&[3; 1_200]), None, "not a session's");
        let (_, phase, low, sealed) = split(&mut header, RELAY_BYTES).expect("whole");
        assert_eq!((phase, low, sealed.len()), (KeyPhase::Odd, 0x0102_0304, 0));
        let mut header = [0; CLIENT_BYTES];
        To::Client.write_header(&mut header, KeyPhase::Even, 7);
        assert_eq!(header, [6, 0, 0, 0, 0, 7]);
        header[1] = 2;
        assert_eq!(split(&mut header, CLIENT_BYTES), None, "a flag that nobody knows");
    }

    #[test]
    fn a_number_is_the_one_next_to_what_is_expected() {
        for (low, largest, number) in [
            (0, None, 0),
            (5, Some(3), 5),
            (0xffff_fffe, Some(0x1_0000_0002), 0xffff_fffe),
            (1, Some(0xffff_fffe), 0x1_0000_0001),
            (0x9b32, Some(0xa82f_30ea), 0x1_0000_9b32),
        ] {
            assert_eq!(expand_number(low, largest), number, "{low:#x} after {largest:x?}");
        }
    }
}
