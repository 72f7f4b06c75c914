//! What the words in the box are for, if they are not simply to be said: an answer to a message, or
//! new words for an own one. The view keeps it in sight, so that nothing is sent to another end
//! than the person believes.

use protocol::message::record::Target;

use super::{App, conversation::Conversation, effect::Saying, timeline::Entry};

/// What the words are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// They answer a message.
    Reply {
        /// Which.
        target: Target,
        /// Whose it is.
        author: String,
        /// What it says.
        words: String,
    },
    /// They replace an own message.
    Edit {
        /// Which.
        target: Target,
        /// What it says.
        words: String,
        /// What was in the box before.
        draft: String,
    },
}

/// Begins an answer. What is written already becomes part of it.
pub(super) fn reply(conversation: &mut Conversation, target: Target, entry: &Entry, words: String) {
    cancel(conversation);
    let author = entry.sender.name().to_owned();
    conversation.purpose = Some(Purpose::Reply { target, author, words });
}

/// Puts an own message into the box, to be changed.
pub(super) fn edit(conversation: &mut Conversation, target: Target, words: String) {
    cancel(conversation);
    let draft = conversation.composer.text();
    conversation.composer.replace(&as_written(&words));
    conversation.purpose = Some(Purpose::Edit { target, words, draft });
}

/// Gives the purpose up. An answer stays in the box as plain words; what was there before an own
/// message was to be changed comes back.
pub(super) fn cancel(conversation: &mut Conversation) -> bool {
    let purpose = conversation.purpose.take();
    if let Some(Purpose::Edit { draft, .. }) = &purpose {
        conversation.composer.replace(draft);
    }
    purpose.is_some()
}

/// What sending these words from the box says, and empties it; `None` if it changes nothing.
pub(super) fn fulfil(conversation: &mut Conversation, said: &str) -> Option<Saying> {
    conversation.composer.take();
    let said = said.to_owned();
    match conversation.purpose.take() {
        None => Some(Saying::Text(said, None)),
        Some(Purpose::Reply { target, .. }) => Some(Saying::Text(said, Some(target))),
        Some(Purpose::Edit { target, words, draft }) => {
            conversation.composer.replace(&draft);
            (said != words).then_some(Saying::Edit(target, said))
        }
    }
}

/// Puts words in front of those that are written: not into a message that is being changed.
pub(super) fn give_back(conversation: &mut Conversation, words: &str) {
    let newer = draft(conversation);
    let separator = if newer.is_empty() { "" } else { "\n" };
    let both = format!("{words}{separator}{newer}");
    match &mut conversation.purpose {
        Some(Purpose::Edit { draft, .. }) => *draft = both,
        Some(Purpose::Reply { .. }) | None => conversation.composer.replace(&both),
    }
}

/// What is to be kept of a conversation's box: of a message that is being changed, nothing, since
/// after a restart it would be a new one.
pub(super) fn draft(conversation: &Conversation) -> String {
    match &conversation.purpose {
        Some(Purpose::Edit { draft, .. }) => draft.clone(),
        Some(Purpose::Reply { .. }) | None => conversation.composer.text(),
    }
}

/// Words as they have to be written to be said: those that begin with a slash need a second one.
fn as_written(words: &str) -> String {
    if words.starts_with('/') { format!("/{words}") } else { words.to_owned() }
}

/// Gives up the purpose on the screen; `false` if there is none.
pub(super) fn leave(app: &mut App) -> bool {
    app.current_mut().is_some_and(cancel)
}
