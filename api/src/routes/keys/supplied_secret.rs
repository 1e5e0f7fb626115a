//! JSON → domain for a secret that the client has generated, in requests that create and rotate keys.

use domain::keys::SuppliedSecret;
use poem_openapi::Object;

use super::{import::parse_legacy_hash, key_format::KeyFormatBody};
use crate::http::{
    api_error::{ApiError, Fields},
    strict_json::{Field, JsonFields},
};

/// A secret that you have generated, by its hash. It is not in the response.
#[derive(Object)]
#[oai(rename = "SuppliedSecret")]
pub(crate) struct SuppliedSecretBody {
    /// SHA-256 hash of the whole secret: 64 hexadecimal digits.
    #[oai(validator(pattern = "^[0-9A-Fa-f]{64}$"))]
    sha256: String,
    /// First characters of the secret, to recognize the key by: the prefix or a part of it, and at most 6 characters
    /// more. Default: the prefix.
    #[oai(skip_serializing_if_is_none)]
    start: Option<String>,
    shape: KeyFormatBody,
}

impl SuppliedSecretBody {
    fn parse(mut members: JsonFields) -> Result<Self, ApiError> {
        let sha256 = members.required("sha256");
        let start = members.optional("start");
        let shape = members.required_object("shape", KeyFormatBody::parse);
        members.finish_strictly()?;
        let (sha256, shape) = sha256.zip(shape).expect("a missing or wrong field was recorded");
        Ok(Self { sha256, start, shape })
    }

    /// The secret. The names of invalid fields are relative to it.
    fn into_domain(self) -> Result<SuppliedSecret, ApiError> {
        let key_format = self.shape.to_domain()?;
        let mut fields = Fields::default();
        let hash = Some(self.sha256).filter(|text| text.len() == 64).and_then(|text| parse_legacy_hash(&text));
        if hash.is_none() {
            fields.add("sha256", "must be a SHA-256 hash as 64 hexadecimal digits");
        }
        let start = self.start.unwrap_or_else(|| key_format.prefix().to_owned());
        if key_format.start(&start).is_none() {
            fields.add("start", "must be the prefix of the shape or a part of it, and at most 6 characters more");
        }
        fields.into_result()?;
        let hash = hash.expect("an invalid hash was recorded");
        Ok(SuppliedSecret { hash, key_format, start })
    }
}

/// The field `secret` of a body. `None`: it is absent, or invalid, which is recorded in `fields`.
pub(crate) fn check(fields: &mut Fields, secret: Option<SuppliedSecretBody>) -> Option<SuppliedSecret> {
    match secret?.into_domain().map_err(|invalid| invalid.within("secret")) {
        Ok(supplied) => return Some(supplied),
        Err(ApiError::Invalid(wrong)) => wrong.iter().for_each(|(name, wrong)| fields.add(name, wrong)),
        Err(_) => fields.add("secret", "is invalid"),
    }
    None
}

impl Field for Option<SuppliedSecretBody> {
    fn take(fields: &mut JsonFields, name: &str) -> Option<Self> {
        Some(fields.optional_object(name, SuppliedSecretBody::parse))
    }
}
