//! Which key means what: one table. Help prints it, [`lookup`] reads it, a test keeps it free of
//! conflicts.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::action::{Action, Edit, Find, Go, Jump, Motion, Step, Turn};

/// One line of the table: keys that mean the same, and what help says about them.
pub struct Binding {
    /// The keys, written as in help: `C-` control, `M-` alt, `S-` shift. A digit `1..9` stands for
    /// all nine.
    pub keys: &'static [&'static str],
    /// What they mean.
    pub action: Action,
    /// What help says.
    pub help: &'static str,
}

const fn bind(keys: &'static [&'static str], action: Action, help: &'static str) -> Binding {
    Binding { keys, action, help }
}

/// Every key that means something; what is not here and can be printed is written.
pub const BINDINGS: &[Binding] = &[
    bind(&["Enter"], Action::Submit, "send"),
    bind(&["M-Enter", "S-Enter", "C-j"], Action::Edit(Edit::Newline), "new line"),
    bind(&["Tab"], Action::Complete(Turn::Next), "complete: command, #room, @name, :emoji:"),
    bind(&["S-Tab"], Action::Complete(Turn::Previous), "the completion before"),
    bind(&["PageUp"], Action::Scroll(Motion::PageUp), "older messages"),
    bind(&["PageDown"], Action::Scroll(Motion::PageDown), "newer messages"),
    bind(&["Home", "C-Home"], Action::Scroll(Motion::Oldest), "oldest message loaded"),
    bind(&["End", "C-End"], Action::Scroll(Motion::Live), "newest message"),
    bind(&["M-1..9"], Action::Go(Go::Number(1)), "conversation by its place"),
    bind(&["M-Up", "C-p"], Action::Go(Go::Previous), "previous conversation"),
    bind(&["M-Down", "C-n"], Action::Go(Go::Next), "next conversation"),
    bind(&["M-a", "S-Right"], Action::Go(Go::NextUnread), "next unread conversation"),
    bind(&["C-g"], Action::Find(Find::Conversation), "conversation by parts of its name"),
    bind(&["M-/"], Action::Find(Find::Words), "search all conversations"),
    bind(&["M-m"], Action::Find(Find::Mentions), "messages that name you"),
    bind(&["M-u"], Action::Jump(Jump::Unread), "first unread message"),
    bind(&["M-p"], Action::Jump(Jump::Answered), "message that the selected one answers"),
    bind(&["M-,"], Action::Jump(Jump::Back), "back to before the last jump"),
    bind(&["S-Up"], Action::Select(Step::Older), "select an older message"),
    bind(&["S-Down"], Action::Select(Step::Newer), "select a newer message"),
    bind(&["Esc"], Action::Close, "close, deselect"),
    bind(&["F1"], Action::Help, "this help (also ? on an empty line)"),
    bind(&["F2"], Action::Wheel, "mouse: scroll, or select text"),
    bind(&["F3"], Action::Members, "members beside the conversation"),
    bind(&["F4"], Action::Split, "a second conversation beside this one"),
    bind(&["F5"], Action::Inspect, "what the connection does, packet by packet"),
    bind(&["F6"], Action::Swap, "write in the other one"),
    bind(&["C-c"], Action::Interrupt, "clear the line; again: leave"),
    bind(&["C-d"], Action::DeleteOrLeave, "delete forward; on an empty line: leave"),
    bind(&["C-z"], Action::Suspend, "suspend"),
    bind(&["C-l"], Action::Redraw, "paint anew"),
    bind(&["Up"], Action::Edit(Edit::Up), "line up, or what was sent before"),
    bind(&["Down"], Action::Edit(Edit::Down), "line down, or what was sent after"),
    bind(&["C-r"], Action::Edit(Edit::Recall), "what was sent before and contains this"),
    bind(&["M-e"], Action::Editor, "go on writing in $VISUAL or $EDITOR"),
    bind(&["Left", "C-b"], Action::Edit(Edit::Left), "character back"),
    bind(&["Right", "C-f"], Action::Edit(Edit::Right), "character forward"),
    bind(&["M-b", "C-Left", "M-Left"], Action::Edit(Edit::WordLeft), "word back"),
    bind(&["M-f", "C-Right", "M-Right"], Action::Edit(Edit::WordRight), "word forward"),
    bind(&["C-a"], Action::Edit(Edit::Start), "line start"),
    bind(&["C-e"], Action::Edit(Edit::End), "line end"),
    bind(&["Backspace", "C-h"], Action::Edit(Edit::DeleteBack), "delete back"),
    bind(&["Delete"], Action::Edit(Edit::DeleteForward), "delete forward"),
    bind(&["C-w", "M-Backspace"], Action::Edit(Edit::DeleteWordBack), "delete word back"),
    bind(&["M-d"], Action::Edit(Edit::DeleteWordForward), "delete word forward"),
    bind(&["C-u"], Action::Edit(Edit::DeleteToStart), "delete to line start"),
    bind(&["C-k"], Action::Edit(Edit::DeleteToEnd), "delete to line end"),
    bind(&["C-y"], Action::Edit(Edit::Yank), "insert what was deleted"),
    bind(&["C-_", "C-7"], Action::Edit(Edit::Undo), "undo"),
    bind(&["M-_"], Action::Edit(Edit::Redo), "redo"),
];

/// What a key means; `None` if it is to be written, or nothing.
pub fn lookup(key: KeyEvent) -> Option<Action> {
    let name = name(key)?;
    if let Some(digit) = name.strip_prefix("M-").and_then(|rest| rest.parse::<u8>().ok())
        && (1..=9).contains(&digit)
    {
        return Some(Action::Go(Go::Number(digit)));
    }
    BINDINGS.iter().find(|binding| binding.keys.contains(&name.as_str())).map(|found| found.action)
}

/// The character that a key writes, if it writes one.
pub fn written(key: KeyEvent) -> Option<char> {
    match key.code {
        KeyCode::Char(character)
            if !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) =>
        {
            Some(character)
        }
        _ => None,
    }
}

/// How the table writes a key.
pub fn name(key: KeyEvent) -> Option<String> {
    let code = match key.code {
        KeyCode::Char(' ') => "Space".to_owned(),
        KeyCode::Char(character) => character.to_string(),
        KeyCode::Enter => "Enter".to_owned(),
        KeyCode::Esc => "Esc".to_owned(),
        // Terminals that say so send Tab with Shift.
        KeyCode::Tab | KeyCode::BackTab => "Tab".to_owned(),
        KeyCode::Backspace => "Backspace".to_owned(),
        KeyCode::Delete => "Delete".to_owned(),
        KeyCode::Up => "Up".to_owned(),
        KeyCode::Down => "Down".to_owned(),
        KeyCode::Left => "Left".to_owned(),
        KeyCode::Right => "Right".to_owned(),
        KeyCode::Home => "Home".to_owned(),
        KeyCode::End => "End".to_owned(),
        KeyCode::PageUp => "PageUp".to_owned(),
        KeyCode::PageDown => "PageDown".to_owned(),
        KeyCode::F(number) => format!("F{number}"),
        _ => return None,
    };
    // Shift is part of a printed character already, and only news on the other keys.
    let is_shifted = key.code == KeyCode::BackTab
        || key.modifiers.contains(KeyModifiers::SHIFT) && !matches!(key.code, KeyCode::Char(_));
    let mut name = String::new();
    for (holds, prefix) in [
        (key.modifiers.contains(KeyModifiers::CONTROL), "C-"),
        (key.modifiers.contains(KeyModifiers::ALT), "M-"),
        (is_shifted, "S-"),
    ] {
        if holds {
            name.push_str(prefix);
        }
    }
    name.push_str(&code);
    Some(name)
}

/// Reads keys as tests write them: `hello<enter>`, `<M-1>`, `<C-c>`, `<pageup>`, `<lt>`.
#[cfg(test)]
pub(crate) fn typed(script: &str) -> Vec<KeyEvent> {
    let mut keys = Vec::new();
    let mut rest = script;
    while let Some(first) = rest.chars().next() {
        if first == '<' {
            let (name, after) = rest[1..].split_once('>').expect("a closed <key>");
            keys.push(named(name));
            rest = after;
        } else {
            keys.push(KeyEvent::new(KeyCode::Char(first), KeyModifiers::NONE));
            rest = &rest[first.len_utf8()..];
        }
    }
    keys
}

#[cfg(test)]
fn named(name: &str) -> KeyEvent {
    let mut modifiers = KeyModifiers::NONE;
    let mut rest = name;
    while let Some((prefix, after)) = rest.split_once('-').filter(|(_, after)| !after.is_empty()) {
        modifiers |= match prefix {
            "C" => KeyModifiers::CONTROL,
            "M" => KeyModifiers::ALT,
            "S" => KeyModifiers::SHIFT,
            other => panic!("no modifier {other}"),
        };
        rest = after;
    }
    let code = match rest.to_ascii_lowercase().as_str() {
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "backspace" => KeyCode::Backspace,
        "delete" => KeyCode::Delete,
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "pageup" => KeyCode::PageUp,
        "pagedown" => KeyCode::PageDown,
        "space" => KeyCode::Char(' '),
        "tab" => KeyCode::Tab,
        "lt" => KeyCode::Char('<'),
        "f1" => KeyCode::F(1),
        "f2" => KeyCode::F(2),
        "f3" => KeyCode::F(3),
        "f4" => KeyCode::F(4),
        "f5" => KeyCode::F(5),
        "f6" => KeyCode::F(6),
        _ => KeyCode::Char(rest.chars().next().expect("a key")),
    };
    KeyEvent::new(code, modifiers)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_key_is_bound_twice() {
        let mut seen = BTreeSet::new();
        for key in BINDINGS.iter().flat_map(|binding| binding.keys) {
            assert!(seen.insert(key), "{key} is bound twice");
        }
    }

    #[test]
    fn every_key_of_the_table_is_found_under_its_name() {
        for binding in BINDINGS {
            for key in binding.keys.iter().filter(|key| **key != "M-1..9") {
                assert_eq!(lookup(named(key)), Some(binding.action), "{key}");
            }
        }
        assert_eq!(lookup(named("M-7")), Some(Action::Go(Go::Number(7))));
        assert_eq!(lookup(named("M-0")), None);
    }

    #[test]
    fn printable_keys_are_written_and_not_looked_up() {
        let shifted = KeyEvent::new(KeyCode::Char('A'), KeyModifiers::SHIFT);
        assert_eq!((lookup(shifted), written(shifted)), (None, Some('A')));
        assert_eq!(written(named("C-q")), None);
    }
}
