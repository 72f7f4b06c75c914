//! How much may be under way. A [`Controller`] hears what was sent, acknowledged and lost, and says
//! how large the window is and how fast it may leave.

mod bbr;
mod cubic;
mod new_reno;
mod rate;

use std::time::Duration;

pub(super) use self::rate::{DeliveryRate, RateSample, Snapshot};
use self::{bbr::Bbr, cubic::Cubic, new_reno::NewReno};
use super::{rtt::Rtt, tuning::MINIMUM_WINDOW_DATAGRAMS};
use crate::time::Timestamp;

/// Which algorithm decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// A model of rate and round trip (draft-ietf-ccwg-bbr): loss alone says nothing.
    #[default]
    Bbr,
    /// RFC 9438.
    Cubic,
    /// RFC 9002 §7, Appendix B.
    NewReno,
}

/// What a controller hears of an acknowledgement: all of it at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acked {
    pub(super) now: Timestamp,
    /// Bytes that arrived.
    pub(super) bytes: u64,
    /// When the newest of the packets was sent.
    pub(super) sent_at: Timestamp,
    /// Bytes under way before.
    pub(super) in_flight: u64,
    /// Whether the window, and not the application, limited what was under way.
    pub(super) is_window_limited: bool,
    pub(super) rate: Option<RateSample>,
    /// Bytes that have arrived since the beginning.
    pub(super) delivered: u64,
    pub(super) rtt: Rtt,
}

/// What a controller hears of losses: all that one look at the packets found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    pub(super) now: Timestamp,
    /// Bytes that were given up.
    pub(super) bytes: u64,
    /// When the newest of the packets was sent.
    pub(super) sent_at: Timestamp,
    /// Everything was lost for so long that the window begins anew (RFC 9002 §7.6).
    pub(super) is_persistent: bool,
    /// Nothing was lost, but marked: a router says that it would have been.
    pub(super) is_marked: bool,
}

/// An algorithm with its state.
#[derive(Clone, Debug)]
pub(super) enum Controller {
    Bbr(Box<Bbr>),
    Cubic(Cubic),
    NewReno(NewReno),
}

impl Controller {
    pub(super) fn new(algorithm: Algorithm, datagram_bytes: u64) -> Self {
        match algorithm {
            Algorithm::Bbr => Self::Bbr(Box::new(Bbr::new(datagram_bytes))),
            Algorithm::Cubic => Self::Cubic(Cubic::new(datagram_bytes)),
            Algorithm::NewReno => Self::NewReno(NewReno::new(datagram_bytes)),
        }
    }

    pub(super) fn on_acked(&mut self, acked: &Acked) {
        match self {
            Self::Bbr(bbr) => bbr.on_acked(acked),
            Self::Cubic(cubic) => cubic.on_acked(acked),
            Self::NewReno(reno) => reno.on_acked(acked),
        }
    }

    pub(super) fn on_lost(&mut self, lost: &Lost) {
        match self {
            Self::Bbr(bbr) => bbr.on_lost(lost),
            Self::Cubic(cubic) => cubic.on_lost(lost),
            Self::NewReno(reno) => reno.on_lost(lost),
        }
    }

    /// The path carries datagrams of this size now.
    pub(super) fn set_datagram_bytes(&mut self, bytes: u64) {
        match self {
            Self::Bbr(bbr) => bbr.set_datagram_bytes(bytes),
            Self::Cubic(cubic) => cubic.set_datagram_bytes(bytes),
            Self::NewReno(reno) => reno.set_datagram_bytes(bytes),
        }
    }

    /// Bytes that may be under way.
    pub(super) fn window_bytes(&self) -> u64 {
        match self {
            Self::Bbr(bbr) => bbr.window_bytes(),
            Self::Cubic(cubic) => cubic.window_bytes(),
            Self::NewReno(reno) => reno.window_bytes(),
        }
    }

    /// Bytes that may leave in a second.
    pub(super) fn pacing_rate(&self, rtt: Duration) -> u64 {
        match self {
            Self::Bbr(bbr) => bbr.pacing_rate(rtt),
            Self::Cubic(cubic) => paced(cubic.window_bytes(), rtt),
            Self::NewReno(reno) => paced(reno.window_bytes(), rtt),
        }
    }
}

/// One reaction for all losses of a round trip (RFC 9002 §7.3.2).
#[derive(Clone, Copy, Debug, Default)]
struct Recovery(Option<Timestamp>);

impl Recovery {
    /// Whether what was sent then, and is acknowledged now, was sent before the loss was known.
    fn covers(self, sent_at: Timestamp) -> bool {
        self.0.is_some_and(|since| sent_at <= since)
    }

    /// Notes losses; true if they are not of the round trip that was reacted to.
    fn begins_with(&mut self, lost: &Lost) -> bool {
        let is_new = !self.covers(lost.sent_at);
        if is_new {
            self.0 = Some(lost.now);
        }
        is_new
    }
}

/// A window spread over a round trip, and a quarter faster, so that it is never the pace that keeps
/// the window from being used (RFC 9002 §7.7).
fn paced(window_bytes: u64, rtt: Duration) -> u64 {
    let micros = rtt.as_micros().max(1);
    let rate = u128::from(window_bytes) * 1_250_000 / micros;
    u64::try_from(rate).unwrap_or(u64::MAX).max(1)
}

/// The smallest window.
const fn minimum_window(datagram_bytes: u64) -> u64 {
    MINIMUM_WINDOW_DATAGRAMS * datagram_bytes
}
