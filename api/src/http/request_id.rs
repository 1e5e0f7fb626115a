//! Ids of requests: unique, and without information about the number of other requests.

use std::{
    hash::Hasher,
    sync::atomic::{AtomicU64, Ordering},
};

use domain::clock::Entropy;
use poem::http::HeaderValue;
use siphasher::sip128::{Hasher128, SipHasher13};
use uuid::{Uuid, fmt::Simple};

/// The id of a request, for the audit log: 1 to 64 ASCII letters, digits and `._-`.
#[derive(Clone, Debug)]
pub struct RequestId(pub Box<str>);

/// Generates ids: a counter, hashed to 128 bits with a random key of this process. The hash is a keyed pseudo-random function
/// (`SipHash`), so without the key an id does not reveal the counter, and two ids do not reveal the number of requests between
/// them.
#[derive(Debug)]
pub struct RequestIds {
    key: [u8; 16],
    counter: AtomicU64,
}

impl RequestIds {
    /// Generates a new key, so that other processes generate other ids.
    #[must_use]
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut key = [0; 16];
        entropy.fill(&mut key);
        Self { key, counter: AtomicU64::new(0) }
    }

    /// The next id: 32 lowercase hexadecimal digits.
    pub fn next(&self) -> HeaderValue {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write_u64(number);
        let mut digits = [0; Simple::LENGTH];
        // `Uuid` only formats the digits: the hash is not a UUID.
        let digits = Uuid::from_u128(hasher.finish128().as_u128()).simple().encode_lower(&mut digits);
        HeaderValue::from_str(digits).expect("hexadecimal digits")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::process::system::SystemEntropy;

    #[test]
    fn request_ids_are_unique() {
        let (one, other) = (RequestIds::new(&SystemEntropy), RequestIds::new(&SystemEntropy));
        let ids: HashSet<HeaderValue> = (0..100).flat_map(|_| [one.next(), other.next()]).collect();
        assert_eq!(ids.len(), 200);
        assert!(ids.iter().all(|id| id.len() == 32 && id.as_bytes().iter().all(u8::is_ascii_hexdigit)));
    }

    #[test]
    fn successive_request_ids_differ_in_all_parts() {
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
