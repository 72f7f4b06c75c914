//! The list above the box: what can be written next.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Clear, Widget},
};

use super::{text, theme::Theme};
use crate::app::completion::Completion;

/// Most rows of the list; more are reached by going on.
const ROWS_MAX: u16 = 6;

/// Draws it over the lower end of the timeline, of which half stays visible.
pub(super) fn draw(completion: &Completion, theme: &Theme, timeline: Rect, buffer: &mut Buffer) {
    let count = completion.candidates.len();
    let wanted = u16::try_from(count).unwrap_or(ROWS_MAX).min(ROWS_MAX);
    let rows = wanted.min((timeline.height / 2).max(1)).min(timeline.height);
    let area = Rect { y: timeline.bottom() - rows, height: rows, ..timeline };
    Clear.render(area, buffer);
    // The chosen one stays in sight.
    let rows = usize::from(rows);
    let from = (completion.chosen.unwrap_or(0) + 1).saturating_sub(rows);
    let labels: Vec<String> =
        completion.candidates.iter().map(|candidate| text::cell(&candidate.label)).collect();
    let left = labels.iter().map(|label| text::width(label)).max().unwrap_or(0);
    let left = left.min(usize::from(area.width).saturating_sub(4));
    let shown = labels.iter().zip(&completion.candidates).enumerate().skip(from).take(rows);
    for (row, (index, (label, candidate))) in area.rows().zip(shown) {
        let label = text::fit(label, left);
        let filling = " ".repeat(left - text::width(&label));
        let mut words = format!("{label}{filling}");
        if !candidate.about.is_empty() {
            words = format!("{words}  {}", candidate.about);
        }
        let is_chosen = completion.chosen == Some(index);
        let (sign, style) = if is_chosen { ("> ", theme.chosen) } else { ("  ", theme.text) };
        let words = text::fit(&words, usize::from(area.width).saturating_sub(2));
        Line::from(vec![Span::styled(sign, style), Span::styled(words, style)]).render(row, buffer);
    }
}
