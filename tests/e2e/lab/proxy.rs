//! `lab proxy` between programs that are not ours: socat answers, and what it answers has crossed the
//! faults on both ways. Times are bounded from below and counts by chance, so that a slow machine
//! changes nothing.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use harness::{chat::Chat, lines::Lines, pty::Pty, screen::Size};
use portable_pty::CommandBuilder;
use rustix::process::{Pid, Signal, kill_process};

use super::Program;

/// What anything here has to happen within, on a slow machine too.
const WITHIN: Duration = Duration::from_secs(60);
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A port on which nobody listens just now.
fn free_port(carrier: &str) -> u16 {
    let address = match carrier {
        "tcp" => TcpListener::bind(LOOPBACK).and_then(|it| it.local_addr()),
        _ => UdpSocket::bind(LOOPBACK).and_then(|it| it.local_addr()),
    };
    address.expect("a free port").port()
}

/// A program that sends back what it gets, and its address once it listens.
fn echo(carrier: &str) -> (Program, SocketAddr) {
    let port = free_port(carrier);
    let listen = match carrier {
        "tcp" => format!("TCP4-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"),
        _ => format!("UDP4-LISTEN:{port},bind=127.0.0.1"),
    };
    let mut socat = Command::new("socat");
    let child = socat.args(["-d", "-d", &listen, "PIPE"]).stderr(Stdio::piped()).spawn();
    let mut program = Program(child.expect("socat is installed (tests/run does it)"));
    let words = Lines::of(program.0.stderr.take().expect("it is piped"));
    words.wait_for("listening on", |line| line.contains("listening on"));
    (program, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// A running proxy.
struct Proxy {
    program: Program,
    lines: Lines,
    address: SocketAddr,
}

impl Proxy {
    fn start(carrier: &str, to: SocketAddr, arguments: &[&str]) -> Self {
        let mut command = Command::new(Chat::binary().expect("built"));
        command.args(["lab", "proxy", "--json", "--to", &to.to_string()]);
        command.args(["--listen", &format!("{carrier}:127.0.0.1:0")]).args(arguments);
        let child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut program = Program(child);
        let lines = Lines::of(program.0.stdout.take().expect("it is piped"));
        let first = lines.wait_for("listening", |line| line.contains("\"event\":\"listening\""));
        let first: serde_json::Value = serde_json::from_str(&first).expect("JSON");
        let address = first["address"].as_str().and_then(|it| it.parse().ok()).expect("an address");
        Self { program, lines, address }
    }

    /// Ends it as Ctrl-C does; what it says last.
    fn end(mut self) -> serde_json::Value {
        kill_process(Pid::from_child(&self.program.0), Signal::INT).expect("it runs");
        assert_eq!(self.program.0.wait().expect("it was started").code(), Some(130));
        let last = self.lines.wait_for("summary", |line| line.contains("\"event\":\"summary\""));
        serde_json::from_str(&last).expect("JSON")
    }
}

/// Sends numbered datagrams until at least the `count`-th is answered; which of those before were.
///
/// Order is kept, so what has no answer when a later one has will never have one: no time decides.
fn answered(socket: &UdpSocket, count: u32) -> BTreeSet<u32> {
    const UNANSWERED_MAX: u32 = 16;
    const PATIENCE: Duration = Duration::from_millis(200);
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let deadline = Instant::now() + WITHIN;
    let (mut next, mut answered) = (0, BTreeSet::new());
    let mut buffer = vec![0; 65_535];
    loop {
        assert!(Instant::now() < deadline, "{} answers of {next}", answered.len());
        let newest = answered.last().map_or(0, |newest| newest + 1);
        if newest >= count {
            answered.retain(|number| *number < count);
            return answered;
        }
        let is_ahead = next - newest >= UNANSWERED_MAX;
        let received = if is_ahead { socket.recv(&mut buffer).ok() } else { None };
        if let Some(bytes) = received {
            // socat may join what waits in its pipe.
            let text = std::str::from_utf8(&buffer[..bytes]).expect("what was sent");
            answered.extend(text.lines().map(|line| line.parse::<u32>().expect("a number")));
        } else {
            // There is room for one more, or no answer came in a while.
            socket.send(format!("{next}\n").as_bytes()).expect("it is sent");
            next += 1;
        }
    }
}

fn client_of(proxy: &Proxy) -> UdpSocket {
    let socket = UdpSocket::bind(LOOPBACK).expect("a free port");
    socket.connect(proxy.address).expect("it has an address");
    socket
}

/// Four standard deviations around the mean of `count` trials at `percent`.
fn likely(count: u64, percent: u64) -> std::ops::RangeInclusive<u64> {
    let mean = count * percent / 100;
    let variance = mean * (100 - percent) / 100;
    let off = 4 * (variance.isqrt() + 1);
    mean.saturating_sub(off)..=mean + off
}

#[test]
fn a_share_of_datagrams_is_lost_and_the_same_ones_under_the_same_seed() {
    const COUNT: u32 = 1_000;
    let run = |seed: &str| {
        let (_echo, to) = echo("udp");
        let proxy = Proxy::start(
            "udp",
            to,
            &["--fault", "loss 20%", "--back", "loss none", "--seed", seed],
        );
        let answered = answered(&client_of(&proxy), COUNT);
        (answered, proxy.end())
    };
    let (first, summary) = run("7");
    let lost = u64::from(COUNT) - first.len() as u64;
    assert!(likely(COUNT.into(), 20).contains(&lost), "{lost} of {COUNT}");
    let count = |name: &str| summary["out"][name].as_u64().expect("a number");
    assert_eq!(count("passed") + count("lost"), count("datagrams"));
    assert!(count("lost") >= lost && likely(count("datagrams"), 20).contains(&count("lost")));
    assert_eq!(summary["back"]["lost"], 0);
    assert_eq!(run("7").0, first);
    assert_ne!(run("8").0, first);
}

#[test]
fn a_datagram_takes_as_long_as_was_asked_for_and_one_without_delay_passes() {
    let (_echo, to) = echo("udp");
    let proxy = Proxy::start("udp", to, &["--fault", "delay 30ms", "--back", "delay 45ms"]);
    let socket = client_of(&proxy);
    socket.set_read_timeout(Some(WITHIN)).expect("a timeout");
    for number in 0..10 {
        let begun = Instant::now();
        socket.send(&[number]).expect("it is sent");
        let mut answer = [0; 10];
        assert_eq!((socket.recv(&mut answer).expect("an answer"), answer[0]), (1, number));
        assert!(begun.elapsed() >= Duration::from_millis(75), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_port_where_nobody_listens_and_the_largest_datagram_do_not_end_the_proxy() {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port("udp")));
    let proxy = Proxy::start("udp", nobody, &["--fault", "mtu 1300"]);
    let socket = client_of(&proxy);
    for _ in 0..3 {
        socket.send(&vec![0; 65_507]).expect("the largest there is");
        socket.send(b"anybody?").expect("it is sent");
    }
    // Once a second: the news that nobody listens has come, and it goes on.
    proxy.lines.wait_for("refused", |line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line["out"]["refused"].as_u64().is_some_and(|count| count > 0)
            && line["out"]["datagrams"] == 6
    });
    let summary = proxy.end();
    assert_eq!((&summary["out"]["too_large"], &summary["peers_ever"]), (&3.into(), &1.into()));
}

#[test]
fn bytes_of_a_connection_come_late_and_whole_and_so_does_its_end() {
    let (_echo, to) = echo("tcp");
    let proxy = Proxy::start("tcp", to, &["--fault", "delay 50ms", "--fault", "jitter 5ms"]);
    let mut stream = TcpStream::connect(proxy.address).expect("it listens");
    stream.set_read_timeout(Some(WITHIN)).expect("a timeout");
    for number in 0..5_u8 {
        let begun = Instant::now();
        stream.write_all(&[number]).expect("it is sent");
        let mut answer = [0];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer, [number]);
        assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
    }
    let sent: Vec<u8> =
        (0..3_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let (mut writer, bytes) = (stream.try_clone().expect("a handle"), sent.clone());
    // Ends when everything is written; the other half stays open for the answer.
    let sending = std::thread::spawn(move || {
        writer.write_all(&bytes)?;
        writer.shutdown(Shutdown::Write)
    });
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("all of it, and its end");
    sending.join().expect("no panic").expect("written");
    assert!(answer == sent, "{} of {} bytes", answer.len(), sent.len());
}

#[test]
fn a_rate_is_kept() {
    let (_echo, to) = echo("tcp");
    // 100,000 bytes in a second, towards the program.
    let limits = ["--fault", "rate 800kbit", "--fault", "queue 10kB", "--back", "rate none"];
    let proxy = Proxy::start("tcp", to, &limits);
    let mut stream = TcpStream::connect(proxy.address).expect("it listens");
    let begun = Instant::now();
    stream.write_all(&vec![7; 60_000]).expect("the system holds as much");
    let mut answer = vec![0; 60_000];
    stream.read_exact(&mut answer).expect("all of it");
    assert!(begun.elapsed() >= Duration::from_millis(590), "{:?}", begun.elapsed());
}

#[test]
fn a_connection_is_cut_when_it_was_asked_for() {
    let (_echo, to) = echo("tcp");
    let proxy = Proxy::start("tcp", to, &["--cut", "1s"]);
    let mut stream = TcpStream::connect(proxy.address).expect("it listens");
    stream.set_read_timeout(Some(WITHIN)).expect("a timeout");
    stream.write_all(b"x").expect("it is sent");
    let mut answer = [0];
    stream.read_exact(&mut answer).expect("an answer");
    let error = stream.read(&mut answer).expect_err("it is reset, not ended");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(proxy.end()["cut"], 1);
}

#[test]
fn what_cannot_be_done_is_refused_with_what_can() {
    let refused = |arguments: &[&str]| {
        let mut command = Command::new(Chat::binary().expect("built"));
        command.args(["lab", "proxy", "--to", "127.0.0.1:9"]).args(arguments);
        let output = command.output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    let tcp = ["--listen", "tcp:127.0.0.1:0"];
    let loss = refused(&[&tcp[..], &["--fault", "loss 5%"]].concat());
    assert!(loss.contains("loss cannot be made on TCP") && loss.contains("netem"), "{loss}");
    let profile = refused(&[&tcp[..], &["--profile", "3g"]].concat());
    assert!(profile.contains("loss cannot be made on TCP"), "{profile}");
    let udp = ["--listen", "udp:127.0.0.1:0"];
    let cut = refused(&[&udp[..], &["--cut", "1s"]].concat());
    assert!(cut.contains("--fault 'blackout 3s..5s'"), "{cut}");
    let words = refused(&[&udp[..], &["--fault", "loss 5"]].concat());
    assert!(words.contains("write 5%"), "{words}");
    assert!(refused(&["--listen", "127.0.0.1:0"]).contains("write udp:127.0.0.1:4000"));
}

#[test]
fn in_a_terminal_keys_change_what_is_done_and_every_end_gives_the_terminal_back() {
    let (_echo, to) = echo("udp");
    let start = || {
        let mut command = CommandBuilder::new(Chat::binary().expect("built"));
        let listen = ["lab", "proxy", "--listen", "udp:127.0.0.1:0", "--to"];
        command.args(listen);
        command.arg(to.to_string());
        command.env("TERM", "xterm-256color");
        let pty = Pty::start(command, Size { columns: 80, rows: 24 }).expect("a terminal");
        pty.wait_for("+ - loss 1 %");
        pty
    };
    let mut pty = start();
    pty.type_keys("++dd");
    pty.wait_for("back  delay 20ms, loss 2%");
    pty.type_keys("-D");
    pty.wait_for("out   delay 10ms, loss 1%");
    pty.type_keys("b");
    pty.wait_for("nothing passes: b ends the blackout");
    let mut port = None;
    pty.wait_until("its port", |screen| {
        let row = screen.row("udp 127.0.0.1:");
        let text = row.and_then(|row| row.split([':', ' ']).nth(2).map(str::to_owned));
        port = text.and_then(|text| text.parse::<u16>().ok());
        port.is_some()
    });
    let socket = UdpSocket::bind(LOOPBACK).expect("a free port");
    let proxy = SocketAddr::from((Ipv4Addr::LOCALHOST, port.expect("a port")));
    socket.send_to(b"lost", proxy).expect("it is sent");
    pty.wait_until("a datagram lost in the dark", |screen| {
        screen.row("blackout  ").is_some_and(|row| row.split_whitespace().nth(1) == Some("1"))
    });
    pty.type_keys("bo");
    pty.wait_for("all faults are off: o switches them on");
    pty.type_keys("r");
    pty.wait_until("counters from zero", |screen| {
        screen.row("blackout  ").is_some_and(|row| row.split_whitespace().nth(1) == Some("0"))
    });
    pty.type_keys("q");
    pty.wait_for_end();
    assert!(pty.is_restored() && pty.has_modes_as_before());
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut pty = start();
        pty.signal(signal).expect("it runs");
        assert_eq!(pty.wait_for_exit(), code);
        assert!(pty.is_restored() && pty.has_modes_as_before(), "{signal:?}");
    }
}
