//! What the terminal client wants done: the loop in [`run`](super::run) does it.

use protocol::{
    ids::{AccountId, ConversationId, MessageId, Seq},
    lab::order::Order,
    message::{event::Set, record::Target},
};

use super::{Notification, Way, Wheel, code::Code, event::Place, picker::Purpose};
use crate::{search::Query, settings::save::Change};

/// Something to be done outside the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Fetch a page of history.
    Load(ConversationId, Place),
    /// Say something. The outbox event that follows shows it.
    Say(ConversationId, Saying),
    /// The person has read up to here.
    Read(ConversationId, Seq),
    /// This conversation is on the screen now.
    Show(Vec<ConversationId>),
    /// The person is writing there.
    Typing(ConversationId),
    /// Keep what is being written; empty to forget it.
    SaveDraft(ConversationId, String),
    /// Take a message back that was never transmitted, or dismiss a failed one.
    Cancel(u64),
    /// A question or an order to the relay; answered by
    /// [`Data::Answered`](super::event::Data::Answered).
    Ask(Ask),
    /// Search the local history; answered by [`Data::Found`](super::event::Data::Found).
    Search(Purpose, Query),
    /// Something of the set-up before there is a node.
    Setup(SetupStep),
    /// Tell the words of a block apart; answered by
    /// [`Event::Highlighted`](super::event::Event::Highlighted).
    Highlight(Code),
    /// Give a text to the terminal's clipboard.
    Copy(String),
    /// Let the person's editor change what is being written; answered by
    /// [`Event::Edited`](super::event::Event::Edited).
    OpenEditor(ConversationId, String),
    /// Open a link with the person's browser.
    OpenLink(String),
    /// Run these words of a command with this on its standard input: somebody wants attention.
    Hook(Vec<String>, String),
    /// Notify the person: somebody wants attention and the window is not in front.
    Notify(Way, Notification),
    /// Give the mouse to the terminal, or take it.
    Wheel(Wheel),
    /// Write these settings into the file; answered by
    /// [`Data::Saved`](super::event::Data::Saved).
    Save(Vec<Change>),
    /// Paint everything anew.
    Redraw,
    /// Stop as a job of the shell until it continues us.
    Suspend,
    /// Leave.
    Quit,
}

/// Something a person says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saying {
    /// Words, perhaps in answer to a message.
    Text(String, Option<Target>),
    /// Words in the third person.
    Action(String),
    /// New words for an own message.
    Edit(Target, String),
    /// A message is to be erased.
    Delete(Target),
    /// A reaction to a message.
    React(Target, String, Set),
}

/// A question or an order to the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Join a room, or found it.
    Join(String),
    /// Leave a room, or refuse a direct conversation.
    Leave(ConversationId),
    /// Open the direct conversation with somebody and, unless empty, say this.
    Message(String, String),
    /// Accept a stranger's direct conversation.
    Accept(ConversationId),
    /// Believe that a name means this account from now on: it changed hands.
    AcceptName(String, AccountId),
    /// Set the topic.
    Topic(ConversationId, String),
    /// Take another name.
    Rename(String),
    /// List the members.
    Members(ConversationId),
    /// List the rooms whose names contain this.
    Rooms(String),
    /// Ask somebody in.
    Invite(ConversationId, String),
    /// Remove somebody, with a reason.
    Kick(ConversationId, String, String),
    /// Remove somebody and keep them out, with a reason.
    Ban(ConversationId, String, String),
    /// Let somebody return.
    Unban(ConversationId, String),
    /// Take somebody's voice for this many minutes.
    Mute(ConversationId, String, u32),
    /// Give somebody's voice back.
    Unmute(ConversationId, String),
    /// Make somebody a moderator.
    Promote(ConversationId, String),
    /// Make somebody a plain member.
    Demote(ConversationId, String),
    /// Take no more direct messages from somebody.
    Block(String),
    /// Take them again.
    Unblock(String),
    /// What the connection has measured and counted.
    Connection,
    /// Try to connect now.
    Reconnect,
    /// What happened to the last packets.
    Trace,
    /// What became of an own message.
    Life(MessageId),
    /// Make the path to the relay worse, or good again.
    Impair(Order),
}

/// A step of the first run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetupStep {
    /// Look for a relay on this host, or run the one of this home again.
    Find,
    /// Use what is known without running a relay.
    Open,
    /// Use the relay that was found, with the key that was shown, under this name.
    Trust {
        /// Where it is.
        address: String,
        /// The fingerprint that the person saw and accepted.
        fingerprint: String,
        /// The name to ask for.
        name: String,
    },
    /// Run a relay in this process and use it under this name.
    Host {
        /// For whom.
        reach: Reach,
        /// The name to ask for.
        name: String,
    },
    /// Ask the relay for another name: the first one was refused.
    Register {
        /// The name to ask for.
        name: String,
    },
}

/// From where a hosted relay can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// From this machine only.
    Machine,
    /// From the network.
    Network,
}
