//! Packets between two ends, one below the other: a row each, an arrow for its way.
//!
//! ```text
//!   12.3 ms  data 4               │━━━━━━ #5 243 B ━━━━━━✗      │ lost
//!   14.1 ms  +20.2 ms             │◀─────── #3 9 B ─────────────│ ack 3
//! ```

use std::time::Duration;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Widget,
};

use super::{text, theme::Theme};
use crate::lab::ladder::{Fate, Row, Way, time};

/// Cells of the time.
const TIME_CELLS: usize = 9;
/// Cells of a mark, lines and gaps.
const FRAME_CELLS: usize = 6;
/// Narrowest arrow that says what it is.
const ARROW_CELLS_MIN: usize = 15;
/// Cells of what is said of a packet at either end.
const END_CELLS: (usize, usize) = (10, 30);
/// Cells from which there are ends beside the arrow.
const ENDS_CELLS_MIN: usize = TIME_CELLS + 2 * END_CELLS.0 + ARROW_CELLS_MIN + FRAME_CELLS;

/// Names both ends.
pub(crate) fn draw_ends(ends: [&str; 2], theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let cells = usize::from(area.width);
    if cells < ENDS_CELLS_MIN {
        return;
    }
    let (end, arrow) = widths(cells);
    let left = text::fit_right(ends[0], TIME_CELLS + 2 + end);
    let gap = " ".repeat(arrow + 4);
    Line::styled(format!("{left}{gap}{}", ends[1]), theme.strong).render(area, buffer);
}

/// Cells of either end, and of the arrow between them.
fn widths(cells: usize) -> (usize, usize) {
    let both = cells.saturating_sub(TIME_CELLS + FRAME_CELLS);
    let end = (both.saturating_sub(ARROW_CELLS_MIN) / 2).clamp(END_CELLS.0, END_CELLS.1);
    (end, both.saturating_sub(2 * end))
}

/// Draws the newest of the rows that fit, the last one marked if somebody looks at it.
pub(crate) fn draw(
    rows: &[Row],
    now: Duration,
    is_last_marked: bool,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let shown = rows.len().min(area.height.into());
    let first = rows.len() - shown;
    for (line, (index, row)) in area.rows().zip(rows.iter().enumerate().skip(first)) {
        let is_marked = is_last_marked && index + 1 == rows.len();
        draw_row(row, now, is_marked, theme, line, buffer);
    }
}

fn draw_row(
    row: &Row,
    now: Duration,
    is_marked: bool,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let cells = usize::from(area.width);
    let (fate, fate_style) = fate_words(row, now, theme);
    let (end, arrow) = widths(cells);
    let what = match &row.again {
        Some(again) => {
            // The reason is what is left out first: a bold arrow says it as well.
            let short = format!("{} again", row.what);
            let forms = [format!("{} {again}", row.what), short];
            let fits = |form: &String| text::width(form) <= end || cells < ENDS_CELLS_MIN;
            forms.into_iter().find(fits).unwrap_or_else(|| format!("again: {}", row.what))
        }
        None => row.what.clone(),
    };
    let what_style = if row.again.is_some() { theme.fresh } else { theme.text };
    let clock = text::fit_right(&time(row.at), TIME_CELLS);
    let mark = if is_marked { "▶" } else { " " };
    let mut spans =
        vec![Span::styled(mark, theme.fresh), Span::styled(format!("{clock} "), theme.quiet)];
    if cells < ENDS_CELLS_MIN {
        let sign = match row.way {
            Way::Out => "→",
            Way::Back => "←",
        };
        spans.push(Span::styled(format!("{sign} {} ", text::cell(&what)), what_style));
        spans.push(Span::styled(fate, fate_style));
        Line::from(spans).render(area, buffer);
        return;
    }
    let [left, right] = match row.way {
        Way::Out => [(what, what_style), (fate, fate_style)],
        Way::Back => [(fate, fate_style), (what, what_style)],
    };
    spans.push(Span::styled(filled(&left.0, end), left.1));
    spans.push(Span::styled(" │", theme.line));
    let style = arrow_style(row, now, theme);
    spans.push(Span::styled(draw_arrow(row, now, arrow), style));
    spans.push(Span::styled("│ ", theme.line));
    spans.push(Span::styled(filled(&right.0, end), right.1));
    Line::from(spans).render(area, buffer);
}

/// What is known of a packet's fate, in few words.
fn fate_words(row: &Row, now: Duration, theme: &Theme) -> (String, Style) {
    match row.fate_at(now) {
        Fate::UnderWay => (String::new(), theme.quiet),
        Fate::Arrived { after, note } if after.is_zero() => (note.clone(), theme.quiet),
        Fate::Arrived { after, note } => (format!("+{} {note}", time(*after)), theme.quiet),
        Fate::Lost { why, .. } => (why.clone(), theme.error),
    }
}

fn arrow_style(row: &Row, now: Duration, theme: &Theme) -> Style {
    match (row.fate_at(now), &row.again, row.way) {
        (Fate::Lost { .. }, ..) => theme.error,
        (_, Some(_), _) => theme.fresh,
        (_, None, Way::Out) => theme.text,
        (_, None, Way::Back) => theme.quiet,
    }
}

/// The arrow in exactly so many cells, as far as the packet has come.
fn draw_arrow(row: &Row, now: Duration, cells: usize) -> String {
    let stroke = if row.again.is_some() { '━' } else { '─' };
    let (length, head) = match (row.fate_at(now), row.progress(now), row.way) {
        (Fate::Lost { .. }, _, _) => (cells * 2 / 3, '✗'),
        (_, Some(1_000..), Way::Out) => (cells, '▶'),
        (_, Some(1_000..), Way::Back) => (cells, '◀'),
        (_, Some(part), way) => {
            let part = usize::try_from(part).unwrap_or(0);
            (cells * part / 1_000, if way == Way::Out { '▶' } else { '◀' })
        }
        // Nobody knows how far it has come.
        (_, None, _) => (cells / 2, '·'),
    };
    let length = length.clamp(1, cells.max(1));
    let mut line = vec![' '; cells];
    let place = |index: usize| match row.way {
        Way::Out => index,
        Way::Back => cells - 1 - index,
    };
    for index in 0..length.min(cells) {
        line[place(index)] = if index + 1 == length { head } else { stroke };
    }
    let labels = [format!(" #{} {} B ", row.packet, row.bytes), format!(" #{} ", row.packet)];
    let room = length.saturating_sub(3);
    if let Some(label) = labels.into_iter().find(|label| label.len() <= room) {
        // Where the arrow begins, so that it stands still while the head moves.
        let from = match row.way {
            Way::Out => 2,
            Way::Back => cells - 2 - label.len(),
        };
        for (cell, letter) in line[from..].iter_mut().zip(label.chars()) {
            *cell = letter;
        }
    }
    line.into_iter().collect()
}

/// A text in exactly so many cells.
fn filled(text: &str, cells: usize) -> String {
    let text = text::fit(&text::cell(text), cells);
    let filling = cells.saturating_sub(text::width(&text));
    format!("{text}{}", " ".repeat(filling))
}

/// Times as bars of growing height, the newest at the right.
pub(crate) fn sparkline(times: impl DoubleEndedIterator<Item = Duration>, cells: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut newest: Vec<Duration> = times.rev().take(cells).collect();
    newest.reverse();
    let most = newest.iter().max().copied().unwrap_or_default().as_micros().max(1);
    let bar = |time: &Duration| {
        let height = time.as_micros() * (BARS.len() as u128 - 1) / most;
        BARS[usize::try_from(height).unwrap_or(0).min(BARS.len() - 1)]
    };
    newest.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn row(way: Way, fate: Fate) -> Row {
        let what = "data 4".to_owned();
        Row { at: 10 * MS, way, packet: 5, bytes: 243, what, again: None, fate }
    }

    #[test]
    fn an_arrow_goes_as_far_as_its_packet() {
        let arrived = Fate::Arrived { after: 20 * MS, note: String::new() };
        let out = row(Way::Out, arrived.clone());
        assert_eq!(draw_arrow(&out, 30 * MS, 20), "── #5 243 B ───────▶");
        assert_eq!(draw_arrow(&out, 20 * MS, 20), "── #5 ───▶          ");
        assert_eq!(draw_arrow(&row(Way::Back, arrived), 30 * MS, 20), "◀─────── #5 243 B ──");
        let lost = row(Way::Out, Fate::Lost { after: Duration::ZERO, why: "lost".into() });
        assert_eq!(draw_arrow(&lost, 10 * MS, 24), "── #5 243 B ───✗        ");
        assert_eq!(draw_arrow(&row(Way::Out, Fate::UnderWay), 10 * MS, 8), "───·    ");
        assert_eq!(draw_arrow(&lost, 10 * MS, 15), "── #5 ───✗     ");
        for cells in 0..40 {
            assert_eq!(draw_arrow(&out, 30 * MS, cells).chars().count(), cells);
        }
    }

    #[test]
    fn a_sparkline_shows_the_newest_times_against_the_longest() {
        let times = [80, 10, 20, 40, 80].map(|millis| millis * MS);
        assert_eq!(sparkline(times.into_iter(), 4), "▁▂▄█");
        assert_eq!(sparkline(std::iter::empty(), 4), "");
    }
}
