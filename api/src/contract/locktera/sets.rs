//! Permission sets with names, and which a key has: `/orgs/{org_id}/permission_sets`.

use std::sync::Arc;

use domain::{
    keys::{KeyPatch, Keys},
    organizations,
    permission::Permission,
};
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use super::{
    dto::{KeyView, Message, PageSize},
    error::{Creating, Reading, Removing, Writing},
    page::{Asked, Page},
    parameters::{self, Flag},
    people::{AttachSets, CreateSet, SetView, UpdateSet},
};
use crate::{
    body::Deferred,
    contract::{
        Failed, Success, Tag,
        once_only::{OnceOnly, nothing_to_hide},
    },
    credentials::Credential,
    failure::Fields,
    gate::Gate,
    once::{Repeatable, Turn},
    wire::{Id, Unread},
};

/// The operations.
pub struct Sets {
    /// Authenticates.
    pub gate: Arc<Gate>,
    /// Authorizes.
    pub keys: Arc<Keys>,
    /// Acts.
    pub organizations: Arc<organizations::Organizations>,
}

#[OpenApi(tag = "Tag::Organizations")]
impl Sets {
    /// List the permission sets of an organization
    ///
    /// Needs `permission_sets:read`.
    #[oai(path = "/orgs/:org_id/permission_sets", method = "get", operation_id = "listPermissionSets")]
    async fn list_permission_sets(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The most to answer; 100 without it.
        limit: Query<Option<Unread<PageSize>>>,
        /// Where to go on, from the `Link` of the page before.
        cursor: Query<Option<Unread<Id>>>,
    ) -> Result<Page<SetView>, Failed<Reading>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::SETS_READ, org_id.id()).await?;
        let asked = Asked::read(limit.0.as_ref(), cursor.0.as_ref())?;
        let (organizations, organization) = (self.organizations.clone(), authority.organization());
        let (after, look) = (asked.after, asked.look());
        let read = async move { organizations.sets(&authority, after, look).await };
        let found = self.gate.lists.read(organization, read).await?;
        let path = format!("/orgs/{organization}/permission_sets?");
        Ok(Page::new(&asked, &path, found, |set| set.id.to_string()).await)
    }

    /// Create a permission set
    ///
    /// Nobody grants more than they hold. Needs `permission_sets:admin`.
    #[oai(path = "/orgs/:org_id/permission_sets", method = "post", operation_id = "createPermissionSet")]
    async fn create_permission_set(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// A word of the client's for this request: sent again within 12 hours, it is not done again, and gets the same answer
        /// without its secret.
        #[oai(name = "Idempotency-Key")]
        repeatable: Repeatable,
        /// What it will be.
        body: Deferred<CreateSet>,
    ) -> Result<OnceOnly<SetView>, Failed<Creating>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::SETS_ADMIN, org_id.id()).await?;
        let (body, hash) = body.read_with_hash().await?;
        let once = match self.gate.repeats.turn(&repeatable, authority.caller(), hash).await? {
            Turn::First(once) => once,
            Turn::Again(answer) => return Ok(OnceOnly::Again(answer)),
        };
        let authority = authority.once(once);
        let new = body.into_domain()?;
        let view = SetView::from(&self.organizations.create_set(&authority, new).await?);
        Ok(OnceOnly::done(&self.gate.repeats, once, view, nothing_to_hide).await)
    }

    /// Get a permission set
    ///
    /// Needs `permission_sets:read`.
    #[oai(path = "/orgs/:org_id/permission_sets/:set_id", method = "get", operation_id = "getPermissionSet")]
    async fn get_permission_set(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The permission set.
        set_id: Path<Unread<Id>>,
    ) -> Result<Success<SetView>, Failed<Reading>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::SETS_READ, org_id.id()).await?;
        Ok(Success(SetView::from(&self.organizations.set(&authority, set_id.id()).await?)))
    }

    /// Change a permission set
    ///
    /// At once for all keys and members that have it. What is absent stays. Needs `permission_sets:admin`, and all that the
    /// set gives before and after.
    #[oai(path = "/orgs/:org_id/permission_sets/:set_id", method = "patch", operation_id = "updatePermissionSet")]
    async fn update_permission_set(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The permission set.
        set_id: Path<Unread<Id>>,
        /// What changes.
        body: Deferred<UpdateSet>,
    ) -> Result<Success<SetView>, Failed<Writing>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::SETS_ADMIN, org_id.id()).await?;
        let patch = body.read().await?.into_domain()?;
        Ok(Success(SetView::from(&self.organizations.update_set(&authority, set_id.id(), patch).await?)))
    }

    /// Delete a permission set
    ///
    /// While keys or members have it that is a 409, unless `detach=true`: then they lose what it gave them. Needs
    /// `permission_sets:admin`.
    #[oai(path = "/orgs/:org_id/permission_sets/:set_id", method = "delete", operation_id = "deletePermissionSet")]
    async fn delete_permission_set(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The permission set.
        set_id: Path<Unread<Id>>,
        /// Whether to take it from those who have it: `true` or `false`, which is usual.
        detach: Query<Option<Unread<Flag>>>,
    ) -> Result<Success<Message>, Failed<Removing>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::SETS_ADMIN, org_id.id()).await?;
        let mut fields = Fields::default();
        let detach = parameters::flag(&mut fields, "detach", detach.0.as_ref()).unwrap_or(false);
        fields.into_result()?;
        self.organizations.delete_set(&authority, set_id.id(), detach).await?;
        Ok(Success(Message { message: "Permission set deleted successfully".to_owned() }))
    }

    /// Say which permission sets a key has
    ///
    /// These and no others. Nobody grants more than they hold. Needs `api_keys:write`.
    #[oai(
        path = "/orgs/:org_id/api_keys/:key_id/permission_sets",
        method = "put",
        operation_id = "setApiKeyPermissionSets"
    )]
    async fn set_api_key_permission_sets(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The key.
        key_id: Path<Unread<Id>>,
        /// Which.
        body: Deferred<AttachSets>,
    ) -> Result<Success<KeyView>, Failed<Writing>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::API_KEYS_WRITE, org_id.id()).await?;
        let patch = KeyPatch { sets: Some(body.read().await?.into_domain()?), ..KeyPatch::nothing() };
        Ok(Success(KeyView::from(&self.keys.update(&authority, key_id.id(), None, patch).await?)))
    }
}
