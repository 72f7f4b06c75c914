//! Socket options: what the kernel is told about every connection, and why.

use std::{io, os::fd::AsFd, time::Duration};

use socket2::{SockRef, TcpKeepalive};

use crate::config::settings::SocketSettings;

/// How often the kernel repeats its question to a silent peer before it gives up.
const KEEPALIVE_PROBES: u32 = 3;
/// Time between two such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// The options of one connection, as the kernel has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Small writes go out at once: we write what is due in one call, there is nothing to wait for.
    pub nodelay: bool,
    /// The kernel asks silent peers, which finds the half-open connections that we never write to.
    pub keepalive: bool,
    /// How long written data may stay unacknowledged: finds the ones that we do write to.
    pub user_timeout: Option<Duration>,
    /// The socket is writable only below this much unsent data, so that what is queued stays here,
    /// where a newer state can still replace it.
    pub unsent_low_water: u32,
    /// The most a slow reader costs in kernel memory. Linux says twice what was asked for.
    pub send_buffer: usize,
}

/// Sets the options of a connection, or of a listening socket for what it will accept.
///
/// # Errors
///
/// If the kernel refuses; the connection is not usable then.
pub fn apply(stream: &impl AsFd, settings: &SocketSettings) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(settings.keepalive)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_PROBES),
    )?;
    socket.set_tcp_user_timeout(Some(settings.user_timeout))?;
    let low_water = u32::try_from(settings.unsent_low_water.0).unwrap_or(u32::MAX);
    socket.set_tcp_notsent_lowat(low_water)?;
    socket.set_send_buffer_size(settings.send_buffer.as_usize())
}

/// Reads the options back.
///
/// # Errors
///
/// If the kernel refuses.
pub fn read(stream: &impl AsFd) -> io::Result<Options> {
    let socket = SockRef::from(stream);
    Ok(Options {
        nodelay: socket.tcp_nodelay()?,
        keepalive: socket.keepalive()?,
        user_timeout: socket.tcp_user_timeout()?,
        unsent_low_water: socket.tcp_notsent_lowat()?,
        send_buffer: socket.send_buffer_size()?,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_kernel_has_what_we_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let settings = SocketSettings::default();
        apply(&stream, &settings).unwrap();
        let options = read(&stream).unwrap();
        assert!(options.nodelay && options.keepalive);
        assert_eq!(options.user_timeout, Some(settings.user_timeout));
        assert_eq!(u64::from(options.unsent_low_water), settings.unsent_low_water.0);
        assert!(options.send_buffer >= settings.send_buffer.as_usize());
    }
}
