//! The steps before there is a node: finding a relay, trusting it, running one. Each step is one
//! future; what comes of it is an event, or the node.

use std::path::PathBuf;

use super::{
    effect::{Reach, SetupStep},
    first_run::{FoundRelay, Setup},
};
use crate::{
    config::Config,
    host::{self, Hosted},
    node::{Events, Handle, NameOrigin, Node},
    report::Failure,
};

/// What came of a step.
pub(super) enum Outcome {
    /// A node, and the relay in this process if one was started.
    Open(Handle, Option<Hosted>),
    /// Something for the person.
    Ask(Setup),
}

/// The first step. A new home is asked for its name; a relay that this home ran before runs again.
pub(super) async fn begin(config: Config) -> Outcome {
    let is_new = config.relays().is_ok_and(|relays| relays.all().is_empty());
    if is_new && config.relay.is_none() && config.name_origin == NameOrigin::Default {
        return Outcome::Ask(Setup::NameWanted(config.name));
    }
    if config.relay.is_none()
        && let Some(reach) = host::reach_before(&relay_dir(&config))
        // If it does not start, the port is most likely taken by a client that was faster.
        && let Ok(hosted) = host::start(relay_dir(&config), reach).await
    {
        return open(&config, Some(hosted)).await;
    }
    open(&config, None).await
}

/// One step that the person chose.
pub(super) async fn perform(mut config: Config, step: SetupStep, name: String) -> Outcome {
    choose_name(&mut config, name);
    match step {
        // With a node there is a session, which registers.
        SetupStep::Find | SetupStep::Register { .. } => open(&config, None).await,
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

async fn host(mut config: Config, reach: Reach) -> Outcome {
    match host::start(relay_dir(&config), reach).await {
        Ok(hosted) => {
            config.relay = Some(hosted.invitation().to_string());
            open(&config, Some(hosted)).await
        }
        Err(error) => Outcome::Ask(Setup::Failed(error.to_string())),
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
