//! An [`Experiment`] that goes on: its sender and its receiver on their path, step by step.
//!
//! [`Experiment::run`] plays it in virtual time. Whoever has another clock, or a receiver that is
//! elsewhere, steps it.

use std::{collections::BTreeMap, time::Duration};

use super::{
    experiment::{Broken, Event, Experiment, Run, Traffic, Way, What, conversation_of, message_of},
    fault::Impairer,
    strategy::{Gauges, Outgoing, Receiver, Sender},
};
use crate::time::Timestamp;

/// Steps without time passing, after which a strategy counts as broken.
const STEPS_AT_ONCE_MAX: u32 = 10_000;

/// A run that goes on: [`Self::step`] when [`Self::poll_timeout`] says so or something has come to the
/// receiver from elsewhere, until [`Self::is_over`]; then [`Self::finish`].
#[derive(Debug)]
pub struct Stage<'e, S, R> {
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

#[derive(Debug)]
struct Packet {
    way: Way,
    number: u64,
    bytes: Vec<u8>,
    is_damaged: bool,
}

impl<'e, S: Sender, R: Receiver> Stage<'e, S, R> {
    /// One that begins at [`Timestamp::ZERO`].
    pub fn new(experiment: &'e Experiment, (sender, receiver): (S, R)) -> Self {
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

    /// Plays it in virtual time.
    ///
    /// # Errors
    ///
    /// As [`Self::step`].
    pub(super) fn play(mut self) -> Result<(Run, (S, R)), Broken> {
        let mut now = self.now;
        let mut at_once = 0;
        loop {
            self.step(now)?;
            let next = self.poll_timeout().filter(|next| !self.is_over() && *next <= self.ends());
            let Some(next) = next else { break };
            at_once = if next > now { 0 } else { at_once + 1 };
            if at_once > STEPS_AT_ONCE_MAX {
                return Err(Broken::Restless(now));
            }
            now = now.max(next);
        }
        self.finish(now)
    }

    /// Whether everything is known to have arrived.
    pub fn is_over(&self) -> bool {
        self.to_write == self.experiment.traffic.messages && self.sender.is_done()
    }

    /// When it ends, over or not.
    pub fn ends(&self) -> Timestamp {
        self.began + self.experiment.lasts_max
    }

    /// What has happened so far.
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// The receiver.
    pub const fn receiver(&self) -> &R {
        &self.receiver
    }

    /// The receiver, for whoever brings it something from elsewhere.
    pub const fn receiver_mut(&mut self) -> &mut R {
        &mut self.receiver
    }

    /// Takes what the receiver has still to give out, and no further step. All that happened, and both
    /// halves as they are in the end.
    ///
    /// # Errors
    ///
    /// As [`Self::step`].
    pub fn finish(mut self, now: Timestamp) -> Result<(Run, (S, R)), Broken> {
        self.now = now;
        self.deliver_all()?;
        Ok((self.run, (self.sender, self.receiver)))
    }

    /// When something happens next by itself.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
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

    /// Does everything that is due by `now`, which never goes back.
    ///
    /// # Errors
    ///
    /// What the strategy did wrong. Being late is not wrong.
    pub fn step(&mut self, now: Timestamp) -> Result<(), Broken> {
        self.now = now;
        self.run.lasted = now.since(self.began);
        self.deliver_all()?;
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
            // What it went by, before that changes.
            self.note_gauges();
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
        self.note_gauges();
        Ok(())
    }

    fn note_gauges(&mut self) {
        let gauges = self.sender.gauges();
        if gauges != self.gauges {
            self.gauges = gauges;
            self.note(What::Gauges(gauges));
        }
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
        self.deliver_all()
    }

    fn deliver_all(&mut self) -> Result<(), Broken> {
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
