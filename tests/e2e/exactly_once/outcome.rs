//! What everybody has in the end, and whether it is what was said.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, thread,
};

use harness::chat::{Chat, Line};
use serde::Deserialize;

/// More than there is in any conversation.
const RECORDS_MAX: usize = 100_000;

/// What one `send --lines` was given and what came of it.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) target: String,
    /// `person.command.line`, so every line there is only once.
    pub(super) lines: Vec<String>,
    pub(super) reports: Vec<Report>,
    pub(super) end: End,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Then it has taken every line: sent or queued.
    ByItself,
    /// Then it has taken some of them.
    Killed,
}

/// What a client says of a message that is on the relay's disk.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    state: String,
    conversation: String,
    seq: u64,
    device: String,
    counter: u64,
}

/// What one person has.
#[derive(Debug)]
struct Person {
    name: String,
    batches: Vec<Batch>,
    histories: BTreeMap<String, Vec<Line>>,
}

/// What all have.
#[derive(Debug)]
pub(super) struct Outcome(Vec<Person>);

impl Outcome {
    /// Asks every client for every history that it has.
    pub(super) fn collect<T: Iterator<Item = String>>(
        people: &[Chat],
        batches: Vec<Vec<Batch>>,
        targets: impl Fn(usize) -> T + Sync,
    ) -> Self {
        let targets = &targets;
        let history = |person: &Chat, target: String| {
            let mut lines = person.history(&target, RECORDS_MAX).expect("a history");
            // The relay's notices are told in words that depend on whose names are known here.
            lines.iter_mut().filter(|line| line.device.is_none()).for_each(|line| line.text = None);
            (target, lines)
        };
        Self(thread::scope(|scope| {
            let readers: Vec<_> = people
                .iter()
                .zip(batches)
                .enumerate()
                .map(|(index, (chat, batches))| {
                    scope.spawn(move || {
                        let histories = targets(index).map(|target| history(chat, target));
                        let histories = histories.collect();
                        Person { name: chat.name().to_owned(), batches, histories }
                    })
                })
                .collect();
            readers.into_iter().map(|reader| reader.join().expect("a reader")).collect()
        }))
    }

    /// Whether everything is as promised; what is not.
    pub(super) fn check(&self) -> Result<(), String> {
        for (index, person) in self.0.iter().enumerate() {
            for (target, lines) in &person.histories {
                person.check_said(index, target, lines)?;
            }
            person.check_reported()?;
        }
        for (conversation, copies) in self.conversations() {
            let (_, first) = copies[0];
            for (line, seq) in first.iter().zip(1..) {
                if line.seq != seq {
                    return Err(format!("P1: {conversation} has a hole before {}", line.seq));
                }
            }
            for (person, lines) in &copies {
                if *lines != first {
                    return Err(format!("P1: {} sees another {conversation}", person.name));
                }
            }
        }
        Ok(())
    }

    /// Every conversation with everybody's copy of it.
    fn conversations(&self) -> BTreeMap<&str, Vec<(&Person, &[Line])>> {
        let mut conversations: BTreeMap<&str, Vec<(&Person, &[Line])>> = BTreeMap::new();
        for person in &self.0 {
            for lines in person.histories.values() {
                let conversation = lines.first().map_or("", |line| &line.conversation);
                conversations.entry(conversation).or_default().push((person, lines));
            }
        }
        conversations
    }
}

impl Person {
    /// What this person said to somebody: complete, once and in order.
    fn check_said(&self, index: usize, target: &str, lines: &[Line]) -> Result<(), String> {
        let wrong = |what: String| Err(format!("P1: {what} of {} in {target}", self.name));
        let prefix = format!("{index}.");
        let texts = lines.iter().filter_map(|line| line.text.as_deref());
        let found: Vec<&str> = texts.filter(|text| text.starts_with(&prefix)).collect();
        let mut places = BTreeMap::new();
        for (place, text) in found.iter().enumerate() {
            if let Some(first) = places.insert(*text, place) {
                return wrong(format!("{text} is there twice, as number {first} and {place}"));
            }
        }
        let here = || self.batches.iter().filter(|batch| batch.target == target);
        // Whoever was killed had come so far and no farther: a beginning of the lines is there.
        for batch in here().filter(|batch| batch.end == End::Killed) {
            let of_it: BTreeSet<&str> = batch.lines.iter().map(String::as_str).collect();
            let taken: Vec<_> = found.iter().filter(|text| of_it.contains(**text)).collect();
            if !batch.lines.iter().zip(&taken).all(|(line, text)| line == **text) {
                return wrong(format!("out of order: {taken:?}"));
            }
        }
        let kept = || here().filter(|batch| batch.end == End::ByItself).flat_map(|b| &b.lines);
        let mut last = None;
        for line in kept() {
            match places.get(line.as_str()) {
                None => return wrong(format!("{line} is missing")),
                Some(place) if Some(place) < last => {
                    return wrong(format!("{line} came before what was said earlier"));
                }
                found => last = found,
            }
        }
        Ok(())
    }

    /// What was reported sent is where the report says.
    fn check_reported(&self) -> Result<(), String> {
        let mut said: BTreeMap<(&str, u64), &Line> = BTreeMap::new();
        for line in self.histories.values().flatten() {
            said.insert((&line.conversation, line.seq), line);
        }
        for report in self.batches.iter().flat_map(|batch| &batch.reports) {
            let line = said.get(&(report.conversation.as_str(), report.seq));
            let is_it = line.is_some_and(|line| {
                line.device.as_ref() == Some(&report.device) && line.counter == Some(report.counter)
            });
            if report.state != "sent" || !is_it {
                return Err(format!("P1: {} was told {report:?}, and has {line:?}", self.name));
            }
        }
        Ok(())
    }
}

/// What every party has, for whoever looks for the reason.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for person in &self.0 {
            let count = |end| person.batches.iter().filter(|batch| batch.end == end).count();
            let reports: usize = person.batches.iter().map(|batch| batch.reports.len()).sum();
            let (ended, killed) = (count(End::ByItself), count(End::Killed));
            writeln!(
                f,
                "{}: {ended} commands ended, {killed} killed, {reports} reports",
                person.name
            )?;
        }
        for (conversation, copies) in self.conversations() {
            writeln!(f, "{conversation}:")?;
            let (_, first) = copies[0];
            for (person, lines) in &copies {
                let last = lines.last().map_or(0, |line| line.seq);
                write!(f, "  {}: {} records up to {last}", person.name, lines.len())?;
                let differs = lines.iter().zip(first).find(|(own, other)| own != other);
                if let Some((own, other)) = differs {
                    write!(f, ", first other one {own:?} instead of {other:?}")?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}
