//! A relay restored from an older copy while clients are connected: they say so, everybody offers
//! again what the copy lacks of their own, under the old ids, and what only somebody absent could
//! offer stays away, told and not healed silently (P1).

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use harness::{
    chat::{Chat, Line},
    lines::Lines,
    process::{RelayOptions, RelayProcess, relay_binary},
    proxy::Proxy,
};

const ROOM: &str = "#lobby";
/// Everything that clients do by themselves has to be done by then, on a slow machine too.
const WITHIN: Duration = Duration::from_secs(60);

/// A `tail` that stays connected.
struct Tail {
    child: Child,
    lines: Lines,
    notes: Lines,
}

impl Tail {
    /// Follows when this returns: it has printed the newest record there was.
    fn start(person: &Chat) -> Self {
        let mut command = person.command(["tail", ROOM, "--json", "-n", "1"]);
        let mut child = command.spawn().expect("the client starts");
        let lines = Lines::of(child.stdout.take().expect("stdout is piped"));
        let notes = Lines::of(child.stderr.take().expect("stderr is piped"));
        lines.wait_for("a record", |_| true);
        Self { child, lines, notes }
    }

    fn wait_for(&self, words: &str) {
        let words = format!("{words:?}");
        self.lines.wait_for(&words, |line| line.contains(&words));
    }

    /// The records that were printed from where the relay's history differed.
    fn again(&self) -> Vec<Line> {
        let lines = self.lines.so_far();
        let parse = |line: &String| serde_json::from_str(line).expect("a JSON line");
        let mut records: Vec<Line> = lines.iter().map(parse).collect();
        let goes_back = |pair: &[Line]| pair[0].seq >= pair[1].seq;
        let turns = records.windows(2).filter(|pair| goes_back(pair)).count();
        assert_eq!(turns, 1, "it goes back once: {lines:#?}");
        let turn = records.windows(2).position(goes_back).map_or(0, |last| last + 1);
        records.split_off(turn)
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn succeed(person: &Chat, arguments: &[&str]) -> String {
    let output = person.run(arguments).expect("the client starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {arguments:?}: {stderr}", person.name());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn operate(arguments: &[&str], file: &Path, data_dir: &Path) {
    let mut command = Command::new(relay_binary().expect("built"));
    let output = command.args(arguments).arg(file).arg("--data-dir").arg(data_dir).output();
    let output = output.expect("the relay's program starts");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// Where a message is and what its id is, by its words; every message is there once.
fn messages(person: &Chat) -> BTreeMap<String, Line> {
    let lines = person.history(ROOM, 1_000).expect("history");
    let mut found = BTreeMap::new();
    for line in lines {
        let Some(text) = line.text.clone().filter(|_| line.kind == "text") else { continue };
        let twice = found.insert(text, line);
        assert_eq!(twice, None, "{} has a message twice", person.name());
    }
    found
}

/// Waits until exactly these messages are in somebody's history.
fn wait_for_messages(person: &Chat, expected: &[&str]) -> BTreeMap<String, Line> {
    let begun = Instant::now();
    loop {
        let found = messages(person);
        let words: Vec<_> = found.keys().map(String::as_str).collect();
        if words == expected {
            return found;
        }
        let who = person.name();
        assert!(begun.elapsed() < WITHIN, "{who} has {words:?} instead of {expected:?}");
        // Each look is a program of its own, which takes a while.
    }
}

#[test]
fn a_relay_restored_from_an_older_copy_gets_back_what_is_offered_again() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| directory.path().join(name);
    let proxy = Proxy::start(1).expect("a free port");
    let options = RelayOptions::new(relay_binary().expect("built"), at("data"));
    let relay = RelayProcess::start(&options).expect("the relay starts");
    proxy.set_target(Some(relay.ready().tcp));
    let key = relay.ready().key.clone();
    let person = |name| Chat::new(at(name), proxy.address(), &key, name).expect("built").by("tcp");
    let [ada, bob, carl] = ["ada", "bob", "carl"].map(person);

    for who in [&ada, &bob, &carl] {
        succeed(who, &["send", ROOM, &format!("{} before", who.name())]);
    }
    operate(&["backup"], &at("copy"), &at("data"));
    let tails = [Tail::start(&ada), Tail::start(&bob)];
    succeed(&ada, &["send", ROOM, "ada after 1"]);
    succeed(&bob, &["send", ROOM, "bob after"]);
    succeed(&carl, &["send", ROOM, "carl after"]);
    succeed(&ada, &["send", ROOM, "ada after 2"]);
    let everything = [
        "ada after 1",
        "ada after 2",
        "ada before",
        "bob after",
        "bob before",
        "carl after",
        "carl before",
    ];
    let before = wait_for_messages(&ada, &everything);
    wait_for_messages(&bob, &everything);
    for tail in &tails {
        tail.wait_for("ada after 2");
    }

    proxy.set_target(None);
    relay.kill().expect("it can be killed");
    operate(&["restore"], &at("copy"), &at("restored"));
    let options = RelayOptions::new(relay_binary().expect("built"), at("restored"));
    let relay = RelayProcess::start(&options).expect("the restored relay starts");
    assert_eq!(relay.ready().key, key, "it is the same relay");
    proxy.set_target(Some(relay.ready().tcp));

    // Whoever is there is told, with what is affected, and offers again what is missing of theirs.
    for tail in &tails {
        tail.notes.wait_for("the restore", |note| note.contains("restored"));
        tail.notes.wait_for("what moved aside", |note| {
            note.contains(ROOM) && note.contains("moved aside") && note.contains("offered again")
        });
    }
    let without_carls: Vec<_> =
        everything.iter().copied().filter(|words| *words != "carl after").collect();
    let offered = wait_for_messages(&ada, &without_carls);
    wait_for_messages(&bob, &without_carls);
    for (words, line) in &offered {
        let id = |line: &Line| (line.device.clone(), line.counter);
        assert_eq!(id(line), id(&before[words]), "{words:?} has kept its id");
    }
    // Only its author can bring back the rest, when it comes back.
    succeed(&carl, &["send", ROOM, "carl again"]);
    let mut all = everything.to_vec();
    all.insert(6, "carl again");
    all.sort_unstable();
    let healed = wait_for_messages(&bob, &all);
    let (found, lost) = (&healed["carl after"], &before["carl after"]);
    assert_eq!((&found.device, found.counter), (&lost.device, lost.counter));

    for who in [&ada, &bob, &carl] {
        assert_eq!(wait_for_messages(who, &all), healed, "{} sees what bob sees", who.name());
        succeed(who, &["audit", ROOM]);
    }
    // Whoever followed has seen it: all from where the histories part, once each, in the new order.
    let history = ada.history(ROOM, 1_000).expect("history");
    for tail in &tails {
        tail.wait_for("carl again");
        let again = tail.again();
        let first = again.first().map(|line| line.seq);
        let expected: Vec<&Line> = history.iter().filter(|line| Some(line.seq) >= first).collect();
        assert_eq!(again.iter().collect::<Vec<_>>(), expected);
        let told = |words: &str| again.iter().any(|line| line.text.as_deref() == Some(words));
        assert!(told("bob after") && told("carl after") && told("carl again"), "{again:#?}");
    }
}
