//! One member of a [`Room`]: reads, checks, and sends when it may.

use std::{rc::Rc, time::Duration};

use harness::client::{Client, ClientError};
use protocol::{
    limits::UNSETTLED_MAX,
    message::{
        ClientMessage, RelayMessage,
        encoding::DecodeError,
        record::{Content, Envelope, Record, Run},
        session::Ping,
    },
};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{
    author::{Author, understand},
    bench::Person,
    payload::Stamp,
    room::Room,
};

/// How often a member says that it is there; the relay drops those who are silent for long.
const PING_INTERVAL: Duration = Duration::from_secs(15);

/// A member and its session.
#[derive(Debug)]
pub(crate) struct Member {
    room: Rc<Room>,
    index: usize,
    client: Client,
    author: Author,
}

/// What one read brought, as far as it has to be dealt with after it.
struct Intake<'a> {
    room: &'a Room,
    index: usize,
    author: &'a mut Author,
    // The clock after the read returned; only looked at when somebody wants to know.
    read_at: Option<Instant>,
    failure: Option<ClientError>,
}

impl Member {
    /// A member who has joined and follows.
    pub(crate) fn new(room: Rc<Room>, index: usize, person: Person) -> Self {
        let author = Author::new(person.identity.device());
        Self { room, index, client: person.client, author }
    }

    /// Runs until the session ends, which it should not.
    pub(crate) async fn run(mut self) {
        if let Err(error) = self.take_part().await {
            self.room.note_failure(self.index, &error);
        }
    }

    async fn take_part(&mut self) -> Result<(), ClientError> {
        let room = Rc::clone(&self.room);
        let sender = room.senders.get(self.index);
        let mut pings = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut intake = Intake {
                room: &room,
                index: self.index,
                author: &mut self.author,
                read_at: None,
                failure: None,
            };
            tokio::select! {
                biased;
                received = self.client.receive(|message| intake.handle_message(message)) => {
                    received?;
                    intake.failure.map_or(Ok(()), Err)?;
                }
                () = async { sender.expect("asked first").wake.notified().await },
                    if sender.is_some() => {}
                _ = pings.tick() => {
                    self.client.queue(&ClientMessage::Ping(Ping { token: 0 }))?;
                    self.client.flush().await?;
                }
            }
            self.send_what_is_allowed().await?;
        }
    }

    async fn send_what_is_allowed(&mut self) -> Result<(), ClientError> {
        let Some(sender) = self.room.senders.get(self.index) else { return Ok(()) };
        if sender.sent.get() >= sender.allowed.get() {
            return Ok(());
        }
        let number = u16::try_from(self.index).map_err(|_| ClientError::Unexpected("sender"))?;
        let now = self.room.begun.elapsed();
        // More would be refused; what is held back here keeps the time its turn came.
        let unsettled_max = UNSETTLED_MAX as u64;
        while sender.sent.get() < sender.allowed.get() && self.author.in_flight() < unsettled_max {
            let sent = sender.sent.get();
            let sequence = u32::try_from(sent).map_err(|_| ClientError::Unexpected("sequence"))?;
            let due = sender.due.borrow_mut().pop_front().unwrap_or(now);
            let stamp = Stamp { sender: number, sequence, due };
            self.author.say(&mut self.client, self.room.conversation, stamp)?;
            sender.sent.set(sent + 1);
        }
        self.client.flush().await
    }
}

impl Intake<'_> {
    fn handle_message(&mut self, bytes: &[u8]) {
        let handled = match understand(bytes) {
            Ok(RelayMessage::Records(records)) => {
                if records.conversation == self.room.conversation {
                    self.handle_run(&records.run)
                } else {
                    self.count_foreign();
                    Ok(())
                }
            }
            Ok(RelayMessage::Accepted(accepted)) => {
                if !self.author.handle_accepted(&accepted) {
                    self.count_foreign();
                }
                if let Some(sender) = self.room.senders.get(self.index) {
                    sender.accepted.set(sender.accepted.get() + 1);
                }
                Ok(())
            }
            // What a client shows beside the messages: presence, progress, names.
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = handled {
            self.failure.get_or_insert(error);
        }
    }

    fn handle_run(&mut self, run: &Run<'_>) -> Result<(), ClientError> {
        let first = run.first.0;
        let fresh =
            self.room.received[self.index].borrow_mut().handle_run(first, u64::from(run.count));
        self.room.deliveries.set(self.room.deliveries.get() + fresh);
        if self.room.is_witness(self.index) {
            self.read_everything(run)?;
        }
        let read_at = *self.read_at.get_or_insert_with(Instant::now);
        self.time_deliveries(run, read_at)?;
        Ok(())
    }

    /// The witness's part: who sent what, and in which order.
    fn read_everything(&self, run: &Run<'_>) -> Result<(), DecodeError> {
        for item in run.records() {
            let (_, record) = item?;
            let envelope = Envelope::decode(&record.envelope)?;
            let stamp = stamp_of(&record);
            let sender = stamp.and_then(|stamp| {
                let sender = self.room.senders.get(usize::from(stamp.sender))?;
                (sender.device == envelope.device).then_some(stamp)
            });
            let Some(stamp) = sender else {
                self.count_foreign();
                continue;
            };
            let number = usize::from(stamp.sender);
            let mut order = self.room.witnessed[number].borrow_mut();
            order.handle_run(u64::from(stamp.sequence), 1);
            self.room.move_window(number, order.next());
        }
        Ok(())
    }

    fn time_deliveries(&self, run: &Run<'_>, read_at: Instant) -> Result<(), DecodeError> {
        let mut timing = self.room.timing.borrow_mut();
        let Some(timing) = timing.as_mut() else { return Ok(()) };
        let place = |seq: u64| usize::try_from(seq.checked_sub(timing.first_seq)?).ok();
        let Some(end) = place(run.last().0 + 1) else { return Ok(()) };
        if end > timing.due.len() {
            for item in run.records() {
                let (seq, record) = item?;
                if seq.0 >= timing.first_seq + timing.due.len() as u64 {
                    // A record without a stamp is a fault, which the witness counts.
                    let due = stamp_of(&record).map_or(Duration::ZERO, |stamp| stamp.due);
                    timing.due.push(due);
                }
            }
        }
        let start = place(run.first.0).unwrap_or(0);
        let now = read_at - self.room.begun;
        for due in timing.due.get(start..end).unwrap_or_default() {
            timing.latencies.record(now.saturating_sub(*due));
        }
        Ok(())
    }

    fn count_foreign(&self) {
        self.room.foreign.set(self.room.foreign.get() + 1);
    }
}

fn stamp_of(record: &Record<'_>) -> Option<Stamp> {
    match &record.content {
        Content::Body(body) => Stamp::from_body(body),
        Content::Erased(_) => None,
    }
}
