//! Packets between two ends, one below the other as time goes on: what a player of experiments and a
//! live session show alike.

use std::time::Duration;

pub use protocol::lab::experiment::Way;
use protocol::lab::strategy::Cause;
use serde::{Deserialize, Serialize};

/// A packet that left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// When, from the beginning on.
    pub at: Duration,
    /// Which way it goes: out is from left to right, from whoever looks.
    pub way: Way,
    /// Its number on this way.
    pub packet: u64,
    /// Its bytes.
    pub bytes: usize,
    /// What it carries.
    pub what: String,
    /// Why that leaves again; `None` for the first time.
    pub again: Option<String>,
    /// What becomes of it.
    pub fate: Fate,
}

/// What the session did lately, and what it believes of the path. Times are counted from when
/// somebody began to watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// When this was made.
    pub now: Duration,
    /// The newest packets, oldest first.
    pub rows: Vec<Row>,
    /// Smoothed.
    pub round_trip: Duration,
    /// The one measured last.
    pub latest: Duration,
    /// The shortest.
    pub minimum: Duration,
    /// How long a packet may go without acknowledgement.
    pub timer: Duration,
    /// Bytes that may be under way.
    pub window_bytes: u64,
    /// Bytes that are.
    pub in_flight_bytes: u64,
    /// The newest round trips, oldest first.
    pub trips: Vec<Duration>,
    /// Packets that were given up.
    pub lost: u64,
    /// Packets that carried something again.
    pub again: u64,
}

/// A step in the life of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// How long after it was composed.
    pub after: Duration,
    /// What happened.
    pub what: String,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// Nobody knows yet.
    UnderWay,
    /// It arrives.
    Arrived {
        /// So long after it left.
        after: Duration,
        /// What comes of it; may be empty.
        note: String,
    },
    /// It does not.
    Lost {
        /// Since when that is known, from its sending on.
        after: Duration,
        /// Why.
        why: String,
    },
}

impl Row {
    /// What is known of its fate at that time.
    pub fn fate_at(&self, now: Duration) -> &Fate {
        const UNKNOWN: &Fate = &Fate::UnderWay;
        match &self.fate {
            Fate::Arrived { after, .. } | Fate::Lost { after, .. } if self.at + *after > now => {
                UNKNOWN
            }
            fate => fate,
        }
    }

    /// How far it has come by then, in thousandths of the way, if that is known.
    pub fn progress(&self, now: Duration) -> Option<u64> {
        let Fate::Arrived { after, .. } = &self.fate else { return None };
        if after.is_zero() {
            return Some(1_000);
        }
        let gone = now.saturating_sub(self.at).as_micros();
        let thousandths = gone.min(after.as_micros()) * 1_000 / after.as_micros();
        u64::try_from(thousandths).ok()
    }
}

/// Why something leaves again, in few words.
pub const fn again_words(cause: Cause) -> Option<&'static str> {
    match cause {
        Cause::First => None,
        Cause::Timeout => Some("again: late"),
        Cause::Overtaken => Some("again: overtaken"),
        Cause::GoBack => Some("again: go back"),
        Cause::Copy => Some("again: a copy"),
    }
}

/// A time as people read it: `0.0 ms` to `99.9 ms`, `100 ms`, `12.345 s`.
pub fn time(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..100_000 => format!("{}.{} ms", micros / 1_000, micros / 100 % 10),
        100_000..10_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_lies_ahead_is_not_known() {
        let note = String::new();
        let fate = Fate::Arrived { after: 20 * MS, note };
        let what = String::new();
        let row = Row { at: 5 * MS, way: Way::Out, packet: 0, bytes: 9, what, again: None, fate };
        assert_eq!(row.fate_at(24 * MS), &Fate::UnderWay);
        assert_eq!(row.fate_at(25 * MS), &row.fate);
        assert_eq!((row.progress(10 * MS), row.progress(99 * MS)), (Some(250), Some(1_000)));
        let lost = Row { fate: Fate::Lost { after: MS, why: "chance".into() }, ..row };
        assert_eq!((lost.fate_at(5 * MS), lost.progress(9 * MS)), (&Fate::UnderWay, None));
    }

    #[test]
    fn times_are_as_exact_as_anybody_reads_them() {
        assert_eq!(time(Duration::from_micros(20_160)), "20.1 ms");
        assert_eq!(time(203 * MS), "203 ms");
        assert_eq!(time(12_345 * MS), "12.3 s");
    }
}
