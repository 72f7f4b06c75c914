//! One connection's socket with its protocol state: bytes in, packets out, and nothing held while
//! it is idle. Over datagrams all connections share sockets, and the state is in
//! [`super::datagrams`].
//!
//! Reading and sealing happen in buffers of the shard's thread. A link owns bytes only while a
//! packet has arrived in part, or while the socket took a sealed one in part.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use protocol::{
    connection::Connection,
    limits::PACKET_BYTES_BEFORE_LOGIN_MAX,
    transport::{
        packet::{ConnectionId, PacketKind},
        stream::LENGTH_BYTES,
    },
};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
};

use super::ready::LinkSignal;

/// Bytes read at a time before login: enough for what an honest client sends then, and the most a
/// stranger makes us keep.
const READ_BYTES_BEFORE_LOGIN: usize = 2 * (LENGTH_BYTES + PACKET_BYTES_BEFORE_LOGIN_MAX);

/// How a connection is connected.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "most connections are streams, and are boxed as a whole"
)]
pub(super) enum Link {
    /// By a socket of its own.
    Stream(StreamLink),
    /// By datagrams with this connection id.
    Datagrams(ConnectionId),
}

impl Link {
    /// The socket of a connection that has one.
    pub(super) const fn stream(&mut self) -> Option<&mut StreamLink> {
        match self {
            Self::Stream(link) => Some(link),
            Self::Datagrams(_) => None,
        }
    }

    /// The connection id of one that has none.
    pub(super) const fn datagrams(&self) -> Option<ConnectionId> {
        match self {
            Self::Stream(_) => None,
            Self::Datagrams(id) => Some(*id),
        }
    }
}

/// A connection over a byte stream.
#[derive(Debug)]
pub(super) struct StreamLink {
    stream: TcpStream,
    pub(super) connection: Connection,
    pub(super) signal: LinkSignal,
    // The front of a packet whose rest has not arrived, or packets that have to wait.
    partial: Vec<u8>,
    // The rest of what the socket did not take.
    unsent: Vec<u8>,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// The first so many bytes of the buffer are the stream's next.
    Bytes(usize),
    /// As above, and there may be more in the socket.
    BytesAndMore(usize),
    /// Nothing new.
    Nothing,
    /// The peer is gone.
    Ended,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    /// The socket took everything.
    Done,
    /// The rest waits until the socket is writable.
    Waits,
    /// The peer is gone.
    Broken,
}

impl StreamLink {
    pub(super) fn new(stream: TcpStream, connection: Connection, signal: LinkSignal) -> Self {
        Self { stream, connection, signal, partial: Vec::new(), unsent: Vec::new() }
    }

    /// Reads into `buffer`, behind what is kept from before. Asks to be woken if there is nothing.
    pub(super) fn read(&mut self, buffer: &mut [u8], phase: ReadPhase) -> ReadOutcome {
        let kept = self.partial.len();
        let end = match phase {
            ReadPhase::BeforeLogin => buffer.len().min(kept + READ_BYTES_BEFORE_LOGIN),
            ReadPhase::Live => buffer.len(),
        };
        buffer[..kept].copy_from_slice(&self.partial);
        let mut read = ReadBuf::new(&mut buffer[kept..end]);
        let mut context = Context::from_waker(self.signal.waker());
        match Pin::new(&mut self.stream).poll_read(&mut context, &mut read) {
            Poll::Pending => ReadOutcome::Nothing,
            Poll::Ready(Err(_)) => ReadOutcome::Ended,
            Poll::Ready(Ok(())) => {
                let (new, is_filled) = (read.filled().len(), read.remaining() == 0);
                match new {
                    0 => ReadOutcome::Ended,
                    _ if is_filled => ReadOutcome::BytesAndMore(kept + new),
                    _ => ReadOutcome::Bytes(kept + new),
                }
            }
        }
    }

    /// Asks to be woken when there is something to read. Costs no system call.
    pub(super) fn wait_readable(&self) -> io::Result<Readable> {
        let mut context = Context::from_waker(self.signal.waker());
        match self.stream.poll_read_ready(&mut context) {
            Poll::Pending => Ok(Readable::Later),
            Poll::Ready(Ok(())) => Ok(Readable::Now),
            Poll::Ready(Err(error)) => Err(error),
        }
    }

    /// Keeps stream bytes for later: the front of a packet, usually.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.partial = Vec::new();
        } else {
            self.partial.clear();
            self.partial.reserve_exact(bytes.len());
            self.partial.extend_from_slice(bytes);
        }
    }

    /// Copies what was kept to the front of `buffer`; how many bytes.
    pub(super) fn kept(&self, buffer: &mut [u8]) -> usize {
        buffer[..self.partial.len()].copy_from_slice(&self.partial);
        self.partial.len()
    }

    /// Whether everything that was sealed has left.
    pub(super) const fn is_flushed(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Writes what the socket did not take before.
    pub(super) fn flush(&mut self) -> WriteOutcome {
        if self.unsent.is_empty() {
            return WriteOutcome::Done;
        }
        let bytes = std::mem::take(&mut self.unsent);
        self.write(&bytes)
    }

    /// Writes handshake packets and beacons.
    pub(super) fn transmit(&mut self) -> WriteOutcome {
        match self.connection.poll_transmit() {
            Some(bytes) => self.write(&bytes),
            None => WriteOutcome::Done,
        }
    }

    /// Writes what was sealed. Nothing may wait from before.
    pub(super) fn write(&mut self, bytes: &[u8]) -> WriteOutcome {
        debug_assert!(self.unsent.is_empty(), "bytes leave in the order they were sealed");
        let mut left = bytes;
        let mut context = Context::from_waker(self.signal.waker());
        while !left.is_empty() {
            match Pin::new(&mut self.stream).poll_write(&mut context, left) {
                Poll::Ready(Ok(0) | Err(_)) => return WriteOutcome::Broken,
                Poll::Ready(Ok(written)) => left = &left[written..],
                Poll::Pending => {
                    self.unsent = left.to_vec();
                    return WriteOutcome::Waits;
                }
            }
        }
        WriteOutcome::Done
    }

    /// Gives back what can be computed again; the peer has been silent for a while.
    pub(super) fn rest(&mut self) {
        self.connection.rest();
    }
}

/// How much may be read at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadPhase {
    /// From a stranger.
    BeforeLogin,
    /// From a session.
    Live,
}

/// Whether a socket has something to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readable {
    /// It may.
    Now,
    /// It will say so.
    Later,
}

/// Whether these stream bytes begin with a whole handshake, which costs public-key work to answer.
pub(super) fn begins_with_handshake(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else { return false };
    let length = usize::from(u16::from_be_bytes(*length));
    rest.len() >= length && rest.first() == Some(&PacketKind::HandshakeInit.byte())
}
