//! Connections over datagrams: the handshake that is repeated until it is answered, and sessions
//! whose packets are lost, doubled and overtake one another (wire §10).
//!
//! ```text
//!   Client     one session, from the device's side
//!   Endpoint   all sessions of a relay's socket, found by connection id
//!   Session    what both have after the handshake: keys, transport, messages
//! ```
//!
//! Nothing that does not authenticate ends an attempt or a session: anybody can send a datagram.

mod client;
mod cookie;
mod endpoint;
mod header;
mod session;
mod whereabouts;

pub use self::{
    client::Client,
    endpoint::{Address, Endpoint, EndpointConfig, PROVISIONAL_MAX, WAITING_MAX},
    header::shard_of,
    session::{Received, Session, SessionError},
};
pub(crate) use self::{cookie::Cookies, endpoint::InitDigest};
