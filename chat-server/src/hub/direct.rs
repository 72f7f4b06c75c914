//! Direct conversations: two people, neither above the other. For the one who is written to it is
//! a request until they answer; blocking ends it without a word.

use bytes::Bytes;
use protocol::{
    ids::{AccountId, ConversationId, Seq},
    limits::LIST_ITEMS_MAX,
    message::{
        refusal::{Refusal, RefusalCode},
        request::Verdict,
        room::{Access, AccountInfo, ConversationInfo, Kind, Role, Standing},
    },
    time::WallTime,
};

use super::{
    Hub,
    op::{Membership, Op, Opened},
    requests::{Asking, is_yes},
};

impl Hub {
    pub(super) fn open_direct(
        &mut self,
        asking: &Asking,
        peer: AccountId,
    ) -> Result<ConversationInfo, Refusal> {
        let account = asking.account;
        let Some(other) = self.state.accounts.get(&peer) else {
            return Err(Refusal::last(RefusalCode::NO_SUCH_NAME, "no such account"));
        };
        if other.blocked.contains(&account) {
            return Err(Refusal::last(RefusalCode::BLOCKED, ""));
        }
        let id = ConversationId::direct(account, peer);
        match self.member(id, account).map(|own| own.standing) {
            Some(Standing::JOINED) => {}
            Some(Standing::INVITED) => self.accept_direct(id, account),
            Some(_) => self.set_direct(id, account, Standing::JOINED),
            None => self.found_direct(asking, id, peer)?,
        }
        self.info_for(asking, id)
    }

    fn found_direct(
        &mut self,
        asking: &Asking,
        id: ConversationId,
        peer: AccountId,
    ) -> Result<(), Refusal> {
        self.may_have_another_conversation(asking.account)?;
        self.may_have_another_conversation(peer)?;
        self.apply(Op::Opened(Opened {
            conversation: id,
            kind: Kind::DIRECT,
            name: String::new(),
            name_key: String::new(),
            topic: String::new(),
            access: Access::INVITED,
            genesis: Bytes::new(),
            creator: Some(asking.account),
        }));
        if peer != asking.account {
            self.set_direct_quietly(id, peer, Standing::INVITED);
        }
        self.set_direct_quietly(id, asking.account, Standing::JOINED);
        self.tell_conversation(id, asking.account);
        if peer != asking.account {
            self.tell_conversation(id, peer);
        }
        Ok(())
    }

    /// The one who was asked says yes: both see it.
    pub(super) fn accept_direct(&mut self, id: ConversationId, account: AccountId) {
        self.set_direct_quietly(id, account, Standing::JOINED);
        for member in self.joined(id) {
            self.tell_conversation(id, member);
        }
    }

    /// Answers a stranger's direct conversation.
    pub(super) fn answer_direct(
        &mut self,
        asking: &Asking,
        id: ConversationId,
        verdict: Verdict,
    ) -> Result<(), Refusal> {
        match self.member(id, asking.account).map(|own| own.standing) {
            Some(Standing::INVITED) if is_yes(verdict) => self.accept_direct(id, asking.account),
            Some(Standing::INVITED) => self.end_direct(id, asking.account),
            // Answered before.
            Some(_) => {}
            None => return Err(Refusal::last(RefusalCode::NOT_A_MEMBER, "")),
        }
        Ok(())
    }

    pub(super) fn leave_direct(&mut self, asking: &Asking, id: ConversationId) {
        let own = self.member(id, asking.account).map(|own| own.standing);
        if matches!(own, Some(Standing::JOINED | Standing::INVITED)) {
            self.end_direct(id, asking.account);
        }
    }

    fn end_direct(&mut self, id: ConversationId, account: AccountId) {
        let head = self.state.conversations.get(&id).map_or(Seq::ZERO, |c| c.head);
        self.set_outside(id, account, head);
        self.revoke(account, id, head, None);
        for member in self.joined(id) {
            self.tell_conversation(id, member);
        }
    }

    fn set_direct(&mut self, id: ConversationId, account: AccountId, standing: Standing) {
        self.set_direct_quietly(id, account, standing);
        self.tell_conversation(id, account);
    }

    fn set_direct_quietly(&mut self, id: ConversationId, account: AccountId, standing: Standing) {
        let member = Membership {
            standing,
            role: Role::MEMBER,
            muted_until: WallTime::default(),
            from: Seq::FIRST,
            to: None,
        };
        self.apply(Op::Member { conversation: id, account, member });
    }

    pub(super) fn block(
        &mut self,
        asking: &Asking,
        whom: AccountId,
        verdict: Verdict,
    ) -> Result<(), Refusal> {
        if !self.state.accounts.contains_key(&whom) || whom == asking.account {
            return Err(Refusal::last(RefusalCode::NO_SUCH_NAME, "no such account to block"));
        }
        let (on, blocked) = (is_yes(verdict), &self.state.accounts[&asking.account].blocked);
        if blocked.contains(&whom) == on {
            return Ok(());
        }
        let max = self.config.limits.blocked_per_account_max as usize;
        if on && blocked.len() >= max {
            return Err(Refusal::last(RefusalCode::LIMIT, format!("{max} blocked accounts")));
        }
        self.apply(Op::Blocked { account: asking.account, whom, on });
        // A request that waits is answered by that.
        let id = ConversationId::direct(asking.account, whom);
        let waits =
            self.member(id, asking.account).map(|own| own.standing) == Some(Standing::INVITED);
        if on && waits {
            self.end_direct(id, asking.account);
        }
        Ok(())
    }

    pub(super) fn blocked(&self, asking: &Asking) -> Vec<AccountInfo> {
        let blocked = &self.state.accounts[&asking.account].blocked;
        blocked.iter().take(LIST_ITEMS_MAX).map(|account| self.account_info(*account)).collect()
    }

    /// The people an account has direct conversations with.
    pub(super) fn partners(&self, account: AccountId) -> Vec<AccountId> {
        let of_account = self.state.memberships.get(&account).into_iter().flatten();
        of_account
            .filter_map(|id| self.state.conversations.get(id))
            .filter(|conversation| conversation.kind == Kind::DIRECT)
            .flat_map(|conversation| conversation.members.keys().copied())
            .filter(|other| *other != account)
            .collect()
    }
}
