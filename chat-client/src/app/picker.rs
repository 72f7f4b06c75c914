//! A list from which one thing is picked by writing a few of its letters: the quick switcher, the
//! mentions, what a search found. It knows nothing about what it lists; `find.rs` does.
//!
//! ```text
//!   keys ──▶ on_key ──▶ Outcome: stay, close, the line changed, this one was picked
//! ```
//!
//! Labels are foreign text and are made harmless when a choice is made, so that the matched
//! characters are counted in what the screen shows.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{AtomKind, CaseMatching, Normalization, Pattern},
};
use protocol::ids::{ConversationId, Seq};
use unicode_segmentation::UnicodeSegmentation;

use super::keymap;
use crate::untrusted::Untrusted;

/// Most characters of the line: more than anybody writes to find something, and few enough that
/// matching stays instant.
pub const QUERY_CHARS_MAX: usize = 200;
/// Most characters of one choice that are matched and shown.
pub const LABEL_CHARS_MAX: usize = 400;
/// Choices that one press of `PageUp` or `PageDown` moves over.
const PAGE_CHOICES: usize = 10;

/// The list and the line above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picker {
    /// What is picked.
    pub title: &'static str,
    /// What the list is for.
    pub purpose: Purpose,
    /// Something to be said about the list; empty if nothing.
    pub note: String,
    query: String,
    choices: Vec<Choice>,
    /// What fits the line, best first.
    found: Vec<Found>,
    chosen: usize,
}

/// What a list is for, which decides what its line does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Going to a conversation: the line filters.
    Switch,
    /// The messages that name this account: the line filters.
    Mentions,
    /// Full-text search: the line is the question, and the answer is the list.
    Search,
    /// No list: unread messages that name this account are counted.
    Count,
}

/// Something that can be picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Where it leads.
    pub pick: Pick,
    /// What it is called, harmless.
    text: String,
    /// Graphemes at its beginning that only say where and when it was.
    lead: usize,
    /// What stands at the right edge; harmless.
    note: String,
    /// Graphemes that the question matched, if the list is an answer.
    marks: Vec<u32>,
}

/// Where a choice leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// To a conversation.
    Conversation(ConversationId),
    /// To a record of a conversation.
    Record(ConversationId, Seq),
}

/// A choice that fits the line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    index: usize,
    /// Graphemes of the choice that the line matches, ascending.
    marks: Vec<u32>,
}

/// A choice as it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// What it is called; harmless.
    pub text: &'a str,
    /// Graphemes at its beginning that only say where and when it was.
    pub lead: usize,
    /// What stands at the right edge; harmless.
    pub note: &'a str,
    /// Graphemes that matched, ascending.
    pub marks: &'a [u32],
    /// Enter picks it.
    pub is_chosen: bool,
}

/// What a key came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing that concerns anybody else.
    Stay,
    /// The line changed.
    Changed,
    /// The person wants no more of it.
    Close,
    /// The person picked this.
    Picked(Pick),
}

impl Choice {
    /// A choice called `text`, behind a `lead` that only says where and when it was, with a `note`
    /// at the right edge.
    pub fn new(pick: Pick, lead: &str, text: &str, note: &str) -> Self {
        let lead = harmless(lead);
        Self {
            pick,
            lead: lead.graphemes(true).count(),
            text: lead + &harmless(text),
            note: harmless(note),
            marks: Vec::new(),
        }
    }

    /// Marks what any of these words matched behind the lead, in any case.
    #[must_use]
    pub fn marked(mut self, words: &[String]) -> Self {
        let folded = |text: &str| text.to_lowercase();
        let graphemes: Vec<String> = self.text.graphemes(true).map(folded).collect();
        for word in words.iter().map(|word| folded(&harmless(word))).filter(|w| !w.is_empty()) {
            for start in self.lead..graphemes.len() {
                let mut joined = String::new();
                let reached = graphemes[start..].iter().position(|grapheme| {
                    joined.push_str(grapheme);
                    joined.len() >= word.len()
                });
                if let Some(last) = reached.filter(|_| joined == word) {
                    self.marks
                        .extend((start..=start + last).filter_map(|at| u32::try_from(at).ok()));
                }
            }
        }
        self.marks.sort_unstable();
        self.marks.dedup();
        self
    }
}

/// One line of at most [`LABEL_CHARS_MAX`] characters that a screen can show.
fn harmless(text: &str) -> String {
    let spaced = |character: char| if character.is_whitespace() { ' ' } else { character };
    let line: String = text.chars().map(spaced).take(LABEL_CHARS_MAX).collect();
    Untrusted::new(&line).for_cell()
}

impl Picker {
    /// A list with these choices, in the order in which an empty line shows them.
    pub fn new(purpose: Purpose, title: &'static str, choices: Vec<Choice>) -> Self {
        let (query, note) = (String::new(), String::new());
        let found = Vec::new();
        let mut picker = Self { title, purpose, note, query, choices, found, chosen: 0 };
        picker.filter();
        picker
    }

    /// The line.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// Writes the line anew.
    pub fn set_query(&mut self, query: &str) {
        self.query.clear();
        self.write(query);
    }

    /// Appends to the line, as much of it as there is room for.
    pub fn write(&mut self, text: &str) {
        let room = QUERY_CHARS_MAX.saturating_sub(self.query.chars().count());
        let line = text.lines().next().unwrap_or_default();
        self.query.extend(line.chars().filter(|character| !character.is_control()).take(room));
        self.filter();
    }

    /// Gives the list other choices.
    pub fn set_choices(&mut self, choices: Vec<Choice>) {
        self.choices = choices;
        self.filter();
    }

    /// How many choices fit the line.
    pub const fn count(&self) -> usize {
        self.found.len()
    }

    /// Which of them Enter picks, from 0.
    pub const fn chosen(&self) -> usize {
        self.chosen
    }

    /// The choices that fit the line, from this one on.
    pub fn shown(&self, from: usize) -> impl Iterator<Item = Shown<'_>> {
        self.found.iter().enumerate().skip(from).map(|(place, found)| {
            let choice = &self.choices[found.index];
            Shown {
                text: &choice.text,
                lead: choice.lead,
                note: &choice.note,
                marks: &found.marks,
                is_chosen: place == self.chosen,
            }
        })
    }

    /// Everything that fits the line, harmless, and where it leads.
    pub fn all(&self) -> Vec<(&str, Pick)> {
        let choices = self.found.iter().map(|found| &self.choices[found.index]);
        choices.map(|choice| (choice.text.as_str(), choice.pick)).collect()
    }

    /// Takes one key.
    pub fn on_key(&mut self, key: KeyEvent) -> Outcome {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match (key.code, is_control) {
            (KeyCode::Esc, _) | (KeyCode::Char('c' | 'g'), true) => return Outcome::Close,
            (KeyCode::Enter, _) => {
                let picked =
                    self.found.get(self.chosen).map(|found| self.choices[found.index].pick);
                return picked.map_or(Outcome::Stay, Outcome::Picked);
            }
            (KeyCode::Up, _) | (KeyCode::Char('p'), true) => self.go(self.chosen.checked_sub(1)),
            (KeyCode::Down, _) | (KeyCode::Char('n'), true) => self.go(Some(self.chosen + 1)),
            (KeyCode::PageUp, _) => self.go(Some(self.chosen.saturating_sub(PAGE_CHOICES))),
            (KeyCode::PageDown, _) => self.go(Some(self.chosen + PAGE_CHOICES)),
            (KeyCode::Home, _) => self.go(Some(0)),
            (KeyCode::End, _) => self.go(self.count().checked_sub(1)),
            (KeyCode::Backspace, _) | (KeyCode::Char('h'), true) => {
                let keep = self.query.grapheme_indices(true).next_back().map_or(0, |(at, _)| at);
                return self.cut(keep);
            }
            (KeyCode::Char('w'), true) => {
                let words = self.query.trim_end();
                let keep = words.rfind(char::is_whitespace).map_or(0, |space| space + 1);
                return self.cut(keep);
            }
            (KeyCode::Char('u'), true) => return self.cut(0),
            _ => {
                let Some(character) = keymap::written(key) else { return Outcome::Stay };
                self.write(character.encode_utf8(&mut [0; 4]));
                return Outcome::Changed;
            }
        }
        Outcome::Stay
    }

    /// Moves the choice up or down, as the mouse wheel does.
    pub fn turn(&mut self, choices: isize) {
        self.go(self.chosen.checked_add_signed(choices));
    }

    fn cut(&mut self, keep: usize) -> Outcome {
        self.query.truncate(keep);
        self.filter();
        Outcome::Changed
    }

    /// Chooses another one; beyond the last it is the last.
    fn go(&mut self, to: Option<usize>) {
        let last = self.count().saturating_sub(1);
        self.chosen = to.unwrap_or(0).min(last);
    }

    fn filter(&mut self) {
        self.chosen = 0;
        if self.purpose == Purpose::Search || self.query.trim().is_empty() {
            let all = self.choices.iter().enumerate();
            let found =
                |(index, choice): (usize, &Choice)| Found { index, marks: choice.marks.clone() };
            self.found = all.map(found).collect();
            return;
        }
        let pattern =
            Pattern::new(&self.query, CaseMatching::Ignore, Normalization::Smart, AtomKind::Fuzzy);
        let mut matcher = Matcher::new(Config::DEFAULT);
        let mut buffer = Vec::new();
        let mut scored: Vec<(u32, Found)> = Vec::new();
        for (index, choice) in self.choices.iter().enumerate() {
            let mut marks = Vec::new();
            let text = Utf32Str::new(&choice.text, &mut buffer);
            if let Some(score) = pattern.indices(text, &mut matcher, &mut marks) {
                marks.sort_unstable();
                marks.dedup();
                scored.push((score, Found { index, marks }));
            }
        }
        // Equally good ones stay in the order of the empty line.
        scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        self.found = scored.into_iter().map(|(_, found)| found).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picker(names: &[&str]) -> Picker {
        let pick = |number: usize| Pick::Record(ConversationId([0; 16]), Seq(number as u64));
        let choices = names.iter().enumerate();
        let choices = choices.map(|(number, name)| Choice::new(pick(number), "", name, ""));
        Picker::new(Purpose::Switch, "test", choices.collect())
    }

    fn press(picker: &mut Picker, script: &str) -> Outcome {
        let outcomes = keymap::typed(script).into_iter().map(|key| picker.on_key(key));
        outcomes.last().expect("a key")
    }

    fn texts(picker: &Picker) -> Vec<&str> {
        picker.shown(0).map(|shown| shown.text).collect()
    }

    #[test]
    fn letters_in_order_find_a_name_and_say_which_they_are() {
        let mut picker = picker(&["#general", "#rust-lang", "@rudolf", "日本語の部屋"]);
        press(&mut picker, "rlng");
        assert_eq!(texts(&picker), ["#rust-lang"]);
        assert_eq!(picker.shown(0).next().expect("one").marks, [1, 6, 8, 9]);
        press(&mut picker, "<C-u>部屋");
        assert_eq!(picker.shown(0).next().expect("one").marks, [4, 5]);
        press(&mut picker, "<C-u>zzz");
        assert_eq!(texts(&picker), [""; 0]);
        assert_eq!(press(&mut picker, "<enter>"), Outcome::Stay);
    }

    #[test]
    fn an_empty_line_keeps_the_order_and_the_choice_stays_on_the_list() {
        let mut picker = picker(&["b", "a", "c"]);
        assert_eq!(texts(&picker), ["b", "a", "c"]);
        press(&mut picker, "<up><down><C-n><down><down>");
        assert_eq!(picker.chosen(), 2);
        press(&mut picker, "<C-p>");
        assert_eq!(picker.chosen(), 1);
        press(&mut picker, "<pagedown><pageup>");
        assert_eq!(picker.chosen(), 0);
    }

    #[test]
    fn the_line_is_edited_by_graphemes_and_words_and_is_bounded() {
        let mut picker = picker(&["x"]);
        press(&mut picker, "one two");
        picker.write("é\n");
        assert_eq!(picker.query(), "one twoé");
        press(&mut picker, "<backspace>");
        assert_eq!(picker.query(), "one two");
        press(&mut picker, "<C-w>");
        assert_eq!(picker.query(), "one ");
        picker.write(&"x".repeat(2 * QUERY_CHARS_MAX));
        assert_eq!(picker.query().chars().count(), QUERY_CHARS_MAX);
    }

    #[test]
    fn marks_of_an_answer_count_graphemes_behind_the_lead() {
        let choice =
            Choice::new(Pick::Conversation(ConversationId([0; 16])), "ab ", "xABé日本", "");
        assert_eq!(choice.clone().marked(&["ab".into()]).marks, [4, 5]);
        assert_eq!(choice.marked(&["日本".into(), "é日".into()]).marks, [6, 7, 8]);
    }

    #[test]
    fn control_characters_become_marks() {
        let mut picker = picker(&["a\u{1b}[2Jb\u{202e}"]);
        assert!(!texts(&picker)[0].chars().any(char::is_control));
        picker.write("\u{1b}b\u{7}");
        assert_eq!(picker.query(), "b");
        assert_eq!(picker.count(), 1);
    }
}
