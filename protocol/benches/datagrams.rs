//! What the datagram transport does to messages on bad paths, in virtual time: the traffic and the
//! paths on which transports are usually compared. `cargo bench -p protocol`.

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

#[path = "../tests/support/bottleneck.rs"]
mod bottleneck;
#[path = "../tests/support/pair.rs"]
mod pair;

use std::time::Duration;

use protocol::{
    lab::{
        fault::{Faults, Loss, Rate, Share},
        jitter::Jitter,
    },
    transport::datagram::Algorithm,
};

use crate::{
    bottleneck::{Bottleneck, Traffic},
    pair::World,
};

const MS: Duration = Duration::from_millis(1);
const SEEDS: u64 = 20;
const MESSAGE: [u8; 200] = [0; 200];

fn main() {
    println!(
        "{:<28} {:>8} {:>8} {:>8} {:>7}",
        "200 bytes, 20 times a second", "p50 ms", "p99 ms", "p99.9", "wire"
    );
    for (name, faults) in paths() {
        messages(name, &faults, 600, 50 * MS);
    }
    println!(
        "\n{:<28} {:>8} {:>8} {:>8} {:>7}",
        "200 bytes, 500 times", "p50 ms", "p99 ms", "p99.9", "wire"
    );
    for (name, faults) in paths() {
        messages(name, &faults, 7_500, 2 * MS);
    }
    println!("\n{:<28} {:>8}", "5 MB over 20 Mbit/s", "Mbit/s");
    for algorithm in [Algorithm::Bbr, Algorithm::Cubic, Algorithm::NewReno] {
        for loss in [0, 1, 5, 10, 20] {
            bulk(algorithm, loss);
        }
    }
    println!(
        "\n{:<28} {:>8} {:>8} {:>8} {:>8}",
        "two share 8 Mbit/s for 60 s", "of first", "Jain", "Mbit/s", "lost"
    );
    for [first, second] in [
        [Algorithm::Bbr, Algorithm::Bbr],
        [Algorithm::Cubic, Algorithm::Cubic],
        [Algorithm::Bbr, Algorithm::Cubic],
        [Algorithm::Bbr, Algorithm::NewReno],
    ] {
        for queue in [1, 4] {
            share([first, second], queue);
        }
    }
    println!("\n{:<28} {:>8}", "800 Mbit/s, CPU time", "µs each");
    for algorithm in [Algorithm::Bbr, Algorithm::Cubic] {
        for round_trip in [1, 20] {
            cost(algorithm, round_trip);
        }
    }
    println!("\n{:<28} {:>8}", "200 bytes, 20 times a second", "wire");
    for queue in [1, 4] {
        chat_beside_bulk(queue);
    }
}

/// The queue holds so many times what the path does. The second begins five seconds later.
fn share(algorithms: [Algorithm; 2], queue: u64) {
    let mut path = Bottleneck::new(&narrow(queue), 1);
    path.add(Traffic::Bulk, algorithms[0], Duration::ZERO);
    path.add(Traffic::Bulk, algorithms[1], Duration::from_secs(5));
    path.run(Duration::from_secs(5));
    let done = path.run(Duration::from_secs(60));
    let (a, b) = (ratio(done[0].delivered, 1), ratio(done[1].delivered, 1));
    let jain = (a + b) * (a + b) / (2.0 * (a * a + b * b));
    let name = format!("{:?} and {:?}, {queue} BDP", algorithms[0], algorithms[1]);
    let (share, rate) = (a / (a + b) * 100.0, (a + b) * 8.0 / 60e6);
    let lost = done[0].lost + done[1].lost;
    println!("{name:<28} {share:>6.0} % {jain:>8.2} {rate:>8.2} {lost:>8}");
}

/// What a packet costs both ends together, without cryptography and system calls.
#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "this is about real time")]
fn cost(algorithm: Algorithm, round_trip: u32) {
    let rate = Some(Rate { bytes_per_second: 100_000_000, queue_bytes: 1_000_000 });
    let faults = Faults { delay: round_trip * MS / 2, rate, ..Faults::default() };
    let mut path = Bottleneck::new(&faults, 1);
    path.add(Traffic::Bulk, algorithm, Duration::ZERO);
    path.run(Duration::from_secs(1));
    let began = std::time::Instant::now();
    let done = path.run(Duration::from_secs(2));
    let packets = done[0].wire / 1_500;
    let each = began.elapsed().as_secs_f64() * 1e6 / ratio(packets, 1);
    let name = format!("{algorithm:?}, round trip {round_trip} ms");
    println!("{name:<28} {each:>8.2} {:>8.0} Mbit/s", ratio(done[0].delivered * 8, 2_000_000));
}

/// A conversation beside a CUBIC flow that keeps the queue full.
fn chat_beside_bulk(queue: u64) {
    let mut path = Bottleneck::new(&narrow(queue), 1);
    path.add(Traffic::Bulk, Algorithm::Cubic, Duration::ZERO);
    path.add(Traffic::Chat(50 * MS), Algorithm::default(), Duration::from_secs(5));
    path.run(Duration::from_secs(5));
    let done = path.run(Duration::from_secs(60));
    let wire = ratio(done[1].wire, done[1].delivered);
    println!("{:<28} {wire:>8.2}", format!("beside Cubic, {queue} BDP"));
}

fn narrow(queue: u64) -> Faults {
    let rate = Some(Rate { bytes_per_second: 1_000_000, queue_bytes: 40_000 * queue });
    Faults { delay: 20 * MS, rate, ..Faults::default() }
}

/// 20 ms each way with 2 ms of jitter, or half a millisecond.
fn paths() -> Vec<(&'static str, Faults)> {
    let wan = Faults { delay: 20 * MS, jitter: Jitter::up_to(2 * MS), ..Faults::default() };
    let lan = Faults { delay: MS / 2, ..Faults::default() };
    let lossy = |percent| Loss::Independent(Share::percent(percent));
    vec![
        ("wan", wan.clone()),
        ("wan, 1 % lost", Faults { loss: lossy(1), ..wan.clone() }),
        ("wan, 5 %", Faults { loss: lossy(5), ..wan.clone() }),
        ("wan, 10 %", Faults { loss: lossy(10), ..wan.clone() }),
        ("wan, 20 %", Faults { loss: lossy(20), ..wan.clone() }),
        ("wan, 30 %", Faults { loss: lossy(30), ..wan.clone() }),
        ("wan, 5 % in bursts of 5", Faults { loss: Loss::bursts(Share::percent(5), 5), ..wan }),
        ("lan", lan.clone()),
        ("lan, 5 %", Faults { loss: lossy(5), ..lan }),
    ]
}

fn messages(name: &str, faults: &Faults, count: u32, every: Duration) {
    let mut all = Vec::new();
    let mut wire = 0;
    for seed in 1..=SEEDS {
        let mut world = World::new(faults, Algorithm::default(), seed, 1);
        for _ in 0..count {
            world.write(0, 0, &MESSAGE);
            world.run_until(world.now + every);
        }
        world.run_until(world.now + Duration::from_secs(20));
        assert!(world.is_finished(), "{name}");
        all.extend(world.latencies(0));
        wire += world.wire_bytes();
    }
    all.sort();
    let at = |part: usize| all[(all.len() * part / 1_000).min(all.len() - 1)].as_secs_f64() * 1e3;
    let (p50, p99, p999) = (at(500), at(990), at(999));
    let payload = all.len() * MESSAGE.len();
    let wire = ratio(wire, payload as u64);
    println!("{name:<28} {p50:>8.1} {p99:>8.1} {p999:>8.1} {wire:>7.2}");
}

fn bulk(algorithm: Algorithm, loss: u32) {
    let faults = Faults {
        delay: 20 * MS,
        jitter: Jitter::up_to(2 * MS),
        loss: Loss::Independent(Share::percent(loss)),
        rate: Some(Rate { bytes_per_second: 2_500_000, queue_bytes: 100_000 }),
        ..Faults::default()
    };
    let (mut bytes, mut seconds) = (0, 0.0);
    for seed in 1..=SEEDS {
        let mut world = World::new(&faults, algorithm, seed, 1);
        let began = world.now;
        let mut left: usize = 5_000_000;
        while left > 0 || world.ends[0].read[0] < 5_000_000 {
            while left > 0 && world.ends[0].transport.has_room() {
                let bytes = left.min(16_384);
                world.write(0, 0, &vec![0; bytes]);
                left -= bytes;
            }
            world.run_until(world.now + MS);
            assert!(world.now.since(began) < Duration::from_secs(120), "it does not end");
        }
        bytes += world.ends[0].read[0];
        seconds += world.now.since(began).as_secs_f64();
    }
    let rate = ratio(bytes * 8, 1_000_000) / seconds;
    println!("{:<28} {rate:>8.1}", format!("{algorithm:?}, {loss} % lost"));
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
