//! `lab run --live` and `lab peer`, two processes on loopback: what is left to chance happens as in
//! virtual time, and nobody waits for ever for a peer that is not there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    process::{Command, Output, Stdio},
    thread,
};

use harness::{chat::Chat, lines::Lines, pty::Pty, screen::Size};
use portable_pty::CommandBuilder;
use protocol::ids::sha256;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::Program;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const UNREACHABLE: i32 = 5;
const MESSAGES: u64 = 30;

/// Chance alone decides what is lost here: neither times nor sizes do.
const LOSSY: &str = "title = 'Lossy'\nexplain = ''\nlasts = '300s'\nseed = 7\n\
    strategies = ['stop-and-wait', 'go-back-n', 'selective-repeat', 'tcp', 'kcp', 'ours']\n\
    traffic = { messages = 30, bytes = 100, every = '5ms', conversations = 3 }\n\
    path = { delay = '3ms', loss = '15%', duplicate = '5%' }\n";
/// It goes on until somebody ends it.
const LONG: &str = "title = 'Long'\nexplain = ''\nlasts = '600s'\nstrategies = ['ours']\n\
    traffic = { messages = 60000, bytes = 100, every = '10ms' }\n";

/// A running peer.
struct Peer {
    program: Program,
    lines: Lines,
    address: SocketAddr,
}

impl Peer {
    fn start() -> Self {
        let mut command = Command::new(Chat::binary().expect("the client is built"));
        command.args(["lab", "peer", "--json", "--listen", "udp:127.0.0.1:0"]);
        let child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut program = Program(child);
        let lines = Lines::of(program.0.stdout.take().expect("it is piped"));
        let first = lines.wait_for("listening", |line| line.contains("\"event\":\"listening\""));
        let first: Value = serde_json::from_str(&first).expect("JSON");
        let address = first["address"].as_str().and_then(|it| it.parse().ok()).expect("an address");
        Self { program, lines, address }
    }

    /// Ends it as Ctrl-C does; what it says last.
    fn end(mut self) -> Value {
        kill_process(Pid::from_child(&self.program.0), Signal::INT).expect("it runs");
        assert_eq!(self.program.0.wait().expect("it was started").code(), Some(130));
        let last = self.lines.wait_for("summary", |line| line.contains("\"event\":\"summary\""));
        serde_json::from_str(&last).expect("JSON")
    }
}

/// A directory with this scenario in `it.toml`.
fn scenario(text: &str) -> TempDir {
    let directory = TempDir::new().expect("a directory");
    fs::write(directory.path().join("it.toml"), text).expect("writable");
    directory
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(Chat::binary().expect("the client is built"));
    command.args(["lab", "run", "it.toml"]).args(arguments);
    command.current_dir(directory).env("CHAT_HOME", directory).output().expect("it can be started")
}

/// What a run that cannot go on says.
fn refused(directory: &Path, arguments: &[&str], code: i32) -> String {
    let output = run(directory, arguments);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty(), "no figures");
    said
}

/// What became of the packets of one strategy in one direction.
#[derive(Default)]
struct Fates {
    sent: u64,
    lost: BTreeSet<u64>,
}

/// Of each strategy, by direction; and its last line.
fn told(output: &Output) -> (BTreeMap<(String, String), Fates>, Vec<Value>) {
    assert!(output.status.success(), "{output:?}");
    let mut fates: BTreeMap<(String, String), Fates> = BTreeMap::new();
    let mut summaries = Vec::new();
    for line in std::str::from_utf8(&output.stdout).expect("UTF-8").lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let way = (text("strategy"), text("way"));
        match &*text("event") {
            "sent" => fates.entry(way).or_default().sent += 1,
            "dropped" => {
                let packet = event["packet"].as_u64().expect("a number");
                fates.entry(way).or_default().lost.insert(packet);
            }
            "summary" => summaries.push(event),
            _ => {}
        }
    }
    (fates, summaries)
}

#[test]
fn every_strategy_meets_the_fates_of_virtual_time_with_a_peer_elsewhere() {
    let directory = scenario(LOSSY);
    let (alone, _) = told(&run(directory.path(), &["--json"]));
    let peer = Peer::start();
    let address = peer.address.to_string();
    let (live, summaries) = told(&run(directory.path(), &["--json", "--live", &address]));
    assert_eq!(summaries.len(), 6);
    for summary in &summaries {
        assert_eq!(summary["live"], *address, "{summary}");
        assert_eq!(summary["delivered"], MESSAGES, "{summary}");
    }
    assert_eq!(live.len(), 12, "both directions of six strategies");
    for (name, live) in &live {
        let alone = &alone[name];
        let both = live.sent.min(alone.sent);
        let [here, there] = [live, alone].map(|it| it.lost.range(..both).collect::<Vec<_>>());
        assert_eq!(here, there, "{name:?}");
        // Ours puts what has waited into one packet, and who answers may answer rarely; each of the
        // others sends a packet for each message at least.
        let is_long = name.1 == "out" && name.0 != "ours";
        assert!(!is_long || both >= MESSAGES && !here.is_empty(), "{name:?}: {both}");
    }
    let (other, _) = told(&run(
        directory.path(),
        &["--json", "--live", &address, "--seed", "8", "--strategy", "stop-and-wait"],
    ));
    let way = ("stop-and-wait".to_owned(), "out".to_owned());
    let first = |fates: &Fates| fates.lost.range(..MESSAGES).copied().collect::<Vec<_>>();
    assert_ne!(first(&other[&way]), first(&live[&way]), "another seed");
    let summary = peer.end();
    assert_eq!((&summary["runs"], &summary["refused"]), (&7.into(), &0.into()));
    assert!(summary["packets"].as_u64().expect("a number") > 7 * MESSAGES / 2);
}

#[test]
fn figures_report_and_traces_say_that_the_receiver_was_elsewhere() {
    let directory = scenario(&format!("{LOSSY}expect = ['delivered = 100%', 'max < 1us']\n"));
    let peer = Peer::start();
    let live = format!("udp:{}", peer.address);
    let options = ["--strategy", "ours", "--strategy", "tcp", "--assert", "--trace", "traces"];
    let arguments = [&options[..], &["--report", "it.html", "--live", &live]].concat();
    let output = run(directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(1), "it takes longer than a microsecond");
    let figures = String::from_utf8(output.stdout).expect("UTF-8");
    let how = format!("(seed 7, live: receiver at {}, real times)", peer.address);
    assert!(figures.lines().next().is_some_and(|line| line.ends_with(&how)), "{figures}");
    let page = fs::read_to_string(directory.path().join("it.html")).expect("written");
    assert!(page.contains(&format!("The receiver was at {}", peer.address)));
    assert!(page.contains(&format!("--live {live}")), "the command that does the same");
    let names = fs::read_dir(directory.path().join("traces")).expect("made");
    let names: BTreeSet<_> =
        names.map(|it| it.expect("readable").file_name().into_string().expect("UTF-8")).collect();
    // The receiver's end of ours is not here.
    let expected = ["ours.client.sqlog", "ours.pcapng", "tcp.sqlog"];
    assert_eq!(names, expected.map(str::to_owned).into());
    assert_eq!(peer.end()["runs"], 2);
}

#[test]
fn where_no_peer_is_it_says_how_to_start_one() {
    let directory = scenario(LOSSY);
    let socket = UdpSocket::bind(LOOPBACK).expect("a free port");
    let address = socket.local_addr().expect("it has one").to_string();
    let help = format!("help: on that host: chat-client lab peer --listen udp:{address}");
    // Somebody who never answers.
    let said = refused(directory.path(), &["--live", &address], UNREACHABLE);
    assert!(said.contains("nobody answers") && said.contains(&help), "{said}");
    // Somebody who speaks something else: what was said comes back. It ends with this test.
    let echo = socket.try_clone().expect("a handle");
    thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while let Ok((bytes, from)) = echo.recv_from(&mut buffer) {
            if echo.send_to(&buffer[..bytes], from).is_err() {
                break;
            }
        }
    });
    let said = refused(directory.path(), &["--live", &address], UNREACHABLE);
    assert!(said.contains("nobody answers") && said.contains(&help), "{said}");
    // Nobody at all: the system says so.
    let nobody = UdpSocket::bind(LOOPBACK).and_then(|it| it.local_addr()).expect("a free port");
    let said = refused(directory.path(), &["--live", &nobody.to_string()], UNREACHABLE);
    assert!(said.contains("lab peer --listen"), "{said}");
}

#[test]
fn what_cannot_be_done_live_is_refused_with_the_reason() {
    let directory = scenario(&LOSSY.replace("'300s'", "'1000s'"));
    let said = refused(directory.path(), &["--live", "127.0.0.1:9"], 2);
    assert!(said.contains("may last 1000s") && said.contains("longer than 900s"), "{said}");
    let said = refused(directory.path(), &["--live", "somewhere"], 1);
    assert!(said.contains("write HOST:PORT"), "{said}");
}

#[test]
fn a_peer_that_is_killed_ends_the_run() {
    let directory = scenario(LONG);
    let mut peer = Peer::start();
    let mut command = CommandBuilder::new(Chat::binary().expect("the client is built"));
    command.args(["lab", "run", "it.toml", "--live", &peer.address.to_string()]);
    command.cwd(directory.path());
    command.env("CHAT_HOME", directory.path());
    let mut run = Pty::start(command, Size { columns: 100, rows: 24 }).expect("a terminal");
    run.wait_for("of 60000 messages");
    peer.program.0.kill().expect("it runs");
    assert_eq!(run.wait_for_exit(), UNREACHABLE.unsigned_abs());
    run.wait_for("error: the laboratory has no receiver at");
}

#[test]
fn a_stranger_gets_less_than_it_sent() {
    let peer = Peer::start();
    let stranger = UdpSocket::bind(LOOPBACK).expect("a free port");
    stranger.connect(peer.address).expect("it has an address");
    let said = |kind: u8, name: u8, bytes: usize| {
        // Stop-and-wait, one conversation, messages of 100 bytes.
        let mut said = [&[kind][..], &[name; 8], &[0, 1, 0, 100, 0, 0, 0, 0]].concat();
        said.resize(bytes - 8, 0);
        [&b"LAB1"[..], &sha256(&[&said])[..4], &said].concat()
    };
    // An ask that is too short, packets and looks of a run that nobody began, bytes without sense.
    for datagram in [said(0, 1, 127), said(5, 1, 100), said(7, 1, 100), vec![0xff; 1_000]] {
        stranger.send(&datagram).expect("it is sent");
    }
    stranger.send(&said(0, 2, 128)).expect("it is sent");
    let mut answer = [0; 2_048];
    // Order is kept on loopback: the first answer is the only one.
    let bytes = stranger.recv(&mut answer).expect("a cookie");
    assert_eq!((answer[8], answer[9]), (1, 2), "a cookie for the second");
    assert!(bytes < 128, "{bytes}");
    assert_eq!(peer.end()["runs"], 0);
}
