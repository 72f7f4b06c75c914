//! `doctor`: tries everything a connection needs, one step after the other, and says what each
//! step found, why, and what to do about it.

use std::time::{Duration, Instant};

use protocol::message::request::Resolve;
use serde::Serialize;
use tokio::time::timeout;

use super::{json::JSON_VERSION, session::Session};
use crate::{
    choice::{Choice, Wish, choose},
    config::Config,
    net::{
        discovery,
        race::{DialError, resolve},
        tcp::Link,
    },
    node::call::{Answer, Call, Health, Status},
    output::{Output, Style},
    report::Failure,
    untrusted::Untrusted,
};

/// How long the relay may take to welcome us.
const WELCOME_TIME_MAX: Duration = Duration::from_secs(10);

/// Questions that are timed. The first one may find cold caches, so there are several.
const ROUND_TRIPS: usize = 5;

/// One finding.
#[derive(Debug, Serialize)]
struct Check {
    v: u32,
    #[serde(rename = "check")]
    step: String,
    ok: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

/// Everything found so far, printed as it is found.
struct Report<'a> {
    output: &'a mut Output,
    failed: usize,
}

impl Report<'_> {
    fn good(&mut self, check: &str, found: impl Into<String>) -> Result<(), Failure> {
        self.add(check, true, found.into(), None)
    }

    fn bad(
        &mut self,
        check: &str,
        found: impl Into<String>,
        help: Option<&str>,
    ) -> Result<(), Failure> {
        self.failed += 1;
        self.add(check, false, found.into(), help.map(str::to_owned))
    }

    fn failed(&mut self, check: &str, failure: &Failure) -> Result<(), Failure> {
        let help = failure.help().join("\n");
        self.bad(check, failure.reason(), (!help.is_empty()).then_some(help.as_str()))
    }

    fn add(
        &mut self,
        check: &str,
        ok: bool,
        found: String,
        help: Option<String>,
    ) -> Result<(), Failure> {
        let check = Check { v: JSON_VERSION, step: check.to_owned(), ok, found, help };
        if self.output.style() == Style::Json {
            self.output.json(&check)?;
        } else {
            let mark = if ok { "ok  " } else { "FAIL" };
            let found = Untrusted::new(&check.found).for_line();
            self.output.line(&format!("{mark}\t{}\t{found}", check.step))?;
            for help in check.help.iter().flat_map(|help| help.lines()) {
                self.output.line(&format!("\thelp\t{}", Untrusted::new(help).for_line()))?;
            }
        }
        self.output.flush()
    }
}

pub(super) async fn run(config: &Config, output: &mut Output) -> Result<(), Failure> {
    let mut report = Report { output, failed: 0 };
    report.good("version", env!("CARGO_PKG_VERSION"))?;
    if check_home(config, &mut report)?
        && let Some(choice) = check_choice(config, &mut report).await?
    {
        check_addresses(&choice, &mut report).await?;
        check_node(config, &mut report).await?;
    }
    match report.failed {
        0 => Ok(()),
        failed => Err(Failure::Unhealthy(failed)),
    }
}

fn check_home(config: &Config, report: &mut Report<'_>) -> Result<bool, Failure> {
    match config.home.prepare() {
        Ok(()) => {
            report.good("home", config.home.data().display().to_string())?;
            Ok(true)
        }
        Err(error) => {
            report.bad("home", error.to_string(), Some("chmod go= on it, or --home DIR"))?;
            Ok(false)
        }
    }
}

async fn check_choice(config: &Config, report: &mut Report<'_>) -> Result<Option<Choice>, Failure> {
    let relays = config.relays()?;
    let wish = Wish { relay: config.relay.as_deref(), trust: config.trust };
    match choose(wish, &relays).await {
        Ok(choice) => {
            let fingerprint = choice.key.fingerprint();
            report.good("relay", format!("{fingerprint}, {}", choice.origin.describe()))?;
            Ok(Some(choice))
        }
        Err(failure) => {
            report.failed("relay", &failure)?;
            Ok(None)
        }
    }
}

/// Each address by itself: what answers there, and how fast.
async fn check_addresses(choice: &Choice, report: &mut Report<'_>) -> Result<(), Failure> {
    for name in &choice.addresses {
        let mut failed = DialError::default();
        let resolved = resolve(std::slice::from_ref(name), &mut failed).await;
        for attempt in failed.attempts {
            report.bad("resolve", attempt.to_string(), Some("check the name and the DNS"))?;
        }
        for (name, address) in resolved {
            let begun = Instant::now();
            match timeout(discovery::PROBE_TIME_MAX, Link::probe(address)).await {
                Ok(Ok(beacon)) if beacon.relay_key == choice.key => {
                    let took = begun.elapsed().as_micros();
                    let offer = beacon.offer;
                    report.good("address", format!("{name} = {address}: {took} µs, {offer}"))?;
                }
                Ok(Ok(beacon)) => {
                    let other = beacon.relay_key.fingerprint();
                    let found = format!("{name} = {address}: another relay, {other}");
                    report.bad("address", found, Some("ask the relay's operator where it is"))?;
                }
                Ok(Err(error)) => {
                    let found = format!("{name} = {address}: {error}");
                    report.bad(
                        "address",
                        found,
                        Some("is the relay running, is a firewall between?"),
                    )?;
                }
                Err(_) => {
                    let found = format!("{name} = {address}: no answer");
                    report.bad("address", found, Some("is a firewall between?"))?;
                }
            }
        }
    }
    Ok(())
}

/// The whole way, through the node of this home.
async fn check_node(config: &Config, report: &mut Report<'_>) -> Result<(), Failure> {
    let session = match Session::open(config).await {
        Ok(session) => session,
        Err(failure) => return report.failed("node", &failure),
    };
    let begun = Instant::now();
    match timeout(WELCOME_TIME_MAX, session.online()).await {
        Ok(Ok(status)) => {
            report_status(&status, begun.elapsed(), report)?;
            check_round_trip(&session, &status, report).await?;
        }
        Ok(Err(failure)) => report.failed("session", &failure)?,
        Err(_) => report.bad("session", "the relay did not welcome us in time", None)?,
    }
    if let Answer::Health(health) = session.call(Call::Health).await? {
        report_health(&health, report)?;
    }
    session.close().await;
    Ok(())
}

fn report_status(status: &Status, took: Duration, report: &mut Report<'_>) -> Result<(), Failure> {
    let took = took.as_micros();
    report.good("session", format!("welcomed by {:?} after {took} µs", status.relay_name))?;
    if let Some(account) = &status.account {
        report.good("account", format!("@{} {}", account.name, account.account))?;
    }
    Ok(())
}

/// A question through the relay and back, some times: what the person waits for after Enter, but
/// for the relay's disk.
async fn check_round_trip(
    session: &Session,
    status: &Status,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    let Some(account) = &status.account else { return Ok(()) };
    let mut times = [Duration::ZERO; ROUND_TRIPS];
    for time in &mut times {
        let begun = Instant::now();
        let question = session.ask(Resolve { name: account.name.clone() });
        match timeout(WELCOME_TIME_MAX, question).await {
            Ok(Ok(_)) => *time = begun.elapsed(),
            Ok(Err(failure)) => return report.bad("round trip", failure.to_string(), None),
            Err(_) => {
                let found = format!("no answer within {} s", WELCOME_TIME_MAX.as_secs());
                return report.bad("round trip", found, Some("is the relay overloaded?"));
            }
        }
    }
    times.sort_unstable();
    let [least, .., most] = times.map(|time| time.as_micros());
    let median = times[ROUND_TRIPS / 2].as_micros();
    let found = format!("{median} µs, {least} to {most} µs in {ROUND_TRIPS} questions");
    report.good("round trip", found)
}

fn report_health(health: &Health, report: &mut Report<'_>) -> Result<(), Failure> {
    report.good("process", format!("{} of version {}", health.pid, health.version))?;
    report.good("logins", format!("{} of that process", health.logins))?;
    report.good("outbox", format!("{} messages wait", health.outbox))?;
    if let Some(why) = &health.store {
        report.bad("store", why.clone(), Some("make room on the disk that the home is on"))?;
    }
    if let Some(bytes) = health.body_bytes_max {
        report.good("limit", format!("a message has at most {bytes} bytes"))?;
    }
    if !health.transport.is_empty() {
        report.good("transport", health.transport.clone())?;
    }
    for (name, value) in &health.socket {
        report.good(&format!("socket {name}"), value.clone())?;
    }
    for (name, value) in &health.datagrams {
        report.good(&format!("udp {name}"), value.clone())?;
    }
    for (name, value) in &health.faults {
        report.good(name, value.clone())?;
    }
    match health.clock_skew_ms {
        Some(skew) if skew.unsigned_abs() > CLOCK_SKEW_MS_MAX => report.bad(
            "clock",
            format!("{skew} ms from the relay's"),
            Some("set this machine's clock, or tell the relay's operator"),
        ),
        Some(skew) => report.good("clock", format!("{skew} ms from the relay's")),
        None => Ok(()),
    }
}

/// Clocks further apart than this make *composed at* confusing.
const CLOCK_SKEW_MS_MAX: u64 = 60_000;
