//! A shard: one thread that owns sockets and sessions, and works in turns.
//!
//! ```text
//!   wait ─▶ mail: new connections, publications, answers
//!        ─▶ read what is ready, unless the hub's batch is full; inputs go to the hub together
//!        ─▶ a few handshakes: strangers never hold up those who are here
//!        ─▶ one packet for every session that something is due for
//!        ─▶ once a second, look for who is too slow or silent
//!        ─▶ datagrams of strangers, if they did not have their share of the time
//! ```
//!
//! There is one task, not one per connection: everything that became due meanwhile is seen before
//! anything is sent, so that it leaves in one packet and one system call (`ready` has the wakers).
//! [`link`] is a connection's socket, [`intake`] understands what arrives on it, and
//! [`crate::session`] decides what a live one gets.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};

use protocol::{
    connection::{Connection, ResponderConfig},
    entropy::Entropy,
    ids::ConversationId,
    limits::BATCH_BYTES_TARGET,
    time::Timestamp,
};
use tokio::{
    net::TcpStream,
    time::{Interval, MissedTickBehavior, interval},
};
use tracing::{debug, warn};

use self::{
    datagrams::{DatagramSetup, Datagrams},
    followers::Followers,
    link::{Link, StreamLink, WriteOutcome},
    mail::{Accepted, ShardMail},
    outgoing::Outgoing,
    ready::{LinkSignal, ReadyList},
    slots::Slots,
};
use crate::{
    clock::Clock,
    hub::{Input, Publication, SessionId, ToSession},
    net::{acceptor::ShardHandle, admission::Permit},
    session::Session,
    tail::Tails,
    threads::{
        hub::HubInbox,
        reader::{ReadJob, ReadQueue},
    },
};

pub(crate) mod datagrams;
mod followers;
mod intake;
mod link;
pub(crate) mod mail;
mod outgoing;
mod ready;
mod slots;
mod strangers;
mod tracer;

/// Read at a time, by all connections of a shard in turn: the largest packet that can wait in
/// front, and as much again.
const READ_BUFFER_BYTES: usize = 128 << 10;
/// Sealed bytes handed to the socket at a time, at least; also the most that waits for a slow one,
/// give or take a packet.
const WRITE_BYTES: usize = 48 << 10;
/// Handshakes answered in one turn: at 180 µs each, live sessions wait 1.5 ms for them.
const HANDSHAKES_PER_TURN: usize = 8;
/// How often slow and silent connections are looked for. Their limits are seconds.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// A connection that was silent for this long gives back what it can make again.
const REST_AFTER: Duration = Duration::from_secs(1);
/// Connections with expanded keys, which take more than a kibibyte; expanding costs as much as
/// sealing two messages.
const AWAKE_MAX: usize = 256;
/// How long a goodbye may take to leave.
const GOODBYE_TIME: Duration = Duration::from_secs(2);

/// What all shards of a relay are made from.
#[derive(Clone, Debug)]
pub(crate) struct ShardSetup {
    pub(crate) responder: Arc<ResponderConfig>,
    pub(crate) limits: ShardLimits,
    pub(crate) tail_bytes: usize,
}

/// What a shard is surrounded by.
pub(crate) struct ShardSurroundings {
    pub(crate) index: u16,
    pub(crate) handle: ShardHandle,
    pub(crate) hub: Arc<HubInbox>,
    pub(crate) reads: Arc<ReadQueue>,
    pub(crate) clock: Clock,
    /// Sockets for datagrams, if this shard has them.
    pub(crate) datagrams: Option<DatagramSetup>,
}

/// What a shard enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardLimits {
    /// Connections that have not logged in.
    pub(crate) logins_pending_max: usize,
    /// How long logging in may take.
    pub(crate) login_time: Duration,
    /// How long a session may be silent.
    pub(crate) silence_max: Duration,
}

/// Makes what runs on the shard's thread.
pub(crate) fn start(
    setup: ShardSetup,
    mut surroundings: ShardSurroundings,
) -> io::Result<impl FnOnce() + Send> {
    // One task: after each of its turns the kernel is asked what is new.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().event_interval(1).build()?;
    let datagrams = {
        // Sockets and timers belong to the runtime that they are made in.
        let _inside = runtime.enter();
        let new =
            |datagrams| Datagrams::new(datagrams, Arc::clone(&setup.responder), surroundings.index);
        surroundings.datagrams.take().map(new).transpose()?
    };
    Ok(move || {
        // A task of its own is woken without a system call, unlike the future that `block_on`
        // drives; and a turn takes as long as it takes, whatever tokio thinks is fair.
        let turns =
            async { tokio::task::unconstrained(Shard::new(setup, surroundings, datagrams)).await };
        let ended = runtime.block_on(async { tokio::spawn(turns).await });
        if let Err(error) = ended {
            tracing::error!(%error, "a shard has panicked");
        }
    })
}

struct Shard {
    responder: Arc<ResponderConfig>,
    limits: ShardLimits,
    around: ShardSurroundings,
    entropy: Entropy,
    peers: Slots<Peer>,
    ready: Arc<ReadyList>,
    tails: Tails,
    followers: Followers,
    outgoing: Outgoing,
    datagrams: Option<Datagrams>,
    /// Connections that have not logged in, oldest first; also some that have since.
    newcomers: VecDeque<u64>,
    logins_pending: usize,
    /// Whose handshake has arrived and is not answered yet.
    handshakes: VecDeque<u64>,
    /// Whom something is due for.
    due: Vec<u64>,
    /// Connections with expanded keys, those that woke first in front.
    awake: VecDeque<u64>,
    sweep: Interval,
    buffers: Buffers,
    stopped: bool,
}

/// Buffers of the thread, none of them a connection's.
struct Buffers {
    read: Vec<u8>,
    seal: Vec<u8>,
    mail: Vec<ShardMail>,
    ready: Vec<u64>,
    held: Vec<u64>,
    content: Vec<u8>,
}

/// A connection and how far it has come.
struct Peer {
    link: Link,
    address: SocketAddr,
    /// When the peer was last heard.
    heard: Timestamp,
    _permit: Permit,
    phase: Phase,
    /// What its session follows.
    follows: Vec<ConversationId>,
    is_due: bool,
    /// It is on the list of those who have expanded keys.
    is_awake: bool,
}

/// How far a connection has come.
enum Phase {
    /// Nothing worth an answer has arrived.
    Silent,
    /// Its handshake waits for its turn.
    Queued,
    /// Its handshake is answered, which may have been a replay: it has to attach.
    Greeted,
    /// The hub decides about it; nothing more is read. What came with its first message waits.
    Attaching(Vec<u8>),
    /// It is a session.
    Live(Box<Session>),
    /// It is being told why it has to go, and is closed when that has left, or at this time.
    Leaving(Box<Session>, Timestamp),
}

impl Peer {
    /// Gives the expanded keys back.
    fn rest(&mut self) {
        if let Some(link) = self.link.stream() {
            link.rest();
        }
        self.is_awake = false;
    }
}

impl Phase {
    const fn is_login_pending(&self) -> bool {
        match self {
            Self::Silent | Self::Queued | Self::Greeted | Self::Attaching(_) => true,
            Self::Live(_) | Self::Leaving(..) => false,
        }
    }
}

impl Future for Shard {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.turn(context);
        if self.stopped { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Shard {
    fn new(setup: ShardSetup, around: ShardSurroundings, datagrams: Option<Datagrams>) -> Self {
        let mut sweep = interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            responder: setup.responder,
            limits: setup.limits,
            around,
            entropy: Entropy::system(),
            peers: Slots::new(),
            ready: Arc::default(),
            tails: Tails::new(setup.tail_bytes),
            followers: Followers::default(),
            outgoing: Outgoing::default(),
            datagrams,
            newcomers: VecDeque::new(),
            logins_pending: 0,
            handshakes: VecDeque::new(),
            due: Vec::new(),
            awake: VecDeque::new(),
            sweep,
            buffers: Buffers {
                read: vec![0; READ_BUFFER_BYTES],
                seal: Vec::with_capacity(READ_BUFFER_BYTES),
                mail: Vec::new(),
                ready: Vec::new(),
                held: Vec::new(),
                content: Vec::new(),
            },
            stopped: false,
        }
    }

    fn turn(&mut self, context: &mut Context<'_>) {
        let now = self.around.clock.now();
        self.take_mail(now, context.waker());
        if self.stopped {
            return;
        }
        self.take_ready(now, context.waker());
        self.take_datagrams(now, context);
        let handshakes_left = self.answer_handshakes(now, context.waker());
        self.outgoing.post(&self.around.hub);
        self.send_due(now);
        while self.peers.len() > 0 && self.sweep.poll_tick(context).is_ready() {
            self.sweep(now);
        }
        if let Some(datagrams) = &mut self.datagrams {
            datagrams.flush(now);
            // At least one, for they are not to wait for ever either.
            datagrams.serve_strangers(self.around.clock, context, handshakes_left.max(1));
            datagrams.sleep(self.around.clock, context);
        }
    }

    fn take_mail(&mut self, now: Timestamp, waker: &Waker) {
        let mut mail = std::mem::take(&mut self.buffers.mail);
        self.around.handle.mail.take(&mut mail, waker);
        for item in mail.drain(..) {
            match item {
                ShardMail::Accepted(accepted) => self.adopt(now, accepted),
                ShardMail::Publish(publication) => self.publish(&publication),
                ShardMail::ToSession(session, message) => self.on_hub(now, session, message),
                ShardMail::Read(session, read, answer) => {
                    if let Some(peer) = self.peers.get_mut(session.number())
                        && let Phase::Live(live) = &mut peer.phase
                    {
                        live.handle_read(read, answer, &self.tails);
                        mark_due(&mut self.peers, &mut self.due, session.number());
                    }
                }
                ShardMail::ReadAgain => {
                    for key in std::mem::take(&mut self.buffers.held) {
                        match self.peers.get_mut(key).map(|peer| &mut peer.link) {
                            Some(Link::Stream(link)) => link.signal.again(),
                            Some(Link::Datagrams(_)) => self.read_datagrams(now, key),
                            None => {}
                        }
                    }
                }
                ShardMail::Configure(limits) => self.limits = limits,
                ShardMail::Stop => self.stop(),
            }
        }
        self.buffers.mail = mail;
    }

    fn publish(&mut self, publication: &Publication) {
        self.tails.publish(publication);
        let heads = publication.runs.iter().map(|run| (run.conversation, run.last()));
        let advanced = publication.advanced.iter().map(|(id, head, _)| (*id, *head));
        for (id, head) in heads.chain(advanced) {
            for key in self.followers.of(id) {
                let Some(peer) = self.peers.get_mut(*key) else { continue };
                if let Phase::Live(live) = &mut peer.phase {
                    live.advance(id, head);
                }
                if !std::mem::replace(&mut peer.is_due, true) {
                    self.due.push(*key);
                }
            }
        }
    }

    fn adopt(&mut self, now: Timestamp, accepted: Accepted) {
        let Accepted { stream, address, permit } = accepted;
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                warn!(%error, "cannot wait for a connection");
                self.around.handle.connections.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        };
        if self.logins_pending >= self.limits.logins_pending_max && !self.drop_oldest_newcomer() {
            debug!(%address, "logins_pending_max reached");
            self.around.handle.connections.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let connection = Connection::responder(Arc::clone(&self.responder), &mut self.entropy);
        let ready = &self.ready;
        let key = self.peers.insert_with(|key| {
            let signal = LinkSignal::new(ready, key);
            // Whatever has arrived already is looked at in this turn.
            signal.again();
            Some(Peer {
                link: Link::Stream(StreamLink::new(stream, connection, signal)),
                address,
                heard: now,
                _permit: permit,
                phase: Phase::Silent,
                follows: Vec::new(),
                is_due: false,
                is_awake: false,
            })
        });
        match key {
            Some(key) => {
                self.logins_pending += 1;
                self.newcomers.push_back(key);
            }
            None => {
                self.around.handle.connections.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Makes room for a newcomer at the cost of the one that has been silent longest. Whoever has
    /// sent a handshake and waits for us is not silent.
    fn drop_oldest_newcomer(&mut self) -> bool {
        for _ in 0..self.newcomers.len() {
            let Some(key) = self.newcomers.pop_front() else { break };
            match self.peers.get_mut(key).map(|peer| &peer.phase) {
                Some(Phase::Silent | Phase::Greeted) => {
                    self.close(key, "logins_pending_max reached");
                    return true;
                }
                Some(Phase::Queued | Phase::Attaching(_)) => self.newcomers.push_back(key),
                Some(Phase::Live(_) | Phase::Leaving(..)) | None => {}
            }
        }
        false
    }

    fn on_hub(&mut self, now: Timestamp, session: SessionId, message: ToSession) {
        let key = session.number();
        let Some(peer) = self.peers.get_mut(key) else { return };
        let is_attached = matches!(message, ToSession::Attached { .. });
        let is_end = matches!(message, ToSession::Close { .. });
        let mut early = Vec::new();
        if let Phase::Attaching(waiting) = &mut peer.phase {
            early = std::mem::take(waiting);
            self.logins_pending -= 1;
            peer.phase = Phase::Live(Box::default());
        }
        let Phase::Live(live) = &mut peer.phase else { return };
        if let Some(subscription) = live.handle(message, &self.tails) {
            self.followers.apply(key, &mut peer.follows, subscription);
        }
        mark_due(&mut self.peers, &mut self.due, key);
        if is_attached {
            self.resume_reading(now, key, &early);
        } else if is_end {
            self.leave(now, key);
        }
    }

    /// A session has said goodbye: nothing is taken from it any more.
    fn leave(&mut self, now: Timestamp, key: u64) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        match std::mem::replace(&mut peer.phase, Phase::Silent) {
            Phase::Live(session) => {
                peer.phase = Phase::Leaving(session, now + GOODBYE_TIME);
                self.followers.forget(key, &std::mem::take(&mut peer.follows));
            }
            other => peer.phase = other,
        }
    }

    fn take_ready(&mut self, now: Timestamp, waker: &Waker) {
        let mut ready = std::mem::take(&mut self.buffers.ready);
        self.ready.take(&mut ready, waker);
        for key in ready.drain(..) {
            let Some(link) = self.peers.get_mut(key).and_then(|peer| peer.link.stream()) else {
                continue;
            };
            link.signal.clear();
            match link.flush() {
                WriteOutcome::Done => mark_due(&mut self.peers, &mut self.due, key),
                WriteOutcome::Waits => {}
                WriteOutcome::Broken => {
                    self.close(key, "write failed");
                    continue;
                }
            }
            if self.around.hub.holds_input() {
                self.buffers.held.push(key);
            } else {
                self.read(now, key);
            }
        }
        self.buffers.ready = ready;
    }

    /// A few in each turn, on streams and then in datagrams: how many of them are left.
    fn answer_handshakes(&mut self, now: Timestamp, waker: &Waker) -> usize {
        let mut left = HANDSHAKES_PER_TURN;
        while left > 0
            && let Some(key) = self.handshakes.pop_front()
        {
            self.answer_handshake(now, key);
            left -= 1;
        }
        if !self.handshakes.is_empty() {
            waker.wake_by_ref();
        }
        left
    }

    fn send_due(&mut self, now: Timestamp) {
        let mut due = std::mem::take(&mut self.due);
        for key in due.drain(..) {
            match self.send_to(key) {
                Sent::Fine => {}
                Sent::SaysGoodbye => {
                    self.outgoing
                        .push(Input::Detached { session: SessionId::new(self.around.index, key) });
                    self.leave(now, key);
                    if matches!(self.send_to(key), Sent::Gone) {
                        self.close(key, "sent away");
                    }
                }
                Sent::Gone => self.close(key, "gone"),
            }
        }
        self.due = due;
    }

    /// A connection is about to use its keys.
    fn wake(&mut self, key: u64) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if std::mem::replace(&mut peer.is_awake, true) {
            return;
        }
        self.awake.push_back(key);
        if self.awake.len() > AWAKE_MAX
            && let Some(first) = self.awake.pop_front()
            && let Some(peer) = self.peers.get_mut(first)
        {
            peer.rest();
        }
    }

    fn send_to(&mut self, key: u64) -> Sent {
        self.wake(key);
        let Some(peer) = self.peers.get_mut(key) else { return Sent::Fine };
        peer.is_due = false;
        match &mut peer.phase {
            Phase::Live(session) => {
                let outcome = compose(
                    &mut peer.link,
                    self.datagrams.as_mut(),
                    session,
                    &self.tails,
                    &mut self.buffers.seal,
                );
                if outcome == WriteOutcome::Broken {
                    return Sent::Gone;
                }
                if session.is_closing() {
                    return Sent::SaysGoodbye;
                }
                if let Some(read) = session.poll_read() {
                    let session = SessionId::new(self.around.index, key);
                    self.around.reads.post(ReadJob::Session(session, read));
                }
                Sent::Fine
            }
            Phase::Leaving(session, _) => {
                let datagrams = self.datagrams.as_mut();
                let outcome = compose(
                    &mut peer.link,
                    datagrams,
                    session,
                    &self.tails,
                    &mut self.buffers.seal,
                );
                let is_flushed = match &mut peer.link {
                    Link::Stream(link) => link.is_flushed(),
                    Link::Datagrams(id) => {
                        let session = self.datagrams.as_mut().and_then(|it| it.session(*id));
                        session.is_none_or(|session| session.is_flushed())
                    }
                };
                let has_left = is_flushed && !session.has_output();
                if outcome == WriteOutcome::Broken || has_left { Sent::Gone } else { Sent::Fine }
            }
            Phase::Silent | Phase::Queued | Phase::Greeted | Phase::Attaching(_) => Sent::Fine,
        }
    }

    fn sweep(&mut self, now: Timestamp) {
        let mut expired = Vec::new();
        for (key, peer) in self.peers.iter_mut() {
            let silence = now.since(peer.heard);
            let reason = match &mut peer.phase {
                // `heard` is when it was accepted: bytes that trickle in buy no time.
                Phase::Silent | Phase::Queued | Phase::Greeted | Phase::Attaching(_) => {
                    (silence > self.limits.login_time).then_some("login_time reached")
                }
                Phase::Live(session) => {
                    if silence > REST_AFTER {
                        session.rest();
                        match (&mut peer.link, &mut self.datagrams) {
                            (Link::Stream(link), _) => link.rest(),
                            (Link::Datagrams(id), Some(datagrams)) => datagrams.rest(*id),
                            (Link::Datagrams(_), None) => {}
                        }
                        peer.is_awake = false;
                    }
                    (silence > self.limits.silence_max).then_some("silence_max reached")
                }
                Phase::Leaving(_, until) => (now >= *until).then_some("goodbye did not leave"),
            };
            expired.extend(reason.map(|reason| (key, reason)));
        }
        let peers = &mut self.peers;
        self.awake.retain(|key| peers.get_mut(*key).is_some_and(|peer| peer.is_awake));
        for (key, reason) in expired {
            self.close(key, reason);
        }
    }

    /// Forgets a connection. The hub hears of it if it knew it.
    fn close(&mut self, key: u64, reason: &'static str) {
        let Some(peer) = self.peers.remove(key) else { return };
        debug!(address = %peer.address, reason, "connection closed");
        if let (Some(id), Some(datagrams)) = (peer.link.datagrams(), &mut self.datagrams) {
            datagrams.close(self.around.clock.now(), id);
        }
        if peer.phase.is_login_pending() {
            self.logins_pending -= 1;
        }
        self.followers.forget(key, &peer.follows);
        let session = SessionId::new(self.around.index, key);
        match peer.phase {
            Phase::Live(_) | Phase::Attaching(_) => self.outgoing.push(Input::Detached { session }),
            // The hub does not know it, or no longer.
            Phase::Silent | Phase::Queued | Phase::Greeted | Phase::Leaving(..) => {}
        }
        self.around.handle.connections.fetch_sub(1, Ordering::Relaxed);
    }

    fn stop(&mut self) {
        let keys: Vec<u64> = self.peers.iter_mut().map(|(key, _)| key).collect();
        for key in keys {
            self.close(key, "the relay stops");
        }
        self.outgoing.post(&self.around.hub);
        if let Some(datagrams) = &mut self.datagrams {
            datagrams.end(self.around.clock.now());
        }
        self.stopped = true;
    }
}

/// Puts a connection on the list of those who get a packet in this turn.
fn mark_due(peers: &mut Slots<Peer>, due: &mut Vec<u64>, key: u64) {
    if let Some(peer) = peers.get_mut(key)
        && !std::mem::replace(&mut peer.is_due, true)
    {
        due.push(key);
    }
}

/// What became of a session's turn to send.
enum Sent {
    /// What was due is on its way, or waits for the socket.
    Fine,
    /// The session has decided to end.
    SaysGoodbye,
    /// The peer is gone, or was told everything.
    Gone,
}

/// Gives a session's words to its connection until nothing is left or it takes no more.
fn compose(
    link: &mut Link,
    datagrams: Option<&mut Datagrams>,
    session: &mut Session,
    tails: &Tails,
    scratch: &mut Vec<u8>,
) -> WriteOutcome {
    match link {
        Link::Stream(link) => compose_stream(link, session, tails, scratch),
        Link::Datagrams(id) => {
            let Some(transport) = datagrams.and_then(|datagrams| datagrams.session(*id)) else {
                return WriteOutcome::Broken;
            };
            while transport.has_room() && session.has_output() {
                scratch.clear();
                session.compose(tails, scratch, BATCH_BYTES_TARGET);
                if scratch.is_empty() {
                    break;
                }
                transport.write(scratch);
            }
            WriteOutcome::Done
        }
    }
}

/// Packets of the size that seals best, several to a system call.
fn compose_stream(
    link: &mut StreamLink,
    session: &mut Session,
    tails: &Tails,
    scratch: &mut Vec<u8>,
) -> WriteOutcome {
    while link.is_flushed() && session.has_output() {
        scratch.clear();
        while session.has_output() && scratch.len() < WRITE_BYTES {
            let before = scratch.len();
            let sealed = link.connection.seal(scratch, |out| {
                session.compose(tails, out, BATCH_BYTES_TARGET);
            });
            if let Err(error) = sealed {
                warn!(%error, "cannot seal");
                return WriteOutcome::Broken;
            }
            if scratch.len() == before {
                break;
            }
        }
        if scratch.is_empty() {
            break;
        }
        match link.write(scratch) {
            WriteOutcome::Done => {}
            outcome => return outcome,
        }
    }
    WriteOutcome::Done
}
