//! What is measured of a run, and what is expected of that.
//!
//! ```text
//!   p99 < 250ms            ours: overhead < 1.7        tcp: p99 > 300ms
//!   delivered = 100%       retransmits > 0             ours: at 3s: retransmit of 17
//! ```

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use super::{
    experiment::{Run, Way, What},
    scenario::Strategy,
    strategy::{Cause, Label},
    words,
};
use crate::time::Timestamp;

/// IPv4 and UDP around each packet.
const IP_BYTES: u64 = 28;
/// How far from the time that was named something may happen.
const AT_TOLERANCE: Duration = Duration::from_millis(100);

/// Figures of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// Messages written, and delivered.
    pub messages: u64,
    /// Messages delivered.
    pub delivered: u64,
    /// Time from writing to delivery, on average.
    pub mean: Duration,
    /// Half of the messages took no longer.
    pub p50: Duration,
    /// 99 of 100.
    pub p99: Duration,
    /// The slowest.
    pub max: Duration,
    /// Packets in both directions.
    pub packets: u64,
    /// Bytes of IP packets in both directions.
    pub wire_bytes: u64,
    /// For each byte of a message, in thousandths.
    pub overhead: u64,
    /// Bytes of messages delivered in a second.
    pub goodput: u64,
    /// Packets with data by why they left.
    pub causes: BTreeMap<Cause, u64>,
    /// Times that a timer of the sender went off.
    pub timeouts: u64,
}

impl Measures {
    /// The figures of a run with messages of so many bytes.
    pub fn of(run: &Run, message_bytes: usize) -> Self {
        let latencies = run.latencies();
        let at = |part: usize| {
            let last = latencies.len().saturating_sub(1);
            latencies.get((latencies.len() * part / 100).min(last)).copied().unwrap_or_default()
        };
        let mut measures = Self {
            messages: run.messages.len() as u64,
            delivered: latencies.len() as u64,
            mean: mean(&latencies),
            p50: at(50),
            p99: at(99),
            max: at(100),
            ..Self::default()
        };
        for event in &run.events {
            match event.what {
                What::Sent { bytes, label, .. } => {
                    measures.packets += 1;
                    measures.wire_bytes += bytes as u64 + IP_BYTES;
                    if let Label::Data { cause, .. } = label {
                        *measures.causes.entry(cause).or_default() += 1;
                    }
                }
                What::TimedOut => measures.timeouts += 1,
                _ => {}
            }
        }
        let delivered_bytes = measures.delivered * message_bytes as u64;
        measures.overhead = measures.wire_bytes * 1_000 / delivered_bytes.max(1);
        let last = run.messages.iter().filter_map(|(_, delivered)| *delivered).max();
        let micros = last.map_or(0, Timestamp::as_micros).max(1);
        measures.goodput = delivered_bytes * 1_000_000 / micros;
        measures
    }

    /// Packets with data that left for another reason than the first time.
    pub fn retransmits(&self) -> u64 {
        self.causes.iter().filter(|(cause, _)| **cause != Cause::First).map(|(_, n)| n).sum()
    }
}

fn mean(latencies: &[Duration]) -> Duration {
    let count = u32::try_from(latencies.len()).unwrap_or(u32::MAX).max(1);
    latencies.iter().sum::<Duration>() / count
}

/// What a run should be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// Of which strategy; of all, if `None`.
    strategy: Option<Strategy>,
    wanted: Wanted,
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Figure {
        figure: Figure,
        order: Order,
        value: u64,
    },
    /// Near this time, something that was numbered so leaves again.
    Retransmit {
        at: Duration,
        number: u64,
    },
}

/// A figure that can be compared: times in µs, shares in millionths, ratios in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    Mean,
    P50,
    P99,
    Max,
    Delivered,
    Overhead,
    Goodput,
    Retransmits,
    Timeouts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Less,
    Equal,
    More,
}

/// An expectation that nobody understands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expect {0:?}: write [STRATEGY:] FIGURE <|=|> VALUE with mean, p50, p99, max, delivered, overhead, \
     goodput, retransmits or timeouts, or [STRATEGY:] at 3s: retransmit of 17"
)]
pub struct BadExpect(pub String);

impl Expect {
    /// The one strategy of which something is expected, if it is not all.
    pub const fn strategy(&self) -> Option<Strategy> {
        self.strategy
    }

    /// Whether anything is expected of a strategy that is called so.
    pub fn concerns(&self, strategy: &str) -> bool {
        self.strategy.is_none_or(|only| only.name() == strategy)
    }

    /// Whether a run is as expected; if not, what it was instead.
    ///
    /// # Errors
    ///
    /// What was measured, in words.
    pub fn check(&self, run: &Run, measures: &Measures) -> Result<(), String> {
        match self.wanted {
            Wanted::Figure { figure, order, value } => {
                if figure.needs_deliveries() && measures.delivered == 0 {
                    return Err("unknown: nothing was delivered".to_owned());
                }
                let is = figure.of(measures);
                let is_right = match order {
                    Order::Less => is < value,
                    Order::Equal => is == value,
                    Order::More => is > value,
                };
                is_right.then_some(()).ok_or_else(|| figure.in_words(is))
            }
            Wanted::Retransmit { at, number } => {
                let near = |event: Timestamp| {
                    let since = event.since(Timestamp::ZERO);
                    since + AT_TOLERANCE >= at && since <= at + AT_TOLERANCE
                };
                let again = run.events.iter().filter_map(|event| match event.what {
                    What::Sent {
                        way: Way::Out, label: Label::Data { number: it, cause }, ..
                    } if it == number && cause != Cause::First => Some(event.at),
                    _ => None,
                });
                let times: Vec<Timestamp> = again.collect();
                if times.iter().copied().any(near) {
                    return Ok(());
                }
                let seconds =
                    |at: &Timestamp| format!("{:.3} s", at.since(Timestamp::ZERO).as_secs_f64());
                Err(match times.as_slice() {
                    [] => format!("{number} never left again"),
                    times => format!(
                        "{number} left again at {}",
                        times.iter().map(seconds).collect::<Vec<_>>().join(", ")
                    ),
                })
            }
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Expect {
    type Err = BadExpect;

    fn from_str(text: &str) -> Result<Self, BadExpect> {
        let bad = || BadExpect(text.to_owned());
        let (strategy, rest) = match text.split_once(':') {
            Some((name, rest)) if !name.trim_start().starts_with("at ") => {
                (Some(Strategy::named(name.trim()).ok_or_else(bad)?), rest.trim())
            }
            _ => (None, text.trim()),
        };
        let wanted = wanted(rest).ok_or_else(bad)?;
        Ok(Self { strategy, wanted, text: text.to_owned() })
    }
}

fn wanted(text: &str) -> Option<Wanted> {
    if let Some(rest) = text.strip_prefix("at ") {
        let (at, what) = rest.split_once(':')?;
        let number = what.trim().strip_prefix("retransmit of ")?.trim().parse().ok()?;
        return Some(Wanted::Retransmit { at: words::duration(at.trim())?, number });
    }
    let at = text.find(['<', '=', '>'])?;
    let order = match text.as_bytes()[at] {
        b'<' => Order::Less,
        b'=' => Order::Equal,
        _ => Order::More,
    };
    let figure = Figure::named(text[..at].trim())?;
    let value = figure.value(text[at + 1..].trim())?;
    Some(Wanted::Figure { figure, order, value })
}

impl Figure {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "mean" => Self::Mean,
            "p50" => Self::P50,
            "p99" => Self::P99,
            "max" => Self::Max,
            "delivered" => Self::Delivered,
            "overhead" => Self::Overhead,
            "goodput" => Self::Goodput,
            "retransmits" => Self::Retransmits,
            "timeouts" => Self::Timeouts,
            _ => return None,
        })
    }

    fn value(self, text: &str) -> Option<u64> {
        match self {
            Self::Mean | Self::P50 | Self::P99 | Self::Max => {
                u64::try_from(words::duration(text)?.as_micros()).ok()
            }
            Self::Delivered => Some(u64::from(words::share(text)?.as_millionths())),
            Self::Overhead => words::decimal(text, 1_000),
            Self::Goodput => words::rate(text),
            Self::Retransmits | Self::Timeouts => text.parse().ok(),
        }
    }

    fn of(self, measures: &Measures) -> u64 {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        match self {
            Self::Mean => micros(measures.mean),
            Self::P50 => micros(measures.p50),
            Self::P99 => micros(measures.p99),
            Self::Max => micros(measures.max),
            Self::Delivered => measures.delivered * 1_000_000 / measures.messages.max(1),
            Self::Overhead => measures.overhead,
            Self::Goodput => measures.goodput,
            Self::Retransmits => measures.retransmits(),
            Self::Timeouts => measures.timeouts,
        }
    }

    /// Whether it means nothing without a message that was delivered.
    const fn needs_deliveries(self) -> bool {
        match self {
            Self::Mean | Self::P50 | Self::P99 | Self::Max | Self::Overhead => true,
            Self::Delivered | Self::Goodput | Self::Retransmits | Self::Timeouts => false,
        }
    }

    fn in_words(self, value: u64) -> String {
        let thousandths = |value: u64| format!("{}.{:03}", value / 1_000, value % 1_000);
        match self {
            Self::Mean | Self::P50 | Self::P99 | Self::Max => format!("{}ms", thousandths(value)),
            Self::Delivered => format!("{}.{:04}%", value / 10_000, value % 10_000),
            Self::Overhead => thousandths(value),
            Self::Goodput => format!("{}mbit", thousandths(value * 8 / 1_000)),
            Self::Retransmits | Self::Timeouts => value.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_never_came_nobody_can_say_how_fast_it_was() {
        let measures = Measures { messages: 100, ..Measures::default() };
        let check = |text: &str| {
            let expect: Expect = text.parse().expect(text);
            expect.check(&Run::default(), &measures)
        };
        for text in ["mean < 1s", "p50 < 1s", "p99 < 1s", "max < 1s", "overhead < 2"] {
            assert_eq!(check(text), Err("unknown: nothing was delivered".to_owned()), "{text}");
        }
        assert_eq!(check("delivered = 0%"), Ok(()));
    }

    #[test]
    fn expectations_are_read_and_held_against_figures() {
        let measures = Measures {
            messages: 100,
            delivered: 99,
            p99: Duration::from_millis(250),
            overhead: 1_650,
            ..Measures::default()
        };
        let check = |text: &str| {
            let expect: Expect = text.parse().expect(text);
            expect.check(&Run::default(), &measures)
        };
        for right in ["p99 < 251ms", "ours: p99 = 250ms", "delivered > 98.9%", "overhead<1.7"] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        assert_eq!(check("p99 < 250ms"), Err("250.000ms".to_owned()));
        assert_eq!(check("delivered = 100%"), Err("99.0000%".to_owned()));
        assert_eq!(check("at 3s: retransmit of 17"), Err("17 never left again".to_owned()));
    }

    #[test]
    fn what_nobody_understands_is_refused() {
        for wrong in
            ["", "p99", "p99 < 250", "p98 < 1s", "theirs: p99 < 1s", "at 3: retransmit of 1"]
        {
            assert!(wrong.parse::<Expect>().is_err(), "{wrong}");
        }
    }
}
