//! Writing as in vi, for those who have chosen it (`ui.editing`). While text is inserted, keys mean
//! what they always mean, and Esc begins the normal mode, in which letters are commands: one table,
//! which help prints. With nothing written, some of them move about the timeline.
//!
//! A command makes a new text out of the old one; what it was before is kept for `u`.

mod text;

use std::ops::Range;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use protocol::ids::ConversationId;

pub(super) use self::text::Text;
use self::text::{Motion, Place, Side};
use super::{
    App,
    action::{Action, Find, Motion as Scroll, Step},
    composer::COMPOSER_BYTES_MAX,
    deletion,
    effect::Effect,
    keymap,
    update::{note_written, on_action},
};
use crate::settings::value::Editing;

/// Largest number before a command.
const COUNT_MAX: usize = 999;
/// Most changes that can be taken back.
const UNDO_MAX: usize = 50;

/// What keys mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They are written.
    #[default]
    Insert,
    /// They are commands.
    Normal,
}

/// What is remembered between keys.
#[derive(Clone, Debug, Default)]
pub struct Vi {
    mode: Mode,
    /// What was typed of a command that is not complete: counts, operator, the first of two letters.
    count: Option<usize>,
    operator: Option<(Operator, usize)>,
    typed: String,
    /// What was deleted or copied last.
    register: Register,
    /// Where the changes were made.
    place: Option<ConversationId>,
    done: Vec<Text>,
    undone: Vec<Text>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Register {
    text: Vec<char>,
    is_lines: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Move(Motion),
    Operate(Operator),
    /// An operator with its motion in one letter.
    Short(Operator, Motion),
    Insert(Place),
    Put(Side),
    Undo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Delete,
    Change,
    Copy,
}

/// The commands of the normal mode.
const COMMANDS: &[(&str, Command, &str)] = &[
    ("h", Command::Move(Motion::Left), "character back"),
    ("j", Command::Move(Motion::Down), "line down; nothing written: newer message"),
    ("k", Command::Move(Motion::Up), "line up; nothing written: older message"),
    ("l", Command::Move(Motion::Right), "character forward"),
    ("w", Command::Move(Motion::Word), "to the next word"),
    ("b", Command::Move(Motion::WordBack), "to the beginning of the word"),
    ("e", Command::Move(Motion::WordEnd), "to the end of the word"),
    ("0", Command::Move(Motion::LineStart), "to the line's beginning"),
    ("^", Command::Move(Motion::FirstLetter), "to the line's first letter"),
    ("$", Command::Move(Motion::LineEnd), "to the line's end"),
    ("gg", Command::Move(Motion::FirstLine), "to the first line; nothing written: oldest message"),
    ("G", Command::Move(Motion::LastLine), "to the last line; nothing written: newest message"),
    ("i", Command::Insert(Place::Here), "insert"),
    ("I", Command::Insert(Place::FirstLetter), "insert before the line"),
    ("a", Command::Insert(Place::Behind), "insert behind the cursor"),
    ("A", Command::Insert(Place::LineEnd), "insert behind the line"),
    ("o", Command::Insert(Place::LineBelow), "insert a line below"),
    ("O", Command::Insert(Place::LineAbove), "insert a line above"),
    ("d", Command::Operate(Operator::Delete), "delete as far as the next key moves; dd: the line"),
    ("c", Command::Operate(Operator::Change), "the same, and insert"),
    ("y", Command::Operate(Operator::Copy), "the same, only to be put somewhere"),
    ("x", Command::Short(Operator::Delete, Motion::Right), "delete the character"),
    ("D", Command::Short(Operator::Delete, Motion::LineEnd), "delete to the line's end"),
    ("C", Command::Short(Operator::Change, Motion::LineEnd), "the same, and insert"),
    ("p", Command::Put(Side::After), "put behind the cursor, or below"),
    ("P", Command::Put(Side::Before), "put before the cursor, or above"),
    ("u", Command::Undo, "undo; C-r: redo"),
];

/// The table for help, if it counts.
pub fn rows(app: &App) -> impl Iterator<Item = (String, &'static str)> {
    let is_vi = app.vi_mode().is_some();
    COMMANDS.iter().filter(move |_| is_vi).map(|(keys, _, help)| ((*keys).to_owned(), *help))
}

impl App {
    /// What keys mean; `None` if nobody wants vi.
    pub fn vi_mode(&self) -> Option<Mode> {
        let is_wanted = self.preferences.values.ui.editing == Editing::Vi;
        is_wanted.then_some(self.vi.mode)
    }
}

/// Takes a key; `None` if it means what it means without vi.
pub(super) fn on_key(app: &mut App, key: KeyEvent, action: Option<Action>) -> Option<Vec<Effect>> {
    let mode = app.vi_mode()?;
    let conversation = app.current()?;
    let (here, text) = (conversation.summary.id, conversation.composer.vi_text());
    if app.vi.place != Some(here) {
        app.vi.forget(here);
    }
    match (mode, action) {
        (Mode::Insert, Some(Action::Close)) => {
            app.completion = None;
            app.vi.end_insert(&text);
            set(app, &text.moved_left());
            return Some(Vec::new());
        }
        // Nothing that was written for what is sent now comes back.
        (_, Some(Action::Submit)) => {
            app.vi.forget(here);
            return None;
        }
        (Mode::Insert, _) => return None,
        (Mode::Normal, Some(Action::Close)) if app.vi.is_waiting() => {
            app.vi.clear();
            return Some(Vec::new());
        }
        (Mode::Normal, _) => {}
    }
    let is_redo = key.code == KeyCode::Char('r') && key.modifiers == KeyModifiers::CONTROL;
    if is_redo {
        let redone = app.vi.redo(&text);
        return Some(change(app, redone));
    }
    let character = keymap::written(key)?;
    if text.chars.is_empty()
        && let Some(effects) = on_timeline(app, character)
    {
        return Some(effects);
    }
    let outcome = app.vi.take(character, &text);
    Some(change(app, outcome))
}

/// With nothing written, letters move about the timeline.
fn on_timeline(app: &mut App, character: char) -> Option<Vec<Effect>> {
    let is_second = app.vi.typed == "g";
    let action = match character {
        'j' => Action::Select(Step::Newer),
        'k' => Action::Select(Step::Older),
        'G' => Action::Scroll(Scroll::Live),
        'g' if is_second => Action::Scroll(Scroll::Oldest),
        '/' => Action::Find(Find::Words),
        '?' => Action::Help,
        ':' => {
            app.vi.begin_insert(&Text::default());
            set(app, &Text { chars: vec!['/'], at: 1 });
            return Some(Vec::new());
        }
        'u' if deletion::undo(app) => return Some(Vec::new()),
        _ => return None,
    };
    app.vi.clear();
    Some(on_action(app, action))
}

/// Puts what a command has made of the text into the box.
fn change(app: &mut App, outcome: Option<Text>) -> Vec<Effect> {
    let Some(text) = outcome else { return Vec::new() };
    if text.chars.iter().map(|character| character.len_utf8()).sum::<usize>() > COMPOSER_BYTES_MAX {
        app.complain("that does not fit");
        return Vec::new();
    }
    set(app, &text);
    Vec::new()
}

fn set(app: &mut App, text: &Text) {
    if let Some(conversation) = app.current_mut() {
        conversation.composer.set_vi_text(text);
    }
    note_written(app);
}

impl Vi {
    /// Takes a letter; `Some` if the text, or the cursor in it, is another one now.
    fn take(&mut self, character: char, text: &Text) -> Option<Text> {
        if let Some(digit) = character.to_digit(10).and_then(|digit| usize::try_from(digit).ok())
            && (digit > 0 || self.count.is_some())
        {
            self.count = Some((self.count.unwrap_or(0) * 10 + digit).min(COUNT_MAX));
            return None;
        }
        self.typed.push(character);
        let found = COMMANDS.iter().find(|(keys, ..)| *keys == self.typed);
        let Some((_, command, _)) = found else {
            if !COMMANDS.iter().any(|(keys, ..)| keys.starts_with(&self.typed)) {
                self.clear();
            }
            return None;
        };
        self.typed.clear();
        let count = self.count.take();
        match (*command, self.operator.take()) {
            (Command::Operate(operator), None) => {
                self.operator = Some((operator, count.unwrap_or(1)));
                None
            }
            (Command::Operate(again), Some((operator, times))) => {
                let lines = (count.unwrap_or(1) * times).min(COUNT_MAX);
                (again == operator).then(|| {
                    let last = text.rows_from(text.at, lines - 1);
                    self.on_lines(operator, text, text.at..last)
                })
            }
            (Command::Move(motion), Some((operator, times))) => {
                let count = count.map(|count| (count * times).min(COUNT_MAX));
                Some(self.operate(operator, text, motion, count.or((times > 1).then_some(times))))
            }
            // Not something that an operator goes with.
            (_, Some(_)) => None,
            (Command::Move(motion), None) => Some(text.moved(motion, count).settled()),
            (Command::Short(operator, motion), None) => {
                Some(self.operate(operator, text, motion, count))
            }
            (Command::Insert(place), None) => {
                self.begin_insert(text);
                Some(text.opened(place))
            }
            (Command::Put(side), None) => self.put(text, side, count.unwrap_or(1)),
            (Command::Undo, None) => {
                let before = self.done.pop()?;
                self.undone.push(text.clone());
                Some(before.settled())
            }
        }
    }

    fn operate(
        &mut self,
        operator: Operator,
        text: &Text,
        motion: Motion,
        count: Option<usize>,
    ) -> Text {
        match motion {
            Motion::Up | Motion::Down | Motion::FirstLine | Motion::LastLine => {
                let other = text.moved(motion, count).at;
                self.on_lines(operator, text, text.at.min(other)..text.at.max(other))
            }
            _ => {
                let range = text.range(operator, motion, count);
                self.on_characters(operator, text, range)
            }
        }
    }

    fn on_characters(&mut self, operator: Operator, text: &Text, range: Range<usize>) -> Text {
        self.register = Register { text: text.chars[range.clone()].to_vec(), is_lines: false };
        let mut after = Text { at: range.start, ..text.clone() };
        match operator {
            Operator::Copy => return after,
            Operator::Change => self.begin_insert(text),
            Operator::Delete => self.keep(text),
        }
        after.chars.drain(range);
        if operator == Operator::Delete { after.settled() } else { after }
    }

    /// On the lines with the first and the last of these places.
    fn on_lines(&mut self, operator: Operator, text: &Text, lines: Range<usize>) -> Text {
        let mut range = text.line(lines.start).start..text.line(lines.end).end;
        self.register = Register { text: text.chars[range.clone()].to_vec(), is_lines: true };
        let mut after = text.clone();
        match operator {
            Operator::Copy => return after,
            Operator::Change => {
                self.begin_insert(text);
                after.chars.drain(range.clone());
                after.at = range.start;
                return after;
            }
            Operator::Delete => self.keep(text),
        }
        // With one of the line ends around them.
        if range.end < text.chars.len() {
            range.end += 1;
        } else {
            range.start = range.start.saturating_sub(1);
        }
        after.chars.drain(range.clone());
        after.at = range.start.min(after.chars.len());
        after.moved(Motion::FirstLetter, None).settled()
    }

    fn put(&mut self, text: &Text, side: Side, count: usize) -> Option<Text> {
        let Register { text: put, is_lines } = self.register.clone();
        if put.is_empty() && !is_lines {
            return None;
        }
        self.keep(text);
        let line = text.line(text.at);
        let mut after = text.clone();
        let mut insert = |at: usize, put: Vec<char>| drop(after.chars.splice(at..at, put));
        let put = if is_lines {
            let mut lines = put;
            match side {
                Side::After => lines.insert(0, '\n'),
                Side::Before => lines.push('\n'),
            }
            lines.repeat(count)
        } else {
            put.repeat(count)
        };
        let length = put.len();
        match (is_lines, side) {
            (true, Side::After) => {
                insert(line.end, put);
                after.at = line.end + 1;
            }
            (true, Side::Before) => {
                insert(line.start, put);
                after.at = line.start;
            }
            (false, side) => {
                let step = usize::from(side == Side::After && !line.is_empty());
                insert(text.at + step, put);
                after.at = text.at + step + length - 1;
            }
        }
        Some(if is_lines { after.moved(Motion::FirstLetter, None).settled() } else { after })
    }

    fn redo(&mut self, text: &Text) -> Option<Text> {
        self.clear();
        let after = self.undone.pop()?;
        self.done.push(text.clone());
        Some(after.settled())
    }

    fn begin_insert(&mut self, text: &Text) {
        self.keep(text);
        self.mode = Mode::Insert;
    }

    fn end_insert(&mut self, text: &Text) {
        self.mode = Mode::Normal;
        self.clear();
        // Nothing was inserted: there is nothing to take back.
        self.done.pop_if(|before| before.chars == text.chars);
    }

    /// Keeps what the text was before a change.
    fn keep(&mut self, text: &Text) {
        self.undone.clear();
        self.done.push(text.clone());
        if self.done.len() > UNDO_MAX {
            self.done.remove(0);
        }
    }

    /// Forgets the changes of another text.
    fn forget(&mut self, place: ConversationId) {
        self.clear();
        self.done.clear();
        self.undone.clear();
        self.place = Some(place);
    }

    const fn is_waiting(&self) -> bool {
        self.count.is_some() || self.operator.is_some() || !self.typed.is_empty()
    }

    fn clear(&mut self) {
        self.count = None;
        self.operator = None;
        self.typed.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::app::{
        effect::Saying,
        fixture::{app, id, load, press, room, text},
    };

    fn vi() -> App {
        let mut app = app(vec![room(1, "lobby"), room(2, "ops")]);
        app.preferences.set("ui.editing", "vi").expect("a setting");
        app
    }

    fn written(app: &App) -> String {
        app.current().map(|here| here.composer.text()).unwrap_or_default()
    }

    /// What is written after these keys, with the cursor as `|`.
    fn after(text: &str, keys: &str) -> String {
        let mut app = vi();
        press(&mut app, &text.replace('\n', "<C-j>"));
        press(&mut app, "<esc>gg0");
        press(&mut app, keys);
        let mut text = app.current().expect("a conversation").composer.vi_text();
        let at = text.at;
        text.chars.insert(at, '|');
        text.chars.iter().collect()
    }

    #[test]
    fn motions_move() {
        let text = "one two.three\n  four";
        for (keys, expected) in [
            ("w", "one |two.three\n  four"),
            ("ww", "one two|.three\n  four"),
            ("3w", "one two.|three\n  four"),
            ("4w", "one two.three\n  |four"),
            ("99w", "one two.three\n  fou|r"),
            ("e", "on|e two.three\n  four"),
            ("2e", "one tw|o.three\n  four"),
            ("$", "one two.thre|e\n  four"),
            ("$b", "one two.|three\n  four"),
            ("$3b", "one |two.three\n  four"),
            ("2l", "on|e two.three\n  four"),
            ("4lh", "one| two.three\n  four"),
            ("G", "one two.three\n  |four"),
            ("G0", "one two.three\n|  four"),
            ("G0^", "one two.three\n  |four"),
            ("Gk", "on|e two.three\n  four"),
            ("4lj", "one two.three\n  fo|ur"),
            ("Ggg", "|one two.three\n  four"),
            ("2gg", "one two.three\n  |four"),
            ("1G", "|one two.three\n  four"),
        ] {
            assert_eq!(after(text, keys), expected, "{keys}");
        }
    }

    #[test]
    fn operators_change() {
        let text = "one two three\nfour\nfive";
        for (keys, expected) in [
            ("x", "|ne two three\nfour\nfive"),
            ("3x", "| two three\nfour\nfive"),
            ("dw", "|two three\nfour\nfive"),
            ("d2w", "|three\nfour\nfive"),
            ("2dw", "|three\nfour\nfive"),
            ("2wdw", "one two| \nfour\nfive"),
            ("wdb", "|two three\nfour\nfive"),
            ("de", "| two three\nfour\nfive"),
            ("wd0", "|two three\nfour\nfive"),
            ("wD", "one| \nfour\nfive"),
            ("wd$", "one| \nfour\nfive"),
            ("dd", "|four\nfive"),
            ("2dd", "|five"),
            ("9dd", "|"),
            ("Gdd", "one two three\n|four"),
            ("dj", "|five"),
            ("jdG", "|one two three"),
            ("cwsix<esc>", "si|x two three\nfour\nfive"),
            ("c2wsix<esc>", "si|x three\nfour\nfive"),
            ("wCsix<esc>", "one si|x\nfour\nfive"),
            ("jccsix<esc>", "one two three\nsi|x\nfive"),
            ("ywP", "one| one two three\nfour\nfive"),
            ("yyp", "one two three\n|one two three\nfour\nfive"),
            ("yyGp", "one two three\nfour\nfive\n|one two three"),
            ("jyyP", "one two three\n|four\nfour\nfive"),
            ("dwwp", "two tone| hree\nfour\nfive"),
            ("x2p", "no|oe two three\nfour\nfive"),
            ("dx", "|one two three\nfour\nfive"),
            ("d<esc>w", "one |two three\nfour\nfive"),
            ("dq", "|one two three\nfour\nfive"),
        ] {
            assert_eq!(after(text, keys), expected, "{keys}");
        }
    }

    #[test]
    fn text_is_inserted_where_it_is_wanted() {
        for (keys, expected) in [
            ("wix<esc>", "  |xone\ntwo"),
            ("wIx<esc>", "  |xone\ntwo"),
            ("ax<esc>", " |x one\ntwo"),
            ("Ax<esc>", "  one|x\ntwo"),
            ("ox<esc>", "  one\n|x\ntwo"),
            ("Ox<esc>", "|x\n  one\ntwo"),
        ] {
            assert_eq!(after("  one\ntwo", keys), expected, "{keys}");
        }
    }

    #[test]
    fn changes_are_taken_back_and_made_again() {
        for (keys, expected) in [
            ("dwxu", "|two"),
            ("dwxuu", "|one two"),
            ("dwxuu<C-r>", "|two"),
            ("dwxuu<C-r><C-r>", "|wo"),
            ("dwuxu<C-r>", "|ne two"),
            ("cwsix<esc>u", "|one two"),
            ("i<esc>u", "|one two"),
            ("u<C-r>", "|one two"),
        ] {
            assert_eq!(after("one two", keys), expected, "{keys}");
        }
        let undone = format!("{}{}", "x".repeat(UNDO_MAX + 1), "u".repeat(UNDO_MAX + 1));
        assert_eq!(after(&"a".repeat(UNDO_MAX + 9), &undone).len(), UNDO_MAX + 9);
    }

    #[test]
    fn enter_sends_in_both_modes_and_nothing_sent_comes_back() {
        let mut app = vi();
        let said = |effects: Vec<Effect>| {
            effects.into_iter().any(|it| matches!(it, Effect::Say(_, Saying::Text(..))))
        };
        assert!(said(press(&mut app, "one<enter>")));
        assert!(said(press(&mut app, "two<esc><enter>")));
        press(&mut app, "u");
        assert_eq!((written(&app), app.vi_mode()), (String::new(), Some(Mode::Normal)));
        press(&mut app, "ix<esc><M-2>u");
        assert_eq!(written(&app), "");
        press(&mut app, "<M-1>u");
        assert_eq!(written(&app), "x", "what was changed elsewhere is not undone here");
    }

    #[test]
    fn with_nothing_written_letters_move_about_the_timeline() {
        let mut app = vi();
        load(&mut app, id(1), vec![text(1, "bea", "one"), text(2, "bea", "two")]);
        let selected = |app: &App| app.current().and_then(|here| here.selected).map(|seq| seq.0);
        press(&mut app, "<esc>k");
        assert_eq!(selected(&app), Some(2));
        press(&mut app, "k");
        assert_eq!(selected(&app), Some(1));
        press(&mut app, "j");
        assert_eq!(selected(&app), Some(2));
        press(&mut app, "G:me");
        assert_eq!((selected(&app), written(&app).as_str()), (None, "/me"));
    }

    #[test]
    fn without_the_setting_letters_are_written_and_esc_closes() {
        let mut app = app(vec![room(1, "lobby")]);
        press(&mut app, "ab<esc>x");
        assert_eq!((written(&app).as_str(), app.vi_mode()), ("abx", None));
        assert_eq!(rows(&app).count(), 0);
    }

    #[test]
    fn no_command_hides_another() {
        let keys: BTreeSet<_> = COMMANDS.iter().map(|(keys, ..)| *keys).collect();
        assert_eq!(keys.len(), COMMANDS.len());
        for key in &keys {
            assert!(keys.iter().all(|other| other == key || !other.starts_with(key)), "{key}");
        }
    }

    #[test]
    fn what_grows_too_large_is_refused() {
        let mut app = vi();
        press(&mut app, &"日".repeat(200));
        press(&mut app, "<esc>yy999p999p999p");
        assert!(written(&app).len() <= COMPOSER_BYTES_MAX);
        assert!(app.toast.is_some());
    }

    proptest! {
        #[test]
        fn no_command_loses_the_cursor(
            words in "[ab., \\n日]{0,20}",
            keys in "[hjklwbe0^$gGiIaAoOdcyxDCpPu123]{0,20}",
        ) {
            let mut app = vi();
            press(&mut app, &format!("{}<esc>", words.replace('\n', "<C-j>")));
            for key in keys.chars() {
                press(&mut app, &key.to_string());
                let text = app.current().expect("a conversation").composer.vi_text();
                prop_assert!(text.at <= text.chars.len());
                if app.vi_mode() == Some(Mode::Normal) {
                    prop_assert_eq!(text.clone().settled(), text);
                }
            }
        }
    }
}
