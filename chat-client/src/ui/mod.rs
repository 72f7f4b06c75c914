//! The view: a pure function of the model to one frame, one file per pane.
//!
//! ```text
//!   ┌ conversations ┬ header ──────────────────┐   from 60 columns on two panes, below that one;
//!   │ 1 #lobby    3 │ timeline                 │   the header goes below 10 rows, the divider
//!   │ 2 @bea        │                          │   below 8 unless it has something to say
//!   │               ├ divider: news, errors ───┤
//!   │               │ > composer               │
//!   ├ status ───────┴──────────────────────────┤
//! ```
//!
//! The view reads `&App` and nothing else. It returns what came to be on the screen, which the
//! model needs for scrolling by pages and for marking messages as read.

pub(crate) mod ascii;
mod completion;
mod composer;
mod conversations;
mod doubt;
mod first_run;
mod header;
mod help;
mod hint;
mod hyperlinks;
mod inspector;
mod item;
pub(crate) mod ladder;
mod markup;
mod members;
mod palette;
mod picker;
mod row;
mod status;
pub(crate) mod text;
pub(crate) mod theme;
mod timeline;

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
};

use self::{hyperlinks::Hyperlinks, theme::Theme};
use crate::app::{App, Overlay, event::Drawn, inspector::Inspector};

/// Columns from which the list of conversations has its own pane.
const TWO_PANES_COLUMNS_MIN: u16 = 60;
/// Rows from which the conversation has a header.
const HEADER_ROWS_MIN: u16 = 10;
/// Rows from which the divider is always there.
const DIVIDER_ROWS_MIN: u16 = 8;
/// Narrowest and widest list of conversations.
const LIST_COLUMNS: (u16, u16) = (16, 30);

/// Columns from which two conversations stand side by side, each; below that, one above the other.
const SPLIT_COLUMNS_MIN: u16 = 48;
/// Rows of each conversation, if one stands above the other.
const SPLIT_ROWS_MIN: u16 = 9;
/// Columns of a conversation from which its members have a pane beside it; below that, they lie over
/// the timeline.
const MEMBERS_PANE_COLUMNS_MIN: u16 = 76;
/// Columns of that pane.
const MEMBERS_COLUMNS: u16 = 22;
/// Columns of the inspector from which it stands beside the timeline.
const INSPECTOR_COLUMNS_MIN: u16 = 70;
/// Columns of the timeline then.
const TIMELINE_COLUMNS_MIN: u16 = 40;
/// Rows from which it stands below the timeline; with fewer, in its place.
const INSPECTOR_ROWS_MIN: u16 = 15;

/// Draws the whole screen.
pub fn view(app: &App, frame: &mut Frame<'_>) -> Vec<Drawn> {
    let look = app.look();
    let mut links = Hyperlinks::default();
    let drawn = draw(app, &Theme::of(look), frame, &mut links);
    if app.has_links() {
        links.apply(frame.buffer_mut());
    }
    if look.is_ascii {
        ascii::simplify(frame.buffer_mut());
    }
    drawn
}

fn draw(app: &App, theme: &Theme, frame: &mut Frame<'_>, links: &mut Hyperlinks) -> Vec<Drawn> {
    let area = frame.area();
    if area.width == 0 || area.height == 0 {
        return Vec::new();
    }
    if let Some(first_run) = &app.first_run {
        first_run::draw(first_run, theme, frame);
        return Vec::new();
    }
    let [rest, status] =
        Layout::vertical([Constraint::Min(1), Constraint::Length(u16::from(area.height > 2))])
            .areas(area);
    status::draw(app, theme, status, frame.buffer_mut());
    let main = if area.width >= TWO_PANES_COLUMNS_MIN {
        let columns = (area.width / 5).clamp(LIST_COLUMNS.0, LIST_COLUMNS.1);
        let [list, main] =
            Layout::horizontal([Constraint::Length(columns), Constraint::Min(1)]).areas(rest);
        conversations::draw(app, theme, list, frame.buffer_mut());
        main
    } else {
        rest
    };
    if let Some(overlay) = &app.overlay {
        match overlay {
            Overlay::Pick(picker) => picker::draw(picker, theme, main, frame),
            Overlay::Help(_) | Overlay::List { .. } => {
                help::draw(app, overlay, theme, main, frame.buffer_mut());
            }
        }
        return Vec::new();
    }
    let (main, beside) = split(app, main);
    let second = beside.and_then(|area| second(app, theme, area, frame, links));
    let first = conversation(app, theme, main, frame, links);
    first.into_iter().chain(second).collect()
}

/// The pane of the conversation, and of the one beside it if there is one and room for both.
fn split(app: &App, area: Rect) -> (Rect, Option<Rect>) {
    if app.beside().is_none() {
        return (area, None);
    }
    if area.width >= 2 * SPLIT_COLUMNS_MIN {
        let [left, _, right] =
            Layout::horizontal([Constraint::Fill(1), Constraint::Length(1), Constraint::Fill(1)])
                .areas(area);
        return (left, Some(right));
    }
    if area.height >= 2 * SPLIT_ROWS_MIN {
        let [above, below] =
            Layout::vertical([Constraint::Fill(2), Constraint::Fill(3)]).areas(area);
        return (below, Some(above));
    }
    (area, None)
}

/// The conversation beside the one that is written in.
fn second(
    app: &App,
    theme: &Theme,
    area: Rect,
    frame: &mut Frame<'_>,
    links: &mut Hyperlinks,
) -> Option<Drawn> {
    let conversation = app.beside()?;
    let [top, timeline] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    header::draw(app, conversation, theme, top, frame.buffer_mut());
    Some(timeline::draw(app, conversation, theme, timeline, frame.buffer_mut(), links))
}

fn conversation(
    app: &App,
    theme: &Theme,
    area: Rect,
    frame: &mut Frame<'_>,
    links: &mut Hyperlinks,
) -> Option<Drawn> {
    let conversation = app.current();
    let has_news = header::has_news(app);
    let composer_rows = conversation.map_or(1, |c| composer::rows(c, area));
    let [top, timeline, divider, bottom] = Layout::vertical([
        Constraint::Length(u16::from(area.height >= HEADER_ROWS_MIN)),
        Constraint::Min(1),
        Constraint::Length(u16::from(has_news || area.height >= DIVIDER_ROWS_MIN)),
        Constraint::Length(composer_rows),
    ])
    .areas(area);
    header::draw_divider(app, theme, divider, frame.buffer_mut());
    let timeline = match &app.inspector {
        Some(inspector) => inspect(app, inspector, theme, timeline, frame.buffer_mut())?,
        None => timeline,
    };
    let conversation = conversation?;
    header::draw(app, conversation, theme, top, frame.buffer_mut());
    let drawn = if !app.lists_members {
        Some(timeline::draw(app, conversation, theme, timeline, frame.buffer_mut(), links))
    } else if area.width >= MEMBERS_PANE_COLUMNS_MIN {
        let [timeline, _, members] = Layout::horizontal([
            Constraint::Min(1),
            Constraint::Length(1),
            Constraint::Length(MEMBERS_COLUMNS),
        ])
        .areas(timeline);
        members::draw(app, conversation, theme, members, frame.buffer_mut());
        Some(timeline::draw(app, conversation, theme, timeline, frame.buffer_mut(), links))
    } else {
        members::draw(app, conversation, theme, timeline, frame.buffer_mut());
        None
    };
    if let Some(offered) = &app.completion {
        completion::draw(offered, theme, timeline, frame.buffer_mut());
    }
    composer::draw(conversation, theme, bottom, frame);
    drawn
}

/// Draws the inspector beside or below the timeline, or in its place; what is left for that.
fn inspect(
    app: &App,
    inspector: &Inspector,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Rect> {
    if area.width >= INSPECTOR_COLUMNS_MIN + TIMELINE_COLUMNS_MIN {
        let beside = [Constraint::Fill(2), Constraint::Length(1), Constraint::Fill(3)];
        let [timeline, _, pane] = Layout::horizontal(beside).areas(area);
        inspector::draw(app, inspector, theme, pane, buffer);
        return Some(timeline);
    }
    if area.height >= INSPECTOR_ROWS_MIN {
        let [timeline, pane] =
            Layout::vertical([Constraint::Fill(1), Constraint::Fill(2)]).areas(area);
        inspector::draw(app, inspector, theme, pane, buffer);
        return Some(timeline);
    }
    inspector::draw(app, inspector, theme, area, buffer);
    None
}

#[cfg(test)]
mod acting_tests;
#[cfg(test)]
mod code_tests;
#[cfg(test)]
mod finding_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
pub(crate) mod tests;
