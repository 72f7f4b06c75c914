//! A row of the timeline, and the links on it.

use std::{ops::Range, rc::Rc};

use ratatui::text::{Line, Span};

use super::text;
use crate::app::code::Code;

/// A row.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    /// What it shows.
    pub(super) line: Line<'static>,
    /// The links on it.
    pub(super) links: Vec<Linked>,
    /// The code that it is a part of, if nobody knows its words yet.
    pub(super) code: Option<Rc<Code>>,
}

/// A link, or the part of it that is on one row.
#[derive(Clone, Debug)]
pub(super) struct Linked {
    /// Its columns, from the beginning of the row.
    pub(super) columns: Range<usize>,
    /// What stands there.
    pub(super) text: String,
    /// All of it.
    pub(super) target: Rc<str>,
}

impl Row {
    /// Puts this before it.
    pub(super) fn behind(mut self, before: Vec<Span<'static>>) -> Self {
        let shift: usize = before.iter().map(|span| text::width(&span.content)).sum();
        for Linked { columns, .. } in &mut self.links {
            *columns = columns.start + shift..columns.end + shift;
        }
        self.line.spans.splice(0..0, before);
        self
    }
}

impl From<Line<'static>> for Row {
    fn from(line: Line<'static>) -> Self {
        Self { line, ..Self::default() }
    }
}
