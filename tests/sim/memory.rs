//! What a session over datagrams may make either side keep, asked of every session after every step
//! that could have changed it.

use protocol::{
    connection::datagram::{Endpoint, PROVISIONAL_MAX, Session, WAITING_MAX},
    limits::CONTENT_BYTES_MAX,
    transport::datagram::tuning::{CREDIT_BYTES, CREDIT_BYTES_INITIAL, UNACKED_BYTES_MAX},
};

use super::{model::Violation, paths::Place};

/// A driver that asks for room before it writes exceeds the bound by one write.
const WRITE_BYTES_MAX: usize = CONTENT_BYTES_MAX + 8;

/// What is written and not acknowledged, and what has arrived and is not read.
pub(crate) fn check_session(session: &Session, is_trusted: bool) -> Result<(), Violation> {
    let (unacked, unread) = session.kept_bytes();
    let credit = if is_trusted { CREDIT_BYTES } else { CREDIT_BYTES_INITIAL };
    if unacked as u64 > UNACKED_BYTES_MAX + WRITE_BYTES_MAX as u64 {
        return Err(Violation(format!("memory: {unacked} bytes are not acknowledged")));
    }
    if unread as u64 > credit {
        return Err(Violation(format!("memory: {unread} bytes are not read")));
    }
    Ok(())
}

/// What strangers make a relay keep; and it keeps no session that is nobody's.
pub(crate) fn check_endpoint(endpoint: &Endpoint<Place>, adopted: usize) -> Result<(), Violation> {
    let (waiting, remembered) = (endpoint.waiting(), endpoint.remembered());
    if waiting > WAITING_MAX || remembered > PROVISIONAL_MAX {
        let what = format!("memory: {waiting} handshakes wait, {remembered} are remembered");
        return Err(Violation(what));
    }
    if endpoint.len() > adopted + remembered {
        let sessions = endpoint.len();
        return Err(Violation(format!("memory: {sessions} sessions for {adopted} connections")));
    }
    Ok(())
}
