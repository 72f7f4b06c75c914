//! What a person can decide about the full-screen client: flag over environment over file over
//! default. What cannot be used is a [`Problem`] to be told, never a reason not to start.
//!
//! [`table`] has every setting once, [`value`] how values are written, [`keys`] which key means
//! what, `file` reads TOML, [`save`] changes it without losing comments.

mod file;
pub mod keys;
pub mod save;
pub mod table;
pub mod value;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::PathBuf,
};

use self::{
    keys::Keys,
    save::{Change, Written},
    table::{SETTINGS, Setting, Settings, VARIABLE_PREFIX},
    value::Level,
};

/// Everything decided, and by whom.
#[derive(Clone, Debug, Default)]
pub struct Preferences {
    /// The values in force.
    pub values: Settings,
    /// The keys in force.
    pub keys: Keys,
    /// What is worth a notification in conversations with a level of their own, by title.
    levels: BTreeMap<String, Level>,
    /// By [`Setting::path`], where it is not the default.
    origins: BTreeMap<String, Origin>,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The file, in this line.
    File(usize),
    /// This environment variable.
    Environment(String),
    /// The command line.
    Flag,
    /// `/set`, and it is not saved yet.
    Session,
    /// `/set save`.
    Saved,
}

/// What preferences are made from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file.
    pub file: PathBuf,
    /// Whether somebody named it, so that it has to exist.
    pub is_named: bool,
    /// The process's environment.
    pub environment: Vec<(String, String)>,
    /// `NAME=VALUE` from the command line.
    pub flags: Vec<String>,
}

/// Something that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line of the file, if it stands there.
    pub line: Option<usize>,
    /// What is wrong with it.
    pub what: String,
}

impl Preferences {
    /// Reads all sources; whatever cannot be used is left at its default and reported.
    pub fn load(sources: &Sources) -> (Self, Vec<Problem>) {
        let mut preferences = Self::default();
        let mut problems = Vec::new();
        match fs::read_to_string(&sources.file) {
            Ok(text) => problems.extend(preferences.read(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !sources.is_named => {}
            Err(error) => problems.push(Problem {
                line: None,
                what: format!("cannot read {}: {error}", sources.file.display()),
            }),
        }
        problems.extend(preferences.read_environment(&sources.environment));
        for flag in &sources.flags {
            let (name, written) = flag.split_once('=').unwrap_or((flag, ""));
            if let Err(what) = preferences.assign(name, written, Origin::Flag) {
                problems.push(Problem { line: None, what });
            }
        }
        (preferences, problems)
    }

    /// Takes what a file says.
    fn read(&mut self, text: &str) -> Vec<Problem> {
        let content = file::parse(text);
        let mut problems = content.problems;
        for (setting, items, line) in content.values {
            match (setting.set)(&mut self.values, &items) {
                Ok(()) => {
                    self.origins.insert(setting.path(), Origin::File(line));
                }
                Err(why) => {
                    let what = format!("{}: {why}", setting.path());
                    problems.push(Problem { line: Some(line), what });
                }
            }
        }
        let (keys, unusable) = Keys::read(&content.keys);
        self.keys = keys;
        self.levels.extend(content.levels);
        problems.extend(unusable);
        problems.sort_by_key(|problem| problem.line);
        problems
    }

    fn read_environment(&mut self, environment: &[(String, String)]) -> Vec<Problem> {
        let mut problems = Vec::new();
        let ours = environment.iter().filter(|(name, _)| name.starts_with(VARIABLE_PREFIX));
        for (variable, written) in ours {
            let assigned = match SETTINGS.iter().find(|setting| setting.variable() == *variable) {
                Some(setting) => {
                    self.assign(&setting.path(), written, Origin::Environment(variable.clone()))
                }
                None => Err(Problem::unknown(
                    None,
                    "environment variable",
                    variable,
                    SETTINGS.iter().map(Setting::variable),
                )
                .what),
            };
            if let Err(what) = assigned {
                problems.push(Problem { line: None, what });
            }
        }
        problems
    }

    /// Gives a setting another value until the end, or until it is saved.
    ///
    /// # Errors
    ///
    /// What is wrong with the name or the value, for people.
    pub fn set(&mut self, name: &str, written: &str) -> Result<&'static Setting, String> {
        self.assign(name, written, Origin::Session)
    }

    fn assign(
        &mut self,
        name: &str,
        written: &str,
        origin: Origin,
    ) -> Result<&'static Setting, String> {
        let setting = find(name)?;
        (setting.set)(&mut self.values, &setting.items(written))
            .map_err(|why| format!("{name}: {why}"))?;
        self.origins.insert(setting.path(), origin);
        Ok(setting)
    }

    /// Where the value of a setting came from.
    pub fn origin(&self, setting: &Setting) -> Origin {
        self.origins.get(&setting.path()).cloned().unwrap_or(Origin::Default)
    }

    /// What was set and is not in the file.
    pub fn changes(&self) -> Vec<Change> {
        let is_changed = |setting: &&Setting| self.origin(setting) == Origin::Session;
        let changed = SETTINGS.iter().filter(is_changed);
        changed.map(|setting| Change::of(setting, &self.values)).collect()
    }

    /// Notes that these are in the file.
    pub fn keep(&mut self, changes: &[Change]) {
        for change in changes {
            let path = format!("{}.{}", change.table.join("."), change.key);
            self.origins.entry(path).and_modify(|origin| *origin = Origin::Saved);
        }
    }

    /// What is worth a notification in this conversation.
    pub fn level(&self, title: &str) -> Level {
        self.levels.get(title).copied().unwrap_or(self.values.notify.level)
    }

    /// Decides what is worth a notification in one conversation; what the file has to say then.
    pub fn set_level(&mut self, title: &str, level: Level) -> Change {
        self.levels.insert(title.to_owned(), level);
        Change {
            table: vec!["notify", file::CONVERSATIONS],
            key: title.to_owned(),
            value: Written::Text(level.word().to_owned()),
        }
    }

    /// Every setting with its value and origin, as TOML with comments.
    pub fn to_toml(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        let mut sections = BTreeSet::new();
        for setting in SETTINGS {
            if sections.insert(setting.section) {
                if !lines.is_empty() {
                    lines.push(String::new());
                }
                lines.push(format!("[{}]", setting.section));
            }
            let value = toml_edit::Value::from(setting.written(&self.values));
            lines.push(format!("{} = {value}  # {}", setting.key, self.origin(setting)));
        }
        let levels = self.levels.iter().map(|(title, level)| (title.clone(), level.word()));
        let keys = self.keys.own().map(|(key, action)| (key.to_owned(), action));
        let tables: [(_, Vec<_>); 2] =
            [("notify.conversations", levels.collect()), ("keys", keys.collect())];
        for (table, rows) in tables.into_iter().filter(|(_, rows)| !rows.is_empty()) {
            lines.extend([String::new(), format!("[{table}]")]);
            let row = |(key, word)| format!("{} = \"{word}\"", toml_edit::Value::from(key));
            lines.extend(rows.into_iter().map(row));
        }
        lines.join("\n")
    }
}

/// The setting of this name.
///
/// # Errors
///
/// That there is none, and which one was probably meant.
pub fn find(name: &str) -> Result<&'static Setting, String> {
    Setting::named(name).ok_or_else(|| {
        let keys = SETTINGS.iter().filter(|setting| setting.key == name).map(Setting::path);
        let known = keys.clone().chain(SETTINGS.iter().map(Setting::path));
        match keys.clone().next() {
            Some(path) => format!("unknown setting `{name}`, did you mean `{path}`?"),
            None => Problem::unknown(None, "setting", name, known).what,
        }
    })
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::File(line) => write!(f, "line {line}"),
            Self::Environment(variable) => write!(f, "{variable}"),
            Self::Flag => write!(f, "flag"),
            Self::Session => write!(f, "not saved"),
            Self::Saved => write!(f, "saved"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{value::Theme, *};

    fn sources(text: &str, environment: &[(&str, &str)], flags: &[&str]) -> (Preferences, String) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        fs::write(&file, text).unwrap();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let (preferences, problems) = Preferences::load(&Sources {
            file,
            is_named: true,
            environment: environment.iter().map(owned).collect(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        });
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        (preferences, problems.join("\n"))
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file() {
        let text = "[ui]\ntheme = \"dark\"\nmouse = false\nascii = \"on\"\n";
        let environment = [("CHAT_CLIENT__UI__THEME", "light"), ("CHAT_CLIENT__UI__MOUSE", "true")];
        let (preferences, problems) = sources(text, &environment, &["ui.theme=mono"]);
        assert_eq!(problems, "");
        assert_eq!(preferences.values.ui.theme, Theme::Mono);
        assert!(preferences.values.ui.mouse);
        let origin = |name| preferences.origin(Setting::named(name).unwrap());
        assert_eq!(origin("ui.ascii"), Origin::File(4));
        assert_eq!(origin("ui.title"), Origin::Default);
    }

    #[test]
    fn what_is_wrong_is_said_and_the_rest_counts() {
        let text = "[ui]\ntheme = \"blue\"\nmouse = false\n[keys]\n\"C-g\" = \"hepl\"\n";
        let environment = [("CHAT_CLIENT__UI__MOUS", "x"), ("CHAT_HOME", "x")];
        let (preferences, problems) = sources(text, &environment, &["mouse=true"]);
        assert_eq!(
            problems,
            "line 2: ui.theme: auto, dark, light or mono expected\n\
             line 5: C-g: unknown action `hepl`, did you mean `help`?\n\
             unknown environment variable `CHAT_CLIENT__UI__MOUS`, did you mean \
             `CHAT_CLIENT__UI__MOUSE`?\n\
             unknown setting `mouse`, did you mean `ui.mouse`?"
        );
        assert_eq!(preferences.values.ui.theme, Theme::Auto);
        assert!(!preferences.values.ui.mouse);
    }

    #[test]
    fn a_missing_file_matters_only_if_it_was_named() {
        let mut missing = Sources { file: "/nowhere/config.toml".into(), ..Sources::default() };
        assert_eq!(Preferences::load(&missing).1, []);
        missing.is_named = true;
        assert_eq!(Preferences::load(&missing).1.len(), 1);
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        let text = "[notify]\nhook = [\"a b\", \"c\"]\nquiet_hours = \"22:00-07:00\"\n\
                    [notify.conversations]\n\"#a \\\"b\\\"\" = \"all\"\n[keys]\n\"M-z\" = \"help\"\n";
        let (first, problems) = sources(text, &[], &["ui.title=off"]);
        assert_eq!(problems, "");
        let (second, problems) = sources(&first.to_toml(), &[], &[]);
        assert_eq!(problems, "");
        assert_eq!((&second.values, &second.levels), (&first.values, &first.levels));
        assert_eq!(second.keys, first.keys);
    }

    #[test]
    fn only_what_was_set_is_a_change() {
        let (mut preferences, _) = sources("[ui]\ntheme = \"dark\"\n", &[], &["ui.title=off"]);
        assert_eq!(preferences.changes(), []);
        preferences.set("notify.hook", "notify-send -u low chat").unwrap();
        let words = ["notify-send", "-u", "low", "chat"].map(str::to_owned);
        assert_eq!(preferences.changes()[0].value, Written::List(words.to_vec()));
        assert!(preferences.set("ui.theme", "blue").is_err());
        assert_eq!(preferences.values.ui.theme, Theme::Dark);
    }
}
