//! Who hears events, each with a bounded queue of its own.

use tokio::sync::mpsc::{self, error::TrySendError};

use super::call::Event;

/// Everybody who hears events.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    all: Vec<Subscriber>,
}

#[derive(Debug)]
struct Subscriber {
    events: mpsc::Sender<Event>,
    // It has missed events and was not told yet.
    missed: bool,
}

impl Subscribers {
    /// Begins with the front end of this process, if that wants events.
    pub(super) fn new(first: Option<mpsc::Sender<Event>>) -> Self {
        let mut subscribers = Self::default();
        if let Some(events) = first {
            subscribers.add(events);
        }
        subscribers
    }

    /// One more.
    pub(super) fn add(&mut self, events: mpsc::Sender<Event>) {
        self.all.push(Subscriber { events, missed: false });
    }

    /// Tells everybody who can still hear. Whose queue is full misses this event and is told so as
    /// soon as there is room again.
    pub(super) fn tell(&mut self, event: &Event) {
        self.all.retain_mut(|subscriber| subscriber.tell(event));
    }
}

impl Subscriber {
    /// False if nobody listens any more.
    fn tell(&mut self, event: &Event) -> bool {
        if self.missed {
            match self.events.try_send(Event::Missed) {
                Ok(()) => self.missed = false,
                Err(TrySendError::Full(_)) => return true,
                Err(TrySendError::Closed(_)) => return false,
            }
        }
        match self.events.try_send(event.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.missed = true;
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_falls_behind_is_told_that_something_is_missing() {
        let (sender, mut receiver) = mpsc::channel(2);
        let mut subscribers = Subscribers::new(Some(sender));
        let event = Event::OutboxGone { local: crate::store::row::LocalId(1) };
        for _ in 0..5 {
            subscribers.tell(&event);
        }
        let heard: Vec<_> = std::iter::from_fn(|| receiver.try_recv().ok()).collect();
        assert_eq!(heard, [event.clone(), event.clone()]);
        subscribers.tell(&event);
        assert_eq!(receiver.try_recv(), Ok(Event::Missed));
        assert_eq!(receiver.try_recv(), Ok(event));
    }

    #[test]
    fn who_has_gone_is_forgotten() {
        let (sender, receiver) = mpsc::channel(2);
        let mut subscribers = Subscribers::new(Some(sender));
        drop(receiver);
        subscribers.tell(&Event::Missed);
        assert!(subscribers.all.is_empty());
    }
}
