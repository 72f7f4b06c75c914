//! The list of conversations: place, name, what is unread, what waits for an answer.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::Widget,
};

use super::{doubt, text, theme::Theme};
use crate::app::{
    App,
    conversation::{Conversation, Standing},
};

/// Draws the pane, with the conversation on the screen always in view.
pub(super) fn draw(app: &App, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let listed = app.listed();
    let current = app.current().map(|conversation| conversation.summary.id);
    let here = listed.iter().position(|c| Some(c.summary.id) == current).unwrap_or(0);
    let rows = usize::from(area.height);
    let first = (here + 1).saturating_sub(rows);
    // The last column divides.
    let cells = usize::from(area.width.saturating_sub(1));
    for (row, (index, conversation)) in area.rows().zip(listed.iter().enumerate().skip(first)) {
        let mut line = line(app, index, conversation, theme, cells);
        if index == here && current.is_some() {
            line = line.style(theme.chosen);
        }
        line.render(Rect { width: row.width.saturating_sub(1), ..row }, buffer);
    }
    for row in area.rows() {
        buffer.set_span(row.right().saturating_sub(1), row.y, &Span::styled("│", theme.line), 1);
    }
}

fn line(
    app: &App,
    index: usize,
    conversation: &Conversation,
    theme: &Theme,
    cells: usize,
) -> Line<'static> {
    let summary = &conversation.summary;
    let place = if index < 9 { format!("{} ", index + 1) } else { "  ".to_owned() };
    let news = match (summary.standing, summary.unread) {
        (Standing::Invited, _) => " asks".to_owned(),
        (Standing::Requested, _) => " waits".to_owned(),
        (Standing::Joined | Standing::Outside, 0) => String::new(),
        (Standing::Joined | Standing::Outside, 1..=999) => format!(" {}", summary.unread),
        (Standing::Joined | Standing::Outside, _) => " 999+".to_owned(),
    };
    let mentions = match conversation.mentions.len() {
        0 => String::new(),
        count @ 1..=99 => format!(" @{count}"),
        _ => " @99+".to_owned(),
    };
    let news = format!("{mentions}{news}");
    let is_here = summary.peer.is_some_and(|peer| app.online.contains(&peer));
    let presence = if is_here { "● " } else { "" };
    let room = cells.saturating_sub(place.len() + text::width(presence) + news.len());
    let doubt = doubt::mark(app.title_doubt(summary));
    let title = doubt::marked(&text::cell(&summary.title()), doubt, room);
    let filling = " ".repeat(room.saturating_sub(text::width(&title)));
    let style = if news.is_empty() { theme.text } else { theme.strong };
    Line::from(vec![
        Span::styled(place, theme.quiet),
        Span::styled(presence, theme.good),
        Span::styled(title, style),
        Span::raw(filling),
        Span::styled(news, theme.fresh),
    ])
}
