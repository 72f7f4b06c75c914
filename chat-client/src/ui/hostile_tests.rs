//! What reaches the terminal, byte by byte: whatever others write, only sequences of ours, only in
//! their place, and no row longer than the screen.

use proptest::prelude::*;
use protocol::{
    ids::{AccountId, Seq},
    message::event::{Change, Set},
};
use ratatui::{
    Terminal, TerminalOptions, Viewport, backend::CrosstermBackend, buffer::CellWidth as _,
    layout::Rect,
};
use unicode_segmentation::UnicodeSegmentation as _;

use super::view;
use crate::{
    app::{
        App,
        conversation::{Member, Rank, Standing, Summary},
        event::{Answer, Data, Event, Finding, Findings, Focus},
        fixture::{app, at, direct, entry, id, load, notice, press, room, target, text},
        picker::Purpose,
        timeline::Said,
        update,
    },
    output::to_json,
    settings::value::Level,
};

/// Longest window title: the mark for unread messages, and what a title takes of a name, every
/// character of it shown as `⟨U+10FFFF⟩`.
const TITLE_CHARS_MAX: usize = 30 + 65 * 10;

/// Something on the way to the terminal.
#[derive(Debug, PartialEq)]
enum Piece<'a> {
    /// The cursor goes to this row and column, from 0.
    Move(usize, usize),
    /// A sequence of ours that moves nothing.
    Sequence,
    /// Printed from where the cursor is.
    Text(&'a str),
}

/// Takes the first piece off; an error shows what is not ours.
fn piece(output: &str) -> Result<(Piece<'_>, &str), String> {
    let refused = || Err(output.chars().take(30).collect());
    if let Some(rest) = output.strip_prefix("\x1b[") {
        let Some(end) = rest.find(|c: char| ('@'..='~').contains(&c)) else { return refused() };
        let (parameters, rest) = (&rest[..end], &rest[end..]);
        let (last, rest) = rest.split_at(1);
        let is_plain = parameters.bytes().all(|b| b.is_ascii_digit() || b == b';' || b == b':');
        return match last {
            "H" if is_plain => {
                let place = parameters.split_once(';');
                let number = |text: &str| text.parse::<usize>().map(|number| number - 1);
                match place.map(|(row, column)| (number(row), number(column))) {
                    Some((Ok(row), Ok(column))) => Ok((Piece::Move(row, column), rest)),
                    _ => refused(),
                }
            }
            "m" if is_plain => Ok((Piece::Sequence, rest)),
            "h" | "l" if parameters == "?25" => Ok((Piece::Sequence, rest)),
            _ => refused(),
        };
    }
    if let Some(rest) = output.strip_prefix("\x1b]8;") {
        let Some((link, rest)) = rest.split_once("\x1b\\") else { return refused() };
        let is_ours =
            link == ";" || link.starts_with("id=l;https://") || link.starts_with("id=l;http://");
        let is_printable = link.bytes().all(|byte| byte.is_ascii_graphic());
        return if is_ours && is_printable { Ok((Piece::Sequence, rest)) } else { refused() };
    }
    let end = output.find('\x1b').unwrap_or(output.len());
    let (text, rest) = output.split_at(end);
    match text.chars().find(|c| is_obeyed(*c)) {
        Some(_) => refused(),
        None if text.is_empty() => refused(),
        None => Ok((Piece::Text(text), rest)),
    }
}

/// Whether a terminal does something about it, or turns around what stands beside it.
fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61C}'
                | '\u{200B}'
                | '\u{200E}'..='\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{FEFF}'
                | '\u{FFF0}'..='\u{FFFB}'
                | '\u{E0000}'..='\u{E0FFF}'
        )
}

/// Checks everything that one frame writes.
fn check(output: &str, width: u16, height: u16) -> Result<(), String> {
    let (mut row, mut column) = (0, 0);
    let mut rest = output;
    while !rest.is_empty() {
        let (next, after) = piece(rest)?;
        match next {
            Piece::Move(to_row, to_column) => (row, column) = (to_row, to_column),
            Piece::Sequence => {}
            Piece::Text(text) => {
                column += text.graphemes(true).map(|g| usize::from(g.cell_width())).sum::<usize>();
            }
        }
        if row >= usize::from(height) || column > usize::from(width) {
            return Err(format!("row {row}, column {column} before {after:?}"));
        }
        rest = after;
    }
    Ok(())
}

/// Draws one frame as the client does, into memory.
fn written(app: &mut App, width: u16, height: u16) -> String {
    let mut bytes = Vec::new();
    {
        let viewport = Viewport::Fixed(Rect::new(0, 0, width, height));
        let backend = CrosstermBackend::new(&mut bytes);
        let options = TerminalOptions { viewport };
        let mut terminal = Terminal::with_options(backend, options).expect("a fixed size");
        let mut drawn = Vec::new();
        terminal.draw(|frame| drawn = view(app, frame)).expect("memory takes all");
        for drawn in drawn {
            update(app, Event::Drawn(drawn));
        }
    }
    String::from_utf8(bytes).expect("text")
}

/// Everything that somebody else can make a text of.
fn hostile() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => any::<String>(),
        4 => proptest::sample::select(vec![
            "\x1b[31m", "\x1b]0;owned\x07", "\x1b]8;;http://evil.example\x1b\\x", "\x1bP+q\x1b\\",
            "\x1b]52;c;YQ==\x07", "\u{9b}2J", "\u{9d}0;x\u{9c}", "\x1b", "\0", "\x08\x08", "\r",
            "\r\n", "\n", "\t", "\x0b", "\x7f", "\x0e", "\u{85}", "\u{ad}", "\u{2028}",
            "\u{202e}gnp.exe", "\u{2066}\u{2067}", "\u{61c}", "\u{200b}", "\u{feff}", "\u{200d}",
            "\u{e0041}\u{e007f}", "👩\u{200d}👩\u{200d}👧\u{200d}👦", "👍🏽", "❤\u{fe0f}", "🇩🇪🇩",
            "1\u{fe0f}\u{20e3}", "語", "ｗ", "한글", "\u{1100}\u{1161}\u{11a8}", "שלום", "لا إله",
            "क्षि", "\u{d7ff}\u{e000}", "\u{fffd}\u{fffe}\u{10ffff}", "ED A0 80", "\\ud800", "word ",
            "**b**", "`c`", "```\n", "> q\n", "# h\n", "[l](http://e.example/\u{7})",
            "https://e.example/日本?\u{202e}x=1#\x1b[2J ", "@ada ", ":smile:", "/quit\n",
        ]).prop_map(str::to_owned),
        1 => (1_usize..400).prop_map(|count| format!("e{}", "\u{301}".repeat(count))),
        1 => (1_usize..2_000).prop_map(|count| "w".repeat(count)),
        1 => (1_usize..300).prop_map(|count| "語".repeat(count)),
        1 => (1_usize..300).prop_map(|count| "\u{200d}\u{fe0f}".repeat(count)),
        1 => (1_usize..100).prop_map(|count| "👩\u{200d}".repeat(count)),
    ];
    proptest::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

/// A client with foreign text wherever there can be any.
fn besieged(texts: &[String]) -> App {
    let [name, topic, words, who, emoji, reason, toast] = texts else {
        unreachable!("seven texts")
    };
    let mut app = app(vec![
        Summary { topic: topic.clone(), unread: 3, ..room(1, name) },
        Summary { standing: Standing::Invited, ..direct(2, who) },
        room(3, topic),
    ]);
    app.abilities.may_be_asked = true;
    app.abilities.has_links = true;
    let entries = vec![
        text(1, who, words),
        entry(2, who, Said::Action(reason.clone())),
        entry(3, who, Said::React(target(1), emoji.clone(), Set::On)),
        entry(4, "ada", Said::Text(words.clone(), Some(target(1)))),
        entry(5, "ada", Said::Edit(target(4), reason.clone())),
        notice(6, who, Change::Topic(topic.clone())),
        text(7, who, words),
    ];
    load(&mut app, id(1), entries);
    let account = AccountId([7; 16]);
    let member = Member {
        account,
        name: who.clone(),
        rank: Rank::Owner,
        standing: Standing::Joined,
        is_here: true,
    };
    let news = [
        Data::Typing(id(1), who.clone()),
        Data::Answered(Ok(Answer::Members(id(1), vec![member]))),
        Data::Told(toast.clone()),
    ];
    for data in news {
        update(&mut app, Event::Data(data));
    }
    app
}

/// Ways to a screen, each with another part of the client on it.
const WAYS: [&str; 12] = [
    "",
    "<S-up>",
    "<S-up><enter>",
    "<S-up><enter>i",
    "<S-up><enter>r",
    "<S-up><S-up><enter>e",
    "<S-up><enter>o",
    "<S-up><S-up><enter>d",
    "<C-g>",
    "<f3>",
    "<f4>",
    "<pageup>@",
];

fn found(app: &mut App, texts: &[String]) {
    press(app, "<M-/>x");
    let finding = Finding {
        conversation: id(1),
        seq: Seq(1),
        time: at(0),
        sender: texts[3].clone(),
        text: texts[2].clone(),
    };
    let findings = Findings { messages: vec![finding], ..Findings::default() };
    update(app, Event::Data(Data::Found(Purpose::Search, Ok(findings))));
}

proptest! {
    #[test]
    fn only_sequences_of_ours_reach_the_terminal_and_no_row_is_too_long(
        texts in proptest::collection::vec(hostile(), 7),
        pasted in hostile(),
        width in 1u16..130,
        height in 1u16..40,
        way in 0..=WAYS.len(),
    ) {
        let mut app = besieged(&texts);
        match WAYS.get(way) {
            Some(keys) => _ = press(&mut app, keys),
            None => found(&mut app, &texts),
        }
        if way == 0 {
            update(&mut app, Event::Paste(pasted));
        }
        for _ in 0..2 {
            let output = written(&mut app, width, height);
            prop_assert_eq!(check(&output, width, height), Ok(()));
        }
        update(&mut app, Event::Data(Data::Answered(Ok(Answer::List(texts[0].clone(), texts.clone())))));
        let output = written(&mut app, width, height);
        prop_assert_eq!(check(&output, width, height), Ok(()));
    }

    #[test]
    fn a_title_is_short_and_commands_nothing(texts in proptest::collection::vec(hostile(), 7)) {
        let app = besieged(&texts);
        let title = app.title().expect("a title");
        prop_assert!(!title.chars().any(is_obeyed), "{title:?}");
        prop_assert!(title.chars().count() <= TITLE_CHARS_MAX, "{}", title.chars().count());
    }

    #[test]
    fn the_hook_reads_one_line_of_json_that_commands_nothing(
        texts in proptest::collection::vec(hostile(), 7),
    ) {
        let mut app = besieged(&texts);
        app.preferences.set("notify.hook", "hook").expect("a command");
        app.preferences.values.notify.level = Level::All;
        update(&mut app, Event::Focus(Focus::Lost));
        let new = Data::Appended(id(1), vec![text(9, &texts[3], &texts[2])]);
        let told = update(&mut app, Event::Data(new)).into_iter().find_map(|effect| match effect {
            crate::app::effect::Effect::Hook(_, told) => Some(told),
            _ => None,
        });
        let told = told.expect("the hook is told");
        let line = told.strip_suffix('\n').expect("a whole line");
        prop_assert!(!line.chars().any(is_obeyed), "{line:?}");
        let read: serde_json::Value = serde_json::from_str(line).expect("JSON");
        prop_assert_eq!(read["sender"].as_str(), Some(texts[3].as_str()));
        let words = read["text"].as_str().expect("the words");
        prop_assert!(texts[2].starts_with(words));
    }
}

#[test]
fn what_is_not_ours_is_noticed() {
    for ours in [
        "\x1b[3;7Hab\x1b[1;38;5;3mc",
        "\x1b[?25l",
        "\x1b]8;id=l;https://e.example/\x1b\\e\x1b]8;;\x1b\\",
    ] {
        assert_eq!(check(ours, 80, 24), Ok(()), "{ours:?}");
    }
    for foreign in [
        "a\nb",
        "\u{9b}2J",
        "\x1b[2J",
        "\x1b]0;t\x07",
        "a\u{202e}",
        "\x1b]8;;http://e.example\x1b\\",
    ] {
        assert!(check(foreign, 80, 24).is_err(), "{foreign:?}");
    }
    assert!(check("\x1b[1;79Habc", 80, 24).is_err(), "beyond the edge");
    assert!(check("\x1b[25;1Ha", 80, 24).is_err(), "below the edge");
    assert_eq!(to_json(&"\u{9b}"), "\"\\u009b\"");
}
