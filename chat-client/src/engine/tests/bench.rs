//! An engine, a store and a relay on one bench: every step by hand, or all until nothing moves.

use std::time::Duration;

use protocol::{
    entropy::SimRng,
    ids::{ConversationId, DeviceId, Seq},
    message::{ClientMessage, RelayMessage},
    time::{Timestamp, WallTime},
};

use super::relay::FakeRelay;
use crate::{
    engine::{
        Command, CommandError, CommandId, Dial, Disconnect, Engine, EngineConfig, Event, Identity,
        OutboxState, Target, command::Answer,
    },
    store::{
        Store,
        memory::MemoryStore,
        row::{Draft, LocalId},
    },
};

pub(super) const ROOM: ConversationId = ConversationId([0x10; 16]);

pub(super) struct Bench {
    pub(super) engine: Engine,
    pub(super) store: MemoryStore,
    pub(super) relay: FakeRelay,
    pub(super) now: Timestamp,
    /// Everything the engine said, in order.
    pub(super) events: Vec<Event>,
    /// What the engine transmitted, in order.
    pub(super) transmitted: Vec<ClientMessage<'static>>,
    /// The disk is busy: requests are not taken.
    pub(super) disk_stalls: bool,
}

impl Bench {
    /// A room called `lobby`, a registered device, not connected.
    pub(super) fn new() -> Self {
        let mut relay = FakeRelay::new();
        relay.add_room(ROOM, "lobby");
        relay.set_me(identity().account(), identity().device);
        let store = MemoryStore::new();
        let engine = engine(&mut store.clone());
        let (events, transmitted) = (Vec::new(), Vec::new());
        let now = Timestamp::ZERO;
        Self { engine, store, relay, now, events, transmitted, disk_stalls: false }
    }

    pub(super) fn online() -> Self {
        let mut bench = Self::new();
        bench.connect();
        bench
    }

    pub(super) fn connect(&mut self) {
        self.advance(Duration::from_secs(60));
        assert!(self.dials().contains(&Dial::Connect), "it wants to connect by now");
        self.relay.disconnect();
        self.engine.handle_connected(self.now);
        self.settle();
    }

    pub(super) fn disconnect(&mut self) {
        self.relay.disconnect();
        self.engine.handle_disconnected(self.now, Disconnect::Lost("cut".into()));
        self.settle();
    }

    /// `kill -9`, and a new start from what is on the disk.
    pub(super) fn crash(&mut self) {
        self.relay.disconnect();
        self.engine = engine(&mut self.store);
        self.events.clear();
        self.disk_stalls = false;
    }

    /// Steps until nothing moves.
    pub(super) fn settle(&mut self) {
        loop {
            let mut moved = self.write();
            while let Some(message) = self.engine.poll_transmit() {
                self.transmitted.push(message.clone());
                let answers = self.relay.handle(message);
                self.deliver(answers);
                moved = true;
                self.write();
            }
            self.collect();
            if !moved {
                return;
            }
        }
    }

    fn write(&mut self) -> bool {
        let mut moved = false;
        while !self.disk_stalls
            && let Some((ticket, request)) = self.engine.poll_store()
        {
            let outcome = self.store.perform(&request);
            self.engine.handle_stored(self.now, ticket, outcome);
            moved = true;
        }
        moved
    }

    pub(super) fn deliver(&mut self, messages: Vec<RelayMessage<'static>>) {
        for message in messages {
            self.engine.handle_message(self.now, message).expect("the relay is honest");
        }
    }

    fn collect(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            self.events.push(event);
        }
    }

    /// Lets time pass, timer by timer.
    pub(super) fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now);
            self.settle();
        }
        self.now = until;
    }

    pub(super) fn dials(&mut self) -> Vec<Dial> {
        std::iter::from_fn(|| self.engine.poll_dial()).collect()
    }

    pub(super) fn command(&mut self, command: Command) -> CommandId {
        self.engine.handle_command(self.now, WallTime::from_millis(1), command)
    }

    /// Gives a command, lets everything settle, and says what came of it.
    pub(super) fn call(&mut self, command: Command) -> Result<Answer, CommandError> {
        let id = self.command(command);
        self.settle();
        self.result(id).expect("it is done")
    }

    pub(super) fn result(&self, id: CommandId) -> Option<Result<Answer, CommandError>> {
        self.events.iter().find_map(|event| match event {
            Event::Done { id: done, result } if *done == id => Some(result.clone()),
            _ => None,
        })
    }

    /// Says something in the room.
    pub(super) fn say(&mut self, text: &str) -> LocalId {
        match self.call(send(Target::Conversation(ROOM), text)) {
            Ok(Answer::Queued(local)) => local,
            other => panic!("not queued: {other:?}"),
        }
    }

    /// How far a message has got, as told last.
    pub(super) fn told(&self, local: LocalId) -> Option<OutboxState> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Outbox { local: told, state } if *told == local => Some(state.clone()),
            _ => None,
        })
    }

    /// Stored places of the room.
    pub(super) fn stored(&self) -> Vec<u64> {
        self.store.records(ROOM).map(|record| record.seq.0).collect()
    }

    pub(super) fn appended(&self) -> Vec<(Seq, Seq)> {
        let appended = |event: &Event| match event {
            Event::Appended { from, to, .. } => Some((*from, *to)),
            _ => None,
        };
        self.events.iter().filter_map(appended).collect()
    }
}

pub(super) fn send(target: Target, text: &str) -> Command {
    Command::Send { target, draft: Draft::text(text) }
}

pub(super) fn identity() -> Identity {
    Identity {
        device: DeviceId([0x42; 16]),
        genesis: vec![1, 2, 3],
        genesis_signature: Vec::new(),
        name: "me".into(),
        ticket: Vec::new(),
    }
}

pub(super) fn engine(store: &mut MemoryStore) -> Engine {
    let loaded = store.load().expect("memory does not fail");
    let config = EngineConfig { newest: 8, page: 4, ..EngineConfig::default() };
    Engine::new(identity(), loaded, config, SimRng::new(7))
}
