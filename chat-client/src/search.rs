//! The language of searches: `report "exact words" from:ada in:#ops after:2026-11-01`.
//!
//! Every word has to be part of a message, in any case and any script; nothing is split into words
//! by language. [`Term::matches`] is what *found* means: the index of the store only says where to
//! look.

use std::str::FromStr as _;

use jiff::tz::TimeZone;
use protocol::time::WallTime;
use serde::{Deserialize, Serialize};

use crate::{moment, node::call::Target};

/// Most terms of one search.
pub const TERMS_MAX: usize = 16;
/// Longest term in characters.
pub const TERM_CHARS_MAX: usize = 200;

/// What is searched for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// All of these are in the message.
    pub terms: Vec<Term>,
    /// Somebody of this name wrote it, here without `@`.
    pub sender: Option<String>,
    /// It was not written by this account.
    pub is_from_others: bool,
    /// It is in this conversation.
    pub within: Option<Target>,
    /// It was said then or later.
    pub after: Option<WallTime>,
    /// It was said before then.
    pub before: Option<WallTime>,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// As it was written.
    pub text: String,
    /// Where in a message it counts.
    pub fits: Fits,
}

/// Where in a message a term counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fits {
    /// Anywhere.
    Anywhere,
    /// Not inside a longer word, as names in mentions.
    WholeWord,
}

/// Why a text is no search.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Nothing is searched for.
    #[error(
        "write what to search for: words, \"exact words\", from:NAME, in:#room, before:DATE, after:DATE"
    )]
    Empty,
    /// A filter has no value.
    #[error("{0}: needs a value, as in {0}:{1}")]
    NoValue(&'static str, &'static str),
    /// A filter is there twice.
    #[error("{0}: is there twice")]
    Twice(&'static str),
    /// A conversation is not named as one.
    #[error("in:{0} is no conversation: write in:#room or in:@name")]
    NoConversation(String),
    /// A date is none.
    #[error(transparent)]
    NoMoment(#[from] moment::NoMoment),
    /// A quotation does not end.
    #[error("a \" is missing at the end of the quotation")]
    OpenQuotation,
    /// There is more than anybody searches for.
    #[error("at most {TERMS_MAX} words of {TERM_CHARS_MAX} characters")]
    TooLong,
}

impl Query {
    /// Reads a search as a person writes it.
    ///
    /// # Errors
    ///
    /// If it cannot be read, with how to write it.
    pub fn parse(text: &str, now: WallTime, zone: &TimeZone) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (word, is_quoted) in words(text)? {
            if is_quoted || !query.filter(&word, now, zone)? {
                query.terms.push(Term { text: word, fits: Fits::Anywhere });
            }
        }
        let is_long = |term: &Term| term.text.chars().count() > TERM_CHARS_MAX;
        if query.terms.len() > TERMS_MAX || query.terms.iter().any(is_long) {
            return Err(QueryError::TooLong);
        }
        if query == Self::default() { Err(QueryError::Empty) } else { Ok(query) }
    }

    /// The messages of others that name somebody.
    pub fn mentions(name: &str) -> Self {
        let term = Term { text: name.to_owned(), fits: Fits::WholeWord };
        Self { terms: vec![term], is_from_others: true, ..Self::default() }
    }

    /// Takes a word that may be a filter; `false` if it is none.
    fn filter(&mut self, word: &str, now: WallTime, zone: &TimeZone) -> Result<bool, QueryError> {
        let Some((key, value)) = word.split_once(':') else { return Ok(false) };
        let moment = || moment::parse(value, now, zone).map_err(QueryError::from);
        match key {
            "from" => {
                let name = given("from", "ada", value.trim_start_matches('@'))?;
                set(&mut self.sender, "from", name.to_owned())?;
            }
            "in" => {
                let value = given("in", "#room", value)?;
                let target = Target::from_str(value)
                    .map_err(|_| QueryError::NoConversation(value.to_owned()))?;
                set(&mut self.within, "in", target)?;
            }
            "after" => {
                given("after", "2026-11-20", value)?;
                set(&mut self.after, "after", moment()?)?;
            }
            "before" => {
                given("before", "2026-11-20", value)?;
                set(&mut self.before, "before", moment()?)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn given<'a>(
    key: &'static str,
    example: &'static str,
    value: &'a str,
) -> Result<&'a str, QueryError> {
    if value.is_empty() { Err(QueryError::NoValue(key, example)) } else { Ok(value) }
}

fn set<T>(place: &mut Option<T>, key: &'static str, value: T) -> Result<(), QueryError> {
    match place.replace(value) {
        Some(_) => Err(QueryError::Twice(key)),
        None => Ok(()),
    }
}

/// The words of a text; a quotation is one word and may contain anything.
fn words(text: &str) -> Result<Vec<(String, bool)>, QueryError> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(quotation) = rest.strip_prefix('"') {
            let (word, after) = quotation.split_once('"').ok_or(QueryError::OpenQuotation)?;
            if !word.is_empty() {
                words.push((word.to_owned(), true));
            }
            rest = after.trim_start();
        } else {
            let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            words.push((word.to_owned(), false));
            rest = after.trim_start();
        }
    }
    Ok(words)
}

impl Term {
    /// True if this is in a text.
    pub fn matches(&self, text: &str) -> bool {
        let (text, term) = (fold(text), fold(&self.text));
        !term.is_empty()
            && match self.fits {
                Fits::Anywhere => text.contains(&term),
                Fits::WholeWord => text.match_indices(&term).any(|(at, found)| {
                    let before = text[..at].chars().next_back();
                    let after = text[at + found.len()..].chars().next();
                    let joins = |inside: Option<char>, outside: Option<char>| {
                        inside.is_some_and(is_word) && outside.is_some_and(is_word)
                    };
                    !joins(term.chars().next(), before) && !joins(term.chars().next_back(), after)
                }),
            }
    }
}

/// Texts that differ in case only become the same.
fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// True for what words are made of in scripts that put something between them.
fn is_word(character: char) -> bool {
    let is_run_together = matches!(
        character,
        '\u{E00}'..='\u{EFF}' | '\u{2E80}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}'
            | '\u{F900}'..='\u{FAFF}' | '\u{FF66}'..='\u{FF9F}' | '\u{20000}'..='\u{3FFFF}'
    );
    (character.is_alphanumeric() || character == '_') && !is_run_together
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 21 November 2026, 14:00 UTC.
    const NOON: WallTime = WallTime::from_millis(1_795_269_600_000);

    fn parse(text: &str) -> Result<Query, String> {
        Query::parse(text, NOON, &TimeZone::UTC).map_err(|error| error.to_string())
    }

    fn texts(query: &Query) -> Vec<&str> {
        query.terms.iter().map(|term| term.text.as_str()).collect()
    }

    #[test]
    fn words_quotations_and_filters_are_told_apart() {
        let query = parse(r#"report "two  words" from:@ada in:#ops after:2026-11-20 "in:x""#);
        let query = query.expect("a search");
        assert_eq!(texts(&query), ["report", "two  words", "in:x"]);
        assert_eq!(query.sender.as_deref(), Some("ada"));
        assert_eq!(query.within, Some(Target::Room("ops".into())));
        assert_eq!(query.after, Some(WallTime::from_millis(1_795_132_800_000)));
        assert_eq!(query.before, None);
        assert_eq!(texts(&parse("http://example.org 12:30").expect("words")).len(), 2);
    }

    #[test]
    fn what_cannot_be_read_is_explained() {
        for (text, why) in [
            ("  ", "write what to search for"),
            ("from:", "from: needs a value, as in from:ada"),
            ("x before:", "before: needs a value, as in before:2026-11-20"),
            ("in:ops x", "in:ops is no conversation: write in:#room"),
            ("before:soon", "soon is no date"),
            ("from:a from:b", "from: is there twice"),
            ("\"open", "a \" is missing"),
            (&"x ".repeat(TERMS_MAX + 1), "at most 16 words"),
            (&"x".repeat(TERM_CHARS_MAX + 1), "of 200 characters"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
        assert_eq!(texts(&parse(&"x ".repeat(TERMS_MAX)).expect("the limit")).len(), TERMS_MAX);
    }

    #[test]
    fn terms_match_in_any_case_and_script() {
        let anywhere =
            |term: &str, text: &str| Term { text: term.into(), fits: Fits::Anywhere }.matches(text);
        assert!(anywhere("PORT", "a Report"));
        assert!(anywhere("語も", "日本語も書けます"));
        assert!(anywhere("ÄRGER", "viel ärger"));
        assert!(!anywhere("reports", "a report"));
        assert!(!anywhere("", "anything"));
    }

    #[test]
    fn a_name_inside_a_longer_word_is_no_mention() {
        let mentions = |name: &str, text: &str| Query::mentions(name).terms[0].matches(text);
        assert!(mentions("ada", "Ada: look") && mentions("ada", "hi @ada!"));
        assert!(!mentions("ada", "adapter") && !mentions("ada", "canada"));
        assert!(mentions("ada", "canada, ada"), "a later one counts");
        assert!(mentions("小明", "你好小明在吗"), "nothing stands between words there");
    }
}
