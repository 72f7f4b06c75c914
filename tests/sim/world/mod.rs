//! Everything in one place and in virtual time: people, the relay, the network between them, and
//! what goes wrong.
//!
//! A step takes the earliest of what is due (an arrival, a finished disk access, a person's wish, a
//! fault, a timeout), feeds it to whoever it is for, drains their outputs, and asks the model
//! whether every promise still holds.

mod carrying;
mod faults;
mod people;

use std::{collections::BTreeMap, time::Duration};

use chat_client::engine::LinkStatus;
use protocol::{
    entropy::{Entropy, SimRng},
    time::{Timestamp, WallTime},
};

use crate::{
    bugs::Bug,
    client::Person,
    marks::Marks,
    model::{Logs, Model, Violation},
    network::{Arrival, LinkId, Network, Side, Weather},
    paths::Paths,
    relay::Relay,
    schedule::{Action, Carriers, Fault, Plan},
    strangers::Strangers,
};

/// When the wall clocks of all worlds begin.
const WALL_START_MS: u64 = 1_750_000_000_000;
/// A world that is not quiet this long after the last fault has lost something.
const QUIET_WITHIN: Duration = Duration::from_secs(600);
/// Where every session is over datagrams, all that the relay does not ask to wait with is done this
/// long after the last fault.
const CARRIED_WITHIN: Duration = Duration::from_secs(30);
/// How long a driver waits for a handshake before it gives up a connection.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// When, after somebody dials at a crowded door, the others do: before and while the first
/// handshake-init arrives.
const CROWDS_AFTER: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(100)];
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
    HandshakesAnswered {
        life: u64,
    },
    /// A person's path may be light again.
    Lighten {
        person: usize,
    },
    /// The last fault is over.
    Calm,
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
    /// When time changes something for the relay.
    relay_due: Option<Timestamp>,
    network: Network,
    paths: Paths,
    strangers: Strangers,
    carriers: Carriers,
    packets_per_key: u64,
    handshakes_ms: u64,
    is_crowded: bool,
    /// The relay is about to answer handshakes.
    answers_handshakes: bool,
    text_bytes_max: usize,
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
        let packets_per_key = plan.datagrams.packets_per_key;
        let relay = Relay::new(&plan.relay, packets_per_key, &mut entropy);
        let people = (0..plan.people).map(|n| Person::new(&format!("person{n}"), &mut entropy));
        let mut world = Self {
            now: Timestamp::from_micros(1),
            people: people.collect(),
            rng,
            entropy,
            bug,
            weather: plan.weather,
            relay,
            relay_due: None,
            network: Network::default(),
            paths: Paths::new(plan.datagrams.ways, plan.seed ^ 0xaa),
            strangers: Strangers::new(plan.seed ^ 0x57),
            carriers: plan.datagrams.carriers,
            packets_per_key,
            handshakes_ms: plan.datagrams.handshakes_ms,
            is_crowded: plan.datagrams.is_crowded,
            answers_handshakes: false,
            text_bytes_max: plan.text_bytes_max,
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
        world.at(world.calm_from, Happening::Calm);
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
        // A stream that is cut in silence is found out by the length of the silence alone.
        let mut is_carried = self.carriers != Carriers::Datagrams;
        for _ in 0..STEPS_MAX {
            if self.now > self.calm_from && self.is_quiet() {
                return self.check_end();
            }
            is_carried |= self.now > self.calm_from && self.is_carried();
            if !is_carried && self.now > self.calm_from + CARRIED_WITHIN {
                return Err(Violation(format!("not carried in time: {}", self.unfinished())));
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
        let person = (0..self.people.len()).filter_map(|n| Some((self.people[n].due?, n))).min();
        let (relay, arrival) = (self.relay_due, self.paths.next_arrival());
        let earliest = [happening, person.map(|(at, _)| at), relay, arrival].into_iter().flatten();
        let earliest = earliest.min();
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
        } else if arrival == Some(at) {
            let delivery = self.paths.receive(self.now);
            delivery.map_or(Ok(()), |delivery| self.deliver(delivery))
        } else if relay == Some(at) {
            self.note(|| "relay timeout".into());
            let (now, wall) = (self.now, self.wall());
            self.relay.handle_timeout(now, wall);
            self.pump_relay()
        } else {
            let (_, n) = person.expect("one of the four is the earliest");
            self.note(|| format!("person {n} timeout"));
            if let Some(running) = &mut self.people[n].running {
                running.handle_timeout(self.now, self.bug);
            }
            self.pump_person(n)
        }
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Arrival(link, side, what) => self.on_arrival(link, side, what),
            Happening::Dialled { person, life } => self.on_dialled(person, life),
            Happening::DialExpires { person, link } => self.on_dial_expired(person, link),
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
            Happening::HandshakesAnswered { life } => self.on_handshakes_answered(life),
            Happening::Lighten { person } => {
                self.paths.lighten(self.now, person);
                Ok(())
            }
            Happening::Calm => self.calm(),
        }
    }

    // ---- the end ----

    /// Nothing goes wrong any more, and whoever waits for a connection tries it now.
    fn calm(&mut self) -> Result<(), Violation> {
        if self.carriers == Carriers::Streams {
            return Ok(());
        }
        self.paths.calm(self.now);
        (0..self.people.len()).try_for_each(|n| self.act(n, Action::Reconnect))
    }

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
                        && running.link.as_ref().is_some_and(|link| link.carrier.is_flushed())
                })
            })
            && !self.due.values().any(|due| matches!(due, Happening::Arrival(..)))
    }

    /// True if nobody has anything left to do but to wait because the relay asked for it.
    fn is_carried(&self) -> bool {
        self.relay.is_running()
            && self.people.iter().all(|person| {
                person.running.as_ref().is_some_and(|running| {
                    running.engine.status().link == LinkStatus::Live
                        && running.engine.is_listed()
                        && running.waits_as_asked()
                        && running.is_caught_up(&self.model)
                        && running.link.as_ref().is_some_and(|link| link.carrier.is_flushed())
                })
            })
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
