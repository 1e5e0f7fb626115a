//! Organizations themselves: `/orgs`, `/orgs/{org_id}`.

use std::sync::Arc;

use domain::{Error, keys::Keys, organization::ExternalId, organizations, permission::Permission};
use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
    registry::{MetaResponse, MetaResponses, Registry},
};

use super::{
    dto::{Message, PageSize},
    error::{Creating, Reading, Removing, Writing},
    organization::{CreateOrganization, OrganizationView, UpdateOrganization},
    page::{Asked, Page},
};
use crate::{
    body::Deferred,
    contract::{
        Failed, Success, Tag,
        once_only::{OnceOnly, nothing_to_hide},
    },
    credentials::Credential,
    failure::{Failure, Fields},
    gate::Gate,
    once::{Repeatable, Turn},
    wire::{Id, Unread},
};

/// The operations.
pub struct Organizations {
    /// Authenticates.
    pub gate: Arc<Gate>,
    /// Authorizes.
    pub keys: Arc<Keys>,
    /// Acts.
    pub organizations: Arc<organizations::Organizations>,
}

#[OpenApi(tag = "Tag::Organizations")]
impl Organizations {
    /// List organizations
    ///
    /// All of them for the platform; their own for everyone else. Needs `org:read`.
    #[oai(path = "/orgs", method = "get", operation_id = "listOrganizations")]
    async fn list_organizations(
        &self,
        credential: Credential,
        /// Only the one that the operator's own system calls so.
        external_id: Query<Option<String>>,
        /// The most to answer; 100 without it.
        limit: Query<Option<Unread<PageSize>>>,
        /// Where to go on, from the `Link` of the page before.
        cursor: Query<Option<Unread<Id>>>,
    ) -> Result<Page<OrganizationView>, Failed<Reading>> {
        let caller = self.gate.admit(&credential).await?;
        caller.require(&Permission::ORG_READ)?;
        self.gate.count(&caller)?;
        let asked = Asked::read(limit.0.as_ref(), cursor.0.as_ref())?;
        let external_id = external_id.0.as_deref().map(ExternalId::parse).transpose();
        let external_id = external_id.map_err(|wrong| Failure::Invalid(Fields::one("external_id", wrong)))?;
        let (organizations, own) = (self.organizations.clone(), caller.organization()?);
        let (after, look) = (asked.after, asked.look());
        let read = async move { organizations.list(&caller, external_id.as_ref(), after, look).await };
        let found = self.gate.lists.read(own, read).await?;
        Ok(Page::new(&asked, "/orgs?", found, |organization| organization.id.to_string()).await)
    }

    /// Create an organization
    ///
    /// For the platform alone. It has neither members nor keys yet. Needs `org:admin`.
    #[oai(path = "/orgs", method = "post", operation_id = "createOrganization")]
    async fn create_organization(
        &self,
        credential: Credential,
        /// A word of the client's for this request: sent again within 12 hours, it is not done again, and gets the same answer
        /// without its secret.
        #[oai(name = "Idempotency-Key")]
        repeatable: Repeatable,
        /// What it will be.
        body: Deferred<CreateOrganization>,
    ) -> Result<OnceOnly<OrganizationView>, Failed<Creating>> {
        let caller = self.gate.admit(&credential).await?;
        caller.require(&Permission::ORG_ADMIN)?;
        self.gate.count(&caller)?;
        let (body, hash) = body.read_with_hash().await?;
        let once = match self.gate.repeats.turn(&repeatable, &caller, hash).await? {
            Turn::First(once) => once,
            Turn::Again(answer) => return Ok(OnceOnly::Again(answer)),
        };
        let caller = caller.once(once);
        let new = body.into_domain()?;
        let view = OrganizationView::from(&self.organizations.create(&caller, new).await?);
        Ok(OnceOnly::done(&self.gate.repeats, once, view, nothing_to_hide).await)
    }

    /// Get an organization
    ///
    /// The platform also sees one that is deleted while it is being removed: `deleted_at` is set, and `api_keys_left` says how
    /// far that is. Needs `org:read`.
    #[oai(path = "/orgs/:org_id", method = "get", operation_id = "getOrganization")]
    async fn get_organization(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
    ) -> Result<Success<OrganizationView>, Failed<Reading>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = match self.keys.authorize(caller.clone(), &Permission::ORG_READ, org_id.id()).await {
            Err(Error::NotFound) => {
                let deleted = self.organizations.get_deleted(caller, org_id.id()).await?;
                return Ok(Success(OrganizationView::from(&deleted)));
            }
            authority => authority?,
        };
        Ok(Success(OrganizationView::from(&self.organizations.get(&authority).await?)))
    }

    /// Change an organization
    ///
    /// What is absent stays, `null` clears. Members change the name; everything else is for the platform alone. While it is
    /// suspended, none of its keys is good for anything. Needs `org:admin`.
    #[oai(path = "/orgs/:org_id", method = "patch", operation_id = "updateOrganization")]
    async fn update_organization(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// What changes.
        body: Deferred<UpdateOrganization>,
    ) -> Result<Success<OrganizationView>, Failed<Writing>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::ORG_ADMIN, org_id.id()).await?;
        let patch = body.read().await?.into_domain()?;
        Ok(Success(OrganizationView::from(&self.organizations.update(&authority, patch).await?)))
    }

    /// Delete an organization
    ///
    /// With its keys, members and permission sets, for good; what was done in it stays in the log. Its keys are refused from now
    /// on. 200: everything is removed. 202: there is much of it, and removing goes on; `GET` tells the platform how far it is,
    /// and answers 404 when it is done. `confirm` repeats its id. Needs `org:admin`.
    #[oai(path = "/orgs/:org_id", method = "delete", operation_id = "deleteOrganization")]
    async fn delete_organization(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The same again.
        confirm: Query<Option<String>>,
    ) -> Result<Removed, Failed<Removing>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::ORG_ADMIN, org_id.id()).await?;
        if confirm.0.as_deref() != Some(org_id.text()) {
            return Err(Failure::Invalid(Fields::one("confirm", "must be the organization's id")).into());
        }
        Ok(Removed { is_complete: self.organizations.delete(&authority).await? })
    }
}

/// A deleted organization: 200 where everything that belonged to it is removed, 202 where that goes on.
struct Removed {
    is_complete: bool,
}

impl IntoResponse for Removed {
    fn into_response(self) -> Response {
        let (status, message) = if self.is_complete {
            (StatusCode::OK, "Organization deleted successfully")
        } else {
            (StatusCode::ACCEPTED, "Organization deleted; what belonged to it is being removed")
        };
        let mut response = Success(Message { message: message.to_owned() }).into_response();
        response.set_status(status);
        response
    }
}

impl ApiResponse for Removed {
    fn meta() -> MetaResponses {
        let mut meta = Success::<Message>::meta();
        let going_on = Success::<Message>::meta().responses.into_iter().map(|response| MetaResponse {
            description: "Deleted; what belonged to it is being removed.",
            status: Some(202),
            ..response
        });
        meta.responses.extend(going_on);
        meta
    }

    fn register(registry: &mut Registry) {
        Success::<Message>::register(registry);
    }
}
