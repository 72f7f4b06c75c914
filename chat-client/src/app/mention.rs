//! Where a text speaks of somebody: their name as a word of its own, with or without `@`.

use std::ops::Range;

/// The places of `name` in `text`, from left to right, whatever the case. An empty name is nowhere.
pub fn mentions<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let found = text[rest..].char_indices().find_map(|(at, _)| {
            let at = rest + at;
            name_at(text, at, name).filter(|_| begins_word(text, at))
        })?;
        rest = found.end;
        Some(found)
    })
}

/// Whether `text` speaks of `name`.
pub fn is_mentioned(text: &str, name: &str) -> bool {
    mentions(text, name).next().is_some()
}

/// The range of the name if it stands here and nothing that belongs to a name follows.
fn name_at(text: &str, at: usize, name: &str) -> Option<Range<usize>> {
    let sigil = usize::from(text[at..].starts_with('@'));
    let mut left = text[at + sigil..].chars();
    for wanted in name.chars() {
        let is_same = left.next()?.to_lowercase().eq(wanted.to_lowercase());
        if !is_same {
            return None;
        }
    }
    let end = text.len() - left.as_str().len();
    let ends_word = !left.next().is_some_and(is_of_name);
    (ends_word && !name.is_empty()).then_some(at..end)
}

fn begins_word(text: &str, at: usize) -> bool {
    !text[..at].chars().next_back().is_some_and(|before| is_of_name(before) || before == '@')
}

fn is_of_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(text: &'a str, name: &'a str) -> Vec<&'a str> {
        mentions(text, name).map(|range| &text[range]).collect()
    }

    #[test]
    fn a_name_is_found_as_a_word_only() {
        assert_eq!(found("ada: @Ada, canada adam ADA! a_da ada_", "ada"), ["ada", "@Ada", "ADA"]);
        assert_eq!(found("mail bea@ada.example", "ada"), [""; 0]);
        assert_eq!(found("日本語、李さん 李", "李"), ["李"]);
        assert_eq!(found("anything", ""), [""; 0]);
    }

    #[test]
    fn case_may_change_the_length() {
        assert_eq!(found("İ @İlker!", "İlker"), ["@İlker"]);
        assert!(is_mentioned("to ẞ", "ß"));
    }
}
