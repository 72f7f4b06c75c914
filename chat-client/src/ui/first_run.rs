//! The screens before the first conversation: name, relay, trust. One question at a time, each key
//! written out.

use ratatui::{
    Frame,
    layout::{Position, Rect},
    text::{Line, Span},
    widgets::Widget,
};

use super::{text, theme::Theme};
use crate::app::first_run::{FirstRun, Question, Step};

/// Widest column of words: longer lines are hard to read.
const COLUMNS_MAX: u16 = 72;
/// What stands before the name.
const NAME_PROMPT: &str = "Your name: ";

/// Draws the question.
pub(super) fn draw(first_run: &FirstRun, theme: &Theme, frame: &mut Frame<'_>) {
    let area = column(frame.area());
    let mut page = Page { theme, cells: area.width.into(), lines: Vec::new() };
    let mut name_row = None;
    if let Some(error) = &first_run.error {
        page.error(error);
    }
    page.question(&first_run.step.question());
    if first_run.step == Step::Name {
        name_row = Some(page.lines.len());
        page.lines.push(Line::from(vec![
            Span::styled(NAME_PROMPT, theme.strong),
            Span::raw(text::cell(&first_run.name.text())),
        ]));
        page.gap();
        page.key("Enter", "go on");
        page.key("C-c", "leave");
    }
    let lines = std::mem::take(&mut page.lines);
    // On a screen that is too low the last rows matter: they say what to press.
    let hidden = lines.len().saturating_sub(area.height.into());
    let top = area.y
        + (area.height.saturating_sub(u16::try_from(lines.len()).unwrap_or(area.height))) / 3;
    for (row, line) in (top..area.bottom()).zip(lines.into_iter().skip(hidden)) {
        line.render(Rect { y: row, height: 1, ..area }, frame.buffer_mut());
    }
    if let Some(row) = name_row {
        let column = text::width(NAME_PROMPT) + first_run.name.area().screen_cursor().col;
        let x = area.x + u16::try_from(column).unwrap_or(0).min(area.width.saturating_sub(1));
        let y = top + u16::try_from(row.saturating_sub(hidden)).unwrap_or(0);
        frame.set_cursor_position(Position::new(x, y.min(area.bottom().saturating_sub(1))));
    }
}

fn column(area: Rect) -> Rect {
    let width = area.width.min(COLUMNS_MAX);
    let margin = u16::from(area.width > width + 2) * 2;
    Rect { x: area.x + margin, width, ..area }
}

struct Page<'a> {
    theme: &'a Theme,
    cells: usize,
    lines: Vec<Line<'static>>,
}

impl Page<'_> {
    fn question(&mut self, question: &Question) {
        if !question.heading.is_empty() {
            self.heading(question.heading);
        }
        if let Some(alarm) = question.alarm {
            self.error(alarm);
        }
        for (what, value) in &question.facts {
            self.fact(what, value);
        }
        if !question.facts.is_empty() {
            self.gap();
        }
        self.words(&question.words);
        if !question.keys.is_empty() {
            self.gap();
        }
        for (key, meaning) in question.keys {
            self.key(key, meaning);
        }
    }

    fn heading(&mut self, words: &str) {
        let style = self.theme.strong;
        self.styled(words, style);
        self.gap();
    }

    fn words(&mut self, words: &str) {
        let style = self.theme.text;
        self.styled(words, style);
    }

    fn error(&mut self, words: &str) {
        let style = self.theme.error;
        self.styled(&format!("! {words}"), style);
        self.gap();
    }

    fn fact(&mut self, what: &str, value: &str) {
        let style = self.theme.strong;
        self.styled(&format!("  {what:8} {value}"), style);
    }

    fn key(&mut self, key: &'static str, meaning: &str) {
        self.lines.push(Line::from(vec![
            Span::styled(format!("  {key:6}"), self.theme.strong),
            Span::styled(meaning.to_owned(), self.theme.text),
        ]));
    }

    fn styled(&mut self, words: &str, style: ratatui::style::Style) {
        let rows = text::wrap(words, self.cells);
        self.lines.extend(rows.into_iter().map(|row| Line::styled(row, style)));
    }

    fn gap(&mut self) {
        self.lines.push(Line::default());
    }
}
