//! What each slash command means here and now. An error is what to say instead; the line comes back
//! into the composer then.

use protocol::{
    ids::ConversationId,
    lab::order::BadOrder,
    message::{event::Set, record::Target},
};

use super::{
    App, Overlay,
    action::Motion,
    completion,
    composer::Composer,
    conversation::{PendingState, Sort, Standing},
    deletion,
    effect::{Ask, Effect, Saying},
    find, jump, notify, purpose, set,
    slash::{self, Verb},
    timeline::{Entry, Timeline},
    update,
};

/// How long `/mute` without a number lasts.
const MUTE_MINUTES_DEFAULT: u32 = 60;

/// Does what a command says.
pub(super) fn perform(app: &mut App, verb: Verb, arguments: &str) -> Result<Vec<Effect>, String> {
    let here = app.current.ok_or("open a conversation first")?;
    let usage = || {
        let usage = slash::of(verb).map(slash::Command::usage).unwrap_or_default();
        format!("usage: {usage}")
    };
    let ask = |ask| Ok(vec![Effect::Ask(ask)]);
    let say = |saying| Ok(vec![Effect::Say(here, saying)]);
    let (first, rest) = split(arguments);
    let name = || match first.trim_start_matches('@') {
        "" => Err(usage()),
        name => Ok(name.to_owned()),
    };
    match verb {
        Verb::Me | Verb::Reply | Verb::React | Verb::Goto if arguments.is_empty() => Err(usage()),
        Verb::Join => match first.trim_start_matches('#') {
            "" => Err(usage()),
            room => ask(Ask::Join(room.to_owned())),
        },
        Verb::Part => ask(Ask::Leave(here)),
        Verb::Msg => ask(Ask::Message(name()?, rest.to_owned())),
        Verb::Me => say(Saying::Action(sized(arguments)?)),
        Verb::Topic if arguments.is_empty() => {
            let topic = app.current().map(|c| c.summary.topic.clone()).unwrap_or_default();
            app.say(if topic.is_empty() { "no topic is set".to_owned() } else { topic });
            Ok(Vec::new())
        }
        Verb::Topic => ask(Ask::Topic(room(app)?, arguments.to_owned())),
        Verb::Names => Ok(update::list_members(app)),
        Verb::List => ask(Ask::Rooms(first.trim_start_matches('#').to_owned())),
        Verb::Invite => ask(Ask::Invite(room(app)?, name()?)),
        Verb::Kick => ask(Ask::Kick(room(app)?, name()?, rest.to_owned())),
        Verb::Ban => ask(Ask::Ban(room(app)?, name()?, rest.to_owned())),
        Verb::Unban => ask(Ask::Unban(room(app)?, name()?)),
        Verb::Mute => {
            let minutes = match rest {
                "" => MUTE_MINUTES_DEFAULT,
                number => number.parse().map_err(|_| usage())?,
            };
            ask(Ask::Mute(room(app)?, name()?, minutes))
        }
        Verb::Unmute => ask(Ask::Unmute(room(app)?, name()?)),
        Verb::Op => ask(Ask::Promote(room(app)?, name()?)),
        Verb::Deop => ask(Ask::Demote(room(app)?, name()?)),
        Verb::Nick => ask(Ask::Rename(name()?)),
        Verb::Block => ask(Ask::Block(name()?)),
        Verb::Unblock => ask(Ask::Unblock(name()?)),
        Verb::Accept => ask(accept(app, here, first.trim_start_matches('@'))?),
        Verb::Reply => {
            let (target, _) = chosen(app, Timeline::last_of_others, "no message to answer")?;
            say(Saying::Text(sized(arguments)?, Some(target)))
        }
        Verb::Edit => {
            let own = chosen_own(app, here, "no own message to change")?;
            if !own.is_mine {
                return Err("only its author can change a message".to_owned());
            }
            if arguments.is_empty() {
                let conversation = app.current_mut().ok_or("open a conversation first")?;
                purpose::edit(conversation, own.target, own.text);
                return Ok(Vec::new());
            }
            say(Saying::Edit(own.target, sized(arguments)?))
        }
        Verb::Delete => {
            let own = chosen_own(app, here, "no own message to delete")?;
            Ok(deletion::begin(app, here, own.target, own.text))
        }
        Verb::Undo if deletion::undo(app) => Ok(Vec::new()),
        Verb::Undo => Err("nothing waits to be deleted".to_owned()),
        Verb::React => {
            let (target, entry) = chosen(app, Timeline::last_of_others, "no message to react to")?;
            let emoji = completion::emoji(first).unwrap_or(first);
            let set = turned(app, &entry, emoji);
            say(Saying::React(target, emoji.to_owned(), set))
        }
        Verb::Cancel => {
            // What waits for a name is in no conversation yet.
            let unplaced = app.outbox.values().filter(|pending| pending.conversation.is_none());
            let newest = unplaced
                .chain(app.pending(here))
                .rev()
                .find(|p| !matches!(p.state, PendingState::Sent(_)));
            let local = newest.ok_or("nothing waits or failed here")?.local;
            Ok(vec![Effect::Cancel(local)])
        }
        Verb::Buffer => {
            let id = app.named(first).ok_or_else(|| format!("no conversation {first} here"))?;
            Ok(update::show(app, id))
        }
        Verb::Search => Ok(find::search(app, arguments)),
        Verb::Mentions => Ok(find::mentions(app)),
        Verb::Goto => jump::goto(app, arguments),
        Verb::Older => Ok(update::scroll(app, Motion::PageUp)),
        Verb::Net => ask(net(arguments)?),
        Verb::Reconnect => ask(Ask::Reconnect),
        Verb::Notify => notify::perform(app, first),
        Verb::Set => set::perform(app, first, rest),
        Verb::Help => help(app, first),
        Verb::Quit => Ok(update::leave(app)),
    }
}

/// What there is to accept: the name that a message waits for, or the stranger on the screen.
fn accept(app: &App, here: ConversationId, name: &str) -> Result<Ask, String> {
    let held = app.outbox.values().find_map(|pending| match &pending.state {
        PendingState::Held { name: held, account } if name.is_empty() || held == name => {
            Some(Ask::AcceptName(held.clone(), *account))
        }
        PendingState::Held { .. }
        | PendingState::Queued
        | PendingState::Slowed(..)
        | PendingState::Sent(_)
        | PendingState::Failed(_) => None,
    });
    let asks = app.current().is_some_and(|c| {
        c.summary.standing == Standing::Invited && (name.is_empty() || c.summary.name == name)
    });
    match held {
        _ if asks => Ok(Ask::Accept(here)),
        Some(held) => Ok(held),
        None => Err("nobody here waits to be accepted".to_owned()),
    }
}

fn net(arguments: &str) -> Result<Ask, String> {
    if arguments.is_empty() {
        return Ok(Ask::Connection);
    }
    arguments.parse().map(Ask::Impair).map_err(|error: BadOrder| error.to_string())
}

fn help(app: &mut App, name: &str) -> Result<Vec<Effect>, String> {
    if name.is_empty() {
        app.overlay = Some(Overlay::Help(0));
        return Ok(Vec::new());
    }
    let name = name.trim_start_matches('/');
    let command = slash::find(name).ok_or_else(|| format!("there is no /{name}"))?;
    app.say(format!("{} — {}", command.usage(), command.help));
    Ok(Vec::new())
}

fn sized(text: &str) -> Result<String, String> {
    Composer::check_size(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// The conversation here, if it is a room.
fn room(app: &App) -> Result<ConversationId, String> {
    match app.current() {
        Some(conversation) if conversation.summary.sort == Sort::Room => {
            Ok(conversation.summary.id)
        }
        Some(_) | None => Err("that is for rooms".to_owned()),
    }
}

/// The selected message.
pub(super) fn selected(app: &App) -> Result<(Target, Entry), String> {
    chosen(app, |_| None, "no message is selected")
}

/// The selected message, or the one that a command means without a selection.
fn chosen(
    app: &App,
    otherwise: fn(&Timeline) -> Option<&Entry>,
    none: &str,
) -> Result<(Target, Entry), String> {
    let entry =
        app.current().and_then(|conversation| conversation.chosen(otherwise)).ok_or(none)?;
    if app.current().is_some_and(|c| c.timeline.amended(entry).is_deleted) {
        return Err("that message is deleted".to_owned());
    }
    let target = entry.target().ok_or("that message needs a newer version")?;
    Ok((target, entry.clone()))
}

/// What `/edit` and `/delete` are about.
struct Chosen {
    target: Target,
    text: String,
    /// Moderators may delete what others said.
    is_mine: bool,
}

/// The selected message, or the newest own one. That may not be in the history yet, and must not
/// lead to the one before it.
fn chosen_own(app: &App, here: ConversationId, none: &str) -> Result<Chosen, String> {
    let is_selected = app.current().is_some_and(|conversation| conversation.selected.is_some());
    let newest = app.pending(here).rev().find_map(|pending| match &pending.saying {
        Saying::Text(text, _) | Saying::Action(text) => Some((pending, text)),
        Saying::Edit(..) | Saying::Delete(_) | Saying::React(..) => None,
    });
    let Some((pending, text)) = newest.filter(|_| !is_selected) else {
        let (target, entry) = chosen(app, Timeline::last_own, none)?;
        let text = current_text(app, &entry);
        return Ok(Chosen { target, text, is_mine: entry.sender.is_me() });
    };
    match (&pending.state, pending.id) {
        (PendingState::Sent(seq), Some(id)) => {
            Ok(Chosen { target: Target { seq: *seq, id }, text: text.clone(), is_mine: true })
        }
        _ => Err("your newest message is not sent: /cancel takes it back, Shift-Up selects others"
            .to_owned()),
    }
}

/// What a message says now.
pub(super) fn current_text(app: &App, entry: &Entry) -> String {
    let amended = app.current().and_then(|c| c.timeline.amended(entry).text.map(str::to_owned));
    amended.or_else(|| entry.words().map(str::to_owned)).unwrap_or_default()
}

/// What reacting to a message with this emoji once more makes of it.
pub(super) fn turned(app: &App, entry: &Entry, emoji: &str) -> Set {
    let has_reacted = app.current().is_some_and(|conversation| {
        let amended = conversation.timeline.amended(entry);
        amended.reactions.iter().any(|(known, _, is_mine)| *known == emoji && *is_mine)
    });
    if has_reacted { Set::Off } else { Set::On }
}

/// The first word and the rest.
fn split(arguments: &str) -> (&str, &str) {
    match arguments.split_once(char::is_whitespace) {
        Some((first, rest)) => (first, rest.trim()),
        None => (arguments, ""),
    }
}
