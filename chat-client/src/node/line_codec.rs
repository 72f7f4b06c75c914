//! What travels over `run.sock`: one JSON object a line, in both directions.
//!
//! ```text
//!   guest ── {"v":1,"events":true} ───────────────▶ owner      hello
//!   guest ◀─ {"v":1,"pid":…,"version":…,"relay":…} ─ owner      hello
//!   guest ── {"id":1,"call":"status"} ────────────▶ owner
//!   guest ◀─ {"id":1,"answer":"status",…} ──────── owner      or "error", or without id "event"
//! ```

use std::io;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};

use super::call::{Answer, Call, CallError, Event};

/// The version of what travels. Another version of the program may own the home.
pub(super) const SOCKET_VERSION: u32 = 1;
/// Longest line a guest may send: the largest message, every byte of it escaped, and some.
pub(super) const CALL_BYTES_MAX: usize = 512 * 1_024;
/// Longest line an owner sends: a page of [`PAGE_RECORDS_MAX`](super::PAGE_RECORDS_MAX) of the
/// largest messages in hexadecimal, and some.
pub(super) const ANSWER_BYTES_MAX: usize = 24 * 1_024 * 1_024;

/// The guest's first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct GuestHello {
    pub(super) v: u32,
    pub(super) events: bool,
}

/// The owner's first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OwnerHello {
    pub(super) v: u32,
    pub(super) pid: u32,
    pub(super) version: String,
    pub(super) relay: protocol::ids::RelayKey,
}

/// Every further line of the guest.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CallLine {
    pub(super) id: u64,
    #[serde(flatten)]
    pub(super) call: Call,
}

/// Every further line of the owner.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum OwnerLine {
    Answer {
        id: u64,
        #[serde(flatten)]
        answer: Answer,
    },
    Error {
        id: u64,
        #[serde(flatten)]
        error: CallError,
    },
    Event(Event),
}

/// Reads one line and what it means; `None` at the end of the stream.
///
/// # Errors
///
/// If the stream broke, the line is longer than `bytes_max`, or means nothing.
///
/// # Cancel safety
///
/// `partial` keeps what was read of an unfinished line.
pub(super) async fn read_line<T: DeserializeOwned>(
    reader: &mut (impl AsyncBufRead + Unpin),
    partial: &mut Vec<u8>,
    bytes_max: usize,
) -> io::Result<Option<T>> {
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            return Ok(None);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(available.len());
        if partial.len() + taken > bytes_max {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "line is too long"));
        }
        partial.extend_from_slice(&available[..taken]);
        reader.consume(end.map_or(taken, |end| end + 1));
        if end.is_some() {
            let value = serde_json::from_slice(partial)?;
            partial.clear();
            return Ok(Some(value));
        }
    }
}

/// Writes one line.
///
/// # Errors
///
/// If the stream broke.
pub(super) async fn write_line(
    writer: &mut (impl AsyncWrite + Unpin),
    value: &impl Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    writer.write_all(&line).await
}

#[cfg(test)]
mod tests {
    use protocol::{
        ids::{ConversationId, Counter, DeviceId, MessageId, Seq},
        time::WallTime,
    };

    use super::*;
    use crate::{node::call::SentMessage, store::row::LocalId};

    #[tokio::test]
    async fn lines_come_back_and_too_long_ones_do_not() {
        let mut bytes = Vec::new();
        let hello = GuestHello { v: SOCKET_VERSION, events: true };
        write_line(&mut bytes, &hello).await.expect("a Vec takes it");
        let line = bytes.len() - 1;
        let mut partial = Vec::new();
        let read = read_line::<GuestHello>(&mut &bytes[..], &mut partial, line).await;
        assert!(read.expect("at the limit").expect("a line").events);
        partial.clear();
        assert!(read_line::<GuestHello>(&mut &bytes[..], &mut partial, line - 1).await.is_err());
    }

    #[test]
    fn owner_lines_are_told_apart() {
        let sent = SentMessage {
            local: LocalId(1),
            conversation: ConversationId([2; 16]),
            id: MessageId { device: DeviceId([3; 16]), counter: Counter(4) },
            seq: Seq(5),
            time: WallTime::from_millis(6),
        };
        for line in [
            OwnerLine::Answer { id: 1, answer: Answer::Done },
            OwnerLine::Answer { id: 1, answer: Answer::Sent(sent) },
            OwnerLine::Error { id: 1, error: CallError::OwnerGone },
            OwnerLine::Event(Event::Missed),
        ] {
            let json = serde_json::to_string(&line).expect("plain data");
            let back: OwnerLine = serde_json::from_str(&json).expect("what we wrote");
            assert_eq!(format!("{back:?}"), format!("{line:?}"));
        }
    }
}
