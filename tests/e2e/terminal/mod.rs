//! The full-screen client as people have it in front of them: real clients in terminals of two
//! sizes, a real relay behind an address that stays when the relay is killed, keys, and screens.

mod conversation;
mod far;
mod faults;
mod outage;
mod reading;
mod terminal_given_back;
mod watch;
mod writing;

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use harness::{
    chat::Chat,
    machine::wait_for_lobby,
    process::{RelayOptions, RelayProcess, relay_binary},
    proxy::Proxy,
    pty::Pty,
    screen::{Screen, Size},
};
use portable_pty::CommandBuilder;

const USUAL: Size = Size { columns: 80, rows: 24 };
const LARGE: Size = Size { columns: 200, rows: 50 };
const TINY: Size = Size { columns: 20, rows: 5 };

/// A relay and the homes of those who use it.
struct Place {
    directory: tempfile::TempDir,
    options: RelayOptions,
    proxy: Proxy,
    key: String,
    relay: Option<RelayProcess>,
}

impl Place {
    /// A running relay, as everybody has it.
    fn new() -> Self {
        Self::with_settings(&[])
    }

    /// One with other settings.
    fn with_settings(settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let binary = relay_binary().expect("built");
        let mut options = RelayOptions::new(binary, directory.path().join("relay"));
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        options.settings = settings.iter().map(owned).collect();
        let relay = RelayProcess::start(&options).expect("the relay starts");
        let proxy = Proxy::start(1).expect("a free port");
        proxy.set_target(Some(relay.ready().tcp));
        let key = relay.ready().key.clone();
        Self { directory, options, proxy, key, relay: Some(relay) }
    }

    /// Ends the relay as a power cut would.
    fn kill_relay(&mut self) {
        self.proxy.set_target(None);
        self.relay.take().expect("it runs").kill().expect("it can be killed");
    }

    /// Starts it again on what it has on its disk.
    fn start_relay(&mut self) {
        let relay = RelayProcess::start(&self.options).expect("the relay starts again");
        self.proxy.set_target(Some(relay.ready().tcp));
        self.relay = Some(relay);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file and returns its path.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("a directory of ours");
        path.to_str().expect("a plain path").to_owned()
    }

    /// A program that is a script.
    fn script(&self, name: &str, text: &str) -> String {
        let path = self.file(name, &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("a file of ours");
        path
    }

    /// Somebody at a shell, without a screen.
    fn chat(&self, name: &str) -> Chat {
        Chat::new(self.path(name), self.proxy.address(), &self.key, name).expect("built").by("tcp")
    }

    /// Somebody at a shell who goes to the relay itself, by this transport.
    fn near(&self, name: &str, transport: &str) -> Chat {
        let relay = self.relay.as_ref().expect("it runs").ready().tcp;
        Chat::new(self.path(name), relay, &self.key, name).expect("built").by(transport)
    }

    /// The same with the client in a terminal, as soon as it is connected.
    fn open_near(&self, name: &str, transport: &str, size: Size) -> Pty {
        let line = self.near(name, transport).command::<[&str; 0], _>([]);
        let pty = Pty::start(self.line(&line), size).expect("the client starts");
        wait_for_lobby(&pty);
        pty
    }

    /// Lets somebody without a screen say lines in the lobby, each a message.
    fn say(&self, name: &str, lines: impl IntoIterator<Item = String>) {
        let lines: String = lines.into_iter().map(|line| line + "\n").collect();
        let child = self.chat(name).feed(["send", "#lobby", "--lines"], lines);
        let output = child.expect("it starts").wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The line that starts somebody's client, in an environment of its own.
    fn command(&self, name: &str, arguments: &[&str]) -> CommandBuilder {
        self.line(&self.chat(name).command(arguments))
    }

    fn line(&self, line: &Command) -> CommandBuilder {
        let mut command = CommandBuilder::new(line.get_program());
        command.args(line.get_args());
        self.surround(&mut command);
        command
    }

    /// Nothing of the environment of whoever runs the tests.
    fn surround(&self, command: &mut CommandBuilder) {
        command.env_clear();
        for (name, value) in
            [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("TZ", "UTC"), ("USER", "somebody")]
        {
            command.env(name, value);
        }
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path("user"));
        command.env("TMPDIR", self.directory.path());
        command.cwd(self.directory.path());
    }

    /// Somebody's client in a terminal, as soon as it is connected.
    fn open(&self, name: &str, size: Size) -> Pty {
        let pty = Pty::start(self.command(name, &[]), size).expect("the client starts");
        wait_for_lobby(&pty);
        pty
    }
}

/// Whether a message stands on the screen with this mark behind it.
fn is_marked(screen: &Screen, words: &str, mark: &str) -> bool {
    screen.row(words).is_some_and(|row| row.contains(mark))
}

/// Says something that is short enough for one row, and waits until the relay has it.
fn say(pty: &Pty, words: &str) {
    pty.type_keys(&format!("{words}<enter>"));
    pty.wait_until("it is sent", |screen| is_marked(screen, words, "✓"));
}

/// Selects the newest message and opens what can be done with it.
fn open_bar(pty: &Pty) {
    pty.type_keys("<S-up>");
    pty.wait_for("what to do with it");
    pty.type_keys("<enter>");
    pty.wait_for("r reply");
}

/// Closes what is open. What is typed next must not look like a part of the same sequence.
fn escape(pty: &Pty, words_gone: &str) {
    pty.type_keys("<esc>");
    pty.wait_until(&format!("{words_gone:?} is gone"), |screen| !screen.shows(words_gone));
}
