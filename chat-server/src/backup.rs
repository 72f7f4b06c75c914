//! Backups of a whole relay: the store's copy with the relay's key in it, because without the key
//! nobody would trust what is restored. So the file is as secret as the data directory.

use std::path::Path;

use protocol::{channel::keys::StaticKey, entropy::Entropy, ids::LogId};
use zeroize::Zeroizing;

use crate::{
    key::{self, KeyError},
    store::{Archiver, StoreError, sqlite},
};

/// The key's name among the extras of a backup.
const KEY_NAME: &str = "relay.key";

/// Why a relay could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file, or the data directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key cannot be put in its place.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The file is a copy of a store only.
    #[error("the backup holds no relay key")]
    NoKey,
}

/// Writes a backup of a running or stopped relay to a new file.
///
/// # Errors
///
/// If the file exists or cannot be written.
pub fn write(archiver: &mut dyn Archiver, key: &StaticKey, to: &Path) -> Result<(), StoreError> {
    archiver.backup(to)?;
    sqlite::add_extra(to, KEY_NAME, &*key.to_bytes())
}

/// Makes a data directory of a backup. The store becomes another incarnation, by which clients
/// notice that it was restored.
///
/// # Errors
///
/// If the file is no backup, or the data directory is in use already.
pub fn restore(from: &Path, data_dir: &Path) -> Result<(), RestoreError> {
    let bytes = sqlite::read_extra(from, KEY_NAME)?.map(Zeroizing::new);
    let private = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
    let key = StaticKey::from_bytes(private.ok_or(RestoreError::NoKey)?);
    sqlite::restore(from, data_dir, LogId(Entropy::system().bytes()))?;
    Ok(key::write(data_dir, &key)?)
}
