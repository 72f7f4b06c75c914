//! The laboratory's library: scenarios that come with the program, and those in files.

pub mod trace;

use std::{fs, path::Path};

use protocol::lab::scenario::{Scenario, Written};

use crate::report::Failure;

/// Largest file that is read as a scenario.
const FILE_BYTES_MAX: u64 = 1 << 20;

macro_rules! scenarios {
    ($($name:literal),* $(,)?) => {
        /// The scenarios that come with the program, by name.
        pub const SCENARIOS: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("scenarios/", $name, ".toml")))),*];
    };
}

scenarios![
    "lost-ack",
    "tail-loss",
    "burst",
    "reordering",
    "spurious-timeout",
    "bufferbloat",
    "blackout",
    "head-of-line",
];

/// The scenario of this name, or in this file.
///
/// # Errors
///
/// If there is none, or what is wrong with it.
pub fn load(name: &str) -> Result<Scenario, Failure> {
    if let Some((_, text)) = SCENARIOS.iter().find(|(known, _)| *known == name) {
        return parse(name, text);
    }
    let path = Path::new(name);
    let is_file = path.extension().is_some_and(|it| it == "toml") || name.contains('/');
    if !is_file {
        let what = format!("scenario {name} (chat-client lab list; a file ends in .toml)");
        return Err(Failure::NotFound { what });
    }
    let reading = |error| Failure::io(format!("cannot read {name}"), error);
    if fs::metadata(path).map_err(reading)?.len() > FILE_BYTES_MAX {
        return Err(Failure::Usage(format!("{name} is larger than a scenario may be (1 MiB)")));
    }
    parse(name, &fs::read_to_string(path).map_err(reading)?)
}

fn parse(name: &str, text: &str) -> Result<Scenario, Failure> {
    let written: Written = toml::from_str(text)
        .map_err(|error| Failure::Usage(format!("{name}: {}", error.to_string().trim_end())))?;
    Scenario::new(written).map_err(|error| Failure::Usage(format!("{name}: {error}")))
}

#[cfg(test)]
mod tests {
    use protocol::lab::expect::Measures;

    use super::*;

    #[test]
    fn what_comes_with_the_program_does_what_it_says() {
        for (name, _) in SCENARIOS {
            let scenario = load(name).unwrap_or_else(|error| panic!("{error}"));
            assert!(scenario.explain.len() > 200 && !scenario.expect.is_empty(), "{name}");
            for strategy in &scenario.strategies {
                let run = strategy.run(&scenario.experiment).expect("they keep the order");
                let measures = Measures::of(&run, scenario.experiment.traffic.bytes);
                for expect in &scenario.expect {
                    if expect.concerns(*strategy) {
                        let met = expect.check(&run, &measures);
                        assert_eq!(met, Ok(()), "{name}, {strategy}: {expect}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_mistake_in_a_scenario_is_shown_with_its_place() {
        let wrong = |text: &str| parse("mine.toml", text).expect_err(text).to_string();
        let right = "title = ''\nexplain = ''\nlasts = '1s'\nstrategies = ['ours']\n\
                     traffic = { messages = 1, bytes = 8 }\n";
        assert!(parse("mine.toml", right).is_ok());
        assert!(wrong(&format!("{right}seeds = 1")).contains("unknown field `seeds`"));
        assert!(wrong(&format!("{right}path = {{ loss = '5' }}")).contains("write 5%"));
        assert!(wrong(&right.replace("ours", "yours")).contains("stop-and-wait, go-back-n"));
        assert!(wrong(&right.replace("bytes = 8", "bytes = 7")).contains("at least 8"));
    }
}
