//! Errors for people: what failed, because of what, and what to type next.

use std::{error::Error, fmt::Write as _};

use crate::{
    backup::RestoreError,
    config::ConfigError,
    control::ControlError,
    key::KeyError,
    net::listen::ListenError,
    server::{ServeError, StartError},
    store::StoreError,
};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// It did what was asked.
    Ok = 0,
    /// Something failed.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// No relay runs where one is needed.
    Unreachable = 5,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// Everything the program can fail with.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration.
    #[error("the configuration is not valid")]
    Config(#[from] ConfigError),
    /// The relay did not start.
    #[error("the relay cannot start")]
    Start(#[from] StartError),
    /// The relay stopped by itself.
    #[error("the relay had to stop")]
    Serve(#[from] ServeError),
    /// A running relay could not be asked, or said no.
    #[error("the running relay did not do it")]
    Control(#[from] ControlError),
    /// An operator's command on a relay that does not run.
    #[error("the command failed")]
    Offline(#[from] crate::offline::OfflineError),
    /// A backup could not be restored.
    #[error("the backup cannot be restored")]
    Restore(#[from] RestoreError),
    /// What the running relay said about itself makes no sense.
    #[error("the running relay gave no invitation")]
    NoInvitation,
    /// The operating system.
    #[error("{what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        error: std::io::Error,
    },
    /// The log filter.
    #[error("server.log: {0}")]
    Log(String),
}

impl Failure {
    /// How the program ends because of it.
    pub const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Log(_) => ExitCode::Usage,
            Self::Control(ControlError::NotRunning(_)) => ExitCode::Unreachable,
            Self::Start(_)
            | Self::Serve(_)
            | Self::Control(ControlError::Io(_) | ControlError::Refused(_))
            | Self::Offline(_)
            | Self::Restore(_)
            | Self::NoInvitation
            | Self::System { .. } => ExitCode::Failed,
        }
    }

    /// Lines for the person who typed the command.
    pub fn report(&self) -> String {
        let mut text = format!("error: {self}\n");
        let mut cause = self.source();
        while let Some(error) = cause {
            let _ = writeln!(text, "because: {error}");
            cause = error.source();
        }
        if let Some(help) = self.help() {
            let _ = writeln!(text, "help: {help}");
        }
        text
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Config(_) => Some("`chat-server check-config` checks again".to_owned()),
            Self::Start(error) => help_to_start(error),
            Self::Serve(ServeError::Store(_)) => Some(
                "look at the disk, then start the relay again; nothing acknowledged is lost"
                    .to_owned(),
            ),
            Self::Control(ControlError::NotRunning(_)) => {
                Some("start it with `chat-server`, or name its --data-dir".to_owned())
            }
            Self::Log(_) => Some("--log info, or --log chat_server=debug".to_owned()),
            Self::Serve(ServeError::System(_))
            | Self::Control(ControlError::Io(_) | ControlError::Refused(_))
            | Self::Offline(_)
            | Self::Restore(_)
            | Self::NoInvitation
            | Self::System { .. } => None,
        }
    }
}

fn help_to_start(error: &StartError) -> Option<String> {
    match error {
        StartError::Listen(ListenError { address, error }) => match error.kind() {
            std::io::ErrorKind::AddrInUse => Some(format!(
                "another program has port {}; stop it or choose another with --listen",
                address.port()
            )),
            std::io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 are not for everybody; --listen '[::]:4545'".to_owned())
            }
            _ => None,
        },
        StartError::Store(StoreError::InUse(_)) => {
            Some("stop the other relay, or choose another --data-dir".to_owned())
        }
        StartError::Store(StoreError::Newer { .. }) => {
            Some("use the newer version, or restore a backup into another --data-dir".to_owned())
        }
        StartError::Key(KeyError::Exposed { path, .. }) => {
            Some(format!("chmod 600 {}", path.display()))
        }
        StartError::Key(KeyError::Malformed { .. }) => Some(
            "put the key back from a backup: without it, clients do not trust the relay".to_owned(),
        ),
        StartError::DataDir { .. } => Some("choose another with --data-dir".to_owned()),
        StartError::TraceDir { .. } => Some("choose another with --trace".to_owned()),
        StartError::Store(StoreError::Failed(_) | StoreError::Damaged(_))
        | StartError::Key(KeyError::Io { .. })
        | StartError::PublicHost(_)
        | StartError::System(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_error_causes_and_help() {
        let failure = Failure::Start(StartError::Listen(ListenError {
            address: "127.0.0.1:4545".parse().unwrap(),
            error: std::io::ErrorKind::AddrInUse.into(),
        }));
        assert_eq!(
            failure.report(),
            "error: the relay cannot start\n\
             because: cannot listen on 127.0.0.1:4545\n\
             because: address in use\n\
             help: another program has port 4545; stop it or choose another with --listen\n"
        );
        assert_eq!(failure.exit_code(), ExitCode::Failed);
    }

    #[test]
    fn a_wrong_configuration_is_a_usage_error() {
        let failure = Failure::Config(ConfigError::UnknownKey {
            path: "relay.toml".into(),
            line: 3,
            key: "server.lisen".into(),
            suggestion: Some("server.listen".into()),
        });
        assert_eq!(failure.exit_code() as u8, 2);
        assert!(failure.report().contains("because: relay.toml:3: unknown key `server.lisen`"));
    }
}
