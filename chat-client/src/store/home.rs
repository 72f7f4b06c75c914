//! Where things lie: one folder with `--home`, or the places that the XDG rules name (P5).
//!
//! ```text
//!                  --home DIR        else
//!   config.toml    DIR/              $XDG_CONFIG_HOME/chat-client/
//!   keys/ *.db     DIR/              $XDG_DATA_HOME/chat-client/
//!   log            DIR/              $XDG_STATE_HOME/chat-client/
//!   run.sock       DIR/              $XDG_RUNTIME_DIR/chat-client/
//! ```
//!
//! Folders are 0700 and files 0600: `main` sets the umask, and what exists already is checked. One
//! process at a time owns a home; the others go through it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use etcetera::base_strategy::{BaseStrategy, Xdg};
use protocol::ids::{RelayKey, sha256};

/// The folder below each XDG place.
const FOLDER: &str = "chat-client";
/// What nobody else may do with our files.
const OTHERS: u32 = 0o077;
/// Longest path of a Unix socket that every system takes: `sun_path` is 104 bytes on some.
const SOCKET_PATH_BYTES_MAX: usize = 100;

/// The files of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    config: PathBuf,
    data: PathBuf,
    state: PathBuf,
    runtime: PathBuf,
}

/// Why a home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Neither `--home` nor the environment says where.
    #[error("no home directory: neither --home nor HOME is set")]
    Nowhere,
    /// The file system says no.
    #[error("{path}: {source}")]
    Io {
        /// Which path.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// Others could read our keys.
    #[error("{path} may be used by others (mode {mode:03o})")]
    Open {
        /// Which path.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A folder of somebody else's.
    #[error("{path} belongs to user {owner}, not to us")]
    NotOurs {
        /// Which path.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Another process owns it: go through its socket.
    #[error("another process uses this home")]
    InUse,
}

impl Home {
    /// Everything below one folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self {
            config: folder.clone(),
            data: folder.clone(),
            state: folder.clone(),
            runtime: folder,
        }
    }

    /// The places that the environment names.
    ///
    /// # Errors
    ///
    /// If there is no home directory.
    pub fn from_environment() -> Result<Self, HomeError> {
        let xdg = Xdg::new().map_err(|_| HomeError::Nowhere)?;
        let data = xdg.data_dir().join(FOLDER);
        let state = xdg.state_dir().map_or_else(|| data.clone(), |state| state.join(FOLDER));
        let runtime = xdg.runtime_dir().map_or_else(|| state.clone(), |run| run.join(FOLDER));
        Ok(Self { config: xdg.config_dir().join(FOLDER), data, state, runtime })
    }

    /// This folder if one is given (`--home`, `CHAT_HOME`), else the environment's places.
    ///
    /// # Errors
    ///
    /// If there is no home directory.
    pub fn choose(folder: Option<PathBuf>) -> Result<Self, HomeError> {
        folder.map_or_else(Self::from_environment, |folder| Ok(Self::at(folder)))
    }

    /// Makes the folders, closed to others, and checks those that exist.
    ///
    /// # Errors
    ///
    /// If one cannot be made, or is open to others.
    pub fn prepare(&self) -> Result<(), HomeError> {
        for folder in [&self.config, &self.data, &self.state, &self.runtime, &self.keys()] {
            private_folder(folder)?;
        }
        Ok(())
    }

    /// Becomes the one owner of this home until the value is dropped. Call [`Self::prepare`] first.
    ///
    /// # Errors
    ///
    /// [`HomeError::InUse`] if another process is.
    pub fn lock(&self) -> Result<OwnerLock, HomeError> {
        let path = self.data.join("lock");
        let error = |source| HomeError::Io { path: path.clone(), source };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(error)?;
        match file.try_lock() {
            Ok(()) => Ok(OwnerLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(HomeError::InUse),
            Err(TryLockError::Error(source)) => Err(error(source)),
        }
    }

    /// The configuration file; it need not exist.
    pub fn config(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// The folder of keys.
    pub fn keys(&self) -> PathBuf {
        self.data.join("keys")
    }

    /// The folder of this installation's data, where profiles have their files.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The folder of what lasts no longer than a process.
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// The folder of what this device is to one relay.
    pub fn keys_for(&self, relay: RelayKey) -> PathBuf {
        self.keys().join(relay.fingerprint().to_string())
    }

    /// History, outbox and everything else about one relay that is not a key.
    pub fn database_for(&self, relay: RelayKey) -> PathBuf {
        self.data.join(format!("{}.db", relay.fingerprint()))
    }

    /// Which relays are trusted and where they were met.
    pub fn relays(&self) -> PathBuf {
        self.data.join("relays.toml")
    }

    /// What the screen looked like.
    pub fn layout(&self) -> PathBuf {
        self.state.join("layout.toml")
    }

    /// The log.
    pub fn log(&self) -> PathBuf {
        self.state.join("chat.log")
    }

    /// Where the owner listens for other processes of this home.
    ///
    /// A path that is too long for a socket is replaced by a short one below the runtime folder of
    /// the user, or the temporary folder, named after the long one.
    pub fn socket(&self) -> PathBuf {
        let path = self.runtime.join("run.sock");
        if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            return path;
        }
        let digest = sha256(&[path.as_os_str().as_encoded_bytes()]);
        let name = data_encoding::HEXLOWER.encode(&digest[..8]);
        let folder = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        folder.unwrap_or_else(std::env::temp_dir).join(format!("chat-{name}.sock"))
    }
}

/// While this lives, no other process owns the home. The system releases it with the process,
/// however that ends.
#[derive(Debug)]
pub struct OwnerLock {
    _file: File,
}

pub(super) fn private_folder(path: &Path) -> Result<(), HomeError> {
    let error = |source| HomeError::Io { path: path.to_owned(), source };
    if !path.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(error)?;
        // Given by hand as well: a umask may only take away, and who calls us may have set none.
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(error)?;
    }
    let metadata = fs::metadata(path).map_err(error)?;
    let (mode, owner) = (metadata.mode() & 0o777, metadata.uid());
    if owner != rustix::process::geteuid().as_raw() {
        return Err(HomeError::NotOurs { path: path.to_owned(), owner });
    }
    if mode & OTHERS != 0 {
        return Err(HomeError::Open { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_folder_holds_everything_and_is_closed_to_others() {
        let temp = tempfile::tempdir().expect("a folder");
        let home = Home::at(temp.path().join("new"));
        home.prepare().expect("it is made");
        for path in [home.keys(), home.data().to_owned()] {
            let mode = fs::metadata(&path).expect("it exists").mode() & 0o777;
            assert_eq!(mode, 0o700, "{}", path.display());
        }
        assert!(home.database_for(RelayKey([1; 32])).starts_with(temp.path()));
        assert!(home.config().starts_with(temp.path()));
        home.prepare().expect("twice is fine");
    }

    #[test]
    fn a_folder_that_others_may_read_is_refused() {
        let temp = tempfile::tempdir().expect("a folder");
        let home = Home::at(temp.path().join("new"));
        home.prepare().expect("it is made");
        fs::set_permissions(home.keys(), fs::Permissions::from_mode(0o750)).expect("ours");
        assert!(matches!(home.prepare(), Err(HomeError::Open { mode: 0o750, .. })));
    }

    #[test]
    fn a_home_has_one_owner_at_a_time() {
        let temp = tempfile::tempdir().expect("a folder");
        let home = Home::at(temp.path().join("new"));
        home.prepare().expect("it is made");
        let lock = home.lock().expect("nobody owns it");
        assert!(matches!(home.lock(), Err(HomeError::InUse)));
        drop(lock);
        home.lock().expect("free again");
    }

    #[test]
    fn a_long_home_gets_a_short_socket_of_its_own() {
        let long = |name: &str| Home::at(format!("/{}/{name}", "long".repeat(40)));
        let socket = long("a").socket();
        assert!(socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX);
        assert_eq!(socket, long("a").socket());
        assert_ne!(socket, long("b").socket());
    }
}
