//! Finding one's way: pickers, what a search found, jumps.

use protocol::ids::Seq;
use ratatui::{Terminal, backend::TestBackend, style::Modifier};

use super::{
    tests::{screen, snapshots},
    view,
};
use crate::app::{
    App,
    conversation::{Standing, Summary},
    fixture::{app, direct, press, room},
};

const EVIL: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}evil\u{200b}\u{0}\u{9b}31m";

/// Many conversations, some of them with names that nobody would choose kindly.
fn many() -> App {
    let mut conversations = vec![
        room(1, "lobby"),
        Summary { unread: 3, head: Seq(9), read: Seq(6), ..room(2, "ops") },
        room(3, EVIL),
        room(4, "日本語の部屋 👩‍👩‍👧‍👦 🇩🇪"),
        Summary { standing: Standing::Invited, unread: 1, head: Seq(1), ..direct(5, "mallory") },
        room(6, "a-name-that-is-so-long-that-it-does-not-fit-into-a-narrow-terminal-at-all"),
    ];
    conversations.extend((10..40).map(|number| room(number, &format!("room-{number}"))));
    app(conversations)
}

#[test]
fn the_switcher_lists_what_is_unread_first() {
    snapshots("switcher", || {
        let mut app = many();
        press(&mut app, "<C-g>");
        app
    });
}

#[test]
fn the_switcher_narrows_to_what_is_written() {
    snapshots("switcher_narrowed", || {
        let mut app = many();
        press(&mut app, "<C-g>語o<down>");
        press(&mut app, "<C-u>lo");
        app
    });
    snapshots("switcher_nothing", || {
        let mut app = many();
        press(&mut app, "<C-g>qqqq");
        app
    });
}

#[test]
fn what_matched_is_told_without_colour() {
    let mut app = many();
    press(&mut app, "<C-g>lobb");
    let mut terminal = Terminal::new(TestBackend::new(40, 12)).expect("infallible");
    terminal.draw(|frame| _ = view(&app, frame)).expect("infallible");
    let buffer = terminal.backend().buffer();
    let emphasised: String = buffer
        .content()
        .iter()
        .filter(|cell| cell.modifier.contains(Modifier::UNDERLINED))
        .map(ratatui::buffer::Cell::symbol)
        .collect();
    assert_eq!(emphasised, "lobb");
}

#[test]
fn a_picker_fits_the_smallest_screen() {
    for size in [(1, 1), (2, 2), (3, 3), (20, 5)] {
        let mut app = many();
        press(&mut app, "<C-g>");
        screen(&mut app, size);
        press(&mut app, "lobby");
        screen(&mut app, size);
    }
}
