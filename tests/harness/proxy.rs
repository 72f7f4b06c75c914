//! A TCP proxy that keeps its address while the relay behind it comes and goes, and that cuts
//! connections after a number of bytes drawn from a seed.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use protocol::entropy::SimRng;

/// What the proxy does to the next connections.
#[derive(Debug)]
struct Plan {
    target: Option<SocketAddr>,
    /// After how many bytes in one direction a connection ends; never, if `None`.
    cut_after: Option<RangeInclusive<u64>>,
    rng: SimRng,
}

/// A running proxy. Its threads end with the process: a test that is over needs no order there.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    cuts: Arc<AtomicU64>,
}

impl Proxy {
    /// Listens on a free loopback port; refuses until it has a target.
    ///
    /// # Errors
    ///
    /// If there is no free port.
    pub fn start(seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let plan = Plan { target: None, cut_after: None, rng: SimRng::new(seed) };
        let plan = Arc::new(Mutex::new(plan));
        let cuts = Arc::new(AtomicU64::new(0));
        let proxy = Self { address, plan: Arc::clone(&plan), cuts: Arc::clone(&cuts) };
        // Ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                serve(client, &plan, &cuts);
            }
        });
        Ok(proxy)
    }

    /// Where clients connect.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the next connections go; `None` refuses them.
    pub fn set_target(&self, target: Option<SocketAddr>) {
        lock(&self.plan).target = target;
    }

    /// Cuts each further connection after so many bytes in one direction, or never.
    pub fn set_cuts(&self, cut_after: Option<RangeInclusive<u64>>) {
        lock(&self.plan).cut_after = cut_after;
    }

    /// How many connections it has cut.
    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }
}

fn lock(plan: &Mutex<Plan>) -> MutexGuard<'_, Plan> {
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(client: TcpStream, plan: &Mutex<Plan>, cuts: &Arc<AtomicU64>) {
    let (target, budgets) = {
        let mut plan = lock(plan);
        let Plan { target, cut_after, rng } = &mut *plan;
        let mut draw = || cut_after.as_ref().map(|range| rng.between(*range.start(), *range.end()));
        (*target, [draw(), draw()])
    };
    // Dropping the client's socket is the refusal.
    let Some(relay) = target.and_then(|target| TcpStream::connect(target).ok()) else { return };
    let (Ok(client_again), Ok(relay_again)) = (client.try_clone(), relay.try_clone()) else {
        return;
    };
    let [up, down] = budgets;
    for (from, to, budget) in [(client, relay, up), (relay_again, client_again, down)] {
        let cuts = Arc::clone(cuts);
        // Ends when either socket does.
        thread::spawn(move || carry(from, to, budget, &cuts));
    }
}

/// Copies until one side ends or the budget is spent, then ends both: a cut in the middle of a
/// packet, as a network does it.
fn carry(mut from: TcpStream, mut to: TcpStream, budget: Option<u64>, cuts: &AtomicU64) {
    let mut left = budget;
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let spent = left.is_some_and(|left| left < read as u64);
        let allowed = match left {
            Some(left) if spent => usize::try_from(left).unwrap_or(read),
            Some(_) | None => read,
        };
        if to.write_all(&buffer[..allowed]).is_err() {
            break;
        }
        if spent {
            cuts.fetch_add(1, Ordering::Relaxed);
            break;
        }
        left = left.map(|left| left - read as u64);
    }
    // Both fail only if they are down already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || io::copy(&mut &stream, &mut &stream));
            }
        });
        address
    }

    #[test]
    fn carries_both_ways_and_cuts_after_the_drawn_number_of_bytes() {
        let proxy = Proxy::start(1).unwrap();
        proxy.set_target(Some(echo()));
        let mut calm = TcpStream::connect(proxy.address()).unwrap();
        calm.write_all(b"hello").unwrap();
        let mut back = [0; 5];
        calm.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"hello");

        proxy.set_cuts(Some(3..=3));
        let mut cut = TcpStream::connect(proxy.address()).unwrap();
        cut.write_all(b"hello").unwrap();
        let mut back = Vec::new();
        // A reset is as good an end as a clean one.
        let _ = cut.read_to_end(&mut back);
        assert!(b"hel".starts_with(&back), "no more than three bytes come back: {back:?}");
        assert!(proxy.cuts() >= 1);
    }
}
