//! Secrets that are generated from a number, so that the benchmark does not store millions of them.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::{
    clock::Entropy,
    keys::secret::{KeyPrefix, Secret},
};

/// A pseudo-random number generator (splitmix64). Not for real secrets.
#[derive(Debug)]
pub struct Random(AtomicU64);

impl Random {
    /// A generator whose sequence depends on `seed` only.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(mix(seed.wrapping_add(INCREMENT))))
    }

    /// The next number of the sequence.
    pub fn next(&self) -> u64 {
        mix(self.0.fetch_add(INCREMENT, Ordering::Relaxed))
    }

    /// The next number, modulo `end`: from 0 to `end` - 1. Panics if `end` is 0.
    pub fn below(&self, end: usize) -> usize {
        usize::try_from(self.next() % (end as u64)).expect("below a usize")
    }
}

const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;

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

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A key without limits.
    Unmetered,
    /// A metered key, with more remaining uses than any run takes.
    Metered,
    /// The caller's key for verification.
    Caller,
    /// The caller's key for all other operations, with all permissions.
    Admin,
    /// A well-formed key that is in no database.
    Unknown,
}

/// The secret of the key of this kind and number.
#[must_use]
pub fn key(kind: Kind, number: u64) -> Secret {
    Secret::generate(&KeyPrefix::default_prefix(), &Random::new(number ^ (kind as u64 + 1) << 56))
}
