//! What the hub does when a commit fails: load the store again, and do again what was pending.
//!
//! "Full" means nothing was written, "ambiguous" that it may have been. In both cases nobody has
//! been told anything, so the way back is the same; only afterwards they differ: a full store
//! refuses for now whatever needs a write, an ambiguous one goes on.

use std::sync::Arc;

use protocol::{
    ids::{AccountId, ConversationId, Seq},
    message::{RelayMessage, room::Standing},
    time::{Timestamp, WallTime},
};

use super::{
    Hub,
    batch::{Batch, Held, InFlight, Pledge},
    config::PROBE_INTERVAL,
    io::{Output, Publication, ToSession},
    timers::Timer,
};
use crate::store::{CommitError, Loaded};

/// Whether the store takes writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It does.
    Working,
    /// A commit failed; the store is being loaded again.
    Reloading,
    /// It takes none for now.
    Full {
        /// When to try.
        probe: Probe,
    },
}

/// A commit that finds out whether the store takes writes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// Not yet.
    Waiting,
    /// With the next `poll_commit`.
    Due,
}

/// What is left of the failed batches until the store is loaded.
#[derive(Debug, Default)]
pub(super) struct Salvage {
    pledges: Vec<Pledge>,
    is_full: bool,
    /// When it failed.
    wall: WallTime,
}

impl Hub {
    /// Gives up both batches and asks for the store to be loaded.
    pub(super) fn on_failed(&mut self, wall: WallTime, in_flight: InFlight, error: &CommitError) {
        tracing::error!(%error, "a commit failed");
        let filling = std::mem::take(&mut self.filling).abandon();
        self.salvage.pledges.extend([in_flight.pledge, filling]);
        self.salvage.wall = wall;
        self.salvage.is_full = matches!(error, CommitError::Full(_));
        self.health = Health::Reloading;
    }

    /// Takes the store's content after a failed commit, and does again what was pending.
    pub fn handle_reloaded(&mut self, now: Timestamp, loaded: Loaded) {
        let Salvage { pledges, is_full, wall } = std::mem::take(&mut self.salvage);
        self.state = loaded.state;
        self.commit_number = loaded.number;
        self.health = if is_full {
            self.timers.arm(Timer::Probe, now + PROBE_INTERVAL);
            Health::Full { probe: Probe::Waiting }
        } else {
            Health::Working
        };
        debug_assert!(self.filling.is_empty(), "nothing is decided while reloading");
        self.filling = Batch::default();
        self.publish_what_was_durable(&pledges);
        let mut inputs = Vec::new();
        for pledge in pledges {
            // These attach again below, as if for the first time.
            for session in pledge.attached {
                self.sessions.remove(session);
            }
            for mark in &pledge.marks {
                self.progress.restore(mark);
            }
            for held in pledge.held {
                self.keep_if_closing(held);
            }
            for (conversation, account) in pledge.members {
                self.tell_standing(conversation, account);
            }
            inputs.extend(pledge.inputs);
        }
        inputs.append(&mut self.deferred);
        for input in inputs {
            self.handle_input(now, wall, input);
        }
    }

    /// Logs that turn out to be longer than what was published: sessions read the rest from the
    /// store.
    fn publish_what_was_durable(&mut self, pledges: &[Pledge]) {
        let mut publication = Publication::default();
        for pledge in pledges {
            for (id, first) in &pledge.grown {
                let Some(conversation) = self.state.conversations.get(id) else { continue };
                let is_known = publication.advanced.iter().any(|(known, ..)| known == id);
                if conversation.head >= *first && !is_known {
                    publication.advanced.push((*id, conversation.head, conversation.chain));
                }
            }
        }
        if !publication.advanced.is_empty() {
            let publish = Output::Publish(Arc::new(publication));
            self.outputs.push_back(Held::Other(Box::new(publish)));
        }
    }

    /// A session that was to be closed is closed: it is no longer known here, so doing the input
    /// again would not say so.
    fn keep_if_closing(&mut self, held: Held) {
        if let Held::Other(output) = held
            && let Output::ToSession(_, ToSession::Close { .. }) = &*output
        {
            self.outputs.push_back(Held::Other(output));
        }
    }

    /// Tells an account how it stands to a conversation, after its membership may have changed
    /// without anybody being told.
    fn tell_standing(&mut self, id: ConversationId, account: AccountId) {
        let member = self.state.conversations.get(&id).and_then(|c| c.members.get(&account));
        match member.map(|member| member.membership) {
            Some(membership) if membership.standing != Standing::OUTSIDE => {
                self.tell_conversation(id, account);
            }
            Some(membership) => {
                self.revoke(account, id, membership.to.unwrap_or(Seq::ZERO), None);
            }
            None => {}
        }
    }

    /// Sends the conversation as the account sees it to all its sessions.
    pub(super) fn tell_conversation(&mut self, id: ConversationId, account: AccountId) {
        let Some(info) = self.conversation_info(id, account) else { return };
        let sessions: Vec<_> = self.sessions.of_account(account).collect();
        for session in sessions {
            self.tell(session, RelayMessage::Conversation(info.clone()));
        }
    }
}
