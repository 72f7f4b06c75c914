//! Which carrier an attempt begins with, and when to look whether the other one is better.
//!
//! ```text
//!   datagrams first ── a stream won although they led ──▶ streams first
//!        ▲                                                    │ looks, more and more rarely
//!        └────────────── datagrams got through ◀──────────────┘
//! ```
//!
//! Somebody who is behind a wall that lets no datagrams through should not wait for them at every
//! attempt, nor lose them for ever because three of them were lost by chance.

use std::time::Duration;

use protocol::time::WallTime;
use tokio::time::Instant;

use super::{Carrier, Transport};

/// How long a failure of datagrams counts, also for later processes: people change networks.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);
/// When it is looked for the first time whether datagrams get through after all: the ones before may
/// have been lost by chance.
const LOOK_AFTER_MIN: Duration = Duration::from_secs(5);
/// Longest time between two looks.
const LOOK_AFTER_MAX: Duration = Duration::from_secs(5 * 60);
/// How long datagrams may go unanswered in a session before streams are tried beside it: several
/// tries of the same bytes, and far less than the silence after which a session is given up.
const SILENCE_MAX: Duration = Duration::from_secs(6);
/// What that time is multiplied with after each look.
const LOOK_BACK_OFF: u32 = 4;

/// What is known about one relay.
#[derive(Clone, Copy, Debug)]
pub struct Preference {
    transport: Transport,
    fallback: Option<Fallback>,
    /// When it was looked last whether the other carrier is better.
    looked_at: Instant,
}

/// Datagrams do not get through.
#[derive(Clone, Copy, Debug)]
struct Fallback {
    since: WallTime,
    /// Whether this process found it out.
    is_news: bool,
    pause: Duration,
    look_at: Instant,
}

impl Preference {
    /// What a person wants, and when datagrams failed last as far as is remembered.
    pub fn new(transport: Transport, failed: Option<WallTime>, wall: WallTime) -> Self {
        let mut preference = Self { transport, fallback: None, looked_at: Instant::now() };
        // A time that has not come yet is another clock's.
        let counts = |failed: &WallTime| *failed <= wall && wall < failed.plus(REMEMBERED);
        if let Some(since) = failed.filter(counts).filter(|_| transport == Transport::Auto) {
            preference.fallback = Some(Fallback::new(since, false));
        }
        preference
    }

    /// What the next attempt tries, the likeliest first.
    pub fn carriers(&self) -> &'static [Carrier] {
        match (self.transport, &self.fallback) {
            (Transport::Tcp, _) => &[Carrier::Tcp],
            (Transport::Udp, _) => &[Carrier::Udp],
            (Transport::Auto, None) => &[Carrier::Udp, Carrier::Tcp],
            (Transport::Auto, Some(_)) => &[Carrier::Tcp, Carrier::Udp],
        }
    }

    /// A session begins on `carrier`; `overtook` says whether datagrams had been tried before it.
    pub fn on_connected(&mut self, carrier: Carrier, overtook: bool, wall: WallTime) {
        match carrier {
            Carrier::Udp => self.fallback = None,
            Carrier::Tcp if overtook && self.transport == Transport::Auto => {
                let is_news = self.fallback.is_none_or(|fallback| fallback.is_news);
                self.fallback = Some(Fallback::new(wall, is_news));
            }
            Carrier::Tcp => {}
        }
    }

    /// It was looked whether the other carrier is better, and it is not.
    pub fn on_looked_in_vain(&mut self, wall: WallTime) {
        self.looked_at = Instant::now();
        if let Some(fallback) = &mut self.fallback {
            fallback.since = wall;
            fallback.pause = (fallback.pause * LOOK_BACK_OFF).min(LOOK_AFTER_MAX);
            fallback.look_at = Instant::now() + fallback.pause;
        }
    }

    /// When to look whether the other carrier is better than the one of the session, on which the
    /// relay has owed us an answer since then.
    pub fn look_at(&self, carrier: Carrier, silent_since: Option<Instant>) -> Option<Instant> {
        match (self.transport, carrier) {
            (Transport::Tcp | Transport::Udp, _) => None,
            (Transport::Auto, Carrier::Tcp) => self.fallback.map(|fallback| fallback.look_at),
            (Transport::Auto, Carrier::Udp) => {
                silent_since.map(|since| since.max(self.looked_at) + SILENCE_MAX)
            }
        }
    }

    /// Whether a session on datagrams has been silent for too long.
    pub fn is_silent(silent_since: Option<Instant>) -> bool {
        silent_since.is_some_and(|since| since.elapsed() >= SILENCE_MAX)
    }

    /// Since when datagrams have not got through, as far as is known.
    pub fn failed(&self) -> Option<WallTime> {
        self.fallback.map(|fallback| fallback.since)
    }

    /// Whether this process found out that datagrams do not get through.
    pub fn is_news(&self) -> bool {
        self.fallback.is_some_and(|fallback| fallback.is_news)
    }
}

impl Fallback {
    fn new(since: WallTime, is_news: bool) -> Self {
        let pause = LOOK_AFTER_MIN;
        Self { since, is_news, pause, look_at: Instant::now() + pause }
    }
}
