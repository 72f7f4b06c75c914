//! What front ends ask, as commands to the engine and requests to the store.

use protocol::{ids::MessageId, lab::order::Order, time::WallTime};

use super::{
    super::{
        PAGE_RECORDS_MAX,
        call::{Answer, Call, CallError, Event, Target},
        clock::Clock,
        disk::{Job, Read, ReadId},
        handle::Pending,
        view,
    },
    NameOrigin, Owner, WantedName,
    callers::{Reply, Waiting, answer},
};
use crate::{
    engine::{Command, CommandId, Conversation, Disconnect, LinkStatus, Target as EngineTarget},
    store::{StoreFailure, row::HistoryRow},
};

impl Owner {
    pub(super) fn on_call(&mut self, Pending { call, answer: reply }: Pending) {
        match call {
            Call::Status => answer(reply, Ok(Answer::Status(Box::new(self.status())))),
            Call::Online => {
                self.hurry();
                self.callers.online.push(reply);
            }
            Call::Synced { conversation } => self.callers.syncing.push((conversation, reply)),
            Call::Conversations => {
                let conversations = self.engine.conversations().map(view::conversation).collect();
                answer(reply, Ok(Answer::Conversations { conversations }));
            }
            Call::Find { target } => answer(reply, self.find(&target)),
            Call::Send { to, draft, composed_at, until } => {
                let target = match to {
                    Target::Room(name) => EngineTarget::Room(name),
                    Target::Person(name) => EngineTarget::Person(name),
                    Target::Id(id) => EngineTarget::Conversation(id),
                };
                self.hurry();
                let command = Command::Send { target, draft };
                let wall = composed_at.unwrap_or_else(Clock::wall);
                self.command_at(wall, command, Waiting::Sent(until, reply));
            }
            Call::Settled { local, until } => {
                self.hurry();
                self.wait_for(local, until, reply);
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
            Call::Search { query, count } => self.search(query, count, reply),
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
            Call::Impair { order } => answer(reply, self.impair(&order)),
            Call::Record => {
                self.relay.record();
                answer(reply, Ok(Answer::Done));
            }
            Call::Trace { rows } => answer(reply, self.trace(rows)),
            Call::Life { message } => answer(reply, Ok(self.life(message))),
        }
    }

    fn ask(&mut self, command: Command, reply: Reply) {
        self.command(command, Waiting::Answer(reply));
    }

    pub(super) fn command(&mut self, command: Command, waiting: Waiting) {
        self.command_at(Clock::wall(), command, waiting);
    }

    fn command_at(&mut self, wall: WallTime, command: Command, waiting: Waiting) {
        let id = self.give(wall, command);
        self.callers.commands.insert(id, waiting);
    }

    fn give(&mut self, wall: WallTime, command: Command) -> CommandId {
        self.has_input = true;
        self.engine.handle_command(self.clock.now(), wall, command)
    }

    /// Somebody wants the relay now: no use in waiting for the next try by itself.
    fn hurry(&mut self) {
        if matches!(self.engine.status().link, LinkStatus::Waiting { .. }) {
            self.command(Command::Reconnect, Waiting::Nobody);
        }
    }

    /// Reads once everything is stored that the engine has taken: what has left the outbox has to
    /// be in the page. A store that takes no writes can still be read.
    pub(super) fn read(&mut self, read: Read, reply: Reply) {
        if self.engine.is_saved() || self.engine.status().store.is_some() {
            self.read_now(read, reply);
        } else {
            let id = self.give(Clock::wall(), Command::Flush);
            self.callers.held_reads.insert(id, (read, reply));
        }
    }

    /// The store has begun to refuse writes: nobody waits for them before reading.
    pub(super) fn release_reads(&mut self) {
        for (read, reply) in std::mem::take(&mut self.callers.held_reads).into_values() {
            self.read_now(read, reply);
        }
    }

    pub(super) fn read_now(&mut self, read: Read, reply: Reply) {
        let id = ReadId(self.callers.next_read);
        self.callers.next_read += 1;
        match self.disk.request(Job::Read(id, read)) {
            Ok(()) => {
                self.callers.reads.insert(id, reply);
            }
            Err(_) => {
                answer(reply, Err(CallError::Store { why: "too many requests wait".to_owned() }));
            }
        }
    }

    fn impair(&mut self, order: &Order) -> Result<Answer, CallError> {
        let invalid = |why| CallError::Invalid { why };
        if *order == Order::Cut {
            if self.relay.link().is_none() {
                return Err(invalid("there is no connection to cut".to_owned()));
            }
            self.relay.disconnect();
            let why = Disconnect::Lost("cut by /net cut".to_owned());
            self.engine.handle_disconnected(self.clock.now(), why);
            self.has_input = true;
        } else {
            self.relay.impair(order).map_err(invalid)?;
        }
        let status = Box::new(self.status());
        self.subscribers.tell(&Event::Status(status.clone()));
        Ok(Answer::Status(status))
    }

    fn trace(&mut self, rows: usize) -> Result<Answer, CallError> {
        let why = "nothing is recorded".to_owned();
        let (record, now) = self.relay.recorded().ok_or(CallError::Invalid { why })?;
        Ok(Answer::Trace(Box::new(record.view(now, rows.min(PAGE_RECORDS_MAX)))))
    }

    fn life(&mut self, message: MessageId) -> Answer {
        let is_own = message.device == self.engine.identity().device;
        let recorded = self.relay.recorded().filter(|_| is_own);
        let steps = recorded.and_then(|(record, _)| record.life(message.counter));
        Answer::Life { steps: steps.unwrap_or_default() }
    }

    fn find(&self, target: &Target) -> Result<Answer, CallError> {
        self.known(target)
            .map(|known| Answer::Conversation(Box::new(view::conversation(known))))
            .ok_or_else(|| CallError::NotFound { what: target.to_string() })
    }

    /// The conversation that people mean by this.
    pub(super) fn known(&self, target: &Target) -> Option<&Conversation> {
        self.engine.conversations().find(|known| match target {
            Target::Id(id) => known.id() == *id,
            Target::Room(name) => {
                known.info().peer.is_none() && is_same_name(&known.info().name, name)
            }
            Target::Person(name) => {
                known.info().peer.as_ref().is_some_and(|peer| is_same_name(&peer.name, name))
            }
        })
    }

    pub(super) fn page(
        &self,
        rows: Result<Vec<HistoryRow>, StoreFailure>,
    ) -> Result<Answer, CallError> {
        let rows = rows.map_err(|failure| CallError::Store { why: failure.to_string() })?;
        let lines = rows.into_iter().map(|row| view::line(&self.engine, row)).collect();
        Ok(Answer::Page { lines })
    }
}

/// Names compare as the relay compares them, as far as case goes; the relay knows the rest.
fn is_same_name(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}
