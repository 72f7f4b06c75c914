//! The relay's side of one socket: which session a datagram belongs to, and what strangers get.
//!
//! A stranger costs little: a probe or handshake-init is answered with less than it brings, public-key
//! work waits in a short queue until the driver has time for it, and when that queue is not short any
//! more, whoever asks has to show with a cookie that it is where it says. A handshake that was
//! answered is remembered for a while, so that the same init from the same place gets the same reply.
//! From another place it is another handshake: who has read an init on its way cannot take its
//! answer away, and no session is with an address that did not get its reply.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::{
    cookie::Cookies,
    header::{To, connection_id},
    session::{Received, Session},
    whereabouts::{Challenge, Whereabouts},
};
use crate::{
    channel::{
        established::TAG_BYTES,
        handshake::{self, Capabilities, Route, Welcome},
    },
    connection::{ResponderConfig, attempt::prologue},
    entropy::Entropy,
    ids::sha256,
    offer::Choice,
    time::Timestamp,
    transport::{
        TransportKind,
        datagram::{Codepoint, trace::Payloads},
        packet::{
            AttemptId, ConnectionId, HandshakeInit, HandshakeReply, PacketKind, Probe, Reset,
            ResetToken, Retry,
        },
    },
};

/// Handshakes that wait for their public-key work, at 90 µs each.
pub const WAITING_MAX: usize = 64;
/// With more than so many waiting, a cookie is asked for.
const WAITING_WITHOUT_COOKIE: usize = 16;
/// Handshakes answered without a cookie in one second, a hundredth of a core's time: who floods us
/// from invented addresses gets no more public-key work than that.
const WITHOUT_COOKIE_PER_SECOND: u32 = 128;
/// Sessions whose device has not shown that it is there.
pub const PROVISIONAL_MAX: usize = 1_024;
/// How long such a session lives, and its reply is repeated.
const PROVISIONAL_TIME: Duration = Duration::from_secs(10);
/// A reset: kind and token.
const RESET_BYTES: usize = 1 + 16;
/// Resets in one second, whoever they are for.
const RESETS_PER_SECOND: u32 = 100;
/// Bytes of a challenge: header, frame, tag. The smallest packet of a client has as many.
const CHALLENGE_BYTES: usize = To::Client.header_bytes() + 9 + TAG_BYTES;

/// Where a peer is, as the driver names it: an address and a port.
pub trait Address: Copy + Ord + fmt::Debug {
    /// Its bytes, for the cookie: the same for the same place, and for no other.
    fn bytes(&self) -> [u8; 18];
}

impl Address for std::net::SocketAddr {
    fn bytes(&self) -> [u8; 18] {
        let ip = match self.ip() {
            std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            std::net::IpAddr::V6(ip) => ip,
        };
        let mut bytes = [0; 18];
        bytes[..16].copy_from_slice(&ip.octets());
        bytes[16..].copy_from_slice(&self.port().to_be_bytes());
        bytes
    }
}

/// What an endpoint is made from.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Who the relay is.
    pub responder: Arc<ResponderConfig>,
    /// First byte of all connection ids: which part of the relay has these sessions.
    pub shard: u8,
}

/// All sessions of a socket.
///
/// # Driving it
///
/// Give it every datagram, then look at the session that [`Self::handle_datagram`] names. Call
/// [`Self::answer_handshakes`] with as many as there is time for. Send what [`Self::poll_packet`]
/// gives, then what [`Self::poll_session`] gives for every session that something may be due for.
pub struct Endpoint<A> {
    config: EndpointConfig,
    entropy: Entropy,
    cookies: Cookies,
    reset_key: hmac::Key,
    /// By the first name of each, which is what the driver knows it by.
    /// Boxed: a tree's nodes are not full, and what is missing in them would cost as much.
    sessions: BTreeMap<ConnectionId, Box<Entry<A>>>,
    /// The first names of sessions by the names that they were given later.
    renamed: BTreeMap<ConnectionId, ConnectionId>,
    /// Replies by what they answer.
    replies: BTreeMap<Knock<A>, Vec<u8>>,
    /// Sessions that are provisional, the oldest first; also some that are not any more.
    provisional: VecDeque<(Timestamp, ConnectionId, Knock<A>)>,
    waiting: VecDeque<Waiting<A>>,
    outgoing: VecDeque<(A, Vec<u8>)>,
    resets: Allowance,
    without_cookie: Allowance,
    /// What is recorded of sessions that begin.
    records: Option<Payloads>,
}

struct Entry<A> {
    session: Session,
    /// When its handshake was answered, until the device has shown that it is there.
    provisional_since: Option<Timestamp>,
    whereabouts: Whereabouts<A>,
}

/// A handshake-init, to know it again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Knock<A> {
    from: A,
    digest: InitDigest,
}

/// All of a handshake-init but its cookie. An attempt id alone is no name: anybody can use one that
/// they have seen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InitDigest(pub(crate) [u8; 32]);

impl InitDigest {
    fn of(init: &HandshakeInit<'_>) -> Self {
        let Choice { version, suite } = init.choice;
        Self(sha256(&[&version.0.to_be_bytes(), &[suite.0], &init.attempt.0, init.noise]))
    }
}

/// How often something was done in the present second.
#[derive(Default)]
struct Allowance {
    since: Timestamp,
    taken: u32,
}

impl Allowance {
    /// Whether it may be done once more.
    fn take(&mut self, now: Timestamp, per_second: u32) -> bool {
        if now.since(self.since) >= Duration::from_secs(1) {
            *self = Self { since: now, taken: 0 };
        }
        let is_allowed = self.taken < per_second;
        self.taken += u32::from(is_allowed);
        is_allowed
    }
}

struct Waiting<A> {
    knock: Knock<A>,
    choice: Choice,
    attempt: AttemptId,
    noise: Vec<u8>,
}

impl<A: Address> Endpoint<A> {
    /// An endpoint without sessions.
    pub fn new(config: EndpointConfig, mut entropy: Entropy) -> Self {
        let cookies = Cookies::new(&mut entropy);
        // From the relay's key, so that a relay that was started again can still reset.
        let label = [b"datagram reset v1".as_slice(), config.responder.static_key.seed()].concat();
        let label = Zeroizing::new(label);
        let reset_key = hmac::Key::new(hmac::HMAC_SHA256, &label);
        Self {
            config,
            entropy,
            cookies,
            reset_key,
            sessions: BTreeMap::new(),
            renamed: BTreeMap::new(),
            replies: BTreeMap::new(),
            provisional: VecDeque::new(),
            waiting: VecDeque::new(),
            outgoing: VecDeque::new(),
            resets: Allowance::default(),
            without_cookie: Allowance::default(),
            records: None,
        }
    }

    /// From now on what sessions do is recorded from their first packet on; see [`Session::record`].
    pub const fn record_new(&mut self, payloads: Option<Payloads>) {
        self.records = payloads;
    }

    /// Takes a datagram and the codepoint that it came with, and decrypts it in place. The session
    /// that it belonged to, if something may have changed for it.
    ///
    /// Of a relay with several endpoints, a session's datagram is for one of them alone, as
    /// [`shard_of`](super::shard_of) says: any of them would answer it with a reset.
    pub fn handle_datagram(
        &mut self,
        now: Timestamp,
        from: A,
        codepoint: Codepoint,
        datagram: &mut [u8],
    ) -> Option<ConnectionId> {
        let (kind, rest) = datagram.split_first()?;
        match PacketKind::from_byte(*kind)? {
            PacketKind::Sealed => self.handle_sealed(now, from, codepoint, datagram),
            PacketKind::Probe => {
                let probe = Probe::decode_padded(rest)?;
                let beacon = self.config.responder.beacon(probe.attempt).encode();
                self.outgoing.push_back((from, beacon));
                None
            }
            PacketKind::HandshakeInit => {
                self.handle_init(now, from, &HandshakeInit::decode_padded(rest)?);
                None
            }
            PacketKind::Beacon
            | PacketKind::HandshakeReply
            | PacketKind::Retry
            | PacketKind::Reset => None,
        }
    }

    /// Does the public-key work of at most `count` handshakes. True if more are waiting.
    pub fn answer_handshakes(&mut self, now: Timestamp, count: usize) -> bool {
        self.forget_old(now);
        for _ in 0..count {
            let Some(waiting) = self.waiting.pop_front() else { return false };
            self.answer(now, waiting);
        }
        !self.waiting.is_empty()
    }

    /// A datagram that has to leave and belongs to no session.
    pub fn poll_packet(&mut self) -> Option<(A, Vec<u8>)> {
        self.outgoing.pop_front()
    }

    /// Appends the next datagram of a session to `out`; where it goes.
    pub fn poll_session(
        &mut self,
        now: Timestamp,
        id: ConnectionId,
        out: &mut Vec<u8>,
    ) -> Option<A> {
        let entry = self.sessions.get_mut(&id)?;
        let challenge = entry.whereabouts.challenge(now, CHALLENGE_BYTES, &mut self.entropy);
        if let Some(Challenge { to, bytes }) = challenge {
            return entry.session.challenge(now, bytes, out).then_some(to);
        }
        entry.session.poll_packet(now, out).then_some(entry.whereabouts.address())
    }

    /// A session.
    pub fn session(&mut self, id: ConnectionId) -> Option<&mut Session> {
        self.sessions.get_mut(&id).map(|entry| &mut entry.session)
    }

    /// Where the peer of a session is.
    pub fn address(&self, id: ConnectionId) -> Option<A> {
        self.sessions.get(&id).map(|entry| entry.whereabouts.address())
    }

    /// When time alone changes something for a session.
    pub fn session_timeout(&self, id: ConnectionId) -> Option<Timestamp> {
        let entry = self.sessions.get(&id)?;
        let challenge = entry.whereabouts.due(CHALLENGE_BYTES);
        [entry.session.poll_timeout(), challenge].into_iter().flatten().min()
    }

    /// That time has come.
    pub fn handle_session_timeout(&mut self, now: Timestamp, id: ConnectionId) {
        if let Some(entry) = self.sessions.get_mut(&id) {
            entry.session.handle_timeout(now);
        }
    }

    /// Forgets a session. What comes for it from now on is answered with a reset.
    pub fn remove(&mut self, id: ConnectionId) {
        let Some(entry) = self.sessions.remove(&id) else { return };
        for name in entry.whereabouts.names() {
            self.renamed.remove(name);
        }
    }

    /// How many sessions there are, provisional ones included.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// How many handshakes wait for their public-key work: at most [`WAITING_MAX`].
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Answered handshakes that are remembered, provisional sessions among them: at most
    /// [`PROVISIONAL_MAX`].
    pub fn remembered(&self) -> usize {
        self.provisional.len()
    }

    fn handle_sealed(
        &mut self,
        now: Timestamp,
        from: A,
        codepoint: Codepoint,
        datagram: &mut [u8],
    ) -> Option<ConnectionId> {
        let name = connection_id(datagram)?;
        let id = self.renamed.get(&name).copied().unwrap_or(name);
        let Some(entry) = self.sessions.get_mut(&id) else {
            self.reset(now, from, name, datagram.len());
            return None;
        };
        let bytes = datagram.len();
        match entry.session.handle_packet(now, codepoint, datagram) {
            Ok(Received::Ignored) => return None,
            Ok(Received::Closed) | Err(_) => {
                self.remove(id);
                return Some(id);
            }
            Ok(Received::Taken { is_newest }) => {
                // Only now it is certain that the device is there, and about how far.
                if let Some(answered_at) = entry.provisional_since.take() {
                    entry.session.guess_round_trip(now.since(answered_at));
                }
                // Whatever was overtaken says where the device was.
                if is_newest {
                    entry.whereabouts.on_newest(now, from, bytes, &mut self.entropy);
                }
                for old in entry.whereabouts.on_name_used(name) {
                    self.renamed.remove(&old);
                }
                let proof = entry.session.take_proof();
                if proof.is_some_and(|proof| entry.whereabouts.on_proof(proof)) {
                    entry.session.change_path(now);
                    self.rename(id);
                }
            }
        }
        Some(id)
    }

    /// Gives the session of a device that has moved another name.
    fn rename(&mut self, id: ConnectionId) {
        if !self.sessions.get(&id).is_some_and(|entry| entry.whereabouts.may_rename()) {
            return;
        }
        let name = self.new_id();
        let token = self.reset_token(name);
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        entry.whereabouts.rename(name);
        entry.session.rename(name, token);
        self.renamed.insert(name, id);
    }

    fn handle_init(&mut self, now: Timestamp, from: A, init: &HandshakeInit<'_>) {
        let ours = self.config.responder.offer;
        if !ours.versions.contains(init.choice.version) || !ours.suites.contains(init.choice.suite)
        {
            let beacon = self.config.responder.beacon(init.attempt).encode();
            self.outgoing.push_back((from, beacon));
            return;
        }
        let digest = InitDigest::of(init);
        let knock = Knock { from, digest };
        if let Some(packet) = self.replies.get(&knock) {
            self.outgoing.push_back((from, packet.clone()));
            return;
        }
        if self.waiting.iter().any(|waiting| waiting.knock == knock) {
            return;
        }
        let is_there = self.cookies.is_ours(now, from, &digest, init.cookie);
        let mut is_calm = || {
            self.waiting.len() <= WAITING_WITHOUT_COOKIE
                && self.without_cookie.take(now, WITHOUT_COOKIE_PER_SECOND)
        };
        if !is_there && !is_calm() {
            let cookie = self.cookies.make(now, from, &digest);
            let retry = Retry { attempt: init.attempt, cookie: &cookie };
            self.outgoing.push_back((from, retry.encode()));
            return;
        }
        // Whoever has a cookie and finds the queue full tries again by itself.
        if self.waiting.len() < WAITING_MAX {
            let HandshakeInit { choice, attempt, noise, .. } = *init;
            self.waiting.push_back(Waiting { knock, choice, attempt, noise: noise.to_vec() });
        }
    }

    fn answer(&mut self, now: Timestamp, waiting: Waiting<A>) {
        let Waiting { knock, choice, attempt, noise } = waiting;
        let address = knock.from;
        let id = self.new_id();
        let welcome = Welcome {
            offer: self.config.responder.offer,
            capabilities: Capabilities::default(),
            relay_name: &self.config.responder.name,
            route: Some(Route { connection: id.0, reset_token: self.reset_token(id).0 }),
        };
        let prologue = prologue(TransportKind::Datagram, choice, attempt);
        let ephemeral = Zeroizing::new(self.entropy.bytes());
        let key = &self.config.responder.static_key;
        let Ok((channel, peer, reply)) =
            handshake::respond(&prologue, key, ephemeral, &welcome, &noise)
        else {
            // The initiator cannot know what was wrong; who we are is all that may help it.
            let beacon = self.config.responder.beacon(attempt).encode();
            self.outgoing.push_back((address, beacon));
            return;
        };
        let packet = HandshakeReply { attempt, noise: &reply }.encode();
        if self.provisional.len() >= PROVISIONAL_MAX {
            self.forget_oldest_provisional();
        }
        let mut session = Session::new(now, channel.numbered(), peer, To::Client, None);
        session.record(self.records);
        let whereabouts = Whereabouts::new(address);
        let entry = Entry { session, provisional_since: Some(now), whereabouts };
        self.sessions.insert(id, Box::new(entry));
        self.provisional.push_back((now, id, knock));
        self.outgoing.push_back((address, packet.clone()));
        self.replies.insert(knock, packet);
    }

    fn new_id(&mut self) -> ConnectionId {
        loop {
            let mut id = self.entropy.bytes();
            id[0] = self.config.shard;
            let id = ConnectionId(id);
            if !self.sessions.contains_key(&id) && !self.renamed.contains_key(&id) {
                return id;
            }
        }
    }

    fn forget_old(&mut self, now: Timestamp) {
        while self.provisional.front().is_some_and(|(at, ..)| now.since(*at) >= PROVISIONAL_TIME) {
            self.forget_oldest_provisional();
        }
    }

    fn forget_oldest_provisional(&mut self) {
        let Some((_, id, knock)) = self.provisional.pop_front() else { return };
        self.replies.remove(&knock);
        if self.sessions.get(&id).is_some_and(|entry| entry.provisional_since.is_some()) {
            self.remove(id);
        }
    }

    /// A datagram for nobody. The answer is shorter than what causes it, and few are given.
    fn reset(&mut self, now: Timestamp, to: A, id: ConnectionId, bytes: usize) {
        if bytes <= RESET_BYTES || !self.resets.take(now, RESETS_PER_SECOND) {
            return;
        }
        self.outgoing.push_back((to, Reset { token: self.reset_token(id) }.encode()));
    }

    fn reset_token(&self, id: ConnectionId) -> ResetToken {
        let tag = hmac::sign(&self.reset_key, &id.0);
        let token = tag.as_ref().first_chunk().expect("HMAC-SHA256 has 32 bytes");
        ResetToken(*token)
    }
}

impl<A> fmt::Debug for Endpoint<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({} sessions)", self.sessions.len())
    }
}
