//! A run as a store holds it: shared bytes that can be cut, blanked and hashed without a copy.
//!
//! Both stores and the journal's tail speak in these; only what leaves through
//! [`Reader`](super::Reader) becomes a [`Run`].

use std::{borrow::Cow, collections::BTreeSet};

use bytes::Bytes;
use protocol::{
    ids::{ConversationId, Digest, MessageId, Seq},
    message::{
        encoding::DecodeError,
        record::{RecordReader, Run, chain_next},
    },
    time::WallTime,
};

use super::StoreError;
use crate::hub::{log::erase, op::Appended};

/// Consecutive records of one conversation that one commit appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredRun {
    pub(super) first: Seq,
    pub(super) time: WallTime,
    pub(super) count: u32,
    pub(super) records: Bytes,
}

impl StoredRun {
    pub(super) fn of(appended: &Appended) -> Self {
        Self {
            first: appended.first,
            time: appended.time,
            count: appended.count,
            records: appended.records.clone(),
        }
    }

    /// Reads the runs that stand one behind the other in `bytes`, sharing them.
    pub(super) fn decode_all(bytes: &Bytes) -> Result<Vec<Self>, DecodeError> {
        let mut runs = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (run, used) = Run::decode_front(rest)?;
            let Cow::Borrowed(records) = run.records else { return Err(DecodeError) };
            if run.count == 0 {
                return Err(DecodeError);
            }
            runs.push(Self {
                first: run.first,
                time: run.time,
                count: run.count,
                records: bytes.slice_ref(records),
            });
            rest = &rest[used..];
        }
        Ok(runs)
    }

    /// Appends the run to `out`, as [`StoredRun::decode_all`] reads it.
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        Run {
            first: self.first,
            time: self.time,
            count: self.count,
            records: Cow::Borrowed(&self.records),
        }
        .append_to(out);
    }

    /// Place of the last record.
    pub(super) fn last(&self) -> Seq {
        self.first.plus(u64::from(self.count)).minus(1)
    }

    /// The part inside `from..=to`; `None` if there is none.
    pub(super) fn cut(&self, from: Seq, to: Seq) -> Result<Option<Self>, DecodeError> {
        let (from, to) = (from.max(self.first), to.min(self.last()));
        if from > to {
            return Ok(None);
        }
        if from == self.first && to == self.last() {
            return Ok(Some(self.clone()));
        }
        let ends = self.ends()?;
        Ok(Some(self.part(&ends, self.index(from), self.index(to) + 1)))
    }

    /// The first records with at most `bytes_max` bytes; `None` if not even one fits.
    pub(super) fn head(&self, bytes_max: usize) -> Result<Option<Self>, DecodeError> {
        if self.records.len() <= bytes_max {
            return Ok(Some(self.clone()));
        }
        let ends = self.ends()?;
        let fitting = ends.partition_point(|end| *end <= bytes_max);
        Ok((fitting > 0).then(|| self.part(&ends, 0, fitting)))
    }

    /// The last records, at most `count_max` with at most `bytes_max` bytes; `None` if not even
    /// one fits.
    pub(super) fn tail(
        &self,
        count_max: u32,
        bytes_max: usize,
    ) -> Result<Option<Self>, DecodeError> {
        if self.count <= count_max && self.records.len() <= bytes_max {
            return Ok(Some(self.clone()));
        }
        let ends = self.ends()?;
        let start_min = self.records.len().saturating_sub(bytes_max);
        let by_bytes = if start_min == 0 {
            0
        } else {
            // A record starts where the one before it ends.
            ends.partition_point(|end| *end < start_min) + 1
        };
        let by_count = self.count.saturating_sub(count_max) as usize;
        let skipped = by_bytes.max(by_count);
        Ok((skipped < ends.len()).then(|| self.part(&ends, skipped, ends.len())))
    }

    /// The first record alone.
    pub(super) fn first_record(&self) -> Result<Self, DecodeError> {
        Ok(self.part(&self.ends()?, 0, 1))
    }

    /// The last record alone.
    pub(super) fn last_record(&self) -> Result<Self, DecodeError> {
        let ends = self.ends()?;
        Ok(self.part(&ends, ends.len() - 1, ends.len()))
    }

    /// The run with the bodies of the messages in `erased` blanked.
    pub(super) fn blanked(&self, erased: &BTreeSet<(Seq, MessageId)>) -> Self {
        let mut run = self.clone();
        for (seq, id) in erased.iter().filter(|(seq, _)| (self.first..=self.last()).contains(seq)) {
            if let Some(records) = erase(run.first, run.count, &run.records, *seq, *id) {
                run.records = records.into();
            }
        }
        run
    }

    /// The chain after `seq`, which is in the run or just before it, given the chain before it.
    pub(super) fn chain_at(
        &self,
        conversation: ConversationId,
        before: Digest,
        seq: Seq,
    ) -> Result<Digest, DecodeError> {
        let mut chain = before;
        for item in RecordReader::new(self.first, self.count, &self.records) {
            let (at, record) = item?;
            if at > seq {
                break;
            }
            chain = chain_next(&chain, at, &record.envelope_hash(conversation));
        }
        Ok(chain)
    }

    /// The run as the rest of the relay knows it.
    pub(super) fn to_run(&self) -> Run<'static> {
        Run {
            first: self.first,
            time: self.time,
            count: self.count,
            records: Cow::Owned(self.records.to_vec()),
        }
    }

    /// Where each record ends, so that there is one entry per record.
    fn ends(&self) -> Result<Vec<usize>, DecodeError> {
        let mut reader = RecordReader::new(self.first, self.count, &self.records);
        let mut ends = Vec::with_capacity(self.count as usize);
        for _ in 0..self.count {
            reader.skip_one()?;
            ends.push(self.records.len() - reader.rest().len());
        }
        if reader.rest().is_empty() { Ok(ends) } else { Err(DecodeError) }
    }

    fn index(&self, seq: Seq) -> usize {
        usize::try_from(seq.0 - self.first.0).expect("a run's records are counted by a u32")
    }

    /// The records `from..to` by index, `from < to`.
    fn part(&self, ends: &[usize], from: usize, to: usize) -> Self {
        let start = if from == 0 { 0 } else { ends[from - 1] };
        Self {
            first: self.first.plus(from as u64),
            time: self.time,
            count: u32::try_from(to - from).expect("a part of a run is counted by a u32"),
            records: self.records.slice(start..ends[to - 1]),
        }
    }
}

/// Collects runs going up from a place, until a byte budget is spent. The first record is taken
/// whatever its size, so that a reader always gets on.
pub(super) struct Ascending {
    from: Seq,
    to: Seq,
    bytes_left: usize,
    runs: Vec<Run<'static>>,
}

impl Ascending {
    pub(super) const fn new(from: Seq, to: Seq, bytes_max: usize) -> Self {
        Self { from, to, bytes_left: bytes_max, runs: Vec::new() }
    }

    /// The next place wanted; `None` once there is enough.
    pub(super) fn wanted(&self) -> Option<Seq> {
        (self.from <= self.to).then_some(self.from)
    }

    /// Takes what is wanted of `run`.
    pub(super) fn take(&mut self, run: &StoredRun) -> Result<(), DecodeError> {
        let Some(wanted) = run.cut(self.from, self.to)? else { return Ok(()) };
        let fitting = match wanted.head(self.bytes_left)? {
            Some(fitting) => fitting,
            None if self.runs.is_empty() => wanted.first_record()?,
            None => {
                self.finish();
                return Ok(());
            }
        };
        self.bytes_left = self.bytes_left.saturating_sub(fitting.records.len());
        self.from = fitting.last().next();
        self.runs.push(fitting.to_run());
        if fitting.last() < wanted.last() {
            self.finish();
        }
        Ok(())
    }

    pub(super) fn into_runs(self) -> Vec<Run<'static>> {
        self.runs
    }

    const fn finish(&mut self) {
        self.to = Seq::ZERO;
        self.from = Seq::FIRST;
    }
}

/// Collects runs going down from a place: the mirror image of [`Ascending`].
pub(super) struct Descending {
    first: Seq,
    to: Seq,
    count_left: u32,
    bytes_left: usize,
    runs: Vec<Run<'static>>,
}

impl Descending {
    /// From `to` down to `first`.
    pub(super) const fn new(first: Seq, to: Seq, count: u32, bytes_max: usize) -> Self {
        Self { first, to, count_left: count, bytes_left: bytes_max, runs: Vec::new() }
    }

    /// The next place wanted; `None` once there is enough.
    pub(super) fn wanted(&self) -> Option<Seq> {
        (self.count_left > 0 && self.to >= self.first && self.to > Seq::ZERO).then_some(self.to)
    }

    /// Takes what is wanted of `run`.
    pub(super) fn take(&mut self, run: &StoredRun) -> Result<(), DecodeError> {
        if self.wanted().is_none() {
            return Ok(());
        }
        let Some(wanted) = run.cut(self.first, self.to)? else { return Ok(()) };
        let fitting = match wanted.tail(self.count_left, self.bytes_left)? {
            Some(fitting) => fitting,
            None if self.runs.is_empty() => wanted.last_record()?,
            None => {
                self.count_left = 0;
                return Ok(());
            }
        };
        self.bytes_left = self.bytes_left.saturating_sub(fitting.records.len());
        self.count_left -= fitting.count;
        self.to = fitting.first.minus(1);
        if fitting.first > wanted.first {
            self.count_left = 0;
        }
        self.runs.push(fitting.to_run());
        Ok(())
    }

    /// Oldest first.
    pub(super) fn into_runs(mut self) -> Vec<Run<'static>> {
        self.runs.reverse();
        self.runs
    }
}

/// What a run that cannot be read means for whoever reads the log.
pub(super) fn damaged(conversation: ConversationId) -> impl FnOnce(DecodeError) -> StoreError {
    move |error| StoreError::Damaged(format!("conversation {conversation}: {error}"))
}
