//! How things stand, in the words of the calls.

use std::time::Duration;

use protocol::lab::{experiment::Way, order::way_word, words::time_text};

use super::{
    super::{
        call::{CallError, FaultsView, Health, Link as LinkView, Status},
        view,
    },
    Owner,
};
use crate::{
    engine::{Disconnect, LinkStatus, StopReason},
    net::Link,
};

impl Owner {
    pub(super) fn status(&self) -> Status {
        let status = self.engine.status();
        Status {
            account: status.account,
            wanted_name: self.wanted.name.clone(),
            device: self.engine.identity().device,
            relay_name: status.relay_name.unwrap_or_default(),
            relay_key: self.relay.key(),
            addresses: self.relay.addresses().iter().map(ToString::to_string).collect(),
            round_trip_us: status
                .round_trip
                .map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
            link: self.link_view(),
            faults: self.faults_view(),
        }
    }

    fn faults_view(&self) -> FaultsView {
        let impairment = self.relay.impairment();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let blackouts = impairment.wanted.blackouts(impairment.since.elapsed());
        let blackouts = blackouts.iter().map(|span| (millis(span.start), millis(span.end)));
        FaultsView { words: impairment.wanted.words(), blackouts_ms: blackouts.collect() }
    }

    /// What is made to go wrong, and how often it did on this connection.
    fn fault_rows(&self) -> Vec<(String, String)> {
        let impairment = self.relay.impairment();
        let wanted = &impairment.wanted;
        let row = |name: &str, value: String| (name.to_owned(), value);
        let mut rows = Vec::new();
        let blackouts = wanted.blackouts(impairment.since.elapsed()).into_iter().map(|span| {
            format!("blackout {}..{} from now", time_text(span.start), time_text(span.end))
        });
        let words = Some(wanted.words()).filter(|words| !words.is_empty());
        let words: Vec<String> = words.into_iter().chain(blackouts).collect();
        if !words.is_empty() {
            rows.push(row("lab", words.join(", ")));
            rows.push(row("lab seed", wanted.seed().to_string()));
        }
        if let Some(Link::Udp(link)) = self.relay.link()
            && let Some(path) = link.impaired()
        {
            let lost = [Way::Out, Way::Back].map(|way| {
                let (entered, lost) = path.losses(way);
                format!("{} {lost} of {entered}", way_word(way))
            });
            rows.push(row("lab lost", format!("{} packets", lost.join(", "))));
        }
        rows
    }

    pub(super) fn link_view(&self) -> LinkView {
        match self.engine.status().link {
            LinkStatus::Waiting { until, why } => match (self.relay.announced(), why) {
                (Some((announced, address)), _) => {
                    LinkView::Untrusted { announced: *announced, address: address.clone() }
                }
                (None, why) => LinkView::Offline {
                    why: why.as_ref().map(reason).unwrap_or_default(),
                    retry_in_ms: Some(view::millis(until, self.clock.now())),
                },
            },
            LinkStatus::Connecting | LinkStatus::Attaching => LinkView::Connecting,
            LinkStatus::Live if !self.engine.is_listed() => LinkView::Syncing,
            LinkStatus::Live => LinkView::Online {
                address: self.relay.link().map(|link| link.peer().to_string()).unwrap_or_default(),
                transport: self.relay.link().map_or("", |link| link.carrier().name()).to_owned(),
                fallback: self.relay.fallback(),
            },
            LinkStatus::Stopped(reason) => match reason {
                StopReason::Superseded => LinkView::Stopped {
                    why: "another session of this device took over".to_owned(),
                    refusal: None,
                },
                StopReason::Refused(refusal) => {
                    LinkView::Stopped { why: refusal.to_string(), refusal: Some(refusal) }
                }
                StopReason::Hopeless(why) => LinkView::Stopped { why, refusal: None },
                StopReason::Outdated(tag) => LinkView::Stopped {
                    why: format!(
                        "this relay needs a newer version of this program (extension {tag}): \
                         please update"
                    ),
                    refusal: None,
                },
                StopReason::Offline => {
                    LinkView::Stopped { why: "taken offline".to_owned(), refusal: None }
                }
            },
        }
    }

    /// Why there is no relay for whoever needs it now.
    pub(super) fn no_relay(&self, why: &str) -> CallError {
        if let LinkStatus::Stopped(StopReason::Refused(refusal)) = self.engine.status().link {
            return CallError::Refused { refusal };
        }
        match self.relay.announced() {
            Some((announced, address)) => {
                CallError::Untrusted { announced: *announced, address: address.clone() }
            }
            None => CallError::Offline { why: why.to_owned() },
        }
    }

    pub(super) fn health(&self) -> Health {
        Health {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            clock_skew_ms: self.relay.clock_skew_ms(),
            body_bytes_max: self.relay.body_bytes_max(),
            logins: self.relay.logins(),
            outbox: self.engine.outbox().count(),
            store: self.engine.status().store.map(|failure| failure.to_string()),
            transport: self.relay.describe_transport(),
            socket: self.relay.link().map(Link::options).unwrap_or_default(),
            datagrams: self.relay.link().map(Link::counters).unwrap_or_default(),
            faults: self.fault_rows(),
        }
    }
}

fn reason(why: &Disconnect) -> String {
    match why {
        Disconnect::Unreachable(why) | Disconnect::Lost(why) | Disconnect::Hopeless(why) => {
            why.clone()
        }
        Disconnect::Goodbye(refusal) => refusal.to_string(),
    }
}
