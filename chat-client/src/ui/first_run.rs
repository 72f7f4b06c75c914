//! The screens before the first conversation: name, relay, trust. One question at a time, each key
//! written out.

use ratatui::{
    Frame,
    layout::{Position, Rect},
    text::{Line, Span},
    widgets::Widget,
};

use super::{text, theme::Theme};
use crate::app::first_run::{FirstRun, FoundRelay, Step};

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
    match &first_run.step {
        Step::Name => {
            page.heading("Welcome.");
            page.words("How should others call you? It can be changed later with /nick.");
            name_row = Some(page.lines.len());
            page.lines.push(Line::from(vec![
                Span::styled(NAME_PROMPT, theme.strong),
                Span::raw(text::cell(&first_run.name.text())),
            ]));
            page.gap();
            page.key("Enter", "go on");
            page.key("C-c", "leave");
        }
        Step::Looking => page.words("Looking for a relay on this machine…"),
        Step::Working(what) => page.words(&format!("{}{}…", what[..1].to_uppercase(), &what[1..])),
        Step::Trust(relay) => trust(&mut page, relay),
        Step::Offer => offer(&mut page),
        Step::NotHosted => not_hosted(&mut page),
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

fn trust(page: &mut Page<'_>, relay: &FoundRelay) {
    page.heading("There is a relay on this machine.");
    if relay.is_other_key {
        page.error("It is not the relay you know: that one did not answer.");
    }
    page.fact("name", &relay.name);
    page.fact("address", &relay.address);
    page.fact("key", &relay.fingerprint);
    page.gap();
    page.words(
        "Compare the key with the one that the relay printed when it started. Whoever runs the \
         relay can read open rooms.",
    );
    page.gap();
    page.key("y", "trust this key and join");
    page.key("h", "run another relay here instead");
    page.key("q", "leave");
}

fn not_hosted(page: &mut Page<'_>) {
    page.heading("The relay of this home does not run.");
    page.words("Until it does, what was said can be read here, and what you say waits.");
    page.gap();
    page.key("r", "try again");
    page.key("o", "open the conversations without it");
    page.key("q", "leave");
}

fn offer(page: &mut Page<'_>) {
    page.heading("No relay is known here.");
    page.words("Run one in this window? It keeps its messages and lives as long as the window.");
    page.gap();
    page.key("t", "for this machine only");
    page.key("n", "for this network");
    page.gap();
    page.key("r", "look again");
    page.key("q", "leave (or start with --relay HOST or an invitation)");
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
