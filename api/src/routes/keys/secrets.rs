//! Finding a key by its secret (`/orgs/{org_id}/api_keys/find`), and undoing a rotation
//! (`/orgs/{org_id}/api_keys/{key_id}/newest_secret`).

use std::sync::Arc;

use domain::keys::{
    Keys,
    api_key::{ApiKey, SecretStatus},
};
use poem_openapi::{Enum, Object, OpenApi, param::Path};

use crate::{
    auth::authorized::{self, KeysRead, KeysWrite},
    http::{
        body::Deferred,
        contract::{Conditional, ErrorResponse, Success, Tag},
        if_match::IfMatch,
        openapi_types::{Id, RawParam},
        strict_json::document,
    },
    routes::{
        dto::{KeyView, Message},
        error::{Removing, Writing},
    },
};

document! {
    /// The secret of a key.
    #[oai(rename = "FindApiKeyRequest")]
    struct FindKey {
        /// The secret.
        key: String,
    }
}

/// A key that was found by one of its secrets.
#[derive(Object)]
#[oai(rename = "FoundApiKey")]
struct FoundKeyView {
    #[oai(flatten)]
    view: KeyView,
    secret_status: SecretStatusName,
}

/// What became of a secret of a key.
#[derive(Enum)]
#[oai(rename = "SecretStatus", rename_all = "lowercase")]
enum SecretStatusName {
    /// It is the newest one.
    Newest,
    /// It was rotated, and is valid until the end of its grace period.
    Previous,
    /// It has expired or was revoked.
    Expired,
}

impl From<(ApiKey, SecretStatus)> for FoundKeyView {
    fn from((key, status): (ApiKey, SecretStatus)) -> Self {
        let secret_status = match status {
            SecretStatus::Newest => SecretStatusName::Newest,
            SecretStatus::Previous => SecretStatusName::Previous,
            SecretStatus::Expired => SecretStatusName::Expired,
        };
        Self { view: KeyView::from(&key), secret_status }
    }
}

/// The operations on keys by their secrets.
pub struct SecretRoutes {
    /// Creates, reads, changes and deletes keys.
    pub keys: Arc<Keys>,
}

#[OpenApi(tag = "Tag::Keys")]
impl SecretRoutes {
    /// Find a key of an organization by its secret
    ///
    /// Finds the key in every state: disabled, expired, or deleted and still restorable; and by an earlier secret that
    /// has expired. This does not count as a use of the secret. 404 if no key of the organization has or had the secret.
    #[oai(path = "/orgs/:org_id/api_keys/find", method = "post", operation_id = "findApiKey")]
    async fn find_api_key(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysRead>,
        /// The secret.
        body: Deferred<FindKey>,
    ) -> Result<Success<FoundKeyView>, ErrorResponse<Writing>> {
        let body = body.read().await?;
        Ok(Success(self.keys.find_by_secret(&authority, &body.key).await?.into()))
    }

    /// Undo the rotation of a key
    ///
    /// Revokes the newest secret, if it was never used: the previous secret is the only one again, and does not expire
    /// any more. 409 if the newest secret was used, or no previous secret is valid. The caller must hold all permissions
    /// of the key.
    #[oai(path = "/orgs/:org_id/api_keys/:key_id/newest_secret", method = "delete", operation_id = "undoRotation")]
    async fn undo_rotation(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysWrite>,
        /// Id of the key.
        key_id: Path<RawParam<Id>>,
        /// The `version` that the key must have, as `"3"` or `3`; or several versions, separated by commas.
        #[oai(name = "If-Match")]
        if_match: IfMatch,
    ) -> Result<Success<Message>, ErrorResponse<Conditional<Removing>>> {
        self.keys.undo_rotation(&authority, key_id.id(), if_match.versions()).await?;
        Ok(Success(Message { message: "Rotation undone successfully".to_owned() }))
    }
}
