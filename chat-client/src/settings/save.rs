//! Writes settings into the file: what stands there already, comments and order included, stays.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use toml_edit::{Array, DocumentMut, Item, Table, Value};

use super::table::{Setting, Settings};

/// One key of the file that gets another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The table, from the outside in.
    pub table: Vec<&'static str>,
    /// The key.
    pub key: String,
    /// Its value.
    pub value: Written,
}

/// A value as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Text in quotes.
    Text(String),
    /// `true` or `false`.
    Flag(bool),
    /// A list of texts.
    List(Vec<String>),
}

/// Why a file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Changing it would lose what it says.
    #[error("it is not TOML: {0}")]
    NotToml(#[from] toml_edit::TomlError),
    /// A value stands where a table belongs.
    #[error("`{0}` is not a table")]
    NoTable(&'static str),
    /// The file system.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Change {
    pub(super) fn of(setting: &'static Setting, values: &Settings) -> Self {
        Self {
            table: vec![setting.section],
            key: setting.key.to_owned(),
            value: setting.written(values),
        }
    }
}

impl From<Written> for Value {
    fn from(written: Written) -> Self {
        match written {
            Written::Text(text) => text.into(),
            Written::Flag(is_on) => is_on.into(),
            Written::List(items) => items.into_iter().collect::<Array>().into(),
        }
    }
}

/// Changes the file, or makes it. A crash leaves the old one or the new one.
///
/// # Errors
///
/// If it cannot be read, understood or replaced; it is as before then.
pub fn save(path: &Path, changes: &[Change]) -> Result<(), SaveError> {
    // What others link to stays where it is.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let text = edited(&text, changes)?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(fs::rename(&temporary, &path)?)
}

fn edited(text: &str, changes: &[Change]) -> Result<String, SaveError> {
    let mut document: DocumentMut = text.parse()?;
    for change in changes {
        let mut table = document.as_table_mut();
        for name in &change.table {
            let item = table.entry(name).or_insert_with(|| {
                let mut inner = Table::new();
                // A table of tables alone needs no head.
                inner.set_implicit(true);
                Item::Table(inner)
            });
            table = item.as_table_mut().ok_or(SaveError::NoTable(name))?;
        }
        let value = Value::from(change.value.clone());
        match table.get_mut(&change.key).and_then(Item::as_value_mut) {
            Some(before) => {
                let decoration = before.decor().clone();
                *before = value;
                *before.decor_mut() = decoration;
            }
            None => {
                table.insert(&change.key, Item::Value(value));
            }
        }
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn change(table: &[&'static str], key: &str, value: Written) -> Change {
        Change { table: table.to_vec(), key: key.to_owned(), value }
    }

    #[test]
    fn comments_order_and_unknown_keys_stay() {
        let text = "# mine\n[keys]\n\"C-g\" = \"help\" # handy\n\n[ui]\nfuture = 1\n\
                    theme = \"dark\" # at night\n";
        let changes = [
            change(&["ui"], "theme", Written::Text("light".into())),
            change(&["ui"], "mouse", Written::Flag(false)),
            change(&["notify", "conversations"], "#a", Written::Text("off".into())),
            change(&["notify"], "hook", Written::List(vec!["say".into(), "hi".into()])),
        ];
        let expected = "# mine\n[keys]\n\"C-g\" = \"help\" # handy\n\n[ui]\nfuture = 1\n\
                        theme = \"light\" # at night\nmouse = false\n\n[notify]\n\
                        hook = [\"say\", \"hi\"]\n\n[notify.conversations]\n\"#a\" = \"off\"\n";
        let once = edited(text, &changes).unwrap();
        assert_eq!(once, expected);
        assert_eq!(edited(&once, &changes).unwrap(), expected);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        for (text, error) in [("[ui\n", "it is not TOML"), ("ui = 1\n", "`ui` is not a table")] {
            fs::write(&path, text).unwrap();
            let refused = save(&path, &[change(&["ui"], "mouse", Written::Flag(true))]);
            assert!(refused.unwrap_err().to_string().starts_with(error));
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn the_file_is_for_its_owner_and_a_link_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("real.toml"), dir.path().join("config.toml"));
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        save(&link, &[change(&["ui"], "mouse", Written::Flag(true))]).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "[ui]\nmouse = true\n");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
