//! What happened, in files that other tools read.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, BufWriter},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use protocol::{
    lab::{
        experiment::{Run, Traffic},
        pcapng::Pcapng,
        qlog::{Qlog, Vantage},
        scenario::{Recorded, Strategy},
        session_trace::{self, EXTENSIONS},
    },
    transport::datagram::trace::{Event, Payloads},
};

use crate::report::Failure;

/// Addresses of an experiment's two ends: some that are nobody's (RFC 5737).
const ADDRESSES: [SocketAddr; 2] = {
    let client = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 50_000);
    let relay = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 4_545);
    [client, relay]
};

/// A directory for the traces of one scenario.
#[derive(Debug)]
pub struct Traces {
    directory: PathBuf,
    title: String,
    payloads: Payloads,
}

impl Traces {
    /// Makes the directory, if it is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn new(directory: PathBuf, title: &str, payloads: Payloads) -> Result<Self, Failure> {
        make(&directory)?;
        Ok(Self { directory, title: title.to_owned(), payloads })
    }

    /// Whether what messages say is in them.
    pub const fn payloads(&self) -> Payloads {
        self.payloads
    }

    /// Writes the trace of a run: as its sender saw it, and for a session of ours as each end did that
    /// is on this host.
    ///
    /// # Errors
    ///
    /// If a file is there already or cannot be written.
    pub fn write(
        &self,
        strategy: Strategy,
        recorded: &Recorded,
        traffic: &Traffic,
    ) -> Result<(), Failure> {
        let Recorded { run, sender, receiver } = recorded;
        let written = match sender {
            Some(sender) => self.sessions(strategy, sender, receiver.as_deref()),
            None => self.run(strategy, run, traffic),
        };
        written
            .map_err(|(path, error)| Failure::io(format!("cannot write {}", path.display()), error))
    }

    fn run(
        &self,
        strategy: Strategy,
        run: &Run,
        traffic: &Traffic,
    ) -> Result<(), (PathBuf, io::Error)> {
        self.file(format!("{strategy}.sqlog"), |file| {
            let mut qlog = Qlog::new(file, &self.title(strategy), Vantage::Client)?;
            run.events.iter().try_for_each(|it| qlog.experiment(it, traffic))?;
            qlog.flush()
        })
    }

    fn sessions(
        &self,
        strategy: Strategy,
        client: &[Event],
        relay: Option<&[Event]>,
    ) -> Result<(), (PathBuf, io::Error)> {
        let relay = relay.map(|events| ("relay", Vantage::Server, events));
        let ends = [Some(("client", Vantage::Client, client)), relay];
        for (name, vantage, events) in ends.into_iter().flatten() {
            self.file(format!("{strategy}.{name}.sqlog"), |file| {
                let mut qlog = Qlog::new(file, &self.title(strategy), vantage)?;
                events.iter().try_for_each(|event| qlog.session(event))?;
                qlog.flush()
            })?;
        }
        self.file(format!("{strategy}.pcapng"), |file| {
            let mut pcapng = Pcapng::new(file, Vantage::Client, ADDRESSES, Duration::ZERO)?;
            client.iter().try_for_each(|event| pcapng.session(event))?;
            pcapng.flush()
        })
    }

    fn title(&self, strategy: Strategy) -> String {
        format!("{}: {strategy}", self.title)
    }

    fn file(
        &self,
        name: String,
        write: impl FnOnce(BufWriter<File>) -> io::Result<()>,
    ) -> Result<(), (PathBuf, io::Error)> {
        let path = self.directory.join(name);
        create(&path).and_then(|file| write(BufWriter::new(file))).map_err(|error| (path, error))
    }
}

/// Where the sessions of one process with its relay are traced.
#[derive(Debug)]
pub struct Sessions {
    directory: PathBuf,
    payloads: Payloads,
    /// Begun so far.
    count: u32,
}

/// The trace of one session, while it lasts.
pub type SessionTrace = session_trace::SessionTrace<BufWriter<File>>;

impl Sessions {
    /// Makes the directory, if it is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn new(directory: PathBuf, payloads: Payloads) -> Result<Self, Failure> {
        make(&directory)?;
        Ok(Self { directory, payloads, count: 0 })
    }

    /// Whether what messages say is in it.
    pub const fn payloads(&self) -> Payloads {
        self.payloads
    }

    /// Begins the trace of a session between these addresses, ours first, that began at `began` since
    /// 1970.
    ///
    /// # Errors
    ///
    /// If its files cannot be written.
    pub fn begin(
        &mut self,
        addresses: [SocketAddr; 2],
        began: Duration,
    ) -> io::Result<SessionTrace> {
        let name = format!("{}-{}", std::process::id(), self.count);
        self.count += 1;
        let [qlog, pcapng] = EXTENSIONS.map(|extension| {
            let path = self.directory.join(&name).with_extension(extension);
            create(&path).map(BufWriter::new)
        });
        SessionTrace::new([qlog?, pcapng?], Vantage::Client, addresses, began)
    }
}

/// Makes a directory that nobody else may look into.
fn make(directory: &Path) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| Failure::io(format!("cannot make {}", directory.display()), error))
}

/// A new file that nobody else may read.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
