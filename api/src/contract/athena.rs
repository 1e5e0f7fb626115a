//! Athena's API keys, which are those of better-auth's plugin: `/api/auth/api-key/…`, the whole life of a key, and verify.

mod dto;
mod error;
mod lenient;
mod request;
mod sheet;
mod verdict;

use std::sync::Arc;

use domain::{
    Error,
    caller::{Authority, Caller},
    keys::Keys,
    listing::{Listing, Start},
    permission::Permission,
};
use poem_openapi::{OpenApi, param::Query};

use self::{
    dto::{CreatedKeyView, Deleted, DeletedCount, KeyArray, KeyView},
    error::{Changing, Reading},
    sheet::{Create, Delete, KeyIdText, ListNumber, Sheet, Update, Verify},
    verdict::VerdictView,
};
use super::{Failed, Shape, Success, Tag, Written};
use crate::{
    body::Deferred, credentials::Credential, failure::Failure, gate::Gate, hot::HotVerify, key_stream,
    verifier::Verifier, wire::Unread,
};

/// How this contract says that something failed.
pub const SHAPE: Shape = Shape { prefix: "/api/auth", render: error::render };

/// Verify, as it is asked most of the time.
pub const HOT: HotVerify = HotVerify {
    path: "/api/auth/api-key/verify",
    operation: "athenaVerifyApiKey",
    read: request::plain_verify,
    write: verdict::write,
};

/// The operations.
pub struct Athena {
    /// Authenticates.
    pub gate: Arc<Gate>,
    /// Acts.
    pub keys: Arc<Keys>,
    /// Decides.
    pub verifier: Arc<Verifier>,
}

#[OpenApi(prefix_path = "/api/auth/api-key", tag = "Tag::Athena")]
impl Athena {
    /// Create an API key
    ///
    /// It belongs to the caller's user, or to the organization where the caller's key has no user. Its text is in `key` of
    /// this answer and nowhere else, ever. Needs `api_keys:write` or `own_api_keys:write`; nobody grants more than they
    /// hold.
    #[oai(path = "/create", method = "post", operation_id = "athenaCreateApiKey")]
    async fn create(
        &self,
        credential: Credential,
        /// What the key will be.
        body: Deferred<Sheet<Create>>,
    ) -> Result<Success<CreatedKeyView>, Failed<Changing>> {
        let authority = self.writer(&credential).await?;
        let create = request::create(body.read().await?.members, self.keys.now())?;
        require_admin(authority.caller(), create.needs_admin)?;
        let (key, secret) = self.keys.create(&authority, create.request).await?;
        Ok(Success(CreatedKeyView::new(&key, &secret)))
    }

    /// Get an API key
    ///
    /// Needs `api_keys:read`, or `own_api_keys:read` for the keys of the caller's user.
    #[oai(path = "/get", method = "get", operation_id = "athenaGetApiKey")]
    async fn get(
        &self,
        credential: Credential,
        /// The key.
        id: Query<Option<Unread<KeyIdText>>>,
    ) -> Result<Success<KeyView>, Failed<Reading>> {
        let authority = self.reader(&credential).await?;
        let id = KeyIdText::read(id.0.as_ref())?;
        Ok(Success(KeyView::from(&self.keys.get(&authority, id).await?)))
    }

    /// Update an API key
    ///
    /// What is absent stays, `null` clears. Needs `api_keys:write`, or `own_api_keys:write` for the keys of the caller's
    /// user.
    #[oai(path = "/update", method = "post", operation_id = "athenaUpdateApiKey")]
    async fn update(
        &self,
        credential: Credential,
        /// What changes.
        body: Deferred<Sheet<Update>>,
    ) -> Result<Success<KeyView>, Failed<Changing>> {
        let authority = self.writer(&credential).await?;
        let update = request::update(body.read().await?.members, self.keys.now())?;
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
    /// It is refused from now on. Needs `api_keys:write`, or `own_api_keys:write` for the keys of the caller's user.
    #[oai(path = "/delete", method = "post", operation_id = "athenaDeleteApiKey")]
    async fn delete(
        &self,
        credential: Credential,
        /// Which key.
        body: Deferred<Sheet<Delete>>,
    ) -> Result<Success<Deleted>, Failed<Changing>> {
        let authority = self.writer(&credential).await?;
        let key = request::key_id(body.read().await?.members)?;
        self.keys.delete(&authority, key).await?;
        Ok(Success(Deleted { success: true }))
    }

    /// List API keys
    ///
    /// All in the caller's reach, oldest first. Needs `api_keys:read`, or `own_api_keys:read` for the keys of the caller's
    /// user.
    #[oai(path = "/list", method = "get", operation_id = "athenaListApiKeys")]
    async fn list(
        &self,
        credential: Credential,
        /// The most keys to answer; without it, all.
        limit: Query<Option<Unread<ListNumber>>>,
        /// Keys to leave out at the beginning.
        offset: Query<Option<Unread<ListNumber>>>,
    ) -> Result<KeyArray, Failed<Reading>> {
        let authority = self.reader(&credential).await?;
        let limit = ListNumber::read("limit", limit.0.as_ref())?;
        let offset = ListNumber::read("offset", offset.0.as_ref())?;
        let start = Start::Skip(offset.unwrap_or(0));
        let most = limit.unwrap_or(u64::MAX);
        let source = (self.keys.clone(), self.gate.lists.clone());
        let body = key_stream::array(source, authority, Listing::default(), start, most, dto::render).await?;
        Ok(KeyArray(body))
    }

    /// Verify an API key
    ///
    /// 200 for every verdict. A key in the caller's organization (for a platform caller: in any) that is enabled, not
    /// expired, holds all that is asked for and has uses left is valid, and the use is counted. What is refused costs
    /// nothing. Needs `api_keys:verify`.
    #[oai(path = "/verify", method = "post", operation_id = "athenaVerifyApiKey")]
    async fn verify(
        &self,
        credential: Credential,
        /// The key, and what it should be good for.
        body: Deferred<Sheet<Verify>>,
    ) -> Result<Written<VerdictView>, Failed<Changing>> {
        let caller = self.verifier.admitted(self.gate.admit(&credential).await)?;
        caller.require(&Permission::API_KEYS_VERIFY)?;
        let asked = request::verify(body.read().await?.members)?;
        let verdict = self.verifier.verify(&caller, asked.question()).await?;
        Ok(Written::new(verdict::write(&verdict)))
    }

    /// Delete all expired API keys
    ///
    /// Those in the caller's reach: all of them, or as many as there is time for. `deleted` says how many that were; another
    /// call goes on. Needs `api_keys:write`, or `own_api_keys:write` for the keys of the caller's user.
    #[oai(path = "/delete-all-expired-api-keys", method = "post", operation_id = "athenaDeleteExpiredApiKeys")]
    async fn delete_all_expired(&self, credential: Credential) -> Result<Success<DeletedCount>, Failed<Reading>> {
        let authority = self.writer(&credential).await?;
        Ok(Success(DeletedCount { deleted: self.keys.delete_expired(&authority).await? }))
    }
}

impl Athena {
    async fn reader(&self, credential: &Credential) -> Result<Authority, Failure> {
        let caller = self.gate.admit(credential).await?;
        Ok(self.keys.authorize_at_home(caller, &Permission::API_KEYS_READ, &Permission::OWN_API_KEYS_READ)?)
    }

    async fn writer(&self, credential: &Credential) -> Result<Authority, Failure> {
        let caller = self.gate.admit(credential).await?;
        Ok(self.keys.authorize_at_home(caller, &Permission::API_KEYS_WRITE, &Permission::OWN_API_KEYS_WRITE)?)
    }
}

/// What the plugin calls "server-only properties" is for administrators here.
fn require_admin(caller: &Caller, is_needed: bool) -> Result<(), Error> {
    if is_needed { caller.require(&Permission::ORG_ADMIN) } else { Ok(()) }
}
