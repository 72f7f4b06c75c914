//! What a datagram's sealed content is made of (wire §10.3): frames, one behind the other.
//!
//! Numbers are variable-length integers of RFC 9000 §16: the first two bits say how many bytes.
//! Only the shortest form is taken.

use std::{ops::RangeInclusive, time::Duration};

use super::{range_set::RangeSet, tuning::ACK_RANGES_MAX};

/// Largest number that a variable-length integer holds.
pub(super) const VARINT_MAX: u64 = (1 << 62) - 1;

/// Streams of one direction: 0 for the session, the others for whatever has an order of its own.
pub(super) const STREAMS: u8 = 64;

/// Connection id and reset token.
pub const NAME_BYTES: usize = 8 + 16;

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'p> {
    /// "Acknowledge this": nothing else.
    Ping,
    /// "Acknowledge this packet at once." (`IMMEDIATE_ACK` of draft-ietf-quic-ack-frequency.)
    AckNow,
    /// Packets that arrived.
    Ack(AckFrame<'p>),
    /// A part of a stream.
    Stream {
        /// Which, below [`STREAMS`].
        stream: u8,
        /// Where in it `data` begins.
        offset: u64,
        /// The bytes there.
        data: &'p [u8],
    },
    /// So many bytes of all streams together may be sent. It only rises.
    Credit(u64),
    /// "Send this back, from where it reaches you." (RFC 9000 §19.17)
    Challenge([u8; 8]),
    /// What a challenge asked for.
    Response([u8; 8]),
    /// The session is over on this side; no answer is wanted.
    Close,
    /// By which name the relay knows the session from now on, and the token of a reset under it.
    Name([u8; NAME_BYTES]),
    /// So many packets in all have come with the mark of congestion (RFC 3168). It only rises.
    Congested(u64),
}

/// Packets that arrived, newest first (RFC 9000 §19.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckFrame<'p> {
    /// The largest number.
    pub largest: u64,
    /// How long it was held back, as the peer says.
    pub delay: Duration,
    /// Numbers below `largest` that arrived without gap.
    first: u64,
    /// Pairs of (gap, length), `count` of them; checked.
    pairs: &'p [u8],
    count: usize,
}

/// A packet whose content is not frames: its sender is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed frame")]
pub struct Malformed;

mod kind {
    pub(super) const PADDING: u8 = 0;
    pub(super) const PING: u8 = 1;
    pub(super) const ACK_NOW: u8 = 2;
    pub(super) const ACK: u8 = 3;
    pub(super) const STREAM: u8 = 4;
    pub(super) const CREDIT: u8 = 5;
    pub(super) const CHALLENGE: u8 = 6;
    pub(super) const RESPONSE: u8 = 7;
    pub(super) const CLOSE: u8 = 8;
    pub(super) const CONGESTED: u8 = 9;
    pub(super) const NAME: u8 = 10;
}

/// Bytes in front of a stream's data, at most: kind, stream, offset, length.
pub(super) const STREAM_HEADER_BYTES_MAX: usize = 1 + 1 + 8 + 2;
/// Bytes of an acknowledgement, at most.
pub(super) const ACK_BYTES_MAX: usize = 1 + 8 + 4 + 1 + 8 + (ACK_RANGES_MAX - 1) * 16;

/// Takes the frames off the front of a packet's content.
#[derive(Clone, Debug)]
pub struct Frames<'p> {
    rest: &'p [u8],
}

impl<'p> Frames<'p> {
    /// The frames of a packet's content; an error is the last.
    pub const fn new(content: &'p [u8]) -> Self {
        Self { rest: content }
    }

    /// Bytes of the content behind the last frame that was taken.
    pub(super) const fn bytes_left(&self) -> usize {
        self.rest.len()
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn take(&mut self, bytes: usize) -> Option<&'p [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn varint(&mut self) -> Option<u64> {
        let first = *self.rest.first()?;
        let bytes = 1 << (first >> 6);
        let taken = self.take(bytes)?;
        let all = taken.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let value = all & (VARINT_MAX >> (64 - 8 * bytes));
        (varint_bytes(value) == bytes).then_some(value)
    }

    fn frame(&mut self, kind: u8) -> Option<Frame<'p>> {
        Some(match kind {
            kind::PING => Frame::Ping,
            kind::ACK_NOW => Frame::AckNow,
            kind::ACK => Frame::Ack(self.ack()?),
            kind::STREAM => {
                let stream = self.byte().filter(|stream| *stream < STREAMS)?;
                let offset = self.varint()?;
                let length = usize::try_from(self.varint()?).ok()?;
                let data = self.take(length).filter(|data| !data.is_empty())?;
                offset.checked_add(data.len() as u64).filter(|end| *end <= VARINT_MAX)?;
                Frame::Stream { stream, offset, data }
            }
            kind::CREDIT => Frame::Credit(self.varint()?),
            kind::CHALLENGE => Frame::Challenge(self.array()?),
            kind::RESPONSE => Frame::Response(self.array()?),
            kind::CLOSE => Frame::Close,
            kind::NAME => Frame::Name(self.array()?),
            kind::CONGESTED => Frame::Congested(self.varint()?),
            _ => return None,
        })
    }

    fn ack(&mut self) -> Option<AckFrame<'p>> {
        let largest = self.varint()?;
        let delay = Duration::from_micros(self.varint()?.checked_mul(DELAY_UNIT_MICROS)?);
        let count = usize::from(self.byte()?);
        if count >= ACK_RANGES_MAX {
            return None;
        }
        let first = self.varint()?;
        let mut low = largest.checked_sub(first)?;
        let pairs = self.rest;
        for _ in 0..count {
            let (gap, length) = (self.varint()?, self.varint()?);
            low = low.checked_sub(gap.checked_add(2)?)?.checked_sub(length)?;
        }
        let pairs = &pairs[..pairs.len() - self.rest.len()];
        Some(AckFrame { largest, delay, first, pairs, count })
    }
}

impl<'p> Iterator for Frames<'p> {
    type Item = Result<Frame<'p>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.rest.first() == Some(&kind::PADDING) {
            self.rest = &self.rest[1..];
        }
        let kind = self.byte()?;
        let frame = self.frame(kind);
        if frame.is_none() {
            self.rest = &[];
        }
        Some(frame.ok_or(Malformed))
    }
}

/// An acknowledgement's delay is told in units of 8 µs (RFC 9000 §18.2, `ack_delay_exponent` 3).
const DELAY_UNIT_MICROS: u64 = 8;

impl AckFrame<'_> {
    /// The numbers, newest first.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u64>> + '_ {
        let low = self.largest - self.first;
        let mut pairs = Frames::new(self.pairs);
        let mut next_low = low;
        let rest = (0..self.count).map_while(move |_| {
            let (gap, length) = (pairs.varint()?, pairs.varint()?);
            let high = next_low - gap - 2;
            next_low = high - length;
            Some(next_low..=high)
        });
        [low..=self.largest].into_iter().chain(rest)
    }
}

/// Appends an acknowledgement of the newest of `received`: all ranges that end above `reach`, as far
/// as there is room.
///
/// # Panics
///
/// If `received` is empty, or ends below `reach`.
pub(super) fn put_ack(out: &mut Vec<u8>, received: &RangeSet, reach: u64, delay: Duration) {
    let told = || received.iter().rev().take(ACK_RANGES_MAX).take_while(|range| range.end > reach);
    let mut ranges = told();
    let newest = ranges.next().expect("nothing is acknowledged before something came");
    out.push(kind::ACK);
    put_varint(out, newest.end - 1);
    let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
    put_varint(out, (micros / DELAY_UNIT_MICROS).min(VARINT_MAX));
    let count = told().count() - 1;
    out.push(u8::try_from(count).expect("a packet has room for few"));
    put_varint(out, newest.end - 1 - newest.start);
    let mut low = newest.start;
    for range in ranges {
        put_varint(out, low - range.end - 1);
        put_varint(out, range.end - 1 - range.start);
        low = range.start;
    }
}

/// Appends a frame that is not an acknowledgement.
pub(super) fn put(out: &mut Vec<u8>, frame: &Frame<'_>) {
    match frame {
        Frame::Ping => out.push(kind::PING),
        Frame::AckNow => out.push(kind::ACK_NOW),
        Frame::Ack(_) => unreachable!("acknowledgements are made from what was received"),
        Frame::Stream { stream, offset, data } => {
            out.extend([kind::STREAM, *stream]);
            put_varint(out, *offset);
            put_varint(out, data.len() as u64);
            out.extend(*data);
        }
        Frame::Credit(bytes) => {
            out.push(kind::CREDIT);
            put_varint(out, *bytes);
        }
        Frame::Challenge(bytes) => {
            out.push(kind::CHALLENGE);
            out.extend(bytes);
        }
        Frame::Response(bytes) => {
            out.push(kind::RESPONSE);
            out.extend(bytes);
        }
        Frame::Close => out.push(kind::CLOSE),
        Frame::Name(bytes) => {
            out.push(kind::NAME);
            out.extend(bytes);
        }
        Frame::Congested(packets) => {
            out.push(kind::CONGESTED);
            put_varint(out, *packets);
        }
    }
}

/// How many bytes `value` takes.
pub(super) const fn varint_bytes(value: u64) -> usize {
    match value {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => 8,
    }
}

fn put_varint(out: &mut Vec<u8>, value: u64) {
    debug_assert!(value <= VARINT_MAX, "{value} is no number of this wire");
    let bytes = varint_bytes(value);
    let length_bits = u64::from(bytes.trailing_zeros()) << (8 * bytes - 2);
    out.extend(&(value | length_bits).to_be_bytes()[8 - bytes..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8]) -> Vec<Result<Frame<'_>, Malformed>> {
        Frames::new(bytes).collect()
    }

    #[test]
    fn numbers_are_those_of_rfc_9000() {
        // RFC 9000 §A.1.
        for (value, bytes) in [
            (37, &[0x25][..]),
            (15_293, &[0x7b, 0xbd]),
            (494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]),
            (151_288_809_941_952_652, &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]),
        ] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(Frames::new(bytes).varint(), Some(value));
        }
        assert_eq!(Frames::new(&[0x40, 0x25]).varint(), None, "37, longer than it has to be");
    }

    #[test]
    fn frames_are_laid_out_as_written_down() {
        let mut out = Vec::new();
        put(&mut out, &Frame::Stream { stream: 3, offset: 64, data: b"hi" });
        assert_eq!(out, [4, 3, 0x40, 64, 2, b'h', b'i']);
        out.extend([0, 0]);
        put(&mut out, &Frame::Credit(5));
        let stream = Frame::Stream { stream: 3, offset: 64, data: b"hi" };
        assert_eq!(decode(&out), [Ok(stream), Ok(Frame::Credit(5))]);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for bytes in [
            &[9][..],
            &[11],
            &[4, 64, 0, 1, 0],
            &[4, 0, 0, 2, 0],
            &[4, 0, 0, 0],
            &[4, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0],
            &[5],
            &[6, 1, 2],
            &[3, 5, 0, 0, 6],
            &[3, 5, 0, 1, 1, 3, 0],
            &[3, 5, 0, 16, 1],
        ] {
            assert_eq!(decode(bytes).last(), Some(&Err(Malformed)), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_frames_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            for frame in Frames::new(&bytes) {
                if let Ok(Frame::Ack(ack)) = frame {
                    prop_assert!(ack.ranges().count() <= ACK_RANGES_MAX);
                }
            }
        }

        #[test]
        fn the_newest_ranges_are_acknowledged(
            numbers in prop::collection::btree_set(0..200_u64, 1..80),
            micros in 0..1_000_000_u64,
        ) {
            let mut received = RangeSet::default();
            for number in &numbers {
                received.insert(*number..*number + 1);
            }
            let mut out = Vec::new();
            put_ack(&mut out, &received, 0, Duration::from_micros(micros));
            prop_assert!(out.len() <= ACK_BYTES_MAX);
            let Some(Ok(Frame::Ack(ack))) = Frames::new(&out).next() else { panic!("an ack") };
            prop_assert_eq!(Some(&ack.largest), numbers.last());
            prop_assert_eq!(ack.delay, Duration::from_micros(micros / 8 * 8));
            let told: Vec<u64> = ack.ranges().flatten().collect();
            let low = told.iter().min().copied().unwrap_or_default();
            let expected = numbers.iter().filter(|number| **number >= low).count();
            prop_assert_eq!(told.len(), expected);
            prop_assert!(told.iter().all(|number| numbers.contains(number)));
        }
    }
}
