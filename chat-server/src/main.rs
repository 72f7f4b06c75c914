//! The relay's program: parse, run, report.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use chat_server::{
    Server, backup,
    cli::{AdminCommand, Cli, CliCommand, NameCommand},
    config::{Config, Sources},
    control::{self, ControlError},
    hub::OperatorCall,
    invite, logging, offline,
    operator::OperatorRequest,
    process,
    report::Failure,
    server::Controller,
};
use clap::Parser as _;
use protocol::invitation::Ticket;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

/// How long a ticket is good for: an invitation is written down, and used within days.
const TICKET_LIFETIME: Duration = Duration::from_secs(7 * 86_400);

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Without standard error there is nobody to tell.
            let _ = io::stderr().write_all(failure.report().as_bytes());
            failure.exit_code().into()
        }
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    process::protect_secrets()
        .map_err(|error| Failure::System { what: "cannot protect secrets", error: error.into() })?;
    let sources = cli.sources();
    let config = Config::load(&sources)?;
    match &cli.command {
        None => serve(sources, config),
        Some(CliCommand::CheckConfig) => print(&config.to_toml()),
        Some(CliCommand::Invite { ticket, plain }) => invite(&config, *ticket, *plain),
        Some(CliCommand::Admin(command)) => {
            let call = match command {
                AdminCommand::Add { name } => OperatorCall::AdminAdd { name: name.clone() },
                AdminCommand::Remove { name } => OperatorCall::AdminRemove { name: name.clone() },
                AdminCommand::List => OperatorCall::AdminList,
            };
            print(&carry_out(&config, OperatorRequest::Hub(call))?)
        }
        Some(CliCommand::Name(NameCommand::Release { name })) => {
            let call = OperatorCall::NameRelease { name: name.clone() };
            print(&carry_out(&config, OperatorRequest::Hub(call))?)
        }
        Some(CliCommand::Backup { file }) => {
            let file = std::path::absolute(file)
                .map_err(|error| Failure::System { what: "cannot name the backup", error })?;
            print(&carry_out(&config, OperatorRequest::Backup(file))?)
        }
        Some(CliCommand::Restore { file }) => {
            Ok(backup::restore(file, &config.settings.server.data_dir)?)
        }
    }
}

fn serve(sources: Sources, config: Config) -> Result<(), Failure> {
    let system = |what| move |error| Failure::System { what, error };
    logging::start(&config.settings.server.log).map_err(Failure::Log)?;
    let files = process::allow_many_files().map_err(io::Error::from);
    let files = files.map_err(system("cannot raise the limit of open files"))?;
    info!(files, "limit of open files");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(system("cannot start"))?.block_on(async {
        let server = Server::bind(config)?;
        let ready = server.ready_line();
        listen_to_signals(sources, server.controller())
            .map_err(system("cannot listen to signals"))?;
        let serving = server.serve();
        print(&format!("{ready}\n"))?;
        Ok(serving.await?)
    })
}

/// SIGTERM and SIGINT drain, a second one stops, SIGHUP reads the settings again. The tasks end
/// with the process.
fn listen_to_signals(sources: Sources, controller: Controller) -> io::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signal = signal(kind)?;
        let controller = controller.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                controller.drain();
            }
        });
    }
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match Config::load(&sources) {
                Ok(config) => controller.configure(config),
                Err(error) => error!(%error, "settings stay as they were"),
            }
        }
    });
    Ok(())
}

fn invite(config: &Config, with_ticket: bool, plain: bool) -> Result<(), Failure> {
    let mut invitation =
        match control::ask(&config.settings.server.data_dir, &OperatorRequest::Info) {
            Err(ControlError::NotRunning(_)) => offline::invitation(config)?,
            line => line?.trim().parse().map_err(|_| Failure::NoInvitation)?,
        };
    if with_ticket {
        let call = OperatorCall::Ticket { lifetime: TICKET_LIFETIME };
        let ticket = carry_out(config, OperatorRequest::Hub(call))?;
        let bytes = data_encoding::BASE64URL_NOPAD.decode(ticket.trim().as_bytes()).ok();
        invitation.ticket = Some(bytes.and_then(Ticket::new).ok_or(Failure::NoInvitation)?);
    }
    let mut text = format!("{invitation}\n");
    if let Some(code) = invite::qr_code(&invitation).filter(|_| !plain) {
        text.push_str(&code);
        text.push('\n');
    }
    print(&text)
}

/// Asks the running relay, or does it without one.
fn carry_out(config: &Config, request: OperatorRequest) -> Result<String, Failure> {
    match control::ask(&config.settings.server.data_dir, &request) {
        Err(ControlError::NotRunning(_)) => Ok(offline::carry_out(config, request)?),
        answer => Ok(answer?),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Whoever read it has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::System { what: "cannot write to standard output", error }),
        Ok(()) => Ok(()),
    }
}
