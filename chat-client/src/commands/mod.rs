//! The headless commands: one file for each verb. Results go to standard output, talk to standard
//! error, and the exit code says what came of it.

pub mod json;
pub mod render;

mod amended;
mod audit;
mod config;
mod delivery;
mod dm;
mod doctor;
mod export;
mod history;
mod lab;
mod man;
mod members;
mod names;
mod outbox;
mod paging;
mod room;
mod rooms;
mod search;
mod send;
mod session;
mod tail;
mod trail;
mod trust;
mod whoami;

use crate::{
    cli::{Cli, Command, ConfigCommand},
    config::Config,
    output::{Output, Style},
    report::Failure,
};

use self::session::Session;

/// Runs one command to its end.
///
/// # Errors
///
/// Why it did not do what it should.
pub async fn run(command: Command, config: &Config) -> Result<(), Failure> {
    let style = if config.json { Style::Json } else { Style::Plain };
    let mut output = Output::new(style);
    let outcome = dispatch(command, config, &mut output).await;
    // What was written before a failure is a result, too.
    output.flush().and(outcome)
}

async fn dispatch(command: Command, config: &Config, output: &mut Output) -> Result<(), Failure> {
    match command {
        Command::Lab(lab) => lab::run(lab, config, output).await,
        Command::Completions { shell } => completions(shell, output),
        Command::Man { verb } => man::run(verb.as_deref(), output),
        Command::Trust(trust) => trust::run(trust, config, output).await,
        Command::Doctor => doctor::run(config, output).await,
        Command::Config { command } => {
            let command = command.unwrap_or(ConfigCommand::Show);
            config::run(command, &config.settings, output)
        }
        Command::Tail(tail) => {
            let session = Session::open_with_events(config).await?;
            tail::run(tail, session, output).await
        }
        command => {
            let session = Session::open(config).await?;
            let outcome = on_session(command, &session, output).await;
            session.tell_fallback().await;
            session.close().await;
            outcome
        }
    }
}

async fn on_session(
    command: Command,
    session: &Session,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        Command::Send(send) => send::run(send, session, output).await,
        Command::History(history) => history::run(history, session, output).await,
        Command::Search(search) => search::run(search, session, output).await,
        Command::Rooms(rooms) => rooms::list(&rooms, session, output).await,
        Command::Members(target) => members::run(&target.target, session, output).await,
        Command::Whoami => whoami::run(session, output).await,
        Command::Join(join) => rooms::join(join, session, output).await,
        Command::Leave(target) => rooms::leave(&target.target, session).await,
        Command::Room(room) => room::run(room, session, output).await,
        Command::Dm(dm) => dm::run(dm, session, output).await,
        Command::Outbox(outbox) => outbox::run(&outbox, session, output).await,
        Command::Audit(target) => audit::run(&target.target, session, output).await,
        Command::Export(export) => export::run(export, session, output).await,
        Command::Tail(_)
        | Command::Trust(_)
        | Command::Doctor
        | Command::Config { .. }
        | Command::Lab(_)
        | Command::Completions { .. }
        | Command::Man { .. } => unreachable!("dispatched before a session was opened"),
    }
}

fn completions(shell: clap_complete::Shell, output: &mut Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    let mut command = <Cli as clap::CommandFactory>::command();
    clap_complete::generate(shell, &mut command, "chat-client", &mut script);
    output.line(String::from_utf8_lossy(&script).trim_end())
}
