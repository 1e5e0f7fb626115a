//! JSON → domain for the creation of keys.

use domain::{
    auth::caller::Caller,
    clock::Timestamp,
    keys::{NewKey, Owner, SuppliedSecret, api_key, secret::KeyPrefix},
};

use super::{
    settings::Settings,
    supplied_secret::{self, SuppliedSecretBody},
};
use crate::http::{
    api_error::{ApiError, Fields},
    strict_json::document,
};

document! {
    /// A key to create.
    #[oai(rename = "CreateApiKeyRequest")]
    pub(crate) struct CreateKey {
        /// Name: at most 100 characters, at least 1 after trimming.
        #[oai(validator(min_length = 1, max_length = 100))]
        name: String,
        /// Prefix of the secret: 1 to 32 of `A-Z a-z 0-9 _ -`; default: that of the key policy, or `cvg_`.
        #[oai(skip_serializing_if_is_none, validator(pattern = "^[A-Za-z0-9_-]{1,32}$"))]
        prefix: Option<String>,
        /// Whether the key belongs to the caller's own user, whose permissions limit it, instead of the organization; default
        /// `false`. With only `own_api_keys:write`, it always does.
        #[oai(skip_serializing_if_is_none)]
        own: Option<bool>,
        /// The secret, if you have generated it. Default: this service generates one.
        #[oai(skip_serializing_if_is_none)]
        secret: Option<SuppliedSecretBody>,
        ..settings: Settings,
    }
}

impl CreateKey {
    pub(crate) fn into_domain(
        self,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<(NewKey, Option<SuppliedSecret>), ApiError> {
        self.settings.require_for_new(caller)?;
        let mut fields = Fields::default();
        let prefix = fields.check_optional("prefix", self.prefix.as_deref().map(KeyPrefix::parse));
        if self.prefix.is_some() && self.secret.is_some() {
            fields.add("prefix", "must be absent with secret, whose shape has the prefix");
        }
        let is_own = self.own.unwrap_or(false);
        if is_own && caller.user().is_none() {
            fields.add("own", "must be absent or false, because the caller's key belongs to no user");
        }
        let expiry = |at| api_key::expiry(at, now);
        let settings = self.settings.into_domain(Some(self.name), &mut fields, expiry, now);
        let supplied = supplied_secret::check(&mut fields, self.secret);
        fields.into_result()?;
        let owner = if is_own { Owner::Caller } else { Owner::Organization };
        Ok((NewKey { owner, prefix, settings }, supplied))
    }
}
