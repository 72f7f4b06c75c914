//! A socket for datagrams to and from one relay: several of them in one system call, in both
//! directions.
//!
//! The kernel joins datagrams that arrive together (GRO) and cuts what we join (GSO); `quinn-udp`
//! knows how, and what to do where it cannot.

use std::{
    io::{self, IoSliceMut},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use protocol::transport::datagram::Codepoint;
use quinn_udp::{EcnCodepoint, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use tokio::{io::Interest, net::UdpSocket};

/// What the kernel may join into one: the largest datagram there is.
const RECEIVE_BYTES: usize = 65_535;
/// Joined datagrams taken in one system call.
const RECEIVE_BATCH: usize = 4;
/// Bytes that are joined for one system call: what fits into one datagram, were it sent as such.
const SEND_BYTES: usize = 60_000;
/// What is asked of the kernel for each direction.
const BUFFER_BYTES: usize = 1 << 20;

/// A bound socket, and who is at the other end.
#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    peer: SocketAddr,
    received: Vec<u8>,
    meta: Vec<RecvMeta>,
    /// Datagrams of one size and codepoint that leave together.
    joined: Vec<u8>,
    segment: usize,
    codepoint: Codepoint,
    /// Why the last datagrams did not leave, if they did not.
    refused: Option<io::Error>,
}

impl Socket {
    /// A socket for datagrams to `peer`.
    pub(super) fn open(peer: SocketAddr) -> io::Result<Self> {
        let any = match peer {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        // Not connected: when this machine moves to another network, the kernel finds the new way.
        let socket = std::net::UdpSocket::bind(any)?;
        let options = socket2::SockRef::from(&socket);
        options.set_recv_buffer_size(BUFFER_BYTES)?;
        options.set_send_buffer_size(BUFFER_BYTES)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        Ok(Self {
            io: UdpSocket::from_std(socket)?,
            state,
            peer,
            received: vec![0; RECEIVE_BYTES * RECEIVE_BATCH],
            meta: vec![RecvMeta::default(); RECEIVE_BATCH],
            joined: Vec::new(),
            segment: 0,
            codepoint: Codepoint::NotCapable,
            refused: None,
        })
    }

    /// Who is at the other end.
    pub(super) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Waits until it can be written to: before the runtime has seen that once, nothing is sent.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Waits until there may be something to receive.
    pub(super) async fn readable(&self) {
        // An error belongs to something that was sent before: it is lost, and sent again as such.
        let _ = self.io.readable().await;
    }

    /// Receives once, and gives every datagram of the peer to `take`, with the codepoint it came
    /// with. False if there are none.
    pub(super) fn receive(&mut self, mut take: impl FnMut(Codepoint, &mut [u8])) -> bool {
        let Self { io, state, peer, received, meta, .. } = self;
        let mut slices = received.chunks_mut(RECEIVE_BYTES).map(IoSliceMut::new);
        let mut slices: [IoSliceMut<'_>; RECEIVE_BATCH] =
            std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
        let receive = || state.recv(UdpSockRef::from(&*io), &mut slices, meta);
        let Ok(count) = io.try_io(Interest::READABLE, receive) else { return false };
        for (bytes, meta) in received.chunks_mut(RECEIVE_BYTES).zip(&*meta).take(count) {
            if meta.addr == *peer {
                let codepoint = Codepoint::from_bits(meta.ecn.map_or(0, |ecn| ecn as u8));
                for datagram in bytes[..meta.len].chunks_mut(meta.stride.max(1)) {
                    take(codepoint, datagram);
                }
            }
        }
        true
    }

    /// Sends a datagram, perhaps later together with others: see [`Self::flush`].
    pub(super) fn send(&mut self, codepoint: Codepoint, datagram: &[u8]) {
        // The kernel cuts at one size; only the last piece may be shorter.
        let is_open = !self.joined.is_empty()
            && self.codepoint == codepoint
            && self.joined.len().is_multiple_of(self.segment)
            && datagram.len() <= self.segment
            && self.joined.len() + datagram.len() <= SEND_BYTES
            && self.joined.len() / self.segment < self.state.max_gso_segments();
        if !is_open {
            self.flush();
            self.segment = datagram.len();
            self.codepoint = codepoint;
        }
        self.joined.extend_from_slice(datagram);
    }

    /// Hands to the kernel what waits. What it does not take is lost, and sent again as such.
    pub(super) fn flush(&mut self) {
        if self.joined.is_empty() {
            return;
        }
        let transmit = Transmit {
            destination: self.peer,
            ecn: EcnCodepoint::from_bits(self.codepoint.bits()),
            contents: &self.joined,
            segment_size: (self.joined.len() > self.segment).then_some(self.segment),
            src_ip: None,
        };
        let send = || self.state.try_send(UdpSockRef::from(&self.io), &transmit);
        self.refused = self.io.try_io(Interest::WRITABLE, send).err();
        self.joined.clear();
    }

    /// Where it is bound.
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Why the last datagrams did not leave this machine, if they did not.
    pub(super) fn take_refusal(&mut self) -> Option<io::Error> {
        self.refused.take().filter(|error| error.kind() != io::ErrorKind::WouldBlock)
    }

    /// The options that matter, as the kernel reports them.
    pub(super) fn options(&self) -> Vec<(String, String)> {
        let socket = socket2::SockRef::from(&self.io);
        let show = |name: &str, value: io::Result<String>| {
            (name.to_owned(), value.unwrap_or_else(|error| format!("unknown: {error}")))
        };
        let joined = |most: usize| Ok(format!("up to {most} datagrams"));
        vec![
            show("local address", self.io.local_addr().map(|address| address.to_string())),
            show("peer address", Ok(self.peer.to_string())),
            show("SO_RCVBUF", socket.recv_buffer_size().map(|bytes| format!("{bytes} bytes"))),
            show("SO_SNDBUF", socket.send_buffer_size().map(|bytes| format!("{bytes} bytes"))),
            show("UDP_SEGMENT", joined(self.state.max_gso_segments())),
            show("UDP_GRO", joined(self.state.gro_segments())),
        ]
    }
}
