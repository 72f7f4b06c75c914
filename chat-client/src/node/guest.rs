//! The guest's side of `run.sock`: another process owns this home, and its engine serves us.

use std::{collections::BTreeMap, io, path::Path};

use protocol::ids::RelayKey;
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
};

use super::{
    call::{Answer, CallError, Event},
    handle::{CALLS_MAX, EVENTS_MAX, Handle, Pending},
    line_codec::{
        ANSWER_BYTES_MAX, CallLine, GuestHello, OwnerHello, OwnerLine, SOCKET_VERSION, read_line,
        write_line,
    },
};

/// Connects to the owner of a home and hands out a [`Handle`] to its engine. The task behind it
/// ends with the handle or with the owner.
///
/// # Errors
///
/// If nobody owns the home, somebody else's process does, or one of another version.
pub(super) async fn connect(path: &Path, events: bool) -> io::Result<(Handle, RelayKey)> {
    let stream = UnixStream::connect(path).await?;
    if stream.peer_cred()?.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "somebody else's process"));
    }
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    write_line(&mut writer, &GuestHello { v: SOCKET_VERSION, events }).await?;
    let mut partial = Vec::new();
    let hello: Option<OwnerHello> = read_line(&mut reader, &mut partial, ANSWER_BYTES_MAX).await?;
    let hello = hello.ok_or(io::ErrorKind::UnexpectedEof)?;
    if hello.v != SOCKET_VERSION {
        let why = format!("version {} of this program runs in this home", hello.version);
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    let (calls, pending) = mpsc::channel(CALLS_MAX);
    let (events_out, events) = mpsc::channel(EVENTS_MAX);
    let guest = Guest { writer, pending, events: events_out, waiting: BTreeMap::new(), next_id: 1 };
    tokio::spawn(guest.run(reader, partial));
    Ok((Handle::new(calls, events, None), hello.relay))
}

struct Guest {
    writer: OwnedWriteHalf,
    pending: mpsc::Receiver<Pending>,
    events: mpsc::Sender<Event>,
    waiting: BTreeMap<u64, oneshot::Sender<Result<Answer, CallError>>>,
    next_id: u64,
}

impl Guest {
    /// Ends when the handle is dropped or the stream ends; whoever still waits then is told that
    /// the owner has gone, because its sender is dropped here.
    async fn run(mut self, mut reader: BufReader<OwnedReadHalf>, mut partial: Vec<u8>) {
        loop {
            tokio::select! {
                pending = self.pending.recv() => {
                    let Some(pending) = pending else { break };
                    if self.forward(pending).await.is_err() {
                        break;
                    }
                }
                line = read_line(&mut reader, &mut partial, ANSWER_BYTES_MAX) => match line {
                    Ok(Some(line)) => self.on_line(line).await,
                    Ok(None) | Err(_) => break,
                }
            }
        }
        // The owner may be gone, and then there is nobody to say goodbye to.
        let _ = self.writer.shutdown().await;
    }

    async fn forward(&mut self, pending: Pending) -> io::Result<()> {
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.insert(id, pending.answer);
        write_line(&mut self.writer, &CallLine { id, call: pending.call }).await
    }

    async fn on_line(&mut self, line: OwnerLine) {
        let (id, outcome) = match line {
            OwnerLine::Answer { id, answer } => (id, Ok(answer)),
            OwnerLine::Error { id, error } => (id, Err(error)),
            OwnerLine::Event(event) => {
                // The owner bounds what it keeps for us; waiting here is what tells it to. A front
                // end that has dropped its events loses nothing it wants.
                let _ = self.events.send(event).await;
                return;
            }
        };
        if let Some(waiting) = self.waiting.remove(&id) {
            // Whoever asked may have stopped waiting.
            let _ = waiting.send(outcome);
        }
    }
}
