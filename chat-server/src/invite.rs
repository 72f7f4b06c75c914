//! The invitation to this relay: where it can be reached, and its key.

use std::net::{IpAddr, SocketAddr};

use protocol::{
    ids::RelayKey,
    invitation::{AddressError, Invitation, RelayAddress, Ticket},
};
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

/// The invitation to a relay that listens on `address`.
///
/// # Errors
///
/// If `public_host` is given and no host.
pub fn invitation(
    address: SocketAddr,
    public_host: &str,
    relay_key: RelayKey,
    ticket: Option<Ticket>,
) -> Result<Invitation, AddressError> {
    let address = if public_host.is_empty() {
        let ip = if address.ip().is_unspecified() { address_of_machine() } else { address.ip() };
        RelayAddress::new(&ip.to_string(), address.port())?
    } else {
        RelayAddress::new(public_host, address.port())?
    };
    Ok(Invitation { address, relay_key, ticket })
}

/// The address under which others on the network most likely reach this machine.
fn address_of_machine() -> IpAddr {
    let addresses = if_addrs::get_if_addrs().unwrap_or_default();
    let rank = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) if v4.is_private() => 0,
        IpAddr::V4(v4) if !v4.is_link_local() => 1,
        IpAddr::V6(v6) if !v6.is_unicast_link_local() => 2,
        IpAddr::V4(_) => 3,
        // Useless without a zone, which differs on every machine.
        IpAddr::V6(_) => 4,
    };
    addresses
        .iter()
        // Bridges of containers and virtual machines reach nobody outside.
        .filter(|interface| {
            !["docker", "br-", "veth", "virbr"].iter().any(|p| interface.name.starts_with(p))
        })
        .map(if_addrs::Interface::ip)
        .filter(|ip| !ip.is_loopback() && rank(ip) < 4)
        .min_by_key(rank)
        .unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST))
}

/// The invitation as a QR code of half blocks, light on dark.
pub fn qr_code(invitation: &Invitation) -> Option<String> {
    let code = QrCode::with_error_correction_level(invitation.to_string(), EcLevel::L).ok()?;
    let (dark, light) = (Dense1x2::Light, Dense1x2::Dark);
    Some(code.render::<Dense1x2>().dark_color(dark).light_color(light).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: RelayKey = RelayKey([3; 32]);

    #[test]
    fn it_names_the_given_host_else_the_bound_address() {
        let bound = "192.0.2.7:9".parse().unwrap();
        let host = |public| invitation(bound, public, KEY, None).unwrap().address.to_string();
        assert_eq!(host(""), "192.0.2.7:9");
        assert_eq!(host("Relay.example"), "relay.example:9");
        assert!(invitation(bound, "no host", KEY, None).is_err());
    }

    #[test]
    fn a_relay_on_every_address_names_one_that_can_be_dialled() {
        let any = "[::]:4545".parse().unwrap();
        let named = invitation(any, "", KEY, None).unwrap();
        let ip: IpAddr = named.address.host().parse().unwrap();
        assert!(!ip.is_unspecified());
    }

    #[test]
    fn the_code_is_as_wide_as_it_is_high() {
        let bound = "192.0.2.7:9".parse().unwrap();
        let text = qr_code(&invitation(bound, "", KEY, None).unwrap()).unwrap();
        let width = text.lines().next().unwrap().chars().count();
        assert_eq!(text.lines().count(), width.div_ceil(2));
    }
}
