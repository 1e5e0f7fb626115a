//! Names for requests that bring none: unique, not secret.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::clock::Entropy;
use poem::http::HeaderValue;

/// The name of a request, for the log of what it changes.
#[derive(Clone, Debug)]
pub struct RequestId(pub Box<str>);

/// Names for requests, each given once: a random half for the process, and a number.
#[derive(Debug)]
pub struct RequestIds {
    process: u64,
    given: AtomicU64,
}

impl RequestIds {
    /// Names that no other process gives.
    #[must_use]
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut random = [0; 8];
        entropy.fill(&mut random);
        Self { process: u64::from_be_bytes(random), given: AtomicU64::new(0) }
    }

    /// 32 hexadecimal digits.
    pub fn next(&self) -> HeaderValue {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        let mut text = [0; 32];
        for (half, value) in text.chunks_exact_mut(16).zip([self.process, number]) {
            for (digit, place) in half.iter_mut().rev().enumerate() {
                *place = HEX[usize::try_from(value >> (4 * digit) & 15).expect("4 bits")];
            }
        }
        HeaderValue::from_bytes(&text).expect("hexadecimal digits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::SystemEntropy;

    #[test]
    fn no_name_is_given_twice() {
        let (one, other) = (RequestIds::new(&SystemEntropy), RequestIds::new(&SystemEntropy));
        let names: std::collections::HashSet<HeaderValue> = (0..100).flat_map(|_| [one.next(), other.next()]).collect();
        assert_eq!(names.len(), 200);
        assert!(names.iter().all(|name| name.len() == 32 && name.as_bytes().iter().all(u8::is_ascii_hexdigit)));
    }
}
