//! All that is known of a message, line by line: whose it is and from where, its earlier versions,
//! who reacted, who has it.

use jiff::Timestamp;
use protocol::{ids::AccountId, time::WallTime};

use super::{
    App,
    conversation::Conversation,
    links,
    timeline::{Entry, Said, Sender},
};

/// Digits of an account's number that are shown for somebody without a name.
const ACCOUNT_DIGITS: usize = 8;

/// The lines. Foreign text in them is as it came; the view makes it harmless.
pub(super) fn lines(app: &App, conversation: &Conversation, entry: &Entry) -> Vec<String> {
    let timeline = &conversation.timeline;
    let mut lines = vec![
        format!("from      {}", sender(entry)),
        format!("time      {}, by the relay's clock", clock(app, entry.time)),
        format!("place     record {} of {}", entry.seq.0, conversation.summary.title()),
    ];
    if !entry.sender.is_me()
        && let Some(doubt) = app.names.doubt(entry.sender.name())
    {
        lines.push(format!("warning   this name {doubt}"));
    }
    let warnings = entry.words().map(links::warnings).unwrap_or_default();
    lines.extend(warnings.into_iter().map(|warning| format!("warning   {warning}")));
    if let Some(id) = entry.id {
        lines.push(format!("device    {}", id.device));
        lines.push(format!("counter   {}", id.counter.0));
    }
    if let Said::Text(_, Some(answered)) = &entry.said {
        lines.push(format!("answers   record {}", answered.seq.0));
    }
    let edits = timeline.edits(entry);
    if !edits.is_empty() {
        lines.push(String::new());
        lines.push(format!("{} versions", edits.len() + 1));
        let versions = std::iter::once(entry).chain(edits);
        lines.extend(versions.map(|version| {
            let words = version.words().unwrap_or_default();
            format!("{}  {words}", clock(app, version.time))
        }));
    }
    let reactions = timeline.reactions(entry);
    if !reactions.is_empty() {
        lines.push(String::new());
        lines.extend(reactions.iter().map(|(emoji, people)| {
            let names: Vec<&str> = people.iter().map(|(_, name)| *name).collect();
            format!("{emoji}  {}", names.join(", "))
        }));
    }
    lines.push(String::new());
    lines.extend(delivery(conversation, entry));
    lines
}

/// Who has it and who has read it, by name as far as the relay tells.
fn delivery(conversation: &Conversation, entry: &Entry) -> Vec<String> {
    let count = conversation.delivery(entry.seq);
    let mut have = Vec::new();
    let mut read = Vec::new();
    for (account, has_read) in conversation.reached(entry.seq) {
        let name = name(conversation, account);
        if has_read { read.push(name) } else { have.push(name) }
    }
    let named = |names: Vec<String>| match names.as_slice() {
        [] => String::new(),
        names => format!(": {}", names.join(", ")),
    };
    vec![
        format!("read by   {} of {}{}", count.read, count.of, named(read)),
        format!("received  {} of {}{}", count.received, count.of, named(have)),
    ]
}

fn sender(entry: &Entry) -> String {
    match &entry.sender {
        Sender::Me(name) => format!("{name} (you)"),
        Sender::Person(Some(account), name) => format!("{name}, account {account}"),
        Sender::Person(None, name) => format!("{name}, account not known"),
        Sender::Relay => "the relay".to_owned(),
    }
}

/// What an account is called here: names come with what people said.
fn name(conversation: &Conversation, account: AccountId) -> String {
    let newest = conversation.timeline.entries().iter().rev();
    let mut known = newest.filter_map(|entry| match &entry.sender {
        Sender::Person(Some(of), name) if *of == account => Some(name.clone()),
        Sender::Person(..) | Sender::Me(_) | Sender::Relay => None,
    });
    known.next().unwrap_or_else(|| {
        let digits: String = account.to_string().chars().take(ACCOUNT_DIGITS).collect();
        format!("account {digits}…")
    })
}

fn clock(app: &App, time: WallTime) -> String {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    // A time outside the calendar comes from a broken clock: it is shown as the epoch.
    let timestamp = Timestamp::from_millisecond(millis).unwrap_or_default();
    timestamp.to_zoned(app.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}
