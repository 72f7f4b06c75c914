//! Which relay to use, and why its key may be trusted.
//!
//! ```text
//!   --relay or CHAT_RELAY ─▶ remembered ─▶ a relay of this user here ─▶ the usual port here
//! ```
//!
//! Everything but the last brings a key: an invitation carries it, the profile has pinned it, the
//! runtime directory is this user's alone. A bare address or port only *announces* one, and then a
//! person decides once, by its fingerprint.

use protocol::{
    ids::{Fingerprint, RelayKey},
    invitation::{Invitation, RelayAddress, Ticket},
    transport::packet::Beacon,
};

use crate::{
    net::discovery,
    relays::{KnownRelay, Relays},
    report::Failure,
};

/// The relay to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What it is.
    pub key: RelayKey,
    /// Its label for itself, as far as known; foreign text.
    pub name: String,
    /// Where to look for it, the likeliest place first.
    pub addresses: Vec<RelayAddress>,
    /// What registers us there, if it is needed.
    pub ticket: Option<Ticket>,
    /// Why this one.
    pub origin: Origin,
}

/// Why a relay was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An invitation was given.
    Invitation,
    /// An address was given whose relay this profile knows, or whose key was given, too.
    Address,
    /// It was used last.
    Remembered,
    /// A relay of this user serves on this machine.
    ThisMachine,
    /// It listens on the usual port of this machine, and its key was given.
    UsualPort,
}

impl Origin {
    /// For people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Invitation => "given as an invitation",
            Self::Address => "given as an address",
            Self::Remembered => "remembered from last time",
            Self::ThisMachine => "serves on this machine for this user",
            Self::UsualPort => "listens on the usual port of this machine",
        }
    }
}

/// What was given on the command line and in the environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// `--relay` or `CHAT_RELAY`.
    pub relay: Option<&'a str>,
    /// `--trust`.
    pub trust: Option<Fingerprint>,
}

/// Chooses. Nothing is remembered here.
///
/// # Errors
///
/// [`Failure::NoRelay`] if there is none, [`Failure::NotTrusted`] if a person has to decide.
pub async fn choose(wish: Wish<'_>, relays: &Relays) -> Result<Choice, Failure> {
    match wish.relay {
        Some(text) if text.trim().starts_with("chat://") => invited(text, wish.trust, relays),
        Some(text) => at_address(text, wish.trust, relays).await,
        None => unnamed(wish.trust, relays).await,
    }
}

fn invited(text: &str, trust: Option<Fingerprint>, relays: &Relays) -> Result<Choice, Failure> {
    let invitation: Invitation =
        text.parse().map_err(|error| Failure::Usage(format!("--relay: {error}")))?;
    if trust.is_some_and(|trust| trust != invitation.relay_key.fingerprint()) {
        return Err(Failure::Usage("--trust is not the key of the invitation".to_owned()));
    }
    let key = invitation.relay_key;
    let mut choice = from_known(relays.by_key(key), key, Origin::Invitation);
    prefer(&mut choice.addresses, invitation.address);
    choice.ticket = invitation.ticket;
    Ok(choice)
}

async fn at_address(
    text: &str,
    trust: Option<Fingerprint>,
    relays: &Relays,
) -> Result<Choice, Failure> {
    let address: RelayAddress =
        text.trim().parse().map_err(|error| Failure::Usage(format!("--relay: {error}")))?;
    let known = match trust {
        Some(fingerprint) => relays.by_fingerprint(fingerprint),
        None => relays.by_address(&address),
    };
    if let Some(known) = known {
        let mut choice = from_known(Some(known), known.key, Origin::Address);
        prefer(&mut choice.addresses, address);
        return Ok(choice);
    }
    let (address, beacon) = discovery::probe(&[address])
        .await
        .map_err(|error| Failure::Unreachable { why: error.to_string() })?;
    announced(address, beacon, trust, Origin::Address)
}

async fn unnamed(trust: Option<Fingerprint>, relays: &Relays) -> Result<Choice, Failure> {
    let remembered = match trust {
        Some(fingerprint) => relays.by_fingerprint(fingerprint),
        None => relays.last_used(),
    };
    if let Some(known) = remembered {
        return Ok(from_known(Some(known), known.key, Origin::Remembered));
    }
    if let Some(invitation) = discovery::relay_of_this_user().await
        && trust.is_none_or(|trust| trust == invitation.relay_key.fingerprint())
    {
        let mut choice = from_known(None, invitation.relay_key, Origin::ThisMachine);
        choice.addresses.push(invitation.address);
        choice.ticket = invitation.ticket;
        return Ok(choice);
    }
    match discovery::probe(&discovery::usual_addresses()).await {
        Ok((address, beacon)) => announced(address, beacon, trust, Origin::UsualPort),
        Err(_) => Err(Failure::NoRelay),
    }
}

fn announced(
    address: RelayAddress,
    beacon: Beacon,
    trust: Option<Fingerprint>,
    origin: Origin,
) -> Result<Choice, Failure> {
    let Beacon { relay_key, relay_name, .. } = beacon;
    match trust {
        Some(trust) if trust == relay_key.fingerprint() => Ok(Choice {
            key: relay_key,
            name: relay_name,
            addresses: vec![address],
            ticket: None,
            origin,
        }),
        Some(_) => {
            Err(Failure::OtherFingerprint { address: address.to_string(), announced: relay_key })
        }
        None => Err(Failure::NotTrusted {
            address: address.to_string(),
            announced: relay_key,
            name: relay_name,
        }),
    }
}

fn from_known(known: Option<&KnownRelay>, key: RelayKey, origin: Origin) -> Choice {
    Choice {
        key,
        name: known.map(|known| known.name.clone()).unwrap_or_default(),
        addresses: known.map(|known| known.addresses.clone()).unwrap_or_default(),
        ticket: None,
        origin,
    }
}

fn prefer(addresses: &mut Vec<RelayAddress>, first: RelayAddress) {
    addresses.retain(|address| *address != first);
    addresses.insert(0, first);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relays(dir: &tempfile::TempDir) -> Relays {
        let mut relays = Relays::load(&dir.path().join("relays.toml")).expect("empty");
        let address = "a:1".parse().expect("an address");
        relays.remember(RelayKey([1; 32]), "one", &[address]).expect("writable");
        relays
    }

    async fn choose_with(
        relay: Option<&str>,
        trust: Option<Fingerprint>,
    ) -> Result<Choice, Failure> {
        let dir = tempfile::tempdir().expect("a directory");
        choose(Wish { relay, trust }, &relays(&dir)).await
    }

    #[tokio::test]
    async fn an_invitation_brings_its_key() {
        let address = "b:2".parse().expect("an address");
        let invitation =
            Invitation { address, relay_key: RelayKey([9; 32]), ticket: Ticket::new(vec![1]) };
        let choice = choose_with(Some(&invitation.to_string()), None).await.expect("a key");
        assert_eq!((choice.key, choice.origin), (RelayKey([9; 32]), Origin::Invitation));
        assert!(choice.ticket.is_some());
        let other = RelayKey([8; 32]).fingerprint();
        let refused = choose_with(Some(&invitation.to_string()), Some(other)).await;
        assert!(matches!(refused, Err(Failure::Usage(_))));
    }

    #[tokio::test]
    async fn a_known_address_and_the_last_relay_bring_the_pinned_key() {
        for relay in [Some("a:1"), None] {
            let choice = choose_with(relay, None).await.expect("it is known");
            assert_eq!((choice.key, choice.name.as_str()), (RelayKey([1; 32]), "one"));
        }
    }

    #[tokio::test]
    async fn an_address_where_nobody_listens_is_unreachable() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = nobody.local_addr().expect("bound").to_string();
        drop(nobody);
        let refused = choose_with(Some(&address), None).await;
        assert!(matches!(refused, Err(Failure::Unreachable { .. })), "{refused:?}");
    }
}
