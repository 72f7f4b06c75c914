//! `members`: who is in a conversation.

use protocol::message::{
    request::{Members, Reply},
    room::{MemberInfo, Presence},
};
use serde::Serialize;

use super::{
    json::{JSON_VERSION, PersonJson, rfc3339},
    render::role_name,
    rooms::standing_name,
    session::{Session, unexpected},
};
use crate::{
    node::call::Target,
    output::{Output, Style},
    report::Failure,
    untrusted::Untrusted,
};

#[derive(Serialize)]
struct MemberJson {
    v: u32,
    #[serde(flatten)]
    person: PersonJson,
    role: &'static str,
    standing: &'static str,
    presence: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    muted_until: Option<String>,
}

impl From<&MemberInfo> for MemberJson {
    fn from(member: &MemberInfo) -> Self {
        let is_muted = member.muted_until.as_millis() > 0;
        Self {
            v: JSON_VERSION,
            person: PersonJson::new(&member.account),
            role: role_name(member.role),
            standing: standing_name(member.standing),
            presence: match member.presence {
                Presence::ONLINE => "online",
                Presence::OFFLINE => "offline",
                Presence(_) => "unknown",
            },
            muted_until: is_muted.then(|| rfc3339(member.muted_until)),
        }
    }
}

pub(super) async fn run(
    target: &Target,
    session: &Session,
    output: &mut Output,
) -> Result<(), Failure> {
    let conversation = session.find_online(target).await?.info.id;
    let mut after = None;
    loop {
        let page = match session.ask(Members { conversation, after }).await? {
            Reply::Members(page) => page,
            other => return Err(unexpected(&other)),
        };
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.account.account);
        for member in &page {
            let json = MemberJson::from(member);
            match output.style() {
                Style::Json => output.json(&json)?,
                Style::Plain => {
                    let name = Untrusted::new(&member.account.name).for_line();
                    let (role, standing, presence) = (json.role, json.standing, json.presence);
                    output.line(&format!("@{name}\t{role}\t{standing}\t{presence}"))?;
                }
            }
        }
    }
}
