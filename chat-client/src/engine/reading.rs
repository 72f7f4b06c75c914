//! Reading: the stream of new records, pages of older ones, and what is reported about both
//! (wire §6).

use std::{collections::BTreeSet, time::Duration};

use protocol::{
    ids::{ConversationId, DeviceId, Digest, MessageId, Seq},
    message::{
        ClientMessage,
        event::{Body, Change as RoomChange},
        record::{Class, Content, Envelope, Record, Run, chain_next, chain_prefix},
        request::Lookup,
        session::{Follow, Following, Mark, Page, Progress, Pull, Records},
    },
    time::Timestamp,
};

use super::{
    Backfill, Engine, Event, OutboxState, ProtocolViolation,
    asking::Purpose,
    command::{Answer, CommandError, CommandId},
    conversation::{Complete, Pulling, Regained, Stream},
    journal::{Arrival, Filed, Then},
    outbox::is_same,
};
use crate::store::{
    Change,
    row::{CHAIN_STRIDE, Interval, Stage, StoredRecord},
};

/// At most one progress report per conversation in this time: reading a burst of messages is one
/// report, not one each.
const MARK_EVERY: Duration = Duration::from_millis(250);

impl Engine {
    /// Asks for a conversation's stream, if it can be read and is not asked for yet.
    pub(super) fn follow(&mut self, id: ConversationId) {
        let newest = self.config.newest;
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        if !self.link.is_live()
            || !conversation.is_readable()
            || !matches!(conversation.stream, Stream::Idle)
        {
            return;
        }
        conversation.stream = Stream::Asked;
        let (after, chain) = conversation.position();
        let chain = if after == Seq::ZERO { [0; 8] } else { chain_prefix(&chain) };
        let follow = Follow { conversation: id, after, chain, newest };
        self.outgoing.push_back(ClientMessage::Follow(follow));
    }

    pub(super) fn on_following(
        &mut self,
        now: Timestamp,
        following: Following,
    ) -> Result<(), ProtocolViolation> {
        let id = following.conversation;
        let Some(conversation) = self.conversations.get_mut(&id) else { return Ok(()) };
        // A second one comes when the relay let go of records that it had not sent yet: the stream
        // begins again behind them.
        if !matches!(conversation.stream, Stream::Asked | Stream::Live { .. }) {
            return Ok(());
        }
        let (high, chain) = conversation.position();
        let expected = high.next();
        if following.from < expected || following.from == Seq::ZERO {
            let came = following.from;
            return Err(ProtocolViolation::Gap { conversation: id, expected, came });
        }
        if following.from == expected && following.chain != chain {
            // The relay compared a prefix; the whole says that the logs differ.
            self.on_forked(id, following.head);
            return Ok(());
        }
        conversation.stream =
            Stream::Live { high: following.from.minus(1), chain: following.chain };
        conversation.info.first = following.first;
        conversation.info.head = following.head;
        if conversation.regained == Regained::Yes {
            conversation.regained = Regained::No;
            let info = conversation.info.clone();
            self.change(Change::Conversation(Box::new(info)));
        }
        self.to_mark.insert(id);
        self.events.push_back(Event::ConversationChanged(id));
        self.confirm_log_id();
        self.fill_gap(id);
        self.send_marks(now);
        Ok(())
    }

    pub(super) fn on_records(
        &mut self,
        now: Timestamp,
        records: &Records<'_>,
    ) -> Result<(), ProtocolViolation> {
        let id = records.conversation;
        let run = &records.run;
        let Some(conversation) = self.conversations.get_mut(&id) else { return Ok(()) };
        let Stream::Live { high, chain } = conversation.stream else { return Ok(()) };
        if run.count == 0 || run.last() <= high {
            // Nothing new: duplicates are harmless.
            return Ok(());
        }
        if run.first > high.next() {
            let (expected, came) = (high.next(), run.first);
            return Err(ProtocolViolation::Gap { conversation: id, expected, came });
        }
        let mut walk = Walk::new(id, chain, high);
        walk.read(run).map_err(|Malformed| ProtocolViolation::Malformed { conversation: id })?;
        let new = Interval { low: high.next(), high: walk.high, before: chain, chain: walk.chain };
        let gap =
            |_| ProtocolViolation::Gap { conversation: id, expected: high.next(), came: run.first };
        conversation.intervals.insert(new).map_err(gap)?;
        conversation.stream = Stream::Live { high: walk.high, chain: walk.chain };
        conversation.info.head = conversation.info.head.max(walk.high);
        let mut is_changed = false;
        for (seq, change) in walk.records.iter().filter_map(room_change) {
            is_changed |= conversation.follow_notice(seq, &change);
        }
        if is_changed {
            // Not stored: every session begins with a description that covers it.
            self.events.push_back(Event::ConversationChanged(id));
        }
        self.file(now, id, Arrival::Streamed, new, walk);
        Ok(())
    }

    /// Asks for the page below the newest stretch.
    pub(super) fn on_older(&mut self, id: CommandId, conversation: ConversationId) {
        let Some(held) = self.conversations.get_mut(&conversation) else {
            self.done(id, Err(CommandError::Unknown));
            return;
        };
        if held.is_complete() {
            let low = held.intervals.newest().map_or(Seq::ZERO, |newest| newest.low);
            self.done(id, Ok(Answer::Older { low, end: true }));
        } else if let Some(pull) = &mut held.pull {
            pull.commands.push(id);
        } else if !held.is_live() {
            self.done(id, Err(CommandError::Offline));
        } else {
            self.pull(conversation, vec![id]);
        }
    }

    /// Fetches what was missed between the last visit and this one, a page at a time.
    pub(super) fn fill_gap(&mut self, id: ConversationId) {
        let Some(conversation) = self.conversations.get(&id) else { return };
        let gap = conversation.intervals.second_newest().is_some();
        let idle = conversation.is_live() && conversation.pull.is_none();
        let more = conversation.complete == Complete::Unknown;
        if gap && idle && more && self.config.backfill == Backfill::Gaps {
            self.pull(id, Vec::new());
        }
    }

    fn pull(&mut self, id: ConversationId, commands: Vec<CommandId>) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let Some(before) = conversation.intervals.newest().map(|newest| newest.low) else {
            // Nothing came yet: the stream brings the newest page first.
            for command in commands {
                self.done(command, Ok(Answer::Older { low: Seq::ZERO, end: false }));
            }
            return;
        };
        self.last_pull = self.last_pull.wrapping_add(1);
        conversation.pull = Some(Pulling { id: self.last_pull, before, commands });
        let (conversation, count) = (id, self.config.page);
        let pull = Pull { id: self.last_pull, conversation, before, count };
        self.outgoing.push_back(ClientMessage::Pull(pull));
    }

    pub(super) fn on_page(
        &mut self,
        now: Timestamp,
        page: &Page<'_>,
    ) -> Result<(), ProtocolViolation> {
        let id = page.conversation;
        let Some(conversation) = self.conversations.get_mut(&id) else { return Ok(()) };
        let Some(pull) = conversation.pull.take_if(|pull| pull.id == page.id) else {
            return Ok(());
        };
        let mismatch = ProtocolViolation::PageMismatch { conversation: id };
        let Some(newest) = conversation.intervals.newest().copied() else { return Ok(()) };
        if page.first > pull.before || page.first == Seq::ZERO {
            return Err(mismatch);
        }
        if newest.low != pull.before {
            // Meanwhile the stream went on behind a gap: what is wanted now is below that.
            self.pull(id, pull.commands);
            return Ok(());
        }
        if page.end {
            conversation.complete = Complete::Yes;
        }
        if page.first < pull.before {
            let (low, before, walk) = self.read_page(id, page, newest)?;
            let new = Interval { low, high: newest.low.minus(1), before, chain: newest.before };
            let conversation = self.conversations.get_mut(&id).ok_or(mismatch)?;
            conversation.intervals.insert(new).map_err(|_| mismatch)?;
            self.file(now, id, Arrival::Paged, new, walk);
        }
        let Some(conversation) = self.conversations.get(&id) else { return Ok(()) };
        let low = conversation.intervals.newest().map_or(Seq::ZERO, |newest| newest.low);
        let end = conversation.is_complete();
        for command in pull.commands {
            self.done_when_durable(command, Answer::Older { low, end });
        }
        self.fill_gap(id);
        Ok(())
    }

    /// Reads a page and checks it against the chain above it, and below it where the two meet.
    /// Returns the first new place, the chain before it, and what is new.
    fn read_page(
        &self,
        id: ConversationId,
        page: &Page<'_>,
        above: Interval,
    ) -> Result<(Seq, Digest, Walk), ProtocolViolation> {
        let mismatch = ProtocolViolation::PageMismatch { conversation: id };
        let malformed = ProtocolViolation::Malformed { conversation: id };
        let held = self.conversations.get(&id).ok_or(mismatch)?;
        let stored = held.intervals.stored_below(above.low);
        // Records up to `skip` are here already; the chain after them must be the one we have.
        let skip = if stored >= page.first { stored } else { page.first.minus(1) };
        let mut walk = Walk::new(id, page.chain, page.first.minus(1));
        walk.keep_above = skip;
        let mut before = page.chain;
        let mut rest: &[u8] = &page.runs;
        while !rest.is_empty() {
            let (run, used) = Run::decode_front(rest).map_err(|_| malformed)?;
            if run.first != walk.high.next() || run.count == 0 {
                return Err(mismatch);
            }
            walk.read(&run).map_err(|Malformed| malformed)?;
            rest = &rest[used..];
        }
        if let Some(chain) = walk.chain_at_keep {
            before = chain;
        }
        let below = held.intervals.around(skip).filter(|interval| interval.high == skip);
        let meets = below.is_none_or(|interval| interval.chain == before);
        if !meets || walk.high != above.low.minus(1) || walk.chain != above.before {
            return Err(mismatch);
        }
        Ok((skip.next(), before, walk))
    }

    /// Hands new records to the store and draws what follows from them.
    fn file(
        &mut self,
        now: Timestamp,
        id: ConversationId,
        arrival: Arrival,
        new: Interval,
        walk: Walk,
    ) {
        let mut devices = BTreeSet::new();
        for record in &walk.records {
            if let Some(message) = record.id {
                if message.device == self.identity.device {
                    self.on_own_record(id, record);
                } else {
                    self.roster.want(now, message.device);
                    devices.insert(message.device);
                }
            }
        }
        let mine = self.identity.device;
        let is_mine = walk.records.iter().all(|r| r.id.is_some_and(|id| id.device == mine));
        let Some(conversation) = self.conversations.get(&id) else { return };
        let intervals = conversation.intervals.as_slice().to_vec();
        let chain = chain_prefix(&new.chain);
        let (from, to) = (new.low, new.high);
        let time = walk.records.last().map(|record| record.time).unwrap_or_default();
        self.change(Change::Records(id, walk.records));
        self.change(Change::Intervals(id, intervals));
        for (target, message) in walk.erased {
            self.change(Change::Erase(id, target, message));
        }
        self.journal.then(Then::Stored(Filed {
            conversation: id,
            arrival,
            from,
            to,
            chain,
            time,
            devices,
            is_mine,
        }));
        self.look_up(now);
    }

    /// An own message is in the log: whatever was known about it, this settles it.
    fn on_own_record(&mut self, id: ConversationId, record: &StoredRecord) {
        let Some(counter) = record.id.map(|message| message.counter) else { return };
        if self.outbox.move_past(counter) {
            self.change(Change::NextCounter(self.outbox.next_counter));
        }
        let Some(entry) = self.outbox.by_counter(counter) else { return };
        let Some(encoded) = entry.row.encoded().filter(|e| e.conversation == id) else { return };
        let local = entry.row.local;
        if !is_same(encoded, &record.envelope, &record.content.digest()) {
            if !entry.row.stage.is_settled() {
                self.on_counter_reused(id, counter, counter);
            }
            return;
        }
        let told = matches!(entry.row.stage, Stage::Accepted { .. });
        self.outbox.found_in_log(local);
        self.change(Change::OutboxGone(local));
        self.journal.then(Then::Settled(id, counter));
        if !told {
            let state = OutboxState::Sent { seq: record.seq, time: record.time };
            self.events.push_back(Event::Outbox { local, state });
        }
    }

    /// Records are durable: they count as received, and may be shown once their senders are known.
    pub(super) fn on_filed(&mut self, now: Timestamp, filed: Filed) {
        let id = filed.conversation;
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        // A fork may have moved them aside meanwhile.
        let stored = conversation.intervals.around(filed.to).is_some();
        if filed.arrival == Arrival::Streamed && stored && filed.to > conversation.seen.0 {
            conversation.seen = (filed.to, filed.chain);
            self.to_mark.insert(id);
        }
        // Nobody has to read what they have just said here.
        let read = conversation.read;
        let is_read = stored && filed.is_mine && filed.from <= read.next() && filed.to > read;
        if is_read {
            conversation.read = filed.to;
            self.to_mark.insert(id);
        }
        let to = filed.to;
        if stored {
            conversation.active = conversation.active.max(filed.time);
            conversation.unannounced.push_back(filed);
        }
        if is_read {
            self.change(Change::Read(id, to));
        }
        self.announce(id);
        self.send_marks(now);
        self.fill_gap(id);
    }

    pub(super) fn announce_all(&mut self, now: Timestamp) {
        let ids: Vec<ConversationId> = self.conversations.keys().copied().collect();
        for id in ids {
            self.announce(id);
        }
        self.look_up(now);
    }

    fn announce(&mut self, id: ConversationId) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        while let Some(next) = conversation.unannounced.front() {
            if self.roster.is_pending(&next.devices) {
                return;
            }
            let Some(filed) = conversation.unannounced.pop_front() else { return };
            let Filed { conversation, arrival, from, to, .. } = filed;
            self.events.push_back(match arrival {
                Arrival::Streamed => Event::Appended { conversation, from, to },
                Arrival::Paged => Event::Backfilled { conversation, from, to },
            });
        }
    }

    fn look_up(&mut self, now: Timestamp) {
        if !self.link.is_live() {
            self.roster.disconnect();
            return;
        }
        loop {
            let devices = self.roster.take_wanted(now);
            if devices.is_empty() {
                return;
            }
            let request = Lookup { devices: devices.clone() };
            self.ask(request.into(), Purpose::Lookup(devices));
        }
    }

    pub(super) fn on_progress(&mut self, progress: Progress) {
        let id = progress.conversation;
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        for member in &progress.members {
            let known = conversation.progress.entry(member.account).or_insert(*member);
            // Both only rise, whatever order reports come in.
            known.received = known.received.max(member.received);
            known.read = known.read.max(member.read);
        }
        self.events.push_back(Event::Progress { conversation: id, members: progress.members });
    }

    pub(super) fn on_read(&mut self, now: Timestamp, id: CommandId, at: ConversationId, seq: Seq) {
        let Some(conversation) = self.conversations.get_mut(&at) else {
            self.done(id, Err(CommandError::Unknown));
            return;
        };
        // Nobody has read what is not here.
        let seq = seq.min(conversation.received());
        if seq > conversation.read {
            conversation.read = seq;
            self.change(Change::Read(at, seq));
            self.events.push_back(Event::ConversationChanged(at));
            self.to_mark.insert(at);
            self.send_marks(now);
        }
        self.done(id, Ok(Answer::Done));
    }

    /// Reports how far we are, where that is new and the last report is old enough.
    pub(super) fn send_marks(&mut self, now: Timestamp) {
        let Self { to_mark, conversations, outgoing, .. } = self;
        to_mark.retain(|id| {
            let Some(conversation) = conversations.get_mut(id) else { return false };
            let current = (conversation.seen.0, conversation.read);
            if !conversation.is_live() || current == conversation.mark.told {
                return false;
            }
            if conversation.mark.not_before > now {
                return true;
            }
            conversation.mark.told = current;
            conversation.mark.not_before = now + MARK_EVERY;
            let (received, read) = current;
            let mark = Mark { conversation: *id, received, read };
            outgoing.push_back(ClientMessage::Mark(mark));
            false
        });
    }

    pub(super) fn next_mark(&self) -> Option<Timestamp> {
        let due = |id| self.conversations.get(id).map(|conversation| conversation.mark.not_before);
        self.to_mark.iter().filter_map(due).min()
    }
}

/// What a record of the relay says has happened to the room.
fn room_change(record: &StoredRecord) -> Option<(Seq, RoomChange)> {
    record.id.filter(|id| id.device == DeviceId::RELAY)?;
    Envelope::decode(&record.envelope).ok().filter(Envelope::is_understood)?;
    match &record.content {
        Content::Body(body) => match Body::decode(body) {
            Ok(Body::Notice(notice)) => Some((record.seq, notice.change)),
            Ok(_) | Err(_) => None,
        },
        Content::Erased(_) => None,
    }
}

/// Records being read in order, with the chain over them.
#[derive(Debug)]
struct Walk {
    conversation: ConversationId,
    /// The last record read, or skipped, and the chain there.
    high: Seq,
    chain: Digest,
    /// Records up to here are only walked over.
    keep_above: Seq,
    chain_at_keep: Option<Digest>,
    records: Vec<StoredRecord>,
    /// Messages that deletions among the records name.
    erased: Vec<(Seq, MessageId)>,
}

/// A record cannot be decoded.
struct Malformed;

impl Walk {
    const fn new(conversation: ConversationId, chain: Digest, high: Seq) -> Self {
        Self {
            conversation,
            high,
            chain,
            keep_above: high,
            chain_at_keep: None,
            records: Vec::new(),
            erased: Vec::new(),
        }
    }

    /// Reads the records of a run that are above `high`.
    fn read(&mut self, run: &Run<'_>) -> Result<(), Malformed> {
        for item in run.records() {
            let (seq, record) = item.map_err(|_| Malformed)?;
            if seq <= self.high {
                continue;
            }
            let hash = record.envelope_hash(self.conversation);
            self.chain = chain_next(&self.chain, seq, &hash);
            self.high = seq;
            if seq > self.keep_above {
                self.keep(seq, run, record);
            } else {
                self.chain_at_keep = Some(self.chain);
            }
        }
        Ok(())
    }

    fn keep(&mut self, seq: Seq, run: &Run<'_>, record: Record<'_>) {
        // An envelope of a later version is stored and shown as such; it never stops the stream,
        // and acts on nothing.
        let envelope = Envelope::decode(&record.envelope).ok();
        let understood = envelope.as_ref().filter(|envelope| envelope.is_understood());
        let target = understood.and_then(|envelope| envelope.target);
        if let Some(target) = target
            && understood.is_some_and(|envelope| envelope.class == Class::DELETE)
        {
            self.erased.push((target.seq, target.id));
        }
        let record = record.into_owned();
        self.records.push(StoredRecord {
            seq,
            time: run.time,
            id: envelope.map(|envelope| envelope.id()),
            target: target.map(|target| target.seq),
            envelope: record.envelope.into_owned(),
            signature: record.signature.into_owned(),
            content: record.content,
            chain: seq.0.is_multiple_of(CHAIN_STRIDE).then_some(self.chain),
        });
    }
}
