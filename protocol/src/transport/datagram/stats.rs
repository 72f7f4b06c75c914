//! What a session on datagrams has seen: counters only, for people and for tests.

/// Counters of one session, since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets that left.
    pub packets_sent: u64,
    /// Packets that came, each once.
    pub packets_received: u64,
    /// Bytes of sealed content that left.
    pub bytes_sent: u64,
    /// Bytes of sealed content that came.
    pub bytes_received: u64,
    /// Packets that came again, or so late that nobody knows whether they did.
    pub duplicates: u64,
    /// Packets given up because later ones were acknowledged (RFC 9002 §6.1.1).
    pub lost_by_order: u64,
    /// Packets given up because one sent later was acknowledged and time went by (RFC 9002 §6.1.2).
    pub lost_by_time: u64,
    /// Packets whose content was sent again because nothing was heard of them for too long.
    pub probed: u64,
    /// Packets that were given up and were acknowledged after all.
    pub spurious: u64,
    /// Packets that carried nothing but further copies of a try.
    pub copies: u64,
    /// Further copies of a try that were not made: the path was not idle, or none were earned.
    pub copies_withheld: u64,
    /// Times that the peer has told of packets with the mark of congestion (RFC 3168).
    pub marked: u64,
    /// Times that everything was lost for so long that the window began anew (RFC 9002 §7.6).
    pub persistent_congestion: u64,
}
