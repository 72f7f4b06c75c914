//! What stands on the timeline, and all there is to be told about it: the full screen paints it, the
//! linear view says it in words. Foreign text in it is as it came.

use std::collections::BTreeMap;

use protocol::{
    ids::Seq,
    message::{
        event::Change,
        record::Target,
        room::{Access, Role},
    },
    time::WallTime,
};

use super::{
    App,
    conversation::{Conversation, Delivery, Pending, PendingState, Sort, Standing, Summary},
    effect::Saying,
    timeline::{Entry, ItemKey, Notice, Said, Sender, Timeline},
};

/// How many people one folded line names; more are counted.
const FOLD_NAMES_MAX: usize = 6;

/// Something on the timeline.
#[derive(Clone, Debug)]
pub(crate) enum Item<'a> {
    /// One record.
    Entry(&'a Entry),
    /// Comings and goings right after one another.
    Traffic(Vec<&'a Entry>),
    /// An own message that is not in the history yet.
    Pending(&'a Pending),
}

/// Everything that has a place on the timeline, oldest first. Amends have none.
pub(crate) fn items<'a>(app: &'a App, conversation: &'a Conversation) -> Vec<Item<'a>> {
    let mut items: Vec<Item<'a>> = Vec::with_capacity(conversation.timeline.entries().len());
    for entry in conversation.timeline.entries().iter().filter(|entry| !entry.is_amend()) {
        match items.last_mut() {
            Some(Item::Traffic(folded)) if entry.is_traffic() => folded.push(entry),
            _ if entry.is_traffic() => items.push(Item::Traffic(vec![entry])),
            _ => items.push(Item::Entry(entry)),
        }
    }
    if conversation.timeline.reaches_newest || items.is_empty() {
        items.extend(app.pending(conversation.summary.id).map(Item::Pending));
    }
    items
}

impl Item<'_> {
    /// Its name. Items are in the order of their names.
    pub(crate) fn key(&self) -> ItemKey {
        match self {
            Self::Entry(entry) => ItemKey::Entry(entry.seq),
            Self::Traffic(folded) => ItemKey::Entry(folded.last().map_or(Seq::ZERO, |e| e.seq)),
            Self::Pending(pending) => ItemKey::Pending(pending.local),
        }
    }

    /// Its newest record.
    pub(crate) fn last_record(&self) -> Option<Seq> {
        match self.key() {
            ItemKey::Entry(seq) => Some(seq),
            ItemKey::Pending(_) => None,
        }
    }

    /// The record, if it is somebody's words and can be selected.
    pub(crate) fn message(&self) -> Option<Seq> {
        match self {
            Self::Entry(entry) if entry.is_speech() => Some(entry.seq),
            Self::Entry(_) | Self::Traffic(_) | Self::Pending(_) => None,
        }
    }

    /// Its oldest record.
    pub(crate) fn first_record(&self) -> Option<Seq> {
        match self {
            Self::Entry(entry) => Some(entry.seq),
            Self::Traffic(folded) => folded.first().map(|entry| entry.seq),
            Self::Pending(_) => None,
        }
    }

    /// When it happened, by the relay's clock; by this one while it is on its way.
    pub(crate) fn time(&self) -> WallTime {
        match self {
            Self::Entry(entry) => entry.time,
            Self::Traffic(folded) => folded.last().map_or_else(WallTime::default, |e| e.time),
            Self::Pending(pending) => pending.composed_at,
        }
    }

    /// Whose words, if somebody's, and whether they are this account's.
    pub(crate) fn speaker<'b>(&'b self, own_name: &'b str) -> Option<(bool, &'b str)> {
        match self {
            Self::Entry(entry) if matches!(entry.said, Said::Action(_) | Said::Notice(_)) => None,
            Self::Entry(entry) if entry.sender == Sender::Relay => None,
            Self::Entry(entry) => Some((entry.sender.is_me(), entry.sender.name())),
            Self::Traffic(_) => None,
            Self::Pending(pending) if matches!(pending.saying, Saying::Action(_)) => None,
            Self::Pending(_) => Some((true, own_name)),
        }
    }
}

/// All there is to be told about something on the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description<'a> {
    /// What it is.
    pub(crate) content: Content<'a>,
    /// What it answers.
    pub(crate) answers: Option<Quote<'a>>,
    /// Its author has given it other words.
    pub(crate) is_edited: bool,
    /// How far an own message has got.
    pub(crate) progress: Option<Progress<'a>>,
    /// Each reaction, how often, and whether this account is among them.
    pub(crate) reactions: Vec<(&'a str, usize, bool)>,
}

/// What something on the timeline is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// Somebody's words.
    Words(&'a str),
    /// Somebody's words about themselves: who, and what they do.
    Action(&'a str, &'a str),
    /// What happened to the room, in sentences.
    Happened(Vec<String>),
    /// Somebody's words, which are gone.
    Deleted,
    /// Something that a later version made.
    NeedsNewer,
    /// Something malformed.
    Unreadable,
    /// New words on their way to an earlier message.
    Edit(&'a str),
    /// A deletion on its way.
    Delete,
    /// A reaction on its way.
    Reaction(&'a str),
}

/// The message that another one answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Quote<'a> {
    /// It is further up than what is in memory.
    Earlier,
    /// Whose it is, and what it says now.
    Words(&'a str, &'a str),
    /// Whose it was; it is gone.
    Deleted(&'a str),
}

/// How far an own message has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress<'a> {
    /// On its way to the relay.
    Pending(&'a PendingState),
    /// In the history.
    Stored(Delivery),
}

impl<'a> Description<'a> {
    const fn plain(content: Content<'a>) -> Self {
        Self { content, answers: None, is_edited: false, progress: None, reactions: Vec::new() }
    }

    /// Of something in this conversation.
    pub(crate) fn of(app: &'a App, conversation: &'a Conversation, item: &Item<'a>) -> Self {
        match item {
            Item::Entry(entry) => Self::of_entry(conversation, entry),
            Item::Traffic(folded) => Self::plain(Content::Happened(traffic(folded))),
            Item::Pending(pending) => Self::of_pending(app, conversation, pending),
        }
    }

    fn of_entry(conversation: &'a Conversation, entry: &'a Entry) -> Self {
        let timeline = &conversation.timeline;
        let amended = timeline.amended(entry);
        let (content, answers) = match &entry.said {
            _ if amended.is_deleted => return Self::plain(Content::Deleted),
            Said::Text(text, target) => {
                let answers = target.map(|target| Quote::of(timeline, target));
                (Content::Words(amended.text.unwrap_or(text)), answers)
            }
            Said::Action(text) => {
                (Content::Action(entry.sender.name(), amended.text.unwrap_or(text)), None)
            }
            Said::Notice(notice) => return Self::plain(Content::Happened(vec![describe(notice)])),
            Said::NeedsNewer => return Self::plain(Content::NeedsNewer),
            // Amends are no items, and what is erased is deleted.
            Said::Unreadable
            | Said::Edit(..)
            | Said::Delete(_)
            | Said::React(..)
            | Said::Erased => return Self::plain(Content::Unreadable),
        };
        let delivery = || Progress::Stored(conversation.delivery(entry.seq));
        Self {
            content,
            answers,
            is_edited: amended.text.is_some(),
            progress: entry.sender.is_me().then(delivery),
            reactions: amended.reactions,
        }
    }

    fn of_pending(app: &'a App, conversation: &'a Conversation, pending: &'a Pending) -> Self {
        let (content, answers) = match &pending.saying {
            Saying::Text(text, target) => {
                let quote = target.map(|target| Quote::of(&conversation.timeline, target));
                (Content::Words(text), quote)
            }
            Saying::Action(text) => (Content::Action(&app.link.name, text), None),
            Saying::Edit(_, text) => (Content::Edit(text), None),
            Saying::Delete(_) => (Content::Delete, None),
            Saying::React(_, emoji, _) => (Content::Reaction(emoji), None),
        };
        let progress = Some(Progress::Pending(&pending.state));
        Self { answers, progress, ..Self::plain(content) }
    }
}

impl<'a> Quote<'a> {
    fn of(timeline: &'a Timeline, target: Target) -> Self {
        let quoted = timeline.entry(target.seq).filter(|entry| entry.id == Some(target.id));
        let Some(entry) = quoted else { return Self::Earlier };
        let author = entry.sender.name();
        let amended = timeline.amended(entry);
        match (&entry.said, amended.text) {
            _ if amended.is_deleted => Self::Deleted(author),
            (_, Some(text)) => Self::Words(author, text),
            (Said::Text(text, _) | Said::Action(text), None) => Self::Words(author, text),
            (_, None) => Self::Words(author, ""),
        }
    }
}

/// What has to be decided before anything can be said in a conversation.
pub(crate) fn question(summary: &Summary) -> Option<String> {
    let name = &summary.name;
    match (summary.standing, summary.sort) {
        (Standing::Invited, Sort::Direct) => {
            Some(format!("{name} wants to talk: /accept, /part or /block {name}"))
        }
        (Standing::Invited, Sort::Room) => Some(format!("you are invited: /join #{name} or /part")),
        (Standing::Requested, _) => Some("waiting to be admitted".to_owned()),
        (Standing::Outside, _) => Some("you are not a member".to_owned()),
        (Standing::Joined, _) => None,
    }
}

/// Comings and goings in short: who is new and who is gone, after all of it.
fn traffic(folded: &[&Entry]) -> Vec<String> {
    let mut latest: BTreeMap<&str, &Change> = BTreeMap::new();
    let mut order = Vec::new();
    for entry in folded {
        if let Said::Notice(notice) = &entry.said
            && latest.insert(&notice.subject, &notice.change).is_none()
        {
            order.push(notice.subject.as_str());
        }
    }
    let list = |wanted: &Change, verb: &str| {
        let names: Vec<&str> =
            order.iter().copied().filter(|name| latest[name] == wanted).collect();
        let more = names.len().saturating_sub(FOLD_NAMES_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let first = names.iter().take(FOLD_NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
        (!first.is_empty()).then(|| format!("{first}{more} {verb}"))
    };
    let parts = [list(&Change::Joined, "joined"), list(&Change::Left, "left")];
    parts.into_iter().flatten().collect()
}

/// A notice in words.
fn describe(notice: &Notice) -> String {
    let Notice { actor, subject, change, reason } = notice;
    let actor = if actor.is_empty() { "the relay" } else { actor };
    let what = match change {
        Change::Created => format!("{actor} opened this conversation"),
        Change::Joined => format!("{subject} joined"),
        Change::Left => format!("{subject} left"),
        Change::Kicked => format!("{actor} removed {subject}"),
        Change::Banned(_) => format!("{actor} banned {subject}"),
        Change::Unbanned => format!("{actor} lifted the ban of {subject}"),
        Change::Muted(_) => format!("{actor} muted {subject}"),
        Change::Unmuted => format!("{actor} unmuted {subject}"),
        Change::Role(role) => format!("{actor} made {subject} {}", role_name(*role)),
        Change::Topic(topic) if topic.is_empty() => format!("{actor} removed the topic"),
        Change::Topic(topic) => format!("{actor} set the topic: {topic}"),
        Change::Access(access) => format!("{actor} changed who may join: {}", access_name(*access)),
        Change::Invited => format!("{actor} invited {subject}"),
    };
    if reason.is_empty() { what } else { format!("{what} ({reason})") }
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::OWNER => "an owner",
        Role::MODERATOR => "a moderator",
        Role::MEMBER => "a member",
        Role(_) => "something that needs a newer version",
    }
}

const fn access_name(access: Access) -> &'static str {
    match access {
        Access::ANYONE => "anyone",
        Access::APPROVED => "whom a moderator admits",
        Access::INVITED => "whom a member invites",
        Access(_) => "needs a newer version",
    }
}
