//! Finding one's way: what the pickers list, and what picking does.

use crossterm::event::KeyEvent;

use jiff::Timestamp;
use protocol::time::WallTime;

use super::{
    App, Overlay,
    conversation::{Conversation, Standing},
    effect::Effect,
    event::{Finding, Findings},
    jump,
    picker::{Choice, Outcome, Pick, Picker, Purpose},
    update,
};
use crate::search::Query;

/// What a list says until its answer comes.
pub(crate) const LOOKING: &str = "looking…";
/// Most characters of a message that are shown.
const EXCERPT_CHARS_MAX: usize = 250;
/// Of them, before the first match.
const EXCERPT_CHARS_BEFORE: usize = 40;

/// Opens the quick switcher: what has something unread first, then what was active last.
pub(super) fn switch(app: &mut App) -> Vec<Effect> {
    let mut listed = app.listed();
    listed.retain(|conversation| Some(conversation.summary.id) != app.current);
    // Stable: what nobody has looked at yet stays in the order of the list.
    listed.sort_by_key(|c| (c.summary.unread == 0, std::cmp::Reverse(c.active())));
    let current = app.current().into_iter();
    let choices = listed.into_iter().chain(current).map(conversation_choice).collect();
    app.overlay = Some(Overlay::Pick(Box::new(Picker::new(Purpose::Switch, "go to", choices))));
    Vec::new()
}

fn conversation_choice(conversation: &Conversation) -> Choice {
    let summary = &conversation.summary;
    let note = match (summary.standing, summary.unread) {
        (Standing::Invited, _) => "asks".to_owned(),
        (_, 0) => String::new(),
        (_, unread) => format!("{unread} unread"),
    };
    Choice::new(Pick::Conversation(summary.id), "", &summary.title(), &note)
}

/// Opens the search over all conversations, with this line to begin with.
pub(super) fn search(app: &mut App, line: &str) -> Vec<Effect> {
    let mut picker = Picker::new(Purpose::Search, "search", Vec::new());
    picker.set_query(line);
    app.overlay = Some(Overlay::Pick(Box::new(picker)));
    ask(app)
}

/// Opens the list of messages that name this account.
pub(super) fn mentions(app: &mut App) -> Vec<Effect> {
    let mut picker = Picker::new(Purpose::Mentions, "mentions", Vec::new());
    LOOKING.clone_into(&mut picker.note);
    app.overlay = Some(Overlay::Pick(Box::new(picker)));
    vec![Effect::Search(Purpose::Mentions, Query::mentions(&app.link.name))]
}

/// Asks which messages of earlier runs name this account, if anything is unread.
pub(super) fn count_mentions(app: &App) -> Vec<Effect> {
    let is_unread = app.conversations.values().any(|conversation| conversation.summary.unread > 0);
    let can_ask = is_unread && !app.link.name.is_empty();
    let ask = can_ask.then(|| Effect::Search(Purpose::Count, Query::mentions(&app.link.name)));
    ask.into_iter().collect()
}

/// Counts those of them that are unread.
fn on_counted(app: &mut App, findings: &Findings) {
    for message in &findings.messages {
        if let Some(conversation) = app.conversations.get_mut(&message.conversation) {
            conversation.note_mention(message.seq);
        }
    }
}

/// Takes a key for the open picker; `None` if there is none.
pub(super) fn on_key(app: &mut App, key: KeyEvent) -> Option<Vec<Effect>> {
    let Some(Overlay::Pick(picker)) = &mut app.overlay else { return None };
    Some(match picker.on_key(key) {
        Outcome::Stay => Vec::new(),
        Outcome::Changed => ask(app),
        Outcome::Close => {
            app.overlay = None;
            Vec::new()
        }
        Outcome::Picked(pick) => {
            app.overlay = None;
            match pick {
                Pick::Conversation(id) => update::show(app, id),
                Pick::Record(id, seq) => jump::to(app, id, seq),
            }
        }
    })
}

/// Takes pasted text for the open picker; `None` if there is none.
pub(super) fn on_paste(app: &mut App, text: &str) -> Option<Vec<Effect>> {
    let Some(Overlay::Pick(picker)) = &mut app.overlay else { return None };
    picker.write(text);
    Some(ask(app))
}

/// Asks for what the line of an open search says. One search is under way at a time: what is written
/// meanwhile is asked for when its answer comes, so that typing never outruns the disk.
fn ask(app: &mut App) -> Vec<Effect> {
    let Some(Overlay::Pick(picker)) = &mut app.overlay else { return Vec::new() };
    if picker.purpose != Purpose::Search || app.asked.is_some() {
        return Vec::new();
    }
    match Query::parse(picker.query(), app.now, &app.zone) {
        Ok(query) => {
            LOOKING.clone_into(&mut picker.note);
            app.asked = Some(picker.query().to_owned());
            vec![Effect::Search(Purpose::Search, query)]
        }
        Err(why) => {
            picker.note = why.to_string();
            picker.set_choices(Vec::new());
            Vec::new()
        }
    }
}

/// Shows what was found, if anybody still wants it.
pub(super) fn on_found(
    app: &mut App,
    purpose: Purpose,
    found: Result<Findings, String>,
) -> Vec<Effect> {
    if purpose == Purpose::Count {
        // A list that nobody opened has nobody to tell why it is not there.
        on_counted(app, &found.unwrap_or_default());
        return Vec::new();
    }
    let asked = if purpose == Purpose::Search { app.asked.take() } else { None };
    let is_open = matches!(&app.overlay, Some(Overlay::Pick(picker)) if picker.purpose == purpose);
    if !is_open {
        return Vec::new();
    }
    let (choices, note) = match found {
        Ok(findings) => {
            let words = asked
                .as_deref()
                .and_then(|line| Query::parse(line, app.now, &app.zone).ok())
                .map_or_else(
                    || vec![app.link.name.clone()],
                    |query| query.terms.into_iter().map(|term| term.text).collect(),
                );
            let messages = findings.messages.iter();
            let choices = messages.filter_map(|message| choice(app, message, &words)).collect();
            (choices, limits(app, &findings))
        }
        Err(why) => (Vec::new(), why),
    };
    let Some(Overlay::Pick(picker)) = &mut app.overlay else { return Vec::new() };
    picker.note = note;
    picker.set_choices(choices);
    match asked {
        Some(asked) if asked != picker.query() => ask(app),
        Some(_) | None => Vec::new(),
    }
}

/// A message of a conversation that is known here.
fn choice(app: &App, message: &Finding, words: &[String]) -> Option<Choice> {
    let title = app.conversation(message.conversation)?.summary.title();
    let time = written(app, message.time);
    let lead = format!("{title} {time} {}: ", message.sender);
    let pick = Pick::Record(message.conversation, message.seq);
    Some(Choice::new(pick, &lead, &excerpt(&message.text, words), "").marked(words))
}

/// A long text from a little before the first word that was searched for.
fn excerpt(text: &str, words: &[String]) -> String {
    if text.chars().count() <= EXCERPT_CHARS_MAX {
        return text.to_owned();
    }
    let folded = text.to_lowercase();
    let found = words.iter().filter_map(|word| folded.find(&word.to_lowercase())).min();
    let before = found.map_or(0, |at| folded[..at].chars().count());
    let start = before.saturating_sub(EXCERPT_CHARS_BEFORE);
    let excerpt: String = text.chars().skip(start).take(EXCERPT_CHARS_MAX).collect();
    if start > 0 { format!("…{excerpt}") } else { excerpt }
}

/// The hour of today, or the day and the hour.
fn written(app: &App, time: WallTime) -> String {
    let zoned = |time: WallTime| {
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        // A time outside the calendar comes from a broken clock: it is shown as the epoch.
        let timestamp = Timestamp::from_millisecond(millis).unwrap_or_default();
        timestamp.to_zoned(app.zone.clone())
    };
    let (time, now) = (zoned(time), zoned(app.now));
    let format = if time.date() == now.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    time.strftime(format).to_string()
}

/// How complete an answer is; empty if it is.
fn limits(app: &App, findings: &Findings) -> String {
    let back_to = findings.back_to.map(|time| format!("searched back to {}", written(app, time)));
    let unindexed = (findings.unindexed > 0)
        .then(|| format!("{} records are not in the index yet", findings.unindexed));
    back_to.into_iter().chain(unindexed).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use protocol::ids::Seq;

    use super::*;
    use crate::app::{
        conversation::Summary,
        event::{Data, Event, Page, Place},
        fixture::{app, at, direct, id, load, press, room, text},
        update,
    };

    fn listed(app: &App) -> Vec<&str> {
        let Some(Overlay::Pick(picker)) = &app.overlay else { panic!("a picker is open") };
        picker.shown(0).map(|shown| shown.text).collect()
    }

    #[test]
    fn what_named_me_before_the_start_is_counted_unless_it_was_read() {
        let mut app = app(vec![]);
        let read = Summary { head: Seq(9), read: Seq(4), unread: 5, ..room(2, "lab") };
        update(&mut app, Event::Data(Data::Conversations(vec![room(1, "lobby"), read])));
        let page = Page {
            conversation: id(1),
            place: Place::Newest,
            entries: Vec::new(),
            amends: Vec::new(),
            is_oldest: true,
        };
        let effects = update(&mut app, Event::Data(Data::Page(page)));
        let ask = Effect::Search(Purpose::Count, Query::mentions("ada"));
        assert!(effects.contains(&ask), "{effects:?}");
        let finding = |seq| Finding {
            conversation: id(2),
            seq: Seq(seq),
            time: WallTime::default(),
            sender: "bea".to_owned(),
            text: "ada?".to_owned(),
        };
        let found = Findings { messages: vec![finding(7), finding(4)], ..Findings::default() };
        update(&mut app, Event::Data(Data::Found(Purpose::Count, Ok(found))));
        let counted: Vec<_> =
            app.conversation(id(2)).into_iter().flat_map(|c| &c.mentions).collect();
        assert_eq!(counted, [&Seq(7)]);
    }

    #[test]
    fn the_switcher_shows_unread_then_active_and_the_current_one_last() {
        let unread = Summary { unread: 2, head: Seq(2), ..room(4, "zoo") };
        let mut app = app(vec![room(1, "lobby"), room(2, "a"), direct(3, "bea"), unread]);
        // The first of the list is on the screen.
        press(&mut app, "<M-2>");
        load(&mut app, id(3), vec![text(1, "bea", "hello")]);
        press(&mut app, "<C-g>");
        assert_eq!(listed(&app), ["#zoo", "@bea", "#a", "#lobby"]);
    }

    #[test]
    fn news_make_a_conversation_active_that_nobody_has_looked_at() {
        let mut app = app(vec![room(1, "lobby"), room(2, "a"), room(3, "b")]);
        press(&mut app, "<M-3>");
        let summary = Summary { head: Seq(3), active: at(9), ..room(3, "b") };
        update(&mut app, Event::Data(Data::Conversation(Box::new(summary))));
        press(&mut app, "<C-g>");
        assert_eq!(listed(&app), ["#b", "#a", "#lobby"]);
    }

    #[test]
    fn enter_goes_there_and_escape_stays() {
        let mut app = app(vec![room(1, "lobby"), room(2, "ops")]);
        press(&mut app, "draft<C-g>op<enter>");
        assert_eq!(app.current().expect("a conversation").summary.id, id(2));
        assert_eq!(app.overlay, None);
        press(&mut app, "<C-g>lob<esc>");
        assert_eq!(app.current().expect("a conversation").summary.id, id(2));
        press(&mut app, "<C-g>");
        assert_eq!(update(&mut app, Event::Paste("lob\nby".into())), []);
        assert_eq!(listed(&app), ["#lobby"]);
        press(&mut app, "<enter>");
        assert_eq!(app.current().expect("a conversation").composer.text(), "draft");
    }

    fn finding(conversation: u8, seq: u64, text: &str) -> Finding {
        let (conversation, seq, sender) = (id(conversation), Seq(seq), "bea".to_owned());
        Finding { conversation, seq, time: at(0), sender, text: text.into() }
    }

    fn found(app: &mut App, purpose: Purpose, messages: Vec<Finding>) -> Vec<Effect> {
        let findings = Findings { messages, ..Findings::default() };
        update(app, Event::Data(Data::Found(purpose, Ok(findings))))
    }

    fn asked(effects: &[Effect]) -> Vec<String> {
        let words = |effect: &Effect| match effect {
            Effect::Search(_, query) => Some(query.terms[0].text.clone()),
            _ => None,
        };
        effects.iter().filter_map(words).collect()
    }

    #[test]
    fn one_search_is_under_way_at_a_time_and_the_last_line_is_the_one_that_counts() {
        let mut app = app(vec![room(1, "lobby")]);
        assert_eq!(asked(&press(&mut app, "<M-/>rep")), ["r"]);
        assert_eq!(asked(&press(&mut app, "ort")), [""; 0]);
        assert_eq!(asked(&found(&mut app, Purpose::Search, Vec::new())), ["report"]);
        assert_eq!(
            found(&mut app, Purpose::Search, vec![finding(1, 7, "the Report"), finding(9, 1, "x")]),
            []
        );
        assert_eq!(listed(&app), ["#lobby 14:00 bea: the Report"], "what was left is not listed");
        let effects = press(&mut app, "<enter>");
        assert!(effects.contains(&Effect::Load(id(1), Place::Around(Seq(7)))));
        assert_eq!(app.overlay, None);
    }

    #[test]
    fn a_line_that_is_no_search_says_why_and_an_answer_to_nobody_is_dropped() {
        let mut app = app(vec![room(1, "lobby")]);
        assert_eq!(asked(&press(&mut app, "<M-/>before:so")), ["b"]);
        press(&mut app, "<esc>");
        assert_eq!(found(&mut app, Purpose::Search, vec![finding(1, 7, "x")]), []);
        assert_eq!(app.overlay, None);
        assert_eq!(asked(&press(&mut app, "/search before:soon<enter>")), [""; 0]);
        let Some(Overlay::Pick(picker)) = &app.overlay else { panic!("a picker is open") };
        assert!(picker.note.contains("soon is no date"), "{}", picker.note);
    }

    #[test]
    fn mentions_are_of_the_own_name_by_others() {
        let mut app = app(vec![room(1, "lobby")]);
        let effects = press(&mut app, "<M-m>");
        assert_eq!(effects, [Effect::Search(Purpose::Mentions, Query::mentions("ada"))]);
        found(
            &mut app,
            Purpose::Mentions,
            vec![finding(1, 7, "ada: hi"), finding(1, 5, "no, ada")],
        );
        press(&mut app, "no");
        assert_eq!(listed(&app), ["#lobby 14:00 bea: no, ada"]);
    }

    #[test]
    fn long_messages_are_shown_from_a_little_before_the_match() {
        let text = format!("{}needle{}", "ä".repeat(300), "b".repeat(300));
        let shown = excerpt(&text, &["NEEDLE".into()]);
        assert!(shown.starts_with(&format!("…{}needle", "ä".repeat(EXCERPT_CHARS_BEFORE))));
        assert_eq!(shown.chars().count(), EXCERPT_CHARS_MAX + 1);
    }
}
