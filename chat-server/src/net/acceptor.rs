//! Accepts connections and hands each to the shard that has the fewest.
//!
//! One acceptor for all shards, rather than a listening socket of each (`SO_REUSEPORT`): the kernel
//! spreads by a hash of addresses, which for a few dozen people is far from even.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::AsFd as _, unix::net::UnixStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    net::{SocketFlags, acceptfrom_with},
};
use tracing::{debug, warn};

use crate::{
    net::admission::Admission,
    shard::mail::{Accepted, ShardBox, ShardMail},
};

/// How long to leave the backlog alone when the process has no more files.
const OUT_OF_FILES_PAUSE: Duration = Duration::from_millis(100);

/// A shard as others see it.
#[derive(Clone, Debug)]
pub(crate) struct ShardHandle {
    /// Its mailbox.
    pub(crate) mail: Arc<ShardBox>,
    /// How many connections it has or is about to get.
    pub(crate) connections: Arc<AtomicUsize>,
}

/// The accepting thread. Dropping this ends it and closes the listeners.
#[derive(Debug)]
pub(crate) struct Acceptor {
    // Its other end reads as ended once this is gone.
    _stop: UnixStream,
}

impl Acceptor {
    /// Accepts on all of `listeners`, which do not block.
    pub(crate) fn start(
        listeners: Vec<TcpListener>,
        shards: Vec<ShardHandle>,
        admission: Arc<Admission>,
    ) -> io::Result<Self> {
        let (stop, stopped) = UnixStream::pair()?;
        thread::Builder::new()
            .name("acceptor".to_owned())
            .spawn(move || run(&listeners, &stopped, &shards, &admission))?;
        Ok(Self { _stop: stop })
    }
}

fn run(
    listeners: &[TcpListener],
    stopped: &UnixStream,
    shards: &[ShardHandle],
    admission: &Arc<Admission>,
) {
    loop {
        let mut fds = vec![PollFd::from_borrowed_fd(stopped.as_fd(), PollFlags::IN)];
        fds.extend(listeners.iter().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                warn!(%error, "cannot wait for connections");
                return;
            }
        }
        if !fds[0].revents().is_empty() {
            return;
        }
        for (listener, fd) in listeners.iter().zip(&fds[1..]) {
            if !fd.revents().is_empty() {
                accept_all(listener, shards, admission);
            }
        }
    }
}

fn accept_all(listener: &TcpListener, shards: &[ShardHandle], admission: &Arc<Admission>) {
    loop {
        match accept(listener) {
            Ok((stream, address)) => hand_over(stream, address, shards, admission),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) if is_transient(&error) => debug!(%error, "accept"),
            Err(error) => {
                warn!(%error, "cannot accept for now");
                thread::sleep(OUT_OF_FILES_PAUSE);
                return;
            }
        }
    }
}

fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (stream, address) = acceptfrom_with(listener, flags)?;
    let address = address.and_then(|address| SocketAddr::try_from(address).ok());
    Ok((stream.into(), address.ok_or(io::ErrorKind::InvalidData)?))
}

fn hand_over(
    stream: TcpStream,
    address: SocketAddr,
    shards: &[ShardHandle],
    admission: &Arc<Admission>,
) {
    let permit = match admission.admit(address.ip()) {
        Ok(permit) => permit,
        Err(limit) => {
            // Closing says enough; words would cost what the limit is to save.
            debug!(%address, %limit, "connection refused");
            return;
        }
    };
    let load = |shard: &&ShardHandle| shard.connections.load(Ordering::Relaxed);
    if let Some(shard) = shards.iter().min_by_key(load) {
        shard.connections.fetch_add(1, Ordering::Relaxed);
        shard.mail.post(ShardMail::Accepted(Accepted { stream, address, permit }));
    }
}

/// Errors of the connection that was about to be accepted (accept(2)), not of the listener.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}
