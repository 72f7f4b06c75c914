//! Messages of this device between the person's Enter and the log.
//!
//! ```text
//!   unresolved ──▶ queued ──▶ accepted ──▶ (its record is in the history: the row goes)
//!    as text         │  ▲
//!                    ▼  │ retryable refusal: it and all later ones of its lane wait
//!                  slowed
//!                    └──▶ failed      final refusal, kept until dismissed
//! ```
//!
//! A conversation's messages form a *lane*, ordered by counter. They are offered in that order, at
//! most [`UNSETTLED_MAX`] undecided at a time, and only once their bytes are durable (P1, P2).

use std::collections::BTreeMap;

use protocol::{
    ids::{ConversationId, Counter, Digest, Seq, sha256},
    limits::UNSETTLED_MAX,
    message::{record::Envelope, refusal::Refusal},
    time::Timestamp,
};

use crate::store::row::{Encoded, LocalId, OutboxRow, Payload, Stage};

/// Most messages that may wait: a bot that outruns a dead relay fills this, not the memory.
pub const OUTBOX_ENTRIES_MAX: usize = 10_000;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    entries: BTreeMap<LocalId, Entry>,
    by_counter: BTreeMap<Counter, LocalId>,
    lanes: BTreeMap<ConversationId, Lane>,
    pub(super) next_local: LocalId,
    pub(super) next_counter: Counter,
    /// The first number that was unused when this life began, until a relay was asked about it.
    first_unused: Option<Counter>,
}

/// One message.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) row: OutboxRow,
    /// Its bytes are on the disk.
    durable: Durable,
    pub(super) transmitted: Transmitted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durable {
    Yes,
    No,
}

/// Whether the relay may know the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transmitted {
    /// Made in this run and not offered yet: nobody has seen its number.
    Never,
    /// Offered, or loaded from the disk: then another run, or another life of a restored copy, may
    /// have offered it.
    Maybe,
}

/// The messages of one conversation.
#[derive(Debug, Default)]
struct Lane {
    /// Not settled, or settled and not durably so. The first is the floor.
    open: BTreeMap<Counter, LocalId>,
    /// The first counter not offered in this session.
    next: Counter,
    slowed: Option<(Timestamp, Refusal)>,
}

/// Why an entry cannot be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CancelError {
    Unknown,
    MaybeSent,
}

impl Outbox {
    pub(super) fn load(rows: Vec<OutboxRow>, next_local: LocalId, next_counter: Counter) -> Self {
        let mut outbox = Self { next_local, next_counter, ..Self::default() };
        for row in rows {
            outbox.next_local = outbox.next_local.max(row.local.next());
            if let Some(encoded) = row.encoded() {
                outbox.next_counter = outbox.next_counter.max(encoded.counter.next());
            }
            outbox.add(row, Durable::Yes, Transmitted::Maybe);
        }
        outbox.first_unused = Some(outbox.next_counter);
        outbox
    }

    /// Takes a new row, whose bytes have to become durable first.
    pub(super) fn insert(&mut self, row: OutboxRow) {
        self.add(row, Durable::No, Transmitted::Never);
    }

    /// Takes a row again that the relay has seen before: same bytes, same number.
    pub(super) fn insert_again(&mut self, row: OutboxRow) {
        self.add(row, Durable::No, Transmitted::Maybe);
    }

    fn add(&mut self, row: OutboxRow, durable: Durable, transmitted: Transmitted) {
        if let Some(encoded) = row.encoded() {
            self.by_counter.insert(encoded.counter, row.local);
            if !row.stage.is_settled() {
                let lane = self.lanes.entry(encoded.conversation).or_default();
                lane.open.insert(encoded.counter, row.local);
            }
        }
        self.entries.insert(row.local, Entry { row, durable, transmitted });
    }

    /// A fresh name for a row.
    pub(super) fn take_local(&mut self) -> LocalId {
        let local = self.next_local;
        self.next_local = local.next();
        local
    }

    /// A fresh number for a message.
    pub(super) fn take_counter(&mut self) -> Counter {
        let counter = self.next_counter.max(Counter(1));
        self.next_counter = counter.next();
        counter
    }

    /// Moves past a number that is in use; true if that changed anything.
    pub(super) fn move_past(&mut self, highest: Counter) -> bool {
        // What was made since the start may already have taken numbers beyond the highest.
        let first_unused = self.first_unused.take().unwrap_or(self.next_counter);
        let moves = highest >= first_unused && highest.0 > 0;
        self.next_counter = self.next_counter.max(highest.next());
        moves
    }

    /// Forgets what was offered: a new session offers everything undecided again, in order.
    pub(super) fn restart(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.next = Counter::default();
            lane.slowed = None;
        }
    }

    /// The entry's bytes are durable. A renumbered one has other bytes by now and waits for them.
    pub(super) fn release(&mut self, local: LocalId, counter: Counter) {
        if let Some(entry) = self.entries.get_mut(&local)
            && entry.row.encoded().is_some_and(|encoded| encoded.counter == counter)
        {
            entry.durable = Durable::Yes;
        }
    }

    /// The next message to offer in a conversation, with the floor to say.
    pub(super) fn next_to_offer(
        &self,
        conversation: ConversationId,
    ) -> Option<(Counter, &Encoded)> {
        let lane = self.lanes.get(&conversation)?;
        if lane.slowed.is_some() {
            return None;
        }
        let (floor, _) = lane.open.first_key_value()?;
        for (counter, local) in lane.open.range(lane.next..) {
            // Its record is in the history already, not durably yet.
            let Some(entry) = self.entries.get(local) else { continue };
            if entry.row.stage.is_settled() {
                continue;
            }
            let earlier = lane.open.range(..counter).take(UNSETTLED_MAX).count();
            if entry.durable == Durable::No || earlier >= UNSETTLED_MAX {
                // Later ones must not overtake it.
                return None;
            }
            return entry.row.encoded().map(|encoded| (*floor, encoded));
        }
        None
    }

    /// What [`Self::next_to_offer`] gave is on its way.
    pub(super) fn offered(&mut self, conversation: ConversationId, counter: Counter) {
        if let Some(lane) = self.lanes.get_mut(&conversation) {
            lane.next = counter.next();
        }
        if let Some(entry) = self.by_counter.get(&counter).and_then(|l| self.entries.get_mut(l)) {
            entry.transmitted = Transmitted::Maybe;
        }
    }

    /// Conversations with undecided messages.
    pub(super) fn lanes(&self) -> impl Iterator<Item = ConversationId> {
        self.lanes.iter().filter(|(_, lane)| !lane.open.is_empty()).map(|(id, _)| *id)
    }

    /// The row becomes `stage`; the new row, for the store.
    pub(super) fn decide(&mut self, local: LocalId, stage: Stage) -> Option<OutboxRow> {
        let entry = self.entries.get_mut(&local)?;
        entry.row.stage = stage;
        Some(entry.row.clone())
    }

    /// The decision on a message is durable: the floor may pass it.
    pub(super) fn settle(&mut self, conversation: ConversationId, counter: Counter) {
        if let Some(lane) = self.lanes.get_mut(&conversation) {
            lane.open.remove(&counter);
            if lane.open.is_empty() {
                self.lanes.remove(&conversation);
            }
        }
    }

    /// The lane waits until then and begins again with this message.
    pub(super) fn slow(
        &mut self,
        conversation: ConversationId,
        counter: Counter,
        until: Timestamp,
        refusal: Refusal,
    ) {
        if let Some(lane) = self.lanes.get_mut(&conversation) {
            lane.next = lane.next.min(counter);
            lane.slowed = Some((until, refusal));
        }
    }

    /// True if the message is offered in this session and not answered.
    pub(super) fn is_in_flight(&self, conversation: ConversationId, counter: Counter) -> bool {
        self.lanes.get(&conversation).is_some_and(|lane| counter < lane.next)
    }

    /// Lets lanes go on whose time has come; says which.
    pub(super) fn resume(&mut self, now: Timestamp) -> Vec<ConversationId> {
        let due = |lane: &Lane| lane.slowed.as_ref().is_some_and(|(until, _)| *until <= now);
        let lanes = self.lanes.iter_mut().filter(|(_, lane)| due(lane));
        lanes
            .map(|(conversation, lane)| {
                lane.slowed = None;
                *conversation
            })
            .collect()
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.lanes.values().filter_map(|lane| lane.slowed.as_ref().map(|(until, _)| *until)).min()
    }

    /// Until when a conversation's messages wait, and why.
    pub(super) fn slowed(&self, conversation: ConversationId) -> Option<&(Timestamp, Refusal)> {
        self.lanes.get(&conversation).and_then(|lane| lane.slowed.as_ref())
    }

    /// Undecided messages of a lane from this counter on, in order.
    pub(super) fn undecided_from(
        &self,
        conversation: ConversationId,
        counter: Counter,
    ) -> Vec<LocalId> {
        let Some(lane) = self.lanes.get(&conversation) else { return Vec::new() };
        let undecided = |local: &&LocalId| {
            self.entries.get(local).is_some_and(|entry| !entry.row.stage.is_settled())
        };
        lane.open.range(counter..).map(|(_, local)| local).filter(undecided).copied().collect()
    }

    /// Gives a message a fresh number: as a new message, with the same body. The caller knows that
    /// nobody can have accepted it under the old one.
    pub(super) fn renumber(&mut self, local: LocalId) -> Option<OutboxRow> {
        let fresh = self.take_counter();
        let entry = self.entries.get_mut(&local)?;
        let Payload::Encoded(encoded) = &mut entry.row.payload else { return None };
        let envelope = Envelope::decode(&encoded.envelope).ok()?;
        self.by_counter.remove(&encoded.counter);
        let lane = self.lanes.entry(encoded.conversation).or_default();
        lane.open.remove(&encoded.counter);
        encoded.counter = fresh;
        encoded.envelope = Envelope { counter: fresh, ..envelope }.encode();
        lane.open.insert(fresh, local);
        self.by_counter.insert(fresh, local);
        entry.durable = Durable::No;
        entry.transmitted = Transmitted::Never;
        entry.row.stage = Stage::Queued;
        Some(entry.row.clone())
    }

    /// An unresolved message's conversation is known: it has bytes now.
    pub(super) fn resolve(&mut self, local: LocalId, encoded: Encoded) -> Option<OutboxRow> {
        let entry = self.entries.remove(&local)?;
        let row = OutboxRow { payload: Payload::Encoded(encoded), ..entry.row };
        self.insert(row.clone());
        Some(row)
    }

    /// The entry's record is in the history. Its number stays below the floor's reach until
    /// [`Self::settle`] says that this is durable.
    pub(super) fn found_in_log(&mut self, local: LocalId) {
        let entry = self.entries.remove(&local);
        if let Some(encoded) = entry.as_ref().and_then(|entry| entry.row.encoded()) {
            self.by_counter.remove(&encoded.counter);
        }
    }

    /// Takes an entry out for good.
    pub(super) fn remove(&mut self, local: LocalId) -> Option<OutboxRow> {
        let entry = self.entries.remove(&local)?;
        if let Some(encoded) = entry.row.encoded() {
            if self.by_counter.get(&encoded.counter) == Some(&local) {
                self.by_counter.remove(&encoded.counter);
            }
            if let Some(lane) = self.lanes.get_mut(&encoded.conversation) {
                lane.open.remove(&encoded.counter);
                if lane.open.is_empty() {
                    self.lanes.remove(&encoded.conversation);
                }
            }
        }
        Some(entry.row)
    }

    /// Whether the person may take it back, or dismiss it.
    pub(super) fn check_cancel(&self, local: LocalId) -> Result<(), CancelError> {
        let entry = self.entries.get(&local).ok_or(CancelError::Unknown)?;
        let unseen = entry.transmitted == Transmitted::Never || entry.row.encoded().is_none();
        match entry.row.stage {
            Stage::Failed(_) | Stage::Decided => Ok(()),
            Stage::Queued if unseen => Ok(()),
            Stage::Queued | Stage::Accepted { .. } => Err(CancelError::MaybeSent),
        }
    }

    pub(super) fn by_counter(&self, counter: Counter) -> Option<&Entry> {
        self.by_counter.get(&counter).and_then(|local| self.entries.get(local))
    }

    pub(super) fn get(&self, local: LocalId) -> Option<&Entry> {
        self.entries.get(&local)
    }

    /// Every row, oldest first.
    pub(super) fn rows(&self) -> impl Iterator<Item = &OutboxRow> {
        self.entries.values().map(|entry| &entry.row)
    }

    /// Rows that have no conversation yet, oldest first.
    pub(super) fn unresolved(&self) -> impl Iterator<Item = &OutboxRow> {
        self.rows().filter(|row| row.encoded().is_none() && row.stage == Stage::Queued)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Accepted messages of a conversation whose records have not come, above a place.
    pub(super) fn accepted_above(&self, conversation: ConversationId, above: Seq) -> Vec<LocalId> {
        let lost = |row: &&OutboxRow| {
            let here = row.encoded().is_some_and(|encoded| encoded.conversation == conversation);
            here && matches!(row.stage, Stage::Accepted { seq, .. } if seq > above)
        };
        self.rows().filter(lost).map(|row| row.local).collect()
    }

    /// An accepted message is undecided again: the log that had it is gone.
    pub(super) fn reopen(&mut self, local: LocalId) -> Option<OutboxRow> {
        let row = self.remove(local)?;
        let row = OutboxRow { stage: Stage::Queued, ..row };
        self.insert_again(row.clone());
        Some(row)
    }
}

/// Whether a record in the log is this entry's message: the number alone does not say so, because
/// a client restored from a copy may have given it to another message before.
pub(super) fn is_same(encoded: &Encoded, envelope: &[u8], body: &Digest) -> bool {
    encoded.envelope == envelope && sha256(&[&encoded.body]) == *body
}
