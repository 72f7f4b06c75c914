//! Hostile datagrams: recorded ones that come again, from where they came or from elsewhere, cut,
//! changed, or invented; and crowds that knock. Whoever sends them hears what passes and cannot hold
//! it back, and none of it may change anything.

use std::collections::VecDeque;

use protocol::{
    entropy::SimRng,
    transport::{
        datagram::tuning::DATAGRAM_BYTES_MIN,
        packet::{AttemptId, HandshakeInit, PacketKind},
    },
};

use super::{
    network::LinkId,
    paths::{Delivery, Place},
};

/// Datagrams of each direction that are remembered.
const RECORDED_MAX: usize = 24;
/// One in so many is.
const RECORDED_OF: u64 = 6;
/// Most who knock together.
const CROWD_MAX: u64 = 90;
/// The largest datagram that is invented.
const INVENTED_BYTES_MAX: u64 = 1_500;
/// Places that strangers have.
const PLACES: u64 = 8;

/// Those who mean no good.
#[derive(Debug)]
pub(crate) struct Strangers {
    rng: SimRng,
    up: VecDeque<(Place, Vec<u8>)>,
    down: VecDeque<(LinkId, Vec<u8>)>,
    /// The last handshake-init that was seen.
    init: Option<Vec<u8>>,
}

impl Strangers {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { rng: SimRng::new(seed), up: VecDeque::new(), down: VecDeque::new(), init: None }
    }

    /// Something passes on its way to the relay.
    pub(crate) fn overhear_up(&mut self, from: Place, datagram: &[u8]) {
        if is_init(datagram) {
            self.init = Some(datagram.to_vec());
        }
        if self.rng.chance(1, RECORDED_OF) {
            self.up.push_back((from, datagram.to_vec()));
            if self.up.len() > RECORDED_MAX {
                self.up.pop_front();
            }
        }
    }

    /// Something passes on its way to a client.
    pub(crate) fn overhear_down(&mut self, to: LinkId, datagram: &[u8]) {
        if self.rng.chance(1, RECORDED_OF) {
            self.down.push_back((to, datagram.to_vec()));
            if self.down.len() > RECORDED_MAX {
                self.down.pop_front();
            }
        }
    }

    /// What they send now; `open` are the sockets that clients have.
    pub(crate) fn attack(&mut self, open: &[LinkId]) -> Vec<Delivery> {
        let mut sent = Vec::new();
        for _ in 0..self.rng.between(1, 6) {
            if self.rng.chance(1, 2) {
                sent.push(self.send_to_relay());
            } else {
                sent.extend(self.send_to_client(open));
            }
        }
        sent
    }

    /// Many knock at the relay, each as if it were another.
    pub(crate) fn crowd(&mut self) -> Vec<Delivery> {
        let Some(init) = self.init.clone() else { return Vec::new() };
        let Some(init) = HandshakeInit::decode_padded(&init[1..]) else { return Vec::new() };
        let count = self.rng.between(10, CROWD_MAX);
        let knock = |_| {
            let attempt = AttemptId(self.rng.next_u64().to_be_bytes());
            let mut datagram = HandshakeInit { attempt, ..init }.encode();
            datagram.resize(datagram.len().max(DATAGRAM_BYTES_MIN), 0);
            let from = Place::of_stranger(self.rng.below(PLACES));
            Delivery::ToRelay(from, datagram)
        };
        (0..count).map(knock).collect()
    }

    fn send_to_relay(&mut self) -> Delivery {
        let elsewhere = Place::of_stranger(self.rng.below(PLACES));
        let pick = usize::try_from(self.rng.below(self.up.len() as u64)).expect("an index");
        let (from, datagram) = self.up.get(pick).cloned().unwrap_or((elsewhere, Vec::new()));
        let from = if self.rng.chance(1, 2) { from } else { elsewhere };
        let datagram = self.change(datagram);
        Delivery::ToRelay(from, datagram)
    }

    fn send_to_client(&mut self, open: &[LinkId]) -> Option<Delivery> {
        let pick = usize::try_from(self.rng.below(self.down.len() as u64)).expect("an index");
        let recorded = self.down.get(pick).cloned();
        let any = usize::try_from(self.rng.below(open.len() as u64)).expect("an index");
        let any = *open.get(any)?;
        let (to, datagram) = recorded.unwrap_or((any, Vec::new()));
        let to = if self.rng.chance(2, 3) && open.contains(&to) { to } else { any };
        let datagram = self.change(datagram);
        Some(Delivery::ToClient(to, datagram))
    }

    /// As it was, cut, with a bit changed, or another one altogether.
    fn change(&mut self, mut datagram: Vec<u8>) -> Vec<u8> {
        let len = datagram.len() as u64;
        match self.rng.below(6) {
            0..=2 => {}
            3 => datagram.truncate(usize::try_from(self.rng.below(len)).expect("a length")),
            4 if len > 0 => {
                let at = usize::try_from(self.rng.below(len)).expect("an index");
                datagram[at] ^= 1 << self.rng.below(8);
            }
            _ => datagram = self.invent(),
        }
        datagram
    }

    fn invent(&mut self) -> Vec<u8> {
        let length = if self.rng.chance(1, 2) { 64 } else { INVENTED_BYTES_MAX };
        let length = self.rng.between(1, length);
        let mut datagram: Vec<u8> =
            (0..length).map(|_| self.rng.next_u64().to_le_bytes()[0]).collect();
        datagram[0] = u8::try_from(self.rng.below(10)).expect("small");
        datagram
    }
}

fn is_init(datagram: &[u8]) -> bool {
    datagram.first() == Some(&PacketKind::HandshakeInit.byte())
}
