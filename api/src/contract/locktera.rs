//! Locktera's organization keys: `/orgs/{org_id}/api_keys`. Also the home of what goes beyond the three documents.

mod bulk;
mod cursor;
mod dto;
mod error;
mod explain;
mod key;
mod limits;
mod list;
mod me;
mod members;
mod organization;
mod organizations;
mod page;
mod people;
mod question;
mod rotation;
mod session;
mod sets;
mod tokens;
mod update;
mod verdict;
mod verify;
mod written;

use std::sync::Arc;

use domain::{keys::Keys, permission::Permission, ports::Start};
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

pub use self::{
    bulk::Bulk,
    key::OneKey,
    members::Members,
    organizations::Organizations,
    rotation::Rotations,
    session::{Session, needs_https},
    sets::Sets,
    tokens::Tokens,
    verify::{HOT, Verify},
};
use self::{
    cursor::Cursor,
    dto::{CreateKey, CreatedKeyView, PageSize},
    error::{Reading, Writing},
    list::KeyList,
};
use super::{Failed, Shape, Success, Tag};
use crate::{
    body::Deferred,
    credentials::Credential,
    gate::Gate,
    wire::{Id, Unread},
};

/// How this contract says that something failed.
pub const SHAPE: Shape = Shape { prefix: "/orgs", render: error::render };

/// The operations.
pub struct Locktera {
    /// Authenticates.
    pub gate: Arc<Gate>,
    /// Decides and acts.
    pub keys: Arc<Keys>,
}

#[OpenApi(tag = "Tag::Organizations")]
impl Locktera {
    /// List the keys of an organization
    ///
    /// Every key of the organization, however it was made, oldest first. Without `limit` all of them are streamed. With
    /// `limit` one page is answered, and the header `Link` names the next one; a key that exists during the whole
    /// traversal appears exactly once. Needs the permission `api_keys:read`.
    #[oai(path = "/orgs/:org_id/api_keys", method = "get", operation_id = "listApiKeys")]
    async fn list_api_keys(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The most keys to answer.
        limit: Query<Option<Unread<PageSize>>>,
        /// Where to go on, from the `Link` of the page before.
        cursor: Query<Option<Unread<Cursor>>>,
    ) -> Result<KeyList, Failed<Reading>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::API_KEYS_READ, org_id.id()).await?;
        let limit = limit.0.as_ref().map(PageSize::read).transpose()?;
        let start = match &cursor.0 {
            Some(text) => Start::After(Cursor::read(text, authority.organization())?),
            None => Start::Skip(0),
        };
        Ok(match limit {
            Some(limit) => list::page(&self.keys, &authority, start, limit).await?,
            None => list::all(self.keys.clone(), authority, start).await?,
        })
    }

    /// Create a key for an organization
    ///
    /// The key belongs to the organization itself. Its text is in the field `key` of this answer and nowhere else, ever.
    /// Nobody grants more than they hold, and a key makes none that outlives it: both are a 403. Needs the permission
    /// `api_keys:write`, and `org:admin` for limits.
    #[oai(path = "/orgs/:org_id/api_keys", method = "post", operation_id = "createApiKey")]
    async fn create_api_key(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// What the key will be.
        body: Deferred<CreateKey>,
    ) -> Result<Success<CreatedKeyView>, Failed<Writing>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::API_KEYS_WRITE, org_id.id()).await?;
        let new = body.read().await?.into_domain(authority.caller(), self.keys.now())?;
        let (key, secret) = self.keys.create(&authority, new).await?;
        Ok(Success(CreatedKeyView::new(&key, &secret)))
    }
}
