//! The secret of a key: how it is made, recognized and stored.
//!
//! `<prefix><body><check>`: the body is 43 base62 characters from the system's random source (256 bits), the check is the
//! CRC-32/ISO-HDLC of the body in 6 base62 digits. The check costs nothing and turns typing errors and guesses away
//! before any lookup; it protects nothing. The prefix says what a found secret belongs to, so that scanners can tell.

mod imported;

use std::{fmt, sync::LazyLock};

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};

use crate::{
    clock::Entropy,
    text::{Invalid, text},
};

pub use imported::{Alphabet, ImportedText, OldHash, Shape, Shapes};

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BODY: usize = 43;
const CHECK: usize = 6;
const START: usize = 6;

/// Separates our hashes from every other use of BLAKE3. Changing it would make every stored hash useless.
const HASH_CONTEXT: &str = "claviger 2026-11-21 api key secret v1";

/// The context is the same for every hash, so it is worked in once.
static CONTEXT_KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(HASH_CONTEXT));

text!(
    /// The text in front of a secret, chosen by who makes the key.
    KeyPrefix,
    "`^[A-Za-z0-9_-]{1,32}$`.",
    |text| {
        if is_prefix(text) { Ok(text.to_owned()) } else { Err(Invalid::Prefix) }
    }
);

fn is_prefix(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(plain)
}

impl KeyPrefix {
    /// The prefix of a key that was given none: `cvg_`.
    #[must_use]
    pub fn standard() -> Self {
        Self("cvg_".to_owned())
    }

    /// What stands in front of an imported secret: maybe nothing. As [`KeyPrefix::parse`], otherwise.
    pub fn imported(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() { Ok(Self(String::new())) } else { Self::parse(text) }
    }

    /// The prefix of the secrets that a key is given from now on: an imported one may have none.
    #[must_use]
    pub fn or_standard(&self) -> Self {
        if self.0.is_empty() { Self::standard() } else { self.clone() }
    }

    /// The prefix of a key made at sign-up: `lvk_`.
    #[must_use]
    pub fn sign_up() -> Self {
        Self("lvk_".to_owned())
    }
}

/// The whole text that opens a door. Whoever shows it is the key.
///
/// It does not print itself; [`Secret::expose`] is the one way to the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    prefix_len: usize,
}

impl Secret {
    /// A new secret with this prefix.
    #[must_use]
    pub fn generate(prefix: &KeyPrefix, entropy: &dyn Entropy) -> Self {
        let mut text = prefix.as_str().to_owned();
        let end = text.len() + BODY;
        while text.len() < end {
            let mut bytes = [0; BODY + 5];
            entropy.fill(&mut bytes);
            // 248 = 4 × 62: taking the remainder of larger bytes would favour the first digits.
            let digits =
                bytes.iter().filter(|byte| **byte < 248).map(|byte| char::from(DIGITS[usize::from(byte % 62)]));
            text.extend(digits.take(end - text.len()));
        }
        let check = check(&text[prefix.as_str().len()..]);
        text.push_str(&check);
        Self { text, prefix_len: prefix.as_str().len() }
    }

    /// The text itself, for the one answer that shows it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What stands in front.
    #[must_use]
    pub fn prefix(&self) -> KeyPrefix {
        KeyPrefix(self.text[..self.prefix_len].to_owned())
    }

    /// What may be shown for ever, so that people recognize the key: the prefix and the first 6 characters of the body.
    #[must_use]
    pub fn start(&self) -> &str {
        &self.text[..self.prefix_len + START]
    }

    /// What is stored instead of the text.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::of_text(&self.text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// BLAKE3 of the whole secret, in key-derivation mode with a context of our own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of a presented text. `None`: it has not the form of a secret, or its check digits do not hold, so that there
    /// is nothing to look up.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let (prefix, rest) = text.split_at_checked(text.len().checked_sub(BODY + CHECK)?)?;
        let (body, digits) = rest.split_at_checked(BODY)?;
        let is_body = body.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (is_prefix(prefix) && is_body && check_digits(body) == digits.as_bytes()).then(|| Self::of_text(text))
    }

    fn of_text(text: &str) -> Self {
        Self(*blake3::Hasher::new_from_context_key(&CONTEXT_KEY).update(text.as_bytes()).finalize().as_bytes())
    }

    /// The hash with these bytes, from storage.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, for storage and lookup.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

/// CRC-32/ISO-HDLC of `body` as 6 base62 digits, big-endian, padded with zeros.
fn check_digits(body: &str) -> [u8; CHECK] {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = [b'0'; CHECK];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

pub(crate) fn check(body: &str) -> String {
    check_digits(body).into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;

    /// Hands out given bytes, again and again.
    struct Bytes(Mutex<std::iter::Cycle<std::vec::IntoIter<u8>>>);

    impl Entropy for Bytes {
        fn fill(&self, buffer: &mut [u8]) {
            let mut bytes = self.0.lock().expect("not poisoned");
            buffer.fill_with(|| bytes.next().expect("endless"));
        }
    }

    fn secret(prefix: &str, mut bytes: Vec<u8>) -> Secret {
        bytes.push(0); // so that some byte is below 248
        let prefix = KeyPrefix::parse(prefix).expect("valid");
        Secret::generate(&prefix, &Bytes(Mutex::new(bytes.into_iter().cycle())))
    }

    proptest! {
        #[test]
        fn what_was_printed_is_read(prefix in "[A-Za-z0-9_-]{1,32}", bytes in prop::collection::vec(any::<u8>(), 1..64)) {
            let secret = secret(&prefix, bytes);
            prop_assert_eq!(secret.expose().len(), prefix.len() + 49);
            prop_assert!(secret.expose().starts_with(&prefix));
            prop_assert_eq!(secret.start(), &secret.expose()[..prefix.len() + 6]);
            prop_assert_eq!(SecretHash::of(secret.expose()), Some(secret.hash()));
        }

        #[test]
        fn one_changed_character_of_body_or_check_shows(
            bytes in prop::collection::vec(any::<u8>(), 43..64), at in 0_usize..49, other in "[A-Za-z0-9]"
        ) {
            let good = secret("cvg_", bytes).expose().to_owned();
            let mut text = good.clone();
            text.replace_range(4 + at..5 + at, &other);
            prop_assert_eq!(SecretHash::of(&text).is_some(), text == good);
        }

        #[test]
        fn any_text_is_read_without_harm(text in ".{0,120}") {
            prop_assert_eq!(SecretHash::of(&text), None);
        }
    }

    #[test]
    fn known_answer_of_the_check() {
        assert_eq!(check("qkJaB6MffYVzZXWqmcoF49yrUxP3wf"), "0LsakP");
    }

    #[test]
    fn the_hash_of_a_text_never_changes() {
        let text = format!("cvg_{}{}", "A".repeat(43), check(&"A".repeat(43)));
        let hash = SecretHash::of(&text).expect("well formed");
        let expected = "979194c1a5d410d94ff1d8934a4ae7cf2b3638e325774c2a2c6f8dca1b86ec79";
        assert_eq!(blake3::Hash::from_bytes(*hash.bytes()).to_hex().as_str(), expected);
    }

    #[test]
    fn the_prefix_is_part_of_the_secret() {
        let one = secret("one_", vec![7]);
        let two = SecretHash::of(&one.expose().replace("one_", "two_")).expect("same body and check");
        assert_ne!(one.hash(), two);
    }

    #[test]
    fn nothing_of_it_is_printed() {
        let secret = secret("cvg_", vec![1, 2, 3]);
        assert_eq!(format!("{secret:?} {:?}", secret.hash()), "Secret(…) SecretHash(…)");
    }
}
