//! The end that listens.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    sync::Arc,
};

use protocol::{
    connection::{
        ResponderConfig,
        datagram::{Endpoint, EndpointConfig},
    },
    entropy::Entropy,
    message::{MessageReader, encoding::read_varint},
    transport::{datagram::Codepoint, packet::ConnectionId},
};
use tokio::net::UdpSocket;

use crate::{Clock, DATAGRAM_BYTES_MAX, LISTENER_SEED, bind, key};

/// Handshakes done at a time: there is one sender.
const HANDSHAKES: usize = 4;

pub(crate) async fn run(address: SocketAddr) -> io::Result<()> {
    let responder = ResponderConfig::new(key(LISTENER_SEED), "pipe".to_owned());
    let config = EndpointConfig { responder: Arc::new(responder), shard: 0 };
    let endpoint = Endpoint::new(config, Entropy::system());
    let socket = bind(address)?;
    socket.writable().await?;
    let (clock, session) = (Clock::start(), None);
    Listener { endpoint, socket, clock, session, content: Vec::new() }.run().await
}

struct Listener {
    endpoint: Endpoint<SocketAddr>,
    socket: UdpSocket,
    clock: Clock,
    /// The sender, once it has shown that it is there.
    session: Option<ConnectionId>,
    content: Vec<u8>,
}

impl Listener {
    async fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let due = self.session.and_then(|id| self.endpoint.session_timeout(id));
            tokio::select! {
                // An error belongs to something that was sent before: it is lost.
                _ = self.socket.readable() => self.receive(&mut buffer)?,
                () = self.clock.sleep_until(due) => {
                    if let Some(id) = self.session {
                        self.endpoint.handle_session_timeout(self.clock.now(), id);
                    }
                }
            }
            self.flush();
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        while let Ok((bytes, from)) = self.socket.try_recv_from(buffer) {
            let now = self.clock.now();
            if let Some(id) = self.endpoint.handle_datagram(
                now,
                from,
                Codepoint::NotCapable,
                &mut buffer[..bytes],
            ) {
                self.session = Some(id);
                self.read(id)?;
            }
            self.endpoint.answer_handshakes(now, HANDSHAKES);
        }
        Ok(())
    }

    fn read(&mut self, id: ConnectionId) -> io::Result<()> {
        let Some(session) = self.endpoint.session(id) else { return Ok(()) };
        session.trust();
        while session.read(&mut self.content).map_err(io::Error::other)? {}
        let mut output = io::stdout().lock();
        for message in MessageReader::new(&self.content) {
            let message = message.map_err(io::Error::other)?;
            let (_, number_bytes) = read_varint(message).map_err(io::Error::other)?;
            let body = &message[number_bytes..];
            let length = u32::try_from(body.len()).map_err(io::Error::other)?;
            output.write_all(&length.to_le_bytes())?;
            output.write_all(body)?;
        }
        self.content.clear();
        output.flush()
    }

    fn flush(&mut self) {
        // What the kernel does not take is lost, and sent again as such.
        while let Some((to, packet)) = self.endpoint.poll_packet() {
            let _ = self.socket.try_send_to(&packet, to);
        }
        let Some(id) = self.session else { return };
        let mut packet = Vec::new();
        while let Some(to) = self.endpoint.poll_session(self.clock.now(), id, &mut packet) {
            let _ = self.socket.try_send_to(&packet, to);
            packet.clear();
        }
    }
}
