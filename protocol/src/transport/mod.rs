//! How packets travel. [`packet`] says what kinds there are and how the clear ones look, the same
//! on every transport; [`stream`] puts them into a byte stream, and [`datagram`] makes datagrams
//! reliable.

pub mod datagram;
pub mod packet;
pub mod stream;

/// What carries the packets. It is bound into the handshake, so that a packet captured on one
/// transport is worthless on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportKind {
    /// A byte stream with length-prefixed packets: TCP.
    Stream,
    /// One packet in each datagram: UDP.
    Datagram,
}

impl TransportKind {
    /// Its number in the handshake's prologue (wire §4.2).
    pub const fn number(self) -> u8 {
        match self {
            Self::Stream => 1,
            Self::Datagram => 2,
        }
    }
}
