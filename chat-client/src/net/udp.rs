//! One session over datagrams with a relay: packets in, messages out, and back, and the time that
//! acknowledgements and retransmission need.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use protocol::{
    connection::{ConnectionError, InitiatorConfig, datagram::Client},
    entropy::Entropy,
    lab::experiment::Way,
    limits::BATCH_BYTES_TARGET,
    message::{ClientMessage, MessageReader, RelayMessage},
    time::Timestamp,
    transport::datagram::{
        Codepoint,
        trace::{EVENTS_MAX, Event, Payloads, What},
    },
};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    AttemptError, Reading, ReceiveError, Stream,
    impaired::{Impaired, Impairment, Kind},
    socket::Socket,
};
use crate::lab::trace::SessionTrace;

/// Times that the socket is read before others have their turn.
const RECEIVES_PER_TURN: usize = 16;

/// An established session.
#[derive(Debug)]
pub struct Link {
    socket: Socket,
    client: Client,
    epoch: Instant,
    /// What the packets go through on purpose, if anything.
    impaired: Option<Impaired>,
    /// Where what the session does is written to, if it is.
    trace: Option<SessionTrace>,
    /// Whether somebody looks at what the session does, and what they have not seen.
    is_watched: bool,
    watched: Vec<Event>,
    /// Since when the relay has owed us an answer without saying anything.
    silent_since: Option<Instant>,
    /// Packets that it has sent so far.
    heard: u64,
    /// Messages that have arrived whole, each with its length.
    inbox: Vec<u8>,
    /// Why the session is over; told when everything before was taken.
    ended: Option<ConnectionError>,
    packet: Vec<u8>,
}

impl Link {
    /// Shakes hands.
    ///
    /// # Errors
    ///
    /// What went wrong at this address.
    pub async fn connect(
        address: SocketAddr,
        config: &InitiatorConfig,
        until: Instant,
        impairment: &Impairment,
    ) -> Result<Self, AttemptError> {
        let socket = Socket::open(address)?;
        let epoch = Instant::now();
        let client = Client::new(Timestamp::ZERO, config, &mut Entropy::system())?;
        let mut link = Self {
            socket,
            client,
            epoch,
            impaired: impairment.path(Kind::Datagrams, epoch),
            trace: None,
            is_watched: false,
            watched: Vec::new(),
            silent_since: None,
            heard: 0,
            inbox: Vec::new(),
            ended: None,
            packet: Vec::new(),
        };
        link.socket.writable().await?;
        link.send_due();
        // Our own machine knows no way there: nothing is gained by waiting.
        if let Some(error) = link.socket.take_refusal() {
            return Err(error.into());
        }
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
        self.socket.peer()
    }

    /// Since when the relay has owed us an answer without saying anything.
    pub const fn silent_since(&self) -> Option<Instant> {
        self.silent_since
    }

    /// Waits until there is something to receive; sends meanwhile what has to be sent. While reading
    /// is paused it waits for ever.
    ///
    /// # Errors
    ///
    /// None: whatever happens to single datagrams is the transport's business.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn ready(&mut self, reading: Reading) -> io::Result<Stream> {
        loop {
            // What is not taken out of the session uses up the credit of its sender, who stops by
            // and by. What arrives until then is acknowledged all the same.
            if reading == Reading::Wanted {
                self.take_whole_messages();
                // What was taken is new credit, which its sender may be waiting for.
                self.send_due();
                if !self.inbox.is_empty() || self.ended.is_some() {
                    return Ok(Stream::Open);
                }
            }
            self.turn().await;
        }
    }

    /// Waits for a datagram or for the time of something, and does what follows.
    async fn turn(&mut self) {
        let impaired_due = self.impaired.as_ref().and_then(Impaired::poll_timeout);
        let due = [self.client.poll_timeout(), impaired_due].into_iter().flatten().min();
        let epoch = self.epoch;
        let at = |due: Timestamp| epoch + Duration::from_micros(due.as_micros());
        let timer = async {
            match due {
                Some(due) => sleep_until(at(due)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.socket.readable() => self.receive_datagrams(),
            () = timer => {
                let now = self.now();
                if self.client.poll_timeout().is_some_and(|due| due <= now) {
                    self.client.handle_timeout(now);
                }
            }
        }
        self.send_due();
    }

    fn receive_datagrams(&mut self) {
        let now = self.now();
        let Self { socket, client, ended, impaired, .. } = self;
        for _ in 0..RECEIVES_PER_TURN {
            let is_more = socket.receive(|codepoint, datagram| match impaired {
                Some(path) => path.enter(now, Way::Back, codepoint, datagram),
                None => take(client, ended, now, codepoint, datagram),
            });
            if !is_more {
                break;
            }
        }
    }

    fn take_whole_messages(&mut self) {
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

    /// From now on somebody looks at what the session does.
    pub fn record(&mut self) {
        self.is_watched = true;
        if let Some(session) = self.client.session()
            && self.trace.is_none()
        {
            session.record(Some(Payloads::Withheld));
        }
    }

    /// What it did since this was asked last, and when.
    pub fn take_trace(&mut self) -> impl Iterator<Item = (Instant, What)> {
        let epoch = self.epoch;
        self.take_events();
        let events = std::mem::take(&mut self.watched);
        events.into_iter().map(move |event| (epoch + event.at.since(Timestamp::ZERO), event.what))
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
            row("marked", format!("{} times by routers that were busy", stats.marked)),
            row("duplicates", stats.duplicates.to_string()),
        ]
    }

    /// The socket options that matter, as the kernel reports them.
    pub fn options(&self) -> Vec<(String, String)> {
        self.socket.options()
    }

    fn now(&self) -> Timestamp {
        let micros = self.epoch.elapsed().as_micros();
        Timestamp::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Does from now on to packets what is wanted.
    pub fn impair(&mut self, impairment: &Impairment) {
        impairment.change(&mut self.impaired, Kind::Datagrams, self.epoch);
        self.send_due();
    }

    /// What the packets go through on purpose, if anything.
    pub const fn impaired(&self) -> Option<&Impaired> {
        self.impaired.as_ref()
    }

    /// Sends what has to leave now. What the kernel does not take is lost, and sent again as such.
    fn send_due(&mut self) {
        let now = self.now();
        let Self { socket, client, ended, impaired, packet, .. } = self;
        if let Some(path) = impaired {
            while let Some(mut piece) = path.poll(now, Way::Back) {
                take(client, ended, now, piece.codepoint, &mut piece.bytes);
            }
        }
        packet.clear();
        while client.poll_packet(now, packet) {
            match impaired {
                Some(path) => path.enter(now, Way::Out, client.codepoint(), packet),
                None => socket.send(client.codepoint(), packet),
            }
            packet.clear();
        }
        if let Some(path) = impaired {
            while let Some(piece) = path.poll(now, Way::Out) {
                socket.send(piece.codepoint, &piece.bytes);
            }
        }
        // What was set is off again, and nothing is under way any more.
        impaired.take_if(|path| path.is_over());
        self.socket.flush();
        self.note_silence();
        if self.trace.is_some() {
            self.take_events();
        }
    }

    /// From now on what the session does is written down.
    pub fn trace(&mut self, trace: SessionTrace, payloads: Payloads) {
        if let Some(session) = self.client.session() {
            session.record(Some(payloads));
            self.trace = Some(trace);
        }
    }

    /// Our address, and what the session's time counts from, since 1970: for a trace.
    ///
    /// # Errors
    ///
    /// If the operating system does not tell.
    pub fn origin(&self) -> io::Result<(SocketAddr, Duration)> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok((self.socket.local_addr()?, now.saturating_sub(self.epoch.elapsed())))
    }

    /// Takes what the session has done meanwhile, for the file and for whoever looks.
    fn take_events(&mut self) {
        if self.trace.is_none() && !self.is_watched {
            return;
        }
        let Some(session) = self.client.session() else { return };
        let events = session.take_trace();
        if let Some(Err(error)) = self.trace.as_mut().map(|trace| trace.write(&events)) {
            tracing::warn!(%error, "a trace ends here");
            self.trace = None;
        }
        if self.is_watched {
            self.watched.extend(events);
            let surplus = self.watched.len().saturating_sub(EVENTS_MAX);
            self.watched.drain(..surplus);
        }
    }

    fn note_silence(&mut self) {
        let Some(session) = self.client.established() else { return };
        let heard = session.stats().packets_received;
        if session.is_flushed() {
            self.silent_since = None;
        } else if heard > self.heard || self.silent_since.is_none() {
            self.silent_since = Some(Instant::now());
        }
        self.heard = heard;
    }
}

/// Gives a datagram to the session, unless that is over.
fn take(
    client: &mut Client,
    ended: &mut Option<ConnectionError>,
    now: Timestamp,
    codepoint: Codepoint,
    datagram: &mut [u8],
) {
    if ended.is_none()
        && let Err(error) = client.handle_datagram(now, codepoint, datagram)
    {
        *ended = Some(error);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Nobody waits for what is under way; the relay should hear at once that we go.
        self.impaired = None;
        if let Some(session) = self.client.session() {
            session.close();
            self.send_due();
        }
        if let Some(Err(error)) = self.trace.as_mut().map(SessionTrace::flush) {
            tracing::warn!(%error, "the end of a trace is missing");
        }
    }
}
