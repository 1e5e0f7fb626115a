//! JSON → domain for the format of imported keys.

use domain::{
    keys::secret::{Alphabet, KeyFormat},
    validated_string::ValidationError,
};
use poem_openapi::{Enum, Object};

use crate::http::{
    api_error::{ApiError, Fields},
    strict_json::JsonFields,
};

/// Format of the secrets: only secrets of this format are looked up by the imported hashes.
#[derive(Object)]
#[oai(rename = "ImportShape")]
pub(crate) struct KeyFormatBody {
    /// Common prefix: at most 32 of `A-Z a-z 0-9 _ -`; default: none.
    #[oai(skip_serializing_if_is_none, validator(pattern = "^[A-Za-z0-9_-]{0,32}$"))]
    prefix: Option<String>,
    /// Number of characters after the prefix: 22 to 256. Random ones must hold at least 128 bits: 32 of `hex`, 23 of
    /// `letters`, 22 of the others.
    #[oai(validator(minimum(value = "22"), maximum(value = "256")))]
    length: u64,
    alphabet: AlphabetName,
}

/// Alphabet of the characters after the prefix.
#[derive(Clone, Copy, Enum)]
#[oai(rename = "ImportAlphabet", rename_all = "lowercase")]
enum AlphabetName {
    /// `A-Z a-z`.
    Letters,
    /// `A-Z a-z 0-9`.
    Alphanumeric,
    /// `A-Z a-z 0-9 _ -`.
    Base64url,
    /// `0-9 a-f`.
    Hex,
}

impl KeyFormatBody {
    pub(crate) fn parse(mut members: JsonFields) -> Result<Self, ApiError> {
        let prefix = members.optional("prefix");
        let length = members.required("length").unwrap_or_default();
        let alphabet: Option<String> = members.required("alphabet");
        members.finish_strictly()?;
        let alphabet = match alphabet.as_deref().and_then(Alphabet::parse) {
            Some(Alphabet::Letters) => AlphabetName::Letters,
            Some(Alphabet::Alphanumeric) => AlphabetName::Alphanumeric,
            Some(Alphabet::Base64Url) => AlphabetName::Base64url,
            Some(Alphabet::Hex) => AlphabetName::Hex,
            None => {
                let expected = "must be letters, alphanumeric, base64url or hex";
                return Err(ApiError::Invalid(Fields::one("alphabet", expected)));
            }
        };
        Ok(Self { prefix, length, alphabet })
    }

    pub(crate) fn to_domain(&self) -> Result<KeyFormat, ApiError> {
        let alphabet = match self.alphabet {
            AlphabetName::Letters => Alphabet::Letters,
            AlphabetName::Alphanumeric => Alphabet::Alphanumeric,
            AlphabetName::Base64url => Alphabet::Base64Url,
            AlphabetName::Hex => Alphabet::Hex,
        };
        let invalid_field = |name: &str, invalid| ApiError::Invalid(Fields::one(&format!("shape.{name}"), invalid));
        let length = u16::try_from(self.length).unwrap_or(u16::MAX);
        KeyFormat::new(self.prefix.as_deref().unwrap_or_default(), length, alphabet).map_err(|invalid| match invalid {
            invalid @ ValidationError::Prefix => invalid_field("prefix", invalid),
            invalid => invalid_field("length", invalid),
        })
    }
}
