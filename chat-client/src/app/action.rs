//! What a key can mean. The table in [`keymap`](super::keymap) says which key means what.

/// Something a person does with one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send what is written, or do the command that is written.
    Submit,
    /// Change what is written.
    Edit(Edit),
    /// Move the timeline.
    Scroll(Motion),
    /// Go to another conversation.
    Go(Go),
    /// Find something and go there.
    Find(Find),
    /// Go to a message.
    Jump(Jump),
    /// Select an older or a newer message.
    Select(Step),
    /// Leave whatever is open, or deselect.
    Close,
    /// Put the next or the previous of what is offered into the box.
    Complete(Turn),
    /// List the members of the conversation beside it, or no longer.
    Members,
    /// Show what the connection does, packet by packet, or no longer.
    Inspect,
    /// Show a second conversation beside this one, or no longer.
    Split,
    /// Write in the conversation beside this one.
    Swap,
    /// Go on writing in the person's own editor.
    Editor,
    /// Show the keys and commands.
    Help,
    /// Clear the line; with nothing to clear, ask to leave; asked, leave.
    Interrupt,
    /// Delete forward; with nothing written, as [`Self::Interrupt`].
    DeleteOrLeave,
    /// Give the mouse to the terminal, or take it back.
    Wheel,
    /// Paint everything anew.
    Redraw,
    /// Stop as a job of the shell.
    Suspend,
}

/// A change of what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Begin a new line.
    Newline,
    /// Delete the character before the cursor.
    DeleteBack,
    /// Delete the character under the cursor.
    DeleteForward,
    /// Delete the word before the cursor.
    DeleteWordBack,
    /// Delete the word after the cursor.
    DeleteWordForward,
    /// Delete to the line's beginning.
    DeleteToStart,
    /// Delete to the line's end.
    DeleteToEnd,
    /// Insert what was deleted last.
    Yank,
    /// Take the last change back.
    Undo,
    /// Do it again.
    Redo,
    /// To the line's beginning.
    Start,
    /// To the line's end.
    End,
    /// One character back.
    Left,
    /// One character forward.
    Right,
    /// One word back.
    WordLeft,
    /// One word forward.
    WordRight,
    /// One line up; from the first line, to what was sent before.
    Up,
    /// What was sent before and contains what is written; again, what was sent before that.
    Recall,
    /// One line down; from the last line, to what was sent after.
    Down,
}

/// A direction in the list of what is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Down.
    Next,
    /// Up.
    Previous,
}

/// A way to move the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// A screen up.
    PageUp,
    /// A screen down.
    PageDown,
    /// To the oldest message that is loaded.
    Oldest,
    /// To the newest message.
    Live,
}

/// A way to another conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// The next in the list.
    Next,
    /// The previous in the list.
    Previous,
    /// The next with something unread.
    NextUnread,
    /// The one at this place in the list, from 1.
    Number(u8),
}

/// What can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// A conversation by parts of its name.
    Conversation,
    /// Messages by what is in them.
    Words,
    /// Messages that name this account.
    Mentions,
}

/// A way to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    /// To the first one that is not read.
    Unread,
    /// To the one that the selected one answers.
    Answered,
    /// To where the person was before the last jump.
    Back,
}

/// A direction on the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Towards older messages.
    Older,
    /// Towards newer messages.
    Newer,
}
