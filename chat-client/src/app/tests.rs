//! Events in, effects and model out; no screen.

use std::time::Duration;

use crossterm::event::{KeyModifiers, MouseEvent, MouseEventKind};
use protocol::{ids::Seq, message::event::Change};

use super::{
    App, Mood, Overlay, Wheel,
    conversation::{Pending, PendingState, Reached, Standing, Summary},
    effect::{Ask, Effect, Saying},
    event::{Answer, Data, Drawn, Event, Focus, Page, Place, Spots},
    fixture::{app, at, direct, id, load, message, notice, press, room, target, text},
    link::{Link, LinkState},
    timeline::{ItemKey, Scroll},
    update,
};

fn lobby() -> App {
    let mut app = app(vec![room(1, "lobby"), room(2, "ops"), direct(3, "bea")]);
    load(&mut app, id(1), vec![text(1, "bea", "hello"), text(2, "ada", "hi")]);
    app
}

fn said(effects: &[Effect]) -> Vec<&Effect> {
    effects.iter().filter(|effect| matches!(effect, Effect::Say(..) | Effect::Ask(_))).collect()
}

fn toast(app: &App) -> &str {
    app.toast.as_ref().map_or("", |toast| toast.text.as_str())
}

#[test]
fn enter_sends_and_empties_the_box() {
    let mut app = lobby();
    let effects = press(&mut app, "good day<enter>");
    assert_eq!(said(&effects), [&Effect::Say(id(1), Saying::Text("good day".into(), None))]);
    assert!(effects.contains(&Effect::SaveDraft(id(1), String::new())));
    assert!(app.current().expect("a conversation").composer.is_empty());
}

#[test]
fn a_new_line_does_not_send() {
    let mut app = lobby();
    let effects = press(&mut app, "a<M-enter>b<C-j>c<enter>");
    assert_eq!(said(&effects), [&Effect::Say(id(1), Saying::Text("a\nb\nc".into(), None))]);
}

#[test]
fn a_paste_is_never_sent_by_itself() {
    let mut app = lobby();
    let effects = update(&mut app, Event::Paste("secret\n/quit\n".into()));
    assert_eq!(effects, []);
    assert_eq!(app.current().expect("a conversation").composer.text(), "secret\n/quit\n");
}

#[test]
fn an_unknown_command_is_not_sent_and_stays_to_be_corrected() {
    let mut app = lobby();
    assert_eq!(
        press(&mut app, "/jion #x<enter>")
            .iter()
            .filter(|e| !matches!(e, Effect::Typing(_)))
            .count(),
        0
    );
    assert!(toast(&app).contains("did you mean /join?"), "{}", toast(&app));
    assert_eq!(app.current().expect("a conversation").composer.text(), "/jion #x");
}

#[test]
fn two_slashes_send_one() {
    let mut app = lobby();
    let effects = press(&mut app, "//shrug<enter>");
    assert_eq!(said(&effects), [&Effect::Say(id(1), Saying::Text("/shrug".into(), None))]);
}

#[test]
fn commands_become_questions() {
    for (line, ask) in [
        ("/join #rust", Ask::Join("rust".into())),
        ("/J rust", Ask::Join("rust".into())),
        ("/part", Ask::Leave(id(1))),
        ("/msg @bea how are you", Ask::Message("bea".into(), "how are you".into())),
        ("/topic tea  time", Ask::Topic(id(1), "tea  time".into())),
        ("/kick bea too loud", Ask::Kick(id(1), "bea".into(), "too loud".into())),
        ("/mute bea 5", Ask::Mute(id(1), "bea".into(), 5)),
        ("/mute bea", Ask::Mute(id(1), "bea".into(), 60)),
        ("/block bea", Ask::Block("bea".into())),
        ("/list ru", Ask::Rooms("ru".into())),
        ("/nick @eve", Ask::Rename("eve".into())),
    ] {
        let mut app = lobby();
        let effects = press(&mut app, &format!("{line}<enter>"));
        assert_eq!(said(&effects), [&Effect::Ask(ask)], "{line}");
    }
}

#[test]
fn a_command_without_its_argument_says_how_it_is_written() {
    let mut app = lobby();
    press(&mut app, "/join<enter>");
    assert_eq!(toast(&app), "usage: /join #ROOM");
    assert_eq!(app.toast.as_ref().map(|toast| toast.mood), Some(Mood::Error));
}

#[test]
fn commands_on_messages_mean_the_selected_one_or_the_nearest() {
    let mut app = lobby();
    let effects = press(&mut app, "/reply yes<enter>");
    assert_eq!(said(&effects), [&Effect::Say(id(1), Saying::Text("yes".into(), Some(target(1))))]);
    let effects = press(&mut app, "/edit hey<enter>");
    assert_eq!(said(&effects), [&Effect::Say(id(1), Saying::Edit(target(2), "hey".into()))]);
    let effects = press(&mut app, "<S-up><S-up>/edit no<enter>");
    assert_eq!(said(&effects), Vec::<&Effect>::new(), "it is bea's");
    assert_eq!(toast(&app), "only its author can change a message");
}

#[test]
fn commands_on_the_newest_own_message_never_mean_the_one_before_it() {
    let mut app = lobby();
    update(&mut app, Event::Data(Data::Pending(pending(3, PendingState::Queued))));
    assert_eq!(said(&press(&mut app, "/delete<enter>")), Vec::<&Effect>::new());
    assert!(toast(&app).contains("/cancel"), "{}", toast(&app));
    press(&mut app, "<C-u>");
    update(&mut app, Event::Data(Data::Pending(pending(3, PendingState::Sent(Seq(3))))));
    press(&mut app, "/delete<enter>");
    let effects = update(&mut app, Event::End);
    assert_eq!(said(&effects), [&Effect::Say(id(1), Saying::Delete(target(3)))]);
    let effects = press(&mut app, "<S-up>/edit hey<enter>");
    assert_eq!(said(&effects), [&Effect::Say(id(1), Saying::Edit(target(2), "hey".into()))]);
}

#[test]
fn edit_without_words_offers_the_old_ones() {
    let mut app = lobby();
    let effects = press(&mut app, "/edit<enter>");
    assert_eq!(app.current().expect("a conversation").composer.text(), "hi");
    let draft = Effect::SaveDraft(id(1), String::new());
    assert!(effects.contains(&draft), "after a restart it would be a new message: {effects:?}");
    let effects = press(&mut app, "!<enter>");
    assert_eq!(said(&effects), [&Effect::Say(id(1), Saying::Edit(target(2), "hi!".into()))]);
}

#[test]
fn keys_go_from_conversation_to_conversation() {
    let mut app = lobby();
    let here = |app: &App| app.current().map(|c| c.summary.id);
    press(&mut app, "<M-3>");
    assert_eq!(here(&app), Some(id(3)));
    press(&mut app, "<C-n>");
    assert_eq!(here(&app), Some(id(1)), "the list is a ring");
    press(&mut app, "<M-up>");
    assert_eq!(here(&app), Some(id(3)));
    assert_eq!(press(&mut app, "<M-9>"), [], "there is none");
    let unread = Summary { unread: 2, head: Seq(2), ..room(2, "ops") };
    update(&mut app, Event::Data(Data::Conversation(Box::new(unread))));
    press(&mut app, "<M-a>");
    assert_eq!(here(&app), Some(id(2)));
}

#[test]
fn a_draft_is_kept_when_leaving_a_conversation() {
    let mut app = lobby();
    let effects = press(&mut app, "half a thou<M-2>");
    assert!(effects.contains(&Effect::SaveDraft(id(1), "half a thou".into())));
    press(&mut app, "<M-1>");
    assert_eq!(app.current().expect("a conversation").composer.text(), "half a thou");
}

#[test]
fn leaving_asks_once_and_keeps_the_draft() {
    let mut app = lobby();
    assert!(!press(&mut app, "draft<C-c>").contains(&Effect::Quit), "clears the line");
    assert_eq!(press(&mut app, "<C-c>"), []);
    assert_eq!(press(&mut app, "x<backspace><C-c>").last(), Some(&Effect::Typing(id(1))));
    assert_eq!(press(&mut app, "<C-d>").last(), Some(&Effect::Quit));
}

#[test]
fn a_command_is_not_announced_as_writing() {
    let mut app = lobby();
    assert_eq!(press(&mut app, "/join"), []);
    assert_eq!(press(&mut app, "<C-u>a"), [Effect::Typing(id(1))]);
}

fn drawn(reaches_oldest: bool, reaches_newest: bool, seen: u64) -> Event {
    Event::Drawn(Drawn {
        spots: Spots::default(),
        code: Vec::new(),
        conversation: id(1),
        rows: 10,
        scroll: Scroll::Live,
        top: Some(ItemKey::Entry(Seq(1))),
        seen: Some(Seq(seen)),
        reaches_oldest,
        reaches_newest,
    })
}

#[test]
fn an_older_page_is_asked_for_once() {
    let mut app = lobby();
    let page = Page {
        conversation: id(1),
        place: Place::Newest,
        entries: vec![text(41, "bea", "x")],
        amends: Vec::new(),
        is_oldest: false,
    };
    update(&mut app, Event::Data(Data::Page(page.clone())));
    let load = Effect::Load(id(1), Place::Before(Seq(41)));
    assert!(update(&mut app, drawn(true, true, 41)).contains(&load));
    assert!(!update(&mut app, drawn(true, true, 41)).contains(&load), "it is on its way");
    let older = Page {
        place: Place::Before(Seq(41)),
        entries: vec![text(40, "bea", "w")],
        is_oldest: true,
        ..page
    };
    update(&mut app, Event::Data(Data::Page(older)));
    assert_eq!(update(&mut app, drawn(true, true, 41)), [], "there is none older");
}

#[test]
fn what_is_on_the_screen_is_read_once_and_only_while_somebody_looks() {
    let mut app = lobby();
    update(&mut app, Event::Focus(Focus::Lost));
    assert_eq!(update(&mut app, drawn(true, true, 2)), []);
    update(&mut app, Event::Focus(Focus::Gained));
    assert_eq!(update(&mut app, drawn(true, true, 2)), [Effect::Read(id(1), Seq(2))]);
    assert_eq!(update(&mut app, drawn(true, true, 2)), []);
}

fn pending(local: u64, state: PendingState) -> Pending {
    Pending {
        local,
        conversation: Some(id(1)),
        id: Some(message(local)),
        composed_at: at(0),
        saying: Saying::Text("mine".into(), None),
        state,
    }
}

#[test]
fn an_own_message_is_shown_once_whatever_comes_first() {
    let mut app = lobby();
    update(&mut app, Event::Data(Data::Pending(pending(3, PendingState::Queued))));
    assert_eq!((app.pending(id(1)).count(), app.waiting()), (1, 1));
    update(&mut app, Event::Data(Data::Pending(pending(3, PendingState::Sent(Seq(3))))));
    assert_eq!((app.pending(id(1)).count(), app.waiting()), (1, 0));
    update(&mut app, Event::Data(Data::Appended(id(1), vec![text(3, "ada", "mine")])));
    assert_eq!(app.pending(id(1)).count(), 0);
    update(&mut app, Event::Data(Data::Appended(id(1), vec![text(4, "ada", "mine")])));
    update(&mut app, Event::Data(Data::Pending(pending(4, PendingState::Sent(Seq(4))))));
    assert_eq!(app.pending(id(1)).count(), 0, "its record was there before");
}

#[test]
fn a_failed_message_stays_until_it_is_dismissed() {
    let mut app = lobby();
    update(&mut app, Event::Data(Data::Pending(pending(3, PendingState::Failed("muted".into())))));
    update(&mut app, Event::Data(Data::Appended(id(1), vec![text(9, "bea", "later")])));
    assert_eq!(app.pending(id(1)).count(), 1);
    assert!(press(&mut app, "/cancel<enter>").contains(&Effect::Cancel(3)));
    update(&mut app, Event::Data(Data::PendingGone(3)));
    assert_eq!(app.pending(id(1)).count(), 0);
}

#[test]
fn progress_only_rises() {
    let mut app = lobby();
    let reached = |received, read| {
        let account = protocol::ids::AccountId([7; 16]);
        Event::Data(Data::Progress(
            id(1),
            Reached::Members(vec![(account, Seq(received), Seq(read))]),
        ))
    };
    update(&mut app, reached(5, 2));
    update(&mut app, reached(4, 1));
    let delivery = app.current().expect("a conversation").delivery(Seq(2));
    assert_eq!((delivery.received, delivery.read, delivery.of), (1, 1, 3));
}

#[test]
fn a_conversation_that_was_asked_for_is_shown_when_it_comes() {
    let mut app = lobby();
    update(&mut app, Event::Data(Data::Answered(Ok(Answer::Open(id(7))))));
    assert_eq!(app.current().map(|c| c.summary.id), Some(id(1)), "it is not known yet");
    update(&mut app, Event::Data(Data::Conversation(Box::new(room(7, "rust")))));
    assert_eq!(app.current().map(|c| c.summary.id), Some(id(7)));
}

#[test]
fn losing_the_conversation_on_the_screen_says_why_and_shows_another() {
    let mut app = lobby();
    update(&mut app, Event::Data(Data::Gone(id(1), Some("banned".into()))));
    assert_eq!(app.current().map(|c| c.summary.id), Some(id(2)));
    assert!(toast(&app).contains("banned"));
}

#[test]
fn a_stranger_rings_when_nobody_looks() {
    let mut app = lobby();
    let asks = Summary { standing: Standing::Invited, unread: 1, head: Seq(1), ..direct(3, "bea") };
    update(&mut app, Event::Focus(Focus::Lost));
    let effects = update(&mut app, Event::Data(Data::Conversation(Box::new(asks))));
    assert!(matches!(&effects[..], [Effect::Notify(_, it)] if it.title == "@bea"), "{effects:?}");
}

#[test]
fn the_clock_matters_only_when_something_counts() {
    let mut app = lobby();
    assert!(!app.is_ticking());
    let state = LinkState::Waiting { until: at(3_700), why: "refused".into() };
    let link = Link { state, ..app.link.clone() };
    update(&mut app, Event::Data(Data::Link(link)));
    assert!(app.is_ticking());
}

#[test]
fn help_opens_by_question_mark_only_on_an_empty_line() {
    let mut app = lobby();
    press(&mut app, "why?");
    assert_eq!(app.overlay, None);
    press(&mut app, "<C-u>?");
    assert_eq!(app.overlay, Some(Overlay::Help(0)));
    press(&mut app, "<esc>");
    assert_eq!(app.overlay, None);
}

#[test]
fn what_is_being_written_is_saved_while_it_is_written() {
    let mut app = lobby();
    let draft = |text: &str| Effect::SaveDraft(id(1), text.into());
    press(&mut app, "half a");
    assert!(app.is_ticking(), "something is to be saved soon");
    assert_eq!(update(&mut app, Event::Clock(at(3_600))), [], "not at every key");
    press(&mut app, " thought");
    assert_eq!(update(&mut app, Event::Clock(at(3_601))), [draft("half a thought")]);
    assert!(!app.is_ticking());
    assert_eq!(update(&mut app, Event::Clock(at(3_700))), [], "once is enough");
    update(&mut app, Event::Paste(" and more".into()));
    assert_eq!(update(&mut app, Event::Clock(at(3_800))), [draft("half a thought and more")]);
    press(&mut app, "<enter>");
    assert_eq!(update(&mut app, Event::Clock(at(3_900))), [], "it was sent");
}

#[test]
fn going_on_takes_the_question_about_leaving_back() {
    let mut app = lobby();
    press(&mut app, "<C-c>");
    assert!(toast(&app).contains("leave"));
    press(&mut app, "x");
    assert_eq!(toast(&app), "");
}

fn turn(kind: MouseEventKind) -> Event {
    Event::Mouse(MouseEvent { kind, column: 0, row: 0, modifiers: KeyModifiers::NONE })
}

#[test]
fn the_wheel_scrolls_what_lies_on_top() {
    let mut app = lobby();
    update(&mut app, turn(MouseEventKind::ScrollUp));
    assert_eq!(app.current().map(|c| c.scroll_wish), Some(-3));
    press(&mut app, "<F1>");
    update(&mut app, turn(MouseEventKind::ScrollDown));
    assert_eq!(app.overlay, Some(Overlay::Help(3)));
    update(&mut app, turn(MouseEventKind::ScrollUp));
    update(&mut app, turn(MouseEventKind::ScrollUp));
    assert_eq!(app.overlay, Some(Overlay::Help(0)));
}

#[test]
fn the_mouse_can_be_given_to_the_terminal_and_taken_back() {
    let mut app = lobby();
    assert_eq!(press(&mut app, "<F2>"), [Effect::Wheel(Wheel::IsTerminals)]);
    assert_eq!(press(&mut app, "<F2>"), [Effect::Wheel(Wheel::Scrolls)]);
}

#[test]
fn a_message_whose_name_changed_hands_is_released_or_taken_back() {
    let mut app = lobby();
    let account = protocol::ids::AccountId([5; 16]);
    let state = PendingState::Held { name: "bea".into(), account };
    let held = Pending { conversation: None, ..pending(3, state) };
    update(&mut app, Event::Data(Data::Pending(held)));
    let accepted = Effect::Ask(Ask::AcceptName("bea".into(), account));
    assert!(press(&mut app, "/accept<enter>").contains(&accepted));
    assert!(press(&mut app, "/accept @bea<enter>").contains(&accepted));
    assert_eq!(said(&press(&mut app, "/accept carl<enter>")), Vec::<&Effect>::new());
    press(&mut app, "<C-c>");
    assert!(press(&mut app, "/cancel<enter>").contains(&Effect::Cancel(3)));
}

#[test]
fn the_stranger_on_the_screen_is_accepted_before_a_name() {
    let mut app = app(vec![Summary { standing: Standing::Invited, ..direct(3, "eve") }]);
    assert!(press(&mut app, "/accept<enter>").contains(&Effect::Ask(Ask::Accept(id(3)))));
}

#[test]
fn whoever_has_said_it_is_not_writing_any_more() {
    let mut app = lobby();
    update(&mut app, Event::Data(Data::Typing(id(1), "bea".into())));
    update(&mut app, Event::Data(Data::Appended(id(1), vec![text(3, "bea", "done")])));
    assert_eq!(app.current().expect("a conversation").typing(app.now).count(), 0);
}

#[test]
fn as_many_have_a_message_as_are_counted() {
    let mut app = app(vec![Summary { members: 1, ..room(1, "lobby") }]);
    let account = protocol::ids::AccountId([7; 16]);
    let reached = Reached::Members(vec![(account, Seq(2), Seq(0))]);
    update(&mut app, Event::Data(Data::Progress(id(1), reached)));
    let delivery = app.current().expect("a conversation").delivery(Seq(2));
    assert_eq!((delivery.received, delivery.of), (1, 1), "the number of members is old news");
}

#[test]
fn the_first_screen_is_the_first_of_the_list() {
    let mut last_by_name = room(1, "zoo");
    last_by_name.id = id(1);
    let app = app(vec![last_by_name, room(2, "lobby")]);
    assert_eq!(app.current().map(|c| c.summary.id), Some(id(2)));
}

#[test]
fn only_what_came_after_something_read_is_marked_new() {
    let unread = Summary { unread: 2, head: Seq(2), ..room(1, "lobby") };
    assert_eq!(app(vec![unread.clone()]).current().and_then(|c| c.unread_from), None);
    let partly = Summary { read: Seq(1), unread: 1, ..unread };
    assert_eq!(app(vec![partly]).current().and_then(|c| c.unread_from), Some(Seq(2)));
}

#[test]
fn another_history_is_read_from_its_end() {
    let mut app = lobby();
    let entries = vec![text(41, "bea", "moved aside")];
    let page = Page {
        conversation: id(1),
        place: Place::Newest,
        entries,
        amends: vec![],
        is_oldest: true,
    };
    update(&mut app, Event::Data(Data::Page(page)));
    let effects = update(&mut app, Event::Data(Data::Forked(id(1))));
    assert_eq!(effects, [Effect::Load(id(1), Place::Newest)]);
    assert_eq!(app.conversations[&id(1)].timeline.newest(), None);
}

#[test]
fn words_that_were_not_said_come_back() {
    let mut app = lobby();
    press(&mut app, "next");
    let unsaid = Data::Unsaid(id(1), "lost?".into(), "not said: no reason".into());
    update(&mut app, Event::Data(unsaid));
    assert_eq!(app.current().expect("the lobby").composer.text(), "lost?\nnext");
    assert_eq!(app.toast.expect("a reason").text, "not said: no reason");
}

#[test]
fn silence_is_told_after_twenty_seconds_and_not_before() {
    let mut app = lobby();
    let link = app.link.clone();
    update(&mut app, Event::Data(Data::Link(link.clone())));
    let silent = Duration::from_secs;
    assert_eq!((app.silence(), app.changes_in()), (None, Some(silent(20))), "nobody wakes before");
    update(&mut app, Event::Clock(at(3_620)));
    assert_eq!((app.silence(), app.changes_in()), (Some(silent(20)), Some(silent(1))));
    update(&mut app, Event::Data(Data::Link(link)));
    assert_eq!((app.silence(), app.changes_in()), (None, Some(silent(20))));
}

#[test]
fn what_was_active_last_comes_first_in_its_part_of_the_list() {
    let active = |seconds, summary| Summary { active: at(seconds), ..summary };
    let asks = Summary { standing: Standing::Invited, ..direct(9, "mallory") };
    let app = app(vec![
        active(5, room(1, "old")),
        active(9, room(2, "new")),
        active(10, direct(3, "bea")),
        room(4, "never"),
        asks,
    ]);
    let names: Vec<_> = app.listed().iter().map(|c| c.summary.name.as_str()).collect();
    assert_eq!(names, ["new", "old", "never", "bea", "mallory"]);
}

#[test]
fn a_second_conversation_stands_beside_and_can_change_places() {
    let mut app = lobby();
    let effects = press(&mut app, "<M-2><f4>");
    assert_eq!(app.beside().map(|c| c.summary.id), Some(id(1)), "the one before");
    assert!(effects.contains(&Effect::Show(vec![id(2), id(1)])));
    press(&mut app, "<f6>");
    assert_eq!(app.current().map(|c| c.summary.id), Some(id(1)));
    assert_eq!(app.beside().map(|c| c.summary.id), Some(id(2)));
    press(&mut app, "<f4>");
    assert!(app.beside().is_none());
}

#[test]
fn members_are_asked_for_again_when_they_change() {
    let mut app = lobby();
    assert!(press(&mut app, "<f3>").contains(&Effect::Ask(Ask::Members(id(1)))));
    let joined = vec![notice(3, "carl", Change::Joined)];
    let effects = update(&mut app, Event::Data(Data::Appended(id(1), joined)));
    assert!(effects.contains(&Effect::Ask(Ask::Members(id(1)))));
    press(&mut app, "<esc>");
    assert!(!app.lists_members);
}

#[test]
fn messages_that_name_me_are_counted_until_they_are_read() {
    let mut app = lobby();
    let ops = Summary { unread: 3, head: Seq(3), ..room(2, "ops") };
    update(&mut app, Event::Data(Data::Conversation(Box::new(ops.clone()))));
    let entries =
        vec![text(1, "bea", "hello"), text(2, "bea", "Ada? it is red"), text(3, "ada", "ada here")];
    update(&mut app, Event::Data(Data::Appended(id(2), entries)));
    let count = |app: &App| app.conversation(id(2)).expect("known").mentions.len();
    assert_eq!(count(&app), 1);
    assert!(!app.has_history(id(2)), "nobody has looked at it");
    let read = Summary { unread: 1, read: Seq(2), ..ops };
    update(&mut app, Event::Data(Data::Conversation(Box::new(read))));
    assert_eq!(count(&app), 0);
}

fn news(app: &mut App, data: Data) {
    update(app, Event::Data(data));
}

/// A window in the middle of the history, as after a jump.
fn far_up() -> App {
    let mut app = app(vec![Summary { head: Seq(300), read: Seq(300), ..room(1, "lobby") }]);
    load(&mut app, id(1), (201..=300).map(|n| text(n, "bea", "words")).collect());
    press(&mut app, "/goto 40<enter>");
    let entries = (1..=90).map(|n| text(n, "bea", "words")).collect();
    let page = Page {
        conversation: id(1),
        place: Place::Around(Seq(40)),
        entries,
        amends: Vec::new(),
        is_oldest: true,
    };
    news(&mut app, Data::Page(page));
    app
}

#[test]
fn what_is_said_far_up_stands_below_the_newest() {
    let mut app = far_up();
    let effects = press(&mut app, "hello<enter>");
    assert!(effects.contains(&Effect::Load(id(1), Place::Newest)), "{effects:?}");
}

#[test]
fn an_own_message_that_arrives_outside_the_window_is_no_longer_on_its_way() {
    let mut app = far_up();
    let pending = Pending {
        local: 1,
        conversation: Some(id(1)),
        id: Some(message(301)),
        composed_at: at(0),
        saying: Saying::Text("hello".into(), None),
        state: PendingState::Queued,
    };
    news(&mut app, Data::Pending(pending));
    assert_eq!(app.waiting(), 1);
    news(&mut app, Data::Appended(id(1), vec![text(301, "ada", "hello")]));
    assert_eq!(app.waiting(), 0);
}

#[test]
fn what_was_missed_is_marked_once_the_relay_is_back_also_if_it_was_on_the_screen_before() {
    let mut app = app(vec![Summary { head: Seq(3), read: Seq(3), ..room(1, "lobby") }]);
    load(&mut app, id(1), (1..=3).map(|n| text(n, "bea", "words")).collect());
    let live = app.link.clone();
    let down = Link { state: LinkState::Connecting, ..live.clone() };
    news(&mut app, Data::Link(down));
    news(&mut app, Data::Appended(id(1), vec![text(4, "bea", "missed")]));
    app.conversations.get_mut(&id(1)).expect("the lobby").see(Seq(4));
    news(&mut app, Data::Link(live));
    // It says what is new when it is back, and not before.
    let now = Summary { head: Seq(4), read: Seq(4), ..room(1, "lobby") };
    news(&mut app, Data::Conversation(Box::new(now)));
    let marked = |app: &App| app.current().expect("the lobby").unread_from;
    assert_eq!(marked(&app), Some(Seq(4)));
    // What comes while the relay is heard is not missed.
    let now = Summary { head: Seq(5), read: Seq(4), ..room(1, "lobby") };
    news(&mut app, Data::Conversation(Box::new(now)));
    news(&mut app, Data::Appended(id(1), vec![text(5, "bea", "heard")]));
    assert_eq!(marked(&app), Some(Seq(4)));
}
