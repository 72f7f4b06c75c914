//! The operator's commands on a relay that does not run: the same hub and store, driven by hand.

use std::{
    net::{Ipv6Addr, SocketAddr},
    path::Path,
};

use protocol::{
    entropy::Entropy,
    invitation::{AddressError, DEFAULT_PORT, Invitation},
};

use crate::{
    backup,
    clock::Clock,
    config::Config,
    hub::{Hub, Input, OperatorCall, Output},
    invite,
    key::{self, KeyError},
    operator::{self, OperatorRequest},
    server::{create_private_dir, hub_config, open_store},
    store::{CommitError, StoreError},
};

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The data directory.
    #[error("cannot use the data directory")]
    DataDir(#[from] std::io::Error),
    /// The relay's key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The hub said no.
    #[error("{0}")]
    Refused(String),
    /// There is no address to name: port 0 is chosen when the relay starts.
    #[error("cannot name the relay's address: {0}")]
    Address(#[from] AddressError),
    /// It makes sense only for a running relay.
    #[error("only a running relay can do that")]
    NeedsRunning,
}

/// Carries out a request on the store in the configured data directory.
///
/// # Errors
///
/// If the store cannot be used (another relay has it, for one), or the request is refused.
pub fn carry_out(config: &Config, request: OperatorRequest) -> Result<String, OfflineError> {
    match request {
        OperatorRequest::Hub(call) => ask_hub(config, call),
        OperatorRequest::Backup(to) => {
            let mut store = open_store(config)?;
            store.load()?;
            let key = key::load_or_create(&config.settings.server.data_dir)?;
            backup::write(&mut *store.archiver()?, &key, &to)?;
            Ok(String::new())
        }
        OperatorRequest::Info | OperatorRequest::Reload => Err(OfflineError::NeedsRunning),
    }
}

/// The invitation that the relay would give if it ran.
///
/// # Errors
///
/// If its key cannot be read, or the settings name no usable address.
pub fn invitation(config: &Config) -> Result<Invitation, OfflineError> {
    let server = &config.settings.server;
    create_private_dir(&server.data_dir)?;
    let key = key::load_or_create(&server.data_dir)?;
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT));
    let address = server.listen.first().copied().unwrap_or(any);
    Ok(invite::invitation(address, &server.public_host, key.relay_key(), None)?)
}

fn ask_hub(config: &Config, call: OperatorCall) -> Result<String, OfflineError> {
    let data_dir: &Path = &config.settings.server.data_dir;
    create_private_dir(data_dir)?;
    let mut store = open_store(config)?;
    let key = key::load_or_create(data_dir)?;
    let mut hub = Hub::new(hub_config(config, &key), store.load()?, Entropy::system());
    let clock = Clock::start();
    hub.handle_input(clock.now(), clock.wall(), Input::Operator { id: 0, call });
    loop {
        while let Some(output) = hub.poll_output() {
            match output {
                Output::ToOperator(_, answer) => {
                    return operator::lines_of(&answer).map_err(OfflineError::Refused);
                }
                // Nobody is connected, and no time passes.
                Output::Publish(_) | Output::ToSession(..) | Output::LookAtAges(_) => {}
            }
        }
        let Some(commit) = hub.poll_commit() else {
            return Err(OfflineError::Refused("the hub gave no answer".to_owned()));
        };
        store.commit(&commit)?;
        hub.handle_committed(clock.now(), clock.wall(), Ok(()));
    }
}
