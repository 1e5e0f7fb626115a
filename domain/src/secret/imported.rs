//! Secrets that another system has made: their shapes, by which junk is told from them, and their hashes, which that system kept.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::{KeyPrefix, SecretHash};
use crate::text::Invalid;

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
    /// The shortest and the longest that a secret may be after its prefix: a shorter one could be guessed.
    pub const LENGTHS: std::ops::RangeInclusive<u16> = 16..=256;

    /// `prefix` (at most 32 of `A-Z a-z 0-9 _ -`, or nothing) and then so many characters.
    pub fn new(prefix: &str, length: u16, alphabet: Alphabet) -> Result<Self, Invalid> {
        if !prefix.is_empty() && !super::is_prefix(prefix) {
            return Err(Invalid::Prefix);
        }
        if !Self::LENGTHS.contains(&length) {
            let (min, max) = ((*Self::LENGTHS.start()).into(), (*Self::LENGTHS.end()).into());
            return Err(Invalid::Range { min, max });
        }
        Ok(Self { prefix: prefix.to_owned(), length, alphabet })
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

    /// What a text of this shape would be found by. `None`: it has another one.
    #[must_use]
    pub fn hash(&self, text: &str) -> Option<SecretHash> {
        let body = text.strip_prefix(&self.prefix)?;
        let fits = body.len() == usize::from(self.length) && body.bytes().all(|byte| self.alphabet.has(byte));
        fits.then(|| SecretHash::of_text(text))
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

    /// What a text of one of them would be found by. `None`: it has none of them.
    #[must_use]
    pub fn hash(&self, text: &str) -> Option<SecretHash> {
        let by_prefix = self.by_length.get(&text.len())?;
        let prefixes = (0..=MOST_PREFIX).filter_map(|length| text.get(..length));
        prefixes.filter_map(|prefix| by_prefix.get(prefix)).flatten().find_map(|shape| shape.hash(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_a_shape_or_not() {
        let shape = |prefix, alphabet| Shape::new(prefix, 20, alphabet).expect("a shape");
        let has = |shape: &Shape, text: &str| shape.hash(text).is_some();
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
        assert_eq!(letters.hash("sk_AAAAAAAAAAzzzzzzzzzz"), letters.hash("sk_AAAAAAAAAAzzzzzzzzzz"));
        assert_eq!(Shape::new("sk_", 15, Alphabet::Hex), Err(Invalid::Range { min: 16, max: 256 }));
        assert_eq!(Shape::new("a b", 20, Alphabet::Hex), Err(Invalid::Prefix));
    }

    #[test]
    fn a_text_is_found_among_many_shapes() {
        let many = (0..1_000).map(|n| Shape::new(&format!("p{n}_"), 20, Alphabet::Hex).expect("a shape"));
        let plain = Shape::new("", 24, Alphabet::Letters).expect("a shape");
        let shapes = Shapes::new(many.chain([plain.clone(), plain]));
        let hex = "0123456789abcdef0123";
        assert!(shapes.hash(&format!("p7_{hex}")).is_some() && shapes.hash(&format!("p999_{hex}")).is_some());
        assert!(shapes.hash(&format!("p1000_{hex}")).is_none() && shapes.hash(hex).is_none());
        assert!(shapes.hash(&"a".repeat(24)).is_some() && shapes.hash(&"ä".repeat(12)).is_none());
        assert!(Shapes::default().hash("").is_none());
    }

    #[test]
    fn a_beginning_is_short() {
        let shape = Shape::new("sk_live_", 20, Alphabet::Letters).expect("a shape");
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
