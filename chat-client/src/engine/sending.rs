//! Sending: from a person's Enter to a place in the log (wire §6).

use protocol::{
    ids::{ConversationId, Counter},
    limits::BODY_BYTES_MAX,
    message::{
        ClientMessage,
        ext::Ext,
        record::{ENVELOPE_VERSION, Envelope},
        refusal::{Refusal, RefusalCode},
        session::{Accepted, Rejected, Send},
    },
    time::{Timestamp, WallTime},
};

use super::{
    Engine, Event, Notice, OUTBOX_ENTRIES_MAX, OutboxState,
    command::{Answer, CommandError, CommandId, Target},
    journal::Then,
    outbox::{CancelError, Transmitted},
};
use crate::store::{
    Change,
    row::{Draft, Encoded, LocalId, OutboxRow, Payload, Stage},
};

impl Engine {
    pub(super) fn on_send(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        id: CommandId,
        target: Target,
        draft: Draft,
    ) {
        if let Err(error) = self.check_send(wall, &draft) {
            self.done(id, Err(error));
            return;
        }
        self.link.hurry(now);
        match target {
            Target::Conversation(conversation) => match self.conversations.get(&conversation) {
                None => self.done(id, Err(CommandError::Unknown)),
                Some(known) if !known.is_understood() => {
                    self.done(id, Err(CommandError::NeedsNewer));
                }
                Some(_) => self.queue(wall, id, conversation, &draft),
            },
            Target::Room(name) => self.send_to_room(wall, id, name, draft),
            Target::Person(name) => self.send_to_person(wall, id, name, draft),
        }
    }

    fn check_send(&self, wall: WallTime, draft: &Draft) -> Result<(), CommandError> {
        if let Some(failure) = self.journal.failing() {
            return Err(CommandError::Store(failure.clone()));
        }
        if self.outbox.len() >= OUTBOX_ENTRIES_MAX {
            return Err(CommandError::OutboxFull(OUTBOX_ENTRIES_MAX));
        }
        let bytes = draft.body(wall).encode().len();
        let bytes_max = self.body_bytes_max.min(BODY_BYTES_MAX);
        if bytes > bytes_max {
            return Err(CommandError::TooLarge { bytes, bytes_max });
        }
        Ok(())
    }

    /// Gives a message its number and its bytes, for good.
    pub(super) fn queue(
        &mut self,
        composed_at: WallTime,
        id: CommandId,
        conversation: ConversationId,
        draft: &Draft,
    ) {
        let local = self.outbox.take_local();
        let encoded = self.encode(conversation, draft, composed_at);
        let payload = Payload::Encoded(encoded);
        let row = OutboxRow { local, composed_at, payload, stage: Stage::Queued };
        self.outbox.insert(row.clone());
        self.keep(row);
        self.emit_when_durable(Event::Outbox { local, state: OutboxState::Queued });
        self.done_when_durable(id, Answer::Queued(local));
    }

    /// Writes a new row, with the number it took: both or neither survive a crash.
    pub(super) fn keep(&mut self, row: OutboxRow) {
        let release = row.encoded().map(|encoded| Then::Release(row.local, encoded.counter));
        self.change(Change::NextCounter(self.outbox.next_counter));
        self.change(Change::Outbox(row));
        if let Some(release) = release {
            self.journal.then(release);
        }
    }

    pub(super) fn encode(
        &mut self,
        conversation: ConversationId,
        draft: &Draft,
        composed_at: WallTime,
    ) -> Encoded {
        let counter = self.outbox.take_counter();
        let seen = self.conversations.get(&conversation).map_or_else(Default::default, |c| c.seen);
        let envelope = Envelope {
            version: ENVELOPE_VERSION,
            device: self.identity.device,
            counter,
            class: draft.class(),
            target: draft.target(),
            epoch: 0,
            seen,
            ext: Ext::none(),
        };
        Encoded {
            conversation,
            counter,
            envelope: envelope.encode(),
            signature: Vec::new(),
            body: draft.body(composed_at).encode(),
        }
    }

    /// The next message to offer, conversation by conversation.
    pub(super) fn next_offer(&mut self) -> Option<ClientMessage<'static>> {
        if !self.link.is_live() {
            return None;
        }
        let lanes: Vec<ConversationId> = self.outbox.lanes().collect();
        let ready = lanes.into_iter().filter(|id| self.may_offer(*id));
        let (conversation, send) = ready.into_iter().find_map(|id| {
            let (floor, encoded) = self.outbox.next_to_offer(id)?;
            Some((id, (encoded.counter, offer(floor, encoded))))
        })?;
        let (counter, send) = send;
        self.outbox.offered(conversation, counter);
        Some(ClientMessage::Send(send))
    }

    pub(super) fn on_accepted(&mut self, accepted: &Accepted) {
        let Some(entry) = self.outbox.by_counter(accepted.counter) else { return };
        let here = entry.row.encoded().is_some_and(|e| e.conversation == accepted.conversation);
        let taken = Stage::Accepted { seq: accepted.seq, time: accepted.time };
        if !here || entry.row.stage == taken {
            return;
        }
        self.link.progressed();
        let local = entry.row.local;
        self.decide(local, accepted.conversation, accepted.counter, taken);
        // Durable on the relay, so it can be said at once; a crash here only repeats the question.
        let state = OutboxState::Sent { seq: accepted.seq, time: accepted.time };
        self.events.push_back(Event::Outbox { local, state });
    }

    pub(super) fn on_rejected(&mut self, now: Timestamp, rejected: Rejected) {
        let Rejected { conversation, counter, refusal, highest } = rejected;
        let Some(entry) = self.outbox.by_counter(counter) else { return };
        let here = entry.row.encoded().is_some_and(|e| e.conversation == conversation);
        if !here || entry.row.stage.is_settled() {
            return;
        }
        let local = entry.row.local;
        if let Some(after) = refusal.retry_after() {
            // What was offered behind it is refused as WAITING: the lane begins again anyway.
            if self.outbox.is_in_flight(conversation, counter) {
                let until = now + after + self.link.jitter(after);
                self.slow(conversation, counter, until, &refusal);
            }
            return;
        }
        match refusal.code {
            RefusalCode::COUNTER_REUSED => self.on_counter_reused(conversation, counter, highest),
            RefusalCode::ALREADY_DECIDED => {
                self.decide(local, conversation, counter, Stage::Decided);
                self.emit_when_durable(Event::Outbox { local, state: OutboxState::Unknown });
            }
            _ => {
                self.decide(local, conversation, counter, Stage::Failed(refusal.clone()));
                let state = OutboxState::Failed(refusal);
                self.emit_when_durable(Event::Outbox { local, state });
            }
        }
    }

    fn slow(
        &mut self,
        conversation: ConversationId,
        counter: Counter,
        until: Timestamp,
        refusal: &Refusal,
    ) {
        self.outbox.slow(conversation, counter, until, refusal.clone());
        for local in self.outbox.undecided_from(conversation, counter) {
            let state = OutboxState::Slowed { until, refusal: refusal.clone() };
            self.events.push_back(Event::Outbox { local, state });
        }
    }

    pub(super) fn resume_slowed(&mut self, now: Timestamp) {
        for conversation in self.outbox.resume(now) {
            for local in self.outbox.undecided_from(conversation, Counter::default()) {
                self.events.push_back(Event::Outbox { local, state: OutboxState::Queued });
            }
        }
    }

    /// The decision becomes durable, and only then does the floor pass it.
    pub(super) fn decide(
        &mut self,
        local: LocalId,
        conversation: ConversationId,
        counter: Counter,
        stage: Stage,
    ) {
        if let Some(row) = self.outbox.decide(local, stage) {
            self.change(Change::Outbox(row));
            self.journal.then(Then::Settled(conversation, counter));
        }
    }

    /// Another message holds the number: this client was restored from a copy. The message, and
    /// what stands behind it and was never offered, goes on under new numbers in the same order.
    pub(super) fn on_counter_reused(
        &mut self,
        conversation: ConversationId,
        counter: Counter,
        highest: Counter,
    ) {
        self.outbox.move_past(highest);
        for local in self.outbox.undecided_from(conversation, counter) {
            let entry = self.outbox.get(local);
            let Some(own) = entry.and_then(|entry| entry.row.encoded().map(|e| e.counter)) else {
                continue;
            };
            let unseen = entry.is_some_and(|entry| entry.transmitted == Transmitted::Never);
            if own == counter || unseen {
                self.renumber(local);
            }
        }
    }

    /// Numbers up to `highest` were used by another life of this device. What this run made and
    /// never offered gets others; what may have been offered keeps its own, the relay decides.
    pub(super) fn renumber_unseen(&mut self, highest: Counter) {
        let lanes: Vec<ConversationId> = self.outbox.lanes().collect();
        for conversation in lanes {
            let undecided = self.outbox.undecided_from(conversation, Counter::default());
            let unseen: Vec<(LocalId, Counter)> = undecided
                .into_iter()
                .filter_map(|local| self.outbox.get(local))
                .filter(|entry| entry.transmitted == Transmitted::Never)
                .filter_map(|entry| Some((entry.row.local, entry.row.encoded()?.counter)))
                .collect();
            // From the first number in use on, all of them: their order must not change.
            if unseen.first().is_some_and(|(_, first)| *first <= highest) {
                for (local, _) in unseen {
                    self.renumber(local);
                }
            }
        }
    }

    fn renumber(&mut self, local: LocalId) {
        if let Some(row) = self.outbox.renumber(local) {
            self.keep(row);
            self.events.push_back(Event::Notice(Notice::Renumbered { local }));
        }
    }

    pub(super) fn on_cancel(&mut self, id: CommandId, local: LocalId) {
        match self.outbox.check_cancel(local) {
            Ok(()) => {
                self.drop_entry(local);
                self.emit_when_durable(Event::Outbox { local, state: OutboxState::Cancelled });
                self.done_when_durable(id, Answer::Done);
            }
            Err(CancelError::Unknown) => self.done(id, Err(CommandError::Unknown)),
            Err(CancelError::MaybeSent) => self.done(id, Err(CommandError::MaybeSent)),
        }
    }

    pub(super) fn drop_entry(&mut self, local: LocalId) {
        if self.outbox.remove(local).is_some() {
            self.contacts.forget(local);
            self.change(Change::OutboxGone(local));
        }
    }

    /// How far a message has got, in a person's words.
    pub(super) fn outbox_state(&self, row: &OutboxRow) -> OutboxState {
        match &row.stage {
            Stage::Accepted { seq, time } => OutboxState::Sent { seq: *seq, time: *time },
            Stage::Decided => OutboxState::Unknown,
            Stage::Failed(refusal) => OutboxState::Failed(refusal.clone()),
            Stage::Queued => self.waiting_state(row),
        }
    }

    fn waiting_state(&self, row: &OutboxRow) -> OutboxState {
        if let Some((pinned, now)) = self.contacts.held(row.local) {
            return OutboxState::Held { pinned: *pinned, now: Box::new(now.clone()) };
        }
        let slowed = row.encoded().and_then(|encoded| self.outbox.slowed(encoded.conversation));
        match slowed {
            Some((until, refusal)) => {
                OutboxState::Slowed { until: *until, refusal: refusal.clone() }
            }
            None => OutboxState::Queued,
        }
    }
}

fn offer(floor: Counter, encoded: &Encoded) -> Send<'static> {
    Send {
        conversation: encoded.conversation,
        floor,
        envelope: encoded.envelope.clone().into(),
        signature: encoded.signature.clone().into(),
        body: encoded.body.clone().into(),
    }
}
