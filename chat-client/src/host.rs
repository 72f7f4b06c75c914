//! A relay in this process, for the person who starts without one. It has a thread of its own, and
//! drains when the client leaves: what was acknowledged is on the disk.

use std::{
    fs, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::Duration,
};

use chat_server::{
    Server,
    config::Config,
    hub::OperatorCall,
    operator::OperatorRequest,
    server::{Controller, ServeError, StartError},
    store::StoreError,
};
use protocol::{
    ids::{Fingerprint, RelayKey},
    invitation::Invitation,
};
use tokio::{sync::oneshot, time::timeout};

use crate::app::effect::Reach;

/// Where clients look for a relay first.
const PORT: u16 = 4545;
/// How long the others may take to hear that the relay goes: the person who hosts it has left, and
/// waits for the shell.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(1);
/// Remembers in the data directory from where the relay can be reached, and which one it is.
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

/// What a data directory says about the relay that was hosted on it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostedBefore {
    /// From where it could be reached.
    pub reach: Reach,
    /// Which one it is.
    pub relay: Fingerprint,
}

/// Why no relay can be hosted.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Somebody listens there already.
    #[error("port {PORT} is taken")]
    PortTaken,
    /// A program serves what is in the directory already.
    #[error("a relay runs on this directory already")]
    Running,
    /// It cannot start.
    #[error("the relay does not start: {}", with_causes(.0))]
    Start(#[source] StartError),
    /// No thread, no runtime in it, or no file beside it.
    #[error("the system refuses a relay: {0}")]
    System(#[from] io::Error),
    /// It ended before it served.
    #[error("the relay ended before it served")]
    Ended,
}

/// The relay that was hosted on this directory last; `None` if none was.
pub fn hosted_before(data_dir: &Path) -> Option<HostedBefore> {
    let text = fs::read_to_string(data_dir.join(REACH_FILE)).ok()?;
    let (reach, relay) = text.trim().split_once(' ')?;
    let reach = match reach {
        MACHINE => Reach::Machine,
        NETWORK => Reach::Network,
        _ => return None,
    };
    Some(HostedBefore { reach, relay: relay.parse().ok()? })
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
                    let _ = started.send(Err(error.into()));
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
    fs::write(remembered, format!("{word} {}\n", invitation.relay_key.fingerprint()))?;
    Ok(Hosted { invitation, controller, thread })
}

impl Hosted {
    /// How to reach it, with its key.
    pub const fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// Which relay it is.
    pub const fn relay_key(&self) -> RelayKey {
        self.invitation.relay_key
    }

    /// What only whoever runs it may ask of it.
    pub fn operator(&self) -> Operator {
        Operator(self.controller.clone())
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

/// What only the machine of a relay may ask of it.
#[derive(Clone, Debug)]
pub struct Operator(Controller);

impl Operator {
    /// Makes whoever has this name administrator; nothing changes if they are.
    ///
    /// # Errors
    ///
    /// The relay's reason.
    pub async fn add_administrator(self, name: String) -> Result<(), String> {
        self.0.ask(OperatorRequest::Hub(OperatorCall::AdminAdd { name })).await.map(drop)
    }
}

impl From<StartError> for HostError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Listen(listen) if listen.error.kind() == io::ErrorKind::AddrInUse => {
                Self::PortTaken
            }
            StartError::Store(StoreError::InUse(_)) => Self::Running,
            error => Self::Start(error),
        }
    }
}

/// An error and what it comes from, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn addresses(reach: Reach) -> Vec<SocketAddr> {
    match reach {
        Reach::Machine => {
            vec![(Ipv4Addr::LOCALHOST, PORT).into(), (Ipv6Addr::LOCALHOST, PORT).into()]
        }
        Reach::Network => vec![(Ipv6Addr::UNSPECIFIED, PORT).into()],
    }
}
