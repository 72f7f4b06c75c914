//! The relay: durable, ordered conversations between terminals.
//!
//! ```text
//!   net        sockets, one shard per core        hub      decides: rights, order, dedupe
//!   session    one device's connection, pure      store    journal, segments, tables
//! ```

pub mod hub;
pub mod session;
pub mod store;
pub mod tail;
