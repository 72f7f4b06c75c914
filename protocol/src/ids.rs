//! Who and what: identifiers, each its own type, so that two of them cannot be swapped.
//!
//! Every identifier is a digest of the thing it names (wire §2), so nobody can claim somebody
//! else's: an account is its genesis link, a device its signing key, a conversation its genesis
//! record.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};

/// A text that should have been an identifier and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {expected}")]
pub struct ParseIdError {
    /// What was expected, for example `account id (32 hex digits)`.
    pub expected: &'static str,
}

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// SHA-256 over the concatenation of `parts`.
pub fn sha256(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// The first 16 bytes of SHA-256 over `parts`: what every 16-byte identifier is made of.
fn short_digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&sha256(parts)[..16]);
    short
}

macro_rules! id16 {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // Eight digits tell two apart in a log; the whole is noise there.
                write!(f, concat!(stringify!($name), "({})"), HEXLOWER.encode(&self.0[..4]))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let error = ParseIdError { expected: $expected };
                let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| error)?;
                bytes.try_into().map(Self).map_err(|_| error)
            }
        }
    };
}

id16!(
    /// A person: the digest of the account's genesis link.
    AccountId, "account id (32 hex digits)"
);
id16!(
    /// One installation with its keys: the digest of its signing key.
    DeviceId, "device id (32 hex digits)"
);
id16!(
    /// A durable log: the digest of its genesis record, or of the two accounts of a direct one.
    ConversationId, "conversation id (32 hex digits)"
);
id16!(
    /// One incarnation of a relay's store. Renewed when a backup is restored, so that a client
    /// can tell a restored relay from the one it knew.
    LogId, "log id (32 hex digits)"
);

impl AccountId {
    /// The account whose chain begins with this genesis link, as received.
    pub fn of_genesis(genesis: &[u8]) -> Self {
        Self(short_digest(&[genesis]))
    }
}

impl DeviceId {
    /// What stands in the envelope of a record the relay itself wrote. No signing key hashes to it.
    pub const RELAY: Self = Self([0; 16]);

    /// The device that signs with this Ed25519 public key.
    pub fn of_signing_key(signing_key: &[u8; 32]) -> Self {
        Self(short_digest(&[signing_key]))
    }
}

impl ConversationId {
    /// The room whose genesis record this is, as received.
    pub fn of_genesis(genesis: &[u8]) -> Self {
        Self(short_digest(&[genesis]))
    }

    /// The direct conversation of two accounts; the same whichever of them asks.
    pub fn direct(a: AccountId, b: AccountId) -> Self {
        let (smaller, larger) = if a <= b { (a, b) } else { (b, a) };
        Self(short_digest(&[b"dm v1", &smaller.0, &larger.0]))
    }
}

/// A place in a conversation's log: contiguous from 1. Zero is "before the first".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first record.
    pub const ZERO: Self = Self(0);
    /// The first record.
    pub const FIRST: Self = Self(1);

    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The place `count` after this one; saturating.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// The place `count` before this one, not below zero.
    #[must_use]
    pub const fn minus(self, count: u64) -> Self {
        Self(self.0.saturating_sub(count))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A device's own number for a message: never reused, gaps allowed, ascending per conversation.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Counter(pub u64);

impl Counter {
    /// The counter after this one; saturating.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A message, wherever it is: the device that made it and that device's number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId {
    /// Who made it.
    pub device: DeviceId,
    /// That device's number for it.
    pub counter: Counter,
}

/// A relay's static X25519 public key. The relay *is* this key, not its address or name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RelayKey(pub [u8; 32]);

impl RelayKey {
    /// The short form people compare.
    pub fn fingerprint(&self) -> Fingerprint {
        let digest = sha256(&[b"relay key v1", &self.0]);
        let mut short = [0; Fingerprint::BYTES];
        short.copy_from_slice(&digest[..Fingerprint::BYTES]);
        Fingerprint(short)
    }
}

impl fmt::Debug for RelayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelayKey({})", self.fingerprint())
    }
}

/// 120 bits of a relay key's digest, shown as six groups of four: `k3xw-…`. Long enough that
/// nobody finds a second key for it, short enough to read aloud.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; Self::BYTES]);

impl Fingerprint {
    const BYTES: usize = 15;
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = BASE32_NOPAD.encode(&self.0).to_ascii_lowercase();
        for (index, group) in text.as_bytes().chunks(4).enumerate() {
            if index > 0 {
                f.write_str("-")?;
            }
            f.write_str(std::str::from_utf8(group).expect("base32 is ASCII"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = ParseIdError;

    /// Accepts what people type: any case, with or without the dashes, with blanks.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = ParseIdError { expected: "fingerprint (24 letters and digits 2-7)" };
        let plain: String = text
            .chars()
            .filter(|c| *c != '-' && !c.is_whitespace())
            .map(|c| c.to_ascii_uppercase())
            .collect();
        let bytes = BASE32_NOPAD.decode(plain.as_bytes()).map_err(|_| error)?;
        bytes.try_into().map(Self).map_err(|_| error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_conversation_is_the_same_from_both_sides() {
        let (a, b) = (AccountId([1; 16]), AccountId([2; 16]));
        assert_eq!(ConversationId::direct(a, b), ConversationId::direct(b, a));
        assert_ne!(ConversationId::direct(a, b), ConversationId::direct(a, a));
    }

    #[test]
    fn fingerprint_survives_what_people_do_to_it() {
        let fingerprint = RelayKey([7; 32]).fingerprint();
        let shown = fingerprint.to_string();
        assert_eq!(shown.len(), 29);
        let typed = shown.to_uppercase().replace('-', " ");
        assert_eq!(typed.parse(), Ok(fingerprint));
        assert!("abcd".parse::<Fingerprint>().is_err());
    }

    #[test]
    fn id_text_round_trips_and_rejects_other_lengths() {
        let id = DeviceId([0xab; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("abab".parse::<DeviceId>().is_err());
    }
}
