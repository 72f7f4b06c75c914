//! The receiving half: parts in any order, doubled or not, become bytes in order.

use std::collections::VecDeque;

use crate::transport::datagram::{
    range_set::RangeSet,
    tuning::{CREDIT_BYTES, CREDIT_BYTES_INITIAL},
};

/// All streams of the peer's direction.
///
/// Memory is bounded by credit: all parts together end at most [`CREDIT_BYTES`] beyond what was
/// read.
#[derive(Clone, Debug)]
pub(in crate::transport::datagram) struct ReceiveStreams {
    /// By number, up to the largest ever used.
    streams: Vec<ReceiveStream>,
    /// Streams with bytes to read, in the order in which they got them.
    readable: VecDeque<u8>,
    /// Ends of all streams together; what of it was read; how much the peer was allowed.
    received: u64,
    read: u64,
    allowed: u64,
}

#[derive(Clone, Debug, Default)]
struct ReceiveStream {
    /// Bytes from `read` on; those not in `parts` are not here yet.
    buffer: VecDeque<u8>,
    read: u64,
    parts: RangeSet,
    is_readable: bool,
}

/// A peer that sends more than it was allowed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes of streams where {allowed} are allowed")]
pub struct StreamViolation {
    /// What the streams would have with this part.
    pub bytes: u64,
    /// The credit.
    pub allowed: u64,
}

impl ReceiveStream {
    fn end(&self) -> u64 {
        self.read + self.buffer.len() as u64
    }

    /// Bytes that are here without gap.
    fn ready(&self) -> usize {
        let first = self.parts.first().filter(|first| first.start <= self.read);
        let end = first.map_or(self.read, |first| first.end);
        usize::try_from(end - self.read).expect("no more than the credit")
    }
}

/// Writes `data` over what is at `at`, and makes the buffer as long as that needs.
fn put(buffer: &mut VecDeque<u8>, at: usize, data: &[u8]) {
    if buffer.len() < at {
        buffer.resize(at, 0);
    }
    let (over, behind) = data.split_at(data.len().min(buffer.len() - at));
    let (front, back) = buffer.as_mut_slices();
    let in_front = front.len().saturating_sub(at).min(over.len());
    let (first, second) = over.split_at(in_front);
    if !first.is_empty() {
        front[at..at + first.len()].copy_from_slice(first);
    }
    if !second.is_empty() {
        let at = at.saturating_sub(front.len());
        back[at..at + second.len()].copy_from_slice(second);
    }
    buffer.extend(behind);
}

impl ReceiveStreams {
    pub(in crate::transport::datagram) fn new() -> Self {
        Self {
            streams: Vec::new(),
            readable: VecDeque::new(),
            received: 0,
            read: 0,
            allowed: CREDIT_BYTES_INITIAL,
        }
    }

    /// Takes a part of a stream.
    ///
    /// # Errors
    ///
    /// If the peer has no credit for it. Nothing was changed; close the connection.
    pub(in crate::transport::datagram) fn insert(
        &mut self,
        number: u8,
        offset: u64,
        data: &[u8],
    ) -> Result<(), StreamViolation> {
        let index = usize::from(number);
        if self.streams.len() <= index {
            self.streams.resize_with(index + 1, ReceiveStream::default);
        }
        let stream = &mut self.streams[index];
        let end = offset + data.len() as u64;
        let received = self.received + end.saturating_sub(stream.end());
        if received > self.allowed {
            return Err(StreamViolation { bytes: received, allowed: self.allowed });
        }
        self.received = received;
        // What was read before is not needed again.
        let known = usize::try_from(stream.read.saturating_sub(offset)).unwrap_or(usize::MAX);
        let Some(data) = data.get(known..).filter(|data| !data.is_empty()) else { return Ok(()) };
        let start = offset.max(stream.read);
        stream.parts.insert(start..end);
        let at = usize::try_from(start - stream.read).expect("no more than the credit");
        put(&mut stream.buffer, at, data);
        if !stream.is_readable && stream.ready() > 0 {
            stream.is_readable = true;
            self.readable.push_back(number);
        }
        Ok(())
    }

    /// The stream that has had something to read for longest.
    pub(in crate::transport::datagram) fn readable(&self) -> Option<u8> {
        self.readable.front().copied()
    }

    /// What is here of a stream without gap.
    pub(in crate::transport::datagram) fn peek(&mut self, number: u8) -> &[u8] {
        let Some(stream) = self.streams.get_mut(usize::from(number)) else { return &[] };
        let ready = stream.ready();
        &stream.buffer.make_contiguous()[..ready]
    }

    /// Takes `bytes` off the front of a stream, and the stream out of the line until more comes:
    /// what is left is the beginning of something.
    pub(in crate::transport::datagram) fn consume(&mut self, number: u8, bytes: usize) {
        self.readable.retain(|readable| *readable != number);
        let Some(stream) = self.streams.get_mut(usize::from(number)) else { return };
        stream.is_readable = false;
        let bytes = bytes.min(stream.ready());
        stream.buffer.drain(..bytes);
        stream.read += bytes as u64;
        stream.parts.remove_below(stream.read);
        self.read += bytes as u64;
        if stream.buffer.is_empty() {
            stream.buffer = VecDeque::new();
        }
    }

    /// Gives memory back that it does not need now.
    pub(in crate::transport::datagram) fn rest(&mut self) {
        self.streams.shrink_to_fit();
        self.readable.shrink_to_fit();
        for stream in &mut self.streams {
            stream.buffer.shrink_to_fit();
            stream.parts.rest();
        }
    }

    /// The credit that the peer should have, if it is worth telling.
    pub(in crate::transport::datagram) fn new_credit(&self) -> Option<u64> {
        let credit = self.read + CREDIT_BYTES;
        let left = self.allowed.saturating_sub(self.received);
        // Half a window early, so that a peer in full flow never waits for it.
        (left < CREDIT_BYTES / 2 && credit > self.allowed).then_some(credit)
    }

    /// Bytes of memory for what arrived and was not read, gaps included.
    pub(in crate::transport::datagram) fn kept(&self) -> usize {
        self.streams.iter().map(|stream| stream.buffer.len()).sum()
    }

    /// The credit that the peer was told last.
    pub(in crate::transport::datagram) const fn allowed(&self) -> u64 {
        self.allowed
    }

    /// The peer is told so.
    pub(in crate::transport::datagram) fn allow(&mut self, credit: u64) {
        self.allowed = self.allowed.max(credit);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(streams: &mut ReceiveStreams, number: u8) -> Vec<u8> {
        let bytes = streams.peek(number).to_vec();
        streams.consume(number, bytes.len());
        bytes
    }

    #[test]
    fn streams_are_read_in_the_order_in_which_they_became_readable() {
        let mut streams = ReceiveStreams::new();
        streams.insert(1, 2, b"cd").expect("allowed");
        assert_eq!(streams.readable(), None, "its beginning is missing");
        streams.insert(2, 0, b"x").expect("allowed");
        streams.insert(1, 0, b"ab").expect("allowed");
        assert_eq!(streams.readable(), Some(2));
        assert_eq!(read(&mut streams, 2), b"x");
        assert_eq!(streams.readable(), Some(1));
        streams.consume(1, 3);
        assert_eq!(streams.readable(), None, "until more comes");
        streams.insert(1, 3, b"de").expect("allowed");
        assert_eq!((streams.readable(), read(&mut streams, 1)), (Some(1), b"de".to_vec()));
    }

    #[test]
    fn credit_is_spent_by_ends_once_and_returned_by_reading() {
        let mut streams = ReceiveStreams::new();
        let last = CREDIT_BYTES_INITIAL - 1;
        streams.insert(1, last, b"z").expect("the last byte that is allowed");
        streams.insert(1, last, b"z").expect("it costs nothing again");
        let over = streams.insert(2, 0, b"a").expect_err("one more");
        assert_eq!(over.bytes, CREDIT_BYTES_INITIAL + 1);
        assert_eq!(streams.readable(), None, "nothing was taken");
        assert_eq!(streams.new_credit(), Some(CREDIT_BYTES));
        streams.allow(CREDIT_BYTES);
        assert_eq!(streams.new_credit(), None);
        streams.insert(2, 0, b"a").expect("allowed now");
    }

    proptest! {
        #[test]
        fn any_order_and_any_overlap_gives_the_bytes_in_order(
            parts in prop::collection::vec((0..60_usize, 1..20_usize, any::<bool>()), 1..60),
        ) {
            let whole: Vec<u8> = (0..80).collect();
            let mut streams = ReceiveStreams::new();
            let mut got = Vec::new();
            let closing = (0..80).step_by(16).map(|start| (start, 16, true));
            for (start, length, is_read) in parts.into_iter().chain(closing) {
                streams.insert(5, start as u64, &whole[start..start + length]).expect("allowed");
                if is_read {
                    got.extend(read(&mut streams, 5));
                }
            }
            prop_assert_eq!(got, whole);
        }
    }
}
