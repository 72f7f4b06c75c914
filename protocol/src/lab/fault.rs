//! What a path does to what travels on it, in one direction.

use std::{ops::Range, time::Duration};

use super::jitter::Jitter;
use crate::{entropy::SimRng, time::Timestamp};

/// A share of all cases, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// Never.
    pub const NONE: Self = Self(0);
    /// Always.
    pub const ALL: Self = Self(1_000_000);

    /// So many hundredths, at most all.
    pub const fn percent(percent: u32) -> Self {
        Self::millionths(percent.saturating_mul(10_000))
    }

    /// So many millionths, at most all.
    pub const fn millionths(millionths: u32) -> Self {
        if millionths > 1_000_000 { Self::ALL } else { Self(millionths) }
    }

    /// How many millionths.
    pub const fn as_millionths(self) -> u32 {
        self.0
    }

    fn happens(self, rng: &mut SimRng) -> bool {
        self.0 > 0 && rng.chance(u64::from(self.0), 1_000_000)
    }
}

/// Which datagrams are lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// None.
    #[default]
    None,
    /// Each by itself.
    Independent(Share),
    /// In bursts: a chain with a good and a bad state (Gilbert 1960, Elliott 1963). In the bad one
    /// everything is lost.
    Bursts {
        /// From good to bad, with each datagram.
        begin: Share,
        /// From bad to good.
        end: Share,
    },
    /// These, counted from 0.
    Listed(Vec<u64>),
}

impl Loss {
    /// Bursts that last `length` datagrams and lose `average` of all, in the long run.
    ///
    /// With `e` the chance to end, a burst lasts `1/e` datagrams, and `b/(b + e)` of them are lost.
    pub fn bursts(average: Share, length: u32) -> Self {
        let end = 1_000_000 / length.max(1);
        let lost = u64::from(average.0.min(999_999));
        let begin = u64::from(end) * lost / (1_000_000 - lost);
        Self::Bursts {
            begin: Share::millionths(u32::try_from(begin).unwrap_or(u32::MAX)),
            end: Share::millionths(end),
        }
    }

    /// How many are lost in the long run, to a hundredth of a percent, and how long a burst is on
    /// average; `None` where no chance decides.
    pub fn average(&self) -> Option<(Share, u32)> {
        match self {
            Self::None => Some((Share::NONE, 1)),
            Self::Independent(part) => Some((*part, 1)),
            Self::Bursts { begin, end } => {
                let [begin, end] = [begin, end].map(|share| u64::from(share.as_millionths()));
                // To hundredths of a percent, which undoes what `bursts` has rounded.
                let average = (begin * 10_000 + u64::midpoint(begin, end)) / (begin + end).max(1);
                let length = (1_000_000 + end / 2) / end.max(1);
                let [average, length] = [average * 100, length].map(|it| u32::try_from(it).ok());
                Some((Share::millionths(average?), length?))
            }
            Self::Listed(_) => None,
        }
    }
}

/// A bottleneck: so many bytes in a second, and a queue before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bytes in a second.
    pub bytes_per_second: u64,
    /// Bytes that may wait; what comes when they do is lost.
    pub queue_bytes: u64,
}

/// What happens to datagrams in one direction. The default is a path without faults and delay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Time that everything takes.
    pub delay: Duration,
    /// How far times are from it.
    pub jitter: Jitter,
    /// Which are lost.
    pub loss: Loss,
    /// How many come twice.
    pub duplicate: Share,
    /// How many come with a bit changed.
    pub corrupt: Share,
    /// How many are overtaken, and how much longer those take.
    pub reorder: (Share, Duration),
    /// The bottleneck, if there is one.
    pub rate: Option<Rate>,
    /// What is larger is lost; 0 for no limit.
    pub datagram_bytes_max: usize,
    /// When everything is lost, from the beginning on.
    pub blackouts: Vec<Range<Duration>>,
}

/// Decides the fate of each datagram of one direction.
///
/// The n-th datagram meets the same fate under the same seed, whatever its size and the others', when
/// it comes and what else is set: two transports under one seed differ only in which of their
/// datagrams is the n-th.
#[derive(Clone, Debug)]
pub struct Impairer {
    faults: Faults,
    seed: u64,
    began: Timestamp,
    /// Datagrams so far.
    count: u64,
    is_in_burst: bool,
    /// When the bottleneck has sent everything that waits.
    busy_until: Timestamp,
    /// When the last one in order arrives: none overtakes it by jitter.
    last_arrival: Timestamp,
}

/// What is drawn for a datagram, each from a generator of its own.
#[derive(Clone, Copy, Debug)]
enum Draw {
    Loss,
    Duplicate,
    /// Of the first arrival, and of the one that comes again.
    Jitter(u64),
    Corrupt(u64),
    Reorder(u64),
}

impl Draw {
    const fn number(self) -> u64 {
        match self {
            Self::Loss => 0,
            Self::Duplicate => 1,
            Self::Jitter(arrival) => 2 + arrival,
            Self::Corrupt(arrival) => 4 + arrival,
            Self::Reorder(arrival) => 6 + arrival,
        }
    }
}

/// One arrival of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When.
    pub at: Timestamp,
    /// Which of its bits is changed, modulo their number.
    pub changed_bit: Option<u64>,
}

impl Arrival {
    /// Changes its bit in a datagram that is not empty.
    pub fn damage(&self, datagram: &mut [u8]) {
        let Some(bit) = self.changed_bit else { return };
        let Some(bit) = bit.checked_rem(datagram.len() as u64 * 8) else { return };
        let at = usize::try_from(bit / 8).unwrap_or(0);
        datagram[at] ^= 1 << (bit % 8);
    }
}

/// Why a datagram does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// By chance, or because it is on the list.
    Lost,
    /// During a blackout.
    Blackout,
    /// The queue was full.
    QueueFull,
    /// The path carries none of this size.
    TooLarge,
}

impl Drop {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Blackout => "blackout",
            Self::QueueFull => "queue-full",
            Self::TooLarge => "too-large",
        }
    }
}

impl Impairer {
    /// A path that begins now. Everything that happens on it follows from `seed`.
    pub const fn new(now: Timestamp, faults: Faults, seed: u64) -> Self {
        Self {
            faults,
            seed,
            began: now,
            count: 0,
            is_in_burst: false,
            busy_until: now,
            last_arrival: now,
        }
    }

    /// Both directions of a path that begins now, in the order of `ways`.
    pub fn pair(now: Timestamp, ways: [Faults; 2], seed: u64) -> [Self; 2] {
        let mut seeds = SimRng::new(seed);
        ways.map(|faults| Self::new(now, faults, seeds.next_u64()))
    }

    /// What it does from now on. What is under way is not changed.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// What it does.
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The fate of a datagram of `bytes` bytes that enters the path now: one or two arrivals.
    ///
    /// # Errors
    ///
    /// Why it does not arrive.
    pub fn pass(
        &mut self,
        now: Timestamp,
        bytes: usize,
    ) -> Result<(Arrival, Option<Arrival>), Drop> {
        let number = self.count;
        self.count += 1;
        let is_lost = self.is_lost(number);
        let since = now.since(self.began);
        if self.faults.blackouts.iter().any(|blackout| blackout.contains(&since)) {
            return Err(Drop::Blackout);
        }
        if self.faults.datagram_bytes_max > 0 && bytes > self.faults.datagram_bytes_max {
            return Err(Drop::TooLarge);
        }
        let leaves = self.queue(now, bytes)?;
        // As on a real path: what is lost has used the bottleneck.
        if is_lost {
            return Err(Drop::Lost);
        }
        let first = self.arrive(number, 0, leaves);
        let is_doubled = self.faults.duplicate.happens(&mut self.rng(number, Draw::Duplicate));
        let again = is_doubled.then(|| self.arrive(number, 1, leaves));
        Ok((first, again))
    }

    fn rng(&self, number: u64, draw: Draw) -> SimRng {
        // Neighbouring seeds of this generator have unrelated outputs; each seeds one of its own.
        SimRng::new(SimRng::new(self.seed ^ (number << 3 | draw.number())).next_u64())
    }

    fn is_lost(&mut self, number: u64) -> bool {
        let mut rng = self.rng(number, Draw::Loss);
        match &self.faults.loss {
            Loss::None => false,
            Loss::Independent(share) => share.happens(&mut rng),
            Loss::Bursts { begin, end } => {
                let change = if self.is_in_burst { end } else { begin };
                self.is_in_burst ^= change.happens(&mut rng);
                self.is_in_burst
            }
            Loss::Listed(numbers) => numbers.contains(&number),
        }
    }

    /// Bytes that wait before the bottleneck.
    pub fn queued_bytes(&self, now: Timestamp) -> u64 {
        let Some(Rate { bytes_per_second, .. }) = self.faults.rate else { return 0 };
        let waiting = self.busy_until.since(now).as_micros() * u128::from(bytes_per_second);
        u64::try_from(waiting / 1_000_000).unwrap_or(u64::MAX)
    }

    /// When the bottleneck has sent it.
    fn queue(&mut self, now: Timestamp, bytes: usize) -> Result<Timestamp, Drop> {
        let Some(Rate { bytes_per_second, queue_bytes }) = self.faults.rate else { return Ok(now) };
        let rate = u128::from(bytes_per_second.max(1));
        if self.queued_bytes(now) > queue_bytes {
            return Err(Drop::QueueFull);
        }
        let takes = (bytes as u128 * 1_000_000).div_ceil(rate);
        let takes = Duration::from_micros(u64::try_from(takes).unwrap_or(u64::MAX));
        self.busy_until = self.busy_until.max(now) + takes;
        Ok(self.busy_until)
    }

    fn arrive(&mut self, number: u64, arrival: u64, leaves: Timestamp) -> Arrival {
        let Faults { delay, jitter, .. } = self.faults;
        let takes = jitter.vary(delay, &mut self.rng(number, Draw::Jitter(arrival)));
        let mut rng = self.rng(number, Draw::Corrupt(arrival));
        let changed_bit = self.faults.corrupt.happens(&mut rng).then(|| rng.next_u64());
        let usual = leaves + takes;
        let (share, longer) = self.faults.reorder;
        let at = if share.happens(&mut self.rng(number, Draw::Reorder(arrival))) {
            usual + longer
        } else {
            self.last_arrival = self.last_arrival.max(usual);
            self.last_arrival
        };
        Arrival { at, changed_bit }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::jitter::Shape, *};

    const MS: Duration = Duration::from_millis(1);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn pass(impairer: &mut Impairer, millis: u64, bytes: usize) -> Option<u64> {
        let (first, _) = impairer.pass(at(millis), bytes).ok()?;
        Some(first.at.as_micros() / 1_000)
    }

    /// How many of 100,000 are lost, and how long a run of losses is on average, in hundredths.
    fn losses(loss: Loss) -> (u32, u32) {
        let faults = Faults { loss, ..Faults::default() };
        let mut impairer = Impairer::new(at(0), faults, 1);
        let (mut count, mut bursts, mut was_lost) = (0, 0, false);
        for _ in 0..100_000 {
            let is_lost = impairer.pass(at(0), 100).is_err();
            count += u32::from(is_lost);
            bursts += u32::from(is_lost && !was_lost);
            was_lost = is_lost;
        }
        (count, count * 100 / bursts.max(1))
    }

    #[test]
    fn loss_is_as_frequent_and_as_bursty_as_asked_for() {
        let (lost, run) = losses(Loss::Independent(Share::percent(10)));
        // Four standard deviations are 380; runs of independent losses last 1/(1 - p).
        assert!((9_620..=10_380).contains(&lost) && (105..=117).contains(&run), "{lost} {run}");
        let (lost, run) = losses(Loss::bursts(Share::percent(5), 5));
        assert!((4_300..=5_700).contains(&lost) && (460..=540).contains(&run), "{lost} {run}");
        let faults = Faults { loss: Loss::Listed(vec![0, 2]), ..Faults::default() };
        let mut impairer = Impairer::new(at(0), faults, 1);
        let fates: Vec<bool> = (0..4).map(|_| impairer.pass(at(0), 1).is_ok()).collect();
        assert_eq!(fates, [false, true, false, true]);
    }

    #[test]
    fn a_bottleneck_delays_and_its_queue_overflows() {
        let rate = Some(Rate { bytes_per_second: 100_000, queue_bytes: 2_000 });
        let faults = Faults { delay: 20 * MS, rate, ..Faults::default() };
        let mut impairer = Impairer::new(at(0), faults, 1);
        let arrivals: Vec<_> = (0..4).map(|_| pass(&mut impairer, 0, 1_000)).collect();
        assert_eq!(arrivals, [Some(30), Some(40), Some(50), None], "2,000 bytes wait already");
        assert_eq!(pass(&mut impairer, 15, 1_000), Some(60));
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let faults = Faults { delay: 10 * MS, jitter: Jitter::up_to(5 * MS), ..Faults::default() };
        let mut impairer = Impairer::new(at(0), faults.clone(), 7);
        let arrivals: Vec<_> = (0..100).filter_map(|n| pass(&mut impairer, n, 1)).collect();
        assert!(arrivals.is_sorted());
        impairer.set_faults(Faults { reorder: (Share::percent(20), 8 * MS), ..faults });
        let arrivals: Vec<_> = (100..200).filter_map(|n| pass(&mut impairer, n, 1)).collect();
        assert!(arrivals.len() == 100 && !arrivals.is_sorted());
    }

    #[test]
    fn what_follows_a_slow_datagram_closely_waits_for_it_and_what_is_far_behind_does_not() {
        let mean = |apart: u64| {
            let jitter = Jitter { by: 5 * MS, shape: Shape::Exponential };
            let faults = Faults { jitter, ..Faults::default() };
            let mut impairer = Impairer::new(at(0), faults, 1);
            let took = (0..2_000).filter_map(|n| {
                let (first, _) = impairer.pass(at(n * apart), 1).ok()?;
                Some(first.at.since(at(n * apart)).as_micros())
            });
            took.sum::<u128>() / 2_000
        };
        // Five standard deviations of the mean are 560.
        assert!((4_440..=5_560).contains(&mean(1_000)), "{}", mean(1_000));
        assert!(mean(1) > 10_000, "{}", mean(1));
    }

    #[test]
    fn during_a_blackout_nothing_passes() {
        let faults = Faults { blackouts: vec![5 * MS..7 * MS], ..Faults::default() };
        let mut impairer = Impairer::new(at(100), faults, 1);
        let passed: Vec<_> = (104..109).map(|n| pass(&mut impairer, n, 1).is_some()).collect();
        assert_eq!(passed, [true, false, false, true, true]);
    }

    #[test]
    fn the_fate_of_a_datagram_depends_on_its_number_alone() {
        let lossy = Faults { loss: Loss::Independent(Share::percent(30)), ..Faults::default() };
        let busy = Faults {
            jitter: Jitter::up_to(9 * MS),
            duplicate: Share::percent(10),
            corrupt: Share::percent(10),
            reorder: (Share::percent(10), 30 * MS),
            ..lossy.clone()
        };
        let fates = |faults: &Faults, bytes| {
            let mut impairer = Impairer::new(at(0), faults.clone(), 3);
            (0..100).map(|n| impairer.pass(at(n), bytes).is_ok()).collect::<Vec<_>>()
        };
        assert_eq!(fates(&lossy, 100), fates(&busy, 1_000));
    }

    #[test]
    fn the_same_seed_gives_the_same_path() {
        let faults = Faults {
            delay: 20 * MS,
            jitter: Jitter::up_to(9 * MS),
            loss: Loss::Independent(Share::percent(30)),
            duplicate: Share::percent(10),
            corrupt: Share::percent(10),
            reorder: (Share::percent(10), 30 * MS),
            ..Faults::default()
        };
        let run = |seed| {
            let mut impairer = Impairer::new(at(0), faults.clone(), seed);
            (0..100).map(|n| impairer.pass(at(n), 500)).collect::<Vec<_>>()
        };
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }

    #[test]
    fn the_average_of_bursts_is_what_they_were_made_of() {
        for (percent, length) in [(5, 4), (10, 3), (40, 5)] {
            let average = Share::percent(percent);
            assert_eq!(Loss::bursts(average, length).average(), Some((average, length)));
        }
        assert_eq!(Loss::Listed(vec![1]).average(), None);
    }
}
