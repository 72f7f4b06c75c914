//! How long a killed relay with much history takes until it serves, and until it is durable again.
//!
//! The history is written through the relay itself, in turn into all rooms, which is the order that
//! groups worst. The relay is killed as soon as the last message is acknowledged, with as much
//! journal not yet moved into tables as its own background step has left. It is started again on
//! the same data; its first acknowledgement then comes from a message sent right after its ready
//! line.

use std::{rc::Rc, time::Duration};

use harness::{
    client::{ClientError, RelayEndpoint},
    identity::Identity,
};
use protocol::ids::ConversationId;
use tokio::time::Instant;

use crate::{
    author::{Author, receive_accepted},
    bench::{BenchError, Person, Relay, for_each},
    cli::{Common, Start},
    payload::Stamp,
    report::{Budget, Report},
    stats::number,
};

/// Rooms one account founds: relays limit it.
const ROOMS_PER_WRITER: u32 = 25;
/// Messages of one writer under way. Below what a relay remembers unsettled for one device.
const WINDOW: u64 = 200;

/// Somebody who fills a few rooms.
#[derive(Debug)]
struct Writer {
    person: Person,
    author: Author,
    rooms: Vec<ConversationId>,
}

/// Measures it.
///
/// # Errors
///
/// If there is nothing to report.
pub(crate) async fn run(options: &Start, common: &Common) -> Result<Report, BenchError> {
    let mut relay = Relay::start(common)?;
    let writers = options.conversations.div_ceil(ROOMS_PER_WRITER);
    let messages_each = options.messages / u64::from(writers);
    let (endpoint, conversations) = (relay.endpoint(), options.conversations);
    let filling = Instant::now();
    let mut people = for_each(0..writers, |number| async move {
        let rooms = ROOMS_PER_WRITER.min(conversations - number * ROOMS_PER_WRITER);
        let mut writer = Writer::found(Person::register(endpoint, number).await?, rooms).await?;
        writer.write(messages_each).await?;
        Ok((writer.person.identity, writer.rooms))
    })
    .await?;
    let filled_in = filling.elapsed();
    let Some((identity, rooms)) = people.pop() else {
        return Err(BenchError::Failed("there must be a conversation".to_owned()));
    };

    let journal = relay.stored_bytes("journal")?;
    let (mut ready, mut first_ack) = (0_f64, 0_f64);
    for _ in 0..options.kills {
        relay = relay.kill_and_restart()?;
        let ready_after = relay.ready_after();
        let asked = Instant::now();
        acknowledge_one(relay.endpoint(), Rc::clone(&identity), rooms[0]).await?;
        let acknowledged_after = ready_after + asked.elapsed();
        ready = ready.max(ready_after.as_secs_f64() * 1e3);
        first_ack = first_ack.max(acknowledged_after.as_secs_f64() * 1e3);
    }

    let mut report = Report::new(format!(
        "start after a kill, {} messages in {} conversations, worst of {}",
        messages_each * u64::from(writers),
        options.conversations,
        options.kills
    ));
    report.held_to("first durable message", "ms", first_ack, Budget::AtMost(500.0));
    report.add("ready", "ms", ready);
    report.add("journal at the kill", "MiB", number(journal) / f64::from(1 << 20));
    relay.add_disk_to(&mut report);
    report.add("filled in", "s", filled_in.as_secs_f64());
    Ok(report)
}

impl Writer {
    async fn found(mut person: Person, rooms: u32) -> Result<Self, ClientError> {
        let mut founded = Vec::new();
        for number in 0..rooms {
            let name = format!("room{}-{number}", person.index);
            founded.push(person.create_room(&name).await?.id);
        }
        let author = Author::new(person.identity.device());
        Ok(Self { person, author, rooms: founded })
    }

    async fn write(&mut self, messages: u64) -> Result<(), ClientError> {
        let mut places = (0..messages).zip(self.rooms.iter().cycle()).peekable();
        while self.author.in_flight() > 0 || places.peek().is_some() {
            while self.author.in_flight() < WINDOW
                && let Some((number, room)) = places.next()
            {
                let sequence =
                    u32::try_from(number).map_err(|_| ClientError::Unexpected("sequence"))?;
                let stamp = Stamp { sender: 0, sequence, due: Duration::ZERO };
                self.author.say(&mut self.person.client, *room, stamp)?;
            }
            self.person.client.flush().await?;
            let Self { person, author, .. } = self;
            let mut in_order = true;
            receive_accepted(&mut person.client, |accepted| {
                in_order &= author.handle_accepted(accepted);
            })
            .await?;
            if !in_order {
                return Err(ClientError::Unexpected("messages: acknowledged out of order"));
            }
        }
        Ok(())
    }
}

/// Logs in and waits until one message is durable.
async fn acknowledge_one(
    relay: RelayEndpoint,
    identity: Rc<Identity>,
    room: ConversationId,
) -> Result<(), ClientError> {
    let mut person = Person::login(relay, 0, identity).await?;
    let mut author = Author::resumed(person.identity.device(), person.highest);
    let stamp = Stamp { sender: 0, sequence: 0, due: Duration::ZERO };
    author.say(&mut person.client, room, stamp)?;
    person.client.flush().await?;
    while author.in_flight() > 0 {
        receive_accepted(&mut person.client, |accepted| {
            let _in_order = author.handle_accepted(accepted);
        })
        .await?;
    }
    Ok(())
}
