//! `tail`: new messages as they come, each exactly once and in order, also across reconnects.

use std::{collections::BTreeMap, time::Duration};

use jiff::tz::TimeZone;
use protocol::ids::{ConversationId, Seq};
use tokio::time::{Instant, sleep_until};

use super::{history, json::MessageJson, render, session::Session, trail::Trail};
use crate::{
    cli,
    node::{
        PAGE_RECORDS_MAX,
        call::{At, ConversationView, Event, Link, Severity, Target},
    },
    output::{Output, Style, tell},
    report::Failure,
    untrusted::Untrusted,
};

pub(super) async fn run(
    tail: cli::Tail,
    session: Session,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut follower = Follower {
        session,
        targets: tail.targets,
        followed: BTreeMap::new(),
        zone: TimeZone::system(),
    };
    let outcome = follower.run(tail.count, tail.since, tail.duration, output).await;
    follower.session.close().await;
    outcome
}

struct Follower {
    session: Session,
    /// Empty for all.
    targets: Vec<Target>,
    followed: BTreeMap<ConversationId, Followed>,
    zone: TimeZone,
}

/// A conversation and what has been printed of it.
struct Followed {
    conversation: ConversationView,
    trail: Trail,
}

impl Follower {
    async fn run(
        &mut self,
        count: u32,
        since: Option<Seq>,
        duration: Option<Duration>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let end = duration.map(|duration| Instant::now() + duration);
        let offline = self.session.online_if_possible().await;
        if let Err(why) = &offline {
            tell(&format!("note: not connected yet ({})", Untrusted::new(why).for_line()));
        }
        self.begin(count, since, output).await?;
        output.flush()?;
        loop {
            let event = tokio::select! {
                event = self.session.next_event() => event?,
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => {
                    return Ok(());
                }
            };
            self.on_event(event, output).await?;
            output.flush()?;
        }
    }

    async fn begin(
        &mut self,
        count: u32,
        since: Option<Seq>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let wanted = match self.targets.as_slice() {
            [] => self.session.conversations().await?,
            targets => {
                let mut wanted = Vec::with_capacity(targets.len());
                for target in targets {
                    let conversation = self.session.find(target).await?;
                    // If the relay is away, what is stored here is where it begins.
                    wanted.push(match self.session.synced(conversation.clone()).await {
                        Ok(synced) => synced,
                        Err(_) => conversation,
                    });
                }
                wanted
            }
        };
        for conversation in wanted {
            let id = conversation.info.id;
            if let Some(since) = since {
                self.session.fetch_down_to(&conversation, since.next()).await?;
            }
            let start = since.unwrap_or(conversation.high);
            let before = At::Before(start.next());
            let before = self.session.page(id, before, PAGE_RECORDS_MAX).await?;
            let trail = Trail::new(start, &before);
            if since.is_none() && count > 0 {
                // May reach below what is stored; what is not here was not asked for by place.
                let lines =
                    history::last(&self.session, &conversation, start.next(), count).await?;
                history::print(&conversation, &lines, output)?;
            }
            self.followed.insert(id, Followed { conversation, trail });
            self.catch_up(id, output).await?;
        }
        Ok(())
    }

    async fn on_event(&mut self, event: Event, output: &mut Output) -> Result<(), Failure> {
        match event {
            Event::Appended { conversation, .. } | Event::Forked { conversation, .. } => {
                self.catch_up(conversation, output).await
            }
            Event::Conversation(conversation) => self.on_conversation(*conversation, output).await,
            Event::Missed => {
                for conversation in self.session.conversations().await? {
                    self.on_conversation(conversation, output).await?;
                }
                Ok(())
            }
            Event::Gone { conversation, refusal } => {
                if let Some(followed) = self.followed.remove(&conversation) {
                    let why = refusal.map(|why| format!(": {why}")).unwrap_or_default();
                    let text = format!("note: no longer in {}{why}", followed.conversation.title());
                    tell(&Untrusted::new(&text).for_line());
                }
                Ok(())
            }
            Event::Notice { text, severity } => {
                tell(&format!("note: {}", Untrusted::new(&text).for_line()));
                match severity {
                    Severity::Info | Severity::Warning => Ok(()),
                    Severity::Alarm => Err(Failure::NameChanged { name: String::new(), why: text }),
                }
            }
            Event::Status(status) => match status.link {
                Link::Stopped { refusal: Some(refusal), .. } => Err(Failure::Refused(refusal)),
                Link::Stopped { why, refusal: None } => Err(Failure::Unreachable { why }),
                Link::Untrusted { announced, address } => {
                    let known = Some(status.relay_key);
                    Err(Failure::OtherKey { known, announced, address })
                }
                Link::Offline { .. } | Link::Connecting | Link::Syncing | Link::Online { .. } => {
                    Ok(())
                }
            },
            Event::Outbox(_)
            | Event::OutboxGone { .. }
            | Event::Progress { .. }
            | Event::ProgressCount { .. }
            | Event::Typing { .. }
            | Event::Presence { .. }
            | Event::PresenceCount { .. } => Ok(()),
        }
    }

    /// A conversation changed; if all are followed, it may be one that is new.
    async fn on_conversation(
        &mut self,
        conversation: ConversationView,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let id = conversation.info.id;
        if let Some(followed) = self.followed.get_mut(&id) {
            followed.conversation = conversation;
        } else if self.targets.is_empty() {
            // It is new here, so all of it is news, from the first record there is.
            self.followed.insert(id, Followed { conversation, trail: Trail::new(Seq::ZERO, &[]) });
        } else {
            return Ok(());
        }
        self.catch_up(id, output).await
    }

    /// Prints everything that is stored above what was printed.
    async fn catch_up(&mut self, id: ConversationId, output: &mut Output) -> Result<(), Failure> {
        let Some(Followed { conversation, trail }) = self.followed.get_mut(&id) else {
            return Ok(());
        };
        loop {
            let Some(mut page) = trail.above(&self.session, conversation).await? else {
                trail.go_back(&self.session, conversation).await?;
                let title = Untrusted::new(&conversation.title()).for_line();
                let place = trail.high();
                tell(&format!(
                    "note: {title}: the history after record {place} has moved aside; what follows \
                     is the relay's"
                ));
                continue;
            };
            if page.is_empty() {
                // Too much came in our absence: the newest is here first, the rest has to be
                // fetched. What cannot be had any more was trimmed.
                let after = At::After(trail.high());
                page = self.session.page(id, after, PAGE_RECORDS_MAX).await?;
                if page.is_empty() {
                    return Ok(());
                }
                *conversation = self.session.refresh(conversation).await?;
                match self.session.fetch_down_to(conversation, trail.high().next()).await {
                    // Cut off meanwhile. It goes on when the conversation is there again.
                    Err(Failure::Unreachable { .. }) => return Ok(()),
                    fetched => fetched?,
                };
                page = self.session.page(id, after, PAGE_RECORDS_MAX).await?;
            }
            for line in &page {
                match output.style() {
                    Style::Json => {
                        let text = render::words(line);
                        output.json(&MessageJson::new(conversation, line, text))?;
                    }
                    Style::Plain => {
                        let title = Untrusted::new(&conversation.title()).for_line();
                        for text in render::lines(line, &self.zone) {
                            output.line(&format!("{title} {text}"))?;
                        }
                    }
                }
                trail.extend(line);
            }
        }
    }
}
