//! Membership rows and the notices about them: every change of a room is a record of its log.

use std::borrow::Cow;

use protocol::{
    ids::{AccountId, ConversationId, Counter, DeviceId, Seq},
    message::{
        event::{Body, Change, Notice},
        ext::Ext,
        record::{Class, Content, ENVELOPE_VERSION, Envelope, Record},
        refusal::Refusal,
        room::{ConversationInfo, Kind, MemberInfo, Presence, Role, Standing},
    },
    time::WallTime,
};
use serde_bytes::ByteBuf;

use super::{
    Hub,
    op::{Membership, Op},
    state::Conversation,
};

/// What happened to a conversation, for its log.
#[derive(Clone, Debug)]
pub(super) struct Event<'a> {
    pub(super) actor: Option<AccountId>,
    pub(super) subject: Option<AccountId>,
    pub(super) change: Change,
    pub(super) reason: &'a str,
}

impl Event<'_> {
    /// Something that needs no reason.
    pub(super) const fn new(
        actor: Option<AccountId>,
        subject: Option<AccountId>,
        change: Change,
    ) -> Self {
        Self { actor, subject, change, reason: "" }
    }
}

impl Hub {
    /// Appends a notice that the relay writes itself; its place.
    pub(super) fn notice(&mut self, wall: WallTime, id: ConversationId, event: Event<'_>) -> Seq {
        let Some(conversation) = self.state.conversations.get_mut(&id) else {
            unreachable!("notices are about conversations that exist");
        };
        let Event { actor, subject, change, reason } = event;
        let body = Body::Notice(Notice {
            actor,
            subject,
            change,
            reason: reason.to_owned(),
            ext: Ext::none(),
        });
        let envelope = Envelope {
            version: ENVELOPE_VERSION,
            device: DeviceId::RELAY,
            // The relay has no counter of its own; the place names a notice as well.
            counter: Counter(conversation.head.next().0),
            class: Class::CONTROL,
            target: None,
            epoch: 0,
            seen: (Seq::ZERO, [0; 8]),
            ext: Ext::none(),
        };
        let record = Record {
            envelope: Cow::Owned(envelope.encode()),
            signature: Cow::Borrowed(&[]),
            content: Content::Body(Cow::Owned(body.encode())),
        };
        let hash = record.envelope_hash(id);
        let (seq, _) = self.filling.append(id, conversation, wall, &record, &hash, |_| None);
        self.trim_by_count(id);
        seq
    }

    /// Makes an account a member, with its notice, and tells its sessions.
    pub(super) fn admit(
        &mut self,
        wall: WallTime,
        id: ConversationId,
        account: AccountId,
        role: Role,
        actor: Option<AccountId>,
    ) {
        let event = Event::new(actor, Some(account), Change::Joined);
        let from = self.notice(wall, id, event);
        let before = self.member(id, account);
        let muted_until = before.map_or(WallTime::default(), |before| before.muted_until);
        let member = Membership { muted_until, ..Membership::joined(role, from) };
        self.apply(Op::Member { conversation: id, account, member });
        self.tell_conversation(id, account);
    }

    /// Ends a membership, with its notice, and tells its sessions.
    pub(super) fn remove(
        &mut self,
        wall: WallTime,
        id: ConversationId,
        account: AccountId,
        event: Event<'_>,
        refusal: Option<&Refusal>,
    ) {
        let to = self.notice(wall, id, event);
        self.set_outside(id, account, to);
        self.revoke(account, id, to, refusal);
    }

    /// Ends an account's part in a conversation at `to`. A mute outlives it, so that leaving and
    /// coming back does not lift it.
    pub(super) fn set_outside(&mut self, id: ConversationId, account: AccountId, to: Seq) {
        let Some(before) = self.member(id, account) else { return };
        let member =
            Membership { standing: Standing::OUTSIDE, role: Role::MEMBER, to: Some(to), ..before };
        self.apply(Op::Member { conversation: id, account, member });
    }

    /// An account's row in a conversation, if it ever had one.
    pub(super) fn member(&self, id: ConversationId, account: AccountId) -> Option<Membership> {
        let member = self.state.conversations.get(&id)?.members.get(&account)?;
        Some(member.membership)
    }

    /// A conversation as an account sees it.
    pub(super) fn conversation_info(
        &self,
        id: ConversationId,
        account: AccountId,
    ) -> Option<ConversationInfo> {
        let conversation = self.state.conversations.get(&id)?;
        let member = conversation.members.get(&account);
        let membership = member.map(|member| member.membership);
        let read = member.map_or(Seq::ZERO, |member| member.read);
        Some(ConversationInfo {
            id,
            kind: conversation.kind,
            name: conversation.name.clone(),
            topic: conversation.topic.clone(),
            access: conversation.access,
            standing: membership.map_or(Standing::OUTSIDE, |m| m.standing),
            role: membership.map_or(Role::MEMBER, |m| m.role),
            muted_until: membership.map_or(WallTime::default(), |m| m.muted_until),
            peer: (conversation.kind == Kind::DIRECT)
                .then(|| self.account_info(peer_of(conversation, account))),
            first: conversation.first,
            head: conversation.head,
            read: read.max(self.progress.read(id, account)),
            members: conversation.joined,
            genesis: ByteBuf::from(conversation.genesis.to_vec()),
            ext: Ext::none(),
        })
    }

    /// A member as others see it.
    pub(super) fn member_info(&self, account: AccountId, membership: &Membership) -> MemberInfo {
        let presence = if self.is_present(account) { Presence::ONLINE } else { Presence::OFFLINE };
        MemberInfo {
            account: self.account_info(account),
            role: membership.role,
            standing: membership.standing,
            muted_until: membership.muted_until,
            presence,
        }
    }

    /// Members of a conversation who are in.
    pub(super) fn joined(&self, id: ConversationId) -> Vec<AccountId> {
        let Some(conversation) = self.state.conversations.get(&id) else { return Vec::new() };
        joined_members(conversation).map(|(account, _)| account).collect()
    }
}

/// Everybody who is in, with their rows.
pub(super) fn joined_members(
    conversation: &Conversation,
) -> impl Iterator<Item = (AccountId, Membership)> + '_ {
    conversation
        .members
        .iter()
        .filter(|(_, member)| member.membership.standing == Standing::JOINED)
        .map(|(account, member)| (*account, member.membership))
}

/// The other person of a direct conversation; oneself, if it is with oneself.
fn peer_of(conversation: &Conversation, account: AccountId) -> AccountId {
    conversation.members.keys().copied().find(|other| *other != account).unwrap_or(account)
}
