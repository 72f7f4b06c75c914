//! What the engine says, for whoever wants to hear it.

use protocol::{
    ids::ConversationId,
    message::{refusal::RefusalCode, session::MemberProgress},
};

use super::{
    super::{
        call::{Event, Link as LinkView},
        view,
    },
    NameOrigin, Owner,
    callers::{Sending, Waiting, answer, is_final, settled},
};
use crate::{
    engine::{Command, Event as EngineEvent, LinkStatus, Notice, OutboxState, StopReason},
    store::row::LocalId,
};

/// Names tried by itself, if nobody chose one and the first is taken: `ada2`, `ada3`, …
const NAME_SUFFIX_MAX: u32 = 20;

impl Owner {
    pub(super) fn on_event(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::StatusChanged | EngineEvent::ConversationsListed => self.on_status(),
            EngineEvent::ConversationChanged(id) => self.tell_conversation(id),
            EngineEvent::ConversationGone { conversation, refusal } => {
                self.subscribers.tell(&Event::Gone { conversation, refusal });
            }
            EngineEvent::Appended { conversation, from, to } => {
                // What is unread there, and since when it is quiet.
                self.tell_conversation(conversation);
                self.subscribers.tell(&Event::Appended { conversation, from, to });
            }
            EngineEvent::Backfilled { conversation, from, to } => {
                self.subscribers.tell(&Event::Appended { conversation, from, to });
            }
            EngineEvent::Outbox { local, state } => self.on_outbox(local, state),
            EngineEvent::Progress { conversation, members } => {
                self.note_progress(conversation, &members);
                self.subscribers.tell(&Event::Progress { conversation, members });
            }
            EngineEvent::ProgressCount(count) => {
                if let Some((record, now)) = self.relay.recorded() {
                    record.on_counted(now, &count);
                }
                self.subscribers.tell(&Event::ProgressCount {
                    conversation: count.conversation,
                    seq: count.seq,
                    received: count.received,
                    read: count.read,
                    of: count.of,
                });
            }
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
                if let Notice::Forked { conversation, common, .. } = notice {
                    self.subscribers.tell(&Event::Forked { conversation, common });
                }
                self.subscribers.tell(&view::notice(&self.engine, notice));
            }
            EngineEvent::Done { id, result } => self.on_done(id, result),
        }
    }

    fn on_status(&mut self) {
        self.vary_name();
        if self.engine.status().store.is_some() {
            self.release_reads();
        }
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

    fn tell_conversation(&mut self, id: ConversationId) {
        if let Some(known) = self.engine.conversation(id) {
            self.subscribers.tell(&Event::Conversation(Box::new(view::conversation(known))));
        }
    }

    /// Tells the lives of own messages how far others have got.
    fn note_progress(&mut self, conversation: ConversationId, members: &[MemberProgress]) {
        let me = self.engine.status().account.map(|info| info.account);
        let Some((record, now)) = self.relay.recorded() else { return };
        for member in members.iter().filter(|member| Some(member.account) != me) {
            let name = self.engine.person(member.account).map_or("somebody", |it| it.name.as_str());
            record.on_reached(now, conversation, *member, name);
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
            && let Some(Sending { reply, name, .. }) = self.callers.sends.remove(&local)
        {
            answer(reply, settled(local, name, state));
        }
    }
}
