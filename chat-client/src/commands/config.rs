//! `config`: the settings of the full-screen client, without a screen.

use crate::{
    cli::ConfigCommand,
    output::{Output, tell},
    report::Failure,
    settings::{Preferences, Sources},
};

pub(super) fn run(
    command: ConfigCommand,
    sources: &Sources,
    output: &mut Output,
) -> Result<(), Failure> {
    let file = sources.file.display();
    let (preferences, problems) = match command {
        ConfigCommand::Path => return output.line(&file.to_string()),
        ConfigCommand::Show | ConfigCommand::Check => Preferences::load(sources),
    };
    for problem in &problems {
        match problem.line {
            Some(line) => tell(&format!("{file}:{line}: {}", problem.what)),
            None => tell(&problem.what),
        }
    }
    match (command, problems.len()) {
        (ConfigCommand::Show, _) => output.line(&preferences.to_toml()),
        (_, 0) => output.line("ok"),
        (_, count) => Err(Failure::BadSettings(count)),
    }
}
