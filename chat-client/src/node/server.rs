//! The owner's side of `run.sock`: lets other commands of this home, and nobody else, use its
//! engine.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use protocol::ids::RelayKey;
use tokio::{
    io::BufReader,
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
};

use super::{
    call::{Answer, Call, CallError, Event},
    handle::{CALLS_MAX, EVENTS_MAX, Pending},
    line_codec::{
        CALL_BYTES_MAX, CallLine, GuestHello, OwnerHello, OwnerLine, SOCKET_VERSION, read_line,
        write_line,
    },
};

/// How long to leave the listener alone after an error, so that it cannot eat the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The listening socket; its file goes when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Listens. The caller holds the home's lock, so a socket file that is there already belongs to
    /// a process that has died.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// The next guest of the same user; others are closed without a word.
    ///
    /// # Cancel safety
    ///
    /// No guest is lost.
    pub(super) async fn accept(&self) -> UnixStream {
        loop {
            // An error here is the guest's, who is gone already, or a lack of file descriptors,
            // which passes.
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let ours = rustix::process::geteuid().as_raw();
            if stream.peer_cred().is_ok_and(|peer| peer.uid() == ours) {
                return stream;
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // If it fails, the next owner removes it.
        let _ = fs::remove_file(&self.path);
    }
}

/// What a guest task needs of the owner.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) calls: mpsc::Sender<Pending>,
    pub(super) subscriptions: mpsc::Sender<mpsc::Sender<Event>>,
    pub(super) relay: RelayKey,
}

/// Serves one guest until it goes or the owner does.
pub(super) async fn serve(stream: UnixStream, host: Host) {
    // A guest that breaks the protocol is dropped; its own report says why.
    let _ = Guest { host }.run(stream).await;
}

struct Guest {
    host: Host,
}

impl Guest {
    async fn run(self, stream: UnixStream) -> io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let mut partial = Vec::new();
        let hello: Option<GuestHello> =
            read_line(&mut reader, &mut partial, CALL_BYTES_MAX).await?;
        let Some(hello) = hello else { return Ok(()) };
        let ours = OwnerHello {
            v: SOCKET_VERSION,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            relay: self.host.relay,
        };
        write_line(&mut writer, &ours).await?;
        let mut events = self.subscribe(hello.events).await;
        let mut answers = FuturesUnordered::new();
        loop {
            let line = tokio::select! {
                call = read_line(&mut reader, &mut partial, CALL_BYTES_MAX),
                    if answers.len() < CALLS_MAX =>
                {
                    let Some(CallLine { id, call }) = call? else { return Ok(()) };
                    let (answer, answered) = oneshot::channel();
                    if matches!(call, Call::Impair { .. }) {
                        let why = "another program of this home has the connection: type it there";
                        // The other end is at hand.
                        let _ = answer.send(Err(CallError::Invalid { why: why.to_owned() }));
                    } else if self.host.calls.send(Pending { call, answer }).await.is_err() {
                        return Ok(());
                    }
                    answers.push(answered_line(id, answered));
                    continue;
                }
                Some(line) = answers.next() => line,
                Some(event) = events.recv() => OwnerLine::Event(event),
            };
            write_line(&mut writer, &line).await?;
        }
    }

    async fn subscribe(&self, wanted: bool) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        if wanted {
            // The owner ends: then the calls end, too, and with them this task.
            let _ = self.host.subscriptions.send(sender).await;
        }
        receiver
    }
}

async fn answered_line(
    id: u64,
    answered: oneshot::Receiver<Result<Answer, CallError>>,
) -> OwnerLine {
    match answered.await.unwrap_or(Err(CallError::OwnerGone)) {
        Ok(answer) => OwnerLine::Answer { id, answer },
        Err(error) => OwnerLine::Error { id, error },
    }
}
