//! TCP as programs see it: two byte pipes that deliver in order, split and merge as they like, and
//! end with word to both sides, to one, or to nobody.

use std::{collections::BTreeMap, time::Duration};

use protocol::{entropy::SimRng, time::Timestamp};

/// One connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkId(pub(crate) u64);

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Client,
    Relay,
}

impl Side {
    const fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Relay => 1,
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Client => Self::Relay,
            Self::Relay => Self::Client,
        }
    }
}

/// What reaches an end.
#[derive(Clone, Debug)]
pub(crate) enum Arrival {
    Bytes(Vec<u8>),
    /// The other end is known to be gone.
    Closed,
}

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Both ends learn of it.
    Told,
    /// Only this end learns of it; the other keeps a half-open connection.
    ToldOnly(Side),
    /// Nobody learns of it: bytes vanish until somebody gives up.
    Silent,
}

/// Delays of one schedule's network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) delay_min: Duration,
    pub(crate) delay_max: Duration,
    /// Most pieces one write arrives in.
    pub(crate) pieces_max: u64,
}

#[derive(Debug)]
struct Link {
    /// Towards [client, relay]: when the last piece arrives; later pieces arrive no earlier.
    last: [Timestamp; 2],
    /// Towards [client, relay]: nothing that arrives from here on is delivered.
    dead_from: [Option<Timestamp>; 2],
    closed: [bool; 2],
}

/// Every connection of a world.
#[derive(Debug, Default)]
pub(crate) struct Network {
    links: BTreeMap<LinkId, Link>,
    opened: u64,
}

impl Network {
    pub(crate) fn open(&mut self) -> LinkId {
        let id = self.next_id();
        let link = Link { last: [Timestamp::ZERO; 2], dead_from: [None; 2], closed: [false; 2] };
        self.links.insert(id, link);
        id
    }

    /// An id for a connection over datagrams, which is none of this network's.
    pub(crate) fn next_id(&mut self) -> LinkId {
        self.opened += 1;
        LinkId(self.opened)
    }

    /// True if this connection is a stream.
    pub(crate) fn has(&self, id: LinkId) -> bool {
        self.links.contains_key(&id)
    }

    /// The ids of connections that no end has closed.
    pub(crate) fn open_links(&self) -> Vec<LinkId> {
        let open = |link: &&Link| !link.closed[0] && !link.closed[1];
        self.links.iter().filter(|(_, link)| open(link)).map(|(id, _)| *id).collect()
    }

    /// Carries `bytes` from `from` to the other end, in pieces, each with its time of arrival.
    pub(crate) fn write(
        &mut self,
        now: Timestamp,
        id: LinkId,
        from: Side,
        bytes: &[u8],
        weather: &Weather,
        rng: &mut SimRng,
    ) -> Vec<(Timestamp, Arrival)> {
        let to = from.other();
        let Some(link) = self.links.get_mut(&id) else { return Vec::new() };
        let mut pieces = Vec::new();
        let mut rest = bytes;
        let mut left = rng.between(1, weather.pieces_max);
        while !rest.is_empty() {
            let len = if left <= 1 { rest.len() as u64 } else { rng.between(1, rest.len() as u64) };
            let (piece, tail) = rest.split_at(usize::try_from(len).expect("a slice's length"));
            let at = link.last[to.index()].max(now + delay(weather, rng));
            link.last[to.index()] = at;
            pieces.push((at, Arrival::Bytes(piece.to_vec())));
            rest = tail;
            left = left.saturating_sub(1);
        }
        pieces
    }

    /// One end closes: the other learns of it behind what is still under way.
    pub(crate) fn close(
        &mut self,
        now: Timestamp,
        id: LinkId,
        by: Side,
        weather: &Weather,
        rng: &mut SimRng,
    ) -> Option<(Timestamp, Arrival)> {
        let link = self.links.get_mut(&id)?;
        link.closed[by.index()] = true;
        let to = by.other();
        if link.dead_from[to.index()].is_some() {
            return None;
        }
        let at = link.last[to.index()].max(now + delay(weather, rng));
        link.last[to.index()] = at;
        Some((at, Arrival::Closed))
    }

    /// Breaks a connection. Pieces under way may or may not still arrive.
    pub(crate) fn cut(
        &mut self,
        now: Timestamp,
        id: LinkId,
        cut: Cut,
        weather: &Weather,
        rng: &mut SimRng,
    ) -> Vec<(Side, Timestamp, Arrival)> {
        let Some(link) = self.links.get_mut(&id) else { return Vec::new() };
        let mut told = Vec::new();
        for side in [Side::Client, Side::Relay] {
            if link.dead_from[side.index()].is_some() {
                continue;
            }
            let dead_from = now + delay(weather, rng);
            link.dead_from[side.index()] = Some(dead_from);
            if cut == Cut::Told || cut == Cut::ToldOnly(side) {
                told.push((side, dead_from, Arrival::Closed));
            }
        }
        told
    }

    /// True if what arrives at `side` at `now` is delivered.
    pub(crate) fn delivers(&self, now: Timestamp, id: LinkId, side: Side, what: &Arrival) -> bool {
        let Some(link) = self.links.get(&id) else { return false };
        if link.closed[side.index()] {
            return false;
        }
        match what {
            Arrival::Bytes(_) => link.dead_from[side.index()].is_none_or(|dead| now < dead),
            Arrival::Closed => true,
        }
    }
}

fn delay(weather: &Weather, rng: &mut SimRng) -> Duration {
    let micros = |d: Duration| u64::try_from(d.as_micros()).expect("a delay is short");
    Duration::from_micros(rng.between(micros(weather.delay_min), micros(weather.delay_max)))
}
