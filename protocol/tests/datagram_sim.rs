//! The datagram transport on bad paths in virtual time: nothing is lost, doubled or out of order in
//! any stream at any moment, and everything arrives soon after the faults stop. `SIM_SEEDS=N` runs
//! more schedules; a failure names its seed.

#[path = "support/pair.rs"]
#[allow(dead_code, reason = "the benchmark measures with what is not used here")]
mod pair;

use std::time::Duration;

use protocol::{
    entropy::SimRng,
    lab::{
        fault::{Faults, Loss, Rate, Share},
        jitter::Jitter,
    },
    transport::datagram::Algorithm,
};

use crate::pair::{
    World,
    falsify::{Bug, Falsifier},
};

/// Taken in turn.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::Bbr, Algorithm::Cubic, Algorithm::NewReno];
const MS: Duration = Duration::from_millis(1);
/// Everything has arrived so long after the faults stopped.
const SETTLE: Duration = Duration::from_secs(30);

/// Within how many schedules a planted bug has to be found.
const BUG_FOUND_WITHIN: u64 = 1_000;

/// A schedule drawn from a seed: a path that is bad for a while, and messages both ways.
fn schedule(seed: u64, bug: Option<Bug>) {
    let rng = &mut SimRng::new(seed);
    let small = |number| u32::try_from(number).expect("small");
    let percent = |rng: &mut SimRng, max| Share::percent(small(rng.below(max)));
    let bad_for = Duration::from_millis(rng.between(1_000, 10_000));
    let loss = match rng.below(4) {
        0 => Loss::None,
        1 => Loss::bursts(percent(rng, 30), small(rng.between(2, 12))),
        _ => Loss::Independent(percent(rng, 51)),
    };
    let blackout = Duration::from_millis(rng.below(8_000));
    let faults = Faults {
        delay: Duration::from_micros(rng.between(200, 200_000)),
        jitter: Jitter::up_to(Duration::from_micros(rng.below(20_000))),
        loss,
        duplicate: percent(rng, 20),
        corrupt: percent(rng, 10),
        reorder: (percent(rng, 20), Duration::from_millis(rng.between(1, 80))),
        rate: rng.chance(1, 3).then(|| Rate {
            bytes_per_second: rng.between(20_000, 2_000_000),
            queue_bytes: rng.between(5_000, 200_000),
        }),
        datagram_bytes_max: if rng.chance(1, 4) { 1_300 } else { 0 },
        blackouts: if rng.chance(1, 3) { vec![blackout..blackout + bad_for / 3] } else { vec![] },
    };
    let algorithm = ALGORITHMS[small(seed % 3) as usize];
    let mut world = World::new(&faults, algorithm, seed, 4);
    world.falsifiers = [bug.map(Falsifier::new), bug.map(Falsifier::new)];
    let bad_until = world.now + bad_for;
    while world.now < bad_until {
        let side = usize::from(rng.chance(1, 2));
        let conversation = small(rng.below(4)) as usize;
        let bytes = match rng.below(20) {
            0 => rng.between(5_000, 40_000),
            _ => rng.between(1, 400),
        };
        if world.ends[side].transport.has_room() {
            let bytes: Vec<u8> = (0..bytes).map(|n| n.wrapping_mul(8).to_le_bytes()[0]).collect();
            world.write(side, conversation, &bytes);
        }
        let pause = Duration::from_micros(rng.below(60_000));
        world.run_until(world.now + pause);
    }
    let calm = Faults { loss: Loss::None, corrupt: Share::NONE, blackouts: vec![], ..faults };
    for link in &mut world.links {
        link.set_faults(calm.clone());
    }
    let stopped = world.now;
    while !world.is_finished() && world.now < stopped + SETTLE {
        world.run_until(world.now + 100 * MS);
    }
    for end in &world.ends {
        assert!(
            world.is_finished(),
            "{:?} after the faults, of {faults:?}: {:?} {:?} {:?}",
            SETTLE,
            end.transport.stats(),
            end.transport.window(),
            end.transport.rtt(),
        );
    }
    // And then it is quiet: nothing is sent for nothing.
    world.run_until(world.now + Duration::from_secs(5));
    let packets = world.packets;
    world.run_until(world.now + Duration::from_secs(60));
    assert_eq!(world.packets, packets, "packets about nothing");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how many schedules is for whoever runs them to say")]
fn nothing_is_lost_doubled_or_reordered_on_any_path() {
    let seeds = std::env::var("SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    for seed in 0..seeds.unwrap_or(1_000) {
        let run = std::panic::catch_unwind(|| schedule(seed, None));
        assert!(run.is_ok(), "seed {seed} failed");
    }
}

#[test]
fn every_planted_bug_is_found() {
    for bug in Bug::ALL {
        let is_found =
            |seed: &u64| std::panic::catch_unwind(|| schedule(*seed, Some(bug))).is_err();
        let found = (0..BUG_FOUND_WITHIN).find(is_found);
        assert!(found.is_some(), "{bug:?} was not found");
        println!("{bug:?}: found by seed {found:?}");
    }
}

#[test]
fn a_path_that_becomes_narrower_is_noticed_also_when_every_packet_is_large() {
    let wide = Faults { delay: 20 * MS, ..Faults::default() };
    for algorithm in ALGORITHMS {
        let mut world = World::new(&wide, algorithm, 1, 1);
        let bytes = vec![0; 200_000];
        world.write(0, 0, &bytes);
        while world.ends[0].transport.datagram_bytes() <= 1_350 {
            world.run_until(world.now + MS);
        }
        for link in &mut world.links {
            link.set_faults(Faults { datagram_bytes_max: 1_250, ..wide.clone() });
        }
        world.write(0, 0, &bytes);
        world.run_until(world.now + SETTLE);
        assert!(world.is_finished(), "{algorithm:?} {:?}", world.ends[0].transport.stats());
    }
}
