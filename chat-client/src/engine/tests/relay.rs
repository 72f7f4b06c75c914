//! A relay in a hundred lines: one log per conversation, dedupe by counter, sticky refusals.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
};

use protocol::{
    ids::{AccountId, ConversationId, Counter, DeviceId, Digest, LogId, Seq, sha256},
    message::{
        ClientMessage, RelayMessage,
        ext::Ext,
        record::{
            Class, Content, ENVELOPE_VERSION, Envelope, Record, Run, chain_next, chain_prefix,
            chain_start,
        },
        refusal::{Refusal, RefusalCode},
        request::{Reply, Request},
        room::{Access, AccountInfo, ConversationInfo, DeviceInfo, Kind, Role, Standing},
        session::{
            Accepted, Follow, Following, Forked, Mark, Page, Pull, Records, Rejected, Send, Welcome,
        },
    },
    time::WallTime,
};

use crate::store::row::Draft;

pub(super) const THEM: DeviceId = DeviceId([0x77; 16]);

#[derive(Clone, Debug)]
pub(super) struct FakeRelay {
    pub(super) log_id: LogId,
    pub(super) highest: Counter,
    pub(super) logs: BTreeMap<ConversationId, Log>,
    pub(super) people: BTreeMap<String, AccountInfo>,
    pub(super) devices: BTreeMap<DeviceId, DeviceInfo>,
    /// Answers to the next sends, instead of taking them.
    pub(super) refusals: VecDeque<Refusal>,
    /// Everything that was offered, with the floor and the bytes.
    pub(super) offered: Vec<Offered>,
    pub(super) marks: Vec<Mark>,
    pub(super) requests: Vec<Request>,
    /// Requests are recorded and not answered.
    pub(super) mute: bool,
    me: Option<(AccountInfo, DeviceId)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) counter: Counter,
    pub(super) floor: Counter,
    pub(super) envelope: Vec<u8>,
    pub(super) body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) info: ConversationInfo,
    pub(super) records: Vec<Record<'static>>,
    decided: BTreeMap<Counter, (Seq, Digest)>,
    sticky: Option<Counter>,
    live: bool,
}

impl FakeRelay {
    pub(super) fn new() -> Self {
        Self {
            log_id: LogId([1; 16]),
            highest: Counter(0),
            logs: BTreeMap::new(),
            people: BTreeMap::new(),
            devices: BTreeMap::new(),
            refusals: VecDeque::new(),
            offered: Vec::new(),
            marks: Vec::new(),
            requests: Vec::new(),
            mute: false,
            me: None,
        }
    }

    pub(super) fn add_room(&mut self, id: ConversationId, name: &str) {
        let info = info(id, Kind::OPEN_ROOM, name, None);
        let (records, decided) = (Vec::new(), BTreeMap::new());
        self.logs.insert(id, Log { info, records, decided, sticky: None, live: false });
    }

    pub(super) fn add_person(&mut self, name: &str, account: u8) {
        let account = AccountId([account; 16]);
        let person = AccountInfo { account, name: name.into(), ext: Ext::none() };
        self.people.insert(name.into(), person);
    }

    /// Somebody else says something; what followers get.
    pub(super) fn they_say(
        &mut self,
        id: ConversationId,
        text: &str,
    ) -> Vec<RelayMessage<'static>> {
        let counter = Counter(10_000 + self.logs[&id].records.len() as u64);
        let (envelope, body) = encode(THEM, counter, text);
        self.append(id, envelope, body)
    }

    pub(super) fn append(
        &mut self,
        id: ConversationId,
        envelope: Vec<u8>,
        body: Vec<u8>,
    ) -> Vec<RelayMessage<'static>> {
        let log = self.logs.get_mut(&id).expect("known");
        log.records.push(Record {
            envelope: envelope.into(),
            signature: Cow::Borrowed(&[]),
            content: Content::Body(body.into()),
        });
        let head = log.records.len();
        log.info.head = Seq(head as u64);
        if !log.live {
            return Vec::new();
        }
        vec![log.run_from(id, head, head)]
    }

    /// What the texts of a conversation say, in order.
    pub(super) fn texts(&self, id: ConversationId) -> Vec<String> {
        self.logs[&id].records.iter().map(text_of).collect()
    }

    pub(super) fn disconnect(&mut self) {
        self.logs.values_mut().for_each(|log| log.live = false);
    }

    pub(super) fn handle(&mut self, message: ClientMessage<'_>) -> Vec<RelayMessage<'static>> {
        match message {
            ClientMessage::Attach(_) => self.attach(),
            ClientMessage::Follow(follow) => self.follow(follow),
            ClientMessage::Pull(pull) => self.pull(pull),
            ClientMessage::Send(send) => self.send(&send),
            ClientMessage::Mark(mark) => {
                self.marks.push(mark);
                Vec::new()
            }
            ClientMessage::Request(id, request) => {
                self.requests.push(request.clone());
                if self.mute { Vec::new() } else { self.answer(id, request) }
            }
            ClientMessage::Show(_)
            | ClientMessage::Watch(_)
            | ClientMessage::Typing(_)
            | ClientMessage::Ping(_)
            | ClientMessage::Detach(())
            | ClientMessage::Unknown(_) => Vec::new(),
        }
    }

    pub(super) fn set_me(&mut self, account: AccountId, device: DeviceId) {
        self.me = Some((AccountInfo { account, name: "me".into(), ext: Ext::none() }, device));
    }

    fn attach(&mut self) -> Vec<RelayMessage<'static>> {
        let (account, device) = self.me.clone().expect("set by the bench");
        let own = self.logs.values().filter(|log| log.info.standing == Standing::JOINED);
        let own: Vec<_> = own.map(|log| RelayMessage::Conversation(log.info.clone())).collect();
        let mut out = vec![RelayMessage::Welcome(Welcome {
            account,
            device,
            relay_name: "fake".into(),
            log_id: self.log_id,
            keys: Vec::new(),
            highest: self.highest,
            now: WallTime::default(),
            conversations: u32::try_from(own.len()).expect("few"),
            body_bytes_max: 32_768,
            ext: Ext::none(),
        })];
        out.extend(own);
        out
    }

    fn follow(&mut self, follow: Follow) -> Vec<RelayMessage<'static>> {
        let id = follow.conversation;
        let Some(log) = self.logs.get_mut(&id) else { return Vec::new() };
        let head = log.records.len() as u64;
        let differs = follow.after.0 > head
            || (follow.after.0 > 0 && chain_prefix(&log.chain(id, follow.after)) != follow.chain);
        if differs {
            return vec![RelayMessage::Forked(Forked { conversation: id, head: Seq(head) })];
        }
        let from = (follow.after.0 + 1).max((head + 1).saturating_sub(follow.newest.into()));
        log.live = true;
        let chain = log.chain(id, Seq(from - 1));
        let (from, head) = (Seq(from), Seq(head));
        let mut out = vec![RelayMessage::Following(Following {
            conversation: id,
            from,
            chain,
            first: Seq::FIRST,
            head,
        })];
        if from <= head {
            let (from, head) = (from.0.try_into().expect("few"), head.0.try_into().expect("few"));
            out.push(log.run_from(id, from, head));
        }
        out
    }

    fn pull(&mut self, pull: Pull) -> Vec<RelayMessage<'static>> {
        let id = pull.conversation;
        let log = &self.logs[&id];
        let first = pull.before.minus(pull.count.into()).max(Seq::FIRST);
        let mut runs = Vec::new();
        log.run(first.0.try_into().expect("few"), (pull.before.0 - 1).try_into().expect("few"))
            .append_to(&mut runs);
        vec![RelayMessage::Page(Page {
            id: pull.id,
            conversation: id,
            first,
            chain: log.chain(id, first.minus(1)),
            end: first == Seq::FIRST,
            runs: runs.into(),
        })]
    }

    fn send(&mut self, send: &Send<'_>) -> Vec<RelayMessage<'static>> {
        let counter = Envelope::decode(&send.envelope).expect("ours").counter;
        let (envelope, body) = (send.envelope.to_vec(), send.body.to_vec());
        let digest = sha256(&[&envelope, &body]);
        let conversation = send.conversation;
        let offered = Offered { counter, floor: send.floor, envelope, body };
        self.offered.push(offered.clone());
        let highest = self.highest;
        let reject = |refusal| {
            vec![RelayMessage::Rejected(Rejected { conversation, counter, refusal, highest })]
        };
        let Some(log) = self.logs.get_mut(&conversation) else {
            return reject(Refusal::last(RefusalCode::NO_SUCH_CONVERSATION, ""));
        };
        if log.info.standing != Standing::JOINED {
            return reject(Refusal::last(RefusalCode::NOT_A_MEMBER, ""));
        }
        if let Some((seq, known)) = log.decided.get(&counter) {
            let (seq, time) = (*seq, WallTime::default());
            return if *known == digest {
                vec![RelayMessage::Accepted(Accepted { conversation, counter, seq, time })]
            } else {
                reject(Refusal::last(RefusalCode::COUNTER_REUSED, ""))
            };
        }
        if log.sticky.is_some_and(|sticky| sticky < counter) {
            let wait = std::time::Duration::from_millis(50);
            return reject(Refusal::for_now(RefusalCode::WAITING, wait, ""));
        }
        if let Some(refusal) = self.refusals.pop_front() {
            log.sticky = refusal.retry_after().map(|_| counter);
            return reject(refusal);
        }
        log.sticky = None;
        let seq = Seq(log.records.len() as u64 + 1);
        log.decided.insert(counter, (seq, digest));
        self.highest = self.highest.max(counter);
        let mut out = self.append(conversation, offered.envelope, offered.body);
        let time = WallTime::default();
        out.insert(0, RelayMessage::Accepted(Accepted { conversation, counter, seq, time }));
        out
    }

    fn answer(&mut self, id: u32, request: Request) -> Vec<RelayMessage<'static>> {
        let outcome = match request {
            Request::Resolve(resolve) => match self.people.get(&resolve.name) {
                Some(person) => Ok(Reply::Resolve(person.clone())),
                None => Err(Refusal::last(RefusalCode::NO_SUCH_NAME, resolve.name)),
            },
            Request::OpenDirect(open) => {
                let me = self.me.as_ref().expect("attached").0.account;
                let conversation = ConversationId::direct(me, open.peer);
                let peer = self.people.values().find(|p| p.account == open.peer).cloned();
                let info = info(conversation, Kind::DIRECT, "", peer);
                let (records, decided) = (Vec::new(), BTreeMap::new());
                let log = Log { info, records, decided, sticky: None, live: false };
                Ok(Reply::OpenDirect(self.logs.entry(conversation).or_insert(log).info.clone()))
            }
            Request::Lookup(lookup) => Ok(Reply::Lookup(
                lookup.devices.iter().filter_map(|d| self.devices.get(d).cloned()).collect(),
            )),
            Request::ChainAt(at) => match self.logs.get(&at.conversation) {
                Some(log) => Ok(Reply::ChainAt(log.chain(at.conversation, at.seq))),
                None => Err(Refusal::last(RefusalCode::NO_SUCH_CONVERSATION, "")),
            },
            Request::Join(join) => {
                match self.logs.values_mut().find(|l| l.info.name == join.room) {
                    Some(log) => {
                        log.info.standing = Standing::JOINED;
                        Ok(Reply::Join(log.info.clone()))
                    }
                    None => Err(Refusal::last(RefusalCode::NO_SUCH_NAME, join.room)),
                }
            }
            other => Err(Refusal::last(RefusalCode::UNSUPPORTED, other.number().to_string())),
        };
        vec![RelayMessage::Reply(id, outcome)]
    }
}

impl Log {
    pub(super) fn chain(&self, id: ConversationId, at: Seq) -> Digest {
        let records = self.records.iter().take(at.0.try_into().expect("few"));
        records.zip(1..).fold(chain_start(id), |chain, (record, seq)| {
            chain_next(&chain, Seq(seq), &record.envelope_hash(id))
        })
    }

    /// Forgets everything above, as a relay restored from an older copy has.
    pub(super) fn restore(&mut self, to: usize) {
        self.records.truncate(to);
        self.decided.retain(|_, (seq, _)| seq.0 <= to as u64);
        self.info.head = Seq(to as u64);
    }

    fn run(&self, from: usize, to: usize) -> Run<'static> {
        let mut records = Vec::new();
        for record in &self.records[from - 1..to] {
            record.append_to(&mut records);
        }
        Run {
            first: Seq(from as u64),
            time: WallTime::from_millis(from as u64),
            count: u32::try_from(to + 1 - from).expect("few"),
            records: records.into(),
        }
    }

    pub(super) fn run_from(
        &self,
        conversation: ConversationId,
        from: usize,
        to: usize,
    ) -> RelayMessage<'static> {
        RelayMessage::Records(Records { conversation, run: self.run(from, to) })
    }
}

pub(super) fn text_of(record: &Record<'_>) -> String {
    use protocol::message::event::Body;
    match &record.content {
        Content::Body(body) => match Body::decode(body) {
            Ok(Body::Text(text)) => text.text,
            other => format!("{other:?}"),
        },
        Content::Erased(_) => "(erased)".into(),
    }
}

fn encode(device: DeviceId, counter: Counter, text: &str) -> (Vec<u8>, Vec<u8>) {
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
    (envelope.encode(), Draft::text(text).body(WallTime::default()).encode())
}

fn info(id: ConversationId, kind: Kind, name: &str, peer: Option<AccountInfo>) -> ConversationInfo {
    ConversationInfo {
        id,
        kind,
        name: name.into(),
        topic: String::new(),
        access: Access::ANYONE,
        standing: Standing::JOINED,
        role: Role::MEMBER,
        muted_until: WallTime::default(),
        peer,
        first: Seq::FIRST,
        head: Seq::ZERO,
        read: Seq::ZERO,
        members: 2,
        genesis: Vec::new().into(),
        ext: Ext::none(),
    }
}
