//! UDP as programs see it: datagrams that travel alone, and may be lost, doubled, overtaken and
//! changed. A client's socket has a place, and what it sends and gets takes the path between there
//! and the relay. A place can change under a socket that knows nothing of it, as behind a router that
//! begins a new mapping: what is under way from the old place still arrives, and nobody is there any
//! more for what is sent to it.

use std::collections::BTreeMap;

use protocol::{
    connection::datagram::Address,
    entropy::SimRng,
    lab::{
        fault::{Faults, Loss, Share},
        network::Link,
    },
    time::Timestamp,
};

use super::network::LinkId;

/// An address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64);

impl Place {
    /// Where strangers' places begin.
    const STRANGERS: u64 = 1 << 32;

    pub(crate) const fn of_stranger(number: u64) -> Self {
        Self(Self::STRANGERS + number)
    }

    pub(crate) const fn is_strangers(self) -> bool {
        self.0 >= Self::STRANGERS
    }
}

impl Address for Place {
    fn bytes(&self) -> [u8; 18] {
        let mut bytes = [0; 18];
        bytes[..8].copy_from_slice(&self.0.to_be_bytes());
        bytes
    }
}

/// What the way between a person and the relay does to datagrams.
#[derive(Clone, Debug)]
pub(crate) struct WayFaults {
    pub(crate) up: Faults,
    pub(crate) down: Faults,
}

/// A datagram that has arrived.
#[derive(Debug)]
pub(crate) enum Delivery {
    ToRelay(Place, Vec<u8>),
    ToClient(LinkId, Vec<u8>),
}

/// A person's way to the relay.
#[derive(Debug)]
struct Way {
    faults: WayFaults,
    dark_until: Timestamp,
}

/// Both directions between a place and the relay.
#[derive(Debug)]
struct Path {
    link: LinkId,
    person: usize,
    up: Link,
    down: Link,
}

/// Every path of a world.
#[derive(Debug)]
pub(crate) struct Paths {
    ways: Vec<Way>,
    by_place: BTreeMap<Place, Path>,
    /// Where the open sockets are.
    places: BTreeMap<LinkId, Place>,
    opened: u64,
    rng: SimRng,
    is_calm: bool,
}

impl Paths {
    pub(crate) fn new(ways: Vec<WayFaults>, seed: u64) -> Self {
        let way = |faults| Way { faults, dark_until: Timestamp::ZERO };
        Self {
            ways: ways.into_iter().map(way).collect(),
            by_place: BTreeMap::new(),
            places: BTreeMap::new(),
            opened: 0,
            rng: SimRng::new(seed),
            is_calm: false,
        }
    }

    /// A person's program opens a socket for a connection.
    pub(crate) fn open(&mut self, now: Timestamp, person: usize, link: LinkId) {
        self.opened += 1;
        let place = Place(self.opened);
        let WayFaults { up, down } = self.faults_now(now, person);
        let up = Link::new(now, up, self.rng.next_u64());
        let down = Link::new(now, down, self.rng.next_u64());
        self.by_place.insert(place, Path { link, person, up, down });
        self.places.insert(link, place);
    }

    /// The socket of a connection is somewhere else from now on, and does not know it.
    pub(crate) fn displace(&mut self, now: Timestamp, link: LinkId) {
        let path = self.places.get(&link).and_then(|place| self.by_place.get(place));
        if let Some(person) = path.map(|path| path.person) {
            self.open(now, person, link);
        }
    }

    /// The socket is closed. What it has sent is still under way.
    pub(crate) fn close(&mut self, link: LinkId) {
        self.places.remove(&link);
    }

    /// Where the socket of a connection is.
    pub(crate) fn place(&self, link: LinkId) -> Option<Place> {
        self.places.get(&link).copied()
    }

    /// The open socket that is or was at this place.
    pub(crate) fn link_at(&self, place: Place) -> Option<LinkId> {
        let link = self.by_place.get(&place)?.link;
        self.places.contains_key(&link).then_some(link)
    }

    /// All open sockets.
    pub(crate) fn open_links(&self) -> Vec<LinkId> {
        self.places.keys().copied().collect()
    }

    pub(crate) fn send_up(&mut self, now: Timestamp, link: LinkId, datagram: &[u8]) {
        let path = self.places.get(&link).and_then(|place| self.by_place.get_mut(place));
        if let Some(path) = path {
            path.up.send(now, datagram);
        }
    }

    pub(crate) fn send_down(&mut self, now: Timestamp, to: Place, datagram: &[u8]) {
        if let Some(path) = self.by_place.get_mut(&to) {
            path.down.send(now, datagram);
        }
    }

    /// When the next datagram arrives.
    pub(crate) fn next_arrival(&self) -> Option<Timestamp> {
        let links = self.by_place.values().flat_map(|path| [&path.up, &path.down]);
        links.filter_map(Link::next_arrival).min()
    }

    /// Takes a datagram that has arrived by now.
    pub(crate) fn receive(&mut self, now: Timestamp) -> Option<Delivery> {
        let Self { by_place, places, .. } = self;
        let mut delivery = None;
        by_place.retain(|place, path| {
            let is_open = places.get(&path.link) == Some(place);
            if delivery.is_none() {
                let up = path.up.receive(now);
                delivery = up.map(|datagram| Delivery::ToRelay(*place, datagram));
            }
            while delivery.is_none()
                && let Some(datagram) = path.down.receive(now)
            {
                delivery = is_open.then_some(Delivery::ToClient(path.link, datagram));
            }
            // An old place is remembered as long as its socket, wherever that is.
            places.contains_key(&path.link) || path.up.next_arrival().is_some()
        });
        delivery
    }

    /// Nothing passes between this person and the relay until then.
    pub(crate) fn darken(&mut self, now: Timestamp, person: usize, until: Timestamp) {
        let way = &mut self.ways[person];
        way.dark_until = way.dark_until.max(until);
        self.renew_faults(now, person);
    }

    /// A time until which it was dark has come.
    pub(crate) fn lighten(&mut self, now: Timestamp, person: usize) {
        self.renew_faults(now, person);
    }

    /// Nothing goes wrong from now on. Paths stay as long and as narrow as they are.
    pub(crate) fn calm(&mut self, now: Timestamp) {
        self.is_calm = true;
        for person in 0..self.ways.len() {
            self.renew_faults(now, person);
        }
    }

    fn renew_faults(&mut self, now: Timestamp, person: usize) {
        let WayFaults { up, down } = self.faults_now(now, person);
        for path in self.by_place.values_mut().filter(|path| path.person == person) {
            path.up.set_faults(up.clone());
            path.down.set_faults(down.clone());
        }
    }

    fn faults_now(&self, now: Timestamp, person: usize) -> WayFaults {
        let way = &self.ways[person];
        let change = |faults: &Faults| {
            let mut faults = faults.clone();
            if self.is_calm {
                faults.loss = Loss::None;
                (faults.duplicate, faults.corrupt) = (Share::NONE, Share::NONE);
                faults.reorder.0 = Share::NONE;
            } else if now < way.dark_until {
                faults.loss = Loss::Independent(Share::ALL);
            }
            faults
        };
        WayFaults { up: change(&way.faults.up), down: change(&way.faults.down) }
    }
}
