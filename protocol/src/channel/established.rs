//! What two peers have after the handshake: one key per direction, an AEAD on every packet.
//!
//! A packet's number in its direction is its nonce and never travels: a stream delivers in order,
//! so both sides count. A lost, doubled, swapped or altered packet therefore fails to open. Every
//! [`KEY_UPDATE_PACKETS`] packets the key of a direction is replaced by its successor, from which
//! the old one cannot be computed (wire §4.6).
//!
//! Only the raw keys are kept for sure. What an AEAD expands them to lives on the heap, costs about
//! as much as sealing 200 bytes, appears at the first packet and goes with
//! [`SealedChannel::rest`].

use std::fmt;

use aws_lc_rs::aead::{
    AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use zeroize::Zeroizing;

use super::numbered::NumberedChannel;

/// Bytes by which sealing makes a packet longer.
pub const TAG_BYTES: usize = 16;

/// Packets after which a direction changes its key. 2^16 packets of at most 2^12 AES blocks keep
/// the attacker's advantage below 2^-60 (RFC 9001 §B.1), and what a stolen key can open is bounded.
pub const KEY_UPDATE_PACKETS: u64 = 1 << 16;

/// A raw key of either suite.
pub(crate) type RawKey = Zeroizing<[u8; 32]>;

/// Why a packet could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// The packet is not what the peer sealed at this place in the stream. On purpose there is no
    /// more to know.
    #[error("packet failed to open")]
    Forged,
    /// All packet numbers of this direction are used.
    #[error("packet numbers are used up")]
    Exhausted,
}

/// The AEAD of a suite, with its conventions from the Noise specification (§12.3, §12.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cipher {
    AesGcm,
    ChaChaPoly,
}

impl Cipher {
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::AesGcm => &AES_256_GCM,
            Self::ChaChaPoly => &CHACHA20_POLY1305,
        }
    }

    pub(super) fn expand(self, key: &RawKey) -> LessSafeKey {
        let key = UnboundKey::new(self.algorithm(), &**key);
        LessSafeKey::new(key.expect("both suites have keys of 32 bytes"))
    }

    /// Four zero bytes and the number: big-endian for AES-GCM, little-endian for `ChaCha20`.
    pub(super) fn nonce(self, number: u64) -> Nonce {
        let number = match self {
            Self::AesGcm => number.to_be_bytes(),
            Self::ChaChaPoly => number.to_le_bytes(),
        };
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&number);
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Both directions of an established channel.
pub struct SealedChannel {
    cipher: Cipher,
    send: Direction,
    receive: Direction,
}

impl SealedChannel {
    pub(crate) fn new(cipher: Cipher, send: RawKey, receive: RawKey) -> Self {
        Self { cipher, send: Direction::new(send), receive: Direction::new(receive) }
    }

    /// Encrypts `content` in place as the next packet of our direction and returns its tag.
    /// `header` is what the peer will see in the clear in front of it.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Exhausted`]; `content` is as it was.
    pub fn seal(
        &mut self,
        header: &[u8],
        content: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], ChannelError> {
        let (key, nonce) = self.send.next_packet(self.cipher)?;
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(header), content)
            .expect("sealing fails only above 64 GiB");
        let tag = tag.as_ref().try_into().expect("both suites have tags of 16 bytes");
        self.send.advance(self.cipher);
        Ok(tag)
    }

    /// Decrypts the peer's next packet in place: its content and tag behind a clear `header`.
    ///
    /// # Errors
    ///
    /// Close the connection: nothing that follows can be opened either.
    pub fn open<'p>(
        &mut self,
        header: &[u8],
        sealed: &'p mut [u8],
    ) -> Result<&'p mut [u8], ChannelError> {
        let (key, nonce) = self.receive.next_packet(self.cipher)?;
        let content = key
            .open_in_place(nonce, Aad::from(header), sealed)
            .map_err(|_| ChannelError::Forged)?;
        self.receive.advance(self.cipher);
        Ok(content)
    }

    /// The same keys for packets that come in any order. Only before anything was sealed or opened.
    pub fn numbered(self) -> NumberedChannel {
        debug_assert!(self.send.packets == 0 && self.receive.packets == 0, "numbers begin at 0");
        NumberedChannel::new(self.cipher, self.send.key, self.receive.key)
    }

    /// How many packets we have sealed.
    pub const fn packets_sealed(&self) -> u64 {
        self.send.packets
    }

    /// Whether there is nothing that could be computed again.
    pub const fn is_resting(&self) -> bool {
        self.send.expanded.is_none() && self.receive.expanded.is_none()
    }

    /// Drops everything that can be computed again.
    pub fn rest(&mut self) {
        self.send.expanded = None;
        self.receive.expanded = None;
    }
}

impl fmt::Debug for SealedChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedChannel")
            .field("cipher", &self.cipher)
            .field("sent", &self.send.packets)
            .field("received", &self.receive.packets)
            .finish_non_exhaustive()
    }
}

struct Direction {
    key: RawKey,
    // The number of the next packet.
    packets: u64,
    // `None`, or `key` expanded.
    expanded: Option<Box<LessSafeKey>>,
}

impl Direction {
    const fn new(key: RawKey) -> Self {
        Self { key, packets: 0, expanded: None }
    }

    fn next_packet(&mut self, cipher: Cipher) -> Result<(&LessSafeKey, Nonce), ChannelError> {
        // The last number is the nonce of the key update.
        if self.packets == u64::MAX {
            return Err(ChannelError::Exhausted);
        }
        let key = self.expanded.get_or_insert_with(|| Box::new(cipher.expand(&self.key)));
        Ok((&**key, cipher.nonce(self.packets)))
    }

    fn advance(&mut self, cipher: Cipher) {
        self.packets += 1;
        if self.packets.is_multiple_of(KEY_UPDATE_PACKETS) {
            self.key = successor(cipher, &self.key);
            self.expanded = None;
        }
    }
}

/// `REKEY(k)` of the Noise specification (§4.2): the first 32 bytes of 32 zeros, sealed under the
/// nonce that no packet has.
pub(super) fn successor(cipher: Cipher, key: &RawKey) -> RawKey {
    let mut next = RawKey::default();
    let _tag = cipher
        .expand(key)
        .seal_in_place_separate_tag(cipher.nonce(u64::MAX), Aad::empty(), &mut *next)
        .expect("sealing fails only above 64 GiB");
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    const CIPHERS: [Cipher; 2] = [Cipher::AesGcm, Cipher::ChaChaPoly];

    fn pair(cipher: Cipher) -> (SealedChannel, SealedChannel) {
        let (a, b) = (Zeroizing::new([1; 32]), Zeroizing::new([2; 32]));
        (SealedChannel::new(cipher, a.clone(), b.clone()), SealedChannel::new(cipher, b, a))
    }

    fn sealed(channel: &mut SealedChannel, content: &[u8]) -> Vec<u8> {
        let mut packet = content.to_vec();
        let tag = channel.seal(b"h", &mut packet).unwrap();
        packet.extend(tag);
        packet
    }

    #[test]
    fn the_header_is_bound_to_the_content() {
        for cipher in CIPHERS {
            let (mut a, mut b) = pair(cipher);
            let mut packet = sealed(&mut a, b"hello");
            assert_eq!(b.open(b"x", &mut packet.clone()), Err(ChannelError::Forged));
            assert_eq!(b.open(b"h", &mut packet), Ok(&mut b"hello".to_owned()[..]));
        }
    }

    #[test]
    fn packets_open_once_and_in_order_only() {
        for cipher in CIPHERS {
            let (mut a, mut b) = pair(cipher);
            let (mut first, mut second) = (sealed(&mut a, b"1"), sealed(&mut a, b"2"));
            assert_eq!(b.open(b"h", &mut second.clone()), Err(ChannelError::Forged), "skipped");
            let mut again = first.clone();
            b.open(b"h", &mut first).unwrap();
            assert_eq!(b.open(b"h", &mut again), Err(ChannelError::Forged), "doubled");
            b.open(b"h", &mut second).unwrap();
        }
    }

    #[test]
    fn what_we_sealed_does_not_open_as_the_peers() {
        let (mut a, _) = pair(Cipher::AesGcm);
        let mut packet = sealed(&mut a, b"reflected");
        assert_eq!(a.open(b"h", &mut packet), Err(ChannelError::Forged));
    }

    #[test]
    fn both_sides_change_keys_at_the_same_packet_also_across_a_rest() {
        for cipher in CIPHERS {
            let (mut a, mut b) = pair(cipher);
            let old = a.send.key.clone();
            for number in 0..=KEY_UPDATE_PACKETS {
                let changed = *a.send.key != *old;
                assert_eq!(changed, number == KEY_UPDATE_PACKETS, "before packet {number}");
                if number == KEY_UPDATE_PACKETS - 1 {
                    b.rest();
                }
                let mut packet = sealed(&mut a, b"x");
                b.open(b"h", &mut packet).unwrap();
            }
            assert_eq!(*a.send.key, *b.receive.key);
            assert_eq!(*a.receive.key, [2; 32], "the other direction has its own count");
        }
    }

    #[test]
    fn the_last_packet_number_is_never_used() {
        let (mut a, _) = pair(Cipher::AesGcm);
        a.send.packets = u64::MAX - 1;
        a.seal(b"h", &mut []).unwrap();
        assert_eq!(a.seal(b"h", &mut []), Err(ChannelError::Exhausted));
    }

    #[test]
    fn keys_are_not_printed() {
        let (a, _) = pair(Cipher::AesGcm);
        assert_eq!(format!("{a:?}"), "SealedChannel { cipher: AesGcm, sent: 0, received: 0, .. }");
    }
}
