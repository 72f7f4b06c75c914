//! Time from the moment a message's turn comes to each member's program, at a fixed rate.
//!
//! Ten members send in turn, whether the relay keeps up or not. The clock is read after each read
//! returned, so that time in the kernel's buffers counts. How late the driver's own timer was is
//! reported beside it.

use std::time::Duration;

use crate::{
    bench::{BenchError, Relay},
    cli::{Common, Latency},
    report::{Budget, Report},
    room::{Crowd, Room},
    stats::Sample,
};

/// How many members send.
pub(crate) const SENDERS: u16 = 10;
/// Unmeasured beginning.
const WARM_UP: Duration = Duration::from_secs(1);
/// What 100 deliveries of every message may take (the best relays that store nothing: 1.8 to
/// 2.0 ms), and one commit: a sync of 4 KiB took up to 0.44 ms on the same disk.
const P99_MS: f64 = 2.0 + 0.44;

/// Measures it.
///
/// # Errors
///
/// If there is nothing to report.
pub(crate) async fn run(options: &Latency, common: &Common) -> Result<Report, BenchError> {
    let &Latency { members, rate, secs } = options;
    let relay = Relay::start(common)?;
    let crowd = Crowd { room: "latency", first_index: 0, members, senders: SENDERS, never_read: 0 };
    let room = Room::fill(relay.endpoint(), &crowd).await?;
    room.pace(rate, WARM_UP).await;

    room.wait_for_arrival().await;
    room.start_timing();
    let (before, delivered_before) = (Sample::take(relay.pid())?, room.deliveries.get());
    let lateness = room.pace(rate, Duration::from_secs(secs)).await;
    let usage = before.until(&Sample::take(relay.pid())?);
    let deliveries = room.deliveries.get() - delivered_before;
    room.finish().await;
    let latencies = room.stop_timing();

    let mut report = Report::new(format!("latency, {members} members, {rate} messages/s"));
    let p99 = latencies.quantile_ms(0.99);
    if (members, rate) == (100, 200) {
        report.held_to("p99", "ms", p99, Budget::AtMost(P99_MS));
    }
    report.add_latencies(&latencies);
    report.add("relay CPU per delivery", "µs", usage.relay_micros_each(deliveries));
    report.add("driver late, p99", "ms", lateness.quantile_ms(0.99));
    relay.add_disk_to(&mut report);
    report.add_usage(&usage);
    room.add_checks_to(&mut report)?;
    Ok(report)
}
