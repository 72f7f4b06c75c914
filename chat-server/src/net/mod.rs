//! The relay's sockets, up to where a shard takes a connection over.

pub(crate) mod acceptor;
pub mod admission;
pub mod listen;
pub mod options;
#[cfg(target_os = "linux")]
mod steering;
pub(crate) mod udp;
