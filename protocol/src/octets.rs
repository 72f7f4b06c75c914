//! Reading and writing of the few layouts that are written by hand: the clear packets and the
//! handshake's payloads. They have to stay readable for peers of any version, so they do not
//! follow the encoding of messages.
//!
//! Numbers are big-endian. Every `Option` here means "the packet is not what it should be".

use crate::{
    limits::RELAY_NAME_BYTES_MAX,
    offer::{Choices, OFFER_ITEMS_MAX, Suite, Suites, Version, Versions},
};

/// Takes fields off the front of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'p>(&'p [u8]);

impl<'p> Reader<'p> {
    pub(crate) const fn new(bytes: &'p [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Option<&'p [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn take_rest(&mut self) -> &'p [u8] {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn versions(&mut self) -> Option<Versions> {
        self.choices(|reader| reader.u16().map(Version))
    }

    pub(crate) fn suites(&mut self) -> Option<Suites> {
        self.choices(|reader| reader.u8().map(Suite))
    }

    fn choices<T: Copy + Default + PartialEq>(
        &mut self,
        item: impl Fn(&mut Self) -> Option<T>,
    ) -> Option<Choices<T>> {
        let count = usize::from(self.u8()?);
        if count == 0 || count > OFFER_ITEMS_MAX {
            return None;
        }
        let items: Option<Vec<T>> = (0..count).map(|_| item(self)).collect();
        Some(Choices::new(items?))
    }

    pub(crate) fn relay_name(&mut self) -> Option<&'p str> {
        let bytes = usize::from(self.u8()?);
        if bytes > RELAY_NAME_BYTES_MAX {
            return None;
        }
        std::str::from_utf8(self.take(bytes)?).ok()
    }
}

pub(crate) fn put_versions(out: &mut Vec<u8>, versions: &Versions) {
    put_count(out, versions.as_slice().len());
    for version in versions.as_slice() {
        out.extend(version.0.to_be_bytes());
    }
}

pub(crate) fn put_suites(out: &mut Vec<u8>, suites: &Suites) {
    put_count(out, suites.as_slice().len());
    for suite in suites.as_slice() {
        out.push(suite.0);
    }
}

/// Writes the longest beginning of `name` that fits [`RELAY_NAME_BYTES_MAX`].
pub(crate) fn put_relay_name(out: &mut Vec<u8>, name: &str) {
    let end = (0..=RELAY_NAME_BYTES_MAX.min(name.len()))
        .rfind(|end| name.is_char_boundary(*end))
        .expect("every text has a boundary at its beginning");
    put_count(out, end);
    out.extend(&name.as_bytes()[..end]);
}

/// Writes a count or length of one byte.
pub(crate) fn put_count(out: &mut Vec<u8>, count: usize) {
    out.push(u8::try_from(count).expect("every list and text here has a limit below 256"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_none_or_of_more_than_the_limit_is_refused() {
        assert_eq!(Reader::new(&[0]).suites(), None);
        let mut nine = vec![9];
        nine.extend(1..=9);
        assert_eq!(Reader::new(&nine).suites(), None);
        nine[0] = 8;
        let eight = Reader::new(&nine).suites().unwrap();
        assert_eq!(eight.as_slice().len(), OFFER_ITEMS_MAX);
        assert_eq!(Reader::new(&nine[..8]).suites(), None, "one item is missing");
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let mut out = Vec::new();
        put_relay_name(&mut out, &"é".repeat(RELAY_NAME_BYTES_MAX));
        let name = Reader::new(&out).relay_name().unwrap();
        assert_eq!(name, "é".repeat(RELAY_NAME_BYTES_MAX / 2));
        out[0] -= 1;
        assert_eq!(Reader::new(&out).relay_name(), None, "half a character");
    }

    #[test]
    fn a_name_above_the_limit_is_refused() {
        let mut packet = vec![b'x'; RELAY_NAME_BYTES_MAX + 2];
        packet[0] = u8::try_from(RELAY_NAME_BYTES_MAX).unwrap();
        assert!(Reader::new(&packet).relay_name().is_some());
        packet[0] += 1;
        assert_eq!(Reader::new(&packet).relay_name(), None);
    }
}
