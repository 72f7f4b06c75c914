//! What came of a scenario with one strategy, held against what was expected.

use protocol::lab::{expect::Measures, experiment::Run, scenario::Scenario};

/// A run with its figures.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How the strategy is called.
    pub strategy: String,
    /// Everything that happened.
    pub run: Run,
    /// And its figures.
    pub measures: Measures,
    /// What the scenario expects of it, in the order of the scenario.
    pub verdicts: Vec<Verdict>,
}

/// An expectation that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// As written in the scenario.
    pub expected: String,
    /// What it is instead; `None` if it is as expected.
    pub instead: Option<String>,
}

impl Outcome {
    /// What a run of a scenario came to. The strategy need not be one that has a name in scenarios.
    pub fn new(strategy: &str, run: Run, scenario: &Scenario) -> Self {
        let measures = Measures::of(&run, scenario.experiment.traffic.bytes);
        let concerning = scenario.expect.iter().filter(|expect| expect.concerns(strategy));
        let verdicts = concerning
            .map(|expect| Verdict {
                expected: expect.to_string(),
                instead: expect.check(&run, &measures).err(),
            })
            .collect();
        Self { strategy: strategy.to_owned(), run, measures, verdicts }
    }

    /// What is not as expected, a line each.
    pub fn unmet(&self) -> impl Iterator<Item = String> {
        self.verdicts.iter().filter_map(|Verdict { expected, instead }| {
            let is = instead.as_ref()?;
            Some(format!("{}: expected {expected}, and it is {is}", self.strategy))
        })
    }
}
