//! A lean client of the relay: it speaks the protocol and keeps nothing but the connection.
//!
//! It has no history, no outbox and no retries, so that a test sees exactly what the relay says,
//! and it is cheap enough that thousands of them fit one thread beside the relay they load. Bytes
//! are read into one buffer per thread and opened there in place; a client that waits owns none.
//!
//! [`stream`] and [`datagrams`] are its two transports.

mod datagrams;
mod stream;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use protocol::{
    channel::keys::StaticKey,
    connection::{ConnectionError, InitiatorConfig, datagram::SessionError},
    entropy::Entropy,
    ids::{ConversationId, RelayKey, Seq},
    limits::BATCH_BYTES_TARGET,
    message::{
        ClientMessage, RelayMessage,
        encoding::DecodeError,
        refusal::Refusal,
        request::{Join, Reply, Request},
        room::ConversationInfo,
        session::{Attach, Follow, Following, Welcome},
    },
    transport::TransportKind,
};

pub use self::stream::dial;
use self::{datagrams::DatagramLink, stream::StreamLink};

/// Where a relay is and who it has to be.
#[derive(Clone, Copy, Debug)]
pub struct RelayEndpoint {
    /// Its socket.
    pub address: SocketAddr,
    /// Its static key.
    pub key: RelayKey,
    /// How to reach it.
    pub transport: TransportKind,
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
    /// The relay broke the rules of its streams.
    #[error("session: {0}")]
    Session(#[from] SessionError),
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
    link: Link,
    // Messages queued and not given to the link yet.
    content: Vec<u8>,
    requests: u32,
}

#[derive(Debug)]
enum Link {
    Stream(Box<StreamLink>),
    Datagrams(DatagramLink),
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
        let link = match relay.transport {
            TransportKind::Stream => {
                let link = StreamLink::connect(relay.address, &config, source, entropy).await?;
                Link::Stream(Box::new(link))
            }
            TransportKind::Datagram => Link::Datagrams(
                DatagramLink::connect(relay.address, &config, source, entropy).await?,
            ),
        };
        Ok(Self { link, content: Vec::new(), requests: 0 })
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
        match &mut self.link {
            Link::Stream(link) if self.content.len() >= BATCH_BYTES_TARGET => {
                link.seal(&mut self.content)
            }
            Link::Stream(_) | Link::Datagrams(_) => Ok(()),
        }
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
        match &mut self.link {
            Link::Stream(link) => link.write(&mut self.content).await,
            Link::Datagrams(link) => link.write(&mut self.content).await,
        }
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
    pub async fn receive(&mut self, on_message: impl FnMut(&[u8])) -> Result<(), ClientError> {
        match &mut self.link {
            Link::Stream(link) => link.receive(on_message).await,
            Link::Datagrams(link) => link.receive(on_message).await,
        }
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
