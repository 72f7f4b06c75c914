//! Listening sockets: every address of the machine unless told otherwise.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
};

use protocol::invitation::DEFAULT_PORT;
use socket2::{Domain, Protocol, Socket, Type};

/// What is asked of the kernel for each direction: a thousand datagrams with their bookkeeping.
const DATAGRAM_BUFFER_BYTES: usize = 2 << 20;
/// The same for those who have no session: a few hundred, as many as are answered in a few
/// milliseconds. A longer queue would only make everybody in it wait.
const STRANGERS_BUFFER_BYTES: usize = 512 << 10;

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

/// What a shard receives datagrams with, at one address.
#[derive(Debug)]
pub struct DatagramSockets {
    /// For those who have a session; for everybody, if there is no other.
    pub sessions: UdpSocket,
    /// For everybody else.
    pub strangers: Option<UdpSocket>,
}

/// Binds sockets for datagrams to the address of a listener: for each shard, where the kernel can
/// tell them apart ([`super::steering`]), or else for the first alone.
///
/// # Errors
///
/// If somebody has the port, whoever it is: the first socket shares it with nobody before it is
/// ours, and then with processes of this user only. Never `SO_REUSEADDR`: with it, another user's
/// program could take the port away from under us.
pub fn listen_datagrams(address: SocketAddr, shards: usize) -> io::Result<Vec<DatagramSockets>> {
    let first = datagram_socket(address)?;
    first.bind(&address.into())?;
    let first = UdpSocket::from(first);
    #[cfg(target_os = "linux")]
    match share(&first, shards) {
        Ok(others) => return Ok(by_shard(first, others)),
        Err(error) => tracing::warn!(%error, "one shard serves all datagrams"),
    }
    Ok(vec![DatagramSockets { sessions: first, strangers: None }])
}

/// The sockets besides the first: of the other shards, and one of each for strangers. All are bound
/// before anything is served, for a socket that joins later takes clients from the others.
#[cfg(target_os = "linux")]
fn share(first: &UdpSocket, shards: usize) -> io::Result<Vec<UdpSocket>> {
    let address = first.local_addr()?;
    socket2::SockRef::from(first).set_reuse_port(true)?;
    let others = (1..2 * shards).map(|index| {
        let socket = datagram_socket(address)?;
        if index >= shards {
            socket.set_recv_buffer_size(STRANGERS_BUFFER_BYTES)?;
        }
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        Ok(UdpSocket::from(socket))
    });
    let others = others.collect::<io::Result<Vec<_>>>()?;
    let shards = shards.try_into().map_err(io::Error::other)?;
    super::steering::steer(first, shards)?;
    Ok(others)
}

/// Each shard's two sockets.
#[cfg(target_os = "linux")]
fn by_shard(first: UdpSocket, mut others: Vec<UdpSocket>) -> Vec<DatagramSockets> {
    let strangers = others.split_off(others.len() / 2);
    let sessions = std::iter::once(first).chain(others);
    let pairs = sessions.zip(strangers.into_iter().map(Some));
    pairs.map(|(sessions, strangers)| DatagramSockets { sessions, strangers }).collect()
}

fn datagram_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    // A burst of many clients waits here while the thread is busy; the kernel gives what it may.
    socket.set_recv_buffer_size(DATAGRAM_BUFFER_BYTES)?;
    socket.set_send_buffer_size(DATAGRAM_BUFFER_BYTES)?;
    Ok(socket)
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

    #[test]
    fn a_port_for_datagrams_that_somebody_has_is_refused_even_if_they_would_share_it() {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let ours = listen_datagrams(loopback, 2).unwrap();
        let address = ours[0].sessions.local_addr().unwrap();
        let error = listen_datagrams(address, 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(ours);
        listen_datagrams(address, 2).expect("free again");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_tells_shards_and_strangers_apart() {
        const SHARDS: u8 = 3;
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let sockets = listen_datagrams(loopback, usize::from(SHARDS)).unwrap();
        let address = sockets[0].sessions.local_addr().unwrap();
        let arrives = |socket: &UdpSocket, expected: &[u8]| {
            socket.set_nonblocking(false).unwrap();
            socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
            let mut buffer = [0; 64];
            let count = socket.recv(&mut buffer).unwrap_or_else(|_| panic!("{expected:?}"));
            assert_eq!(&buffer[..count], expected);
        };
        // From many places: what is in the packet decides, not where it comes from.
        for byte in 0..30 {
            let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let shard = &sockets[usize::from(byte % SHARDS)];
            let sealed = [6, byte, 0, 0, 0, 0, 0];
            client.send_to(&sealed, address).unwrap();
            arrives(&shard.sessions, &sealed);
            for kind in [1, 3, 0, 7, 255] {
                let stranger = [kind, 0, 0, 0, byte, 0];
                client.send_to(&stranger, address).unwrap();
                arrives(shard.strangers.as_ref().unwrap(), &stranger);
            }
        }
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        for short in [&[][..], &[6], &[3, 1, 1]] {
            client.send_to(short, address).unwrap();
            arrives(&sockets[0].sessions, short);
        }
    }
}
