//! The store's twin without a disk, for simulations and tests.
//!
//! What [`Store::apply`] has returned from is durable; a simulated crash drops the engine and keeps
//! this value. A clone is a backup: putting it back is a client restored from an older copy.

use std::collections::{BTreeMap, VecDeque};

use protocol::{
    ids::{AccountId, ConversationId, DeviceId, Digest, Seq},
    message::{
        record::{Content, chain_next, envelope_hash},
        room::{AccountInfo, DeviceInfo},
    },
    time::WallTime,
};

use super::{
    Change, Found, History, Loaded, Query, Store, StoreFailure,
    row::{HistoryRow, Interval, LocalId, OutboxRow, Pin, StoredConversation, StoredRecord},
    search::{Findings, Judge, Library, Search},
};

/// Everything in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    loaded: Loaded,
    conversations: BTreeMap<ConversationId, StoredConversation>,
    outbox: BTreeMap<LocalId, OutboxRow>,
    people: BTreeMap<AccountId, AccountInfo>,
    devices: BTreeMap<DeviceId, DeviceInfo>,
    pins: BTreeMap<String, AccountId>,
    records: BTreeMap<(ConversationId, Seq), StoredRecord>,
    forked: Vec<(ConversationId, StoredRecord)>,
    failures: VecDeque<StoreFailure>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next `apply` fail like this, without any effect.
    pub fn fail_next(&mut self, failure: StoreFailure) {
        self.failures.push_back(failure);
    }

    /// The records of a conversation as they were received, oldest first.
    pub fn records(&self, conversation: ConversationId) -> impl Iterator<Item = &StoredRecord> {
        self.range(conversation, Seq::ZERO, Seq(u64::MAX))
    }

    /// Records that were moved aside, in the order they were.
    pub fn forked(&self) -> &[(ConversationId, StoredRecord)] {
        &self.forked
    }

    fn range(
        &self,
        conversation: ConversationId,
        from: Seq,
        to: Seq,
    ) -> impl DoubleEndedIterator<Item = &StoredRecord> {
        self.records.range((conversation, from)..=(conversation, to)).map(|(_, record)| record)
    }

    fn dated(&self, stored: &StoredConversation) -> StoredConversation {
        let newest = self.range(stored.info.id, Seq::ZERO, Seq(u64::MAX)).next_back();
        let active = newest.map(|record| record.time).unwrap_or_default();
        StoredConversation { active, ..stored.clone() }
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Account(account) => self.loaded.account = Some(account.clone()),
            Change::LogId(log_id) => self.loaded.log_id = Some(*log_id),
            Change::NextCounter(counter) => {
                self.loaded.next_counter = self.loaded.next_counter.max(*counter);
            }
            Change::Conversation(info) => {
                if let Some(stored) = self.conversations.get_mut(&info.id) {
                    stored.info = (**info).clone();
                } else {
                    let (info, read) = ((**info).clone(), info.read);
                    let (intervals, draft) = (Vec::new(), String::new());
                    let active = WallTime::default();
                    let stored = StoredConversation { info, intervals, read, draft, active };
                    self.conversations.insert(stored.info.id, stored);
                }
            }
            Change::Read(id, seq) => self.with(*id, |stored| stored.read = *seq),
            Change::Draft(id, text) => self.with(*id, |stored| stored.draft.clone_from(text)),
            Change::Intervals(id, intervals) => {
                self.with(*id, |stored| stored.intervals.clone_from(intervals));
            }
            Change::Records(id, records) => {
                for record in records {
                    self.records.entry((*id, record.seq)).or_insert_with(|| record.clone());
                }
            }
            Change::Erase(id, seq, message) => {
                if let Some(record) = self.records.get_mut(&(*id, *seq))
                    && record.id == Some(*message)
                {
                    record.content = Content::Erased(record.content.digest());
                }
            }
            Change::Fork(id, above) => {
                let moved: Vec<_> = self
                    .range(*id, above.next(), Seq(u64::MAX))
                    .map(|r| (*id, r.clone()))
                    .collect();
                self.records.retain(|(at, seq), _| at != id || seq <= above);
                self.forked.extend(moved);
            }
            Change::Outbox(row) => {
                self.loaded.next_local = self.loaded.next_local.max(row.local.next());
                self.outbox.insert(row.local, row.clone());
            }
            Change::OutboxGone(local) => {
                self.outbox.remove(local);
            }
            Change::Person(person) => {
                self.people.insert(person.account, person.clone());
            }
            Change::Device(device) => {
                self.devices.insert(device.device, device.clone());
            }
            Change::Pin(pin) => {
                self.pins.insert(pin.name.clone(), pin.account);
            }
        }
    }

    fn with(&mut self, id: ConversationId, change: impl FnOnce(&mut StoredConversation)) {
        if let Some(stored) = self.conversations.get_mut(&id) {
            change(stored);
        }
    }

    fn rehash(&self, id: ConversationId, from: Seq, before: Digest, to: Seq) -> Option<Digest> {
        let (mut chain, mut next) = (before, from);
        for record in self.range(id, from, to) {
            if record.seq != next {
                return None;
            }
            let hash = envelope_hash(id, &record.envelope, &record.content.digest());
            chain = chain_next(&chain, record.seq, &hash);
            next = next.next();
        }
        (next == to.next()).then_some(chain)
    }

    fn chain_at(&self, id: ConversationId, seq: Seq) -> Option<Digest> {
        let intervals = &self.conversations.get(&id)?.intervals;
        let holds = |interval: &&Interval| interval.low <= seq.next() && seq <= interval.high;
        let interval = intervals.iter().find(holds)?;
        if seq < interval.low {
            return Some(interval.before);
        }
        self.rehash(id, interval.low, interval.before, seq)
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Loaded, StoreFailure> {
        Ok(Loaded {
            conversations: self.conversations.values().map(|stored| self.dated(stored)).collect(),
            outbox: self.outbox.values().cloned().collect(),
            people: self.people.values().cloned().collect(),
            devices: self.devices.values().cloned().collect(),
            pins: self
                .pins
                .iter()
                .map(|(name, account)| Pin { name: name.clone(), account: *account })
                .collect(),
            ..self.loaded.clone()
        })
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreFailure> {
        if let Some(failure) = self.failures.pop_front() {
            return Err(failure);
        }
        for change in changes {
            self.change(change);
        }
        Ok(())
    }

    fn find(&mut self, query: &Query) -> Result<Found, StoreFailure> {
        Ok(match query {
            Query::ChainAt(id, seq) => Found::Chain(self.chain_at(*id, *seq)),
            Query::Rehash(id, interval) => {
                Found::Chain(self.rehash(*id, interval.low, interval.before, interval.high))
            }
            Query::OwnAbove(id, above, device) => {
                let records: Vec<_> = self.range(*id, above.next(), Seq(u64::MAX)).collect();
                let own = |record: &&StoredRecord| {
                    let body = matches!(record.content, Content::Body(_));
                    body && record.id.is_some_and(|message| message.device == *device)
                };
                Found::Own {
                    above: records.len() as u64,
                    records: records.into_iter().filter(own).cloned().collect(),
                }
            }
        })
    }
}

impl History for MemoryStore {
    fn before(
        &self,
        conversation: ConversationId,
        before: Seq,
        count: usize,
    ) -> Result<Vec<HistoryRow>, StoreFailure> {
        if before == Seq::ZERO {
            return Ok(Vec::new());
        }
        let mut rows: Vec<HistoryRow> = Vec::new();
        for record in self.range(conversation, Seq::ZERO, before.minus(1)).rev().take(count) {
            if rows.last().is_some_and(|above| above.seq != record.seq.next()) {
                break;
            }
            rows.push(row(record));
        }
        rows.reverse();
        Ok(rows)
    }

    fn after(
        &self,
        conversation: ConversationId,
        after: Seq,
        count: usize,
    ) -> Result<Vec<HistoryRow>, StoreFailure> {
        let mut rows: Vec<HistoryRow> = Vec::new();
        for record in self.range(conversation, after.next(), Seq(u64::MAX)).take(count) {
            if rows.last().is_some_and(|below| below.seq.next() != record.seq) {
                break;
            }
            rows.push(row(record));
        }
        Ok(rows)
    }

    fn record(
        &self,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<Option<HistoryRow>, StoreFailure> {
        Ok(self.records.get(&(conversation, seq)).map(row))
    }

    fn amends(
        &self,
        conversation: ConversationId,
        from: Seq,
        to: Seq,
    ) -> Result<Vec<HistoryRow>, StoreFailure> {
        let acts = |record: &&StoredRecord| {
            record.target.is_some_and(|target| from <= target && target <= to)
        };
        let all = self.range(conversation, Seq::ZERO, Seq(u64::MAX));
        Ok(all.filter(acts).map(row).collect())
    }

    fn search(&mut self, search: &Search) -> Result<Findings, StoreFailure> {
        let mut newest_first: Vec<_> =
            self.records.iter().map(|(at, record)| (record.time, *at)).collect();
        newest_first.sort_unstable_by(|a, b| b.cmp(a));
        let mut judge = Judge::new(search, self);
        let mut findings = Findings::default();
        for (_, (conversation, seq)) in newest_first {
            let is_here = search.conversation.is_none_or(|wanted| wanted == conversation);
            if is_here && findings.hits.len() < search.count {
                findings.hits.extend(judge.judge(conversation, seq)?);
            }
        }
        Ok(findings)
    }

    /// There is no index: every search reads everything.
    fn index_when_idle(&mut self) -> Result<bool, StoreFailure> {
        Ok(false)
    }
}

impl Library for MemoryStore {
    fn record(
        &self,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<Option<HistoryRow>, StoreFailure> {
        History::record(self, conversation, seq)
    }

    fn amends(
        &self,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<Vec<HistoryRow>, StoreFailure> {
        History::amends(self, conversation, seq, seq)
    }

    fn account(&self, device: DeviceId) -> Result<Option<AccountId>, StoreFailure> {
        Ok(self.devices.get(&device).map(|info| info.account.account))
    }
}

fn row(record: &StoredRecord) -> HistoryRow {
    HistoryRow::decode(record.seq, record.time, &record.envelope, &record.content)
}
