//! What a datagram says, as bytes. The format is in the module above.

use std::time::Duration;

use super::{Given, Plan, RunName};
use crate::{
    ids::sha256,
    lab::{
        scenario::{MESSAGE_BYTES_MAX, Strategy},
        strategy::{Cause, Label, Outgoing},
    },
};

/// In front of every datagram.
const MAGIC: [u8; 4] = *b"LAB1";
const SUM_BYTES: usize = 4;
/// Bytes of a datagram that asks: more than of the answer to it.
const ASK_BYTES: usize = 128;
const PLAN_BYTES: usize = 8;
const GIVEN_BYTES: usize = 1 + 4;

/// What a datagram says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said<'d> {
    Ask(Plan),
    Cookie(&'d [u8]),
    Begin(Plan, &'d [u8]),
    Begun,
    Refused,
    Packet(&'d [u8]),
    Answer(Vec<Given>, Option<Outgoing>),
    /// Its number, and for how many conversations the answer has room.
    Look(u32, u8),
    Seen(u32, Vec<Given>),
    Leave,
}

impl<'d> Said<'d> {
    pub(super) fn encode(&self, run: RunName) -> Vec<u8> {
        let mut bytes = [MAGIC, [0; SUM_BYTES]].concat();
        bytes.push(self.kind());
        bytes.extend(run);
        match self {
            Self::Ask(plan) => {
                bytes.extend(plan.encode());
                bytes.resize(ASK_BYTES, 0);
            }
            Self::Cookie(rest) | Self::Packet(rest) => bytes.extend(*rest),
            Self::Begin(plan, cookie) => {
                bytes.extend(plan.encode());
                bytes.extend(*cookie);
            }
            Self::Begun | Self::Refused | Self::Leave => {}
            Self::Answer(report, packet) => {
                encode_report(report, &mut bytes);
                if let Some(Outgoing { bytes: packet, label }) = packet {
                    bytes.extend(encode_label(*label));
                    bytes.extend(packet);
                }
            }
            Self::Look(number, conversations) => {
                bytes.extend(number.to_be_bytes());
                let room = 1 + usize::from(*conversations) * GIVEN_BYTES;
                bytes.resize(bytes.len() + room, 0);
            }
            Self::Seen(number, report) => {
                bytes.extend(number.to_be_bytes());
                encode_report(report, &mut bytes);
            }
        }
        let (head, rest) = bytes.split_at_mut(MAGIC.len() + SUM_BYTES);
        head[MAGIC.len()..].copy_from_slice(&sum(rest));
        bytes
    }

    /// `None` if it is nothing of the kind, because anybody can send anything, or was damaged on its
    /// way.
    pub(super) fn decode(datagram: &'d [u8]) -> Option<(RunName, Self)> {
        let (told, rest) = datagram.strip_prefix(&MAGIC)?.split_first_chunk()?;
        if *told != sum(rest) {
            return None;
        }
        let (kind, rest) = rest.split_first()?;
        let (run, rest) = rest.split_first_chunk()?;
        let said = match kind {
            0 if datagram.len() >= ASK_BYTES => Self::Ask(Plan::decode(*rest.first_chunk()?)?),
            1 => Self::Cookie(rest),
            2 => {
                let (plan, cookie) = rest.split_first_chunk()?;
                Self::Begin(Plan::decode(*plan)?, cookie)
            }
            3 => Self::Begun,
            4 => Self::Refused,
            5 => Self::Packet(rest),
            6 => {
                let (report, rest) = decode_report(rest)?;
                let packet = if rest.is_empty() { None } else { Some(decode_outgoing(rest)?) };
                Self::Answer(report, packet)
            }
            7 => {
                let (number, room) = rest.split_first_chunk()?;
                let room = room.len().saturating_sub(1) / GIVEN_BYTES;
                Self::Look(u32::from_be_bytes(*number), u8::try_from(room).unwrap_or(u8::MAX))
            }
            8 => {
                let (number, rest) = rest.split_first_chunk()?;
                Self::Seen(u32::from_be_bytes(*number), decode_report(rest)?.0)
            }
            9 => Self::Leave,
            _ => return None,
        };
        Some((*run, said))
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Ask(_) => 0,
            Self::Cookie(_) => 1,
            Self::Begin(..) => 2,
            Self::Begun => 3,
            Self::Refused => 4,
            Self::Packet(_) => 5,
            Self::Answer(..) => 6,
            Self::Look(..) => 7,
            Self::Seen(..) => 8,
            Self::Leave => 9,
        }
    }
}

impl Plan {
    pub(super) fn encode(self) -> [u8; PLAN_BYTES] {
        let micros = u32::try_from(self.round_trip.as_micros()).unwrap_or(u32::MAX);
        let mut bytes = [0; PLAN_BYTES];
        bytes[0] = place_of(&Strategy::ALL, self.strategy);
        bytes[1] = self.conversations;
        bytes[2..4].copy_from_slice(&self.message_bytes.to_be_bytes());
        bytes[4..].copy_from_slice(&micros.to_be_bytes());
        bytes
    }

    fn decode([place, conversations, high, low, micros @ ..]: [u8; PLAN_BYTES]) -> Option<Self> {
        let message_bytes = u16::from_be_bytes([high, low]);
        let is_within = conversations > 0 && usize::from(message_bytes) <= MESSAGE_BYTES_MAX;
        let strategy = *Strategy::ALL.get(usize::from(place)).filter(|_| is_within)?;
        let round_trip = Duration::from_micros(u32::from_be_bytes(micros).into());
        Some(Self { strategy, conversations, message_bytes, round_trip })
    }
}

fn encode_report(report: &[Given], bytes: &mut Vec<u8>) {
    let count = u8::try_from(report.len()).unwrap_or(u8::MAX);
    bytes.push(count);
    for Given { conversation, messages } in report.iter().take(count.into()) {
        bytes.push(*conversation);
        bytes.extend(messages.to_be_bytes());
    }
}

fn decode_report(bytes: &[u8]) -> Option<(Vec<Given>, &[u8])> {
    let (count, rest) = bytes.split_first()?;
    let (entries, rest) = rest.split_at_checked(usize::from(*count) * GIVEN_BYTES)?;
    let (entries, _) = entries.as_chunks::<GIVEN_BYTES>();
    let given = |[conversation, messages @ ..]: &[u8; GIVEN_BYTES]| Given {
        conversation: *conversation,
        messages: u32::from_be_bytes(*messages),
    };
    Some((entries.iter().map(given).collect(), rest))
}

fn encode_label(label: Label) -> [u8; 9] {
    let (kind, number) = match label {
        Label::Ack { number } => (0, number),
        Label::Data { number, cause } => (1 + place_of(&Cause::ALL, cause), number),
    };
    let mut bytes = [kind; 9];
    bytes[1..].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// A label and its packet.
fn decode_outgoing(bytes: &[u8]) -> Option<Outgoing> {
    let (kind, rest) = bytes.split_first()?;
    let (number, packet) = rest.split_first_chunk()?;
    let number = u64::from_be_bytes(*number);
    let label = match kind.checked_sub(1) {
        None => Label::Ack { number },
        Some(place) => Label::Data { number, cause: *Cause::ALL.get(usize::from(place))? },
    };
    Some(Outgoing { bytes: packet.to_vec(), label })
}

/// By which a datagram is known that was damaged: to strategies it is lost, as in virtual time.
fn sum(bytes: &[u8]) -> [u8; SUM_BYTES] {
    let digest = sha256(&[bytes]);
    digest.first_chunk().copied().unwrap_or_default()
}

/// Where it stands among all.
fn place_of<T: Copy + PartialEq>(all: &[T], one: T) -> u8 {
    let place = all.iter().position(|it| *it == one).and_then(|place| u8::try_from(place).ok());
    place.expect("all names every one of a few")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Strategy, *};

    const PLAN: Plan = Plan {
        strategy: Strategy::Kcp,
        conversations: 3,
        message_bytes: 200,
        round_trip: Duration::from_millis(40),
    };

    #[test]
    fn what_is_said_is_understood() {
        let given = |conversation, messages| Given { conversation, messages };
        let packet = |label| Some(Outgoing { bytes: vec![1, 2, 3], label });
        let data = Label::Data { number: 9, cause: Cause::Copy };
        for said in [
            Said::Ask(PLAN),
            Said::Cookie(b"cookie"),
            Said::Begin(PLAN, b"cookie"),
            Said::Begun,
            Said::Refused,
            Said::Packet(b"packet"),
            Said::Answer(vec![given(0, 5), given(2, 70_000)], packet(Label::Ack { number: 7 })),
            Said::Answer(vec![], packet(data)),
            Said::Answer(vec![given(1, 1)], None),
            Said::Look(8, 0),
            Said::Look(8, 255),
            Said::Seen(8, vec![given(255, 1)]),
            Said::Leave,
        ] {
            assert_eq!(Said::decode(&said.encode([9; 8])), Some(([9; 8], said)));
        }
    }

    fn from_hex(digits: &str) -> Vec<u8> {
        let digits: Vec<u8> = digits.bytes().filter(|it| *it != b' ').collect();
        let byte = |two: &[u8; 2]| u8::from_str_radix(str::from_utf8(two).ok()?, 16).ok();
        digits.as_chunks().0.iter().map(|two| byte(two).expect("two digits")).collect()
    }

    /// Other versions speak with this one.
    #[test]
    fn the_bytes_are_these() {
        let mut ask = "00 0909090909090909 04 03 00c8 00009c40".to_owned();
        ask.push_str(&"00".repeat(128 - 25));
        let packet = |label| Some(Outgoing { bytes: vec![0xaa, 0xbb], label });
        let given = vec![Given { conversation: 2, messages: 70_000 }];
        let data = Label::Data { number: 258, cause: Cause::Timeout };
        for (said, bytes) in [
            (Said::Ask(PLAN), &*ask),
            (Said::Cookie(&[1, 2]), "01 0909090909090909 0102"),
            (Said::Begin(PLAN, &[1, 2]), "02 0909090909090909 04 03 00c8 00009c40 0102"),
            (Said::Begun, "03 0909090909090909"),
            (Said::Refused, "04 0909090909090909"),
            (Said::Packet(&[0xaa]), "05 0909090909090909 aa"),
            (
                Said::Answer(given.clone(), packet(Label::Ack { number: 7 })),
                "06 0909090909090909 01 02 00011170 00 0000000000000007 aabb",
            ),
            (
                Said::Answer(Vec::new(), packet(data)),
                "06 0909090909090909 00 02 0000000000000102 aabb",
            ),
            (Said::Answer(given.clone(), None), "06 0909090909090909 01 02 00011170"),
            (Said::Look(258, 1), "07 0909090909090909 00000102 000000000000"),
            (Said::Seen(258, given), "08 0909090909090909 00000102 01 02 00011170"),
            (Said::Leave, "09 0909090909090909"),
        ] {
            let bytes = from_hex(bytes);
            let whole = [&MAGIC[..], &sum(&bytes), &bytes].concat();
            assert_eq!(said.encode([9; 8]), whole, "{said:?}");
        }
        let leave = from_hex("4c414231 db58a242 09 0909090909090909");
        assert_eq!(Said::Leave.encode([9; 8]), leave);
    }

    #[test]
    fn strategies_and_causes_have_these_numbers() {
        let strategies = [
            (0, "stop-and-wait"),
            (1, "go-back-n"),
            (2, "selective-repeat"),
            (3, "tcp"),
            (4, "kcp"),
            (5, "ours"),
        ];
        let causes = [(0, "first"), (1, "timeout"), (2, "overtaken"), (3, "go-back"), (4, "copy")];
        assert_eq!(Strategy::ALL.map(|it| (place_of(&Strategy::ALL, it), it.name())), strategies);
        assert_eq!(Cause::ALL.map(|it| (place_of(&Cause::ALL, it), it.name())), causes);
    }

    #[test]
    fn an_ask_that_is_shorter_than_the_answer_is_none() {
        let ask = Said::Ask(PLAN).encode([0; 8]);
        assert_eq!(ask.len(), ASK_BYTES);
        assert_eq!(Said::decode(&ask[..ASK_BYTES - 1]), None);
    }

    #[test]
    fn what_was_damaged_is_nothing() {
        let whole = Said::Packet(b"packet").encode([9; 8]);
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Said::decode(&damaged), None, "{bit}");
        }
    }

    #[test]
    fn a_plan_beyond_the_limits_is_none() {
        let too_large = u16::try_from(MESSAGE_BYTES_MAX).expect("small") + 1;
        for plan in [Plan { conversations: 0, ..PLAN }, Plan { message_bytes: too_large, ..PLAN }] {
            assert_eq!(Said::decode(&Said::Ask(plan).encode([0; 8])), None);
        }
        let mut unknown = PLAN.encode();
        unknown[0] = u8::try_from(Strategy::ALL.len()).expect("a few");
        assert_eq!(Plan::decode(unknown), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_nothing_or_mean_one_thing(
            kind in 0..11_u8,
            rest in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let said = [&[kind][..], &rest].concat();
            let datagram = [&MAGIC[..], &sum(&said), &said].concat();
            if let Some((run, said)) = Said::decode(&datagram) {
                let again = said.encode(run);
                prop_assert_eq!(Said::decode(&again), Some((run, said)));
            }
        }
    }
}
