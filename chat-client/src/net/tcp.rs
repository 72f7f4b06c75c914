//! One TCP connection to a relay: bytes in, messages out, and back.
//!
//! The driver waits in [`Link::ready`], then takes messages with [`Link::receive`]. What it seals
//! is written by [`Link::flush`] as far as the socket takes it and by `ready` when it takes more;
//! while [`Link::is_backed_up`], it should seal nothing.

use std::{io, net::SocketAddr, time::Duration};

use protocol::{
    connection::{Connection, ConnectionError, InitiatorConfig, ReceivedKind},
    entropy::Entropy,
    lab::experiment::Way,
    limits::BATCH_BYTES_TARGET,
    message::{ClientMessage, MessageReader, RelayMessage},
    time::Timestamp,
    transport::{datagram::Codepoint, packet::Beacon},
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::Interest,
    net::TcpStream,
    time::{Instant, sleep_until},
};

use super::{
    AttemptError, ReceiveError, Stream,
    impaired::{Impaired, Impairment, Kind},
};

/// Bytes read in one go: a few full packets.
const READ_BYTES: usize = 64 * 1024;
/// Sealed bytes that may wait for the socket before the engine is no longer asked for more.
const WAITING_BYTES_MAX: usize = 128 * 1024;
/// How long the kernel keeps trying to deliver what we wrote before it gives the connection up.
/// Below the 45 s after which a silent connection counts as dead anyway.
const USER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may be silent before the kernel probes it: keeps NAT entries alive.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
/// Between two such probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// An established connection.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    connection: Connection,
    peer: SocketAddr,
    epoch: Instant,
    /// What the bytes go through on purpose, if anything.
    impaired: Option<Impaired>,
    // Received and not yet consumed: `inbox[taken..]`.
    inbox: Vec<u8>,
    taken: usize,
    // Sealed and not yet written: `waiting[written..]`.
    waiting: Vec<u8>,
    written: usize,
}

impl Link {
    /// Connects and shakes hands.
    ///
    /// # Errors
    ///
    /// What went wrong at this address.
    pub async fn connect(
        address: SocketAddr,
        config: &InitiatorConfig,
        impairment: &Impairment,
    ) -> Result<Self, AttemptError> {
        let connection = Connection::initiator(config, &mut Entropy::system())?;
        let mut link = Self::open(address, connection, impairment).await?;
        loop {
            let received = link.connection.receive(&mut link.inbox[link.taken..])?;
            if let Some(received) = received {
                link.taken += received.consumed;
                if matches!(received.kind, ReceivedKind::Established) {
                    return Ok(link);
                }
            } else if link.ready().await? == Stream::Ended {
                return Err(AttemptError::Closed);
            }
        }
    }

    /// Asks whoever listens at `address` who it claims to be.
    ///
    /// # Errors
    ///
    /// What went wrong at this address.
    pub async fn probe(address: SocketAddr) -> Result<Beacon, AttemptError> {
        let connection = Connection::prober(&mut Entropy::system());
        let mut link = Self::open(address, connection, &Impairment::none()).await?;
        loop {
            let received = link.connection.receive(&mut link.inbox[link.taken..])?;
            if let Some(received) = received {
                link.taken += received.consumed;
                if let ReceivedKind::Beacon(beacon) = received.kind {
                    return Ok(beacon);
                }
            } else if link.ready().await? == Stream::Ended {
                return Err(AttemptError::Closed);
            }
        }
    }

    async fn open(
        address: SocketAddr,
        mut connection: Connection,
        impairment: &Impairment,
    ) -> io::Result<Self> {
        let epoch = Instant::now();
        let stream = TcpStream::connect(address).await?;
        set_options(&stream)?;
        let first = connection.poll_transmit().unwrap_or_default();
        let mut link = Self {
            stream,
            connection,
            peer: address,
            epoch,
            impaired: impairment.path(Kind::Stream, epoch),
            inbox: Vec::new(),
            taken: 0,
            waiting: Vec::new(),
            written: 0,
        };
        link.enqueue(first);
        link.flush()?;
        Ok(link)
    }

    /// The address that answered.
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Waits until there are new bytes, and writes meanwhile what waits to be written.
    ///
    /// # Errors
    ///
    /// If the connection broke.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn ready(&mut self) -> io::Result<Stream> {
        loop {
            if self.impaired.is_some() {
                self.flush()?;
                if self.take_due(self.now()) {
                    return Ok(Stream::Open);
                }
            }
            let due = self.impaired.as_ref().and_then(Impaired::poll_timeout);
            let due = due.map(|due| self.epoch + due.since(Timestamp::ZERO));
            let timer = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let ready = tokio::select! {
                ready = self.stream.ready(self.interest()) => ready?,
                () = timer => continue,
            };
            if ready.is_writable() {
                self.flush()?;
            }
            if !ready.is_readable() {
                continue;
            }
            match self.read() {
                Ok(0) => {
                    // What came before the end counts.
                    self.take_due(Timestamp::from_micros(u64::MAX));
                    return Ok(Stream::Ended);
                }
                Ok(_) if self.impaired.is_some() => {}
                Ok(_) => return Ok(Stream::Open),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn interest(&self) -> Interest {
        let may_write = !self.waiting.is_empty();
        let may_read = self.impaired.as_ref().is_none_or(|path| !path.is_full(Way::Back));
        match (may_read, may_write) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (true, false) => Interest::READABLE,
            (false, true) => Interest::WRITABLE,
            (false, false) => Interest::ERROR,
        }
    }

    fn read(&mut self) -> io::Result<usize> {
        let now = self.now();
        self.inbox.drain(..self.taken);
        self.taken = 0;
        let Some(path) = &mut self.impaired else {
            self.inbox.reserve(READ_BYTES);
            return self.stream.try_read_buf(&mut self.inbox);
        };
        let mut bytes = Vec::with_capacity(READ_BYTES);
        let count = self.stream.try_read_buf(&mut bytes)?;
        path.enter(now, Way::Back, Codepoint::NotCapable, &bytes);
        Ok(count)
    }

    /// Takes what has come through by then; false if that is nothing.
    fn take_due(&mut self, now: Timestamp) -> bool {
        let before = self.inbox.len();
        let Some(path) = &mut self.impaired else { return false };
        while let Some(piece) = path.poll(now, Way::Back) {
            self.inbox.extend(piece.bytes);
        }
        // What was set is off again, and nothing is under way any more.
        self.impaired.take_if(|path| path.is_over());
        self.inbox.len() > before
    }

    /// Gives every message that has arrived to `sink`, in order.
    ///
    /// # Errors
    ///
    /// If the peer broke the protocol, or `sink` says that it did: drop the connection.
    pub fn receive<E>(
        &mut self,
        mut sink: impl FnMut(RelayMessage<'_>) -> Result<(), E>,
    ) -> Result<(), ReceiveError<E>> {
        while let Some(received) = self.connection.receive(&mut self.inbox[self.taken..])? {
            if let ReceivedKind::Content(content) = received.kind {
                for message in MessageReader::new(content) {
                    sink(RelayMessage::decode(message?)?).map_err(ReceiveError::Refused)?;
                }
            }
            self.taken += received.consumed;
        }
        Ok(())
    }

    /// True while more should not be sealed.
    pub fn is_backed_up(&self) -> bool {
        let impaired = self.impaired.as_ref().map_or(0, |path| path.waiting_bytes(Way::Out));
        self.waiting.len() - self.written + impaired > WAITING_BYTES_MAX
    }

    /// Seals messages until there are none or the connection is backed up: as many in a packet as
    /// make one batch.
    ///
    /// # Errors
    ///
    /// If the connection cannot seal any more.
    pub fn seal(
        &mut self,
        mut next: impl FnMut() -> Option<ClientMessage<'static>>,
    ) -> Result<(), ConnectionError> {
        while !self.is_backed_up() {
            let Some(first) = next() else { return Ok(()) };
            let mut impaired = Vec::new();
            let out = if self.impaired.is_some() { &mut impaired } else { &mut self.waiting };
            self.connection.seal(out, |out| {
                let target = out.len() + BATCH_BYTES_TARGET;
                first.append_to(out);
                while out.len() < target {
                    let Some(message) = next() else { break };
                    message.append_to(out);
                }
            })?;
            self.enqueue(impaired);
        }
        Ok(())
    }

    /// Puts bytes behind those that wait to be written.
    fn enqueue(&mut self, bytes: Vec<u8>) {
        let now = self.now();
        match &mut self.impaired {
            Some(path) => path.enter(now, Way::Out, Codepoint::NotCapable, &bytes),
            None => self.waiting.extend(bytes),
        }
    }

    /// Does from now on to the stream what is wanted.
    pub fn impair(&mut self, impairment: &Impairment) {
        impairment.change(&mut self.impaired, Kind::Stream, self.epoch);
    }

    /// What the bytes go through on purpose, if anything.
    pub const fn impaired(&self) -> Option<&Impaired> {
        self.impaired.as_ref()
    }

    fn now(&self) -> Timestamp {
        let micros = self.epoch.elapsed().as_micros();
        Timestamp::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Writes what waits, as far as the socket takes it now.
    ///
    /// # Errors
    ///
    /// If the connection broke.
    pub fn flush(&mut self) -> io::Result<()> {
        let now = self.now();
        if let Some(path) = &mut self.impaired {
            while let Some(piece) = path.poll(now, Way::Out) {
                self.waiting.extend(piece.bytes);
            }
        }
        while self.written < self.waiting.len() {
            match self.stream.try_write(&self.waiting[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.waiting.clear();
        self.written = 0;
        Ok(())
    }

    /// The socket options that matter, as the kernel reports them.
    pub fn options(&self) -> Vec<(String, String)> {
        let socket = SockRef::from(&self.stream);
        let show = |name: &str, value: io::Result<String>| {
            (name.to_owned(), value.unwrap_or_else(|error| format!("unknown: {error}")))
        };
        let address = |value: io::Result<SocketAddr>| value.map(|address| address.to_string());
        let millis = |value: Duration| format!("{} ms", value.as_millis());
        let timeout = socket
            .tcp_user_timeout()
            .map(|time| time.map_or_else(|| "system default".to_owned(), millis));
        vec![
            show("local address", address(self.stream.local_addr())),
            show("peer address", address(self.stream.peer_addr())),
            show("TCP_NODELAY", socket.tcp_nodelay().map(|on| on.to_string())),
            show("SO_KEEPALIVE", socket.keepalive().map(|on| on.to_string())),
            show("TCP_KEEPIDLE", socket.tcp_keepalive_time().map(millis)),
            show("TCP_KEEPINTVL", socket.tcp_keepalive_interval().map(millis)),
            show("TCP_USER_TIMEOUT", timeout),
            show("SO_RCVBUF", socket.recv_buffer_size().map(|bytes| format!("{bytes} bytes"))),
            show("SO_SNDBUF", socket.send_buffer_size().map(|bytes| format!("{bytes} bytes"))),
        ]
    }
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    // A message never waits for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}
