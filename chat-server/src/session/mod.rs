//! One attached connection: what it is owed, and composing that into packets. A pure value, owned
//! by the shard that owns the socket.
//!
//! ```text
//!   hub ──ToSession──▶ pending messages ─┐
//!   publications ──▶ feeds: next, head ──┼─ compose ──▶ content of one packet
//!   store reader ──▶ fetched runs ───────┘
//! ```
//!
//! There is no queue of records per session: a feed is a place in the log, and a slow reader costs
//! that place. Records come from the shard's [`Tails`], as bytes everybody shares; a feed that has
//! fallen out of them reads the store, one read at a time.
//!
//! # Driving it
//!
//! Take in what the hub says, publications of followed conversations and the store's answers. Then
//! drain [`poll_read`](Session::poll_read). When the previous packet has left and
//! [`has_output`](Session::has_output), [`compose`](Session::compose) the next; if it leaves
//! nothing behind and [`is_closing`](Session::is_closing), close.

mod feed;
mod read;

use std::{collections::VecDeque, time::Duration};

use protocol::{
    ids::{AccountId, ConversationId, DeviceId, Digest, Seq},
    limits::{CONTENT_BYTES_MAX, RUN_RECORDS_MAX},
    message::{
        RelayMessage,
        encoding::read_varint,
        record::{Run, chain_start},
        refusal::{Refusal, RefusalCode},
        request::Reply,
        session::{Follow, Following, Forked, Goodbye, Page, Pull},
    },
    time::WallTime,
};

use self::feed::{Feed, Feeds, Stage, Start, cut};
pub use self::read::{Read, ReadAnswer};
use crate::{
    hub::{ToSession, log::append_records},
    store::StoreError,
    tail::Tails,
};

/// Bytes of messages that may wait for a client that does not read: a welcome with many
/// conversations, and some. Records do not count, they do not wait here.
pub const PENDING_BYTES_MAX: usize = 1024 * 1024;
/// Reads that may wait: a follow for every conversation at once, and some pages.
pub const READS_MAX: usize = 1_024;
/// More than a `Records` message has around its records.
const RECORDS_HEADER_BYTES_MAX: usize = 64;
/// When to come back after the store could not be read.
const READ_RETRY: Duration = Duration::from_secs(1);

/// One attached connection.
#[derive(Debug, Default)]
pub struct Session {
    who: Option<(AccountId, DeviceId)>,
    /// Encoded messages, each with its length.
    pending: Vec<u8>,
    feeds: Feeds,
    /// Feeds with something to send that is at hand, in turn; each at most once.
    ready: VecDeque<ConversationId>,
    /// Feeds whose next record has to be read from the store.
    starving: VecDeque<ConversationId>,
    /// What was read for one of them. Boxed: nearly every session has none.
    fetched: Option<Box<Fetched>>,
    reads: VecDeque<Read>,
    is_reading: bool,
    is_closing: bool,
}

/// Runs of one conversation, from the store.
type Fetched = (ConversationId, VecDeque<Run<'static>>);

/// Which conversations' publications a session wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// Call [`Session::advance`] for this one.
    Follow(ConversationId),
    /// Not any more.
    Unfollow(ConversationId),
}

impl Session {
    /// A connection that has not been welcomed yet.
    pub fn new() -> Self {
        Self::default()
    }

    // ---- inputs ----

    /// Takes in what the hub says.
    pub fn handle(&mut self, message: ToSession, tails: &Tails) -> Option<Subscription> {
        if self.is_closing {
            return None;
        }
        match message {
            ToSession::Message(message) => {
                self.push(&message);
                None
            }
            ToSession::Attached { account, device } => {
                self.who = Some((account, device));
                None
            }
            ToSession::Follow { follow, visible, first, head, chain } => {
                let id = follow.conversation;
                self.forget_feed(id);
                let mut feed = Feed {
                    visible_from: visible.0,
                    visible_to: visible.1,
                    first,
                    head,
                    stage: Stage::Still,
                };
                feed.stage = Stage::Checking(follow, feed.from(&follow));
                self.feeds.insert(id, feed);
                self.begin(id, Some((head, chain)), tails);
                Some(Subscription::Follow(id))
            }
            ToSession::ChainAt { id, conversation, seq } => {
                self.want(Read::ChainAt { id, conversation, seq });
                None
            }
            ToSession::Revoke { conversation, last } => {
                let feed = self.feeds.get_mut(conversation)?;
                // Everything up to `last` was published before this.
                feed.visible_to = Some(feed.visible_to.map_or(last, |to| to.min(last)));
                Some(Subscription::Unfollow(conversation))
            }
            ToSession::Close { refusal } => {
                self.close(refusal);
                None
            }
        }
    }

    /// A followed conversation has grown up to `head`.
    pub fn advance(&mut self, conversation: ConversationId, head: Seq) {
        let Some(feed) = self.feeds.get_mut(conversation) else { return };
        let was_due = feed.due().is_some();
        feed.head = feed.head.max(head);
        if !was_due && feed.due().is_some() {
            self.ready.push_back(conversation);
        }
    }

    /// A client asks for older records.
    pub fn pull(&mut self, pull: Pull) {
        let Some(feed) = self.feeds.get(pull.conversation) else {
            return self.push_page(&pull, pull.before, [0; 32], End::Yes, &[]);
        };
        let (base, to) = (feed.base(), feed.end().min(pull.before.minus(1)));
        if to < base || to == Seq::ZERO || pull.count == 0 {
            let end = if to < base || to == Seq::ZERO { End::Yes } else { End::No };
            return self.push_page(&pull, pull.before, [0; 32], end, &[]);
        }
        let there = u32::try_from(to.0 - base.0 + 1).unwrap_or(u32::MAX);
        let count = pull.count.min(there).min(RUN_RECORDS_MAX);
        self.want(Read::Page { pull, to, count, base });
    }

    /// Sends a message that the shard makes itself: a pong, an unsupported request.
    pub fn push(&mut self, message: &RelayMessage<'_>) {
        message.append_to(&mut self.pending);
        if self.pending.len() > PENDING_BYTES_MAX && !self.is_closing {
            self.pending.clear();
            let detail = format!("{PENDING_BYTES_MAX} bytes wait");
            self.close(Refusal::last(RefusalCode::TOO_SLOW, detail));
        }
    }

    /// Says goodbye; nothing else is sent any more but what is pending.
    pub fn close(&mut self, refusal: Refusal) {
        if self.is_closing {
            return;
        }
        self.is_closing = true;
        self.feeds = Feeds::default();
        self.ready.clear();
        self.starving.clear();
        self.reads.clear();
        self.fetched = None;
        RelayMessage::Goodbye(Goodbye { refusal }).append_to(&mut self.pending);
    }

    /// Takes the store's answer to a read, with the read.
    pub fn handle_read(
        &mut self,
        read: Read,
        answer: Result<ReadAnswer, StoreError>,
        tails: &Tails,
    ) {
        self.is_reading = false;
        if self.is_closing {
            return;
        }
        match (read, answer) {
            (Read::Start { follow, .. }, Ok(ReadAnswer::Start { at_after, before })) => {
                self.on_start(&follow, at_after, before);
            }
            (Read::Runs { conversation, from, to }, Ok(ReadAnswer::Runs(runs))) => {
                self.on_runs(conversation, from, to, runs, tails);
            }
            (Read::Page { pull, base, .. }, Ok(ReadAnswer::Page { runs, chain })) => {
                let first = runs.first().map_or(pull.before, |run| run.first);
                let end = if runs.is_empty() || first <= base { End::Yes } else { End::No };
                self.push_page(&pull, first, chain.unwrap_or([0; 32]), end, &runs);
            }
            (Read::ChainAt { id, seq, .. }, Ok(ReadAnswer::ChainAt(chain))) => {
                let outcome = chain.map(Reply::ChainAt).ok_or_else(|| {
                    Refusal::last(RefusalCode::NO_SUCH_TARGET, format!("record {seq}"))
                });
                self.push(&RelayMessage::Reply(id, outcome));
            }
            (_, Err(error)) => {
                tracing::error!(%error, "a session could not read the store");
                let detail = "the store could not be read";
                self.close(Refusal::for_now(RefusalCode::BUSY, READ_RETRY, detail));
            }
            (_, Ok(_)) => unreachable!("an answer belongs to its question"),
        }
    }

    /// Gives back what an idle session does not need.
    pub fn rest(&mut self) {
        self.ready.shrink_to_fit();
        self.starving.shrink_to_fit();
        self.reads.shrink_to_fit();
        self.pending.shrink_to_fit();
    }

    // ---- outputs ----

    /// The next question to the store; none while one is outstanding.
    pub fn poll_read(&mut self) -> Option<Read> {
        if self.is_reading {
            return None;
        }
        let read = match self.reads.pop_front() {
            Some(read) => Some(read),
            None => self.next_starving(),
        };
        self.is_reading = read.is_some();
        read
    }

    /// True if [`Session::compose`] would write something.
    pub fn has_output(&self) -> bool {
        !self.pending.is_empty() || !self.ready.is_empty()
    }

    /// Appends the content of one packet to `out`: whole messages until there are `bytes_target` of
    /// them or nothing is left; never more than a packet holds.
    pub fn compose(&mut self, tails: &Tails, out: &mut Vec<u8>, bytes_target: usize) {
        let (target, full) = (out.len() + bytes_target, out.len() + CONTENT_BYTES_MAX);
        self.compose_pending(out, target, full);
        // What is said about a conversation comes before its records.
        if !self.pending.is_empty() {
            return;
        }
        while out.len() < target
            && let Some(conversation) = self.ready.front().copied()
        {
            match self.compose_records(conversation, tails, out, full) {
                Composed::More => {}
                Composed::Full => return,
                Composed::Done => {
                    self.ready.pop_front();
                }
                Composed::Starving => {
                    self.ready.pop_front();
                    self.starving.push_back(conversation);
                }
            }
        }
    }

    /// True once the session has said goodbye: close when nothing is left to send.
    pub const fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Whose session it is, once it is live.
    pub const fn who(&self) -> Option<(AccountId, DeviceId)> {
        self.who
    }

    // ---- following ----

    /// Begins a feed: at once if the chains are known here, else after asking the store.
    fn begin(&mut self, id: ConversationId, head: Option<(Seq, Digest)>, tails: &Tails) {
        let Some(feed) = self.feeds.get(id) else { return };
        let Stage::Checking(follow, from) = feed.stage else { return };
        let before = from.minus(1);
        let known = |seq: Seq| match head {
            _ if seq == Seq::ZERO => Some(chain_start(id)),
            Some((at, chain)) if at == seq => Some(chain),
            _ => tails.chain_at(id, seq),
        };
        if follow.after > feed.head {
            return self.on_start(&follow, None, None);
        }
        match (known(follow.after), known(before)) {
            (Some(at_after), Some(before)) => self.on_start(&follow, Some(at_after), Some(before)),
            _ => self.want(Read::Start { follow, before }),
        }
    }

    fn on_start(&mut self, follow: &Follow, at_after: Option<Digest>, before: Option<Digest>) {
        let id = follow.conversation;
        let Some(feed) = self.feeds.get_mut(id) else { return };
        // Asked again meanwhile: that question has its own answer.
        let Stage::Checking(current, from) = feed.stage else { return };
        if current != *follow {
            return;
        }
        match feed.start(follow, from, at_after, before) {
            Start::From(from, chain) => {
                feed.stage = Stage::Live { next: from };
                let (first, head) = (feed.first, feed.end());
                if feed.due().is_some() {
                    self.ready.push_back(id);
                }
                let following = Following { conversation: id, from, chain, first, head };
                self.push(&RelayMessage::Following(following));
            }
            Start::Forked => {
                feed.stage = Stage::Still;
                let head = feed.head;
                self.push(&RelayMessage::Forked(Forked { conversation: id, head }));
            }
            Start::Unknown => {
                let detail = "the log was trimmed just now";
                self.close(Refusal::for_now(RefusalCode::BUSY, READ_RETRY, detail));
            }
        }
    }

    fn on_runs(
        &mut self,
        id: ConversationId,
        from: Seq,
        to: Seq,
        runs: Vec<Run<'static>>,
        tails: &Tails,
    ) {
        let Some(feed) = self.feeds.get_mut(id) else { return };
        if feed.due() != Some(from) {
            // Followed anew, or revoked, meanwhile: the new feed looks after itself.
            return;
        }
        let there = runs.first().map(|run| run.first);
        if there == Some(from) {
            self.fetched = Some(Box::new((id, runs.into())));
            self.ready.push_front(id);
            return;
        }
        // Trimmed while the session was behind: the stream begins again at what is kept, and says
        // so.
        feed.first = there.unwrap_or(to.next());
        let follow = Follow { conversation: id, after: Seq::ZERO, chain: [0; 8], newest: u32::MAX };
        feed.stage = Stage::Checking(follow, feed.from(&follow));
        self.begin(id, None, tails);
    }

    fn next_starving(&mut self) -> Option<Read> {
        if self.fetched.is_some() {
            return None;
        }
        while let Some(conversation) = self.starving.pop_front() {
            let Some(feed) = self.feeds.get(conversation) else { continue };
            if let Some(from) = feed.due() {
                return Some(Read::Runs { conversation, from, to: feed.end() });
            }
        }
        None
    }

    fn forget_feed(&mut self, id: ConversationId) {
        if !self.feeds.remove(id) {
            return;
        }
        self.ready.retain(|ready| *ready != id);
        self.starving.retain(|starving| *starving != id);
        if self.fetched.as_ref().is_some_and(|fetched| fetched.0 == id) {
            self.fetched = None;
        }
    }

    fn want(&mut self, read: Read) {
        if self.reads.len() >= READS_MAX {
            let detail = format!("{READS_MAX} questions wait");
            return self.close(Refusal::last(RefusalCode::TOO_SLOW, detail));
        }
        self.reads.push_back(read);
    }

    // ---- composing ----

    /// Appends what is ready to be said, up to these lengths of `out`.
    fn compose_pending(&mut self, out: &mut Vec<u8>, target: usize, full: usize) {
        let mut taken = 0;
        while taken < self.pending.len() && out.len() < target {
            let message = first_message(&self.pending[taken..]);
            if out.len() + message > full {
                break;
            }
            out.extend_from_slice(&self.pending[taken..taken + message]);
            taken += message;
        }
        if taken == self.pending.len() {
            // An idle session owns no buffer.
            self.pending = Vec::new();
        } else {
            self.pending.drain(..taken);
        }
    }

    /// Appends the next run of a feed, up to this length of `out`.
    fn compose_records(
        &mut self,
        id: ConversationId,
        tails: &Tails,
        out: &mut Vec<u8>,
        full: usize,
    ) -> Composed {
        let Some(feed) = self.feeds.get_mut(id) else { return Composed::Done };
        let Some(next) = feed.due() else { return Composed::Done };
        let end = feed.end();
        let room = full.saturating_sub(out.len() + RECORDS_HEADER_BYTES_MAX);
        let last = if let Some(run) = tails.run_at(id, next) {
            if run.first == next && run.last() <= end {
                // The usual case: everybody gets the same bytes.
                if run.message.len() > room {
                    return Composed::Full;
                }
                out.extend_from_slice(&run.message);
                run.last()
            } else {
                let cut = cut(run.first, run.count, &run.records, (next, end), room);
                match append_cut(out, id, run.time, cut) {
                    Some(last) => last,
                    None => return Composed::Full,
                }
            }
        } else {
            let run = self.fetched.as_ref().filter(|f| f.0 == id).and_then(|f| f.1.front());
            let Some(run) = run.filter(|run| (run.first..=run.last()).contains(&next)) else {
                return Composed::Starving;
            };
            let cut = cut(run.first, run.count, &run.records, (next, end), room);
            match append_cut(out, id, run.time, cut) {
                Some(last) => last,
                None => return Composed::Full,
            }
        };
        feed.stage = Stage::Live { next: last.next() };
        self.drop_fetched_upto(id, last);
        Composed::More
    }

    fn drop_fetched_upto(&mut self, id: ConversationId, last: Seq) {
        let Some((of, runs)) = self.fetched.as_deref_mut() else { return };
        if *of != id {
            return;
        }
        while runs.front().is_some_and(|run| run.last() <= last) {
            runs.pop_front();
        }
        if runs.is_empty() {
            self.fetched = None;
        }
    }

    fn push_page(
        &mut self,
        pull: &Pull,
        first: Seq,
        chain: Digest,
        end: End,
        runs: &[Run<'static>],
    ) {
        let mut bytes = Vec::new();
        for run in runs {
            run.append_to(&mut bytes);
        }
        let page = Page {
            id: pull.id,
            conversation: pull.conversation,
            first,
            chain,
            end: end == End::Yes,
            runs: bytes.into(),
        };
        self.push(&RelayMessage::Page(page));
    }
}

/// Whether anything older than a page can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Yes,
    No,
}

/// What became of a feed's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Composed {
    /// A run was written; there may be more.
    More,
    /// The packet has no room for the next run.
    Full,
    /// Nothing is left to send.
    Done,
    /// The next record is not at hand.
    Starving,
}

/// Appends a part of a run, if there is one that fits; its last place.
fn append_cut(
    out: &mut Vec<u8>,
    id: ConversationId,
    time: WallTime,
    cut: Option<(Seq, u32, &[u8])>,
) -> Option<Seq> {
    let (first, count, records) = cut?;
    append_records(out, id, first, time, count, records);
    Some(first.plus(count.into()).minus(1))
}

/// Length of the first message of our own making, with its length prefix.
fn first_message(pending: &[u8]) -> usize {
    let (length, prefix) = read_varint(pending).expect("messages were appended whole");
    prefix + usize::try_from(length).expect("it is in memory")
}

#[cfg(test)]
mod tests;
