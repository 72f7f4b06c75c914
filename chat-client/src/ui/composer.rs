//! The box in which a message is written. The terminal's own cursor stands in it, so that input
//! methods and screen readers find the place.

use ratatui::{
    Frame,
    layout::{Position, Rect},
    text::Span,
};

use super::{text, theme::Theme};
use crate::app::{conversation::Conversation, purpose::Purpose};

/// What stands before the first row.
const PROMPT: &str = "> ";
/// Columns of the prompt.
const PROMPT_COLUMNS: u16 = 2;

/// How many rows the box wants: all of its text, but at most a third of the pane; and one for what
/// the words are for.
pub(super) fn rows(conversation: &Conversation, area: Rect) -> u16 {
    let purpose = u16::from(conversation.purpose.is_some() && area.height > 2);
    text_rows(conversation, area) + purpose
}

fn text_rows(conversation: &Conversation, area: Rect) -> u16 {
    let rows_max = (area.height / 3).max(1);
    let rows = wrapped_rows(conversation, area.width.saturating_sub(PROMPT_COLUMNS), rows_max);
    rows.clamp(1, rows_max)
}

/// How many rows the text takes in a box of this width; those above `enough` are not counted.
fn wrapped_rows(conversation: &Conversation, cells: u16, enough: u16) -> u16 {
    let mut rows = 0_usize;
    for line in conversation.composer.area().lines() {
        // One more cell: the cursor stands behind the last character.
        rows += text::wrap(&format!("{line}_"), cells.into()).len();
        if rows > enough.into() {
            break;
        }
    }
    u16::try_from(rows).unwrap_or(u16::MAX)
}

/// What is said of a text that is larger than the box.
fn size(conversation: &Conversation) -> String {
    match conversation.composer.area().lines() {
        [line] => format!("… {} characters", line.chars().count()),
        lines => format!("… {} lines", lines.len()),
    }
}

/// Draws the box and places the cursor.
pub(super) fn draw(conversation: &Conversation, theme: &Theme, area: Rect, frame: &mut Frame<'_>) {
    if area.width <= PROMPT_COLUMNS || area.height == 0 {
        return;
    }
    let mut area = area;
    if let Some(purpose) = conversation.purpose.as_ref().filter(|_| area.height > 1) {
        let words = text::fit(&describe(purpose), area.width.into());
        let words = Span::styled(words, theme.fresh);
        frame.buffer_mut().set_span(area.x, area.y, &words, area.width);
        area = Rect { y: area.y + 1, height: area.height - 1, ..area };
    }
    frame.buffer_mut().set_span(
        area.x,
        area.y,
        &Span::styled(PROMPT, theme.strong),
        PROMPT_COLUMNS,
    );
    let mut inner = Rect { x: area.x + PROMPT_COLUMNS, width: area.width - PROMPT_COLUMNS, ..area };
    if inner.height > 1 && wrapped_rows(conversation, inner.width, inner.height) > inner.height {
        inner.height -= 1;
        let size = Span::styled(size(conversation), theme.quiet);
        frame.buffer_mut().set_span(inner.x, inner.bottom(), &size, inner.width);
    }
    let written = conversation.composer.area();
    frame.render_widget(written, inner);
    if conversation.composer.is_empty() {
        let hint = format!("write to {}", text::cell(&conversation.summary.title()));
        let hint = Span::styled(text::fit(&hint, inner.width.into()), theme.quiet);
        frame.buffer_mut().set_span(inner.x, inner.y, &hint, inner.width);
    }
    let cursor = written.screen_cursor();
    let (top, left) = written.scroll_offset();
    let column = u16::try_from(cursor.col).unwrap_or(0).saturating_sub(left).min(inner.width - 1);
    let row = u16::try_from(cursor.row).unwrap_or(0).saturating_sub(top).min(inner.height - 1);
    frame.set_cursor_position(Position::new(inner.x + column, inner.y + row));
}

/// What the words are for, in one line.
fn describe(purpose: &Purpose) -> String {
    let (what, words) = match purpose {
        Purpose::Reply { author, words, .. } => {
            (format!("replying to {}", text::cell(author)), words)
        }
        Purpose::Edit { words, .. } => ("changing".to_owned(), words),
    };
    let first = words.lines().next().unwrap_or_default();
    format!("{what} (Esc: no): {}", text::cell(first))
}
