//! The language chat-client and chat-server speak. No IO, no clock, no tasks, no globals.
//!
//! ```text
//!   message    what is said        serde + bincode
//!   channel    who is speaking     Noise handshake, AEAD per packet
//!   transport  TCP: packets in a byte stream behind a u16 length
//! ```
//!
//! [`connection`] stacks the three into the one type a driver holds; the layers share only byte
//! slices and never import one another. The wire is written down in `protocol/README.md`; comments
//! cite it as `wire §n`.
//!
//! # Run loop
//!
//! Every machine here, in the relay's `hub` and in the client's `engine` is a value. Inputs are
//! `handle_*`, outputs `poll_*`. A driver feeds one input, drains every output until `None`, asks
//! for the next deadline, and only then waits. Time (`now`) and randomness are arguments; `now`
//! never goes back.

pub mod channel;
pub mod connection;
pub mod entropy;
pub mod ids;
pub mod invitation;
pub mod lab;
pub mod limits;
pub mod message;
mod octets;
pub mod offer;
pub mod time;
pub mod transport;
