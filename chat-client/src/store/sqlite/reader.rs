//! Look-ups and pages.

use protocol::{
    ids::{AccountId, ConversationId, Counter, DeviceId, Digest, Seq},
    message::record::{chain_next, envelope_hash},
    time::WallTime,
};
use rusqlite::{Connection, Error, OptionalExtension, Row, params};

use super::{
    codec::{RECORD, array, id, integer, optional_digest, record as stored, unsigned, value},
    failure,
    writer::{self, local, next_local, raised},
};
use crate::store::{
    Found, Loaded, Query, StoreFailure,
    row::{CHAIN_STRIDE, HistoryRow, Interval, Pin, StoredConversation, StoredRecord},
};

/// Everything but the records.
pub(super) fn load(db: &Connection) -> Result<Loaded, StoreFailure> {
    let load = || {
        Ok(Loaded {
            account: setting(db, writer::ACCOUNT)?,
            log_id: setting(db, writer::LOG_ID)?,
            next_counter: Counter(raised(db, writer::NEXT_COUNTER)?),
            next_local: next_local(db)?,
            conversations: conversations(db)?,
            outbox: all(db, "SELECT message FROM outbox ORDER BY local", |row| value(row, 0))?,
            people: all(db, "SELECT info FROM person ORDER BY account", |row| value(row, 0))?,
            devices: all(db, "SELECT info FROM device ORDER BY device", |row| value(row, 0))?,
            pins: all(db, "SELECT name, account FROM pin ORDER BY name", |row| {
                Ok(Pin { name: row.get(0)?, account: AccountId(array(row, 1)?) })
            })?,
        })
    };
    load().map_err(failure)
}

fn conversations(db: &Connection) -> Result<Vec<StoredConversation>, Error> {
    let mut conversations: Vec<(i64, StoredConversation)> =
        all(db, "SELECT local, info, read, draft FROM conversation ORDER BY id", |row| {
            let (intervals, draft) = (Vec::new(), row.get(3)?);
            let (info, read) = (value(row, 1)?, Seq(unsigned(row, 2)?));
            let active = WallTime::default();
            Ok((row.get(0)?, StoredConversation { info, intervals, read, draft, active }))
        })?;
    for (local, conversation) in &mut conversations {
        conversation.intervals = intervals(db, *local)?;
        conversation.active = active(db, *local)?;
    }
    Ok(conversations.into_iter().map(|(_, conversation)| conversation).collect())
}

fn active(db: &Connection, local: i64) -> Result<WallTime, Error> {
    let time = db
        .prepare_cached(
            "SELECT time FROM record WHERE conversation = ?1 ORDER BY seq DESC LIMIT 1",
        )?
        .query_row([local], |row| unsigned(row, 0))
        .optional()?;
    Ok(time.map(WallTime::from_millis).unwrap_or_default())
}

fn intervals(db: &Connection, local: i64) -> Result<Vec<Interval>, Error> {
    db.prepare_cached(
        "SELECT low, high, before, chain FROM interval WHERE conversation = ?1 ORDER BY low",
    )?
    .query_map([local], |row| {
        Ok(Interval {
            low: Seq(unsigned(row, 0)?),
            high: Seq(unsigned(row, 1)?),
            before: array(row, 2)?,
            chain: array(row, 3)?,
        })
    })?
    .collect()
}

pub(super) fn find(db: &Connection, query: &Query) -> Result<Found, StoreFailure> {
    match query {
        Query::ChainAt(conversation, seq) => {
            chain_at(db, *conversation, *seq).map(Found::Chain).map_err(failure)
        }
        Query::Rehash(conversation, interval) => {
            let Interval { low, high, before, .. } = *interval;
            rehash(db, *conversation, low, before, high).map(Found::Chain).map_err(failure)
        }
        Query::OwnAbove(conversation, above, device) => {
            own_above(db, conversation, *above, *device).map_err(failure)
        }
    }
}

fn chain_at(
    db: &Connection,
    conversation: ConversationId,
    seq: Seq,
) -> Result<Option<Digest>, Error> {
    let Some(local) = local(db, &conversation)? else { return Ok(None) };
    let holds = |interval: &&Interval| interval.low <= seq.next() && seq <= interval.high;
    let intervals = intervals(db, local)?;
    let Some(interval) = intervals.iter().find(holds) else { return Ok(None) };
    if seq < interval.low {
        return Ok(Some(interval.before));
    }
    // The nearest stored chain at or below, if it is inside the stretch.
    let stride = Seq(seq.0 - seq.0 % CHAIN_STRIDE);
    if stride >= interval.low {
        let chain = db
            .prepare_cached("SELECT chain FROM record WHERE conversation = ?1 AND seq = ?2")?
            .query_row(params![local, integer(stride.0)], |row| optional_digest(row, 0))
            .optional()?
            .flatten();
        if let Some(chain) = chain {
            return rehash(db, conversation, stride.next(), chain, seq);
        }
    }
    rehash(db, conversation, interval.low, interval.before, seq)
}

/// The chain at `to`, hashed over the records from `from` on; `None` if one is missing.
fn rehash(
    db: &Connection,
    conversation: ConversationId,
    from: Seq,
    before: Digest,
    to: Seq,
) -> Result<Option<Digest>, Error> {
    let Some(local) = local(db, &conversation)? else { return Ok(None) };
    let (mut chain, mut next) = (before, from);
    let mut select = db.prepare_cached(&format!(
        "SELECT {RECORD} FROM record WHERE conversation = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq"
    ))?;
    let rows = select.query_map(params![local, integer(from.0), integer(to.0)], stored)?;
    for record in rows {
        let record = record?;
        if record.seq != next {
            return Ok(None);
        }
        let hash = envelope_hash(conversation, &record.envelope, &record.content.digest());
        chain = chain_next(&chain, record.seq, &hash);
        next = next.next();
    }
    Ok((next == to.next()).then_some(chain))
}

fn own_above(
    db: &Connection,
    conversation: &ConversationId,
    above: Seq,
    device: DeviceId,
) -> Result<Found, Error> {
    let Some(local) = local(db, conversation)? else {
        return Ok(Found::Own { above: 0, records: Vec::new() });
    };
    let count = db
        .prepare_cached("SELECT count(*) FROM record WHERE conversation = ?1 AND seq > ?2")?
        .query_row(params![local, integer(above.0)], |row| unsigned(row, 0))?;
    let records = db
        .prepare_cached(&format!(
            "SELECT {RECORD} FROM record
             WHERE conversation = ?1 AND seq > ?2 AND device = ?3 AND NOT erased ORDER BY seq"
        ))?
        .query_map(params![local, integer(above.0), device.as_bytes()], stored)?
        .collect::<Result<_, _>>()?;
    Ok(Found::Own { above: count, records })
}

pub(super) fn before(
    db: &Connection,
    conversation: ConversationId,
    seq: Seq,
    count: usize,
) -> Result<Vec<HistoryRow>, StoreFailure> {
    let sql = format!(
        "SELECT {RECORD} FROM record WHERE conversation = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3"
    );
    let mut rows =
        page(db, &sql, conversation, seq, count, |above, row| above.seq == row.seq.next())?;
    rows.reverse();
    Ok(rows)
}

pub(super) fn after(
    db: &Connection,
    conversation: ConversationId,
    seq: Seq,
    count: usize,
) -> Result<Vec<HistoryRow>, StoreFailure> {
    let sql = format!(
        "SELECT {RECORD} FROM record WHERE conversation = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3"
    );
    page(db, &sql, conversation, seq, count, |below, row| below.seq.next() == row.seq)
}

/// Rows in the statement's order, up to the first that is no neighbour of the one before.
fn page(
    db: &Connection,
    sql: &str,
    conversation: ConversationId,
    seq: Seq,
    count: usize,
    is_neighbour: impl Fn(&HistoryRow, &HistoryRow) -> bool,
) -> Result<Vec<HistoryRow>, StoreFailure> {
    let read = || {
        let Some(local) = local(db, &conversation)? else { return Ok(Vec::new()) };
        let mut select = db.prepare_cached(sql)?;
        let limit = integer(count as u64);
        let found = select.query_map(params![local, integer(seq.0), limit], history_row)?;
        let mut rows: Vec<HistoryRow> = Vec::new();
        for row in found {
            let row = row?;
            if rows.last().is_some_and(|last| !is_neighbour(last, &row)) {
                break;
            }
            rows.push(row);
        }
        Ok(rows)
    };
    read().map_err(failure)
}

pub(super) fn record(
    db: &Connection,
    conversation: ConversationId,
    seq: Seq,
) -> Result<Option<HistoryRow>, StoreFailure> {
    let read = || {
        let sql = format!(
            "SELECT {RECORD} FROM record JOIN conversation ON local = conversation
             WHERE id = ?1 AND seq = ?2"
        );
        db.prepare_cached(&sql)?
            .query_row(params![id(&conversation), integer(seq.0)], history_row)
            .optional()
    };
    read().map_err(failure)
}

pub(super) fn amends(
    db: &Connection,
    conversation: ConversationId,
    from: Seq,
    to: Seq,
) -> Result<Vec<HistoryRow>, StoreFailure> {
    let read = || {
        let Some(local) = local(db, &conversation)? else { return Ok(Vec::new()) };
        db.prepare_cached(&format!(
            "SELECT {RECORD} FROM record
             WHERE conversation = ?1 AND target BETWEEN ?2 AND ?3 ORDER BY seq"
        ))?
        .query_map(params![local, integer(from.0), integer(to.0)], history_row)?
        .collect()
    };
    read().map_err(failure)
}

pub(super) fn history_row(row: &Row<'_>) -> Result<HistoryRow, Error> {
    let StoredRecord { seq, time, envelope, content, .. } = stored(row)?;
    Ok(HistoryRow::decode(seq, time, &envelope, &content))
}

fn setting<T: serde::de::DeserializeOwned>(db: &Connection, key: &str) -> Result<Option<T>, Error> {
    db.prepare_cached("SELECT value FROM setting WHERE key = ?1")?
        .query_row([key], |row| value(row, 0))
        .optional()
}

fn all<T>(
    db: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    db.prepare_cached(sql)?.query_map([], read)?.collect()
}
