//! The lowest line: who and where, how the connection stands, what waits.

use protocol::time::WallTime;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Widget,
};

use super::{text, theme::Theme};
use crate::app::{App, link::LinkState, vi::Mode};

/// Draws the line.
pub(super) fn draw(app: &App, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let cells = usize::from(area.width);
    let mut who = text::cell(&app.link.name);
    if !app.link.relay.is_empty() {
        let at = if who.is_empty() { "@" } else { " @" };
        who = format!("{who}{at} {}", text::cell(&app.link.relay));
    }
    let (state, style) = state(app, theme);
    let waiting = match app.waiting() {
        0 => String::new(),
        waiting => format!("outbox {waiting}"),
    };
    let unread = match app.unread_elsewhere() {
        0 => String::new(),
        unread => format!("{unread} unread elsewhere"),
    };
    // Nobody may forget that it is they who break the path.
    let lab = app.link.faults.describe(app.now).map(|words| {
        let words = text::cell(&format!("lab: {words}"));
        (text::fit(&words, (cells / 2).max(LAB_CELLS_MIN)), theme.mention)
    });
    // By worth: what does not fit is left out, from the end.
    let mut parts: Vec<_> = lab.into_iter().chain([(state, style)]).collect();
    let mode = match app.vi_mode() {
        Some(Mode::Normal) => "-- NORMAL --",
        Some(Mode::Insert) | None => "",
    };
    let rest = [
        (mode.to_owned(), theme.strong),
        (waiting, theme.fresh),
        (unread, theme.fresh),
        (who, theme.quiet),
        ("F1 help".to_owned(), theme.quiet),
    ];
    let mut used = parts.iter().map(|(part, _)| text::width(part) + SEPARATOR.len()).sum::<usize>();
    used = used.saturating_sub(SEPARATOR.len());
    for (part, style) in rest.into_iter().filter(|(part, _)| !part.is_empty()) {
        used += text::width(&part) + SEPARATOR.len();
        if used <= cells {
            parts.push((part, style));
        }
    }
    let mut spans = Vec::new();
    for (index, (part, style)) in parts.into_iter().enumerate() {
        if index > 0 {
            spans.push(Span::styled(SEPARATOR, theme.line));
        }
        spans.push(Span::styled(text::fit(&part, cells), style));
    }
    Line::from(spans).render(area, buffer);
}

const SEPARATOR: &str = " | ";
/// Cells of the faults that are there in the narrowest window.
const LAB_CELLS_MIN: usize = 20;

fn state(app: &App, theme: &Theme) -> (String, Style) {
    match &app.link.state {
        LinkState::Live => {
            let transport = match app.link.transport.as_str() {
                "" => String::new(),
                transport => format!(" ({transport})"),
            };
            match app.silence() {
                Some(_) => (format!("connected{transport}{}", heard(app)), theme.fresh),
                None => (format!("connected{transport}{}", round_trip(app)), theme.good),
            }
        }
        LinkState::Connecting => (format!("connecting{}", heard(app)), theme.fresh),
        LinkState::Waiting { until, why } => {
            let why = match text::cell(why) {
                why if why.is_empty() => why,
                why => format!(": {why}"),
            };
            let next = seconds(app.now, *until);
            (format!("offline, next try in {next}{}{why}", heard(app)), theme.error)
        }
        LinkState::Stopped(why) => {
            (format!("stopped: {} (/reconnect)", text::cell(why)), theme.error)
        }
    }
}

fn round_trip(app: &App) -> String {
    match app.link.round_trip.map(|time| time.as_micros()) {
        None => String::new(),
        Some(micros @ 0..=9_999) => format!(" {}.{} ms", micros / 1_000, micros % 1_000 / 100),
        Some(micros) => format!(" {} ms", micros / 1_000),
    }
}

fn heard(app: &App) -> String {
    app.heard
        .map(|heard| format!(", last heard {} ago", seconds(heard, app.now)))
        .unwrap_or_default()
}

/// The time between two moments, as people say it.
pub(super) fn seconds(from: WallTime, to: WallTime) -> String {
    let seconds = to.as_millis().saturating_sub(from.as_millis()).div_ceil(1_000);
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}
