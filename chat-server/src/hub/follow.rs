//! Who may read what: the interval of a log that a session sees, and who is barred from it.

use std::net::IpAddr;

use protocol::{
    ids::{AccountId, ConversationId, DeviceId, Seq},
    message::{
        RelayMessage,
        refusal::{Refusal, RefusalCode},
        room::{Access, BanTarget, Kind, Standing},
        session::{ConversationGone, Follow},
    },
    time::WallTime,
};

use super::{
    Hub,
    batch::Held,
    io::{Output, SessionId, ToSession},
    op::Membership,
    rights::{self, Verb},
    state::Conversation,
};

impl Hub {
    /// Lets a session stream a conversation, or tells it that there is nothing for it.
    pub(super) fn on_follow(&mut self, wall: WallTime, session: SessionId, follow: Follow) {
        match self.visible(wall, session, follow.conversation) {
            Ok(visible) => self.hold(Held::Follow { session, follow, visible }),
            Err(refusal) => {
                let gone = ConversationGone {
                    conversation: follow.conversation,
                    last: self.last_visible(session, follow.conversation),
                    refusal: Some(refusal),
                };
                self.tell(session, RelayMessage::ConversationGone(gone));
            }
        }
    }

    /// What a session may read of a conversation: from here, with no end yet.
    pub(super) fn visible(
        &self,
        wall: WallTime,
        session: SessionId,
        id: ConversationId,
    ) -> Result<(Seq, Option<Seq>), Refusal> {
        let no_such = || Refusal::last(RefusalCode::NO_SUCH_CONVERSATION, "");
        let account = self.sessions.get(session).ok_or_else(no_such)?.account;
        let conversation = self.state.conversations.get(&id).ok_or_else(no_such)?;
        let Some(member) = conversation.members.get(&account) else {
            return Err(Refusal::last(RefusalCode::NOT_A_MEMBER, ""));
        };
        rights::check(conversation.kind, member.membership, Verb::Read)?;
        self.not_barred(wall, session, conversation)?;
        Ok(interval(conversation, member.membership))
    }

    fn last_visible(&self, session: SessionId, id: ConversationId) -> Seq {
        let member = self
            .sessions
            .get(session)
            .and_then(|session| self.state.conversations.get(&id)?.members.get(&session.account));
        member.and_then(|member| member.membership.to).unwrap_or(Seq::ZERO)
    }

    /// Checks that no ban of the conversation hits the session.
    pub(super) fn not_barred(
        &self,
        wall: WallTime,
        session: SessionId,
        conversation: &Conversation,
    ) -> Result<(), Refusal> {
        if conversation.bans.is_empty() {
            return Ok(());
        }
        let Some(session) = self.sessions.get(session) else { return Ok(()) };
        let whom = Whom {
            account: session.account,
            device: Some(session.device),
            address: Some(session.address),
        };
        match barring(conversation, wall, &whom) {
            Some(reason) => Err(Refusal::last(RefusalCode::BANNED, reason)),
            None => Ok(()),
        }
    }

    /// Tells all sessions of an account that a conversation is no longer theirs.
    pub(super) fn revoke(
        &mut self,
        account: AccountId,
        conversation: ConversationId,
        last: Seq,
        refusal: Option<&Refusal>,
    ) {
        let sessions: Vec<_> = self.sessions.of_account(account).collect();
        for session in sessions {
            let revoke = ToSession::Revoke { conversation, last };
            self.put(Output::ToSession(session, revoke));
            let gone = ConversationGone { conversation, last, refusal: refusal.cloned() };
            self.tell(session, RelayMessage::ConversationGone(gone));
        }
    }
}

/// The part of a log a member reads: all of it where anyone may come in and read back, else from
/// where the membership began.
fn interval(conversation: &Conversation, membership: Membership) -> (Seq, Option<Seq>) {
    let reads_back = match conversation.kind {
        Kind::OPEN_ROOM => conversation.access == Access::ANYONE,
        Kind::DIRECT => true,
        _ => false,
    };
    let from = if reads_back { Seq::FIRST } else { membership.from };
    let to = if membership.standing == Standing::OUTSIDE { membership.to } else { None };
    (from, to)
}

/// Somebody a ban may hit, as far as it is known.
pub(super) struct Whom {
    pub(super) account: AccountId,
    pub(super) device: Option<DeviceId>,
    pub(super) address: Option<IpAddr>,
}

/// The reason of the first ban in force that hits, if one does.
pub(super) fn barring(conversation: &Conversation, wall: WallTime, whom: &Whom) -> Option<String> {
    conversation
        .bans
        .iter()
        .filter(|(_, ban)| ban.until == WallTime::default() || ban.until > wall)
        .find(|(target, _)| hits(target, whom))
        .map(|(_, ban)| ban.reason.clone())
}

/// True if the target names this account, device or address.
pub(super) fn hits(target: &BanTarget, whom: &Whom) -> bool {
    match target {
        BanTarget::Account(account) => *account == whom.account,
        BanTarget::Device(device) => Some(*device) == whom.device,
        BanTarget::Address { address, bits } => {
            whom.address.is_some_and(|of| same_prefix(address, &octets(of), *bits))
        }
        // A later version's: it cannot have been made here.
        BanTarget::Other(..) => false,
    }
}

/// IPv4 is written as IPv6-mapped, so that one rule serves both.
fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn same_prefix(a: &[u8; 16], b: &[u8; 16], bits: u8) -> bool {
    let shift = 128_u32.saturating_sub(bits.into());
    let different = u128::from_be_bytes(*a) ^ u128::from_be_bytes(*b);
    different.checked_shr(shift).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whom(address: &str) -> Whom {
        Whom {
            account: AccountId([1; 16]),
            device: Some(DeviceId([2; 16])),
            address: Some(address.parse().expect("an address")),
        }
    }

    fn range(address: &str, bits: u8) -> BanTarget {
        BanTarget::Address { address: octets(address.parse().expect("an address")), bits }
    }

    #[test]
    fn an_address_range_hits_inside_and_not_beside() {
        assert!(hits(&range("10.1.0.0", 112), &whom("10.1.255.255")));
        assert!(!hits(&range("10.1.0.0", 112), &whom("10.2.0.0")));
        assert!(hits(&range("10.1.0.1", 128), &whom("::ffff:10.1.0.1")));
        assert!(!hits(&range("10.1.0.1", 128), &whom("10.1.0.2")));
        assert!(hits(&range("2001:db8::", 64), &whom("2001:db8::9")));
        assert!(!hits(&range("2001:db8::", 64), &whom("2001:db8:0:1::9")));
        assert!(hits(&range("::", 0), &whom("10.1.0.1")));
        assert!(hits(&range("10.1.0.1", 200), &whom("10.1.0.1")), "more bits than there are");
    }

    #[test]
    fn accounts_and_devices_are_hit_by_name_only() {
        assert!(hits(&BanTarget::Account(AccountId([1; 16])), &whom("10.0.0.1")));
        assert!(!hits(&BanTarget::Account(AccountId([2; 16])), &whom("10.0.0.1")));
        assert!(hits(&BanTarget::Device(DeviceId([2; 16])), &whom("10.0.0.1")));
        assert!(!hits(&BanTarget::Device(DeviceId([1; 16])), &whom("10.0.0.1")));
    }
}
