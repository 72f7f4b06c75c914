//! Finding one's way: pickers, what a search found, jumps.

use protocol::{ids::Seq, time::WallTime};
use ratatui::{Terminal, backend::TestBackend, style::Modifier};

use super::{
    tests::{screen, snapshots},
    view,
};
use crate::app::{
    App,
    conversation::{Standing, Summary},
    event::{Data, Event, Finding, Findings, Page, Place},
    fixture::{app, at, direct, id, load, press, room, text},
    picker::Purpose,
    update,
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

fn finding(conversation: u8, seq: u64, sender: &str, text: &str) -> Finding {
    let (conversation, seq, sender) = (id(conversation), Seq(seq), sender.to_owned());
    Finding { conversation, seq, time: at(0), sender, text: text.into() }
}

fn found(app: &mut App, purpose: Purpose, back_to: Option<WallTime>) {
    let long = format!("{} report {}", "words before it ".repeat(20), "and after ".repeat(20));
    let messages = vec![
        finding(1, 9, "bea", "the Report is out"),
        finding(4, 8, "carl", "日本語の report です 👩‍👩‍👧‍👦"),
        finding(3, 7, EVIL, &format!("{EVIL} report\nin two\tlines {EVIL}")),
        finding(2, 6, "dora", &long),
    ];
    let findings = Findings { messages, back_to, unindexed: 0 };
    update(app, Event::Data(Data::Found(purpose, Ok(findings))));
}

#[test]
fn what_a_search_found_is_listed_with_its_matches() {
    snapshots("search", || {
        let mut app = many();
        press(&mut app, "/search report<enter>");
        found(&mut app, Purpose::Search, Some(at(0)));
        app
    });
    snapshots("search_mistaken", || {
        let mut app = many();
        press(&mut app, "/search report before:soon<enter>");
        app
    });
    snapshots("mentions", || {
        let mut app = many();
        press(&mut app, "<M-m>");
        found(&mut app, Purpose::Mentions, None);
        app
    });
}

#[test]
fn a_match_far_behind_in_a_message_is_on_the_screen() {
    let mut app = many();
    press(&mut app, "/search report<enter>");
    found(&mut app, Purpose::Search, None);
    let screen = screen(&mut app, (80, 24));
    assert!(screen.contains("#ops 14:00 dora: …"), "{screen}");
    assert_eq!(screen.matches("eport").count(), 5, "the line and four messages: {screen}");
}

#[test]
fn a_jump_puts_its_target_into_the_middle_of_what_was_said() {
    snapshots("jump", || {
        let mut app = app(vec![Summary { head: Seq(900), ..room(1, "lobby") }]);
        load(&mut app, id(1), (801..=900).map(|seq| text(seq, "bea", "the end")).collect());
        press(&mut app, "/goto 450<enter>");
        let entries = (401..=500).map(|seq| text(seq, "bea", &format!("message {seq}"))).collect();
        let place = Place::Around(Seq(450));
        let page =
            Page { conversation: id(1), place, entries, amends: Vec::new(), is_oldest: false };
        update(&mut app, Event::Data(Data::Page(page)));
        app
    });
}
