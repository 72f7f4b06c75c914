//! Datagrams between two ends in virtual time.

use std::collections::BTreeMap;

use super::fault::{Faults, Impairer};
use crate::time::Timestamp;

/// One direction of a path: what is put in comes out later, changed, twice or never.
#[derive(Clone, Debug)]
pub struct Link {
    impairer: Impairer,
    /// By arrival, then in the order of sending.
    under_way: BTreeMap<(Timestamp, u64), Vec<u8>>,
    sent: u64,
    sent_bytes: u64,
}

impl Link {
    /// A direction that begins now.
    pub const fn new(now: Timestamp, faults: Faults, seed: u64) -> Self {
        let impairer = Impairer::new(now, faults, seed);
        Self { impairer, under_way: BTreeMap::new(), sent: 0, sent_bytes: 0 }
    }

    /// What it does.
    pub const fn faults(&self) -> &Faults {
        self.impairer.faults()
    }

    /// What it does from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.impairer.set_faults(faults);
    }

    /// Bytes that wait before the bottleneck.
    pub fn queued_bytes(&self, now: Timestamp) -> u64 {
        self.impairer.queued_bytes(now)
    }

    /// Sends a datagram.
    pub fn send(&mut self, now: Timestamp, datagram: &[u8]) {
        self.sent_bytes += datagram.len() as u64;
        let Ok((first, again)) = self.impairer.pass(now, datagram.len()) else { return };
        for arrival in [Some(first), again].into_iter().flatten() {
            let mut bytes = datagram.to_vec();
            arrival.damage(&mut bytes);
            self.under_way.insert((arrival.at, self.sent), bytes);
            self.sent += 1;
        }
    }

    /// The next datagram that has arrived by now.
    pub fn receive(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        let entry = self.under_way.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// When the next one arrives.
    pub fn next_arrival(&self) -> Option<Timestamp> {
        self.under_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// Bytes of all datagrams that were put in.
    pub const fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }
}
