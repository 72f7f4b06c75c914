//! The laboratory on a relay: datagrams that are lost and late on purpose.
//!
//! ```text
//!   flags    what is asked for on the command line, and nowhere else
//!   allowed  whose datagrams it concerns
//!   path     what becomes of each of them
//! ```
//!
//! It acts between socket and endpoint, on sealed packets: what it does, a bad network could do. What
//! it has held back, handshakes too, comes with the sessions' packets and not in the strangers' share
//! of a shard's time: a relay that has to stand a flood is not the one to try this on.
//! Only builds with the feature `lab` have it; see `no_lab.rs` for what the others have.

mod allowed;
mod flags;
mod path;

use std::{fmt, net::SocketAddr, time::Duration};

use protocol::{
    lab::{fault::Faults, order::Wanted},
    limits::RELAY_NAME_BYTES_MAX,
};

pub(crate) use self::path::{Held, Paths};
pub use self::{
    allowed::{Allowed, BadNetwork, Network},
    flags::LabFlags,
};

/// What clients see before the relay's name.
const MARK: &str = "[lab] ";

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabSettings {
    /// What happens to datagrams that leave, and to those that come. Blackouts count from the start
    /// of the relay.
    pub ways: [Faults; 2],
    /// Decides what is left to chance.
    pub seed: u64,
    /// Whose datagrams.
    pub allowed: Allowed,
}

impl LabSettings {
    /// These faults, from the start on.
    pub fn new(wanted: &Wanted, seed: u64, allowed: Allowed) -> Self {
        Self { ways: wanted.faults_from(Duration::ZERO), seed, allowed }
    }

    /// What an operator has to know, of a relay that listens here.
    pub fn banner(&self, listens: &[SocketAddr]) -> String {
        let mut text = format!("LABORATORY: bad paths on purpose, {self}; TCP is left alone");
        let is_reached_from_elsewhere =
            listens.iter().any(|address| !address.ip().to_canonical().is_loopback());
        if self.allowed.is_loopback() && is_reached_from_elsewhere {
            text.push_str("; clients on other machines are not affected");
        }
        text
    }

    /// The relay's name, so that clients see what it is.
    pub fn mark(&self, name: &str) -> String {
        let mut marked = MARK.to_owned();
        for character in name.chars() {
            if marked.len() + character.len_utf8() > RELAY_NAME_BYTES_MAX {
                break;
            }
            marked.push(character);
        }
        marked
    }
}

impl fmt::Display for LabSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ways: [out, back], seed, allowed } = self;
        write!(f, "out: {out}; in: {back}; seed {seed}; for {allowed}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(order: &str, allowed: Allowed) -> LabSettings {
        let mut wanted = Wanted::default();
        let order = order.parse().expect(order);
        wanted.follow(&order, Duration::ZERO).expect("it was checked");
        LabSettings::new(&wanted, 7, allowed)
    }

    #[test]
    fn the_banner_says_what_happens_to_whom() {
        let here = ["127.0.0.1:4545".parse().expect("an address")];
        let everywhere = ["[::]:4545".parse().expect("an address")];
        let lab = settings("in loss 10%", Allowed::default());
        let banner = "LABORATORY: bad paths on purpose, out: no faults; in: loss 10%; seed 7; for \
                      127.0.0.0/8 ::1; TCP is left alone";
        assert_eq!(lab.banner(&here), banner);
        let elsewhere = "; clients on other machines are not affected";
        assert_eq!(lab.banner(&everywhere), format!("{banner}{elsewhere}"));
        let allowed = Allowed::only(vec!["192.0.2.0/24".parse().expect("a network")]);
        let banner = settings("blackout 3s..5s", allowed).banner(&everywhere);
        assert!(banner.contains("out: blackout 3s..5s; in: blackout 3s..5s"), "{banner}");
        assert!(
            banner.contains("for 192.0.2.0/24; TCP") && !banner.contains("other machines"),
            "{banner}"
        );
    }

    #[test]
    fn clients_see_it_in_a_name_that_still_fits() {
        let lab = LabSettings::default();
        assert_eq!(lab.mark("kitchen"), "[lab] kitchen");
        let long = "ä".repeat(RELAY_NAME_BYTES_MAX / 2);
        let marked = lab.mark(&long);
        assert!(marked.starts_with("[lab] ää") && marked.len() <= RELAY_NAME_BYTES_MAX);
    }
}
