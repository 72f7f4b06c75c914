//! What holds for this run: flag over environment over default, validated once.

use std::{path::PathBuf, time::Duration};

use protocol::{ids::Fingerprint, transport::datagram::trace::Payloads};

use crate::{
    cli::Common, net::Transport, node::NameOrigin, relays::Relays, report::Failure,
    settings::Sources, store::home::Home,
};

/// The name of somebody whose login name is unknown or no name.
const NAME_FALLBACK: &str = "guest";

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything is kept.
    pub home: Home,
    /// The relay as it was given, if it was.
    pub relay: Option<String>,
    /// What carries the session.
    pub transport: Transport,
    /// Where to write what the transport does, and how much of it; nowhere, if not given.
    pub trace: Option<(PathBuf, Payloads)>,
    /// The fingerprint a person vouches for.
    pub trust: Option<Fingerprint>,
    /// The name to register under, where it is needed.
    pub name: String,
    /// Whether somebody chose it.
    pub name_origin: NameOrigin,
    /// JSON lines instead of plain ones.
    pub json: bool,
    /// When to give up; never, if not given.
    pub timeout: Option<Duration>,
    /// What the settings of the full-screen client are made from.
    pub settings: Sources,
}

impl Config {
    /// Makes sense of the flags, into which clap has merged the environment already.
    ///
    /// # Errors
    ///
    /// If there is no place for a home.
    pub fn new(common: Common) -> Result<Self, Failure> {
        let home = Home::choose(common.home).map_err(|error| Failure::Usage(error.to_string()))?;
        let (name, name_origin) = match common.name {
            Some(name) => (name.trim_start_matches('@').to_owned(), NameOrigin::Chosen),
            None => (login_name(), NameOrigin::Default),
        };
        let payloads = if common.with_secrets { Payloads::Kept } else { Payloads::Withheld };
        let settings = Sources {
            is_named: common.config.is_some(),
            file: common.config.unwrap_or_else(|| home.config()),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            flags: common.settings,
        };
        Ok(Self {
            home,
            relay: common.relay.filter(|relay| !relay.trim().is_empty()),
            transport: common.transport,
            trace: common.trace.map(|directory| (directory, payloads)),
            trust: common.trust,
            name,
            name_origin,
            json: common.json,
            timeout: common.timeout,
            settings,
        })
    }

    /// The relays this profile trusts.
    ///
    /// # Errors
    ///
    /// If the home cannot be used or its file is damaged.
    pub fn relays(&self) -> Result<Relays, Failure> {
        self.home.prepare().map_err(|error| Failure::Store { why: error.to_string() })?;
        let path = self.home.relays();
        Relays::load(&path)
            .map_err(|error| Failure::io(format!("cannot read {}", path.display()), error))
    }
}

fn login_name() -> String {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    variable("USER").or_else(|| variable("LOGNAME")).unwrap_or_else(|| NAME_FALLBACK.to_owned())
}
