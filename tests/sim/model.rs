//! The reference: what must be true of everything the relay has committed and everything the
//! clients have shown. Simpler than the system, so that it does not share its mistakes.
//!
//! P1: a message shown as *sent* is in the relay's durable log, once, in that place, with the bytes
//! of its first transmission; whatever a client stores is what the log has in that place.
//! P2: a message is shown as *failed* only if the relay has finally refused it and it is not in the
//! log.
//! P3: a session ends when one of its ends wants it or forgets it, and goes where its device goes.
//! Nothing that a stranger sends changes that, and nobody honest is taken for somebody else. The world
//! sees to it, which knows both ends.

use std::collections::{BTreeMap, BTreeSet};

use chat_server::hub::op::{Appended, Op};
use protocol::{
    ids::{ConversationId, DeviceId, Digest, MessageId, Seq},
    message::record::{Envelope, RecordReader, chain_next, chain_start, envelope_hash},
};

/// A promise was broken, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) String);

macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            return Err(Violation(format!($($message)*)));
        }
    };
}

/// A record of the durable log: its message and its envelope hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: MessageId,
    pub(crate) hash: Digest,
}

/// A message in a conversation.
pub(crate) type Name = (ConversationId, MessageId);

/// The durable logs, from which a copy can be taken and put back.
pub(crate) type Logs = BTreeMap<ConversationId, Vec<Entry>>;

/// Everything that was promised so far.
#[derive(Debug, Default)]
pub(crate) struct Model {
    logs: Logs,
    /// Logs that a restore has cut: a client may still hold their records.
    before_restores: Vec<Logs>,
    /// Envelope hashes of what was transmitted: one, unless a client was restored from a copy.
    transmitted: BTreeMap<Name, BTreeSet<Digest>>,
    /// Where a message shown as sent is.
    promised: BTreeMap<Name, Seq>,
    /// Finally refused by the relay.
    refused: BTreeSet<Name>,
    /// Shown as failed.
    failed: BTreeSet<Name>,
    /// Devices whose client was restored from an older copy.
    restored_devices: BTreeSet<DeviceId>,
    /// Messages of people in the durable logs, over all restores.
    pub(crate) accepted: u64,
    /// The logs have changed since everything was checked.
    is_unchecked: bool,
}

impl Model {
    pub(crate) const fn logs(&self) -> &Logs {
        &self.logs
    }

    /// A client put a message on the wire.
    pub(crate) fn on_transmitted(&mut self, name: Name, hash: Digest) -> Result<(), Violation> {
        let hashes = self.transmitted.entry(name).or_default();
        hashes.insert(hash);
        let may_collide = self.restored_devices.contains(&name.1.device);
        ensure!(hashes.len() == 1 || may_collide, "P1: {name:?} was sent again with other bytes");
        Ok(())
    }

    /// The relay's store made these ops durable.
    pub(crate) fn on_committed(&mut self, ops: &[Op]) -> Result<(), Violation> {
        self.is_unchecked = true;
        for op in ops {
            if let Op::Appended(appended) = op {
                self.append(appended)?;
            }
        }
        Ok(())
    }

    fn append(&mut self, appended: &Appended) -> Result<(), Violation> {
        let conversation = appended.conversation;
        let log = self.logs.entry(conversation).or_default();
        for item in RecordReader::new(appended.first, appended.count, &appended.records) {
            let Ok((seq, record)) = item else {
                return Err(Violation(format!(
                    "a committed record of {conversation:?} is malformed"
                )));
            };
            ensure!(
                seq.0 == log.len() as u64 + 1,
                "P1: {conversation:?} has {} records and gets number {seq}",
                log.len()
            );
            let Ok(envelope) = Envelope::decode(&record.envelope) else {
                return Err(Violation(format!(
                    "an envelope at {conversation:?} {seq} is malformed"
                )));
            };
            let id = envelope.id();
            let hash = envelope_hash(conversation, &record.envelope, &record.content.digest());
            if id.device != DeviceId::RELAY {
                let name = (conversation, id);
                ensure!(
                    self.transmitted.get(&name).is_some_and(|hashes| hashes.contains(&hash)),
                    "P1: {name:?} was committed with bytes nobody sent"
                );
                ensure!(log.iter().all(|entry| entry.id != id), "P1: {name:?} is in the log twice");
                let later =
                    log.iter().find(|e| e.id.device == id.device && e.id.counter > id.counter);
                ensure!(later.is_none(), "P1: {name:?} comes after {later:?} of its device");
                ensure!(!self.failed.contains(&name), "P2: {name:?} was shown as failed");
                self.accepted += 1;
            }
            log.push(Entry { id, hash });
        }
        Ok(())
    }

    /// The relay told a client the chain after a record.
    pub(crate) fn on_chain_told(
        &self,
        conversation: ConversationId,
        seq: Seq,
        chain: &Digest,
    ) -> Result<(), Violation> {
        // Word from before a restore may still be under way.
        if !self.before_restores.is_empty() {
            return Ok(());
        }
        let log = self.logs.get(&conversation).map_or(&[][..], Vec::as_slice);
        let mut ours = chain_start(conversation);
        for (index, entry) in log.iter().enumerate().take(usize::try_from(seq.0).unwrap_or(0)) {
            ours = chain_next(&ours, Seq(index as u64 + 1), &entry.hash);
        }
        ensure!(ours == *chain, "the relay tells a wrong chain for {conversation:?} {seq}");
        Ok(())
    }

    /// The relay finally refused a message.
    pub(crate) fn on_refused(&mut self, name: Name) {
        self.refused.insert(name);
    }

    /// A client shows a message as sent.
    pub(crate) fn on_shown_sent(&mut self, name: Name, seq: Seq) -> Result<(), Violation> {
        let has = |logs: &Logs| place(logs, name.0, seq).is_some_and(|entry| entry.id == name.1);
        if has(&self.logs) {
            self.promised.insert(name, seq);
            return Ok(());
        }
        ensure!(
            self.before_restores.iter().any(has),
            "P1: {name:?} is shown as sent at {seq} and the durable log does not have it there"
        );
        Ok(())
    }

    /// A client shows a message as failed.
    pub(crate) fn on_shown_failed(&mut self, name: Name) -> Result<(), Violation> {
        ensure!(self.refused.contains(&name), "P2: {name:?} failed and the relay never refused it");
        let in_log = self.logs.get(&name.0).is_some_and(|log| log.iter().any(|e| e.id == name.1));
        ensure!(!in_log, "P2: {name:?} is shown as failed and is in the log");
        self.failed.insert(name);
        Ok(())
    }

    /// A client stored a record.
    pub(crate) fn on_stored(
        &self,
        conversation: ConversationId,
        seq: Seq,
        entry: Entry,
    ) -> Result<(), Violation> {
        let in_log = |logs: &Logs| place(logs, conversation, seq) == Some(entry);
        ensure!(
            in_log(&self.logs) || self.before_restores.iter().any(in_log),
            "P1: a client stored {entry:?} at {conversation:?} {seq} where the log has {:?}",
            self.entry(conversation, seq)
        );
        Ok(())
    }

    /// The relay was restored from a copy taken earlier: what came after it is gone, and said so.
    pub(crate) fn on_restored(&mut self, copy: Logs) {
        self.is_unchecked = true;
        let gone = std::mem::replace(&mut self.logs, copy);
        self.before_restores.push(gone);
        let logs = &self.logs;
        self.promised
            .retain(|name, seq| place(logs, name.0, *seq).is_some_and(|entry| entry.id == name.1));
    }

    /// A client was restored from an older copy: it may make other messages under numbers that it
    /// had used, and transmit them before the relay tells it so. Those in the log stay promised. What
    /// it has shown as failed since the copy was taken it does not know, and tries again.
    pub(crate) fn on_client_restored(&mut self, device: DeviceId) {
        self.restored_devices.insert(device);
        self.failed.retain(|name| name.1.device != device);
    }

    /// Everything that was promised is still there. Asked after every step, and cheap unless that has
    /// changed the logs.
    pub(crate) fn check(&mut self) -> Result<(), Violation> {
        if !std::mem::take(&mut self.is_unchecked) {
            return Ok(());
        }
        for (name, seq) in &self.promised {
            ensure!(
                self.entry(name.0, *seq).is_some_and(|entry| entry.id == name.1),
                "P1: {name:?} was shown as sent at {seq} and is gone"
            );
        }
        Ok(())
    }

    /// True if the message is in the log, or the relay has finally refused it. A client restored
    /// from a copy that stops once more before it is told so cannot know which of its numbers an
    /// earlier life used: it shows such a message as unknown, which is the truth.
    pub(crate) fn is_decided(&self, name: Name) -> bool {
        if self.restored_devices.contains(&name.1.device) {
            return true;
        }
        let in_log = |log: &Vec<Entry>| log.iter().any(|entry| entry.id == name.1);
        self.refused.contains(&name) || self.logs.get(&name.0).is_some_and(in_log)
    }

    fn entry(&self, conversation: ConversationId, seq: Seq) -> Option<Entry> {
        place(&self.logs, conversation, seq)
    }
}

fn place(logs: &Logs, conversation: ConversationId, seq: Seq) -> Option<Entry> {
    let index = usize::try_from(seq.0.checked_sub(1)?).ok()?;
    logs.get(&conversation)?.get(index).copied()
}
