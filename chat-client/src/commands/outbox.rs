//! `outbox`: what the relay has not accepted yet.

use protocol::message::event::Body;
use serde::Serialize;

use super::{
    json::{JSON_VERSION, rfc3339},
    session::{Session, unexpected},
};
use crate::{
    cli::{self, OutboxCommand},
    node::call::{Answer, Call, Delivery, OutboxView},
    output::{Output, Style},
    report::Failure,
    store::row::LocalId,
    untrusted::Untrusted,
};

#[derive(Serialize)]
struct OutboxJson {
    v: u32,
    local: u64,
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    counter: Option<u64>,
    composed_at: String,
    kind: &'static str,
    text: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl From<&OutboxView> for OutboxJson {
    fn from(message: &OutboxView) -> Self {
        let (state, why) = match &message.state {
            Delivery::Queued => ("queued", None),
            Delivery::Slowed { refusal, .. } => ("slowed", Some(refusal.to_string())),
            Delivery::Held { now, .. } => {
                ("held", Some(format!("the name belongs to account {} now", now.account)))
            }
            Delivery::Sent { .. } => ("sent", None),
            Delivery::Unknown => ("unknown", None),
            Delivery::Failed { refusal } => ("failed", Some(refusal.to_string())),
        };
        let text = match &message.body {
            Body::Text(text) | Body::Action(text) | Body::Edit(text) => text.text.clone(),
            Body::Delete(reason) => reason.clone(),
            Body::Reaction(emoji, _) => emoji.clone(),
            Body::Notice(_) | Body::Unknown(..) => String::new(),
        };
        Self {
            v: JSON_VERSION,
            local: message.local.0,
            to: message.to.to_string(),
            counter: message.counter.map(|counter| counter.0),
            composed_at: rfc3339(message.composed_at),
            kind: message.body.kind_name(),
            text,
            state,
            why,
        }
    }
}

pub(super) async fn run(
    outbox: &cli::Outbox,
    session: &Session,
    output: &mut Output,
) -> Result<(), Failure> {
    if let Some(OutboxCommand::Cancel { id }) = outbox.command {
        return match session.call(Call::Cancel { local: LocalId(id) }).await {
            Ok(Answer::Done) => Ok(()),
            Ok(other) => Err(unexpected(&other)),
            Err(Failure::NotFound { .. }) => {
                Err(Failure::NotFound { what: format!("message {id} in the outbox") })
            }
            Err(failure) => Err(failure),
        };
    }
    let messages = match session.call(Call::Outbox).await? {
        Answer::Outbox { messages } => messages,
        other => return Err(unexpected(&other)),
    };
    for message in messages.iter().map(OutboxJson::from) {
        match output.style() {
            Style::Json => output.json(&message)?,
            Style::Plain => {
                let to = Untrusted::new(&message.to).for_line();
                let text = Untrusted::new(&message.text).for_line();
                let why = message.why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
                let why = Untrusted::new(&why).for_line();
                output.line(&format!("{}\t{to}\t{}{why}\t{text}", message.local, message.state))?;
            }
        }
    }
    Ok(())
}
