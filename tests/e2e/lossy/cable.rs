//! The same between two networks, where the kernel drops what is to be lost: sockets, addresses and
//! offloads are those of a real path. Where the system gives us no such networks, a proxy stands in,
//! and the test says so.

use std::{
    io::{self, Write as _},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use harness::{
    chat::Chat,
    lines::Lines,
    network::{FAR_V4, Network, Rule, What},
    path::Path,
};
use protocol::lab::fault::Faults;

use super::{Scene, bad, finish};

const MESSAGES: usize = 1_000;
const LOST_PERCENT: u8 = 20;
/// Longer than any timer that may send again, shorter than a silent session lives.
const DARK: Duration = Duration::from_secs(20);

/// Two networks, or the reason why there are none, where a person sees it: the test runs otherwise.
fn network() -> Option<Network> {
    Network::new()
        .inspect_err(|error| {
            // Not by a macro: the test's output is shown only if it fails.
            let note = "note: no networks of our own, a proxy on loopback stands in";
            let _ = writeln!(io::stderr(), "{note}: {}", error.to_string().trim_end());
        })
        .ok()
}

#[test]
fn a_thousand_each_way_on_a_cable_that_loses_a_fifth() {
    let Some(network) = network() else { return Scene::by_proxy(bad()).talk(MESSAGES) };
    let scene = Scene::by_cable(network, FAR_V4, "udp");
    let lossy = Rule { what: What::Udp, percent: LOST_PERCENT };
    scene.path.drop_only(&[lossy]).expect("the kernel does");
    scene.talk(MESSAGES);
    let dropped = scene.path.dropped().expect("the kernel says");
    assert!(dropped > 100, "only {dropped} packets were lost");
}

#[test]
fn what_is_written_while_a_cable_is_cut_arrives_on_the_same_login() {
    if let Some(network) = network() {
        let scene = Scene::by_cable(network, FAR_V4, "udp");
        outage(
            &scene,
            |network| network.drop_only(&[Rule::block(What::All)]).expect("the kernel does"),
            |network| network.drop_only(&[]).expect("the kernel does"),
        );
    } else {
        let scene = Scene::by_proxy(Faults::default());
        outage(&scene, |path| path.go_dark(2 * DARK), Path::go_light);
    }
}

fn outage<P>(scene: &Scene<P>, cut: impl FnOnce(&P), mend: impl FnOnce(&P)) {
    let [ada, bea] = &scene.people;
    // Whoever listens owns the session; other commands go through it.
    let (mut listening, heard): (Vec<Child>, Vec<Lines>) =
        [ada, bea].map(listen).into_iter().unzip();
    let before = bea.run(["send", "#sea", "before"]).expect("it runs");
    assert!(before.status.success(), "{}", String::from_utf8_lossy(&before.stderr));
    heard[0].wait_for("the first message", |line| line.contains("before"));
    assert_eq!([ada, bea].map(logins), [1, 1]);

    cut(&scene.path);
    let began = Instant::now();
    let sending = bea.command(["send", "#sea", "meanwhile"]).spawn().expect("it runs");
    while !is_queued(bea, "meanwhile") {
        assert!(began.elapsed() < DARK, "the message is not in the outbox");
    }
    // The outage is this long; nothing is waited for.
    thread::sleep(DARK.saturating_sub(began.elapsed()));
    assert!(is_queued(bea, "meanwhile"), "nothing came through");
    mend(&scene.path);

    finish(sending);
    heard[0].wait_for("the second message", |line| line.contains("meanwhile"));
    assert!(!is_queued(bea, "meanwhile"));
    assert_eq!([ada, bea].map(logins), [1, 1], "no login but the first");
    for child in &mut listening {
        child.kill().expect("our child");
        child.wait().expect("our child");
    }
}

fn listen(person: &Chat) -> (Child, Lines) {
    let mut tail = person.command(["tail", "#sea", "-n", "20"]).spawn().expect("it runs");
    let lines = Lines::of(tail.stdout.take().expect("it is piped"));
    (tail, lines)
}

fn is_queued(person: &Chat, text: &str) -> bool {
    let outbox = person.run(["outbox"]).expect("it runs");
    assert!(outbox.status.success(), "{}", String::from_utf8_lossy(&outbox.stderr));
    String::from_utf8_lossy(&outbox.stdout).lines().any(|line| line.contains(text))
}

/// How often the relay has welcomed the process that owns a person's home.
fn logins(person: &Chat) -> u32 {
    // It fails where the relay is not to be reached by TCP, and says the rest all the same.
    let checks = person.run(["doctor", "--json"]).expect("it runs").stdout;
    let checks = checks.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut checks = checks.map(|line| serde_json::from_slice(line).expect("JSON"));
    let check = checks.find(|check: &serde_json::Value| check["check"] == "logins");
    let found = check.as_ref().and_then(|check| check["found"].as_str()).expect("doctor says");
    found.split(' ').next().and_then(|count| count.parse().ok()).expect("a number")
}
