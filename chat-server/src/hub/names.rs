//! Names: labels in the directory, one person each, and none that reads like another's.
//!
//! A name is kept as NFKC. What has to be unique is its *key*: case folded, and every character
//! replaced by the one it can be mistaken for (the UTS-39 skeleton). The key is never shown.

use std::collections::BTreeSet;

use protocol::limits::{NAME_BYTES_MAX, ROOM_NAME_BYTES_MAX};
use unicode_normalization::UnicodeNormalization;
use unicode_security::{GeneralSecurityProfile, skeleton};

/// Names that would let somebody speak for the relay or for everybody.
pub const RESERVED_NAMES: [&str; 16] = [
    "admin",
    "administrator",
    "all",
    "channel",
    "everyone",
    "here",
    "me",
    "moderator",
    "nobody",
    "operator",
    "owner",
    "relay",
    "root",
    "server",
    "support",
    "system",
];

/// What a name is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Person,
    Room,
}

/// A name that may be shown, with the key that has to be unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) label: String,
    pub(super) key: String,
}

/// Why a name is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NameError {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    #[error("U+{:04X} cannot stand in a name: letters, digits, - _ and . can", u32::from(*.0))]
    Character(char),
    #[error("it has to begin with a letter or digit")]
    Beginning,
    #[error("it is reserved")]
    Reserved,
}

impl Name {
    /// Checks what somebody wants to be called.
    pub(super) fn new(
        wanted: &str,
        label: Label,
        reserved: &BTreeSet<String>,
    ) -> Result<Self, NameError> {
        let bytes_max = match label {
            Label::Person => NAME_BYTES_MAX,
            Label::Room => ROOM_NAME_BYTES_MAX,
        };
        // Before normalising: one character may become eighteen.
        if wanted.len() > bytes_max {
            return Err(NameError::TooLong(bytes_max));
        }
        let name: String = wanted.nfkc().collect();
        if name.len() > bytes_max {
            return Err(NameError::TooLong(bytes_max));
        }
        let first = name.chars().next().ok_or(NameError::Empty)?;
        if let Some(bad) = name.chars().find(|c| !may_stand_in_a_name(*c)) {
            return Err(NameError::Character(bad));
        }
        if !first.is_alphanumeric() {
            return Err(NameError::Beginning);
        }
        let key = key(&name);
        let is_reserved = RESERVED_NAMES.iter().any(|reserved| super::names::key(reserved) == key)
            || reserved.iter().any(|reserved| super::names::key(reserved) == key);
        if is_reserved {
            return Err(NameError::Reserved);
        }
        Ok(Self { label: name, key })
    }
}

/// The key under which a name is looked up. Two names with one key look alike, which is not enough
/// to be the same: see [`is_same`].
pub(super) fn key(name: &str) -> String {
    let alike: String = skeleton(&fold(name)).collect();
    // The skeleton keeps case apart ("O" for zero), and folding has turned the capital I, which
    // reads like a small l, into an i. So both are folded into one class after it.
    fold(&alike).chars().map(|c| if c == 'i' { 'l' } else { c }).collect()
}

/// True if the two are one name in different spelling of case and composition.
pub(super) fn is_same(a: &str, b: &str) -> bool {
    fold(a) == fold(b)
}

/// Upper case first, so that letters with several lower-case forms (ς and σ, ẞ and ss) meet.
fn fold(name: &str) -> String {
    let upper: String = name.nfkc().flat_map(char::to_uppercase).collect();
    upper.nfkc().flat_map(char::to_lowercase).nfkc().collect()
}

/// Letters, digits and marks that UTS-39 allows in identifiers, and three joiners. That excludes
/// blanks, control, bidi, invisible and unassigned characters, and everything the property tables
/// call ignorable.
fn may_stand_in_a_name(c: char) -> bool {
    match c {
        '-' | '_' | '.' => true,
        // Allowed inside words of some scripts, but invisible elsewhere.
        '\u{200c}' | '\u{200d}' => false,
        c if c.is_ascii() => c.is_ascii_alphanumeric(),
        '\u{b7}' | '\u{2019}' | '\u{2027}' | '\u{30a0}' => false,
        c => c.identifier_allowed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(wanted: &str) -> Result<Name, NameError> {
        Name::new(wanted, Label::Person, &BTreeSet::new())
    }

    #[test]
    fn ordinary_names_pass() {
        for wanted in ["ada", "Zoë", "jürgen-m", "Владимир", "李小龍", "r2.d2", "שרה", "محمد"]
        {
            assert!(name(wanted).is_ok(), "{wanted}: {:?}", name(wanted));
        }
    }

    #[test]
    fn case_and_composition_make_no_second_name() {
        for (a, b) in
            [("Ada", "ADA"), ("Zo\u{eb}", "Zoe\u{308}"), ("ﬁn", "fin"), ("Σίσυφος", "ΣΊΣΥΦΟΣ")]
        {
            assert_eq!(key(a), key(b), "{a} {b}");
            assert!(is_same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn look_alikes_share_a_key_but_are_not_the_same_name() {
        for (a, b) in [
            ("ada", "аdа"),       // Cyrillic а
            ("Ian", "Ιan"),       // Greek capital iota
            ("paypal", "paypaI"), // capital i for l
            ("bob", "b0b"),
            ("modem", "rnodern"),
        ] {
            assert_eq!(key(a), key(b), "{a} {b}");
            assert!(!is_same(a, b), "{a} {b}");
        }
        assert_ne!(key("ada"), key("eda"));
    }

    #[test]
    fn invisible_and_confusing_characters_are_refused() {
        for wanted in [
            "a b",
            "a\u{200b}b",
            "a\u{200d}b",
            "a\u{202e}b",
            "a\u{2066}b",
            "\u{feff}ab",
            "a\x1bb",
            "a\nb",
            "a\u{ad}b",
            "a\u{e0041}b",
            "a\u{115f}",
            "a\u{3164}",
            "💥",
            "a/b",
            "a:b",
            "@a",
            "#a",
        ] {
            assert!(matches!(name(wanted), Err(NameError::Character(_))), "{wanted:?}");
        }
        assert_eq!(name("-a"), Err(NameError::Beginning));
        assert_eq!(name(""), Err(NameError::Empty));
    }

    #[test]
    fn reserved_names_are_refused_in_every_disguise() {
        for wanted in ["admin", "Admin", "ADMIN", "аdmin", "rоot", "SYSTEM", "re1ay"] {
            assert_eq!(name(wanted), Err(NameError::Reserved), "{wanted}");
        }
        let own = BTreeSet::from(["boss".to_owned()]);
        assert_eq!(Name::new("B0SS", Label::Person, &own), Err(NameError::Reserved));
    }

    #[test]
    fn a_name_at_the_limit_passes_and_one_above_does_not() {
        assert!(name(&"x".repeat(NAME_BYTES_MAX)).is_ok());
        assert_eq!(name(&"x".repeat(NAME_BYTES_MAX + 1)), Err(NameError::TooLong(NAME_BYTES_MAX)));
        // Three bytes that normalise to many.
        let expands = "\u{fdfa}".repeat(NAME_BYTES_MAX / 3);
        assert!(name(&expands).is_err());
    }
}
