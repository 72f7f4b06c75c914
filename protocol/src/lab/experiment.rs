//! One strategy on one path in virtual time, and everything that happened.
//!
//! An [`Experiment`] follows from its values and its seed alone, down to the last event: integer
//! arithmetic, one clock, one generator. Two strategies under the same seed meet the same fate with
//! their n-th packets.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    fault::{Drop, Faults, Impairer},
    strategy::{Gauges, Label, Outgoing, Receiver, Sender},
};
use crate::{entropy::SimRng, time::Timestamp};

/// Steps without time passing, after which a strategy counts as broken.
const STEPS_AT_ONCE_MAX: u32 = 10_000;
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
        /// The how-manieth on this way, from 0: its fate hangs on this.
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
        let mut stage = Stage::new(self, strategy);
        stage.play()?;
        Ok((stage.run, (stage.sender, stage.receiver)))
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

/// A run that goes on.
struct Stage<'e, S, R> {
    experiment: &'e Experiment,
    sender: S,
    receiver: R,
    ways: [Impairer; 2],
    /// By arrival, then in the order of sending.
    under_way: BTreeMap<(Timestamp, u64), Packet>,
    arrivals: u64,
    began: Timestamp,
    now: Timestamp,
    /// When the interface takes another packet.
    interface_free: Timestamp,
    /// The next message to write.
    to_write: u32,
    /// By conversation, the message to be given out next.
    to_deliver: Vec<u32>,
    /// The next change of the path.
    to_change: usize,
    gauges: Gauges,
    run: Run,
}

struct Packet {
    way: Way,
    number: u64,
    bytes: Vec<u8>,
    is_damaged: bool,
}

impl<'e, S: Sender, R: Receiver> Stage<'e, S, R> {
    fn new(experiment: &'e Experiment, (sender, receiver): (S, R)) -> Self {
        let began = Timestamp::ZERO;
        let ways = Impairer::pair(began, experiment.path.clone(), experiment.seed);
        Self {
            experiment,
            sender,
            receiver,
            ways,
            under_way: BTreeMap::new(),
            arrivals: 0,
            began,
            now: began,
            interface_free: began,
            to_write: 0,
            to_deliver: (0..u32::from(experiment.traffic.conversations)).collect(),
            to_change: 0,
            gauges: Gauges::default(),
            run: Run::default(),
        }
    }

    fn play(&mut self) -> Result<(), Broken> {
        let ends = self.began + self.experiment.lasts_max;
        let mut at_once = 0;
        loop {
            self.step()?;
            let is_written = self.to_write == self.experiment.traffic.messages;
            if is_written && self.sender.is_done() {
                break;
            }
            let Some(next) = self.next().filter(|next| *next <= ends) else { break };
            at_once = if next > self.now { 0 } else { at_once + 1 };
            if at_once > STEPS_AT_ONCE_MAX {
                return Err(Broken::Restless(self.now));
            }
            self.now = self.now.max(next);
        }
        self.run.lasted = self.now.since(self.began);
        Ok(())
    }

    /// When something happens next.
    fn next(&self) -> Option<Timestamp> {
        let arrival = self.under_way.first_key_value().map(|((at, _), _)| *at);
        let change = self.experiment.changes.get(self.to_change);
        let deadlines = [
            Some(self.interface_free).filter(|free| *free > self.now),
            arrival,
            self.next_write(),
            change.map(|change| self.began + change.after),
            // What is overdue can only be sent when the interface takes it.
            self.sender
                .poll_timeout()
                .map(|due| if due <= self.now { due.max(self.interface_free) } else { due }),
            self.receiver.poll_timeout(),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn next_write(&self) -> Option<Timestamp> {
        let Traffic { messages, every, .. } = self.experiment.traffic;
        (self.to_write < messages).then(|| self.began + every * self.to_write)
    }

    /// Everything that is due now.
    fn step(&mut self) -> Result<(), Broken> {
        while let Some(change) = self.experiment.changes.get(self.to_change)
            && self.began + change.after <= self.now
        {
            for (way, faults) in self.ways.iter_mut().zip(&change.path) {
                way.set_faults(faults.clone());
            }
            self.to_change += 1;
        }
        while self.next_write().is_some_and(|at| at <= self.now) {
            self.write();
        }
        while let Some(entry) = self.under_way.first_entry()
            && entry.key().0 <= self.now
        {
            let packet = entry.remove();
            self.arrive(&packet)?;
        }
        if self.sender.poll_timeout().is_some_and(|due| due <= self.now) {
            self.note(What::TimedOut);
            self.sender.handle_timeout(self.now);
        }
        if self.receiver.poll_timeout().is_some_and(|due| due <= self.now) {
            self.receiver.handle_timeout(self.now);
        }
        self.send()
    }

    fn write(&mut self) {
        let message = self.to_write;
        let Traffic { bytes, conversations, .. } = self.experiment.traffic;
        let conversation = conversation_of(message, conversations);
        self.sender.write(self.now, conversation, &message_of(message, bytes));
        self.run.messages.push((self.now, None));
        self.note(What::Written { message });
        self.to_write += 1;
    }

    fn send(&mut self) -> Result<(), Broken> {
        let mut at_once = 0;
        loop {
            let (way, outgoing) = if self.interface_free <= self.now
                && let Some(outgoing) = self.sender.poll_packet(self.now)
            {
                (Way::Out, outgoing)
            } else if let Some(outgoing) = self.receiver.poll_packet(self.now) {
                (Way::Back, outgoing)
            } else {
                break;
            };
            self.leave(way, outgoing);
            at_once += 1;
            if at_once > STEPS_AT_ONCE_MAX {
                return Err(Broken::Restless(self.now));
            }
        }
        let gauges = self.sender.gauges();
        if gauges != self.gauges {
            self.gauges = gauges;
            self.note(What::Gauges(gauges));
        }
        Ok(())
    }

    fn leave(&mut self, way: Way, Outgoing { bytes, label }: Outgoing) {
        let (packets, sent_bytes) = &mut self.run.sent[way as usize];
        let number = *packets;
        *packets += 1;
        *sent_bytes += bytes.len() as u64;
        self.note(What::Sent { way, packet: number, bytes: bytes.len(), label });
        let mut enters = self.now;
        if let (Way::Out, Some(rate)) = (way, self.experiment.interface) {
            let takes = (bytes.len() as u64 * 1_000_000).div_ceil(rate.max(1));
            enters = enters + Duration::from_micros(takes);
            self.interface_free = enters;
        }
        match self.ways[way as usize].pass(enters, bytes.len()) {
            Err(why) => self.note(What::Dropped { way, packet: number, why }),
            Ok((first, again)) => {
                for arrival in [Some(first), again].into_iter().flatten() {
                    let is_damaged = arrival.changed_bit.is_some();
                    let packet = Packet { way, number, bytes: bytes.clone(), is_damaged };
                    self.under_way.insert((arrival.at, self.arrivals), packet);
                    self.arrivals += 1;
                }
            }
        }
    }

    fn arrive(&mut self, packet: &Packet) -> Result<(), Broken> {
        let Packet { way, number, ref bytes, is_damaged } = *packet;
        self.note(What::Arrived { way, packet: number, is_damaged });
        match way {
            // A checksum or a tag would tell.
            _ if is_damaged => {}
            Way::Out => self.receiver.handle_packet(self.now, bytes),
            Way::Back => self.sender.handle_packet(self.now, bytes),
        }
        while let Some(message) = self.receiver.poll_message() {
            self.deliver(&message)?;
        }
        Ok(())
    }

    fn deliver(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let Traffic { bytes: length, conversations, .. } = self.experiment.traffic;
        let named = bytes.first_chunk().map_or(u64::MAX, |name| u64::from_be_bytes(*name));
        let named = u32::try_from(named).unwrap_or(u32::MAX);
        let conversation = conversation_of(named, conversations);
        let due = &mut self.to_deliver[usize::from(conversation)];
        let message = *due;
        let written = self.run.messages.get_mut(usize::try_from(message).unwrap_or(usize::MAX));
        let is_due = bytes == message_of(message, length);
        let Some((_, delivered)) = written.filter(|_| is_due) else {
            return Err(Broken::WrongMessage { expected: message });
        };
        *delivered = Some(self.now);
        *due += u32::from(conversations);
        self.note(What::Delivered { message });
        Ok(())
    }

    fn note(&mut self, what: What) {
        self.run.events.push(Event { at: self.now, what });
    }
}

/// The one that a message belongs to.
fn conversation_of(message: u32, conversations: u8) -> u8 {
    u8::try_from(message % u32::from(conversations.max(1))).unwrap_or(0)
}

/// Its number, and bytes that follow from it.
fn message_of(number: u32, bytes: usize) -> Vec<u8> {
    let mut rng = SimRng::new(u64::from(number));
    let mut message = u64::from(number).to_be_bytes().to_vec();
    while message.len() < bytes {
        message.extend_from_slice(&rng.next_u64().to_be_bytes());
    }
    message.truncate(bytes.max(NAME_BYTES));
    message
}
