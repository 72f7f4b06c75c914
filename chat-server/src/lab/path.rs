//! What becomes of each datagram of a shard's peers, and when it goes on.
//!
//! ```text
//!   endpoint ─ takes(Out) ─▶ fate ─▶ waits until due ─ poll(Out) ─▶ socket
//!   endpoint ◀─ poll(Back) ─ waits until due ◀─ fate ◀─ takes(Back) ─ socket
//! ```
//!
//! Each direction of each peer has fates of its own: the n-th datagram meets fate n. Those of a
//! relay's first peer follow from the seed, those of its second from the seed plus one, and so on; a
//! client that connects again has another port and is another peer. `lab proxy` counts likewise.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use protocol::{
    lab::{
        experiment::Way,
        fault::{Arrival, Impairer},
    },
    time::Timestamp,
    transport::datagram::Codepoint,
};

use super::LabSettings;
use crate::net::udp::Route;

/// What may wait in a shard, with what keeping it costs. A datagram beyond that is lost, as in a
/// queue that is full.
const HELD_BYTES_MAX: usize = 16 << 20;
/// What keeping a datagram costs beside its bytes.
const ENTRY_BYTES: usize = 256;
/// Peers that have fates. While so many are there, others are left alone.
const PEERS_MAX: usize = 1_024;
/// Who was silent for so long makes room for another.
const IDLE: Duration = Duration::from_secs(120);

/// The paths of a shard's peers. A clone is another shard's: it shares the count of peers only.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    settings: LabSettings,
    /// Peers of all shards so far.
    peers_ever: Arc<AtomicU64>,
    peers: BTreeMap<SocketAddr, Peer>,
    ways: [Lane; 2],
    held_bytes: usize,
}

#[derive(Clone, Debug)]
struct Peer {
    ways: [Impairer; 2],
    heard: Timestamp,
}

/// Everybody's datagrams of one direction.
#[derive(Clone, Debug, Default)]
struct Lane {
    /// By the time when they go on, then in the order in which they came.
    waiting: BTreeMap<(Timestamp, u64), Held>,
    taken: u64,
    lost: u64,
    arrivals: u64,
}

/// A datagram that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Where it came from or goes to.
    pub(crate) route: Route,
    /// With which it is sent or came.
    pub(crate) codepoint: Codepoint,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
}

impl Paths {
    /// The paths of a relay without peers.
    pub(crate) fn new(settings: &LabSettings) -> Self {
        Self {
            settings: settings.clone(),
            peers_ever: Arc::default(),
            peers: BTreeMap::new(),
            ways: <[Lane; 2]>::default(),
            held_bytes: 0,
        }
    }

    /// Decides about a datagram that is sent or came. False if it goes on at once and as it is,
    /// because the laboratory does not concern this peer.
    pub(crate) fn takes(
        &mut self,
        now: Timestamp,
        way: Way,
        (route, codepoint): (Route, Codepoint),
        bytes: &[u8],
    ) -> bool {
        let Some(peer) = self.peer(now, route.peer) else { return false };
        let fate = peer.ways[way as usize].pass(now, bytes.len());
        let mut goes_on = false;
        if let Ok((first, again)) = fate {
            for arrival in [Some(first), again].into_iter().flatten() {
                goes_on |= self.hold(way, (route, codepoint), arrival, bytes);
            }
        }
        let lane = &mut self.ways[way as usize];
        lane.taken += 1;
        lane.lost += u64::from(!goes_on);
        true
    }

    /// What goes on now.
    pub(crate) fn poll(&mut self, now: Timestamp, way: Way) -> Option<Held> {
        let waiting = &mut self.ways[way as usize].waiting;
        let held = waiting.first_entry().filter(|entry| entry.key().0 <= now)?.remove();
        self.held_bytes -= held.bytes.len() + ENTRY_BYTES;
        Some(held)
    }

    /// When something goes on next.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let first = |lane: &Lane| lane.waiting.first_key_value().map(|((at, _), _)| *at);
        self.ways.iter().filter_map(first).min()
    }

    /// How many datagrams of a direction met a fate, and for how many of them that was their end.
    pub(crate) const fn losses(&self, way: Way) -> (u64, u64) {
        let lane = &self.ways[way as usize];
        (lane.taken, lane.lost)
    }

    fn peer(&mut self, now: Timestamp, address: SocketAddr) -> Option<&mut Peer> {
        if !self.settings.allowed.has(address.ip()) {
            return None;
        }
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&address) {
            self.peers.retain(|_, peer| now.since(peer.heard) < IDLE);
            if self.peers.len() >= PEERS_MAX {
                return None;
            }
        }
        let peer = self.peers.entry(address).or_insert_with(|| {
            let LabSettings { ways, seed, .. } = &self.settings;
            let order = self.peers_ever.fetch_add(1, Ordering::Relaxed);
            let ways = Impairer::pair(Timestamp::ZERO, ways.clone(), seed.wrapping_add(order));
            Peer { ways, heard: now }
        });
        peer.heard = now;
        Some(peer)
    }

    /// Whether there was room for it.
    fn hold(
        &mut self,
        way: Way,
        (route, codepoint): (Route, Codepoint),
        arrival: Arrival,
        bytes: &[u8],
    ) -> bool {
        let lane = &mut self.ways[way as usize];
        let costs = bytes.len() + ENTRY_BYTES;
        if self.held_bytes + costs > HELD_BYTES_MAX {
            return false;
        }
        self.held_bytes += costs;
        let mut bytes = bytes.to_vec();
        arrival.damage(&mut bytes);
        lane.waiting.insert((arrival.at, lane.arrivals), Held { route, codepoint, bytes });
        lane.arrivals += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use protocol::lab::order::Wanted;

    use super::{super::Allowed, *};

    const HERE: [u8; 4] = [127, 0, 0, 1];

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn path(orders: &[&str], seed: u64, allowed: &[&str]) -> Paths {
        let mut wanted = Wanted::default();
        for order in orders {
            let order = order.parse().expect(order);
            wanted.follow(&order, Duration::ZERO).expect("it was checked");
        }
        let allowed = allowed.iter().map(|text| text.parse().expect(text)).collect();
        Paths::new(&LabSettings::new(&wanted, seed, Allowed::only(allowed)))
    }

    fn route(ip: [u8; 4], port: u16) -> Route {
        Route { peer: (ip, port).into(), local: None, socket: 0 }
    }

    fn take(path: &mut Paths, millis: u64, way: Way, port: u16, bytes: &[u8]) -> bool {
        let to = (route(HERE, port), Codepoint::NotCapable);
        path.takes(at(millis), way, to, bytes)
    }

    /// What goes on in one direction at this time.
    fn all(path: &mut Paths, millis: u64, way: Way) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| path.poll(at(millis), way)).map(|held| held.bytes).collect()
    }

    /// Which of 200 datagrams in one direction of a peer go on.
    fn fates(path: &mut Paths, way: Way, port: u16) -> Vec<u8> {
        (0..200).for_each(|number| assert!(take(path, 0, way, port, &[number])));
        all(path, 0, way).concat()
    }

    #[test]
    fn datagrams_of_others_are_left_alone() {
        let mut path = path(&["loss 100%", "delay 1s"], 0, &["127.0.0.2"]);
        let codepoint = Codepoint::NotCapable;
        for ip in [HERE, [192, 0, 2, 1]] {
            for way in [Way::Out, Way::Back] {
                assert!(!path.takes(at(0), way, (route(ip, 1), codepoint), b"a"), "{ip:?}");
            }
        }
        assert!(path.takes(at(0), Way::Back, (route([127, 0, 0, 2], 1), codepoint), b"a"));
        assert_eq!((path.losses(Way::Out), path.losses(Way::Back)), ((0, 0), (1, 1)));
        assert_eq!(path.poll_timeout(), None);
    }

    #[test]
    fn a_datagram_goes_on_when_it_is_due_and_as_it_came() {
        let mut path = path(&["in delay 80ms"], 0, &[]);
        let came = (route(HERE, 1), Codepoint::from_bits(2));
        assert!(path.takes(at(5), Way::Back, came, b"a"));
        assert!(take(&mut path, 5, Way::Out, 1, b"b"), "without faults there, but not before it");
        assert_eq!(all(&mut path, 5, Way::Out), [b"b"]);
        assert_eq!(path.poll_timeout(), Some(at(85)));
        assert_eq!(path.poll(at(84), Way::Back), None);
        assert_eq!(path.poll(at(85), Way::Out), None, "the other direction");
        let held = Held { route: came.0, codepoint: came.1, bytes: b"a".to_vec() };
        assert_eq!((path.poll(at(85), Way::Back), path.poll_timeout()), (Some(held), None));
    }

    #[test]
    fn every_direction_of_every_peer_has_fates_that_come_again_with_the_seed() {
        let run = |seed: u64, ports: [u16; 2]| {
            // Peers come to different shards.
            let first = path(&["loss 30%"], seed, &[]);
            let (mut shards, ways) = ([first.clone(), first], [Way::Out, Way::Back]);
            let pairs = shards.iter_mut().zip(ports);
            pairs
                .flat_map(|(path, port)| ways.map(|way| fates(path, way, port)))
                .collect::<Vec<_>>()
        };
        let mut unlike = run(7, [1, 2]);
        assert_eq!(run(7, [9, 8]), unlike, "the order of peers counts, not their ports");
        assert_ne!(run(8, [1, 2])[2..], unlike[2..]);
        unlike.sort();
        unlike.dedup();
        assert_eq!(unlike.len(), 4);
        // Four standard deviations of 200 at 30 % are 26.
        assert!(unlike.iter().all(|passed| (114..=166).contains(&passed.len())), "{unlike:?}");
    }

    #[test]
    fn who_talks_to_another_changes_no_fates() {
        let mut alone = path(&["loss 30%"], 7, &[]);
        let expected = fates(&mut alone, Way::Back, 1);
        let mut busy = path(&["loss 30%"], 7, &[]);
        for number in 0..200 {
            take(&mut busy, 0, Way::Back, 1, &[number]);
            take(&mut busy, 0, Way::Out, 1, b"out");
            take(&mut busy, 0, Way::Out, 2, b"out");
        }
        assert_eq!(all(&mut busy, 0, Way::Back).concat(), expected);
    }

    #[test]
    fn copies_and_damage_are_made_as_asked_for() {
        let mut path = path(&["duplicate 100%", "corrupt 100%"], 0, &[]);
        take(&mut path, 0, Way::Out, 1, &[0; 100]);
        let came = all(&mut path, 0, Way::Out);
        let bits = |bytes: &[u8]| bytes.iter().map(|byte| byte.count_ones()).sum::<u32>();
        assert_eq!(came.iter().map(|bytes| bits(bytes)).collect::<Vec<_>>(), [1, 1]);
        take(&mut path, 0, Way::Out, 1, b"");
        assert_eq!(all(&mut path, 0, Way::Out), [b"", b""]);
    }

    #[test]
    fn what_waits_is_bounded_and_the_rest_is_lost() {
        for size in [65_000, 0] {
            let mut path = path(&["delay 10s"], 0, &[]);
            let (datagram, fit) = (vec![0; size], HELD_BYTES_MAX / (size + ENTRY_BYTES));
            // Both directions together.
            for way in [Way::Out, Way::Back].into_iter().cycle().take(fit + 6) {
                take(&mut path, 0, way, 1, &datagram);
            }
            assert_eq!(path.losses(Way::Out).1 + path.losses(Way::Back).1, 6);
            let left = [Way::Out, Way::Back].map(|way| all(&mut path, 10_000, way).len());
            assert_eq!(left.iter().sum::<usize>(), fit);
            assert_eq!(path.held_bytes, 0, "room again");
        }
    }

    #[test]
    fn a_datagram_of_which_one_copy_has_room_is_not_lost() {
        let mut path = path(&["delay 10s", "duplicate 100%"], 0, &[]);
        let datagram = vec![0; 65_000];
        // An odd number of copies fits.
        let fit = HELD_BYTES_MAX / (datagram.len() + ENTRY_BYTES);
        assert_eq!(fit % 2, 1);
        for _ in 0..=fit.div_ceil(2) {
            take(&mut path, 0, Way::Out, 1, &datagram);
        }
        assert_eq!(path.losses(Way::Out).1, 1);
    }

    #[test]
    fn more_peers_than_have_room_are_left_alone_until_somebody_was_silent() {
        let mut path = path(&["loss 100%"], 0, &[]);
        for port in (1..).take(PEERS_MAX) {
            assert!(take(&mut path, 0, Way::Back, port, b""));
        }
        assert!(take(&mut path, 60_000, Way::Out, 7, b""));
        assert!(!take(&mut path, 60_000, Way::Back, 9_999, b""));
        assert!(take(&mut path, 120_000, Way::Back, 9_999, b""));
        assert_eq!(path.peers.len(), 2, "the one that was there, and the new one");
    }
}
