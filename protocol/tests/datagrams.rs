//! Devices and a relay over datagrams in virtual time: the handshake on bad paths, sessions that
//! move, and what strangers, liars and echoes can cause.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use protocol::{
    channel::keys::StaticKey,
    connection::{
        ConnectionError, InitiatorConfig, ResponderConfig,
        datagram::{Client, Endpoint, EndpointConfig},
    },
    entropy::Entropy,
    lab::{
        fault::{Faults, Loss, Share},
        jitter::Jitter,
        network::Link,
    },
    limits::RELAY_NAME_BYTES_MAX,
    message::{ClientMessage, MessageReader, RelayMessage, session::Ping},
    time::Timestamp,
    transport::{
        datagram::{Algorithm, Codepoint, StreamKey, Transport, Trust},
        packet::ConnectionId,
    },
};

const MS: Duration = Duration::from_millis(1);

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

struct World {
    now: Timestamp,
    relay_key: Arc<StaticKey>,
    device_key: Arc<StaticKey>,
    relay: Endpoint<SocketAddr>,
    client: Client,
    /// Where the client sends from.
    from: SocketAddr,
    up: Link,
    down: Link,
    sessions: Vec<ConnectionId>,
    at_relay: Vec<u64>,
    at_client: Vec<u64>,
    error: Option<ConnectionError>,
}

fn endpoint(relay_key: &Arc<StaticKey>, seed: u64) -> Endpoint<SocketAddr> {
    let responder = ResponderConfig::new(Arc::clone(relay_key), "relay".to_owned());
    let config = EndpointConfig { responder: Arc::new(responder), shard: 3 };
    Endpoint::new(config, Entropy::seeded_for_simulation(seed))
}

impl World {
    fn new(faults: &Faults, seed: u64) -> Self {
        let now = Timestamp::from_micros(5_000_000);
        let entropy = &mut Entropy::seeded_for_simulation(seed);
        let relay_key = Arc::new(StaticKey::generate(entropy));
        let device_key = Arc::new(StaticKey::generate(entropy));
        let config = InitiatorConfig::new(relay_key.relay_key(), Arc::clone(&device_key));
        Self {
            now,
            relay: endpoint(&relay_key, seed + 1),
            relay_key,
            device_key,
            client: Client::new(now, &config, entropy).expect("a usable key"),
            from: address(1_000),
            up: Link::new(now, faults.clone(), seed * 2),
            down: Link::new(now, faults.clone(), seed * 2 + 1),
            sessions: Vec::new(),
            at_relay: Vec::new(),
            at_client: Vec::new(),
            error: None,
        }
    }

    fn say(&mut self, token: u64) {
        let mut content = Vec::new();
        ClientMessage::Ping(Ping { token }).append_to(&mut content);
        self.client.session().expect("established").write(&content);
    }

    fn reach_relay(&mut self, from: SocketAddr, datagram: &mut [u8]) {
        let Some(id) = self.relay.handle_datagram(self.now, from, Codepoint::NotCapable, datagram)
        else {
            return;
        };
        if !self.sessions.contains(&id) {
            self.sessions.push(id);
        }
        let Some(session) = self.relay.session(id) else { return };
        let mut content = Vec::new();
        while session.read(&mut content).expect("an honest peer") {}
        for message in MessageReader::new(&content) {
            let message = ClientMessage::decode(message.expect("whole")).expect("known");
            let ClientMessage::Ping(ping) = message else { panic!("{message:?}") };
            self.at_relay.push(ping.token);
            let mut answer = Vec::new();
            RelayMessage::Pong(ping).append_to(&mut answer);
            session.write(&answer);
        }
    }

    fn step(&mut self) {
        while let Some(mut datagram) = self.up.receive(self.now) {
            self.reach_relay(self.from, &mut datagram);
        }
        self.relay.answer_handshakes(self.now, 8);
        let mut out = Vec::new();
        while let Some((_, packet)) = self.relay.poll_packet() {
            self.down.send(self.now, &packet);
        }
        for id in self.sessions.clone() {
            if self.relay.session_timeout(id).is_some_and(|due| due <= self.now) {
                self.relay.handle_session_timeout(self.now, id);
            }
            out.clear();
            while let Some(to) = self.relay.poll_session(self.now, id, &mut out) {
                if to == self.from {
                    self.down.send(self.now, &out);
                }
                out.clear();
            }
        }
        while let Some(mut datagram) = self.down.receive(self.now) {
            if let Err(error) =
                self.client.handle_datagram(self.now, Codepoint::NotCapable, &mut datagram)
            {
                self.error = Some(error);
            }
        }
        if let Some(session) = self.client.session() {
            let mut content = Vec::new();
            while session.read(&mut content).expect("an honest peer") {}
            for message in MessageReader::new(&content) {
                let message = RelayMessage::decode(message.expect("whole")).expect("known");
                let RelayMessage::Pong(ping) = message else { panic!("{message:?}") };
                self.at_client.push(ping.token);
            }
        }
        self.client.handle_timeout(self.now);
        out.clear();
        while self.client.poll_packet(self.now, &mut out) {
            self.up.send(self.now, &out);
            out.clear();
        }
    }

    fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.now < until {
            self.step();
            self.now = self.now + MS;
        }
    }

    fn establish(&mut self) -> bool {
        for _ in 0..200 {
            self.run(100 * MS);
            if self.client.session().is_some() {
                return true;
            }
        }
        false
    }
}

fn lossy(percent: u32) -> Faults {
    Faults {
        delay: 20 * MS,
        jitter: Jitter::up_to(5 * MS),
        loss: Loss::Independent(Share::percent(percent)),
        duplicate: Share::percent(10),
        corrupt: Share::percent(5),
        reorder: (Share::percent(10), 30 * MS),
        ..Faults::default()
    }
}

#[test]
fn a_session_is_made_and_carries_messages_on_any_path() {
    for seed in 1..20 {
        let mut world = World::new(&lossy(40), seed);
        assert!(world.establish(), "seed {seed}");
        for token in 0..50 {
            world.say(token);
            world.run(7 * MS);
        }
        world.run(Duration::from_secs(20));
        let expected: Vec<u64> = (0..50).collect();
        assert_eq!((&world.at_relay, &world.at_client), (&expected, &expected), "seed {seed}");
        assert_eq!(world.relay.len(), 1, "one attempt is one session, however often it was sent");
    }
}

#[test]
fn a_device_that_moves_keeps_its_session() {
    let mut world = World::new(&lossy(5), 7);
    assert!(world.establish());
    world.say(1);
    world.run(Duration::from_secs(1));
    world.from = address(2_000);
    world.say(2);
    world.run(Duration::from_secs(3));
    assert_eq!(world.relay.address(world.sessions[0]), Some(address(2_000)));
    world.say(3);
    world.run(Duration::from_secs(3));
    assert_eq!(world.at_client, [1, 2, 3]);
}

/// The connection id that the client's next packet names.
fn name_in_use(world: &mut World) -> [u8; 8] {
    let mut packet = Vec::new();
    world.say(99);
    while !world.client.poll_packet(world.now, &mut packet) {
        world.now = world.client.poll_timeout().expect("something waits").max(world.now + MS);
    }
    world.up.send(world.now, &packet);
    packet[1..9].try_into().expect("eight")
}

#[test]
fn a_session_has_another_name_after_each_move_and_the_newest_counts() {
    let mut world = World::new(&lossy(20), 11);
    assert!(world.establish());
    let mut names = vec![name_in_use(&mut world)];
    for port in 2_000..2_008 {
        world.from = address(port);
        names.push(name_in_use(&mut world));
        world.run(Duration::from_secs(3));
    }
    names.dedup();
    names.push(name_in_use(&mut world));
    world.run(Duration::from_secs(3));
    assert_eq!(names.len(), 9, "each move makes one");
    assert!(names.iter().all(|name| name[0] == 3), "they name the shard");
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    // Under the newest it can be reset as well.
    world.relay = endpoint(&world.relay_key, 77);
    world.say(3);
    world.run(Duration::from_secs(1));
    assert_eq!(world.error, Some(ConnectionError::Reset));
}

#[test]
fn a_device_that_never_left_is_found_where_it_was() {
    let mut world = World::new(&Faults { delay: 5 * MS, ..Faults::default() }, 12);
    assert!(world.establish());
    world.say(1);
    world.run(Duration::from_secs(1));
    let id = world.sessions[0];
    world.say(2);
    let mut packet = Vec::new();
    assert!(world.client.poll_packet(world.now, &mut packet));
    // It arrives first from somebody who sends it on, and could answer with the device's help.
    world.reach_relay(address(6_666), &mut packet);
    let mut asked = Vec::new();
    let mut question = Vec::new();
    while let Some(to) = world.relay.poll_session(world.now, id, &mut question) {
        asked.push(to);
        if to == world.from {
            world.down.send(world.now, &question);
        }
        question.clear();
    }
    assert!(asked.contains(&world.from), "the old place is asked too: {asked:?}");
    world.run(Duration::from_secs(2));
    assert_eq!(world.relay.address(id), Some(address(1_000)));
    assert_eq!(world.relay.session_timeout(id).filter(|due| *due < world.now), None);
}

#[test]
fn a_name_that_was_overtaken_by_a_newer_one_is_not_used_again() {
    let now = Timestamp::from_micros(1);
    let end = || Transport::new(now, Algorithm::default(), None, Trust::Known, 30);
    let (mut tells, mut hears) = (end(), end());
    let packets = [1, 2].map(|name| {
        let mut packet = Vec::new();
        tells.rename([name; 24]);
        (tells.poll_packet(now, &mut packet).expect("it has to be told"), packet)
    });
    let mut hear = |(number, packet): &(u64, Vec<u8>)| {
        hears.handle_packet(now, *number, Codepoint::NotCapable, packet).expect("honest");
        hears.take_name()
    };
    assert_eq!(hear(&packets[1]), Some([2; 24]));
    assert_eq!(hear(&packets[0]), None);
}

#[test]
fn where_a_peer_is_can_be_shown_with_a_full_window() {
    let now = Timestamp::from_micros(1);
    let end = || Transport::new(now, Algorithm::default(), None, Trust::Known, 30);
    let (mut asks, mut answers) = (end(), end());
    answers.write(StreamKey::Session, &[0; 16_000]);
    let mut out = Vec::new();
    while answers.poll_packet(now, &mut out).is_some() {}
    let (in_flight, window) = answers.window();
    assert!(in_flight + 1_200 > window, "{in_flight} of {window}");
    let (mut challenge, mut response) = (Vec::new(), Vec::new());
    let number = asks.put_challenge(now, [7; 8], &mut challenge);
    answers.handle_packet(now, number, Codepoint::NotCapable, &challenge).expect("honest");
    let number = answers.poll_packet(now, &mut response).expect("an answer");
    asks.handle_packet(now, number, Codepoint::NotCapable, &response).expect("honest");
    assert_eq!(asks.take_proof(), Some([7; 8]));
}

#[test]
fn somebody_who_sends_packets_on_from_elsewhere_does_not_get_the_session() {
    let mut world = World::new(&Faults { delay: 5 * MS, ..Faults::default() }, 8);
    assert!(world.establish());
    world.say(1);
    world.run(Duration::from_secs(1));
    world.say(2);
    let mut packet = Vec::new();
    assert!(world.client.poll_packet(world.now, &mut packet));
    // It arrives from there first, and nobody there can answer a challenge.
    world.reach_relay(address(6_666), &mut packet);
    world.run(Duration::from_secs(5));
    assert_eq!(world.relay.address(world.sessions[0]), Some(address(1_000)));
    assert_eq!(world.at_client, [1, 2]);
}

#[test]
fn a_relay_that_forgot_a_session_says_so_and_nobody_else_can() {
    let mut world = World::new(&Faults { delay: 5 * MS, ..Faults::default() }, 9);
    assert!(world.establish());
    world.say(1);
    world.run(Duration::from_secs(1));
    for length in [1, 17, 30] {
        let mut forged = vec![7; length];
        world
            .client
            .handle_datagram(world.now, Codepoint::NotCapable, &mut forged)
            .expect("anybody can send this");
    }
    // Started again, with the same key.
    world.relay = endpoint(&world.relay_key, 77);
    world.say(2);
    world.run(Duration::from_secs(1));
    assert_eq!(world.error, Some(ConnectionError::Reset));
    assert!(world.client.session().is_none());
}

/// Bytes that a datagram causes to be sent to where it says that it is from.
fn answers(world: &mut World, from: SocketAddr, packet: &[u8]) -> usize {
    let touched =
        world.relay.handle_datagram(world.now, from, Codepoint::NotCapable, &mut packet.to_vec());
    let mut bytes = 0;
    while let Some((to, answer)) = world.relay.poll_packet() {
        assert_eq!(to, from, "nobody else was asked");
        bytes += answer.len();
    }
    if let Some(id) = touched {
        let mut out = Vec::new();
        while let Some(to) = world.relay.poll_session(world.now, id, &mut out) {
            bytes += if to == from { out.len() } else { 0 };
            out.clear();
        }
    }
    bytes
}

/// What can be said without a session, by kind: its length may be cut and its bytes changed.
fn clear_packets(world: &mut World) -> Vec<(&'static str, Vec<u8>)> {
    let mut init = Vec::new();
    assert!(world.client.poll_packet(world.now, &mut init));
    let changed = |at: usize, byte: u8| {
        let mut packet = init.clone();
        packet[at] ^= byte;
        packet
    };
    let mut probe = vec![1; 1_200];
    probe[0] = 1;
    vec![
        ("probe", probe),
        ("beacon", [&[2][..], &[1; 1_400]].concat()),
        ("init", init.clone()),
        ("init of another version", changed(1, 77)),
        ("init of another suite", changed(3, 77)),
        ("init for another key", changed(40, 1)),
        ("reply", [&[4][..], &[1; 1_400]].concat()),
        ("retry", [&[5][..], &[1; 40]].concat()),
        ("sealed, never heard of", [&[6, 3][..], &[9; 1_400]].concat()),
        ("reset", [&[7][..], &[1; 1_400]].concat()),
    ]
}

#[test]
fn nothing_that_a_stranger_sends_is_answered_with_more_than_it_brought() {
    let is_answered = ["probe", "init", "init of another version", "init of another suite"];
    let is_answered = [&is_answered[..], &["init for another key", "sealed, never heard of"]];
    let is_answered = is_answered.concat();
    // The second time there are so many that a cookie is asked for.
    for is_busy in [false, true] {
        let mut world = World::new(&Faults::default(), 10);
        let name = "n".repeat(RELAY_NAME_BYTES_MAX);
        let responder = ResponderConfig::new(Arc::clone(&world.relay_key), name);
        let config = EndpointConfig { responder: Arc::new(responder), shard: 3 };
        world.relay = Endpoint::new(config, Entropy::seeded_for_simulation(1));
        if is_busy {
            crowd(&mut world, 60);
        }
        let mut port = 1_000;
        for (what, packet) in clear_packets(&mut world) {
            let mut most = 0;
            let lengths = (0..100).chain(1_190..=packet.len());
            for length in lengths.filter(|length| *length <= packet.len()) {
                // Whoever is there, and whoever was there before.
                port += 1;
                for from in [address(port), address(1_000)] {
                    let mut bytes = answers(&mut world, from, &packet[..length]);
                    if !is_busy {
                        world.relay.answer_handshakes(world.now, 1);
                        bytes += world.relay.poll_packet().map_or(0, |(_, answer)| answer.len());
                    }
                    assert!(bytes <= length, "{what}: {bytes} bytes for {length}");
                    most = most.max(bytes);
                }
                world.now = world.now + 30 * MS;
            }
            assert_eq!(most > 0, is_answered.contains(&what), "{what}: {most} bytes");
        }
        for kind in 0..=u8::MAX {
            for length in [1, 2, 9, 31, 60, 1_200] {
                let mut packet = vec![3; length];
                packet[0] = kind;
                let bytes = answers(&mut world, address(1_001), &packet);
                assert!(bytes <= length, "kind {kind}: {bytes} bytes for {length}");
            }
        }
    }
}

/// Somebody on the way sends a session's packets on, with an address that is not theirs.
#[test]
fn an_address_that_has_not_answered_gets_no_more_than_came_from_it() {
    let mut world = World::new(&Faults { delay: 5 * MS, ..Faults::default() }, 13);
    assert!(world.establish());
    world.say(1);
    world.run(Duration::from_secs(1));
    let victim = address(6_666);
    let (mut brought, mut got) = (0, 0);
    for token in 2..200 {
        world.say(token);
        let mut packet = Vec::new();
        while world.client.poll_packet(world.now, &mut packet) {
            brought += packet.len();
            got += answers(&mut world, victim, &packet);
            // And once more.
            got += answers(&mut world, victim, &packet);
            assert!(got <= brought, "{got} bytes for {brought}");
            packet.clear();
        }
        world.now = world.now + 100 * MS;
        world.client.handle_timeout(world.now);
    }
    assert!(got > 0, "it was asked whether it is there");
    assert_eq!(world.relay.address(world.sessions[0]), Some(address(1_000)));
}

#[test]
fn nobody_takes_the_answer_of_another_with_an_attempt_or_an_init_that_they_have_seen() {
    let mut world = World::new(&Faults { delay: 5 * MS, ..Faults::default() }, 14);
    let mut init = Vec::new();
    assert!(world.client.poll_packet(world.now, &mut init));
    // The same choices of chance and another key: the same attempt, said by another device.
    let entropy = &mut Entropy::seeded_for_simulation(14);
    let _ = (StaticKey::generate(entropy), StaticKey::generate(entropy));
    let other_key = Arc::new(StaticKey::generate(&mut Entropy::seeded_for_simulation(1)));
    let config = InitiatorConfig::new(world.relay_key.relay_key(), other_key);
    let mut other = Client::new(world.now, &config, entropy).expect("usable");
    let mut other_init = Vec::new();
    assert!(other.poll_packet(world.now, &mut other_init));
    assert_eq!(init[4..12], other_init[4..12], "one attempt id");
    assert_ne!(init, other_init);

    // All of it from one place, and the init from another place too, before the device's own.
    for (from, packet) in [
        (address(6_666), &init),
        (world.from, &other_init),
        (world.from, &init),
        (address(6_666), &init),
    ] {
        world.relay.handle_datagram(world.now, from, Codepoint::NotCapable, &mut packet.clone());
    }
    world.relay.answer_handshakes(world.now, 10);
    let mut replies = Vec::new();
    while let Some(reply) = world.relay.poll_packet() {
        replies.push(reply);
    }
    assert_eq!(replies.len(), 3, "each once: {replies:?}");
    assert_eq!(world.relay.len(), 3);
    for (to, mut packet) in replies {
        if to == world.from {
            other
                .handle_datagram(world.now, Codepoint::NotCapable, &mut packet.clone())
                .expect("no error");
            world
                .client
                .handle_datagram(world.now, Codepoint::NotCapable, &mut packet)
                .expect("no error");
        }
    }
    assert!(other.session().is_some());
    assert!(world.client.session().is_some());
    // What the device says is answered where it is.
    world.say(1);
    world.run(Duration::from_secs(1));
    assert_eq!(world.at_client, [1]);
    assert_eq!(world.relay.address(world.sessions[0]), Some(address(1_000)));
}

/// Inits of other devices, each from its own address, that wait for their public-key work.
fn crowd(world: &mut World, count: u16) -> u16 {
    let entropy = &mut Entropy::seeded_for_simulation(99);
    let config = InitiatorConfig::new(world.relay_key.relay_key(), Arc::clone(&world.device_key));
    let mut retries = 0;
    for port in 0..count {
        let mut init = Vec::new();
        let mut other = Client::new(world.now, &config, entropy).expect("usable");
        other.poll_packet(world.now, &mut init);
        world.relay.handle_datagram(world.now, address(port), Codepoint::NotCapable, &mut init);
        while let Some((_, answer)) = world.relay.poll_packet() {
            retries += u16::from(answer[0] == 5);
        }
    }
    retries
}

#[test]
fn whoever_asks_a_busy_relay_has_to_show_where_they_are() {
    let mut world = World::new(&Faults { delay: 5 * MS, ..Faults::default() }, 11);
    // A flood from invented addresses.
    let retries = crowd(&mut world, 200);
    assert!(retries > 150, "{retries}");
    // Ours gets its cookie and comes in with it, while the others still wait.
    let mut init = Vec::new();
    world.client.poll_packet(world.now, &mut init);
    world.relay.handle_datagram(world.now, world.from, Codepoint::NotCapable, &mut init);
    let (_, mut retry) = world.relay.poll_packet().expect("a retry");
    world.client.handle_datagram(world.now, Codepoint::NotCapable, &mut retry).expect("no error");
    let mut again = Vec::new();
    assert!(world.client.poll_packet(world.now, &mut again));
    // The cookie counts for its address only.
    world.relay.handle_datagram(world.now, address(9), Codepoint::NotCapable, &mut again.clone());
    assert_eq!(world.relay.poll_packet().expect("another retry").1[0], 5);
    world.relay.handle_datagram(world.now, world.from, Codepoint::NotCapable, &mut again);
    assert!(world.relay.poll_packet().is_none());
    world.relay.answer_handshakes(world.now, 100);
    while let Some((to, mut answer)) = world.relay.poll_packet() {
        if to == world.from {
            world
                .client
                .handle_datagram(world.now, Codepoint::NotCapable, &mut answer)
                .expect("no error");
        }
    }
    assert!(world.client.session().is_some());
}

#[test]
fn a_relay_that_keeps_up_still_asks_a_flood_for_cookies() {
    let mut world = World::new(&Faults::default(), 15);
    let entropy = &mut Entropy::seeded_for_simulation(98);
    let config = InitiatorConfig::new(world.relay_key.relay_key(), Arc::clone(&world.device_key));
    let mut knock = |world: &mut World, port: u16| {
        let mut init = Vec::new();
        let mut other = Client::new(world.now, &config, entropy).expect("usable");
        other.poll_packet(world.now, &mut init);
        world.relay.handle_datagram(world.now, address(port), Codepoint::NotCapable, &mut init);
        world.relay.answer_handshakes(world.now, 1);
        world.relay.poll_packet().expect("an answer").1[0]
    };
    // As fast as they come, 128 in a second are answered with a reply, and the next with a retry.
    for port in 0..128 {
        assert_eq!(knock(&mut world, port), 4, "{port}");
    }
    assert_eq!(knock(&mut world, 128), 5);
    world.now = world.now + Duration::from_secs(1);
    assert_eq!(knock(&mut world, 129), 4);
}

#[test]
fn damaged_and_repeated_packets_change_nothing() {
    let mut world = World::new(&Faults { delay: 5 * MS, ..Faults::default() }, 12);
    assert!(world.establish());
    world.say(1);
    let mut packet = Vec::new();
    assert!(world.client.poll_packet(world.now, &mut packet));
    for at in 0..packet.len() {
        for bit in 0..8 {
            let mut damaged = packet.clone();
            damaged[at] ^= 1 << bit;
            world.relay.handle_datagram(world.now, world.from, Codepoint::NotCapable, &mut damaged);
        }
        world.relay.handle_datagram(
            world.now,
            world.from,
            Codepoint::NotCapable,
            &mut packet[..at].to_vec(),
        );
    }
    assert!(world.at_relay.is_empty(), "nothing but damage so far");
    for _ in 0..3 {
        world.reach_relay(world.from, &mut packet.clone());
    }
    assert_eq!(world.at_relay, [1]);
    // An init again gives the same reply, and no second session.
    world.run(Duration::from_secs(1));
    assert_eq!(world.relay.len(), 1);
}
