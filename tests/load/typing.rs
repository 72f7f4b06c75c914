//! What somebody notices who types while a room is busy: the time from a key to its character on
//! the screen. And what a client costs that nobody looks at: processor time, wake-ups, memory.

use std::{
    fs, io,
    thread::sleep,
    time::{Duration, Instant},
};

use harness::{
    chat::Chat,
    pty::Pty,
    screen::Size,
    usage::{cpu_time, resident_bytes},
};
use portable_pty::CommandBuilder;
use tempfile::TempDir;

use crate::{
    bench::{BenchError, Relay},
    cli::{Common, Typing},
    report::{Budget, Report},
    room::{Crowd, Room},
    stats::{Latencies, number},
};

/// A terminal as most people have it.
const SIZE: Size = Size { columns: 80, rows: 24 };
/// Those who talk meanwhile.
const SENDERS: u16 = 4;
/// Time between two keys: a fast typist's.
const KEY_INTERVAL: Duration = Duration::from_millis(80);
/// Keys in one line; then it is cleared.
const LINE_KEYS: u32 = 30;
/// Two frames of a screen that shows sixty a second.
const P99_MS: f64 = 33.0;
/// Time for the first messages to come.
const SETTLE: Duration = Duration::from_secs(2);

/// What was seen.
struct Seen {
    keys: Latencies,
    busy: Usage,
    idle: Usage,
    memory: u64,
}

/// What the client used during some time.
struct Usage {
    cores: f64,
    wakeups_per_second: f64,
}

/// Measures it.
///
/// # Errors
///
/// If there is nothing to report.
pub(crate) async fn run(options: &Typing, common: &Common) -> Result<Report, BenchError> {
    let relay = Relay::start(common)?;
    let endpoint = relay.endpoint();
    let crowd = Crowd {
        room: "busy",
        first_index: 0,
        members: SENDERS.into(),
        senders: SENDERS,
        never_read: 0,
    };
    let room = Room::fill(endpoint, &crowd).await?;
    let folder = TempDir::new()?;
    let fingerprint = endpoint.key.fingerprint().to_string();
    let ada = Chat::new(folder.path().join("home"), endpoint.address, &fingerprint, "ada")?;

    let keys = options.keys;
    let typed = KEY_INTERVAL * keys + SETTLE;
    room.expect_visitor();
    let typing = tokio::task::spawn_blocking(move || type_and_rest(&ada, keys));
    room.pace(options.rate, typed).await;
    room.finish().await;
    let seen =
        typing.await.map_err(|error| BenchError::Failed(format!("the typist: {error}")))??;

    let mut report =
        Report::new(format!("typing, {keys} keys while {} messages/s come", options.rate));
    report.held_to("key to screen, p99", "ms", seen.keys.quantile_ms(0.99), Budget::AtMost(P99_MS));
    report.add("key to screen, p50", "ms", seen.keys.quantile_ms(0.5));
    report.add("key to screen, longest", "ms", seen.keys.max_ms());
    report.add("client while they come", "cores", seen.busy.cores);
    report.add("client at rest", "cores", seen.idle.cores);
    report.add("wake-ups at rest", "/s", seen.idle.wakeups_per_second);
    report.add("memory of the client", "MiB", number(seen.memory) / f64::from(1 << 20));
    room.add_checks_to(&mut report)?;
    Ok(report)
}

/// Types into a room in which others talk, then does nothing for a while.
fn type_and_rest(who: &Chat, keys: u32) -> io::Result<Seen> {
    let command = who.command::<_, &str>([]);
    let mut in_terminal = CommandBuilder::new(command.get_program());
    in_terminal.args(command.get_args());
    in_terminal.env("TERM", "xterm-256color");
    let mut pty = Pty::start(in_terminal, SIZE)?;
    let pid = pty.pid().ok_or_else(|| io::Error::other("the client is gone"))?;
    pty.wait_for("#lobby");
    pty.type_keys("/join #busy<enter>");
    pty.wait_for("write to #busy");
    sleep(SETTLE);

    let mut latencies = Latencies::new();
    let mut line = String::new();
    let before = Moment::now(pid)?;
    for key in 0..keys {
        sleep(KEY_INTERVAL);
        if key % LINE_KEYS == 0 {
            pty.type_keys("<C-u>");
            pty.wait_for("write to #busy");
            line.clear();
        }
        let letter = char::from(b'a' + u8::try_from(key % 26).unwrap_or_default());
        line.push(letter);
        let expected = format!("> {line}");
        let pressed = Instant::now();
        pty.type_keys(&letter.to_string());
        pty.wait_for(&expected);
        latencies.record(pressed.elapsed());
    }
    let busy = Moment::now(pid)?.since(&before);
    // Packets are fresh for ten seconds, and nothing happens: time for nothing.
    pty.type_keys("<C-u>");
    pty.wait_for("write to #busy");
    sleep(2 * SETTLE);
    let before = Moment::now(pid)?;
    sleep(2 * SETTLE);
    let idle = Moment::now(pid)?.since(&before);
    let memory = resident_bytes(pid)?;
    pty.kill()?;
    Ok(Seen { keys: latencies, busy, idle, memory })
}

struct Moment {
    at: Instant,
    cpu: Duration,
    wakeups: u64,
}

impl Moment {
    fn now(pid: u32) -> io::Result<Self> {
        let (at, cpu) = (Instant::now(), cpu_time(pid)?.total());
        Ok(Self { at, cpu, wakeups: wakeups(pid)? })
    }

    fn since(&self, before: &Self) -> Usage {
        let seconds = self.at.duration_since(before.at).as_secs_f64();
        Usage {
            cores: self.cpu.saturating_sub(before.cpu).as_secs_f64() / seconds,
            wakeups_per_second: number(self.wakeups - before.wakeups) / seconds,
        }
    }
}

/// How often the threads of a process have gone to sleep, and so were woken.
fn wakeups(pid: u32) -> io::Result<u64> {
    let mut all = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        all += count.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or_default();
    }
    Ok(all)
}
