//! The keys of an organization (`/orgs/{org_id}/api_keys` and its subpaths).

pub(crate) mod bulk;
pub(crate) mod create;
pub(crate) mod cursor;
pub(crate) mod deletion;
pub(crate) mod import;
pub(crate) mod key_format;
pub(crate) mod limits;
pub(crate) mod list;
pub(crate) mod list_query;
pub(crate) mod rotate;
pub(crate) mod secrets;
pub(crate) mod settings;
pub mod stream;
pub(crate) mod supplied_secret;

use std::sync::Arc;

use domain::{
    id::{ExternalId, KeyId, SetId},
    keys::{
        Keys,
        list::{Filter, Listing, SortField, Start},
    },
    permissions::Permission,
};
use poem::http::Uri;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use self::{
    bulk::{CreateKeys, CreatedKeys, DeleteKeys, DeletedKeys},
    create::CreateKey,
    cursor::Cursor,
    deletion::KeyDeletionView,
    import::{ImportKeys, ImportedKeys},
    list::KeyList,
    list_query::{Flag, Instant, MetadataFilter, OwnerId, Sort},
    rotate::{PreviousSecretView, RotateKey},
    settings::UpdateKey,
};
use super::{
    dto::{CreatedKeyView, KeyView, Message, PageSize},
    error::{Creating, Reading, Writing},
};
use crate::{
    auth::authorized::{self, KeysRead, KeysWrite, OrgAdmin},
    http::{
        api_error::Fields,
        body::Deferred,
        contract::{Conditional, ErrorResponse, Success, Tag},
        if_match::{IfMatch, Versioned},
        list_slots::ListSlots,
        openapi_types::{Id, RawParam},
    },
    idempotency::{
        IdempotencyHeader,
        response::{Idempotent, Secrets, StoredResponse},
    },
    process::off_thread,
};

/// The maximum number of keys that one request creates, deletes or imports.
const MAX_KEYS_PER_REQUEST: usize = 1_000;

/// The operations on keys.
pub struct KeyRoutes {
    /// Creates, reads, changes and deletes keys.
    pub keys: Arc<Keys>,
    /// Bounds concurrent reads of many rows.
    pub lists: Arc<ListSlots>,
}

#[OpenApi(tag = "Tag::Keys")]
impl KeyRoutes {
    /// List the keys of an organization
    ///
    /// Returns all keys of the organization that the caller can access, however they were created, oldest first. Without `limit`, all of them are
    /// streamed. With `limit`, one page is returned, and the header `Link` names the next page. A key that exists
    /// during the whole traversal appears exactly once, unless the sort order depends on its use. A key must match all
    /// filters.
    #[oai(path = "/orgs/:org_id/api_keys", method = "get", operation_id = "listApiKeys")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the document")]
    async fn list_api_keys(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysRead>,
        /// Maximum number of keys to return, 1 to 1,000.
        limit: Query<Option<RawParam<PageSize>>>,
        /// Cursor of the next page, from the header `Link` of the previous page.
        cursor: Query<Option<RawParam<Cursor>>>,
        /// Sort order; a leading `-` reverses it. All orders except `created_at` require `limit`. Keys that were never
        /// used come before all others, and keys that never expire after all others. `last_used_at` and `request_count` sort at most
        /// 150,000 keys: with more, filter by `user`, `external_id`, `permission_set` or another condition that few keys match.
        sort: Query<Option<RawParam<Sort>>>,
        /// Filter: whether the key is enabled.
        enabled: Query<Option<RawParam<Flag>>>,
        /// Filter: whether the key can manage this service.
        can_manage: Query<Option<RawParam<Flag>>>,
        /// Filter: whether the key has expired.
        expired: Query<Option<RawParam<Flag>>>,
        /// Filter: a part of the name; upper and lower case are equal.
        name: Query<Option<String>>,
        /// Filter: a text of at most 255 characters that is a part of the name or of the external id, the id of the key, or the
        /// beginning of the visible start of one of its secrets.
        search: Query<Option<String>>,
        /// Filter: id of the key.
        id: Query<Option<RawParam<Id>>>,
        /// Filter: the beginning of the visible start of the newest secret or an earlier one, 1 to 38 characters.
        start: Query<Option<String>>,
        /// Filter: id of the user that the key belongs to; `none` for keys without a user.
        user: Query<Option<RawParam<OwnerId>>>,
        /// Filter: the identifier of the key in your own system.
        external_id: Query<Option<String>>,
        /// Filter: a permission that the key has, directly or by its permission sets, including wildcards.
        permission: Query<Option<String>>,
        /// Filter: id of a permission set that the key has.
        permission_set: Query<Option<RawParam<Id>>>,
        /// Filter: created before this time.
        created_before: Query<Option<RawParam<Instant>>>,
        /// Filter: last used before this time, or never used.
        last_used_before: Query<Option<RawParam<Instant>>>,
        /// Filter: whether the key has ever been used.
        #[oai(name = "used")]
        was_used: Query<Option<RawParam<Flag>>>,
        /// Filter: expires before this time.
        expires_before: Query<Option<RawParam<Instant>>>,
        /// Filter: whether the key has no uses left (a refill may be due).
        exhausted: Query<Option<RawParam<Flag>>>,
        /// Filter: whether the previous secret of the key is still valid after a rotation.
        rotating: Query<Option<RawParam<Flag>>>,
        /// Filter: a JSON object such as `{"plan":"pro"}`; the metadata must have these members with these values.
        metadata: Query<Option<RawParam<MetadataFilter>>>,
        /// `true`: list the deleted keys that can still be restored, instead of the others.
        deleted: Query<Option<RawParam<Flag>>>,
        /// `true`: the header `Total-Count` has the number of keys that match all filters, up to 10,000. Requires `limit`. Counting
        /// takes longer than a page, so request it once and not with each page.
        total: Query<Option<RawParam<Flag>>>,
        uri: &Uri,
    ) -> Result<KeyList, ErrorResponse<Reading>> {
        let mut fields = Fields::default();
        let external_id = external_id.0.as_deref().map(ExternalId::stored);
        let expired = list_query::flag(&mut fields, "expired", expired.0.as_ref());
        let rotating = list_query::flag(&mut fields, "rotating", rotating.0.as_ref());
        let filter = Filter {
            is_deleted: list_query::flag(&mut fields, "deleted", deleted.0.as_ref()).unwrap_or(false),
            enabled: list_query::flag(&mut fields, "enabled", enabled.0.as_ref()),
            can_manage: list_query::flag(&mut fields, "can_manage", can_manage.0.as_ref()),
            expired: expired.map(|expired| (expired, self.keys.now())),
            name: list_query::name_part(&mut fields, "name", name.0.as_deref()),
            search: list_query::search(&mut fields, "search", search.0.as_deref()),
            id: list_query::id(&mut fields, "id", id.0.as_ref()).map(KeyId::from_uuid),
            secret_start: list_query::secret_start(&mut fields, "start", start.0.as_deref()),
            owner: list_query::owner(&mut fields, "user", user.0.as_ref()),
            external_id: fields.check_optional("external_id", external_id),
            permission: list_query::permission(&mut fields, "permission", permission.0.as_deref()),
            permission_set: list_query::id(&mut fields, "permission_set", permission_set.0.as_ref())
                .map(SetId::from_uuid),
            created_before: list_query::instant(&mut fields, "created_before", created_before.0.as_ref()),
            last_used_before: list_query::instant(&mut fields, "last_used_before", last_used_before.0.as_ref()),
            used: list_query::flag(&mut fields, "used", was_used.0.as_ref()),
            expires_before: list_query::instant(&mut fields, "expires_before", expires_before.0.as_ref()),
            exhausted: list_query::flag(&mut fields, "exhausted", exhausted.0.as_ref()),
            rotating: rotating.map(|rotating| (rotating, self.keys.now())),
            metadata: list_query::metadata(&mut fields, "metadata", metadata.0.as_ref().map(RawParam::text)),
        };
        let order = list_query::order(&mut fields, "sort", sort.0.as_ref());
        if order.by != SortField::CreatedAt && limit.is_none() {
            // Only in the order of creation can a million keys be streamed.
            fields.add("limit", "is required with this sort order");
        }
        let is_counted = list_query::flag(&mut fields, "total", total.0.as_ref()).unwrap_or(false);
        if is_counted && limit.is_none() {
            fields.add("limit", "is required with total=true");
        }
        fields.into_result()?;
        let limit = limit.0.as_ref().map(PageSize::read).transpose()?;
        let start = match &cursor.0 {
            Some(text) => Start::After(Cursor::read(text, order, authority.organization())?),
            None => Start::Skip(0),
        };
        let listing = Listing { filter, order };
        let source = (self.keys.clone(), self.lists.clone());
        Ok(match limit {
            Some(limit) => {
                let limit = (limit, is_counted);
                list::page(source, authority.into_authority(), listing, start, limit, uri).await?
            }
            None => list::all(source, authority.into_authority(), listing, start).await?,
        })
    }

    /// Create a key for an organization
    ///
    /// The key belongs to the organization itself, or with `own` to the caller's user. The secret is in `key` of this response
    /// and is never shown again.
    /// 403 if the key would have permissions that the caller does not hold, or would expire after the caller's own key.
    /// Setting limits needs `org:admin`. With `secret`, the key has a secret that you have generated, and the request
    /// can be repeated: it returns the same key.
    #[oai(path = "/orgs/:org_id/api_keys", method = "post", operation_id = "createApiKey")]
    async fn create_api_key(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysWrite>,
        /// Idempotency key.
        #[oai(name = "Idempotency-Key")]
        idempotency: IdempotencyHeader,
        /// The key to create.
        body: Deferred<CreateKey>,
    ) -> Result<Idempotent<CreatedKeyView>, ErrorResponse<Creating>> {
        let response = idempotency.run(authority, body, |authority, body| async move {
            let (new, supplied) = body.into_domain(authority.caller(), self.keys.now())?;
            let (key, secret) = self.keys.create_with(&authority, new, supplied).await?;
            Ok(CreatedKeyView::new(&key, secret.as_ref()))
        });
        Ok(response.await?)
    }

    /// Create up to 1,000 keys for an organization
    ///
    /// All of them or none, each as if it were created alone. The response has them in the same order.
    #[oai(path = "/orgs/:org_id/api_keys/bulk_create", method = "post", operation_id = "bulkCreateApiKeys")]
    async fn bulk_create_api_keys(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysWrite>,
        /// Idempotency key.
        #[oai(name = "Idempotency-Key")]
        idempotency: IdempotencyHeader,
        /// The keys to create.
        body: Deferred<CreateKeys>,
    ) -> Result<Idempotent<CreatedKeys>, ErrorResponse<Creating>> {
        let response = idempotency.run(authority, body, |authority, body| async move {
            let (caller, now) = (authority.caller().clone(), self.keys.now());
            let new = off_thread::run(true, move || body.into_domain(&caller, now)).await?;
            Ok(self.keys.create_many(&authority, new).await?)
        });
        Ok(response.await?)
    }

    /// Delete up to 1,000 keys of an organization
    ///
    /// The keys that exist are deleted together and stop working at once; unknown ids are listed in the response.
    #[oai(path = "/orgs/:org_id/api_keys/bulk_delete", method = "post", operation_id = "bulkDeleteApiKeys")]
    async fn bulk_delete_api_keys(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysWrite>,
        /// Idempotency key.
        #[oai(name = "Idempotency-Key")]
        idempotency: IdempotencyHeader,
        /// The keys to delete.
        body: Deferred<DeleteKeys>,
    ) -> Result<Idempotent<DeletedKeys>, ErrorResponse<Creating>> {
        let response = idempotency.run(authority, body, |authority, body| async move {
            let ids = body.into_domain()?;
            let deleted = self.keys.delete_many(&authority, ids.clone()).await?;
            Ok(DeletedKeys::new(&ids, deleted))
        });
        Ok(response.await?)
    }

    /// Import up to 1,000 keys from another system
    ///
    /// Imports keys by the SHA-256 hashes stored there, so that the existing keys keep working. All of them or none,
    /// each as if it were imported alone; keys that were imported before are unchanged. An imported key cannot
    /// authenticate until it has been verified once; from then on it is like any other key. With `dry_run` nothing is
    /// stored. The caller must also hold `api_keys:write`.
    #[oai(path = "/orgs/:org_id/api_keys/import", method = "post", operation_id = "importApiKeys")]
    async fn import_api_keys(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<OrgAdmin>,
        /// Idempotency key.
        #[oai(name = "Idempotency-Key")]
        idempotency: IdempotencyHeader,
        /// The keys to import.
        body: Deferred<ImportKeys>,
    ) -> Result<Idempotent<ImportedKeys>, ErrorResponse<Creating>> {
        authority.caller().require(&Permission::API_KEYS_WRITE)?;
        let response = idempotency.run(authority, body, |authority, body| async move {
            let dry_run = body.is_dry_run();
            let (caller, now) = (authority.caller().clone(), self.keys.now());
            let (format, keys) = off_thread::run(true, move || body.into_domain(&caller, now)).await?;
            let outcomes = self.keys.import(&authority, &format, keys, dry_run).await?;
            Ok(ImportedKeys::new(&outcomes, dry_run))
        });
        Ok(response.await?)
    }

    /// Get a key of an organization
    #[oai(path = "/orgs/:org_id/api_keys/:key_id", method = "get", operation_id = "getApiKey")]
    async fn get_api_key(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysRead>,
        /// Id of the key.
        key_id: Path<RawParam<Id>>,
        /// `true`: also returns the key if it was deleted and can still be restored; default `false`.
        include_deleted: Query<Option<RawParam<Flag>>>,
    ) -> Result<Versioned<KeyView>, ErrorResponse<Reading>> {
        let mut fields = Fields::default();
        let with_deleted = list_query::flag(&mut fields, "include_deleted", include_deleted.0.as_ref());
        fields.into_result()?;
        let key = match with_deleted {
            Some(true) => self.keys.get_with_deleted(&authority, key_id.id()).await?,
            _ => self.keys.get(&authority, key_id.id()).await?,
        };
        Ok(Versioned { version: key.version, body: KeyView::from(&key) })
    }

    /// Update a key of an organization
    ///
    /// Absent fields are unchanged; `null` clears, except `enabled` and `can_manage`. Changes take effect at once. With `If-Match`, the key is only
    /// updated if it still has that version: each change of its settings creates a new version, its use does not. The
    /// caller must hold all permissions that the key has before and after the change; a key can only narrow itself.
    /// Changing limits needs `org:admin`.
    #[oai(path = "/orgs/:org_id/api_keys/:key_id", method = "patch", operation_id = "updateApiKey")]
    async fn update_api_key(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysWrite>,
        /// Id of the key.
        key_id: Path<RawParam<Id>>,
        /// The `version` that the key must have, as `"3"` or `3`; or several versions, separated by commas.
        #[oai(name = "If-Match")]
        if_match: IfMatch,
        /// The changes.
        body: Deferred<UpdateKey>,
    ) -> Result<Versioned<KeyView>, ErrorResponse<Conditional<Writing>>> {
        let patch = body.read().await?.into_domain(authority.caller(), self.keys.now())?;
        let key = self.keys.update(&authority, key_id.id(), if_match.versions(), patch).await?;
        Ok(Versioned { version: key.version, body: KeyView::from(&key) })
    }

    /// Delete a key of an organization
    ///
    /// The key stops working at once and is unknown to all other operations. It can be restored within the retention of
    /// deleted keys, by default 30 days. A key may delete itself.
    #[oai(path = "/orgs/:org_id/api_keys/:key_id", method = "delete", operation_id = "deleteApiKey")]
    async fn delete_api_key(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysWrite>,
        /// Id of the key.
        key_id: Path<RawParam<Id>>,
        /// The `version` that the key must have, as `"3"` or `3`; or several versions, separated by commas.
        #[oai(name = "If-Match")]
        if_match: IfMatch,
    ) -> Result<Success<Message>, ErrorResponse<Conditional<Reading>>> {
        self.keys.delete(&authority, key_id.id(), if_match.versions()).await?;
        Ok(Success(Message { message: "API key deleted successfully".to_owned() }))
    }

    /// Get the deletion of a key
    ///
    /// When a deleted key was deleted, and by whom. 404 if the key is not deleted, or cannot be restored any more.
    #[oai(path = "/orgs/:org_id/api_keys/:key_id/deletion", method = "get", operation_id = "getApiKeyDeletion")]
    async fn get_api_key_deletion(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysRead>,
        /// Id of the key.
        key_id: Path<RawParam<Id>>,
    ) -> Result<Success<KeyDeletionView>, ErrorResponse<Reading>> {
        Ok(Success(self.keys.deletion(&authority, key_id.id()).await?.into()))
    }

    /// Restore a deleted key
    ///
    /// Restores the key with its settings and its secret, but disabled: enable it to use it again. List keys with
    /// `deleted=true` to find the keys that can be restored. The caller must hold all permissions of the key.
    #[oai(path = "/orgs/:org_id/api_keys/:key_id/restore", method = "post", operation_id = "restoreApiKey")]
    async fn restore_api_key(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysWrite>,
        /// Id of the key.
        key_id: Path<RawParam<Id>>,
        /// Idempotency key.
        #[oai(name = "Idempotency-Key")]
        idempotency: IdempotencyHeader,
        /// The `version` that the deleted key must have, as `"3"` or `3`; or several versions, separated by commas.
        #[oai(name = "If-Match")]
        if_match: IfMatch,
    ) -> Result<Idempotent<KeyView>, ErrorResponse<Conditional<Creating>>> {
        let response = idempotency.run_without_body(authority, |authority| async move {
            Ok(KeyView::from(&self.keys.restore(&authority, key_id.id(), if_match.versions()).await?))
        });
        Ok(response.await?)
    }

    /// Rotate a key's secret
    ///
    /// The new secret is in `key` of this response and is never shown again. The previous secret stays valid for the
    /// grace period, but not after the key expires; with 0 it is revoked at once. A key has at most two secrets. While a
    /// previous secret is still valid, a newest secret that was never used is replaced, and the previous one stays valid
    /// at least as long as before; 409 if the newest one was used, unless the new grace period is 0. Settings, limits
    /// and counts are unchanged. The caller must hold all permissions of the key. A key may rotate itself, but a session
    /// cannot rotate the key that it was created with. With `secret`, the new secret is one that you have generated, and
    /// the request can be repeated.
    #[oai(path = "/orgs/:org_id/api_keys/:key_id/rotate", method = "post", operation_id = "rotateApiKey")]
    async fn rotate_api_key(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysWrite>,
        /// Id of the key.
        key_id: Path<RawParam<Id>>,
        /// Idempotency key.
        #[oai(name = "Idempotency-Key")]
        idempotency: IdempotencyHeader,
        /// The `version` that the key must have, as `"3"` or `3`; or several versions, separated by commas.
        #[oai(name = "If-Match")]
        if_match: IfMatch,
        /// The grace period of the previous secret.
        body: Deferred<RotateKey>,
    ) -> Result<Idempotent<CreatedKeyView>, ErrorResponse<Conditional<Creating>>> {
        let response = idempotency.run(authority, body, |authority, body| async move {
            let only = if_match.versions();
            let (grace, supplied) = body.into_domain()?;
            let (key, secret) = self.keys.rotate(&authority, key_id.id(), only, grace, supplied.as_ref()).await?;
            Ok(CreatedKeyView::new(&key, secret.as_ref()))
        });
        Ok(response.await?)
    }

    /// Get the previous secret of a key
    ///
    /// When the previous secret expires and when it was last used, without the secret itself. 404 if there is none.
    #[oai(path = "/orgs/:org_id/api_keys/:key_id/previous_secret", method = "get", operation_id = "getPreviousSecret")]
    async fn get_previous_secret(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysRead>,
        /// Id of the key.
        key_id: Path<RawParam<Id>>,
    ) -> Result<Success<PreviousSecretView>, ErrorResponse<Reading>> {
        Ok(Success(self.keys.previous_secret(&authority, key_id.id()).await?.into()))
    }

    /// Revoke the previous secret of a key
    ///
    /// The previous secret stops working at once. 404 if there is none.
    #[oai(
        path = "/orgs/:org_id/api_keys/:key_id/previous_secret",
        method = "delete",
        operation_id = "revokePreviousSecret"
    )]
    async fn revoke_previous_secret(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysWrite>,
        /// Id of the key.
        key_id: Path<RawParam<Id>>,
        /// The `version` that the key must have, as `"3"` or `3`; or several versions, separated by commas.
        #[oai(name = "If-Match")]
        if_match: IfMatch,
    ) -> Result<Success<Message>, ErrorResponse<Conditional<Reading>>> {
        self.keys.revoke_previous_secret(&authority, key_id.id(), if_match.versions()).await?;
        Ok(Success(Message { message: "Previous secret revoked successfully".to_owned() }))
    }
}

impl StoredResponse for KeyView {
    const SECRETS: Secrets = Secrets::None;
    const HAS_VERSION: bool = true;
}

impl StoredResponse for CreatedKeyView {
    const SECRETS: Secrets = Secrets::Key;
    const HAS_VERSION: bool = true;
}
