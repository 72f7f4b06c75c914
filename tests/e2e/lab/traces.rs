//! Traces that other people's tools read: qlog against its published schema, pcapng in tshark.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use harness::{
    chat::Chat,
    client::RelayEndpoint,
    identity::Identity,
    process::{RelayOptions, RelayProcess, relay_binary},
};
use protocol::{entropy::Entropy, transport::TransportKind};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::LocalSet;

use crate::single::{connect, runtime};

const SCHEMA: &str =
    concat!(include_str!("qlog/ours.cddl"), "\n", include_str!("qlog/published.cddl"));

/// What a scenario left in a directory of its own.
struct Traced {
    directory: TempDir,
}

impl Traced {
    fn new(scenario: &str, more: &[&str]) -> Self {
        let directory = TempDir::new().expect("a directory");
        let status = Command::new(Chat::binary().expect("built"))
            .args(["lab", "run", scenario, "--trace"])
            .arg(directory.path())
            .args(more)
            .status();
        assert!(status.expect("started").success());
        Self { directory }
    }

    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.directory.path()).expect("a directory");
        files.map(|file| file.expect("a file").path()).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn records(&self, name: &str) -> Vec<Value> {
        records(&self.path(name))
    }
}

/// The records of a JSON text sequence.
fn records(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("text");
    let records = text.split('\u{1e}').skip(1);
    records.map(|record| serde_json::from_str(record).expect("JSON")).collect()
}

/// Holds a head and events against the schema.
fn check(head: &Value, events: &[&Value]) -> Result<(), String> {
    let whole = serde_json::json!({ "head": head, "events": events }).to_string();
    cddl::validate_json_from_str(SCHEMA, &whole, None).map_err(|error| error.to_string())
}

/// What an event looks like, whatever its figures are.
fn shape(event: &Value) -> String {
    let fields = |value: &Value| {
        let fields = value.as_object().map(|it| it.keys().cloned().collect::<Vec<_>>());
        fields.unwrap_or_default().join(" ")
    };
    let frames = event["data"]["frames"].as_array().map_or(&[][..], Vec::as_slice);
    let frames: Vec<String> = frames.iter().map(fields).collect();
    let trigger = &event["data"]["trigger"];
    format!("{} {trigger} {} {}", event["name"], fields(&event["data"]), frames.join(","))
}

#[test]
fn traces_follow_the_published_schema() {
    for more in [&[][..], &["--with-secrets"]] {
        let traced = Traced::new("burst", more);
        let mut names = Vec::new();
        for path in traced.files().iter().filter(|it| it.extension().is_some_and(|e| e == "sqlog"))
        {
            let records = records(path);
            let (head, events) = records.split_first().expect("a head");
            // Each kind of event once: the schema is slow.
            let kinds: BTreeMap<String, &Value> =
                events.iter().map(|event| (shape(event), event)).collect();
            let events: Vec<&Value> = kinds.into_values().collect();
            assert_eq!(check(head, &events), Ok(()), "{}", path.display());
            names.extend(
                events.iter().filter_map(|event| event["name"].as_str().map(str::to_owned)),
            );
        }
        for name in
            ["data_moved", "packet_sent", "packet_received", "packet_lost", "metrics_updated"]
        {
            assert!(names.iter().any(|it| it.ends_with(name)), "no {name} in {names:?}");
        }
    }
}

#[test]
fn the_schema_finds_what_is_wrong() {
    let traced = Traced::new("tail-loss", &["--strategy", "ours"]);
    let records = traced.records("ours.client.sqlog");
    let (head, events) = records.split_first().expect("a head");
    let mut event = events.iter().find(|it| it["name"] == "transport:packet_sent").cloned();
    let event = event.as_mut().expect("something was sent");
    assert_eq!(check(head, &[event]), Ok(()));
    event["data"]["header"]["packet_type"] = "2RTT".into();
    assert!(check(head, &[event]).is_err());
}

#[test]
fn nobody_else_may_read_a_trace_and_none_is_overwritten() {
    let traced = Traced::new("tail-loss", &["--strategy", "ours"]);
    let files = traced.files();
    assert_eq!(files.len(), 3);
    for file in files {
        let mode = fs::metadata(&file).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    let again = Command::new(Chat::binary().expect("built"))
        .args(["lab", "run", "tail-loss", "--strategy", "ours", "--trace"])
        .arg(traced.directory.path())
        .output()
        .expect("started");
    assert!(!again.status.success());
    let says = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(says.contains("ours.client.sqlog") && says.contains("exists"), "{says}");
}

/// Fields of each packet, as tshark reads them.
fn tshark(directory: &Path, file: &Path, fields: &[&str]) -> Vec<Vec<String>> {
    let dissector = directory.join("chat.lua");
    let printed = Command::new(Chat::binary().expect("built")).args(["lab", "dissector"]).output();
    fs::write(&dissector, printed.expect("started").stdout).expect("written");
    let output = Command::new("tshark")
        .arg("-X")
        .arg(format!("lua_script:{}", dissector.display()))
        .args(["-r".as_ref(), file.as_os_str()])
        .args(["-T", "fields"])
        .args(fields.iter().flat_map(|field| ["-e", field]))
        .output()
        .expect("tshark is installed");
    let says = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !says.contains("Error"), "{says}");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

#[test]
fn tshark_reads_every_packet_of_a_session() {
    let fields = [
        "chat.opened.direction",
        "chat.opened.number",
        "chat.opened.bytes",
        "chat.opened.reason",
        "chat.opened.stream.data",
        "chat.opened.malformed",
        "frame.comment",
    ];
    for (more, is_secret_told) in [(&[][..], false), (&["--with-secrets"], true)] {
        let traced = Traced::new("tail-loss", &[&["--strategy", "ours"], more].concat());
        let packets = tshark(traced.directory.path(), &traced.path("ours.pcapng"), &fields);
        let told: Vec<[String; 3]> = traced
            .records("ours.client.sqlog")
            .iter()
            .filter_map(|record| {
                let direction = match record["name"].as_str()? {
                    "transport:packet_sent" => "0",
                    "transport:packet_received" => "1",
                    _ => return None,
                };
                let data = &record["data"];
                let number = data["header"]["packet_number"].to_string();
                Some([direction.to_owned(), number, data["raw"]["length"].to_string()])
            })
            .collect();
        let read: Vec<[String; 3]> =
            packets.iter().map(|it| [it[0].clone(), it[1].clone(), it[2].clone()]).collect();
        assert_eq!(read, told, "both files tell the same");
        assert!(packets.iter().all(|packet| packet[5].is_empty()), "nothing is malformed");
        let again = packets.iter().filter(|packet| packet[3] == "4");
        assert!(again.clone().count() > 10, "tails were lost and sent again");
        assert!(again.clone().all(|packet| packet[6].contains("nothing was heard of it")));
        let is_zero = |packet: &Vec<String>| packet[4].chars().all(|digit| "0,".contains(digit));
        assert_eq!(packets.iter().any(|packet| !is_zero(packet)), is_secret_told);
    }
}

#[test]
fn tshark_names_the_packets_of_the_network() {
    let directory = TempDir::new().expect("a directory");
    let probe = [&[1][..], &[9; 1_199]].concat();
    let sealed = [&[6][..], &[7; 8], &[0, 0, 0, 0, 42], &[5; 40]].concat();
    let line = |packet: &[u8]| {
        let bytes: Vec<String> = packet.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("000000 {}\n", bytes.join(" "))
    };
    let dump = [line(&probe), line(&sealed)].concat();
    let (hex, file) = (directory.path().join("hex"), directory.path().join("wire.pcapng"));
    fs::write(&hex, dump).expect("written");
    let made = Command::new("text2pcap")
        .args(["-q", "-u", "50000,4545"])
        .args([&hex, &file])
        .output()
        .expect("text2pcap comes with tshark");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let fields = ["chat.kind", "chat.connection", "chat.number"];
    let packets = tshark(directory.path(), &file, &fields);
    assert_eq!(packets, [["1", "", ""], ["6", "0707070707070707", "42"]]);
}

#[test]
fn a_relay_traces_its_sessions() {
    let dir = TempDir::new().expect("a directory");
    let traces = dir.path().join("traces");
    let mut options = RelayOptions::new(relay_binary().expect("built"), dir.path().join("data"));
    options.arguments = vec!["--trace".to_owned(), traces.display().to_string()];
    let relay = RelayProcess::start(&options).expect("the relay starts");
    let endpoint = RelayEndpoint { transport: TransportKind::Datagram, ..relay.endpoint() };
    let identity = Identity::generate("traced".to_owned(), &mut Entropy::system());
    LocalSet::new().block_on(&runtime(), async {
        let mut client = connect(endpoint, &identity).await;
        client.attach(identity.register()).await.expect("is let in");
    });
    relay.terminate().expect("it stops");
    let files: Vec<PathBuf> =
        fs::read_dir(&traces).expect("traces").map(|it| it.expect("a file").path()).collect();
    let ends = |end: &str| files.iter().find(|path| path.extension().is_some_and(|it| it == end));
    let records = records(ends("sqlog").expect("qlog"));
    let (head, events) = records.split_first().expect("a head");
    assert_eq!(head["trace"]["vantage_point"]["type"], "server");
    let first = events.iter().find(|event| event["name"] == "transport:packet_received");
    assert_eq!(first.expect("one came")["data"]["header"]["packet_number"], 0);
    let kinds: BTreeMap<String, &Value> = events.iter().map(|it| (shape(it), it)).collect();
    assert_eq!(check(head, &kinds.into_values().collect::<Vec<_>>()), Ok(()));
    let fields = ["chat.opened.direction", "chat.opened.malformed", "chat.opened.stream.data"];
    let packets = tshark(dir.path(), ends("pcapng").expect("pcapng"), &fields);
    for direction in ["0", "1"] {
        assert!(packets.iter().any(|packet| packet[0] == direction), "{packets:?}");
    }
    let is_withheld = |data: &str| data.chars().all(|digit| "0,".contains(digit));
    assert!(packets.iter().all(|packet| packet[1].is_empty() && is_withheld(&packet[2])));
}
