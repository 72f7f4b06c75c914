//! A small file by which programs on this machine find the relay: its address, key and process.
//! Removed when the relay stops; a file left by a crash is recognised by its dead process.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use protocol::invitation::Invitation;

/// The file of a running relay.
#[derive(Debug)]
pub struct RuntimeFile {
    path: PathBuf,
}

impl RuntimeFile {
    /// Writes `chat-relay-PORT.json` into [`directory`].
    ///
    /// # Errors
    ///
    /// If it cannot be written. The relay works without it.
    pub fn write(address: SocketAddr, invitation: &Invitation) -> io::Result<Self> {
        Self::write_in(&directory()?, address, invitation)
    }

    fn write_in(dir: &Path, address: SocketAddr, invitation: &Invitation) -> io::Result<Self> {
        let path = dir.join(format!("chat-relay-{}.json", address.port()));
        let fingerprint = invitation.relay_key.fingerprint();
        let pid = std::process::id();
        // None of the values has a character that JSON would escape.
        let json = format!(
            "{{\"v\":1,\"tcp\":\"{address}\",\"key\":\"{fingerprint}\",\"invite\":\"{invitation}\",\
             \"pid\":{pid}}}\n"
        );
        let temporary = dir.join(format!(".chat-relay-{}.{pid}", address.port()));
        fs::write(&temporary, json)?;
        fs::rename(&temporary, &path)?;
        Ok(Self { path })
    }
}

impl Drop for RuntimeFile {
    fn drop(&mut self) {
        // It may have been replaced by a relay that started on the port since: leave that.
        let ours = format!("\"pid\":{}}}", std::process::id());
        if fs::read_to_string(&self.path).is_ok_and(|text| text.contains(&ours)) {
            // Nothing is lost if it stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// `$XDG_RUNTIME_DIR`, or a directory of our own below the temporary one. Nobody else can write
/// into either, or somebody could announce a false relay.
///
/// # Errors
///
/// If the directory cannot be made or is somebody else's.
pub fn directory() -> io::Result<PathBuf> {
    if let Some(dir) = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)
        && dir.is_absolute()
        && dir.is_dir()
    {
        return Ok(dir);
    }
    let uid = rustix::process::getuid().as_raw();
    let dir = std::env::temp_dir().join(format!("chat-{uid}"));
    match fs::DirBuilder::new().mode(0o700).create(&dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let metadata = fs::symlink_metadata(&dir)?;
    let for_others = metadata.mode() & 0o077;
    if metadata.is_dir() && metadata.uid() == uid && for_others == 0 {
        Ok(dir)
    } else {
        let message = format!("{} is not a private directory of this user", dir.display());
        Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
    }
}

#[cfg(test)]
mod tests {
    use protocol::{ids::RelayKey, invitation::RelayAddress};

    use super::*;

    #[test]
    fn it_is_there_while_the_relay_runs() {
        let dir = tempfile::tempdir().unwrap();
        let invitation = Invitation {
            address: RelayAddress::new("127.0.0.1", 7).unwrap(),
            relay_key: RelayKey([1; 32]),
            ticket: None,
        };
        let address = SocketAddr::from(([127, 0, 0, 1], 7));
        let file = RuntimeFile::write_in(dir.path(), address, &invitation).unwrap();
        let text = fs::read_to_string(dir.path().join("chat-relay-7.json")).unwrap();
        assert!(text.starts_with("{\"v\":1,\"tcp\":\"127.0.0.1:7\",\"key\":\""), "{text}");
        drop(file);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_successors_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chat-relay-7.json");
        fs::write(&path, "{\"pid\":1}").unwrap();
        drop(RuntimeFile { path: path.clone() });
        assert!(path.exists());
    }
}
