//! Faults of a running program: what `/net loss 10%` of a client means, or `--lab 'loss 10%'` of a
//! relay, and what is set just now.
//!
//! Times are counted from when the program began.

use std::{ops::Range, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    experiment::Way,
    fault::{Faults, Loss, Share},
    words::BadFault,
};

/// What somebody wants of the path to the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// One fault, in the words of [`Faults::set`].
    Set {
        /// Where.
        ways: Ways,
        /// Which.
        name: String,
        /// To what.
        value: String,
    },
    /// Chance is drawn anew, from this.
    Seed(u64),
    /// A path without faults again.
    Off,
    /// The connection ends now.
    Cut,
}

/// Where a fault acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ways {
    /// In both directions.
    Both,
    /// On what we send.
    Out,
    /// On what comes.
    In,
}

/// An order that nobody understands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOrder {
    /// A fault.
    #[error(transparent)]
    Fault(#[from] BadFault),
    /// The seed.
    #[error("seed {0:?}: write a number, as 42")]
    Seed(String),
    /// Something follows where nothing can.
    #[error("nothing can follow {0}")]
    Surplus(&'static str),
}

impl FromStr for Order {
    type Err = BadOrder;

    fn from_str(text: &str) -> Result<Self, BadOrder> {
        let split = |text: &str| {
            let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            (first.to_lowercase(), rest.trim().to_owned())
        };
        let (first, rest) = split(text.trim());
        let alone =
            |order, name| if rest.is_empty() { Ok(order) } else { Err(BadOrder::Surplus(name)) };
        let (ways, (name, value)) = match first.as_str() {
            "off" => return alone(Self::Off, "off"),
            "cut" => return alone(Self::Cut, "cut"),
            "seed" => return rest.parse().map(Self::Seed).map_err(|_| BadOrder::Seed(rest)),
            "out" => (Ways::Out, split(&rest)),
            "in" => (Ways::In, split(&rest)),
            _ => (Ways::Both, (first, rest)),
        };
        // What is wrong with it is said before anybody acts on it.
        Faults::default().set(&name, &value)?;
        Ok(Self::Set { ways, name, value })
    }
}

/// What is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Out and in; blackouts count from when the program began.
    ways: [Faults; 2],
    seed: u64,
}

impl Wanted {
    /// Does what an order says, except for cutting the connection.
    ///
    /// # Errors
    ///
    /// If the fault is none.
    pub fn follow(&mut self, order: &Order, elapsed: Duration) -> Result<(), BadFault> {
        match order {
            Order::Set { ways, name, value } => {
                let [out, back] = &mut self.ways;
                let concerned: &mut [&mut Faults] = match ways {
                    Ways::Both => &mut [out, back],
                    Ways::Out => &mut [out],
                    Ways::In => &mut [back],
                };
                for faults in concerned {
                    set(faults, name, value, elapsed)?;
                }
            }
            Order::Seed(seed) => self.seed = *seed,
            Order::Off => *self = Self::default(),
            Order::Cut => {}
        }
        Ok(())
    }

    /// What they are for a connection that began so long after the program.
    pub fn faults_from(&self, elapsed: Duration) -> [Faults; 2] {
        self.ways.clone().map(|faults| Faults {
            blackouts: later_than(&faults.blackouts, elapsed).collect(),
            ..faults
        })
    }

    /// Decides what is left to chance.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether there is nothing.
    pub fn is_nothing(&self) -> bool {
        self.ways == [Faults::default(), Faults::default()]
    }

    /// Whether some of it means nothing where the kernel repairs losses before we see them.
    pub fn needs_datagrams(&self) -> bool {
        self.ways.iter().any(|faults| {
            let is_lossless = match &faults.loss {
                Loss::None => true,
                Loss::Independent(share) => *share == Share::NONE,
                Loss::Bursts { .. } | Loss::Listed(_) => false,
            };
            !is_lossless
                || [faults.duplicate, faults.corrupt, faults.reorder.0] != [Share::NONE; 3]
                || faults.datagram_bytes_max > 0
        })
    }

    /// All of it but the blackouts, as it would be written: `loss 10%, in delay 50ms`.
    pub fn words(&self) -> String {
        let [out, back] = self.ways.clone().map(|faults| {
            let faults = Faults { blackouts: Vec::new(), ..faults };
            faults.words().into_iter().map(|(name, value)| format!("{name} {value}"))
        });
        let (out, back): (Vec<_>, Vec<_>) = (out.collect(), back.collect());
        let both = out.iter().filter(|word| back.contains(word)).cloned();
        let only = |way, mine: &[String], other: &[String]| -> Vec<String> {
            let mine = mine.iter().filter(|word| !other.contains(word));
            mine.map(|word| format!("{way} {word}")).collect()
        };
        let all = both.chain(only("out", &out, &back)).chain(only("in", &back, &out));
        all.collect::<Vec<_>>().join(", ")
    }

    /// The blackouts of either direction that are not over, counted from now.
    pub fn blackouts(&self, elapsed: Duration) -> Vec<Range<Duration>> {
        let mut all: Vec<_> =
            self.ways.iter().flat_map(|it| later_than(&it.blackouts, elapsed)).collect();
        all.sort_by_key(|span| (span.start, span.end));
        all.dedup();
        all
    }
}

/// Sets one fault; a blackout counts from now, and those that are over are forgotten.
fn set(faults: &mut Faults, name: &str, value: &str, elapsed: Duration) -> Result<(), BadFault> {
    let mut changed = Faults { blackouts: Vec::new(), ..faults.clone() };
    changed.set(name, value)?;
    let kept = match name {
        "profile" => Vec::new(),
        _ => faults.blackouts.iter().filter(|span| span.end > elapsed).cloned().collect(),
    };
    let new = changed.blackouts.iter().map(|span| span.start + elapsed..span.end + elapsed);
    changed.blackouts = kept.into_iter().chain(new).collect();
    *faults = changed;
    Ok(())
}

fn later_than(
    blackouts: &[Range<Duration>],
    elapsed: Duration,
) -> impl Iterator<Item = Range<Duration>> {
    let left = move |span: &Range<Duration>| {
        span.start.saturating_sub(elapsed)..span.end.saturating_sub(elapsed)
    };
    blackouts.iter().map(left).filter(|span| !span.is_empty())
}

/// How a fault is called by way, for people.
pub const fn way_word(way: Way) -> &'static str {
    match way {
        Way::Out => "out",
        Way::Back => "in",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn wanted(orders: &[&str]) -> Wanted {
        let mut wanted = Wanted::default();
        for order in orders {
            let order: Order = order.parse().expect(order);
            wanted.follow(&order, 10 * S).expect("it was checked");
        }
        wanted
    }

    #[test]
    fn orders_are_read_as_people_write_them() {
        let set = |ways, name: &str, value: &str| {
            Ok(Order::Set { ways, name: name.to_owned(), value: value.to_owned() })
        };
        assert_eq!("loss 10%".parse(), set(Ways::Both, "loss", "10%"));
        let bursts = " Out  loss 5% in bursts of 4 ";
        assert_eq!(bursts.parse(), set(Ways::Out, "loss", "5% in bursts of 4"));
        assert_eq!("in delay 50ms".parse(), set(Ways::In, "delay", "50ms"));
        assert_eq!("seed 42".parse(), Ok(Order::Seed(42)));
        assert_eq!("OFF".parse(), Ok(Order::Off));
        assert_eq!("cut".parse(), Ok(Order::Cut));
    }

    #[test]
    fn what_nobody_understands_is_refused_with_what_can_be_written() {
        let says = |order: &str| order.parse::<Order>().expect_err(order).to_string();
        assert!(says("lose 10%").starts_with("faults are delay"));
        assert!(says("loss").contains("write 5%"));
        assert!(says("out").starts_with("faults are delay"));
        assert!(says("seed many").contains("write a number"));
        assert_eq!(says("off loss"), "nothing can follow off");
    }

    #[test]
    fn what_is_set_is_told_by_way() {
        assert_eq!(wanted(&["loss 10%", "in delay 50ms"]).words(), "loss 10%, in delay 50ms");
        assert_eq!(wanted(&["loss 10%", "out loss 20%"]).words(), "out loss 20%, in loss 10%");
        assert!(wanted(&["profile 3g", "seed 2", "off"]).is_nothing());
    }

    #[test]
    fn a_blackout_counts_from_when_it_was_ordered() {
        let wanted = wanted(&["blackout 3s..5s", "in delay 1ms"]);
        assert_eq!(wanted.blackouts(10 * S), vec![3 * S..5 * S]);
        assert_eq!(wanted.blackouts(14 * S), vec![Duration::ZERO..S]);
        assert_eq!(wanted.blackouts(15 * S), vec![]);
        let [out, back] = wanted.faults_from(11 * S);
        assert_eq!((out.blackouts, back.blackouts), (vec![2 * S..4 * S], vec![2 * S..4 * S]));
    }

    #[test]
    fn only_what_a_stream_can_show_needs_no_datagrams() {
        for order in ["delay 1ms", "jitter 1ms", "rate 1mbit", "blackout 1s..2s", "profile lan"] {
            assert!(!wanted(&[order]).needs_datagrams(), "{order}");
        }
        for order in [
            "in loss 1%",
            "duplicate 1%",
            "corrupt 1%",
            "reorder 1% by 1ms",
            "mtu 900",
            "profile 3g",
        ] {
            assert!(wanted(&[order]).needs_datagrams(), "{order}");
        }
    }
}
