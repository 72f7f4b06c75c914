//! The end that sends.

use std::{
    io::{self, Read as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    thread,
};

use protocol::{
    connection::{InitiatorConfig, datagram::Client},
    entropy::Entropy,
    message::encoding::write_varint,
    transport::datagram::Codepoint,
};
use tokio::{net::UdpSocket, sync::mpsc};

use crate::{Clock, DATAGRAM_BYTES_MAX, LISTENER_SEED, MESSAGE_NUMBER, SENDER_SEED, bind, key};

/// Messages read ahead of what the transport takes.
const READ_AHEAD: usize = 16;

pub(crate) async fn run(peer: SocketAddr) -> io::Result<()> {
    let any = match peer {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let clock = Clock::start();
    let config = InitiatorConfig::new(key(LISTENER_SEED).relay_key(), key(SENDER_SEED));
    let client = Client::new(clock.now(), &config, &mut Entropy::system());
    let client = client.map_err(io::Error::other)?;
    let socket = bind(any)?;
    socket.writable().await?;
    Sender { client, socket, peer, clock, packet: Vec::new() }.run(messages()).await
}

struct Sender {
    client: Client,
    socket: UdpSocket,
    peer: SocketAddr,
    clock: Clock,
    packet: Vec<u8>,
}

impl Sender {
    async fn run(mut self, mut messages: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let mut is_over = false;
        loop {
            self.flush();
            if is_over
                && let Some(session) = self.client.session().filter(|session| session.is_flushed())
            {
                session.close();
                self.flush();
                return Ok(());
            }
            let has_room = self.client.session().is_some_and(|session| session.has_room());
            tokio::select! {
                message = messages.recv(), if has_room && !is_over => match message {
                    Some(message) => {
                        if let Some(session) = self.client.session() {
                            session.write(&message);
                        }
                    }
                    None => is_over = true,
                },
                // An error belongs to something that was sent before: it is lost.
                _ = self.socket.readable() => self.receive(&mut buffer)?,
                () = self.clock.sleep_until(self.client.poll_timeout()) => {
                    self.client.handle_timeout(self.clock.now());
                }
            }
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        while let Ok((bytes, from)) = self.socket.try_recv_from(buffer) {
            if from == self.peer {
                let taken = self.client.handle_datagram(
                    self.clock.now(),
                    Codepoint::NotCapable,
                    &mut buffer[..bytes],
                );
                taken.map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) {
        self.packet.clear();
        while self.client.poll_packet(self.clock.now(), &mut self.packet) {
            // What the kernel does not take is lost, and sent again as such.
            let _ = self.socket.try_send_to(&self.packet, self.peer);
            self.packet.clear();
        }
    }
}

/// The messages of standard input, each as the protocol carries it.
fn messages() -> mpsc::Receiver<Vec<u8>> {
    let (out, messages) = mpsc::channel(READ_AHEAD);
    // Ends with the input, or when nobody takes them any more.
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        let mut length = [0; 4];
        while input.read_exact(&mut length).is_ok() {
            let mut body = vec![0; u32::from_le_bytes(length) as usize];
            if input.read_exact(&mut body).is_err() {
                break;
            }
            let mut number = Vec::new();
            write_varint(MESSAGE_NUMBER, &mut number);
            let mut message = Vec::with_capacity(body.len() + 8);
            write_varint((number.len() + body.len()) as u64, &mut message);
            message.extend(number);
            message.extend(body);
            if out.blocking_send(message).is_err() {
                break;
            }
        }
    });
    messages
}
