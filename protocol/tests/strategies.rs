//! The laboratory's strategies: each delivers on bad paths, and the textbook's three reach what the
//! textbook says.

use std::time::Duration;

use protocol::{
    lab::{
        experiment::{Experiment, Run, Traffic},
        fault::{Faults, Loss, Share},
        strategy::{
            GoBackN, Kcp, Ours, Receiver, SelectiveRepeat, Sender, StopAndWait, Tcp, Timer,
        },
        theory,
    },
    time::Timestamp,
    transport::datagram::Algorithm,
};

const MS: Duration = Duration::from_millis(1);
/// Bytes of a packet, header and message.
const PACKET_BYTES: usize = 1_009;
const MESSAGE_BYTES: usize = 1_000;
/// A packet takes 1 ms.
const BYTES_PER_SECOND: u64 = 1_009_000;

fn path(lost: u32) -> Faults {
    Faults { delay: 10 * MS, loss: Loss::Independent(Share::percent(lost)), ..Faults::default() }
}

fn bulk(messages: u32, lost: [u32; 2], seed: u64) -> Experiment {
    Experiment {
        traffic: Traffic {
            messages,
            bytes: MESSAGE_BYTES,
            every: Duration::ZERO,
            conversations: 1,
        },
        interface: Some(BYTES_PER_SECOND),
        path: lost.map(path),
        changes: Vec::new(),
        seed,
        lasts_max: Duration::from_secs(100_000),
    }
}

/// Seconds for each message, on average and with its standard error, over independent runs.
fn seconds_each<S: Sender, R: Receiver>(
    lost: [u32; 2],
    messages: u32,
    strategy: impl Fn() -> (S, R),
) -> (f64, f64) {
    let runs = 12;
    let each: Vec<f64> = (0..runs)
        .map(|seed| {
            let run = bulk(messages, lost, seed).run(strategy()).expect("it does what it should");
            assert_eq!(run.delivered(), messages as usize);
            run.lasted.as_secs_f64() / f64::from(messages)
        })
        .collect();
    let count = f64::from(u32::try_from(runs).expect("few"));
    let mean = each.iter().sum::<f64>() / count;
    let variance = each.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, (variance / count).sqrt())
}

/// Asserts that theory is within the 99.9 % confidence interval, widened by `model`, what the formula
/// leaves out.
fn assert_as_expected(name: &str, (mean, error): (f64, f64), theory: f64, model: f64) {
    let distance = (mean - theory).abs();
    assert!(
        distance <= 3.9 * error + theory * model,
        "{name}: {mean:.6} ± {error:.6} s, and theory says {theory:.6}"
    );
}

#[test]
fn stop_and_wait_takes_as_long_as_the_formula_says() {
    let timeout = 50 * MS;
    for lost in [[0, 0], [10, 0], [0, 10], [20, 20], [40, 10]] {
        let measured = seconds_each(lost, 500, || StopAndWait::new(Timer::Fixed(timeout)));
        // 1 ms to send it, 10 there and 10 back.
        let shares = lost.map(|percent| f64::from(percent) / 100.0);
        let theory = theory::stop_and_wait(21 * MS, timeout, shares);
        assert_as_expected(&format!("{lost:?}"), measured, theory, 0.001);
    }
}

#[test]
fn go_back_n_sends_a_timeouts_worth_again_for_each_loss() {
    // The window is what leaves in a timeout: it never stalls, and repeats all of it.
    let (timeout, window) = (40 * MS, 40);
    for lost in [0, 1, 2, 5, 10, 20] {
        let measured =
            seconds_each([lost, 0], 4_000, || GoBackN::new(Timer::Fixed(timeout), window));
        let share = theory::go_back_n(40.0, f64::from(lost) / 100.0);
        assert_as_expected(&format!("{lost} %"), measured, 0.001 / share, 0.03);
    }
}

#[test]
fn selective_repeat_sends_again_what_is_lost_and_nothing_else() {
    let (timeout, window) = (40 * MS, 400);
    for lost in [[0, 0], [1, 0], [5, 0], [10, 0], [20, 0], [10, 10]] {
        let measured =
            seconds_each(lost, 4_000, || SelectiveRepeat::new(Timer::Fixed(timeout), window));
        let share = theory::selective_repeat(lost.map(|percent| f64::from(percent) / 100.0));
        assert_as_expected(&format!("{lost:?}"), measured, 0.001 / share, 0.05);
    }
}

fn deliver_on_a_bad_path<S: Sender, R: Receiver>(strategy: impl Fn() -> (S, R)) {
    for seed in 0..20 {
        let bad = Faults {
            jitter: 5 * MS,
            duplicate: Share::percent(10),
            corrupt: Share::percent(5),
            reorder: (Share::percent(10), 30 * MS),
            ..path(20)
        };
        let experiment = Experiment {
            traffic: Traffic { messages: 100, bytes: 200, every: 20 * MS, conversations: 1 },
            path: [bad.clone(), bad],
            ..bulk(100, [0, 0], seed)
        };
        let run: Run = experiment.run(strategy()).expect("in order, once, unchanged");
        assert_eq!(run.delivered(), 100, "seed {seed}");
        assert_eq!(run, experiment.run(strategy()).expect("the same"), "a seed is a film");
    }
}

#[test]
fn all_deliver_on_a_path_that_loses_doubles_damages_and_reorders() {
    deliver_on_a_bad_path(|| StopAndWait::new(Timer::adaptive()));
    deliver_on_a_bad_path(|| GoBackN::new(Timer::adaptive(), 16));
    deliver_on_a_bad_path(|| SelectiveRepeat::new(Timer::adaptive(), 16));
    deliver_on_a_bad_path(Tcp::new);
    deliver_on_a_bad_path(Kcp::new);
    deliver_on_a_bad_path(|| Ours::new(Timestamp::ZERO, Algorithm::Bbr, Some(20 * MS)));
}

const _: () = assert!(PACKET_BYTES == MESSAGE_BYTES + 9);
