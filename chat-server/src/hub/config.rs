//! What the operator may set about the hub, and every limit it enforces, each with its reason.

use std::{collections::BTreeSet, time::Duration};

use protocol::{ids::RelayKey, limits::BODY_BYTES_MAX};

/// Who may found an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Whoever reaches the relay from a private, link-local or loopback address; others need an
    /// invitation.
    Open,
    /// Whoever has an invitation.
    Invite,
    /// Nobody.
    Closed,
}

/// Everything the hub can be told. Replaced as a whole on reload.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// The relay's label for itself.
    pub relay_name: String,
    /// All keys that are valid for this relay, the current one first.
    pub keys: Vec<RelayKey>,
    /// Who may found an account.
    pub registration: Registration,
    /// Authenticates invitations; derived from the relay's private key, never leaves the machine.
    pub ticket_secret: [u8; 32],
    /// Names nobody may take besides [`RESERVED_NAMES`](super::names::RESERVED_NAMES).
    pub reserved_names: BTreeSet<String>,
    /// How long records are kept.
    pub retention: Retention,
    /// What one account, room or batch may cost.
    pub limits: Limits,
}

impl HubConfig {
    /// The defaults for a relay with these keys.
    pub fn new(keys: Vec<RelayKey>, ticket_secret: [u8; 32]) -> Self {
        Self {
            relay_name: "relay".into(),
            keys,
            registration: Registration::Open,
            ticket_secret,
            reserved_names: BTreeSet::new(),
            retention: Retention::default(),
            limits: Limits::default(),
        }
    }
}

/// How long records are kept. The default keeps them all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// At most this many in one conversation; it may hold an eighth more before it is trimmed.
    pub records_max: Option<u64>,
    /// At most this old. What is older goes with the next round over all conversations, see
    /// [`AGE_REST_DIVISOR`].
    pub age_max: Option<Duration>,
}

/// A token bucket: `burst` at once, then `per_second`. A rate of zero means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that come back per second.
    pub per_second: u32,
    /// Tokens in a full bucket.
    pub burst: u32,
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self { per_second: 0, burst: 0 };
}

/// What one account, room or batch may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages of one account: a paste of hundreds of lines passes, a loop does not.
    pub messages: Rate,
    /// Bytes of one account's messages.
    pub message_bytes: Rate,
    /// Requests of one account.
    pub requests: Rate,
    /// New accounts from one address (IPv6: one /64). Loopback is exempt: it is the machine's own.
    pub registrations: Rate,
    /// Largest body, at most what the protocol allows.
    pub body_bytes_max: u32,
    /// Accounts of this relay: all of them are in memory.
    pub accounts_max: u32,
    /// Conversations an account has to do with, direct ones included.
    pub conversations_per_account_max: u32,
    /// Rooms an account may found.
    pub rooms_per_account_max: u32,
    /// Members of one room. `#lobby` is exempt, or nobody new could come in.
    pub members_per_room_max: u32,
    /// Bans of one room.
    pub bans_per_room_max: u32,
    /// Accounts one account may block: what one list in a reply holds.
    pub blocked_per_account_max: u32,
    /// Messages one batch takes before input has to wait: more would make everybody in it wait for
    /// one sync without making the sync cheaper per message.
    pub batch_messages_max: u32,
    /// Bytes one batch takes before input has to wait.
    pub batch_bytes_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            messages: Rate { per_second: 50, burst: 1_000 },
            message_bytes: Rate { per_second: 256 * 1024, burst: 4 * 1024 * 1024 },
            requests: Rate { per_second: 20, burst: 200 },
            registrations: Rate { per_second: 5, burst: 200 },
            body_bytes_max: u32::try_from(BODY_BYTES_MAX).expect("a small constant"),
            accounts_max: 100_000,
            conversations_per_account_max: 500,
            rooms_per_account_max: 50,
            members_per_room_max: 10_000,
            bans_per_room_max: 1_000,
            blocked_per_account_max: 200,
            batch_messages_max: 4_096,
            batch_bytes_max: 1024 * 1024,
        }
    }
}

/// No *offline* is told for this long after a start: everybody has to come back first.
pub const OFFLINE_SILENCE_AFTER_START: Duration = Duration::from_secs(30);
/// A device that is back within this has not been away.
pub const RECONNECT_GRACE: Duration = Duration::from_secs(5);
/// Presence changes are told together, at most this often.
pub const PRESENCE_INTERVAL: Duration = Duration::from_millis(250);
/// Counts of who is there, in conversations too large for names, at most this often.
pub const PRESENCE_COUNT_INTERVAL: Duration = Duration::from_secs(1);
/// Progress is told at most this often: four times a second reads as live.
pub const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// Marks ride on the next commit; without one they get their own after this long. Losing them in
/// a crash only makes a state rise later.
pub const MARKS_DELAY: Duration = Duration::from_secs(5);
/// Marks one commit takes along at most, so that they never make a batch large.
pub const MARKS_PER_COMMIT_MAX: usize = 1_024;
/// While the store takes no writes, a commit is tried this often, and senders are told to come
/// back after it.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// When to offer a message again that waits for an earlier one.
pub const WAITING_RETRY: Duration = Duration::from_millis(100);
/// When to offer a message again that exceeds the window of unsettled ones.
pub const UNSETTLED_RETRY: Duration = Duration::from_millis(200);
/// When to offer a second message to somebody who has not answered the first.
pub const ANSWER_RETRY: Duration = Duration::from_secs(60);
/// A person who keeps typing is told about at most this often.
pub const TYPING_INTERVAL: Duration = Duration::from_secs(1);
/// Conversations one session may have on screen (wire §5.1).
pub const SHOWN_MAX: usize = 4;
/// Inputs one batch remembers for the case that its commit fails.
pub const BATCH_INPUTS_MAX: usize = 16_384;
/// Conversations whose ages are looked at together. Mostly that is one short read each; a log that
/// has aged costs some dozens.
pub const AGE_LOOK_CONVERSATIONS_MAX: usize = 32;
/// Between two looks of one round, so that readers are there for people: 100,000 conversations take
/// five minutes.
pub const AGE_LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// After a round, the next begins after this part of the age: records outlive it by a sixteenth …
pub const AGE_REST_DIVISOR: u32 = 16;
/// … but looking more often than this helps nobody …
pub const AGE_REST_MIN: Duration = Duration::from_secs(1);
/// … and who keeps records for a year may still want them gone on the day.
pub const AGE_REST_MAX: Duration = Duration::from_secs(3_600);
/// Full buckets are forgotten this often.
pub const QUOTA_SWEEP_INTERVAL: Duration = Duration::from_secs(30);
