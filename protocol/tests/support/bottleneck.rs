//! Several senders that share one bottleneck, in virtual time.

use std::time::Duration;

use protocol::{
    lab::{fault::Faults, network::Link},
    time::Timestamp,
    transport::datagram::{Algorithm, Codepoint, Stats, StreamKey, Transport, Trust},
};

/// Number, flow and codepoint, before the content of each packet.
const LABEL_BYTES: usize = 10;
const OVERHEAD_BYTES: usize = 30;
/// IPv4 and UDP.
const IP_BYTES: u64 = 28;
/// Of a message in a conversation.
const MESSAGE_BYTES: usize = 200;

/// What a sender has to send.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Traffic {
    /// As much as it may.
    Bulk,
    /// A message of 200 bytes, so often.
    Chat(Duration),
}

/// What a flow did in some time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    /// Bytes that were delivered.
    pub(crate) delivered: u64,
    /// Bytes of its IP packets, in both directions.
    pub(crate) wire: u64,
    /// Packets that its sender has given up since it began.
    pub(crate) lost: u64,
}

/// One sender with its receiver.
struct Flow {
    traffic: Traffic,
    sender: Transport,
    receiver: Transport,
    /// The way back, which nobody shares.
    back: Link,
    /// When it has something to send next.
    next_write: Timestamp,
    done: Done,
}

/// Everybody behind the bottleneck.
pub(crate) struct Bottleneck {
    now: Timestamp,
    shared: Link,
    /// With more bytes than this in the queue, what takes part in that is marked.
    pub(crate) mark_from: Option<u64>,
    flows: Vec<Flow>,
}

impl Bottleneck {
    pub(crate) fn new(faults: &Faults, seed: u64) -> Self {
        let now = Timestamp::from_micros(1_000_000);
        let shared = Link::new(now, faults.clone(), seed);
        Self { now, shared, mark_from: None, flows: Vec::new() }
    }

    /// Adds a flow that begins after so long.
    pub(crate) fn add(&mut self, traffic: Traffic, algorithm: Algorithm, after: Duration) {
        let faults = self.shared.faults();
        let round_trip = Some(faults.delay * 2);
        let back = Faults { rate: None, ..faults.clone() };
        let side = || Transport::new(self.now, algorithm, round_trip, Trust::Known, OVERHEAD_BYTES);
        let seed = 1_000 + self.flows.len() as u64;
        self.flows.push(Flow {
            traffic,
            sender: side(),
            receiver: side(),
            back: Link::new(self.now, back, seed),
            next_write: self.now + after,
            done: Done::default(),
        });
    }

    /// What each flow does in the next `time`.
    pub(crate) fn run(&mut self, time: Duration) -> Vec<Done> {
        let until = self.now + time;
        for flow in &mut self.flows {
            flow.done = Done::default();
        }
        while self.now < until {
            self.step(until);
        }
        let lost = |stats: &Stats| stats.lost_by_order + stats.lost_by_time;
        self.flows.iter().map(|it| Done { lost: lost(it.sender.stats()), ..it.done }).collect()
    }

    fn step(&mut self, until: Timestamp) {
        let now = self.now;
        while let Some(datagram) = self.shared.receive(now) {
            self.flows[usize::from(datagram[8])].deliver(now, &datagram);
        }
        let mut deadlines = vec![until];
        for (at, flow) in (0..).zip(&mut self.flows) {
            while let Some(datagram) = flow.back.receive(now) {
                take(&mut flow.sender, now, &datagram);
            }
            flow.write(now);
            for (side, link) in
                [(&mut flow.sender, &mut self.shared), (&mut flow.receiver, &mut flow.back)]
            {
                if side.poll_timeout().is_some_and(|due| due <= now) {
                    side.handle_timeout(now);
                }
                flow.done.wire += send(side, now, at, link, self.mark_from);
                deadlines.extend(side.poll_timeout());
            }
            deadlines.extend(flow.back.next_arrival());
            if flow.next_write > now {
                deadlines.push(flow.next_write);
            }
        }
        deadlines.extend(self.shared.next_arrival());
        let next = deadlines.into_iter().min().unwrap_or(until);
        // A better estimate can put a deadline into the past.
        self.now = next.max(now + Duration::from_micros(1));
    }
}

impl Flow {
    fn deliver(&mut self, now: Timestamp, datagram: &[u8]) {
        take(&mut self.receiver, now, datagram);
        while let Some(stream) = self.receiver.readable() {
            let bytes = self.receiver.peek(stream).len();
            self.receiver.consume(stream, bytes);
            self.done.delivered += bytes as u64;
        }
    }

    fn write(&mut self, now: Timestamp) {
        while self.next_write <= now && self.sender.has_room() {
            self.sender.write(StreamKey::Live([1; 16]), &[0; MESSAGE_BYTES]);
            if let Traffic::Chat(every) = self.traffic {
                self.next_write = self.next_write + every;
            }
        }
    }
}

fn take(side: &mut Transport, now: Timestamp, datagram: &[u8]) {
    let (number, rest) = datagram.split_first_chunk().expect("whole");
    let content = &rest[2..rest.len() - (OVERHEAD_BYTES - LABEL_BYTES)];
    let codepoint = Codepoint::from_bits(rest[1]);
    side.handle_packet(now, u64::from_be_bytes(*number), codepoint, content).expect("honest");
}

/// Bytes of the IP packets.
fn send(
    side: &mut Transport,
    now: Timestamp,
    flow: u8,
    link: &mut Link,
    mark_from: Option<u64>,
) -> u64 {
    let mut content = Vec::new();
    let mut bytes = 0;
    while let Some(number) = side.poll_packet(now, &mut content) {
        let mut datagram = number.to_be_bytes().to_vec();
        let codepoint = match side.codepoint() {
            Codepoint::Capable if mark_from.is_some_and(|bytes| link.queued_bytes(now) > bytes) => {
                Codepoint::Congested
            }
            codepoint => codepoint,
        };
        datagram.extend([flow, codepoint.bits()]);
        datagram.append(&mut content);
        datagram.resize(datagram.len() + OVERHEAD_BYTES - LABEL_BYTES, 0);
        bytes += datagram.len() as u64 + IP_BYTES;
        link.send(now, &datagram);
    }
    bytes
}
