//! The host of receivers for experiments elsewhere.
//!
//! [`Host::handle_datagram`] and [`Host::handle_timeout`], each time followed by
//! [`Host::poll_transmit`] until it gives nothing; then wait for [`Host::poll_timeout`].

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    net::SocketAddr,
    time::Duration,
};

use super::{Given, LASTS_MAX, Plan, RunName, wire::Said};
use crate::{
    connection::datagram::{Cookies, InitDigest},
    entropy::Entropy,
    lab::{experiment::message_of, strategy::Receiver},
    time::Timestamp,
};

/// Runs at once. Each receiver keeps what came early: some megabytes at most.
pub const RUNS_MAX: usize = 16;
/// A run is forgotten when its guest has said nothing for so long.
pub const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Bytes of a packet at most; no strategy sends larger ones towards its receiver.
pub const PACKET_BYTES_MAX: usize = 1_500;
/// Conversations in the report of an answer: those that changed last.
const REPORTED_MAX: usize = 16;

/// The receivers, by guest.
pub struct Host {
    cookies: Cookies,
    runs: BTreeMap<(SocketAddr, RunName), Hosted>,
    outgoing: VecDeque<(SocketAddr, Vec<u8>)>,
    counts: Counts,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Runs that began.
    pub begun: u64,
    /// Guests that knocked when there was no room.
    pub refused: u64,
    /// Packets that were taken.
    pub packets: u64,
}

/// A run, as its host sees it.
struct Hosted {
    plan: Plan,
    receiver: Box<dyn Receiver + Send>,
    began: Timestamp,
    heard_at: Timestamp,
    /// By conversation, messages that were given out.
    given: Vec<u32>,
    /// Conversations that changed, the last one first.
    recent: VecDeque<u8>,
    /// The receiver gave out what was not due: nothing more is taken.
    is_broken: bool,
}

impl Host {
    /// A host without guests.
    pub fn new(entropy: &mut Entropy) -> Self {
        Self {
            cookies: Cookies::new(entropy),
            runs: BTreeMap::new(),
            outgoing: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// How many runs it has now.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// What has happened so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes a datagram. What makes no sense is ignored: anybody can send one.
    pub fn handle_datagram(&mut self, now: Timestamp, from: SocketAddr, datagram: &[u8]) {
        let Some((run, said)) = Said::decode(datagram) else { return };
        match said {
            Said::Ask(plan) => {
                let cookie = self.cookies.make(now, from, &digest(run, plan));
                self.say(from, run, &Said::Cookie(&cookie));
            }
            Said::Begin(plan, cookie) => {
                if self.cookies.is_ours(now, from, &digest(run, plan), cookie) {
                    let is_begun = self.begin(now, from, run, plan);
                    self.say(from, run, &if is_begun { Said::Begun } else { Said::Refused });
                }
            }
            Said::Packet(packet) => {
                if let Some(hosted) = self.runs.get_mut(&(from, run))
                    && packet.len() <= PACKET_BYTES_MAX
                {
                    self.counts.packets += 1;
                    let answers = hosted.handle_packet(now, packet);
                    self.outgoing.extend(answers.iter().map(|it| (from, it.encode(run))));
                }
            }
            Said::Look(number) => {
                if let Some(hosted) = self.runs.get_mut(&(from, run)) {
                    hosted.heard_at = now;
                    let report = hosted.report(hosted.given.len());
                    self.say(from, run, &Said::Seen(number, report));
                }
            }
            Said::Leave => {
                self.runs.remove(&(from, run));
            }
            // What hosts say.
            Said::Cookie(_) | Said::Begun | Said::Refused | Said::Answer(..) | Said::Seen(..) => {}
        }
    }

    /// Time has come to what [`Self::poll_timeout`] said.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.forget(now);
        for ((from, run), hosted) in &mut self.runs {
            if hosted.receiver.poll_timeout().is_some_and(|due| due <= now) {
                hosted.receiver.handle_timeout(now);
                let answers = hosted.answers(now);
                self.outgoing.extend(answers.iter().map(|it| (*from, it.encode(*run))));
            }
        }
    }

    /// A datagram to send.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.outgoing.pop_front()
    }

    /// When time alone changes something.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let due = |hosted: &Hosted| {
            let receiver = hosted.receiver.poll_timeout();
            receiver.map_or(hosted.forgotten_at(), |due| due.min(hosted.forgotten_at()))
        };
        self.runs.values().map(due).min()
    }

    /// Whether the run goes on here.
    fn begin(&mut self, now: Timestamp, from: SocketAddr, run: RunName, plan: Plan) -> bool {
        // The answer to the first one may be lost, and the guest begins again.
        if self.runs.contains_key(&(from, run)) {
            return true;
        }
        self.forget(now);
        // Whoever begins another run has no use for the last one, and its leaving may be lost.
        self.runs.retain(|(guest, _), _| *guest != from);
        if self.runs.len() >= RUNS_MAX {
            self.counts.refused += 1;
            return false;
        }
        self.counts.begun += 1;
        self.runs.insert((from, run), Hosted::new(now, plan));
        true
    }

    fn forget(&mut self, now: Timestamp) {
        self.runs.retain(|_, hosted| now < hosted.forgotten_at());
    }

    fn say(&mut self, to: SocketAddr, run: RunName, said: &Said<'_>) {
        self.outgoing.push_back((to, said.encode(run)));
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("runs", &self.runs.len()).finish_non_exhaustive()
    }
}

impl Hosted {
    fn new(now: Timestamp, plan: Plan) -> Self {
        let (_, receiver) = plan.strategy.halves(now, plan.round_trip);
        Self {
            plan,
            receiver,
            began: now,
            heard_at: now,
            given: vec![0; plan.conversations.into()],
            recent: VecDeque::new(),
            is_broken: false,
        }
    }

    fn forgotten_at(&self) -> Timestamp {
        // Whoever has had all of its time may look a last time.
        (self.began + LASTS_MAX + SILENCE_MAX).min(self.heard_at + SILENCE_MAX)
    }

    fn handle_packet(&mut self, now: Timestamp, packet: &[u8]) -> Vec<Said<'static>> {
        self.heard_at = now;
        if self.is_broken {
            return Vec::new();
        }
        self.receiver.handle_packet(now, packet);
        self.answers(now)
    }

    /// What the receiver sends now, and an empty answer if it sends nothing and there is news.
    fn answers(&mut self, now: Timestamp) -> Vec<Said<'static>> {
        let mut is_news = false;
        while let Some(message) = self.receiver.poll_message() {
            is_news |= self.give_out(&message);
        }
        let mut answers = Vec::new();
        while let Some(packet) = self.receiver.poll_packet(now) {
            answers.push(Said::Answer(self.report(REPORTED_MAX), Some(packet)));
        }
        if answers.is_empty() && is_news {
            answers.push(Said::Answer(self.report(REPORTED_MAX), None));
        }
        answers
    }

    /// Counts a message, if it is the next one of its conversation.
    fn give_out(&mut self, message: &[u8]) -> bool {
        let Plan { conversations, message_bytes, .. } = self.plan;
        let named = message.first_chunk().map_or(u64::MAX, |name| u64::from_be_bytes(*name));
        let conversation = u8::try_from(named % u64::from(conversations)).unwrap_or(0);
        let given = &mut self.given[usize::from(conversation)];
        let due = given.saturating_mul(conversations.into()).saturating_add(conversation.into());
        if message != message_of(due, message_bytes.into()) {
            self.is_broken = true;
            return false;
        }
        *given += 1;
        self.recent.retain(|it| *it != conversation);
        self.recent.push_front(conversation);
        true
    }

    fn report(&self, most: usize) -> Vec<Given> {
        let given = |conversation: &u8| Given {
            conversation: *conversation,
            messages: self.given[usize::from(*conversation)],
        };
        self.recent.iter().take(most).map(given).collect()
    }
}

/// What a cookie is for: nobody can bring it back for another run.
fn digest(run: RunName, plan: Plan) -> InitDigest {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&run);
    bytes[8..16].copy_from_slice(&plan.encode());
    InitDigest(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lab::scenario::Strategy;

    const RUN: RunName = [7; 8];

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn guest(number: usize) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], u16::try_from(number).expect("a port")))
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
        let Some((_, Said::Cookie(cookie))) = Said::decode(&answers[0]) else {
            panic!("no cookie")
        };
        tell(host, now, from, &Said::Begin(plan, cookie))
    }

    fn given(host: &mut Host, now: Timestamp) -> Vec<Given> {
        let answers = tell(host, now, guest(1), &Said::Look(3));
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
        for said in [Said::Packet(b"packet"), Said::Look(1), Said::Leave] {
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
            tell(&mut host, at(100 + now), guest(1), &Said::Look(1));
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
    }

    #[test]
    fn a_packet_that_no_strategy_sends_is_not_taken() {
        let mut host = host();
        begin(&mut host, at(0), guest(1), plan(Strategy::StopAndWait));
        let mut large = packet(0, 0);
        large.resize(PACKET_BYTES_MAX + 1, 0);
        assert!(tell(&mut host, at(0), guest(1), &Said::Packet(&large)).is_empty());
        large.truncate(PACKET_BYTES_MAX);
        assert_eq!(tell(&mut host, at(0), guest(1), &Said::Packet(&large)).len(), 1);
        assert_eq!(host.counts().packets, 1);
    }

    proptest! {
        #[test]
        fn no_packet_of_a_guest_ends_the_host(
            packets in proptest::collection::vec(
                (0..3_u8, any::<u64>(), proptest::collection::vec(any::<u8>(), 0..80)), 1..20)
        ) {
            for strategy in Strategy::ALL {
                let mut host = host();
                begin(&mut host, at(0), guest(1), plan(strategy));
                for (second, (kind, number, rest)) in packets.iter().enumerate() {
                    let now = at(second as u64);
                    let with_kind = [&[*kind], &number.to_be_bytes()[..], rest].concat();
                    let without = [&number.to_be_bytes()[..], rest].concat();
                    for packet in [&with_kind, &without, rest] {
                        tell(&mut host, now, guest(1), &Said::Packet(packet));
                        host.handle_timeout(now);
                        while host.poll_transmit().is_some() {}
                    }
                }
                prop_assert_eq!(host.runs(), 1);
            }
        }
    }
}
