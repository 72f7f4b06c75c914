//! Keys for packets that are lost, doubled and overtake one another: each says its number, and the
//! bit of its key phase (wire §10.2).
//!
//! The sender goes to the next key after [`KEY_UPDATE_PACKETS`] packets or less, once the peer has shown
//! that it has the current one. The receiver follows when a packet with the other bit opens under
//! the next key, and keeps the key before for those that were overtaken (RFC 9001 §6). Numbers go on
//! and are never used twice, so that no nonce is.

use std::fmt;

use aws_lc_rs::aead::{Aad, LessSafeKey};

use super::established::{ChannelError, Cipher, KEY_UPDATE_PACKETS, RawKey, TAG_BYTES, successor};

/// Which of two keys a packet is sealed with: it changes with every update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyPhase {
    /// The first key, the third, and so on.
    #[default]
    Even,
    /// The second, the fourth.
    Odd,
}

impl KeyPhase {
    const fn next(self) -> Self {
        match self {
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }
}

/// Both directions of a channel over datagrams.
pub struct NumberedChannel {
    cipher: Cipher,
    send: Sending,
    receive: Receiving,
}

struct Sending {
    key: Key,
    phase: KeyPhase,
    /// The first number under this key.
    first: u64,
    /// The next number: lower ones are used.
    next: u64,
    /// Packets under one key, at least.
    packets_per_key: u64,
    updates: u64,
}

struct Receiving {
    previous: Option<Key>,
    current: Key,
    next: Key,
    phase: KeyPhase,
    /// The smallest number that opened under the current key.
    first: Option<u64>,
}

/// A key, and what the AEAD expands it to once it is used.
struct Key {
    raw: RawKey,
    expanded: Option<Box<LessSafeKey>>,
}

impl Key {
    const fn new(raw: RawKey) -> Self {
        Self { raw, expanded: None }
    }

    fn expand(&mut self, cipher: Cipher) -> &LessSafeKey {
        self.expanded.get_or_insert_with(|| Box::new(cipher.expand(&self.raw)))
    }

    fn successor(&self, cipher: Cipher) -> Self {
        Self::new(successor(cipher, &self.raw))
    }
}

impl NumberedChannel {
    pub(super) fn new(cipher: Cipher, send: RawKey, receive: RawKey) -> Self {
        let current = Key::new(receive);
        let next = current.successor(cipher);
        Self {
            cipher,
            send: Sending {
                key: Key::new(send),
                phase: KeyPhase::Even,
                first: 0,
                next: 0,
                packets_per_key: KEY_UPDATE_PACKETS,
                updates: 0,
            },
            receive: Receiving {
                previous: None,
                current,
                next,
                phase: KeyPhase::Even,
                first: None,
            },
        }
    }

    /// From now on our direction goes to its next key after so many packets, but never later than
    /// after [`KEY_UPDATE_PACKETS`]. The peer follows whatever it is.
    pub fn set_packets_per_key(&mut self, packets: u64) {
        self.send.packets_per_key = packets.clamp(1, KEY_UPDATE_PACKETS);
    }

    /// How often our direction has gone to its next key.
    pub const fn updates(&self) -> u64 {
        self.send.updates
    }

    /// The phase of the next packet that is sealed: its header says so.
    pub const fn phase(&self) -> KeyPhase {
        self.send.phase
    }

    /// The peer has acknowledged our packet `number`. If the key was used for long enough and the
    /// peer has it, the next packets are sealed with the next one.
    pub fn on_acked(&mut self, number: u64) {
        let send = &mut self.send;
        if number >= send.first && send.next - send.first >= send.packets_per_key {
            send.key = send.key.successor(self.cipher);
            send.phase = send.phase.next();
            send.first = send.next;
            send.updates += 1;
        }
    }

    /// Encrypts `content` in place as packet `number` and returns its tag.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Exhausted`] if the number was used, or is the one that no packet has.
    pub fn seal(
        &mut self,
        number: u64,
        header: &[u8],
        content: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], ChannelError> {
        if number < self.send.next || number == u64::MAX {
            return Err(ChannelError::Exhausted);
        }
        self.send.next = number + 1;
        let nonce = self.cipher.nonce(number);
        let key = self.send.key.expand(self.cipher);
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(header), content)
            .expect("sealing fails only above 64 GiB");
        Ok(tag.as_ref().try_into().expect("both suites have tags of 16 bytes"))
    }

    /// Decrypts the peer's packet `number` in place: its content and tag behind a clear `header`.
    /// Whether the number came before is for the caller to know.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Forged`]: drop the packet. Anybody can send one.
    pub fn open<'p>(
        &mut self,
        number: u64,
        phase: KeyPhase,
        header: &[u8],
        sealed: &'p mut [u8],
    ) -> Result<&'p mut [u8], ChannelError> {
        let Receiving { previous, current, next, phase: known, first } = &mut self.receive;
        let is_before = first.is_some_and(|first| number < first);
        let (key, is_next) = match (phase == *known, is_before, previous) {
            (true, ..) => (current, false),
            (false, true, Some(previous)) => (previous, false),
            (false, true, None) => return Err(ChannelError::Forged),
            (false, false, _) => (next, true),
        };
        let nonce = self.cipher.nonce(number);
        let content = key
            .expand(self.cipher)
            .open_in_place(nonce, Aad::from(header), sealed)
            .map_err(|_| ChannelError::Forged)?;
        if is_next {
            self.receive.update(self.cipher, number);
        } else if phase == self.receive.phase {
            let first = &mut self.receive.first;
            *first = Some(first.map_or(number, |first| first.min(number)));
        }
        Ok(content)
    }

    /// Drops everything that can be computed again.
    pub fn rest(&mut self) {
        self.send.key.expanded = None;
        let Receiving { previous, current, next, .. } = &mut self.receive;
        for key in previous.iter_mut().chain([current, next]) {
            key.expanded = None;
        }
    }
}

impl Receiving {
    fn update(&mut self, cipher: Cipher, number: u64) {
        let after = self.next.successor(cipher);
        let current = std::mem::replace(&mut self.next, after);
        self.previous = Some(std::mem::replace(&mut self.current, current));
        self.phase = self.phase.next();
        self.first = Some(number);
    }
}

impl fmt::Debug for NumberedChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NumberedChannel")
            .field("cipher", &self.cipher)
            .field("next", &self.send.next)
            .field("phase", &self.send.phase)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    const CIPHERS: [Cipher; 2] = [Cipher::AesGcm, Cipher::ChaChaPoly];

    fn pair(cipher: Cipher) -> (NumberedChannel, NumberedChannel) {
        let (a, b) = (Zeroizing::new([1; 32]), Zeroizing::new([2; 32]));
        (NumberedChannel::new(cipher, a.clone(), b.clone()), NumberedChannel::new(cipher, b, a))
    }

    fn seal(channel: &mut NumberedChannel, number: u64) -> (u64, KeyPhase, Vec<u8>) {
        let phase = channel.phase();
        let mut packet = number.to_be_bytes().to_vec();
        let tag = channel.seal(number, b"h", &mut packet).unwrap();
        packet.extend(tag);
        (number, phase, packet)
    }

    fn open(channel: &mut NumberedChannel, packet: &(u64, KeyPhase, Vec<u8>)) -> bool {
        let (number, phase, mut bytes) = packet.clone();
        let content = channel.open(number, phase, b"h", &mut bytes);
        content.is_ok_and(|content| content == number.to_be_bytes())
    }

    #[test]
    fn packets_open_in_any_order_and_with_gaps() {
        for cipher in CIPHERS {
            let (mut a, mut b) = pair(cipher);
            let packets: Vec<_> = [0, 1, 5, 9].map(|number| seal(&mut a, number)).into();
            assert!([3, 0, 2, 1].iter().all(|at| open(&mut b, &packets[*at])));
            let (_, phase, bytes) = packets[0].clone();
            assert!(!open(&mut b, &(7, phase, bytes)), "the number is bound");
        }
    }

    #[test]
    fn a_number_is_never_used_twice() {
        let (mut a, _) = pair(Cipher::AesGcm);
        seal(&mut a, 3);
        assert_eq!(a.seal(3, b"", &mut []), Err(ChannelError::Exhausted));
        assert_eq!(a.seal(u64::MAX, b"", &mut []), Err(ChannelError::Exhausted));
    }

    #[test]
    fn keys_change_when_the_peer_has_them_and_overtaken_packets_still_open() {
        for cipher in CIPHERS {
            let (mut a, mut b) = pair(cipher);
            let late = seal(&mut a, 1);
            assert!(open(&mut b, &seal(&mut a, 2)));
            let last = seal(&mut a, KEY_UPDATE_PACKETS - 1);
            a.on_acked(2);
            assert_eq!(a.phase(), KeyPhase::Odd);
            let first = seal(&mut a, KEY_UPDATE_PACKETS);
            a.on_acked(2);
            assert_eq!(a.phase(), KeyPhase::Odd, "the peer has not shown that it has this one");
            assert!(open(&mut b, &first) && open(&mut b, &late) && open(&mut b, &last));
            let next = seal(&mut a, 2 * KEY_UPDATE_PACKETS);
            a.on_acked(KEY_UPDATE_PACKETS);
            assert_eq!(a.phase(), KeyPhase::Even);
            assert!(open(&mut b, &seal(&mut a, 2 * KEY_UPDATE_PACKETS + 1)));
            assert!(open(&mut b, &next));
            assert!(!open(&mut b, &late), "two keys back");
        }
    }

    #[test]
    fn fewer_packets_under_a_key_are_the_senders_business_alone() {
        let (mut a, mut b) = pair(Cipher::AesGcm);
        a.set_packets_per_key(3);
        for number in 0..30 {
            let packet = seal(&mut a, number);
            assert!(open(&mut b, &packet), "{number}");
            a.on_acked(number);
        }
        assert_eq!((a.updates(), b.updates()), (10, 0));
    }

    #[test]
    fn a_forged_phase_changes_nothing() {
        let (mut a, mut b) = pair(Cipher::AesGcm);
        let (number, _, bytes) = seal(&mut a, 0);
        assert!(!open(&mut b, &(number, KeyPhase::Odd, bytes.clone())));
        assert!(open(&mut b, &(number, KeyPhase::Even, bytes)));
        b.rest();
        assert!(open(&mut b, &seal(&mut a, 1)));
    }
}
