//! Who is in the conversation: rank, name, whether they are connected.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::Widget,
};

use super::{doubt, text, theme::Theme};
use crate::app::{
    App,
    conversation::{Conversation, Member, Rank, Standing},
};

/// Draws the pane: whoever is connected first, as far as there is room.
pub(super) fn draw(
    app: &App,
    conversation: &Conversation,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let cells = usize::from(area.width);
    let is_here = |member: &&Member| app.online.contains(&member.account);
    let (here, away): (Vec<_>, Vec<_>) = conversation.people.iter().partition(is_here);
    let title = match conversation.people.len() {
        0 => "members".to_owned(),
        all => format!("{} of {all} here", here.len()),
    };
    let mut lines =
        vec![Line::styled(text::fit(&format!("{title}  F3 closes"), cells), theme.quiet)];
    lines.extend(here.into_iter().map(|member| line(app, member, true, theme, cells)));
    lines.extend(away.into_iter().map(|member| line(app, member, false, theme, cells)));
    let rows = usize::from(area.height);
    if lines.len() > rows && rows > 1 {
        let hidden = lines.len() - (rows - 1);
        lines.truncate(rows - 1);
        lines.push(Line::styled(text::fit(&format!("and {hidden} more"), cells), theme.quiet));
    }
    for (row, line) in area.rows().zip(lines) {
        line.render(row, buffer);
    }
}

fn line(app: &App, member: &Member, is_here: bool, theme: &Theme, cells: usize) -> Line<'static> {
    let presence = if is_here { "● " } else { "  " };
    let rank = match member.rank {
        Rank::Owner => "~",
        Rank::Moderator => "@",
        Rank::Plain => "",
    };
    let note = match member.standing {
        Standing::Joined | Standing::Outside => "",
        Standing::Invited => " (invited)",
        Standing::Requested => " (asks)",
    };
    let style = if is_here { theme.person(&member.name) } else { theme.quiet };
    let name = format!("{rank}{}{note}", text::cell(&member.name));
    let is_me = member.name == app.link.name;
    let doubt = app.names.doubt(&member.name).filter(|_| !is_me);
    Line::from(vec![
        Span::styled(presence, theme.good),
        Span::styled(doubt::marked(&name, doubt::mark(doubt), cells.saturating_sub(2)), style),
    ])
}
