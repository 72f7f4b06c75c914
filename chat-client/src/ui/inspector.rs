//! What the connection does: its packets as a ladder, and what it believes of the path.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Clear, Widget},
};

use super::{ladder, text, theme::Theme};
use crate::{
    app::{App, inspector::Inspector},
    lab::ladder::{Trace, time},
};

/// Rows of the gauges.
const GAUGE_ROWS: u16 = 2;
/// Rows of the pane below which there are no gauges.
const ROWS_MIN: u16 = 8;

/// Draws the pane.
pub(super) fn draw(
    app: &App,
    inspector: &Inspector,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    Clear.render(area, buffer);
    let has_gauges = area.height >= ROWS_MIN;
    let [title, gauges, ends, rows] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(if has_gauges { GAUGE_ROWS } else { 0 }),
        Constraint::Length(u16::from(has_gauges)),
        Constraint::Min(0),
    ])
    .areas(area);
    Line::from(vec![
        Span::styled("packets", theme.strong),
        Span::styled("  F5 closes", theme.quiet),
    ])
    .render(title, buffer);
    let Some(trace) = &inspector.trace else { return };
    if trace.rows.is_empty() {
        let why = match app.link.transport.split(',').next() {
            Some("tcp") => "no trace: over TCP only the kernel sees packets (--transport udp)",
            _ => "nothing has been sent since this window was opened",
        };
        for (words, row) in text::wrap(why, area.width.into()).into_iter().zip(gauges.rows()) {
            Line::styled(words, theme.quiet).render(row, buffer);
        }
        return;
    }
    for (words, row) in gauge_lines(trace, gauges.width.into()).into_iter().zip(gauges.rows()) {
        Line::styled(words, theme.quiet).render(row, buffer);
    }
    ladder::draw_ends(["here", "relay"], theme, ends, buffer);
    ladder::draw(&trace.rows, trace.now, false, theme, rows, buffer);
}

fn gauge_lines(trace: &Trace, cells: usize) -> [String; 2] {
    let believed = format!(
        "round trip {} (last {}) · timer {}",
        time(trace.round_trip),
        time(trace.latest),
        time(trace.timer),
    );
    let counted = format!(
        "{} of {} bytes under way · lost {} · again {}",
        trace.in_flight_bytes, trace.window_bytes, trace.lost, trace.again
    );
    let curve = |line: &str| {
        let left = cells.saturating_sub(text::width(line) + 2);
        ladder::sparkline(trace.trips.iter().copied(), left)
    };
    [format!("{believed}  {}", curve(&believed)), counted].map(|line| text::fit(&line, cells))
}
