//! What people say: the bodies of records (wire §6.4).
//!
//! A body is {kind u16, bytes}. A kind from a later version is kept raw, shown as "needs a newer
//! version", and read again after an upgrade. The relay never decodes a body it did not write.

use serde::{Deserialize, Serialize};

use super::{
    encoding::{DecodeError, decode, encode_into, read_varint, write_varint},
    ext::Ext,
    record::Target,
    room::{Access, Role},
};
use crate::{
    ids::AccountId,
    limits::{BODY_BYTES_MAX, REACTION_BYTES_MAX, REASON_BYTES_MAX, TOPIC_BYTES_MAX},
    time::WallTime,
};

/// Something said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// The words, in a markdown subset.
    pub text: String,
    /// The sender's clock when it was composed: shown as a detail, never used for order.
    pub composed_at: WallTime,
    /// The message it answers.
    pub reply_to: Option<Target>,
    /// Later additions.
    pub ext: Ext,
}

/// What happened to a room, written by the relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Who did it; absent if the relay's operator or the relay itself did.
    pub actor: Option<AccountId>,
    /// To whom.
    pub subject: Option<AccountId>,
    /// What.
    pub change: Change,
    /// Why, as the actor put it.
    pub reason: String,
    /// Later additions.
    pub ext: Ext,
}

/// A change of a room. Append only; a later version's notices travel under their own body kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// The conversation began.
    Created,
    /// The subject became a member.
    Joined,
    /// The subject left by itself.
    Left,
    /// The subject was removed.
    Kicked,
    /// The subject was removed and cannot return until this time, if one is given.
    Banned(Option<WallTime>),
    /// The subject may return.
    Unbanned,
    /// The subject may not speak until this time, if one is given.
    Muted(Option<WallTime>),
    /// The subject may speak again.
    Unmuted,
    /// The subject has this role now.
    Role(Role),
    /// The topic is this now.
    Topic(String),
    /// Who may join is this now.
    Access(Access),
    /// The subject was asked in.
    Invited,
}

/// The body of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Words.
    Text(Text),
    /// Words in the third person (`/me`).
    Action(Text),
    /// The new text of the target.
    Edit(Text),
    /// The target is to be erased; the reason may be empty.
    Delete(String),
    /// One reaction to the target; `false` takes it back.
    Reaction(String, Set),
    /// The relay's own.
    Notice(Notice),
    /// Made by a later version: its kind and its bytes.
    Unknown(u16, Vec<u8>),
}

/// Whether a reaction is added or taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Set {
    /// Added.
    On,
    /// Taken back.
    Off,
}

const TEXT: u16 = 1;
const ACTION: u16 = 2;
const EDIT: u16 = 3;
const DELETE: u16 = 4;
const REACTION: u16 = 5;
const NOTICE: u16 = 256;

impl Body {
    /// Encodes the body; done once per message.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        let mut put = |kind: u16, value: &dyn Fn(&mut Vec<u8>)| {
            write_varint(kind.into(), &mut out);
            value(&mut out);
        };
        match self {
            Self::Text(text) => put(TEXT, &|out| encode_into(text, out)),
            Self::Action(text) => put(ACTION, &|out| encode_into(text, out)),
            Self::Edit(text) => put(EDIT, &|out| encode_into(text, out)),
            Self::Delete(reason) => put(DELETE, &|out| encode_into(reason, out)),
            Self::Reaction(emoji, set) => put(REACTION, &|out| encode_into(&(emoji, set), out)),
            Self::Notice(notice) => put(NOTICE, &|out| encode_into(notice, out)),
            Self::Unknown(kind, bytes) => put(*kind, &|out| out.extend_from_slice(bytes)),
        }
        out
    }

    /// Decodes a body. A kind of a later version, and a known kind with a critical extension, come
    /// back as [`Body::Unknown`]: they are valid, only not readable here.
    ///
    /// # Errors
    ///
    /// If a known kind is malformed or beyond a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (kind, rest) = split_kind(bytes)?;
        let text = |wrap: fn(Text) -> Self| {
            let text: Text = decode(rest)?;
            Ok(if text.ext.unknown_critical().is_some() {
                Self::Unknown(kind, rest.to_vec())
            } else {
                wrap(text)
            })
        };
        match kind {
            TEXT => text(Self::Text),
            ACTION => text(Self::Action),
            EDIT => text(Self::Edit),
            DELETE => bounded(decode(rest)?, REASON_BYTES_MAX).map(Self::Delete),
            REACTION => {
                let (emoji, set) = decode(rest)?;
                Ok(Self::Reaction(bounded(emoji, REACTION_BYTES_MAX)?, set))
            }
            NOTICE => Self::notice(decode(rest)?, rest),
            later => Ok(Self::Unknown(later, rest.to_vec())),
        }
    }

    /// Decodes a body whose envelope is not understood here: whatever its kind, it is not readable.
    ///
    /// # Errors
    ///
    /// If it has no kind, or is too large.
    pub fn decode_unread(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (kind, rest) = split_kind(bytes)?;
        Ok(Self::Unknown(kind, rest.to_vec()))
    }

    fn notice(notice: Notice, bytes: &[u8]) -> Result<Self, DecodeError> {
        if notice.ext.unknown_critical().is_some() {
            return Ok(Self::Unknown(NOTICE, bytes.to_vec()));
        }
        if let Change::Topic(topic) = &notice.change
            && topic.len() > TOPIC_BYTES_MAX
        {
            return Err(DecodeError);
        }
        Ok(Self::Notice(notice))
    }

    /// A stable word for the kind, as `--json` prints it.
    pub const fn kind_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Action(_) => "action",
            Self::Edit(_) => "edit",
            Self::Delete(_) => "delete",
            Self::Reaction(..) => "reaction",
            Self::Notice(_) => "notice",
            Self::Unknown(..) => "unknown",
        }
    }
}

fn split_kind(bytes: &[u8]) -> Result<(u16, &[u8]), DecodeError> {
    if bytes.len() > BODY_BYTES_MAX {
        return Err(DecodeError);
    }
    let (kind, used) = read_varint(bytes)?;
    Ok((u16::try_from(kind).map_err(|_| DecodeError)?, &bytes[used..]))
}

fn bounded(text: String, bytes_max: usize) -> Result<String, DecodeError> {
    if text.len() <= bytes_max { Ok(text) } else { Err(DecodeError) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Text {
        Text {
            text: text.into(),
            composed_at: WallTime::default(),
            reply_to: None,
            ext: Ext::none(),
        }
    }

    #[test]
    fn bodies_round_trip() {
        for body in [
            Body::Text(text("héllo")),
            Body::Action(text("waves")),
            Body::Edit(text("better")),
            Body::Delete("typo".into()),
            Body::Reaction("👍".into(), Set::Off),
            Body::Unknown(4_711, vec![1, 2, 3]),
        ] {
            assert_eq!(Body::decode(&body.encode()), Ok(body));
        }
    }

    #[test]
    fn a_kind_from_the_future_is_kept_raw() {
        let bytes = Body::Unknown(999, vec![9; 40]).encode();
        assert_eq!(Body::decode(&bytes), Ok(Body::Unknown(999, vec![9; 40])));
    }

    #[test]
    fn a_critical_extension_makes_a_known_kind_unreadable_not_invalid() {
        let mut newer = text("hi");
        newer.ext.0.push((7, serde_bytes::ByteBuf::from([1])));
        let bytes = Body::Text(newer).encode();
        assert!(matches!(Body::decode(&bytes), Ok(Body::Unknown(TEXT, _))));
    }

    #[test]
    fn a_reaction_at_the_limit_passes_and_one_above_does_not() {
        let decodes =
            |len| Body::decode(&Body::Reaction("x".repeat(len), Set::On).encode()).is_ok();
        assert!(decodes(REACTION_BYTES_MAX));
        assert!(!decodes(REACTION_BYTES_MAX + 1));
    }
}
