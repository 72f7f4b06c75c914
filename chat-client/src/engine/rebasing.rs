//! Two histories: the relay was restored from an older copy, or we were. Finds what both have,
//! moves the rest aside, and offers our own part of it again under its old numbers (P1).

use protocol::{
    ids::{ConversationId, Counter, Digest, Seq},
    message::{
        record::{Content, chain_start},
        refusal::{Refusal, RefusalCode},
        request::{ChainAt, Reply},
    },
    time::Timestamp,
};

use super::{
    Engine, Event, Notice, OutboxState,
    asking::Purpose,
    conversation::{Complete, Stream},
    event::Disconnect,
    fork::{ForkSearch, Step, Theirs},
};
use crate::store::{
    Change, Query,
    row::{Encoded, OutboxRow, Payload, Stage, StoredRecord},
};

impl Engine {
    pub(super) fn on_forked(&mut self, id: ConversationId, head: Seq) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        if !matches!(conversation.stream, Stream::Asked) {
            return;
        }
        conversation.info.head = head;
        let start = chain_start(id);
        let (search, step) = ForkSearch::new(conversation.intervals.as_slice(), head, start);
        conversation.stream = Stream::Forked(Box::new(search));
        self.search_on(id, step);
    }

    fn search_on(&mut self, id: ConversationId, step: Step) {
        match step {
            Step::Wait => {}
            Step::Ask(seq) => {
                let request = ChainAt { conversation: id, seq };
                self.ask(request.into(), Purpose::ForkChain(id, seq));
                if self.searching(id).is_some_and(|search| search.asks_disk()) {
                    self.journal.ask(Query::ChainAt(id, seq));
                }
            }
            Step::Found(common, chain) => self.on_common_found(id, common, chain),
        }
    }

    fn searching(&mut self, id: ConversationId) -> Option<&mut ForkSearch> {
        match &mut self.conversations.get_mut(&id)?.stream {
            Stream::Forked(search) => Some(search),
            Stream::Idle | Stream::Asked | Stream::Live { .. } => None,
        }
    }

    /// The disk's chain at a place of a running search.
    pub(super) fn on_own_chain(&mut self, id: ConversationId, seq: Seq, chain: Option<Digest>) {
        let search = self.searching(id).filter(|search| search.place() == seq);
        if let Some(step) = search.map(|search| search.handle_ours(chain)) {
            self.search_on(id, step);
        }
    }

    /// The relay's chain at a place of a running search.
    pub(super) fn on_relay_chain(
        &mut self,
        now: Timestamp,
        id: ConversationId,
        seq: Seq,
        outcome: Result<Reply, Refusal>,
    ) {
        let theirs = match outcome {
            Ok(Reply::ChainAt(chain)) => Theirs::Chain(chain),
            Err(refusal) if is_withheld(refusal.code) => Theirs::Withheld,
            Ok(_) | Err(_) => {
                // Without an answer nothing can be said about the logs, and nothing is moved. The
                // next session asks again.
                self.search_failed(now);
                return;
            }
        };
        let search = self.searching(id).filter(|search| search.place() == seq);
        if let Some(step) = search.map(|search| search.handle_theirs(theirs)) {
            self.search_on(id, step);
        }
    }

    fn search_failed(&mut self, now: Timestamp) {
        let why = "the relay does not say where its log parts from ours".to_owned();
        self.link.hang_up(now, Disconnect::Lost(why));
        self.end_session(now);
    }

    /// Before anything moves: which of the records above are our own?
    fn on_common_found(&mut self, id: ConversationId, common: Seq, chain: Digest) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        conversation.common = Some((common, chain));
        self.journal.ask(Query::OwnAbove(id, common, self.identity.device));
    }

    /// Everything is known: one transaction moves the rest aside and brings our own part back into
    /// the outbox.
    pub(super) fn on_own_above(
        &mut self,
        id: ConversationId,
        common: Seq,
        moved: u64,
        own: Vec<StoredRecord>,
    ) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let Some((_, chain)) = conversation.common.take_if(|(found, _)| *found == common) else {
            return;
        };
        conversation.intervals.truncate(common, chain);
        conversation.see_newest();
        conversation.read = conversation.read.min(common);
        conversation.complete = Complete::Unknown;
        conversation.unannounced.retain(|filed| filed.to <= common);
        conversation.stream = Stream::Idle;
        let (intervals, read) = (conversation.intervals.as_slice().to_vec(), conversation.read);
        self.change(Change::Fork(id, common));
        self.change(Change::Intervals(id, intervals));
        self.change(Change::Read(id, read));
        let mut offered_again = 0;
        for local in self.outbox.accepted_above(id, common) {
            if let Some(row) = self.outbox.reopen(local) {
                self.offer_again(row);
                offered_again += 1;
            }
        }
        for record in own {
            if let Some(row) = self.row_of(id, record) {
                self.outbox.insert_again(row.clone());
                self.offer_again(row);
                offered_again += 1;
            }
        }
        let notice = Notice::Forked { conversation: id, common, moved, offered_again };
        self.emit_when_durable(Event::Notice(notice));
        self.emit_when_durable(Event::ConversationChanged(id));
        self.follow(id);
    }

    fn offer_again(&mut self, row: OutboxRow) {
        let local = row.local;
        self.keep(row);
        self.emit_when_durable(Event::Outbox { local, state: OutboxState::Queued });
    }

    /// The outbox row of an own record: the same bytes under the same number.
    fn row_of(&mut self, conversation: ConversationId, record: StoredRecord) -> Option<OutboxRow> {
        let counter: Counter = record.id?.counter;
        if self.outbox.by_counter(counter).is_some() {
            return None;
        }
        let Content::Body(body) = record.content else { return None };
        let payload = Payload::Encoded(Encoded {
            conversation,
            counter,
            envelope: record.envelope,
            signature: record.signature,
            body: body.into_owned(),
        });
        let local = self.outbox.take_local();
        Some(OutboxRow { local, composed_at: record.time, payload, stage: Stage::Queued })
    }
}

/// The relay has no chain to tell for the place: nothing can be compared there.
fn is_withheld(code: RefusalCode) -> bool {
    code == RefusalCode::TRIMMED || code == RefusalCode::NO_SUCH_TARGET
}
