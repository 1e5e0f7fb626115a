//! Permission sets: `/orgs/{org_id}/permission_sets`, and the permission sets of a key.

use std::sync::Arc;

use domain::{
    change::Change,
    keys::{KeySettingsPatch, Keys},
    organizations,
};
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use super::{
    dto::{KeyView, Message, PageSize},
    error::{Creating, Reading, Removing, Writing},
    page::{Page, PageRequest},
};
use crate::routes::{
    keys::list_query::{self, Flag},
    members::dto::{AttachSets, CreateSet, SetHoldersView, SetView, UpdateSet},
};
use crate::{
    auth::authorized::{self, KeysWrite, PermissionSetsAdmin, PermissionSetsRead},
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
};

/// The operations on permission sets.
pub struct PermissionSetRoutes {
    /// Replaces the permission sets of a key.
    pub keys: Arc<Keys>,
    /// Creates, reads, changes and deletes permission sets.
    pub organizations: Arc<organizations::OrganizationService>,
    /// Bounds concurrent reads of many rows.
    pub lists: Arc<ListSlots>,
}

#[OpenApi(tag = "Tag::PermissionSets")]
impl PermissionSetRoutes {
    /// List the permission sets of an organization
    #[oai(path = "/orgs/:org_id/permission_sets", method = "get", operation_id = "listPermissionSets")]
    async fn list_permission_sets(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<PermissionSetsRead>,
        /// Maximum number of results, 1 to 1,000; default 100.
        limit: Query<Option<RawParam<PageSize>>>,
        /// Cursor of the next page, from the header `Link` of the previous page.
        cursor: Query<Option<RawParam<Id>>>,
    ) -> Result<Page<SetView>, ErrorResponse<Reading>> {
        let page_request = PageRequest::read(limit.0.as_ref(), cursor.0.as_ref())?;
        let (organizations, organization) = (self.organizations.clone(), authority.organization());
        let (after, fetch_limit) = (page_request.after, page_request.fetch_limit());
        let read = async move { organizations.sets(&authority, after, fetch_limit).await };
        let found = self.lists.read(organization, read).await?;
        let path = format!("/orgs/{organization}/permission_sets?");
        Ok(Page::new(&page_request, &path, found, |set| set.id.to_string()).await)
    }

    /// Create a permission set
    ///
    /// The caller must hold all permissions of the set.
    #[oai(path = "/orgs/:org_id/permission_sets", method = "post", operation_id = "createPermissionSet")]
    async fn create_permission_set(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<PermissionSetsAdmin>,
        /// Idempotency key.
        #[oai(name = "Idempotency-Key")]
        idempotency: IdempotencyHeader,
        /// The permission set to create.
        body: Deferred<CreateSet>,
    ) -> Result<Idempotent<SetView>, ErrorResponse<Creating>> {
        let response = idempotency.run(authority, body, |authority, body| async move {
            let new = body.into_domain()?;
            Ok(SetView::from(&self.organizations.create_set(&authority, new).await?))
        });
        Ok(response.await?)
    }

    /// Get a permission set
    #[oai(path = "/orgs/:org_id/permission_sets/:set_id", method = "get", operation_id = "getPermissionSet")]
    async fn get_permission_set(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<PermissionSetsRead>,
        /// Id of the permission set.
        set_id: Path<RawParam<Id>>,
    ) -> Result<Success<SetView>, ErrorResponse<Reading>> {
        Ok(Success(SetView::from(&self.organizations.set(&authority, set_id.id()).await?)))
    }

    /// Count the holders of a permission set
    ///
    /// How many keys and members a change or the deletion of the set affects: exact up to 10,000 each, and 10,001 if there are more.
    #[oai(
        path = "/orgs/:org_id/permission_sets/:set_id/holders",
        method = "get",
        operation_id = "countPermissionSetHolders"
    )]
    async fn count_permission_set_holders(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<PermissionSetsRead>,
        /// Id of the permission set.
        set_id: Path<RawParam<Id>>,
    ) -> Result<Success<SetHoldersView>, ErrorResponse<Reading>> {
        let (organizations, organization) = (self.organizations.clone(), authority.organization());
        let set = set_id.id();
        let read = async move { organizations.set_holders(&authority, set).await };
        Ok(Success(self.lists.read(organization, read).await?.into()))
    }

    /// Update a permission set
    ///
    /// Takes effect at once for all keys and members that have the set. Absent fields are unchanged; `null` clears the
    /// permissions or the key policy. 400 if a key with the set would have permissions that a policy does not allow it. The caller
    /// must hold all permissions of the set before and after the change.
    #[oai(path = "/orgs/:org_id/permission_sets/:set_id", method = "patch", operation_id = "updatePermissionSet")]
    async fn update_permission_set(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<PermissionSetsAdmin>,
        /// Id of the permission set.
        set_id: Path<RawParam<Id>>,
        /// The changes.
        body: Deferred<UpdateSet>,
    ) -> Result<Success<SetView>, ErrorResponse<Writing>> {
        let patch = body.read().await?.into_domain()?;
        Ok(Success(SetView::from(&self.organizations.update_set(&authority, set_id.id(), patch).await?)))
    }

    /// Delete a permission set
    ///
    /// 409 if keys or members have the set, unless `detach=true`: then it is detached from them first.
    #[oai(path = "/orgs/:org_id/permission_sets/:set_id", method = "delete", operation_id = "deletePermissionSet")]
    async fn delete_permission_set(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<PermissionSetsAdmin>,
        /// Id of the permission set.
        set_id: Path<RawParam<Id>>,
        /// Whether to detach the set from keys and members; default `false`.
        detach: Query<Option<RawParam<Flag>>>,
    ) -> Result<Success<Message>, ErrorResponse<Removing>> {
        let mut fields = Fields::default();
        let detach = list_query::flag(&mut fields, "detach", detach.0.as_ref()).unwrap_or(false);
        fields.into_result()?;
        self.organizations.delete_set(&authority, set_id.id(), detach).await?;
        Ok(Success(Message { message: "Permission set deleted successfully".to_owned() }))
    }

    /// Replace the permission sets of a key
    ///
    /// The key has these permission sets and no others afterwards. The caller must hold their permissions.
    #[oai(
        path = "/orgs/:org_id/api_keys/:key_id/permission_sets",
        method = "put",
        operation_id = "setApiKeyPermissionSets"
    )]
    async fn set_api_key_permission_sets(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysWrite>,
        /// Id of the key.
        key_id: Path<RawParam<Id>>,
        /// The `version` that the key must have, as `"3"` or `3`; or several versions, separated by commas.
        #[oai(name = "If-Match")]
        if_match: IfMatch,
        /// The permission sets to attach.
        body: Deferred<AttachSets>,
    ) -> Result<Versioned<KeyView>, ErrorResponse<Conditional<Writing>>> {
        let sets = Change::Set(body.read().await?.into_domain()?);
        let patch = KeySettingsPatch { sets, ..KeySettingsPatch::default() };
        let key = self.keys.update(&authority, key_id.id(), if_match.versions(), patch).await?;
        Ok(Versioned { version: key.version, body: KeyView::from(&key) })
    }
}

impl StoredResponse for SetView {
    const SECRETS: Secrets = Secrets::None;
}
