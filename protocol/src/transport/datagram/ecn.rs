//! Explicit congestion notification (RFC 3168, RFC 9000 §13.4): a router marks what it would soon
//! have to drop.
//!
//! The two bits of a datagram's IP header are the driver's to read and to write; [`Codepoint`] is
//! what they say. The receiver counts the marked packets and tells the sum, the sender slows down as
//! if something was lost, and nothing has to be sent again.

use super::tuning::{CONGESTED_REPEATS, ECN_TEST_PACKETS};

/// The two bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codepoint {
    /// 00: whoever sent this does not take part, or it is not known.
    #[default]
    NotCapable,
    /// 10 or 01: not marked, and could have been.
    Capable,
    /// 11: congestion experienced.
    Congested,
}

impl Codepoint {
    /// Of the two lowest bits of the traffic class.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0b00 => Self::NotCapable,
            0b11 => Self::Congested,
            _ => Self::Capable,
        }
    }

    /// The two bits.
    pub const fn bits(self) -> u8 {
        match self {
            Self::NotCapable => 0b00,
            Self::Capable => 0b10,
            Self::Congested => 0b11,
        }
    }
}

/// What one side knows of the marks in both directions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ecn {
    /// Packets that came marked, and how many more times that is told.
    received: u64,
    tellings: u8,
    /// Marked packets that the peer has told.
    told: u64,
    /// Packets that left with the codepoint on this path, and those of them that arrived.
    sent: u64,
    acked: u64,
    has_failed: bool,
}

impl Ecn {
    /// The codepoint of what leaves now.
    pub(super) const fn codepoint(&self) -> Codepoint {
        if self.has_failed { Codepoint::NotCapable } else { Codepoint::Capable }
    }

    /// A packet that asks for an acknowledgement leaves.
    pub(super) const fn on_sent(&mut self) {
        self.sent += 1;
        // There are paths that drop whatever takes part (RFC 9000 §13.4.2).
        if self.acked == 0 && self.sent >= ECN_TEST_PACKETS {
            self.has_failed = true;
        }
    }

    /// Packets arrived.
    pub(super) const fn on_acked(&mut self, packets: u64) {
        self.acked += packets;
    }

    /// A packet of the peer came.
    pub(super) const fn on_received(&mut self, codepoint: Codepoint) {
        if matches!(codepoint, Codepoint::Congested) {
            self.received += 1;
            self.tellings = CONGESTED_REPEATS;
        }
    }

    /// How many packets came marked, if that has to be told with this acknowledgement.
    pub(super) fn tell(&mut self) -> Option<u64> {
        self.tellings = self.tellings.checked_sub(1)?;
        Some(self.received)
    }

    /// The peer tells how many packets came marked. True if there are more than before.
    pub(super) const fn on_told(&mut self, congested: u64) -> bool {
        let is_more = congested > self.told;
        if is_more {
            self.told = congested;
        }
        // Somebody marks everything: that says nothing.
        if self.acked >= ECN_TEST_PACKETS && self.told >= self.acked {
            self.has_failed = true;
        }
        is_more && !self.has_failed
    }

    /// The path is another one.
    pub(super) const fn change_path(&mut self) {
        (self.sent, self.acked, self.has_failed) = (0, 0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_rfc_3168() {
        let of = |bits| Codepoint::from_bits(bits).bits();
        assert_eq!([of(0), of(1), of(2), of(3), of(0b1110)], [0, 2, 2, 3, 2]);
    }

    #[test]
    fn a_path_on_which_nothing_so_marked_arrives_gets_it_no_more() {
        let mut ecn = Ecn::default();
        for _ in 0..ECN_TEST_PACKETS {
            assert_eq!(ecn.codepoint(), Codepoint::Capable);
            ecn.on_sent();
        }
        assert_eq!(ecn.codepoint(), Codepoint::NotCapable);
        ecn.change_path();
        ecn.on_sent();
        ecn.on_acked(1);
        for _ in 0..ECN_TEST_PACKETS {
            ecn.on_sent();
        }
        assert_eq!(ecn.codepoint(), Codepoint::Capable);
    }

    #[test]
    fn a_path_on_which_everything_is_marked_says_nothing() {
        let mut ecn = Ecn::default();
        ecn.on_acked(ECN_TEST_PACKETS);
        assert!(ecn.on_told(1), "one is news");
        assert!(!ecn.on_told(1), "and no more is none");
        assert!(!ecn.on_told(ECN_TEST_PACKETS));
        assert_eq!(ecn.codepoint(), Codepoint::NotCapable);
    }

    #[test]
    fn marks_are_told_several_times_and_then_not_for_nothing() {
        let mut ecn = Ecn::default();
        assert_eq!(ecn.tell(), None);
        ecn.on_received(Codepoint::Capable);
        assert_eq!(ecn.tell(), None);
        ecn.on_received(Codepoint::Congested);
        for _ in 0..CONGESTED_REPEATS {
            assert_eq!(ecn.tell(), Some(1));
        }
        assert_eq!(ecn.tell(), None);
    }
}
