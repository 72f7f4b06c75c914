//! The way to the relay: at most one attempt or one connection at a time, and beside a connection at
//! most one look for a better one.

use std::{path::PathBuf, sync::Arc, time::Duration};

use protocol::{
    channel::keys::StaticKey,
    connection::InitiatorConfig,
    ids::{Counter, RelayKey},
    invitation::RelayAddress,
    lab::order::Order,
    message::{ClientMessage, RelayMessage, event::Body, record::Envelope},
    time::WallTime,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{call::Fallback, clock::Clock, record::Record};
use crate::{
    engine::{Disconnect, ProtocolViolation},
    lab::trace::Sessions,
    net::{
        Carrier, Link, Reading, Stream,
        impaired::Impairment,
        preference::Preference,
        race::{DialError, Won, dial},
    },
    relays::Relays,
};

/// How long a stream that was found beside silent datagrams waits: if the path is back for both,
/// datagrams are heard again within it, and the session goes on.
const SILENCE_GRACE: Duration = Duration::from_millis(2_500);
/// Why a fault is refused.
const NEEDS_DATAGRAMS: &str = "over TCP the kernel repairs losses before we see them, so only \
                               delay, jitter, rate and blackout work: start with --transport udp";

/// Where the relay is, and who we are to it.
#[derive(Clone, Debug)]
pub(super) struct Whereabouts {
    /// What makes it this relay.
    pub(super) key: RelayKey,
    /// Where it is looked for.
    pub(super) addresses: Vec<RelayAddress>,
    /// Our key.
    pub(super) device_key: Arc<StaticKey>,
    /// The file that keeps what was learned of it.
    pub(super) memory: PathBuf,
}

/// Where the relay is, and how far we have come.
#[derive(Debug)]
pub(super) struct Relay {
    at: Whereabouts,
    preference: Preference,
    /// What somebody wants to go wrong.
    impairment: Impairment,
    /// Where sessions are traced, if they are.
    traces: Option<Sessions>,
    /// Whether somebody was told that datagrams do not get through.
    is_fallback_told: bool,
    /// The attempt under way, if there is one. It goes on by itself, and ends when it is dropped.
    dialing: JoinSet<Result<Won, DialError>>,
    link: Option<Link>,
    /// The look whether the other carrier is better, as `dialing`.
    looking: JoinSet<Result<Won, DialError>>,
    /// What was learned, on its way to the disk.
    notes: JoinSet<()>,
    /// Something else than the relay answered, last time.
    announced: Option<(RelayKey, String)>,
    clock_skew_ms: Option<i64>,
    body_bytes_max: Option<u32>,
    /// How often it welcomed us.
    logins: u32,
    /// What happens to packets and own messages, if somebody watches, and since when.
    recording: Option<(Record, Instant)>,
}

/// What came from outside.
#[derive(Debug)]
pub(super) enum Incoming {
    /// An attempt ended.
    Dialed(Result<Won, DialError>),
    /// Beside the connection there is one on the other carrier that should take its place.
    Better(Won),
    /// There are new bytes on the connection, or it ended.
    Heard(std::io::Result<Stream>),
}

impl Relay {
    /// Begins with an attempt at once: whoever opens a node wants the relay, and can read its store
    /// meanwhile.
    pub(super) fn dial(at: Whereabouts, preference: Preference, traces: Option<Sessions>) -> Self {
        let mut relay = Self {
            at,
            preference,
            impairment: Impairment::none(),
            traces,
            is_fallback_told: false,
            dialing: JoinSet::new(),
            link: None,
            looking: JoinSet::new(),
            notes: JoinSet::new(),
            announced: None,
            clock_skew_ms: None,
            body_bytes_max: None,
            logins: 0,
            recording: None,
        };
        relay.connect();
        relay
    }

    /// Tries to connect, unless an attempt is under way.
    pub(super) fn connect(&mut self) {
        self.looking = JoinSet::new();
        if self.dialing.is_empty() {
            let carriers = self.carriers();
            let Whereabouts { key, addresses, device_key, .. } = self.at.clone();
            let config = InitiatorConfig::new(key, device_key);
            let path = self.next_path();
            self.dialing.spawn(async move { dial(&addresses, carriers, &config, &path).await });
        }
    }

    /// What the next attempt tries. Over a stream, some of what is wanted would not be seen.
    fn carriers(&self) -> &'static [Carrier] {
        let carriers = self.preference.carriers();
        let is_one_wanted = self.impairment.wanted.needs_datagrams();
        if is_one_wanted && carriers.contains(&Carrier::Udp) { &[Carrier::Udp] } else { carriers }
    }

    fn next_path(&mut self) -> Impairment {
        self.impairment.connections += 1;
        self.impairment.clone()
    }

    /// Makes the path worse, or good again, for this connection and the next ones.
    ///
    /// # Errors
    ///
    /// Why that cannot be.
    pub(super) fn impair(&mut self, order: &Order) -> Result<(), String> {
        let mut wanted = self.impairment.wanted.clone();
        let elapsed = self.impairment.since.elapsed();
        wanted.follow(order, elapsed).map_err(|error| error.to_string())?;
        let is_stream = match &self.link {
            Some(link) => link.carrier() == Carrier::Tcp,
            None => !self.preference.carriers().contains(&Carrier::Udp),
        };
        if wanted.needs_datagrams() && is_stream {
            return Err(NEEDS_DATAGRAMS.to_owned());
        }
        self.impairment.wanted = wanted;
        if let Some(link) = &mut self.link {
            link.impair(&self.impairment);
        }
        Ok(())
    }

    /// What somebody wants to go wrong.
    pub(super) const fn impairment(&self) -> &Impairment {
        &self.impairment
    }

    /// Drops the attempt and the connection.
    pub(super) fn disconnect(&mut self) {
        self.dialing = JoinSet::new();
        self.looking = JoinSet::new();
        self.link = None;
    }

    /// Waits for news.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(super) async fn next(&mut self, reading: Reading) -> Incoming {
        loop {
            let look_at = self.look_at();
            let Self { dialing, link, looking, .. } = self;
            tokio::select! {
                Some(dialed) = dialing.join_next() => {
                    // It is not cancelled while we wait for it; a panic has been reported by the
                    // hook.
                    return Incoming::Dialed(dialed.unwrap_or_else(|_| Err(DialError::default())));
                }
                heard = heard(link, reading) => return Incoming::Heard(heard),
                Some(looked) = looking.join_next() => match looked {
                    Ok(Ok(won)) if self.is_better(&won) => return Incoming::Better(won),
                    _ => self.look_again(),
                },
                () = sleep_until(look_at.unwrap_or_else(Instant::now)), if look_at.is_some() => {
                    self.look();
                }
            }
        }
    }

    fn look_at(&self) -> Option<Instant> {
        let link = self.link.as_ref().filter(|_| self.looking.is_empty())?;
        if link.carrier() == Carrier::Udp && self.impairment.wanted.needs_datagrams() {
            return None;
        }
        self.preference.look_at(link.carrier(), link.silent_since())
    }

    /// Tries the other carrier beside the connection. Nobody logs in there before it is decided.
    fn look(&mut self) {
        let Some(link) = &self.link else { return };
        let (carrier, grace) = match link.carrier() {
            Carrier::Tcp => (Carrier::Udp, Duration::ZERO),
            Carrier::Udp => (Carrier::Tcp, SILENCE_GRACE),
        };
        let Whereabouts { key, addresses, device_key, .. } = self.at.clone();
        let config = InitiatorConfig::new(key, device_key);
        let path = self.next_path();
        self.looking.spawn(async move {
            let won = dial(&addresses, &[carrier], &config, &path).await?;
            sleep(grace).await;
            // Streams are not better by themselves; datagrams were tried for long enough.
            Ok(Won { overtook_datagrams: won.link.carrier() == Carrier::Tcp, ..won })
        });
    }

    fn is_better(&self, won: &Won) -> bool {
        self.link.as_ref().is_some_and(|link| match won.link.carrier() {
            Carrier::Udp => link.carrier() == Carrier::Tcp,
            Carrier::Tcp => Preference::is_silent(link.silent_since(), Instant::now()),
        })
    }

    /// The other carrier is not better, or cannot be used now: look again later.
    pub(super) fn look_again(&mut self) {
        self.preference.on_looked_in_vain((Instant::now(), Clock::wall()));
        self.remember();
    }

    /// Takes the end of an attempt.
    ///
    /// # Errors
    ///
    /// Why it led nowhere.
    pub(super) fn on_dialed(&mut self, outcome: Result<Won, DialError>) -> Result<(), Disconnect> {
        match outcome {
            Ok(Won { mut link, overtook_datagrams }) => {
                // Something else may be wanted by now.
                link.impair(&self.impairment);
                if let Some(traces) = &mut self.traces {
                    link.trace(traces);
                }
                if let Some((record, _)) = &mut self.recording {
                    record.begin_session();
                    link.record();
                }
                self.announced = None;
                let before = self.preference.failed();
                let now = (Instant::now(), Clock::wall());
                self.preference.on_connected(link.carrier(), overtook_datagrams, now);
                if self.preference.failed() != before {
                    self.remember();
                }
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
        let Self { link, clock_skew_ms, body_bytes_max, logins, recording, .. } = self;
        let Some(link) = link else { return Ok(()) };
        // What came before the end counts: a refusal is often the last thing said.
        let received = link.receive(|message| {
            match &message {
                RelayMessage::Welcome(welcome) => {
                    *logins += 1;
                    *clock_skew_ms = Some(difference_ms(welcome.now, wall));
                    *body_bytes_max = Some(welcome.body_bytes_max);
                }
                RelayMessage::Accepted(accepted) => {
                    if let Some((record, since)) = recording {
                        record.on_stored(since.elapsed(), accepted);
                    }
                }
                _ => {}
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
        mut next: impl FnMut() -> Option<ClientMessage<'static>>,
    ) -> Result<(), String> {
        let Self { link: Some(link), recording, .. } = self else { return Ok(()) };
        let carrier = link.carrier();
        let noted = || {
            let message = next()?;
            if let Some((record, since)) = recording {
                record.on_sealed(since.elapsed(), carrier, own_message(&message, Clock::wall()));
            }
            Some(message)
        };
        let outcome = link.send(noted).map_err(|error| error.to_string());
        if outcome.is_err() {
            self.link = None;
        }
        outcome
    }

    /// From now on, what happens to packets and own messages is remembered.
    pub(super) fn record(&mut self) {
        if self.recording.is_none() {
            self.recording = Some((Record::default(), Instant::now()));
            if let Some(link) = &mut self.link {
                link.record();
            }
        }
    }

    /// What is remembered until now, and how long that is, if anything is.
    pub(super) fn recorded(&mut self) -> Option<(&mut Record, Duration)> {
        let (record, since) = self.recording.as_mut()?;
        if let Some(Link::Udp(link)) = &mut self.link {
            for (at, what) in link.take_trace() {
                record.on_event(at.saturating_duration_since(*since), &what);
            }
        }
        Some((record, since.elapsed()))
    }

    /// Writes down whether datagrams get through, for later processes. It may take its time: it is
    /// only advice.
    fn remember(&mut self) {
        while self.notes.try_join_next().is_some() {}
        let Whereabouts { key, memory, .. } = self.at.clone();
        let failed = self.preference.failed();
        self.notes.spawn_blocking(move || {
            let noted = Relays::load(&memory).and_then(|mut it| it.note_datagrams(key, failed));
            if let Err(error) = noted {
                tracing::warn!(path = %memory.display(), %error, "what was learned is not kept");
            }
        });
    }

    /// Waits until what was learned is written down: the next process begins with it.
    pub(super) async fn finish_notes(&mut self) {
        while self.notes.join_next().await.is_some() {}
    }

    /// Whether a stream stands in for datagrams.
    pub(super) fn fallback(&self) -> Fallback {
        match (self.preference.failed(), self.preference.is_news()) {
            (None, _) => Fallback::No,
            (Some(_), true) => Fallback::Noticed,
            (Some(_), false) => Fallback::Remembered,
        }
    }

    /// What somebody should be told about what carries the session; each thing once.
    pub(super) fn take_news(&mut self) -> Option<&'static str> {
        let fallback = self.fallback();
        let is_told = std::mem::replace(&mut self.is_fallback_told, fallback == Fallback::Noticed);
        match (is_told, fallback) {
            (false, Fallback::Noticed) => fallback.describe(),
            (true, Fallback::No) => Some("datagrams (udp) get to the relay again"),
            (_, Fallback::No | Fallback::Noticed | Fallback::Remembered) => None,
        }
    }

    /// What carries the connection, and why, for people; empty without one.
    pub(super) fn describe_transport(&self) -> String {
        let Some(link) = &self.link else { return String::new() };
        match self.fallback().describe() {
            Some(why) => format!("{}: {why}", link.carrier().name()),
            None => link.carrier().name().to_owned(),
        }
    }

    /// The key that makes it this relay.
    pub(super) const fn key(&self) -> RelayKey {
        self.at.key
    }

    /// Where it is looked for.
    pub(super) fn addresses(&self) -> &[RelayAddress] {
        &self.at.addresses
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
async fn heard(link: &mut Option<Link>, reading: Reading) -> std::io::Result<Stream> {
    match link {
        Some(link) => link.ready(reading).await,
        None => std::future::pending().await,
    }
}

/// The number of what somebody says with this, and how long ago they composed it.
fn own_message(message: &ClientMessage<'_>, now: WallTime) -> Option<(Counter, Duration)> {
    let ClientMessage::Send(send) = message else { return None };
    let counter = Envelope::decode(&send.envelope).ok()?.counter;
    let age = match Body::decode(&send.body) {
        Ok(Body::Text(text) | Body::Action(text)) => {
            now.as_millis().saturating_sub(text.composed_at.as_millis())
        }
        _ => 0,
    };
    Some((counter, Duration::from_millis(age)))
}

fn difference_ms(theirs: WallTime, ours: WallTime) -> i64 {
    let (theirs, ours) = (i128::from(theirs.as_millis()), i128::from(ours.as_millis()));
    i64::try_from(theirs - ours).unwrap_or(i64::MAX)
}
