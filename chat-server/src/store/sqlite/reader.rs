//! Reads logs: the journal's tail first, then the segments below it (see [`Tail`] for why in this
//! order).
//!
//! [`Tail`]: crate::store::tail::Tail

use std::sync::Arc;

use protocol::{
    ids::{ConversationId, Digest, Seq},
    message::record::{Run, chain_start},
};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{
    Shared,
    schema::{self, Database, Purpose, sql},
    segments::{self, Segment, Walk},
    tables::{self, Local},
};
use crate::store::{
    Reader, StoreError,
    stored_run::{Ascending, Descending, damaged},
};

/// One reader thread's view.
pub(super) struct SqliteReader {
    shared: Arc<Shared>,
    tables: Connection,
}

/// A conversation's row, as far as reading needs it.
struct Indexed {
    local: Local,
    first: Seq,
    head: Seq,
    chain: Digest,
}

impl SqliteReader {
    pub(super) fn open(shared: Arc<Shared>) -> Result<Self, StoreError> {
        let path = shared.dir.tables();
        let tables = schema::open(&path, Database::Tables, Purpose::Read, shared.durability)?;
        Ok(Self { shared, tables })
    }

    /// One view of the tables for several queries.
    fn view(&self) -> Result<Transaction<'_>, StoreError> {
        Transaction::new_unchecked(&self.tables, TransactionBehavior::Deferred).map_err(sql)
    }
}

impl Reader for SqliteReader {
    fn runs(
        &mut self,
        conversation: ConversationId,
        from: Seq,
        to: Seq,
        bytes_max: usize,
    ) -> Result<Vec<Run<'static>>, StoreError> {
        let mut from = from;
        let (view, tables, indexed) = loop {
            let view = {
                let tail = self.shared.tail();
                from = from.max(tail.first(conversation).unwrap_or_default());
                tail.view_up(conversation, from, to, bytes_max)
            };
            let tables = self.view()?;
            let indexed = indexed(&tables, conversation)?;
            let first = first_kept(indexed.as_ref(), view.first);
            if from >= first {
                break (view, tables, indexed);
            }
            // The view may have spent its bytes below the first record that is kept.
            from = first;
        };
        let mut found = Ascending::new(from, to, bytes_max);
        // What the tail has is left to the tail, even if it has been indexed since.
        let below = view.start.unwrap_or(Seq(u64::MAX));
        if let Some(indexed) = &indexed
            && from < below
        {
            segments::ascending(&tables, conversation, indexed.local, from, |segment| {
                for run in &segment.runs {
                    if found.wanted().is_none_or(|wanted| wanted >= below) || run.first >= below {
                        return Ok(Walk::Done);
                    }
                    found.take(&run.blanked(&view.erased)).map_err(damaged(conversation))?;
                }
                Ok(Walk::On)
            })?;
        }
        for run in &view.runs {
            found.take(run).map_err(damaged(conversation))?;
        }
        Ok(found.into_runs())
    }

    fn page(
        &mut self,
        conversation: ConversationId,
        to: Seq,
        count: u32,
        bytes_max: usize,
    ) -> Result<Vec<Run<'static>>, StoreError> {
        let view = self.shared.tail().view_down(conversation, to, count);
        let tables = self.view()?;
        let indexed = indexed(&tables, conversation)?;
        let first = first_kept(indexed.as_ref(), view.first);
        let mut found = Descending::new(first, to, count, bytes_max);
        for run in view.runs.iter().rev() {
            found.take(run).map_err(damaged(conversation))?;
        }
        if let Some(indexed) = &indexed
            && let Some(wanted) = found.wanted()
        {
            let below = view.start.unwrap_or(Seq(u64::MAX));
            let to = wanted.min(below.minus(1));
            segments::descending(&tables, conversation, indexed.local, to, |segment| {
                for run in segment.runs.iter().rev().filter(|run| run.first < below) {
                    found.take(&run.blanked(&view.erased)).map_err(damaged(conversation))?;
                }
                let is_done = found.wanted().is_none_or(|wanted| wanted < first);
                Ok(if is_done { Walk::Done } else { Walk::On })
            })?;
        }
        Ok(found.into_runs())
    }

    fn chain_at(
        &mut self,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<Option<Digest>, StoreError> {
        if seq == Seq::ZERO {
            return Ok(Some(chain_start(conversation)));
        }
        let (around, first) = {
            let tail = self.shared.tail();
            (tail.around(conversation, seq), tail.first(conversation))
        };
        let tables = self.view()?;
        let indexed = indexed(&tables, conversation)?;
        if seq < first_kept(indexed.as_ref(), first).minus(1) {
            return Ok(None);
        }
        if let Some(around) = around {
            return around.chain_at(conversation, seq).map(Some);
        }
        let Some(indexed) = indexed.filter(|indexed| seq <= indexed.head) else { return Ok(None) };
        if seq == indexed.head {
            return Ok(Some(indexed.chain));
        }
        let segment = around_segment(&tables, conversation, indexed.local, seq)?;
        segment.map(|segment| segment.chain_at(conversation, seq)).transpose()
    }
}

fn indexed(tables: &Connection, id: ConversationId) -> Result<Option<Indexed>, StoreError> {
    let found = tables::conversation(tables, id).map_err(sql)?;
    Ok(found.map(|(local, conversation)| Indexed {
        local,
        first: conversation.first,
        head: conversation.head,
        chain: conversation.chain,
    }))
}

fn first_kept(indexed: Option<&Indexed>, in_tail: Option<Seq>) -> Seq {
    let indexed = indexed.map_or(Seq::FIRST, |indexed| indexed.first);
    in_tail.map_or(indexed, |first| first.max(indexed))
}

/// The segment to hash from for the chain after `seq`: the one that holds it, or begins just
/// above it.
fn around_segment(
    tables: &Connection,
    conversation: ConversationId,
    local: Local,
    seq: Seq,
) -> Result<Option<Segment>, StoreError> {
    match segments::containing(tables, conversation, local, seq)? {
        Some(segment) => Ok(Some(segment)),
        None => segments::containing(tables, conversation, local, seq.next()),
    }
}
