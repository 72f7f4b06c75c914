//! The relay's durable state, whole and in memory: accounts, names, conversations, members, and
//! what dedupe remembers. Messages are not in it.
//!
//! [`State::apply`] is a function of the op alone, so that the hub, the replay at start-up and the
//! store's tables always agree. It never fails: the hub checked the op before it was made.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use protocol::{
    ids::{AccountId, ConversationId, Counter, DeviceId, Digest, LogId, Seq},
    message::{
        record::chain_start,
        room::{Access, BanTarget, Kind, Role, Standing},
    },
    time::WallTime,
};

use super::op::{Appended, Ban, Decision, Fate, Membership, Op, Opened, Registered};

/// Everything the relay has promised to remember, except the messages themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Which incarnation of the store; `None` before the first commit.
    pub log_id: Option<LogId>,
    /// People.
    pub accounts: BTreeMap<AccountId, Account>,
    /// Their devices.
    pub devices: BTreeMap<DeviceId, Device>,
    /// Devices by the static key of their channel.
    pub channel_keys: BTreeMap<[u8; 32], DeviceId>,
    /// Accounts by folded name.
    pub names: BTreeMap<String, AccountId>,
    /// Logs.
    pub conversations: BTreeMap<ConversationId, Conversation>,
    /// Rooms by folded name.
    pub rooms: BTreeMap<String, ConversationId>,
    /// Which conversations an account has to do with, in order. Vectors: of a tree, each would need
    /// a node with room for eleven.
    pub memberships: BTreeMap<AccountId, Vec<ConversationId>>,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The label; empty once released.
    pub name: String,
    /// Its folded form.
    pub name_key: String,
    /// The genesis link as received.
    pub genesis: Bytes,
    /// The first device's signature over it.
    pub signature: Bytes,
    /// When it was founded.
    pub at: WallTime,
    /// Whether it administers the relay.
    pub administrator: bool,
    /// Whom it blocks.
    pub blocked: BTreeSet<AccountId>,
}

/// One installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Whose.
    pub account: AccountId,
    /// Ed25519 public key.
    pub signing_key: [u8; 32],
    /// X25519 public key.
    pub channel_key: [u8; 32],
    /// Highest counter decided anywhere.
    pub highest: Counter,
}

/// A log and who may do what with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// What sort.
    pub kind: Kind,
    /// The room's name; empty for a direct one.
    pub name: String,
    /// Its folded form.
    pub name_key: String,
    /// Empty if none.
    pub topic: String,
    /// Who may join.
    pub access: Access,
    /// As received; empty for a direct one.
    pub genesis: Bytes,
    /// Who opened it.
    pub creator: Option<AccountId>,
    /// First record still kept.
    pub first: Seq,
    /// Newest record; zero if there is none.
    pub head: Seq,
    /// The chain after `head`.
    pub chain: Digest,
    /// Time of `head`: the next may not be earlier.
    pub time: WallTime,
    /// Everybody who ever had to do with it.
    pub members: BTreeMap<AccountId, Member>,
    /// How many of them are joined.
    pub joined: u32,
    /// Who is kept out.
    pub bans: BTreeMap<BanTarget, Ban>,
    /// What dedupe remembers, per sending device.
    pub senders: BTreeMap<DeviceId, Sender>,
}

/// An account in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Rights and interval.
    pub membership: Membership,
    /// Durable on one of its devices up to here.
    pub received: Seq,
    /// Read up to here.
    pub read: Seq,
}

/// What is remembered of a device's messages in one conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// Highest counter decided.
    pub highest: Counter,
    /// Below this everything is settled and forgotten.
    pub floor: Counter,
    /// The decisions not forgotten yet: at most `UNSETTLED_MAX`, the hub sees to it.
    pub decided: BTreeMap<Counter, (Fate, [u8; 16])>,
}

impl State {
    /// Lets one op take effect.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Registered(registered) => self.register(registered),
            Op::Renamed { account, name, name_key } => self.rename(*account, name, name_key),
            Op::NameReleased { name_key } => {
                if let Some(account) = self.names.remove(name_key)
                    && let Some(account) = self.accounts.get_mut(&account)
                {
                    account.name.clear();
                    account.name_key.clear();
                }
            }
            Op::Administrator { account, on } => {
                if let Some(account) = self.accounts.get_mut(account) {
                    account.administrator = *on;
                }
            }
            Op::Blocked { account, whom, on } => {
                if let Some(account) = self.accounts.get_mut(account) {
                    if *on {
                        account.blocked.insert(*whom);
                    } else {
                        account.blocked.remove(whom);
                    }
                }
            }
            Op::Opened(opened) => self.open(opened),
            Op::Member { conversation, account, member } => {
                self.set_member(*conversation, *account, *member);
            }
            Op::Topic { conversation, topic } => {
                self.with(*conversation, |c| c.topic.clone_from(topic));
            }
            Op::Access { conversation, access } => self.with(*conversation, |c| c.access = *access),
            Op::Banned { conversation, target, ban } => self.with(*conversation, |c| {
                c.bans.insert(target.clone(), ban.clone());
            }),
            Op::Unbanned { conversation, target } => self.with(*conversation, |c| {
                c.bans.remove(target);
            }),
            Op::Appended(appended) => self.append(appended),
            Op::Refused { conversation, decision } => self.refuse(*conversation, decision),
            // Which bodies are gone is the log's business, not the state's.
            Op::Erased { .. } => {}
            Op::Trimmed { conversation, first } => self.with(*conversation, |c| c.first = *first),
            Op::Marked { conversation, account, received, read } => {
                self.with(*conversation, |c| {
                    if let Some(member) = c.members.get_mut(account) {
                        member.received = member.received.max(*received);
                        member.read = member.read.max(*read);
                    }
                });
            }
            Op::Renewed { log_id } => self.log_id = Some(*log_id),
        }
    }

    fn with(&mut self, conversation: ConversationId, change: impl FnOnce(&mut Conversation)) {
        if let Some(conversation) = self.conversations.get_mut(&conversation) {
            change(conversation);
        }
    }

    fn register(&mut self, registered: &Registered) {
        self.accounts.insert(
            registered.account,
            Account {
                name: registered.name.clone(),
                name_key: registered.name_key.clone(),
                genesis: registered.genesis.clone(),
                signature: registered.signature.clone(),
                at: registered.at,
                administrator: false,
                blocked: BTreeSet::new(),
            },
        );
        self.devices.insert(
            registered.device,
            Device {
                account: registered.account,
                signing_key: registered.signing_key,
                channel_key: registered.channel_key,
                highest: Counter::default(),
            },
        );
        self.channel_keys.insert(registered.channel_key, registered.device);
        self.name(registered.account, &registered.name_key);
    }

    fn rename(&mut self, account: AccountId, name: &str, name_key: &str) {
        let Some(entry) = self.accounts.get_mut(&account) else { return };
        self.names.remove(&entry.name_key);
        name.clone_into(&mut entry.name);
        name_key.clone_into(&mut entry.name_key);
        self.name(account, name_key);
    }

    /// No key is no name: several accounts may be without one.
    fn name(&mut self, account: AccountId, name_key: &str) {
        if !name_key.is_empty() {
            self.names.insert(name_key.to_owned(), account);
        }
    }

    fn open(&mut self, opened: &Opened) {
        if !opened.name_key.is_empty() {
            self.rooms.insert(opened.name_key.clone(), opened.conversation);
        }
        self.conversations.insert(
            opened.conversation,
            Conversation {
                kind: opened.kind,
                name: opened.name.clone(),
                name_key: opened.name_key.clone(),
                topic: opened.topic.clone(),
                access: opened.access,
                genesis: opened.genesis.clone(),
                creator: opened.creator,
                first: Seq::FIRST,
                head: Seq::ZERO,
                chain: chain_start(opened.conversation),
                time: WallTime::default(),
                members: BTreeMap::new(),
                joined: 0,
                bans: BTreeMap::new(),
                senders: BTreeMap::new(),
            },
        );
    }

    fn set_member(&mut self, id: ConversationId, account: AccountId, membership: Membership) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let before = conversation.members.get(&account).copied();
        let was_joined = before.is_some_and(|m| m.membership.standing == Standing::JOINED);
        let is_joined = membership.standing == Standing::JOINED;
        match (was_joined, is_joined) {
            (false, true) => conversation.joined += 1,
            (true, false) => conversation.joined -= 1,
            (true, true) | (false, false) => {}
        }
        let (received, read) = before.map_or((Seq::ZERO, Seq::ZERO), |m| (m.received, m.read));
        conversation.members.insert(account, Member { membership, received, read });
        let of_account = self.memberships.entry(account).or_default();
        match (of_account.binary_search(&id), membership.standing == Standing::OUTSIDE) {
            (Ok(place), true) => {
                of_account.remove(place);
            }
            (Err(place), false) => of_account.insert(place, id),
            (Ok(_), false) | (Err(_), true) => {}
        }
    }

    /// A message was finally refused. The hub takes the same step.
    pub(super) fn refuse(&mut self, conversation: ConversationId, decision: &Decision) {
        self.with(conversation, |c| c.decide(decision));
        if let Some(device) = self.devices.get_mut(&decision.device) {
            device.highest = device.highest.max(decision.counter);
        }
    }

    fn append(&mut self, appended: &Appended) {
        let Some(conversation) = self.conversations.get_mut(&appended.conversation) else { return };
        let head = appended.first.plus(u64::from(appended.count)).minus(1);
        conversation.advance(head, appended.chain_after, appended.time);
        for decision in &appended.decisions {
            conversation.decide(decision);
            if let Some(device) = self.devices.get_mut(&decision.device) {
                device.highest = device.highest.max(decision.counter);
            }
        }
    }
}

/// The steps an [`Op::Appended`] consists of: a growing run takes them one record at a time, and
/// the finished op, wherever it is replayed, takes the same ones.
impl Conversation {
    /// The log reaches up to `head` now.
    pub(super) const fn advance(&mut self, head: Seq, chain: Digest, time: WallTime) {
        self.head = head;
        self.chain = chain;
        self.time = time;
    }

    /// A device's message is decided.
    pub(super) fn decide(&mut self, decision: &Decision) {
        self.senders.entry(decision.device).or_default().decide(decision);
    }
}

impl Sender {
    fn decide(&mut self, decision: &Decision) {
        self.highest = self.highest.max(decision.counter);
        self.floor = self.floor.max(decision.floor);
        while let Some(oldest) = self.decided.first_entry()
            && *oldest.key() < self.floor
        {
            oldest.remove();
        }
        if decision.counter >= self.floor {
            self.decided.insert(decision.counter, (decision.fate, decision.digest));
        }
    }
}

impl Membership {
    /// A plain member from `from` on.
    pub const fn joined(role: Role, from: Seq) -> Self {
        Self {
            standing: Standing::JOINED,
            role,
            muted_until: WallTime::from_millis(0),
            from,
            to: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registered(number: u8, name_key: &str) -> Op {
        Op::Registered(Registered {
            account: AccountId([number; 16]),
            device: DeviceId([number; 16]),
            name: name_key.to_owned(),
            name_key: name_key.to_owned(),
            signing_key: [number; 32],
            channel_key: [number; 32],
            genesis: Bytes::new(),
            signature: Bytes::new(),
            at: WallTime::default(),
        })
    }

    #[test]
    fn whoever_has_no_name_takes_none() {
        let mut state = State::default();
        state.apply(&registered(1, ""));
        state.apply(&registered(2, "ada"));
        let (account, nothing) = (AccountId([2; 16]), String::new());
        state.apply(&Op::Renamed { account, name: nothing.clone(), name_key: nothing });
        assert_eq!(state.accounts.len(), 2);
        assert_eq!(state.names, BTreeMap::new());
    }
}
