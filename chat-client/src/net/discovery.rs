//! Finding a relay that nobody named: one of this user's on this machine, or whatever listens on
//! the usual port here.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use protocol::{
    invitation::{DEFAULT_PORT, Invitation, RelayAddress},
    transport::packet::Beacon,
};
use serde::Deserialize;
use tokio::time::timeout;

use super::{
    AttemptError,
    race::{Attempt, DialError, resolve},
    tcp::Link,
};

/// How long whoever listens may take to say who they are.
pub(crate) const PROBE_TIME_MAX: Duration = Duration::from_secs(3);
/// Most relays that are asked whether they are there: a user has a handful.
const RELAYS_MAX: usize = 16;

/// What a relay writes into the runtime directory while it serves.
#[derive(Debug, Deserialize)]
struct RuntimeFile {
    v: u32,
    tcp: SocketAddr,
    invite: String,
    pid: i32,
}

/// A relay of this user that serves on this machine now. Only this user can write its runtime file,
/// so its key needs no other proof; that it answers shows that the file is not left over from one
/// that was killed.
pub async fn relay_of_this_user() -> Option<Invitation> {
    answering(&runtime_directories()).await
}

async fn answering(directories: &[PathBuf]) -> Option<Invitation> {
    for invitation in directories.iter().flat_map(|directory| relays_in(directory)) {
        let answers = probe(std::slice::from_ref(&invitation.address)).await;
        if answers.is_ok_and(|(_, beacon)| beacon.relay_key == invitation.relay_key) {
            return Some(invitation);
        }
    }
    None
}

fn runtime_directories() -> Vec<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let own = std::env::temp_dir().join(format!("chat-{uid}"));
    let xdg = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    xdg.into_iter().filter(|path| path.is_absolute()).chain([own]).collect()
}

/// What the runtime files of a directory say, the likeliest first.
fn relays_in(directory: &Path) -> Vec<Invitation> {
    let uid = rustix::process::geteuid().as_raw();
    let is_private = fs::symlink_metadata(directory).is_ok_and(|private| {
        private.is_dir() && private.uid() == uid && private.mode() & 0o022 == 0
    });
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    if !is_private {
        return Vec::new();
    }
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let is_ours = stem.is_some_and(|stem| stem.starts_with("chat-relay-"));
            is_ours && path.extension().is_some_and(|extension| extension == "json")
        })
        .collect();
    // The usual port first; the order of a directory means nothing.
    let usual = format!("chat-relay-{DEFAULT_PORT}.json");
    files.sort_by_key(|path| (!path.ends_with(&usual), path.clone()));
    files.iter().filter_map(|path| serving(path)).take(RELAYS_MAX).collect()
}

fn serving(path: &Path) -> Option<Invitation> {
    let file: RuntimeFile = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
    let process = rustix::process::Pid::from_raw(file.pid)?;
    if file.v != 1 || rustix::process::test_kill_process(process).is_err() {
        return None;
    }
    let invitation: Invitation = file.invite.parse().ok()?;
    let host = match file.tcp.ip() {
        ip if !ip.is_unspecified() => ip,
        // It listens everywhere, so also on loopback; a dual-stack socket also on IPv4.
        _ => Ipv4Addr::LOCALHOST.into(),
    };
    let address = RelayAddress::new(&host.to_string(), file.tcp.port()).ok()?;
    Some(Invitation { address, ..invitation })
}

/// The usual places on this machine.
pub fn usual_addresses() -> Vec<RelayAddress> {
    [Ipv4Addr::LOCALHOST.to_string(), Ipv6Addr::LOCALHOST.to_string()]
        .iter()
        .filter_map(|host| RelayAddress::new(host, DEFAULT_PORT).ok())
        .collect()
}

/// Asks whoever listens at one of `addresses` who they claim to be: a hint where a key may be,
/// never the truth.
///
/// # Errors
///
/// What went wrong at each address.
pub async fn probe(addresses: &[RelayAddress]) -> Result<(RelayAddress, Beacon), DialError> {
    let mut failed = DialError::default();
    for (name, address) in resolve(addresses, &mut failed).await {
        let outcome = match timeout(PROBE_TIME_MAX, Link::probe(address)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(AttemptError::TimedOut),
        };
        match outcome {
            Ok(beacon) => return Ok((name, beacon)),
            Err(why) => {
                failed.attempts.push(Attempt { name, address: Some(address), why });
            }
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use protocol::ids::RelayKey;

    use super::*;

    fn directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).expect("ours");
        directory
    }

    fn write(directory: &Path, port: u16, tcp: &str, pid: u32) {
        let key = RelayKey([u8::try_from(port % 250).expect("small"); 32]);
        let address = RelayAddress::new("relay.example.org", port).expect("valid");
        let invite = Invitation { address, relay_key: key, ticket: None };
        let json = format!(r#"{{"v":1,"tcp":"{tcp}","key":"x","invite":"{invite}","pid":{pid}}}"#);
        fs::write(directory.join(format!("chat-relay-{port}.json")), json).expect("writable");
    }

    #[test]
    fn a_serving_relay_is_found_at_an_address_that_works_here() {
        let directory = directory();
        write(directory.path(), 7, "[::]:7", std::process::id());
        let found = relays_in(directory.path()).remove(0);
        assert_eq!(found.address.to_string(), "127.0.0.1:7");
        assert_eq!(found.relay_key, RelayKey([7; 32]));
    }

    #[test]
    fn the_usual_port_comes_first() {
        let directory = directory();
        write(directory.path(), 7, "127.0.0.1:7", std::process::id());
        write(directory.path(), DEFAULT_PORT, "127.0.0.1:4545", std::process::id());
        let ports = relays_in(directory.path()).into_iter().map(|found| found.address.port());
        assert_eq!(ports.collect::<Vec<_>>(), [DEFAULT_PORT, 7]);
    }

    #[test]
    fn what_a_crash_left_behind_is_not_a_relay() {
        let directory = directory();
        let gone = std::process::Command::new("true").spawn().expect("true exists");
        let pid = gone.id();
        let mut gone = gone;
        gone.wait().expect("it ends");
        write(directory.path(), 7, "127.0.0.1:7", pid);
        assert_eq!(relays_in(directory.path()), []);
    }

    #[tokio::test]
    async fn a_file_whose_process_number_somebody_else_has_now_is_not_a_relay() {
        let directory = directory();
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        write(directory.path(), address.port(), &address.to_string(), std::process::id());
        assert_eq!(relays_in(directory.path()).len(), 1);
        assert_eq!(answering(&[directory.path().to_owned()]).await, None);
    }

    #[test]
    fn a_directory_that_others_can_write_is_not_believed() {
        let directory = directory();
        write(directory.path(), 7, "127.0.0.1:7", std::process::id());
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("ours");
        assert_eq!(relays_in(directory.path()), []);
    }
}
