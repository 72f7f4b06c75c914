//! The newest records of every log, in memory: what almost all sessions read almost always.
//!
//! A shard has one [`Tails`]. Runs are slices of bytes that all shards and recipients share; all
//! tails together have one budget, and what was published least recently goes first. A session
//! that wants what is no longer here reads the store.

use std::collections::{BTreeMap, VecDeque};

use protocol::ids::{ConversationId, Digest, Seq};

use crate::hub::{Publication, PublishedRun};

/// Recently committed runs by conversation.
#[derive(Debug)]
pub struct Tails {
    by_conversation: BTreeMap<ConversationId, Tail>,
    /// Conversations by when something was last published in them.
    order: BTreeMap<u64, ConversationId>,
    publications: u64,
    bytes: usize,
    bytes_max: usize,
}

/// Contiguous runs up to the conversation's head.
#[derive(Debug, Default)]
struct Tail {
    runs: VecDeque<PublishedRun>,
    /// Key in `order`.
    published: u64,
}

impl Tails {
    /// No runs yet; at most about this many bytes of them.
    pub const fn new(bytes_max: usize) -> Self {
        Self {
            by_conversation: BTreeMap::new(),
            order: BTreeMap::new(),
            publications: 0,
            bytes: 0,
            bytes_max,
        }
    }

    /// Takes in a commit. Do this before sessions are told of it.
    pub fn publish(&mut self, publication: &Publication) {
        for run in &publication.runs {
            self.push(run.clone());
        }
        for (conversation, seq, id) in &publication.erased {
            if let Some(tail) = self.by_conversation.get_mut(conversation)
                && let Some(index) = tail.index_of(*seq)
            {
                let before = tail.runs[index].message.len();
                tail.runs[index].erase(*seq, *id);
                self.bytes = self.bytes - before + tail.runs[index].message.len();
            }
        }
        for (conversation, first) in &publication.trimmed {
            self.trim(*conversation, *first);
        }
        for (conversation, ..) in &publication.advanced {
            // There is a gap now between what is here and what comes next.
            self.forget(*conversation);
        }
        self.evict();
    }

    /// The run that holds a record, if it is still here.
    pub fn run_at(&self, conversation: ConversationId, seq: Seq) -> Option<&PublishedRun> {
        let tail = self.by_conversation.get(&conversation)?;
        tail.index_of(seq).map(|index| &tail.runs[index])
    }

    /// The chain after a record, where that is known without decoding: between runs.
    pub fn chain_at(&self, conversation: ConversationId, seq: Seq) -> Option<Digest> {
        let tail = self.by_conversation.get(&conversation)?;
        if let Some(run) = tail.index_of(seq.next()).map(|index| &tail.runs[index])
            && run.first == seq.next()
        {
            return Some(run.chain_before);
        }
        tail.runs.back().filter(|run| run.last() == seq).map(|run| run.chain_after)
    }

    /// Bytes held now.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, run: PublishedRun) {
        self.publications += 1;
        let tail = self.by_conversation.entry(run.conversation).or_default();
        self.order.remove(&tail.published);
        tail.published = self.publications;
        self.order.insert(tail.published, run.conversation);
        if tail.runs.back().is_some_and(|last| last.last().next() != run.first) {
            self.bytes -= tail.bytes();
            tail.runs.clear();
        }
        self.bytes += run.message.len();
        tail.runs.push_back(run);
    }

    fn trim(&mut self, conversation: ConversationId, first: Seq) {
        let Some(tail) = self.by_conversation.get_mut(&conversation) else { return };
        while tail.runs.front().is_some_and(|run| run.last() < first) {
            let run = tail.runs.pop_front().expect("there is a front");
            self.bytes -= run.message.len();
        }
        if tail.runs.is_empty() {
            self.forget(conversation);
        }
    }

    fn forget(&mut self, conversation: ConversationId) {
        if let Some(tail) = self.by_conversation.remove(&conversation) {
            self.order.remove(&tail.published);
            self.bytes -= tail.bytes();
        }
    }

    fn evict(&mut self) {
        while self.bytes > self.bytes_max {
            let Some((_, conversation)) = self.order.first_key_value() else { return };
            let conversation = *conversation;
            let Some(tail) = self.by_conversation.get_mut(&conversation) else { return };
            if let Some(run) = tail.runs.pop_front() {
                self.bytes -= run.message.len();
            }
            if tail.runs.is_empty() {
                self.forget(conversation);
            }
        }
    }
}

impl Tail {
    fn index_of(&self, seq: Seq) -> Option<usize> {
        // Who keeps up asks for the newest run, and a search through all of them would touch
        // memory that nobody has touched for long.
        if let Some(newest) = self.runs.back()
            && (newest.first..=newest.last()).contains(&seq)
        {
            return Some(self.runs.len() - 1);
        }
        let index = self.runs.partition_point(|run| run.last() < seq);
        self.runs.get(index).filter(|run| run.first <= seq).map(|_| index)
    }

    fn bytes(&self) -> usize {
        self.runs.iter().map(|run| run.message.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use protocol::time::WallTime;

    use super::*;

    const ROOM: ConversationId = ConversationId([1; 16]);
    const OTHER: ConversationId = ConversationId([2; 16]);

    fn run(conversation: ConversationId, first: u64, count: u32) -> PublishedRun {
        let message = Bytes::from(vec![0; 100]);
        PublishedRun {
            conversation,
            first: Seq(first),
            time: WallTime::default(),
            count,
            records: message.slice(20..),
            message,
            chain_before: [u8::try_from(first).expect("small"); 32],
            chain_after: [u8::try_from(first).expect("small") + u8::try_from(count).expect("small");
                32],
        }
    }

    fn published(runs: Vec<PublishedRun>) -> Publication {
        Publication { runs, ..Publication::default() }
    }

    #[test]
    fn every_record_of_every_run_is_found() {
        let mut tails = Tails::new(10_000);
        tails.publish(&published(vec![run(ROOM, 1, 3), run(ROOM, 4, 1), run(OTHER, 1, 1)]));
        let first_of = |seq| tails.run_at(ROOM, Seq(seq)).map(|run| run.first.0);
        assert_eq!([1, 2, 3, 4, 5].map(first_of), [Some(1), Some(1), Some(1), Some(4), None]);
        assert_eq!(first_of(0), None);
    }

    #[test]
    fn chains_are_known_between_runs() {
        let mut tails = Tails::new(10_000);
        tails.publish(&published(vec![run(ROOM, 1, 3), run(ROOM, 4, 1)]));
        let chain = |seq| tails.chain_at(ROOM, Seq(seq)).map(|chain| chain[0]);
        assert_eq!([0, 1, 2, 3, 4, 5].map(chain), [Some(1), None, None, Some(4), Some(5), None]);
    }

    #[test]
    fn what_was_published_least_recently_is_evicted_first() {
        let mut tails = Tails::new(300);
        tails.publish(&published(vec![run(ROOM, 1, 1), run(OTHER, 1, 1), run(ROOM, 2, 1)]));
        tails.publish(&published(vec![run(ROOM, 3, 1)]));
        assert!(tails.run_at(OTHER, Seq(1)).is_none());
        assert!(tails.run_at(ROOM, Seq(1)).is_some());
        assert_eq!(tails.bytes(), 300);
        tails.publish(&published(vec![run(ROOM, 4, 1)]));
        assert!(tails.run_at(ROOM, Seq(1)).is_none());
        assert!(tails.run_at(ROOM, Seq(4)).is_some());
        assert_eq!(tails.bytes(), 300);
    }

    #[test]
    fn a_gap_empties_the_tail() {
        let mut tails = Tails::new(10_000);
        tails.publish(&published(vec![run(ROOM, 1, 3)]));
        let advanced = vec![(ROOM, Seq(9), [0; 32])];
        tails.publish(&Publication { advanced, ..Publication::default() });
        assert!(tails.run_at(ROOM, Seq(1)).is_none());
        tails.publish(&published(vec![run(ROOM, 10, 1)]));
        assert!(tails.run_at(ROOM, Seq(10)).is_some());
        assert_eq!(tails.bytes(), 100);
    }

    #[test]
    fn trimmed_runs_leave() {
        let mut tails = Tails::new(10_000);
        tails.publish(&published(vec![run(ROOM, 1, 3), run(ROOM, 4, 2)]));
        let trimmed = vec![(ROOM, Seq(5))];
        tails.publish(&Publication { trimmed, ..Publication::default() });
        assert!(tails.run_at(ROOM, Seq(3)).is_none());
        assert!(tails.run_at(ROOM, Seq(5)).is_some());
        assert_eq!(tails.bytes(), 100);
    }
}
