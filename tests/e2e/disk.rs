//! A disk that is full, or turns read-only, under a running relay: refusals that say why and when
//! to come back, reading goes on, nothing is lost, and no restart is needed.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use harness::{
    client::Client,
    identity::Identity,
    process::{RelayOptions, RelayProcess, relay_binary},
};
use protocol::{
    entropy::Entropy,
    ids::ConversationId,
    message::{
        ClientMessage, RelayMessage,
        refusal::{Refusal, RefusalCode},
        session::{Accepted, Rejected},
    },
};
use rustix::process::{Pid, Signal, kill_process};

use crate::single::{WITHIN, connect, message, read_from_start, runtime};

/// Room for the databases and their logs, and not much more.
const DISK_MIB: u32 = 24;

/// A script that mounts a small disk on `data_dir`, visible to the relay alone, and becomes it.
fn on_small_disk(directory: &Path, data_dir: &Path) -> PathBuf {
    let script = directory.join("small-disk");
    let text = format!(
        "#!/bin/sh\nexec unshare --mount sh -c 'mount -t tmpfs -o size={DISK_MIB}m none \"{}\" && exec \"{}\" \"$@\"' relay \"$@\"\n",
        data_dir.display(),
        relay_binary().expect("built").display(),
    );
    fs::write(&script, text).expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("executable");
    script
}

/// What came of one message.
#[derive(Debug)]
enum Decision {
    Accepted(Accepted),
    Refused(Refusal),
}

async fn offer(
    client: &mut Client,
    identity: &Identity,
    room: ConversationId,
    counter: u64,
) -> Decision {
    client.queue(&ClientMessage::Send(message(identity, room, counter))).expect("live");
    client.flush().await.expect("live");
    let decision = client.wait_for(|message| match message {
        RelayMessage::Accepted(accepted) => Some(Decision::Accepted(accepted)),
        RelayMessage::Rejected(Rejected { refusal, .. }) => Some(Decision::Refused(refusal)),
        _ => None,
    });
    tokio::time::timeout(WITHIN, decision).await.expect("an answer in time").expect("live")
}

/// Offers until the relay takes it, coming back when it says so.
async fn offer_until_taken(
    client: &mut Client,
    identity: &Identity,
    room: ConversationId,
    counter: u64,
) -> Accepted {
    let taken = async {
        loop {
            match offer(client, identity, room, counter).await {
                Decision::Accepted(accepted) => return accepted,
                Decision::Refused(refusal) => {
                    let after = refusal.retry_after().expect("a full disk is not final");
                    tokio::time::sleep(after).await;
                }
            }
        }
    };
    tokio::time::timeout(WITHIN, taken).await.expect("the relay recovers by itself")
}

/// Reads the room from the beginning on a new connection.
async fn read_all(relay: &RelayProcess, reader: &Identity, room: ConversationId) -> u64 {
    let mut client = connect(relay.endpoint(), reader).await;
    let (_, conversations) = client.attach(reader.attach()).await.expect("attaches");
    let head = conversations.iter().find(|info| info.id == room).expect("a member").head;
    read_from_start(&mut client, room, head).await.len() as u64
}

#[test]
fn a_full_disk_slows_people_down_and_loses_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data_dir = directory.path().join("data");
    fs::create_dir(&data_dir).expect("a directory");
    let script = on_small_disk(directory.path(), &data_dir);
    let relay = RelayProcess::start(&RelayOptions::new(script, &data_dir)).expect("starts");
    // The relay's own view of its disk.
    let inside = PathBuf::from(format!("/proc/{}/root{}", relay.pid(), data_dir.display()));
    let ada = Identity::generate("ada", &mut Entropy::system());
    let bob = Identity::generate("bob", &mut Entropy::system());
    runtime().block_on(async {
        connect(relay.endpoint(), &bob).await.attach(bob.register()).await.expect("registers");
        let mut client = connect(relay.endpoint(), &ada).await;
        client.attach(ada.register()).await.expect("registers");
        let room = client.join("lobby").await.expect("joins").id;
        let mut counter = 1;
        offer_until_taken(&mut client, &ada, room, counter).await;

        let filler = inside.join("filler");
        // The write fails when the disk is full: that is the point.
        let _ = fs::write(&filler, vec![7; (DISK_MIB as usize) << 20]);
        let refusal = loop {
            counter += 1;
            match offer(&mut client, &ada, room, counter).await {
                Decision::Accepted(_) => {}
                Decision::Refused(refusal) => break refusal,
            }
        };
        assert_eq!(refusal.code, RefusalCode::STORE_FULL, "{refusal}");
        assert!(refusal.retry_after().is_some(), "a full disk is never final");
        assert!(read_all(&relay, &bob, room).await >= counter - 1, "reading goes on");

        fs::remove_file(&filler).expect("the filler goes");
        let after = offer_until_taken(&mut client, &ada, room, counter).await;
        let next = offer_until_taken(&mut client, &ada, room, counter + 1).await;
        assert_eq!(next.seq, after.seq.next(), "order is kept");
        assert_eq!(read_all(&relay, &bob, room).await, next.seq.0, "nothing is lost");
    });
}

/// Makes every write of a process to files below a directory fail with this error, until dropped.
struct Broken(Child);

impl Broken {
    fn new(pid: u32, data_dir: &Path, error: &str) -> Self {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-p", &pid.to_string(), "-o", "/dev/null"]);
        for name in ["journal.db", "journal.db-wal", "tables.db", "tables.db-wal"] {
            strace.arg("-P").arg(data_dir.join(name));
        }
        let calls = "pwrite64,write,ftruncate,fallocate";
        strace.args(["-e", &format!("trace={calls}")]);
        strace.args(["-e", &format!("inject={calls}:error={error}")]);
        let mut child = strace.stderr(Stdio::piped()).spawn().expect("strace is installed");
        let mut line = String::new();
        let stderr = child.stderr.as_mut().expect("stderr is piped");
        BufReader::new(stderr).read_line(&mut line).expect("strace says that it is attached");
        assert!(line.contains("attached"), "{line}");
        Self(child)
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        // A clean end detaches from the relay; both fail only if strace is gone already.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn a_disk_that_turns_read_only_is_told_and_recovered_from() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = RelayOptions::new(relay_binary().expect("built"), directory.path());
    let relay = RelayProcess::start(&options).expect("starts");
    let ada = Identity::generate("ada", &mut Entropy::system());
    runtime().block_on(async {
        let mut client = connect(relay.endpoint(), &ada).await;
        client.attach(ada.register()).await.expect("registers");
        let room = client.join("lobby").await.expect("joins").id;
        let before = offer_until_taken(&mut client, &ada, room, 1).await;

        let broken = Broken::new(relay.pid(), directory.path(), "EROFS");
        let Decision::Refused(refusal) = offer(&mut client, &ada, room, 2).await else {
            panic!("accepted without a disk to write to");
        };
        assert_eq!(refusal.code, RefusalCode::STORE_FULL, "{refusal}");
        assert!(refusal.retry_after().is_some(), "it is never final");
        assert_eq!(read_all(&relay, &ada, room).await, before.seq.0, "reading goes on");
        drop(broken);

        // Reading took the session over; the writer comes back.
        let mut client = connect(relay.endpoint(), &ada).await;
        client.attach(ada.attach()).await.expect("attaches");
        let after = offer_until_taken(&mut client, &ada, room, 2).await;
        assert_eq!(after.seq, before.seq.next(), "nothing was written in between");
    });
}
