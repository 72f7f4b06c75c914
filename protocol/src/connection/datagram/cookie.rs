//! Cookies: somebody who brings one back has shown that it hears what is sent to its address
//! (wire §10.5). The relay keeps nothing for it.

use std::time::Duration;

use aws_lc_rs::hmac;

use super::endpoint::{Address, InitDigest};
use crate::{entropy::Entropy, time::Timestamp};

/// How long a cookie counts.
const COOKIE_TIME: Duration = Duration::from_secs(10);
/// A time in seconds, and a code over it, the address and the init.
const COOKIE_BYTES: usize = 8 + 32;

/// Makes cookies and knows its own again.
pub(crate) struct Cookies {
    key: hmac::Key,
}

impl Cookies {
    /// With a key that nobody else has, and that is gone when the relay stops.
    pub(crate) fn new(entropy: &mut Entropy) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &entropy.bytes::<32>()) }
    }

    /// One for whoever sent this init from there.
    pub(crate) fn make<A: Address>(
        &self,
        now: Timestamp,
        from: A,
        init: &InitDigest,
    ) -> [u8; COOKIE_BYTES] {
        let time = (now.as_micros() / 1_000_000).to_be_bytes();
        let tag = hmac::sign(&self.key, &message(time, from, init));
        let mut cookie = [0; COOKIE_BYTES];
        cookie[..8].copy_from_slice(&time);
        cookie[8..].copy_from_slice(tag.as_ref());
        cookie
    }

    /// Whether it was made for this init and this address, not long ago.
    pub(crate) fn is_ours<A: Address>(
        &self,
        now: Timestamp,
        from: A,
        init: &InitDigest,
        cookie: &[u8],
    ) -> bool {
        let Some((time, tag)) = cookie.split_first_chunk() else { return false };
        let made = Timestamp::from_micros(u64::from_be_bytes(*time).saturating_mul(1_000_000));
        made <= now
            && now.since(made) <= COOKIE_TIME
            && hmac::verify(&self.key, &message(*time, from, init), tag).is_ok()
    }
}

fn message<A: Address>(time: [u8; 8], from: A, init: &InitDigest) -> [u8; 8 + 18 + 32] {
    let mut message = [0; 8 + 18 + 32];
    message[..8].copy_from_slice(&time);
    message[8..26].copy_from_slice(&from.bytes());
    message[26..].copy_from_slice(&init.0);
    message
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn a_cookie_counts_for_its_address_and_init_and_not_for_long() {
        let cookies = Cookies::new(&mut Entropy::seeded_for_simulation(1));
        let others = Cookies::new(&mut Entropy::seeded_for_simulation(2));
        let [here, there] = [1, 2].map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        let [init, another] = [1, 2].map(|byte| InitDigest([byte; 32]));
        let now = Timestamp::from_micros(50_000_000);
        let late = now + COOKIE_TIME;
        let cookie = cookies.make(now, here, &init);
        assert!(cookies.is_ours(now, here, &init, &cookie));
        assert!(cookies.is_ours(late, here, &init, &cookie));
        let just_after = late + Duration::from_micros(1);
        assert!(!cookies.is_ours(just_after, here, &init, &cookie), "too old");
        let before = Timestamp::from_micros(49_000_000);
        assert!(!cookies.is_ours(before, here, &init, &cookie), "from the future");
        assert!(!cookies.is_ours(now, there, &init, &cookie), "another address");
        assert!(!cookies.is_ours(now, here, &another, &cookie), "another init");
        assert!(!others.is_ours(now, here, &init, &cookie), "of another relay");
        for cut in 0..cookie.len() {
            assert!(!cookies.is_ours(now, here, &init, &cookie[..cut]), "cut");
        }
        let mut changed = cookie;
        changed[7] ^= 1;
        assert!(!cookies.is_ours(late, here, &init, &changed), "another time");
    }
}
