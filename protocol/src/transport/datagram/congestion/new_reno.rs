//! RFC 9002 §7 and Appendix B.

use super::{Acked, Lost, Recovery, minimum_window};
use crate::transport::datagram::tuning::INITIAL_WINDOW_DATAGRAMS;

/// The window of RFC 9002: doubled each round trip, then one datagram more each, halved by loss.
#[derive(Clone, Debug)]
pub(crate) struct NewReno {
    datagram_bytes: u64,
    window: u64,
    /// Below it the window doubles; `None` until the first loss.
    threshold: Option<u64>,
    recovery: Recovery,
    /// Bytes acknowledged towards the next datagram of growth.
    acked: u64,
}

impl NewReno {
    pub(super) const fn new(datagram_bytes: u64) -> Self {
        Self {
            datagram_bytes,
            window: INITIAL_WINDOW_DATAGRAMS * datagram_bytes,
            threshold: None,
            recovery: Recovery(None),
            acked: 0,
        }
    }

    pub(super) const fn window_bytes(&self) -> u64 {
        self.window
    }

    pub(super) const fn set_datagram_bytes(&mut self, bytes: u64) {
        self.datagram_bytes = bytes;
    }

    pub(super) fn on_acked(&mut self, acked: &Acked) {
        // A window that is not used says nothing about the path (RFC 9002 §7.8).
        let is_recovering = self.recovery.covers(acked.sent_at);
        if is_recovering || !acked.is_window_limited {
            return;
        }
        if self.threshold.is_none_or(|threshold| self.window < threshold) {
            self.window += acked.bytes;
            return;
        }
        self.acked += acked.bytes;
        if self.acked >= self.window {
            self.acked -= self.window;
            self.window += self.datagram_bytes;
        }
    }

    pub(super) fn on_lost(&mut self, lost: &Lost) {
        if self.recovery.begins_with(lost) {
            self.window = (self.window / 2).max(minimum_window(self.datagram_bytes));
            self.threshold = Some(self.window);
            self.acked = 0;
        }
        if lost.is_persistent {
            self.window = minimum_window(self.datagram_bytes);
            self.recovery = Recovery::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{time::Timestamp, transport::datagram::rtt::Rtt};

    fn acked(sent_at: u64, bytes: u64) -> Acked {
        Acked {
            now: Timestamp::from_micros(sent_at + 40_000),
            bytes,
            sent_at: Timestamp::from_micros(sent_at),
            in_flight: bytes,
            is_window_limited: true,
            rate: None,
            delivered: bytes,
            rtt: Rtt::new(Some(Duration::from_millis(40))),
        }
    }

    fn lost(sent_at: u64, now: u64, is_persistent: bool) -> Lost {
        let (now, sent_at) = (Timestamp::from_micros(now), Timestamp::from_micros(sent_at));
        Lost { now, bytes: 1_000, sent_at, is_persistent, is_marked: false }
    }

    #[test]
    fn it_doubles_then_halves_once_for_each_round_trip_then_grows_slowly() {
        let mut reno = NewReno::new(1_000);
        reno.on_acked(&acked(0, 10_000));
        assert_eq!(reno.window_bytes(), 20_000);
        reno.on_lost(&lost(10, 100, false));
        reno.on_lost(&lost(50, 120, false));
        assert_eq!(reno.window_bytes(), 10_000);
        reno.on_acked(&acked(60, 10_000));
        assert_eq!(reno.window_bytes(), 10_000, "sent before the loss was known");
        reno.on_acked(&acked(130, 10_000));
        assert_eq!(reno.window_bytes(), 11_000);
        reno.on_lost(&lost(150, 200, true));
        assert_eq!(reno.window_bytes(), 2_000);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut reno = NewReno::new(1_000);
        reno.on_acked(&Acked { is_window_limited: false, ..acked(0, 10_000) });
        assert_eq!(reno.window_bytes(), 10_000);
    }
}
