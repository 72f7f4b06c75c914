//! The way to the relay: at most one attempt or one connection at a time.

use std::sync::Arc;

use protocol::{
    channel::keys::StaticKey, connection::InitiatorConfig, ids::RelayKey, invitation::RelayAddress,
    message::ClientMessage, message::RelayMessage, time::WallTime,
};
use tokio::task::JoinSet;

use super::clock::Clock;
use crate::{
    engine::{Disconnect, ProtocolViolation},
    net::{self, DialError, Link, Stream, Transport},
};

/// Where the relay is, who we are to it, and how far we have come.
#[derive(Debug)]
pub(super) struct Relay {
    key: RelayKey,
    addresses: Vec<RelayAddress>,
    device_key: Arc<StaticKey>,
    transport: Transport,
    /// The attempt under way, if there is one. It goes on by itself, and ends when it is dropped.
    dialing: JoinSet<Result<Link, DialError>>,
    link: Option<Link>,
    /// Something else than the relay answered, last time.
    announced: Option<(RelayKey, String)>,
    clock_skew_ms: Option<i64>,
    body_bytes_max: Option<u32>,
    /// How often it welcomed us.
    logins: u32,
}

/// What came from outside.
#[derive(Debug)]
pub(super) enum Incoming {
    /// An attempt ended.
    Dialed(Result<Link, DialError>),
    /// There are new bytes on the connection, or it ended.
    Heard(std::io::Result<Stream>),
}

/// Whether new bytes may be taken from the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Wanted,
    Paused,
}

impl Relay {
    /// Begins with an attempt at once: whoever opens a node wants the relay, and can read its store
    /// meanwhile.
    pub(super) fn dial(
        key: RelayKey,
        addresses: Vec<RelayAddress>,
        device_key: Arc<StaticKey>,
        transport: Transport,
    ) -> Self {
        let dialing = JoinSet::new();
        let (link, announced, clock_skew_ms, body_bytes_max) = (None, None, None, None);
        let mut relay = Self {
            key,
            addresses,
            device_key,
            transport,
            dialing,
            link,
            announced,
            clock_skew_ms,
            body_bytes_max,
            logins: 0,
        };
        relay.connect();
        relay
    }

    /// Tries to connect, unless an attempt is under way.
    pub(super) fn connect(&mut self) {
        if self.dialing.is_empty() {
            let config = InitiatorConfig::new(self.key, Arc::clone(&self.device_key));
            let addresses = self.addresses.clone();
            let transport = self.transport;
            self.dialing.spawn(async move { net::dial(&addresses, transport, &config).await });
        }
    }

    /// Drops the attempt and the connection.
    pub(super) fn disconnect(&mut self) {
        self.dialing = JoinSet::new();
        self.link = None;
    }

    /// Waits for news.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(super) async fn next(&mut self, reading: Reading) -> Incoming {
        let Self { dialing, link, .. } = self;
        tokio::select! {
            Some(dialed) = dialing.join_next() => {
                // It is not cancelled while we wait for it; a panic has been reported by the hook.
                Incoming::Dialed(dialed.unwrap_or_else(|_| Err(DialError::default())))
            }
            heard = heard(link), if reading == Reading::Wanted => Incoming::Heard(heard),
            else => std::future::pending().await,
        }
    }

    /// Takes the end of an attempt.
    ///
    /// # Errors
    ///
    /// Why it led nowhere.
    pub(super) fn on_dialed(&mut self, outcome: Result<Link, DialError>) -> Result<(), Disconnect> {
        match outcome {
            Ok(link) => {
                self.announced = None;
                self.link = Some(link);
                Ok(())
            }
            Err(error) => {
                self.announced = error
                    .announced()
                    .map(|(beacon, address)| (beacon.relay_key, address.to_string()));
                Err(if error.is_hopeless() {
                    Disconnect::Hopeless(error.to_string())
                } else {
                    Disconnect::Unreachable(error.to_string())
                })
            }
        }
    }

    /// Gives every message that has arrived to `sink`.
    ///
    /// # Errors
    ///
    /// Why there is no connection any more.
    pub(super) fn on_heard(
        &mut self,
        outcome: std::io::Result<Stream>,
        mut sink: impl FnMut(RelayMessage<'_>) -> Result<(), ProtocolViolation>,
    ) -> Result<(), String> {
        let wall = Clock::wall();
        let Self { link, clock_skew_ms, body_bytes_max, logins, .. } = self;
        let Some(link) = link else { return Ok(()) };
        // What came before the end counts: a refusal is often the last thing said.
        let received = link.receive(|message| {
            if let RelayMessage::Welcome(welcome) = &message {
                *logins += 1;
                *clock_skew_ms = Some(difference_ms(welcome.now, wall));
                *body_bytes_max = Some(welcome.body_bytes_max);
            }
            sink(message)
        });
        let why = match (received, outcome) {
            (Err(error), _) => error.to_string(),
            (Ok(()), Ok(Stream::Ended)) => "the relay closed the connection".to_owned(),
            (Ok(()), Err(error)) => error.to_string(),
            (Ok(()), Ok(Stream::Open)) => return Ok(()),
        };
        self.link = None;
        Err(why)
    }

    /// Sends messages until there are none, or the connection takes no more.
    ///
    /// # Errors
    ///
    /// Why there is no connection any more.
    pub(super) fn transmit(
        &mut self,
        next: impl FnMut() -> Option<ClientMessage<'static>>,
    ) -> Result<(), String> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let outcome = link.send(next).map_err(|error| error.to_string());
        if outcome.is_err() {
            self.link = None;
        }
        outcome
    }

    /// The key that makes it this relay.
    pub(super) const fn key(&self) -> RelayKey {
        self.key
    }

    /// Where it is looked for.
    pub(super) fn addresses(&self) -> &[RelayAddress] {
        &self.addresses
    }

    /// The connection, if there is one.
    pub(super) fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// What answered in its place last time, and where.
    pub(super) const fn announced(&self) -> Option<&(RelayKey, String)> {
        self.announced.as_ref()
    }

    /// How far its clock was ahead of ours at the welcome.
    pub(super) const fn clock_skew_ms(&self) -> Option<i64> {
        self.clock_skew_ms
    }

    /// How often it has welcomed us so far.
    pub(super) const fn logins(&self) -> u32 {
        self.logins
    }

    /// How long a message it took when it welcomed us.
    pub(super) const fn body_bytes_max(&self) -> Option<u32> {
        self.body_bytes_max
    }
}

/// New bytes on the connection, or its end; never, if there is none.
async fn heard(link: &mut Option<Link>) -> std::io::Result<Stream> {
    match link {
        Some(link) => link.ready().await,
        None => std::future::pending().await,
    }
}

fn difference_ms(theirs: WallTime, ours: WallTime) -> i64 {
    let (theirs, ours) = (i128::from(theirs.as_millis()), i128::from(ours.as_millis()));
    i64::try_from(theirs - ours).unwrap_or(i64::MAX)
}
