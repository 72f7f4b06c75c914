//! Coming and going: a device makes its session live, founds its account if it has none, and is
//! told what it has to do with.

use std::net::IpAddr;

use bytes::Bytes;
use protocol::{
    channel::keys,
    ids::{AccountId, DeviceId, LogId},
    message::{
        RelayMessage,
        account::GenesisLink,
        ext::Ext,
        refusal::{Refusal, RefusalCode},
        room::{Access, AccountInfo, Genesis, Kind, Role},
        session::{Attach, Register, Welcome},
    },
    time::{Timestamp, WallTime},
};

use super::{
    Hub,
    config::{QUOTA_SWEEP_INTERVAL, Registration},
    io::{Output, SessionId, ToSession},
    names::{self, Label, Name},
    op::{Op, Opened, Registered},
    sessions::Session,
    ticket,
    timers::Timer,
};

/// The room everybody is in.
pub(super) const LOBBY: &str = "lobby";
/// Longest program and version kept for the operator.
const CLIENT_CHARS_MAX: usize = 64;

impl Hub {
    /// Founds an empty store: its incarnation, and `#lobby`.
    pub(super) fn found(&mut self) {
        if self.state.log_id.is_none() {
            let log_id = LogId(self.entropy.bytes());
            self.apply(Op::Renewed { log_id });
        }
        if self.state.rooms.contains_key(&names::key(LOBBY)) {
            return;
        }
        let genesis = Genesis {
            version: 1,
            kind: Kind::OPEN_ROOM,
            creator: None,
            nonce: self.entropy.bytes(),
        };
        self.apply(Op::Opened(Opened {
            conversation: genesis.conversation(),
            kind: Kind::OPEN_ROOM,
            name: LOBBY.into(),
            name_key: names::key(LOBBY),
            topic: String::new(),
            access: Access::ANYONE,
            genesis: Bytes::from(genesis.encode()),
            creator: None,
        }));
    }

    pub(super) fn on_attach(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        session: SessionId,
        channel_key: &[u8; 32],
        address: IpAddr,
        attach: &Attach,
    ) {
        if let Some(spread) = self.draining {
            return self.close(session, Refusal::for_now(RefusalCode::DRAINING, spread, ""));
        }
        if let Some(critical) = attach.ext.unknown_critical() {
            let detail = format!("extension {critical} of attach");
            return self.close(session, Refusal::last(RefusalCode::UNSUPPORTED, detail));
        }
        let device = match self.device(now, wall, channel_key, address, attach) {
            Ok(device) => device,
            Err(refusal) => return self.close(session, refusal),
        };
        let account = self.state.devices[&device].account;
        self.supersede(device, session);
        self.sessions.insert(
            session,
            Session {
                account,
                device,
                address,
                client: attach.client.chars().take(CLIENT_CHARS_MAX).collect(),
                shown: Box::default(),
                watched: Box::default(),
                typed_at: None,
            },
        );
        if let Some(pledge) = self.pending() {
            pledge.attached.push(session);
        }
        self.came(now, account);
        self.timers.arm(Timer::Quotas, now + QUOTA_SWEEP_INTERVAL);
        self.welcome(wall, session, account, device);
    }

    pub(super) fn on_detached(&mut self, now: Timestamp, session: SessionId) {
        let Some(session) = self.forget_session(session) else { return };
        if !self.sessions.is_online(session.account) {
            self.went(now, session.account);
        }
    }

    /// Takes a session out of every table.
    fn forget_session(&mut self, id: SessionId) -> Option<Session> {
        let session = self.sessions.remove(id)?;
        self.presence.forget_session(id, &session);
        self.progress.forget_session(id);
        Some(session)
    }

    /// Ends the session of a peer that broke the protocol.
    pub(super) fn close_malformed(&mut self, session: SessionId, what: &str) {
        if self.forget_session(session).is_some() {
            self.close(session, Refusal::last(RefusalCode::MALFORMED, what));
        }
    }

    /// The device behind a channel key, founding its account if it asks for that.
    fn device(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        channel_key: &[u8; 32],
        address: IpAddr,
        attach: &Attach,
    ) -> Result<DeviceId, Refusal> {
        // A device that registers again did not hear the answer to the first time.
        if let Some(device) = self.state.channel_keys.get(channel_key) {
            return Ok(*device);
        }
        let Some(register) = &attach.register else {
            return Err(Refusal::last(RefusalCode::NOT_REGISTERED, ""));
        };
        self.register(now, wall, channel_key, address, register)
    }

    fn register(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        channel_key: &[u8; 32],
        address: IpAddr,
        register: &Register,
    ) -> Result<DeviceId, Refusal> {
        self.may_register(wall, address, &register.ticket)?;
        let malformed = |what| Refusal::last(RefusalCode::MALFORMED, what);
        let link = GenesisLink::decode(&register.genesis).map_err(|_| malformed("genesis link"))?;
        if link.channel_key != *channel_key {
            return Err(malformed("the genesis link names another channel key"));
        }
        let signed = GenesisLink::signed_bytes(&register.genesis);
        if !keys::verify(&link.signing_key, &signed, &register.signature) {
            return Err(malformed("the signature on the genesis link"));
        }
        let (account, device) =
            (AccountId::of_genesis(&register.genesis), DeviceId::of_signing_key(&link.signing_key));
        if self.state.devices.contains_key(&device) || self.state.accounts.contains_key(&account) {
            return Err(malformed("the device has an account with another channel key"));
        }
        let name = self.free_name(&register.name)?;
        let accounts_max = self.config.limits.accounts_max;
        if self.state.accounts.len() >= accounts_max as usize {
            let detail = format!("{accounts_max} accounts");
            return Err(Refusal::last(RefusalCode::LIMIT, detail));
        }
        if let Some(refusal) = self.refusal_for_now() {
            return Err(refusal);
        }
        self.quotas.take_registration(now, &self.config.limits, address).map_err(|exceeded| {
            Refusal::for_now(RefusalCode::RATE, exceeded.retry_after, exceeded.detail)
        })?;
        self.apply(Op::Registered(Registered {
            account,
            device,
            name: name.label,
            name_key: name.key,
            signing_key: link.signing_key,
            channel_key: *channel_key,
            genesis: Bytes::copy_from_slice(&register.genesis),
            signature: Bytes::copy_from_slice(&register.signature),
            at: wall,
        }));
        self.join_lobby(wall, account);
        Ok(device)
    }

    fn may_register(&self, wall: WallTime, address: IpAddr, given: &[u8]) -> Result<(), Refusal> {
        let has_ticket = ticket::is_valid(&self.config.ticket_secret, wall, given);
        match self.config.registration {
            Registration::Open if is_near(address) || has_ticket => Ok(()),
            Registration::Invite if has_ticket => Ok(()),
            Registration::Open | Registration::Invite if !given.is_empty() => {
                let detail = "the invitation has expired or is another relay's";
                Err(Refusal::last(RefusalCode::TICKET_NEEDED, detail))
            }
            Registration::Open => {
                let detail = "it is open from private addresses only";
                Err(Refusal::last(RefusalCode::TICKET_NEEDED, detail))
            }
            Registration::Invite => Err(Refusal::last(RefusalCode::TICKET_NEEDED, "")),
            Registration::Closed => Err(Refusal::last(RefusalCode::REGISTRATION_CLOSED, "")),
        }
    }

    /// A name nobody has, or the fact that somebody has it.
    pub(super) fn free_name(&self, wanted: &str) -> Result<Name, Refusal> {
        let name = Name::new(wanted, Label::Person, &self.config.reserved_names)
            .map_err(|e| Refusal::last(RefusalCode::NAME_NOT_ALLOWED, e.to_string()))?;
        let Some(holder) = self.state.names.get(&name.key) else { return Ok(name) };
        let held = self.state.accounts.get(holder).map_or("", |account| account.name.as_str());
        let detail = if names::is_same(held, &name.label) {
            name.label
        } else {
            format!("{} reads like {held}", name.label)
        };
        Err(Refusal::last(RefusalCode::NAME_TAKEN, detail))
    }

    fn join_lobby(&mut self, wall: WallTime, account: AccountId) {
        let Some(lobby) = self.state.rooms.get(&names::key(LOBBY)).copied() else { return };
        self.admit(wall, lobby, account, Role::MEMBER, None);
    }

    fn supersede(&mut self, device: DeviceId, by: SessionId) {
        let Some(older) = self.sessions.of_device(device).filter(|older| *older != by) else {
            return;
        };
        self.forget_session(older);
        self.close(older, Refusal::last(RefusalCode::SUPERSEDED, ""));
    }

    fn welcome(
        &mut self,
        wall: WallTime,
        session: SessionId,
        account: AccountId,
        device: DeviceId,
    ) {
        let ids: Vec<_> =
            self.state.memberships.get(&account).into_iter().flatten().copied().collect();
        let infos: Vec<_> = ids
            .into_iter()
            .filter(|id| self.not_barred(wall, session, &self.state.conversations[id]).is_ok())
            .filter_map(|id| self.conversation_info(id, account))
            .collect();
        self.put(Output::ToSession(session, ToSession::Attached { account, device }));
        let welcome = Welcome {
            account: self.account_info(account),
            device,
            relay_name: self.config.relay_name.clone(),
            log_id: self.state.log_id.expect("the first commit names the incarnation"),
            keys: self.config.keys.clone(),
            highest: self.state.devices[&device].highest,
            now: wall,
            conversations: u32::try_from(infos.len()).unwrap_or(u32::MAX),
            body_bytes_max: self.config.limits.body_bytes_max,
            ext: Ext::none(),
        };
        self.tell(session, RelayMessage::Welcome(welcome));
        for info in infos {
            self.tell(session, RelayMessage::Conversation(info));
        }
    }

    /// A person as the directory knows them.
    pub(super) fn account_info(&self, account: AccountId) -> AccountInfo {
        let name = self.state.accounts.get(&account).map(|a| a.name.clone()).unwrap_or_default();
        AccountInfo { account, name, ext: Ext::none() }
    }
}

/// Private, link-local and loopback addresses: where *open* registration is meant for.
fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback(),
    }
}
