//! People: whose device is whose, what they are called, and whom a name meant at first contact.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use protocol::{
    ids::{AccountId, DeviceId},
    limits::LIST_ITEMS_MAX,
    message::room::{AccountInfo, DeviceInfo},
    time::Timestamp,
};

use crate::store::row::Pin;

/// How long records wait for their senders' names. A relay that does not answer must not hide
/// messages that are here.
pub(super) const LOOKUP_PATIENCE: Duration = Duration::from_secs(3);

/// How soon the relay is asked again about a device it did not know.
const LOOKUP_AGAIN: Duration = Duration::from_secs(60);

/// What is known about people.
#[derive(Debug, Default)]
pub(super) struct Roster {
    devices: BTreeMap<DeviceId, DeviceInfo>,
    people: BTreeMap<AccountId, AccountInfo>,
    pins: BTreeMap<String, AccountId>,
    /// To be asked for, not asked yet.
    wanted: BTreeSet<DeviceId>,
    /// Asked for and not answered, until when records wait for it.
    asked: BTreeMap<DeviceId, Timestamp>,
    /// Answered with nothing; not asked for again before then.
    unanswered: BTreeMap<DeviceId, Timestamp>,
}

impl Roster {
    pub(super) fn load(people: Vec<AccountInfo>, devices: Vec<DeviceInfo>, pins: Vec<Pin>) -> Self {
        let mut roster = Self::default();
        for device in devices {
            roster.people.entry(device.account.account).or_insert_with(|| device.account.clone());
            roster.devices.insert(device.device, device);
        }
        roster.people.extend(people.into_iter().map(|person| (person.account, person)));
        roster.pins.extend(pins.into_iter().map(|pin| (pin.name, pin.account)));
        roster
    }

    pub(super) fn person(&self, account: AccountId) -> Option<&AccountInfo> {
        self.people.get(&account)
    }

    /// Whoever is called this, in any case.
    pub(super) fn accounts_named(&self, name: &str) -> impl Iterator<Item = AccountId> {
        let name = name.to_lowercase();
        let people = self.people.values().filter(move |info| info.name.to_lowercase() == name);
        people.map(|info| info.account)
    }

    /// Who made what this device made, under their present name.
    pub(super) fn sender(&self, device: DeviceId) -> Option<&AccountInfo> {
        let account = self.devices.get(&device)?.account.account;
        self.people.get(&account)
    }

    pub(super) fn pin(&self, name: &str) -> Option<AccountId> {
        self.pins.get(name).copied()
    }

    pub(super) fn set_pin(&mut self, pin: Pin) {
        self.pins.insert(pin.name, pin.account);
    }

    /// Learns a label; true if it is new.
    pub(super) fn learn_person(&mut self, person: &AccountInfo) -> bool {
        if self.people.get(&person.account) == Some(person) {
            return false;
        }
        self.people.insert(person.account, person.clone());
        true
    }

    /// Learns whose a device is.
    pub(super) fn learn_device(&mut self, device: DeviceInfo) {
        self.asked.remove(&device.device);
        self.unanswered.remove(&device.device);
        self.people.insert(device.account.account, device.account.clone());
        self.devices.insert(device.device, device);
    }

    /// Notes that a device has to be looked up, unless that is known to be in vain.
    pub(super) fn want(&mut self, now: Timestamp, device: DeviceId) {
        let known = device == DeviceId::RELAY || self.devices.contains_key(&device);
        let in_vain = self.unanswered.get(&device).is_some_and(|again| *again > now);
        if !known && !in_vain && !self.asked.contains_key(&device) {
            self.wanted.insert(device);
        }
    }

    /// The next devices to ask the relay about.
    pub(super) fn take_wanted(&mut self, now: Timestamp) -> Vec<DeviceId> {
        let mut batch = Vec::new();
        while batch.len() < LIST_ITEMS_MAX {
            let Some(device) = self.wanted.pop_first() else { break };
            self.asked.insert(device, now + LOOKUP_PATIENCE);
            batch.push(device);
        }
        batch
    }

    /// The relay does not know these, or did not answer.
    pub(super) fn give_up(&mut self, now: Timestamp, devices: &[DeviceId]) {
        for device in devices {
            if self.asked.remove(device).is_some() {
                self.unanswered.insert(*device, now + LOOKUP_AGAIN);
            }
        }
    }

    /// Nobody is there to answer: nothing waits any longer.
    pub(super) fn disconnect(&mut self) {
        self.wanted.clear();
        self.asked.clear();
    }

    /// Gives up on what was asked too long ago; true if there was any.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) -> bool {
        let late: Vec<_> =
            self.asked.iter().filter(|(_, until)| **until <= now).map(|(d, _)| *d).collect();
        self.give_up(now, &late);
        !late.is_empty()
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.asked.values().min().copied()
    }

    /// True while an answer about one of these is still expected.
    pub(super) fn is_pending(&self, devices: &BTreeSet<DeviceId>) -> bool {
        devices.iter().any(|d| self.asked.contains_key(d) || self.wanted.contains(d))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: DeviceId = DeviceId([9; 16]);

    #[test]
    fn a_lookup_that_fails_does_not_block_and_is_not_repeated_at_once() {
        let mut roster = Roster::default();
        roster.want(Timestamp::ZERO, STRANGER);
        assert!(roster.is_pending(&BTreeSet::from([STRANGER])));
        assert_eq!(roster.take_wanted(Timestamp::ZERO), [STRANGER]);
        let late = roster.poll_timeout().expect("patience ends");
        assert!(roster.handle_timeout(late));
        assert!(!roster.is_pending(&BTreeSet::from([STRANGER])));
        roster.want(late, STRANGER);
        assert!(roster.take_wanted(late).is_empty(), "asked a moment ago");
        let later = late + LOOKUP_AGAIN;
        roster.want(later, STRANGER);
        assert_eq!(roster.take_wanted(later), [STRANGER]);
    }

    #[test]
    fn the_relay_itself_is_never_looked_up() {
        let mut roster = Roster::default();
        roster.want(Timestamp::ZERO, DeviceId::RELAY);
        assert!(roster.take_wanted(Timestamp::ZERO).is_empty());
    }

    #[test]
    fn one_question_names_no_more_devices_than_the_wire_allows() {
        let mut roster = Roster::default();
        for number in 0..=u16::try_from(LIST_ITEMS_MAX).expect("small") {
            let mut id = [1; 16];
            id[..2].copy_from_slice(&number.to_be_bytes());
            roster.want(Timestamp::ZERO, DeviceId(id));
        }
        assert_eq!(roster.take_wanted(Timestamp::ZERO).len(), LIST_ITEMS_MAX);
        assert_eq!(roster.take_wanted(Timestamp::ZERO).len(), 1);
    }
}
