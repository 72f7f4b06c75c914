//! Finding an address and a carrier that lead to a relay.
//!
//! A relay is its key, and may be at several addresses, each with several IP addresses. [`dial`]
//! tries them side by side, each a little after the one before (RFC 8305), and the first *finished
//! handshake* wins: an address where something else listens loses by itself. Nobody logs in before
//! the race is decided, so what loses leaves no trace.

use std::{collections::VecDeque, fmt, future::Future, net::SocketAddr, pin::Pin, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt};
use protocol::{
    connection::{ConnectionError, InitiatorConfig},
    invitation::RelayAddress,
    transport::packet::Beacon,
};
use tokio::time::{Instant, sleep, timeout_at};

use super::{AttemptError, Carrier, Link, impaired::Impairment, tcp, udp};

/// How long after one address the next is tried, unless the one failed before (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// How long one address may take for connection and handshake together.
pub(super) const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(8);
/// How long datagrams are still waited for once no stream led anywhere: where the relay is not there
/// at all, only streams are told so.
const LAST_CHANCE: Duration = Duration::from_secs(1);
/// Most IP addresses tried in one go: a name that resolves to more is not a relay's.
const ADDRESSES_MAX: usize = 16;
/// Addresses tried by one carrier before the other has its turn: one of each family.
const ADDRESSES_PER_TURN: usize = 2;

/// What won.
#[derive(Debug)]
pub struct Won {
    /// The connection; nobody has logged in on it.
    pub link: Link,
    /// Datagrams had been tried before what won, and had not led anywhere by then.
    pub overtook_datagrams: bool,
}

/// Connects to the relay whose key is in `config`, at whichever address answers first.
///
/// # Errors
///
/// If none does: what happened at each, and what else answered there.
///
/// # Cancel safety
///
/// Dropping the future closes what was opened.
pub async fn dial(
    addresses: &[RelayAddress],
    carriers: &[Carrier],
    config: &InitiatorConfig,
    impairment: &Impairment,
) -> Result<Won, DialError> {
    let mut failed = DialError::default();
    let resolved = resolve(addresses, &mut failed).await;
    let mut waiting = candidates(resolved, carriers);
    let mut running = FuturesUnordered::new();
    let attempt = |next: Candidate| -> Attempting<'_> {
        Box::pin(async move {
            let outcome = attempt(&next, config, impairment).await;
            (next, outcome)
        })
    };
    let mut has_tried_datagrams = false;
    let mut streams = waiting.iter().filter(|next| next.by == Carrier::Tcp).count();
    let may_end = streams > 0;
    loop {
        if let Some(next) = waiting.pop_front() {
            has_tried_datagrams |= next.by == Carrier::Udp;
            running.push(attempt(next));
        } else if running.is_empty() {
            return Err(failed);
        }
        let pause = match (waiting.is_empty(), may_end && streams == 0) {
            (false, _) => Some(ATTEMPT_DELAY),
            (true, true) => Some(LAST_CHANCE),
            (true, false) => None,
        };
        tokio::select! {
            Some((tried, outcome)) = running.next() => {
                let Candidate { name, address, by } = tried;
                streams -= usize::from(by == Carrier::Tcp);
                match outcome {
                    Ok(link) => {
                        let overtook_datagrams = has_tried_datagrams && by == Carrier::Tcp;
                        return Ok(Won { link, overtook_datagrams });
                    }
                    Err(why) => failed.attempts.push(Attempt { name, address: Some(address), why }),
                }
            }
            () = sleep(pause.unwrap_or_default()), if pause.is_some() => {
                if waiting.is_empty() {
                    return Err(failed);
                }
            }
        }
    }
}

/// One address, and what is to carry the connection there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    name: RelayAddress,
    address: SocketAddr,
    by: Carrier,
}

/// In which order they start: the likelier carrier at both families, then the other one there.
fn candidates(
    mut resolved: VecDeque<(RelayAddress, SocketAddr)>,
    carriers: &[Carrier],
) -> VecDeque<Candidate> {
    let mut order = VecDeque::new();
    for turn in resolved.make_contiguous().chunks(ADDRESSES_PER_TURN) {
        for by in carriers {
            order.extend(turn.iter().map(|(name, address)| Candidate {
                name: name.clone(),
                address: *address,
                by: *by,
            }));
        }
    }
    order
}

/// Every IP address of every name, families taking turns, IPv6 first.
pub(crate) async fn resolve(
    addresses: &[RelayAddress],
    failed: &mut DialError,
) -> VecDeque<(RelayAddress, SocketAddr)> {
    let (mut v6, mut v4) = (VecDeque::new(), VecDeque::new());
    for name in addresses {
        match tokio::net::lookup_host((name.host(), name.port())).await {
            Ok(found) => {
                for address in found {
                    let family = if address.is_ipv6() { &mut v6 } else { &mut v4 };
                    family.push_back((name.clone(), address));
                }
            }
            Err(error) => failed.attempts.push(Attempt {
                name: name.clone(),
                address: None,
                why: AttemptError::Unresolved(error),
            }),
        }
    }
    let mut turns = VecDeque::new();
    while turns.len() < ADDRESSES_MAX && !(v6.is_empty() && v4.is_empty()) {
        turns.extend(v6.pop_front());
        turns.extend(v4.pop_front());
    }
    turns
}

/// One attempt, and where it is made.
type Attempting<'a> =
    Pin<Box<dyn Future<Output = (Candidate, Result<Link, AttemptError>)> + Send + 'a>>;

async fn attempt(
    candidate: &Candidate,
    config: &InitiatorConfig,
    impairment: &Impairment,
) -> Result<Link, AttemptError> {
    let until = Instant::now() + ATTEMPT_TIME_MAX;
    match candidate.by {
        Carrier::Tcp => {
            let connecting = tcp::Link::connect(candidate.address, config, impairment);
            match timeout_at(until, connecting).await {
                Ok(outcome) => outcome.map(|link| Link::Tcp(Box::new(link))),
                Err(_) => Err(AttemptError::TimedOut),
            }
        }
        Carrier::Udp => {
            let link = udp::Link::connect(candidate.address, config, until, impairment).await?;
            Ok(Link::Udp(Box::new(link)))
        }
    }
}

/// Why no address of a relay led to it.
#[derive(Debug, Default)]
pub struct DialError {
    /// What happened where, in the order in which it failed.
    pub attempts: Vec<Attempt>,
}

impl DialError {
    /// What announced another key, and where: a hint, never the truth.
    pub fn announced(&self) -> Option<(&Beacon, SocketAddr)> {
        self.attempts.iter().find_map(|attempt| match &attempt.why {
            AttemptError::Handshake(ConnectionError::Unanswered { beacon }) => {
                attempt.address.map(|address| (beacon, address))
            }
            _ => None,
        })
    }

    /// True if trying again cannot help: both sides are there and share no version.
    pub fn is_hopeless(&self) -> bool {
        self.attempts.iter().any(|attempt| {
            matches!(
                attempt.why,
                AttemptError::Handshake(
                    ConnectionError::Incompatible { .. }
                        | ConnectionError::CriticalExtension(_)
                        | ConnectionError::UnusableRelayKey
                )
            )
        })
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attempt) in self.attempts.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{attempt}")?;
        }
        if self.attempts.is_empty() {
            f.write_str("no address is known")?;
        }
        Ok(())
    }
}

impl std::error::Error for DialError {}

/// One address that did not lead to the relay.
#[derive(Debug)]
pub struct Attempt {
    /// As it was given.
    pub name: RelayAddress,
    /// What it resolved to.
    pub address: Option<SocketAddr>,
    /// What went wrong.
    pub why: AttemptError,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{address}: {}", self.why),
            None => write!(f, "{}: {}", self.name, self.why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(all: &[&str]) -> VecDeque<(RelayAddress, SocketAddr)> {
        let name: RelayAddress = "relay:1".parse().expect("an address");
        all.iter().map(|text| (name.clone(), text.parse().expect("an address"))).collect()
    }

    #[test]
    fn both_families_have_their_turn_before_the_other_carrier() {
        let resolved = addresses(&["[::1]:1", "127.0.0.1:1", "[::2]:1", "127.0.0.2:1"]);
        let order = candidates(resolved, &[Carrier::Udp, Carrier::Tcp]);
        let order: Vec<_> =
            order.iter().map(|next| format!("{} {}", next.by.name(), next.address.ip())).collect();
        let first = ["udp ::1", "udp 127.0.0.1", "tcp ::1", "tcp 127.0.0.1"];
        let second = ["udp ::2", "udp 127.0.0.2", "tcp ::2", "tcp 127.0.0.2"];
        assert_eq!(order, [first, second].concat());
    }
}
