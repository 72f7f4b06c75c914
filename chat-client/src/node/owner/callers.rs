//! Who waits for what, and the moment they get it.

use std::collections::BTreeMap;

use protocol::ids::{ConversationId, MessageId};
use tokio::sync::oneshot;

use super::{
    super::{
        call::{Answer, CallError, End, Link as LinkView, SentMessage, Target, Until},
        disk::{Read, ReadId},
        view,
    },
    Owner,
};
use crate::{
    engine::{Answer as EngineAnswer, CommandError, CommandId, OutboxState},
    store::row::LocalId,
};

/// Where an answer goes.
pub(super) type Reply = oneshot::Sender<Result<Answer, CallError>>;

/// Everybody who waits.
#[derive(Debug, Default)]
pub(super) struct Callers {
    pub(super) commands: BTreeMap<CommandId, Waiting>,
    pub(super) sends: BTreeMap<LocalId, Sending>,
    pub(super) reads: BTreeMap<ReadId, Reply>,
    pub(super) next_read: u64,
    /// Pages that wait for what was taken before they were asked for.
    pub(super) held_reads: BTreeMap<CommandId, (Read, Reply)>,
    /// For the relay.
    pub(super) online: Vec<Reply>,
    /// For everything that is new in a conversation.
    pub(super) syncing: Vec<(ConversationId, Reply)>,
}

/// Whoever waits for a message to be sent, and what is known of the message meanwhile: its row may
/// leave the outbox in the same moment.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) until: Until,
    pub(super) reply: Reply,
    pub(super) name: Option<(ConversationId, MessageId)>,
}

/// Who waits for a command, and for what of it.
#[derive(Debug)]
pub(super) enum Waiting {
    Answer(Reply),
    Sent(Until, Reply),
    Nobody,
}

impl Callers {
    /// True while somebody waits who has not gone away.
    pub(super) fn are_waiting(&self) -> bool {
        let commands = self.commands.values().any(|waiting| match waiting {
            Waiting::Answer(reply) | Waiting::Sent(_, reply) => !reply.is_closed(),
            Waiting::Nobody => false,
        });
        commands
            || self.sends.values().any(|sending| !sending.reply.is_closed())
            || self.online.iter().chain(self.reads.values()).any(|reply| !reply.is_closed())
            || self.held_reads.values().any(|(_, reply)| !reply.is_closed())
            || self.syncing.iter().any(|(_, reply)| !reply.is_closed())
    }
}

impl Owner {
    pub(super) fn name_sends(&mut self) {
        if self.callers.sends.values().all(|sending| sending.name.is_some()) {
            return;
        }
        let device = self.engine.identity().device;
        for (row, _) in self.engine.outbox() {
            if let Some(sending) = self.callers.sends.get_mut(&row.local)
                && let Some(encoded) = row.encoded()
            {
                let id = MessageId { device, counter: encoded.counter };
                sending.name = Some((encoded.conversation, id));
            }
        }
    }

    pub(super) fn on_done(&mut self, id: CommandId, result: Result<EngineAnswer, CommandError>) {
        if let Some((read, reply)) = self.callers.held_reads.remove(&id) {
            return self.read_now(read, reply);
        }
        match self.callers.commands.remove(&id) {
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
                self.watch(local, until, reply);
            }
            (Until::Queued | Until::SentUnlessOffline | Until::Sent, result) => {
                answer(reply, self.answer_of(result));
            }
        }
    }

    fn watch(&mut self, local: LocalId, until: Until, reply: Reply) {
        self.callers.sends.insert(local, Sending { until, reply, name: None });
        self.name_sends();
        if let LinkView::Stopped { why, .. } = self.link_view() {
            self.give_up_sends(&why);
        }
    }

    /// Answers as for the call that made this message: now, or once there is something to say.
    pub(super) fn wait_for(&mut self, local: LocalId, until: Until, reply: Reply) {
        let Some((row, state)) = self.engine.outbox().find(|(row, _)| row.local == local) else {
            let what = format!("message {} of the outbox", local.0);
            return answer(reply, Err(CallError::NotFound { what }));
        };
        let device = self.engine.identity().device;
        let name = row
            .encoded()
            .map(|encoded| (encoded.conversation, MessageId { device, counter: encoded.counter }));
        match until {
            Until::Queued => answer(reply, Ok(Answer::Queued { local })),
            Until::SentUnlessOffline | Until::Sent if is_final(&state) => {
                answer(reply, settled(local, name, state));
            }
            Until::SentUnlessOffline | Until::Sent => self.watch(local, until, reply),
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

    pub(super) fn give_up_sends(&mut self, why: &str) {
        let impatient: Vec<_> = self
            .callers
            .sends
            .iter()
            .filter(|(_, sending)| sending.until == Until::SentUnlessOffline)
            .map(|(local, _)| *local)
            .collect();
        for local in impatient {
            if let Some(sending) = self.callers.sends.remove(&local) {
                answer(sending.reply, Err(self.no_relay(why)));
            }
        }
    }

    /// Tells those who wait for the relay once it is clear whether it is there.
    pub(super) fn settle_online(&mut self) {
        if self.callers.online.is_empty() {
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
        for reply in self.callers.online.drain(..) {
            answer(reply, outcome.clone());
        }
    }

    /// Tells those who wait for a conversation once it is here, or will not come.
    pub(super) fn settle_synced(&mut self) {
        for (id, reply) in std::mem::take(&mut self.callers.syncing) {
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
                    self.callers.syncing.push((id, reply));
                    continue;
                }
            };
            answer(reply, outcome);
        }
    }
}

pub(super) fn is_final(state: &OutboxState) -> bool {
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
pub(super) fn settled(
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

/// Whoever asked may have stopped waiting.
pub(super) fn answer(reply: Reply, outcome: Result<Answer, CallError>) {
    let _ = reply.send(outcome);
}
