use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use proptest::prelude::*;

use super::{
    super::{Given, Host, Knock, Plan, Reply, host::PACKET_BYTES_MAX, wire::Said},
    *,
};
use crate::{
    entropy::Entropy,
    lab::{
        experiment::{Traffic, What},
        fault::{Faults, Loss, Share},
        network::Link,
        scenario::Strategy,
        strategy::{Cause, Label, Outgoing},
    },
};

const RUN: RunName = [5; 8];
const MS: Duration = Duration::from_millis(1);

fn experiment() -> Experiment {
    let faults = Faults {
        delay: 20 * MS,
        loss: Loss::Independent(Share::percent(20)),
        duplicate: Share::percent(5),
        ..Faults::default()
    };
    Experiment {
        traffic: Traffic { messages: 60, bytes: 100, every: 10 * MS, conversations: 3 },
        interface: None,
        path: [faults.clone(), faults],
        changes: Vec::new(),
        seed: 7,
        lasts_max: 120_000 * MS,
    }
}

/// A guest and a host with a network between them that has faults of its own.
struct World {
    now: Timestamp,
    host: Host,
    /// There and back.
    network: [Link; 2],
    is_host_there: bool,
}

impl World {
    fn new(faults: &Faults) -> Self {
        let host = Host::new(&mut Entropy::seeded_for_simulation(1));
        let link = |seed| Link::new(Timestamp::ZERO, faults.clone(), seed);
        Self { now: Timestamp::ZERO, host, network: [link(1), link(2)], is_host_there: true }
    }

    /// Brings everything that is due by `now` to the host and back.
    fn turn(&mut self) {
        let guest = SocketAddr::from(([10, 0, 0, 1], 9));
        let [there, back] = &mut self.network;
        while let Some(datagram) = there.receive(self.now) {
            if self.is_host_there {
                self.host.handle_datagram(self.now, guest, &datagram);
            }
        }
        self.host.handle_timeout(self.now);
        while let Some((to, datagram)) = self.host.poll_transmit() {
            assert_eq!(to, guest);
            if self.is_host_there {
                back.send(self.now, &datagram);
            }
        }
    }

    fn next(&self) -> Option<Timestamp> {
        let [there, back] = self.network.each_ref().map(Link::next_arrival);
        let host = self.host.poll_timeout();
        [there, back, host].into_iter().flatten().min()
    }

    fn knock(&mut self, plan: Plan) -> Reply {
        let mut knock = Knock::new(RUN, plan);
        for _ in 0..1_000 {
            self.network[0].send(self.now, &knock.datagram());
            for _ in 0..10 {
                self.now = self.now + MS;
                self.turn();
                while let Some(datagram) = self.network[1].receive(self.now) {
                    match knock.handle_datagram(&datagram) {
                        Some(Reply::Hears) | None => {}
                        Some(reply) => return reply,
                    }
                }
            }
        }
        panic!("nobody answers");
    }

    /// Runs to the end; `watch` may interfere before each step.
    fn run(
        &mut self,
        strategy: Strategy,
        experiment: &Experiment,
        watch: impl Fn(&mut Self, &mut Live<'_, Box<dyn Sender + Send>>, Duration),
    ) -> Result<Run, LiveError> {
        assert_eq!(self.knock(Plan::new(strategy, experiment)), Reply::Begun);
        let (sender, _) = strategy.halves(Timestamp::ZERO, experiment.round_trip());
        let mut live = Live::new(experiment, sender, RUN);
        let began = self.now;
        for _ in 0..1_000_000 {
            let elapsed = Timestamp::ZERO + self.now.since(began);
            watch(self, &mut live, self.now.since(began));
            while let Some(datagram) = self.network[1].receive(self.now) {
                live.handle_datagram(&datagram);
            }
            let progress = live.step(elapsed)?;
            while let Some(datagram) = live.poll_datagram() {
                self.network[0].send(self.now, &datagram);
            }
            self.turn();
            if progress == Progress::Ended {
                return Ok(live.finish(elapsed)?.0);
            }
            let mine = live.poll_timeout().map(|at| began + at.since(Timestamp::ZERO));
            let next = [mine, self.next()].into_iter().flatten().min();
            self.now = next.expect("somebody waits for something").max(self.now);
        }
        panic!("it does not end");
    }
}

/// The packets of one way that were lost, of the first `count`.
fn lost(run: &Run, way: Way, count: u64) -> BTreeSet<u64> {
    let dropped = |what| match what {
        What::Dropped { way: on, packet, .. } if on == way && packet < count => Some(packet),
        _ => None,
    };
    run.events.iter().filter_map(|event| dropped(event.what)).collect()
}

fn ideal() -> Faults {
    Faults { delay: MS, ..Faults::default() }
}

#[test]
fn packets_meet_the_same_fate_as_in_virtual_time() {
    let experiment = experiment();
    for strategy in Strategy::ALL {
        let alone = strategy.run(&experiment).expect("it keeps the order");
        let mut world = World::new(&ideal());
        let live = world.run(strategy, &experiment, |_, _, _| {}).expect("a host");
        assert_eq!(live.delivered(), 60, "{strategy}");
        for way in [Way::Out, Way::Back] {
            let both = live.sent[way as usize].0.min(alone.sent[way as usize].0);
            assert!(both > 20, "{strategy}: {both}");
            assert_eq!(lost(&live, way, both), lost(&alone, way, both), "{strategy}");
        }
        world.now = world.now + MS;
        world.turn();
        assert_eq!(world.host.runs(), 0, "{strategy} has left");
    }
}

#[test]
fn a_bad_network_in_between_costs_time_and_nothing_else() {
    let experiment = experiment();
    let bad = Faults {
        loss: Loss::Independent(Share::percent(10)),
        duplicate: Share::percent(10),
        reorder: (Share::percent(20), 30 * MS),
        ..ideal()
    };
    for strategy in Strategy::ALL {
        let run = World::new(&bad).run(strategy, &experiment, |_, _, _| {});
        assert_eq!(run.expect("a host").delivered(), 60, "{strategy}");
    }
}

#[test]
fn it_ends_however_long_the_way_is() {
    let traffic = Traffic { messages: 12, ..experiment().traffic };
    let experiment = Experiment { traffic, lasts_max: 800_000 * MS, ..experiment() };
    for delay in [400 * MS, 1_700 * MS] {
        let far = Faults { delay, ..Faults::default() };
        for strategy in Strategy::ALL {
            let run = World::new(&far).run(strategy, &experiment, |_, _, _| {});
            let run = run.expect("a host");
            assert_eq!(run.delivered(), 12, "{strategy}");
            assert!(run.lasted < experiment.lasts_max, "{strategy}: {:?}", run.lasted);
        }
    }
}

#[test]
fn a_host_that_says_something_without_end_does_not_fill_the_memory() {
    let faults = Faults { loss: Loss::Independent(Share::ALL), ..Faults::default() };
    let experiment = Experiment { path: [faults.clone(), faults], ..experiment() };
    for bytes in [0, PACKET_BYTES_MAX] {
        let (sender, _) = Strategy::StopAndWait.halves(Timestamp::ZERO, 40 * MS);
        let mut live = Live::new(&experiment, sender, RUN);
        let packet = Outgoing { bytes: vec![0; bytes], label: Label::Ack { number: 0 } };
        let answer = Said::Answer(Vec::new(), Some(packet)).encode(RUN);
        let result = (0..EVENTS_MAX).find_map(|_| {
            live.handle_datagram(&answer);
            live.step(Timestamp::ZERO).err()
        });
        assert_eq!(result, Some(LiveError::TooMuch));
        let (run, _) = live.finish(Timestamp::ZERO).expect("nothing was given out");
        let (events, back) = (run.events.len(), run.sent[Way::Back as usize].1);
        assert!(events <= EVENTS_MAX + 10 && back <= BACK_BYTES_MAX + 1_500);
        assert!(events > EVENTS_MAX || back > BACK_BYTES_MAX);
    }
}

#[test]
fn it_ends_at_its_time_whatever_has_arrived() {
    let faults = Faults { loss: Loss::Independent(Share::ALL), ..Faults::default() };
    let lasts_max = 40_000 * MS;
    let experiment = Experiment { path: [faults.clone(), faults], lasts_max, ..experiment() };
    // Longer than a host waits for a guest that is silent.
    let run = World::new(&ideal()).run(Strategy::Ours, &experiment, |_, _, _| {});
    let run = run.expect("looks pass");
    assert_eq!((run.delivered(), run.lasted), (0, lasts_max));
}

#[test]
fn a_host_that_goes_ends_the_run() {
    let experiment = experiment();
    for after in [0, 300 * MS.as_millis()] {
        let run = World::new(&ideal()).run(Strategy::Tcp, &experiment, |world, _, elapsed| {
            world.is_host_there &= elapsed.as_millis() < after;
        });
        assert_eq!(run, Err(LiveError::Gone));
    }
}

#[test]
fn a_host_that_says_more_than_was_sent_is_not_believed() {
    let experiment = experiment();
    let lie = |messages| {
        let report = vec![Given { conversation: 1, messages }];
        Said::Answer(report, None).encode(RUN)
    };
    let run = |messages, after: Duration| {
        World::new(&ideal()).run(Strategy::Tcp, &experiment, |_, live, elapsed| {
            if elapsed >= after {
                live.handle_datagram(&lie(messages));
            }
        })
    };
    let wrong = run(u32::MAX, 50 * MS).expect_err("it is noticed");
    assert!(matches!(wrong, LiveError::Broken(Broken::WrongMessage { .. })), "{wrong:?}");
    // When everything is written there is nothing more to lie about.
    assert_eq!(run(u32::MAX, 700 * MS).expect("a host").delivered(), 60);
}

prop_compose! {
    /// What a host could say, with numbers that are near and far.
    fn answer()(
        kind in 0..4_u8,
        near in 0..40_u64,
        far in any::<u64>(),
        is_far in any::<bool>(),
        rest in proptest::collection::vec(any::<u8>(), 0..120),
        cause in 0..5_usize,
    ) -> Vec<u8> {
        let number = if is_far { far } else { near };
        let bytes = match kind {
            // The textbook's acknowledgements; KCP's, TCP's and ours begin with a number.
            0 => [&[1], &number.to_be_bytes()[..]].concat(),
            1 => [&number.to_be_bytes()[..], &[0; 24], &near.to_be_bytes(), &far.to_be_bytes()].concat(),
            2 => [&number.to_be_bytes()[..], &rest].concat(),
            _ => rest,
        };
        let label = Label::Data { number, cause: Cause::ALL[cause] };
        Said::Answer(Vec::new(), Some(Outgoing { bytes, label })).encode(RUN)
    }
}

proptest! {
    #[test]
    fn no_answer_of_a_host_ends_the_guest(
        answers in proptest::collection::vec(answer(), 1..40)
    ) {
        let experiment = Experiment { path: Default::default(), ..experiment() };
        for strategy in Strategy::ALL {
            let (sender, _) = strategy.halves(Timestamp::ZERO, 40 * MS);
            let mut live = Live::new(&experiment, sender, RUN);
            let mut now = Timestamp::ZERO;
            for answer in &answers {
                live.handle_datagram(answer);
                prop_assert!(live.step(now).is_ok());
                while live.poll_datagram().is_some() {}
                now = now + 30 * MS;
            }
        }
    }
}
