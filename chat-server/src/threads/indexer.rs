//! The indexer: moves journal rows into segments and tables, beside the commits and never in their
//! way.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::process::setpriority_process;
use tracing::{debug, warn};

use crate::store::{Indexer, Progress};

/// Commits are left to gather for this long: a busy conversation's rows are then written once for
/// many of its messages, and the journal alone is as durable. Measured with 500 busy conversations,
/// four times as often made the indexer two fifths of the relay's work.
const GATHER: Duration = Duration::from_secs(1);
/// After an error (a full disk, mostly) the next try comes this much later.
const RETRY: Duration = Duration::from_secs(2);

/// Shards and commits go first on a busy machine. Not by much: what waits for the indexer waits in
/// memory.
const NICENESS: i32 = 5;

/// Tells the indexer that there is something to do, or that it should end.
#[derive(Debug, Default)]
pub(crate) struct IndexerSignal {
    state: Mutex<Signal>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Signal {
    commits: bool,
    stop: bool,
    sleeps: bool,
}

impl IndexerSignal {
    /// A commit is in the journal.
    pub(crate) fn on_committed(&self) {
        let mut state = self.lock();
        state.commits = true;
        if state.sleeps {
            self.changed.notify_one();
        }
    }

    /// The indexer ends after the step it is in.
    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_one();
    }

    /// Waits for commits; `false` when it is time to end.
    fn wait_for_commits(&self) -> bool {
        let mut state = self.lock();
        while !state.commits && !state.stop {
            state.sleeps = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.sleeps = false;
        }
        state.commits = false;
        !state.stop
    }

    /// Waits this long, unless it is time to end.
    fn pause(&self, time: Duration) {
        let state = self.lock();
        let waited = self.changed.wait_timeout_while(state, time, |state| !state.stop);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, Signal> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Indexes until it is told to stop. What is left then is found by the next start.
pub(crate) fn run(mut indexer: Box<dyn Indexer>, signal: &IndexerSignal) {
    // Zero means the calling thread here. Without it everything works, only less evenly.
    if let Err(error) = setpriority_process(None, NICENESS) {
        debug!(%error, "the indexer has the same priority as everybody");
    }
    // The last process may have left something.
    signal.on_committed();
    while signal.wait_for_commits() {
        signal.pause(GATHER);
        loop {
            match indexer.step() {
                Ok(Progress::More) if !signal.lock().stop => {}
                Ok(Progress::CaughtUp) => {
                    signal.on_committed();
                    break;
                }
                Ok(Progress::More | Progress::Idle) => break,
                Err(error) => {
                    warn!(%error, "cannot index for now; the journal keeps everything");
                    signal.on_committed();
                    signal.pause(RETRY);
                    break;
                }
            }
        }
    }
}
