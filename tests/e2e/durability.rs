//! *Sent* means on the relay's disk, *queued* means on ours: seen in the order of system calls, and
//! in what a power cut leaves.
//!
//! The tests fail without syncs, which two of them show.

use std::{
    path::{Path, PathBuf},
    process::Child,
    time::SystemTime,
};

use harness::{
    chat::Chat,
    identity::Identity,
    process::{Ready, RelayOptions, RelayProcess, relay_binary},
    strace::{Call, after_power_cut, wrapper},
};
use protocol::{
    entropy::Entropy,
    ids::ConversationId,
    message::{ClientMessage, RelayMessage, session::Accepted},
};

use crate::single::{connect, message, read_from_start, runtime};

const MESSAGES: u64 = 60;
/// Turns the relay's syncs off: for this test alone.
const NO_SYNC: &str = "CHAT_SERVER_TEST_NO_SYNC";

/// What one traced life of a relay left.
struct Life {
    calls: Vec<Call>,
    accepted: Vec<Accepted>,
    room: ConversationId,
    identity: Identity,
    /// When the first message was offered, in seconds since 1970.
    first_offered: f64,
}

/// Sends messages one at a time to a traced relay, then kills it.
fn live(directory: &Path, settings: &[(&str, &str)]) -> Life {
    let data_dir = directory.join("data");
    let (traced, files) = wrapper(&relay_binary().expect("built"), directory).expect("a script");
    let mut options = RelayOptions::new(traced, &data_dir);
    options.settings = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let relay = RelayProcess::start(&options).expect("the relay starts under strace");
    let identity = Identity::generate("ada", &mut Entropy::system());
    let (accepted, room, first_offered) = runtime().block_on(async {
        let mut client = connect(relay.endpoint(), &identity).await;
        client.attach(identity.register()).await.expect("registers");
        let room = client.join("lobby").await.expect("joins").id;
        let first_offered = seconds_now();
        let mut accepted = Vec::new();
        for counter in 1..=MESSAGES {
            client.queue(&ClientMessage::Send(message(&identity, room, counter))).expect("live");
            client.flush().await.expect("live");
            let answer = client.wait_for(|message| match message {
                RelayMessage::Accepted(accepted) => Some(accepted),
                _ => None,
            });
            accepted.push(answer.await.expect("accepted"));
        }
        (accepted, room, first_offered)
    });
    relay.kill().expect("it can be killed");
    let calls = files.calls().expect("a trace");
    Life { calls, accepted, room, identity, first_offered }
}

fn seconds_now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("a clock after 1970").as_secs_f64()
}

/// How many answers left before a sync that began after the message came.
fn answers_before_sync(life: &Life) -> usize {
    let socket = |call: &&Call| call.begun > life.first_offered;
    let reads = life.calls.iter().filter(socket).filter(|call| call.is_socket_read());
    reads
        .filter(|read| {
            let same = |call: &&Call| call.on == read.on && call.is_socket_write();
            let answer = life.calls.iter().filter(same).find(|call| call.begun >= read.ended);
            answer.is_some_and(|answer| {
                !life.calls.iter().any(|sync| {
                    let wrote = |call: &Call| {
                        call.is_file_write()
                            && call.on == sync.on
                            && call.begun >= read.ended
                            && call.ended <= sync.begun
                    };
                    sync.is_sync()
                        && sync.on.contains("journal")
                        && sync.begun >= read.ended
                        && sync.ended <= answer.begun
                        && life.calls.iter().any(wrote)
                })
            })
        })
        .count()
}

/// How many accepted messages are missing after a power cut.
fn lost_by_relay(life: &Life, directory: &Path) -> usize {
    let left = directory.join("left");
    after_power_cut(&life.calls, &directory.join("data"), &left).expect("rebuilt");
    let options = RelayOptions::new(relay_binary().expect("built"), &left);
    let relay = match RelayProcess::start(&options) {
        Ok(relay) => relay,
        Err(error) => {
            eprintln!("nothing can be had of what is left: {error}");
            return life.accepted.len();
        }
    };
    let found = runtime().block_on(async {
        let mut client = connect(relay.endpoint(), &life.identity).await;
        let Ok((_, conversations)) = client.attach(life.identity.attach()).await else { return 0 };
        let Some(room) = conversations.iter().find(|info| info.id == life.room) else { return 0 };
        let wanted: Vec<_> = life.accepted.iter().filter(|a| a.seq <= room.head).collect();
        if wanted.is_empty() {
            return 0;
        }
        let places = read_from_start(&mut client, room.id, room.head).await;
        wanted.iter().filter(|accepted| places.contains(&accepted.seq)).count()
    });
    life.accepted.len() - found
}

#[test]
fn every_sent_comes_after_a_sync_of_the_journal_that_began_after_its_write() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let life = live(directory.path(), &[]);
    assert_eq!(life.accepted.len() as u64, MESSAGES);
    assert_eq!(answers_before_sync(&life), 0);
}

#[test]
fn nothing_that_was_sent_is_lost_in_a_power_cut() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let life = live(directory.path(), &[]);
    assert_eq!(lost_by_relay(&life, directory.path()), 0);
}

#[test]
fn a_relay_that_does_not_sync_is_found_out_by_both() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let life = live(directory.path(), &[(NO_SYNC, "1")]);
    assert!(answers_before_sync(&life) > 0, "answers without syncs are noticed");
    assert!(lost_by_relay(&life, directory.path()) > 0, "losses are noticed");
}

/// Leaves messages in the outbox of a client whose relay has gone; the client, and what it asked of
/// the kernel in its whole life.
fn queue(directory: &Path) -> (Chat, Vec<Call>) {
    let options = RelayOptions::new(relay_binary().expect("built"), directory.join("data"));
    let relay = RelayProcess::start(&options).expect("the relay starts");
    let Ready { tcp, key, .. } = relay.ready();
    let ada = Chat::new(directory.join("home"), *tcp, key, "ada").expect("built");
    let (script, files) = wrapper(&Chat::binary().expect("built"), directory).expect("a script");
    let traced = ada.clone().with_binary(script);
    let output = traced.run(["send", "#lobby", "hello"]).expect("the client starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    relay.kill().expect("it can be killed");

    let lines: Vec<_> = (1..=MESSAGES).map(|number| format!("message {number}")).collect();
    let child = traced.feed(["send", "#lobby", "--lines", "--no-wait", "--json"], lines.join("\n"));
    let output = child.and_then(Child::wait_with_output).expect("the client starts");
    let queued = String::from_utf8_lossy(&output.stdout).lines().count();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(queued as u64, MESSAGES, "all are in the outbox: {stderr}");
    (ada, files.calls().expect("a trace"))
}

/// How many messages the outbox has after a power cut right after these calls.
fn left_in_outbox(ada: &Chat, calls: &[Call], left: PathBuf) -> usize {
    after_power_cut(calls, ada.home(), &left).expect("rebuilt");
    let output = ada.clone().with_home(left).run(["outbox", "--json"]);
    let output = output.expect("the client starts");
    String::from_utf8_lossy(&output.stdout).lines().count()
}

#[test]
fn what_a_client_reports_as_queued_is_in_its_outbox_after_a_power_cut() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (ada, calls) = queue(directory.path());
    let reports = |call: &Call| {
        let text = String::from_utf8_lossy(&call.bytes()).into_owned();
        if call.is_pipe_write() { text.matches("\"queued\"").count() } else { 0 }
    };
    let mut reported = 0;
    for (place, call) in calls.iter().enumerate().filter(|(_, call)| reports(call) > 0).step_by(20)
    {
        reported = calls[..=place].iter().map(reports).sum();
        let left = directory.path().join(format!("left{place}"));
        let left = left_in_outbox(&ada, &calls[..place], left);
        assert!(left >= reported, "{left} are left of {reported}, the last of them by {call:?}");
    }
    assert!(reported > 0, "some were looked at");

    let unsynced: Vec<_> = calls.into_iter().filter(|call| !call.is_sync()).collect();
    let left = left_in_outbox(&ada, &unsynced, directory.path().join("lost"));
    assert_eq!(left, 0, "losses are noticed");
}
