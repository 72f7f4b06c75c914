//! Building a conversation's log: runs that grow while a batch fills, and erasing from finished
//! ones.
//!
//! A run is encoded once, here, as the whole `Records` message that members receive. The journal
//! keeps a slice of the same bytes, every session copies them into its packets, and nobody encodes
//! the records again.

use std::borrow::Cow;

use bytes::Bytes;
use protocol::{
    ids::{ConversationId, Digest, MessageId, Seq},
    limits::{RUN_BYTES_TARGET, RUN_RECORDS_MAX},
    message::{
        encoding::write_varint,
        record::{Content, Envelope, Record, RecordReader, Run},
    },
    time::WallTime,
};

use super::op::{Appended, Decision};

/// `Records` among the relay's messages (wire §5.2).
const RECORDS_NUMBER: u64 = 6;
/// More than the length, the number and the fields before the records can take.
const HEADER_BYTES_MAX: usize = 9 + 1 + 16 + 9 + 9 + 5 + 9;

/// A run of the batch that is filling.
#[derive(Debug)]
pub(crate) struct OpenRun {
    conversation: ConversationId,
    first: Seq,
    time: WallTime,
    count: u32,
    chain_before: Digest,
    chain: Digest,
    /// Room for the message's header, then the records.
    bytes: Vec<u8>,
    decisions: Vec<Decision>,
}

impl OpenRun {
    /// An empty run that begins at `first`, after a log whose chain is `chain`.
    pub(crate) fn new(
        conversation: ConversationId,
        first: Seq,
        time: WallTime,
        chain: Digest,
    ) -> Self {
        Self {
            conversation,
            first,
            time,
            count: 0,
            chain_before: chain,
            chain,
            bytes: vec![0; HEADER_BYTES_MAX],
            decisions: Vec::new(),
        }
    }

    /// Appends a record; the caller computed the chain after it.
    pub(crate) fn push(&mut self, record: &Record<'_>, chain: Digest, decision: Option<Decision>) {
        record.append_to(&mut self.bytes);
        self.count += 1;
        self.chain = chain;
        self.decisions.extend(decision);
    }

    /// True once the run has the size that fits a packet whole: a record more, at its largest,
    /// still does.
    pub(super) fn is_full(&self) -> bool {
        self.count >= RUN_RECORDS_MAX || self.bytes.len() >= RUN_BYTES_TARGET
    }

    pub(super) const fn conversation(&self) -> ConversationId {
        self.conversation
    }

    pub(super) const fn first(&self) -> Seq {
        self.first
    }

    pub(super) const fn time(&self) -> WallTime {
        self.time
    }

    pub(super) const fn chain_before(&self) -> Digest {
        self.chain_before
    }

    /// Ends the run: what the journal keeps, and what members receive.
    pub(crate) fn finish(mut self) -> (Appended, PublishedRun) {
        // It is kept for long, and grew by doubling: half of it may be empty.
        self.bytes.shrink_to_fit();
        self.decisions.shrink_to_fit();
        let records_bytes = self.bytes.len() - HEADER_BYTES_MAX;
        let header =
            records_header(self.conversation, self.first, self.time, self.count, records_bytes);
        let start = HEADER_BYTES_MAX - header.len();
        self.bytes[start..HEADER_BYTES_MAX].copy_from_slice(&header);
        let message = Bytes::from(self.bytes).slice(start..);
        let records = message.slice(header.len()..);
        let published = PublishedRun {
            conversation: self.conversation,
            first: self.first,
            time: self.time,
            count: self.count,
            records: records.clone(),
            message,
            chain_before: self.chain_before,
            chain_after: self.chain,
        };
        let appended = Appended {
            conversation: self.conversation,
            first: self.first,
            time: self.time,
            count: self.count,
            records,
            chain_before: self.chain_before,
            chain_after: self.chain,
            decisions: self.decisions,
        };
        (appended, published)
    }
}

/// A committed run, shared by everybody who sends it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedRun {
    /// Where.
    pub conversation: ConversationId,
    /// Place of the first record.
    pub first: Seq,
    /// The relay's clock.
    pub time: WallTime,
    /// How many records; at least one.
    pub count: u32,
    /// The records, each behind its length.
    pub records: Bytes,
    /// The whole `Records` message with its length, ready to be copied into a packet; `records`
    /// is its end.
    pub message: Bytes,
    /// The chain before the first record.
    pub chain_before: Digest,
    /// The chain after the last record.
    pub chain_after: Digest,
}

impl PublishedRun {
    /// Place of the last record.
    pub const fn last(&self) -> Seq {
        Seq(self.first.0 + self.count as u64 - 1)
    }

    /// Blanks the body of the record at `seq` if it is the message `id`; says whether it did.
    pub fn erase(&mut self, seq: Seq, id: MessageId) -> bool {
        let Some(records) = erase(self.first, self.count, &self.records, seq, id) else {
            return false;
        };
        let mut message = Vec::with_capacity(HEADER_BYTES_MAX + records.len());
        append_records(
            &mut message,
            self.conversation,
            self.first,
            self.time,
            self.count,
            &records,
        );
        let message = Bytes::from(message);
        self.records = message.slice(message.len() - records.len()..);
        self.message = message;
        true
    }
}

/// Appends a `Records` message with its length: a header and a copy of the bytes.
pub fn append_records(
    out: &mut Vec<u8>,
    conversation: ConversationId,
    first: Seq,
    time: WallTime,
    count: u32,
    records: &[u8],
) {
    out.extend_from_slice(&records_header(conversation, first, time, count, records.len()));
    out.extend_from_slice(records);
}

fn records_header(
    conversation: ConversationId,
    first: Seq,
    time: WallTime,
    count: u32,
    records_bytes: usize,
) -> Vec<u8> {
    let mut body = Vec::with_capacity(HEADER_BYTES_MAX);
    write_varint(RECORDS_NUMBER, &mut body);
    body.extend_from_slice(conversation.as_bytes());
    write_varint(first.0, &mut body);
    write_varint(time.as_millis(), &mut body);
    write_varint(count.into(), &mut body);
    write_varint(records_bytes as u64, &mut body);
    let mut header = Vec::with_capacity(HEADER_BYTES_MAX);
    write_varint((body.len() + records_bytes) as u64, &mut header);
    header.extend_from_slice(&body);
    header
}

/// The records of a run with the body of the one at `seq` blanked, if that record is the message
/// `id` and still has a body; `None` if there is nothing to change. The one rule for everybody who
/// carries out [`Op::Erased`](super::op::Op::Erased): store, tails, memory.
pub fn erase(first: Seq, count: u32, records: &[u8], seq: Seq, id: MessageId) -> Option<Vec<u8>> {
    let index = seq.0.checked_sub(first.0).filter(|index| *index < u64::from(count))?;
    let mut reader = RecordReader::new(first, count, records);
    for _ in 0..index {
        reader.skip_one().ok()?;
    }
    let start = records.len() - reader.rest().len();
    let (_, record) = reader.next()?.ok()?;
    let is_it = Envelope::decode(&record.envelope).is_ok_and(|envelope| envelope.id() == id);
    if !is_it || matches!(record.content, Content::Erased(_)) {
        return None;
    }
    let mut erased = Vec::with_capacity(records.len());
    erased.extend_from_slice(&records[..start]);
    Record { content: Content::Erased(record.content.digest()), ..record.clone() }
        .append_to(&mut erased);
    erased.extend_from_slice(reader.rest());
    Some(erased)
}

/// [`erase`] for a whole run.
pub fn erase_in_run(run: &Run<'_>, seq: Seq, id: MessageId) -> Option<Run<'static>> {
    let records = erase(run.first, run.count, &run.records, seq, id)?;
    Some(Run { first: run.first, time: run.time, count: run.count, records: Cow::Owned(records) })
}

#[cfg(test)]
mod tests {
    use protocol::{
        ids::{Counter, DeviceId},
        message::{RelayMessage, ext::Ext, record::Class, session::Records},
    };

    use super::*;

    const ROOM: ConversationId = ConversationId([4; 16]);

    fn envelope(counter: u64) -> Envelope {
        Envelope {
            version: 1,
            device: DeviceId([3; 16]),
            counter: Counter(counter),
            class: Class::CONTENT,
            target: None,
            epoch: 0,
            seen: (Seq::ZERO, [0; 8]),
            ext: Ext::none(),
        }
    }

    fn published(count: u64) -> PublishedRun {
        let mut run = OpenRun::new(ROOM, Seq(5), WallTime::from_millis(1 << 41), [0; 32]);
        for counter in 1..=count {
            let record = Record {
                envelope: envelope(counter).encode().into(),
                signature: Cow::Borrowed(&[]),
                content: Content::Body(vec![9; 100].into()),
            };
            run.push(&record, [1; 32], None);
        }
        run.finish().1
    }

    fn message_of(run: &PublishedRun) -> Vec<u8> {
        let mut out = Vec::new();
        let records = Cow::Borrowed(&run.records[..]);
        let run = Run { first: run.first, time: run.time, count: run.count, records };
        RelayMessage::Records(Records { conversation: ROOM, run }).append_to(&mut out);
        out
    }

    #[test]
    fn the_shared_bytes_are_the_message_members_expect() {
        for count in [1, 3, 200] {
            let run = published(count);
            assert_eq!(run.message, message_of(&run));
        }
    }

    #[test]
    fn a_run_takes_no_more_memory_than_its_bytes() {
        for count in [1, 3, 200] {
            let PublishedRun { message, records, .. } = published(count);
            drop(records);
            let length = message.len();
            let message = message.try_into_mut().expect("shared with nobody");
            assert_eq!(message.capacity(), length);
        }
    }

    #[test]
    fn erasing_blanks_the_named_message_and_nothing_else() {
        let mut run = published(3);
        assert!(run.erase(Seq(6), envelope(2).id()));
        let run_view = Run {
            first: run.first,
            time: run.time,
            count: run.count,
            records: Cow::Borrowed(&run.records[..]),
        };
        let bodies: Vec<_> = run_view
            .records()
            .map(|item| matches!(item.expect("valid").1.content, Content::Body(_)))
            .collect();
        assert_eq!(bodies, [true, false, true]);
        assert_eq!(run.message, message_of(&run));
    }

    #[test]
    fn a_place_that_holds_another_message_is_left_alone() {
        let mut run = published(3);
        let before = run.clone();
        assert!(!run.erase(Seq(6), envelope(1).id()), "another message stands there");
        assert!(!run.erase(Seq(4), envelope(1).id()), "before the run");
        assert!(!run.erase(Seq(8), envelope(3).id()), "after the run");
        assert_eq!(run, before);
    }

    #[test]
    fn erasing_twice_changes_nothing_more() {
        let mut run = published(1);
        assert!(run.erase(Seq(5), envelope(1).id()));
        assert!(!run.erase(Seq(5), envelope(1).id()));
    }
}
