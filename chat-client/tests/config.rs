//! `chat-client config`, as a shell sees it: what is in force and why, what is wrong and where, exit
//! codes.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use tempfile::TempDir;

/// Exit code of a command line or of settings that make no sense.
const USAGE: i32 = 2;

/// A home whose settings file may be written by hand.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a directory") }
    }

    /// With this settings file.
    fn with(settings: &str) -> Self {
        let desk = Self::new();
        fs::write(desk.file(), settings).expect("writable");
        desk
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("mine.toml")
    }

    /// Runs `config` with these arguments and variables, and the file.
    fn config(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat-client"));
        command.env_clear().env("HOME", self.folder.path()).envs(variables.iter().copied());
        command.arg("--config").arg(self.file()).arg("config").args(arguments);
        command.output().expect("the program starts")
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

const GOOD: &str = "# mine\n[ui]\ntheme = \"dark\"\nmouse = false\n[keys]\n\"C-t\" = \"help\"\n";

#[test]
fn every_value_is_shown_with_where_it_came_from() {
    let desk = Desk::with(GOOD);
    let variables = [("CHAT_CLIENT__UI__MOUSE", "true")];
    let output = desk.config(&["show", "--set", "ui.title=off"], &variables);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    let shown = stdout(&output);
    for line in [
        "theme = \"dark\"  # line 3",
        "mouse = true  # CHAT_CLIENT__UI__MOUSE",
        "title = false  # flag",
        "typing = true  # default",
        "\"C-t\" = \"help\"",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line:?} in\n{shown}");
    }
    assert_eq!(stdout(&desk.config(&["--set", "ui.title=off"], &variables)), shown, "by itself");

    // What is shown is a file that means the same.
    let copy = Desk::with(&shown);
    let again = stdout(&copy.config(&[], &[]));
    let values = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split("  #").next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(values(&again), values(&shown));
    assert_eq!(stdout(&copy.config(&["check"], &[])), "ok\n");
}

#[test]
fn each_mistake_is_told_with_its_place_and_what_was_probably_meant() {
    let desk = Desk::with(
        "[ui]\ntheme = \"drak\"\nmuose = false\nmouse = false\n[notfy]\nx = 1\n[keys]\n\
         \"C-t\" = \"hepl\"\n\"Q-x\" = \"help\"\n",
    );
    let output = desk.config(&["check"], &[]);
    let file = desk.file().display().to_string();
    let said = stderr(&output);
    for (line, what) in [
        (2, "ui.theme: auto, dark, light or mono expected"),
        (3, "unknown key `ui.muose`, did you mean `ui.mouse`?"),
        (5, "unknown section `notfy`, did you mean `notify`?"),
        (8, "C-t: unknown action `hepl`, did you mean `help`?"),
        (9, "`Q-x` is no key"),
    ] {
        let begins = format!("{file}:{line}: {what}");
        assert!(said.lines().any(|said| said.starts_with(&begins)), "{begins:?} in\n{said}");
    }
    assert_eq!((output.status.code(), stdout(&output)), (Some(USAGE), String::new()));

    // What is right counts all the same, and showing it is no failure.
    let shown = desk.config(&[], &[]);
    assert_eq!(shown.status.code(), Some(0));
    assert!(stdout(&shown).contains("mouse = false  # line 4"), "{}", stdout(&shown));
    assert_eq!(
        said.strip_prefix(&stderr(&shown)).and_then(|rest| rest.lines().next()),
        Some("error: 5 settings cannot be used")
    );
}

#[test]
fn keys_that_contradict_each_other_are_told() {
    let twice = Desk::with("[keys]\n\"C-M-t\" = \"help\"\n\"M-C-t\" = \"members\"\n");
    let output = twice.config(&["check"], &[]);
    assert_eq!(output.status.code(), Some(USAGE));
    assert!(stderr(&output).contains("bound twice"), "{}", stderr(&output));

    let lost = Desk::with("[keys]\n\"Enter\" = \"help\"\n");
    let output = lost.config(&["check"], &[]);
    assert_eq!(output.status.code(), Some(USAGE));
    assert_eq!(stderr(&output).lines().next(), Some("keys: no key means `send` any more"));
    // Without a key of its own, or with another one, nothing is lost.
    let moved = Desk::with("[keys]\n\"Enter\" = \"newline\"\n\"M-Enter\" = \"send\"\n");
    assert_eq!(stdout(&moved.config(&["check"], &[])), "ok\n");
}

#[test]
fn a_mistake_on_the_command_line_or_in_the_environment_is_told() {
    let desk = Desk::with(GOOD);
    for (arguments, variables, what) in [
        (["check", "--set", "ui.theme=blue"].as_slice(), [].as_slice(), "ui.theme: auto, dark"),
        (&["check", "--set", "theme=dark"], &[], "did you mean `ui.theme`?"),
        (&["check"], &[("CHAT_CLIENT__UI__MOUS", "x")], "did you mean `CHAT_CLIENT__UI__MOUSE`?"),
    ] {
        let output = desk.config(arguments, variables);
        assert_eq!(output.status.code(), Some(USAGE), "{arguments:?}");
        assert!(stderr(&output).contains(what), "{what:?} in {}", stderr(&output));
    }
    assert_eq!(desk.config(&["chekc"], &[]).status.code(), Some(USAGE));
}

#[test]
fn a_file_that_was_named_has_to_be_there() {
    let desk = Desk::new();
    let output = desk.config(&["check"], &[]);
    assert_eq!(output.status.code(), Some(USAGE));
    assert!(stderr(&output).contains("cannot read"), "{}", stderr(&output));
    let path = desk.config(&["path"], &[]);
    assert_eq!(stdout(&path).trim_end(), desk.file().display().to_string());
    assert_eq!(path.status.code(), Some(0));
}
