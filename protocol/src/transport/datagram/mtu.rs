//! How large a datagram the path carries (RFC 8899): begun small, tried larger when there is enough
//! to send, back to small when only large ones vanish.

use super::tuning::{BLACK_HOLE_PACKETS, DATAGRAM_SIZES, SIZE_PROBES_MAX};

/// The sizes of one path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizes {
    /// Index of the size in use, among those that are tried.
    current: usize,
    /// Somebody had a full packet's worth to send.
    is_wanted: bool,
    is_probing: bool,
    tries: u8,
    /// Large packets lost since one arrived.
    large_lost: u8,
    /// Large packets below this number may be lost: later ones have arrived.
    arrived_below: u64,
}

impl Sizes {
    /// Bytes of a datagram.
    pub(super) const fn current(&self) -> usize {
        DATAGRAM_SIZES[self.current]
    }

    /// A packet was as large as it could be: a larger size would be of use.
    pub(super) const fn note_full(&mut self) {
        self.is_wanted = true;
    }

    /// A size to try with the next packet.
    pub(super) fn next_probe(&mut self) -> Option<usize> {
        let next = *DATAGRAM_SIZES.get(self.current + 1)?;
        let may_try = self.is_wanted && !self.is_probing && self.tries < SIZE_PROBES_MAX;
        self.is_probing |= may_try;
        may_try.then_some(next)
    }

    /// A packet of this size that was a try arrived. True if the size is used from now on.
    pub(super) fn on_probe_acked(&mut self, bytes: usize) -> bool {
        let Some(index) = DATAGRAM_SIZES.iter().position(|size| *size == bytes) else {
            return false;
        };
        let is_larger = index > self.current;
        if is_larger {
            *self = Self { current: index, is_wanted: self.is_wanted, ..Self::default() };
        }
        is_larger
    }

    /// A try was lost: once, that says nothing.
    pub(super) const fn on_probe_lost(&mut self) {
        self.is_probing = false;
        self.tries += 1;
    }

    /// A packet of this size arrived.
    pub(super) fn on_acked(&mut self, number: u64, bytes: usize) {
        if self.is_large(bytes) {
            self.large_lost = 0;
            self.arrived_below = self.arrived_below.max(number);
        }
    }

    /// Whether a packet needs the size that is in use: it would not fit the one below. Few have it to
    /// the byte.
    fn is_large(&self, bytes: usize) -> bool {
        self.current > 0 && bytes > DATAGRAM_SIZES[self.current - 1]
    }

    /// A packet of this size was lost. True if the path counts as narrow again.
    pub(super) fn on_lost(&mut self, number: u64, bytes: usize) -> bool {
        // A queue that overflows loses many in a row, and then the next arrive.
        if !self.is_large(bytes) || number < self.arrived_below {
            return false;
        }
        self.large_lost += 1;
        let is_black_hole = self.large_lost >= BLACK_HOLE_PACKETS;
        if is_black_hole {
            // Not tried again: the next path begins anew.
            *self = Self { tries: SIZE_PROBES_MAX, ..Self::default() };
        }
        is_black_hole
    }

    /// Nothing is heard any more. Where every packet is large that is all that a black hole shows.
    /// True if the size changes; larger ones are tried again.
    pub(super) fn on_silence(&mut self) -> bool {
        let is_larger = self.current > 0;
        if is_larger {
            *self = Self { is_wanted: self.is_wanted, ..Self::default() };
        }
        is_larger
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_sizes_are_tried_one_by_one_when_there_is_use_for_them() {
        let mut sizes = Sizes::default();
        assert_eq!(sizes.next_probe(), None, "nobody needs it");
        sizes.note_full();
        assert_eq!(sizes.next_probe(), Some(1_350));
        assert_eq!(sizes.next_probe(), None, "one at a time");
        assert!(sizes.on_probe_acked(1_350));
        assert_eq!((sizes.current(), sizes.next_probe()), (1_350, Some(1_432)));
        for _ in 0..SIZE_PROBES_MAX {
            sizes.on_probe_lost();
            sizes.next_probe();
        }
        assert_eq!((sizes.current(), sizes.next_probe()), (1_350, None), "it is too large");
    }

    #[test]
    fn when_only_large_packets_vanish_they_become_small_again() {
        let mut sizes = Sizes::default();
        sizes.note_full();
        sizes.next_probe();
        sizes.on_probe_acked(1_350);
        for number in 1..BLACK_HOLE_PACKETS.into() {
            assert!(!sizes.on_lost(number, 1_350));
        }
        sizes.on_acked(20, 1_201);
        for number in 0..20 {
            assert!(!sizes.on_lost(number, 1_350), "a later one has arrived");
        }
        assert!(!sizes.on_lost(21, 200));
        for number in 1..BLACK_HOLE_PACKETS.into() {
            assert!(!sizes.on_lost(20 + number, 1_350));
        }
        assert!(sizes.on_lost(40, 1_344), "few have the size to the byte");
        assert_eq!((sizes.current(), sizes.next_probe()), (1_200, None));
    }

    #[test]
    fn in_silence_packets_become_small_and_grow_again_afterwards() {
        let mut sizes = Sizes::default();
        assert!(!sizes.on_silence());
        sizes.note_full();
        sizes.next_probe();
        sizes.on_probe_acked(1_350);
        assert!(sizes.on_silence());
        assert_eq!((sizes.current(), sizes.next_probe()), (1_200, Some(1_350)));
    }
}
