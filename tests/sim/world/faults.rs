//! What goes wrong.

use protocol::ids::LogId;

use super::{Happening, World};
use crate::{
    marks::Mark,
    model::Violation,
    network::{Cut, LinkId, Side},
    paths::Delivery,
    schedule::Fault,
};

impl World {
    pub(super) fn start_relay(&mut self) -> Result<(), Violation> {
        if !self.relay.is_running() {
            let seed = self.rng.next_u64();
            self.relay.start(seed, self.bug);
            let at = self.later(200, 4_000);
            let life = self.relay.life();
            self.at(at, Happening::Indexed { life });
        }
        self.pump_relay()
    }

    pub(super) fn fault(&mut self, fault: Fault) -> Result<(), Violation> {
        match fault {
            Fault::Cut(how) => {
                let links = self.network.open_links();
                let pick = usize::try_from(self.rng.below(links.len() as u64)).expect("an index");
                if let Some(link) = links.get(pick).copied() {
                    self.cut(link, how);
                }
            }
            Fault::CrashClient(n) => {
                let n = n % self.people.len();
                self.crash_person(n);
                let at = self.later(10, 5_000);
                self.at(at, Happening::ClientStarts(n));
            }
            Fault::CrashRelay { commit_first } => {
                if commit_first {
                    self.relay.commit_without_answer(&mut self.model)?;
                }
                self.crash_relay();
                let at = self.later(10, 3_000);
                self.at(at, Happening::RelayStarts);
            }
            Fault::StoreFails(failure) => self.relay.fail_next(failure),
            Fault::CopyRelay => {
                self.relay_copy = Some((self.relay.copy(), self.model.logs().clone()));
            }
            Fault::RestoreRelay => {
                if let Some((copy, logs)) = self.relay_copy.take() {
                    self.crash_relay();
                    let log_id = LogId(self.entropy.bytes());
                    self.relay.restore(&copy, log_id);
                    self.model.on_restored(logs);
                    let at = self.later(10, 3_000);
                    self.at(at, Happening::RelayStarts);
                }
            }
            Fault::CopyClient(n) => {
                let n = n % self.people.len();
                let copy = self.people[n].disk.clone();
                self.client_copies.insert(n, copy);
            }
            Fault::RestoreClient(n) => {
                let n = n % self.people.len();
                if let Some(copy) = self.client_copies.remove(&n) {
                    self.crash_person(n);
                    self.people[n].disk = copy;
                    self.people[n].owed.clear();
                    self.model.on_client_restored(self.people[n].device());
                    let at = self.later(10, 3_000);
                    self.at(at, Happening::ClientStarts(n));
                }
            }
            Fault::Displace(n) => {
                let link = self.people[n].running.as_ref().and_then(|it| it.link.as_ref());
                if let Some(link) = link.map(|link| link.id) {
                    self.paths.displace(self.now, link);
                }
            }
            Fault::Darken(n, lasts) => {
                let until = self.now + lasts;
                self.paths.darken(self.now, n, until);
                self.at(until, Happening::Lighten { person: n });
            }
            Fault::Attack => {
                let sent = self.strangers.attack(&self.paths.open_links());
                self.marks.hit(Mark::StrangersHeard);
                self.deliver_all(sent)?;
            }
            Fault::Crowd => {
                let sent = self.strangers.crowd();
                self.deliver_all(sent)?;
            }
        }
        Ok(())
    }

    pub(super) fn cut(&mut self, link: LinkId, how: Cut) {
        let told = self.network.cut(self.now, link, how, &self.weather, &mut self.rng);
        for (side, at, what) in told {
            self.at(at, Happening::Arrival(link, side, what));
        }
    }

    /// A process that dies takes its sockets along: the kernel tells the other end of a stream.
    pub(super) fn crash_person(&mut self, n: usize) {
        self.people[n].due = None;
        if let Some(running) = self.people[n].running.take()
            && let Some(link) = running.link
        {
            self.close(link.id, Side::Client);
        }
    }

    pub(super) fn crash_relay(&mut self) {
        self.relay.crash();
        self.relay_due = None;
        self.answers_handshakes = false;
        for link in self.network.open_links() {
            self.close(link, Side::Relay);
        }
    }

    fn deliver_all(&mut self, sent: Vec<Delivery>) -> Result<(), Violation> {
        sent.into_iter().try_for_each(|delivery| self.deliver(delivery))
    }
}
