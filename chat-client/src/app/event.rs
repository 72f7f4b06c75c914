//! What happens to the terminal client: keys, time, and what the node has to say. All of it plain
//! values, so that a test can write them.

use crossterm::event::{KeyEvent, MouseEvent};
use protocol::{
    ids::{AccountId, ConversationId, Seq},
    time::WallTime,
};

use super::{
    code::{Code, Run},
    conversation::{Member, Pending, Reached, Summary},
    first_run::Setup,
    link::Link,
    picker::Purpose,
    timeline::{Entry, ItemKey, Scroll},
};
use crate::{app::Background, lab::ladder::Trace, settings::save::Change};

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A key went down.
    Key(KeyEvent),
    /// A mouse button or the wheel.
    Mouse(MouseEvent),
    /// What was being written comes back from the editor, or why not.
    Edited(ConversationId, Result<String, String>),
    /// A bracketed paste: text that nobody typed.
    Paste(String),
    /// A whole line was written where no single keys are heard.
    Line(String),
    /// The linear view has said all that there was to be said once.
    Told,
    /// The terminal window has another size; the next draw finds it by itself.
    Resized,
    /// The terminal window is, or is no longer, in front.
    Focus(Focus),
    /// What the terminal paints text on, told late.
    Background(Background),
    /// It is now this late.
    Clock(WallTime),
    /// The words of a block of code, from [`Effect::Highlight`](super::effect::Effect::Highlight).
    Highlighted(Code, Vec<Run>),
    /// The system wants the client to end.
    End,
    /// The view drew this.
    Drawn(Drawn),
    /// From the node.
    Data(Data),
    /// From the set-up before there is a node.
    Setup(Setup),
}

/// Whether the person can see the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// The window is in front, as far as is known.
    Gained,
    /// Another one is.
    Lost,
}

/// What of the timeline came to be on the screen. The model keeps it, so that scrolling by pages
/// needs no knowledge of line breaks, and resizing keeps the reading position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Which conversation.
    pub conversation: ConversationId,
    /// Rows of the timeline pane.
    pub rows: u16,
    /// Where the view really stands, after all wishes were met or clamped.
    pub scroll: Scroll,
    /// The oldest item on the screen.
    pub top: Option<ItemKey>,
    /// The newest record that is wholly on the screen.
    pub seen: Option<Seq>,
    /// The oldest loaded item is on the screen, or nearly.
    pub reaches_oldest: bool,
    /// The newest loaded item is on the screen.
    pub reaches_newest: bool,
    /// Where messages can be clicked.
    pub spots: Spots,
    /// Code on the screen whose words are not known.
    pub code: Vec<Code>,
}

/// Which records stand on which rows of the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spots {
    /// The first column of the timeline.
    pub left: u16,
    /// The first column to the right of it.
    pub right: u16,
    /// Rows of the screen and the records on them.
    pub rows: Vec<(u16, Seq)>,
}

impl Spots {
    /// The record at a place on the screen.
    pub fn at(&self, column: u16, row: u16) -> Option<Seq> {
        let is_within = (self.left..self.right).contains(&column);
        let found = self.rows.iter().find(|(known, _)| *known == row && is_within);
        found.map(|(_, seq)| *seq)
    }
}

/// What the node says.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// All conversations there are.
    Conversations(Vec<Summary>),
    /// One of them is new or changed.
    Conversation(Box<Summary>),
    /// One of them is no longer ours.
    Gone(ConversationId, Option<String>),
    /// What was being written there, from an earlier run.
    Draft(ConversationId, String),
    /// A page of history that was asked for, or that fills the first screen.
    Page(Page),
    /// New records at the end of a conversation.
    Appended(ConversationId, Vec<Entry>),
    /// Records on the screen may not be in the history any more.
    Forked(ConversationId),
    /// An own message that is not in the history yet is new, or stands differently.
    Pending(Pending),
    /// One was taken back, or dismissed.
    PendingGone(u64),
    /// How far the others have got.
    Progress(ConversationId, Reached),
    /// Somebody is writing.
    Typing(ConversationId, String),
    /// Who came, and who went.
    Presence(Vec<(AccountId, bool)>),
    /// The connection, the account, the relay.
    Link(Link),
    /// Something a person must be told, wherever they are.
    Told(String),
    /// These words are not on their way, and why.
    Unsaid(ConversationId, String, String),
    /// These settings are in the file now, which is there; or why they are not.
    Saved(Vec<Change>, Result<String, String>),
    /// What came of an [`Ask`](super::effect::Ask).
    Answered(Result<Answer, String>),
    /// What a search found, or why it could not be made.
    Found(Purpose, Result<Findings, String>),
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The messages, newest first.
    pub messages: Vec<Finding>,
    /// What was said before this was not looked at; everything was, if absent.
    pub back_to: Option<WallTime>,
    /// Stored records that no search sees yet.
    pub unindexed: u64,
}

/// A message that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where it is.
    pub conversation: ConversationId,
    /// Its place there.
    pub seq: Seq,
    /// The relay's clock.
    pub time: WallTime,
    /// Who said it.
    pub sender: String,
    /// Its newest words.
    pub text: String,
}

/// A page of history.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Of which conversation.
    pub conversation: ConversationId,
    /// Where it belongs.
    pub place: Place,
    /// Oldest first, without gaps.
    pub entries: Vec<Entry>,
    /// Edits, reactions and deletions outside the page that act on its records.
    pub amends: Vec<Entry>,
    /// Nothing older can be had.
    pub is_oldest: bool,
}

/// Which page of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The newest one.
    Newest,
    /// The one just below this record.
    Before(Seq),
    /// The one just above this record.
    After(Seq),
    /// The one with this record in its middle.
    Around(Seq),
    /// The one around the first record of then or later; comes as [`Self::Around`].
    Since(WallTime),
}

/// What a question brought, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done, and this is worth saying; empty if the change shows by itself.
    Done(String),
    /// The person is to be taken there.
    Open(ConversationId),
    /// Who is in a conversation.
    Members(ConversationId, Vec<Member>),
    /// A list: its title and lines.
    List(String, Vec<String>),
    /// What happened to packets; nothing, if that could not be had.
    Trace(Option<Box<Trace>>),
}
