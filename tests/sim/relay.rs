//! The relay: the real hub, sessions and tails, on a disk that survives; driven as a shard, the
//! committer and a reader would.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use chat_server::{
    hub::{
        AgeLook, Hub, HubConfig, Input, Output, Publication, Rate, SessionId, ToSession, op::Op,
    },
    session::{Read, Session, Subscription},
    store::{
        Commit, Indexer, Progress, Reader, Store,
        memory::{Failure, MemoryDisk, MemoryStore, Snapshot},
    },
    tail::Tails,
};
use protocol::{
    channel::keys::StaticKey,
    connection::{Connection, ReceivedKind, ResponderConfig},
    entropy::Entropy,
    ids::{ConversationId, DeviceId, LogId, MessageId, RelayKey},
    limits::BATCH_BYTES_TARGET,
    message::{
        ClientMessage, MessageReader, RelayMessage,
        refusal::RefusalCode,
        session::{Accepted, Rejected},
    },
    time::{Timestamp, WallTime},
};

use super::{
    bugs::Bug,
    marks::{Mark, Marks},
    model::{Model, Violation},
    network::LinkId,
    schedule::RelayPlan,
};

/// A connection that has been silent this long is given up, as the shard does it.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// The relay's machine.
pub(crate) struct Relay {
    plan: RelayPlan,
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

/// The relay's end of a connection.
struct End {
    connection: Connection,
    inbox: Vec<u8>,
    session: Option<(SessionId, Session)>,
    device: Option<DeviceId>,
    heard: Timestamp,
}

/// What a pump brought.
#[derive(Debug, Default)]
pub(crate) struct Pumped {
    pub(crate) writes: Vec<(LinkId, Vec<u8>)>,
    pub(crate) closes: Vec<LinkId>,
    pub(crate) commits: bool,
    pub(crate) reads: usize,
    pub(crate) looks: bool,
    pub(crate) reloads: bool,
}

impl Relay {
    pub(crate) fn new(plan: &RelayPlan, entropy: &mut Entropy) -> Self {
        let static_key = StaticKey::generate(entropy);
        let key = RelayKey(*static_key.public());
        let responder = Arc::new(ResponderConfig::new(Arc::new(static_key), "relay".to_owned()));
        Self {
            plan: *plan,
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
            let (inbox, session) = (Vec::new(), None);
            let end = End { connection, inbox, session, device: None, heard: now };
            running.ends.insert(link, end);
        }
    }

    /// Takes bytes of a connection. An error is a reason to close it.
    pub(crate) fn receive(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        link: LinkId,
        bytes: &[u8],
        bug: Option<Bug>,
    ) -> Result<(), String> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let outcome = running.receive(now, wall, link, bytes, bug);
        if outcome.is_err() {
            running.closed(now, wall, link);
        }
        outcome
    }

    pub(crate) fn closed(&mut self, now: Timestamp, wall: WallTime, link: LinkId) {
        if let Some(running) = &mut self.running {
            running.closed(now, wall, link);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let running = self.running.as_ref()?;
        let silence = running.ends.values().map(|end| end.heard + SILENCE_MAX).min();
        [running.hub.poll_timeout(), silence].into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Timestamp, wall: WallTime) {
        if let Some(running) = &mut self.running {
            running.hub.handle_timeout(now, wall);
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
        running.flush(marks, &mut pumped);
        Ok(pumped)
    }
}

impl Running {
    fn receive(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        link: LinkId,
        bytes: &[u8],
        bug: Option<Bug>,
    ) -> Result<(), String> {
        let Some(end) = self.ends.get_mut(&link) else { return Ok(()) };
        end.heard = now;
        end.inbox.extend_from_slice(bytes);
        let mut inbox = std::mem::take(&mut end.inbox);
        let mut start = 0;
        let mut inputs = Vec::new();
        loop {
            let received = end.connection.receive(&mut inbox[start..]);
            let Some(received) = received.map_err(|error| error.to_string())? else { break };
            start += received.consumed;
            let ReceivedKind::Content(content) = received.kind else { continue };
            let key = end.connection.peer().ok_or("content before a handshake")?.static_key;
            for message in MessageReader::new(content) {
                let bytes = message.map_err(|error| error.to_string())?;
                let message = ClientMessage::decode(bytes).map_err(|error| error.to_string())?;
                if end.session.is_none() {
                    let ClientMessage::Attach(attach) = message else {
                        return Err("a message before attach".into());
                    };
                    let id = SessionId::new(0, self.next_session);
                    self.next_session += 1;
                    end.session = Some((id, Session::new()));
                    self.links.insert(id, link);
                    end.connection.allow_full_packets();
                    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
                    inputs.push(Input::Attach { session: id, channel_key: key, address, attach });
                    continue;
                }
                let (session, state) = end.session.as_mut().expect("just looked");
                let session = *session;
                inputs.push(match message {
                    ClientMessage::Send(send) => {
                        let body = protocol::message::encoding::encode(&send);
                        let len = u32::try_from(body.len()).expect("it fits a packet");
                        let sum = body.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
                        if bug == Some(Bug::SendDropped) && sum % 32 == 5 {
                            continue;
                        }
                        Input::Sends { bytes: body, items: vec![(session, 0..len)] }
                    }
                    ClientMessage::Request(id, request) => Input::Request { session, id, request },
                    ClientMessage::Follow(follow) => Input::Follow { session, follow },
                    ClientMessage::Mark(mark) => Input::Mark { session, mark },
                    ClientMessage::Show(show) => Input::Show { session, show },
                    ClientMessage::Watch(watch) => Input::Watch { session, watch },
                    ClientMessage::Typing(typing) => Input::Typing { session, typing },
                    ClientMessage::Pull(pull) => {
                        state.pull(pull);
                        continue;
                    }
                    ClientMessage::Ping(ping) => {
                        state.push(&RelayMessage::Pong(ping));
                        continue;
                    }
                    ClientMessage::Detach(()) | ClientMessage::Unknown(_) => continue,
                    ClientMessage::Attach(_) => return Err("a second attach".into()),
                });
            }
        }
        inbox.drain(..start);
        end.inbox = inbox;
        for input in inputs {
            self.hub.handle_input(now, wall, input);
        }
        Ok(())
    }

    fn closed(&mut self, now: Timestamp, wall: WallTime, link: LinkId) {
        if let Some((id, _)) = self.ends.remove(&link).and_then(|end| end.session) {
            self.forget(id);
            self.hub.handle_input(now, wall, Input::Detached { session: id });
        }
    }

    fn give_up_the_silent(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        marks: &mut Marks,
        pumped: &mut Pumped,
    ) {
        let silent: Vec<_> = self
            .ends
            .iter()
            .filter(|(_, end)| now >= end.heard + SILENCE_MAX)
            .map(|(link, _)| *link)
            .collect();
        for link in silent {
            marks.hit(Mark::HalfOpenFound);
            self.closed(now, wall, link);
            pumped.closes.push(link);
        }
    }

    fn dispatch(
        &mut self,
        output: Output,
        bug: Option<Bug>,
        unanswered: &mut BTreeSet<MessageId>,
        model: &mut Model,
        marks: &mut Marks,
    ) {
        match output {
            Output::Publish(publication) => self.publish(&publication),
            Output::ToSession(id, mut to) => {
                let Some(end) = self.links.get(&id).and_then(|link| self.ends.get_mut(link)) else {
                    return;
                };
                if let ToSession::Attached { device, .. } = &to {
                    end.device = Some(*device);
                }
                let device = end.device;
                match &mut to {
                    ToSession::Message(RelayMessage::Accepted(accepted)) => {
                        note_accepted(accepted, device, unanswered, bug, marks);
                    }
                    ToSession::Message(RelayMessage::Rejected(rejected)) => {
                        if let Some(device) = device {
                            let id = MessageId { device, counter: rejected.counter };
                            note_rejected(rejected, id, bug, model, marks);
                        }
                    }
                    ToSession::Close { refusal } => {
                        if refusal.code == RefusalCode::SUPERSEDED {
                            marks.hit(Mark::SupersededWithQueuedSends);
                        }
                    }
                    ToSession::Follow { follow, first, .. } => {
                        if follow.after.next() < *first {
                            marks.hit(Mark::TrimmedCursor);
                        }
                    }
                    ToSession::Message(_)
                    | ToSession::Attached { .. }
                    | ToSession::ChainAt { .. }
                    | ToSession::Revoke { .. } => {}
                }
                let Some((_, session)) = &mut end.session else { return };
                match session.handle(to, &self.tails) {
                    Some(Subscription::Follow(conversation)) => {
                        self.followers.entry(conversation).or_default().insert(id);
                    }
                    Some(Subscription::Unfollow(conversation)) => {
                        self.followers.entry(conversation).or_default().remove(&id);
                    }
                    None => {}
                }
            }
            Output::LookAtAges(look) => self.look = Some(look),
            Output::ToOperator(..) => {}
        }
    }

    fn publish(&mut self, publication: &Publication) {
        self.tails.publish(publication);
        let grown = publication.runs.iter().map(|run| (run.conversation, run.last()));
        let advanced = publication.advanced.iter().map(|(id, head, _)| (*id, *head));
        for (conversation, head) in grown.chain(advanced) {
            for session in self.followers.get(&conversation).into_iter().flatten() {
                let end = self.links.get(session).and_then(|link| self.ends.get_mut(link));
                if let Some((_, session)) = end.and_then(|end| end.session.as_mut()) {
                    session.advance(conversation, head);
                }
            }
        }
    }

    fn flush(&mut self, marks: &mut Marks, pumped: &mut Pumped) {
        let mut content = Vec::new();
        for (link, end) in &mut self.ends {
            let mut bytes = Vec::new();
            while let Some(packet) = end.connection.poll_transmit() {
                bytes.extend_from_slice(&packet);
            }
            if let Some((id, session)) = &mut end.session {
                loop {
                    while let Some(read) = session.poll_read() {
                        if matches!(read, Read::Runs { .. }) {
                            marks.hit(Mark::TailEviction);
                        }
                        self.reads.push_back((*id, read));
                        pumped.reads += 1;
                    }
                    content.clear();
                    session.compose(&self.tails, &mut content, BATCH_BYTES_TARGET);
                    if content.is_empty() {
                        break;
                    }
                    end.connection
                        .seal(&mut bytes, |out| out.extend_from_slice(&content))
                        .expect("a session's connection is established");
                }
            }
            if !bytes.is_empty() {
                pumped.writes.push((*link, bytes));
            }
            if end.session.as_ref().is_some_and(|(_, session)| session.is_closing()) {
                pumped.closes.push(*link);
            }
        }
        for link in &pumped.closes {
            if let Some((id, _)) = self.ends.remove(link).and_then(|end| end.session) {
                self.forget(id);
            }
        }
    }

    fn forget(&mut self, id: SessionId) {
        self.links.remove(&id);
        for followers in self.followers.values_mut() {
            followers.remove(&id);
        }
    }
}

fn note_accepted(
    accepted: &mut Accepted,
    device: Option<DeviceId>,
    unanswered: &mut BTreeSet<MessageId>,
    bug: Option<Bug>,
    marks: &mut Marks,
) {
    if let Some(device) = device
        && unanswered.remove(&MessageId { device, counter: accepted.counter })
    {
        marks.hit(Mark::DuplicateAfterCommitCrash);
    }
    if bug == Some(Bug::AcceptedElsewhere) {
        accepted.seq = accepted.seq.next();
    }
}

fn note_rejected(
    rejected: &mut Rejected,
    id: MessageId,
    bug: Option<Bug>,
    model: &mut Model,
    marks: &mut Marks,
) {
    // "Decided earlier" is not a decision: the real one must have been seen before.
    let code = rejected.refusal.code;
    let decides = code != RefusalCode::ALREADY_DECIDED && code != RefusalCode::COUNTER_REUSED;
    if decides && rejected.refusal.retry_after().is_none() {
        model.on_refused((rejected.conversation, id));
    }
    if rejected.refusal.code == RefusalCode::WAITING {
        marks.hit(Mark::StickyRefusal);
    }
    if bug == Some(Bug::RefusalTakenForFinal) {
        rejected.refusal.retry_after_ms = 0;
    }
}
