//! The threads of a relay beside its shards, and how all of them start and end.
//!
//! ```text
//!   shard 0..N ◀─────▶ hub ◀─────▶ committer ──▶ indexer
//!       ▲                               (disk)
//!       └──────▶ reader 0..2 (disk) ◀──▶ hub
//! ```
//!
//! Ending goes against the stream: shards first, so that nobody feeds the hub; then the hub; then
//! the committer, which finishes the commit it is in; then the rest.

use std::{
    io,
    sync::{Arc, atomic::AtomicUsize},
    thread::{self, JoinHandle},
};

use tracing::error;

use crate::{
    clock::Clock,
    hub::Hub,
    net::acceptor::ShardHandle,
    shard::{
        self, ShardSetup, ShardSurroundings,
        datagrams::DatagramSetup,
        mail::{ShardBox, ShardMail},
    },
    store::{Store, StoreError},
};

pub(crate) mod committer;
pub(crate) mod hub;
pub(crate) mod indexer;
pub(crate) mod mailbox;
pub(crate) mod reader;

pub(crate) use self::hub::HubMail;
use self::{
    committer::CommitterMail,
    hub::{Gathering, HubInbox, HubThread},
    indexer::IndexerSignal,
    mailbox::Mailbox,
    reader::ReadQueue,
};

/// Threads that read logs for sessions that have fallen out of the tail: two, so that one long
/// read does not hold up everybody else.
const READERS: usize = 2;

/// What the threads are started with.
pub(crate) struct ThreadsSetup {
    pub(crate) hub: Hub,
    pub(crate) store: Box<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) shards: usize,
    pub(crate) shard: ShardSetup,
    /// For the first shards.
    pub(crate) datagrams: Vec<DatagramSetup>,
}

/// The running threads. Dropping them tells them to end without waiting.
pub(crate) struct Threads {
    hub: Arc<HubInbox>,
    committer: Arc<Mailbox<CommitterMail>>,
    indexer: Arc<IndexerSignal>,
    reads: Arc<ReadQueue>,
    shards: Vec<ShardHandle>,
    on_shards: Vec<JoinHandle<()>>,
    on_rest: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts all of them.
    pub(crate) fn start(setup: ThreadsSetup) -> Result<Self, StartThreadsError> {
        let ThreadsSetup { hub, store, clock, shards, shard, datagrams } = setup;
        let new_shard = || ShardHandle {
            mail: Arc::new(ShardBox::default()),
            connections: Arc::new(AtomicUsize::new(0)),
        };
        let mut threads = Self {
            hub: Arc::new(HubInbox::new()),
            committer: Arc::new(Mailbox::new()),
            indexer: Arc::new(IndexerSignal::default()),
            reads: Arc::new(ReadQueue::default()),
            shards: (0..shards).map(|_| new_shard()).collect(),
            on_shards: Vec::new(),
            on_rest: Vec::new(),
        };
        threads.start_store_threads(store)?;
        let hub = HubThread {
            hub,
            inbox: Arc::clone(&threads.hub),
            committer: Arc::clone(&threads.committer),
            shards: threads.shards.iter().map(|shard| Arc::clone(&shard.mail)).collect(),
            reads: Arc::clone(&threads.reads),
            clock,
            reloading: false,
            gathering: Gathering::default(),
        };
        threads.spawn("hub", move || hub.run())?;
        let mut datagrams = datagrams.into_iter();
        for (index, handle) in threads.shards.iter().enumerate() {
            let surroundings = ShardSurroundings {
                index: u16::try_from(index).unwrap_or(u16::MAX),
                handle: handle.clone(),
                hub: Arc::clone(&threads.hub),
                reads: Arc::clone(&threads.reads),
                clock,
                datagrams: datagrams.next(),
            };
            let setup = shard.clone();
            let run = shard::start(setup, surroundings)?;
            let thread = thread::Builder::new().name(format!("shard-{index}")).spawn(run)?;
            threads.on_shards.push(thread);
        }
        Ok(threads)
    }

    fn start_store_threads(&mut self, store: Box<dyn Store>) -> Result<(), StartThreadsError> {
        let boxes: Vec<_> = self.shards.iter().map(|shard| Arc::clone(&shard.mail)).collect();
        for index in 0..READERS {
            let reader = store.reader()?;
            let (reads, boxes) = (Arc::clone(&self.reads), boxes.clone());
            let hub = Arc::clone(&self.hub);
            self.spawn(&format!("reader-{index}"), move || {
                reader::run(reader, &reads, &boxes, &hub);
            })?;
        }
        let indexer = store.indexer()?;
        let signal = Arc::clone(&self.indexer);
        self.spawn("indexer", move || indexer::run(indexer, &signal))?;
        let (mailbox, hub) = (Arc::clone(&self.committer), Arc::clone(&self.hub));
        let signal = Arc::clone(&self.indexer);
        self.spawn("committer", move || committer::run(store, &mailbox, &hub, &signal))?;
        Ok(())
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.on_rest.push(thread::Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }

    /// Where the hub takes mail.
    pub(crate) fn hub(&self) -> &HubInbox {
        &self.hub
    }

    /// The shards.
    pub(crate) fn shards(&self) -> &[ShardHandle] {
        &self.shards
    }

    /// Ends all threads and waits for them; then the store is closed.
    pub(crate) async fn stop(mut self) {
        let on_shards = std::mem::take(&mut self.on_shards);
        let on_rest = std::mem::take(&mut self.on_rest);
        self.tell_shards();
        join(on_shards).await;
        self.tell_others();
        join(on_rest).await;
    }

    fn tell_shards(&self) {
        for shard in &self.shards {
            shard.mail.post(ShardMail::Stop);
        }
    }

    fn tell_others(&self) {
        self.hub.post(HubMail::Stop);
        self.committer.post(CommitterMail::Stop);
        self.indexer.stop();
        self.reads.stop();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.tell_shards();
        self.tell_others();
    }
}

/// Why the threads could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartThreadsError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    System(#[from] io::Error),
}

impl From<StartThreadsError> for crate::server::ServeError {
    fn from(error: StartThreadsError) -> Self {
        match error {
            StartThreadsError::Store(error) => Self::Store(error),
            StartThreadsError::System(error) => Self::System(error),
        }
    }
}

/// Waits without holding up the caller's runtime: a hosting client draws its screen on it.
async fn join(threads: Vec<JoinHandle<()>>) {
    let waiting = tokio::task::spawn_blocking(move || {
        for thread in threads {
            if thread.join().is_err() {
                error!("a thread of the relay has panicked");
            }
        }
    });
    if waiting.await.is_err() {
        error!("cannot wait for the relay's threads");
    }
}
