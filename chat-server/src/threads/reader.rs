//! The readers: fetch from the store what sessions miss, off the shards' threads, and look for the
//! hub how old records are.
//!
//! A session has at most one read under way, and so has the hub: the queue is as long as there are
//! sessions, and one.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use tracing::warn;

use crate::{
    hub::{AgeLook, Input, SessionId},
    session::Read,
    shard::mail::{ShardBox, ShardMail},
    store::Reader,
    threads::hub::{HubInbox, HubMail},
};

/// Something to read.
#[derive(Debug)]
pub(crate) enum ReadJob {
    /// What a session misses.
    Session(SessionId, Read),
    /// Where logs begin to be young enough.
    Ages(AgeLook),
}

/// Reads that wait, oldest first.
#[derive(Debug, Default)]
pub(crate) struct ReadQueue {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<ReadJob>,
    stop: bool,
}

impl ReadQueue {
    /// Asks on behalf of a session or the hub.
    pub(crate) fn post(&self, job: ReadJob) {
        self.lock().jobs.push_back(job);
        self.arrived.notify_one();
    }

    /// The readers end; what waits is not answered.
    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.arrived.notify_all();
    }

    fn next(&self) -> Option<ReadJob> {
        let mut queue = self.lock();
        loop {
            if queue.stop {
                return None;
            }
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads until told to stop.
pub(crate) fn run(
    mut reader: Box<dyn Reader>,
    queue: &ReadQueue,
    shards: &[Arc<ShardBox>],
    hub: &HubInbox,
) {
    while let Some(job) = queue.next() {
        match job {
            ReadJob::Session(session, request) => {
                let answer = request.perform(&mut *reader);
                if let Err(error) = &answer {
                    warn!(?session, %error, "cannot read from the store");
                }
                if let Some(shard) = shards.get(usize::from(session.shard())) {
                    shard.post(ShardMail::Read(session, request, answer));
                }
            }
            ReadJob::Ages(look) => {
                let mut aged = Vec::new();
                if let Err(error) = look.perform(&mut *reader, &mut aged) {
                    warn!(%error, "cannot read how old records are");
                }
                hub.post(HubMail::Inputs(vec![Input::Aged { aged }], 0));
            }
        }
    }
}
