//! The full-text index: filled behind the records' back, emptied with them.
//!
//! ```text
//!   records stored ──▶ unindexed   one small row per stretch, in their own transaction
//!   idle, or searching ──▶ step    some records at a time become words and speech
//!   record erased ──▶ forget       in the erasing transaction
//! ```
//!
//! What arrives pays next to nothing for being findable, and a history from before there was an
//! index is filed the same way. The index only proposes; [`Judge`] decides what is found.

use std::collections::BTreeSet;

use protocol::{
    ids::{AccountId, ConversationId, DeviceId, Seq},
    message::room::DeviceInfo,
    time::WallTime,
};
use rusqlite::{Connection, Error, OptionalExtension, params};

use super::{
    codec::{RECORD, array, integer, unsigned, value},
    failure, reader,
    writer::local,
};
use crate::{
    search::Term,
    store::{
        StoreFailure,
        row::HistoryRow,
        search::{EXAMINED_MAX, Findings, Judge, Library, Search, words},
    },
};

/// Records filed in one step: some ten milliseconds that a reader or a writer may have to wait.
const STEP_RECORDS: u64 = 512;
/// Records that wait before the idle store files them. Fewer are filed by the next search; filing
/// each message by itself would double the syncs.
const IDLE_RECORDS_MIN: u64 = 512;
/// Steps that a search takes before it looks: more than ever wait when nothing was imported.
const SEARCH_STEPS_MAX: usize = 4;
/// Bits of a place below the time.
const PLACE_BITS: u32 = 20;
/// The latest time that a place can hold, in the year 2248.
const PLACE_MILLIS_MAX: u64 = (1 << (63 - PLACE_BITS)) - 1;
/// Characters that the index takes together. Shorter terms cannot be looked up.
const GRAM_CHARS: usize = 3;

/// Notes that records are stored which the index does not know.
pub(super) fn note(db: &Connection, local: i64, low: Seq, high: Seq) -> Result<(), Error> {
    let (low, high) = (integer(low.0), integer(high.0));
    let grown = db
        .prepare_cached(
            "UPDATE unindexed SET high = max(high, ?3)
             WHERE conversation = ?1 AND low <= ?2 AND high >= ?2 - 1",
        )?
        .execute(params![local, low, high])?;
    if grown > 0 {
        return Ok(());
    }
    db.prepare_cached("INSERT INTO unindexed (conversation, low, high) VALUES (?1, ?2, ?3)")?
        .execute(params![local, low, high])
        .map(drop)
}

/// Files some records if enough of them wait; `true` if it is worth doing again at once.
pub(super) fn step_when_idle(db: &Connection) -> Result<bool, StoreFailure> {
    if waiting(db).map_err(failure)? < IDLE_RECORDS_MIN {
        return Ok(false);
    }
    step(db).map_err(failure)
}

/// How many records wait at most.
fn waiting(db: &Connection) -> Result<u64, Error> {
    db.prepare_cached("SELECT coalesce(sum(high - low + 1), 0) FROM unindexed")?
        .query_row([], |row| unsigned(row, 0))
}

/// Files some records, the newest of a stretch first; `false` if none wait.
fn step(db: &Connection) -> Result<bool, Error> {
    let stretch = db
        .prepare_cached("SELECT conversation, low, high FROM unindexed LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((local, low, high)): Option<(i64, i64, i64)> = stretch else { return Ok(false) };
    let transaction = db.unchecked_transaction()?;
    let rows: Vec<HistoryRow> = transaction
        .prepare_cached(&format!(
            "SELECT {RECORD} FROM record WHERE conversation = ?1 AND seq BETWEEN ?2 AND ?3
             ORDER BY seq DESC LIMIT ?4"
        ))?
        .query_map(params![local, low, high, integer(STEP_RECORDS)], reader::history_row)?
        .collect::<Result<_, _>>()?;
    for row in &rows {
        file(&transaction, local, row)?;
    }
    let is_whole = (rows.len() as u64) < STEP_RECORDS;
    match rows.last().filter(|_| !is_whole) {
        Some(oldest) => transaction
            .prepare_cached("UPDATE unindexed SET high = ?3 WHERE conversation = ?1 AND low = ?2")?
            .execute(params![local, low, integer(oldest.seq.0) - 1])?,
        None => transaction
            .prepare_cached("DELETE FROM unindexed WHERE conversation = ?1 AND low = ?2")?
            .execute(params![local, low])?,
    };
    transaction.commit()?;
    Ok(true)
}

fn file(db: &Connection, local: i64, row: &HistoryRow) -> Result<(), Error> {
    let Some(text) = words(row) else { return Ok(()) };
    let is_known = db
        .prepare_cached("SELECT 1 FROM speech WHERE conversation = ?1 AND seq = ?2")?
        .exists(params![local, integer(row.seq.0)])?;
    if is_known {
        return Ok(());
    }
    let target = row.envelope.as_ref().and_then(|envelope| envelope.target);
    let said_at = match target {
        Some(target) => db
            .prepare_cached("SELECT time FROM record WHERE conversation = ?1 AND seq = ?2")?
            .query_row(params![local, integer(target.seq.0)], |row| unsigned(row, 0))
            .optional()?,
        None => None,
    };
    let first = first_place(said_at.unwrap_or(row.time.as_millis()));
    let last = first | ((1 << PLACE_BITS) - 1);
    let taken: Option<i64> = db
        .prepare_cached("SELECT max(place) FROM speech WHERE place BETWEEN ?1 AND ?2")?
        .query_row(params![first, last], |row| row.get(0))?;
    let place = taken.map_or(first, |taken| taken + 1);
    if place > last {
        // A million messages of one millisecond: a relay without a clock. The rest is not found.
        return Ok(());
    }
    db.prepare_cached("INSERT INTO speech (place, conversation, seq) VALUES (?1, ?2, ?3)")?
        .execute(params![place, local, integer(row.seq.0)])?;
    db.prepare_cached("INSERT INTO words (rowid, text) VALUES (?1, ?2)")?
        .execute(params![place, indexed(text)])
        .map(drop)
}

/// The first place of a millisecond.
fn first_place(millis: u64) -> i64 {
    integer(millis.min(PLACE_MILLIS_MAX) << PLACE_BITS)
}

/// The tokenizer stops at a NUL.
fn indexed(text: &str) -> String {
    text.replace('\0', " ")
}

/// Takes a record out of the index, and the edits that act on it.
pub(super) fn forget(db: &Connection, local: i64, seq: Seq) -> Result<(), Error> {
    let rows: Vec<HistoryRow> = db
        .prepare_cached(&format!(
            "SELECT {RECORD} FROM record WHERE conversation = ?1 AND (seq = ?2 OR target = ?2)"
        ))?
        .query_map(params![local, integer(seq.0)], reader::history_row)?
        .collect::<Result<_, _>>()?;
    rows.iter().try_for_each(|row| take_out(db, local, row))
}

/// Takes out every record above a place.
pub(super) fn forget_above(db: &Connection, local: i64, above: Seq) -> Result<(), Error> {
    let mut select = db.prepare_cached(&format!(
        "SELECT {RECORD} FROM record WHERE conversation = ?1 AND seq > ?2"
    ))?;
    let rows = select.query_map(params![local, integer(above.0)], reader::history_row)?;
    for row in rows {
        take_out(db, local, &row?)?;
    }
    Ok(())
}

fn take_out(db: &Connection, local: i64, row: &HistoryRow) -> Result<(), Error> {
    let Some(text) = words(row) else { return Ok(()) };
    let place: Option<i64> = db
        .prepare_cached("DELETE FROM speech WHERE conversation = ?1 AND seq = ?2 RETURNING place")?
        .query_row(params![local, integer(row.seq.0)], |row| row.get(0))
        .optional()?;
    let Some(place) = place else { return Ok(()) };
    // The index does not keep the words: it has to be told which ones to take out.
    db.prepare_cached("INSERT INTO words (words, rowid, text) VALUES ('delete', ?1, ?2)")?
        .execute(params![place, indexed(text)])
        .map(drop)
}

/// Finds messages, newest first.
pub(super) fn search(db: &Connection, search: &Search) -> Result<Findings, StoreFailure> {
    for _ in 0..SEARCH_STEPS_MAX {
        if !step(db).map_err(failure)? {
            break;
        }
    }
    let unindexed = waiting(db).map_err(failure)?;
    let only = match search.conversation {
        Some(conversation) => match local(db, &conversation).map_err(failure)? {
            Some(local) => Some(local),
            None => return Ok(Findings { unindexed, ..Findings::default() }),
        },
        None => None,
    };
    let grams = grams(&search.terms);
    // Without a term that the index knows, everything that was said is proposed.
    let sql = if grams.is_empty() {
        "SELECT place, conversation, seq, (SELECT id FROM conversation c WHERE local = conversation)
         FROM speech WHERE ?1 = '' AND place BETWEEN ?2 AND ?3 ORDER BY place DESC"
    } else {
        "SELECT place, speech.conversation, seq,
                (SELECT id FROM conversation WHERE local = speech.conversation)
         FROM words JOIN speech ON place = words.rowid
         WHERE words MATCH ?1 AND words.rowid BETWEEN ?2 AND ?3 ORDER BY words.rowid DESC"
    };
    let low = search.after.map_or(0, |after| first_place(after.as_millis()));
    let high = search.before.map_or(i64::MAX, |before| first_place(before.as_millis()) - 1);
    let mut findings = Findings { unindexed, ..Findings::default() };
    let shelf = Shelf(db);
    let mut judge = Judge::new(search, &shelf);
    let mut judged = BTreeSet::new();
    let mut select = db.prepare_cached(sql).map_err(failure)?;
    let mut rows = select.query(params![grams, low, high]).map_err(failure)?;
    let mut examined = 0;
    while let Some(row) = rows.next().map_err(failure)? {
        let read = || -> Result<_, Error> {
            let id = ConversationId(array(row, 3)?);
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, id, Seq(unsigned(row, 2)?)))
        };
        let (place, local, conversation, seq) = read().map_err(failure)?;
        if findings.hits.len() == search.count {
            break;
        }
        if examined == EXAMINED_MAX {
            let millis = u64::try_from(place >> PLACE_BITS).unwrap_or(0);
            findings.back_to = Some(WallTime::from_millis(millis + 1));
            break;
        }
        examined += 1;
        if only.is_some_and(|only| only != local) {
            continue;
        }
        let Some(row) = proposed(db, local, seq).map_err(failure)? else { continue };
        // A message whose words were changed since is proposed by the change, too.
        let fits = words(&row).is_some_and(|words| search.terms.iter().all(|t| t.matches(words)));
        if !fits {
            continue;
        }
        let target = row.envelope.and_then(|envelope| envelope.target);
        let seq = target.map_or(seq, |target| target.seq);
        if judged.insert((conversation, seq)) {
            findings.hits.extend(judge.judge(conversation, seq)?);
        }
    }
    Ok(findings)
}

/// The record at a place, as it was written.
fn proposed(db: &Connection, local: i64, seq: Seq) -> Result<Option<HistoryRow>, Error> {
    db.prepare_cached(&format!("SELECT {RECORD} FROM record WHERE conversation = ?1 AND seq = ?2"))?
        .query_row(params![local, integer(seq.0)], reader::history_row)
        .optional()
}

/// Terms as the index is asked for them: all of their threes, each in quotation marks. The index
/// folds case by itself. Empty if no term is long enough.
fn grams(terms: &[Term]) -> String {
    let mut grams = BTreeSet::new();
    for term in terms {
        let characters: Vec<char> = indexed(&term.text).chars().collect();
        grams.extend(characters.windows(GRAM_CHARS).map(String::from_iter));
    }
    let quoted = grams.iter().map(|gram| format!("\"{}\"", gram.replace('"', "\"\"")));
    quoted.collect::<Vec<_>>().join(" AND ")
}

/// What is stored, for the judge.
struct Shelf<'a>(&'a Connection);

impl Library for Shelf<'_> {
    fn record(
        &self,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<Option<HistoryRow>, StoreFailure> {
        reader::record(self.0, conversation, seq)
    }

    fn amends(
        &self,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<Vec<HistoryRow>, StoreFailure> {
        reader::amends(self.0, conversation, seq, seq)
    }

    fn account(&self, device: DeviceId) -> Result<Option<AccountId>, StoreFailure> {
        let read = || {
            self.0
                .prepare_cached("SELECT info FROM device WHERE device = ?1")?
                .query_row([device.as_bytes()], |row| value::<DeviceInfo>(row, 0))
                .optional()
        };
        Ok(read().map_err(failure)?.map(|info| info.account.account))
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use protocol::{
        ids::{Counter, MessageId},
        message::{
            ext::Ext,
            record::{Class, Content, ENVELOPE_VERSION, Envelope},
        },
    };

    use super::*;
    use crate::{
        search::Query,
        store::{
            Change, Store as _,
            row::{Draft, StoredRecord},
            search::Senders,
            sqlite::SqliteStore,
        },
    };

    const ROOM: ConversationId = ConversationId([1; 16]);
    const THEM: DeviceId = DeviceId([4; 16]);

    fn message(seq: u64, text: &str) -> StoredRecord {
        let envelope = Envelope {
            version: ENVELOPE_VERSION,
            device: THEM,
            counter: Counter(seq),
            class: Class::CONTENT,
            target: None,
            epoch: 0,
            seen: (Seq::ZERO, [0; 8]),
            ext: Ext::none(),
        };
        StoredRecord {
            seq: Seq(seq),
            time: WallTime::from_millis(seq),
            id: Some(envelope.id()),
            target: None,
            envelope: envelope.encode(),
            signature: Vec::new(),
            content: Content::Body(Cow::Owned(
                Draft::text(text).body(WallTime::default()).encode(),
            )),
            chain: None,
        }
    }

    fn store(records: Vec<StoredRecord>) -> (SqliteStore, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::open(&folder.path().join("chat.db")).unwrap();
        store
            .connection
            .execute(
                "INSERT INTO conversation (id, info, read) VALUES (?1, x'', 0)",
                [ROOM.as_bytes()],
            )
            .unwrap();
        store.apply(&[Change::Records(ROOM, records)]).unwrap();
        (store, folder)
    }

    fn find(store: &SqliteStore, query: &str) -> Findings {
        let query = Query::parse(query, WallTime::default(), &jiff::tz::TimeZone::UTC).unwrap();
        let wanted = Search {
            terms: query.terms,
            conversation: None,
            senders: Senders::Anybody,
            after: None,
            before: None,
            count: 10,
            own: (DeviceId([3; 16]), None),
        };
        search(&store.connection, &wanted).unwrap()
    }

    fn count(store: &SqliteStore, sql: &str) -> i64 {
        store.connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn nothing_of_an_erased_message_stays_in_the_index() {
        let (mut store, _folder) = store(vec![message(1, "qqqxyz"), message(2, "hello")]);
        assert_eq!(find(&store, "qqqx").hits.len(), 1);
        store
            .connection
            .execute_batch("CREATE VIRTUAL TABLE temp.grams USING fts5vocab(main, words, row)")
            .unwrap();
        let grams = "SELECT count(*) FROM temp.grams WHERE term LIKE 'q%'";
        assert_eq!(count(&store, grams), 3);
        let id = MessageId { device: THEM, counter: Counter(1) };
        store.apply(&[Change::Erase(ROOM, Seq(1), id)]).unwrap();
        assert_eq!(count(&store, grams), 0);
        assert_eq!(count(&store, "SELECT count(*) FROM speech"), 1);
        // The words table is blobs: neither the terms nor their remains may be in one of them.
        let blobs = "SELECT count(*) FROM words_data WHERE instr(block, CAST('qqq' AS BLOB))";
        assert_eq!(count(&store, blobs), 0);
    }

    #[test]
    fn an_older_file_is_searched_once_its_history_is_filed() {
        let records: Vec<_> = (1..=3_000).map(|n| message(n, &format!("number {n}"))).collect();
        let (store, _folder) = store(records);
        // As the migration leaves it.
        assert_eq!(count(&store, "SELECT high - low + 1 FROM unindexed"), 3_000);
        let findings = find(&store, "number");
        assert_eq!(findings.unindexed, 3_000 - SEARCH_STEPS_MAX as u64 * STEP_RECORDS);
        assert_eq!(findings.hits[0].row.seq, Seq(3_000), "the newest are filed first");
        let mut steps = 0;
        while step_when_idle(&store.connection).unwrap() {
            steps += 1;
        }
        assert_eq!(steps, 1, "what is left is less than is worth a transaction");
        assert_eq!(find(&store, "\"number 7\"").unindexed, 0);
        assert_eq!(count(&store, "SELECT count(*) FROM speech"), 3_000);
    }

    #[test]
    fn a_search_says_how_far_back_it_got() {
        let records = (1..=EXAMINED_MAX as u64 + 10).map(|n| message(n, "ab"));
        let (store, _folder) = store(records.collect());
        while step(&store.connection).unwrap() {}
        let findings = find(&store, "zz");
        assert_eq!((findings.hits.len(), findings.back_to), (0, Some(WallTime::from_millis(11))));
        assert_eq!(find(&store, "zzz").back_to, None, "the index knows that there is none");
    }

    #[test]
    fn messages_of_one_millisecond_keep_apart() {
        let same = |seq| StoredRecord {
            time: WallTime::from_millis(u64::MAX),
            ..message(seq, "same time")
        };
        let (store, _folder) = store((1..=5).map(same).collect());
        assert_eq!(find(&store, "same").hits.len(), 5);
    }
}
