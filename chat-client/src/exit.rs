//! What the process tells the shell: the exit codes, fixed, because scripts depend on them.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Failed, for a reason that has no code of its own.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// What was asked for does not exist.
    NotFound = 3,
    /// The relay knows us and does not allow it.
    Denied = 4,
    /// No relay could be reached.
    Unreachable = 5,
    /// The message is kept and goes out later.
    Queued = 6,
    /// The relay's key, or the account behind a name, is not the one this profile trusts.
    Untrusted = 7,
    /// A limit was hit.
    Limit = 8,
    /// The time given with `--timeout` is over.
    Timeout = 124,
    /// Ended by SIGINT.
    Interrupted = 130,
    /// Ended by SIGTERM.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_the_documented_ones() {
        let codes = [
            Exit::Ok,
            Exit::Failed,
            Exit::Usage,
            Exit::NotFound,
            Exit::Denied,
            Exit::Unreachable,
            Exit::Queued,
            Exit::Untrusted,
            Exit::Limit,
            Exit::Timeout,
            Exit::Interrupted,
            Exit::Terminated,
        ]
        .map(|exit| exit as u8);
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 124, 130, 143]);
    }
}
