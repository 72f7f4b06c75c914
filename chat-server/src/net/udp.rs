//! A socket for datagrams: many of them in one system call, in both directions.
//!
//! The kernel joins datagrams of one sender that arrive together (GRO) and cuts what we join for one
//! receiver (GSO); `quinn-udp` knows how, and what to do where it cannot.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    task::{Context, Poll},
};

use protocol::{connection::datagram::Address, transport::datagram::Codepoint};
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use tokio::io::Interest;

/// What the kernel may join into one: the largest datagram there is.
const RECEIVE_BYTES: usize = 65_535;
/// Bytes that are joined for one system call: 64 datagrams of the smallest size.
const SEND_BYTES: usize = 60_000;

/// Where a peer is, and on which of our addresses and sockets it reaches us: answers go out there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Route {
    pub(crate) peer: SocketAddr,
    pub(crate) local: Option<IpAddr>,
    /// Which of our addresses, in the order in which they were bound: every shard has a socket there.
    pub(crate) socket: u8,
}

impl Address for Route {
    fn bytes(&self) -> [u8; 18] {
        self.peer.bytes()
    }
}

/// A bound socket. Belongs to the runtime of the thread that made it.
#[derive(Debug)]
pub(crate) struct DatagramSocket {
    socket: tokio::net::UdpSocket,
    state: UdpSocketState,
    index: u8,
    /// Datagrams of one size and codepoint for one receiver, that leave together.
    joined: Vec<u8>,
    segment: usize,
    to: Option<(Route, Codepoint)>,
}

/// Where datagrams are received into; one for all sockets of a thread.
#[derive(Debug)]
pub(crate) struct ReceiveBuffer {
    bytes: Vec<u8>,
    meta: Vec<RecvMeta>,
}

impl ReceiveBuffer {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; RECEIVE_BYTES * BATCH_SIZE],
            meta: vec![RecvMeta::default(); BATCH_SIZE],
        }
    }
}

impl DatagramSocket {
    /// Takes a bound socket over; `index` is that of its address.
    pub(crate) fn new(socket: UdpSocket, index: u8) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        Ok(Self { socket, state, index, joined: Vec::new(), segment: 0, to: None })
    }

    /// The address that a datagram of this route came to, as far as the system tells.
    pub(crate) fn address_for(&self, route: Route) -> SocketAddr {
        let bound = self.socket.local_addr();
        let mut address = bound.unwrap_or_else(|_| (Ipv4Addr::UNSPECIFIED, 0).into());
        if let Some(ip) = route.local {
            address.set_ip(ip);
        }
        address
    }

    /// Receives up to `rounds` times, and gives every datagram to `take`, with the codepoint it came
    /// with. True if there may be more; else whoever waits in `context` is woken when there is.
    pub(crate) fn receive_rounds(
        &self,
        rounds: usize,
        context: &mut Context<'_>,
        buffer: &mut ReceiveBuffer,
        take: &mut impl FnMut(Route, Codepoint, &mut [u8]),
    ) -> bool {
        (0..rounds).all(|_| self.receive(context, buffer, take))
    }

    fn receive(
        &self,
        context: &mut Context<'_>,
        buffer: &mut ReceiveBuffer,
        take: &mut impl FnMut(Route, Codepoint, &mut [u8]),
    ) -> bool {
        loop {
            match self.socket.poll_recv_ready(context) {
                Poll::Pending => return false,
                // What went wrong with something we sent earlier is the transport's to notice.
                Poll::Ready(Ok(()) | Err(_)) => {}
            }
            let mut slices: Vec<IoSliceMut<'_>> =
                buffer.bytes.chunks_mut(RECEIVE_BYTES).map(IoSliceMut::new).collect();
            let receive =
                || self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut buffer.meta);
            let count = match self.socket.try_io(Interest::READABLE, receive) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => return true,
            };
            let chunks = buffer.bytes.chunks_mut(RECEIVE_BYTES);
            for (bytes, meta) in chunks.zip(&buffer.meta).take(count) {
                let route = Route { peer: meta.addr, local: meta.dst_ip, socket: self.index };
                let codepoint = Codepoint::from_bits(meta.ecn.map_or(0, |ecn| ecn as u8));
                for datagram in bytes[..meta.len].chunks_mut(meta.stride.max(1)) {
                    take(route, codepoint, datagram);
                }
            }
            return true;
        }
    }

    /// Sends a datagram, perhaps later together with others: see [`Self::flush`].
    pub(crate) fn send(&mut self, to: Route, codepoint: Codepoint, datagram: &[u8]) {
        // The kernel cuts at one size; only the last piece may be shorter.
        let is_open = self.to == Some((to, codepoint))
            && self.joined.len().is_multiple_of(self.segment)
            && datagram.len() <= self.segment
            && self.joined.len() + datagram.len() <= SEND_BYTES
            && self.joined.len() / self.segment < self.state.max_gso_segments();
        if !is_open {
            self.flush();
            self.segment = datagram.len();
            self.to = Some((to, codepoint));
        }
        self.joined.extend_from_slice(datagram);
    }

    /// Hands to the kernel what waits. What it does not take is lost, and sent again as such.
    pub(crate) fn flush(&mut self) {
        let Some((to, codepoint)) = self.to.take() else { return };
        let transmit = Transmit {
            destination: to.peer,
            ecn: EcnCodepoint::from_bits(codepoint.bits()),
            contents: &self.joined,
            segment_size: (self.joined.len() > self.segment).then_some(self.segment),
            src_ip: to.local,
        };
        let send = || self.state.try_send(UdpSockRef::from(&self.socket), &transmit);
        if let Err(error) = self.socket.try_io(Interest::WRITABLE, send) {
            tracing::trace!(%error, peer = %to.peer, "a datagram did not leave");
        }
        self.joined.clear();
    }
}
