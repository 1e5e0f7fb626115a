//! The secret of a key: how it is generated, recognized and stored.
//!
//! The format is `<prefix><body><check>`: the body is 43 base62 characters from the system's random source (256 bits),
//! the check is the CRC-32/ISO-HDLC of the body in 6 base62 digits. The check rejects typing errors and random text
//! before any lookup; it is not a protection against attackers. The prefix allows secret scanners to recognize leaked
//! secrets.

mod key_format;

use std::{fmt, sync::LazyLock};

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};

use crate::{
    clock::Entropy,
    validated_string::{ValidationError, text},
};

pub use crate::keys::secret::key_format::{Alphabet, ImportedSecret, KeyFormat, KeyFormats, LegacyHash};

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BODY: usize = 43;
const CHECK: usize = 6;
const START: usize = 6;

/// Key-derivation context of BLAKE3: separates these hashes from every other use of BLAKE3. Changing it would
/// invalidate all stored hashes.
const HASH_CONTEXT: &str = "claviger 2026-11-21 api key secret v1";

/// The key that is derived from the context. It is the same for every hash, so it is computed once.
static CONTEXT_KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(HASH_CONTEXT));

text!(
    /// The prefix of a secret, chosen by the client that creates the key.
    KeyPrefix,
    "Parses a prefix: 1 to 32 of `A-Z a-z 0-9 _ -`.",
    |text| {
        if is_prefix(text) { Ok(text.to_owned()) } else { Err(ValidationError::Prefix) }
    }
);

fn is_prefix(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(plain)
}

impl KeyPrefix {
    /// The default prefix: `cvg_`.
    #[must_use]
    pub fn default_prefix() -> Self {
        Self("cvg_".to_owned())
    }

    /// The prefix of an imported secret, which may be empty. Otherwise as [`KeyPrefix::parse`].
    pub fn imported(text: &str) -> Result<Self, ValidationError> {
        if text.is_empty() { Ok(Self(String::new())) } else { Self::parse(text) }
    }

    /// The prefix of the next secret of a key: the default prefix if this one is empty, as it may be for imported keys.
    #[must_use]
    pub fn or_default(&self) -> Self {
        if self.0.is_empty() { Self::default_prefix() } else { self.clone() }
    }

    /// The prefix of a key that is created at sign-up: `lvk_`.
    #[must_use]
    pub fn sign_up() -> Self {
        Self("lvk_".to_owned())
    }
}

/// A secret in plain text: it authenticates the key.
///
/// Its `Debug` output does not contain it; [`Secret::expose`] is the only way to read it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    prefix_len: usize,
}

impl Secret {
    /// Generates a secret with this prefix.
    #[must_use]
    pub fn generate(prefix: &KeyPrefix, entropy: &dyn Entropy) -> Self {
        let mut text = prefix.as_str().to_owned();
        append_random_body(&mut text, entropy);
        let check = check(&text[prefix.as_str().len()..]);
        text.push_str(&check);
        Self { text, prefix_len: prefix.as_str().len() }
    }

    /// The plain text, for the response that creates or rotates the key.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The prefix.
    #[must_use]
    pub fn prefix(&self) -> KeyPrefix {
        KeyPrefix(self.text[..self.prefix_len].to_owned())
    }

    /// The part that may be shown later, to recognize the key by: the prefix and the first 6 characters of the body.
    #[must_use]
    pub fn start(&self) -> &str {
        &self.text[..self.prefix_len + START]
    }

    /// The hash, which is stored instead of the secret.
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

/// BLAKE3 of the whole secret, in key-derivation mode with a context of this service.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of a text that was sent as a secret. `None`: it does not have the format of a secret, or its check
    /// digits are wrong, so it need not be looked up.
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

    /// Creates a hash from its 32 stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, to be stored and looked up.
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

/// Appends 43 random base62 characters: 256 bits.
pub(crate) fn append_random_body(text: &mut String, entropy: &dyn Entropy) {
    let end = text.len() + BODY;
    while text.len() < end {
        let mut bytes = [0; BODY + 5];
        entropy.fill(&mut bytes);
        // 248 = 4 × 62: the remainder of larger bytes would make the first digits more likely than the others.
        let digits = bytes.iter().filter(|byte| **byte < 248).map(|byte| char::from(DIGITS[usize::from(byte % 62)]));
        text.extend(digits.take(end - text.len()));
    }
}

/// The CRC-32/ISO-HDLC of `body` as 6 base62 digits, big-endian, padded with zeros.
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

/// Generates a token of a link or a session: `prefix`, the random body, and the check of both.
pub(crate) fn generate_token(prefix: &str, entropy: &dyn Entropy) -> String {
    let mut text = prefix.to_owned();
    append_random_body(&mut text, entropy);
    let check = check(&text);
    text.push_str(&check);
    text
}

/// Whether a text has the format of a token with this prefix. The check of a token covers its prefix, that of a key's
/// secret does not: so no text is both.
pub(crate) fn is_token(prefix: &str, text: &str) -> bool {
    let covered = text.len().checked_sub(CHECK).and_then(|end| text.split_at_checked(end));
    covered.is_some_and(|(covered, digits)| {
        let is_body = |body: &str| body.len() == BODY && body.bytes().all(|byte| byte.is_ascii_alphanumeric());
        covered.strip_prefix(prefix).is_some_and(is_body) && check(covered) == digits
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;

    /// Returns the given bytes cyclically.
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
        fn a_generated_secret_is_well_formed(prefix in "[A-Za-z0-9_-]{1,32}", bytes in prop::collection::vec(any::<u8>(), 1..64)) {
            let secret = secret(&prefix, bytes);
            prop_assert_eq!(secret.expose().len(), prefix.len() + 49);
            prop_assert!(secret.expose().starts_with(&prefix));
            prop_assert_eq!(secret.start(), &secret.expose()[..prefix.len() + 6]);
            prop_assert_eq!(SecretHash::of(secret.expose()), Some(secret.hash()));
        }

        #[test]
        fn a_secret_with_a_changed_character_is_malformed(
            bytes in prop::collection::vec(any::<u8>(), 43..64), at in 0_usize..49, other in "[A-Za-z0-9]"
        ) {
            let good = secret("cvg_", bytes).expose().to_owned();
            let mut text = good.clone();
            text.replace_range(4 + at..5 + at, &other);
            prop_assert_eq!(SecretHash::of(&text).is_some(), text == good);
        }

        #[test]
        fn random_text_is_not_a_secret(text in ".{0,120}") {
            prop_assert_eq!(SecretHash::of(&text), None);
        }
    }

    #[test]
    fn the_checksum_has_a_known_value() {
        assert_eq!(check("qkJaB6MffYVzZXWqmcoF49yrUxP3wf"), "0LsakP");
    }

    #[test]
    fn the_hash_of_a_secret_is_stable_across_versions() {
        let text = format!("cvg_{}{}", "A".repeat(43), check(&"A".repeat(43)));
        let hash = SecretHash::of(&text).expect("well formed");
        let expected = "979194c1a5d410d94ff1d8934a4ae7cf2b3638e325774c2a2c6f8dca1b86ec79";
        assert_eq!(blake3::Hash::from_bytes(*hash.bytes()).to_hex().as_str(), expected);
    }

    #[test]
    fn the_hash_of_a_secret_covers_its_prefix() {
        let one = secret("one_", vec![7]);
        let two = SecretHash::of(&one.expose().replace("one_", "two_")).expect("same body and check");
        assert_ne!(one.hash(), two);
    }

    #[test]
    fn debug_output_does_not_contain_the_secret() {
        let secret = secret("cvg_", vec![1, 2, 3]);
        assert_eq!(format!("{secret:?} {:?}", secret.hash()), "Secret(…) SecretHash(…)");
    }
}
