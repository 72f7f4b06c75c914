//! What gets into the box by other ways than keys, and that it stays there until it is sent.

use harness::{machine::wait_for_lobby, pty::Pty};

use super::{LARGE, Place, USUAL, say};

#[test]
fn the_persons_editor_changes_what_is_written_and_sends_nothing() {
    let place = Place::new();
    let script = "sed 's/draft/text/' \"$1\" > \"$1.new\"; echo 'and a line' >> \"$1.new\"; mv \"$1.new\" \"$1\"";
    let editor = place.script("editor", script);
    let mut command = place.command("ada", &[]);
    command.env("EDITOR", &editor);
    let ada = Pty::start(command, USUAL).expect("the client starts");
    wait_for_lobby(&ada);
    let bea = place.open("bea", LARGE);
    ada.type_keys("a draft");
    ada.wait_for("> a draft");
    ada.type_keys("<M-e>");
    ada.wait_until("what the editor made of it", |screen| {
        screen.is_alternate() && screen.shows("> a text") && screen.shows("and a line")
    });
    say(&bea, "said meanwhile");
    ada.wait_for("said meanwhile");
    assert!(!bea.screen().contains("a text"), "nothing was sent:\n{}", bea.screen());
    ada.type_keys("<enter>");
    bea.wait_until("both lines", |screen| screen.shows("a text") && screen.shows("and a line"));

    // Without one, the person is told what is missing.
    bea.type_keys("words<M-e>");
    bea.wait_for("no editor is set");
    bea.wait_for("> words");
}

#[test]
fn a_paste_of_any_size_is_never_sent_by_itself() {
    let place = Place::new();
    let ada = place.open("ada", USUAL);
    let bea = place.open("bea", LARGE);
    let line = "a line of a log file that nobody wants to send\n";
    ada.paste(&line.repeat(2_000_000 / line.len()));
    ada.wait_for("not pasted:");
    ada.type_keys("short");
    ada.wait_for("> short");
    ada.type_keys("<C-u>");
    // One that is a little too long for a message is taken, to be cut down.
    ada.paste(&line.repeat(60_000 / line.len()));
    ada.wait_for("… 1277 lines");
    ada.type_keys("<enter>");
    ada.wait_for("bytes do not fit");
    ada.type_keys("<C-c>");
    ada.wait_for("write to #lobby");
    ada.paste("first\nsecond\x1b[31m\n");
    ada.wait_until("both lines are in the box", |screen| {
        screen.shows("> first") && screen.shows("  second")
    });
    say(&bea, "said meanwhile");
    ada.wait_for("said meanwhile");
    for words in ["first", "log file", "short"] {
        assert!(!bea.screen().contains(words), "nothing was sent:\n{}", bea.screen());
    }
    ada.paste("/quit\n");
    ada.type_keys("<C-c>/me pastes<enter>");
    bea.wait_for("* ada pastes");
}
