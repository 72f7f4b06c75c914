//! A scenario: an experiment with the strategies to run it with and what is expected of them.
//!
//! It is written as TOML or anything else that serde reads into [`Written`]; [`Scenario::new`] checks
//! it. So that it can decide in continuous integration, what it expects is part of it ([`Expect`]).

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Deserialize;

use super::{
    expect::{BadExpect, Expect},
    experiment::{Broken, Change, Experiment, Run, Traffic},
    fault::Faults,
    strategy::{GoBackN, Kcp, Ours, Receiver, SelectiveRepeat, Sender, StopAndWait, Tcp, Timer},
    words::{self, BadFault},
};
use crate::{
    time::Timestamp,
    transport::datagram::{
        Algorithm,
        trace::{Event, Payloads},
    },
};

/// Messages of one scenario at most: a run keeps every event.
const MESSAGES_MAX: u32 = 100_000;
/// Bytes of a message at most.
pub(super) const MESSAGE_BYTES_MAX: usize = 1_000;
/// Longest virtual time.
const LASTS_MAX: Duration = Duration::from_secs(3_600);
/// Windows of the strategies that have a fixed one, in packets.
const WINDOW: u64 = 16;

/// A scenario as it is written down.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Written {
    /// One line.
    pub title: String,
    /// What to look for, in words.
    pub explain: String,
    /// Decides what is left to chance.
    #[serde(default)]
    pub seed: u64,
    /// Virtual time after which it ends.
    pub lasts: String,
    /// Rate of the sender's own interface.
    pub interface: Option<String>,
    /// What is sent.
    pub traffic: WrittenTraffic,
    /// Faults by name, in both directions.
    #[serde(default)]
    pub path: BTreeMap<String, String>,
    /// Those that are different on the way back.
    #[serde(default)]
    pub back: BTreeMap<String, String>,
    /// Later changes.
    #[serde(default)]
    pub change: Vec<WrittenChange>,
    /// Names of strategies.
    pub strategies: Vec<String>,
    /// What is expected of them.
    #[serde(default)]
    pub expect: Vec<String>,
}

/// Traffic as it is written down.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table, as { messages = 100, bytes = 200, every = '20ms' }"
)]
pub struct WrittenTraffic {
    /// How many messages.
    pub messages: u32,
    /// Bytes of each.
    pub bytes: usize,
    /// Time from one to the next.
    pub every: Option<String>,
    /// How many conversations they belong to, in turn.
    pub conversations: Option<u8>,
}

/// A change as it is written down.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenChange {
    /// How long after the beginning.
    pub after: String,
    /// Faults by name, in both directions, beside those there were.
    #[serde(default)]
    pub path: BTreeMap<String, String>,
    /// Those that are different on the way back.
    #[serde(default)]
    pub back: BTreeMap<String, String>,
}

/// A checked scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// One line.
    pub title: String,
    /// What to look for, in words.
    pub explain: String,
    /// What is done.
    pub experiment: Experiment,
    /// With what.
    pub strategies: Vec<Strategy>,
    /// And what should come of it.
    pub expect: Vec<Expect>,
}

/// A strategy that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    /// [`StopAndWait`].
    StopAndWait,
    /// [`GoBackN`].
    GoBackN,
    /// [`SelectiveRepeat`].
    SelectiveRepeat,
    /// [`Tcp`].
    Tcp,
    /// [`Kcp`].
    Kcp,
    /// [`Ours`].
    Ours,
}

/// What is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadScenario {
    /// A fault.
    #[error(transparent)]
    Fault(#[from] BadFault),
    /// An expectation.
    #[error(transparent)]
    Expect(#[from] BadExpect),
    /// A time.
    #[error("{name} {value:?}: write a time, as 20ms or 1.5s, of at most an hour")]
    Time {
        /// Of what.
        name: &'static str,
        /// As written.
        value: String,
    },
    /// The interface.
    #[error("interface {0:?}: write a rate, as 20mbit")]
    Interface(String),
    /// A strategy.
    #[error("there is no strategy {0:?}; there are {list}", list = Strategy::list())]
    Strategy(String),
    /// An expectation of a strategy that does not run.
    #[error("expect {0:?}: this strategy is not among those of the scenario")]
    Absent(String),
    /// None.
    #[error("strategies: name at least one of {list}", list = Strategy::list())]
    NoStrategy,
    /// Too much of something, or none of it.
    #[error("{name} is {value}; at least {least} and at most {most}")]
    Limit {
        /// Of what.
        name: &'static str,
        /// As written.
        value: u64,
        /// Bounds.
        least: u64,
        /// Bounds.
        most: u64,
    },
}

impl Strategy {
    /// All, in the order in which they were invented. Their places are on the wire of
    /// [`remote`](super::remote).
    pub const ALL: [Self; 6] =
        [Self::StopAndWait, Self::GoBackN, Self::SelectiveRepeat, Self::Tcp, Self::Kcp, Self::Ours];

    /// How it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StopAndWait => "stop-and-wait",
            Self::GoBackN => "go-back-n",
            Self::SelectiveRepeat => "selective-repeat",
            Self::Tcp => "tcp",
            Self::Kcp => "kcp",
            Self::Ours => "ours",
        }
    }

    /// The one that is called so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strategy| strategy.name() == name)
    }

    fn list() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// Runs an experiment with it.
    ///
    /// # Errors
    ///
    /// What it did wrong, which none of these should.
    pub fn run(self, experiment: &Experiment) -> Result<Run, Broken> {
        experiment.run(self.halves(Timestamp::ZERO, experiment.round_trip()))
    }

    /// Both halves of a session that begins now, on a path that is known to take so long there and
    /// back.
    pub fn halves(
        self,
        now: Timestamp,
        round_trip: Duration,
    ) -> (Box<dyn Sender + Send>, Box<dyn Receiver + Send>) {
        match self {
            Self::StopAndWait => boxed(StopAndWait::new(Timer::adaptive())),
            Self::GoBackN => boxed(GoBackN::new(Timer::adaptive(), WINDOW)),
            Self::SelectiveRepeat => boxed(SelectiveRepeat::new(Timer::adaptive(), WINDOW)),
            Self::Tcp => boxed(Tcp::new()),
            Self::Kcp => boxed(Kcp::new()),
            Self::Ours => boxed(ours(now, round_trip)),
        }
    }

    /// The same, and records what both ends of a session of ours saw.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub fn run_recorded(
        self,
        experiment: &Experiment,
        payloads: Payloads,
    ) -> Result<Recorded, Broken> {
        if self != Self::Ours {
            return self.run(experiment).map(Recorded::from);
        }
        let (mut sender, mut receiver) = ours(Timestamp::ZERO, experiment.round_trip());
        sender.record(payloads);
        receiver.record(payloads);
        let (run, (sender, receiver)) = experiment.run_and_return((sender, receiver))?;
        let [sender, receiver] = [sender, receiver].map(|end| Some(end.into_trace()));
        Ok(Recorded { run, sender, receiver })
    }
}

/// A run that was recorded.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// What happened.
    pub run: Run,
    /// What the sender's transport did, if it is ours.
    pub sender: Option<Vec<Event>>,
    /// And the receiver's, if it is on this host.
    pub receiver: Option<Vec<Event>>,
}

impl From<Run> for Recorded {
    /// A run of which nothing was recorded but what happened.
    fn from(run: Run) -> Self {
        Self { run, sender: None, receiver: None }
    }
}

/// Our transport, as it is behind a handshake that took so long.
pub fn ours(now: Timestamp, round_trip: Duration) -> (Ours, Ours) {
    let measured = round_trip.max(Duration::from_millis(1));
    Ours::new(now, Algorithm::default(), Some(measured))
}

fn boxed<S: Sender + Send + 'static, R: Receiver + Send + 'static>(
    (sender, receiver): (S, R),
) -> (Box<dyn Sender + Send>, Box<dyn Receiver + Send>) {
    (Box::new(sender), Box::new(receiver))
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Scenario {
    /// Checks what is written.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, and what it should be.
    pub fn new(written: Written) -> Result<Self, BadScenario> {
        let WrittenTraffic { messages, bytes, every, conversations } = written.traffic;
        let within = |name, value, least, most| {
            let is_within = (least..=most).contains(&value);
            is_within.then_some(()).ok_or(BadScenario::Limit { name, value, least, most })
        };
        within("messages", u64::from(messages), 1, u64::from(MESSAGES_MAX))?;
        within("bytes", bytes as u64, 8, MESSAGE_BYTES_MAX as u64)?;
        let conversations = conversations.unwrap_or(1);
        within("conversations", u64::from(conversations), 1, u64::from(u8::MAX))?;
        let every = every.map_or(Ok(Duration::ZERO), |every| time("every", &every))?;
        let interface =
            written.interface.map(|rate| words::rate(&rate).ok_or(BadScenario::Interface(rate)));
        let path = both_ways([Faults::default(), Faults::default()], &written.path, &written.back)?;
        let mut changes: Vec<Change> = Vec::new();
        for WrittenChange { after, path: both, back } in &written.change {
            let before = changes.last().map_or(&path, |change| &change.path).clone();
            let path = both_ways(before, both, back)?;
            changes.push(Change { after: time("after", after)?, path });
        }
        changes.sort_by_key(|change| change.after);
        let strategies: Vec<Strategy> = written
            .strategies
            .iter()
            .map(|name| Strategy::named(name).ok_or_else(|| BadScenario::Strategy(name.clone())))
            .collect::<Result<_, _>>()?;
        if strategies.is_empty() {
            return Err(BadScenario::NoStrategy);
        }
        let expect =
            written.expect.iter().map(|text| text.parse()).collect::<Result<Vec<Expect>, _>>()?;
        let is_absent =
            |expect: &&Expect| expect.strategy().is_some_and(|it| !strategies.contains(&it));
        if let Some(absent) = expect.iter().find(is_absent) {
            return Err(BadScenario::Absent(absent.to_string()));
        }
        let experiment = Experiment {
            traffic: Traffic { messages, bytes, every, conversations },
            interface: interface.transpose()?,
            path,
            changes,
            seed: written.seed,
            lasts_max: time("lasts", &written.lasts)?,
        };
        let Written { title, explain, .. } = written;
        Ok(Self { title, explain, experiment, strategies, expect })
    }
}

fn time(name: &'static str, value: &str) -> Result<Duration, BadScenario> {
    let duration = words::duration(value).filter(|duration| *duration <= LASTS_MAX);
    duration.ok_or_else(|| BadScenario::Time { name, value: value.to_owned() })
}

/// What both directions are after these words, and the way back after those.
fn both_ways(
    mut ways: [Faults; 2],
    both: &BTreeMap<String, String>,
    back: &BTreeMap<String, String>,
) -> Result<[Faults; 2], BadFault> {
    // A profile is what the others change, and a rate what a queue is before.
    let is_first = |name: &&String| (*name != "profile", *name != "rate");
    let set = |faults: &mut Faults, words: &BTreeMap<String, String>| {
        let mut names: Vec<&String> = words.keys().collect();
        names.sort_by_key(is_first);
        names.into_iter().try_for_each(|name| faults.set(name, &words[name]))
    };
    for way in &mut ways {
        set(way, both)?;
    }
    set(&mut ways[1], back)?;
    Ok(ways)
}
