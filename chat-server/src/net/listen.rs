//! Listening sockets: every address of the machine unless told otherwise.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
};

use protocol::invitation::DEFAULT_PORT;
use socket2::{Domain, Protocol, Socket, Type};

/// What is asked of the kernel for each direction: a thousand datagrams with their bookkeeping.
const DATAGRAM_BUFFER_BYTES: usize = 2 << 20;

/// Why the relay cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ListenError {
    /// Where.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub error: io::Error,
}

/// Binds `addresses`, or every address of this machine if none is named.
///
/// # Errors
///
/// The first address that cannot be bound.
pub fn listen(addresses: &[SocketAddr], backlog: u32) -> Result<Vec<TcpListener>, ListenError> {
    if !addresses.is_empty() {
        return addresses.iter().map(|address| bind(*address, backlog)).collect();
    }
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT));
    match bind(v6, backlog) {
        // Kernels without IPv6 say one or the other.
        Err(ListenError { error, .. })
            if matches!(
                error.kind(),
                io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable
            ) || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) =>
        {
            bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT)), backlog)
        }
        bound => bound,
    }
    .map(|listener| vec![listener])
}

fn bind(address: SocketAddr, backlog: u32) -> Result<TcpListener, ListenError> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restarted relay does not wait for its old connections to be forgotten.
        socket.set_reuse_address(true)?;
        if address.ip() == Ipv6Addr::UNSPECIFIED {
            // IPv4 arrives here too, as mapped addresses.
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(TcpListener::from(socket))
    };
    bound().map_err(|error| ListenError { address, error })
}

/// Binds a socket for datagrams to the address of a listener.
///
/// # Errors
///
/// If somebody has it. It is not shared: with `SO_REUSEADDR`, another user's program could take the
/// port away from under us.
pub fn listen_datagrams(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    // A burst of many clients waits here while the thread is busy; the kernel gives what it may.
    socket.set_recv_buffer_size(DATAGRAM_BUFFER_BYTES)?;
    socket.set_send_buffer_size(DATAGRAM_BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    Ok(UdpSocket::from(socket))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn every_v6_address_takes_v4_too() {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let Ok(listeners) = listen(&[any], 16) else {
            // A machine without IPv6 has nothing to check here.
            assert!(TcpListener::bind("[::1]:0").is_err());
            return;
        };
        let port = listeners[0].local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("dual-stack");
    }

    #[test]
    fn an_address_in_use_is_named() {
        let first = listen(&["127.0.0.1:0".parse().unwrap()], 16).unwrap();
        let address = first[0].local_addr().unwrap();
        let error = listen(&[address], 16).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot listen on {address}"));
    }
}
