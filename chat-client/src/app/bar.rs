//! The action bar: what can be done with the selected message, each with one key. It is open only
//! while nothing is written, so that a key never means two things.
//!
//! ```text
//!   Acts ─ + ─▶ Emoji     a digit reacts, `:` goes on in the box
//!     └─── o ─▶ Links     Enter opens the link that is shown, o shows the next
//! ```

use crossterm::event::KeyEvent;

use super::{
    App, Overlay,
    action::Action,
    deletion, details,
    effect::{Effect, Saying},
    inspector, keymap, links, purpose, verb,
};

/// Largest text that is given to the clipboard: what terminals take as one sequence.
pub const COPY_BYTES_MAX: usize = 64 * 1024;

/// Reactions that one digit gives.
pub const EMOJI: [&str; 6] = ["👍", "❤️", "😂", "🎉", "😮", "😢"];

/// What the bar shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bar {
    /// What can be done.
    Acts,
    /// What one can react with.
    Emoji,
    /// The links of the message, and which of them Enter opens.
    Links(Vec<String>, usize),
}

/// Something that can be done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Answer it.
    Reply,
    /// Change its words.
    Edit,
    /// Erase it.
    Delete,
    /// React to it.
    React,
    /// Copy its words.
    Copy,
    /// Open a link in it.
    Open,
    /// Show all that is known of it.
    Details,
    /// Show how it got to the relay, packet by packet.
    Way,
}

/// One entry of the bar.
pub struct Deed {
    /// Its key.
    pub key: char,
    /// What it does.
    pub act: Act,
    /// What the bar says.
    pub name: &'static str,
    /// What help says.
    pub help: &'static str,
}

const fn deed(key: char, act: Act, name: &'static str, help: &'static str) -> Deed {
    Deed { key, act, name, help }
}

/// All of them, in the order of the bar.
pub const DEEDS: &[Deed] = &[
    deed('r', Act::Reply, "reply", "answer the message"),
    deed('e', Act::Edit, "edit", "change an own message"),
    deed('d', Act::Delete, "delete", "erase the message; u takes that back for a while"),
    deed('+', Act::React, "react", "react; the same again takes it back"),
    deed('y', Act::Copy, "copy", "copy the words to the terminal's clipboard"),
    deed('o', Act::Open, "open", "open a link"),
    deed('i', Act::Details, "info", "who has it, earlier versions, numbers"),
    deed(
        't',
        Act::Way,
        "way",
        "how it got to the relay: packets, losses, and why it was sent again",
    ),
];

/// Opens the bar if a message is selected and nothing is written.
pub(super) fn open(app: &mut App) {
    let is_ready =
        |app: &App| app.current().is_some_and(|c| c.selected.is_some() && c.composer.is_empty());
    if is_ready(app) {
        app.toast = None;
        app.bar = Some(Bar::Acts);
    }
}

/// A key while the bar is open; `None` if it means what it means without it.
pub(super) fn on_key(app: &mut App, key: KeyEvent, action: Option<Action>) -> Option<Vec<Effect>> {
    let bar = app.bar.take()?;
    if !app.current().is_some_and(|c| c.selected.is_some() && c.composer.is_empty()) {
        return None;
    }
    let written = keymap::written(key);
    let done = match (&bar, written, action) {
        (Bar::Acts, Some(key), _) => perform(app, DEEDS.iter().find(|deed| deed.key == key)?.act),
        (Bar::Emoji, Some(':'), _) => {
            app.current_mut()?.composer.replace("/react :");
            Ok(Vec::new())
        }
        (Bar::Emoji, Some(digit), _) => react(app, digit),
        (Bar::Links(links, at), Some('o'), _) => {
            let next = (at + 1) % links.len();
            app.bar = Some(Bar::Links(links.clone(), next));
            Ok(Vec::new())
        }
        (Bar::Links(links, at), _, Some(Action::Submit)) => {
            app.say("opening it");
            Ok(vec![Effect::OpenLink(links[*at].clone())])
        }
        (Bar::Emoji | Bar::Links(..), _, Some(Action::Close)) => {
            app.bar = Some(Bar::Acts);
            Ok(Vec::new())
        }
        (_, _, Some(Action::Submit)) => {
            app.bar = Some(bar.clone());
            Ok(Vec::new())
        }
        (_, _, Some(Action::Select(_) | Action::Scroll(_) | Action::Redraw)) => {
            app.bar = Some(Bar::Acts);
            return None;
        }
        _ => return None,
    };
    Some(done.unwrap_or_else(|why| {
        app.complain(why);
        app.bar = Some(bar);
        Vec::new()
    }))
}

fn perform(app: &mut App, act: Act) -> Result<Vec<Effect>, String> {
    let here = app.current.ok_or("open a conversation first")?;
    let (target, entry) = verb::selected(app)?;
    let words = verb::current_text(app, &entry);
    app.toast = None;
    match act {
        Act::Reply => {
            let conversation = app.current_mut().ok_or("open a conversation first")?;
            purpose::reply(conversation, target, &entry, words);
            conversation.selected = None;
        }
        Act::Edit if !entry.sender.is_me() => {
            return Err("only its author can change a message".to_owned());
        }
        Act::Edit => {
            let conversation = app.current_mut().ok_or("open a conversation first")?;
            purpose::edit(conversation, target, words);
            conversation.selected = None;
        }
        Act::Delete => {
            if let Some(conversation) = app.current_mut() {
                conversation.selected = None;
            }
            return Ok(deletion::begin(app, here, target, words));
        }
        Act::React => app.bar = Some(Bar::Emoji),
        Act::Copy => {
            app.bar = Some(Bar::Acts);
            return copy(app, words);
        }
        Act::Open => match links::find(&words) {
            links if links.is_empty() => return Err("there is no link in it".to_owned()),
            links => app.bar = Some(Bar::Links(links, 0)),
        },
        Act::Way => return inspector::ask_life(&entry),
        Act::Details => {
            let conversation = app.current().ok_or("open a conversation first")?;
            let lines = details::lines(app, conversation, &entry);
            let title = "details".to_owned();
            app.overlay = Some(Overlay::List { title, lines, from: 0 });
        }
    }
    Ok(Vec::new())
}

fn react(app: &mut App, digit: char) -> Result<Vec<Effect>, String> {
    let number = digit.to_digit(10).and_then(|number| usize::try_from(number).ok());
    let emoji = number.and_then(|number| EMOJI.get(number.checked_sub(1)?));
    let emoji = emoji.ok_or_else(|| format!("1 to {} react, : chooses others", EMOJI.len()))?;
    let here = app.current.ok_or("open a conversation first")?;
    let (target, entry) = verb::selected(app)?;
    let set = verb::turned(app, &entry, emoji);
    if let Some(conversation) = app.current_mut() {
        conversation.selected = None;
    }
    app.toast = None;
    Ok(vec![Effect::Say(here, Saying::React(target, (*emoji).to_owned(), set))])
}

fn copy(app: &mut App, words: String) -> Result<Vec<Effect>, String> {
    if words.len() > COPY_BYTES_MAX {
        let size = words.len();
        return Err(format!("{size} bytes are not copied: terminals take {COPY_BYTES_MAX}"));
    }
    app.say(format!("{} characters given to the terminal's clipboard", words.chars().count()));
    Ok(vec![Effect::Copy(words)])
}
