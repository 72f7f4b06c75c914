//! The hub: decides everything the relay decides. One value, driven by one thread.
//!
//! ```text
//!   inputs ──▶ [State: tentative] ──▶ filling batch ──poll_commit──▶ in flight ──▶ durable
//!                    │                     │ held answers                │
//!                    └── nothing pending ──┴────────────▶ poll_output ◀──┘ publication first
//! ```
//!
//! An input is decided at once against the state as it will be when everything before it is
//! durable. What it changes becomes [`Op`](op::Op)s of the batch that fills while one commit is in
//! flight. Whatever the hub answers is held until the batch that the answer rests on is durable,
//! and comes out after that batch's publication: nobody is told of anything a power cut can undo
//! (P1). With nothing filling or in flight, answers come out at once.
//!
//! # Driving it
//!
//! After every input, drain [`poll_output`](Hub::poll_output), [`poll_commit`](Hub::poll_commit)
//! and [`poll_reload`](Hub::poll_reload), then wait for input or
//! [`poll_timeout`](Hub::poll_timeout). While [`wants_input`](Hub::wants_input) is false, shards
//! do not read from their sessions; what they had read before is still taken. Each shard takes
//! little from each session per turn, and that is what keeps a batch fair.
//!
//! # When a commit fails
//!
//! Nobody has been told anything yet, so both batches are simply done again: the store is loaded
//! anew, and the inputs behind the held answers are handled once more, in order. Messages that
//! turn out to be durable after all are recognised like any retry (`dedupe`), and sessions learn
//! of them from the store ([`Publication::advanced`]). If the store takes no writes, everything
//! that needs one gets a refusal that says when to come back, reading goes on, and a commit is
//! tried every second.
//!
//! # Where things are
//!
//! `send` is the hot path; `dedupe`, `log`, `batch` serve it. `attach` and `names` decide who
//! somebody is, `rights`, `members`, `rooms`, `moderation`, `direct` and `follow` what they may
//! do. `presence` and `progress` tell what is never stored. `quota`, `retention` and
//! `config` bound it all.

mod attach;
mod batch;
pub mod config;
mod dedupe;
mod direct;
#[cfg(test)]
mod fixture;
mod follow;
pub mod io;
pub mod log;
mod members;
mod moderation;
pub mod names;
pub mod op;
mod operator;
mod presence;
mod progress;
mod quota;
mod recovery;
mod requests;
mod retention;
mod rights;
mod rooms;
mod send;
mod sessions;
pub mod state;
#[cfg(test)]
mod tests;
mod ticket;
mod timers;

use std::{collections::VecDeque, time::Duration};

use protocol::{
    entropy::Entropy,
    message::{
        RelayMessage,
        refusal::{Refusal, RefusalCode},
    },
    time::{Timestamp, WallTime},
};

use self::{
    batch::{Batch, Held, InFlight, Pledge},
    config::{BATCH_INPUTS_MAX, PROBE_INTERVAL},
    dedupe::Sticky,
    op::Op,
    presence::Presence,
    progress::Progress,
    quota::Quotas,
    recovery::{Health, Salvage},
    retention::Round,
    sessions::Sessions,
    state::State,
    timers::{Timer, Timers},
};
pub use self::{
    config::{HubConfig, Limits, Rate, Registration, Retention},
    io::{
        Input, OperatorAnswer, OperatorCall, OperatorError, Output, Publication, SessionId,
        SessionReport, ToSession,
    },
    log::PublishedRun,
    retention::AgeLook,
};
use crate::store::{Commit, CommitError, Loaded};

/// Accounts, conversations and their order, and who is connected.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    entropy: Entropy,
    /// As it will be once everything pending is durable.
    state: State,
    /// Of the last commit that was made or is in flight.
    commit_number: u64,
    filling: Batch,
    in_flight: Option<InFlight>,
    health: Health,
    salvage: Salvage,
    /// What arrived while the store was being loaded again.
    deferred: Vec<Input>,
    outputs: VecDeque<Held>,
    sessions: Sessions,
    sticky: Sticky,
    quotas: Quotas,
    presence: Presence,
    progress: Progress,
    timers: Timers,
    round: Round,
    /// Set once the relay is shutting down: when to come back, for those who ask now.
    draining: Option<Duration>,
}

impl Hub {
    /// A hub on what the store holds. On an empty store it founds `#lobby`; ask for the commit.
    pub fn new(config: HubConfig, loaded: Loaded, entropy: Entropy) -> Self {
        let mut hub = Self {
            config,
            entropy,
            state: loaded.state,
            commit_number: loaded.number,
            filling: Batch::default(),
            in_flight: None,
            health: Health::Working,
            salvage: Salvage::default(),
            deferred: Vec::new(),
            outputs: VecDeque::new(),
            sessions: Sessions::default(),
            sticky: Sticky::default(),
            quotas: Quotas::default(),
            presence: Presence::default(),
            progress: Progress::default(),
            timers: Timers::default(),
            round: Round::default(),
            draining: None,
        };
        hub.found();
        hub.begin_round();
        hub
    }

    // ---- inputs ----

    /// Decides an input.
    pub fn handle_input(&mut self, now: Timestamp, wall: WallTime, input: Input) {
        if self.health == Health::Reloading {
            self.deferred.push(input);
            return;
        }
        self.decide(now, wall, &input);
        if let Some(pledge) = self.pending() {
            pledge.inputs.push(input);
        }
    }

    /// Takes the outcome of the commit in flight.
    ///
    /// # Panics
    ///
    /// If no commit is in flight: the driver mixed up its answers, and going on could tell
    /// somebody that a message is durable which is not.
    pub fn handle_committed(
        &mut self,
        _now: Timestamp,
        wall: WallTime,
        outcome: Result<(), CommitError>,
    ) {
        let in_flight = self.in_flight.take().expect("a commit is in flight");
        match outcome {
            Ok(()) => self.on_durable(in_flight),
            Err(error) => self.on_failed(wall, in_flight, &error),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp, wall: WallTime) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Presence => self.tell_presence(now),
                Timer::PresenceCount => self.tell_presence_counts(),
                Timer::Progress => self.tell_progress(),
                Timer::Marks => self.progress.flush_now(),
                Timer::Probe => self.health = Health::Full { probe: recovery::Probe::Due },
                Timer::Quotas => self.sweep_quotas(now),
                Timer::Ages => self.look_at_ages(now, wall),
            }
        }
    }

    /// Replaces the configuration, all at once.
    pub fn handle_config(&mut self, config: HubConfig) {
        self.config = config;
        self.begin_round();
    }

    /// Says goodbye to everybody and takes nobody new. What is pending is still made durable and
    /// answered first. Each session is told another time within `spread` to come back, so that
    /// thousands do not return at once.
    pub fn drain(&mut self, _now: Timestamp, spread: Duration) {
        self.draining = Some(spread);
        let sessions: Vec<_> = self.sessions.iter().map(|(id, _)| id).collect();
        let count = u32::try_from(sessions.len().max(1)).unwrap_or(u32::MAX);
        for (index, session) in (1_u32..).zip(sessions) {
            self.sessions.remove(session);
            let after = spread * index / count;
            self.close(session, Refusal::for_now(RefusalCode::DRAINING, after, ""));
        }
    }

    // ---- outputs ----

    /// The next commit, if none is in flight and there is something to commit.
    pub fn poll_commit(&mut self) -> Option<Commit> {
        if self.in_flight.is_some() {
            return None;
        }
        match self.health {
            Health::Working => self.flush_marks(),
            Health::Full { probe: recovery::Probe::Due } => {}
            Health::Full { probe: recovery::Probe::Waiting } | Health::Reloading => return None,
        }
        if self.filling.is_empty() && self.health == Health::Working {
            return None;
        }
        let (ops, in_flight) = std::mem::take(&mut self.filling).seal();
        self.in_flight = Some(in_flight);
        self.commit_number += 1;
        Some(Commit { number: self.commit_number, ops })
    }

    /// How many packets a publication is, at most: one for everybody who is in each conversation.
    pub fn readers_of(&self, publication: &Publication) -> u32 {
        let joined = |run: &PublishedRun| self.state.conversations.get(&run.conversation);
        let in_all = publication.runs.iter().filter_map(joined).map(|room| room.joined);
        in_all.fold(0, u32::saturating_add)
    }

    /// True if the store has to be loaded again and given to [`Hub::handle_reloaded`]. Stays true
    /// until that happens: loading may fail and be tried again.
    pub fn poll_reload(&self) -> bool {
        self.health == Health::Reloading
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        let held = self.outputs.pop_front()?;
        Some(self.release(held))
    }

    /// When [`Hub::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// False while the batch that fills is full.
    pub fn wants_input(&self) -> bool {
        let limits = &self.config.limits;
        self.health != Health::Reloading
            && self.filling.messages() < limits.batch_messages_max
            && self.filling.bytes() < limits.batch_bytes_max as usize
            && self.filling.pledge.inputs.len() < BATCH_INPUTS_MAX
            && self.in_flight.as_ref().is_none_or(|f| f.pledge.inputs.len() < BATCH_INPUTS_MAX)
    }

    /// Messages in the batch that fills.
    pub const fn pending_messages(&self) -> u32 {
        self.filling.messages()
    }

    /// How many sessions are attached.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The state as it will be once everything pending is durable.
    pub const fn state(&self) -> &State {
        &self.state
    }

    // ---- deciding ----

    fn decide(&mut self, now: Timestamp, wall: WallTime, input: &Input) {
        match input {
            Input::Sends { bytes, items } => {
                for (session, range) in items {
                    let range = range.start as usize..range.end as usize;
                    if let Some(body) = bytes.get(range) {
                        self.on_send(now, wall, *session, body);
                    }
                }
            }
            Input::Attach { session, channel_key, address, attach } => {
                self.on_attach(now, wall, *session, channel_key, *address, attach);
            }
            Input::Request { session, id, request } => {
                self.on_request(now, wall, *session, *id, request);
            }
            Input::Follow { session, follow } => self.on_follow(wall, *session, *follow),
            Input::Mark { session, mark } => self.on_mark(now, *session, *mark),
            Input::Show { session, show } => self.on_show(now, *session, show),
            Input::Watch { session, watch } => self.on_watch(*session, watch),
            Input::Typing { session, typing } => self.on_typing(now, wall, *session, *typing),
            Input::Detached { session } => self.on_detached(now, *session),
            Input::Aged { aged } => self.on_aged(now, aged),
            Input::Operator { id, call } => self.on_operator(wall, *id, call),
        }
    }

    /// Lets a fact take effect and be part of the batch.
    fn apply(&mut self, op: Op) {
        if let Op::Member { conversation, account, .. } = &op {
            self.filling.pledge.members.push((*conversation, *account));
        }
        self.state.apply(&op);
        self.filling.ops.push(op);
    }

    /// Why nothing new can be taken at the moment, if so.
    fn refusal_for_now(&self) -> Option<Refusal> {
        if let Some(spread) = self.draining {
            return Some(Refusal::for_now(RefusalCode::DRAINING, spread, ""));
        }
        match self.health {
            Health::Working => None,
            Health::Full { .. } | Health::Reloading => {
                Some(Refusal::for_now(RefusalCode::STORE_FULL, PROBE_INTERVAL, ""))
            }
        }
    }

    // ---- answering ----

    /// The latest batch that answers may rest on, if there is one.
    fn pending(&mut self) -> Option<&mut Pledge> {
        if !self.filling.is_empty() {
            return Some(&mut self.filling.pledge);
        }
        self.in_flight.as_mut().map(|in_flight| &mut in_flight.pledge)
    }

    /// Gives an answer once everything it may rest on is durable.
    fn hold(&mut self, held: Held) {
        if let Some(pledge) = self.pending() {
            pledge.held.push(held);
        } else {
            let held = self.resolve(held);
            self.outputs.push_back(held);
        }
    }

    fn put(&mut self, output: Output) {
        self.hold(Held::Other(Box::new(output)));
    }

    fn tell(&mut self, session: SessionId, message: RelayMessage<'static>) {
        self.put(Output::ToSession(session, ToSession::Message(message)));
    }

    fn close(&mut self, session: SessionId, refusal: Refusal) {
        self.put(Output::ToSession(session, ToSession::Close { refusal }));
    }

    fn on_durable(&mut self, in_flight: InFlight) {
        if let Health::Full { .. } = self.health {
            tracing::info!("the store takes writes again");
            self.health = Health::Working;
            self.timers.cancel(Timer::Probe);
        }
        if *in_flight.publication != Publication::default() {
            let publish = Output::Publish(in_flight.publication);
            self.outputs.push_back(Held::Other(Box::new(publish)));
        }
        for held in in_flight.pledge.held {
            let held = self.resolve(held);
            self.outputs.push_back(held);
        }
    }

    /// Fills in what is only known when an answer is let go: the published head.
    fn resolve(&self, held: Held) -> Held {
        match held {
            Held::Follow { .. } => Held::Other(Box::new(self.release(held))),
            Held::Accepted(..) | Held::Other(_) => held,
        }
    }

    fn release(&self, answer: Held) -> Output {
        match answer {
            Held::Accepted(session, accepted) => {
                let message = RelayMessage::Accepted(accepted);
                Output::ToSession(session, ToSession::Message(message))
            }
            Held::Follow { session, follow, visible } => {
                let Some(conversation) = self.state.conversations.get(&follow.conversation) else {
                    unreachable!("conversations do not disappear while answers are held");
                };
                let (head, chain) = self
                    .filling
                    .head_before(follow.conversation)
                    .unwrap_or((conversation.head, conversation.chain));
                let first = conversation.first;
                let follow = ToSession::Follow { follow, visible, first, head, chain };
                Output::ToSession(session, follow)
            }
            Held::Other(output) => *output,
        }
    }
}
