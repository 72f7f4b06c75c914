//! Peers that mean harm and never log in. They run on a thread of their own, at a bounded rate: the
//! question is what they cost the relay, not whether they can use up the machine themselves.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use harness::client::{RelayEndpoint, dial, source_address};
use protocol::{
    channel::keys::StaticKey,
    connection::{Connection, InitiatorConfig},
    entropy::{Entropy, SimRng},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Builder,
    task::{LocalSet, spawn_local},
    time::{MissedTickBehavior, interval, timeout},
};

/// New connections per second of the attacks that come again and again.
const CONNECTIONS_PER_SECOND: u32 = 200;
/// Time between two bytes of a connection that takes forever to say hello.
const SLOW_BYTE: Duration = Duration::from_millis(500);
/// How long an attacker waits for an answer before it goes on.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Numbers, and so addresses, that no member of the measured room has.
const FIRST_INDEX: u32 = 1_000_000;

/// A way to do harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    /// Say hello one byte at a time.
    Slowloris,
    /// Connect and say nothing, so many per second.
    Silent(u32),
    /// Say what nobody understands.
    Garbage,
    /// Announce the largest packet before logging in, and send it.
    Oversized,
    /// Repeat a valid first message that was overheard.
    Replay,
}

impl Attack {
    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Slowloris => "slowloris",
            Self::Silent(_) => "silent connects",
            Self::Garbage => "garbage",
            Self::Oversized => "oversized",
            Self::Replay => "replayed hello",
        }
    }

    /// Begins; ends when the guard is stopped.
    ///
    /// # Errors
    ///
    /// If there can be no thread.
    pub(crate) fn launch(self, relay: RelayEndpoint) -> io::Result<Attackers> {
        let stopped = Arc::new(AtomicBool::new(false));
        let connects = Arc::new(AtomicU32::new(0));
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let shared = (Arc::clone(&stopped), Arc::clone(&connects));
        let thread = thread::Builder::new().name(self.name().to_owned()).spawn(move || {
            LocalSet::new().block_on(&runtime, self.keep_attacking(relay, &shared.0, &shared.1));
        })?;
        Ok(Attackers { stopped, connects, thread })
    }

    async fn keep_attacking(
        self,
        relay: RelayEndpoint,
        stopped: &AtomicBool,
        connects: &AtomicU32,
    ) {
        let hello = overheard_hello(relay);
        let mut turns = interval(Duration::from_secs(1) / self.connections_per_second());
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for index in FIRST_INDEX.. {
            turns.tick().await;
            if stopped.load(Ordering::Relaxed) {
                return;
            }
            connects.fetch_add(1, Ordering::Relaxed);
            let hello = hello.clone();
            spawn_local(async move {
                // Being thrown out is what an attacker expects.
                let _ = self.attack_once(relay.address, index, &hello).await;
            });
        }
    }

    const fn connections_per_second(self) -> u32 {
        match self {
            Self::Silent(per_second) => per_second,
            Self::Slowloris | Self::Garbage | Self::Oversized | Self::Replay => {
                CONNECTIONS_PER_SECOND
            }
        }
    }

    async fn attack_once(self, relay: SocketAddr, index: u32, hello: &[u8]) -> io::Result<()> {
        let mut stream = dial(relay, source_address(index)).await?;
        match self {
            Self::Silent(_) => {}
            Self::Slowloris => {
                for byte in hello {
                    stream.write_all(&[*byte]).await?;
                    tokio::time::sleep(SLOW_BYTE).await;
                }
            }
            Self::Garbage => {
                let mut rng = SimRng::new(u64::from(index));
                let garbage: Vec<u8> =
                    (0..512).flat_map(|_| rng.next_u64().to_le_bytes()).collect();
                stream.write_all(&garbage).await?;
            }
            Self::Oversized => {
                let mut packet = u16::MAX.to_be_bytes().to_vec();
                packet.resize(usize::from(u16::MAX), hello[2]);
                stream.write_all(&packet).await?;
            }
            Self::Replay => stream.write_all(hello).await?,
        }
        wait_for_end(&mut stream).await
    }
}

/// Attackers at work.
#[derive(Debug)]
pub(crate) struct Attackers {
    stopped: Arc<AtomicBool>,
    connects: Arc<AtomicU32>,
    thread: JoinHandle<()>,
}

impl Attackers {
    /// Ends the attack; how many connections it made.
    pub(crate) fn stop(self) -> u32 {
        self.stopped.store(true, Ordering::Relaxed);
        // A panic there was printed; the attack is over in either case.
        let _ = self.thread.join();
        self.connects.load(Ordering::Relaxed)
    }
}

/// The first packet of somebody's valid handshake, which anybody on the path could have recorded.
fn overheard_hello(relay: RelayEndpoint) -> Vec<u8> {
    let mut entropy = Entropy::system();
    let key = Arc::new(StaticKey::generate(&mut entropy));
    Connection::initiator(&InitiatorConfig::new(relay.key, key), &mut entropy)
        .ok()
        .and_then(|mut connection| connection.poll_transmit())
        .expect("the measured room has used the same relay key")
}

/// Reads until the relay closes, as an attacker who wants to hold a connection would.
async fn wait_for_end(stream: &mut TcpStream) -> io::Result<()> {
    let mut bytes = [0; 1024];
    while timeout(ANSWER_WITHIN, stream.read(&mut bytes)).await?? > 0 {}
    Ok(())
}
