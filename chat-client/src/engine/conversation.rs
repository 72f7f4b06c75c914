//! One conversation as the engine holds it: everything but its records.

use std::collections::{BTreeMap, VecDeque};

use protocol::{
    ids::{AccountId, ConversationId, Digest, Seq},
    message::{
        event::Change as RoomChange,
        record::{ChainPrefix, chain_prefix, chain_start},
        room::{ConversationInfo, Kind, Standing},
        session::{MemberProgress, ProgressCount},
    },
    time::{Timestamp, WallTime},
};

use super::{command::CommandId, cursor::Intervals, fork::ForkSearch, journal::Filed};
use crate::store::row::{Interval, StoredConversation};

/// A conversation: what the relay says about it, what is stored of it, how far others are.
#[derive(Debug)]
pub struct Conversation {
    pub(super) info: ConversationInfo,
    /// The newest record that the relay's description covers.
    pub(super) described: Seq,
    pub(super) intervals: Intervals,
    pub(super) read: Seq,
    pub(super) draft: String,
    pub(super) active: WallTime,
    pub(super) progress: BTreeMap<AccountId, MemberProgress>,
    pub(super) progress_count: Option<ProgressCount>,
    pub(super) stream: Stream,
    /// The last common record of two logs, while the disk is asked what is above it.
    pub(super) common: Option<(Seq, Digest)>,
    pub(super) pull: Option<Pulling>,
    pub(super) mark: Marking,
    /// The newest durable record and the chain there: what a new envelope says it has seen.
    pub(super) seen: (Seq, ChainPrefix),
    /// Durable, not announced: a sender is being looked up.
    pub(super) unannounced: VecDeque<Filed>,
    /// Nothing older than the newest stretch can be had.
    pub(super) complete: Complete,
    /// Whether the relay named it in this session.
    pub(super) listed: Listed,
    /// Whether the log may be another one than the one that is stored.
    pub(super) regained: Regained,
}

/// Whether older records may exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Complete {
    Yes,
    Unknown,
}

/// Whether the relay named the conversation in this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    Yes,
    No,
    /// In words of a later version, so that it is left alone in this session.
    NotUnderstood,
}

/// Whether a conversation that was lost is ours again, and its log not compared yet. The relay may
/// have been restored from a copy older than it and the log begun anew: what is stored of the old
/// one goes first, under its lower numbers, so nothing new is offered before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Regained {
    Yes,
    No,
}

/// The stream of new records in this session.
#[derive(Debug)]
pub(super) enum Stream {
    /// Not asked for.
    Idle,
    /// Asked for.
    Asked,
    /// Records come: the last one that came, and the chain there.
    Live { high: Seq, chain: Digest },
    /// The logs differ; the last common record is being looked for.
    Forked(Box<ForkSearch>),
}

/// A page that was asked for.
#[derive(Debug)]
pub(super) struct Pulling {
    pub(super) id: u32,
    pub(super) before: Seq,
    /// Who wanted it; nobody, if a gap is being filled.
    pub(super) commands: Vec<CommandId>,
}

/// Progress reports to the relay.
#[derive(Debug, Default)]
pub(super) struct Marking {
    /// What the relay was told in this session: durable, read.
    pub(super) told: (Seq, Seq),
    /// No report before this.
    pub(super) not_before: Timestamp,
}

impl Conversation {
    pub(super) fn new(info: ConversationInfo) -> Self {
        let read = info.read;
        let draft = String::new();
        let active = WallTime::default();
        Self::load(StoredConversation { info, intervals: Vec::new(), read, draft, active })
    }

    pub(super) fn load(stored: StoredConversation) -> Self {
        let mut conversation = Self {
            read: stored.read.max(stored.info.read),
            described: stored.info.head,
            info: stored.info,
            intervals: Intervals::from_stored(stored.intervals),
            draft: stored.draft,
            active: stored.active,
            progress: BTreeMap::new(),
            progress_count: None,
            stream: Stream::Idle,
            common: None,
            pull: None,
            mark: Marking::default(),
            seen: (Seq::ZERO, [0; 8]),
            unannounced: VecDeque::new(),
            complete: Complete::Unknown,
            listed: Listed::No,
            regained: Regained::No,
        };
        conversation.see_newest();
        conversation
    }

    /// What the relay says about it.
    pub const fn info(&self) -> &ConversationInfo {
        &self.info
    }

    /// Which.
    pub const fn id(&self) -> ConversationId {
        self.info.id
    }

    /// The stretches of it that are stored, or about to be; ascending, with gaps between.
    pub fn intervals(&self) -> &[Interval] {
        self.intervals.as_slice()
    }

    /// When the relay took the newest record that is durable here.
    pub const fn active(&self) -> WallTime {
        self.active
    }

    /// The newest record that is durable here; zero if none is.
    pub const fn received(&self) -> Seq {
        self.seen.0
    }

    /// How far this person has read, on any device that we know of.
    pub const fn read(&self) -> Seq {
        self.read
    }

    /// How many records are unread. What the relay no longer keeps and nobody brought here cannot
    /// be read any more.
    pub fn unread(&self) -> u64 {
        let gone =
            if self.received() < self.info.first { self.info.first.minus(1) } else { Seq::ZERO };
        self.info.head.0.saturating_sub(self.read.max(gone).0)
    }

    /// What the person was writing.
    pub fn draft(&self) -> &str {
        &self.draft
    }

    /// How far others are, as far as the relay named them since the start.
    pub const fn progress(&self) -> &BTreeMap<AccountId, MemberProgress> {
        &self.progress
    }

    /// In a large conversation: how many have the newest own message.
    pub const fn progress_count(&self) -> Option<&ProgressCount> {
        self.progress_count.as_ref()
    }

    /// True while new records come as they are made.
    pub const fn is_live(&self) -> bool {
        matches!(self.stream, Stream::Live { .. })
    }

    /// True if nothing older than what is stored can be had.
    pub fn is_complete(&self) -> bool {
        let begins = self.intervals.newest().is_some_and(|newest| newest.low == Seq::FIRST);
        begins || self.complete == Complete::Yes
    }

    /// True if its records may be read: a member's, or a stranger's first words to us.
    pub fn is_readable(&self) -> bool {
        let asked_directly =
            self.info.kind == Kind::DIRECT && self.info.standing == Standing::INVITED;
        self.is_understood() && (self.info.standing == Standing::JOINED || asked_directly)
    }

    /// False if the relay described it in this session and this version does not know how.
    pub fn is_understood(&self) -> bool {
        self.listed != Listed::NotUnderstood
    }

    /// Where a stream would continue: the newest stored record and the chain there.
    pub(super) fn position(&self) -> (Seq, Digest) {
        self.intervals
            .newest()
            .map_or((Seq::ZERO, chain_start(self.info.id)), |newest| (newest.high, newest.chain))
    }

    /// The relay describes a conversation once; what it writes into the log later changes what it
    /// described. True if this did. Whether somebody banned was a member is not said: the next
    /// description tells.
    pub(super) fn follow_notice(&mut self, seq: Seq, change: &RoomChange) -> bool {
        if seq <= self.described {
            return false;
        }
        match change {
            RoomChange::Joined => self.info.members = self.info.members.saturating_add(1),
            RoomChange::Left | RoomChange::Kicked => {
                self.info.members = self.info.members.saturating_sub(1);
            }
            RoomChange::Topic(topic) => self.info.topic.clone_from(topic),
            RoomChange::Access(access) => self.info.access = *access,
            RoomChange::Created
            | RoomChange::Banned(_)
            | RoomChange::Unbanned
            | RoomChange::Muted(_)
            | RoomChange::Unmuted
            | RoomChange::Role(_)
            | RoomChange::Invited => return false,
        }
        true
    }

    /// Takes everything stored for durable: after loading, and after a fork.
    pub(super) fn see_newest(&mut self) {
        let newest = self.intervals.newest();
        self.seen =
            newest.map_or((Seq::ZERO, [0; 8]), |newest| (newest.high, chain_prefix(&newest.chain)));
    }

    /// The session is over.
    pub(super) fn disconnect(&mut self) -> Vec<CommandId> {
        self.stream = Stream::Idle;
        self.common = None;
        self.listed = Listed::No;
        self.mark.told = (Seq::ZERO, Seq::ZERO);
        self.pull.take().map_or_else(Vec::new, |pull| pull.commands)
    }
}

#[cfg(test)]
mod tests {
    use protocol::message::{
        ext::Ext,
        room::{Access, Role},
    };

    use super::*;

    fn room(members: u32, head: u64) -> Conversation {
        Conversation::new(ConversationInfo {
            id: ConversationId([1; 16]),
            kind: Kind::OPEN_ROOM,
            name: "lobby".into(),
            topic: String::new(),
            access: Access::ANYONE,
            standing: Standing::JOINED,
            role: Role::MEMBER,
            muted_until: WallTime::default(),
            peer: None,
            first: Seq::FIRST,
            head: Seq(head),
            read: Seq::ZERO,
            members,
            genesis: Vec::<u8>::new().into(),
            ext: Ext::default(),
        })
    }

    #[test]
    fn notices_after_the_description_change_it_and_older_ones_do_not() {
        let mut room = room(2, 5);
        assert!(!room.follow_notice(Seq(5), &RoomChange::Joined), "it is counted already");
        assert!(room.follow_notice(Seq(6), &RoomChange::Joined));
        assert_eq!(room.info().members, 3);
        assert!(room.follow_notice(Seq(7), &RoomChange::Topic("tea".into())));
        assert_eq!(room.info().topic, "tea");
        assert!(room.follow_notice(Seq(8), &RoomChange::Left));
        assert_eq!(room.info().members, 2);
        assert!(!room.follow_notice(Seq(9), &RoomChange::Invited));
    }
}
