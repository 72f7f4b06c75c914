//! Why the relay said no, and whether asking again can help (wire §5.4).

use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// A definite no from the relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of no.
    pub code: RefusalCode,
    /// Milliseconds after which asking again can succeed; 0 if the refusal is final.
    pub retry_after_ms: u32,
    /// The values behind it, for people: which limit, which name, until when.
    pub detail: String,
}

impl Refusal {
    /// A refusal that time does not cure.
    pub fn last(code: RefusalCode, detail: impl Into<String>) -> Self {
        Self { code, retry_after_ms: 0, detail: detail.into() }
    }

    /// A refusal that time cures: nothing was decided, the same request may be sent again.
    pub fn for_now(code: RefusalCode, retry_after: Duration, detail: impl Into<String>) -> Self {
        let millis = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX).max(1);
        Self { code, retry_after_ms: millis, detail: detail.into() }
    }

    /// When to ask again; `None` if never.
    pub fn retry_after(&self) -> Option<Duration> {
        (self.retry_after_ms > 0).then(|| Duration::from_millis(self.retry_after_ms.into()))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code.meaning(), self.detail.as_str()) {
            (Some(meaning), "") => f.write_str(meaning),
            (Some(meaning), detail) => write!(f, "{meaning}: {detail}"),
            (None, detail) => write!(f, "refused with code {}: {detail}", self.code.0),
        }
    }
}

/// The kind of a refusal. An integer, so that a later relay can add one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RefusalCode(pub u16);

macro_rules! codes {
    ($($name:ident = $number:literal, $meaning:literal;)*) => {
        impl RefusalCode {
            $(#[doc = concat!("The relay says: ", $meaning, ".")] pub const $name: Self = Self($number);)*

            /// What the code means, in words; `None` for a code of a later version.
            pub const fn meaning(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($meaning),)*
                    Self(_) => None,
                }
            }
        }
    };
}

codes! {
    // Time cures these.
    RATE = 1, "too many messages for now";
    STORE_FULL = 2, "the relay's disk is full or cannot be written";
    DRAINING = 3, "the relay is shutting down";
    BUSY = 4, "the relay is overloaded";
    WAITING = 5, "an earlier message of this device has to be decided first";
    UNSETTLED = 6, "too many messages of this device wait to be settled";
    // These are final.
    NOT_A_MEMBER = 20, "not a member";
    MUTED = 21, "muted";
    BANNED = 22, "banned";
    TOO_LARGE = 23, "too large";
    NOT_ALLOWED = 24, "not allowed";
    NO_SUCH_TARGET = 25, "the message it refers to does not exist or is no longer kept";
    COUNTER_REUSED = 26, "this device has used the number for another message";
    ALREADY_DECIDED = 27, "already decided earlier and settled since";
    MALFORMED = 28, "malformed";
    NO_SUCH_CONVERSATION = 29, "no such conversation";
    NO_SUCH_NAME = 30, "nobody has that name";
    NAME_TAKEN = 31, "the name is taken";
    NAME_NOT_ALLOWED = 32, "the name is not allowed";
    NOT_REGISTERED = 33, "this device has no account here";
    REGISTRATION_CLOSED = 34, "registration is closed";
    TICKET_NEEDED = 35, "registration needs an invitation";
    LIMIT = 36, "a limit of this relay is reached";
    UNSUPPORTED = 37, "this relay does not know the request";
    BLOCKED = 38, "this person does not take messages from you";
    WAITS_FOR_ANSWER = 39, "the first message waits until they accept the conversation";
    SUPERSEDED = 40, "another session of this device took over";
    TOO_SLOW = 41, "the connection did not keep up";
    TRIMMED = 42, "no longer kept";
    OPERATOR = 43, "closed by the relay's operator";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retryable_refusals_always_say_when() {
        let refusal = Refusal::for_now(RefusalCode::RATE, Duration::ZERO, "");
        assert_eq!(refusal.retry_after(), Some(Duration::from_millis(1)));
        assert_eq!(Refusal::last(RefusalCode::MUTED, "").retry_after(), None);
    }

    #[test]
    fn a_code_from_the_future_still_reads() {
        let refusal = Refusal::last(RefusalCode(999), "moon phase");
        assert_eq!(refusal.to_string(), "refused with code 999: moon phase");
    }
}
