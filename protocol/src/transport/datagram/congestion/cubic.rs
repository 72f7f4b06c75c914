//! RFC 9438: the window grows by a cubic function of the time since the last loss, so that it comes
//! back fast to where the path was full, stays there for a while, and then looks for more.
//!
//! In integers, so that a run replays everywhere: times in milliseconds, windows in bytes.

use super::{Acked, Lost, Recovery, minimum_window};
use crate::{time::Timestamp, transport::datagram::tuning::INITIAL_WINDOW_DATAGRAMS};

/// What remains of the window after a loss, in tenths (RFC 9438 §4.6).
const BETA: u64 = 7;
/// How steep the function is: four tenths of a datagram in the first second (RFC 9438 §5.1).
const C: u128 = 4;

/// Longer times count as eleven days.
const TIME_MAX_MILLIS: u64 = 1_000_000_000;

/// The window of RFC 9438.
#[derive(Clone, Debug)]
pub(in crate::transport::datagram) struct Cubic {
    datagram_bytes: u64,
    window: u64,
    /// Below it the window doubles; `None` until the first loss.
    threshold: Option<u64>,
    recovery: Recovery,
    /// Where the path was full.
    largest: u64,
    epoch: Option<Epoch>,
}

/// Growth since the last loss.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    began: Timestamp,
    /// When the function reaches `largest` again.
    plateau_millis: u64,
    /// What a window of Reno would be by now, and the bytes acknowledged towards its next step.
    reno: u64,
    reno_acked: u64,
}

impl Cubic {
    pub(super) const fn new(datagram_bytes: u64) -> Self {
        Self {
            datagram_bytes,
            window: INITIAL_WINDOW_DATAGRAMS * datagram_bytes,
            threshold: None,
            recovery: Recovery(None),
            largest: 0,
            epoch: None,
        }
    }

    pub(super) const fn window_bytes(&self) -> u64 {
        self.window
    }

    pub(super) const fn set_datagram_bytes(&mut self, bytes: u64) {
        self.datagram_bytes = bytes;
    }

    pub(super) fn on_acked(&mut self, acked: &Acked) {
        let is_recovering = self.recovery.covers(acked.sent_at);
        if is_recovering {
            return;
        }
        if !acked.is_window_limited {
            // Time in which the window was not used is not time since the loss (RFC 9438 §5.8).
            self.epoch = None;
            return;
        }
        if self.threshold.is_none_or(|threshold| self.window < threshold) {
            self.window += acked.bytes;
            return;
        }
        let mut epoch = self.epoch.unwrap_or_else(|| self.begin_epoch(acked.now));
        let reached = self.at(&epoch, millis(acked.now, epoch.began));
        self.advance_reno(&mut epoch, acked.bytes);
        if reached < epoch.reno {
            // Where Reno would be faster, be as fast (RFC 9438 §4.3).
            self.window = self.window.max(epoch.reno);
        } else {
            let rtt = u64::try_from(acked.rtt.smoothed().as_millis()).unwrap_or(u64::MAX);
            let target = self.at(&epoch, millis(acked.now, epoch.began).saturating_add(rtt));
            let target = target.clamp(self.window, self.window * 3 / 2);
            self.window += (target - self.window) * acked.bytes / self.window;
        }
        self.epoch = Some(epoch);
    }

    pub(super) fn on_lost(&mut self, lost: &Lost) {
        if self.recovery.begins_with(lost) {
            // Somebody else came: give way faster (RFC 9438 §4.7).
            let is_less = self.window < self.largest;
            self.largest = if is_less { self.window * (10 + BETA) / 20 } else { self.window };
            let smallest = minimum_window(self.datagram_bytes);
            self.window = (self.window * BETA / 10).max(smallest);
            self.threshold = Some(self.window);
            self.epoch = None;
        }
        if lost.is_persistent {
            self.window = minimum_window(self.datagram_bytes);
            self.recovery = Recovery::default();
            self.epoch = None;
        }
    }

    fn begin_epoch(&mut self, now: Timestamp) -> Epoch {
        if self.largest < self.window {
            self.largest = self.window;
        }
        let missing = u128::from(self.largest - self.window);
        // K = cbrt((largest - window) / C), with C in tenths of datagrams per cubic second.
        let cube = missing * 10_000_000_000 / (C * u128::from(self.datagram_bytes));
        Epoch { began: now, plateau_millis: cube_root(cube), reno: self.window, reno_acked: 0 }
    }

    /// `W_cubic` at so many milliseconds of an epoch (RFC 9438 §4.2).
    fn at(&self, epoch: &Epoch, at_millis: u64) -> u64 {
        let distance = at_millis.abs_diff(epoch.plateau_millis).min(TIME_MAX_MILLIS);
        let distance = u128::from(distance);
        let grown = distance.pow(3) * C * u128::from(self.datagram_bytes) / 10_000_000_000;
        let grown = u64::try_from(grown).unwrap_or(u64::MAX);
        if at_millis < epoch.plateau_millis {
            self.largest.saturating_sub(grown)
        } else {
            self.largest.saturating_add(grown)
        }
    }

    /// Reno with the same average window: `3 (1 - beta) / (1 + beta)` datagrams in a round trip until
    /// it is where the loss was, then one (RFC 9438 §4.3).
    fn advance_reno(&self, epoch: &mut Epoch, bytes: u64) {
        let is_below = epoch.reno < self.largest;
        epoch.reno_acked += if is_below { bytes * 3 * (10 - BETA) / (10 + BETA) } else { bytes };
        if epoch.reno_acked >= epoch.reno {
            epoch.reno_acked -= epoch.reno;
            epoch.reno += self.datagram_bytes;
        }
    }
}

fn millis(now: Timestamp, began: Timestamp) -> u64 {
    u64::try_from(now.since(began).as_millis()).unwrap_or(u64::MAX)
}

/// The largest number whose cube is not larger, up to [`TIME_MAX_MILLIS`].
fn cube_root(cube: u128) -> u64 {
    let (mut low, mut high) = (0, TIME_MAX_MILLIS);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if u128::from(middle).pow(3) <= cube { low = middle } else { high = middle - 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::transport::datagram::rtt::Rtt;

    /// Acknowledges a whole window at a time, a round trip of 100 ms after the other.
    fn round(cubic: &mut Cubic, number: u64) {
        let now = Timestamp::from_micros(number * 100_000);
        cubic.on_acked(&Acked {
            now,
            bytes: cubic.window_bytes(),
            sent_at: now - Duration::from_millis(100),
            in_flight: cubic.window_bytes(),
            is_window_limited: true,
            rate: None,
            delivered: 0,
            rtt: Rtt::new(Some(Duration::from_millis(100))),
        });
    }

    fn lose(cubic: &mut Cubic, number: u64) {
        let now = Timestamp::from_micros(number * 100_000 + 50_000);
        cubic.on_lost(&Lost {
            now,
            bytes: 1_000,
            sent_at: now,
            is_persistent: false,
            is_marked: false,
        });
    }

    #[test]
    fn cube_roots_are_whole() {
        assert_eq!([0, 1, 7, 8, 26, 27, 1_000_000].map(cube_root), [0, 1, 1, 2, 2, 3, 100]);
    }

    #[test]
    fn it_comes_back_to_where_the_loss_was_and_rests_there() {
        let mut cubic = Cubic::new(1_000);
        for number in 0..5 {
            round(&mut cubic, number);
        }
        let full = cubic.window_bytes();
        assert_eq!(full, 320_000);
        lose(&mut cubic, 5);
        assert_eq!(cubic.window_bytes(), 224_000);
        // K = cbrt(96 / 0.4) = 6.2 s.
        let windows: Vec<u64> = (7..140)
            .map(|number| {
                round(&mut cubic, number);
                cubic.window_bytes()
            })
            .collect();
        assert!(windows.is_sorted());
        let after = |seconds: usize| windows[seconds * 10];
        assert!((full * 99 / 100..=full * 101 / 100).contains(&after(6)), "{}", after(6));
        assert!(after(7) - after(5) < after(1) - 224_000, "a plateau: {windows:?}");
        assert!(after(12) > full * 12 / 10, "{}", after(12));
    }

    #[test]
    fn a_second_loss_below_the_first_gives_way() {
        let mut cubic = Cubic::new(1_000);
        for number in 0..5 {
            round(&mut cubic, number);
        }
        lose(&mut cubic, 5);
        round(&mut cubic, 7);
        lose(&mut cubic, 8);
        assert!(cubic.largest < 224_000, "{}", cubic.largest);
        lose(&mut cubic, 8);
        let window = cubic.window_bytes();
        lose(&mut cubic, 8);
        assert_eq!(cubic.window_bytes(), window, "one loss of one round trip");
    }
}
