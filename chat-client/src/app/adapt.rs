//! From what the node says to what the model knows. Pure; foreign text stays as it is, the view
//! makes it harmless.

use std::time::Duration;

use protocol::{
    ids::{AccountId, DeviceId, MessageId, Seq},
    message::{
        event::{Body, Notice as RoomNotice},
        room::{AccountInfo, Kind, Presence, Standing as WireStanding},
    },
    time::WallTime,
};

use super::{
    conversation::{Pending, PendingState, Privacy, Reached, Sort, Standing, Summary},
    effect::Saying,
    event::{Data, Finding},
    link::{Faults, Link, LinkState},
    timeline::{Entry, Notice, SOMEBODY, Said, Sender},
};
use crate::node::call::{
    ConversationView, Delivery, Event as NodeEvent, Fallback, FaultsView, Found, Line,
    Link as NodeLink, OutboxView, SaidView, Status, Target,
};

/// What telling *me* from others needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Own {
    /// The own account, once the relay has confirmed it.
    pub(super) account: Option<AccountId>,
    /// This device.
    pub(super) device: Option<DeviceId>,
}

impl Own {
    /// As the node says.
    pub(super) fn of(status: &Status) -> Self {
        Self {
            account: status.account.as_ref().map(|info| info.account),
            device: Some(status.device),
        }
    }
}

/// The status line's part of a status.
pub(super) fn link(status: &Status, now: WallTime) -> Link {
    // The name that is wanted may be somebody else's.
    let name = status.account.as_ref().map(|info| info.name.clone()).unwrap_or_default();
    let relay = if status.relay_name.is_empty() {
        status.addresses.first().cloned().unwrap_or_default()
    } else {
        status.relay_name.clone()
    };
    let state = match &status.link {
        NodeLink::Offline { why, retry_in_ms: Some(millis) } => {
            LinkState::Waiting { until: now.plus(Duration::from_millis(*millis)), why: why.clone() }
        }
        NodeLink::Offline { why, retry_in_ms: None } => LinkState::Stopped(why.clone()),
        NodeLink::Connecting | NodeLink::Syncing => LinkState::Connecting,
        NodeLink::Online { .. } => LinkState::Live,
        NodeLink::Stopped { why, refusal } => {
            let refusal = refusal.as_ref().map(|refusal| format!(": {refusal}"));
            LinkState::Stopped(format!("{why}{}", refusal.unwrap_or_default()))
        }
        NodeLink::Untrusted { announced, address } => LinkState::Stopped(format!(
            "the relay you know did not answer; another key is announced at {address}: {}",
            announced.fingerprint()
        )),
    };
    let transport = match &status.link {
        NodeLink::Online { transport, fallback: Fallback::No, .. } => transport.clone(),
        NodeLink::Online { transport, .. } => format!("{transport}, no udp"),
        _ => String::new(),
    };
    let round_trip = status.round_trip_us.map(Duration::from_micros);
    let faults = faults(&status.faults, now);
    Link { relay, name, transport, round_trip, state, faults }
}

/// What is made to go wrong, by this clock.
pub(super) fn faults(view: &FaultsView, now: WallTime) -> Faults {
    let at = |millis: u64| now.plus(Duration::from_millis(millis));
    let blackouts = view.blackouts_ms.iter().map(|(begin, end)| (at(*begin), at(*end)));
    Faults { words: view.words.clone(), blackouts: blackouts.collect() }
}

/// The list's part of a conversation.
pub(super) fn summary(view: &ConversationView) -> Summary {
    let info = &view.info;
    let (sort, name) = match (&info.peer, info.kind) {
        (Some(peer), Kind::DIRECT) => (Sort::Direct, peer.name.clone()),
        (_, _) => (Sort::Room, info.name.clone()),
    };
    Summary {
        id: info.id,
        sort,
        name,
        topic: info.topic.clone(),
        standing: standing(info.standing),
        unread: view.unread(),
        head: info.head.max(view.high),
        read: view.read,
        members: info.members,
        peer: info.peer.as_ref().map(|peer| peer.account),
        active: view.active,
        // Until sealing exists, whoever runs the relay can read everything.
        privacy: Privacy::RelayCanRead,
    }
}

/// How somebody stands to a conversation.
pub(super) const fn standing(wire: WireStanding) -> Standing {
    match wire {
        WireStanding::JOINED => Standing::Joined,
        WireStanding::INVITED => Standing::Invited,
        WireStanding::REQUESTED => Standing::Requested,
        // A standing of a later version gives no rights.
        WireStanding(_) => Standing::Outside,
    }
}

/// A record.
pub(super) fn entry(line: &Line, own: &Own) -> Entry {
    let sender = match (&line.sender, line.id) {
        (Some(info), _) if Some(info.account) == own.account => Sender::Me(info.name.clone()),
        (Some(info), _) => Sender::Person(Some(info.account), info.name.clone()),
        (None, Some(MessageId { device: DeviceId::RELAY, .. })) => Sender::Relay,
        (None, _) => Sender::Person(None, SOMEBODY.to_owned()),
    };
    Entry { seq: line.seq, time: line.time, id: line.id, sender, said: said(line) }
}

/// A message that a search found; `None` if it has no words.
pub(super) fn finding(found: &Found) -> Option<Finding> {
    let line = &found.line;
    let SaidView::Body(Body::Text(text) | Body::Action(text)) = &line.said else { return None };
    let sender = line.sender.as_ref().map_or_else(|| SOMEBODY.to_owned(), |info| info.name.clone());
    let text = text.text.clone();
    Some(Finding { conversation: found.conversation, seq: line.seq, time: line.time, sender, text })
}

fn said(line: &Line) -> Said {
    let body = match &line.said {
        SaidView::Body(body) => body,
        SaidView::Erased => return Said::Erased,
        SaidView::Unreadable => return Said::Unreadable,
    };
    match (body, line.target) {
        (Body::Text(text), _) => Said::Text(text.text.clone(), text.reply_to),
        (Body::Action(text), _) => Said::Action(text.text.clone()),
        (Body::Edit(text), Some(target)) => Said::Edit(target, text.text.clone()),
        (Body::Delete(_), Some(target)) => Said::Delete(target),
        (Body::Reaction(emoji, set), Some(target)) => Said::React(target, emoji.clone(), *set),
        (Body::Edit(_) | Body::Delete(_) | Body::Reaction(..), None) => Said::Unreadable,
        (Body::Notice(notice), _) => Said::Notice(room_notice(notice, &line.named)),
        (Body::Unknown(..), _) => Said::NeedsNewer,
    }
}

fn room_notice(notice: &RoomNotice, named: &[AccountInfo]) -> Notice {
    let name = |who: Option<AccountId>| {
        let Some(account) = who else { return String::new() };
        let known = named.iter().find(|info| info.account == account);
        known.map_or_else(|| SOMEBODY.to_owned(), |info| info.name.clone())
    };
    Notice {
        actor: name(notice.actor),
        subject: name(notice.subject),
        change: notice.change.clone(),
        reason: notice.reason.clone(),
    }
}

/// An own message on its way; `None` if nothing of it can be shown.
pub(super) fn pending(view: &OutboxView, own: &Own, now: WallTime) -> Pending {
    let id = own.device.zip(view.counter);
    // What an amend acts on is in its envelope, which the outbox does not show.
    let target = protocol::message::record::Target {
        seq: Seq::ZERO,
        id: MessageId { device: DeviceId::RELAY, counter: protocol::ids::Counter::default() },
    };
    let saying = match &view.body {
        Body::Text(text) => Saying::Text(text.text.clone(), text.reply_to),
        Body::Action(text) => Saying::Action(text.text.clone()),
        Body::Edit(text) => Saying::Edit(target, text.text.clone()),
        Body::Reaction(emoji, set) => Saying::React(target, emoji.clone(), *set),
        Body::Delete(_) | Body::Notice(_) | Body::Unknown(..) => Saying::Delete(target),
    };
    let state = match &view.state {
        Delivery::Queued | Delivery::Unknown => PendingState::Queued,
        Delivery::Slowed { retry_in_ms, refusal } => {
            let until = now.plus(Duration::from_millis(*retry_in_ms));
            PendingState::Slowed(until, refusal.to_string())
        }
        Delivery::Sent { seq, .. } => PendingState::Sent(*seq),
        Delivery::Held { now, .. } => PendingState::Held {
            name: match &view.to {
                Target::Person(name) => name.clone(),
                Target::Id(_) | Target::Room(_) => now.name.clone(),
            },
            account: now.account,
        },
        Delivery::Failed { refusal } => PendingState::Failed(refusal.to_string()),
    };
    Pending {
        local: view.local.0,
        conversation: view.conversation.or(match &view.to {
            Target::Id(id) => Some(*id),
            Target::Room(_) | Target::Person(_) => None,
        }),
        id: id.map(|(device, counter)| MessageId { device, counter }),
        composed_at: view.composed_at,
        saying,
        state,
    }
}

/// News that need no further questions; `None` for those that do, or that nobody sees yet.
pub(super) fn news(event: &NodeEvent, own: &Own, now: WallTime) -> Option<Data> {
    Some(match event {
        NodeEvent::Status(status) => Data::Link(link(status, now)),
        NodeEvent::Conversation(view) => Data::Conversation(Box::new(summary(view))),
        NodeEvent::Gone { conversation, refusal } => {
            Data::Gone(*conversation, refusal.as_ref().map(ToString::to_string))
        }
        NodeEvent::Forked { conversation, .. } => Data::Forked(*conversation),
        NodeEvent::Outbox(view) => Data::Pending(pending(view, own, now)),
        NodeEvent::OutboxGone { local } => Data::PendingGone(local.0),
        NodeEvent::Progress { conversation, members } => {
            let reached = members.iter().filter(|member| Some(member.account) != own.account);
            let reached = reached.map(|member| (member.account, member.received, member.read));
            Data::Progress(*conversation, Reached::Members(reached.collect()))
        }
        NodeEvent::ProgressCount { conversation, seq, received, read, of } => {
            let (seq, received, read, of) = (*seq, *received, *read, *of);
            Data::Progress(*conversation, Reached::Count { seq, received, read, of })
        }
        NodeEvent::Typing { conversation, who } => Data::Typing(*conversation, who.name.clone()),
        NodeEvent::Notice { text, .. } => Data::Told(text.clone()),
        NodeEvent::Presence { accounts } => {
            let here = |(account, presence): &_| (*account, *presence == Presence::ONLINE);
            Data::Presence(accounts.iter().map(here).collect())
        }
        NodeEvent::Appended { .. } | NodeEvent::PresenceCount { .. } | NodeEvent::Missed => {
            return None;
        }
    })
}
