//! Runs for tests.

use protocol::lab::{
    experiment::Run,
    scenario::{Scenario, Strategy},
};

use super::film::Film;
use crate::lab::load;

pub(crate) fn scenario(name: &str, strategies: &[&str]) -> Scenario {
    let mut scenario = load(name).unwrap_or_else(|error| panic!("{error}"));
    let named = strategies.iter().map(|name| Strategy::named(name).expect("a strategy"));
    scenario.strategies = named.collect();
    scenario
}

/// A scenario's run with one strategy.
pub(crate) fn film(name: &str, strategy: &str) -> (Run, Film) {
    let scenario = scenario(name, &[strategy]);
    let run = scenario.strategies[0].run(&scenario.experiment).expect("it keeps the order");
    let film = Film::of(&run);
    (run, film)
}
