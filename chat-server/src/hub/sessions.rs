//! Who is connected: live sessions by id, by device and by account.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use protocol::{
    ids::{AccountId, ConversationId, DeviceId},
    time::Timestamp,
};

use super::io::SessionId;

/// One attached session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) account: AccountId,
    pub(super) device: DeviceId,
    pub(super) address: IpAddr,
    /// As the client says: foreign text.
    pub(super) client: Box<str>,
    /// On screen.
    pub(super) shown: Box<[ConversationId]>,
    /// Whose presence is on screen.
    pub(super) watched: Box<[AccountId]>,
    /// When it was last told on that its person types.
    pub(super) typed_at: Option<Timestamp>,
}

/// All attached sessions. A device has at most one.
#[expect(clippy::struct_field_names, reason = "the fields are one table by different keys")]
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// Boxed: ids rise, which leaves the nodes of the tree half empty.
    by_id: BTreeMap<SessionId, Box<Session>>,
    by_device: BTreeMap<DeviceId, SessionId>,
    by_account: BTreeSet<(AccountId, SessionId)>,
}

impl Sessions {
    pub(super) fn insert(&mut self, id: SessionId, session: Session) {
        self.by_device.insert(session.device, id);
        self.by_account.insert((session.account, id));
        self.by_id.insert(id, Box::new(session));
    }

    pub(super) fn remove(&mut self, id: SessionId) -> Option<Session> {
        let session = self.by_id.remove(&id)?;
        if self.by_device.get(&session.device) == Some(&id) {
            self.by_device.remove(&session.device);
        }
        self.by_account.remove(&(session.account, id));
        Some(*session)
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.by_id.get(&id).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.by_id.get_mut(&id).map(Box::as_mut)
    }

    pub(super) fn of_device(&self, device: DeviceId) -> Option<SessionId> {
        self.by_device.get(&device).copied()
    }

    pub(super) fn of_account(&self, account: AccountId) -> impl Iterator<Item = SessionId> + '_ {
        let low = (account, SessionId::new(0, 0));
        self.by_account
            .range(low..)
            .take_while(move |(of, _)| *of == account)
            .map(|(_, session)| *session)
    }

    pub(super) fn is_online(&self, account: AccountId) -> bool {
        self.of_account(account).next().is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.by_id.iter().map(|(id, session)| (*id, &**session))
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}
