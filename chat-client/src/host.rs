//! A relay in this process, for the person who starts without one. It has a thread of its own, and
//! drains when the client leaves: what was acknowledged is on the disk.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::Duration,
};

use chat_server::{
    Server,
    config::Config,
    server::{Controller, ServeError, StartError},
};
use protocol::invitation::Invitation;
use tokio::{sync::oneshot, time::timeout};

use crate::app::effect::Reach;

/// Where clients look for a relay first.
const PORT: u16 = 4545;
/// How long the others may take to hear that the relay goes: the person who hosts it has left, and
/// waits for the shell.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(1);
/// Remembers in the data directory from where the relay can be reached.
const REACH_FILE: &str = "reach";
const MACHINE: &str = "machine";
const NETWORK: &str = "network";

/// A relay that serves.
#[derive(Debug)]
pub struct Hosted {
    invitation: Invitation,
    controller: Controller,
    thread: JoinHandle<Result<(), ServeError>>,
}

/// Why no relay can be hosted.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// It cannot start.
    #[error("the relay does not start: {0}")]
    Start(#[from] StartError),
    /// No thread, no runtime in it, or no file beside it.
    #[error("the system refuses a relay: {0}")]
    System(#[from] std::io::Error),
    /// It ended before it served.
    #[error("the relay ended before it served")]
    Ended,
}

/// From where a relay in this directory could be reached when it ran last; `None` if none did.
pub fn reach_before(data_dir: &Path) -> Option<Reach> {
    match fs::read_to_string(data_dir.join(REACH_FILE)).ok()?.trim() {
        MACHINE => Some(Reach::Machine),
        NETWORK => Some(Reach::Network),
        _ => None,
    }
}

/// Starts a relay on what is in this directory, reachable from as far as asked.
///
/// # Errors
///
/// If the port is taken, the directory cannot be used, or the system refuses.
pub async fn start(data_dir: PathBuf, reach: Reach) -> Result<Hosted, HostError> {
    let remembered = data_dir.join(REACH_FILE);
    let mut config = Config::default();
    config.settings.server.data_dir = data_dir;
    config.settings.server.listen = addresses(reach);
    let (started, starting) = oneshot::channel();
    let thread = thread::Builder::new().name("relay".to_owned()).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                // Whoever waited has gone; then nobody wants the relay either.
                let _ = started.send(Err(HostError::System(error)));
                return Ok(());
            }
        };
        runtime.block_on(async {
            let server = match Server::bind(config) {
                Ok(server) => server,
                Err(error) => {
                    let _ = started.send(Err(HostError::Start(error)));
                    return Ok(());
                }
            };
            let ready = (server.invitation().clone(), server.controller());
            if started.send(Ok(ready)).is_err() {
                return Ok(());
            }
            server.serve().await
        })
    })?;
    let (invitation, controller) = starting.await.map_err(|_| HostError::Ended)??;
    let word = match reach {
        Reach::Machine => MACHINE,
        Reach::Network => NETWORK,
    };
    fs::write(remembered, word)?;
    Ok(Hosted { invitation, controller, thread })
}

impl Hosted {
    /// How to reach it, with its key.
    pub const fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// Tells everybody that it goes, stops it, and waits until everything is on the disk.
    pub async fn stop(self) {
        let Self { controller, thread, .. } = self;
        controller.drain();
        let mut joining = tokio::task::spawn_blocking(move || thread.join());
        let joined = if let Ok(joined) = timeout(FAREWELL_TIME_MAX, &mut joining).await {
            joined
        } else {
            controller.stop();
            joining.await
        };
        if let Ok(Ok(Err(error))) = joined {
            tracing::warn!(%error, "the hosted relay ended badly");
        }
    }
}

fn addresses(reach: Reach) -> Vec<SocketAddr> {
    match reach {
        Reach::Machine => {
            vec![(Ipv4Addr::LOCALHOST, PORT).into(), (Ipv6Addr::LOCALHOST, PORT).into()]
        }
        Reach::Network => vec![(Ipv6Addr::UNSPECIFIED, PORT).into()],
    }
}
