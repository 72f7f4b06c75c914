//! The player as a screen: a pure function of it.
//!
//! ```text
//!   title, strategy, time      from 110 columns on, the gauges
//!   gauges                     have a pane of their own at the side
//!   sender │ ladder │ receiver
//!   why the last packet left
//!   keys
//! ```

use std::time::Duration;

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::Widget,
};

use super::{
    explain::explain,
    model::{KEYS, Player},
};
use crate::{
    app::Look,
    lab::ladder::time,
    ui::{ascii, ladder, text, theme::Theme},
};

/// Columns from which the gauges stand at the side.
const SIDE_COLUMNS_MIN: u16 = 110;
/// Columns of that pane.
const SIDE_COLUMNS: u16 = 34;
/// Rows below which only the ladder and the time are shown.
const ROWS_MIN: u16 = 10;
/// Gauges that the sender believes in; the others are counted.
const BELIEVED: usize = 4;
/// Rows of the explanation.
const EXPLAIN_ROWS: u16 = 3;

/// Draws the whole screen.
pub fn view(player: &Player, look: Look, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.is_empty() {
        return;
    }
    let theme = Theme::of(look);
    if player.shows_keys() {
        draw_keys(&theme, area, frame.buffer_mut());
    } else {
        draw(player, &theme, area, frame.buffer_mut());
    }
    if look.is_ascii {
        ascii::simplify(frame.buffer_mut());
    }
}

fn draw(player: &Player, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let rows = &player.film().rows[..player.shown()];
    if area.height < ROWS_MIN {
        let [top, middle] =
            Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
        draw_title(player, theme, top, buffer);
        ladder::draw(rows, player.now(), true, theme, middle, buffer);
        return;
    }
    let is_wide = area.width >= SIDE_COLUMNS_MIN;
    let gauges = gauges(player);
    let above: Vec<String> =
        if is_wide { Vec::new() } else { above(player, &gauges, area.width.into()) };
    let above_rows = u16::try_from(above.len()).unwrap_or(0);
    let [title, top, ends, middle, line, why, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(above_rows),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
        Constraint::Length(EXPLAIN_ROWS),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_title(player, theme, title, buffer);
    for (words, row) in above.into_iter().zip(top.rows()) {
        Line::styled(words, theme.quiet).render(row, buffer);
    }
    let (ends, middle) = if is_wide {
        let beside = |area: Rect| -> [Rect; 2] {
            Layout::horizontal([Constraint::Min(1), Constraint::Length(SIDE_COLUMNS)]).areas(area)
        };
        let [middle, side] = beside(middle);
        draw_side(player, &gauges, theme, side, buffer);
        (beside(ends)[0], middle)
    } else {
        (ends, middle)
    };
    ladder::draw_ends(["sender", "receiver"], theme, ends, buffer);
    ladder::draw(rows, player.now(), true, theme, middle, buffer);
    Line::styled("─".repeat(line.width.into()), theme.line).render(line, buffer);
    let why_words = match rows.len().checked_sub(1) {
        Some(last) => explain(player.film(), last, player.now()).join(" "),
        None => "Nothing has left yet.".to_owned(),
    };
    for (words, row) in text::wrap(&why_words, why.width.into()).into_iter().zip(why.rows()) {
        Line::styled(words, theme.text).render(row, buffer);
    }
    let hint = "Space pause  . , step  n next again  s strategy  + - speed  ? keys  q leave";
    Line::styled(text::fit(hint, keys.width.into()), theme.quiet).render(keys, buffer);
}

fn draw_title(player: &Player, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let (strategy, place, count) = player.strategy();
    let speed = match player.speed() {
        tenths if tenths < 10 => format!("×0.{tenths}"),
        tenths => format!("×{}", tenths / 10),
    };
    let state = match (player.is_playing(), player.now() >= player.film().lasted) {
        (true, _) => format!("▶ {speed}"),
        (false, true) => "end".to_owned(),
        (false, false) => "paused".to_owned(),
    };
    let lasted = time(player.film().lasted);
    let what = format!("{strategy} ({place} of {count})");
    let when = format!("{} of {lasted} {state} · ", time(player.now()));
    let cells = usize::from(area.width);
    let used = text::width(&what) + text::width(&when);
    let title = format!(" · seed {} · {}", player.seed(), text::cell(player.title()));
    let title = text::fit(&title, cells.saturating_sub(used + 1));
    // Where there is little room: which strategy, and when.
    let spans = vec![
        Span::styled(when, theme.fresh),
        Span::styled(what, theme.strong),
        Span::styled(title, theme.quiet),
    ];
    Line::from(spans).render(area, buffer);
}

/// What the sender believes and what has come of it: names and values.
fn gauges(player: &Player) -> Vec<(&'static str, String)> {
    let (film, now) = (player.film(), player.now());
    let unknown = || "not known".to_owned();
    let gauges = film.gauges_at(now);
    let trip = gauges.and_then(|gauges| gauges.round_trip).map_or_else(unknown, time);
    let timeout = gauges.map_or_else(unknown, |gauges| time(gauges.timeout));
    let number = |value: Option<u64>| value.map_or_else(unknown, |value| value.to_string());
    vec![
        ("round trip", trip),
        ("timer", timeout),
        ("window", number(gauges.map(|gauges| gauges.window))),
        ("in flight", number(gauges.map(|gauges| gauges.in_flight))),
        ("delivered", format!("{} of {}", film.delivered_by(now), film.messages)),
        ("sent", format!("{} packets", player.shown())),
        ("again", film.again_by(now).to_string()),
    ]
}

/// The gauges in two lines, with the curve of the round trip behind the second.
fn above(player: &Player, gauges: &[(&str, String)], cells: usize) -> Vec<String> {
    let (believed, counted) = gauges.split_at(BELIEVED.min(gauges.len()));
    let [believed, counted] = [believed, counted].map(|part| {
        let part = part.iter().map(|(name, value)| format!("{name} {value}"));
        part.collect::<Vec<_>>().join(" · ")
    });
    let curve = cells.saturating_sub(text::width(&counted) + 2);
    let curve = ladder::sparkline(player.film().round_trips(player.now()), curve);
    vec![believed, format!("{counted}  {curve}")]
}

fn draw_side(
    player: &Player,
    gauges: &[(&'static str, String)],
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let cells = usize::from(area.width).saturating_sub(3);
    let trips = ladder::sparkline(player.film().round_trips(player.now()), cells);
    let mut lines = vec![
        Line::styled("what the sender believes", theme.strong),
        Line::styled(trips, theme.good),
    ];
    lines.extend(gauges.iter().map(|(name, value)| {
        Line::from(vec![
            Span::styled(format!("{name:<11}"), theme.quiet),
            Span::styled(value.clone(), theme.text),
        ])
    }));
    lines.push(Line::default());
    lines.push(Line::styled(bar(part(player.now(), player.film().lasted), cells), theme.line));
    let lines = lines.into_iter().chain(std::iter::repeat(Line::default()));
    for (line, row) in lines.zip(area.rows()) {
        Line::styled(" │ ", theme.line).render(row, buffer);
        let row = Rect { x: row.x + 3.min(row.width), width: row.width.saturating_sub(3), ..row };
        line.render(row, buffer);
    }
}

/// How much of the whole that is, in thousandths.
fn part(now: Duration, whole: Duration) -> usize {
    let part = now.as_micros().min(whole.as_micros()) * 1_000 / whole.as_micros().max(1);
    usize::try_from(part).unwrap_or(0)
}

fn bar(part: usize, cells: usize) -> String {
    let full = cells * part / 1_000;
    format!("{}{}", "█".repeat(full), "░".repeat(cells - full))
}

fn draw_keys(theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let mut lines = vec![Line::styled("keys  (any of them closes this)", theme.strong)];
    lines.extend(KEYS.iter().map(|(key, what)| {
        Line::from(vec![
            Span::styled(format!("{key:<10}"), theme.strong),
            Span::styled(*what, theme.text),
        ])
    }));
    for (line, row) in lines.into_iter().zip(area.rows()) {
        line.render(row, buffer);
    }
}
