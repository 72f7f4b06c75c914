//! The settings file: TOML tables, every value with the line it stands on. What cannot be used is
//! reported and left out; the rest counts.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Problem,
    table::{SETTINGS, Setting},
    value::{Level, Value as _},
};
use crate::spelling;

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Values of settings.
    pub(super) values: Vec<(&'static Setting, Vec<String>, usize)>,
    /// What keys are to mean: key, action, line.
    pub(super) keys: Vec<(String, String, usize)>,
    /// Levels of single conversations.
    pub(super) levels: Vec<(String, Level)>,
    /// What cannot be used.
    pub(super) problems: Vec<Problem>,
}

/// The section of keys.
const KEYS: &str = "keys";
/// The table of conversations, in the section `notify`.
pub(super) const CONVERSATIONS: &str = "conversations";

/// Reads a file's text.
pub(super) fn parse(text: &str) -> Content {
    let mut reader = Reader { text, content: Content::default() };
    match DeTable::parse(text) {
        Ok(root) => reader.root(root.get_ref()),
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            reader.problem(offset, error.message());
        }
    }
    // A table has no order of its own; messages follow the file.
    reader.content.problems.sort_by_key(|problem| problem.line);
    reader.content.keys.sort_by_key(|(.., line)| *line);
    reader.content
}

struct Reader<'a> {
    text: &'a str,
    content: Content,
}

impl Reader<'_> {
    fn root(&mut self, root: &DeTable<'_>) {
        for (section, body) in root {
            let name = section.get_ref().as_ref();
            let offset = section.span().start;
            match body.get_ref() {
                DeValue::Table(table) if name == KEYS => self.keys(table),
                DeValue::Table(table) if sections().any(|known| known == name) => {
                    self.section(name, table);
                }
                DeValue::Table(_) => {
                    self.unknown(offset, "section", name, sections().chain([KEYS]));
                }
                _ => match SETTINGS.iter().find(|setting| setting.key == name) {
                    Some(meant) => {
                        self.problem(
                            offset,
                            &format!("`{name}` belongs below [{}]", meant.section),
                        );
                    }
                    None => self.unknown(offset, "key", name, SETTINGS.iter().map(Setting::path)),
                },
            }
        }
    }

    fn section(&mut self, section: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let offset = key.span().start;
            let path = format!("{section}.{}", key.get_ref());
            if let (true, DeValue::Table(levels)) =
                (path == format!("notify.{CONVERSATIONS}"), value.get_ref())
            {
                self.levels(levels);
                continue;
            }
            let Some(setting) = Setting::named(&path) else {
                self.unknown(offset, "key", &path, SETTINGS.iter().map(Setting::path));
                continue;
            };
            let line = self.line(offset);
            match items(value) {
                Some(items) => self.content.values.push((setting, items, line)),
                None => {
                    self.problem(offset, &format!("{path}: {} expected", setting.expected));
                }
            }
        }
    }

    fn keys(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            let offset = key.span().start;
            let (key, line) = (key.get_ref().to_string(), self.line(offset));
            match value.get_ref() {
                DeValue::String(action) => {
                    self.content.keys.push((key, action.to_string(), line));
                }
                _ => self.problem(offset, &format!("{key}: the name of an action expected")),
            }
        }
    }

    fn levels(&mut self, table: &DeTable<'_>) {
        for (title, value) in table {
            let level = items(value).map_or_else(
                || Err(format!("{} expected", Level::EXPECTED)),
                |items| Level::parse(&items),
            );
            match level {
                Ok(level) => self.content.levels.push((title.get_ref().to_string(), level)),
                Err(why) => {
                    self.problem(title.span().start, &format!("{}: {why}", title.get_ref()));
                }
            }
        }
    }

    fn unknown<T: AsRef<str>>(
        &mut self,
        offset: usize,
        what: &str,
        name: &str,
        known: impl Iterator<Item = T> + Clone,
    ) {
        let line = self.line(offset);
        self.content.problems.push(Problem::unknown(Some(line), what, name, known));
    }

    fn problem(&mut self, offset: usize, what: &str) {
        let line = self.line(offset);
        self.content.problems.push(Problem { line: Some(line), what: what.to_owned() });
    }

    /// Lines are counted from 1.
    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }
}

impl Problem {
    /// A name that means nothing, with the one that was probably meant.
    pub(super) fn unknown<T: AsRef<str>>(
        line: Option<usize>,
        what: &str,
        name: &str,
        known: impl Iterator<Item = T> + Clone,
    ) -> Self {
        let nearest = spelling::nearest(name, known);
        let hint = nearest.map(|known| format!(", did you mean `{}`?", known.as_ref()));
        let what = format!("unknown {what} `{name}`{}", hint.unwrap_or_default());
        Self { line, what }
    }
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

fn sections() -> impl Iterator<Item = &'static str> + Clone {
    SETTINGS.iter().map(|setting| setting.section)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        parse(text).problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn values_keys_and_levels_are_read_with_their_lines() {
        let content = parse(
            "[ui]\ntheme = \"dark\"\ncolour = 256\n\n[notify]\nhook = [\"say\", \"hi\"]\n\
             [notify.conversations]\n\"#build\" = \"off\"\n[keys]\n\"C-g\" = \"help\"\n",
        );
        let values: Vec<_> =
            content.values.iter().map(|(s, items, line)| (s.key, items.join(" "), *line)).collect();
        for expected in [("theme", "dark", 2), ("colour", "256", 3), ("hook", "say hi", 6)] {
            let (key, value, line) = expected;
            assert!(values.contains(&(key, value.to_owned(), line)), "{expected:?} in {values:?}");
        }
        assert_eq!(content.keys, [("C-g".to_owned(), "help".to_owned(), 10)]);
        assert_eq!(content.levels, [("#build".to_owned(), Level::Off)]);
        assert!(content.problems.is_empty());
    }

    #[test]
    fn what_is_unknown_has_a_line_and_a_neighbour_and_the_rest_counts() {
        let text = "[ui]\nthem = \"dark\"\nmouse = false\n[notfy]\nlevel = \"all\"\n";
        assert_eq!(
            problems(text),
            [
                "line 2: unknown key `ui.them`, did you mean `ui.theme`?",
                "line 4: unknown section `notfy`, did you mean `notify`?"
            ]
        );
        assert_eq!(parse(text).values.len(), 1);
        assert_eq!(problems("theme = \"dark\""), ["line 1: `theme` belongs below [ui]"]);
    }

    #[test]
    fn what_is_no_toml_says_where() {
        let problems = problems("[ui]\ntheme = \n");
        assert!(problems[0].starts_with("line 2: "), "{problems:?}");
    }
}
