//! Every bound that is visible on the wire, with its reason. A peer that exceeds one has broken
//! the protocol or is refused with the limit's name; a test leans on each.

/// Largest packet with kind byte and tag: what the `u16` length prefix can say (wire §3).
pub const PACKET_BYTES_MAX: usize = 65_535;
/// Largest packet before a session is attached: nobody unknown may make us buffer more.
pub const PACKET_BYTES_BEFORE_LOGIN_MAX: usize = 2_048;
/// Where a sealed batch stops taking messages: larger ones gain nothing in AEAD throughput and
/// hold back the first message in them.
pub const BATCH_BYTES_TARGET: usize = 16_384;
/// Largest content of one sealed packet: kind byte and 16-byte tag taken off.
pub const CONTENT_BYTES_MAX: usize = PACKET_BYTES_MAX - 17;
/// Largest payload inside the first handshake message: it is replayable and read before any login.
pub const HANDSHAKE_PAYLOAD_BYTES_MAX: usize = 512;
/// Largest cookie a retry may ask to bring along: a MAC and its time need 40 bytes.
pub const COOKIE_BYTES_MAX: usize = 64;
/// Longest name of a relay in bytes of UTF-8.
pub const RELAY_NAME_BYTES_MAX: usize = 64;
/// Longest ticket of an invitation: as unguessable as a key.
pub const TICKET_BYTES_MAX: usize = 32;

/// Largest body of an event: checked in the composer and by the relay.
pub const BODY_BYTES_MAX: usize = 32_768;
/// Largest encoded envelope: its fields need under 128 bytes, the rest is room for `ext`.
pub const ENVELOPE_BYTES_MAX: usize = 1_024;
/// An Ed25519 signature, or nothing in an unsealed conversation.
pub const SIGNATURE_BYTES_MAX: usize = 64;
/// Largest genesis link or genesis record.
pub const GENESIS_BYTES_MAX: usize = 512;
/// Most `ext` pairs of one value, and most bytes of one pair.
pub const EXT_PAIRS_MAX: usize = 16;
/// Largest value of one `ext` pair.
pub const EXT_BYTES_MAX: usize = 512;

/// Longest account name in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 48;
/// Longest room name in bytes of UTF-8, without the `#`.
pub const ROOM_NAME_BYTES_MAX: usize = 64;
/// Longest topic in bytes of UTF-8.
pub const TOPIC_BYTES_MAX: usize = 1_024;
/// Longest reason for a kick, ban or refusal, in bytes of UTF-8.
pub const REASON_BYTES_MAX: usize = 256;
/// Largest reaction in bytes of UTF-8: one emoji with its joiners and modifiers.
pub const REACTION_BYTES_MAX: usize = 64;

/// Most records in one run, and in one page of history.
pub const RUN_RECORDS_MAX: u32 = 1_024;
/// Target size of one run inside a packet; a single larger record still travels alone.
pub const RUN_BYTES_TARGET: usize = BATCH_BYTES_TARGET;
/// Most items of one list in a reply: rooms, members, bans, devices. A longer list is paged.
pub const LIST_ITEMS_MAX: usize = 200;
/// Most accounts one session may watch for presence.
pub const WATCHED_ACCOUNTS_MAX: usize = 256;
/// Most messages of one device in one conversation that are sent and not settled. The relay
/// remembers the decision on each until the device says that it knows (`floor`).
pub const UNSETTLED_MAX: usize = 256;
/// Largest conversation whose members may see each other typing.
pub const TYPING_MEMBERS_MAX: u32 = 20;
/// Largest conversation whose members see each other's presence; above it, a count.
pub const PRESENCE_MEMBERS_MAX: u32 = 50;
/// Largest conversation whose members' progress is told one by one; above it, as counts.
pub const PROGRESS_MEMBERS_MAX: u32 = 32;

const _: () = assert!(
    BODY_BYTES_MAX + ENVELOPE_BYTES_MAX + SIGNATURE_BYTES_MAX + 64 < CONTENT_BYTES_MAX,
    "the largest message fits one packet: on TCP a message never spans two"
);
