//! A session's beginning and end: welcome, the list of conversations, goodbye.

use protocol::{
    ids::{AccountId, ConversationId, LogId},
    message::{
        ClientMessage,
        refusal::{Refusal, RefusalCode},
        request::{Join, OpenDirect, Request},
        room::{AccountInfo, ConversationInfo, Kind, Standing},
        session::{ConversationGone, Ping, Show, Watch, Welcome},
    },
    time::Timestamp,
};

use super::{
    Engine, Event, Notice, ProtocolViolation, StopReason,
    asking::Purpose,
    command::CommandError,
    conversation::{Conversation, Listed, Regained},
    event::Disconnect,
};
use crate::store::Change;

impl Engine {
    pub(super) fn on_welcome(
        &mut self,
        now: Timestamp,
        welcome: Welcome,
    ) -> Result<(), ProtocolViolation> {
        if !self.link.is_attaching() {
            return Err(ProtocolViolation::OutOfTurn);
        }
        if welcome.device != self.identity.device {
            return Err(ProtocolViolation::OtherDevice);
        }
        if let Some(tag) = welcome.unknown_critical() {
            self.link.stop(StopReason::Outdated(tag));
            self.end_session(now);
            return Ok(());
        }
        self.link.welcomed(now);
        if self.account.as_ref() != Some(&welcome.account) {
            self.change(Change::Account(welcome.account.clone()));
            self.account = Some(welcome.account);
        }
        self.relay_name = Some(welcome.relay_name);
        self.body_bytes_max =
            usize::try_from(welcome.body_bytes_max).unwrap_or(usize::MAX).min(self.body_bytes_max);
        self.on_log_id(welcome.log_id);
        if self.outbox.move_past(welcome.highest) {
            // Another life of this device, before it was restored from a copy, used these numbers.
            self.change(Change::NextCounter(self.outbox.next_counter));
            self.renumber_unseen(welcome.highest);
        }
        self.outbox.restart();
        self.to_list = Some(welcome.conversations);
        self.show_again();
        self.events.push_back(Event::StatusChanged);
        if welcome.conversations == 0 {
            self.on_listed();
        }
        for (id, command) in std::mem::take(&mut self.waiting) {
            self.ask_for(id, command);
        }
        Ok(())
    }

    fn on_log_id(&mut self, now: LogId) {
        match self.log_id {
            Some(known) if known == now => {}
            Some(known) => {
                self.log_id_to_confirm = Some(now);
                self.events.push_back(Event::Notice(Notice::RelayRestored { known, now }));
            }
            None => {
                self.log_id = Some(now);
                self.change(Change::LogId(now));
            }
        }
    }

    /// The relay named a conversation.
    pub(super) fn on_conversation(&mut self, info: ConversationInfo) {
        let id = info.id;
        if info.unknown_critical().is_some() {
            self.on_not_understood(id);
        } else {
            self.learn_conversation(info);
            if let Some(conversation) = self.conversations.get_mut(&id) {
                conversation.listed = Listed::Yes;
            }
        }
        if let Some(left) = self.to_list.filter(|left| *left > 0) {
            self.to_list = Some(left - 1);
            if left == 1 {
                self.on_listed();
            }
        }
    }

    /// The relay says something about a conversation that must be understood and is not. What is
    /// stored of it stays as it is, also on the disk: a newer version goes on from there.
    pub(super) fn on_not_understood(&mut self, id: ConversationId) {
        if let Some(conversation) = self.conversations.get_mut(&id) {
            let pulls = conversation.disconnect();
            conversation.listed = Listed::NotUnderstood;
            for pull in pulls {
                self.done(pull, Err(CommandError::NeedsNewer));
            }
            self.events.push_back(Event::ConversationChanged(id));
            self.confirm_log_id();
        }
        self.events.push_back(Event::Notice(Notice::NeedsNewer { conversation: id }));
    }

    /// Takes what the relay says about a conversation, wherever it said it.
    pub(super) fn learn_conversation(&mut self, info: ConversationInfo) {
        let id = info.id;
        if let Some(peer) = &info.peer {
            self.learn_person(peer);
        }
        let changed = if let Some(conversation) = self.conversations.get_mut(&id) {
            // The head rises with the stream; an older description must not lower it.
            let head = info.head;
            if !conversation.is_understood() {
                conversation.listed = Listed::Yes;
            }
            conversation.read = conversation.read.max(info.read);
            let changed = conversation.info != info;
            conversation.described = head;
            let was_readable = conversation.is_readable();
            conversation.info = info;
            let has_records = !conversation.intervals.as_slice().is_empty();
            if !was_readable && conversation.is_readable() && has_records {
                conversation.regained = Regained::Yes;
            }
            if conversation.is_live() {
                conversation.info.head = head.max(conversation.position().0);
            }
            changed
        } else {
            self.conversations.insert(id, Conversation::new(info));
            true
        };
        if changed {
            // Until its log is compared, a restart has to find it lost.
            if self.conversations[&id].regained == Regained::No {
                let info = self.conversations[&id].info.clone();
                self.change(Change::Conversation(Box::new(info)));
            }
            self.events.push_back(Event::ConversationChanged(id));
        }
        self.follow(id);
        self.place_waiting(id);
    }

    /// Every conversation of the account is named.
    fn on_listed(&mut self) {
        self.events.push_back(Event::ConversationsListed);
        let unlisted: Vec<ConversationId> = self
            .conversations
            .values()
            .filter(|conversation| conversation.listed == Listed::No && conversation.is_readable())
            .map(Conversation::id)
            .collect();
        for id in unlisted {
            self.on_unlisted(id);
        }
        self.confirm_log_id();
        self.resolve_waiting();
    }

    /// A conversation we had is not ours any more, or the relay was restored from a copy that is
    /// older than it.
    fn on_unlisted(&mut self, id: ConversationId) {
        let undecided = self.outbox.lanes().any(|lane| lane == id);
        let info = &self.conversations[&id].info;
        let request: Option<Request> = match (info.kind, &info.peer) {
            _ if !undecided => None,
            (Kind::DIRECT, Some(peer)) => Some(OpenDirect { peer: peer.account }.into()),
            (Kind::DIRECT, None) => None,
            // Who was thrown out stays out; whom a restored relay forgot comes back.
            _ if self.log_id_to_confirm.is_none() => None,
            _ => Some(Join { room: info.name.clone() }.into()),
        };
        match request {
            // It comes back by asking. What waits there is offered only then: what the relay forgot
            // has lower numbers and goes first.
            Some(request) => self.ask(request, Purpose::Reopen(id)),
            None => self.on_lost(id),
        }
    }

    /// A conversation that cannot be had again.
    pub(super) fn on_lost(&mut self, id: ConversationId) {
        if let Some(last) = self.conversations.get(&id).map(|lost| lost.info.head) {
            self.on_conversation_gone(&ConversationGone { conversation: id, last, refusal: None });
        }
    }

    pub(super) fn on_conversation_gone(&mut self, gone: &ConversationGone) {
        let Some(conversation) = self.conversations.get_mut(&gone.conversation) else { return };
        conversation.info.standing = Standing::OUTSIDE;
        let info = conversation.info.clone();
        let pulls = conversation.disconnect();
        self.change(Change::Conversation(Box::new(info)));
        for id in pulls {
            self.done(id, Err(CommandError::Unknown));
        }
        self.confirm_log_id();
        let (conversation, refusal) = (gone.conversation, gone.refusal.clone());
        self.events.push_back(Event::ConversationGone { conversation, refusal });
    }

    /// Once every conversation agrees with the relay's present log, or was brought to: sending goes
    /// on as usual, also after a restart.
    pub(super) fn confirm_log_id(&mut self) {
        let open = |c: &Conversation| c.is_readable() && !c.is_live();
        if self.to_list != Some(0) || self.conversations.values().any(open) {
            return;
        }
        if let Some(log_id) = self.log_id_to_confirm.take() {
            self.log_id = Some(log_id);
            self.change(Change::LogId(log_id));
        }
    }

    pub(super) fn on_goodbye(&mut self, now: Timestamp, refusal: Refusal) {
        match (refusal.code, refusal.retry_after()) {
            (RefusalCode::SUPERSEDED, _) => {
                self.link.stop(StopReason::Superseded);
                self.events.push_back(Event::Notice(Notice::Superseded));
            }
            (_, Some(after)) => self.link.pause(now, refusal, after),
            (RefusalCode::NOT_REGISTERED, None) if self.account.is_some() => {
                // The relay was restored from a copy older than our account: found it again, with
                // the same genesis and so the same identity.
                self.account = None;
                self.link.hang_up(now, Disconnect::Goodbye(refusal));
            }
            (RefusalCode::TOO_SLOW, None) => {
                self.link.hang_up(now, Disconnect::Goodbye(refusal));
            }
            (_, None) => self.link.stop(StopReason::Refused(refusal)),
        }
        self.end_session(now);
    }

    /// Everything that belonged to the session is void. What was asked is answered, what was
    /// offered is offered again in the next one.
    pub(super) fn end_session(&mut self, now: Timestamp) {
        self.outgoing.clear();
        self.outbox.restart();
        self.to_list = None;
        self.log_id_to_confirm = None;
        self.to_mark.clear();
        self.presence.clear();
        let mut interrupted = Vec::new();
        for conversation in self.conversations.values_mut() {
            interrupted.extend(conversation.disconnect());
        }
        interrupted.extend(std::mem::take(&mut self.audits).into_values().map(|a| a.command));
        for (_, purpose) in std::mem::take(&mut self.requests) {
            interrupted.extend(purpose.command());
        }
        for id in interrupted {
            self.done(id, Err(CommandError::Disconnected));
        }
        if self.link.is_stopped() {
            for (id, _) in std::mem::take(&mut self.waiting) {
                self.done(id, Err(CommandError::Offline));
            }
        }
        self.release_contacts();
        self.roster.disconnect();
        self.announce_all(now);
        self.events.push_back(Event::StatusChanged);
    }

    pub(super) fn ping(&mut self, now: Timestamp) {
        self.outgoing.push_back(ClientMessage::Ping(Ping { token: now.as_micros() }));
    }

    /// Repeats what is on screen: a new session does not know it.
    fn show_again(&mut self) {
        if !self.shown.is_empty() {
            let conversations = self.shown.clone();
            self.outgoing.push_back(ClientMessage::Show(Show { conversations }));
        }
        if !self.watched.is_empty() {
            let accounts = self.watched.clone();
            self.outgoing.push_back(ClientMessage::Watch(Watch { accounts }));
        }
    }

    pub(super) fn on_people(&mut self, people: &[AccountInfo]) {
        let changed: Vec<AccountId> = people
            .iter()
            .filter(|person| self.learn_person(person))
            .map(|person| person.account)
            .collect();
        if !changed.is_empty() {
            self.events.push_back(Event::PeopleChanged(changed));
        }
    }

    /// Learns somebody's label, also our own; true if it is new.
    pub(super) fn learn_person(&mut self, person: &AccountInfo) -> bool {
        if person.unknown_critical().is_some() {
            // What was known before stays; who was unknown stays so.
            return false;
        }
        if let Some(own) = self.account.as_mut().filter(|own| own.account == person.account) {
            if own == person {
                return false;
            }
            own.clone_from(person);
            self.change(Change::Account(person.clone()));
            self.events.push_back(Event::StatusChanged);
            return true;
        }
        let is_new = self.roster.learn_person(person);
        if is_new {
            self.change(Change::Person(person.clone()));
            for conversation in self.conversations.values_mut() {
                if let Some(peer) = &mut conversation.info.peer
                    && peer.account == person.account
                {
                    peer.clone_from(person);
                }
            }
        }
        is_new
    }
}
