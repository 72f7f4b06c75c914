//! The configuration file: TOML tables of settings, every value with the line it stands on.

use std::{fs, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    ConfigError,
    settings::{SETTINGS, Setting},
};

/// A setting found in the file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) setting: &'static Setting,
    pub(super) items: Vec<String>,
    pub(super) line: usize,
}

/// Reads the settings in a file.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, ConfigError> {
    let at = |offset: usize| line_of(text, offset);
    let root = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| at(span.start)),
        message: error.message().to_owned(),
    })?;
    let mut entries = Vec::new();
    for (section, body) in root.get_ref() {
        let line = at(section.span().start);
        let name = section.get_ref().as_ref();
        let DeValue::Table(table) = body.get_ref() else {
            return Err(unknown(path, line, name, &full_names()));
        };
        if !SETTINGS.iter().any(|setting| setting.section == name) {
            return Err(unknown(path, line, name, &sections()));
        }
        for (key, value) in table {
            let line = at(key.span().start);
            let full = format!("{name}.{}", key.get_ref());
            let setting = SETTINGS
                .iter()
                .find(|setting| setting.path() == full)
                .ok_or_else(|| unknown(path, line, &full, &full_names()))?;
            let items = items(value).ok_or_else(|| ConfigError::Invalid {
                origin: super::Origin::File { path: path.to_owned(), line },
                setting: full,
                message: "text, a number, or a list of them expected".to_owned(),
            })?;
            entries.push(Entry { setting, items, line });
        }
    }
    Ok(entries)
}

fn items(value: &Spanned<DeValue<'_>>) -> Option<Vec<String>> {
    let scalar = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Boolean(on) => Some(on.to_string()),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    };
    match value.get_ref() {
        DeValue::Array(items) => items.iter().map(|item| scalar(item.get_ref())).collect(),
        single => scalar(single).map(|item| vec![item]),
    }
}

fn sections() -> Vec<String> {
    let mut names: Vec<_> = SETTINGS.iter().map(|setting| setting.section.to_owned()).collect();
    names.dedup();
    names
}

fn full_names() -> Vec<String> {
    SETTINGS.iter().map(Setting::path).collect()
}

fn unknown(path: &Path, line: usize, key: &str, known: &[String]) -> ConfigError {
    ConfigError::UnknownKey {
        path: path.to_owned(),
        line,
        key: key.to_owned(),
        suggestion: super::nearest(key, known),
    }
}

/// Lines are counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<Vec<Entry>, ConfigError> {
        parse(Path::new("relay.toml"), text)
    }

    #[test]
    fn a_key_is_read_with_its_line_in_every_form() {
        let text = "[server]\nlisten = [\"127.0.0.1:1\"]\n\n[limits]\nconnections_max = 1_000\n";
        let entries = parse_text(text).unwrap();
        let seen: Vec<_> =
            entries.iter().map(|e| (e.setting.key, e.line, e.items.join(","))).collect();
        let expected =
            [("listen", 2, "127.0.0.1:1".to_owned()), ("connections_max", 5, "1000".to_owned())];
        for row in expected {
            assert!(seen.contains(&row), "{row:?} in {seen:?}");
        }
    }

    #[test]
    fn an_unknown_key_is_an_error_with_line_and_suggestion() {
        let error = parse_text("[server]\nname = \"x\"\nlisen = \"y\"\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "relay.toml:3: unknown key `server.lisen`, did you mean `server.listen`?"
        );
        let error = parse_text("[limit]\n").unwrap_err();
        assert_eq!(error.to_string(), "relay.toml:1: unknown key `limit`, did you mean `limits`?");
        let error = parse_text("listen = 1\n").unwrap_err();
        assert!(error.to_string().contains("unknown key `listen`"), "{error}");
    }

    #[test]
    fn broken_toml_is_an_error_with_its_line() {
        let error = parse_text("[server]\nname = \n").unwrap_err();
        assert!(error.to_string().starts_with("relay.toml:2: "), "{error}");
    }
}
