//! What can be written next: commands, rooms, people, emoji. A list stands above the box while
//! there is something to choose from; [`turn`] puts one of it after another in place of the word.
//! Nothing is ever taken by sending.
//!
//! ```text
//!   /ki            the name of a command        offered while it is written
//!   /kick be       what the command acts on     offered while it is written
//!   #lo  @be       a room, a person             from one character on
//!   :tad           an emoji                     from two characters on
//!   be             a person                     on Tab only
//!   /net lo        a fault, and its values      offered while it is written
//! ```

use std::collections::BTreeSet;

use protocol::lab::words;

use super::{
    App,
    action::Turn,
    conversation::{Conversation, Sort},
    slash::{self, COMMANDS, Verb},
    timeline::Sender,
};

/// Most candidates of one list: whoever sees so many writes another character.
const CANDIDATES_MAX: usize = 50;
/// Characters of a shortcode before emoji are offered: `:)` is none.
const SHORTCODE_CHARS_MIN: usize = 2;
/// What `/net` can do beside faults: the word, what follows it, what it does.
const ORDERS: &[(&str, &str, &str)] = &[
    ("off", "", "no faults any more"),
    ("cut", "", "close the connection; it comes back by itself"),
    ("out", "FAULT", "only what we send"),
    ("in", "FAULT", "only what comes"),
    ("seed", "42", "what decides by chance, to have the same again"),
];
/// The faults of [`words::FAULTS`], likewise, the most wanted first.
const FAULT_WORDS: &[(&str, &str, &str)] = &[
    ("loss", "10%", "lose so many; also: 5% in bursts of 4, packets 3,17, none"),
    ("delay", "80ms", "everything takes so much longer"),
    ("jitter", "20ms", "up to so much more; also: 20ms normal"),
    ("blackout", "3s..5s", "nothing passes, counted from now"),
    ("profile", "wifi-bad", "a path that has a name"),
    ("rate", "500kbit", "a bottleneck"),
    ("queue", "100kB", "what may wait before the bottleneck"),
    ("reorder", "10% by 30ms", "so many are overtaken"),
    ("duplicate", "1%", "so many come twice"),
    ("corrupt", "1%", "so many come with a bit changed"),
    ("mtu", "1300", "what is larger is lost"),
];
/// How far back speakers are looked for, in each conversation.
const SPEAKERS_SEARCH_MAX: usize = 300;

/// A list to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The line up to the cursor for which the list is right.
    before: String,
    /// How many of its last characters are replaced.
    replaced: usize,
    /// What there is, the best first.
    pub candidates: Vec<Candidate>,
    /// Which of them stands in the box.
    pub chosen: Option<usize>,
}

/// Something that can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What the list shows.
    pub label: String,
    /// What it is, if that is not plain.
    pub about: &'static str,
    /// What is written.
    text: String,
}

/// Why a list is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Something was written: only what is surely meant is offered.
    Written,
    /// It was asked for.
    Asked,
}

/// What a word is the beginning of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A command with its slash.
    Command,
    /// A command without.
    CommandName,
    Room,
    Person,
    Conversation,
    Emoji,
    /// A word of `/net`, behind these.
    Net,
}

/// Offers what the word before the cursor may become. Called when that word has changed.
pub(super) fn offer(app: &mut App) {
    app.completion = list(app, Cause::Written);
}

/// Puts the next or the previous candidate in place of the word; the only one ends the choice.
pub(super) fn turn(app: &mut App, turn: Turn) {
    let before = app.current().and_then(|c| c.composer.before_cursor()).map(|(before, _)| before);
    let fresh = app.completion.take().filter(|known| Some(&known.before) == before.as_ref());
    let Some(mut completion) = fresh.or_else(|| list(app, Cause::Asked)) else { return };
    let Some(conversation) = app.current_mut() else { return };
    let count = completion.candidates.len();
    let next = match (turn, completion.chosen) {
        (Turn::Next, None) => 0,
        (Turn::Next, Some(chosen)) => (chosen + 1) % count,
        (Turn::Previous, chosen) => (chosen.unwrap_or(0) + count - 1) % count,
    };
    let text = &completion.candidates[next].text;
    conversation.composer.replace_before_cursor(completion.replaced, text);
    completion.replaced = text.chars().count();
    completion.chosen = Some(next);
    completion.before =
        conversation.composer.before_cursor().map(|(before, _)| before).unwrap_or_default();
    app.completion = Some(completion).filter(|_| count > 1);
}

/// Puts the emoji in place of a shortcode that was just closed with its second colon.
pub(super) fn close_shortcode(conversation: &mut Conversation) {
    let Some((before, _)) = conversation.composer.before_cursor() else { return };
    let word = last_word(&before);
    if let Some(emoji) = emoji(word) {
        conversation.composer.replace_before_cursor(word.chars().count(), emoji);
    }
}

/// The emoji of a `:shortcode:`.
pub(super) fn emoji(word: &str) -> Option<&'static str> {
    let shortcode = word.strip_prefix(':')?.strip_suffix(':')?;
    emojis::get_by_shortcode(shortcode).map(emojis::Emoji::as_str)
}

/// How the command that is being written is written, and what it does.
pub fn usage(conversation: &Conversation) -> Option<String> {
    let line = conversation.composer.area().lines().first()?;
    let name = line.strip_prefix('/')?.split_whitespace().next()?;
    let command = slash::find(name)?;
    Some(format!("{} — {}", command.usage(), command.help))
}

fn list(app: &App, cause: Cause) -> Option<Completion> {
    let conversation = app.current()?;
    let (before, row) = conversation.composer.before_cursor()?;
    let word = last_word(&before);
    let command = before.strip_prefix('/').filter(|_| row == 0 && !before.starts_with("//"));
    let (kind, mark, stem) = wanted(command, word, cause)?;
    let candidates = match kind {
        Kind::Command => commands("/", stem),
        Kind::CommandName => commands("", stem),
        Kind::Room => rooms(app, mark, stem),
        Kind::Person => people(app, conversation, mark, stem),
        Kind::Conversation => conversations(app, word),
        Kind::Emoji => emoji_list(stem),
        Kind::Net => net_words(command.unwrap_or_default(), stem),
    };
    let is_complete = |candidate: &Candidate| candidate.text.trim_end() == word;
    if candidates.is_empty() || (candidates.len() == 1 && is_complete(&candidates[0])) {
        return None;
    }
    let replaced = word.chars().count();
    Some(Completion { replaced, candidates, chosen: None, before })
}

/// What a word is the beginning of, the mark it begins with, and the rest.
fn wanted<'a>(
    command: Option<&str>,
    word: &'a str,
    cause: Cause,
) -> Option<(Kind, &'a str, &'a str)> {
    let marked = |kind, mark| (kind, mark, word.strip_prefix(mark).unwrap_or(word));
    let least = |written: usize| match cause {
        Cause::Written => written,
        Cause::Asked => 0,
    };
    if let Some(line) = command {
        let (name, arguments) = match line.split_once(char::is_whitespace) {
            None => return Some(marked(Kind::Command, "/")),
            Some((name, arguments)) => (name, arguments.trim_start()),
        };
        let is_first = !arguments.contains(char::is_whitespace);
        if slash::find(name).is_some_and(|command| command.verb == Verb::Net) {
            return Some(marked(Kind::Net, ""));
        }
        let acts_on = slash::find(name).and_then(|command| acts_on(command.verb));
        if let Some(kind) = acts_on.filter(|_| is_first && word.len() >= least(1)) {
            let mark = match kind {
                Kind::Room => "#",
                Kind::Person => "@",
                Kind::Emoji => ":",
                Kind::Command | Kind::CommandName | Kind::Conversation | Kind::Net => "",
            };
            let mark = if word.starts_with(mark) { mark } else { "" };
            return Some(marked(kind, mark));
        }
    }
    let length = word.chars().count().saturating_sub(1);
    match word.chars().next() {
        Some('#') if length >= least(1) => Some(marked(Kind::Room, "#")),
        Some('@') if length >= least(1) => Some(marked(Kind::Person, "@")),
        Some(':') if length >= least(SHORTCODE_CHARS_MIN).max(1) => Some(marked(Kind::Emoji, ":")),
        Some('#' | '@' | ':') | None => None,
        Some(_) => (cause == Cause::Asked).then(|| marked(Kind::Person, "")),
    }
}

/// What the first argument of a command names.
const fn acts_on(verb: Verb) -> Option<Kind> {
    match verb {
        Verb::Join => Some(Kind::Room),
        Verb::Buffer => Some(Kind::Conversation),
        Verb::React => Some(Kind::Emoji),
        Verb::Help => Some(Kind::CommandName),
        Verb::Msg
        | Verb::Invite
        | Verb::Kick
        | Verb::Ban
        | Verb::Unban
        | Verb::Mute
        | Verb::Unmute
        | Verb::Op
        | Verb::Deop
        | Verb::Block
        | Verb::Unblock
        | Verb::Accept => Some(Kind::Person),
        _ => None,
    }
}

fn commands(mark: &str, stem: &str) -> Vec<Candidate> {
    let stem = stem.to_lowercase();
    let fitting = COMMANDS.iter().filter_map(|command| {
        let name = command.names.iter().find(|name| name.starts_with(&stem))?;
        let space = if command.arguments.is_empty() { "" } else { " " };
        Some(Candidate {
            label: format!("{mark}{name}{space}{}", command.arguments),
            about: command.help,
            text: format!("{mark}{name}{space}"),
        })
    });
    fitting.collect()
}

/// What can stand at this place of `/net …`: each word, and how to go on.
fn net_words(line: &str, stem: &str) -> Vec<Candidate> {
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    let before = words.strip_suffix(&[stem]).unwrap_or(&words);
    let stem = stem.to_lowercase();
    let known: Vec<(&str, &str, &str)> = match before {
        [] => ORDERS.iter().chain(FAULT_WORDS).copied().collect(),
        ["out" | "in"] => FAULT_WORDS.to_vec(),
        ["profile"] | [_, "profile"] => words::profiles().map(|name| (name, "", "")).collect(),
        _ => Vec::new(),
    };
    let fitting = known.into_iter().filter(|(word, ..)| word.starts_with(&stem));
    let candidate = |(word, value, about): (&str, &str, _)| {
        let space = if value.is_empty() { "" } else { " " };
        let (label, text) = (format!("{word}{space}{value}"), format!("{word}{space}"));
        Candidate { label, about, text }
    };
    fitting.map(candidate).collect()
}

fn rooms(app: &App, mark: &str, stem: &str) -> Vec<Candidate> {
    let listed = app.listed();
    let rooms = listed.iter().filter(|c| c.summary.sort == Sort::Room);
    named(rooms.map(|c| c.summary.name.as_str()), mark, stem)
}

fn conversations(app: &App, stem: &str) -> Vec<Candidate> {
    let titles: Vec<String> = app.listed().iter().map(|c| c.summary.title()).collect();
    named(titles.iter().map(String::as_str), "", stem)
}

/// Who spoke here, the last first; then everybody else who is known.
fn people(app: &App, here: &Conversation, mark: &str, stem: &str) -> Vec<Candidate> {
    let listed = app.listed();
    let directs = listed.iter().filter(|c| c.summary.sort == Sort::Direct);
    let elsewhere = listed.iter().flat_map(|c| speakers(c));
    let all = speakers(here).chain(directs.map(|c| c.summary.name.as_str())).chain(elsewhere);
    let mut seen = BTreeSet::new();
    named(all.filter(|name| seen.insert(*name)), mark, stem)
}

fn speakers(conversation: &Conversation) -> impl Iterator<Item = &str> {
    let newest = conversation.timeline.entries().iter().rev().take(SPEAKERS_SEARCH_MAX);
    newest.filter_map(|entry| match &entry.sender {
        Sender::Person(Some(_), name) => Some(name.as_str()),
        Sender::Person(None, _) | Sender::Me(_) | Sender::Relay => None,
    })
}

/// Names that begin with `stem`, then those that contain it.
fn named<'a>(names: impl Iterator<Item = &'a str>, mark: &str, stem: &str) -> Vec<Candidate> {
    let stem = stem.to_lowercase();
    let found = ranked(names.map(|name| (name, name.to_lowercase())), &stem);
    let candidate = |name: &str| {
        let label = format!("{mark}{name}");
        Candidate { text: format!("{label} "), label, about: "" }
    };
    found.into_iter().map(candidate).collect()
}

fn emoji_list(stem: &str) -> Vec<Candidate> {
    let stem = stem.to_lowercase();
    let all = emojis::iter().flat_map(|emoji| emoji.shortcodes().map(move |code| (emoji, code)));
    let found = ranked(all.map(|(emoji, code)| ((emoji.as_str(), code), code)), &stem);
    let candidate = |(emoji, code): (&str, &str)| Candidate {
        label: format!("{emoji} :{code}:"),
        about: "",
        text: emoji.to_owned(),
    };
    found.into_iter().map(candidate).collect()
}

/// What has a key that begins with `stem`, then what has one that contains it.
fn ranked<T>(all: impl Iterator<Item = (T, impl AsRef<str>)>, stem: &str) -> Vec<T> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (value, key) in all {
        match key.as_ref().find(stem) {
            Some(0) => first.push(value),
            Some(_) => second.push(value),
            None => {}
        }
    }
    first.extend(second);
    first.truncate(CANDIDATES_MAX);
    first
}

fn last_word(line: &str) -> &str {
    line.rsplit(char::is_whitespace).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use protocol::ids::Seq;

    use super::*;
    use crate::app::{
        conversation::Summary,
        effect::{Effect, Saying},
        event::{Data, Event},
        fixture::{app, direct, id, load, press, room, text},
        update,
    };

    fn lobby() -> App {
        let mut app = app(vec![
            Summary { head: Seq(3), ..room(1, "lobby") },
            room(2, "logs"),
            room(3, "ops"),
            direct(4, "bert"),
        ]);
        load(&mut app, id(1), vec![text(1, "bea", "a"), text(2, "ben", "b"), text(3, "ada", "c")]);
        app
    }

    fn written(app: &App) -> String {
        app.current().expect("a conversation").composer.text()
    }

    fn offered(app: &App) -> Vec<&str> {
        let completion = app.completion.as_ref();
        completion.map_or(Vec::new(), |c| c.candidates.iter().map(|c| c.label.as_str()).collect())
    }

    #[test]
    fn commands_are_offered_with_their_arguments() {
        let mut app = lobby();
        press(&mut app, "/unb");
        assert_eq!(offered(&app), ["/unban NAME", "/unblock NAME"]);
        press(&mut app, "<tab>");
        assert_eq!(written(&app), "/unban ");
        press(&mut app, "<tab><tab>");
        assert_eq!(written(&app), "/unban ", "around once");
        press(&mut app, "<S-tab>");
        assert_eq!(written(&app), "/unblock ");
    }

    #[test]
    fn people_who_spoke_last_come_first_and_then_the_others() {
        let mut app = lobby();
        press(&mut app, "hello @be");
        assert_eq!(offered(&app), ["@ben", "@bea", "@bert"]);
        press(&mut app, "<tab><tab>");
        assert_eq!(written(&app), "hello @bea ");
        press(&mut app, "!");
        assert_eq!((written(&app), offered(&app)), ("hello @bea !".into(), vec![]));
    }

    #[test]
    fn a_command_that_takes_a_name_offers_names_for_its_first_word_only() {
        let mut app = lobby();
        press(&mut app, "/ban be");
        assert_eq!(offered(&app), ["ben", "bea", "bert"]);
        press(&mut app, "<tab>be");
        assert_eq!((written(&app), offered(&app)), ("/ban ben be".into(), vec![]));
        press(&mut app, "<C-u>/kick @be<tab>");
        assert_eq!(written(&app), "/kick @ben ");
    }

    #[test]
    fn rooms_and_conversations_are_offered() {
        let mut app = lobby();
        press(&mut app, "/join #lo");
        assert_eq!(offered(&app), ["#lobby", "#logs"]);
        press(&mut app, "<C-u>/b o");
        assert_eq!(offered(&app), ["#lobby", "#logs", "#ops"], "all contain it");
        press(&mut app, "<C-u>see #op<tab>");
        assert_eq!(written(&app), "see #ops ");
    }

    #[test]
    fn emoji_are_offered_from_two_characters_on_and_inserted_themselves() {
        let mut app = lobby();
        press(&mut app, ":t");
        assert_eq!(offered(&app), Vec::<&str>::new());
        press(&mut app, "ada");
        assert_eq!(offered(&app), ["🎉 :tada:"]);
        press(&mut app, "<tab>");
        assert_eq!(written(&app), "🎉");
    }

    #[test]
    fn a_closed_shortcode_becomes_its_emoji_and_other_colons_stay() {
        let mut app = lobby();
        press(&mut app, "it is 12:30: :tada: :nothing:");
        assert_eq!(written(&app), "it is 12:30: 🎉 :nothing:");
    }

    #[test]
    fn the_words_behind_net_are_offered_one_after_the_other() {
        let mut app = lobby();
        press(&mut app, "/net ");
        assert_eq!(
            offered(&app)[..6],
            ["off", "cut", "out FAULT", "in FAULT", "seed 42", "loss 10%"]
        );
        press(&mut app, "pr<tab>");
        assert_eq!(written(&app), "/net profile ");
        press(&mut app, "wi");
        assert_eq!(offered(&app), ["wifi", "wifi-bad"]);
        press(&mut app, "<C-u>/net out lo<tab>");
        assert_eq!(written(&app), "/net out loss ");
        press(&mut app, "10% in");
        assert_eq!(offered(&app), Vec::<&str>::new());
        let faults: BTreeSet<_> = FAULT_WORDS.iter().map(|(word, ..)| *word).collect();
        assert_eq!(faults, words::FAULTS.into_iter().collect());
    }

    #[test]
    fn sending_takes_nothing_that_was_only_offered() {
        let mut app = lobby();
        let effects = press(&mut app, "so @be<enter>");
        assert!(effects.contains(&Effect::Say(id(1), Saying::Text("so @be".into(), None))));
        assert_eq!(app.completion, None);
    }

    #[test]
    fn escape_closes_the_list_and_nothing_else() {
        let mut app = lobby();
        press(&mut app, "<S-up>@be<esc>");
        assert_eq!((app.completion.as_ref(), written(&app).as_str()), (None, "@be"));
        assert_eq!(app.current().expect("a conversation").selected, Some(Seq(3)));
    }

    #[test]
    fn a_plain_word_is_completed_only_if_that_is_asked_for() {
        let mut app = lobby();
        press(&mut app, "be");
        assert_eq!(offered(&app), Vec::<&str>::new());
        press(&mut app, "<tab>");
        assert_eq!(written(&app), "ben ");
        press(&mut app, "<C-u><tab>");
        assert_eq!((written(&app), offered(&app)), (String::new(), vec![]));
    }

    #[test]
    fn a_list_for_another_text_is_made_anew() {
        let mut app = lobby();
        press(&mut app, "@be");
        let unsaid = Data::Unsaid(id(1), "lost".into(), "not said".into());
        update(&mut app, Event::Data(unsaid));
        press(&mut app, "<tab>");
        assert_eq!(written(&app), "lost\n@ben ");
    }

    #[test]
    fn the_command_that_is_being_written_is_explained() {
        let mut app = lobby();
        let usage = |app: &App| usage(app.current().expect("a conversation"));
        press(&mut app, "/kic");
        assert_eq!(usage(&app), None);
        press(&mut app, "k be");
        assert_eq!(usage(&app).as_deref(), Some("/kick NAME [WHY] — remove somebody"));
        press(&mut app, "<C-u>//kick");
        assert_eq!(usage(&app), None);
    }
}
