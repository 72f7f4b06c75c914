//! Memory of the relay per idle session that follows one room.
//!
//! All accounts exist and are members before the relay starts afresh, so that what an account costs
//! is not counted as the cost of being connected; it is reported beside it.

use std::{rc::Rc, time::Duration};

use harness::usage::resident_bytes;
use tokio::time::sleep;

use crate::{
    bench::{BenchError, Person, Relay, for_each},
    cli::{Common, Idle},
    report::{Budget, Report},
    stats::{Sample, number},
};

/// Time in which a relay that frees what it no longer needs does so.
const SETTLE: Duration = Duration::from_secs(2);
/// How long idle sessions are watched.
const WATCHED: Duration = Duration::from_secs(3);
const ROOM: &str = "idle";

/// Measures it.
///
/// # Errors
///
/// If there is nothing to report.
pub(crate) async fn run(options: &Idle, common: &Common) -> Result<Report, BenchError> {
    let relay = Relay::start(common)?;
    let empty = resident_bytes(relay.pid())?;
    let endpoint = relay.endpoint();
    let mut founder = Person::register(endpoint, options.connections).await?;
    let room = founder.create_room(ROOM).await?.id;
    let identities = for_each(0..options.connections, |index| async move {
        let mut person = Person::register(endpoint, index).await?;
        person.client.join(ROOM).await?;
        Ok(person.identity)
    })
    .await?;

    let relay = relay.kill_and_restart()?;
    let endpoint = relay.endpoint();
    sleep(SETTLE).await;
    let before = resident_bytes(relay.pid())?;
    let everybody = for_each((0..).zip(identities), |(index, identity): (u32, Rc<_>)| async move {
        let mut person = Person::login(endpoint, index, identity).await?;
        person.client.follow_from_now(room).await?;
        Ok(person)
    })
    .await?;
    sleep(SETTLE).await;
    let after = resident_bytes(relay.pid())?;
    let sample = Sample::take(relay.pid())?;
    sleep(WATCHED).await;
    let usage = sample.until(&Sample::take(relay.pid())?);
    let later = resident_bytes(relay.pid())?.max(after);

    let sessions = everybody.len();
    let per_session = |bytes: u64| number(bytes) / number(sessions as u64) / 1024.0;
    let mut report = Report::new(format!("idle, {sessions} sessions with one room"));
    let held = per_session(later.saturating_sub(before));
    report.held_to("memory per session", "KiB", held, Budget::AtMost(2.0));
    report.add("memory per known account", "KiB", per_session(before.saturating_sub(empty)));
    report.add("relay with nobody", "MiB", number(empty) / f64::from(1 << 20));
    report.add("relay with everybody", "MiB", number(later) / f64::from(1 << 20));
    report.add_usage(&usage);
    Ok(report)
}
