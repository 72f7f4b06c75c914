//! Mistakes that a transport must not make, planted between two that are right: what one of them says
//! is falsified before the other hears it, as if a wrong one had said it (frames: wire §10.3).

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// An acknowledgement has no gaps: what is missing is never sent again.
    GapsAcknowledged,
    /// Nothing is ever acknowledged.
    NothingAcknowledged,
    /// More credit is never told.
    CreditForgotten,
    /// Parts of streams stand one byte too far on.
    OffsetShifted,
    /// Parts of one stream are put into another.
    StreamMistaken,
    /// The last byte of a part is lost, and the part still counts.
    PartCut,
    /// What was sent before is not sent again.
    NothingSentAgain,
    /// A number that came before is taken for a new one.
    NumberReused,
}

impl Bug {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::GapsAcknowledged,
        Self::NothingAcknowledged,
        Self::CreditForgotten,
        Self::OffsetShifted,
        Self::StreamMistaken,
        Self::PartCut,
        Self::NothingSentAgain,
        Self::NumberReused,
    ];
}

/// One in so many parts of streams is hit, where not all are.
const HIT_OF: u64 = 16;

/// One direction with a mistake in it.
#[derive(Clone, Debug)]
pub(crate) struct Falsifier {
    bug: Bug,
    parts: u64,
    /// By stream: bytes below were seen.
    seen: [u64; 64],
    /// How far the numbers have been moved on.
    extra: u64,
    newest: Option<u64>,
}

impl Falsifier {
    pub(crate) const fn new(bug: Bug) -> Self {
        Self { bug, parts: 0, seen: [0; 64], extra: 0, newest: None }
    }

    /// The number that the receiver is told.
    pub(crate) fn number(&mut self, number: u64) -> u64 {
        if self.bug != Bug::NumberReused {
            return number;
        }
        if self.newest.is_some_and(|newest| number <= newest) {
            self.extra += 1;
        }
        self.newest = self.newest.max(Some(number));
        number + self.extra
    }

    /// The content that the receiver is told.
    pub(crate) fn content(&mut self, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = content;
        while let Some((kind, body)) = rest.split_first() {
            rest = match kind {
                3 => self.ack(body, &mut out),
                4 => self.stream(body, &mut out),
                5 | 9 => {
                    let (_, behind) = varint(body);
                    let is_kept = *kind != 5 || self.bug != Bug::CreditForgotten;
                    copy(rest, behind, is_kept, &mut out)
                }
                6 | 7 => copy(rest, &body[8..], true, &mut out),
                10 => copy(rest, &body[24..], true, &mut out),
                _ => copy(rest, body, true, &mut out),
            };
        }
        out
    }

    fn ack<'p>(&self, body: &'p [u8], out: &mut Vec<u8>) -> &'p [u8] {
        let (largest, rest) = varint(body);
        let (delay, rest) = varint(rest);
        let (count, rest) = rest.split_first().expect("a count");
        let (first, mut rest) = varint(rest);
        let pairs = rest;
        for _ in 0..*count * 2 {
            rest = varint(rest).1;
        }
        let pairs = &pairs[..pairs.len() - rest.len()];
        let (count, first, pairs) = match self.bug {
            Bug::NothingAcknowledged => return rest,
            Bug::GapsAcknowledged => (0, largest, &[][..]),
            _ => (*count, first, pairs),
        };
        out.push(3);
        put_varint(out, largest);
        put_varint(out, delay);
        out.push(count);
        put_varint(out, first);
        out.extend(pairs);
        rest
    }

    fn stream<'p>(&mut self, body: &'p [u8], out: &mut Vec<u8>) -> &'p [u8] {
        let (stream, rest) = body.split_first().expect("a stream");
        let (mut stream, rest) = (*stream, rest);
        let (mut offset, rest) = varint(rest);
        let (length, rest) = varint(rest);
        let (mut data, rest) = rest.split_at(usize::try_from(length).expect("small"));
        let seen = &mut self.seen[usize::from(stream)];
        let is_again = offset < *seen;
        *seen = (*seen).max(offset + length);
        self.parts += 1;
        let is_hit = self.parts.is_multiple_of(HIT_OF);
        match self.bug {
            Bug::NothingSentAgain if is_again => return rest,
            Bug::OffsetShifted if is_hit => offset += 1,
            Bug::StreamMistaken if is_hit => stream = stream % 63 + 1,
            Bug::PartCut if is_hit && data.len() > 1 => data = &data[..data.len() - 1],
            _ => {}
        }
        out.extend([4, stream]);
        put_varint(out, offset);
        put_varint(out, data.len() as u64);
        out.extend(data);
        rest
    }
}

/// Copies what is before `behind`, unless it is left out.
fn copy<'p>(from: &'p [u8], behind: &'p [u8], is_kept: bool, out: &mut Vec<u8>) -> &'p [u8] {
    if is_kept {
        out.extend(&from[..from.len() - behind.len()]);
    }
    behind
}

fn varint(bytes: &[u8]) -> (u64, &[u8]) {
    let (taken, rest) = bytes.split_at(1 << (bytes[0] >> 6));
    let all = taken.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    (all & (u64::MAX >> 2 >> (64 - 8 * taken.len())), rest)
}

fn put_varint(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_be_bytes();
    match value {
        0..0x40 => out.push(bytes[7]),
        0x40..0x4000 => out.extend([bytes[6] | 0x40, bytes[7]]),
        0x4000..0x4000_0000 => out.extend([bytes[4] | 0x80, bytes[5], bytes[6], bytes[7]]),
        _ => out.extend([&[bytes[0] | 0xc0][..], &bytes[1..]].concat()),
    }
}
