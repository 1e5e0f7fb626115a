//! Keys by number: the same number is the same key, so that millions of them need not be kept.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::{
    clock::Entropy,
    secret::{KeyPrefix, Secret},
};

/// Small and fast pseudo-random numbers (splitmix64). Nothing here is secret.
#[derive(Debug)]
pub struct Random(AtomicU64);

impl Random {
    /// The sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(mix(seed.wrapping_add(STEP))))
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        mix(self.0.fetch_add(STEP, Ordering::Relaxed))
    }

    /// A number below `end`.
    pub fn below(&self, end: usize) -> usize {
        usize::try_from(self.next() % (end as u64)).expect("below a usize")
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Entropy for Random {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// What a key of the database is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Without limits.
    Plain,
    /// With a limit that no run uses up.
    Metered,
    /// The caller of verify.
    Caller,
    /// The caller of everything else.
    Admin,
    /// In no database.
    Unknown,
}

/// The key with a number.
#[must_use]
pub fn key(kind: Kind, number: u64) -> Secret {
    Secret::generate(&KeyPrefix::standard(), &Random::new(number ^ (kind as u64 + 1) << 56))
}
