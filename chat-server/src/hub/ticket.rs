//! Tickets: what an invitation carries so that its holder may register. Stateless: the relay
//! recognises its own by a MAC, and they expire.
//!
//! ```text
//!   version 1 ‖ expires u64 (ms since 1970, big-endian) ‖ nonce 7 ‖ MAC 16
//! ```

use protocol::{ids::sha256, limits::TICKET_BYTES_MAX, time::WallTime};

const VERSION: u8 = 1;
const MAC_BYTES: usize = 16;
const SIGNED_BYTES: usize = 1 + 8 + 7;

const _: () = assert!(SIGNED_BYTES + MAC_BYTES <= TICKET_BYTES_MAX, "an invitation carries it");

/// Makes a ticket that is good until `expires`.
pub(super) fn issue(secret: &[u8; 32], expires: WallTime, nonce: [u8; 7]) -> Vec<u8> {
    let mut ticket = Vec::with_capacity(SIGNED_BYTES + MAC_BYTES);
    ticket.push(VERSION);
    ticket.extend_from_slice(&expires.as_millis().to_be_bytes());
    ticket.extend_from_slice(&nonce);
    let mac = mac(secret, &ticket);
    ticket.extend_from_slice(&mac);
    ticket
}

/// True if this relay issued the ticket and it has not expired.
pub(super) fn is_valid(secret: &[u8; 32], wall: WallTime, ticket: &[u8]) -> bool {
    let Some((signed, given)) = ticket.split_at_checked(SIGNED_BYTES) else { return false };
    if signed[0] != VERSION || !equal(&mac(secret, signed), given) {
        return false;
    }
    let mut expires = [0; 8];
    expires.copy_from_slice(&signed[1..9]);
    WallTime::from_millis(u64::from_be_bytes(expires)) > wall
}

/// HMAC-SHA256 (RFC 2104), shortened as RFC 2104 §5 allows.
fn mac(secret: &[u8; 32], message: &[u8]) -> [u8; MAC_BYTES] {
    const BLOCK: usize = 64;
    let pad = |byte: u8| {
        let mut block = [byte; BLOCK];
        for (padded, key) in block.iter_mut().zip(secret) {
            *padded ^= key;
        }
        block
    };
    let inner = sha256(&[&pad(0x36), message]);
    let outer = sha256(&[&pad(0x5c), &inner]);
    let mut short = [0; MAC_BYTES];
    short.copy_from_slice(&outer[..MAC_BYTES]);
    short
}

/// Compares without telling by its duration where the first difference is.
fn equal(a: &[u8; MAC_BYTES], b: &[u8]) -> bool {
    b.len() == MAC_BYTES && a.iter().zip(b).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    fn at(millis: u64) -> WallTime {
        WallTime::from_millis(millis)
    }

    #[test]
    fn a_ticket_is_good_until_it_expires() {
        let ticket = issue(&SECRET, at(100), [1; 7]);
        assert!(is_valid(&SECRET, at(99), &ticket));
        assert!(!is_valid(&SECRET, at(100), &ticket));
    }

    #[test]
    fn any_changed_byte_spoils_it() {
        let ticket = issue(&SECRET, at(100), [1; 7]);
        for index in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[index] ^= 1;
            assert!(!is_valid(&SECRET, at(0), &changed), "byte {index}");
        }
        assert!(!is_valid(&SECRET, at(0), &ticket[..ticket.len() - 1]));
        assert!(!is_valid(&SECRET, at(0), &[]));
        assert!(!is_valid(&[8; 32], at(0), &ticket));
    }

    #[test]
    fn the_mac_is_hmac_sha256() {
        // RFC 4231 case 1 has a 20-byte key of 0x0b; zero-padded it is the same HMAC key.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let expected = [
            0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53, 0x5c, 0xa8, 0xaf, 0xce, 0xaf, 0x0b,
            0xf1, 0x2b,
        ];
        assert_eq!(mac(&key, b"Hi There"), expected);
    }
}
