//! What only the machine itself can ask for: administrators, names, sessions, invitations.

use protocol::{
    ids::AccountId,
    message::room::{Role, Standing},
    time::{Timestamp, WallTime},
};

use super::{
    Hub,
    attach::LOBBY,
    io::{OperatorAnswer, OperatorCall, OperatorError, Output, SessionReport},
    names,
    op::Op,
    ticket,
    timers::Timer,
};

impl Hub {
    pub(super) fn on_operator(&mut self, wall: WallTime, id: u64, call: &OperatorCall) {
        let answer = self.operate(wall, call);
        self.put(Output::ToOperator(id, answer));
    }

    fn operate(
        &mut self,
        wall: WallTime,
        call: &OperatorCall,
    ) -> Result<OperatorAnswer, OperatorError> {
        match call {
            OperatorCall::AdminAdd { name } => self.set_administrator(wall, name, true),
            OperatorCall::AdminRemove { name } => self.set_administrator(wall, name, false),
            OperatorCall::AdminList => {
                let administrators = self
                    .state
                    .accounts
                    .iter()
                    .filter(|(_, account)| account.administrator)
                    .map(|(id, account)| (*id, account.name.clone()));
                Ok(OperatorAnswer::Administrators(administrators.collect()))
            }
            OperatorCall::NameRelease { name } => {
                let account = self.account_named(name)?;
                self.takes_writes()?;
                self.apply(Op::NameReleased { name_key: names::key(name) });
                self.tell_people(account);
                Ok(OperatorAnswer::Done)
            }
            OperatorCall::Sessions => Ok(OperatorAnswer::Sessions(self.report_sessions())),
            OperatorCall::Ticket { lifetime } => {
                let (expires, nonce) = (wall.plus(*lifetime), self.entropy.bytes());
                let ticket = ticket::issue(&self.config.ticket_secret, expires, nonce);
                Ok(OperatorAnswer::Ticket(ticket))
            }
        }
    }

    fn set_administrator(
        &mut self,
        wall: WallTime,
        name: &str,
        on: bool,
    ) -> Result<OperatorAnswer, OperatorError> {
        let account = self.account_named(name)?;
        self.takes_writes()?;
        if self.state.accounts[&account].administrator == on {
            return Ok(OperatorAnswer::Done);
        }
        self.apply(Op::Administrator { account, on });
        let Some(lobby) = self.state.rooms.get(&names::key(LOBBY)).copied() else {
            return Ok(OperatorAnswer::Done);
        };
        let role = if on { Role::OWNER } else { Role::MEMBER };
        match self.member(lobby, account).map(|m| m.standing) {
            Some(Standing::JOINED) => self.give_role(wall, lobby, None, account, role),
            _ if on => self.admit(wall, lobby, account, role, None),
            _ => {}
        }
        Ok(OperatorAnswer::Done)
    }

    fn account_named(&self, name: &str) -> Result<AccountId, OperatorError> {
        let no_such = || OperatorError::NoSuchName(name.to_owned());
        let account = *self.state.names.get(&names::key(name)).ok_or_else(no_such)?;
        let is_it = names::is_same(&self.state.accounts[&account].name, name);
        if is_it { Ok(account) } else { Err(no_such()) }
    }

    pub(super) fn takes_writes(&self) -> Result<(), OperatorError> {
        match self.refusal_for_now() {
            None => Ok(()),
            Some(_) => Err(OperatorError::StoreFull),
        }
    }

    fn report_sessions(&self) -> Vec<SessionReport> {
        let report = |(id, session): (_, &super::sessions::Session)| SessionReport {
            session: id,
            account: session.account,
            name: self.account_info(session.account).name,
            device: session.device,
            address: session.address,
            client: session.client.to_string(),
        };
        self.sessions.iter().map(report).collect()
    }

    /// Buckets are swept while there are any; see `quota`.
    pub(super) fn sweep_quotas(&mut self, now: Timestamp) {
        self.quotas.sweep(now, &self.config.limits);
        if !self.quotas.is_empty() {
            self.timers.arm(Timer::Quotas, now + super::config::QUOTA_SWEEP_INTERVAL);
        }
    }
}
