//! `history`: earlier messages, from here, and what is missing from the relay.

use jiff::tz::TimeZone;
use protocol::ids::{ConversationId, Seq};

use super::{
    amended::{Amended, Amends, is_amend},
    json::MessageJson,
    render,
    session::Session,
};
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
    match output.style() {
        Style::Json => {
            let lines = last(session, &conversation, before, history.count.get()).await?;
            some(lines.len(), &history)?;
            print(&conversation, &lines, output)
        }
        Style::Plain => {
            let mut read = Read { session, conversation, is_online: offline.is_ok() };
            let messages = read.messages(before, history.count.get()).await?;
            some(messages.len(), &history)?;
            let zone = TimeZone::system();
            let lines = messages.iter().flat_map(|message| render::amended_lines(message, &zone));
            lines.into_iter().try_for_each(|line| output.line(&line))
        }
    }
}

fn some(count: usize, history: &cli::History) -> Result<(), Failure> {
    match count {
        0 => Err(Failure::NotFound { what: format!("messages in {}", history.target) }),
        _ => Ok(()),
    }
}

/// A history as its readers want it: edits, deletions and reactions are not lines of their own, so
/// so many messages can be more records.
struct Read<'a> {
    session: &'a Session,
    conversation: ConversationView,
    is_online: bool,
}

impl Read<'_> {
    /// The last `count` messages and notices below `before`, oldest first; from the relay what is
    /// missing here.
    async fn messages(&mut self, before: Seq, count: u32) -> Result<Vec<Amended>, Failure> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        loop {
            let messages = self.stored(before, count).await?;
            let missing = count - messages.len();
            let low = self.conversation.low;
            if missing == 0 || !self.is_online || self.conversation.older == End::Reached {
                return Ok(messages);
            }
            let more = u64::try_from(missing.max(PAGE_RECORDS_MAX)).unwrap_or(u64::MAX);
            self.session.fetch_down_to(&self.conversation, low.minus(more).max(Seq::FIRST)).await?;
            self.conversation = self.session.refresh(&self.conversation).await?;
            if self.conversation.low >= low {
                return Ok(messages);
            }
        }
    }

    async fn stored(&self, before: Seq, count: usize) -> Result<Vec<Amended>, Failure> {
        let id = self.conversation.info.id;
        let mut before = before;
        let mut newest_first = Vec::new();
        while newest_first.len() < count {
            let page = self.session.page(id, At::Before(before), PAGE_RECORDS_MAX).await?;
            let Some(first) = page.first() else { break };
            before = first.seq;
            let amended = amended_page(self.session, id, page).await?;
            newest_first.extend(amended.into_iter().rev().take(count - newest_first.len()));
        }
        newest_first.reverse();
        Ok(newest_first)
    }
}

/// A page of records as they are now, without the amends among them.
pub(super) async fn amended_page(
    session: &Session,
    conversation: ConversationId,
    page: Vec<Line>,
) -> Result<Vec<Amended>, Failure> {
    let amends = Amends::new(session.amends(conversation, &page).await?);
    let messages = page.into_iter().filter(|line| !is_amend(line));
    Ok(messages.map(|line| amends.apply(line)).collect())
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

/// Prints records as they are.
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
