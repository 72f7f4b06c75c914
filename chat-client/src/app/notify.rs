//! What notifies a person who looks elsewhere: `notify.level` and `/notify`, quiet hours. How the
//! terminal is asked to is the terminal's business.

use jiff::Timestamp;
use protocol::{ids::ConversationId, time::WallTime};

use super::{
    App, Multiplexer, Way,
    conversation::{Conversation, Sort},
    effect::Effect,
    event::Focus,
    mention::is_mentioned,
    timeline::Entry,
};
use crate::{
    output::to_json,
    settings::value::{Level, Value as _, Via},
};

/// Most of what was said that the hook is told: a notification is short.
const HOOK_TEXT_CHARS_MAX: usize = 500;
/// From one notification of a conversation to the next: who is called does not need to be called
/// again at once.
const PAUSE_MILLIS: u64 = 5_000;
/// What `/notify` tries, besides the levels.
const TEST: &str = "test";

/// What a person is told. Its texts are foreign and of any length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Where it happened.
    pub conversation: ConversationId,
    /// Who, and where.
    pub title: String,
    /// What was said, if that may be seen.
    pub body: String,
}

/// Notifies of new records of a conversation, if anything among them is worth it: somebody else's
/// words that no device of this account has read. Once, however many there are.
pub(super) fn call_for(app: &mut App, id: ConversationId, entries: &[Entry]) -> Vec<Effect> {
    let Some(conversation) = app.conversation(id).filter(|c| may_call(app, c)) else {
        return Vec::new();
    };
    let summary = &conversation.summary;
    let title = summary.title();
    let level = app.preferences.level(&title);
    let calls = |entry: &&Entry| {
        let names_me = entry.words().is_some_and(|words| is_mentioned(words, &app.link.name));
        match level {
            Level::All => true,
            Level::Mentions => summary.sort == Sort::Direct || names_me,
            Level::Off => false,
        }
    };
    let mut new = entries
        .iter()
        .filter(|entry| entry.is_speech() && !entry.sender.is_me() && entry.seq > summary.read);
    let Some(entry) = new.find(calls) else { return Vec::new() };
    let hook = &app.preferences.values.notify.hook;
    let told = (!hook.is_empty()).then(|| Effect::Hook(hook.clone(), told(app, &title, entry)));
    let words = entry.words().filter(|_| app.preferences.values.notify.show_text);
    let notification = Notification {
        conversation: id,
        title: match summary.sort {
            Sort::Room => format!("{} in {title}", entry.sender.name()),
            Sort::Direct => title,
        },
        body: words.unwrap_or("a new message").to_owned(),
    };
    told.into_iter().chain(call(app, notification)).collect()
}

/// Notifies of a stranger who writes: their words are shown only when they are answered.
pub(super) fn call_for_stranger(app: &mut App, id: ConversationId) -> Vec<Effect> {
    let Some(conversation) = app.conversation(id).filter(|c| may_call(app, c)) else {
        return Vec::new();
    };
    let title = conversation.summary.title();
    if app.preferences.level(&title) == Level::Off {
        return Vec::new();
    }
    let body = "wants to write to you".to_owned();
    call(app, Notification { conversation: id, title, body })
}

fn may_call(app: &App, conversation: &Conversation) -> bool {
    let is_over = |called: WallTime| app.now.as_millis() >= called.as_millis() + PAUSE_MILLIS;
    app.focus == Focus::Lost && !is_quiet(app) && conversation.called.is_none_or(is_over)
}

fn call(app: &mut App, notification: Notification) -> Vec<Effect> {
    let now = app.now;
    if let Some(conversation) = app.conversations.get_mut(&notification.conversation) {
        conversation.called = Some(now);
    }
    way(app).map(|way| Effect::Notify(way, notification)).into_iter().collect()
}

/// How the terminal is to notify, if at all.
fn way(app: &App) -> Option<Way> {
    match app.preferences.values.notify.via {
        Via::Auto => Some(app.abilities.notifies_by),
        Via::Osc9 => Some(Way::Osc9),
        Via::Osc777 => Some(Way::Osc777),
        Via::Osc99 => Some(Way::Osc99),
        Via::Bell => Some(Way::Bell),
        Via::Off => None,
    }
}

/// What the hook reads.
fn told(app: &App, title: &str, entry: &Entry) -> String {
    let mut told = serde_json::json!({
        "v": 1,
        "conversation": title,
        "seq": entry.seq.0,
        "sender": entry.sender.name(),
        "time": entry.time.as_millis(),
    });
    if app.preferences.values.notify.show_text {
        let words = entry.words().unwrap_or_default();
        told["text"] = words.chars().take(HOOK_TEXT_CHARS_MAX).collect::<String>().into();
    }
    // The hook may print it to a terminal.
    format!("{}\n", to_json(&told))
}

/// `/notify`: says or decides what calls from the conversation on the screen, which is kept at once;
/// or tries whether it can be seen or heard.
pub(super) fn perform(app: &mut App, what: &str) -> Result<Vec<Effect>, String> {
    let summary = &app.current().ok_or("open a conversation first")?.summary;
    let (id, title) = (summary.id, summary.title());
    match what {
        "" => {
            let level = app.preferences.level(&title).word();
            app.say(format!("{title} calls you for: {level} ({}, or {TEST})", Level::EXPECTED));
            Ok(Vec::new())
        }
        TEST => test(app, id),
        level => {
            let level = Level::parse(&[level.to_owned()])?;
            let change = app.preferences.set_level(&title, level);
            app.say(format!("{title} calls you for: {}", level.word()));
            Ok(vec![Effect::Save(vec![change])])
        }
    }
}

/// Notifies now, whoever looks where, and says by which way.
fn test(app: &mut App, conversation: ConversationId) -> Result<Vec<Effect>, String> {
    let way = way(app).ok_or("notify.via is off: nothing notifies by the terminal")?;
    let by = match way {
        Way::Bell => "the bell",
        Way::Osc9 => "OSC 9",
        Way::Osc777 => "OSC 777",
        Way::Osc99 => "OSC 99",
    };
    let through = match app.abilities.multiplexer.filter(|_| way != Way::Bell) {
        None => "",
        Some(Multiplexer::Tmux) => " through tmux (its allow-passthrough has to be on) and a bell",
        Some(Multiplexer::Screen) => " through screen and a bell",
    };
    app.say(format!("you were notified by {by}{through}; notify.via takes another way"));
    let (title, body) = ("chat".to_owned(), "this is how you are notified".to_owned());
    Ok(vec![Effect::Notify(way, Notification { conversation, title, body })])
}

fn is_quiet(app: &App) -> bool {
    let millis = i64::try_from(app.now.as_millis()).unwrap_or(i64::MAX);
    let now = Timestamp::from_millisecond(millis).unwrap_or_default();
    app.preferences.values.notify.quiet_hours.contains(now.to_zoned(app.zone.clone()).time())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{
        event::{Data, Event},
        fixture::{app, direct, id, press, room, text},
        update,
    };

    fn away() -> App {
        let mut app = app(vec![room(1, "lobby"), direct(2, "bea")]);
        update(&mut app, Event::Focus(Focus::Lost));
        app
    }

    /// What a message, long after the one before it, does.
    fn said(app: &mut App, conversation: u8, who: &str, words: &str) -> Vec<Effect> {
        let later = WallTime::from_millis(app.now.as_millis() + PAUSE_MILLIS);
        update(app, Event::Clock(later));
        update(app, Event::Data(Data::Appended(id(conversation), vec![text(9, who, words)])))
    }

    fn notified(effects: Vec<Effect>) -> Option<(Way, String, String)> {
        effects.into_iter().find_map(|effect| match effect {
            Effect::Notify(way, Notification { title, body, .. }) => Some((way, title, body)),
            _ => None,
        })
    }

    fn rings(app: &mut App, conversation: u8, who: &str, words: &str) -> bool {
        notified(said(app, conversation, who, words)).is_some()
    }

    fn toast(app: &App) -> &str {
        app.toast.as_ref().map_or("", |toast| toast.text.as_str())
    }

    #[test]
    fn direct_words_and_the_own_name_ring_for_who_looks_elsewhere() {
        let mut app = away();
        assert!(!rings(&mut app, 1, "bea", "hello"));
        assert!(rings(&mut app, 1, "bea", "hello @Ada"));
        assert!(!rings(&mut app, 1, "ada", "ada here"), "that was me, elsewhere");
        assert!(rings(&mut app, 2, "bea", "hello"));
        update(&mut app, Event::Focus(Focus::Gained));
        assert!(!rings(&mut app, 2, "bea", "hello"));
    }

    #[test]
    fn a_notification_says_who_and_where_and_what_if_that_may_be_seen() {
        let mut app = away();
        let told = |title: &str, body: &str| Some((Way::Bell, title.to_owned(), body.to_owned()));
        assert_eq!(notified(said(&mut app, 1, "bea", "ada?")), told("bea in #lobby", "ada?"));
        assert_eq!(notified(said(&mut app, 2, "bea", "hello")), told("@bea", "hello"));
        app.preferences.set("notify.show_text", "off").expect("a flag");
        assert_eq!(notified(said(&mut app, 2, "bea", "hello")), told("@bea", "a new message"));
    }

    #[test]
    fn a_burst_calls_once_and_each_conversation_for_itself() {
        let mut app = away();
        assert!(rings(&mut app, 2, "bea", "hello"));
        let more: Vec<Entry> = (10..500).map(|seq| text(seq, "bea", "ada! ada!")).collect();
        for entry in more {
            assert_eq!(update(&mut app, Event::Data(Data::Appended(id(2), vec![entry]))), []);
        }
        let elsewhere = Data::Appended(id(1), vec![text(9, "bea", "ada")]);
        assert!(notified(update(&mut app, Event::Data(elsewhere))).is_some());
        let just_before = WallTime::from_millis(app.now.as_millis() + PAUSE_MILLIS - 1);
        update(&mut app, Event::Clock(just_before));
        let again = Data::Appended(id(2), vec![text(501, "bea", "hello?")]);
        assert_eq!(update(&mut app, Event::Data(again)), []);
        assert!(rings(&mut app, 2, "bea", "hello?"));
    }

    #[test]
    fn the_way_can_be_chosen_and_tried() {
        let mut app = away();
        update(&mut app, Event::Focus(Focus::Gained));
        app.abilities.notifies_by = Way::Osc99;
        app.abilities.multiplexer = Some(Multiplexer::Tmux);
        let tried = |app: &mut App| notified(press(app, "/notify test<enter>")).map(|it| it.0);
        assert_eq!(tried(&mut app), Some(Way::Osc99));
        assert!(toast(&app).starts_with("you were notified by OSC 99 through tmux"));
        app.preferences.set("notify.via", "bell").expect("a way");
        assert_eq!(tried(&mut app), Some(Way::Bell));
        assert!(toast(&app).starts_with("you were notified by the bell;"));
        app.preferences.set("notify.via", "off").expect("a way");
        assert_eq!(tried(&mut app), None);
        assert!(toast(&app).starts_with("notify.via is off"));
        update(&mut app, Event::Focus(Focus::Lost));
        assert!(!rings(&mut app, 2, "bea", "hello"));
    }

    #[test]
    fn each_conversation_has_its_level_and_it_is_kept() {
        let mut app = away();
        let effects = press(&mut app, "/notify all<enter>");
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Save(changes)
            if changes[0].table == ["notify", "conversations"] && changes[0].key == "#lobby")));
        assert!(rings(&mut app, 1, "bea", "hello"));
        press(&mut app, "/notify off<enter>");
        assert!(!rings(&mut app, 1, "bea", "ada!"));
        press(&mut app, "/notify loud<enter>");
        assert_eq!(toast(&app), "all, mentions or off expected");
    }

    #[test]
    fn the_hook_is_told_what_was_said_if_it_may_know() {
        let mut app = away();
        let hook = |app: &mut App| {
            said(app, 2, "bea", "hel\"lo").into_iter().find_map(|effect| match effect {
                Effect::Hook(words, input) => Some((words, input)),
                _ => None,
            })
        };
        assert_eq!(hook(&mut app), None);
        app.preferences.set("notify.hook", "say -v").expect("a command");
        let (words, input) = hook(&mut app).expect("a hook");
        assert_eq!(words, ["say", "-v"]);
        assert!(input.contains(r#""text":"hel\"lo""#) && input.ends_with("}\n"), "{input}");
        app.preferences.set("notify.show_text", "off").expect("a flag");
        assert!(!hook(&mut app).expect("a hook").1.contains("lo"));
    }

    #[test]
    fn quiet_hours_are_quiet() {
        let mut app = away();
        // It is three in the afternoon.
        app.preferences.set("notify.quiet_hours", "14:00-16:00").expect("hours");
        assert!(!rings(&mut app, 2, "bea", "hello"));
        app.preferences.set("notify.quiet_hours", "16:00-14:00").expect("hours");
        assert!(rings(&mut app, 2, "bea", "hello"));
    }
}
