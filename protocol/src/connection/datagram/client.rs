//! The device's side: one attempt, then one session.

use std::{fmt, time::Duration};

use super::{
    header::To,
    session::{Received, Session},
};
use crate::{
    channel::handshake::Route,
    connection::{ConnectionError, InitiatorConfig, Misbehaviour, attempt::Attempt},
    entropy::Entropy,
    time::Timestamp,
    transport::{
        TransportKind,
        datagram::{Codepoint, tuning::DATAGRAM_BYTES_MIN},
        packet::{Beacon, ConnectionId, HandshakeInit, PacketKind, Reset, ResetToken, Retry},
    },
};

/// First time between two tries of the handshake, before any round trip is known: most relays are
/// on the same network.
const TRY_INTERVAL: Duration = Duration::from_millis(200);
/// Longest.
const TRY_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// Cookies that one attempt brings along. A relay needs one; who sends more plays with us.
const RETRIES_MAX: u8 = 3;

/// A device's connection over datagrams.
///
/// # Driving it
///
/// As every machine here. Give it what comes to its socket from the relay's address, and send what
/// [`Self::poll_packet`] gives there.
pub struct Client {
    state: State,
    /// What answered and could not prove to be the relay.
    announced: Option<Beacon>,
}

enum State {
    Initiating(Box<Initiating>),
    Established(Box<Established>),
    Closed,
}

struct Initiating {
    attempt: Attempt,
    noise: Vec<u8>,
    cookie: Vec<u8>,
    retries: u8,
    /// When it was sent last, how often, and when it is sent next.
    sent_at: Timestamp,
    tries: u32,
    interval: Duration,
    due: Timestamp,
}

struct Established {
    session: Session,
    reset_token: ResetToken,
}

impl Client {
    /// Begins an attempt; its first packet waits in [`Self::poll_packet`].
    ///
    /// # Errors
    ///
    /// As [`Connection::initiator`](crate::connection::Connection::initiator).
    pub fn new(
        now: Timestamp,
        config: &InitiatorConfig,
        entropy: &mut Entropy,
    ) -> Result<Self, ConnectionError> {
        let (attempt, noise) = Attempt::begin(TransportKind::Datagram, config, entropy)?;
        let initiating = Initiating {
            attempt,
            noise,
            cookie: Vec::new(),
            retries: 0,
            sent_at: now,
            tries: 0,
            interval: TRY_INTERVAL,
            due: now,
        };
        Ok(Self { state: State::Initiating(Box::new(initiating)), announced: None })
    }

    /// Takes a datagram and the codepoint that it came with, and decrypts it in place. What is not the
    /// relay's changes nothing.
    ///
    /// # Errors
    ///
    /// The relay said something that ends this: everything here was authenticated.
    pub fn handle_datagram(
        &mut self,
        now: Timestamp,
        codepoint: Codepoint,
        datagram: &mut [u8],
    ) -> Result<(), ConnectionError> {
        let Some((kind, rest)) = datagram.split_first() else { return Ok(()) };
        match (&mut self.state, PacketKind::from_byte(*kind)) {
            (State::Initiating(initiating), Some(PacketKind::HandshakeReply)) => {
                match initiating.finish(now, rest) {
                    Ok(Some(established)) => {
                        self.state = State::Established(Box::new(established));
                    }
                    Ok(None) => {}
                    Err(error) => {
                        self.state = State::Closed;
                        return Err(error);
                    }
                }
            }
            (State::Initiating(initiating), Some(PacketKind::Retry)) => initiating.retry(now, rest),
            (State::Initiating(initiating), Some(PacketKind::Beacon)) => {
                let beacon = Beacon::decode(rest).filter(|it| it.attempt == initiating.attempt.id);
                self.announced = beacon.or(self.announced.take());
            }
            (State::Established(established), Some(PacketKind::Sealed)) => {
                match established.session.handle_packet(now, codepoint, datagram) {
                    Ok(Received::Ignored) => {}
                    Ok(Received::Taken { .. }) => {
                        let token = established.session.take_name();
                        established.reset_token = token.unwrap_or(established.reset_token);
                    }
                    Ok(Received::Closed) => {
                        self.state = State::Closed;
                        return Err(ConnectionError::Closed);
                    }
                    Err(error) => {
                        self.state = State::Closed;
                        return Err(Misbehaviour::from(error).into());
                    }
                }
            }
            (State::Established(established), Some(PacketKind::Reset)) => {
                let is_ours = Reset::decode(rest).is_some_and(|reset| {
                    aws_lc_rs::constant_time::verify_slices_are_equal(
                        &reset.token.0,
                        &established.reset_token.0,
                    )
                    .is_ok()
                });
                if is_ours {
                    self.state = State::Closed;
                    return Err(ConnectionError::Reset);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Time has come to what [`Self::poll_timeout`] said.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if let State::Established(established) = &mut self.state {
            established.session.handle_timeout(now);
        }
    }

    /// Appends the next datagram to `out`. False if nothing has to leave now.
    pub fn poll_packet(&mut self, now: Timestamp, out: &mut Vec<u8>) -> bool {
        match &mut self.state {
            State::Initiating(initiating) => initiating.poll_packet(now, out),
            State::Established(established) => established.session.poll_packet(now, out),
            State::Closed => false,
        }
    }

    /// The codepoint that datagrams carry which leave now.
    pub fn codepoint(&self) -> Codepoint {
        self.established().map_or(Codepoint::NotCapable, Session::codepoint)
    }

    /// When time alone changes something.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        match &self.state {
            State::Initiating(initiating) => Some(initiating.due),
            State::Established(established) => established.session.poll_timeout(),
            State::Closed => None,
        }
    }

    /// The session, once the relay has proved who it is.
    pub fn session(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Established(established) => Some(&mut established.session),
            State::Initiating(_) | State::Closed => None,
        }
    }

    /// The session as it is.
    pub fn established(&self) -> Option<&Session> {
        match &self.state {
            State::Established(established) => Some(&established.session),
            State::Initiating(_) | State::Closed => None,
        }
    }

    /// What answered meanwhile and could not prove to be the relay: a hint, never the truth.
    pub const fn announced(&self) -> Option<&Beacon> {
        self.announced.as_ref()
    }
}

impl Initiating {
    /// The handshake's end, or nothing if this is not the relay's answer to this attempt.
    fn finish(
        &mut self,
        now: Timestamp,
        rest: &[u8],
    ) -> Result<Option<Established>, ConnectionError> {
        let (channel, peer, route) = match self.attempt.finish(rest) {
            Ok(finished) => finished,
            // Anybody can send this, and the attempt goes on as if they had not.
            Err(ConnectionError::Misbehaved(
                Misbehaviour::Malformed(_) | Misbehaviour::Unexpected(_) | Misbehaviour::Forged,
            )) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(route) = route else { return Err(Misbehaviour::Contradiction.into()) };
        let Route { connection, reset_token } = route;
        // With several tries nobody knows which one was answered (Karn and Partridge 1987): the last
        // one probably, and that is a better guess than none.
        let since = now.since(self.sent_at);
        let round_trip = (self.tries == 1).then_some(since);
        let to = To::Relay(ConnectionId(connection));
        let mut session = Session::new(now, channel.numbered(), peer, to, round_trip);
        session.guess_round_trip(since);
        Ok(Some(Established { session, reset_token: ResetToken(reset_token) }))
    }

    fn retry(&mut self, now: Timestamp, rest: &[u8]) {
        let retry = Retry::decode(rest).filter(|retry| retry.attempt == self.attempt.id);
        let Some(retry) = retry.filter(|_| self.retries < RETRIES_MAX) else { return };
        self.retries += 1;
        self.cookie = retry.cookie.to_vec();
        self.due = now;
    }

    fn poll_packet(&mut self, now: Timestamp, out: &mut Vec<u8>) -> bool {
        if now < self.due {
            return false;
        }
        let init = HandshakeInit {
            choice: self.attempt.choice,
            attempt: self.attempt.id,
            cookie: &self.cookie,
            noise: &self.noise,
        };
        let start = out.len();
        out.extend(init.encode());
        // The relay's answer must not be longer than what causes it.
        out.resize(start + DATAGRAM_BYTES_MIN.max(out.len() - start), 0);
        (self.sent_at, self.due) = (now, now + self.interval);
        self.interval = (self.interval * 3 / 2).min(TRY_INTERVAL_MAX);
        self.tries += 1;
        true
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Initiating(_) => "initiating",
            State::Established(_) => "established",
            State::Closed => "closed",
        };
        write!(f, "Client({state})")
    }
}
