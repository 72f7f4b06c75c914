//! Exactly once, in order: what the relay remembers of a device's messages in one conversation,
//! and how a message that arrives again is told from a new one (wire §6.2).
//!
//! ```text
//!   counter    … floor … … … highest … … …
//!              └ settled ┘ └ decided ┘ └ new
//!              forgotten     indexed: counter → (Seq, digest)
//! ```
//!
//! A refusal that time cures decides nothing. Until that counter comes again, or the device's
//! floor passes it, everything later of the device waits, so that messages never overtake.

use std::collections::BTreeMap;

use protocol::{
    ids::{ConversationId, Counter, DeviceId, Digest, Seq},
    message::refusal::RefusalCode,
};

use super::{op::Fate, state::Sender};

/// First half of an envelope hash: enough to tell a retry from a number used twice.
pub(super) type ShortDigest = [u8; 16];

pub(super) fn shorten(digest: &Digest) -> ShortDigest {
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

/// What is known of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing: it is above everything decided.
    New,
    /// It is this very message, and it has its place.
    Placed(Seq),
    /// It stands for another message.
    Reused,
    /// It is this very message, and it was refused for good.
    Refused(RefusalCode),
    /// It was decided and has been forgotten since.
    Forgotten,
}

/// Looks a counter up. `digest` is only computed when it is needed.
pub(super) fn look_up(sender: &Sender, counter: Counter, digest: ShortDigest) -> Known {
    if counter > sender.highest {
        return Known::New;
    }
    match sender.decided.get(&counter) {
        Some((Fate::Placed(seq), known)) if *known == digest => Known::Placed(*seq),
        Some((Fate::Refused(code), known)) if *known == digest => Known::Refused(*code),
        Some(_) => Known::Reused,
        None => Known::Forgotten,
    }
}

/// How many messages of the device would be remembered after one more with this floor.
pub(super) fn unsettled(sender: &Sender, floor: Counter) -> usize {
    let below = sender.decided.range(..floor).count();
    sender.decided.len() - below + 1
}

/// The counters that were refused for now and hold back what follows them. Not durable: after a
/// restart every device offers its unsettled messages again from the lowest.
#[derive(Debug, Default)]
pub(super) struct Sticky(BTreeMap<(ConversationId, DeviceId), Counter>);

impl Sticky {
    /// The counter that has to come first, if there is one.
    pub(super) fn blocks(
        &mut self,
        conversation: ConversationId,
        device: DeviceId,
        counter: Counter,
        floor: Counter,
    ) -> Option<Counter> {
        if self.0.is_empty() {
            return None;
        }
        let waits_for = *self.0.get(&(conversation, device))?;
        if floor <= waits_for && counter > waits_for {
            return Some(waits_for);
        }
        if counter == waits_for || floor > waits_for {
            self.0.remove(&(conversation, device));
        }
        None
    }

    /// The counter was refused for now.
    pub(super) fn refuse(
        &mut self,
        conversation: ConversationId,
        device: DeviceId,
        counter: Counter,
    ) {
        let waits_for = self.0.entry((conversation, device)).or_insert(counter);
        *waits_for = (*waits_for).min(counter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: ConversationId = ConversationId([1; 16]);
    const DEVICE: DeviceId = DeviceId([2; 16]);

    fn sender(highest: u64, decided: &[(u64, u64)]) -> Sender {
        Sender {
            highest: Counter(highest),
            floor: Counter(0),
            decided: decided
                .iter()
                .map(|(c, s)| (Counter(*c), (Fate::Placed(Seq(*s)), [7; 16])))
                .collect(),
        }
    }

    #[test]
    fn every_counter_has_one_answer() {
        let sender = sender(9, &[(7, 70), (9, 90)]);
        assert_eq!(look_up(&sender, Counter(10), [7; 16]), Known::New);
        assert_eq!(look_up(&sender, Counter(9), [7; 16]), Known::Placed(Seq(90)));
        assert_eq!(look_up(&sender, Counter(9), [8; 16]), Known::Reused);
        assert_eq!(look_up(&sender, Counter(8), [7; 16]), Known::Forgotten);
        assert_eq!(look_up(&sender, Counter(1), [7; 16]), Known::Forgotten);
    }

    #[test]
    fn the_window_counts_from_the_floor() {
        let sender = sender(3, &[(1, 1), (2, 2), (3, 3)]);
        assert_eq!(unsettled(&sender, Counter(0)), 4);
        assert_eq!(unsettled(&sender, Counter(3)), 2);
        assert_eq!(unsettled(&sender, Counter(4)), 1);
    }

    #[test]
    fn what_follows_a_refused_counter_waits_until_it_comes_again() {
        let mut sticky = Sticky::default();
        sticky.refuse(ROOM, DEVICE, Counter(5));
        assert_eq!(sticky.blocks(ROOM, DEVICE, Counter(6), Counter(0)), Some(Counter(5)));
        assert_eq!(sticky.blocks(ROOM, DEVICE, Counter(5), Counter(0)), None);
        assert_eq!(sticky.blocks(ROOM, DEVICE, Counter(6), Counter(0)), None);
    }

    #[test]
    fn a_floor_above_the_refused_counter_lets_the_rest_pass() {
        let mut sticky = Sticky::default();
        sticky.refuse(ROOM, DEVICE, Counter(5));
        assert_eq!(sticky.blocks(ROOM, DEVICE, Counter(7), Counter(5)), Some(Counter(5)));
        assert_eq!(sticky.blocks(ROOM, DEVICE, Counter(7), Counter(6)), None);
        assert_eq!(sticky.blocks(ROOM, DEVICE, Counter(8), Counter(0)), None);
    }

    #[test]
    fn an_earlier_message_does_not_lift_the_wait_of_a_later_one() {
        let mut sticky = Sticky::default();
        sticky.refuse(ROOM, DEVICE, Counter(5));
        assert_eq!(sticky.blocks(ROOM, DEVICE, Counter(4), Counter(0)), None);
        assert_eq!(sticky.blocks(ROOM, DEVICE, Counter(6), Counter(0)), Some(Counter(5)));
    }

    #[test]
    fn devices_and_conversations_wait_apart() {
        let mut sticky = Sticky::default();
        sticky.refuse(ROOM, DEVICE, Counter(5));
        let other = ConversationId([9; 16]);
        assert_eq!(sticky.blocks(other, DEVICE, Counter(6), Counter(0)), None);
        assert_eq!(sticky.blocks(ROOM, DeviceId([9; 16]), Counter(6), Counter(0)), None);
    }
}
