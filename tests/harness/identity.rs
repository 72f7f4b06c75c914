//! A device with fresh keys and the account it founds.

use std::sync::Arc;

use protocol::{
    channel::keys::{SigningKey, StaticKey},
    entropy::Entropy,
    ids::{AccountId, DeviceId},
    message::{
        account::GenesisLink,
        ext::Ext,
        session::{Attach, Register},
    },
    time::WallTime,
};
use serde_bytes::ByteBuf;

/// What the attaching program calls itself in the relay's log.
const CLIENT_NAME: &str = "e2e harness";

/// Keys of one device, made here and known to nobody else.
#[derive(Debug)]
pub struct Identity {
    /// The label it wants in the directory.
    pub name: String,
    /// Who it is to the relay.
    pub channel_key: Arc<StaticKey>,
    /// Who it is to everyone.
    pub signing_key: SigningKey,
    genesis: Vec<u8>,
}

impl Identity {
    /// A device that nobody has seen before.
    pub fn generate(name: impl Into<String>, entropy: &mut Entropy) -> Self {
        let channel_key = Arc::new(StaticKey::generate(entropy));
        let signing_key = SigningKey::generate(entropy);
        let genesis = GenesisLink {
            version: 1,
            signing_key: signing_key.public(),
            channel_key: *channel_key.public(),
            sealing_key: *StaticKey::generate(entropy).public(),
            created_at: WallTime::default(),
            nonce: entropy.bytes(),
            ext: Ext::none(),
        };
        Self { name: name.into(), channel_key, signing_key, genesis: genesis.encode() }
    }

    /// The device.
    pub fn device(&self) -> DeviceId {
        self.signing_key.device_id()
    }

    /// The account.
    pub fn account(&self) -> AccountId {
        AccountId::of_genesis(&self.genesis)
    }

    /// The first message of a session whose account exists.
    pub fn attach(&self) -> Attach {
        Attach { register: None, client: CLIENT_NAME.to_owned(), ext: Ext::none() }
    }

    /// The first message of the first session: founds the account.
    pub fn register(&self) -> Attach {
        let signature = self.signing_key.sign(&GenesisLink::signed_bytes(&self.genesis));
        let register = Register {
            name: self.name.clone(),
            genesis: ByteBuf::from(self.genesis.clone()),
            signature: ByteBuf::from(signature.to_vec()),
            ticket: ByteBuf::new(),
        };
        Attach { register: Some(register), ..self.attach() }
    }
}
