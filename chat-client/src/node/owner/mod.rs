//! The process that owns a home: it drives the engine, its store and its connection, and serves
//! every front end of the home.
//!
//! ```text
//!   front end ─┐                        ┌─ disk (thread)
//!   run.sock ──┴─ calls ─▶ engine ◀────┼─ link (TCP)
//!        ▲                   │          └─ timers
//!        └──── events ───────┘
//! ```
//!
//! The loop feeds the engine one input, drains every output in the engine's order, and only then
//! waits again. It ends when its front end closes it; what guests still wait for is finished first.
//!
//! Who calls what is in [`calls`], who waits for which answer in [`callers`], what everybody is told
//! in [`events`] and [`status`].

mod callers;
mod calls;
mod events;
mod searching;
mod status;

use std::time::Duration;

use protocol::message::RelayMessage;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use self::callers::{Callers, answer};
use super::{
    call::{Event, Severity},
    clock::Clock,
    disk::{Disk, Done, Job},
    handle::Pending,
    relay::{Incoming, Relay},
    server::{Host, Server, serve},
    subscribers::Subscribers,
};
use crate::{
    engine::{Command, Dial, Disconnect, Engine},
    net::{Carrier, Reading},
    store::StoreFailure,
};

/// How long guests may go on after the front end of the owner has closed.
const GUESTS_GRACE: Duration = Duration::from_secs(3);

/// The name to register under.
#[derive(Clone, Debug)]
pub(super) struct WantedName {
    pub(super) name: String,
    /// Whether a person chose it; else a taken one is varied.
    pub(super) origin: NameOrigin,
}

/// Where a name came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameOrigin {
    /// A person typed it.
    Chosen,
    /// It is the login name.
    Default,
}

/// What other tasks of this process hold of the owner.
pub(super) struct Channels {
    pub(super) calls: mpsc::Receiver<Pending>,
    pub(super) calls_out: mpsc::Sender<Pending>,
    pub(super) closing: oneshot::Receiver<()>,
}

/// See the module.
pub(super) struct Owner {
    engine: Engine,
    clock: Clock,
    disk: Disk,
    relay: Relay,
    wanted: WantedName,
    names_tried: u32,
    /// A command was given while outputs were drained: there may be new ones.
    has_input: bool,
    subscribers: Subscribers,
    callers: Callers,
}

impl Owner {
    pub(super) fn new(
        engine: Engine,
        clock: Clock,
        disk: Disk,
        relay: Relay,
        wanted: WantedName,
        events: Option<mpsc::Sender<Event>>,
    ) -> Self {
        Self {
            engine,
            clock,
            disk,
            relay,
            wanted,
            names_tried: 1,
            has_input: false,
            subscribers: Subscribers::new(events),
            callers: Callers::default(),
        }
    }

    /// Runs until the front end closes it.
    pub(super) async fn run(mut self, server: Server, channels: Channels) {
        let Channels { mut calls, calls_out, mut closing } = channels;
        let (subscriptions, mut subscribed) = mpsc::channel(1);
        let host = Host { calls: calls_out, subscriptions, relay: self.relay.key() };
        let mut server = Some(server);
        let mut until = None;
        self.drain();
        while until.is_none_or(|until| Instant::now() < until && self.callers.are_waiting()) {
            let deadline = self.engine.poll_timeout().map(|at| self.clock.instant(at));
            let reading =
                if self.engine.is_congested() { Reading::Paused } else { Reading::Wanted };
            let wake = [deadline, until].into_iter().flatten().min();
            tokio::select! {
                Some(pending) = calls.recv() => self.on_call(pending),
                Some(done) = self.disk.next() => self.on_disk(done),
                incoming = self.relay.next(reading) => self.on_incoming(incoming),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    self.engine.handle_timeout(self.clock.now());
                }
                stream = accepted(server.as_ref()) => {
                    // Ends with the guest, or when this loop drops the receiver of its calls.
                    tokio::spawn(serve(stream, host.clone()));
                }
                Some(events) = subscribed.recv() => self.subscribers.add(events),
                _ = &mut closing, if until.is_none() => {
                    // New guests find nobody and become owners as soon as the lock is free.
                    server = None;
                    until = Some(Instant::now() + GUESTS_GRACE);
                }
            }
            self.drain();
        }
        self.hang_up();
        self.relay.finish_notes().await;
    }

    fn hang_up(&mut self) {
        let now = self.clock.now();
        self.engine.handle_command(now, Clock::wall(), Command::GoOffline);
        self.transmit();
    }

    // ---- outputs ----

    /// Takes everything out of the engine, in its order; again, while events led to commands.
    fn drain(&mut self) {
        self.has_input = true;
        while std::mem::take(&mut self.has_input) {
            self.drain_once();
        }
        self.settle_online();
        self.settle_synced();
        // Before what nobody takes is forgotten.
        self.relay.recorded();
    }

    fn drain_once(&mut self) {
        while let Some((ticket, request)) = self.engine.poll_store() {
            if self.disk.request(Job::Perform(ticket, request)).is_err() {
                let busy = StoreFailure::Unusable("too many requests wait".to_owned());
                self.engine.handle_stored(self.clock.now(), ticket, Err(busy));
            }
        }
        self.transmit();
        while let Some(dial) = self.engine.poll_dial() {
            match dial {
                Dial::Connect => self.relay.connect(),
                Dial::Disconnect => self.relay.disconnect(),
            }
        }
        self.name_sends();
        while let Some(event) = self.engine.poll_event() {
            self.on_event(event);
        }
    }

    fn transmit(&mut self) {
        if let Err(why) = self.relay.transmit(|| self.engine.poll_transmit()) {
            self.engine.handle_disconnected(self.clock.now(), Disconnect::Lost(why));
        }
    }

    // ---- inputs ----

    fn on_incoming(&mut self, incoming: Incoming) {
        let now = self.clock.now();
        match incoming {
            Incoming::Dialed(outcome) => match self.relay.on_dialed(outcome) {
                Ok(()) => {
                    self.engine.handle_connected(now);
                    self.tell_transport();
                }
                Err(why) => self.engine.handle_disconnected(now, why),
            },
            // Datagrams are no more than better: they can wait until nobody is disturbed.
            Incoming::Better(won)
                if won.link.carrier() == Carrier::Udp && !self.engine.is_unasked() =>
            {
                self.relay.look_again();
            }
            Incoming::Better(won) => {
                let why = Disconnect::Lost("another way is better".to_owned());
                self.engine.handle_disconnected(now, why);
                self.on_incoming(Incoming::Dialed(Ok(won)));
            }
            Incoming::Heard(outcome) => {
                let sink = |message: RelayMessage<'_>| self.engine.handle_message(now, message);
                if let Err(why) = self.relay.on_heard(outcome, sink) {
                    self.engine.handle_disconnected(now, Disconnect::Lost(why));
                }
            }
        }
    }

    /// Says what carries the session, if that is not what it should be, or is again.
    fn tell_transport(&mut self) {
        if let Some(text) = self.relay.take_news() {
            let severity = Severity::Info;
            self.subscribers.tell(&Event::Notice { text: text.to_owned(), severity });
        }
    }

    fn on_disk(&mut self, done: Done) {
        match done {
            Done::Performed(ticket, outcome) => {
                self.engine.handle_stored(self.clock.now(), ticket, outcome);
            }
            Done::Read(id, outcome) => {
                if let Some(reply) = self.callers.reads.remove(&id) {
                    answer(reply, self.page(outcome));
                }
            }
            Done::Found(id, outcome) => {
                if let Some(reply) = self.callers.reads.remove(&id) {
                    answer(reply, self.found(outcome));
                }
            }
        }
    }
}

/// The next guest; never, once the server is closed.
async fn accepted(server: Option<&Server>) -> tokio::net::UnixStream {
    match server {
        Some(server) => server.accept().await,
        None => std::future::pending().await,
    }
}
