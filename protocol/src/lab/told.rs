//! Faults as one text, to be read and to be told.

use std::fmt;

use super::{
    fault::{Faults, Loss, Share},
    words::BadFault,
};

impl Faults {
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

impl Loss {
    /// How many are lost in the long run, to a hundredth of a percent, and how long a burst is on
    /// average; `None` where no chance decides.
    pub fn average(&self) -> Option<(Share, u32)> {
        match self {
            Self::None => Some((Share::NONE, 1)),
            Self::Independent(part) => Some((*part, 1)),
            Self::Bursts { begin, end } => {
                let [begin, end] = [begin, end].map(|share| u64::from(share.as_millionths()));
                // Whatever was rounded when the chances were made of it.
                let average = (begin * 10_000 + u64::midpoint(begin, end)) / (begin + end).max(1);
                let length = (1_000_000 + end / 2) / end.max(1);
                let [average, length] = [average * 100, length].map(|it| u32::try_from(it).ok());
                Some((Share::millionths(average?), length?))
            }
            Self::Listed(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::words::{profile, profiles};

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

    #[test]
    fn the_average_of_bursts_is_what_they_were_made_of() {
        for (percent, length) in [(5, 4), (10, 3), (40, 5)] {
            let average = Share::percent(percent);
            assert_eq!(Loss::bursts(average, length).average(), Some((average, length)));
        }
        assert_eq!(Loss::Listed(vec![1]).average(), None);
    }
}
