//! The long-lived keys of a device or relay: [`StaticKey`] for the channel, [`SigningKey`] for
//! statements that outlive a connection. Both are zeroised when dropped and never printed.

use std::fmt;

use aws_lc_rs::{
    agreement::{self, PrivateKey, UnparsedPublicKey, X25519},
    error::Unspecified,
    signature::{self, ED25519, Ed25519KeyPair, KeyPair},
};
use zeroize::Zeroizing;

use crate::{
    entropy::Entropy,
    ids::{DeviceId, RelayKey},
};

/// A public X25519 key.
pub type PublicKey = [u8; 32];

/// An X25519 key pair: who we are to the peer of a connection.
pub struct StaticKey {
    // aws-lc keeps the private half expanded and cleanses it when freed. `seed` is for storage.
    pair: PrivateKey,
    public: PublicKey,
    seed: Zeroizing<[u8; 32]>,
}

impl StaticKey {
    /// A fresh key.
    pub fn generate(entropy: &mut Entropy) -> Self {
        Self::from_seed(Zeroizing::new(entropy.bytes()))
    }

    /// The key with this private half, as [`Self::to_bytes`] gave it.
    pub fn from_bytes(private: [u8; 32]) -> Self {
        Self::from_seed(Zeroizing::new(private))
    }

    pub(crate) fn from_seed(seed: Zeroizing<[u8; 32]>) -> Self {
        let pair = PrivateKey::from_private_key(&X25519, &*seed)
            .expect("any 32 bytes are an X25519 private key (RFC 7748 §5)");
        let computed = pair.compute_public_key().expect("every private key has a public one");
        let public = computed.as_ref().try_into().expect("an X25519 public key has 32 bytes");
        Self { pair, public, seed }
    }

    /// The private half, to be stored where only its owner can read it.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.seed.clone()
    }

    /// The private half, borrowed.
    pub(crate) fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The public half.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The public half as the identity of a relay.
    pub const fn relay_key(&self) -> RelayKey {
        RelayKey(self.public)
    }

    /// The secret shared with the holder of `peer`.
    ///
    /// # Errors
    ///
    /// If `peer` is one of the few points for which the secret would be zero, whoever holds the
    /// private half (RFC 7748 §6.1).
    pub(crate) fn agree(&self, peer: &[u8], secret: &mut [u8]) -> Result<(), Unspecified> {
        let peer = UnparsedPublicKey::new(&X25519, peer);
        agreement::agree(&self.pair, peer, Unspecified, |shared| {
            secret.get_mut(..shared.len()).ok_or(Unspecified)?.copy_from_slice(shared);
            Ok(())
        })
    }
}

impl fmt::Debug for StaticKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StaticKey([redacted])")
    }
}

/// An Ed25519 key pair: who a device is to everyone, for as long as its records are read.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; 32]>,
}

impl SigningKey {
    /// A fresh key.
    pub fn generate(entropy: &mut Entropy) -> Self {
        Self::from_zeroizing_seed(Zeroizing::new(entropy.bytes()))
    }

    /// The key with this seed (RFC 8032 §5.1.5), as [`Self::to_seed`] gave it.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self::from_zeroizing_seed(Zeroizing::new(seed))
    }

    fn from_zeroizing_seed(seed: Zeroizing<[u8; 32]>) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed)
            .expect("any 32 bytes are an Ed25519 seed (RFC 8032 §5.1.5)");
        Self { pair, seed }
    }

    /// The seed, to be stored where only its owner can read it.
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        self.seed.clone()
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        let public = self.pair.public_key().as_ref();
        public.try_into().expect("an Ed25519 public key has 32 bytes")
    }

    /// The device that signs with this key.
    pub fn device_id(&self) -> DeviceId {
        DeviceId::of_signing_key(&self.public())
    }

    /// A signature over `message`. Callers begin `message` with a label of its purpose, so that
    /// no signature means two things.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.pair.sign(message);
        signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey([redacted])")
    }
}

/// Whether `signature` over `message` was made with the private half of `public`.
#[must_use]
pub fn verify(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    signature::UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    fn hex32(text: &str) -> [u8; 32] {
        HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
    }

    #[test]
    fn agrees_on_the_secret_of_rfc_7748() {
        // RFC 7748 §6.1.
        let alice = StaticKey::from_bytes(hex32(
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        ));
        let bob = StaticKey::from_bytes(hex32(
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        ));
        let shared = hex32("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        let (mut a, mut b) = ([0; 32], [0; 32]);
        alice.agree(bob.public(), &mut a).unwrap();
        bob.agree(alice.public(), &mut b).unwrap();
        assert_eq!((a, b), (shared, shared));
    }

    #[test]
    fn a_key_survives_storage() {
        let mut entropy = Entropy::seeded_for_simulation(2);
        let key = StaticKey::generate(&mut entropy);
        assert_eq!(StaticKey::from_bytes(*key.to_bytes()).public(), key.public());
        let signing = SigningKey::generate(&mut entropy);
        assert_eq!(SigningKey::from_seed(*signing.to_seed()).public(), signing.public());
    }

    #[test]
    fn refuses_every_point_whose_secret_would_be_zero() {
        // The points of small order on Curve25519, and their non-canonical forms.
        let key = StaticKey::generate(&mut Entropy::seeded_for_simulation(3));
        let mut one = [0; 32];
        one[0] = 1;
        let small_order = [
            [0; 32],
            one,
            hex32("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
            hex32("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
            hex32("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
            hex32("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
            hex32("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        ];
        for point in small_order {
            assert!(key.agree(&point, &mut [0; 32]).is_err(), "{point:02x?}");
        }
    }

    #[test]
    fn a_signature_holds_for_its_message_and_key_only() {
        let mut entropy = Entropy::seeded_for_simulation(4);
        let key = SigningKey::generate(&mut entropy);
        let other = SigningKey::generate(&mut entropy);
        let signature = key.sign(b"statement");
        assert!(verify(&key.public(), b"statement", &signature));
        assert!(!verify(&key.public(), b"another", &signature));
        assert!(!verify(&other.public(), b"statement", &signature));
        assert!(!verify(&key.public(), b"statement", &signature[..63]));
    }

    #[test]
    fn secrets_are_not_printed() {
        let key = StaticKey::from_bytes([0x41; 32]);
        assert_eq!(format!("{key:?}"), "StaticKey([redacted])");
        assert_eq!(format!("{:?}", SigningKey::from_seed([0x41; 32])), "SigningKey([redacted])");
    }
}
