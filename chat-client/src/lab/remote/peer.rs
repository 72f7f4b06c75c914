//! The receivers' end: a host of runs whose senders are elsewhere.

use std::{io, net::SocketAddr};

use protocol::{
    entropy::Entropy,
    lab::remote::{Host, host::Counts},
};
use tokio::net::UdpSocket;

use super::Clock;
use crate::lab::{
    alarm::Alarm,
    sockets::{DATAGRAM_BYTES_MAX, enlarge},
};

/// Errors of the socket in a row, after which it counts as broken. Some systems tell of a guest that
/// has gone in this way.
const ERRORS_MAX: u32 = 100;

/// A host with its socket.
#[derive(Debug)]
pub struct Peer {
    socket: UdpSocket,
    host: Host,
    clock: Clock,
    alarm: Alarm,
    buffer: Vec<u8>,
    /// Errors of the socket since it last gave a datagram.
    errors: u32,
}

impl Peer {
    /// One that listens from now on.
    ///
    /// # Errors
    ///
    /// If the address cannot be had.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        let _ = enlarge(&socket);
        Ok(Self {
            socket,
            host: Host::new(&mut Entropy::system()),
            clock: Clock::new(),
            alarm: Alarm::new(),
            buffer: vec![0; DATAGRAM_BYTES_MAX],
            errors: 0,
        })
    }

    /// Where it listens, with the port that it was given.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// How many runs it has now, and what has happened so far.
    pub fn counts(&self) -> (usize, Counts) {
        (self.host.runs(), self.host.counts())
    }

    /// Waits for a datagram or a timer, and answers.
    ///
    /// # Errors
    ///
    /// If the socket fails again and again.
    ///
    /// # Cancel safety
    ///
    /// Answers may be lost, as on any network.
    pub async fn turn(&mut self) -> io::Result<()> {
        let wakes = self.clock.instant(self.host.poll_timeout());
        tokio::select! {
            received = self.socket.recv_from(&mut self.buffer) => {
                match received {
                    Ok((bytes, from)) => {
                        self.errors = 0;
                        self.host.handle_datagram(self.clock.now(), from, &self.buffer[..bytes]);
                    }
                    Err(error) => {
                        self.errors += 1;
                        if self.errors > ERRORS_MAX {
                            return Err(error);
                        }
                    }
                }
            }
            () = self.alarm.until(wakes) => self.host.handle_timeout(self.clock.now()),
        }
        while let Some((to, datagram)) = self.host.poll_transmit() {
            // A guest that cannot be reached is forgotten in time.
            let _ = self.socket.send_to(&datagram, to).await;
        }
        Ok(())
    }
    /// Goes on elsewhere, with the same guests.
    #[cfg(test)]
    pub(super) async fn bind_again(&mut self, address: SocketAddr) -> io::Result<()> {
        self.socket = UdpSocket::bind(address).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn an_error_of_the_socket_does_not_end_the_peer() -> io::Result<()> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut peer = Peer::bind(any).await?;
        let closed = UdpSocket::bind(any).await?.local_addr()?;
        // Only connected sockets hear from this system that nobody is there.
        peer.socket.connect(closed).await?;
        peer.socket.send(b"anybody?").await?;
        peer.turn().await?;
        assert_eq!(peer.errors, 1);
        Ok(())
    }
}
