//! A session over datagrams whose reader pauses, on real sockets: to the relay it is alive and slow,
//! not gone.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use protocol::{
    channel::keys::StaticKey,
    connection::{
        InitiatorConfig, ResponderConfig,
        datagram::{Endpoint, EndpointConfig},
    },
    entropy::Entropy,
    message::{ClientMessage, RelayMessage, encoding::write_varint, session::Ping},
    time::Timestamp,
    transport::{
        datagram::{Codepoint, tuning::CREDIT_BYTES},
        packet::ConnectionId,
    },
};
use tokio::{
    net::UdpSocket,
    time::{Instant, sleep_until, timeout},
};

use super::{Reading, impaired::Impairment, udp::Link};

/// On a slow machine, too.
const WITHIN: Duration = Duration::from_secs(60);
/// The number of a message that no version knows: it is counted and skipped.
const MESSAGE_NUMBER: u16 = 60;
const MESSAGE_BYTES: u16 = 16_384;
/// Together three times what may be under way unread.
const MESSAGES: usize = 96;

/// A relay of one session that only says what it is told to.
struct Peer {
    endpoint: Endpoint<SocketAddr>,
    socket: UdpSocket,
    epoch: Instant,
    session: Option<ConnectionId>,
}

impl Peer {
    async fn start(key: Arc<StaticKey>) -> Self {
        let responder = Arc::new(ResponderConfig::new(key, "relay".to_owned()));
        let config = EndpointConfig { responder, shard: 0 };
        Self {
            endpoint: Endpoint::new(config, Entropy::system()),
            socket: UdpSocket::bind("127.0.0.1:0").await.expect("a free port"),
            epoch: Instant::now(),
            session: None,
        }
    }

    fn now(&self) -> Timestamp {
        let micros = self.epoch.elapsed().as_micros();
        Timestamp::from_micros(u64::try_from(micros).expect("a short test"))
    }

    /// Serves until something is so.
    async fn serve_until(&mut self, is_done: impl Fn(&mut Self) -> bool) {
        let mut buffer = vec![0; 65_535];
        self.send().await;
        while !is_done(self) {
            let due = self.session.and_then(|id| self.endpoint.session_timeout(id));
            let at = due.map(|due| self.epoch + Duration::from_micros(due.as_micros()));
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    let (bytes, from) = received.expect("loopback");
                    let (now, datagram) = (self.now(), &mut buffer[..bytes]);
                    let codepoint = Codepoint::NotCapable;
                    let known = self.endpoint.handle_datagram(now, from, codepoint, datagram);
                    self.session = known.or(self.session);
                    self.endpoint.answer_handshakes(now, 1);
                }
                () = sleep_until(at.unwrap_or(self.epoch)), if at.is_some() => {
                    let (now, id) = (self.now(), self.session.expect("it has a timer"));
                    self.endpoint.handle_session_timeout(now, id);
                }
            }
            self.send().await;
        }
    }

    async fn send(&mut self) {
        while let Some((to, packet)) = self.endpoint.poll_packet() {
            self.socket.send_to(&packet, to).await.expect("loopback");
        }
        let Some(id) = self.session else { return };
        let mut packet = Vec::new();
        while let Some(to) = self.endpoint.poll_session(self.now(), id, &mut packet) {
            self.socket.send_to(&packet, to).await.expect("loopback");
            packet.clear();
        }
    }

    fn say(&mut self) {
        let mut message = Vec::new();
        write_varint(u64::from(MESSAGE_BYTES), &mut message);
        let end = message.len() + usize::from(MESSAGE_BYTES);
        write_varint(MESSAGE_NUMBER.into(), &mut message);
        message.resize(end, 7);
        let session = self.session.and_then(|id| self.endpoint.session(id)).expect("it is there");
        session.write(&message);
    }

    /// Everything that may be under way unread has been, and is acknowledged.
    fn waits_for_reader(&mut self) -> bool {
        let session = self.session.and_then(|id| self.endpoint.session(id)).expect("it is there");
        let (in_flight, _) = session.window();
        let is_used_up = session.stats().bytes_sent >= CREDIT_BYTES;
        in_flight == 0 && is_used_up && !session.is_flushed()
    }
}

#[tokio::test]
async fn a_reader_that_pauses_acknowledges_and_stops_the_sender_by_its_credit() {
    let key = |seed| Arc::new(StaticKey::from_bytes([seed; 32]));
    let config = InitiatorConfig::new(key(1).relay_key(), key(2));
    let mut peer = Peer::start(key(1)).await;
    let address = peer.socket.local_addr().expect("bound");
    let path = Impairment::none();
    let connecting = Link::connect(address, &config, Instant::now() + WITHIN, &path);
    let mut link = tokio::select! {
        link = connecting => link.expect("the relay answers"),
        () = peer.serve_until(|_| false) => unreachable!("it serves for ever"),
    };
    let mut ping = Some(ClientMessage::Ping(Ping { token: 1 }));
    link.seal(|| ping.take());
    timeout(WITHIN, peer.serve_until(|peer| peer.session.is_some())).await.expect("it is heard");
    assert!(MESSAGES as u64 * u64::from(MESSAGE_BYTES) >= 3 * CREDIT_BYTES);
    (0..MESSAGES).for_each(|_| peer.say());

    tokio::select! {
        _ = link.ready(Reading::Paused) => panic!("nothing may be taken while reading is paused"),
        served = timeout(WITHIN, peer.serve_until(Peer::waits_for_reader)) => {
            served.expect("all that arrived is acknowledged");
        }
    }

    let mut count = 0;
    let reading = async {
        while count < MESSAGES {
            link.ready(Reading::Wanted).await.expect("it is alive");
            let sink = |message: RelayMessage<'_>| {
                assert!(matches!(message, RelayMessage::Unknown(_)));
                count += 1;
                Ok::<_, std::convert::Infallible>(())
            };
            link.receive(sink).expect("a sound session");
        }
    };
    tokio::select! {
        () = reading => {}
        () = peer.serve_until(|_| false) => unreachable!("it serves for ever"),
        () = sleep_until(Instant::now() + WITHIN) => panic!("not everything came"),
    }
    assert_eq!(count, MESSAGES);
}
