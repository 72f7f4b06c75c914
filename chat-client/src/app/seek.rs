//! Reading around a place of a log: from the store, and from the relay what is older than all of
//! it.

use protocol::{
    ids::{ConversationId, Seq},
    time::WallTime,
};

use super::perform::page;
use crate::node::{
    Caller,
    call::{Answer, At, Call, ConversationView, End, Line, Target},
};

/// Records on each side of the place.
const HALF_PAGE_RECORDS: usize = 50;
/// Most pages that are fetched from the relay for one jump. What is further back can be reached in
/// several.
const FETCHES_MAX: usize = 400;

/// The records around one; none if it cannot be had.
pub(super) async fn around(caller: &Caller, conversation: ConversationId, seq: Seq) -> Vec<Line> {
    let mut older = End::More;
    for _ in 0..=FETCHES_MAX {
        let mut lines = page(caller, conversation, At::Before(seq.next()), HALF_PAGE_RECORDS).await;
        if lines.last().is_some_and(|line| line.seq == seq) {
            let above = page(caller, conversation, At::After(seq), HALF_PAGE_RECORDS).await;
            // Beyond a gap in what is stored, the next record is no neighbour.
            if above.first().is_some_and(|line| line.seq == seq.next()) {
                lines.extend(above);
            }
            return lines;
        }
        // It may be in the last page that there is.
        if older == End::Reached {
            break;
        }
        older = fetch(caller, conversation).await;
    }
    Vec::new()
}

/// The first record of then or later; the newest one, if everything was said before. `None` if
/// nothing is stored.
pub(super) async fn since(
    caller: &Caller,
    conversation: ConversationId,
    moment: WallTime,
) -> Option<Seq> {
    let mut view = find(caller, conversation).await?;
    for _ in 0..FETCHES_MAX {
        if is_since(caller, conversation, view.low, moment).await == Some(false) {
            break;
        }
        let older = fetch(caller, conversation).await;
        // The last page that there is has been stored with this answer, too.
        view = find(caller, conversation).await?;
        if older == End::Reached {
            break;
        }
    }
    // The relay's clock never goes back within a log.
    let (mut low, mut high) = (view.low, view.high);
    while low < high {
        let middle = Seq(low.0 + (high.0 - low.0) / 2);
        if is_since(caller, conversation, middle, moment).await? {
            high = middle;
        } else {
            low = middle.next();
        }
    }
    (low > Seq::ZERO).then_some(low)
}

/// Whether a record was said then or later.
async fn is_since(
    caller: &Caller,
    conversation: ConversationId,
    seq: Seq,
    moment: WallTime,
) -> Option<bool> {
    let lines = page(caller, conversation, At::Before(seq.next()), 1).await;
    lines.first().map(|line| line.time >= moment)
}

/// Stores what is older than everything stored; tells whether there is more.
async fn fetch(caller: &Caller, conversation: ConversationId) -> End {
    match caller.call(Call::Older { conversation }).await {
        Ok(Answer::Fetched { older, .. }) => older,
        // Without the relay this is all there is.
        Ok(_) | Err(_) => End::Reached,
    }
}

async fn find(caller: &Caller, conversation: ConversationId) -> Option<ConversationView> {
    match caller.call(Call::Find { target: Target::Id(conversation) }).await {
        Ok(Answer::Conversation(view)) => Some(*view),
        Ok(_) | Err(_) => None,
    }
}
