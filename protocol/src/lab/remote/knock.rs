//! How a guest gets in.

use super::{Plan, RunName, wire::Said};

/// A guest before its run: [`Self::datagram`] again and again, until [`Self::handle_datagram`] says
/// that it is in or refused.
#[derive(Debug)]
pub struct Knock {
    run: RunName,
    plan: Plan,
    cookie: Option<Vec<u8>>,
}

/// What a host says to a guest that knocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is there: the next datagram says something else.
    Hears,
    /// The run has begun.
    Begun,
    /// There are as many runs as may be.
    Refused,
}

impl Knock {
    /// One that has heard nothing yet. No other run may have this name.
    pub const fn new(run: RunName, plan: Plan) -> Self {
        Self { run, plan, cookie: None }
    }

    /// What to send now, and again when nothing came.
    pub fn datagram(&self) -> Vec<u8> {
        let said = match &self.cookie {
            None => Said::Ask(self.plan),
            Some(cookie) => Said::Begin(self.plan, cookie),
        };
        said.encode(self.run)
    }

    /// Takes what came; `None` if it is nothing for this guest.
    pub fn handle_datagram(&mut self, datagram: &[u8]) -> Option<Reply> {
        let (_, said) = Said::decode(datagram).filter(|(run, _)| *run == self.run)?;
        match said {
            Said::Cookie(cookie) => {
                self.cookie = Some(cookie.to_vec());
                Some(Reply::Hears)
            }
            Said::Begun if self.cookie.is_some() => Some(Reply::Begun),
            Said::Refused if self.cookie.is_some() => Some(Reply::Refused),
            // Before its turn, of another time, or not for a guest.
            Said::Begun
            | Said::Refused
            | Said::Answer(..)
            | Said::Seen(..)
            | Said::Ask(_)
            | Said::Begin(..)
            | Said::Packet(_)
            | Said::Look(..)
            | Said::Leave => None,
        }
    }
}
