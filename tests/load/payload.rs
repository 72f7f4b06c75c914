//! What the load says: texts of 128 bytes that carry their sender, its own number for them and when
//! their turn came, so that whoever reads one can check and time it.

use std::time::Duration;

use protocol::{
    message::{
        event::{Body, Text},
        ext::Ext,
    },
    time::WallTime,
};

/// Length of every text: what the peers this is compared with were measured with.
pub(crate) const PAYLOAD_BYTES: usize = 128;

/// What stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Which sender of the test.
    pub(crate) sender: u16,
    /// The sender's own count, from 0.
    pub(crate) sequence: u32,
    /// When its turn came, as time since the test began; it leaves a little later.
    pub(crate) due: Duration,
}

impl Stamp {
    /// The encoded body of a message that carries the stamp.
    pub(crate) fn to_body(self) -> Vec<u8> {
        let due = self.due.as_nanos();
        let stamp = format!("{:04x}.{:08x}.{due:016x}", self.sender, self.sequence);
        let text = format!("{stamp:.<PAYLOAD_BYTES$}");
        let text =
            Text { text, composed_at: WallTime::default(), reply_to: None, ext: Ext::none() };
        Body::Text(text).encode()
    }

    /// Reads the stamp of an encoded body; `None` if it is anything else.
    pub(crate) fn from_body(body: &[u8]) -> Option<Self> {
        let Body::Text(Text { text, .. }) = Body::decode(body).ok()? else {
            return None;
        };
        if text.len() != PAYLOAD_BYTES {
            return None;
        }
        let mut fields = text.split('.');
        Some(Self {
            sender: u16::from_str_radix(fields.next()?, 16).ok()?,
            sequence: u32::from_str_radix(fields.next()?, 16).ok()?,
            due: Duration::from_nanos(u64::from_str_radix(fields.next()?, 16).ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_the_wire() {
        let stamp = Stamp { sender: 7, sequence: 70_000, due: Duration::from_micros(123_456_789) };
        assert_eq!(Stamp::from_body(&stamp.to_body()), Some(stamp));
    }

    #[test]
    fn another_text_has_no_stamp() {
        let text = Text {
            text: "0007.00000001.0000000000000001".to_owned(),
            composed_at: WallTime::default(),
            reply_to: None,
            ext: Ext::none(),
        };
        assert_eq!(Stamp::from_body(&Body::Text(text).encode()), None, "too short");
        assert_eq!(Stamp::from_body(b"garbage"), None);
    }
}
