//! Organizations: `/orgs` and `/orgs/{org_id}`.
pub(crate) mod dto;
pub(crate) mod key_policy;
mod service;

use std::sync::Arc;

use domain::{
    Error,
    auth::authorize::Authorizer,
    id::ExternalId,
    organizations::{
        self,
        organization::{DeletedOrganization, Deletion, Organization},
        totals::OrganizationFilter,
    },
    permissions::Permission,
};
use poem::{
    IntoResponse, Request, Response,
    http::{StatusCode, Uri},
};
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
    registry::{MetaResponse, MetaResponses, Registry},
};

use super::{
    dto::PageSize,
    error::{Creating, Reading, Removing, Writing},
    page::{Page, PageRequest},
};
use crate::routes::{
    keys::list_query::{Flag, flag, name_part},
    organizations::{
        dto::{CreateOrganization, DeletionView, OrganizationView, UpdateOrganization},
        service::ServiceView,
    },
};
use crate::{
    auth::{
        authenticator::Authenticator,
        authorized::{self, AuthenticatedCaller, AuthorizedCaller, Everything, OrgAdmin, OrgRead},
        credentials::Credential,
    },
    http::{
        api_error::{ApiError, Fields},
        body::Deferred,
        contract::{ErrorResponse, Success, Tag},
        list_slots::ListSlots,
        openapi_types::{Id, RawParam},
        operations::check_request,
    },
    idempotency::{
        IdempotencyHeader,
        response::{Idempotent, Secrets, StoredResponse},
    },
};

/// The operations on organizations.
pub struct OrganizationRoutes {
    /// Authenticates.
    pub authenticator: Arc<Authenticator>,
    /// Authorizes.
    pub authorizer: Arc<Authorizer>,
    /// Creates, reads, changes and deletes organizations.
    pub organizations: Arc<organizations::OrganizationService>,
    /// Bounds concurrent reads of many rows.
    pub lists: Arc<ListSlots>,
}

#[OpenApi(tag = "Tag::Organizations")]
impl OrganizationRoutes {
    /// List organizations
    ///
    /// All organizations for a platform caller; otherwise the caller's own. With `deleted=true`, the platform lists the
    /// deleted organizations that are not yet removed.
    #[oai(path = "/orgs", method = "get", operation_id = "listOrganizations")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the document")]
    async fn list_organizations(
        &self,
        caller: AuthorizedCaller<OrgRead>,
        uri: &Uri,
        /// Filter: the identifier of the organization in your own system.
        external_id: Query<Option<String>>,
        /// Filter: a part of the name; upper and lower case are equal.
        name: Query<Option<String>>,
        /// `true`: list the deleted organizations that are not yet removed, instead of the others; default `false`.
        deleted: Query<Option<RawParam<Flag>>>,
        /// Maximum number of results, 1 to 1,000; default 100.
        limit: Query<Option<RawParam<PageSize>>>,
        /// Cursor of the next page, from the header `Link` of the previous page.
        cursor: Query<Option<RawParam<Id>>>,
    ) -> Result<Page<OrganizationView>, ErrorResponse<Reading>> {
        let page_request = PageRequest::read(limit.0.as_ref(), cursor.0.as_ref())?;
        let mut fields = Fields::default();
        let external_id = fields.check_optional("external_id", external_id.0.as_deref().map(ExternalId::stored));
        let name = name_part(&mut fields, "name", name.0.as_deref());
        let filter = OrganizationFilter { external_id, name };
        let is_deleted = flag(&mut fields, "deleted", deleted.0.as_ref()).unwrap_or(false);
        fields.into_result()?;
        let (organizations, own) = (self.organizations.clone(), caller.organization()?);
        let (after, fetch_limit) = (page_request.after, page_request.fetch_limit());
        if is_deleted {
            let read = async move { organizations.list_deleted(&caller, &filter, after, fetch_limit).await };
            let found = self.lists.read(own, read).await?;
            let cursor_of = |deleted: &DeletedOrganization| deleted.organization.id.to_string();
            return Ok(Page::with_uri(&page_request, uri, found, cursor_of).await);
        }
        let is_search = filter.name.is_some();
        let read = async move { organizations.list(&caller, &filter, after, fetch_limit).await };
        let found = self.lists.read(own, read).await?;
        let cursor_of = |organization: &Organization| organization.id.to_string();
        Ok(if is_search {
            Page::with_uri(&page_request, uri, found, cursor_of).await
        } else {
            Page::new(&page_request, "/orgs?", found, cursor_of).await
        })
    }

    /// Get the state of the service
    ///
    /// For platform callers only: the version of the service, the numbers of organizations, keys and members, and the
    /// organizations with the most keys. Deleted organizations are not counted.
    #[oai(path = "/service", method = "get", operation_id = "getService")]
    async fn get_service(
        &self,
        caller: AuthorizedCaller<OrgRead>,
    ) -> Result<Success<ServiceView>, ErrorResponse<Reading>> {
        let (organizations, own) = (self.organizations.clone(), caller.organization()?);
        let read = async move { organizations.totals(&caller).await };
        Ok(Success(ServiceView::from(self.lists.read(own, read).await?)))
    }

    /// Create an organization
    ///
    /// For platform callers only. The new organization has no members and no keys.
    #[oai(path = "/orgs", method = "post", operation_id = "createOrganization")]
    async fn create_organization(
        &self,
        caller: AuthorizedCaller<OrgAdmin>,
        /// Idempotency key.
        #[oai(name = "Idempotency-Key")]
        idempotency: IdempotencyHeader,
        /// The organization to create.
        body: Deferred<CreateOrganization>,
    ) -> Result<Idempotent<OrganizationView>, ErrorResponse<Creating>> {
        let response = idempotency.run(caller, body, |caller, body| async move {
            let new = body.into_domain()?;
            Ok(OrganizationView::from(&self.organizations.create(&caller, new).await?))
        });
        Ok(response.await?)
    }

    /// Get an organization
    ///
    /// A platform caller can also get a deleted organization until it is removed: `deleted_at` is set,
    /// `restorable_until` is the end of the period in which it can be restored, and `api_keys_left` shows the progress
    /// of the removal. Needs `org:read`.
    #[oai(path = "/orgs/:org_id", method = "get", operation_id = "getOrganization")]
    async fn get_organization(
        &self,
        credential: Credential,
        request: &Request,
        /// Id of the organization.
        org_id: Path<RawParam<Id>>,
    ) -> Result<Success<OrganizationView>, ErrorResponse<Reading>> {
        let caller = self.authenticator.authenticate(&credential).await?;
        let authority = match self.authorizer.authorize(caller.clone(), &Permission::ORG_READ, org_id.id()).await {
            Err(Error::NotFound) => {
                let deleted = self.organizations.get_deleted(caller, org_id.id()).await?;
                check_request(request)?;
                return Ok(Success(OrganizationView::from(&deleted)));
            }
            authority => authority?,
        };
        check_request(request)?;
        Ok(Success(OrganizationView::from(&self.organizations.get(&authority).await?)))
    }

    /// Update an organization
    ///
    /// Absent fields are unchanged; `null` clears, except `keys_can_manage_by_default` and `suspended`. Members can change the name,
    /// `keys_can_manage_by_default` and `key_policy`; only the platform can change the other fields. `key_policy` replaces the whole
    /// policy; `POST /orgs/{org_id}/key_policy/check` says which keys break it. All keys of a suspended organization are invalid.
    #[oai(path = "/orgs/:org_id", method = "patch", operation_id = "updateOrganization")]
    async fn update_organization(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<OrgAdmin>,
        /// The changes.
        body: Deferred<UpdateOrganization>,
    ) -> Result<Success<OrganizationView>, ErrorResponse<Writing>> {
        let patch = body.read().await?.into_domain()?;
        Ok(Success(OrganizationView::from(&self.organizations.update(&authority, patch).await?)))
    }

    /// Delete an organization
    ///
    /// Deletes the organization with its keys, members and permission sets; its audit events are kept. Its keys stop
    /// working at once, and its sessions end. The platform can restore it until `restorable_until`; after that, its
    /// data is permanently removed. If the operator does not retain deleted organizations, `restorable_until` is null:
    /// 200 if all data is removed, 202 if there is much data and removal continues; `GET` shows the progress to a
    /// platform caller, and responds with 404 when it is complete. `confirm` must repeat the id.
    #[oai(path = "/orgs/:org_id", method = "delete", operation_id = "deleteOrganization")]
    async fn delete_organization(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<Everything>,
        /// The id of the organization again, as a confirmation.
        confirm: Query<Option<String>>,
    ) -> Result<Deleted, ErrorResponse<Removing>> {
        if confirm.0.as_deref() != Some(authority.parameter()) {
            return Err(ApiError::Invalid(Fields::one("confirm", "must be the organization's id")).into());
        }
        Ok(Deleted(self.organizations.delete(&authority).await?))
    }

    /// Restore a deleted organization
    ///
    /// For platform callers only, until `restorable_until`. Restores all data of the organization, and its keys are
    /// valid again; its sessions are not restored. If the organization is not deleted, nothing changes and the response
    /// is the same, so the request can be repeated; it takes no `Idempotency-Key`. 404 if the organization is unknown, or
    /// is being removed. 409 if another organization uses its `external_id` in the meantime: change that one first.
    /// Needs `org:admin`; 403 for a key that expires or has allowed addresses.
    #[oai(path = "/orgs/:org_id/restore", method = "post", operation_id = "restoreOrganization")]
    async fn restore_organization(
        &self,
        caller: AuthenticatedCaller,
        /// Id of the organization.
        org_id: Path<RawParam<Id>>,
    ) -> Result<Success<OrganizationView>, ErrorResponse<Removing>> {
        Ok(Success(OrganizationView::from(&self.organizations.restore(caller.into_caller(), org_id.id()).await?)))
    }
}

impl StoredResponse for OrganizationView {
    const SECRETS: Secrets = Secrets::None;
}

/// The response to a deletion: 200 if the organization can be restored or is removed, 202 if it is being removed.
struct Deleted(Deletion);

impl IntoResponse for Deleted {
    fn into_response(self) -> Response {
        let status = if self.0 == Deletion::Removing { StatusCode::ACCEPTED } else { StatusCode::OK };
        let mut response = Success(DeletionView::from(self.0)).into_response();
        response.set_status(status);
        response
    }
}

impl ApiResponse for Deleted {
    fn meta() -> MetaResponses {
        let mut meta = Success::<DeletionView>::meta();
        let being_removed = Success::<DeletionView>::meta().responses.into_iter().map(|response| MetaResponse {
            description: "Deleted; its data is being removed.",
            status: Some(202),
            ..response
        });
        meta.responses.extend(being_removed);
        meta
    }

    fn register(registry: &mut Registry) {
        Success::<DeletionView>::register(registry);
    }
}
