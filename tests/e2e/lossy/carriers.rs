//! `--transport auto` where not everything gets through: datagrams if they do, a stream if only that
//! does, and back. What carries a session is asked of `doctor`, never guessed from the time it takes.

use std::time::{Duration, Instant};

use harness::{
    chat::Chat,
    network::{FAR_V4, FAR_V6, Network, Rule, What},
};
use protocol::invitation::{Invitation, RelayAddress};

use super::{Listening, Scene, finding, logins, network};

/// Each says once in a process that datagrams do not get through.
const NOTE: &str = "note: datagrams (udp) get no answer";
/// On a slow machine, too.
const WITHIN: Duration = Duration::from_secs(60);

/// Without networks there is nothing to block; that is said.
fn scene(host: &str) -> Option<Scene<Network>> {
    let network = network("what carries a session past a wall is not tested")?;
    Some(Scene::by_cable(network, host, "auto"))
}

impl Scene<Network> {
    fn block(&self, rules: &[Rule]) {
        self.path.impose(rules).expect("the kernel does");
    }
}

/// Says something; how often it was told that datagrams fail.
fn say(person: &Chat, text: &str) -> usize {
    let sent = person.run(["send", "#sea", text]).expect("it runs");
    let told = String::from_utf8_lossy(&sent.stderr);
    assert!(sent.status.success(), "{told}");
    told.matches(NOTE).count()
}

fn wait_for_transport(person: &Chat, is_it: impl Fn(&str) -> bool) {
    let began = Instant::now();
    loop {
        let transport = finding(person, "transport");
        if is_it(&transport) {
            return;
        }
        assert!(began.elapsed() < WITHIN, "it is {transport}");
    }
}

#[test]
fn datagrams_carry_the_session_where_everything_gets_through() {
    let Some(scene) = scene(FAR_V4) else { return };
    let [ada, bea] = &scene.people;
    let ada_hears = Listening::start(ada);
    assert_eq!(say(bea, "hello"), 0);
    ada_hears.wait_for("hello");
    assert_eq!([ada, bea].map(|person| finding(person, "transport")), ["udp", "udp"]);
}

#[test]
fn a_stream_stands_in_where_datagrams_are_blocked_until_they_get_through_again() {
    let Some(scene) = scene(FAR_V4) else { return };
    let [ada, bea] = &scene.people;
    scene.block(&[Rule::block(What::Udp)]);
    assert_eq!(say(bea, "one"), 1, "it is said");
    assert_eq!(say(bea, "two"), 0, "it is remembered, and not said again");
    let by_stream = |transport: &str| transport.starts_with("tcp: datagrams (udp) get no answer");
    assert!(by_stream(&finding(bea, "transport")));
    let ada_hears = Listening::start(ada);
    ada_hears.wait_for("two");
    assert!(by_stream(&finding(ada, "transport")));

    scene.block(&[]);
    wait_for_transport(ada, |transport| transport == "udp");
    assert_eq!(logins(ada), 2, "once on each");
    assert_eq!(say(ada, "three"), 0);
    ada_hears.wait_for("three");
    drop(ada_hears);
    assert_eq!(finding(ada, "transport"), "udp", "that is remembered, too");
}

#[test]
fn a_session_whose_datagrams_stop_goes_on_by_a_stream() {
    let Some(scene) = scene(FAR_V4) else { return };
    let [ada, bea] = &scene.people;
    let (ada_hears, _bea_hears) = (Listening::start(ada), Listening::start(bea));
    say(bea, "before");
    ada_hears.wait_for("before");
    assert_eq!([ada, bea].map(|person| finding(person, "transport")), ["udp", "udp"]);
    scene.block(&[Rule::block(What::Udp)]);
    say(bea, "past the wall");
    ada_hears.wait_for("past the wall");
    for person in [ada, bea] {
        assert!(finding(person, "transport").starts_with("tcp: "));
        assert_eq!(logins(person), 2, "once on each");
    }
}

#[test]
fn datagrams_carry_the_session_where_streams_are_blocked() {
    let Some(scene) = scene(FAR_V4) else { return };
    let [ada, bea] = &scene.people;
    scene.block(&[Rule::block(What::Tcp)]);
    let ada_hears = Listening::start(ada);
    assert_eq!(say(bea, "by datagrams alone"), 0);
    ada_hears.wait_for("by datagrams alone");
    assert_eq!(finding(ada, "transport"), "udp");
}

#[test]
fn the_other_family_is_used_where_one_leads_nowhere() {
    let Some(scene) = scene("[::]") else { return };
    let [ada, bea] = &scene.people;
    let invitation = scene.invitation();
    let through = |host: &str| Invitation {
        address: RelayAddress::new(host, invitation.address.port()).expect("an address"),
        ..invitation.clone()
    };
    // The relay is known at both from now on.
    for host in [FAR_V4, FAR_V6] {
        let bea = bea.clone().with_invitation(&through(host));
        assert_eq!(say(&bea, host), 0);
        assert!(finding(&bea, "socket peer address").contains(host));
    }
    scene.block(&[Rule::block(What::V6)]);
    let bea = bea.clone().with_invitation(&through(FAR_V6));
    let ada_hears = Listening::start(&ada.clone().with_invitation(&through(FAR_V4)));
    assert_eq!(say(&bea, "by the other family"), 0, "and by datagrams");
    ada_hears.wait_for("by the other family");
    assert!(finding(&bea, "socket peer address").contains(FAR_V4));
}
