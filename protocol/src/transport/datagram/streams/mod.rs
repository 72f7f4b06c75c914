//! Streams: bytes in order, each stream independent of the others.
//!
//! A direction has [`STREAMS`](super::frame::STREAMS) of them. Number 0 is the session's own. A
//! sender gives any other to whatever has an order of its own, a conversation, as soon as it says
//! something, and takes the stream back once all of it is acknowledged. So what is lost in one
//! conversation holds back no other, nothing has to be opened or closed, and the state of a quiet
//! stream is one number. It also keeps the order of a conversation that moves to another stream:
//! what it said before had arrived, and a reader takes streams in the order in which they became
//! readable.

mod receive;
mod send;

use super::sent::Reason;

pub use self::receive::StreamViolation;
pub(super) use self::{receive::ReceiveStreams, send::SendStreams};

/// What is sent in order: everything under one key. The smaller class goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamKey {
    /// The session itself.
    Session,
    /// What happens in a conversation now.
    Live([u8; 16]),
    /// What happened in it before, asked for by the page: it has time.
    History([u8; 16]),
}

/// A part of a stream, as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) stream: u8,
    pub(super) start: u64,
    pub(super) end: u64,
    /// How often it was sent before, copies of one try counted once.
    pub(super) tries: u8,
    /// Why it travels this time.
    pub(super) reason: Reason,
}
