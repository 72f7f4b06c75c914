//! Two people do to messages everything that can be done to them, and find them again.

use std::fs;

use harness::pty::Pty;

use super::{LARGE, Place, USUAL, escape, open_bar, say};

/// Messages below the one that is looked for: several pages of history.
const HAY: usize = 300;
const NEEDLE: &str = "the needle in the hay";

#[test]
fn messages_are_changed_answered_found_and_gone_to() {
    let place = Place::new();
    let hay = (1..=HAY).map(|number| format!("hay {number:03}"));
    let before = (1..=30).map(|number| format!("before {number:03}"));
    let ada = place.open("ada", USUAL);
    let bea = place.open("bea", LARGE);
    place.say("carl", before.chain([NEEDLE.to_owned()]).chain(hay));
    for pty in [&ada, &bea] {
        pty.wait_for(&format!("hay {HAY}"));
    }

    an_edit_twice_and_its_versions(&ada, &bea);
    an_answer_to_an_old_message(&ada, &bea);
    a_reaction_and_back(&ada, &bea);
    a_deletion_with_second_thoughts(&ada, &bea);
    elsewhere_and_called(&ada, &bea);
}

fn an_edit_twice_and_its_versions(ada: &Pty, bea: &Pty) {
    say(ada, "helo bea");
    ada.type_keys("/edit hello bea<enter>");
    bea.wait_for("hello bea  (edited)");
    ada.wait_for("hello bea  (edited)");
    open_bar(ada);
    ada.type_keys("e");
    ada.wait_for("changing (Esc: no): hello bea");
    ada.wait_for("> hello bea");
    ada.type_keys(", and carl<enter>");
    bea.wait_for("hello bea, and carl  (edited)");
    ada.wait_until("it was sent, and the box is empty", |screen| {
        screen.shows("hello bea, and carl  (edited)") && screen.shows("write to #lobby")
    });
    open_bar(bea);
    bea.type_keys("i");
    bea.wait_for("3 versions");
    for words in ["helo bea", "hello bea", "hello bea, and carl", "from      ada, account"] {
        bea.wait_for(words);
    }
    escape(bea, "3 versions");
    // The message is selected still.
    escape(bea, "what to do with it");
}

fn an_answer_to_an_old_message(ada: &Pty, bea: &Pty) {
    assert!(!bea.screen().contains(NEEDLE), "it is far up");
    bea.type_keys("/search needle<enter>");
    bea.wait_until("it is found", |screen| screen.shows("1 of 1") && screen.shows(NEEDLE));
    bea.type_keys("<enter>");
    bea.wait_until("its neighbours", |screen| {
        screen.shows("before 030") && screen.shows(NEEDLE) && screen.shows("hay 001")
    });
    bea.type_keys("<enter>");
    bea.wait_for("r reply");
    bea.type_keys("r");
    bea.wait_for(&format!("replying to carl (Esc: no): {NEEDLE}"));
    bea.type_keys("found it<enter>");
    bea.wait_until("the answer below the newest", |screen| {
        screen.shows("found it") && screen.shows("hello bea, and carl")
    });
    ada.wait_for("found it");

    ada.type_keys("<S-up>");
    ada.wait_for("what to do with it");
    ada.type_keys("<M-p>");
    ada.wait_until("what was answered", |screen| {
        screen.shows("before 030") && screen.shows(NEEDLE) && !screen.shows("found it")
    });
    ada.type_keys("<M-,>");
    ada.wait_until("back", |screen| screen.shows("found it") && !screen.shows("before 030"));
    ada.type_keys("<M-/>");
    ada.wait_for("search");
    ada.type_keys("\"before 017\"");
    ada.wait_until("one found", |screen| screen.shows("1 of 1"));
    ada.type_keys("<enter>");
    ada.wait_until("there", |screen| screen.shows("before 017") && !screen.shows("1 of 1"));
    ada.type_keys("<end>");
    ada.wait_until("the newest again", |screen| screen.shows("found it"));
    ada.wait_until("nothing selected", |screen| !screen.shows("what to do with it"));
}

fn a_reaction_and_back(ada: &Pty, bea: &Pty) {
    open_bar(ada);
    ada.type_keys("+");
    ada.wait_for("1 👍");
    ada.type_keys("1");
    bea.wait_for("👍 1");
    ada.wait_for("[👍 1]");
    open_bar(ada);
    ada.type_keys("+");
    ada.wait_for("1 👍");
    ada.type_keys("1");
    bea.wait_until("taken back", |screen| !screen.shows("👍 1"));
    ada.wait_until("taken back", |screen| !screen.shows("[👍 1]"));
}

fn a_deletion_with_second_thoughts(ada: &Pty, bea: &Pty) {
    say(ada, "better not");
    bea.wait_for("better not");
    open_bar(ada);
    ada.type_keys("d");
    ada.wait_for("u: keep: better not");
    ada.type_keys("u");
    ada.wait_for("the message stays");
    // What is said behind it is delivered behind it.
    say(ada, "it stays");
    bea.wait_for("it stays");
    assert!(bea.screen().contains("better not"), "it was kept:\n{}", bea.screen());
    say(ada, "this goes");
    bea.wait_for("this goes");
    ada.type_keys("/delete<enter>");
    ada.wait_for("u: keep: this goes");
    bea.wait_until("it is gone", |screen| screen.shows("(deleted)") && !screen.shows("this goes"));
    ada.wait_until("it is gone", |screen| screen.shows("(deleted)") && !screen.shows("this goes"));
}

fn elsewhere_and_called(ada: &Pty, bea: &Pty) {
    ada.type_keys("/join #ops<enter>");
    ada.wait_for("write to #ops");
    say(ada, "all is quiet");
    bea.type_keys("@ada are you there?<enter>");
    ada.wait_for("1 unread elsewhere");
    ada.type_keys("<M-m>");
    ada.wait_until("the mention", |screen| screen.shows("1 of 1") && screen.shows("bea: @ada are"));
    ada.type_keys("<enter>");
    ada.wait_until("the lobby", |screen| {
        screen.shows("write to #lobby") && screen.shows("@ada are you there?")
    });
    ada.type_keys("<C-g>op");
    ada.wait_until("the choice", |screen| screen.shows("▸ #ops"));
    ada.type_keys("<enter>");
    ada.wait_until("the other room", |screen| {
        screen.shows("write to #ops") && screen.shows("all is quiet")
    });
    ada.wait_until("nothing unread", |screen| !screen.shows("unread elsewhere"));
}

#[test]
fn what_is_set_is_saved_between_comments_and_keys_mean_what_the_file_says() {
    let place = Place::new();
    let before = "# mine\n[ui]\n# at night\ntheme = \"dark\" # not light\n\n[keys]\n\"C-t\" = \"help\"\n\"C-g\" = \"none\"\n";
    let file = place.file("config.toml", before);
    let command = place.command("ada", &["--config", &file]);
    let mut ada = Pty::start(command, USUAL).expect("the client starts");
    harness::machine::wait_for_lobby(&ada);
    ada.type_keys("/set ui.theme<enter>");
    ada.wait_for("ui.theme = dark (line 4)");
    ada.type_keys("/set ui.theme blue<enter>");
    ada.wait_for("auto, dark, light or mono expected");
    ada.type_keys("<C-u>/set ui.theme light<enter>");
    ada.wait_for("ui.theme = light; /set save keeps it");
    ada.type_keys("/set ui.titel off<enter>");
    ada.wait_for("did you mean `ui.title`?");
    ada.type_keys("<C-u>/set ui.title off<enter>");
    ada.wait_for("ui.title = false");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), before, "nothing is saved yet");
    ada.type_keys("/set save<enter>");
    ada.wait_for("saved in");
    let after = fs::read_to_string(&file).expect("it is there");
    for kept in ["# mine\n", "# at night\n", "theme = \"light\" # not light\n", "title = false\n"] {
        assert!(after.contains(kept), "{kept:?} in\n{after}");
    }

    // The key that was given a meaning has it; the one that lost its meaning has none.
    ada.type_keys("<C-g>lob");
    ada.wait_for("> lob");
    ada.type_keys("<C-t>");
    ada.wait_for("keys and commands");
    ada.wait_for("C-t");
    escape(&ada, "keys and commands");
    ada.type_keys("<C-u>/quit<enter>");
    ada.wait_for_end();
}
