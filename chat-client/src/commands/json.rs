//! The JSON lines of `tail`, `history`, `export` and `send`. The schema is fixed: fields are added,
//! never changed or removed while `v` is 1.

use jiff::Timestamp;
use protocol::{
    ids::{AccountId, Counter, DeviceId, MessageId},
    message::{
        event::{Body, Change, Set},
        record::Target,
        room::{AccountInfo, Kind},
    },
    time::WallTime,
};
use serde::Serialize;

use crate::node::call::{ConversationView, Line, SaidView, SentMessage};

/// The version in every line.
pub const JSON_VERSION: u32 = 1;

/// One record.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MessageJson {
    v: u32,
    conversation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<PersonJson>,
    seq: u64,
    /// `null` for the relay's own notices, and while nobody knows whose device it is.
    sender: Option<PersonJson>,
    device: Option<String>,
    counter: Option<u64>,
    time: String,
    time_ms: u64,
    kind: &'static str,
    /// The words; for notices and what cannot be read, a description.
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<TargetJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<TargetJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<PersonJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<PersonJson>,
}

/// A person.
#[derive(Clone, Debug, Serialize)]
pub struct PersonJson {
    account: String,
    /// `null` while it is not known.
    name: Option<String>,
}

impl PersonJson {
    /// A person whose label is known.
    pub fn new(person: &AccountInfo) -> Self {
        Self { account: person.account.to_string(), name: Some(person.name.clone()) }
    }

    fn named(account: AccountId, known: &[AccountInfo]) -> Self {
        let name = known.iter().find(|person| person.account == account);
        Self { account: account.to_string(), name: name.map(|person| person.name.clone()) }
    }
}

#[derive(Clone, Debug, Serialize)]
struct TargetJson {
    seq: u64,
    device: String,
    counter: u64,
}

impl From<Target> for TargetJson {
    fn from(target: Target) -> Self {
        let MessageId { device, counter } = target.id;
        Self { seq: target.seq.0, device: device.to_string(), counter: counter.0 }
    }
}

impl MessageJson {
    /// A record of a conversation; `text` is what people read of it.
    pub fn new(conversation: &ConversationView, line: &Line, text: String) -> Self {
        let is_direct = conversation.info.kind == Kind::DIRECT;
        let mut json = Self {
            v: JSON_VERSION,
            conversation: conversation.info.id.to_string(),
            room: (!is_direct).then(|| conversation.info.name.clone()),
            peer: conversation.info.peer.as_ref().map(PersonJson::new),
            seq: line.seq.0,
            sender: line.sender.as_ref().map(PersonJson::new),
            device: line.id.map(|id| id.device).filter(is_somebody).map(|id| id.to_string()),
            counter: line.id.map(|id| id.counter.0),
            time: rfc3339(line.time),
            time_ms: line.time.as_millis(),
            text,
            target: line.target.map(TargetJson::from),
            ..Self::default()
        };
        json.add_body(line);
        json
    }

    fn add_body(&mut self, line: &Line) {
        let body = match &line.said {
            SaidView::Body(body) => body,
            SaidView::Erased => {
                self.kind = "erased";
                return;
            }
            SaidView::Unreadable => {
                self.kind = "unreadable";
                return;
            }
        };
        self.kind = body.kind_name();
        match body {
            Body::Text(text) | Body::Action(text) => {
                self.reply_to = text.reply_to.map(TargetJson::from);
            }
            Body::Reaction(_, set) => {
                self.set = Some(match set {
                    Set::On => "on",
                    Set::Off => "off",
                });
            }
            Body::Notice(notice) => {
                self.change = Some(change_name(&notice.change));
                self.actor = notice.actor.map(|who| PersonJson::named(who, &line.named));
                self.subject = notice.subject.map(|who| PersonJson::named(who, &line.named));
            }
            Body::Edit(_) | Body::Delete(_) | Body::Unknown(..) => {}
        }
    }
}

fn is_somebody(device: &DeviceId) -> bool {
    *device != DeviceId::RELAY
}

/// A stable word for a change of a room.
const fn change_name(change: &Change) -> &'static str {
    match change {
        Change::Created => "created",
        Change::Joined => "joined",
        Change::Left => "left",
        Change::Kicked => "kicked",
        Change::Banned(_) => "banned",
        Change::Unbanned => "unbanned",
        Change::Muted(_) => "muted",
        Change::Unmuted => "unmuted",
        Change::Role(_) => "role",
        Change::Topic(_) => "topic",
        Change::Access(_) => "access",
        Change::Invited => "invited",
    }
}

/// What `send --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct SentJson {
    v: u32,
    state: &'static str,
    local: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counter: Option<Counter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_ms: Option<u64>,
}

impl SentJson {
    /// Durable on the relay.
    pub fn sent(sent: &SentMessage) -> Self {
        Self {
            v: JSON_VERSION,
            state: "sent",
            local: sent.local.0,
            conversation: Some(sent.conversation.to_string()),
            seq: Some(sent.seq.0),
            device: Some(sent.id.device.to_string()),
            counter: Some(sent.id.counter),
            time: Some(rfc3339(sent.time)),
            time_ms: Some(sent.time.as_millis()),
        }
    }

    /// Durable here.
    pub fn queued(local: u64) -> Self {
        Self {
            v: JSON_VERSION,
            state: "queued",
            local,
            conversation: None,
            seq: None,
            device: None,
            counter: None,
            time: None,
            time_ms: None,
        }
    }
}

/// RFC 3339 in UTC with milliseconds; a time beyond the calendar is its number.
pub fn rfc3339(time: WallTime) -> String {
    let millis = time.as_millis();
    i64::try_from(millis)
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .map_or_else(|| millis.to_string(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_with_milliseconds() {
        let show = |millis| rfc3339(WallTime::from_millis(millis));
        assert_eq!(show(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(show(1_795_249_391_007), "2026-11-21T08:23:11.007Z");
        assert_eq!(show(u64::MAX), u64::MAX.to_string());
    }
}
