//! The part of the [`State`] that the index step is changing.
//!
//! An op takes effect by [`State::apply`] and nowhere else. So before each op the overlay reads
//! the rows it touches, applies the op to them, and remembers which rows to write back. What it
//! has read it keeps: the indexer is the only writer of the tables.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    ids::{AccountId, ConversationId, DeviceId},
    message::room::BanTarget,
};
use rusqlite::Connection;

use super::tables::{self, Local};
use crate::hub::{
    op::Op,
    state::{Conversation, State},
};

/// Rows kept from step to step. Beyond it everything is forgotten and read again when needed,
/// which costs less than choosing what to keep.
const KEPT_ROWS_MAX: usize = 100_000;

/// Rows read, changed and not written yet.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    state: State,
    locals: BTreeMap<ConversationId, Local>,
    members: BTreeSet<(ConversationId, AccountId)>,
    senders: BTreeSet<(ConversationId, DeviceId)>,
    newest_local: Option<Local>,
    dirty: Dirty,
}

/// Which rows differ from what the tables hold.
#[derive(Debug, Default)]
struct Dirty {
    accounts: BTreeSet<AccountId>,
    devices: BTreeSet<DeviceId>,
    conversations: BTreeSet<ConversationId>,
    members: BTreeSet<(ConversationId, AccountId)>,
    bans: BTreeSet<(ConversationId, BanTarget)>,
    senders: BTreeSet<(ConversationId, DeviceId)>,
}

impl Overlay {
    /// Lets an op take effect on the rows it touches.
    pub(super) fn apply(&mut self, tables: &Connection, op: &Op) -> rusqlite::Result<()> {
        match op {
            Op::Registered(registered) => {
                self.dirty.accounts.insert(registered.account);
                self.dirty.devices.insert(registered.device);
            }
            Op::Renamed { account, .. }
            | Op::Administrator { account, .. }
            | Op::Blocked { account, .. } => self.change_account(tables, *account)?,
            Op::NameReleased { name_key } => {
                let known = self.state.names.get(name_key).copied();
                let named = match known {
                    Some(account) => Some(account),
                    None => tables::account_named(tables, name_key)?,
                };
                if let Some(account) = named {
                    self.change_account(tables, account)?;
                }
            }
            Op::Opened(opened) => self.open(tables, opened.conversation)?,
            Op::Member { conversation, account, .. } => {
                self.change_conversation(tables, *conversation)?;
                self.change_member(tables, *conversation, *account)?;
            }
            Op::Marked { conversation, account, .. } => {
                self.change_member(tables, *conversation, *account)?;
            }
            Op::Topic { conversation, .. }
            | Op::Access { conversation, .. }
            | Op::Trimmed { conversation, .. } => {
                self.change_conversation(tables, *conversation)?;
            }
            Op::Banned { conversation, target, .. } | Op::Unbanned { conversation, target } => {
                self.read_conversation(tables, *conversation)?;
                self.dirty.bans.insert((*conversation, target.clone()));
            }
            Op::Appended(appended) => {
                self.change_conversation(tables, appended.conversation)?;
                for decision in &appended.decisions {
                    self.change_sender(tables, appended.conversation, decision.device)?;
                    self.change_device(tables, decision.device)?;
                }
            }
            Op::Refused { conversation, decision } => {
                self.read_conversation(tables, *conversation)?;
                self.change_sender(tables, *conversation, decision.device)?;
                self.change_device(tables, decision.device)?;
            }
            Op::Erased { conversation, .. } => self.read_conversation(tables, *conversation)?,
            Op::Renewed { .. } => {}
        }
        self.state.apply(op);
        Ok(())
    }

    /// What stands for the conversation, if an op applied before touched it and it exists.
    pub(super) fn local(&self, conversation: ConversationId) -> Option<Local> {
        self.locals.get(&conversation).copied()
    }

    /// Writes what has changed, and that every commit up to `indexed_upto` is in it.
    pub(super) fn write(&mut self, tables: &Connection, indexed_upto: u64) -> rusqlite::Result<()> {
        let dirty = std::mem::take(&mut self.dirty);
        for id in &dirty.accounts {
            if let Some(account) = self.state.accounts.get(id) {
                tables::write_account(tables, *id, account)?;
            }
        }
        for id in &dirty.devices {
            if let Some(device) = self.state.devices.get(id) {
                tables::write_device(tables, *id, device)?;
            }
        }
        for id in &dirty.conversations {
            if let Some((local, conversation)) = self.conversation(id) {
                tables::write_conversation(tables, local, *id, conversation)?;
            }
        }
        for (id, account) in &dirty.members {
            if let Some((local, conversation)) = self.conversation(id)
                && let Some(member) = conversation.members.get(account)
            {
                tables::write_member(tables, local, *account, member)?;
            }
        }
        for (id, target) in &dirty.bans {
            if let Some((local, conversation)) = self.conversation(id) {
                tables::write_ban(tables, local, target, conversation.bans.get(target))?;
            }
        }
        for (id, device) in &dirty.senders {
            if let Some((local, conversation)) = self.conversation(id)
                && let Some(sender) = conversation.senders.get(device)
            {
                tables::write_sender(tables, local, *device, sender)?;
            }
        }
        if self.state.log_id.is_none() {
            (_, self.state.log_id) = tables::meta(tables)?;
        }
        tables::write_meta(tables, indexed_upto, self.state.log_id)
    }

    /// True if it has grown so large that it should be dropped once written.
    pub(super) fn is_large(&self) -> bool {
        let kept = self.state.accounts.len() + self.state.devices.len() + self.locals.len();
        kept + self.members.len() + self.senders.len() > KEPT_ROWS_MAX
    }

    fn conversation(&self, id: &ConversationId) -> Option<(Local, &Conversation)> {
        Some((*self.locals.get(id)?, self.state.conversations.get(id)?))
    }

    fn open(&mut self, tables: &Connection, id: ConversationId) -> rusqlite::Result<()> {
        let newest = match self.newest_local {
            Some(newest) => newest,
            None => tables::newest_local(tables)?,
        };
        let local = newest + 1;
        self.newest_local = Some(local);
        self.locals.insert(id, local);
        self.dirty.conversations.insert(id);
        Ok(())
    }

    fn change_account(&mut self, tables: &Connection, id: AccountId) -> rusqlite::Result<()> {
        if !self.state.accounts.contains_key(&id)
            && let Some(account) = tables::account(tables, id)?
        {
            if !account.name_key.is_empty() {
                self.state.names.insert(account.name_key.clone(), id);
            }
            self.state.accounts.insert(id, account);
        }
        self.dirty.accounts.insert(id);
        Ok(())
    }

    fn change_device(&mut self, tables: &Connection, id: DeviceId) -> rusqlite::Result<()> {
        if !self.state.devices.contains_key(&id)
            && let Some(device) = tables::device(tables, id)?
        {
            self.state.devices.insert(id, device);
        }
        self.dirty.devices.insert(id);
        Ok(())
    }

    fn change_conversation(
        &mut self,
        tables: &Connection,
        id: ConversationId,
    ) -> rusqlite::Result<()> {
        self.read_conversation(tables, id)?;
        self.dirty.conversations.insert(id);
        Ok(())
    }

    fn read_conversation(
        &mut self,
        tables: &Connection,
        id: ConversationId,
    ) -> rusqlite::Result<()> {
        if !self.locals.contains_key(&id)
            && let Some((local, conversation)) = tables::conversation(tables, id)?
        {
            self.locals.insert(id, local);
            self.state.conversations.insert(id, conversation);
        }
        Ok(())
    }

    fn change_member(
        &mut self,
        tables: &Connection,
        id: ConversationId,
        account: AccountId,
    ) -> rusqlite::Result<()> {
        self.read_conversation(tables, id)?;
        if let Some(local) = self.local(id)
            && self.members.insert((id, account))
            && let Some(member) = tables::member(tables, local, account)?
            && let Some(conversation) = self.state.conversations.get_mut(&id)
        {
            conversation.members.insert(account, member);
        }
        self.dirty.members.insert((id, account));
        Ok(())
    }

    fn change_sender(
        &mut self,
        tables: &Connection,
        id: ConversationId,
        device: DeviceId,
    ) -> rusqlite::Result<()> {
        if let Some(local) = self.local(id)
            && self.senders.insert((id, device))
            && let Some(sender) = tables::sender(tables, local, device)?
            && let Some(conversation) = self.state.conversations.get_mut(&id)
        {
            conversation.senders.insert(device, sender);
        }
        self.dirty.senders.insert((id, device));
        Ok(())
    }
}
