//! What has to stay in order with what: on a transport that keeps order only within a stream, a
//! message about a conversation travels in that conversation's stream (wire §10.4).
//!
//! Read from the encoded message: whoever sends has the bytes and not the value any more.

use super::{REQUEST_BASE, encoding::read_varint, split_number};
use crate::ids::ConversationId;

/// What a message has to stay in order with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// With the session's others: what is about no one conversation.
    Session,
    /// With all that happens in a conversation now.
    Live(ConversationId),
    /// With the older records of a conversation.
    History(ConversationId),
}

/// The order of a client's message, its length already taken off. What cannot be read is the
/// session's.
pub fn of_client(message: &[u8]) -> Order {
    let Ok((number, body)) = split_number(message) else { return Order::Session };
    match number {
        // Follow, Send, Mark, Typing.
        2 | 4 | 5 | 8 => live(body),
        // Pull, and the requests that name a conversation first: behind a number.
        3 => behind_varint(body, live),
        _ if is_about_conversation(number) => behind_varint(body, live),
        _ => Order::Session,
    }
}

/// The order of a relay's message, its length already taken off.
pub fn of_relay(message: &[u8]) -> Order {
    let Ok((number, body)) = split_number(message) else { return Order::Session };
    match number {
        // Conversation to Records; Accepted to Typing; PresenceCount.
        2..=6 | 8..=12 | 14 => live(body),
        7 => behind_varint(body, |body| match live(body) {
            Order::Live(id) => Order::History(id),
            other => other,
        }),
        _ => Order::Session,
    }
}

/// Requests whose first field is the conversation that they change or look at.
const fn is_about_conversation(number: u16) -> bool {
    matches!(number.checked_sub(REQUEST_BASE), Some(6 | 8..=18 | 22))
}

fn live(body: &[u8]) -> Order {
    body.first_chunk().map_or(Order::Session, |id| Order::Live(ConversationId(*id)))
}

fn behind_varint(body: &[u8], then: impl FnOnce(&[u8]) -> Order) -> Order {
    read_varint(body).map_or(Order::Session, |(_, used)| then(&body[used..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::Seq,
        message::{
            ClientMessage, MessageReader, RelayMessage,
            request::{Join, Leave, Request, SetTopic},
            session::{Accepted, Mark, Page, Ping, Pull},
        },
        time::WallTime,
    };

    const ID: ConversationId = ConversationId([7; 16]);

    fn client(message: &ClientMessage<'_>) -> Order {
        let mut out = Vec::new();
        message.append_to(&mut out);
        of_client(MessageReader::new(&out).next().unwrap().unwrap())
    }

    fn relay(message: &RelayMessage<'_>) -> Order {
        let mut out = Vec::new();
        message.append_to(&mut out);
        of_relay(MessageReader::new(&out).next().unwrap().unwrap())
    }

    #[test]
    fn what_is_about_a_conversation_stays_in_its_order() {
        let mark = Mark { conversation: ID, received: Seq(1), read: Seq(1) };
        assert_eq!(client(&ClientMessage::Mark(mark)), Order::Live(ID));
        let pull = Pull { id: 70_000, conversation: ID, before: Seq(3), count: 9 };
        assert_eq!(client(&ClientMessage::Pull(pull)), Order::Live(ID));
        let leave = Request::Leave(Leave { conversation: ID });
        assert_eq!(client(&ClientMessage::Request(500, leave)), Order::Live(ID));
        let topic = Request::SetTopic(SetTopic { conversation: ID, topic: "tea".into() });
        assert_eq!(client(&ClientMessage::Request(5, topic)), Order::Live(ID));
        let join = Request::Join(Join { room: "lobby".into() });
        assert_eq!(client(&ClientMessage::Request(5, join)), Order::Session);
        assert_eq!(client(&ClientMessage::Ping(Ping { token: 3 })), Order::Session);
    }

    #[test]
    fn older_records_do_not_hold_back_new_ones() {
        let page = Page {
            id: 300,
            conversation: ID,
            first: Seq(1),
            chain: [0; 32],
            end: false,
            runs: (&[1, 2, 3][..]).into(),
        };
        assert_eq!(relay(&RelayMessage::Page(page)), Order::History(ID));
        let accepted = Accepted {
            conversation: ID,
            counter: crate::ids::Counter(1),
            seq: Seq(1),
            time: WallTime::default(),
        };
        assert_eq!(relay(&RelayMessage::Accepted(accepted)), Order::Live(ID));
        assert_eq!(relay(&RelayMessage::Pong(Ping { token: 3 })), Order::Session);
    }

    #[test]
    fn what_cannot_be_read_is_the_sessions() {
        for bytes in [&[][..], &[4], &[4, 1, 2, 3], &[3, 251], &[254]] {
            assert_eq!(of_client(bytes), Order::Session);
            assert_eq!(of_relay(bytes), Order::Session);
        }
    }
}
