//! Screens as text, at the sizes that matter, and what holds for every screen.

use proptest::prelude::*;
use protocol::{
    ids::{AccountId, Seq},
    message::event::{Change, Set},
};
use ratatui::{Terminal, backend::TestBackend};

use super::view;
use crate::app::{
    App, Colour,
    conversation::{Member, Pending, PendingState, Rank, Reached, Standing, Summary},
    effect::Saying,
    event::{Answer, Data, Event, Page, Place},
    first_run::{FoundRelay, Setup},
    fixture::{app, at, direct, entry, id, load, message, notice, press, room, target, text},
    link::{Faults, Link, LinkState},
    timeline::{Said, Scroll},
    update,
};
use crate::lab::ladder::{Fate, Row, Trace, Way};

/// Narrow, usual, wide.
const SIZES: [(u16, u16); 3] = [(40, 12), (80, 24), (200, 50)];

/// Draws until the model and the view agree, and returns the screen.
pub(super) fn screen(app: &mut App, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("infallible");
    for _ in 0..3 {
        let mut drawn = Vec::new();
        terminal.draw(|frame| drawn = view(app, frame)).expect("infallible");
        for drawn in drawn {
            update(app, Event::Drawn(drawn));
        }
    }
    terminal.backend().to_string()
}

pub(super) fn snapshots(name: &str, make: impl Fn() -> App) {
    for (width, height) in SIZES {
        let screen = screen(&mut make(), (width, height));
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), screen);
    }
}

fn data(app: &mut App, data: Data) {
    update(app, Event::Data(data));
}

fn pending(local: u64, words: &str, state: PendingState) -> Pending {
    Pending {
        local,
        conversation: Some(id(1)),
        id: None,
        composed_at: at(3_600),
        saying: Saying::Text(words.into(), None),
        state,
    }
}

/// A room in use: everything that a timeline can show.
pub(crate) fn busy() -> App {
    let lobby = Summary {
        topic: "what we talk about when we talk about packets".into(),
        unread: 3,
        head: Seq(16),
        read: Seq(13),
        ..room(1, "lobby")
    };
    let mut app = app(vec![
        lobby,
        Summary { unread: 12, head: Seq(30), read: Seq(18), ..room(2, "ops") },
        direct(3, "bea"),
        Summary { standing: Standing::Invited, unread: 1, head: Seq(1), ..direct(4, "mallory") },
    ]);
    let mut yesterday = text(1, "bea", "see you tomorrow");
    yesterday.time = at(0);
    let mut entries = vec![yesterday];
    entries.extend([
        notice(2, "carl", Change::Joined),
        notice(3, "dora", Change::Joined),
        notice(4, "dora", Change::Left),
        text(5, "ada", "good morning"),
        text(
            6,
            "bea",
            "morning! did you see the report on selective repeat that carl wrote last week?",
        ),
        text(7, "bea", "it is long"),
        entry(8, "carl", Said::Action("blushes".into())),
        entry(9, "ada", Said::Text("I did, it is good".into(), Some(target(6)))),
        entry(10, "bea", Said::React(target(9), "👍".into(), Set::On)),
        entry(11, "ada", Said::React(target(6), "🎉".into(), Set::On)),
        text(12, "carl", "thank yuo"),
        entry(13, "carl", Said::Edit(target(12), "thank you".into())),
        notice(14, "ada", Change::Topic("packets".into())),
        entry(15, "bea", Said::Erased),
        text(16, "carl", "日本語も書けます。絵文字も 👩‍👩‍👧‍👦 🇩🇪 é"),
    ]);
    for entry in &mut entries[1..] {
        entry.time = at(86_400 + entry.seq.0 * 60);
    }
    load(&mut app, id(1), entries);
    update(&mut app, Event::Clock(at(2 * 86_400)));
    let reached =
        vec![(AccountId([2; 16]), Seq(12), Seq(12)), (AccountId([3; 16]), Seq(9), Seq(5))];
    data(&mut app, Data::Progress(id(1), Reached::Members(reached)));
    data(&mut app, Data::Appended(id(2), vec![text(30, "dora", "@ada: it is red")]));
    app
}

#[test]
fn a_room_in_use() {
    snapshots("busy", busy);
}

#[test]
fn own_messages_on_their_way() {
    snapshots("outbox", || {
        let mut app = app(vec![room(1, "lobby")]);
        load(
            &mut app,
            id(1),
            vec![text(1, "ada", "sent"), text(2, "ada", "delivered"), text(3, "ada", "sent only")],
        );
        let reached =
            vec![(AccountId([2; 16]), Seq(2), Seq(1)), (AccountId([3; 16]), Seq(2), Seq(0))];
        data(&mut app, Data::Progress(id(1), Reached::Members(reached)));
        for pending in [
            pending(
                1,
                "slowed down",
                PendingState::Slowed(at(3_612), "too many messages for now".into()),
            ),
            pending(2, "queued", PendingState::Queued),
            pending(3, "refused", PendingState::Failed("muted".into())),
            pending(4, "durable", PendingState::Sent(Seq(9))),
        ] {
            data(&mut app, Data::Pending(pending));
        }
        let state = LinkState::Waiting { until: at(3_603), why: "connection refused".into() };
        let link = Link { state, ..app.link.clone() };
        data(&mut app, Data::Link(link));
        update(&mut app, Event::Clock(at(3_600)));
        app
    });
}

#[test]
fn what_is_made_to_go_wrong_is_said_before_everything_else() {
    snapshots("faults", || {
        let mut app = busy();
        update(&mut app, Event::Clock(at(7_200)));
        let faults = Faults {
            words: "loss 10% in bursts of 4, in delay 50ms".into(),
            blackouts: vec![(at(7_203), at(7_205))],
        };
        let link = Link { faults, ..app.link.clone() };
        data(&mut app, Data::Link(link));
        press(&mut app, "/net out ");
        app
    });
}

#[test]
fn the_packets_of_the_connection() {
    let ms = std::time::Duration::from_millis;
    let row = |at, way, packet, what: &str, fate| Row {
        at: ms(at),
        way,
        packet,
        bytes: 131,
        what: what.into(),
        again: None,
        fate,
    };
    let arrived = |after, note: &str| Fate::Arrived { after: ms(after), note: note.to_owned() };
    let lost = Fate::Lost { after: ms(60), why: "lost: overtaken".to_owned() };
    let again = Some("again: overtaken".to_owned());
    let rows = vec![
        row(1_000, Way::Out, 17, "message 4", lost),
        row(1_040, Way::Back, 12, "stream 3, ack 16", arrived(0, "")),
        Row { again, ..row(1_060, Way::Out, 18, "message 4", arrived(41, "acked")) },
        row(1_090, Way::Out, 19, "ack 13", Fate::UnderWay),
    ];
    let trace = Trace {
        now: ms(1_120),
        rows,
        round_trip: ms(41),
        latest: ms(40),
        minimum: ms(39),
        timer: ms(62),
        window_bytes: 14_600,
        in_flight_bytes: 131,
        trips: [40, 44, 80, 41].map(ms).to_vec(),
        lost: 1,
        again: 1,
    };
    snapshots("inspector", || {
        let mut app = busy();
        press(&mut app, "<f5>");
        data(&mut app, Data::Answered(Ok(Answer::Trace(Some(Box::new(trace.clone()))))));
        app
    });
    snapshots("inspector_tcp", || {
        let mut app = busy();
        press(&mut app, "<f5>");
        let trace = Trace { rows: Vec::new(), ..trace.clone() };
        data(&mut app, Data::Answered(Ok(Answer::Trace(Some(Box::new(trace))))));
        app
    });
}

#[test]
fn hostile_text_stays_in_its_place() {
    snapshots("hostile", || {
        let evil = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}evil\u{200b}\u{0}\u{9b}31m";
        let mut app = app(vec![
            Summary { topic: evil.into(), ..room(1, evil) },
            direct(2, "a\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}"),
        ]);
        load(
            &mut app,
            id(1),
            vec![
                text(1, evil, evil),
                entry(2, evil, Said::Action(evil.into())),
                entry(3, "bea", Said::React(target(1), evil.into(), Set::On)),
                notice(4, evil, Change::Topic(evil.into())),
                text(5, "bea", "line one\r\nline two\ttabbed\u{2028}and more"),
                text(6, "עברית", "שלום world ‏mixed"),
            ],
        );
        data(&mut app, Data::Told(evil.into()));
        app
    });
}

fn member(name: &str, rank: Rank, standing: Standing) -> Member {
    let account = AccountId([name.bytes().next().unwrap_or(0); 16]);
    Member { account, name: name.into(), rank, standing, is_here: true }
}

#[test]
fn members_beside_the_conversation() {
    snapshots("members", || {
        let mut app = busy();
        press(&mut app, "<f3>");
        let people = vec![
            member("zoe", Rank::Plain, Standing::Joined),
            member("ada", Rank::Owner, Standing::Joined),
            member("bea\u{202e}", Rank::Moderator, Standing::Joined),
            member("日本", Rank::Plain, Standing::Requested),
        ];
        data(&mut app, Data::Answered(Ok(Answer::Members(id(1), people))));
        let left = ["zoe", "日本"].map(|name| (AccountId([name.as_bytes()[0]; 16]), false));
        data(&mut app, Data::Presence(left.into()));
        app
    });
}

#[test]
fn two_conversations_at_once() {
    snapshots("split", || {
        let mut app = busy();
        load(&mut app, id(2), vec![text(29, "dora", "deploying now"), text(30, "carl", "ok")]);
        press(&mut app, "<M-2><M-1><f4>and here I write");
        app
    });
}

#[test]
fn words_with_markup() {
    snapshots("markup", || {
        let mut app = app(vec![room(1, "lobby")]);
        let code = "look, *ada*:\n```rust\nfn main() {\n    println!(\"日本\");\n}\n```\n`cargo run` is **enough**, ~~not more~~ @ada, see [docs](https://docs.example/a_b_c)";
        load(&mut app, id(1), vec![text(1, "bea", code), text(2, "ada", "I am ada")]);
        app
    });
}

#[test]
fn plain_ascii_has_no_art() {
    snapshots("ascii", || {
        let mut app = busy();
        app.preferences.set("ui.ascii", "on").expect("a setting");
        app
    });
}

#[test]
fn settings_are_listed_with_their_origins() {
    snapshots("settings", || {
        let mut app = app(vec![room(1, "lobby")]);
        press(&mut app, "/set ui.theme dark<enter>/set<enter>");
        app
    });
}

#[test]
fn help_is_printed_from_the_tables() {
    snapshots("help", || {
        let mut app = busy();
        press(&mut app, "<f1>");
        app
    });
}

#[test]
fn writing_many_lines() {
    snapshots("composer", || {
        let mut app = busy();
        press(
            &mut app,
            "a first line<C-j>日本語の二行目<C-j>and a third one that is so long that it does not fit into a narrow pane",
        );
        app
    });
}

#[test]
fn what_can_be_written_next() {
    for (name, keys) in [
        ("completion_command", "/m"),
        ("completion_chosen", "/unb<tab><tab>"),
        ("completion_argument", "/kick c"),
        ("completion_emoji", "nice :par<tab>"),
    ] {
        snapshots(name, || {
            let mut app = busy();
            press(&mut app, keys);
            app
        });
    }
}

#[test]
fn hostile_names_are_offered_harmless() {
    snapshots("completion_hostile", || {
        let mut app = app(vec![
            room(1, "lobby"),
            direct(2, "e\u{1b}[2Jvil\u{202e}"),
            direct(3, "日本語の名前"),
            direct(4, "עברית"),
            direct(5, "🦀rab"),
            direct(6, "plain"),
            direct(7, "another"),
            direct(8, "yet-another"),
        ]);
        press(&mut app, "@<tab><tab>");
        app
    });
}

#[test]
fn a_command_that_does_not_exist() {
    snapshots("unknown_command", || {
        let mut app = busy();
        press(&mut app, "/jion #rust<enter>");
        app
    });
}

#[test]
fn a_stranger_asks() {
    snapshots("request", || {
        let mut app = busy();
        press(&mut app, "<M-4>");
        load(&mut app, id(4), vec![text(1, "mallory", "hello, you do not know me")]);
        app
    });
}

#[test]
fn the_first_run() {
    let blank = || App::new(at(0), jiff::tz::TimeZone::UTC, Colour::None);
    let named = move || {
        let mut app = blank();
        update(&mut app, Event::Setup(Setup::NameWanted("ada".into())));
        app
    };
    snapshots("first_run_name", named);
    snapshots("first_run_offer", || {
        let mut app = named();
        update(&mut app, Event::Setup(Setup::Nobody));
        app
    });
    snapshots("first_run_trust", || {
        let mut app = named();
        let relay = FoundRelay {
            address: "127.0.0.1:4545".into(),
            name: "home".into(),
            fingerprint: "1f2e-3d4c-5b6a-7988".into(),
            is_other_key: false,
        };
        update(&mut app, Event::Setup(Setup::Found(relay)));
        app
    });
    snapshots("first_run_failed", || {
        let mut app = named();
        update(&mut app, Event::Setup(Setup::Failed("port 4545 is taken".into())));
        app
    });
    snapshots("first_run_not_hosted", || {
        let mut app = blank();
        let why = "port 4545 is taken by another program".into();
        update(&mut app, Event::Setup(Setup::NotHosted(why)));
        app
    });
}

#[test]
fn an_empty_client_says_so() {
    snapshots("empty", || app(Vec::new()));
}

#[test]
fn a_tiny_screen_still_talks() {
    let mut app = busy();
    press(&mut app, "hello");
    insta::assert_snapshot!("tiny_20x5", screen(&mut app, (20, 5)));
}

fn long() -> App {
    let mut app = app(vec![Summary { head: Seq(200), ..room(1, "lobby") }]);
    load(
        &mut app,
        id(1),
        (1..=200).map(|seq| text(seq, "bea", &format!("message {seq}"))).collect(),
    );
    app
}

fn lowest_message(screen: &str) -> String {
    let row = screen.lines().rev().find(|row| row.contains("  message ")).expect("a message");
    let words = row.split("  message ").nth(1).expect("its number");
    words.split_whitespace().next().expect("its number").to_owned()
}

#[test]
fn scrolling_moves_by_screens_and_comes_back() {
    let mut app = long();
    let size = (80, 24);
    assert_eq!(lowest_message(&screen(&mut app, size)), "200");
    press(&mut app, "<pageup>");
    let up = lowest_message(&screen(&mut app, size));
    assert_eq!(up, "182", "a screen of 20 rows, two of them again");
    press(&mut app, "<pageup>");
    screen(&mut app, size);
    press(&mut app, "<pagedown>");
    assert_eq!(lowest_message(&screen(&mut app, size)), up);
    press(&mut app, "<home>");
    let top = screen(&mut app, size);
    assert!(top.contains("message 1 ") || top.contains("message 1\""), "{top}");
    press(&mut app, "<end>");
    assert_eq!(lowest_message(&screen(&mut app, size)), "200");
}

#[test]
fn new_messages_do_not_move_what_is_being_read() {
    let mut app = long();
    let size = (80, 24);
    screen(&mut app, size);
    press(&mut app, "<pageup>");
    let before = lowest_message(&screen(&mut app, size));
    data(&mut app, Data::Appended(id(1), (201..=230).map(|seq| text(seq, "bea", "new")).collect()));
    assert_eq!(lowest_message(&screen(&mut app, size)), before);
}

#[test]
fn older_messages_are_fetched_when_the_screen_nears_them() {
    let mut app = long();
    let size = (80, 24);
    let oldest_wanted = |app: &mut App, keys: &str| {
        press(app, keys);
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).expect("infallible");
        let mut drawn = Vec::new();
        terminal.draw(|frame| drawn = view(app, frame)).expect("infallible");
        for drawn in &drawn {
            update(app, Event::Drawn(drawn.clone()));
        }
        drawn[0].reaches_oldest
    };
    assert!(!oldest_wanted(&mut app, ""));
    assert!(!oldest_wanted(&mut app, &"<pageup>".repeat(5)), "half way");
    assert!(oldest_wanted(&mut app, "<home>"), "exactly a screen at the upper end");
    assert!(oldest_wanted(&mut app, "<pagedown>"), "nearly there");
    assert!(!oldest_wanted(&mut app, "<pagedown>"));
}

#[test]
fn the_newest_is_gone_to_also_if_it_is_not_loaded() {
    let mut app = long();
    let size = (80, 24);
    screen(&mut app, size);
    press(&mut app, "/goto 40<enter>");
    let page = |place, seqs: std::ops::RangeInclusive<u64>| Page {
        conversation: id(1),
        place,
        entries: seqs.map(|seq| text(seq, "bea", &format!("message {seq}"))).collect(),
        amends: Vec::new(),
        is_oldest: true,
    };
    data(&mut app, Data::Page(page(Place::Around(Seq(40)), 1..=90)));
    screen(&mut app, size);
    press(&mut app, "<end>");
    // Drawn once more before the page comes.
    screen(&mut app, size);
    data(&mut app, Data::Page(page(Place::Newest, 401..=500)));
    assert!(screen(&mut app, size).contains("message 500"));
}

#[test]
fn a_resize_keeps_the_reading_position() {
    let mut app = long();
    screen(&mut app, (80, 24));
    press(&mut app, "<pageup><pageup>");
    let before = lowest_message(&screen(&mut app, (80, 24)));
    screen(&mut app, (20, 5));
    screen(&mut app, (200, 50));
    assert_eq!(lowest_message(&screen(&mut app, (80, 24))), before);
    assert_ne!(app.current().expect("a conversation").scroll, Scroll::Live);
}

#[test]
fn a_selected_message_comes_into_view() {
    let mut app = long();
    let size = (80, 24);
    screen(&mut app, size);
    press(&mut app, &"<S-up>".repeat(30));
    assert!(screen(&mut app, size).contains("message 171"));
    assert_eq!(app.current().expect("a conversation").selected, Some(Seq(171)));
}

#[test]
fn a_long_message_can_be_read_row_by_row() {
    let mut app = app(vec![room(1, "lobby")]);
    let words = (1..=400).map(|n| format!("word{n}")).collect::<Vec<_>>().join("\n");
    load(
        &mut app,
        id(1),
        vec![text(1, "bea", &words), entry(2, "bea", Said::Action("rests".into()))],
    );
    let size = (80, 24);
    assert!(screen(&mut app, size).contains("word400"));
    press(&mut app, "<pageup>");
    let up = screen(&mut app, size);
    assert!(up.contains("word382") && !up.contains("word400"), "{up}");
    press(&mut app, "<home>");
    assert!(screen(&mut app, size).contains("word1 "));
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        proptest::collection::vec(
            prop_oneof![
                Just("\u{1b}[31m".to_owned()),
                Just("\u{9b}2J".to_owned()),
                Just("\u{202e}".to_owned()),
                Just("\r\n\t\u{b}\u{7f}".to_owned()),
                Just("👩‍👩‍👧‍👦".to_owned()),
                Just("語".to_owned()),
                Just("word ".to_owned()),
            ],
            0..12
        )
        .prop_map(|parts| parts.concat()),
    ]
}

proptest! {
    #[test]
    fn no_control_character_reaches_a_cell(
        texts in proptest::collection::vec(hostile(), 8),
        width in 1u16..120,
        height in 1u16..40,
    ) {
        let [name, topic, words, who, emoji, reason, toast, written] = &texts[..] else {
            unreachable!("eight texts")
        };
        let mut app = app(vec![
            Summary { topic: topic.clone(), ..room(1, name) },
            Summary { standing: Standing::Invited, ..direct(2, who) },
        ]);
        load(&mut app, id(1), vec![
            text(1, who, words),
            entry(2, who, Said::Action(words.clone())),
            entry(3, who, Said::React(target(1), emoji.clone(), Set::On)),
            entry(4, "ada", Said::Text(words.clone(), Some(target(1)))),
            entry(5, "ada", Said::Edit(target(4), reason.clone())),
            notice(6, who, Change::Topic(topic.clone())),
        ]);
        data(&mut app, Data::Pending(Pending { id: Some(message(9)), ..pending(1, words, PendingState::Failed(reason.clone())) }));
        data(&mut app, Data::Typing(id(1), who.clone()));
        update(&mut app, Event::Paste(written.clone()));
        data(&mut app, Data::Told(toast.clone()));
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("infallible");
        terminal.draw(|frame| _ = view(&app, frame)).expect("infallible");
        for cell in terminal.backend().buffer().content() {
            prop_assert!(!cell.symbol().chars().any(char::is_control), "{:?}", cell.symbol());
        }
    }
}
