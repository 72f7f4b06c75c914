//! Changes on their way to the disk, and what may happen only once they are there.
//!
//! One request is with the store at a time. What comes up meanwhile fills the next batch, so a slow
//! disk gets larger transactions instead of a longer queue, and everything becomes durable in the
//! order in which it was decided.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use protocol::{
    ids::{ConversationId, Counter, DeviceId, Seq},
    message::record::ChainPrefix,
    time::{Timestamp, WallTime},
};

use super::{command::CommandId, event::Event};
use crate::{
    engine::command::Answer,
    store::{Change, Found, Query, StoreFailure, StoreRequest, Stored, row::LocalId},
};

/// How long after a failed write the same changes are offered again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Bytes of records that may wait for the disk before the driver should stop reading: a relay that
/// sends faster than our disk writes fills a socket buffer, not our memory.
pub const UNSAVED_BYTES_MAX: usize = 4 << 20;

/// Names one request to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What follows once a change is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The entry may be transmitted, if these are still its bytes.
    Release(LocalId, Counter),
    /// The relay may forget its decision on this message.
    Settled(ConversationId, Counter),
    /// These records are here.
    Stored(Filed),
    /// Somebody may be told.
    Emit(Event),
    /// A command is done.
    Answer(CommandId, Answer),
}

/// Records on their way to the disk, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filed {
    pub(super) conversation: ConversationId,
    pub(super) arrival: Arrival,
    /// First of them.
    pub(super) from: Seq,
    /// Last of them.
    pub(super) to: Seq,
    /// The chain at `to`.
    pub(super) chain: ChainPrefix,
    /// When the relay took the last of them.
    pub(super) time: WallTime,
    /// Who else made them.
    pub(super) devices: BTreeSet<DeviceId>,
    /// All of them were made on this device.
    pub(super) is_mine: bool,
}

/// How records came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// In the stream.
    Streamed,
    /// In a page.
    Paged,
}

/// What the store's answer means.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A batch is durable; the store failed before, if told so.
    Durable(Vec<Then>, Recovered),
    /// A look-up came back.
    Found(Query, Found),
    /// The request stays and is offered again.
    Failed(StoreFailure),
    /// No such request is out.
    Stale,
}

/// Whether the store took a write after having refused one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovered {
    Yes,
    No,
}

/// The queue in front of the store.
#[derive(Debug, Default)]
pub(super) struct Journal {
    filling: Vec<Change>,
    filling_then: Vec<Then>,
    filling_bytes: usize,
    queries: VecDeque<Query>,
    out: Option<Out>,
    last_ticket: u64,
    failing: Option<StoreFailure>,
}

#[derive(Debug)]
struct Out {
    ticket: Ticket,
    request: StoreRequest,
    then: Vec<Then>,
    bytes: usize,
    offer: Offer,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offer {
    /// With the store.
    Out,
    /// Failed; offered again at this time.
    Again(Timestamp),
    /// That time has come.
    Due,
}

impl Journal {
    /// Adds a change to the next batch.
    pub(super) fn push(&mut self, change: Change) {
        self.filling_bytes += weight(&change);
        self.filling.push(change);
    }

    /// Says what follows once everything pushed so far is durable.
    pub(super) fn then(&mut self, then: Then) {
        self.filling_then.push(then);
    }

    /// Asks for a look-up, made once everything pushed so far is durable.
    pub(super) fn ask(&mut self, query: Query) {
        self.queries.push_back(query);
    }

    /// The next request for the store.
    pub(super) fn poll(&mut self) -> Option<(Ticket, StoreRequest)> {
        if let Some(out) = &mut self.out {
            if out.offer != Offer::Due {
                return None;
            }
            out.offer = Offer::Out;
            self.last_ticket += 1;
            out.ticket = Ticket(self.last_ticket);
            return Some((out.ticket, out.request.clone()));
        }
        let request = if !self.filling.is_empty() || !self.filling_then.is_empty() {
            StoreRequest::Apply(Arc::from(std::mem::take(&mut self.filling)))
        } else {
            StoreRequest::Find(self.queries.pop_front()?)
        };
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let (then, bytes) = match request {
            StoreRequest::Apply(_) => {
                (std::mem::take(&mut self.filling_then), std::mem::take(&mut self.filling_bytes))
            }
            StoreRequest::Find(_) => (Vec::new(), 0),
        };
        self.out = Some(Out { ticket, request: request.clone(), then, bytes, offer: Offer::Out });
        Some((ticket, request))
    }

    /// Takes the store's answer.
    pub(super) fn handle_stored(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        outcome: Result<Stored, StoreFailure>,
    ) -> Outcome {
        let Some(out) = self.out.as_mut().filter(|out| out.ticket == ticket) else {
            return Outcome::Stale;
        };
        match outcome {
            Ok(stored) => {
                let out = self.out.take().expect("looked at just above");
                match (out.request, stored) {
                    (StoreRequest::Apply(_), _) => {
                        let recovered = match self.failing.take() {
                            Some(_) => Recovered::Yes,
                            None => Recovered::No,
                        };
                        Outcome::Durable(out.then, recovered)
                    }
                    (StoreRequest::Find(query), Stored::Found(found)) => {
                        Outcome::Found(query, found)
                    }
                    (StoreRequest::Find(_), Stored::Applied) => Outcome::Stale,
                }
            }
            Err(failure) => {
                out.offer = Offer::Again(now + RETRY_AFTER);
                self.failing = Some(failure.clone());
                Outcome::Failed(failure)
            }
        }
    }

    /// Puts a failed request in line again once its time has come.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        if let Some(out) = &mut self.out
            && matches!(out.offer, Offer::Again(at) if at <= now)
        {
            out.offer = Offer::Due;
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        match self.out.as_ref()?.offer {
            Offer::Again(at) => Some(at),
            Offer::Out | Offer::Due => None,
        }
    }

    /// Why the store takes no writes, if it does not.
    pub(super) const fn failing(&self) -> Option<&StoreFailure> {
        self.failing.as_ref()
    }

    /// True if everything is durable.
    pub(super) fn is_idle(&self) -> bool {
        self.out.is_none() && self.filling.is_empty() && self.filling_then.is_empty()
    }

    /// True while so much waits for the disk that reading from the relay should pause.
    pub(super) fn is_congested(&self) -> bool {
        self.filling_bytes + self.out.as_ref().map_or(0, |out| out.bytes) > UNSAVED_BYTES_MAX
    }
}

/// What a change holds in memory, as far as a peer decides it.
fn weight(change: &Change) -> usize {
    match change {
        Change::Records(_, records) => {
            records.iter().map(|r| 128 + r.envelope.len() + r.content_bytes()).sum()
        }
        Change::Account(_)
        | Change::LogId(_)
        | Change::NextCounter(_)
        | Change::Conversation(_)
        | Change::Read(..)
        | Change::Draft(..)
        | Change::Intervals(..)
        | Change::Erase(..)
        | Change::Fork(..)
        | Change::Outbox(_)
        | Change::OutboxGone(_)
        | Change::Person(_)
        | Change::Device(_)
        | Change::Pin(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(next: u64) -> Change {
        Change::NextCounter(Counter(next))
    }

    #[test]
    fn what_comes_up_while_the_store_is_busy_is_one_batch() {
        let mut journal = Journal::default();
        journal.push(counter(1));
        let (ticket, _) = journal.poll().expect("a batch");
        journal.push(counter(2));
        journal.push(counter(3));
        assert!(journal.poll().is_none(), "one request at a time");
        journal.handle_stored(Timestamp::ZERO, ticket, Ok(Stored::Applied));
        let (_, request) = journal.poll().expect("the next batch");
        assert_eq!(request, StoreRequest::Apply(Arc::from([counter(2), counter(3)])));
    }

    #[test]
    fn a_failed_batch_is_offered_again_unchanged_and_later_changes_wait_behind_it() {
        let mut journal = Journal::default();
        journal.push(counter(1));
        let (ticket, first) = journal.poll().expect("a batch");
        journal.push(counter(2));
        journal.handle_stored(Timestamp::ZERO, ticket, Err(StoreFailure::Full));
        assert!(journal.poll().is_none());
        let at = journal.poll_timeout().expect("a time to try again");
        journal.handle_timeout(Timestamp::ZERO);
        assert!(journal.poll().is_none(), "not yet");
        journal.handle_timeout(at);
        let (again, request) = journal.poll().expect("now");
        assert_eq!(request, first);
        let late = journal.handle_stored(at, ticket, Ok(Stored::Applied));
        assert!(matches!(late, Outcome::Stale), "the old ticket is void");
        let done = journal.handle_stored(at, again, Ok(Stored::Applied));
        assert!(matches!(done, Outcome::Durable(_, Recovered::Yes)));
        assert!(journal.poll().is_some(), "then what waited behind it");
    }
}
