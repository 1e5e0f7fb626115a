//! JSON ↔ domain for the rotation of a key's secret: `/orgs/{org_id}/api_keys/{key_id}/rotate` and `…/previous_secret`.

use domain::keys::{MAX_GRACE_PERIOD_MS, SuppliedSecret, api_key::PreviousSecret};
use poem_openapi::Object;

use super::supplied_secret::{self, SuppliedSecretBody};
use crate::http::{
    api_error::{ApiError, Fields},
    openapi_types::Nullable,
    rfc3339::Rfc3339,
    strict_json::document,
};

document! {
    /// The grace period of the previous secret.
    #[oai(rename = "RotateApiKeyRequest")]
    pub(crate) struct RotateKey {
        /// Grace period in seconds, 0 to 2,592,000 (30 days).
        #[oai(validator(maximum(value = "2592000")))]
        grace_seconds: u64,
        /// The secret, if you have generated it. Default: this service generates one.
        #[oai(skip_serializing_if_is_none)]
        secret: Option<SuppliedSecretBody>,
    }
}

impl RotateKey {
    /// The grace period in milliseconds, at most [`MAX_GRACE_PERIOD_MS`], and the supplied secret.
    pub(crate) fn into_domain(self) -> Result<(u64, Option<SuppliedSecret>), ApiError> {
        let grace = self.grace_seconds.checked_mul(1_000).filter(|grace| *grace <= MAX_GRACE_PERIOD_MS);
        let mut fields = Fields::default();
        if grace.is_none() {
            fields.add("grace_seconds", "must be 0 to 2592000");
        }
        let supplied = supplied_secret::check(&mut fields, self.secret);
        fields.into_result()?;
        Ok((grace.unwrap_or_default(), supplied))
    }
}

/// The previous secret of a rotated key, while it is still valid.
#[derive(Object)]
#[oai(rename = "PreviousSecret")]
pub(crate) struct PreviousSecretView {
    /// First characters; empty if they are not known.
    start: String,
    /// Creation time.
    created_at: Rfc3339,
    /// Expiry time: the secret is invalid from then on.
    expires_at: Rfc3339,
    /// Time of its last use since the rotation; null: not used. Up to ten seconds late.
    last_used_at: Nullable<Rfc3339>,
}

impl From<PreviousSecret> for PreviousSecretView {
    fn from(secret: PreviousSecret) -> Self {
        Self {
            start: secret.start,
            created_at: Rfc3339(secret.created_at),
            expires_at: Rfc3339(secret.expires_at),
            last_used_at: Nullable(secret.last_request_at.map(Rfc3339)),
        }
    }
}
