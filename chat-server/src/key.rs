//! The relay's key: one small file in the data directory. Who has it is the relay.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use protocol::{channel::keys::StaticKey, entropy::Entropy};
use zeroize::Zeroizing;

/// Its name in the data directory.
pub const KEY_FILE: &str = "relay.key";
/// What the file begins with, so that a later form can be told from this one.
const HEADER: &str = "chat relay key v1 ";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("cannot use the relay's key file {}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The file is not a key.
    #[error("{} is not a relay's key file", .path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
    },
    /// Others can read it.
    #[error("{} can be read by others (mode {mode:o})", .path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// The key in this data directory, made if there is none.
///
/// # Errors
///
/// If the file cannot be read, made or trusted. An unreadable key is never replaced: clients know
/// the relay by it.
pub fn load_or_create(data_dir: &Path) -> Result<StaticKey, KeyError> {
    let path = data_dir.join(KEY_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => read(&path, &Zeroizing::new(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = StaticKey::generate(&mut Entropy::system());
            write(data_dir, &key)?;
            Ok(key)
        }
        Err(error) => Err(KeyError::Io { path, error }),
    }
}

/// Makes this the relay's key.
///
/// # Errors
///
/// If it cannot be written.
pub fn write(data_dir: &Path, key: &StaticKey) -> Result<(), KeyError> {
    let path = data_dir.join(KEY_FILE);
    write_new(data_dir, &path, key).map_err(|error| KeyError::Io { path, error })
}

fn read(path: &Path, text: &str) -> Result<StaticKey, KeyError> {
    let path = || path.to_owned();
    let metadata = fs::metadata(path()).map_err(|error| KeyError::Io { path: path(), error })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path(), mode });
    }
    let hex = text.trim_end().strip_prefix(HEADER);
    let bytes = hex.and_then(|hex| HEXLOWER.decode(hex.as_bytes()).ok()).map(Zeroizing::new);
    let private = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
    private.map(StaticKey::from_bytes).ok_or_else(|| KeyError::Malformed { path: path() })
}

/// Complete and on the disk under its name, or not there at all: half a key would be a new relay
/// that nobody trusts.
fn write_new(data_dir: &Path, path: &Path, key: &StaticKey) -> io::Result<()> {
    let temporary = data_dir.join("relay.key.new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    let text = Zeroizing::new(format!("{HEADER}{}\n", HEXLOWER.encode(&*key.to_bytes())));
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(data_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stays_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let made = load_or_create(dir.path()).unwrap();
        let read = load_or_create(dir.path()).unwrap();
        assert_eq!(made.relay_key(), read.relay_key());
        let permissions = fs::metadata(dir.path().join(KEY_FILE)).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_or_exposed_key_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        load_or_create(dir.path()).unwrap();
        let path = dir.path().join(KEY_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(load_or_create(dir.path()), Err(KeyError::Exposed { mode: 0o644, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "chat relay key v1 abcd\n").unwrap();
        assert!(matches!(load_or_create(dir.path()), Err(KeyError::Malformed { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "chat relay key v1 abcd\n");
    }
}
