//! What a flood of handshakes over datagrams costs those who are logged in, and who still gets in.
//!
//! Two rooms keep talking, the members of one over TCP, of the other over UDP, while newcomers log in
//! over UDP, one after the other. First nobody else is there; then somebody sends handshakes as fast
//! as told, from many addresses: first from invented ones, then from such as can bring a cookie back.
//! Attacker, relay and people share the machine: what they take from one another is in the figures.

mod attack;

use std::{cell::RefCell, rc::Rc, time::Duration};

use harness::{client::RelayEndpoint, identity::Identity};
use protocol::transport::TransportKind;
use tokio::{
    task::spawn_local,
    time::{Instant, interval},
};

use self::attack::Attack;
use crate::{
    bench::{BenchError, Person, Relay, for_each},
    cli::{Common, Flood},
    report::Report,
    room::{Crowd, Room},
    stats::{Latencies, Sample, number},
};

/// Members of each room.
const MEMBERS: u32 = 10;
/// How many of them send.
const SENDERS: u16 = 5;
/// Messages per second in each room.
const RATE: u32 = 50;
/// People who log in again and again.
const NEWCOMERS: u32 = 8;
/// Time between two of their logins.
const LOGIN_INTERVAL: Duration = Duration::from_millis(200);
/// Number of the first newcomer; members are below.
const FIRST_NEWCOMER: u32 = 1_000;
/// Unmeasured beginning.
const WARM_UP: Duration = Duration::from_secs(1);

/// Measures it.
///
/// # Errors
///
/// If there is nothing to report.
pub(crate) async fn run(options: &Flood, common: &Common) -> Result<Report, BenchError> {
    let relay = Relay::start(common)?;
    let over = |transport| RelayEndpoint { transport, ..relay.endpoint() };
    let (tcp, udp) = (over(TransportKind::Stream), over(TransportKind::Datagram));
    let crowd =
        Crowd { room: "tcp", first_index: 0, members: MEMBERS, senders: SENDERS, never_read: 0 };
    let scene = Scene {
        tcp: Room::fill(tcp, &crowd).await?,
        udp: Room::fill(udp, &Crowd { room: "udp", first_index: MEMBERS, ..crowd }).await?,
        newcomers: for_each(FIRST_NEWCOMER..FIRST_NEWCOMER + NEWCOMERS, move |index| async move {
            Ok((index, Person::register(udp, index).await?.identity))
        })
        .await?,
        endpoint: udp,
    };
    let length = Duration::from_secs(options.secs);
    scene.watch(&relay, WARM_UP).await?;

    let per_second = options.per_second;
    let mut report = Report::new(format!("flood of {per_second} handshakes/s over UDP"));
    scene.watch(&relay, length).await?.add_to("nobody", &mut report);
    for attack in [Attack::Spoofed, Attack::WithCookies] {
        let flood = attack.launch(udp, per_second)?;
        let begun = Instant::now();
        let stretch = scene.watch(&relay, length).await?;
        let sent = number(flood.stop()) / begun.elapsed().as_secs_f64();
        stretch.add_to(attack.name(), &mut report);
        report.add(format!("{}: handshakes sent", attack.name()), "/s", sent);
    }
    for room in [&scene.tcp, &scene.udp] {
        room.finish().await;
        room.add_checks_to(&mut report)?;
    }
    Ok(report)
}

/// Those who are watched.
struct Scene {
    tcp: Rc<Room>,
    udp: Rc<Room>,
    newcomers: Vec<(u32, Rc<Identity>)>,
    endpoint: RelayEndpoint,
}

/// What a stretch of time was like for them.
struct Stretch {
    tcp: Latencies,
    udp: Latencies,
    logins: Logins,
    relay_cores: f64,
}

#[derive(Debug)]
struct Logins {
    tried: u32,
    took: Latencies,
}

impl Scene {
    async fn watch(&self, relay: &Relay, length: Duration) -> Result<Stretch, BenchError> {
        let before = Sample::take(relay.pid())?;
        let logins = Rc::new(RefCell::new(Logins { tried: 0, took: Latencies::new() }));
        for room in [&self.tcp, &self.udp] {
            room.start_timing();
        }
        tokio::join!(
            self.tcp.pace(RATE, length),
            self.udp.pace(RATE, length),
            self.log_in(Rc::clone(&logins), length),
        );
        let usage = before.until(&Sample::take(relay.pid())?);
        for room in [&self.tcp, &self.udp] {
            room.wait_for_arrival().await;
        }
        let (tcp, udp) = (self.tcp.stop_timing(), self.udp.stop_timing());
        let took = logins.borrow().took.clone();
        let logins = Logins { tried: logins.borrow().tried, took };
        Ok(Stretch { tcp, udp, logins, relay_cores: usage.cores(usage.relay.total()) })
    }

    /// Whoever is not in when the stretch is over does not count as in.
    async fn log_in(&self, logins: Rc<RefCell<Logins>>, length: Duration) {
        let begun = Instant::now();
        let mut turns = interval(LOGIN_INTERVAL);
        for (index, identity) in self.newcomers.iter().cycle() {
            turns.tick().await;
            if begun.elapsed() >= length {
                return;
            }
            logins.borrow_mut().tried += 1;
            let (logins, endpoint) = (Rc::clone(&logins), self.endpoint);
            let (index, identity) = (*index, Rc::clone(identity));
            spawn_local(async move {
                let asked = Instant::now();
                if Person::login(endpoint, index, identity).await.is_ok() {
                    logins.borrow_mut().took.record(asked.elapsed());
                }
            });
        }
    }
}

impl Stretch {
    fn add_to(&self, during: &str, report: &mut Report) {
        for (room, latencies) in [("TCP", &self.tcp), ("UDP", &self.udp)] {
            for (name, value) in [
                ("p50", latencies.quantile_ms(0.5)),
                ("p99", latencies.quantile_ms(0.99)),
                ("longest", latencies.max_ms()),
            ] {
                report.add(format!("{during}: message over {room}, {name}"), "ms", value);
            }
        }
        let in_time = number(self.logins.took.count());
        report.add(format!("{during}: logins tried"), "", self.logins.tried.into());
        report.add(format!("{during}: logins done"), "", in_time);
        report.add(format!("{during}: login, p50"), "ms", self.logins.took.quantile_ms(0.5));
        report.add(format!("{during}: login, longest"), "ms", self.logins.took.max_ms());
        report.add(format!("{during}: relay"), "cores", self.relay_cores);
    }
}
