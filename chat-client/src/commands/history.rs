//! `history`: earlier messages, from here, and what is missing from the relay.

use jiff::tz::TimeZone;
use protocol::ids::Seq;

use super::{json::MessageJson, render, session::Session};
use crate::{
    cli,
    node::{
        PAGE_RECORDS_MAX,
        call::{At, ConversationView, End, Line},
    },
    output::{Output, Style, tell},
    report::Failure,
};

pub(super) async fn run(
    history: cli::History,
    session: &Session,
    output: &mut Output,
) -> Result<(), Failure> {
    let offline = session.online_if_possible().await;
    let mut conversation = session.find(&history.target).await?;
    if offline.is_ok() {
        conversation = session.synced(conversation).await?;
    }
    let count = u64::from(history.count.get());
    let before = history.before.unwrap_or(conversation.high.next());
    let from = before.minus(count).max(Seq::FIRST);
    if conversation.older == End::More && conversation.low > from {
        match &offline {
            Ok(()) => {
                session.fetch_down_to(&conversation, from).await?;
                conversation = session.refresh(&conversation).await?;
            }
            Err(why) => tell(&format!("note: only what is stored here ({why})")),
        }
    }
    let lines = last(session, &conversation, before, history.count.get()).await?;
    if lines.is_empty() {
        return Err(Failure::NotFound { what: format!("messages in {}", history.target) });
    }
    print(&conversation, &lines, output)
}

/// The last `count` stored records below `before`, oldest first.
pub(super) async fn last(
    session: &Session,
    conversation: &ConversationView,
    before: Seq,
    count: u32,
) -> Result<Vec<Line>, Failure> {
    let mut pages = Vec::new();
    let mut left = usize::try_from(count).unwrap_or(usize::MAX);
    let mut before = before;
    while left > 0 {
        let at = At::Before(before);
        let page = session.page(conversation.info.id, at, left.min(PAGE_RECORDS_MAX)).await?;
        let Some(first) = page.first() else { break };
        before = first.seq;
        left -= page.len();
        pages.push(page);
    }
    Ok(pages.into_iter().rev().flatten().collect())
}

/// Prints records as they were asked for.
pub(super) fn print(
    conversation: &ConversationView,
    lines: &[Line],
    output: &mut Output,
) -> Result<(), Failure> {
    let zone = TimeZone::system();
    for line in lines {
        match output.style() {
            Style::Json => {
                output.json(&MessageJson::new(conversation, line, render::words(line)))?;
            }
            Style::Plain => {
                for text in render::lines(line, &zone) {
                    output.line(&text)?;
                }
            }
        }
    }
    Ok(())
}
