//! The real relay as a child process: started on a free port, killed, started again on its data.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use protocol::{invitation::Invitation, transport::TransportKind};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use crate::{client::RelayEndpoint, loopback::Loopback};

/// How long a relay may take to say that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a relay may take to stop after a signal.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// Lines of a failed relay's log that are shown.
const LOG_LINES_SHOWN: usize = 20;

/// Why a relay process is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The operating system said no.
    #[error("relay process: {0}")]
    Io(#[from] io::Error),
    /// There is no relay to start.
    #[error("no relay at {path}; build it with `{build}`")]
    NotBuilt {
        /// Where it was expected.
        path: PathBuf,
        /// What makes it.
        build: &'static str,
    },
    /// It ended, or did not get ready in time.
    #[error("the relay did not get ready; the end of its log:\n{log}")]
    NotReady {
        /// The last lines it wrote to stderr.
        log: String,
    },
    /// Its first line is not what was agreed.
    #[error("the relay's first line is not a ready line: {0:?}")]
    BadReadyLine(String),
    /// It is still there long after it was told to stop.
    #[error("the relay did not stop")]
    DidNotStop,
}

/// How to start a relay.
#[derive(Clone, Debug)]
pub struct RelayOptions {
    /// The program.
    pub binary: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The network it runs in, unless ours.
    pub within: Option<Arc<Loopback>>,
    /// Where its data lives.
    pub data_dir: PathBuf,
    /// Arguments besides address and data directory.
    pub arguments: Vec<String>,
    /// Settings by environment, `CHAT_SERVER__SECTION__KEY`.
    pub settings: Vec<(String, String)>,
}

impl RelayOptions {
    /// A relay on a free port of the loopback, without further settings.
    pub fn new(binary: impl Into<PathBuf>, data_dir: impl Into<PathBuf>) -> Self {
        let (binary, data_dir) = (binary.into(), data_dir.into());
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (within, arguments, settings) = (None, Vec::new(), Vec::new());
        Self { binary, listen, within, data_dir, arguments, settings }
    }
}

/// The relay's program that was built together with the running one.
///
/// # Errors
///
/// If it was not: [`ProcessError::NotBuilt`] says how to.
pub fn relay_binary() -> Result<PathBuf, ProcessError> {
    let here = std::env::current_exe()?;
    // Test binaries stand one directory deeper, in `deps`.
    let directories = here.ancestors().skip(1).take(2);
    let name = format!("chat-server{}", std::env::consts::EXE_SUFFIX);
    if let Some(found) = directories.map(|dir| dir.join(&name)).find(|path| path.is_file()) {
        return Ok(found);
    }
    let build = if cfg!(debug_assertions) {
        "cargo build -p chat-server"
    } else {
        "cargo build --release -p chat-server"
    };
    Err(ProcessError::NotBuilt { path: here.with_file_name(name), build })
}

/// What the relay says on its first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Where it listens.
    pub tcp: SocketAddr,
    /// Fingerprint of its key.
    pub key: String,
    /// What to give to people.
    pub invite: Invitation,
}

impl Ready {
    /// Reads `ready tcp=ADDR:PORT key=FINGERPRINT invite=LINK`; further fields are allowed.
    fn parse(line: &str) -> Option<Self> {
        let fields = line.trim_end().strip_prefix("ready ")?;
        let field = |name: &str| {
            fields.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        Some(Self {
            tcp: field("tcp")?.parse().ok()?,
            key: field("key")?.to_owned(),
            invite: field("invite")?.parse().ok()?,
        })
    }
}

/// A running relay. Dropping it kills it.
#[derive(Debug)]
pub struct RelayProcess {
    child: Child,
    ready: Ready,
    ready_after: Duration,
}

impl RelayProcess {
    /// Starts a relay on a free port and waits until it is ready.
    ///
    /// # Errors
    ///
    /// If it does not get there; the error shows the end of its log.
    pub fn start(options: &RelayOptions) -> Result<Self, ProcessError> {
        fs::create_dir_all(&options.data_dir)?;
        let log = options.data_dir.join("stderr.log");
        let begun = Instant::now();
        let mut command = match &options.within {
            Some(network) => network.command(&options.binary),
            None => Command::new(&options.binary),
        };
        let mut child = command
            .args(["--listen", &options.listen.to_string(), "--data-dir"])
            .arg(&options.data_dir)
            .args(&options.arguments)
            .envs(options.settings.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(&log)?)
            .spawn()?;
        let line = child.stdout.take().and_then(first_line);
        let ready_after = begun.elapsed();
        let ready = match line {
            Some(line) => Ready::parse(&line).ok_or(ProcessError::BadReadyLine(line)),
            None => Err(ProcessError::NotReady { log: last_lines(&log) }),
        };
        match ready {
            Ok(ready) => Ok(Self { child, ready, ready_after }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    /// What it said when it was ready.
    pub const fn ready(&self) -> &Ready {
        &self.ready
    }

    /// The time from starting the process to its ready line.
    pub const fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Where to reach it over TCP, and who it has to be. Over UDP it has the same port.
    pub const fn endpoint(&self) -> RelayEndpoint {
        let key = self.ready.invite.relay_key;
        RelayEndpoint { address: self.ready.tcp, key, transport: TransportKind::Stream }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once (`SIGKILL`) and waits until it is gone.
    ///
    /// # Errors
    ///
    /// If the operating system does not let us.
    pub fn kill(mut self) -> Result<(), ProcessError> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end (`SIGTERM`) and waits until it has.
    ///
    /// # Errors
    ///
    /// If it does not within half a minute.
    pub fn terminate(mut self) -> Result<ExitStatus, ProcessError> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).map_err(io::Error::from)?;
        let deadline = Instant::now() + STOP_WITHIN;
        // The standard library has no wait with a deadline.
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(ProcessError::DidNotStop)
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets this process and its children open as many files as the system allows.
///
/// # Errors
///
/// If the operating system does not let us.
pub fn allow_many_files() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

/// The first line of the child's output, if it comes in time. The rest is read and dropped, so
/// that the child never blocks on a full pipe.
fn first_line(stdout: ChildStdout) -> Option<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody waits for the second line.
            let _ = sender.send(line);
        }
    });
    receiver.recv_timeout(READY_WITHIN).ok()
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation() -> Invitation {
        let address = protocol::invitation::RelayAddress::new("h", 1).unwrap();
        Invitation { address, relay_key: protocol::ids::RelayKey([7; 32]), ticket: None }
    }

    #[test]
    fn a_ready_line_is_read_whatever_else_stands_in_it() {
        let invite = invitation();
        let line = format!("ready tcp=127.0.0.1:4545 udp=[::]:1 key=ab-cd invite={invite}\n");
        let ready = Ready::parse(&line).unwrap();
        assert_eq!(ready.tcp, SocketAddr::from(([127, 0, 0, 1], 4545)));
        assert_eq!(ready.key, "ab-cd");
        assert_eq!(ready.invite, invite);
        assert_eq!(Ready::parse("ready tcp=127.0.0.1:4545"), None);
        assert_eq!(Ready::parse("error: no"), None);
    }
}
