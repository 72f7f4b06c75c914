//! Deleting with second thoughts: a deletion waits for a few seconds in which it can be taken back,
//! since nobody can take it back later.

use protocol::{ids::ConversationId, message::record::Target, time::WallTime};

use super::{
    App,
    effect::{Effect, Saying},
};

/// How long a deletion waits.
pub const UNDO_MILLIS: u64 = 5_000;

/// A deletion that waits. There is at most one: the next one sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    conversation: ConversationId,
    target: Target,
    /// What is deleted.
    pub words: String,
    /// When it is sent.
    pub due: WallTime,
}

/// Deletes a message unless [`undo`] comes in time.
pub(super) fn begin(
    app: &mut App,
    conversation: ConversationId,
    target: Target,
    words: String,
) -> Vec<Effect> {
    let earlier = send(app);
    let due = WallTime::from_millis(app.now.as_millis() + UNDO_MILLIS);
    app.toast = None;
    app.deletion = Some(Deletion { conversation, target, words, due });
    earlier
}

/// Sends what has waited long enough.
pub(super) fn send_due(app: &mut App) -> Vec<Effect> {
    let is_due = app.deletion.as_ref().is_some_and(|deletion| deletion.due <= app.now);
    if is_due { send(app) } else { Vec::new() }
}

/// Sends what waits, at once.
pub(super) fn send(app: &mut App) -> Vec<Effect> {
    let waiting = app.deletion.take();
    let said = waiting.map(|it| Effect::Say(it.conversation, Saying::Delete(it.target)));
    said.into_iter().collect()
}

/// Takes back what waits; `false` if nothing does.
pub(super) fn undo(app: &mut App) -> bool {
    let is_undone = app.deletion.take().is_some();
    if is_undone {
        app.say("the message stays");
    }
    is_undone
}
