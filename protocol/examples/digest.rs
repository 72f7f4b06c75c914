//! A line for every strategy of every scenario in a directory, with a digest of all that happened: two
//! builds that print the same have made the same runs, down to the last event.
//!
//! ```console
//! $ cargo run -p protocol --example digest -- chat-client/src/lab/scenarios
//! ```

use std::{env, error::Error, fs, io::Write};

use data_encoding::HEXLOWER;
use protocol::{ids::sha256, lab::scenario::Scenario};

#[expect(clippy::disallowed_methods, reason = "the crate has no files, its examples may")]
fn main() -> Result<(), Box<dyn Error>> {
    let directory = env::args().nth(1).ok_or("which directory?")?;
    let entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let scenario = Scenario::new(toml::from_str(&fs::read_to_string(&path)?)?)?;
        for strategy in &scenario.strategies {
            let run = strategy.run(&scenario.experiment)?;
            let digest = sha256(&[format!("{run:?}").as_bytes()]);
            let hex = HEXLOWER.encode(&digest);
            let name = path.file_stem().unwrap_or_default().display();
            writeln!(std::io::stdout(), "{name} {strategy} {} {hex}", run.events.len())?;
        }
    }
    Ok(())
}
