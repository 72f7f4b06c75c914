//! The segments: a conversation's records, several runs to a row, ordered by their first place.
//!
//! A row starts small and takes later runs until it has [`SEGMENT_BYTES_TARGET`]; so a quiet
//! conversation does not need a row per message, and a lookup inside a row hashes few records.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter::Peekable,
};

use bytes::Bytes;
use protocol::ids::{ConversationId, Digest, MessageId, Seq};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{schema::sql, tables::Local};
use crate::{
    hub::op::Appended,
    store::{
        StoreError,
        stored_run::{StoredRun, damaged},
    },
};

/// A segment this large takes no more runs. Rewriting a larger one for every step would cost more
/// than the rows it saves.
const SEGMENT_BYTES_TARGET: usize = 8 * 1024;
/// Segments below a conversation's first record that one step removes.
const SWEPT_SEGMENTS_MAX: u32 = 64;

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
        (seq, id): (Seq, MessageId),
    ) -> Result<(), StoreError> {
        let erased = [(seq, id)].into();
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
        tables
            .prepare_cached("UPDATE segments SET runs = ?3 WHERE conversation = ?1 AND first = ?2")
            .and_then(|mut s| s.execute(params![local, segment.first.0.cast_signed(), runs]))
            .map(drop)
            .map_err(sql)
    }

    /// Notes that the conversation's first record moved up.
    pub(super) fn trim(&mut self, local: Local) {
        self.trimmed.insert(local);
    }

    /// Writes what was appended, after the conversations' own rows; what was trimmed is removed
    /// by later [`sweep`]s.
    pub(super) fn write(self, tables: &Connection) -> rusqlite::Result<()> {
        for local in self.trimmed {
            want_sweep(tables, local)?;
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
) -> rusqlite::Result<()> {
    let mut appended = appended.iter().peekable();
    if let Some((first, mut runs)) = growing(tables, local)? {
        fill(&mut runs, &mut appended);
        tables
            .prepare_cached("UPDATE segments SET runs = ?3 WHERE conversation = ?1 AND first = ?2")?
            .execute(params![local, first, runs])?;
    }
    while let Some((run, chain)) = appended.peek() {
        let mut runs = Vec::with_capacity(SEGMENT_BYTES_TARGET);
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
) -> rusqlite::Result<()> {
    tables
        .prepare_cached(
            "INSERT INTO segments (conversation, first, chain, runs) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![local, first.0.cast_signed(), chain, runs])?;
    Ok(())
}

/// The newest segment, if it has room.
fn growing(tables: &Connection, local: Local) -> rusqlite::Result<Option<(i64, Vec<u8>)>> {
    // Asking for the length alone does not read the row's overflow pages.
    let newest: Option<(i64, u32)> = tables
        .prepare_cached(
            "SELECT first, length(runs) FROM segments WHERE conversation = ?1
             ORDER BY first DESC LIMIT 1",
        )?
        .query_row([local], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((first, _)) = newest.filter(|(_, len)| (*len as usize) < SEGMENT_BYTES_TARGET) else {
        return Ok(None);
    };
    let runs = tables
        .prepare_cached("SELECT runs FROM segments WHERE conversation = ?1 AND first = ?2")?
        .query_row([local, first], |row| row.get(0))?;
    Ok(Some((first, runs)))
}

/// The segment that would hold `seq`: the last one that begins there or below.
pub(super) fn containing(
    tables: &Connection,
    conversation: ConversationId,
    local: Local,
    seq: Seq,
) -> Result<Option<Segment>, StoreError> {
    let found = tables
        .prepare_cached(
            "SELECT first, chain, runs FROM segments WHERE conversation = ?1 AND first <= ?2
             ORDER BY first DESC LIMIT 1",
        )
        .and_then(|mut s| s.query_row([local, seq.0.cast_signed()], row_parts).optional())
        .map_err(sql)?;
    found.map(|parts| segment(conversation, parts)).transpose()
}

/// Shows the segments from the one that would hold `from` on, until `each` has enough.
pub(super) fn ascending(
    tables: &Connection,
    conversation: ConversationId,
    local: Local,
    from: Seq,
    each: impl FnMut(&Segment) -> Result<Walk, StoreError>,
) -> Result<(), StoreError> {
    let query = "SELECT first, chain, runs FROM segments WHERE conversation = ?1
         AND first >= coalesce((SELECT max(first) FROM segments
                                WHERE conversation = ?1 AND first <= ?2), 0)
         ORDER BY first";
    walk(tables, conversation, query, local, from, each)
}

/// Shows the segments from the one that would hold `to` downwards, until `each` has enough.
pub(super) fn descending(
    tables: &Connection,
    conversation: ConversationId,
    local: Local,
    to: Seq,
    each: impl FnMut(&Segment) -> Result<Walk, StoreError>,
) -> Result<(), StoreError> {
    let query = "SELECT first, chain, runs FROM segments WHERE conversation = ?1 AND first <= ?2
         ORDER BY first DESC";
    walk(tables, conversation, query, local, to, each)
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
    local: Local,
    seq: Seq,
    mut each: impl FnMut(&Segment) -> Result<Walk, StoreError>,
) -> Result<(), StoreError> {
    let mut statement = tables.prepare_cached(query).map_err(sql)?;
    let mut rows = statement.query([local, seq.0.cast_signed()]).map_err(sql)?;
    while let Some(row) = rows.next().map_err(sql)? {
        let segment = segment(conversation, row_parts(row).map_err(sql)?)?;
        if each(&segment)? == Walk::Done {
            break;
        }
    }
    Ok(())
}

fn row_parts(row: &Row<'_>) -> rusqlite::Result<(i64, Digest, Vec<u8>)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn segment(
    conversation: ConversationId,
    (first, chain, runs): (i64, Digest, Vec<u8>),
) -> Result<Segment, StoreError> {
    let runs = StoredRun::decode_all(&Bytes::from(runs)).map_err(damaged(conversation))?;
    Ok(Segment { first: Seq(first.cast_unsigned()), chain, runs })
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
    let Some((local, id, first)) = next else { return Ok(()) };
    let (conversation, first) = (ConversationId(id), Seq(first.cast_unsigned()));
    let Some(kept) = containing(tables, conversation, local, first)? else {
        return finish_sweep(tables, local).map_err(sql);
    };
    let removed = tables
        .prepare_cached(
            "DELETE FROM segments WHERE conversation = ?1 AND first IN
                 (SELECT first FROM segments WHERE conversation = ?1 AND first < ?2
                  ORDER BY first LIMIT ?3)",
        )
        .and_then(|mut s| s.execute(params![local, kept.first.0.cast_signed(), SWEPT_SEGMENTS_MAX]))
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
    tables
        .prepare_cached("DELETE FROM segments WHERE conversation = ?1 AND first = ?2")
        .and_then(|mut s| s.execute([local, segment.first.0.cast_signed()]))
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
    insert(tables, local, first, &chain, &runs).map_err(sql)
}

fn finish_sweep(tables: &Connection, local: Local) -> rusqlite::Result<()> {
    tables.prepare_cached("DELETE FROM sweeps WHERE conversation = ?1")?.execute([local])?;
    Ok(())
}
