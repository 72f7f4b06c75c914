//! How the value of a setting is written, the same on the command line, in the environment and in
//! the file: text in, text out.

use std::{fmt::Write as _, net::SocketAddr, path::PathBuf, time::Duration};

/// A type a setting can have.
pub trait Value: Sized {
    /// What stands for it in the help: `--listen <ADDR:PORT>`.
    const PLACEHOLDER: &'static str;
    /// Whether the setting may be given several times.
    const ARITY: Arity = Arity::One;

    /// Reads the value from its items: one, unless [`Self::ARITY`] says otherwise.
    ///
    /// # Errors
    ///
    /// What was expected, for people.
    fn parse(items: &[String]) -> Result<Self, String>;

    /// The items [`Self::parse`] would read it from.
    fn show(&self) -> Vec<String>;
}

/// How many items a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Exactly one.
    One,
    /// Any number, also none.
    Many,
}

fn single(items: &[String]) -> Result<&str, String> {
    match items {
        [item] => Ok(item),
        _ => Err("one value expected".to_owned()),
    }
}

impl Value for String {
    const PLACEHOLDER: &'static str = "TEXT";

    fn parse(items: &[String]) -> Result<Self, String> {
        single(items).map(str::to_owned)
    }

    fn show(&self) -> Vec<String> {
        vec![self.clone()]
    }
}

impl Value for PathBuf {
    const PLACEHOLDER: &'static str = "DIR";

    fn parse(items: &[String]) -> Result<Self, String> {
        match single(items)? {
            "" => Err("a path expected".to_owned()),
            path => Ok(Self::from(path)),
        }
    }

    fn show(&self) -> Vec<String> {
        vec![self.display().to_string()]
    }
}

impl Value for u32 {
    const PLACEHOLDER: &'static str = "N";

    fn parse(items: &[String]) -> Result<Self, String> {
        let plain = single(items)?.replace('_', "");
        plain.parse().map_err(|_| format!("a whole number up to {} expected", Self::MAX))
    }

    fn show(&self) -> Vec<String> {
        vec![self.to_string()]
    }
}

impl Value for Duration {
    const PLACEHOLDER: &'static str = "TIME";

    fn parse(items: &[String]) -> Result<Self, String> {
        let text = single(items)?;
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let millis_per_unit: u64 = match &text[digits.len()..] {
            "ms" => 1,
            "" | "s" => 1_000,
            "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err("a time like 500ms, 5s, 10min, 2h or 30d expected".to_owned()),
        };
        let number: u64 =
            digits.parse().map_err(|_| "a time like 500ms, 5s or 10min expected".to_owned())?;
        let millis = number.checked_mul(millis_per_unit).ok_or("a shorter time expected")?;
        Ok(Self::from_millis(millis))
    }

    fn show(&self) -> Vec<String> {
        let millis = self.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
        let (per_unit, unit) = units
            .into_iter()
            .find(|(per_unit, _)| millis > 0 && millis.is_multiple_of(*per_unit))
            .unwrap_or((1, "ms"));
        vec![format!("{}{unit}", millis / per_unit)]
    }
}

/// A number of bytes: `65536`, `64KiB`, `4MiB`, `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteCount(pub u64);

impl ByteCount {
    /// The number as a length in memory; saturating on small machines.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// The number as a limit of 32 bits; saturating.
    pub fn as_u32(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

impl Value for ByteCount {
    const PLACEHOLDER: &'static str = "BYTES";

    fn parse(items: &[String]) -> Result<Self, String> {
        let text = single(items)?;
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let expected = || "a size like 65536, 64KiB, 4MiB or 1GiB expected".to_owned();
        let shift = match &text[digits.len()..] {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err(expected()),
        };
        let number: u64 = digits.replace('_', "").parse().map_err(|_| expected())?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(expected)
    }

    fn show(&self) -> Vec<String> {
        let (shift, unit) = [(30, "GiB"), (20, "MiB"), (10, "KiB")]
            .into_iter()
            .find(|(shift, _)| self.0 > 0 && self.0.trailing_zeros() >= *shift)
            .unwrap_or((0, ""));
        vec![format!("{}{unit}", self.0 >> shift)]
    }
}

impl Value for Vec<SocketAddr> {
    const PLACEHOLDER: &'static str = "ADDR:PORT";
    const ARITY: Arity = Arity::Many;

    fn parse(items: &[String]) -> Result<Self, String> {
        let expected = |item: &str| {
            format!("`{item}` is not ADDR:PORT, such as 0.0.0.0:4545, 127.0.0.1:0 or [::]:4545")
        };
        items.iter().map(|item| item.parse().map_err(|_| expected(item))).collect()
    }

    fn show(&self) -> Vec<String> {
        self.iter().map(ToString::to_string).collect()
    }
}

impl Value for Vec<String> {
    const PLACEHOLDER: &'static str = "TEXT";
    const ARITY: Arity = Arity::Many;

    fn parse(items: &[String]) -> Result<Self, String> {
        Ok(items.to_vec())
    }

    fn show(&self) -> Vec<String> {
        self.clone()
    }
}

/// Declares a setting that is one of a few words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl Value for $name {
            const PLACEHOLDER: &'static str = "WORD";

            fn parse(items: &[String]) -> Result<Self, String> {
                match single(items)? {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(one_of(&[$($word),*])),
                }
            }

            fn show(&self) -> Vec<String> {
                match self { $(Self::$variant => vec![$word.to_owned()],)* }
            }
        }
    };
}

words! {
    /// Who may found an account.
    Registration {
        /// Anybody who reaches the relay from a private, link-local or loopback address.
        Open = "open",
        /// Whoever brings a ticket.
        Invite = "invite",
        /// Nobody.
        Closed = "closed",
    }
}

words! {
    /// Where the durable state lives.
    StoreKind {
        /// In the data directory.
        Sqlite = "sqlite",
        /// Nowhere: it is gone when the relay stops. For trying out and for measuring.
        Memory = "memory",
    }
}

fn one_of(words: &[&str]) -> String {
    let mut text = "one of".to_owned();
    for (index, word) in words.iter().enumerate() {
        let separator = if index == 0 { " " } else { ", " };
        let _ = write!(text, "{separator}{word}");
    }
    text + " expected"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<T: Value>(text: &str) -> Result<T, String> {
        T::parse(&[text.to_owned()])
    }

    #[test]
    fn times_and_sizes_are_shown_as_they_can_be_typed() {
        for text in ["0ms", "250ms", "5s", "10min", "2h", "30d"] {
            assert_eq!(parse::<Duration>(text).unwrap().show(), [text]);
        }
        for text in ["0", "1000", "64KiB", "3MiB", "1GiB"] {
            assert_eq!(parse::<ByteCount>(text).unwrap().show(), [text]);
        }
        assert_eq!(parse("5"), Ok(Duration::from_secs(5)));
        assert_eq!(parse("1_000"), Ok(ByteCount(1_000)));
    }

    #[test]
    fn nonsense_is_refused_with_what_was_expected() {
        assert!(parse::<Duration>("5 apples").unwrap_err().contains("500ms"));
        assert!(parse::<ByteCount>("12XB").unwrap_err().contains("64KiB"));
        assert!(parse::<ByteCount>("99999999999GiB").is_err(), "overflow");
        assert!(parse::<Vec<SocketAddr>>("localhost").unwrap_err().contains("`localhost`"));
        assert_eq!(
            parse::<Registration>("yes").unwrap_err(),
            "one of open, invite, closed expected"
        );
    }
}
