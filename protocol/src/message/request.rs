//! Questions with one answer (wire §5.3). A request's number and id stand outside its encoding, so
//! that a relay can say "unsupported" to one it cannot decode.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{
    encoding::{DecodeError, decode, encode_into},
    refusal::Refusal,
    room::{
        Access, AccountInfo, BanInfo, BanTarget, ConversationInfo, DeviceInfo, MemberInfo, Role,
        RoomSummary,
    },
};
use crate::{
    ids::{AccountId, ConversationId, DeviceId, Digest, Seq},
    time::WallTime,
};

/// Declares every request with its number and the type of its answer: one table, from which the
/// two enums and their encodings follow. Append only.
macro_rules! requests {
    ($($(#[$doc:meta])* $number:literal $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)* } -> $reply:ty;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
            pub struct $name { $($(#[$fdoc])* pub $field: $type,)* }

            impl From<$name> for Request {
                fn from(request: $name) -> Self {
                    Self::$name(request)
                }
            }
        )*

        /// A question to the relay.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Request {
            $($(#[$doc])* $name($name),)*
            /// Of a later version: its number.
            Unknown(u16),
        }

        /// The answer to the request of the same name.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Reply {
            $(#[doc = concat!("To [`", stringify!($name), "`].")] $name($reply),)*
            /// Of a later version: its number.
            Unknown(u16),
        }

        impl Request {
            /// The request's number on the wire.
            pub const fn number(&self) -> u16 {
                match self {
                    $(Self::$name(_) => $number,)*
                    Self::Unknown(number) => *number,
                }
            }

            pub(super) fn encode_into(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$name(request) => encode_into(request, out),)*
                    Self::Unknown(_) => {}
                }
            }

            pub(super) fn decode(number: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
                match number {
                    $($number => decode(bytes).map(Self::$name),)*
                    unknown => Ok(Self::Unknown(unknown)),
                }
            }
        }

        impl Reply {
            /// The number of the request it answers.
            pub const fn number(&self) -> u16 {
                match self {
                    $(Self::$name(_) => $number,)*
                    Self::Unknown(number) => *number,
                }
            }

            pub(super) fn encode_into(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$name(reply) => encode_into(reply, out),)*
                    Self::Unknown(_) => {}
                }
            }

            pub(super) fn decode(number: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
                match number {
                    $($number => decode(bytes).map(Self::$name),)*
                    unknown => Ok(Self::Unknown(unknown)),
                }
            }
        }
    };
}

requests! {
    /// Who has this name?
    1 Resolve {
        /// As a person writes it, without `@`.
        name: String,
    } -> AccountInfo;

    /// Whose are these devices? Unknown ones are left out of the answer.
    2 Lookup {
        /// At most [`LIST_ITEMS_MAX`](crate::limits::LIST_ITEMS_MAX).
        devices: Vec<DeviceId>,
    } -> Vec<DeviceInfo>;

    /// Opens the direct conversation with somebody, or finds it. For them it is a request until
    /// they answer.
    3 OpenDirect {
        /// Whom.
        peer: AccountId,
    } -> ConversationInfo;

    /// Founds an open room, with the asking account as its owner. Asking again with the same
    /// genesis finds it.
    4 CreateRoom {
        /// The encoded [`Genesis`](super::room::Genesis).
        genesis: ByteBuf,
        /// Without `#`.
        name: String,
        /// May be empty.
        topic: String,
        /// Who may join.
        access: Access,
    } -> ConversationInfo;

    /// Joins a room by name, accepts an invitation, or asks to be admitted; the answer's standing
    /// says which.
    5 Join {
        /// Without `#`.
        room: String,
    } -> ConversationInfo;

    /// Leaves a room, declines an invitation, withdraws a request, or refuses a direct one.
    6 Leave {
        /// Which.
        conversation: ConversationId,
    } -> ();

    /// Rooms whose names contain `filter`, in order of name.
    7 ListRooms {
        /// Empty for all.
        filter: String,
        /// Only names after this one; empty from the start.
        after: String,
    } -> Vec<RoomSummary>;

    /// Members in order of account id.
    8 Members {
        /// Which.
        conversation: ConversationId,
        /// Only accounts after this one.
        after: Option<AccountId>,
    } -> Vec<MemberInfo>;

    /// Sets the topic.
    9 SetTopic {
        /// Which.
        conversation: ConversationId,
        /// Empty to take it away.
        topic: String,
    } -> ();

    /// Gives a member a role.
    10 SetRole {
        /// Which.
        conversation: ConversationId,
        /// Whom.
        account: AccountId,
        /// What.
        role: Role,
    } -> ();

    /// Removes a member.
    11 Kick {
        /// Which.
        conversation: ConversationId,
        /// Whom.
        account: AccountId,
        /// Why; may be empty.
        reason: String,
    } -> ();

    /// Removes whom the target hits and keeps them out. The answer names the members it hits;
    /// with `dry_run` nothing else happens.
    12 Ban {
        /// Which.
        conversation: ConversationId,
        /// Whom.
        target: BanTarget,
        /// Until when; zero is for good.
        until: WallTime,
        /// Why; may be empty.
        reason: String,
        /// Only say whom it would hit.
        dry_run: bool,
    } -> Vec<AccountInfo>;

    /// Lifts a ban.
    13 Unban {
        /// Which.
        conversation: ConversationId,
        /// Whom.
        target: BanTarget,
    } -> ();

    /// The bans in force.
    14 Bans {
        /// Which.
        conversation: ConversationId,
    } -> Vec<BanInfo>;

    /// Takes a member's voice until a time; a time in the past gives it back.
    15 Mute {
        /// Which.
        conversation: ConversationId,
        /// Whom.
        account: AccountId,
        /// Until when.
        until: WallTime,
    } -> ();

    /// Asks somebody in.
    16 Invite {
        /// Which.
        conversation: ConversationId,
        /// Whom.
        account: AccountId,
    } -> ();

    /// Answers somebody's request to join, or a stranger's direct conversation (where `account`
    /// is the stranger).
    17 Admit {
        /// Which.
        conversation: ConversationId,
        /// Whose request.
        account: AccountId,
        /// Yes or no.
        verdict: Verdict,
    } -> ();

    /// Changes who may join.
    18 SetAccess {
        /// Which.
        conversation: ConversationId,
        /// Who.
        access: Access,
    } -> ();

    /// Takes another name in the directory.
    19 Rename {
        /// Without `@`.
        name: String,
    } -> AccountInfo;

    /// Stops taking direct messages from somebody, or takes them again.
    20 Block {
        /// Whom.
        account: AccountId,
        /// Stop, or take them again.
        verdict: Verdict,
    } -> ();

    /// Whom the account blocks.
    21 Blocked {} -> Vec<AccountInfo>;

    /// The chain after a record: for finding where two logs part, and for audits.
    22 ChainAt {
        /// Which.
        conversation: ConversationId,
        /// After which record.
        seq: Seq,
    } -> Digest;
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Admit; block.
    Yes,
    /// Turn away; unblock.
    No,
}

/// What came of a request.
pub type Outcome = Result<Reply, Refusal>;
