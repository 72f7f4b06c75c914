//! What edits, deletions and reactions have made of records, for people who read a conversation
//! afterwards. Scripts get the records themselves.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    ids::Seq,
    message::event::{Body, Set},
};

use crate::node::call::{Line, SaidView};

/// The amends that act on a page of records.
#[derive(Debug, Default)]
pub(super) struct Amends {
    /// By the record they act on, each in the order in which they were made.
    by_target: BTreeMap<Seq, Vec<Line>>,
}

/// A record as its readers see it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Amended {
    /// With its newest words.
    pub(super) line: Line,
    /// The words are not the first ones.
    pub(super) is_edited: bool,
    /// Each reaction and how many people it has.
    pub(super) reactions: Vec<(String, usize)>,
}

impl Amended {
    /// A record on which nothing acts.
    pub(super) const fn plain(line: Line) -> Self {
        Self { line, is_edited: false, reactions: Vec::new() }
    }

    /// `👍 2, 🎉 1`; empty if nobody reacted. The reactions are foreign text.
    pub(super) fn reaction_words(&self) -> String {
        let words = self.reactions.iter().map(|(emoji, count)| format!("{emoji} {count}"));
        words.collect::<Vec<_>>().join(", ")
    }
}

/// True for what changes other records and is no line of its own for a reader.
pub(super) const fn is_amend(line: &Line) -> bool {
    matches!(line.said, SaidView::Body(Body::Edit(_) | Body::Delete(_) | Body::Reaction(..)))
}

impl Amends {
    /// In order of their places.
    pub(super) fn new(amends: Vec<Line>) -> Self {
        let mut by_target: BTreeMap<Seq, Vec<Line>> = BTreeMap::new();
        for amend in amends {
            if let Some(target) = amend.target {
                by_target.entry(target.seq).or_default().push(amend);
            }
        }
        Self { by_target }
    }

    /// What has become of a record. An edit counts only from the author; the relay has checked who
    /// may delete, and whoever keeps a record blanks it then.
    pub(super) fn apply(&self, line: Line) -> Amended {
        let mut amended = Amended::plain(line);
        let mut reactions: BTreeMap<&str, BTreeSet<_>> = BTreeMap::new();
        let acting = self.by_target.get(&amended.line.seq).into_iter().flatten();
        for amend in acting.filter(|amend| amend.target.map(|target| target.id) == amended.line.id)
        {
            let SaidView::Body(body) = &amend.said else { continue };
            match body {
                Body::Edit(text) if is_author(amend, &amended.line) => {
                    if let SaidView::Body(Body::Text(words) | Body::Action(words)) =
                        &mut amended.line.said
                    {
                        words.text.clone_from(&text.text);
                        amended.is_edited = true;
                    }
                }
                Body::Delete(_) => amended.line.said = SaidView::Erased,
                Body::Reaction(emoji, set) => {
                    // One person counts once, whatever devices they have.
                    let person = amend.sender.as_ref().map(|person| person.account);
                    let who = (person, amend.id.filter(|_| person.is_none()).map(|id| id.device));
                    let people = reactions.entry(emoji).or_default();
                    match set {
                        Set::On => people.insert(who),
                        Set::Off => people.remove(&who),
                    };
                }
                Body::Edit(_)
                | Body::Text(_)
                | Body::Action(_)
                | Body::Notice(_)
                | Body::Unknown(..) => {}
            }
        }
        if amended.line.said == SaidView::Erased {
            return Amended::plain(amended.line);
        }
        let counted = reactions.into_iter().map(|(emoji, people)| (emoji.to_owned(), people.len()));
        amended.reactions = counted.filter(|(_, count)| *count > 0).collect();
        amended
    }
}

/// The same person, or while nobody knows who it is, the same device.
fn is_author(amend: &Line, of: &Line) -> bool {
    match (&amend.sender, &of.sender) {
        (Some(a), Some(b)) => a.account == b.account,
        (_, _) => amend.id.map(|id| id.device) == of.id.map(|id| id.device),
    }
}

#[cfg(test)]
mod tests {
    use protocol::{
        ids::{AccountId, Counter, DeviceId, MessageId},
        message::{
            event::Text,
            ext::Ext,
            record::{Class, Target},
            room::AccountInfo,
        },
        time::WallTime,
    };

    use super::*;

    fn id(seq: u64) -> MessageId {
        MessageId { device: DeviceId([1; 16]), counter: Counter(seq) }
    }

    fn line(seq: u64, who: u8, target: Option<u64>, body: Body) -> Line {
        let account = AccountId([who; 16]);
        Line {
            seq: Seq(seq),
            time: WallTime::default(),
            id: Some(id(seq)),
            sender: Some(AccountInfo { account, name: format!("p{who}"), ext: Ext::none() }),
            class: Class::CONTENT,
            target: target.map(|seq| Target { seq: Seq(seq), id: id(seq) }),
            said: SaidView::Body(body),
            named: Vec::new(),
        }
    }

    fn text(text: &str) -> Text {
        let composed_at = WallTime::default();
        Text { text: text.into(), composed_at, reply_to: None, ext: Ext::none() }
    }

    fn said(seq: u64, words: &str) -> Line {
        line(seq, 1, None, Body::Text(text(words)))
    }

    #[test]
    fn the_author_s_newest_words_count_and_nobody_else_s() {
        let amends = Amends::new(vec![
            line(2, 1, Some(1), Body::Edit(text("second"))),
            line(3, 1, Some(1), Body::Edit(text("third"))),
            line(4, 2, Some(1), Body::Edit(text("forged"))),
        ]);
        let amended = amends.apply(said(1, "first"));
        assert!(amended.is_edited);
        assert_eq!(amended.line.said, said(1, "third").said);
        assert_eq!(amends.apply(said(5, "other")), Amended::plain(said(5, "other")));
    }

    #[test]
    fn reactions_count_people_and_can_be_taken_back() {
        let react = |seq, who, set| line(seq, who, Some(1), Body::Reaction("👍".into(), set));
        let amends = vec![react(2, 2, Set::On), react(3, 2, Set::On), react(4, 3, Set::On)];
        assert_eq!(Amends::new(amends.clone()).apply(said(1, "x")).reaction_words(), "👍 2");
        let mut taken_back = amends;
        taken_back.extend([react(5, 2, Set::Off), react(6, 3, Set::Off)]);
        assert_eq!(Amends::new(taken_back).apply(said(1, "x")).reaction_words(), "");
    }

    #[test]
    fn nothing_is_left_of_what_was_deleted() {
        let amends = Amends::new(vec![
            line(2, 2, Some(1), Body::Reaction("👍".into(), Set::On)),
            line(3, 1, Some(1), Body::Delete(String::new())),
        ]);
        let amended = amends.apply(said(1, "regretted"));
        assert_eq!((amended.line.said, amended.reactions), (SaidView::Erased, Vec::new()));
    }

    #[test]
    fn an_amend_that_names_another_message_in_the_place_does_nothing() {
        let mut amend = line(2, 1, Some(1), Body::Delete(String::new()));
        amend.target = Some(Target { seq: Seq(1), id: id(99) });
        assert_eq!(Amends::new(vec![amend]).apply(said(1, "x")), Amended::plain(said(1, "x")));
    }
}
