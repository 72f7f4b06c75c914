//! What a peer can speak: protocol versions and cipher suites (wire §4.1).
//!
//! All of these are numbers with unknown values: a peer from the future lists what this build has
//! never heard of, and is understood as far as both agree.

use std::fmt;

/// Most versions and most suites one peer lists. A peer with more lists the newest.
pub const OFFER_ITEMS_MAX: usize = 8;

/// A version of everything in `protocol/README.md` that an extension cannot express.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16);

impl Version {
    /// The only version so far.
    pub const V1: Self = Self(1);
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The AEAD of a connection. Everything else of the handshake is the same in each suite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suite(pub u8);

impl Suite {
    /// `Noise_IK_25519_AESGCM_BLAKE2s`; every relay serves it.
    pub const AES_256_GCM: Self = Self(1);
    /// `Noise_IK_25519_ChaChaPoly_BLAKE2s`, for processors without AES instructions.
    pub const CHACHA20_POLY1305: Self = Self(2);

    /// The faster suite on this processor. AES without its instructions is several times slower
    /// than `ChaCha20` and, in plain code, leaks the key through the cache.
    pub fn preferred_here() -> Self {
        if has_aes_instructions() { Self::AES_256_GCM } else { Self::CHACHA20_POLY1305 }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::AES_256_GCM => f.write_str("AES-256-GCM"),
            Self::CHACHA20_POLY1305 => f.write_str("ChaCha20-Poly1305"),
            Self(number) => write!(f, "suite {number}"),
        }
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn has_aes_instructions() -> bool {
    is_x86_feature_detected!("aes") && is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes_instructions() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull")
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes_instructions() -> bool {
    false
}

/// A short list kept inline, best first: a connection at rest owns no heap memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices<T> {
    items: [T; OFFER_ITEMS_MAX],
    // `len <= OFFER_ITEMS_MAX`; what lies behind it is the default.
    len: u8,
}

/// Protocol versions, newest first.
pub type Versions = Choices<Version>;
/// Cipher suites, most wanted first.
pub type Suites = Choices<Suite>;

impl<T: Copy + Default + PartialEq> Choices<T> {
    /// The first [`OFFER_ITEMS_MAX`] of `items`.
    pub fn new(items: impl IntoIterator<Item = T>) -> Self {
        let mut choices = Self::default();
        for (slot, item) in choices.items.iter_mut().zip(items) {
            *slot = item;
            choices.len += 1;
        }
        choices
    }

    /// The items, best first.
    pub fn as_slice(&self) -> &[T] {
        &self.items[..usize::from(self.len)]
    }

    /// Whether `item` is among them.
    pub fn contains(&self, item: T) -> bool {
        self.as_slice().contains(&item)
    }

    /// The best of ours that `peer` has too.
    pub fn best_shared_with(&self, peer: &Self) -> Option<T> {
        self.as_slice().iter().copied().find(|item| peer.contains(*item))
    }
}

impl<T: Copy + Default + PartialEq + fmt::Display> fmt::Display for Choices<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.len == 0 {
            return f.write_str("none");
        }
        for (index, item) in self.as_slice().iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{item}")?;
        }
        Ok(())
    }
}

/// All that one side can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Protocol versions, newest first.
    pub versions: Versions,
    /// Cipher suites, most wanted first.
    pub suites: Suites,
}

impl Offer {
    /// What this build speaks, in the order this processor likes.
    pub fn of_this_build() -> Self {
        let preferred = Suite::preferred_here();
        let other = match preferred {
            Suite::AES_256_GCM => Suite::CHACHA20_POLY1305,
            _ => Suite::AES_256_GCM,
        };
        Self { versions: Versions::new([Version::V1]), suites: Suites::new([preferred, other]) }
    }

    /// The best pair both sides speak, in our order.
    pub fn best_shared_with(&self, peer: &Self) -> Option<Choice> {
        Some(Choice {
            version: self.versions.best_shared_with(&peer.versions)?,
            suite: self.suites.best_shared_with(&peer.suites)?,
        })
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} with {}", self.versions, self.suites)
    }
}

/// What one connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The protocol version.
    pub version: Version,
    /// The cipher suite.
    pub suite: Suite,
}

impl From<Choice> for Offer {
    fn from(choice: Choice) -> Self {
        Self { versions: Versions::new([choice.version]), suites: Suites::new([choice.suite]) }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} with {}", self.version, self.suite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_order_decides_among_what_both_speak() {
        let ours = Suites::new([Suite(2), Suite(1)]);
        let peer = Suites::new([Suite(9), Suite(1), Suite(2)]);
        assert_eq!(ours.best_shared_with(&peer), Some(Suite(2)));
        assert_eq!(ours.best_shared_with(&Suites::new([Suite(9)])), None);
    }

    #[test]
    fn a_list_keeps_its_first_eight_items() {
        let versions = Versions::new((1..=9).rev().map(Version));
        assert_eq!(versions.as_slice().len(), OFFER_ITEMS_MAX);
        assert_eq!(versions.as_slice()[0], Version(9));
        assert!(!versions.contains(Version(1)));
        assert!(!versions.contains(Version(0)), "the unused room of a list is not in it");
    }

    #[test]
    fn lists_read_well() {
        let offer = Offer {
            versions: Versions::new([Version(2), Version(1)]),
            suites: Suites::new([Suite(1), Suite(7)]),
        };
        assert_eq!(offer.to_string(), "version 2, 1 with AES-256-GCM, suite 7");
        assert_eq!(Versions::default().to_string(), "none");
    }
}
