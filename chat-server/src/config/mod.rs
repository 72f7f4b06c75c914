//! The relay's configuration: flag over environment over file over default, validated once.
//!
//! [`settings`] is the table of what can be set, [`value`] how values are written, `file` reads
//! TOML. A [`Config`] remembers where each value came from, so that `check-config` and a reload
//! can say it.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};

mod file;
pub mod settings;
pub mod value;

use self::settings::{Effect, SETTINGS, Setting, Settings};
use crate::lab::LabSettings;

/// A complete, valid configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The values.
    pub settings: Settings,
    /// Where values that are not the default came from, by [`Setting::path`].
    origins: BTreeMap<String, Origin>,
    /// Bad paths on purpose. Neither file nor environment can ask for them.
    pub lab: Option<LabSettings>,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag(String),
    /// The environment.
    Environment(String),
    /// The file.
    File {
        /// Which.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// Nobody said anything.
    Default,
}

/// What a configuration is made from, apart from the file's content. Kept, so that a reload reads
/// the same sources again.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file, if one was named.
    pub file: Option<PathBuf>,
    /// The process's environment.
    pub environment: Vec<(String, String)>,
    /// Values of flags, by [`Setting::path`].
    pub flags: BTreeMap<String, Vec<String>>,
    /// What the flags of the laboratory come to.
    pub lab: Option<LabSettings>,
}

/// Why there is no valid configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}: {message}", .path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// The file sets something that does not exist.
    #[error("{}:{line}: unknown key `{key}`{}", .path.display(), did_you_mean(.suggestion.as_deref()))]
    UnknownKey {
        /// Which file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// The key.
        key: String,
        /// A key that exists.
        suggestion: Option<String>,
    },
    /// An environment variable of ours sets something that does not exist.
    #[error("unknown environment variable {variable}{}", did_you_mean(.suggestion.as_deref()))]
    UnknownVariable {
        /// Which.
        variable: String,
        /// One that exists.
        suggestion: Option<String>,
    },
    /// A value is not what the setting takes.
    #[error("{origin}: {setting}: {message}")]
    Invalid {
        /// Who said so.
        origin: Origin,
        /// Which setting.
        setting: String,
        /// What was expected.
        message: String,
    },
}

impl Config {
    /// Reads all sources.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with the place where it stands.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut config = Self { lab: sources.lab.clone(), ..Self::default() };
        if let Some(path) = &sources.file {
            for entry in file::read(path)? {
                let origin = Origin::File { path: path.clone(), line: entry.line };
                config.set(entry.setting, &entry.items, origin)?;
            }
        }
        config.apply_environment(&sources.environment)?;
        for setting in SETTINGS {
            if let Some(items) = sources.flags.get(&setting.path()) {
                config.set(setting, items, Origin::Flag(setting.flag()))?;
            }
        }
        config.check()?;
        Ok(config)
    }

    fn apply_environment(&mut self, environment: &[(String, String)]) -> Result<(), ConfigError> {
        for (variable, value) in environment {
            if !variable.starts_with("CHAT_SERVER__") {
                continue;
            }
            let setting = SETTINGS.iter().find(|setting| setting.variable() == *variable);
            let setting = setting.ok_or_else(|| ConfigError::UnknownVariable {
                variable: variable.clone(),
                suggestion: nearest(
                    variable,
                    &SETTINGS.iter().map(Setting::variable).collect::<Vec<_>>(),
                ),
            })?;
            let items: Vec<String> = match setting.arity {
                value::Arity::One => vec![value.clone()],
                value::Arity::Many => value
                    .split([',', ' '])
                    .filter(|item| !item.is_empty())
                    .map(str::to_owned)
                    .collect(),
            };
            self.set(setting, &items, Origin::Environment(variable.clone()))?;
        }
        Ok(())
    }

    fn set(
        &mut self,
        setting: &Setting,
        items: &[String],
        origin: Origin,
    ) -> Result<(), ConfigError> {
        (setting.set)(&mut self.settings, items).map_err(|message| ConfigError::Invalid {
            origin: origin.clone(),
            setting: setting.path(),
            message,
        })?;
        self.origins.insert(setting.path(), origin);
        Ok(())
    }

    /// What the types of the values cannot say.
    fn check(&self) -> Result<(), ConfigError> {
        let at_least_one = [
            ("limits.connections_max", self.settings.limits.connections_max),
            (
                "limits.connections_per_address_max",
                self.settings.limits.connections_per_address_max,
            ),
            ("limits.logins_pending_max", self.settings.limits.logins_pending_max),
            ("limits.batch_messages_max", self.settings.limits.batch_messages_max),
            ("limits.batch_bytes_max", self.settings.limits.batch_bytes_max.as_u32()),
            ("socket.backlog", self.settings.socket.backlog),
        ];
        for (path, value) in at_least_one {
            if value == 0 {
                return Err(self.invalid(path, "at least 1 expected"));
            }
        }
        if self.settings.server.shards > SHARDS_MAX {
            return Err(self.invalid("server.shards", &format!("at most {SHARDS_MAX} expected")));
        }
        if self.settings.server.name.len() > protocol::limits::RELAY_NAME_BYTES_MAX {
            let max = protocol::limits::RELAY_NAME_BYTES_MAX;
            return Err(self.invalid("server.name", &format!("at most {max} bytes expected")));
        }
        Ok(())
    }

    fn invalid(&self, path: &str, message: &str) -> ConfigError {
        ConfigError::Invalid {
            origin: self.origin(path),
            setting: path.to_owned(),
            message: message.to_owned(),
        }
    }

    /// Where the value of a setting came from.
    pub fn origin(&self, path: &str) -> Origin {
        self.origins.get(path).cloned().unwrap_or(Origin::Default)
    }

    /// Settings that differ in `new` and take effect only after a restart.
    pub fn needs_restart(&self, new: &Self) -> Vec<String> {
        let differs = |setting: &&Setting| {
            setting.effect == Effect::Restart
                && setting.show(&self.settings) != setting.show(&new.settings)
        };
        SETTINGS.iter().filter(differs).map(Setting::path).collect()
    }

    /// Every setting with its value and origin, as TOML with comments.
    pub fn to_toml(&self) -> String {
        let mut lines = Vec::new();
        let mut section = "";
        for setting in SETTINGS {
            if setting.section != section {
                section = setting.section;
                if !lines.is_empty() {
                    lines.push(String::new());
                }
                lines.push(format!("[{section}]"));
            }
            let items: Vec<_> = setting
                .show(&self.settings)
                .iter()
                .map(|item| toml::Value::String(item.clone()).to_string())
                .collect();
            let value = match setting.arity {
                value::Arity::One => items.join(""),
                value::Arity::Many => format!("[{}]", items.join(", ")),
            };
            let origin = self.origin(&setting.path());
            lines.push(format!("{} = {value}  # {origin}", setting.key));
        }
        if let Some(lab) = &self.lab {
            lines.extend([String::new(), format!("# laboratory: {lab}")]);
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

/// More threads than this share nothing but contention; the shard's index also has 16 bits only.
pub const SHARDS_MAX: u32 = 256;

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag --{flag}"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Sources {
    /// The sources of this process: its environment, and a file.
    pub fn of_process(file: Option<&Path>) -> Self {
        let text = |value: std::ffi::OsString| value.into_string().ok();
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
        Self {
            file: file.map(Path::to_owned),
            environment: environment.collect(),
            flags: BTreeMap::new(),
            lab: None,
        }
    }
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |known| format!(", did you mean `{known}`?"))
}

/// The known name that is closest to what was typed, if it is close enough to be a slip.
fn nearest(typed: &str, known: &[String]) -> Option<String> {
    let (distance, name) =
        known.iter().map(|name| (edit_distance(typed, name), name)).min_by_key(|(d, _)| *d)?;
    (distance <= typed.len().div_ceil(3)).then(|| name.clone())
}

/// Levenshtein's distance: insertions, deletions and replacements of characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(file: Option<&Path>, environment: &[(&str, &str)], flag: Option<&str>) -> Sources {
        let flags = flag.map(|name| ("server.name".to_owned(), vec![name.to_owned()]));
        Sources {
            file: file.map(Path::to_owned),
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            flags: flags.into_iter().collect(),
            lab: None,
        }
    }

    #[test]
    fn flag_beats_environment_beats_file_beats_default() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("relay.toml");
        std::fs::write(&path, "[server]\nname = \"file\"\n").unwrap();
        let variable = ("CHAT_SERVER__SERVER__NAME", "environment");
        let cases = [
            (sources(None, &[], None), "chat relay", "default".to_owned()),
            (sources(Some(&path), &[], None), "file", format!("{}:2", path.display())),
            (
                sources(Some(&path), &[variable], None),
                "environment",
                "environment CHAT_SERVER__SERVER__NAME".to_owned(),
            ),
            (sources(Some(&path), &[variable], Some("flag")), "flag", "flag --name".to_owned()),
        ];
        for (sources, name, origin) in cases {
            let config = Config::load(&sources).unwrap();
            assert_eq!(config.settings.server.name, name);
            assert_eq!(config.origin("server.name").to_string(), origin);
        }
    }

    #[test]
    fn lists_come_from_the_environment_too() {
        let sources =
            sources(None, &[("CHAT_SERVER__SERVER__LISTEN", "127.0.0.1:1,[::1]:2")], None);
        let listen = Config::load(&sources).unwrap().settings.server.listen;
        assert_eq!(listen, ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()]);
    }

    #[test]
    fn an_unknown_variable_of_ours_is_an_error() {
        let error =
            Config::load(&sources(None, &[("CHAT_SERVER__SERVER__NAM", "x")], None)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown environment variable CHAT_SERVER__SERVER__NAM, did you mean \
             `CHAT_SERVER__SERVER__NAME`?"
        );
        assert!(Config::load(&sources(None, &[("CHAT_HOME", "x")], None)).is_ok());
    }

    #[test]
    fn a_bad_value_names_its_origin() {
        let variable = ("CHAT_SERVER__LIMITS__CONNECTIONS_MAX", "0");
        let error = Config::load(&sources(None, &[variable], None)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment CHAT_SERVER__LIMITS__CONNECTIONS_MAX: limits.connections_max: at least \
             1 expected"
        );
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        let mut config = Config::default();
        config.settings.server.listen = vec!["127.0.0.1:7".parse().unwrap()];
        config.settings.server.name = "a \"quoted\" name".to_owned();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("relay.toml");
        std::fs::write(&path, config.to_toml()).unwrap();
        let read = Config::load(&sources(Some(&path), &[], None)).unwrap();
        assert_eq!(read.settings, config.settings);
    }

    #[test]
    fn a_reload_tells_what_it_cannot_change() {
        let old = Config::default();
        let mut new = Config::default();
        new.settings.server.shards = 3;
        new.settings.limits.connections_max = 5;
        assert_eq!(old.needs_restart(&new), ["server.shards"]);
    }
}
