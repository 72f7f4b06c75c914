//! Whose datagrams the laboratory may touch: programs on this machine, or who was named instead.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

/// Networks, or this machine's loopback if none was named.
///
/// Naming some replaces loopback: so one of two clients on one machine can have a bad path and the
/// other a good one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed(Vec<Network>);

impl Allowed {
    /// These and no others; loopback, if there are none.
    pub fn only(networks: Vec<Network>) -> Self {
        if networks.is_empty() { Self::default() } else { Self(networks) }
    }

    /// Whether it is one of them.
    pub fn has(&self, ip: IpAddr) -> bool {
        // A socket for both families shows IPv4 inside of IPv6.
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.has(ip))
    }

    /// Whether nobody on another machine is one of them.
    pub fn is_loopback(&self) -> bool {
        self.0.iter().all(Network::is_loopback)
    }
}

impl Default for Allowed {
    fn default() -> Self {
        let v4 = Network { base: [127, 0, 0, 0].into(), bits: 8 };
        Self(vec![v4, Network::one(Ipv6Addr::LOCALHOST.into())])
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks: Vec<_> = self.0.iter().map(Network::to_string).collect();
        f.write_str(&networks.join(" "))
    }
}

/// All addresses that begin with the same bits: `192.0.2.0/24`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

/// What is neither address nor network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an address or a network, as 192.0.2.7 or 2001:db8::/32")]
pub struct BadNetwork;

impl Network {
    const fn one(ip: IpAddr) -> Self {
        Self { base: ip, bits: width(ip) }
    }

    fn has(&self, ip: IpAddr) -> bool {
        let differ = match (self.base, ip) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => u128::from(base.to_bits() ^ ip.to_bits()),
            (IpAddr::V6(base), IpAddr::V6(ip)) => base.to_bits() ^ ip.to_bits(),
            _ => return false,
        };
        // With no bits at all, everything of the family.
        differ.checked_shr(u32::from(width(self.base) - self.bits)).unwrap_or(0) == 0
    }

    fn is_loopback(&self) -> bool {
        let bits_of_loopback = if self.base.is_ipv4() { 8 } else { 128 };
        self.base.is_loopback() && self.bits >= bits_of_loopback
    }
}

const fn width(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let (base, bits) = text.split_once('/').map_or((text, None), |(ip, n)| (ip, Some(n)));
        let base: IpAddr = base.parse().map_err(|_| BadNetwork)?;
        let bits = bits.map_or(Ok(width(base)), str::parse).map_err(|_| BadNetwork)?;
        if bits > width(base) {
            return Err(BadNetwork);
        }
        // Peers are looked up without the IPv6 around IPv4.
        Ok(match (base.to_canonical(), bits.checked_sub(96)) {
            (IpAddr::V4(inside), Some(bits)) => Self { base: inside.into(), bits },
            _ => Self { base, bits },
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, bits } = self;
        if *bits == width(*base) { write!(f, "{base}") } else { write!(f, "{base}/{bits}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(networks: &[&str]) -> Allowed {
        Allowed::only(networks.iter().map(|text| text.parse().expect(text)).collect())
    }

    fn has(allowed: &Allowed, ip: &str) -> bool {
        allowed.has(ip.parse().expect(ip))
    }

    #[test]
    fn unless_others_are_named_only_this_machine_is_concerned() {
        let nobody_else = allowed(&[]);
        for ip in ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"] {
            assert!(has(&nobody_else, ip), "{ip}");
        }
        for ip in ["126.255.255.255", "128.0.0.1", "192.168.0.7", "::2", "::ffff:10.0.0.1", "::"] {
            assert!(!has(&nobody_else, ip), "{ip}");
        }
        assert!(nobody_else.is_loopback());
    }

    #[test]
    fn who_is_named_is_concerned_and_nobody_else() {
        let some = allowed(&["192.0.2.7", "10.1.0.0/16", "2001:db8::/33"]);
        for ip in ["192.0.2.7", "10.1.255.1", "::ffff:10.1.0.0", "2001:db8:7fff::1"] {
            assert!(has(&some, ip), "{ip}");
        }
        for ip in ["192.0.2.6", "10.2.0.0", "2001:db8:8000::", "127.0.0.1", "::1"] {
            assert!(!has(&some, ip), "{ip}");
        }
        assert!(!some.is_loopback());
        assert_eq!(some.to_string(), "192.0.2.7 10.1.0.0/16 2001:db8::/33");
    }

    #[test]
    fn ipv4_inside_of_ipv6_is_ipv4() {
        let inside = allowed(&["::ffff:192.0.2.7", "::ffff:10.1.0.0/112"]);
        assert_eq!(inside.to_string(), "192.0.2.7 10.1.0.0/16");
        assert!(has(&inside, "192.0.2.7") && has(&inside, "::ffff:10.1.2.3"));
        assert!(!has(&inside, "192.0.2.8"));
    }

    #[test]
    fn all_of_one_family_is_nothing_of_the_other() {
        assert!(has(&allowed(&["0.0.0.0/0"]), "203.0.113.1"));
        assert!(!has(&allowed(&["0.0.0.0/0"]), "2001:db8::1"));
        assert!(has(&allowed(&["::/0"]), "2001:db8::1"));
        assert!(!has(&allowed(&["::/0"]), "::ffff:203.0.113.1"));
        assert!(!allowed(&["127.0.0.0/7"]).is_loopback());
        assert!(allowed(&["127.0.0.2"]).is_loopback());
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "localhost", "127.0.0.1/33", "::1/129", "10.0.0.0/", "10.0.0/8", "/8"] {
            assert_eq!(text.parse::<Network>(), Err(BadNetwork), "{text}");
        }
    }
}
