//! Does what the model wants of the node. What one person does happens in the order they did it:
//! one task says, reads and saves, one task reads history; questions wait for nobody.

use std::{collections::BTreeSet, time::Duration};

use protocol::{
    ids::{AccountId, ConversationId, Seq},
    message::event::Body,
    time::WallTime,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{
    adapt::{self, Own},
    ask,
    effect::{Ask, Saying},
    event::{Data, Event, Findings, Page, Place},
    picker::Purpose,
    seek,
};
use crate::{
    node::{
        Caller,
        call::{Answer, At, Call, CallError, End, Line, SaidView, Target, Until, members_from},
    },
    search::Query,
    store::row::{Draft, LocalId},
};

/// Records in one page: more than the tallest screen shows.
const PAGE_RECORDS: usize = 100;
/// Messages that one search shows: who wants older ones says more exactly what.
const FINDINGS_MAX: usize = 100;
/// Orders that may wait for the node. Keys fill the queue; a node that takes none of so many for so
/// long is not going to.
const ORDERS_MAX: usize = 256;
/// Events of the performer that may wait for the loop.
const EVENTS_MAX: usize = 256;

/// Most questions about people that one page raises.
const QUESTIONS_MAX: usize = 4;
/// Most people remembered as asked about.
const STRANGERS_MAX: usize = 1_000;
/// How long leaving waits for what was ordered before.
const FINISH_PATIENCE: Duration = Duration::from_secs(2);

/// The tasks that talk to the node. They end when this is dropped.
pub(super) struct Performer {
    caller: Caller,
    acts: mpsc::Sender<Call>,
    reads: mpsc::Sender<Read>,
    events: mpsc::Sender<Event>,
    acting: JoinHandle<()>,
    /// Orders and questions that are not done yet.
    under_way: watch::Sender<usize>,
}

/// A stretch of history to be read.
struct Read {
    conversation: ConversationId,
    what: Stretch,
    own: Own,
}

enum Stretch {
    /// Where it belongs, and where the store has it.
    Page(Place, At),
    /// Records that were just stored: first and last.
    New(Seq, Seq),
}

impl Performer {
    /// Starts the tasks; what they bring comes out of the receiver.
    pub(super) fn start(caller: Caller) -> (Self, mpsc::Receiver<Event>) {
        let (events, events_out) = mpsc::channel(EVENTS_MAX);
        let (acts, acts_in) = mpsc::channel(ORDERS_MAX);
        let (reads, reads_in) = mpsc::channel(ORDERS_MAX);
        // Both end when the performer, which holds the senders, is dropped or finished.
        let under_way = watch::Sender::new(0);
        let acting = tokio::spawn(act(caller.clone(), acts_in, events.clone(), under_way.clone()));
        tokio::spawn(read(caller.clone(), reads_in, events.clone()));
        (Self { caller, acts, reads, events, acting, under_way }, events_out)
    }

    /// How many orders and questions are not done yet.
    pub(super) fn under_way(&self) -> watch::Receiver<usize> {
        self.under_way.subscribe()
    }

    /// Waits until everything ordered so far is done, but not for a node that hangs.
    pub(super) async fn finish(self) {
        drop(self.acts);
        if timeout(FINISH_PATIENCE, self.acting).await.is_err() {
            tracing::warn!("left before everything was done");
        }
    }

    /// Says something. It shows as soon as it is in the outbox.
    pub(super) fn say(&self, conversation: ConversationId, saying: Saying) {
        let draft = match saying {
            Saying::Text(text, reply_to) => Draft::Text { text, reply_to },
            Saying::Action(text) => Draft::Action { text },
            Saying::Edit(target, text) => Draft::Edit { target, text },
            Saying::Delete(target) => Draft::Delete { target, reason: String::new() },
            Saying::React(target, emoji, set) => Draft::Reaction { target, emoji, set },
        };
        self.act(Call::Send {
            to: Target::Id(conversation),
            draft,
            composed_at: None,
            until: Until::Queued,
        });
    }

    /// Takes a message back.
    pub(super) fn cancel(&self, local: u64) {
        self.act(Call::Cancel { local: LocalId(local) });
    }

    /// Does something whose answer says nothing unless it failed.
    pub(super) fn act(&self, call: Call) {
        self.under_way.send_modify(|count| *count += 1);
        if self.acts.try_send(call).is_err() {
            self.under_way.send_modify(|count| *count -= 1);
            self.tell("the program behind this screen does not answer");
        }
    }

    /// Does something beside the node, and says so if it failed.
    pub(super) fn try_to(
        &self,
        what: &'static str,
        deed: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        let events = self.events.clone();
        tokio::spawn(async move {
            if let Err(why) = deed.await {
                // The loop has ended: nobody wants to know.
                let _ = events.send(Event::Data(Data::Told(format!("cannot {what}: {why}")))).await;
            }
        });
    }

    /// Reads a page of history.
    pub(super) fn load(&self, conversation: ConversationId, place: Place, own: Own) {
        let at = match place {
            Place::Newest => At::Newest,
            Place::After(seq) => At::After(seq),
            Place::Before(_) | Place::Around(_) | Place::Since(_) => {
                return self.load_far(conversation, place, own);
            }
        };
        self.read(Read { conversation, what: Stretch::Page(place, at), own });
    }

    /// Reads a page for which the relay may have to be waited for; what arrives meanwhile must not
    /// wait with it.
    fn load_far(&self, conversation: ConversationId, place: Place, own: Own) {
        let (caller, events) = (self.caller.clone(), self.events.clone());
        tokio::spawn(async move {
            let page = match place {
                Place::Around(seq) => around(&caller, conversation, seq, &own).await,
                Place::Since(moment) => match seek::since(&caller, conversation, moment).await {
                    Some(seq) => around(&caller, conversation, seq, &own).await,
                    None => finish(&caller, conversation, place, Vec::new(), true, &own).await,
                },
                Place::Before(seq) | Place::After(seq) => {
                    older(&caller, conversation, seq, &own).await
                }
                Place::Newest => return,
            };
            // The loop has ended: nobody wants the page.
            let _ = events.send(Event::Data(Data::Page(page))).await;
        });
    }

    /// Searches what is stored.
    pub(super) fn search(&self, purpose: Purpose, query: Query) {
        let (caller, events) = (self.caller.clone(), self.events.clone());
        tokio::spawn(async move {
            let found = match caller.call(Call::Search { query, count: FINDINGS_MAX }).await {
                Ok(Answer::Found { found, back_to, unindexed }) => {
                    let messages = found.iter().filter_map(adapt::finding).collect();
                    Ok(Findings { messages, back_to, unindexed })
                }
                Ok(_) => Err("the program behind this screen is another version".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            // The loop has ended: nobody wants to know.
            let _ = events.send(Event::Data(Data::Found(purpose, found))).await;
        });
    }

    /// Reads records that were just stored.
    pub(super) fn load_new(&self, conversation: ConversationId, from: Seq, to: Seq, own: Own) {
        self.read(Read { conversation, what: Stretch::New(from, to), own });
    }

    /// Asks a question.
    pub(super) fn ask(&self, ask: Ask, now: WallTime) {
        let (caller, events) = (self.caller.clone(), self.events.clone());
        let under_way = self.under_way.clone();
        under_way.send_modify(|count| *count += 1);
        tokio::spawn(async move {
            let answer = ask::perform(&caller, ask, now).await;
            // The loop has ended: nobody wants the answer.
            let _ = events.send(Event::Data(Data::Answered(answer))).await;
            under_way.send_modify(|count| *count -= 1);
        });
    }

    fn read(&self, read: Read) {
        if self.reads.try_send(read).is_err() {
            self.tell("the history cannot be read fast enough");
        }
    }

    fn tell(&self, text: &str) {
        // With that queue full, too, there is something newer to read on the screen anyway.
        let _ = self.events.try_send(Event::Data(Data::Told(text.to_owned())));
    }
}

async fn act(
    caller: Caller,
    mut calls: mpsc::Receiver<Call>,
    events: mpsc::Sender<Event>,
    under_way: watch::Sender<usize>,
) {
    while let Some(call) = calls.recv().await {
        let is_quiet = matches!(call, Call::Typing { .. } | Call::Show { .. } | Call::Read { .. });
        let words = words(&call);
        let data = match (caller.call(call).await, words) {
            (Ok(_), _) => None,
            (Err(error), Some((conversation, text))) => {
                Some(Data::Unsaid(conversation, text, not_said(&error)))
            }
            (Err(_), None) if is_quiet => None,
            (Err(error), None) => Some(Data::Told(error.to_string())),
        };
        if let Some(data) = data
            && events.send(Event::Data(data)).await.is_err()
        {
            return;
        }
        under_way.send_modify(|count| *count -= 1);
    }
}

/// The words that a call says, as they were written.
fn words(call: &Call) -> Option<(ConversationId, String)> {
    let Call::Send { to: Target::Id(conversation), draft, .. } = call else { return None };
    let text = match draft {
        Draft::Text { text, .. } => text.clone(),
        Draft::Action { text } => format!("/me {text}"),
        Draft::Edit { .. } | Draft::Delete { .. } | Draft::Reaction { .. } => return None,
    };
    Some((*conversation, text))
}

fn not_said(error: &CallError) -> String {
    match error {
        CallError::OwnerGone => {
            "perhaps not said: another program of this home ended meanwhile".to_owned()
        }
        error => format!("not said: {error}"),
    }
}

async fn read(caller: Caller, mut reads: mpsc::Receiver<Read>, events: mpsc::Sender<Event>) {
    let mut strangers = Strangers::default();
    while let Some(Read { conversation, what, own }) = reads.recv().await {
        let data = match what {
            Stretch::Page(place, at) => {
                let mut lines = page(&caller, conversation, at, PAGE_RECORDS).await;
                let first = lines.first().map(|line| line.seq);
                if matches!(place, Place::After(seq) if first != Some(seq.next())) {
                    // Beyond a gap in what is stored there are no neighbours of the window.
                    lines.clear();
                }
                strangers.ask(&caller, conversation, &lines);
                let is_oldest = lines.first().is_none_or(|line| line.seq <= Seq::FIRST);
                Data::Page(finish(&caller, conversation, place, lines, is_oldest, &own).await)
            }
            Stretch::New(from, to) => {
                let count = usize::try_from(to.0.saturating_sub(from.0) + 1).unwrap_or(usize::MAX);
                // Of a long stretch the screen shows the end.
                let at = if count > PAGE_RECORDS { At::Newest } else { At::After(from.minus(1)) };
                let lines = page(&caller, conversation, at, count.min(PAGE_RECORDS)).await;
                strangers.ask(&caller, conversation, &lines);
                let entries = lines.iter().map(|line| adapt::entry(line, &own)).collect();
                Data::Appended(conversation, entries)
            }
        };
        if events.send(Event::Data(data)).await.is_err() {
            return;
        }
    }
}

/// People whom notices name by account only: somebody joined who has said nothing yet. The relay is
/// asked for the members' names once; what it answers comes as news of its own.
#[derive(Default)]
struct Strangers {
    asked: BTreeSet<AccountId>,
}

impl Strangers {
    fn ask(&mut self, caller: &Caller, conversation: ConversationId, lines: &[Line]) {
        for account in self.unknown(lines) {
            let caller = caller.clone();
            let request = members_from(conversation, account).into();
            // Ends with the answer, or with the node.
            tokio::spawn(async move {
                // Without an answer they stay somebody.
                let _ = caller.call(Call::Ask { request }).await;
            });
        }
    }

    /// Whom nobody was asked about.
    fn unknown(&mut self, lines: &[Line]) -> Vec<AccountId> {
        if self.asked.len() > STRANGERS_MAX {
            self.asked.clear();
        }
        let mut unknown = Vec::new();
        for line in lines {
            let SaidView::Body(Body::Notice(notice)) = &line.said else { continue };
            for account in [notice.actor, notice.subject].into_iter().flatten() {
                let is_known = line.named.iter().any(|info| info.account == account);
                if !is_known && unknown.len() < QUESTIONS_MAX && self.asked.insert(account) {
                    unknown.push(account);
                }
            }
        }
        unknown
    }
}

/// The page below a record: from the store, and if that ends there, from the relay.
async fn older(caller: &Caller, conversation: ConversationId, seq: Seq, own: &Own) -> Page {
    let at = At::Before(seq);
    let adjoins = |lines: &[Line]| lines.last().is_some_and(|line| line.seq.next() == seq);
    let mut lines = page(caller, conversation, at, PAGE_RECORDS).await;
    let mut is_oldest = false;
    if !adjoins(&lines) {
        match caller.call(Call::Older { conversation }).await {
            Ok(Answer::Fetched { older, .. }) => {
                lines = page(caller, conversation, at, PAGE_RECORDS).await;
                is_oldest = lines.is_empty() && older == End::Reached;
            }
            // Without the relay this is all there is; asked again when it is back.
            Ok(_) | Err(_) => is_oldest = true,
        }
        if !adjoins(&lines) {
            lines.clear();
            is_oldest = true;
        }
    }
    is_oldest |= lines.first().is_some_and(|line| line.seq <= Seq::FIRST);
    finish(caller, conversation, Place::Before(seq), lines, is_oldest, own).await
}

/// The page around a record.
async fn around(caller: &Caller, conversation: ConversationId, seq: Seq, own: &Own) -> Page {
    let lines = seek::around(caller, conversation, seq).await;
    let is_oldest = lines.first().is_none_or(|line| line.seq <= Seq::FIRST);
    finish(caller, conversation, Place::Around(seq), lines, is_oldest, own).await
}

/// A page with the amends that act on it from outside.
async fn finish(
    caller: &Caller,
    conversation: ConversationId,
    place: Place,
    lines: Vec<Line>,
    is_oldest: bool,
    own: &Own,
) -> Page {
    let mut amends = Vec::new();
    if let (Some(first), Some(last)) = (lines.first(), lines.last()) {
        let asked = Call::Amends { conversation, from: first.seq, to: last.seq };
        if let Ok(Answer::Page { lines }) = caller.call(asked).await {
            amends = lines.iter().map(|line| adapt::entry(line, own)).collect();
        }
    }
    let entries = lines.iter().map(|line| adapt::entry(line, own)).collect();
    Page { conversation, place, entries, amends, is_oldest }
}

/// Stored records; none if they cannot be read, which the node says by itself.
pub(super) async fn page(
    caller: &Caller,
    conversation: ConversationId,
    at: At,
    count: usize,
) -> Vec<Line> {
    match caller.call(Call::Page { conversation, at, count }).await {
        Ok(Answer::Page { lines }) => lines,
        Ok(_) | Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use protocol::message::{
        event::{Change, Notice},
        ext::Ext,
        record::Class,
        room::AccountInfo,
    };

    use super::*;

    fn joined(who: AccountId, named: Vec<AccountInfo>) -> Line {
        let change = Change::Joined;
        let notice = Notice {
            actor: None,
            subject: Some(who),
            change,
            reason: String::new(),
            ext: Ext::default(),
        };
        Line {
            seq: Seq(1),
            time: WallTime::default(),
            id: None,
            sender: None,
            class: Class::CONTENT,
            target: None,
            said: SaidView::Body(Body::Notice(notice)),
            named,
        }
    }

    #[test]
    fn only_strangers_are_asked_about_and_only_once() {
        let (known, stranger) = (AccountId([1; 16]), AccountId([2; 16]));
        let info = AccountInfo { account: known, name: "ada".into(), ext: Ext::default() };
        let lines = [joined(known, vec![info]), joined(stranger, Vec::new())];
        let mut strangers = Strangers::default();
        assert_eq!(strangers.unknown(&lines), [stranger]);
        assert_eq!(strangers.unknown(&lines), []);
    }
}
