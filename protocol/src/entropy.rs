//! Randomness, in two types that must not be mixed.
//!
//! [`Entropy`] makes keys, nonces, ids and cookies; outside the simulator it comes from the
//! operating system. [`SimRng`] makes faults, jitter and schedules: integer arithmetic only, so
//! that a seed replays the same everywhere. Nothing secret may come from it.

/// A source of unpredictable bytes.
#[derive(Debug)]
pub struct Entropy(Source);

#[derive(Debug)]
enum Source {
    System,
    Seeded(SimRng),
}

impl Entropy {
    /// The operating system's randomness, asked for each time. A generator of our own would first
    /// measure the processor's jitter for 30 ms, twice as long as a whole headless `send` may take.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// Predictable bytes, for the simulator on virtual sockets and for golden vectors only.
    pub fn seeded_for_simulation(seed: u64) -> Self {
        Self(Source::Seeded(SimRng::new(seed)))
    }

    /// Fills `out`.
    ///
    /// # Panics
    ///
    /// If the operating system has no randomness: going on would make guessable keys.
    pub fn fill(&mut self, out: &mut [u8]) {
        match &mut self.0 {
            Source::System => getrandom::fill(out).expect("the system's randomness works"),
            Source::Seeded(rng) => {
                for chunk in out.chunks_mut(8) {
                    let bytes = rng.next_u64().to_le_bytes();
                    chunk.copy_from_slice(&bytes[..chunk.len()]);
                }
            }
        }
    }

    /// `N` fresh bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }
}

/// A small deterministic generator (`SplitMix64`, Steele et al. 2014) for everything that has to
/// replay from a seed.
#[derive(Clone, Debug)]
pub struct SimRng(u64);

impl SimRng {
    /// A generator whose whole future follows from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`, or 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Multiply-shift: the bias is below 2^-32 for every bound used here.
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the high half of a product of two u64 is a u64")
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in `part` of `whole` cases.
    pub fn chance(&mut self, part: u64, whole: u64) -> bool {
        self.below(whole) < part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_replays() {
        let draw = |seed| {
            let mut rng = SimRng::new(seed);
            [rng.next_u64(), rng.below(10), rng.between(5, 7)]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn between_reaches_both_ends() {
        let mut rng = SimRng::new(3);
        let drawn: std::collections::BTreeSet<_> = (0..200).map(|_| rng.between(5, 7)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [5, 6, 7]);
    }
}
