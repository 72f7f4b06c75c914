//! A stream.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use protocol::{
    connection::{Connection, InitiatorConfig, ReceivedKind},
    entropy::Entropy,
    ids::RelayKey,
};

use super::{Identity, Link, PATIENCE};

/// A client on a stream.
pub(crate) type Client = super::Client<StreamLink>;

/// A stream whose handshake has begun.
pub(crate) struct StreamLink {
    stream: TcpStream,
    connection: Connection,
    unread: Vec<u8>,
}

impl Client {
    /// Connects and completes the handshake.
    pub(crate) fn connect(
        relay: SocketAddr,
        key: RelayKey,
        identity: &Identity,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect(relay)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let config = InitiatorConfig::new(key, Arc::clone(&identity.channel_key));
        let connection = Connection::initiator(&config, &mut Entropy::system()).unwrap();
        let mut link = StreamLink { stream, connection, unread: Vec::new() };
        let init = link.connection.poll_transmit().unwrap();
        link.stream.write_all(&init)?;
        while !link.connection.is_established() {
            link.receive(&mut Vec::new())?;
        }
        Ok(Self::new(link))
    }
}

impl Link for StreamLink {
    fn send(&mut self, content: &[u8]) -> io::Result<()> {
        let mut packet = Vec::new();
        self.connection.seal(&mut packet, |out| out.extend_from_slice(content)).unwrap();
        self.stream.write_all(&packet)
    }

    fn receive(&mut self, content: &mut Vec<u8>) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        let read = self.stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.unread.extend_from_slice(&buffer[..read]);
        loop {
            let received = self.connection.receive(&mut self.unread).map_err(io::Error::other)?;
            let Some(received) = received else { return Ok(()) };
            if let ReceivedKind::Content(arrived) = received.kind {
                content.extend_from_slice(arrived);
            }
            let consumed = received.consumed;
            self.unread.drain(..consumed);
        }
    }
}
