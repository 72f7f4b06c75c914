//! How the client stands to its relay, as the status line says it.

use std::time::Duration;

use protocol::time::WallTime;

/// The connection, the relay and the own account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The relay's name for itself, or its address; empty if none is known.
    pub relay: String,
    /// The own name; empty before the relay has confirmed one.
    pub name: String,
    /// How the transport is called, for instance `tcp`.
    pub transport: String,
    /// How long the relay took to answer when it was last asked.
    pub round_trip: Option<Duration>,
    /// The connection.
    pub state: LinkState,
    /// What is made to go wrong on it.
    pub faults: Faults,
}

/// What somebody makes go wrong between here and the relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// All but the blackouts, in words; empty if there are none.
    pub words: String,
    /// When blackouts begin and end.
    pub blackouts: Vec<(WallTime, WallTime)>,
}

impl Faults {
    /// What there is now, in words; nothing if all of it is over.
    pub fn describe(&self, now: WallTime) -> Option<String> {
        let words = Some(self.words.clone()).filter(|words| !words.is_empty());
        let seconds = |from: WallTime, to: WallTime| {
            to.as_millis().saturating_sub(from.as_millis()).div_ceil(1_000)
        };
        let blackout = self.blackouts.iter().find(|(_, end)| *end > now).map(|(begin, end)| {
            if *begin > now {
                format!("blackout in {} s", seconds(now, *begin))
            } else {
                format!("blackout, {} s left", seconds(now, *end))
            }
        });
        let all: Vec<String> = blackout.into_iter().chain(words).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// Whether what there is changes with time.
    pub fn is_ticking(&self, now: WallTime) -> bool {
        self.blackouts.iter().any(|(_, end)| *end > now)
    }
}

/// The connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// Being made.
    #[default]
    Connecting,
    /// The session is live.
    Live,
    /// Not connected; the next try is at this time.
    Waiting {
        /// When.
        until: WallTime,
        /// Why the last one ended.
        why: String,
    },
    /// Not connected, and not going to be by itself.
    Stopped(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blackout_is_announced_counted_down_and_forgotten() {
        let at = WallTime::from_millis;
        let faults = Faults { words: String::new(), blackouts: vec![(at(3_000), at(5_000))] };
        let told = |now| faults.describe(at(now));
        assert_eq!(told(0).as_deref(), Some("blackout in 3 s"));
        assert_eq!(told(3_500).as_deref(), Some("blackout, 2 s left"));
        assert_eq!((told(5_000), faults.is_ticking(at(5_000))), (None, false));
        let faults = Faults { words: "loss 10%".to_owned(), ..faults };
        assert_eq!(faults.describe(at(4_000)).as_deref(), Some("blackout, 1 s left, loss 10%"));
    }
}
