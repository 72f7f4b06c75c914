//! Every number that tunes the transport: what it is, why it is so, where it comes from.
//!
//! Four departures from RFC 9002 are made on purpose, all for conversations that send a message now
//! and then, where a lost packet is not followed by others whose acknowledgement would reveal it:
//!
//! 1. Each packet has a timer of its own, and later packets do not restart it (§6.2.1 has one timer,
//!    restarted by every packet). With a message each 50 ms and a timer of 45 ms, the one timer would
//!    never fire.
//! 2. The timer has no `max_ack_delay` in it where an acknowledgement at once was asked for, and
//!    1 ms of variance at least instead of the granularity of §6.2.1, which is the same.
//! 3. A timer that fires backs off only in silence (RFC 8961 §4, requirement 4): while anything is
//!    acknowledged, the path works and loss is what it is.
//! 4. A try after the first is sent more than once, within [`COPY_BYTES_PER_DATA_BYTE`], and only
//!    while the window has room and the flow does not fill the path.
//!
//! What keeps this safe: every byte, copies included, counts against the congestion window; copies
//! stop first; in silence tries become rarer up to [`PROBE_INTERVAL_MAX`]; persistent congestion
//! takes the window back to its minimum (RFC 9002 §7.6).

use std::time::Duration;

/// Size of every datagram until a larger one was acknowledged (RFC 9000 §14.1): no path that
/// carries IPv6 has less than 1280 bytes.
pub const DATAGRAM_BYTES_MIN: usize = 1_200;

/// A packet is lost when one sent this much later is acknowledged (RFC 9002 §6.1.1).
pub(super) const PACKET_THRESHOLD: u64 = 3;
/// What the threshold may grow to on a path that reorders: each loss that turns out to be none
/// raises it by one (RFC 8985 §6.2 step 4, in packets).
pub(super) const PACKET_THRESHOLD_MAX: u64 = 32;
/// A packet is lost when a later one is acknowledged and this many eighths of a round trip went by
/// (RFC 9002 §6.1.2: 9/8).
pub(super) const TIME_THRESHOLD_EIGHTHS: u32 = 9;
/// What that may grow to on a path that reorders, a quarter of a round trip with each loss that turns
/// out to be none (RFC 8985 §6.2 step 4: up to a round trip more).
pub(super) const TIME_THRESHOLD_EIGHTHS_MAX: u32 = 16;
/// No timer is finer (RFC 9002 §6.1.2).
pub(super) const GRANULARITY: Duration = Duration::from_millis(1);
/// Round trip before any was measured (RFC 9002 §6.2.2). The handshake measures one, so this serves
/// only who begins without.
pub(super) const INITIAL_RTT: Duration = Duration::from_millis(333);
/// A guess from a handshake of which several tries were made is not below this: the answer may have
/// been to an earlier one.
pub(super) const GUESS_MIN: Duration = Duration::from_millis(10);
/// Longest time between two tries of the same bytes. RFC 8961 asks for exponential back-off and sets
/// no bound; one packet in two seconds is less than any keep-alive, and somebody who comes back
/// from a tunnel does not wait longer than that.
pub(super) const PROBE_INTERVAL_MAX: Duration = Duration::from_secs(2);
/// Silent tries at the same interval before it begins to double: on a path that loses every third
/// packet, three lost in a row are no sign of congestion.
pub(super) const PATIENT_PROBES: u32 = 3;
/// Persistent congestion: everything was lost for this many probe timeouts (RFC 9002 §7.6.1).
pub(super) const PERSISTENT_CONGESTION_PROBES: u32 = 3;

/// Copies of one try at most: with a fourth, 30 % loss would lose one message in 12,000 instead of
/// one in 4,000 on the third try, and cost 90 bytes more for each.
pub(super) const COPIES_MAX: u8 = 3;
/// Bytes of copies that the bytes of first tries earn, in hundredths. At 30 % loss all tries together
/// need 1.1 times the first ones.
pub(super) const COPY_BYTES_PER_DATA_BYTE: u64 = 110;
/// Copies that may be sent before anything has earned them.
pub(super) const COPY_BYTES_INITIAL: u64 = 8_192;

/// Thousandths of first tries that need a second, above which a second try that holds nobody back has
/// no copy: at 20 % loss in both directions it is 360, the copies would cost a third of all bytes,
/// and without them 99 of 100 messages arrive with the third try.
pub(super) const RETRIED_MANY: u32 = 230;

/// Ask for an acknowledgement at once while at most so many packets are under way: nothing else
/// would bring one soon. (Linux calls a stream thin below four.)
pub(super) const THIN_PACKETS_MAX: usize = 4;
/// Acknowledge at least every second packet (RFC 9000 §13.2.2).
pub(super) const ACK_EVERY_PACKETS: u32 = 2;
/// Longest time that an acknowledgement is held back (RFC 9000 §18.2, `max_ack_delay`).
pub(super) const ACK_DELAY_MAX: Duration = Duration::from_millis(25);
/// Ranges in one acknowledgement: at 50 % loss they cover the last 30 packets, and each packet is in
/// many acknowledgements.
pub(super) const ACK_RANGES_MAX: usize = 16;
/// How far below the largest number an acknowledgement reaches, in packets, if nothing new is
/// below: of a conversation with 160 packets a second these are two round trips of 50 ms.
pub(super) const ACK_REACH_PACKETS: u64 = 16;
/// Acknowledgements that repeat what one of them said first, whatever its distance.
pub(super) const ACK_REPEATS: usize = 4;
/// Ranges of received numbers that are remembered. What is older counts as a duplicate.
pub(super) const RECEIVED_RANGES_MAX: usize = 32;

/// Packets that are not full leave no sooner after one another: a quarter of a round trip, and at
/// most this. A message now and then never waits for it, and of a busy conversation three messages
/// that share a packet are lost together, not one after the other, each holding back the rest. (10 ms
/// save a tenth of the bytes and cost 2 ms of the median.)
pub(super) const SPACING_MAX: Duration = Duration::from_millis(6);

/// Window at the beginning, in datagrams (RFC 9002 §7.2).
pub(super) const INITIAL_WINDOW_DATAGRAMS: u64 = 10;
/// Smallest window, in datagrams (RFC 9002 §7.2).
pub(super) const MINIMUM_WINDOW_DATAGRAMS: u64 = 2;
/// Datagrams that may leave in one burst (RFC 9002 §7.7).
pub(super) const BURST_DATAGRAMS: u64 = 10;

/// Bytes of streams that a peer may send before it is told more: an `Attach` and what belongs to it.
pub const CREDIT_BYTES_INITIAL: u64 = 16_384;
/// Bytes of streams that are held for a reader, and that a peer may be ahead: at 100 ms of round trip
/// it allows 42 Mbit/s for one session. A packet that is lost twice holds back everything behind it
/// for three round trips, so half of it would stall 20 Mbit/s over 40 ms at 5 % loss.
pub const CREDIT_BYTES: u64 = 524_288;
/// Bytes that wait in a sender, sent or not, before it takes no more: so many windows, within these
/// bounds. One window is under way, and the rest is for what is lost twice.
pub(super) const UNACKED_WINDOWS: u64 = 4;
pub(super) const UNACKED_BYTES_MIN: u64 = 65_536;
/// The most for any session.
pub const UNACKED_BYTES_MAX: u64 = 524_288;

/// Packets with the codepoint of RFC 3168 of which none arrives, or all come marked, before it is left
/// away on a path (RFC 9000 §A.4 tests with as many).
pub(super) const ECN_TEST_PACKETS: u64 = 10;
/// Acknowledgements with which marks are told: any of them can be lost.
pub(super) const CONGESTED_REPEATS: u8 = 4;

/// Sizes that are tried, ascending: Ethernet with tunnels, with `PPPoE` over IPv6, plain over IPv6 and
/// over IPv4 (payload of UDP).
pub(super) const DATAGRAM_SIZES: [usize; 5] = [DATAGRAM_BYTES_MIN, 1_350, 1_432, 1_452, 1_472];
/// Tries of one size before it counts as too large (`MAX_PROBES` of RFC 8899 §5.1.2).
pub(super) const SIZE_PROBES_MAX: u8 = 3;
/// Large packets lost in a row without a later one that arrives, before the path counts as narrower than it
/// was (RFC 8899 §4.3).
pub(super) const BLACK_HOLE_PACKETS: u8 = 6;
