//! Devices and a relay over datagrams in virtual time: the handshake on bad paths, sessions that
//! move, and what strangers, liars and echoes can cause.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use protocol::{
    channel::keys::StaticKey,
    connection::{
        ConnectionError, InitiatorConfig, ResponderConfig,
        datagram::{Client, Endpoint, EndpointConfig},
    },
    entropy::Entropy,
    lab::{
        fault::{Faults, Loss, Share},
        network::Link,
    },
    message::{ClientMessage, MessageReader, RelayMessage, session::Ping},
    time::Timestamp,
    transport::packet::ConnectionId,
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
        let Some(id) = self.relay.handle_datagram(self.now, from, datagram) else { return };
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
            if let Err(error) = self.client.handle_datagram(self.now, &mut datagram) {
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
        jitter: 5 * MS,
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
        world.client.handle_datagram(world.now, &mut forged).expect("anybody can send this");
    }
    // Started again, with the same key.
    world.relay = endpoint(&world.relay_key, 77);
    world.say(2);
    world.run(Duration::from_secs(1));
    assert_eq!(world.error, Some(ConnectionError::Reset));
    assert!(world.client.session().is_none());
}

#[test]
fn nothing_that_a_stranger_sends_is_answered_with_more_than_it_brought() {
    let mut world = World::new(&Faults::default(), 10);
    let mut init = Vec::new();
    assert!(world.client.poll_packet(world.now, &mut init));
    let mut probe = vec![1; 1_200];
    probe[0] = 1;
    let sealed = [&[6, 3][..], &[9; 60]].concat();
    let mut wrong_version = init.clone();
    wrong_version[1] = 77;
    let mut for_another_key = init.clone();
    for_another_key[40] ^= 1;
    let short_init = init[..1_199].to_vec();
    let short_probe = probe[..9].to_vec();
    let packets =
        [init.clone(), probe, sealed, wrong_version, for_another_key, short_init, short_probe];
    for (index, packet) in packets.iter().enumerate() {
        for port in 0..40 {
            world.relay.handle_datagram(world.now, address(port), &mut packet.clone());
        }
        world.relay.answer_handshakes(world.now, 100);
        let (mut count, mut bytes) = (0, 0);
        while let Some((_, answer)) = world.relay.poll_packet() {
            count += 1;
            bytes += answer.len();
        }
        assert!(bytes <= 40 * packet.len() && count <= 40, "packet {index}: {bytes} bytes");
        let is_answered = index < 5;
        assert_eq!(count > 0, is_answered, "packet {index}");
    }
}

#[test]
fn whoever_asks_a_busy_relay_has_to_show_where_they_are() {
    let mut world = World::new(&Faults { delay: 5 * MS, ..Faults::default() }, 11);
    // A flood from invented addresses.
    let entropy = &mut Entropy::seeded_for_simulation(99);
    let config = InitiatorConfig::new(world.relay_key.relay_key(), Arc::clone(&world.device_key));
    let mut retries = 0;
    for port in 0..200 {
        let mut init = Vec::new();
        let mut other = Client::new(world.now, &config, entropy).expect("usable");
        other.poll_packet(world.now, &mut init);
        world.relay.handle_datagram(world.now, address(port), &mut init);
        while let Some((_, answer)) = world.relay.poll_packet() {
            retries += u32::from(answer[0] == 5);
        }
    }
    assert!(retries > 150, "{retries}");
    // Ours gets its cookie and comes in with it, while the others still wait.
    let mut init = Vec::new();
    world.client.poll_packet(world.now, &mut init);
    world.relay.handle_datagram(world.now, world.from, &mut init);
    let (_, mut retry) = world.relay.poll_packet().expect("a retry");
    world.client.handle_datagram(world.now, &mut retry).expect("no error");
    let mut again = Vec::new();
    assert!(world.client.poll_packet(world.now, &mut again));
    // The cookie counts for its address only.
    world.relay.handle_datagram(world.now, address(9), &mut again.clone());
    assert_eq!(world.relay.poll_packet().expect("another retry").1[0], 5);
    world.relay.handle_datagram(world.now, world.from, &mut again);
    assert!(world.relay.poll_packet().is_none());
    world.relay.answer_handshakes(world.now, 100);
    while let Some((to, mut answer)) = world.relay.poll_packet() {
        if to == world.from {
            world.client.handle_datagram(world.now, &mut answer).expect("no error");
        }
    }
    assert!(world.client.session().is_some());
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
            world.relay.handle_datagram(world.now, world.from, &mut damaged);
        }
        world.relay.handle_datagram(world.now, world.from, &mut packet[..at].to_vec());
    }
    assert_eq!(world.at_relay, [], "nothing but damage so far");
    for _ in 0..3 {
        world.reach_relay(world.from, &mut packet.clone());
    }
    assert_eq!(world.at_relay, [1]);
    // An init again gives the same reply, and no second session.
    world.run(Duration::from_secs(1));
    assert_eq!(world.relay.len(), 1);
}
