//! What is said: every message, its number and its frame (wire §5).
//!
//! The content of a sealed packet is a run of messages, each
//!
//! ```text
//!   varint length ‖ varint number ‖ body (bincode of the message's type)
//! ```
//!
//! A message with an unknown number is skipped by its length; an unknown *request* (number from
//! [`REQUEST_BASE`] on) is answered `UNSUPPORTED`. Numbers are append only.

pub mod account;
pub mod encoding;
pub mod event;
pub mod ext;
pub mod order;
pub mod record;
pub mod refusal;
pub mod request;
pub mod room;
pub mod session;

use self::{
    encoding::{DecodeError, decode, decode_front, encode_into, read_varint, write_varint},
    record::prefix_length,
    refusal::Refusal,
    request::{Outcome, Reply, Request},
    session::{
        Accepted, Attach, Conversation, ConversationGone, Follow, Following, Forked, Goodbye, Mark,
        Page, People, Ping, PresenceChanged, PresenceCount, Progress, ProgressCount, Pull, Records,
        Rejected, Send, Show, Typing, TypingBy, Watch, Welcome,
    },
};

/// Messages from here on are requests (client to relay) and replies (relay to client):
/// `number ‖ varint id ‖ …`.
pub const REQUEST_BASE: u16 = 64;

/// Declares one direction's messages outside requests.
macro_rules! messages {
    ($(#[$edoc:meta])* $enum:ident { $($(#[$doc:meta])* $number:literal $name:ident($type:ty),)* } $($special:tt)*) => {
        $(#[$edoc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $enum<'a> {
            $($(#[$doc])* $name($type),)*
            $($special)*
            /// Of a later version: its number. Nothing is expected of us.
            Unknown(u16),
        }

        impl<'a> $enum<'a> {
            fn decode_plain(number: u16, body: &'a [u8]) -> Result<Self, DecodeError> {
                match number {
                    $($number => decode(body).map(Self::$name),)*
                    unknown => Ok(Self::Unknown(unknown)),
                }
            }
        }
    };
}

messages! {
    /// From client to relay.
    ClientMessage {
        /// First on a connection.
        1 Attach(Attach),
        /// Stream a conversation.
        2 Follow(Follow),
        /// Fetch a page.
        3 Pull(Pull),
        /// Offer a message.
        4 Send(Send<'a>),
        /// Report progress.
        5 Mark(Mark),
        /// What is on screen.
        6 Show(Show),
        /// Whose presence is on screen.
        7 Watch(Watch),
        /// Writing.
        8 Typing(Typing),
        /// Are you there?
        9 Ping(Ping),
        /// The client goes, cleanly.
        10 Detach(()),
    }
    /// A question: its id comes back in the reply.
    Request(u32, Request),
}

messages! {
    /// From relay to client.
    RelayMessage {
        /// The session is live.
        1 Welcome(Welcome),
        /// A conversation of the account, new or changed.
        2 Conversation(Conversation),
        /// A conversation is no longer the account's.
        3 ConversationGone(ConversationGone),
        /// Where a followed stream begins.
        4 Following(Following),
        /// The logs differ.
        5 Forked(Forked),
        /// New records.
        6 Records(Records<'a>),
        /// Older records.
        7 Page(Page<'a>),
        /// A message is durable.
        8 Accepted(Accepted),
        /// A message is not taken.
        9 Rejected(Rejected),
        /// How far others are.
        10 Progress(Progress),
        /// How many are that far.
        11 ProgressCount(ProgressCount),
        /// Somebody writes.
        12 Typing(TypingBy),
        /// Somebody came or went.
        13 Presence(PresenceChanged),
        /// How many are there.
        14 PresenceCount(PresenceCount),
        /// I am here.
        15 Pong(Ping),
        /// The session ends.
        16 Goodbye(Goodbye),
        /// Names changed.
        17 People(People),
    }
    /// What came of the request with this id. A refusal carries the request's number.
    Reply(u32, Outcome),
}

/// How a reply says no: the request's own number would need its reply type.
const REFUSED: u16 = u16::MAX;

impl<'a> ClientMessage<'a> {
    /// Appends the message with its length to a packet's content.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        append(out, |out| match self {
            Self::Attach(body) => put(1, body, out),
            Self::Follow(body) => put(2, body, out),
            Self::Pull(body) => put(3, body, out),
            Self::Send(body) => put(4, body, out),
            Self::Mark(body) => put(5, body, out),
            Self::Show(body) => put(6, body, out),
            Self::Watch(body) => put(7, body, out),
            Self::Typing(body) => put(8, body, out),
            Self::Ping(body) => put(9, body, out),
            Self::Detach(body) => put(10, body, out),
            Self::Request(id, request) => {
                write_varint((REQUEST_BASE + request.number()).into(), out);
                write_varint((*id).into(), out);
                request.encode_into(out);
            }
            Self::Unknown(number) => write_varint((*number).into(), out),
        });
    }

    /// Decodes one message, its length already taken off.
    ///
    /// # Errors
    ///
    /// If a known message is malformed: the peer broke the protocol.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (number, body) = split_number(bytes)?;
        match number.checked_sub(REQUEST_BASE) {
            None => Self::decode_plain(number, body),
            Some(number) => {
                let (id, used) = decode_front::<u32>(body)?;
                Ok(Self::Request(id, Request::decode(number, &body[used..])?))
            }
        }
    }
}

impl<'a> RelayMessage<'a> {
    /// Appends the message with its length to a packet's content.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        append(out, |out| match self {
            Self::Welcome(body) => put(1, body, out),
            Self::Conversation(body) => put(2, body, out),
            Self::ConversationGone(body) => put(3, body, out),
            Self::Following(body) => put(4, body, out),
            Self::Forked(body) => put(5, body, out),
            Self::Records(body) => put(6, body, out),
            Self::Page(body) => put(7, body, out),
            Self::Accepted(body) => put(8, body, out),
            Self::Rejected(body) => put(9, body, out),
            Self::Progress(body) => put(10, body, out),
            Self::ProgressCount(body) => put(11, body, out),
            Self::Typing(body) => put(12, body, out),
            Self::Presence(body) => put(13, body, out),
            Self::PresenceCount(body) => put(14, body, out),
            Self::Pong(body) => put(15, body, out),
            Self::Goodbye(body) => put(16, body, out),
            Self::People(body) => put(17, body, out),
            Self::Reply(id, outcome) => {
                let number = outcome.as_ref().map_or(REFUSED, |r| REQUEST_BASE + r.number());
                write_varint(number.into(), out);
                write_varint((*id).into(), out);
                match outcome {
                    Ok(reply) => reply.encode_into(out),
                    Err(refusal) => encode_into(refusal, out),
                }
            }
            Self::Unknown(number) => write_varint((*number).into(), out),
        });
    }

    /// Decodes one message, its length already taken off.
    ///
    /// # Errors
    ///
    /// If a known message is malformed: the peer broke the protocol.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (number, body) = split_number(bytes)?;
        let Some(request) = number.checked_sub(REQUEST_BASE) else {
            return Self::decode_plain(number, body);
        };
        let (id, used) = decode_front::<u32>(body)?;
        let body = &body[used..];
        if number == REFUSED {
            return Ok(Self::Reply(id, Err(decode::<Refusal>(body)?)));
        }
        Ok(Self::Reply(id, Ok(Reply::decode(request, body)?)))
    }
}

/// Walks the messages of a packet's content; ends after the first malformed length.
#[derive(Clone, Debug)]
pub struct MessageReader<'a>(&'a [u8]);

impl<'a> MessageReader<'a> {
    /// Reads from a packet's whole content.
    pub const fn new(content: &'a [u8]) -> Self {
        Self(content)
    }

    /// The messages not read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Iterator for MessageReader<'a> {
    type Item = Result<&'a [u8], DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (message, rest) = match split_message(self.0) {
            Ok(split) => split,
            Err(error) => {
                self.0 = &[];
                return Some(Err(error));
            }
        };
        self.0 = rest;
        Some(Ok(message))
    }
}

fn split_message(bytes: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let (len, used) = read_varint(bytes)?;
    let len = usize::try_from(len).map_err(|_| DecodeError)?;
    bytes[used..].split_at_checked(len).ok_or(DecodeError)
}

fn split_number(bytes: &[u8]) -> Result<(u16, &[u8]), DecodeError> {
    let (number, used) = read_varint(bytes)?;
    Ok((u16::try_from(number).map_err(|_| DecodeError)?, &bytes[used..]))
}

fn put<T: serde::Serialize>(number: u16, body: &T, out: &mut Vec<u8>) {
    write_varint(number.into(), out);
    encode_into(body, out);
}

fn append(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    prefix_length(out, start);
}
