//! The device's private keys: small files that only their owner may read, never rows.
//!
//! ```text
//!   keys/signing              Ed25519 seed: who this device is, to every relay
//!   keys/sealing              X25519: what others seal for this device
//!   keys/RELAY/channel        X25519: who this device is on the channel, one per relay
//!   keys/RELAY/genesis        the link that founded, or will found, our account there
//! ```
//!
//! A relay learns nothing that another relay could recognise on the wire, and its account follows
//! from the genesis link, so it exists before the relay has heard of it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use protocol::{
    channel::keys::{SigningKey, StaticKey},
    entropy::Entropy,
    ids::RelayKey,
    message::{account::GenesisLink, ext::Ext},
    time::WallTime,
};

use super::home::{Home, HomeError, private_folder};
use crate::engine::Identity;

/// Everything this device is to one relay.
#[derive(Debug)]
pub struct Keys {
    /// Who signs.
    pub signing: SigningKey,
    /// What others seal for.
    pub sealing: StaticKey,
    /// Who speaks on the channel.
    pub channel: StaticKey,
    genesis: Vec<u8>,
}

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Their folder cannot.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The file system says no.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// Others could read it.
    #[error("{path} may be used by others (mode {mode:03o})")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is not what this program wrote. A new key would be a new identity, so none is made.
    #[error("{path} is damaged; restore it from a backup")]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
}

impl Keys {
    /// Reads the keys for this relay and makes those that are missing. The caller owns the home.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or written, is open to others or damaged.
    pub fn open(
        home: &Home,
        relay: RelayKey,
        entropy: &mut Entropy,
        now: WallTime,
    ) -> Result<Self, KeysError> {
        let folder = home.keys();
        let relay_folder = home.keys_for(relay);
        private_folder(&folder)?;
        private_folder(&relay_folder)?;
        let signing = SigningKey::from_seed(secret(&folder.join("signing"), entropy)?);
        let sealing = StaticKey::from_bytes(secret(&folder.join("sealing"), entropy)?);
        let channel = StaticKey::from_bytes(secret(&relay_folder.join("channel"), entropy)?);
        let fresh = GenesisLink {
            version: 1,
            signing_key: signing.public(),
            channel_key: *channel.public(),
            sealing_key: *sealing.public(),
            created_at: now,
            nonce: entropy.bytes(),
            ext: Ext::none(),
        };
        let path = relay_folder.join("genesis");
        let genesis = read_or_write(&path, || fresh.encode())?;
        let ours = GenesisLink::decode(&genesis).is_ok_and(|link| {
            link.signing_key == fresh.signing_key
                && link.channel_key == fresh.channel_key
                && link.sealing_key == fresh.sealing_key
        });
        if !ours {
            return Err(KeysError::Damaged { path });
        }
        Ok(Self { signing, sealing, channel, genesis })
    }

    /// Who we are to the relay. `name` and `ticket` matter only until the account is founded.
    pub fn identity(&self, name: String, ticket: Vec<u8>) -> Identity {
        // Ed25519 signatures are deterministic: the same bytes after every start.
        let signature = self.signing.sign(&GenesisLink::signed_bytes(&self.genesis));
        Identity {
            device: self.signing.device_id(),
            genesis: self.genesis.clone(),
            genesis_signature: signature.to_vec(),
            name,
            ticket,
        }
    }
}

/// The 32 secret bytes in a file; fresh ones if there is none.
fn secret(path: &Path, entropy: &mut Entropy) -> Result<[u8; 32], KeysError> {
    let bytes = read_or_write(path, || entropy.bytes::<32>().to_vec())?;
    bytes.try_into().map_err(|_| KeysError::Damaged { path: path.to_owned() })
}

fn read_or_write(path: &Path, make: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, KeysError> {
    let error = |source| KeysError::Io { path: path.to_owned(), source };
    match fs::read(path) {
        Ok(bytes) => {
            let mode = fs::metadata(path).map_err(error)?.mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(KeysError::Open { path: path.to_owned(), mode });
            }
            Ok(bytes)
        }
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            let bytes = make();
            write_whole(path, &bytes).map_err(error)?;
            Ok(bytes)
        }
        Err(source) => Err(error(source)),
    }
}

/// Writes a file that is there as a whole, or not at all, also after a power cut.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const RELAY: RelayKey = RelayKey([1; 32]);

    fn open(home: &Home, relay: RelayKey, seed: u64) -> Result<Keys, KeysError> {
        let mut entropy = Entropy::seeded_for_simulation(seed);
        Keys::open(home, relay, &mut entropy, WallTime::from_millis(seed))
    }

    fn home() -> (tempfile::TempDir, Home) {
        let temp = tempfile::tempdir().expect("a folder");
        let home = Home::at(temp.path().join("home"));
        home.prepare().expect("it is made");
        (temp, home)
    }

    #[test]
    fn keys_and_account_are_the_same_after_a_restart() {
        let (_temp, home) = home();
        let first = open(&home, RELAY, 1).expect("made").identity("ann".into(), Vec::new());
        let again = open(&home, RELAY, 2).expect("read").identity("ann".into(), Vec::new());
        assert_eq!(first, again);
    }

    #[test]
    fn another_relay_sees_another_account_and_another_channel_key_of_the_same_device() {
        let (_temp, home) = home();
        let here = open(&home, RELAY, 1).expect("made");
        let there = open(&home, RelayKey([2; 32]), 2).expect("made");
        assert_eq!(here.signing.public(), there.signing.public());
        assert_ne!(here.channel.public(), there.channel.public());
        let account = |keys: &Keys| keys.identity(String::new(), Vec::new()).account();
        assert_ne!(account(&here), account(&there));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let (_temp, home) = home();
        open(&home, RELAY, 1).expect("made");
        let path = home.keys().join("signing");
        assert_eq!(fs::metadata(&path).expect("it exists").mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
        assert!(matches!(open(&home, RELAY, 2), Err(KeysError::Open { mode: 0o644, .. })));
    }

    #[test]
    fn a_damaged_key_is_never_replaced_by_a_new_identity() {
        let (_temp, home) = home();
        open(&home, RELAY, 1).expect("made");
        let path = home.keys().join("signing");
        fs::write(&path, [7; 31]).expect("ours");
        assert!(matches!(open(&home, RELAY, 2), Err(KeysError::Damaged { .. })));
        assert_eq!(fs::read(&path).expect("still there").len(), 31);
        fs::write(&path, [7; 32]).expect("ours");
        assert!(matches!(open(&home, RELAY, 2), Err(KeysError::Damaged { .. })), "another key");
    }
}
