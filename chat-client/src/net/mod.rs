//! The only sockets of the client: connections to a relay, whatever carries them.
//!
//! ```text
//!   discovery    which relays there are           race         the address and carrier that answer
//!   tcp, udp     one connection of a kind         preference   which carrier to begin with
//!   impaired     a path that is made worse on purpose
//! ```

pub mod discovery;
pub mod impaired;
#[cfg(test)]
mod pause_tests;
pub mod preference;
pub mod race;
mod socket;
pub mod tcp;
pub mod udp;

use std::{io, net::SocketAddr};

use protocol::{
    connection::ConnectionError,
    message::{ClientMessage, RelayMessage, encoding::DecodeError},
};
use tokio::time::Instant;

use self::{
    impaired::{Impaired, Impairment},
    race::ATTEMPT_TIME_MAX,
};
use crate::lab::trace::Sessions;

/// What may carry a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// A byte stream.
    Tcp,
    /// Datagrams with acknowledgements and retransmission of our own.
    Udp,
    /// Datagrams, or a stream where they do not get through.
    #[default]
    Auto,
}

/// What carries one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A byte stream.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Carrier {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
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
    /// What carries it.
    pub const fn carrier(&self) -> Carrier {
        match self {
            Self::Tcp(_) => Carrier::Tcp,
            Self::Udp(_) => Carrier::Udp,
        }
    }

    /// Since when the relay has owed us an answer without saying anything; a stream's kernel knows
    /// by itself when to give up.
    pub fn silent_since(&self) -> Option<Instant> {
        match self {
            Self::Tcp(_) => None,
            Self::Udp(link) => link.silent_since(),
        }
    }

    /// The address that answered.
    pub const fn peer(&self) -> SocketAddr {
        match self {
            Self::Tcp(link) => link.peer(),
            Self::Udp(link) => link.peer(),
        }
    }

    /// Waits until there is something to receive, and sends meanwhile what waits to be sent. While
    /// reading is paused it waits for ever, and keeps the connection alive.
    ///
    /// # Errors
    ///
    /// If the connection broke.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn ready(&mut self, reading: Reading) -> io::Result<Stream> {
        match (self, reading) {
            (Self::Tcp(link), Reading::Wanted) => link.ready().await,
            // The kernel acknowledges for us, until its buffer is full.
            (Self::Tcp(_), Reading::Paused) => std::future::pending().await,
            (Self::Udp(link), reading) => link.ready(reading).await,
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

    /// Does from now on to what it carries what is wanted.
    pub fn impair(&mut self, impairment: &Impairment) {
        match self {
            Self::Tcp(link) => link.impair(impairment),
            Self::Udp(link) => link.impair(impairment),
        }
    }

    /// From now on what the session does is recorded; of a stream's packets only the kernel knows.
    pub fn record(&mut self) {
        match self {
            Self::Tcp(_) => {}
            Self::Udp(link) => link.record(),
        }
    }

    /// The path that is made worse on purpose, if it is.
    pub const fn impaired(&self) -> Option<&Impaired> {
        match self {
            Self::Tcp(link) => link.impaired(),
            Self::Udp(link) => link.impaired(),
        }
    }

    /// Writes what the session does from now on into a trace of its own; a stream has none.
    pub fn trace(&mut self, traces: &mut Sessions) {
        let Self::Udp(link) = self else { return };
        let begun =
            link.origin().and_then(|(here, began)| traces.begin([here, link.peer()], began));
        match begun {
            Ok(trace) => link.trace(trace, traces.payloads()),
            Err(error) => tracing::warn!(%error, "the session is not traced"),
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

/// Whether what arrives may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It may.
    Wanted,
    /// Not now: the sender has to wait.
    Paused,
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
