//! Names that have been seen, and which of them may not be what they look like. A relay of ours
//! refuses names that read like another's; one that somebody else has made may not.
//!
//! A name is judged when it is first seen and when one that reads like it comes, never while a
//! screen is drawn.

use std::collections::{BTreeMap, VecDeque};

use protocol::ids::{AccountId, ConversationId};
use unicode_security::{MixedScript as _, skeleton};

use super::{
    App,
    conversation::{Sort, Summary},
    timeline::{Entry, Sender},
};
use crate::untrusted::is_deceptive;

/// Most names that are kept: the oldest are forgotten for new ones.
const NAMES_MAX: usize = 4_096;
/// So much of a name is compared: no relay allows longer ones, and no screen shows them.
const COMPARED_CHARS_MAX: usize = 64;
/// Most owners of one name that are kept apart: two are enough to warn.
const OWNERS_MAX: usize = 2;

/// Why a name may not be what it looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// It reads like this one, which belongs to somebody else.
    #[error("looks like {0}, but is not")]
    LooksLike(String),
    /// Two accounts have it.
    #[error("more than one account is called this")]
    IsShared,
    /// It has characters that nobody can see.
    #[error("has characters that cannot be seen")]
    IsHidden,
    /// Its letters are of several scripts.
    #[error("mixes letters of several scripts")]
    MixesScripts,
}

/// Whose a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This account.
    Me,
    /// Another account.
    Person(AccountId),
    /// Another account; the relay does not say which.
    Somebody,
    /// A conversation.
    Room(ConversationId),
}

/// The names.
#[derive(Clone, Debug, Default)]
pub struct Names {
    known: BTreeMap<String, Known>,
    /// Names that read alike, by what they read like.
    alike: BTreeMap<String, Vec<String>>,
    /// In the order in which they came.
    order: VecDeque<String>,
}

#[derive(Clone, Debug)]
struct Known {
    key: String,
    owners: Vec<Owner>,
    doubt: Option<Doubt>,
}

impl Names {
    /// Why a name, of a person or with the mark of its sort, may not be what it looks like.
    pub fn doubt(&self, name: &str) -> Option<&Doubt> {
        self.known.get(name)?.doubt.as_ref()
    }

    /// Notes that a name was seen.
    pub fn note(&mut self, name: &str, owner: Owner) {
        if let Some(known) = self.known.get_mut(name) {
            if known.owners.contains(&owner) || known.owners.len() == OWNERS_MAX {
                return;
            }
            known.owners.push(owner);
            let key = known.key.clone();
            return self.judge(&key);
        }
        if self.known.len() == NAMES_MAX {
            self.forget_oldest();
        }
        let key = key(name);
        let known = Known { key: key.clone(), owners: vec![owner], doubt: None };
        self.known.insert(name.to_owned(), known);
        self.alike.entry(key.clone()).or_default().push(name.to_owned());
        self.order.push_back(name.to_owned());
        self.judge(&key);
    }

    /// Judges all names that read like this.
    fn judge(&mut self, key: &str) {
        let Some(alike) = self.alike.get(key) else { return };
        let judged: Vec<_> = alike.iter().map(|name| (name, self.judged(name, alike))).collect();
        for (name, doubt) in judged {
            if let Some(known) = self.known.get_mut(name) {
                known.doubt = doubt;
            }
        }
    }

    fn judged(&self, name: &str, alike: &[String]) -> Option<Doubt> {
        if name.chars().any(is_deceptive) {
            return Some(Doubt::IsHidden);
        }
        let owners = |name: &str| self.known.get(name).map_or(&[][..], |known| &known.owners);
        let own = owners(name);
        let is_others = |other: &&String| {
            let others = owners(other);
            *other != name && !own.iter().any(|a| others.iter().any(|b| a.is_surely(*b)))
        };
        if let Some(other) = alike.iter().find(is_others) {
            return Some(Doubt::LooksLike(other.clone()));
        }
        if own.iter().any(|a| own.iter().any(|b| a.is_surely_not(*b))) {
            return Some(Doubt::IsShared);
        }
        (!name.is_single_script()).then_some(Doubt::MixesScripts)
    }

    fn forget_oldest(&mut self) {
        let Some(name) = self.order.pop_front() else { return };
        let Some(Known { key, .. }) = self.known.remove(&name) else { return };
        if let Some(alike) = self.alike.get_mut(&key) {
            alike.retain(|known| *known != name);
            if alike.is_empty() {
                self.alike.remove(&key);
            }
        }
    }
}

impl Owner {
    fn is_surely(self, other: Self) -> bool {
        self == other && self != Self::Somebody
    }

    fn is_surely_not(self, other: Self) -> bool {
        self != other && self != Self::Somebody && other != Self::Somebody
    }
}

/// What a name reads like: what relays of ours compare, so that a name which one of them would
/// refuse is one that is doubted here.
fn key(name: &str) -> String {
    let name: String = name.chars().take(COMPARED_CHARS_MAX).collect();
    let alike: String = skeleton(&fold(&name)).collect();
    // A capital I reads like a small l, and folding has made an i of it.
    fold(&alike).chars().map(|c| if c == 'i' { 'l' } else { c }).collect()
}

/// Upper case first, so that letters with several lower-case forms meet.
fn fold(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

impl App {
    /// Notes the name of a conversation.
    pub(super) fn note_title(&mut self, summary: &Summary) {
        match (summary.sort, summary.peer) {
            (Sort::Room, _) => self.names.note(&summary.title(), Owner::Room(summary.id)),
            (Sort::Direct, Some(account)) => {
                self.names.note(&summary.name, Owner::Person(account));
            }
            (Sort::Direct, None) => self.names.note(&summary.name, Owner::Somebody),
        }
    }

    /// Notes the names of those who made these records.
    pub(super) fn note_senders(&mut self, entries: &[Entry]) {
        for entry in entries {
            match &entry.sender {
                Sender::Me(name) => self.names.note(name, Owner::Me),
                Sender::Person(Some(account), name) => {
                    self.names.note(name, Owner::Person(*account));
                }
                Sender::Person(None, name) => self.names.note(name, Owner::Somebody),
                Sender::Relay => {}
            }
        }
    }

    /// Why the name of a conversation may not be what it looks like.
    pub fn title_doubt(&self, summary: &Summary) -> Option<&Doubt> {
        match summary.sort {
            Sort::Room => self.names.doubt(&summary.title()),
            Sort::Direct => self.names.doubt(&summary.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEA: Owner = Owner::Person(AccountId([1; 16]));
    const EVE: Owner = Owner::Person(AccountId([2; 16]));

    fn noted(names: &[(&str, Owner)]) -> Names {
        let mut all = Names::default();
        for (name, owner) in names {
            all.note(name, *owner);
        }
        all
    }

    fn why(names: &Names, name: &str) -> String {
        names.doubt(name).map(ToString::to_string).unwrap_or_default()
    }

    #[test]
    fn names_that_read_alike_are_doubted_whoever_came_first() {
        for (real, false_one) in
            [("bea", "bеа"), ("paypal", "paypaI"), ("bob", "b0b"), ("Ian", "ian")]
        {
            for names in [[(real, BEA), (false_one, EVE)], [(false_one, EVE), (real, BEA)]] {
                let names = noted(&names);
                assert_eq!(why(&names, false_one), format!("looks like {real}, but is not"));
                assert_eq!(why(&names, real), format!("looks like {false_one}, but is not"));
            }
        }
    }

    #[test]
    fn who_is_not_named_is_nobody_known() {
        let names = noted(&[("ada", Owner::Me), ("аdа", Owner::Somebody)]);
        assert_eq!(why(&names, "аdа"), "looks like ada, but is not");
    }

    #[test]
    fn another_name_of_the_same_person_is_theirs() {
        let names = noted(&[("bob", BEA), ("b0b", BEA), ("bob", Owner::Somebody)]);
        assert_eq!((why(&names, "bob"), why(&names, "b0b")), (String::new(), String::new()));
    }

    #[test]
    fn one_name_of_two_accounts_is_said() {
        let names = noted(&[("bea", BEA), ("bea", EVE), ("ada", Owner::Me), ("ada", EVE)]);
        for name in ["bea", "ada"] {
            assert_eq!(why(&names, name), "more than one account is called this");
        }
    }

    #[test]
    fn mixed_scripts_and_hidden_characters_are_doubted_and_honest_names_are_not() {
        let names = noted(&[("аdmin", BEA), ("ad\u{200b}a", BEA)]);
        assert_eq!(why(&names, "аdmin"), "mixes letters of several scripts");
        assert_eq!(why(&names, "ad\u{200b}a"), "has characters that cannot be seen");
        for name in ["ada", "Zoë", "Владимир", "李小龍", "山田たろう", "محمد", "r2.d2", "김-42"]
        {
            assert_eq!(why(&noted(&[(name, BEA)]), name), "");
        }
    }

    #[test]
    fn only_so_many_names_are_kept() {
        let mut names = Names::default();
        for number in 0..=NAMES_MAX {
            names.note(&format!("somebody-{number}"), BEA);
        }
        assert_eq!((names.known.len(), names.order.len()), (NAMES_MAX, NAMES_MAX));
        assert!(!names.known.contains_key("somebody-0") && names.alike.len() <= NAMES_MAX);
    }
}
