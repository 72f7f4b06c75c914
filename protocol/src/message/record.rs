//! The conversation's log: envelopes, records, runs and the chain over them (wire §6).
//!
//! ```text
//!   envelope  what the sender says about a message: device, counter, class, what it had seen
//!   record    envelope ‖ signature ‖ body or, once erased, the body's digest
//!   run       consecutive records that one commit appended, all with one relay time
//!   chain     a digest over every envelope so far: two logs that agree here agree on everything
//! ```
//!
//! A run's records are encoded once, when the relay commits them, and the same bytes then go to
//! the journal, to every member, to the segments and into the clients' stores.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{
    encoding::{DecodeError, decode, decode_front, encode, encode_into, read_varint, write_varint},
    ext::Ext,
};
use crate::{
    ids::{ConversationId, Counter, DeviceId, Digest, MessageId, Seq, sha256},
    limits::{BODY_BYTES_MAX, ENVELOPE_BYTES_MAX, SIGNATURE_BYTES_MAX},
    time::WallTime,
};

/// The envelope version this build writes.
pub const ENVELOPE_VERSION: u8 = 1;

/// What a message does to the log, as far as the relay has to know. An integer, so that a class
/// from a later version can be carried without being understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Class(pub u8);

impl Class {
    /// Says something new.
    pub const CONTENT: Self = Self(0);
    /// Replaces the text of its target. Counts only from the target's author.
    pub const EDIT: Self = Self(1);
    /// Erases its target. Counts from the author, or from a moderator.
    pub const DELETE: Self = Self(2);
    /// Adds to its target, or takes back, a reaction. Counts from every member.
    pub const REACT: Self = Self(3);
    /// Changes members, roles or settings.
    pub const CONTROL: Self = Self(4);

    /// True if the class acts on an earlier message.
    pub const fn is_amend(self) -> bool {
        matches!(self, Self::EDIT | Self::DELETE | Self::REACT)
    }
}

/// The message an amend acts on: its place and its name, which must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Where it is.
    pub seq: Seq,
    /// What it is.
    pub id: MessageId,
}

/// The first bytes of a chain value: enough to notice a fork, small enough for every envelope.
pub type ChainPrefix = [u8; 8];

/// The prefix of a chain value.
pub fn chain_prefix(chain: &Digest) -> ChainPrefix {
    let mut prefix = [0; 8];
    prefix.copy_from_slice(&chain[..8]);
    prefix
}

/// What the sender writes about its message. The relay keeps and serves the bytes as received.
///
/// The conversation and the body's digest belong to the envelope but do not travel in it: both are
/// known wherever it is read, and [`envelope_hash`] binds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`ENVELOPE_VERSION`].
    pub version: u8,
    /// Who made it; [`DeviceId::RELAY`] for the relay's own notices.
    pub device: DeviceId,
    /// The device's number for it.
    pub counter: Counter,
    /// What it does.
    pub class: Class,
    /// On what, for an amend.
    pub target: Option<Target>,
    /// The sealing epoch; 0 is unsealed.
    pub epoch: u32,
    /// The sender's last durable view of the conversation: how far, and the chain there.
    pub seen: (Seq, ChainPrefix),
    /// Later additions.
    pub ext: Ext,
}

impl Envelope {
    /// The name of the message.
    pub const fn id(&self) -> MessageId {
        MessageId { device: self.device, counter: self.counter }
    }

    /// Encodes it; done once per message, before its first transmission.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes an envelope and checks what can be checked without knowing the conversation.
    ///
    /// # Errors
    ///
    /// If it is malformed, too large, or an amend without a target or the other way round.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(DecodeError);
        }
        let envelope: Self = decode(bytes)?;
        let consistent = envelope.class.is_amend() == envelope.target.is_some()
            || envelope.class > Class::CONTROL;
        if consistent && envelope.ext.is_within_limits() { Ok(envelope) } else { Err(DecodeError) }
    }

    /// False if a later version made it and says that what it does cannot be known without knowing
    /// that version: its name still counts, its class, its target and its body do not.
    pub fn is_understood(&self) -> bool {
        self.version == ENVELOPE_VERSION && self.ext.unknown_critical().is_none()
    }
}

/// The digest that names an envelope: over the conversation, its bytes and the body's digest.
pub fn envelope_hash(conversation: ConversationId, envelope: &[u8], body: &Digest) -> Digest {
    sha256(&[b"envelope v1", &conversation.0, envelope, body])
}

/// The chain before the first record of a conversation.
pub fn chain_start(conversation: ConversationId) -> Digest {
    sha256(&[b"chain v1", &conversation.0])
}

/// The chain after `seq`: unchanged by erasing, retention or re-encoding.
pub fn chain_next(before: &Digest, seq: Seq, envelope_hash: &Digest) -> Digest {
    sha256(&[before, &seq.0.to_be_bytes(), envelope_hash])
}

/// What a record says, or what is left of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content<'a> {
    /// The body, as the sender encoded (and, from epoch 1, sealed) it.
    Body(#[serde(borrow, with = "serde_bytes")] Cow<'a, [u8]>),
    /// The body was erased; its digest stays, so that the chain can still be checked.
    Erased(Digest),
}

impl Content<'_> {
    /// The digest of the body.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Body(body) => sha256(&[body]),
            Self::Erased(digest) => *digest,
        }
    }

    fn into_owned(self) -> Content<'static> {
        match self {
            Self::Body(body) => Content::Body(Cow::Owned(body.into_owned())),
            Self::Erased(digest) => Content::Erased(digest),
        }
    }
}

/// One entry of the log, without its place and time, which the run gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<'a> {
    /// The encoded [`Envelope`].
    #[serde(borrow, with = "serde_bytes")]
    pub envelope: Cow<'a, [u8]>,
    /// Ed25519 by the device over the envelope hash; empty at epoch 0.
    #[serde(borrow, with = "serde_bytes")]
    pub signature: Cow<'a, [u8]>,
    /// The body, or its digest.
    #[serde(borrow)]
    pub content: Content<'a>,
}

impl<'a> Record<'a> {
    /// Appends the record to a run's bytes: its length, then itself.
    pub fn append_to(&self, records: &mut Vec<u8>) {
        let start = records.len();
        encode_into(self, records);
        prefix_length(records, start);
    }

    /// The digest that names the record's envelope.
    pub fn envelope_hash(&self, conversation: ConversationId) -> Digest {
        envelope_hash(conversation, &self.envelope, &self.content.digest())
    }

    /// The same record, owning its bytes.
    pub fn into_owned(self) -> Record<'static> {
        Record {
            envelope: Cow::Owned(self.envelope.into_owned()),
            signature: Cow::Owned(self.signature.into_owned()),
            content: self.content.into_owned(),
        }
    }

    /// True if every part is within its limit.
    pub fn is_within_limits(&self) -> bool {
        let body_fits = match &self.content {
            Content::Body(body) => body.len() <= BODY_BYTES_MAX,
            Content::Erased(_) => true,
        };
        body_fits
            && self.envelope.len() <= ENVELOPE_BYTES_MAX
            && self.signature.len() <= SIGNATURE_BYTES_MAX
    }

    fn read(bytes: &'a [u8]) -> Result<(Self, usize), DecodeError> {
        let (len, prefix) = read_varint(bytes)?;
        let len = usize::try_from(len).map_err(|_| DecodeError)?;
        let end = prefix.checked_add(len).ok_or(DecodeError)?;
        let record: Self = decode(bytes.get(prefix..end).ok_or(DecodeError)?)?;
        if record.is_within_limits() { Ok((record, end)) } else { Err(DecodeError) }
    }
}

/// Inserts the varint length of everything from `start` on, at `start`.
pub(super) fn prefix_length(out: &mut Vec<u8>, start: usize) {
    let mut length = Vec::with_capacity(9);
    write_varint((out.len() - start) as u64, &mut length);
    out.splice(start..start, length);
}

/// Consecutive records of one conversation that one commit appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run<'a> {
    /// Place of the first record.
    pub first: Seq,
    /// The relay's clock when they were committed, the same for all of them.
    pub time: WallTime,
    /// How many records.
    pub count: u32,
    /// The records, each behind its length.
    #[serde(borrow, with = "serde_bytes")]
    pub records: Cow<'a, [u8]>,
}

impl<'a> Run<'a> {
    /// Place of the last record; before `first` if the run is empty.
    pub const fn last(&self) -> Seq {
        Seq(self.first.0 + self.count as u64 - 1)
    }

    /// Walks the records in order with their places.
    pub fn records(&'a self) -> RecordReader<'a> {
        RecordReader::new(self.first, self.count, &self.records)
    }

    /// The same run, owning its bytes.
    pub fn into_owned(self) -> Run<'static> {
        Run {
            first: self.first,
            time: self.time,
            count: self.count,
            records: Cow::Owned(self.records.into_owned()),
        }
    }

    /// Reads a run from the front of `bytes`, where runs stand one behind the other (a page, a
    /// segment); the run and how many bytes it took.
    ///
    /// # Errors
    ///
    /// If the bytes are not a run.
    pub fn decode_front(bytes: &'a [u8]) -> Result<(Self, usize), DecodeError> {
        decode_front(bytes)
    }

    /// Appends the run to `out`, where runs stand one behind the other.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        encode_into(self, out);
    }
}

/// Walks the records of a run; ends after the first malformed one.
#[derive(Clone, Debug)]
pub struct RecordReader<'a> {
    next: Seq,
    left: u32,
    bytes: &'a [u8],
}

impl<'a> RecordReader<'a> {
    /// Reads `count` records, the first at `first`, from `bytes`.
    pub const fn new(first: Seq, count: u32, bytes: &'a [u8]) -> Self {
        Self { next: first, left: count, bytes }
    }

    /// The bytes not read yet: cutting a run at a record needs no decoding of what follows.
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Skips one record without decoding it.
    ///
    /// # Errors
    ///
    /// If there is none or its length is malformed.
    pub fn skip_one(&mut self) -> Result<(), DecodeError> {
        if self.left == 0 {
            return Err(DecodeError);
        }
        let (len, prefix) = read_varint(self.bytes)?;
        let len = usize::try_from(len).map_err(|_| DecodeError)?;
        let end = prefix.checked_add(len).ok_or(DecodeError)?;
        self.bytes = self.bytes.get(end..).ok_or(DecodeError)?;
        self.next = self.next.next();
        self.left -= 1;
        Ok(())
    }
}

impl<'a> Iterator for RecordReader<'a> {
    type Item = Result<(Seq, Record<'a>), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            // Bytes beyond the count would be records nobody numbered.
            let rest = std::mem::take(&mut self.bytes);
            return (!rest.is_empty()).then_some(Err(DecodeError));
        }
        self.left -= 1;
        let seq = self.next;
        match Record::read(self.bytes) {
            Ok((record, used)) => {
                self.bytes = &self.bytes[used..];
                self.next = seq.next();
                Some(Ok((seq, record)))
            }
            Err(error) => {
                self.left = 0;
                self.bytes = &[];
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(counter: u64) -> Envelope {
        Envelope {
            version: ENVELOPE_VERSION,
            device: DeviceId([3; 16]),
            counter: Counter(counter),
            class: Class::CONTENT,
            target: None,
            epoch: 0,
            seen: (Seq::ZERO, [0; 8]),
            ext: Ext::none(),
        }
    }

    fn run(count: u32) -> Run<'static> {
        let mut records = Vec::new();
        for counter in 1..=count {
            Record {
                envelope: Cow::Owned(envelope(counter.into()).encode()),
                signature: Cow::Borrowed(&[]),
                content: Content::Body(Cow::Owned(vec![7; 300])),
            }
            .append_to(&mut records);
        }
        let time = WallTime::from_millis(5);
        Run { first: Seq(9), time, count, records: Cow::Owned(records) }
    }

    #[test]
    fn records_come_back_with_their_places() {
        let run = run(3);
        let seqs: Vec<_> = run.records().map(|item| item.expect("valid").0).collect();
        assert_eq!(seqs, [Seq(9), Seq(10), Seq(11)]);
        assert_eq!(run.last(), Seq(11));
    }

    #[test]
    fn skipping_and_reading_agree() {
        let run = run(3);
        let mut skipped = run.records();
        skipped.skip_one().expect("there are three");
        assert_eq!(skipped.next().expect("two left").expect("valid").0, Seq(10));
    }

    #[test]
    fn a_record_more_or_less_than_counted_is_an_error() {
        let mut longer = run(3);
        longer.count = 2;
        assert!(longer.records().any(|item| item.is_err()));
        let mut shorter = run(3);
        shorter.count = 4;
        assert!(shorter.records().any(|item| item.is_err()));
    }

    #[test]
    fn erasing_a_body_does_not_change_the_chain() {
        let conversation = ConversationId([1; 16]);
        let run = run(1);
        let (seq, record) = run.records().next().expect("one").expect("valid");
        let erased = Record { content: Content::Erased(record.content.digest()), ..record.clone() };
        let start = chain_start(conversation);
        assert_eq!(
            chain_next(&start, seq, &record.envelope_hash(conversation)),
            chain_next(&start, seq, &erased.envelope_hash(conversation)),
        );
    }

    #[test]
    fn an_amend_needs_a_target_and_content_has_none() {
        let target = Target { seq: Seq(1), id: envelope(1).id() };
        let amend = Envelope { class: Class::EDIT, target: Some(target), ..envelope(2) };
        assert_eq!(Envelope::decode(&amend.encode()), Ok(amend.clone()));
        let without = Envelope { target: None, ..amend.clone() };
        assert_eq!(Envelope::decode(&without.encode()), Err(DecodeError));
        let content = Envelope { class: Class::CONTENT, ..amend };
        assert_eq!(Envelope::decode(&content.encode()), Err(DecodeError));
    }

    #[test]
    fn a_body_at_the_limit_passes_and_one_above_does_not() {
        let record = |len| Record {
            envelope: Cow::Owned(envelope(1).encode()),
            signature: Cow::Borrowed(&[]),
            content: Content::Body(Cow::Owned(vec![0; len])),
        };
        let reads = |len| {
            let mut bytes = Vec::new();
            record(len).append_to(&mut bytes);
            RecordReader::new(Seq::FIRST, 1, &bytes).all(|item| item.is_ok())
        };
        assert!(reads(BODY_BYTES_MAX));
        assert!(!reads(BODY_BYTES_MAX + 1));
    }
}
