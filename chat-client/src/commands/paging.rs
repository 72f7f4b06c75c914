//! Reading a log in pages: what is stored here, and on demand what only the relay still has.

use protocol::ids::{ConversationId, Seq};

use super::session::{Session, unexpected};
use crate::{
    node::{
        PAGE_RECORDS_MAX,
        call::{Answer, At, Call, ConversationView, End, Line, Target},
    },
    report::Failure,
};

impl Session {
    /// One page of what is stored.
    pub(super) async fn page(
        &self,
        conversation: ConversationId,
        at: At,
        count: usize,
    ) -> Result<Vec<Line>, Failure> {
        let count = count.min(PAGE_RECORDS_MAX);
        let page = || self.lines(Call::Page { conversation, at, count });
        let lines = page().await?;
        if self.learn_names(conversation, &lines).await { page().await } else { Ok(lines) }
    }

    /// What acts on these records, wherever it stands.
    pub(super) async fn amends(
        &self,
        conversation: ConversationId,
        lines: &[Line],
    ) -> Result<Vec<Line>, Failure> {
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
            return Ok(Vec::new());
        };
        let (from, to) = (first.seq, last.seq);
        let amends = || self.lines(Call::Amends { conversation, from, to });
        let lines = amends().await?;
        if self.learn_names(conversation, &lines).await { amends().await } else { Ok(lines) }
    }

    async fn lines(&self, call: Call) -> Result<Vec<Line>, Failure> {
        match self.call(call).await? {
            Answer::Page { lines } => Ok(lines),
            other => Err(unexpected(&other)),
        }
    }

    /// Fetches older records until everything from `from` on is stored here, or nothing older can
    /// be had. Returns the oldest record that is.
    pub(super) async fn fetch_down_to(
        &self,
        conversation: &ConversationView,
        from: Seq,
    ) -> Result<Seq, Failure> {
        let mut low = conversation.low;
        let mut older = conversation.older;
        while older == End::More && low > from {
            let call = Call::Older { conversation: conversation.info.id };
            let Answer::Fetched { low: lower, older: end } = self.call(call).await? else {
                return Err(unexpected(&"no page"));
            };
            if lower >= low && end == End::More {
                break;
            }
            (low, older) = (lower, end);
        }
        Ok(low)
    }

    /// The conversation again, with what was stored since.
    pub(super) async fn refresh(
        &self,
        conversation: &ConversationView,
    ) -> Result<ConversationView, Failure> {
        self.find(&Target::Id(conversation.info.id)).await
    }
}
