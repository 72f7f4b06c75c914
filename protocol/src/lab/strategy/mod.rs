//! Ways to get messages across a path that loses packets, each a small pure state machine: the
//! textbook's three, two that are in wide use, and the one that this crate ships.
//!
//! ```text
//!   messages ─▶ Sender ── packets ──▶ path ──▶ Receiver ─▶ messages
//!                  ◀── acknowledgements ── path ◀──┘
//! ```
//!
//! A strategy is a [`Sender`] and a [`Receiver`]. All are driven in the same way, over the same loss
//! tape, and say of each packet what is in it and why it leaves ([`Label`]): that is what an
//! experiment records. Anybody can write another one and run it beside these.

mod boxed;
mod go_back_n;
mod in_order;
mod kcp;
mod ours;
mod selective_repeat;
mod stop_and_wait;
mod tcp;
mod timer;

use std::time::Duration;

pub use self::{
    go_back_n::GoBackN,
    in_order::InOrder,
    kcp::{Kcp, KcpReceiver},
    ours::Ours,
    selective_repeat::{SelectiveRepeat, SelectiveRepeatReceiver},
    stop_and_wait::StopAndWait,
    tcp::{Tcp, TcpReceiver},
    timer::Timer,
};
use crate::{time::Timestamp, transport::datagram::Reason};

/// The half that has messages to deliver.
///
/// After each input, [`Self::poll_packet`] until it gives nothing, then wait for what arrives and for
/// [`Self::poll_timeout`].
pub trait Sender {
    /// Takes a message of a conversation; those of one conversation are delivered in this order.
    fn write(&mut self, now: Timestamp, conversation: u8, message: &[u8]);

    /// Takes a packet that the receiver sent.
    fn handle_packet(&mut self, now: Timestamp, packet: &[u8]);

    /// Time has come to what [`Self::poll_timeout`] said.
    fn handle_timeout(&mut self, now: Timestamp);

    /// A packet that leaves now.
    fn poll_packet(&mut self, now: Timestamp) -> Option<Outgoing>;

    /// When time alone changes something.
    fn poll_timeout(&self) -> Option<Timestamp>;

    /// Whether every message is known to have arrived.
    fn is_done(&self) -> bool;

    /// What it believes and holds just now.
    fn gauges(&self) -> Gauges;
}

/// The half that gives messages out.
pub trait Receiver {
    /// Takes a packet that the sender sent.
    fn handle_packet(&mut self, now: Timestamp, packet: &[u8]);

    /// Time has come to what [`Self::poll_timeout`] said.
    fn handle_timeout(&mut self, _now: Timestamp) {}

    /// A packet that leaves now.
    fn poll_packet(&mut self, now: Timestamp) -> Option<Outgoing>;

    /// The next message, in order and once.
    fn poll_message(&mut self) -> Option<Vec<u8>>;

    /// When time alone changes something.
    fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }
}

/// A packet on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What it is, for people.
    pub label: Label,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// It carries messages, or parts of them.
    Data {
        /// The strategy's number for what it carries: the same whenever it carries that.
        number: u64,
        /// Why it leaves.
        cause: Cause,
    },
    /// It says what has arrived.
    Ack {
        /// The newest number it names, or the next one that is wanted.
        number: u64,
    },
}

/// Why a packet with data leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// For the first time.
    First,
    /// No acknowledgement came in time.
    Timeout,
    /// Later packets arrived.
    Overtaken,
    /// One before it is sent again, and so are all that follow.
    GoBack,
    /// To be on the safe side.
    Copy,
}

impl Cause {
    /// All. Their places are on the wire of [`remote`](super::remote).
    pub const ALL: [Self; 5] =
        [Self::First, Self::Timeout, Self::Overtaken, Self::GoBack, Self::Copy];

    /// Why a packet of a session of ours left, if it carries messages.
    pub const fn of(reason: Reason) -> Option<Self> {
        match reason {
            Reason::Control => None,
            Reason::First => Some(Self::First),
            Reason::Order | Reason::Time => Some(Self::Overtaken),
            Reason::Overdue => Some(Self::Timeout),
            Reason::Copy => Some(Self::Copy),
        }
    }

    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Timeout => "timeout",
            Self::Overtaken => "overtaken",
            Self::GoBack => "go-back",
            Self::Copy => "copy",
        }
    }
}

/// What a sender believes and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Smoothed round trip, once there is one.
    pub round_trip: Option<Duration>,
    /// How long it would wait now before it sends again.
    pub timeout: Duration,
    /// Packets that may be under way.
    pub window: u64,
    /// Packets that are.
    pub in_flight: u64,
}

/// The packets of the textbook's strategies: kind, number, message.
mod wire {
    const DATA: u8 = 0;
    const ACK: u8 = 1;

    pub(super) enum Packet<'p> {
        Data { number: u64, message: &'p [u8] },
        Ack { number: u64 },
    }

    pub(super) fn data(number: u64, message: &[u8]) -> Vec<u8> {
        [&[DATA], &number.to_be_bytes()[..], message].concat()
    }

    pub(super) fn ack(number: u64) -> Vec<u8> {
        [&[ACK], &number.to_be_bytes()[..]].concat()
    }

    pub(super) fn read(packet: &[u8]) -> Option<Packet<'_>> {
        let (kind, rest) = packet.split_first()?;
        let (number, message) = rest.split_first_chunk()?;
        let number = u64::from_be_bytes(*number);
        match *kind {
            DATA => Some(Packet::Data { number, message }),
            ACK => Some(Packet::Ack { number }),
            _ => None,
        }
    }
}
