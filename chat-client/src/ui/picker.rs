//! A list to pick from: a title, the line that is written, one row for each choice. What matched is
//! bold and underlined, what Enter picks has a sign in front of it: neither hangs on colour.

use ratatui::{
    Frame,
    layout::{Position, Rect},
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::Widget,
};
use unicode_segmentation::UnicodeSegmentation;

use super::{text, theme::Theme};
use crate::app::picker::{Picker, Shown};

/// What stands before the line.
const PROMPT: &str = "> ";
/// What stands before the choice that Enter picks, and before the others.
const SIGNS: (&str, &str) = ("▸ ", "  ");
/// Cells before every row.
const SIGN_COLUMNS: usize = 2;
/// Cells behind a match that a row shows at least, if it cannot show everything.
const CONTEXT_COLUMNS: usize = 12;
/// What stands for words that do not fit.
const ELLIPSIS: &str = "…";

/// Draws it over the whole pane and puts the cursor into its line.
pub(super) fn draw(picker: &Picker, theme: &Theme, area: Rect, frame: &mut Frame<'_>) {
    let cells = usize::from(area.width);
    let buffer = frame.buffer_mut();
    let mut rows = area.rows();
    if area.height > 2
        && let Some(top) = rows.next()
    {
        title(picker, theme, cells).render(top, buffer);
    }
    let Some(line) = rows.next() else { return };
    // The end of the line is where it is written.
    let room = cells.saturating_sub(SIGN_COLUMNS + 1);
    let written = tail(&text::cell(picker.query()), room);
    let cursor = SIGN_COLUMNS + text::width(&written);
    Line::from(vec![Span::styled(PROMPT, theme.strong), Span::styled(written, theme.text)])
        .render(line, buffer);
    let count = usize::from(area.bottom().saturating_sub(line.bottom()));
    if count > 0 {
        // By whole screens: the list stands still while the choice moves over it.
        let from = picker.chosen() - picker.chosen() % count;
        for (row, shown) in rows.zip(picker.shown(from)) {
            choice(shown, theme, cells).render(row, buffer);
        }
    }
    let column = u16::try_from(cursor).unwrap_or(0).min(area.width.saturating_sub(1));
    frame.set_cursor_position(Position::new(area.x + column, line.y));
}

fn title(picker: &Picker, theme: &Theme, cells: usize) -> Line<'static> {
    let place = match picker.count() {
        0 if picker.query().is_empty() => String::new(),
        0 => "nothing".to_owned(),
        count => format!("{} of {count}", picker.chosen() + 1),
    };
    let parts = [text::cell(&picker.note), place, "Enter goes there, Esc closes".to_owned()];
    let mut spans = vec![Span::styled(picker.title, theme.strong)];
    let mut used = text::width(picker.title);
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        let part = text::fit(&format!("  {part}"), cells.saturating_sub(used));
        used += text::width(&part);
        spans.push(Span::styled(part, theme.quiet));
    }
    Line::from(spans)
}

fn choice(shown: Shown<'_>, theme: &Theme, cells: usize) -> Line<'static> {
    let base = if shown.is_chosen { theme.chosen } else { Style::new() };
    let sign = if shown.is_chosen { SIGNS.0 } else { SIGNS.1 };
    let note = match text::cell(shown.note) {
        note if note.is_empty() => note,
        note => format!("  {note}"),
    };
    let note = text::fit(&note, cells / 2);
    let room = cells.saturating_sub(SIGN_COLUMNS + text::width(&note));
    let mut spans = vec![Span::styled(sign, base)];
    let mut used = 0;
    for (grapheme, style) in visible(shown, theme, room) {
        used += text::width(&grapheme);
        spans.push(Span::styled(grapheme, base.patch(style)));
    }
    spans.push(Span::styled(" ".repeat(room.saturating_sub(used)), base));
    spans.push(Span::styled(note, base.patch(theme.fresh)));
    Line::from(spans)
}

/// As many graphemes as fit. The lead gives way to the words, and of words whose first match would
/// be beyond the edge, those before the match are left out.
fn visible(shown: Shown<'_>, theme: &Theme, room: usize) -> Vec<(String, Style)> {
    let styled = |(at, grapheme): (usize, &str)| {
        let is_marked = u32::try_from(at).is_ok_and(|at| shown.marks.binary_search(&at).is_ok());
        let style = if at < shown.lead { theme.quiet } else { theme.text };
        let emphasis = Modifier::BOLD | Modifier::UNDERLINED;
        let style = if is_marked { theme.text.add_modifier(emphasis) } else { style };
        (text::cell(grapheme), style)
    };
    let mut lead: Vec<(String, Style)> =
        shown.text.graphemes(true).enumerate().map(styled).collect();
    if width(&lead) <= room {
        return lead;
    }
    let mut words = lead.split_off(shown.lead.min(lead.len()));
    if !words.is_empty() {
        cut(&mut lead, room / 2, theme);
    }
    let room = room.saturating_sub(width(&lead));
    let first = shown.marks.iter().filter_map(|at| usize::try_from(*at).ok());
    let first = first.filter_map(|at| at.checked_sub(shown.lead)).find(|at| *at < words.len());
    if let Some(first) = first {
        let mut excess = (width(&words[..=first]) + CONTEXT_COLUMNS + 1).saturating_sub(room);
        let mut from = 0;
        while excess > 0 && from < first {
            excess = excess.saturating_sub(text::width(&words[from].0));
            from += 1;
        }
        if from > 0 {
            words.splice(..from, [(ELLIPSIS.to_owned(), theme.quiet)]);
        }
    }
    cut(&mut words, room, theme);
    lead.extend(words);
    lead
}

fn width(part: &[(String, Style)]) -> usize {
    part.iter().map(|(grapheme, _)| text::width(grapheme)).sum()
}

/// Leaves what fits into `cells`, with an ellipsis if that is not all of it.
fn cut(part: &mut Vec<(String, Style)>, cells: usize, theme: &Theme) {
    if width(part) <= cells {
        return;
    }
    let mut used = 0;
    let fitting = part.iter().position(|(grapheme, _)| {
        used += text::width(grapheme);
        used + 1 > cells
    });
    part.truncate(fitting.unwrap_or(0));
    if cells > 0 {
        part.push((ELLIPSIS.to_owned(), theme.quiet));
    }
}

/// As much of the end of a harmless text as fits into `cells`.
fn tail(text: &str, cells: usize) -> String {
    let mut used = 0;
    let fitting = text.grapheme_indices(true).rev().take_while(|(_, grapheme)| {
        used += text::width(grapheme);
        used <= cells
    });
    let from = fitting.last().map_or(text.len(), |(at, _)| at);
    text[from..].to_owned()
}
