//! Handing messages to the node: each once and in order, also if the process that owns the home
//! dies meanwhile.
//!
//! A call without an answer may have been heard, so the message may be in the outbox or on the
//! relay already. It carries the time at which it was written, which no other message of this
//! command has; by it the next owner of the home finds it, before it is said again.

use std::{
    collections::VecDeque,
    time::{SystemTime, UNIX_EPOCH},
};

use protocol::{
    ids::{ConversationId, Seq},
    message::event::Body,
    time::WallTime,
};

use super::session::{REOPENINGS_MAX, Session};
use crate::{
    node::{
        Caller, PAGE_RECORDS_MAX, Started,
        call::{
            Answer, At, Call, CallError, Line, OutboxView, SaidView, SentMessage, Target, Until,
        },
    },
    report::Failure,
    store::row::{Draft, LocalId},
};

/// Records looked at for a message that may have been sent: far more than come in while an owner
/// dies and another one begins.
const LOOK_BACK_RECORDS_MAX: usize = 4 * PAGE_RECORDS_MAX;

/// Messages on their way to one place.
pub(super) struct Delivery<'a> {
    session: &'a Session,
    target: Target,
    until: Until,
    last_composed_at: WallTime,
    pending: VecDeque<Pending>,
}

struct Pending {
    draft: Draft,
    composed_at: WallTime,
    progress: Progress,
}

#[expect(clippy::large_enum_variant, reason = "there are few, and most get their answer")]
enum Progress {
    Asked(Started),
    /// It was in the outbox when this was asked, and may have left it for the log since.
    Followed(Started),
    Answered(Result<Answer, CallError>),
}

/// Where a message is that may have been heard.
enum Whereabouts {
    Outbox(LocalId),
    Log(SentMessage),
    Nowhere,
}

impl<'a> Delivery<'a> {
    pub(super) const fn new(session: &'a Session, target: Target, until: Until) -> Self {
        let last_composed_at = WallTime::from_millis(0);
        Self { session, target, until, last_composed_at, pending: VecDeque::new() }
    }

    /// How many messages were given and not finished.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Gives the node a message, behind all that were given before.
    pub(super) async fn start(&mut self, draft: Draft) -> Result<(), Failure> {
        let composed_at = self.next_time();
        let call = self.call(draft.clone(), composed_at);
        let progress = match self.session.caller().start(call).await {
            Ok(started) => Progress::Asked(started),
            Err(error) => Progress::Answered(Err(error)),
        };
        let is_gone = matches!(progress, Progress::Answered(_));
        self.pending.push_back(Pending { draft, composed_at, progress });
        if is_gone { self.start_over().await } else { Ok(()) }
    }

    /// What became of the oldest message that is not finished; `None` if there is none.
    pub(super) async fn finish(&mut self) -> Result<Option<Result<Answer, CallError>>, Failure> {
        loop {
            let Some(Pending { draft, composed_at, progress }) = self.pending.pop_front() else {
                return Ok(None);
            };
            let was_followed = matches!(progress, Progress::Followed(_));
            let mut answer = progress.answer().await;
            if was_followed && matches!(answer, Err(CallError::NotFound { .. })) {
                let body = draft.body(composed_at);
                answer = match self.find_sent(&self.session.caller(), &body).await {
                    Ok(Some(sent)) => Ok(Answer::Sent(sent)),
                    // Somebody has taken it back.
                    Ok(None) => answer,
                    Err(error) => Err(error),
                };
            }
            match answer {
                Err(CallError::OwnerGone) => {
                    let progress = Progress::Answered(Err(CallError::OwnerGone));
                    self.pending.push_front(Pending { draft, composed_at, progress });
                    self.start_over().await?;
                }
                answer => return Ok(Some(answer)),
            }
        }
    }

    /// Opens the home again and asks for everything that was not answered, in order.
    async fn start_over(&mut self) -> Result<(), Failure> {
        for _ in 0..REOPENINGS_MAX {
            self.session.reopen().await?;
            match self.ask_again().await {
                Err(CallError::OwnerGone) => {}
                outcome => return Ok(outcome?),
            }
        }
        Err(Failure::OwnerGone)
    }

    async fn ask_again(&mut self) -> Result<(), CallError> {
        let caller = self.session.caller();
        for mut pending in std::mem::take(&mut self.pending) {
            // The former owner answers nothing any more, so this does not wait.
            let answer = pending.progress.answer().await;
            pending.progress = if answer == Err(CallError::OwnerGone) {
                // If this owner is gone, too, the next round asks for this one and all behind it.
                let asked = self.ask_for(&caller, &pending.draft, pending.composed_at).await;
                asked.unwrap_or_else(|error| Progress::Answered(Err(error)))
            } else {
                Progress::Answered(answer)
            };
            self.pending.push_back(pending);
        }
        let is_gone = |pending: &Pending| {
            matches!(pending.progress, Progress::Answered(Err(CallError::OwnerGone)))
        };
        if self.pending.iter().any(is_gone) { Err(CallError::OwnerGone) } else { Ok(()) }
    }

    /// Asks for one message, without saying it twice.
    async fn ask_for(
        &self,
        caller: &Caller,
        draft: &Draft,
        composed_at: WallTime,
    ) -> Result<Progress, CallError> {
        let body = draft.body(composed_at);
        match self.locate(caller, &body).await? {
            Whereabouts::Log(sent) => Ok(Progress::Answered(Ok(Answer::Sent(sent)))),
            Whereabouts::Outbox(local) => {
                let call = Call::Settled { local, until: self.until };
                caller.start(call).await.map(Progress::Followed)
            }
            Whereabouts::Nowhere => {
                let call = self.call(draft.clone(), composed_at);
                caller.start(call).await.map(Progress::Asked)
            }
        }
    }

    /// Looks where the message with this body is. What has left the outbox is in every page that
    /// is asked for afterwards, so it is in one of the two, or was never kept.
    async fn locate(&self, caller: &Caller, body: &Body) -> Result<Whereabouts, CallError> {
        let conversation = self.conversation(caller).await?;
        if let Answer::Outbox { messages } = caller.call(Call::Outbox).await? {
            let is_it = |message: &&OutboxView| {
                let same_place = match (message.conversation, conversation) {
                    (Some(its), Some(ours)) => its == ours,
                    (Some(_), None) | (None, _) => message.to == self.target,
                };
                same_place && message.body == *body
            };
            if let Some(message) = messages.iter().find(is_it) {
                return Ok(Whereabouts::Outbox(message.local));
            }
        }
        let found = self.find_sent(caller, body).await?;
        Ok(found.map_or(Whereabouts::Nowhere, Whereabouts::Log))
    }

    async fn find_sent(
        &self,
        caller: &Caller,
        body: &Body,
    ) -> Result<Option<SentMessage>, CallError> {
        match self.conversation(caller).await? {
            Some(conversation) => find_in_log(caller, conversation, body).await,
            None => Ok(None),
        }
    }

    /// The place where the messages go, if it is known here.
    async fn conversation(&self, caller: &Caller) -> Result<Option<ConversationId>, CallError> {
        match caller.call(Call::Find { target: self.target.clone() }).await {
            Ok(Answer::Conversation(known)) => Ok(Some(known.info.id)),
            Ok(_) | Err(CallError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn call(&self, draft: Draft, composed_at: WallTime) -> Call {
        let (to, until) = (self.target.clone(), self.until);
        Call::Send { to, draft, composed_at: Some(composed_at), until }
    }

    /// Now, or just after the message before: two of the same words must not look the same.
    fn next_time(&mut self) -> WallTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let earliest = self.last_composed_at.as_millis().saturating_add(1);
        self.last_composed_at = WallTime::from_millis(now.max(earliest));
        self.last_composed_at
    }
}

impl Progress {
    async fn answer(self) -> Result<Answer, CallError> {
        match self {
            Self::Asked(started) | Self::Followed(started) => started.answer().await,
            Self::Answered(answer) => answer,
        }
    }
}

async fn find_in_log(
    caller: &Caller,
    conversation: ConversationId,
    body: &Body,
) -> Result<Option<SentMessage>, CallError> {
    let Answer::Status(status) = caller.call(Call::Status).await? else { return Ok(None) };
    let mut at = At::Newest;
    for _ in 0..LOOK_BACK_RECORDS_MAX / PAGE_RECORDS_MAX {
        let page = Call::Page { conversation, at, count: PAGE_RECORDS_MAX };
        let Answer::Page { lines } = caller.call(page).await? else { break };
        let is_it = |line: &&Line| {
            line.id.is_some_and(|id| id.device == status.device)
                && line.said == SaidView::Body(body.clone())
        };
        if let Some(line) = lines.iter().find(is_it)
            && let Some(id) = line.id
        {
            let (seq, time) = (line.seq, line.time);
            // Its row is gone, and with it the name it had in the outbox.
            let local = LocalId::default();
            return Ok(Some(SentMessage { local, conversation, id, seq, time }));
        }
        let Some(oldest) = lines.first().filter(|line| line.seq > Seq::FIRST) else { break };
        at = At::Before(oldest.seq);
    }
    Ok(None)
}
