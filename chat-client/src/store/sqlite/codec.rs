//! How values lie in columns.

use std::borrow::Cow;

use protocol::{
    ids::{ConversationId, Counter, DeviceId, Digest, MessageId, Seq},
    message::{
        encoding::{decode_own, encode},
        record::Content,
    },
    time::WallTime,
};
use rusqlite::{Error, Row, types::Type};
use serde::{Serialize, de::DeserializeOwned};

use crate::store::row::StoredRecord;

/// The columns of a record that [`record`] reads, in its order.
pub(super) const RECORD: &str =
    "seq, time, device, counter, target, envelope, signature, content, erased";

/// A place, counter or time as SQLite keeps it. What no relay and no clock reaches is cut off.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The way back.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> Result<u64, Error> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| Error::IntegralValueOutOfRange(column, value))
}

/// A value of this program's own encoding.
pub(super) fn blob<T: Serialize>(value: &T) -> Vec<u8> {
    encode(value)
}

/// The way back.
pub(super) fn value<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T, Error> {
    let bytes = row.get_ref(column)?.as_blob()?;
    decode_own(bytes).map_err(|error| damaged(column, error))
}

/// A blob of fixed length.
pub(super) fn array<const N: usize>(row: &Row<'_>, column: usize) -> Result<[u8; N], Error> {
    let bytes = row.get_ref(column)?.as_blob()?;
    bytes.try_into().map_err(|error| damaged(column, error))
}

/// A whole record without its chain; columns as in [`RECORD`].
pub(super) fn record(row: &Row<'_>) -> Result<StoredRecord, Error> {
    let device: Option<[u8; 16]> = match row.get_ref(2)? {
        rusqlite::types::ValueRef::Null => None,
        _ => Some(array(row, 2)?),
    };
    let id = match device {
        Some(device) => {
            Some(MessageId { device: DeviceId(device), counter: Counter(unsigned(row, 3)?) })
        }
        None => None,
    };
    let target: Option<i64> = row.get(4)?;
    Ok(StoredRecord {
        seq: Seq(unsigned(row, 0)?),
        time: WallTime::from_millis(unsigned(row, 1)?),
        id,
        target: target.and_then(|target| u64::try_from(target).ok()).map(Seq),
        envelope: row.get(5)?,
        signature: row.get(6)?,
        content: content(row, 7, 8)?,
        chain: None,
    })
}

/// What a record says, or its digest.
fn content(row: &Row<'_>, column: usize, erased: usize) -> Result<Content<'static>, Error> {
    if row.get(erased)? {
        return array::<32>(row, column).map(Content::Erased);
    }
    row.get(column).map(|body: Vec<u8>| Content::Body(Cow::Owned(body)))
}

/// What lies in the content column.
pub(super) fn content_bytes<'a>(content: &'a Content<'_>) -> (&'a [u8], bool) {
    match content {
        Content::Body(body) => (body, false),
        Content::Erased(digest) => (digest, true),
    }
}

/// An id as a parameter.
pub(super) const fn id(conversation: &ConversationId) -> &[u8; 16] {
    conversation.as_bytes()
}

/// A digest that may be missing.
pub(super) fn optional_digest(row: &Row<'_>, column: usize) -> Result<Option<Digest>, Error> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => array(row, column).map(Some),
    }
}

fn damaged(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
}
