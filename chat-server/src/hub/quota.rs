//! Token buckets: what one account may do per second, and one address per minute.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use protocol::{ids::AccountId, time::Timestamp};

use super::config::{Limits, Rate};

/// Who has used how much. Full buckets are forgotten: a missing one is full.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    accounts: BTreeMap<AccountId, AccountBuckets>,
    registrations: BTreeMap<[u8; 8], Bucket>,
}

#[derive(Debug)]
struct AccountBuckets {
    messages: Bucket,
    bytes: Bucket,
    requests: Bucket,
}

impl AccountBuckets {
    const fn full(now: Timestamp, limits: &Limits) -> Self {
        Self {
            messages: Bucket::full(now, limits.messages),
            bytes: Bucket::full(now, limits.message_bytes),
            requests: Bucket::full(now, limits.requests),
        }
    }
}

/// A limit that is reached: its name with its value, and when to come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exceeded {
    pub(super) detail: String,
    pub(super) retry_after: Duration,
}

impl Quotas {
    /// Takes one message of this size.
    pub(super) fn take_message(
        &mut self,
        now: Timestamp,
        limits: &Limits,
        account: AccountId,
        bytes: usize,
    ) -> Result<(), Exceeded> {
        if limits.messages == Rate::UNLIMITED && limits.message_bytes == Rate::UNLIMITED {
            return Ok(());
        }
        let buckets = self.of(now, limits, account);
        let exceeded = |wait, rate: Rate, what| Exceeded {
            detail: format!("{} {what} per second, {} at once", rate.per_second, rate.burst),
            retry_after: wait,
        };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        // Both are checked before either is charged: a refused message costs nothing.
        buckets
            .messages
            .wait_for(now, limits.messages, 1)
            .map_or(Ok(()), |wait| Err(exceeded(wait, limits.messages, "messages")))?;
        buckets
            .bytes
            .wait_for(now, limits.message_bytes, bytes)
            .map_or(Ok(()), |wait| Err(exceeded(wait, limits.message_bytes, "bytes")))?;
        buckets.messages.charge(limits.messages, 1);
        buckets.bytes.charge(limits.message_bytes, bytes);
        Ok(())
    }

    /// Takes one request.
    pub(super) fn take_request(
        &mut self,
        now: Timestamp,
        limits: &Limits,
        account: AccountId,
    ) -> Result<(), Exceeded> {
        let rate = limits.requests;
        if rate == Rate::UNLIMITED {
            return Ok(());
        }
        let bucket = &mut self.of(now, limits, account).requests;
        take(bucket, now, rate, "requests")
    }

    /// Takes one registration from this address.
    pub(super) fn take_registration(
        &mut self,
        now: Timestamp,
        limits: &Limits,
        address: IpAddr,
    ) -> Result<(), Exceeded> {
        let address = address.to_canonical();
        if address.is_loopback() {
            return Ok(());
        }
        let rate = limits.registrations;
        let bucket = self
            .registrations
            .entry(network_of(address))
            .or_insert_with(|| Bucket::full(now, rate));
        take(bucket, now, rate, "new accounts from your address")
    }

    /// Forgets buckets that have filled up again.
    pub(super) fn sweep(&mut self, now: Timestamp, limits: &Limits) {
        self.accounts.retain(|_, buckets| {
            !(buckets.messages.is_full(now, limits.messages)
                && buckets.bytes.is_full(now, limits.message_bytes)
                && buckets.requests.is_full(now, limits.requests))
        });
        self.registrations.retain(|_, bucket| !bucket.is_full(now, limits.registrations));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.registrations.is_empty()
    }

    fn of(&mut self, now: Timestamp, limits: &Limits, account: AccountId) -> &mut AccountBuckets {
        self.accounts.entry(account).or_insert_with(|| AccountBuckets::full(now, limits))
    }
}

fn take(bucket: &mut Bucket, now: Timestamp, rate: Rate, what: &str) -> Result<(), Exceeded> {
    if let Some(retry_after) = bucket.wait_for(now, rate, 1) {
        let detail = format!("{} {what} per second, {} at once", rate.per_second, rate.burst);
        return Err(Exceeded { detail, retry_after });
    }
    bucket.charge(rate, 1);
    Ok(())
}

/// The IPv4 address, or the IPv6 /64: what one subscriber controls.
fn network_of(address: IpAddr) -> [u8; 8] {
    let mut network = [0; 8];
    match address {
        IpAddr::V4(v4) => network[4..].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => network.copy_from_slice(&v6.octets()[..8]),
    }
    network
}

/// Tokens in millionths, so that a microsecond adds a whole number of them.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    micro_tokens: u64,
    at: Timestamp,
}

const MICRO: u64 = 1_000_000;

impl Bucket {
    const fn full(now: Timestamp, rate: Rate) -> Self {
        Self { micro_tokens: rate.burst as u64 * MICRO, at: now }
    }

    fn refill(&mut self, now: Timestamp, rate: Rate) {
        let micros = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        let gained = micros.saturating_mul(rate.per_second.into());
        self.micro_tokens =
            self.micro_tokens.saturating_add(gained).min(u64::from(rate.burst) * MICRO);
        self.at = now;
    }

    /// How long until so many tokens are there; `None` if they are. More than a full bucket is
    /// taken as a full bucket, or it could never pass.
    fn wait_for(&mut self, now: Timestamp, rate: Rate, tokens: u32) -> Option<Duration> {
        if rate.per_second == 0 {
            return None;
        }
        self.refill(now, rate);
        let missing = (u64::from(tokens.min(rate.burst)) * MICRO).checked_sub(self.micro_tokens)?;
        (missing > 0).then(|| Duration::from_micros(missing.div_ceil(rate.per_second.into())))
    }

    fn charge(&mut self, rate: Rate, tokens: u32) {
        let price = u64::from(tokens.min(rate.burst)) * MICRO;
        self.micro_tokens = self.micro_tokens.saturating_sub(price);
    }

    fn is_full(&mut self, now: Timestamp, rate: Rate) -> bool {
        self.refill(now, rate);
        self.micro_tokens >= u64::from(rate.burst) * MICRO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: AccountId = AccountId([1; 16]);

    fn limits(per_second: u32, burst: u32) -> Limits {
        let rate = Rate { per_second, burst };
        Limits {
            messages: rate,
            message_bytes: Rate::UNLIMITED,
            requests: rate,
            ..Limits::default()
        }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    #[test]
    fn a_burst_passes_and_one_more_waits_exactly_as_long_as_said() {
        let (mut quotas, limits) = (Quotas::default(), limits(10, 3));
        for _ in 0..3 {
            assert_eq!(quotas.take_message(at(0), &limits, ADA, 1), Ok(()));
        }
        let exceeded = quotas.take_message(at(0), &limits, ADA, 1).expect_err("empty");
        assert_eq!(exceeded.retry_after, Duration::from_millis(100));
        assert_eq!(exceeded.detail, "10 messages per second, 3 at once");
        assert!(quotas.take_message(at(99), &limits, ADA, 1).is_err());
        assert_eq!(quotas.take_message(at(100), &limits, ADA, 1), Ok(()));
    }

    #[test]
    fn a_message_larger_than_the_bucket_passes_when_it_is_full() {
        let mut limits = limits(0, 0);
        limits.message_bytes = Rate { per_second: 100, burst: 100 };
        let mut quotas = Quotas::default();
        assert_eq!(quotas.take_message(at(0), &limits, ADA, 500), Ok(()));
        assert!(quotas.take_message(at(0), &limits, ADA, 1).is_err());
    }

    #[test]
    fn zero_means_unlimited() {
        let (mut quotas, limits) = (Quotas::default(), limits(0, 0));
        for _ in 0..10_000 {
            assert_eq!(quotas.take_message(at(0), &limits, ADA, 1 << 20), Ok(()));
        }
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let (mut quotas, limits) = (Quotas::default(), limits(10, 3));
        quotas.take_message(at(0), &limits, ADA, 1).expect("full");
        quotas.sweep(at(50), &limits);
        assert_eq!(quotas.accounts.len(), 1);
        quotas.sweep(at(100), &limits);
        assert_eq!(quotas.accounts.len(), 0);
    }

    #[test]
    fn addresses_of_one_network_share_their_registrations() {
        let mut quotas = Quotas::default();
        let limits =
            Limits { registrations: Rate { per_second: 1, burst: 1 }, ..Limits::default() };
        let take = |quotas: &mut Quotas, address: &str| {
            quotas.take_registration(at(0), &limits, address.parse().expect("an address")).is_ok()
        };
        assert!(take(&mut quotas, "2001:db8::1"));
        assert!(!take(&mut quotas, "2001:db8::2"));
        assert!(take(&mut quotas, "2001:db8:0:1::1"));
        assert!(take(&mut quotas, "10.0.0.1"));
        assert!(!take(&mut quotas, "::ffff:10.0.0.1"));
        assert!(take(&mut quotas, "127.0.0.1"));
        assert!(take(&mut quotas, "127.0.0.1"));
    }
}
