//! Packets in a byte stream: each behind its length, `u16` big-endian (wire §3.1).
//!
//! [`split_packet`] works in place and is what [`crate::connection::Connection`] uses.
//! [`PacketCodec`] is the same rule for drivers that like `tokio_util::codec`.

use std::io;

use bytes::{Buf, BufMut, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::limits::{PACKET_BYTES_BEFORE_LOGIN_MAX, PACKET_BYTES_MAX};

/// Bytes of the length in front of each packet.
pub const LENGTH_BYTES: usize = 2;

/// A stream that cannot be cut into packets; nothing behind this point can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// A length of zero: a packet has at least its kind.
    #[error("packet without a kind byte")]
    Empty,
    /// More than is allowed at this point of the connection.
    #[error("packet of {bytes} bytes where at most {max} are allowed")]
    TooLarge {
        /// What the length says.
        bytes: usize,
        /// The limit that applied.
        max: usize,
    },
}

/// The first packet in `buffer` and how many bytes of the buffer it used, or `None` when it has
/// not arrived whole.
///
/// # Errors
///
/// As soon as the length is there and breaks a rule: nobody makes us buffer a packet that we are
/// going to refuse. Close the stream.
pub fn split_packet(
    buffer: &mut [u8],
    packet_bytes_max: usize,
) -> Result<Option<(usize, &mut [u8])>, FramingError> {
    let Some((length, rest)) = buffer.split_first_chunk_mut::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let bytes = check_length(usize::from(u16::from_be_bytes(*length)), packet_bytes_max)?;
    Ok(rest.get_mut(..bytes).map(|packet| (LENGTH_BYTES + bytes, packet)))
}

fn check_length(bytes: usize, max: usize) -> Result<usize, FramingError> {
    match bytes {
        0 => Err(FramingError::Empty),
        _ if bytes > max => Err(FramingError::TooLarge { bytes, max }),
        _ => Ok(bytes),
    }
}

/// Appends `packet` behind its length.
///
/// # Panics
///
/// If it is larger than [`PACKET_BYTES_MAX`]: whoever makes packets keeps that limit.
pub fn put_packet(out: &mut Vec<u8>, packet: &[u8]) {
    let bytes = u16::try_from(packet.len()).expect("packets fit their length");
    out.extend(bytes.to_be_bytes());
    out.extend(packet);
}

/// Cuts a stream into packets and back, with a limit that rises when the peer has logged in.
#[derive(Clone, Copy, Debug)]
pub struct PacketCodec {
    packet_bytes_max: usize,
}

/// Why [`PacketCodec`] stopped.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The stream itself failed.
    #[error("the stream failed")]
    Io(#[from] io::Error),
    /// The stream holds something that is not a packet.
    #[error(transparent)]
    Framing(#[from] FramingError),
}

impl PacketCodec {
    /// A codec for a peer that has not logged in.
    pub const fn before_login() -> Self {
        Self { packet_bytes_max: PACKET_BYTES_BEFORE_LOGIN_MAX }
    }

    /// From now on packets may have any size the length can say.
    pub const fn allow_full_packets(&mut self) {
        self.packet_bytes_max = PACKET_BYTES_MAX;
    }
}

impl Decoder for PacketCodec {
    type Item = BytesMut;
    type Error = CodecError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<BytesMut>, CodecError> {
        let Some((consumed, _)) = split_packet(buffer, self.packet_bytes_max)? else {
            return Ok(None);
        };
        let mut packet = buffer.split_to(consumed);
        packet.advance(LENGTH_BYTES);
        Ok(Some(packet))
    }
}

impl<T: AsRef<[u8]>> Encoder<T> for PacketCodec {
    type Error = CodecError;

    fn encode(&mut self, packet: T, buffer: &mut BytesMut) -> Result<(), CodecError> {
        let packet = packet.as_ref();
        let bytes = check_length(packet.len(), self.packet_bytes_max)?;
        buffer.reserve(LENGTH_BYTES + bytes);
        buffer.put_u16(u16::try_from(bytes).expect("no limit is above what the length can say"));
        buffer.put_slice(packet);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(bytes: usize) -> Vec<u8> {
        let mut stream = u16::try_from(bytes).unwrap().to_be_bytes().to_vec();
        stream.resize(LENGTH_BYTES + bytes, 7);
        stream
    }

    #[test]
    fn waits_for_the_whole_packet_and_leaves_the_next() {
        let mut stream = [framed(3), framed(1)].concat();
        assert_eq!(split_packet(&mut stream[..1], 10), Ok(None));
        assert_eq!(split_packet(&mut stream[..4], 10), Ok(None));
        assert_eq!(split_packet(&mut stream, 10), Ok(Some((5, &mut [7, 7, 7][..]))));
    }

    #[test]
    fn a_packet_at_the_limit_passes_and_one_above_is_refused_by_its_length_alone() {
        let max = PACKET_BYTES_BEFORE_LOGIN_MAX;
        assert!(split_packet(&mut framed(max), max).unwrap().is_some());
        let error = FramingError::TooLarge { bytes: max + 1, max };
        assert_eq!(split_packet(&mut framed(max + 1)[..2], max), Err(error));
        assert_eq!(split_packet(&mut [0, 0], max), Err(FramingError::Empty));
        assert!(split_packet(&mut framed(PACKET_BYTES_MAX), PACKET_BYTES_MAX).unwrap().is_some());
    }

    #[test]
    fn the_codec_obeys_the_limit_in_both_directions_and_can_raise_it() {
        let mut codec = PacketCodec::before_login();
        let mut buffer = BytesMut::new();
        let large = vec![1; PACKET_BYTES_BEFORE_LOGIN_MAX + 1];
        assert!(codec.encode(&large, &mut buffer).is_err());
        assert!(codec.encode([], &mut buffer).is_err());
        assert!(buffer.is_empty(), "a refused packet leaves nothing in the stream");

        codec.allow_full_packets();
        codec.encode(&large, &mut buffer).unwrap();
        assert!(PacketCodec::before_login().decode(&mut buffer.clone()).is_err());
        assert_eq!(codec.decode(&mut buffer).unwrap().unwrap(), large);
        assert!(buffer.is_empty());
        assert!(codec.encode(vec![0; PACKET_BYTES_MAX + 1], &mut buffer).is_err());
    }
}
