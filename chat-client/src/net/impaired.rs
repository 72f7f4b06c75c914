//! A path with faults that somebody asked for, between a connection and its socket.
//!
//! ```text
//!   connection ─ enter(Out) ─▶ faults ─▶ waits until due ─ poll(Out) ─▶ socket
//!   connection ◀─ poll(Back) ─ waits until due ◀─ faults ◀─ enter(Back) ─ socket
//! ```
//!
//! Everything is sealed here: what the faults do, a bad network could do. On a byte stream only
//! those act that leave all bytes in order, and a blackout holds them up.
//!
//! Pure: the time is an argument, counted from the beginning of the connection.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use protocol::{
    entropy::SimRng,
    lab::{
        experiment::Way,
        fault::{Faults, Impairer, Rate},
        order::Wanted,
    },
    time::Timestamp,
    transport::datagram::Codepoint,
};
use tokio::time::Instant;

/// Bytes that may wait in one direction: a second at 32 Mbit/s. A datagram beyond that is lost; a
/// stream waits.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// What a stream is cut into, so that a slow path shows a steady flow.
const PIECE_BYTES: usize = 1_400;

/// What is wanted of all connections of this process.
#[derive(Clone, Debug)]
pub struct Impairment {
    /// What is set.
    pub wanted: Wanted,
    /// When the node was opened.
    pub since: Instant,
    /// Connections so far. Each meets other fates: with those of the first, an unlucky handshake
    /// would fail for ever.
    pub connections: u64,
}

impl Impairment {
    /// Nothing.
    pub fn none() -> Self {
        Self { wanted: Wanted::default(), since: Instant::now(), connections: 0 }
    }

    /// The path of a connection that began then, if there is anything to be done on it.
    pub fn path(&self, kind: Kind, epoch: Instant) -> Option<Impaired> {
        let has_faults = !self.wanted.is_nothing();
        has_faults.then(|| Impaired::new(kind, self.faults_from(epoch), self.seed()))
    }

    /// Changes the path of a connection that began then to what is wanted now.
    pub fn change(&self, path: &mut Option<Impaired>, kind: Kind, epoch: Instant) {
        match path {
            Some(path) => path.set(self.faults_from(epoch), self.seed()),
            None => *path = self.path(kind, epoch),
        }
    }

    fn faults_from(&self, epoch: Instant) -> [Faults; 2] {
        self.wanted.faults_from(epoch.saturating_duration_since(self.since))
    }

    const fn seed(&self) -> u64 {
        self.wanted.seed().wrapping_add(self.connections)
    }
}

/// What a connection sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Datagrams.
    Datagrams,
    /// A stream of bytes.
    Stream,
}

/// The path of one connection.
#[derive(Debug)]
pub struct Impaired {
    kind: Kind,
    seed: u64,
    lanes: [Lane; 2],
}

/// A datagram, or a part of a stream.
#[derive(Debug)]
pub struct Piece {
    /// With which it is sent or came.
    pub codepoint: Codepoint,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Impaired {
    fn new(kind: Kind, ways: [Faults; 2], seed: u64) -> Self {
        let mut path = Self { kind, seed, lanes: [Lane::new(), Lane::new()] };
        path.begin(seed);
        path.set(ways, seed);
        path
    }

    fn begin(&mut self, seed: u64) {
        self.seed = seed;
        let mut seeds = SimRng::new(seed);
        for lane in &mut self.lanes {
            let faults = lane.impairer.faults().clone();
            lane.impairer = Impairer::new(Timestamp::ZERO, faults, seeds.next_u64());
        }
    }

    /// What it does from now on. What is under way is not changed.
    fn set(&mut self, ways: [Faults; 2], seed: u64) {
        if seed != self.seed {
            self.begin(seed);
        }
        for (lane, faults) in self.lanes.iter_mut().zip(ways) {
            lane.set(self.kind, faults);
        }
    }

    /// Takes what is sent, or has come from the socket.
    pub fn enter(&mut self, now: Timestamp, way: Way, codepoint: Codepoint, bytes: &[u8]) {
        let lane = &mut self.lanes[way as usize];
        match self.kind {
            Kind::Datagrams => lane.enter(now, codepoint, bytes),
            Kind::Stream => bytes.chunks(PIECE_BYTES).for_each(|piece| lane.append(now, piece)),
        }
    }

    /// What goes on now.
    pub fn poll(&mut self, now: Timestamp, way: Way) -> Option<Piece> {
        let lane = &mut self.lanes[way as usize];
        let due = lane.waiting.first_entry().filter(|entry| entry.key().0 <= now)?;
        let piece = due.remove();
        lane.waiting_bytes -= piece.bytes.len();
        Some(piece)
    }

    /// When something goes on next.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let first = |lane: &Lane| lane.waiting.first_key_value().map(|((at, _), _)| *at);
        self.lanes.iter().filter_map(first).min()
    }

    /// Bytes that wait in one direction.
    pub const fn waiting_bytes(&self, way: Way) -> usize {
        self.lanes[way as usize].waiting_bytes
    }

    /// Whether so much waits that a stream has to wait before it.
    pub const fn is_full(&self, way: Way) -> bool {
        self.waiting_bytes(way) >= WAITING_BYTES_MAX
    }

    /// Whether it does nothing any more, and nothing waits.
    pub fn is_over(&self) -> bool {
        let is_over = |lane: &Lane| {
            let faults = lane.impairer.faults();
            lane.waiting.is_empty() && lane.stalls.is_empty() && *faults == Faults::default()
        };
        self.lanes.iter().all(is_over)
    }

    /// How many datagrams have entered in one direction, and how many of them were lost.
    pub const fn losses(&self, way: Way) -> (u64, u64) {
        let lane = &self.lanes[way as usize];
        (lane.entered, lane.lost)
    }
}

/// One direction.
#[derive(Debug)]
struct Lane {
    impairer: Impairer,
    /// Of a stream: when it stands still.
    stalls: Vec<Range<Duration>>,
    /// Of a stream: when its last piece goes on.
    last: Timestamp,
    /// By the time when they go on, then in the order in which they came.
    waiting: BTreeMap<(Timestamp, u64), Piece>,
    waiting_bytes: usize,
    arrivals: u64,
    entered: u64,
    lost: u64,
}

impl Lane {
    fn new() -> Self {
        Self {
            impairer: Impairer::new(Timestamp::ZERO, Faults::default(), 0),
            stalls: Vec::new(),
            last: Timestamp::ZERO,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            arrivals: 0,
            entered: 0,
            lost: 0,
        }
    }

    fn set(&mut self, kind: Kind, faults: Faults) {
        let faults = match kind {
            Kind::Datagrams => faults,
            Kind::Stream => {
                let Faults { delay, jitter, rate, blackouts, .. } = faults;
                self.stalls = blackouts;
                // What a queue does not take waits at the sender.
                let rate = rate.map(|rate| Rate { queue_bytes: u64::MAX, ..rate });
                Faults { delay, jitter, rate, ..Faults::default() }
            }
        };
        self.impairer.set_faults(faults);
    }

    fn enter(&mut self, now: Timestamp, codepoint: Codepoint, bytes: &[u8]) {
        self.entered += 1;
        let Ok((first, again)) = self.impairer.pass(now, bytes.len()) else {
            self.lost += 1;
            return;
        };
        if self.waiting_bytes + bytes.len() > WAITING_BYTES_MAX {
            self.lost += 1;
            return;
        }
        for arrival in [Some(first), again].into_iter().flatten() {
            let mut bytes = bytes.to_vec();
            if let Some(bit) = arrival.changed_bit {
                change_bit(&mut bytes, bit);
            }
            self.wait(arrival.at, Piece { codepoint, bytes });
        }
    }

    /// Takes the next piece of a stream.
    fn append(&mut self, now: Timestamp, bytes: &[u8]) {
        let since = now.since(Timestamp::ZERO);
        let stall = self.stalls.iter().find(|stall| stall.contains(&since));
        let enters = stall.map_or(now, |stall| Timestamp::ZERO + stall.end);
        // None of the faults that are left loses anything.
        let at = self.impairer.pass(enters, bytes.len()).map_or(enters, |(first, _)| first.at);
        self.last = self.last.max(at);
        self.wait(self.last, Piece { codepoint: Codepoint::NotCapable, bytes: bytes.to_vec() });
    }

    fn wait(&mut self, until: Timestamp, piece: Piece) {
        self.arrivals += 1;
        self.waiting_bytes += piece.bytes.len();
        self.waiting.insert((until, self.arrivals), piece);
    }
}

/// Changes one bit, counted modulo their number.
fn change_bit(bytes: &mut [u8], bit: u64) {
    let bits = bytes.len() as u64 * 8;
    let Some(bit) = bit.checked_rem(bits) else { return };
    if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|index| bytes.get_mut(index)) {
        *byte ^= 1 << (bit % 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn path(kind: Kind, words: &[(&str, &str)]) -> Impaired {
        Impaired::new(kind, ways(words), 7)
    }

    fn ways(words: &[(&str, &str)]) -> [Faults; 2] {
        let mut faults = Faults::default();
        for (name, value) in words {
            faults.set(name, value).expect("right");
        }
        [faults.clone(), faults]
    }

    fn enter(path: &mut Impaired, millis: u64, bytes: &[u8]) {
        path.enter(at(millis), Way::Out, Codepoint::NotCapable, bytes);
    }

    /// What goes on in one direction, and when, in milliseconds.
    fn all(path: &mut Impaired) -> Vec<(u64, Vec<u8>)> {
        let mut all = Vec::new();
        while let Some(due) = path.poll_timeout() {
            let piece = path.poll(due, Way::Out).expect("it is due");
            all.push((due.as_micros() / 1_000, piece.bytes));
        }
        all
    }

    #[test]
    fn datagrams_are_late_and_nothing_is_early() {
        let mut path = path(Kind::Datagrams, &[("delay", "80ms")]);
        enter(&mut path, 5, b"a");
        assert_eq!(path.poll_timeout(), Some(at(85)));
        assert!(path.poll(at(84), Way::Out).is_none());
        assert!(path.poll(at(85), Way::Back).is_none(), "the other direction");
        assert_eq!(path.poll(at(85), Way::Out).expect("due").bytes, b"a");
        assert_eq!(path.poll_timeout(), None);
    }

    #[test]
    fn datagrams_are_lost_doubled_and_damaged_as_asked_for() {
        let mut lossy = path(Kind::Datagrams, &[("loss", "packets 0,2")]);
        (0..4).for_each(|number| enter(&mut lossy, 0, &[number]));
        assert_eq!(all(&mut lossy), [(0, vec![1]), (0, vec![3])]);
        assert_eq!((lossy.losses(Way::Out), lossy.losses(Way::Back)), ((4, 2), (0, 0)));
        let mut double = path(Kind::Datagrams, &[("duplicate", "100%")]);
        enter(&mut double, 0, b"a");
        assert_eq!(all(&mut double).len(), 2);
        let mut damaged = path(Kind::Datagrams, &[("corrupt", "100%")]);
        enter(&mut damaged, 0, &[0; 100]);
        let bits = all(&mut damaged)[0].1.iter().map(|byte| byte.count_ones()).sum::<u32>();
        assert_eq!(bits, 1);
        enter(&mut damaged, 0, &[]);
    }

    #[test]
    fn a_datagram_beyond_what_may_wait_is_lost() {
        let mut path = path(Kind::Datagrams, &[("delay", "1s")]);
        let datagram = vec![0; WAITING_BYTES_MAX / 4];
        (0..5).for_each(|_| enter(&mut path, 0, &datagram));
        assert_eq!(path.losses(Way::Out), (5, 1));
        assert!(path.is_full(Way::Out) && !path.is_full(Way::Back));
        assert_eq!(all(&mut path).len(), 4);
        assert_eq!(path.waiting_bytes(Way::Out), 0);
    }

    #[test]
    fn the_bytes_of_a_stream_stay_whole_and_in_order_whatever_is_set() {
        let faults = [
            ("profile", "wifi-bad"),
            ("duplicate", "50%"),
            ("corrupt", "50%"),
            ("rate", "1mbit"),
            ("queue", "1"),
            ("mtu", "10"),
        ];
        let mut path = path(Kind::Stream, &faults);
        let sent: Vec<u8> = (0..=u8::MAX).cycle().take(20_000).collect();
        for (index, bytes) in (0..).zip(sent.chunks(3_000)) {
            enter(&mut path, index, bytes);
            // Other seeds and less delay overtake nothing, either.
            path.set(ways(&[("jitter", "5ms")]), index);
        }
        let came = all(&mut path);
        assert!(came.is_sorted_by_key(|(at, _)| *at));
        assert_eq!(came.into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<_>>(), sent);
    }

    #[test]
    fn a_blackout_loses_datagrams_and_holds_up_a_stream() {
        let words = [("blackout", "10ms..20ms"), ("delay", "1ms")];
        let fates = |kind| {
            let mut path = path(kind, &words);
            (0..3).for_each(|number| enter(&mut path, 9 + 6 * number, b"a"));
            all(&mut path).into_iter().map(|(at, _)| at).collect::<Vec<_>>()
        };
        assert_eq!(fates(Kind::Datagrams), [10, 22]);
        assert_eq!(fates(Kind::Stream), [10, 21, 22]);
    }

    #[test]
    fn it_is_over_once_nothing_is_set_and_nothing_waits() {
        let mut path = path(Kind::Datagrams, &[("delay", "80ms")]);
        enter(&mut path, 0, b"a");
        path.set(ways(&[]), 7);
        enter(&mut path, 1, b"b");
        assert!(!path.is_over());
        assert_eq!(all(&mut path), [(80, b"a".to_vec()), (80, b"b".to_vec())]);
        assert!(path.is_over());
    }

    #[test]
    fn every_connection_meets_other_fates_and_a_seed_the_same_ones_again() {
        let fates = |connections, seed| {
            let mut impairment = Impairment { connections, ..Impairment::none() };
            let orders = ["loss 50%".to_owned(), format!("seed {seed}")];
            for order in orders {
                let order = order.parse().expect("right");
                impairment.wanted.follow(&order, Duration::ZERO).expect("right");
            }
            let path = impairment.path(Kind::Datagrams, impairment.since + MS);
            let mut path = path.expect("something is set");
            (0..32).for_each(|number| enter(&mut path, 0, &[number]));
            all(&mut path)
        };
        assert_eq!(fates(1, 42), fates(1, 42));
        assert_ne!(fates(1, 42), fates(2, 42));
        assert_ne!(fates(1, 42), fates(1, 43));
        let none = Impairment::none();
        assert!(none.path(Kind::Datagrams, none.since).is_none(), "no cost while nothing is set");
    }
}
