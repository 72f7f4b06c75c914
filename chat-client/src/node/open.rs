//! Becoming the owner of a home, or a guest of its owner.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use protocol::{
    entropy::{Entropy, SimRng},
    ids::RelayKey,
};
use tokio::{
    net::UnixStream,
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

use super::{
    clock::Clock,
    disk::Disk,
    guest,
    handle::{CALLS_MAX, EVENTS_MAX, Handle, OwnerTask},
    owner::{Channels, Owner, WantedName},
    relay::{Relay, Whereabouts},
    server::Server,
};
use crate::{
    choice::{Choice, Wish, choose},
    config::Config,
    engine::{Engine, EngineConfig},
    lab::trace::Sessions,
    net::preference::Preference,
    report::Failure,
    store::{
        home::{HomeError, OwnerLock},
        keys::Keys,
        sqlite::SqliteStore,
    },
};

/// How long two commands that start at once may take to agree on who owns the home: the one that
/// has the lock may not listen yet, the one that listens may be about to end.
const AGREEMENT_TIME_MAX: Duration = Duration::from_secs(5);
/// Between two looks.
const AGREEMENT_PAUSE: Duration = Duration::from_millis(10);

/// Whether a front end hears events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    /// It does.
    Wanted,
    /// It only calls.
    Unwanted,
}

/// The way into a home.
#[derive(Clone, Copy, Debug)]
pub struct Node;

impl Node {
    /// Whether a process owns the home now.
    pub async fn is_owned(config: &Config) -> bool {
        UnixStream::connect(config.home.socket()).await.is_ok()
    }

    /// Opens the node of the configured home: as a guest if a process owns it, else as its owner.
    ///
    /// # Errors
    ///
    /// If no relay can be chosen, the home is in use with another one, or its files are unusable.
    pub async fn open(config: &Config, events: Events) -> Result<Handle, Failure> {
        config.home.prepare().map_err(|error| Failure::Store { why: error.to_string() })?;
        let socket = config.home.socket();
        let until = Instant::now() + AGREEMENT_TIME_MAX;
        loop {
            match guest::connect(&socket, events == Events::Wanted).await {
                Ok((handle, relay)) => {
                    check_relay(config, relay)?;
                    if config.trace.is_some() {
                        return Err(Failure::Usage(TRACE_ELSEWHERE.to_owned()));
                    }
                    return Ok(handle);
                }
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    return Err(Failure::io(
                        "cannot use the program that runs in this home",
                        error,
                    ));
                }
                // Nobody listens, or whoever did is just going.
                Err(_) => {}
            }
            match config.home.lock() {
                Ok(lock) => return own(config, socket, events, lock).await,
                Err(HomeError::InUse) if Instant::now() < until => sleep(AGREEMENT_PAUSE).await,
                Err(HomeError::InUse) => return Err(Failure::OwnerGone),
                Err(error) => return Err(Failure::Store { why: error.to_string() }),
            }
        }
    }
}

const TRACE_ELSEWHERE: &str = "the client that runs in this home has the connection: end it and start \
                               it with --trace";

/// A guest gets the owner's relay. Who asked for another one must not be served by it.
fn check_relay(config: &Config, owners: RelayKey) -> Result<(), Failure> {
    let other = || Err(Failure::HomeBusy { key: owners });
    if config.trust.is_some_and(|trust| trust != owners.fingerprint()) {
        return other();
    }
    let Some(relay) = config.relay.as_deref() else { return Ok(()) };
    if let Ok(invitation) = relay.parse::<protocol::invitation::Invitation>() {
        return if invitation.relay_key == owners { Ok(()) } else { other() };
    }
    let relays = config.relays()?;
    let address = relay.trim().parse();
    let known = address.ok().and_then(|address| relays.by_address(&address));
    if known.is_some_and(|known| known.key != owners) { other() } else { Ok(()) }
}

async fn own(
    config: &Config,
    socket: PathBuf,
    events: Events,
    lock: OwnerLock,
) -> Result<Handle, Failure> {
    let mut relays = config.relays()?;
    let wish = Wish { relay: config.relay.as_deref(), trust: config.trust };
    let choice = choose(wish, &relays).await?;
    relays
        .remember(choice.key, &choice.name, &choice.addresses)
        .map_err(|error| Failure::io("cannot remember the relay", error))?;
    let server = Server::bind(&socket)
        .map_err(|error| Failure::io(format!("cannot listen on {}", socket.display()), error))?;

    let clock = Clock::start();
    let failed = relays.by_key(choice.key).and_then(|relay| relay.datagrams_failed);
    let preference = Preference::new(config.transport, failed, (Instant::now(), Clock::wall()));
    let (engine, disk, relay) = start_engine(config, &choice, preference).await?;
    let wanted = WantedName { name: config.name.clone(), origin: config.name_origin };

    let (calls_out, calls) = mpsc::channel(CALLS_MAX);
    let (closing, close) = oneshot::channel();
    let (events_out, events_in) = mpsc::channel(EVENTS_MAX);
    let events_out = (events == Events::Wanted).then_some(events_out);
    let owner = Owner::new(engine, clock, disk, relay, wanted, events_out);
    let channels = Channels { calls, calls_out: calls_out.clone(), closing: close };
    // Ends when the handle is closed, or dropped together with the runtime. The lock goes last, when
    // the store has been closed.
    let task = tokio::spawn(async move {
        owner.run(server, channels).await;
        drop(lock);
    });
    Ok(Handle::new(calls_out, events_in, Some(OwnerTask { closing, task })))
}

/// Reads the store and shakes hands with the relay at the same time: a command that says one thing
/// waits for the slower of the two, not for both.
async fn start_engine(
    config: &Config,
    choice: &Choice,
    preference: Preference,
) -> Result<(Engine, Disk, Relay), Failure> {
    let unusable = |why: String| Failure::Store { why };
    let traces = config.trace.clone().map(|(directory, how)| Sessions::new(directory, how));
    let traces = traces.transpose()?;
    let path = config.home.database_for(choice.key);
    let (disk, loading) = Disk::start(move || SqliteStore::open(&path))
        .map_err(|error| Failure::io("cannot start the store's thread", error))?;

    let mut entropy = Entropy::system();
    let keys = Keys::open(&config.home, choice.key, &mut entropy, Clock::wall())
        .map_err(|error| unusable(error.to_string()))?;
    let ticket = choice.ticket.as_ref().map(|ticket| ticket.as_bytes().to_vec());
    let identity = keys.identity(config.name.clone(), ticket.unwrap_or_default());
    let addresses = choice.addresses.clone();
    let relay = Whereabouts {
        key: choice.key,
        addresses,
        device_key: Arc::new(keys.channel),
        memory: config.home.relays(),
    };
    let relay = Relay::dial(relay, preference, traces);

    let loaded = loading.loaded().await.map_err(|error| unusable(error.to_string()))?;
    let jitter = SimRng::new(u64::from_le_bytes(entropy.bytes()));
    let engine = Engine::new(identity, loaded, EngineConfig::default(), jitter);
    Ok((engine, disk, relay))
}
