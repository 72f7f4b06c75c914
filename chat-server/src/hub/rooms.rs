//! Rooms: founding, finding, joining and leaving them, and what they are like.

use bytes::Bytes;
use protocol::{
    ids::{AccountId, ConversationId, Seq},
    limits::{CONTENT_BYTES_MAX, GENESIS_BYTES_MAX, LIST_ITEMS_MAX, TOPIC_BYTES_MAX},
    message::{
        encoding::decode,
        event::Change,
        refusal::{Refusal, RefusalCode},
        request::CreateRoom,
        room::{Access, ConversationInfo, Genesis, Kind, Role, RoomSummary, Standing},
    },
    time::WallTime,
};

use super::{
    Hub,
    members::{Event, joined_members},
    names::{self, Label, Name},
    op::{Membership, Op, Opened},
    requests::Asking,
    rights::Verb,
};

/// Most bytes of one list in a reply: a message never spans packets.
pub(super) const LIST_BYTES_MAX: usize = CONTENT_BYTES_MAX / 2;
/// More than a row takes beside its texts.
pub(super) const ROW_BYTES: usize = 64;

impl Hub {
    pub(super) fn create_room(
        &mut self,
        asking: &Asking,
        ask: &CreateRoom,
    ) -> Result<ConversationInfo, Refusal> {
        let id = ConversationId::of_genesis(&ask.genesis);
        if self.state.conversations.get(&id).is_some_and(|c| c.creator == Some(asking.account)) {
            return self.info_for(asking, id);
        }
        check_genesis(asking.account, &ask.genesis)?;
        check_topic(&ask.topic)?;
        check_access(ask.access)?;
        let name = self.free_room_name(&ask.name)?;
        self.may_have_another_room(asking.account)?;
        self.may_have_another_conversation(asking.account)?;
        self.apply(Op::Opened(Opened {
            conversation: id,
            kind: Kind::OPEN_ROOM,
            name: name.label,
            name_key: name.key,
            topic: ask.topic.clone(),
            access: ask.access,
            genesis: Bytes::copy_from_slice(&ask.genesis),
            creator: Some(asking.account),
        }));
        self.notice(asking.wall, id, Event::new(Some(asking.account), None, Change::Created));
        self.admit(asking.wall, id, asking.account, Role::OWNER, Some(asking.account));
        self.info_for(asking, id)
    }

    pub(super) fn join(
        &mut self,
        asking: &Asking,
        room: &str,
    ) -> Result<ConversationInfo, Refusal> {
        let id = self.room(room)?;
        let conversation = &self.state.conversations[&id];
        let standing = self.member(id, asking.account).map_or(Standing::OUTSIDE, |m| m.standing);
        if standing == Standing::JOINED {
            return self.info_for(asking, id);
        }
        self.not_barred(asking.wall, asking.session, conversation)?;
        self.may_have_another_conversation(asking.account)?;
        self.may_take_another_member(id)?;
        let (access, is_empty) = (conversation.access, conversation.joined == 0);
        let is_founded = conversation.creator.is_some();
        match access {
            // Who comes into an empty room has it: else nobody could ever look after it again.
            Access::ANYONE if is_empty && is_founded => {
                self.admit(asking.wall, id, asking.account, Role::OWNER, Some(asking.account));
            }
            Access::ANYONE => {
                self.admit(asking.wall, id, asking.account, Role::MEMBER, Some(asking.account));
            }
            _ if standing == Standing::INVITED => {
                self.admit(asking.wall, id, asking.account, Role::MEMBER, Some(asking.account));
            }
            Access::APPROVED => {
                self.set_standing(id, asking.account, Standing::REQUESTED);
                self.tell_moderators(id);
            }
            _ => {
                let detail = "members of this room are invited";
                return Err(Refusal::last(RefusalCode::NOT_ALLOWED, detail));
            }
        }
        self.info_for(asking, id)
    }

    pub(super) fn leave(&mut self, asking: &Asking, id: ConversationId) -> Result<(), Refusal> {
        let account = asking.account;
        let no_such = || Refusal::last(RefusalCode::NO_SUCH_CONVERSATION, "");
        let conversation = self.state.conversations.get(&id).ok_or_else(no_such)?;
        if conversation.kind == Kind::DIRECT {
            self.leave_direct(asking, id);
            return Ok(());
        }
        match self.member(id, account).map(|m| m.standing) {
            Some(Standing::JOINED) => {
                self.pass_on_ownership(asking.wall, id, account);
                let event = Event::new(Some(account), Some(account), Change::Left);
                self.remove(asking.wall, id, account, event, None);
            }
            Some(Standing::INVITED | Standing::REQUESTED) => {
                let head = self.state.conversations[&id].head;
                self.set_outside(id, account, head);
                self.revoke(account, id, Seq::ZERO, None);
            }
            // Leaving twice is leaving.
            _ => {}
        }
        Ok(())
    }

    /// The last owner who leaves hands the room to the highest, and among equals the oldest,
    /// member.
    fn pass_on_ownership(&mut self, wall: WallTime, id: ConversationId, leaving: AccountId) {
        if !self.is_last_owner(id, leaving) {
            return;
        }
        let conversation = &self.state.conversations[&id];
        let heir = joined_members(conversation)
            .filter(|(account, _)| *account != leaving)
            .max_by_key(|(account, m)| (m.role, std::cmp::Reverse((m.from, *account))));
        if let Some((heir, _)) = heir {
            self.give_role(wall, id, None, heir, Role::OWNER);
        }
    }

    pub(super) fn is_last_owner(&self, id: ConversationId, account: AccountId) -> bool {
        let conversation = &self.state.conversations[&id];
        let mut owners = joined_members(conversation)
            .filter(|(_, m)| m.role == Role::OWNER)
            .map(|(owner, _)| owner);
        owners.next() == Some(account) && owners.next().is_none()
    }

    pub(super) fn list_rooms(
        &self,
        asking: &Asking,
        filter: &str,
        after: &str,
    ) -> Vec<RoomSummary> {
        let filter = filter.to_lowercase();
        // In order of the key, which is what `after` becomes as well: a page continues where the
        // last one ended, also if that room is gone.
        let after = if after.is_empty() { String::new() } else { names::key(after) };
        self.state
            .rooms
            .range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded))
            .filter_map(|(_, id)| {
                let room = self.state.conversations.get(id)?;
                let standing =
                    self.member(*id, asking.account).map_or(Standing::OUTSIDE, |m| m.standing);
                let is_findable = room.access != Access::INVITED || standing != Standing::OUTSIDE;
                let matches = room.name.to_lowercase().contains(&filter);
                (is_findable && matches).then(|| RoomSummary {
                    id: *id,
                    name: room.name.clone(),
                    topic: room.topic.clone(),
                    access: room.access,
                    members: room.joined,
                    standing,
                })
            })
            .take(LIST_ITEMS_MAX)
            .scan(0, |bytes, room| {
                // A page fits one packet, whatever the topics are.
                *bytes += room.name.len() + room.topic.len() + ROW_BYTES;
                (*bytes <= LIST_BYTES_MAX).then_some(room)
            })
            .collect()
    }

    pub(super) fn set_topic(
        &mut self,
        asking: &Asking,
        id: ConversationId,
        topic: &str,
    ) -> Result<(), Refusal> {
        self.right_to(asking, id, Verb::Topic)?;
        check_topic(topic)?;
        if self.state.conversations[&id].topic == topic {
            return Ok(());
        }
        self.apply(Op::Topic { conversation: id, topic: topic.to_owned() });
        let change = Change::Topic(topic.to_owned());
        self.notice(asking.wall, id, Event::new(Some(asking.account), None, change));
        self.tell_members(id);
        Ok(())
    }

    pub(super) fn set_access(
        &mut self,
        asking: &Asking,
        id: ConversationId,
        access: Access,
    ) -> Result<(), Refusal> {
        self.right_to(asking, id, Verb::Access)?;
        check_access(access)?;
        let room = &self.state.conversations[&id];
        if room.creator.is_none() && access != Access::ANYONE {
            let detail = "everybody is in the lobby";
            return Err(Refusal::last(RefusalCode::NOT_ALLOWED, detail));
        }
        if room.access == access {
            return Ok(());
        }
        self.apply(Op::Access { conversation: id, access });
        let change = Change::Access(access);
        self.notice(asking.wall, id, Event::new(Some(asking.account), None, change));
        self.tell_members(id);
        Ok(())
    }

    /// Sends the conversation to everybody who is in and connected.
    fn tell_members(&mut self, id: ConversationId) {
        for account in self.joined(id) {
            self.tell_conversation(id, account);
        }
    }

    /// Somebody asks to be let in: those who may answer see it in the member list; their view of
    /// the conversation is sent again as the hint to look.
    fn tell_moderators(&mut self, id: ConversationId) {
        let conversation = &self.state.conversations[&id];
        let moderators: Vec<_> = joined_members(conversation)
            .filter(|(_, m)| m.role >= Role::MODERATOR)
            .map(|(account, _)| account)
            .collect();
        for account in moderators {
            self.tell_conversation(id, account);
        }
    }

    /// Gives an account that is not in another standing.
    pub(super) fn set_standing(
        &mut self,
        id: ConversationId,
        account: AccountId,
        standing: Standing,
    ) {
        let head = self.state.conversations[&id].head;
        let before = self.member(id, account);
        let blank = Membership::joined(Role::MEMBER, head.next());
        let muted_until = before.map_or(WallTime::default(), |before| before.muted_until);
        let member = Membership { standing, muted_until, ..blank };
        self.apply(Op::Member { conversation: id, account, member });
        self.tell_conversation(id, account);
    }

    /// The conversation as the asking account sees it.
    pub(super) fn info_for(
        &self,
        asking: &Asking,
        id: ConversationId,
    ) -> Result<ConversationInfo, Refusal> {
        self.conversation_info(id, asking.account)
            .ok_or_else(|| Refusal::last(RefusalCode::NO_SUCH_CONVERSATION, ""))
    }

    fn room(&self, name: &str) -> Result<ConversationId, Refusal> {
        let no_such = || Refusal::last(RefusalCode::NO_SUCH_CONVERSATION, format!("#{name}"));
        let id = *self.state.rooms.get(&names::key(name)).ok_or_else(no_such)?;
        let is_it = names::is_same(&self.state.conversations[&id].name, name);
        if is_it { Ok(id) } else { Err(no_such()) }
    }

    fn free_room_name(&self, wanted: &str) -> Result<Name, Refusal> {
        let name = Name::new(wanted, Label::Room, &self.config.reserved_names)
            .map_err(|e| Refusal::last(RefusalCode::NAME_NOT_ALLOWED, e.to_string()))?;
        let Some(holder) = self.state.rooms.get(&name.key) else { return Ok(name) };
        let held = self.state.conversations.get(holder).map_or("", |room| room.name.as_str());
        let detail = if names::is_same(held, &name.label) {
            format!("#{}", name.label)
        } else {
            format!("#{} reads like #{held}", name.label)
        };
        Err(Refusal::last(RefusalCode::NAME_TAKEN, detail))
    }

    fn may_have_another_room(&self, account: AccountId) -> Result<(), Refusal> {
        let max = self.config.limits.rooms_per_account_max as usize;
        let founded = |c: &&super::state::Conversation| {
            c.creator == Some(account) && c.kind == Kind::OPEN_ROOM
        };
        if self.state.conversations.values().filter(founded).count() < max {
            return Ok(());
        }
        Err(Refusal::last(RefusalCode::LIMIT, format!("{max} rooms founded by one person")))
    }

    pub(super) fn may_have_another_conversation(&self, account: AccountId) -> Result<(), Refusal> {
        let max = self.config.limits.conversations_per_account_max as usize;
        if self.state.memberships.get(&account).map_or(0, Vec::len) < max {
            return Ok(());
        }
        Err(Refusal::last(RefusalCode::LIMIT, format!("{max} conversations of one person")))
    }

    pub(super) fn may_take_another_member(&self, id: ConversationId) -> Result<(), Refusal> {
        let max = self.config.limits.members_per_room_max;
        let room = &self.state.conversations[&id];
        if room.joined < max || room.creator.is_none() {
            return Ok(());
        }
        Err(Refusal::last(RefusalCode::LIMIT, format!("{max} members of one room")))
    }
}

fn check_genesis(account: AccountId, bytes: &[u8]) -> Result<(), Refusal> {
    let malformed = |what| Refusal::last(RefusalCode::MALFORMED, what);
    if bytes.len() > GENESIS_BYTES_MAX {
        return Err(malformed("genesis record"));
    }
    let genesis: Genesis = decode(bytes).map_err(|_| malformed("genesis record"))?;
    if genesis.version != 1 || genesis.kind != Kind::OPEN_ROOM {
        let detail = "this version serves open rooms";
        return Err(Refusal::last(RefusalCode::UNSUPPORTED, detail));
    }
    if genesis.creator != Some(account) {
        return Err(malformed("the genesis record names another creator"));
    }
    Ok(())
}

fn check_topic(topic: &str) -> Result<(), Refusal> {
    if topic.len() <= TOPIC_BYTES_MAX {
        return Ok(());
    }
    Err(Refusal::last(RefusalCode::TOO_LARGE, format!("a topic has {TOPIC_BYTES_MAX} bytes")))
}

fn check_access(access: Access) -> Result<(), Refusal> {
    match access {
        Access::ANYONE | Access::APPROVED | Access::INVITED => Ok(()),
        Access(later) => Err(Refusal::last(RefusalCode::UNSUPPORTED, format!("access {later}"))),
    }
}
