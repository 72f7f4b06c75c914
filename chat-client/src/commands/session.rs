//! A command's way to its node, and the questions that several commands ask.

use std::time::Duration;

use protocol::{
    ids::{AccountId, ConversationId},
    message::{
        request::{OpenDirect, Reply, Request, Resolve},
        room::AccountInfo,
    },
};
use tokio::time::timeout;

use crate::{
    config::Config,
    node::{
        Caller, Handle, Node,
        call::{Answer, Call, CallError, ConversationView, Event, Status, Target},
    },
    report::Failure,
};

/// How long a command that can do without the relay waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to the node of this home.
pub(super) struct Session {
    handle: Handle,
    timeout: Option<Duration>,
}

impl Session {
    /// Without events.
    pub(super) async fn open(config: &Config) -> Result<Self, Failure> {
        let handle = Node::open(config, crate::node::Events::Unwanted).await?;
        Ok(Self { handle, timeout: config.timeout })
    }

    /// With events.
    pub(super) async fn open_with_events(config: &Config) -> Result<Self, Failure> {
        let handle = Node::open(config, crate::node::Events::Wanted).await?;
        Ok(Self { handle, timeout: config.timeout })
    }

    /// The time the person gave, if any.
    pub(super) const fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Ends the node, if it runs in this process.
    pub(super) async fn close(self) {
        self.handle.close().await;
    }

    /// For calls beside others.
    pub(super) fn caller(&self) -> Caller {
        self.handle.caller()
    }

    /// The next event.
    pub(super) async fn next_event(&mut self) -> Option<Event> {
        self.handle.next_event().await
    }

    /// Asks the node, at most as long as the person allows.
    pub(super) async fn call(&self, call: Call) -> Result<Answer, Failure> {
        let answer = match self.timeout {
            Some(limit) => {
                timeout(limit, self.handle.call(call)).await.map_err(|_| Failure::Timeout)?
            }
            None => self.handle.call(call).await,
        };
        Ok(answer?)
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
        let patience = self.timeout.unwrap_or(PATIENCE).min(PATIENCE);
        match timeout(patience, self.handle.call(Call::Online)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
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

/// An answer that does not belong to its call: a fault of ours or of another version's owner.
pub(super) fn unexpected(answer: &impl std::fmt::Debug) -> Failure {
    let what = format!("{answer:?}");
    let what = what.split([' ', '(', '{']).next().unwrap_or_default();
    CallError::Invalid { why: format!("unexpected answer {what}") }.into()
}
