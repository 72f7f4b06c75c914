//! The segments: a conversation's records, several runs to a row, ordered by their first place.
//!
//! A row takes later runs until it has [`SEGMENT_BYTES_TARGET`], which is most of a page. So a
//! quiet conversation does not need a row per message, a step rewrites one page per conversation,
//! and a lookup inside a row hashes few records.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter::Peekable,
};

use protocol::ids::{ConversationId, Digest, MessageId, Seq};
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::{schema::sql, tables::Local};
use crate::{
    hub::op::Appended,
    store::{
        StoreError,
        stored_run::{StoredRun, damaged},
    },
};

/// A segment this large takes no more runs. With one run more it should still lie in a page of
/// 4 KiB: every page beyond the first is written twice by each step that touches the row.
/// Larger rows would take about three times the pages per step; that is an estimate.
const SEGMENT_BYTES_TARGET: usize = 3 * 1024;
/// Bits of a segment's id that are the place of its first record; the local number is above them.
const SEQ_BITS: u32 = 40;
/// Segments below a conversation's first record that one step removes.
const SWEPT_SEGMENTS_MAX: u32 = 64;

/// The id of the segment that begins at `first`.
fn id(local: Local, first: Seq) -> Result<i64, StoreError> {
    let is_small = local.cast_unsigned() < 1 << (63 - SEQ_BITS) && first.0 < 1 << SEQ_BITS;
    if !is_small {
        let problem = format!("record {first} of conversation {local} is beyond what fits");
        return Err(StoreError::Failed(problem));
    }
    Ok(local << SEQ_BITS | first.0.cast_signed())
}

/// The place of a segment's first record.
const fn first_of(id: i64) -> Seq {
    Seq(id.cast_unsigned() & ((1 << SEQ_BITS) - 1))
}

/// Where a search by place begins that may ask for more than any log has.
fn id_at_most(local: Local, seq: Seq) -> Result<i64, StoreError> {
    id(local, seq.min(Seq((1 << SEQ_BITS) - 1)))
}

/// A row.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) first: Seq,
    /// Before the first record.
    pub(super) chain: Digest,
    pub(super) runs: Vec<StoredRun>,
}

/// What one index step does to the logs, collected so that each row is written once.
#[derive(Debug, Default)]
pub(super) struct LogChanges {
    appended: BTreeMap<Local, Vec<(StoredRun, Digest)>>,
    trimmed: BTreeSet<Local>,
}

impl LogChanges {
    pub(super) fn append(&mut self, local: Local, appended: &Appended) {
        let run = (StoredRun::of(appended), appended.chain_before);
        self.appended.entry(local).or_default().push(run);
    }

    /// Blanks the body of the message `id`, if that is what is at `seq`.
    pub(super) fn erase(
        &mut self,
        tables: &Connection,
        conversation: ConversationId,
        local: Local,
        (seq, message): (Seq, MessageId),
    ) -> Result<(), StoreError> {
        let erased = [(seq, message)].into();
        if let Some(appended) = self.appended.get_mut(&local)
            && appended.first().is_some_and(|(run, _)| run.first <= seq)
        {
            for (run, _) in appended {
                *run = run.blanked(&erased);
            }
            return Ok(());
        }
        let Some(segment) = containing(tables, conversation, local, seq)? else { return Ok(()) };
        let blanked: Vec<_> = segment.runs.iter().map(|run| run.blanked(&erased)).collect();
        if blanked == segment.runs {
            return Ok(());
        }
        let mut runs = Vec::new();
        for run in &blanked {
            run.append_to(&mut runs);
        }
        let id = id(local, segment.first)?;
        tables
            .prepare_cached("UPDATE segments SET runs = ?2 WHERE id = ?1")
            .and_then(|mut s| s.execute(params![id, runs]))
            .map(drop)
            .map_err(sql)
    }

    /// Notes that the conversation's first record moved up.
    pub(super) fn trim(&mut self, local: Local) {
        self.trimmed.insert(local);
    }

    /// Writes what was appended, after the conversations' own rows; what was trimmed is removed
    /// by later [`sweep`]s.
    pub(super) fn write(self, tables: &Connection) -> Result<(), StoreError> {
        for local in self.trimmed {
            want_sweep(tables, local).map_err(sql)?;
        }
        for (local, appended) in self.appended {
            append(tables, local, &appended)?;
        }
        Ok(())
    }
}

/// Adds runs behind a conversation's newest segment, or to it while it has room.
fn append(
    tables: &Connection,
    local: Local,
    appended: &[(StoredRun, Digest)],
) -> Result<(), StoreError> {
    let mut appended = appended.iter().peekable();
    if let Some((id, mut runs)) = growing(tables, local)? {
        fill(&mut runs, &mut appended);
        tables
            .prepare_cached("UPDATE segments SET runs = ?2 WHERE id = ?1")
            .and_then(|mut s| s.execute(params![id, runs]))
            .map_err(sql)?;
    }
    while let Some((run, chain)) = appended.peek() {
        let mut runs = Vec::with_capacity(SEGMENT_BYTES_TARGET * 2);
        let (first, chain) = (run.first, *chain);
        fill(&mut runs, &mut appended);
        insert(tables, local, first, &chain, &runs)?;
    }
    Ok(())
}

fn fill<'a>(
    runs: &mut Vec<u8>,
    appended: &mut Peekable<impl Iterator<Item = &'a (StoredRun, Digest)>>,
) {
    while runs.len() < SEGMENT_BYTES_TARGET
        && let Some((run, _)) = appended.next()
    {
        run.append_to(runs);
    }
}

fn insert(
    tables: &Connection,
    local: Local,
    first: Seq,
    chain: &Digest,
    runs: &[u8],
) -> Result<(), StoreError> {
    let id = id(local, first)?;
    tables
        .prepare_cached("INSERT INTO segments (id, chain, runs) VALUES (?1, ?2, ?3)")
        .and_then(|mut s| s.execute(params![id, chain, runs]))
        .map(drop)
        .map_err(sql)
}

/// The newest segment, if it has room.
fn growing(tables: &Connection, local: Local) -> Result<Option<(i64, Vec<u8>)>, StoreError> {
    let (from, to) = (id(local, Seq::ZERO)?, id_at_most(local, Seq(u64::MAX))?);
    let target = i64::try_from(SEGMENT_BYTES_TARGET).unwrap_or(i64::MAX);
    // A row that does not qualify is not read beyond its length.
    let newest = tables
        .prepare_cached(
            "SELECT id, iif(length(runs) < ?3, runs, NULL) FROM segments
             WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1",
        )
        .and_then(|mut s| {
            s.query_row([from, to, target], |row| {
                Ok((row.get(0)?, row.get::<_, Option<Vec<u8>>>(1)?))
            })
            .optional()
        })
        .map_err(sql)?;
    Ok(newest.and_then(|(id, runs)| Some((id, runs?))))
}

/// The segment that would hold `seq`: the last one that begins there or below.
pub(super) fn containing(
    tables: &Connection,
    conversation: ConversationId,
    local: Local,
    seq: Seq,
) -> Result<Option<Segment>, StoreError> {
    let mut found = None;
    descending(tables, conversation, local, seq, |segment| {
        found = Some(segment);
        Ok(Walk::Done)
    })?;
    Ok(found)
}

/// Shows the segments from the one that would hold `from` on, until `each` has enough.
pub(super) fn ascending(
    tables: &Connection,
    conversation: ConversationId,
    local: Local,
    from: Seq,
    each: impl FnMut(Segment) -> Result<Walk, StoreError>,
) -> Result<(), StoreError> {
    let query = "SELECT id, chain, runs FROM segments
         WHERE id BETWEEN
             coalesce((SELECT max(id) FROM segments WHERE id BETWEEN ?1 AND ?2), ?2) AND ?3
         ORDER BY id";
    let whole =
        [id(local, Seq::ZERO)?, id_at_most(local, from)?, id_at_most(local, Seq(u64::MAX))?];
    walk(tables, conversation, query, &whole, each)
}

/// Shows the segments from the one that would hold `to` downwards, until `each` has enough.
pub(super) fn descending(
    tables: &Connection,
    conversation: ConversationId,
    local: Local,
    to: Seq,
    each: impl FnMut(Segment) -> Result<Walk, StoreError>,
) -> Result<(), StoreError> {
    let query = "SELECT id, chain, runs FROM segments WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC";
    let below = [id(local, Seq::ZERO)?, id_at_most(local, to)?];
    walk(tables, conversation, query, &below, each)
}

/// Whether a walk over the segments goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    On,
    Done,
}

fn walk(
    tables: &Connection,
    conversation: ConversationId,
    query: &str,
    ids: &[i64],
    mut each: impl FnMut(Segment) -> Result<Walk, StoreError>,
) -> Result<(), StoreError> {
    let mut statement = tables.prepare_cached(query).map_err(sql)?;
    let mut rows = statement.query(params_from_iter(ids)).map_err(sql)?;
    while let Some(row) = rows.next().map_err(sql)? {
        if each(segment(conversation, row)?)? == Walk::Done {
            break;
        }
    }
    Ok(())
}

fn segment(conversation: ConversationId, row: &Row<'_>) -> Result<Segment, StoreError> {
    let runs: Vec<u8> = row.get(2).map_err(sql)?;
    Ok(Segment {
        first: first_of(row.get(0).map_err(sql)?),
        chain: row.get(1).map_err(sql)?,
        runs: StoredRun::decode_all(&runs.into()).map_err(damaged(conversation))?,
    })
}

impl Segment {
    /// The chain after `seq`, which is in the segment or just before it.
    pub(super) fn chain_at(
        &self,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<Digest, StoreError> {
        let mut chain = self.chain;
        for run in self.runs.iter().take_while(|run| run.first <= seq) {
            chain = run.chain_at(conversation, chain, seq).map_err(damaged(conversation))?;
        }
        Ok(chain)
    }
}

/// Remembers that a conversation has segments to remove.
fn want_sweep(tables: &Connection, local: Local) -> rusqlite::Result<()> {
    tables
        .prepare_cached("INSERT INTO sweeps (conversation) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([local])?;
    Ok(())
}

/// Whether some conversation still has segments to remove.
pub(super) fn has_sweeps(tables: &Connection) -> rusqlite::Result<bool> {
    tables.prepare_cached("SELECT 1 FROM sweeps")?.exists([])
}

/// Removes some segments below the first record of some conversation, and cuts the one that
/// holds it.
pub(super) fn sweep(tables: &Connection) -> Result<(), StoreError> {
    let next: Option<(Local, [u8; 16], i64)> = tables
        .prepare_cached(
            "SELECT local, conversations.conversation, first FROM sweeps
             JOIN conversations ON local = sweeps.conversation LIMIT 1",
        )
        .and_then(|mut s| {
            s.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()
        })
        .map_err(sql)?;
    let Some((local, conversation, first)) = next else { return Ok(()) };
    let (conversation, first) = (ConversationId(conversation), Seq(first.cast_unsigned()));
    let Some(kept) = containing(tables, conversation, local, first)? else {
        return finish_sweep(tables, local).map_err(sql);
    };
    let (from, to) = (id(local, Seq::ZERO)?, id(local, kept.first)?);
    let removed = tables
        .prepare_cached(
            "DELETE FROM segments WHERE id IN
                 (SELECT id FROM segments WHERE id BETWEEN ?1 AND ?2 - 1 ORDER BY id LIMIT ?3)",
        )
        .and_then(|mut s| s.execute(params![from, to, SWEPT_SEGMENTS_MAX]))
        .map_err(sql)?;
    if removed < SWEPT_SEGMENTS_MAX as usize {
        cut(tables, conversation, local, &kept, first)?;
        finish_sweep(tables, local).map_err(sql)?;
    }
    Ok(())
}

/// Replaces a segment by what of it is at `first` and above.
fn cut(
    tables: &Connection,
    conversation: ConversationId,
    local: Local,
    segment: &Segment,
    first: Seq,
) -> Result<(), StoreError> {
    if segment.first >= first {
        return Ok(());
    }
    let id = id(local, segment.first)?;
    tables
        .prepare_cached("DELETE FROM segments WHERE id = ?1")
        .and_then(|mut s| s.execute([id]))
        .map_err(sql)?;
    let mut runs = Vec::new();
    for run in &segment.runs {
        if let Some(rest) = run.cut(first, run.last()).map_err(damaged(conversation))? {
            rest.append_to(&mut runs);
        }
    }
    if runs.is_empty() {
        return Ok(());
    }
    let chain = segment.chain_at(conversation, first.minus(1))?;
    insert(tables, local, first, &chain, &runs)
}

fn finish_sweep(tables: &Connection, local: Local) -> rusqlite::Result<()> {
    tables.prepare_cached("DELETE FROM sweeps WHERE conversation = ?1")?.execute([local])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_by_conversation_and_place_up_to_their_limits() {
        let (local_max, seq_max) = ((1 << (63 - SEQ_BITS)) - 1, Seq((1 << SEQ_BITS) - 1));
        let ordered = [(1, Seq::FIRST), (1, seq_max), (2, Seq::ZERO), (local_max, seq_max)];
        let ids: Vec<_> = ordered.map(|(local, seq)| id(local, seq).expect("fits")).to_vec();
        assert!(ids.is_sorted() && ids[0] > 0);
        assert_eq!(first_of(ids[1]), seq_max);
        id(local_max + 1, Seq::FIRST).expect_err("one conversation too many");
        id(1, seq_max.next()).expect_err("one record too many");
        assert_eq!(id_at_most(1, Seq(u64::MAX)).expect("clamped"), ids[1]);
    }
}
