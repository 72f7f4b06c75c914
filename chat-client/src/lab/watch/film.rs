//! A run as it is watched: its packets as rows of a ladder, and what was believed when.

use std::{collections::BTreeMap, time::Duration};

use protocol::{
    lab::{
        experiment::{Event, Run, Way, What},
        fault::Drop,
        strategy::{Cause, Gauges, Label},
    },
    time::Timestamp,
};

use crate::lab::ladder::{Fate, Row, again_words};

/// A run, ready to be played. Every list is in order of time.
#[derive(Debug, Default)]
pub struct Film {
    /// Packets in the order in which they left.
    pub rows: Vec<Row>,
    /// What they are.
    pub labels: Vec<Label>,
    /// By packet with data: the one before it that carried the same.
    pub earlier: Vec<Option<usize>>,
    /// By packet that left because of a timer: where that stood when it went off.
    pub timers: Vec<Option<Duration>>,
    /// What the sender believed, from when on.
    pub gauges: Vec<(Duration, Gauges)>,
    /// When messages were delivered.
    pub delivered: Vec<Duration>,
    /// Rows that carry something again.
    pub again: Vec<usize>,
    /// How many messages there are.
    pub messages: usize,
    /// When it was over.
    pub lasted: Duration,
}

impl Film {
    /// The film of a run.
    pub fn of(run: &Run) -> Self {
        let mut making = Making::default();
        for event in &run.events {
            making.take(event);
        }
        let Making { mut film, .. } = making;
        film.messages = run.messages.len();
        film.lasted = run.lasted;
        film
    }

    /// What the sender believed then.
    pub fn gauges_at(&self, now: Duration) -> Option<&Gauges> {
        let known = self.gauges.partition_point(|(at, _)| *at <= now);
        self.gauges.get(known.checked_sub(1)?).map(|(_, gauges)| gauges)
    }

    /// Round trips that it believed in, up to then.
    pub fn round_trips(&self, now: Duration) -> impl DoubleEndedIterator<Item = Duration> {
        let known = self.gauges.partition_point(|(at, _)| *at <= now);
        self.gauges[..known].iter().filter_map(|(_, gauges)| gauges.round_trip)
    }

    /// How many messages were delivered by then.
    pub fn delivered_by(&self, now: Duration) -> usize {
        self.delivered.partition_point(|at| *at <= now)
    }

    /// How many packets had carried something again by then.
    pub fn again_by(&self, now: Duration) -> usize {
        self.again.partition_point(|row| self.rows[*row].at <= now)
    }
}

#[derive(Default)]
struct Making {
    film: Film,
    /// Rows by way and number.
    by_packet: BTreeMap<(Way, u64), usize>,
    /// The last row that carried this number.
    by_number: BTreeMap<u64, usize>,
    /// The row whose arrival came last, and the messages it has delivered.
    arriving: Option<(usize, Vec<u32>)>,
    /// Where the timer stood that went off last.
    timer: Option<Duration>,
}

impl Making {
    fn take(&mut self, event: &Event) {
        let at = event.at.since(Timestamp::ZERO);
        match event.what {
            What::Sent { way, packet, bytes, label } => self.sent(at, way, packet, bytes, label),
            What::Dropped { way, packet, why } => {
                let why = drop_words(why).to_owned();
                self.decide((way, packet), |_| Fate::Lost { after: Duration::ZERO, why });
            }
            What::Arrived { way, packet, is_damaged } => {
                let row = self.by_packet.get(&(way, packet)).copied();
                self.arriving = row.map(|row| (row, Vec::new()));
                self.decide((way, packet), |row| {
                    let after = at.saturating_sub(row.at);
                    if is_damaged {
                        Fate::Lost { after, why: "damaged: nobody takes it".to_owned() }
                    } else {
                        Fate::Arrived { after, note: String::new() }
                    }
                });
            }
            What::Delivered { message } => self.delivered(at, message),
            What::Gauges(gauges) => self.film.gauges.push((at, gauges)),
            What::TimedOut => {
                self.timer = self.film.gauges.last().map(|(_, gauges)| gauges.timeout);
            }
            What::Written { .. } => {}
        }
    }

    fn sent(&mut self, at: Duration, way: Way, packet: u64, bytes: usize, label: Label) {
        let index = self.film.rows.len();
        self.by_packet.insert((way, packet), index);
        let (what, again, earlier) = match label {
            Label::Data { number, cause } => {
                let earlier = self.by_number.insert(number, index);
                (format!("data {number}"), again_words(cause), earlier)
            }
            Label::Ack { number } => (format!("ack {number}"), None, None),
        };
        if again.is_some() {
            self.film.again.push(index);
        }
        let is_late = matches!(label, Label::Data { cause: Cause::Timeout, .. });
        self.film.timers.push(self.timer.filter(|_| is_late));
        let again = again.map(str::to_owned);
        let fate = Fate::UnderWay;
        self.film.rows.push(Row { at, way, packet, bytes, what, again, fate });
        self.film.labels.push(label);
        self.film.earlier.push(earlier);
    }

    /// The first of several fates counts: a packet may arrive twice.
    fn decide(&mut self, packet: (Way, u64), fate: impl FnOnce(&Row) -> Fate) {
        let index = self.by_packet.get(&packet).copied();
        let row = index.and_then(|index| self.film.rows.get_mut(index));
        if let Some(row) = row.filter(|row| row.fate == Fate::UnderWay) {
            row.fate = fate(row);
        }
    }

    fn delivered(&mut self, at: Duration, message: u32) {
        self.film.delivered.push(at);
        let Some((row, messages)) = &mut self.arriving else { return };
        messages.push(message);
        let words = match messages.as_slice() {
            [one] => format!("delivers {one}"),
            [first, .., last] if u32::try_from(messages.len()).ok() == Some(last - first + 1) => {
                format!("delivers {first}–{last}")
            }
            many => format!("delivers {}", many.len()),
        };
        if let Some(Row { fate: Fate::Arrived { note, .. }, .. }) = self.film.rows.get_mut(*row) {
            *note = words;
        }
    }
}

const fn drop_words(why: Drop) -> &'static str {
    match why {
        Drop::Lost => "lost",
        Drop::Blackout => "lost: blackout",
        Drop::QueueFull => "lost: queue full",
        Drop::TooLarge => "lost: too large",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::watch::fixture::film;

    #[test]
    fn every_packet_has_a_row_and_every_retransmission_knows_what_it_repeats() {
        let (run, film) = film("lost-ack", "stop-and-wait");
        let packets = run.sent.iter().map(|(packets, _)| *packets).sum::<u64>();
        assert_eq!(film.rows.len() as u64, packets);
        assert!(film.rows.is_sorted_by_key(|row| row.at));
        assert!(!film.again.is_empty());
        for index in &film.again {
            let earlier = film.earlier[*index].expect("it was sent before");
            let number = |index: usize| match film.labels[index] {
                Label::Data { number, .. } => number,
                Label::Ack { .. } => panic!("acknowledgements are not repeated"),
            };
            assert_eq!(number(*index), number(earlier));
        }
        assert_eq!(film.delivered_by(film.lasted), run.delivered());
        assert_eq!(film.again_by(film.lasted), film.again.len());
    }

    #[test]
    fn whoever_is_late_has_waited_for_as_long_as_the_timer_stood() {
        for strategy in ["stop-and-wait", "selective-repeat"] {
            let scenario = if strategy == "stop-and-wait" { "lost-ack" } else { "burst" };
            let (_, film) = film(scenario, strategy);
            let late: Vec<_> = film.again.iter().filter(|it| film.timers[**it].is_some()).collect();
            assert!(late.len() > 5, "{strategy}");
            for index in late {
                let earlier = film.earlier[*index].expect("it was sent before");
                let waited = film.rows[*index].at.saturating_sub(film.rows[earlier].at);
                assert!(film.timers[*index].is_some_and(|timer| timer <= waited), "{strategy}");
            }
        }
    }

    #[test]
    fn an_arrival_says_what_it_delivers() {
        let (_, film) = film("burst", "selective-repeat");
        let notes = film.rows.iter().filter_map(|row| match &row.fate {
            Fate::Arrived { note, .. } if !note.is_empty() => Some(note.as_str()),
            _ => None,
        });
        let notes: Vec<_> = notes.collect();
        assert_eq!(notes[0], "delivers 0");
        assert!(notes.iter().any(|note| note.contains('–')), "a gap was closed: {notes:?}");
    }
}
