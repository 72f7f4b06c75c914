//! The real client as a child process, driven by its headless commands.

use std::{
    ffi::OsStr,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
};

use protocol::invitation::Invitation;
use serde::Deserialize;

use crate::loopback::Loopback;

/// A person with a home directory and a way to the relay.
#[derive(Clone, Debug)]
pub struct Chat {
    binary: PathBuf,
    /// The network the person is in, unless ours.
    within: Option<Arc<Loopback>>,
    home: PathBuf,
    /// The flags that lead to the relay.
    way: Vec<String>,
    name: String,
}

/// One line of `history --json` or `tail --json`, as far as tests look at it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Line {
    /// Schema version.
    pub v: u32,
    /// Which conversation.
    pub conversation: String,
    /// Its place.
    pub seq: u64,
    /// The sending device; absent for what the relay wrote.
    pub device: Option<String>,
    /// The device's number for it.
    pub counter: Option<u64>,
    /// What kind of record.
    pub kind: String,
    /// The words; absent for what has none.
    #[serde(default)]
    pub text: Option<String>,
}

impl Chat {
    /// The client that was built together with the running program.
    ///
    /// # Errors
    ///
    /// If it was not; the error says how to.
    pub fn binary() -> io::Result<PathBuf> {
        let here = std::env::current_exe()?;
        let name = format!("chat-client{}", std::env::consts::EXE_SUFFIX);
        let mut directories = here.ancestors().skip(1).take(2);
        directories.find_map(|dir| Some(dir.join(&name)).filter(|path| path.is_file())).ok_or_else(
            || io::Error::other("no chat-client beside this test; `cargo build -p chat-client`"),
        )
    }

    /// A person called `name` whose state is in `home`, at the relay with this address and key
    /// fingerprint.
    ///
    /// # Errors
    ///
    /// If there is no client to run.
    pub fn new(
        home: impl AsRef<Path>,
        relay: SocketAddr,
        key: &str,
        name: &str,
    ) -> io::Result<Self> {
        Ok(Self {
            binary: Self::binary()?,
            within: None,
            home: home.as_ref().to_owned(),
            way: vec!["--relay".into(), relay.to_string(), "--trust".into(), key.to_owned()],
            name: name.to_owned(),
        })
    }

    /// A person who was invited, and goes there by this `--transport`.
    ///
    /// # Errors
    ///
    /// If there is no client to run.
    pub fn invited(
        home: impl AsRef<Path>,
        invitation: &Invitation,
        transport: &str,
        name: &str,
    ) -> io::Result<Self> {
        let invitation = invitation.to_string();
        let way = ["--transport", transport, "--relay", &invitation].map(str::to_owned).into();
        let home = home.as_ref().to_owned();
        Ok(Self { binary: Self::binary()?, within: None, home, way, name: name.to_owned() })
    }

    /// The same person by this `--transport`: what cuts streams needs people who use them.
    #[must_use]
    pub fn by(self, transport: &str) -> Self {
        let mut way = self.way;
        way.extend(["--transport", transport].map(str::to_owned));
        Self { way, ..self }
    }

    /// The same person with another invitation.
    #[must_use]
    pub fn with_invitation(self, invitation: &Invitation) -> Self {
        let mut way = self.way;
        if let Some(relay) = way.iter().position(|word| word == "--relay") {
            way[relay + 1] = invitation.to_string();
        }
        Self { way, ..self }
    }

    /// The same person in a network of its own.
    #[must_use]
    pub fn within(self, network: Arc<Loopback>) -> Self {
        Self { within: Some(network), ..self }
    }

    /// The same person with another program, such as a script that runs the client.
    #[must_use]
    pub fn with_binary(self, binary: PathBuf) -> Self {
        Self { binary, ..self }
    }

    /// The same person with what is in another home.
    #[must_use]
    pub fn with_home(self, home: PathBuf) -> Self {
        Self { home, ..self }
    }

    /// The person's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The person's home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A command of this person, not started yet.
    pub fn command<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Command {
        let mut command = match &self.within {
            Some(network) => network.command(&self.binary),
            None => Command::new(&self.binary),
        };
        command
            .args(arguments)
            .arg("--home")
            .arg(&self.home)
            .args(&self.way)
            .args(["--name", &self.name])
            .env_remove("CHAT_HOME")
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
        &self,
        arguments: I,
    ) -> io::Result<Output> {
        self.command(arguments).output()
    }

    /// Starts a command that reads `input`, with a thread that feeds it.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn feed<I, S>(&self, arguments: I, input: String) -> io::Result<Child>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().expect("stdin is piped");
        // Ends when everything is written or the child is gone.
        std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        Ok(child)
    }

    /// The newest `count` records of a conversation, oldest first.
    ///
    /// # Errors
    ///
    /// If the command fails or prints something else.
    pub fn history(&self, target: &str, count: usize) -> io::Result<Vec<Line>> {
        let output = self.run(["history", target, "--json", "-n", &count.to_string()])?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        output
            .stdout
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).map_err(io::Error::other))
            .collect()
    }
}
