//! Every measurement that has a budget, as the budget defines it.

use crate::cli::{
    Durable, Fanout, Hostile, Idle, Latency, Measurement, Pairs, Start, Store, Storm, Terminal,
    Typing,
};

/// They, and the store for those that are not about the chosen one.
pub(crate) fn measurements(chosen: Store) -> Vec<(Measurement, Store)> {
    let fanout = |members, senders| {
        let syscalls = (members, senders) == (100, 8);
        Measurement::Fanout(Fanout { members, senders, window: 32, secs: 4, syscalls })
    };
    let pairs = Measurement::Pairs(Pairs { pairs: 500, secs: 5 });
    let mut all: Vec<_> = [
        fanout(100, 1),
        fanout(100, 8),
        fanout(1_000, 1),
        fanout(1_000, 8),
        Measurement::Latency(Latency { members: 100, rate: 200, secs: 8 }),
        Measurement::Idle(Idle { connections: 5_000 }),
        Measurement::Storm(Storm { logins: 2_000, parallel: 64 }),
        pairs.clone(),
        Measurement::Durable(Durable { publishers: 8, window: 32, secs: 5 }),
        Measurement::Start(Start { messages: 1_000_000, conversations: 10_000, kills: 3 }),
        Measurement::Terminal(Terminal { messages: 1_000_000, sends: 50, starts: 5 }),
        Measurement::Typing(Typing { keys: 300, rate: 500 }),
        Measurement::Hostile(Hostile { messages: 1_000_000, silent: 5_000, secs: 6, rounds: 4 }),
    ]
    .map(|measurement| (measurement, chosen))
    .into();
    if chosen != Store::Memory {
        all.push((pairs, Store::Memory));
    }
    all
}
