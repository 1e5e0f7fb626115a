//! The keys of an organization: `/orgs/{org_id}/api_keys`.

use std::sync::Arc;

use domain::{
    keys::Keys,
    listing::{By, Filter, Listing, Start},
    organization::ExternalId,
    permission::Permission,
};
use poem::http::Uri;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use super::{
    create::CreateKey,
    cursor::Cursor,
    dto::{CreatedKeyView, PageSize},
    error::{Creating, Reading},
    list::{self, KeyList},
    parameters::{self, Flag, Instant, Members, OfUser, Sort},
};
use crate::{
    body::Deferred,
    contract::{
        Failed, Tag,
        once_only::{OnceOnly, hide_key},
    },
    credentials::Credential,
    failure::Fields,
    gate::Gate,
    once::{Repeatable, Turn},
    wire::{Id, Unread},
};

/// The operations.
pub struct AllKeys {
    /// Authenticates.
    pub gate: Arc<Gate>,
    /// Decides and acts.
    pub keys: Arc<Keys>,
}

#[OpenApi(tag = "Tag::Organizations")]
impl AllKeys {
    /// List the keys of an organization
    ///
    /// Every key of the organization, however it was made, oldest first. Without `limit` all of them are streamed. With
    /// `limit` one page is answered, and the header `Link` names the next one; a key that exists during the whole
    /// traversal appears exactly once, unless the list is in an order that its use changes. Of several conditions all must
    /// hold. Needs the permission `api_keys:read`.
    #[oai(path = "/orgs/:org_id/api_keys", method = "get", operation_id = "listApiKeys")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the document")]
    async fn list_api_keys(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The most keys to answer.
        limit: Query<Option<Unread<PageSize>>>,
        /// Where to go on, from the `Link` of the page before.
        cursor: Query<Option<Unread<Cursor>>>,
        /// What to order by, with `-` in front the other way around; any but `created_at` with `limit` only. Never used is
        /// before all times, never expiring after.
        sort: Query<Option<Unread<Sort>>>,
        /// In use, or not.
        enabled: Query<Option<Unread<Flag>>>,
        /// Expired, or not.
        expired: Query<Option<Unread<Flag>>>,
        /// A part of the name, in upper or lower case (of ASCII letters).
        name: Query<Option<String>>,
        /// The user that it belongs to; `none` for the organization's own keys.
        user: Query<Option<Unread<OfUser>>>,
        /// What its maker's own system calls it.
        external_id: Query<Option<String>>,
        /// A permission that it was given, by itself or by its permission sets, wildcards counted in.
        permission: Query<Option<String>>,
        /// Last used before this moment, or never.
        last_used_before: Query<Option<Unread<Instant>>>,
        /// Used at least once, or never.
        #[oai(name = "used")]
        was_used: Query<Option<Unread<Flag>>>,
        /// Expires before this moment.
        expires_before: Query<Option<Unread<Instant>>>,
        /// Nothing remains of its uses (a refill may be due), or something does.
        used_up: Query<Option<Unread<Flag>>>,
        /// The text before its newest one still goes on, or not.
        rotating: Query<Option<Unread<Flag>>>,
        /// A JSON object like `{"plan":"pro"}`: members that its metadata has, with these values.
        metadata: Query<Option<Unread<Members>>>,
        /// With true, the keys that are deleted and can still be restored, instead of the others.
        deleted: Query<Option<Unread<Flag>>>,
        uri: &Uri,
    ) -> Result<KeyList, Failed<Reading>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::API_KEYS_READ, org_id.id()).await?;
        let mut fields = Fields::default();
        let external_id = external_id.0.as_deref().map(ExternalId::parse);
        let expired = parameters::flag(&mut fields, "expired", expired.0.as_ref());
        let rotating = parameters::flag(&mut fields, "rotating", rotating.0.as_ref());
        let filter = Filter {
            is_deleted: parameters::flag(&mut fields, "deleted", deleted.0.as_ref()).unwrap_or(false),
            enabled: parameters::flag(&mut fields, "enabled", enabled.0.as_ref()),
            expired: expired.map(|expired| (expired, self.keys.now())),
            name: parameters::part(&mut fields, "name", name.0),
            holder: parameters::holder(&mut fields, "user", user.0.as_ref()),
            external_id: fields.check_optional("external_id", external_id),
            permission: parameters::permission(&mut fields, "permission", permission.0.as_deref()),
            last_used_before: parameters::instant(&mut fields, "last_used_before", last_used_before.0.as_ref()),
            used: parameters::flag(&mut fields, "used", was_used.0.as_ref()),
            expires_before: parameters::instant(&mut fields, "expires_before", expires_before.0.as_ref()),
            used_up: parameters::flag(&mut fields, "used_up", used_up.0.as_ref()),
            rotating: rotating.map(|rotating| (rotating, self.keys.now())),
            metadata: parameters::members(&mut fields, "metadata", metadata.0.as_ref().map(Unread::text)),
        };
        let order = parameters::order(&mut fields, "sort", sort.0.as_ref());
        if order.by != By::CreatedAt && limit.is_none() {
            // Only the order of their making is one that a million keys can be streamed in.
            fields.add("limit", "is required with this sort");
        }
        fields.into_result()?;
        let limit = limit.0.as_ref().map(PageSize::read).transpose()?;
        let start = match &cursor.0 {
            Some(text) => Start::After(Cursor::read(text, order, authority.organization())?),
            None => Start::Skip(0),
        };
        let listing = Listing { filter, order };
        let source = (self.keys.clone(), self.gate.lists.clone());
        Ok(match limit {
            Some(limit) => list::page(source, authority, listing, start, limit, uri).await?,
            None => list::all(source, authority, listing, start).await?,
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
        /// A word of the client's for this request: sent again within 12 hours, it is not done again, and gets the same answer
        /// without its secret.
        #[oai(name = "Idempotency-Key")]
        repeatable: Repeatable,
        /// What the key will be.
        body: Deferred<CreateKey>,
    ) -> Result<OnceOnly<CreatedKeyView>, Failed<Creating>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::API_KEYS_WRITE, org_id.id()).await?;
        let (body, hash) = body.read_with_hash().await?;
        let once = match self.gate.repeats.turn(&repeatable, authority.caller(), hash).await? {
            Turn::First(once) => once,
            Turn::Again(answer) => return Ok(OnceOnly::Again(answer)),
        };
        let authority = authority.once(once);
        let new = body.into_domain(authority.caller(), self.keys.now())?;
        let (key, secret) = self.keys.create(&authority, new).await?;
        Ok(OnceOnly::done(&self.gate.repeats, once, CreatedKeyView::new(&key, &secret), hide_key).await)
    }
}
