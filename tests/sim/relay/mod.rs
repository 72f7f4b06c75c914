//! The relay: the real hub, sessions, tails and endpoint, on a disk that survives; driven as a shard,
//! the committer and a reader would.

mod dispatch;
mod door;
mod ends;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use chat_server::{
    hub::{AgeLook, Hub, HubConfig, Input, Output, Rate, SessionId, op::Op},
    session::Read,
    store::{
        Commit, Indexer, Progress, Reader, Store,
        memory::{Failure, MemoryDisk, MemoryStore, Snapshot},
    },
    tail::Tails,
};
use protocol::{
    channel::keys::StaticKey,
    connection::{Connection, ResponderConfig},
    entropy::Entropy,
    ids::{ConversationId, LogId, MessageId, RelayKey},
    time::{Timestamp, WallTime},
};

use self::{door::Door, ends::End};
use crate::{
    bugs::Bug,
    marks::{Mark, Marks},
    model::{Model, Violation},
    network::LinkId,
    paths::Place,
    schedule::RelayPlan,
};

/// A connection that has been silent this long is given up, as the shard does it.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// How long a goodbye may take to leave.
const GOODBYE_TIME: Duration = Duration::from_secs(2);
/// Numbers of connections that the relay names itself: those over datagrams.
const ADOPTED_FROM: u64 = 1 << 32;

/// The relay's machine.
pub(crate) struct Relay {
    plan: RelayPlan,
    packets_per_key: u64,
    responder: Arc<ResponderConfig>,
    key: RelayKey,
    disk: MemoryDisk,
    running: Option<Running>,
    life: u64,
    /// How the disk's next commit goes wrong.
    failing: Option<Failure>,
    /// Messages whose commit survived a crash before anybody was told.
    unanswered: BTreeSet<MessageId>,
}

struct Running {
    hub: Hub,
    store: MemoryStore,
    reader: Box<dyn Reader>,
    indexer: Box<dyn Indexer>,
    tails: Tails,
    ends: BTreeMap<LinkId, End>,
    links: BTreeMap<SessionId, LinkId>,
    next_session: u64,
    door: Door,
    /// Connections over datagrams so far.
    adopted: u64,
    /// What was sent to those that were closed meanwhile.
    goodbyes: Vec<(Place, Vec<u8>)>,
    /// Runs of messages that were read from datagrams.
    runs_read: u64,
    commit: Option<Commit>,
    /// With the bug of answering early: commits answered and not written.
    unwritten: Vec<Commit>,
    /// Who follows what.
    followers: BTreeMap<ConversationId, BTreeSet<SessionId>>,
    reads: VecDeque<(SessionId, Read)>,
    /// The logs whose ages a reader is looking at.
    look: Option<AgeLook>,
    is_reloading: bool,
}

/// What a pump brought.
#[derive(Debug, Default)]
pub(crate) struct Pumped {
    pub(crate) writes: Vec<(LinkId, Vec<u8>)>,
    pub(crate) datagrams: Vec<(Place, Vec<u8>)>,
    pub(crate) closes: Vec<LinkId>,
    pub(crate) commits: bool,
    pub(crate) reads: usize,
    pub(crate) looks: bool,
    pub(crate) reloads: bool,
}

impl Relay {
    pub(crate) fn new(plan: &RelayPlan, packets_per_key: u64, entropy: &mut Entropy) -> Self {
        let static_key = StaticKey::generate(entropy);
        let key = RelayKey(*static_key.public());
        let responder = Arc::new(ResponderConfig::new(Arc::new(static_key), "relay".to_owned()));
        Self {
            plan: *plan,
            packets_per_key,
            responder,
            key,
            disk: MemoryDisk::new(),
            running: None,
            life: 0,
            failing: None,
            unanswered: BTreeSet::new(),
        }
    }

    pub(crate) const fn key(&self) -> RelayKey {
        self.key
    }

    pub(crate) const fn life(&self) -> u64 {
        self.life
    }

    pub(crate) const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// True if no disk access is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.as_ref().is_some_and(|running| {
            running.commit.is_none() && running.reads.is_empty() && !running.is_reloading
        })
    }

    pub(crate) fn start(&mut self, seed: u64, bug: Option<Bug>) {
        let mut store = self.disk.open();
        let mut loaded = store.load().expect("a memory disk loads");
        if bug == Some(Bug::DedupeForgotten) {
            for conversation in loaded.state.conversations.values_mut() {
                conversation.senders.clear();
            }
        }
        let mut config = HubConfig::new(vec![self.key], [7; 32]);
        config.limits.messages = Rate {
            per_second: self.plan.messages_per_second,
            burst: self.plan.messages_per_second,
        };
        config.retention.records_max = self.plan.records_max;
        config.retention.age_max = self.plan.age_max;
        self.life += 1;
        self.running = Some(Running {
            hub: Hub::new(config, loaded, Entropy::seeded_for_simulation(seed)),
            reader: store.reader().expect("a memory disk reads"),
            indexer: store.indexer().expect("a memory disk indexes"),
            store,
            tails: Tails::new(self.plan.tail_bytes),
            ends: BTreeMap::new(),
            links: BTreeMap::new(),
            next_session: 1,
            door: Door::new(&self.responder, seed, self.packets_per_key, bug),
            adopted: 0,
            goodbyes: Vec::new(),
            runs_read: 0,
            commit: None,
            unwritten: Vec::new(),
            followers: BTreeMap::new(),
            reads: VecDeque::new(),
            look: None,
            is_reloading: false,
        });
    }

    pub(crate) fn accept(&mut self, now: Timestamp, link: LinkId, entropy: &mut Entropy) {
        if let Some(running) = &mut self.running {
            let connection = Connection::responder(Arc::clone(&self.responder), entropy);
            running.ends.insert(link, End::over_stream(now, connection));
        }
    }

    /// Takes bytes of a stream.
    pub(crate) fn receive(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        link: LinkId,
        bytes: &[u8],
        bug: Option<Bug>,
    ) -> Result<(), Violation> {
        let Some(running) = &mut self.running else { return Ok(()) };
        running.receive(now, wall, link, bytes, bug).map_err(|error| dishonest(&error))
    }

    /// Takes a datagram: where the device was whose session it has ended, if it did.
    pub(crate) fn receive_datagram(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        from: Place,
        datagram: &mut [u8],
        bug: Option<Bug>,
    ) -> Result<Option<Place>, Violation> {
        let Some(running) = &mut self.running else { return Ok(None) };
        let outcome = running.receive_datagram(now, wall, from, datagram, bug);
        outcome.map_err(|error| dishonest(&error))
    }

    /// Answers some of the handshakes that wait; true if more do.
    pub(crate) fn answer_handshakes(&mut self, now: Timestamp, life: u64) -> bool {
        let running = self.running.as_mut().filter(|_| self.life == life);
        running.is_some_and(|running| running.door.answer_handshakes(now))
    }

    /// True if handshakes over datagrams wait for an answer.
    pub(crate) fn is_knocked_at(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.door.is_knocked_at())
    }

    /// True if it has a session whose device is at this place.
    pub(crate) fn is_at(&self, place: Place) -> bool {
        self.running.as_ref().is_some_and(|running| running.door.is_at(place))
    }

    pub(crate) fn closed(&mut self, now: Timestamp, wall: WallTime, link: LinkId) {
        if let Some(running) = &mut self.running {
            running.closed(now, wall, link);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let running = self.running.as_ref()?;
        let silence = running.ends.values().map(|end| end.heard + SILENCE_MAX).min();
        let goodbye = running.ends.values().filter_map(|end| end.leaves_by).min();
        let deadlines = [running.hub.poll_timeout(), running.door.poll_timeout(), silence, goodbye];
        deadlines.into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Timestamp, wall: WallTime) {
        if let Some(running) = &mut self.running {
            running.hub.handle_timeout(now, wall);
            running.door.handle_timeouts(now);
        }
    }

    // ---- disk ----

    /// Performs the commit in flight and tells the hub.
    pub(crate) fn commit_one(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        life: u64,
        model: &mut Model,
        marks: &mut Marks,
    ) -> Result<(), Violation> {
        if self.life != life {
            return Ok(());
        }
        let Some(running) = &mut self.running else { return Ok(()) };
        let Some(commit) = running.commit.take() else { return Ok(()) };
        let failing = self.failing.take();
        let outcome = running.store.commit(&commit);
        match (&outcome, failing) {
            (Ok(()), _) => model.on_committed(&commit.ops)?,
            (Err(_), Some(Failure::AmbiguousApplied)) => {
                marks.hit(Mark::AmbiguousButCommitted);
                model.on_committed(&commit.ops)?;
            }
            (Err(_), Some(Failure::AmbiguousLost)) => marks.hit(Mark::AmbiguousAndLost),
            (Err(_), Some(Failure::Full)) => marks.hit(Mark::DiskFullRecovered),
            (Err(_), None) => return Err(Violation("a commit failed for no reason".into())),
        }
        running.hub.handle_committed(now, wall, outcome);
        Ok(())
    }

    /// The commit in flight reaches the disk, and the relay dies before it can say so.
    pub(crate) fn commit_without_answer(&mut self, model: &mut Model) -> Result<(), Violation> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let Some(commit) = running.commit.take() else { return Ok(()) };
        if self.failing.is_none() && running.store.commit(&commit).is_ok() {
            model.on_committed(&commit.ops)?;
            for op in &commit.ops {
                if let Op::Appended(appended) = op {
                    self.unanswered.extend(appended.decisions.iter().map(|decision| MessageId {
                        device: decision.device,
                        counter: decision.counter,
                    }));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn read_one(&mut self, life: u64) {
        if self.life != life {
            return;
        }
        let Some(running) = &mut self.running else { return };
        let Some((id, read)) = running.reads.pop_front() else { return };
        let answer = read.perform(running.reader.as_mut());
        let Running { links, ends, tails, .. } = running;
        let end = links.get(&id).and_then(|link| ends.get_mut(link));
        if let Some((_, session)) = end.and_then(|end| end.session.as_mut()) {
            session.handle_read(read, answer, tails);
        }
    }

    /// A reader looks how old records are, and tells the hub.
    pub(crate) fn look_at_ages(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        life: u64,
        marks: &mut Marks,
    ) {
        if self.life != life {
            return;
        }
        let Some(running) = &mut self.running else { return };
        let Some(look) = running.look.take() else { return };
        let mut aged = Vec::new();
        look.perform(running.reader.as_mut(), &mut aged).expect("a memory disk reads");
        if !aged.is_empty() {
            marks.hit(Mark::AgedOut);
        }
        running.hub.handle_input(now, wall, Input::Aged { aged });
    }

    pub(crate) fn reload(&mut self, now: Timestamp, life: u64) {
        if self.life != life {
            return;
        }
        let Some(running) = &mut self.running else { return };
        running.is_reloading = false;
        let loaded = running.store.load().expect("a memory disk loads");
        running.hub.handle_reloaded(now, loaded);
    }

    /// Moves some rows into tables; false once the relay this was for is gone.
    pub(crate) fn index(&mut self, life: u64) -> bool {
        if self.life != life {
            return false;
        }
        let Some(running) = &mut self.running else { return false };
        let progress = running.indexer.step().expect("a memory disk indexes");
        matches!(progress, Progress::More | Progress::Idle)
    }

    pub(crate) fn fail_next(&mut self, failure: Failure) {
        self.failing = Some(failure);
        self.disk.fail_next(failure);
    }

    pub(crate) fn copy(&self) -> Snapshot {
        self.disk.snapshot()
    }

    pub(crate) fn restore(&mut self, copy: &Snapshot, log_id: LogId) {
        self.disk.restore(copy, log_id);
        self.failing = None;
        self.unanswered.clear();
    }

    pub(crate) fn crash(&mut self) {
        self.running = None;
    }

    // ---- outputs ----

    pub(crate) fn pump(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        bug: Option<Bug>,
        model: &mut Model,
        marks: &mut Marks,
    ) -> Result<Pumped, Violation> {
        let mut pumped = Pumped::default();
        let Some(running) = &mut self.running else { return Ok(pumped) };
        running.give_up_the_silent(now, wall, marks, &mut pumped);
        loop {
            while let Some(output) = running.hub.poll_output() {
                pumped.looks |= matches!(output, Output::LookAtAges(_));
                running.dispatch(output, bug, &mut self.unanswered, model, marks);
            }
            let Some(commit) = running.hub.poll_commit() else { break };
            match bug {
                Some(Bug::AckBeforeDurable) if self.failing.is_none() => {
                    running.unwritten.push(commit);
                    if running.unwritten.len() > 2 {
                        for commit in running.unwritten.drain(..) {
                            model.on_committed(&commit.ops)?;
                            // The bug's own store keeps its order.
                            let _ = running.store.commit(&commit);
                        }
                    }
                    running.hub.handle_committed(now, wall, Ok(()));
                }
                Some(Bug::AmbiguousTakenForDone)
                    if self.failing == Some(Failure::AmbiguousLost) =>
                {
                    self.failing = None;
                    // It happened without its ops: the disk goes on, what was promised is lost.
                    self.disk.heal();
                    let empty = Commit { number: commit.number, ops: Vec::new() };
                    running.store.commit(&empty).expect("a healthy disk takes a commit");
                    running.hub.handle_committed(now, wall, Ok(()));
                }
                Some(_) | None => {
                    running.commit = Some(commit);
                    pumped.commits = true;
                    break;
                }
            }
        }
        if running.hub.poll_reload() && !running.is_reloading {
            running.is_reloading = true;
            pumped.reloads = true;
        }
        running.flush(now, marks, &mut pumped);
        running.door.flush(now, marks, &mut pumped.datagrams)?;
        pumped.datagrams.append(&mut running.goodbyes);
        Ok(pumped)
    }
}

/// Every client here is honest: who is taken for another was wronged.
fn dishonest(error: &str) -> Violation {
    Violation(format!("P3: an honest client is not: {error}"))
}
