//! All of bincode: how a serde type becomes bytes and back (wire §5).
//!
//! The format is bincode 2 `config::standard()`: little-endian, variable-length integers. This is
//! the only file that names the crate; golden vectors pin the format, so another encoder with the
//! same bytes can take its place. Decoding is strict: trailing bytes are refused, and what a
//! length claims is bounded before anything is allocated for it.

use bincode::{
    config::{Configuration, Limit, LittleEndian, Varint},
    enc::write::Writer,
    error::EncodeError,
};
use serde::{Deserialize, Serialize};

use crate::limits::PACKET_BYTES_MAX;

const ENCODE: Configuration<LittleEndian, Varint> = bincode::config::standard();
const DECODE: Configuration<LittleEndian, Varint, Limit<PACKET_BYTES_MAX>> =
    bincode::config::standard().with_limit::<PACKET_BYTES_MAX>();
/// For what the relay itself wrote to its own disk: a journal row is larger than a packet.
const DECODE_OWN: Configuration<LittleEndian, Varint> = bincode::config::standard();

/// Bytes that are not an encoding of what was expected. Deliberately without detail: which byte is
/// wrong helps only whoever made them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid encoding")]
pub struct DecodeError;

/// Appends the encoding of `value` to `out`.
pub fn encode_into<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    bincode::serde::encode_into_writer(value, VecWriter(out), ENCODE)
        .expect("wire types encode: no maps of unknown length, and a Vec takes every byte");
}

/// The encoding of `value`.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    encode_into(value, &mut out);
    out
}

/// Decodes all of `bytes`, which came from a peer.
///
/// # Errors
///
/// If the bytes are malformed, claim more than a packet can hold, or have a rest.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    match bincode::serde::borrow_decode_from_slice(bytes, DECODE) {
        Ok((value, used)) if used == bytes.len() => Ok(value),
        Ok(_) | Err(_) => Err(DecodeError),
    }
}

/// Decodes a value from the front of `bytes` and says how many it took.
///
/// # Errors
///
/// As [`decode`], except that a rest is expected.
pub fn decode_front<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, usize), DecodeError> {
    bincode::serde::borrow_decode_from_slice(bytes, DECODE).map_err(|_| DecodeError)
}

/// Decodes all of `bytes`, which this program wrote itself and may be larger than a packet.
///
/// # Errors
///
/// If the bytes are malformed or have a rest.
pub fn decode_own<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    match bincode::serde::borrow_decode_from_slice(bytes, DECODE_OWN) {
        Ok((value, used)) if used == bytes.len() => Ok(value),
        Ok(_) | Err(_) => Err(DecodeError),
    }
}

/// Appends `value` as a varint: one byte below 251, else a marker and 2, 4 or 8 bytes.
pub fn write_varint(value: u64, out: &mut Vec<u8>) {
    match value {
        0..=250 => out.push(u8::try_from(value).expect("below 251")),
        251..=0xffff => {
            out.push(251);
            out.extend_from_slice(&u16::try_from(value).expect("in range").to_le_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(252);
            out.extend_from_slice(&u32::try_from(value).expect("in range").to_le_bytes());
        }
        0x1_0000_0000.. => {
            out.push(253);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// Reads a varint from the front of `bytes`; the value and how many bytes it took.
///
/// # Errors
///
/// If the bytes end inside it, or a shorter form of the same number exists.
pub fn read_varint(bytes: &[u8]) -> Result<(u64, usize), DecodeError> {
    fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], DecodeError> {
        bytes.get(1..=N).and_then(|slice| slice.try_into().ok()).ok_or(DecodeError)
    }
    let (value, used, least) = match *bytes.first().ok_or(DecodeError)? {
        small @ 0..=250 => return Ok((u64::from(small), 1)),
        251 => (u64::from(u16::from_le_bytes(fixed(bytes)?)), 3, 251),
        252 => (u64::from(u32::from_le_bytes(fixed(bytes)?)), 5, 0x1_0000),
        253 => (u64::from_le_bytes(fixed(bytes)?), 9, 0x1_0000_0000),
        254 | 255 => return Err(DecodeError),
    };
    if value < least { Err(DecodeError) } else { Ok((value, used)) }
}

struct VecWriter<'a>(&'a mut Vec<u8>);

impl Writer for VecWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varint_has_one_form_per_number() {
        for value in [0, 1, 250, 251, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, u64::MAX] {
            let mut bytes = Vec::new();
            write_varint(value, &mut bytes);
            assert_eq!(bytes, encode(&value), "the same bytes as bincode writes");
            assert_eq!(read_varint(&bytes), Ok((value, bytes.len())));
        }
        assert_eq!(read_varint(&[251, 5, 0]), Err(DecodeError));
        assert_eq!(read_varint(&[252, 5, 0, 0, 0]), Err(DecodeError));
        assert_eq!(read_varint(&[253, 5]), Err(DecodeError));
        assert_eq!(read_varint(&[255]), Err(DecodeError));
        assert_eq!(read_varint(&[]), Err(DecodeError));
    }

    #[test]
    fn a_rest_is_refused() {
        assert_eq!(decode::<u8>(&[7]), Ok(7));
        assert_eq!(decode::<u8>(&[7, 0]), Err(DecodeError));
        assert_eq!(decode_front::<u8>(&[7, 0]), Ok((7, 1)));
    }

    #[test]
    fn a_claimed_length_is_not_believed() {
        // A string that says it has 2^40 bytes.
        let mut bytes = Vec::new();
        write_varint(1 << 40, &mut bytes);
        assert_eq!(decode::<String>(&bytes), Err(DecodeError));
    }
}
