//! What sessions over datagrams do, in files: for people who look for the reason of something.
//!
//! Headers, sizes and times; never what anybody says. Files are written by the shard's own thread,
//! which waits for the disk meanwhile.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufWriter},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use protocol::{
    connection::datagram::Session,
    lab::{
        qlog::Vantage,
        session_trace::{EXTENSIONS, SessionTrace},
    },
    transport::{datagram::trace::Payloads, packet::ConnectionId},
};
use tracing::{info, warn};

/// Sessions that are traced at one time; those that come when there are more are not.
const SESSIONS_MAX: usize = 64;

/// The traces of one shard.
#[derive(Debug)]
pub(super) struct Tracer {
    directory: PathBuf,
    shard: u16,
    /// What the time of this relay counts from, since 1970.
    began: Duration,
    /// Traces begun so far.
    count: u64,
    sessions: BTreeMap<ConnectionId, Trace>,
}

type Trace = SessionTrace<BufWriter<File>>;

impl Tracer {
    pub(super) fn new(directory: PathBuf, shard: u16, began: Duration) -> Self {
        Self { directory, shard, began, count: 0, sessions: BTreeMap::new() }
    }

    /// What has to be recorded of sessions that may be traced, from their first packet on.
    pub(super) const RECORDS: Payloads = Payloads::Withheld;

    /// Begins the trace of a session of this relay's `local` address with a device at `peer`.
    pub(super) fn begin(
        &mut self,
        id: ConnectionId,
        session: &mut Session,
        [local, peer]: [SocketAddr; 2],
    ) {
        if self.sessions.len() == SESSIONS_MAX {
            warn!(limit = SESSIONS_MAX, %peer, "not traced: too many sessions are");
            session.record(None);
            return;
        }
        let name = format!("shard-{}-session-{}", self.shard, self.count);
        self.count += 1;
        let path = self.directory.join(name);
        match create(&path, [local, peer], self.began) {
            Ok(trace) => {
                info!(%peer, trace = %path.display(), "session is traced");
                self.sessions.insert(id, trace);
            }
            Err(error) => {
                warn!(%error, trace = %path.display(), "session is not traced");
                session.record(None);
            }
        }
    }

    /// Writes what a session has done meanwhile.
    pub(super) fn write(&mut self, id: ConnectionId, session: &mut Session) {
        let Some(trace) = self.sessions.get_mut(&id) else { return };
        if let Err(error) = trace.write(&session.take_trace()) {
            warn!(%error, "a trace ends here");
            session.record(None);
            self.sessions.remove(&id);
        }
    }

    /// The session is over: its trace is complete.
    pub(super) fn end(&mut self, id: ConnectionId) {
        let Some(mut trace) = self.sessions.remove(&id) else { return };
        if let Err(error) = trace.flush() {
            warn!(%error, "the end of a trace is missing");
        }
    }
}

/// New files that nobody else may read.
fn create(path: &Path, addresses: [SocketAddr; 2], began: Duration) -> io::Result<Trace> {
    let [qlog, pcapng] = EXTENSIONS.map(|extension| {
        let path = path.with_extension(extension);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        file.map(BufWriter::new)
    });
    Trace::new([qlog?, pcapng?], Vantage::Server, addresses, began)
}
