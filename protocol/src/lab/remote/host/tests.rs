use proptest::prelude::*;

use super::*;
use crate::lab::scenario::Strategy;

const RUN: RunName = [7; 8];

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn guest(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(number).expect("few")], 4_546))
}

fn plan(strategy: Strategy) -> Plan {
    let round_trip = Duration::from_millis(40);
    Plan { strategy, conversations: 1, message_bytes: 8, round_trip }
}

fn host() -> Host {
    Host::new(&mut Entropy::seeded_for_simulation(1))
}

fn tell(host: &mut Host, now: Timestamp, from: SocketAddr, said: &Said<'_>) -> Vec<Vec<u8>> {
    host.handle_datagram(now, from, &said.encode(RUN));
    let answers: Vec<_> = std::iter::from_fn(|| host.poll_transmit()).collect();
    assert!(answers.iter().all(|(to, _)| *to == from), "to nobody else");
    answers.into_iter().map(|(_, bytes)| bytes).collect()
}

/// Asks, begins; what the host says to that.
fn begin(host: &mut Host, now: Timestamp, from: SocketAddr, plan: Plan) -> Vec<Vec<u8>> {
    let answers = tell(host, now, from, &Said::Ask(plan));
    let Some((_, Said::Cookie(cookie))) = Said::decode(&answers[0]) else { panic!("no cookie") };
    tell(host, now, from, &Said::Begin(plan, cookie))
}

fn given(host: &mut Host, now: Timestamp) -> Vec<Given> {
    let answers = tell(host, now, guest(1), &Said::Look(3, 9));
    let Some((_, Said::Seen(3, report))) = Said::decode(&answers[0]) else {
        panic!("nothing to see")
    };
    report
}

/// A packet of stop-and-wait.
fn packet(number: u64, message: u64) -> Vec<u8> {
    [&[0], &number.to_be_bytes()[..], &message.to_be_bytes()].concat()
}

#[test]
fn who_has_not_shown_that_it_hears_gets_less_than_it_sent_and_costs_nothing() {
    let mut host = host();
    let plan = plan(Strategy::Tcp);
    let ask = Said::Ask(plan);
    let answers = tell(&mut host, at(0), guest(1), &ask);
    let [cookie] = &answers[..] else { panic!("{answers:?}") };
    assert!(cookie.len() < ask.encode(RUN).len());
    let Some((_, Said::Cookie(cookie))) = Said::decode(cookie) else { panic!("no cookie") };
    // Of somebody else, for something else, and none at all.
    let begin = Said::Begin(plan, cookie);
    assert!(tell(&mut host, at(0), guest(2), &begin).is_empty());
    let other = Plan { conversations: 2, ..plan };
    assert!(tell(&mut host, at(0), guest(1), &Said::Begin(other, cookie)).is_empty());
    assert!(tell(&mut host, at(0), guest(1), &Said::Begin(plan, &[])).is_empty());
    for said in [Said::Packet(b"packet"), Said::Look(1, 1), Said::Leave] {
        assert!(tell(&mut host, at(0), guest(1), &said).is_empty());
    }
    assert_eq!((host.runs(), host.counts()), (0, Counts::default()));
    assert_eq!(tell(&mut host, at(0), guest(1), &begin), [Said::Begun.encode(RUN)]);
    assert_eq!(tell(&mut host, at(0), guest(1), &begin), [Said::Begun.encode(RUN)], "again");
    assert_eq!((host.runs(), host.counts().begun), (1, 1));
}

#[test]
fn so_many_runs_at_once_and_no_more() {
    let mut host = host();
    let plan = plan(Strategy::Ours);
    for number in 0..RUNS_MAX {
        assert_eq!(begin(&mut host, at(0), guest(number), plan), [Said::Begun.encode(RUN)]);
    }
    let refused = [Said::Refused.encode(RUN)];
    assert_eq!(begin(&mut host, at(0), guest(RUNS_MAX), plan), refused);
    tell(&mut host, at(0), guest(3), &Said::Leave);
    let begun = [Said::Begun.encode(RUN)];
    assert_eq!(begin(&mut host, at(0), guest(RUNS_MAX), plan), begun, "somebody left");
    assert_eq!(host.counts(), Counts { begun: 1 + RUNS_MAX as u64, refused: 1, packets: 0 });
}

#[test]
fn one_address_does_not_have_all_of_them() {
    let mut host = host();
    let plan = plan(Strategy::Ours);
    let ports = |port| SocketAddr::from(([10, 0, 0, 1], port));
    for port in 0..4 {
        assert_eq!(begin(&mut host, at(0), ports(port), plan), [Said::Begun.encode(RUN)]);
    }
    assert_eq!(begin(&mut host, at(0), ports(4), plan), [Said::Refused.encode(RUN)]);
    assert_eq!(begin(&mut host, at(0), guest(2), plan), [Said::Begun.encode(RUN)]);
    assert_eq!((host.runs(), RUNS_PER_ADDRESS_MAX), (5, 4));
}

#[test]
fn a_late_datagram_begins_no_run_again_and_ends_none() {
    let [first, second] = [[1; 8], [2; 8]];
    let plan = plan(Strategy::Tcp);
    for is_leaving_lost in [false, true] {
        let mut host = host();
        let mut tell = |run, said: &Said<'_>| {
            host.handle_datagram(at(0), guest(1), &said.encode(run));
            std::iter::from_fn(|| host.poll_transmit()).map(|it| it.1).collect::<Vec<_>>()
        };
        let mut begins = Vec::new();
        for run in [first, second] {
            let answers = tell(run, &Said::Ask(plan));
            let Some((_, Said::Cookie(cookie))) = Said::decode(&answers[0]) else {
                panic!("no cookie")
            };
            begins.push(cookie.to_vec());
            assert_eq!(tell(run, &Said::Begin(plan, cookie)), [Said::Begun.encode(run)]);
            if run == first && !is_leaving_lost {
                tell(run, &Said::Leave);
            }
        }
        assert!(tell(first, &Said::Begin(plan, &begins[0])).is_empty());
        assert_eq!(tell(second, &Said::Look(1, 1)).len(), 1, "it goes on");
        assert_eq!((host.runs(), host.counts().begun), (1, 2));
    }
}

#[test]
fn what_is_over_is_not_remembered_without_end() {
    let mut host = host();
    for number in 0..=OVER_MAX {
        let run = (number as u64).to_be_bytes();
        assert!(host.begin(at(0), guest(1), run, plan(Strategy::Tcp)));
    }
    assert_eq!((host.runs(), host.over.len()), (1, OVER_MAX));
    host.begin(at(0), guest(1), RUN, plan(Strategy::Tcp));
    assert_eq!(host.over.len(), OVER_MAX);
}

#[test]
fn the_answer_to_a_look_is_no_larger_than_the_look() {
    let mut host = host();
    let traffic = Plan { conversations: 3, ..plan(Strategy::StopAndWait) };
    begin(&mut host, at(0), guest(1), traffic);
    for number in 0..3 {
        tell(&mut host, at(0), guest(1), &Said::Packet(&packet(number, number)));
    }
    for room in 0..=3 {
        let look = Said::Look(1, room).encode(RUN);
        let answers = tell(&mut host, at(0), guest(1), &Said::Look(1, room));
        let Some((_, Said::Seen(1, report))) = Said::decode(&answers[0]) else {
            panic!("nothing to see")
        };
        assert_eq!((answers[0].len(), report.len()), (look.len(), room.into()));
    }
}

#[test]
fn who_is_silent_or_stays_too_long_is_forgotten() {
    let mut host = host();
    begin(&mut host, at(0), guest(1), plan(Strategy::Kcp));
    host.handle_timeout(at(SILENCE_MAX.as_secs() - 1));
    assert_eq!(host.runs(), 1);
    assert_eq!(host.poll_timeout(), Some(at(SILENCE_MAX.as_secs())));
    host.handle_timeout(at(SILENCE_MAX.as_secs()));
    assert_eq!((host.runs(), host.poll_timeout()), (0, None));
    begin(&mut host, at(100), guest(1), plan(Strategy::Kcp));
    let mut now = 0;
    while host.runs() == 1 {
        now += 10;
        tell(&mut host, at(100 + now), guest(1), &Said::Look(1, 1));
        host.handle_timeout(at(100 + now));
    }
    assert_eq!(now, (LASTS_MAX + SILENCE_MAX).as_secs());
}

#[test]
fn messages_that_are_not_due_are_not_counted() {
    let mut host = host();
    begin(&mut host, at(0), guest(1), plan(Strategy::StopAndWait));
    let one = [Given { conversation: 0, messages: 1 }];
    let answers = tell(&mut host, at(0), guest(1), &Said::Packet(&packet(0, 0)));
    let Some((_, Said::Answer(report, Some(_)))) = Said::decode(&answers[0]) else {
        panic!("no answer")
    };
    assert_eq!((&report[..], &given(&mut host, at(0))[..]), (&one[..], &one[..]));
    for wrong in [packet(1, 5), packet(2, 1)] {
        tell(&mut host, at(0), guest(1), &Said::Packet(&wrong));
    }
    assert_eq!(given(&mut host, at(0)), one);
    assert_eq!(host.counts().packets, 2, "nothing more was taken");
    assert_eq!(host.poll_timeout(), Some(at(SILENCE_MAX.as_secs())));
}

#[test]
fn the_timers_of_a_broken_run_wake_nobody() {
    let mut host = host();
    begin(&mut host, at(0), guest(1), plan(Strategy::Ours));
    let silent = Some(at(SILENCE_MAX.as_secs()));
    tell(&mut host, at(0), guest(1), &Said::Packet(&packets_of(Strategy::Ours)[0]));
    assert!(host.poll_timeout() < silent, "its receiver has a timer");
    host.runs.values_mut().for_each(|hosted| hosted.is_broken = true);
    assert_eq!(host.poll_timeout(), silent);
}

#[test]
fn nothing_that_comes_after_a_wrong_message_is_counted() {
    let mut host = host();
    let traffic = Plan { conversations: 2, ..plan(Strategy::SelectiveRepeat) };
    begin(&mut host, at(0), guest(1), traffic);
    // The last one lets all of them out at once.
    for (number, message) in [(3, 1), (2, 0), (1, 6), (0, 0)] {
        tell(&mut host, at(0), guest(1), &Said::Packet(&packet(number, message)));
    }
    assert_eq!(given(&mut host, at(0)), [Given { conversation: 0, messages: 1 }]);
}

#[test]
fn a_packet_that_no_strategy_sends_is_not_taken() {
    let mut host = host();
    begin(&mut host, at(0), guest(1), plan(Strategy::StopAndWait));
    let mut large = packet(0, 0);
    large.resize(PACKET_BYTES_MAX + 1, 0);
    assert!(tell(&mut host, at(0), guest(1), &Said::Packet(&large)).is_empty());
    assert_eq!(host.counts().packets, 0);
    large.truncate(PACKET_BYTES_MAX);
    tell(&mut host, at(0), guest(1), &Said::Packet(&large));
    assert_eq!(host.counts().packets, 1);
}

/// The packets with which a strategy's sender begins.
fn packets_of(strategy: Strategy) -> Vec<Vec<u8>> {
    let (mut sender, _) = strategy.halves(at(0), Duration::from_millis(40));
    for message in 0..6 {
        sender.write(at(0), 0, &message_of(message, 8));
    }
    let mut packets = Vec::new();
    for second in 0..4 {
        packets.extend(std::iter::from_fn(|| sender.poll_packet(at(second))).take(10));
        sender.handle_timeout(at(second));
    }
    packets.into_iter().map(|it| it.bytes).collect()
}

#[test]
fn packets_of_every_strategy_are_taken() {
    for strategy in Strategy::ALL {
        let mut host = host();
        begin(&mut host, at(0), guest(1), plan(strategy));
        for packet in packets_of(strategy) {
            tell(&mut host, at(0), guest(1), &Said::Packet(&packet));
        }
        assert!(given(&mut host, at(0)).iter().all(|it| it.messages > 0), "{strategy}");
        assert_eq!(given(&mut host, at(0)).len(), 1, "{strategy}");
    }
}

prop_compose! {
    /// What happens to a packet: which one it is, bytes of it that change, how much is cut off
    /// and what is put there.
    fn damage()(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in 0..3_usize,
        rest in prop::collection::vec(any::<u8>(), 0..9),
    ) -> (prop::sample::Index, Vec<(prop::sample::Index, u8)>, usize, Vec<u8>) {
        (which, changes, cut, rest)
    }
}

proptest! {
    #[test]
    fn no_packet_of_a_guest_ends_the_host(damages in prop::collection::vec(damage(), 1..40)) {
        for strategy in Strategy::ALL {
            let mut host = host();
            begin(&mut host, at(0), guest(1), plan(strategy));
            let packets = packets_of(strategy);
            for (second, (which, changes, cut, rest)) in damages.iter().enumerate() {
                // Often enough not to be forgotten, and late enough for every timer.
                let now = at(second as u64);
                let mut packet = which.get(&packets).clone();
                for (place, bits) in changes {
                    let place = place.index(packet.len());
                    packet[place] ^= bits;
                }
                // Most stay as long as they are: what is cut is no frame any more.
                if *cut == 0 {
                    packet.truncate(packet.len() - rest.len().min(packet.len()));
                } else if *cut == 1 {
                    packet.extend(rest);
                }
                tell(&mut host, now, guest(1), &Said::Packet(&packet));
                host.handle_timeout(now);
                while host.poll_transmit().is_some() {}
                let report = given(&mut host, now);
                prop_assert!(report.iter().all(|it| it.messages <= 6), "{report:?}");
            }
            prop_assert_eq!(host.runs(), 1);
        }
    }
}
