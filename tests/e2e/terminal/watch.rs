//! `lab watch`: a run in virtual time on a real terminal, with keys.

use harness::{chat::Chat, pty::Pty};
use portable_pty::CommandBuilder;

use super::{LARGE, TINY, USUAL};

fn watch(arguments: &[&str]) -> (Pty, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut command = CommandBuilder::new(Chat::binary().expect("built"));
    command.args(["lab", "watch"]);
    command.args(arguments);
    command.env_clear();
    for (name, value) in [("TERM", "xterm-256color"), ("LANG", "C.UTF-8")] {
        command.env(name, value);
    }
    command.env("HOME", directory.path());
    command.cwd(directory.path());
    (Pty::start(command, USUAL).expect("the client starts"), directory)
}

#[test]
fn a_run_is_watched_step_by_step_and_the_terminal_given_back() {
    let (mut pty, _home) = watch(&["lost-ack", "--strategy", "stop-and-wait"]);
    pty.wait_for("stop-and-wait (1 of");
    pty.type_keys(" ");
    pty.wait_for("paused");
    pty.type_keys("<home>n");
    pty.wait_for("because no acknowledgement came for");
    pty.wait_for("again: late");
    pty.type_keys("s");
    pty.wait_for("(2 of");
    pty.type_keys("?");
    pty.wait_for("to the next packet that carries something again");
    pty.type_keys("x<end>");
    pty.wait_for(" end ");
    pty.resize(TINY).expect("the terminal is there");
    pty.wait_until("a row of the ladder", |screen| screen.shows("ack") || screen.shows("data"));
    pty.resize(LARGE).expect("the terminal is there");
    pty.wait_for("what the sender believes");
    pty.type_keys("q");
    pty.wait_for_end();
    assert!(pty.is_restored() && pty.has_modes_as_before());
}

#[test]
fn time_goes_on_by_itself() {
    let (pty, _home) = watch(&["burst", "--strategy", "ours", "--seed", "5"]);
    pty.wait_for("ours (1 of");
    pty.type_keys("+++");
    pty.wait_for("▶ ×10");
    pty.wait_for("data 40");
}
