//! An experiment whose receiver is on another host: the sender, its faults and what is noted stay
//! here, and packets cross a real network in between, in real time.
//!
//! ```text
//!              what a Live run is made of                         a Host, for many
//!   sender ──▶ faults out ──▶ Guest ────── datagrams ──────▶ receiver
//!          ◀── faults back ◀─       ◀───── datagrams ───────
//! ```
//!
//! Fates are drawn here in both directions, as in virtual time: the n-th packet out meets the same
//! fate under the same seed, and so does the n-th that comes back. Times are those of the day, and
//! what the real network loses comes on top.
//!
//! Each datagram begins with `LAB1`, the first four bytes of the SHA-256 of what follows, a kind, and
//! eight bytes that name the run, chosen by the guest. Numbers are big endian:
//!
//! ```text
//!   0 ask      plan, zeros: 128 bytes in all   guest     5 packet   packet                  guest
//!   1 cookie   cookie                          host      6 answer   report, label, packet   host
//!   2 begin    plan, cookie                    guest     7 look     number (4), zeros       guest
//!   3 begun                                    host      8 seen     number (4), report      host
//!   4 refused                                  host      9 leave                            guest
//!
//!   plan       strategy, by its place in `Strategy::ALL` (1); conversations (1); bytes of a message
//!              (2); round trip in µs (4)
//!   report     entries (1), each a conversation (1) and how many of its messages were given out (4)
//!   label      what the packet is: 0 acknowledgement, 1 + place in `Cause::ALL` for data (1); its
//!              number (8). Label and packet are absent if there is only news.
//! ```
//!
//! A guest asks, brings the cookie back, and is begun or refused ([`Knock`]). Then packets go out and
//! answers come back, once a packet or when a timer of the receiver says so. A look is answered with
//! everything that was given out, as far as the answer is no larger than the look, and shows each end
//! that the other one is there. Who leaves is forgotten at once, who falls silent after
//! [`host::SILENCE_MAX`].
//!
//! Before a host has its cookie back it keeps nothing, and sends less than it got: nobody can turn it
//! against somebody else.

pub mod guest;
pub mod host;
mod knock;
mod live;
mod wire;

use std::time::Duration;

pub use self::{
    guest::Guest,
    host::Host,
    knock::{Knock, Reply},
    live::{Live, LiveError, Progress},
};
use super::{experiment::Experiment, scenario::Strategy};

/// How long a run may last: a host keeps it no longer.
pub const LASTS_MAX: Duration = Duration::from_secs(900);

/// Which run of a guest.
pub type RunName = [u8; 8];

/// What a host has to know of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    strategy: Strategy,
    conversations: u8,
    message_bytes: u16,
    round_trip: Duration,
}

impl Plan {
    /// That of an experiment with this strategy.
    pub fn new(strategy: Strategy, experiment: &Experiment) -> Self {
        Self {
            strategy,
            conversations: experiment.traffic.conversations,
            // No scenario has larger messages than a host takes.
            message_bytes: u16::try_from(experiment.traffic.bytes).unwrap_or(u16::MAX),
            round_trip: experiment.round_trip(),
        }
    }
}

/// How many messages of a conversation were given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Given {
    conversation: u8,
    messages: u32,
}
