//! Legacy secrets, which another system has generated: their formats, to recognize them by, and their hashes, which
//! that system has stored.

use std::{collections::HashMap, sync::LazyLock};

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use sha2::{Digest, Sha256};

use super::{KeyPrefix, SecretHash};
use crate::{id::OrganizationId, validated_string::ValidationError};

/// Key-derivation contexts of BLAKE3: they separate the hashes of imported secrets from every other use of BLAKE3.
/// Changing the first one would invalidate stored hashes.
static IN_ORGANIZATION: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("claviger 2026-11-29 imported secret of an organization v1"));
static IN_ALL: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("claviger 2026-11-29 imported secret of all organizations v1"));

/// The SHA-256 hash (FIPS 180-4) of a whole secret, as other systems store it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LegacyHash([u8; 32]);

impl LegacyHash {
    /// Computes the hash of a text that was sent as a secret.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Creates a hash from its 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, to be stored and looked up.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash by which an organization that imported the secret stores it and looks it up. It is different for each
    /// organization, so that several can import the same secret and each finds its own key.
    #[must_use]
    pub fn in_organization(&self, organization: OrganizationId) -> SecretHash {
        let mut hasher = blake3::Hasher::new_from_context_key(&IN_ORGANIZATION);
        hasher.update(organization.uuid().as_bytes()).update(&self.0);
        SecretHash(*hasher.finalize().as_bytes())
    }

    /// The hash that nodes send each other to invalidate caches when another organization imports the same secret. No
    /// key is found by it.
    #[must_use]
    pub fn in_all_organizations(&self) -> SecretHash {
        SecretHash(*blake3::Hasher::new_from_context_key(&IN_ALL).update(&self.0).finalize().as_bytes())
    }
}

/// The hashes of a text that has the format of an imported secret.
#[derive(Clone, Copy, Debug)]
pub struct ImportedSecret {
    /// The hash that the other system has stored.
    pub old: LegacyHash,
    /// The hash of the text alone, as earlier versions stored it.
    pub plain: SecretHash,
}

impl std::fmt::Debug for LegacyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LegacyHash(…)")
    }
}

/// The characters of a secret after its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alphabet {
    /// `A-Z a-z`, as better-auth generates them.
    Letters,
    /// `A-Z a-z 0-9`.
    Alphanumeric,
    /// `A-Z a-z 0-9 _ -`.
    Base64Url,
    /// `0-9 a-f`.
    Hex,
}

impl Alphabet {
    /// All alphabets.
    pub const ALL: [Self; 4] = [Self::Letters, Self::Alphanumeric, Self::Base64Url, Self::Hex];

    /// The code that is stored and sent.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Letters => "letters",
            Self::Alphanumeric => "alphanumeric",
            Self::Base64Url => "base64url",
            Self::Hex => "hex",
        }
    }

    /// The alphabet with this code. `None`: no alphabet has it.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alphabet| alphabet.code() == code)
    }

    /// The entropy of one random character, in thousandths of a bit, rounded down.
    const fn millibits(self) -> u32 {
        match self {
            Self::Letters => 5_700,
            Self::Alphanumeric => 5_954,
            Self::Base64Url => 6_000,
            Self::Hex => 4_000,
        }
    }

    const fn has(self, byte: u8) -> bool {
        match self {
            Self::Letters => byte.is_ascii_alphabetic(),
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
            Self::Base64Url => byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-',
            Self::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        }
    }
}

/// The maximum length of a prefix, in characters.
const MAX_PREFIX: usize = 32;

/// The format of all secrets of one import: a prefix, and a number of characters of an alphabet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyFormat {
    prefix: String,
    length: u16,
    alphabet: Alphabet,
}

impl KeyFormat {
    /// The minimum and maximum number of characters after the prefix. No alphabet has [`Self::MIN_BITS`] in fewer.
    pub const LENGTHS: std::ops::RangeInclusive<u16> = 22..=256;

    /// The minimum number of characters after the prefix in formats that earlier versions imported.
    const MIN_STORED: u16 = 16;

    /// The minimum entropy of the characters after the prefix for new imports, in bits. Secrets with less can be
    /// guessed from the other system's SHA-256 hashes.
    pub const MIN_BITS: u32 = 128;

    /// Creates a format from a prefix (at most 32 of `A-Z a-z 0-9 _ -`, or empty) and the number of characters after
    /// it, which must have at least [`KeyFormat::MIN_BITS`] bits.
    pub fn new(prefix: &str, length: u16, alphabet: Alphabet) -> Result<Self, ValidationError> {
        let key_format = Self::checked(prefix, length, alphabet, Self::LENGTHS)?;
        let bits = key_format.bits();
        if bits < Self::MIN_BITS {
            Err(ValidationError::Guessable { bits, min: Self::MIN_BITS })
        } else {
            Ok(key_format)
        }
    }

    /// The same without the minimum of bits, for formats that were imported before there was one.
    pub fn stored(prefix: &str, length: u16, alphabet: Alphabet) -> Result<Self, ValidationError> {
        Self::checked(prefix, length, alphabet, Self::MIN_STORED..=*Self::LENGTHS.end())
    }

    fn checked(
        prefix: &str,
        length: u16,
        alphabet: Alphabet,
        lengths: std::ops::RangeInclusive<u16>,
    ) -> Result<Self, ValidationError> {
        if !prefix.is_empty() && !super::is_prefix(prefix) {
            return Err(ValidationError::Prefix);
        }
        if !lengths.contains(&length) {
            let (min, max) = ((*lengths.start()).into(), (*lengths.end()).into());
            return Err(ValidationError::Range { min, max });
        }
        Ok(Self { prefix: prefix.to_owned(), length, alphabet })
    }

    /// The entropy of the characters after the prefix if they are random, in bits, rounded down.
    #[must_use]
    pub fn bits(&self) -> u32 {
        u32::from(self.length) * self.alphabet.millibits() / 1_000
    }

    /// The prefix, which may be empty.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The prefix, as that of a key.
    #[must_use]
    pub fn key_prefix(&self) -> KeyPrefix {
        KeyPrefix(self.prefix.clone())
    }

    /// The number of characters after the prefix.
    #[must_use]
    pub fn length(&self) -> u16 {
        self.length
    }

    /// The alphabet of the characters after the prefix.
    #[must_use]
    pub fn alphabet(&self) -> Alphabet {
        self.alphabet
    }

    /// Checks that a text is the start of a secret of this format that may be stored to recognize it by: a part of the
    /// prefix, or the prefix and at most 6 characters after it. `None`: it is not, or it is longer.
    #[must_use]
    pub fn start<'a>(&self, text: &'a str) -> Option<&'a str> {
        let is_short = match text.strip_prefix(&self.prefix) {
            Some(rest) => rest.len() <= super::START && rest.bytes().all(|byte| self.alphabet.has(byte)),
            None => self.prefix.starts_with(text),
        };
        is_short.then_some(text)
    }

    /// Whether a text has this format.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        text.strip_prefix(&self.prefix).is_some_and(|body| {
            body.len() == usize::from(self.length) && body.bytes().all(|byte| self.alphabet.has(byte))
        })
    }
}

/// All imported formats, indexed so that a text is compared with only a few of them.
#[derive(Debug, Default)]
pub struct KeyFormats {
    /// The formats by the length of the whole secret, and by the prefix.
    by_length: HashMap<usize, HashMap<String, Vec<KeyFormat>>>,
}

impl KeyFormats {
    /// Creates the index of these formats.
    #[must_use]
    pub fn new(key_formats: impl IntoIterator<Item = KeyFormat>) -> Self {
        let mut by_length: HashMap<usize, HashMap<String, Vec<KeyFormat>>> = HashMap::new();
        for key_format in key_formats {
            let length = key_format.prefix.len() + usize::from(key_format.length);
            let alike = by_length.entry(length).or_default().entry(key_format.prefix.clone()).or_default();
            if !alike.contains(&key_format) {
                alike.push(key_format);
            }
        }
        Self { by_length }
    }

    /// The hashes of a text that has one of these formats. `None`: it has none of them.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<ImportedSecret> {
        let by_prefix = self.by_length.get(&text.len())?;
        let mut prefixes = (0..=MAX_PREFIX).filter_map(|length| text.get(..length));
        let fits =
            prefixes.any(|prefix| by_prefix.get(prefix).into_iter().flatten().any(|key_format| key_format.fits(text)));
        fits.then(|| ImportedSecret { old: LegacyHash::of(text), plain: SecretHash::of_text(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_format_fits_prefix_length_and_alphabet() {
        let key_format = |prefix, alphabet| KeyFormat::stored(prefix, 20, alphabet).expect("a key format");
        let has = |key_format: &KeyFormat, text: &str| key_format.fits(text);
        let letters = key_format("sk_", Alphabet::Letters);
        assert!(has(&letters, "sk_AAAAAAAAAAzzzzzzzzzz"));
        for other in [
            "sk_AAAAAAAAAAzzzzzzzzz",
            "sk_AAAAAAAAAAzzzzzzzzzzz",
            "sk_AAAAAAAAAA0zzzzzzzzz",
            "pk_AAAAAAAAAAzzzzzzzzzz",
            "",
        ] {
            assert!(!has(&letters, other), "{other}");
        }
        assert!(has(&key_format("", Alphabet::Hex), "0123456789abcdef0123"));
        assert!(!has(&key_format("", Alphabet::Hex), "0123456789ABCDEF0123"));
        assert!(has(&key_format("", Alphabet::Base64Url), "0123456789_-cdef0123"));
        assert!(!has(&key_format("", Alphabet::Alphanumeric), "0123456789_-cdef0123"));
        assert_eq!(KeyFormat::new("sk_", 21, Alphabet::Hex), Err(ValidationError::Range { min: 22, max: 256 }));
        assert_eq!(KeyFormat::new("a b", 20, Alphabet::Hex), Err(ValidationError::Prefix));
    }

    #[test]
    fn new_key_formats_need_128_bits() {
        use Alphabet::{Alphanumeric, Base64Url, Hex, Letters};
        for (alphabet, fewest, bits) in
            [(Letters, 23, 125), (Alphanumeric, 22, 125), (Base64Url, 22, 126), (Hex, 32, 124)]
        {
            assert!(
                KeyFormat::new("", fewest, alphabet).is_ok_and(|key_format| key_format.bits() >= 128),
                "{alphabet:?}"
            );
            let weak = KeyFormat::new("a_long_prefix_does_not_help_", fewest - 1, alphabet);
            let expected = if fewest > *KeyFormat::LENGTHS.start() {
                ValidationError::Guessable { bits, min: 128 }
            } else {
                ValidationError::Range { min: 22, max: 256 }
            };
            assert_eq!(weak, Err(expected), "{alphabet:?}");
            assert!(KeyFormat::stored("", fewest - 1, alphabet).is_ok(), "formats that were imported before are valid");
        }
    }

    #[test]
    fn the_stored_hash_of_a_legacy_key_depends_on_the_organization() {
        let organization = |n| OrganizationId::from_uuid(uuid::Uuid::from_u128(n));
        let (one, other) = (LegacyHash::of("one"), LegacyHash::of("other"));
        let hashes = [
            one.in_organization(organization(1)),
            one.in_organization(organization(2)),
            other.in_organization(organization(1)),
            one.in_all_organizations(),
            other.in_all_organizations(),
            SecretHash::of_text("one"),
        ];
        assert_eq!(hashes.iter().collect::<std::collections::HashSet<_>>().len(), hashes.len());
        // This hash is stored, so it must never change.
        let expected = "67d51584220fc9c7789ac8a33b668eeaebcf6f935fc10a7a663fbf04c72aad2b";
        let hash = one.in_organization(organization(1));
        assert_eq!(blake3::Hash::from_bytes(*hash.bytes()).to_hex().as_str(), expected);
    }

    #[test]
    fn a_key_is_found_among_many_key_formats() {
        let many = (0..1_000).map(|n| KeyFormat::stored(&format!("p{n}_"), 20, Alphabet::Hex).expect("a key format"));
        let plain = KeyFormat::new("", 24, Alphabet::Letters).expect("a key format");
        let key_formats = KeyFormats::new(many.chain([plain.clone(), plain]));
        let hex = "0123456789abcdef0123";
        assert!(key_formats.read(&format!("p7_{hex}")).is_some() && key_formats.read(&format!("p999_{hex}")).is_some());
        assert!(key_formats.read(&format!("p1000_{hex}")).is_none() && key_formats.read(hex).is_none());
        assert!(key_formats.read(&"a".repeat(24)).is_some() && key_formats.read(&"ä".repeat(12)).is_none());
        assert!(KeyFormats::default().read("").is_none());
    }

    #[test]
    fn the_start_of_a_legacy_key_is_its_prefix_and_6_characters() {
        let key_format = KeyFormat::stored("sk_live_", 20, Alphabet::Letters).expect("a key format");
        assert_eq!(
            ["sk_liv", "sk_live_", "sk_live_abcdef", ""].map(|text| key_format.start(text)),
            ["sk_liv", "sk_live_", "sk_live_abcdef", ""].map(Some)
        );
        assert_eq!(["sk_live_abcdefg", "pk_live_", "sk_live_12"].map(|text| key_format.start(text)), [None; 3]);
    }

    #[test]
    fn the_legacy_hash_is_sha_256() {
        // FIPS 180-4, example "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(blake3::Hash::from_bytes(*LegacyHash::of("abc").bytes()).to_hex().as_str(), expected);
        assert_eq!(format!("{:?}", LegacyHash::of("abc")), "LegacyHash(…)");
    }
}
