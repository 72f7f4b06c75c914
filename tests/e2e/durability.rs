//! *Sent* means on the disk: seen in the order of system calls.
//!
//! The test fails when syncing is switched off, which the last one shows.

use std::{path::Path, time::SystemTime};

use harness::{
    identity::Identity,
    process::{RelayOptions, RelayProcess, relay_binary},
    strace::{Call, wrapper},
};
use protocol::{
    entropy::Entropy,
    message::{ClientMessage, RelayMessage, session::Accepted},
};

use crate::single::{connect, message, runtime};

const MESSAGES: u64 = 60;
/// Turns the relay's syncs off: for this test alone.
const NO_SYNC: &str = "CHAT_SERVER_TEST_NO_SYNC";

/// What one traced life of a relay left.
struct Life {
    calls: Vec<Call>,
    accepted: Vec<Accepted>,
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
    let (accepted, first_offered) = runtime().block_on(async {
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
        (accepted, first_offered)
    });
    relay.kill().expect("it can be killed");
    let calls = files.calls().expect("a trace");
    Life { calls, accepted, first_offered }
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

#[test]
fn every_sent_comes_after_a_sync_of_the_journal_that_began_after_its_write() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let life = live(directory.path(), &[]);
    assert_eq!(life.accepted.len() as u64, MESSAGES);
    assert_eq!(answers_before_sync(&life), 0);
}

#[test]
fn a_relay_that_does_not_sync_is_found_out() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let life = live(directory.path(), &[(NO_SYNC, "1")]);
    assert!(answers_before_sync(&life) > 0, "answers without syncs are noticed");
}
