//! What the connection does, packet by packet, beside or over the conversation; and the life of one
//! message.

use std::time::Duration;

use protocol::time::WallTime;

use super::{
    App,
    effect::{Ask, Effect},
    timeline::Entry,
};
use crate::lab::ladder::{Step, Trace, time};

/// How often it is looked at anew.
pub const PERIOD: Duration = Duration::from_millis(250);
/// Packets that are asked for: more than the tallest screen shows.
pub const ROWS: usize = 100;

/// The inspector, while it is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspector {
    /// What there is to see, once it has come.
    pub trace: Option<Trace>,
    /// When it was asked for last.
    asked: Option<WallTime>,
    /// The answer is still to come.
    is_asked: bool,
}

/// Opens or closes it.
pub(super) fn toggle(app: &mut App) -> Vec<Effect> {
    app.overlay = None;
    app.inspector = match app.inspector {
        Some(_) => None,
        None => Some(Inspector::default()),
    };
    refresh(app)
}

/// Asks for what is new, if that is due.
pub(super) fn refresh(app: &mut App) -> Vec<Effect> {
    let now = app.now;
    let Some(inspector) = &mut app.inspector else { return Vec::new() };
    let is_due = inspector.asked.is_none_or(|asked| asked.plus(PERIOD) <= now);
    if inspector.is_asked || !is_due {
        return Vec::new();
    }
    inspector.is_asked = true;
    inspector.asked = Some(now);
    vec![Effect::Ask(Ask::Trace)]
}

/// Takes what was asked for; nothing, if it could not be had.
pub(super) fn on_trace(app: &mut App, trace: Option<Trace>) {
    if let Some(inspector) = &mut app.inspector {
        inspector.is_asked = false;
        inspector.trace = trace.or(inspector.trace.take());
    }
}

/// Asks for the life of a message.
pub(super) fn ask_life(entry: &Entry) -> Result<Vec<Effect>, String> {
    match entry.id {
        Some(id) if entry.sender.is_me() => Ok(vec![Effect::Ask(Ask::Life(id))]),
        Some(_) | None => Err("only the way of own messages is known".to_owned()),
    }
}

/// The life of a message, line by line.
pub(super) fn life(steps: &[Step]) -> Vec<String> {
    if steps.is_empty() {
        let why = "no trace: it was sent before this window was opened, or by another device";
        return vec![why.to_owned()];
    }
    steps.iter().map(|step| format!("{:>9}  {}", time(step.after), step.what)).collect()
}
