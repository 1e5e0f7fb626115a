//! One key of an organization: `/orgs/{org_id}/api_keys/{key_id}`.

use std::sync::Arc;

use domain::{keys::Keys, permission::Permission};
use poem::{IntoResponse, Response, http::header::ETAG};
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path},
    registry::{MetaResponses, Registry},
    types::{ToJSON, Type},
};

use super::{
    dto::{KeyView, Message},
    error::{Creating, Reading, Revising},
    update::{UpdateKey, Versions},
};
use crate::{
    body::Deferred,
    contract::{
        Failed, Success, Tag, header,
        once_only::{OnceOnly, nothing_to_hide},
    },
    credentials::Credential,
    gate::Gate,
    once::{Repeatable, Turn},
    wire::{Id, Unread},
};

/// The operations.
pub struct OneKey {
    /// Authenticates.
    pub gate: Arc<Gate>,
    /// Decides and acts.
    pub keys: Arc<Keys>,
}

#[OpenApi(tag = "Tag::Organizations")]
impl OneKey {
    /// Get a key of an organization
    ///
    /// Needs the permission `api_keys:read`.
    #[oai(path = "/orgs/:org_id/api_keys/:key_id", method = "get", operation_id = "getApiKey")]
    async fn get_api_key(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The key.
        key_id: Path<Unread<Id>>,
    ) -> Result<Versioned<KeyView>, Failed<Reading>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::API_KEYS_READ, org_id.id()).await?;
        let key = self.keys.get(&authority, key_id.id()).await?;
        Ok(Versioned { version: key.version, body: KeyView::from(&key) })
    }

    /// Change a key of an organization
    ///
    /// What is absent stays, `null` clears; it holds at once. With `If-Match`, only if the key still has that version: each
    /// change of its settings makes a new one, its use does not. Nobody grants more than they hold, before and after; a key
    /// may only make itself less. Needs the permission `api_keys:write`, and `org:admin` for limits.
    #[oai(path = "/orgs/:org_id/api_keys/:key_id", method = "patch", operation_id = "updateApiKey")]
    async fn update_api_key(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The key.
        key_id: Path<Unread<Id>>,
        /// The `version` that the key must have, as `"3"` or `3`; or several of them.
        #[oai(name = "If-Match")]
        if_match: Header<Option<Unread<Versions>>>,
        /// What changes.
        body: Deferred<UpdateKey>,
    ) -> Result<Versioned<KeyView>, Failed<Revising>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::API_KEYS_WRITE, org_id.id()).await?;
        let patch = body.read().await?.into_domain(authority.caller(), self.keys.now())?;
        let only = Versions::read(if_match.0.as_ref());
        let key = self.keys.update(&authority, key_id.id(), only.as_deref(), patch).await?;
        Ok(Versioned { version: key.version, body: KeyView::from(&key) })
    }

    /// Delete a key of an organization
    ///
    /// The key is refused from now on, and unknown everywhere. It can be restored for 30 days, unless the service is set up
    /// otherwise. Needs the permission `api_keys:write`; a caller may delete their own key.
    #[oai(path = "/orgs/:org_id/api_keys/:key_id", method = "delete", operation_id = "deleteApiKey")]
    async fn delete_api_key(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The key.
        key_id: Path<Unread<Id>>,
    ) -> Result<Success<Message>, Failed<Reading>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::API_KEYS_WRITE, org_id.id()).await?;
        self.keys.delete(&authority, key_id.id()).await?;
        Ok(Success(Message { message: "API key deleted successfully".to_owned() }))
    }

    /// Restore a deleted key
    ///
    /// It is back with all of its settings and its text, but not in use: enable it when you are sure. `GET` of the list with
    /// `deleted=true` tells which keys can be restored. Nobody restores more than they hold. Needs the permission
    /// `api_keys:write`.
    #[oai(path = "/orgs/:org_id/api_keys/:key_id/restore", method = "post", operation_id = "restoreApiKey")]
    async fn restore_api_key(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The key.
        key_id: Path<Unread<Id>>,
        /// A word of the client's for this request: sent again within 12 hours, it is not done again, and gets the same answer
        /// without its secret.
        #[oai(name = "Idempotency-Key")]
        repeatable: Repeatable,
    ) -> Result<OnceOnly<KeyView>, Failed<Creating>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::API_KEYS_WRITE, org_id.id()).await?;
        let hash = [0; 32];
        let once = match self.gate.repeats.turn(&repeatable, authority.caller(), hash).await? {
            Turn::First(once) => once,
            Turn::Again(answer) => return Ok(OnceOnly::Again(answer)),
        };
        let authority = authority.once(once);
        let key = self.keys.restore(&authority, key_id.id()).await?;
        Ok(OnceOnly::done(&self.gate.repeats, once, KeyView::from(&key), nothing_to_hide).await)
    }
}

/// A success that says which version it is about.
struct Versioned<T> {
    version: u64,
    body: T,
}

impl<T: ToJSON> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        let mut response = Success(self.body).into_response();
        let tag = format!("\"{}\"", self.version).parse().expect("a number is plain text");
        response.headers_mut().insert(ETAG, tag);
        response
    }
}

impl<T: ToJSON + Type> ApiResponse for Versioned<T> {
    fn meta() -> MetaResponses {
        const TAG: (&str, &str) = ("ETag", "The `version`, in quotes: for `If-Match`.");
        let mut meta = Success::<T>::meta();
        for response in &mut meta.responses {
            response.headers.push(header(TAG, "string"));
        }
        meta
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}
