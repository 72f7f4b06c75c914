//! Commands and the relay's answers to what they, or the engine itself, asked.

use protocol::{
    ids::{ConversationId, DeviceId, Digest, Seq},
    limits::{TYPING_MEMBERS_MAX, WATCHED_ACCOUNTS_MAX},
    message::{
        ClientMessage,
        refusal::{Refusal, RefusalCode},
        request::{ChainAt, CreateRoom, Join, Leave, Outcome, Reply, Request},
        room::{AccountInfo, ConversationInfo, DeviceInfo, Genesis, Kind},
        session::{Show, Typing, Watch},
    },
    time::{Timestamp, WallTime},
};

use super::{
    Engine, Event, StopReason,
    command::{Answer, AuditReport, Command, CommandError, CommandId},
};
use crate::store::{
    Change, Found, Query,
    row::{Destination, Interval},
};

/// Most commands that may wait for a session or for the relay's answer.
pub(super) const QUESTIONS_MAX: usize = 256;
/// Most conversations on one screen, see [`Show`].
const SHOWN_MAX: usize = 4;

/// Why the relay was asked.
#[derive(Debug)]
pub(super) enum Purpose {
    /// A command wants the conversation that comes back.
    Conversation(CommandId),
    /// A command wants the reply as it is.
    Reply(CommandId),
    /// A command only wants to know that it is done.
    Nothing(CommandId),
    /// Messages wait for the person of this name.
    Resolve(String),
    /// Messages wait for the direct conversation with the person of this name.
    OpenFor(String),
    /// Messages wait for this room.
    JoinFor(String),
    /// A conversation that the relay forgot, with messages waiting.
    Reopen(ConversationId),
    /// Records wait for their senders.
    Lookup(Vec<DeviceId>),
    /// A search for the last common record.
    ForkChain(ConversationId, Seq),
    /// An audit.
    AuditChain(ConversationId),
}

impl Purpose {
    /// The command that waits for the answer.
    pub(super) const fn command(&self) -> Option<CommandId> {
        match self {
            Self::Conversation(id) | Self::Reply(id) | Self::Nothing(id) => Some(*id),
            Self::Resolve(_)
            | Self::OpenFor(_)
            | Self::JoinFor(_)
            | Self::Reopen(_)
            | Self::Lookup(_)
            | Self::ForkChain(..)
            | Self::AuditChain(_) => None,
        }
    }
}

/// A running audit of one conversation.
#[derive(Debug)]
pub(super) struct Audit {
    pub(super) command: CommandId,
    left: Vec<Interval>,
    current: Interval,
    records: u64,
}

impl Engine {
    pub(super) fn on_command(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        id: CommandId,
        command: Command,
    ) {
        match command {
            Command::Send { target, draft } => self.on_send(now, wall, id, target, draft),
            Command::CancelQueued { local } => self.on_cancel(id, local),
            Command::AcceptName { name, account } => self.on_accept_name(id, name, account),
            Command::Read { conversation, seq } => self.on_read(now, id, conversation, seq),
            Command::Older { conversation } => self.on_older(id, conversation),
            Command::Audit { conversation } => self.on_audit(id, conversation),
            Command::Show { mut conversations } => {
                conversations.truncate(SHOWN_MAX);
                self.shown.clone_from(&conversations);
                self.tell(ClientMessage::Show(Show { conversations }));
                self.done(id, Ok(Answer::Done));
            }
            Command::Watch { mut accounts } => {
                accounts.truncate(WATCHED_ACCOUNTS_MAX);
                self.watched.clone_from(&accounts);
                self.tell(ClientMessage::Watch(Watch { accounts }));
                self.done(id, Ok(Answer::Done));
            }
            Command::Typing { conversation } => {
                let held = self.conversations.get(&conversation);
                if held.is_some_and(|held| held.info.members <= TYPING_MEMBERS_MAX) {
                    self.tell(ClientMessage::Typing(Typing { conversation }));
                }
                self.done(id, Ok(Answer::Done));
            }
            Command::SaveDraft { conversation, text } => self.on_save_draft(id, conversation, text),
            Command::Register { name, ticket } => {
                self.identity.name = name;
                self.identity.ticket = ticket;
                self.on_reconnect(now, id);
            }
            Command::Flush => self.done_when_durable(id, Answer::Done),
            Command::Reconnect => self.on_reconnect(now, id),
            Command::GoOffline => {
                let was_live = self.link.is_live();
                self.link.stop(StopReason::Offline);
                self.end_session(now);
                if was_live {
                    self.outgoing.push_back(ClientMessage::Detach(()));
                }
                self.done(id, Ok(Answer::Done));
            }
            Command::Join { .. }
            | Command::CreateRoom { .. }
            | Command::Leave { .. }
            | Command::OpenDirect { .. }
            | Command::Ask(_) => self.on_question(now, id, command),
        }
    }

    /// A question waits for a session, if one is to be expected.
    fn on_question(&mut self, now: Timestamp, id: CommandId, command: Command) {
        if self.link.is_stopped() {
            self.done(id, Err(CommandError::Offline));
        } else if self.waiting.len() + self.requests.len() >= QUESTIONS_MAX {
            self.done(id, Err(CommandError::TooManyQuestions(QUESTIONS_MAX)));
        } else if self.link.is_live() {
            self.ask_for(id, command);
        } else {
            self.link.hurry(now);
            self.waiting.push_back((id, command));
        }
    }

    /// Asks the relay what a command wants to know. The session is live.
    pub(super) fn ask_for(&mut self, id: CommandId, command: Command) {
        match command {
            Command::Join { room } => self.ask(Join { room }.into(), Purpose::Conversation(id)),
            Command::CreateRoom { name, topic, access, nonce } => {
                let creator = Some(self.identity.account());
                let genesis = Genesis { version: 1, kind: Kind::OPEN_ROOM, creator, nonce };
                let genesis = genesis.encode().into();
                let request = CreateRoom { genesis, name, topic, access };
                self.ask(request.into(), Purpose::Conversation(id));
            }
            Command::Leave { conversation } => {
                self.ask(Leave { conversation }.into(), Purpose::Nothing(id));
            }
            Command::OpenDirect { name } => self.open_direct(id, name),
            Command::Ask(request) => self.ask(request, Purpose::Reply(id)),
            Command::Send { .. }
            | Command::CancelQueued { .. }
            | Command::AcceptName { .. }
            | Command::Register { .. }
            | Command::Read { .. }
            | Command::Show { .. }
            | Command::Watch { .. }
            | Command::Typing { .. }
            | Command::Older { .. }
            | Command::SaveDraft { .. }
            | Command::Audit { .. }
            | Command::Flush
            | Command::Reconnect
            | Command::GoOffline => {
                unreachable!("only questions wait for a session: {command:?}")
            }
        }
    }

    pub(super) fn ask(&mut self, request: Request, purpose: Purpose) {
        self.last_request = self.last_request.wrapping_add(1);
        self.requests.insert(self.last_request, purpose);
        self.outgoing.push_back(ClientMessage::Request(self.last_request, request));
    }

    pub(super) fn on_reply(&mut self, now: Timestamp, id: u32, outcome: Outcome) {
        // An answer that nobody waits for is as harmless as an unknown message.
        let Some(purpose) = self.requests.remove(&id) else { return };
        match purpose {
            Purpose::Conversation(command) => match described(outcome) {
                Ok(info) => {
                    self.learn_conversation(info.clone());
                    self.done_when_durable(command, Answer::Conversation(Box::new(info)));
                }
                Err(error) => self.done(command, Err(error)),
            },
            Purpose::Reply(command) => match outcome {
                Ok(reply) => match understood(reply) {
                    Ok(reply) => {
                        self.learn_from(&reply);
                        self.done_when_durable(command, Answer::Reply(Box::new(reply)));
                    }
                    Err(error) => self.done(command, Err(error)),
                },
                Err(refusal) => self.done(command, Err(CommandError::Refused(refusal))),
            },
            Purpose::Nothing(command) => match outcome {
                Ok(_) => self.done(command, Ok(Answer::Done)),
                Err(refusal) => self.done(command, Err(CommandError::Refused(refusal))),
            },
            Purpose::Resolve(name) => match outcome {
                Ok(Reply::Resolve(person)) if person.unknown_critical().is_none() => {
                    self.on_resolved(name, person);
                }
                Ok(_) => self.on_not_resolved(now, Destination::Person(name), &unreadable()),
                Err(refusal) => self.on_not_resolved(now, Destination::Person(name), &refusal),
            },
            Purpose::OpenFor(name) => match described(outcome) {
                Ok(info) => self.on_opened(&name, &info),
                Err(error) => {
                    self.on_not_resolved(now, Destination::Person(name), &refusal_of(error));
                }
            },
            Purpose::JoinFor(name) => match described(outcome) {
                Ok(info) => self.on_joined_for(name, info),
                Err(error) => {
                    self.on_not_resolved(now, Destination::Room(name), &refusal_of(error));
                }
            },
            Purpose::Reopen(conversation) => match described(outcome) {
                Ok(info) => {
                    // The room of that name may be another one by now.
                    let is_it = info.id == conversation;
                    self.learn_conversation(info);
                    if !is_it {
                        self.on_lost(conversation);
                    }
                }
                Err(CommandError::NeedsNewer) => self.on_not_understood(conversation),
                Err(_) => self.on_lost(conversation),
            },
            Purpose::Lookup(devices) => {
                if let Ok(Reply::Lookup(found)) = outcome {
                    for device in found {
                        self.learn_device(device);
                    }
                }
                self.roster.give_up(now, &devices);
                self.announce_all(now);
            }
            Purpose::ForkChain(conversation, seq) => {
                self.on_relay_chain(now, conversation, seq, outcome);
            }
            Purpose::AuditChain(conversation) => self.on_audited(conversation, &outcome),
        }
    }

    /// Keeps what a reply to a person's own question says in passing.
    fn learn_from(&mut self, reply: &Reply) {
        match reply {
            Reply::Resolve(person) | Reply::Rename(person) => {
                self.learn_person(person);
            }
            Reply::Lookup(devices) => {
                for device in devices {
                    self.learn_device(device.clone());
                }
            }
            Reply::OpenDirect(info) | Reply::CreateRoom(info) | Reply::Join(info) => {
                self.learn_conversation(info.clone());
            }
            Reply::Members(members) => {
                let people: Vec<_> = members.iter().map(|member| member.account.clone()).collect();
                self.on_people(&people);
            }
            Reply::Leave(())
            | Reply::ListRooms(_)
            | Reply::SetTopic(())
            | Reply::SetRole(())
            | Reply::Kick(())
            | Reply::Ban(_)
            | Reply::Unban(())
            | Reply::Bans(_)
            | Reply::Mute(())
            | Reply::Invite(())
            | Reply::Admit(())
            | Reply::SetAccess(())
            | Reply::Block(())
            | Reply::Blocked(_)
            | Reply::ChainAt(_)
            | Reply::Unknown(_) => {}
        }
    }

    fn learn_device(&mut self, device: DeviceInfo) {
        if device.unknown_critical().is_some() {
            // As if the relay did not know it: its messages come from somebody.
            return;
        }
        self.learn_person(&device.account);
        self.roster.learn_device(device.clone());
        self.change(Change::Device(device));
    }

    /// The store's answer to a look-up.
    pub(super) fn on_found(&mut self, query: Query, found: Found) {
        match (query, found) {
            (Query::ChainAt(id, seq), Found::Chain(chain)) => self.on_own_chain(id, seq, chain),
            (Query::OwnAbove(id, common, _), Found::Own { above, records }) => {
                self.on_own_above(id, common, above, records);
            }
            (Query::Rehash(id, interval), Found::Chain(chain)) => {
                self.on_rehashed(id, interval, chain);
            }
            // A store that answers another question than was asked is broken; nothing is moved.
            (Query::ChainAt(..) | Query::Rehash(..), Found::Own { .. })
            | (Query::OwnAbove(..), Found::Chain(_)) => {}
        }
    }

    fn on_reconnect(&mut self, now: Timestamp, id: CommandId) {
        self.link.start(now);
        self.events.push_back(Event::StatusChanged);
        self.done(id, Ok(Answer::Done));
    }

    fn on_save_draft(&mut self, id: CommandId, conversation: ConversationId, text: String) {
        let Some(held) = self.conversations.get_mut(&conversation) else {
            self.done(id, Err(CommandError::Unknown));
            return;
        };
        if held.draft != text {
            held.draft.clone_from(&text);
            self.change(Change::Draft(conversation, text));
        }
        self.done_when_durable(id, Answer::Done);
    }

    /// Says something that is void without a session.
    fn tell(&mut self, message: ClientMessage<'static>) {
        if self.link.is_live() {
            self.outgoing.push_back(message);
        }
    }

    fn on_audit(&mut self, id: CommandId, conversation: ConversationId) {
        let Some(held) = self.conversations.get(&conversation) else {
            self.done(id, Err(CommandError::Unknown));
            return;
        };
        if !held.is_live() {
            self.done(id, Err(CommandError::Offline));
            return;
        }
        if self.audits.contains_key(&conversation) {
            self.done(id, Err(CommandError::TooManyQuestions(1)));
            return;
        }
        let mut left = held.intervals.as_slice().to_vec();
        let Some(current) = left.pop() else {
            let report = AuditReport { records: 0, differs_at: None };
            self.done(id, Ok(Answer::Audited(report)));
            return;
        };
        let audit = Audit { command: id, left, current, records: 0 };
        self.audits.insert(conversation, audit);
        self.journal.ask(Query::Rehash(conversation, current));
    }

    fn on_rehashed(&mut self, id: ConversationId, interval: Interval, chain: Option<Digest>) {
        let Some(audit) = self.audits.get_mut(&id).filter(|audit| audit.current == interval) else {
            return;
        };
        audit.records += interval.high.0 - interval.low.0 + 1;
        if chain == Some(interval.chain) {
            let request = ChainAt { conversation: id, seq: interval.high };
            self.ask(request.into(), Purpose::AuditChain(id));
        } else {
            self.finish_audit(id, Some(interval.high));
        }
    }

    fn on_audited(&mut self, id: ConversationId, outcome: &Outcome) {
        let Some(audit) = self.audits.get_mut(&id) else { return };
        match outcome {
            Ok(Reply::ChainAt(chain)) if *chain != audit.current.chain => {
                let at = audit.current.high;
                self.finish_audit(id, Some(at));
            }
            // What the relay no longer keeps it cannot contradict.
            Ok(_) | Err(_) => match audit.left.pop() {
                Some(next) => {
                    audit.current = next;
                    self.journal.ask(Query::Rehash(id, next));
                }
                None => self.finish_audit(id, None),
            },
        }
    }

    fn finish_audit(&mut self, id: ConversationId, differs_at: Option<Seq>) {
        if let Some(Audit { command, records, .. }) = self.audits.remove(&id) {
            self.done(command, Ok(Answer::Audited(AuditReport { records, differs_at })));
        }
    }
}

/// The conversation in a reply.
fn described(outcome: Outcome) -> Result<ConversationInfo, CommandError> {
    match outcome {
        Ok(Reply::Join(info) | Reply::CreateRoom(info) | Reply::OpenDirect(info))
            if info.unknown_critical().is_none() =>
        {
            Ok(info)
        }
        Ok(_) => Err(CommandError::NeedsNewer),
        Err(refusal) => Err(CommandError::Refused(refusal)),
    }
}

/// The reply, unless the one thing that it is about cannot be understood. In a list that costs only
/// the item its label.
fn understood(mut reply: Reply) -> Result<Reply, CommandError> {
    let critical = match &mut reply {
        Reply::Resolve(person) | Reply::Rename(person) => person.unknown_critical(),
        Reply::OpenDirect(info) | Reply::CreateRoom(info) | Reply::Join(info) => {
            info.unknown_critical()
        }
        Reply::Members(members) => {
            for member in members {
                withhold_label(&mut member.account);
            }
            None
        }
        Reply::Ban(people) | Reply::Blocked(people) => {
            for person in people {
                withhold_label(person);
            }
            None
        }
        Reply::Lookup(_)
        | Reply::Leave(())
        | Reply::ListRooms(_)
        | Reply::SetTopic(())
        | Reply::SetRole(())
        | Reply::Kick(())
        | Reply::Unban(())
        | Reply::Bans(_)
        | Reply::Mute(())
        | Reply::Invite(())
        | Reply::Admit(())
        | Reply::SetAccess(())
        | Reply::Block(())
        | Reply::ChainAt(_)
        | Reply::Unknown(_) => None,
    };
    if critical.is_some() { Err(CommandError::NeedsNewer) } else { Ok(reply) }
}

fn withhold_label(person: &mut AccountInfo) {
    if person.unknown_critical().is_some() {
        person.name.clear();
    }
}

/// What stands in the outbox when an answer made no sense.
fn unreadable() -> Refusal {
    Refusal::last(RefusalCode::UNSUPPORTED, "the relay's answer needs a newer version")
}

fn refusal_of(error: CommandError) -> Refusal {
    match error {
        CommandError::Refused(refusal) => refusal,
        _ => unreadable(),
    }
}
