//! Eight people write while the relay is killed every half second, their own programs are killed,
//! and every connection is cut somewhere in the middle of a packet.
//!
//! What must hold afterwards (P1, P2): every message that a client reported as sent is in every
//! member's history once; all members see one order; a message that nobody reported is there at
//! most once; nothing is shown as failed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Read},
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use harness::{
    chat::{Chat, Line},
    process::{RelayOptions, RelayProcess, relay_binary},
    proxy::Proxy,
};
use protocol::entropy::SimRng;

const PEOPLE: usize = 8;
const MESSAGES_EACH: usize = 2_000;
/// Messages that one `send --lines` writes.
const LINES_PER_COMMAND: usize = 100;
const ROOMS: usize = 4;
const RELAY_LIVES_FOR: Duration = Duration::from_millis(500);
/// A connection carries this many bytes in one direction before it is cut: from inside the
/// handshake to a few hundred messages.
const CUT_AFTER: std::ops::RangeInclusive<u64> = 100..=60_000;
/// Everything has to be over by then, on a slow machine too.
const WITHIN: Duration = Duration::from_secs(600);

/// What one person reported and where it went.
#[derive(Debug, Default)]
struct Written {
    /// Text of every line handed to a client, by target.
    offered: BTreeMap<String, BTreeSet<String>>,
    /// Of those, the ones that a client reported as sent.
    reported: BTreeMap<String, BTreeSet<String>>,
}

#[test]
fn every_message_once_in_one_order_while_everything_dies() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = RelayOptions::new(relay_binary().expect("built"), directory.path().join("relay"));
    let proxy = Proxy::start(7).expect("a free port");
    let relay = RelayProcess::start(&options).expect("the relay starts");
    proxy.set_target(Some(relay.ready().tcp));
    let people = register(directory.path(), &proxy, &relay.ready().key);

    proxy.set_cuts(Some(CUT_AFTER));
    let relay = Mutex::new(Some(relay));
    let writing = AtomicUsize::new(PEOPLE);
    let kills = AtomicUsize::new(0);
    let written: Vec<Written> = thread::scope(|scope| {
        let writers: Vec<_> = people
            .iter()
            .enumerate()
            .map(|(index, person)| {
                let writing = &writing;
                let people = &people;
                scope.spawn(move || {
                    let written = write(index, person, people);
                    writing.fetch_sub(1, Ordering::Relaxed);
                    written
                })
            })
            .collect();
        let begun = Instant::now();
        while writing.load(Ordering::Relaxed) > 0 {
            assert!(begun.elapsed() < WITHIN, "the writers did not get done");
            thread::sleep(RELAY_LIVES_FOR);
            kill_and_restart(&relay, &options, &proxy);
            kills.fetch_add(1, Ordering::Relaxed);
        }
        writers.into_iter().map(|writer| writer.join().expect("a writer")).collect()
    });
    assert!(kills.into_inner() > 3, "the relay was killed while people wrote");
    assert!(proxy.cuts() > 10, "connections were cut while people wrote");

    proxy.set_cuts(None);
    thread::scope(|scope| {
        for person in &people {
            scope.spawn(|| settle(person));
        }
    });
    compare(&people, &written);
}

/// Everybody registers, joins every room, and accepts everybody's direct conversation.
fn register(directory: &Path, proxy: &Proxy, key: &str) -> Vec<Chat> {
    let people: Vec<_> = (0..PEOPLE)
        .map(|index| {
            let name = format!("person{index}");
            Chat::new(directory.join(&name), proxy.address(), key, &name).expect("built")
        })
        .collect();
    for person in &people {
        for room in 0..ROOMS {
            succeed(person, &["join", &format!("#room{room}"), "--create"]);
        }
    }
    for (index, person) in people.iter().enumerate() {
        for peer in &people[index + 1..] {
            succeed(person, &["send", &format!("@{}", peer.name()), "hello"]);
            succeed(peer, &["dm", "accept", &format!("@{}", person.name())]);
        }
    }
    people
}

fn succeed(person: &Chat, arguments: &[&str]) -> String {
    let output = person.run(arguments).expect("the client starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {arguments:?}: {stderr}", person.name());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn kill_and_restart(relay: &Mutex<Option<RelayProcess>>, options: &RelayOptions, proxy: &Proxy) {
    let mut slot = relay.lock().expect("nobody panicked with it");
    proxy.set_target(None);
    slot.take().expect("it runs").kill().expect("it can be killed");
    let again = RelayProcess::start(options).expect("the relay starts again");
    proxy.set_target(Some(again.ready().tcp));
    *slot = Some(again);
}

/// Writes a person's messages, a command after the other, and kills some of them on the way.
fn write(index: usize, person: &Chat, people: &[Chat]) -> Written {
    let mut rng = SimRng::new(index as u64);
    let mut written = Written::default();
    for command in 0..MESSAGES_EACH / LINES_PER_COMMAND {
        let target = if rng.chance(1, 4) {
            let peer = (index + 1 + usize::try_from(rng.below(7)).expect("small")) % PEOPLE;
            format!("@{}", people[peer].name())
        } else {
            format!("#room{}", rng.below(ROOMS as u64))
        };
        let lines: Vec<_> =
            (0..LINES_PER_COMMAND).map(|line| format!("{index}.{command}.{line}")).collect();
        written.offered.entry(target.clone()).or_default().extend(lines.iter().cloned());
        let mut child = person
            .feed(["send", &target, "--lines", "--json"], lines.join("\n") + "\n")
            .expect("the client starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let complaints = thread::spawn(move || {
            let mut text = String::new();
            // A killed client's pipe may end anywhere.
            let _ = stderr.read_to_string(&mut text);
            text
        });
        // Killed after this many reports; most commands end by themselves before.
        let killed_after = rng.between(0, 3 * LINES_PER_COMMAND as u64);
        let mut reports = 0;
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let report: serde_json::Value = serde_json::from_str(&line).expect("a JSON line");
            if let Some(text) = report["text"].as_str() {
                written.reported.entry(target.clone()).or_default().insert(text.to_owned());
            }
            reports += 1;
            if reports == killed_after {
                child.kill().expect("it can be killed");
            }
        }
        let status = child.wait().expect("it ends");
        let complaints = complaints.join().expect("the reader of stderr");
        assert!(
            reports >= killed_after || status.success(),
            "{}: {status}: {complaints}",
            person.name()
        );
    }
    written
}

/// Waits until a person's outbox is empty: what a killed command left in it is sent by the next.
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

fn compare(people: &[Chat], written: &[Written]) {
    let mut histories: BTreeMap<String, Vec<(usize, Vec<Line>)>> = BTreeMap::new();
    for (index, person) in people.iter().enumerate() {
        let rooms = (0..ROOMS).map(|room| format!("#room{room}"));
        let peers = people.iter().filter(|peer| peer.name() != person.name());
        for target in rooms.chain(peers.map(|peer| format!("@{}", peer.name()))) {
            let lines = person.history(&target, 100_000).expect("history");
            let texts: Vec<_> = lines.iter().filter_map(|line| line.text.as_deref()).collect();
            check_own(person, &target, &written[index], &texts);
            let conversation = lines.first().expect("it began with something").conversation.clone();
            histories.entry(conversation).or_default().push((index, lines));
        }
    }
    for (conversation, readers) in &histories {
        let (_, first) = &readers[0];
        for (place, line) in first.iter().enumerate() {
            assert_eq!(line.seq, place as u64 + 1, "{conversation} has a hole");
        }
        for (reader, lines) in readers {
            assert_eq!(lines, first, "{} sees another {conversation}", people[*reader].name());
        }
    }
}

fn check_own(person: &Chat, target: &str, written: &Written, texts: &[&str]) {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for text in texts {
        *times.entry(text).or_default() += 1;
    }
    let who = person.name();
    for text in written.offered.get(target).into_iter().flatten() {
        let times = times.get(text.as_str()).copied().unwrap_or(0);
        assert!(times <= 1, "P1: {text} of {who} is {times} times in {target}");
    }
    for text in written.reported.get(target).into_iter().flatten() {
        let there = times.contains_key(text.as_str());
        assert!(there, "P1: {text} of {who} was reported sent and is not in {target}");
    }
}
