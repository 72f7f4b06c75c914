//! Peers that mean harm: each is stopped at a limit that has a name, at the limit and not one
//! before, while two people go on talking and the relay stays small (P4).
//!
//! This is the short form; `load hostile` attacks for long and measures what it costs the others.

use std::{
    borrow::Cow,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use harness::{
    client::{Client, ClientError, source_address},
    identity::Identity,
    process::{RelayOptions, RelayProcess, relay_binary},
    usage::resident_bytes,
};
use protocol::{
    connection::{Connection, InitiatorConfig},
    entropy::{Entropy, SimRng},
    ids::{ConversationId, Counter, DeviceId, Seq},
    limits::{
        BODY_BYTES_MAX, LIST_ITEMS_MAX, PACKET_BYTES_BEFORE_LOGIN_MAX, REASON_BYTES_MAX,
        TOPIC_BYTES_MAX, UNSETTLED_MAX,
    },
    message::{
        ClientMessage, RelayMessage,
        event::{Body, Text},
        ext::Ext,
        refusal::{Refusal, RefusalCode},
        request::{CreateRoom, Lookup, Request},
        room::{Access, Genesis, Kind},
        session::{Accepted, Follow, Rejected, Send},
    },
    time::WallTime,
};
use serde_bytes::ByteBuf;
use socket2::{Domain, Socket, Type};

use crate::single::{connect, message, runtime};

/// What a relay has to do within, on a slow machine too.
const WITHIN: Duration = Duration::from_secs(60);
/// A time that no test takes: whoever is stopped was not stopped by it.
const NEVER: &str = "1h";
/// What all attacks of a test together may cost in memory (the requirement of the whole product).
const GROWN_BYTES_MAX: u64 = 64 << 20;

/// A relay with two people in its lobby who talk to each other.
struct Scene {
    relay: RelayProcess,
    ada: Identity,
    clients: [Client; 2],
    lobby: ConversationId,
    said: u64,
    senders: u32,
    resident_before: u64,
    // Removed at the end.
    _directory: tempfile::TempDir,
}

impl Scene {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut options = RelayOptions::new(relay_binary().expect("built"), directory.path());
        for (name, value) in settings {
            options.arguments.extend([format!("--{name}"), (*value).to_owned()]);
        }
        let relay = RelayProcess::start(&options).expect("starts");
        let ada = Identity::generate("ada", &mut Entropy::system());
        let bob = Identity::generate("bob", &mut Entropy::system());
        let mut clients =
            [connect(relay.endpoint(), &ada).await, connect(relay.endpoint(), &bob).await];
        for (client, identity) in clients.iter_mut().zip([&ada, &bob]) {
            client.attach(identity.register()).await.expect("registers");
        }
        let lobby = clients[0].join("lobby").await.expect("joins").id;
        clients[1].follow_from_now(lobby).await.expect("a member");
        let resident_before = resident_bytes(relay.pid()).expect("it runs");
        let (said, senders) = (0, 0);
        Self { relay, ada, clients, lobby, said, senders, resident_before, _directory: directory }
    }

    /// The other two are unaffected: what one says is accepted, and the other gets it.
    async fn assert_others_talk(&mut self) {
        self.said += 1;
        let [ada, bob] = &mut self.clients;
        let said = Counter(self.said);
        ada.queue(&ClientMessage::Send(message(&self.ada, self.lobby, self.said))).expect("live");
        ada.flush().await.expect("live");
        let accepted = ada.wait_for(|message| match message {
            RelayMessage::Accepted(accepted) if accepted.counter == said => Some(accepted.seq),
            _ => None,
        });
        let seq = in_time(accepted).await.expect("accepted");
        let received = bob.wait_for(|message| match message {
            RelayMessage::Records(records) => (records.run.last() >= seq).then_some(()),
            _ => None,
        });
        in_time(received).await.expect("received");
    }

    /// A flood that everybody reads, again and again until the relay grows no more: its store's
    /// caches (32 MiB for each of two writers) and what waits for the indexer are there by then, and
    /// what grows from here on is what an attack costs.
    async fn warm_up(&mut self) {
        for _ in 0..WARM_ROUNDS_MAX {
            for _ in 0..FLOOD_SENDERS {
                self.flood().await;
                self.assert_others_talk().await;
            }
            let resident = resident_bytes(self.relay.pid()).expect("it runs");
            let grown = resident.saturating_sub(self.resident_before);
            self.resident_before = resident;
            if grown <= STEADY_BYTES_MAX {
                return;
            }
        }
    }

    /// Another sender's part of a flood; the place of its last message.
    async fn flood(&mut self) -> Seq {
        self.senders += 1;
        flood(&self.relay, self.senders, self.lobby).await
    }

    fn assert_small(&self) {
        let grown =
            resident_bytes(self.relay.pid()).expect("it runs").saturating_sub(self.resident_before);
        assert!(grown <= GROWN_BYTES_MAX, "the relay has grown by {} MiB", grown >> 20);
    }

    fn address(&self) -> SocketAddr {
        self.relay.ready().tcp
    }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(WITHIN, future).await.expect("in time")
}

/// A plain socket from this address.
fn dial(relay: SocketAddr, source: Ipv4Addr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into()).expect("loopback is all ours");
    socket.connect_timeout(&relay.into(), WITHIN).expect("the relay listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(WITHIN)).expect("not zero");
    stream
}

/// What comes until the relay closes. A reset is as good an end as a clean one.
fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "it does not close"),
    }
    bytes
}

/// Asks who listens. An answer proves that the relay still has this connection.
fn is_answered(stream: &mut TcpStream) -> bool {
    let asked = stream.write_all(&[0, 9, 1, 1, 2, 3, 4, 5, 6, 7, 8]);
    let mut front = [0; 3];
    asked.is_ok() && stream.read_exact(&mut front).is_ok() && front[2] == 2
}

/// The first packet of somebody's handshake, as anybody on the path could record it.
fn overheard_hello(relay: &RelayProcess, whose: &Identity) -> Vec<u8> {
    let config = InitiatorConfig::new(relay.endpoint().key, Arc::clone(&whose.channel_key));
    let mut connection = Connection::initiator(&config, &mut Entropy::system()).expect("a key");
    connection.poll_transmit().expect("the hello")
}

#[test]
fn a_hello_that_never_ends_is_cut_at_the_login_time() {
    runtime().block_on(async {
        let mut scene = Scene::new(&[("login-time", "1s")]).await;
        let hello = overheard_hello(&scene.relay, &scene.ada);
        let mut attacker = dial(scene.address(), source_address(10));
        attacker.set_read_timeout(Some(Duration::from_millis(100))).expect("not zero");
        // A byte each tenth of a second, and never the last one.
        let mut is_cut = false;
        for byte in &hello[..hello.len() - 1] {
            let written = attacker.write_all(&[*byte]);
            let mut answer = [0];
            let read = attacker.read(&mut answer);
            is_cut = written.is_err()
                || !read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
            if is_cut {
                break;
            }
        }
        assert!(is_cut, "bytes that trickle in buy no time");
        scene.assert_others_talk().await;
        scene.assert_small();
    });
}

#[test]
fn silent_connections_are_taken_up_to_each_limit_and_not_beyond() {
    runtime().block_on(async {
        let mut scene = Scene::new(&[
            ("login-time", NEVER),
            ("connections-per-address-max", "8"),
            ("connections-max", "30"),
        ])
        .await;
        let address = scene.address();
        let mut crowd: Vec<_> = (0..8).map(|_| dial(address, source_address(20))).collect();
        assert!(read_to_end(&mut dial(address, source_address(20))).is_empty(), "one above");
        assert!(crowd.iter_mut().all(is_answered), "the eight at the limit are kept");

        // With the two people that makes thirty from all addresses together.
        crowd.extend((0..20).map(|number| dial(address, source_address(30 + number))));
        assert!(read_to_end(&mut dial(address, source_address(60))).is_empty(), "one above in all");
        assert!(crowd[8..].iter_mut().all(is_answered), "the thirty at the limit are kept");

        scene.assert_others_talk().await;
        let gone = crowd.pop().expect("twenty-eight");
        gone.shutdown(Shutdown::Both).expect("open");
        drop(gone);
        assert!(is_taken_again(address, source_address(60)), "room is made");
        scene.assert_small();
    });
}

/// Whether the relay takes a connection once it has noticed that another one is gone.
fn is_taken_again(address: SocketAddr, source: Ipv4Addr) -> bool {
    let begun = std::time::Instant::now();
    while begun.elapsed() < WITHIN {
        if is_answered(&mut dial(address, source)) {
            return true;
        }
    }
    false
}

#[test]
fn a_crowd_before_login_cannot_keep_others_out() {
    runtime().block_on(async {
        let mut scene =
            Scene::new(&[("login-time", NEVER), ("logins-pending-max", "16"), ("shards", "1")])
                .await;
        let address = scene.address();
        let mut crowd: Vec<_> = (0..16).map(|n| dial(address, source_address(100 + n))).collect();
        assert!(crowd.iter_mut().all(is_answered), "as many as may wait");
        let carl = Identity::generate("carl", &mut Entropy::system());
        let mut client = in_time(connect(scene.relay.endpoint(), &carl)).await;
        in_time(client.attach(carl.register())).await.expect("logs in through the crowd");
        let mut first = crowd.remove(0);
        let mut rest = [0; 256];
        // Its beacon was read up to three bytes; behind it comes the end.
        while !matches!(first.read(&mut rest), Ok(0) | Err(_)) {}
        scene.assert_others_talk().await;
        scene.assert_small();
    });
}

#[test]
fn garbage_is_not_answered() {
    runtime().block_on(async {
        let mut scene = Scene::new(&[("login-time", NEVER)]).await;
        for seed in 0..200 {
            let mut rng = SimRng::new(seed);
            let mut attacker = dial(scene.address(), source_address(200));
            let mut bytes: Vec<u8> = (0..512).flat_map(|_| rng.next_u64().to_le_bytes()).collect();
            // Half of it framed as a packet that a stranger may send, of each kind in turn.
            if seed % 2 == 0 {
                bytes[..2].copy_from_slice(&2_000_u16.to_be_bytes());
                bytes[2] = u8::try_from(seed / 2 % 9).expect("small");
            }
            // It may be thrown out before it is done.
            let _ = attacker.write_all(&bytes);
            assert!(read_to_end(&mut attacker).is_empty(), "seed {seed}");
        }
        scene.assert_others_talk().await;
        scene.assert_small();
    });
}

#[test]
fn a_packet_larger_than_a_stranger_may_send_ends_at_its_length() {
    runtime().block_on(async {
        let mut scene = Scene::new(&[("login-time", NEVER)]).await;
        let limit = u16::try_from(PACKET_BYTES_BEFORE_LOGIN_MAX).expect("its prefix says it");
        for above in [limit + 1, u16::MAX, 0] {
            let mut attacker = dial(scene.address(), source_address(300));
            attacker.write_all(&above.to_be_bytes()).expect("open");
            assert!(
                read_to_end(&mut attacker).is_empty(),
                "nothing but the length {above} was sent"
            );
        }
        // At the limit it is read to its end, and only then found to be nothing.
        let mut attacker = dial(scene.address(), source_address(300));
        attacker.write_all(&limit.to_be_bytes()).expect("open");
        let packet = vec![9; PACKET_BYTES_BEFORE_LOGIN_MAX];
        attacker.write_all(&packet).expect("not cut at its length");
        assert!(read_to_end(&mut attacker).is_empty());
        scene.assert_others_talk().await;
        scene.assert_small();
    });
}

#[test]
fn a_replayed_hello_displaces_nobody() {
    runtime().block_on(async {
        let mut scene = Scene::new(&[("login-time", NEVER)]).await;
        let hello = overheard_hello(&scene.relay, &scene.ada);
        for _ in 0..50 {
            let mut attacker = dial(scene.address(), source_address(400));
            attacker.write_all(&hello).expect("open");
            let mut front = [0; 3];
            attacker.read_exact(&mut front).expect("it cannot be told from the true one");
            assert_eq!(front[2], 4, "a handshake-reply");
            // Without the key nothing can follow that opens.
            attacker.write_all(&[&[0, 40, 6][..], &[7; 39]].concat()).expect("open");
            read_to_end(&mut attacker);
        }
        scene.assert_others_talk().await;
        scene.assert_small();
    });
}

/// A message whose body has this many bytes.
fn sized(
    identity: &Identity,
    room: ConversationId,
    counter: u64,
    body_bytes: usize,
) -> Send<'static> {
    let body = |words: usize| {
        let text = "x".repeat(words);
        let composed_at = WallTime::default();
        Body::Text(Text { text, composed_at, reply_to: None, ext: Ext::none() }).encode()
    };
    // The length of the words is encoded in one to three bytes.
    let words = (0..=body_bytes).rev().find(|words| body(*words).len() <= body_bytes);
    let body = body(words.expect("a body has more than that"));
    assert_eq!(body.len(), body_bytes);
    Send { body: Cow::Owned(body), ..message(identity, room, counter) }
}

async fn decision(client: &mut Client, send: Send<'static>) -> Result<Accepted, Refusal> {
    client.queue(&ClientMessage::Send(send)).expect("live");
    client.flush().await.expect("live");
    let decision = client.wait_for(|message| match message {
        RelayMessage::Accepted(accepted) => Some(Ok(accepted)),
        RelayMessage::Rejected(Rejected { refusal, .. }) => Some(Err(refusal)),
        _ => None,
    });
    in_time(decision).await.expect("live")
}

async fn refusal(client: &mut Client, request: impl Into<Request>) -> Refusal {
    match in_time(client.request(request)).await {
        Err(ClientError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn room_with_topic(topic_bytes: usize) -> CreateRoom {
    let mut nonce = [0; 16];
    nonce[0] = u8::try_from(topic_bytes % 251).expect("below 251");
    let genesis = Genesis { version: 1, kind: Kind::OPEN_ROOM, creator: None, nonce };
    CreateRoom {
        genesis: ByteBuf::from(genesis.encode()),
        name: format!("room{topic_bytes}"),
        topic: "t".repeat(topic_bytes),
        access: Access::ANYONE,
    }
}

#[test]
fn every_refusal_of_a_size_or_number_says_its_limit() {
    runtime().block_on(async {
        let mut scene = Scene::new(&[]).await;
        let Scene { ada, clients: [client, _], lobby, .. } = &mut scene;
        let lobby = *lobby;
        let taken = decision(client, sized(ada, lobby, 1, BODY_BYTES_MAX)).await;
        taken.expect("a body at the limit is taken");
        let refused = decision(client, sized(ada, lobby, 2, BODY_BYTES_MAX + 1)).await;
        assert_says(&refused.expect_err("one above"), RefusalCode::TOO_LARGE, BODY_BYTES_MAX);

        let devices = |count| Lookup { devices: vec![DeviceId([9; 16]); count] };
        client.request(devices(LIST_ITEMS_MAX)).await.expect("as many as one request may name");
        let refused = refusal(client, devices(LIST_ITEMS_MAX + 1)).await;
        assert_says(&refused, RefusalCode::LIMIT, LIST_ITEMS_MAX);

        let creator = Some(ada.account());
        let mut request = room_with_topic(TOPIC_BYTES_MAX);
        let genesis = |nonce| Genesis { version: 1, kind: Kind::OPEN_ROOM, creator, nonce };
        request.genesis = ByteBuf::from(genesis([1; 16]).encode());
        client.request(request).await.expect("a topic at the limit is taken");
        let mut request = room_with_topic(TOPIC_BYTES_MAX + 1);
        request.genesis = ByteBuf::from(genesis([2; 16]).encode());
        assert_says(&refusal(client, request).await, RefusalCode::TOO_LARGE, TOPIC_BYTES_MAX);
        scene.said = 2;
        scene.assert_others_talk().await;
    });
}

#[track_caller]
fn assert_says(refusal: &Refusal, code: RefusalCode, limit: usize) {
    assert_eq!(refusal.code, code, "{refusal}");
    assert!(refusal.detail.contains(&limit.to_string()), "{refusal} does not say {limit}");
    assert!(refusal.detail.len() <= REASON_BYTES_MAX);
}

#[test]
fn more_unsettled_messages_than_allowed_wait_and_are_taken_later() {
    runtime().block_on(async {
        let mut scene = Scene::new(&[]).await;
        let Scene { ada, clients: [client, _], lobby, .. } = &mut scene;
        let unsettled = |counter| Send { floor: Counter(1), ..message(ada, *lobby, counter) };
        let max = UNSETTLED_MAX as u64;
        for counter in 1..=max {
            decision(client, unsettled(counter)).await.expect("up to the limit");
        }
        let refused = decision(client, unsettled(max + 1)).await.expect_err("one above");
        assert_says(&refused, RefusalCode::UNSETTLED, UNSETTLED_MAX);
        assert!(refused.retry_after().is_some(), "it is never final");
        let settled = Send { floor: Counter(max + 1), ..unsettled(max + 1) };
        decision(client, settled).await.expect("taken once the others are settled");
        scene.said = max + 1;
        scene.assert_others_talk().await;
    });
}

/// Senders of the flood: what one account may send at once is limited.
const FLOOD_SENDERS: u32 = 20;
/// Messages of each, in windows that no limit on unsettled ones hinders.
const FLOOD_WINDOWS: u64 = 5;
const FLOOD_WINDOW: u64 = 200;
/// Together more than all socket buffers and the relay's memory for new messages.
const FLOOD_BODY_BYTES: usize = 1_500;
/// A relay that grows by no more than this in a whole flood has what it needs for one.
const STEADY_BYTES_MAX: u64 = 8 << 20;
/// As many floods as senders may register at once.
const WARM_ROUNDS_MAX: u32 = 6;

#[test]
fn a_member_who_never_reads_costs_others_nothing_and_misses_nothing() {
    runtime().block_on(async {
        // The kernel must not be the one who ends the test.
        let mut scene =
            Scene::new(&[("tail-bytes", "4MiB"), ("user-timeout", "1h"), ("silence-max", NEVER)])
                .await;
        scene.warm_up().await;
        let mallory = Identity::generate("mallory", &mut Entropy::system());
        let mut sleeper = connect(scene.relay.endpoint(), &mallory).await;
        sleeper.attach(mallory.register()).await.expect("registers");
        let lobby = sleeper.join("lobby").await.expect("joins").id;
        let following = sleeper.follow_from_now(lobby).await.expect("a member");

        let mut flooded = Seq::ZERO;
        for _ in 0..FLOOD_SENDERS {
            flooded = scene.flood().await;
        }
        scene.assert_small();
        scene.assert_others_talk().await;

        let mut next = following.from;
        let read_all = sleeper.wait_for(|message| match message {
            RelayMessage::Records(records) if records.conversation == lobby => {
                assert_eq!(records.run.first, next, "no gap and nothing twice");
                next = records.run.last().next();
                (next > flooded).then_some(())
            }
            _ => None,
        });
        in_time(read_all).await.expect("it is still a member");
        let flood = u64::from(FLOOD_SENDERS) * FLOOD_WINDOWS * FLOOD_WINDOW;
        assert!(next.0 - following.from.0 >= flood, "all of it was read in the end");
        scene.assert_small();
    });
}

/// One sender's part; the place of its last message.
async fn flood(relay: &RelayProcess, number: u32, room: ConversationId) -> Seq {
    let sender = Identity::generate(format!("sender{number}"), &mut Entropy::system());
    let mut client = connect(relay.endpoint(), &sender).await;
    client.attach(sender.register()).await.expect("registers");
    let body: Cow<'static, [u8]> = sized(&sender, room, 1, FLOOD_BODY_BYTES).body;
    let mut last = Seq::ZERO;
    for window in 0..FLOOD_WINDOWS {
        let settled = window * FLOOD_WINDOW;
        for counter in settled + 1..=settled + FLOOD_WINDOW {
            let floor = Counter(settled + 1);
            let send = Send { floor, body: body.clone(), ..message(&sender, room, counter) };
            client.queue(&ClientMessage::Send(send)).expect("live");
        }
        client.flush().await.expect("live");
        let newest = Counter(settled + FLOOD_WINDOW);
        let accepted = client.wait_for(|message| match message {
            RelayMessage::Accepted(accepted) => {
                (accepted.counter == newest).then_some(Ok(accepted.seq))
            }
            RelayMessage::Rejected(rejected) => Some(Err(rejected.refusal)),
            _ => None,
        });
        last = in_time(accepted).await.expect("live").expect("within every limit");
    }
    last
}

#[test]
fn pages_and_streams_beyond_what_is_visible_are_refused_not_served() {
    runtime().block_on(async {
        let mut scene = Scene::new(&[]).await;
        let [client, _] = &mut scene.clients;
        let nowhere = ConversationId([9; 16]);
        let follow = Follow { conversation: nowhere, after: Seq::ZERO, chain: [0; 8], newest: 10 };
        client.queue(&ClientMessage::Follow(follow)).expect("live");
        client.flush().await.expect("live");
        let gone = client.wait_for(|message| match message {
            RelayMessage::ConversationGone(gone) => Some(gone.refusal),
            _ => None,
        });
        let refusal = in_time(gone).await.expect("live").expect("with a reason");
        assert_eq!(refusal.code, RefusalCode::NO_SUCH_CONVERSATION);
        scene.assert_others_talk().await;
    });
}
