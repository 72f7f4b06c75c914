//! What is done with messages: events in, effects and model out; no screen.

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use protocol::{
    ids::{AccountId, Seq},
    lab::order::{Order, Ways},
    message::event::Set,
};

use super::{
    App, Overlay,
    bar::{Bar, COPY_BYTES_MAX},
    conversation::Reached,
    deletion::UNDO_MILLIS,
    effect::{Ask, Effect, Saying},
    event::{Answer, Data, Drawn, Event, Spots},
    fixture::{app, at, direct, entry, id, load, press, room, target, text},
    purpose::Purpose,
    timeline::{Said, Scroll},
    update,
};

/// Bea's link, Ada's changed word, Carl's reaction; the newest message is Ada's.
fn lobby() -> App {
    let mut app = app(vec![room(1, "lobby"), direct(2, "bea")]);
    let entries = vec![
        text(1, "bea", "look at https://a.example/x and http://b.example."),
        text(2, "ada", "/first"),
        entry(3, "ada", Said::Edit(target(2), "/second".into())),
        entry(4, "carl", Said::React(target(2), "👍".into(), Set::On)),
    ];
    load(&mut app, id(1), entries);
    app
}

fn said(effects: &[Effect]) -> Vec<Saying> {
    let sayings = effects.iter().filter_map(|effect| match effect {
        Effect::Say(_, saying) => Some(saying.clone()),
        _ => None,
    });
    sayings.collect()
}

fn written(app: &App) -> String {
    app.current().expect("a conversation").composer.text()
}

fn toast(app: &App) -> &str {
    app.toast.as_ref().map_or("", |toast| toast.text.as_str())
}

fn purpose(app: &App) -> Option<&Purpose> {
    app.current().expect("a conversation").purpose.as_ref()
}

fn later(app: &mut App, millis: u64) -> Vec<Effect> {
    let now = app.now.as_millis() + millis;
    update(app, Event::Clock(protocol::time::WallTime::from_millis(now)))
}

#[test]
fn the_bar_opens_on_a_selected_message_and_its_keys_write_nothing() {
    let mut app = lobby();
    press(&mut app, "<enter>");
    assert_eq!(app.bar, None, "nothing is selected");
    press(&mut app, "<S-up><enter>");
    assert_eq!(app.bar, Some(Bar::Acts));
    press(&mut app, "r");
    assert_eq!((app.bar.as_ref(), written(&app).as_str()), (None, ""));
}

#[test]
fn faults_of_the_path_are_checked_before_anybody_acts_on_them() {
    let mut app = lobby();
    let effects = press(&mut app, "/net in delay 50ms<enter>");
    let order = Order::Set { ways: Ways::In, name: "delay".into(), value: "50ms".into() };
    assert!(effects.contains(&Effect::Ask(Ask::Impair(order))), "{effects:?}");
    assert!(press(&mut app, "/net<enter>").contains(&Effect::Ask(Ask::Connection)));
    assert_eq!(press(&mut app, "/net loss 10<enter>"), []);
    assert_eq!((toast(&app).contains("write 5%"), written(&app).as_str()), (true, "/net loss 10"));
}

#[test]
fn the_way_of_an_own_message_is_asked_for_and_of_no_other() {
    let mut app = lobby();
    let effects = press(&mut app, "<S-up><enter>t");
    let own = target(2).id;
    assert!(effects.contains(&Effect::Ask(Ask::Life(own))), "{effects:?}");
    press(&mut app, "<S-up><enter>t");
    assert_eq!(toast(&app), "only the way of own messages is known");
}

#[test]
fn the_inspector_asks_again_and_again_until_it_is_closed() {
    let mut app = lobby();
    assert_eq!(press(&mut app, "<f5>"), [Effect::Ask(Ask::Trace)]);
    assert_eq!(later(&mut app, 1_000), [], "the answer is still to come");
    update(&mut app, Event::Data(Data::Answered(Ok(Answer::Trace(None)))));
    assert_eq!(later(&mut app, 1_000), [Effect::Ask(Ask::Trace)]);
    press(&mut app, "<esc>");
    assert_eq!(later(&mut app, 1_000), []);
    assert_eq!(app.inspector, None);
}

#[test]
fn without_the_bar_every_key_is_written() {
    let mut app = lobby();
    press(&mut app, "<S-up>really");
    assert_eq!((written(&app).as_str(), purpose(&app)), ("really", None));
}

#[test]
fn other_keys_leave_the_bar_and_escape_does() {
    let mut app = lobby();
    press(&mut app, "<S-up><enter>hi");
    assert_eq!((app.bar.as_ref(), written(&app).as_str()), (None, "hi"));
    press(&mut app, "<C-u><enter>");
    assert_eq!(app.bar, Some(Bar::Acts), "the message is still selected");
    press(&mut app, "<esc>");
    assert_eq!((app.bar.as_ref(), app.current().and_then(|c| c.selected)), (None, None));
}

#[test]
fn an_answer_goes_to_the_message_it_was_begun_for() {
    let mut app = lobby();
    press(&mut app, "<S-up><S-up><enter>r");
    assert!(matches!(purpose(&app), Some(Purpose::Reply { author, .. }) if author == "bea"));
    let newer = Data::Appended(id(1), vec![text(5, "carl", "meanwhile")]);
    update(&mut app, Event::Data(newer));
    let effects = press(&mut app, "nice<enter>");
    assert_eq!(said(&effects), [Saying::Text("nice".into(), Some(target(1)))]);
    assert_eq!(purpose(&app), None, "the next one answers nothing");
    assert_eq!(said(&press(&mut app, "more<enter>")), [Saying::Text("more".into(), None)]);
}

#[test]
fn escape_gives_up_an_answer_and_keeps_its_words() {
    let mut app = lobby();
    press(&mut app, "<S-up><enter>rhm<esc>");
    assert_eq!((purpose(&app), written(&app).as_str()), (None, "hm"));
}

#[test]
fn a_message_is_changed_in_the_box_with_the_newest_words() {
    let mut app = lobby();
    press(&mut app, "<S-up><enter>e");
    assert_eq!(written(&app), "//second", "as it has to be written");
    let effects = press(&mut app, "!<enter>");
    assert_eq!(said(&effects), [Saying::Edit(target(2), "/second!".into())]);
    assert_eq!((purpose(&app), written(&app).as_str()), (None, ""));
}

#[test]
fn a_change_that_changes_nothing_is_not_sent() {
    let mut app = lobby();
    assert_eq!(said(&press(&mut app, "<S-up><enter>e<enter>")), []);
    assert_eq!(purpose(&app), None);
}

#[test]
fn words_of_a_message_being_changed_are_no_draft() {
    let mut app = lobby();
    press(&mut app, "<S-up><enter>e more");
    let saved = press(&mut app, "<M-2>");
    assert!(saved.contains(&Effect::SaveDraft(id(1), String::new())), "{saved:?}");
    press(&mut app, "<M-1>");
    assert_eq!(written(&app), "//second more", "it can be gone on with");
    press(&mut app, "<esc>");
    assert_eq!(written(&app), "");
}

#[test]
fn words_that_come_back_do_not_become_part_of_a_change() {
    let mut app = lobby();
    press(&mut app, "<S-up><enter>e");
    let unsaid = Data::Unsaid(id(1), "lost".into(), "not said".into());
    update(&mut app, Event::Data(unsaid));
    assert_eq!(written(&app), "//second");
    press(&mut app, "<esc>");
    assert_eq!(written(&app), "lost");
}

#[test]
fn what_another_said_is_not_changed() {
    let mut app = lobby();
    press(&mut app, "<S-up><S-up><enter>e");
    assert_eq!(toast(&app), "only its author can change a message");
    assert_eq!(app.bar, Some(Bar::Acts));
}

#[test]
fn a_digit_reacts_and_again_takes_it_back() {
    let mut app = lobby();
    let effects = press(&mut app, "<S-up><S-up><enter>+4");
    assert_eq!(said(&effects), [Saying::React(target(1), "🎉".into(), Set::On)]);
    let record = entry(5, "ada", Said::React(target(1), "🎉".into(), Set::On));
    update(&mut app, Event::Data(Data::Appended(id(1), vec![record])));
    let effects = press(&mut app, "<S-up><S-up><enter>+4");
    assert_eq!(said(&effects), [Saying::React(target(1), "🎉".into(), Set::Off)]);
    press(&mut app, "<S-up><enter>+9");
    assert_eq!(
        (toast(&app), app.bar.as_ref()),
        ("1 to 6 react, : chooses others", Some(&Bar::Emoji))
    );
    let effects = press(&mut app, ":tada:<enter>");
    assert_eq!(said(&effects), [Saying::React(target(2), "🎉".into(), Set::On)]);
}

#[test]
fn copying_gives_the_newest_words_and_not_too_many() {
    let mut app = lobby();
    let effects = press(&mut app, "<S-up><enter>y");
    assert_eq!(effects, [Effect::Copy("/second".into())]);
    for (bytes, is_copied) in [(COPY_BYTES_MAX, true), (COPY_BYTES_MAX + 1, false)] {
        load(&mut app, id(1), vec![text(9, "bea", &"x".repeat(bytes))]);
        press(&mut app, "<esc><esc>");
        let effects = press(&mut app, "<S-up><enter>y");
        assert_eq!(!effects.is_empty(), is_copied, "{}", toast(&app));
    }
    assert_eq!(toast(&app), "65537 bytes are not copied: terminals take 65536");
}

#[test]
fn a_link_is_shown_before_it_is_opened() {
    let mut app = lobby();
    assert_eq!(press(&mut app, "<S-up><S-up><enter>o"), []);
    let links = || vec!["https://a.example/x".into(), "http://b.example".into()];
    assert_eq!(app.bar, Some(Bar::Links(links(), 0)));
    press(&mut app, "o");
    assert_eq!(press(&mut app, "<enter>"), [Effect::OpenLink("http://b.example".into())]);
    press(&mut app, "<esc><S-up><enter>o");
    assert_eq!(toast(&app), "there is no link in it");
}

#[test]
fn a_deletion_waits_and_is_then_sent_once() {
    let mut app = lobby();
    assert_eq!(said(&press(&mut app, "<S-up><enter>d")), []);
    assert!(app.is_ticking(), "the seconds are counted");
    assert_eq!(said(&later(&mut app, UNDO_MILLIS - 1)), []);
    assert_eq!(said(&later(&mut app, 1)), [Saying::Delete(target(2))]);
    assert_eq!(said(&later(&mut app, UNDO_MILLIS)), []);
    assert!(!app.is_ticking());
}

#[test]
fn a_deletion_can_be_taken_back() {
    for keys in ["u", "<esc>", "/undo<enter>"] {
        let mut app = lobby();
        press(&mut app, "/delete<enter>");
        assert!(app.deletion.is_some(), "{keys}");
        press(&mut app, keys);
        assert_eq!(app.deletion, None, "{keys}");
        assert_eq!(said(&later(&mut app, UNDO_MILLIS)), [], "{keys}");
        assert_eq!(written(&app), "", "{keys}");
    }
    let mut app = lobby();
    press(&mut app, "/undo<enter>");
    assert_eq!(toast(&app), "nothing waits to be deleted");
}

#[test]
fn an_u_within_words_takes_nothing_back() {
    let mut app = lobby();
    press(&mut app, "/delete<enter>but");
    assert_eq!(written(&app), "but");
    assert!(app.deletion.is_some());
}

#[test]
fn the_next_deletion_and_leaving_send_what_waits() {
    let mut app = lobby();
    press(&mut app, "<S-up><enter>d");
    let effects = press(&mut app, "<S-up><S-up><enter>d");
    assert_eq!(said(&effects), [Saying::Delete(target(2))]);
    let effects = update(&mut app, Event::End);
    assert_eq!(said(&effects), [Saying::Delete(target(1))]);
    assert_eq!(effects.last(), Some(&Effect::Quit));
    assert_eq!(said(&update(&mut app, Event::End)), [], "and only once");
}

#[test]
fn details_tell_versions_reactions_and_readers() {
    let mut app = lobby();
    let reached = vec![
        (AccountId([b'b'; 16]), Seq(4), Seq(2)),
        (AccountId([b'c'; 16]), Seq(2), Seq(1)),
        (AccountId([7; 16]), Seq(2), Seq(1)),
    ];
    update(&mut app, Event::Data(Data::Progress(id(1), Reached::Members(reached))));
    press(&mut app, "<S-up><enter>i");
    let Some(Overlay::List { lines, .. }) = &app.overlay else { panic!("details") };
    for line in [
        "from      ada (you)",
        "time      2026-11-21 14:02:00, by the relay's clock",
        "place     record 2 of #lobby",
        "counter   2",
        "2 versions",
        "2026-11-21 14:02:00  /first",
        "2026-11-21 14:03:00  /second",
        "👍  carl",
        "read by   1 of 3: bea",
        "received  3 of 3: account 07070707…, carl",
    ] {
        assert!(lines.iter().any(|known| known == line), "{line} is not in {lines:#?}");
    }
}

fn click(app: &mut App, column: u16, row: u16) {
    let kind = MouseEventKind::Down(MouseButton::Left);
    update(app, Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
}

#[test]
fn a_click_selects_and_a_second_one_opens_the_bar() {
    let mut app = lobby();
    let spots = Spots { left: 10, right: 60, rows: vec![(3, Seq(1)), (4, Seq(2))] };
    update(
        &mut app,
        Event::Drawn(Drawn {
            conversation: id(1),
            rows: 10,
            scroll: Scroll::Live,
            top: None,
            seen: None,
            reaches_oldest: true,
            reaches_newest: true,
            spots,
            code: Vec::new(),
        }),
    );
    let selected = |app: &App| app.current().and_then(|c| c.selected);
    for column in [9, 60] {
        click(&mut app, column, 3);
        assert_eq!(selected(&app), None, "another pane");
    }
    click(&mut app, 12, 3);
    assert_eq!((selected(&app), app.bar.as_ref()), (Some(Seq(1)), None));
    click(&mut app, 40, 3);
    assert_eq!(app.bar, Some(Bar::Acts));
    click(&mut app, 40, 4);
    assert_eq!((selected(&app), app.bar.as_ref()), (Some(Seq(2)), None));
}

#[test]
fn what_is_deleted_meanwhile_is_not_acted_on() {
    let mut app = lobby();
    press(&mut app, "<S-up><S-up><enter>");
    let gone = entry(5, "bea", Said::Delete(target(1)));
    update(&mut app, Event::Data(Data::Appended(id(1), vec![gone])));
    press(&mut app, "r");
    assert_eq!((toast(&app), purpose(&app)), ("that message is deleted", None));
}

#[test]
fn time_moves_on_only_once() {
    let mut app = lobby();
    press(&mut app, "/delete<enter>");
    assert_eq!(said(&update(&mut app, Event::Clock(at(0)))), [], "the clock went back");
    assert!(app.deletion.is_some());
}

#[test]
fn a_pasted_command_is_not_done_before_it_is_meant() {
    for pasted in ["/quit", "/part\nand more", "/delete\r\n"] {
        let mut app = lobby();
        update(&mut app, Event::Paste(pasted.into()));
        assert_eq!(press(&mut app, "<enter>"), [], "{pasted}");
        assert!(toast(&app).starts_with("pasted: Enter again does /"), "{}", toast(&app));
        assert_ne!(press(&mut app, "<enter>"), [], "{pasted}: asked once");
    }
    let mut app = lobby();
    press(&mut app, "/msg bea ");
    update(&mut app, Event::Paste("/quit".into()));
    assert_ne!(press(&mut app, "<enter>"), [], "the command was written by hand");
    update(&mut app, Event::Paste("/quit".into()));
    press(&mut app, "<C-c>/quit");
    assert!(press(&mut app, "<enter>").contains(&Effect::Quit), "nothing is left of the paste");
}

#[test]
fn the_editor_gets_what_is_written_and_gives_it_back_unsent() {
    let mut app = lobby();
    let effects = press(&mut app, "dra<M-e>");
    assert!(effects.contains(&Effect::OpenEditor(id(1), "dra".into())));
    let effects = update(&mut app, Event::Edited(id(1), Ok("draft\nof two lines".into())));
    assert_eq!((said(&effects), written(&app).as_str()), (vec![], "draft\nof two lines"));
    update(&mut app, Event::Edited(id(1), Err("vi ended with 1".into())));
    assert_eq!((toast(&app), written(&app).as_str()), ("vi ended with 1", "draft\nof two lines"));
}
