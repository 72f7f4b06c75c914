//! One followed conversation of one session: what it may see, and how far it has been sent.

use protocol::{
    ids::{ConversationId, Digest, Seq},
    message::{
        record::{ChainPrefix, RecordReader, chain_prefix},
        session::Follow,
    },
};

/// A conversation a session follows, or has followed and may still read back.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    /// First record the session may see.
    pub(super) visible_from: Seq,
    /// Last one, once its membership has ended.
    pub(super) visible_to: Option<Seq>,
    /// First record still kept, as far as known.
    pub(super) first: Seq,
    /// Newest published record.
    pub(super) head: Seq,
    pub(super) stage: Stage,
}

/// A session's feeds by conversation. Sorted in a vector: most sessions follow one or two, and the
/// smallest tree has room for eleven.
#[derive(Debug, Default)]
pub(super) struct Feeds(Vec<(ConversationId, Feed)>);

impl Feeds {
    pub(super) fn get(&self, id: ConversationId) -> Option<&Feed> {
        self.place(id).ok().map(|place| &self.0[place].1)
    }

    pub(super) fn get_mut(&mut self, id: ConversationId) -> Option<&mut Feed> {
        self.place(id).ok().map(|place| &mut self.0[place].1)
    }

    /// Adds a feed, or replaces that of the same conversation.
    pub(super) fn insert(&mut self, id: ConversationId, feed: Feed) {
        match self.place(id) {
            Ok(place) => self.0[place].1 = feed,
            Err(place) => {
                // Little more than needed; nearly all of them come right after login.
                if self.0.len() == self.0.capacity() {
                    self.0.reserve_exact(1 + self.0.len() / 4);
                }
                self.0.insert(place, (id, feed));
            }
        }
    }

    /// Whether there was one.
    pub(super) fn remove(&mut self, id: ConversationId) -> bool {
        self.place(id).map(|place| self.0.remove(place)).is_ok()
    }

    fn place(&self, id: ConversationId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |(of, _)| *of)
    }
}

/// How far a feed has come.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// The client's chain is being compared; the stream will begin at this record, whatever is
    /// published meanwhile: the chain before it is being looked up.
    Checking(Follow, Seq),
    /// Records from here on go out as they come.
    Live { next: Seq },
    /// Nothing is streamed: the logs differ, or the membership has ended. Pages can be had.
    Still,
}

/// What comparing the chains says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Stream from here; the chain before it.
    From(Seq, Digest),
    /// The client's log is not a beginning of this one.
    Forked,
    /// The store does not know the chain: it was trimmed in between.
    Unknown,
}

impl Feed {
    /// First record that can be had at all.
    pub(super) fn base(&self) -> Seq {
        self.first.max(self.visible_from)
    }

    /// Last record that can be had now.
    pub(super) fn end(&self) -> Seq {
        self.visible_to.map_or(self.head, |to| to.min(self.head))
    }

    /// The next record to send, if there is one.
    pub(super) fn due(&self) -> Option<Seq> {
        match self.stage {
            Stage::Live { next } if next <= self.end() => Some(next),
            Stage::Live { .. } | Stage::Checking(..) | Stage::Still => None,
        }
    }

    /// Where the stream that was asked for begins: after what the client has, with the newest
    /// ones if too much is missing, and never below what can be had.
    pub(super) fn from(&self, follow: &Follow) -> Seq {
        let missing = self.head.0.saturating_sub(follow.after.0);
        let wanted = if missing > u64::from(follow.newest) {
            self.head.minus(follow.newest.into()).next()
        } else {
            follow.after.next()
        };
        wanted.max(self.base())
    }

    /// Compares the client's chain, where it says one and the store knows one.
    pub(super) fn start(
        &self,
        follow: &Follow,
        from: Seq,
        at_after: Option<Digest>,
        before: Option<Digest>,
    ) -> Start {
        if follow.after > self.head || differs(follow.after, follow.chain, at_after) {
            return Start::Forked;
        }
        before.map_or(Start::Unknown, |chain| Start::From(from, chain))
    }
}

fn differs(after: Seq, theirs: ChainPrefix, ours: Option<Digest>) -> bool {
    after > Seq::ZERO && ours.is_some_and(|ours| chain_prefix(&ours) != theirs)
}

/// The part of a run's records within `from..=to` that has at most `bytes_max` bytes: its first
/// place, how many, and their bytes. `None` if not even one record fits, or there is none.
pub(super) fn cut(
    first: Seq,
    count: u32,
    records: &[u8],
    (from, to): (Seq, Seq),
    bytes_max: usize,
) -> Option<(Seq, u32, &[u8])> {
    let last = first.plus(count.into()).minus(1);
    let (from, to) = (from.max(first), to.min(last));
    let mut reader = RecordReader::new(first, count, records);
    for _ in first.0..from.0 {
        reader.skip_one().ok()?;
    }
    let rest = reader.rest();
    let wanted = u32::try_from((to.0 + 1).checked_sub(from.0)?).ok()?;
    if to == last && rest.len() <= bytes_max {
        return (wanted > 0).then_some((from, wanted, rest));
    }
    let (mut taken, mut bytes) = (0, 0);
    while taken < wanted {
        reader.skip_one().ok()?;
        let upto = rest.len() - reader.rest().len();
        if upto > bytes_max {
            break;
        }
        (taken, bytes) = (taken + 1, upto);
    }
    (taken > 0).then_some((from, taken, &rest[..bytes]))
}

#[cfg(test)]
mod tests {
    use protocol::message::record::{Content, Record};

    use super::*;

    /// Four records from place 10 on, each of the same length.
    fn records() -> (Vec<u8>, usize) {
        let mut records = Vec::new();
        for _ in 0..4 {
            let body = Content::Body(vec![7; 50].into());
            Record { envelope: vec![1; 9].into(), signature: vec![].into(), content: body }
                .append_to(&mut records);
        }
        let each = records.len() / 4;
        (records, each)
    }

    #[test]
    fn a_cut_takes_what_is_asked_for_and_fits() {
        let (records, each) = records();
        let cut = |from, to, bytes_max| {
            cut(Seq(10), 4, &records, (Seq(from), Seq(to)), bytes_max)
                .map(|(first, count, bytes)| (first.0, count, bytes.len() / each))
        };
        assert_eq!(cut(10, 13, 9_999), Some((10, 4, 4)));
        assert_eq!(cut(12, 99, 9_999), Some((12, 2, 2)));
        assert_eq!(cut(11, 12, 9_999), Some((11, 2, 2)));
        assert_eq!(cut(5, 10, 9_999), Some((10, 1, 1)));
        assert_eq!(cut(10, 13, 3 * each), Some((10, 3, 3)));
        assert_eq!(cut(11, 13, 2 * each - 1), Some((11, 1, 1)));
        assert_eq!(cut(10, 13, each - 1), None, "not even one fits");
        assert_eq!(cut(14, 20, 9_999), None, "behind the run");
    }
}
