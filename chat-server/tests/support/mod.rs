//! Random but valid histories, and a naive model of what a store has to answer about them.

#![allow(dead_code, reason = "each test binary uses another part")]

use std::{borrow::Cow, collections::BTreeMap, ops::RangeInclusive};

use bytes::Bytes;
use chat_server::{
    hub::{
        AgeLook,
        op::{Appended, Ban, Decision, Fate, Membership, Op, Opened, Registered},
        state::{Conversation, State},
    },
    store::{Commit, Reader},
};
use protocol::{
    entropy::SimRng,
    ids::{AccountId, ConversationId, Counter, DeviceId, Digest, LogId, MessageId, Seq, sha256},
    message::{
        ext::Ext,
        record::{
            Class, Content, ENVELOPE_VERSION, Envelope, Record, Run, chain_next, chain_start,
        },
        room::{Access, BanTarget, Kind, Role, Standing},
    },
    time::WallTime,
};

/// What flattened runs are compared as: one record, with a digest for its bytes, so that a failed
/// comparison can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    seq: Seq,
    time: WallTime,
    len: usize,
    digest: [u8; 4],
}

impl Entry {
    fn new(seq: Seq, time: WallTime, record: &Record<'_>) -> Self {
        let mut bytes = Vec::new();
        record.append_to(&mut bytes);
        let [a, b, c, d, ..] = sha256(&[&bytes]);
        Self { seq, time, len: bytes.len(), digest: [a, b, c, d] }
    }
}

/// The state by `State::apply`, and every record by itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) state: State,
    pub(crate) number: u64,
    logs: BTreeMap<ConversationId, Log>,
}

#[derive(Clone, Debug)]
struct Log {
    records: BTreeMap<Seq, (WallTime, Record<'static>)>,
    /// The chain after every record ever, from zero.
    chain: Vec<Digest>,
}

impl Model {
    pub(crate) fn apply(&mut self, commit: &Commit) {
        assert_eq!(commit.number, self.number + 1);
        self.number = commit.number;
        for op in &commit.ops {
            self.apply_op(op);
        }
    }

    fn apply_op(&mut self, op: &Op) {
        self.state.apply(op);
        match op {
            Op::Opened(Opened { conversation, .. }) => {
                let chain = vec![chain_start(*conversation)];
                self.logs.insert(*conversation, Log { records: BTreeMap::new(), chain });
            }
            Op::Appended(appended) => {
                let log = self.logs.get_mut(&appended.conversation).expect("opened");
                let records = Cow::Borrowed(&appended.records[..]);
                let Appended { first, time, count, .. } = *appended;
                for item in (Run { first, time, count, records }).records() {
                    let (seq, record) = item.expect("valid");
                    let hash = record.envelope_hash(appended.conversation);
                    let before = *log.chain.last().expect("never empty");
                    log.chain.push(chain_next(&before, seq, &hash));
                    log.records.insert(seq, (time, record.into_owned()));
                }
            }
            Op::Erased { conversation, seq, id } => {
                let log = self.logs.get_mut(conversation).expect("opened");
                if let Some((_, record)) = log.records.get_mut(seq)
                    && Envelope::decode(&record.envelope).expect("valid").id() == *id
                {
                    record.content = Content::Erased(record.content.digest());
                }
            }
            Op::Trimmed { conversation, first } => {
                let log = self.logs.get_mut(conversation).expect("opened");
                log.records = log.records.split_off(first);
            }
            _ => {}
        }
    }

    /// What [`Reader::runs`] has to answer, flattened.
    fn runs(
        &self,
        conversation: ConversationId,
        from: Seq,
        to: Seq,
        bytes_max: usize,
    ) -> Vec<Entry> {
        if from > to {
            return Vec::new();
        }
        let entries = self.logs[&conversation].records.range(from..=to);
        take_while_fitting(entries.map(entry), usize::MAX, bytes_max)
    }

    /// What [`Reader::page`] has to answer, flattened.
    fn page(
        &self,
        conversation: ConversationId,
        to: Seq,
        count: usize,
        bytes_max: usize,
    ) -> Vec<Entry> {
        let entries = self.logs[&conversation].records.range(..=to).rev();
        let mut page = take_while_fitting(entries.map(entry), count, bytes_max);
        page.reverse();
        page
    }

    /// A look at every log, for an age that may hit the middle of one.
    pub(crate) fn look(&self, rng: &mut SimRng) -> AgeLook {
        let kept = |(id, of): (&ConversationId, &Conversation)| {
            (of.first <= of.head).then_some((*id, of.first..=of.head))
        };
        let newest = self.state.conversations.values().map(|of| of.time.as_millis()).max();
        AgeLook {
            logs: self.state.conversations.iter().filter_map(kept).collect(),
            since: WallTime::from_millis(rng.between(0, newest.unwrap_or(0) + 1)),
        }
    }

    /// What [`AgeLook::perform`] has to find.
    pub(crate) fn aged(&self, look: &AgeLook) -> Vec<(ConversationId, Seq)> {
        let first_young = |(id, log): (&ConversationId, &RangeInclusive<Seq>)| {
            let records = &self.logs[id].records;
            let young = records.iter().find(|(_, (time, _))| *time >= look.since);
            let first = young.map_or(log.end().next(), |(seq, _)| *seq);
            (first > *log.start()).then_some((*id, first))
        };
        look.logs.iter().filter_map(first_young).collect()
    }

    fn chain_at(&self, conversation: ConversationId, seq: Seq) -> Option<Digest> {
        let first = self.state.conversations[&conversation].first;
        let is_known = seq == Seq::ZERO || seq >= first.minus(1);
        let index = usize::try_from(seq.0).expect("small");
        self.logs[&conversation].chain.get(index).copied().filter(|_| is_known)
    }

    /// Asks `reader` everything, with limits drawn from `rng`, and compares.
    pub(crate) fn assert_read_by(&self, reader: &mut dyn Reader, rng: &mut SimRng) {
        for (id, conversation) in &self.state.conversations {
            let beyond = conversation.head.plus(3);
            for seq in 0..=beyond.0 {
                let chain = reader.chain_at(*id, Seq(seq)).expect("readable");
                assert_eq!(chain, self.chain_at(*id, Seq(seq)), "chain at {seq} of {id:?}");
            }
            let all = reader.runs(*id, Seq::FIRST, beyond, usize::MAX).expect("readable");
            assert_eq!(flatten(&all), self.runs(*id, Seq::FIRST, beyond, usize::MAX));
            for _ in 0..8 {
                let from = Seq(rng.between(0, beyond.0));
                let to = Seq(rng.between(0, beyond.0));
                let bytes_max = usize::try_from(rng.below(6_000)).expect("small");
                let runs = reader.runs(*id, from, to, bytes_max).expect("readable");
                let expected = self.runs(*id, from, to, bytes_max);
                assert_eq!(flatten(&runs), expected, "{from}..={to}, {bytes_max} bytes");

                let count = u32::try_from(rng.below(20)).expect("small");
                let page = reader.page(*id, to, count, bytes_max).expect("readable");
                let expected = self.page(*id, to, count as usize, bytes_max);
                assert_eq!(flatten(&page), expected, "{count} to {to}, {bytes_max} bytes");
            }
        }
    }
}

fn entry((seq, (time, record)): (&Seq, &(WallTime, Record<'static>))) -> Entry {
    Entry::new(*seq, *time, record)
}

fn take_while_fitting(
    entries: impl Iterator<Item = Entry>,
    count: usize,
    bytes_max: usize,
) -> Vec<Entry> {
    let mut taken: Vec<Entry> = Vec::new();
    let mut bytes = 0;
    for entry in entries.take(count) {
        bytes += entry.len;
        if bytes > bytes_max && !taken.is_empty() {
            break;
        }
        taken.push(entry);
        if bytes > bytes_max {
            break;
        }
    }
    taken
}

/// The records of `runs`, one by one.
pub(crate) fn flatten(runs: &[Run<'_>]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for run in runs {
        assert!(run.count > 0, "an empty run says nothing");
        for item in run.records() {
            let (seq, record) = item.expect("valid");
            entries.push(Entry::new(seq, run.time, &record));
        }
    }
    entries
}

/// Makes up commits that a hub could have made, from a seed.
#[derive(Debug)]
pub(crate) struct Author {
    pub(crate) rng: SimRng,
    pub(crate) model: Model,
    counter: u64,
}

impl Author {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: SimRng::new(seed), model: Model::default(), counter: 0 }
    }

    /// The next commit; the model already knows it.
    pub(crate) fn commit(&mut self) -> Commit {
        let number = self.model.number + 1;
        let mut ops = Vec::new();
        for _ in 0..self.rng.between(1, 8) {
            if let Some(op) = self.op() {
                self.model.apply_op(&op);
                ops.push(op);
            }
        }
        self.model.number = number;
        Commit { number, ops }
    }

    /// Commits that lead to a record with this body, and the one that erases it.
    pub(crate) fn secret_and_its_erasure(&mut self, body: &[u8]) -> (Vec<Commit>, Commit) {
        let founding = vec![self.register(), self.open()];
        let founded = self.commit_of(founding);
        let conversation = self.conversation().expect("just opened");
        let device = self.device().expect("just registered");
        let counter = Counter(self.fresh());
        let record = record(device, counter, body.to_vec());
        let appended = self.append_records(conversation, device, &[(counter, record)]);
        let seq = appended_first(&appended);
        let appended = self.commit_of(vec![appended]);
        let id = MessageId { device, counter };
        let erased = self.commit_of(vec![Op::Erased { conversation, seq, id }]);
        (vec![founded, appended], erased)
    }

    fn commit_of(&mut self, ops: Vec<Op>) -> Commit {
        let commit = Commit { number: self.model.number + 1, ops };
        self.model.apply(&commit);
        commit
    }

    fn op(&mut self) -> Option<Op> {
        match self.rng.below(40) {
            0 | 1 => Some(self.register()),
            2 => {
                let name = format!("Name {}", self.fresh());
                let name_key = name.to_lowercase();
                Some(Op::Renamed { account: self.account()?, name, name_key })
            }
            3 => {
                let account = self.account()?;
                let name_key = self.model.state.accounts[&account].name_key.clone();
                (!name_key.is_empty()).then_some(Op::NameReleased { name_key })
            }
            4 => Some(Op::Administrator { account: self.account()?, on: self.rng.chance(1, 2) }),
            5 => {
                let (account, whom) = (self.account()?, self.account()?);
                Some(Op::Blocked { account, whom, on: self.rng.chance(2, 3) })
            }
            6 | 7 => Some(self.open()),
            8..=10 => Some(self.member()?),
            11 => {
                let topic = format!("topic {}", self.fresh());
                Some(Op::Topic { conversation: self.conversation()?, topic })
            }
            12 => {
                let access = Access(u8::try_from(self.rng.between(1, 3)).expect("small"));
                Some(Op::Access { conversation: self.conversation()?, access })
            }
            13 => {
                let ban = Ban {
                    until: WallTime::from_millis(self.rng.below(1 << 40)),
                    reason: "noise".into(),
                    by: self.account(),
                };
                Some(Op::Banned { conversation: self.conversation()?, target: self.target()?, ban })
            }
            14 => {
                let conversation = self.conversation()?;
                let bans = &self.model.state.conversations[&conversation].bans;
                let target = bans.keys().next()?.clone();
                Some(Op::Unbanned { conversation, target })
            }
            15 | 16 => self.erase(),
            17 => {
                let conversation = self.conversation()?;
                let state = &self.model.state.conversations[&conversation];
                let (first, head) = (state.first, state.head);
                Some(Op::Trimmed {
                    conversation,
                    first: Seq(self.rng.between(first.0, head.next().0)),
                })
            }
            18 | 19 => {
                let conversation = self.conversation()?;
                let state = &self.model.state.conversations[&conversation];
                let (account, head) = (*state.members.keys().next()?, state.head);
                let received = Seq(self.rng.between(0, head.0));
                let read = Seq(self.rng.between(0, received.0));
                Some(Op::Marked { conversation, account, received, read })
            }
            20 => Some(Op::Renewed { log_id: LogId(self.id()) }),
            _ => self.append(),
        }
    }

    fn register(&mut self) -> Op {
        let name = format!("Person {}", self.fresh());
        Op::Registered(Registered {
            account: AccountId(self.id()),
            device: DeviceId(self.id()),
            name_key: name.to_lowercase(),
            name,
            signing_key: sha256(&[&self.id()]),
            channel_key: sha256(&[&self.id()]),
            genesis: Bytes::from_static(b"genesis"),
            signature: Bytes::from_static(b"signature"),
            at: WallTime::from_millis(self.counter),
        })
    }

    fn open(&mut self) -> Op {
        let conversation = ConversationId(self.id());
        let is_room = self.rng.chance(2, 3);
        let name = if is_room { format!("Room {}", self.fresh()) } else { String::new() };
        Op::Opened(Opened {
            conversation,
            kind: if is_room { Kind::OPEN_ROOM } else { Kind::DIRECT },
            name_key: name.to_lowercase(),
            name,
            topic: String::new(),
            access: Access::ANYONE,
            genesis: if is_room { Bytes::from_static(b"room") } else { Bytes::new() },
            creator: self.account(),
        })
    }

    fn member(&mut self) -> Option<Op> {
        let (conversation, account) = (self.conversation()?, self.account()?);
        let head = self.model.state.conversations[&conversation].head;
        let standing = Standing(u8::try_from(self.rng.between(1, 4)).expect("small"));
        let mut member = Membership::joined(Role::MODERATOR, head.next());
        member.standing = standing;
        member.to = (standing == Standing::OUTSIDE).then_some(head);
        Some(Op::Member { conversation, account, member })
    }

    /// Erases a record, or fails to because the message at that place is another.
    fn erase(&mut self) -> Option<Op> {
        let conversation = self.conversation()?;
        let records = &self.model.logs[&conversation].records;
        let index = usize::try_from(self.rng.below(records.len() as u64)).expect("small");
        let (seq, (_, record)) = records.iter().nth(index)?;
        let mut id = Envelope::decode(&record.envelope).expect("valid").id();
        if self.rng.chance(1, 5) {
            id.counter = id.counter.next();
        }
        Some(Op::Erased { conversation, seq: *seq, id })
    }

    fn append(&mut self) -> Option<Op> {
        let conversation = self.conversation()?;
        let device = self.device()?;
        let mut records = Vec::new();
        for _ in 0..self.rng.between(1, 12) {
            let counter = Counter(self.fresh());
            // Now and then a large one, so that segments and limits are crossed inside a run.
            let bound = if self.rng.chance(1, 40) { 20_000 } else { 400 };
            let body = vec![0xb0; usize::try_from(self.rng.below(bound)).expect("small")];
            records.push((counter, record(device, counter, body)));
        }
        Some(self.append_records(conversation, device, &records))
    }

    fn append_records(
        &mut self,
        conversation: ConversationId,
        device: DeviceId,
        records: &[(Counter, Record<'static>)],
    ) -> Op {
        let state = &self.model.state.conversations[&conversation];
        let (first, chain_before, earlier) = (state.head.next(), state.chain, state.time);
        let time = WallTime::from_millis(earlier.as_millis() + self.rng.below(50));
        let mut bytes = Vec::new();
        let mut decisions = Vec::new();
        let mut chain = chain_before;
        for (index, (counter, record)) in records.iter().enumerate() {
            let seq = first.plus(index as u64);
            let digest = record.envelope_hash(conversation);
            chain = chain_next(&chain, seq, &digest);
            record.append_to(&mut bytes);
            let mut half = [0; 16];
            half.copy_from_slice(&digest[..16]);
            let floor = Counter(self.rng.between(counter.0.saturating_sub(200), counter.0));
            let fate = Fate::Placed(seq);
            decisions.push(Decision { device, counter: *counter, fate, digest: half, floor });
        }
        Op::Appended(Appended {
            conversation,
            first,
            time,
            count: u32::try_from(records.len()).expect("small"),
            records: bytes.into(),
            chain_before,
            chain_after: chain,
            decisions,
        })
    }

    fn target(&mut self) -> Option<BanTarget> {
        Some(match self.rng.below(3) {
            0 => BanTarget::Account(self.account()?),
            1 => BanTarget::Device(self.device()?),
            _ => BanTarget::Address { address: self.id(), bits: 96 },
        })
    }

    fn account(&mut self) -> Option<AccountId> {
        let index = self.rng.below(self.model.state.accounts.len() as u64);
        self.model.state.accounts.keys().nth(usize::try_from(index).expect("small")).copied()
    }

    fn device(&mut self) -> Option<DeviceId> {
        let index = self.rng.below(self.model.state.devices.len() as u64);
        self.model.state.devices.keys().nth(usize::try_from(index).expect("small")).copied()
    }

    fn conversation(&mut self) -> Option<ConversationId> {
        // Few conversations get most of the traffic, so that some logs grow long.
        let index = self.rng.below(3.min(self.model.state.conversations.len() as u64));
        self.model.state.conversations.keys().nth(usize::try_from(index).expect("small")).copied()
    }

    fn id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        id.copy_from_slice(&sha256(&[b"id", &self.fresh().to_be_bytes()])[..16]);
        id
    }

    fn fresh(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }
}

fn record(device: DeviceId, counter: Counter, body: Vec<u8>) -> Record<'static> {
    let envelope = Envelope {
        version: ENVELOPE_VERSION,
        device,
        counter,
        class: Class::CONTENT,
        target: None,
        epoch: 0,
        seen: (Seq::ZERO, [0; 8]),
        ext: Ext::none(),
    };
    Record {
        envelope: Cow::Owned(envelope.encode()),
        signature: Cow::Borrowed(&[]),
        content: Content::Body(Cow::Owned(body)),
    }
}

fn appended_first(op: &Op) -> Seq {
    let Op::Appended(appended) = op else { panic!("not an append: {op:?}") };
    appended.first
}
