//! From what the engine and the store know to what front ends are shown.

use protocol::{
    ids::Seq,
    message::{
        event::{Body, Notice as RoomNotice},
        record::{Class, Envelope},
        refusal::{Refusal, RefusalCode},
        room::{AccountInfo, ConversationInfo},
    },
    time::{Timestamp, WallTime},
};

use super::call::{
    CallError, ConversationView, Delivery, End, Event, Line, OutboxView, SaidView, Severity, Target,
};
use crate::{
    engine::{CommandError, Conversation, Engine, Notice, OutboxState},
    store::row::{HistoryRow, OutboxRow, Payload, Said},
};

/// A conversation with what is stored of it.
pub(super) fn conversation(conversation: &Conversation) -> ConversationView {
    let newest = conversation.intervals().last();
    ConversationView {
        info: conversation.info().clone(),
        high: newest.map(|interval| interval.high).unwrap_or_default(),
        low: newest.map(|interval| interval.low).unwrap_or_default(),
        older: if conversation.is_complete() { End::Reached } else { End::More },
        read: conversation.read(),
        draft: conversation.draft().to_owned(),
        active: conversation.active(),
    }
}

/// A conversation of which nothing is stored.
pub(super) fn outside(info: ConversationInfo) -> ConversationView {
    let read = info.read;
    ConversationView {
        info,
        high: Seq::ZERO,
        low: Seq::ZERO,
        older: End::More,
        read,
        draft: String::new(),
        active: WallTime::default(),
    }
}

/// A record with the people behind it.
pub(super) fn line(engine: &Engine, row: HistoryRow) -> Line {
    let id = row.envelope.as_ref().map(Envelope::id);
    let understood = row.envelope.as_ref().filter(|envelope| envelope.is_understood());
    let class = understood.map_or(Class::CONTENT, |envelope| envelope.class);
    let target = understood.and_then(|envelope| envelope.target);
    let said = match row.said {
        Said::Body(body) => SaidView::Body(body),
        Said::Erased => SaidView::Erased,
        Said::Unreadable => SaidView::Unreadable,
    };
    let named = match &said {
        SaidView::Body(Body::Notice(notice)) => people(engine, notice),
        SaidView::Body(_) | SaidView::Erased | SaidView::Unreadable => Vec::new(),
    };
    Line {
        seq: row.seq,
        time: row.time,
        id,
        sender: id.and_then(|id| engine.sender(id.device)).cloned(),
        class,
        target,
        said,
        named,
    }
}

fn people(engine: &Engine, notice: &RoomNotice) -> Vec<AccountInfo> {
    let mentioned = [notice.actor, notice.subject];
    mentioned.into_iter().flatten().filter_map(|who| engine.person(who)).cloned().collect()
}

/// A message of the outbox.
pub(super) fn outbox(
    engine: &Engine,
    now: Timestamp,
    row: &OutboxRow,
    state: OutboxState,
) -> OutboxView {
    let (to, conversation, counter, body) = match &row.payload {
        Payload::Unresolved { to, draft } => {
            (Target::from(to.clone()), None, None, draft.body(row.composed_at))
        }
        Payload::Encoded(encoded) => {
            // What this program encoded it can decode; if the file was damaged, it shows as such.
            let body = Body::decode(&encoded.body).unwrap_or(Body::Unknown(0, Vec::new()));
            let to = engine
                .conversation(encoded.conversation)
                .and_then(|known| conversation(known).title().parse().ok())
                .unwrap_or(Target::Id(encoded.conversation));
            (to, Some(encoded.conversation), Some(encoded.counter), body)
        }
    };
    OutboxView {
        local: row.local,
        to,
        conversation,
        counter,
        composed_at: row.composed_at,
        body,
        state: delivery(now, state),
    }
}

/// How a message stands, with times relative to now.
fn delivery(now: Timestamp, state: OutboxState) -> Delivery {
    match state {
        OutboxState::Queued | OutboxState::Cancelled => Delivery::Queued,
        OutboxState::Slowed { until, refusal } => {
            Delivery::Slowed { retry_in_ms: millis(until, now), refusal }
        }
        OutboxState::Held { pinned, now } => Delivery::Held { known: pinned, now: *now },
        OutboxState::Sent { seq, time } => Delivery::Sent { seq, time },
        OutboxState::Unknown => Delivery::Unknown,
        OutboxState::Failed(refusal) => Delivery::Failed { refusal },
    }
}

/// Milliseconds from `now` to `until`.
pub(super) fn millis(until: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX)
}

/// Why a command brought nothing.
pub(super) fn error(error: CommandError) -> CallError {
    match error {
        CommandError::Refused(refusal) => CallError::Refused { refusal },
        CommandError::NameChanged { name, pinned, now } => {
            CallError::NameChanged { name, known: pinned, now: now.account }
        }
        CommandError::Offline | CommandError::Disconnected => {
            CallError::Offline { why: error.to_string() }
        }
        CommandError::Unknown => CallError::NotFound { what: "it".to_owned() },
        CommandError::Store(failure) => CallError::Store { why: failure.to_string() },
        CommandError::TooLarge { bytes, bytes_max } => CallError::Refused {
            refusal: Refusal::last(
                RefusalCode::TOO_LARGE,
                format!("{bytes} bytes, at most {bytes_max} are allowed"),
            ),
        },
        CommandError::OutboxFull(_) | CommandError::TooManyQuestions(_) => {
            CallError::Refused { refusal: Refusal::last(RefusalCode::LIMIT, error.to_string()) }
        }
        CommandError::MaybeSent | CommandError::NeedsNewer => {
            CallError::Invalid { why: error.to_string() }
        }
    }
}

/// Something a person must be told, in words.
pub(super) fn notice(engine: &Engine, notice: Notice) -> Event {
    let title = |id| {
        engine
            .conversation(id)
            .map_or_else(|| "a conversation".to_owned(), |known| conversation(known).title())
    };
    let (severity, text) = match notice {
        Notice::RelayRestored { .. } => (
            Severity::Warning,
            "the relay was restored from a copy: what it lost is compared now".to_owned(),
        ),
        Notice::Forked { conversation, common, moved, offered_again } => (
            Severity::Warning,
            format!(
                "{}: the relay's history differs after record {common}; {moved} records moved \
                 aside, {offered_again} own messages are offered again",
                title(conversation)
            ),
        ),
        Notice::Superseded => (
            Severity::Warning,
            "another session of this device took over; is there a copy of this home?".to_owned(),
        ),
        Notice::NameChanged { name, pinned, now } => (
            Severity::Alarm,
            format!("@{name} was account {pinned} and is account {} now", now.account),
        ),
        Notice::Renumbered { local } => (
            Severity::Info,
            format!(
                "message {} goes out under a new number: this home was restored from a copy",
                local.0
            ),
        ),
        Notice::StoreFailing(failure) => (Severity::Warning, format!("local store: {failure}")),
        Notice::NeedsNewer { conversation } => (
            Severity::Warning,
            format!(
                "{}: the relay describes it in a way that needs a newer version of this program; \
                 it is left alone until then",
                title(conversation)
            ),
        ),
        Notice::StoreRecovered => (Severity::Info, "the local store works again".to_owned()),
    };
    Event::Notice { text, severity }
}
