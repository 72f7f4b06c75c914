//! What is done to traffic now, and how it is changed while it flows.

use std::{ops::Range, time::Duration};

use protocol::{
    lab::{
        fault::{Faults, Loss, Share},
        words::BadFault,
    },
    time::Timestamp,
};

/// A blackout that ends when somebody says so.
const WITHOUT_END: Range<Duration> = Duration::ZERO..Duration::MAX;

/// What is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What was asked for, towards the program and back.
    pub faults: [Faults; 2],
    /// Nothing is done for now.
    pub is_off: bool,
    /// Nothing passes for now.
    pub is_dark: bool,
    /// How often all connections were cut. A connection ends when this changes.
    pub cuts: u64,
}

/// A fault that cannot be made on connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} cannot be made on TCP, whose repair in the kernel sits below this proxy: use --listen \
     udp:ADDR, or netem under the connection"
)]
pub struct NotOnTcp(&'static str);

impl Settings {
    /// What these words say: a profile first, then faults of both directions, then those of the way
    /// back.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, and what it should be.
    pub fn new(profile: Option<&str>, both: &[String], back: &[String]) -> Result<Self, BadFault> {
        let mut settings = Self::default();
        for faults in &mut settings.faults {
            profile.map_or(Ok(()), |name| faults.set("profile", name))?;
            both.iter().try_for_each(|words| faults.set_words(words))?;
        }
        let [_, faults] = &mut settings.faults;
        back.iter().try_for_each(|words| faults.set_words(words))?;
        Ok(settings)
    }

    /// Checks that all of it can be done to connections.
    ///
    /// # Errors
    ///
    /// What cannot, and why.
    pub fn check_tcp(&self) -> Result<(), NotOnTcp> {
        self.faults.iter().try_for_each(|faults| {
            let named = [
                ("loss", faults.loss != Loss::None),
                ("duplicate", faults.duplicate > Share::NONE),
                ("corrupt", faults.corrupt > Share::NONE),
                ("reorder", faults.reorder.0 > Share::NONE),
                ("mtu", faults.datagram_bytes_max > 0),
            ];
            let wrong = named.into_iter().find(|(_, is_set)| *is_set);
            wrong.map_or(Ok(()), |(name, _)| Err(NotOnTcp(name)))
        })
    }

    /// What it comes to.
    pub(super) fn effective(&self) -> [Faults; 2] {
        let mut ways = if self.is_off { Default::default() } else { self.faults.clone() };
        if self.is_dark {
            for way in &mut ways {
                way.blackouts = vec![WITHOUT_END];
            }
        }
        ways
    }

    /// Until when nothing passes, of those who wait for it.
    pub(super) fn dark_until(&self, way: usize, now: Timestamp) -> Option<Timestamp> {
        if self.is_dark {
            return Some(Timestamp::ZERO + WITHOUT_END.end);
        }
        let since = now.since(Timestamp::ZERO);
        let blackouts = self.faults[way].blackouts.iter().filter(|_| !self.is_off);
        let covering = blackouts.filter(|blackout| blackout.contains(&since));
        covering.map(|blackout| Timestamp::ZERO + blackout.end).max()
    }

    /// Loses so many hundredths more, or fewer, in both directions. Bursts keep their length; a list
    /// of packets becomes a share.
    pub fn add_loss(&mut self, percent: i32) {
        for faults in &mut self.faults {
            let (average, length) = faults.loss.average().unwrap_or((Share::NONE, 1));
            let step = percent.saturating_mul(10_000);
            let part = average.as_millionths().saturating_add_signed(step);
            faults.loss = match (Share::millionths(part), length) {
                (Share::NONE, _) => Loss::None,
                (part, 2..) => Loss::bursts(part, length),
                (part, _) => Loss::Independent(part),
            };
        }
    }

    /// Delays by so much more in both directions.
    pub fn lengthen(&mut self, by: Duration) {
        for faults in &mut self.faults {
            faults.delay = faults.delay.saturating_add(by);
        }
    }

    /// Delays by so much less in both directions.
    pub fn shorten(&mut self, by: Duration) {
        for faults in &mut self.faults {
            faults.delay = faults.delay.saturating_sub(by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(profile: Option<&str>, both: &[&str], back: &[&str]) -> Settings {
        let owned =
            |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        Settings::new(profile, &owned(both), &owned(back)).expect("these words are right")
    }

    fn told(settings: &Settings) -> [String; 2] {
        settings.effective().map(|faults| faults.to_string())
    }

    #[test]
    fn a_profile_comes_first_and_the_way_back_last() {
        let settings = settings(Some("wifi"), &["delay 30ms"], &["loss 7%"]);
        let out = "delay 30ms, jitter 4ms, loss 0.5%";
        let back = "delay 30ms, jitter 4ms, loss 7%";
        assert_eq!(told(&settings), [out, back]);
    }

    #[test]
    fn keys_change_both_directions_within_bounds() {
        let mut settings = settings(None, &["loss 2% in bursts of 4"], &["loss packets 1,2"]);
        settings.add_loss(1);
        assert_eq!(told(&settings), ["loss 3% in bursts of 4", "loss 1%"]);
        settings.add_loss(-3);
        settings.lengthen(Duration::from_millis(10));
        assert_eq!(told(&settings), ["delay 10ms", "delay 10ms"]);
        settings.add_loss(500);
        settings.shorten(Duration::from_secs(1));
        assert_eq!(told(&settings), ["loss 100%", "loss 100%"]);
        settings.is_off = true;
        assert_eq!(told(&settings), ["no faults", "no faults"]);
    }

    #[test]
    fn a_blackout_lasts_as_long_as_it_says_or_until_it_is_lifted() {
        let at = |millis: u64| Timestamp::from_micros(millis * 1_000);
        let mut settings = settings(None, &["blackout 1s..2s"], &["blackout 1.5s..3s"]);
        assert_eq!(settings.dark_until(0, at(999)), None);
        assert_eq!(settings.dark_until(0, at(1_600)), Some(at(2_000)));
        assert_eq!(settings.dark_until(1, at(1_600)), Some(at(3_000)));
        settings.is_off = true;
        assert_eq!(settings.dark_until(1, at(1_600)), None);
        settings.is_dark = true;
        assert_eq!(settings.dark_until(0, at(1)), Some(Timestamp::from_micros(u64::MAX)));
    }

    #[test]
    fn what_tcp_would_repair_is_refused_with_the_reason() {
        for words in ["loss 1%", "duplicate 1%", "corrupt 1%", "reorder 1% by 1ms", "mtu 1300"] {
            let error = settings(None, &[], &[words]).check_tcp().expect_err(words).to_string();
            let name = words.split(' ').next().expect("a name");
            assert!(error.starts_with(&format!("{name} cannot be made on TCP")), "{error}");
            assert!(error.contains("udp:ADDR") && error.contains("netem"), "{error}");
        }
        let whole = ["delay 1ms", "jitter 1ms", "rate 1mbit", "queue 10kB", "blackout 1s..2s"];
        assert_eq!(settings(None, &whole, &[]).check_tcp(), Ok(()));
    }
}
