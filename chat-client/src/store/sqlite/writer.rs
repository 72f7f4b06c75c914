//! Changes as statements. All of them run inside the caller's transaction.

use protocol::{
    ids::{ConversationId, Counter, Seq},
    message::record::Content,
    message::room::ConversationInfo,
};
use rusqlite::{Connection, Error, OptionalExtension, named_params, params};

use super::{
    codec::{RECORD, array, blob, content_bytes, id, integer, record},
    index,
};
use crate::store::{
    Change,
    row::{Interval, LocalId, OutboxRow, StoredRecord},
};

pub(super) const ACCOUNT: &str = "account";
pub(super) const LOG_ID: &str = "log_id";
pub(super) const NEXT_COUNTER: &str = "next_counter";
pub(super) const NEXT_LOCAL: &str = "next_local";

pub(super) fn apply(db: &Connection, change: &Change) -> Result<(), Error> {
    match change {
        Change::Account(account) => set(db, ACCOUNT, &blob(account)),
        Change::LogId(log_id) => set(db, LOG_ID, &blob(log_id)),
        Change::NextCounter(counter) => raise(db, NEXT_COUNTER, counter.0),
        Change::Conversation(info) => put_conversation(db, info),
        Change::Read(conversation, seq) => db
            .prepare_cached("UPDATE conversation SET read = ?2 WHERE id = ?1")?
            .execute(params![id(conversation), integer(seq.0)])
            .map(drop),
        Change::Draft(conversation, text) => db
            .prepare_cached("UPDATE conversation SET draft = ?2 WHERE id = ?1")?
            .execute(params![id(conversation), text])
            .map(drop),
        Change::Records(conversation, records) => put_records(db, conversation, records),
        Change::Intervals(conversation, intervals) => put_intervals(db, conversation, intervals),
        Change::Erase(conversation, seq, message) => {
            let Some(local) = local(db, conversation)? else { return Ok(()) };
            erase(db, local, *seq, message.device.as_bytes(), message.counter)
        }
        Change::Fork(conversation, above) => {
            let Some(local) = local(db, conversation)? else { return Ok(()) };
            move_aside(db, local, *above)
        }
        Change::Outbox(row) => put_outbox(db, row),
        Change::OutboxGone(row) => db
            .prepare_cached("DELETE FROM outbox WHERE local = ?1")?
            .execute([integer(row.0)])
            .map(drop),
        Change::Person(person) => db
            .prepare_cached("INSERT OR REPLACE INTO person (account, info) VALUES (?1, ?2)")?
            .execute(params![person.account.as_bytes(), blob(person)])
            .map(drop),
        Change::Device(device) => db
            .prepare_cached("INSERT OR REPLACE INTO device (device, info) VALUES (?1, ?2)")?
            .execute(params![device.device.as_bytes(), blob(device)])
            .map(drop),
        Change::Pin(pin) => db
            .prepare_cached("INSERT OR REPLACE INTO pin (name, account) VALUES (?1, ?2)")?
            .execute(params![pin.name, pin.account.as_bytes()])
            .map(drop),
    }
}

fn set(db: &Connection, key: &str, value: &[u8]) -> Result<(), Error> {
    db.prepare_cached("INSERT OR REPLACE INTO setting (key, value) VALUES (?1, ?2)")?
        .execute(params![key, value])
        .map(drop)
}

/// Sets a number that only rises. Big-endian, so that blobs compare like numbers.
fn raise(db: &Connection, key: &str, number: u64) -> Result<(), Error> {
    db.prepare_cached(
        "INSERT INTO setting (key, value) VALUES (?1, ?2)
         ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
    )?
    .execute(params![key, number.to_be_bytes()])
    .map(drop)
}

fn put_conversation(db: &Connection, info: &ConversationInfo) -> Result<(), Error> {
    db.prepare_cached(
        "INSERT INTO conversation (id, info, read) VALUES (?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET info = excluded.info",
    )?
    .execute(params![id(&info.id), blob(info), integer(info.read.0)])
    .map(drop)
}

/// The small number of a conversation inside this file.
pub(super) fn local(db: &Connection, conversation: &ConversationId) -> Result<Option<i64>, Error> {
    db.prepare_cached("SELECT local FROM conversation WHERE id = ?1")?
        .query_row([id(conversation)], |row| row.get(0))
        .optional()
}

fn put_records(
    db: &Connection,
    conversation: &ConversationId,
    records: &[StoredRecord],
) -> Result<(), Error> {
    let Some(local) = local(db, conversation)? else { return Ok(()) };
    let mut insert = db.prepare_cached(
        "INSERT INTO record (conversation, seq, time, device, counter, target, envelope,
                             signature, content, erased, chain)
         VALUES (:conversation, :seq, :time, :device, :counter, :target, :envelope,
                 :signature, :content, :erased, :chain)
         ON CONFLICT DO NOTHING",
    )?;
    for record in records {
        let (content, erased) = content_bytes(&record.content);
        insert.execute(named_params! {
            ":conversation": local,
            ":seq": integer(record.seq.0),
            ":time": integer(record.time.as_millis()),
            ":device": record.id.map(|message| *message.device.as_bytes()),
            ":counter": record.id.map(|message| integer(message.counter.0)),
            ":target": record.target.map(|target| integer(target.0)),
            ":envelope": record.envelope,
            ":signature": record.signature,
            ":content": content,
            ":erased": erased,
            ":chain": record.chain,
        })?;
    }
    let seqs = || records.iter().map(|record| record.seq);
    match seqs().min().zip(seqs().max()) {
        Some((low, high)) => index::note(db, local, low, high),
        None => Ok(()),
    }
}

fn put_intervals(
    db: &Connection,
    conversation: &ConversationId,
    intervals: &[Interval],
) -> Result<(), Error> {
    let Some(local) = local(db, conversation)? else { return Ok(()) };
    // The usual case is that the newest stretch grew at its end, or the only one did: one row.
    db.prepare_cached("DELETE FROM interval WHERE conversation = ?1")?.execute([local])?;
    let mut insert = db.prepare_cached(
        "INSERT INTO interval (conversation, low, high, before, chain) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for Interval { low, high, before, chain } in intervals {
        insert.execute(params![local, integer(low.0), integer(high.0), before, chain])?;
    }
    Ok(())
}

fn erase(
    db: &Connection,
    local: i64,
    seq: Seq,
    device: &[u8; 16],
    counter: Counter,
) -> Result<(), Error> {
    let found = db
        .prepare_cached(&format!(
            "SELECT {RECORD} FROM record
             WHERE conversation = ?1 AND seq = ?2 AND device = ?3 AND counter = ?4 AND NOT erased"
        ))?
        .query_row(params![local, integer(seq.0), device, integer(counter.0)], record)
        .optional()?;
    let Some(found) = found else { return Ok(()) };
    index::forget(db, local, seq)?;
    let digest = found.content.digest();
    debug_assert!(matches!(found.content, Content::Body(_)), "the query says so");
    db.prepare_cached(
        "UPDATE record SET content = ?3, erased = 1 WHERE conversation = ?1 AND seq = ?2",
    )?
    .execute(params![local, integer(seq.0), digest])
    .map(drop)
}

fn move_aside(db: &Connection, local: i64, above: Seq) -> Result<(), Error> {
    index::forget_above(db, local, above)?;
    db.prepare_cached(&format!(
        "INSERT INTO forked (conversation, {RECORD})
         SELECT conversation, {RECORD} FROM record WHERE conversation = ?1 AND seq > ?2"
    ))?
    .execute(params![local, integer(above.0)])?;
    db.prepare_cached("DELETE FROM record WHERE conversation = ?1 AND seq > ?2")?
        .execute(params![local, integer(above.0)])
        .map(drop)
}

fn put_outbox(db: &Connection, row: &OutboxRow) -> Result<(), Error> {
    raise(db, NEXT_LOCAL, row.local.next().0)?;
    let counter = row.encoded().map(|encoded| integer(encoded.counter.0));
    db.prepare_cached(
        "INSERT INTO outbox (local, counter, message) VALUES (?1, ?2, ?3)
         ON CONFLICT (local) DO UPDATE SET counter = excluded.counter, message = excluded.message",
    )?
    .execute(params![integer(row.local.0), counter, blob(row)])
    .map(drop)
}

/// A number set by [`raise`].
pub(super) fn raised(db: &Connection, key: &str) -> Result<u64, Error> {
    let number = db
        .prepare_cached("SELECT value FROM setting WHERE key = ?1")?
        .query_row([key], |row| array(row, 0).map(u64::from_be_bytes))
        .optional()?;
    Ok(number.unwrap_or(0))
}

/// The next name of an outbox row.
pub(super) fn next_local(db: &Connection) -> Result<LocalId, Error> {
    raised(db, NEXT_LOCAL).map(|number| LocalId(number.max(1)))
}
