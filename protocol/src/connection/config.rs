//! What each side of a connection brings along.

use std::sync::Arc;

use super::ConnectionError;
use crate::{
    channel::keys::StaticKey,
    ids::RelayKey,
    offer::{Choice, Offer},
    transport::packet::{AttemptId, Beacon},
};

/// How an initiator connects.
#[derive(Clone, Debug)]
pub struct InitiatorConfig {
    /// The relay to reach. Nobody else can answer.
    pub relay_key: RelayKey,
    /// Who we are.
    pub device_key: Arc<StaticKey>,
    /// What we could speak, best first.
    pub offer: Offer,
    /// What this attempt speaks. If the relay could do better, the attempt ends as downgraded.
    pub choice: Choice,
}

impl InitiatorConfig {
    /// Connects with the best this build can do on this processor.
    pub fn new(relay_key: RelayKey, device_key: Arc<StaticKey>) -> Self {
        let offer = Offer::of_this_build();
        let choice = offer.best_shared_with(&offer).expect("a build speaks something");
        Self { relay_key, device_key, offer, choice }
    }

    /// The same, speaking the best of what this beacon claims. The beacon may be forged; the
    /// relay's sealed reply will show it.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Incompatible`] when the two share nothing.
    pub fn after_beacon(mut self, beacon: &Beacon) -> Result<Self, ConnectionError> {
        self.choice = self
            .offer
            .best_shared_with(&beacon.offer)
            .ok_or(ConnectionError::Incompatible { peer: beacon.offer, ours: self.offer })?;
        Ok(self)
    }
}

/// How a relay answers. One for all its connections.
#[derive(Debug)]
pub struct ResponderConfig {
    /// What the relay is.
    pub static_key: Arc<StaticKey>,
    /// What it speaks.
    pub offer: Offer,
    /// What its operator calls it; cut after
    /// [`RELAY_NAME_BYTES_MAX`](crate::limits::RELAY_NAME_BYTES_MAX).
    pub name: String,
}

impl ResponderConfig {
    /// A relay that speaks all that this build can.
    pub fn new(static_key: Arc<StaticKey>, name: String) -> Self {
        Self { static_key, offer: Offer::of_this_build(), name }
    }

    pub(super) fn beacon(&self, attempt: AttemptId) -> Beacon {
        Beacon {
            attempt,
            offer: self.offer,
            relay_key: self.static_key.relay_key(),
            relay_name: self.name.clone(),
        }
    }
}
