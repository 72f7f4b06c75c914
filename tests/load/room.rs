//! A room full of members, some of whom send, all of whom check what they get.
//!
//! Every member follows the room and puts each run it receives through an [`OrderChecker`], by its
//! offset alone. The last member is the *witness*: it decodes every record and checks each sender's
//! own numbers. What it has seen also drives the senders, when they are to keep a fixed number of
//! messages under way. The members' tasks are in [`crate::member`].

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    time::Duration,
};

use harness::client::{ClientError, RelayEndpoint};
use protocol::ids::{ConversationId, DeviceId};
use tokio::{
    sync::Notify,
    task::spawn_local,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    bench::{BenchError, Person, for_each},
    check::{Faults, OrderChecker},
    member::Member,
    report::{Budget, Report},
    stats::{Latencies, number},
};

/// How long after the last send a message may come before it counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(5);
/// How often it is looked whether everything has come.
const ARRIVAL_CHECK: Duration = Duration::from_millis(10);

/// Who meets where.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    /// The room, which is founded for them.
    pub(crate) room: &'static str,
    /// Number of the first member in the test.
    pub(crate) first_index: u32,
    /// How many there are, at least one.
    pub(crate) members: u32,
    /// How many of them send, the first ones.
    pub(crate) senders: u16,
    /// How many follow the room besides them and never read.
    pub(crate) never_read: u32,
}

/// The room while it is measured: what its members share.
#[derive(Debug)]
pub(crate) struct Room {
    /// The conversation.
    pub(crate) conversation: ConversationId,
    /// When the test began; stamps count from here.
    pub(crate) begun: Instant,
    /// Those who send, by their number.
    pub(crate) senders: Vec<Sender>,
    /// What each member has received.
    pub(crate) received: Vec<RefCell<OrderChecker>>,
    /// What the witness has read, by sender.
    pub(crate) witnessed: Vec<RefCell<OrderChecker>>,
    /// Latencies, while they are wanted.
    pub(crate) timing: RefCell<Option<Timing>>,
    /// Records received, all members together.
    pub(crate) deliveries: Cell<u64>,
    /// Messages that nobody sent like this, acknowledgements out of order.
    pub(crate) foreign: Cell<u64>,
    /// The sessions that follow and never read.
    pub(crate) never_read: RefCell<Vec<Person>>,
    /// Why members left.
    pub(crate) failures: RefCell<Vec<String>>,
    // Messages of one sender under way at most; `None` lets nobody send by itself.
    window: Cell<Option<u64>>,
    // The place of the first message sent here.
    first_seq: u64,
    // Records of people who are not of the crowd: that they joined.
    visitors: Cell<u64>,
}

/// A member who sends.
#[derive(Debug)]
pub(crate) struct Sender {
    /// Its device: what the witness expects in the envelope.
    pub(crate) device: DeviceId,
    /// How many it may have sent by now.
    pub(crate) allowed: Cell<u64>,
    /// How many it has sent.
    pub(crate) sent: Cell<u64>,
    /// How many of them the relay has acknowledged.
    pub(crate) accepted: Cell<u64>,
    /// When the next ones are due; now, where nothing is noted.
    pub(crate) due: RefCell<VecDeque<Duration>>,
    /// Rung when more is allowed.
    pub(crate) wake: Notify,
}

/// Latencies of all deliveries. Only the first member to receive a message reads its due time.
#[derive(Debug)]
pub(crate) struct Timing {
    /// They.
    pub(crate) latencies: Latencies,
    /// Due times by place in the log, from `first_seq` on.
    pub(crate) due: Vec<Duration>,
    /// Place of the first timed message.
    pub(crate) first_seq: u64,
}

impl Room {
    /// Registers everybody, founds the room, lets all join, then follow, and sets them going.
    ///
    /// # Errors
    ///
    /// If any of that fails.
    pub(crate) async fn fill(relay: RelayEndpoint, crowd: &Crowd) -> Result<Rc<Self>, BenchError> {
        let indexes = crowd.first_index..crowd.first_index + crowd.members;
        let mut people = for_each(indexes, |index| Person::register(relay, index)).await?;
        let name = crowd.room;
        let conversation = match people.first_mut() {
            Some(founder) => founder.create_room(name).await?.id,
            None => return Err(BenchError::Failed("a room needs members".to_owned())),
        };
        let joined = for_each(people, |mut person| async move {
            let info = person.client.join(name).await?;
            Ok((person, info))
        })
        .await?;
        let end = crowd.first_index + crowd.members;
        let mut idlers = for_each(end..end + crowd.never_read, |index| async move {
            let mut person = Person::register(relay, index).await?;
            person.client.join(name).await?;
            Ok(person)
        })
        .await?;
        // Only now, so that nobody's joining is among the messages that are counted.
        let following = for_each(joined, |(mut person, info)| async move {
            let following = person.client.follow_from_now(info.id).await?;
            Ok((person, following.from))
        })
        .await?;
        let first_seq = following[0].1;
        if following.iter().any(|(_, from)| *from != first_seq) {
            return Err(BenchError::Failed("the streams begin at different places".to_owned()));
        }
        for idler in &mut idlers {
            idler.client.follow_from_now(conversation).await?;
        }
        let people: Vec<_> = following.into_iter().map(|(person, _)| person).collect();
        let room = Rc::new(Self::new(conversation, first_seq.0, &people, crowd.senders));
        room.never_read.replace(idlers);
        for (index, person) in people.into_iter().enumerate() {
            spawn_local(Member::new(Rc::clone(&room), index, person).run());
        }
        Ok(room)
    }

    fn new(conversation: ConversationId, first_seq: u64, people: &[Person], senders: u16) -> Self {
        let senders: Vec<_> = people
            .iter()
            .take(usize::from(senders))
            .map(|person| Sender {
                device: person.identity.device(),
                allowed: Cell::new(0),
                sent: Cell::new(0),
                accepted: Cell::new(0),
                due: RefCell::default(),
                wake: Notify::new(),
            })
            .collect();
        let received = OrderChecker::starting_at(first_seq);
        Self {
            conversation,
            begun: Instant::now(),
            received: people.iter().map(|_| RefCell::new(received.clone())).collect(),
            witnessed: senders.iter().map(|_| RefCell::default()).collect(),
            senders,
            timing: RefCell::new(None),
            deliveries: Cell::new(0),
            foreign: Cell::new(0),
            never_read: RefCell::default(),
            failures: RefCell::default(),
            window: Cell::new(None),
            first_seq,
            visitors: Cell::new(0),
        }
    }

    /// Whether the member with this index is the one who reads everything.
    pub(crate) const fn is_witness(&self, index: usize) -> bool {
        index + 1 == self.received.len()
    }

    /// Lets every sender keep this many messages under way, as the witness sees it.
    pub(crate) fn open_window(&self, window: u64) {
        self.window.set(Some(window));
        for sender in &self.senders {
            sender.allow(window);
        }
    }

    /// Lets a sender whose messages the witness has seen up to here send more.
    pub(crate) fn move_window(&self, sender: usize, seen: u64) {
        if let Some(window) = self.window.get() {
            self.senders[sender].allow(seen + window);
        }
    }

    /// Sends `rate` messages per second for a time, each from the next sender, at times that do not
    /// depend on how the relay keeps up. Returns how late the driver itself was: a message's
    /// latency counts from the moment its turn really came.
    pub(crate) async fn pace(&self, rate: u32, duration: Duration) -> Latencies {
        let mut lateness = Latencies::new();
        let start = Instant::now();
        let count = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).saturating_mul(rate);
        for (message, sender) in (0..count).zip(self.senders.iter().cycle()) {
            let planned = start + Duration::from_secs(1) * message / rate;
            sleep_until(planned).await;
            let now = Instant::now();
            lateness.record(now - planned);
            sender.due.borrow_mut().push_back(now - self.begun);
            sender.allow(sender.allowed.get() + 1);
        }
        lateness
    }

    /// Times every delivery of what is sent from now on.
    pub(crate) fn start_timing(&self) {
        *self.timing.borrow_mut() = Some(Timing {
            latencies: Latencies::new(),
            due: Vec::new(),
            first_seq: self.end_seq(),
        });
    }

    /// Stops timing; what was timed.
    pub(crate) fn stop_timing(&self) -> Latencies {
        self.timing.take().map_or_else(Latencies::new, |timing| timing.latencies)
    }

    /// Lets nobody send any more and waits until everything has arrived or counts as lost.
    pub(crate) async fn finish(&self) {
        self.window.set(None);
        for sender in &self.senders {
            sender.allowed.set(sender.sent.get());
        }
        self.wait_for_arrival().await;
    }

    /// Waits until everything sent so far has arrived and is acknowledged, or counts as lost.
    pub(crate) async fn wait_for_arrival(&self) {
        let deadline = Instant::now() + LOST_AFTER;
        while !self.is_complete() && Instant::now() < deadline {
            sleep(ARRIVAL_CHECK).await;
        }
    }

    fn is_complete(&self) -> bool {
        let end = self.end_seq();
        self.unacknowledged() == 0 && self.received.iter().all(|order| order.borrow().next() >= end)
    }

    /// The place behind the last message sent.
    fn end_seq(&self) -> u64 {
        let sent: u64 = self.senders.iter().map(|sender| sender.sent.get()).sum();
        self.first_seq + self.visitors.get() + sent
    }

    /// Somebody joins who is not of the crowd: one more record than was sent.
    pub(crate) fn expect_visitor(&self) {
        self.visitors.set(self.visitors.get() + 1);
    }

    fn unacknowledged(&self) -> u64 {
        self.senders.iter().map(|sender| sender.sent.get() - sender.accepted.get()).sum()
    }

    /// What went wrong so far, if nothing is under way.
    pub(crate) fn faults(&self) -> Faults {
        // That a visitor joined is the relay's record, and not one of ours.
        let foreign = self.foreign.get().saturating_sub(self.visitors.get());
        let mut faults = Faults { foreign, ..Faults::default() };
        for order in &self.received {
            faults += order.borrow().faults(self.end_seq());
        }
        for (sender, order) in self.senders.iter().zip(&self.witnessed) {
            faults += order.borrow().faults(sender.sent.get());
        }
        faults
    }

    /// Adds what must not happen.
    ///
    /// # Errors
    ///
    /// If a member left: then nothing else is worth reporting.
    pub(crate) fn add_checks_to(&self, report: &mut Report) -> Result<(), BenchError> {
        let failures = self.failures.borrow();
        if let Some(first) = failures.first() {
            return Err(BenchError::Failed(format!("{} members left; {first}", failures.len())));
        }
        report.add_faults(self.faults());
        let unacknowledged = number(self.unacknowledged());
        report.held_to("unacknowledged", "", unacknowledged, Budget::AtMost(0.0));
        Ok(())
    }

    /// Notes why a member is gone.
    pub(crate) fn note_failure(&self, member: usize, error: &ClientError) {
        self.failures.borrow_mut().push(format!("member {member}: {error}"));
    }
}

impl Sender {
    fn allow(&self, sent: u64) {
        self.allowed.set(sent);
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_relay::{self, Mischief};

    const CROWD: Crowd =
        Crowd { room: "test", first_index: 0, members: 5, senders: 3, never_read: 0 };

    /// Sends a few dozen messages through a relay that does this mischief.
    async fn room_after(mischief: Mischief) -> Rc<Room> {
        let room = Room::fill(fake_relay::start(mischief).await, &CROWD).await.unwrap();
        room.start_timing();
        room.open_window(8);
        while room.deliveries.get() < 100 {
            sleep(Duration::from_millis(1)).await;
        }
        room.finish().await;
        room
    }

    fn faults_after(mischief: Mischief) -> (Faults, u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let room = room_after(mischief).await;
            assert_eq!(*room.failures.borrow(), Vec::<String>::new());
            (room.faults(), room.unacknowledged())
        })
    }

    #[test]
    fn an_honest_relay_has_no_faults_and_every_delivery_is_timed() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let room = room_after(Mischief::None).await;
            assert_eq!((room.faults(), room.unacknowledged()), (Faults::default(), 0));
            let sent: u64 = room.senders.iter().map(|sender| sender.sent.get()).sum();
            assert_eq!(room.deliveries.get(), 5 * sent, "everybody got everything");
            assert_eq!(room.stop_timing().count(), 5 * sent);
        });
    }

    #[test]
    fn a_lost_run_is_noticed() {
        let faults = Faults { lost: 1, ..Faults::default() };
        assert_eq!(faults_after(Mischief::Lose), (faults, 0));
    }

    #[test]
    fn a_doubled_run_is_noticed() {
        let faults = Faults { doubled: 1, ..Faults::default() };
        assert_eq!(faults_after(Mischief::Double), (faults, 0));
    }

    #[test]
    fn swapped_runs_are_noticed() {
        let faults = Faults { reordered: 1, ..Faults::default() };
        assert_eq!(faults_after(Mischief::Swap), (faults, 0));
    }

    #[test]
    fn a_message_under_a_wrong_name_is_noticed_by_the_witness() {
        // The message it replaced is missing from its sender's numbers.
        let faults = Faults { foreign: 1, lost: 1, ..Faults::default() };
        assert_eq!(faults_after(Mischief::Forge), (faults, 0));
    }

    #[test]
    fn a_missing_acknowledgement_is_noticed() {
        // The one after it comes out of order.
        let faults = Faults { foreign: 1, ..Faults::default() };
        assert_eq!(faults_after(Mischief::ForgetToAccept), (faults, 1));
    }
}
