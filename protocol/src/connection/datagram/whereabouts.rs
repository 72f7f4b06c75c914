//! Where a session's device is, and how a move is noticed, proved and hidden (wire §10.7).
//!
//! The newest packet of a device comes from elsewhere: it may have moved, or somebody sends on what
//! they have copied. Both places are asked; whoever is at the new one has to show that it hears us
//! (RFC 9000 §9.3), and a device that never left answers from the old one, which ends the matter. After
//! a move the session gets another connection id: who watched both networks shall not know it again
//! (§9.5).

use std::time::Duration;

use crate::{entropy::Entropy, time::Timestamp, transport::packet::ConnectionId};

/// Time between two challenges of an address.
const CHALLENGE_INTERVAL: Duration = Duration::from_millis(250);
/// Challenges of one address before it is given up.
const CHALLENGES_MAX: u8 = 5;
/// Names of one session besides its first. Who moves faster than it hears of them keeps those.
const NAMES_MAX: usize = 4;

/// A device's address and the names of its session.
pub(super) struct Whereabouts<A> {
    address: A,
    /// An address that it may have moved to.
    candidate: Option<Candidate<A>>,
    /// Names that the device was told after moves: those that it may use, the newest last.
    names: Vec<ConnectionId>,
}

struct Candidate<A> {
    address: A,
    challenge: [u8; 8],
    asked_at: Timestamp,
    asked: u8,
    is_old_place_asked: bool,
    /// Bytes that came from there and are not used up by challenges: more are not sent there.
    budget: usize,
}

/// A question that has to leave.
pub(super) struct Challenge<A> {
    pub(super) to: A,
    pub(super) bytes: [u8; 8],
}

impl<A: Copy + Eq> Whereabouts<A> {
    pub(super) const fn new(address: A) -> Self {
        Self { address, candidate: None, names: Vec::new() }
    }

    /// Where packets go.
    pub(super) const fn address(&self) -> A {
        self.address
    }

    /// The newest packet of the device came, of so many bytes.
    pub(super) fn on_newest(
        &mut self,
        now: Timestamp,
        from: A,
        bytes: usize,
        entropy: &mut Entropy,
    ) {
        if from == self.address {
            self.candidate = None;
        } else if let Some(candidate) = self.candidate.as_mut().filter(|it| it.address == from) {
            candidate.budget += bytes;
        } else {
            self.candidate = Some(Candidate {
                address: from,
                challenge: entropy.bytes(),
                asked_at: now,
                asked: 0,
                is_old_place_asked: false,
                budget: bytes,
            });
        }
    }

    /// When the next question is due.
    pub(super) fn due(&self, challenge_bytes: usize) -> Option<Timestamp> {
        self.candidate.as_ref()?.due(challenge_bytes)
    }

    /// The next question, if it is time for one; each takes so many bytes.
    pub(super) fn challenge(
        &mut self,
        now: Timestamp,
        challenge_bytes: usize,
        entropy: &mut Entropy,
    ) -> Option<Challenge<A>> {
        let is_due = |it: &&mut Candidate<A>| it.due(challenge_bytes).is_some_and(|due| due <= now);
        let candidate = self.candidate.as_mut().filter(is_due)?;
        if !candidate.is_old_place_asked {
            candidate.is_old_place_asked = true;
            // Nobody waits for this answer: that it is the newest packet, and from where, says all.
            return Some(Challenge { to: self.address, bytes: entropy.bytes() });
        }
        if candidate.asked == CHALLENGES_MAX {
            self.candidate = None;
            return None;
        }
        candidate.asked += 1;
        candidate.asked_at = now;
        candidate.budget -= challenge_bytes;
        Some(Challenge { to: candidate.address, bytes: candidate.challenge })
    }

    /// Somebody sent a challenge back. True if the device is at the new place now.
    pub(super) fn on_proof(&mut self, proof: [u8; 8]) -> bool {
        let Some(candidate) = self.candidate.take_if(|it| it.challenge == proof) else {
            return false;
        };
        self.address = candidate.address;
        true
    }

    /// Whether the device can be told another name.
    pub(super) const fn may_rename(&self) -> bool {
        self.names.len() < NAMES_MAX
    }

    /// The device is told this name.
    pub(super) fn rename(&mut self, name: ConnectionId) {
        self.names.push(name);
    }

    /// The device has used this name: those before it are not used any more.
    pub(super) fn on_name_used(
        &mut self,
        name: ConnectionId,
    ) -> impl Iterator<Item = ConnectionId> {
        let old = if self.names.last() == Some(&name) { self.names.len() - 1 } else { 0 };
        self.names.drain(..old)
    }

    /// All names besides the first.
    pub(super) fn names(&self) -> &[ConnectionId] {
        &self.names
    }
}

impl<A> Candidate<A> {
    /// When it is asked next; not before enough came from there.
    fn due(&self, challenge_bytes: usize) -> Option<Timestamp> {
        let due = if self.asked == 0 { self.asked_at } else { self.asked_at + CHALLENGE_INTERVAL };
        (self.budget >= challenge_bytes).then_some(due)
    }
}
