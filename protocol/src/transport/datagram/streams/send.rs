//! The sending half: bytes that wait, bytes that are under way, and which of them are lost.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

use super::{Part, StreamKey};
use crate::transport::datagram::{
    frame::{self, Frame, STREAM_HEADER_BYTES_MAX, STREAMS},
    range_set::RangeSet,
    sent::Reason,
    tuning::CREDIT_BYTES_INITIAL,
};

/// All streams of our direction.
#[derive(Clone, Debug)]
pub(in crate::transport::datagram) struct SendStreams {
    /// By number, up to the largest ever used.
    streams: Vec<SendStream>,
    /// Which stream somebody has while not all of theirs is acknowledged.
    assigned: BTreeMap<StreamKey, u8>,
    /// Streams with bytes that were never sent, the next first, by class.
    ready: [VecDeque<u8>; 3],
    /// What was lost and has to be sent again, the oldest loss first.
    lost: VecDeque<Part>,
    /// Bytes that were written and are not acknowledged.
    unacked: usize,
    /// Bytes sent for the first time, and how many of them the peer allows.
    sent: u64,
    credit: u64,
}

#[derive(Clone, Debug, Default)]
struct SendStream {
    /// Bytes from `acked_below` up to `written`.
    buffer: VecDeque<u8>,
    acked_below: u64,
    /// Everything below was sent once.
    sent: u64,
    /// What is acknowledged above `acked_below`.
    acked: RangeSet,
    /// The newest packet with the part that begins here, if it was sent more than once.
    newest: BTreeMap<u64, u64>,
    is_ready: bool,
}

impl SendStream {
    fn written(&self) -> u64 {
        self.acked_below + self.buffer.len() as u64
    }

    fn is_quiet(&self) -> bool {
        self.buffer.is_empty()
    }
}

impl SendStreams {
    pub(in crate::transport::datagram) fn new() -> Self {
        Self {
            streams: Vec::new(),
            assigned: BTreeMap::new(),
            ready: Default::default(),
            lost: VecDeque::new(),
            unacked: 0,
            sent: 0,
            credit: CREDIT_BYTES_INITIAL,
        }
    }

    /// Appends bytes to the stream of `key`: its number, and their offsets.
    pub(in crate::transport::datagram) fn write(
        &mut self,
        key: StreamKey,
        bytes: &[u8],
    ) -> (u8, Range<u64>) {
        let number = self.assign(key);
        let stream = &mut self.streams[usize::from(number)];
        let start = stream.written();
        if bytes.is_empty() {
            return (number, start..start);
        }
        stream.buffer.extend(bytes);
        self.unacked += bytes.len();
        if !stream.is_ready {
            stream.is_ready = true;
            self.ready[class(key)].push_back(number);
        }
        (number, start..start + bytes.len() as u64)
    }

    fn assign(&mut self, key: StreamKey) -> u8 {
        let order = match key {
            StreamKey::Session => [0; 16],
            StreamKey::Live(order) | StreamKey::History(order) => order,
        };
        let number = match (key, self.assigned.get(&key)) {
            (StreamKey::Session, _) => 0,
            (_, Some(known)) => *known,
            (_, None) => {
                let is_free = |number: &u8| {
                    self.streams.get(usize::from(*number)).is_none_or(SendStream::is_quiet)
                };
                // With everything busy, two conversations share one.
                let shared = 1 + order[0] % (STREAMS - 1);
                (1..STREAMS).find(is_free).unwrap_or(shared)
            }
        };
        self.assigned.insert(key, number);
        let needed = usize::from(number) + 1;
        if self.streams.len() < needed {
            self.streams.resize_with(needed, SendStream::default);
        }
        number
    }

    /// Gives memory back that it does not need now.
    pub(in crate::transport::datagram) fn rest(&mut self) {
        self.streams.shrink_to_fit();
        self.lost.shrink_to_fit();
        for ready in &mut self.ready {
            ready.shrink_to_fit();
        }
        for stream in &mut self.streams {
            stream.acked.rest();
        }
    }

    /// The peer allows so many bytes in all.
    pub(in crate::transport::datagram) fn allow(&mut self, credit: u64) {
        self.credit = self.credit.max(credit);
    }

    /// Bytes that were written and are not acknowledged.
    pub(in crate::transport::datagram) const fn unacked(&self) -> usize {
        self.unacked
    }

    /// About how many bytes wait to be sent, for the first time or again: at least that many.
    pub(in crate::transport::datagram) fn waiting(&self) -> u64 {
        let lost = self.lost.iter().map(|part| part.end - part.start);
        let ready = self.ready.iter().flatten().map(|number| {
            let stream = &self.streams[usize::from(*number)];
            stream.written() - stream.sent
        });
        lost.chain(ready).sum()
    }

    /// Whether anything could be sent that was never sent.
    pub(in crate::transport::datagram) fn has_new(&self) -> bool {
        self.sent < self.credit && self.ready.iter().any(|streams| !streams.is_empty())
    }

    /// Whether anything lost waits to be sent again.
    pub(in crate::transport::datagram) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Appends a frame with bytes that were never sent, of at most `room` bytes. `None` if there
    /// are none, or no room for any.
    pub(in crate::transport::datagram) fn put_new(
        &mut self,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Option<Part> {
        let allowed = usize::try_from(self.credit - self.sent).unwrap_or(usize::MAX);
        let room = room.checked_sub(STREAM_HEADER_BYTES_MAX)?.min(allowed);
        if room == 0 {
            return None;
        }
        let class = self.ready.iter().position(|streams| !streams.is_empty())?;
        let number = self.ready[class].pop_front()?;
        let stream = &mut self.streams[usize::from(number)];
        let start = stream.sent;
        let end = stream.written().min(start + room as u64);
        let part = Part { stream: number, start, end, tries: 0, reason: Reason::First };
        stream.sent = end;
        self.sent += end - start;
        stream.put(out, &part);
        stream.is_ready = end < stream.written();
        if stream.is_ready {
            self.ready[class].push_back(number);
        }
        Some(Part { tries: 1, ..part })
    }

    /// Appends a frame with bytes that were lost, of at most `room` bytes.
    pub(in crate::transport::datagram) fn put_lost(
        &mut self,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Option<Part> {
        loop {
            let part = *self.lost.front()?;
            let stream = &self.streams[usize::from(part.stream)];
            // What was acknowledged meanwhile is not lost any more.
            let Some(first) = stream.missing(&part).next() else {
                self.lost.pop_front();
                continue;
            };
            let room = room.checked_sub(STREAM_HEADER_BYTES_MAX).filter(|room| *room > 0)?;
            let end = first.end.min(first.start + room as u64);
            let sent = Part { start: first.start, end, ..part };
            stream.put(out, &sent);
            if end < part.end {
                self.lost[0].start = end;
            } else {
                self.lost.pop_front();
            }
            return Some(Part { tries: part.tries.saturating_add(1), ..sent });
        }
    }

    /// Appends what is still missing of a part that was sent just before, as one more copy of it.
    /// `None` if all of it was acknowledged, or there is no room.
    pub(in crate::transport::datagram) fn put_copy(
        &self,
        out: &mut Vec<u8>,
        room: usize,
        part: &Part,
    ) -> Option<Part> {
        let stream = &self.streams[usize::from(part.stream)];
        let missing = stream.missing(part).next()?;
        let copy = Part { start: missing.start, end: missing.end, reason: Reason::Copy, ..*part };
        let bytes = usize::try_from(copy.end - copy.start).unwrap_or(usize::MAX);
        room.checked_sub(STREAM_HEADER_BYTES_MAX).filter(|room| *room >= bytes)?;
        stream.put(out, &copy);
        Some(copy)
    }

    /// Whether what was sent after a part waits for it at the peer.
    pub(in crate::transport::datagram) fn holds_back(&self, part: &Part) -> bool {
        self.streams[usize::from(part.stream)].sent > part.end
    }

    /// A part that was sent before is in this packet now.
    pub(in crate::transport::datagram) fn note_sent_again(&mut self, part: &Part, packet: u64) {
        self.streams[usize::from(part.stream)].newest.insert(part.start, packet);
    }

    /// A part arrived. True if that was news.
    pub(in crate::transport::datagram) fn on_acked(&mut self, part: &Part) -> bool {
        let stream = &mut self.streams[usize::from(part.stream)];
        let start = part.start.max(stream.acked_below);
        if start >= part.end || !stream.acked.insert(start..part.end) {
            return false;
        }
        if let Some(first) = stream.acked.first().filter(|first| first.start == stream.acked_below)
        {
            let end = first.end;
            let bytes = usize::try_from(end - stream.acked_below).expect("it was in the buffer");
            stream.buffer.drain(..bytes);
            self.unacked -= bytes;
            stream.acked_below = end;
            stream.acked.remove_below(end);
            stream.newest = stream.newest.split_off(&end);
        }
        if stream.is_quiet() {
            // Its memory goes too: most streams are quiet most of the time.
            stream.buffer = VecDeque::new();
            let number = part.stream;
            self.assigned.retain(|_, assigned| *assigned != number);
        }
        true
    }

    /// A packet with this part is lost, or nothing was heard of it for too long. It is sent again
    /// unless it arrived otherwise, or a newer packet carries it. True if it is.
    pub(in crate::transport::datagram) fn on_lost(
        &mut self,
        part: &Part,
        packet: u64,
        reason: Reason,
    ) -> bool {
        let stream = &self.streams[usize::from(part.stream)];
        let is_newest = stream.newest.get(&part.start).is_none_or(|newest| *newest <= packet);
        let is_missing = stream.missing(part).next().is_some();
        let is_waiting = self.lost.iter().any(|waiting| {
            waiting.stream == part.stream && waiting.start <= part.start && part.end <= waiting.end
        });
        let is_lost = is_newest && is_missing && !is_waiting;
        if is_lost {
            self.lost.push_back(Part { reason, ..*part });
        }
        is_lost
    }
}

impl SendStream {
    /// What of a part is not acknowledged.
    fn missing(&self, part: &Part) -> impl Iterator<Item = Range<u64>> + '_ {
        self.acked.missing(part.start.max(self.acked_below)..part.end)
    }

    fn put(&self, out: &mut Vec<u8>, part: &Part) {
        let at = |place: u64| {
            usize::try_from(place - self.acked_below).expect("what is sent is in the buffer")
        };
        let (from, to) = (at(part.start), at(part.end));
        let (front, back) = self.buffer.as_slices();
        let data = if to <= front.len() {
            &front[from..to]
        } else if from >= front.len() {
            &back[from - front.len()..to - front.len()]
        } else {
            &self.buffer.range(from..to).copied().collect::<Vec<u8>>()
        };
        frame::put(out, &Frame::Stream { stream: part.stream, offset: part.start, data });
    }
}

const fn class(key: StreamKey) -> usize {
    match key {
        StreamKey::Session => 0,
        StreamKey::Live(_) => 1,
        StreamKey::History(_) => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::datagram::frame::Frames;

    const A: StreamKey = StreamKey::Live([1; 16]);
    const B: StreamKey = StreamKey::Live([2; 16]);
    const OLD: StreamKey = StreamKey::History([1; 16]);

    fn streams() -> SendStreams {
        SendStreams::new()
    }

    /// What the next frame of a kind holds: its stream, offset and bytes.
    fn sent(out: &[u8]) -> (u8, u64, String) {
        match Frames::new(out).next() {
            Some(Ok(Frame::Stream { stream, offset, data })) => {
                (stream, offset, String::from_utf8_lossy(data).into_owned())
            }
            other => panic!("{other:?}"),
        }
    }

    fn next(streams: &mut SendStreams, room: usize) -> Option<(Part, (u8, u64, String))> {
        let mut out = Vec::new();
        let part = streams.put_new(&mut out, room)?;
        Some((part, sent(&out)))
    }

    fn again(streams: &mut SendStreams) -> Option<(Part, (u8, u64, String))> {
        let mut out = Vec::new();
        let part = streams.put_lost(&mut out, 1_000)?;
        Some((part, sent(&out)))
    }

    #[test]
    fn the_session_goes_first_conversations_take_turns_and_history_is_last() {
        let mut streams = streams();
        for (key, bytes) in [(OLD, "old"), (A, "aaaa"), (B, "bb"), (StreamKey::Session, "s")] {
            streams.write(key, bytes.as_bytes());
        }
        let room = STREAM_HEADER_BYTES_MAX + 2;
        let order: Vec<String> =
            std::iter::from_fn(|| next(&mut streams, room)).map(|(_, (_, _, data))| data).collect();
        assert_eq!(order, ["s", "aa", "bb", "aa", "ol", "d"]);
    }

    #[test]
    fn a_stream_is_free_again_once_all_of_it_arrived() {
        let mut streams = streams();
        streams.write(A, b"one");
        streams.write(B, b"two");
        let (a, (number, ..)) = next(&mut streams, 100).expect("a's");
        assert_eq!(number, 1);
        let (_, (number, ..)) = next(&mut streams, 100).expect("b's");
        assert_eq!(number, 2);
        streams.write(A, b"more");
        let (more, (number, offset, _)) = next(&mut streams, 100).expect("a's");
        assert_eq!((number, offset), (1, 3), "as long as anything is under way, it stays there");
        assert!(streams.on_acked(&more) && streams.on_acked(&a) && !streams.on_acked(&a));
        streams.write(StreamKey::Live([3; 16]), b"three");
        let (_, (number, offset, _)) = next(&mut streams, 100).expect("another's");
        assert_eq!((number, offset), (1, 7));
    }

    #[test]
    fn with_every_stream_busy_two_conversations_share_one() {
        let mut streams = streams();
        for order in 0..STREAMS {
            streams.write(StreamKey::Live([order; 16]), b"x");
        }
        let numbers: Vec<u8> =
            std::iter::from_fn(|| next(&mut streams, 100)).map(|(part, _)| part.stream).collect();
        assert_eq!(numbers.len(), usize::from(STREAMS) - 1, "two letters are in one frame");
        assert!(numbers.iter().all(|number| (1..STREAMS).contains(number)));
    }

    #[test]
    fn what_is_lost_is_sent_again_but_only_once_and_not_what_arrived() {
        let mut streams = streams();
        streams.write(A, b"abcdef");
        let room = STREAM_HEADER_BYTES_MAX + 3;
        let (abc, _) = next(&mut streams, room).expect("sent");
        let (def, _) = next(&mut streams, room).expect("sent");
        assert!(streams.on_lost(&abc, 0, Reason::Time));
        assert!(!streams.on_lost(&abc, 0, Reason::Time), "it waits already");
        let (abc2, (_, offset, data)) = again(&mut streams).expect("sent again");
        assert_eq!((offset, data.as_str(), abc2.tries), (0, "abc", 2));
        streams.note_sent_again(&abc2, 2);
        assert!(!streams.on_lost(&abc, 0, Reason::Time), "packet 2 answers for it now");
        assert!(streams.on_lost(&abc2, 2, Reason::Time));
        assert!(streams.on_lost(&def, 1, Reason::Time));
        streams.on_acked(&abc);
        let (_, (_, offset, data)) = again(&mut streams).expect("sent again");
        assert_eq!((offset, data.as_str()), (3, "def"));
        assert_eq!(again(&mut streams), None);
        assert_eq!(streams.unacked(), 3);
    }

    #[test]
    fn nothing_new_is_sent_beyond_the_credit_and_old_bytes_need_none() {
        let mut streams = streams();
        let bytes = vec![b'x'; usize::try_from(CREDIT_BYTES_INITIAL).expect("small") + 10];
        streams.write(A, &bytes);
        let (all, _) = next(&mut streams, 1 << 20).expect("sent");
        assert_eq!(all.end, CREDIT_BYTES_INITIAL);
        assert!(!streams.has_new() && next(&mut streams, 1_000).is_none());
        assert!(streams.on_lost(&all, 0, Reason::Time));
        assert!(again(&mut streams).is_some());
        streams.allow(CREDIT_BYTES_INITIAL + 4);
        streams.allow(3);
        let (rest, _) = next(&mut streams, 1_000).expect("sent");
        assert_eq!(rest.end - rest.start, 4, "credit is never withdrawn");
    }
}
