//! The steps before there is a node: finding a relay, trusting it, running one. Each step is one
//! future; what comes of it is an event, or the node.

use std::{fmt, path::PathBuf, time::Duration};

use protocol::{ids::Fingerprint, invitation::RelayAddress};
use tokio::time::{Instant, sleep};

use super::{
    effect::{Reach, SetupStep},
    first_run::{FoundRelay, Setup},
};
use crate::{
    config::Config,
    host::{self, HostError, Hosted, HostedBefore},
    net::discovery,
    node::{Events, Handle, NameOrigin, Node},
    report::Failure,
};

/// How long a leaving window of the same home may take to stop its relay.
const HANDOVER_TIME_MAX: Duration = Duration::from_secs(5);
/// Between two looks whether it has.
const HANDOVER_PAUSE: Duration = Duration::from_millis(50);

/// What came of a step.
pub(super) enum Outcome {
    /// A node, and the relay in this process if one was started.
    Open(Handle, Option<Hosted>),
    /// Something for the person.
    Ask(Setup),
}

/// The first step. A new home is asked for its name; the relay that this home uses and ran itself
/// runs again.
pub(super) async fn begin(config: Config) -> Outcome {
    let is_new = config.relays().is_ok_and(|relays| relays.all().is_empty());
    if is_new && config.relay.is_none() && config.name_origin == NameOrigin::Default {
        return Outcome::Ask(Setup::NameWanted(config.name));
    }
    find(config).await
}

/// The home again, after the program that kept it ended, while its relay runs here.
pub(super) async fn reopen(config: Config) -> Outcome {
    open(&config, None).await
}

/// One step that the person chose.
pub(super) async fn perform(mut config: Config, step: SetupStep, name: String) -> Outcome {
    choose_name(&mut config, name);
    match step {
        SetupStep::Find => find(config).await,
        // With a node there is a session, which registers.
        SetupStep::Open | SetupStep::Register { .. } => open(&config, None).await,
        SetupStep::Trust { address, fingerprint, name } => {
            config.relay = Some(address);
            choose_name(&mut config, name);
            match fingerprint.parse() {
                Ok(fingerprint) => config.trust = Some(fingerprint),
                Err(_) => return Outcome::Ask(Setup::Failed("not a fingerprint".to_owned())),
            }
            open(&config, None).await
        }
        SetupStep::Host { reach, name } => {
            choose_name(&mut config, name);
            host(config, reach).await
        }
    }
}

fn choose_name(config: &mut Config, name: String) {
    if !name.is_empty() && name != config.name {
        config.name = name;
        config.name_origin = NameOrigin::Chosen;
    }
}

/// Where a relay of this home keeps what it has.
fn relay_dir(config: &Config) -> PathBuf {
    config.home.data().join("relay")
}

async fn find(config: Config) -> Outcome {
    match to_host_again(&config) {
        Some(before) => host_again(config, before).await,
        None => open(&config, None).await,
    }
}

/// The relay that this home would use now, if it is the one that it hosted. One that the person
/// left for another relay is not started for nobody.
fn to_host_again(config: &Config) -> Option<HostedBefore> {
    if config.relay.is_some() {
        return None;
    }
    let before = host::hosted_before(&relay_dir(config))?;
    let wanted = match config.trust {
        Some(trust) => trust,
        None => config.relays().ok()?.last_used()?.key.fingerprint(),
    };
    (wanted == before.relay).then_some(before)
}

async fn host_again(config: Config, before: HostedBefore) -> Outcome {
    match start_again(&config, before.reach).await {
        Ok(hosted) => open_hosted(config, hosted).await,
        // Another window of this home runs it, or somebody serves the directory by other means.
        Err(HostError::Running) => open(&config, None).await,
        Err(HostError::PortTaken) => {
            match Listener::at(&discovery::usual_addresses(), before.relay).await {
                Listener::Wanted => open(&config, None).await,
                listener @ (Listener::OtherRelay(_) | Listener::Stranger) => {
                    let error = HostError::PortTaken;
                    Outcome::Ask(Setup::NotHosted(format!("{error} by {listener}")))
                }
            }
        }
        Err(error) => Outcome::Ask(Setup::NotHosted(error.to_string())),
    }
}

/// Whoever ran the relay until now may have closed the home already and not the relay yet.
async fn start_again(config: &Config, reach: Reach) -> Result<Hosted, HostError> {
    let until = Instant::now() + HANDOVER_TIME_MAX;
    loop {
        match host::start(relay_dir(config), reach).await {
            Err(HostError::Running) if Instant::now() < until && !Node::is_owned(config).await => {
                sleep(HANDOVER_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

async fn host(config: Config, reach: Reach) -> Outcome {
    match host::start(relay_dir(&config), reach).await {
        Ok(hosted) => open_hosted(config, hosted).await,
        Err(error) => Outcome::Ask(Setup::Failed(error.to_string())),
    }
}

/// Its address may be another one than last time.
async fn open_hosted(mut config: Config, hosted: Hosted) -> Outcome {
    config.relay = Some(hosted.invitation().to_string());
    open(&config, Some(hosted)).await
}

/// Who is where a relay of this home should be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Listener {
    Wanted,
    OtherRelay(Fingerprint),
    /// Nobody who speaks as a relay does.
    Stranger,
}

impl Listener {
    async fn at(addresses: &[RelayAddress], wanted: Fingerprint) -> Self {
        match discovery::probe(addresses).await {
            Ok((_, beacon)) if beacon.relay_key.fingerprint() == wanted => Self::Wanted,
            Ok((_, beacon)) => Self::OtherRelay(beacon.relay_key.fingerprint()),
            Err(_) => Self::Stranger,
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wanted => f.write_str("the relay itself"),
            Self::OtherRelay(fingerprint) => write!(f, "another relay ({fingerprint})"),
            Self::Stranger => f.write_str("another program"),
        }
    }
}

async fn open(config: &Config, hosted: Option<Hosted>) -> Outcome {
    match Node::open(config, Events::Wanted).await {
        Ok(handle) => Outcome::Open(handle, hosted),
        Err(Failure::NoRelay) => Outcome::Ask(Setup::Nobody),
        Err(Failure::NotTrusted { address, announced, name }) => {
            let fingerprint = announced.fingerprint().to_string();
            Outcome::Ask(Setup::Found(FoundRelay {
                address,
                name,
                fingerprint,
                is_other_key: false,
            }))
        }
        Err(Failure::OtherKey { announced, address, .. }) => {
            let fingerprint = announced.fingerprint().to_string();
            let name = String::new();
            Outcome::Ask(Setup::Found(FoundRelay {
                address,
                name,
                fingerprint,
                is_other_key: true,
            }))
        }
        Err(failure) => Outcome::Ask(Setup::Failed(failure.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use protocol::ids::RelayKey;

    use super::*;

    #[tokio::test]
    async fn whoever_does_not_answer_as_a_relay_is_another_program() {
        let stranger = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = stranger.local_addr().expect("bound").to_string();
        // Ends with the first connection, which it closes.
        tokio::spawn(async move { stranger.accept().await.map(drop) });
        let address = address.parse().expect("an address");
        let wanted = RelayKey([1; 32]).fingerprint();
        let listener = Listener::at(&[address], wanted).await;
        assert_eq!(listener, Listener::Stranger);
        assert_eq!(listener.to_string(), "another program");
    }
}
