//! What arrives on a connection, packet by packet and message by message.
//!
//! Before login only a probe, a handshake and `Attach` mean anything. Afterwards messages that
//! change or ask for something go to the hub; history and pings are answered by the session here.

use protocol::{
    connection::{ConnectionError, ReceivedKind},
    message::{
        ClientMessage, MessageReader, RelayMessage,
        encoding::{DecodeError, read_varint},
    },
    time::Timestamp,
};
use tracing::debug;

use super::{
    Peer, Phase, Shard,
    link::{ReadOutcome, ReadPhase, Readable, begins_with_handshake},
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
        match peer.link.read(&mut self.buffers.read, read_phase) {
            ReadOutcome::Nothing => {}
            ReadOutcome::Ended => self.close(key, "ended by the peer"),
            ReadOutcome::Bytes(end) => {
                if self.take_bytes(now, key, end, Handshakes::Queue) {
                    self.wait_readable(key);
                }
            }
            ReadOutcome::BytesAndMore(end) => {
                if self.take_bytes(now, key, end, Handshakes::Queue)
                    && let Some(peer) = self.peers.get_mut(key)
                {
                    // Others first.
                    peer.link.signal.again();
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
        let end = peer.link.kept(&mut self.buffers.read);
        if self.take_bytes(now, key, end, Handshakes::Answer) {
            self.wait_readable(key);
        }
    }

    /// The hub let it in: what came with `Attach` and behind it is due now.
    pub(super) fn resume_reading(&mut self, now: Timestamp, key: u64, early: &[u8]) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.link.heard = now;
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
        let end = peer.link.kept(&mut self.buffers.read);
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
                peer.link.keep(&buffer[taken..]);
                // Pings and pages are answered here.
                mark_due(&mut self.peers, &mut self.due, key);
                true
            }
            Ok(Next::QueueHandshake) => {
                peer.link.keep(&buffer[taken..]);
                peer.phase = Phase::Queued;
                self.handshakes.push_back(key);
                false
            }
            Ok(Next::AwaitHub(early)) => {
                peer.link.keep(&buffer[taken..]);
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
            debug!(address = %peer.link.address, %error, "connection ended by us");
            // A beacon may help an honest client that has the wrong key.
            peer.link.transmit();
        }
        self.close(key, "misbehaved");
    }

    /// Has the connection woken when there is more; at once, if there is.
    fn wait_readable(&mut self, key: u64) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        match peer.link.wait_readable() {
            Ok(Readable::Later) => {}
            Ok(Readable::Now) => peer.link.signal.again(),
            Err(_) => self.close(key, "socket failed"),
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
        let Some(received) = peer.link.connection.receive(rest)? else {
            return Ok(Next::Wait);
        };
        *taken += received.consumed;
        match received.kind {
            ReceivedKind::Content(content) => match &mut peer.phase {
                Phase::Live(live) => {
                    peer.link.heard = now;
                    if !take_messages(content, session, live, outgoing)? {
                        return Ok(Next::Leave);
                    }
                }
                Phase::Silent
                | Phase::Queued
                | Phase::Greeted
                | Phase::Attaching(_)
                | Phase::Leaving(..) => {
                    let early = take_attach(content)?;
                    let (attach, early) = early;
                    let channel_key =
                        peer.link.connection.peer().ok_or(ConnectionError::NotEstablished)?;
                    outgoing.push(Input::Attach {
                        session,
                        channel_key: channel_key.static_key,
                        address: peer.link.address.ip().to_canonical(),
                        attach,
                    });
                    peer.link.connection.allow_full_packets();
                    return Ok(Next::AwaitHub(early));
                }
            },
            ReceivedKind::Handshake => {
                peer.phase = Phase::Greeted;
                peer.link.transmit();
            }
            ReceivedKind::Probe => {
                peer.link.transmit();
            }
            // For initiators; a responder never says so.
            ReceivedKind::Established | ReceivedKind::Beacon(_) => {}
        }
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
