//! A strategy of one's own beside those of the laboratory, on the same losses.
//!
//! It keeps a window of eight messages and sends each again every 100 ms until it is acknowledged: no
//! measured round trip, nothing that follows from later packets. What is that worth?
//!
//! ```console
//! $ cargo run -p chat-client --example own_strategy -- burst own.html
//! ```

use std::{
    collections::{BTreeMap, VecDeque},
    env,
    error::Error,
    io::{self, Write},
    path::Path,
    time::Duration,
};

use chat_client::lab::{
    self,
    file::{self, Overwrite},
    outcome::Outcome,
    report::{self, Origin},
    table,
};
use protocol::{
    lab::strategy::{Cause, Gauges, Label, Outgoing, Receiver, Sender},
    time::Timestamp,
};

const WINDOW: usize = 8;
const TIMEOUT: Duration = Duration::from_millis(100);

/// Messages by number, with when each was sent last.
#[derive(Default)]
struct Patient {
    waiting: BTreeMap<u64, (Vec<u8>, Option<Timestamp>)>,
    written: u64,
}

impl Patient {
    /// Messages that may be under way, those that waited longest first.
    fn window(&self) -> impl Iterator<Item = (u64, Option<Timestamp>)> {
        self.waiting.iter().take(WINDOW).map(|(number, (_, sent_at))| (*number, *sent_at))
    }
}

impl Sender for Patient {
    fn write(&mut self, _now: Timestamp, _conversation: u8, message: &[u8]) {
        self.waiting.insert(self.written, (message.to_vec(), None));
        self.written += 1;
    }

    fn handle_packet(&mut self, _now: Timestamp, packet: &[u8]) {
        if let Some((number, _)) = packet.split_first_chunk() {
            self.waiting.remove(&u64::from_be_bytes(*number));
        }
    }

    // What is overdue is found when a packet is asked for.
    fn handle_timeout(&mut self, _now: Timestamp) {}

    fn poll_packet(&mut self, now: Timestamp) -> Option<Outgoing> {
        let is_due = |sent_at: Option<Timestamp>| sent_at.is_none_or(|at| at + TIMEOUT <= now);
        let (number, sent_at) = self.window().find(|(_, sent_at)| is_due(*sent_at))?;
        let (message, last) = self.waiting.get_mut(&number)?;
        *last = Some(now);
        let bytes = [&number.to_be_bytes()[..], message].concat();
        let cause = if sent_at.is_none() { Cause::First } else { Cause::Timeout };
        Some(Outgoing { bytes, label: Label::Data { number, cause } })
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.window().filter_map(|(_, sent_at)| sent_at).min().map(|at| at + TIMEOUT)
    }

    fn is_done(&self) -> bool {
        self.waiting.is_empty()
    }

    fn gauges(&self) -> Gauges {
        let in_flight = self.window().filter(|(_, sent_at)| sent_at.is_some()).count() as u64;
        Gauges { round_trip: None, timeout: TIMEOUT, window: WINDOW as u64, in_flight }
    }
}

/// Gives messages out in order, and acknowledges each packet by its number.
#[derive(Default)]
struct Orderly {
    next: u64,
    early: BTreeMap<u64, Vec<u8>>,
    acks: VecDeque<u64>,
}

impl Receiver for Orderly {
    fn handle_packet(&mut self, _now: Timestamp, packet: &[u8]) {
        let Some((number, message)) = packet.split_first_chunk() else { return };
        let number = u64::from_be_bytes(*number);
        self.acks.push_back(number);
        if number >= self.next {
            self.early.insert(number, message.to_vec());
        }
    }

    fn poll_packet(&mut self, _now: Timestamp) -> Option<Outgoing> {
        let number = self.acks.pop_front()?;
        Some(Outgoing { bytes: number.to_be_bytes().to_vec(), label: Label::Ack { number } })
    }

    fn poll_message(&mut self) -> Option<Vec<u8>> {
        let message = self.early.remove(&self.next)?;
        self.next += 1;
        Some(message)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let name = env::args().nth(1).unwrap_or_else(|| "burst".to_owned());
    let scenario = lab::load(&name).map_err(|failure| failure.to_string())?;
    let own = scenario.experiment.run((Patient::default(), Orderly::default()))?;
    let mut outcomes = vec![Outcome::new("patient", own, &scenario)];
    for strategy in &scenario.strategies {
        let run = strategy.run(&scenario.experiment)?;
        outcomes.push(Outcome::new(strategy.name(), run, &scenario));
    }
    let mut out = io::stdout();
    writeln!(out, "{}\n{}", scenario.title, table::heading())?;
    for Outcome { strategy, measures, .. } in &outcomes {
        writeln!(out, "{}", table::row(strategy, measures))?;
    }
    if let Some(path) = env::args().nth(2) {
        let command = format!("cargo run -p chat-client --example own_strategy -- {name}");
        let page = report::of_run(
            Origin { command: &command, source: None, live: None },
            &scenario,
            &outcomes,
        );
        file::save(Path::new(&path), report::MARK, &page, Overwrite::Ours)
            .map_err(|failure| failure.to_string())?;
    }
    Ok(())
}
