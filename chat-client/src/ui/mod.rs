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

mod completion;
mod composer;
mod conversations;
mod first_run;
mod header;
mod help;
mod hint;
mod item;
mod picker;
mod status;
mod text;
mod theme;
mod timeline;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
};

use self::theme::Theme;
use crate::app::{App, Overlay, event::Drawn};

/// Columns from which the list of conversations has its own pane.
const TWO_PANES_COLUMNS_MIN: u16 = 60;
/// Rows from which the conversation has a header.
const HEADER_ROWS_MIN: u16 = 10;
/// Rows from which the divider is always there.
const DIVIDER_ROWS_MIN: u16 = 8;
/// Narrowest and widest list of conversations.
const LIST_COLUMNS: (u16, u16) = (16, 30);

/// Draws the whole screen.
pub fn view(app: &App, frame: &mut Frame<'_>) -> Option<Drawn> {
    let theme = Theme::of(app.colour);
    let area = frame.area();
    if area.width == 0 || area.height == 0 {
        return None;
    }
    if let Some(first_run) = &app.first_run {
        first_run::draw(first_run, &theme, frame);
        return None;
    }
    let [rest, status] =
        Layout::vertical([Constraint::Min(1), Constraint::Length(u16::from(area.height > 2))])
            .areas(area);
    status::draw(app, &theme, status, frame.buffer_mut());
    let main = if area.width >= TWO_PANES_COLUMNS_MIN {
        let columns = (area.width / 5).clamp(LIST_COLUMNS.0, LIST_COLUMNS.1);
        let [list, main] =
            Layout::horizontal([Constraint::Length(columns), Constraint::Min(1)]).areas(rest);
        conversations::draw(app, &theme, list, frame.buffer_mut());
        main
    } else {
        rest
    };
    if let Some(overlay) = &app.overlay {
        match overlay {
            Overlay::Pick(picker) => picker::draw(picker, &theme, main, frame),
            Overlay::Help(_) | Overlay::List { .. } => {
                help::draw(overlay, &theme, main, frame.buffer_mut());
            }
        }
        return None;
    }
    conversation(app, &theme, main, frame)
}

fn conversation(app: &App, theme: &Theme, area: Rect, frame: &mut Frame<'_>) -> Option<Drawn> {
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
    let conversation = conversation?;
    header::draw(app, conversation, theme, top, frame.buffer_mut());
    let drawn = timeline::draw(app, conversation, theme, timeline, frame.buffer_mut());
    if let Some(offered) = &app.completion {
        completion::draw(offered, theme, timeline, frame.buffer_mut());
    }
    composer::draw(conversation, theme, bottom, frame);
    Some(drawn)
}

#[cfg(test)]
mod acting_tests;
#[cfg(test)]
mod finding_tests;
#[cfg(test)]
mod tests;
