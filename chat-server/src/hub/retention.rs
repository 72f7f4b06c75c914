//! Retention: what the operator lets go of, by number and by age.
//!
//! The hub knows how many records a log has and not how old they are. So it goes around all
//! conversations, a few at a time, and has a reader of the store look where in each the records
//! begin that are young enough ([`AgeLook`]). One look is out at a time; after a whole round there
//! is a rest, so that an idle relay reads next to nothing.

use std::{
    collections::BTreeMap,
    ops::{Bound, RangeInclusive},
    time::Duration,
};

use protocol::{
    ids::{ConversationId, Seq},
    time::{Timestamp, WallTime},
};

use super::{
    Hub,
    batch::Held,
    config::{
        AGE_LOOK_CONVERSATIONS_MAX, AGE_LOOK_INTERVAL, AGE_REST_DIVISOR, AGE_REST_MAX, AGE_REST_MIN,
    },
    io::Output,
    op::Op,
    timers::Timer,
};
use crate::store::{Reader, StoreError};

/// How far the round over all conversations is.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// The last conversation that was looked at; `None` between two rounds.
    after: Option<ConversationId>,
    /// A look is out, and its answer goes on with the round.
    is_out: bool,
}

/// Logs to search for their first record that is not older than a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgeLook {
    /// What each log has.
    pub logs: BTreeMap<ConversationId, RangeInclusive<Seq>>,
    /// Older records have to go.
    pub since: WallTime,
}

impl AgeLook {
    /// Searches each log: times never decrease in one, so a few dozen records tell. Adds the logs
    /// that have older records to `aged`, each with its first record that is not older, or the
    /// place after its last.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read; what was found until then stands.
    pub fn perform(
        &self,
        reader: &mut dyn Reader,
        aged: &mut Vec<(ConversationId, Seq)>,
    ) -> Result<(), StoreError> {
        for (conversation, log) in &self.logs {
            if !self.is_older(reader, *conversation, *log.start())? {
                continue;
            }
            let (mut old, mut young) = (log.start().0, log.end().0 + 1);
            while young - old > 1 {
                let middle = old.midpoint(young);
                if self.is_older(reader, *conversation, Seq(middle))? {
                    old = middle;
                } else {
                    young = middle;
                }
            }
            aged.push((*conversation, Seq(young)));
        }
        Ok(())
    }

    /// What is not there, because it is not durable yet or was trimmed in between, is not older:
    /// the next round knows better.
    fn is_older(
        &self,
        reader: &mut dyn Reader,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<bool, StoreError> {
        let found = reader.runs(conversation, seq, seq, 1)?;
        Ok(found.first().is_some_and(|run| run.time < self.since))
    }
}

impl Hub {
    /// Trims a log that has become an eighth longer than it may be: rarely, and then by much.
    pub(super) fn trim_by_count(&mut self, id: ConversationId) {
        let Some(max) = self.config.retention.records_max else { return };
        let Some(conversation) = self.state.conversations.get(&id) else { return };
        let kept = (conversation.head.0 + 1).saturating_sub(conversation.first.0);
        if kept > max.saturating_add(max / 8) {
            let first = conversation.head.minus(max).next();
            self.trim(id, first);
        }
    }

    /// Begins a round soon, if records have an age at which they go.
    pub(super) fn begin_round(&mut self) {
        if self.config.retention.age_max.is_some() {
            self.timers.arm(Timer::Ages, Timestamp::ZERO);
        }
    }

    /// Has the next few conversations looked at.
    pub(super) fn look_at_ages(&mut self, now: Timestamp, wall: WallTime) {
        let Some(age_max) = self.config.retention.age_max else { return };
        if self.round.is_out {
            return;
        }
        let from = self.round.after.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.state.conversations.range((from, Bound::Unbounded));
        let next: Vec<_> = next.take(AGE_LOOK_CONVERSATIONS_MAX).collect();
        let is_last = next.len() < AGE_LOOK_CONVERSATIONS_MAX;
        self.round.after = next.last().filter(|_| !is_last).map(|(id, _)| **id);
        let kept = next.iter().filter(|(_, conversation)| conversation.first <= conversation.head);
        let logs: BTreeMap<_, _> =
            kept.map(|(id, conversation)| (**id, conversation.first..=conversation.head)).collect();
        if logs.is_empty() {
            self.go_on_with_round(now, age_max);
            return;
        }
        self.round.is_out = true;
        let look = AgeLook { logs, since: wall.minus(age_max) };
        // It rests on nothing that is not durable, so it waits for no commit.
        self.outputs.push_back(Held::Other(Box::new(Output::LookAtAges(look))));
    }

    /// A reader has looked. While the store takes no writes nothing is trimmed: the next round
    /// finds it again.
    pub(super) fn on_aged(&mut self, now: Timestamp, aged: &[(ConversationId, Seq)]) {
        self.round.is_out = false;
        if let Some(age_max) = self.config.retention.age_max {
            self.go_on_with_round(now, age_max);
        }
        if self.takes_writes().is_err() {
            return;
        }
        for (id, first) in aged {
            let Some(conversation) = self.state.conversations.get(id) else { continue };
            let first = (*first).min(conversation.head.next());
            if first > conversation.first {
                self.trim(*id, first);
            }
        }
    }

    fn go_on_with_round(&mut self, now: Timestamp, age_max: Duration) {
        let pause = match self.round.after {
            Some(_) => AGE_LOOK_INTERVAL,
            None => (age_max / AGE_REST_DIVISOR).clamp(AGE_REST_MIN, AGE_REST_MAX),
        };
        self.timers.arm(Timer::Ages, now + pause);
    }

    fn trim(&mut self, conversation: ConversationId, first: Seq) {
        let op = Op::Trimmed { conversation, first };
        self.state.apply(&op);
        self.filling.push_late(op);
    }
}
