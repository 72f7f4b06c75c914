//! `trust`: which relays this profile believes, by key.

use serde::Serialize;

use super::{
    json::JSON_VERSION,
    session::{Session, unexpected},
};
use crate::{
    choice::{Wish, choose},
    cli::{self, TrustCommand},
    config::Config,
    node::call::{Answer, Call, Target},
    output::{Output, Style},
    relays::{KnownRelay, Relays},
    report::Failure,
    untrusted::Untrusted,
};

#[derive(Serialize)]
struct RelayJson {
    v: u32,
    fingerprint: String,
    name: String,
    addresses: Vec<String>,
}

impl From<&KnownRelay> for RelayJson {
    fn from(relay: &KnownRelay) -> Self {
        Self {
            v: JSON_VERSION,
            fingerprint: relay.key.fingerprint().to_string(),
            name: relay.name.clone(),
            addresses: relay.addresses.iter().map(ToString::to_string).collect(),
        }
    }
}

pub(super) async fn run(
    trust: cli::Trust,
    config: &Config,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut relays = config.relays()?;
    match (trust.fingerprint, trust.command) {
        (Some(fingerprint), _) => {
            let wish = Wish { relay: config.relay.as_deref(), trust: Some(fingerprint) };
            let choice = choose(wish, &relays).await?;
            relays
                .remember(choice.key, &choice.name, &choice.addresses)
                .map_err(|error| Failure::io("cannot remember the relay", error))
        }
        (None, Some(TrustCommand::Forget { fingerprint })) => {
            let forgotten = relays.forget(fingerprint);
            if forgotten.map_err(|error| Failure::io("cannot forget the relay", error))? {
                Ok(())
            } else {
                Err(Failure::NotFound { what: fingerprint.to_string() })
            }
        }
        (None, Some(TrustCommand::Name { who })) => accept_name(&who, config).await,
        (None, Some(TrustCommand::List) | None) => list(&relays, output),
    }
}

fn list(relays: &Relays, output: &mut Output) -> Result<(), Failure> {
    for relay in relays.all().iter().map(RelayJson::from) {
        match output.style() {
            Style::Json => output.json(&relay)?,
            Style::Plain => {
                let name = Untrusted::new(&relay.name).for_line();
                let addresses = relay.addresses.join(" ");
                output.line(&format!("{}\t{name}\t{addresses}", relay.fingerprint))?;
            }
        }
    }
    Ok(())
}

async fn accept_name(who: &Target, config: &Config) -> Result<(), Failure> {
    let session = Session::open(config).await?;
    let outcome = async {
        session.online().await?;
        let person = session.person(who).await?;
        let call = Call::AcceptName { name: person.name, account: person.account };
        match session.call(call).await? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    };
    let outcome = outcome.await;
    session.close().await;
    outcome
}
