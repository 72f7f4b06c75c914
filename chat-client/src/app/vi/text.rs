//! A text with a cursor, and how vi's motions and insertions change it. Pure: what is written is
//! not touched.

use std::ops::Range;

use super::Operator;

/// What is written, and the cursor in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::app) struct Text {
    pub(super) chars: Vec<char>,
    pub(super) at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Motion {
    Left,
    Right,
    Down,
    Up,
    Word,
    WordEnd,
    WordBack,
    LineStart,
    FirstLetter,
    LineEnd,
    FirstLine,
    LastLine,
}

/// Where text is to be inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Here,
    Behind,
    FirstLetter,
    LineEnd,
    LineBelow,
    LineAbove,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    After,
    Before,
}

impl Text {
    /// These lines, with the cursor there.
    pub(in crate::app) fn new(lines: &[String], row: usize, column: usize) -> Self {
        let before = lines.iter().take(row).map(|line| line.chars().count() + 1);
        let at = before.sum::<usize>() + column;
        Self { chars: lines.join("\n").chars().collect(), at }
    }

    /// All of it, and the row and the column of the cursor.
    pub(in crate::app) fn placed(&self) -> (String, usize, usize) {
        let before = &self.chars[..self.at];
        let row = before.iter().filter(|character| **character == '\n').count();
        (self.chars.iter().collect(), row, self.at - self.line(self.at).start)
    }

    /// The line with this place, without its end.
    pub(super) fn line(&self, at: usize) -> Range<usize> {
        let is_end = |character: &char| *character == '\n';
        let start = self.chars[..at].iter().rposition(is_end).map_or(0, |end| end + 1);
        let end = self.chars[at..].iter().position(is_end).map_or(self.chars.len(), |end| at + end);
        start..end
    }

    /// A place in the line so many rows below.
    pub(super) fn rows_from(&self, at: usize, rows: usize) -> usize {
        (0..rows).fold(at, |at, _| {
            let end = self.line(at).end;
            if end < self.chars.len() { end + 1 } else { at }
        })
    }

    /// With the cursor on a character, as it has to be where nothing is inserted.
    pub(super) fn settled(mut self) -> Self {
        let line = self.line(self.at);
        self.at = self.at.min(line.end.saturating_sub(1)).max(line.start);
        self
    }

    pub(super) fn moved_left(mut self) -> Self {
        self.at = self.at.saturating_sub(1).max(self.line(self.at).start);
        self
    }

    pub(super) fn moved(&self, motion: Motion, count: Option<usize>) -> Self {
        let mut text = self.clone();
        let last = self.chars.len();
        text.at = match (motion, count) {
            (Motion::FirstLine, _) => text.rows_from(0, count.unwrap_or(1) - 1),
            (Motion::LastLine, Some(count)) => text.rows_from(0, count - 1),
            (Motion::LastLine, None) => last,
            _ => (0..count.unwrap_or(1)).fold(self.at, |at, _| self.step(at, motion)),
        };
        if matches!(motion, Motion::FirstLine | Motion::LastLine) {
            text.at = text.step(text.at, Motion::FirstLetter);
        }
        text
    }

    pub(super) fn step(&self, at: usize, motion: Motion) -> usize {
        let line = self.line(at);
        match motion {
            Motion::Left => at.saturating_sub(1).max(line.start),
            Motion::Right => (at + 1).min(line.end),
            Motion::Down if line.end < self.chars.len() => {
                let below = self.line(line.end + 1);
                (below.start + at - line.start).min(below.end)
            }
            Motion::Up if line.start > 0 => {
                let above = self.line(line.start - 1);
                (above.start + at - line.start).min(above.end)
            }
            Motion::Word => self.skip(self.skip_like(at), Class::Blank),
            Motion::WordEnd => {
                let next = self.skip((at + 1).min(self.chars.len()), Class::Blank);
                self.skip_like(next).saturating_sub(1).max(at)
            }
            Motion::WordBack => self.word_before(at),
            Motion::LineStart => line.start,
            Motion::FirstLetter => self.skip(line.start, Class::Blank).min(line.end),
            Motion::LineEnd => line.end,
            Motion::Down | Motion::Up | Motion::FirstLine | Motion::LastLine => at,
        }
    }

    /// The characters that an operator works on.
    pub(super) fn range(
        &self,
        operator: Operator,
        motion: Motion,
        count: Option<usize>,
    ) -> Range<usize> {
        let on_word = self.chars.get(self.at).is_some_and(|it| Class::of(*it) != Class::Blank);
        let other = match motion {
            // What is behind the word stays.
            Motion::Word if operator == Operator::Change && on_word => {
                let end = self.skip_like(self.at).saturating_sub(1);
                let more = count.unwrap_or(1) - 1;
                (0..more).fold(end, |at, _| self.step(at, Motion::WordEnd)) + 1
            }
            // The last word of a line ends with it.
            Motion::Word => {
                let next = self.moved(motion, count).at;
                let end = self.line(next).start;
                let is_indent =
                    self.chars[end..next].iter().all(|it| Class::of(*it) == Class::Blank);
                if end > self.at && is_indent { end - 1 } else { next }
            }
            Motion::WordEnd => (self.moved(motion, count).at + 1).min(self.chars.len()),
            _ => self.moved(motion, count).at,
        };
        self.at.min(other)..self.at.max(other)
    }

    /// Behind the characters of this class.
    fn skip(&self, from: usize, class: Class) -> usize {
        let rest = self.chars[from..].iter();
        from + rest.take_while(|character| Class::of(**character) == class).count()
    }

    /// Behind the word at this place; on a blank, the place.
    pub(super) fn skip_like(&self, from: usize) -> usize {
        match self.chars.get(from).map(|character| Class::of(*character)) {
            None | Some(Class::Blank) => from,
            Some(class) => self.skip(from, class),
        }
    }

    pub(super) fn word_before(&self, at: usize) -> usize {
        let back = |to: usize, class: Class| {
            let before = self.chars[..to].iter().rev();
            to - before.take_while(|character| Class::of(**character) == class).count()
        };
        let end = back(at, Class::Blank);
        match end.checked_sub(1) {
            None => 0,
            Some(last) => back(end, Class::of(self.chars[last])),
        }
    }

    pub(super) fn opened(&self, place: Place) -> Self {
        let mut text = self.clone();
        let line = self.line(self.at);
        match place {
            Place::Here => {}
            Place::Behind => text.at = (self.at + 1).min(line.end),
            Place::FirstLetter => text.at = self.step(self.at, Motion::FirstLetter),
            Place::LineEnd => text.at = line.end,
            Place::LineBelow => {
                text.chars.insert(line.end, '\n');
                text.at = line.end + 1;
            }
            Place::LineAbove => {
                text.chars.insert(line.start, '\n');
                text.at = line.start;
            }
        }
        text
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Blank,
    Word,
    Mark,
}

impl Class {
    fn of(character: char) -> Self {
        if character.is_whitespace() {
            Self::Blank
        } else if character.is_alphanumeric() || character == '_' {
            Self::Word
        } else {
            Self::Mark
        }
    }
}
