//! What travels between people and the relay: connections are made, bytes and datagrams arrive, and
//! what either side has to say leaves.

use chat_client::{
    engine::{Disconnect, Event, Notice},
    store::Store,
};
use protocol::ids::Counter;

use super::{Happening, World};
use crate::{
    client::Dial,
    marks::Mark,
    model::Violation,
    network::{Arrival, LinkId, Side},
    paths::Delivery,
    schedule::{Action, Carriers, Fault},
};

impl World {
    // ---- connections ----

    pub(super) fn on_dialled(&mut self, person: usize, life: u64) -> Result<(), Violation> {
        let now = self.now;
        if self.people[person].life != life {
            return Ok(());
        }
        let Some(running) = &mut self.people[person].running else { return Ok(()) };
        let over_datagrams = match self.carriers {
            Carriers::Streams => false,
            Carriers::Datagrams => true,
            Carriers::Mixed => self.rng.chance(1, 2),
        };
        if over_datagrams {
            let link = self.network.next_id();
            self.paths.open(now, person, link);
            self.dial(person, link, Dial::Datagrams(self.packets_per_key));
            for after in super::CROWDS_AFTER {
                if self.is_crowded && now + after < self.calm_from {
                    self.at(now + after, Happening::Fault(Fault::Crowd));
                }
            }
        } else if self.relay.is_running() {
            let link = self.network.open();
            self.relay.accept(now, link, &mut self.entropy);
            self.dial(person, link, Dial::Stream);
        } else {
            let refused = Disconnect::Unreachable("refused".into());
            running.engine.handle_disconnected(now, refused);
        }
        self.pump_person(person)
    }

    fn dial(&mut self, person: usize, link: LinkId, how: Dial) {
        let key = self.relay.key();
        self.dialled.insert(link, person);
        self.people[person].dial(self.now, link, how, key, &mut self.entropy);
        self.at(self.now + super::HANDSHAKE_WITHIN, Happening::DialExpires { person, link });
    }

    pub(super) fn on_dial_expired(&mut self, n: usize, link: LinkId) -> Result<(), Violation> {
        let Some(running) = &mut self.people[n].running else { return Ok(()) };
        if running.is_dialling(link) {
            running.link = None;
            let late = Disconnect::Unreachable("no handshake in time".into());
            running.engine.handle_disconnected(self.now, late);
            self.close(link, Side::Client);
        }
        self.pump_person(n)
    }

    /// A client's link is not used any more: it says so, if it can.
    fn hang_up(&mut self, n: usize) {
        let Some(running) = &mut self.people[n].running else { return };
        let Some(mut link) = running.link.take() else { return };
        let mut goodbye = Vec::new();
        link.carrier.close(self.now, &mut goodbye);
        self.write_all(link.id, &goodbye);
        self.close(link.id, Side::Client);
    }

    pub(super) fn close(&mut self, link: LinkId, by: Side) {
        if !self.network.has(link) {
            self.paths.close(link);
            return;
        }
        let to = if by == Side::Client { Side::Relay } else { Side::Client };
        let word = self.network.close(self.now, link, by, &self.weather, &mut self.rng);
        if let Some((at, what)) = word {
            self.at(at, Happening::Arrival(link, to, what));
        }
    }

    // ---- arrivals ----

    pub(super) fn on_arrival(
        &mut self,
        link: LinkId,
        side: Side,
        what: Arrival,
    ) -> Result<(), Violation> {
        if !self.network.delivers(self.now, link, side, &what) {
            return Ok(());
        }
        match (side, what) {
            (Side::Relay, Arrival::Bytes(bytes)) => {
                let (now, wall) = (self.now, self.wall());
                self.relay.receive(now, wall, link, &bytes, self.bug)?;
                self.pump_relay()
            }
            (Side::Relay, Arrival::Closed) => {
                let (now, wall) = (self.now, self.wall());
                self.relay.closed(now, wall, link);
                self.pump_relay()
            }
            (Side::Client, Arrival::Bytes(mut bytes)) => {
                let lost = self.reach_client(link, &mut bytes)?;
                lost.map_or(Ok(()), |why| {
                    Err(Violation(format!("P3: an honest relay is not: {why}")))
                })
            }
            (Side::Client, Arrival::Closed) => {
                let Some(n) = self.person_with(link) else { return Ok(()) };
                self.lose(n, "closed by the relay".into());
                self.pump_person(n)
            }
        }
    }

    /// A datagram arrives; whoever sent it.
    pub(super) fn deliver(&mut self, delivery: Delivery) -> Result<(), Violation> {
        match delivery {
            Delivery::ToRelay(from, mut datagram) => {
                let (now, wall) = (self.now, self.wall());
                let ended =
                    self.relay.receive_datagram(now, wall, from, &mut datagram, self.bug)?;
                let link = ended.and_then(|place| self.paths.link_at(place));
                if let Some(link) = link.filter(|link| self.person_with(*link).is_some()) {
                    let what = format!("P3: the relay ended {link:?}, which its client still uses");
                    return Err(Violation(what));
                }
                self.expect_handshakes();
                self.pump_relay()
            }
            Delivery::ToClient(link, mut datagram) => {
                let Some(why) = self.reach_client(link, &mut datagram)? else { return Ok(()) };
                let place = self.paths.place(link);
                if place.is_some_and(|place| self.relay.is_at(place)) {
                    let what = format!("P3: a client gave up what the relay still has: {why}");
                    return Err(Violation(what));
                }
                self.close(link, Side::Client);
                Ok(())
            }
        }
    }

    fn expect_handshakes(&mut self) {
        if self.relay.is_knocked_at() && !self.answers_handshakes {
            self.answers_handshakes = true;
            let life = self.relay.life();
            let at = self.later(1, self.handshakes_ms);
            self.at(at, Happening::HandshakesAnswered { life });
        }
    }

    pub(super) fn on_handshakes_answered(&mut self, life: u64) -> Result<(), Violation> {
        self.answers_handshakes = false;
        if self.relay.answer_handshakes(self.now, life) {
            self.expect_handshakes();
        }
        self.pump_relay()
    }

    /// Bytes or a datagram for a client; why it gives the connection up, if it does.
    fn reach_client(
        &mut self,
        link: LinkId,
        bytes: &mut [u8],
    ) -> Result<Option<String>, Violation> {
        let Some(n) = self.person_with(link) else { return Ok(None) };
        let (now, bug) = (self.now, self.bug);
        let Some(running) = &mut self.people[n].running else { return Ok(None) };
        let lost = running.receive(now, bytes, bug)?;
        if let Some(why) = lost.clone() {
            self.lose(n, why);
        }
        self.pump_person(n)?;
        Ok(lost)
    }

    /// The person whose connection this is.
    fn person_with(&self, link: LinkId) -> Option<usize> {
        let person = self.dialled.get(&link).copied()?;
        let current = self.people[person].running.as_ref()?.link.as_ref()?;
        (current.id == link).then_some(person)
    }

    fn lose(&mut self, n: usize, why: String) {
        let Some(running) = &mut self.people[n].running else { return };
        let Some(mut link) = running.link.take() else { return };
        running.engine.handle_disconnected(self.now, Disconnect::Lost(why));
        let mut goodbye = Vec::new();
        link.carrier.close(self.now, &mut goodbye);
        self.write_all(link.id, &goodbye);
        // Of a socket for datagrams it may yet matter where it was.
        if self.network.has(link.id) {
            self.close(link.id, Side::Client);
        }
    }

    // ---- what leaves ----

    fn write_all(&mut self, link: LinkId, writes: &[Vec<u8>]) {
        for bytes in writes {
            if self.network.has(link) {
                self.write(link, Side::Client, bytes);
            } else {
                if let Some(place) = self.paths.place(link) {
                    self.strangers.overhear_up(place, bytes);
                }
                self.paths.send_up(self.now, link, bytes);
            }
        }
    }

    fn write(&mut self, link: LinkId, from: Side, bytes: &[u8]) {
        let to = if from == Side::Client { Side::Relay } else { Side::Client };
        let pieces = self.network.write(self.now, link, from, bytes, &self.weather, &mut self.rng);
        for (at, piece) in pieces {
            self.at(at, Happening::Arrival(link, to, piece));
        }
    }

    pub(super) fn pump_person(&mut self, n: usize) -> Result<(), Violation> {
        let life = self.people[n].life;
        self.people[n].due = None;
        let Some(running) = &mut self.people[n].running else { return Ok(()) };
        let asked_before = running.to_store.len();
        for (conversation, seq, chain) in running.chains.drain(..) {
            self.model.on_chain_told(conversation, seq, &chain)?;
        }
        let pumped = running.pump(self.now, &mut self.model, self.bug)?;
        self.marks.add(&std::mem::take(&mut running.marks));
        if let Some(highest) = running.highest.take() {
            let next = self.people[n].disk.load().expect("a memory disk loads").next_counter;
            // The disk still says what it said before the welcome.
            if highest >= next && highest > Counter(0) {
                self.marks.hit(Mark::CounterMovedPast);
            }
        }
        let Some(running) = &mut self.people[n].running else { return Ok(()) };
        let overheard = running.overheard.replace(Vec::new()).unwrap_or_default();
        if self.trace.is_none() {
            running.overheard = None;
        }
        let asked = running.to_store.len() - asked_before;
        let link = running.link.as_ref().map(|link| link.id);
        for words in overheard {
            self.note(|| format!("person {n} {words}"));
        }
        for event in &pumped.events {
            self.people[n].note(event);
            self.mark_event(n, event);
        }
        if let Some(link) = link {
            self.write_all(link, &pumped.writes);
        }
        if pumped.disconnect {
            self.hang_up(n);
        }
        for _ in 0..asked {
            let at = self.later(1, 30);
            self.at(at, Happening::ClientStored { person: n, life });
        }
        if pumped.connect {
            let at = self.later(1, 20);
            self.at(at, Happening::Dialled { person: n, life });
        }
        let running = self.people[n].running.as_ref();
        self.people[n].due = running.and_then(|running| running.poll_timeout(self.bug));
        Ok(())
    }

    pub(super) fn pump_relay(&mut self) -> Result<(), Violation> {
        let (now, wall) = (self.now, self.wall());
        let pumped = self.relay.pump(now, wall, self.bug, &mut self.model, &mut self.marks)?;
        for (link, bytes) in pumped.writes {
            self.write(link, Side::Relay, &bytes);
        }
        for (to, datagram) in pumped.datagrams {
            if let Some(link) = self.paths.link_at(to) {
                self.strangers.overhear_down(link, &datagram);
            }
            self.paths.send_down(now, to, &datagram);
        }
        for link in pumped.closes {
            // What the relay calls a connection over datagrams is its own business.
            if self.network.has(link) {
                self.close(link, Side::Relay);
            }
        }
        let life = self.relay.life();
        if pumped.commits {
            let at = self.later(1, 60);
            self.at(at, Happening::Committed { life });
        }
        for _ in 0..pumped.reads {
            let at = self.later(1, 20);
            self.at(at, Happening::Read { life });
        }
        if pumped.looks {
            let at = self.later(1, 20);
            self.at(at, Happening::Looked { life });
        }
        if pumped.reloads {
            let at = self.later(1, 60);
            self.at(at, Happening::Reloaded { life });
        }
        self.relay_due = self.relay.poll_timeout();
        Ok(())
    }

    fn mark_event(&mut self, n: usize, event: &Event) {
        if let Event::Notice(notice) = event {
            match notice {
                Notice::Forked { offered_again, .. } => {
                    self.marks.hit(Mark::ForkShown);
                    if *offered_again > 0 {
                        self.marks.hit(Mark::OfferedAgain);
                    }
                }
                Notice::Superseded => {
                    // A copy of this home took over, which no schedule makes: a person would
                    // restart the program.
                    self.at(self.now, Happening::Act { person: n, action: Action::Reconnect });
                }
                Notice::RelayRestored { .. }
                | Notice::NameChanged { .. }
                | Notice::Renumbered { .. }
                | Notice::StoreFailing(_)
                | Notice::NeedsNewer { .. }
                | Notice::StoreRecovered => {}
            }
        }
    }
}
