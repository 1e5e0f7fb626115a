//! A new secret for a key: `/orgs/{org_id}/api_keys/{key_id}/rotate`, and the old one that goes on beside it.

use std::sync::Arc;

use domain::{
    api_key::PreviousSecret,
    keys::{Keys, MOST_GRACE},
    permission::Permission,
};
use poem_openapi::{Object, OpenApi, param::Path};

use super::{
    dto::{CreatedKeyView, Message},
    error::{Creating, Reading},
};
use crate::{
    body::{Deferred, Document},
    contract::{
        Failed, Success, Tag,
        once_only::{OnceOnly, hide_key},
    },
    credentials::Credential,
    failure::{Failure, Fields},
    gate::Gate,
    json::Members,
    once::{Repeatable, Turn},
    time::Moment,
    wire::{Id, Nullable, Unread},
};

/// The operations.
pub struct Rotations {
    /// Authenticates.
    pub gate: Arc<Gate>,
    /// Decides and acts.
    pub keys: Arc<Keys>,
}

#[OpenApi(tag = "Tag::Organizations")]
impl Rotations {
    /// Give a key a new text
    ///
    /// The new text is in the field `key` of this answer and nowhere else, ever. The old one goes on for the grace time, but
    /// not longer than the key; with 0 it ends now. A key has two texts at most: while an older one goes on, this is a 409
    /// unless the new grace time is 0. Settings, limits and uses stay. Needs the permission `api_keys:write` and all that the
    /// key holds; a key may rotate itself.
    #[oai(path = "/orgs/:org_id/api_keys/:key_id/rotate", method = "post", operation_id = "rotateApiKey")]
    async fn rotate_api_key(
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
        /// For how long the old text goes on.
        body: Deferred<RotateKey>,
    ) -> Result<OnceOnly<CreatedKeyView>, Failed<Creating>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::API_KEYS_WRITE, org_id.id()).await?;
        let (body, hash) = body.read_with_hash().await?;
        let once = match self.gate.repeats.turn(&repeatable, authority.caller(), hash).await? {
            Turn::First(once) => once,
            Turn::Again(answer) => return Ok(OnceOnly::Again(answer)),
        };
        let authority = authority.once(once);
        let grace = body.grace()?;
        let (key, secret) = self.keys.rotate(&authority, key_id.id(), grace).await?;
        Ok(OnceOnly::done(&self.gate.repeats, once, CreatedKeyView::new(&key, &secret), hide_key).await)
    }

    /// Look at the old text of a key that goes on
    ///
    /// 404 where there is none. Needs the permission `api_keys:read`.
    #[oai(path = "/orgs/:org_id/api_keys/:key_id/previous_secret", method = "get", operation_id = "getPreviousSecret")]
    async fn get_previous_secret(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The key.
        key_id: Path<Unread<Id>>,
    ) -> Result<Success<PreviousSecretView>, Failed<Reading>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::API_KEYS_READ, org_id.id()).await?;
        Ok(Success(self.keys.previous_secret(&authority, key_id.id()).await?.into()))
    }

    /// End the old text of a key before its time
    ///
    /// It is refused from now on. 404 where there is none. Needs the permission `api_keys:write`.
    #[oai(
        path = "/orgs/:org_id/api_keys/:key_id/previous_secret",
        method = "delete",
        operation_id = "endPreviousSecret"
    )]
    async fn end_previous_secret(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The key.
        key_id: Path<Unread<Id>>,
    ) -> Result<Success<Message>, Failed<Reading>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::API_KEYS_WRITE, org_id.id()).await?;
        self.keys.end_previous_secret(&authority, key_id.id()).await?;
        Ok(Success(Message { message: "The old text of the API key is refused from now on".to_owned() }))
    }
}

/// For how long the old text of a key goes on.
#[derive(Object)]
#[oai(rename = "RotateApiKey")]
struct RotateKey {
    /// Seconds, 0 to 2,592,000 (30 days).
    grace_seconds: u64,
}

impl Document for RotateKey {
    fn read(mut members: Members) -> Result<Self, Failure> {
        let grace_seconds = members.required("grace_seconds");
        members.finish_strictly()?;
        Ok(Self { grace_seconds: grace_seconds.unwrap_or_default() })
    }
}

impl RotateKey {
    /// In milliseconds.
    fn grace(&self) -> Result<u64, Failure> {
        let grace = self.grace_seconds.checked_mul(1_000).filter(|grace| *grace <= MOST_GRACE);
        grace.ok_or_else(|| Failure::Invalid(Fields::one("grace_seconds", "must be 0 to 2592000")))
    }
}

/// The old text of a key that was given a new one, and goes on.
#[derive(Object)]
#[oai(rename = "PreviousSecret")]
struct PreviousSecretView {
    /// Its first characters; empty where they are not known.
    start: String,
    /// When it was made.
    created_at: Moment,
    /// From this moment on it is refused.
    expires_at: Moment,
    /// When it was last used since there is a new one; null: not yet. Up to a second late.
    last_used_at: Nullable<Moment>,
}

impl From<PreviousSecret> for PreviousSecretView {
    fn from(secret: PreviousSecret) -> Self {
        Self {
            start: secret.start,
            created_at: Moment(secret.created_at),
            expires_at: Moment(secret.expires_at),
            last_used_at: Nullable(secret.last_request_at.map(Moment)),
        }
    }
}
