//! What happens to each datagram, and when it leaves: all of the proxy for datagrams but its sockets.
//!
//! [`Peers::handle_datagram`] for what came in, then [`Peers::poll_departure`] until it gives nothing,
//! then wait for more or for [`Peers::poll_timeout`].

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use protocol::{
    lab::fault::{Arrival, Impairer},
    time::Timestamp,
};

use super::{Settings, Totals, ways_of};

/// Programs that may use the proxy at once: each needs a socket, and a process has 1,024 files unless
/// told otherwise.
const PEERS_MAX: usize = 512;
/// A peer is forgotten when nothing came from or for it for so long. Translators of addresses may not
/// do so before two minutes (RFC 4787, REQ-5), and programs count on that.
const IDLE: Duration = Duration::from_secs(120);
/// How often idle peers are looked for.
const SWEEP: Duration = Duration::from_secs(10);
/// Datagrams held at once.
const HELD_DATAGRAMS_MAX: usize = 65_536;
/// Their bytes: half a second at a gigabit.
const HELD_BYTES_MAX: usize = 64 << 20;

/// The peers, and what waits for its time.
#[derive(Debug)]
pub(super) struct Peers {
    seed: u64,
    settings: Settings,
    known: BTreeMap<SocketAddr, Peer>,
    /// How many there were: the next one's fates follow from it.
    ever: u64,
    /// By the time when it leaves, then as it came.
    waiting: BTreeMap<(Timestamp, u64), Departure>,
    entered: u64,
    held_bytes: usize,
    sweep_at: Timestamp,
}

#[derive(Debug)]
struct Peer {
    ways: [Impairer; 2],
    /// Datagrams so far, and one more than the newest that has left.
    entered: [u64; 2],
    left: [u64; 2],
    heard_at: Timestamp,
    held: usize,
}

/// A datagram that leaves now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Departure {
    pub(super) peer: SocketAddr,
    pub(super) way: usize,
    pub(super) bytes: Vec<u8>,
    /// Its number among those of its peer and direction, from 0.
    number: u64,
    is_copy: bool,
    is_damaged: bool,
}

impl Peers {
    pub(super) fn new(now: Timestamp, seed: u64, settings: Settings) -> Self {
        Self {
            seed,
            settings,
            known: BTreeMap::new(),
            ever: 0,
            waiting: BTreeMap::new(),
            entered: 0,
            held_bytes: 0,
            sweep_at: now + SWEEP,
        }
    }

    /// What happens to datagrams from now on. Those that wait leave when they were to.
    pub(super) fn set(&mut self, settings: Settings) {
        let faults = settings.effective();
        for peer in self.known.values_mut() {
            for (way, faults) in peer.ways.iter_mut().zip(&faults) {
                way.set_faults(faults.clone());
            }
        }
        self.settings = settings;
    }

    /// Whether somebody is known.
    pub(super) fn knows(&self, peer: SocketAddr) -> bool {
        self.known.contains_key(&peer)
    }

    /// Whether there is room for somebody who is not.
    pub(super) fn has_room(&self) -> bool {
        self.known.len() < PEERS_MAX
    }

    /// Gets to know a peer.
    pub(super) fn admit(&mut self, now: Timestamp, peer: SocketAddr, totals: &mut Totals) {
        let ways = ways_of(&self.settings, self.seed, self.ever);
        let (entered, left) = ([0; 2], [0; 2]);
        self.known.insert(peer, Peer { ways, entered, left, heard_at: now, held: 0 });
        self.ever += 1;
        totals.peers = self.known.len() as u64;
        totals.peers_ever += 1;
    }

    /// Decides about a datagram from a known peer, or for it.
    pub(super) fn handle_datagram(
        &mut self,
        now: Timestamp,
        way: usize,
        address: SocketAddr,
        bytes: &[u8],
        totals: &mut Totals,
    ) {
        let Some(peer) = self.known.get_mut(&address) else { return };
        peer.heard_at = now;
        let number = peer.entered[way];
        peer.entered[way] += 1;
        let counters = totals.way(way);
        counters.datagrams += 1;
        counters.bytes += bytes.len() as u64;
        let (first, again) = match peer.ways[way].pass(now, bytes.len()) {
            Ok(arrivals) => arrivals,
            Err(why) => return counters.count_drop(why),
        };
        for (arrival, is_copy) in [(Some(first), false), (again, true)] {
            let Some(arrival) = arrival else { continue };
            self.hold(address, way, number, bytes, arrival, is_copy, totals);
        }
    }

    /// The next datagram that leaves.
    pub(super) fn poll_departure(
        &mut self,
        now: Timestamp,
        totals: &mut Totals,
    ) -> Option<Departure> {
        let entry = self.waiting.first_entry().filter(|entry| entry.key().0 <= now)?;
        let departure = entry.remove();
        let Departure { peer, way, ref bytes, number, is_copy, is_damaged } = departure;
        self.held_bytes -= bytes.len();
        let counters = totals.way(way);
        counters.held_bytes = counters.held_bytes.saturating_sub(bytes.len() as u64);
        counters.passed_bytes += bytes.len() as u64;
        counters.corrupted += u64::from(is_damaged);
        let peer = self.known.get_mut(&peer).expect("who waits for something is not forgotten");
        peer.held -= 1;
        if is_copy {
            counters.duplicated += 1;
        } else {
            counters.passed += 1;
            counters.reordered += u64::from(number < peer.left[way]);
            peer.left[way] = peer.left[way].max(number + 1);
        }
        Some(departure)
    }

    /// A peer that is forgotten now.
    pub(super) fn poll_forgotten(
        &mut self,
        now: Timestamp,
        totals: &mut Totals,
    ) -> Option<SocketAddr> {
        if now < self.sweep_at {
            return None;
        }
        let is_idle = |peer: &Peer| peer.held == 0 && now.since(peer.heard_at) >= IDLE;
        let idle = self.known.iter().find(|(_, peer)| is_idle(peer)).map(|(address, _)| *address);
        match idle {
            Some(address) => drop(self.known.remove(&address)),
            None => self.sweep_at = now + SWEEP,
        }
        totals.peers = self.known.len() as u64;
        idle
    }

    /// When something happens next without anything coming in.
    pub(super) fn poll_timeout(&self) -> Timestamp {
        let leaves = self.waiting.first_key_value().map(|((at, _), _)| *at);
        leaves.map_or(self.sweep_at, |leaves| leaves.min(self.sweep_at))
    }

    #[expect(clippy::too_many_arguments, reason = "all of them are what a departure is made of")]
    fn hold(
        &mut self,
        address: SocketAddr,
        way: usize,
        number: u64,
        bytes: &[u8],
        arrival: Arrival,
        is_copy: bool,
        totals: &mut Totals,
    ) {
        let counters = totals.way(way);
        let is_full = self.waiting.len() >= HELD_DATAGRAMS_MAX
            || self.held_bytes + bytes.len() > HELD_BYTES_MAX;
        if is_full {
            counters.overflow += 1;
            return;
        }
        let mut bytes = bytes.to_vec();
        arrival.damage(&mut bytes);
        self.held_bytes += bytes.len();
        counters.held_bytes += bytes.len() as u64;
        if let Some(peer) = self.known.get_mut(&address) {
            peer.held += 1;
        }
        let is_damaged = arrival.changed_bit.is_some();
        let departure = Departure { peer: address, way, bytes, number, is_copy, is_damaged };
        self.waiting.insert((arrival.at, self.entered), departure);
        self.entered += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{BACK, OUT},
        *,
    };

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn peer(number: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], number))
    }

    struct Bench {
        peers: Peers,
        totals: Totals,
    }

    impl Bench {
        fn new(words: &[&str]) -> Self {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let settings = Settings::new(None, &words, &[]).expect("these words are right");
            Self { peers: Peers::new(at(0), 7, settings), totals: Totals::default() }
        }

        fn enter(&mut self, millis: u64, way: usize, address: SocketAddr, bytes: &[u8]) {
            if !self.peers.knows(address) {
                self.peers.admit(at(millis), address, &mut self.totals);
            }
            self.peers.handle_datagram(at(millis), way, address, bytes, &mut self.totals);
        }

        fn leave(&mut self, millis: u64) -> Vec<Vec<u8>> {
            let next = || self.peers.poll_departure(at(millis), &mut self.totals);
            std::iter::from_fn(next).map(|departure| departure.bytes).collect()
        }

        /// Which of 200 datagrams of a peer leave.
        fn fates(&mut self, address: SocketAddr) -> Vec<u8> {
            (0..200).for_each(|number| self.enter(0, OUT, address, &[number]));
            self.leave(0).concat()
        }
    }

    #[test]
    fn without_faults_a_datagram_leaves_at_once() {
        let mut bench = Bench::new(&[]);
        bench.enter(5, OUT, peer(1), b"there");
        bench.enter(5, BACK, peer(1), b"");
        assert_eq!(bench.leave(5), [b"there".to_vec(), Vec::new()]);
        assert_eq!((bench.totals.ways.out.passed, bench.totals.ways.back.passed), (1, 1));
        assert_eq!(bench.totals.ways.out.held_bytes, 0);
    }

    #[test]
    fn what_is_delayed_leaves_when_its_time_has_come_and_not_before() {
        let mut bench = Bench::new(&["delay 30ms"]);
        bench.enter(0, OUT, peer(1), b"a");
        bench.enter(10, OUT, peer(1), b"b");
        assert_eq!((bench.leave(29), bench.peers.poll_timeout()), (vec![], at(30)));
        assert_eq!((bench.leave(30), bench.peers.poll_timeout()), (vec![b"a".to_vec()], at(40)));
        bench.peers.set(Settings::default());
        bench.enter(31, OUT, peer(1), b"c");
        assert_eq!(bench.leave(31), Vec::<Vec<u8>>::new(), "order is kept when the delay shrinks");
        assert_eq!(bench.leave(40), [b"b", b"c"]);
    }

    #[test]
    fn peers_have_fates_of_their_own_and_the_same_ones_each_time() {
        let words = ["loss 30%"];
        let (mut one, mut other) = (Bench::new(&words), Bench::new(&words));
        let (first, second) = (one.fates(peer(1)), one.fates(peer(2)));
        assert_ne!(first, second);
        // The addresses are others, their order is the same.
        assert_eq!((other.fates(peer(8)), other.fates(peer(3))), (first.clone(), second.clone()));
        let passed = first.len() + second.len();
        let out = &one.totals.ways.out;
        assert_eq!((out.passed, out.passed + out.lost), (passed as u64, 400));
    }

    #[test]
    fn every_fate_is_counted() {
        let words = ["duplicate 20%", "corrupt 20%", "reorder 20% by 5ms", "mtu 100"];
        let mut bench = Bench::new(&words);
        for number in 0..1_000 {
            bench.enter(number, OUT, peer(1), &[0; 50]);
        }
        bench.enter(1_000, OUT, peer(1), &[0; 101]);
        let left = bench.leave(2_000);
        let Totals { ways, .. } = &bench.totals;
        let damaged = left.iter().filter(|bytes| bytes.iter().any(|byte| *byte != 0)).count();
        assert_eq!(ways.out.corrupted, damaged as u64);
        assert_eq!(ways.out.passed + ways.out.duplicated, left.len() as u64);
        assert_eq!((ways.out.datagrams, ways.out.passed, ways.out.too_large), (1_001, 1_000, 1));
        // Four standard deviations of 1,000 at a fifth are 51.
        for count in [ways.out.duplicated, ways.out.corrupted * 1_000 / left.len() as u64] {
            assert!((149..=251).contains(&count), "{ways:?}");
        }
        assert!((100..=251).contains(&ways.out.reordered), "{ways:?}");
    }

    #[test]
    fn who_floods_fills_neither_memory_nor_table() {
        let mut bench = Bench::new(&["delay 10s"]);
        let large = vec![0; 65_507];
        for number in 0..1_100 {
            bench.enter(0, OUT, peer(number % 2), &large);
        }
        let held = usize::try_from(bench.totals.ways.out.held_bytes).expect("small");
        assert!(held <= HELD_BYTES_MAX && bench.totals.ways.out.overflow > 0);
        let mut bench = Bench::new(&["delay 10s"]);
        for _ in 0..=HELD_DATAGRAMS_MAX {
            bench.enter(0, OUT, peer(1), b"");
        }
        assert_eq!(bench.totals.ways.out.overflow, 1);
        let mut number = 2;
        while bench.peers.has_room() {
            bench.enter(0, OUT, peer(number), b"");
            number += 1;
        }
        assert_eq!(usize::from(number) - 1, PEERS_MAX);
    }

    #[test]
    fn an_idle_peer_is_forgotten_unless_something_waits_for_it() {
        let mut bench = Bench::new(&["delay 200s"]);
        bench.enter(0, BACK, peer(1), b"late");
        bench.peers.set(Settings::default());
        bench.enter(1_000, OUT, peer(2), b"");
        let forgotten = |bench: &mut Bench, seconds: u64| {
            bench.peers.poll_forgotten(at(seconds * 1_000), &mut bench.totals)
        };
        assert_eq!(bench.leave(1_000).len(), 1);
        assert_eq!(forgotten(&mut bench, 120), None);
        assert_eq!(forgotten(&mut bench, 131), Some(peer(2)));
        assert_eq!(forgotten(&mut bench, 131), None);
        assert_eq!(bench.leave(200_000).len(), 1);
        assert_eq!(forgotten(&mut bench, 211), Some(peer(1)));
        assert_eq!((bench.totals.peers, bench.totals.peers_ever), (0, 2));
    }
}
