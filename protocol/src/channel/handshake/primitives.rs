//! The building blocks that snow runs a handshake with: X25519 from aws-lc, the rest its own.

use std::sync::Arc;

use snow::{
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::{CryptoResolver, DefaultResolver},
    types::{Cipher, Dh, Hash, Random},
};

use super::{EphemeralSeed, StaticKey};

/// Where snow finds its building blocks for one handshake.
pub(super) struct Primitives {
    pub(super) own: Arc<StaticKey>,
    pub(super) ephemeral: EphemeralSeed,
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(OneSeed(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => {
                Some(Box::new(X25519 { own: Arc::clone(&self.own), ephemeral: None }))
            }
            DHChoice::Curve448 => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// Randomness for the one key that a handshake makes.
struct OneSeed(Option<EphemeralSeed>);

impl Random for OneSeed {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        let seed = self.0.take().filter(|seed| seed.len() == dest.len());
        dest.copy_from_slice(&*seed.ok_or(snow::Error::Rng)?);
        Ok(())
    }
}

/// Snow makes two of these: one is told to be the static key, the other to generate.
struct X25519 {
    own: Arc<StaticKey>,
    ephemeral: Option<StaticKey>,
}

impl X25519 {
    fn key(&self) -> &StaticKey {
        self.ephemeral.as_ref().unwrap_or(&self.own)
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, _private: &[u8]) {
        // It is the private half of `own`, which has the public half ready: computing that again
        // would cost a fifth of the handshake.
        self.ephemeral = None;
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut seed = EphemeralSeed::default();
        rng.try_fill_bytes(&mut *seed)?;
        self.ephemeral = Some(StaticKey::from_seed(seed));
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.key().public()
    }

    fn privkey(&self) -> &[u8] {
        self.key().seed()
    }

    fn dh(&self, peer: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        // Snow hands over its largest buffer for keys of any curve.
        let peer = peer.get(..self.pub_len()).ok_or(snow::Error::Dh)?;
        self.key().agree(peer, out).map_err(|_| snow::Error::Dh)
    }
}
