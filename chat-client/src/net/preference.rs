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
    pub fn new(
        transport: Transport,
        failed: Option<WallTime>,
        (now, wall): (Instant, WallTime),
    ) -> Self {
        let mut preference = Self { transport, fallback: None, looked_at: now };
        // A time that has not come yet is another clock's.
        let counts = |failed: &WallTime| *failed <= wall && wall < failed.plus(REMEMBERED);
        if let Some(since) = failed.filter(counts).filter(|_| transport == Transport::Auto) {
            preference.fallback = Some(Fallback::new(since, now, false));
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
    pub fn on_connected(
        &mut self,
        carrier: Carrier,
        overtook: bool,
        (now, wall): (Instant, WallTime),
    ) {
        match carrier {
            Carrier::Udp => self.fallback = None,
            Carrier::Tcp if overtook && self.transport == Transport::Auto => {
                let is_news = self.fallback.is_none_or(|fallback| fallback.is_news);
                self.fallback = Some(Fallback::new(wall, now, is_news));
            }
            Carrier::Tcp => {}
        }
    }

    /// It was looked whether the other carrier is better, and it is not.
    pub fn on_looked_in_vain(&mut self, (now, wall): (Instant, WallTime)) {
        self.looked_at = now;
        if let Some(fallback) = &mut self.fallback {
            fallback.since = wall;
            fallback.pause = (fallback.pause * LOOK_BACK_OFF).min(LOOK_AFTER_MAX);
            fallback.look_at = now + fallback.pause;
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
    pub fn is_silent(silent_since: Option<Instant>, now: Instant) -> bool {
        silent_since.is_some_and(|since| since + SILENCE_MAX <= now)
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
    fn new(since: WallTime, now: Instant, is_news: bool) -> Self {
        let pause = LOOK_AFTER_MIN;
        Self { since, is_news, pause, look_at: now + pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: WallTime = WallTime::from_millis(1_000_000_000);
    const DATAGRAMS_FIRST: &[Carrier] = &[Carrier::Udp, Carrier::Tcp];
    const STREAMS_FIRST: &[Carrier] = &[Carrier::Tcp, Carrier::Udp];

    fn free(failed: Option<WallTime>) -> (Preference, Instant) {
        let now = Instant::now();
        (Preference::new(Transport::Auto, failed, (now, WALL)), now)
    }

    #[test]
    fn a_stream_that_overtook_datagrams_is_tried_first_until_they_get_through() {
        let (mut preference, now) = free(None);
        assert_eq!(preference.carriers(), DATAGRAMS_FIRST);
        preference.on_connected(Carrier::Tcp, true, (now, WALL));
        assert_eq!(preference.carriers(), STREAMS_FIRST);
        assert!(preference.is_news());
        // A stream that was tried first says nothing about datagrams.
        preference.on_connected(Carrier::Tcp, false, (now, WALL.plus(REMEMBERED)));
        assert_eq!(preference.failed(), Some(WALL));
        preference.on_connected(Carrier::Udp, false, (now, WALL));
        assert_eq!((preference.carriers(), preference.failed()), (DATAGRAMS_FIRST, None));
    }

    #[test]
    fn what_another_process_found_out_counts_for_a_while() {
        let just = WALL.minus(REMEMBERED).plus(Duration::from_millis(1));
        assert_eq!(free(Some(just)).0.carriers(), STREAMS_FIRST);
        assert!(!free(Some(just)).0.is_news());
        assert_eq!(free(Some(WALL.minus(REMEMBERED))).0.carriers(), DATAGRAMS_FIRST);
        let ahead = WALL.plus(Duration::from_millis(1));
        assert_eq!(free(Some(ahead)).0.carriers(), DATAGRAMS_FIRST, "a clock that was set back");
    }

    #[test]
    fn who_says_what_carries_the_session_gets_that_and_nothing_else() {
        let now = Instant::now();
        for (transport, carriers) in
            [(Transport::Tcp, &[Carrier::Tcp]), (Transport::Udp, &[Carrier::Udp])]
        {
            let mut preference = Preference::new(transport, Some(WALL), (now, WALL));
            preference.on_connected(carriers[0], true, (now, WALL));
            assert_eq!(preference.carriers(), carriers);
            assert_eq!(preference.look_at(carriers[0], Some(now)), None);
        }
    }

    #[test]
    fn looks_for_datagrams_become_rarer_up_to_the_longest_pause() {
        let (mut preference, mut now) = free(None);
        preference.on_connected(Carrier::Tcp, true, (now, WALL));
        let mut pauses = Vec::new();
        for _ in 0..5 {
            let look_at = preference.look_at(Carrier::Tcp, None).expect("it looks again");
            pauses.push((look_at - now).as_secs());
            now = look_at;
            preference.on_looked_in_vain((now, WALL));
        }
        assert_eq!(pauses, [5, 20, 80, 300, 300]);
    }

    #[test]
    fn streams_are_tried_beside_datagrams_that_are_silent_for_long() {
        let (mut preference, since) = free(None);
        preference.on_connected(Carrier::Udp, false, (since, WALL));
        assert_eq!(preference.look_at(Carrier::Udp, None), None, "nothing is owed");
        let look_at = since + SILENCE_MAX;
        assert_eq!(preference.look_at(Carrier::Udp, Some(since)), Some(look_at));
        assert!(!Preference::is_silent(Some(since), since));
        assert!(Preference::is_silent(Some(since), look_at));
        preference.on_looked_in_vain((look_at, WALL));
        let again = preference.look_at(Carrier::Udp, Some(since));
        assert_eq!(again, Some(look_at + SILENCE_MAX), "not at once");
    }
}
