//! How far everybody has got: marks come in, are told to those who care, and are written down when
//! there is a commit anyway.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    ids::{AccountId, ConversationId, Seq},
    limits::PROGRESS_MEMBERS_MAX,
    message::{
        RelayMessage,
        room::Standing,
        session::{Mark, MemberProgress, Progress as ProgressMessage, ProgressCount},
    },
    time::Timestamp,
};

use super::{
    Hub,
    config::{MARKS_DELAY, MARKS_PER_COMMIT_MAX, PROGRESS_INTERVAL},
    io::SessionId,
    members::joined_members,
    op::{Fate, Op},
    state::Conversation,
    timers::Timer,
};

/// Marks that are not durable yet, and whom to tell of what.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Received and read, where that is more than the state says.
    pending: BTreeMap<(ConversationId, AccountId), (Seq, Seq)>,
    /// Whose progress rose since it was last told.
    risen: BTreeMap<ConversationId, BTreeSet<AccountId>>,
    /// The counts told last, so that an unchanged one is not told again.
    counts: BTreeMap<(SessionId, ConversationId), (Seq, u32, u32)>,
    /// Marks have waited long enough for a commit to ride on.
    is_due: bool,
}

/// A mark on its way to the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingMark {
    conversation: ConversationId,
    account: AccountId,
    received: Seq,
    read: Seq,
}

impl Progress {
    /// How far an account has read, as far as marks say that are not durable yet.
    pub(super) fn read(&self, id: ConversationId, account: AccountId) -> Seq {
        self.pending.get(&(id, account)).map_or(Seq::ZERO, |(_, read)| *read)
    }

    /// The marks make a commit of their own now.
    pub(super) fn flush_now(&mut self) {
        self.is_due = !self.pending.is_empty();
    }

    pub(super) fn forget_session(&mut self, session: SessionId) {
        let low = (session, ConversationId([0; 16]));
        let high = (session, ConversationId([0xff; 16]));
        while let Some((key, _)) = self.counts.range(low..=high).next() {
            let key = *key;
            self.counts.remove(&key);
        }
    }

    /// Takes back marks whose commit failed.
    pub(super) fn restore(&mut self, mark: &PendingMark) {
        let pending = self.pending.entry((mark.conversation, mark.account)).or_default();
        *pending = (pending.0.max(mark.received), pending.1.max(mark.read));
        self.is_due = true;
    }

    fn of(
        &self,
        id: ConversationId,
        conversation: &Conversation,
        account: AccountId,
    ) -> (Seq, Seq) {
        let known = conversation
            .members
            .get(&account)
            .map_or((Seq::ZERO, Seq::ZERO), |member| (member.received, member.read));
        let pending = self.pending.get(&(id, account)).copied().unwrap_or_default();
        (known.0.max(pending.0), known.1.max(pending.1))
    }
}

impl Hub {
    /// Takes a mark: only what rises counts, and nothing beyond the log's end.
    pub(super) fn on_mark(&mut self, now: Timestamp, session: SessionId, mark: Mark) {
        let Some(account) = self.sessions.get(session).map(|session| session.account) else {
            return;
        };
        let id = mark.conversation;
        let Some(conversation) = self.state.conversations.get(&id) else { return };
        let is_member = conversation.members.get(&account).is_some_and(|member| {
            matches!(member.membership.standing, Standing::JOINED | Standing::INVITED)
        });
        if !is_member {
            return;
        }
        let (received, read) = self.progress.of(id, conversation, account);
        let risen_read = mark.read.min(conversation.head).max(read);
        // Read implies received, whatever the client says.
        let risen_received = mark.received.min(conversation.head).max(received).max(risen_read);
        if (risen_received, risen_read) == (received, read) {
            return;
        }
        self.progress.pending.insert((id, account), (risen_received, risen_read));
        self.progress.risen.entry(id).or_default().insert(account);
        self.timers.arm(Timer::Progress, now + PROGRESS_INTERVAL);
        self.timers.arm(Timer::Marks, now + MARKS_DELAY);
        if risen_read > read {
            self.tell_own_devices(session, id, account, risen_received, risen_read);
        }
    }

    /// Unread counts of one's other devices follow at once.
    fn tell_own_devices(
        &mut self,
        from: SessionId,
        conversation: ConversationId,
        account: AccountId,
        received: Seq,
        read: Seq,
    ) {
        let others: Vec<_> =
            self.sessions.of_account(account).filter(|other| *other != from).collect();
        for other in others {
            let members = vec![MemberProgress { account, received, read }];
            self.tell(other, RelayMessage::Progress(ProgressMessage { conversation, members }));
        }
    }

    /// Somebody has just begun to look at a conversation: tell them how far everybody is.
    pub(super) fn want_progress(&mut self, now: Timestamp, id: ConversationId) {
        let Some(conversation) = self.state.conversations.get(&id) else { return };
        if conversation.joined <= PROGRESS_MEMBERS_MAX {
            let members = joined_members(conversation).map(|(account, _)| account);
            self.progress.risen.entry(id).or_default().extend(members);
        } else {
            self.progress.risen.entry(id).or_default();
        }
        self.timers.arm(Timer::Progress, now + PROGRESS_INTERVAL);
    }

    /// Tells whoever has a conversation on screen, or has said something there, what rose.
    pub(super) fn tell_progress(&mut self) {
        for (id, accounts) in std::mem::take(&mut self.progress.risen) {
            let Some(conversation) = self.state.conversations.get(&id) else { continue };
            if conversation.joined <= PROGRESS_MEMBERS_MAX {
                self.tell_members_progress(id, &accounts);
            } else {
                self.tell_progress_counts(id);
            }
        }
    }

    fn tell_members_progress(&mut self, id: ConversationId, accounts: &BTreeSet<AccountId>) {
        let conversation = &self.state.conversations[&id];
        let members: Vec<_> = accounts
            .iter()
            .map(|account| {
                let (received, read) = self.progress.of(id, conversation, *account);
                MemberProgress { account: *account, received, read }
            })
            .collect();
        let sessions: Vec<_> = joined_members(conversation)
            .flat_map(|(account, _)| self.sessions.of_account(account))
            .filter(|session| self.cares_for(id, conversation, *session))
            .collect();
        for session in sessions {
            let members = members.clone();
            let progress = ProgressMessage { conversation: id, members };
            self.tell(session, RelayMessage::Progress(progress));
        }
    }

    fn cares_for(&self, id: ConversationId, on: &Conversation, session: SessionId) -> bool {
        self.sessions.get(session).is_some_and(|session| {
            session.shown.contains(&id) || on.senders.contains_key(&session.device)
        })
    }

    /// In large conversations each sender learns how many have its newest message.
    fn tell_progress_counts(&mut self, id: ConversationId) {
        let conversation = &self.state.conversations[&id];
        let mut received = Vec::with_capacity(conversation.members.len());
        let mut read = Vec::with_capacity(conversation.members.len());
        for (account, _) in joined_members(conversation) {
            let (account_received, account_read) = self.progress.of(id, conversation, account);
            received.push(account_received);
            read.push(account_read);
        }
        received.sort_unstable();
        read.sort_unstable();
        let at_least = |sorted: &[Seq], seq: Seq| {
            u32::try_from(sorted.len() - sorted.partition_point(|at| *at < seq)).unwrap_or(u32::MAX)
        };
        let of = conversation.joined;
        let mut told = Vec::new();
        for (device, sender) in &conversation.senders {
            let placed = sender.decided.values().rev().find_map(|(fate, _)| match fate {
                Fate::Placed(seq) => Some(seq),
                Fate::Refused(_) => None,
            });
            let Some(seq) = placed else { continue };
            let Some(session) = self.sessions.of_device(*device) else { continue };
            let counts = (*seq, at_least(&received, *seq), at_least(&read, *seq));
            told.push((session, counts));
        }
        for (session, counts) in told {
            if self.progress.counts.insert((session, id), counts) == Some(counts) {
                continue;
            }
            let (seq, received, read) = counts;
            let count = ProgressCount { conversation: id, seq, received, read, of };
            self.tell(session, RelayMessage::ProgressCount(count));
        }
    }

    /// Adds waiting marks to the batch: when it is committed anyway, or when they have waited.
    pub(super) fn flush_marks(&mut self) {
        if self.filling.is_empty() && !self.progress.is_due {
            return;
        }
        for _ in 0..MARKS_PER_COMMIT_MAX {
            let Some(((conversation, account), (received, read))) =
                self.progress.pending.pop_first()
            else {
                break;
            };
            let mark = PendingMark { conversation, account, received, read };
            self.filling.pledge.marks.push(mark);
            self.apply(Op::Marked { conversation, account, received, read });
        }
        // What did not fit makes the next commit.
        self.progress.is_due = !self.progress.pending.is_empty();
        if !self.progress.is_due {
            self.timers.cancel(Timer::Marks);
        }
    }
}
