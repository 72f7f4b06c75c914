//! `lab watch`: a run on the whole screen.

use crate::{cli::LabWatch, config::Config, lab, report::Failure, settings::Preferences};

pub(super) async fn run(asked: &LabWatch, config: &Config) -> Result<(), Failure> {
    let mut scenario = lab::load(&asked.scenario)?;
    scenario.experiment.seed = asked.seed.unwrap_or(scenario.experiment.seed);
    if let Some(first) = asked.strategy {
        // The others follow, to be compared.
        scenario.strategies.retain(|strategy| *strategy != first);
        scenario.strategies.insert(0, first);
    }
    let (preferences, _) = Preferences::load(&config.settings);
    lab::watch::run(&scenario, &preferences).await
}
