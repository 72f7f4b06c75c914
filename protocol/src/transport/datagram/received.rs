//! Which packets arrived, and when that has to be said.

use std::time::Duration;

use super::{
    frame,
    range_set::RangeSet,
    tuning::{
        ACK_DELAY_MAX, ACK_EVERY_PACKETS, ACK_REACH_PACKETS, ACK_REPEATS, RECEIVED_RANGES_MAX,
    },
};
use crate::time::Timestamp;

/// The packets of the peer.
#[derive(Clone, Debug)]
pub(super) struct Received {
    numbers: RangeSet,
    /// Numbers below count as received: too old to be remembered one by one.
    floor: u64,
    /// When the largest number came.
    largest_at: Timestamp,
    /// Packets since the last acknowledgement that ask for one.
    unacked: u32,
    /// When an acknowledgement has to leave.
    due: Option<Timestamp>,
    /// The smallest number that is news since the last acknowledgement, and what it was for the
    /// acknowledgements before, the newest first.
    news: Option<u64>,
    told: [u64; ACK_REPEATS - 1],
}

impl Default for Received {
    fn default() -> Self {
        Self {
            numbers: RangeSet::default(),
            floor: 0,
            largest_at: Timestamp::ZERO,
            unacked: 0,
            due: None,
            news: None,
            told: [u64::MAX; ACK_REPEATS - 1],
        }
    }
}

impl Received {
    /// Gives memory back that it does not need now.
    pub(super) fn rest(&mut self) {
        self.numbers.rest();
    }

    /// Whether this number came before, or is too old to tell.
    pub(super) fn is_known(&self, number: u64) -> bool {
        number < self.floor || self.numbers.contains(number)
    }

    /// The largest number that came.
    pub(super) fn largest(&self) -> Option<u64> {
        self.numbers.largest()
    }

    /// Takes a number that is not known yet.
    pub(super) fn insert(&mut self, now: Timestamp, number: u64) {
        if self.numbers.largest().is_none_or(|largest| number > largest) {
            self.largest_at = now;
        }
        self.numbers.insert(number..number + 1);
        self.news = Some(self.news.map_or(number, |news| news.min(number)));
        if let Some(floor) = self.numbers.forget_oldest(RECEIVED_RANGES_MAX) {
            self.floor = floor;
        }
    }

    /// The packet with this number, which was just inserted, asks for an acknowledgement: at once,
    /// or as soon as it is reasonable.
    pub(super) fn want_ack(&mut self, now: Timestamp, number: u64, urgency: Urgency) {
        self.unacked += 1;
        // Something is missing below the largest, or was and came: the sender wants to know
        // (RFC 9000 §13.2.1).
        let is_reordered = self.largest() != Some(number)
            || self.numbers.iter().next_back().is_some_and(|range| {
                range.start == number && number > self.floor && self.numbers.ranges() > 1
            });
        let delay = if urgency == Urgency::Now || is_reordered || self.unacked >= ACK_EVERY_PACKETS
        {
            Duration::ZERO
        } else {
            ACK_DELAY_MAX
        };
        let due = now + delay;
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
    }

    /// When an acknowledgement has to leave; `None` if nothing asks for one.
    pub(super) const fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// Appends an acknowledgement of all that came, if anything asked for one since the last. The
    /// largest number that it names.
    pub(super) fn put_ack(&mut self, now: Timestamp, out: &mut Vec<u8>) -> bool {
        if self.due.is_none() {
            return false;
        }
        let largest = self.largest().unwrap_or_default();
        let news = self.news.unwrap_or(largest);
        let near = largest.saturating_sub(ACK_REACH_PACKETS);
        let reach = self.told.iter().fold(near.min(news), |reach, told| reach.min(*told));
        frame::put_ack(out, &self.numbers, reach, now.since(self.largest_at));
        self.told.rotate_right(1);
        self.told[0] = news;
        (self.unacked, self.due, self.news) = (0, None, None);
        true
    }
}

/// How soon a packet has to be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// At once: its sender asked for that.
    Now,
    /// With others.
    Soon,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn take(received: &mut Received, now: Timestamp, number: u64) {
        received.insert(now, number);
        received.want_ack(now, number, Urgency::Soon);
    }

    #[test]
    fn one_packet_waits_and_the_second_does_not() {
        let mut received = Received::default();
        take(&mut received, at(0), 0);
        assert_eq!(received.due(), Some(at(25)));
        take(&mut received, at(3), 1);
        assert_eq!(received.due(), Some(at(3)));
        assert!(received.put_ack(at(3), &mut Vec::new()));
        assert_eq!(received.due(), None);
        assert!(!received.put_ack(at(3), &mut Vec::new()), "there is nothing new");
    }

    #[test]
    fn a_gap_is_told_at_once_when_it_appears_and_when_it_is_filled() {
        let mut received = Received::default();
        for (number, due) in [(0, 25), (2, 0), (1, 0), (3, 25)] {
            take(&mut received, at(0), number);
            assert_eq!(received.due(), Some(at(due)), "{number}");
            received.put_ack(at(0), &mut Vec::new());
        }
    }

    #[test]
    fn who_asks_gets_it_at_once() {
        let mut received = Received::default();
        received.insert(at(7), 0);
        received.want_ack(at(7), 0, Urgency::Now);
        assert_eq!(received.due(), Some(at(7)));
    }

    #[test]
    fn old_gaps_are_not_told_for_ever_and_news_several_times() {
        let mut received = Received::default();
        let ranges = |received: &mut Received| {
            let mut out = Vec::new();
            received.put_ack(at(0), &mut out);
            let ack = frame::Frames::new(&out).next().expect("a frame").expect("whole");
            let frame::Frame::Ack(ack) = ack else { panic!("{ack:?}") };
            ack.ranges().count()
        };
        for number in [0, 100] {
            received.insert(at(0), number);
        }
        let told: Vec<usize> = (101..107)
            .map(|number| {
                take(&mut received, at(0), number);
                ranges(&mut received)
            })
            .collect();
        assert_eq!(told, [2, 2, 2, 2, 1, 1]);
    }

    #[test]
    fn what_is_too_old_to_remember_counts_as_received() {
        let mut received = Received::default();
        let numbers = RECEIVED_RANGES_MAX as u64 + 1;
        for number in 0..numbers {
            received.insert(at(0), number * 2 + 1);
        }
        assert!(received.is_known(0), "below the oldest range that is remembered");
        assert!(received.is_known(1) && !received.is_known(2) && received.is_known(3));
    }
}
