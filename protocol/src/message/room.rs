//! What a conversation is and who is in it (wire §5.3). What later versions extend is an integer
//! with named values: an unknown one is carried, shown as unknown and given no rights.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{encoding::encode, ext::Ext};
use crate::{
    ids::{AccountId, ConversationId, DeviceId, Seq},
    time::WallTime,
};

/// What sort of conversation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kind(pub u8);

impl Kind {
    /// Anyone may find it, join and read back. Readable by the relay, and says so.
    pub const OPEN_ROOM: Self = Self(1);
    /// Two people.
    pub const DIRECT: Self = Self(2);
    /// Members only, sealed. Reserved: this version does not serve it.
    pub const PRIVATE_ROOM: Self = Self(3);
}

/// Who may join a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Access(pub u8);

impl Access {
    /// Whoever asks.
    pub const ANYONE: Self = Self(1);
    /// Whom a moderator admits.
    pub const APPROVED: Self = Self(2);
    /// Whom a member with the right has invited.
    pub const INVITED: Self = Self(3);
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Role(pub u8);

impl Role {
    /// Speaks.
    pub const MEMBER: Self = Self(1);
    /// Also admits, mutes, kicks, bans, deletes and sets the topic.
    pub const MODERATOR: Self = Self(2);
    /// Also appoints, and changes who may join.
    pub const OWNER: Self = Self(3);
}

/// How an account stands to a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Standing(pub u8);

impl Standing {
    /// A member.
    pub const JOINED: Self = Self(1);
    /// Asked in, has not answered. In a direct conversation: a stranger's first message waits.
    pub const INVITED: Self = Self(2);
    /// Has asked to join, not admitted yet.
    pub const REQUESTED: Self = Self(3);
    /// Was a member or never one.
    pub const OUTSIDE: Self = Self(4);
}

/// What a room's identifier is the digest of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// 1.
    pub version: u8,
    /// [`Kind::OPEN_ROOM`] or [`Kind::PRIVATE_ROOM`].
    pub kind: Kind,
    /// Who made it; absent for the rooms a relay makes itself.
    pub creator: Option<AccountId>,
    /// Makes two rooms of one creator differ.
    pub nonce: [u8; 16],
}

impl Genesis {
    /// Encodes the record; its digest is the conversation's identifier.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// The identifier that follows from it.
    pub fn conversation(&self) -> ConversationId {
        ConversationId::of_genesis(&self.encode())
    }
}

/// A conversation as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationInfo {
    /// Which.
    pub id: ConversationId,
    /// What sort.
    pub kind: Kind,
    /// The room's name without `#`; empty for a direct one.
    pub name: String,
    /// The topic; empty if none.
    pub topic: String,
    /// Who may join.
    pub access: Access,
    /// How the asking account stands to it.
    pub standing: Standing,
    /// What it may do there.
    pub role: Role,
    /// It may not speak until then; zero if it may.
    pub muted_until: WallTime,
    /// The other person of a direct conversation.
    pub peer: Option<AccountInfo>,
    /// First record still kept; above `head` if nothing is.
    pub first: Seq,
    /// Newest record.
    pub head: Seq,
    /// The account has read up to here, on any device.
    pub read: Seq,
    /// How many members.
    pub members: u32,
    /// The genesis record; empty for a direct one.
    pub genesis: ByteBuf,
    /// Later additions.
    pub ext: Ext,
}

impl ConversationInfo {
    /// The first critical tag in it that this version does not know.
    pub fn unknown_critical(&self) -> Option<u16> {
        let of_peer = || self.peer.as_ref().and_then(AccountInfo::unknown_critical);
        self.ext.unknown_critical().or_else(of_peer)
    }
}

/// A room in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomSummary {
    /// Which.
    pub id: ConversationId,
    /// Its name without `#`.
    pub name: String,
    /// Its topic; empty if none.
    pub topic: String,
    /// Who may join.
    pub access: Access,
    /// How many members.
    pub members: u32,
    /// How the asking account stands to it.
    pub standing: Standing,
}

/// A person as the relay's directory knows it. The name is a label; the account is who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInfo {
    /// Who.
    pub account: AccountId,
    /// The directory's label.
    pub name: String,
    /// Later additions.
    pub ext: Ext,
}

impl AccountInfo {
    /// The first critical tag in it that this version does not know.
    pub fn unknown_critical(&self) -> Option<u16> {
        self.ext.unknown_critical()
    }
}

/// Whose device it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// Which device.
    pub device: DeviceId,
    /// The person it belongs to.
    pub account: AccountInfo,
    /// Its Ed25519 public key.
    pub signing_key: [u8; 32],
    /// Later additions.
    pub ext: Ext,
}

impl DeviceInfo {
    /// The first critical tag in it that this version does not know.
    pub fn unknown_critical(&self) -> Option<u16> {
        self.ext.unknown_critical().or_else(|| self.account.unknown_critical())
    }
}

/// A member in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberInfo {
    /// Who.
    pub account: AccountInfo,
    /// What they may do.
    pub role: Role,
    /// How they stand: joined, invited, requested.
    pub standing: Standing,
    /// They may not speak until then; zero if they may.
    pub muted_until: WallTime,
    /// Whether one of their devices is connected.
    pub presence: Presence,
}

/// Whether a person has a connected device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Presence(pub u8);

impl Presence {
    /// Not known, or not told.
    pub const UNKNOWN: Self = Self(0);
    /// No device is connected.
    pub const OFFLINE: Self = Self(1);
    /// A device is connected.
    pub const ONLINE: Self = Self(2);
}

/// Whom a ban hits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BanTarget {
    /// A person.
    Account(AccountId),
    /// One device of a person.
    Device(DeviceId),
    /// Addresses whose first `bits` equal those of `address`; IPv4 is written as IPv6-mapped.
    Address {
        /// An address inside the range.
        address: [u8; 16],
        /// Length of the prefix, at most 128.
        bits: u8,
    },
    /// A sort of a later version.
    Other(u16, ByteBuf),
}

/// A ban in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanInfo {
    /// Whom.
    pub target: BanTarget,
    /// Until when; zero is for good.
    pub until: WallTime,
    /// Why.
    pub reason: String,
    /// By whom, if not by the relay's operator.
    pub by: Option<AccountId>,
}
