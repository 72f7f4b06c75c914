//! `room …`: what moderators and owners do.

use std::time::{Duration, SystemTime};

use protocol::{
    ids::ConversationId,
    message::{
        request::{
            Admit, Ban, Bans, Invite, Kick, Mute, Reply, SetAccess, SetRole, SetTopic, Unban,
            Verdict,
        },
        room::{Access, AccountInfo, BanInfo, BanTarget, Role},
    },
    time::WallTime,
};
use serde::Serialize;

use super::{
    json::{JSON_VERSION, PersonJson, rfc3339},
    session::{Session, unexpected},
};
use crate::{
    cli::{self, Admission, Rank, Room},
    node::call::Target,
    output::{Output, Style, tell},
    report::Failure,
    untrusted::Untrusted,
};

pub(super) async fn run(room: Room, session: &Session, output: &mut Output) -> Result<(), Failure> {
    let found = session.find_online(target_of(&room)).await?;
    let conversation = found.info.id;
    match room {
        Room::Topic { topic: None, .. } => {
            output.line(&Untrusted::new(&found.info.topic).for_line())
        }
        Room::Topic { topic: Some(topic), .. } => {
            session.order(SetTopic { conversation, topic }).await
        }
        Room::Kick { who, reason, .. } => {
            let account = session.person(&who).await?.account;
            session.order(Kick { conversation, account, reason }).await
        }
        Room::Ban { who, duration, reason, dry_run, .. } => {
            let target = ban_target(session, who).await?;
            let until = duration.map(from_now).unwrap_or_default();
            let ban = Ban { conversation, target, until, reason, dry_run };
            ban_and_say(session, ban, output).await
        }
        Room::Unban { who, .. } => {
            let target = ban_target(session, who).await?;
            session.order(Unban { conversation, target }).await
        }
        Room::Bans { .. } => bans(session, conversation, output).await,
        Room::Mute { who, duration, .. } => {
            let account = session.person(&who).await?.account;
            session.order(Mute { conversation, account, until: from_now(duration) }).await
        }
        Room::Unmute { who, .. } => {
            let account = session.person(&who).await?.account;
            session.order(Mute { conversation, account, until: WallTime::default() }).await
        }
        Room::Role { who, role, .. } => {
            let account = session.person(&who).await?.account;
            let role = match role {
                Rank::Member => Role::MEMBER,
                Rank::Moderator => Role::MODERATOR,
                Rank::Owner => Role::OWNER,
            };
            session.order(SetRole { conversation, account, role }).await
        }
        Room::Invite { who, .. } => {
            let account = session.person(&who).await?.account;
            session.order(Invite { conversation, account }).await
        }
        Room::Admit { who, refuse, .. } => {
            let account = session.person(&who).await?.account;
            let verdict = if refuse { Verdict::No } else { Verdict::Yes };
            session.order(Admit { conversation, account, verdict }).await
        }
        Room::Access { access: wanted, .. } => {
            session.order(SetAccess { conversation, access: access(wanted) }).await
        }
    }
}

const fn target_of(room: &Room) -> &Target {
    match room {
        Room::Topic { target, .. }
        | Room::Kick { target, .. }
        | Room::Ban { target, .. }
        | Room::Unban { target, .. }
        | Room::Bans { target }
        | Room::Mute { target, .. }
        | Room::Unmute { target, .. }
        | Room::Role { target, .. }
        | Room::Invite { target, .. }
        | Room::Admit { target, .. }
        | Room::Access { target, .. } => target,
    }
}

/// Who may join, as the wire says it.
pub(super) const fn access(admission: Admission) -> Access {
    match admission {
        Admission::Anyone => Access::ANYONE,
        Admission::Approved => Access::APPROVED,
        Admission::Invited => Access::INVITED,
    }
}

async fn ban_target(session: &Session, who: cli::Ban) -> Result<BanTarget, Failure> {
    Ok(match who {
        cli::Ban::Person(name) => {
            BanTarget::Account(session.person(&Target::Person(name)).await?.account)
        }
        cli::Ban::Device(device) => BanTarget::Device(device),
        cli::Ban::Address { address, bits } => BanTarget::Address { address, bits },
    })
}

async fn ban_and_say(session: &Session, ban: Ban, output: &mut Output) -> Result<(), Failure> {
    let dry_run = ban.dry_run;
    let hit: Vec<AccountInfo> = match session.ask(ban).await? {
        Reply::Ban(hit) => hit,
        other => return Err(unexpected(&other)),
    };
    if dry_run {
        tell(&format!("note: nothing was done; it would hit {} members", hit.len()));
    }
    for person in &hit {
        match output.style() {
            Style::Json => output.json(&PersonJson::new(person))?,
            Style::Plain => {
                output.line(&format!("@{}", Untrusted::new(&person.name).for_line()))?;
            }
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct BanJson {
    v: u32,
    target: String,
    /// `null` for good.
    until: Option<String>,
    reason: String,
}

impl From<&BanInfo> for BanJson {
    fn from(ban: &BanInfo) -> Self {
        let is_for_good = ban.until == WallTime::default();
        Self {
            v: JSON_VERSION,
            target: match &ban.target {
                BanTarget::Account(account) => format!("account {account}"),
                BanTarget::Device(device) => format!("device {device}"),
                BanTarget::Address { address, bits } => {
                    format!("address {}/{bits}", std::net::Ipv6Addr::from(*address))
                }
                BanTarget::Other(kind, _) => format!("of a later version ({kind})"),
            },
            until: (!is_for_good).then(|| rfc3339(ban.until)),
            reason: ban.reason.clone(),
        }
    }
}

async fn bans(
    session: &Session,
    conversation: ConversationId,
    output: &mut Output,
) -> Result<(), Failure> {
    let bans = match session.ask(Bans { conversation }).await? {
        Reply::Bans(bans) => bans,
        other => return Err(unexpected(&other)),
    };
    for ban in bans.iter().map(BanJson::from) {
        match output.style() {
            Style::Json => output.json(&ban)?,
            Style::Plain => {
                let until = ban.until.as_deref().unwrap_or("for good");
                let reason = Untrusted::new(&ban.reason).for_line();
                output.line(&format!("{}\t{until}\t{reason}", ban.target))?;
            }
        }
    }
    Ok(())
}

fn from_now(duration: Duration) -> WallTime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime::from_millis(0).plus(now.saturating_add(duration))
}
