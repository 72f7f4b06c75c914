//! One strategy on one path in virtual time, and everything that happened.
//!
//! An [`Experiment`] follows from its values and its seed alone, down to the last event: integer
//! arithmetic, one clock, one generator. Two strategies under the same seed meet the same fate with
//! their n-th packets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    fault::{Drop, Faults},
    stage::Stage,
    strategy::{Gauges, Label, Receiver, Sender},
};
use crate::{entropy::SimRng, time::Timestamp};

/// Bytes of a message that name it.
const NAME_BYTES: usize = 8;

/// What the sender has to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// How many messages.
    pub messages: u32,
    /// Bytes of each, at least 8.
    pub bytes: usize,
    /// Time from one to the next; zero if all are there from the beginning.
    pub every: Duration,
    /// Conversations that the messages belong to, in turn. Order is kept in each.
    pub conversations: u8,
}

/// A change of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// How long after the beginning.
    pub after: Duration,
    /// What the path does from then on, towards the receiver and back.
    pub path: [Faults; 2],
}

/// What is done, on what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Experiment {
    /// What is sent.
    pub traffic: Traffic,
    /// Bytes in a second of the sender's own interface, which takes a packet when it has sent the last
    /// one; `None` if it takes everything at once.
    pub interface: Option<u64>,
    /// What the path does, towards the receiver and back.
    pub path: [Faults; 2],
    /// And later, in order of time.
    pub changes: Vec<Change>,
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// It ends then, whatever has arrived.
    pub lasts_max: Duration,
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// To the receiver.
    Out,
    /// To the sender.
    Back,
}

impl Way {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Back => "back",
        }
    }
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The sender was given a message.
    Written {
        /// Which, from 0.
        message: u32,
    },
    /// A packet left.
    Sent {
        /// Which way.
        way: Way,
        /// Its number on this way, from 0: its fate hangs on this.
        packet: u64,
        /// Its bytes.
        bytes: usize,
        /// What it is.
        label: Label,
    },
    /// It will not arrive.
    Dropped {
        /// Which way.
        way: Way,
        /// Which packet.
        packet: u64,
        /// Why.
        why: Drop,
    },
    /// It arrived.
    Arrived {
        /// Which way.
        way: Way,
        /// Which packet.
        packet: u64,
        /// Bits of it were changed: nobody takes it.
        is_damaged: bool,
    },
    /// A timer of the sender went off.
    TimedOut,
    /// The receiver gave a message out.
    Delivered {
        /// Which.
        message: u32,
    },
    /// What the sender believes and holds has changed.
    Gauges(Gauges),
}

/// All that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// In order of time.
    pub events: Vec<Event>,
    /// By message: when it was written, and delivered.
    pub messages: Vec<(Timestamp, Option<Timestamp>)>,
    /// Packets and bytes, towards the receiver and back.
    pub sent: [(u64, u64); 2],
    /// How long it took until the sender knew that everything had arrived, or all it was given.
    pub lasted: Duration,
}

/// The strategy did what none may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A message was given out twice, in the wrong order, or changed.
    #[error("message {expected} was due and something else was given out")]
    WrongMessage {
        /// The one that was due.
        expected: u32,
    },
    /// It sends, or wakes up, without end and without time passing.
    #[error("it does not come to rest at {0:?}")]
    Restless(Timestamp),
}

impl Experiment {
    /// Runs a strategy.
    ///
    /// # Errors
    ///
    /// What it did wrong. Being late is not wrong.
    pub fn run<S: Sender, R: Receiver>(&self, strategy: (S, R)) -> Result<Run, Broken> {
        self.run_and_return(strategy).map(|(run, _)| run)
    }

    /// How long there and back takes at the beginning, on an empty path.
    pub fn round_trip(&self) -> Duration {
        self.path.iter().map(|faults| faults.delay).sum()
    }

    /// As [`Self::run`], and gives back both halves as they are in the end.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub fn run_and_return<S: Sender, R: Receiver>(
        &self,
        strategy: (S, R),
    ) -> Result<(Run, (S, R)), Broken> {
        Stage::new(self, strategy).play()
    }
}

impl Run {
    /// How long each message took that was delivered, the shortest first.
    pub fn latencies(&self) -> Vec<Duration> {
        let took = |(written, delivered): &(Timestamp, Option<Timestamp>)| {
            delivered.map(|delivered| delivered.since(*written))
        };
        let mut latencies: Vec<Duration> = self.messages.iter().filter_map(took).collect();
        latencies.sort();
        latencies
    }

    /// How many messages were delivered.
    pub fn delivered(&self) -> usize {
        self.messages.iter().filter(|(_, delivered)| delivered.is_some()).count()
    }
}

/// The one that a message belongs to.
pub(super) fn conversation_of(message: u32, conversations: u8) -> u8 {
    u8::try_from(message % u32::from(conversations.max(1))).unwrap_or(0)
}

/// Its number, and bytes that follow from it.
pub(super) fn message_of(number: u32, bytes: usize) -> Vec<u8> {
    let mut rng = SimRng::new(u64::from(number));
    let mut message = u64::from(number).to_be_bytes().to_vec();
    while message.len() < bytes {
        message.extend_from_slice(&rng.next_u64().to_be_bytes());
    }
    message.truncate(bytes.max(NAME_BYTES));
    message
}
