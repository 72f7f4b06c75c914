//! A relay with the laboratory, on real sockets: what people notice of it, and who.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::{fs, io, net::SocketAddr, path::Path, time::Duration};

use chat_server::{
    config::Config,
    lab::{Allowed, LabSettings},
};
use protocol::{
    ids::ConversationId,
    lab::order::Wanted,
    message::{ClientMessage, RelayMessage, record::Content, session::Ping},
};

#[allow(dead_code, reason = "each test binary uses another part")]
mod client;
use client::{Identity, PATIENCE, datagrams::Client, relay::Relay};

const PEOPLE: [&str; 2] = ["ann", "bob"];
const MESSAGES: u64 = 100;

/// What is asked for of the paths of these addresses.
fn lab(order: &str, allowed: &[&str]) -> LabSettings {
    let mut wanted = Wanted::default();
    wanted.follow(&order.parse().unwrap(), Duration::ZERO).unwrap();
    let allowed = allowed.iter().map(|network| network.parse().unwrap()).collect();
    LabSettings::new(&wanted, 7, Allowed::only(allowed))
}

fn connect(relay: &Relay, from: &str, identity: &Identity) -> io::Result<Client> {
    let source: SocketAddr = format!("{from}:0").parse().unwrap();
    Client::connect([source, relay.address], relay.key, identity, PATIENCE)
}

/// Says a hundred things, and waits until all of them are durable and everybody's have come.
fn converse(client: &mut Client, identity: &Identity, lobby: ConversationId) -> Vec<Vec<u8>> {
    for counter in 1..=MESSAGES {
        let body = format!("{} {counter}", identity.name());
        client.begin_to_say(identity, lobby, counter, body.as_bytes());
    }
    let (mut accepted, mut heard) = (0, Vec::new());
    client.wait(|message| {
        match message {
            RelayMessage::Accepted(_) => accepted += 1,
            RelayMessage::Rejected(rejected) => panic!("rejected: {}", rejected.refusal),
            RelayMessage::Records(records) => {
                let bodies = records.run.records().filter_map(|record| {
                    let (_, record) = record.unwrap();
                    body_of(&record.content)
                });
                heard.extend(bodies);
            }
            _ => {}
        }
        (accepted == MESSAGES && heard.len() as u64 >= 2 * MESSAGES).then_some(())
    });
    heard
}

/// What one of the two has said; the relay's notices are bodies, too.
fn body_of(content: &Content<'_>) -> Option<Vec<u8>> {
    match content {
        Content::Body(body) => {
            PEOPLE.iter().any(|name| body.starts_with(name.as_bytes())).then(|| body.to_vec())
        }
        Content::Erased(_) => None,
    }
}

/// How many events of this name the relay has written down.
fn traced(directory: &Path, event: &str) -> usize {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let traces = files.filter(|path| path.extension().is_some_and(|it| it == "sqlog"));
    traces.map(|path| fs::read_to_string(path).unwrap().matches(event).count()).sum()
}

#[test]
fn through_the_lab_everything_said_arrives_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("traces");
    let relay = Relay::start(dir.path(), |config: &mut Config| {
        config.lab = Some(lab("loss 20%", &[]));
        config.settings.server.trace = trace.display().to_string();
        config.settings.limits.messages_per_second = 0;
    });
    let people = PEOPLE.map(Identity::new);
    let mut clients = people.each_ref().map(|identity| {
        let client = connect(&relay, "127.0.0.1", identity).unwrap();
        client.attached(identity.register())
    });
    let lobby = clients.each_mut().map(|client| client.join("lobby"))[0];
    for client in &mut clients {
        client.follow(lobby, u32::MAX);
    }
    let heard = std::thread::scope(|scope| {
        let pairs = clients.iter_mut().zip(&people);
        let threads =
            pairs.map(|(client, identity)| scope.spawn(move || converse(client, identity, lobby)));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(heard[0], heard[1], "everybody hears the same");
    for identity in &people {
        let said = (1..=MESSAGES).map(|counter| format!("{} {counter}", identity.name()));
        let of_them = |body: &&Vec<u8>| body.starts_with(identity.name().as_bytes());
        let heard = heard[0].iter().filter(of_them).map(|body| String::from_utf8_lossy(body));
        assert_eq!(heard.collect::<Vec<_>>(), said.collect::<Vec<_>>(), "once, and in order");
    }
    relay.stop();
    let lost = traced(&trace, "recovery:packet_lost");
    // Lost for sure, or not heard of for too long.
    let again = ["retransmit_reordered", "pto_probe"]
        .map(|why| traced(&trace, &format!("\"trigger\":\"{why}\"")));
    assert!(lost > 0 && again != [0, 0], "noticed {lost} losses, and sent {again:?} packets again");
}

#[test]
fn the_lab_leaves_those_alone_who_are_not_on_its_list() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab("loss 100%", &["127.0.0.2"]);
    let relay = Relay::start(dir.path(), |config| config.lab = Some(lab));
    let (ann, bob) = (Identity::new("ann"), Identity::new("bob"));
    let mut client = connect(&relay, "127.0.0.1", &ann).unwrap().attached(ann.register());
    let mut ping = |token| {
        client.send(&ClientMessage::Ping(Ping { token })).unwrap();
        client.wait(|message| match message {
            RelayMessage::Pong(pong) => Some(pong.token),
            _ => None,
        })
    };
    assert_eq!(ping(1), 1);
    let source = ["127.0.0.2:0".parse().unwrap(), relay.address];
    let listed = Client::connect(source, relay.key, &bob, Duration::from_millis(500));
    assert_eq!(listed.err().map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
    assert_eq!(ping(2), 2, "still");
    // Nothing is done to streams.
    relay.attach_new(&bob);
}
