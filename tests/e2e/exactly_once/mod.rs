//! Eight people write while the relay is killed every half second, their own programs are killed,
//! and every connection is cut somewhere in the middle of a packet.
//!
//! What must hold afterwards (P1, P2): every message that a client took is in every member's
//! history once, in the order in which it was said; what a client reported is where the client said
//! that it is; all members see one order; what a client died over is there at most once; nothing is
//! shown as failed. [`outcome`] looks at all of this.

mod outcome;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use harness::{
    chat::Chat,
    lines::Lines,
    process::{RelayOptions, RelayProcess, relay_binary},
    proxy::Proxy,
};
use protocol::entropy::SimRng;

use self::outcome::{Batch, End, Outcome, Report};

const PEOPLE: usize = 8;
const MESSAGES_EACH: usize = 2_000;
/// Messages that one `send --lines` writes.
const LINES_PER_COMMAND: usize = 100;
const ROOMS: usize = 4;
const RELAY_LIVES_FOR: Duration = Duration::from_millis(500);
/// Then it is left alone, so that the test ends on a slow machine too.
const KILLS_MAX: usize = 60;
/// Fewer would not show much.
const KILLS_MIN: usize = 10;
/// A connection carries this many bytes in one direction before it is cut: from inside the
/// handshake to a few hundred messages.
const CUT_AFTER: std::ops::RangeInclusive<u64> = 100..=100_000;
/// Everything has to be over by then, on a slow machine too.
const WITHIN: Duration = Duration::from_secs(300);
/// What a command says that left messages in its outbox.
const EXIT_QUEUED: i32 = 6;

#[test]
fn every_message_once_in_one_order_while_everything_dies() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = RelayOptions::new(relay_binary().expect("built"), directory.path().join("relay"));
    let proxy = Proxy::start(7).expect("a free port");
    let relay = RelayProcess::start(&options).expect("the relay starts");
    proxy.set_target(Some(relay.ready().tcp));
    let people = register(directory.path(), &proxy, &relay.ready().key);

    proxy.set_cuts(Some(CUT_AFTER));
    let mut relay = Some(relay);
    let mut kills = 0;
    let batches: Vec<Vec<Batch>> = thread::scope(|scope| {
        let writers: Vec<_> = (0..PEOPLE)
            .map(|index| {
                let people = &people;
                scope.spawn(move || {
                    let batches = write(index, people);
                    settle(&people[index]);
                    batches
                })
            })
            .collect();
        // A writer that panicked is finished, too.
        while writers.iter().any(|writer| !writer.is_finished()) {
            thread::sleep(RELAY_LIVES_FOR);
            if kills < KILLS_MAX {
                proxy.set_target(None);
                relay.take().expect("it runs").kill().expect("it can be killed");
                let again = RelayProcess::start(&options).expect("the relay starts again");
                proxy.set_target(Some(again.ready().tcp));
                relay = Some(again);
                kills += 1;
            } else {
                proxy.set_cuts(None);
            }
        }
        writers.into_iter().map(|writer| writer.join().expect("a writer")).collect()
    });
    assert!(kills >= KILLS_MIN, "the relay was killed only {kills} times while people wrote");
    assert!(proxy.cuts() > 10, "connections were cut while people wrote");
    let died = batches.iter().flatten().filter(|batch| batch.end == End::Killed).count();
    assert!(died > 10, "programs were killed while people wrote");

    proxy.set_cuts(None);
    let targets = |index| rooms().chain(peers(index).map(|peer| at(&people[peer])));
    let outcome = Outcome::collect(&people, batches, targets);
    if let Err(why) = outcome.check() {
        panic!("{why}\nafter {kills} kills and {} cuts\n{outcome}", proxy.cuts());
    }
}

fn rooms() -> impl Iterator<Item = String> {
    (0..ROOMS).map(|room| format!("#room{room}"))
}

/// With whom somebody has a direct conversation: a ring.
fn peers(index: usize) -> impl Iterator<Item = usize> {
    [(index + 1) % PEOPLE, (index + PEOPLE - 1) % PEOPLE].into_iter()
}

fn at(person: &Chat) -> String {
    format!("@{}", person.name())
}

/// Everybody registers, joins every room, and accepts the direct conversations.
fn register(directory: &Path, proxy: &Proxy, key: &str) -> Vec<Chat> {
    let person = |index| {
        let name = format!("person{index}");
        Chat::new(directory.join(&name), proxy.address(), key, &name).expect("built").by("tcp")
    };
    let people: Vec<_> = (0..PEOPLE).map(person).collect();
    let everybody = |acts: &(dyn Fn(usize, &Chat) + Sync)| {
        thread::scope(|scope| {
            for (index, person) in people.iter().enumerate() {
                scope.spawn(move || acts(index, person));
            }
        });
    };
    everybody(&|_, person| {
        for room in rooms() {
            succeed(person, &["join", &room, "--create"]);
        }
    });
    everybody(&|index, person| {
        succeed(person, &["send", &at(&people[(index + 1) % PEOPLE]), "hello"]);
    });
    everybody(&|index, person| {
        let asked_by = &people[(index + PEOPLE - 1) % PEOPLE];
        succeed(person, &["dm", "accept", &at(asked_by)]);
    });
    people
}

fn succeed(person: &Chat, arguments: &[&str]) -> String {
    let output = person.run(arguments).expect("the client starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {arguments:?}: {stderr}", person.name());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Another program in somebody's home: if it comes first, it owns the home, and what the others say
/// goes through it. Dropping it kills it.
struct Companion(Child);

impl Companion {
    fn start(person: &Chat) -> Self {
        let mut command = person.command(["tail"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("the client starts"))
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes a person's messages, a command after the other.
fn write(index: usize, people: &[Chat]) -> Vec<Batch> {
    let mut rng = SimRng::new(index as u64);
    let below =
        |rng: &mut SimRng, end: usize| usize::try_from(rng.below(end as u64)).expect("small");
    (0..MESSAGES_EACH / LINES_PER_COMMAND)
        .map(|command| {
            let target = if rng.chance(1, 4) {
                let nth = below(&mut rng, 2);
                at(&people[peers(index).nth(nth).expect("two")])
            } else {
                format!("#room{}", below(&mut rng, ROOMS))
            };
            let line = |line| format!("{index}.{command}.{line}");
            let lines = (0..LINES_PER_COMMAND).map(line).collect();
            write_batch(&people[index], &mut rng, target, lines)
        })
        .collect()
}

/// Runs one command, and kills it or its companion or both after so many reports; some never.
fn write_batch(person: &Chat, rng: &mut SimRng, target: String, lines: Vec<String>) -> Batch {
    let mut arguments = vec!["send", &target, "--lines", "--json"];
    if rng.chance(1, 2) {
        // Then it waits for the relay however long that takes; else it leaves messages queued.
        arguments.extend(["--timeout", "600"]);
    }
    let mut companion = rng.chance(1, 4).then(|| Companion::start(person));
    let companion_killed_after = rng.below(LINES_PER_COMMAND as u64);
    let killed_after = rng.between(0, 3 * LINES_PER_COMMAND as u64);
    let mut child = person.feed(&arguments, lines.join("\n") + "\n").expect("the client starts");
    let complaints = Lines::of(child.stderr.take().expect("stderr is piped"));
    let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let mut reports: Vec<Report> = Vec::new();
    let mut printed = stdout.lines().map_while(Result::ok);
    loop {
        if reports.len() as u64 >= killed_after {
            child.kill().expect("it can be killed");
        }
        if reports.len() as u64 >= companion_killed_after {
            companion = None;
        }
        let Some(line) = printed.next() else { break };
        match serde_json::from_str(&line) {
            Ok(report) => reports.push(report),
            // A killed program's last line may end anywhere.
            Err(error) => assert!(error.is_eof(), "{}: {line}: {error}", person.name()),
        }
    }
    drop(companion);
    let status = child.wait().expect("it ends");
    let end = match status.code() {
        Some(0 | EXIT_QUEUED) => End::ByItself,
        None => End::Killed,
        Some(_) => panic!("{}: {status}: {}", person.name(), complaints.so_far().join("\n")),
    };
    Batch { target, lines, reports, end }
}

/// Waits until a person's outbox is empty: what a command left in it is sent by the next.
fn settle(person: &Chat) {
    let begun = Instant::now();
    loop {
        let waiting = succeed(person, &["outbox", "--json"]);
        if waiting.trim().is_empty() {
            return;
        }
        assert!(!waiting.contains("\"failed\""), "P2: {} shows {waiting}", person.name());
        assert!(begun.elapsed() < WITHIN, "{} still has {waiting}", person.name());
        succeed(person, &["tail", "--for", "1"]);
    }
}
