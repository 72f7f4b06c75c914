//! Roles, and what they allow against others: kick, ban, mute, invite, admit.

use std::net::IpAddr;

use protocol::{
    ids::{AccountId, ConversationId, Seq},
    limits::LIST_ITEMS_MAX,
    message::{
        event::Change,
        refusal::{Refusal, RefusalCode},
        request::{Ban as BanRequest, Verdict},
        room::{AccountInfo, BanInfo, BanTarget, Kind, Role, Standing},
    },
    time::WallTime,
};

use super::{
    Hub,
    follow::{Whom, barring, hits},
    members::{Event, joined_members},
    op::{Ban, Membership, Op},
    requests::{Asking, check_reason, is_yes},
    rights::{self, Verb},
    rooms::{LIST_BYTES_MAX, ROW_BYTES},
};

impl Hub {
    pub(super) fn set_role(
        &mut self,
        asking: &Asking,
        id: ConversationId,
        account: AccountId,
        role: Role,
    ) -> Result<(), Refusal> {
        self.right_to(asking, id, Verb::Appoint)?;
        if !(Role::MEMBER..=Role::OWNER).contains(&role) {
            let detail = format!("role {}", role.0);
            return Err(Refusal::last(RefusalCode::UNSUPPORTED, detail));
        }
        let subject = self.joined_member(id, account)?;
        if subject.role == role {
            return Ok(());
        }
        if self.is_last_owner(id, account) {
            let detail = "the last owner stays one: appoint another first";
            return Err(Refusal::last(RefusalCode::NOT_ALLOWED, detail));
        }
        self.give_role(asking.wall, id, Some(asking.account), account, role);
        Ok(())
    }

    /// Gives a member a role, with its notice.
    pub(super) fn give_role(
        &mut self,
        wall: WallTime,
        id: ConversationId,
        actor: Option<AccountId>,
        account: AccountId,
        role: Role,
    ) {
        let Some(before) = self.member(id, account) else { return };
        self.notice(wall, id, Event::new(actor, Some(account), Change::Role(role)));
        let member = Membership { role, ..before };
        self.apply(Op::Member { conversation: id, account, member });
        self.tell_conversation(id, account);
    }

    pub(super) fn kick(
        &mut self,
        asking: &Asking,
        id: ConversationId,
        account: AccountId,
        reason: &str,
    ) -> Result<(), Refusal> {
        let actor = self.right_to(asking, id, Verb::Kick)?;
        check_reason(reason)?;
        let subject = self.joined_member(id, account)?;
        self.may_turn_against(asking, actor, account, subject)?;
        let event = Event {
            actor: Some(asking.account),
            subject: Some(account),
            change: Change::Kicked,
            reason,
        };
        let refusal = Refusal::last(RefusalCode::NOT_A_MEMBER, reason.to_owned());
        self.remove(asking.wall, id, account, event, Some(&refusal));
        Ok(())
    }

    pub(super) fn ban(
        &mut self,
        asking: &Asking,
        ask: &BanRequest,
    ) -> Result<Vec<AccountInfo>, Refusal> {
        let id = ask.conversation;
        let actor = self.right_to(asking, id, Verb::Ban)?;
        check_reason(&ask.reason)?;
        check_target(&ask.target)?;
        if ask.until != WallTime::default() && ask.until <= asking.wall {
            return Err(Refusal::last(RefusalCode::MALFORMED, "the ban would be over already"));
        }
        self.may_ban_target(asking, actor, &ask.target, id)?;
        let hit = self.hit_by(asking, actor, id, &ask.target);
        let infos = hit.iter().take(LIST_ITEMS_MAX).map(|a| self.account_info(*a)).collect();
        if ask.dry_run {
            return Ok(infos);
        }
        let bans_max = self.config.limits.bans_per_room_max as usize;
        let bans = &self.state.conversations[&id].bans;
        if bans.len() >= bans_max && !bans.contains_key(&ask.target) {
            return Err(Refusal::last(RefusalCode::LIMIT, format!("{bans_max} bans in one room")));
        }
        let ban = Ban { until: ask.until, reason: ask.reason.clone(), by: Some(asking.account) };
        self.apply(Op::Banned { conversation: id, target: ask.target.clone(), ban });
        let until = (ask.until != WallTime::default()).then_some(ask.until);
        let refusal = Refusal::last(RefusalCode::BANNED, ask.reason.clone());
        for account in &hit {
            let event = Event {
                actor: Some(asking.account),
                subject: Some(*account),
                change: Change::Banned(until),
                reason: &ask.reason,
            };
            self.remove(asking.wall, id, *account, event, Some(&refusal));
        }
        if hit.is_empty() {
            // Whoever it is meant for is not in; the log says that it is in force all the same.
            let event = Event {
                actor: Some(asking.account),
                subject: self.named_by(&ask.target),
                change: Change::Banned(until),
                reason: &ask.reason,
            };
            self.notice(asking.wall, id, event);
        }
        Ok(infos)
    }

    pub(super) fn unban(
        &mut self,
        asking: &Asking,
        id: ConversationId,
        target: &BanTarget,
    ) -> Result<(), Refusal> {
        self.right_to(asking, id, Verb::Ban)?;
        if !self.state.conversations[&id].bans.contains_key(target) {
            return Ok(());
        }
        self.apply(Op::Unbanned { conversation: id, target: target.clone() });
        let subject = self.named_by(target);
        self.notice(asking.wall, id, Event::new(Some(asking.account), subject, Change::Unbanned));
        Ok(())
    }

    pub(super) fn list_bans(
        &self,
        asking: &Asking,
        id: ConversationId,
    ) -> Result<Vec<BanInfo>, Refusal> {
        self.right_to(asking, id, Verb::Ban)?;
        let in_force = self.state.conversations[&id]
            .bans
            .iter()
            .filter(|(_, ban)| ban.until == WallTime::default() || ban.until > asking.wall)
            .take(LIST_ITEMS_MAX)
            .scan(0, |bytes, (target, ban)| {
                *bytes += ban.reason.len() + ROW_BYTES;
                (*bytes <= LIST_BYTES_MAX).then_some((target, ban))
            })
            .map(|(target, ban)| BanInfo {
                target: target.clone(),
                until: ban.until,
                reason: ban.reason.clone(),
                by: ban.by,
            });
        Ok(in_force.collect())
    }

    pub(super) fn mute(
        &mut self,
        asking: &Asking,
        id: ConversationId,
        account: AccountId,
        until: WallTime,
    ) -> Result<(), Refusal> {
        let actor = self.right_to(asking, id, Verb::Mute)?;
        let subject = self.joined_member(id, account)?;
        self.may_turn_against(asking, actor, account, subject)?;
        let is_mute = until > asking.wall;
        let muted_until = if is_mute { until } else { WallTime::default() };
        if subject.muted_until == muted_until {
            return Ok(());
        }
        let change = if is_mute { Change::Muted(Some(until)) } else { Change::Unmuted };
        self.notice(asking.wall, id, Event::new(Some(asking.account), Some(account), change));
        let member = Membership { muted_until, ..subject };
        self.apply(Op::Member { conversation: id, account, member });
        self.tell_conversation(id, account);
        Ok(())
    }

    pub(super) fn invite(
        &mut self,
        asking: &Asking,
        id: ConversationId,
        account: AccountId,
    ) -> Result<(), Refusal> {
        let actor = self.right_to(asking, id, Verb::Invite)?;
        let Some(invited) = self.state.accounts.get(&account) else {
            return Err(Refusal::last(RefusalCode::NO_SUCH_NAME, "no such account"));
        };
        if invited.blocked.contains(&asking.account) {
            return Err(Refusal::last(RefusalCode::BLOCKED, ""));
        }
        let conversation = &self.state.conversations[&id];
        let whom = Whom { account, device: None, address: None };
        if barring(conversation, asking.wall, &whom).is_some() {
            return Err(Refusal::last(RefusalCode::BANNED, "lift the ban first"));
        }
        match self.member(id, account).map(|m| m.standing) {
            Some(Standing::JOINED | Standing::INVITED) => return Ok(()),
            // They have asked: who may admit them does so by inviting.
            Some(Standing::REQUESTED)
                if rights::check(conversation.kind, actor, Verb::Admit).is_ok() =>
            {
                self.admit(asking.wall, id, account, Role::MEMBER, Some(asking.account));
                return Ok(());
            }
            _ => {}
        }
        self.may_have_another_conversation(account)?;
        let event = Event::new(Some(asking.account), Some(account), Change::Invited);
        self.notice(asking.wall, id, event);
        self.set_standing(id, account, Standing::INVITED);
        Ok(())
    }

    /// Answers a request to join, or a stranger's direct conversation.
    pub(super) fn answer_request(
        &mut self,
        asking: &Asking,
        id: ConversationId,
        account: AccountId,
        verdict: Verdict,
    ) -> Result<(), Refusal> {
        if self.state.conversations.get(&id).is_some_and(|c| c.kind == Kind::DIRECT) {
            return self.answer_direct(asking, id, verdict);
        }
        self.right_to(asking, id, Verb::Admit)?;
        match self.member(id, account).map(|m| m.standing) {
            Some(Standing::REQUESTED) if is_yes(verdict) => {
                self.may_take_another_member(id)?;
                self.admit(asking.wall, id, account, Role::MEMBER, Some(asking.account));
                Ok(())
            }
            Some(Standing::REQUESTED) => {
                let head = self.state.conversations[&id].head;
                self.set_outside(id, account, head);
                let refusal = Refusal::last(RefusalCode::NOT_ALLOWED, "the request was declined");
                self.revoke(account, id, Seq::ZERO, Some(&refusal));
                Ok(())
            }
            // Another moderator was faster.
            Some(Standing::JOINED) if is_yes(verdict) => Ok(()),
            _ => Err(Refusal::last(RefusalCode::NOT_A_MEMBER, "there is no such request")),
        }
    }

    fn joined_member(&self, id: ConversationId, account: AccountId) -> Result<Membership, Refusal> {
        self.member(id, account)
            .filter(|m| m.standing == Standing::JOINED)
            .ok_or_else(|| Refusal::last(RefusalCode::NOT_A_MEMBER, "they are not in the room"))
    }

    #[expect(clippy::unused_self, reason = "a step of the checks, beside the others")]
    fn may_turn_against(
        &self,
        asking: &Asking,
        actor: Membership,
        account: AccountId,
        subject: Membership,
    ) -> Result<(), Refusal> {
        if account == asking.account {
            return Err(Refusal::last(RefusalCode::NOT_ALLOWED, "not against yourself"));
        }
        rights::check_rank(actor.role, subject.role)
    }

    /// A ban by name must not be turned upwards or against oneself. One by address hits nobody who
    /// is above.
    fn may_ban_target(
        &self,
        asking: &Asking,
        actor: Membership,
        target: &BanTarget,
        id: ConversationId,
    ) -> Result<(), Refusal> {
        let Some(account) = self.named_by(target) else { return Ok(()) };
        if account == asking.account {
            return Err(Refusal::last(RefusalCode::NOT_ALLOWED, "not against yourself"));
        }
        match self.joined_member(id, account) {
            Ok(subject) => rights::check_rank(actor.role, subject.role),
            Err(_) => Ok(()),
        }
    }

    /// Members the target hits now. By address: those who are connected from there.
    fn hit_by(
        &self,
        asking: &Asking,
        actor: Membership,
        id: ConversationId,
        target: &BanTarget,
    ) -> Vec<AccountId> {
        let named = self.named_by(target);
        joined_members(&self.state.conversations[&id])
            .filter(|(account, member)| {
                *account != asking.account && rights::check_rank(actor.role, member.role).is_ok()
            })
            .map(|(account, _)| account)
            .filter(|account| {
                named == Some(*account)
                    || self.addresses(*account).any(|address| {
                        let whom = Whom { account: *account, device: None, address: Some(address) };
                        hits(target, &whom)
                    })
            })
            .collect()
    }

    /// The person a target names, if it names one.
    fn named_by(&self, target: &BanTarget) -> Option<AccountId> {
        match target {
            BanTarget::Account(account) => Some(*account),
            BanTarget::Device(device) => self.state.devices.get(device).map(|d| d.account),
            BanTarget::Address { .. } | BanTarget::Other(..) => None,
        }
    }

    fn addresses(&self, account: AccountId) -> impl Iterator<Item = IpAddr> + '_ {
        self.sessions
            .of_account(account)
            .filter_map(|session| self.sessions.get(session))
            .map(|session| session.address)
    }
}

fn check_target(target: &BanTarget) -> Result<(), Refusal> {
    match target {
        BanTarget::Account(_) | BanTarget::Device(_) => Ok(()),
        BanTarget::Address { bits, .. } if *bits <= 128 => Ok(()),
        BanTarget::Address { bits, .. } => {
            let detail = format!("a prefix of {bits} bits");
            Err(Refusal::last(RefusalCode::MALFORMED, detail))
        }
        BanTarget::Other(sort, _) => {
            let detail = format!("ban target {sort}");
            Err(Refusal::last(RefusalCode::UNSUPPORTED, detail))
        }
    }
}
