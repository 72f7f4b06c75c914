//! A machine with nobody on it, and people who sit down there: the client in terminals, as in the
//! first minute.

use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use portable_pty::CommandBuilder;

use crate::{chat::Chat, loopback::Loopback, pty::Pty, screen::Size};

/// A machine of its own as far as programs can tell: its loopback, its user's directories.
#[derive(Debug)]
pub struct Machine {
    loopback: Loopback,
    directory: tempfile::TempDir,
}

impl Machine {
    /// With nothing on it.
    ///
    /// # Panics
    ///
    /// Without a temporary directory, or a network of its own.
    pub fn fresh() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in ["runtime", "tmp"] {
            let path = directory.path().join(name);
            fs::create_dir(&path).expect("writable");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("ours");
        }
        Self { loopback: Loopback::new().expect("a network of our own"), directory }
    }

    /// A place in its temporary directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The client in a terminal, as somebody starts it who knows nothing but its name.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn open(&self, home: &str, size: Size) -> Pty {
        self.open_with(home, size, &[])
    }

    /// The same with more arguments.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn open_with(&self, home: &str, size: Size, arguments: &[&str]) -> Pty {
        let mut command = CommandBuilder::from_argv(self.line(home, arguments));
        command.env_clear();
        for (name, value) in self.environment() {
            command.env(name, value);
        }
        command.cwd(self.directory.path());
        Pty::start(command, size).expect("the client starts")
    }

    /// The client or one of its commands, not started yet.
    pub fn command(&self, home: &str, arguments: &[&str]) -> Command {
        let line = self.line(home, arguments);
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).env_clear().envs(self.environment());
        command.current_dir(self.directory.path());
        command
    }

    /// What a command of the same person prints, beside the client in the terminal.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn run(&self, home: &str, arguments: &[&str]) -> String {
        let output = self.command(home, arguments).output().expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn line(&self, home: &str, arguments: &[&str]) -> Vec<OsString> {
        let mut line = self.loopback.wrap(&Chat::binary().expect("built"));
        line.extend(["--home".into(), self.path(home).into()]);
        line.extend(arguments.iter().map(OsString::from));
        line
    }

    fn environment(&self) -> [(&'static str, OsString); 8] {
        [
            ("PATH", std::env::var_os("PATH").unwrap_or_default()),
            ("HOME", self.path("user").into()),
            ("XDG_RUNTIME_DIR", self.path("runtime").into()),
            ("TMPDIR", self.path("tmp").into()),
            ("USER", "somebody".into()),
            ("TERM", "xterm-256color".into()),
            ("LANG", "C.UTF-8".into()),
            ("TZ", "UTC".into()),
        ]
    }

    /// How to reach the relay that runs here, as its runtime file has it.
    ///
    /// # Panics
    ///
    /// If none runs.
    pub fn invitation(&self) -> String {
        let path = self.path("runtime").join("chat-relay-4545.json");
        let text = fs::read_to_string(path).expect("a relay runs");
        let file: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        file["invite"].as_str().expect("an invitation").to_owned()
    }
}

/// Answers the questions of the first start, with nobody around: hosts a relay on this machine.
pub fn host(pty: &Pty, name: &str) {
    host_for(pty, name, "t");
}

/// The same, for this machine (`t`) or for the network (`n`).
pub fn host_for(pty: &Pty, name: &str, reach: &str) {
    pty.wait_for("Your name");
    pty.type_keys(&format!("<C-u>{name}<enter>"));
    pty.wait_for("No relay is known here");
    pty.type_keys(reach);
    wait_for_lobby(pty);
}

/// Leaves as people do.
pub fn leave(mut pty: Pty) {
    pty.type_keys("/quit<enter>");
    pty.wait_for_end();
}

/// Answers the questions of the first start where a relay of the same user runs.
pub fn join(pty: &Pty, name: &str) {
    pty.wait_for("Your name");
    pty.type_keys(&format!("<C-u>{name}<enter>"));
    wait_for_lobby(pty);
}

/// Waits until the first conversation is there and connected.
pub fn wait_for_lobby(pty: &Pty) {
    pty.wait_until("#lobby, connected", |screen| {
        screen.shows("#lobby") && screen.shows("connected")
    });
}
