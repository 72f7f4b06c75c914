//! Who may hold how many connections: in all, and from one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts the open connections. Shared by the acceptor, which asks, and the shards, whose
/// connections hold the [`Permit`]s.
#[derive(Debug)]
pub struct Admission(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    limits: AdmissionLimits,
    open: u32,
    // Prefixes with no connection are absent: strangers cannot make it grow.
    by_prefix: HashMap<IpAddr, u32>,
}

/// The bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Connections in all.
    pub connections_max: u32,
    /// Connections from one IPv4 address or one IPv6 /64.
    pub connections_per_address_max: u32,
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// There are as many as this relay takes.
    #[error("connections_max reached")]
    Full,
    /// The address has as many as one address may.
    #[error("connections_per_address_max reached")]
    AddressFull,
}

/// One admitted connection; dropping it makes room.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    prefix: IpAddr,
}

impl Admission {
    /// Nobody is here yet.
    pub fn new(limits: AdmissionLimits) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Counts { limits, open: 0, by_prefix: HashMap::new() })))
    }

    /// From now on these limits hold. Nobody is sent away because of it.
    pub fn set_limits(&self, limits: AdmissionLimits) {
        self.counts().limits = limits;
    }

    /// How many connections are open.
    pub fn open(&self) -> u32 {
        self.counts().open
    }

    /// Admits a connection from `address`.
    ///
    /// # Errors
    ///
    /// If a limit is reached.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Permit, NotAdmitted> {
        let prefix = prefix_of(address);
        let mut counts = self.counts();
        if counts.open >= counts.limits.connections_max {
            return Err(NotAdmitted::Full);
        }
        let per_address_max = counts.limits.connections_per_address_max;
        let count = counts.by_prefix.entry(prefix).or_insert(0);
        if *count >= per_address_max {
            return Err(NotAdmitted::AddressFull);
        }
        *count += 1;
        counts.open += 1;
        Ok(Permit { admission: Arc::clone(self), prefix })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Counting cannot panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.admission.counts();
        counts.open -= 1;
        if let Some(count) = counts.by_prefix.get_mut(&self.prefix) {
            *count -= 1;
            if *count == 0 {
                counts.by_prefix.remove(&self.prefix);
            }
        }
    }
}

/// What one household or machine can choose freely does not count as different addresses: of IPv6
/// that is the lower half.
fn prefix_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections_max: u32, connections_per_address_max: u32) -> Arc<Admission> {
        Admission::new(AdmissionLimits { connections_max, connections_per_address_max })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn at_the_limit_one_more_is_refused_until_one_goes() {
        let admission = admission(2, 2);
        let first = admission.admit(address("10.0.0.1")).unwrap();
        let _second = admission.admit(address("10.0.0.2")).unwrap();
        assert_eq!(admission.admit(address("10.0.0.3")).unwrap_err(), NotAdmitted::Full);
        drop(first);
        assert!(admission.admit(address("10.0.0.3")).is_ok());
    }

    #[test]
    fn an_address_is_limited_for_itself_and_a_v6_network_as_one() {
        let admission = admission(100, 2);
        let mut held = Vec::new();
        for (text, admitted) in [
            ("10.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("10.0.0.1", false),
            ("10.0.0.2", true),
            ("2001:db8:0:1::1", true),
            ("2001:db8:0:1:ffff::2", true),
            ("2001:db8:0:1::3", false),
            ("2001:db8:0:2::1", true),
        ] {
            let permit = admission.admit(address(text));
            assert_eq!(permit.is_ok(), admitted, "{text}");
            held.extend(permit);
        }
        assert_eq!(admission.open(), 6);
        drop(held);
        assert_eq!(admission.open(), 0);
        assert!(admission.counts().by_prefix.is_empty(), "nobody is remembered");
    }
}
