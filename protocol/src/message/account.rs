//! Accounts: chains of links that devices sign (wire §5.5). This version founds them; later ones
//! add devices, passwords and recovery as further links without changing the wire.

use serde::{Deserialize, Serialize};

use super::{
    encoding::{DecodeError, decode, encode},
    ext::Ext,
};
use crate::{ids::AccountId, limits::GENESIS_BYTES_MAX, time::WallTime};

/// The first link of an account's chain: its first device's public keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenesisLink {
    /// 1.
    pub version: u8,
    /// Ed25519: signs links and, in sealed conversations, messages.
    pub signing_key: [u8; 32],
    /// X25519, for this relay only: the static key of the channel.
    pub channel_key: [u8; 32],
    /// X25519: others seal grants to it.
    pub sealing_key: [u8; 32],
    /// The device's clock.
    pub created_at: WallTime,
    /// Makes two accounts of one device differ.
    pub nonce: [u8; 16],
    /// Later additions.
    pub ext: Ext,
}

/// What is signed is this, then the link's bytes: a signature on a link is on nothing else.
pub const GENESIS_SIGNATURE_CONTEXT: &[u8] = b"account genesis v1";

impl GenesisLink {
    /// Encodes the link; its digest is the account's identifier.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a received link.
    ///
    /// # Errors
    ///
    /// If it is malformed, too large, or has an extension that must be understood and is not.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > GENESIS_BYTES_MAX {
            return Err(DecodeError);
        }
        let link: Self = decode(bytes)?;
        let understood = link.version == 1 && link.ext.unknown_critical().is_none();
        if understood { Ok(link) } else { Err(DecodeError) }
    }

    /// The account it founds.
    pub fn account(&self) -> AccountId {
        AccountId::of_genesis(&self.encode())
    }

    /// The bytes to sign for an encoded link.
    pub fn signed_bytes(encoded: &[u8]) -> Vec<u8> {
        [GENESIS_SIGNATURE_CONTEXT, encoded].concat()
    }
}
