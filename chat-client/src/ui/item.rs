//! What stands on the timeline, item by item: a message with its quote, reactions and marks, folded
//! comings and goings, an own message on its way.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use protocol::{
    ids::Seq,
    message::{
        event::Change,
        record::Target,
        room::{Access, Role},
    },
    time::WallTime,
};
use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::{doubt, markup, row::Row, status::seconds, text, theme::Theme};
use crate::app::{
    App,
    conversation::{Conversation, Delivery, Pending, PendingState},
    effect::Saying,
    links,
    timeline::{Entry, ItemKey, Notice, Said, Sender},
};

/// Columns from which hour and name stand beside the words instead of above them.
const BESIDE_COLUMNS_MIN: u16 = 50;
/// Columns of the hour with the space behind it.
const HOUR_COLUMNS: usize = 6;
/// Columns of a name beside the words.
const NAME_COLUMNS: usize = 12;
/// Messages of one person at most this far apart stand under one name.
const GROUP_MILLIS_MAX: u64 = 5 * 60 * 1_000;
/// How many people one folded line names; more are counted.
const FOLD_NAMES_MAX: usize = 6;

/// Something on the timeline.
#[derive(Clone, Debug)]
pub(super) enum Item<'a> {
    /// One record.
    Entry(&'a Entry),
    /// Comings and goings right after one another.
    Traffic(Vec<&'a Entry>),
    /// An own message that is not in the history yet.
    Pending(&'a Pending),
}

/// Everything that has a place on the timeline, oldest first. Amends have none.
pub(super) fn items<'a>(app: &'a App, conversation: &'a Conversation) -> Vec<Item<'a>> {
    let mut items: Vec<Item<'a>> = Vec::with_capacity(conversation.timeline.entries().len());
    for entry in conversation.timeline.entries().iter().filter(|entry| !entry.is_amend()) {
        match items.last_mut() {
            Some(Item::Traffic(folded)) if entry.is_traffic() => folded.push(entry),
            _ if entry.is_traffic() => items.push(Item::Traffic(vec![entry])),
            _ => items.push(Item::Entry(entry)),
        }
    }
    if conversation.timeline.reaches_newest || items.is_empty() {
        items.extend(app.pending(conversation.summary.id).map(Item::Pending));
    }
    items
}

impl Item<'_> {
    /// Its name. Items are in the order of their names.
    pub(super) fn key(&self) -> ItemKey {
        match self {
            Self::Entry(entry) => ItemKey::Entry(entry.seq),
            Self::Traffic(folded) => ItemKey::Entry(folded.last().map_or(Seq::ZERO, |e| e.seq)),
            Self::Pending(pending) => ItemKey::Pending(pending.local),
        }
    }

    /// Its newest record.
    pub(super) fn last_record(&self) -> Option<Seq> {
        match self.key() {
            ItemKey::Entry(seq) => Some(seq),
            ItemKey::Pending(_) => None,
        }
    }

    /// The record, if it is somebody's words and can be selected.
    pub(super) fn message(&self) -> Option<Seq> {
        match self {
            Self::Entry(entry) if entry.is_speech() => Some(entry.seq),
            Self::Entry(_) | Self::Traffic(_) | Self::Pending(_) => None,
        }
    }

    fn first_seq(&self) -> Option<Seq> {
        match self {
            Self::Entry(entry) => Some(entry.seq),
            Self::Traffic(folded) => folded.first().map(|entry| entry.seq),
            Self::Pending(_) => None,
        }
    }

    fn time(&self) -> WallTime {
        match self {
            Self::Entry(entry) => entry.time,
            Self::Traffic(folded) => folded.last().map_or_else(WallTime::default, |e| e.time),
            Self::Pending(pending) => pending.composed_at,
        }
    }

    /// Whose words, if somebody's.
    fn speaker<'b>(&'b self, own_name: &'b str) -> Option<(bool, &'b str)> {
        match self {
            Self::Entry(entry) if matches!(entry.said, Said::Action(_) | Said::Notice(_)) => None,
            Self::Entry(entry) if entry.sender == Sender::Relay => None,
            Self::Entry(entry) => Some((entry.sender.is_me(), entry.sender.name())),
            Self::Traffic(_) => None,
            Self::Pending(pending) if matches!(pending.saying, Saying::Action(_)) => None,
            Self::Pending(_) => Some((true, own_name)),
        }
    }
}

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
        match item {
            Item::Entry(entry) => self.entry(entry),
            Item::Traffic(folded) => self.words(&traffic(folded), self.theme.quiet),
            Item::Pending(pending) => self.pending(pending),
        }
    }

    fn entry(&self, entry: &Entry) -> Vec<Row> {
        let theme = self.theme;
        let amended = self.conversation.timeline.amended(entry);
        let mut rows = Vec::new();
        match &entry.said {
            _ if amended.is_deleted => return self.words("(deleted)", theme.quiet),
            Said::Text(text, reply_to) => {
                rows.extend(reply_to.map(|target| Row::from(self.quote(target))));
                // Who speaks of themselves is not called.
                let me = if entry.sender.is_me() { "" } else { self.app.link.name.as_str() };
                rows.extend(self.speech(amended.text.unwrap_or(text), me));
            }
            Said::Action(text) => {
                let words = amended.text.unwrap_or(text);
                rows = self.words(&format!("* {} {words}", entry.sender.name()), theme.text);
            }
            Said::Notice(notice) => return self.words(&describe(notice), theme.quiet),
            Said::NeedsNewer => return self.words("(needs a newer version)", theme.quiet),
            Said::Unreadable => return self.words("(unreadable)", theme.quiet),
            // Amends are not items, and what is erased is deleted.
            Said::Edit(..) | Said::Delete(_) | Said::React(..) | Said::Erased => return rows,
        }
        if amended.text.is_some() {
            self.append(&mut rows, "(edited)".to_owned(), theme.quiet);
        }
        if entry.sender.is_me() {
            let mark = delivery_mark(self.conversation.delivery(entry.seq));
            self.append(&mut rows, mark, theme.quiet);
        }
        if !amended.reactions.is_empty() {
            let reactions: Vec<String> = amended
                .reactions
                .iter()
                .map(|(emoji, count, is_mine)| match is_mine {
                    true => format!("[{emoji} {count}]"),
                    false => format!("{emoji} {count}"),
                })
                .collect();
            rows.extend(self.words(&reactions.join("  "), theme.quiet));
        }
        rows
    }

    fn pending(&self, pending: &Pending) -> Vec<Row> {
        let theme = self.theme;
        let mut rows = match &pending.saying {
            Saying::Text(text, reply_to) => {
                let mut rows: Vec<_> =
                    reply_to.map(|target| self.quote(target).into()).into_iter().collect();
                rows.extend(self.speech(text, ""));
                rows
            }
            Saying::Action(text) => {
                self.words(&format!("* {} {text}", self.app.link.name), theme.text)
            }
            Saying::Edit(_, text) => self.words(&format!("(edit) {text}"), theme.quiet),
            Saying::Delete(_) => self.words("(delete)", theme.quiet),
            Saying::React(_, emoji, _) => self.words(&format!("(reaction) {emoji}"), theme.quiet),
        };
        let (mark, style) = match &pending.state {
            PendingState::Queued => ("…".to_owned(), theme.quiet),
            PendingState::Slowed(until, why) => {
                let wait = seconds(self.app.now, *until);
                (format!("~ {wait}, {}", text::cell(why)), theme.fresh)
            }
            PendingState::Sent(_) => ("✓".to_owned(), theme.quiet),
            PendingState::Held { name, .. } => {
                let name = text::cell(name);
                (format!("! {name} is another account now: /accept {name} or /cancel"), theme.error)
            }
            PendingState::Failed(why) => {
                (format!("✗ {} (/cancel removes it)", text::cell(why)), theme.error)
            }
        };
        self.append(&mut rows, mark, style);
        rows
    }

    fn quote(&self, target: Target) -> Line<'static> {
        let timeline = &self.conversation.timeline;
        let quoted = timeline.entry(target.seq).filter(|entry| entry.id == Some(target.id));
        let words = quoted.map_or_else(
            || "an earlier message".to_owned(),
            |entry| {
                let amended = timeline.amended(entry);
                let words = match (&entry.said, amended.text) {
                    _ if amended.is_deleted => "(deleted)",
                    (_, Some(text)) => text,
                    (Said::Text(text, _) | Said::Action(text), None) => text.as_str(),
                    (_, None) => "",
                };
                let first = words.lines().next().unwrap_or_default();
                format!("{}: {first}", entry.sender.name())
            },
        );
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
        reaches && is_first && previous.is_some() || item.first_seq() == Some(from) && reaches
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

/// How far a message has got: a sign and numbers, readable without colour.
fn delivery_mark(delivery: Delivery) -> String {
    let Delivery { received, read, of } = delivery;
    match (received, read) {
        (0, 0) => "✓".to_owned(),
        (_, 0) => format!("✓{received}/{of}"),
        (_, read) => format!("✓✓{read}/{of}"),
    }
}

/// Comings and goings in one line: who is new and who is gone, after all of it.
fn traffic(folded: &[&Entry]) -> String {
    let mut latest: BTreeMap<&str, &Change> = BTreeMap::new();
    let mut order = Vec::new();
    for entry in folded {
        if let Said::Notice(notice) = &entry.said
            && latest.insert(&notice.subject, &notice.change).is_none()
        {
            order.push(notice.subject.as_str());
        }
    }
    let list = |wanted: &Change, verb: &str| {
        let names: Vec<&str> =
            order.iter().copied().filter(|name| latest[name] == wanted).collect();
        let more = names.len().saturating_sub(FOLD_NAMES_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let first = names.iter().take(FOLD_NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
        (!first.is_empty()).then(|| format!("{first}{more} {verb}"))
    };
    let parts = [list(&Change::Joined, "joined"), list(&Change::Left, "left")];
    format!("-- {}", parts.into_iter().flatten().collect::<Vec<_>>().join(" · "))
}

/// A notice in words.
fn describe(notice: &Notice) -> String {
    let Notice { actor, subject, change, reason } = notice;
    let actor = if actor.is_empty() { "the relay" } else { actor };
    let what = match change {
        Change::Created => format!("{actor} opened this conversation"),
        Change::Joined => format!("{subject} joined"),
        Change::Left => format!("{subject} left"),
        Change::Kicked => format!("{actor} removed {subject}"),
        Change::Banned(_) => format!("{actor} banned {subject}"),
        Change::Unbanned => format!("{actor} lifted the ban of {subject}"),
        Change::Muted(_) => format!("{actor} muted {subject}"),
        Change::Unmuted => format!("{actor} unmuted {subject}"),
        Change::Role(role) => format!("{actor} made {subject} {}", role_name(*role)),
        Change::Topic(topic) if topic.is_empty() => format!("{actor} removed the topic"),
        Change::Topic(topic) => format!("{actor} set the topic: {topic}"),
        Change::Access(access) => format!("{actor} changed who may join: {}", access_name(*access)),
        Change::Invited => format!("{actor} invited {subject}"),
    };
    if reason.is_empty() { format!("-- {what}") } else { format!("-- {what} ({reason})") }
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::OWNER => "an owner",
        Role::MODERATOR => "a moderator",
        Role::MEMBER => "a member",
        Role(_) => "something that needs a newer version",
    }
}

const fn access_name(access: Access) -> &'static str {
    match access {
        Access::ANYONE => "anyone",
        Access::APPROVED => "whom a moderator admits",
        Access::INVITED => "whom a member invites",
        Access(_) => "needs a newer version",
    }
}
