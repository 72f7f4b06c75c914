//! Sockets for datagrams, as whatever carries many of them wants them.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use socket2::SockRef;
use tokio::net::UdpSocket;

/// Nothing larger arrives in one datagram.
pub(super) const DATAGRAM_BYTES_MAX: usize = 65_535;
/// What is asked of the system for the queues of each socket.
const BUFFER_BYTES: usize = 1 << 20;

/// A socket for datagrams to one address and back: nobody else can answer in its place, and the system
/// tells when nobody is there.
pub(super) fn towards(to: SocketAddr) -> io::Result<UdpSocket> {
    let any = match to {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.connect(to)?;
    let socket = UdpSocket::from_std(socket)?;
    let _ = enlarge(&socket);
    Ok(socket)
}

/// The system gives as much as it may; with less, bursts are shorter before it drops.
pub(super) fn enlarge(socket: &UdpSocket) -> io::Result<()> {
    let options = SockRef::from(socket);
    options.set_recv_buffer_size(BUFFER_BYTES)?;
    options.set_send_buffer_size(BUFFER_BYTES)
}
