//! What a person waits for at a prompt: a headless message, and the first screen of a client with
//! much history.
//!
//! The messages go from the start of the process to its end, through the real relay and both disks.
//! The history is then written into the client's own store, under the room that the relay named, and
//! the relay stopped: what is painted comes from this disk alone, and none of it can be newer.

use std::{borrow::Cow, io, path::Path, time::Duration};

use chat_client::store::{
    Change, Store as _,
    home::Home,
    row::{CHAIN_STRIDE, Draft, Interval, StoredRecord},
    sqlite::SqliteStore,
};
use harness::{chat::Chat, pty::Pty, screen::Size};
use portable_pty::CommandBuilder;
use protocol::{
    ids::{ConversationId, Counter, DeviceId, Digest, Seq},
    message::{
        ext::Ext,
        record::{Class, Content, ENVELOPE_VERSION, Envelope, chain_next, envelope_hash},
    },
    time::WallTime,
};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    bench::{BenchError, Relay},
    cli::{Common, Terminal},
    report::{Budget, Report},
    stats::Latencies,
};

/// Records written in one transaction.
const BATCH: u64 = 10_000;
/// A terminal as most people have it.
const SIZE: Size = Size { columns: 80, rows: 24 };
const ROOM: &str = "#lobby";

/// Measures it.
///
/// # Errors
///
/// If there is nothing to report.
pub(crate) fn run(options: &Terminal, common: &Common) -> Result<Report, BenchError> {
    let relay = Relay::start(common)?;
    let endpoint = relay.endpoint();
    let folder = TempDir::new()?;
    let home = folder.path().join("home");
    let fingerprint = endpoint.key.fingerprint().to_string();
    let ada = Chat::new(&home, endpoint.address, &fingerprint, "ada")?;

    let first = send(&ada)?;
    let mut warm = Latencies::new();
    for _ in 0..options.sends {
        warm.record(send(&ada)?);
    }
    let mut report = Report::new(format!(
        "terminal, {} headless messages, {} messages of history",
        options.sends, options.messages
    ));
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    report.held_to("send, first of a new home", "ms", milliseconds(first), Budget::AtMost(50.0));
    report.held_to("send, p50", "ms", warm.quantile_ms(0.5), Budget::AtMost(15.0));
    report.add("send, p99", "ms", warm.quantile_ms(0.99));
    relay.add_disk_to(&mut report);

    drop(relay);
    let newest = fill(&Home::at(&home).database_for(endpoint.key), options.messages)?;
    let mut painted = Latencies::new();
    for _ in 0..options.starts {
        painted.record(paint(&ada, &newest)?);
    }
    let worst = painted.max_ms();
    report.held_to("first screen, worst", "ms", worst, Budget::AtMost(100.0));
    report.add("first screen, p50", "ms", painted.quantile_ms(0.5));
    Ok(report)
}

fn send(who: &Chat) -> Result<Duration, BenchError> {
    let started = Instant::now();
    let output = who.run(["send", ROOM, "is anybody there?"])?;
    let took = started.elapsed();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(BenchError::Failed(format!("send: {said}")));
    }
    Ok(took)
}

/// Starts the client in a terminal until it shows these words.
fn paint(who: &Chat, words: &str) -> io::Result<Duration> {
    let command = who.command::<_, &str>([]);
    let mut in_terminal = CommandBuilder::new(command.get_program());
    in_terminal.args(command.get_args());
    in_terminal.env("TERM", "xterm-256color");
    let started = Instant::now();
    let mut pty = Pty::start(in_terminal, SIZE)?;
    pty.wait_for(words);
    let took = started.elapsed();
    pty.type_keys("<C-q>");
    pty.kill()?;
    Ok(took)
}

/// Writes this many messages of somebody else behind what the room holds; the newest one's text.
fn fill(database: &Path, messages: u64) -> Result<String, BenchError> {
    let failed = |error: &dyn std::fmt::Display| BenchError::Failed(format!("history: {error}"));
    let mut store = SqliteStore::open(database).map_err(|error| failed(&error))?;
    let loaded = store.load().map_err(|error| failed(&error))?;
    let room = loaded.conversations.into_iter().find_map(|conversation| {
        let interval = conversation.intervals.last().copied()?;
        Some((conversation.info.id, interval))
    });
    let Some((id, mut interval)) = room else { return Err(failed(&"the room is not there")) };
    let mut left = messages;
    while left > 0 {
        let count = left.min(BATCH);
        let records = extend(id, &mut interval, count);
        let changes = [Change::Records(id, records), Change::Intervals(id, vec![interval])];
        store.apply(&changes).map_err(|error| failed(&error))?;
        left -= count;
    }
    Ok(words(interval.high))
}

/// The next records of a log, by somebody whose words say their place.
fn extend(id: ConversationId, interval: &mut Interval, count: u64) -> Vec<StoredRecord> {
    let mut records = Vec::new();
    for _ in 0..count {
        let seq = interval.high.next();
        let (envelope, content) = record(seq);
        let hash = envelope_hash(id, &envelope.encode(), &content.digest());
        let chain: Digest = chain_next(&interval.chain, seq, &hash);
        (interval.high, interval.chain) = (seq, chain);
        records.push(StoredRecord {
            seq,
            time: WallTime::from_millis(1_700_000_000_000 + seq.0),
            id: Some(envelope.id()),
            target: None,
            envelope: envelope.encode(),
            signature: Vec::new(),
            content,
            chain: seq.0.is_multiple_of(CHAIN_STRIDE).then_some(chain),
        });
    }
    records
}

fn record(seq: Seq) -> (Envelope, Content<'static>) {
    let envelope = Envelope {
        version: ENVELOPE_VERSION,
        device: DeviceId([4; 16]),
        counter: Counter(seq.0),
        class: Class::CONTENT,
        target: None,
        epoch: 0,
        seen: (Seq::ZERO, [0; 8]),
        ext: Ext::none(),
    };
    let body = Draft::text(words(seq)).body(WallTime::default()).encode();
    (envelope, Content::Body(Cow::Owned(body)))
}

fn words(seq: Seq) -> String {
    format!("these are the words of message {}", seq.0)
}
