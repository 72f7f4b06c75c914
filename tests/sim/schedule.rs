//! What a seed stands for: who takes part, in which weather, what they do and what goes wrong.

use std::time::Duration;

use chat_server::store::memory::Failure;
use protocol::{
    entropy::SimRng,
    lab::{
        fault::{Faults, Loss, Rate, Share},
        jitter::Jitter,
    },
    time::Timestamp,
};

use super::{
    network::{Cut, Side, Weather},
    paths::WayFaults,
};

/// What a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    SayInLobby,
    SayInRoom(u64),
    SayTo(u64),
    Create(u64),
    Join(u64),
    /// Edits, deletes, or reacts to an own message.
    Amend(u64),
    AcceptAll,
    Older,
    Reconnect,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Cut(Cut),
    CrashClient(usize),
    /// With `commit_first`, what was about to be committed is, and nobody is told.
    CrashRelay {
        commit_first: bool,
    },
    StoreFails(Failure),
    CopyRelay,
    RestoreRelay,
    CopyClient(usize),
    RestoreClient(usize),
    /// Somebody's socket is somewhere else from now on.
    Displace(usize),
    /// Nothing passes between this person and the relay for a while.
    Darken(usize, Duration),
    /// Strangers send something.
    Attack,
    /// Many strangers knock at once.
    Crowd,
}

/// What carries the sessions of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carriers {
    Streams,
    Datagrams,
    /// Every dial decides anew.
    Mixed,
}

/// How datagrams fare in a world, and who uses them.
#[derive(Clone, Debug)]
pub(crate) struct DatagramPlan {
    pub(crate) carriers: Carriers,
    /// By person.
    pub(crate) ways: Vec<WayFaults>,
    /// Packets after which either side goes to its next key.
    pub(crate) packets_per_key: u64,
    /// How long at most the relay takes until it answers some handshakes.
    pub(crate) handshakes_ms: u64,
    /// Whoever dials finds a crowd at the door.
    pub(crate) is_crowded: bool,
}

/// How the relay of a world is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RelayPlan {
    /// Messages a second of one account, so that some are refused for now.
    pub(crate) messages_per_second: u32,
    /// Records kept of each conversation; all, if `None`.
    pub(crate) records_max: Option<u64>,
    /// How long records are kept; for good, if `None`.
    pub(crate) age_max: Option<Duration>,
    /// Bytes of all tails.
    pub(crate) tail_bytes: usize,
}

/// A whole schedule.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) people: usize,
    pub(crate) weather: Weather,
    pub(crate) relay: RelayPlan,
    pub(crate) datagrams: DatagramPlan,
    /// Bytes of the longest text that anybody writes.
    pub(crate) text_bytes_max: usize,
    pub(crate) actions: Vec<(Timestamp, usize, Action)>,
    pub(crate) faults: Vec<(Timestamp, Fault)>,
    /// No fault comes after this.
    pub(crate) calm_from: Timestamp,
}

impl Plan {
    /// The schedule of a seed.
    pub(crate) fn of_seed(seed: u64) -> Self {
        let mut rng = SimRng::new(seed ^ 0x5eed);
        let people = usize::try_from(rng.between(2, 4)).expect("small");
        let lasts_ms = rng.between(5_000, 60_000);
        let at = |rng: &mut SimRng| Timestamp::from_micros(1_000 * rng.between(200, lasts_ms));
        let weather = Weather {
            delay_min: Duration::from_micros(rng.between(50, 1_000)),
            delay_max: Duration::from_micros(rng.between(1_000, 300_000)),
            pieces_max: rng.between(1, 6),
        };
        let relay = RelayPlan {
            messages_per_second: if rng.chance(1, 4) { 2 } else { 0 },
            records_max: rng.chance(1, 4).then(|| rng.between(4, 24)),
            age_max: rng.chance(1, 5).then(|| Duration::from_secs(rng.between(3, 30))),
            tail_bytes: if rng.chance(1, 3) { 600 } else { 1 << 20 },
        };
        let mut actions = Vec::new();
        for person in 0..people {
            actions.push((Timestamp::from_micros(1_000), person, Action::Create(0)));
            actions.push((Timestamp::from_micros(2_000), person, Action::Join(0)));
        }
        for _ in 0..rng.between(10, 60) {
            let person = usize::try_from(rng.below(people as u64)).expect("small");
            let when = at(&mut rng);
            // People write in bursts: that is when order is at stake.
            for _ in 0..rng.between(1, 4) {
                actions.push((when, person, action(&mut rng)));
            }
        }
        let mut faults = Vec::new();
        for _ in 0..rng.below(14) {
            faults.push((at(&mut rng), fault(&mut rng)));
        }
        if rng.chance(1, 5) {
            // A backup, and what it lacks.
            let copy = at(&mut rng);
            faults.push((copy, Fault::CopyRelay));
            let later = copy + Duration::from_millis(rng.between(500, 20_000));
            faults.push((later, Fault::RestoreRelay));
            if rng.chance(1, 2) {
                // A whole house loses its power: programs start again on what only they remember,
                // and their people go on writing.
                for person in 0..people {
                    let soon = later + Duration::from_millis(rng.below(500));
                    faults.push((soon, Fault::CrashClient(person)));
                    let again = soon + Duration::from_millis(rng.between(10, 10_000));
                    actions.push((again, person, Action::SayInLobby));
                }
            }
        }
        if rng.chance(1, 5) {
            let person = usize::try_from(rng.below(people as u64)).expect("small");
            let copy = at(&mut rng);
            faults.push((copy, Fault::CopyClient(person)));
            let later = copy + Duration::from_millis(rng.between(500, 20_000));
            faults.push((later, Fault::RestoreClient(person)));
        }
        let mut rng = SimRng::new(seed ^ 0xda7a);
        let (datagrams, text_bytes_max) = datagram_plan(&mut rng, seed, people);
        if datagrams.carriers != Carriers::Streams {
            for _ in 0..rng.below(16) {
                faults.push((at(&mut rng), datagram_fault(&mut rng, people)));
            }
        }
        let last_fault = faults.iter().map(|(at, _)| *at).max().unwrap_or_default();
        let calm_from =
            last_fault.max(Timestamp::from_micros(1_000 * lasts_ms)) + Duration::from_secs(6);
        Self { seed, people, weather, relay, datagrams, text_bytes_max, actions, faults, calm_from }
    }
}

/// Who uses datagrams and how they fare; and how long texts are, which is a matter of paths that
/// carry them in time.
fn datagram_plan(rng: &mut SimRng, seed: u64, people: usize) -> (DatagramPlan, usize) {
    let carriers = match seed % 6 {
        0 => Carriers::Streams,
        1 => Carriers::Mixed,
        _ => Carriers::Datagrams,
    };
    let text_bytes_max = if rng.chance(1, 8) { 6_000 } else { 0 };
    let ways = (0..people).map(|_| way(rng, text_bytes_max > 0));
    let plan = DatagramPlan {
        carriers,
        ways: ways.collect(),
        packets_per_key: if rng.chance(1, 2) { rng.between(4, 60) } else { u64::MAX },
        handshakes_ms: if rng.chance(1, 2) { 1 } else { rng.between(2, 40) },
        is_crowded: seed % 32 == 2,
    };
    (plan, text_bytes_max)
}

fn way(rng: &mut SimRng, is_wide: bool) -> WayFaults {
    let up = path(rng, is_wide);
    let down = if rng.chance(1, 2) { up.clone() } else { path(rng, is_wide) };
    WayFaults { up, down }
}

/// One direction.
fn path(rng: &mut SimRng, is_wide: bool) -> Faults {
    let small = |number| u32::try_from(number).expect("small");
    let percent = |rng: &mut SimRng, max| Share::percent(small(rng.between(0, max)));
    let loss = match rng.below(4) {
        0 => Loss::None,
        1 => Loss::bursts(percent(rng, 30), small(rng.between(2, 12))),
        _ => Loss::Independent(percent(rng, 50)),
    };
    let slowest = if is_wide { 200_000 } else { 20_000 };
    Faults {
        delay: Duration::from_micros(rng.between(200, 200_000)),
        jitter: Jitter::up_to(Duration::from_micros(rng.below(20_000))),
        loss,
        duplicate: percent(rng, 20),
        corrupt: percent(rng, 10),
        reorder: (percent(rng, 20), Duration::from_millis(rng.between(1, 80))),
        rate: rng.chance(1, 3).then(|| Rate {
            bytes_per_second: rng.between(slowest, 2_000_000),
            queue_bytes: rng.between(5_000, 200_000),
        }),
        datagram_bytes_max: match rng.below(4) {
            0 => usize::try_from(rng.between(1_200, 1_500)).expect("small"),
            _ => 0,
        },
        blackouts: Vec::new(),
    }
}

fn datagram_fault(rng: &mut SimRng, people: usize) -> Fault {
    let person = usize::try_from(rng.below(people as u64)).expect("small");
    match rng.below(10) {
        0..=2 => Fault::Displace(person),
        3..=4 => Fault::Darken(person, Duration::from_millis(rng.between(100, 9_000))),
        5 => Fault::Crowd,
        _ => Fault::Attack,
    }
}

fn action(rng: &mut SimRng) -> Action {
    match rng.below(20) {
        0..=6 => Action::SayInLobby,
        7..=11 => Action::SayInRoom(0),
        12..=14 => Action::SayTo(rng.below(4)),
        15..=16 => Action::Amend(rng.next_u64()),
        17 => Action::AcceptAll,
        18 => Action::Older,
        _ => Action::Join(rng.below(2)),
    }
}

fn fault(rng: &mut SimRng) -> Fault {
    let person = usize::try_from(rng.below(4)).expect("small");
    match rng.below(12) {
        0..=1 => Fault::Cut(Cut::Told),
        2 => Fault::Cut(Cut::ToldOnly(Side::Client)),
        3 => Fault::Cut(Cut::ToldOnly(Side::Relay)),
        4 => Fault::Cut(Cut::Silent),
        5..=6 => Fault::CrashClient(person),
        7..=8 => Fault::CrashRelay { commit_first: rng.chance(1, 2) },
        9 => Fault::StoreFails(Failure::Full),
        10 => Fault::StoreFails(Failure::AmbiguousApplied),
        _ => Fault::StoreFails(Failure::AmbiguousLost),
    }
}
