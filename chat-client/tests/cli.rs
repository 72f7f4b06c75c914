//! The program as a shell sees it: standard output, standard error and exit codes, against a relay
//! in this process.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use chat_server::{Server, config::Config, server::Controller};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A relay that ends with the test.
struct Relay {
    controller: Controller,
    thread: Option<JoinHandle<()>>,
    invitation: String,
    address: String,
    fingerprint: String,
    data: TempDir,
}

impl Relay {
    fn start() -> Self {
        Self::serve(tempfile::tempdir().expect("a directory"), "127.0.0.1:0")
    }

    /// The same relay at the same address, after it was stopped.
    fn restart(mut self) -> Self {
        self.stop();
        let data = std::mem::replace(&mut self.data, tempfile::tempdir().expect("a directory"));
        Self::serve(data, &self.address)
    }

    fn serve(data: TempDir, address: &str) -> Self {
        let mut config = Config::default();
        config.settings.server.listen = vec![address.parse().expect("an address")];
        config.settings.server.data_dir = data.path().join("relay");
        config.settings.server.shards = 1;
        config.settings.server.drain = Duration::ZERO;
        let (started, relay) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let server = Server::bind(config).expect("a free port");
                let facts = (
                    server.controller(),
                    server.invitation().to_string(),
                    server.local_addrs()[0].to_string(),
                    server.relay_key().fingerprint().to_string(),
                );
                started.send(facts).expect("the test waits");
                server.serve().await.expect("it serves until it is stopped");
            });
        });
        let (controller, invitation, address, fingerprint) =
            relay.recv_timeout(PATIENCE).expect("the relay starts");
        Self { controller, thread: Some(thread), invitation, address, fingerprint, data }
    }

    fn stop(&mut self) {
        self.controller.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the relay ends in good order");
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A person with a home of their own.
struct Person {
    home: TempDir,
    name: &'static str,
}

impl Person {
    fn new(name: &'static str) -> Self {
        Self { home: tempfile::tempdir().expect("a directory"), name }
    }

    fn at(name: &'static str, relay: &Relay) -> Self {
        let person = Self::new(name);
        let output = person.run(&["--relay", &relay.invitation, "join", "#lobby"]);
        assert_exit(&output, 0);
        person
    }

    fn home(&self) -> &Path {
        self.home.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat-client"));
        command
            .env_clear()
            .env("TZ", "UTC")
            .env("CHAT_HOME", self.home().join("home"))
            .env("CHAT_NAME", self.name)
            .env("XDG_RUNTIME_DIR", self.home())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program starts")
    }

    fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        child.wait_with_output().expect("it ends")
    }

    /// Standard output of a command that must succeed.
    fn stdout(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_exit(&output, 0);
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let lines = self.stdout(arguments);
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// A running `tail --json`, whose lines can be waited for.
struct Tail {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Tail {
    fn start(person: &Person) -> Self {
        let mut command = person.command(&["tail", "#lobby", "--json", "-n", "1"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let stdout = child.stdout.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let tail = Self { child, lines };
        // The earlier message that `-n 1` asks for says that it is up.
        tail.next();
        tail
    }

    fn next(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("a line in time");
        serde_json::from_str(&line).expect("JSON")
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        // It may have been killed by the test already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again and again until something is so.
#[track_caller]
fn wait_until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {} s", PATIENCE.as_secs());
        std::thread::yield_now();
    }
}

#[track_caller]
fn assert_exit(output: &Output, code: i32) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "stderr: {stderr}");
}

#[track_caller]
fn assert_fails(output: &Output, code: i32, error: &str) {
    assert_exit(output, code);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(error), "expected {error:?} in: {stderr}");
}

#[test]
fn what_one_sends_the_other_reads() {
    let relay = Relay::start();
    let (ada, bob) = (Person::at("ada", &relay), Person::at("bob", &relay));
    let sent = ada.run(&["send", "#lobby", "hello"]);
    assert_exit(&sent, 0);
    assert_eq!((sent.stdout, sent.stderr), (Vec::new(), Vec::new()), "success is silent");
    let history = bob.stdout(&["history", "#lobby", "-n", "1"]);
    assert!(history.ends_with(" <ada> hello\n"), "{history}");
}

#[test]
fn what_was_said_anywhere_is_found() {
    let relay = Relay::start();
    let (ada, bob) = (Person::at("ada", &relay), Person::at("bob", &relay));
    assert_exit(&ada.run(&["join", "#ops", "--create"]), 0);
    for (room, text) in [("#lobby", "the Report"), ("#ops", "日本語の報告"), ("#lobby", "no")]
    {
        assert_exit(&ada.run(&["send", room, text]), 0);
    }
    assert_exit(&bob.run(&["send", "#lobby", "reports"]), 0);
    let both = ada.stdout(&["search", "report"]);
    let lines: Vec<&str> = both.lines().collect();
    assert_eq!(lines.len(), 2, "{both}");
    assert!(lines[0].starts_with("#lobby 20") && lines[0].ends_with("<ada> the Report"), "{both}");
    assert!(lines[1].ends_with("<bob> reports"), "{both}");
    assert_eq!(ada.stdout(&["search", "report", "-n", "1"]).lines().count(), 1);
    let found = ada.json(&["--json", "search", "日本語", "in:#ops", "from:ada", "after:today"]);
    assert_eq!((&found[0]["room"], &found[0]["text"]), (&"ops".into(), &"日本語の報告".into()));
    assert_fails(&ada.run(&["search", "nowhere"]), 3, "messages with nowhere");
    assert_fails(&ada.run(&["search", "x", "from:nobody"]), 3, "@nobody");
    assert_fails(&ada.run(&["search", "before:soon"]), 2, "soon is no date");
}

#[test]
fn json_lines_have_the_documented_fields() {
    let relay = Relay::start();
    let ada = Person::at("ada", &relay);
    let sent = &ada.json(&["--json", "send", "#lobby", "--action", "waves"])[0];
    let line = &ada.json(&["--json", "history", "#lobby", "-n", "1"])[0];
    assert_eq!(sent["state"], "sent");
    for field in ["conversation", "seq", "device", "counter", "time", "time_ms"] {
        assert_eq!(line[field], sent[field], "{field}");
    }
    assert_eq!(line["v"], 1);
    assert_eq!(line["room"], "lobby");
    assert_eq!(line["sender"]["name"], "ada");
    assert_eq!((&line["kind"], &line["text"]), (&"action".into(), &"waves".into()));
    let time = line["time"].as_str().expect("a text");
    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
}

#[test]
fn every_line_of_input_is_a_message_until_the_end_mark() {
    let relay = Relay::start();
    let ada = Person::at("ada", &relay);
    let input = "one\ntwo\n\nthree\n##\nnever\n";
    assert_exit(&ada.run_with_input(&["send", "#lobby", "--lines"], input), 0);
    let texts: Vec<_> = ada.json(&["--json", "history", "#lobby", "-n", "3"]);
    let texts: Vec<_> = texts.iter().map(|line| line["text"].clone()).collect();
    assert_eq!(texts, ["one", "two", "three"]);
}

#[test]
fn lines_come_from_standard_input_alone() {
    let relay = Relay::start();
    let ada = Person::at("ada", &relay);
    let dash = ada.run_with_input(&["send", "#lobby", "--lines", "-"], "one\r\ntwo");
    assert_exit(&dash, 0);
    let lines = ada.json(&["--json", "history", "#lobby", "-n", "2"]);
    assert_eq!((&lines[0]["text"], &lines[1]["text"]), (&"one".into(), &"two".into()));
    assert_fails(&ada.run(&["send", "#lobby", "three", "--lines"]), 2, "takes no TEXT");
    let endless = "x".repeat(40_000);
    let refused = ada.run_with_input(&["send", "#lobby", "--lines"], &endless);
    assert_fails(&refused, 8, "too large");
}

#[test]
fn standard_input_is_one_message() {
    let relay = Relay::start();
    let ada = Person::at("ada", &relay);
    assert_exit(&ada.run_with_input(&["send", "#lobby", "-"], "a\nb\n"), 0);
    let line = &ada.json(&["--json", "history", "#lobby", "-n", "1"])[0];
    assert_eq!(line["text"], "a\nb");
}

#[test]
fn people_who_have_said_nothing_have_names() {
    let relay = Relay::start();
    let (ada, _bob) = (Person::at("ada", &relay), Person::at("bob", &relay));
    let history = ada.stdout(&["history", "#lobby"]);
    assert!(history.contains("-- bob joined"), "{history}");
}

#[test]
fn a_doctor_times_the_way_to_the_relay() {
    let relay = Relay::start();
    let ada = Person::at("ada", &relay);
    let checks = ada.json(&["--json", "doctor", "--transport", "tcp"]);
    let found = |step: &str| {
        let check = checks.iter().find(|check| check["check"] == step).expect("a check");
        assert_eq!(check["ok"], true, "{check}");
        check["found"].as_str().expect("text").to_owned()
    };
    assert!(found("round trip").contains("5 questions"));
    assert_eq!(found("limit"), "a message has at most 32768 bytes");
    assert_eq!(found("socket TCP_NODELAY"), "true");
}

#[test]
fn hostile_text_reaches_neither_terminal_nor_pipe() {
    let relay = Relay::start();
    let (eve, bob) = (Person::at("eve", &relay), Person::at("bob", &relay));
    eve.stdout(&["send", "#lobby", "\u{1b}[2J\u{202e}x\u{7f}\u{9b}"]);
    let plain = bob.stdout(&["history", "#lobby", "-n", "1"]);
    let json = bob.stdout(&["--json", "history", "#lobby", "-n", "1"]);
    for text in [plain, json] {
        let harmful = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(harmful), "{text:?}");
    }
}

#[test]
fn a_scenario_of_somebody_else_reaches_no_terminal_as_it_is() {
    let person = Person::new("ada");
    let path = person.home().join("theirs.toml");
    let words = r#"title = "a\u001b[2J"
explain = "b\u001b]0;c\u0007\nd"
lasts = '1s'
strategies = ['ours']
traffic = { messages = 1, bytes = 8 }
"#;
    std::fs::write(&path, words).expect("writable");
    let path = path.to_str().expect("UTF-8");
    let told = person.stdout(&["lab", "explain", path]);
    assert!(
        !told.contains(|c: char| c.is_control() && c != '\n') && told.contains("\nd\n"),
        "{told:?}"
    );
    assert_eq!(person.stdout(&["lab", "explain", path, "--source"]), words);
}

#[test]
fn a_guest_uses_the_connection_of_a_running_tail() {
    let relay = Relay::start();
    let ada = Person::at("ada", &relay);
    let tail = Tail::start(&ada);
    let sent = &ada.json(&["--json", "send", "#lobby", "through the owner"])[0];
    let heard = tail.next();
    assert_eq!(heard["text"], "through the owner");
    assert_eq!((&heard["seq"], &heard["device"]), (&sent["seq"], &sent["device"]));
    let checks = ada.json(&["--json", "doctor"]);
    let owner = checks.iter().find(|check| check["check"] == "process").expect("it is reported");
    let pid = tail.child.id().to_string();
    assert!(owner["found"].as_str().is_some_and(|found| found.starts_with(&pid)), "{owner}");
}

#[test]
fn a_tail_goes_on_when_the_owner_is_killed() {
    let relay = Relay::start();
    let (ada, bob) = (Person::at("ada", &relay), Person::at("bob", &relay));
    let owner = Tail::start(&ada);
    let guest = Tail::start(&ada);
    drop(owner);
    bob.stdout(&["send", "#lobby", "one"]);
    bob.stdout(&["send", "#lobby", "two"]);
    assert_eq!(guest.next()["text"], "one");
    assert_eq!(guest.next()["text"], "two");
}

#[test]
fn what_a_killed_owner_had_taken_from_guests_is_sent_once_and_in_order() {
    let mut relay = Relay::start();
    let ada = Person::at("ada", &relay);
    let owner = Tail::start(&ada);
    relay.stop();
    let mut command = ada.command(&["send", "#lobby", "--lines", "--timeout", "30"]);
    let mut guest = command.stdin(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = guest.stdin.take().expect("piped");
    stdin.write_all(b"one\ntwo\nthree\n").expect("it reads");
    drop(stdin);
    // All three are in the owner's outbox, and nobody has been answered.
    wait_until(|| ada.json(&["--json", "outbox"]).len() == 3);
    drop(owner);
    let _relay = relay.restart();
    assert_eq!(guest.wait().expect("it ends").code(), Some(0));
    let lines = ada.json(&["--json", "history", "#lobby"]);
    let texts: Vec<_> = lines.iter().filter(|line| line["kind"] == "text").collect();
    let texts: Vec<_> = texts.iter().map(|line| line["text"].clone()).collect();
    assert_eq!(texts, ["one", "two", "three"]);
}

#[test]
fn the_home_of_a_killed_owner_can_be_used_at_once() {
    let relay = Relay::start();
    let ada = Person::at("ada", &relay);
    let mut tail = Tail::start(&ada);
    tail.child.kill().expect("it runs");
    tail.child.wait().expect("it ends");
    ada.stdout(&["send", "#lobby", "after the crash"]);
    let line = &ada.json(&["--json", "history", "#lobby", "-n", "1"])[0];
    assert_eq!(line["text"], "after the crash");
}

#[test]
fn commands_that_start_at_once_agree_on_an_owner() {
    let relay = Relay::start();
    let ada = Person::at("ada", &relay);
    let texts: Vec<_> = (0..6).map(|number| format!("number {number}")).collect();
    let children: Vec<_> = texts
        .iter()
        .map(|text| ada.command(&["send", "#lobby", text]).spawn().expect("it starts"))
        .collect();
    for mut child in children {
        assert_eq!(child.wait().expect("it ends").code(), Some(0));
    }
    let lines = ada.json(&["--json", "history", "#lobby", "-n", "6"]);
    let mut seen: Vec<_> = lines.iter().map(|line| line["text"].clone()).collect();
    seen.sort_by_key(ToString::to_string);
    assert_eq!(seen, texts, "each exactly once");
}

#[test]
fn what_cannot_be_sent_now_is_queued_and_goes_out_later() {
    let mut relay = Relay::start();
    let ada = Person::at("ada", &relay);
    assert_exit(&ada.run(&["send", "--no-wait", "#lobby", "one"]), 6);
    relay.stop();
    assert_fails(&ada.run(&["send", "#lobby", "two"]), 6, "queued, not sent yet");
    let outbox = ada.json(&["--json", "outbox"]);
    let two = outbox.iter().find(|message| message["text"] == "two").expect("it is kept");
    assert_eq!((&two["to"], &two["state"]), (&"#lobby".into(), &"queued".into()));
    assert_exit(&ada.run(&["members", "#lobby"]), 5);
    let late = ada.run(&["--timeout", "0.2", "send", "#lobby", "three"]);
    assert_fails(&late, 124, "it is queued, do not repeat it");
    let offline = ada.stdout(&["history", "#lobby"]);
    assert!(offline.contains("ada joined"), "history works without a relay: {offline}");
}

#[test]
fn exit_codes_say_what_went_wrong() {
    let relay = Relay::start();
    let (ada, bob) = (Person::at("ada", &relay), Person::at("bob", &relay));
    assert_exit(&ada.run(&["send", "lobby", "x"]), 2);
    assert_fails(&ada.run(&["history", "#nowhere"]), 3, "#nowhere: not found");
    assert_fails(&ada.run(&["send", "@nobody", "x"]), 3, "nobody has that name");
    assert_eq!(ada.stdout(&["outbox"]), "", "what was refused at once does not stay behind");
    assert_fails(&bob.run(&["room", "topic", "#lobby", "mine"]), 4, "not allowed");
    let large = "x".repeat(40_000);
    assert_fails(&ada.run_with_input(&["send", "#lobby", "-"], &large), 8, "too large");
    assert_fails(&ada.run(&["outbox", "cancel", "7"]), 3, "message 7 in the outbox: not found");
    let second = Person::new("ada");
    let refused = second.run(&["--relay", &relay.invitation, "members", "#lobby"]);
    assert_fails(&refused, 4, "help: --name NAME asks for another name");
}

#[test]
fn a_relay_is_trusted_by_its_key_only() {
    let relay = Relay::start();
    let ada = Person::new("ada");
    let bare = ada.run(&["--relay", &relay.address, "whoami"]);
    assert_fails(&bare, 7, &format!("chat-client trust {} --relay", relay.fingerprint));
    let other = "aaaa-aaaa-aaaa-aaaa-aaaa-aaaa";
    let wrong = ada.run(&["--relay", &relay.address, "--trust", other, "whoami"]);
    assert_fails(&wrong, 7, "another key than the one given");
    ada.stdout(&["trust", &relay.fingerprint, "--relay", &relay.address]);
    assert!(ada.stdout(&["trust"]).contains(&relay.fingerprint));
    assert!(ada.stdout(&["whoami"]).starts_with("name\t@ada\n"));
    ada.stdout(&["trust", "forget", &relay.fingerprint]);
    assert_exit(&ada.run(&["--relay", &relay.address, "whoami"]), 7);
}

#[test]
fn rooms_are_founded_governed_and_left() {
    let relay = Relay::start();
    let (ada, bob) = (Person::at("ada", &relay), Person::at("bob", &relay));
    assert_exit(&ada.run(&["join", "#build"]), 3);
    ada.stdout(&["join", "--create", "#build", "--topic", "red or green"]);
    assert_eq!(ada.stdout(&["room", "topic", "#build"]), "red or green\n");
    assert!(bob.stdout(&["rooms", "--all"]).contains("#build"));
    bob.stdout(&["join", "#build"]);
    ada.stdout(&["room", "role", "#build", "@bob", "moderator"]);
    let members = ada.json(&["--json", "members", "#build"]);
    let roles: Vec<_> = members.iter().map(|member| (&member["name"], &member["role"])).collect();
    assert!(roles.contains(&(&"bob".into(), &"moderator".into())), "{roles:?}");
    assert!(ada.stdout(&["room", "ban", "#build", "@bob", "--dry-run"]).contains("@bob"));
    bob.stdout(&["leave", "#build"]);
    assert_eq!(ada.json(&["--json", "members", "#build"]).len(), 1);
}

#[test]
fn an_audit_finds_the_same_chain() {
    let relay = Relay::start();
    let ada = Person::at("ada", &relay);
    ada.stdout(&["send", "#lobby", "on the record"]);
    let audit = &ada.json(&["--json", "audit", "#lobby"])[0];
    assert_eq!(audit["same"], true, "{audit}");
    assert!(audit["records"].as_u64().is_some_and(|records| records >= 2), "{audit}");
}

#[test]
fn an_export_by_speaker_overwrites_nothing() {
    let relay = Relay::start();
    let ada = Person::at("ada", &relay);
    ada.stdout(&["send", "#lobby", "for the file"]);
    let directory = ada.home().join("export");
    let target = directory.to_str().expect("UTF-8");
    ada.stdout(&["export", "#lobby", "--split-by-speaker", target]);
    let file = std::fs::read_to_string(directory.join("ada.txt")).expect("it was written");
    assert!(file.ends_with(" <ada> for the file\n"), "{file}");
    let again = ada.run(&["export", "#lobby", "--split-by-speaker", target]);
    assert_fails(&again, 1, "help: --force overwrites it");
    ada.stdout(&["export", "#lobby", "--split-by-speaker", target, "--force"]);
    let json = ada.json(&["export", "#lobby", "--format", "json"]);
    assert!(json.iter().any(|line| line["text"] == "for the file"));
}

#[test]
fn a_login_name_that_is_taken_is_varied_and_a_chosen_one_is_not() {
    let relay = Relay::start();
    let _ada = Person::at("ada", &relay);
    let guest = Person::new("unused");
    let output = guest
        .command(&["--relay", &relay.invitation, "join", "#lobby"])
        .env_remove("CHAT_NAME")
        .env("USER", "ada")
        .output()
        .expect("the program starts");
    assert_exit(&output, 0);
    assert!(guest.stdout(&["whoami"]).starts_with("name\t@ada2\n"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let relay = Relay::start();
    let ada = Person::at("ada", &relay);
    let mut child = ada
        .command(&["history", "#lobby"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_exit(&output, 0);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_kept_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt;

    let relay = Relay::start();
    let ada = Person::at("ada", &relay);
    let mut pending = vec![ada.home().join("home")];
    while let Some(path) = pending.pop() {
        let metadata = std::fs::symlink_metadata(&path).expect("it exists");
        let mode = metadata.permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
        if metadata.is_dir() {
            let entries = std::fs::read_dir(&path).expect("ours");
            pending.extend(entries.map(|entry| entry.expect("readable").path()));
        }
    }
}

#[test]
fn the_help_is_as_reviewed() {
    insta::assert_snapshot!(Person::new("ada").stdout(&["--help"]));
}
