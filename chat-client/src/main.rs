//! Parse, run, report.

use std::process::ExitCode;

use chat_client::{cli::Cli, commands, config::Config, exit::Exit, output::tell, report::Failure};
use clap::Parser;
use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, setrlimit, umask},
};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    protect();
    report_panics();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Failure::io("cannot start", error)),
    };
    let outcome = runtime.block_on(run(cli));
    // A read of standard input that nobody waits for any more must not keep the process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => report(&failure),
    }
}

/// What this process makes is for its user alone: no file for others, no key in a core dump.
fn protect() {
    umask(Mode::RWXG | Mode::RWXO);
    // Where the limit cannot be lowered it is at zero already.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// A bug is reported in full. Setting that up takes longer than many a command, so it waits for one.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let (hook, _) = color_eyre::config::HookBuilder::default().into_hooks();
        tell(&hook.panic_report(panic).to_string());
    }));
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let mut config = Config::new(cli.common)?;
    config.settings.flags.extend(cli.look.settings());
    match cli.command {
        // The full-screen client minds signals itself: it has a terminal to give back.
        None => chat_client::app::run(config).await,
        Some(command) if command.minds_signals() => commands::run(command, &config).await,
        Some(command) => tokio::select! {
            outcome = commands::run(command, &config) => outcome,
            failure = signalled() => Err(failure),
        },
    }
}

/// Ends the command with the shell's code for the signal. Everything acknowledged is durable.
async fn signalled() -> Failure {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => Failure::Interrupted,
        _ = terminate.recv() => Failure::Terminated,
    }
}

fn report(failure: &Failure) -> ExitCode {
    for line in failure.lines() {
        tell(&line);
    }
    failure.exit().into()
}
