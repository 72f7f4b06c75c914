//! The command line as it is typed. Every setting of [`SETTINGS`] is a flag; no work is done here.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand};

use crate::{
    config::{
        Sources,
        settings::{SETTINGS, Settings},
        value::Arity,
    },
    lab::LabFlags,
};

/// A relay for chat-client: durable, ordered conversations for people in terminals.
///
/// Without a subcommand it serves, and says so with one line on standard output:
/// `ready tcp=ADDR:PORT udp=ADDR:PORT key=FINGERPRINT invite=LINK`.
#[derive(Debug, Parser)]
#[command(name = "chat-server", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<CliCommand>,
    /// Read settings from this TOML file.
    #[arg(long, global = true, value_name = "FILE", env = "CHAT_SERVER_CONFIG")]
    pub config: Option<PathBuf>,
    /// Values of the settings.
    #[command(flatten)]
    pub settings: SettingFlags,
    /// Bad paths on purpose, where this build can make them.
    #[command(flatten)]
    pub lab: LabFlags,
}

const AFTER_HELP: &str = "\
Every setting is also a key of the file ([server] name = \"…\") and an environment variable
(CHAT_SERVER__SERVER__NAME=…). A flag wins over the environment, the environment over the file.
`chat-server check-config` prints what is in force and where it came from.

SIGTERM and SIGINT stop the relay gently, a second one at once. SIGHUP reads the settings again.";

/// What the program does beside serving.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Check the configuration and print what is in force, as TOML.
    CheckConfig,
    /// Print the invitation to this relay, as link and QR code.
    Invite {
        /// Make a ticket that lets one person register where registration asks for one.
        #[arg(long)]
        ticket: bool,
        /// Only the link.
        #[arg(long)]
        plain: bool,
    },
    /// Who administers this relay: they own #lobby.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Names in the directory.
    #[command(subcommand)]
    Name(NameCommand),
    /// Write a consistent copy of everything, with the relay's key, also while it runs.
    Backup {
        /// A file that does not exist yet.
        file: PathBuf,
    },
    /// Make a new data directory from a backup.
    Restore {
        /// What `backup` wrote.
        file: PathBuf,
    },
}

/// Changes to the administrators.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Make somebody administrator.
    Add {
        /// Their name.
        name: String,
    },
    /// Take it back.
    Remove {
        /// Their name.
        name: String,
    },
    /// Print the administrators' names.
    List,
}

/// Changes to names.
#[derive(Debug, Subcommand)]
pub enum NameCommand {
    /// Free a name whose owner is gone. The account keeps existing without it.
    Release {
        /// The name.
        name: String,
    },
}

/// The flags that follow from the table of settings.
#[derive(Clone, Debug, Default)]
pub struct SettingFlags(BTreeMap<String, Vec<String>>);

impl Cli {
    /// Where the configuration comes from.
    pub fn sources(&self) -> Sources {
        let mut sources = Sources::of_process(self.config.as_deref());
        sources.flags.clone_from(&self.settings.0);
        sources.lab = self.lab.settings();
        sources
    }
}

impl Args for SettingFlags {
    fn augment_args(mut command: Command) -> Command {
        let defaults = Settings::default();
        for setting in SETTINGS {
            let shown = setting.show(&defaults).join(",");
            let default = match shown.as_str() {
                "" => String::new(),
                // Where that is depends on who asks; the manual page should not.
                _ if setting.path() == "server.data_dir" => " [default: state directory]".into(),
                shown => format!(" [default: {shown}]"),
            };
            let action = match setting.arity {
                Arity::One => ArgAction::Set,
                Arity::Many => ArgAction::Append,
            };
            command = command.arg(
                Arg::new(setting.path())
                    .long(setting.flag())
                    .help(format!("{}{default}", setting.help.trim()))
                    .value_name(setting.placeholder)
                    .help_heading(heading(setting.section))
                    .global(true)
                    .action(action),
            );
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in SETTINGS {
            if let Some(items) = matches.get_many::<String>(&setting.path()) {
                self.0.insert(setting.path(), items.cloned().collect());
            }
        }
        Ok(())
    }
}

fn heading(section: &'static str) -> &'static str {
    match section {
        "server" => "Serving",
        "accounts" => "Accounts",
        "limits" => "Limits",
        "socket" => "Sockets",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::Config;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_reach_the_configuration_before_and_behind_a_subcommand() {
        for arguments in [
            &["chat-server", "--listen", "127.0.0.1:1", "--listen", "[::1]:2", "check-config"][..],
            &["chat-server", "check-config", "--listen", "127.0.0.1:1", "--listen", "[::1]:2"],
        ] {
            let mut sources = Cli::parse_from(arguments).sources();
            sources.environment.clear();
            let config = Config::load(&sources).unwrap();
            let listen = &config.settings.server.listen;
            assert_eq!(listen, &["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()]);
            assert_eq!(config.origin("server.listen").to_string(), "flag --listen");
        }
    }
}
