//! Ids for requests that bring none: unique, and silent about how many other requests there were.

use std::{
    hash::Hasher,
    sync::atomic::{AtomicU64, Ordering},
};

use domain::clock::Entropy;
use poem::http::HeaderValue;
use siphasher::sip128::{Hasher128, SipHasher13};

/// The id of a request, for the log of what it changes.
#[derive(Clone, Debug)]
pub struct RequestId(pub Box<str>);

/// Gives ids: a number that grows by one, hashed to 128 bits under a random key of this process. The hash is a keyed
/// pseudo-random function (`SipHash`), so without the key an id tells nothing about the number, and two ids nothing about the
/// requests between them.
#[derive(Debug)]
pub struct RequestIds {
    key: [u8; 16],
    given: AtomicU64,
}

impl RequestIds {
    /// Ids that no other process gives.
    #[must_use]
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut key = [0; 16];
        entropy.fill(&mut key);
        Self { key, given: AtomicU64::new(0) }
    }

    /// 32 hexadecimal digits.
    pub fn next(&self) -> HeaderValue {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write_u64(number);
        let hash = hasher.finish128().as_u128();
        let mut text = [0; 32];
        for (digit, place) in text.iter_mut().rev().enumerate() {
            *place = HEX[usize::try_from(hash >> (4 * digit) & 15).expect("4 bits")];
        }
        HeaderValue::from_bytes(&text).expect("hexadecimal digits")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::system::SystemEntropy;

    #[test]
    fn no_id_is_given_twice() {
        let (one, other) = (RequestIds::new(&SystemEntropy), RequestIds::new(&SystemEntropy));
        let ids: HashSet<HeaderValue> = (0..100).flat_map(|_| [one.next(), other.next()]).collect();
        assert_eq!(ids.len(), 200);
        assert!(ids.iter().all(|id| id.len() == 32 && id.as_bytes().iter().all(u8::is_ascii_hexdigit)));
    }

    #[test]
    fn ids_that_follow_each_other_have_nothing_in_common() {
        let ids = RequestIds::new(&SystemEntropy);
        let halves: HashSet<[u8; 16]> = (0..1_000)
            .flat_map(|_| {
                let id = ids.next();
                [0, 16].map(|from| id.as_bytes()[from..from + 16].try_into().expect("16 digits"))
            })
            .collect();
        assert_eq!(halves.len(), 2_000, "no half is fixed, and none counts in a few values");
        let numbers: Vec<u128> = (0..100)
            .map(|_| u128::from_str_radix(ids.next().to_str().expect("text"), 16).expect("hexadecimal digits"))
            .collect();
        let steps: HashSet<u128> = numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        assert_eq!(steps.len(), 99, "the steps between ids say nothing about the number of requests between them");
    }
}
