//! Private messages per second: pairs of people, one message under way per pair.
//!
//! One begins; whoever gets the other's message answers at once. A message is counted when its
//! receiver has it, which is after the relay made it durable, and its latency is the time from the
//! one program to the other.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use harness::client::{ClientError, RelayEndpoint};
use protocol::{
    ids::{ConversationId, DeviceId, Seq},
    message::{
        RelayMessage,
        encoding::DecodeError,
        record::{Content, Envelope, Run},
        request::{Admit, OpenDirect, Reply, Verdict},
    },
};
use tokio::{
    task::spawn_local,
    time::{Instant, sleep},
};

use crate::{
    author::{Author, understand},
    bench::{BenchError, Person, Relay, for_each},
    check::{Faults, OrderChecker},
    cli::{Common, Pairs, Store},
    payload::Stamp,
    report::{Budget, Report},
    stats::{Latencies, Sample, number},
};

/// Time for everybody to be under way.
const WARM_UP: Duration = Duration::from_millis(700);

/// What all pairs share.
#[derive(Debug)]
struct Shared {
    begun: Instant,
    received: Cell<u64>,
    wrong: Cell<u64>,
    latencies: RefCell<Option<Latencies>>,
    stopped: Cell<bool>,
    failures: RefCell<Vec<String>>,
    // Messages each pair has exchanged.
    exchanged: Vec<Cell<u64>>,
}

/// One half of a pair.
#[derive(Debug)]
struct Partner {
    pair: usize,
    person: Person,
    author: Author,
    other: DeviceId,
    conversation: ConversationId,
    places: OrderChecker,
    // Both count the messages of the pair together.
    next: u32,
}

/// Measures it.
///
/// # Errors
///
/// If there is nothing to report.
pub(crate) async fn run(options: &Pairs, common: &Common) -> Result<Report, BenchError> {
    let relay = Relay::start(common)?;
    let endpoint = relay.endpoint();
    let pairs = for_each(0..options.pairs, |pair| meet(endpoint, pair)).await?;
    let shared = Rc::new(Shared {
        begun: Instant::now(),
        received: Cell::new(0),
        wrong: Cell::new(0),
        latencies: RefCell::new(None),
        stopped: Cell::new(false),
        failures: RefCell::default(),
        exchanged: pairs.iter().map(|_| Cell::new(0)).collect(),
    });
    for (mut beginner, answerer) in pairs {
        beginner.say_next(&shared).await?;
        spawn_local(beginner.run(Rc::clone(&shared)));
        spawn_local(answerer.run(Rc::clone(&shared)));
    }

    sleep(WARM_UP).await;
    shared.latencies.replace(Some(Latencies::new()));
    let exchanged_before: Vec<_> = shared.exchanged.iter().map(Cell::get).collect();
    let (before, count_before) = (Sample::take(relay.pid())?, shared.received.get());
    sleep(Duration::from_secs(options.secs)).await;
    let count = shared.received.get() - count_before;
    let usage = before.until(&Sample::take(relay.pid())?);
    let latencies = shared.latencies.take().unwrap_or_else(Latencies::new);
    let silent =
        shared.exchanged.iter().zip(exchanged_before).filter(|(now, was)| now.get() == *was);
    let silent = silent.count() as u64;
    shared.stopped.set(true);

    if let Some(failure) = shared.failures.borrow().first() {
        return Err(BenchError::Failed(failure.clone()));
    }
    let mut report = Report::new(format!(
        "private messages, {} pairs, {} store",
        options.pairs,
        common.store.name()
    ));
    let budget = match common.store {
        Store::Sqlite => Budget::AtLeast(35_000.0),
        Store::Memory => Budget::AtLeast(45_000.0),
    };
    report.held_to("messages", "/s", usage.rate(count), budget);
    report.add("relay CPU per message", "µs", usage.relay_micros_each(count));
    report.add_latencies(&latencies);
    relay.add_disk_to(&mut report);
    report.add_usage(&usage);
    report.add_faults(Faults { foreign: shared.wrong.get(), ..Faults::default() });
    report.held_to("pairs that stopped", "", number(silent), Budget::AtMost(0.0));
    Ok(report)
}

/// Two people who know each other and follow their conversation.
async fn meet(relay: RelayEndpoint, pair: u32) -> Result<(Partner, Partner), ClientError> {
    let mut one = Person::register(relay, 2 * pair).await?;
    let mut two = Person::register(relay, 2 * pair + 1).await?;
    let (account_one, account_two) = (one.identity.account(), two.identity.account());
    let conversation = match one.client.request(OpenDirect { peer: account_two }).await? {
        Reply::OpenDirect(info) => info.id,
        _ => return Err(ClientError::Unexpected("open direct")),
    };
    let admit = Admit { conversation, account: account_one, verdict: Verdict::Yes };
    two.client.request(admit).await?;
    let from_one = one.client.follow_from_now(conversation).await?.from;
    let from_two = two.client.follow_from_now(conversation).await?.from;
    let devices = (one.identity.device(), two.identity.device());
    let partner = |person, device, other, from: Seq| Partner {
        pair: pair as usize,
        person,
        author: Author::new(device),
        other,
        conversation,
        places: OrderChecker::starting_at(from.0),
        next: 0,
    };
    Ok((partner(one, devices.0, devices.1, from_one), partner(two, devices.1, devices.0, from_two)))
}

impl Partner {
    async fn run(mut self, shared: Rc<Shared>) {
        loop {
            if let Err(error) = self.answer_next(&shared).await {
                let failure = format!("pair {}: {error}", self.pair);
                shared.failures.borrow_mut().push(failure);
                return;
            }
        }
    }

    async fn answer_next(&mut self, shared: &Shared) -> Result<(), ClientError> {
        let mut got = None;
        let mut failure = None;
        let mut acknowledged = true;
        let Self { person, author, other, conversation, places, .. } = self;
        person
            .client
            .receive(|bytes| match understand(bytes) {
                Ok(RelayMessage::Records(records)) if records.conversation == *conversation => {
                    places.handle_run(records.run.first.0, u64::from(records.run.count));
                    match stamp_from(*other, &records.run) {
                        Ok(Some(stamp)) => got = Some((stamp, Instant::now())),
                        Ok(None) => {}
                        Err(error) => failure = Some(error.into()),
                    }
                }
                Ok(RelayMessage::Accepted(accepted)) => {
                    acknowledged &= author.handle_accepted(&accepted);
                }
                Ok(_) => {}
                Err(error) => failure = Some(error),
            })
            .await?;
        failure.map_or(Ok(()), Err)?;
        if !acknowledged {
            shared.wrong.set(shared.wrong.get() + 1);
        }
        match got {
            Some((stamp, at)) => self.take(shared, stamp, at).await,
            None => Ok(()),
        }
    }

    async fn take(
        &mut self,
        shared: &Shared,
        stamp: Stamp,
        at: Instant,
    ) -> Result<(), ClientError> {
        // The conversation alternates, so both the number and the places follow from it.
        let faults = self.places.faults(self.places.next());
        if stamp.sequence != self.next || faults.total() > 0 {
            shared.wrong.set(shared.wrong.get() + 1);
        }
        self.next = stamp.sequence + 1;
        shared.received.set(shared.received.get() + 1);
        let exchanged = &shared.exchanged[self.pair];
        exchanged.set(exchanged.get() + 1);
        if let Some(latencies) = shared.latencies.borrow_mut().as_mut() {
            latencies.record((at - shared.begun).saturating_sub(stamp.due));
        }
        if shared.stopped.get() { Ok(()) } else { self.say_next(shared).await }
    }

    async fn say_next(&mut self, shared: &Shared) -> Result<(), ClientError> {
        let stamp = Stamp { sender: 0, sequence: self.next, due: shared.begun.elapsed() };
        // The next one is the partner's, the one after that is expected from them.
        self.next += 1;
        self.author.say(&mut self.person.client, self.conversation, stamp)?;
        self.person.client.flush().await
    }
}

/// The stamp of what `sender` says in this run; `None` if there is only what we said ourselves.
fn stamp_from(sender: DeviceId, run: &Run<'_>) -> Result<Option<Stamp>, DecodeError> {
    let mut found = None;
    for item in run.records() {
        let (_, record) = item?;
        if Envelope::decode(&record.envelope)?.device == sender
            && let Content::Body(body) = &record.content
        {
            found = Stamp::from_body(body);
        }
    }
    Ok(found)
}
