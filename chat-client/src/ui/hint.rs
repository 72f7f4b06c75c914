//! What the divider says about what the person is about to do: with the selected message, with one
//! that is being deleted, with the command they write.

use ratatui::style::Style;

use super::{doubt::MARK, status::seconds, text, theme::Theme};
use crate::app::{
    App,
    bar::{Bar, DEEDS, Deed, EMOJI},
    completion,
    conversation::Conversation,
    deletion::Deletion,
    links,
};

/// The most important of it, for so many cells.
pub(super) fn hint(
    app: &App,
    conversation: &Conversation,
    theme: &Theme,
    cells: usize,
) -> Option<(String, Style)> {
    let is_empty = conversation.composer.is_empty();
    if let Some(bar) = app.bar.as_ref().filter(|_| is_empty) {
        return Some((self::bar(bar, cells), theme.strong));
    }
    if let Some(deletion) = &app.deletion {
        return Some((countdown(app, deletion, cells), theme.fresh));
    }
    if conversation.selected.is_some() && is_empty {
        return Some(("Enter: what to do with it · Esc: nothing".to_owned(), theme.quiet));
    }
    completion::usage(conversation).map(|usage| (usage, theme.quiet))
}

fn bar(bar: &Bar, cells: usize) -> String {
    match bar {
        Bar::Acts => {
            let named = |deed: &Deed| format!("{} {}", deed.key, deed.name);
            let named: Vec<String> = DEEDS.iter().map(named).collect();
            if let Some(all) = ["  ", " "]
                .map(|gap| named.join(gap))
                .into_iter()
                .find(|all| text::width(all) <= cells)
            {
                return all;
            }
            // Narrow: the keys, which mean what their names begin with, and where to look them up.
            let keys: Vec<String> = DEEDS.iter().map(|deed| deed.key.to_string()).collect();
            format!("{} · F1: what they do", keys.join(" "))
        }
        Bar::Emoji => {
            let numbered = EMOJI.iter().zip(1..).map(|(emoji, key)| format!("{key} {emoji}"));
            format!("{}  : other", numbered.collect::<Vec<_>>().join("  "))
        }
        Bar::Links(found, at) => {
            let link = found.get(*at).map_or("", String::as_str);
            let next = match found.len() {
                1 => String::new(),
                count => format!(" ({} of {count}, o: next)", at + 1),
            };
            // Where it leads comes first: that must not be what does not fit.
            let host = text::cell(links::host(link));
            let warning =
                links::warning(link).map(|it| format!("{MARK} {it}: ")).unwrap_or_default();
            format!("Enter opens {host}{next}: {}{}", text::cell(&warning), text::cell(link))
        }
    }
}

fn countdown(app: &App, deletion: &Deletion, cells: usize) -> String {
    let left = seconds(app.now, deletion.due);
    let rule = format!("deletes in {left}, u: keep");
    let room = cells.saturating_sub(text::width(&rule) + 2);
    let words = deletion.words.lines().next().unwrap_or_default();
    format!("{rule}: {}", text::fit(&text::cell(words), room))
}
