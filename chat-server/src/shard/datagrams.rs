//! The shard's sockets for datagrams, and whose they are: an endpoint finds the session, this finds
//! the connection, and keeps the time for all of them.
//!
//! Every shard that serves datagrams has sockets at every address, and the kernel finds the shard of
//! a session, wherever its client is ([`crate::net::listen`]). Strangers come last, and get a part of
//! the time only: see [`strangers`](super::strangers).

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future as _,
    io,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::Context,
    time::Duration,
};

use protocol::{
    connection::{
        ResponderConfig,
        datagram::{Endpoint, EndpointConfig, Session as DatagramSession, shard_of},
    },
    entropy::Entropy,
    lab::experiment::Way,
    time::Timestamp,
    transport::{datagram::Codepoint, packet::ConnectionId},
};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::info;

use super::{strangers::Strangers, tracer::Tracer};
use crate::{
    clock::Clock,
    lab::{Held, Paths},
    net::{
        admission::Admission,
        listen::DatagramSockets,
        udp::{DatagramSocket, ReceiveBuffer, Route},
    },
};

/// Times that the sockets are read in one turn: others of the shard wait for 32 datagrams each.
const RECEIVES_PER_TURN: usize = 8;

/// What a shard needs to serve datagrams.
#[derive(Debug)]
pub(crate) struct DatagramSetup {
    /// Bound sockets, by address.
    pub(crate) sockets: Vec<DatagramSockets>,
    /// How many shards have such.
    pub(crate) shards: usize,
    /// Who may connect.
    pub(crate) admission: Arc<Admission>,
    /// Where traces of sessions are written to, if they are.
    pub(crate) trace: Option<TraceSetup>,
    /// What datagrams go through on purpose, if anything.
    pub(crate) lab: Option<Paths>,
}

/// Where traces go.
#[derive(Clone, Debug)]
pub(crate) struct TraceSetup {
    /// A directory.
    pub(crate) directory: PathBuf,
    /// What the relay's time counts from, since 1970.
    pub(crate) began: Duration,
}

/// All that a shard has to do with datagrams.
pub(super) struct Datagrams {
    /// By address, as a [`Route`] counts them.
    sockets: Vec<DatagramSocket>,
    strangers: Strangers,
    buffer: ReceiveBuffer,
    endpoint: Endpoint<Route>,
    part: Part,
    /// Sessions whose datagrams came among those of strangers.
    late: BTreeSet<ConnectionId>,
    pub(super) admission: Arc<Admission>,
    /// Which connection a session is.
    keys: BTreeMap<ConnectionId, u64>,
    /// When each session has to be looked at, and the same by session.
    timers: BTreeSet<(Timestamp, ConnectionId)>,
    due: BTreeMap<ConnectionId, Timestamp>,
    sleep: Pin<Box<Sleep>>,
    /// Sessions that may have something to send.
    touched: BTreeSet<ConnectionId>,
    packet: Vec<u8>,
    tracer: Option<Tracer>,
    lab: Option<Paths>,
}

/// Which sessions are this shard's.
struct Part {
    shards: usize,
    index: usize,
}

impl Part {
    /// Whether this is a stranger's datagram, or one of this shard's sessions. The kernel began to
    /// tell shards apart a moment after it took the first datagram, and no shard may say that it does
    /// not know another's session. Any byte is some shard's: one that was given out when there were
    /// more of them is reset there.
    fn has(&self, datagram: &[u8]) -> bool {
        shard_of(datagram).is_none_or(|byte| usize::from(byte) % self.shards == self.index)
    }
}

/// What became of a session because of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touched {
    /// Its device has just shown that it is there.
    New(ConnectionId),
    /// Something came for this connection.
    Known(u64),
    /// This connection is over.
    Ended(u64),
}

impl Datagrams {
    pub(super) fn new(
        setup: DatagramSetup,
        responder: Arc<ResponderConfig>,
        index: u16,
    ) -> io::Result<Self> {
        let (mut sockets, mut strangers) = (Vec::new(), Vec::new());
        for (of_address, number) in setup.sockets.into_iter().zip(0..) {
            sockets.push(DatagramSocket::new(of_address.sessions, number)?);
            let socket = of_address.strangers;
            strangers.extend(socket.map(|socket| DatagramSocket::new(socket, number)).transpose()?);
        }
        let tracer = setup.trace.map(|it| Tracer::new(it.directory, index, it.began));
        let shard = u8::try_from(index).unwrap_or(u8::MAX);
        let mut endpoint = Endpoint::new(EndpointConfig { responder, shard }, Entropy::system());
        endpoint.record_new(tracer.is_some().then_some(Tracer::RECORDS));
        Ok(Self {
            sockets,
            strangers: Strangers::new(strangers),
            buffer: ReceiveBuffer::new(),
            endpoint,
            part: Part { shards: setup.shards, index: usize::from(index) },
            late: BTreeSet::new(),
            admission: setup.admission,
            keys: BTreeMap::new(),
            timers: BTreeSet::new(),
            due: BTreeMap::new(),
            sleep: Box::pin(sleep_until(Instant::now())),
            touched: BTreeSet::new(),
            packet: Vec::new(),
            tracer,
            lab: setup.lab,
        })
    }

    /// Takes what has arrived: what became of whom, in no particular order.
    pub(super) fn receive(&mut self, now: Timestamp, context: &mut Context<'_>) -> Vec<Touched> {
        let mut arrived = std::mem::take(&mut self.late);
        let Self { sockets, buffer, endpoint, part, lab, .. } = self;
        let mut take = |route, codepoint, datagram: &mut [u8]| {
            if part.has(datagram) && !holds(lab, now, Way::Back, (route, codepoint), datagram) {
                arrived.extend(endpoint.handle_datagram(now, route, codepoint, datagram));
            }
        };
        for socket in sockets {
            if socket.receive_rounds(RECEIVES_PER_TURN, context, buffer, &mut take) {
                // Others first.
                context.waker().wake_by_ref();
            }
        }
        while let Some(mut held) = lab.as_mut().and_then(|lab| lab.poll(now, Way::Back)) {
            let Held { route, codepoint, bytes } = &mut held;
            arrived.extend(endpoint.handle_datagram(now, *route, *codepoint, bytes));
        }
        self.touched.extend(&arrived);
        arrived.into_iter().map(|id| self.became(id)).collect()
    }

    fn became(&self, id: ConnectionId) -> Touched {
        match self.keys.get(&id) {
            None => Touched::New(id),
            Some(key) if self.endpoint.address(id).is_some() => Touched::Known(*key),
            Some(key) => Touched::Ended(*key),
        }
    }

    /// A session is this connection from now on.
    pub(super) fn adopt(&mut self, id: ConnectionId, key: u64) {
        self.keys.insert(id, key);
        if let Some(tracer) = &mut self.tracer
            && let Some(route) = self.endpoint.address(id)
            && let Some(socket) = self.sockets.get(usize::from(route.socket))
            && let Some(session) = self.endpoint.session(id)
        {
            tracer.begin(id, session, [socket.address_for(route), route.peer]);
        }
    }

    /// A session, to be written to or read.
    pub(super) fn session(&mut self, id: ConnectionId) -> Option<&mut DatagramSession> {
        self.touched.insert(id);
        self.endpoint.session(id)
    }

    /// Gives back what a session can make again; nothing has happened for a while.
    pub(super) fn rest(&mut self, id: ConnectionId) {
        if let Some(session) = self.endpoint.session(id) {
            session.rest();
        }
    }

    /// Where the peer of a session is.
    pub(super) fn route(&self, id: ConnectionId) -> Option<Route> {
        self.endpoint.address(id)
    }

    /// Tells the peer that the session is over, and forgets it.
    pub(super) fn close(&mut self, now: Timestamp, id: ConnectionId) {
        if let Some(session) = self.endpoint.session(id) {
            session.close();
        }
        self.send_session(now, id);
        if let Some(tracer) = &mut self.tracer {
            tracer.end(id);
        }
        self.endpoint.remove(id);
        self.keys.remove(&id);
        self.touched.remove(&id);
        if let Some(at) = self.due.remove(&id) {
            self.timers.remove(&(at, id));
        }
    }

    /// Lets time pass for those whose time has come.
    pub(super) fn handle_timeouts(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.remove(&(at, id));
            self.due.remove(&id);
            self.endpoint.handle_session_timeout(now, id);
            self.touched.insert(id);
        }
    }

    /// Sends what is due to everybody who was touched.
    pub(super) fn flush(&mut self, now: Timestamp) {
        for id in std::mem::take(&mut self.touched) {
            self.send_session(now, id);
            self.set_timer(id);
        }
        self.send_clear(now);
        self.flush_sockets(now);
    }

    /// Serves those who have no session, after everybody else, and with public-key work for at most
    /// `handshakes` of them.
    pub(super) fn serve_strangers(
        &mut self,
        clock: Clock,
        context: &mut Context<'_>,
        handshakes: usize,
    ) {
        let begun = clock.now();
        let Self { strangers, endpoint, buffer, part, late, lab, .. } = self;
        if !strangers.are_due(begun) {
            return;
        }
        let mut take = |route, codepoint, datagram: &mut [u8]| {
            if part.has(datagram) && !holds(lab, begun, Way::Back, (route, codepoint), datagram) {
                late.extend(endpoint.handle_datagram(begun, route, codepoint, datagram));
            }
        };
        let mut is_more = strangers.receive(context, buffer, &mut take);
        if !late.is_empty() {
            // What the kernel has joined with a stranger's datagram came here with it.
            context.waker().wake_by_ref();
        }
        is_more |= endpoint.answer_handshakes(begun, handshakes);
        self.send_clear(begun);
        self.flush_sockets(begun);
        self.strangers.rest(begun, clock.now(), is_more);
    }

    /// Sees to it that the shard is woken in time.
    pub(super) fn sleep(&mut self, clock: Clock, context: &mut Context<'_>) {
        let session = self.timers.first().map(|(at, _)| *at);
        let held = self.lab.as_ref().and_then(Paths::poll_timeout);
        let next = [session, self.strangers.next(), held].into_iter().flatten().min();
        let Some(at) = next else { return };
        self.sleep.as_mut().reset(clock.instant(at).into());
        if self.sleep.as_mut().poll(context).is_ready() {
            context.waker().wake_by_ref();
        }
    }

    /// Sends what belongs to no session.
    fn send_clear(&mut self, now: Timestamp) {
        while let Some((route, packet)) = self.endpoint.poll_packet() {
            self.send(now, route, Codepoint::NotCapable, &packet);
        }
    }

    /// Hands to the kernel what waits to be sent together.
    fn flush_sockets(&mut self, now: Timestamp) {
        while let Some(held) = self.lab.as_mut().and_then(|lab| lab.poll(now, Way::Out)) {
            self.hand_over(held.route, held.codepoint, &held.bytes);
        }
        for socket in &mut self.sockets {
            socket.flush();
        }
    }

    /// The last that is sent.
    pub(super) fn end(&mut self, now: Timestamp) {
        self.flush_sockets(now);
        if let Some(lab) = &self.lab {
            let [(sent, sent_lost), (came, came_lost)] =
                [Way::Out, Way::Back].map(|it| lab.losses(it));
            let shard = self.part.index;
            info!(shard, sent, sent_lost, came, came_lost, "datagrams in the laboratory");
        }
    }

    fn send_session(&mut self, now: Timestamp, id: ConnectionId) {
        let mut packet = std::mem::take(&mut self.packet);
        packet.clear();
        let session = self.endpoint.session(id);
        let codepoint = session.map_or(Codepoint::NotCapable, |session| session.codepoint());
        while let Some(route) = self.endpoint.poll_session(now, id, &mut packet) {
            self.send(now, route, codepoint, &packet);
            packet.clear();
        }
        self.packet = packet;
        if let Some(tracer) = &mut self.tracer
            && let Some(session) = self.endpoint.session(id)
        {
            tracer.write(id, session);
        }
    }

    fn send(&mut self, now: Timestamp, route: Route, codepoint: Codepoint, packet: &[u8]) {
        if !holds(&mut self.lab, now, Way::Out, (route, codepoint), packet) {
            self.hand_over(route, codepoint, packet);
        }
    }

    fn hand_over(&mut self, route: Route, codepoint: Codepoint, packet: &[u8]) {
        if let Some(socket) = self.sockets.get_mut(usize::from(route.socket)) {
            socket.send(route, codepoint, packet);
        }
    }

    fn set_timer(&mut self, id: ConnectionId) {
        let next = self.endpoint.session_timeout(id);
        let known = self.due.get(&id).copied();
        if next == known {
            return;
        }
        if let Some(at) = known {
            self.timers.remove(&(at, id));
            self.due.remove(&id);
        }
        // A provisional session has no connection and no time: it is given up as a whole.
        if let Some(at) = next.filter(|_| self.keys.contains_key(&id)) {
            self.timers.insert((at, id));
            self.due.insert(id, at);
        }
    }
}

/// Whether the laboratory, if there is one, decides when this datagram goes on, or that it does not.
fn holds(
    lab: &mut Option<Paths>,
    now: Timestamp,
    way: Way,
    route: (Route, Codepoint),
    datagram: &[u8],
) -> bool {
    lab.as_mut().is_some_and(|lab| lab.takes(now, way, route, datagram))
}
