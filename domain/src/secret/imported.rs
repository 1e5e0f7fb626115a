//! Secrets that another system has made: their shapes, by which junk is told from them, and their hashes, which that system kept.

use std::{collections::HashMap, sync::LazyLock};

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use sha2::{Digest, Sha256};

use super::{KeyPrefix, SecretHash};
use crate::{id::OrganizationId, text::Invalid};

/// Separate the hashes of imported secrets from every other use of BLAKE3. Changing the first one would make stored hashes
/// useless.
static IN_ORGANIZATION: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("claviger 2026-11-29 imported secret of an organization v1"));
static IN_ALL: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("claviger 2026-11-29 imported secret of all organizations v1"));

/// SHA-256 of the whole text (FIPS 180-4), as other systems keep it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OldHash([u8; 32]);

impl OldHash {
    /// Of a text that was shown.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// The hash with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, for storage and lookup.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the secret is stored and looked up by in an organization that imported it. Each organization has a hash of its own,
    /// so several can import the same secret, and each finds its own key.
    #[must_use]
    pub fn in_organization(&self, organization: OrganizationId) -> SecretHash {
        let mut hasher = blake3::Hasher::new_from_context_key(&IN_ORGANIZATION);
        hasher.update(organization.uuid().as_bytes()).update(&self.0);
        SecretHash(*hasher.finalize().as_bytes())
    }

    /// What nodes tell each other when another organization turns out to have the secret. It finds no key.
    #[must_use]
    pub fn in_all_organizations(&self) -> SecretHash {
        SecretHash(*blake3::Hasher::new_from_context_key(&IN_ALL).update(&self.0).finalize().as_bytes())
    }
}

/// A text that looks like an imported secret, by all that it may be stored by.
#[derive(Clone, Copy, Debug)]
pub struct ImportedText {
    /// By what the other system kept.
    pub old: OldHash,
    /// By our own hash of the text alone, as earlier versions stored it.
    pub plain: SecretHash,
}

impl std::fmt::Debug for OldHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OldHash(…)")
    }
}

/// Which characters a secret has after its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alphabet {
    /// `A-Z a-z`, as better-auth makes them.
    Letters,
    /// `A-Z a-z 0-9`.
    Alphanumeric,
    /// `A-Z a-z 0-9 _ -`.
    Base64Url,
    /// `0-9 a-f`.
    Hex,
}

impl Alphabet {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Letters, Self::Alphanumeric, Self::Base64Url, Self::Hex];

    /// The word for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Letters => "letters",
            Self::Alphanumeric => "alphanumeric",
            Self::Base64Url => "base64url",
            Self::Hex => "hex",
        }
    }

    /// The alphabet with this word.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alphabet| alphabet.code() == code)
    }

    /// What one random character of it holds, in thousandths of a bit, rounded down.
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

/// The most characters that stand in front of a secret.
const MOST_PREFIX: usize = 32;

/// What all secrets of an import look like.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    prefix: String,
    length: u16,
    alphabet: Alphabet,
}

impl Shape {
    /// The shortest and the longest that a secret may be after its prefix.
    pub const LENGTHS: std::ops::RangeInclusive<u16> = 16..=256;

    /// The fewest bits that the characters after the prefix must hold for new imports: fewer could be guessed, and the other
    /// system's SHA-256 is no protection then.
    pub const MIN_BITS: u32 = 128;

    /// `prefix` (at most 32 of `A-Z a-z 0-9 _ -`, or nothing) and then so many characters, which hold at least
    /// [`Shape::MIN_BITS`] bits.
    pub fn new(prefix: &str, length: u16, alphabet: Alphabet) -> Result<Self, Invalid> {
        let shape = Self::stored(prefix, length, alphabet)?;
        let bits = shape.bits();
        if bits < Self::MIN_BITS { Err(Invalid::Guessable { bits, min: Self::MIN_BITS }) } else { Ok(shape) }
    }

    /// The same for a shape that was imported before there was a rule about bits.
    pub fn stored(prefix: &str, length: u16, alphabet: Alphabet) -> Result<Self, Invalid> {
        if !prefix.is_empty() && !super::is_prefix(prefix) {
            return Err(Invalid::Prefix);
        }
        if !Self::LENGTHS.contains(&length) {
            let (min, max) = ((*Self::LENGTHS.start()).into(), (*Self::LENGTHS.end()).into());
            return Err(Invalid::Range { min, max });
        }
        Ok(Self { prefix: prefix.to_owned(), length, alphabet })
    }

    /// The bits that the characters after the prefix hold where they are random, rounded down.
    #[must_use]
    pub fn bits(&self) -> u32 {
        u32::from(self.length) * self.alphabet.millibits() / 1_000
    }

    /// What stands in front.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The same, for a key.
    #[must_use]
    pub fn key_prefix(&self) -> KeyPrefix {
        KeyPrefix(self.prefix.clone())
    }

    /// How many characters follow.
    #[must_use]
    pub fn length(&self) -> u16 {
        self.length
    }

    /// Which.
    #[must_use]
    pub fn alphabet(&self) -> Alphabet {
        self.alphabet
    }

    /// The beginning of a secret of this shape that may be kept to recognize it by: of the prefix, and of at most 6 characters
    /// after it. `None`: it is no such beginning, or more than that.
    #[must_use]
    pub fn start<'a>(&self, text: &'a str) -> Option<&'a str> {
        let is_short = match text.strip_prefix(&self.prefix) {
            Some(rest) => rest.len() <= super::START && rest.bytes().all(|byte| self.alphabet.has(byte)),
            None => self.prefix.starts_with(text),
        };
        is_short.then_some(text)
    }

    /// Whether a text has this shape.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        text.strip_prefix(&self.prefix).is_some_and(|body| {
            body.len() == usize::from(self.length) && body.bytes().all(|byte| self.alphabet.has(byte))
        })
    }
}

/// All shapes that were imported, by what is looked at first: however many there are, a text is held against a few.
#[derive(Debug, Default)]
pub struct Shapes {
    /// By the length of the whole text, and by the prefix.
    by_length: HashMap<usize, HashMap<String, Vec<Shape>>>,
}

impl Shapes {
    /// These.
    #[must_use]
    pub fn new(shapes: impl IntoIterator<Item = Shape>) -> Self {
        let mut by_length: HashMap<usize, HashMap<String, Vec<Shape>>> = HashMap::new();
        for shape in shapes {
            let length = shape.prefix.len() + usize::from(shape.length);
            let alike = by_length.entry(length).or_default().entry(shape.prefix.clone()).or_default();
            if !alike.contains(&shape) {
                alike.push(shape);
            }
        }
        Self { by_length }
    }

    /// What a text of one of them may be stored by. `None`: it has none of them.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<ImportedText> {
        let by_prefix = self.by_length.get(&text.len())?;
        let mut prefixes = (0..=MOST_PREFIX).filter_map(|length| text.get(..length));
        let fits = prefixes.any(|prefix| by_prefix.get(prefix).into_iter().flatten().any(|shape| shape.fits(text)));
        fits.then(|| ImportedText { old: OldHash::of(text), plain: SecretHash::of_text(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_a_shape_or_not() {
        let shape = |prefix, alphabet| Shape::stored(prefix, 20, alphabet).expect("a shape");
        let has = |shape: &Shape, text: &str| shape.fits(text);
        let letters = shape("sk_", Alphabet::Letters);
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
        assert!(has(&shape("", Alphabet::Hex), "0123456789abcdef0123"));
        assert!(!has(&shape("", Alphabet::Hex), "0123456789ABCDEF0123"));
        assert!(has(&shape("", Alphabet::Base64Url), "0123456789_-cdef0123"));
        assert!(!has(&shape("", Alphabet::Alphanumeric), "0123456789_-cdef0123"));
        assert_eq!(Shape::new("sk_", 15, Alphabet::Hex), Err(Invalid::Range { min: 16, max: 256 }));
        assert_eq!(Shape::new("a b", 20, Alphabet::Hex), Err(Invalid::Prefix));
    }

    #[test]
    fn new_shapes_cannot_be_guessed() {
        use Alphabet::{Alphanumeric, Base64Url, Hex, Letters};
        for (alphabet, fewest, bits) in
            [(Letters, 23, 125), (Alphanumeric, 22, 125), (Base64Url, 22, 126), (Hex, 32, 124)]
        {
            assert!(Shape::new("", fewest, alphabet).is_ok_and(|shape| shape.bits() >= 128), "{alphabet:?}");
            let weak = Shape::new("a_long_prefix_does_not_help_", fewest - 1, alphabet);
            assert_eq!(weak, Err(Invalid::Guessable { bits, min: 128 }), "{alphabet:?}");
            assert!(Shape::stored("", fewest - 1, alphabet).is_ok(), "what was imported before goes on");
        }
    }

    #[test]
    fn each_organization_has_a_hash_of_its_own() {
        let organization = |n| OrganizationId::from_uuid(uuid::Uuid::from_u128(n));
        let (one, other) = (OldHash::of("one"), OldHash::of("other"));
        let hashes = [
            one.in_organization(organization(1)),
            one.in_organization(organization(2)),
            other.in_organization(organization(1)),
            one.in_all_organizations(),
            other.in_all_organizations(),
            SecretHash::of_text("one"),
        ];
        assert_eq!(hashes.iter().collect::<std::collections::HashSet<_>>().len(), hashes.len());
        // It never changes: it is stored.
        let expected = "67d51584220fc9c7789ac8a33b668eeaebcf6f935fc10a7a663fbf04c72aad2b";
        let hash = one.in_organization(organization(1));
        assert_eq!(blake3::Hash::from_bytes(*hash.bytes()).to_hex().as_str(), expected);
    }

    #[test]
    fn a_text_is_found_among_many_shapes() {
        let many = (0..1_000).map(|n| Shape::stored(&format!("p{n}_"), 20, Alphabet::Hex).expect("a shape"));
        let plain = Shape::new("", 24, Alphabet::Letters).expect("a shape");
        let shapes = Shapes::new(many.chain([plain.clone(), plain]));
        let hex = "0123456789abcdef0123";
        assert!(shapes.read(&format!("p7_{hex}")).is_some() && shapes.read(&format!("p999_{hex}")).is_some());
        assert!(shapes.read(&format!("p1000_{hex}")).is_none() && shapes.read(hex).is_none());
        assert!(shapes.read(&"a".repeat(24)).is_some() && shapes.read(&"ä".repeat(12)).is_none());
        assert!(Shapes::default().read("").is_none());
    }

    #[test]
    fn a_beginning_is_short() {
        let shape = Shape::stored("sk_live_", 20, Alphabet::Letters).expect("a shape");
        assert_eq!(
            ["sk_liv", "sk_live_", "sk_live_abcdef", ""].map(|text| shape.start(text)),
            ["sk_liv", "sk_live_", "sk_live_abcdef", ""].map(Some)
        );
        assert_eq!(["sk_live_abcdefg", "pk_live_", "sk_live_12"].map(|text| shape.start(text)), [None; 3]);
    }

    #[test]
    fn the_old_hash_is_sha_256() {
        // FIPS 180-4, example "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(blake3::Hash::from_bytes(*OldHash::of("abc").bytes()).to_hex().as_str(), expected);
        assert_eq!(format!("{:?}", OldHash::of("abc")), "OldHash(…)");
    }
}
