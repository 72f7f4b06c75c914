//! The thread that owns the store: one request after the other, answers in the same order, so that
//! a page read after a change shows it.

use std::{
    sync::mpsc::{
        Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel,
    },
    thread,
    time::Duration,
};

use protocol::ids::{ConversationId, Seq};
use tokio::sync::{mpsc, oneshot};

use super::call::At;
use crate::{
    engine::Ticket,
    store::{
        History, Loaded, Store, StoreFailure, StoreRequest, Stored,
        row::HistoryRow,
        search::{Findings, Search},
    },
};

/// Requests that may wait. The engine has one under way at a time; the rest are pages for views.
const JOBS_MAX: usize = 64;

/// How long nobody has to have asked for anything before the store files what waits for its index: a
/// step takes tens of milliseconds, and whoever has just asked usually asks again.
const IDLE_AFTER: Duration = Duration::from_millis(300);

/// What the store is asked.
#[derive(Debug)]
pub(super) enum Job {
    /// By the engine.
    Perform(Ticket, StoreRequest),
    /// By a view.
    Read(ReadId, Read),
}

/// Names a read until its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ReadId(pub(super) u64);

/// A page that a view wants.
#[derive(Debug)]
pub(super) enum Read {
    Page { conversation: ConversationId, at: At, count: usize },
    Amends { conversation: ConversationId, from: Seq, to: Seq },
    Search(Box<Search>),
}

/// What came of a [`Job`].
#[derive(Debug)]
pub(super) enum Done {
    Performed(Ticket, Result<Stored, StoreFailure>),
    Read(ReadId, Result<Vec<HistoryRow>, StoreFailure>),
    Found(ReadId, Result<Findings, StoreFailure>),
}

/// The store's thread, as the owner sees it.
#[derive(Debug)]
pub(super) struct Disk {
    jobs: Option<SyncSender<Job>>,
    done: mpsc::Receiver<Done>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Disk {
    /// Starts the thread, which opens the store and ends when this is dropped. What the store holds
    /// comes later, so that the caller can reach for the relay meanwhile.
    pub(super) fn start<S>(
        open: impl FnOnce() -> Result<S, StoreFailure> + Send + 'static,
    ) -> std::io::Result<(Self, Loading)>
    where
        S: Store + History + 'static,
    {
        let (jobs, waiting) = sync_channel(JOBS_MAX);
        let (answers, done) = mpsc::channel(JOBS_MAX);
        let (loaded, loading) = oneshot::channel();
        let thread = thread::Builder::new().name("store".to_owned()).spawn(move || {
            let opened = open().and_then(|mut store| {
                let loaded = store.load()?;
                Ok((store, loaded))
            });
            let mut store = match opened {
                Ok((store, content)) => {
                    // If nobody waits any more, nobody asks for anything either.
                    let _ = loaded.send(Ok(content));
                    store
                }
                Err(failure) => {
                    let _ = loaded.send(Err(failure));
                    return;
                }
            };
            while let Some(job) = next_job(&waiting, &mut store) {
                if answers.blocking_send(perform(&mut store, job)).is_err() {
                    break;
                }
            }
        })?;
        Ok((Self { jobs: Some(jobs), done, thread: Some(thread) }, Loading(loading)))
    }

    /// Hands a request over, or gives it back if too many wait.
    pub(super) fn request(&self, job: Job) -> Result<(), Box<Job>> {
        let jobs = self.jobs.as_ref().expect("taken only when dropped");
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => Box::new(job),
        })
    }

    /// The next answer; `None` if the thread has died.
    ///
    /// # Cancel safety
    ///
    /// No answer is lost.
    pub(super) async fn next(&mut self) -> Option<Done> {
        self.done.recv().await
    }
}

impl Drop for Disk {
    /// Waits for the thread: the home's lock must not be given back while it still writes.
    fn drop(&mut self) {
        self.jobs = None;
        self.done.close();
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported by the hook already.
            let _ = thread.join();
        }
    }
}

/// What the store holds, once it has been read.
#[derive(Debug)]
pub(super) struct Loading(oneshot::Receiver<Result<Loaded, StoreFailure>>);

impl Loading {
    /// Waits for it.
    pub(super) async fn loaded(self) -> Result<Loaded, StoreFailure> {
        let ended = || StoreFailure::Unusable("its thread has ended".to_owned());
        self.0.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// The next job; after a while without one, the store files what waits for its index. `None` once
/// nobody can ask any more.
fn next_job(waiting: &Receiver<Job>, store: &mut impl History) -> Option<Job> {
    match waiting.recv_timeout(IDLE_AFTER) {
        Ok(job) => return Some(job),
        Err(RecvTimeoutError::Disconnected) => return None,
        Err(RecvTimeoutError::Timeout) => {}
    }
    loop {
        match store.index_when_idle() {
            Ok(true) => {}
            Ok(false) => return waiting.recv().ok(),
            Err(failure) => {
                // It stays to be done, and a search that needs it says why it cannot.
                tracing::warn!(%failure, "cannot index what is stored");
                return waiting.recv().ok();
            }
        }
        match waiting.try_recv() {
            Ok(job) => return Some(job),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => {}
        }
    }
}

fn perform(store: &mut (impl Store + History), job: Job) -> Done {
    match job {
        Job::Perform(ticket, request) => Done::Performed(ticket, store.perform(&request)),
        Job::Read(id, Read::Page { conversation, at, count }) => Done::Read(
            id,
            match at {
                At::Newest => store.newest(conversation, count),
                At::Before(seq) => store.before(conversation, seq, count),
                At::After(seq) => store.after(conversation, seq, count),
            },
        ),
        Job::Read(id, Read::Amends { conversation, from, to }) => {
            Done::Read(id, store.amends(conversation, from, to))
        }
        Job::Read(id, Read::Search(search)) => Done::Found(id, store.search(&search)),
    }
}
