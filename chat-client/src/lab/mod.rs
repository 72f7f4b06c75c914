//! The laboratory's library: scenarios that come with the program, and those in files; and what is
//! made of their outcomes.
//!
//! ```text
//!   outcome   a run, held against what was expected     file    written whole, never over another's
//!   table     for a terminal                            junit   for continuous integration
//!   textbook  strategies beside their formulas
//!   report    for a browser                             trace   for other tools
//!   ladder    packets one below the other               watch   a run, played
//!   proxy     what makes things go wrong between any programs
//!   remote    runs whose receiver is on another host
//!   alarm     waiting, precisely                        sockets  for datagrams
//! ```

mod alarm;
pub mod file;
pub mod junit;
pub mod ladder;
pub mod outcome;
pub mod proxy;
pub mod remote;
pub mod report;
mod sockets;
pub mod table;
pub mod textbook;
pub mod trace;
pub mod watch;

use std::{
    borrow::Cow,
    fs::{self, File},
    io::Read as _,
    path::Path,
};

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
    parse(name, &text(name)?)
}

/// A scenario as it is written.
///
/// # Errors
///
/// If there is none of this name.
pub fn text(name: &str) -> Result<Cow<'static, str>, Failure> {
    if let Some((_, text)) = SCENARIOS.iter().find(|(known, _)| *known == name) {
        return Ok(Cow::Borrowed(*text));
    }
    let path = Path::new(name);
    let is_file = path.extension().is_some_and(|it| it == "toml") || name.contains('/');
    if !is_file {
        let what = format!("scenario {name} (chat-client lab list; a file ends in .toml)");
        return Err(Failure::NotFound { what });
    }
    let reading = |error| Failure::io(format!("cannot read {name}"), error);
    // Opening a pipe would wait for somebody who writes.
    if !fs::metadata(path).map_err(reading)?.is_file() {
        return Err(Failure::Usage(format!("{name} is no plain file")));
    }
    let file = File::open(path).map_err(reading)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(reading)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::Usage(format!("{name} is larger than a scenario may be (1 MiB)")));
    }
    Ok(Cow::Owned(text))
}

/// The scenario that this is the text of; `name` is for what is said of mistakes.
///
/// # Errors
///
/// What is wrong with it.
pub fn parse(name: &str, text: &str) -> Result<Scenario, Failure> {
    let written: Written = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Failure::Usage(format!("{name}, line {line}: {}", error.message().trim_end()))
    })?;
    Scenario::new(written).map_err(|error| Failure::Usage(format!("{name}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::{outcome::Outcome, *};

    #[test]
    fn what_comes_with_the_program_does_what_it_says() {
        for (name, _) in SCENARIOS {
            let scenario = load(name).unwrap_or_else(|error| panic!("{error}"));
            assert!(scenario.explain.len() > 200 && !scenario.expect.is_empty(), "{name}");
            for strategy in &scenario.strategies {
                let run = strategy.run(&scenario.experiment).expect("they keep the order");
                let outcome = Outcome::new(strategy.name(), run, &scenario);
                let unmet: Vec<String> = outcome.unmet().collect();
                assert!(unmet.is_empty(), "{name}: {unmet:?}");
            }
        }
    }

    #[test]
    fn what_is_no_plain_file_or_too_large_is_not_read() {
        let refused = |name: &str| text(name).expect_err(name).to_string();
        assert!(refused("/dev/zero").contains("no plain file"));
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("large.toml");
        fs::write(&path, vec![b'#'; 1 << 20]).expect("writable");
        let name = path.to_str().expect("UTF-8");
        assert!(text(name).is_ok());
        fs::write(&path, vec![b'#'; (1 << 20) + 1]).expect("writable");
        assert!(refused(name).contains("1 MiB"));
    }

    #[test]
    fn a_mistake_in_a_scenario_is_shown_with_its_place() {
        let wrong = |text: &str| parse("mine.toml", text).expect_err(text).to_string();
        let right = "title = ''\nexplain = ''\nlasts = '1s'\nstrategies = ['ours']\n\
                     traffic = { messages = 1, bytes = 8 }\n";
        assert!(parse("mine.toml", right).is_ok());
        assert!(wrong(&format!("{right}seeds = 1")).contains("unknown field `seeds`"));
        assert!(wrong(&format!("{right}path = {{ loss = '5' }}")).contains("write 5%"));
        assert!(wrong(&format!("{right}seeds = 1")).contains("mine.toml, line 6: unknown field"));
        let absent = wrong(&format!("{right}expect = ['tcp: p99 < 1ms']"));
        assert!(absent.contains("\"tcp: p99 < 1ms\": this strategy is not among"), "{absent}");
        assert!(wrong(&right.replace("ours", "yours")).contains("stop-and-wait, go-back-n"));
        assert!(wrong(&right.replace("bytes = 8", "bytes = 7")).contains("at least 8"));
    }
}
