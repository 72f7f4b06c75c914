//! Where a relay is and what its key is, as people pass it on (wire §8).
//!
//! ```text
//!   chat.example.org:4545                                a relay's address
//!   chat://chat.example.org:4545/#v1.KEY.TICKET          an invitation: address, key, ticket
//! ```
//!
//! The key stands behind `#`, which no browser or proxy sends anywhere. Parsing is the boundary
//! to text that people type and strangers send: what comes out is printable ASCII.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use data_encoding::BASE64URL_NOPAD;

use crate::{ids::RelayKey, limits::TICKET_BYTES_MAX};

/// Where a relay listens unless told otherwise.
pub const DEFAULT_PORT: u16 = 4545;

/// Longest host, as in DNS (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 253;
/// Longest zone of a link-local address: an interface name of Linux.
const ZONE_BYTES_MAX: usize = 15;

/// Where to look for a relay. Not its identity: that is its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayAddress {
    // A name in lower case, an IPv4 address, or an IPv6 address without brackets.
    host: String,
    port: u16,
}

/// A text that is not an address of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No host, or one that is no name and no address.
    #[error("host is neither a name nor an IP address")]
    Host,
    /// Brackets without an IPv6 address in them.
    #[error("brackets do not hold an IPv6 address")]
    Brackets,
    /// Not a number from 1 to 65535.
    #[error("port is not a number from 1 to 65535")]
    Port,
}

impl RelayAddress {
    /// An address from its parts; IPv6 without brackets.
    ///
    /// # Errors
    ///
    /// [`AddressError::Host`], or [`AddressError::Port`] for port 0.
    pub fn new(host: &str, port: u16) -> Result<Self, AddressError> {
        if port == 0 {
            return Err(AddressError::Port);
        }
        let host = normal_ipv6(host).or_else(|| normal_name(host)).ok_or(AddressError::Host)?;
        Ok(Self { host, port })
    }

    /// The name or IP address, IPv6 without brackets: as resolvers take it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

fn normal_ipv6(host: &str) -> Option<String> {
    let (address, zone) = match host.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (host, None),
    };
    let address: Ipv6Addr = address.parse().ok()?;
    let Some(zone) = zone else {
        return Some(address.to_string());
    };
    let is_interface = (1..=ZONE_BYTES_MAX).contains(&zone.len())
        && zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    is_interface.then(|| format!("{address}%{zone}"))
}

fn normal_name(host: &str) -> Option<String> {
    // Underscores are in no host name and in many a network. A name in other scripts has to come
    // in its ASCII form, in which nothing looks like something else.
    let is_name = (1..=HOST_BYTES_MAX).contains(&host.len())
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && !host.starts_with(['-', '.']);
    is_name.then(|| host.to_ascii_lowercase())
}

impl FromStr for RelayAddress {
    type Err = AddressError;

    /// `HOST`, `HOST:PORT`, `[IPv6]`, `[IPv6]:PORT`, or a bare IPv6 address.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(rest) = text.strip_prefix('[') {
            let (inside, after) = rest.split_once(']').ok_or(AddressError::Brackets)?;
            let host = normal_ipv6(inside).ok_or(AddressError::Brackets)?;
            let port = match after {
                "" => DEFAULT_PORT,
                _ => parse_port(after.strip_prefix(':').ok_or(AddressError::Port)?)?,
            };
            return Self::new(&host, port);
        }
        match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => Self::new(host, parse_port(port)?),
            _ => Self::new(text, DEFAULT_PORT),
        }
    }
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    // `u16::from_str` would take a plus sign.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AddressError::Port);
    }
    text.parse().map_err(|_| AddressError::Port)
}

impl fmt::Display for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What opens registration at a relay that asks for an invitation. A secret: whoever has it may
/// use it.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket(Vec<u8>);

impl Ticket {
    /// A ticket of 1 to [`TICKET_BYTES_MAX`] bytes.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (1..=TICKET_BYTES_MAX).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The bytes as they go to the relay.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket([redacted])")
    }
}

/// A relay's address with its key, so that nobody has to trust an announcement; and perhaps a
/// ticket to register with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Where the relay was when this was written.
    pub address: RelayAddress,
    /// What it is.
    pub relay_key: RelayKey,
    /// What lets a stranger register there.
    pub ticket: Option<Ticket>,
}

/// A text that is not an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvitationError {
    /// It begins with something else.
    #[error("invitation does not begin with chat://")]
    Scheme,
    /// What follows `chat://` is no address.
    #[error("invitation has no usable address")]
    Address(#[from] AddressError),
    /// Something between the address and `#`.
    #[error("invitation has a path behind its address")]
    Path,
    /// Nothing behind `/#`: likely cut off when it was copied.
    #[error("invitation has no key; was it copied whole?")]
    NoKey,
    /// Not `v1`.
    #[error("invitation is of a later version than this build knows")]
    Version,
    /// Not 32 bytes in base64url.
    #[error("invitation's key is not 43 characters of base64url; was it copied whole?")]
    Key,
    /// Not 1 to [`TICKET_BYTES_MAX`] bytes in base64url.
    #[error("invitation's ticket is not 1 to 43 characters of base64url")]
    Ticket,
}

impl FromStr for Invitation {
    type Err = InvitationError;

    fn from_str(text: &str) -> Result<Self, InvitationError> {
        let rest = text.trim().strip_prefix("chat://").ok_or(InvitationError::Scheme)?;
        let (place, secret) = rest.split_once('#').ok_or(InvitationError::NoKey)?;
        let (address, path) = place.split_once('/').unwrap_or((place, ""));
        if !path.is_empty() {
            return Err(InvitationError::Path);
        }
        let address = address.parse()?;

        let mut parts = secret.split('.');
        match parts.next() {
            Some("") | None => return Err(InvitationError::NoKey),
            Some("v1") => {}
            Some(_) => return Err(InvitationError::Version),
        }
        let key = parts.next().ok_or(InvitationError::NoKey)?;
        let relay_key = RelayKey(
            from_base64url(key).and_then(|key| key.try_into().ok()).ok_or(InvitationError::Key)?,
        );
        let ticket = match parts.next() {
            None => None,
            Some(ticket) => {
                let ticket = from_base64url(ticket).and_then(Ticket::new);
                Some(ticket.ok_or(InvitationError::Ticket)?)
            }
        };
        if parts.next().is_some() {
            return Err(InvitationError::Ticket);
        }
        Ok(Self { address, relay_key, ticket })
    }
}

fn from_base64url(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE64URL_NOPAD.encode(&self.relay_key.0);
        write!(f, "chat://{}/#v1.{key}", self.address)?;
        match &self.ticket {
            Some(ticket) => write!(f, ".{}", BASE64URL_NOPAD.encode(ticket.as_bytes())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU";

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, shown) in [
            ("relay", "relay:4545"),
            ("Relay.Example.ORG:9", "relay.example.org:9"),
            ("10.0.0.7", "10.0.0.7:4545"),
            ("[::1]:80", "[::1]:80"),
            ("[2001:DB8::0:1]", "[2001:db8::1]:4545"),
            ("fe80::1%eth0", "[fe80::1%eth0]:4545"),
            ("[fe80::1%eth0]:1", "[fe80::1%eth0]:1"),
        ] {
            let address: RelayAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address), "what we print we can read");
        }
    }

    #[test]
    fn other_texts_are_refused_with_a_reason() {
        for (text, error) in [
            ("", AddressError::Host),
            (":80", AddressError::Host),
            ("a b", AddressError::Host),
            ("-rf", AddressError::Host),
            ("rélay", AddressError::Host),
            ("1:2:3", AddressError::Host),
            ("fe80::1%", AddressError::Host),
            ("[::1", AddressError::Brackets),
            ("[relay]:80", AddressError::Brackets),
            ("relay:", AddressError::Port),
            ("relay:0", AddressError::Port),
            ("relay:65536", AddressError::Port),
            ("relay:+80", AddressError::Port),
            ("[::1]80", AddressError::Port),
        ] {
            assert_eq!(text.parse::<RelayAddress>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_host_at_the_limit_passes_and_one_above_is_refused() {
        assert!("a".repeat(HOST_BYTES_MAX).parse::<RelayAddress>().is_ok());
        assert!("a".repeat(HOST_BYTES_MAX + 1).parse::<RelayAddress>().is_err());
    }

    #[test]
    fn an_invitation_round_trips_with_and_without_ticket() {
        let plain = format!("chat://relay:4545/#v1.{KEY}");
        let invitation: Invitation = plain.parse().unwrap();
        assert_eq!(invitation.relay_key, RelayKey([5; 32]));
        assert_eq!(invitation.ticket, None);
        assert_eq!(invitation.to_string(), plain);

        let with_ticket = format!("chat://[::1]:9/#v1.{KEY}.AQID");
        let invitation: Invitation = with_ticket.parse().unwrap();
        assert_eq!(invitation.ticket.as_ref().unwrap().as_bytes(), [1, 2, 3]);
        assert_eq!(invitation.to_string(), with_ticket);
        assert!(!format!("{invitation:?}").contains("1, 2, 3"), "a ticket is a secret");
    }

    #[test]
    fn an_invitation_may_leave_out_the_port_and_carry_blanks_around() {
        let invitation: Invitation = format!(" chat://relay#v1.{KEY}\n").parse().unwrap();
        assert_eq!(invitation.address.to_string(), "relay:4545");
    }

    #[test]
    fn a_damaged_invitation_says_what_is_wrong() {
        let long_ticket = BASE64URL_NOPAD.encode(&[1; TICKET_BYTES_MAX + 1]);
        for (text, error) in [
            (format!("http://relay/#v1.{KEY}"), InvitationError::Scheme),
            (format!("chat://re lay/#v1.{KEY}"), InvitationError::Address(AddressError::Host)),
            (format!("chat://relay/x#v1.{KEY}"), InvitationError::Path),
            ("chat://relay".to_owned(), InvitationError::NoKey),
            ("chat://relay/#".to_owned(), InvitationError::NoKey),
            ("chat://relay/#v1".to_owned(), InvitationError::NoKey),
            (format!("chat://relay/#v2.{KEY}"), InvitationError::Version),
            (format!("chat://relay/#v1.{}", &KEY[1..]), InvitationError::Key),
            (format!("chat://relay/#v1.{KEY}="), InvitationError::Key),
            (format!("chat://relay/#v1.{KEY}."), InvitationError::Ticket),
            (format!("chat://relay/#v1.{KEY}.{long_ticket}"), InvitationError::Ticket),
            (format!("chat://relay/#v1.{KEY}.AQID.AQID"), InvitationError::Ticket),
        ] {
            assert_eq!(text.parse::<Invitation>(), Err(error), "{text}");
        }
        let longest = BASE64URL_NOPAD.encode(&[1; TICKET_BYTES_MAX]);
        assert!(format!("chat://relay/#v1.{KEY}.{longest}").parse::<Invitation>().is_ok());
    }
}
