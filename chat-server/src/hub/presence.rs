//! Who is there: told to those who look, together and not too often, and never stored.
//!
//! A device that is back within [`RECONNECT_GRACE`] has not been away, and nobody is told *offline*
//! in the first [`OFFLINE_SILENCE_AFTER_START`]: after a restart everybody has to come back first.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    ids::{AccountId, ConversationId},
    limits::{PRESENCE_MEMBERS_MAX, TYPING_MEMBERS_MAX, WATCHED_ACCOUNTS_MAX},
    message::{
        RelayMessage,
        room::{self, Standing},
        session::{PresenceChanged, PresenceCount, Show, Typing, TypingBy, Watch},
    },
    time::{Timestamp, WallTime},
};

use super::{
    Hub,
    config::{
        OFFLINE_SILENCE_AFTER_START, PRESENCE_COUNT_INTERVAL, PRESENCE_INTERVAL, RECONNECT_GRACE,
        SHOWN_MAX, TYPING_INTERVAL,
    },
    io::SessionId,
    members::joined_members,
    sessions::Session,
    timers::Timer,
};

/// Who looks at whom, and what they have not been told yet.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// When the first input arrived.
    started: Option<Timestamp>,
    watchers: BTreeSet<(AccountId, SessionId)>,
    /// Who has a conversation on screen.
    shown_by: BTreeSet<(ConversationId, SessionId)>,
    /// Accounts whose presence changed since it was last told.
    changed: BTreeSet<AccountId>,
    /// Accounts without a session, and when that counts as offline.
    leaving: BTreeMap<AccountId, Timestamp>,
    /// The counts told last.
    counts: BTreeMap<(ConversationId, SessionId), u32>,
}

impl Presence {
    pub(super) fn forget_session(&mut self, id: SessionId, session: &Session) {
        for account in &session.watched {
            self.watchers.remove(&(*account, id));
        }
        for conversation in &session.shown {
            self.shown_by.remove(&(*conversation, id));
            self.counts.remove(&(*conversation, id));
        }
    }

    /// Sessions that watch the account.
    pub(super) fn watchers(&self, account: AccountId) -> impl Iterator<Item = SessionId> + '_ {
        let low = (account, SessionId::new(0, 0));
        let same = move |(of, _): &&(AccountId, SessionId)| *of == account;
        self.watchers.range(low..).take_while(same).map(|(_, session)| *session)
    }
}

impl Hub {
    /// True if the account has a session, or had one a moment ago.
    pub(super) fn is_present(&self, account: AccountId) -> bool {
        self.sessions.is_online(account) || self.presence.leaving.contains_key(&account)
    }

    pub(super) fn came(&mut self, now: Timestamp, account: AccountId) {
        self.presence.started.get_or_insert(now);
        if self.presence.leaving.remove(&account).is_none() {
            self.presence.changed.insert(account);
            self.timers.arm(Timer::Presence, now + PRESENCE_INTERVAL);
        }
        self.arm_counts(now);
    }

    pub(super) fn went(&mut self, now: Timestamp, account: AccountId) {
        let started = *self.presence.started.get_or_insert(now);
        let silent_until = started + OFFLINE_SILENCE_AFTER_START;
        let at = (now + RECONNECT_GRACE).max(silent_until);
        self.presence.leaving.insert(account, at);
        self.timers.arm(Timer::Presence, at);
    }

    pub(super) fn on_watch(&mut self, id: SessionId, watch: &Watch) {
        if watch.accounts.len() > WATCHED_ACCOUNTS_MAX {
            return self.close_malformed(id, "watch");
        }
        let Some(session) = self.sessions.get_mut(id) else { return };
        let watcher = session.account;
        let before = std::mem::replace(&mut session.watched, watch.accounts.as_slice().into());
        for account in before {
            self.presence.watchers.remove(&(account, id));
        }
        let mut accounts = Vec::with_capacity(watch.accounts.len());
        for account in &watch.accounts {
            self.presence.watchers.insert((*account, id));
            accounts.push((*account, self.presence_for(watcher, *account)));
        }
        if !accounts.is_empty() {
            self.tell(id, RelayMessage::Presence(PresenceChanged { accounts }));
        }
    }

    pub(super) fn on_show(&mut self, now: Timestamp, id: SessionId, show: &Show) {
        if show.conversations.len() > SHOWN_MAX {
            return self.close_malformed(id, "show");
        }
        let Some(session) = self.sessions.get_mut(id) else { return };
        let account = session.account;
        let mut shown = show.conversations.clone();
        shown.retain(|conversation| {
            let member = self
                .state
                .conversations
                .get(conversation)
                .and_then(|conversation| conversation.members.get(&account));
            member.is_some_and(|member| member.membership.standing == Standing::JOINED)
        });
        let before = std::mem::replace(&mut session.shown, shown.as_slice().into());
        for conversation in before {
            self.presence.shown_by.remove(&(conversation, id));
            self.presence.counts.remove(&(conversation, id));
        }
        for conversation in shown {
            self.presence.shown_by.insert((conversation, id));
            self.want_progress(now, conversation);
        }
        self.arm_counts(now);
    }

    /// Tells watchers what changed since the last time, all at once.
    pub(super) fn tell_presence(&mut self, now: Timestamp) {
        let leaving = &mut self.presence.leaving;
        let gone: Vec<_> =
            leaving.iter().filter(|(_, at)| **at <= now).map(|(account, _)| *account).collect();
        for account in gone {
            leaving.remove(&account);
            self.presence.changed.insert(account);
        }
        if let Some(next) = self.presence.leaving.values().min() {
            self.timers.arm(Timer::Presence, *next);
        }
        let mut told: BTreeMap<SessionId, Vec<_>> = BTreeMap::new();
        for account in std::mem::take(&mut self.presence.changed) {
            for watcher in self.presence.watchers(account) {
                let Some(session) = self.sessions.get(watcher) else { continue };
                let presence = self.presence_for(session.account, account);
                told.entry(watcher).or_default().push((account, presence));
            }
        }
        for (watcher, accounts) in told {
            self.tell(watcher, RelayMessage::Presence(PresenceChanged { accounts }));
        }
        self.arm_counts(now);
    }

    fn presence_for(&self, watcher: AccountId, account: AccountId) -> room::Presence {
        match self.state.accounts.get(&account) {
            None => room::Presence::UNKNOWN,
            // Whom one blocks does not see one come and go.
            Some(known) if known.blocked.contains(&watcher) => room::Presence::UNKNOWN,
            Some(_) if self.is_present(account) => room::Presence::ONLINE,
            Some(_) => room::Presence::OFFLINE,
        }
    }

    fn arm_counts(&mut self, now: Timestamp) {
        if !self.presence.shown_by.is_empty() {
            self.timers.arm(Timer::PresenceCount, now + PRESENCE_COUNT_INTERVAL);
        }
    }

    /// Tells how many are there, in conversations too large for names, where it changed.
    pub(super) fn tell_presence_counts(&mut self) {
        let mut count_of: BTreeMap<ConversationId, u32> = BTreeMap::new();
        let shown: Vec<_> = self.presence.shown_by.iter().copied().collect();
        for (id, session) in shown {
            let Some(conversation) = self.state.conversations.get(&id) else { continue };
            if conversation.joined <= PRESENCE_MEMBERS_MAX {
                continue;
            }
            let online = *count_of.entry(id).or_insert_with(|| {
                let present =
                    joined_members(conversation).filter(|(account, _)| self.is_present(*account));
                u32::try_from(present.count()).unwrap_or(u32::MAX)
            });
            if self.presence.counts.insert((id, session), online) != Some(online) {
                let count = PresenceCount { conversation: id, online };
                self.tell(session, RelayMessage::PresenceCount(count));
            }
        }
    }

    /// Passes on that a person writes, in conversations small enough for that.
    pub(super) fn on_typing(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        id: SessionId,
        typing: Typing,
    ) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.typed_at.is_some_and(|at| now.since(at) < TYPING_INTERVAL) {
            return;
        }
        session.typed_at = Some(now);
        let account = session.account;
        let Some(conversation) = self.state.conversations.get(&typing.conversation) else { return };
        let may_speak = conversation.members.get(&account).is_some_and(|member| {
            member.membership.standing == Standing::JOINED && member.membership.muted_until <= wall
        });
        if !may_speak || conversation.joined > TYPING_MEMBERS_MAX {
            return;
        }
        let others: Vec<_> = joined_members(conversation)
            .filter(|(other, _)| *other != account)
            .flat_map(|(other, _)| self.sessions.of_account(other))
            .collect();
        for other in others {
            let by = TypingBy { conversation: typing.conversation, account };
            self.tell(other, RelayMessage::Typing(by));
        }
    }
}
