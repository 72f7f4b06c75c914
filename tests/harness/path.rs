//! A bad path for datagrams between programs: a proxy on loopback that loses, delays and repeats
//! them as [`Faults`] say, in real time.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use protocol::{
    lab::{fault::Faults, network::Link},
    time::Timestamp,
};

/// How long a thread waits before it looks at the clock again.
const TICK: Duration = Duration::from_micros(500);
/// The largest datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// A running proxy. Its threads end with the process.
#[derive(Debug)]
pub struct Path {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    faults: Faults,
    /// Nothing passes until then.
    dark_until: Option<Instant>,
    carried: u64,
    /// How often all clients have moved.
    moves: u64,
}

impl Path {
    /// A path to `target` that does what `faults` say in each direction, for each client.
    ///
    /// # Errors
    ///
    /// If there is no free port.
    pub fn start(target: SocketAddr, faults: Faults, seed: u64) -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
        let address = socket.local_addr()?;
        let shared = Shared { target, faults, dark_until: None, carried: 0, moves: 0 };
        let shared = Arc::new(Mutex::new(shared));
        let theirs = Arc::clone(&shared);
        // Ends with the process.
        thread::spawn(move || serve(&socket, &theirs, seed));
        Ok(Self { address, shared })
    }

    /// Where clients send.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Nothing passes for so long.
    pub fn go_dark(&self, duration: Duration) {
        lock(&self.shared).dark_until = Some(Instant::now() + duration);
    }

    /// Everything passes again, as far as the faults let it.
    pub fn go_light(&self) {
        lock(&self.shared).dark_until = None;
    }

    /// From now on the path leads there.
    pub fn lead_to(&self, target: SocketAddr) {
        lock(&self.shared).target = target;
    }

    /// From now on all clients come from other ports, as behind a router that has forgotten them.
    pub fn move_clients(&self) {
        lock(&self.shared).moves += 1;
    }

    /// Datagrams that it took, in both directions.
    pub fn carried(&self) -> u64 {
        lock(&self.shared).carried
    }
}

/// One direction for one client.
struct Direction {
    link: Link,
    began: Instant,
}

impl Direction {
    fn new(faults: &Faults, seed: u64) -> Self {
        let link = Link::new(Timestamp::ZERO, faults.clone(), seed);
        Self { link, began: Instant::now() }
    }

    fn now(&self) -> Timestamp {
        let micros = self.began.elapsed().as_micros();
        Timestamp::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

fn serve(socket: &Arc<UdpSocket>, shared: &Arc<Mutex<Shared>>, seed: u64) {
    let mut clients: BTreeMap<SocketAddr, (UdpSocket, Direction, Direction)> = BTreeMap::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut moves = 0;
    if socket.set_read_timeout(Some(TICK)).is_err() {
        return;
    }
    loop {
        if let Ok((bytes, from)) = socket.recv_from(&mut buffer) {
            let number = clients.len() as u64;
            let faults = lock(shared).faults.clone();
            let client = clients.entry(from).or_insert_with(|| {
                let up = Direction::new(&faults, seed ^ (number * 2));
                (upstream(), up, Direction::new(&faults, seed ^ (number * 2 + 1)))
            });
            if passes(shared) {
                let now = client.1.now();
                client.1.link.send(now, &buffer[..bytes]);
            }
        }
        let Shared { target, moves: wanted, .. } = *lock(shared);
        if std::mem::replace(&mut moves, wanted) != wanted {
            for (socket, ..) in clients.values_mut() {
                *socket = upstream();
            }
        }
        for (client, (upstream, up, down)) in &mut clients {
            while let Ok(bytes) = upstream.recv(&mut buffer) {
                if passes(shared) {
                    let now = down.now();
                    down.link.send(now, &buffer[..bytes]);
                }
            }
            // What the kernel does not take is lost: that is what this is for.
            while let Some(datagram) = up.link.receive(up.now()) {
                let _ = upstream.send_to(&datagram, target);
            }
            while let Some(datagram) = down.link.receive(down.now()) {
                let _ = socket.send_to(&datagram, client);
            }
        }
    }
}

fn upstream() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.set_nonblocking(true).expect("a socket can");
    socket
}

fn passes(shared: &Mutex<Shared>) -> bool {
    let mut shared = lock(shared);
    shared.carried += 1;
    shared.dark_until.is_none_or(|until| Instant::now() >= until)
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
