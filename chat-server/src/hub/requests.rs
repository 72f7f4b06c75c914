//! Questions with one answer: who may ask, and which subject answers.

use std::{collections::BTreeSet, ops::Bound};

use protocol::{
    ids::{AccountId, ConversationId},
    limits::{LIST_ITEMS_MAX, REASON_BYTES_MAX},
    message::{
        RelayMessage,
        ext::Ext,
        refusal::{Refusal, RefusalCode},
        request::{Outcome, Reply, Request, Verdict},
        room::{AccountInfo, DeviceInfo, MemberInfo, Standing},
        session::People,
    },
    time::{Timestamp, WallTime},
};

use super::{
    Hub,
    io::{Output, SessionId, ToSession},
    names,
    op::{Membership, Op},
    rights::{self, Verb},
};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    pub(super) session: SessionId,
    pub(super) account: AccountId,
    pub(super) wall: WallTime,
}

impl Hub {
    pub(super) fn on_request(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        session: SessionId,
        id: u32,
        request: &Request,
    ) {
        let Some(account) = self.sessions.get(session).map(|session| session.account) else {
            return;
        };
        let asking = Asking { session, account, wall };
        if let Request::ChainAt(ask) = request
            && let Ok(_) = self.visible(wall, session, ask.conversation)
        {
            let chain_at = ToSession::ChainAt { id, conversation: ask.conversation, seq: ask.seq };
            return self.put(Output::ToSession(session, chain_at));
        }
        let outcome =
            self.may_ask(now, &asking, request).and_then(|()| self.answer(&asking, request));
        self.tell(session, RelayMessage::Reply(id, outcome));
    }

    fn may_ask(
        &mut self,
        now: Timestamp,
        asking: &Asking,
        request: &Request,
    ) -> Result<(), Refusal> {
        if changes_something(request)
            && let Some(refusal) = self.refusal_for_now()
        {
            return Err(refusal);
        }
        self.quotas.take_request(now, &self.config.limits, asking.account).map_err(|exceeded| {
            Refusal::for_now(RefusalCode::RATE, exceeded.retry_after, exceeded.detail)
        })
    }

    fn answer(&mut self, asking: &Asking, request: &Request) -> Outcome {
        match request {
            Request::Resolve(ask) => self.resolve_name(&ask.name).map(Reply::Resolve),
            Request::Lookup(ask) => {
                at_most(ask.devices.len())?;
                let known = ask.devices.iter().filter_map(|device| {
                    let known = self.state.devices.get(device)?;
                    Some(DeviceInfo {
                        device: *device,
                        account: self.account_info(known.account),
                        signing_key: known.signing_key,
                        ext: Ext::none(),
                    })
                });
                Ok(Reply::Lookup(known.collect()))
            }
            Request::OpenDirect(ask) => self.open_direct(asking, ask.peer).map(Reply::OpenDirect),
            Request::CreateRoom(ask) => self.create_room(asking, ask).map(Reply::CreateRoom),
            Request::Join(ask) => self.join(asking, &ask.room).map(Reply::Join),
            Request::Leave(ask) => self.leave(asking, ask.conversation).map(Reply::Leave),
            Request::ListRooms(ask) => {
                Ok(Reply::ListRooms(self.list_rooms(asking, &ask.filter, &ask.after)))
            }
            Request::Members(ask) => {
                self.list_members(asking, ask.conversation, ask.after).map(Reply::Members)
            }
            Request::SetTopic(ask) => {
                self.set_topic(asking, ask.conversation, &ask.topic).map(Reply::SetTopic)
            }
            Request::SetRole(ask) => {
                self.set_role(asking, ask.conversation, ask.account, ask.role).map(Reply::SetRole)
            }
            Request::Kick(ask) => {
                self.kick(asking, ask.conversation, ask.account, &ask.reason).map(Reply::Kick)
            }
            Request::Ban(ask) => self.ban(asking, ask).map(Reply::Ban),
            Request::Unban(ask) => {
                self.unban(asking, ask.conversation, &ask.target).map(Reply::Unban)
            }
            Request::Bans(ask) => self.list_bans(asking, ask.conversation).map(Reply::Bans),
            Request::Mute(ask) => {
                self.mute(asking, ask.conversation, ask.account, ask.until).map(Reply::Mute)
            }
            Request::Invite(ask) => {
                self.invite(asking, ask.conversation, ask.account).map(Reply::Invite)
            }
            Request::Admit(ask) => self
                .answer_request(asking, ask.conversation, ask.account, ask.verdict)
                .map(Reply::Admit),
            Request::SetAccess(ask) => {
                self.set_access(asking, ask.conversation, ask.access).map(Reply::SetAccess)
            }
            Request::Rename(ask) => self.rename(asking, &ask.name).map(Reply::Rename),
            Request::Block(ask) => self.block(asking, ask.account, ask.verdict).map(Reply::Block),
            Request::Blocked(_) => Ok(Reply::Blocked(self.blocked(asking))),
            // Answered by the session, from the store, where the asker may read.
            Request::ChainAt(ask) => {
                self.visible(asking.wall, asking.session, ask.conversation)?;
                Err(Refusal::last(RefusalCode::NO_SUCH_CONVERSATION, ""))
            }
            Request::Unknown(number) => {
                Err(Refusal::last(RefusalCode::UNSUPPORTED, format!("request {number}")))
            }
        }
    }

    fn resolve_name(&self, name: &str) -> Result<AccountInfo, Refusal> {
        let no_such = || Refusal::last(RefusalCode::NO_SUCH_NAME, name.to_owned());
        let account = *self.state.names.get(&names::key(name)).ok_or_else(no_such)?;
        let info = self.account_info(account);
        // A look-alike is not an answer: it would be the wrong person with the right looks.
        if names::is_same(&info.name, name) { Ok(info) } else { Err(no_such()) }
    }

    fn list_members(
        &self,
        asking: &Asking,
        id: ConversationId,
        after: Option<AccountId>,
    ) -> Result<Vec<MemberInfo>, Refusal> {
        let membership = self.right_to(asking, id, Verb::Read)?;
        let conversation = &self.state.conversations[&id];
        // Requests to join are for those who may answer them.
        let sees_requests = rights::check(conversation.kind, membership, Verb::Admit).is_ok();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let members = conversation
            .members
            .range((from, Bound::Unbounded))
            .filter(|(_, member)| match member.membership.standing {
                Standing::JOINED | Standing::INVITED => true,
                Standing::REQUESTED => sees_requests,
                _ => false,
            })
            .take(LIST_ITEMS_MAX)
            .map(|(account, member)| self.member_info(*account, &member.membership));
        Ok(members.collect())
    }

    fn rename(&mut self, asking: &Asking, wanted: &str) -> Result<AccountInfo, Refusal> {
        let own_key = self.state.accounts[&asking.account].name_key.clone();
        let name = match self.free_name(wanted) {
            Ok(name) => name,
            // Another spelling of one's own name is free for oneself.
            Err(refusal) if refusal.code == RefusalCode::NAME_TAKEN => {
                let reserved = &self.config.reserved_names;
                names::Name::new(wanted, names::Label::Person, reserved)
                    .ok()
                    .filter(|name| name.key == own_key)
                    .ok_or(refusal)?
            }
            Err(refusal) => return Err(refusal),
        };
        let account = asking.account;
        self.apply(Op::Renamed { account, name: name.label, name_key: name.key });
        let info = self.account_info(account);
        self.tell_people(account);
        Ok(info)
    }

    /// Tells an account's acquaintances what it is called now: its own devices, whoever watches
    /// it, and partners of direct conversations.
    pub(super) fn tell_people(&mut self, account: AccountId) {
        let people = People { accounts: vec![self.account_info(account)] };
        let sessions: BTreeSet<_> = self
            .sessions
            .of_account(account)
            .chain(self.presence.watchers(account))
            .chain(self.partners(account).into_iter().flat_map(|p| self.sessions.of_account(p)))
            .collect();
        for session in sessions {
            self.tell(session, RelayMessage::People(people.clone()));
        }
    }

    /// Checks that the conversation exists and the asking account may do this in it.
    pub(super) fn right_to(
        &self,
        asking: &Asking,
        id: ConversationId,
        verb: Verb,
    ) -> Result<Membership, Refusal> {
        let no_such = || Refusal::last(RefusalCode::NO_SUCH_CONVERSATION, "");
        let conversation = self.state.conversations.get(&id).ok_or_else(no_such)?;
        let membership = self
            .member(id, asking.account)
            .ok_or_else(|| Refusal::last(RefusalCode::NOT_A_MEMBER, ""))?;
        rights::check(conversation.kind, membership, verb)?;
        self.not_barred(asking.wall, asking.session, conversation)?;
        Ok(membership)
    }
}

/// True if the answer needs the store to take a write.
const fn changes_something(request: &Request) -> bool {
    match request {
        Request::OpenDirect(_)
        | Request::CreateRoom(_)
        | Request::Join(_)
        | Request::Leave(_)
        | Request::SetTopic(_)
        | Request::SetRole(_)
        | Request::Kick(_)
        | Request::Ban(_)
        | Request::Unban(_)
        | Request::Mute(_)
        | Request::Invite(_)
        | Request::Admit(_)
        | Request::SetAccess(_)
        | Request::Rename(_)
        | Request::Block(_) => true,
        Request::Resolve(_)
        | Request::Lookup(_)
        | Request::ListRooms(_)
        | Request::Members(_)
        | Request::Bans(_)
        | Request::Blocked(_)
        | Request::ChainAt(_)
        | Request::Unknown(_) => false,
    }
}

fn at_most(items: usize) -> Result<(), Refusal> {
    if items <= LIST_ITEMS_MAX {
        return Ok(());
    }
    Err(Refusal::last(RefusalCode::LIMIT, format!("{LIST_ITEMS_MAX} items in one request")))
}

/// Checks the length of a reason.
pub(super) fn check_reason(reason: &str) -> Result<(), Refusal> {
    if reason.len() <= REASON_BYTES_MAX {
        return Ok(());
    }
    Err(Refusal::last(RefusalCode::TOO_LARGE, format!("a reason has {REASON_BYTES_MAX} bytes")))
}

/// True for yes.
pub(super) const fn is_yes(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Yes => true,
        Verdict::No => false,
    }
}
