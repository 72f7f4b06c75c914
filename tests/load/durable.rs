//! Acknowledged messages per second, where acknowledged means synced to disk.
//!
//! Each publisher writes into a room of its own, which nobody follows, and keeps a window of
//! unacknowledged messages. Afterwards the relay is killed and started again, and everything it
//! acknowledged must be there.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    time::Duration,
};

use harness::client::ClientError;
use protocol::ids::{ConversationId, Seq};
use tokio::{
    task::{JoinHandle, spawn_local},
    time::{Instant, sleep, timeout},
};

use crate::{
    author::{Author, receive_accepted},
    bench::{BenchError, Person, Relay, for_each},
    check::{Faults, OrderChecker},
    cli::{Common, Durable, Store},
    payload::Stamp,
    report::{Budget, Report},
    stats::{Latencies, Sample, number},
};

/// Time for the store to find its pace.
const WARM_UP: Duration = Duration::from_millis(700);
/// How long the last acknowledgements may take.
const LAST_ACKS_WITHIN: Duration = Duration::from_secs(5);

/// What the publishers share.
#[derive(Debug, Default)]
struct Shared {
    acknowledged: Cell<u64>,
    latencies: RefCell<Option<Latencies>>,
    stopped: Cell<bool>,
}

/// One who publishes.
#[derive(Debug)]
struct Publisher {
    person: Person,
    author: Author,
    number: u16,
    room: ConversationId,
    // Places the relay gave out: this is the only one who writes here.
    places: OrderChecker,
    sent: u64,
    // When those without an acknowledgement left.
    left_at: VecDeque<Instant>,
    wrong: u64,
}

/// Measures it.
///
/// # Errors
///
/// If there is nothing to report.
pub(crate) async fn run(options: &Durable, common: &Common) -> Result<Report, BenchError> {
    let relay = Relay::start(common)?;
    let endpoint = relay.endpoint();
    let publishers = for_each(0..options.publishers, |number| async move {
        let mut person = Person::register(endpoint, number.into()).await?;
        let room = person.create_room(&format!("durable{number}")).await?;
        Ok(Publisher::new(person, number, room.id, room.head))
    })
    .await?;
    let shared = Rc::new(Shared::default());
    let tasks: Vec<JoinHandle<_>> = publishers
        .into_iter()
        .map(|publisher| spawn_local(publisher.run(Rc::clone(&shared), options.window)))
        .collect();

    sleep(WARM_UP).await;
    shared.latencies.replace(Some(Latencies::new()));
    let (before, count_before) = (Sample::take(relay.pid())?, shared.acknowledged.get());
    sleep(Duration::from_secs(options.secs)).await;
    let count = shared.acknowledged.get() - count_before;
    let usage = before.until(&Sample::take(relay.pid())?);
    let latencies = shared.latencies.take().unwrap_or_else(Latencies::new);
    shared.stopped.set(true);

    let mut faults = Faults::default();
    let mut publishers = Vec::new();
    for task in tasks {
        let publisher = task
            .await
            .map_err(|error| BenchError::Failed(format!("a publisher's task: {error}")))??;
        faults += publisher.faults();
        publishers.push(publisher);
    }
    let mut report = Report::new(format!(
        "durable, {} publishers, {} each under way, {} store",
        options.publishers,
        options.window,
        common.store.name()
    ));
    report.held_to("acknowledgements", "/s", usage.rate(count), Budget::AtLeast(150_000.0));
    report.add("relay CPU per message", "µs", usage.relay_micros_each(count));
    report.add_latencies(&latencies);
    relay.add_disk_to(&mut report);
    report.add_usage(&usage);
    report.add_faults(faults);
    let lost_by_kill = match common.store {
        Store::Sqlite => Some(lost_by_kill(relay, publishers).await?),
        Store::Memory => None,
    };
    if let Some(lost) = lost_by_kill {
        report.held_to("lost by a kill", "", number(lost), Budget::AtMost(0.0));
    }
    Ok(report)
}

impl Publisher {
    fn new(person: Person, number: u16, room: ConversationId, head: Seq) -> Self {
        Self {
            author: Author::new(person.identity.device()),
            person,
            number,
            room,
            places: OrderChecker::starting_at(head.next().0),
            sent: 0,
            left_at: VecDeque::new(),
            wrong: 0,
        }
    }

    async fn run(mut self, shared: Rc<Shared>, window: usize) -> Result<Self, ClientError> {
        while !shared.stopped.get() {
            self.fill(window).await?;
            self.receive(&shared).await?;
        }
        let deadline = Instant::now() + LAST_ACKS_WITHIN;
        while self.author.in_flight() > 0 && Instant::now() < deadline {
            // Silence until the deadline is reported as loss, not as an error.
            if let Ok(received) = timeout(LAST_ACKS_WITHIN, self.receive(&shared)).await {
                received?;
            }
        }
        Ok(self)
    }

    async fn fill(&mut self, window: usize) -> Result<(), ClientError> {
        let now = Instant::now();
        while self.left_at.len() < window {
            let sequence =
                u32::try_from(self.sent).map_err(|_| ClientError::Unexpected("sequence"))?;
            let stamp = Stamp { sender: self.number, sequence, due: Duration::ZERO };
            self.author.say(&mut self.person.client, self.room, stamp)?;
            self.sent += 1;
            self.left_at.push_back(now);
        }
        self.person.client.flush().await
    }

    async fn receive(&mut self, shared: &Shared) -> Result<(), ClientError> {
        let mut read_at = None;
        let Self { person, author, places, left_at, wrong, .. } = self;
        receive_accepted(&mut person.client, |accepted| {
            let now = *read_at.get_or_insert_with(Instant::now);
            let left = left_at.pop_front().unwrap_or(now);
            if let Some(latencies) = shared.latencies.borrow_mut().as_mut() {
                latencies.record(now - left);
            }
            shared.acknowledged.set(shared.acknowledged.get() + 1);
            places.handle_run(accepted.seq.0, 1);
            *wrong += u64::from(!author.handle_accepted(accepted));
        })
        .await
    }

    fn faults(&self) -> Faults {
        let end = self.places.next() + self.author.in_flight();
        let mut faults = self.places.faults(end);
        faults.foreign += self.wrong;
        faults
    }
}

/// How many acknowledged messages a relay no longer has after it was killed.
async fn lost_by_kill(relay: Relay, publishers: Vec<Publisher>) -> Result<u64, BenchError> {
    let relay = relay.kill_and_restart()?;
    let endpoint = relay.endpoint();
    let lost = for_each(publishers, |publisher| async move {
        let Publisher { person, room, places, .. } = publisher;
        let mut person = Person::login(endpoint, person.index, person.identity).await?;
        let info = person.client.follow_from_now(room).await?;
        Ok((places.next() - 1).saturating_sub(info.head.0))
    })
    .await?;
    Ok(lost.into_iter().sum())
}
