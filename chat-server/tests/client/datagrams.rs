//! Datagrams. Nothing is repeated or acknowledged while nobody waits.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use protocol::{
    connection::{InitiatorConfig, datagram},
    entropy::Entropy,
    ids::RelayKey,
    time::Timestamp,
    transport::datagram::Codepoint,
};

use super::{Identity, Link, PATIENCE};

/// A client over datagrams.
pub(crate) type Client = super::Client<DatagramLink>;

/// A session whose handshake has begun.
pub(crate) struct DatagramLink {
    socket: UdpSocket,
    client: datagram::Client,
    epoch: Instant,
}

impl Client {
    /// Shakes hands, for at most so long.
    pub(crate) fn connect(
        [source, relay]: [SocketAddr; 2],
        key: RelayKey,
        identity: &Identity,
        patience: Duration,
    ) -> io::Result<Self> {
        let socket = UdpSocket::bind(source)?;
        socket.connect(relay)?;
        let config = InitiatorConfig::new(key, Arc::clone(&identity.channel_key));
        let client = datagram::Client::new(Timestamp::ZERO, &config, &mut Entropy::system());
        let epoch = Instant::now();
        let mut link = DatagramLink { socket, client: client.unwrap(), epoch };
        while link.client.session().is_none() {
            if epoch.elapsed() > patience {
                return Err(io::ErrorKind::TimedOut.into());
            }
            link.turn()?;
        }
        Ok(Self::new(link))
    }
}

impl DatagramLink {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(u64::try_from(self.epoch.elapsed().as_micros()).unwrap())
    }

    /// Sends what is due, and waits for a datagram or the time of something.
    fn turn(&mut self) -> io::Result<()> {
        if self.client.poll_timeout().is_some_and(|due| due <= self.now()) {
            self.client.handle_timeout(self.now());
        }
        self.send_due()?;
        let waits = self.client.poll_timeout().map_or(PATIENCE, |due| due.since(self.now()));
        // No time at all would be for ever.
        self.socket.set_read_timeout(Some(waits.clamp(Duration::from_millis(1), PATIENCE)))?;
        let mut buffer = [0; 2_048];
        match self.socket.recv(&mut buffer) {
            Ok(bytes) => {
                let now = self.now();
                let datagram = &mut buffer[..bytes];
                let taken = self.client.handle_datagram(now, Codepoint::NotCapable, datagram);
                taken.map_err(io::Error::other)?;
                self.send_due()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn send_due(&mut self) -> io::Result<()> {
        let mut packet = Vec::new();
        while self.client.poll_packet(self.now(), &mut packet) {
            self.socket.send(&packet)?;
            packet.clear();
        }
        Ok(())
    }
}

impl Link for DatagramLink {
    fn send(&mut self, content: &[u8]) -> io::Result<()> {
        let session = self.client.session().ok_or(io::ErrorKind::NotConnected)?;
        session.write(content);
        self.send_due()
    }

    fn receive(&mut self, content: &mut Vec<u8>) -> io::Result<()> {
        let begun = Instant::now();
        loop {
            let session = self.client.session().ok_or(io::ErrorKind::NotConnected)?;
            if session.read(content).map_err(io::Error::other)? {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.turn()?;
        }
    }
}
