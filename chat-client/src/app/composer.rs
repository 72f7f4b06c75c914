//! The box in which a message is written: many lines, undo, what was sent before, drafts.

use protocol::limits::BODY_BYTES_MAX;
use ratatui::style::Style;
use ratatui_textarea::{CursorMove, DataCursor, TextArea, WrapMode};

use super::{action::Edit, vi::Text};
use crate::untrusted::is_deceptive;

/// Most text the box takes. Twice a message's limit: one that is a little too long can be cut
/// down here, a pasted log file does not end up in a widget that lays out every line.
pub const COMPOSER_BYTES_MAX: usize = 2 * BODY_BYTES_MAX;

/// Most sent lines that [`Composer::edit`] with [`Edit::Up`] brings back.
const SENT_MAX: usize = 100;

/// Room in a body for what is not words.
const BODY_OVERHEAD_BYTES: usize = 64;

/// What is being written.
#[derive(Clone, Debug)]
pub struct Composer {
    area: TextArea<'static>,
    /// What was sent from here, oldest first.
    sent: Vec<String>,
    /// Which of `sent` is in the box, and what was there before it.
    recalled: Option<(usize, String)>,
    /// A paste has made a command of it, which nobody may have meant.
    is_doubtful: bool,
}

impl Default for Composer {
    fn default() -> Self {
        Self { area: area(""), sent: Vec::new(), recalled: None, is_doubtful: false }
    }
}

/// Why a text cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// Larger than the box.
    #[error("{0} bytes do not fit: a message takes {max}", max = BODY_BYTES_MAX)]
    TooLarge(usize),
}

impl Composer {
    /// The widget, for the view.
    pub const fn area(&self) -> &TextArea<'static> {
        &self.area
    }

    /// What is written.
    pub fn text(&self) -> String {
        self.area.lines().join("\n")
    }

    /// True if nothing is written.
    pub fn is_empty(&self) -> bool {
        self.area.is_empty()
    }

    /// The line with the cursor up to it, and which line that is; `None` in the midst of a word.
    pub fn before_cursor(&self) -> Option<(String, usize)> {
        let DataCursor(row, column) = self.area.cursor();
        let line = self.area.lines().get(row)?;
        let ends_word = line.chars().nth(column).is_none_or(char::is_whitespace);
        ends_word.then(|| (line.chars().take(column).collect(), row))
    }

    /// Puts a text in place of so many characters before the cursor.
    pub fn replace_before_cursor(&mut self, characters: usize, text: &str) {
        // What was deleted by the person stays what they can insert again.
        let deleted = self.area.yank_text();
        let characters = characters.min(self.area.cursor().1);
        for _ in 0..characters {
            self.area.move_cursor(CursorMove::Back);
        }
        self.area.delete_str(characters);
        self.area.set_yank_text(deleted);
        self.area.insert_str(without_controls(text));
    }

    /// Writes one character.
    pub fn write(&mut self, character: char) {
        self.area.insert_char(character);
    }

    /// Puts a pasted text in, whatever it contains; it is never sent by itself.
    ///
    /// # Errors
    ///
    /// If it does not fit; nothing is changed then.
    pub fn paste(&mut self, pasted: &str) -> Result<(), ComposeError> {
        let bytes = self.text().len() + pasted.len();
        if bytes > COMPOSER_BYTES_MAX {
            return Err(ComposeError::TooLarge(bytes));
        }
        let was_command = self.text().starts_with('/');
        self.area.insert_str(without_controls(pasted));
        self.is_doubtful |= !was_command && self.text().starts_with('/');
        Ok(())
    }

    /// True once after a paste that begins with a slash: whoever pastes a text may not know that it
    /// is a command.
    pub const fn take_doubt(&mut self) -> bool {
        std::mem::replace(&mut self.is_doubtful, false)
    }

    /// Replaces what is written.
    pub fn replace(&mut self, text: &str) {
        self.area = area(&without_controls(text));
        self.area.move_cursor(CursorMove::Bottom);
        self.area.move_cursor(CursorMove::End);
        self.recalled = None;
        self.is_doubtful = false;
    }

    /// Empties the box and remembers its text, as it is sent.
    pub fn take(&mut self) -> String {
        let text = self.text();
        if self.sent.last() != Some(&text) {
            self.sent.push(text.clone());
        }
        if self.sent.len() > SENT_MAX {
            self.sent.remove(0);
        }
        self.area = area("");
        self.recalled = None;
        self.is_doubtful = false;
        text
    }

    /// Checks that a message of this text can be sent.
    ///
    /// # Errors
    ///
    /// If it is larger than a message may be.
    pub const fn check_size(text: &str) -> Result<(), ComposeError> {
        if text.len() + BODY_OVERHEAD_BYTES > BODY_BYTES_MAX {
            return Err(ComposeError::TooLarge(text.len()));
        }
        Ok(())
    }

    /// What is written, as vi sees it.
    pub(super) fn vi_text(&self) -> Text {
        let DataCursor(row, column) = self.area.cursor();
        Text::new(self.area.lines(), row, column)
    }

    /// Replaces it, and places the cursor.
    pub(super) fn set_vi_text(&mut self, text: &Text) {
        let (words, row, column) = text.placed();
        if words != self.text() {
            self.area = area(&words);
        }
        let cell = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        self.area.move_cursor(CursorMove::Jump(cell(row), cell(column)));
    }

    /// Does one change.
    pub fn edit(&mut self, edit: Edit) {
        let area = &mut self.area;
        match edit {
            Edit::Newline => area.insert_newline(),
            Edit::DeleteBack => _ = area.delete_char(),
            Edit::DeleteForward => _ = area.delete_next_char(),
            Edit::DeleteWordBack => _ = area.delete_word(),
            Edit::DeleteWordForward => _ = area.delete_next_word(),
            Edit::DeleteToStart => _ = area.delete_line_by_head(),
            Edit::DeleteToEnd => _ = area.delete_line_by_end(),
            Edit::Yank => _ = area.paste(),
            Edit::Undo => _ = area.undo(),
            Edit::Redo => _ = area.redo(),
            Edit::Start => area.move_cursor(CursorMove::Head),
            Edit::End => area.move_cursor(CursorMove::End),
            Edit::Left => area.move_cursor(CursorMove::Back),
            Edit::Right => area.move_cursor(CursorMove::Forward),
            Edit::WordLeft => area.move_cursor(CursorMove::WordBack),
            Edit::WordRight => area.move_cursor(CursorMove::WordForward),
            Edit::Up => self.up(),
            Edit::Down => self.down(),
            Edit::Recall => self.recall(),
        }
    }

    fn up(&mut self) {
        let row = self.area.screen_cursor().row;
        self.area.move_cursor(CursorMove::Up);
        if row > 0 {
            return;
        }
        let older = match &self.recalled {
            Some((index, _)) => index.checked_sub(1),
            None => self.sent.len().checked_sub(1),
        };
        if let Some(index) = older {
            let written = self.recalled.take().map_or_else(|| self.text(), |(_, written)| written);
            let text = self.sent[index].clone();
            self.replace(&text);
            self.recalled = Some((index, written));
        }
    }

    fn recall(&mut self) {
        let text = self.text();
        // Once changed, what was recalled is something else to look for.
        let known = self.recalled.take().filter(|(index, _)| self.sent.get(*index) == Some(&text));
        let (before, written) = known.clone().unwrap_or((self.sent.len(), text));
        let wanted = written.to_lowercase();
        match self.sent[..before].iter().rposition(|sent| sent.to_lowercase().contains(&wanted)) {
            Some(index) => {
                let text = self.sent[index].clone();
                self.replace(&text);
                self.recalled = Some((index, written));
            }
            None => self.recalled = known,
        }
    }

    fn down(&mut self) {
        let cursor = self.area.cursor();
        self.area.move_cursor(CursorMove::Down);
        if self.area.cursor() != cursor {
            return;
        }
        if let Some((index, written)) = self.recalled.take() {
            match self.sent.get(index + 1).cloned() {
                Some(text) => {
                    self.replace(&text);
                    self.recalled = Some((index + 1, written));
                }
                None => self.replace(&written),
            }
        }
    }
}

fn area(text: &str) -> TextArea<'static> {
    let mut area = TextArea::new(text.split('\n').map(str::to_owned).collect());
    area.set_wrap_mode(WrapMode::WordOrGlyph);
    // The view places the terminal's own cursor: input methods and screen readers follow it.
    area.set_cursor_style(Style::default());
    area.set_cursor_line_style(Style::default());
    area
}

/// A paste can carry escape sequences for whoever shows it, and characters that turn the line around
/// or that nobody sees: they are left out here, line ends become one kind. What joins letters and
/// pictures stays.
fn without_controls(text: &str) -> String {
    let stays = |character: &char| {
        let joins = matches!(character, '\u{200C}' | '\u{200D}' | '\u{FE0E}' | '\u{FE0F}');
        joins || matches!(character, '\n' | '\t') || !is_deceptive(*character)
    };
    let lines = text.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}'], "\n");
    lines.chars().filter(stays).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_not_pasted() {
        let mut composer = Composer::default();
        composer
            .paste("a\u{202e}b\u{2028}c\u{e0041}\x1b[2J\u{200b} 👩\u{200d}👧")
            .expect("it fits");
        assert_eq!(composer.text(), "ab\nc[2J 👩\u{200d}👧");
    }

    #[test]
    fn what_was_sent_comes_back_and_the_draft_after_it() {
        let mut composer = Composer::default();
        for sent in ["one", "two"] {
            composer.replace(sent);
            composer.take();
        }
        composer.replace("draft");
        let mut seen = Vec::new();
        for edit in [Edit::Up, Edit::Up, Edit::Up, Edit::Down, Edit::Down] {
            composer.edit(edit);
            seen.push(composer.text());
        }
        assert_eq!(seen, ["two", "one", "one", "two", "draft"]);
    }

    #[test]
    fn what_was_sent_is_found_by_a_part_of_it() {
        let mut composer = Composer::default();
        for sent in ["Tea at four", "no", "tea at five"] {
            composer.replace(sent);
            composer.take();
        }
        composer.replace("tea");
        let mut seen = Vec::new();
        for edit in [Edit::Recall, Edit::Recall, Edit::Recall, Edit::Down, Edit::Down, Edit::Down] {
            composer.edit(edit);
            seen.push(composer.text());
        }
        assert_eq!(seen, ["tea at five", "Tea at four", "Tea at four", "no", "tea at five", "tea"]);
        composer.replace("coffee");
        composer.edit(Edit::Recall);
        assert_eq!(composer.text(), "coffee");
    }

    #[test]
    fn a_paste_keeps_its_lines_and_loses_its_escapes() {
        let mut composer = Composer::default();
        composer.paste("a\r\nb\x1b[2Jc\td").expect("fits");
        assert_eq!(composer.text(), "a\nb[2Jc\td");
    }

    #[test]
    fn a_paste_at_the_limit_fits_and_one_above_changes_nothing() {
        let mut composer = Composer::default();
        composer.paste(&"x".repeat(COMPOSER_BYTES_MAX)).expect("fits");
        assert_eq!(composer.paste("y"), Err(ComposeError::TooLarge(COMPOSER_BYTES_MAX + 1)));
        assert_eq!(composer.text().len(), COMPOSER_BYTES_MAX);
    }

    #[test]
    fn a_message_at_the_limit_can_be_sent_and_one_above_cannot() {
        let largest = BODY_BYTES_MAX - BODY_OVERHEAD_BYTES;
        assert_eq!(Composer::check_size(&"x".repeat(largest)), Ok(()));
        assert!(Composer::check_size(&"x".repeat(largest + 1)).is_err());
    }
}
