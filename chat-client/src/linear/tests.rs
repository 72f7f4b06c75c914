//! What the full screen shows is told, too: the same models as for its snapshots.

use protocol::{
    ids::Seq,
    message::{
        event::{Change, Set},
        record::Target,
    },
};

use super::*;
use crate::{
    app::{
        Colour,
        conversation::Summary,
        effect::{Effect, Saying, SetupStep},
        event::{Answer, Data, Page, Place},
        first_run::Setup,
        fixture::{app, at, direct, entry, id, load, message, notice, room, target, text},
        link::Link,
        timeline::{Entry, Said},
        update,
    },
    ui::tests::busy,
};

/// Tells until nothing is left to tell, as the loop does.
fn told(reader: &mut Reader, app: &mut App) -> Vec<String> {
    let telling = reader.tell(app);
    for event in telling.events {
        update(app, event);
    }
    let rest = reader.tell(app).lines;
    assert_eq!(rest, [""; 0], "everything is told once");
    telling.lines
}

/// Writes a line; what comes of it, and what is told then.
fn write(reader: &mut Reader, app: &mut App, line: &str) -> (Vec<Effect>, Vec<String>) {
    let effects = update(app, Event::Line(line.to_owned()));
    (effects, told(reader, app))
}

fn data(app: &mut App, data: Data) -> Vec<Effect> {
    update(app, Event::Data(data))
}

fn append(app: &mut App, conversation: u8, entries: Vec<Entry>) {
    if let (Some(head), Some(known)) =
        (entries.last().map(|entry| entry.seq), app.conversation(id(conversation)))
    {
        let summary = Summary { head, ..known.summary.clone() };
        data(app, Data::Conversation(Box::new(summary)));
    }
    data(app, Data::Appended(id(conversation), entries));
}

fn assert_has(lines: &[String], wanted: &[&str]) {
    for wanted in wanted {
        assert!(lines.iter().any(|line| line == wanted), "{wanted:?} is not in {lines:#?}");
    }
}

/// A room with these messages, of which nothing is told yet but where one is.
fn lobby(entries: Vec<Entry>) -> (Reader, App) {
    let head = entries.last().map_or(Seq(0), |entry| entry.seq);
    let mut app = app(vec![Summary { head, read: head, ..room(1, "lobby") }, room(2, "ops")]);
    load(&mut app, id(1), entries);
    (Reader::default(), app)
}

#[test]
fn every_fact_of_a_room_in_use_is_told_in_words() {
    let mut app = busy();
    let mut reader = Reader::default();
    let lines = told(&mut reader, &mut app);
    let older = write(&mut reader, &mut app, "/older").1;
    let lines: Vec<_> = lines.into_iter().chain(older).collect();
    insta::assert_snapshot!(lines.join("\n"));
    assert_has(
        &lines,
        &[
            "connected to home as ada",
            "at 14:04: carl joined; dora left",
            "you, 14:05: good morning (read by 2 of 3)",
            "carl, 14:12: thank you (edited)",
            "at 14:14: the relay set the topic: packets",
            "bea, 14:15: this message is deleted",
            "at 14:08, carl: blushes",
            "new messages:",
            "Saturday, 21 November 2026",
            "bea, 14:00: see you tomorrow",
        ],
    );
    let quoted = lines.iter().find(|line| line.starts_with("you, 14:09, reply to bea: "));
    let quoted = quoted.expect("an answer");
    assert!(quoted.contains("morning! did you see") && quoted.contains("I did, it is good"));
    assert!(quoted.contains("reaction 👍 1)"), "{quoted}");
    let reacted = lines.iter().find(|line| line.starts_with("bea, 14:06"));
    assert!(reacted.is_some_and(|line| line.ends_with("(reaction 🎉 1 with yours)")));
    assert!(lines.iter().any(|line| line.contains("#ops, 12 unread; @bea; @mallory asks")));
}

#[test]
fn no_sign_of_the_screen_stands_for_a_word() {
    let mut app = busy();
    let lines = told(&mut Reader::default(), &mut app).join("\n");
    for sign in ["✓", "✗", "──", "│", "▏", "--", " · ", "> "] {
        assert!(!lines.contains(sign), "{sign} is in {lines}");
    }
}

#[test]
fn every_state_of_an_own_message_is_told() {
    let (mut reader, mut app) = lobby(vec![text(1, "bea", "hello")]);
    told(&mut reader, &mut app);
    let states = [
        (PendingState::Queued, ""),
        (PendingState::Slowed(at(3_700), "too many".into()), "slowed down, too many"),
        (
            PendingState::Held { name: "bea".into(), account: protocol::ids::AccountId([1; 16]) },
            "not sent, bea is another account now: /accept bea or /cancel",
        ),
        (PendingState::Failed("muted".into()), "failed, muted: /cancel removes it"),
        (PendingState::Sent(Seq(2)), "sent"),
    ];
    for (state, words) in states {
        let pending = pending(1, 2, "hi", state);
        data(&mut app, Data::Pending(pending.clone()));
        let wanted = if words.is_empty() { vec![] } else { vec![format!("your message: {words}")] };
        assert_eq!(told(&mut reader, &mut app), wanted);
        data(&mut app, Data::Pending(pending));
        assert_eq!(told(&mut reader, &mut app), [""; 0], "nothing has changed");
    }
    let state = LinkState::Waiting { until: at(4_000), why: "refused".into() };
    let link = Link { state, ..app.link.clone() };
    data(&mut app, Data::Link(link));
    data(&mut app, Data::Pending(pending(2, 3, "later", PendingState::Queued)));
    assert_eq!(
        told(&mut reader, &mut app),
        [
            "not connected, it is tried again and again: refused",
            "your message \u{201c}later\u{201d}: waiting to be sent"
        ]
    );
}

fn pending(local: u64, counter: u64, words: &str, state: PendingState) -> Pending {
    Pending {
        local,
        conversation: Some(id(1)),
        id: Some(message(counter)),
        composed_at: at(3_600),
        saying: Saying::Text(words.into(), None),
        state,
    }
}

#[test]
fn what_was_written_here_is_not_told_again_and_what_was_written_elsewhere_is() {
    let (mut reader, mut app) = lobby(vec![text(1, "bea", "hello")]);
    told(&mut reader, &mut app);
    let (effects, lines) = write(&mut reader, &mut app, "hi");
    assert!(effects.contains(&Effect::Say(id(1), Saying::Text("hi".into(), None))));
    assert_eq!(lines, [""; 0]);
    data(&mut app, Data::Pending(pending(1, 2, "hi", PendingState::Queued)));
    told(&mut reader, &mut app);
    // The record can be read before the word that it is sent.
    append(&mut app, 1, vec![text(2, "ada", "hi")]);
    assert_eq!(told(&mut reader, &mut app), ["your message: sent"]);
    data(&mut app, Data::PendingGone(1));
    append(&mut app, 1, vec![text(3, "ada", "from my other device")]);
    assert_eq!(told(&mut reader, &mut app), ["you, 14:03: from my other device (sent)"]);
}

#[test]
fn what_happens_to_a_message_later_is_told_when_it_happens() {
    let (mut reader, mut app) = lobby(vec![text(1, "bea", "hello"), text(2, "ada", "good day")]);
    told(&mut reader, &mut app);
    let wrong = Target { seq: Seq(1), id: message(99) };
    append(
        &mut app,
        1,
        vec![
            entry(3, "bea", Said::React(target(2), "👍".into(), Set::On)),
            entry(4, "bea", Said::React(target(2), "👍".into(), Set::Off)),
            entry(5, "bea", Said::Edit(target(1), "hello!\nall".into())),
            entry(6, "carl", Said::Edit(target(1), "forged".into())),
            entry(7, "carl", Said::React(wrong, "x".into(), Set::On)),
            entry(8, "bea", Said::Delete(target(1))),
        ],
    );
    assert_eq!(
        told(&mut reader, &mut app),
        [
            "bea, 14:03, reacted 👍 to you: \u{201c}good day\u{201d}",
            "bea, 14:04, took 👍 back from you: \u{201c}good day\u{201d}",
            "bea, 14:05, edited a message: hello!",
            "line 2: all",
            "carl, 14:07, reacted x to an earlier message",
            "bea, 14:08, deleted a message of bea",
        ]
    );
}

#[test]
fn foreign_text_neither_reaches_the_terminal_nor_poses_as_a_message() {
    let evil = "\u{1b}[2J\u{202e}x\nbob, 14:00: send money";
    let (mut reader, mut app) = lobby(vec![
        text(1, "eve\u{1b}]0;x\u{7}", evil),
        notice(2, evil, Change::Topic(evil.into())),
    ]);
    data(&mut app, Data::Told(evil.into()));
    let lines = told(&mut reader, &mut app);
    assert!(lines.iter().all(|line| !line.contains(char::is_control)), "{lines:?}");
    assert!(lines.iter().all(|line| !line.starts_with("bob")), "{lines:?}");
}

#[test]
fn what_may_not_be_what_it_seems_is_said() {
    let words = "see https://bank.example@evil.example/";
    let (mut reader, mut app) = lobby(vec![text(1, "pea", "hi"), text(2, "реа", words)]);
    let lines = told(&mut reader, &mut app);
    let doubts = "(this name: looks like pea, but is not, the link: leads to evil.example, not to \
                  what stands before the @)";
    assert!(lines.last().is_some_and(|line| line.ends_with(doubts)), "{lines:?}");
}

#[test]
fn other_conversations_are_one_line_and_can_be_gone_to() {
    let (mut reader, mut app) = lobby(vec![text(1, "bea", "hello")]);
    told(&mut reader, &mut app);
    append(&mut app, 2, vec![text(1, "bea", "one"), text(2, "bea", "two"), text(3, "carl", "x")]);
    assert_eq!(told(&mut reader, &mut app), ["#ops: bea wrote 2 messages, carl wrote 1 message"]);
    let (effects, lines) = write(&mut reader, &mut app, "/switch ops");
    assert!(effects.contains(&Effect::Load(id(2), Place::Newest)));
    assert_eq!(lines, ["you are in #ops; 4 members; readable by the relay's operator"]);
    load(&mut app, id(2), vec![text(1, "bea", "one"), text(2, "bea", "two")]);
    let lines = told(&mut reader, &mut app);
    assert_has(&lines, &["bea, 14:01: one", "bea, 14:02: two"]);
    append(&mut app, 1, vec![text(2, "bea", "and here")]);
    assert_eq!(told(&mut reader, &mut app), ["#lobby: bea wrote 1 message"]);
    let (_, lines) = write(&mut reader, &mut app, "/switch lobby");
    assert_eq!(lines.last().map(String::as_str), Some("bea, 14:02: and here"));
    assert!(!lines.iter().any(|line| line.contains("hello")), "told before: {lines:?}");
}

#[test]
fn history_is_told_page_by_page_up_to_its_beginning() {
    let all: Vec<_> = (1..=25).map(|seq| text(seq, "bea", &format!("words {seq}"))).collect();
    let (mut reader, mut app) = lobby(all);
    let spoken = |lines: Vec<String>| {
        let words = |line: &String| line.split_once("words ").map(|(_, number)| number.to_owned());
        let numbers: Vec<_> = lines.iter().filter_map(words).collect();
        (numbers.len(), numbers.first().cloned().unwrap_or_default())
    };
    assert_eq!(spoken(told(&mut reader, &mut app)), (PAGE_ITEMS, "16".to_owned()));
    assert_eq!(spoken(write(&mut reader, &mut app, "/older").1), (PAGE_ITEMS, "6".to_owned()));
    assert_eq!(spoken(write(&mut reader, &mut app, "/older").1), (5, "1".to_owned()));
    assert_eq!(write(&mut reader, &mut app, "/older").1, ["there is nothing older"]);
}

#[test]
fn older_history_is_fetched_first_if_it_has_to_be() {
    let (mut reader, mut app) = lobby(Vec::new());
    let newest = (101..=110).map(|seq| text(seq, "bea", "x")).collect();
    let page = |place, entries, is_oldest| Page {
        conversation: id(1),
        place,
        entries,
        amends: Vec::new(),
        is_oldest,
    };
    data(&mut app, Data::Page(page(Place::Newest, newest, false)));
    told(&mut reader, &mut app);
    update(&mut app, Event::Line("/older".into()));
    let telling = reader.tell(&app);
    assert_eq!(telling.lines, [""; 0]);
    let effects: Vec<_> =
        telling.events.into_iter().flat_map(|event| update(&mut app, event)).collect();
    assert!(effects.contains(&Effect::Load(id(1), Place::Before(Seq(101)))), "{effects:?}");
    let older = vec![text(99, "bea", "ninety-nine"), text(100, "bea", "hundred")];
    data(&mut app, Data::Page(page(Place::Before(Seq(101)), older, true)));
    let lines = told(&mut reader, &mut app);
    assert!(lines.last().is_some_and(|line| line.ends_with("hundred")), "{lines:?}");
    assert_eq!(write(&mut reader, &mut app, "/older").1, ["there is nothing older"]);
}

#[test]
fn a_command_without_an_answer_in_the_model_says_so_and_lists_are_lines() {
    let (mut reader, mut app) = lobby(vec![text(1, "ada", "good day")]);
    told(&mut reader, &mut app);
    let (_, lines) = write(&mut reader, &mut app, "/jion #x");
    assert_eq!(lines, ["error: there is no /jion, did you mean /join? (//jion sends it as text)"]);
    assert_has(&write(&mut reader, &mut app, "/help").1, &["/quit: leave the program"]);
    write(&mut reader, &mut app, "/list");
    let listed = Answer::List("2 rooms".into(), vec!["#a".into(), "#b".into()]);
    data(&mut app, Data::Answered(Ok(listed)));
    assert_eq!(told(&mut reader, &mut app), ["2 rooms", "#a", "#b"]);
    assert_eq!(app.overlay, None);
    let (_, lines) = write(&mut reader, &mut app, "/edit");
    let wanted = "the next line takes the place of this, an empty one keeps it: good day";
    assert_eq!(lines, [wanted]);
    let (effects, _) = write(&mut reader, &mut app, "good night");
    let edit = Saying::Edit(target(1), "good night".into());
    assert!(effects.contains(&Effect::Say(id(1), edit)), "{effects:?}");
    let (_, lines) = write(&mut reader, &mut app, "");
    assert_eq!(lines, ["you are in #lobby; there are also #ops"]);
}

#[test]
fn what_is_told_is_read_and_what_is_elsewhere_is_not() {
    let mut app = app(vec![Summary { head: Seq(2), unread: 2, ..room(1, "lobby") }]);
    load(&mut app, id(1), vec![text(1, "bea", "hello"), text(2, "bea", "there")]);
    let effects: Vec<_> =
        Reader::default().tell(&app).events.into_iter().flat_map(|e| update(&mut app, e)).collect();
    assert!(effects.contains(&Effect::Read(id(1), Seq(2))), "{effects:?}");
}

#[test]
fn somebody_who_joins_is_told_by_name() {
    let (mut reader, mut app) = lobby(vec![text(1, "bea", "hello")]);
    told(&mut reader, &mut app);
    append(&mut app, 1, vec![notice(2, SOMEBODY, Change::Joined)]);
    assert_eq!(told(&mut reader, &mut app), [""; 0]);
    append(&mut app, 1, vec![notice(2, "carl", Change::Joined)]);
    assert_eq!(told(&mut reader, &mut app), ["at 14:02: carl joined"]);
}

#[test]
fn the_first_run_is_a_few_questions_and_answers() {
    let mut app = App::new(at(0), jiff::tz::TimeZone::UTC, Colour::None);
    let mut reader = Reader::default();
    update(&mut app, Event::Setup(Setup::NameWanted("ada".into())));
    assert!(app.takes_lines());
    assert_has(&told(&mut reader, &mut app), &["Write a name, or nothing but Enter for ada."]);
    let (effects, _) = write(&mut reader, &mut app, "bea");
    assert_eq!(effects, [Effect::Setup(SetupStep::Find)]);
    assert!(!app.takes_lines(), "nothing is asked meanwhile");
    update(&mut app, Event::Setup(Setup::Failed("the port is taken".into())));
    let lines = told(&mut reader, &mut app);
    assert_has(&lines, &["that did not work: the port is taken", "t: for this machine only"]);
}

#[test]
fn a_direct_conversation_of_a_stranger_says_what_can_be_done() {
    let (mut reader, mut app) = lobby(vec![text(1, "bea", "hello")]);
    told(&mut reader, &mut app);
    let asks =
        Summary { standing: Standing::Invited, unread: 1, head: Seq(1), ..direct(4, "mallory") };
    data(&mut app, Data::Conversation(Box::new(asks)));
    assert_eq!(told(&mut reader, &mut app), ["@mallory asks; /switch @mallory goes there"]);
    let (_, lines) = write(&mut reader, &mut app, "/switch @mallory");
    assert_has(&lines, &["mallory wants to talk: /accept, /part or /block mallory"]);
}
