//! The only sockets of the client: finding an address of a relay that answers with the right key.
//!
//! A relay is its key, and may be at several addresses, each with several IP addresses. [`dial`]
//! tries them side by side, each a little after the one before (RFC 8305), and the first *finished
//! handshake* wins: an address where something else listens loses by itself.

pub mod discovery;
pub mod tcp;
pub mod udp;

use std::{
    collections::VecDeque, fmt, future::Future, io, net::SocketAddr, pin::Pin, time::Duration,
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use protocol::{
    connection::{ConnectionError, InitiatorConfig},
    invitation::RelayAddress,
    message::RelayMessage,
    message::{ClientMessage, encoding::DecodeError},
    transport::packet::Beacon,
};
use tokio::time::{Instant, sleep, timeout_at};

/// How long after one address the next is tried, unless the one failed before (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// How long one address may take for connection and handshake together.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(8);
/// Most IP addresses tried in one go: a name that resolves to more is not a relay's.
const ATTEMPTS_MAX: usize = 16;

/// What may carry a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// A byte stream.
    #[default]
    Tcp,
    /// Datagrams with acknowledgements and retransmission of our own.
    Udp,
    /// Whichever answers first.
    Auto,
}

/// An established connection, whatever carries it.
#[derive(Debug)]
pub enum Link {
    /// A byte stream.
    Tcp(Box<tcp::Link>),
    /// Datagrams.
    Udp(Box<udp::Link>),
}

impl Link {
    /// What carries it, in a word.
    pub const fn transport(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Udp(_) => "udp",
        }
    }

    /// The address that answered.
    pub const fn peer(&self) -> SocketAddr {
        match self {
            Self::Tcp(link) => link.peer(),
            Self::Udp(link) => link.peer(),
        }
    }

    /// Waits until there is something to receive, and sends meanwhile what waits to be sent.
    ///
    /// # Errors
    ///
    /// If the connection broke.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn ready(&mut self) -> io::Result<Stream> {
        match self {
            Self::Tcp(link) => link.ready().await,
            Self::Udp(link) => link.ready().await,
        }
    }

    /// Gives every message that has arrived to `sink`, in order.
    ///
    /// # Errors
    ///
    /// If the peer broke the protocol, or `sink` says that it did: drop the connection.
    pub fn receive<E>(
        &mut self,
        sink: impl FnMut(RelayMessage<'_>) -> Result<(), E>,
    ) -> Result<(), ReceiveError<E>> {
        match self {
            Self::Tcp(link) => link.receive(sink),
            Self::Udp(link) => link.receive(sink),
        }
    }

    /// Sends messages until there are none or the connection takes no more.
    ///
    /// # Errors
    ///
    /// If the connection broke.
    pub fn send(
        &mut self,
        next: impl FnMut() -> Option<ClientMessage<'static>>,
    ) -> Result<(), AttemptError> {
        match self {
            Self::Tcp(link) => {
                link.seal(next)?;
                Ok(link.flush()?)
            }
            Self::Udp(link) => {
                link.seal(next);
                Ok(())
            }
        }
    }

    /// What the transport has measured and counted; on a stream the kernel does, and keeps it.
    pub fn counters(&self) -> Vec<(String, String)> {
        match self {
            Self::Tcp(_) => Vec::new(),
            Self::Udp(link) => link.counters(),
        }
    }

    /// The socket options that matter, as the kernel reports them.
    pub fn options(&self) -> Vec<(String, String)> {
        match self {
            Self::Tcp(link) => link.options(),
            Self::Udp(link) => link.options(),
        }
    }
}

/// Connects to the relay whose key is in `config`, at whichever address answers first.
///
/// # Errors
///
/// If none does: what happened at each, and what else answered there.
///
/// # Cancel safety
///
/// Dropping the future closes what was opened.
pub async fn dial(
    addresses: &[RelayAddress],
    transport: Transport,
    config: &InitiatorConfig,
) -> Result<Link, DialError> {
    let mut failed = DialError::default();
    let carriers = match transport {
        Transport::Tcp => &[Carrier::Tcp][..],
        Transport::Udp => &[Carrier::Udp],
        Transport::Auto => &[Carrier::Udp, Carrier::Tcp],
    };
    let resolved = resolve(addresses, &mut failed).await;
    let mut waiting: VecDeque<_> = resolved
        .into_iter()
        .flat_map(|(name, address)| carriers.iter().map(move |by| (name.clone(), address, *by)))
        .collect();
    let mut running = FuturesUnordered::new();
    let attempt = |(name, address, by): (RelayAddress, SocketAddr, Carrier)| -> Attempting<'_> {
        Box::pin(async move { (name, address, attempt(address, by, config).await) })
    };
    loop {
        if let Some(next) = waiting.pop_front() {
            running.push(attempt(next));
        } else if running.is_empty() {
            return Err(failed);
        }
        let may_wait = !waiting.is_empty();
        tokio::select! {
            Some((name, address, outcome)) = running.next() => match outcome {
                Ok(link) => return Ok(link),
                Err(why) => failed.attempts.push(Attempt { name, address: Some(address), why }),
            },
            () = sleep(ATTEMPT_DELAY), if may_wait => {}
        }
    }
}

/// Every IP address of every name, families taking turns, IPv6 first.
pub(crate) async fn resolve(
    addresses: &[RelayAddress],
    failed: &mut DialError,
) -> VecDeque<(RelayAddress, SocketAddr)> {
    let (mut v6, mut v4) = (VecDeque::new(), VecDeque::new());
    for name in addresses {
        match tokio::net::lookup_host((name.host(), name.port())).await {
            Ok(found) => {
                for address in found {
                    let family = if address.is_ipv6() { &mut v6 } else { &mut v4 };
                    family.push_back((name.clone(), address));
                }
            }
            Err(error) => failed.attempts.push(Attempt {
                name: name.clone(),
                address: None,
                why: AttemptError::Unresolved(error),
            }),
        }
    }
    let mut turns = VecDeque::new();
    while turns.len() < ATTEMPTS_MAX && !(v6.is_empty() && v4.is_empty()) {
        turns.extend(v6.pop_front());
        turns.extend(v4.pop_front());
    }
    turns
}

/// One attempt, and where it is made.
type Attempting<'a> = Pin<
    Box<dyn Future<Output = (RelayAddress, SocketAddr, Result<Link, AttemptError>)> + Send + 'a>,
>;

/// What carries one attempt.
#[derive(Clone, Copy)]
enum Carrier {
    Tcp,
    Udp,
}

async fn attempt(
    address: SocketAddr,
    by: Carrier,
    config: &InitiatorConfig,
) -> Result<Link, AttemptError> {
    let until = Instant::now() + ATTEMPT_TIME_MAX;
    match by {
        Carrier::Tcp => match timeout_at(until, tcp::Link::connect(address, config)).await {
            Ok(outcome) => outcome.map(|link| Link::Tcp(Box::new(link))),
            Err(_) => Err(AttemptError::TimedOut),
        },
        Carrier::Udp => {
            let link = udp::Link::connect(address, config, until).await?;
            Ok(Link::Udp(Box::new(link)))
        }
    }
}

/// Why no address of a relay led to it.
#[derive(Debug, Default)]
pub struct DialError {
    /// What happened where, in the order in which it failed.
    pub attempts: Vec<Attempt>,
}

impl DialError {
    /// What announced another key, and where: a hint, never the truth.
    pub fn announced(&self) -> Option<(&Beacon, SocketAddr)> {
        self.attempts.iter().find_map(|attempt| match &attempt.why {
            AttemptError::Handshake(ConnectionError::Unanswered { beacon }) => {
                attempt.address.map(|address| (beacon, address))
            }
            _ => None,
        })
    }

    /// True if trying again cannot help: both sides are there and share no version.
    pub fn is_hopeless(&self) -> bool {
        self.attempts.iter().any(|attempt| {
            matches!(
                attempt.why,
                AttemptError::Handshake(
                    ConnectionError::Incompatible { .. }
                        | ConnectionError::CriticalExtension(_)
                        | ConnectionError::UnusableRelayKey
                )
            )
        })
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attempt) in self.attempts.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{attempt}")?;
        }
        if self.attempts.is_empty() {
            f.write_str("no address is known")?;
        }
        Ok(())
    }
}

impl std::error::Error for DialError {}

/// One address that did not lead to the relay.
#[derive(Debug)]
pub struct Attempt {
    /// As it was given.
    pub name: RelayAddress,
    /// What it resolved to.
    pub address: Option<SocketAddr>,
    /// What went wrong.
    pub why: AttemptError,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{address}: {}", self.why),
            None => write!(f, "{}: {}", self.name, self.why),
        }
    }
}

/// Why one address did not lead to the relay.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// The name means nothing here.
    #[error("cannot be resolved: {0}")]
    Unresolved(io::Error),
    /// No connection.
    #[error("{0}")]
    Socket(#[from] io::Error),
    /// The peer closed the connection in the middle of the handshake.
    #[error("closed during the handshake")]
    Closed,
    /// Something answered, and not as the relay would.
    #[error("{0}")]
    Handshake(#[from] ConnectionError),
    /// No answer in time.
    #[error("no answer within {} s", ATTEMPT_TIME_MAX.as_secs())]
    TimedOut,
}

/// Whether more can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// New bytes are there.
    Open,
    /// The peer has closed its side.
    Ended,
}

/// Why receiving ended the connection.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError<E> {
    /// Below the messages.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// A message that cannot be decoded.
    #[error("malformed message")]
    Malformed(#[from] DecodeError),
    /// A message that the engine refused.
    #[error("{0}")]
    Refused(E),
}
