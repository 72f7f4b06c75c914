//! The shard's sockets for datagrams, and whose they are: an endpoint finds the session, this finds
//! the connection, and keeps the time for all of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future as _,
    io,
    net::UdpSocket,
    pin::Pin,
    sync::Arc,
    task::Context,
};

use protocol::{
    connection::{
        ResponderConfig,
        datagram::{Endpoint, EndpointConfig, Session as DatagramSession},
    },
    entropy::Entropy,
    time::Timestamp,
    transport::{datagram::Codepoint, packet::ConnectionId},
};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    clock::Clock,
    net::{
        admission::Admission,
        udp::{DatagramSocket, ReceiveBuffer, Route},
    },
};

/// Times that the sockets are read in one turn: others of the shard wait for 32 datagrams each.
const RECEIVES_PER_TURN: usize = 8;

/// What a shard needs to serve datagrams.
#[derive(Debug)]
pub(crate) struct DatagramSetup {
    /// Bound sockets.
    pub(crate) sockets: Vec<UdpSocket>,
    /// Who may connect.
    pub(crate) admission: Arc<Admission>,
}

/// All that a shard has to do with datagrams.
pub(super) struct Datagrams {
    sockets: Vec<DatagramSocket>,
    buffer: ReceiveBuffer,
    endpoint: Endpoint<Route>,
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
        shard: u16,
    ) -> io::Result<Self> {
        let sockets = setup.sockets.into_iter().zip(0..);
        let sockets: io::Result<Vec<_>> =
            sockets.map(|(socket, index)| DatagramSocket::new(socket, index)).collect();
        let shard = u8::try_from(shard).unwrap_or(u8::MAX);
        let endpoint = Endpoint::new(EndpointConfig { responder, shard }, Entropy::system());
        Ok(Self {
            sockets: sockets?,
            buffer: ReceiveBuffer::new(),
            endpoint,
            admission: setup.admission,
            keys: BTreeMap::new(),
            timers: BTreeSet::new(),
            due: BTreeMap::new(),
            sleep: Box::pin(sleep_until(Instant::now())),
            touched: BTreeSet::new(),
            packet: Vec::new(),
        })
    }

    /// Takes what has arrived: what became of whom, in no particular order.
    pub(super) fn receive(&mut self, now: Timestamp, context: &mut Context<'_>) -> Vec<Touched> {
        let Self { sockets, buffer, endpoint, touched, .. } = self;
        let mut arrived = BTreeSet::new();
        for socket in sockets {
            let mut rounds = 0;
            let take = |route, datagram: &mut [u8]| {
                arrived.extend(endpoint.handle_datagram(
                    now,
                    route,
                    Codepoint::NotCapable,
                    datagram,
                ));
            };
            let mut take = take;
            while socket.receive(context, buffer, &mut take) {
                rounds += 1;
                if rounds == RECEIVES_PER_TURN {
                    // Others first.
                    context.waker().wake_by_ref();
                    break;
                }
            }
        }
        touched.extend(&arrived);
        arrived.into_iter().map(|id| self.became(id)).collect()
    }

    fn became(&self, id: ConnectionId) -> Touched {
        match self.keys.get(&id) {
            None => Touched::New(id),
            Some(key) if self.endpoint.address(id).is_some() => Touched::Known(*key),
            Some(key) => Touched::Ended(*key),
        }
    }

    /// Does the public-key work of some who knock; true if more wait.
    pub(super) fn answer_handshakes(&mut self, now: Timestamp, count: usize) -> bool {
        self.endpoint.answer_handshakes(now, count)
    }

    /// A session is this connection from now on.
    pub(super) fn adopt(&mut self, id: ConnectionId, key: u64) {
        self.keys.insert(id, key);
    }

    /// A session, to be written to or read.
    pub(super) fn session(&mut self, id: ConnectionId) -> Option<&mut DatagramSession> {
        self.touched.insert(id);
        self.endpoint.session(id)
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

    /// Sends what is due to everybody who was touched, and sees to it that the shard is woken in
    /// time for the rest.
    pub(super) fn flush(&mut self, now: Timestamp, clock: Clock, context: &mut Context<'_>) {
        while let Some((route, packet)) = self.endpoint.poll_packet() {
            self.send(route, &packet);
        }
        for id in std::mem::take(&mut self.touched) {
            self.send_session(now, id);
            self.set_timer(id);
        }
        self.flush_sockets();
        if let Some((at, _)) = self.timers.first() {
            self.sleep.as_mut().reset(clock.instant(*at).into());
            if self.sleep.as_mut().poll(context).is_ready() {
                context.waker().wake_by_ref();
            }
        }
    }

    /// Hands to the kernel what waits to be sent together.
    pub(super) fn flush_sockets(&mut self) {
        for socket in &mut self.sockets {
            socket.flush();
        }
    }

    fn send_session(&mut self, now: Timestamp, id: ConnectionId) {
        let mut packet = std::mem::take(&mut self.packet);
        packet.clear();
        while let Some(route) = self.endpoint.poll_session(now, id, &mut packet) {
            self.send(route, &packet);
            packet.clear();
        }
        self.packet = packet;
    }

    fn send(&mut self, route: Route, packet: &[u8]) {
        if let Some(socket) = self.sockets.get_mut(usize::from(route.socket())) {
            socket.send(route, packet);
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
