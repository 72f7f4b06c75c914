//! One conversation as the screen knows it: what the list says about it, its timeline, what waits
//! in the outbox, what is being written.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    ids::{AccountId, ConversationId, MessageId, Seq},
    time::WallTime,
};

use super::{
    composer::Composer,
    effect::Saying,
    mention::is_mentioned,
    purpose::Purpose,
    timeline::{Entry, Scroll, Timeline},
};

/// How long a person counts as writing after the last sign of it.
pub const TYPING_MILLIS: u64 = 6_000;

/// Most messages of one batch that are counted as naming somebody.
const MENTIONS_MAX: usize = 1_000;

/// Most authors of messages that nobody sees that are told apart.
const AUTHORS_MAX: usize = 20;

/// What the conversation list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Which.
    pub id: ConversationId,
    /// What sort.
    pub sort: Sort,
    /// The room's or the person's name, without `#` or `@`.
    pub name: String,
    /// The topic; empty if none.
    pub topic: String,
    /// How this account stands to it.
    pub standing: Standing,
    /// Records above the read marker.
    pub unread: u64,
    /// Newest record at the relay.
    pub head: Seq,
    /// Read up to here, on any device.
    pub read: Seq,
    /// How many members, this account among them.
    pub members: u32,
    /// The other one, of a direct conversation.
    pub peer: Option<AccountId>,
    /// When the newest record that is stored here was made.
    pub active: WallTime,
    /// Who can read it besides its members.
    pub privacy: Privacy,
}

impl Summary {
    /// The name with the mark of its sort.
    pub fn title(&self) -> String {
        match self.sort {
            Sort::Room => format!("#{}", self.name),
            Sort::Direct => format!("@{}", self.name),
        }
    }
}

/// What sort of conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// One with a name.
    Room,
    /// One of two people.
    Direct,
}

/// How this account stands to a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A member.
    Joined,
    /// Asked in, or a stranger's first message waits; not answered yet.
    Invited,
    /// Has asked to be admitted.
    Requested,
    /// Not a member.
    Outside,
}

/// Who can read a conversation besides its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privacy {
    /// Whoever runs the relay.
    RelayCanRead,
    /// Nobody.
    Sealed,
}

/// Somebody in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub account: AccountId,
    /// What they are called.
    pub name: String,
    /// What they may do.
    pub rank: Rank,
    /// How they stand to it.
    pub standing: Standing,
    /// Whether they were connected when it was asked.
    pub is_here: bool,
}

/// What a member may do, the most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Everything.
    Owner,
    /// Keep order.
    Moderator,
    /// Talk.
    Plain,
}

/// An own message that is not in the history yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its name on this device.
    pub local: u64,
    /// Where it goes; `None` while the relay has not said which conversation that is.
    pub conversation: Option<ConversationId>,
    /// What its record will be called, once it has a number.
    pub id: Option<MessageId>,
    /// When it was composed.
    pub composed_at: WallTime,
    /// What it says.
    pub saying: Saying,
    /// How far it has got.
    pub state: PendingState,
}

impl Pending {
    /// True while the relay has not decided.
    pub const fn is_waiting(&self) -> bool {
        match self.state {
            PendingState::Queued | PendingState::Slowed(..) | PendingState::Held { .. } => true,
            PendingState::Sent(_) | PendingState::Failed(_) => false,
        }
    }
}

/// How far an own message has got with the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PendingState {
    /// Durable here; not known to be durable on the relay.
    Queued,
    /// The relay asked to wait until then; it goes on by itself.
    Slowed(WallTime, String),
    /// Durable on the relay, in this place.
    Sent(Seq),
    /// The name it goes to changed hands: a person has to decide first.
    Held {
        /// The name.
        name: String,
        /// Whom it means now.
        account: AccountId,
    },
    /// Definitely and finally refused, and why.
    Failed(String),
}

/// How far the others have got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Some members, one by one: received up to, read up to.
    Members(Vec<(AccountId, Seq, Seq)>),
    /// In a large conversation: of this own message so many.
    Count {
        /// The newest own message.
        seq: Seq,
        /// How many have it.
        received: u32,
        /// How many have read it.
        read: u32,
        /// Of how many.
        of: u32,
    },
}

/// How many of the others have a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// How many have it.
    pub received: u32,
    /// How many have read it.
    pub read: u32,
    /// Of how many; 0 if not known.
    pub of: u32,
}

/// A conversation.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// What the list says.
    pub summary: Summary,
    /// Its records.
    pub timeline: Timeline,
    /// What is being written.
    pub composer: Composer,
    /// What it is written for, if not simply to be said.
    pub purpose: Option<Purpose>,
    /// Where the screen stands.
    pub scroll: Scroll,
    /// Rows that the person wants to move, up if negative; the next draw settles it.
    pub scroll_wish: i32,
    /// The message that `/reply`, `/edit`, `/delete` and `/react` mean.
    pub selected: Option<Seq>,
    /// The first record that was unread when the conversation was opened.
    pub unread_from: Option<Seq>,
    /// Unread messages that name this account.
    pub mentions: BTreeSet<Seq>,
    /// Where the screen was before a jump, while the page around that is being fetched.
    pub return_to: Option<Scroll>,
    /// A page was asked for and has not come.
    pub is_loading: bool,
    /// Who is in it, the highest rank first; empty before anybody asked.
    pub people: Vec<Member>,
    /// How many messages of whom came while it was not on the screen; of many, the first.
    pub came: BTreeMap<String, u32>,
    /// When it last notified the person.
    pub called: Option<WallTime>,
    /// Who is writing, and until when that counts.
    typing: BTreeMap<String, WallTime>,
    members: BTreeMap<AccountId, (Seq, Seq)>,
    count: Option<(Seq, Delivery)>,
    reported_read: Seq,
    /// How far it was read when the relay was last heard, until the relay has said what is new since.
    missed_above: Option<Seq>,
    /// The relay is heard again.
    is_back: bool,
}

impl Conversation {
    /// A conversation of which nothing is loaded yet.
    pub fn new(summary: Summary) -> Self {
        Self {
            reported_read: summary.read,
            missed_above: Some(summary.read),
            is_back: false,
            summary,
            timeline: Timeline::default(),
            composer: Composer::default(),
            purpose: None,
            scroll: Scroll::Live,
            scroll_wish: 0,
            selected: None,
            unread_from: None,
            mentions: BTreeSet::new(),
            return_to: None,
            is_loading: false,
            people: Vec::new(),
            came: BTreeMap::new(),
            called: None,
            typing: BTreeMap::new(),
            members: BTreeMap::new(),
            count: None,
        }
    }

    /// Takes what the relay says now.
    pub fn update(&mut self, summary: Summary) {
        self.reported_read = self.reported_read.max(summary.read);
        self.mentions = self.mentions.split_off(&summary.read.next());
        self.summary = summary;
    }

    /// When something last happened in it, as far as is known here.
    pub fn active(&self) -> WallTime {
        let newest = self.timeline.entries().back().map(|entry| entry.time);
        newest.unwrap_or_default().max(self.summary.active)
    }

    /// Shows exactly this place, and selects nothing.
    pub fn stand_at(&mut self, scroll: Scroll) {
        self.scroll = scroll;
        self.scroll_wish = 0;
        self.selected = None;
    }

    /// Marks where unread begins, when the person comes to this conversation. Of one in which nothing
    /// was ever read, everything is new, and that needs no mark.
    pub fn open(&mut self) {
        let Summary { unread, read, head, .. } = self.summary;
        let is_begun = read > Seq::ZERO && read < head;
        self.came.clear();
        self.unread_from = (unread > 0 && is_begun).then(|| read.next());
    }

    /// The relay is not heard any more: what comes from here on is missed.
    pub fn leave_live(&mut self) {
        self.missed_above = Some(self.reported_read);
    }

    /// The relay is heard again. What it says next of this conversation is how far it is now.
    pub fn become_live(&mut self) {
        self.is_back = true;
    }

    /// Marks where the records begin that were missed. They may be on the screen, and read, before
    /// the relay is known to be back.
    pub fn mark_missed(&mut self) {
        let Some(read) = self.missed_above else { return };
        let is_marked = self.unread_from.is_some_and(|from| from > read);
        if read > Seq::ZERO && read < self.summary.head && !is_marked {
            self.unread_from = Some(read.next());
        }
        if self.is_back {
            self.missed_above = None;
            self.is_back = false;
        }
    }

    /// The person has seen this record; `Some` if that is news for the relay.
    pub fn see(&mut self, seq: Seq) -> Option<Seq> {
        if seq <= self.reported_read {
            return None;
        }
        self.reported_read = seq;
        self.summary.read = self.summary.read.max(seq);
        self.mentions = self.mentions.split_off(&seq.next());
        self.summary.unread = self.summary.head.0.saturating_sub(seq.0).min(self.summary.unread);
        Some(seq)
    }

    /// Notes which of these new messages name somebody who has not read them.
    pub fn note_mentions(&mut self, entries: &[Entry], name: &str) {
        let unread = entries.iter().filter(|e| e.seq > self.reported_read && !e.sender.is_me());
        let naming = unread.filter(|e| e.words().is_some_and(|words| is_mentioned(words, name)));
        self.mentions.extend(naming.map(|entry| entry.seq).take(MENTIONS_MAX));
    }

    /// Notes that a message of an earlier run names somebody, unless they have read it.
    pub fn note_mention(&mut self, seq: Seq) {
        if seq > self.reported_read && self.mentions.len() < MENTIONS_MAX {
            self.mentions.insert(seq);
        }
    }

    /// Notes whose new messages nobody sees.
    pub fn note_came(&mut self, entries: &[Entry]) {
        let unread = entries.iter().filter(|e| e.seq > self.reported_read && !e.sender.is_me());
        for entry in unread.filter(|entry| entry.is_speech()) {
            let author = entry.sender.name();
            if self.came.len() < AUTHORS_MAX || self.came.contains_key(author) {
                *self.came.entry(author.to_owned()).or_default() += 1;
            }
        }
    }

    /// Notes how far others have got. Progress only rises.
    pub fn note_progress(&mut self, reached: Reached) {
        match reached {
            Reached::Members(members) => {
                for (account, received, read) in members {
                    let known = self.members.entry(account).or_default();
                    *known = (known.0.max(received), known.1.max(read));
                }
            }
            Reached::Count { seq, received, read, of } => {
                self.count = Some((seq, Delivery { received, read, of }));
            }
        }
    }

    /// How many of the others have this record.
    pub fn delivery(&self, seq: Seq) -> Delivery {
        if let Some((counted, delivery)) = self.count
            && seq <= counted
        {
            return delivery;
        }
        let at_least = |up_to: fn(&(Seq, Seq)) -> Seq| {
            let count = self.members.values().filter(|reached| up_to(reached) >= seq).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let received = at_least(|reached| reached.0.max(reached.1));
        let read = at_least(|reached| reached.1);
        // The number of members is older news than who has it.
        Delivery { received, read, of: self.summary.members.saturating_sub(1).max(received) }
    }

    /// Which of the others have this record, as far as the relay tells it one by one, and whether
    /// they have read it.
    pub fn reached(&self, seq: Seq) -> impl Iterator<Item = (AccountId, bool)> {
        let have =
            self.members.iter().filter(move |(_, (received, read))| *received.max(read) >= seq);
        have.map(move |(account, (_, read))| (*account, *read >= seq))
    }

    /// Notes that somebody is writing.
    pub fn note_typing(&mut self, name: String, now: WallTime) {
        self.typing.insert(name, WallTime::from_millis(now.as_millis() + TYPING_MILLIS));
    }

    /// Somebody has said what they were writing.
    pub fn end_typing(&mut self, name: &str) {
        self.typing.remove(name);
    }

    /// Who is writing now.
    pub fn typing(&self, now: WallTime) -> impl Iterator<Item = &str> {
        self.typing.iter().filter(move |(_, until)| **until > now).map(|(name, _)| name.as_str())
    }

    /// Forgets who stopped writing; `true` if somebody did.
    pub fn expire_typing(&mut self, now: WallTime) -> bool {
        let before = self.typing.len();
        self.typing.retain(|_, until| *until > now);
        self.typing.len() != before
    }

    /// The message that a command without a number means: the selected one, or `otherwise`.
    pub fn chosen<'a>(
        &'a self,
        otherwise: impl FnOnce(&'a Timeline) -> Option<&'a Entry>,
    ) -> Option<&'a Entry> {
        match self.selected {
            Some(seq) => self.timeline.entry(seq),
            None => otherwise(&self.timeline),
        }
    }
}
