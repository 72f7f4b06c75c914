//! What the operator asks of a relay, as a line of text on the control socket, and the answer.
//!
//! ```text
//!   admin add NAME      name release NAME     ticket SECONDS      info
//!   admin remove NAME   backup FILE           sessions            reload
//!   admin list
//! ```
//!
//! An answer is `ok` or `error REASON`, and then lines of text until the end.

use std::{fmt, fmt::Write as _, path::PathBuf, str::FromStr, time::Duration};

use crate::hub::{OperatorAnswer, OperatorCall, OperatorError};

/// Something to do for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorRequest {
    /// The hub's business.
    Hub(OperatorCall),
    /// Write a copy of the store.
    Backup(PathBuf),
    /// Where the relay listens and who it is.
    Info,
    /// Read the settings again.
    Reload,
}

/// A line that is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown request")]
pub struct UnknownRequest;

impl FromStr for OperatorRequest {
    type Err = UnknownRequest;

    fn from_str(line: &str) -> Result<Self, UnknownRequest> {
        let argument = |verb: &str| {
            line.strip_prefix(verb)
                .and_then(|rest| rest.strip_prefix(' '))
                .filter(|rest| !rest.is_empty())
                .map(str::to_owned)
        };
        let call = match line {
            "admin list" => OperatorCall::AdminList,
            "sessions" => OperatorCall::Sessions,
            "info" => return Ok(Self::Info),
            "reload" => return Ok(Self::Reload),
            _ => {
                if let Some(name) = argument("admin add") {
                    OperatorCall::AdminAdd { name }
                } else if let Some(name) = argument("admin remove") {
                    OperatorCall::AdminRemove { name }
                } else if let Some(name) = argument("name release") {
                    OperatorCall::NameRelease { name }
                } else if let Some(file) = argument("backup") {
                    return Ok(Self::Backup(file.into()));
                } else {
                    let seconds = argument("ticket").and_then(|text| text.parse().ok());
                    let lifetime = Duration::from_secs(seconds.ok_or(UnknownRequest)?);
                    OperatorCall::Ticket { lifetime }
                }
            }
        };
        Ok(Self::Hub(call))
    }
}

impl fmt::Display for OperatorRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub(OperatorCall::AdminAdd { name }) => write!(f, "admin add {name}"),
            Self::Hub(OperatorCall::AdminRemove { name }) => write!(f, "admin remove {name}"),
            Self::Hub(OperatorCall::AdminList) => f.write_str("admin list"),
            Self::Hub(OperatorCall::NameRelease { name }) => write!(f, "name release {name}"),
            Self::Hub(OperatorCall::Sessions) => f.write_str("sessions"),
            Self::Hub(OperatorCall::Ticket { lifetime }) => {
                write!(f, "ticket {}", lifetime.as_secs())
            }
            Self::Backup(file) => write!(f, "backup {}", file.display()),
            Self::Info => f.write_str("info"),
            Self::Reload => f.write_str("reload"),
        }
    }
}

/// The hub's answer as lines of text.
pub(crate) fn lines_of(answer: &Result<OperatorAnswer, OperatorError>) -> Result<String, String> {
    let answer = answer.as_ref().map_err(ToString::to_string)?;
    // Writing to a string cannot fail.
    let mut lines = String::new();
    match answer {
        OperatorAnswer::Done => {}
        OperatorAnswer::Administrators(accounts) => {
            for (account, name) in accounts {
                let name = if name.is_empty() { "(no name)" } else { name };
                let _ = writeln!(lines, "{name}\t{account}");
            }
        }
        OperatorAnswer::Sessions(sessions) => {
            for session in sessions {
                // The client's text is a stranger's.
                let _ = writeln!(
                    lines,
                    "{}\t{}\t{}\t{}\t{}",
                    session.name,
                    session.account,
                    session.device,
                    session.address,
                    session.client.escape_debug()
                );
            }
        }
        OperatorAnswer::Ticket(ticket) => {
            lines.push_str(&data_encoding::BASE64URL_NOPAD.encode(ticket));
            lines.push('\n');
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_reads_back_as_itself() {
        let name = || "ann of the north".to_owned();
        for request in [
            OperatorRequest::Hub(OperatorCall::AdminAdd { name: name() }),
            OperatorRequest::Hub(OperatorCall::AdminRemove { name: name() }),
            OperatorRequest::Hub(OperatorCall::AdminList),
            OperatorRequest::Hub(OperatorCall::NameRelease { name: name() }),
            OperatorRequest::Hub(OperatorCall::Sessions),
            OperatorRequest::Hub(OperatorCall::Ticket { lifetime: Duration::from_secs(60) }),
            OperatorRequest::Backup("/tmp/a b".into()),
            OperatorRequest::Info,
            OperatorRequest::Reload,
        ] {
            assert_eq!(request.to_string().parse(), Ok(request));
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for line in ["", "admin", "admin add", "admin add ", "ticket soon", "format c:"] {
            assert_eq!(line.parse::<OperatorRequest>(), Err(UnknownRequest), "{line:?}");
        }
    }
}
