//! What every measurement needs before it can measure: a relay, and people who are logged in.

use std::{future::Future, io, rc::Rc, time::Duration};

use harness::{
    client::{Client, ClientError, RelayEndpoint, source_address},
    identity::Identity,
    process::{ProcessError, RelayOptions, RelayProcess, relay_binary},
};
use protocol::{
    entropy::Entropy,
    ids::Counter,
    message::{
        request::{CreateRoom, Reply},
        room::{Access, ConversationInfo, Genesis, Kind},
        session::Attach,
    },
};
use serde_bytes::ByteBuf;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{
    cli::{Common, Store, Transport},
    disk,
    report::Report,
};

/// Set-up steps that are under way at a time.
const PARALLEL: usize = 64;

/// Limits that keep people from flooding a relay would keep this program from measuring one.
const SETTINGS: &[(&str, &str)] = &[
    ("CHAT_SERVER__LIMITS__MESSAGES_PER_SECOND", "0"),
    ("CHAT_SERVER__LIMITS__MESSAGE_BYTES_PER_SECOND", "0"),
    ("CHAT_SERVER__LIMITS__REQUESTS_PER_SECOND", "0"),
    ("CHAT_SERVER__LIMITS__REGISTRATIONS_PER_SECOND", "0"),
];

/// Why a measurement could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The relay's process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The connection of one of our clients.
    #[error("client: {0}")]
    Client(#[from] ClientError),
    /// The operating system.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Something happened that no measurement survives.
    #[error("{0}")]
    Failed(String),
}

/// A relay with a data directory that is removed with it.
#[derive(Debug)]
pub(crate) struct Relay {
    process: RelayProcess,
    options: RelayOptions,
    home: TempDir,
    transport: Transport,
    // Of the disk before the relay was started; `None` where it does not matter.
    sync_ms: Option<f64>,
}

impl Relay {
    /// Starts a relay that knows nobody.
    ///
    /// # Errors
    ///
    /// If it does not start or does not answer.
    pub(crate) fn start(common: &Common) -> Result<Self, BenchError> {
        let home = match &common.scratch {
            Some(scratch) => TempDir::new_in(scratch)?,
            None => TempDir::new()?,
        };
        let binary = match &common.relay_binary {
            Some(binary) => binary.clone(),
            None => relay_binary()?,
        };
        let mut options = RelayOptions::new(binary, home.path().join("relay"));
        options.arguments = vec!["--store".to_owned(), common.store.name().to_owned()];
        options.arguments.extend(common.relay_argument.iter().cloned());
        options.settings =
            SETTINGS.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let sync_ms = match common.store {
            Store::Sqlite => Some(disk::time_syncs(home.path())?.quantile_ms(0.5)),
            Store::Memory => None,
        };
        let process = RelayProcess::start(&options)?;
        Ok(Self { process, options, home, transport: common.transport, sync_ms })
    }

    /// Kills the relay and starts it again on the same data.
    ///
    /// # Errors
    ///
    /// If it does not start again.
    pub(crate) fn kill_and_restart(self) -> Result<Self, BenchError> {
        self.process.kill()?;
        let process = RelayProcess::start(&self.options)?;
        Ok(Self { process, ..self })
    }

    /// Where it is: at another port after each start.
    pub(crate) fn endpoint(&self) -> RelayEndpoint {
        RelayEndpoint { transport: self.transport.kind(), ..self.process.endpoint() }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Adds how fast the disk was by itself.
    pub(crate) fn add_disk_to(&self, report: &mut Report) {
        if let Some(sync_ms) = self.sync_ms {
            report.add("one sync of 64 KiB by itself, p50", "ms", sync_ms);
        }
    }

    /// How long it took to get ready.
    pub(crate) const fn ready_after(&self) -> Duration {
        self.process.ready_after()
    }

    /// Bytes of the files in its data directory whose names begin with `prefix`.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read.
    pub(crate) fn stored_bytes(&self, prefix: &str) -> io::Result<u64> {
        let mut bytes = 0;
        for entry in std::fs::read_dir(self.home.path().join("relay"))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                bytes += entry.metadata()?.len();
            }
        }
        Ok(bytes)
    }
}

/// Somebody who can log in, and is.
#[derive(Debug)]
pub(crate) struct Person {
    /// Number in the test; picks name and address.
    pub(crate) index: u32,
    /// The keys.
    pub(crate) identity: Rc<Identity>,
    /// The session.
    pub(crate) client: Client,
    /// The highest counter the relay has seen of the device.
    pub(crate) highest: Counter,
}

impl Person {
    /// Founds an account and leaves its first session open.
    ///
    /// # Errors
    ///
    /// If the relay refuses.
    pub(crate) async fn register(relay: RelayEndpoint, index: u32) -> Result<Self, ClientError> {
        let name = format!("load{index}");
        let identity = Rc::new(Identity::generate(name, &mut Entropy::system()));
        let attach = identity.register();
        Self::attach(relay, index, identity, attach).await
    }

    /// Opens a new session of a known account.
    ///
    /// # Errors
    ///
    /// If the relay refuses.
    pub(crate) async fn login(
        relay: RelayEndpoint,
        index: u32,
        identity: Rc<Identity>,
    ) -> Result<Self, ClientError> {
        let attach = identity.attach();
        Self::attach(relay, index, identity, attach).await
    }

    async fn attach(
        relay: RelayEndpoint,
        index: u32,
        identity: Rc<Identity>,
        attach: Attach,
    ) -> Result<Self, ClientError> {
        let source = source_address(index);
        let key = &identity.channel_key;
        let mut client = Client::connect(relay, key, source, &mut Entropy::system()).await?;
        let (welcome, _) = client.attach(attach).await?;
        Ok(Self { index, identity, client, highest: welcome.highest })
    }

    /// Founds an open room.
    ///
    /// # Errors
    ///
    /// If the relay refuses.
    pub(crate) async fn create_room(
        &mut self,
        name: &str,
    ) -> Result<ConversationInfo, ClientError> {
        let genesis = Genesis {
            version: 1,
            kind: Kind::OPEN_ROOM,
            creator: Some(self.identity.account()),
            nonce: Entropy::system().bytes(),
        };
        let request = CreateRoom {
            genesis: ByteBuf::from(genesis.encode()),
            name: name.to_owned(),
            topic: String::new(),
            access: Access::ANYONE,
        };
        match self.client.request(request).await? {
            Reply::CreateRoom(info) => Ok(info),
            _ => Err(ClientError::Unexpected("create room")),
        }
    }
}

/// Runs `make` for every item, so many at a time as set-up allows; the results are in the items'
/// order. Must be called inside a `LocalSet`.
///
/// # Errors
///
/// The first error of `make`.
pub(crate) async fn for_each<I, T, F>(
    items: impl IntoIterator<Item = I>,
    make: impl Fn(I) -> F,
) -> Result<Vec<T>, BenchError>
where
    T: 'static,
    F: Future<Output = Result<T, ClientError>> + 'static,
{
    in_parallel(PARALLEL, items, make).await
}

/// As [`for_each`], with `parallel` at a time.
///
/// # Errors
///
/// The first error of `make`.
pub(crate) async fn in_parallel<I, T, F>(
    parallel: usize,
    items: impl IntoIterator<Item = I>,
    make: impl Fn(I) -> F,
) -> Result<Vec<T>, BenchError>
where
    T: 'static,
    F: Future<Output = Result<T, ClientError>> + 'static,
{
    let mut running = JoinSet::new();
    let mut results = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        if running.len() >= parallel {
            results.extend(joined(running.join_next().await)?);
        }
        let future = make(item);
        running.spawn_local(async move { (index, future.await) });
    }
    while !running.is_empty() {
        results.extend(joined(running.join_next().await)?);
    }
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, item)| item).collect())
}

type Joined<T> = Option<Result<(usize, Result<T, ClientError>), tokio::task::JoinError>>;

fn joined<T>(joined: Joined<T>) -> Result<Option<(usize, T)>, BenchError> {
    match joined {
        None => Ok(None),
        Some(Ok((index, Ok(item)))) => Ok(Some((index, item))),
        Some(Ok((index, Err(error)))) => {
            Err(BenchError::Failed(format!("client {index}: {error}")))
        }
        Some(Err(error)) => Err(BenchError::Failed(format!("a client's task: {error}"))),
    }
}
