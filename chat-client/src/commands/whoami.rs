//! `whoami`: who this is, and which relay it uses.

use serde::Serialize;

use super::{json::JSON_VERSION, session::Session};
use crate::{
    node::call::Status,
    output::{Output, Style, tell},
    report::Failure,
    untrusted::Untrusted,
};

#[derive(Serialize)]
struct WhoamiJson {
    v: u32,
    name: String,
    /// `null` until a relay has confirmed it.
    account: Option<String>,
    device: String,
    relay: String,
    relay_name: String,
    addresses: Vec<String>,
}

impl From<Status> for WhoamiJson {
    fn from(status: Status) -> Self {
        Self {
            v: JSON_VERSION,
            name: status.account.as_ref().map_or(status.wanted_name, |own| own.name.clone()),
            account: status.account.map(|own| own.account.to_string()),
            device: status.device.to_string(),
            relay: status.relay_key.fingerprint().to_string(),
            relay_name: status.relay_name,
            addresses: status.addresses,
        }
    }
}

pub(super) async fn run(session: &Session, output: &mut Output) -> Result<(), Failure> {
    if let Err(why) = session.online_if_possible().await {
        tell(&format!("note: as last known ({})", Untrusted::new(&why).for_line()));
    }
    let who = WhoamiJson::from(session.status().await?);
    if output.style() == Style::Json {
        return output.json(&who);
    }
    let account = who.account.as_deref().unwrap_or("not registered yet");
    output.line(&format!("name\t@{}", Untrusted::new(&who.name).for_line()))?;
    output.line(&format!("account\t{account}"))?;
    output.line(&format!("device\t{}", who.device))?;
    output.line(&format!("relay\t{}", who.relay))?;
    output.line(&format!("relay name\t{}", Untrusted::new(&who.relay_name).for_line()))?;
    output.line(&format!("addresses\t{}", who.addresses.join(" ")))
}
