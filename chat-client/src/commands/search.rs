//! `search`: messages in everything that is stored here, after what is new has been stored.

use jiff::{Timestamp, tz::TimeZone};
use protocol::{ids::ConversationId, time::WallTime};

use super::{
    amended::Amended,
    json::MessageJson,
    render,
    session::{Session, unexpected},
};
use crate::{
    cli,
    node::{
        PAGE_RECORDS_MAX,
        call::{Answer, Call, ConversationView, Found},
    },
    output::{Output, Style, tell},
    report::Failure,
    search::Query,
    untrusted::Untrusted,
};

pub(super) async fn run(
    search: cli::Search,
    session: &Session,
    output: &mut Output,
) -> Result<(), Failure> {
    let zone = TimeZone::system();
    let text = search.query.join(" ");
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
    let query = Query::parse(&text, WallTime::from_millis(now), &zone)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    match session.online_if_possible().await {
        Ok(()) => {
            for conversation in session.conversations().await? {
                session.synced(conversation).await?;
            }
        }
        Err(why) => tell(&format!("note: only what is stored here ({why})")),
    }
    let wanted = usize::try_from(search.count.get()).unwrap_or(usize::MAX);
    if wanted > PAGE_RECORDS_MAX {
        tell(&format!("note: at most {PAGE_RECORDS_MAX} messages at a time; before:DATE goes on"));
    }
    let call = Call::Search { query, count: wanted };
    let Answer::Found { mut found, back_to, unindexed } = session.call(call).await? else {
        return Err(unexpected(&"nothing that was found"));
    };
    if let Some(back_to) = back_to {
        let time = render::local_time(back_to, &zone);
        tell(&format!("note: searched back to {time}; before:DATE goes on"));
    }
    if unindexed > 0 {
        tell(&format!("note: {unindexed} stored records are not in the index yet"));
    }
    if found.is_empty() {
        return Err(Failure::NotFound { what: format!("messages with {text}") });
    }
    // As everywhere else: the newest message stands last.
    found.reverse();
    let conversations = session.conversations().await?;
    let place = |id: ConversationId| conversations.iter().find(|known| known.info.id == id);
    found.iter().try_for_each(|message| print(message, place(message.conversation), &zone, output))
}

fn print(
    message: &Found,
    conversation: Option<&ConversationView>,
    zone: &TimeZone,
    output: &mut Output,
) -> Result<(), Failure> {
    // One that was left meanwhile: its records stay, its name is gone.
    let Some(conversation) = conversation else { return Ok(()) };
    match output.style() {
        Style::Json => {
            let words = render::words(&message.line);
            output.json(&MessageJson::new(conversation, &message.line, words))
        }
        Style::Plain => {
            let title = Untrusted::new(&conversation.title()).for_line();
            let amended =
                Amended { is_edited: message.is_edited, ..Amended::plain(message.line.clone()) };
            let lines = render::amended_lines(&amended, zone);
            lines.iter().try_for_each(|line| output.line(&format!("{title} {line}")))
        }
    }
}
