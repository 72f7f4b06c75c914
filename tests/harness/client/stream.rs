//! The client's connection over TCP.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    task::{Poll, ready},
};

use protocol::{
    connection::{Connection, InitiatorConfig, ReceivedKind},
    entropy::Entropy,
    message::MessageReader,
};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    net::{TcpSocket, TcpStream},
};

use super::ClientError;

/// Bytes one read can bring: more than a socket's receive buffer usually holds, so that one system
/// call empties it, and several of the largest packets.
const READ_BYTES_MAX: usize = 512 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES_MAX]);
}

/// A connection, from the handshake on.
#[derive(Debug)]
pub(super) struct StreamLink {
    stream: TcpStream,
    connection: Connection,
    // The front of a packet whose rest has not arrived. Empty most of the time.
    partial: Vec<u8>,
    // Sealed packets not written yet.
    unsent: Vec<u8>,
}

impl StreamLink {
    /// Connects and shakes hands.
    pub(super) async fn connect(
        relay: SocketAddr,
        config: &InitiatorConfig,
        source: Ipv4Addr,
        entropy: &mut Entropy,
    ) -> Result<Self, ClientError> {
        let mut connection = Connection::initiator(config, entropy)?;
        let mut link = Self {
            stream: dial(relay, source).await?,
            unsent: connection.poll_transmit().unwrap_or_default(),
            connection,
            partial: Vec::new(),
        };
        link.write(&mut Vec::new()).await?;
        while !link.connection.is_established() {
            link.receive(|_| {}).await?;
        }
        Ok(link)
    }

    /// Makes one packet of `content`, which is empty then.
    pub(super) fn seal(&mut self, content: &mut Vec<u8>) -> Result<(), ClientError> {
        if !content.is_empty() {
            self.connection.seal(&mut self.unsent, |out| out.extend_from_slice(content))?;
            content.clear();
        }
        Ok(())
    }

    /// Writes what is sealed, and `content`.
    pub(super) async fn write(&mut self, content: &mut Vec<u8>) -> Result<(), ClientError> {
        self.seal(content)?;
        if !self.unsent.is_empty() {
            self.stream.write_all(&self.unsent).await?;
            self.unsent.clear();
        }
        Ok(())
    }

    /// Reads once and hands over every whole message that arrived. Cancel safe.
    pub(super) async fn receive(
        &mut self,
        mut on_message: impl FnMut(&[u8]),
    ) -> Result<(), ClientError> {
        poll_fn(|context| {
            SCRATCH.with_borrow_mut(|scratch| {
                let kept = self.partial.len();
                scratch[..kept].copy_from_slice(&self.partial);
                let mut buffer = ReadBuf::new(&mut scratch[kept..]);
                ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
                let read = buffer.filled().len();
                if read == 0 {
                    return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
                }
                Poll::Ready(self.take_packets(&mut scratch[..kept + read], &mut on_message))
            })
        })
        .await
    }

    fn take_packets(
        &mut self,
        bytes: &mut [u8],
        on_message: &mut impl FnMut(&[u8]),
    ) -> Result<(), ClientError> {
        let mut start = 0;
        while let Some(received) = self.connection.receive(&mut bytes[start..])? {
            match received.kind {
                ReceivedKind::Content(content) => {
                    for message in MessageReader::new(content) {
                        on_message(message?);
                    }
                }
                ReceivedKind::Established | ReceivedKind::Handshake | ReceivedKind::Probe => {}
                ReceivedKind::Beacon(_) => return Err(ClientError::Unexpected("handshake")),
            }
            start += received.consumed;
        }
        self.partial.clear();
        self.partial.extend_from_slice(&bytes[start..]);
        Ok(())
    }
}

/// A plain TCP connection to `relay` from the given loopback address, without delay.
///
/// # Errors
///
/// If it cannot be made.
pub async fn dial(relay: SocketAddr, source: Ipv4Addr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    let stream = socket.connect(relay).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
