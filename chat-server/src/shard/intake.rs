//! What arrives on a connection, packet by packet and message by message.
//!
//! Before login only a probe, a handshake and `Attach` mean anything. Afterwards messages that
//! change or ask for something go to the hub; history and pings are answered by the session here.

use std::{sync::atomic::Ordering, task::Context};

use protocol::{
    channel::keys::PublicKey,
    connection::{ConnectionError, ReceivedKind, datagram::SessionError},
    message::{
        ClientMessage, MessageReader, RelayMessage,
        encoding::{DecodeError, read_varint},
    },
    time::Timestamp,
    transport::packet::ConnectionId,
};
use tracing::debug;

use super::{
    Peer, Phase, Shard,
    datagrams::Touched,
    link::{Link, ReadOutcome, ReadPhase, Readable, StreamLink, begins_with_handshake},
    mark_due,
    outgoing::Outgoing,
};
use crate::{
    hub::{Input, SessionId},
    session::Session,
};

/// `Send` among the client's messages (wire §5.1). The one message whose body travels to the hub
/// undecoded.
const SEND_NUMBER: u64 = 4;

/// Why a connection is closed because of what arrived.
#[derive(Debug, thiserror::Error)]
enum IntakeError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("malformed message")]
    Malformed(#[from] DecodeError),
    #[error(transparent)]
    Datagrams(#[from] SessionError),
    #[error("first message is not Attach")]
    NotAttach,
    #[error("attached twice")]
    AttachedAgain,
}

/// What to do with the rest of what was read.
enum Next {
    /// It is the front of a packet, or nothing.
    Wait,
    /// It begins with a handshake, which has to wait for its turn.
    QueueHandshake,
    /// The hub decides first. This is what followed `Attach` in its packet.
    AwaitHub(Vec<u8>),
    /// The client said goodbye.
    Leave,
}

impl Shard {
    /// Reads once from a connection that may have something.
    pub(super) fn read(&mut self, now: Timestamp, key: u64) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let read_phase = match &peer.phase {
            Phase::Silent | Phase::Greeted => ReadPhase::BeforeLogin,
            Phase::Live(_) => ReadPhase::Live,
            // Not before the hub, or our own turn, has come; or never again.
            Phase::Queued | Phase::Attaching(_) | Phase::Leaving(..) => return,
        };
        let Some(link) = peer.link.stream() else { return };
        match link.read(&mut self.buffers.read, read_phase) {
            ReadOutcome::Nothing => {}
            ReadOutcome::Ended => self.close(key, "ended by the peer"),
            ReadOutcome::Bytes(end) => {
                if self.take_bytes(now, key, end, Handshakes::Queue) {
                    self.wait_readable(key);
                }
            }
            ReadOutcome::BytesAndMore(end) => {
                if self.take_bytes(now, key, end, Handshakes::Queue)
                    && let Some(link) = self.stream(key)
                {
                    // Others first.
                    link.signal.again();
                }
            }
        }
    }

    /// Answers a handshake that waited for its turn.
    pub(super) fn answer_handshake(&mut self, now: Timestamp, key: u64) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if !matches!(peer.phase, Phase::Queued) {
            return;
        }
        peer.phase = Phase::Silent;
        let Some(link) = peer.link.stream() else { return };
        let end = link.kept(&mut self.buffers.read);
        if self.take_bytes(now, key, end, Handshakes::Answer) {
            self.wait_readable(key);
        }
    }

    /// The hub let it in: what came with `Attach` and behind it is due now.
    pub(super) fn resume_reading(&mut self, now: Timestamp, key: u64, early: &[u8]) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.heard = now;
        let session = SessionId::new(self.around.index, key);
        if let Phase::Live(live) = &mut peer.phase {
            match take_messages(early, session, live, &mut self.outgoing) {
                Ok(true) => {}
                Ok(false) => return self.close(key, "detached"),
                Err(error) => return self.misbehaved(key, &error),
            }
        }
        mark_due(&mut self.peers, &mut self.due, key);
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(link) = peer.link.stream() else { return self.read_datagrams(now, key) };
        let end = link.kept(&mut self.buffers.read);
        if self.take_bytes(now, key, end, Handshakes::Queue) {
            self.wait_readable(key);
        }
    }

    /// Takes what stands in the first `end` bytes of the read buffer; whether to go on reading.
    fn take_bytes(&mut self, now: Timestamp, key: u64, end: usize, handshakes: Handshakes) -> bool {
        self.wake(key);
        let Some(peer) = self.peers.get_mut(key) else { return false };
        let session = SessionId::new(self.around.index, key);
        let mut taken = 0;
        let buffer = &mut self.buffers.read[..end];
        let next =
            take_packets(peer, now, session, buffer, &mut taken, handshakes, &mut self.outgoing);
        match next {
            Ok(Next::Wait) => {
                peer.keep(&buffer[taken..]);
                // Pings and pages are answered here.
                mark_due(&mut self.peers, &mut self.due, key);
                true
            }
            Ok(Next::QueueHandshake) => {
                peer.keep(&buffer[taken..]);
                peer.phase = Phase::Queued;
                self.handshakes.push_back(key);
                false
            }
            Ok(Next::AwaitHub(early)) => {
                peer.keep(&buffer[taken..]);
                peer.phase = Phase::Attaching(early);
                false
            }
            Ok(Next::Leave) => {
                self.close(key, "detached");
                false
            }
            Err(error) => {
                self.misbehaved(key, &error);
                false
            }
        }
    }

    fn misbehaved(&mut self, key: u64, error: &IntakeError) {
        if let Some(peer) = self.peers.get_mut(key) {
            debug!(address = %peer.address, %error, "connection ended by us");
            if let Some(link) = peer.link.stream() {
                // A beacon may help an honest client that has the wrong key.
                link.transmit();
            }
        }
        self.close(key, "misbehaved");
    }

    /// Takes what has arrived in datagrams.
    pub(super) fn take_datagrams(&mut self, now: Timestamp, context: &mut Context<'_>) {
        let Some(datagrams) = &mut self.datagrams else { return };
        datagrams.handle_timeouts(now);
        for touched in datagrams.receive(now, context) {
            match touched {
                Touched::New(id) => {
                    if let Some(key) = self.adopt_datagrams(now, id) {
                        self.read_datagrams(now, key);
                    }
                }
                Touched::Known(key) if self.around.hub.holds_input() => self.buffers.held.push(key),
                Touched::Known(key) => self.read_datagrams(now, key),
                Touched::Ended(key) => self.close(key, "ended by the peer"),
            }
        }
    }

    /// A device has shown that it is there: it gets a place, if there is one.
    fn adopt_datagrams(&mut self, now: Timestamp, id: ConnectionId) -> Option<u64> {
        let is_full = self.logins_pending >= self.limits.logins_pending_max;
        if is_full && !self.drop_oldest_newcomer() {
            debug!("logins_pending_max reached");
            self.datagrams.as_mut()?.close(now, id);
            return None;
        }
        let datagrams = self.datagrams.as_mut()?;
        let address = datagrams.route(id)?.peer;
        let admitted = datagrams.admission.admit(address.ip().to_canonical());
        let permit = match admitted {
            Ok(permit) => permit,
            Err(limit) => {
                debug!(%address, %limit, "connection refused");
                datagrams.close(now, id);
                return None;
            }
        };
        let link = Link::Datagrams(id);
        let peer = Peer {
            link,
            address,
            heard: now,
            _permit: permit,
            phase: Phase::Greeted,
            follows: Vec::new(),
            is_due: false,
            is_awake: false,
        };
        let key = self.peers.insert_with(|_| Some(peer))?;
        self.around.handle.connections.fetch_add(1, Ordering::Relaxed);
        self.logins_pending += 1;
        self.newcomers.push_back(key);
        datagrams.adopt(id, key);
        Some(key)
    }

    /// Takes the messages that have arrived whole in a session's datagrams.
    pub(super) fn read_datagrams(&mut self, now: Timestamp, key: u64) {
        let mut content = std::mem::take(&mut self.buffers.content);
        let taken = self.take_contents(now, key, &mut content);
        self.buffers.content = content;
        match taken {
            Ok(Next::Wait | Next::QueueHandshake) => mark_due(&mut self.peers, &mut self.due, key),
            Ok(Next::AwaitHub(early)) => {
                if let Some(peer) = self.peers.get_mut(key) {
                    peer.phase = Phase::Attaching(early);
                }
            }
            Ok(Next::Leave) => self.close(key, "detached"),
            Err(error) => self.misbehaved(key, &error),
        }
    }

    fn take_contents(
        &mut self,
        now: Timestamp,
        key: u64,
        content: &mut Vec<u8>,
    ) -> Result<Next, IntakeError> {
        let session = SessionId::new(self.around.index, key);
        let Some(peer) = self.peers.get_mut(key) else { return Ok(Next::Wait) };
        let Some(id) = peer.link.datagrams() else { return Ok(Next::Wait) };
        peer.heard = now;
        loop {
            if matches!(peer.phase, Phase::Attaching(_) | Phase::Leaving(..)) {
                return Ok(Next::Wait);
            }
            let transport = self.datagrams.as_mut().and_then(|datagrams| datagrams.session(id));
            let Some(transport) = transport else { return Ok(Next::Leave) };
            content.clear();
            if !transport.read(content)? {
                return Ok(Next::Wait);
            }
            if let Phase::Live(live) = &mut peer.phase {
                if !take_messages(content, session, live, &mut self.outgoing)? {
                    return Ok(Next::Leave);
                }
            } else {
                transport.trust();
                let channel_key = transport.peer().static_key;
                return peer.attach(content, session, channel_key, &mut self.outgoing);
            }
        }
    }

    fn stream(&mut self, key: u64) -> Option<&mut StreamLink> {
        self.peers.get_mut(key)?.link.stream()
    }

    /// Has the connection woken when there is more; at once, if there is.
    fn wait_readable(&mut self, key: u64) {
        let Some(link) = self.stream(key) else { return };
        match link.wait_readable() {
            Ok(Readable::Later) => {}
            Ok(Readable::Now) => link.signal.again(),
            Err(_) => self.close(key, "socket failed"),
        }
    }
}

impl Peer {
    /// Keeps what was read and not taken.
    fn keep(&mut self, bytes: &[u8]) {
        if let Some(link) = self.link.stream() {
            link.keep(bytes);
        }
    }
}

/// What to do with a handshake.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Handshakes {
    Queue,
    Answer,
}

fn take_packets(
    peer: &mut Peer,
    now: Timestamp,
    session: SessionId,
    buffer: &mut [u8],
    taken: &mut usize,
    handshakes: Handshakes,
    outgoing: &mut Outgoing,
) -> Result<Next, IntakeError> {
    loop {
        let rest = &mut buffer[*taken..];
        let is_stranger = matches!(peer.phase, Phase::Silent);
        if is_stranger && handshakes == Handshakes::Queue && begins_with_handshake(rest) {
            return Ok(Next::QueueHandshake);
        }
        let Some(link) = peer.link.stream() else { return Ok(Next::Wait) };
        let Some(received) = link.connection.receive(rest)? else {
            return Ok(Next::Wait);
        };
        *taken += received.consumed;
        match received.kind {
            ReceivedKind::Content(content) => match &mut peer.phase {
                Phase::Live(live) => {
                    peer.heard = now;
                    if !take_messages(content, session, live, outgoing)? {
                        return Ok(Next::Leave);
                    }
                }
                Phase::Silent
                | Phase::Queued
                | Phase::Greeted
                | Phase::Attaching(_)
                | Phase::Leaving(..) => {
                    let who = link.connection.peer().ok_or(ConnectionError::NotEstablished)?;
                    let channel_key = who.static_key;
                    link.connection.allow_full_packets();
                    return peer.attach(content, session, channel_key, outgoing);
                }
            },
            ReceivedKind::Handshake => {
                link.transmit();
                peer.phase = Phase::Greeted;
            }
            ReceivedKind::Probe => {
                link.transmit();
            }
            // For initiators; a responder never says so.
            ReceivedKind::Established | ReceivedKind::Beacon(_) => {}
        }
    }
}

impl Peer {
    /// Takes the first content of a connection, which has to begin with `Attach`.
    fn attach(
        &self,
        content: &[u8],
        session: SessionId,
        channel_key: PublicKey,
        outgoing: &mut Outgoing,
    ) -> Result<Next, IntakeError> {
        let (attach, early) = take_attach(content)?;
        let address = self.address.ip().to_canonical();
        outgoing.push(Input::Attach { session, channel_key, address, attach });
        Ok(Next::AwaitHub(early))
    }
}

/// `Attach`, and what stands behind it in the same packet.
fn take_attach(
    content: &[u8],
) -> Result<(protocol::message::session::Attach, Vec<u8>), IntakeError> {
    let mut messages = MessageReader::new(content);
    let first = messages.next().ok_or(IntakeError::NotAttach)??;
    match ClientMessage::decode(first)? {
        ClientMessage::Attach(attach) => Ok((attach, messages.rest().to_vec())),
        _ => Err(IntakeError::NotAttach),
    }
}

/// Sorts a live session's messages; `false` when the client goes.
fn take_messages(
    content: &[u8],
    session: SessionId,
    live: &mut Session,
    outgoing: &mut Outgoing,
) -> Result<bool, IntakeError> {
    for message in MessageReader::new(content) {
        let message = message?;
        let (number, used) = read_varint(message)?;
        if number == SEND_NUMBER {
            outgoing.push_send(session, &message[used..]);
            continue;
        }
        match ClientMessage::decode(message)? {
            ClientMessage::Attach(_) => return Err(IntakeError::AttachedAgain),
            ClientMessage::Follow(follow) => outgoing.push(Input::Follow { session, follow }),
            ClientMessage::Request(id, request) => {
                outgoing.push(Input::Request { session, id, request });
            }
            ClientMessage::Mark(mark) => outgoing.push_unordered(Input::Mark { session, mark }),
            ClientMessage::Show(show) => outgoing.push_unordered(Input::Show { session, show }),
            ClientMessage::Watch(watch) => outgoing.push_unordered(Input::Watch { session, watch }),
            ClientMessage::Typing(typing) => {
                outgoing.push_unordered(Input::Typing { session, typing });
            }
            ClientMessage::Pull(pull) => live.pull(pull),
            ClientMessage::Ping(ping) => live.push(&RelayMessage::Pong(ping)),
            ClientMessage::Detach(()) => return Ok(false),
            // Of a later version; nothing is expected of us. `Send` was taken above.
            ClientMessage::Unknown(_) | ClientMessage::Send(_) => {}
        }
    }
    Ok(true)
}
