//! How the client stands to its relay, as the status line says it.

use std::time::Duration;

use protocol::time::WallTime;

/// The connection, the relay and the own account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The relay's name for itself, or its address; empty if none is known.
    pub relay: String,
    /// The own name; empty before the relay has confirmed one.
    pub name: String,
    /// How the transport is called, for instance `tcp`.
    pub transport: String,
    /// How long the relay took to answer when it was last asked.
    pub round_trip: Option<Duration>,
    /// The connection.
    pub state: LinkState,
}

/// The connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// Being made.
    #[default]
    Connecting,
    /// The session is live.
    Live,
    /// Not connected; the next try is at this time.
    Waiting {
        /// When.
        until: WallTime,
        /// Why the last one ended.
        why: String,
    },
    /// Not connected, and not going to be by itself.
    Stopped(String),
}
