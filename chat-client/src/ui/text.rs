//! Foreign text on its way to the screen: made harmless, measured in cells, broken into rows.
//!
//! Everything that somebody else wrote goes through [`cell`] or [`wrap`]; nothing else in the view
//! may put such a text into a span.

use std::ops::Range;

use ratatui::buffer::CellWidth;
use unicode_segmentation::UnicodeSegmentation;

use crate::untrusted::Untrusted;

/// What stands for the part of a text that does not fit.
const ELLIPSIS: &str = "…";

/// One line of foreign text: no line breaks, no control, bidi or invisible characters, and nothing
/// that terminals disagree about in width.
pub(crate) fn cell(text: &str) -> String {
    let harmless = Untrusted::new(text).for_cell();
    if !harmless.contains(is_joining) {
        return harmless;
    }
    harmless.graphemes(true).flat_map(|cluster| cluster.chars().filter(stands(cluster))).collect()
}

/// What makes one picture of several characters: a joiner, a skin tone, the selector of the coloured
/// form. Where a terminal does not know them, the rest of the row is off by their width and stays
/// on the screen. So pictures that are joined stand one by one, and the others in their plain form.
const fn is_joining(character: char) -> bool {
    matches!(character, '\u{200D}' | '\u{1F3FB}'..='\u{1F3FF}' | '\u{FE0F}')
}

/// Which characters of a cluster are shown. In scripts, a joiner shapes letters and stays.
fn stands(cluster: &str) -> impl Fn(&char) -> bool {
    let is_picture = !cluster.chars().any(char::is_alphabetic);
    let first = cluster.chars().next();
    move |character| !is_picture || !is_joining(*character) || Some(*character) == first
}

/// How many cells a harmless text takes.
pub(crate) fn width(text: &str) -> usize {
    text.graphemes(true).map(grapheme_width).sum()
}

/// As much of a harmless text as fits into `cells`, with an ellipsis if that is not all of it.
pub(crate) fn fit(text: &str, cells: usize) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    let mut fitted = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        used += grapheme_width(grapheme);
        if used + 1 > cells {
            break;
        }
        fitted.push_str(grapheme);
    }
    if cells > 0 {
        fitted.push_str(ELLIPSIS);
    }
    fitted
}

/// A harmless text in exactly `cells`, filled up with spaces on its left.
pub(crate) fn fit_right(text: &str, cells: usize) -> String {
    let fitted = fit(text, cells);
    let padding = cells.saturating_sub(width(&fitted));
    format!("{}{fitted}", " ".repeat(padding))
}

/// Foreign text as rows of at most `cells`: its own lines are kept, long ones break between words,
/// between wide characters, and within a word only if it has no row of its own to fit on.
pub(crate) fn wrap(text: &str, cells: usize) -> Vec<String> {
    let mut rows = Vec::new();
    for line in lines(text) {
        rows.extend(breaks(&line, cells).into_iter().map(|row| line[row].to_owned()));
    }
    rows
}

/// The lines of a foreign text, each harmless.
pub(super) fn lines(text: &str) -> impl Iterator<Item = String> {
    text.split('\n').map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line).replace('\t', "    ");
        cell(&line)
    })
}

/// Where a harmless line breaks into rows of at most `cells`, at least one; the spaces at a break
/// belong to no row.
pub(super) fn breaks(line: &str, cells: usize) -> Vec<Range<usize>> {
    let cells = cells.max(2);
    let mut rows = Vec::new();
    let (mut row, mut used) = (0..0, 0);
    for piece in pieces(line) {
        let piece_width = width(piece);
        if used + width(piece.trim_end()) <= cells {
            row.end += piece.len();
            used += piece_width;
            continue;
        }
        if !row.is_empty() {
            finish(line, &mut row, &mut rows);
            used = 0;
        }
        for grapheme in piece.graphemes(true).flat_map(|grapheme| parts(grapheme, cells)) {
            let grapheme_width = grapheme_width(grapheme);
            if used + grapheme_width > cells {
                if grapheme == " " {
                    row.end += 1;
                    continue;
                }
                finish(line, &mut row, &mut rows);
                used = 0;
            }
            row.end += grapheme.len();
            used += grapheme_width;
        }
    }
    finish(line, &mut row, &mut rows);
    rows
}

fn finish(line: &str, row: &mut Range<usize>, rows: &mut Vec<Range<usize>>) {
    rows.push(row.start..row.start + line[row.clone()].trim_end().len());
    row.start = row.end;
}

/// A grapheme as it is, or its characters if it is wider than a row: stacked marks of several
/// scripts make one of any width.
fn parts(grapheme: &str, cells: usize) -> impl Iterator<Item = &str> {
    let is_whole = grapheme_width(grapheme) <= cells;
    let step = move |at: &usize| {
        let rest = grapheme.get(*at..).filter(|rest| !rest.is_empty())?;
        let end = if is_whole { rest.len() } else { rest.chars().next()?.len_utf8() };
        Some((&rest[..end], at + end))
    };
    std::iter::successors(step(&0), move |(_, at)| step(at)).map(|(part, _)| part)
}

/// Where a line may break: after spaces, and around wide characters, which need none.
fn pieces(line: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut previous: Option<&str> = None;
    for (at, grapheme) in line.grapheme_indices(true) {
        let is_break = previous.is_some_and(|previous| {
            (previous == " " && grapheme != " ")
                || grapheme_width(previous) > 1
                || (grapheme_width(grapheme) > 1 && previous != " ")
        });
        if is_break {
            pieces.push(&line[start..at]);
            start = at;
        }
        previous = Some(grapheme);
    }
    pieces.push(&line[start..]);
    pieces
}

fn grapheme_width(grapheme: &str) -> usize {
    grapheme.cell_width().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_stay_whole_and_long_ones_break() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("a  b", 10), ["a  b"]);
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("a\n\nb\r\n", 10), ["a", "", "b", ""]);
    }

    #[test]
    fn wide_characters_break_anywhere_and_are_never_cut() {
        assert_eq!(wrap("日本語テキスト", 5), ["日本", "語テ", "キス", "ト"]);
        assert_eq!(wrap("ab日本", 4), ["ab日", "本"]);
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("日本語", 4), "日…");
    }

    #[test]
    fn a_grapheme_wider_than_a_row_is_taken_apart() {
        let stacked = "\u{384}\u{bc6}\u{c01}";
        assert_eq!((stacked.graphemes(true).count(), wrap(stacked, 3).len()), (1, 1));
        let rows = wrap(stacked, 2);
        assert!(rows.iter().all(|row| width(row) <= 2), "{rows:?}");
        assert_eq!(rows.concat(), stacked);
    }

    #[test]
    fn joined_pictures_stand_one_by_one() {
        assert_eq!(cell("👩‍👧 👍🏽 ❤️ 1️⃣ 🇩🇪"), "👩👧 👍 ❤ 1⃣ 🇩🇪");
        let word = "क्‍ष";
        assert_eq!(cell(word), word, "a joiner between letters");
    }

    #[test]
    fn what_fits_is_left_alone() {
        assert_eq!(
            (fit("abc", 3), fit("abcd", 3), fit("abc", 0)),
            ("abc".into(), "ab…".into(), String::new())
        );
        assert_eq!(fit_right("ab", 4), "  ab");
    }

    proptest! {
        #[test]
        fn no_row_is_too_wide_and_no_mark_is_lost(text in any::<String>(), cells in 2usize..40) {
            let rows = wrap(&text, cells);
            for row in &rows {
                prop_assert!(width(row) <= cells, "{row:?} takes {}", width(row));
                prop_assert!(!row.chars().any(char::is_control));
            }
            let kept: String = rows.concat().split_whitespace().collect();
            let line = |line: &str| {
                let line = line.strip_suffix('\r').unwrap_or(line);
                cell(&line.replace('\t', "    "))
            };
            let given: String = text.split('\n').map(line).collect();
            prop_assert_eq!(kept, given.split_whitespace().collect::<String>());
        }
    }
}
