//! JSON ↔ domain for many keys at once: `/orgs/{org_id}/api_keys/bulk_create` and `…/bulk_delete`.

use std::collections::HashSet;

use domain::{
    auth::caller::Caller,
    clock::Timestamp,
    id::KeyId,
    keys::{NewKey, SuppliedSecret, api_key::ApiKey, secret::Secret},
};
use poem_openapi::Object;
use uuid::Uuid;

use super::{MAX_KEYS_PER_REQUEST, create::CreateKey};
use crate::{
    http::{
        api_error::{ApiError, Fields},
        body::{BULK_LIMIT, Document},
        strict_json::{JsonFields, each, require_length},
    },
    idempotency::response::{Secrets, StoredResponse},
    routes::dto::CreatedKeyView,
};

/// Keys to create together.
#[derive(Object)]
#[oai(rename = "BulkCreateApiKeysRequest")]
pub(crate) struct CreateKeys {
    /// 1 to 1,000 keys.
    #[oai(validator(min_items = 1, max_items = 1000))]
    keys: Vec<CreateKey>,
}

/// New keys with their secrets.
#[derive(Object)]
#[oai(rename = "CreatedApiKeyList")]
pub(crate) struct CreatedKeys {
    /// In the order of the request.
    keys: Vec<CreatedKeyView>,
}

impl From<Vec<(ApiKey, Option<Secret>)>> for CreatedKeys {
    fn from(created: Vec<(ApiKey, Option<Secret>)>) -> Self {
        Self { keys: created.iter().map(|(key, secret)| CreatedKeyView::new(key, secret.as_ref())).collect() }
    }
}

impl StoredResponse for CreatedKeys {
    const SECRETS: Secrets = Secrets::Keys;
    const IS_LONG: bool = true;
}

impl Document for CreateKeys {
    const LIMIT: usize = BULK_LIMIT;

    fn read(members: JsonFields) -> Result<Self, ApiError> {
        Ok(Self { keys: members.finish_with_list("keys", MAX_KEYS_PER_REQUEST, "keys", CreateKey::read)? })
    }
}

impl CreateKeys {
    pub(crate) fn into_domain(
        self,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<Vec<(NewKey, Option<SuppliedSecret>)>, ApiError> {
        each("keys", self.keys, |key| key.into_domain(caller, now))
    }
}

/// Keys to delete together.
#[derive(Object)]
#[oai(rename = "BulkDeleteApiKeysRequest")]
pub(crate) struct DeleteKeys {
    /// 1 to 1,000 ids.
    #[oai(validator(min_items = 1, max_items = 1000))]
    ids: Vec<String>,
}

impl Document for DeleteKeys {
    const LIMIT: usize = BULK_LIMIT;

    fn read(mut members: JsonFields) -> Result<Self, ApiError> {
        let ids: Option<Vec<String>> = members.required("ids");
        members.finish_strictly()?;
        let ids = ids.unwrap_or_default();
        require_length("ids", ids.len(), MAX_KEYS_PER_REQUEST, "ids")?;
        Ok(Self { ids })
    }
}

impl DeleteKeys {
    pub(crate) fn into_domain(self) -> Result<Vec<KeyId>, ApiError> {
        let mut fields = Fields::default();
        let ids = self.ids.iter().enumerate().filter_map(|(index, text)| {
            let id = text.parse().ok();
            if id.is_none() {
                fields.add(&format!("ids[{index}]"), "must be the id of a key (a UUID with hyphens)");
            }
            id
        });
        let ids = ids.collect();
        fields.into_result()?;
        Ok(ids)
    }
}

/// The deleted keys.
#[derive(Object)]
#[oai(rename = "BulkDeletionResult")]
pub(crate) struct DeletedKeys {
    /// Number of deleted keys.
    deleted: u64,
    /// Ids that match no key of the organization.
    not_found: Vec<Uuid>,
}

impl DeletedKeys {
    pub(crate) fn new(ids: &[KeyId], deleted: Vec<KeyId>) -> Self {
        let deleted: HashSet<KeyId> = deleted.into_iter().collect();
        let not_found = ids.iter().filter(|id| !deleted.contains(id)).map(|id| id.uuid()).collect();
        Self { deleted: deleted.len() as u64, not_found }
    }
}

impl StoredResponse for DeletedKeys {
    const SECRETS: Secrets = Secrets::None;
}
