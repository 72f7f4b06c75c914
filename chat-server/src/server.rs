//! A relay in this process: what the program, the tests and a hosting client start.
//!
//! ```text
//!   serve (the caller's runtime)   accepts, control socket, signals by Controller
//!   shard 0..N (own runtimes)      sockets and sessions
//!   hub, committer, indexer, readers   plain threads
//! ```
//!
//! [`Server::bind`] does everything that can fail; [`Server::serve`] runs until it is drained or
//! stopped, and returns when all its threads have ended and the store is closed.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use protocol::{
    channel::keys::StaticKey,
    connection::ResponderConfig,
    entropy::Entropy,
    ids::{RelayKey, sha256},
    invitation::{AddressError, Invitation},
    time::Timestamp,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tracing::{info, warn};

use crate::{
    backup,
    clock::Clock,
    config::{Config, value},
    control::{Answer, Asker, ControlListener, ControlSocket},
    hub::{Hub, HubConfig, Limits, Rate, Registration, Retention},
    invite::invitation,
    key::{self, KeyError},
    lab,
    net::{
        acceptor::Acceptor,
        admission::{Admission, AdmissionLimits},
        listen::{DatagramSockets, ListenError, listen, listen_datagrams},
        options,
    },
    operator::{self, OperatorRequest},
    runtime_file::RuntimeFile,
    shard::{
        ShardLimits, ShardSetup,
        datagrams::{DatagramSetup, TraceSetup},
        mail::ShardMail,
    },
    store::{
        Archiver, Store, StoreError,
        memory::MemoryDisk,
        sqlite::{Durability, SqliteStore},
    },
    threads::{HubMail, Threads, ThreadsSetup},
};

/// After this much beyond the drain's spread, whoever is still connected is cut off.
const DRAIN_GRACE: Duration = Duration::from_secs(2);
/// Orders that may wait. Their senders are few: signals and the hosting client.
const ORDERS_MAX: usize = 16;

/// A relay that is bound and loaded but does not serve yet.
pub struct Server {
    config: Config,
    key: Arc<StaticKey>,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    shards: usize,
    /// By address, then by shard.
    datagrams: Vec<Vec<DatagramSockets>>,
    invitation: Invitation,
    /// By these, programs on this machine find and reach it. It works without.
    runtime_file: Option<RuntimeFile>,
    control: Option<ControlSocket>,
    store: Box<dyn Store>,
    hub: Hub,
    clock: Clock,
    orders: mpsc::Receiver<Order>,
    controller: Controller,
}

/// Why a relay cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be made.
    #[error("cannot use the data directory {}", .path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// There is no place for traces.
    #[error("cannot make the directory for traces {}", .path.display())]
    TraceDir {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Its key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Its store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its sockets.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The configured public host is none.
    #[error("server.public_host: {0}")]
    PublicHost(#[from] AddressError),
    /// A thread, a runtime or a socket option.
    #[error("the operating system refused")]
    System(#[from] io::Error),
}

/// Why a relay stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The store failed for good.
    #[error("the store failed while the relay was running")]
    Store(#[from] StoreError),
    /// A thread or runtime could not be started.
    #[error("the operating system refused")]
    System(#[from] io::Error),
}

/// Tells a serving relay what to do; can be cloned and used from anywhere.
#[derive(Clone, Debug)]
pub struct Controller(mpsc::Sender<Order>);

#[derive(Debug)]
enum Order {
    Drain,
    Stop,
    Configure(Box<Config>),
    Ask(OperatorRequest, oneshot::Sender<Answer>),
}

impl Controller {
    /// Asks everybody to come back later and stops when they are gone.
    pub fn drain(&self) {
        self.order(Order::Drain);
    }

    /// Stops at once. Nothing that was acknowledged is lost.
    pub fn stop(&self) {
        self.order(Order::Stop);
    }

    /// Uses other settings from now on, as far as that is possible without a restart.
    pub fn configure(&self, config: Config) {
        self.order(Order::Configure(Box::new(config)));
    }

    /// Carries out an operator's request.
    ///
    /// # Errors
    ///
    /// The relay's reason.
    pub async fn ask(&self, request: OperatorRequest) -> Answer {
        let gone = || "the relay is stopping".to_owned();
        let (sender, receiver) = oneshot::channel();
        self.0.send(Order::Ask(request, sender)).await.map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }

    fn order(&self, order: Order) {
        if let Err(error) = self.0.try_send(order) {
            warn!(%error, "relay takes no orders");
        }
    }
}

impl Server {
    /// Loads the store and binds the sockets.
    ///
    /// # Errors
    ///
    /// If anything is missing; nothing is left running.
    pub fn bind(config: Config) -> Result<Self, StartError> {
        let settings = &config.settings;
        let data_dir = &settings.server.data_dir;
        create_private_dir(data_dir)
            .map_err(|error| StartError::DataDir { path: data_dir.clone(), error })?;
        let trace = &settings.server.trace;
        if !trace.is_empty() {
            create_private_dir(trace.as_ref())
                .map_err(|error| StartError::TraceDir { path: trace.into(), error })?;
        }
        let mut store = open_store(&config)?;
        let key = Arc::new(key::load_or_create(data_dir)?);
        let loaded = store.load()?;
        let hub = Hub::new(hub_config(&config, &key), loaded, Entropy::system());
        let listeners = listen(&settings.server.listen, settings.socket.backlog)?;
        for listener in &listeners {
            // Accepted connections inherit the options (tcp(7)); eight calls saved on each.
            options::apply(listener, &settings.socket)?;
        }
        let addresses: io::Result<Vec<_>> = listeners.iter().map(TcpListener::local_addr).collect();
        let addresses = addresses?;
        let shards = shard_count(&config);
        let datagrams = addresses.iter().filter_map(|address| {
            listen_datagrams(*address, shards)
                .inspect_err(|error| warn!(%error, %address, "no datagrams at this address"))
                .ok()
        });
        let datagrams = datagrams.collect();
        let invitation =
            invitation(addresses[0], &settings.server.public_host, key.relay_key(), None)?;
        let runtime_file = RuntimeFile::write(addresses[0], &invitation)
            .inspect_err(|error| warn!(%error, "programs on this machine will not find the relay"));
        let control =
            ControlSocket::bind(data_dir).inspect_err(|error| warn!(%error, "no control socket"));
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        Ok(Self {
            runtime_file: runtime_file.ok(),
            control: control.ok(),
            config,
            key,
            listeners,
            addresses,
            shards,
            datagrams,
            invitation,
            store,
            hub,
            clock: Clock::start(),
            orders,
            controller: Controller(sender),
        })
    }

    /// Where it listens; at least one.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What it is.
    pub fn relay_key(&self) -> RelayKey {
        self.key.relay_key()
    }

    /// What to give to people.
    pub const fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// What the program prints when it serves.
    pub fn ready_line(&self) -> String {
        let tcp: Vec<_> = self.addresses.iter().map(|address| format!("tcp={address}")).collect();
        let first = self.datagrams.iter().filter_map(|sockets| sockets.first());
        let udp = first.filter_map(|sockets| sockets.sessions.local_addr().ok());
        let udp: Vec<_> = udp.map(|address| format!("udp={address}")).collect();
        let lab = self.config.lab.iter().map(|_| "lab=on".to_owned()).collect();
        let addresses = [tcp, udp, lab].concat().join(" ");
        let key = self.relay_key().fingerprint();
        format!("ready {addresses} key={key} invite={}", self.invitation)
    }

    /// The socket options of its connections.
    ///
    /// # Errors
    ///
    /// If the kernel refuses to say.
    pub fn options(&self) -> io::Result<options::Options> {
        options::read(&self.listeners[0])
    }

    /// How to stop it, among other things.
    pub fn controller(&self) -> Controller {
        self.controller.clone()
    }

    /// Serves until it is drained or stopped.
    ///
    /// # Errors
    ///
    /// If the store fails for good, or a thread cannot be started.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the relay as [`Controller::stop`] does, but does not wait.
    pub async fn serve(self) -> Result<(), ServeError> {
        let Self { config, key, listeners, addresses, invitation, runtime_file, .. } = self;
        let Self { control, store, hub, clock, orders, shards, datagrams, .. } = self;
        let settings = &config.settings;
        let archiver = store.archiver()?;
        let admission = Admission::new(admission_limits(&config));
        let trace = trace(&settings.server.trace, clock);
        let lab = config.lab.as_ref().map(|lab| {
            warn!("{}", lab.banner(&addresses));
            lab::Paths::new(lab)
        });
        let threads = Threads::start(ThreadsSetup {
            hub,
            store,
            clock,
            shards,
            shard: ShardSetup {
                responder: Arc::new(ResponderConfig::new(key.clone(), shown_name(&config))),
                limits: shard_limits(&config, shards),
                tail_bytes: settings.limits.tail_bytes.as_usize() / shards,
            },
            datagrams: by_shard(datagrams, &admission, trace.as_ref(), lab.as_ref()),
        })?;
        let control = control.map(ControlSocket::listen).transpose()?;
        let mut serving = Serving {
            acceptor: Some(Acceptor::start(
                listeners,
                threads.shards().to_vec(),
                Arc::clone(&admission),
            )?),
            config,
            key,
            shards,
            admission,
            archiver: Arc::new(std::sync::Mutex::new(archiver)),
            invitation,
        };
        info!(shards, address = %addresses[0], "serving");
        serving.run(&threads, orders, control).await;
        drop((serving, runtime_file));
        threads.stop().await;
        Ok(())
    }
}

/// Where traces go, if they go anywhere.
fn trace(directory: &str, clock: Clock) -> Option<TraceSetup> {
    if directory.is_empty() {
        return None;
    }
    let wall = Duration::from_millis(clock.wall().as_millis());
    let began = wall.saturating_sub(clock.now().since(Timestamp::ZERO));
    Some(TraceSetup { directory: directory.into(), began })
}

/// What each of the first shards receives datagrams with: at the same addresses, in the same order.
fn by_shard(
    addresses: Vec<Vec<DatagramSockets>>,
    admission: &Arc<Admission>,
    trace: Option<&TraceSetup>,
    lab: Option<&lab::Paths>,
) -> Vec<DatagramSetup> {
    let shards = addresses.iter().map(Vec::len).min().unwrap_or(0);
    let setup = || DatagramSetup {
        sockets: Vec::new(),
        shards,
        admission: Arc::clone(admission),
        trace: trace.cloned(),
        lab: lab.cloned(),
    };
    let mut setups: Vec<_> = std::iter::repeat_with(setup).take(shards).collect();
    for sockets in addresses {
        for (setup, sockets) in setups.iter_mut().zip(sockets) {
            setup.sockets.push(sockets);
        }
    }
    setups
}

/// What the loop of a serving relay works on.
struct Serving {
    acceptor: Option<Acceptor>,
    config: Config,
    key: Arc<StaticKey>,
    shards: usize,
    admission: Arc<Admission>,
    archiver: Arc<std::sync::Mutex<Box<dyn Archiver>>>,
    invitation: Invitation,
}

impl Serving {
    async fn run(
        &mut self,
        threads: &Threads,
        mut orders: mpsc::Receiver<Order>,
        control: Option<ControlListener>,
    ) {
        let mut deadline: Option<Instant> = None;
        let mut look_again = tokio::time::interval(Duration::from_millis(50));
        loop {
            let draining = deadline.is_some();
            tokio::select! {
                Some(order) = orders.recv() => match order {
                    Order::Stop => return,
                    // Whoever asks twice does not want to wait.
                    Order::Drain if draining => return,
                    Order::Drain => {
                        let spread = self.config.settings.server.drain;
                        info!(?spread, connections = self.admission.open(), "draining");
                        self.acceptor = None;
                        threads.hub().post(HubMail::Drain(spread));
                        deadline = Some(Instant::now() + spread + DRAIN_GRACE);
                    }
                    Order::Configure(config) => self.configure(threads, *config),
                    Order::Ask(request, reply) => self.ask(threads, request, |answer| {
                        // Whoever asked may be gone.
                        let _ = reply.send(answer);
                    }),
                },
                (request, asker) = next_request(control.as_ref()) => {
                    self.ask(threads, request, |answer| {
                        tokio::spawn(Asker::answer(asker, answer));
                    });
                }
                // Nothing tells when the last connection goes; it is only waited for here.
                _ = look_again.tick(), if draining => {
                    if self.admission.open() == 0 {
                        return;
                    }
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if draining => {
                    warn!(connections = self.admission.open(), "some did not go in time");
                    return;
                }
            }
        }
    }

    fn ask(
        &self,
        threads: &Threads,
        request: OperatorRequest,
        reply: impl FnOnce(Answer) + Send + 'static,
    ) {
        match request {
            OperatorRequest::Hub(call) => {
                let (sender, receiver) = oneshot::channel();
                threads.hub().post(HubMail::Operator(call, sender));
                tokio::spawn(async move {
                    reply(match receiver.await {
                        Ok(answer) => operator::lines_of(&answer),
                        Err(_) => Err("the relay is stopping".to_owned()),
                    });
                });
            }
            OperatorRequest::Backup(to) => {
                let (archiver, key) = (Arc::clone(&self.archiver), Arc::clone(&self.key));
                // A copy takes as long as the history is large; the relay serves meanwhile.
                tokio::task::spawn_blocking(move || {
                    let mut archiver =
                        archiver.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    let copied = backup::write(&mut **archiver, &key, &to);
                    reply(copied.map(|()| String::new()).map_err(|error| error.to_string()));
                });
            }
            OperatorRequest::Info => reply(Ok(format!("{}\n", self.invitation))),
            OperatorRequest::Reload => {
                // The program owns the sources of the settings; it reloads on the same signal.
                let pid = rustix::process::getpid();
                let sent = rustix::process::kill_process(pid, rustix::process::Signal::HUP);
                reply(sent.map(|()| String::new()).map_err(|error| error.to_string()));
            }
        }
    }

    fn configure(&mut self, threads: &Threads, config: Config) {
        let restart = self.config.needs_restart(&config);
        if !restart.is_empty() {
            warn!(settings = restart.join(" "), "these take effect after a restart");
        }
        self.admission.set_limits(admission_limits(&config));
        threads.hub().post(HubMail::Configure(Box::new(hub_config(&config, &self.key))));
        let limits = shard_limits(&config, self.shards);
        for shard in threads.shards() {
            shard.mail.post(ShardMail::Configure(limits));
        }
        self.config = config;
        info!("settings in force");
    }
}

async fn next_request(control: Option<&ControlListener>) -> (OperatorRequest, Asker) {
    match control {
        Some(control) => control.next().await,
        None => std::future::pending().await,
    }
}

/// The store the settings name, not loaded yet.
pub(crate) fn open_store(config: &Config) -> Result<Box<dyn Store>, StoreError> {
    match config.settings.server.store {
        value::StoreKind::Sqlite => {
            let dir = &config.settings.server.data_dir;
            Ok(Box::new(SqliteStore::open(dir, durability())?))
        }
        value::StoreKind::Memory => Ok(Box::new(MemoryDisk::new().open())),
    }
}

/// Makes the directory with its parents, for its owner only.
pub(crate) fn create_private_dir(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

pub(crate) fn hub_config(config: &Config, key: &StaticKey) -> HubConfig {
    let (accounts, limits) = (&config.settings.accounts, &config.settings.limits);
    let secret = sha256(&[b"relay ticket secret v1", &*key.to_bytes()]);
    let records_max = (limits.records_max > 0).then(|| limits.records_max.into());
    let age_max = Some(limits.records_age_max).filter(|age| !age.is_zero());
    let defaults = HubConfig::new(vec![key.relay_key()], secret);
    HubConfig {
        relay_name: shown_name(config),
        registration: match accounts.registration {
            value::Registration::Open => Registration::Open,
            value::Registration::Invite => Registration::Invite,
            value::Registration::Closed => Registration::Closed,
        },
        reserved_names: accounts.reserved_names.iter().cloned().collect(),
        retention: Retention { records_max, age_max },
        limits: Limits {
            messages: rate(limits.messages_per_second, limits.messages_burst),
            message_bytes: rate(
                limits.message_bytes_per_second.as_u32(),
                limits.message_bytes_burst.as_u32(),
            ),
            requests: rate(limits.requests_per_second, limits.requests_burst),
            registrations: rate(limits.registrations_per_second, limits.registrations_burst),
            accounts_max: limits.accounts_max,
            conversations_per_account_max: limits.conversations_per_account_max,
            rooms_per_account_max: limits.rooms_per_account_max,
            members_per_room_max: limits.members_per_room_max,
            batch_messages_max: limits.batch_messages_max,
            batch_bytes_max: limits.batch_bytes_max.as_u32(),
            ..defaults.limits
        },
        ..defaults
    }
}

/// The relay's name, as clients see it.
fn shown_name(config: &Config) -> String {
    let name = &config.settings.server.name;
    config.lab.as_ref().map_or_else(|| name.clone(), |lab| lab.mark(name))
}

const fn rate(per_second: u32, burst: u32) -> Rate {
    Rate { per_second, burst }
}

fn shard_count(config: &Config) -> usize {
    match usize::try_from(config.settings.server.shards).unwrap_or(1) {
        0 => std::thread::available_parallelism().map_or(1, usize::from).min(256),
        shards => shards,
    }
}

fn admission_limits(config: &Config) -> AdmissionLimits {
    let limits = &config.settings.limits;
    AdmissionLimits {
        connections_max: limits.connections_max,
        connections_per_address_max: limits.connections_per_address_max,
    }
}

fn shard_limits(config: &Config, shards: usize) -> ShardLimits {
    let limits = &config.settings.limits;
    let pending = usize::try_from(limits.logins_pending_max).unwrap_or(usize::MAX);
    ShardLimits {
        logins_pending_max: pending.div_ceil(shards),
        login_time: limits.login_time,
        silence_max: limits.silence_max,
    }
}

/// Turns syncing off: for the tests which show that they would notice, and for nobody else.
const NO_SYNC_FOR_TESTS: &str = "CHAT_SERVER_TEST_NO_SYNC";

fn durability() -> Durability {
    if std::env::var_os(NO_SYNC_FOR_TESTS).is_some() {
        tracing::warn!("syncing is off: this relay keeps no promise");
        return Durability::Unsynced;
    }
    Durability::Synced
}
