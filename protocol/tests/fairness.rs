//! Who gets how much of a path that several want, by each congestion controller.

#[path = "support/bottleneck.rs"]
mod bottleneck;

use std::time::Duration;

use protocol::{
    lab::{
        fault::{Faults, Rate},
        jitter::Jitter,
    },
    transport::datagram::Algorithm,
};

use crate::bottleneck::{Bottleneck, Done, Traffic};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// 8 Mbit/s and 40 ms hold 40 kB; the queue so many times that.
fn path(queue: u64, seed: u64) -> Bottleneck {
    let rate = Some(Rate { bytes_per_second: 1_000_000, queue_bytes: 40_000 * queue });
    let faults =
        Faults { delay: 20 * MS, jitter: Jitter::up_to(2 * MS), rate, ..Faults::default() };
    Bottleneck::new(&faults, seed)
}

/// Bytes of two flows in a minute, after the second has joined the first.
fn minute(algorithms: [Algorithm; 2], queue: u64, seed: u64) -> [u64; 2] {
    let mut path = path(queue, seed);
    path.add(Traffic::Bulk, algorithms[0], Duration::ZERO);
    path.add(Traffic::Bulk, algorithms[1], 3 * SECOND);
    path.run(5 * SECOND);
    let done = path.run(60 * SECOND);
    [done[0].delivered, done[1].delivered]
}

/// Jain's index of two, in hundredths (Jain, Chiu and Hawe 1984): 100 if both get the same.
fn jain([a, b]: [u64; 2]) -> u64 {
    100 * (a + b).pow(2) / (2 * (a.pow(2) + b.pow(2)))
}

#[test]
fn two_of_a_kind_share_a_path() {
    for algorithm in [Algorithm::Bbr, Algorithm::Cubic, Algorithm::NewReno] {
        for queue in [1, 4] {
            for seed in 1..=3 {
                let bytes = minute([algorithm, algorithm], queue, seed);
                assert!(jain(bytes) >= 90, "{algorithm:?}, {queue}: {bytes:?}");
                assert!(bytes.iter().sum::<u64>() > 54_000_000, "{algorithm:?} leaves it unused");
            }
        }
    }
}

#[test]
fn beside_cubic_ours_takes_no_more_than_its_share_and_a_fifth() {
    for queue in [1, 4] {
        for seed in 1..=3 {
            for (first, second) in
                [(Algorithm::Bbr, Algorithm::Cubic), (Algorithm::Cubic, Algorithm::Bbr)]
            {
                let bytes = minute([first, second], queue, seed);
                let ours = bytes[usize::from(second == Algorithm::Bbr)];
                let share = 100 * ours / bytes.iter().sum::<u64>();
                assert!((10..=60).contains(&share), "{share} % at {queue} BDP, seed {seed}");
            }
        }
    }
}

#[test]
fn a_conversation_takes_no_more_beside_a_full_queue_than_alone() {
    let wire = |beside: Option<Algorithm>, queue| {
        let mut path = path(queue, 1);
        path.add(Traffic::Chat(50 * MS), Algorithm::Bbr, Duration::ZERO);
        if let Some(algorithm) = beside {
            path.add(Traffic::Bulk, algorithm, Duration::ZERO);
        }
        path.run(5 * SECOND);
        let Done { delivered, wire, .. } = path.run(60 * SECOND)[0];
        100 * wire / delivered
    };
    for queue in [1, 4] {
        let (alone, beside) = (wire(None, queue), wire(Some(Algorithm::Cubic), queue));
        assert!(beside <= alone + 20, "{beside} beside CUBIC, {alone} alone");
    }
}

#[test]
fn where_routers_mark_next_to_nothing_is_lost() {
    for algorithm in [Algorithm::Bbr, Algorithm::Cubic, Algorithm::NewReno] {
        let run = |mark_from| {
            let mut path = path(1, 1);
            path.mark_from = mark_from;
            path.add(Traffic::Bulk, algorithm, Duration::ZERO);
            path.add(Traffic::Bulk, algorithm, 3 * SECOND);
            path.run(5 * SECOND);
            // What the start lost is not what this is about.
            let lost: u64 = path.run(5 * SECOND).iter().map(|done| done.lost).sum();
            let done = path.run(60 * SECOND);
            let delivered: u64 = done.iter().map(|done| done.delivered).sum();
            (delivered, done.iter().map(|done| done.lost).sum::<u64>() - lost)
        };
        let (marked, unmarked) = (run(Some(15_000)), run(None));
        assert!(unmarked.1 > 100, "{algorithm:?} fills the queue: {unmarked:?}");
        assert!(marked.1 * 20 < unmarked.1, "{algorithm:?}: {marked:?}, {unmarked:?}");
        assert!(marked.0 > 48_000_000, "{algorithm:?} leaves the path unused: {marked:?}");
    }
}
