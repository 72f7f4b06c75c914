//! The model of the full-screen client: model, update, view.
//!
//! ```text
//!   keys, clock, node ──▶ Event ──▶ update(&mut App, Event) ──▶ Vec<Effect> ──▶ node, terminal
//!                           ▲               │
//!                         Drawn ◀── ui::view(&App, frame)
//! ```
//!
//! Everything here but [`run`] is pure: the time is a field, the node is a source of [`event::Data`]
//! and a sink of [`effect::Effect`]s. To add a key: [`keymap`]; a command: [`slash`]; something from
//! the relay: [`event::Data`] and `data.rs`.

pub mod action;
mod adapt;
mod ask;
pub mod bar;
pub mod code;
pub mod completion;
pub mod composer;
pub mod conversation;
mod data;
pub mod deletion;
pub(crate) mod description;
mod details;
pub mod effect;
pub mod event;
mod face;
pub(crate) mod find;
pub mod first_run;
pub mod inspector;
mod jump;
pub mod keymap;
mod layout;
pub mod link;
pub mod links;
mod look;
pub mod mention;
pub mod names;
mod notify;
mod perform;
pub mod picker;
pub mod purpose;
pub mod run;
mod seek;
mod session;
mod set;
mod setup;
pub mod slash;
pub mod timeline;
pub mod update;
mod verb;
pub mod vi;

#[cfg(test)]
mod acting_tests;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::tz::TimeZone;
use protocol::{
    ids::{AccountId, ConversationId},
    time::WallTime,
};

use self::{
    bar::Bar,
    code::Highlights,
    completion::Completion,
    conversation::{Conversation, Pending, PendingState, Sort, Standing, Summary},
    deletion::Deletion,
    event::{Focus, Spots},
    first_run::FirstRun,
    inspector::Inspector,
    link::{Link, LinkState},
    names::Names,
    picker::Picker,
};
use crate::{
    settings::{Preferences, Problem},
    store::layout::Layout,
};

pub use self::{
    look::{Abilities, Background, Colour, Look, Multiplexer, Way},
    notify::Notification,
    run::run,
    update::update,
};

/// How often a time on the screen changes.
const TICK: Duration = Duration::from_secs(1);
/// Silence of the relay that a person is told of: longer than that of a relay that has nothing to
/// say, which is asked every fifteen seconds whether it is there.
const SILENCE: Duration = Duration::from_secs(20);

/// Everything the screen shows.
#[derive(Clone, Debug)]
pub struct App {
    /// The person's clock, as of the last [`event::Event::Clock`].
    pub now: WallTime,
    /// Where the person is, for hours and days.
    pub zone: TimeZone,
    /// What the terminal can do.
    pub abilities: Abilities,
    /// Whether the window is in front.
    pub focus: Focus,
    /// The connection, the relay and the own account.
    pub link: Link,
    /// When anything last came from the relay.
    pub heard: Option<WallTime>,
    /// The first run, while it lasts.
    pub first_run: Option<FirstRun>,
    /// What lies over the conversation, if anything.
    pub overlay: Option<Overlay>,
    /// Whether the members of the conversation are listed beside it.
    pub lists_members: bool,
    /// What the connection does, while somebody looks at that.
    pub inspector: Option<Inspector>,
    /// Who is connected, as far as the relay tells.
    pub online: BTreeSet<AccountId>,
    /// The names that were seen, and which of them to doubt.
    pub names: Names,
    /// Writing as in vi, if that is wanted.
    vi: vi::Vi,
    /// What is known of the code on the screen.
    pub highlights: Highlights,
    /// Something to be said once, until the next key that matters.
    pub toast: Option<Toast>,
    /// What can be written next, while that is offered.
    pub completion: Option<Completion>,
    /// What can be done with the selected message, while that is offered.
    pub bar: Option<Bar>,
    /// A deletion that can still be taken back.
    pub deletion: Option<Deletion>,
    /// The next [`action::Action::Interrupt`] leaves.
    pub is_leaving: bool,
    conversations: BTreeMap<ConversationId, Conversation>,
    /// Rows of the timeline, as last drawn.
    rows: u16,
    /// Where messages can be clicked, as last drawn.
    spots: Spots,
    outbox: BTreeMap<u64, Pending>,
    /// Where the person was before each jump.
    trail: Vec<jump::Spot>,
    /// A search that is under way: its line.
    asked: Option<String>,
    /// What names this account and is unread has to be counted again.
    counts_mentions: bool,
    current: Option<ConversationId>,
    /// A second conversation on the screen, to be read only.
    beside: Option<ConversationId>,
    /// Which was on the screen before this one.
    previous: Option<ConversationId>,
    /// Where something was written that no store has yet, and since when.
    unsaved: Option<(ConversationId, WallTime)>,
    /// Whether the terminal's wheel scrolls.
    pub wheel: Wheel,
    /// What the person has decided about the client.
    pub preferences: Preferences,
    /// What is to be said with the first conversation on the screen.
    greeting: Option<Toast>,
    /// The panes of the last run, until the conversations are known.
    remembered: Option<Layout>,
    /// Where to go as soon as it is known: what the person asked to join or open.
    wanted: Option<ConversationId>,
}

/// Who has the mouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wheel {
    /// The client: the wheel scrolls the timeline.
    Scrolls,
    /// The terminal: text can be selected without further keys.
    IsTerminals,
}

/// What can lie over the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overlay {
    /// Keys and commands, from this line on.
    Help(u16),
    /// A list that was asked for, from this line on.
    List {
        /// What it is.
        title: String,
        /// It.
        lines: Vec<String>,
        /// The first line on the screen.
        from: u16,
    },
    /// A list to pick from.
    Pick(Box<Picker>),
}

/// Something said above the composer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toast {
    /// What.
    pub text: String,
    /// How it is meant.
    pub mood: Mood,
}

/// How a toast is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Good to know.
    Info,
    /// Something did not work.
    Error,
}

impl App {
    /// A client that knows nothing yet.
    pub fn new(now: WallTime, zone: TimeZone, colour: Colour) -> Self {
        Self {
            now,
            zone,
            abilities: Abilities { colour, ..Abilities::default() },
            focus: Focus::Gained,
            link: Link::default(),
            heard: None,
            first_run: Some(FirstRun::new()),
            overlay: None,
            lists_members: false,
            inspector: None,
            online: BTreeSet::new(),
            names: Names::default(),
            vi: vi::Vi::default(),
            highlights: Highlights::default(),
            toast: None,
            completion: None,
            bar: None,
            deletion: None,
            is_leaving: false,
            conversations: BTreeMap::new(),
            rows: update::ROWS_UNKNOWN,
            spots: Spots::default(),
            outbox: BTreeMap::new(),
            trail: Vec::new(),
            asked: None,
            counts_mentions: false,
            current: None,
            beside: None,
            previous: None,
            unsaved: None,
            wheel: Wheel::Scrolls,
            preferences: Preferences::default(),
            greeting: None,
            remembered: None,
            wanted: None,
        }
    }

    /// Takes what the person has decided, and what of it cannot be used.
    pub fn configure(&mut self, preferences: Preferences, problems: &[Problem]) {
        self.wheel = if preferences.values.ui.mouse { Wheel::Scrolls } else { Wheel::IsTerminals };
        self.preferences = preferences;
        self.greeting = problems.first().map(|problem| Toast {
            text: match problems.len() {
                1 => format!("settings: {problem}"),
                count => format!("settings: {problem} (1 of {count}: chat-client config check)"),
            },
            mood: Mood::Error,
        });
    }

    /// The conversations in the order of the list: rooms, people, strangers who ask; in each part,
    /// what was active last comes first.
    pub fn listed(&self) -> Vec<&Conversation> {
        let mut listed: Vec<_> = self.conversations.values().collect();
        listed.sort_by(|a, b| {
            let key = |c: &Conversation| {
                let Summary { standing, sort, active, name, id, .. } = &c.summary;
                let asks = *standing == Standing::Invited;
                (asks, *sort, Reverse(*active), name.to_lowercase(), *id)
            };
            key(a).cmp(&key(b))
        });
        listed
    }

    /// The conversation on the screen.
    pub fn current(&self) -> Option<&Conversation> {
        self.conversations.get(&self.current?)
    }

    /// The conversation on the screen, to be changed.
    fn current_mut(&mut self) -> Option<&mut Conversation> {
        self.conversations.get_mut(&self.current?)
    }

    /// The conversation that can be read beside it.
    pub fn beside(&self) -> Option<&Conversation> {
        self.conversations.get(&self.beside?)
    }

    /// A conversation that is known here.
    pub fn conversation(&self, id: ConversationId) -> Option<&Conversation> {
        self.conversations.get(&id)
    }

    /// Whether any of its history is in memory.
    pub fn has_history(&self, id: ConversationId) -> bool {
        self.conversation(id).is_some_and(|c| self.is_shown(id) || !c.timeline.entries().is_empty())
    }

    /// Whether it is on the screen.
    pub fn is_shown(&self, id: ConversationId) -> bool {
        self.current == Some(id) || self.beside == Some(id)
    }

    /// The own messages of a conversation that are not in its history yet, oldest first.
    pub fn pending(&self, id: ConversationId) -> impl DoubleEndedIterator<Item = &Pending> {
        self.outbox.values().filter(move |pending| pending.conversation == Some(id))
    }

    /// All conversations.
    pub fn conversations(&self) -> impl Iterator<Item = &Conversation> {
        self.conversations.values()
    }

    /// Whether a whole line would mean something now.
    pub fn takes_lines(&self) -> bool {
        match &self.first_run {
            Some(first_run) => first_run.waits(),
            None => self.current.is_some(),
        }
    }

    /// Whether everything that was said or asked for so far has happened, as far as it can now.
    pub fn is_settled(&self) -> bool {
        let is_coming = |pending: &Pending| match pending.state {
            PendingState::Queued | PendingState::Slowed(..) => true,
            PendingState::Sent(_) | PendingState::Held { .. } | PendingState::Failed(_) => false,
        };
        let is_read = self.current().is_none_or(|conversation| !conversation.is_loading);
        match self.link.state {
            _ if self.first_run.is_some() => true,
            _ if !is_read || self.asked.is_some() => false,
            LinkState::Connecting => false,
            LinkState::Live => self.wanted.is_none() && !self.outbox().any(is_coming),
            LinkState::Waiting { .. } | LinkState::Stopped(_) => true,
        }
    }

    /// All own messages that are not in a history yet, oldest first.
    pub fn outbox(&self) -> impl Iterator<Item = &Pending> {
        self.outbox.values()
    }

    /// Where the person is and what there is elsewhere, in a sentence.
    pub fn whereabouts(&self) -> String {
        let here = self.current().map_or_else(|| "nowhere".to_owned(), |c| c.summary.title());
        let elsewhere = self.elsewhere().map(|others| format!("; {others}")).unwrap_or_default();
        format!("you are in {here}{elsewhere}")
    }

    /// Which other conversations there are, if any.
    pub fn elsewhere(&self) -> Option<String> {
        let listed = self.listed();
        let others = listed.iter().filter(|c| Some(c.summary.id) != self.current);
        let told = |c: &&Conversation| match (c.summary.standing, c.summary.unread) {
            (Standing::Invited, _) => format!("{} asks", c.summary.title()),
            (_, 0) => c.summary.title(),
            (_, unread) => format!("{}, {unread} unread", c.summary.title()),
        };
        let others: Vec<_> = others.map(told).collect();
        (!others.is_empty()).then(|| format!("there are also {}", others.join("; ")))
    }

    /// How many own messages wait for the relay, in all conversations.
    pub fn waiting(&self) -> usize {
        self.outbox.values().filter(|pending| pending.is_waiting()).count()
    }

    /// Unread records in conversations that are not on the screen.
    pub fn unread_elsewhere(&self) -> u64 {
        let elsewhere = self.conversations.values().filter(|c| !self.is_shown(c.summary.id));
        elsewhere.map(|conversation| conversation.summary.unread).sum()
    }

    /// When the screen changes with time alone, if it does: something counts up or down on it.
    pub fn changes_in(&self) -> Option<Duration> {
        if self.inspector.is_some() {
            return Some(inspector::PERIOD);
        }
        if self.is_ticking() {
            return Some(TICK);
        }
        let heard = self.heard.filter(|_| self.first_run.is_none())?;
        let silent = self.now.as_millis().saturating_sub(heard.as_millis());
        Some(SILENCE.saturating_sub(Duration::from_millis(silent)).max(TICK))
    }

    /// How long the relay has said nothing, once that is worth mentioning.
    pub fn silence(&self) -> Option<Duration> {
        let silent = self.now.as_millis().saturating_sub(self.heard?.as_millis());
        Some(Duration::from_millis(silent)).filter(|silent| *silent >= SILENCE)
    }

    fn is_ticking(&self) -> bool {
        let counts_down = |pending: &Pending| matches!(pending.state, PendingState::Slowed(..));
        self.first_run.is_none()
            && (self.link.state != LinkState::Live
                || self.unsaved.is_some()
                || self.deletion.is_some()
                || self.link.faults.is_ticking(self.now)
                || self.outbox.values().any(counts_down)
                || self.current().is_some_and(|c| c.typing(self.now).next().is_some()))
    }

    fn say(&mut self, text: impl Into<String>) {
        self.toast = Some(Toast { text: text.into(), mood: Mood::Info });
    }

    fn complain(&mut self, text: impl Into<String>) {
        self.toast = Some(Toast { text: text.into(), mood: Mood::Error });
    }

    /// The conversation of this title (`#room`, `@name`), or whose name begins with it.
    fn named(&self, text: &str) -> Option<ConversationId> {
        let wanted = text.to_lowercase();
        let (sort, name) = match wanted.split_at_checked(1) {
            Some(("#", name)) => (Some(Sort::Room), name),
            Some(("@", name)) => (Some(Sort::Direct), name),
            Some(_) | None => (None, wanted.as_str()),
        };
        let fits = |c: &&Conversation| sort.is_none_or(|sort| sort == c.summary.sort);
        let candidates: Vec<_> = self.listed().into_iter().filter(fits).collect();
        let exact = candidates.iter().find(|c| c.summary.name.to_lowercase() == name);
        let begins = || candidates.iter().find(|c| c.summary.name.to_lowercase().starts_with(name));
        exact.or_else(begins).map(|conversation| conversation.summary.id)
    }
}
