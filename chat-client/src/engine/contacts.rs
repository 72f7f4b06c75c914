//! From a name to a conversation: rooms are joined, people are resolved, pinned and opened.
//!
//! What is said to a name waits in the outbox as text until its conversation is known. A name is a
//! label in the relay's directory, so the account it meant at first contact is pinned: if it means
//! another one later, nothing is sent before the person has said so.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    ids::{AccountId, ConversationId},
    message::{
        refusal::Refusal,
        request::{Join, OpenDirect, Resolve},
        room::{AccountInfo, ConversationInfo, Kind, Standing},
    },
    time::{Timestamp, WallTime},
};

use super::{
    Conversation, Engine, Event, Notice, OutboxState,
    asking::Purpose,
    command::{Answer, CommandError, CommandId},
};
use crate::store::{
    Change,
    row::{Destination, Draft, LocalId, OutboxRow, Payload, Pin, Stage},
};

/// Names on their way to conversations.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    /// Whom names mean, as the relay said in this session and the pins agree.
    resolved: BTreeMap<String, AccountId>,
    /// Asked for and not answered.
    asked: BTreeSet<Destination>,
    /// Refused for now; asked again then.
    again: BTreeMap<Destination, Timestamp>,
    /// `Send` commands that are answered once it is known whom the name means.
    replies: BTreeMap<LocalId, CommandId>,
    /// Messages that wait for the person: whom the name meant, and means now.
    held: BTreeMap<LocalId, (AccountId, AccountInfo)>,
    /// `OpenDirect` commands by name.
    opening: BTreeMap<String, Vec<CommandId>>,
}

impl Contacts {
    pub(super) fn held(&self, local: LocalId) -> Option<&(AccountId, AccountInfo)> {
        self.held.get(&local)
    }

    pub(super) fn forget(&mut self, local: LocalId) {
        self.held.remove(&local);
        self.replies.remove(&local);
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.again.values().min().copied()
    }
}

impl Engine {
    pub(super) fn send_to_room(
        &mut self,
        wall: WallTime,
        id: CommandId,
        name: String,
        draft: Draft,
    ) {
        match self.joined_room(&name) {
            Some(conversation) => self.queue(wall, id, conversation, &draft),
            None => self.queue_unresolved(wall, id, Destination::Room(name), draft),
        }
    }

    pub(super) fn send_to_person(
        &mut self,
        wall: WallTime,
        id: CommandId,
        name: String,
        draft: Draft,
    ) {
        // With a relay in reach it is asked first whom the name means now; without one, what is
        // said goes to the account that it meant at first contact.
        let account = match self.contacts.resolved.get(&name) {
            Some(account) => Some(*account),
            None if self.link.is_trying() => None,
            // Nor may it overtake what waits for the relay's word on the same name.
            None if self.is_waited_for(&Destination::Person(name.clone())) => None,
            None => self.roster.pin(&name),
        };
        match account.and_then(|account| self.direct_with(account)) {
            Some(conversation) => self.queue(wall, id, conversation, &draft),
            None => self.queue_unresolved(wall, id, Destination::Person(name), draft),
        }
    }

    fn queue_unresolved(
        &mut self,
        composed_at: WallTime,
        id: CommandId,
        to: Destination,
        draft: Draft,
    ) {
        let local = self.outbox.take_local();
        let payload = Payload::Unresolved { to: to.clone(), draft };
        let row = OutboxRow { local, composed_at, payload, stage: Stage::Queued };
        self.outbox.insert(row.clone());
        self.keep(row);
        self.emit_when_durable(Event::Outbox { local, state: OutboxState::Queued });
        if self.link.is_trying() {
            self.contacts.replies.insert(local, id);
            self.resolve(to);
        } else {
            self.done_when_durable(id, Answer::Queued(local));
        }
    }

    pub(super) fn open_direct(&mut self, id: CommandId, name: String) {
        self.contacts.opening.entry(name.clone()).or_default().push(id);
        self.resolve(Destination::Person(name));
    }

    /// Asks for everything that waits for a conversation.
    pub(super) fn resolve_waiting(&mut self) {
        let waiting: BTreeSet<Destination> = self
            .outbox
            .unresolved()
            .filter(|row| !self.contacts.held.contains_key(&row.local))
            .filter_map(|row| destination_of(row).cloned())
            .chain(self.contacts.opening.keys().cloned().map(Destination::Person))
            .collect();
        for destination in waiting {
            self.resolve(destination);
        }
    }

    fn resolve(&mut self, destination: Destination) {
        // Which rooms we are in is known only once the relay has named them.
        if !self.is_listed() || self.contacts.again.contains_key(&destination) {
            return;
        }
        if !self.contacts.asked.insert(destination.clone()) {
            return;
        }
        match destination {
            Destination::Room(name) => {
                if let Some(conversation) = self.joined_room(&name) {
                    self.contacts.asked.remove(&Destination::Room(name));
                    self.place_waiting(conversation);
                } else {
                    let request = Join { room: name.clone() };
                    self.ask(request.into(), Purpose::JoinFor(name));
                }
            }
            Destination::Person(name) => {
                if let Some(account) = self.contacts.resolved.get(&name) {
                    self.open_with(name, *account);
                } else {
                    let request = Resolve { name: name.clone() };
                    self.ask(request.into(), Purpose::Resolve(name));
                }
            }
        }
    }

    /// The relay says whom a name means.
    pub(super) fn on_resolved(&mut self, name: String, person: AccountInfo) {
        self.learn_person(&person);
        let pinned = [self.roster.pin(&name), self.roster.pin(&person.name)];
        let other = pinned.into_iter().flatten().find(|pinned| *pinned != person.account);
        if let Some(pinned) = other {
            self.contacts.asked.remove(&Destination::Person(name.clone()));
            self.on_name_changed(name, pinned, person);
            return;
        }
        self.pin(name.clone(), person.account);
        self.pin(person.name, person.account);
        self.contacts.resolved.insert(name.clone(), person.account);
        self.open_with(name, person.account);
    }

    fn open_with(&mut self, name: String, account: AccountId) {
        match self.direct_with(account) {
            Some(conversation) => {
                let info = self.conversations[&conversation].info.clone();
                self.on_opened(&name, &info);
            }
            None => {
                self.ask(OpenDirect { peer: account }.into(), Purpose::OpenFor(name));
            }
        }
    }

    /// The direct conversation with the person of this name is there.
    pub(super) fn on_opened(&mut self, name: &str, info: &ConversationInfo) {
        let id = info.id;
        self.contacts.asked.remove(&Destination::Person(name.to_owned()));
        self.learn_conversation(info.clone());
        self.place_waiting(id);
        for command in self.contacts.opening.remove(name).unwrap_or_default() {
            self.done_when_durable(command, Answer::Conversation(Box::new(info.clone())));
        }
    }

    /// A room that somebody wants to speak in was joined, or is waiting for its moderators.
    pub(super) fn on_joined_for(&mut self, name: String, info: ConversationInfo) {
        self.contacts.asked.remove(&Destination::Room(name));
        self.learn_conversation(info);
    }

    /// The relay does not give us the conversation.
    pub(super) fn on_not_resolved(
        &mut self,
        now: Timestamp,
        destination: Destination,
        refusal: &Refusal,
    ) {
        self.contacts.asked.remove(&destination);
        if let Destination::Person(name) = &destination {
            for command in self.contacts.opening.remove(name).unwrap_or_default() {
                self.done(command, Err(CommandError::Refused(refusal.clone())));
            }
        }
        if let Some(after) = refusal.retry_after() {
            let at = now + after + self.link.jitter(after);
            for local in self.waiting_for(&destination) {
                if let Some(command) = self.contacts.replies.remove(&local) {
                    self.done_when_durable(command, Answer::Queued(local));
                }
            }
            self.contacts.again.insert(destination, at);
            return;
        }
        for local in self.waiting_for(&destination) {
            if let Some(command) = self.contacts.replies.remove(&local) {
                // The person is still there and told: nothing stays behind, also if the program ends
                // with this answer.
                self.drop_entry(local);
                let result = Err(CommandError::Refused(refusal.clone()));
                self.emit_when_durable(Event::Done { id: command, result });
            } else if let Some(row) = self.outbox.decide(local, Stage::Failed(refusal.clone())) {
                self.change(Change::Outbox(row));
                let state = OutboxState::Failed(refusal.clone());
                self.emit_when_durable(Event::Outbox { local, state });
            }
        }
    }

    fn on_name_changed(&mut self, name: String, pinned: AccountId, now: AccountInfo) {
        let now = Box::new(now);
        let error = CommandError::NameChanged { name: name.clone(), pinned, now: now.clone() };
        for local in self.waiting_for(&Destination::Person(name.clone())) {
            if let Some(command) = self.contacts.replies.remove(&local) {
                self.drop_entry(local);
                let result = Err(error.clone());
                self.emit_when_durable(Event::Done { id: command, result });
            } else {
                self.contacts.held.insert(local, (pinned, (*now).clone()));
                let state = OutboxState::Held { pinned, now: now.clone() };
                self.events.push_back(Event::Outbox { local, state });
            }
        }
        for command in self.contacts.opening.remove(&name).unwrap_or_default() {
            self.done(command, Err(error.clone()));
        }
        self.events.push_back(Event::Notice(Notice::NameChanged { name, pinned, now }));
    }

    /// The person says that the name means its new owner from now on.
    pub(super) fn on_accept_name(&mut self, id: CommandId, name: String, account: AccountId) {
        let spelled = self.roster.person(account).map(|person| person.name.clone());
        self.pin(name.clone(), account);
        if let Some(spelled) = spelled {
            self.pin(spelled, account);
        }
        let destination = Destination::Person(name);
        for local in self.waiting_for(&destination) {
            self.contacts.held.remove(&local);
        }
        if !self.waiting_for(&destination).is_empty() {
            self.resolve(destination);
        }
        self.done_when_durable(id, Answer::Done);
    }

    /// Gives what waits for this conversation its numbers and bytes, in the order it was said.
    pub(super) fn place_waiting(&mut self, id: ConversationId) {
        let waiting: Vec<LocalId> = self.outbox.unresolved().map(|row| row.local).collect();
        for local in waiting {
            let Some(entry) = self.outbox.get(local) else { continue };
            let Payload::Unresolved { to, draft } = &entry.row.payload else { continue };
            if self.contacts.held.contains_key(&local) || !self.leads_to(to, id) {
                continue;
            }
            let (draft, composed_at) = (draft.clone(), entry.row.composed_at);
            let encoded = self.encode(id, &draft, composed_at);
            if let Some(row) = self.outbox.resolve(local, encoded) {
                self.keep(row);
            }
            if let Some(command) = self.contacts.replies.remove(&local) {
                self.done_when_durable(command, Answer::Queued(local));
            }
        }
    }

    fn leads_to(&self, destination: &Destination, id: ConversationId) -> bool {
        match destination {
            Destination::Room(name) => self.joined_room(name) == Some(id),
            Destination::Person(name) => {
                let account = self.contacts.resolved.get(name);
                account.and_then(|account| self.direct_with(*account)) == Some(id)
            }
        }
    }

    pub(super) fn retry_contacts(&mut self, now: Timestamp) {
        let before = self.contacts.again.len();
        self.contacts.again.retain(|_, at| *at > now);
        if self.contacts.again.len() < before {
            self.resolve_waiting();
        }
    }

    /// The session is over: whoever waits for a name is told that the message waits, durably.
    pub(super) fn release_contacts(&mut self) {
        self.contacts.resolved.clear();
        self.contacts.asked.clear();
        self.contacts.again.clear();
        for (local, command) in std::mem::take(&mut self.contacts.replies) {
            self.done_when_durable(command, Answer::Queued(local));
        }
        for command in std::mem::take(&mut self.contacts.opening).into_values().flatten() {
            self.done(command, Err(CommandError::Disconnected));
        }
    }

    fn pin(&mut self, name: String, account: AccountId) {
        if self.roster.pin(&name) != Some(account) {
            let pin = Pin { name, account };
            self.roster.set_pin(pin.clone());
            self.change(Change::Pin(pin));
        }
    }

    fn joined_room(&self, name: &str) -> Option<ConversationId> {
        let mut rooms = self.conversations.values().map(|conversation| &conversation.info);
        let joined = |info: &&ConversationInfo| {
            info.kind != Kind::DIRECT && info.standing == Standing::JOINED && info.name == name
        };
        rooms.find(joined).map(|info| info.id)
    }

    fn direct_with(&self, account: AccountId) -> Option<ConversationId> {
        let mut directs = self.conversations.values().filter(|c| c.is_readable());
        let with = |info: &ConversationInfo| {
            info.kind == Kind::DIRECT
                && info.peer.as_ref().is_some_and(|peer| peer.account == account)
        };
        directs.find(|conversation| with(&conversation.info)).map(Conversation::id)
    }

    fn is_waited_for(&self, destination: &Destination) -> bool {
        let mut waiting = self.outbox.unresolved();
        waiting.any(|row| destination_of(row) == Some(destination))
    }

    fn waiting_for(&self, destination: &Destination) -> Vec<LocalId> {
        let waiting = self.outbox.unresolved();
        let here = waiting.filter(|row| destination_of(row) == Some(destination));
        here.map(|row| row.local).collect()
    }
}

/// Where a message goes that has no conversation yet.
const fn destination_of(row: &OutboxRow) -> Option<&Destination> {
    match &row.payload {
        Payload::Unresolved { to, .. } => Some(to),
        Payload::Encoded(_) => None,
    }
}
