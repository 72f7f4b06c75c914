//! A model of the path instead of a reaction to loss: how much it delivers and how long it takes
//! when no queue is on it (draft-ietf-ccwg-bbr, from which the states and gains are).
//!
//! What is different here, and why:
//!
//! - Loss alone never lowers the model. On radio paths a tenth of all packets is lost with the path
//!   empty, and a window that shrinks for it starves. Loss counts only while the round trip shows a
//!   queue, or when everything is lost.
//! - The pace makes up for what is lost without a queue, up to half: what is controlled is the rate
//!   that arrives. With a fifth lost, a probe at 5/4 of the rate would otherwise find nothing.

use std::{collections::VecDeque, time::Duration};

use super::{Acked, Lost, minimum_window};
use crate::{
    time::Timestamp,
    transport::datagram::{rtt::Rtt, tuning::INITIAL_WINDOW_DATAGRAMS},
};

/// Hundredths. Doubles the rate in each round trip: 4 ln 2.
const STARTUP_GAIN: u64 = 277;
/// Empties in one round trip the queue that the start has made.
const DRAIN_GAIN: u64 = 50;
/// Phases of steady state, a shortest round trip each: probe for more, give back, cruise.
const CYCLE_GAINS: [u64; 8] = [125, 75, 100, 100, 100, 100, 100, 100];
/// Window in shortest round trips at the measured rate: one for the path, one for acknowledgements
/// that come late and together.
const WINDOW_GAIN: u64 = 200;
/// Round trips over which the largest rate counts.
const RATE_ROUNDS: u64 = 10;
/// Round trips without a quarter of growth, after which the path counts as full.
const FULL_ROUNDS: u32 = 3;
/// How long the shortest round trip counts, before a queue of our own has to be ruled out.
const SHORTEST_COUNTS: Duration = Duration::from_secs(10);
/// How long the window is small then.
const LOOK_TAKES: Duration = Duration::from_millis(200);
/// Loss in a round trip that counts while there is a queue, in thousandths.
const LOSS_TOLERATED: u64 = 20;
/// What remains of the estimate after a round trip with a queue and more loss than that.
const BACK_OFF: u64 = 70;

/// The model and the state of its probing.
#[derive(Clone, Debug)]
pub(in crate::transport::datagram) struct Bbr {
    datagram_bytes: u64,
    window: u64,
    phase: Phase,
    /// Largest rates in bytes per second with the round they were measured in, falling.
    rates: VecDeque<(u64, u64)>,
    /// What loss under a queue has left of the rate, until the next probe.
    rate_limit: Option<u64>,
    shortest: Duration,
    shortest_at: Timestamp,
    round: u64,
    /// The round ends when so many bytes have been delivered.
    round_ends: u64,
    /// Rate at which growth was last seen, and rounds since.
    full_rate: u64,
    full_rounds: u32,
    is_full: bool,
    /// Bytes of this round.
    acked: u64,
    lost: u64,
    /// Share lost without a queue, in thousandths, smoothed.
    loss: u64,
    has_queue: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Startup,
    Drain,
    Cycle {
        at: usize,
        since: Timestamp,
    },
    /// Looks at the round trip with next to nothing under way.
    Look {
        until: Timestamp,
    },
}

impl Bbr {
    pub(super) fn new(datagram_bytes: u64) -> Self {
        Self {
            datagram_bytes,
            window: INITIAL_WINDOW_DATAGRAMS * datagram_bytes,
            phase: Phase::Startup,
            rates: VecDeque::new(),
            rate_limit: None,
            shortest: Duration::MAX,
            shortest_at: Timestamp::ZERO,
            round: 0,
            round_ends: 0,
            full_rate: 0,
            full_rounds: 0,
            is_full: false,
            acked: 0,
            lost: 0,
            loss: 0,
            has_queue: false,
        }
    }

    pub(super) const fn set_datagram_bytes(&mut self, bytes: u64) {
        self.datagram_bytes = bytes;
    }

    pub(super) fn window_bytes(&self) -> u64 {
        match self.phase {
            Phase::Look { .. } => self.window.min((self.path_bytes(100) / 2).max(self.smallest())),
            Phase::Startup | Phase::Drain | Phase::Cycle { .. } => self.window,
        }
    }

    pub(super) fn pacing_rate(&self, rtt: Duration) -> u64 {
        let gain = match self.phase {
            Phase::Startup => STARTUP_GAIN,
            Phase::Drain => DRAIN_GAIN,
            Phase::Cycle { at, .. } => CYCLE_GAINS[at],
            Phase::Look { .. } => 100,
        };
        let rate = match self.rate() {
            // Nothing was measured: the first window in one round trip.
            0 => super::paced(self.window, rtt),
            rate => rate,
        };
        let arrives = 1_000 - self.loss.min(500);
        let paced = (rate.saturating_mul(gain) / 100).saturating_mul(1_000) / arrives;
        // What any path may get (RFC 9002 §7.2), whatever was measured in an outage: a model that lets
        // next to nothing leave learns next to nothing.
        paced.max(super::paced(minimum_window(self.datagram_bytes), rtt))
    }

    pub(super) fn on_acked(&mut self, acked: &Acked) {
        self.acked += acked.bytes;
        let is_round_over =
            acked.rate.is_some_and(|sample| sample.prior_delivered >= self.round_ends);
        if is_round_over {
            self.round += 1;
            self.round_ends = acked.delivered;
            self.end_round(&acked.rtt);
        }
        if let Some(sample) = acked.rate
            && (!sample.is_app_limited || sample.rate >= self.largest_rate())
        {
            self.note_rate(sample.rate);
        }
        if is_round_over {
            self.look_for_growth(acked);
        }
        let is_stale = acked.now.since(self.shortest_at) > SHORTEST_COUNTS;
        if acked.rtt.latest() <= self.shortest || is_stale {
            self.shortest = acked.rtt.latest();
            self.shortest_at = acked.now;
        }
        self.advance(acked, is_stale);
        self.grow(acked);
    }

    pub(super) fn on_lost(&mut self, lost: &Lost) {
        self.lost += lost.bytes;
        if lost.is_persistent {
            // Whatever the path was, it is another one now.
            let fresh = Self::new(self.datagram_bytes);
            *self = Self {
                window: minimum_window(self.datagram_bytes),
                round: self.round,
                round_ends: self.round_ends,
                ..fresh
            };
        }
    }

    /// Judges the losses of a round trip that is over.
    fn end_round(&mut self, rtt: &Rtt) {
        let sent = (self.acked + self.lost).max(1);
        let share = self.lost * 1_000 / sent;
        self.has_queue = rtt.smoothed() > self.shortest_or(rtt) * 5 / 4 + Duration::from_millis(5);
        if !self.has_queue {
            self.loss = (self.loss * 7 + share) / 8;
        } else if share > LOSS_TOLERATED {
            let left = self.rate() * BACK_OFF / 100;
            self.rate_limit = Some(left.max(1));
            self.is_full = true;
        }
        (self.acked, self.lost) = (0, 0);
    }

    fn shortest_or(&self, rtt: &Rtt) -> Duration {
        if self.shortest == Duration::MAX { rtt.minimum() } else { self.shortest }
    }

    fn note_rate(&mut self, rate: u64) {
        while self.rates.back().is_some_and(|(_, smaller)| *smaller <= rate) {
            self.rates.pop_back();
        }
        self.rates.push_back((self.round, rate));
        while self.rates.front().is_some_and(|(round, _)| round + RATE_ROUNDS < self.round) {
            self.rates.pop_front();
        }
    }

    fn largest_rate(&self) -> u64 {
        self.rates.front().map_or(0, |(_, rate)| *rate)
    }

    /// Bytes per second that the path delivers, as far as we want to believe.
    fn rate(&self) -> u64 {
        self.rate_limit.map_or(self.largest_rate(), |limit| limit.min(self.largest_rate()))
    }

    /// Bytes on the path at the rate, times `gain` hundredths.
    fn path_bytes(&self, gain: u64) -> u64 {
        if self.shortest == Duration::MAX {
            return INITIAL_WINDOW_DATAGRAMS * self.datagram_bytes;
        }
        let bytes = u128::from(self.rate()) * self.shortest.as_micros() * u128::from(gain);
        u64::try_from(bytes / 100_000_000).unwrap_or(u64::MAX)
    }

    /// Four: one is acknowledged while one is on its way, in both directions.
    const fn smallest(&self) -> u64 {
        4 * self.datagram_bytes
    }

    fn look_for_growth(&mut self, acked: &Acked) {
        if self.is_full || acked.rate.is_none_or(|sample| sample.is_app_limited) {
            return;
        }
        if self.largest_rate() >= self.full_rate * 5 / 4 {
            (self.full_rate, self.full_rounds) = (self.largest_rate(), 0);
        } else {
            self.full_rounds += 1;
            self.is_full = self.full_rounds >= FULL_ROUNDS;
        }
    }

    fn advance(&mut self, acked: &Acked, is_stale: bool) {
        let now = acked.now;
        let in_flight = acked.in_flight.saturating_sub(acked.bytes);
        match self.phase {
            Phase::Startup if self.is_full => self.phase = Phase::Drain,
            Phase::Drain if in_flight <= self.path_bytes(100) => self.begin_cycle(now),
            Phase::Cycle { at, since } => {
                let is_time = now.since(since) >= self.shortest;
                let is_done = match CYCLE_GAINS[at] {
                    // Until the path was filled to see whether it takes more.
                    101.. => is_time && (in_flight >= self.path_bytes(125) || self.lost > 0),
                    ..100 => is_time || in_flight <= self.path_bytes(100),
                    100 => is_time,
                };
                // A flow that does not fill the path cannot fill it to probe.
                let is_idle = is_time && !acked.is_window_limited;
                if is_done || is_idle {
                    let at = (at + 1) % CYCLE_GAINS.len();
                    if at == 0 {
                        // The next probe finds out anew.
                        self.rate_limit = None;
                    }
                    self.phase = Phase::Cycle { at, since: now };
                }
            }
            Phase::Look { until } if now >= until => self.begin_cycle(now),
            Phase::Startup | Phase::Drain | Phase::Look { .. } => {}
        }
        let can_look = self.is_full && !matches!(self.phase, Phase::Look { .. });
        if is_stale && can_look && acked.is_window_limited {
            self.phase = Phase::Look { until: now + LOOK_TAKES.max(self.shortest) };
        }
    }

    fn begin_cycle(&mut self, now: Timestamp) {
        // Behind the probe: what was just drained is not filled again at once.
        self.phase = Phase::Cycle { at: 2, since: now };
    }

    fn grow(&mut self, acked: &Acked) {
        let target = self.path_bytes(WINDOW_GAIN) + 3 * self.datagram_bytes;
        // What is lost without a queue was under way as well.
        let target = target.saturating_mul(1_000) / (1_000 - self.loss.min(500));
        self.window = if self.is_full {
            (self.window + acked.bytes).min(target)
        } else if acked.is_window_limited {
            self.window + acked.bytes
        } else {
            self.window
        }
        .max(self.smallest());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::datagram::congestion::RateSample;

    /// Acknowledges a window in each round trip of 40 ms, delivered at `rate`.
    fn round(bbr: &mut Bbr, number: u64, rate: u64, round_trip: Duration) {
        let mut rtt = Rtt::new(Some(Duration::from_millis(40)));
        for _ in 0..50 {
            rtt.measure(round_trip, Duration::ZERO);
        }
        let sample = RateSample { rate, prior_delivered: number * 100_000, is_app_limited: false };
        bbr.on_acked(&Acked {
            now: Timestamp::from_micros(number * 40_000),
            bytes: 50_000,
            sent_at: Timestamp::from_micros((number - 1) * 40_000),
            in_flight: 90_000,
            is_window_limited: true,
            rate: Some(sample),
            delivered: (number + 1) * 100_000,
            rtt,
        });
    }

    const QUICK: Duration = Duration::from_millis(40);
    const SLOW: Duration = Duration::from_millis(80);

    fn settled() -> Bbr {
        let mut bbr = Bbr::new(1_000);
        for number in 1..12 {
            round(&mut bbr, number, 2_500_000, QUICK);
        }
        assert!(bbr.is_full);
        bbr
    }

    #[test]
    fn a_full_path_is_found_and_kept_filled() {
        let bbr = settled();
        // 2.5 MB/s for 40 ms are 100 kB; twice that and three datagrams.
        assert_eq!(bbr.window_bytes(), 203_000);
    }

    fn lose(bbr: &mut Bbr, bytes: u64, is_persistent: bool) {
        let now = Timestamp::from_micros(900_000);
        bbr.on_lost(&Lost { now, bytes, sent_at: now, is_persistent });
    }

    #[test]
    fn loss_without_a_queue_is_made_up_for_and_with_one_it_counts() {
        let mut bbr = settled();
        for number in 12..60 {
            lose(&mut bbr, 12_500, false);
            round(&mut bbr, number, 2_500_000, QUICK);
        }
        assert_eq!(bbr.rate(), 2_500_000);
        assert!((180..=200).contains(&bbr.loss), "{} of a thousand", bbr.loss);
        lose(&mut bbr, 12_500, false);
        round(&mut bbr, 60, 2_500_000, SLOW);
        assert_eq!(bbr.rate(), 1_750_000);
    }

    #[test]
    fn when_everything_is_lost_it_begins_anew() {
        let mut bbr = settled();
        lose(&mut bbr, 100_000, true);
        assert_eq!((bbr.window_bytes(), bbr.phase), (2_000, Phase::Startup));
    }

    #[test]
    fn a_model_that_believes_in_nothing_still_lets_the_smallest_window_leave() {
        let mut bbr = settled();
        for number in 12..60 {
            lose(&mut bbr, 12_500, false);
            round(&mut bbr, number, 100, SLOW);
        }
        assert!(bbr.rate() < 100);
        assert!(bbr.pacing_rate(SLOW) >= 2_000 * 1_000 / 80);
    }

    #[test]
    fn old_rates_are_forgotten() {
        let mut bbr = settled();
        for number in 12..24 {
            round(&mut bbr, number, 1_000_000, QUICK);
        }
        assert_eq!(bbr.rate(), 1_000_000);
    }
}
