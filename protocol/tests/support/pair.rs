//! Two sides of the datagram transport on a path with faults, in virtual time. Whatever is read is
//! compared with what was written, byte by byte.

#[allow(dead_code, reason = "the benchmark believes what it hears")]
pub(crate) mod falsify;

use std::{collections::VecDeque, time::Duration};

use protocol::{
    lab::{fault::Faults, network::Link},
    time::Timestamp,
    transport::datagram::{Algorithm, Codepoint, StreamKey, Transport, Trust},
};

use self::falsify::Falsifier;

/// Kind, connection id towards the relay, flags, number, tag: of the client, and of the relay.
const OVERHEAD_BYTES: [usize; 2] = [30, 22];
/// IPv4 and UDP.
const IP_BYTES: u64 = 28;

/// A side with what the other should have heard from it.
pub(crate) struct End {
    pub(crate) transport: Transport,
    /// By conversation: bytes written and not read at the other side yet.
    expected: Vec<VecDeque<u8>>,
    /// By conversation: places where a message ends, and when it was written.
    ends: Vec<VecDeque<(u64, Timestamp)>>,
    written: Vec<u64>,
    pub(crate) read: Vec<u64>,
    latencies: Vec<Duration>,
}

/// Both sides and the path between them.
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) ends: [End; 2],
    /// From the first to the second, and back.
    pub(crate) links: [Link; 2],
    pub(crate) packets: u64,
    /// What either side hears goes through these first.
    pub(crate) falsifiers: [Option<Falsifier>; 2],
}

fn key(conversation: usize) -> StreamKey {
    StreamKey::Live([u8::try_from(conversation).expect("few") + 1; 16])
}

impl World {
    pub(crate) fn new(
        faults: &Faults,
        algorithm: Algorithm,
        seed: u64,
        conversations: usize,
    ) -> Self {
        let now = Timestamp::from_micros(1_000_000);
        let round_trip = (faults.delay * 2).max(Duration::from_millis(1));
        let end = |overhead| End {
            transport: Transport::new(now, algorithm, Some(round_trip), Trust::Known, overhead),
            expected: vec![VecDeque::new(); conversations],
            ends: vec![VecDeque::new(); conversations],
            written: vec![0; conversations],
            read: vec![0; conversations],
            latencies: Vec::new(),
        };
        let link = |seed| Link::new(now, faults.clone(), seed);
        Self {
            now,
            ends: OVERHEAD_BYTES.map(end),
            links: [link(seed * 2), link(seed * 2 + 1)],
            packets: 0,
            falsifiers: [const { None }; 2],
        }
    }

    pub(crate) fn write(&mut self, side: usize, conversation: usize, bytes: &[u8]) {
        let end = &mut self.ends[side];
        // So that a reader can tell whose they are, wherever they come out.
        let tag = u8::try_from(conversation).expect("few");
        let tagged: Vec<u8> = bytes.iter().map(|byte| byte & 0xf8 | tag).collect();
        end.transport.write(key(conversation), &tagged);
        end.expected[conversation].extend(&tagged);
        end.written[conversation] += bytes.len() as u64;
        end.ends[conversation].push_back((end.written[conversation], self.now));
        self.flush(side);
    }

    fn flush(&mut self, side: usize) {
        let mut packet = Vec::new();
        let (before, window) = self.ends[side].transport.window();
        while let Some(number) = self.ends[side].transport.poll_packet(self.now, &mut packet) {
            self.packets += 1;
            let mut datagram = number.to_be_bytes().to_vec();
            // What an AEAD would notice: nothing that was changed gets through.
            let sum = checksum(&packet, number);
            datagram.extend(sum.to_be_bytes());
            datagram.append(&mut packet);
            datagram.resize(datagram.len() + OVERHEAD_BYTES[side] - 16, 0);
            self.links[side].send(self.now, &datagram);
        }
        // One probe may exceed the window, which may have shrunk below what was under way.
        let (in_flight, _) = self.ends[side].transport.window();
        let allowed = window.max(before) + 1_500;
        assert!(in_flight <= allowed, "{in_flight} bytes under way, {allowed} allowed");
    }

    fn receive(&mut self, side: usize) {
        while let Some(datagram) = self.links[1 - side].receive(self.now) {
            let (number, rest) = datagram.split_first_chunk().expect("whole");
            let (sum, rest) = rest.split_first_chunk().expect("whole");
            let number = u64::from_be_bytes(*number);
            let content = &rest[..rest.len() - (OVERHEAD_BYTES[1 - side] - 16)];
            if checksum(content, number) != u64::from_be_bytes(*sum) {
                continue;
            }
            let (number, content) = match &mut self.falsifiers[side] {
                Some(falsifier) => (falsifier.number(number), falsifier.content(content)),
                None => (number, content.to_vec()),
            };
            let transport = &mut self.ends[side].transport;
            transport
                .handle_packet(self.now, number, Codepoint::NotCapable, &content)
                .expect("an honest peer");
            self.read(side);
        }
        self.flush(side);
    }

    fn read(&mut self, side: usize) {
        while let Some(stream) = self.ends[side].transport.readable() {
            let bytes = self.ends[side].transport.peek(stream).to_vec();
            self.ends[side].transport.consume(stream, bytes.len());
            let writer = &mut self.ends[1 - side];
            for byte in &bytes {
                let conversation = usize::from(byte & 7);
                let expected = writer.expected[conversation].pop_front();
                assert_eq!(expected, Some(*byte), "in conversation {conversation}");
                writer.read[conversation] += 1;
                let read = writer.read[conversation];
                let ends = &mut writer.ends[conversation];
                while ends.front().is_some_and(|(end, _)| *end <= read) {
                    let Some((_, at)) = ends.pop_front() else { break };
                    writer.latencies.push(self.now.since(at));
                }
            }
        }
    }

    /// Lets everything happen up to `until`.
    pub(crate) fn run_until(&mut self, until: Timestamp) {
        let mut idle = 0;
        loop {
            for side in 0..2 {
                self.receive(side);
            }
            let deadlines = self.ends.iter().filter_map(|end| end.transport.poll_timeout());
            let arrivals = self.links.iter().filter_map(Link::next_arrival);
            let Some(next) = deadlines.chain(arrivals).min().filter(|next| *next <= until) else {
                break;
            };
            // A better estimate can put a deadline into the past, but not for ever.
            idle = if next > self.now { 0 } else { idle + 1 };
            assert!(idle < 100, "time stands still: {:#?}", self.ends[0].transport);
            self.now = self.now.max(next);
            for side in 0..2 {
                if self.ends[side].transport.poll_timeout().is_some_and(|due| due <= self.now) {
                    self.ends[side].transport.handle_timeout(self.now);
                }
                self.flush(side);
            }
        }
        self.now = self.now.max(until);
    }

    pub(crate) fn is_finished(&self) -> bool {
        let is_read = |end: &End| end.expected.iter().all(VecDeque::is_empty);
        self.ends.iter().all(|end| is_read(end) && end.transport.is_flushed())
    }

    /// How long messages of a side took, the shortest first.
    pub(crate) fn latencies(&self, side: usize) -> Vec<Duration> {
        let mut sorted = self.ends[side].latencies.clone();
        sorted.sort();
        sorted
    }

    /// Bytes of all IP packets of both sides.
    pub(crate) fn wire_bytes(&self) -> u64 {
        self.links.iter().map(Link::sent_bytes).sum::<u64>() + self.packets * IP_BYTES
    }
}

fn checksum(content: &[u8], number: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ number;
    content.iter().fold(start, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
