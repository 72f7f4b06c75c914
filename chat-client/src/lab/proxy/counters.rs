//! What became of the traffic.

use protocol::lab::fault::Drop;
use serde::Serialize;

use super::{BACK, OUT};

/// Of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Datagrams that came in.
    pub datagrams: u64,
    /// Their bytes, or those of connections.
    pub bytes: u64,
    /// Datagrams that went on, each once.
    pub passed: u64,
    /// Bytes that went on, those of copies too.
    pub passed_bytes: u64,
    /// Datagrams lost by chance or because they were listed.
    pub lost: u64,
    /// Lost in a blackout.
    pub blackout: u64,
    /// Lost at a full bottleneck.
    pub queue_full: u64,
    /// Lost because the path carries none of that size.
    pub too_large: u64,
    /// That went on a second time.
    pub duplicated: u64,
    /// That went on with a bit changed, copies too.
    pub corrupted: u64,
    /// That went on after one that had come in later (RFC 4737).
    pub reordered: u64,
    /// Lost because the proxy held as much as it may, or had no room for another peer.
    pub overflow: u64,
    /// That the system did not take, such as those to a port where nobody listens.
    pub refused: u64,
    /// Bytes that wait for their time.
    pub held_bytes: u64,
}

/// Of the whole proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Peers that it knows, or connections that are open.
    pub peers: u64,
    /// Peers and connections so far.
    pub peers_ever: u64,
    /// Connections that were reset on purpose.
    pub cut: u64,
    /// Connections that found nobody, or no room.
    pub turned_away: u64,
    /// By direction.
    #[serde(flatten)]
    pub ways: Ways,
}

/// Both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ways {
    /// Towards the program that is reached through the proxy.
    pub out: Counters,
    /// From it.
    pub back: Counters,
}

impl Totals {
    /// Those of one direction.
    pub(super) const fn way(&mut self, way: usize) -> &mut Counters {
        if way == OUT { &mut self.ways.out } else { &mut self.ways.back }
    }

    /// Forgets what was, and keeps what is.
    pub(super) fn reset(&mut self) {
        let mut fresh = Self { peers: self.peers, ..Self::default() };
        for way in [OUT, BACK] {
            fresh.way(way).held_bytes = self.way(way).held_bytes;
        }
        *self = fresh;
    }
}

impl Counters {
    pub(super) const fn count_drop(&mut self, why: Drop) {
        match why {
            Drop::Lost => self.lost += 1,
            Drop::Blackout => self.blackout += 1,
            Drop::QueueFull => self.queue_full += 1,
            Drop::TooLarge => self.too_large += 1,
        }
    }
}
