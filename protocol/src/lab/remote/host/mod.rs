//! The host of receivers for experiments elsewhere.
//!
//! [`Host::handle_datagram`] and [`Host::handle_timeout`], each time followed by
//! [`Host::poll_transmit`] until it gives nothing; then wait for [`Host::poll_timeout`].

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    net::SocketAddr,
    time::Duration,
};

use super::{Given, LASTS_MAX, Plan, RunName, wire::Said};
use crate::{
    connection::datagram::{Cookies, InitDigest},
    entropy::Entropy,
    lab::{experiment::message_of, strategy::Receiver},
    time::Timestamp,
};

/// Runs at once. Each receiver keeps what came early: some megabytes at most.
pub const RUNS_MAX: usize = 16;
/// And of one IP address: nobody has all of them alone.
pub const RUNS_PER_ADDRESS_MAX: usize = 4;
/// Runs that are over, of which a late datagram begins none again.
const OVER_MAX: usize = 256;
/// A run is forgotten when its guest has said nothing for so long.
pub const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Bytes of a packet at most; no strategy sends larger ones towards its receiver.
pub const PACKET_BYTES_MAX: usize = 1_500;
/// Conversations in the report of an answer: those that changed last.
const REPORTED_MAX: usize = 16;

/// The receivers, by guest.
pub struct Host {
    cookies: Cookies,
    runs: BTreeMap<(SocketAddr, RunName), Hosted>,
    /// The last ones that their guests left: their cookies may still count.
    over: VecDeque<(SocketAddr, RunName)>,
    outgoing: VecDeque<(SocketAddr, Vec<u8>)>,
    counts: Counts,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Runs that began.
    pub begun: u64,
    /// Guests that knocked when there was no room.
    pub refused: u64,
    /// Packets that were taken.
    pub packets: u64,
}

/// A run, as its host sees it.
struct Hosted {
    plan: Plan,
    receiver: Box<dyn Receiver + Send>,
    began: Timestamp,
    heard_at: Timestamp,
    /// By conversation, messages that were given out.
    given: Vec<u32>,
    /// Conversations that changed, the last one first.
    recent: VecDeque<u8>,
    /// The receiver gave out what was not due: nothing more is taken.
    is_broken: bool,
}

impl Host {
    /// A host without guests.
    pub fn new(entropy: &mut Entropy) -> Self {
        Self {
            cookies: Cookies::new(entropy),
            runs: BTreeMap::new(),
            over: VecDeque::new(),
            outgoing: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// How many runs it has now.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// What has happened so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes a datagram. What makes no sense is ignored: anybody can send one.
    pub fn handle_datagram(&mut self, now: Timestamp, from: SocketAddr, datagram: &[u8]) {
        let Some((run, said)) = Said::decode(datagram) else { return };
        match said {
            Said::Ask(plan) => {
                let cookie = self.cookies.make(now, from, &digest(run, plan));
                self.say(from, run, &Said::Cookie(&cookie));
            }
            Said::Begin(plan, cookie) => {
                let is_late = self.over.contains(&(from, run));
                if !is_late && self.cookies.is_ours(now, from, &digest(run, plan), cookie) {
                    let is_begun = self.begin(now, from, run, plan);
                    self.say(from, run, &if is_begun { Said::Begun } else { Said::Refused });
                }
            }
            Said::Packet(packet) => {
                if let Some(hosted) = self.runs.get_mut(&(from, run))
                    && packet.len() <= PACKET_BYTES_MAX
                {
                    self.counts.packets += u64::from(!hosted.is_broken);
                    let answers = hosted.handle_packet(now, packet);
                    self.outgoing.extend(answers.iter().map(|it| (from, it.encode(run))));
                }
            }
            Said::Look(number, conversations) => {
                if let Some(hosted) = self.runs.get_mut(&(from, run)) {
                    hosted.heard_at = now;
                    let report = hosted.report(conversations.into());
                    self.say(from, run, &Said::Seen(number, report));
                }
            }
            Said::Leave => {
                self.end(from, run);
            }
            // What hosts say.
            Said::Cookie(_) | Said::Begun | Said::Refused | Said::Answer(..) | Said::Seen(..) => {}
        }
    }

    /// Time has come to what [`Self::poll_timeout`] said.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.forget(now);
        for ((from, run), hosted) in &mut self.runs {
            if hosted.poll_timeout().is_some_and(|due| due <= now) {
                hosted.receiver.handle_timeout(now);
                let answers = hosted.answers(now);
                self.outgoing.extend(answers.iter().map(|it| (*from, it.encode(*run))));
            }
        }
    }

    /// A datagram to send.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.outgoing.pop_front()
    }

    /// When time alone changes something.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let due = |hosted: &Hosted| {
            hosted
                .poll_timeout()
                .map_or(hosted.forgotten_at(), |due| due.min(hosted.forgotten_at()))
        };
        self.runs.values().map(due).min()
    }

    /// Whether the run goes on here.
    fn begin(&mut self, now: Timestamp, from: SocketAddr, run: RunName, plan: Plan) -> bool {
        // The answer to the first one may be lost, and the guest begins again.
        if self.runs.contains_key(&(from, run)) {
            return true;
        }
        self.forget(now);
        // Whoever begins another run has no use for the last one, and its leaving may be lost.
        let of_guest = self.runs.keys().filter(|(guest, _)| *guest == from);
        for (_, last) in of_guest.copied().collect::<Vec<_>>() {
            self.end(from, last);
        }
        let of_address = self.runs.keys().filter(|(guest, _)| guest.ip() == from.ip()).count();
        if self.runs.len() >= RUNS_MAX || of_address >= RUNS_PER_ADDRESS_MAX {
            self.counts.refused += 1;
            return false;
        }
        self.counts.begun += 1;
        self.runs.insert((from, run), Hosted::new(now, plan));
        true
    }

    /// Its guest has left it.
    fn end(&mut self, from: SocketAddr, run: RunName) {
        if self.runs.remove(&(from, run)).is_some() {
            self.over.push_back((from, run));
            if self.over.len() > OVER_MAX {
                self.over.pop_front();
            }
        }
    }

    fn forget(&mut self, now: Timestamp) {
        self.runs.retain(|_, hosted| now < hosted.forgotten_at());
    }

    fn say(&mut self, to: SocketAddr, run: RunName, said: &Said<'_>) {
        self.outgoing.push_back((to, said.encode(run)));
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("runs", &self.runs.len()).finish_non_exhaustive()
    }
}

impl Hosted {
    fn new(now: Timestamp, plan: Plan) -> Self {
        let (_, receiver) = plan.strategy.halves(now, plan.round_trip);
        Self {
            plan,
            receiver,
            began: now,
            heard_at: now,
            given: vec![0; plan.conversations.into()],
            recent: VecDeque::new(),
            is_broken: false,
        }
    }

    fn forgotten_at(&self) -> Timestamp {
        // Whoever has had all of its time may look a last time.
        (self.began + LASTS_MAX + SILENCE_MAX).min(self.heard_at + SILENCE_MAX)
    }

    /// When the receiver wants to be woken.
    fn poll_timeout(&self) -> Option<Timestamp> {
        self.receiver.poll_timeout().filter(|_| !self.is_broken)
    }

    fn handle_packet(&mut self, now: Timestamp, packet: &[u8]) -> Vec<Said<'static>> {
        self.heard_at = now;
        if self.is_broken {
            return Vec::new();
        }
        self.receiver.handle_packet(now, packet);
        self.answers(now)
    }

    /// What the receiver sends now, and an empty answer if it sends nothing and there is news.
    fn answers(&mut self, now: Timestamp) -> Vec<Said<'static>> {
        let mut is_news = false;
        while let Some(message) = self.receiver.poll_message() {
            if !self.give_out(&message) {
                self.is_broken = true;
                return Vec::new();
            }
            is_news = true;
        }
        let mut answers = Vec::new();
        while let Some(packet) = self.receiver.poll_packet(now) {
            answers.push(Said::Answer(self.report(REPORTED_MAX), Some(packet)));
        }
        if answers.is_empty() && is_news {
            answers.push(Said::Answer(self.report(REPORTED_MAX), None));
        }
        answers
    }

    /// Counts a message, and whether it is the next one of its conversation: no other is counted.
    fn give_out(&mut self, message: &[u8]) -> bool {
        let Plan { conversations, message_bytes, .. } = self.plan;
        let named = message.first_chunk().map_or(u64::MAX, |name| u64::from_be_bytes(*name));
        let conversation = u8::try_from(named % u64::from(conversations)).unwrap_or(0);
        let given = &mut self.given[usize::from(conversation)];
        let due = given.saturating_mul(conversations.into()).saturating_add(conversation.into());
        if message != message_of(due, message_bytes.into()) {
            return false;
        }
        *given += 1;
        self.recent.retain(|it| *it != conversation);
        self.recent.push_front(conversation);
        true
    }

    fn report(&self, most: usize) -> Vec<Given> {
        let given = |conversation: &u8| Given {
            conversation: *conversation,
            messages: self.given[usize::from(*conversation)],
        };
        self.recent.iter().take(most).map(given).collect()
    }
}

/// What a cookie is for: nobody can bring it back for another run.
fn digest(run: RunName, plan: Plan) -> InitDigest {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&run);
    bytes[8..16].copy_from_slice(&plan.encode());
    InitDigest(bytes)
}

#[cfg(test)]
mod tests;
