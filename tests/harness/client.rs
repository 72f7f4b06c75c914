//! A lean client of the relay: it speaks the protocol and keeps nothing but the connection.
//!
//! It has no history, no outbox and no retries, so that a test sees exactly what the relay says,
//! and it is cheap enough that thousands of them fit one thread beside the relay they load. Bytes
//! are read into one buffer per thread and opened there in place; a client that waits owns none.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Poll, ready},
};

use protocol::{
    channel::keys::StaticKey,
    connection::{Connection, ConnectionError, InitiatorConfig, ReceivedKind},
    entropy::Entropy,
    ids::{ConversationId, RelayKey, Seq},
    limits::BATCH_BYTES_TARGET,
    message::{
        ClientMessage, MessageReader, RelayMessage,
        encoding::DecodeError,
        refusal::Refusal,
        request::{Join, Reply, Request},
        room::ConversationInfo,
        session::{Attach, Follow, Following, Welcome},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    net::{TcpSocket, TcpStream},
};

/// Bytes one read can bring: more than a socket's receive buffer usually holds, so that one system
/// call empties it, and several of the largest packets.
const READ_BYTES_MAX: usize = 512 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES_MAX]);
}

/// Where a relay is and who it has to be.
#[derive(Clone, Copy, Debug)]
pub struct RelayEndpoint {
    /// Its socket.
    pub address: SocketAddr,
    /// Its static key.
    pub key: RelayKey,
}

/// Why a client cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The stream failed, or the relay closed it.
    #[error("stream: {0}")]
    Io(#[from] io::Error),
    /// The relay broke the protocol.
    #[error("connection: {0}")]
    Connection(#[from] ConnectionError),
    /// The relay sent something that is not a message.
    #[error("message: {0}")]
    Decode(#[from] DecodeError),
    /// The relay said no.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The relay ended the session.
    #[error("goodbye: {0}")]
    Goodbye(Refusal),
    /// The relay answered something else than was asked.
    #[error("unexpected answer to {0}")]
    Unexpected(&'static str),
}

/// One connection, from the handshake on.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    connection: Connection,
    // The front of a packet whose rest has not arrived. Empty most of the time.
    partial: Vec<u8>,
    // Messages queued and not sealed yet.
    content: Vec<u8>,
    // Sealed packets not written yet.
    unsent: Vec<u8>,
    requests: u32,
}

impl Client {
    /// Connects from a loopback address of the caller's choice and completes the handshake.
    ///
    /// # Errors
    ///
    /// If the stream fails or whoever answers is not the relay.
    pub async fn connect(
        relay: RelayEndpoint,
        device_key: &Arc<StaticKey>,
        source: Ipv4Addr,
        entropy: &mut Entropy,
    ) -> Result<Self, ClientError> {
        let config = InitiatorConfig::new(relay.key, Arc::clone(device_key));
        let mut connection = Connection::initiator(&config, entropy)?;
        let mut client = Self {
            stream: dial(relay.address, source).await?,
            unsent: connection.poll_transmit().unwrap_or_default(),
            connection,
            partial: Vec::new(),
            content: Vec::new(),
            requests: 0,
        };
        client.flush().await?;
        while !client.connection.is_established() {
            client.receive(|_| {}).await?;
        }
        Ok(client)
    }

    /// Makes the session live. The conversations announced behind the welcome are read too.
    ///
    /// # Errors
    ///
    /// If the relay refuses or the connection fails.
    pub async fn attach(
        &mut self,
        attach: Attach,
    ) -> Result<(Welcome, Vec<ConversationInfo>), ClientError> {
        self.queue(&ClientMessage::Attach(attach))?;
        self.flush().await?;
        let mut welcome = None;
        let mut conversations = Vec::new();
        self.wait_for(|message| {
            match message {
                RelayMessage::Welcome(message) => welcome = Some(message),
                RelayMessage::Conversation(conversation) => conversations.push(conversation),
                _ => {}
            }
            let expected = welcome.as_ref()?.conversations as usize;
            (conversations.len() >= expected).then_some(())
        })
        .await?;
        Ok((welcome.ok_or(ClientError::Unexpected("attach"))?, conversations))
    }

    /// Asks and waits for the answer. Other messages that arrive meanwhile are dropped.
    ///
    /// # Errors
    ///
    /// If the relay refuses or the connection fails.
    pub async fn request(&mut self, request: impl Into<Request>) -> Result<Reply, ClientError> {
        self.requests += 1;
        let id = self.requests;
        self.queue(&ClientMessage::Request(id, request.into()))?;
        self.flush().await?;
        let outcome = self
            .wait_for(|message| match message {
                RelayMessage::Reply(answered, outcome) if answered == id => Some(outcome),
                _ => None,
            })
            .await?;
        outcome.map_err(ClientError::Refused)
    }

    /// Joins a room by name.
    ///
    /// # Errors
    ///
    /// If the relay refuses or the connection fails.
    pub async fn join(&mut self, room: &str) -> Result<ConversationInfo, ClientError> {
        match self.request(Join { room: room.to_owned() }).await? {
            Reply::Join(info) => Ok(info),
            _ => Err(ClientError::Unexpected("join")),
        }
    }

    /// Streams a conversation from its present end on.
    ///
    /// # Errors
    ///
    /// If the relay refuses or the connection fails.
    pub async fn follow_from_now(
        &mut self,
        conversation: ConversationId,
    ) -> Result<Following, ClientError> {
        let follow = Follow { conversation, after: Seq::ZERO, chain: [0; 8], newest: 0 };
        self.queue(&ClientMessage::Follow(follow))?;
        self.flush().await?;
        self.wait_for(|message| match message {
            RelayMessage::Following(following) if following.conversation == conversation => {
                Some(following)
            }
            _ => None,
        })
        .await
    }

    /// Puts a message behind those already queued, to leave with the next [`Self::flush`].
    ///
    /// # Errors
    ///
    /// If the connection is over.
    pub fn queue(&mut self, message: &ClientMessage<'_>) -> Result<(), ClientError> {
        message.append_to(&mut self.content);
        if self.content.len() >= BATCH_BYTES_TARGET {
            self.seal()?;
        }
        Ok(())
    }

    /// Writes what is queued, in as few packets and writes as possible.
    ///
    /// # Errors
    ///
    /// If the stream fails.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a packet may be half written.
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        self.seal()?;
        if !self.unsent.is_empty() {
            self.stream.write_all(&self.unsent).await?;
            self.unsent.clear();
        }
        Ok(())
    }

    /// Reads once and hands over every whole message that arrived, still encoded.
    ///
    /// # Errors
    ///
    /// If the stream fails or ends, or the relay breaks the protocol.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is read before it can be handed over.
    pub async fn receive(&mut self, mut on_message: impl FnMut(&[u8])) -> Result<(), ClientError> {
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

    /// Reads until `pick` finds what it looks for; everything else is dropped.
    ///
    /// # Errors
    ///
    /// If the relay says goodbye, breaks the protocol, or the stream ends.
    pub async fn wait_for<T>(
        &mut self,
        mut pick: impl FnMut(RelayMessage<'_>) -> Option<T>,
    ) -> Result<T, ClientError> {
        let mut found = None;
        let mut failure = None;
        loop {
            self.receive(|bytes| match RelayMessage::decode(bytes) {
                Ok(RelayMessage::Goodbye(goodbye)) => {
                    failure = Some(ClientError::Goodbye(goodbye.refusal));
                }
                Ok(message) if found.is_none() => found = pick(message),
                Ok(_) => {}
                Err(error) => failure = Some(error.into()),
            })
            .await?;
            match (found.take(), failure.take()) {
                (Some(found), _) => return Ok(found),
                (None, Some(error)) => return Err(error),
                (None, None) => {}
            }
        }
    }

    fn seal(&mut self) -> Result<(), ClientError> {
        if !self.content.is_empty() {
            let content = &self.content;
            self.connection.seal(&mut self.unsent, |out| out.extend_from_slice(content))?;
            self.content.clear();
        }
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

/// A loopback address for the client with this number. Every client has its own, as people have:
/// what a relay grants one address then limits one client and not the whole test.
pub const fn source_address(client: u32) -> Ipv4Addr {
    let bytes = (client % 0x00f0_0000).to_be_bytes();
    Ipv4Addr::new(127, 1 + bytes[1], bytes[2], bytes[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_have_addresses_of_their_own() {
        let addresses: std::collections::BTreeSet<_> = (0..70_000).map(source_address).collect();
        assert_eq!(addresses.len(), 70_000);
        assert!(addresses.iter().all(Ipv4Addr::is_loopback));
    }
}
