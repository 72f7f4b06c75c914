//! The relay: durable, ordered conversations between terminals.
//!
//! ```text
//!   server    one relay: threads and sockets         hub      decides: rights, order, dedupe
//!   shard     sockets and sessions, one thread each  store    journal, segments, tables
//!   session   one device's connection, pure          threads  hub, committer, indexer, readers
//! ```
//!
//! `hub` and `session` are values; everything that waits is in `server`, `shard`, `threads`,
//! `net` and `store`. The program around it is `cli`, `config`, `report` and `main.rs`.

pub mod backup;
pub mod cli;
mod clock;
pub mod config;
pub mod control;
pub mod hub;
pub mod invite;
pub mod key;
#[cfg_attr(not(feature = "lab"), path = "no_lab.rs")]
pub mod lab;
pub mod logging;
pub mod net;
pub mod offline;
pub mod operator;
pub mod process;
pub mod report;
pub mod runtime_file;
pub mod server;
pub mod session;
mod shard;
pub mod store;
pub mod tail;
mod threads;

pub use self::server::Server;
