//! Screens of what is done with messages.

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use protocol::{ids::Seq, time::WallTime};

use super::tests::{busy, screen, snapshots};
use crate::app::{
    event::Event,
    fixture::{app, entry, id, load, press, room, target, text},
    timeline::Said,
    update,
};

/// The keys that lead to a screen, on a room in use.
fn acting(name: &str, keys: &str) {
    snapshots(name, || {
        let mut app = busy();
        press(&mut app, keys);
        app
    });
}

#[test]
fn what_can_be_done_with_a_message() {
    acting("bar_selected", "<S-up>");
    acting("bar_acts", "<S-up><enter>");
    acting("bar_emoji", "<S-up><enter>+");
}

#[test]
fn words_for_a_message_say_so() {
    acting("purpose_reply", "<S-up><enter>rgood idea");
    acting("purpose_edit", "<S-up><S-up><S-up><enter>e");
}

#[test]
fn a_deletion_counts_down() {
    snapshots("deletion", || {
        let mut app = busy();
        press(&mut app, "<S-up><enter>d");
        let now = app.now.as_millis();
        update(&mut app, Event::Clock(WallTime::from_millis(now + 2_000)));
        app
    });
}

#[test]
fn a_large_paste_shows_how_large_it_is() {
    snapshots("large_paste", || {
        let mut app = busy();
        let lines: Vec<String> = (1..=212).map(|line| format!("日本語 line {line}")).collect();
        update(&mut app, Event::Paste(lines.join("\n")));
        app
    });
}

#[test]
fn a_pasted_command_is_asked_about() {
    snapshots("pasted_command", || {
        let mut app = busy();
        update(&mut app, Event::Paste("/part\n日本語 \u{1b}[2J\u{202e} שלום 👩‍👩‍👧‍👦".into()));
        press(&mut app, "<enter>");
        app
    });
}

#[test]
fn details_of_a_message() {
    acting("details", "<S-up><S-up><enter>i");
}

#[test]
fn hostile_words_are_acted_on_in_their_place() {
    let evil =
        "\u{1b}]0;x\u{7}\u{202e}txt.exe https://good.example@evil.example/\u{9b}2J שלום 日本語👩‍👩‍👧‍👦";
    let hostile = || {
        let mut app = app(vec![room(1, "lobby")]);
        load(
            &mut app,
            id(1),
            vec![text(1, evil, evil), entry(2, evil, Said::Edit(target(1), evil.into()))],
        );
        app
    };
    for (name, keys) in [
        ("hostile_reply", "<S-up><enter>r"),
        ("hostile_link", "<S-up><enter>o"),
        ("hostile_details", "<S-up><enter>i"),
        ("hostile_deletion", "<S-up><enter>d"),
    ] {
        snapshots(name, || {
            let mut app = hostile();
            press(&mut app, keys);
            app
        });
    }
}

#[test]
fn a_click_finds_the_message_that_is_drawn_there() {
    let mut app = busy();
    let drawn = screen(&mut app, (80, 24));
    let row = drawn.lines().position(|row| row.contains("it is long")).expect("on the screen");
    let kind = MouseEventKind::Down(MouseButton::Left);
    let row = u16::try_from(row).expect("a screen");
    let click = MouseEvent { kind, column: 30, row, modifiers: KeyModifiers::NONE };
    update(&mut app, Event::Mouse(click));
    assert_eq!(app.current().expect("a conversation").selected, Some(Seq(7)));
}
