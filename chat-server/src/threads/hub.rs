//! The hub's thread: feeds the hub what arrives, hands out what it decides.
//!
//! ```text
//!   shards ──inputs──▶ ┌─────┐ ──commit──▶ committer
//!   committer ──done──▶│ hub │ ──outputs─▶ shards
//!   operator ──calls──▶└─────┘ ──answers─▶ operator
//!   readers ────ages──▶        ──looks───▶ readers
//! ```
//!
//! One round takes everything that is in the inbox, then hands the next commit to the disk before
//! it wakes the shards: the disk works while they send. What many read is not followed at once by
//! more of the same ([`Hub::readers_of`]): the next commit waits until as much has come in again,
//! or until they are likely to have been sent the last one, so that a busy room's members get few
//! large packets.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use protocol::time::Timestamp;
use tokio::sync::oneshot;

use crate::{
    clock::Clock,
    hub::{Hub, HubConfig, Input, OperatorAnswer, OperatorCall, OperatorError, Output},
    shard::mail::{ShardBox, ShardMail},
    store::{CommitError, Loaded},
    threads::{
        committer::CommitterMail,
        mailbox::Mailbox,
        reader::{ReadJob, ReadQueue},
    },
};

/// Bytes of messages that may wait in the inbox before shards stop reading: a few batches, so that
/// the hub never runs dry and a stalled one never costs more.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// What it costs to bring a publication to one session: a packet and a system call here, being
/// woken and another one there.
const SEND_TIME: Duration = Duration::from_micros(20);
/// Longest time for which a commit is held back.
const GATHER_MAX: Duration = Duration::from_millis(2);
/// Messages of one commit from which on waiting for more is worth it.
const GATHER_FROM: u32 = 8;

/// Mail for the hub.
#[derive(Debug)]
pub(crate) enum HubMail {
    /// Of one shard's turn, and the bytes of messages in it.
    Inputs(Vec<Input>, usize),
    /// The commit under way is done.
    Committed(Result<(), CommitError>),
    /// The state as the store has it.
    Reloaded(Box<Loaded>),
    /// From the machine itself.
    Operator(OperatorCall, oneshot::Sender<Result<OperatorAnswer, OperatorError>>),
    /// Other settings.
    Configure(Box<HubConfig>),
    /// Tell everybody to come back later, spread over this time; take nobody new.
    Drain(Duration),
    /// End.
    Stop,
}

/// What shards and committer share with the hub: its mail, and whether it takes more.
#[derive(Debug)]
pub(crate) struct HubInbox {
    mailbox: Mailbox<HubMail>,
    waiting_bytes: AtomicUsize,
    batch_open: AtomicBool,
    somebody_waits: AtomicBool,
}

impl HubInbox {
    pub(crate) fn new() -> Self {
        Self {
            mailbox: Mailbox::new(),
            waiting_bytes: AtomicUsize::new(0),
            batch_open: AtomicBool::new(true),
            somebody_waits: AtomicBool::new(false),
        }
    }

    pub(crate) fn post(&self, mail: HubMail) {
        if let HubMail::Inputs(_, bytes) = &mail {
            self.waiting_bytes.fetch_add(*bytes, Ordering::SeqCst);
        }
        self.mailbox.post(mail);
    }

    /// Whether a shard must not read just now. If so, every shard gets [`ShardMail::ReadAgain`]
    /// when that has changed.
    pub(crate) fn holds_input(&self) -> bool {
        if self.wants_input() {
            return false;
        }
        self.somebody_waits.store(true, Ordering::SeqCst);
        // The hub may have looked between the two: then nobody else would tell.
        !self.wants_input()
    }

    fn wants_input(&self) -> bool {
        self.batch_open.load(Ordering::SeqCst)
            && self.waiting_bytes.load(Ordering::SeqCst) < WAITING_BYTES_MAX
    }
}

/// The hub with its surroundings.
pub(crate) struct HubThread {
    pub(crate) hub: Hub,
    pub(crate) inbox: Arc<HubInbox>,
    pub(crate) committer: Arc<Mailbox<CommitterMail>>,
    pub(crate) shards: Vec<Arc<ShardBox>>,
    pub(crate) reads: Arc<ReadQueue>,
    pub(crate) clock: Clock,
    /// The committer is reading the state again.
    pub(crate) reloading: bool,
    pub(crate) gathering: Gathering,
}

/// Nothing is committed before this time, unless this many messages wait or the batch is full.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    until: Timestamp,
    messages: u32,
}

impl HubThread {
    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) {
        let mut mail = Vec::new();
        let mut outgoing: Vec<Vec<ShardMail>> = self.shards.iter().map(|_| Vec::new()).collect();
        let mut operators = Operators::default();
        let mut held_back = None;
        loop {
            let deadline = self.hub.poll_timeout();
            let wake_at = deadline.into_iter().chain(held_back).min();
            self.inbox.mailbox.take(&mut mail, wake_at.map(|at| self.clock.instant(at)));
            let now = self.clock.now();
            for item in mail.drain(..) {
                if self.handle(now, item, &mut operators).is_break() {
                    return;
                }
            }
            if deadline.is_some_and(|at| at <= now) {
                self.hub.handle_timeout(now, self.clock.wall());
            }
            self.sort_outputs(now, &mut outgoing, &mut operators);
            let may_commit = now >= self.gathering.until
                || self.hub.pending_messages() >= self.gathering.messages
                || !self.hub.wants_input();
            if may_commit && let Some(commit) = self.hub.poll_commit() {
                self.committer.post(CommitterMail::Commit(commit));
            }
            if self.hub.poll_reload() && !std::mem::replace(&mut self.reloading, true) {
                self.committer.post(CommitterMail::Reload);
            }
            held_back = (!may_commit).then_some(self.gathering.until);
            self.inbox.batch_open.store(self.hub.wants_input(), Ordering::SeqCst);
            if self.inbox.wants_input() && self.inbox.somebody_waits.swap(false, Ordering::SeqCst) {
                for mail in &mut outgoing {
                    mail.push(ShardMail::ReadAgain);
                }
            }
            for (shard, mail) in self.shards.iter().zip(&mut outgoing) {
                shard.post_all(mail);
            }
        }
    }

    fn handle(
        &mut self,
        now: Timestamp,
        mail: HubMail,
        operators: &mut Operators,
    ) -> std::ops::ControlFlow<()> {
        match mail {
            HubMail::Inputs(inputs, bytes) => {
                self.inbox.waiting_bytes.fetch_sub(bytes, Ordering::SeqCst);
                let wall = self.clock.wall();
                for input in inputs {
                    self.hub.handle_input(now, wall, input);
                }
            }
            HubMail::Committed(outcome) => {
                self.hub.handle_committed(now, self.clock.wall(), outcome);
            }
            HubMail::Reloaded(loaded) => {
                self.reloading = false;
                self.hub.handle_reloaded(now, *loaded);
            }
            HubMail::Operator(call, reply) => {
                let id = operators.register(reply);
                self.hub.handle_input(now, self.clock.wall(), Input::Operator { id, call });
            }
            HubMail::Configure(config) => self.hub.handle_config(*config),
            HubMail::Drain(spread) => self.hub.drain(now, spread),
            HubMail::Stop => return std::ops::ControlFlow::Break(()),
        }
        std::ops::ControlFlow::Continue(())
    }

    fn sort_outputs(
        &mut self,
        now: Timestamp,
        outgoing: &mut [Vec<ShardMail>],
        operators: &mut Operators,
    ) {
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Publish(publication) => {
                    let messages: u32 = publication.runs.iter().map(|run| run.count).sum();
                    if messages >= GATHER_FROM {
                        let sending = SEND_TIME * self.hub.readers_of(&publication);
                        let until = now + sending.min(GATHER_MAX);
                        let messages = messages + self.hub.pending_messages();
                        self.gathering = Gathering { until, messages };
                    }
                    for mail in &mut *outgoing {
                        mail.push(ShardMail::Publish(Arc::clone(&publication)));
                    }
                }
                Output::ToSession(session, message) => {
                    outgoing[usize::from(session.shard())]
                        .push(ShardMail::ToSession(session, message));
                }
                Output::ToOperator(id, answer) => operators.answer(id, answer),
                Output::LookAtAges(look) => self.reads.post(ReadJob::Ages(look)),
            }
        }
    }
}

/// Operators that wait for an answer. There are as many as the control socket serves.
#[derive(Default)]
struct Operators {
    next: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Result<OperatorAnswer, OperatorError>>>,
}

impl Operators {
    fn register(&mut self, reply: oneshot::Sender<Result<OperatorAnswer, OperatorError>>) -> u64 {
        self.next += 1;
        self.waiting.insert(self.next, reply);
        self.next
    }

    fn answer(&mut self, id: u64, answer: Result<OperatorAnswer, OperatorError>) {
        if let Some(reply) = self.waiting.remove(&id) {
            // An operator that went away needs no answer.
            let _ = reply.send(answer);
        }
    }
}
