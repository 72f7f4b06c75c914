//! How one thread hands work to another: a vector behind a mutex, taken whole.
//!
//! A sender posts everything of its turn at once and wakes the receiver only if it sleeps; a
//! receiver takes all there is with one lock. Under load both costs are shared by hundreds of
//! messages. The length is bounded by who sends: see each use.

use std::{
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// A queue with one receiving thread that sleeps while it is empty.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    queue: Mutex<Queue<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct Queue<T> {
    mail: Vec<T>,
    receiver_sleeps: bool,
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> Self {
        let queue = Queue { mail: Vec::new(), receiver_sleeps: false };
        Self { queue: Mutex::new(queue), arrived: Condvar::new() }
    }

    /// Adds one.
    pub(crate) fn post(&self, mail: T) {
        self.post_all(|queue| queue.push(mail));
    }

    /// Lets `add` append any number.
    pub(crate) fn post_all(&self, add: impl FnOnce(&mut Vec<T>)) {
        let mut queue = self.lock();
        add(&mut queue.mail);
        let wake = mem::take(&mut queue.receiver_sleeps);
        drop(queue);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// Moves all mail into `into`, which is empty; waits for some until `deadline`, if there is
    /// one.
    pub(crate) fn take(&self, into: &mut Vec<T>, deadline: Option<Instant>) {
        let mut queue = self.lock();
        while queue.mail.is_empty() {
            queue.receiver_sleeps = true;
            queue = match deadline {
                None => self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                        break;
                    };
                    let waited = self.arrived.wait_timeout(queue, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        queue.receiver_sleeps = false;
        mem::swap(&mut queue.mail, into);
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        // Nothing inside can be left half-done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread, time::Duration};

    use super::*;

    #[test]
    fn a_sleeping_receiver_is_woken_and_gets_everything_in_order() {
        let mailbox = Arc::new(Mailbox::new());
        let sender = Arc::clone(&mailbox);
        let posting = thread::spawn(move || {
            sender.post(1);
            sender.post_all(|queue| queue.extend([2, 3]));
        });
        let mut all = Vec::new();
        while all.len() < 3 {
            let mut some = Vec::new();
            mailbox.take(&mut some, None);
            all.extend(some);
        }
        posting.join().unwrap();
        assert_eq!(all, [1, 2, 3]);
    }

    #[test]
    fn a_deadline_ends_the_wait() {
        let mailbox = Mailbox::<u8>::new();
        let mut mail = Vec::new();
        mailbox.take(&mut mail, Some(Instant::now() + Duration::from_millis(1)));
        assert!(mail.is_empty());
    }
}
