//! The first minute, as people have it: two homes that have never seen a relay, two terminals on a
//! machine where none runs, keys and screens.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use harness::{
    chat::Chat,
    loopback::Loopback,
    pty::Pty,
    screen::{Screen, Size},
};
use portable_pty::CommandBuilder;

const USUAL: Size = Size { columns: 80, rows: 24 };
const LARGE: Size = Size { columns: 200, rows: 50 };
const TINY: Size = Size { columns: 20, rows: 5 };

/// A machine of its own as far as programs can tell: its loopback, its user's directories.
struct Machine {
    loopback: Loopback,
    directory: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in ["runtime", "tmp"] {
            let path = directory.path().join(name);
            fs::create_dir(&path).expect("writable");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("ours");
        }
        Self { loopback: Loopback::new().expect("a network of our own"), directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The client in a terminal, as somebody starts it who knows nothing but its name.
    fn open(&self, home: &str, size: Size) -> Pty {
        let mut line = self.loopback.wrap(&Chat::binary().expect("built"));
        line.extend(["--home".into(), self.path(home).into()]);
        let mut command = CommandBuilder::from_argv(line);
        command.env_clear();
        for (name, value) in [
            ("PATH", std::env::var_os("PATH").unwrap_or_default()),
            ("HOME", self.path("user").into()),
            ("XDG_RUNTIME_DIR", self.path("runtime").into()),
            ("TMPDIR", self.path("tmp").into()),
            ("USER", "somebody".into()),
            ("TERM", "xterm-256color".into()),
            ("LANG", "C.UTF-8".into()),
            ("TZ", "UTC".into()),
        ] {
            command.env(name, value);
        }
        command.cwd(self.directory.path());
        Pty::start(command, size).expect("the client starts")
    }
}

/// Answers the questions of the first start, with nobody around: hosts a relay on this machine.
fn host(pty: &Pty, name: &str) {
    pty.wait_for("Your name");
    pty.type_keys(&format!("<C-u>{name}<enter>"));
    pty.wait_for("No relay is known here");
    pty.type_keys("t");
    wait_for_lobby(pty);
}

/// Answers the questions of the first start where a relay of the same user runs.
fn join(pty: &Pty, name: &str) {
    pty.wait_for("Your name");
    pty.type_keys(&format!("<C-u>{name}<enter>"));
    wait_for_lobby(pty);
}

fn wait_for_lobby(pty: &Pty) {
    pty.wait_until("#lobby, connected", |screen| {
        screen.shows("#lobby") && screen.shows("connected")
    });
}

/// Whether a message stands on the screen with this mark behind it.
fn is_marked(screen: &Screen, words: &str, mark: &str) -> bool {
    screen.row(words).is_some_and(|row| row.contains(mark))
}

fn talk(size: Size) {
    let machine = Machine::new();
    let mut ada = machine.open("ada", size);
    host(&ada, "ada");
    let mut bea = machine.open("bea", size);
    join(&bea, "bea");

    // Both ways, with the states a message goes through: sent, delivered, read.
    ada.type_keys("hello bea<enter>");
    bea.wait_for("hello bea");
    ada.wait_until("her message read", |screen| is_marked(screen, "hello bea", "✓✓1/1"));
    bea.type_keys("hello ada<enter>");
    ada.wait_for("hello ada");
    bea.wait_until("her message read", |screen| is_marked(screen, "hello ada", "✓✓1/1"));

    bea.type_keys("/me waves<enter>");
    ada.wait_for("* bea waves");
    a_stranger_asks(&ada, &bea);
    a_tiny_window_and_back(&ada, size);
    scrolling(&bea, size);

    bea.type_keys("/quit<enter>");
    bea.wait_for_end();
    assert!(bea.is_restored(), "the terminal as it was:\n{}", bea.screen());
    history_survives_a_kill(&machine, &mut ada, size);
    ada.type_keys("/quit<enter>");
    ada.wait_for_end();
    assert!(ada.is_restored(), "the terminal as it was:\n{}", ada.screen());
    assert!(ada.has_modes_as_before(), "keys are echoed again, line by line");
}

fn a_stranger_asks(ada: &Pty, bea: &Pty) {
    bea.type_keys("/msg ada may I ask you something?<enter>");
    // The stranger waits; the other decides.
    ada.wait_for("@bea");
    ada.type_keys("<M-2>");
    ada.wait_for("bea wants to talk");
    ada.wait_for("may I ask you something?");
    ada.type_keys("/accept<enter>");
    ada.wait_until("no question any more", |screen| !screen.shows("wants to talk"));
    ada.type_keys("of course<enter>");
    bea.wait_for("of course");
    for pty in [ada, bea] {
        pty.type_keys("<M-1>");
        pty.wait_for("* bea waves");
    }
}

/// A window of 20 by 5 still shows what is written and said, and nothing is lost by it.
fn a_tiny_window_and_back(ada: &Pty, size: Size) {
    ada.type_keys("draft");
    ada.wait_for("draft");
    ada.resize(TINY).expect("the terminal is there");
    ada.wait_until("the composer in a tiny window", |screen| screen.shows("> draft"));
    ada.resize(size).expect("the terminal is there");
    ada.wait_until("everything again", |screen| {
        screen.shows("> draft") && screen.shows("hello bea") && screen.shows("connected")
    });
    ada.type_keys("<C-u>");
}

/// More than a screen of messages, and back in it by pages.
fn scrolling(bea: &Pty, size: Size) {
    let count = usize::from(size.rows) + 10;
    for number in 0..count {
        bea.type_keys(&format!("line {number:03}<enter>"));
    }
    let newest = format!("line {:03}", count - 1);
    bea.wait_until("the newest sent", |screen| is_marked(screen, &newest, "✓"));
    bea.wait_until("the oldest gone", |screen| !screen.shows("line 000"));
    bea.type_keys("<pageup>");
    bea.wait_until("older messages", |screen| !screen.shows(&newest));
    bea.type_keys("<home>");
    bea.wait_for("hello bea");
    bea.type_keys("<end>");
    bea.wait_for(&newest);
}

/// `SIGKILL` of the client that hosts the relay: the next start needs no questions, and the relay
/// in it has everything.
fn history_survives_a_kill(machine: &Machine, ada: &mut Pty, size: Size) {
    let count = usize::from(size.rows) + 10;
    let newest = format!("line {:03}", count - 1);
    ada.wait_for(&newest);
    ada.kill().expect("it can be killed");
    *ada = machine.open("ada", size);
    ada.wait_for(&newest);
    wait_for_lobby(ada);
    ada.type_keys("back again<enter>");
    ada.wait_until("her message sent", |screen| is_marked(screen, "back again", "✓"));

    // So does a client that was away.
    let bea = machine.open("bea", size);
    bea.wait_for("back again");
    bea.wait_for(&newest);
    ada.wait_until("her message read", |screen| is_marked(screen, "back again", "✓✓1/1"));
}

#[test]
fn two_people_talk_within_a_minute_in_a_usual_window() {
    talk(USUAL);
}

#[test]
fn two_people_talk_within_a_minute_in_a_large_window() {
    talk(LARGE);
}

#[test]
fn leaving_at_the_first_question_leaves_nothing_behind() {
    let machine = Machine::new();
    let mut pty = machine.open("ada", USUAL);
    pty.wait_for("Your name");
    pty.type_keys("<C-c>");
    pty.type_keys("<C-c>");
    pty.wait_for_end();
    assert!(pty.is_restored(), "the terminal as it was:\n{}", pty.screen());
}
