//! A model of the path instead of a reaction to loss: how much it delivers and how long it takes
//! when no queue is on it (draft-ietf-ccwg-bbr, from which the states and gains are).
//!
//! What is different here, and why:
//!
//! - Loss alone never lowers the model. On radio paths a tenth of all packets is lost with the path
//!   empty, and a window that shrinks for it starves. Loss counts only while the round trip shows a
//!   queue and chance does not explain it, or when everything is lost.
//! - The pace makes up for what chance takes, up to half: what is controlled is the rate that
//!   arrives. With a fifth lost, a probe at 5/4 of the rate would otherwise find nothing.

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
/// Probes for more.
const UP_GAIN: u64 = 125;
/// Gives back what the probe has queued.
const DOWN_GAIN: u64 = 75;
/// Round trips between two probes: as many as `NewReno` needs to come back from a loss, so that it and
/// CUBIC can live beside us, within these bounds (§4.3.3.5 of the draft has the upper one).
const CRUISE_ROUNDS: (u64, u64) = (6, 63);
/// Probe after this time at the latest: a path can have become faster.
const CRUISE_TIME_MAX: Duration = Duration::from_secs(2);
/// Round trips after a probe in which losses may still be its doing, and say nothing about chance.
const PROBE_ECHO_ROUNDS: u64 = 2;
/// Window in shortest round trips at the measured rate: one for the path, one for acknowledgements
/// that come late and together.
const WINDOW_GAIN: u64 = 200;
/// Round trips over which the largest rate counts.
const RATE_ROUNDS: u64 = 10;
/// Round trips without a quarter of growth, after which the path counts as full.
const FULL_ROUNDS: u32 = 3;
/// Or losses of full packets in one round trip with a queue (`BBRStartupFullLossCnt`): one may have
/// been from before.
const FULL_LOSSES: u64 = 6;
/// How long the shortest round trip counts (§2.11 of the draft: `MinRTTFilterLen`).
const SHORTEST_COUNTS: Duration = Duration::from_secs(10);
/// After this time without one that is as short, a queue of our own has to be ruled out
/// (`ProbeRTTInterval`).
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long the window is small then.
const LOOK_TAKES: Duration = Duration::from_millis(200);
/// Loss in a round trip that counts while there is a queue, in thousandths, beyond what chance takes
/// and two of its standard deviations.
const LOSS_TOLERATED: u64 = 20;
/// What remains of the estimate after a round trip with a queue and more loss than that, in
/// hundredths (§2.7 of the draft: `Beta`).
const BACK_OFF: u64 = 70;
/// What remains at least of the rate that was delivered in that round trip. The draft keeps all of
/// it, and beside a CUBIC flow with a short queue then takes nine tenths of the path.
const BACK_OFF_DELIVERED: u64 = 85;

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
    /// Shortest round trip, and when it was seen.
    shortest: Duration,
    shortest_at: Timestamp,
    /// The same since the last look.
    recent: Duration,
    recent_at: Timestamp,
    /// Rate at which growth was last seen, and rounds since.
    full_rate: u64,
    full_rounds: u32,
    /// Since when the path is known to be full.
    full_since: Option<Timestamp>,
    /// Round trips so far, and what was seen in the one that goes on.
    rounds: u64,
    round: Round,
    /// Share that chance takes, in thousandths, smoothed.
    chance: u64,
    has_queue: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Round {
    /// It ends when so many bytes have been delivered.
    ends: u64,
    acked: u64,
    lost: u64,
    /// Largest rate.
    rate: u64,
    /// A router marked something.
    is_marked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Startup,
    Drain,
    Up {
        since: Timestamp,
    },
    Down {
        since: Timestamp,
    },
    Cruise {
        since: Timestamp,
        round: u64,
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
            recent: Duration::MAX,
            recent_at: Timestamp::ZERO,
            full_rate: 0,
            full_rounds: 0,
            full_since: None,
            rounds: 0,
            round: Round::default(),
            chance: 0,
            has_queue: false,
        }
    }

    pub(super) const fn set_datagram_bytes(&mut self, bytes: u64) {
        self.datagram_bytes = bytes;
    }

    pub(super) fn window_bytes(&self) -> u64 {
        match self.phase {
            Phase::Look { .. } => self.window.min((self.path_bytes(100) / 2).max(self.smallest())),
            _ => self.window,
        }
    }

    pub(super) fn pacing_rate(&self, rtt: Duration) -> u64 {
        let gain = match self.phase {
            Phase::Startup => STARTUP_GAIN,
            Phase::Drain => DRAIN_GAIN,
            Phase::Up { .. } => UP_GAIN,
            Phase::Down { .. } => DOWN_GAIN,
            Phase::Cruise { .. } | Phase::Look { .. } => 100,
        };
        let rate = match self.rate() {
            // Nothing was measured: the first window in one round trip.
            0 => super::paced(self.window, rtt),
            // The smallest window is what bounds the slowest flow, not the pace.
            rate => rate.max(super::paced(self.smallest(), rtt)),
        };
        (rate.saturating_mul(gain) / 100).saturating_mul(1_000) / self.arriving()
    }

    pub(super) fn on_acked(&mut self, acked: &Acked) {
        let sample = acked.rate.map_or(0, |sample| sample.rate);
        self.round.acked += acked.bytes;
        self.round.rate = self.round.rate.max(sample);
        let is_round_over =
            acked.rate.is_some_and(|sample| sample.prior_delivered >= self.round.ends);
        if is_round_over {
            self.rounds += 1;
            self.judge_losses(acked);
            self.round = Round { ends: acked.delivered, ..Round::default() };
        }
        if acked.rate.is_some_and(|sample| !sample.is_app_limited) || sample > self.largest_rate() {
            self.note_rate(sample);
        }
        if is_round_over {
            self.look_for_growth(acked);
        }
        let is_look_due = self.note_round_trip(acked.now, acked.rtt.latest());
        self.advance(acked, is_look_due);
        self.grow(acked);
    }

    pub(super) fn on_lost(&mut self, lost: &Lost) {
        // What the start lost ended it, and counts no more.
        if self.full_since.is_none_or(|since| lost.sent_at > since) {
            self.round.lost += lost.bytes;
            self.round.is_marked |= lost.is_marked;
        }
        if lost.is_persistent {
            // Whatever the path was, it is another one now.
            let fresh = Self::new(self.datagram_bytes);
            *self = Self {
                window: minimum_window(self.datagram_bytes),
                rounds: self.rounds,
                round: Round { ends: self.round.ends, ..Round::default() },
                ..fresh
            };
        }
    }

    /// True if it is time to look how short a round trip can be.
    fn note_round_trip(&mut self, now: Timestamp, sample: Duration) -> bool {
        let is_look_due = now.since(self.recent_at) > LOOK_EVERY;
        if sample <= self.recent || is_look_due {
            (self.recent, self.recent_at) = (sample, now);
        }
        if self.recent <= self.shortest || now.since(self.shortest_at) > SHORTEST_COUNTS {
            (self.shortest, self.shortest_at) = (self.recent, self.recent_at);
        }
        is_look_due
    }

    /// Judges the losses of a round trip that is over.
    fn judge_losses(&mut self, acked: &Acked) {
        let sent = (self.round.acked + self.round.lost).max(1);
        let share = self.round.lost * 1_000 / sent;
        let packets = (sent / self.datagram_bytes).max(1);
        let deviation = (self.chance * (1_000 - self.chance) / packets).isqrt();
        let unlikely = self.chance + 2 * deviation + LOSS_TOLERATED;
        let empty = self.shortest_or(&acked.rtt);
        self.has_queue = acked.rtt.smoothed() > empty * 5 / 4 + Duration::from_millis(5);
        let is_excessive = self.has_queue && share > unlikely;
        if is_excessive || self.round.is_marked {
            if self.full_since.is_some() {
                let left =
                    (self.rate() * BACK_OFF / 100).max(self.round.rate * BACK_OFF_DELIVERED / 100);
                self.rate_limit = Some(left.max(1));
            }
            let is_certain = self.round.lost >= FULL_LOSSES * self.datagram_bytes;
            if is_certain || self.round.is_marked {
                self.full_since = self.full_since.or(Some(acked.now));
            }
        } else if let Phase::Cruise { round, .. } = self.phase
            && self.rounds >= round + PROBE_ECHO_ROUNDS
        {
            let chance = (self.chance * 7 + share) / 8;
            // With a queue, more loss may be ours.
            self.chance = if self.has_queue { chance.min(self.chance) } else { chance };
        }
    }

    /// Thousandths of what is sent that arrive, as far as it is made up for.
    fn arriving(&self) -> u64 {
        1_000 - self.chance.min(500)
    }

    fn shortest_or(&self, rtt: &Rtt) -> Duration {
        if self.shortest == Duration::MAX { rtt.minimum() } else { self.shortest }
    }

    fn note_rate(&mut self, rate: u64) {
        while self.rates.back().is_some_and(|(_, smaller)| *smaller <= rate) {
            self.rates.pop_back();
        }
        self.rates.push_back((self.rounds, rate));
        while self.rates.front().is_some_and(|(round, _)| round + RATE_ROUNDS < self.rounds) {
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
        if self.full_since.is_some() || acked.rate.is_none_or(|sample| sample.is_app_limited) {
            return;
        }
        if self.largest_rate() >= self.full_rate * 5 / 4 {
            (self.full_rate, self.full_rounds) = (self.largest_rate(), 0);
        } else {
            self.full_rounds += 1;
            if self.full_rounds >= FULL_ROUNDS {
                self.full_since = Some(acked.now);
            }
        }
    }

    fn advance(&mut self, acked: &Acked, is_look_due: bool) {
        let now = acked.now;
        let in_flight = acked.in_flight.saturating_sub(acked.bytes);
        // A flow that does not fill the path cannot fill it to probe.
        let is_idle = !acked.is_window_limited;
        let is_filled = in_flight >= self.path_bytes(UP_GAIN) || self.round.lost > 0;
        let is_time = |since| now.since(since) >= self.shortest;
        match self.phase {
            Phase::Startup if self.full_since.is_some() => self.phase = Phase::Drain,
            Phase::Drain if in_flight <= self.path_bytes(100) => self.cruise(now),
            // Until the path was filled to see whether it takes more.
            Phase::Up { since } if is_time(since) && (is_idle || is_filled) => {
                self.phase = Phase::Down { since: now };
            }
            Phase::Down { since } if is_time(since) || in_flight <= self.path_bytes(100) => {
                self.cruise(now);
            }
            Phase::Cruise { since, round } => {
                let (low, high) = CRUISE_ROUNDS;
                let rounds = (self.path_bytes(100) / self.datagram_bytes).clamp(low, high);
                let is_late = now.since(since) >= CRUISE_TIME_MAX;
                if self.rounds >= round + rounds || is_late {
                    // The probe finds out anew.
                    self.rate_limit = None;
                    self.phase = Phase::Up { since: now };
                }
            }
            Phase::Look { until } if now >= until => self.cruise(now),
            _ => {}
        }
        let can_look = self.full_since.is_some() && !matches!(self.phase, Phase::Look { .. });
        if is_look_due && can_look && acked.is_window_limited {
            self.phase = Phase::Look { until: now + LOOK_TAKES.max(self.shortest) };
        }
    }

    const fn cruise(&mut self, now: Timestamp) {
        self.phase = Phase::Cruise { since: now, round: self.rounds };
    }

    fn grow(&mut self, acked: &Acked) {
        let target = self.path_bytes(WINDOW_GAIN) + 3 * self.datagram_bytes;
        // What chance takes was under way as well.
        let target = target.saturating_mul(1_000) / self.arriving();
        self.window = if self.full_since.is_some() {
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
        assert!(bbr.full_since.is_some());
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
        bbr.on_lost(&Lost { now, bytes, sent_at: now, is_persistent, is_marked: false });
    }

    #[test]
    fn loss_without_a_queue_is_made_up_for_and_with_one_it_counts() {
        let mut bbr = settled();
        for number in 12..200 {
            lose(&mut bbr, 12_500, false);
            round(&mut bbr, number, 2_500_000, QUICK);
        }
        assert_eq!(bbr.rate(), 2_500_000);
        assert!((180..=200).contains(&bbr.chance), "{} of a thousand", bbr.chance);
        lose(&mut bbr, 12_500, false);
        round(&mut bbr, 200, 2_500_000, SLOW);
        assert_eq!(bbr.rate(), 2_500_000, "chance explains it");
        lose(&mut bbr, 50_000, false);
        round(&mut bbr, 201, 2_500_000, SLOW);
        assert_eq!(bbr.rate(), 2_125_000);
    }

    #[test]
    fn when_everything_is_lost_it_begins_anew() {
        let mut bbr = settled();
        lose(&mut bbr, 100_000, true);
        assert_eq!((bbr.window_bytes(), bbr.phase), (2_000, Phase::Startup));
    }

    #[test]
    fn a_router_that_marks_is_believed_at_once() {
        let mut bbr = settled();
        let now = Timestamp::from_micros(900_000);
        bbr.on_lost(&Lost { now, bytes: 0, sent_at: now, is_persistent: false, is_marked: true });
        round(&mut bbr, 12, 2_500_000, QUICK);
        assert_eq!(bbr.rate(), 2_125_000);
    }

    #[test]
    fn a_model_that_believes_in_nothing_still_lets_the_smallest_window_leave() {
        let mut bbr = settled();
        for number in 12..60 {
            round(&mut bbr, number, 100, SLOW);
        }
        assert!(bbr.rate() <= 100);
        assert!(bbr.pacing_rate(SLOW) >= 2 * 1_000 * 1_000 / 80);
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
