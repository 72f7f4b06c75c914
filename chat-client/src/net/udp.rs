//! One session over datagrams with a relay: packets in, messages out, and back, and the time that
//! acknowledgements and retransmission need.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use protocol::{
    connection::{ConnectionError, InitiatorConfig, datagram::Client},
    entropy::Entropy,
    limits::BATCH_BYTES_TARGET,
    message::{ClientMessage, MessageReader, RelayMessage},
    time::Timestamp,
    transport::datagram::Codepoint,
};
use tokio::{
    net::UdpSocket,
    time::{sleep_until, timeout_at},
};

use super::{AttemptError, ReceiveError, Stream};

/// The largest datagram that can come.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// What is asked of the kernel for each direction.
const BUFFER_BYTES: usize = 1 << 20;
/// Datagrams taken before others have their turn.
const DATAGRAMS_PER_TURN: usize = 64;

/// An established session.
#[derive(Debug)]
pub struct Link {
    socket: UdpSocket,
    peer: SocketAddr,
    client: Client,
    epoch: Instant,
    /// Messages that have arrived whole, each with its length.
    inbox: Vec<u8>,
    /// Why the session is over; told when everything before was taken.
    ended: Option<ConnectionError>,
    buffer: Box<[u8]>,
    packet: Vec<u8>,
}

impl Link {
    /// Shakes hands.
    ///
    /// # Errors
    ///
    /// What went wrong at this address. Without any answer it waits for ever.
    pub async fn connect(
        address: SocketAddr,
        config: &InitiatorConfig,
        until: tokio::time::Instant,
    ) -> Result<Self, AttemptError> {
        let any = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        // Not connected: when this machine moves to another network, the kernel finds the new way.
        let socket = UdpSocket::bind(any).await?;
        let options = socket2::SockRef::from(&socket);
        options.set_recv_buffer_size(BUFFER_BYTES)?;
        options.set_send_buffer_size(BUFFER_BYTES)?;
        let epoch = Instant::now();
        let client = Client::new(Timestamp::ZERO, config, &mut Entropy::system())?;
        let mut link = Self {
            socket,
            peer: address,
            client,
            epoch,
            inbox: Vec::new(),
            ended: None,
            buffer: vec![0; DATAGRAM_BYTES_MAX].into_boxed_slice(),
            packet: Vec::new(),
        };
        // Until the runtime has seen once that it is writable, nothing can be sent.
        link.socket.writable().await?;
        link.send_due();
        while link.client.session().is_none() {
            if timeout_at(until, link.turn()).await.is_err() {
                // What answered in its place is a hint worth showing.
                return Err(link.client.announced().map_or(AttemptError::TimedOut, |beacon| {
                    ConnectionError::Unanswered { beacon: beacon.clone() }.into()
                }));
            }
            if let Some(error) = link.ended.take() {
                return Err(error.into());
            }
        }
        Ok(link)
    }

    /// The relay's address.
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Waits until there is something to receive; sends meanwhile what has to be sent.
    ///
    /// # Errors
    ///
    /// None: whatever happens to single datagrams is the transport's business.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn ready(&mut self) -> io::Result<Stream> {
        loop {
            if !self.inbox.is_empty() || self.ended.is_some() {
                return Ok(Stream::Open);
            }
            self.turn().await;
        }
    }

    /// Waits for a datagram or for the time of something, and does what follows.
    async fn turn(&mut self) {
        let due = self.client.poll_timeout();
        let epoch = self.epoch;
        let at = |due: Timestamp| epoch + Duration::from_micros(due.as_micros());
        let timer = async {
            match due {
                Some(due) => sleep_until(at(due).into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Errors belong to something that was sent before: it is lost, and sent again as such.
            _ = self.socket.readable() => self.receive_datagrams(),
            () = timer => self.client.handle_timeout(self.now()),
        }
        self.send_due();
    }

    fn receive_datagrams(&mut self) {
        for _ in 0..DATAGRAMS_PER_TURN {
            let Ok((bytes, from)) = self.socket.try_recv_from(&mut self.buffer) else { break };
            if from != self.peer || self.ended.is_some() {
                continue;
            }
            let now = self.now();
            if let Err(error) =
                self.client.handle_datagram(now, Codepoint::NotCapable, &mut self.buffer[..bytes])
            {
                self.ended = Some(error);
            }
        }
        let Some(session) = self.client.session() else { return };
        loop {
            match session.read(&mut self.inbox) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.ended = Some(protocol::connection::Misbehaviour::from(error).into());
                    break;
                }
            }
        }
    }

    /// Gives every message that has arrived to `sink`, in order.
    ///
    /// # Errors
    ///
    /// If the session is over, the peer broke the protocol, or `sink` says that it did.
    pub fn receive<E>(
        &mut self,
        mut sink: impl FnMut(RelayMessage<'_>) -> Result<(), E>,
    ) -> Result<(), ReceiveError<E>> {
        let inbox = std::mem::take(&mut self.inbox);
        for message in MessageReader::new(&inbox) {
            sink(RelayMessage::decode(message?)?).map_err(ReceiveError::Refused)?;
        }
        match self.ended.take() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// True while more should not be written.
    pub fn is_backed_up(&mut self) -> bool {
        self.client.session().is_none_or(|session| !session.has_room())
    }

    /// Takes messages until there are none or the session is backed up.
    pub fn seal(&mut self, mut next: impl FnMut() -> Option<ClientMessage<'static>>) {
        let mut content = Vec::new();
        while !self.is_backed_up() {
            content.clear();
            while content.len() < BATCH_BYTES_TARGET {
                let Some(message) = next() else { break };
                message.append_to(&mut content);
            }
            match self.client.session() {
                Some(session) if !content.is_empty() => session.write(&content),
                Some(_) | None => break,
            }
        }
        self.send_due();
    }

    /// What the transport has measured and counted, for people.
    pub fn counters(&self) -> Vec<(String, String)> {
        let Some(session) = self.client.established() else { return Vec::new() };
        let (rtt, stats) = (session.rtt(), session.stats());
        let (in_flight, window) = session.window();
        let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
        let row = |name: &str, value: String| (name.to_owned(), value);
        vec![
            row("round trip", format!("{}, at least {}", ms(rtt.smoothed()), ms(rtt.minimum()))),
            row("window", format!("{in_flight} of {window} bytes under way")),
            row("datagrams", format!("up to {} bytes", session.datagram_bytes())),
            row("sent", format!("{} packets, {} bytes", stats.packets_sent, stats.bytes_sent)),
            row(
                "received",
                format!("{} packets, {} bytes", stats.packets_received, stats.bytes_received),
            ),
            row(
                "lost",
                format!(
                    "{} by order, {} by time, {} of them arrived after all",
                    stats.lost_by_order, stats.lost_by_time, stats.spurious
                ),
            ),
            row("sent again", format!("{} overdue, {} further copies", stats.probed, stats.copies)),
            row("duplicates", stats.duplicates.to_string()),
        ]
    }

    /// The socket options that matter, as the kernel reports them.
    pub fn options(&self) -> Vec<(String, String)> {
        let socket = socket2::SockRef::from(&self.socket);
        let show = |name: &str, value: io::Result<String>| {
            (name.to_owned(), value.unwrap_or_else(|error| format!("unknown: {error}")))
        };
        vec![
            show("local address", self.socket.local_addr().map(|address| address.to_string())),
            show("peer address", Ok(self.peer.to_string())),
            show("SO_RCVBUF", socket.recv_buffer_size().map(|bytes| format!("{bytes} bytes"))),
            show("SO_SNDBUF", socket.send_buffer_size().map(|bytes| format!("{bytes} bytes"))),
        ]
    }

    fn now(&self) -> Timestamp {
        let micros = self.epoch.elapsed().as_micros();
        Timestamp::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Sends what has to leave now. What the kernel does not take is lost, and sent again as such.
    fn send_due(&mut self) {
        let now = self.now();
        self.packet.clear();
        while self.client.poll_packet(now, &mut self.packet) {
            let _ = self.socket.try_send_to(&self.packet, self.peer);
            self.packet.clear();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(session) = self.client.session() {
            session.close();
            self.send_due();
        }
    }
}
