//! What calls a person who looks elsewhere: `notify.level` and `/notify`, quiet hours.

use jiff::Timestamp;

use super::{
    App,
    conversation::{Conversation, Sort},
    effect::Effect,
    event::Focus,
    mention::is_mentioned,
    timeline::Entry,
};
use crate::settings::value::{Level, Value as _};

/// Most of what was said that the hook is told: a notification is short.
const HOOK_TEXT_CHARS_MAX: usize = 500;

/// Calls for new records of a conversation, if anything among them is worth it: somebody else's
/// words that no device of this account has read. Once, however many there are.
pub(super) fn call_for(app: &App, conversation: &Conversation, entries: &[Entry]) -> Vec<Effect> {
    if app.focus == Focus::Gained || is_quiet(app) {
        return Vec::new();
    }
    let summary = &conversation.summary;
    let level = app.preferences.level(&summary.title());
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
    let told =
        (!hook.is_empty()).then(|| Effect::Hook(hook.clone(), told(app, &summary.title(), entry)));
    told.into_iter().chain([Effect::Bell]).collect()
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
    format!("{told}\n")
}

/// `/notify`: says or decides what calls from the conversation on the screen. It is kept at once.
pub(super) fn perform(app: &mut App, level: &str) -> Result<Vec<Effect>, String> {
    let title = app.current().ok_or("open a conversation first")?.summary.title();
    if level.is_empty() {
        let level = app.preferences.level(&title).word();
        app.say(format!("{title} calls you for: {level} ({})", Level::EXPECTED));
        return Ok(Vec::new());
    }
    let level = Level::parse(&[level.to_owned()])?;
    let change = app.preferences.set_level(&title, level);
    app.say(format!("{title} calls you for: {}", level.word()));
    Ok(vec![Effect::Save(vec![change])])
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

    fn rings(app: &mut App, conversation: u8, who: &str, words: &str) -> bool {
        let new = Data::Appended(id(conversation), vec![text(9, who, words)]);
        update(app, Event::Data(new)).contains(&Effect::Bell)
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
    fn each_conversation_has_its_level_and_it_is_kept() {
        let mut app = away();
        let effects = press(&mut app, "/notify all<enter>");
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Save(changes)
            if changes[0].table == ["notify", "conversations"] && changes[0].key == "#lobby")));
        assert!(rings(&mut app, 1, "bea", "hello"));
        press(&mut app, "/notify off<enter>");
        assert!(!rings(&mut app, 1, "bea", "ada!"));
        press(&mut app, "/notify loud<enter>");
        let toast = app.toast.as_ref().map(|toast| toast.text.as_str());
        assert_eq!(toast, Some("all, mentions or off expected"));
    }

    #[test]
    fn the_hook_is_told_what_was_said_if_it_may_know() {
        let mut app = away();
        let hook = |app: &mut App| {
            let new = Data::Appended(id(2), vec![text(9, "bea", "hel\"lo")]);
            let effects = update(app, Event::Data(new));
            effects.into_iter().find_map(|effect| match effect {
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
