//! The readers: fetch from the store what sessions miss, off the shards' threads.
//!
//! A session has at most one read under way, so the queue is as long as there are sessions.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use tracing::warn;

use crate::{
    hub::SessionId,
    session::Read,
    shard::mail::{ShardBox, ShardMail},
    store::Reader,
};

/// Reads that wait, oldest first.
#[derive(Debug, Default)]
pub(crate) struct ReadQueue {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<(SessionId, Read)>,
    stop: bool,
}

impl ReadQueue {
    /// Asks on behalf of a session.
    pub(crate) fn post(&self, session: SessionId, request: Read) {
        self.lock().jobs.push_back((session, request));
        self.arrived.notify_one();
    }

    /// The readers end; what waits is not answered.
    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.arrived.notify_all();
    }

    fn next(&self) -> Option<(SessionId, Read)> {
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
pub(crate) fn run(mut reader: Box<dyn Reader>, queue: &ReadQueue, shards: &[Arc<ShardBox>]) {
    while let Some((session, request)) = queue.next() {
        let answer = request.perform(&mut *reader);
        if let Err(error) = &answer {
            warn!(?session, %error, "cannot read from the store");
        }
        if let Some(shard) = shards.get(usize::from(session.shard())) {
            shard.post(ShardMail::Read(session, request, answer));
        }
    }
}
