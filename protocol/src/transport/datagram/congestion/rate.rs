//! How fast a path delivers, measured from each acknowledgement
//! (draft-cheng-iccrg-delivery-rate-estimation).

use std::time::Duration;

use crate::time::Timestamp;

/// What has been delivered so far.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::transport::datagram) struct DeliveryRate {
    /// Bytes acknowledged in all, and when the last of them were.
    delivered: u64,
    delivered_at: Timestamp,
    /// When the first packet of the flight that is being acknowledged was sent.
    first_sent_at: Timestamp,
    /// Up to so many delivered bytes, the application and not the path set the pace.
    app_limited_until: u64,
}

/// What was known when a packet was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::transport::datagram) struct Snapshot {
    delivered: u64,
    delivered_at: Timestamp,
    first_sent_at: Timestamp,
    is_app_limited: bool,
}

/// How fast the packets around one that was acknowledged were delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport::datagram) struct RateSample {
    /// Bytes per second.
    pub(in crate::transport::datagram) rate: u64,
    /// Bytes that had been delivered when the packet was sent: tells round trips apart.
    pub(in crate::transport::datagram) prior_delivered: u64,
    /// The path could have carried more.
    pub(in crate::transport::datagram) is_app_limited: bool,
}

impl DeliveryRate {
    /// A packet leaves while `in_flight` bytes are under way.
    pub(in crate::transport::datagram) fn on_sent(
        &mut self,
        now: Timestamp,
        in_flight: u64,
    ) -> Snapshot {
        if in_flight == 0 {
            (self.first_sent_at, self.delivered_at) = (now, now);
        }
        Snapshot {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            is_app_limited: self.app_limited_until > 0,
        }
    }

    /// There is room in the window and nothing to send.
    pub(in crate::transport::datagram) fn on_app_limited(&mut self, in_flight: u64) {
        self.app_limited_until = (self.delivered + in_flight).max(1);
    }

    /// Bytes were acknowledged.
    pub(in crate::transport::datagram) fn on_acked(&mut self, now: Timestamp, bytes: u64) {
        self.delivered += bytes;
        self.delivered_at = now;
        if self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
    }

    /// The sample of the newest packet of an acknowledgement, after all its bytes were counted.
    /// `None` if it took no time at all, or less than any round trip.
    pub(in crate::transport::datagram) fn sample(
        &mut self,
        snapshot: &Snapshot,
        sent_at: Timestamp,
        min_rtt: Duration,
    ) -> Option<RateSample> {
        let sending = sent_at.since(snapshot.first_sent_at);
        let acking = self.delivered_at.since(snapshot.delivered_at);
        self.first_sent_at = sent_at;
        let interval = sending.max(acking);
        if interval.is_zero() || interval < min_rtt {
            return None;
        }
        let bytes = u128::from(self.delivered - snapshot.delivered);
        let rate = bytes * 1_000_000 / interval.as_micros();
        Some(RateSample {
            rate: u64::try_from(rate).unwrap_or(u64::MAX),
            prior_delivered: snapshot.delivered,
            is_app_limited: snapshot.is_app_limited,
        })
    }

    /// Bytes acknowledged in all.
    pub(in crate::transport::datagram) const fn delivered(&self) -> u64 {
        self.delivered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    #[test]
    fn a_steady_flow_is_measured_at_its_rate() {
        let mut rate = DeliveryRate::default();
        let sent: Vec<_> = (0..10)
            .map(|number| (at(number * 10), rate.on_sent(at(number * 10), number * 1_000)))
            .collect();
        let mut last = None;
        for (number, (sent_at, snapshot)) in sent.iter().enumerate() {
            rate.on_acked(at(number as u64 * 10 + 40), 1_000);
            last = rate.sample(snapshot, *sent_at, Duration::from_millis(40));
        }
        // Ten packets in the 130 ms since the first was sent.
        assert_eq!(last.map(|sample| sample.rate), Some(10_000 * 1_000 / 130));
        assert!(!last.expect("a sample").is_app_limited);
    }

    #[test]
    fn what_the_application_held_back_is_marked() {
        let mut rate = DeliveryRate::default();
        rate.on_app_limited(0);
        let snapshot = rate.on_sent(at(0), 0);
        rate.on_acked(at(40), 1_000);
        let sample = rate.sample(&snapshot, at(0), Duration::from_millis(40)).expect("a sample");
        assert!(sample.is_app_limited);
        assert!(!rate.on_sent(at(41), 1).is_app_limited, "the bubble has passed");
    }
}
