//! What can lie over the conversation: help, printed from the tables that also decide, and lists
//! that were asked for.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::Widget,
};

use super::{text, theme::Theme};
use crate::app::{App, Overlay, bar::DEEDS, slash::COMMANDS, vi};

/// Draws it over the whole pane.
pub(super) fn draw(app: &App, overlay: &Overlay, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let (title, lines, from) = match overlay {
        Overlay::Help(from) => ("keys and commands".to_owned(), help(app, theme, area), *from),
        Overlay::List { title, lines, from } => {
            let cells = usize::from(area.width);
            let rows = lines.iter().flat_map(|line| text::wrap(line, cells));
            (text::cell(title), rows.map(Line::from).collect(), *from)
        }
        Overlay::Pick(_) => return,
    };
    let Some((top, rest)) = area.rows().next().map(|top| (top, usize::from(area.height) - 1))
    else {
        return;
    };
    let from = usize::from(from).min(lines.len().saturating_sub(rest));
    let shown = (from + rest).min(lines.len());
    let more = if lines.len() > rest {
        format!("  {}–{shown} of {}, PageUp and PageDown", from + 1, lines.len())
    } else {
        String::new()
    };
    Line::from(vec![
        Span::styled(title, theme.strong),
        Span::styled(format!("{more}  Esc closes"), theme.quiet),
    ])
    .render(top, buffer);
    for (row, line) in area.rows().skip(1).zip(lines.into_iter().skip(from)) {
        line.render(row, buffer);
    }
}

fn help(app: &App, theme: &Theme, area: Rect) -> Vec<Line<'static>> {
    let keys = app.preferences.keys.rows().into_iter();
    let deeds = DEEDS.iter().map(|deed| (format!("Enter {}", deed.key), deed.help));
    let commands = COMMANDS.iter().map(|command| (command.usage(), command.help));
    let gap = || [(String::new(), "")];
    let deeds = gap().into_iter().chain([(String::new(), "with a selected message:")]).chain(deeds);
    let vi: Vec<_> = vi::rows(app).collect();
    let title = (!vi.is_empty()).then(|| (String::new(), "after Esc, in normal mode:"));
    let vi = title.into_iter().flat_map(|title| gap().into_iter().chain([title])).chain(vi);
    let all: Vec<_> = keys.chain(vi).chain(deeds).chain(gap()).chain(commands).collect();
    let left = all.iter().map(|(what, _)| text::width(what)).max().unwrap_or(0);
    let left = left.min(usize::from(area.width) / 2);
    all.into_iter()
        .map(|(what, meaning)| {
            let what = text::fit(&what, left);
            let filling = " ".repeat(left - text::width(&what) + 2);
            Line::from(vec![
                Span::styled(what, theme.strong),
                Span::raw(filling),
                Span::styled(meaning, theme.text),
            ])
        })
        .collect()
}
