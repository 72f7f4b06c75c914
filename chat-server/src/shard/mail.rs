//! Mail for a shard, from the acceptor, the hub and the store's readers.

use std::{
    mem,
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use crate::{
    hub::{Publication, SessionId, ToSession},
    net::admission::Permit,
    session::{Read, ReadAnswer},
    shard::ShardLimits,
    store::StoreError,
};

/// One thing for a shard to do.
#[derive(Debug)]
pub(crate) enum ShardMail {
    /// A new connection is this shard's.
    Accepted(Accepted),
    /// A commit is durable.
    Publish(Arc<Publication>),
    /// For one of this shard's sessions.
    ToSession(SessionId, ToSession),
    /// What a session asked the store for.
    Read(SessionId, Read, Result<ReadAnswer, StoreError>),
    /// The hub takes input again.
    ReadAgain,
    /// Other limits.
    Configure(ShardLimits),
    /// Close everything and end.
    Stop,
}

/// A connection that was let in.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) address: SocketAddr,
    pub(crate) permit: Permit,
}

/// A shard's mailbox: the receiver is a task, so it is woken by a waker.
#[derive(Debug, Default)]
pub(crate) struct ShardBox(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    mail: Vec<ShardMail>,
    // Present while the shard wants to be woken.
    waker: Option<Waker>,
}

impl ShardBox {
    pub(crate) fn post(&self, mail: ShardMail) {
        let mut queue = self.lock();
        queue.mail.push(mail);
        Self::wake(queue);
    }

    /// Posts and empties `mail`.
    pub(crate) fn post_all(&self, mail: &mut Vec<ShardMail>) {
        if mail.is_empty() {
            return;
        }
        let mut queue = self.lock();
        queue.mail.append(mail);
        Self::wake(queue);
    }

    /// Moves all mail into `into`, which is empty, and asks to be woken by the next.
    pub(crate) fn take(&self, into: &mut Vec<ShardMail>, waker: &Waker) {
        let mut queue = self.lock();
        mem::swap(&mut queue.mail, into);
        queue.waker = Some(waker.clone());
    }

    fn wake(mut queue: MutexGuard<'_, Queue>) {
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
