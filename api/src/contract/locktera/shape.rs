//! What imported keys look like: JSON → domain.

use domain::{
    secret::{Alphabet, Shape},
    text::Invalid,
};
use poem_openapi::{Enum, Object};

use crate::{
    failure::{Failure, Fields},
    json::Members,
};

/// What the texts of the keys look like: only such texts are looked up by the old hash.
#[derive(Object)]
#[oai(rename = "ImportShape")]
pub(super) struct ShapeOfKeys {
    /// What stands in front of each: at most 32 of `A-Z a-z 0-9 _ -`, or nothing.
    #[oai(validator(pattern = "^[A-Za-z0-9_-]{0,32}$"))]
    prefix: String,
    /// How many characters follow: 22 to 256. Random ones must hold at least 128 bits: 32 of `hex`, 23 of `letters`, 22 of the
    /// others.
    #[oai(validator(minimum(value = "22"), maximum(value = "256")))]
    length: u64,
    alphabet: AlphabetOfKeys,
}

/// Which characters these are.
#[derive(Clone, Copy, Enum)]
#[oai(rename = "ImportAlphabet", rename_all = "lowercase")]
enum AlphabetOfKeys {
    /// `A-Z a-z`.
    Letters,
    /// `A-Z a-z 0-9`.
    Alphanumeric,
    /// `A-Z a-z 0-9 _ -`.
    Base64url,
    /// `0-9 a-f`.
    Hex,
}

impl ShapeOfKeys {
    pub(super) fn take(mut members: Members) -> Result<Self, Failure> {
        let prefix = members.optional("prefix").unwrap_or_default();
        let length = members.required("length").unwrap_or_default();
        let alphabet: Option<String> = members.required("alphabet");
        members.finish_strictly()?;
        let alphabet = match alphabet.as_deref().and_then(Alphabet::parse) {
            Some(Alphabet::Letters) => AlphabetOfKeys::Letters,
            Some(Alphabet::Alphanumeric) => AlphabetOfKeys::Alphanumeric,
            Some(Alphabet::Base64Url) => AlphabetOfKeys::Base64url,
            Some(Alphabet::Hex) => AlphabetOfKeys::Hex,
            None => {
                let expected = "must be letters, alphanumeric, base64url or hex";
                return Err(Failure::Invalid(Fields::one("alphabet", expected)));
            }
        };
        Ok(Self { prefix, length, alphabet })
    }

    pub(super) fn read(&self) -> Result<Shape, Failure> {
        let alphabet = match self.alphabet {
            AlphabetOfKeys::Letters => Alphabet::Letters,
            AlphabetOfKeys::Alphanumeric => Alphabet::Alphanumeric,
            AlphabetOfKeys::Base64url => Alphabet::Base64Url,
            AlphabetOfKeys::Hex => Alphabet::Hex,
        };
        let wrong = |name: &str, invalid| Failure::Invalid(Fields::one(&format!("shape.{name}"), invalid));
        let length = u16::try_from(self.length).unwrap_or(u16::MAX);
        Shape::new(&self.prefix, length, alphabet).map_err(|invalid| match invalid {
            invalid @ Invalid::Prefix => wrong("prefix", invalid),
            invalid => wrong("length", invalid),
        })
    }
}
