//! What `tail` has printed of a conversation, as far back as matters to notice that its history is
//! another one now: the relay was restored from an older copy, and what was above the last common
//! record moved aside.
//!
//! This looks at the stored records themselves, so it also notices what happened while nobody told
//! it: behind a full queue of events, or between two owners of the home.

use std::collections::VecDeque;

use protocol::{
    ids::{MessageId, Seq},
    time::WallTime,
};

use super::session::Session;
use crate::{
    node::{
        PAGE_RECORDS_MAX,
        call::{At, ConversationView, Line},
    },
    report::Failure,
};

/// Most records remembered. If more than these moved aside, printing goes on after the oldest
/// of them, which is a restore from a copy that much older.
const MARKS_MAX: usize = 4_096;

/// The newest printed records, oldest first.
#[derive(Debug)]
pub(super) struct Trail {
    marks: VecDeque<Mark>,
    /// Printed up to here, also if that was before this command and is not remembered.
    high: Seq,
}

/// A record, as far as two of the same place can differ: whatever is filed again has another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    seq: Seq,
    id: Option<MessageId>,
    time: WallTime,
}

impl Mark {
    const fn of(line: &Line) -> Self {
        Self { seq: line.seq, id: line.id, time: line.time }
    }
}

impl Trail {
    /// Nothing is printed yet, and nothing up to `high` is to be. These are the records there.
    pub(super) fn new(high: Seq, before: &[Line]) -> Self {
        let mut trail = Self { marks: VecDeque::new(), high };
        for line in before {
            trail.extend(line);
        }
        trail
    }

    /// Printed up to here.
    pub(super) const fn high(&self) -> Seq {
        self.high
    }

    /// One more was printed.
    pub(super) fn extend(&mut self, line: &Line) {
        if self.marks.len() == MARKS_MAX {
            self.marks.pop_front();
        }
        self.marks.push_back(Mark::of(line));
        self.high = line.seq;
    }

    /// What is stored above the trail and adjoins it; `None` if the trail's end is not in the
    /// history any more.
    pub(super) async fn above(
        &self,
        session: &Session,
        conversation: &ConversationView,
    ) -> Result<Option<Vec<Line>>, Failure> {
        let id = conversation.info.id;
        let Some(last) = self.marks.back() else {
            let page = session.page(id, At::After(self.high), PAGE_RECORDS_MAX).await?;
            // All of a conversation that is new here is news, wherever it begins.
            let adjoins = |first: &Line| self.high == Seq::ZERO || first.seq == self.high.next();
            return Ok(Some(if page.first().is_some_and(adjoins) { page } else { Vec::new() }));
        };
        let mut page =
            session.page(id, At::After(last.seq.minus(1)), PAGE_RECORDS_MAX).await?.into_iter();
        let is_there = page.next().is_some_and(|line| Mark::of(&line) == *last);
        Ok(is_there.then(|| page.collect()))
    }

    /// Goes back to the last record that is still in the history.
    pub(super) async fn go_back(
        &mut self,
        session: &Session,
        conversation: &ConversationView,
    ) -> Result<(), Failure> {
        let Some(oldest) = self.marks.front().map(|mark| mark.seq) else { return Ok(()) };
        let mut before = self.high.next();
        while before > oldest {
            let at = At::Before(before);
            let page = session.page(conversation.info.id, at, PAGE_RECORDS_MAX).await?;
            let Some(lowest) = page.first().map(|line| line.seq) else { break };
            if let Some(common) = page.iter().rev().find(|line| self.has(line)) {
                self.truncate(common.seq);
                return Ok(());
            }
            before = lowest;
        }
        self.truncate(oldest.minus(1));
        Ok(())
    }

    fn has(&self, line: &Line) -> bool {
        let place = self.marks.binary_search_by_key(&line.seq, |mark| mark.seq);
        place.is_ok_and(|index| self.marks[index] == Mark::of(line))
    }

    fn truncate(&mut self, high: Seq) {
        self.marks.retain(|mark| mark.seq <= high);
        self.high = high;
    }
}
