//! The client without a screen: lines through pipes, as a screen reader's user or a script has it,
//! and in a terminal that edits lines itself.

use std::{
    io::Write as _,
    process::{Child, ChildStdin, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use harness::{lines::Lines, machine::Machine, screen::Size};

/// How long leaving may take, on a slow machine too.
const WITHIN: Duration = Duration::from_secs(60);
const USUAL: Size = Size { columns: 80, rows: 24 };

/// Somebody with lines only.
struct Talker {
    child: Child,
    stdin: ChildStdin,
    lines: Lines,
}

impl Talker {
    fn start(machine: &Machine, home: &str) -> Self {
        let mut command = machine.command(home, &["--linear"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the client starts");
        let stdin = child.stdin.take().expect("piped");
        let lines = Lines::of(child.stdout.take().expect("piped"));
        Self { child, stdin, lines }
    }

    fn write(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("it reads");
    }

    /// Waits for a line that begins and ends so.
    fn hears(&self, begin: &str, end: &str) -> String {
        let is_it = |line: &str| line.starts_with(begin) && line.ends_with(end);
        self.lines.wait_for(&format!("{begin}...{end}"), is_it)
    }

    /// Closes the input and waits for the end; all that was said.
    fn end(self) -> (ExitStatus, Vec<String>) {
        let Self { mut child, stdin, lines } = self;
        drop(stdin);
        let (tell, told) = mpsc::channel();
        thread::spawn(move || tell.send(child.wait()));
        let status = told.recv_timeout(WITHIN).expect("it ends in time").expect("it was started");
        (status, lines.so_far())
    }
}

fn host(talker: &mut Talker, name: &str) {
    talker.hears("How should others call you?", "");
    talker.write(name);
    talker.hears("Run one in this window?", "");
    talker.write("t");
    talker.hears("you are in #lobby", "");
}

fn assert_once(lines: &[String], end: &str) {
    let said: Vec<_> = lines.iter().filter(|line| line.ends_with(end)).collect();
    assert_eq!(said.len(), 1, "{end:?} is said once in {lines:#?}");
}

#[test]
fn two_people_talk_in_lines() {
    let machine = Machine::fresh();
    let mut ada = Talker::start(&machine, "ada");
    host(&mut ada, "ada");
    let mut bea = Talker::start(&machine, "bea");
    bea.hears("How should others call you?", "");
    bea.write("bea");
    bea.hears("you are in #lobby", "");
    ada.hears("at ", ": bea joined");

    bea.write("hello ada");
    ada.hears("bea, ", ": hello ada");
    bea.hears("your message: sent", "");
    ada.write("/reply hello bea");
    bea.hears("ada, ", ", reply to bea: \u{201c}hello ada\u{201d}: hello bea");
    bea.write("/edit hello ada!");
    ada.hears("bea, ", ", edited a message: hello ada!");
    ada.write("/react \u{1f389}");
    bea.hears("ada, ", ", reacted \u{1f389} to you: \u{201c}hello ada!\u{201d}");

    bea.write("/join #lab");
    bea.hears("you are in #lab", "");
    ada.write("for the lobby");
    bea.hears("#lobby: ada wrote 1 message", "");
    bea.write("/switch lobby");
    bea.hears("ada, ", ": for the lobby");
    bea.write("/names");
    bea.hears("ada, owner, connected", "");
    bea.write("/quit");
    let (status, told) = bea.end();
    assert!(status.success(), "{status}");
    for end in [": hello bea", ": for the lobby", "ada, owner, connected"] {
        assert_once(&told, end);
    }

    // The end of the input is as good as leaving.
    let (status, told) = ada.end();
    assert!(status.success(), "{status}");
    assert_once(&told, ": hello ada");
    assert!(told.iter().all(|line| !line.contains('\u{1b}')), "{told:?}");
}

#[test]
fn lines_that_are_there_at_once_are_taken_one_after_another() {
    let machine = Machine::fresh();
    let mut ada = Talker::start(&machine, "ada");
    for line in ["ada", "t", "one", "/edit one!", "/join #lab", "two"] {
        ada.write(line);
    }
    let (status, told) = ada.end();
    assert!(status.success(), "{status}");
    assert_eq!(told.iter().filter(|line| *line == "your message: sent").count(), 2, "{told:#?}");
    assert_once(&told, "your edit: sent");

    // Both were said, and each where it belongs.
    let mut again = Talker::start(&machine, "ada");
    again.write("/switch lab");
    again.write("/switch lobby");
    let (_, told) = again.end();
    let place = |what: &str| {
        let at = told.iter().position(|line| line.contains(what)).expect(what);
        let come_to = told[..at].iter().rev().find(|line| line.starts_with("you are in"));
        come_to.cloned().unwrap_or_default()
    };
    assert!(place(": one! (edited").starts_with("you are in #lobby;"), "{told:#?}");
    assert!(place(": two").starts_with("you are in #lab;"), "{told:#?}");
}

#[test]
fn in_a_terminal_lines_are_edited_by_the_terminal_and_an_interrupt_leaves() {
    let machine = Machine::fresh();
    let mut pty = machine.open_with("ada", USUAL, &["--linear"]);
    pty.wait_for("Write a name");
    pty.type_keys("adax<backspace><enter>");
    pty.wait_for("t: for this machine only");
    pty.type_keys("t<enter>");
    pty.wait_for("connected to chat relay as ada");
    pty.wait_for("#lobby>");
    pty.type_keys("hello<enter>");
    pty.wait_for("your message: sent");
    pty.type_keys("not sent<C-c>");
    assert_eq!(pty.wait_for_exit(), 130);
    assert!(pty.is_restored(), "nothing was taken:\n{}", pty.screen());
    let screen = pty.screen();
    assert!(screen.contains("your message: sent"), "no other screen has hidden it:\n{screen}");
}
