//! Everything in one place and in virtual time: people, the relay, the network between them, and
//! what goes wrong.
//!
//! A step takes the earliest of what is due (an arrival, a finished disk access, a person's wish, a
//! fault, a timeout), feeds it to whoever it is for, drains their outputs, and asks the model
//! whether every promise still holds.

use std::{collections::BTreeMap, time::Duration};

use chat_client::{
    engine::{Command, Disconnect, Event, LinkStatus, Notice, Target},
    store::{Store, row::Draft},
};
use protocol::{
    entropy::{Entropy, SimRng},
    ids::{ConversationId, Counter, LogId, MessageId, Seq},
    message::{event::Set, record::Target as Amended, request::Verdict},
    time::{Timestamp, WallTime},
};

use super::{
    bugs::Bug,
    client::Person,
    marks::{Mark, Marks},
    model::{Logs, Model, Violation},
    network::{Arrival, Cut, LinkId, Network, Side, Weather},
    relay::Relay,
    schedule::{Action, Fault, Plan},
};

/// When the wall clocks of all worlds begin.
const WALL_START_MS: u64 = 1_750_000_000_000;
/// A world that is not quiet this long after the last fault has lost something.
const QUIET_WITHIN: Duration = Duration::from_secs(600);
/// How long a driver waits for a handshake before it gives up a connection.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How often, and how many times, people answer requests after the last fault.
const ANSWER_EVERY: Duration = Duration::from_secs(20);
const ANSWERS: u32 = 10;
/// More steps than any schedule needs: a loop that never ends is a bug too.
const STEPS_MAX: u64 = 400_000;

/// Something that will happen.
#[derive(Debug)]
enum Happening {
    Arrival(LinkId, Side, Arrival),
    /// A person's program gets a connection, or learns that there is none.
    Dialled {
        person: usize,
        life: u64,
    },
    /// A connection that was dialled should stand by now.
    DialExpires {
        person: usize,
        link: LinkId,
    },
    /// A person's disk has done the oldest thing it was asked for.
    ClientStored {
        person: usize,
        life: u64,
    },
    Committed {
        life: u64,
    },
    Read {
        life: u64,
    },
    Looked {
        life: u64,
    },
    Reloaded {
        life: u64,
    },
    Indexed {
        life: u64,
    },
    Act {
        person: usize,
        action: Action,
    },
    Fault(Fault),
    ClientStarts(usize),
    RelayStarts,
}

/// Who is at the client's end of a connection.
type People = Vec<Person>;

/// One world, driven by one seed.
pub(crate) struct World {
    now: Timestamp,
    rng: SimRng,
    entropy: Entropy,
    bug: Option<Bug>,
    weather: Weather,
    people: People,
    relay: Relay,
    network: Network,
    /// Which person dialled which connection.
    dialled: BTreeMap<LinkId, usize>,
    due: BTreeMap<(Timestamp, u64), Happening>,
    scheduled: u64,
    model: Model,
    pub(crate) marks: Marks,
    relay_copy: Option<(chat_server::store::memory::Snapshot, Logs)>,
    client_copies: BTreeMap<usize, chat_client::store::memory::MemoryStore>,
    calm_from: Timestamp,
    pub(crate) trace: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(plan: Plan, bug: Option<Bug>) -> Self {
        let mut rng = SimRng::new(plan.seed);
        let mut entropy = Entropy::seeded_for_simulation(rng.next_u64());
        let relay = Relay::new(&plan.relay, &mut entropy);
        let people = (0..plan.people).map(|n| Person::new(&format!("person{n}"), &mut entropy));
        let mut world = Self {
            now: Timestamp::from_micros(1),
            people: people.collect(),
            rng,
            entropy,
            bug,
            weather: plan.weather,
            relay,
            network: Network::default(),
            dialled: BTreeMap::new(),
            due: BTreeMap::new(),
            scheduled: 0,
            model: Model::default(),
            marks: Marks::default(),
            relay_copy: None,
            client_copies: BTreeMap::new(),
            calm_from: plan.calm_from,
            trace: None,
        };
        world.at(world.now, Happening::RelayStarts);
        for person in 0..world.people.len() {
            world.at(world.now, Happening::ClientStarts(person));
        }
        for (at, person, action) in plan.actions {
            world.at(at, Happening::Act { person, action });
        }
        for (at, fault) in plan.faults {
            world.at(at, Happening::Fault(fault));
        }
        // Once nothing goes wrong any more people answer those who wait for them.
        for person in 0..world.people.len() {
            for again in 0..ANSWERS {
                let at = world.calm_from + again * ANSWER_EVERY;
                world.at(at, Happening::Act { person, action: Action::AcceptAll });
            }
        }
        world
    }

    /// Runs to the end of the schedule, and then until nothing is left to do.
    pub(crate) fn run(&mut self) -> Result<(), Violation> {
        for _ in 0..STEPS_MAX {
            if self.now > self.calm_from && self.is_quiet() {
                return self.check_end();
            }
            if self.now > self.calm_from + QUIET_WITHIN {
                return Err(Violation(format!("not quiet in time: {}", self.unfinished())));
            }
            self.step()?;
            self.model.check()?;
        }
        Err(Violation(format!("no end after {STEPS_MAX} steps: {}", self.unfinished())))
    }

    fn step(&mut self) -> Result<(), Violation> {
        let happening = self.due.first_key_value().map(|((at, _), _)| *at);
        let person = (0..self.people.len())
            .filter_map(|n| Some((self.people[n].running.as_ref()?.engine.poll_timeout()?, n)))
            .min();
        let relay = self.relay.poll_timeout();
        let earliest = [happening, person.map(|(at, _)| at), relay].into_iter().flatten().min();
        let Some(at) = earliest else {
            // Nothing will ever happen again: only the end is left to check.
            self.now = self.now.max(self.calm_from + Duration::from_micros(1));
            return if self.is_quiet() { Ok(()) } else { Err(Violation(self.unfinished())) };
        };
        self.now = self.now.max(at);
        if happening == Some(at) {
            let (_, happening) = self.due.pop_first().expect("there is a first");
            if !matches!(happening, Happening::Arrival(..) | Happening::Indexed { .. }) {
                self.note(|| format!("{happening:?}"));
            }
            self.happen(happening)
        } else if relay == Some(at) {
            self.note(|| "relay timeout".into());
            let (now, wall) = (self.now, self.wall());
            self.relay.handle_timeout(now, wall);
            self.pump_relay()
        } else {
            let (_, n) = person.expect("one of the three is the earliest");
            self.note(|| format!("person {n} timeout"));
            if let Some(running) = &mut self.people[n].running {
                running.engine.handle_timeout(self.now);
            }
            self.pump_person(n)
        }
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Arrival(link, side, what) => self.on_arrival(link, side, what),
            Happening::Dialled { person, life } => self.on_dialled(person, life),
            Happening::DialExpires { person, link } => {
                let Some(running) = &mut self.people[person].running else { return Ok(()) };
                if running.is_dialling(link) {
                    running.link = None;
                    let late = Disconnect::Unreachable("no handshake in time".into());
                    running.engine.handle_disconnected(self.now, late);
                    self.close(link, Side::Client);
                }
                self.pump_person(person)
            }
            Happening::ClientStored { person, life } => {
                if self.people[person].life != life {
                    return Ok(());
                }
                self.people[person].store_one(self.now, &self.model, self.bug)?;
                self.pump_person(person)
            }
            Happening::Committed { life } => {
                let (now, wall) = (self.now, self.wall());
                self.relay.commit_one(now, wall, life, &mut self.model, &mut self.marks)?;
                self.pump_relay()
            }
            Happening::Read { life } => {
                self.relay.read_one(life);
                self.pump_relay()
            }
            Happening::Looked { life } => {
                let (now, wall) = (self.now, self.wall());
                self.relay.look_at_ages(now, wall, life, &mut self.marks);
                self.pump_relay()
            }
            Happening::Reloaded { life } => {
                let now = self.now;
                self.relay.reload(now, life);
                self.pump_relay()
            }
            Happening::Indexed { life } => {
                if self.relay.index(life) {
                    let at = self.later(200, 4_000);
                    self.at(at, Happening::Indexed { life });
                }
                Ok(())
            }
            Happening::Act { person, action } => self.act(person, action),
            Happening::Fault(fault) => self.fault(fault),
            Happening::ClientStarts(person) => self.start_person(person),
            Happening::RelayStarts => self.start_relay(),
        }
    }

    // ---- network ----

    fn on_arrival(&mut self, link: LinkId, side: Side, what: Arrival) -> Result<(), Violation> {
        if !self.network.delivers(self.now, link, side, &what) {
            return Ok(());
        }
        match (side, what) {
            (Side::Relay, Arrival::Bytes(bytes)) => {
                let (now, wall) = (self.now, self.wall());
                if self.relay.receive(now, wall, link, &bytes, self.bug).is_err() {
                    self.close(link, Side::Relay);
                }
                self.pump_relay()
            }
            (Side::Relay, Arrival::Closed) => {
                let (now, wall) = (self.now, self.wall());
                self.relay.closed(now, wall, link);
                self.pump_relay()
            }
            (Side::Client, what) => {
                let Some(person) = self.dialled.get(&link).copied() else { return Ok(()) };
                let now = self.now;
                let Some(running) = &mut self.people[person].running else { return Ok(()) };
                if running.link.as_ref().is_none_or(|current| current.id != link) {
                    return Ok(());
                }
                let lost = match what {
                    Arrival::Bytes(bytes) => running.receive(now, &bytes).err(),
                    Arrival::Closed => Some("closed by the relay".into()),
                };
                if let Some(why) = lost {
                    running.link = None;
                    running.engine.handle_disconnected(now, Disconnect::Lost(why));
                    self.close(link, Side::Client);
                }
                self.pump_person(person)
            }
        }
    }

    fn on_dialled(&mut self, person: usize, life: u64) -> Result<(), Violation> {
        let now = self.now;
        if self.people[person].life != life {
            return Ok(());
        }
        let Some(running) = &mut self.people[person].running else { return Ok(()) };
        if self.relay.is_running() {
            let link = self.network.open();
            self.dialled.insert(link, person);
            self.relay.accept(now, link, &mut self.entropy);
            let key = self.relay.key();
            let first = self.people[person].dial(link, key, &mut self.entropy);
            self.write(link, Side::Client, &first);
            self.at(now + HANDSHAKE_WITHIN, Happening::DialExpires { person, link });
        } else {
            let refused = Disconnect::Unreachable("refused".into());
            running.engine.handle_disconnected(now, refused);
        }
        self.pump_person(person)
    }

    fn write(&mut self, link: LinkId, from: Side, bytes: &[u8]) {
        let to = if from == Side::Client { Side::Relay } else { Side::Client };
        let pieces = self.network.write(self.now, link, from, bytes, &self.weather, &mut self.rng);
        for (at, piece) in pieces {
            self.at(at, Happening::Arrival(link, to, piece));
        }
    }

    fn close(&mut self, link: LinkId, by: Side) {
        let to = if by == Side::Client { Side::Relay } else { Side::Client };
        let word = self.network.close(self.now, link, by, &self.weather, &mut self.rng);
        if let Some((at, what)) = word {
            self.at(at, Happening::Arrival(link, to, what));
        }
    }

    // ---- pumps ----

    fn pump_person(&mut self, n: usize) -> Result<(), Violation> {
        let life = self.people[n].life;
        let Some(running) = &mut self.people[n].running else { return Ok(()) };
        let asked_before = running.to_store.len();
        for (conversation, seq, chain) in running.chains.drain(..) {
            self.model.on_chain_told(conversation, seq, &chain)?;
        }
        let pumped = running.pump(&mut self.model, self.bug)?;
        self.marks.add(&std::mem::take(&mut running.marks));
        if let Some(highest) = running.highest.take() {
            let next = self.people[n].disk.load().expect("a memory disk loads").next_counter;
            // The disk still says what it said before the welcome.
            if highest >= next && highest > Counter(0) {
                self.marks.hit(Mark::CounterMovedPast);
            }
        }
        let Some(running) = &mut self.people[n].running else { return Ok(()) };
        let overheard = running.overheard.replace(Vec::new()).unwrap_or_default();
        if self.trace.is_none() {
            running.overheard = None;
        }
        let asked = running.to_store.len() - asked_before;
        let link = running.link.as_ref().map(|link| link.id);
        if pumped.disconnect {
            running.link = None;
        }
        for words in overheard {
            self.note(|| format!("person {n} {words}"));
        }
        for event in &pumped.events {
            self.people[n].note(event);
            self.mark_event(n, event);
        }
        if let (Some(link), false) = (link, pumped.bytes.is_empty()) {
            self.write(link, Side::Client, &pumped.bytes);
        }
        if let (Some(link), true) = (link, pumped.disconnect) {
            self.close(link, Side::Client);
        }
        for _ in 0..asked {
            let at = self.later(1, 30);
            self.at(at, Happening::ClientStored { person: n, life });
        }
        if pumped.connect {
            let at = self.later(1, 20);
            self.at(at, Happening::Dialled { person: n, life });
        }
        Ok(())
    }

    fn pump_relay(&mut self) -> Result<(), Violation> {
        let (now, wall) = (self.now, self.wall());
        let pumped = self.relay.pump(now, wall, self.bug, &mut self.model, &mut self.marks)?;
        for (link, bytes) in pumped.writes {
            self.write(link, Side::Relay, &bytes);
        }
        for link in pumped.closes {
            self.close(link, Side::Relay);
        }
        let life = self.relay.life();
        if pumped.commits {
            let at = self.later(1, 60);
            self.at(at, Happening::Committed { life });
        }
        for _ in 0..pumped.reads {
            let at = self.later(1, 20);
            self.at(at, Happening::Read { life });
        }
        if pumped.looks {
            let at = self.later(1, 20);
            self.at(at, Happening::Looked { life });
        }
        if pumped.reloads {
            let at = self.later(1, 60);
            self.at(at, Happening::Reloaded { life });
        }
        Ok(())
    }

    fn mark_event(&mut self, n: usize, event: &Event) {
        if let Event::Notice(notice) = event {
            match notice {
                Notice::Forked { offered_again, .. } => {
                    self.marks.hit(Mark::ForkShown);
                    if *offered_again > 0 {
                        self.marks.hit(Mark::OfferedAgain);
                    }
                }
                Notice::Superseded => {
                    // A copy of this home took over, which no schedule makes: a person would
                    // restart the program.
                    self.at(self.now, Happening::Act { person: n, action: Action::Reconnect });
                }
                Notice::RelayRestored { .. }
                | Notice::NameChanged { .. }
                | Notice::Renumbered { .. }
                | Notice::StoreFailing(_)
                | Notice::NeedsNewer { .. }
                | Notice::StoreRecovered => {}
            }
        }
    }

    // ---- people ----

    fn start_person(&mut self, n: usize) -> Result<(), Violation> {
        if self.people[n].running.is_none() {
            let rng = SimRng::new(self.rng.next_u64());
            self.people[n].start(rng, self.bug);
            let had_some =
                self.people[n].running.as_ref().is_some_and(super::client::Running::has_undecided);
            if self.people[n].life > 1 && had_some {
                self.marks.hit(Mark::OutboxSurvivedCrash);
            }
        }
        self.pump_person(n)
    }

    fn act(&mut self, n: usize, action: Action) -> Result<(), Violation> {
        let people = self.people.len();
        let wall = self.wall();
        let now = self.now;
        let mine = self.own_message(n);
        let Some(running) = &mut self.people[n].running else { return Ok(()) };
        let room = |r: u64| format!("room{r}");
        let command = match action {
            Action::SayInRoom(r) => {
                let text = format!("{n} at {}", now.as_micros());
                Command::Send { target: Target::Room(room(r)), draft: Draft::text(text) }
            }
            Action::SayInLobby => {
                let text = format!("{n} at {}", now.as_micros());
                Command::Send { target: Target::Room("lobby".into()), draft: Draft::text(text) }
            }
            Action::SayTo(peer) => {
                let peer = usize::try_from(peer).expect("small") % people;
                if peer == n {
                    return Ok(());
                }
                let target = Target::Person(format!("person{peer}"));
                Command::Send { target, draft: Draft::text(format!("{n} to {peer}")) }
            }
            Action::Create(r) => Command::CreateRoom {
                name: room(r),
                topic: String::new(),
                access: protocol::message::room::Access::ANYONE,
                nonce: [u8::try_from(r).unwrap_or(0); 16],
            },
            Action::Join(r) => Command::Join { room: room(r) },
            Action::Amend(kind) => {
                let Some((conversation, target)) = mine else { return Ok(()) };
                let draft = match kind % 3 {
                    0 => Draft::Edit { target, text: "better".into() },
                    1 => Draft::Delete { target, reason: String::new() },
                    _ => Draft::Reaction { target, emoji: "+".into(), set: Set::On },
                };
                Command::Send { target: Target::Conversation(conversation), draft }
            }
            Action::AcceptAll => {
                let asked: Vec<_> = running
                    .engine
                    .conversations()
                    .filter_map(|c| {
                        let invited =
                            c.info().standing == protocol::message::room::Standing::INVITED;
                        let peer = c.info().peer.as_ref()?.account;
                        invited.then_some((c.info().id, peer))
                    })
                    .collect();
                for (conversation, account) in asked {
                    let admit = protocol::message::request::Admit {
                        conversation,
                        account,
                        verdict: Verdict::Yes,
                    };
                    running.engine.handle_command(now, wall, Command::Ask(admit.into()));
                }
                return self.pump_person(n);
            }
            Action::Older => {
                let Some(conversation) = running.engine.conversations().next().map(|c| c.info().id)
                else {
                    return Ok(());
                };
                Command::Older { conversation }
            }
            Action::Reconnect => Command::Reconnect,
        };
        running.engine.handle_command(now, wall, command);
        self.pump_person(n)
    }

    /// A message of this person that is in the log, to act on.
    fn own_message(&mut self, n: usize) -> Option<(ConversationId, Amended)> {
        let device = self.people[n].device();
        let own: Vec<(ConversationId, Seq, MessageId)> = self
            .model
            .logs()
            .iter()
            .flat_map(|(conversation, log)| {
                log.iter()
                    .enumerate()
                    .filter(|(_, entry)| entry.id.device == device)
                    .map(|(index, entry)| (*conversation, Seq(index as u64 + 1), entry.id))
            })
            .collect();
        let index = usize::try_from(self.rng.below(own.len() as u64)).expect("an index");
        let (conversation, seq, id) = *own.get(index)?;
        Some((conversation, Amended { seq, id }))
    }

    // ---- faults ----

    fn start_relay(&mut self) -> Result<(), Violation> {
        if !self.relay.is_running() {
            let seed = self.rng.next_u64();
            self.relay.start(seed, self.bug);
            let at = self.later(200, 4_000);
            let life = self.relay.life();
            self.at(at, Happening::Indexed { life });
        }
        self.pump_relay()
    }

    fn fault(&mut self, fault: Fault) -> Result<(), Violation> {
        match fault {
            Fault::Cut(how) => {
                let links = self.network.open_links();
                let pick = usize::try_from(self.rng.below(links.len() as u64)).expect("an index");
                if let Some(link) = links.get(pick).copied() {
                    self.cut(link, how);
                }
            }
            Fault::CrashClient(n) => {
                let n = n % self.people.len();
                self.crash_person(n);
                let at = self.later(10, 5_000);
                self.at(at, Happening::ClientStarts(n));
            }
            Fault::CrashRelay { commit_first } => {
                if commit_first {
                    self.relay.commit_without_answer(&mut self.model)?;
                }
                self.crash_relay();
                let at = self.later(10, 3_000);
                self.at(at, Happening::RelayStarts);
            }
            Fault::StoreFails(failure) => self.relay.fail_next(failure),
            Fault::CopyRelay => {
                self.relay_copy = Some((self.relay.copy(), self.model.logs().clone()));
            }
            Fault::RestoreRelay => {
                if let Some((copy, logs)) = self.relay_copy.take() {
                    self.crash_relay();
                    let log_id = LogId(self.entropy.bytes());
                    self.relay.restore(&copy, log_id);
                    self.model.on_restored(logs);
                    let at = self.later(10, 3_000);
                    self.at(at, Happening::RelayStarts);
                }
            }
            Fault::CopyClient(n) => {
                let n = n % self.people.len();
                let copy = self.people[n].disk.clone();
                self.client_copies.insert(n, copy);
            }
            Fault::RestoreClient(n) => {
                let n = n % self.people.len();
                if let Some(copy) = self.client_copies.remove(&n) {
                    self.crash_person(n);
                    self.people[n].disk = copy;
                    self.people[n].owed.clear();
                    self.model.on_client_restored(self.people[n].device());
                    let at = self.later(10, 3_000);
                    self.at(at, Happening::ClientStarts(n));
                }
            }
        }
        Ok(())
    }

    fn cut(&mut self, link: LinkId, how: Cut) {
        let told = self.network.cut(self.now, link, how, &self.weather, &mut self.rng);
        for (side, at, what) in told {
            self.at(at, Happening::Arrival(link, side, what));
        }
    }

    /// A process that dies takes its sockets along: the kernel tells the other end.
    fn crash_person(&mut self, n: usize) {
        if let Some(running) = self.people[n].running.take()
            && let Some(link) = running.link
        {
            self.close(link.id, Side::Client);
        }
    }

    fn crash_relay(&mut self) {
        self.relay.crash();
        for link in self.network.open_links() {
            self.close(link, Side::Relay);
        }
    }

    // ---- the end ----

    /// True if nobody has anything left to do.
    fn is_quiet(&self) -> bool {
        self.relay.is_running()
            && self.relay.is_idle()
            && self.people.iter().all(|person| {
                person.running.as_ref().is_some_and(|running| {
                    running.engine.status().link == LinkStatus::Live
                        && running.engine.is_listed()
                        && !running.has_undecided()
                        && running.to_store.is_empty()
                        && running.engine.is_settled()
                        && running.is_caught_up(&self.model)
                })
            })
            && !self.due.values().any(|due| matches!(due, Happening::Arrival(..)))
    }

    fn unfinished(&self) -> String {
        let mut words = Vec::new();
        if !self.relay.is_running() || !self.relay.is_idle() {
            words.push("the relay is busy".to_owned());
        }
        for (n, person) in self.people.iter().enumerate() {
            match &person.running {
                None => words.push(format!("person {n} is not running")),
                Some(running) => {
                    words.push(format!("person {n}: {}", running.unfinished(&self.model)));
                }
            }
        }
        words.join("; ")
    }

    fn check_end(&self) -> Result<(), Violation> {
        for (n, person) in self.people.iter().enumerate() {
            person
                .check_end(&self.model)
                .map_err(|violation| Violation(format!("person {n}: {}", violation.0)))?;
        }
        Ok(())
    }

    // ---- time ----

    fn wall(&self) -> WallTime {
        WallTime::from_millis(WALL_START_MS + self.now.as_micros() / 1_000)
    }

    fn later(&mut self, low_ms: u64, high_ms: u64) -> Timestamp {
        self.now + Duration::from_micros(self.rng.between(low_ms * 100, high_ms * 1_000))
    }

    fn at(&mut self, at: Timestamp, happening: Happening) {
        self.scheduled += 1;
        self.due.insert((at, self.scheduled), happening);
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>12} {}", self.now.as_micros(), what()));
        }
    }
}
