//! The little markup that people write in messages: `*emphasis*`, `**strong**`, `~~struck~~`,
//! `` `code` `` and fenced blocks. Everything else stands as it was written.
//!
//! Nothing is rearranged: the parser only tells which bytes of the text have which look and which
//! ones, the marks around them, need not be seen. Links keep their marks, so that the target shows.

use std::{ops::Range, rc::Rc};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use ratatui::{
    style::{Modifier, Style},
    text::{Line, Span},
};

use super::{
    row::{Linked, Row},
    text,
    theme::Theme,
};
use crate::app::{
    code::{Code, Highlights, Run},
    links,
    mention::mentions,
};

/// Longest text that is searched for markup; a longer one is shown as it is.
const MARKUP_BYTES_MAX: usize = 16 * 1024;
/// What stands before every row of a fenced block.
const CODE_BAR: &str = "▏";

/// A foreign text as rows of at most `cells`, in which `me` is emphasised.
pub(super) fn rows(
    foreign: &str,
    cells: usize,
    me: &str,
    highlights: &Highlights,
    theme: &Theme,
) -> Vec<Row> {
    let lines: Vec<String> = text::lines(foreign).collect();
    let whole = lines.join("\n");
    let look = Look::of(&whole, me, theme);
    let blocks: Vec<_> =
        look.fences.iter().map(|fence| Block::of(fence, &whole, highlights)).collect();
    let mut rows = Vec::new();
    let mut at = 0;
    for line in &lines {
        let range = at..at + line.len();
        at = range.end + 1;
        match look.part(&range) {
            Part::Fence => {}
            Part::Code(index) => rows.extend(blocks[index].rows(&whole, range, cells, theme)),
            Part::Words => rows.extend(look.line(&whole, range, cells)),
        }
    }
    if rows.iter().all(|row: &Row| row.line.width() == 0) {
        rows.clear();
        // Nothing but the marks of an empty block.
        let broken = lines
            .iter()
            .flat_map(|line| text::breaks(line, cells).into_iter().map(|row| line[row].to_owned()));
        rows.extend(broken.map(|row| Line::styled(row, theme.text).into()));
    }
    rows
}

/// How the bytes of a text look.
struct Look {
    /// From each place on, until the next one; `None` is not shown.
    runs: Vec<(usize, Option<Style>)>,
    fences: Vec<Fence>,
    /// Where links are that are shown as they are.
    links: Vec<Range<usize>>,
}

/// A fenced block.
struct Fence {
    /// All of it.
    whole: Range<usize>,
    /// What is between the fences.
    code: Range<usize>,
    /// What stands behind the opening one.
    info: String,
}

/// What a line belongs to.
enum Part {
    Words,
    /// A line of this block.
    Code(usize),
    /// The line that opens or closes a block.
    Fence,
}

impl Look {
    fn of(whole: &str, me: &str, theme: &Theme) -> Self {
        let mut looks: Vec<Option<Style>> = vec![Some(theme.text); whole.len()];
        let mut fences = Vec::new();
        if whole.len() <= MARKUP_BYTES_MAX {
            paint(whole, theme, &mut looks, &mut fences);
        }
        for range in mentions(whole, me) {
            for style in looks[range].iter_mut().flatten() {
                *style = style.patch(theme.mention);
            }
        }
        let mut links = links::places(whole);
        links.retain(|place| looks[place.clone()].iter().all(Option::is_some));
        let mut runs: Vec<(usize, Option<Style>)> = Vec::new();
        for (at, look) in looks.into_iter().enumerate() {
            if runs.last().is_none_or(|(_, last)| *last != look) {
                runs.push((at, look));
            }
        }
        Self { runs, fences, links }
    }

    fn part(&self, line: &Range<usize>) -> Part {
        // In a list, a block begins behind what its line is indented by.
        let overlaps = |f: &Fence| line.end > f.whole.start && line.start < f.whole.end;
        let index = self.fences.iter().position(overlaps);
        let Some(index) = index else { return Part::Words };
        let code = &self.fences[index].code;
        let is_code = !code.is_empty() && line.end >= code.start && line.start < code.end;
        if is_code { Part::Code(index) } else { Part::Fence }
    }

    /// The rows of one line of words.
    fn line(&self, whole: &str, line: Range<usize>, cells: usize) -> Vec<Row> {
        let mut shown = String::new();
        let mut linked: Vec<(Range<usize>, Rc<str>)> = Vec::new();
        let mut styles: Vec<(Range<usize>, Style)> = Vec::new();
        for (range, style) in self.runs_in(&line) {
            let Some(style) = style else { continue };
            let start = shown.len();
            // All of a link is shown, so it goes on as it begins.
            let begin = self.links.iter().filter(|link| range.contains(&link.start));
            linked.extend(begin.map(|link| {
                let at = start + link.start - range.start;
                (at..at + link.len(), whole[link.clone()].into())
            }));
            shown.push_str(&whole[range]);
            styles.push((start..shown.len(), style));
        }
        let rows = text::breaks(&shown, cells).into_iter();
        rows.map(|row| {
            let spans = styles.iter().filter_map(|(range, style)| {
                let cut = range.start.max(row.start)..range.end.min(row.end);
                (cut.start < cut.end).then(|| Span::styled(shown[cut].to_owned(), *style))
            });
            let links = linked.iter().filter_map(|(range, target)| {
                let cut = range.start.max(row.start)..range.end.min(row.end);
                let column = |at: usize| text::width(&shown[row.start..at]);
                (cut.start < cut.end).then(|| Linked {
                    columns: column(cut.start)..column(cut.end),
                    text: shown[cut].to_owned(),
                    target: Rc::clone(target),
                })
            });
            Row { links: links.collect(), line: spans.collect(), code: None }
        })
        .collect()
    }

    fn runs_in(&self, line: &Range<usize>) -> impl Iterator<Item = (Range<usize>, Option<Style>)> {
        let first = self.runs.partition_point(|(at, _)| *at <= line.start).saturating_sub(1);
        let ends = self.runs[first..].iter().skip(1).map(|(at, _)| *at).chain([usize::MAX]);
        let (start, end) = (line.start, line.end);
        let runs = self.runs[first..].iter().zip(ends);
        let runs = runs.take_while(move |((at, _), _)| *at < end);
        runs.map(move |((at, look), next)| ((*at).max(start)..next.min(end), *look))
    }
}

/// A fenced block and what is known of its words.
struct Block<'a> {
    /// Where its code begins.
    start: usize,
    runs: Option<&'a [Run]>,
    /// It, if its words are still to be told apart.
    unknown: Option<Rc<Code>>,
}

impl<'a> Block<'a> {
    fn of(fence: &Fence, whole: &str, highlights: &'a Highlights) -> Self {
        let code = Code::new(&fence.info, &whole[fence.code.clone()]);
        let runs = code.as_ref().and_then(|code| highlights.of(code));
        let unknown = code.filter(|_| runs.is_none()).map(Rc::new);
        Self { start: fence.code.start, runs, unknown }
    }

    /// The rows of one of its lines.
    fn rows(&self, whole: &str, line: Range<usize>, cells: usize, theme: &Theme) -> Vec<Row> {
        let cells = cells.saturating_sub(text::width(CODE_BAR)).max(2);
        let rows = text::breaks(&whole[line.clone()], cells).into_iter();
        rows.map(|row| {
            let row = line.start + row.start..line.start + row.end;
            let mut spans = vec![Span::styled(CODE_BAR, theme.line)];
            spans.extend(self.spans(whole, row, theme));
            Row { line: Line::from(spans), code: self.unknown.clone(), ..Row::default() }
        })
        .collect()
    }

    fn spans(&self, whole: &str, row: Range<usize>, theme: &Theme) -> Vec<Span<'static>> {
        let Some(runs) = self.runs.filter(|runs| !runs.is_empty()) else {
            return vec![Span::styled(whole[row].to_owned(), theme.code)];
        };
        let mut spans = Vec::new();
        let mut at = row.start;
        let first = runs.partition_point(|run| self.start + run.end <= row.start);
        for run in &runs[first..] {
            let start = (self.start + run.start).max(at);
            let end = (self.start + run.end).min(row.end);
            if start >= end {
                break;
            }
            spans.push(Span::styled(whole[at..start].to_owned(), theme.text));
            spans.push(Span::styled(whole[start..end].to_owned(), theme.token(run.token)));
            at = end;
        }
        spans.push(Span::styled(whole[at..row.end].to_owned(), theme.text));
        spans.retain(|span| !span.content.is_empty());
        spans
    }
}

/// Gives every byte of the text its look.
fn paint(whole: &str, theme: &Theme, looks: &mut [Option<Style>], fences: &mut Vec<Fence>) {
    let mut open: Vec<Style> = Vec::new();
    let mut fence: Option<Fence> = None;
    for (event, range) in Parser::new_ext(whole, Options::ENABLE_STRIKETHROUGH).into_offset_iter() {
        match event {
            Event::Start(tag) => {
                if let Tag::CodeBlock(CodeBlockKind::Fenced(info)) = &tag {
                    let (whole, code) = (range.clone(), range.end..range.end);
                    fence = Some(Fence { whole, code, info: info.to_string() });
                }
                let outer = open.last().copied().unwrap_or(theme.text);
                match modifier(&tag) {
                    Some(modifier) => {
                        open.push(outer.add_modifier(modifier));
                        // The marks; the words between them are shown when they come.
                        looks[range].fill(None);
                    }
                    // Stands as it was written, as far as nothing in it says otherwise.
                    None if !open.is_empty() => looks[range].fill(Some(outer)),
                    None => {}
                }
            }
            Event::End(TagEnd::CodeBlock) => fences.extend(fence.take()),
            Event::End(TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough) => {
                open.pop();
            }
            Event::Text(_) => {
                if let Some(fence) = &mut fence {
                    fence.code = fence.code.start.min(range.start)..range.end;
                } else {
                    let style = open.last().copied().unwrap_or(theme.text);
                    looks[range].fill(Some(style));
                }
            }
            Event::Code(_) => {
                looks[range.clone()].fill(None);
                let inner = inside_ticks(&whole[range.clone()]);
                looks[range.start + inner.start..range.start + inner.end].fill(Some(theme.code));
            }
            Event::End(_) => {}
            _ => {
                if let Some(style) = open.last() {
                    looks[range].fill(Some(*style));
                }
            }
        }
    }
}

const fn modifier(tag: &Tag<'_>) -> Option<Modifier> {
    match tag {
        Tag::Emphasis => Some(Modifier::ITALIC),
        Tag::Strong => Some(Modifier::BOLD),
        Tag::Strikethrough => Some(Modifier::CROSSED_OUT),
        _ => None,
    }
}

/// What is between the ticks of a piece of code.
fn inside_ticks(code: &str) -> Range<usize> {
    let ticks = code.len() - code.trim_start_matches('`').len();
    ticks.min(code.len())..code.len().saturating_sub(ticks).max(ticks.min(code.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::Look;

    fn shown(text: &str) -> Vec<String> {
        let theme = Theme::of(Look::PLAIN);
        rows(text, 40, "ada", &Highlights::default(), &theme)
            .iter()
            .map(|row| row.line.to_string())
            .collect()
    }

    /// The words that have this modifier.
    fn with(text: &str, modifier: Modifier) -> Vec<String> {
        let theme = Theme::of(Look::PLAIN);
        let rows = rows(text, 40, "ada", &Highlights::default(), &theme);
        let spans = rows.iter().flat_map(|row| &row.line.spans);
        let marked = spans.filter(|span| span.style.add_modifier.contains(modifier));
        marked.map(|span| span.content.to_string()).collect()
    }

    #[test]
    fn marks_become_looks() {
        let text = "*soft* **loud `code`** ~~gone~~ plain";
        assert_eq!(shown(text), ["soft loud code gone plain"]);
        assert_eq!(with(text, Modifier::BOLD), ["loud "]);
        assert_eq!(with(text, Modifier::ITALIC), ["soft"]);
        assert_eq!(with(text, Modifier::CROSSED_OUT), ["gone"]);
    }

    #[test]
    fn what_is_no_markup_stands_as_it_was_written() {
        for text in [
            "2 * 3 * 4 and snake_case_name",
            "# not a heading",
            "- a list",
            "1. first",
            "> quoted",
            "[a bank](https://elsewhere.example)",
            "<b>html</b> &amp; co",
            "    indented",
            "---",
            "a\\*b",
            "**open",
        ] {
            assert_eq!(shown(text), [text]);
        }
        assert_eq!(shown("one\ntwo\n\nthree"), ["one", "two", "", "three"]);
    }

    #[test]
    fn the_target_of_a_link_is_always_seen() {
        let text = "**see [the bank](https://elsewhere.example)** [*x*](y)";
        assert_eq!(shown(text).join(" "), "see [the bank](https://elsewhere.example) [x](y)");
    }

    #[test]
    fn a_link_is_known_where_it_stands_on_each_row() {
        let theme = Theme::of(Look::PLAIN);
        let rows = rows(
            "日本 **see** <https://a.example/a-long-one>, ok",
            16,
            "ada",
            &Highlights::default(),
            &theme,
        );
        let parts: Vec<_> = (rows.iter().enumerate())
            .flat_map(|(index, row)| row.links.iter().map(move |link| (index, link)))
            .map(|(index, link)| (index, link.columns.clone(), link.text.as_str(), &*link.target))
            .collect();
        let target = "https://a.example/a-long-one";
        assert_eq!(
            parts,
            [(1, 1..16, "https://a.examp", target), (2, 0..13, "le/a-long-one", target)]
        );
    }

    #[test]
    fn what_does_not_look_like_its_target_is_no_link() {
        let theme = Theme::of(Look::PLAIN);
        for (text, count) in
            [("https://a.example/*x*", 0), ("`https://a.example`", 1), ("**https://a.example**", 1)]
        {
            let rows = rows(text, 40, "ada", &Highlights::default(), &theme);
            let links: Vec<_> = rows.iter().flat_map(|row| &row.links).collect();
            assert_eq!(links.len(), count, "{text}");
            assert!(links.iter().all(|link| link.text == *link.target));
        }
    }

    #[test]
    fn a_fenced_block_is_kept_line_by_line() {
        let text = "see:\n```rust\nfn main() {\n    *x* = 1;\n}\n```\nok?";
        let bar = |line: &str| format!("{CODE_BAR}{line}");
        let expected = [
            "see:".to_owned(),
            bar("fn main() {"),
            bar("    *x* = 1;"),
            bar("}"),
            "ok?".to_owned(),
        ];
        assert_eq!(shown(text), expected);
        assert_eq!(shown("```\nopen"), [bar("open")], "the end may be missing");
        let listed = "- see:\n  ```\n  one\n  two\n  ```";
        assert_eq!(shown(listed), ["- see:".to_owned(), bar("  one"), bar("  two")]);
        assert_eq!(shown("```\n```"), ["```", "```"]);
        assert_eq!(shown("```\n"), ["```", ""]);
    }

    #[test]
    fn the_own_name_stands_out_inside_markup_too() {
        let theme = Theme::of(Look::PLAIN);
        let rows = rows("hey @ada and **Ada**", 40, "ada", &Highlights::default(), &theme);
        let modifier = theme.mention.add_modifier;
        let marked: Vec<_> = rows[0]
            .line
            .spans
            .iter()
            .filter(|span| span.style.add_modifier.contains(modifier))
            .map(|span| span.content.as_ref())
            .collect();
        assert_eq!(marked, ["@ada", "Ada"]);
    }

    #[test]
    fn a_block_without_code_is_shown_as_it_was_written() {
        let theme = Theme::of(Look::PLAIN);
        let rows = rows("~~~-][", 3, "ada", &Highlights::default(), &theme);
        let rows: Vec<String> = rows.iter().map(|row| row.line.to_string()).collect();
        assert_eq!(rows, ["~~~", "-]["]);
    }

    proptest! {
        #[test]
        fn no_markup_makes_a_row_too_wide_or_a_character_appear(
            text in "[a *_`~#>\\[\\]()!<&\\n日\u{301}-]{0,80}",
            cells in 3usize..40,
        ) {
            let theme = Theme::of(Look::PLAIN);
            let mut left: Vec<char> = text.chars().collect();
            for row in rows(&text, cells, "ada", &Highlights::default(), &theme) {
                let row = row.line.to_string();
                prop_assert!(text::width(&row) <= cells, "{row:?}");
                for character in row.trim_start_matches(CODE_BAR).chars().filter(|c| *c != ' ') {
                    let at = left.iter().position(|known| *known == character);
                    prop_assert!(at.is_some(), "{character:?} of {row:?} was not written");
                    left.remove(at.unwrap_or_default());
                }
            }
        }
    }
}
