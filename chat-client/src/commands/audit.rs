//! `audit`: proves that the local history is what the relay has, or says from where it is not.

use serde::Serialize;

use super::{
    json::JSON_VERSION,
    session::{Session, unexpected},
};
use crate::{
    node::call::{Answer, Call, Target},
    output::{Output, Style},
    report::Failure,
    untrusted::Untrusted,
};

#[derive(Serialize)]
struct AuditJson {
    v: u32,
    conversation: String,
    records: u64,
    same: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    differs_at: Option<u64>,
}

pub(super) async fn run(
    target: &Target,
    session: &Session,
    output: &mut Output,
) -> Result<(), Failure> {
    let conversation = session.synced(session.find_online(target).await?).await?;
    let id = conversation.info.id;
    let answer = session.call(Call::Audit { conversation: id }).await?;
    let Answer::Audited { records, differs_at } = answer else { return Err(unexpected(&answer)) };
    match output.style() {
        Style::Json => output.json(&AuditJson {
            v: JSON_VERSION,
            conversation: id.to_string(),
            records,
            same: differs_at.is_none(),
            differs_at: differs_at.map(|seq| seq.0),
        })?,
        Style::Plain if differs_at.is_none() => {
            let title = Untrusted::new(&conversation.title()).for_line();
            output.line(&format!("{title}\t{records} records\tsame chain as the relay"))?;
        }
        Style::Plain => {}
    }
    match differs_at {
        Some(upto) => Err(Failure::AuditMismatch { target: target.clone(), upto }),
        None => Ok(()),
    }
}
