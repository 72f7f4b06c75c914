//! What peers that mean harm cost the relay in memory and everybody else in latency.
//!
//! A room of 100 keeps talking, 200 messages a second. Each attack comes and goes several times and is
//! held against the calm right before it: how much more memory the relay takes at its peak, and how
//! much longer the 99th percentile of all rounds gets. The reader who never reads is held against the same flood of messages with a
//! member who does read, because a flood alone has its price.

mod attack;

use std::{cell::Cell, rc::Rc, time::Duration};

use harness::usage::resident_bytes;
use tokio::{
    task::spawn_local,
    time::{interval, sleep},
};

use self::attack::Attack;
use crate::{
    bench::{BenchError, Relay},
    cli::{Common, Hostile},
    latency::SENDERS,
    report::{Budget, Report},
    room::{Crowd, Room},
    stats::{Latencies, number},
};

/// Members of the room whose latency is watched.
const MEMBERS: u32 = 100;
/// Messages per second there.
const RATE: u32 = 200;
/// What an attack may cost the others.
const P99_RATIO: f64 = 1.2;
/// What an attack may cost the relay.
const MEMORY_MIB: f64 = 64.0;
/// How often the relay's memory is looked at.
const MEMORY_CHECK: Duration = Duration::from_millis(50);
/// Time for an attack to be in full swing, and for its end to be over.
const SETTLE: Duration = Duration::from_secs(1);
/// Messages per second of the flood.
const FLOOD_RATE: u32 = 40_000;
/// Readers of the flood besides the one in question.
const FLOOD_MEMBERS: u32 = 4;

/// Measures it.
///
/// # Errors
///
/// If there is nothing to report.
pub(crate) async fn run(options: &Hostile, common: &Common) -> Result<Report, BenchError> {
    let relay = Relay::start(common)?;
    let crowd = Crowd {
        room: "watched",
        first_index: 0,
        members: MEMBERS,
        senders: SENDERS,
        never_read: 0,
    };
    let room = Room::fill(relay.endpoint(), &crowd).await?;
    let stretch = Duration::from_secs(options.secs);
    room.pace(RATE, SETTLE).await;

    let mut report = Report::new("hostile peers");
    let silent_per_second =
        options.silent.div_ceil(u32::try_from(options.secs).unwrap_or(u32::MAX).max(1));
    for attack in [
        Attack::Slowloris,
        Attack::Silent(silent_per_second),
        Attack::Garbage,
        Attack::Oversized,
        Attack::Replay,
    ] {
        let (mut calm, mut attacked, mut connects) = (Stretch::new(), Stretch::new(), 0);
        for _ in 0..options.rounds.max(1) {
            calm.watch(&relay, &room, stretch).await?;
            let attackers = attack.launch(relay.endpoint())?;
            attacked.watch(&relay, &room, stretch).await?;
            connects += attackers.stop();
            sleep(SETTLE).await;
        }
        attacked.compare_with(&calm, attack.name(), &mut report);
        report.add(format!("{}: connections", attack.name()), "", connects.into());
    }

    let calm = flood(&relay, &room, Reader::Ordinary, options.messages).await?;
    let stalled = flood(&relay, &room, Reader::NeverReads, options.messages).await?;
    stalled.compare_with(&calm, "reader who never reads", &mut report);
    report.add("flood: messages", "", number(options.messages));
    room.finish().await;
    room.add_checks_to(&mut report)?;
    Ok(report)
}

/// What a stretch of time, or several, was like for the members of the watched room.
#[derive(Debug)]
struct Stretch {
    latencies: Latencies,
    memory_peak: u64,
}

impl Stretch {
    fn new() -> Self {
        Self { latencies: Latencies::new(), memory_peak: 0 }
    }

    async fn watch(
        &mut self,
        relay: &Relay,
        room: &Rc<Room>,
        length: Duration,
    ) -> Result<(), BenchError> {
        let peak = MemoryPeak::watch(relay.pid());
        room.start_timing();
        room.pace(RATE, length).await;
        room.wait_for_arrival().await;
        self.latencies.merge(&room.stop_timing());
        self.memory_peak = self.memory_peak.max(peak.stop(relay.pid())?);
        Ok(())
    }

    /// Adds how this stretch was compared with a calm one.
    fn compare_with(&self, calm: &Self, what: &str, report: &mut Report) {
        let mebibytes = |bytes: u64| number(bytes) / f64::from(1 << 20);
        let grown = self.memory_peak.saturating_sub(calm.memory_peak);
        let (p99, calm_p99) = (self.latencies.quantile_ms(0.99), calm.latencies.quantile_ms(0.99));
        report.held_to(
            format!("{what}: memory grows by"),
            "MiB",
            mebibytes(grown),
            Budget::AtMost(MEMORY_MIB),
        );
        report.held_to(
            format!("{what}: others' p99"),
            "times",
            p99 / calm_p99,
            Budget::AtMost(P99_RATIO),
        );
        report.add(format!("{what}: others' p99 without"), "ms", calm_p99);
        report.add(format!("{what}: memory without"), "MiB", mebibytes(calm.memory_peak));
    }
}

/// The most memory the relay had while it was watched.
#[derive(Debug)]
struct MemoryPeak {
    bytes: Rc<Cell<u64>>,
    watcher: tokio::task::JoinHandle<()>,
}

impl MemoryPeak {
    fn watch(pid: u32) -> Self {
        let bytes = Rc::new(Cell::new(0));
        let seen = Rc::clone(&bytes);
        let watcher = spawn_local(async move {
            let mut checks = interval(MEMORY_CHECK);
            loop {
                checks.tick().await;
                // A relay that is gone is noticed by its members.
                seen.set(seen.get().max(resident_bytes(pid).unwrap_or(0)));
            }
        });
        Self { bytes, watcher }
    }

    fn stop(self, pid: u32) -> Result<u64, BenchError> {
        self.watcher.abort();
        Ok(self.bytes.get().max(resident_bytes(pid)?))
    }
}

/// What the member in question does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Ordinary,
    NeverReads,
}

/// Watches the room while another one is flooded.
async fn flood(
    relay: &Relay,
    room: &Rc<Room>,
    reader: Reader,
    messages: u64,
) -> Result<Stretch, BenchError> {
    let (room_name, first_index, members, never_read) = match reader {
        Reader::Ordinary => ("flood-read", 10_000, FLOOD_MEMBERS + 1, 0),
        Reader::NeverReads => ("flood-unread", 20_000, FLOOD_MEMBERS, 1),
    };
    let crowd = Crowd { room: room_name, first_index, members, senders: 4, never_read };
    let flooded = Room::fill(relay.endpoint(), &crowd).await?;
    let seconds = messages.div_ceil(u64::from(FLOOD_RATE));
    let length = Duration::from_secs(seconds);
    let flooding = {
        let flooded = Rc::clone(&flooded);
        spawn_local(async move {
            flooded.pace(FLOOD_RATE, length).await;
            flooded.wait_for_arrival().await;
        })
    };
    let mut stretch = Stretch::new();
    stretch.watch(relay, room, length).await?;
    flooding.await.map_err(|error| BenchError::Failed(format!("the flood's task: {error}")))?;
    flooded.add_checks_to(&mut Report::new("flood"))?;
    flooded.never_read.take();
    Ok(stretch)
}
