//! The records of one conversation that are in memory: a window of its history without gaps, and
//! what edits, deletions and reactions do to it.
//!
//! ```text
//!   store   ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  any length
//!   window              ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓         at most WINDOW_ENTRIES_MAX
//!   screen                    ████                 what the view draws, found from the scroll anchor
//! ```
//!
//! Pages are added at both ends as the screen nears them, and the far end is let go.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::{
    ids::{AccountId, MessageId, Seq},
    message::{
        event::{Change, Set},
        record::Target,
    },
    time::WallTime,
};

/// Most records of one conversation in memory: some forty screens. A room that runs for months
/// costs no more than this.
pub const WINDOW_ENTRIES_MAX: usize = 1_000;

/// What people are called whose names are not known here.
pub const SOMEBODY: &str = "somebody";

/// A record as the timeline shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub seq: Seq,
    /// The relay's clock.
    pub time: WallTime,
    /// What to call it in an amend; `None` if its envelope is of a later version.
    pub id: Option<MessageId>,
    /// Who made it.
    pub sender: Sender,
    /// What it says.
    pub said: Said,
}

impl Entry {
    /// True for what changes other entries and has no place of its own on the screen.
    pub const fn is_amend(&self) -> bool {
        matches!(self.said, Said::Edit(..) | Said::Delete(_) | Said::React(..))
    }

    /// True for somebody's words.
    pub const fn is_speech(&self) -> bool {
        matches!(self.said, Said::Text(..) | Said::Action(_))
    }

    /// True for comings and goings, which fold into one line.
    pub const fn is_traffic(&self) -> bool {
        matches!(&self.said, Said::Notice(notice) if matches!(notice.change, Change::Joined | Change::Left))
    }

    /// What it says, if it is words.
    pub fn words(&self) -> Option<&str> {
        match &self.said {
            Said::Text(words, _) | Said::Action(words) | Said::Edit(_, words) => Some(words),
            Said::Delete(_)
            | Said::React(..)
            | Said::Notice(_)
            | Said::Erased
            | Said::NeedsNewer
            | Said::Unreadable => None,
        }
    }

    /// True for what changes who is in the conversation, or what they may do.
    pub const fn is_about_members(&self) -> bool {
        matches!(&self.said, Said::Notice(notice) if !matches!(notice.change, Change::Topic(_)))
    }

    /// How an amend refers to it.
    pub fn target(&self) -> Option<Target> {
        self.id.map(|id| Target { seq: self.seq, id })
    }
}

/// Who made a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// This account, from any of its devices.
    Me(String),
    /// Somebody else; the account is unknown if the relay did not tell it.
    Person(Option<AccountId>, String),
    /// The relay itself.
    Relay,
}

impl Sender {
    /// What they are called; empty for the relay.
    pub fn name(&self) -> &str {
        match self {
            Self::Me(name) | Self::Person(_, name) => name,
            Self::Relay => "",
        }
    }

    /// True for this account.
    pub const fn is_me(&self) -> bool {
        matches!(self, Self::Me(_))
    }

    /// True if both are surely one person: names are labels and prove nothing.
    fn is_same_person(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Me(_), Self::Me(_)) => true,
            (Self::Person(Some(a), _), Self::Person(Some(b), _)) => a == b,
            (Self::Me(_) | Self::Person(..) | Self::Relay, _) => false,
        }
    }
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Words, perhaps in answer to a message.
    Text(String, Option<Target>),
    /// Words in the third person.
    Action(String),
    /// New words for an earlier message.
    Edit(Target, String),
    /// An earlier message is to be erased.
    Delete(Target),
    /// A reaction to an earlier message.
    React(Target, String, Set),
    /// What happened to the room.
    Notice(Notice),
    /// It was deleted.
    Erased,
    /// Made by a later version.
    NeedsNewer,
    /// Malformed, although a member sent it.
    Unreadable,
}

/// What happened to the room, with names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Who did it; empty for the relay or its operator.
    pub actor: String,
    /// To whom; empty if to nobody.
    pub subject: String,
    /// What.
    pub change: Change,
    /// Why; may be empty.
    pub reason: String,
}

/// Names something on the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ItemKey {
    /// The item that ends with this record.
    Entry(Seq),
    /// The own message of this number in the outbox.
    Pending(u64),
}

/// Where the screen stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scroll {
    /// At the newest message; new ones push the others up.
    #[default]
    Live,
    /// Elsewhere; new messages change nothing.
    At {
        /// The item at the lower edge.
        item: ItemKey,
        /// How many of its rows are below the edge.
        below: u16,
    },
}

/// What amends have made of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amended<'a> {
    /// Its newest text, if it was edited.
    pub text: Option<&'a str>,
    /// It is gone.
    pub is_deleted: bool,
    /// Each reaction, how often, and whether this account is among them.
    pub reactions: Vec<(&'a str, usize, bool)>,
}

/// The window.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    entries: VecDeque<Entry>,
    /// By target, then by their own place.
    amends: BTreeMap<(Seq, Seq), Entry>,
    /// The window begins where the history does, as far as it can be had.
    pub reaches_oldest: bool,
    /// The window ends where the history does: what is appended belongs to it.
    pub reaches_newest: bool,
}

impl Timeline {
    /// The entries, oldest first, amends among them.
    pub const fn entries(&self) -> &VecDeque<Entry> {
        &self.entries
    }

    /// The oldest record in the window.
    pub fn oldest(&self) -> Option<Seq> {
        self.entries.front().map(|entry| entry.seq)
    }

    /// The newest record in the window.
    pub fn newest(&self) -> Option<Seq> {
        self.entries.back().map(|entry| entry.seq)
    }

    /// The record with this number.
    pub fn entry(&self, seq: Seq) -> Option<&Entry> {
        self.position(seq).map(|index| &self.entries[index])
    }

    /// Where in [`Self::entries`] the record is.
    pub fn position(&self, seq: Seq) -> Option<usize> {
        self.entries.binary_search_by_key(&seq, |entry| entry.seq).ok()
    }

    /// Forgets everything and begins with the newest page.
    pub fn restart(&mut self, page: Vec<Entry>, is_oldest: bool) {
        *self = Self { reaches_oldest: is_oldest, reaches_newest: true, ..Self::default() };
        self.extend(page);
    }

    /// Adds a page below the window; lets newer records go if there are too many.
    pub fn prepend(&mut self, page: Vec<Entry>, is_oldest: bool) {
        self.reaches_oldest = is_oldest;
        let oldest = self.oldest();
        for entry in
            page.into_iter().rev().skip_while(|entry| Some(entry.seq) >= oldest && oldest.is_some())
        {
            self.note_amend(&entry);
            self.entries.push_front(entry);
        }
        while self.entries.len() > WINDOW_ENTRIES_MAX {
            self.entries.pop_back();
            self.reaches_newest = false;
        }
    }

    /// Adds records above the window; lets older ones go if there are too many. Those that are there
    /// already may have been read before their senders were known.
    pub fn extend(&mut self, page: Vec<Entry>) {
        let newest = self.newest();
        for entry in page {
            self.note_amend(&entry);
            if Some(entry.seq) > newest {
                self.entries.push_back(entry);
            } else if let Some(index) = self.position(entry.seq) {
                self.entries[index] = entry;
            }
        }
        while self.entries.len() > WINDOW_ENTRIES_MAX {
            self.entries.pop_front();
            self.reaches_oldest = false;
        }
        self.forget_amends_below_window();
    }

    /// Takes an amend whose own place is outside the window.
    pub fn note_amend(&mut self, entry: &Entry) {
        if let Said::Edit(target, _) | Said::Delete(target) | Said::React(target, ..) = &entry.said
        {
            self.amends.insert((target.seq, entry.seq), entry.clone());
        }
    }

    /// What amends have made of an entry. Judged here, because an amend can be read before its
    /// target: an edit counts only from the author; the relay has checked who may delete.
    pub fn amended(&self, entry: &Entry) -> Amended<'_> {
        let is_deletion = |amend: &Entry| matches!(&amend.said, Said::Delete(target) if Some(target.id) == entry.id);
        let is_mine = |people: &BTreeSet<(bool, &str)>| people.iter().any(|(is_me, _)| *is_me);
        let reactions = self.reactions(entry).into_iter();
        Amended {
            text: self.edits(entry).last().and_then(|edit| edit.words()),
            is_deleted: entry.said == Said::Erased || self.acting(entry).any(is_deletion),
            reactions: reactions.map(|(emoji, who)| (emoji, who.len(), is_mine(&who))).collect(),
        }
    }

    /// The new words that the author gave to an entry, oldest first.
    pub fn edits(&self, entry: &Entry) -> Vec<&Entry> {
        let counts = |amend: &&Entry| {
            let is_author = amend.sender.is_same_person(&entry.sender);
            let is_of = matches!(&amend.said, Said::Edit(target, _) if Some(target.id) == entry.id);
            is_of && is_author && entry.is_speech()
        };
        self.acting(entry).filter(counts).collect()
    }

    /// The reactions to an entry and whose they are: whether this account's, and the name.
    pub fn reactions(&self, entry: &Entry) -> BTreeMap<&str, BTreeSet<(bool, &str)>> {
        let mut reactions: BTreeMap<&str, BTreeSet<(bool, &str)>> = BTreeMap::new();
        for amend in self.acting(entry) {
            let Said::React(target, emoji, set) = &amend.said else { continue };
            if Some(target.id) == entry.id {
                let who = (amend.sender.is_me(), amend.sender.name());
                let people = reactions.entry(emoji).or_default();
                match set {
                    Set::On => people.insert(who),
                    Set::Off => people.remove(&who),
                };
            }
        }
        reactions.retain(|_, people| !people.is_empty());
        reactions
    }

    /// The amends that name an entry's place, oldest first.
    fn acting(&self, entry: &Entry) -> impl Iterator<Item = &Entry> {
        let range = (entry.seq, Seq::ZERO)..=(entry.seq, Seq(u64::MAX));
        self.amends.range(range).map(|(_, amend)| amend)
    }

    /// The newest words of this account that are not deleted.
    pub fn last_own(&self) -> Option<&Entry> {
        self.last_speech(|entry| entry.sender.is_me())
    }

    /// The newest words of somebody else that are not deleted.
    pub fn last_of_others(&self) -> Option<&Entry> {
        self.last_speech(|entry| !entry.sender.is_me())
    }

    /// The next entry that can be selected: the newest below `from`, or the newest of all.
    pub fn speech_before(&self, from: Option<Seq>) -> Option<&Entry> {
        self.last_speech(|entry| from.is_none_or(|from| entry.seq < from))
    }

    /// The next entry above `from` that can be selected.
    pub fn speech_after(&self, from: Seq) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.seq > from && entry.is_speech() && !self.amended(entry).is_deleted)
    }

    fn last_speech(&self, fits: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        self.entries
            .iter()
            .rev()
            .find(|entry| entry.is_speech() && fits(entry) && !self.amended(entry).is_deleted)
    }

    fn forget_amends_below_window(&mut self) {
        if let Some(oldest) = self.oldest() {
            self.amends = self.amends.split_off(&(oldest, Seq::ZERO));
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::ids::{Counter, DeviceId};

    use super::*;

    fn entry(seq: u64, who: u8, said: Said) -> Entry {
        Entry {
            seq: Seq(seq),
            time: WallTime::from_millis(seq * 1_000),
            id: Some(id(seq)),
            sender: Sender::Person(Some(AccountId([who; 16])), format!("p{who}")),
            said,
        }
    }

    fn id(seq: u64) -> MessageId {
        MessageId { device: DeviceId([1; 16]), counter: Counter(seq) }
    }

    fn target(seq: u64) -> Target {
        Target { seq: Seq(seq), id: id(seq) }
    }

    fn text(seq: u64) -> Entry {
        entry(seq, 1, Said::Text(format!("text {seq}"), None))
    }

    #[test]
    fn only_the_author_edits() {
        let mut timeline = Timeline::default();
        timeline.extend(vec![
            text(1),
            entry(2, 2, Said::Edit(target(1), "forged".into())),
            entry(3, 1, Said::Edit(target(1), "better".into())),
        ]);
        assert_eq!(timeline.amended(&text(1)).text, Some("better"));
    }

    #[test]
    fn a_reaction_counts_once_per_person_and_can_be_taken_back() {
        let mut timeline = Timeline::default();
        timeline.extend(vec![
            text(1),
            entry(2, 2, Said::React(target(1), "👍".into(), Set::On)),
            entry(3, 2, Said::React(target(1), "👍".into(), Set::On)),
            entry(4, 3, Said::React(target(1), "👍".into(), Set::On)),
            entry(5, 3, Said::React(target(1), "👍".into(), Set::Off)),
        ]);
        assert_eq!(timeline.amended(&text(1)).reactions, [("👍", 1, false)]);
    }

    #[test]
    fn an_amend_that_names_another_message_does_nothing() {
        let mut timeline = Timeline::default();
        let wrong = Target { seq: Seq(1), id: id(99) };
        timeline.extend(vec![text(1), entry(2, 1, Said::Delete(wrong))]);
        assert!(!timeline.amended(&text(1)).is_deleted);
    }

    #[test]
    fn the_window_is_bounded_at_both_ends() {
        let mut timeline = Timeline::default();
        timeline.restart((501..=1_000).map(text).collect(), false);
        timeline.extend((1_001..=1_500).map(text).collect());
        assert_eq!(timeline.entries().len(), WINDOW_ENTRIES_MAX);
        timeline.extend(vec![text(1_501)]);
        assert_eq!((timeline.oldest(), timeline.newest()), (Some(Seq(502)), Some(Seq(1_501))));
        timeline.prepend((402..=501).map(text).collect(), false);
        assert_eq!((timeline.oldest(), timeline.newest()), (Some(Seq(402)), Some(Seq(1_401))));
        assert!(!timeline.reaches_newest);
    }

    #[test]
    fn a_record_that_is_read_again_brings_the_name_of_its_sender() {
        let mut timeline = Timeline::default();
        let mut stranger = text(5);
        stranger.sender = Sender::Person(None, String::new());
        timeline.restart(vec![stranger, text(6)], false);
        timeline.extend(vec![text(5)]);
        assert_eq!(timeline.entries(), &[text(5), text(6)]);
    }

    #[test]
    fn records_that_are_there_already_are_not_added_again() {
        let mut timeline = Timeline::default();
        timeline.restart(vec![text(5), text(6)], false);
        timeline.extend(vec![text(6), text(7)]);
        timeline.prepend(vec![text(3), text(4), text(5)], true);
        let seqs: Vec<u64> = timeline.entries().iter().map(|entry| entry.seq.0).collect();
        assert_eq!(seqs, [3, 4, 5, 6, 7]);
    }
}
