//! The program as it is started: its one line, its exit codes, its signals.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use protocol::{ids::Fingerprint, invitation::Invitation};
use rustix::process::{Pid, Signal, kill_process};

fn program(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-server"));
    command.env_clear().env("XDG_RUNTIME_DIR", data_dir).arg("--data-dir").arg(data_dir);
    command
}

fn run(data_dir: &Path, arguments: &[&str]) -> Output {
    program(data_dir).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A serving program; killed when dropped.
struct Serving {
    child: Child,
    ready: String,
}

impl Serving {
    fn start(data_dir: &Path, arguments: &[&str]) -> Self {
        let mut child = program(data_dir)
            .args(["--listen", "127.0.0.1:0", "--drain", "0s"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        Self { child, ready }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn field(&self, name: &str) -> &str {
        let mut fields = self.ready.trim_end().split(' ');
        fields.find_map(|field| field.strip_prefix(name)).unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_ready_line_says_where_who_and_how_to_invite() {
    let dir = tempfile::tempdir().unwrap();
    let relay = Serving::start(dir.path(), &["--listen", "127.0.0.1:0"]);
    let names: Vec<_> =
        relay.ready.trim_end().split(' ').map(|f| f.split('=').next().unwrap()).collect();
    assert_eq!(names, ["ready", "tcp", "tcp", "udp", "udp", "key", "invite"], "{}", relay.ready);
    let invitation: Invitation = relay.field("invite=").parse().unwrap();
    let fingerprint: Fingerprint = relay.field("key=").parse().unwrap();
    assert_eq!(invitation.relay_key.fingerprint(), fingerprint);
    assert_eq!(invitation.address.to_string(), relay.field("tcp="));

    let runtime_file = format!("chat-relay-{}.json", invitation.address.port());
    let found = fs::read_to_string(dir.path().join(&runtime_file)).unwrap();
    assert!(found.contains(&fingerprint.to_string()), "{found}");
    let link = run(dir.path(), &["invite", "--plain"]);
    assert_eq!(text(&link.stdout).trim_end(), invitation.to_string());
    let with_ticket = text(&run(dir.path(), &["invite", "--plain", "--ticket"]).stdout);
    assert!(with_ticket.parse::<Invitation>().unwrap().ticket.is_some());

    let mut relay = relay;
    relay.signal(Signal::TERM);
    assert!(relay.child.wait().unwrap().success());
    assert!(!dir.path().join(runtime_file).exists(), "nothing announces a relay that is gone");
}

#[test]
fn a_wrong_configuration_is_refused_before_anything_happens() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let file = dir.path().join("relay.toml");
    fs::write(&file, "[limits]\nconections_max = 5\n").unwrap();
    let output = run(&data_dir, &["--config", file.to_str().unwrap(), "check-config"]);
    assert_eq!(output.status.code(), Some(2));
    let expected = format!(
        "error: the configuration is not valid\n\
         because: {}:2: unknown key `limits.conections_max`, did you mean \
         `limits.connections_max`?\n\
         help: `chat-server check-config` checks again\n",
        file.display()
    );
    assert_eq!(text(&output.stderr), expected);
    assert!(!data_dir.exists());
}

#[test]
fn check_config_prints_what_is_in_force_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), &["check-config", "--name", "kitchen"]);
    assert!(output.status.success());
    let printed = text(&output.stdout);
    assert!(printed.contains("name = \"kitchen\"  # flag --name\n"), "{printed}");
    assert!(printed.contains("login_time = \"5s\"  # default\n"), "{printed}");
}

#[test]
fn a_reload_that_makes_no_sense_keeps_the_old_settings() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("relay.toml");
    fs::write(&file, "[server]\nname = \"old\"\n").unwrap();
    let mut relay = Serving::start(dir.path(), &["--config", file.to_str().unwrap()]);
    let mut log = BufReader::new(relay.child.stderr.take().unwrap());
    let mut wait_for = |part: &str| {
        let mut line = String::new();
        while !line.contains(part) {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the log ended before {part:?}");
        }
    };
    fs::write(&file, "[server]\nname = 7 apples\n").unwrap();
    relay.signal(Signal::HUP);
    wait_for("settings stay as they were");
    fs::write(&file, "[server]\nname = \"new\"\n[limits]\nconnections_max = 9\n").unwrap();
    relay.signal(Signal::HUP);
    wait_for("settings=server.name");
    wait_for("settings in force");
    relay.signal(Signal::INT);
    assert!(relay.child.wait().unwrap().success());
}

#[test]
fn a_second_relay_on_the_same_data_is_told_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Serving::start(dir.path(), &[]);
    let mut second = Serving::start(dir.path(), &[]);
    assert_eq!(second.ready, "");
    assert_eq!(second.child.wait().unwrap().code(), Some(1));
    let mut report = String::new();
    second.child.stderr.take().unwrap().read_to_string(&mut report).unwrap();
    assert!(report.contains("because: another relay uses the data directory"), "{report}");
    assert!(report.contains("help: stop the other relay"), "{report}");
}

#[test]
fn the_operator_works_without_a_running_relay_too() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), &["admin", "list"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let refused = run(dir.path(), &["admin", "add", "nobody"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("nobody is called"), "{}", text(&refused.stderr));
    let backup = dir.path().join("backup");
    assert!(run(dir.path(), &["backup", backup.to_str().unwrap()]).status.success());
    let other = dir.path().join("other");
    assert!(run(&other, &["restore", backup.to_str().unwrap()]).status.success());
    let again = run(&other, &["restore", backup.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1), "never over another relay's data");
}

#[cfg(not(feature = "lab"))]
#[test]
fn a_build_without_the_lab_knows_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let refused = run(dir.path(), &["--lab", "loss 10%"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(said.starts_with("error: unexpected argument '--lab' found"), "{said}");
    let binary = fs::read(env!("CARGO_BIN_EXE_chat-server")).unwrap();
    for word in ["drain", "lab-seed", "LABORATORY"] {
        let is_there = binary.windows(word.len()).any(|bytes| bytes == word.as_bytes());
        assert_eq!(is_there, word == "drain", "{word}");
    }
}

#[cfg(feature = "lab")]
#[test]
fn the_lab_says_loudly_that_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--lab", "loss 10%", "--lab", "in delay 20ms", "--lab-seed", "7"];
    let mut relay = Serving::start(dir.path(), &flags);
    assert_eq!(relay.field("lab="), "on");
    relay.signal(Signal::TERM);
    assert!(relay.child.wait().unwrap().success());
    let mut log = String::new();
    relay.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    let told = "out: loss 10%; in: delay 20ms, loss 10%; seed 7; for 127.0.0.0/8 ::1";
    let banner = format!("LABORATORY: bad paths on purpose, {told}; TCP is left alone");
    let line = log.lines().find(|line| line.contains(&banner)).expect(&log);
    assert!(line.contains("level=warn"), "{line}");
    assert!(
        log.contains("msg=\"datagrams in the laboratory\" shard=0 sent=0 sent_lost=0"),
        "{log}"
    );
    let checked = text(&run(dir.path(), &[&["check-config"], &flags[..]].concat()).stdout);
    assert!(checked.ends_with(&format!("\n# laboratory: {told}\n")), "{checked}");
}

#[cfg(feature = "lab")]
#[test]
fn the_lab_is_asked_for_by_flags_and_by_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("relay.toml");
    for setting in ["[server]\nlab = \"loss 10%\"\n", "[lab]\nfaults = \"loss 10%\"\n"] {
        fs::write(&file, setting).unwrap();
        let output = run(dir.path(), &["--config", file.to_str().unwrap(), "check-config"]);
        assert_eq!(output.status.code(), Some(2), "{setting}");
    }
    for (variable, code) in [("CHAT_SERVER__SERVER__LAB", 2), ("CHAT_SERVER_LAB", 0), ("LAB", 0)] {
        let mut command = program(dir.path());
        let output = command.env(variable, "loss 10%").arg("check-config").output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{variable}");
        assert!(!text(&output.stdout).contains("laboratory"), "{variable}");
    }
    let wrong = run(dir.path(), &["--lab", "lose 10%"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("there is none called \"lose\""));
}
