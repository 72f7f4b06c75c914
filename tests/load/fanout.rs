//! Deliveries per second into one busy room.
//!
//! All members follow; the first of them send, each keeping `window` messages under way that the
//! witness has not seen yet. After a warm-up the deliveries of a few seconds are counted: records
//! that reached a member's program, the senders' own included. Then sending stops, and whatever has
//! not arrived five seconds later is lost.

use std::{process::Stdio, time::Duration};

use tokio::{process::Command, time::sleep};

use crate::{
    bench::{BenchError, Relay},
    cli::{Common, Fanout},
    report::{Budget, Report},
    room::{Crowd, Room},
    stats::{Sample, number},
};

/// Time for windows, buffers and the store to find their pace.
const WARM_UP: Duration = Duration::from_millis(700);
/// How long system calls are counted.
const SYSCALLS_COUNTED: Duration = Duration::from_secs(2);

/// Measures it.
///
/// # Errors
///
/// If there is nothing to report.
pub(crate) async fn run(options: &Fanout, common: &Common) -> Result<Report, BenchError> {
    let &Fanout { members, senders, window, secs, syscalls } = options;
    let relay = Relay::start(common)?;
    let crowd = Crowd { room: "fanout", first_index: 0, members, senders, never_read: 0 };
    let room = Room::fill(relay.endpoint(), &crowd).await?;
    room.open_window(window);
    sleep(WARM_UP).await;

    let (before, delivered_before) = (Sample::take(relay.pid())?, room.deliveries.get());
    sleep(Duration::from_secs(secs)).await;
    let deliveries = room.deliveries.get() - delivered_before;
    let usage = before.until(&Sample::take(relay.pid())?);
    let syscalls_each =
        if syscalls { Some(count_syscalls(relay.pid(), &room).await?) } else { None };
    room.finish().await;

    let mut report = Report::new(format!(
        "fan-out, {members} members, {senders} senders, {window} each under way"
    ));
    let rate = usage.rate(deliveries);
    match (members, senders) {
        (100, 1) => report.held_to("deliveries", "/s", rate, Budget::AtLeast(2.3e6)),
        (100, 8) => report.held_to("deliveries", "/s", rate, Budget::AtLeast(5e6)),
        (1_000, 1) => report.held_to("deliveries", "/s", rate, Budget::AtLeast(2e6)),
        (1_000, 8) => report.held_to("deliveries", "/s", rate, Budget::AtLeast(4e6)),
        _ => report.add("deliveries", "/s", rate),
    }
    let seconds_per_million = usage.relay_micros_each(deliveries);
    match (members, senders) {
        (100, 8) => {
            report.held_to("relay CPU per million", "s", seconds_per_million, Budget::AtMost(0.2));
        }
        _ => report.add("relay CPU per million", "s", seconds_per_million),
    }
    if let Some(each) = syscalls_each {
        report.held_to("system calls per delivery", "", each, Budget::AtMost(0.01));
    }
    report.add_usage(&usage);
    room.add_checks_to(&mut report)?;
    Ok(report)
}

/// The relay's system calls per delivery, counted by the kernel while the load goes on.
async fn count_syscalls(pid: u32, room: &Room) -> Result<f64, BenchError> {
    let before = room.deliveries.get();
    let output = Command::new("perf")
        .args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", &pid.to_string()])
        .args(["--", "sleep", &SYSCALLS_COUNTED.as_secs().to_string()])
        .stdout(Stdio::null())
        .output()
        .await?;
    let deliveries = room.deliveries.get() - before;
    let text = String::from_utf8_lossy(&output.stderr);
    let count = text.split(',').next().and_then(|count| count.trim().parse::<u64>().ok());
    let count = count.ok_or_else(|| BenchError::Failed(format!("perf stat said: {text}")))?;
    Ok(number(count) / number(deliveries.max(1)))
}
