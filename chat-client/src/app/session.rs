//! The client while it has a node: calls on one side, events on the other, and who is *me*.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use protocol::{
    ids::{ConversationId, RelayKey},
    message::refusal::{Refusal, RefusalCode},
    time::WallTime,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    App,
    adapt::{self, Own},
    effect::Effect,
    event::{Data, Event, Place},
    first_run::Setup,
    perform::Performer,
};
use crate::{
    host::Hosted,
    node::{
        Handle,
        call::{Answer, Call, CallError, Event as NodeEvent, Link as NodeLink, Status},
    },
};

/// How often one conversation is told that the person is writing; others show it twice as long.
const TYPING_PERIOD: Duration = Duration::from_secs(3);

/// A node in use.
pub(super) struct Session {
    handle: Handle,
    performer: Performer,
    performed: mpsc::Receiver<Event>,
    own: Own,
    /// What the node has said that the model has not heard yet.
    heard: VecDeque<Event>,
    told_typing: Option<(ConversationId, Instant)>,
    /// The name that the relay refused last, until there is an account.
    refused_name: Option<String>,
    /// The relay and what it called us when it welcomed us last. What is stored from earlier may be
    /// somebody else's name by now.
    welcomed: Option<(RelayKey, String)>,
    /// The relay was asked to make us its administrator.
    has_claimed: bool,
    /// Events were missed: everything on the screen has to be asked for again.
    is_behind: bool,
}

impl Session {
    /// Asks the node for everything that the first screen shows. All of it is local.
    ///
    /// # Errors
    ///
    /// If the node ended already.
    pub(super) async fn begin(handle: Handle) -> Result<Self, CallError> {
        let (performer, outcomes) = Performer::start(handle.caller());
        let mut session = Self {
            handle,
            performer,
            performed: outcomes,
            own: Own::default(),
            heard: VecDeque::new(),
            told_typing: None,
            refused_name: None,
            welcomed: None,
            has_claimed: false,
            is_behind: false,
        };
        session.heard.push_back(Event::Setup(Setup::Ready));
        session.catch_up().await?;
        Ok(session)
    }

    /// The next event; `None` once the node has ended.
    ///
    /// # Cancel safety
    ///
    /// No event is lost.
    pub(super) async fn next(&mut self, app: &App) -> Option<Event> {
        loop {
            if let Some(event) = self.heard.pop_front() {
                return Some(event);
            }
            if self.is_behind {
                // Until it is through, a cancelled attempt is made again.
                self.catch_up().await.ok()?;
                self.is_behind = false;
                if let Some(current) = app.current() {
                    let id = current.summary.id;
                    self.performer.load(id, Place::Newest, self.own.clone());
                }
                continue;
            }
            tokio::select! {
                Some(event) = self.performed.recv() => return Some(event),
                event = self.handle.next_event() => self.on_node(&event?),
            }
        }
    }

    /// Does one effect, unless it is the loop's own.
    pub(super) fn perform(&mut self, effect: Effect, now: WallTime) {
        let performer = &self.performer;
        match effect {
            Effect::Load(conversation, place) => {
                performer.load(conversation, place, self.own.clone());
            }
            Effect::Say(conversation, saying) => performer.say(conversation, saying),
            Effect::Read(conversation, seq) => performer.act(Call::Read { conversation, seq }),
            Effect::Show(conversations) => performer.act(Call::Show { conversations }),
            Effect::Typing(conversation) => self.typing(conversation),
            Effect::SaveDraft(conversation, text) => {
                performer.act(Call::SaveDraft { conversation, text });
            }
            Effect::Cancel(local) => performer.cancel(local),
            Effect::Ask(ask) => performer.ask(ask, now),
            Effect::Search(purpose, query) => performer.search(purpose, query),
            Effect::Setup(_)
            | Effect::Copy(_)
            | Effect::Highlight(_)
            | Effect::OpenEditor(..)
            | Effect::OpenLink(_)
            | Effect::Hook(..)
            | Effect::Notify(..)
            | Effect::Wheel(_)
            | Effect::Save(_)
            | Effect::Redraw
            | Effect::Suspend
            | Effect::Quit => {}
        }
    }

    /// How many orders and questions are not done yet.
    pub(super) fn under_way(&self) -> watch::Receiver<usize> {
        self.performer.under_way()
    }

    /// Asks for another name, after the relay refused the first one.
    pub(super) fn register(&mut self, name: String) {
        let refused = self.refused_name.get_or_insert_default();
        if *refused == name {
            // It may be refused again, and that is news.
            refused.clear();
        }
        self.performer.act(Call::Register { name });
    }

    /// Becomes administrator of the relay in this process, if that is the relay of this session and
    /// knows us by now.
    pub(super) fn claim(&mut self, hosted: &Hosted) {
        let welcomed = self.welcomed.as_ref().filter(|(relay, _)| *relay == hosted.relay_key());
        if let Some((_, name)) = welcomed.filter(|_| !self.has_claimed) {
            self.has_claimed = true;
            let claim = hosted.operator().add_administrator(name.clone());
            self.performer.try_to("become administrator", claim);
        }
    }

    /// Does something beside the node, and says so if it failed.
    pub(super) fn try_to(
        &self,
        what: &'static str,
        deed: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        self.performer.try_to(what, deed);
    }

    /// What there is still to tell, after the node has ended.
    pub(super) async fn last_words(self) -> Vec<Event> {
        let Self { performer, mut performed, .. } = self;
        performer.finish().await;
        std::iter::from_fn(|| performed.try_recv().ok()).collect()
    }

    /// Lets what was ordered happen, then closes the node if it runs in this process.
    pub(super) async fn end(self) {
        self.performer.finish().await;
        self.handle.close().await;
    }

    fn on_node(&mut self, event: &NodeEvent) {
        match event {
            NodeEvent::Status(status) => self.on_status(status),
            NodeEvent::Appended { conversation, from, to } => {
                self.performer.load_new(*conversation, *from, *to, self.own.clone());
            }
            NodeEvent::Missed => self.is_behind = true,
            NodeEvent::Conversation(_)
            | NodeEvent::Gone { .. }
            | NodeEvent::Forked { .. }
            | NodeEvent::Outbox(_)
            | NodeEvent::OutboxGone { .. }
            | NodeEvent::Progress { .. }
            | NodeEvent::ProgressCount { .. }
            | NodeEvent::Typing { .. }
            | NodeEvent::Presence { .. }
            | NodeEvent::PresenceCount { .. }
            | NodeEvent::Notice { .. } => {}
        }
        self.heard.extend(adapt::news(event, &self.own, wall_clock()).map(Event::Data));
    }

    fn on_status(&mut self, status: &Status) {
        self.own = Own::of(status);
        let is_welcome = matches!(status.link, NodeLink::Syncing | NodeLink::Online { .. });
        if let Some(account) = status.account.as_ref().filter(|_| is_welcome) {
            self.welcomed = Some((status.relay_key, account.name.clone()));
        }
        let setup = naming(&mut self.refused_name, status);
        self.heard.extend(setup.map(Event::Setup));
    }

    async fn catch_up(&mut self) -> Result<(), CallError> {
        let now = wall_clock();
        self.handle.call(Call::Record).await?;
        if let Answer::Status(status) = self.handle.call(Call::Status).await? {
            self.on_status(&status);
            self.heard.push_back(Event::Data(Data::Link(adapt::link(&status, now))));
        }
        if let Answer::Conversations { conversations } =
            self.handle.call(Call::Conversations).await?
        {
            let summaries = conversations.iter().map(adapt::summary).collect();
            self.heard.push_back(Event::Data(Data::Conversations(summaries)));
            let drafts = conversations.into_iter().filter(|view| !view.draft.is_empty());
            self.heard.extend(drafts.map(|v| Event::Data(Data::Draft(v.info.id, v.draft))));
        }
        if let Answer::Outbox { messages } = self.handle.call(Call::Outbox).await? {
            let own = &self.own;
            let pending = messages.iter().map(|view| adapt::pending(view, own, now));
            self.heard.extend(pending.map(|pending| Event::Data(Data::Pending(pending))));
        }
        Ok(())
    }

    fn typing(&mut self, conversation: ConversationId) {
        let now = Instant::now();
        let is_told = self.told_typing.is_some_and(|(told, when)| {
            told == conversation && now.duration_since(when) < TYPING_PERIOD
        });
        if !is_told {
            self.told_typing = Some((conversation, now));
            self.performer.act(Call::Typing { conversation });
        }
    }
}

/// The time of day here.
pub(super) fn wall_clock() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What a status means to somebody who may still have to find a name that the relay takes.
fn naming(refused: &mut Option<String>, status: &Status) -> Option<Setup> {
    if status.account.is_some() {
        return refused.take().map(|_| Setup::Ready);
    }
    let NodeLink::Stopped { refusal: Some(refusal), .. } = &status.link else { return None };
    if !is_about_name(refusal) || refused.as_ref() == Some(&status.wanted_name) {
        return None;
    }
    *refused = Some(status.wanted_name.clone());
    Some(Setup::NameRefused(status.wanted_name.clone(), refusal.to_string()))
}

const fn is_about_name(refusal: &Refusal) -> bool {
    matches!(refusal.code, RefusalCode::NAME_TAKEN | RefusalCode::NAME_NOT_ALLOWED)
}

#[cfg(test)]
mod tests {
    use protocol::{
        ids::{AccountId, DeviceId, RelayKey},
        message::{ext::Ext, room::AccountInfo},
    };

    use super::*;
    use crate::node::call::FaultsView;

    fn status(wanted: &str, link: NodeLink) -> Status {
        Status {
            account: None,
            wanted_name: wanted.to_owned(),
            device: DeviceId([1; 16]),
            relay_name: String::new(),
            relay_key: RelayKey([2; 32]),
            addresses: Vec::new(),
            round_trip_us: None,
            link,
            faults: FaultsView::default(),
        }
    }

    fn taken(wanted: &str) -> Status {
        let refusal = Some(Refusal::last(RefusalCode::NAME_TAKEN, wanted));
        status(wanted, NodeLink::Stopped { why: String::new(), refusal })
    }

    fn registered(name: &str) -> Status {
        let account =
            AccountInfo { account: AccountId([3; 16]), name: name.to_owned(), ext: Ext::default() };
        Status { account: Some(account), ..status(name, NodeLink::Syncing) }
    }

    #[test]
    fn every_refused_name_is_told_once_and_the_accepted_one_ends_it() {
        let mut refused = None;
        let is_refusal = |setup| matches!(setup, Some(Setup::NameRefused(..)));
        assert!(is_refusal(naming(&mut refused, &taken("ada"))));
        assert!(!is_refusal(naming(&mut refused, &taken("ada"))), "told already");
        assert!(!is_refusal(naming(&mut refused, &status("bea", NodeLink::Connecting))));
        assert!(is_refusal(naming(&mut refused, &taken("bea"))));
        assert_eq!(naming(&mut refused, &registered("carl")), Some(Setup::Ready));
        assert_eq!(naming(&mut refused, &registered("carl")), None, "nobody waits for it");
    }
}
