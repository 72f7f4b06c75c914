//! The terminal is lent: it is given back when the client stops as a job, when it is told to end,
//! and taken again whole.

use std::fs;

use harness::{machine::wait_for_lobby, pty::Pty};
use portable_pty::CommandBuilder;
use rustix::process::Signal;

use super::{LARGE, Place, USUAL, is_marked, say};

/// A shell with job control that runs the client, says when it has stopped, and goes on with it when
/// somebody presses Enter.
const SHELL: &str = "set -m; \"$@\"; echo \"stopped $?\"; jobs -p; read line; fg; echo \"left $?\"";

#[test]
fn a_stopped_client_leaves_the_terminal_to_the_shell_and_comes_back_whole() {
    let place = Place::new();
    let bea = place.open("bea", LARGE);
    let client = place.chat("ada").command::<_, &str>([]);
    let mut shell = CommandBuilder::new("sh");
    shell.args(["-c", SHELL, "sh"]);
    shell.arg(client.get_program());
    shell.args(client.get_args());
    place.surround(&mut shell);
    let mut ada = Pty::start(shell, USUAL).expect("the shell starts");
    wait_for_lobby(&ada);
    say(&ada, "before");
    ada.type_keys("half a word");
    ada.wait_for("> half a word");
    ada.type_keys("<C-z>");
    let mut pid = None;
    ada.wait_until("the shell's screen and the client's number", |screen| {
        let numbers = screen.rows().find_map(|row| row.trim().parse::<u32>().ok());
        pid = numbers;
        screen.is_restored() && screen.shows("stopped 148") && numbers.is_some()
    });
    assert!(ada.has_modes_as_before(), "keys are echoed again, line by line");
    assert_eq!(state_of(pid.expect("a number")), "T", "it has stopped");
    say(&bea, "said meanwhile");

    ada.type_keys("<enter>");
    let mut whole = String::new();
    ada.wait_until("everything again", |screen| {
        whole = screen.to_string();
        let words = ["said meanwhile", "> half a word", "connected", "1 #lobby       │"];
        screen.is_alternate()
            && words.iter().all(|words| screen.shows(words))
            && is_marked(screen, "before", "✓✓1/1")
    });
    // Nothing of the shell is left, also where the client paints nothing new.
    ada.damage("\x1b[2J");
    ada.type_keys("<C-l>");
    ada.wait_until("the same, painted anew", |screen| screen.to_string() == whole);
    ada.type_keys("<C-u>");
    ada.wait_for("write to #lobby");
    ada.type_keys("/quit<enter>");
    ada.wait_for("left 0");
    ada.wait_for_end();
    assert!(ada.is_restored() && ada.has_modes_as_before());
}

/// The letter that the system has for what a process does.
fn state_of(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is there");
    let behind_name = stat.rsplit(") ").next().expect("a state");
    behind_name.chars().take(1).collect()
}

#[test]
fn a_signal_that_ends_the_client_gives_the_terminal_back_and_keeps_what_was_written() {
    let place = Place::new();
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 143), (Signal::INT, 130)] {
        let mut ada = place.open("ada", USUAL);
        ada.type_keys("<C-u>a draft");
        ada.wait_for("> a draft");
        ada.signal(signal).expect("it runs");
        assert_eq!(ada.wait_for_exit(), code, "{signal:?}");
        assert!(ada.is_restored(), "{signal:?} leaves:\n{}", ada.screen());
        assert!(ada.has_modes_as_before(), "{signal:?}: keys are echoed again");
        let again = place.open("ada", USUAL);
        again.wait_for("> a draft");
    }
}

#[test]
fn a_damaged_screen_is_painted_anew() {
    let place = Place::new();
    let ada = place.open("ada", USUAL);
    say(&ada, "before");
    let mut whole = String::new();
    ada.wait_until("it is quiet", |screen| {
        whole = screen.to_string();
        is_marked(screen, "before", "✓")
    });
    ada.damage("\x1b[2J\x1b[5;5Hsomebody else wrote this");
    ada.wait_for("somebody else wrote this");
    ada.type_keys("<C-l>");
    ada.wait_until("everything again", |screen| {
        screen.shows("before") && screen.shows("connected") && screen.shows("write to #lobby")
    });
    assert!(!ada.screen().contains("somebody else"), "{}", ada.screen());
}
