//! A command's way to its node, and the questions that several commands ask.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use protocol::{
    ids::{AccountId, ConversationId},
    message::{
        request::{OpenDirect, Reply, Request, Resolve},
        room::AccountInfo,
    },
};
use tokio::time::timeout;

use super::names::Asked;
use crate::{
    config::Config,
    node::{
        Caller, Events, Handle, Node,
        call::{Answer, Call, CallError, ConversationView, Event, Fallback, Link, Status, Target},
    },
    output::tell,
    report::Failure,
};

/// How long a command that can do without the relay waits for it.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How often a call is made again because the process that owned the home has ended.
pub(super) const REOPENINGS_MAX: usize = 3;

/// A connection to the node of this home. If this is a guest and the owner ends, the session opens
/// the home again and repeats what can be repeated.
pub(super) struct Session {
    config: Config,
    events: Events,
    handle: RefCell<Handle>,
    /// The home was opened again: what happened in between was not heard.
    has_missed: Cell<bool>,
    /// About whom the relay was asked.
    pub(super) asked: RefCell<Asked>,
}

impl Session {
    /// Without events.
    pub(super) async fn open(config: &Config) -> Result<Self, Failure> {
        Self::open_for(config, Events::Unwanted).await
    }

    /// With events.
    pub(super) async fn open_with_events(config: &Config) -> Result<Self, Failure> {
        Self::open_for(config, Events::Wanted).await
    }

    async fn open_for(config: &Config, events: Events) -> Result<Self, Failure> {
        let handle = RefCell::new(Node::open(config, events).await?);
        let asked = RefCell::default();
        Ok(Self { config: config.clone(), events, handle, has_missed: Cell::new(false), asked })
    }

    /// The time the person gave, if any.
    pub(super) const fn timeout(&self) -> Option<Duration> {
        self.config.timeout
    }

    /// Ends the node, if it runs in this process.
    pub(super) async fn close(self) {
        self.handle.into_inner().close().await;
    }

    /// Says so if this process has found out that datagrams do not get through. Later ones remember
    /// it and lose neither time nor words.
    pub(super) async fn tell_fallback(&self) {
        let is_owner = self.handle.borrow().is_owner();
        if is_owner
            && let Ok(Answer::Status(status)) = self.caller().call(Call::Status).await
            && let Link::Online { fallback: fallback @ Fallback::Noticed, .. } = status.link
            && let Some(why) = fallback.describe()
        {
            tell(&format!("note: {why}"));
        }
    }

    /// For calls beside others.
    pub(super) fn caller(&self) -> Caller {
        self.handle.borrow().caller()
    }

    /// The next event. If the owner of the home ended, this is the guest of another one afterwards,
    /// or the owner, and hears [`Event::Missed`] first.
    pub(super) async fn next_event(&mut self) -> Result<Event, Failure> {
        if !self.has_missed.take() {
            if let Some(event) = self.handle.get_mut().next_event().await {
                return Ok(event);
            }
            self.reopen().await?;
            self.has_missed.set(false);
        }
        Ok(Event::Missed)
    }

    /// Asks the node, at most as long as the person allows.
    pub(super) async fn call(&self, call: Call) -> Result<Answer, Failure> {
        match self.config.timeout {
            Some(limit) => {
                timeout(limit, self.call_again(call)).await.map_err(|_| Failure::Timeout)?
            }
            None => self.call_again(call).await,
        }
    }

    async fn call_again(&self, call: Call) -> Result<Answer, Failure> {
        for _ in 0..REOPENINGS_MAX {
            match self.caller().call(call.clone()).await {
                Err(CallError::OwnerGone) if is_repeatable(&call) => self.reopen().await?,
                answer => return Ok(answer?),
            }
        }
        Err(Failure::OwnerGone)
    }

    /// Opens the home again after its owner has ended; this process may be the owner now.
    pub(super) async fn reopen(&self) -> Result<(), Failure> {
        let handle = Node::open(&self.config, self.events).await?;
        self.handle.replace(handle);
        self.has_missed.set(true);
        Ok(())
    }

    /// Waits for the relay.
    pub(super) async fn online(&self) -> Result<Status, Failure> {
        match self.call(Call::Online).await? {
            Answer::Status(status) => Ok(*status),
            other => Err(unexpected(&other)),
        }
    }

    /// Waits for the relay for a while; says why not if it does not come.
    pub(super) async fn online_if_possible(&self) -> Result<(), String> {
        let patience = self.config.timeout.unwrap_or(PATIENCE).min(PATIENCE);
        match timeout(patience, self.call_again(Call::Online)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(failure)) => Err(failure.reason()),
            Err(_) => Err("no answer yet".to_owned()),
        }
    }

    /// How things stand, without waiting.
    pub(super) async fn status(&self) -> Result<Status, Failure> {
        match self.call(Call::Status).await? {
            Answer::Status(status) => Ok(*status),
            other => Err(unexpected(&other)),
        }
    }

    /// Every conversation of the account, in order of title.
    pub(super) async fn conversations(&self) -> Result<Vec<ConversationView>, Failure> {
        match self.call(Call::Conversations).await? {
            Answer::Conversations { mut conversations } => {
                conversations.sort_by_key(ConversationView::title);
                Ok(conversations)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// A conversation that is known here, or for a person one that the relay can name.
    pub(super) async fn find(&self, target: &Target) -> Result<ConversationView, Failure> {
        match self.call(Call::Find { target: target.clone() }).await? {
            Answer::Conversation(conversation) => Ok(*conversation),
            other => Err(unexpected(&other)),
        }
    }

    /// As [`Self::find`], after the relay has told which conversations there are.
    pub(super) async fn find_online(&self, target: &Target) -> Result<ConversationView, Failure> {
        self.online().await?;
        self.find(target).await
    }

    /// The conversation with everything that is new at the relay.
    pub(super) async fn synced(
        &self,
        conversation: ConversationView,
    ) -> Result<ConversationView, Failure> {
        let id = conversation.info.id;
        self.call(Call::Synced { conversation: id }).await?;
        self.find(&Target::Id(id)).await
    }

    /// Asks the relay.
    pub(super) async fn ask(&self, request: impl Into<Request>) -> Result<Reply, Failure> {
        match self.call(Call::Ask { request: request.into() }).await? {
            Answer::Reply { reply } => Ok(reply),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks the relay for something whose only answer is yes.
    pub(super) async fn order(&self, request: impl Into<Request>) -> Result<(), Failure> {
        self.ask(request).await.map(drop)
    }

    /// Who has a name now.
    pub(super) async fn person(&self, who: &Target) -> Result<AccountInfo, Failure> {
        let Target::Person(name) = who else {
            return Err(Failure::Usage(format!("{who} is no person: write @name")));
        };
        match self.ask(Resolve { name: name.clone() }).await? {
            Reply::Resolve(person) => Ok(person),
            other => Err(unexpected(&other)),
        }
    }

    /// The direct conversation with somebody.
    pub(super) async fn direct(&self, peer: AccountId) -> Result<ConversationId, Failure> {
        match self.ask(OpenDirect { peer }).await? {
            Reply::OpenDirect(info) => Ok(info.id),
            other => Err(unexpected(&other)),
        }
    }
}

/// True if making a call twice does what making it once does.
const fn is_repeatable(call: &Call) -> bool {
    !matches!(call, Call::Send { .. } | Call::Create { .. } | Call::Cancel { .. })
}

/// An answer that does not belong to its call: a fault of ours or of another version's owner.
pub(super) fn unexpected(answer: &impl std::fmt::Debug) -> Failure {
    let what = format!("{answer:?}");
    let what = what.split([' ', '(', '{']).next().unwrap_or_default();
    CallError::Invalid { why: format!("unexpected answer {what}") }.into()
}
