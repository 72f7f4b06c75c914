//! A relay in this process, on real sockets and a real disk.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use chat_server::{Server, config::Config};
use protocol::{
    limits::PACKET_BYTES_BEFORE_LOGIN_MAX,
    message::{ClientMessage, RelayMessage},
};

#[allow(dead_code, reason = "each test binary uses another part")]
mod client;
use client::{Identity, relay::Relay, stream::Client};

/// True if the relay closes the connection without an answer, or refuses it.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_))
}

#[test]
fn what_one_says_the_others_receive_and_a_restart_keeps() {
    let dir = tempfile::tempdir().unwrap();
    let (ann, bob) = (Identity::new("ann"), Identity::new("bob"));
    let relay = Relay::start(dir.path(), |_| {});
    let key = relay.key;
    let mut ann_client = relay.attach_new(&ann);
    let mut bob_client = relay.attach_new(&bob);
    let lobby = ann_client.join("lobby");
    assert_eq!(bob_client.join("lobby"), lobby);
    ann_client.follow(lobby, 100);
    bob_client.follow(lobby, 100);
    let accepted = ann_client.say(&ann, lobby, 1, b"hello");
    assert_eq!(bob_client.wait_for_body(b"hello"), accepted.seq);
    let answer = bob_client.say(&bob, lobby, 1, b"hello yourself");
    assert_eq!(ann_client.wait_for_body(b"hello yourself"), answer.seq);
    relay.stop();
    ann_client.wait_for_end();

    let relay = Relay::start(dir.path(), |_| {});
    assert_eq!(relay.key, key, "it is the same relay");
    let mut bob_client = relay.attach(&bob);
    bob_client.follow(lobby, 100);
    assert_eq!(bob_client.wait_for_body(b"hello"), accepted.seq);
    let mut ann_client = relay.attach(&ann);
    let repeated = ann_client.say(&ann, lobby, 1, b"hello");
    assert_eq!(repeated.seq, accepted.seq, "a retry has its place already");
}

#[test]
fn a_session_is_superseded_by_the_same_device() {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::start(dir.path(), |_| {});
    let ann = Identity::new("ann");
    let mut first = relay.attach_new(&ann);
    let _second = relay.attach(&ann);
    first.wait_for_end();
}

#[test]
fn a_second_relay_on_the_same_port_does_not_start() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    // Several sockets of one port are no invitation.
    let relay = Relay::start(dirs[0].path(), |config| config.settings.server.shards = 4);
    let mut config = Config::default();
    config.settings.server.listen = vec![relay.address];
    config.settings.server.shards = 4;
    dirs[1].path().clone_into(&mut config.settings.server.data_dir);
    let error = Server::bind(config).err().unwrap();
    assert_eq!(error.to_string(), format!("cannot listen on {}", relay.address));
}

#[test]
fn at_the_limit_of_connections_one_more_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::start(dir.path(), |config| config.settings.limits.connections_max = 2);
    let (ann, bob) = (Identity::new("ann"), Identity::new("bob"));
    let _first = relay.attach_new(&ann);
    let second = relay.attach_new(&bob);
    let mut third = TcpStream::connect(relay.address).unwrap();
    assert!(is_closed(&mut third));
    drop(second);
    // The place is free once the relay has noticed.
    let patience = Instant::now() + Duration::from_secs(20);
    while Client::connect(relay.address, relay.key, &bob).is_err() {
        assert!(Instant::now() < patience, "the place stays taken");
    }
}

#[test]
fn at_the_limit_of_one_address_one_more_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let relay =
        Relay::start(dir.path(), |config| config.settings.limits.connections_per_address_max = 1);
    let ann = Identity::new("ann");
    let _first = relay.attach_new(&ann);
    let mut second = TcpStream::connect(relay.address).unwrap();
    assert!(is_closed(&mut second));
}

#[test]
fn a_connection_that_does_not_log_in_in_time_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::start(dir.path(), |config| {
        config.settings.limits.login_time = Duration::from_secs(1);
    });
    let ann = Identity::new("ann");
    let mut silent = TcpStream::connect(relay.address).unwrap();
    let mut trickling = TcpStream::connect(relay.address).unwrap();
    trickling.write_all(&[0]).unwrap();
    let mut without_attach = Client::connect(relay.address, relay.key, &ann).unwrap();
    let mut attached = relay.attach_new(&ann);
    assert!(is_closed(&mut silent));
    assert!(is_closed(&mut trickling));
    without_attach.wait_for_end();
    attached.join("lobby");
}

#[test]
fn when_too_many_are_logging_in_the_one_silent_longest_goes() {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::start(dir.path(), |config| {
        config.settings.server.shards = 1;
        config.settings.limits.logins_pending_max = 2;
        config.settings.limits.login_time = Duration::from_secs(60);
    });
    let mut first = TcpStream::connect(relay.address).unwrap();
    let second = TcpStream::connect(relay.address).unwrap();
    // One above the limit: the first makes room, and a real client still gets in.
    let ann = Identity::new("ann");
    let mut attached = relay.attach_new(&ann);
    assert!(is_closed(&mut first));
    attached.join("lobby");
    drop(second);
}

#[test]
fn a_packet_above_the_limit_ends_the_connection_and_one_at_it_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::start(dir.path(), |config| {
        config.settings.limits.login_time = Duration::from_secs(60);
    });
    let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
    let mut above = TcpStream::connect(relay.address).unwrap();
    above.write_all(&length(PACKET_BYTES_BEFORE_LOGIN_MAX + 1)).unwrap();
    assert!(is_closed(&mut above), "refused by its length alone");

    let mut at_limit = TcpStream::connect(relay.address).unwrap();
    at_limit.write_all(&length(PACKET_BYTES_BEFORE_LOGIN_MAX)).unwrap();
    at_limit.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let still_open = at_limit.read(&mut [0; 1]).unwrap_err();
    assert!(matches!(
        still_open.kind(),
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
    ));
}

#[test]
fn anything_but_attach_comes_too_early() {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::start(dir.path(), |_| {});
    let ann = Identity::new("ann");
    let mut client = Client::connect(relay.address, relay.key, &ann).unwrap();
    client.send(&ClientMessage::Detach(())).unwrap();
    client.wait_for_end();
}

#[test]
fn the_operator_is_answered_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::start(dir.path(), |_| {});
    let ann = Identity::new("ann");
    let _client = relay.attach_new(&ann);
    assert_eq!(relay.ask("admin add nobody").unwrap_err(), "nobody is called \"nobody\"");
    assert_eq!(relay.ask("admin add ann").unwrap(), "");
    assert!(relay.ask("admin list").unwrap().starts_with("ann\t"));
    assert!(relay.ask("info").unwrap().starts_with("chat://127.0.0.1:"));
    let by_socket = chat_server::control::ask(dir.path(), &"admin list".parse().unwrap());
    assert!(by_socket.unwrap().starts_with("ann\t"));
}

#[test]
fn a_drained_relay_says_goodbye_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::start(dir.path(), |_| {});
    let ann = Identity::new("ann");
    let mut client = relay.attach_new(&ann);
    relay.controller.drain();
    client.wait_for_end();
    let mut relay = relay;
    relay.thread.take().unwrap().join().unwrap();
    assert!(TcpStream::connect(relay.address).is_err(), "nobody listens any more");
}

#[test]
fn a_restored_backup_is_the_same_relay() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    let backup = dir.path().join("backup");
    let relay = Relay::start(&old, |_| {});
    let ann = Identity::new("ann");
    let mut client = relay.attach_new(&ann);
    let lobby = client.join("lobby");
    let accepted = client.say(&ann, lobby, 1, b"kept");
    relay.ask(&format!("backup {}", backup.display())).unwrap();
    client.say(&ann, lobby, 2, b"too late");
    let key = relay.key;
    relay.stop();

    chat_server::backup::restore(&backup, &new).unwrap();
    let relay = Relay::start(&new, |_| {});
    assert_eq!(relay.key, key);
    let mut client = relay.attach(&ann);
    client.follow(lobby, 100);
    assert_eq!(client.wait_for_body(b"kept"), accepted.seq);
}

#[test]
fn what_is_too_old_goes_while_the_relay_serves() {
    let dir = tempfile::tempdir().unwrap();
    let ann = Identity::new("ann");
    let relay = Relay::start(dir.path(), |config| {
        config.settings.limits.records_age_max = Duration::from_millis(500);
    });
    let mut client = relay.attach_new(&ann);
    let lobby = client.join("lobby");
    let said = client.say(&ann, lobby, 1, b"not for long").seq;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        client.follow(lobby, 100);
        let (from, first) = client.wait(|message| match message {
            RelayMessage::Following(following) => Some((following.from, following.first)),
            _ => None,
        });
        if first > said {
            assert_eq!(from, first, "the stream begins behind what is gone");
            break;
        }
        assert!(Instant::now() < deadline, "still there: {first}");
    }
    let answer = client.say(&ann, lobby, 2, b"and it goes on");
    assert_eq!(answer.seq, said.next());
}
