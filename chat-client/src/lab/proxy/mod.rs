//! A proxy that does to the traffic of any programs what the laboratory's faults say, without root.
//!
//! ```text
//!   program ──▶ listen ─┬─ one peer: fates out, waiting ──▶ socket ──▶ program
//!           ◀── listen ─┴─ one peer: waiting, fates back ◀─ socket ◀──
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `settings` | what is done to traffic now, and how keys change it |
//! | `counters` | what became of it |
//! | `peers`, `udp` | datagrams: what happens to each and when it leaves; the sockets |
//! | `pipe`, `tcp` | connections: when their bytes leave; the sockets |
//! | `screen` | all of it, for a person |
//!
//! Each peer has fates of its own: those of the n-th one follow from the seed plus n, and so the first
//! peer's datagrams meet what the first packets of an experiment with this seed meet.

mod counters;
mod peers;
mod pipe;
pub mod screen;
mod settings;
mod tcp;
mod udp;

use std::{
    fmt, io,
    net::SocketAddr,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use protocol::{lab::fault::Impairer, time::Timestamp};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::watch,
    task::JoinHandle,
    time::Instant,
};

pub use self::{
    counters::{Counters, Totals, Ways},
    settings::{NotOnTcp, Settings},
};
use crate::net::Carrier;

/// Either of the two directions: towards the program that is reached through the proxy, and back.
pub(crate) const OUT: usize = 0;
pub(crate) const BACK: usize = 1;

/// Where the proxy is reached: `udp:127.0.0.1:4000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// What it carries.
    pub carrier: Carrier,
    /// Its address; with port 0, a free one.
    pub address: SocketAddr,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || "write udp:127.0.0.1:4000 or tcp:[::1]:4000; port 0 takes a free one";
        let (carrier, address) = match text.split_once(':') {
            Some(("udp", address)) => (Carrier::Udp, address),
            Some(("tcp", address)) => (Carrier::Tcp, address),
            _ => return Err(wanted().to_owned()),
        };
        let address = address.parse().map_err(|_| wanted().to_owned())?;
        Ok(Self { carrier, address })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.carrier.name(), self.address)
    }
}

/// A running proxy. It ends when this is dropped, and with it what it carries.
#[derive(Debug)]
pub struct Proxy {
    listen: Listen,
    began: Instant,
    settings: watch::Sender<Settings>,
    totals: Shared,
    task: JoinHandle<()>,
}

/// What the tasks of a proxy have in common.
#[derive(Clone, Debug)]
struct Shop {
    to: SocketAddr,
    seed: u64,
    began: Instant,
    settings: watch::Receiver<Settings>,
    totals: Shared,
}

/// Counters that the sockets' tasks write and the front reads.
#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<Totals>>);

impl Proxy {
    /// Begins to listen and to carry to `to`.
    ///
    /// # Errors
    ///
    /// If the address cannot be had.
    pub async fn start(
        listen: Listen,
        to: SocketAddr,
        seed: u64,
        settings: Settings,
    ) -> io::Result<Self> {
        let (settings, watched) = watch::channel(settings);
        let (began, totals) = (Instant::now(), Shared::default());
        let shop = Shop { to, seed, began, settings: watched, totals: totals.clone() };
        // Either task ends when the proxy is dropped.
        let (address, task) = match listen.carrier {
            Carrier::Udp => {
                let socket = UdpSocket::bind(listen.address).await?;
                (socket.local_addr()?, tokio::spawn(udp::carry(socket, shop)))
            }
            Carrier::Tcp => {
                let listener = TcpListener::bind(listen.address).await?;
                (listener.local_addr()?, tokio::spawn(tcp::carry(listener, shop)))
            }
        };
        Ok(Self { listen: Listen { address, ..listen }, began, settings, totals, task })
    }

    /// Where it listens, with the port that it was given.
    pub const fn listen(&self) -> Listen {
        self.listen
    }

    /// When it began: blackouts are counted from here.
    pub const fn began(&self) -> Instant {
        self.began
    }

    /// What has become of the traffic so far.
    pub fn totals(&self) -> Totals {
        self.totals.lock().clone()
    }

    /// Counts from zero again; what is there now stays counted.
    pub fn reset_totals(&self) {
        self.totals.lock().reset();
    }

    /// What it does now.
    pub fn settings(&self) -> Settings {
        self.settings.borrow().clone()
    }

    /// Changes what it does, from now on.
    pub fn change(&self, change: impl FnOnce(&mut Settings)) {
        self.settings.send_modify(change);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shop {
    fn now(&self) -> Timestamp {
        let micros = self.began.elapsed().as_micros();
        Timestamp::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// What is too far away to be one is in a year: whoever waits for it looks again then.
    fn instant(&self, at: Timestamp) -> Instant {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
        self.began + at.since(Timestamp::ZERO).min(YEAR)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Totals> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What happens to the datagrams, or pieces, of the n-th peer. Blackouts are counted from the
/// beginning of the proxy, not of the peer.
fn ways_of(settings: &Settings, seed: u64, order: u64) -> [Impairer; 2] {
    Impairer::pair(Timestamp::ZERO, settings.effective(), seed.wrapping_add(order))
}
