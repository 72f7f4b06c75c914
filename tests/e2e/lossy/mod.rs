//! Two people over datagrams on paths that lose every fifth in each direction, delay, repeat and
//! reorder, and are dark for a while: every message arrives exactly once and in order, on the same
//! login. Here a proxy on loopback does it; in [`cable`] the kernel, between two networks. What
//! carries a session where not everything gets through is in [`carriers`].

mod cable;
mod carriers;

use std::{
    fmt::Write as _,
    io::{self, Read as _, Write as _},
    path::{Path as Directory, PathBuf},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use harness::{
    chat::{Chat, Line},
    lines::Lines,
    network::{FAR_V4, Network},
    path::Path,
    process::{RelayOptions, RelayProcess, relay_binary},
};
use protocol::{
    invitation::{Invitation, RelayAddress},
    lab::{
        fault::{Faults, Loss, Share},
        jitter::Jitter,
    },
};

const MESSAGES: usize = 200;
const MS: Duration = Duration::from_millis(1);
/// On a slow machine, too.
const WITHIN: Duration = Duration::from_secs(120);

fn bad() -> Faults {
    Faults {
        delay: 10 * MS,
        jitter: Jitter::up_to(5 * MS),
        loss: Loss::Independent(Share::percent(20)),
        duplicate: Share::percent(5),
        reorder: (Share::percent(5), 20 * MS),
        ..Faults::default()
    }
}

/// Ada and Bea in `#sea`, on a relay at the other end of a path.
struct Scene<P> {
    _directory: tempfile::TempDir,
    relay: RelayProcess,
    path: P,
    people: [Chat; 2],
}

impl Scene<Path> {
    fn by_proxy(faults: Faults) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let relay = RelayProcess::start(&relay_options(&directory)).expect("the relay starts");
        let path = Path::start(relay.ready().tcp, faults, 11).expect("a free port");
        let address = path.address();
        let invitation = Invitation {
            address: RelayAddress::new(&address.ip().to_string(), address.port())
                .expect("an address"),
            ..relay.ready().invite.clone()
        };
        let people = ["ada", "bea"].map(|name| {
            Chat::invited(directory.path().join(name), &invitation, "udp", name).expect("built")
        });
        Self { _directory: directory, relay, path, people }.joined()
    }
}

impl Scene<Network> {
    fn by_cable(network: Network, host: &str, transport: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let options = RelayOptions {
            listen: format!("{host}:0").parse().expect("an address"),
            within: Some(network.far()),
            ..relay_options(&directory)
        };
        let relay = RelayProcess::start(&options).expect("the relay starts");
        // What listens everywhere cannot say by which address others know it.
        let invitation = Invitation {
            address: RelayAddress::new(FAR_V4, relay.ready().tcp.port()).expect("an address"),
            ..relay.ready().invite.clone()
        };
        let people = ["ada", "bea"].map(|name| {
            let home = directory.path().join(name);
            let person = Chat::invited(home, &invitation, transport, name).expect("built");
            person.within(network.near())
        });
        Self { _directory: directory, relay, path: network, people }.joined()
    }
}

impl<P> Scene<P> {
    fn invitation(&self) -> &Invitation {
        &self.relay.ready().invite
    }

    fn joined(self) -> Self {
        for person in &self.people {
            let joined = person.run(["join", "#sea", "--create"]).expect("it runs");
            assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
        }
        self
    }

    /// Both write at the same time; then both have everything, once and in order.
    fn talk(&self, messages: usize) {
        let saying = [0, 1].map(|who| self.say(who, messages));
        for child in saying {
            finish(child);
        }
        let words = [0, 1].map(|who| self.words(who, messages));
        assert_eq!(words[0], words[1], "both see the same");
        for person in &self.people {
            let prefix = format!("{} ", person.name());
            let numbers = words[0].iter().filter_map(|text| text.strip_prefix(&prefix));
            let theirs: Vec<usize> = numbers.filter_map(|number| number.parse().ok()).collect();
            assert_eq!(theirs, (0..messages).collect::<Vec<_>>());
        }
    }

    fn say(&self, who: usize, messages: usize) -> Child {
        let mut lines = String::new();
        for number in 0..messages {
            writeln!(lines, "{} {number}", self.people[who].name()).expect("a string takes it");
        }
        self.people[who].feed(["send", "#sea", "--lines"], lines).expect("it runs")
    }

    fn words(&self, who: usize, messages: usize) -> Vec<String> {
        let lines = self.people[who].history("#sea", 3 * messages).expect("a history");
        lines.into_iter().filter_map(|Line { text, .. }| text).collect()
    }
}

/// Two networks, or the reason why there are none and what is done about it, where a person sees it.
fn network(instead: &str) -> Option<Network> {
    Network::new()
        .inspect_err(|error| {
            // Not by a macro: the test's output is shown only if it fails.
            let why = error.to_string();
            let note = format!("note: no networks of our own, {instead}: {}", why.trim_end());
            let _ = writeln!(io::stderr(), "{note}");
        })
        .ok()
}

/// What `doctor` finds, as far as it gets.
fn finding(person: &Chat, check: &str) -> String {
    let checks = person.run(["doctor", "--json"]).expect("it runs").stdout;
    let checks = checks.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut checks = checks.map(|line| serde_json::from_slice(line).expect("JSON"));
    let found = checks.find(|found: &serde_json::Value| found["check"] == check);
    let found = found.as_ref().and_then(|found| found["found"].as_str());
    found.unwrap_or_else(|| panic!("doctor says nothing of {check}")).to_owned()
}

/// How often the relay has welcomed the process that owns a person's home.
fn logins(person: &Chat) -> u32 {
    let found = finding(person, "logins");
    found.split(' ').next().and_then(|count| count.parse().ok()).expect("a number")
}

/// Somebody listens, and so owns the session: other commands go through it.
struct Listening {
    tail: Child,
    heard: Lines,
}

impl Listening {
    fn start(person: &Chat) -> Self {
        let mut tail = person.command(["tail", "#sea", "-n", "20"]).spawn().expect("it runs");
        let heard = Lines::of(tail.stdout.take().expect("it is piped"));
        Self { tail, heard }
    }

    fn wait_for(&self, text: &str) {
        self.heard.wait_for(text, |line| line.contains(text));
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.tail.kill();
        let _ = self.tail.wait();
    }
}

fn relay_options(directory: &tempfile::TempDir) -> RelayOptions {
    let binary: PathBuf = relay_binary().expect("built");
    RelayOptions::new(binary, Directory::join(directory.path(), "relay"))
}

fn finish(mut child: Child) {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("our child") {
            let mut told = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                stderr.read_to_string(&mut told).expect("text");
            }
            assert!(status.success(), "{status}: {told}");
            return;
        }
        if began.elapsed() > WITHIN {
            child.kill().expect("our child");
            panic!("not done within {WITHIN:?}");
        }
        thread::sleep(20 * MS);
    }
}

#[test]
fn every_message_once_and_in_order_where_every_fifth_datagram_is_lost() {
    let scene = Scene::by_proxy(bad());
    scene.talk(MESSAGES);
    assert!(scene.path.carried() > 0, "it went that way");
}

#[test]
fn a_session_outlives_a_path_that_is_dark_for_a_while() {
    let scene = Scene::by_proxy(Faults { delay: 5 * MS, ..Faults::default() });
    let ada = Listening::start(&scene.people[0]);
    let first = scene.people[1].run(["send", "#sea", "before"]).expect("it runs");
    assert!(first.status.success());
    ada.wait_for("before");
    scene.path.go_dark(Duration::from_secs(6));
    let sent = scene.people[1].run(["send", "#sea", "after"]).expect("it runs");
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    ada.wait_for("after");
}
