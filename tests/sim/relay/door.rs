//! The relay's socket for datagrams, driven as a shard does: the endpoint finds the session, this
//! finds the connection, and keeps the time of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use protocol::{
    connection::{
        ResponderConfig,
        datagram::{Endpoint, EndpointConfig, Session},
    },
    entropy::Entropy,
    time::Timestamp,
    transport::{
        datagram::Codepoint,
        packet::{ConnectionId, HandshakeReply, PacketKind},
    },
};

use crate::{
    bugs::Bug,
    marks::{Mark, Marks, Seen},
    memory,
    model::Violation,
    network::LinkId,
    paths::Place,
};

/// Handshakes answered in one turn.
const HANDSHAKES_PER_TURN: usize = 8;

/// All that the relay has to do with datagrams.
pub(super) struct Door {
    endpoint: Endpoint<Place>,
    known: BTreeMap<ConnectionId, Known>,
    /// Sessions that may have something to send.
    touched: BTreeSet<ConnectionId>,
    /// Attempts that were answered, and where.
    answered: BTreeSet<(Place, [u8; 8])>,
    packets_per_key: u64,
    bug: Option<Bug>,
}

/// A session that is a connection.
struct Known {
    link: LinkId,
    place: Place,
    due: Option<Timestamp>,
    is_trusted: bool,
    seen: Seen,
}

/// What became of a session because of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touched {
    Nobody,
    /// Its device has just shown that it is there.
    New(ConnectionId),
    /// Something came for this connection.
    Known(LinkId, ConnectionId),
    /// This connection is over, which was there.
    Ended(LinkId, Place),
}

impl Door {
    pub(super) fn new(
        responder: &Arc<ResponderConfig>,
        seed: u64,
        packets_per_key: u64,
        bug: Option<Bug>,
    ) -> Self {
        let config = EndpointConfig { responder: Arc::clone(responder), shard: 0 };
        Self {
            endpoint: Endpoint::new(config, Entropy::seeded_for_simulation(seed)),
            known: BTreeMap::new(),
            touched: BTreeSet::new(),
            answered: BTreeSet::new(),
            packets_per_key,
            bug,
        }
    }

    /// Takes a datagram.
    pub(super) fn receive(&mut self, now: Timestamp, from: Place, datagram: &mut [u8]) -> Touched {
        let named = named(datagram);
        let touched = self.endpoint.handle_datagram(now, from, Codepoint::Capable, datagram);
        if self.bug == Some(Bug::ForgeryBelieved)
            && touched.is_none()
            && let Some(id) = named.filter(|id| self.known.contains_key(id))
        {
            self.endpoint.remove(id);
            return self.became(id);
        }
        let Some(id) = touched else { return Touched::Nobody };
        if self.bug == Some(Bug::AddressTrusted)
            && let Some(known) = self.known.get_mut(&id)
        {
            known.place = from;
        }
        self.touched.insert(id);
        self.became(id)
    }

    fn became(&self, id: ConnectionId) -> Touched {
        match self.known.get(&id) {
            None => Touched::New(id),
            Some(known) if self.endpoint.address(id).is_some() => Touched::Known(known.link, id),
            Some(known) => Touched::Ended(known.link, known.place),
        }
    }

    /// Does the public-key work of some who knock; true if more wait.
    pub(super) fn answer_handshakes(&mut self, now: Timestamp) -> bool {
        self.endpoint.answer_handshakes(now, HANDSHAKES_PER_TURN)
    }

    /// True if handshakes wait for their public-key work.
    pub(super) fn is_knocked_at(&self) -> bool {
        self.endpoint.waiting() > 0
    }

    /// A session is this connection from now on.
    pub(super) fn adopt(&mut self, id: ConnectionId, link: LinkId) {
        let Some(place) = self.endpoint.address(id) else { return };
        let known = Known { link, place, due: None, is_trusted: false, seen: Seen::default() };
        self.known.insert(id, known);
        if let Some(session) = self.endpoint.session(id) {
            session.set_packets_per_key(self.packets_per_key);
        }
    }

    /// The device of a session may use more memory from now on.
    pub(super) fn trust(&mut self, id: ConnectionId) {
        if self.bug == Some(Bug::TrustForgotten) {
            return;
        }
        if let (Some(known), Some(session)) = (self.known.get_mut(&id), self.endpoint.session(id)) {
            known.is_trusted = true;
            session.trust();
        }
    }

    /// A session, to be written to or read.
    pub(super) fn session(&mut self, id: ConnectionId) -> Option<&mut Session> {
        self.touched.insert(id);
        self.endpoint.session(id)
    }

    /// True if a connection has its session at this place.
    pub(super) fn is_at(&self, place: Place) -> bool {
        self.known
            .iter()
            .any(|(id, known)| known.place == place && self.endpoint.address(*id).is_some())
    }

    /// Tells the peer that the session is over, and forgets it.
    pub(super) fn close(
        &mut self,
        now: Timestamp,
        id: ConnectionId,
        out: &mut Vec<(Place, Vec<u8>)>,
    ) {
        if let Some(session) = self.endpoint.session(id) {
            session.close();
        }
        self.send_session(now, id, out);
        if self.bug != Some(Bug::SessionKept) {
            self.endpoint.remove(id);
        }
        self.known.remove(&id);
        self.touched.remove(&id);
    }

    /// When time changes something for a session.
    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.known.values().filter_map(|known| known.due).min()
    }

    /// Lets time pass for those whose time has come.
    pub(super) fn handle_timeouts(&mut self, now: Timestamp) {
        for (id, known) in &mut self.known {
            if known.due.is_some_and(|due| due <= now) {
                known.due = None;
                self.endpoint.handle_session_timeout(now, *id);
                self.touched.insert(*id);
            }
        }
    }

    /// Sends what is due to everybody who was touched.
    pub(super) fn flush(
        &mut self,
        now: Timestamp,
        marks: &mut Marks,
        out: &mut Vec<(Place, Vec<u8>)>,
    ) -> Result<(), Violation> {
        // Forgets those who never came back.
        self.endpoint.answer_handshakes(now, 0);
        while let Some((place, packet)) = self.endpoint.poll_packet() {
            let kind = packet.first().copied().and_then(PacketKind::from_byte);
            if kind == Some(PacketKind::HandshakeReply)
                && let Some(reply) = HandshakeReply::decode(&packet[1..])
                && !self.answered.insert((place, reply.attempt.0))
            {
                marks.hit(Mark::ReplyRepeated);
            }
            if kind != Some(PacketKind::Reset) || self.bug != Some(Bug::ResetNotSent) {
                out.push((place, packet));
            }
        }
        for id in std::mem::take(&mut self.touched) {
            self.send_session(now, id, out);
            self.look(id, marks)?;
        }
        memory::check_endpoint(&self.endpoint, self.known.len())
    }

    fn send_session(&mut self, now: Timestamp, id: ConnectionId, out: &mut Vec<(Place, Vec<u8>)>) {
        let trusted = self.known.get(&id).map(|known| known.place);
        let trusted = trusted.filter(|_| self.bug == Some(Bug::AddressTrusted));
        let mut packet = Vec::new();
        while let Some(place) = self.endpoint.poll_session(now, id, &mut packet) {
            out.push((trusted.unwrap_or(place), std::mem::take(&mut packet)));
        }
    }

    /// Sees when a session is due next, where it is, and what it has counted.
    fn look(&mut self, id: ConnectionId, marks: &mut Marks) -> Result<(), Violation> {
        let Some(known) = self.known.get_mut(&id) else { return Ok(()) };
        if self.bug != Some(Bug::RelayTimeoutIgnored) {
            known.due = self.endpoint.session_timeout(id);
        }
        if self.bug != Some(Bug::AddressTrusted)
            && let Some(place) = self.endpoint.address(id).filter(|place| *place != known.place)
        {
            marks.hit(Mark::NewPathTaken);
            known.place = place;
        }
        if known.place.is_strangers() {
            return Err(Violation(format!(
                "P3: a session moved to a stranger's {:?}",
                known.place
            )));
        }
        let Some(session) = self.endpoint.session(id) else { return Ok(()) };
        known.seen.note(session, marks);
        memory::check_session(session, known.is_trusted)
    }
}

/// The session that a sealed packet names.
fn named(datagram: &[u8]) -> Option<ConnectionId> {
    let (kind, rest) = datagram.split_first()?;
    let id = rest.first_chunk().filter(|_| *kind == PacketKind::Sealed.byte())?;
    Some(ConnectionId(*id))
}
