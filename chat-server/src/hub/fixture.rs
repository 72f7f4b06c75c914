//! A relay without threads: the hub, a store in memory, tails and sessions, and people who talk
//! through them. Time stands still unless a test moves it.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use protocol::{
    channel::keys::SigningKey,
    entropy::Entropy,
    ids::{AccountId, ConversationId, Counter, DeviceId, RelayKey, Seq},
    message::{
        RelayMessage,
        account::GenesisLink,
        encoding::encode,
        event::{Body, Text},
        ext::Ext,
        record::{Class, ENVELOPE_VERSION, Envelope, Target},
        refusal::{Refusal, RefusalCode},
        request::{CreateRoom, Outcome, Reply, Request},
        room::{Access, ConversationInfo, Genesis, Kind},
        session::{Accepted, Attach, Register, Rejected, Send},
    },
    time::{Timestamp, WallTime},
};
use serde_bytes::ByteBuf;

use super::{Hub, HubConfig, Input, Limits, Output, Publication, SessionId, ToSession};
use crate::store::{
    Commit, Store,
    memory::{Failure, MemoryDisk, MemoryStore},
};

pub(super) struct Relay {
    pub(super) hub: Hub,
    pub(super) disk: MemoryDisk,
    pub(super) store: MemoryStore,
    pub(super) now: Timestamp,
    pub(super) wall: WallTime,
    /// Everything the hub said, in order.
    pub(super) said: Vec<Said>,
    /// How many logs each look at their ages covered.
    pub(super) looks: Vec<usize>,
    committing: Option<Commit>,
    sessions: u64,
    requests: u32,
}

#[expect(clippy::large_enum_variant, reason = "a test holds few of them")]
pub(super) enum Said {
    Published(std::sync::Arc<Publication>),
    To(SessionId, ToSession),
    Operator(Result<super::OperatorAnswer, super::OperatorError>),
}

#[derive(Clone, Copy)]
pub(super) struct Person {
    pub(super) session: SessionId,
    pub(super) account: AccountId,
    pub(super) device: DeviceId,
    seed: u8,
}

impl Relay {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut HubConfig)) -> Self {
        let mut config = HubConfig::new(vec![RelayKey([5; 32])], [6; 32]);
        change(&mut config);
        let disk = MemoryDisk::new();
        let mut store = disk.open();
        let loaded = store.load().expect("an empty store loads");
        let hub = Hub::new(config, loaded, Entropy::seeded_for_simulation(1));
        let mut relay = Self {
            hub,
            disk,
            store,
            now: Timestamp::from_micros(1_000_000_000),
            wall: WallTime::from_millis(1_700_000_000_000),
            said: Vec::new(),
            looks: Vec::new(),
            committing: None,
            sessions: 0,
            requests: 0,
        };
        relay.settle();
        relay
    }

    /// Replaces the settings while the relay runs.
    pub(super) fn configure(&mut self, change: impl FnOnce(&mut HubConfig)) {
        let mut config = HubConfig::new(vec![RelayKey([5; 32])], [6; 32]);
        change(&mut config);
        self.hub.handle_config(config);
    }

    pub(super) fn unlimited(limits: &mut Limits) {
        limits.messages = super::Rate::UNLIMITED;
        limits.message_bytes = super::Rate::UNLIMITED;
    }

    // ---- driving ----

    /// Takes the next commit, if there is one, without carrying it out.
    pub(super) fn start_commit(&mut self) -> bool {
        self.drain();
        self.committing = self.hub.poll_commit();
        self.committing.is_some()
    }

    /// True if the hub would give another commit while one is in flight: it never does.
    pub(super) fn start_commit_is_possible(&mut self) -> bool {
        self.hub.poll_commit().is_some()
    }

    /// Carries out the commit that was started.
    pub(super) fn finish_commit(&mut self) {
        let commit = self.committing.take().expect("a commit was started");
        let outcome = self.store.commit(&commit);
        self.hub.handle_committed(self.now, self.wall, outcome);
        self.drain();
    }

    pub(super) fn reload(&mut self) {
        assert!(self.hub.poll_reload());
        let loaded = self.store.load().expect("the store loads");
        self.hub.handle_reloaded(self.now, loaded);
        self.drain();
    }

    /// Commits until nothing is pending; then the hub and the store agree on everything.
    pub(super) fn settle(&mut self) {
        loop {
            self.drain();
            if self.hub.poll_reload() {
                self.reload();
            } else if self.committing.is_some() || self.start_commit() {
                self.finish_commit();
            } else {
                break;
            }
        }
        let durable = self.store.load().expect("the store loads").state;
        assert_eq!(*self.hub.state(), durable, "the tentative state is what replay gives");
    }

    pub(super) fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(due) = self.hub.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.hub.handle_timeout(self.now, self.wall);
            self.settle();
        }
        self.now = until;
        self.wall = self.wall.plus(duration);
    }

    fn drain(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            self.said.push(match output {
                Output::Publish(publication) => Said::Published(publication),
                Output::ToSession(session, message) => Said::To(session, message),
                Output::ToOperator(_, answer) => Said::Operator(answer),
                Output::LookAtAges(look) => {
                    let mut reader = self.store.reader().expect("the store reads");
                    let mut aged = Vec::new();
                    look.perform(&mut *reader, &mut aged).expect("the store reads");
                    self.looks.push(look.logs.len());
                    self.hub.handle_input(self.now, self.wall, Input::Aged { aged });
                    continue;
                }
            });
        }
    }

    pub(super) fn fail_next(&mut self, failure: Failure) {
        self.disk.fail_next(failure);
    }

    pub(super) fn input(&mut self, input: Input) {
        self.hub.handle_input(self.now, self.wall, input);
    }

    // ---- people ----

    pub(super) fn join(&mut self, name: &str, seed: u8) -> Person {
        let (person, outcome) = self.try_join(name, seed, LOOPBACK);
        assert_eq!(outcome, Ok(()), "{name} joins");
        person
    }

    /// Attaches a new device that registers; whether it was welcomed.
    pub(super) fn try_join(
        &mut self,
        name: &str,
        seed: u8,
        address: IpAddr,
    ) -> (Person, Result<(), Refusal>) {
        self.try_join_with(name, seed, address, vec![])
    }

    pub(super) fn try_join_with(
        &mut self,
        name: &str,
        seed: u8,
        address: IpAddr,
        ticket: Vec<u8>,
    ) -> (Person, Result<(), Refusal>) {
        let (genesis, signature, device) = genesis(seed);
        let person = Person {
            session: self.next_session(),
            account: AccountId::of_genesis(&genesis),
            device,
            seed,
        };
        let register = Register {
            name: name.into(),
            genesis: ByteBuf::from(genesis),
            signature: ByteBuf::from(signature),
            ticket: ByteBuf::from(ticket),
        };
        self.attach(person.session, seed, address, Some(register));
        self.settle();
        (person, self.closed(person.session).map_or(Ok(()), Err))
    }

    pub(super) fn attach(
        &mut self,
        session: SessionId,
        seed: u8,
        address: IpAddr,
        register: Option<Register>,
    ) {
        let attach = Attach { register, client: "test 1".into(), ext: Ext::none() };
        let channel_key = [seed; 32];
        self.input(Input::Attach { session, channel_key, address, attach });
    }

    /// The same device on a new connection.
    pub(super) fn reconnect(&mut self, person: &mut Person) {
        person.session = self.next_session();
        self.attach(person.session, person.seed, LOOPBACK, None);
    }

    pub(super) fn next_session(&mut self) -> SessionId {
        self.sessions += 1;
        SessionId::new(0, self.sessions)
    }

    pub(super) fn lobby(&self) -> ConversationId {
        *self.hub.state().rooms.values().next().expect("there is a lobby")
    }

    /// Offers a text without committing.
    pub(super) fn offer(&mut self, by: &Person, to: ConversationId, counter: u64, words: &str) {
        self.offer_with_floor(by, to, counter, 0, words);
    }

    pub(super) fn offer_with_floor(
        &mut self,
        by: &Person,
        to: ConversationId,
        counter: u64,
        floor: u64,
        words: &str,
    ) {
        let envelope = envelope(by.device, counter, Class::CONTENT, None);
        self.offer_envelope(by, to, floor, &envelope, &text(words));
    }

    pub(super) fn offer_envelope(
        &mut self,
        by: &Person,
        to: ConversationId,
        floor: u64,
        envelope: &Envelope,
        body: &[u8],
    ) {
        let send = Send {
            conversation: to,
            floor: Counter(floor),
            envelope: Cow::Owned(envelope.encode()),
            signature: Cow::Borrowed(&[]),
            body: Cow::Borrowed(body),
        };
        let bytes = encode(&send);
        let end = u32::try_from(bytes.len()).expect("short");
        self.input(Input::Sends { bytes, items: vec![(by.session, 0..end)] });
    }

    /// Offers a text and waits for the decision.
    pub(super) fn send(
        &mut self,
        by: &Person,
        to: ConversationId,
        counter: u64,
        words: &str,
    ) -> Result<Seq, RefusalCode> {
        self.said.clear();
        self.offer(by, to, counter, words);
        self.settle();
        self.decision(by, counter)
    }

    /// What was decided on a counter, the last time it was said.
    pub(super) fn decision(&self, of: &Person, counter: u64) -> Result<Seq, RefusalCode> {
        self.decisions(of)
            .into_iter()
            .rev()
            .find(|(of, _)| *of == counter)
            .map(|(_, decision)| decision)
            .expect("there is a decision")
    }

    /// All decisions told to a session, in order.
    pub(super) fn decisions(&self, of: &Person) -> Vec<(u64, Result<Seq, RefusalCode>)> {
        self.messages(of.session)
            .filter_map(|message| match message {
                RelayMessage::Accepted(Accepted { counter, seq, .. }) => {
                    Some((counter.0, Ok(*seq)))
                }
                RelayMessage::Rejected(Rejected { counter, refusal, .. }) => {
                    Some((counter.0, Err(refusal.code)))
                }
                _ => None,
            })
            .collect()
    }

    pub(super) fn messages(
        &self,
        to: SessionId,
    ) -> impl Iterator<Item = &RelayMessage<'static>> + '_ {
        self.said.iter().filter_map(move |said| match said {
            Said::To(session, ToSession::Message(message)) if *session == to => Some(message),
            _ => None,
        })
    }

    /// Why the session was closed, if it was.
    pub(super) fn closed(&self, session: SessionId) -> Option<Refusal> {
        self.said.iter().find_map(|said| match said {
            Said::To(to, ToSession::Close { refusal }) if *to == session => Some(refusal.clone()),
            _ => None,
        })
    }

    /// Asks without committing; the request's id.
    pub(super) fn ask_only(&mut self, by: &Person, request: impl Into<Request>) -> u32 {
        self.requests += 1;
        let (session, id, request) = (by.session, self.requests, request.into());
        self.input(Input::Request { session, id, request });
        id
    }

    /// Asks and waits for the answer.
    pub(super) fn ask(&mut self, by: &Person, request: impl Into<Request>) -> Outcome {
        self.said.clear();
        let id = self.ask_only(by, request);
        self.settle();
        self.reply(by, id).expect("every request is answered")
    }

    pub(super) fn reply(&self, to: &Person, id: u32) -> Option<Outcome> {
        self.messages(to.session).find_map(|message| match message {
            RelayMessage::Reply(of, outcome) if *of == id => Some(outcome.clone()),
            _ => None,
        })
    }

    /// Asks and expects a yes, or the code of the no.
    pub(super) fn try_ask(
        &mut self,
        by: &Person,
        request: impl Into<Request>,
    ) -> Result<Reply, RefusalCode> {
        self.ask(by, request).map_err(|refusal| refusal.code)
    }

    pub(super) fn room(&mut self, by: &Person, name: &str, access: Access) -> ConversationId {
        let (id, outcome) = self.try_room(by, name, access);
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
        id
    }

    pub(super) fn try_room(
        &mut self,
        by: &Person,
        name: &str,
        access: Access,
    ) -> (ConversationId, Outcome) {
        let mut nonce = [0; 16];
        nonce[..name.len()].copy_from_slice(name.as_bytes());
        let creator = Some(by.account);
        let genesis = Genesis { version: 1, kind: Kind::OPEN_ROOM, creator, nonce };
        let request = CreateRoom {
            genesis: ByteBuf::from(genesis.encode()),
            name: name.into(),
            topic: String::new(),
            access,
        };
        (genesis.conversation(), self.ask(by, request))
    }

    pub(super) fn info(&self, of: &Person, id: ConversationId) -> ConversationInfo {
        self.hub.conversation_info(id, of.account).expect("the conversation exists")
    }
}

pub(super) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(super) fn genesis(seed: u8) -> (Vec<u8>, Vec<u8>, DeviceId) {
    let signing = SigningKey::from_seed([seed; 32]);
    let link = GenesisLink {
        version: 1,
        signing_key: signing.public(),
        channel_key: [seed; 32],
        sealing_key: [seed; 32],
        created_at: WallTime::default(),
        nonce: [seed; 16],
        ext: Ext::none(),
    };
    let genesis = link.encode();
    let signature = signing.sign(&GenesisLink::signed_bytes(&genesis)).to_vec();
    (genesis, signature, signing.device_id())
}

pub(super) fn envelope(
    device: DeviceId,
    counter: u64,
    class: Class,
    target: Option<Target>,
) -> Envelope {
    Envelope {
        version: ENVELOPE_VERSION,
        device,
        counter: Counter(counter),
        class,
        target,
        epoch: 0,
        seen: (Seq::ZERO, [0; 8]),
        ext: Ext::none(),
    }
}

pub(super) fn text(words: &str) -> Vec<u8> {
    Body::Text(Text {
        text: words.into(),
        composed_at: WallTime::default(),
        reply_to: None,
        ext: Ext::none(),
    })
    .encode()
}
