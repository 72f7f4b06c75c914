//! The keys in force: the table of [`keymap`], changed by what the section `[keys]` says.

use std::collections::BTreeMap;

use crossterm::event::KeyEvent;

use super::Problem;
use crate::app::{
    action::{Action, Edit, Find, Go, Jump, Motion, Step, Turn},
    keymap::{self, BINDINGS},
};

/// What takes a key its meaning.
const NOTHING: &str = "none";

/// Which key means what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// What differs from the table.
    own: BTreeMap<String, Option<Action>>,
}

impl Keys {
    /// Makes sense of lines like `"C-g" = "help"`. What cannot be used keeps its default.
    pub(super) fn read(lines: &[(String, String, usize)]) -> (Self, Vec<Problem>) {
        let mut keys = Self::default();
        let mut problems = Vec::new();
        for (key, action, line) in lines {
            if let Err(what) = keys.bind(key, action) {
                problems.push(Problem { line: Some(*line), what });
            }
        }
        problems.extend(keys.unreachable());
        (keys, problems)
    }

    fn bind(&mut self, key: &str, action: &str) -> Result<(), String> {
        let name = canonical(key)?;
        let action = match action {
            NOTHING => None,
            action => Some(named(action).ok_or_else(|| {
                let known = actions().map(name_of).chain([NOTHING]);
                format!("{key}: {}", Problem::unknown(None, "action", action, known).what)
            })?),
        };
        match self.own.insert(name.clone(), action) {
            Some(before) if before != action => Err(format!("{key}: {name} is bound twice")),
            Some(_) | None => Ok(()),
        }
    }

    /// Actions that lost their last key to another one: that may be a mistake.
    fn unreachable(&self) -> Vec<Problem> {
        let reachable = |action| self.of(action).next().is_some();
        let lost = BINDINGS.iter().filter(|binding| {
            let taken = |key: &&str| self.own.get(*key).is_some_and(Option::is_some);
            !reachable(binding.action) && binding.keys.iter().any(taken)
        });
        lost.map(|binding| Problem {
            line: None,
            what: format!("keys: no key means `{}` any more", name_of(binding.action)),
        })
        .collect()
    }

    /// What a key means; `None` if it is to be written, or nothing.
    pub fn lookup(&self, key: KeyEvent) -> Option<Action> {
        let own = keymap::name(key).and_then(|name| self.own.get(&name));
        own.copied().unwrap_or_else(|| keymap::lookup(key))
    }

    /// The table in force, for help: keys, and what they mean.
    pub fn rows(&self) -> Vec<(String, &'static str)> {
        let mut rows: Vec<_> = BINDINGS
            .iter()
            .map(|binding| (self.of(binding.action).collect::<Vec<_>>().join(" "), binding.help))
            .filter(|(keys, _)| !keys.is_empty())
            .collect();
        let is_row = |action: Action| BINDINGS.iter().any(|binding| binding.action == action);
        rows.extend(self.own.iter().filter_map(|(key, action)| {
            let action = action.filter(|action| !is_row(*action))?;
            Some((key.clone(), name_of(action)))
        }));
        rows
    }

    /// What differs from the table: key, and the name of the action.
    pub fn own(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.own.iter().map(|(key, action)| (key.as_str(), action.map_or(NOTHING, name_of)))
    }

    /// The keys of an action, those of the table first.
    fn of(&self, action: Action) -> impl Iterator<Item = &str> {
        let table = BINDINGS.iter().filter(move |binding| binding.action == action);
        let kept = table.flat_map(|binding| binding.keys).copied();
        let own = self.own.iter().filter(move |(_, own)| **own == Some(action));
        kept.filter(|key| !self.own.contains_key(*key)).chain(own.map(|(key, _)| key.as_str()))
    }
}

/// Every action that a key can mean.
fn actions() -> impl Iterator<Item = Action> + Clone {
    let places = (2..=9).map(|number| Action::Go(Go::Number(number)));
    BINDINGS.iter().map(|binding| binding.action).chain(places)
}

fn named(name: &str) -> Option<Action> {
    actions().find(|action| name_of(*action) == name)
}

/// What an action is called in the settings.
pub fn name_of(action: Action) -> &'static str {
    match action {
        Action::Submit => "send",
        Action::Edit(edit) => name_of_edit(edit),
        Action::Complete(Turn::Next) => "complete",
        Action::Complete(Turn::Previous) => "complete-back",
        Action::Scroll(Motion::PageUp) => "page-up",
        Action::Scroll(Motion::PageDown) => "page-down",
        Action::Scroll(Motion::Oldest) => "oldest",
        Action::Scroll(Motion::Live) => "newest",
        Action::Go(Go::Next) => "next",
        Action::Go(Go::Previous) => "previous",
        Action::Go(Go::NextUnread) => "next-unread",
        Action::Go(Go::Number(number)) => place(number),
        Action::Find(Find::Conversation) => "switcher",
        Action::Find(Find::Words) => "search",
        Action::Find(Find::Mentions) => "mentions",
        Action::Select(Step::Older) => "select-older",
        Action::Select(Step::Newer) => "select-newer",
        Action::Close => "close",
        Action::Help => "help",
        Action::Interrupt => "interrupt",
        Action::DeleteOrLeave => "delete-or-leave",
        Action::Wheel => "mouse",
        Action::Members => "members",
        Action::Split => "split",
        Action::Inspect => "inspect",
        Action::Swap => "swap",
        Action::Editor => "editor",
        Action::Jump(Jump::Unread) => "first-unread",
        Action::Jump(Jump::Answered) => "answered",
        Action::Jump(Jump::Back) => "back",
        Action::Redraw => "redraw",
        Action::Suspend => "suspend",
    }
}

const fn name_of_edit(edit: Edit) -> &'static str {
    match edit {
        Edit::Newline => "newline",
        Edit::DeleteBack => "delete-back",
        Edit::DeleteForward => "delete-forward",
        Edit::DeleteWordBack => "delete-word-back",
        Edit::DeleteWordForward => "delete-word-forward",
        Edit::DeleteToStart => "delete-to-start",
        Edit::DeleteToEnd => "delete-to-end",
        Edit::Recall => "recall",
        Edit::Yank => "yank",
        Edit::Undo => "undo",
        Edit::Redo => "redo",
        Edit::Start => "line-start",
        Edit::End => "line-end",
        Edit::Left => "left",
        Edit::Right => "right",
        Edit::WordLeft => "word-left",
        Edit::WordRight => "word-right",
        Edit::Up => "up",
        Edit::Down => "down",
    }
}

const fn place(number: u8) -> &'static str {
    match number {
        2 => "conversation-2",
        3 => "conversation-3",
        4 => "conversation-4",
        5 => "conversation-5",
        6 => "conversation-6",
        7 => "conversation-7",
        8 => "conversation-8",
        9 => "conversation-9",
        _ => "conversation-1",
    }
}

/// Keys with a name of their own, as [`keymap`] writes them.
const NAMED_KEYS: [&str; 13] = [
    "Space",
    "Enter",
    "Esc",
    "Tab",
    "Backspace",
    "Delete",
    "Up",
    "Down",
    "Left",
    "Right",
    "Home",
    "End",
    "PageUp",
];
const FUNCTION_KEYS: u8 = 12;

/// Control, alt, shift.
const PREFIXES: [&str; 3] = ["C-", "M-", "S-"];

/// A key as [`keymap`] writes it, however its modifiers are ordered and its name is capitalised.
fn canonical(written: &str) -> Result<String, String> {
    let mut rest = written;
    let mut held = [false; 3];
    while let Some((index, after)) = PREFIXES.iter().enumerate().find_map(|(index, prefix)| {
        rest.strip_prefix(prefix).filter(|after| !after.is_empty()).map(|after| (index, after))
    }) {
        held[index] = true;
        rest = after;
    }
    let is_same = |name: &&&str| name.eq_ignore_ascii_case(rest);
    let mut characters = rest.chars();
    let code = match (characters.next(), characters.next()) {
        (Some(_), None) => rest.to_owned(),
        _ => NAMED_KEYS
            .iter()
            .chain(&["PageDown"])
            .find(is_same)
            .map(|name| (*name).to_owned())
            .or_else(|| {
                (1..=FUNCTION_KEYS)
                    .map(|number| format!("F{number}"))
                    .find(|name| name.eq_ignore_ascii_case(rest))
            })
            .ok_or_else(|| format!("`{written}` is no key (such as C-g, M-x, S-Up, F5)"))?,
    };
    let is_character = code.chars().count() == 1;
    if is_character && held[2] {
        return Err(format!("`{written}`: S- goes with named keys only"));
    }
    if (is_character || code == "Space") && !held[0] && !held[1] {
        return Err(format!("`{written}` is written, it cannot mean anything else"));
    }
    let prefixes = PREFIXES.iter().zip(held).filter(|(_, held)| *held).map(|(prefix, _)| *prefix);
    Ok(prefixes.chain([code.as_str()]).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn read(lines: &[(&str, &str)]) -> (Keys, Vec<String>) {
        let lines: Vec<_> = (1..)
            .zip(lines)
            .map(|(line, (key, action))| ((*key).to_owned(), (*action).to_owned(), line))
            .collect();
        let (keys, problems) = Keys::read(&lines);
        (keys, problems.iter().map(ToString::to_string).collect())
    }

    fn lookup(keys: &Keys, key: &str) -> Option<Action> {
        keys.lookup(keymap::typed(&format!("<{key}>"))[0])
    }

    #[test]
    fn every_action_has_a_name_of_its_own() {
        let all: BTreeSet<_> = actions().map(name_of).collect();
        let tabled: Vec<_> = actions().fold(Vec::new(), |mut seen, action| {
            if !seen.contains(&action) {
                seen.push(action);
            }
            seen
        });
        assert_eq!(all.len(), tabled.len());
        assert!(tabled.iter().all(|action| named(name_of(*action)) == Some(*action)));
    }

    #[test]
    fn every_key_of_the_table_can_be_written_in_the_file() {
        for key in BINDINGS.iter().flat_map(|binding| binding.keys).filter(|key| **key != "M-1..9")
        {
            assert_eq!(canonical(key).as_deref(), Ok(*key));
        }
    }

    #[test]
    fn a_key_means_what_the_file_says_and_help_shows_it() {
        let (keys, problems) = read(&[("M-z", "help"), ("C-l", "none"), ("M-x", "conversation-4")]);
        assert_eq!(problems, [""; 0]);
        assert_eq!(lookup(&keys, "M-z"), Some(Action::Help));
        assert_eq!(lookup(&keys, "C-l"), None);
        assert_eq!(lookup(&keys, "M-x"), Some(Action::Go(Go::Number(4))));
        assert_eq!(lookup(&keys, "F1"), Some(Action::Help));
        let rows = keys.rows();
        assert!(rows.iter().any(|(keys, help)| keys == "F1 M-z" && help.contains("help")));
        assert!(rows.iter().any(|(keys, help)| keys == "M-x" && *help == "conversation-4"));
        assert!(!rows.iter().any(|(keys, _)| keys.contains("C-l")));
    }

    #[test]
    fn what_cannot_be_a_key_or_an_action_is_said_with_its_line() {
        let (keys, problems) = read(&[
            ("C-gg", "help"),
            ("a", "help"),
            ("S-a", "help"),
            ("M-z", "hlep"),
            ("M-C-g", "help"),
            ("C-M-g", "redraw"),
        ]);
        assert_eq!(
            problems,
            [
                "line 1: `C-gg` is no key (such as C-g, M-x, S-Up, F5)",
                "line 2: `a` is written, it cannot mean anything else",
                "line 3: `S-a`: S- goes with named keys only",
                "line 4: M-z: unknown action `hlep`, did you mean `help`?",
                "line 6: C-M-g: C-M-g is bound twice",
            ]
        );
        assert_eq!(lookup(&keys, "M-z"), None);
    }

    #[test]
    fn taking_the_last_key_of_an_action_is_said() {
        let (_, problems) = read(&[("C-z", "help")]);
        assert_eq!(problems, ["keys: no key means `suspend` any more"]);
        assert_eq!(read(&[("C-z", "none")]).1, [""; 0]);
    }
}
