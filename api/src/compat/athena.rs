//! The API of Athena, which is that of better-auth's API key plugin (`/api/auth/api-key/…`): creating, reading, changing, deleting,
//! listing and verifying keys.

mod dto;
mod error;
mod lenient;
mod request;
mod schema;
mod verdict;

use std::sync::Arc;

use domain::{
    Error,
    auth::{
        authorize::Authorizer,
        caller::{Authority, Caller},
    },
    keys::{
        Keys,
        list::{Listing, Start},
    },
    permissions::Permission,
    verify::Requester,
};
use poem_openapi::{OpenApi, param::Query};

use crate::compat::athena::{
    dto::{CreatedKeyView, Deleted, DeletedCount, KeyArray, KeyView},
    error::{Changing, Reading},
    request::{Create, Delete, UpdateKey, Verify},
    schema::{KeyIdText, ListLimit, ListOffset},
    verdict::VerdictView,
};
use crate::http::contract::{ErrorFormat, ErrorResponse, RawJson, Success, Tag};
use crate::{
    auth::{authenticator::Authenticator, credentials::Credential},
    http::{api_error::ApiError, body::Deferred, list_slots::ListSlots, openapi_types::RawParam},
    routes::keys::stream,
    verifier::Verifier,
    verify_fast_path::FastVerify,
};

/// The error format of this API.
pub const ERROR_FORMAT: ErrorFormat = ErrorFormat { prefix: "/api/auth", render: error::render };

/// The fast path of the operation that verifies a key.
pub const FAST_VERIFY: FastVerify = FastVerify {
    path: "/api/auth/api-key/verify",
    operation: "verifyAthenaKey",
    read: request::parse_strict,
    write: verdict::write,
};

/// The operations of Athena's API.
pub struct Athena {
    /// Authenticates.
    pub authenticator: Arc<Authenticator>,
    /// Authorizes.
    pub authorizer: Arc<Authorizer>,
    /// Creates, reads, changes and deletes keys.
    pub keys: Arc<Keys>,
    /// Verifies keys.
    pub verifier: Arc<Verifier>,
    /// Bounds concurrent reads of many rows.
    pub lists: Arc<ListSlots>,
}

#[OpenApi(prefix_path = "/api/auth/api-key", tag = "Tag::Athena")]
impl Athena {
    /// Create an API key
    ///
    /// The key belongs to the caller's user, or to the organization if the caller's key has no user. The secret is in
    /// `key` of this response and is never shown again. The caller must hold all permissions that the new key gets.
    /// Needs `api_keys:write` or `own_api_keys:write`.
    #[oai(path = "/create", method = "post", operation_id = "createAthenaKey")]
    async fn create(
        &self,
        credential: Credential,
        /// The key to create.
        body: Deferred<Create>,
    ) -> Result<Success<CreatedKeyView>, ErrorResponse<Changing>> {
        let authority = self.writer(&credential).await?;
        let create = body.read().await?.into_domain(self.keys.now())?;
        require_admin(authority.caller(), create.needs_admin)?;
        let (key, secret) = self.keys.create(&authority, create.request).await?;
        Ok(Success(CreatedKeyView::new(&key, &secret)))
    }

    /// Get an API key
    ///
    /// Needs `api_keys:read`, or `own_api_keys:read` for the keys of the caller's user.
    #[oai(path = "/get", method = "get", operation_id = "getAthenaKey")]
    async fn get(
        &self,
        credential: Credential,
        /// Id of the key.
        id: Query<Option<RawParam<KeyIdText>>>,
    ) -> Result<Success<KeyView>, ErrorResponse<Reading>> {
        let authority = self.reader(&credential).await?;
        let id = KeyIdText::read(id.0.as_ref())?;
        Ok(Success(KeyView::from(&self.keys.get(&authority, id).await?)))
    }

    /// Update an API key
    ///
    /// Absent fields are unchanged; `null` clears. Needs `api_keys:write`, or `own_api_keys:write` for the keys of the
    /// caller's user.
    #[oai(path = "/update", method = "post", operation_id = "updateAthenaKey")]
    async fn update(
        &self,
        credential: Credential,
        /// The changes.
        body: Deferred<UpdateKey>,
    ) -> Result<Success<KeyView>, ErrorResponse<Changing>> {
        let authority = self.writer(&credential).await?;
        let update = body.read().await?.into_domain(self.keys.now())?;
        require_admin(authority.caller(), update.needs_admin)?;
        let request::Update { key, user, patch } = update.request;
        if let Some(user) = user {
            let owner = dto::owner(&self.keys.get(&authority, key).await?);
            if user.parse() != Ok(owner) {
                return Err(Error::NotFound.into());
            }
        }
        Ok(Success(KeyView::from(&self.keys.update(&authority, key, None, patch).await?)))
    }

    /// Delete an API key
    ///
    /// The key stops working at once. Needs `api_keys:write`, or `own_api_keys:write` for the keys of the caller's
    /// user.
    #[oai(path = "/delete", method = "post", operation_id = "deleteAthenaKey")]
    async fn delete(
        &self,
        credential: Credential,
        /// The key to delete.
        body: Deferred<Delete>,
    ) -> Result<Success<Deleted>, ErrorResponse<Changing>> {
        let authority = self.writer(&credential).await?;
        let key = body.read().await?.key();
        self.keys.delete(&authority, key, None).await?;
        Ok(Success(Deleted { success: true }))
    }

    /// List API keys
    ///
    /// All keys that the caller can access, oldest first. Needs `api_keys:read`, or `own_api_keys:read` for the keys of
    /// the caller's user.
    #[oai(path = "/list", method = "get", operation_id = "listAthenaKeys")]
    async fn list(
        &self,
        credential: Credential,
        /// Maximum number of keys to return; default: all.
        limit: Query<Option<RawParam<ListLimit>>>,
        /// Number of keys to skip, at most 100,000; default 0.
        offset: Query<Option<RawParam<ListOffset>>>,
    ) -> Result<KeyArray, ErrorResponse<Reading>> {
        let authority = self.reader(&credential).await?;
        let limit = ListLimit::read(limit.0.as_ref())?;
        let start = Start::Skip(ListOffset::read(offset.0.as_ref())?);
        let max = limit.unwrap_or(u64::MAX);
        let source = (self.keys.clone(), self.lists.clone());
        let body = stream::array(source, authority, Listing::default(), start, max, dto::render).await?;
        Ok(KeyArray(body))
    }

    /// Verify an API key
    ///
    /// Responds with 200 for every verdict. A key is valid if it belongs to the caller's organization (for a platform
    /// caller: to any), is enabled, has not expired, holds all requested permissions and has uses left. Only a valid
    /// result counts as a use. Needs `api_keys:verify`.
    #[oai(path = "/verify", method = "post", operation_id = "verifyAthenaKey")]
    async fn verify(
        &self,
        credential: Credential,
        /// The key to verify.
        body: Deferred<Verify>,
    ) -> Result<RawJson<VerdictView>, ErrorResponse<Changing>> {
        let caller = self.verifier.count_failed_authentication(self.authenticator.authenticate(&credential).await)?;
        caller.require(&Permission::API_KEYS_VERIFY)?;
        let parsed = body.read().await?.into_parsed();
        let verdict = self.verifier.verify(Requester::Caller(&caller), parsed.to_request()).await?;
        Ok(RawJson::new(verdict::write(&verdict)))
    }

    /// Delete all expired API keys
    ///
    /// Deletes the expired keys that the caller can access, as many as the time limit of the request allows. `deleted`
    /// is their number; repeat the request to delete more. Needs `api_keys:write`, or `own_api_keys:write` for the keys
    /// of the caller's user.
    #[oai(path = "/delete-all-expired-api-keys", method = "post", operation_id = "deleteExpiredAthenaKeys")]
    async fn delete_all_expired(
        &self,
        credential: Credential,
    ) -> Result<Success<DeletedCount>, ErrorResponse<Reading>> {
        let authority = self.writer(&credential).await?;
        Ok(Success(DeletedCount { deleted: self.keys.delete_expired(&authority).await? }))
    }
}

impl Athena {
    async fn reader(&self, credential: &Credential) -> Result<Authority, ApiError> {
        let caller = self.authenticator.authenticate(credential).await?;
        Ok(self.authorizer.authorize_own_keys(caller, &Permission::API_KEYS_READ, &Permission::OWN_API_KEYS_READ)?)
    }

    async fn writer(&self, credential: &Credential) -> Result<Authority, ApiError> {
        let caller = self.authenticator.authenticate(credential).await?;
        Ok(self.authorizer.authorize_own_keys(caller, &Permission::API_KEYS_WRITE, &Permission::OWN_API_KEYS_WRITE)?)
    }
}

/// Requires `org:admin` for what the plugin calls "server-only properties".
fn require_admin(caller: &Caller, is_needed: bool) -> Result<(), Error> {
    if is_needed { caller.require(&Permission::ORG_ADMIN) } else { Ok(()) }
}
