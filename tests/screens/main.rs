//! The pictures in README: screens of the real client, of people who really talk through a relay.
//!
//! `screens` prints them; `screens README.md` puts them between the two marks in that file.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use harness::{
    machine::{Machine, join},
    pty::Pty,
    screen::Size,
};

/// A usual window.
const USUAL: Size = Size { columns: 80, rows: 24 };
/// One with room for two conversations.
const WIDE: Size = Size { columns: 124, rows: 24 };
/// Around the pictures in the file.
const MARKS: [&str; 2] = ["<!-- screens: begin -->\n", "<!-- screens: end -->\n"];

/// Prints screens of the client, or puts them into a file.
#[derive(Debug, Parser)]
struct Cli {
    /// The file with the two marks
    file: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let pictures = pictures();
    let Some(file) = cli.file else {
        return match io::stdout().write_all(pictures.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    };
    let placed = fs::read_to_string(&file)
        .map_err(|error| error.to_string())
        .and_then(|text| placed(&text, &pictures))
        .and_then(|text| fs::write(&file, text).map_err(|error| error.to_string()));
    match placed {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {}: {why}", file.display());
            ExitCode::FAILURE
        }
    }
}

/// The text with the pictures where they belong.
fn placed(text: &str, pictures: &str) -> Result<String, String> {
    let missing = |mark: &str| format!("there is no line {}", mark.trim_end());
    let (before, rest) = text.split_once(MARKS[0]).ok_or_else(|| missing(MARKS[0]))?;
    let (_, after) = rest.split_once(MARKS[1]).ok_or_else(|| missing(MARKS[1]))?;
    Ok(format!("{before}{}{pictures}{}{after}", MARKS[0], MARKS[1]))
}

/// Lets two people talk, and looks at their screens meanwhile.
fn pictures() -> String {
    let machine = Machine::fresh();
    let mut pictures = Vec::new();
    let mut take = |title: &str, pty: &Pty| {
        let screen = pty.screen();
        let rows: Vec<_> = screen.lines().map(str::trim_end).collect();
        pictures.push(format!("{title}\n\n```text\n{}\n```\n\n", rows.join("\n")));
    };

    let ada = machine.open("ada", USUAL);
    ada.wait_for("Your name");
    ada.type_keys("<C-u>ada<enter>");
    ada.wait_for("No relay is known here");
    take("The first start. One key, and there is a relay:", &ada);
    ada.type_keys("t");
    ada.wait_until("the lobby", |screen| screen.shows("#lobby") && screen.shows("connected"));
    let bea = machine.open("bea", WIDE);
    join(&bea, "bea");

    ada.type_keys("/topic selective repeat, and tea<enter>");
    bea.wait_for("selective repeat");
    say(&bea, &ada, "good morning! the report says we lose **every third** ack on the ferry");
    say(&ada, &bea, "and still nothing was lost or doubled?");
    bea.type_keys("/reply nothing. look: what is not acknowledged is sent again,<C-j>with the same name and the same bytes:<C-j>```rust<C-j>if now >= sent_at + pto {<C-j>    retransmit(packet); // 你好, 再见<C-j>}<C-j>```<enter>");
    ada.wait_for("retransmit(packet)");
    ada.type_keys("/react 🎉<enter>");
    bea.wait_for("🎉 1");
    say(&ada, &bea, "@bea shall we show that in claas?");
    ada.wait_until("all was read", |screen| screen.count("✓✓1/1") == 2);
    ada.type_keys("/edit @bea shall we show that in class?<enter>");
    bea.wait_for("(edited)");
    ada.wait_for("(edited)");
    take(
        "A conversation. Each own message says how far it has got, in signs, not in colours:",
        &ada,
    );

    bea.type_keys("/join #lab<enter>");
    bea.wait_for("write to #lab");
    bea.type_keys("blackout for 20 s, then watch it resume<enter>");
    bea.wait_for("watch it resume");
    bea.type_keys("<f4>/delete");
    bea.wait_for("erase");
    take("Two conversations at once, and what a command wants:", &bea);

    ada.type_keys("<C-g>lo");
    ada.wait_for("go to");
    take("Anywhere with a few letters:", &ada);
    ada.type_keys("<esc>");
    ada.wait_for("write to #lobby");
    ada.type_keys("<S-up><enter>");
    ada.wait_for("react");
    take("What can be done with a message:", &ada);
    // Escape and a key right behind it would be one key.
    ada.type_keys("<esc>");
    ada.wait_until("the bar closed", |screen| !screen.shows("react"));
    ada.type_keys("/search lose<enter>");
    ada.wait_for("1 of 1");
    take("Everything that was ever said, also in Chinese (`/search 你好`):", &ada);
    ada.type_keys("<esc>");
    ada.wait_for("write to #lobby");
    ada.type_keys("/net loss 40%<enter>");
    ada.wait_for("lab: loss 40%");
    ada.type_keys("<f5>");
    ada.wait_for("F5 closes");
    // Chance decides which message is lost; one of these is.
    for number in 1..=40 {
        say(&ada, &bea, &format!("lap {number}"));
        let screen = ada.screen();
        let is_told = |row: &str| row.contains("message") && row.contains("again");
        if screen.contains("lost: ") && screen.lines().any(is_told) {
            break;
        }
    }
    take("What a lossy path does to it, here on purpose (`/net loss 40%`, then `F5`):", &ada);
    pictures.concat()
}

fn say(speaker: &Pty, listener: &Pty, words: &str) {
    speaker.type_keys(&format!("{words}<enter>"));
    // Marks are not shown: the last word is.
    listener.wait_for(words.rsplit(' ').next().unwrap_or(words));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_replace_what_is_between_the_marks_only() {
        let text = format!("a\n{}old\n{}b\n", MARKS[0], MARKS[1]);
        let expected = format!("a\n{}new\n{}b\n", MARKS[0], MARKS[1]);
        assert_eq!(placed(&text, "new\n"), Ok(expected));
        assert!(placed("a\n", "new\n").is_err());
    }
}
