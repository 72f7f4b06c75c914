//! Who may do what: the permission table, as data.
//!
//! Rights follow from the kind of the conversation, how the account stands to it, and its role.
//! Whatever a later version adds — a kind, a standing, a role — has no rights here.

use protocol::message::{
    refusal::{Refusal, RefusalCode},
    room::{Kind, Role, Standing},
};

use super::op::Membership;

/// What somebody may want to do in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Follow the log and see who is in.
    Read,
    /// Append messages, and amend one's own.
    Speak,
    /// Ask somebody in.
    Invite,
    /// Erase what others said.
    DeleteOthers,
    /// Set the topic.
    Topic,
    /// Answer requests to join.
    Admit,
    /// Take a voice for a while.
    Mute,
    /// Remove a member.
    Kick,
    /// Remove and keep out; see and lift bans.
    Ban,
    /// Give roles.
    Appoint,
    /// Change who may join.
    Access,
}

impl Verb {
    /// The least role that may do it, among those who are in.
    const fn least_role(self) -> Role {
        match self {
            Self::Read | Self::Speak | Self::Invite => Role::MEMBER,
            Self::DeleteOthers
            | Self::Topic
            | Self::Admit
            | Self::Mute
            | Self::Kick
            | Self::Ban => Role::MODERATOR,
            Self::Appoint | Self::Access => Role::OWNER,
        }
    }
}

/// Checks one account's right to a verb.
pub(super) fn check(kind: Kind, membership: Membership, verb: Verb) -> Result<(), Refusal> {
    match (kind, membership.standing) {
        (Kind::OPEN_ROOM, Standing::JOINED) => check_role(membership.role, verb),
        // Two people, neither above the other. Who was asked in may look, and accepts by speaking.
        (Kind::DIRECT, Standing::JOINED | Standing::INVITED) => match verb {
            Verb::Read | Verb::Speak => Ok(()),
            Verb::Invite
            | Verb::DeleteOthers
            | Verb::Topic
            | Verb::Admit
            | Verb::Mute
            | Verb::Kick
            | Verb::Ban
            | Verb::Appoint
            | Verb::Access => {
                Err(Refusal::last(RefusalCode::NOT_ALLOWED, "not in a direct conversation"))
            }
        },
        (Kind::OPEN_ROOM | Kind::DIRECT, _) => Err(Refusal::last(RefusalCode::NOT_A_MEMBER, "")),
        _ => Err(Refusal::last(RefusalCode::UNSUPPORTED, "a conversation of a later version")),
    }
}

fn check_role(role: Role, verb: Verb) -> Result<(), Refusal> {
    let is_known = (Role::MEMBER..=Role::OWNER).contains(&role);
    if is_known && role >= verb.least_role() {
        return Ok(());
    }
    let who = if verb.least_role() == Role::OWNER { "an owner" } else { "a moderator" };
    Err(Refusal::last(RefusalCode::NOT_ALLOWED, format!("only {who} may")))
}

/// Checks that a role may be turned against another: owners against everybody, moderators against
/// members.
pub(super) fn check_rank(actor: Role, subject: Role) -> Result<(), Refusal> {
    if actor == Role::OWNER || actor > subject {
        return Ok(());
    }
    Err(Refusal::last(RefusalCode::NOT_ALLOWED, "they have the same role as you or a higher one"))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use protocol::{ids::Seq, time::WallTime};

    use super::*;

    const VERBS: [Verb; 11] = [
        Verb::Read,
        Verb::Speak,
        Verb::Invite,
        Verb::DeleteOthers,
        Verb::Topic,
        Verb::Admit,
        Verb::Mute,
        Verb::Kick,
        Verb::Ban,
        Verb::Appoint,
        Verb::Access,
    ];

    const TABLE: &str = "\
room outside    member    .
room outside    moderator .
room outside    owner     .
room requested  member    .
room requested  moderator .
room requested  owner     .
room invited    member    .
room invited    moderator .
room invited    owner     .
room joined     unknown   .
room joined     member    RSI
room joined     moderator RSIDTAMKB
room joined     owner     RSIDTAMKBPX
direct outside   member    .
direct requested member    .
direct invited   member    RS
direct joined    member    RS
direct joined    owner     RS
future joined    owner     .
";

    #[test]
    fn every_kind_standing_and_role_has_the_verbs_of_the_table() {
        let letters = ["R", "S", "I", "D", "T", "A", "M", "K", "B", "P", "X"];
        let mut table = String::new();
        let rows: Vec<(&str, Kind, &str, Standing, &str, Role)> = TABLE
            .lines()
            .map(|line| {
                let words: Vec<_> = line.split_whitespace().collect();
                let kind = match words[0] {
                    "room" => Kind::OPEN_ROOM,
                    "direct" => Kind::DIRECT,
                    _ => Kind(77),
                };
                let standing = match words[1] {
                    "joined" => Standing::JOINED,
                    "invited" => Standing::INVITED,
                    "requested" => Standing::REQUESTED,
                    _ => Standing::OUTSIDE,
                };
                let role = match words[2] {
                    "member" => Role::MEMBER,
                    "moderator" => Role::MODERATOR,
                    "owner" => Role::OWNER,
                    _ => Role(77),
                };
                (words[0], kind, words[1], standing, words[2], role)
            })
            .collect();
        for (kind_word, kind, standing_word, standing, role_word, role) in rows {
            let membership = Membership {
                standing,
                role,
                muted_until: WallTime::default(),
                from: Seq::FIRST,
                to: None,
            };
            let mut allowed: String = VERBS
                .iter()
                .zip(letters)
                .filter(|(verb, _)| check(kind, membership, **verb).is_ok())
                .map(|(_, letter)| letter)
                .collect();
            if allowed.is_empty() {
                allowed.push('.');
            }
            writeln!(table, "{kind_word} {standing_word:<10} {role_word:<9} {allowed:<12}")
                .expect("a String takes everything");
        }
        let squeeze = |table: &str| -> Vec<Vec<String>> {
            let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
            table.lines().map(words).collect()
        };
        assert_eq!(squeeze(&table), squeeze(TABLE));
    }

    #[test]
    fn owners_act_on_everybody_and_moderators_on_members() {
        let roles = [Role::MEMBER, Role::MODERATOR, Role::OWNER];
        let may: Vec<Vec<bool>> = roles
            .iter()
            .map(|actor| roles.iter().map(|on| check_rank(*actor, *on).is_ok()).collect())
            .collect();
        assert_eq!(may, [[false, false, false], [true, false, false], [true, true, true]]);
    }
}
