//! The same between two networks, where the kernel drops what is to be lost: sockets, addresses and
//! offloads are those of a real path. Where the system gives us no such networks, a proxy stands in,
//! and the test says so.

use std::{
    thread,
    time::{Duration, Instant},
};

use harness::{
    chat::Chat,
    network::{FAR_V4, Fate, Rule, What},
    path::Path,
};
use protocol::lab::fault::Faults;

use super::{Listening, Scene, bad, finding, finish, logins, network};

const INSTEAD: &str = "a proxy on loopback stands in";

const MESSAGES: usize = 1_000;
const LOST_PERCENT: u8 = 20;
const MARKED_PERCENT: u8 = 10;
/// Longer than any timer that may send again, shorter than a silent session lives.
const DARK: Duration = Duration::from_secs(20);

#[test]
fn a_thousand_each_way_on_a_cable_that_loses_a_fifth() {
    let Some(network) = network(INSTEAD) else { return Scene::by_proxy(bad()).talk(MESSAGES) };
    let scene = Scene::by_cable(network, FAR_V4, "udp");
    let lossy = Rule { what: What::Udp, percent: LOST_PERCENT, fate: Fate::Drop };
    scene.path.impose(&[lossy]).expect("the kernel does");
    scene.talk(MESSAGES);
    let lost = scene.path.counted().expect("the kernel says");
    assert!(lost.iter().all(|count| *count > 50), "only {lost:?} packets were lost");
}

#[test]
fn marks_of_a_busy_router_are_heard_in_both_directions() {
    let Some(network) = network("marks are not tested") else { return };
    let scene = Scene::by_cable(network, FAR_V4, "udp");
    let ada = &scene.people[0];
    let _ada_hears = Listening::start(ada);
    let busy = Rule { what: What::Udp, percent: MARKED_PERCENT, fate: Fate::Mark };
    scene.path.impose(&[busy]).expect("the kernel does");
    finish(scene.say(0, MESSAGES));
    let [to_client, to_relay] = scene.path.counted().expect("the kernel says");
    assert!(to_client > 0 && to_relay > 0, "both take part");
    // What the relay was told by the kernel, it told the client.
    assert_ne!(finding(ada, "udp marked").split(' ').next(), Some("0"));
}

#[test]
fn what_is_written_while_a_cable_is_cut_arrives_on_the_same_login() {
    if let Some(network) = network(INSTEAD) {
        let scene = Scene::by_cable(network, FAR_V4, "udp");
        outage(
            &scene,
            |network| network.impose(&[Rule::block(What::All)]).expect("the kernel does"),
            |network| network.impose(&[]).expect("the kernel does"),
        );
    } else {
        let scene = Scene::by_proxy(Faults::default());
        outage(&scene, |path| path.go_dark(2 * DARK), Path::go_light);
    }
}

fn outage<P>(scene: &Scene<P>, cut: impl FnOnce(&P), mend: impl FnOnce(&P)) {
    let [ada, bea] = &scene.people;
    let (ada_hears, _bea_hears) = (Listening::start(ada), Listening::start(bea));
    let before = bea.run(["send", "#sea", "before"]).expect("it runs");
    assert!(before.status.success(), "{}", String::from_utf8_lossy(&before.stderr));
    ada_hears.wait_for("before");
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
    ada_hears.wait_for("meanwhile");
    assert!(!is_queued(bea, "meanwhile"));
    assert_eq!([ada, bea].map(logins), [1, 1], "no login but the first");
}

fn is_queued(person: &Chat, text: &str) -> bool {
    let outbox = person.run(["outbox"]).expect("it runs");
    assert!(outbox.status.success(), "{}", String::from_utf8_lossy(&outbox.stderr));
    String::from_utf8_lossy(&outbox.stdout).lines().any(|line| line.contains(text))
}
