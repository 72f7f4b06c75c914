//! Faults as people write them: in a scenario, on a command line, in a running client.
//!
//! ```text
//!   delay 20ms   jitter 2ms   jitter 2ms normal   loss 5%   loss 5% in bursts of 4   loss packets 3,17
//!   duplicate 1%   corrupt 1%   reorder 10% by 30ms   rate 20mbit   queue 100kB   mtu 1300
//!   blackout 3s..5s
//! ```

use std::{fmt, ops::Range, time::Duration};

use super::{
    fault::{Faults, Loss, Rate, Share},
    jitter::{Jitter, Shape},
};

/// Queue before a bottleneck for which none was given: 50 packets of Ethernet.
const QUEUE_BYTES_DEFAULT: u64 = 75_000;
const JITTER_WANTED: &str = "5ms (uniform), 5ms normal, 5ms exponential or 5ms pareto";
/// Names of faults, in the order in which they are explained.
pub const FAULTS: [&str; 11] = [
    "delay",
    "jitter",
    "loss",
    "duplicate",
    "corrupt",
    "reorder",
    "rate",
    "queue",
    "mtu",
    "blackout",
    "profile",
];

/// A fault that nobody understands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFault {
    /// There is no fault of this name.
    #[error("faults are {list}; there is none called {0:?}", list = FAULTS.join(", "))]
    Name(String),
    /// Its value is not what it should be.
    #[error("{name}: write {wanted}, and not {value:?}")]
    Value {
        /// Of the fault.
        name: String,
        /// What was written.
        value: String,
        /// What can be.
        wanted: &'static str,
    },
}

impl Faults {
    /// Sets one fault to what is written.
    ///
    /// # Errors
    ///
    /// What can be written instead.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), BadFault> {
        let wrong = |wanted| BadFault::Value { name: name.into(), value: value.into(), wanted };
        let time = || duration(value).ok_or_else(|| wrong("a time, as 20ms or 1.5s"));
        let part = || share(value).ok_or_else(|| wrong("a share, as 5% or 0.1%"));
        match name {
            "delay" => self.delay = time()?,
            "jitter" => {
                self.jitter = jitter(value).ok_or_else(|| wrong(JITTER_WANTED))?;
            }
            "loss" => {
                self.loss = loss(value)
                    .ok_or_else(|| wrong("5%, 5% in bursts of 4, packets 3,17, or none"))?;
            }
            "duplicate" => self.duplicate = part()?,
            "corrupt" => self.corrupt = part()?,
            "reorder" => {
                self.reorder = reorder(value).ok_or_else(|| wrong("10% by 30ms, or none"))?;
            }
            "rate" => {
                let queue_bytes = self.rate.map_or(QUEUE_BYTES_DEFAULT, |rate| rate.queue_bytes);
                self.rate = match value {
                    "none" => None,
                    _ => Some(Rate {
                        bytes_per_second: rate(value)
                            .ok_or_else(|| wrong("20mbit, 500kbit, or none"))?,
                        queue_bytes,
                    }),
                };
            }
            "queue" => {
                let bytes = bytes(value).ok_or_else(|| wrong("bytes, as 100kB"))?;
                let rate =
                    self.rate.get_or_insert(Rate { bytes_per_second: u64::MAX, queue_bytes: 0 });
                rate.queue_bytes = bytes;
            }
            "mtu" => {
                let bytes = bytes(value).and_then(|bytes| usize::try_from(bytes).ok());
                let bytes = bytes.filter(|bytes| *bytes > 0);
                self.datagram_bytes_max = match value {
                    "none" => 0,
                    _ => bytes.ok_or_else(|| wrong("bytes, as 1300, or none"))?,
                };
            }
            "blackout" => {
                let span = span(value).ok_or_else(|| wrong("from..to, as 3s..5s"))?;
                self.blackouts.push(span);
            }
            "profile" => {
                *self = profile(value).ok_or_else(|| wrong(PROFILE_NAMES))?;
            }
            _ => return Err(BadFault::Name(name.into())),
        }
        Ok(())
    }
}

impl Faults {
    /// What is set, name and value, as [`Self::set`] takes them.
    pub fn words(&self) -> Vec<(&'static str, String)> {
        let mut words = Vec::new();
        if !self.delay.is_zero() {
            words.push(("delay", time_text(self.delay)));
        }
        if let Jitter { by, shape } = self.jitter
            && !by.is_zero()
        {
            let time = time_text(by);
            words.push(match shape {
                Shape::Uniform => ("jitter", time),
                Shape::Normal | Shape::Exponential | Shape::Pareto => {
                    ("jitter", format!("{time} {}", shape.name()))
                }
            });
        }
        match &self.loss {
            Loss::None => {}
            Loss::Independent(share) if *share == Share::NONE => {}
            Loss::Independent(share) => words.push(("loss", share_text(*share))),
            Loss::Bursts { .. } => {
                if let Some((average, length)) = self.loss.average() {
                    words.push(("loss", format!("{} in bursts of {length}", share_text(average))));
                }
            }
            Loss::Listed(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
                words.push(("loss", format!("packets {}", numbers.join(","))));
            }
        }
        let shares = [("duplicate", self.duplicate), ("corrupt", self.corrupt)];
        let shares = shares.into_iter().filter(|(_, share)| *share != Share::NONE);
        words.extend(shares.map(|(name, share)| (name, share_text(share))));
        let (share, by) = self.reorder;
        if share != Share::NONE {
            words.push(("reorder", format!("{} by {}", share_text(share), time_text(by))));
        }
        if let Some(Rate { bytes_per_second, queue_bytes }) = self.rate {
            if bytes_per_second < u64::MAX {
                words.push(("rate", rate_text(bytes_per_second)));
            }
            if queue_bytes != QUEUE_BYTES_DEFAULT {
                words.push(("queue", queue_bytes.to_string()));
            }
        }
        if self.datagram_bytes_max > 0 {
            words.push(("mtu", self.datagram_bytes_max.to_string()));
        }
        let span = |span: &Range<_>| format!("{}..{}", time_text(span.start), time_text(span.end));
        words.extend(self.blackouts.iter().map(|it| ("blackout", span(it))));
        words
    }

    /// Sets one fault to what is written as one text: `loss 5%`.
    ///
    /// # Errors
    ///
    /// What can be written instead.
    pub fn set_words(&mut self, words: &str) -> Result<(), BadFault> {
        let (name, value) = words.trim().split_once(' ').unwrap_or((words.trim(), ""));
        self.set(name, value.trim())
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words().into_iter().map(|(name, value)| format!("{name} {value}"));
        let words: Vec<String> = words.collect();
        f.pad(if words.is_empty() { "no faults".to_owned() } else { words.join(", ") }.as_str())
    }
}

/// Paths that people know, each direction the same. Figures are round ones of what is measured on
/// such paths, not of any one of them.
const PROFILES: [(&str, &[(&str, &str)]); 8] = [
    ("lan", &[("delay", "250us"), ("jitter", "100us")]),
    ("dsl", &[("delay", "12ms"), ("jitter", "2ms"), ("rate", "16mbit"), ("queue", "100kB")]),
    ("wifi", &[("delay", "2ms"), ("jitter", "4ms"), ("loss", "0.5%")]),
    (
        "wifi-bad",
        &[
            ("delay", "5ms"),
            ("jitter", "25ms"),
            ("loss", "10% in bursts of 4"),
            ("reorder", "2% by 20ms"),
        ],
    ),
    (
        "4g",
        &[
            ("delay", "25ms"),
            ("jitter", "10ms"),
            ("loss", "0.5%"),
            ("rate", "20mbit"),
            ("queue", "500kB"),
        ],
    ),
    (
        "3g",
        &[
            ("delay", "75ms"),
            ("jitter", "30ms"),
            ("loss", "2%"),
            ("rate", "1mbit"),
            ("queue", "100kB"),
        ],
    ),
    (
        "edge",
        &[
            ("delay", "200ms"),
            ("jitter", "80ms"),
            ("loss", "3%"),
            ("rate", "120kbit"),
            ("queue", "30kB"),
        ],
    ),
    (
        "satellite",
        &[
            ("delay", "300ms"),
            ("jitter", "10ms"),
            ("loss", "1%"),
            ("rate", "10mbit"),
            ("queue", "500kB"),
        ],
    ),
];
const PROFILE_NAMES: &str = "lan, dsl, wifi, wifi-bad, 4g, 3g, edge or satellite";

/// The faults of a path that has a name.
pub fn profile(name: &str) -> Option<Faults> {
    let (_, settings) = PROFILES.iter().find(|(known, _)| *known == name)?;
    let mut faults = Faults::default();
    for (name, value) in *settings {
        faults.set(name, value).ok()?;
    }
    Some(faults)
}

/// Names of all profiles.
pub fn profiles() -> impl Iterator<Item = &'static str> {
    PROFILES.iter().map(|(name, _)| *name)
}

/// `20ms`, `1.5s`, `500us`.
pub fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let micros = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "min" => 60_000_000,
        _ => return None,
    };
    decimal(number, micros).map(Duration::from_micros)
}

/// `5%`, `0.1%`.
pub fn share(text: &str) -> Option<Share> {
    let millionths = decimal(text.strip_suffix('%')?, 10_000)?;
    let millionths = u32::try_from(millionths).ok().filter(|it| *it <= 1_000_000)?;
    Some(Share::millionths(millionths))
}

/// Bytes in a second: `20mbit`, `500kbit`, `1gbit`.
pub fn rate(text: &str) -> Option<u64> {
    let (number, unit) = [("gbit", 125_000_000), ("mbit", 125_000), ("kbit", 125)]
        .into_iter()
        .find_map(|(name, bytes)| Some((text.strip_suffix(name)?, bytes)))?;
    decimal(number, unit).filter(|rate| *rate > 0)
}

/// `1300`, `100kB`, `1MB`.
pub fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = [("MB", 1_000_000), ("kB", 1_000), ("B", 1)]
        .into_iter()
        .find_map(|(name, bytes)| Some((text.strip_suffix(name)?, bytes)))
        .unwrap_or((text, 1));
    decimal(number, unit)
}

fn loss(text: &str) -> Option<Loss> {
    if text == "none" {
        return Some(Loss::None);
    }
    if let Some(numbers) = text.strip_prefix("packets ") {
        let numbers = numbers.split(',').map(|number| number.trim().parse().ok());
        return numbers.collect::<Option<Vec<u64>>>().map(Loss::Listed);
    }
    match text.split_once(" in bursts of ") {
        Some((average, length)) => {
            let length = length.trim().parse().ok().filter(|length| *length > 0)?;
            Some(Loss::bursts(share(average.trim())?, length))
        }
        None => share(text).map(Loss::Independent),
    }
}

fn jitter(text: &str) -> Option<Jitter> {
    let (by, shape) = text.split_once(' ').unwrap_or((text, Shape::Uniform.name()));
    let shape = Shape::ALL.into_iter().find(|known| known.name() == shape.trim())?;
    Some(Jitter { by: duration(by)?, shape })
}

fn reorder(text: &str) -> Option<(Share, Duration)> {
    if text == "none" {
        return Some((Share::NONE, Duration::ZERO));
    }
    let (part, by) = text.split_once(" by ")?;
    Some((share(part.trim())?, duration(by.trim())?))
}

fn span(text: &str) -> Option<Range<Duration>> {
    let (from, to) = text.split_once("..")?;
    let (from, to) = (duration(from.trim())?, duration(to.trim())?);
    (from < to).then_some(from..to)
}

/// `20ms`, `1.5s`, `500us`: as [`duration`] reads it.
pub fn time_text(time: Duration) -> String {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    match micros {
        0..1_000 => format!("{micros}us"),
        1_000..1_000_000 => format!("{}ms", decimal_text(micros, 3)),
        _ => format!("{}s", decimal_text(micros, 6)),
    }
}

fn share_text(share: Share) -> String {
    format!("{}%", decimal_text(share.as_millionths().into(), 4))
}

fn rate_text(bytes_per_second: u64) -> String {
    let bits = bytes_per_second.saturating_mul(8);
    match bits {
        0..1_000_000 => format!("{}kbit", decimal_text(bits, 3)),
        _ => format!("{}mbit", decimal_text(bits, 6)),
    }
}

/// A number of so many digits behind the point, without zeros at its end.
fn decimal_text(value: u64, digits: u32) -> String {
    let unit = 10_u64.pow(digits);
    let width = usize::try_from(digits).unwrap_or(0);
    let text = format!("{}.{:0width$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A number with at most six digits behind the point, times `unit`, without what is left of it.
pub(super) fn decimal(text: &str, unit: u64) -> Option<u64> {
    const DIGITS: usize = 6;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) || fraction.len() > DIGITS {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<DIGITS$}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    whole.checked_mul(unit)?.checked_add(fraction.checked_mul(unit)? / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[(&str, &str)]) -> Result<Faults, BadFault> {
        let mut faults = Faults::default();
        for (name, value) in words {
            faults.set(name, value)?;
        }
        Ok(faults)
    }

    #[test]
    fn what_people_write_is_what_they_get() {
        let faults = set(&[
            ("delay", "20ms"),
            ("jitter", "1.5ms"),
            ("loss", "0.1%"),
            ("reorder", "10% by 30ms"),
            ("queue", "100kB"),
            ("rate", "20mbit"),
            ("mtu", "1300"),
            ("blackout", "3s..5s"),
            ("blackout", "7s..7.5s"),
        ])
        .expect("all of these are right");
        let ms = Duration::from_millis;
        assert_eq!(faults.delay, ms(20));
        assert_eq!(faults.jitter, Jitter::up_to(Duration::from_micros(1_500)));
        assert_eq!(faults.loss, Loss::Independent(Share::millionths(1_000)));
        assert_eq!(faults.reorder, (Share::percent(10), ms(30)));
        let rate = Rate { bytes_per_second: 2_500_000, queue_bytes: 100_000 };
        assert_eq!((faults.rate, faults.datagram_bytes_max), (Some(rate), 1_300));
        assert_eq!(faults.blackouts, [ms(3_000)..ms(5_000), ms(7_000)..ms(7_500)]);
        let loss = |text| set(&[("loss", text)]).map(|faults| faults.loss);
        assert_eq!(loss("packets 3, 17"), Ok(Loss::Listed(vec![3, 17])));
        assert_eq!(loss("5% in bursts of 4"), Ok(Loss::bursts(Share::percent(5), 4)));
    }

    #[test]
    fn what_nobody_understands_is_refused_with_what_can_be_written() {
        for (name, value, says) in [
            ("loss", "10", "write 5%, 5% in bursts of 4, packets 3,17, or none"),
            ("loss", "101%", "write 5%"),
            ("loss", "5% in bursts of 0", "write 5%"),
            ("delay", "20", "write a time"),
            ("delay", "-1ms", "write a time"),
            ("jitter", "5ms gamma", "5ms pareto"),
            ("delay", "99999999999999999s", "write a time"),
            ("blackout", "5s..3s", "write from..to"),
            ("rate", "0mbit", "write 20mbit"),
            ("mtu", "0", "write bytes, as 1300, or none"),
            ("profile", "mars", "write lan, dsl"),
            ("lose", "5%", "faults are delay, jitter"),
        ] {
            let error = set(&[(name, value)]).expect_err(value).to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn what_is_set_is_told_in_the_words_that_set_it() {
        let words = [
            ("delay", "20ms"),
            ("jitter", "1.5ms"),
            ("loss", "0.1%"),
            ("duplicate", "2%"),
            ("corrupt", "100%"),
            ("reorder", "10% by 30ms"),
            ("rate", "500kbit"),
            ("queue", "100000"),
            ("mtu", "1300"),
            ("blackout", "3s..5.25s"),
        ];
        let told = set(&words).expect("all of these are right").words();
        assert_eq!(told.iter().map(|(name, value)| (*name, &**value)).collect::<Vec<_>>(), words);
        for loss in ["5% in bursts of 4", "10% in bursts of 3", "packets 3,17"] {
            let told = set(&[("loss", loss)]).expect("right").words();
            assert_eq!(told, [("loss", loss.to_owned())]);
        }
        for jitter in ["5ms", "5ms normal", "1.5s exponential", "500us pareto"] {
            let told = set(&[("jitter", jitter)]).expect("right").words();
            assert_eq!(told, [("jitter", jitter.to_owned())]);
        }
        assert_eq!(Faults::default().words(), []);
    }

    #[test]
    fn every_profile_is_told_in_words_that_make_it_again() {
        for name in profiles() {
            let mut again = Faults::default();
            let faults = profile(name).expect("it has a name");
            for (name, value) in faults.words() {
                again.set(name, &value).expect("as it was written");
            }
            assert_eq!(again, faults, "{name}");
        }
    }

    #[test]
    fn every_profile_is_one() {
        for name in profiles() {
            assert!(profile(name).is_some_and(|faults| faults.delay > Duration::ZERO), "{name}");
            assert!(PROFILE_NAMES.contains(name), "{name}");
        }
    }

    #[test]
    fn what_is_told_makes_the_same_faults() {
        for name in profiles() {
            let faults = profile(name).expect("it has this name");
            let mut again = Faults::default();
            for words in faults.to_string().split(", ") {
                again.set_words(words).unwrap_or_else(|error| panic!("{faults}: {error}"));
            }
            assert_eq!(again, faults, "{faults}");
        }
        assert_eq!(Faults::default().to_string(), "no faults");
    }

    #[test]
    fn words_without_a_value_say_what_can_be_written() {
        let error = Faults::default().set_words("loss").expect_err("no value").to_string();
        assert!(error.contains("write 5%"), "{error}");
    }
}
