//! A pipe over datagrams, to measure the transport between real networks beside others: `pipe listen`
//! and `pipe send` carry messages from one program's standard input to the other's standard output.
//!
//! Each message is a little-endian `u32` length and so many bytes. All of them travel in one stream,
//! sealed, after the usual handshake; only rooms, histories, disks and congestion marks are missing.

mod listen;
mod send;

use std::{
    io,
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use protocol::{channel::keys::StaticKey, time::Timestamp};

/// The largest datagram there is.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// What is asked of the kernel for each direction.
const BUFFER_BYTES: usize = 1 << 20;
/// Both ends know these keys: nothing is secret here.
const LISTENER_SEED: [u8; 32] = [1; 32];
const SENDER_SEED: [u8; 32] = [2; 32];
/// The number of a message that no version knows: it is carried as it is.
const MESSAGE_NUMBER: u64 = 250;

/// Carries messages over datagrams.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    end: End,
}

/// Which end this is.
#[derive(Debug, Subcommand)]
enum End {
    /// Writes what arrives to standard output
    Listen {
        /// Where
        address: SocketAddr,
    },
    /// Sends what is read from standard input
    Send {
        /// Where to
        address: SocketAddr,
    },
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.and_then(|runtime| {
        runtime.block_on(async {
            match Cli::parse().end {
                End::Listen { address } => listen::run(address).await,
                End::Send { address } => send::run(address).await,
            }
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The clock of one end.
#[derive(Clone, Copy, Debug)]
struct Clock(Instant);

impl Clock {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn now(self) -> Timestamp {
        Timestamp::from_micros(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Sleeps until then; for ever, if there is no such time.
    async fn sleep_until(self, due: Option<Timestamp>) {
        match due {
            Some(due) => {
                let at = self.0 + Duration::from_micros(due.as_micros());
                tokio::time::sleep_until(at.into()).await;
            }
            None => std::future::pending().await,
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<tokio::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    let options = socket2::SockRef::from(&socket);
    options.set_recv_buffer_size(BUFFER_BYTES)?;
    options.set_send_buffer_size(BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    tokio::net::UdpSocket::from_std(socket)
}

fn key(seed: [u8; 32]) -> Arc<StaticKey> {
    Arc::new(StaticKey::from_bytes(seed))
}
