//! The laboratory's strategies: each delivers on bad paths, and the textbook's three reach what the
//! textbook says.

use std::time::Duration;

use protocol::{
    lab::{
        experiment::{Experiment, Run, Traffic},
        fault::{Faults, Loss, Share},
        jitter::Jitter,
        strategy::{
            GoBackN, Kcp, Ours, Receiver, SelectiveRepeat, Sender, StopAndWait, Tcp, Timer,
        },
        sweep::{Estimate, Textbook},
    },
    time::Timestamp,
    transport::datagram::Algorithm,
};

const MS: Duration = Duration::from_millis(1);

/// Student's t for 99.9 % on both sides and 11 degrees of freedom.
const T_99_9: f64 = 4.437;

/// Asserts that what the textbook expects is within the 99.9 % confidence interval of what is
/// measured.
fn assert_as_expected(textbook: Textbook, percent: &[[u32; 2]]) {
    for lost in percent {
        let shares = lost.map(Share::percent);
        let expected = textbook.expected(shares);
        let Estimate { mean, error } = textbook.measure(shares, 0).expect("it does what it should");
        let allowed = T_99_9 * error + f64::EPSILON;
        assert!(
            (mean - expected).abs() <= allowed,
            "{textbook:?}, {lost:?} % lost: {mean:.6} ± {error:.6}, and the textbook says {expected:.6}"
        );
    }
}

#[test]
fn stop_and_wait_takes_as_long_as_the_formula_says() {
    assert_as_expected(Textbook::StopAndWait, &[[0, 0], [10, 0], [0, 10], [20, 20], [40, 10]]);
}

#[test]
fn go_back_n_sends_a_timeouts_worth_again_for_each_loss() {
    assert_as_expected(Textbook::GoBackN, &[[0, 0], [1, 0], [2, 0], [5, 0], [10, 0], [20, 0]]);
}

#[test]
fn selective_repeat_sends_again_what_is_lost_and_nothing_else() {
    assert_as_expected(
        Textbook::SelectiveRepeat,
        &[[0, 0], [1, 0], [5, 0], [10, 0], [20, 0], [10, 10]],
    );
}

fn deliver_on_a_bad_path<S: Sender, R: Receiver>(strategy: impl Fn() -> (S, R)) {
    for seed in 0..20 {
        let bad = Faults {
            delay: 10 * MS,
            jitter: Jitter::up_to(5 * MS),
            loss: Loss::Independent(Share::percent(20)),
            duplicate: Share::percent(10),
            corrupt: Share::percent(5),
            reorder: (Share::percent(10), 30 * MS),
            ..Faults::default()
        };
        let experiment = Experiment {
            traffic: Traffic { messages: 100, bytes: 200, every: 20 * MS, conversations: 1 },
            interface: Some(1_000_000),
            path: [bad.clone(), bad],
            changes: Vec::new(),
            seed,
            lasts_max: Duration::from_secs(100_000),
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
