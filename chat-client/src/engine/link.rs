//! The connection as the engine sees it: when to dial, when to give up, when to stay away.

use std::{collections::VecDeque, time::Duration};

use protocol::{entropy::SimRng, message::refusal::Refusal, time::Timestamp};

use super::event::{Dial, Disconnect, LinkStatus, StopReason};

/// Shortest pause before another try: a relay that restarts is back within it.
const BACK_OFF_MIN: Duration = Duration::from_millis(250);
/// Longest pause: nobody should wait longer than this for a network that came back.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// A session that lived this long, or took a message of ours, was a good one: the next pause is
/// short again.
const GOOD_SESSION: Duration = Duration::from_secs(5);
/// How long a relay may take to welcome us.
const ATTACH_PATIENCE: Duration = Duration::from_secs(15);
/// Silence after which the relay is asked whether it is there.
const PING_AFTER: Duration = Duration::from_secs(15);
/// Silence after which the connection is dead: three unanswered pings.
const DEAD_AFTER: Duration = Duration::from_secs(45);

/// The connection's state and its timers.
#[derive(Debug)]
pub(super) struct Link {
    state: State,
    /// Tries since the last good session.
    failures: u32,
    wishes: VecDeque<Dial>,
    rng: SimRng,
}

#[derive(Clone, Debug)]
enum State {
    Waiting { until: Timestamp, earliest: Timestamp, why: Option<Disconnect> },
    Dialing,
    Attaching { since: Timestamp },
    Live { since: Timestamp, heard: Timestamp, asked: Timestamp },
    Stopped(StopReason),
}

/// What a timer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    /// The relay has been silent for too long; the state has changed already.
    Dead,
}

impl Link {
    pub(super) fn new(rng: SimRng) -> Self {
        let (until, earliest) = (Timestamp::ZERO, Timestamp::ZERO);
        let state = State::Waiting { until, earliest, why: None };
        let mut link = Self { state, failures: 0, wishes: VecDeque::new(), rng };
        link.dial();
        link
    }

    fn dial(&mut self) {
        self.state = State::Dialing;
        self.wishes.push_back(Dial::Connect);
    }

    /// The channel stands.
    pub(super) fn connected(&mut self, now: Timestamp) {
        self.state = State::Attaching { since: now };
    }

    /// The relay welcomed us.
    pub(super) fn welcomed(&mut self, now: Timestamp) {
        self.state = State::Live { since: now, heard: now, asked: now };
    }

    /// Something came from the relay.
    pub(super) fn heard(&mut self, now: Timestamp) {
        if let State::Live { heard, .. } = &mut self.state {
            *heard = now;
        }
    }

    /// The relay took something of ours: however short this session is, trying again soon is worth
    /// it.
    pub(super) const fn progressed(&mut self) {
        self.failures = 0;
    }

    /// The connection ended by itself, or never began. False if it had ended already.
    pub(super) fn disconnected(&mut self, now: Timestamp, why: Disconnect) -> bool {
        match &self.state {
            State::Waiting { .. } | State::Stopped(_) => return false,
            State::Live { since, .. } if now.since(*since) >= GOOD_SESSION => self.failures = 0,
            State::Dialing | State::Attaching { .. } | State::Live { .. } => {}
        }
        if let Disconnect::Hopeless(why) = why {
            self.state = State::Stopped(StopReason::Hopeless(why));
            return true;
        }
        let most = BACK_OFF_MIN.saturating_mul(2 << self.failures.min(16)).min(BACK_OFF_MAX);
        self.failures = self.failures.saturating_add(1);
        let pause = self.between(BACK_OFF_MIN, most);
        self.wait(now, pause, why);
        true
    }

    /// We end the connection and try again after a pause.
    pub(super) fn pause(&mut self, now: Timestamp, refusal: Refusal, at_least: Duration) {
        self.wishes.push_back(Dial::Disconnect);
        // Thousands are told the same: they must not come back at the same moment.
        let spread = self.between(Duration::ZERO, BACK_OFF_MIN + at_least / 4);
        self.wait(now, at_least + spread, Disconnect::Goodbye(refusal));
    }

    /// We end the connection, if there is one, and stay away.
    pub(super) fn stop(&mut self, reason: StopReason) {
        if !matches!(self.state, State::Waiting { .. } | State::Stopped(_)) {
            self.wishes.push_back(Dial::Disconnect);
        }
        self.state = State::Stopped(reason);
    }

    /// A person wants something from the relay now.
    pub(super) fn hurry(&mut self, now: Timestamp) {
        if let State::Waiting { until, earliest, .. } = &mut self.state {
            // Not sooner than the shortest pause: a bot's every message would dial otherwise.
            *until = (*until).min((*earliest).max(now));
            self.handle_timeout(now);
        }
    }

    /// A person wants to connect, also after having stopped.
    pub(super) fn start(&mut self, now: Timestamp) {
        if matches!(self.state, State::Stopped(_)) {
            self.failures = 0;
            self.dial();
        } else {
            self.hurry(now);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) -> Due {
        match &mut self.state {
            State::Waiting { until, .. } if *until <= now => {
                self.dial();
                Due::Nothing
            }
            State::Attaching { since } if *since + ATTACH_PATIENCE <= now => self.dead(now),
            State::Live { heard, .. } if *heard + DEAD_AFTER <= now => self.dead(now),
            State::Live { heard, asked, .. } if (*heard).max(*asked) + PING_AFTER <= now => {
                *asked = now;
                Due::Ping
            }
            State::Waiting { .. }
            | State::Dialing
            | State::Attaching { .. }
            | State::Live { .. }
            | State::Stopped(_) => Due::Nothing,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        match &self.state {
            State::Waiting { until, .. } => Some(*until),
            State::Attaching { since } => Some(*since + ATTACH_PATIENCE),
            State::Live { heard, asked, .. } => {
                Some(((*heard).max(*asked) + PING_AFTER).min(*heard + DEAD_AFTER))
            }
            State::Dialing | State::Stopped(_) => None,
        }
    }

    pub(super) fn poll_dial(&mut self) -> Option<Dial> {
        self.wishes.pop_front()
    }

    pub(super) const fn is_live(&self) -> bool {
        matches!(self.state, State::Live { .. })
    }

    /// True if a session begins by itself sooner or later.
    pub(super) const fn is_stopped(&self) -> bool {
        matches!(self.state, State::Stopped(_))
    }

    /// True if a session exists or is being made: an answer from the relay is near.
    pub(super) const fn is_trying(&self) -> bool {
        matches!(self.state, State::Dialing | State::Attaching { .. } | State::Live { .. })
    }

    /// We end the connection because nothing good can come of it, and try again.
    pub(super) fn hang_up(&mut self, now: Timestamp, why: Disconnect) {
        self.wishes.push_back(Dial::Disconnect);
        self.disconnected(now, why);
    }

    /// A random part of a pause, so that all who were told the same do not return together.
    pub(super) fn jitter(&mut self, pause: Duration) -> Duration {
        self.between(Duration::ZERO, pause / 4)
    }

    pub(super) const fn is_attaching(&self) -> bool {
        matches!(self.state, State::Attaching { .. })
    }

    pub(super) fn status(&self) -> LinkStatus {
        match &self.state {
            State::Waiting { until, why, .. } => {
                LinkStatus::Waiting { until: *until, why: why.clone() }
            }
            State::Dialing => LinkStatus::Connecting,
            State::Attaching { .. } => LinkStatus::Attaching,
            State::Live { .. } => LinkStatus::Live,
            State::Stopped(reason) => LinkStatus::Stopped(reason.clone()),
        }
    }

    fn dead(&mut self, now: Timestamp) -> Due {
        self.wishes.push_back(Dial::Disconnect);
        self.disconnected(now, Disconnect::Lost("the relay was silent for too long".into()));
        Due::Dead
    }

    fn wait(&mut self, now: Timestamp, pause: Duration, why: Disconnect) {
        let (until, earliest) = (now + pause, now + BACK_OFF_MIN);
        self.state = State::Waiting { until, earliest, why: Some(why) };
    }

    fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let (least, most) = (micros(least), micros(most.max(least)));
        Duration::from_micros(self.rng.between(least, most))
    }
}

#[cfg(test)]
mod tests {
    use protocol::message::refusal::RefusalCode;

    use super::*;

    fn lost() -> Disconnect {
        Disconnect::Lost("gone".into())
    }

    fn pause_after(link: &mut Link, now: Timestamp) -> Duration {
        assert!(link.disconnected(now, lost()));
        let until = link.poll_timeout().expect("it tries again");
        link.handle_timeout(until);
        until.since(now)
    }

    #[test]
    fn pauses_grow_to_the_longest_and_never_leave_their_bounds() {
        let mut link = Link::new(SimRng::new(1));
        let pauses: Vec<_> = (0..40).map(|_| pause_after(&mut link, Timestamp::ZERO)).collect();
        assert!(pauses.iter().all(|p| (BACK_OFF_MIN..=BACK_OFF_MAX).contains(p)));
        assert!(pauses[0] <= 2 * BACK_OFF_MIN);
        assert!(pauses[20..].iter().any(|p| *p > BACK_OFF_MAX / 2));
    }

    #[test]
    fn a_good_session_makes_the_next_pause_short_and_a_bad_one_does_not() {
        let mut link = Link::new(SimRng::new(1));
        for _ in 0..20 {
            pause_after(&mut link, Timestamp::ZERO);
        }
        link.welcomed(Timestamp::ZERO);
        pause_after(&mut link, Timestamp::ZERO);
        assert!(link.failures > 1, "welcomed and dropped at once is no success");
        link.welcomed(Timestamp::ZERO);
        assert!(pause_after(&mut link, Timestamp::ZERO + GOOD_SESSION) <= 2 * BACK_OFF_MIN);
    }

    #[test]
    fn sessions_that_end_soon_and_take_messages_never_lengthen_the_pause() {
        let mut link = Link::new(SimRng::new(1));
        for _ in 0..20 {
            link.welcomed(Timestamp::ZERO);
            link.progressed();
            assert!(pause_after(&mut link, Timestamp::ZERO) <= 2 * BACK_OFF_MIN);
        }
    }

    #[test]
    fn a_silent_relay_is_pinged_and_then_given_up() {
        let mut link = Link::new(SimRng::new(1));
        assert_eq!(link.poll_dial(), Some(Dial::Connect));
        link.welcomed(Timestamp::ZERO);
        let mut dues = Vec::new();
        while link.is_live() {
            let at = link.poll_timeout().expect("armed while live");
            dues.push((at.as_micros() / 1_000_000, link.handle_timeout(at)));
        }
        assert_eq!(dues, [(15, Due::Ping), (30, Due::Ping), (45, Due::Dead)]);
        assert_eq!(link.poll_dial(), Some(Dial::Disconnect));
    }

    #[test]
    fn a_person_shortens_the_pause_but_not_below_the_shortest() {
        let mut link = Link::new(SimRng::new(1));
        for _ in 0..20 {
            pause_after(&mut link, Timestamp::ZERO);
        }
        while link.poll_dial().is_some() {}
        link.disconnected(Timestamp::ZERO, lost());
        link.hurry(Timestamp::ZERO);
        assert_eq!(link.poll_dial(), None);
        assert_eq!(link.poll_timeout(), Some(Timestamp::ZERO + BACK_OFF_MIN));
        link.hurry(Timestamp::ZERO + BACK_OFF_MIN);
        assert_eq!(link.poll_dial(), Some(Dial::Connect));
    }

    #[test]
    fn a_stopped_link_dials_only_when_a_person_says_so() {
        let mut link = Link::new(SimRng::new(1));
        link.stop(StopReason::Superseded);
        assert_eq!(
            (link.poll_dial(), link.poll_dial()),
            (Some(Dial::Connect), Some(Dial::Disconnect))
        );
        link.hurry(Timestamp::ZERO + BACK_OFF_MAX);
        assert_eq!((link.poll_dial(), link.poll_timeout()), (None, None));
        link.start(Timestamp::ZERO);
        assert_eq!(link.poll_dial(), Some(Dial::Connect));
    }

    #[test]
    fn a_draining_relay_is_left_alone_as_long_as_it_asks() {
        let mut link = Link::new(SimRng::new(1));
        link.welcomed(Timestamp::ZERO);
        let wait = Duration::from_secs(4);
        link.pause(Timestamp::ZERO, Refusal::for_now(RefusalCode::DRAINING, wait, ""), wait);
        let until = link.poll_timeout().expect("it comes back");
        assert!((wait..wait + wait / 4 + BACK_OFF_MIN).contains(&until.since(Timestamp::ZERO)));
    }
}
