//! Handshakes without end, from many addresses, by a thread of its own.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use harness::client::{RelayEndpoint, source_address};
use protocol::{
    channel::keys::StaticKey,
    connection::{InitiatorConfig, datagram::Client},
    entropy::Entropy,
    time::Timestamp,
    transport::packet::{HandshakeInit, PacketKind, Retry},
};

/// Addresses that it comes from.
const SOURCES: u32 = 512;
/// Numbers, and so addresses, that nobody else has.
const FIRST_INDEX: u32 = 2_000_000;
/// Different handshakes, each of them valid: from every address each is another one to the relay.
const HANDSHAKES: usize = 512;
/// What is due within this is sent together.
const BEAT: Duration = Duration::from_millis(1);
/// Bytes of the smallest datagram with a handshake (wire §10.5).
const DATAGRAM_BYTES: usize = 1_200;

/// What the flood consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attack {
    /// From addresses that are not the sender's: nothing that is answered arrives there.
    Spoofed,
    /// From its own: it comes again with every cookie that it gets.
    WithCookies,
}

impl Attack {
    /// For people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Spoofed => "spoofed",
            Self::WithCookies => "with cookies",
        }
    }

    /// Begins; ends when the guard is stopped.
    ///
    /// # Errors
    ///
    /// If there are not enough sockets, or there can be no thread.
    pub(super) fn launch(self, relay: RelayEndpoint, per_second: u32) -> io::Result<Flood> {
        let sockets = (0..SOURCES).map(|index| {
            let socket = UdpSocket::bind((source_address(FIRST_INDEX + index), 0))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        let attacker = Attacker {
            attack: self,
            relay: relay.address,
            sockets: sockets.collect::<io::Result<_>>()?,
            inits: valid_inits(relay),
        };
        let stopped = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let shared = (Arc::clone(&stopped), Arc::clone(&sent));
        let thread = thread::Builder::new()
            .name("flood".to_owned())
            .spawn(move || attacker.run(per_second, &shared.0, &shared.1))?;
        Ok(Flood { stopped, sent, thread })
    }
}

/// A flood that goes on.
#[derive(Debug)]
pub(super) struct Flood {
    stopped: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Flood {
    /// Ends it; how many handshakes were sent.
    pub(super) fn stop(self) -> u64 {
        self.stopped.store(true, Ordering::Relaxed);
        // A panic there was printed; the flood is over in either case.
        let _ = self.thread.join();
        self.sent.load(Ordering::Relaxed)
    }
}

struct Attacker {
    attack: Attack,
    relay: SocketAddr,
    sockets: Vec<UdpSocket>,
    /// Without their padding, by attempt.
    inits: BTreeMap<[u8; 8], Vec<u8>>,
}

impl Attacker {
    fn run(&self, per_second: u32, stopped: &AtomicBool, sent: &AtomicU64) {
        let begun = Instant::now();
        let mut next = self.inits.values().cycle().zip(self.sockets.iter().cycle());
        let mut packet = Vec::new();
        while !stopped.load(Ordering::Relaxed) {
            let due = begun.elapsed().as_micros() * u128::from(per_second) / 1_000_000;
            while u128::from(sent.load(Ordering::Relaxed)) < due {
                let Some((init, socket)) = next.next() else { return };
                packet.clone_from(init);
                packet.resize(DATAGRAM_BYTES, 0);
                // What the kernel does not take is no attack.
                let _ = socket.send_to(&packet, self.relay);
                sent.fetch_add(1, Ordering::Relaxed);
                if self.attack == Attack::WithCookies {
                    self.come_again(socket, sent);
                }
            }
            thread::sleep(BEAT);
        }
    }

    /// Brings back the cookies that came to this address.
    fn come_again(&self, socket: &UdpSocket, sent: &AtomicU64) {
        let mut answer = [0; DATAGRAM_BYTES];
        while let Ok(bytes) = socket.recv(&mut answer) {
            let Some((kind, rest)) = answer[..bytes].split_first() else { continue };
            if *kind != PacketKind::Retry.byte() {
                continue;
            }
            let Some(retry) = Retry::decode(rest) else { continue };
            let Some(init) = self.inits.get(&retry.attempt.0) else { continue };
            let Some(init) = HandshakeInit::decode(&init[1..]) else { continue };
            let mut packet = HandshakeInit { cookie: retry.cookie, ..init }.encode();
            packet.resize(DATAGRAM_BYTES, 0);
            let _ = socket.send_to(&packet, self.relay);
            sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn valid_inits(relay: RelayEndpoint) -> BTreeMap<[u8; 8], Vec<u8>> {
    let entropy = &mut Entropy::system();
    let key = Arc::new(StaticKey::generate(entropy));
    let config = InitiatorConfig::new(relay.key, key);
    let init = || {
        let mut padded = Vec::new();
        let mut client = Client::new(Timestamp::ZERO, &config, entropy).ok()?;
        client.poll_packet(Timestamp::ZERO, &mut padded);
        let init = HandshakeInit::decode_padded(&padded[1..])?;
        Some((init.attempt.0, init.encode()))
    };
    std::iter::repeat_with(init).take(HANDSHAKES).flatten().collect()
}
