//! What stands on the timeline, painted item by item: a message with its quote, reactions and marks,
//! folded comings and goings, an own message on its way.

use jiff::{Timestamp, civil::Date};
use protocol::time::WallTime;
use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::{doubt, markup, row::Row, status::seconds, text, theme::Theme};
use crate::app::{
    App,
    conversation::{Conversation, Delivery, PendingState},
    description::{Content, Description, Item, Progress, Quote},
    links,
    timeline::ItemKey,
};

/// Columns from which hour and name stand beside the words instead of above them.
const BESIDE_COLUMNS_MIN: u16 = 50;
/// Columns of the hour with the space behind it.
const HOUR_COLUMNS: usize = 6;
/// Columns of a name beside the words.
const NAME_COLUMNS: usize = 12;
/// Messages of one person at most this far apart stand under one name.
const GROUP_MILLIS_MAX: u64 = 5 * 60 * 1_000;

/// Turns items into rows of one width.
pub(super) struct Painter<'a> {
    app: &'a App,
    conversation: &'a Conversation,
    theme: &'a Theme,
    columns: usize,
    /// Columns before the words.
    gutter: usize,
}

impl<'a> Painter<'a> {
    /// For a pane of this width.
    pub(super) fn new(
        app: &'a App,
        conversation: &'a Conversation,
        theme: &'a Theme,
        columns: u16,
    ) -> Self {
        let gutter =
            if columns >= BESIDE_COLUMNS_MIN { HOUR_COLUMNS + NAME_COLUMNS + 2 } else { 1 };
        Self { app, conversation, theme, columns: columns.into(), gutter }
    }

    /// The rows of an item, as they follow `previous`.
    pub(super) fn paint(&self, item: &Item<'_>, previous: Option<&Item<'_>>) -> Vec<Row> {
        let mut rows = Vec::new();
        let date = self.date(item.time());
        if previous.is_none_or(|previous| self.date(previous.time()) != date) {
            let day = date.strftime("%A, %-d %B %Y").to_string();
            rows.push(self.divider(&day, self.theme.quiet).into());
        }
        if self.begins_unread(item, previous) {
            rows.push(self.divider("new messages", self.theme.fresh).into());
        }
        let follows = rows.is_empty() && self.is_grouped(item, previous);
        let body = self.body(item);
        let mut body = self.beside(item, body, follows);
        if self.is_selected(item) {
            for row in &mut body {
                row.line = std::mem::take(&mut row.line).patch_style(self.theme.chosen);
            }
        }
        rows.extend(body);
        rows
    }

    /// Places hour and name beside or above the rows of words.
    fn beside(&self, item: &Item<'_>, body: Vec<Row>, follows: bool) -> Vec<Row> {
        let hour = self.hour(item.time());
        let speaker = item.speaker(&self.app.link.name).filter(|_| !follows);
        let (name, name_style, doubt) = match speaker {
            Some((true, name)) => (text::cell(name), self.theme.own, ""),
            Some((false, name)) => {
                let doubt = doubt::mark(self.app.names.doubt(name));
                (text::cell(name), self.theme.person(name), doubt)
            }
            None => (String::new(), self.theme.text, ""),
        };
        let mut rows = Vec::with_capacity(body.len() + 1);
        if self.gutter == 1 {
            if speaker.is_some() {
                let room = self.columns.saturating_sub(HOUR_COLUMNS);
                let name = doubt::marked(&name, doubt, room);
                let name = vec![
                    Span::styled(name, name_style),
                    Span::styled(format!(" {hour}"), self.theme.quiet),
                ];
                rows.push(Line::from(name).into());
            }
            rows.extend(body.into_iter().map(|row| self.indented(row)));
            return rows;
        }
        for (index, row) in body.into_iter().enumerate() {
            if index > 0 {
                rows.push(self.indented(row));
                continue;
            }
            let hour = if follows { " ".repeat(HOUR_COLUMNS) } else { format!("{hour} ") };
            rows.push(row.behind(vec![
                Span::styled(hour, self.theme.quiet),
                Span::styled(
                    text::fit_right(&doubt::marked(&name, doubt, NAME_COLUMNS), NAME_COLUMNS),
                    name_style,
                ),
                Span::raw("  "),
            ]));
        }
        rows
    }

    fn indented(&self, row: Row) -> Row {
        row.behind(vec![Span::raw(" ".repeat(self.gutter))])
    }

    fn body(&self, item: &Item<'_>) -> Vec<Row> {
        let theme = self.theme;
        let described = Description::of(self.app, self.conversation, item);
        let mut rows: Vec<Row> =
            described.answers.iter().map(|quote| self.quote(quote).into()).collect();
        rows.extend(match described.content {
            Content::Words(words) => {
                let own = self.app.link.name.as_str();
                // Who speaks of themselves is not called.
                let is_mine = item.speaker(own).is_some_and(|(is_mine, _)| is_mine);
                self.speech(words, if is_mine { "" } else { own })
            }
            Content::Action(who, words) => self.words(&format!("* {who} {words}"), theme.text),
            Content::Happened(what) => self.words(&format!("-- {}", what.join(" · ")), theme.quiet),
            Content::Deleted => self.words("(deleted)", theme.quiet),
            Content::NeedsNewer => self.words("(needs a newer version)", theme.quiet),
            Content::Unreadable => self.words("(unreadable)", theme.quiet),
            Content::Edit(words) => self.words(&format!("(edit) {words}"), theme.quiet),
            Content::Delete => self.words("(delete)", theme.quiet),
            Content::Reaction(emoji) => self.words(&format!("(reaction) {emoji}"), theme.quiet),
        });
        if described.is_edited {
            self.append(&mut rows, "(edited)".to_owned(), theme.quiet);
        }
        if let Some(progress) = described.progress {
            let (mark, style) = self.mark(&progress);
            self.append(&mut rows, mark, style);
        }
        if !described.reactions.is_empty() {
            let reaction = |(emoji, count, is_mine): &(&str, usize, bool)| match is_mine {
                true => format!("[{emoji} {count}]"),
                false => format!("{emoji} {count}"),
            };
            let reactions: Vec<_> = described.reactions.iter().map(reaction).collect();
            rows.extend(self.words(&reactions.join("  "), theme.quiet));
        }
        rows
    }

    /// How far an own message has got: a sign and numbers, readable without colour.
    fn mark(&self, progress: &Progress<'_>) -> (String, Style) {
        let theme = self.theme;
        match progress {
            Progress::Stored(delivery) => (delivery_mark(*delivery), theme.quiet),
            Progress::Pending(PendingState::Queued) => ("…".to_owned(), theme.quiet),
            Progress::Pending(PendingState::Slowed(until, why)) => {
                let wait = seconds(self.app.now, *until);
                (format!("~ {wait}, {}", text::cell(why)), theme.fresh)
            }
            Progress::Pending(PendingState::Sent(_)) => ("✓".to_owned(), theme.quiet),
            Progress::Pending(PendingState::Held { name, .. }) => {
                let name = text::cell(name);
                (format!("! {name} is another account now: /accept {name} or /cancel"), theme.error)
            }
            Progress::Pending(PendingState::Failed(why)) => {
                (format!("✗ {} (/cancel removes it)", text::cell(why)), theme.error)
            }
        }
    }

    fn quote(&self, quote: &Quote<'_>) -> Line<'static> {
        let words = match quote {
            Quote::Earlier => "an earlier message".to_owned(),
            Quote::Deleted(author) => format!("{author}: (deleted)"),
            Quote::Words(author, words) => {
                format!("{author}: {}", words.lines().next().unwrap_or_default())
            }
        };
        let words = text::fit(&format!("> {}", text::cell(&words)), self.cells());
        Line::from(Span::styled(words, self.theme.quiet))
    }

    fn speech(&self, words: &str, me: &str) -> Vec<Row> {
        let mut rows = markup::rows(words, self.cells(), me, &self.app.highlights, self.theme);
        for warning in links::warnings(words) {
            let warning = format!("{} {}", doubt::MARK, text::cell(&warning.to_string()));
            self.append(&mut rows, warning, self.theme.error);
        }
        rows
    }

    fn words(&self, words: &str, style: Style) -> Vec<Row> {
        let rows = text::wrap(words, self.cells());
        rows.into_iter().map(|row| Line::from(Span::styled(row, style)).into()).collect()
    }

    /// Adds a mark behind the last row, or below it if there is no room.
    fn append(&self, rows: &mut Vec<Row>, mark: String, style: Style) {
        let used = rows
            .last()
            .map_or(0, |row| row.line.spans.iter().map(|s| text::width(&s.content)).sum());
        let fits = used + 2 + text::width(&mark) <= self.cells();
        match rows.last_mut() {
            Some(row) if fits => {
                row.line.spans.push(Span::raw("  "));
                row.line.spans.push(Span::styled(mark, style));
            }
            Some(_) | None => rows.extend(self.words(&mark, style)),
        }
    }

    fn divider(&self, label: &str, style: Style) -> Line<'static> {
        let label = text::fit(label, self.columns.saturating_sub(6));
        let rest = self.columns.saturating_sub(text::width(&label) + 4);
        Line::from(vec![
            Span::styled("── ", self.theme.line),
            Span::styled(label, style),
            Span::styled(format!(" {}", "─".repeat(rest)), self.theme.line),
        ])
    }

    fn cells(&self) -> usize {
        self.columns.saturating_sub(self.gutter).max(2)
    }

    fn is_grouped(&self, item: &Item<'_>, previous: Option<&Item<'_>>) -> bool {
        let own = self.app.link.name.as_str();
        previous.is_some_and(|previous| {
            let gap = item.time().as_millis().saturating_sub(previous.time().as_millis());
            let speaker = item.speaker(own);
            speaker.is_some() && speaker == previous.speaker(own) && gap <= GROUP_MILLIS_MAX
        })
    }

    fn begins_unread(&self, item: &Item<'_>, previous: Option<&Item<'_>>) -> bool {
        let Some(from) = self.conversation.unread_from else { return false };
        let reaches = item.last_record().is_some_and(|last| last >= from);
        let is_first = previous.and_then(Item::last_record).is_none_or(|last| last < from);
        reaches && is_first && previous.is_some() || item.first_record() == Some(from) && reaches
    }

    fn is_selected(&self, item: &Item<'_>) -> bool {
        self.conversation.selected.is_some_and(|seq| item.key() == ItemKey::Entry(seq))
    }

    fn hour(&self, time: WallTime) -> String {
        self.zoned(time).strftime("%H:%M").to_string()
    }

    fn date(&self, time: WallTime) -> Date {
        self.zoned(time).date()
    }

    fn zoned(&self, time: WallTime) -> jiff::Zoned {
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        // A time outside the calendar comes from a broken clock: it is shown as the epoch.
        let timestamp = Timestamp::from_millisecond(millis).unwrap_or_default();
        timestamp.to_zoned(self.app.zone.clone())
    }
}

fn delivery_mark(delivery: Delivery) -> String {
    let Delivery { received, read, of } = delivery;
    match (received, read) {
        (0, 0) => "✓".to_owned(),
        (_, 0) => format!("✓{received}/{of}"),
        (_, read) => format!("✓✓{read}/{of}"),
    }
}
