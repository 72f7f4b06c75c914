//! Code on the screen: plain at first, then with its words told apart.

use ratatui::{Terminal, backend::TestBackend, buffer::Cell, style::Modifier};

use super::view;
use crate::app::{
    App,
    code::{Code, Run, Token},
    effect::Effect,
    event::Event,
    fixture::{app, id, load, press, room, text},
    update,
};

/// Draws one frame; returns the effects and the cells from the first occurrence of `from` on.
fn drawn(app: &mut App, from: &str) -> (Vec<Effect>, Vec<Cell>) {
    let mut terminal = Terminal::new(TestBackend::new(80, 12)).expect("infallible");
    let mut drawn = Vec::new();
    terminal.draw(|frame| drawn = view(app, frame)).expect("infallible");
    let events = drawn.into_iter().map(Event::Drawn);
    let effects = events.flat_map(|event| update(app, event)).collect();
    let cells = &terminal.backend().buffer().content;
    let begins = |at: &usize| {
        let shown: String = cells[*at..].iter().take(from.len()).map(Cell::symbol).collect();
        shown == from
    };
    let at = (0..cells.len()).find(begins).expect("it is on the screen");
    (effects, cells[at..].to_vec())
}

fn bold(cells: &[Cell], count: usize) -> String {
    let bold = |cell: &&Cell| cell.modifier.contains(Modifier::BOLD);
    cells[..count].iter().filter(bold).map(Cell::symbol).collect()
}

#[test]
fn code_on_the_screen_is_told_apart_once() {
    let mut app = app(vec![room(1, "lobby")]);
    load(&mut app, id(1), vec![text(1, "bea", "so:\n```rust\nlet a = 1;\nlet b;\n```")]);
    let (effects, cells) = drawn(&mut app, "let a");
    let code = Code::new("rust", "let a = 1;\nlet b;\n").expect("it is code");
    assert!(effects.contains(&Effect::Highlight(code.clone())), "{effects:?}");
    assert_eq!(bold(&cells, 10), "");
    let (effects, _) = drawn(&mut app, "let a");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Highlight(_))), "{effects:?}");
    let keyword = |start| Run { start, end: start + 3, token: Token::Keyword };
    update(&mut app, Event::Highlighted(code, vec![keyword(0), keyword(11)]));
    let (effects, cells) = drawn(&mut app, "let a");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Highlight(_))), "{effects:?}");
    assert_eq!(bold(&cells, 10), "let");
    assert_eq!(bold(&drawn(&mut app, "let b").1, 6), "let");
}

#[test]
fn code_that_is_not_on_the_screen_or_has_no_language_is_left_alone() {
    let mut app = app(vec![room(1, "lobby")]);
    let mut entries = vec![text(1, "bea", "```rust\nfn above() {}\n```")];
    entries.push(text(2, "bea", "```\nno language\n```"));
    entries.extend((3..30).map(|seq| text(seq, "bea", "more")));
    load(&mut app, id(1), entries);
    let (effects, _) = drawn(&mut app, "more");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Highlight(_))), "{effects:?}");
    press(&mut app, "<home>");
    let (effects, _) = drawn(&mut app, "fn above");
    let asked = effects.iter().filter(|effect| matches!(effect, Effect::Highlight(_)));
    assert_eq!(asked.count(), 1, "{effects:?}");
}
