//! Which connections the kernel has news of: one waker per connection, one list per shard.
//!
//! tokio wakes a connection's waker when its socket becomes readable or writable; the waker notes
//! the connection's key here and wakes the shard once per turn. So a connection needs no task, and
//! the shard sees all that is ready before it does anything.

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

/// The list of a shard.
#[derive(Debug, Default)]
pub(super) struct ReadyList(Mutex<Ready>);

#[derive(Debug, Default)]
struct Ready {
    keys: Vec<u64>,
    // Present while the shard wants to be woken.
    shard: Option<Waker>,
}

/// What tokio holds for one connection.
#[derive(Debug)]
struct LinkWaker {
    list: Arc<ReadyList>,
    key: u64,
    // Readable and writable at once is one entry.
    noted: AtomicBool,
}

/// The shard's side of a connection's waker.
#[derive(Debug)]
pub(super) struct LinkSignal {
    inner: Arc<LinkWaker>,
    waker: Waker,
}

impl ReadyList {
    /// Moves the keys that are ready into `into`, which is empty, and asks to be woken by the next.
    pub(super) fn take(&self, into: &mut Vec<u64>, shard: &Waker) {
        let mut ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut ready.keys, into);
        ready.shard = Some(shard.clone());
    }

    fn note(&self, key: u64) {
        let mut ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ready.keys.push(key);
        let shard = ready.shard.take();
        drop(ready);
        if let Some(shard) = shard {
            shard.wake();
        }
    }
}

impl LinkSignal {
    pub(super) fn new(list: &Arc<ReadyList>, key: u64) -> Self {
        let inner = LinkWaker { list: Arc::clone(list), key, noted: AtomicBool::new(false) };
        let inner = Arc::new(inner);
        Self { waker: Waker::from(Arc::clone(&inner)), inner }
    }

    /// What to hand to the socket.
    pub(super) const fn waker(&self) -> &Waker {
        &self.waker
    }

    /// The key was taken from the list: news from now on is new.
    pub(super) fn clear(&self) {
        self.inner.noted.store(false, Ordering::Release);
    }

    /// Puts the connection on the list for the next turn.
    pub(super) fn again(&self) {
        self.waker.wake_by_ref();
    }
}

impl Wake for LinkWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.noted.swap(true, Ordering::AcqRel) {
            self.list.note(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_listed_once_until_it_was_looked_at() {
        let list = Arc::new(ReadyList::default());
        let signal = LinkSignal::new(&list, 7);
        let shard = Waker::noop();
        signal.waker().wake_by_ref();
        signal.again();
        let mut keys = Vec::new();
        list.take(&mut keys, shard);
        assert_eq!(keys, [7]);
        signal.clear();
        signal.again();
        keys.clear();
        list.take(&mut keys, shard);
        assert_eq!(keys, [7]);
    }
}
