//! The client's mind, without hands: what to send, what is stored, what to show (P1, P2).
//!
//! ```text
//!   commands ─▶ ┌────────────────────────────────┐ ─▶ events        views, commands, bots
//!   messages ─▶ │ outbox   what is to be said    │ ─▶ messages      the connection
//!   stored   ─▶ │ reading  what was said         │ ─▶ store requests
//!   timeouts ─▶ │ roster   who said it           │ ─▶ dial wishes, next deadline
//!               └────────────────────────────────┘
//! ```
//!
//! [`Engine`] is a value. A driver feeds one input, then drains `poll_store`, `poll_transmit`,
//! `poll_dial` and `poll_event` until `None`, asks `poll_timeout`, and waits. Two rules carry the
//! promises: a message is transmitted only once its bytes are durable in the outbox, and records
//! are reported as received only once they are durable in the history.
//!
//! Start reading at [`outbox`] for sending, at [`reading`] for receiving, at [`cursor`] and
//! [`fork`] for what they rest on. Everything is offline first: a view can be drawn from
//! [`Engine::new`] and the store before any packet.

pub mod command;
pub mod event;

mod asking;
mod contacts;
mod conversation;
mod cursor;
mod fork;
mod journal;
mod link;
mod outbox;
mod reading;
mod rebasing;
mod roster;
mod sending;
mod session;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use protocol::{
    entropy::SimRng,
    ids::{AccountId, ConversationId, DeviceId, LogId},
    limits::BODY_BYTES_MAX,
    message::{
        ClientMessage, RelayMessage,
        room::{AccountInfo, Presence},
        session::{Attach, Register},
    },
    time::{Timestamp, WallTime},
};

use self::{
    asking::Purpose,
    contacts::Contacts,
    conversation::{Regained, Stream},
    journal::{Journal, Outcome, Recovered, Then},
    link::{Due, Link},
    outbox::Outbox,
    roster::Roster,
};
pub use self::{
    command::{Answer, AuditReport, Command, CommandError, CommandId, Target},
    conversation::Conversation,
    event::{
        Dial, Disconnect, Event, LinkStatus, Notice, OutboxState, ProtocolViolation, Status,
        StopReason,
    },
    journal::{Ticket, UNSAVED_BYTES_MAX},
    outbox::OUTBOX_ENTRIES_MAX,
};
use crate::store::{Change, Loaded, StoreFailure, StoreRequest, Stored, row::OutboxRow};

/// Who we are: fixed for the life of a home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// This installation.
    pub device: DeviceId,
    /// The encoded [`GenesisLink`](protocol::message::account::GenesisLink) of our account, with
    /// this device as its first.
    pub genesis: Vec<u8>,
    /// This device's signature over it.
    pub genesis_signature: Vec<u8>,
    /// The name to ask for when founding the account, without `@`.
    pub name: String,
    /// From an invitation; empty without one.
    pub ticket: Vec<u8>,
}

impl Identity {
    /// Our account: it follows from its genesis, before any relay knows it.
    pub fn account(&self) -> AccountId {
        AccountId::of_genesis(&self.genesis)
    }
}

/// What a program may choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Program and version, for the relay's log.
    pub client: String,
    /// After a long absence a conversation begins with its newest this many records.
    pub newest: u32,
    /// Records in one page of older ones.
    pub page: u32,
    /// What to fetch without being asked.
    pub backfill: Backfill,
}

impl EngineConfig {
    /// Enough records to fill the largest screen and to answer most jumps back.
    pub const NEWEST: u32 = 256;
}

impl Default for EngineConfig {
    fn default() -> Self {
        let client = concat!("chat-client ", env!("CARGO_PKG_VERSION")).into();
        Self { client, newest: Self::NEWEST, page: Self::NEWEST, backfill: Backfill::Gaps }
    }
}

/// What older records are fetched without being asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backfill {
    /// None.
    OnDemand,
    /// Those missed between two visits: then everything since the first visit is here.
    Gaps,
}

/// The engine: see the module's documentation for how to drive it.
#[derive(Debug)]
pub struct Engine {
    identity: Identity,
    config: EngineConfig,
    account: Option<AccountInfo>,
    log_id: Option<LogId>,
    /// The relay's incarnation in this session, until every conversation agrees with it.
    log_id_to_confirm: Option<LogId>,
    relay_name: Option<String>,
    body_bytes_max: usize,
    /// Conversations that the relay still has to name after its welcome.
    to_list: Option<u32>,
    link: Link,
    journal: Journal,
    outbox: Outbox,
    roster: Roster,
    contacts: Contacts,
    conversations: BTreeMap<ConversationId, Conversation>,
    presence: BTreeMap<AccountId, Presence>,
    /// How long the last question to the relay took, in this session.
    round_trip: Option<Duration>,
    requests: BTreeMap<u32, Purpose>,
    last_request: u32,
    last_pull: u32,
    /// Commands that wait for a session.
    waiting: VecDeque<(CommandId, Command)>,
    last_command: u64,
    audits: BTreeMap<ConversationId, asking::Audit>,
    shown: Vec<ConversationId>,
    watched: Vec<AccountId>,
    /// Conversations that may have something to report or to offer.
    to_mark: BTreeSet<ConversationId>,
    outgoing: VecDeque<ClientMessage<'static>>,
    events: VecDeque<Event>,
}

impl Engine {
    /// An engine that continues from what the store has. `rng` only spreads retries in time.
    pub fn new(identity: Identity, loaded: Loaded, config: EngineConfig, rng: SimRng) -> Self {
        let conversations = loaded
            .conversations
            .into_iter()
            .map(|stored| (stored.info.id, Conversation::load(stored)))
            .collect();
        Self {
            identity,
            config,
            account: loaded.account,
            log_id: loaded.log_id,
            log_id_to_confirm: None,
            relay_name: None,
            body_bytes_max: BODY_BYTES_MAX,
            to_list: None,
            link: Link::new(rng),
            journal: Journal::default(),
            outbox: Outbox::load(loaded.outbox, loaded.next_local, loaded.next_counter),
            roster: Roster::load(loaded.people, loaded.devices, loaded.pins),
            contacts: Contacts::default(),
            conversations,
            presence: BTreeMap::new(),
            round_trip: None,
            requests: BTreeMap::new(),
            last_request: 0,
            last_pull: 0,
            waiting: VecDeque::new(),
            last_command: 0,
            audits: BTreeMap::new(),
            shown: Vec::new(),
            watched: Vec::new(),
            to_mark: BTreeSet::new(),
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    // ---- inputs ----

    /// The channel stands: says who we are. What there is to say and to ask follows the welcome.
    pub fn handle_connected(&mut self, now: Timestamp) {
        if self.link.is_stopped() {
            return;
        }
        self.link.connected(now);
        let register = self.account.is_none().then(|| Register {
            name: self.identity.name.clone(),
            genesis: self.identity.genesis.clone().into(),
            signature: self.identity.genesis_signature.clone().into(),
            ticket: self.identity.ticket.clone().into(),
        });
        let client = self.config.client.clone();
        let attach = Attach { register, client, ext: protocol::message::ext::Ext::none() };
        self.outgoing.push_back(ClientMessage::Attach(attach));
        self.events.push_back(Event::StatusChanged);
    }

    /// Takes one message from the relay.
    ///
    /// # Errors
    ///
    /// If the relay broke the protocol: drop the connection and say so with
    /// [`Self::handle_disconnected`].
    pub fn handle_message(
        &mut self,
        now: Timestamp,
        message: RelayMessage<'_>,
    ) -> Result<(), ProtocolViolation> {
        self.link.heard(now);
        match message {
            RelayMessage::Welcome(welcome) => return self.on_welcome(now, welcome),
            RelayMessage::Goodbye(goodbye) => {
                self.on_goodbye(now, goodbye.refusal);
                return Ok(());
            }
            RelayMessage::Pong(pong) => {
                // It is our own clock that comes back, if the relay is honest.
                let sent = Timestamp::from_micros(pong.token);
                self.round_trip = (sent <= now).then(|| now.since(sent));
                self.events.push_back(Event::StatusChanged);
                return Ok(());
            }
            RelayMessage::Unknown(_) => return Ok(()),
            _ if self.link.is_attaching() => return Err(ProtocolViolation::OutOfTurn),
            // What was under way when we hung up.
            _ if !self.link.is_live() => return Ok(()),
            RelayMessage::Conversation(info) => self.on_conversation(info),
            RelayMessage::ConversationGone(gone) => self.on_conversation_gone(&gone),
            RelayMessage::Following(following) => self.on_following(now, following)?,
            RelayMessage::Forked(forked) => self.on_forked(forked.conversation, forked.head),
            RelayMessage::Records(records) => self.on_records(now, &records)?,
            RelayMessage::Page(page) => self.on_page(now, &page)?,
            RelayMessage::Accepted(accepted) => self.on_accepted(&accepted),
            RelayMessage::Rejected(rejected) => self.on_rejected(now, rejected),
            RelayMessage::Progress(progress) => self.on_progress(progress),
            RelayMessage::ProgressCount(count) => {
                if let Some(conversation) = self.conversations.get_mut(&count.conversation) {
                    conversation.progress_count = Some(count);
                    self.events.push_back(Event::ProgressCount(count));
                }
            }
            RelayMessage::Typing(by) => {
                let (conversation, account) = (by.conversation, by.account);
                self.events.push_back(Event::Typing { conversation, account });
            }
            RelayMessage::Presence(changed) => {
                self.presence.extend(changed.accounts.iter().copied());
                self.events.push_back(Event::Presence(changed.accounts));
            }
            RelayMessage::PresenceCount(count) => {
                let (conversation, online) = (count.conversation, count.online);
                self.events.push_back(Event::PresenceCount { conversation, online });
            }
            RelayMessage::People(people) => self.on_people(&people.accounts),
            RelayMessage::Reply(id, outcome) => self.on_reply(now, id, outcome),
        }
        Ok(())
    }

    /// The connection ended without our wish, or never began.
    pub fn handle_disconnected(&mut self, now: Timestamp, why: Disconnect) {
        if self.link.disconnected(now, why) {
            self.end_session(now);
        }
    }

    /// The store did what `poll_store` asked for, or could not.
    pub fn handle_stored(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        outcome: Result<Stored, StoreFailure>,
    ) {
        let failed_before = self.journal.failing().cloned();
        match self.journal.handle_stored(now, ticket, outcome) {
            Outcome::Durable(thens, recovered) => {
                if recovered == Recovered::Yes {
                    self.events.push_back(Event::Notice(Notice::StoreRecovered));
                    self.events.push_back(Event::StatusChanged);
                }
                for then in thens {
                    self.on_durable(now, then);
                }
            }
            Outcome::Found(query, found) => self.on_found(query, found),
            Outcome::Failed(failure) => {
                if failed_before.as_ref() != Some(&failure) {
                    self.events.push_back(Event::Notice(Notice::StoreFailing(failure)));
                    self.events.push_back(Event::StatusChanged);
                }
            }
            Outcome::Stale => {}
        }
    }

    /// Takes a person's wish. The `Done` event with the same id says what came of it. `wall` is the
    /// device's clock: it goes into messages as *composed at* and is never used for order.
    pub fn handle_command(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        command: Command,
    ) -> CommandId {
        self.last_command += 1;
        let id = CommandId(self.last_command);
        self.on_command(now, wall, id, command);
        id
    }

    /// The time that [`Self::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let was_waiting = self.link.status();
        match self.link.handle_timeout(now) {
            Due::Nothing => {
                if self.link.status() != was_waiting {
                    self.events.push_back(Event::StatusChanged);
                }
            }
            Due::Ping => self.ping(now),
            Due::Dead => self.end_session(now),
        }
        self.journal.handle_timeout(now);
        self.resume_slowed(now);
        if self.roster.handle_timeout(now) {
            self.announce_all(now);
        }
        self.retry_contacts(now);
        self.send_marks(now);
    }

    // ---- outputs ----

    /// The next request for the store; one is out at a time. Answer it with
    /// [`Self::handle_stored`].
    pub fn poll_store(&mut self) -> Option<(Ticket, StoreRequest)> {
        self.journal.poll()
    }

    /// The next message for the relay. Nothing is lost if the connection dies before it is sent.
    pub fn poll_transmit(&mut self) -> Option<ClientMessage<'static>> {
        if !self.link.is_live() && !self.link.is_attaching() {
            // A goodbye of ours may still be queued behind the decision to leave.
            return self.outgoing.pop_front();
        }
        self.outgoing.pop_front().or_else(|| self.next_offer())
    }

    /// What to do about the connection.
    pub fn poll_dial(&mut self) -> Option<Dial> {
        self.link.poll_dial()
    }

    /// What changed.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        [
            self.link.poll_timeout(),
            self.journal.poll_timeout(),
            self.outbox.poll_timeout(),
            self.roster.poll_timeout(),
            self.contacts.poll_timeout(),
            self.next_mark(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    // ---- queries ----

    /// How things stand with the relay and the disk.
    pub fn status(&self) -> Status {
        Status {
            link: self.link.status(),
            account: self.account.clone(),
            relay_name: self.relay_name.clone(),
            round_trip: self.round_trip.filter(|_| self.link.is_live()),
            store: self.journal.failing().cloned(),
        }
    }

    /// Who we are.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Every conversation known here, by id.
    pub fn conversations(&self) -> impl Iterator<Item = &Conversation> {
        self.conversations.values()
    }

    /// One conversation.
    pub fn conversation(&self, id: ConversationId) -> Option<&Conversation> {
        self.conversations.get(&id)
    }

    /// True once the relay has named every conversation of the account in this session.
    pub const fn is_listed(&self) -> bool {
        matches!(self.to_list, Some(0))
    }

    /// Messages of this device that are not in the history yet, oldest first, and their state.
    pub fn outbox(&self) -> impl Iterator<Item = (&OutboxRow, OutboxState)> {
        self.outbox.rows().map(|row| (row, self.outbox_state(row)))
    }

    /// Who made what this device made; `None` if it has not been looked up.
    pub fn sender(&self, device: DeviceId) -> Option<&AccountInfo> {
        if device == self.identity.device {
            return self.account.as_ref();
        }
        self.roster.sender(device)
    }

    /// What a person is called; `None` if never heard of.
    pub fn person(&self, account: AccountId) -> Option<&AccountInfo> {
        let own = self.account.as_ref().filter(|own| own.account == account);
        own.or_else(|| self.roster.person(account))
    }

    /// Whoever is called this, in any case, as far as is known here.
    pub fn accounts_named(&self, name: &str) -> Vec<AccountId> {
        let own = self.account.iter().filter(|own| own.name.to_lowercase() == name.to_lowercase());
        own.map(|own| own.account).chain(self.roster.accounts_named(name)).collect()
    }

    /// Whether a watched person is there, as far as the relay said.
    pub fn presence(&self, account: AccountId) -> Presence {
        self.presence.get(&account).copied().unwrap_or(Presence::UNKNOWN)
    }

    /// True while so much waits for the disk that the driver should stop reading from the relay.
    pub fn is_congested(&self) -> bool {
        self.journal.is_congested()
    }

    /// True if no question of anybody waits for the relay's answer: a new connection may take the
    /// place of this one, and only what is said again by itself is said again.
    pub fn is_unasked(&self) -> bool {
        self.requests.is_empty() && self.audits.is_empty()
    }

    /// True if nothing waits for the disk: what the store has is what is known here.
    pub fn is_saved(&self) -> bool {
        self.journal.is_idle()
    }

    /// True if nothing is undecided and nothing waits for the disk: a program may end now without
    /// leaving work for its next start.
    pub fn is_settled(&self) -> bool {
        self.is_saved() && self.outbox.lanes().next().is_none()
    }

    // ---- reactions ----

    fn on_durable(&mut self, now: Timestamp, then: Then) {
        match then {
            Then::Release(local, counter) => self.outbox.release(local, counter),
            Then::Settled(conversation, counter) => self.outbox.settle(conversation, counter),
            Then::Stored(filed) => self.on_filed(now, filed),
            Then::Emit(event) => self.events.push_back(event),
            Then::Answer(id, answer) => self.done(id, Ok(answer)),
        }
    }

    fn done(&mut self, id: CommandId, result: Result<Answer, CommandError>) {
        self.events.push_back(Event::Done { id, result });
    }

    /// Answers once everything decided so far is durable.
    fn done_when_durable(&mut self, id: CommandId, answer: Answer) {
        self.journal.then(Then::Answer(id, answer));
    }

    fn emit_when_durable(&mut self, event: Event) {
        self.journal.then(Then::Emit(event));
    }

    fn change(&mut self, change: Change) {
        self.journal.push(change);
    }

    /// True if messages may be offered to a conversation: not where it is not known what they would
    /// mean, and not before it is known that the relay's
    /// log is the one our numbers belong to.
    fn may_offer(&self, id: ConversationId) -> bool {
        if self.conversations.get(&id).is_some_and(|conversation| !conversation.is_understood()) {
            return false;
        }
        match self.conversations.get(&id).map(|conversation| &conversation.stream) {
            Some(Stream::Live { .. }) => true,
            Some(Stream::Forked(_)) => false,
            Some(Stream::Idle | Stream::Asked) | None => {
                let regained = self.conversations.get(&id).map(|c| c.regained);
                self.link.is_live()
                    && self.log_id_to_confirm.is_none()
                    && regained != Some(Regained::Yes)
            }
        }
    }
}
