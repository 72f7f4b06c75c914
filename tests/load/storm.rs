//! Logins per second when everybody comes back at once.
//!
//! The accounts exist. One login is a TCP connection, the full key agreement, `Attach` and the
//! relay's welcome with its conversations; so many are under way at a time.

use std::rc::Rc;

use tokio::time::{Instant, sleep};

use crate::{
    bench::{BenchError, Person, Relay, for_each, in_parallel},
    cli::{Common, Storm},
    report::{Budget, Report},
    stats::{Latencies, Sample},
};

/// Time for the relay to notice that everybody left.
const SETTLE: std::time::Duration = std::time::Duration::from_secs(1);

/// Measures it.
///
/// # Errors
///
/// If there is nothing to report.
pub(crate) async fn run(options: &Storm, common: &Common) -> Result<Report, BenchError> {
    let relay = Relay::start(common)?;
    let endpoint = relay.endpoint();
    let identities = for_each(0..options.logins, |index| async move {
        Ok(Person::register(endpoint, index).await?.identity)
    })
    .await?;
    sleep(SETTLE).await;

    let before = Sample::take(relay.pid())?;
    let logged_in =
        in_parallel(options.parallel, (0..).zip(identities), |(index, identity): (_, Rc<_>)| {
            let begun = Instant::now();
            async move {
                let person = Person::login(endpoint, index, identity).await?;
                Ok((person, begun.elapsed()))
            }
        })
        .await?;
    let usage = before.until(&Sample::take(relay.pid())?);

    let mut latencies = Latencies::new();
    for (_, took) in &logged_in {
        latencies.record(*took);
    }
    let logins = logged_in.len() as u64;
    let mut report =
        Report::new(format!("login storm, {logins} logins, {} at a time", options.parallel));
    report.held_to("logins", "/s", usage.rate(logins), Budget::AtLeast(4_000.0));
    let each = usage.relay_micros_each(logins);
    report.held_to("relay CPU per login", "µs", each, Budget::AtMost(250.0));
    report.add_latencies(&latencies);
    report.add_usage(&usage);
    Ok(report)
}
