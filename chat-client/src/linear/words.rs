//! What the full screen shows by place, sign and colour, in words.

use jiff::{Timestamp, Zoned, tz::TimeZone};
use protocol::{message::event::Set, time::WallTime};

use crate::app::{
    App,
    conversation::{Conversation, Delivery, Member, PendingState, Privacy, Rank, Sort, Standing},
    description::{Content, Description, Item, Progress, Quote},
    effect::Saying,
    first_run::FirstRun,
    link::{Link, LinkState},
    links,
    timeline::{Entry, Said, Timeline},
};

/// What is told of an own message that is on the relay's disk.
pub(super) const SENT: &str = "sent";
/// Longest piece of a message that is only referred to.
const EXCERPT_CHARS_MAX: usize = 60;

/// Something on the timeline. Each further line of a message says that it is one, so that none can
/// pose as another message.
pub(super) fn item(app: &App, conversation: &Conversation, item: &Item<'_>) -> Vec<String> {
    let described = Description::of(app, conversation, item);
    let hour = zoned(item.time(), &app.zone).strftime("%H:%M").to_string();
    let who = match item.speaker(&app.link.name) {
        Some((true, _)) => "you",
        Some((false, name)) => name,
        None => "",
    };
    let mut lines = match &described.content {
        Content::Words(words) => {
            let reply = described.answers.as_ref().map(quote);
            let head = format!("{who}, {hour}{}", reply.unwrap_or_default());
            numbered(&head, words)
        }
        Content::Action(who, words) => numbered(&format!("at {hour}, {who}"), words),
        Content::Happened(what) => vec![format!("at {hour}: {}", what.join("; "))],
        Content::Deleted => vec![format!("{who}, {hour}: this message is deleted")],
        Content::NeedsNewer => vec![format!("{who}, {hour}: this needs a newer version")],
        Content::Unreadable => vec![format!("{who}, {hour}: this is unreadable")],
        Content::Edit(words) => numbered(&format!("you, {hour}, new words"), words),
        Content::Delete => vec![format!("you, {hour}: a deletion")],
        Content::Reaction(emoji) => vec![format!("you, {hour}: the reaction {emoji}")],
    };
    let mut facts = doubts(app, item, &described.content);
    if described.is_edited {
        facts.push("edited".to_owned());
    }
    facts.extend(described.progress.map(|progress| match progress {
        Progress::Pending(state) => pending_state(state),
        Progress::Stored(delivery) => delivered(delivery),
    }));
    facts.extend(described.reactions.iter().map(|(emoji, count, is_mine)| {
        let among = if *is_mine { " with yours" } else { "" };
        format!("reaction {emoji} {count}{among}")
    }));
    if let Some(last) = lines.last_mut().filter(|_| !facts.is_empty()) {
        *last = format!("{last} ({})", facts.join(", "));
    }
    lines
}

/// What of a message may not be what it seems: its author's name, and where its links lead.
fn doubts(app: &App, item: &Item<'_>, content: &Content<'_>) -> Vec<String> {
    let name = match (item.speaker(&app.link.name), content) {
        (Some((false, name)), _) => Some(name),
        (None, Content::Action(name, _)) => Some(*name),
        (Some((true, _)) | None, _) => None,
    };
    let doubt = name.and_then(|name| app.names.doubt(name));
    let mut doubts: Vec<_> = doubt.map(|doubt| format!("this name: {doubt}")).into_iter().collect();
    if let Content::Words(words) | Content::Action(_, words) = content {
        let warnings = links::warnings(words);
        doubts.extend(warnings.iter().map(|warning| format!("the link: {warning}")));
    }
    doubts
}

/// An edit, reaction or deletion that just came; `None` if it changes nothing.
pub(super) fn amend(app: &App, timeline: &Timeline, amend: &Entry) -> Option<Vec<String>> {
    let hour = zoned(amend.time, &app.zone).strftime("%H:%M").to_string();
    let who = if amend.sender.is_me() { "you" } else { amend.sender.name() };
    let (Said::Edit(target, _) | Said::Delete(target) | Said::React(target, ..)) = &amend.said
    else {
        return None;
    };
    let entry = timeline.entry(target.seq).filter(|entry| entry.id == Some(target.id));
    let about = entry.map_or_else(
        || "an earlier message".to_owned(),
        |entry| {
            let words = timeline.amended(entry).text.or(entry.words()).unwrap_or_default();
            let author = if entry.sender.is_me() { "you" } else { entry.sender.name() };
            format!("{author}: \u{201c}{}\u{201d}", excerpt(words))
        },
    );
    Some(match &amend.said {
        Said::Edit(_, words) => {
            // Only an author's edit counts.
            let counts = timeline.edits(entry?).iter().any(|edit| edit.seq == amend.seq);
            counts.then(|| numbered(&format!("{who}, {hour}, edited a message"), words))?
        }
        Said::React(_, emoji, Set::On) => {
            vec![format!("{who}, {hour}, reacted {emoji} to {about}")]
        }
        Said::React(_, emoji, Set::Off) => {
            vec![format!("{who}, {hour}, took {emoji} back from {about}")]
        }
        _ => {
            let author = entry.map(|entry| entry.sender.name()).unwrap_or_default();
            let of = if author.is_empty() { String::new() } else { format!(" of {author}") };
            vec![format!("{who}, {hour}, deleted a message{of}")]
        }
    })
}

/// What an own message on its way is.
pub(super) fn own(saying: &Saying) -> (&'static str, String) {
    match saying {
        Saying::Text(words, _) | Saying::Action(words) => ("message", excerpt(words)),
        Saying::Edit(_, words) => ("edit", excerpt(words)),
        Saying::Delete(_) => ("deletion", String::new()),
        Saying::React(_, emoji, _) => ("reaction", emoji.clone()),
    }
}

/// How far an own message has got on its way to the relay.
pub(super) fn pending_state(state: &PendingState) -> String {
    match state {
        PendingState::Queued => "waiting to be sent".to_owned(),
        PendingState::Slowed(_, why) => format!("slowed down, {why}"),
        PendingState::Sent(_) => SENT.to_owned(),
        PendingState::Held { name, .. } => {
            format!("not sent, {name} is another account now: /accept {name} or /cancel")
        }
        PendingState::Failed(why) => format!("failed, {why}: /cancel removes it"),
    }
}

fn delivered(delivery: Delivery) -> String {
    match delivery {
        Delivery { received: 0, read: 0, .. } => SENT.to_owned(),
        Delivery { received, read: 0, of } => format!("delivered to {received} of {of}"),
        Delivery { read, of, .. } => format!("read by {read} of {of}"),
    }
}

fn quote(quote: &Quote<'_>) -> String {
    match quote {
        Quote::Earlier => ", reply to an earlier message".to_owned(),
        Quote::Deleted(author) => format!(", reply to a deleted message of {author}"),
        Quote::Words(author, words) => {
            format!(", reply to {author}: \u{201c}{}\u{201d}", excerpt(words))
        }
    }
}

/// A head and the words behind it; each further line with its number.
fn numbered(head: &str, words: &str) -> Vec<String> {
    let line = |(index, line): (usize, &str)| match index {
        0 => format!("{head}: {line}"),
        index => format!("line {}: {line}", index + 1),
    };
    words.split('\n').enumerate().map(line).collect()
}

/// The first line, and not too much of it.
pub(super) fn excerpt(words: &str) -> String {
    let first = words.lines().next().unwrap_or_default();
    match first.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((end, _)) => format!("{} and so on", &first[..end]),
        None => first.to_owned(),
    }
}

/// Where the person has come to.
pub(super) fn place(conversation: &Conversation) -> String {
    let summary = &conversation.summary;
    let mut facts = vec![format!("you are in {}", summary.title())];
    if !summary.topic.is_empty() {
        facts.push(format!("topic: {}", summary.topic));
    }
    if summary.sort == Sort::Room {
        let members = if summary.members == 1 { "member" } else { "members" };
        facts.push(format!("{} {members}", summary.members));
    }
    facts.push(match summary.privacy {
        Privacy::RelayCanRead => "readable by the relay's operator".to_owned(),
        Privacy::Sealed => "sealed".to_owned(),
    });
    if summary.unread > 0 {
        facts.push(format!("{} unread", summary.unread));
    }
    facts.join("; ")
}

/// Who wrote elsewhere, and how much.
pub(super) fn came(conversation: &Conversation) -> String {
    let messages = |count| if count == 1 { "message" } else { "messages" };
    let wrote = |(who, count): (&String, &u32)| format!("{who} wrote {count} {}", messages(*count));
    let who: Vec<_> = conversation.came.iter().map(wrote).collect();
    let names = if conversation.mentions.is_empty() { "" } else { "; you are named" };
    format!("{}: {}{names}", conversation.summary.title(), who.join(", "))
}

/// A member of a conversation.
pub(super) fn member(member: &Member, is_here: bool) -> String {
    let rank = match member.rank {
        Rank::Owner => ", owner",
        Rank::Moderator => ", moderator",
        Rank::Plain => "",
    };
    let standing = match member.standing {
        Standing::Joined => "",
        Standing::Invited => ", invited",
        Standing::Requested => ", wants to be admitted",
        Standing::Outside => ", outside",
    };
    let here = if is_here { ", connected" } else { ", away" };
    format!("{}{rank}{standing}{here}", member.name)
}

/// How the connection stands; `None` while that is being found out.
pub(super) fn link(link: &Link) -> Option<String> {
    match &link.state {
        LinkState::Connecting => None,
        LinkState::Live => Some(format!("connected to {} as {}", link.relay, link.name)),
        LinkState::Waiting { why, .. } => {
            Some(format!("not connected, it is tried again and again: {why}"))
        }
        LinkState::Stopped(why) => Some(format!("not connected: {why}; /reconnect tries again")),
    }
}

/// A question of the first run.
pub(super) fn question(first_run: &FirstRun) -> Vec<String> {
    let question = first_run.step.question();
    let mut lines: Vec<String> = Vec::new();
    lines.extend(first_run.error.as_ref().map(|error| format!("that did not work: {error}")));
    lines.extend(Some(question.heading.to_owned()).filter(|heading| !heading.is_empty()));
    lines.extend(question.alarm.map(str::to_owned));
    lines.extend(question.facts.iter().map(|(what, value)| format!("{what}: {value}")));
    lines.push(question.words);
    if question.keys.is_empty() && first_run.waits() {
        let name = first_run.name.text();
        lines.push(format!("Write a name, or nothing but Enter for {name}."));
    }
    let answer = |(key, meaning): &(&str, &str)| format!("{key}: {meaning}");
    lines.extend(question.keys.iter().map(answer));
    lines
}

pub(super) fn zoned(time: WallTime, zone: &TimeZone) -> Zoned {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    // A time outside the calendar comes from a broken clock: it is said as the epoch.
    Timestamp::from_millisecond(millis).unwrap_or_default().to_zoned(zone.clone())
}
