//! One person: an engine on a disk that survives, and at most one connection.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use chat_client::{
    engine::{Answer, Engine, EngineConfig, Event, Identity, OutboxState, Ticket},
    store::{
        Change, Store, StoreFailure, StoreRequest, Stored,
        memory::MemoryStore,
        row::{LocalId, StoredRecord},
    },
};
use protocol::{
    channel::keys::{SigningKey, StaticKey},
    connection::InitiatorConfig,
    entropy::{Entropy, SimRng},
    ids::{ConversationId, Counter, DeviceId, Digest, MessageId, RelayKey, Seq},
    message::{
        ClientMessage, MessageReader, RelayMessage,
        account::GenesisLink,
        ext::Ext,
        record::{Envelope, envelope_hash},
        room::Standing,
        session::Send,
    },
    time::{Timestamp, WallTime},
};

use super::{
    bugs::Bug,
    carrier::{Arrived, Carrier},
    marks::{Mark, Marks},
    model::{Entry, Model, Violation},
    network::LinkId,
};

/// A message in a trace takes no more than this.
const TRACE_CHARS_MAX: usize = 400;

/// A person's device, running or not.
pub(crate) struct Person {
    identity: Identity,
    key: Arc<StaticKey>,
    /// What survives a crash.
    pub(crate) disk: MemoryStore,
    pub(crate) running: Option<Running>,
    /// Messages that the person was told are queued and that are not decided yet, with their names
    /// once they have one. Pressing Enter is a promise.
    pub(crate) owed: BTreeMap<LocalId, Option<(ConversationId, MessageId)>>,
    /// Counts starts, so that answers for an earlier life are not taken for this one.
    pub(crate) life: u64,
    /// When time changes something for the program.
    pub(crate) due: Option<Timestamp>,
}

/// A running program.
pub(crate) struct Running {
    pub(crate) engine: Engine,
    pub(crate) link: Option<ClientLink>,
    /// Requests handed out and not performed yet, oldest first.
    pub(crate) to_store: VecDeque<(Ticket, StoreRequest)>,
    /// Conversation and name of every encoded outbox row, to read the outbox's events by.
    names: BTreeMap<LocalId, (ConversationId, MessageId)>,
    transmissions: u8,
    /// Rare events since the last look.
    pub(crate) marks: Marks,
    /// The highest number that the last welcome named.
    pub(crate) highest: Option<Counter>,
    /// Chains that the relay told since the last look.
    pub(crate) chains: Vec<(ConversationId, Seq, Digest)>,
    /// What was said and heard since the last look, if somebody wants to know.
    pub(crate) overheard: Option<Vec<String>>,
}

/// The client's end of a connection.
pub(crate) struct ClientLink {
    pub(crate) id: LinkId,
    pub(crate) carrier: Carrier,
}

/// How a connection is dialled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dial {
    Stream,
    /// With so many packets under one key.
    Datagrams(u64),
}

/// What a pump of the engine brought besides bytes.
#[derive(Debug, Default)]
pub(crate) struct Pumped {
    /// Writes to a stream, or datagrams.
    pub(crate) writes: Vec<Vec<u8>>,
    /// Something new waits for the disk.
    pub(crate) stores: bool,
    /// The engine wants a connection.
    pub(crate) connect: bool,
    /// The engine wants to hang up.
    pub(crate) disconnect: bool,
    /// What a person would see.
    pub(crate) events: Vec<Event>,
}

impl Person {
    pub(crate) fn new(name: &str, entropy: &mut Entropy) -> Self {
        let key = Arc::new(StaticKey::generate(entropy));
        let signing = SigningKey::generate(entropy);
        let genesis = GenesisLink {
            version: 1,
            signing_key: signing.public(),
            channel_key: *key.public(),
            sealing_key: [1; 32],
            created_at: WallTime::default(),
            nonce: entropy.bytes(),
            ext: Ext::none(),
        }
        .encode();
        let genesis_signature = signing.sign(&GenesisLink::signed_bytes(&genesis)).to_vec();
        let device = signing.device_id();
        let name = name.to_owned();
        let identity = Identity { device, genesis, genesis_signature, name, ticket: Vec::new() };
        Self {
            identity,
            key,
            disk: MemoryStore::new(),
            running: None,
            owed: BTreeMap::new(),
            life: 0,
            due: None,
        }
    }

    pub(crate) fn device(&self) -> DeviceId {
        self.identity.device
    }

    /// Starts the program on what its disk has.
    pub(crate) fn start(&mut self, rng: SimRng, bug: Option<Bug>) {
        let mut loaded = self.disk.load().expect("a memory disk loads");
        if bug == Some(Bug::CounterForgotten) {
            loaded.next_counter = Counter(1);
        }
        let names = loaded.outbox.iter().filter_map(name_of).collect();
        let config = EngineConfig { newest: 16, page: 16, ..EngineConfig::default() };
        let engine = Engine::new(self.identity.clone(), loaded, config, rng);
        self.life += 1;
        self.running = Some(Running {
            engine,
            link: None,
            to_store: VecDeque::new(),
            names,
            transmissions: 0,
            marks: Marks::default(),
            highest: None,
            chains: Vec::new(),
            overheard: None,
        });
    }

    /// The disk does the oldest thing it was asked for.
    pub(crate) fn store_one(
        &mut self,
        now: Timestamp,
        model: &Model,
        bug: Option<Bug>,
    ) -> Result<(), Violation> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let Some((ticket, request)) = running.to_store.pop_front() else { return Ok(()) };
        let outcome = match &request {
            StoreRequest::Apply(changes) => {
                for change in changes.iter() {
                    if let Change::Records(conversation, records) = change {
                        for record in records {
                            check_record(*conversation, record, model)?;
                        }
                    }
                }
                apply(&mut self.disk, changes, bug)
            }
            StoreRequest::Find(_) => self.disk.perform(&request),
        };
        running.engine.handle_stored(now, ticket, outcome);
        Ok(())
    }

    /// Keeps account of what the person was told.
    pub(crate) fn note(&mut self, event: &Event) {
        match event {
            Event::Done { result: Ok(Answer::Queued(local)), .. } => {
                self.owed.insert(*local, None);
            }
            Event::Outbox { local, state } => match state {
                OutboxState::Sent { .. }
                | OutboxState::Failed(_)
                | OutboxState::Unknown
                | OutboxState::Cancelled => {
                    self.owed.remove(local);
                }
                OutboxState::Queued | OutboxState::Slowed { .. } | OutboxState::Held { .. } => {}
            },
            _ => {}
        }
        let Some(running) = &self.running else { return };
        for (local, name) in &mut self.owed {
            *name = running.names.get(local).copied().or(*name);
        }
    }

    /// Opens the client's end of a connection.
    pub(crate) fn dial(
        &mut self,
        now: Timestamp,
        id: LinkId,
        how: Dial,
        relay: RelayKey,
        entropy: &mut Entropy,
    ) {
        let Some(running) = &mut self.running else { return };
        let config = InitiatorConfig::new(relay, Arc::clone(&self.key));
        let carrier = match how {
            Dial::Stream => Carrier::over_stream(&config, entropy),
            Dial::Datagrams(packets_per_key) => {
                Carrier::over_datagrams(now, &config, entropy, packets_per_key)
            }
        };
        running.link = Some(ClientLink { id, carrier });
    }
}

impl Running {
    /// Takes what came from the network: why the connection is over, if it is.
    pub(crate) fn receive(
        &mut self,
        now: Timestamp,
        bytes: &mut [u8],
        bug: Option<Bug>,
    ) -> Result<Option<String>, Violation> {
        let Some(link) = &mut self.link else { return Ok(None) };
        let Arrived { is_established, content, lost } =
            link.carrier.receive(now, bytes, bug, &mut self.marks)?;
        if is_established {
            self.engine.handle_connected(now);
        }
        Ok(self.take(now, &content).err().or(lost))
    }

    /// Gives messages to the engine. An error is a reason to hang up.
    fn take(&mut self, now: Timestamp, content: &[u8]) -> Result<(), String> {
        for message in MessageReader::new(content) {
            let message = message.map_err(|error| error.to_string())?;
            let message = RelayMessage::decode(message).map_err(|error| error.to_string())?;
            if let Some(overheard) = &mut self.overheard {
                overheard.push(shorten("heard", &message));
            }
            let page = match &message {
                RelayMessage::Page(page) => Some(page.conversation),
                _ => None,
            };
            let before = page.map(|id| stretches(&self.engine, id));
            overhear(&message, &self.engine, &mut self.chains, &mut self.marks);
            if let RelayMessage::Welcome(welcome) = &message {
                self.highest = Some(welcome.highest);
            }
            self.engine.handle_message(now, message).map_err(|error| error.to_string())?;
            if page.map(|id| stretches(&self.engine, id)) < before {
                self.marks.hit(Mark::IntervalsJoined);
            }
        }
        Ok(())
    }

    /// Time has come to what [`Self::poll_timeout`] said.
    pub(crate) fn handle_timeout(&mut self, now: Timestamp, bug: Option<Bug>) {
        let is_due = |due: Option<Timestamp>| due.is_some_and(|due| due <= now);
        if is_due(self.engine.poll_timeout()) {
            self.engine.handle_timeout(now);
        }
        if let Some(link) = &mut self.link
            && is_due(link.carrier.poll_timeout())
        {
            link.carrier.handle_timeout(now, bug);
        }
    }

    /// When time alone changes something.
    pub(crate) fn poll_timeout(&self, bug: Option<Bug>) -> Option<Timestamp> {
        let link = self.link.as_ref().filter(|_| bug != Some(Bug::ClientTimeoutIgnored));
        let carrier = link.and_then(|link| link.carrier.poll_timeout());
        [self.engine.poll_timeout(), carrier].into_iter().flatten().min()
    }

    /// Drains the engine's outputs, in the order the run-loop contract gives.
    pub(crate) fn pump(
        &mut self,
        now: Timestamp,
        model: &mut Model,
        bug: Option<Bug>,
    ) -> Result<Pumped, Violation> {
        let mut pumped = Pumped::default();
        // A number can change: a client restored from a copy finds its own taken.
        self.names.extend(self.engine.outbox().filter_map(|(row, _)| name_of(row)));
        while let Some(request) = self.engine.poll_store() {
            self.to_store.push_back(request);
            pumped.stores = true;
        }
        // Out of its place, so that it can ask for what this has to say.
        if let Some(mut link) = self.link.take() {
            let mut swapped = None;
            let next = |out: &mut Vec<u8>| self.say_next(out, &mut swapped, model, bug);
            link.carrier.send(now, next, &mut pumped.writes)?;
            link.carrier.look(&mut self.marks)?;
            self.link = Some(link);
        }
        while let Some(dial) = self.engine.poll_dial() {
            match dial {
                chat_client::engine::Dial::Connect => pumped.connect = true,
                chat_client::engine::Dial::Disconnect => pumped.disconnect = true,
            }
        }
        while let Some(event) = self.engine.poll_event() {
            self.check(&event, model)?;
            pumped.events.push(event);
        }
        Ok(pumped)
    }

    /// Appends the engine's next message to `out`; false if it has none.
    fn say_next(
        &mut self,
        out: &mut Vec<u8>,
        swapped: &mut Option<ClientMessage<'static>>,
        model: &mut Model,
        bug: Option<Bug>,
    ) -> Result<bool, Violation> {
        let Some(mut message) = self.engine.poll_transmit() else {
            let last = swapped.take();
            if let Some(last) = &last {
                last.append_to(out);
            }
            return Ok(last.is_some());
        };
        if let Some(overheard) = &mut self.overheard {
            overheard.push(shorten("said", &message));
        }
        if let ClientMessage::Send(send) = &mut message {
            plant(send, bug, &mut self.transmissions);
            let hash = envelope_hash(
                send.conversation,
                &send.envelope,
                &protocol::ids::sha256(&[&send.body]),
            );
            let envelope = Envelope::decode(&send.envelope)
                .map_err(|_| Violation("a client made an envelope nobody can read".into()))?;
            model.on_transmitted((send.conversation, envelope.id()), hash)?;
            if bug == Some(Bug::FloorTooHigh) {
                send.floor = envelope.counter.next();
            }
            if bug == Some(Bug::SendsSwapped) {
                // The later one first: order within the device is lost.
                match swapped.take() {
                    Some(before) => {
                        message.append_to(out);
                        before.append_to(out);
                    }
                    None => *swapped = Some(message),
                }
                return Ok(true);
            }
        }
        message.append_to(out);
        Ok(true)
    }

    fn check(&self, event: &Event, model: &mut Model) -> Result<(), Violation> {
        let Event::Outbox { local, state } = event else { return Ok(()) };
        let Some(name) = self.names.get(local).copied() else { return Ok(()) };
        match state {
            OutboxState::Sent { seq, .. } => model.on_shown_sent(name, *seq),
            OutboxState::Failed(_) => model.on_shown_failed(name),
            OutboxState::Queued
            | OutboxState::Slowed { .. }
            | OutboxState::Held { .. }
            | OutboxState::Unknown
            | OutboxState::Cancelled => Ok(()),
        }
    }

    /// True if everything the model's logs have of the joined conversations is on this disk.
    pub(crate) fn is_caught_up(&self, model: &Model) -> bool {
        self.engine.conversations().all(|conversation| {
            let info = conversation.info();
            info.standing != Standing::JOINED || {
                let high = conversation.intervals().last().map_or(0, |newest| newest.high.0);
                let head = model.logs().get(&info.id).map_or(0, Vec::len) as u64;
                // The rest may have become too old before it could be had.
                high == head || (conversation.is_live() && info.first.0 > head)
            }
        })
    }

    /// True while the connection is dialled and does not stand yet.
    pub(crate) fn is_dialling(&self, id: LinkId) -> bool {
        self.link.as_ref().is_some_and(|link| link.id == id && !link.carrier.is_established())
    }

    /// What keeps this person from being done.
    pub(crate) fn unfinished(&self, model: &Model) -> String {
        let undecided: Vec<_> = self
            .engine
            .outbox()
            .filter(|(row, _)| !row.stage.is_settled())
            .map(|(row, state)| (self.names.get(&row.local), row.local, state))
            .collect();
        let behind: Vec<_> = self
            .engine
            .conversations()
            .filter(|conversation| conversation.info().standing == Standing::JOINED)
            .filter_map(|conversation| {
                let log = model.logs().get(&conversation.id()).map_or(0, Vec::len) as u64;
                let high = conversation.intervals().last().map_or(0, |newest| newest.high.0);
                (high != log).then_some((conversation.id(), high, log))
            })
            .collect();
        let link = self.engine.status().link;
        let settled = self.engine.is_settled();
        format!(
            "{link:?}, settled {settled}, undecided {undecided:?}, (conversation, has, log) {behind:?}"
        )
    }

    /// True if every message that is not decided waits because the relay asked for that, or behind
    /// one that does.
    pub(crate) fn waits_as_asked(&self) -> bool {
        let conversation = |local: &LocalId| self.names.get(local).map(|(id, _)| *id);
        let slowed: BTreeSet<_> = self
            .engine
            .outbox()
            .filter(|(_, state)| matches!(state, OutboxState::Slowed { .. }))
            .filter_map(|(row, _)| conversation(&row.local))
            .collect();
        self.engine.outbox().all(|(row, state)| {
            let behind = conversation(&row.local).is_some_and(|id| slowed.contains(&id));
            behind || !matches!(state, OutboxState::Queued)
        })
    }

    /// True if messages of this device wait for the relay's decision.
    pub(crate) fn has_undecided(&self) -> bool {
        self.engine
            .outbox()
            .any(|(_, state)| matches!(state, OutboxState::Queued | OutboxState::Slowed { .. }))
    }
}

/// How many stretches of a conversation are stored.
fn stretches(engine: &Engine, id: ConversationId) -> usize {
    engine.conversation(id).map_or(0, |conversation| conversation.intervals().len())
}

/// Notes what a message tells about the log before the engine takes it.
fn overhear(
    message: &RelayMessage<'_>,
    engine: &Engine,
    chains: &mut Vec<(ConversationId, Seq, Digest)>,
    marks: &mut Marks,
) {
    match message {
        RelayMessage::Following(following) => {
            let id = following.conversation;
            chains.push((id, following.from.minus(1), following.chain));
            let has = engine
                .conversation(id)
                .map_or(Seq::ZERO, chat_client::engine::Conversation::received);
            if has > Seq::ZERO && following.from > has.next() {
                marks.hit(Mark::NewestPageFirst);
            }
        }
        RelayMessage::Page(page) if !page.runs.is_empty() => {
            chains.push((page.conversation, page.first.minus(1), page.chain));
        }
        _ => {}
    }
}

fn shorten(what: &str, message: &impl std::fmt::Debug) -> String {
    let text = format!("{what} {message:?}");
    text.chars().take(TRACE_CHARS_MAX).collect()
}

/// Applies changes; with a bug, all but some of them, and says it was all.
fn apply(
    disk: &mut MemoryStore,
    changes: &[Change],
    bug: Option<Bug>,
) -> Result<Stored, StoreFailure> {
    let is_lost = |change: &Change| match bug {
        Some(Bug::OutboxNotDurable) => matches!(change, Change::Outbox(_)),
        Some(Bug::RecordsNotDurable) => matches!(change, Change::Records(..)),
        Some(_) | None => false,
    };
    let kept: Vec<_> = changes.iter().filter(|change| !is_lost(change)).cloned().collect();
    disk.apply(&kept).map(|()| Stored::Applied)
}

fn plant(send: &mut Send<'static>, bug: Option<Bug>, transmissions: &mut u8) {
    if bug == Some(Bug::BytesChangedOnRetry) {
        // As if "composed at" were the time of the transmission.
        send.body.to_mut().push(*transmissions);
        *transmissions = transmissions.wrapping_add(1);
    }
}

fn name_of(
    row: &chat_client::store::row::OutboxRow,
) -> Option<(LocalId, (ConversationId, MessageId))> {
    let encoded = row.encoded()?;
    let envelope = Envelope::decode(&encoded.envelope).ok()?;
    Some((row.local, (encoded.conversation, envelope.id())))
}

fn check_record(
    conversation: ConversationId,
    record: &StoredRecord,
    model: &Model,
) -> Result<(), Violation> {
    let envelope = Envelope::decode(&record.envelope)
        .map_err(|_| Violation("a client stores an envelope nobody can read".into()))?;
    let hash = envelope_hash(conversation, &record.envelope, &record.content.digest());
    model.on_stored(conversation, record.seq, Entry { id: envelope.id(), hash })
}

impl Person {
    /// What must hold once nothing is left to do: every message is decided, and what is stored is
    /// what the log has.
    pub(crate) fn check_end(&self, model: &Model) -> Result<(), Violation> {
        let Some(running) = &self.running else { return Ok(()) };
        let waiting: BTreeSet<_> = running.engine.outbox().map(|(row, _)| row.local).collect();
        for (local, name) in &self.owed {
            let is_decided = name.is_some_and(|name| model.is_decided(name));
            if !is_decided && !waiting.contains(local) {
                return Err(Violation(format!("P2: {local:?} {name:?} was queued and is gone")));
            }
        }
        for (row, state) in running.engine.outbox() {
            let Some((_, name)) = name_of(row) else { continue };
            if state == OutboxState::Unknown && !model.is_decided(name) {
                return Err(Violation(format!("P1: {name:?} is neither in the log nor refused")));
            }
        }
        for conversation in running.engine.conversations() {
            let id = conversation.info().id;
            let records: BTreeMap<_, _> = self.disk.records(id).map(|r| (r.seq, r)).collect();
            for record in records.values() {
                check_record(id, record, model)?;
            }
            let Some(newest) = conversation.intervals().last() else { continue };
            for seq in newest.low.0..=newest.high.0 {
                if !records.contains_key(&Seq(seq)) {
                    return Err(Violation(format!(
                        "P1: {id:?} {seq} is said to be stored and is not"
                    )));
                }
            }
        }
        Ok(())
    }
}
