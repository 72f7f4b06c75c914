//! The linear view: everything once, in words, line after line. For screen readers and braille
//! displays, which cannot follow a screen that is painted over, and for whatever has no screen.
//!
//! ```text
//!   &App ──▶ Reader::tell ──▶ lines, and events: what was told is read, what is said once is over
//! ```
//!
//! Like the full screen it sees the model and nothing else, and what it tells of a message comes
//! from the same description. Unlike it, it remembers what it has told.

mod words;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use protocol::{
    ids::{ConversationId, MessageId, Seq},
    time::WallTime,
};

use crate::{
    app::{
        App, Mood, Overlay,
        conversation::{Conversation, Pending, PendingState, Standing},
        description::{Item, items, question},
        event::{Drawn, Event, Spots},
        find,
        first_run::Step,
        link::LinkState,
        picker::Pick,
        purpose::Purpose,
        slash,
        timeline::{Entry, ItemKey, SOMEBODY, Said, Scroll},
    },
    untrusted::Untrusted,
};

/// Messages that are told when one comes to a conversation, and by `/older`: what can be listened
/// to at a time.
const PAGE_ITEMS: usize = 10;
/// Most new messages that are told at once; of more, the newest.
const NEW_ITEMS_MAX: usize = 50;
/// Most own messages of which it is remembered what was told.
const OWN_MAX: usize = 256;

/// What has to be printed, and what the model has to know of it.
#[derive(Debug, Default)]
pub struct Telling {
    /// Lines without anything that could harm a terminal.
    pub lines: Vec<String>,
    /// What comes of it.
    pub events: Vec<Event>,
}

/// What has been told.
#[derive(Debug, Default)]
pub struct Reader {
    question: Option<(Step, Option<String>)>,
    link: Option<String>,
    here: Option<ConversationId>,
    /// What stands in the way of talking here.
    standing: Option<String>,
    known: BTreeSet<ConversationId>,
    stretches: BTreeMap<ConversationId, Stretch>,
    own: BTreeMap<u64, Own>,
    purpose: Option<Purpose>,
    deletion: Option<WallTime>,
    draft: String,
    /// The person wants to hear what was before; it may have to be read first.
    wants_older: bool,
    /// Where the person has gone to in the history.
    gone_to: Option<Seq>,
}

/// What of a conversation has been told: without gaps, but for what was said to be left out.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    oldest: Seq,
    newest: Seq,
    /// The day that was named last.
    date: Option<Date>,
}

/// An own message that was written here.
#[derive(Debug, Default)]
struct Own {
    id: Option<MessageId>,
    what: &'static str,
    /// How far it had got when that was told last.
    told: String,
}

impl Reader {
    /// Tells what is new.
    pub fn tell(&mut self, app: &App) -> Telling {
        let mut telling = Telling::default();
        self.tell_all(app, &mut telling);
        for line in &mut telling.lines {
            *line = Untrusted::new(&line.replace('\t', "    ")).for_line();
        }
        telling
    }

    fn tell_all(&mut self, app: &App, telling: &mut Telling) {
        let lines = &mut telling.lines;
        if let Some(first_run) = &app.first_run {
            let asked = (first_run.step.clone(), first_run.error.clone());
            if self.question.as_ref() != Some(&asked) {
                lines.extend(words::question(first_run));
                self.question = Some(asked);
            }
            return;
        }
        self.question = None;
        self.tell_link(app, lines);
        self.tell_place(app, lines);
        if tell_once(app, lines) {
            telling.events.push(Event::Told);
        }
        self.tell_intent(app, lines);
        self.tell_own(app, lines);
        self.tell_elsewhere(app, lines);
        if app.conversations().any(|c| !c.came.is_empty()) {
            telling.events.push(Event::Told);
        }
        if let Some(conversation) = app.current() {
            let drawn = self.tell_timeline(app, conversation, lines);
            telling.events.push(Event::Drawn(drawn));
        }
    }

    fn tell_link(&mut self, app: &App, lines: &mut Vec<String>) {
        let link = words::link(&app.link);
        if link.is_some() && link != self.link {
            lines.extend(link.clone());
            self.link = link;
        }
    }

    fn tell_place(&mut self, app: &App, lines: &mut Vec<String>) {
        let Some(conversation) = app.current() else { return };
        let id = conversation.summary.id;
        if self.here != Some(id) {
            lines.push(words::place(conversation));
            if self.here.is_none() {
                lines.extend(app.elsewhere());
            }
            self.here = Some(id);
            self.wants_older = false;
            self.gone_to = None;
            self.standing = None;
            self.purpose = None;
            self.draft.clear();
        }
        let standing = question(&conversation.summary);
        if standing != self.standing {
            lines.extend(standing.clone());
            self.standing = standing;
        }
    }

    /// What the person is about to do: the next line may mean something else than usual.
    fn tell_intent(&mut self, app: &App, lines: &mut Vec<String>) {
        let deletion = app.deletion.as_ref();
        if let Some(deletion) = deletion.filter(|it| self.deletion != Some(it.due)) {
            let words = words::excerpt(&deletion.words);
            lines.push(format!("deleting in a few seconds, /undo keeps it: {words}"));
        }
        self.deletion = deletion.map(|deletion| deletion.due);
        let Some(conversation) = app.current() else { return };
        if conversation.purpose != self.purpose {
            lines.push(match &conversation.purpose {
                Some(Purpose::Edit { words, .. }) => {
                    format!("the next line takes the place of this, an empty one keeps it: {words}")
                }
                Some(Purpose::Reply { author, words, .. }) => {
                    let words = words::excerpt(words);
                    format!("the next line answers {author}: {words}")
                }
                None => "the next line is a message of its own again".to_owned(),
            });
            self.purpose.clone_from(&conversation.purpose);
        }
        let draft = conversation.composer.text();
        if conversation.purpose.is_none() && draft != self.draft {
            if !draft.is_empty() {
                lines.push(format!("not sent, and gone with your next line: {draft}"));
            }
            self.draft = draft;
        }
    }

    /// How far own messages have got.
    fn tell_own(&mut self, app: &App, lines: &mut Vec<String>) {
        let is_live = app.link.state == LinkState::Live;
        let is_alone = app.outbox().count() == 1;
        for pending in app.outbox() {
            let own = self.own.entry(pending.local).or_default();
            own.id = pending.id.or(own.id);
            own.what = words::own(&pending.saying).0;
            let state = words::pending_state(&pending.state);
            // With a relay, that takes a moment not worth a word.
            let is_moment = is_live && pending.state == PendingState::Queued;
            if !is_moment && own.told != state {
                lines.push(own_line(pending, is_alone, &state));
                own.told = state;
            }
        }
        while self.own.len() > OWN_MAX {
            self.own.pop_first();
        }
    }

    /// One line for each other conversation in which something happened.
    fn tell_elsewhere(&mut self, app: &App, lines: &mut Vec<String>) {
        let is_first = self.known.is_empty();
        for conversation in app.conversations() {
            let summary = &conversation.summary;
            let title = summary.title();
            let is_new = self.known.insert(summary.id);
            if self.here == Some(summary.id) {
                continue;
            }
            match summary.standing {
                Standing::Invited if is_new && !is_first => {
                    lines.push(format!("{title} asks; /switch {title} goes there"));
                }
                Standing::Joined if !conversation.came.is_empty() => {
                    lines.push(words::came(conversation));
                }
                _ => {}
            }
        }
    }

    /// What is new on the timeline, or what was asked for.
    fn tell_timeline(
        &mut self,
        app: &App,
        conversation: &Conversation,
        lines: &mut Vec<String>,
    ) -> Drawn {
        let timeline = &conversation.timeline;
        let id = conversation.summary.id;
        self.wants_older |= conversation.scroll_wish < 0;
        let mut stretch = self.stretches.get(&id).copied();
        let mut wants_page = false;
        if let (Some(newest), false) = (timeline.newest(), conversation.is_loading) {
            let mut told = match stretch {
                None => tell_first(app, conversation, lines, newest),
                Some(told) => self.tell_new(app, conversation, lines, told),
            };
            if let Some(from) = self.going_to(conversation) {
                lines.push(format!("from record {from} on:"));
                tell_page(app, conversation, lines, &mut told, |key| key >= ItemKey::Entry(from));
                told.oldest = from;
            } else if self.wants_older {
                let is_there = tell_older(app, conversation, lines, &mut told);
                wants_page = !is_there && !timeline.reaches_oldest;
                if !is_there && !wants_page {
                    lines.push("there is nothing older".to_owned());
                }
                self.wants_older = wants_page;
            }
            stretch = Some(told);
        }
        if let Some(stretch) = stretch {
            self.stretches.insert(id, stretch);
        }
        // After going far back, the window stands elsewhere until the next line.
        let is_live = stretch.is_none_or(|stretch| timeline.newest() >= Some(stretch.newest));
        Drawn {
            conversation: id,
            rows: u16::try_from(PAGE_ITEMS).unwrap_or(u16::MAX),
            scroll: if is_live { Scroll::Live } else { conversation.scroll },
            top: None,
            seen: stretch.filter(|_| is_live).map(|stretch| stretch.newest),
            reaches_oldest: wants_page,
            reaches_newest: is_live && stretch.is_some(),
            spots: Spots::default(),
            code: Vec::new(),
        }
    }

    /// The record that the person has just gone to, if it is there.
    fn going_to(&mut self, conversation: &Conversation) -> Option<Seq> {
        let gone_to = match conversation.scroll {
            Scroll::At { item: ItemKey::Entry(seq), .. } => Some(seq),
            Scroll::At { .. } | Scroll::Live => None,
        };
        let is_news = gone_to != self.gone_to;
        self.gone_to = gone_to;
        gone_to.filter(|_| is_news)
    }

    /// Everything above what was told already.
    fn tell_new(
        &mut self,
        app: &App,
        conversation: &Conversation,
        lines: &mut Vec<String>,
        mut told: Stretch,
    ) -> Stretch {
        let timeline = &conversation.timeline;
        let entries = timeline.entries();
        let is_new = |entry: &&Entry| entry.seq > told.newest;
        // Who just came is told by name, as soon as the relay has said it.
        let unnamed = entries.iter().rev().take_while(is_new).take_while(|it| is_unnamed(it));
        let until = entries.len() - unnamed.count();
        let count = entries.iter().take(until).rev().take_while(is_new).count();
        let from = until - count;
        let skipped = count.saturating_sub(NEW_ITEMS_MAX);
        let begins = timeline.oldest().is_some_and(|oldest| oldest > told.newest.next());
        if skipped > 0 || (begins && count > 0) {
            lines.push("messages before these are left out; /older tells them".to_owned());
            told.oldest = entries[from + skipped].seq;
        }
        for entry in entries.iter().take(until).skip(from + skipped) {
            told.newest = entry.seq;
            let known = self.own.values_mut().find(|own| own.id.is_some() && own.id == entry.id);
            if let Some(own) = known {
                // It was written here: that it has arrived is all there is to tell.
                if own.told != words::SENT {
                    words::SENT.clone_into(&mut own.told);
                    lines.push(format!("your {}: {}", own.what, words::SENT));
                }
            } else if entry.is_amend() {
                lines.extend(words::amend(app, timeline, entry).unwrap_or_default());
            } else {
                tell_item(app, conversation, lines, &mut told, &Item::Entry(entry));
            }
        }
        told
    }
}

/// What is said once and then over; `false` if there is nothing.
fn tell_once(app: &App, lines: &mut Vec<String>) -> bool {
    let before = lines.len();
    if let Some(toast) = &app.toast {
        lines.push(match toast.mood {
            Mood::Info => toast.text.clone(),
            Mood::Error => format!("error: {}", toast.text),
        });
    }
    match &app.overlay {
        None => {}
        Some(Overlay::Help(_)) => {
            let command = |it: &slash::Command| format!("{}: {}", it.usage(), it.help);
            lines.extend(slash::COMMANDS.iter().map(command));
        }
        Some(Overlay::List { title, lines: listed, .. }) => {
            lines.push(title.clone());
            lines.extend(listed.iter().cloned());
        }
        // The answer is still to come.
        Some(Overlay::Pick(picker)) if picker.note == find::LOOKING => {}
        Some(Overlay::Pick(picker)) => {
            let found = picker.all();
            lines.push(match found.len() {
                1 => format!("{}: 1 found", picker.title),
                count => format!("{}: {count} found", picker.title),
            });
            lines.extend(Some(picker.note.clone()).filter(|note| !note.is_empty()));
            lines.extend(found.iter().map(|(text, pick)| match pick {
                Pick::Conversation(_) => (*text).to_owned(),
                Pick::Record(_, seq) => format!("{text} (record {seq})"),
            }));
        }
    }
    if let Some(here) = app.current().filter(|c| app.lists_members && !c.people.is_empty()) {
        lines.push(format!("{} in {}:", here.people.len(), here.summary.title()));
        let member = |it| words::member(it, app.online.contains(&it.account));
        lines.extend(here.people.iter().map(member));
    }
    lines.len() > before
}

/// Whether it is about somebody whose name is still to come.
fn is_unnamed(entry: &Entry) -> bool {
    matches!(&entry.said, Said::Notice(notice) if notice.subject == SOMEBODY)
}

fn own_line(pending: &Pending, is_alone: bool, state: &str) -> String {
    let (what, words) = words::own(&pending.saying);
    if is_alone || words.is_empty() {
        format!("your {what}: {state}")
    } else {
        format!("your {what} \u{201c}{words}\u{201d}: {state}")
    }
}

/// The end of a conversation that nothing was told of: all that is unread, or the last page.
fn tell_first(
    app: &App,
    conversation: &Conversation,
    lines: &mut Vec<String>,
    newest: Seq,
) -> Stretch {
    let all = items(app, conversation);
    let all: Vec<_> = all.iter().filter(|item| item.last_record().is_some()).collect();
    let is_unread = |item: &&&Item<'_>| item.last_record() >= conversation.unread_from;
    let unread = match conversation.unread_from {
        Some(_) => all.iter().rev().take_while(is_unread).count(),
        None => 0,
    };
    let count = unread.clamp(PAGE_ITEMS, NEW_ITEMS_MAX).min(all.len());
    let mut told = Stretch { oldest: newest, newest, date: None };
    for (index, item) in all.iter().enumerate().skip(all.len() - count) {
        if unread > 0 && index == all.len() - unread {
            lines.push("new messages:".to_owned());
        }
        tell_item(app, conversation, lines, &mut told, item);
    }
    let first = all.get(all.len() - count).and_then(|item| item.first_record());
    told.oldest = first.unwrap_or(newest);
    told
}

/// The page before what was told; `false` if nothing of it is in memory.
fn tell_older(
    app: &App,
    conversation: &Conversation,
    lines: &mut Vec<String>,
    told: &mut Stretch,
) -> bool {
    let oldest = told.oldest;
    let all = items(app, conversation);
    let before = all.iter().take_while(|item| item.last_record().is_some_and(|seq| seq < oldest));
    let before: Vec<_> = before.collect();
    let page = &before[before.len().saturating_sub(PAGE_ITEMS)..];
    told.date = None;
    for item in page {
        tell_item(app, conversation, lines, told, item);
    }
    told.date = None;
    told.oldest = page.first().and_then(|item| item.first_record()).unwrap_or(oldest);
    !page.is_empty()
}

/// A page from the first item on that fits.
fn tell_page(
    app: &App,
    conversation: &Conversation,
    lines: &mut Vec<String>,
    told: &mut Stretch,
    fits: impl Fn(ItemKey) -> bool,
) {
    told.date = None;
    let all = items(app, conversation);
    for item in all.iter().skip_while(|item| !fits(item.key())).take(PAGE_ITEMS) {
        tell_item(app, conversation, lines, told, item);
    }
    told.date = None;
}

/// One item, and its day if that is another one than before.
fn tell_item(
    app: &App,
    conversation: &Conversation,
    lines: &mut Vec<String>,
    told: &mut Stretch,
    item: &Item<'_>,
) {
    let date = words::zoned(item.time(), &app.zone).date();
    if told.date != Some(date) {
        told.date = Some(date);
        lines.push(date.strftime("%A, %-d %B %Y").to_string());
    }
    lines.extend(words::item(app, conversation, item));
}
