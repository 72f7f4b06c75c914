//! What the hub says goes to sessions, on the way noticed and, with a planted bug, falsified.

use std::collections::BTreeSet;

use chat_server::{
    hub::{Output, Publication, ToSession},
    session::Subscription,
};
use protocol::{
    ids::{DeviceId, MessageId},
    message::{
        RelayMessage,
        refusal::RefusalCode,
        session::{Accepted, Rejected},
    },
};

use super::Running;
use crate::{
    bugs::Bug,
    marks::{Mark, Marks},
    model::Model,
};

impl Running {
    pub(super) fn dispatch(
        &mut self,
        output: Output,
        bug: Option<Bug>,
        unanswered: &mut BTreeSet<MessageId>,
        model: &mut Model,
        marks: &mut Marks,
    ) {
        match output {
            Output::Publish(publication) => self.publish(&publication),
            Output::ToSession(id, mut to) => {
                let Some(end) = self.links.get(&id).and_then(|link| self.ends.get_mut(link)) else {
                    return;
                };
                if let ToSession::Attached { device, .. } = &to {
                    end.device = Some(*device);
                }
                let device = end.device;
                match &mut to {
                    ToSession::Message(RelayMessage::Accepted(accepted)) => {
                        note_accepted(accepted, device, unanswered, bug, marks);
                    }
                    ToSession::Message(RelayMessage::Rejected(rejected)) => {
                        if let Some(device) = device {
                            let id = MessageId { device, counter: rejected.counter };
                            note_rejected(rejected, id, bug, model, marks);
                        }
                    }
                    ToSession::Close { refusal } => {
                        if refusal.code == RefusalCode::SUPERSEDED {
                            marks.hit(Mark::SupersededWithQueuedSends);
                        }
                    }
                    ToSession::Follow { follow, first, .. } => {
                        if follow.after.next() < *first {
                            marks.hit(Mark::TrimmedCursor);
                        }
                    }
                    ToSession::Message(_)
                    | ToSession::Attached { .. }
                    | ToSession::ChainAt { .. }
                    | ToSession::Revoke { .. } => {}
                }
                let Some((_, session)) = &mut end.session else { return };
                match session.handle(to, &self.tails) {
                    Some(Subscription::Follow(conversation)) => {
                        self.followers.entry(conversation).or_default().insert(id);
                    }
                    Some(Subscription::Unfollow(conversation)) => {
                        self.followers.entry(conversation).or_default().remove(&id);
                    }
                    None => {}
                }
            }
            Output::LookAtAges(look) => self.look = Some(look),
            Output::ToOperator(..) => {}
        }
    }

    fn publish(&mut self, publication: &Publication) {
        self.tails.publish(publication);
        let grown = publication.runs.iter().map(|run| (run.conversation, run.last()));
        let advanced = publication.advanced.iter().map(|(id, head, _)| (*id, *head));
        for (conversation, head) in grown.chain(advanced) {
            for session in self.followers.get(&conversation).into_iter().flatten() {
                let end = self.links.get(session).and_then(|link| self.ends.get_mut(link));
                if let Some((_, session)) = end.and_then(|end| end.session.as_mut()) {
                    session.advance(conversation, head);
                }
            }
        }
    }
}

fn note_accepted(
    accepted: &mut Accepted,
    device: Option<DeviceId>,
    unanswered: &mut BTreeSet<MessageId>,
    bug: Option<Bug>,
    marks: &mut Marks,
) {
    if let Some(device) = device
        && unanswered.remove(&MessageId { device, counter: accepted.counter })
    {
        marks.hit(Mark::DuplicateAfterCommitCrash);
    }
    if bug == Some(Bug::AcceptedElsewhere) {
        accepted.seq = accepted.seq.next();
    }
}

fn note_rejected(
    rejected: &mut Rejected,
    id: MessageId,
    bug: Option<Bug>,
    model: &mut Model,
    marks: &mut Marks,
) {
    // "Decided earlier" is not a decision: the real one must have been seen before.
    let code = rejected.refusal.code;
    let decides = code != RefusalCode::ALREADY_DECIDED && code != RefusalCode::COUNTER_REUSED;
    if decides && rejected.refusal.retry_after().is_none() {
        model.on_refused((rejected.conversation, id));
    }
    if rejected.refusal.code == RefusalCode::WAITING {
        marks.hit(Mark::StickyRefusal);
    }
    if bug == Some(Bug::RefusalTakenForFinal) {
        rejected.refusal.retry_after_ms = 0;
    }
}
