//! The line above the timeline, which says what this conversation is and who can read it, and the
//! divider below it, which says what just happened.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Widget,
};

use super::{doubt, hint::hint, text, theme::Theme};
use crate::app::{
    App, Mood,
    conversation::{Conversation, Privacy, Sort},
    description::question,
    timeline::Scroll,
};

/// How many people are named as writing; more are counted.
const WRITERS_NAMED_MAX: usize = 2;

/// Draws the line above the timeline.
pub(super) fn draw(
    app: &App,
    conversation: &Conversation,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let summary = &conversation.summary;
    let cells = usize::from(area.width);
    let place = app.listed().iter().position(|c| c.summary.id == summary.id).unwrap_or(0) + 1;
    let title = format!("{place} {}", text::cell(&summary.title()));
    let title = doubt::marked(&title, doubt::mark(app.title_doubt(summary)), cells);
    let mut facts = Vec::new();
    if summary.sort == Sort::Room {
        facts.push(match summary.members {
            1 => "1 member".to_owned(),
            members => format!("{members} members"),
        });
    }
    match summary.privacy {
        Privacy::RelayCanRead => facts.push("readable by the relay's operator".to_owned()),
        Privacy::Sealed => facts.push("sealed".to_owned()),
    }
    // What cannot be read back is worth more than the topic: the topic gives way.
    let facts = text::fit(&facts.join(" · "), cells.saturating_sub(text::width(&title) + 2));
    let used = text::width(&title) + text::width(&facts) + 2;
    let topic = text::fit(&text::cell(&summary.topic), cells.saturating_sub(used + 2));
    let gap = cells.saturating_sub(used + text::width(&topic));
    Line::from(vec![
        Span::styled(title, theme.strong),
        Span::raw("  "),
        Span::styled(topic, theme.text),
        Span::raw(" ".repeat(gap)),
        Span::styled(facts, theme.quiet),
    ])
    .render(area, buffer);
}

/// True if the divider has something to say.
pub(super) fn has_news(app: &App) -> bool {
    let speaks = |c: &Conversation| {
        question(&c.summary).is_some() || hint(app, c, &Theme::of(app.look()), 0).is_some()
    };
    app.toast.is_some() || app.current().is_some_and(speaks)
}

/// Draws the divider with the most important thing it has to say.
pub(super) fn draw_divider(app: &App, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    if area.height == 0 {
        return;
    }
    let cells = usize::from(area.width);
    let (said, style) = news(app, theme, cells.saturating_sub(6));
    let said = text::fit(&said, cells.saturating_sub(6));
    if said.is_empty() {
        buffer.set_span(area.x, area.y, &Span::styled("─".repeat(cells), theme.line), area.width);
        return;
    }
    let rest = cells.saturating_sub(text::width(&said) + 4);
    Line::from(vec![
        Span::styled("── ", theme.line),
        Span::styled(said, style),
        Span::styled(format!(" {}", "─".repeat(rest)), theme.line),
    ])
    .render(area, buffer);
}

fn news(app: &App, theme: &Theme, cells: usize) -> (String, Style) {
    if let Some(toast) = &app.toast {
        return match toast.mood {
            Mood::Error => (format!("! {}", text::cell(&toast.text)), theme.error),
            Mood::Info => (text::cell(&toast.text), theme.strong),
        };
    }
    let Some(conversation) = app.current() else {
        return ("no conversation yet".to_owned(), theme.quiet);
    };
    if let Some(hint) = hint(app, conversation, theme, cells) {
        return hint;
    }
    if let Some(question) = question(&conversation.summary) {
        return (text::cell(&question), theme.fresh);
    }
    if conversation.scroll != Scroll::Live {
        let unread = conversation.summary.unread;
        let unread = if unread > 0 { format!("{unread} new · ") } else { String::new() };
        return (format!("{unread}End: newest message"), theme.quiet);
    }
    (writers(app, conversation), theme.quiet)
}

fn writers(app: &App, conversation: &Conversation) -> String {
    let writers: Vec<String> = conversation.typing(app.now).map(text::cell).collect();
    match writers.as_slice() {
        [] => String::new(),
        [one] => format!("{one} is writing…"),
        few if few.len() <= WRITERS_NAMED_MAX => format!("{} are writing…", few.join(" and ")),
        many => format!("{} people are writing…", many.len()),
    }
}
