//! The data directory: which files are in it, who may read them, and that only one relay uses it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::store::StoreError;

/// Where a store lives.
#[derive(Clone, Debug)]
pub(super) struct DataDir(PathBuf);

impl DataDir {
    /// Creates the directory, if it is missing, for its owner alone.
    pub(super) fn create(path: &Path) -> Result<Self, StoreError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(path).map_err(failed(path))?;
        Ok(Self(path.to_owned()))
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.0.join("journal.db")
    }

    pub(super) fn tables(&self) -> PathBuf {
        self.0.join("tables.db")
    }

    /// Where a restored file stands until it is whole.
    pub(super) fn partial(&self) -> PathBuf {
        self.0.join("tables.partial")
    }

    /// Keeps every other relay out until the file is dropped; the kernel lets go of it also when
    /// this process is killed.
    pub(super) fn lock(&self) -> Result<File, StoreError> {
        let path = self.0.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(self.0.display().to_string())),
            Err(TryLockError::Error(error)) => Err(failed(&path)(error)),
        }
    }

    /// True if a store was ever opened here.
    pub(super) fn is_used(&self) -> bool {
        self.journal().exists() || self.tables().exists()
    }

    /// Removes the store, which a failed restore left unfinished.
    pub(super) fn discard_store(&self) {
        for name in ["journal.db", "journal.db-wal", "journal.db-shm", "tables.db"] {
            discard(&self.0.join(name));
        }
        discard(&self.partial());
    }

    /// Makes the names of new files durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        sync_dir(&self.0)
    }
}

/// Makes sure that `path` exists and that only its owner reads it: `SQLite` would create it as the
/// umask says, and gives its companion files the same mode.
pub(super) fn ensure_private(path: &Path) -> Result<(), StoreError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(failed(path))
}

/// Creates an empty file for its owner alone, where none is.
pub(super) fn create_private(path: &Path) -> Result<(), StoreError> {
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(failed(path))
}

/// Makes a finished file durable, and its name.
pub(super) fn sync_file(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(failed(path))?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        Some(_) | None => sync_dir(Path::new(".")),
    }
}

/// Removes what a failed attempt left; that it failed is reported already.
pub(super) fn discard(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "an unfinished file remains");
    }
}

/// An error of the operating system about `path`.
pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError::Failed(format!("{}: {error}", path.display()))
}

fn sync_dir(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(failed(path))
}
