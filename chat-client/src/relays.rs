//! Which relays this profile trusts, where they were seen, and which was used last: one small file
//! in the home, replaced as a whole.
//!
//! A relay is its key. Addresses and names are only where and how it was met, so meeting another
//! key at a known address adds nothing and replaces nothing by itself.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use protocol::{
    ids::{Fingerprint, RelayKey},
    invitation::RelayAddress,
    time::WallTime,
};
use serde::{Deserialize, Serialize};

/// Most addresses kept for one relay; the oldest goes first.
const ADDRESSES_MAX: usize = 8;

/// The relays of one profile, the one used last in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relays {
    path: PathBuf,
    known: Vec<KnownRelay>,
}

/// A relay that a person, or an invitation, vouched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownRelay {
    /// What it is.
    pub key: RelayKey,
    /// Its label for itself, last time; foreign text.
    pub name: String,
    /// Where it was met, the last place in front.
    pub addresses: Vec<RelayAddress>,
    /// When datagrams did not get there and a stream did, if that was so last time.
    pub datagrams_failed: Option<WallTime>,
}

impl Relays {
    /// Reads the file; a missing one is an empty one.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is not what this program wrote: going on would forget whom to
    /// trust.
    pub fn load(path: &Path) -> io::Result<Self> {
        let known = match fs::read_to_string(path) {
            Ok(text) => parse(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), known })
    }

    /// All of them, the one used last in front.
    pub fn all(&self) -> &[KnownRelay] {
        &self.known
    }

    /// The one used last.
    pub fn last_used(&self) -> Option<&KnownRelay> {
        self.known.first()
    }

    /// The relay with this key.
    pub fn by_key(&self, key: RelayKey) -> Option<&KnownRelay> {
        self.known.iter().find(|relay| relay.key == key)
    }

    /// The relay with this fingerprint.
    pub fn by_fingerprint(&self, fingerprint: Fingerprint) -> Option<&KnownRelay> {
        self.known.iter().find(|relay| relay.key.fingerprint() == fingerprint)
    }

    /// The relay last met at this address.
    pub fn by_address(&self, address: &RelayAddress) -> Option<&KnownRelay> {
        self.known.iter().find(|relay| relay.addresses.contains(address))
    }

    /// Trusts a relay, or notes that it was met here again; it is the one used last from now on.
    /// Writes the file only if something changed.
    ///
    /// # Errors
    ///
    /// If the file cannot be written; nothing has changed then.
    pub fn remember(
        &mut self,
        key: RelayKey,
        name: &str,
        addresses: &[RelayAddress],
    ) -> io::Result<()> {
        let mut known = self.known.clone();
        let position = known.iter().position(|relay| relay.key == key);
        let mut relay = position.map_or_else(
            || KnownRelay {
                key,
                name: String::new(),
                addresses: Vec::new(),
                datagrams_failed: None,
            },
            |position| known.remove(position),
        );
        if !name.is_empty() {
            name.clone_into(&mut relay.name);
        }
        for address in addresses.iter().rev() {
            relay.addresses.retain(|kept| kept != address);
            relay.addresses.insert(0, address.clone());
        }
        relay.addresses.truncate(ADDRESSES_MAX);
        known.insert(0, relay);
        self.replace(known)
    }

    /// Notes when datagrams failed to get to a relay, or that they got there.
    ///
    /// # Errors
    ///
    /// If the file cannot be written; nothing has changed then.
    pub fn note_datagrams(&mut self, key: RelayKey, failed: Option<WallTime>) -> io::Result<()> {
        let mut known = self.known.clone();
        for relay in known.iter_mut().filter(|relay| relay.key == key) {
            relay.datagrams_failed = failed;
        }
        self.replace(known)
    }

    /// Forgets a relay; says whether it was known.
    ///
    /// # Errors
    ///
    /// If the file cannot be written; nothing has changed then.
    pub fn forget(&mut self, fingerprint: Fingerprint) -> io::Result<bool> {
        let mut known = self.known.clone();
        known.retain(|relay| relay.key.fingerprint() != fingerprint);
        let was_known = known.len() < self.known.len();
        self.replace(known)?;
        Ok(was_known)
    }

    fn replace(&mut self, known: Vec<KnownRelay>) -> io::Result<()> {
        if known == self.known {
            return Ok(());
        }
        let file = File { v: 1, relays: known.iter().map(Row::from).collect() };
        let text = toml::to_string(&file).map_err(io::Error::other)?;
        // A crash leaves the old file or the new one, never half of either.
        let temporary = self.path.with_extension(format!("{}.tmp", std::process::id()));
        let mut written = fs::File::create(&temporary)?;
        written.write_all(text.as_bytes())?;
        written.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        self.known = known;
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    v: u32,
    #[serde(default)]
    relays: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    key: String,
    name: String,
    addresses: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    datagrams_failed: Option<WallTime>,
}

impl From<&KnownRelay> for Row {
    fn from(relay: &KnownRelay) -> Self {
        Self {
            key: HEXLOWER.encode(&relay.key.0),
            name: relay.name.clone(),
            addresses: relay.addresses.iter().map(ToString::to_string).collect(),
            datagrams_failed: relay.datagrams_failed,
        }
    }
}

fn parse(text: &str) -> io::Result<Vec<KnownRelay>> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let file: File = toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
    if file.v != 1 {
        return Err(invalid(format!("version {} is newer than this build knows", file.v)));
    }
    let relay = |row: Row| {
        let key = HEXLOWER.decode(row.key.as_bytes()).ok().and_then(|key| key.try_into().ok());
        let key = key.ok_or_else(|| invalid(format!("{:?} is no key", row.key)))?;
        let addresses = row.addresses.iter().filter_map(|address| address.parse().ok()).collect();
        let Row { name, datagrams_failed, .. } = row;
        Ok(KnownRelay { key: RelayKey(key), name, addresses, datagrams_failed })
    };
    file.relays.into_iter().map(relay).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> RelayAddress {
        text.parse().expect("an address")
    }

    #[test]
    fn what_is_remembered_is_there_again_and_in_front() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("relays.toml");
        let mut relays = Relays::load(&path).expect("a missing file is empty");
        assert_eq!(relays.last_used(), None);
        relays.remember(RelayKey([1; 32]), "one", &[address("a:1")]).expect("writable");
        relays.remember(RelayKey([2; 32]), "two", &[address("b:1")]).expect("writable");
        relays.remember(RelayKey([1; 32]), "", &[address("c:1")]).expect("writable");

        let relays = Relays::load(&path).expect("what we wrote");
        let first = relays.last_used().expect("there are two");
        assert_eq!((first.key, first.name.as_str()), (RelayKey([1; 32]), "one"));
        assert_eq!(first.addresses, [address("c:1"), address("a:1")]);
        assert_eq!(relays.by_address(&address("b:1")).map(|r| r.key), Some(RelayKey([2; 32])));
    }

    #[test]
    fn that_datagrams_failed_is_kept_until_they_get_through() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("relays.toml");
        let key = RelayKey([1; 32]);
        let mut relays = Relays::load(&path).expect("a missing file is empty");
        relays.remember(key, "one", &[address("a:1")]).expect("writable");
        for failed in [Some(WallTime::from_millis(5)), None] {
            relays.note_datagrams(key, failed).expect("writable");
            relays.remember(key, "one", &[address("b:1")]).expect("writable");
            let kept = Relays::load(&path).expect("what we wrote");
            assert_eq!(kept.by_key(key).map(|relay| relay.datagrams_failed), Some(failed));
        }
    }

    #[test]
    fn a_forgotten_relay_is_gone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("relays.toml");
        let mut relays = Relays::load(&path).expect("a missing file is empty");
        let key = RelayKey([1; 32]);
        relays.remember(key, "one", &[]).expect("writable");
        assert!(relays.forget(key.fingerprint()).expect("writable"));
        assert!(!relays.forget(key.fingerprint()).expect("writable"));
        assert!(Relays::load(&path).expect("what we wrote").all().is_empty());
    }

    #[test]
    fn addresses_are_bounded() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut relays = Relays::load(&dir.path().join("relays.toml")).expect("empty");
        for port in 1..=ADDRESSES_MAX + 1 {
            let address = address(&format!("a:{port}"));
            relays.remember(RelayKey([1; 32]), "one", &[address]).expect("writable");
        }
        assert_eq!(relays.all()[0].addresses.len(), ADDRESSES_MAX);
    }

    #[test]
    fn a_damaged_file_is_not_taken_for_an_empty_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("relays.toml");
        let no_key = "v = 1
[[relays]]
key = 'zz'
name = ''
addresses = []";
        for damaged in ["[", "v = 2", no_key] {
            fs::write(&path, damaged).expect("writable");
            assert!(Relays::load(&path).is_err(), "{damaged}");
        }
    }
}
