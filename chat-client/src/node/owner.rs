//! The process that owns a home: it drives the engine, its store and its connection, and serves
//! every front end of the home.
//!
//! ```text
//!   front end ─┐                        ┌─ disk (thread)
//!   run.sock ──┴─ calls ─▶ engine ◀────┼─ link (TCP)
//!        ▲                   │          └─ timers
//!        └──── events ───────┘
//! ```
//!
//! The loop feeds the engine one input, drains every output in the engine's order, and only then
//! waits again. It ends when its front end closes it; what guests still wait for is finished first.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use protocol::{
    channel::keys::StaticKey,
    connection::InitiatorConfig,
    ids::{ConversationId, MessageId, RelayKey},
    invitation::RelayAddress,
    message::{RelayMessage, refusal::RefusalCode},
    time::WallTime,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::{
    PAGE_RECORDS_MAX,
    call::{
        Answer, Call, CallError, End, Event, Health, Link as LinkView, SentMessage, Status, Target,
        Until,
    },
    clock::Clock,
    disk::{Disk, Done, Job, Read, ReadId},
    handle::Pending,
    server::{Host, Server, serve},
    subscribers::Subscribers,
    view,
};
use crate::{
    engine::{
        Answer as EngineAnswer, Command, CommandError, CommandId, Dial, Disconnect, Engine,
        Event as EngineEvent, LinkStatus, OutboxState, StopReason, Target as EngineTarget,
    },
    net::{
        self, DialError,
        tcp::{Link, Stream},
    },
    store::{
        StoreFailure,
        row::{HistoryRow, LocalId},
    },
};

/// How long guests may go on after the front end of the owner has closed.
const GUESTS_GRACE: Duration = Duration::from_secs(3);
/// Names tried by itself, if nobody chose one and the first is taken: `ada2`, `ada3`, …
const NAME_SUFFIX_MAX: u32 = 20;

type Reply = oneshot::Sender<Result<Answer, CallError>>;
type Dialing = Pin<Box<dyn Future<Output = Result<Link, DialError>> + Send>>;

/// Where the relay is and who we are to it.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) relay_key: RelayKey,
    pub(super) addresses: Vec<RelayAddress>,
    pub(super) device_key: Arc<StaticKey>,
}

/// The name to register under.
#[derive(Clone, Debug)]
pub(super) struct WantedName {
    pub(super) name: String,
    /// Whether a person chose it; else a taken one is varied.
    pub(super) origin: NameOrigin,
}

/// Where a name came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameOrigin {
    /// A person typed it.
    Chosen,
    /// It is the login name.
    Default,
}

/// What other tasks of this process hold of the owner.
pub(super) struct Channels {
    pub(super) calls: mpsc::Receiver<Pending>,
    pub(super) calls_out: mpsc::Sender<Pending>,
    pub(super) closing: oneshot::Receiver<()>,
}

/// See the module.
pub(super) struct Owner {
    engine: Engine,
    clock: Clock,
    disk: Disk,
    endpoint: Endpoint,
    wanted: WantedName,
    names_tried: u32,
    /// A command was given while outputs were drained: there may be new ones.
    has_input: bool,
    dialing: Option<Dialing>,
    link: Option<Link>,
    /// Something else than the relay answered, last time.
    announced: Option<(RelayKey, String)>,
    clock_skew_ms: Option<i64>,
    subscribers: Subscribers,
    commands: BTreeMap<CommandId, Waiting>,
    sends: BTreeMap<LocalId, Sending>,
    online: Vec<Reply>,
    syncing: Vec<(ConversationId, Reply)>,
    reads: BTreeMap<ReadId, Reply>,
    next_read: u64,
}

/// Whoever waits for a message to be sent, and what is known of the message meanwhile: its row may
/// leave the outbox in the same moment.
struct Sending {
    until: Until,
    reply: Reply,
    name: Option<(ConversationId, MessageId)>,
}

/// Who waits for a command, and for what of it.
enum Waiting {
    Answer(Reply),
    Sent(Until, Reply),
    Nobody,
}

impl Owner {
    pub(super) fn new(
        engine: Engine,
        clock: Clock,
        disk: Disk,
        endpoint: Endpoint,
        wanted: WantedName,
        events: Option<mpsc::Sender<Event>>,
    ) -> Self {
        Self {
            engine,
            clock,
            disk,
            endpoint,
            wanted,
            names_tried: 1,
            has_input: false,
            dialing: None,
            link: None,
            announced: None,
            clock_skew_ms: None,
            subscribers: Subscribers::new(events),
            commands: BTreeMap::new(),
            sends: BTreeMap::new(),
            online: Vec::new(),
            syncing: Vec::new(),
            reads: BTreeMap::new(),
            next_read: 0,
        }
    }

    /// Runs until the front end closes it.
    pub(super) async fn run(mut self, server: Server, channels: Channels) {
        let Channels { mut calls, calls_out, mut closing } = channels;
        let (subscriptions, mut subscribed) = mpsc::channel(1);
        let host = Host { calls: calls_out, subscriptions, relay: self.endpoint.relay_key };
        let mut server = Some(server);
        let mut until = None;
        self.drain();
        while until.is_none_or(|until| Instant::now() < until && self.has_callers()) {
            let deadline = self.engine.poll_timeout().map(|at| self.clock.instant(at));
            let wake = [deadline, until].into_iter().flatten().min();
            tokio::select! {
                Some(pending) = calls.recv() => self.on_call(pending),
                Some(done) = self.disk.next() => self.on_disk(done),
                outcome = dialed(&mut self.dialing) => self.on_dialed(outcome),
                outcome = heard(&mut self.link), if !self.engine.is_congested() => self.on_heard(outcome),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    self.engine.handle_timeout(self.clock.now());
                }
                stream = accepted(server.as_ref()) => {
                    // Ends with the guest, or when this loop drops the receiver of its calls.
                    tokio::spawn(serve(stream, host.clone()));
                }
                Some(events) = subscribed.recv() => self.subscribers.add(events),
                _ = &mut closing, if until.is_none() => {
                    // New guests find nobody and become owners as soon as the lock is free.
                    server = None;
                    until = Some(Instant::now() + GUESTS_GRACE);
                }
            }
            self.drain();
        }
        self.hang_up();
    }

    /// True while somebody waits who has not gone away.
    fn has_callers(&self) -> bool {
        let commands = self.commands.values().any(|waiting| match waiting {
            Waiting::Answer(reply) | Waiting::Sent(_, reply) => !reply.is_closed(),
            Waiting::Nobody => false,
        });
        commands
            || self.sends.values().any(|sending| !sending.reply.is_closed())
            || self.online.iter().chain(self.reads.values()).any(|reply| !reply.is_closed())
            || self.syncing.iter().any(|(_, reply)| !reply.is_closed())
    }

    fn hang_up(&mut self) {
        let now = self.clock.now();
        self.engine.handle_command(now, Clock::wall(), Command::GoOffline);
        self.transmit();
    }

    // ---- outputs ----

    /// Takes everything out of the engine, in its order; again, while events led to commands.
    fn drain(&mut self) {
        self.has_input = true;
        while std::mem::take(&mut self.has_input) {
            self.drain_once();
        }
        self.settle_online();
        self.settle_synced();
    }

    fn drain_once(&mut self) {
        while let Some((ticket, request)) = self.engine.poll_store() {
            if self.disk.request(Job::Perform(ticket, request)).is_err() {
                let busy = StoreFailure::Unusable("too many requests wait".to_owned());
                self.engine.handle_stored(self.clock.now(), ticket, Err(busy));
            }
        }
        self.transmit();
        while let Some(dial) = self.engine.poll_dial() {
            match dial {
                Dial::Connect => self.connect(),
                Dial::Disconnect => (self.dialing, self.link) = (None, None),
            }
        }
        self.name_sends();
        while let Some(event) = self.engine.poll_event() {
            self.on_event(event);
        }
    }

    fn name_sends(&mut self) {
        if self.sends.values().all(|sending| sending.name.is_some()) {
            return;
        }
        let device = self.engine.identity().device;
        for (row, _) in self.engine.outbox() {
            if let Some(sending) = self.sends.get_mut(&row.local)
                && let Some(encoded) = row.encoded()
            {
                let id = MessageId { device, counter: encoded.counter };
                sending.name = Some((encoded.conversation, id));
            }
        }
    }

    fn transmit(&mut self) {
        let Some(link) = &mut self.link else { return };
        let sealed = link.seal(|| self.engine.poll_transmit());
        let outcome = sealed
            .map_err(|error| error.to_string())
            .and_then(|()| link.flush().map_err(|error| error.to_string()));
        if let Err(why) = outcome {
            self.lose(why);
        }
    }

    fn connect(&mut self) {
        let config =
            InitiatorConfig::new(self.endpoint.relay_key, Arc::clone(&self.endpoint.device_key));
        let addresses = self.endpoint.addresses.clone();
        self.dialing = Some(Box::pin(async move { net::dial(&addresses, &config).await }));
    }

    fn lose(&mut self, why: String) {
        self.link = None;
        self.engine.handle_disconnected(self.clock.now(), Disconnect::Lost(why));
    }

    // ---- inputs ----

    fn on_dialed(&mut self, outcome: Result<Link, DialError>) {
        self.dialing = None;
        let now = self.clock.now();
        match outcome {
            Ok(link) => {
                self.announced = None;
                self.link = Some(link);
                self.engine.handle_connected(now);
            }
            Err(error) => {
                self.announced = error
                    .announced()
                    .map(|(beacon, address)| (beacon.relay_key, address.to_string()));
                let why = if error.is_hopeless() {
                    Disconnect::Hopeless(error.to_string())
                } else {
                    Disconnect::Unreachable(error.to_string())
                };
                self.engine.handle_disconnected(now, why);
            }
        }
    }

    fn on_heard(&mut self, outcome: std::io::Result<Stream>) {
        let Some(link) = &mut self.link else { return };
        let now = self.clock.now();
        // What came before the end counts: a refusal is often the last thing said.
        let wall = Clock::wall();
        let received = link.receive(|message| {
            if let RelayMessage::Welcome(welcome) = &message {
                self.clock_skew_ms = Some(difference_ms(welcome.now, wall));
            }
            self.engine.handle_message(now, message)
        });
        match (received, outcome) {
            (Err(error), _) => self.lose(error.to_string()),
            (Ok(()), Ok(Stream::Ended)) => self.lose("the relay closed the connection".to_owned()),
            (Ok(()), Err(error)) => self.lose(error.to_string()),
            (Ok(()), Ok(Stream::Open)) => {}
        }
    }

    fn on_disk(&mut self, done: Done) {
        match done {
            Done::Performed(ticket, outcome) => {
                self.engine.handle_stored(self.clock.now(), ticket, outcome);
            }
            Done::Read(id, outcome) => {
                if let Some(reply) = self.reads.remove(&id) {
                    answer(reply, self.page(outcome));
                }
            }
        }
    }

    fn page(&self, rows: Result<Vec<HistoryRow>, StoreFailure>) -> Result<Answer, CallError> {
        let rows = rows.map_err(|failure| CallError::Store { why: failure.to_string() })?;
        let lines = rows.into_iter().map(|row| view::line(&self.engine, row)).collect();
        Ok(Answer::Page { lines })
    }

    fn on_call(&mut self, Pending { call, answer: reply }: Pending) {
        match call {
            Call::Status => answer(reply, Ok(Answer::Status(Box::new(self.status())))),
            Call::Online => {
                self.hurry();
                self.online.push(reply);
            }
            Call::Synced { conversation } => self.syncing.push((conversation, reply)),
            Call::Conversations => {
                let conversations = self.engine.conversations().map(view::conversation).collect();
                answer(reply, Ok(Answer::Conversations { conversations }));
            }
            Call::Find { target } => answer(reply, self.find(&target)),
            Call::Send { to, draft, until } => {
                let target = match to {
                    Target::Room(name) => EngineTarget::Room(name),
                    Target::Person(name) => EngineTarget::Person(name),
                    Target::Id(id) => EngineTarget::Conversation(id),
                };
                self.hurry();
                self.command(Command::Send { target, draft }, Waiting::Sent(until, reply));
            }
            Call::Outbox => {
                let now = self.clock.now();
                let rows = self.engine.outbox();
                let view = |(row, state)| view::outbox(&self.engine, now, row, state);
                let messages = rows.map(view).collect();
                answer(reply, Ok(Answer::Outbox { messages }));
            }
            Call::Page { conversation, at, count } => {
                let count = count.min(PAGE_RECORDS_MAX);
                self.read(Read::Page { conversation, at, count }, reply);
            }
            Call::Amends { conversation, from, to } => {
                self.read(Read::Amends { conversation, from, to }, reply);
            }
            Call::Health => answer(reply, Ok(Answer::Health(Box::new(self.health())))),
            Call::Cancel { local } => self.ask(Command::CancelQueued { local }, reply),
            Call::Older { conversation } => self.ask(Command::Older { conversation }, reply),
            Call::Join { room } => self.ask(Command::Join { room }, reply),
            Call::Create { room, topic, access } => {
                let nonce = protocol::entropy::Entropy::system().bytes();
                self.ask(Command::CreateRoom { name: room, topic, access, nonce }, reply);
            }
            Call::OpenDirect { name } => self.ask(Command::OpenDirect { name }, reply),
            Call::Leave { conversation } => self.ask(Command::Leave { conversation }, reply),
            Call::Ask { request } => self.ask(Command::Ask(request), reply),
            Call::Read { conversation, seq } => {
                self.ask(Command::Read { conversation, seq }, reply);
            }
            Call::Show { conversations } => self.ask(Command::Show { conversations }, reply),
            Call::Watch { accounts } => self.ask(Command::Watch { accounts }, reply),
            Call::Typing { conversation } => self.ask(Command::Typing { conversation }, reply),
            Call::SaveDraft { conversation, text } => {
                self.ask(Command::SaveDraft { conversation, text }, reply);
            }
            Call::Audit { conversation } => self.ask(Command::Audit { conversation }, reply),
            Call::AcceptName { name, account } => {
                self.ask(Command::AcceptName { name, account }, reply);
            }
            Call::Register { name } => {
                self.wanted = WantedName { name: name.clone(), origin: NameOrigin::Chosen };
                let ticket = self.engine.identity().ticket.clone();
                self.ask(Command::Register { name, ticket }, reply);
            }
            Call::Reconnect => self.ask(Command::Reconnect, reply),
        }
    }

    fn ask(&mut self, command: Command, reply: Reply) {
        self.command(command, Waiting::Answer(reply));
    }

    fn command(&mut self, command: Command, waiting: Waiting) {
        let id = self.engine.handle_command(self.clock.now(), Clock::wall(), command);
        self.commands.insert(id, waiting);
        self.has_input = true;
    }

    /// Somebody wants the relay now: no use in waiting for the next try by itself.
    fn hurry(&mut self) {
        if matches!(self.engine.status().link, LinkStatus::Waiting { .. }) {
            self.command(Command::Reconnect, Waiting::Nobody);
        }
    }

    fn read(&mut self, read: Read, reply: Reply) {
        let id = ReadId(self.next_read);
        self.next_read += 1;
        match self.disk.request(Job::Read(id, read)) {
            Ok(()) => {
                self.reads.insert(id, reply);
            }
            Err(_) => {
                answer(reply, Err(CallError::Store { why: "too many requests wait".to_owned() }));
            }
        }
    }

    fn find(&self, target: &Target) -> Result<Answer, CallError> {
        let found = self.engine.conversations().find(|known| match target {
            Target::Id(id) => known.id() == *id,
            Target::Room(name) => {
                known.info().peer.is_none() && is_same_name(&known.info().name, name)
            }
            Target::Person(name) => {
                known.info().peer.as_ref().is_some_and(|peer| is_same_name(&peer.name, name))
            }
        });
        found
            .map(|known| Answer::Conversation(Box::new(view::conversation(known))))
            .ok_or_else(|| CallError::NotFound { what: target.to_string() })
    }

    // ---- events ----

    fn on_event(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::StatusChanged | EngineEvent::ConversationsListed => self.on_status(),
            EngineEvent::ConversationChanged(id) => self.tell_conversation(id),
            EngineEvent::ConversationGone { conversation, refusal } => {
                self.subscribers.tell(&Event::Gone { conversation, refusal });
            }
            EngineEvent::Appended { conversation, from, to }
            | EngineEvent::Backfilled { conversation, from, to } => {
                self.subscribers.tell(&Event::Appended { conversation, from, to });
            }
            EngineEvent::Outbox { local, state } => self.on_outbox(local, state),
            EngineEvent::Progress { conversation, members } => {
                self.subscribers.tell(&Event::Progress { conversation, members });
            }
            EngineEvent::ProgressCount(count) => self.subscribers.tell(&Event::ProgressCount {
                conversation: count.conversation,
                seq: count.seq,
                received: count.received,
                read: count.read,
                of: count.of,
            }),
            EngineEvent::Typing { conversation, account } => {
                if let Some(who) = self.engine.person(account).cloned() {
                    self.subscribers.tell(&Event::Typing { conversation, who });
                }
            }
            EngineEvent::Presence(accounts) => {
                self.subscribers.tell(&Event::Presence { accounts });
            }
            EngineEvent::PresenceCount { conversation, online } => {
                self.subscribers.tell(&Event::PresenceCount { conversation, online });
            }
            // Lines carry their senders' names, so what is on screen has to be read again.
            EngineEvent::PeopleChanged(_) => self.subscribers.tell(&Event::Missed),
            EngineEvent::Notice(notice) => {
                self.subscribers.tell(&view::notice(&self.engine, notice));
            }
            EngineEvent::Done { id, result } => self.on_done(id, result),
        }
    }

    fn on_status(&mut self) {
        self.vary_name();
        let status = self.status();
        match &status.link {
            LinkView::Offline { why, .. } if !why.is_empty() => self.give_up_sends(why),
            LinkView::Untrusted { .. } => self.give_up_sends(""),
            LinkView::Stopped { why, .. } => self.give_up_sends(why),
            LinkView::Offline { .. }
            | LinkView::Connecting
            | LinkView::Syncing
            | LinkView::Online { .. } => {}
        }
        self.subscribers.tell(&Event::Status(Box::new(status)));
    }

    /// The login name is taken here by somebody else: nobody chose it, so another will do.
    fn vary_name(&mut self) {
        let status = self.engine.status();
        let LinkStatus::Stopped(StopReason::Refused(refusal)) = &status.link else { return };
        let may_vary = self.wanted.origin == NameOrigin::Default
            && status.account.is_none()
            && refusal.code == RefusalCode::NAME_TAKEN
            && self.names_tried < NAME_SUFFIX_MAX;
        if may_vary {
            self.names_tried += 1;
            let name = format!("{}{}", self.wanted.name, self.names_tried);
            let ticket = self.engine.identity().ticket.clone();
            self.command(Command::Register { name, ticket }, Waiting::Nobody);
        }
    }

    fn give_up_sends(&mut self, why: &str) {
        let impatient: Vec<_> = self
            .sends
            .iter()
            .filter(|(_, sending)| sending.until == Until::SentUnlessOffline)
            .map(|(local, _)| *local)
            .collect();
        for local in impatient {
            if let Some(sending) = self.sends.remove(&local) {
                answer(sending.reply, Err(self.no_relay(why)));
            }
        }
    }

    fn tell_conversation(&mut self, id: ConversationId) {
        if let Some(known) = self.engine.conversation(id) {
            self.subscribers.tell(&Event::Conversation(Box::new(view::conversation(known))));
        }
    }

    fn on_outbox(&mut self, local: LocalId, state: OutboxState) {
        if matches!(state, OutboxState::Cancelled) {
            self.subscribers.tell(&Event::OutboxGone { local });
        } else if let Some((row, state)) = self.engine.outbox().find(|(row, _)| row.local == local)
        {
            let view = view::outbox(&self.engine, self.clock.now(), row, state);
            self.subscribers.tell(&Event::Outbox(Box::new(view)));
        }
        if is_final(&state)
            && let Some(Sending { reply, name, .. }) = self.sends.remove(&local)
        {
            answer(reply, settled(local, name, state));
        }
    }

    fn on_done(&mut self, id: CommandId, result: Result<EngineAnswer, CommandError>) {
        match self.commands.remove(&id) {
            Some(Waiting::Answer(reply)) => answer(reply, self.answer_of(result)),
            Some(Waiting::Sent(until, reply)) => self.on_queued(until, reply, result),
            Some(Waiting::Nobody) | None => {}
        }
    }

    fn on_queued(
        &mut self,
        until: Until,
        reply: Reply,
        result: Result<EngineAnswer, CommandError>,
    ) {
        match (until, result) {
            (Until::SentUnlessOffline | Until::Sent, Ok(EngineAnswer::Queued(local))) => {
                self.sends.insert(local, Sending { until, reply, name: None });
                self.name_sends();
                if let LinkView::Stopped { why, .. } = self.link_view() {
                    self.give_up_sends(&why);
                }
            }
            (Until::Queued | Until::SentUnlessOffline | Until::Sent, result) => {
                answer(reply, self.answer_of(result));
            }
        }
    }

    fn answer_of(&self, result: Result<EngineAnswer, CommandError>) -> Result<Answer, CallError> {
        Ok(match result.map_err(view::error)? {
            EngineAnswer::Done => Answer::Done,
            EngineAnswer::Queued(local) => Answer::Queued { local },
            EngineAnswer::Conversation(info) => match self.engine.conversation(info.id) {
                Some(known) => Answer::Conversation(Box::new(view::conversation(known))),
                None => Answer::Conversation(Box::new(view::outside(*info))),
            },
            EngineAnswer::Reply(reply) => Answer::Reply { reply: *reply },
            EngineAnswer::Older { low, end } => {
                Answer::Fetched { low, older: if end { End::Reached } else { End::More } }
            }
            EngineAnswer::Audited(report) => {
                Answer::Audited { records: report.records, differs_at: report.differs_at }
            }
        })
    }

    // ---- status ----

    /// Tells those who wait for the relay once it is clear whether it is there.
    fn settle_online(&mut self) {
        if self.online.is_empty() {
            return;
        }
        let status = self.status();
        let outcome = match &status.link {
            LinkView::Connecting | LinkView::Syncing => return,
            // Before the first try there is nothing to say.
            LinkView::Offline { why, .. } if why.is_empty() => return,
            LinkView::Offline { why, .. } | LinkView::Stopped { why, .. } => {
                Err(self.no_relay(why))
            }
            LinkView::Untrusted { .. } => Err(self.no_relay("")),
            LinkView::Online { .. } => Ok(Answer::Status(Box::new(status))),
        };
        for reply in self.online.drain(..) {
            answer(reply, outcome.clone());
        }
    }

    /// Tells those who wait for a conversation once it is here, or will not come.
    fn settle_synced(&mut self) {
        for (id, reply) in std::mem::take(&mut self.syncing) {
            let outcome = match (self.link_view(), self.engine.conversation(id)) {
                (LinkView::Offline { why, .. } | LinkView::Stopped { why, .. }, _) => {
                    Err(self.no_relay(&why))
                }
                (LinkView::Untrusted { .. }, _) => Err(self.no_relay("")),
                (_, None) => Err(CallError::NotFound { what: Target::Id(id).to_string() }),
                (_, Some(known)) if !known.is_readable() => Ok(Answer::Done),
                (LinkView::Online { .. }, Some(known))
                    if known.is_live() && known.received() >= known.info().head =>
                {
                    Ok(Answer::Done)
                }
                (LinkView::Connecting | LinkView::Syncing | LinkView::Online { .. }, Some(_)) => {
                    self.syncing.push((id, reply));
                    continue;
                }
            };
            answer(reply, outcome);
        }
    }

    fn status(&self) -> Status {
        let status = self.engine.status();
        Status {
            account: status.account,
            wanted_name: self.wanted.name.clone(),
            device: self.engine.identity().device,
            relay_name: status.relay_name.unwrap_or_default(),
            relay_key: self.endpoint.relay_key,
            addresses: self.endpoint.addresses.iter().map(ToString::to_string).collect(),
            link: self.link_view(),
        }
    }

    fn link_view(&self) -> LinkView {
        match self.engine.status().link {
            LinkStatus::Waiting { until, why } => match (&self.announced, why) {
                (Some((announced, address)), _) => {
                    LinkView::Untrusted { announced: *announced, address: address.clone() }
                }
                (None, why) => LinkView::Offline {
                    why: why.as_ref().map(reason).unwrap_or_default(),
                    retry_in_ms: Some(view::millis(until, self.clock.now())),
                },
            },
            LinkStatus::Connecting | LinkStatus::Attaching => LinkView::Connecting,
            LinkStatus::Live if !self.engine.is_listed() => LinkView::Syncing,
            LinkStatus::Live => LinkView::Online {
                address: self.link.as_ref().map(|link| link.peer().to_string()).unwrap_or_default(),
            },
            LinkStatus::Stopped(reason) => match reason {
                StopReason::Superseded => LinkView::Stopped {
                    why: "another session of this device took over".to_owned(),
                    refusal: None,
                },
                StopReason::Refused(refusal) => {
                    LinkView::Stopped { why: refusal.to_string(), refusal: Some(refusal) }
                }
                StopReason::Hopeless(why) => LinkView::Stopped { why, refusal: None },
                StopReason::Offline => {
                    LinkView::Stopped { why: "taken offline".to_owned(), refusal: None }
                }
            },
        }
    }

    /// Why there is no relay for whoever needs it now.
    fn no_relay(&self, why: &str) -> CallError {
        if let LinkStatus::Stopped(StopReason::Refused(refusal)) = self.engine.status().link {
            return CallError::Refused { refusal };
        }
        match &self.announced {
            Some((announced, address)) => {
                CallError::Untrusted { announced: *announced, address: address.clone() }
            }
            None => CallError::Offline { why: why.to_owned() },
        }
    }

    fn health(&self) -> Health {
        Health {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            clock_skew_ms: self.clock_skew_ms,
            outbox: self.engine.outbox().count(),
            socket: self.link.as_ref().map(Link::options).unwrap_or_default(),
        }
    }
}

fn difference_ms(theirs: WallTime, ours: WallTime) -> i64 {
    let (theirs, ours) = (i128::from(theirs.as_millis()), i128::from(ours.as_millis()));
    i64::try_from(theirs - ours).unwrap_or(i64::MAX)
}

fn is_final(state: &OutboxState) -> bool {
    match state {
        OutboxState::Queued | OutboxState::Slowed { .. } => false,
        OutboxState::Held { .. }
        | OutboxState::Sent { .. }
        | OutboxState::Unknown
        | OutboxState::Failed(_)
        | OutboxState::Cancelled => true,
    }
}

/// What whoever waits for a message is told, once there is something final to tell.
fn settled(
    local: LocalId,
    name: Option<(ConversationId, MessageId)>,
    state: OutboxState,
) -> Result<Answer, CallError> {
    let invalid = |why: &str| Err(CallError::Invalid { why: why.to_owned() });
    match (state, name) {
        (OutboxState::Sent { seq, time }, Some((conversation, id))) => {
            Ok(Answer::Sent(SentMessage { local, conversation, id, seq, time }))
        }
        (OutboxState::Held { pinned, now }, _) => {
            Err(CallError::NameChanged { name: now.name.clone(), known: pinned, now: now.account })
        }
        (OutboxState::Failed(refusal), _) => Err(CallError::Refused { refusal }),
        (OutboxState::Cancelled, _) => invalid("the message was taken back"),
        (OutboxState::Unknown, _) => {
            invalid("the relay decided on it earlier and no longer knows how")
        }
        // A message is never sent before it has its number, and not final while it waits.
        (OutboxState::Sent { .. }, None)
        | (OutboxState::Queued | OutboxState::Slowed { .. }, _) => Ok(Answer::Queued { local }),
    }
}

fn reason(why: &Disconnect) -> String {
    match why {
        Disconnect::Unreachable(why) | Disconnect::Lost(why) | Disconnect::Hopeless(why) => {
            why.clone()
        }
        Disconnect::Goodbye(refusal) => refusal.to_string(),
    }
}

/// Names compare as the relay compares them, as far as case goes; the relay knows the rest.
fn is_same_name(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// Whoever asked may have stopped waiting.
fn answer(reply: Reply, outcome: Result<Answer, CallError>) {
    let _ = reply.send(outcome);
}

/// The end of the attempt under way; never, if there is none.
async fn dialed(dialing: &mut Option<Dialing>) -> Result<Link, DialError> {
    match dialing {
        Some(dialing) => dialing.await,
        None => std::future::pending().await,
    }
}

/// New bytes on the connection, or its end; never, if there is none.
async fn heard(link: &mut Option<Link>) -> std::io::Result<Stream> {
    match link {
        Some(link) => link.ready().await,
        None => std::future::pending().await,
    }
}

/// The next guest; never, once the server is closed.
async fn accepted(server: Option<&Server>) -> tokio::net::UnixStream {
    match server {
        Some(server) => server.accept().await,
        None => std::future::pending().await,
    }
}
